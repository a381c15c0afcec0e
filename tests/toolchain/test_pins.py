from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.toolchain.packages.pins import PINS, PLATFORMS, packages, pins, record

if TYPE_CHECKING:
    from tests.toolchain.conftest import Registry


def test_every_platform_has_every_program_at_one_version() -> None:
    versions = {pin.program: pin.version for pin in pins("linux-x64")}
    assert {"node", "oxlint"} & versions.keys()
    for name in PLATFORMS:
        assert {pin.program: pin.version for pin in pins(name)} == versions


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_digest_of_every_package_is_recorded(name: str) -> None:
    found = pins(name)
    assert found
    assert all((pin.integrity or "").startswith("sha512-") for pin in found)


def test_only_oxlint_differs_by_c_library() -> None:
    glibc, musl = packages("linux-x64"), packages("linux-x64-musl")
    assert {program for program in glibc if glibc[program] != musl[program]} == {"oxlint-binding"}


def test_moving_a_pin_keeps_the_digests_that_are_known(registry: Registry, tmp_path: Path) -> None:
    registry.publish("oxlint", "9.0.0")
    target = tmp_path / "pins.json"
    missing = record({"oxlint": "9.0.0"}, target)

    before, after = json.loads(PINS.read_text()), json.loads(target.read_text())
    assert after["versions"] == {**before["versions"], "oxlint": "9.0.0"}
    kept = {spec: i for spec, i in before["integrity"].items() if not spec.startswith("oxlint@")}
    new = after["integrity"].pop("oxlint@9.0.0")
    assert new.startswith("sha512-")
    assert after["integrity"] == kept
    assert "oxlint@9.0.0" not in missing


def test_a_program_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="eslint"):
        record({"eslint": "1.0.0"}, tmp_path / "pins.json")
