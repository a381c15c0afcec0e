"""Pushes that are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import MakeProject, PushProject
from tests.deployment.push.rows import Row

REWORDED = {"AuthConfigMissingEnvironmentVariable", "MissingEnvironmentVariables"}
"""What the CLI tells in words of its own, with the way out."""


@pytest.fixture
def check_refusal(
    make_project: MakeProject,
    push_project: PushProject,
    deployment: EmbeddedDeployment,
) -> Callable[[Row], None]:
    """Pushes a row's project, and checks what the deployment and the CLI say."""

    def check(row: Row) -> None:
        result = push_project(make_project(row.files))
        outcome = deployment.last_push()
        assert (outcome.status, outcome.code) == ("refused", row.code), result.output
        assert outcome.message is not None
        if row.message.endswith("…"):
            assert outcome.message.startswith(row.message[:-1])
        else:
            assert outcome.message == row.message
        assert [finding.code for finding in result.findings] == [f"deploy/{row.code}"]
        if row.code in REWORDED:
            assert "npx convex env set" in result.output
        else:
            printed = f"400 Bad Request: {row.code}: {row.prefix}{outcome.message}\n"
            assert printed in result.output, "as the CLI prints it"
        if row.at is not None:
            assert outcome.position == row.at
        assert (outcome.table, outcome.index) == (row.table, row.index)
        assert deployment.deployed().files == ()

    return check
