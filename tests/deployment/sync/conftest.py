"""A client on the sync protocol of `live`, which is what each module makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.sync_socket import SyncSocket


@pytest.fixture
def sync(live: EmbeddedDeployment) -> Iterator[SyncSocket]:
    with SyncSocket(live.url) as opened:
        yield opened
