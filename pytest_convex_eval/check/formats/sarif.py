"""SARIF 2.1.0, which code scanning services and editors read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from pydantic import JsonValue

from pytest_convex_eval import __version__
from pytest_convex_eval.check.run import Checked
from pytest_convex_eval.outcomes import Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def sarif_text(checked: Checked, here: Path) -> str:
    """`here` is the folder that relative paths of findings are relative to."""
    found = [finding for stage in checked.results for finding in stage.findings]
    codes = list(dict.fromkeys(finding.code for finding in found))
    notifications: list[JsonValue] = [
        {"level": "error", "message": {"text": f"{stage.stage}: {stage.reason}"}}
        for stage in checked.results
        if stage.status == "error"
    ]
    run: dict[str, JsonValue] = {
        "tool": {
            "driver": {
                "name": "convex-eval",
                "version": __version__,
                "rules": [{"id": code} for code in codes],
            }
        },
        "invocations": [
            {
                "executionSuccessful": checked.exit_code != 2,
                "exitCode": checked.exit_code,
                "toolExecutionNotifications": notifications,
            }
        ],
        "originalUriBaseIds": {"SRCROOT": {"uri": here.resolve().as_uri().rstrip("/") + "/"}},
        # As findings count: characters, and no UTF-16 units.
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, codes.index(finding.code)) for finding in found],
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, ensure_ascii=False)


def _result(finding: Finding, rule: int) -> JsonValue:
    message = finding.message + (f"\n{finding.hint}" if finding.hint else "")
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": message or finding.code},
        "locations": list(_locations(finding)),
    }


def _locations(finding: Finding) -> Iterator[JsonValue]:
    if finding.path is None:
        return
    path = PurePosixPath(finding.path)
    artifact: dict[str, JsonValue] = (
        {"uri": path.as_uri()}
        if path.is_absolute()
        else {"uri": quote(finding.path), "uriBaseId": "SRCROOT"}
    )
    location: dict[str, JsonValue] = {"artifactLocation": artifact}
    if finding.line is not None:
        region: dict[str, JsonValue] = {"startLine": finding.line}
        if finding.column is not None:
            region["startColumn"] = finding.column
        if finding.excerpt is not None:
            region["snippet"] = {"text": finding.excerpt}
        location["region"] = region
    yield {"physicalLocation": location}
