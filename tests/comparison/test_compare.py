"""Two sides held against each other: who is meant, what is left out, refused and said."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.cli import main
from pytest_convex_eval.comparison.compare import Comparison, compare_sides
from pytest_convex_eval.comparison.render import COMMENT_MARK, github, markdown, text
from pytest_convex_eval.comparison.samples import ComparisonError, Side, find_side, two_of
from pytest_convex_eval.outcomes import ItemResult
from tests.runs.stored import FINGERPRINT, item, trials, write_run


def results(marks: dict[str, str], **fields: Any) -> list[ItemResult]:
    return [one for case, each in marks.items() for one in trials(case, each, **fields)]


BETTER = results({f"c{i}": "+++" for i in range(12)})
WORSE = results({f"c{i}": "--+" if i < 8 else "+++" for i in range(12)})


def side(folder: Path, written: list[ItemResult], **changes: Any) -> Side:
    write_run(folder, written, **changes)
    return find_side(str(folder), folder.parent)


def compared(a: Side, b: Side, **options: Any) -> Comparison:
    (made,) = compare_sides(a, b, margin=0.05, **options)
    return made


@pytest.mark.parametrize(
    ("a", "b", "answer"),
    [(WORSE, BETTER, "better"), (BETTER, WORSE, "worse"), (WORSE, WORSE, "undecided")],
)
def test_who_is_better_is_told(
    tmp_path: Path, a: list[ItemResult], b: list[ItemResult], answer: str
) -> None:
    made = compared(side(tmp_path / "a", a), side(tmp_path / "b", b))
    assert made.paired.answer == answer
    assert made.paired.cases == 12


def test_a_case_that_changed_is_told_with_its_failure_the_worst_first(tmp_path: Path) -> None:
    a = results({"up": "--", "down": "++", "half": "++", "same": "++"})
    b = results({"up": "++", "down": "--", "half": "+-", "same": "++"})
    made = compared(side(tmp_path / "a", a), side(tmp_path / "b", b))
    assert [one.change.case.rpartition("/")[2] for one in made.changed] == ["down", "half", "up"]
    assert made.changed[0].failure_b == "typecheck: TS2322"
    assert (made.changed[2].failure_a, made.changed[2].failure_b) == ("typecheck: TS2322", None)


def test_failures_that_moved_are_told(tmp_path: Path) -> None:
    a = results({"x": "---", "y": "+++"}, code="TS1")
    b = results({"x": "---", "y": "+++"}, code="TS2")
    made = compared(side(tmp_path / "a", a), side(tmp_path / "b", b))
    assert {(one.code, one.a.passed, one.b.passed) for one in made.drift} == {
        ("typecheck: TS1", 3, 0),
        ("typecheck: TS2", 0, 3),
    }
    assert compared(side(tmp_path / "a", a), side(tmp_path / "a", a)).drift == ()


def test_errors_are_no_failures(tmp_path: Path) -> None:
    a, b = (
        side(tmp_path / "a", results({"x": "++", "y": "+!"})),
        side(tmp_path / "b", results({"x": "+!", "y": "+!"})),
    )
    made = compared(a, b)
    assert (made.paired.rate_a, made.paired.rate_b) == (1.0, 1.0)
    assert (made.missing_b.valid, made.missing_b.planned) == (2, 4)
    assert any("A is invalid: 1 of 4" in note for note in made.notes)
    assert any("between 50.0% and 100.0%" in note for note in made.notes)
    assert any("unreliable" in note for note in made.notes)


def test_trials_that_never_came_are_missing(tmp_path: Path) -> None:
    """A run that was killed, or that ran out of money."""
    written = [*trials("x", "++++"), *trials("y", "+")]
    made = compared(side(tmp_path / "a", written, finished=False), side(tmp_path / "b", written))
    assert (made.missing_a.valid, made.missing_a.planned) == (5, 8)
    assert "a did not come to its end" in made.notes


def test_cases_of_one_side_are_left_out_and_counted(tmp_path: Path) -> None:
    a, b = results({"x": "+", "y": "+"}), results({"x": "+", "y": "+", "z": "-"})
    made = compared(side(tmp_path / "a", a), side(tmp_path / "b", b))
    assert made.paired.cases == 2
    assert "1 case left out: only one side did it" in made.notes


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("prompt", "1 case left out, with another prompt than before: fundamentals/easy/x"),
        ("checks", "1 case left out, with other checks than before: fundamentals/easy/x"),
        ("reference", None),
    ],
)
def test_cases_that_are_not_what_they_were_are_left_out(
    tmp_path: Path, part: str, said: str | None
) -> None:
    changed = dataclasses.replace(FINGERPRINT, **{part: "other"})
    a = results({"x": "++", "y": "++"})
    b = [*trials("x", "--", fingerprint=changed), *trials("y", "++")]
    made = compared(side(tmp_path / "a", a), side(tmp_path / "b", b))
    assert made.paired.cases == (2 if said is None else 1)
    assert made.notes == (() if said is None else (said,))


JUDGED = {"toolchain": "t1", "checker": "c1", "prompts": {"default": "text of default"}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprints": {**JUDGED, "checker": "c2"}}, r"different checkers \(c1 and c2\)"),
        ({"fingerprints": {**JUDGED, "toolchain": "t2"}}, r"different tools \(t1 and t2\)"),
        ({"settings": {"trials": 3, "stages": ["format"]}}, "another --convex-stages"),
        ({"settings": {"trials": 3, "lint_profile": "strict"}}, "another --convex-lint-profile"),
    ],
)
def test_what_was_not_judged_alike_is_refused_unless_told_otherwise(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    ours = {"trials": 3, "stages": ["lint"], "lint_profile": "recommended"}
    a, b = side(tmp_path / "a", BETTER, settings=ours), side(tmp_path / "b", BETTER, **changes)
    with pytest.raises(ComparisonError, match=said):
        compared(a, b)
    made = compared(a, b, anyway=True)
    assert len(made.refused) == 1
    assert "NOT COMPARABLE" in "\n".join(text([made]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"started": "2026-12-10T10:00:00+00:00"}, "10 days apart"),
        ({"started": "2026-12-03T10:00:00+00:00"}, None),
        ({"machine": {"cores": 2, "memory_bytes": 2**33}}, "the machines differ: cores 8 and 2"),
        ({"machine": {"cores": 8, "memory_bytes": 2**32}}, "4.0 and 8.0 GiB of memory"),
        ({"fingerprints": {**JUDGED, "prompts": {"default": "new"}}}, "the text of the guidelines"),
        ({"settings": {"trials": 3, "repair": 2}}, "asked with another --convex-repair: 0 and 2"),
    ],
)
def test_what_to_bear_in_mind_is_told(
    tmp_path: Path, changes: dict[str, Any], said: str | None
) -> None:
    machine = {"cores": 8, "memory_bytes": 2**33}
    plain = {"machine": machine, "settings": {"trials": 3, "repair": 0}}
    a, b = side(tmp_path / "a", BETTER, **plain), side(tmp_path / "b", BETTER, **plain | changes)
    made = compared(a, b)
    assert len(made.notes) == (said is not None)
    assert (said or "") in "".join(made.notes)


def test_everybody_is_held_against_themselves_and_p_values_are_adjusted(tmp_path: Path) -> None:
    a = WORSE + results({f"c{i}": "+++" for i in range(12)}, model="model-b")
    b = BETTER + results({f"c{i}": "+++" for i in range(12)}, model="model-b")
    made = compare_sides(side(tmp_path / "a", a), side(tmp_path / "b", b), margin=0.05)
    assert [one.b for one in made] == ["model-a", "model-b"]
    assert made[0].paired.adjusted == pytest.approx(2 * made[0].paired.p_value)


def test_two_models_of_one_run_are_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "r", WORSE + results({f"c{i}": "+++" for i in range(12)}, model="m2"))
    made = compared(*two_of(find_side(str(tmp_path / "r"), tmp_path)))
    assert (made.a, made.b, made.paired.answer) == ("model-a", "m2", "better")
    one = find_side("r::m2::default", tmp_path)
    assert compared(find_side("r::model-a", tmp_path), one) == made
    for named in ("r::nobody", "r::m2::none", "r::a::b::c"):
        with pytest.raises(ComparisonError):
            find_side(named, tmp_path)
    with pytest.raises(ComparisonError, match="name two runs"):
        two_of(one)


def test_who_can_t_be_matched_is_asked_for(tmp_path: Path) -> None:
    a = side(tmp_path / "a", [item("x"), item("x", model="m2")])
    b = side(tmp_path / "b", [item("x", model="m3"), item("x", model="m4")])
    with pytest.raises(ComparisonError, match="say who is meant"):
        compared(a, b)


def test_the_same_records_say_the_same(tmp_path: Path) -> None:
    a, b = side(tmp_path / "a", WORSE), side(tmp_path / "b", BETTER)
    one, other = json.dumps(compared(a, b).to_json()), json.dumps(compared(a, b).to_json())
    assert one == other
    # Eight cases that all got better: 2 of 256 flips are as extreme.
    assert json.loads(one)["paired"]["p_value"] == 2 / 256


def test_a_comment_is_found_again_and_what_a_model_wrote_stays_text(tmp_path: Path) -> None:
    a = results({f"c{i}": "+++" for i in range(12)})
    b = results({f"c{i}": "---" for i in range(12)}, code="</details><img src=x>|@team")
    made = [compared(side(tmp_path / "a", a), side(tmp_path / "b", b))]
    lines = list(github(made))
    assert lines[0] == COMMENT_MARK
    assert "**worse**" in lines[1]
    shown = "\n".join(lines)
    assert shown.count("img src") == 12
    assert shown.count(r"\</details\>\<img src=x\>\|@") == 12
    # Nobody is called by what a model wrote.
    assert "@team" not in shown
    assert list(markdown(made))[2].startswith(
        "| model-a, b against a | 12 | 100.0% | 0.0% | -100.0"
    )


def test_the_command_says_it_in_each_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a", WORSE)
    write_run(tmp_path / "b", BETTER)
    said = {}
    for form in ("text", "json", "markdown", "github"):
        assert main(["compare", "a", "b", "--runs", str(tmp_path), "--format", form]) == 0
        said[form] = capsys.readouterr().out
    assert "B is better than A" in said["text"]
    assert "0 of" not in said["text"]
    assert json.loads(said["json"])[0]["paired"]["answer"] == "better"
    assert said["markdown"] in said["github"]


@pytest.mark.parametrize(
    "arguments", [["a", "x"], ["a"], ["a", "a", "--margin", "0"], ["a::nobody", "a"]]
)
def test_what_can_t_be_compared_is_told(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a", WORSE)
    assert main(["compare", *arguments, "--runs", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("convex-eval: ")
