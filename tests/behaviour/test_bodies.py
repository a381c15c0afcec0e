"""Bodies of requests and answers, as a text, as JSON, as bytes: each is compared as one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from pytest_convex_eval.behaviour.interpreter import BlockFailure
from pytest_convex_eval.deployment.model import HttpAnswer

if TYPE_CHECKING:
    from tests.behaviour.conftest import ScriptedDeployment

Take: TypeAlias = Callable[[object], list[BlockFailure]]


@pytest.mark.parametrize(
    ("body", "matching", "other"),
    [
        # A text is the body as it is, whatever it says as JSON.
        (b'"hi"', {"body": '"hi"'}, {"body": "hi"}),
        (b'"hi"', {"text": '"hi"'}, {"text": "hi"}),
        (b'"hi"', {"json": "hi"}, {"json": '"hi"'}),
        (b"5", {"body": 5}, {"body": {"$not": 5}}),
        (b"5", {"text": "5"}, {"text": 5}),
        (b"5", {"body": {"$matches": "^5$"}}, {"json": {"$matches": "^5$"}}),
        (b"[1, 1]", {"body": [1, 1]}, {"body": {"$length": 6}}),
        (b"hi", {"text": {"$contains": "h"}}, {"json": {"$any": True}}),
        (b"", {"text": ""}, {"json": {"$any": True}}),
        (b"\xff\x00", {"base64": "/wA="}, {"base64": "AP8="}),
    ],
)
def test_an_answer_is_a_text_or_json_or_bytes_and_never_either(
    take_scripted: Take,
    scripted: ScriptedDeployment,
    body: bytes,
    matching: dict[str, Any],
    other: dict[str, Any],
) -> None:
    scripted.answers = [HttpAnswer(200, (), body)]
    assert take_scripted([{"http": {"path": "/a"}, **matching}]) == []
    (failure,) = take_scripted([{"http": {"path": "/a"}, **other}])
    assert failure.error.code == "body"


def test_a_body_that_no_parser_can_follow_is_no_json(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.answers = [HttpAnswer(200, (), b"[" * 200_000)]
    (failure,) = take_scripted([{"http": {"path": "/a"}, "json": []}])
    assert (failure.error.code, failure.error.summary) == ("body", "the body is no JSON")


def test_bytes_are_sent_as_they_are(take_scripted: Take, scripted: ScriptedDeployment) -> None:
    scripted.answers = [HttpAnswer(200, (), b'{"storageId": "kg1"}')]
    steps = [
        {"http": {"method": "POST", "path": "/a", "base64": "/wA="}},
        {"upload": {"to": "http://127.0.0.1:1/up", "base64": "AP8=", "type": "image/png"}},
    ]
    assert take_scripted(steps) == []
    assert scripted.named("http", "fetch") == [
        ("http", "POST", "/a", {}, b"\xff\x00"),
        ("fetch", "POST", "http://127.0.0.1:1/up", {"Content-Type": "image/png"}, b"\x00\xff"),
    ]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"http": {"path": "/a", "text": "x", "base64": "/wA="}}, "one body"),
        ({"http": {"path": "/a", "json": None, "base64": "/wA="}}, "one body"),
        ({"http": {"path": "/a", "base64": "no"}}, "not base64"),
        ({"http": {"path": "/a"}, "base64": "no"}, "not base64"),
        ({"upload": {"to": "x"}}, "text or base64"),
        ({"upload": {"to": "x", "text": "a", "base64": "/wA="}}, "text or base64"),
    ],
)
def test_what_is_no_body_is_refused_when_the_case_is_read(
    take_scripted: Take, step: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        take_scripted([step])
