"""Snippets of code, each a small project, judged by the real oxlint: all of them in one process."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

from pytest_convex_eval.outcomes import (
    Files,
    Finding,
    StageName,
)
from pytest_convex_eval.processes import Limits, environment, run
from pytest_convex_eval.toolchain.lint.across_files.facts import RULE as FACTS
from pytest_convex_eval.toolchain.lint.catalogue import OURS, RULES, select
from pytest_convex_eval.toolchain.lint.oxlint import read_oxlint
from pytest_convex_eval.toolchain.lint.report import EngineReport, judge
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.positions import SourceText, SourceTree
from tests.patience import HANG_SECONDS

SNIPPETS = Path(__file__).with_name("snippets")
PAGES = Path(__file__).parents[3] / "docs" / "rules"
EVERYTHING = select("strict", off=[], require=[r.code for r in RULES if r.code.startswith(OURS)])
MARK = "/*!*/"
"""Stands before what a rule has to report."""

PREAMBLE = (
    "import { action, httpAction, internalAction, internalMutation, internalQuery } "
    'from "./_generated/server"; '
    'import { mutation, query } from "./_generated/server"; '
    'import type { ActionCtx, MutationCtx, QueryCtx } from "./_generated/server"; '
    'import { api, components, internal } from "./_generated/api"; '
    'import { cronJobs, defineSchema, defineTable, httpRouter } from "convex/server"; '
    'import { v } from "convex/values";\n'
)
"""Of every file that imports nothing itself; on a line of its own."""

Place: TypeAlias = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Snippet:
    """A small project, and the places at which `rule` has to report; none in a good one."""

    rule: str
    kind: Literal["bad", "good"]
    title: str
    files: Files
    expected: frozenset[Place]

    def __str__(self) -> str:
        return f"{self.rule}-{self.kind}-{self.title.replace(' ', '-')}"


def read_snippets(rule: str, text: str) -> Iterator[Snippet]:
    """The snippets of one rule: `=== bad: title` begins one, `--- path` a file of it."""
    _, *parts = re.split(r"^=== (bad|good): (.+)\n", text, flags=re.M)
    for kind, title, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        first, *named = re.split(r"^--- (\S+)\n", body, flags=re.M)
        files = dict(zip(named[::2], named[1::2], strict=True))
        if first.strip():
            files["convex/things.ts"] = first
        whole = {path: _whole(code) for path, code in files.items()}
        places = frozenset(
            (path, position.line, position.column)
            for path, code in whole.items()
            for match in re.finditer(re.escape(MARK), code)
            for position in [SourceText(code).at(match.end())]
        )
        assert kind in {"bad", "good"}
        assert bool(places) == (kind == "bad"), f"{rule}: {title}"
        yield Snippet(rule, "bad" if kind == "bad" else "good", title, whole, places)


def _whole(code: str) -> str:
    """`@query` on a line of its own makes what follows the body of a query's handler."""
    code = re.sub(
        r"\A@(\w+)\n(.*)\Z",
        r"export const f = \1({ args: {}, handler: async (ctx, args) => {\n\2} });\n",
        code,
        flags=re.S,
    )
    if re.search(r"^(?:import|export .* from) ", code, re.M):
        return code
    directive, found, rest = code.partition('"use node";\n')
    return f"{directive}{found}{PREAMBLE}{rest}" if found else PREAMBLE + code


@dataclass(frozen=True, slots=True)
class Pitfall:
    """A project with one mistake, and the stage and code by which it is caught. `row` is its number
    in the list of pitfalls that the rules were made from; None for what came later."""

    row: int | None
    stage: StageName
    code: str
    files: Files

    def __str__(self) -> str:
        return f"{self.row or 'also'}-{self.code}"


def read_pitfalls(text: str) -> Iterator[Pitfall]:
    """`=== row | stage | code` begins one; with `| page`, it is the bad code of the rule's page."""
    _, *parts = re.split(r"^=== (.+)\n", text, flags=re.M)
    for head, body in zip(parts[::2], parts[1::2], strict=True):
        row, stage, code, *page = head.split(" | ")
        number = None if row == "also" else int(row)
        if page:
            text = (PAGES / f"{code.removeprefix(OURS)}.md").read_text("utf-8")
            files: Files = code_of(text, "Bad")
        else:
            first, *named = re.split(r"^--- (\S+)\n", body, flags=re.M)
            plain = dict(zip(named[::2], named[1::2], strict=True)) or {"convex/things.ts": first}
            files = {path: _whole(code) for path, code in plain.items()}
        yield Pitfall(number, stage, code, files)


