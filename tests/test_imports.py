"""The rooms know whom they may; and the table that says so can't be walked through."""

from __future__ import annotations

from pathlib import Path

import pytest

import pytest_convex_eval
from tests.imports import PYTHON, SERVER, Room, circles, python_faults, script_faults

ROOT = Path(pytest_convex_eval.__file__).parent

ROOMS = {
    "ground": Room(("", "outcomes")),
    "toolchain": Room(("toolchain",), ("ground",)),
    "runs": Room(("runs",), ("ground",), knows_pytest=True),
    "cases": Room(("cases",), ("ground", "runs")),
    "options": Room(("options",), ("ground",)),
}


def test_the_package_keeps_to_its_table() -> None:
    assert list(python_faults(ROOT, PYTHON)) == []


def test_the_server_keeps_to_its_table() -> None:
    assert list(script_faults(ROOT / "server", SERVER)) == []


@pytest.mark.parametrize("rooms", [PYTHON, SERVER], ids=["python", "server"])
def test_no_table_has_a_circle(rooms: dict[str, Room]) -> None:
    assert rooms
    assert list(circles(rooms)) == []


@pytest.mark.parametrize("rooms", [PYTHON, SERVER], ids=["python", "server"])
def test_each_room_of_a_table_is_there(rooms: dict[str, Room]) -> None:
    folder = ROOT / "server" if rooms is SERVER else ROOT
    held = [name for room in rooms.values() for name in room.holds if name]
    assert held
    for name in held:
        path = folder / (name if rooms is SERVER else name.replace(".", "/"))
        assert path.exists() or path.with_suffix(".py").exists(), name


def package(tmp_path: Path, **files: str) -> Path:
    """A package with these modules, by dotted names with two underscores for the dots."""
    for name in ("", "toolchain", "runs", "cases"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "__init__.py").write_text("")
    for name in ("outcomes", "options"):
        (tmp_path / f"{name}.py").write_text("")
    for dotted, text in files.items():
        (tmp_path / f"{dotted.replace('__', '/')}.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "source",
    [
        "from pytest_convex_eval import options",
        "from pytest_convex_eval import outcomes, options as o",
        "import pytest_convex_eval.options",
        "from pytest_convex_eval.options import Settings",
        "from .. import options",
        "from ..options import Settings",
        "def late():\n    from pytest_convex_eval.options import Settings",
        "import importlib\nimportlib.import_module('pytest_convex_eval.options')",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from pytest_convex_eval.options import Settings",
    ],
)
def test_no_way_to_import_goes_unseen(tmp_path: Path, source: str) -> None:
    (fault,) = python_faults(package(tmp_path, toolchain__install=source), ROOMS)
    assert "toolchain must not know options" in fault
    assert fault.startswith("toolchain/install.py:")


def test_only_whole_paths_are_rooms_of_their_own(tmp_path: Path) -> None:
    rooms = {**ROOMS, "runs.manifest": Room(("runs.manifest",), ("ground", "options"))}
    source = "from pytest_convex_eval.options import Settings"
    root = package(tmp_path, runs__manifest=source, toolchain__manifest=source)
    (fault,) = python_faults(root, rooms)
    assert fault.startswith("toolchain/manifest.py:1:")


def test_a_module_of_no_room_is_a_fault(tmp_path: Path) -> None:
    (fault,) = python_faults(package(tmp_path, surprise=""), ROOMS)
    assert fault == "surprise.py: is in no room of the table"


def test_top_level_modules_are_held_to_the_table_too(tmp_path: Path) -> None:
    source = "from pytest_convex_eval.runs import record"
    root = package(tmp_path, options=source, runs__record="")
    (fault,) = python_faults(root, ROOMS)
    assert "options must not know runs" in fault


@pytest.mark.parametrize("source", ["import pytest", "from _pytest.reports import TestReport"])
def test_pytest_is_known_where_the_table_says_so(tmp_path: Path, source: str) -> None:
    root = package(tmp_path, runs__live=source, toolchain__live=source)
    (fault,) = python_faults(root, ROOMS)
    assert fault == "toolchain/live.py:1: toolchain must not know pytest"


def test_rooms_that_may_know_each_other_are_a_circle() -> None:
    rooms = {**ROOMS, "runs": Room(("runs",), ("ground", "cases"))}
    assert list(circles(rooms)) == ["runs may know cases, which is not above it"]


@pytest.mark.parametrize(
    "source",
    [
        'import { a } from "../running/a.ts";',
        'import type { A } from "../running/a.ts";',
        'import {\n  a,\n  b,\n} from "../running/a.ts";',
        'export { a } from "../running/a.ts";',
        'import "../running/a.ts";',
        'const a = await import("../running/a.ts");',
        'let a: import("../running/a.ts").A;',
    ],
)
def test_no_way_to_import_a_script_goes_unseen(tmp_path: Path, source: str) -> None:
    rooms = {"values": Room(("values",)), "running": Room(("running",), ("values",))}
    (tmp_path / "values").mkdir()
    (tmp_path / "values/v.ts").write_text(f"// A comment.\n{source}\n")
    (fault,) = script_faults(tmp_path, rooms)
    assert fault == "values/v.ts:2: values must not know running (../running/a.ts)"


def test_scripts_of_no_room_and_from_outside_are_faults(tmp_path: Path) -> None:
    rooms = {"values": Room(("values",))}
    (tmp_path / "values").mkdir()
    (tmp_path / "values/v.ts").write_text('import "../../elsewhere.ts";\n')
    (tmp_path / "loose.ts").write_text("")
    assert list(script_faults(tmp_path, rooms)) == [
        "loose.ts: is in no room of the table",
        "values/v.ts:1: imports from outside of the server (../../elsewhere.ts)",
    ]
