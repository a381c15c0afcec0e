"""The rooms whose tests are measured: which code is theirs, and which tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

PACKAGE = "pytest_convex_eval"


@dataclass(frozen=True, slots=True)
class Room:
    """`sources` and `tests` are globs, relative to the root of the tree.

    `executed` says how the lines that the tests execute are found: by coverage.py, by V8's own
    count in the server's processes, or not at all (`assumed`: each line counts as executed, which
    can only make the figure smaller).
    """

    sources: Sequence[str]
    tests: Sequence[str]
    executed: Literal["python", "server", "assumed"] = "python"
    leaves: Sequence[str] = ()
    """Globs of sources that another room has."""

    def files(self, root: Path) -> list[Path]:
        """The sources below `root`, in order."""
        left = {path for glob in self.leaves for path in root.glob(glob)}
        found = {path for glob in self.sources for path in root.glob(glob) if path.is_file()}
        return sorted(found - left)

    def test_files(self, root: Path) -> list[Path]:
        """The test files below `root`, in order."""
        found = {path for glob in self.tests for path in root.glob(glob)}
        return sorted(
            file
            for path in found
            for file in ([path] if path.is_file() else path.rglob("test_*.py"))
            if file.name.startswith("test_")
        )


GROUND = ("cache", "files", "fingerprint", "once", "outcomes", "processes", "text")

ROOMS: Mapping[str, Room] = MappingProxyType(
    {
        "behaviour": Room([f"{PACKAGE}/behaviour/*.py"], ["tests/behaviour"]),
        "cases": Room(
            [f"{PACKAGE}/cases/*.py", f"{PACKAGE}/workspace/*.py"],
            ["tests/cases", "tests/workspace"],
        ),
        "comparison": Room(
            [f"{PACKAGE}/comparison/*.py"], ["tests/comparison", "tests/plugin/test_gate.py"]
        ),
        "check": Room([f"{PACKAGE}/check/**/*.py"], ["tests/check"]),
        "deployment": Room([f"{PACKAGE}/deployment/*.py"], ["tests/deployment"]),
        "generation": Room([f"{PACKAGE}/generation/**/*.py"], ["tests/generation"]),
        "ground": Room(
            [f"{PACKAGE}/{name}.py" for name in GROUND],
            [
                *(
                    f"tests/test_{name}.py"
                    for name in ("cache", "files", "outcomes", "processes", "text")
                ),
                "tests/toolchain/test_once.py",
            ],
        ),
        "plugin": Room(
            [f"{PACKAGE}/*.py", f"{PACKAGE}/evaluation/*.py", f"{PACKAGE}/runs/*.py"],
            [
                *(f"tests/{name}" for name in ("evaluation", "plugin", "runs", "session")),
                *(f"tests/test_{name}.py" for name in ("cli", "options", "readme")),
            ],
            leaves=[f"{PACKAGE}/{name}.py" for name in GROUND],
        ),
        "rules": Room(
            [f"{PACKAGE}/toolchain/lint/plugin/**/*.mjs"], ["tests/toolchain/rules"], "assumed"
        ),
        "server": Room([f"{PACKAGE}/server/**/*.ts"], ["tests/deployment"], "server"),
        "stages": Room(
            [f"{PACKAGE}/expectations/*.py", f"{PACKAGE}/stages/*.py"],
            ["tests/stages", "tests/test_validators.py"],
        ),
        "statistics": Room([f"{PACKAGE}/statistics/*.py"], ["tests/statistics"]),
        "toolchain": Room([f"{PACKAGE}/toolchain/**/*.py"], ["tests/toolchain"]),
    }
)
