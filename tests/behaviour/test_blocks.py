"""Blocks and the order of what they do, on a deployment that answers what a test says."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pytest
from pydantic import TypeAdapter

from pytest_convex_eval.behaviour import interpreter
from pytest_convex_eval.behaviour.interpreter import BlockFailure, run_blocks
from pytest_convex_eval.behaviour.steps import Block
from pytest_convex_eval.deployment.client import BrokenOffError, DeadlineError
from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.model import (
    FunctionResult,
    UnsupportedError,
)
from pytest_convex_eval.outcomes import InfrastructureError
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.behaviour.conftest import ScriptedDeployment

Take: TypeAlias = Callable[[object], list[BlockFailure]]

_BLOCKS: TypeAdapter[tuple[Block, ...]] = TypeAdapter(tuple[Block, ...])
FAILS = {"query": "a:fails"}
WORKS = {"query": "a:works"}
FAILED = FunctionResult(error="Uncaught Error: no")


@pytest.fixture(autouse=True)
def _fails(scripted: ScriptedDeployment) -> None:
    scripted.results["a:fails"] = [FAILED]


def block(*steps: dict[str, Any], **more: object) -> dict[str, object]:
    return {"name": "a block", "steps": list(steps), **more}


def test_each_block_starts_empty_at_its_time(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    blocks = [block(WORKS), block(WORKS, at="2030-01-01T00:00:00Z"), block(WORKS)]
    assert take_scripted(blocks) == []
    call: tuple[object, ...] = ("call", "query", "a:works", {}, None, False)
    assert scripted.done == [
        ("reset_data", None),
        call,
        ("reset_data", 1893456000000.0),
        call,
        ("reset_data", None),
        call,
    ]


def test_a_block_s_variables_are_set_after_the_reset_and_taken_back_after_it(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    first = block({"env": {"MORE": "${start + 1}", "GREETING": None}}, env={"OWN": "at ${start}"})
    second = block(WORKS)
    at = "1970-01-01T00:00:05Z"
    assert take_scripted([{**first, "at": at}, second]) == []
    assert scripted.done[:4] == [
        ("reset_data", 5000.0),
        ("set_environment", {"OWN": "at 5000"}),
        ("set_environment", {"MORE": "5001", "GREETING": None}),
        # `GREETING` is one of the case's own, the others are nobody's.
        ("set_environment", {"OWN": None, "MORE": None, "GREETING": "hello"}),
    ]
    assert len(scripted.named("set_environment")) == 3


@pytest.mark.parametrize("error", [None, InfrastructureError("gone"), UnsupportedError("never")])
def test_variables_are_taken_back_however_a_block_ends(
    take_scripted: Take, scripted: ScriptedDeployment, error: Exception | None
) -> None:
    if error is not None:
        scripted.raises["a:fails"] = error
    with contextlib.suppress(InfrastructureError):
        take_scripted([block({"env": {"GREETING": "ahoy"}}, FAILS)])
    assert scripted.done[-1] == ("set_environment", {"GREETING": "hello"})


def test_services_can_be_reached_during_their_block_only(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    routes = [
        {"path": "/text", "text": "hi", "status": 201},
        {"path": "/text", "text": "a second one that is never asked"},
        {"method": "PUT", "path": "/json", "json": {"a": [1]}},
        {"method": "DELETE", "path": "/null", "json": None},
        {"path": "/empty"},
    ]
    answers = []

    def ask() -> None:
        (url,) = cast(list[str], scripted.named("allow_origins")[0][1])
        for method, path in [
            ("GET", "/text?a=&b=2"),
            ("PUT", "/json"),
            ("DELETE", "/null"),
            ("GET", "/empty"),
            ("PATCH", "/text"),
        ]:
            request = urllib.request.Request(url + path, method=method, data=b'{"x": 1}')
            try:
                with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
                    got = answer
                    body = answer.read()
            except urllib.error.HTTPError as error:
                got = error
                body = error.read()
            answers.append((got.status, got.headers["Content-Type"], body))

    scripted.on_call = ask
    steps: list[dict[str, Any]] = [
        {"query": "a:works", "args": {"at": "${services.weather}"}},
        {"service": "weather", "count": 5, "requests": [{"method": "PATCH"}, {"path": "/null"}]},
    ]
    whole = {
        "method": "GET",
        "path": "/text",
        "query": {"a": "", "b": "2"},
        "headers": {"host": {"$matches": "^127"}},
        "text": '{"x": 1}',
        "json": {"x": 1},
    }
    steps.append({"service": "weather", "requests": [whole]})
    assert take_scripted([block(*steps, services={"weather": routes})]) == []
    assert answers == [
        (201, "text/plain", b"hi"),
        (200, "application/json", b'{"a": [1]}'),
        (200, "application/json", b"null"),
        (200, "application/json", b""),
        (404, "text/plain", b"not found"),
    ]
    (url,) = cast(list[str], scripted.named("allow_origins")[0][1])
    assert [each[0] for each in scripted.done] == ["reset_data", "allow_origins", "call"]
    assert scripted.done[2][3] == {"at": url}
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=HANG_SECONDS)


@pytest.mark.parametrize(
    ("step", "summary"),
    [
        ({"count": 1}, "count: expected 1, got 0"),
        ({"requests": [{"path": "/a"}]}, 'no request matches {"path": "/a"}'),
    ],
)
def test_what_a_service_did_not_get_is_said(
    take_scripted: Take, step: dict[str, Any], summary: str
) -> None:
    services: dict[str, list[object]] = {"weather": []}
    (failure,) = take_scripted([block({"service": "weather", **step}, services=services)])
    assert failure.step == "service weather"
    error = failure.error
    assert (error.code, error.summary, error.lines) == ("service", summary, ("it received []",))


def test_a_failure_names_its_block_its_step_and_its_place(take_scripted: Take) -> None:
    loop = {"repeat": 2, "steps": [WORKS, {"each": [1], "steps": [FAILS]}]}
    together = {"parallel": [WORKS, {"mutation": "a:fails"}]}
    told = [
        (failure.block, failure.step, failure.location, failure.error.summary)
        for failure in take_scripted(
            [
                {"name": "one", "steps": [WORKS, FAILS, {"query": "a:never"}]},
                {"name": "two", "steps": [WORKS]},
                {"name": "three", "steps": [WORKS, loop]},
                {"name": "four", "steps": [together]},
            ]
        )
    ]
    summary = "it failed: Uncaught Error: no"
    assert told == [
        ("one", "query a:fails", ("behaviour", 0, "steps", 1), summary),
        (
            "three",
            "query a:fails",
            ("behaviour", 2, "steps", 1, "steps", 1, "steps", 0),
            summary,
        ),
        ("four", "mutation a:fails", ("behaviour", 3, "steps", 0, "parallel", 1), summary),
    ]


def test_nothing_of_a_block_is_done_after_its_failed_step(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    take_scripted([block({"repeat": 3, "steps": [FAILS, WORKS]}, WORKS)])
    assert [each[2] for each in scripted.named("call")] == ["a:fails"]


def test_what_a_block_saved_is_unknown_to_the_next(take_scripted: Take) -> None:
    uses = {"query": "a:works", "args": {"x": "${one}"}}
    (failure,) = take_scripted([block({**WORKS, "save": "one"}, uses), block(uses)])
    assert failure.location == ("behaviour", 1, "steps", 0)
    assert failure.step == "query a:works"
    assert failure.error.code == "reference"
    assert failure.error.summary == "${one}: nothing is saved as 'one'"


@pytest.mark.parametrize(
    ("error", "code"), [(DeadlineError("late"), "timeout"), (BrokenOffError("half"), "error")]
)
def test_a_missing_answer_is_the_answer_s_fault_while_the_deployment_lives(
    take_scripted: Take, scripted: ScriptedDeployment, error: Exception, code: str
) -> None:
    scripted.raises["a:fails"] = error
    first, second = take_scripted([block(WORKS, FAILS, WORKS), block(FAILS)])
    assert (first.error.code, first.error.summary, first.step) == (
        code,
        str(error),
        "query a:fails",
    )
    assert first.location == ("behaviour", 0, "steps", 1)
    assert second.location == ("behaviour", 1, "steps", 0)


@pytest.mark.parametrize("error", [DeadlineError("late"), BrokenOffError("half")])
def test_a_missing_answer_of_a_dead_deployment_is_ours(
    take_scripted: Take, scripted: ScriptedDeployment, error: Exception
) -> None:
    scripted.living = False
    scripted.raises["a:fails"] = error
    with pytest.raises(type(error)) as raised:
        take_scripted([block({"repeat": 1, "steps": [FAILS]})])
    assert raised.value is error


def test_an_error_of_ours_ends_all_blocks(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.raises["a:fails"] = InfrastructureError("no such thing")
    with pytest.raises(InfrastructureError, match="no such thing"):
        take_scripted([block(FAILS), block(WORKS)])
    assert len(scripted.named("call")) == 1


def test_what_the_deployment_cannot_do_is_told_when_all_else_has_passed(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.raises["a:first"] = UnsupportedError("first")
    scripted.raises["a:second"] = UnsupportedError("second")
    blocks = [block({"query": "a:first"}), block({"query": "a:second"}), block(WORKS)]
    with pytest.raises(UnsupportedError, match="first"):
        take_scripted(blocks)
    assert [each[2] for each in scripted.named("call")] == ["a:first", "a:second", "a:works"]
    # The answer's own fault is told first, wherever it stands.
    (failure,) = take_scripted([blocks[0], block(FAILS), blocks[1]])
    assert failure.location == ("behaviour", 1, "steps", 0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the interpreter is told."""
    now = [100.0]
    told = SimpleNamespace(monotonic=lambda: now[0], time=lambda: 1000.0)
    monkeypatch.setattr(interpreter, "time", told)
    return now


