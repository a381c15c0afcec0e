"""The command as people, hooks and CI run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from pytest_convex_eval.check.environment import read_env_file
from pytest_convex_eval.check.project import NotCheckableError
from pytest_convex_eval.cli import main
from tests.check.conftest import APP, NOTES, snapshot, write
from tests.patience import HANG_SECONDS, until_ended

ROOT = Path(__file__).parents[2]
STATIC = ("--stages", "package,syntax,typecheck")
BROKEN = {"convex/notes.ts": NOTES.replace("q.eq(", "q.equal(")}


def test_what_is_wrong_is_told_as_the_plugin_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write(tmp_path, {**APP, **BROKEN}))
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "  convex/notes.ts:9:40: error TS2339: " in out
    assert '       9 |       .withIndex("by_author", (q) => q.equal("author", author))' in out
    assert [line.split()[0] for line in out.splitlines()[1:6]] == [
        *("package", "syntax", "typecheck", "deploy", "lint")
    ]


def test_exit_codes_tell_findings_from_what_can_not_be_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write(tmp_path / "app", APP)
    assert main(["check", str(project), *STATIC]) == 0
    write(project, BROKEN)
    assert main(["check", str(project), *STATIC, "--format", "github"]) == 1
    assert "::error file=" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "nothing")]) == 2
    assert "does not exist" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["check", str(project), "--stages", "behaviour"])
    assert ended.value.code == 2


def test_the_profile_decides_what_lint_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collecting = NOTES.replace(".take(100)", ".collect()")
    project = write(tmp_path, {**APP, "convex/notes.ts": collecting})

    def found(profile: str) -> set[str]:
        main(["check", str(project), "--stages=lint", f"--profile={profile}", "--format=json"])
        (stage,) = json.loads(capsys.readouterr().out)["stages"]
        return {finding["code"] for finding in stage["findings"]}

    assert found("correctness") < found("strict")


def test_a_reader_of_json_needs_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write(tmp_path, {**APP, **BROKEN})
    assert main(["check", str(project), *STATIC, "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (finding,) = document["stages"][2]["findings"]
    assert (finding["path"], finding["line"]) == (str(project / "convex/notes.ts"), 9)


def test_variables_are_read_from_a_file_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env.test"
    file.write_text("# no\nA=1\nexport B=\"two words\"\nC='x\ny'\n")
    assert read_env_file(file) == {"A": "1", "B": "two words", "C": "x\ny"}
    with pytest.raises(NotCheckableError, match="can't be read"):
        read_env_file(tmp_path / "missing")


class Watch:
    """`check --watch` over a project, in a process of its own."""

    def __init__(self, project: Path, scratch: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest_convex_eval.cli", "check", project, "--watch", *STATIC],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(scratch)},
        )

    def verdict(self) -> str:
        """The last line of the next check."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(("passed", "failed", "error")):
                return line.strip()
        raise AssertionError("it ended")


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    project = write(tmp_path / "app", {**APP, "src/a.ts": "export const a: number = 1;\n"})
    write(project, {"convex/notes.ts": NOTES + 'export { a } from "../src/a";\n'})
    (tmp_path / "scratch").mkdir()
    watch = Watch(project, tmp_path / "scratch")
    yield watch
    watch.process.kill()
    watch.process.communicate(timeout=HANG_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_watch_checks_what_changes_and_leaves_nothing(
    watch: Watch, tmp_path: Path, number: signal.Signals
) -> None:
    project = tmp_path / "app"
    assert watch.verdict() == "passed"
    before = snapshot(project)
    write(project, BROKEN)
    assert watch.verdict().startswith("failed: typecheck: TS2339")
    write(project, {"convex/notes.ts": NOTES + 'export { a } from "../src/a";\n'})
    assert watch.verdict() == "passed"
    write(project, {"src/a.ts": "export const a: number = 'a';\n"})
    assert watch.verdict().startswith("failed: typecheck: TS2322")
    write(project, {"src/a.ts": "export const a: number = 1;\n"})
    assert watch.verdict() == "passed"
    assert snapshot(project) == before
    children = psutil.Process(watch.process.pid).children(recursive=True)
    watch.process.send_signal(number)
    assert watch.process.wait(HANG_SECONDS) == 0
    until_ended(children)
    # The list of what runs stays, and is empty.
    left = [path for path in (tmp_path / "scratch").rglob("*") if not path.is_dir()]
    assert left == []


def test_the_hook_that_ships_names_a_command_that_there_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["pass_filenames"] is False
    program, command = hook["entry"].split()
    assert program == "convex-eval"
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "Exit codes" in capsys.readouterr().out
