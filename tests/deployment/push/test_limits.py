"""What the Convex CLI may take over an answer, and whose fault it is when that is not enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_convex_eval.deployment import push as pushing
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.outcomes import InfrastructureError
from tests.deployment.fixtures import MakeProject, PushProject
from tests.patience import HANG_SECONDS

FILES = {"convex/a.ts": 'import { query } from "./_generated/server";\nexport const f = 1;\n'}
# Stands in for the CLI: it runs, and is kept busy by what it reads.
CLI = 'if (process.argv.includes("--version")) process.exit(0);\n'
BUSY = {
    "CPU": "while (true);\n",
    "memory": "const kept = [];\nwhile (true) kept.push(new Array(100_000).fill(1.5));\n",
    "print": 'const say = () => process.stdout.write("x".repeat(100_000), say);\nsay();\n',
}


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "CPU_SECONDS", 2)
    monkeypatch.setattr(pushing, "HEAP_MEBIBYTES", 64)


@pytest.mark.parametrize("limit", BUSY)
def test_a_cli_that_an_answer_exhausts_is_the_answers_fault(
    node: Path,
    make_project: MakeProject,
    deployment: EmbeddedDeployment,
    tmp_path: Path,
    scarce: None,
    limit: str,
) -> None:
    cli = tmp_path / "main.js"
    cli.write_text(CLI + BUSY[limit])
    pushed = pushing.push(
        deployment, node=node, cli=cli, project=make_project(FILES), deadline_seconds=HANG_SECONDS
    )
    (finding,) = pushed.findings
    assert finding.code == "deploy/resource-limit"
    assert finding.severity == "error"
    assert limit in finding.message
    assert deployment.alive()


def test_a_cli_that_is_exhausted_by_nothing_is_nobodys_bad_code(
    node: Path,
    make_project: MakeProject,
    deployment: EmbeddedDeployment,
    tmp_path: Path,
    scarce: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pushing, "CONTROL_SECONDS", 2)
    cli = tmp_path / "main.js"
    cli.write_text(BUSY["CPU"])
    with pytest.raises(InfrastructureError, match="does not run"):
        pushing.push(
            deployment,
            node=node,
            cli=cli,
            project=make_project(FILES),
            deadline_seconds=HANG_SECONDS,
        )


def test_a_cli_that_somebody_kills_is_nobodys_bad_code(
    node: Path, make_project: MakeProject, deployment: EmbeddedDeployment, tmp_path: Path
) -> None:
    cli = tmp_path / "main.js"
    cli.write_text(f'{CLI}process.kill(process.pid, "SIGKILL");\n')
    with pytest.raises(InfrastructureError, match="ended by signal"):
        pushing.push(
            deployment,
            node=node,
            cli=cli,
            project=make_project(FILES),
            deadline_seconds=HANG_SECONDS,
        )


def test_the_errors_of_one_long_line_show_its_beginning(
    make_project: MakeProject, push_project: PushProject
) -> None:
    imports = "".join(f'import "no-such-{i}";' for i in range(200))
    findings = push_project(make_project({"convex/a.ts": imports})).findings
    assert len(findings) == 200
    assert findings[-1].column == imports.rindex('"no-such-') + 1
    assert max(len(finding.excerpt or "") for finding in findings) == pushing.EXCERPT_CHARACTERS
