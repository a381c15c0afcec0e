"""Rows are asked of the embedded deployment, or of the one that `--official-url` names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from pytest_convex_eval.deployment.backends import ADMIN_KEY_VARIABLE
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.official_api import OfficialApi
from pytest_convex_eval.deployment.push import push
from pytest_convex_eval.deployment.remote import RemoteDeployment, check_target
from tests.deployment.fixtures import Bundle, MakeProject
from tests.deployment.issuer import Signer
from tests.deployment.official.apps import App
from tests.deployment.official.asked import Asked
from tests.deployment.official.form import Refused, Row
from tests.deployment.official.matching import text_matches
from tests.deployment.official.tokens import Tokens
from tests.patience import HANG_SECONDS


class Differences(Protocol):
    """What does not hold of a row."""

    def __call__(self, app: App, row: Row) -> list[str]: ...


@pytest.fixture(scope="session")
def tokens(signer: Signer) -> Tokens:
    return Tokens(*signer.keys)


@pytest.fixture(scope="session")
def asked(
    request: pytest.FixtureRequest,
    node: Path,
    tokens: Tokens,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Asked]:
    url = request.config.getoption("--official-url")
    if url is None:
        with EmbeddedDeployment(node) as ours:
            yield Asked(ours, tokens)
        return
    key = request.config.getoption("--official-key") or os.environ.get(ADMIN_KEY_VARIABLE, "")
    check_target(url, key, production=False)
    locks = tmp_path_factory.getbasetemp() / "locks"
    with RemoteDeployment(url.rstrip("/"), key, locks) as remote:
        variables = OfficialApi(Client(remote.url, key)).variables()
        yield Asked(remote, tokens, variables=frozenset(variables))


@pytest.fixture
def differences(
    asked: Asked,
    bundle: Bundle,
    make_project: MakeProject,
    node: Path,
    compile_cache: Path,
) -> Differences:
    def by_cli(app: App, files: dict[str, str], expected: str) -> list[str]:
        asked.empty(app)
        project = make_project(files)
        result = push(
            asked.deployment,
            node=node,
            cli=project / "node_modules" / "convex" / "bin" / "main.js",
            project=project,
            deadline_seconds=HANG_SECONDS,
            compile_cache=compile_cache,
        )
        if not result.findings:
            return ["the push is accepted"]
        return [] if text_matches(f"…{expected.strip()}…", result.output) else [result.output]

    def refused(app: App, files: dict[str, str], expected: Refused) -> list[str]:
        if expected.cli is not None:
            return by_cli(app, files, expected.cli)
        asked.empty(app)
        answer = asked.push(bundle(files))
        if answer.status == 200:
            return ["the push is accepted"]
        code, message = answer.body["code"], answer.body["message"]
        wrong = []
        if answer.status != expected.status:
            wrong.append(f"status: expected {expected.status}, found {answer.status}")
        if expected.code is not None and code != expected.code:
            wrong.append(f"code: expected {expected.code!r}, found {code!r}")
        if expected.message is not None and not text_matches(expected.message.rstrip(), message):
            wrong.append(f"message: expected {expected.message!r}, found {message!r}")
        return wrong

    def find(app: App, row: Row) -> list[str]:
        files = app.files(asked.tokens.config)
        if row.refused is not None:
            return refused(app, files, row.refused)
        asked.have(app, bundle(files))
        return asked.differences(row)

    return find