def _take_within(
    seconds: float, scripted: ScriptedDeployment, blocks: list[dict[str, object]]
) -> list[BlockFailure]:
    taken = _BLOCKS.validate_python(blocks)
    return list(run_blocks(cast(Deployment, scripted), taken, {}, seconds))


def test_time_that_runs_out_between_answered_calls_is_ours(
    scripted: ScriptedDeployment, clock: list[float]
) -> None:
    def pass_by() -> None:
        clock[0] += 5

    scripted.on_call = pass_by
    # All of the time may be used, and not more.
    assert _take_within(10.0, scripted, [block(WORKS, WORKS, WORKS)]) == []
    with pytest.raises(InfrastructureError) as raised:
        _take_within(10.0, scripted, [block(WORKS, WORKS), block(WORKS, WORKS, WORKS)])
    assert str(raised.value) == "the case's behaviour took longer than 10 s"
    assert len(scripted.named("call")) == 6


def test_time_that_a_failed_call_took_leaves_the_rest_untaken(
    scripted: ScriptedDeployment, clock: list[float]
) -> None:
    def pass_by() -> None:
        clock[0] += 60

    scripted.on_call = pass_by
    (failure,) = _take_within(50.0, scripted, [block(FAILS), block(WORKS), block(WORKS)])
    assert failure.step == "query a:fails"
    assert len(scripted.named("call")) == 1
