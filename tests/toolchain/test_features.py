"""What a package of `convex` can ask for is read from its own code."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_convex_eval.toolchain.packages.features import asks_for, features_of

VALIDATORS = """
export class VFloat64 extends BaseValidator {
  constructor() { __publicField(this, "kind", "float64"); }
  get json() { return { type: "number" }; }
}
export class VShiny extends BaseValidator {
  kind = "shiny";
  get json() { return { type: this.kind }; }
}
"""
SERVER = """
export const one = () => performAsyncSyscall("1.0/one", { service: "ai-gateway" });
export const two = () => performJsSyscall("storage/two", {});
const op = isAction ? "1.0/actions/three" : `never`;
export const table = () => ({ polishedIndexes: this.polished });
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A node_modules with `convex`, a component made for it, and something else."""
    files = {
        "convex/dist/esm/values/validators.js": VALIDATORS,
        "convex/dist/esm/server/impl/calls.js": SERVER,
        "convex/dist/esm/common/index.js": "",
        "convex/dist/cli.bundle.cjs": 'await post("/api/deploy2/start_push"); f("api/deploy2/x");',
        "@convex-dev/four/dist/index.js": 'Convex.asyncSyscall("1.0/four", "{}");',
        "other/index.js": 'Convex.asyncSyscall("1.0/five", "{}");',
    }
    for path, text in files.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_validators_operations_and_routes_are_found(modules: Path) -> None:
    found = features_of(modules / "convex")
    assert found.validators == {"number", "shiny"}
    assert found.operations == {"1.0/one", "storage/two", "1.0/actions/three"}
    assert found.routes == {"POST /api/deploy2/start_push", "POST /api/deploy2/x"}


@pytest.mark.parametrize(
    ("kind", "name", "asked"),
    [
        ("validator", "shiny", True),
        ("validator", "float64", False),
        ("validator", "ai-gateway", False),
        ("operation", "1.0/one", True),
        ("operation", "1.0/four", True),
        ("operation", "1.0/five", False),
        ("operation", "1.0/on", False),
        ("schema field", "polishedIndexes", True),
        ("schema field", "rustyIndexes", False),
        ("push field", "anything", True),
    ],
)
def test_what_packages_ask_for_is_told_from_what_they_do_not(
    modules: Path, kind: str, name: str, asked: bool
) -> None:
    assert asks_for(modules, kind, name) is asked


def test_what_is_no_package_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"validators\.js"):
        features_of(tmp_path)
