"""`--convex-answers`: answers made elsewhere, judged as a model's are."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.cli import main
from pytest_convex_eval.generation.provider import Generation, Request
from pytest_convex_eval.generation.reading.tags import render_files
from pytest_convex_eval.generation.store import GenerationStore
from pytest_convex_eval.generation.usage import Stop
from tests.patience import HANG_SECONDS

ROOT = Path(__file__).parents[3]
SUITE = sorted((ROOT / "cases").rglob("*.yaml"))
STATIC = "--convex-stages=format,package"
MOMENT = "2026-11-01T00:00:00.000+00:00"

CASE = """\
summary: Notes
prompt: Write notes.
reference:
  package.json: '{"dependencies": {"convex": "^1.48.0"}}'
  convex/a.ts: |
    export const a = 1;
"""
ANSWER = {"package.json": '{"dependencies": {"convex": "^1.48.0"}}', "convex/b.ts": "export {};\n"}


def verdicts(report: Path) -> dict[str, str]:
    """How each item of a JUnit report ended, by its name."""
    ended = {}
    for item in ElementTree.parse(report).iter("testcase"):
        outcome = next((one.tag for one in item if one.tag in ("failure", "error")), "passed")
        ended[item.get("name", "")] = outcome
    return ended


def stages(report: Path) -> dict[str, Mapping[str, str]]:
    """What each stage of each item said, by the item's case."""
    said: dict[str, Mapping[str, str]] = {}
    for item in ElementTree.parse(report).iter("testcase"):
        properties = {one.get("name", ""): one.get("value", "") for one in item.iter("property")}
        said[item.get("name", "").partition("[")[0]] = {
            name: value for name, value in properties.items() if ".stage." in name
        }
    return said


def write(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    for name in ("one", "two"):
        write(pytester.path, {f"cases/fundamentals/easy/{name}.yaml": CASE})
    return pytester


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "workers"])
def test_a_case_without_an_answer_is_an_error_and_no_failure(
    project: pytest.Pytester, workers: Sequence[str]
) -> None:
    write(project.path / "answers" / "one", ANSWER)
    write(project.path / "other", {"one.md": "Sorry.", "two.md": render_files(ANSWER)})
    result = project.runpytest_subprocess(
        "cases",
        STATIC,
        "--convex-answers=answers",
        "--convex-answers=mine=other",
        "--convex-model=reference",
        "--junitxml=report.xml",
        *workers,
        timeout=HANG_SECONDS,
    )
    assert verdicts(project.path / "report.xml") == {
        "one[reference]": "passed",
        "two[reference]": "passed",
        "one[answers]": "passed",
        "two[answers]": "error",
        "one[mine]": "failure",
        "two[mine]": "passed",
    }
    result.stdout.fnmatch_lines(["*answers has no answer to fundamentals/easy/two, trial 1*"])
    assert "unknown cost" not in result.stdout.str()


def test_answers_alone_ask_no_model(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-key")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    for name in ("one", "two"):
        write(project.path / "answers" / name / "trial-1", ANSWER)
        write(project.path / "answers" / name / "trial-2", ANSWER)
    result = project.runpytest_subprocess(
        "cases", STATIC, "--convex-answers=answers", "--convex-trials=2", timeout=HANG_SECONDS
    )
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["convex-eval: answers (answers on disk) *"])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--convex-answers=missing"], "*--convex-answers: 'missing': there is no folder*"),
        (["--convex-answers=cases", "--convex-mutants"], "*mutants are variations of references*"),
    ],
)
def test_what_can_not_be_is_said_before_anything_runs(
    project: pytest.Pytester, options: Sequence[str], why: str
) -> None:
    result = project.runpytest_subprocess("cases", *options, timeout=HANG_SECONDS)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([why])


def test_lines_that_are_no_answers_end_the_run(project: pytest.Pytester) -> None:
    write(project.path, {"answers/a.jsonl": '{"case": "one"}\n'})
    result = project.runpytest_subprocess(
        "cases", STATIC, "--convex-answers=answers", timeout=HANG_SECONDS
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "a.jsonl:1: no answer" in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize(
    "paths",
    [SUITE[::18], pytest.param(SUITE, marks=pytest.mark.sweep)],
    ids=["some", "all"],
)
def test_references_exported_and_judged_again_have_the_same_verdicts(
    pytester: pytest.Pytester, paths: Sequence[Path]
) -> None:
    assert len(paths) >= 4
    store = GenerationStore(pytester.path / "generations")
    for path in paths:
        case = load_case(path, path.name).case
        request = Request("model", "system", case.prompt, 1000)
        text = render_files(case.reference)
        generation = Generation(request, text, Stop("stop"), MOMENT, MOMENT, 1.0)
        store.put(request, 1, generation, label=f"{path.stem}[model]")
    exported = str(pytester.path / "exported")
    assert main(["store", "export", "--store", str(store.folder), "--files", exported]) == 0

    named = [str(path) for path in paths]

    def judged(report: str, *options: str) -> dict[str, Mapping[str, str]]:
        options = (*options, "-n", "2", f"--junitxml={report}", "--rootdir=.")
        result = pytester.runpytest_subprocess(*named, *options, timeout=HANG_SECONDS)
        result.assert_outcomes(passed=len(paths))
        return stages(pytester.path / report)

    references = judged("references.xml", "--convex-model=reference")
    assert references == judged("answers.xml", f"--convex-answers=mine={exported}/model")
    assert len(references) == len(paths)
    assert all(references.values())
