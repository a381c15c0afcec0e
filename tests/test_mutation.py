"""The tool that measures the tests: its rooms, its mutants, and where it thinks that tests went."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from tests.mutation.rooms import PACKAGE, ROOMS

ROOT = Path(__file__).parents[1]

needs_mutmut = pytest.mark.skipif(
    importlib.util.find_spec("mutmut") is None, reason="mutmut comes with the dev extra"
)


def test_each_module_is_in_one_room() -> None:
    rooms = Counter(file for room in ROOMS.values() for file in room.files(ROOT))
    modules = {
        path
        for pattern in ("**/*.py", "server/**/*.ts", "toolchain/lint/plugin/**/*.mjs")
        for path in (ROOT / PACKAGE).glob(pattern)
        if path.name != "__init__.py"
    }
    assert modules
    assert {file: count for file, count in rooms.items() if count > 1} == {}
    assert sorted(map(str, modules - rooms.keys())) == []


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_each_room_has_sources_and_tests(name: str) -> None:
    assert ROOMS[name].files(ROOT)
    assert ROOMS[name].test_files(ROOT)


@needs_mutmut
def test_python_mutants_change_one_place_of_a_function(tmp_path: Path) -> None:
    from tests.mutation.mutants import python_mutants

    file = tmp_path / "module.py"
    file.write_text(
        'LIMIT = 3\n\n\ndef small(n: int) -> str:\n    return "yes" if n < 4 else "not so small"\n'
    )
    mutants = list(python_mutants(tmp_path, [file]))
    changed = {(mutant.line, mutant.was, mutant.now) for mutant in mutants}
    assert (5, " < 4", " <= 4") in changed
    assert (5, "4", "5") in changed
    assert {line for line, _, _ in changed} == {5}, "constants of a module are no function's"
    assert not [was for _, was, _ in changed if was == '"not so small"'], "words for people"
    (boundary,) = (mutant for mutant in mutants if mutant.now == " <= 4")
    assert boundary.text() == file.read_text().replace("n < 4", "n <= 4")
    assert file.read_text()[boundary.offset :].lstrip().startswith("< 4")
    assert boundary.name == "module.py:5: < 4 -> <= 4"


@needs_mutmut
def test_what_ran_is_told_by_the_innermost_block_of_any_process() -> None:
    from tests.mutation.executed import ran

    whole, inner = (0, 100, 1), (40, 60, 0)
    assert ran([whole], 50)
    assert not ran([whole, inner], 50)
    assert ran([whole, inner], 39)
    assert ran([whole, inner], 60)
    assert ran([whole, inner, (40, 60, 2)], 50), "another process entered it"
    assert not ran([], 50)
