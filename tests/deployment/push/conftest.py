"""Pushes that are refused."""

from __future__ import annotations

import os
from typing import Protocol

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.skipped import FUNCTIONS
from tests.deployment.fixtures import Ask, Bundle, MakeProject, PushProject
from tests.deployment.push.rows import Row

REWORDED = {"AuthConfigMissingEnvironmentVariable", "MissingEnvironmentVariables"}
"""What the CLI tells in words of its own, with the way out."""
OF_THE_CLI = {f"{FUNCTIONS}/convex.config.ts", "convex.json"}
"""Files that the CLI alone makes something of."""


class CheckRefusal(Protocol):
    def __call__(self, row: Row, *, cli: bool = False) -> None: ...


@pytest.fixture
def check_refusal(
    bundle: Bundle,
    ask: Ask,
    make_project: MakeProject,
    push_project: PushProject,
    deployment: EmbeddedDeployment,
) -> CheckRefusal:
    """Pushes a row's project, and checks what the deployment says.

    With `cli`, and in CI, it is the CLI that pushes, and what it prints is checked too; so it is
    where only the CLI can bundle a project, or tells of a refusal in its own words.
    """

    def by_cli(row: Row) -> str:
        result = push_project(make_project(row.files))
        assert [finding.code for finding in result.findings] == [f"deploy/{row.code}"]
        if row.code in REWORDED:
            assert "npx convex env set" in result.output
        else:
            told = deployment.last_push().message
            printed = f"400 Bad Request: {row.code}: {row.prefix}{told}\n"
            assert printed in result.output, "as the CLI prints it"
        return result.output

    def over_http(row: Row) -> str:
        answer = ask("POST", "/api/deploy2/start_push", bundle(row.files))
        told = f"{row.prefix}{deployment.last_push().message}"
        assert (answer.status, answer.body) == (400, {"code": row.code, "message": told})
        return told

    def check(row: Row, *, cli: bool = False) -> None:
        alone = not row.files.keys().isdisjoint(OF_THE_CLI) or row.code in REWORDED
        output = by_cli(row) if cli or alone or "CI" in os.environ else over_http(row)
        outcome = deployment.last_push()
        assert (outcome.status, outcome.code) == ("refused", row.code), output
        assert outcome.message is not None
        if row.message.endswith("…"):
            assert outcome.message.startswith(row.message[:-1])
        else:
            assert outcome.message == row.message
        if row.at is not None:
            assert outcome.position == row.at
        assert (outcome.table, outcome.index) == (row.table, row.index)
        assert deployment.deployed().files == ()

    return check