def code_of(page: str, heading: str) -> Files:
    """The files below a heading of a rule's page: a fence each, beginning with the file's path."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^```ts\n// (\S+)\n(.*?)^```$", section, flags=re.M | re.S))


PITFALLS = list(read_pitfalls(Path(__file__).with_name("pitfalls.txt").read_text("utf-8")))

SNIPPETS_OF_ALL: Sequence[Snippet] = [
    snippet
    for file in sorted(SNIPPETS.glob("*.txt"))
    for snippet in read_snippets(file.stem, file.read_text("utf-8"))
]


@dataclass(frozen=True, slots=True)
class Linter:
    """oxlint with our plugin and Convex's, every rule on, without types."""

    toolchain: Toolchain

    def projects(self, projects: Mapping[str, Files], folder: Path) -> dict[str, list[Finding]]:
        """The findings on each project; one process for all of them."""
        return {
            name: judge(
                report,
                [path for path in projects[name] if "convex/" in path],
                EVERYTHING,
                SourceTree(folder / name),
            )
            for name, report in self.reports(projects, folder).items()
        }

    def reports(self, projects: Mapping[str, Files], folder: Path) -> dict[str, EngineReport]:
        """What oxlint says of each project before anything is made of it."""
        rules = {
            name: level
            for name, level in EVERYTHING.configured().items()
            if name.startswith(("@convex-dev/", OURS))
        }
        paths = []
        for name, files in projects.items():
            for path, text in {"package.json": "{}", **files}.items():
                target = folder / name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
                if "convex/" in path:
                    paths.append(f"{name}/{path}")
        report = self.oxlint(paths, {**rules, FACTS: "error"}, folder)
        diagnostics: dict[str, list[object]] = {name: [] for name in projects}
        for diagnostic in report:
            name, _, path = str(diagnostic["filename"]).partition("/")
            diagnostics[name].append({**diagnostic, "filename": path})
        return {
            name: read_oxlint(diagnostics[name], SourceTree(folder / name)) for name in projects
        }

    def oxlint(
        self,
        paths: Sequence[str],
        rules: Mapping[str, object],
        folder: Path,
        plugins: Sequence[Path] = (),
    ) -> list[dict[str, object]]:
        """oxlint's own diagnostics on files of `folder`, by our two plugins or by others."""
        ours = (self.toolchain.lint_plugin, self.toolchain.rules_plugin)
        config = {
            "plugins": [],
            "categories": {"correctness": "off"},
            "jsPlugins": [str(plugin) for plugin in plugins or ours],
            "rules": rules,
        }
        (folder / "oxlint.json").write_text(json.dumps(config))
        done = run(
            [
                self.toolchain.node,
                self.toolchain.oxlint,
                "--config=oxlint.json",
                "--disable-nested-config",
                "--no-ignore",
                "--format=json",
                *paths,
            ],
            cwd=folder,
            env=environment(home=folder),
            limits=Limits(wall_seconds=HANG_SECONDS),
        )
        diagnostics = json.loads(done.stdout)["diagnostics"]
        assert isinstance(diagnostics, list)
        return diagnostics


@pytest.fixture(scope="session")
def linter(toolchain: Toolchain) -> Linter:
    return Linter(toolchain)


@pytest.fixture(scope="session")
def pitfalls() -> Sequence[Pitfall]:
    return PITFALLS


@pytest.fixture(scope="session")
def bad_and_good_pages() -> Mapping[str, tuple[Files, Files]]:
    """The bad and the good code of each rule's page, by the rule's name."""
    pages = {path.stem: path.read_text("utf-8") for path in PAGES.glob("*.md")}
    return {name: (code_of(text, "Bad"), code_of(text, "Good")) for name, text in pages.items()}


@pytest.fixture(scope="session")
def snippets() -> Sequence[Snippet]:
    return SNIPPETS_OF_ALL


@pytest.fixture(scope="session")
def snippets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snippets")


@pytest.fixture(scope="session")
def reports_of_snippets(linter: Linter, snippets_folder: Path) -> Mapping[int, EngineReport]:
    """What oxlint says of each snippet, by its number."""
    projects = {f"p{number}": snippet.files for number, snippet in enumerate(SNIPPETS_OF_ALL)}
    reports = linter.reports(projects, snippets_folder)
    return {number: reports[f"p{number}"] for number in range(len(SNIPPETS_OF_ALL))}


@pytest.fixture(scope="session")
def findings_of_snippets(
    reports_of_snippets: Mapping[int, EngineReport], snippets_folder: Path
) -> Mapping[int, list[Finding]]:
    """What is found in each snippet, by its number."""
    return {
        number: judge(
            report,
            [path for path in SNIPPETS_OF_ALL[number].files if "convex/" in path],
            EVERYTHING,
            SourceTree(snippets_folder / f"p{number}"),
        )
        for number, report in reports_of_snippets.items()
    }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "snippet_number" in metafunc.fixturenames:
        metafunc.parametrize(
            "snippet_number",
            range(len(SNIPPETS_OF_ALL)),
            ids=[str(snippet) for snippet in SNIPPETS_OF_ALL],
        )
    if "pitfall" in metafunc.fixturenames:
        ids = [f"{number}-{pitfall}" for number, pitfall in enumerate(PITFALLS)]
        metafunc.parametrize("pitfall", PITFALLS, ids=ids)
