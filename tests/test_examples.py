"""The examples run as they stand, from outside of this repository."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_cases_of_another_project_pass_and_their_mutants_are_caught(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    shutil.copytree(EXAMPLES / "own-cases", pytester.path, dirs_exist_ok=True)
    result = pytester.run(
        *(sys.executable, "-m", "pytest", "-p", "pytest_convex_eval.plugin"),
        *("evals", "--convex-mutants", "--convex-guidelines", "ours=guidelines.md"),
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*mutants caught where they say: 2/2*"])
