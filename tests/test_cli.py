"""The convex-eval command."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pytest_convex_eval import __version__, cli
from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.cli import main
from pytest_convex_eval.deployment import serve
from pytest_convex_eval.generation.anthropic.words import usage_of
from pytest_convex_eval.generation.provider import Generation, Request
from pytest_convex_eval.generation.store import GenerationStore
from pytest_convex_eval.generation.usage import Stop
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain.packages.node import node_runtime
from pytest_convex_eval.toolchain.packages.published import convex_snapshot


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one generation and one file that is none."""
    folder = tmp_path / "generations"
    request = Request("claude-sonnet-5-5", "system", "user", 1000)
    moment = "2026-11-01T00:00:00.000+00:00"
    usage = {"input_tokens": 10, "output_tokens": 20}
    generation = Generation(
        request, "hello", Stop("stop"), moment, moment, 1.0, usage=usage_of(usage)
    )
    GenerationStore(folder).put(request, 1, generation, label="notes[claude-sonnet-5-5]")
    (folder / "claude-sonnet-5-5" / "broken.json").write_text("{")
    return folder


def files(store: Path) -> list[str]:
    return sorted(path.name for path in store.glob("*/*.json"))


def test_the_store_is_listed_and_exported(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "ls", "--store", str(store)]) == 0
    listed = capsys.readouterr().out
    assert "claude-sonnet-5-5" in listed
    assert "1 generation" in listed
    assert main(["store", "export", "--store", str(store)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["reply"] == "hello"


def test_pruning_removes_what_is_asked_for(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "prune", "--store", str(store)]) == 2
    assert "--unreadable" in capsys.readouterr().err
    assert main(["store", "prune", "--unreadable", "--dry-run", "--store", str(store)]) == 0
    assert capsys.readouterr().out.startswith("would remove ")
    assert len(files(store)) == 2
    # The generation is some days old, and not a thousand.
    assert main(["store", "prune", "--older-than", "1000", "--store", str(store)]) == 0
    assert len(files(store)) == 2
    capsys.readouterr()
    assert main(["store", "prune", "--unreadable", "--store", str(store)]) == 0
    assert capsys.readouterr().out.startswith("removed ")
    assert "broken.json" not in files(store)
    assert len(files(store)) == 1
    assert main(["store", "prune", "--older-than", "0", "--store", str(store)]) == 0
    assert files(store) == []


def test_an_empty_store_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "ls", "--store", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == "no generations\n"


def test_a_new_case_passes_with_its_mutant(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    os.chdir(pytester.path)
    assert main(["new", "data_modeling/easy/two_tables"]) == 0
    assert "cases/data_modeling/easy/two_tables.yaml" in capsys.readouterr().out
    assert main(["new", "data_modeling/easy/two_tables"]) == 2
    assert "is there already" in capsys.readouterr().err
    pytester.makeconftest('pytest_plugins = ["pytest_convex_eval.plugin"]')
    result = pytester.runpytest_subprocess("cases", "--convex-mutants")
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("place", ["x", "a/easy/b/c", "a/hrad/b", "../easy/b", "a/easy/b c"])
def test_a_place_that_is_none_is_refused(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", place, "--cases", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("convex-eval: ")
    assert list(tmp_path.iterdir()) == []


def test_a_new_case_is_named_and_filled_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "data_modeling/hard/two-big_tables.yml", "--cases", str(tmp_path)]) == 0
    path = tmp_path / "data_modeling/hard/two-big_tables.yaml"
    said = f"{path}: run it with  pytest {path} --convex-mutants"
    assert capsys.readouterr().out == said + "\n"
    case = load_case(path, "x").case
    assert case.summary == "Two big tables"
    package = json.loads(case.reference["package.json"])
    assert package == {
        "name": "two-big-tables", "dependencies": {"convex": f"^{convex_snapshot().newest}"}
    }  # fmt: skip
    assert [(one.name, one.fails, one.code) for one in case.mutants] == [
        ("forgets-package-json", "package", "package/missing")
    ]
    first = path.read_text().splitlines()[0]
    schema = first.removeprefix("# yaml-language-server: $schema=")
    found = Path(schema.removeprefix("file://")) if "://" in schema else path.parent / schema
    assert json.loads(found.read_text())["title"] == "A pytest-convex-eval case"
    assert set(yaml.safe_load(path.read_text())) == {
        "summary", "tags", "prompt", "expect", "reference", "mutants"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("start", "shown"),
    [
        ("/a/b/c", "x/y"),
        ("/a/b", "c/x/y"),
        ("/a/q/r/s", "../../../b/c/x/y"),
        ("/1/2/3/4/5/6", "../../../../../../a/b/c/x/y"),
        ("/1/2/3/4/5/6/7", "file:///a/b/c/x/y"),
    ],
)
def test_what_is_far_away_is_named_by_its_url(start: str, shown: str) -> None:
    assert cli._relative(Path("/a/b/c/x/y"), Path(start)) == shown


def test_a_difficulty_that_is_none_is_told_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "a/hrad/b", "--cases", str(tmp_path)]) == 2
    assert capsys.readouterr().err == ("convex-eval: 'hrad' is no difficulty: easy, medium, hard\n")


