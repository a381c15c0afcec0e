"""The Messages API as data, without anybody who speaks it: bodies, streams, errors, entries."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval.generation.ahead.prefetch import Job
from pytest_convex_eval.generation.anthropic.batch_entries import chunks, entry_generation
from pytest_convex_eval.generation.anthropic.errors import as_attempt_error, told_error
from pytest_convex_eval.generation.anthropic.messages_api import Reply, batch_params, body
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.provider import Attempt, Request, Turn
from pytest_convex_eval.generation.retries import AttemptError, told_pause
from pytest_convex_eval.generation.usage import Stop

if TYPE_CHECKING:
    import httpx2
    from anthropic.types.messages import MessageBatch

TURNS = (Turn("user", "first"), Turn("assistant", "answer"))


# What is asked


def test_a_body_holds_each_field_of_the_request() -> None:
    assert batch_params(Request("m", "rules", "again", 9, TURNS, "low")) == {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "answer"},
            {"role": "user", "content": "again"},
        ],
        "system": [
            {
                "type": "text",
                "text": "rules",
                "cache_control": {"type": "ephemeral", "ttl": "1h"},
            }
        ],
        "output_config": {"effort": "low"},
    }


def test_what_a_request_does_not_have_is_not_sent() -> None:
    assert body(Request("m", "", "a task", 9)) == {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "a task"}],
        "stream": True,
    }


# What is answered


def text_start(index: int, text: str = "") -> Json:
    block: Json = {"type": "text", "text": text}
    return {"type": "content_block_start", "index": index, "content_block": block}


def text_delta(index: int, text: str) -> Json:
    delta: Json = {"type": "text_delta", "text": text}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def reply_of(*events: Json) -> Reply:
    reply = Reply()
    for event in events:
        reply.add(event)
    return reply


def test_a_reply_is_the_text_of_its_text_blocks_in_the_order_in_which_it_came() -> None:
    thinking: Json = {"type": "thinking", "thinking": "", "text": "hm"}
    reply = reply_of(
        {"type": "content_block_start", "index": 0, "content_block": thinking},
        text_delta(0, "not said"),
        text_start(1, "a"),
        text_delta(1, "b"),
        {"type": "ping"},
        text_start(2, "c"),
        text_delta(2, "d"),
        {"type": "content_block_delta", "index": 1, "delta": {"type": "citations_delta"}},
        ["no event"],
    )
    assert reply.text == "abcd"
    assert (reply.model, reply.stop) == (None, None)
    assert not reply.begun


def test_the_last_word_on_a_count_is_taken_and_nothing_forgets_one() -> None:
    reply = reply_of(
        {
            "type": "message_start",
            "message": {
                "model": "m",
                "usage": {"input_tokens": 5, "output_tokens": 1, "speed": None},
            },
        },
    )
    assert reply.begun
    assert reply.model == "m"
    reply.add(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "refusal", "stop_details": {"category": "cyber"}},
            "usage": {"input_tokens": None, "output_tokens": 9, "new": None},
        }
    )
    assert reply.usage.told == {"input_tokens": 5, "output_tokens": 9, "speed": None, "new": None}
    reply.add({"type": "message_delta", "delta": {"stop_reason": None, "stop_details": None}})
    assert reply.stop == Stop("refusal", "refusal", "cyber")


def test_what_is_of_no_kind_known_here_is_unknown() -> None:
    reply = reply_of(
        {"type": "message_start", "message": {"model": 1, "usage": []}},
        {"type": "message_delta", "delta": {"stop_reason": 1, "stop_details": "x"}, "usage": 7},
    )
    assert (reply.model, reply.stop) == (None, None)
    assert reply.usage.told == {}


def test_a_message_that_comes_whole_is_the_same_reply() -> None:
    reply = Reply()
    reply.take(
        {
            "model": "m",
            "usage": {"output_tokens": 2},
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "one "},
                {"type": "text", "text": "two"},
            ],
            "stop_reason": "end_turn",
            "stop_details": None,
        }
    )
    assert (reply.model, reply.text, reply.usage.told) == ("m", "one two", {"output_tokens": 2})
    assert reply.stop == Stop("stop", "end_turn")
    odd_messages: list[Json] = ["text", {"content": "text"}, {}]
    for odd in odd_messages:
        other = Reply()
        other.take(odd)
        assert (other.text, other.stop, other.usage.told) == ("", None, {})


@pytest.mark.parametrize(
    ("tokens", "reason", "empty"),
    [(0, "end_turn", True), (0, "refusal", False), (1, "end_turn", False), (None, None, False)],
)
def test_a_model_that_said_nothing_has_not_answered_unless_it_refused(
    tokens: int | None, reason: str | None, empty: bool
) -> None:
    reply = Reply()
    reply.take({"usage": {"output_tokens": tokens}, "stop_reason": reason})
    assert reply.empty == empty


# What goes wrong


def response(status: int, headers: dict[str, str] | None = None) -> httpx2.Response:
    import httpx2

    request = httpx2.Request("POST", "http://localhost/v1/messages")
    return httpx2.Response(status, headers=headers, request=request)


def traits(error: AttemptError) -> tuple[str, bool, bool, bool, bool]:
    return error.outcome, error.again, error.configuration, error.refused, error.billed


def told(kind: str, status: int, **details: str) -> AttemptError:
    error: dict[str, Any] = {"type": kind, "message": "words"}
    if details:
        error["details"] = details
    return told_error({"type": "error", "error": error}, response(status))


@pytest.mark.usefixtures("sdk")
@pytest.mark.parametrize(
    ("kind", "status", "again", "configuration", "refused"),
    [
        ("invalid_request_error", 400, False, True, False),
        ("authentication_error", 401, False, True, False),
        ("billing_error", 402, False, True, False),
        ("permission_error", 403, False, True, False),
        ("not_found_error", 404, False, True, False),
        ("timeout_error", 408, True, False, False),
        ("conflict_error", 409, True, False, False),
        ("invalid_request_error", 413, False, False, False),
        ("odd_error", 418, False, False, False),
        ("rate_limit_error", 429, True, False, True),
        ("odd_error", 429, True, False, True),
        ("odd_error", 499, False, False, False),
        ("api_error", 500, True, False, False),
        ("overloaded_error", 529, True, False, False),
        ("overloaded_error", 200, True, False, False),
        ("rate_limit_error", 200, True, False, True),
        ("authentication_error", 200, True, True, False),
        ("invalid_request_error", 299, True, True, False),
        ("invalid_request_error", 300, False, False, False),
    ],
)
def test_trouble_is_told_by_its_type_and_status(
    kind: str, status: int, again: bool, configuration: bool, refused: bool
) -> None:
    error = told(kind, status)
    assert traits(error) == (kind, again, configuration, refused, status < 300)
    assert (str(error), error.status) == ("words", status)


@pytest.mark.usefixtures("sdk")
@pytest.mark.parametrize(
    "code",
    [
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_spend_limit_reached",
    ],
)
def test_a_spend_limit_does_not_pass_by_waiting(code: str) -> None:
    error = told("rate_limit_error", 429, error_code=code)
    assert (error.outcome, error.configuration, error.refused) == (code, True, False)
    other = told("rate_limit_error", 429, error_code="requests_a_minute")
    assert (other.outcome, other.configuration, other.refused) == ("rate_limit_error", False, True)


@pytest.mark.usefixtures("sdk")
@pytest.mark.parametrize(
    ("body", "outcome", "words"),
    [
        ('{"error": {"type": "api_error", "message": "sorry"}}', "api_error", "sorry"),
        ("<html>", "http_502", "<html>"),
        ({"error": {"type": "api_error"}}, "api_error", "{'error': {'type': 'api_error'}}"),
        ({"error": {"message": "sorry"}}, "http_502", "sorry"),
        ({"error": "sorry"}, "http_502", "{'error': 'sorry'}"),
        (None, "http_502", "None"),
    ],
)
def test_what_no_api_says_is_told_as_it_came(body: object, outcome: str, words: str) -> None:
    error = told_error(body, response(502))
    assert (error.outcome, str(error), error.again) == (outcome, words, True)


@pytest.mark.usefixtures("sdk")
def test_exceptions_of_the_sdk_and_the_network_are_attempts() -> None:
    import anthropic
    import httpx2

    begun = response(200, {"request-id": "req_1"})
    request = begun.request
    dropped = anthropic.APIConnectionError(request=request)
    dropped.__cause__ = OSError("reset")
    status = anthropic.APIStatusError(
        "no", response=response(503), body={"error": {"type": "api_error", "message": "busy"}}
    )
    cases: list[tuple[Exception, str, str, bool]] = [
        (status, "api_error", "busy", True),
        (anthropic.APITimeoutError(request=request), "timeout", "APITimeoutError: ", True),
        (httpx2.ReadTimeout("slow"), "timeout", "ReadTimeout: slow", True),
        (dropped, "connection", "OSError: reset", True),
        (httpx2.ReadError("cut"), "connection", "ReadError: cut", True),
        (anthropic.AnthropicError("odd"), "sdk", "AnthropicError: odd", False),
        (ValueError("no JSON"), "protocol", "ValueError: no JSON", True),
    ]
    for error, outcome, words, again in cases:
        known = as_attempt_error(error, begun)
        assert known is not None
        assert (known.outcome, known.again, known.configuration) == (outcome, again, False)
        assert str(known).startswith(words)
        if error is not status:
            assert (known.status, known.headers["request-id"]) == (200, "req_1")
    assert as_attempt_error(KeyError("ours")) is None


@pytest.mark.usefixtures("sdk")
def test_what_never_came_to_a_response_is_billed_only_where_nobody_knows() -> None:
    import httpx2

    late, cut = (as_attempt_error(one("x")) for one in (httpx2.ReadTimeout, httpx2.ReadError))
    assert late is not None
    assert cut is not None
    assert (late.status, dict(late.headers), late.billed) == (None, {}, True)
    assert (cut.status, dict(cut.headers), cut.billed) == (None, {}, False)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "0", "retry-after": "9"}, 9.0),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
    ],
)
def test_a_pause_is_told_in_numbers(headers: dict[str, str], seconds: float | None) -> None:
    assert told_pause(headers) == seconds


# Entries of a batch

BEGAN = datetime.datetime(2026, 11, 2, 10, tzinfo=datetime.UTC)


def batch() -> MessageBatch:
    from anthropic.types.messages import MessageBatch

    return MessageBatch.model_construct(
        id="b1", created_at=BEGAN, ended_at=BEGAN + datetime.timedelta(seconds=90.5)
    )


@pytest.mark.usefixtures("sdk")
def test_an_entry_is_a_generation_with_the_times_of_its_batch() -> None:
    request = Request("m", "", "a task", 9)
    message: Json = {
        "model": "m-1",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "refusal",
        "stop_details": {"category": "cyber"},
        "usage": {"output_tokens": 3},
    }
    generation = entry_generation(request, {"type": "succeeded", "message": message}, batch())
    assert (generation.request, generation.text) == (request, "hello")
    assert generation.stop == Stop("refusal", "refusal", "cyber")
    assert (generation.usage.told, generation.answered_by) == ({"output_tokens": 3}, "m-1")
    began, ended = "2026-11-02T10:00:00.000+00:00", "2026-11-02T10:01:30.500+00:00"
    assert (generation.started, generation.finished, generation.seconds) == (began, ended, 90.5)
    assert generation.attempts == (Attempt(began, 90.5, "ok", 200),)
    assert generation.request_id == "b1"
    assert str(generation.sdk_version).startswith("anthropic ")


@pytest.mark.usefixtures("sdk")
@pytest.mark.parametrize(
    ("result", "outcome", "words", "configuration"),
    [
        ({"type": "errored", "error": {"error": {"type": "api_error", "message": "sorry"}}},
         "api_error", "sorry", False),
        ({"type": "errored", "error": {"error": {"type": "billing_error"}}},
         "billing_error", "", True),
        ({"type": "expired"}, "expired", "the batch b1 ended before its turn", False),
        ({"type": "canceled"}, "canceled", "the batch b1 ended before its turn", False),
        ({"type": "lost"}, "protocol", "a result that is unknown here: {'type': 'lost'}", False),
        ({"type": "succeeded", "message": {}}, "truncated", "the message has no stop reason",
         False),
        ({"type": "succeeded", "message": {"stop_reason": "end_turn",
                                           "usage": {"output_tokens": 0}}},
         "empty", "the reply has no output tokens", False),
    ],
)  # fmt: skip
def test_an_entry_that_is_no_whole_reply_says_why(
    result: Json, outcome: str, words: str, configuration: bool
) -> None:
    with pytest.raises(AttemptError) as caught:
        entry_generation(Request("m", "", "", 1), result, batch())
    assert (caught.value.outcome, str(caught.value)) == (outcome, words)
    assert caught.value.configuration == configuration


def test_a_batch_takes_so_many_entries_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job(Request("m", "", f"task {number}", 1), 1, "case") for number in range(5)]
    size = len(json.dumps(batch_params(jobs[0].request)))
    assert list(chunks([])) == []
    assert list(chunks(jobs)) == [jobs]
    place = "pytest_convex_eval.generation.anthropic.batch_entries"
    monkeypatch.setattr(f"{place}.MOST_ENTRIES", 2)
    assert list(chunks(jobs)) == [jobs[:2], jobs[2:4], jobs[4:]]
    monkeypatch.setattr(f"{place}.MOST_ENTRIES", 100)
    for most, counts in ((3 * size, [3, 2]), (3 * size - 1, [2, 2, 1]), (1, [1] * 5)):
        monkeypatch.setattr(f"{place}.MOST_BYTES", most)
        assert [len(chunk) for chunk in chunks(jobs)] == counts
