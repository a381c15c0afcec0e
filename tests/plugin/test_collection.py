"""Which files become items, how items are called, and how they are selected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Write = Callable[..., Path]
# One worker is another process, and most of what a second one adds is its start.
XDIST = pytest.mark.parametrize("xdist", [[], ["-n", "1"]], ids=["serial", "xdist"])

COLLECT = ("--co", "-q")


@pytest.fixture
def three(write_case: Write) -> None:
    write_case("fundamentals/easy/notes", tags=["tables"])
    write_case("query_patterns/medium/joins")
    write_case("fundamentals/hard/paging")


def ids(pytester: pytest.Pytester, *args: str) -> list[str]:
    result = pytester.runpytest(*COLLECT, *args)
    return [line.rsplit("/", 1)[-1] for line in result.outlines if "::" in line]


def test_items_are_named_by_case_and_model_and_hard_ones_come_first(
    pytester: pytest.Pytester, three: None
) -> None:
    assert ids(pytester, "cases") == [
        "paging.yaml::paging[reference]",
        "joins.yaml::joins[reference]",
        "notes.yaml::notes[reference]",
    ]


def test_models_arms_and_trials_multiply(
    pytester: pytest.Pytester, write_case: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case("fundamentals/easy/notes")
    pytester.path.joinpath("mine.md").write_text("Be brief.")
    args = ["--convex-model", "claude-a", "--convex-model", "reference", "--convex-trials", "2"]
    arms = ["--convex-guidelines", "default", "--convex-guidelines", "mine.md"]
    assert ids(pytester, "cases", *args, *arms) == [
        "notes.yaml::notes[claude-a-1]",
        "notes.yaml::notes[claude-a-2]",
        "notes.yaml::notes[claude-a-mine-1]",
        "notes.yaml::notes[claude-a-mine-2]",
        "notes.yaml::notes[reference]",
    ]


def test_mutants_are_items_when_asked_for(pytester: pytest.Pytester, write_case: Write) -> None:
    mutant = {"name": "no-package", "fails": "package", "files": {"package.json": None}}
    write_case("fundamentals/easy/notes", mutants=[mutant])
    assert ids(pytester, "cases") == ["notes.yaml::notes[reference]"]
    assert ids(pytester, "cases", "--convex-mutants") == [
        "notes.yaml::notes[reference]",
        "notes.yaml::notes[mutant-no-package]",
    ]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (["-k", "fundamentals"], ["paging", "notes"]),
        (["-k", "fundamentals and not hard"], ["notes"]),
        (["-k", "tables"], ["notes"]),
        (["-k", "reference and joins"], ["joins"]),
        (["-m", "hard"], ["paging"]),
        (["-m", "query_patterns"], ["joins"]),
        (["-m", "fundamentals and easy"], ["notes"]),
        (["-m", "convex_case(category='fundamentals', difficulty='hard')"], ["paging"]),
    ],
)
def test_keywords_and_markers_select(
    pytester: pytest.Pytester, three: None, selection: list[str], expected: list[str]
) -> None:
    assert [i.split(".")[0] for i in ids(pytester, "cases", *selection)] == expected


def test_an_id_and_a_folder_select(pytester: pytest.Pytester, three: None) -> None:
    assert len(ids(pytester, "cases/fundamentals/easy/notes.yaml::notes")) == 1
    assert len(ids(pytester, "cases/fundamentals/easy/notes.yaml::notes[reference]")) == 1
    assert len(ids(pytester, "cases/fundamentals")) == 2


def test_only_cases_are_collected(
    pytester: pytest.Pytester, three: None, write_case: Write
) -> None:
    pytester.mkdir(".github").joinpath("ci.yaml").write_text("on: push")
    pytester.path.joinpath("compose.yaml").write_text("services: {}")
    assert len(ids(pytester, ".")) == 3
    assert len(ids(pytester)) == 3
    elsewhere = pytester.path / "evals/fundamentals/easy"
    elsewhere.mkdir(parents=True)
    moved = write_case("fundamentals/easy/notes").rename(elsewhere / "moved.yaml")
    assert len(ids(pytester, "evals")) == 1
    assert len(ids(pytester, str(moved))) == 1
    ini = "[tool.pytest]\nconvex_cases = ['evals']\n"
    pytester.makepyprojecttoml(ini)
    assert ids(pytester) == ["moved.yaml::moved[reference]"]


@XDIST
def test_a_broken_case_stops_the_run_before_anything_happens(
    pytester: pytest.Pytester, three: None, write_case: Write, xdist: list[str]
) -> None:
    path = write_case("fundamentals/easy/broken")
    path.write_text(path.read_text().replace("prompt:", "promt:"))
    write_case("fundamentals/easy/tabbed").write_text("summary: x\n\tprompt: y\n")
    result = pytester.runpytest("cases", "-p", "no:randomly", *xdist)
    result.stdout.fnmatch_lines(
        [
            "cases/fundamentals/easy/broken.yaml:1:1: missing key 'prompt'",
            "cases/fundamentals/easy/broken.yaml:2:1: unknown key 'promt'; did you mean 'prompt'?",
            "cases/fundamentals/easy/tabbed.yaml:2:1: not valid YAML: found character '\\t' *",
        ]
    )
    result.assert_outcomes(errors=2)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert not (pytester.path / ".convex-eval").exists()
    assert result.stdout.str().count("promt") == 1


@XDIST
def test_with_continue_on_collection_errors_the_good_cases_run(
    pytester: pytest.Pytester, write_case: Write, bad_reference: Mapping[str, str], xdist: list[str]
) -> None:
    write_case("fundamentals/easy/notes", reference=dict(bad_reference))
    write_case("fundamentals/easy/broken").write_text("summary: x")
    result = pytester.runpytest(
        "cases", "--continue-on-collection-errors", "--convex-stages", "package", *xdist
    )
    result.assert_outcomes(errors=1, failed=1)


def test_collecting_needs_no_key_no_tools_and_says_what_would_happen(
    pytester: pytest.Pytester, three: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVEX_EVAL_CACHE", str(pytester.path / "cache"))
    result = pytester.runpytest("cases", "--co", "--convex-model", "claude-x", "-n", "2")
    result.stdout.fnmatch_lines(
        ["convex-eval: claude-x · guidelines default · 1 trial · store auto · embedded * 3 items"]
    )
    assert result.ret == 0
    assert not (pytester.path / "cache").exists()
    assert not (pytester.path / ".convex-eval").exists()


def test_no_match_is_pytests_own_exit_code(pytester: pytest.Pytester, three: None) -> None:
    for xdist in ([], ["-n", "2"]):
        result = pytester.runpytest("cases", "-k", "nothing", *xdist)
        assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--convex-stages", "typechek"], "*no stage is called 'typechek'*"),
        (
            ["--convex-replay", "reply"],
            "*--convex-replay: 'reply' is unknown; did you mean 'replay'?",
        ),
        (["--convex-trials", "0"], "*--convex-trials: '0' is not a whole number from 1"),
        (["--convex-guidelines", "gone.md"], "*--convex-guidelines: *gone.md*"),
        (["--convex-model", "claude-x", "--convex-mutants"], "*--convex-mutants:*"),
    ],
)
def test_a_wrong_option_is_told_before_anything_runs(
    pytester: pytest.Pytester, three: None, args: list[str], message: str
) -> None:
    result = pytester.runpytest("cases", *args)
    result.stderr.fnmatch_lines([message])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_help_explains_every_option_and_markers_are_listed(pytester: pytest.Pytester) -> None:
    text = pytester.runpytest("--help").stdout.str()
    for option in ("model", "trials", "guidelines", "stages", "mutants", "lint-profile", "store",
                   "replay", "runs", "keep", "max-tokens"):  # fmt: skip
        assert f"--convex-{option}" in text
        assert f"convex_{option.replace('-', '_')}" in text.replace("convex_models", "convex_model")
    markers = pytester.runpytest("--markers").stdout.str()
    assert "@pytest.mark.convex_case(category, difficulty" in markers


def test_ini_keys_are_the_options_defaults(pytester: pytest.Pytester, three: None) -> None:
    pytester.makepyprojecttoml(
        "[tool.pytest]\nconvex_models = ['claude-a', 'claude-b']\nconvex_trials = '2'\n"
    )
    assert len(ids(pytester, "cases")) == 12
    assert len(ids(pytester, "cases", "--convex-trials", "1")) == 6
    assert len(ids(pytester, "cases", "--convex-model", "reference")) == 3