@pytest.mark.parametrize("given", [False, True])
def test_serving_takes_the_options_that_were_given(
    monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    served: list[tuple[serve.ServeOptions, Path, object]] = []

    def fake(options: serve.ServeOptions, *, node: Path, out: object) -> None:
        served.append((options, node, out))

    monkeypatch.setattr(serve, "serve", fake)
    args = ["--port", "1", "--site-proxy-port", "2", "--admin-key", "k", "--instance-name", "n",
            "--data", "d"]  # fmt: skip
    assert main(["serve", *(args if given else [])]) == 0
    ((options, node, out),) = served
    assert options == (
        serve.ServeOptions(
            port=1, site_proxy_port=2, admin_key="k", instance_name="n", data=Path("d")
        )
        if given
        else serve.ServeOptions(
            port=3210, site_proxy_port=3211, admin_key=None, instance_name=None, data=None
        )
    )
    assert (node, out) == (node_runtime().node, sys.stdout)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InfrastructureError("no port", detail="EADDRINUSE"), "no port\nEADDRINUSE"),
        (InfrastructureError("port 1 is taken"), "port 1 is taken"),
        (OSError("no such folder"), "no such folder"),
    ],
)  # fmt: skip
def test_what_can_not_be_served_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def fake(options: serve.ServeOptions, *, node: Path, out: object) -> None:
        raise error

    monkeypatch.setattr(serve, "serve", fake)
    assert main(["serve"]) == 2
    assert capsys.readouterr() == ("", f"convex-eval: {said}\n")


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--version"])
    assert raised.value.code == 0
    assert capsys.readouterr().out == f"convex-eval {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["store"], ["what"], ["store", "rm"]])
def test_a_command_that_is_none_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("usage: convex-eval")


def test_a_reader_that_has_had_enough_is_no_error(store: Path) -> None:
    code = (
        "import os, sys; from pytest_convex_eval.cli import main\n"
        # Nobody reads what is written from now on.
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "sys.stdout.reconfigure(write_through=True)\n"
        f"sys.exit(main(['store', 'export', '--store', {str(store)!r}]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_store_is_where_runs_leave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / ".convex-eval").mkdir()
    store.rename(tmp_path / ".convex-eval/generations")
    monkeypatch.chdir(tmp_path)
    assert main(["store", "ls"]) == 0
    assert "1 generation" in capsys.readouterr().out


def said(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str | None, str | None]]:
    """Each option and command with what stands for its value and its help, commands' own below."""
    for action in parser._actions:
        name = "/".join(action.option_strings) or action.dest
        shown = action.metavar if isinstance(action.metavar, str) else None
        if name != "-h/--help":
            yield name, shown, action.help
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                yield choice.dest, None, choice.help
            for command in action.choices.values():
                yield from said(command)


def test_help_says_what_each_command_and_option_is_for() -> None:
    told = [each for each in said(cli._parser()) if each[1] not in ("COMMAND", "ACTION")]
    commands = {name for name, _, _ in told}
    assert {"new", "check", "serve", "store", "runs", "compare", "leaderboard"} <= commands
    assert [name for name, _, text in told if not text] == []
