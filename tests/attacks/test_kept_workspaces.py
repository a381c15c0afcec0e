"""What a model wrote and a record keeps runs in nobody's later `pytest`, build, editor or shell."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from pytest_convex_eval.runs.record import KEPT, keep_workspace

CANARY = "canary"
PYTHON = f"import pathlib; pathlib.Path({CANARY!r}).write_text('ran')\n"
HOSTILE: Mapping[str, str] = {
    "conftest.py": PYTHON,
    "test_x.py": f"{PYTHON}def test_x(): pass\n",
    "convex/x_test.py": PYTHON,
    "tests/conftest.py": PYTHON,
    "sitecustomize.py": PYTHON,
    "setup.py": PYTHON,
    "pytest.ini": "[pytest]\naddopts = -p evil\n",
    "cases/a/easy/case.yaml": "summary: mine\n",
    "convex/a.test.ts": "import fs from 'fs'; fs.writeFileSync('canary', 'ran');\n",
    "eslint.config.js": "require('fs').writeFileSync('canary', 'ran');\n",
    ".eslintrc.js": "require('fs').writeFileSync('canary', 'ran');\n",
    "vite.config.ts": "require('fs').writeFileSync('canary', 'ran');\n",
    "Makefile": "all:\n\ttouch canary\n",
    ".envrc": "touch canary\n",
    ".vscode/tasks.json": "{}",
    ".git/HEAD": "ref: refs/heads/main\n",
    ".git/config": "[core]\n\tfsmonitor = touch canary\n",
    ".git/hooks/post-checkout": "#!/bin/sh\ntouch canary\n",
    "package.json": json.dumps({"scripts": {"install": "touch canary"}}),
}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o755)
    return folder


def test_no_kept_file_has_a_name_that_a_tool_knows_or_can_be_executed(tmp_path: Path) -> None:
    workspace = write(tmp_path / "workspace", HOSTILE)
    (workspace / "outside.ts").symlink_to("/etc/hostname")
    (workspace / "folder").symlink_to("/etc")
    kept = tmp_path / "runs" / "kept"
    keep_workspace(workspace, kept)
    found = {path.relative_to(kept).as_posix(): path for path in kept.rglob("*") if path.is_file()}
    assert sorted(found) == sorted(f"{path}{KEPT}" for path in HOSTILE)
    for path, text in HOSTILE.items():
        file = found[f"{path}{KEPT}"]
        assert file.read_text() == text
        assert not os.access(file, os.X_OK) or not file.stat().st_mode & 0o111
    assert not [path for path in kept.rglob("*") if path.is_symlink()]
    # Without its HEAD, `.git` is no repository: git goes on looking above.
    where = subprocess.run(
        ["git", "-C", kept, "rev-parse", "--show-toplevel"], check=False, capture_output=True
    )
    assert kept.as_posix() not in where.stdout.decode()


def test_a_later_pytest_over_the_project_runs_nothing_of_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeconftest('pytest_plugins = ["pytest_convex_eval.plugin"]')
    # It fails at the package stage, and is kept where everybody looks.
    files = {path: text for path, text in HOSTILE.items() if not path.startswith(".git/")}
    case = {"summary": "s", "prompt": "p", "reference": {**files, "package.json": "{"}}
    write(pytester.path / "cases/fundamentals/easy", {"case.yaml": yaml.safe_dump(case)})
    first = pytester.runpytest_subprocess("cases", "--convex-runs", "runs", "--convex-no-cache")
    first.assert_outcomes(failed=1)
    kept = [path.name for path in (pytester.path / "runs").rglob("*") if path.is_file()]
    assert f"conftest.py{KEPT}" in kept
    assert f"test_x.py{KEPT}" in kept
    pytester.makepyfile("def test_own(): pass")
    for arguments in ([], ["runs"]):
        later = pytester.runpytest_subprocess(
            *arguments, "-p", "no:cacheprovider", "--deselect", "cases", "--ignore", "cases"
        )
        later.assert_outcomes(passed=0 if arguments else 1)
    assert not list(pytester.path.rglob(CANARY))
