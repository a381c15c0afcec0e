"""The warm linter says what oxlint's command line says: of the suite, of broken code, of hostile.

The command line is asked about many workspaces at a time: what it says of a file does not depend on
the others, and starting it for each takes minutes.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.outcomes import Files
from pytest_convex_eval.toolchain.exhaustion import GO_SETTINGS
from pytest_convex_eval.toolchain.lint.catalogue import select
from pytest_convex_eval.toolchain.lint.oxlint import command_arguments
from pytest_convex_eval.toolchain.lint.oxlint_server import OxlintServer
from pytest_convex_eval.toolchain.lint.run import sources_of
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from pytest_convex_eval.toolchain.servers.pipes import NoAnswerError
from pytest_convex_eval.toolchain.syntax import check_syntax
from pytest_convex_eval.workspace.layout import lay_out
from pytest_convex_eval.workspace.paths import admit
from tests.patience import HANG_SECONDS
from tests.toolchain.checkers.conftest import TYPE_BOMB, Checkers
from tests.toolchain.checkers.test_warm_typecheck import (
    BROKEN_A_CHUNK,
    CHUNKS,
    IN_CHUNKS,
    SAMPLE,
    SUITE,
    broken,
    load,
)

WHOLE = select("strict", off=(), require=())

Said: TypeAlias = list[str]
"""Diagnostics of one workspace, as JSON, in an order of ours."""


@dataclass
class Linters:
    """Both linters over the same workspaces, which lie in folders of `folder`."""

    toolchain: Toolchain
    packages: DependencySet
    server: OxlintServer
    folder: Path
    warm: dict[str, Said] = field(default_factory=dict)
    files: int = 0

    def ask(self, name: str, files: Files) -> Said:
        """Lays `files` out, and asks the warm linter."""
        number = str(len(self.warm) + 1)
        root = lay_out(
            self.folder / number,
            admit(files).files,
            node_modules=self.packages.node_modules,
            templates=self.packages.templates,
        ).root
        paths = sources_of(root)
        self.files += len(paths)
        arguments = command_arguments(self.toolchain, paths, WHOLE, self._scratch())
        linted = self.server.lint(root, arguments, wall_seconds=HANG_SECONDS)
        assert linted.cpu_seconds > 0
        self.warm[number] = self._said(linted.report, {"": number})[number]
        return self.warm[number]

    def parses(self, files: Files) -> bool:
        admitted = admit(files).files
        root = self.folder / f"parsed-{len(self.warm)}"
        for path, text in admitted.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        paths = [path for path in admitted if path.endswith(".ts")]
        report = check_syntax(
            self.toolchain, root, paths, scratch=self._scratch(), deadline_seconds=HANG_SECONDS
        )
        shutil.rmtree(root)
        return report.findings == ()

    def compare(self) -> None:
        """Asks the command line about all of them, and fails where it says something else."""
        paths = [
            f"{number}/{path}" for number in self.warm for path in sources_of(self.folder / number)
        ]
        tool = self.toolchain
        scratch = self._scratch()
        done = processes.run(
            [tool.node, tool.oxlint, *command_arguments(tool, paths, WHOLE, scratch)],
            cwd=self.folder,
            env={
                **processes.environment(home=scratch, OXLINT_TSGOLINT_PATH=str(tool.tsgolint)),
                **GO_SETTINGS,
            },
            limits=processes.Limits(wall_seconds=HANG_SECONDS),
        )
        assert json.loads(done.stdout)["number_of_files"] == self.files
        cold = self._said(done.stdout, {number: number for number in self.warm})
        for number, said in self.warm.items():
            assert (number, said) == (number, cold[number])

    def _said(self, report: str, folders: Mapping[str, str]) -> Mapping[str, Said]:
        """What a report says of each folder; `folders` are those that its paths begin with."""
        said: dict[str, Said] = defaultdict(list)
        for diagnostic in json.loads(report)["diagnostics"]:
            first, _, rest = diagnostic["filename"].partition("/")
            folder = folders.get(first)
            if folder is None:
                folder = folders[""]
            else:
                diagnostic["filename"] = rest
            text = json.dumps(diagnostic, sort_keys=True)
            # A workspace's own folder stands in some messages.
            said[folder].append(text.replace(f"{self.folder}/{folder}/", ""))
        return {folder: sorted(said[folder]) for folder in folders.values()}

    def _scratch(self) -> Path:
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        return scratch


@pytest.fixture
def linters(toolchain: Toolchain, default_set: DependencySet, tmp_path: Path) -> Iterator[Linters]:
    with OxlintServer(toolchain) as server:
        yield Linters(toolchain, default_set, server, tmp_path)


def compare_suite(linters: Linters, paths: Sequence[Path], most_mutants: int | None) -> None:
    """Compares on the reference of each case, and on its first mutants; on all where None."""
    for path in paths:
        case = load(path).case
        linters.ask(path.stem, {**case.files, **case.reference})
        for mutant in case.mutants[:most_mutants]:
            files = {**case.files, **mutant.applied_to(case.reference)}
            if any(path.startswith("convex/") for path in files):
                linters.ask(f"{path.stem}: {mutant.name}", files)
    assert len(linters.warm) > len(paths) > 0
    linters.compare()


def compare_broken(linters: Linters, chunk: int, wanted: int) -> None:
    """Compares on so many edited references."""
    number = 0
    while len(linters.warm) < wanted:
        case = load(SUITE[(chunk + CHUNKS * number) % len(SUITE)]).case
        files = broken({**case.files, **case.reference}, f"{chunk}/{number}")
        # What does not parse is not linted, and tsgolint crashes on some of it.
        if linters.parses(files):
            linters.ask("", files)
        number += 1
    linters.compare()
    assert sum(map(bool, linters.warm.values())) > wanted * 3 // 4


def test_on_some_references_and_mutants(linters: Linters) -> None:
    compare_suite(linters, SAMPLE, 1)


def test_on_some_broken_files(linters: Linters) -> None:
    compare_broken(linters, 0, 5)


@pytest.mark.sweep
@IN_CHUNKS
def test_on_every_reference_and_mutant(linters: Linters, chunk: int) -> None:
    compare_suite(linters, SUITE[chunk::CHUNKS], None)


@pytest.mark.sweep
@IN_CHUNKS
def test_on_broken_files(linters: Linters, chunk: int) -> None:
    compare_broken(linters, chunk, BROKEN_A_CHUNK)


def test_what_is_hostile_changes_nothing_for_what_comes_after_it(
    checkers: Checkers, toolchain: Toolchain
) -> None:
    good: Files = {"convex/a.ts": "export const a: any = 1;\nPromise.resolve(a);\n"}
    depth = 3_000
    hostile: list[Files] = [
        {"convex/a.ts": f"export const a = {'(' * depth}1{')' * depth};\n"},
        {"convex/a.ts": f"export const a = {'[' * depth}{']' * depth};\n"},
        {"convex/a.ts": "export const a = `" + "${`" * 500 + "`}" * 500 + "`;\n"},
        {"convex/a.ts": "// oxlint-disable\nexport const a: any = 1;\n"},
        {"convex/a.ts": 'export const a = "😀"; Promise.resolve(a);\n'},
        {"convex/a.ts": "export const a = ;\n", "convex/b.ts": "export const b: any = 1;\n"},
        {f"convex/f{n}.ts": "export const a: any = 1;\n" for n in range(200)},
    ]
    with OxlintServer(toolchain) as server:
        first = checkers.lint_of(checkers.lay_out(good, "good"), server).findings
        assert len(first) > 1
        for number, files in enumerate(hostile):
            warm = checkers.lint_of(checkers.lay_out(files, f"hostile{number}"), server)
            cold = checkers.lint_of(checkers.lay_out(files, f"cold{number}"))
            assert warm.findings == cold.findings
            assert (
                checkers.lint_of(checkers.lay_out(good, f"good{number}"), server).findings == first
            )
            assert server.pid is not None


def test_a_bomb_of_types_is_left_to_the_command_line(linters: Linters) -> None:
    bomb = {"convex/a.ts": f"{TYPE_BOMB}export const f = async () => await order;\n"}
    with pytest.raises(NoAnswerError) as caught:
        linters.ask("bomb", bomb)
    assert not caught.value.broken
