"""The plugin in ESLint: the same words at the same places as in oxlint."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.processes import Limits, environment, run
from pytest_convex_eval.toolchain.lint import bundle
from pytest_convex_eval.toolchain.lint.across_files.facts import RULE as FACTS
from pytest_convex_eval.toolchain.lint.bundle import PLUGIN
from pytest_convex_eval.toolchain.lint.catalogue import OURS, RULES, select
from pytest_convex_eval.toolchain.lint.eslint import Eslint, ask_eslint, install_eslint
from pytest_convex_eval.toolchain.lint.oxlint import ask_oxlint
from pytest_convex_eval.toolchain.lint.report import Diagnostic, EngineReport, judge
from pytest_convex_eval.toolchain.lint.run import sources_of
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from pytest_convex_eval.toolchain.positions import SourceTree
from pytest_convex_eval.workspace.layout import lay_out
from tests.patience import HANG_SECONDS
from tests.toolchain.engine_differences import differences, explanation

if TYPE_CHECKING:
    from tests.toolchain.rules.conftest import Linter, Pitfall, Snippet

SCRIPT = Path(__file__).with_name("eslint.mjs")


@pytest.fixture(scope="session")
def eslint(toolchain: Toolchain) -> Eslint:
    return install_eslint(default_cache(), toolchain)


def test_convexs_plugin_says_the_same_slim_and_as_published(
    linter: Linter,
    snippets: Sequence[Snippet],
    pitfalls: Sequence[Pitfall],
    eslint: Eslint,
    tmp_path: Path,
) -> None:
    projects = [*(snippet.files for snippet in snippets), *(pitfall.files for pitfall in pitfalls)]
    paths = []
    for number, files in enumerate(projects):
        for path, text in {"package.json": "{}", **files}.items():
            target = tmp_path / f"p{number}" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            if path != "package.json":
                paths.append(f"p{number}/{path}")
    names = {rule.name for rule in RULES if rule.name.startswith("@convex-dev/")}
    rules = dict.fromkeys(sorted(names), "error")
    published = eslint.root / "node_modules" / PLUGIN / "dist" / "esm" / "index.js"
    slim = linter.oxlint(paths, rules, tmp_path, [linter.toolchain.lint_plugin])
    whole = linter.oxlint(paths, rules, tmp_path, [published])
    assert {code_of(one) for one in slim} == {f"@convex-dev({n.split('/')[1]})" for n in names}

    def places(said: Sequence[Mapping[str, object]]) -> list[tuple[str, ...]]:
        return sorted(
            (str(one["filename"]), code_of(one), json.dumps(one["labels"]), text_of(one))
            for one in said
        )

    assert places(slim) == places(whole)


def code_of(diagnostic: Mapping[str, object]) -> str:
    return str(diagnostic["code"])


def text_of(diagnostic: Mapping[str, object]) -> str:
    """The message without what the slim plugin adds and leaves out: an id, and advice that cannot
    be followed here."""
    text = re.sub(r"\A\[[\w-]+\] ", "", str(diagnostic["message"]))
    first, _, note = text.partition("\n\n")
    text = first if note.startswith("Note: type-aware") else text
    return " ".join(s for s in re.split(r"(?<=[.!?]) ", text) if "eslint-disable" not in s)


def test_eslint_and_oxlint_agree_on_every_snippet(
    linter: Linter, snippets: Sequence[Snippet], eslint: Eslint, tmp_path: Path
) -> None:
    paths = []
    for number, snippet in enumerate(snippets):
        for path, text in snippet.files.items():
            target = tmp_path / f"p{number}" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            paths.append(f"p{number}/{path}")
    done = run(
        [
            linter.toolchain.node,
            SCRIPT,
            eslint.root / "node_modules",
            linter.toolchain.rules_plugin,
        ],
        cwd=tmp_path,
        env=environment(home=tmp_path),
        limits=Limits(wall_seconds=HANG_SECONDS),
        stdin=json.dumps(paths),
    )
    assert done.ok, done.stderr
    names = [rule.name for rule in RULES if rule.code.startswith(OURS) and rule.in_plugin]
    report = linter.oxlint(paths, dict.fromkeys([*names, FACTS], "error"), tmp_path)
    said = {
        (diagnostic["filename"], str(diagnostic["code"]), diagnostic["message"])
        for diagnostic in report
    }
    eslint_said = {
        (path, f"convex-eval({str(rule).removeprefix(OURS)})", message)
        for path, rule, _, _, message in json.loads(done.stdout)
    }
    assert eslint_said == said
    assert len(said) > len(paths)


def test_eslint_and_oxlint_find_the_same_with_types(
    toolchain: Toolchain,
    eslint: Eslint,
    default_set: DependencySet,
    pitfalls: Sequence[Pitfall],
    tmp_path: Path,
) -> None:
    roots = [
        lay_out(
            tmp_path / str(number),
            {"package.json": "{}", **pitfall.files},
            node_modules=default_set.node_modules,
            templates=default_set.templates,
        ).root
        for number, pitfall in enumerate(pitfalls)
    ]
    projects = [(root, sources_of(root)) for root in roots]
    selection = select("strict", off=[], require=[rule.code for rule in RULES])
    reference = ask_eslint(
        eslint, projects, selection, scratch=tmp_path, deadline_seconds=HANG_SECONDS
    )
    # One process for all projects, as one large workspace.
    names = {f"{root.name}/{path}": (root, path) for root, paths in projects for path in paths}
    whole = ask_oxlint(
        toolchain, tmp_path, list(names), selection, scratch=tmp_path, deadline_seconds=HANG_SECONDS
    )
    said = {root: list[Diagnostic]() for root in roots}
    for one in whole.diagnostics:
        root, path = names[one.path]
        said[root].append(replace(one, path=path))
    heard = set[str]()
    for (root, paths), theirs in zip(projects, reference, strict=True):
        oxlint, eslint_found = (
            judge(report, paths, selection, SourceTree(root))
            for report in (EngineReport(tuple(said[root])), theirs)
        )
        found = list(differences(oxlint, eslint_found))
        texts = [SourceTree(root)[one.path].text if one.path else "" for one in found]
        assert all(map(explanation, found, texts)), "; ".join(map(str, found))
        heard |= {finding.code for finding in oxlint}
    # Every rule was compared on code that it reports.
    assert {rule.code for rule in RULES} <= heard


def test_the_types_in_the_plugins_comments_hold(linter: Linter, tmp_path: Path) -> None:
    index = Path(bundle.__file__).parent.joinpath("plugin").joinpath("index.mjs")
    options = "--noEmit --allowJs --checkJs --strict --target es2024 --lib es2024 --module nodenext"
    done = run(
        [linter.toolchain.tsc, *options.split(), "--types", "", index],
        cwd=tmp_path,
        env=environment(home=tmp_path),
        limits=Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stdout
