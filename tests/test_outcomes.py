"""Findings, results and exceptions as the plain data that every room passes on."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from pytest_convex_eval.outcomes import (
    Finding,
    Generated,
    InfrastructureError,
    ItemResult,
    RequestFacts,
    Round,
    StageResult,
    Verdict,
    interrupt_before,
)
from pytest_convex_eval.stages.table import STAGES


@pytest.mark.parametrize(
    ("path", "line", "column", "shown"),
    [
        (None, None, None, ""),
        ("a.ts", None, None, "a.ts"),
        ("a.ts", 3, None, "a.ts:3"),
        ("a.ts", 3, 7, "a.ts:3:7"),
        # What stands before it is missing.
        ("a.ts", None, 7, "a.ts"),
        (None, 3, 7, ""),
    ],
)
def test_a_place_is_shown_as_far_as_it_is_known(
    path: str | None, line: int | None, column: int | None, shown: str
) -> None:
    assert Finding("a", "b", path=path, line=line, column=column).location() == shown


def test_only_errors_make_a_stage_fail() -> None:
    error = Finding("a", "b")
    others = (Finding("a", "b", "warning"), Finding("a", "b", "info"))
    assert StageResult("lint", "passed", findings=others).errors == ()
    assert StageResult("lint", "failed", findings=(*others, error)).errors == (error,)


GENERATED = Generated(
    "model",
    "tags",
    (RequestFacts("k1", True, "stop", 1.5, 10, 20, 0.5), RequestFacts("k2", False, "unknown", 2.0)),
)


def test_what_an_item_took_is_the_sum_of_its_requests() -> None:
    one, other = RequestFacts("k", False, "stop", 1.5, 10, 20, 0.5), GENERATED.requests[1]
    both = Generated("m", "tags", (one, one))
    assert (both.seconds, both.input_tokens, both.output_tokens, both.usd) == (3.0, 20, 40, 1.0)
    unknown = Generated("m", "tags", (one, other))
    assert unknown.seconds == 3.5
    assert (unknown.input_tokens, unknown.output_tokens, unknown.usd) == (None, None, None)
    nothing = Generated("mutant")
    assert (nothing.seconds, nothing.input_tokens, nothing.usd) == (0, None, None)
    told = both.to_json()
    assert (told["seconds"], told["input_tokens"], told["output_tokens"], told["usd"]) == (
        3.0, 20, 40, 1.0
    )  # fmt: skip


def test_a_result_with_every_field_survives_json() -> None:
    finding = Finding("a", "b", "warning", "c", 1, 2, "d", "e")
    stage = StageResult("lint", "failed", 1.5, 2.5, (finding,), "f", "g", True, 3)
    result = ItemResult(
        "case", "category", "easy", "model", "arm", 2, Verdict.ERROR, (stage,), "lint", "code",
        "message", "mutant", "expected", GENERATED, "artefacts",
        (Round(Verdict.FAILED, "lint", "h"), Round(Verdict.PASSED, None, None)),
    )  # fmt: skip
    data = json.loads(json.dumps(result.to_json()))
    assert set(data) == {field.name for field in fields(ItemResult)}
    back = ItemResult.from_json(data)
    assert back == result
    assert isinstance(back.verdict, Verdict)
    assert [type(one.verdict) for one in back.rounds] == [Verdict, Verdict]
    assert data["verdict"] == "error"


class Interrupt(BaseException):
    """As pytest-timeout's signal."""


def error_after(*before: BaseException) -> BaseException:
    """An error that came while the last of `before` was handled, and so on."""
    error: BaseException = InfrastructureError("the last")
    first = error
    for one in reversed(before):
        error.__context__ = one
        error = one
    return first


def test_verdicts_and_stages_are_written_as_they_always_were() -> None:
    # Records and JUnit files of earlier runs are read by these words.
    assert [verdict.value for verdict in Verdict] == ["passed", "failed", "error"]
    assert STAGES == ("format", "package", "syntax", "typecheck", "deploy", "behaviour", "lint")


@pytest.mark.parametrize("interrupt", [Interrupt(), KeyboardInterrupt(), SystemExit(1)])
def test_an_interrupt_is_found_however_many_errors_hide_it(interrupt: BaseException) -> None:
    assert interrupt_before(error_after(interrupt)) is interrupt
    assert interrupt_before(error_after(interrupt, ValueError(), OSError())) is interrupt


def test_where_nobody_interrupted_there_is_none() -> None:
    assert interrupt_before(error_after()) is None
    assert interrupt_before(error_after(ValueError())) is None
    # A generator that is closed raises it in itself; nobody asked for an end.
    assert interrupt_before(error_after(GeneratorExit())) is None
    # What is raised is not what came before.
    assert interrupt_before(KeyboardInterrupt()) is None


def test_errors_that_stand_in_a_circle_end() -> None:
    one, other = ValueError(), OSError()
    one.__context__, other.__context__ = other, one
    assert interrupt_before(one) is None


def test_an_error_s_detail_is_apart_from_its_message() -> None:
    error = InfrastructureError("the disk is full", detail="ENOSPC")
    assert (str(error), error.detail, InfrastructureError("x").detail) == (
        "the disk is full", "ENOSPC", ""
    )  # fmt: skip
