"""The warm compiler says what the cold one says, to the letter: of the suite, of broken code."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

from pytest_convex_eval.cases.loader import LoadedCase, load_case
from pytest_convex_eval.outcomes import Files
from pytest_convex_eval.stages.package_json import read_package_json
from pytest_convex_eval.toolchain.generated import generated_files
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain, ToolReport
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.toolchain.servers.tsapi import TypeServer
from pytest_convex_eval.toolchain.typecheck import check_types
from pytest_convex_eval.workspace.layout import lay_out
from pytest_convex_eval.workspace.paths import admit
from tests.patience import HANG_SECONDS

DEADLINE_SECONDS = HANG_SECONDS
SUITE = sorted((Path(__file__).parents[3] / "cases").rglob("*.yaml"))
CHUNKS = 8
# Two hundred files at the least on which the compilers have something to say; most edits break one.
BROKEN_A_CHUNK = 200 // CHUNKS

IN_CHUNKS = pytest.mark.parametrize("chunk", range(CHUNKS))
SAMPLE = SUITE[::20]
"""Of the suite, what a plain run compares."""

_TOKEN = re.compile(r'"[^"\n]*"|[A-Za-z_$][\w$]*|\d+|[^\sA-Za-z_$\d]')
_WORD = re.compile(r"[A-Za-z_$]")
_VALIDATORS = ("string", "number", "boolean", "id", "array", "optional", "object", "union", "int64")

Tokens: TypeAlias = Sequence[re.Match[str]]
Edit: TypeAlias = Callable[[str, Tokens, Sequence[str], random.Random], str]


@dataclass
class Compilers:
    """Both compilers over the same workspace."""

    toolchain: Toolchain
    store: DependencyStore
    server: TypeServer
    folder: Path
    count: int = 0
    left: list[str] = field(default_factory=list)
    """What the server left to the cold compiler."""

    def compare(self, what: str, files: Files, dependencies: DependencySet) -> ToolReport:
        """Fails where the two differ; what the server leaves to the cold one is not compared."""
        self.count += 1
        root = lay_out(
            self.folder / str(self.count),
            admit(files).files,
            node_modules=dependencies.node_modules,
            templates=dependencies.templates,
        ).root
        warm = self._report(root, self.server)
        if self.server.pid is None:
            self.left.append(f"{what}: {self.server.failure}")
        else:
            cold = self._report(root, None)
            assert (what, warm.output) == (what, cold.output)
            assert (what, warm.findings) == (what, cold.findings)
        return warm

    def dependencies(self, case: LoadedCase) -> DependencySet:
        return self.store.get(read_package_json(case.case.reference["package.json"]).usable)

    def _report(self, root: Path, server: TypeServer | None) -> ToolReport:
        return check_types(
            self.toolchain,
            root,
            scratch=self.folder,
            deadline_seconds=DEADLINE_SECONDS,
            server=server,
        )


@pytest.fixture
def compilers(toolchain: Toolchain, store: DependencyStore, tmp_path: Path) -> Iterator[Compilers]:
    with TypeServer(toolchain.tsc) as server:
        yield Compilers(toolchain, store, server, tmp_path)


@cache
def load(path: Path) -> LoadedCase:
    return load_case(path, path.stem)


def broken(files: Files, seed: str) -> Files:
    """`files` with one to three edits of the code below `convex/`."""
    choice = random.Random(seed)
    changed = dict(files)
    code = sorted(path for path in files if path.startswith("convex/") and path.endswith(".ts"))
    names = [token for path in code for token in _TOKEN.findall(files[path]) if _WORD.match(token)]
    for _ in range(choice.randint(1, 3)):
        path = choice.choice(code)
        tokens = list(_TOKEN.finditer(changed[path]))
        if len(tokens) > 1:
            changed[path] = choice.choice(EDITS)(changed[path], tokens, names, choice)
    return changed


def delete_token(text: str, tokens: Tokens, names: Sequence[str], choice: random.Random) -> str:
    return _replaced(text, choice.choice(tokens), "")


def swap_tokens(text: str, tokens: Tokens, names: Sequence[str], choice: random.Random) -> str:
    at = choice.randrange(len(tokens) - 1)
    first, second = tokens[at], tokens[at + 1]
    return _replaced(_replaced(text, second, first.group()), first, second.group())


def use_another_name(text: str, tokens: Tokens, names: Sequence[str], choice: random.Random) -> str:
    return _replaced(text, choice.choice(_words(tokens)), choice.choice(names))


def misspell(text: str, tokens: Tokens, names: Sequence[str], choice: random.Random) -> str:
    word = choice.choice(_words(tokens))
    return _replaced(text, word, word.group() + choice.choice("sé"))


def change_type(text: str, tokens: Tokens, names: Sequence[str], choice: random.Random) -> str:
    types = [token for token in tokens if token.group() in _VALIDATORS] or list(tokens)
    return _replaced(text, choice.choice(types), choice.choice(_VALIDATORS))


def put_a_string(text: str, tokens: Tokens, names: Sequence[str], choice: random.Random) -> str:
    # Outside of the basic plane: two UTF-16 units, four bytes, one character.
    return _replaced(text, choice.choice(tokens), '"😀"')


EDITS: tuple[Edit, ...] = (
    delete_token,
    swap_tokens,
    use_another_name,
    use_another_name,
    misspell,
    change_type,
    put_a_string,
)


def _words(tokens: Tokens) -> Tokens:
    return [token for token in tokens if _WORD.match(token.group())] or tokens


def _replaced(text: str, token: re.Match[str], new: str) -> str:
    return text[: token.start()] + new + text[token.end() :]


def compare_suite(compilers: Compilers, paths: Sequence[Path], most_mutants: int | None) -> None:
    """Compares on the reference of each case, and on its first mutants; on all where None."""
    for path in paths:
        loaded = load(path)
        case, dependencies = loaded.case, compilers.dependencies(loaded)
        files = {**case.files, **case.reference}
        report = compilers.compare(loaded.name, files, dependencies)
        # Where only the CLI can tell what is generated, the stage has it told first.
        undecided = generated_files(files, dependencies.templates).undecided
        assert undecided or report.findings == ()
        for mutant in case.mutants[:most_mutants]:
            files = {**case.files, **mutant.applied_to(case.reference)}
            if not any(path.startswith("convex/") for path in files):
                continue
            compilers.compare(f"{loaded.name}: {mutant.name}", files, dependencies)
    assert compilers.count > len(paths) > 0
    assert compilers.left == []


def compare_broken(compilers: Compilers, chunk: int, wanted: int) -> None:
    """Compares on edited references until so many of them have findings."""
    failing = 0
    for number in range(2 * wanted):
        loaded = load(SUITE[(chunk + CHUNKS * number) % len(SUITE)])
        case, seed = loaded.case, f"{chunk}/{number}"
        files = broken({**case.files, **case.reference}, seed)
        what = f"{loaded.name} {seed}"
        failing += bool(compilers.compare(what, files, compilers.dependencies(loaded)).findings)
        if failing == wanted:
            break
    assert compilers.left == []
    assert failing == wanted


def test_on_some_references_and_mutants(compilers: Compilers) -> None:
    compare_suite(compilers, SAMPLE, 1)


def test_on_some_broken_files(compilers: Compilers) -> None:
    compare_broken(compilers, 0, 5)


@pytest.mark.sweep
@IN_CHUNKS
def test_on_every_reference_and_mutant(compilers: Compilers, chunk: int) -> None:
    compare_suite(compilers, SUITE[chunk::CHUNKS], None)


@pytest.mark.sweep
@IN_CHUNKS
def test_on_broken_files(compilers: Compilers, chunk: int) -> None:
    compare_broken(compilers, chunk, BROKEN_A_CHUNK)


@pytest.mark.parametrize(
    "files",
    [
        {"convex/a.ts": '/// <reference types="nope" />\nconst a = ;\n', "convex/b.ts": "x;"},
        {"convex/a.ts": '/// <reference path="nope.ts" />\nexport const n: number = "";\n'},
        {"convex/a.ts": 'import d from "./d.json";\nx;\n', "convex/d.json": '{"a": 1,,}'},
        {"convex/a.js": "function f(x: number) {}\n", "convex/b.js": "// @ts-check\nx;\n"},
        {"convex/a.ts": "const crash = 1;\n", "convex/b.ts": "const crash = 2;\n"},
        {"convex/a.d.ts": "export const x: = 1;\n"},
        {"convex/a.tsx": "export const x = <div/>;\n"},
        {"src/x.ts": 'export const n: number = "";\n', "convex/a.ts": 'import "../src/x";\n'},
        {"convex/(group)/a b.ts": 'export const n: number = "😀";\n'},
        {"convex/a.ts": 'export {};\r\n\rconst s = "é😀";\u2028const n: number = "";'},
        {"convex/a.ts": "export const f = (x: { a: { b: string } }) => x;\nf({ a: { b: 1 } });\n"},
        {"convex/a.ts": 'import x from "convex/server.js";\nimport y from "./b";\nexport {};\n'},
        {"convex/a.ts": 'import "./b";\nimport { z } from "./b";\n', "convex/b.ts": "let z;\n"},
        {"convex/a.ts": "interface Array<T, U> {}\nfunction fetch() {}\n"},
    ],
    ids=[
        "syntax-errors-alone",
        "missing-reference",
        "broken-json",
        "types-in-javascript",
        "in-two-files",
        "declarations",
        "jsx",
        "outside-of-convex",
        "odd-names",
        "line-ends",
        "explained",
        "missing-exports",
        "script",
        "globals",
    ],
)
def test_on_what_is_out_of_the_ordinary(
    compilers: Compilers, default_set: DependencySet, files: Files
) -> None:
    compilers.compare("", files, default_set)
    assert compilers.left == []


def test_what_concerns_no_file_is_left_to_the_cold_compiler(
    compilers: Compilers, default_set: DependencySet
) -> None:
    report = compilers.compare("nothing", {"package.json": "{}"}, default_set)
    assert [finding.code for finding in report.findings] == ["TS18003"]
    assert compilers.left == ["nothing: there are errors outside of files"]
