from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain.packages import ranges
from pytest_convex_eval.toolchain.packages.published import (
    convex_snapshot,
    refresh,
    resolve_convex,
)

if TYPE_CHECKING:
    from tests.toolchain.conftest import Registry


def test_the_snapshot_is_dated_and_its_newest_is_its_highest() -> None:
    snapshot = convex_snapshot()
    assert datetime.date.fromisoformat(snapshot.date).year >= 2026
    assert snapshot.newest == ranges.max_satisfying("*", snapshot.versions)
    assert len(set(snapshot.versions)) == len(snapshot.versions)


def test_a_range_means_one_version() -> None:
    newest = convex_snapshot().newest
    assert resolve_convex("^1.31.2") == newest
    assert resolve_convex("latest") == newest
    assert resolve_convex("~1.31.0") == "1.31.7"
    assert resolve_convex("1.41.0") == "1.41.0"
    assert resolve_convex("^99") is None
    assert resolve_convex("git+https://example.com/a.git") is None


def test_a_refreshed_snapshot_holds_what_the_registry_says(
    registry: Registry, tmp_path: Path
) -> None:
    registry.publish("convex", "1.0.0")
    target = tmp_path / "published.json"
    refresh(target)
    assert json.loads(target.read_text())["versions"] == ["1.0.0"]
    registry.publish("convex", "1.1.0")
    taken = refresh(target)
    assert taken.versions == ("1.0.0", "1.1.0")
    assert taken.newest == "1.1.0"


def test_a_failed_refresh_leaves_the_snapshot(registry: Registry, tmp_path: Path) -> None:
    target = tmp_path / "published.json"
    target.write_text("old")
    with pytest.raises(InfrastructureError):
        refresh(target)
    assert target.read_text() == "old"
