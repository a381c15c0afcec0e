"""What the official backend does, row by row (see README.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployment.official.apps import App, apps
from tests.deployment.official.asked import Asked
from tests.deployment.official.conftest import Differences
from tests.deployment.official.form import Row, load

SECTIONS = [load(path) for path in sorted((Path(__file__).parent / "rows").glob("*.yaml"))]
ROWS = [
    pytest.param(app, row, id=f"{section.name}-{row.name}")
    for section in SECTIONS
    for app in apps(section)
    for row in app.rows
]


@pytest.fixture(scope="module")
def app(request: pytest.FixtureRequest) -> App:
    """A parameter of the module's: rows that share a push stay together in any order of tests."""
    found = request.param
    assert isinstance(found, App)
    return found


@pytest.mark.parametrize(("app", "row"), ROWS, indirect=["app"])
def test_a_row_holds(app: App, row: Row, asked: Asked, differences: Differences) -> None:
    meant_to_hold = row.differs is None or not asked.ours
    found = differences(app, row)
    assert (found == []) == meant_to_hold, found or f"the row holds now: {row.differs}"
