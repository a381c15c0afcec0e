"""For programs: one JSON object, whose keys docs/check.md describes."""

from __future__ import annotations

import json
from dataclasses import asdict

from pytest_convex_eval.check.run import Checked

FORMAT = 1
"""Raised when a key changes its meaning or goes."""


def json_text(checked: Checked, project: str) -> str:
    """`project` is how the functions folder is shown."""
    document = {
        "format": FORMAT,
        "functions": project,
        "packages": checked.packages,
        "verdict": checked.verdict.value,
        "message": checked.message,
        "exit_code": checked.exit_code,
        "stages": [asdict(stage) for stage in checked.results],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
