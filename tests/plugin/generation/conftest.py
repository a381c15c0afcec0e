"""Small projects whose pytest asks the local Messages API, with a patience of seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import pytest
import yaml

from pytest_convex_eval.generation.store import StoredGeneration, read_stored
from tests.patience import HANG_SECONDS

ROOT = Path(__file__).parents[3]
MODEL = "claude-sonnet-5-5"

CONFTEST = """
from pytest_convex_eval.evaluation import replies
from pytest_convex_eval.generation.retries import RetryPolicy
from pytest_convex_eval.generation.ahead.limiter import LimiterPolicy

pytest_plugins = ["pytest_convex_eval.plugin"]

# Minutes are seconds here, and seconds a twentieth of that.
replies.PATIENCE = replies.Patience(
    RetryPolicy({retries}), LimiterPolicy({limits}), deadline_seconds={deadline}
)
"""
RETRIES = {
    "attempts": 3, "first_pause": 0.05, "longest_pause": 0.2, "longest_retry_after": 1.0,
    "connect": HANG_SECONDS, "read": HANG_SECONDS, "refused": 1.5,
}  # fmt: skip
LIMITS = {"window": 1.0, "cooldown": 0.25, "longest_pause": 1.0, "unknown_pause": 0.05}

# All but the first come with the tests' own tools; importing them is a quarter of each start, and
# the last would mix the items up.
WITHOUT = [f"-pno:{name}" for name in ("cacheprovider", "hypothesispytest", "anyio", "randomly")]

SCHEMA = """\
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  notes: defineTable({ text: v.string() }),
});
"""
PACKAGE = '{"name": "notes", "dependencies": {"convex": "^1.48.0"}}\n'


@dataclass(frozen=True)
class Ran:
    """A pytest process that has ended."""

    status: int
    out: str
    seconds: float


@dataclass(frozen=True)
class Project:
    """A folder with cases; `url` is where its models are asked, and `key` what with. `deadline` are
    seconds for one reply: where it is what ends nothing, a slow machine must not come to it."""

    folder: Path
    url: str
    key: str | None = "sk-ant-test-key"
    model: str = MODEL
    environ: Mapping[str, str] = field(default_factory=dict)
    ini: str = ""
    retries: dict[str, float] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    deadline: float = HANG_SECONDS

    def write(self, *names: str) -> Project:
        """Makes a case of each name; its prompt holds the name between `<` and `>`."""
        cases = self.folder / "cases" / "fundamentals" / "easy"
        cases.mkdir(parents=True, exist_ok=True)
        (self.folder / "pyproject.toml").write_text(f"[tool.pytest]\nstrict = true\n{self.ini}\n")
        (self.folder / "conftest.py").write_text(
            CONFTEST.format(
                retries=_keywords(RETRIES | self.retries),
                limits=_keywords(LIMITS | self.limits),
                deadline=self.deadline,
            )
        )
        for name in names:
            case = {
                "summary": "A table of notes",
                "prompt": f"Write the table of notes called <{name}>.",
                "expect": {"files": ["convex/schema.ts"]},
                "reference": {"package.json": PACKAGE, "convex/schema.ts": SCHEMA},
            }
            (cases / f"{name}.yaml").write_text(yaml.safe_dump(case, sort_keys=False))
        return self

    def start(self, *args: str, stages: str = "format") -> subprocess.Popen[str]:
        """pytest in a process of its own, and of its own group."""
        environ = {
            name: value
            for name, value in os.environ.items()
            if name != "CI" and not name.startswith(("ANTHROPIC_", "OPENAI_", "PYTEST_"))
        }
        environ |= {"PYTHONPATH": str(ROOT), "ANTHROPIC_BASE_URL": self.url, **self.environ}
        if self.key is not None:
            environ["ANTHROPIC_API_KEY"] = self.key
        command = [sys.executable, "-m", "pytest", "cases", *WITHOUT]
        return subprocess.Popen(
            [*command, "--convex-model", self.model, "--convex-stages", stages, *args],
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *args: str, stages: str = "format") -> Ran:
        began = time.monotonic()
        process = self.start(*args, stages=stages)
        out, _ = process.communicate(timeout=HANG_SECONDS)
        return Ran(process.returncode, out, time.monotonic() - began)

    def items(self, runs: str = ".convex-eval/runs") -> dict[str, dict[str, Any]]:
        """What the one run in the folder `runs` recorded, by the names of the cases."""
        found: dict[str, dict[str, Any]] = {}
        for path in (self.folder / runs).glob("*/items.jsonl"):
            for line in path.read_text().splitlines():
                record = json.loads(line)
                assert record["case"] not in found
                found[record["case"]] = record
        return found

    def stored(self) -> dict[str, StoredGeneration]:
        """All generations in the store, by the names of the cases. Raises for one that can't be
        read."""
        found = map(read_stored, self.folder.glob(".convex-eval/generations/*/[0-9a-f]*.json"))
        return {stored.label.partition("[")[0]: stored for stored in found}


@pytest.fixture(scope="session")
def projects() -> type[Project]:
    """What makes a project: `Project(folder, url, ...)`."""
    return Project


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Does something once for all tests, whichever of our own workers comes first.

    `once(name, action)` gives what `action(folder)` returned, which has to survive JSON.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def do(name: str, action: Callable[[Path], Any]) -> Any:
        path = shared / f"once-{name}.json"
        with filelock.FileLock(f"{path}.lock"):
            if not path.exists():
                folder = shared / f"once-{name}"
                folder.mkdir()
                path.write_text(json.dumps(action(folder)))
        return json.loads(path.read_text())

    return do


@pytest.fixture
def answer() -> str:
    """A reply that is right for every case."""
    return (
        f'Here it is.\n\n<file path="package.json">\n{PACKAGE}</file>\n'
        f'<file path="convex/schema.ts">\n{SCHEMA}</file>\n'
    )


def _keywords(values: dict[str, float]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


@pytest.fixture(params=[(), ("-n", "2")], ids=["serial", "n2"])
def workers(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The arguments of a run without and with workers."""
    args: tuple[str, ...] = request.param
    return args
