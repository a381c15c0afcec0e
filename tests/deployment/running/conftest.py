from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.server_modules import InServer, server_modules


@pytest.fixture(scope="session")
def in_server(node: Path) -> Iterator[InServer]:
    with server_modules(node) as run:
        yield run
