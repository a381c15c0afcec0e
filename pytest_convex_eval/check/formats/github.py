"""Workflow commands of GitHub Actions, which show findings beside the lines of a pull request.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_convex_eval.check.run import Checked
from pytest_convex_eval.outcomes import Finding

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def github_lines(checked: Checked) -> Iterator[str]:
    """One command a finding, and one for each stage that could not be checked."""
    for stage in checked.results:
        for finding in stage.findings:
            yield _command(_LEVELS[finding.severity], finding, stage.stage)
        if stage.status == "error":
            title = _property(f"convex-eval {stage.stage}")
            yield f"::error title={title}::{_data(stage.reason)}"
    level = {0: "notice", 1: "error", 2: "error"}[checked.exit_code]
    yield f"::{level} title=convex-eval check::{_data(checked.message or checked.verdict.value)}"


def _command(level: str, finding: Finding, stage: str) -> str:
    properties = {
        "file": finding.path,
        "line": finding.line,
        "col": finding.column,
        "title": f"{stage}: {finding.code}",
    }
    given = ",".join(
        f"{name}={_property(str(value))}" for name, value in properties.items() if value is not None
    )
    message = finding.message + (f"\n{finding.hint}" if finding.hint else "")
    return f"::{level} {given}::{_data(message)}"


def _data(text: str) -> str:
    """As the toolkit of Actions escapes what stands behind the command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
