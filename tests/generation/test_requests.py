"""Requests, attempts and generations as data: their keys, and what a file of them holds."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_convex_eval.generation.provider import (
    Attempt,
    Generation,
    ProviderError,
    Request,
    Turn,
)
from pytest_convex_eval.generation.usage import Stop, Tokens, Usage

TURNS = (Turn("user", "first\n"), Turn("assistant", "an answer"))
REQUEST = Request("m", "rules\nmore", "a task", 64_000, TURNS, "low")
DIFFERENT: list[tuple[str, Any]] = [
    ("model", "n"),
    ("system", "rules\nmore\n"),
    ("user", "a Task"),
    ("max_tokens", 64_001),
    ("history", ()),
    ("history", TURNS[:1]),
    ("history", TURNS[::-1]),
    ("history", (TURNS[0], Turn("assistant", "another answer"))),
    ("history", (TURNS[0], Turn("user", "an answer"))),
    ("effort", None),
    ("effort", "high"),
    ("model_id", "m-1"),
    ("settings", {"temperature": 0.5}),
    ("settings", {"temperature": 0.25}),
]
KEY = "75c7af3ae989940baa062904517611289a16309a5be29561c7786308d4a8900f"
FINGERPRINT = "c8c3c9054f19e13f"
ATTEMPTS = (
    Attempt("2026-11-02T10:00:00Z", 1.5, "overloaded_error", 529, "busy", "req_1", 2.0),
    Attempt("2026-11-02T10:00:04Z", 3.0, "ok", 200),
)
GENERATION = Generation(
    request=REQUEST,
    text="one\r\ntwo\n",
    stop=Stop("refusal", "refusal", "cyber"),
    started="2026-11-02T10:00:04Z",
    finished="2026-11-02T10:00:07Z",
    seconds=3.0,
    usage=Usage(Tokens(7, 1, 2, 3, 4), "batch", 0.5, {"input_tokens": 7, "service_tier": None}),
    attempts=ATTEMPTS,
    answered_by="m-20261001",
    request_id="req_2",
    sdk_version="sdk 1",
)


def test_each_field_of_a_request_is_varied_below() -> None:
    assert {name for name, _ in DIFFERENT} == {one.name for one in dataclasses.fields(Request)}


@pytest.mark.parametrize(("name", "value"), DIFFERENT)
def test_requests_that_differ_in_one_field_have_different_keys(name: str, value: Any) -> None:
    other = dataclasses.replace(REQUEST, **{name: value})
    assert other.key(1) != REQUEST.key(1)
    # Who is asked, and how much may be said, is no part of the prompt.
    same_prompt = name in ("model", "max_tokens", "effort", "model_id", "settings")
    assert (other.fingerprint() == REQUEST.fingerprint()) == same_prompt


def test_each_trial_of_a_request_has_a_key_of_its_own() -> None:
    assert len({REQUEST.key(trial) for trial in range(1, 6)}) == 5


def test_what_one_text_gives_up_to_its_neighbour_is_not_the_same() -> None:
    one = Request("m", "ab", "c", 1)
    two = Request("m", "a", "bc", 1)
    assert one.key(1) != two.key(1)
    assert one.fingerprint() != two.fingerprint()


def test_keys_stay_what_they_are_in_stores_that_exist() -> None:
    assert REQUEST.key(2) == KEY
    assert REQUEST.fingerprint() == FINGERPRINT


def test_a_prompt_that_no_encoding_can_hold_has_a_key_too() -> None:
    assert len(Request("m", "\ud800", "é", 1).key(1)) == 64


def test_what_is_stored_of_a_generation_is_told_in_lines_a_person_can_review() -> None:
    assert GENERATION.to_json() == {
        "request": {
            "model": "m",
            "max_tokens": 64_000,
            "effort": "low",
            "model_id": None,
            "settings": {},
            "system": ["rules", "more"],
            "history": [
                {"role": "user", "text": ["first", ""]},
                {"role": "assistant", "text": ["an answer"]},
            ],
            "user": ["a task"],
        },
        "prompt_fingerprint": REQUEST.fingerprint(),
        "text": ["one\r", "two", ""],
        "stop": {"reason": "refusal", "told": "refusal", "category": "cyber"},
        "usage": {
            "tokens": {
                "input": 7,
                "cache_write": 1,
                "cache_write_long": 2,
                "cache_read": 3,
                "output": 4,
            },
            "rate": "batch",
            "usd": 0.5,
            "told": {"input_tokens": 7, "service_tier": None},
        },
        "answered_by": "m-20261001",
        "started": "2026-11-02T10:00:04Z",
        "finished": "2026-11-02T10:00:07Z",
        "seconds": 3.0,
        "attempts": [
            {
                "started": "2026-11-02T10:00:00Z",
                "seconds": 1.5,
                "outcome": "overloaded_error",
                "status": 529,
                "message": "busy",
                "request_id": "req_1",
                "waited_seconds": 2.0,
            },
            {
                "started": "2026-11-02T10:00:04Z",
                "seconds": 3.0,
                "outcome": "ok",
                "status": 200,
                "message": "",
                "request_id": None,
                "waited_seconds": 0.0,
            },
        ],
        "request_id": "req_2",
        "sdk_version": "sdk 1",
    }


@pytest.mark.parametrize(
    "generation",
    [GENERATION, Generation(Request("m", "", "", 1), "", Stop("stop"), "a", "b", 0.5)],
    ids=["everything", "nothing"],
)
def test_a_generation_is_read_back_as_it_was(generation: Generation) -> None:
    assert Generation.from_json(json.loads(json.dumps(generation.to_json()))) == generation


NULLABLE = {
    *("effort", "model_id", "category", "tokens", "usd"),
    *("answered_by", "request_id", "sdk_version", "status"),
}
OBJECTS = {"request", "stop", "usage", "tokens"}
"""What has a form of its own."""
COMPUTED = {"prompt_fingerprint"}
PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "generation": lambda data: data,
    "request": lambda data: data["request"],
    "turn": lambda data: data["request"]["history"][1],
    "attempt": lambda data: data["attempts"][0],
    "stop": lambda data: data["stop"],
    "usage": lambda data: data["usage"],
    "tokens": lambda data: data["usage"]["tokens"],
}
FIELDS = [
    (place, name)
    for place, find in PLACES.items()
    for name in find(GENERATION.to_json())
    if name not in COMPUTED
]


@pytest.mark.parametrize(("place", "name"), FIELDS)
def test_a_field_that_is_missing_or_no_such_thing_is_named(place: str, name: str) -> None:
    data: Any = GENERATION.to_json()
    fields = PLACES[place](data)
    # Truth is a number for Python, and no field of ours.
    named = "an object is expected, not bool" if name in OBJECTS else f"^{name} "
    wrong: list[Any] = [True, [[]], {"a": 1}, None]
    for value in wrong:
        if isinstance(value, dict) and name in ("told", "settings"):
            continue
        if value is None and name in NULLABLE:
            continue
        changed = copy.deepcopy(data)
        PLACES[place](changed)[name] = value
        with pytest.raises(ValueError, match=named if value is True else "is|holds|expected"):
            Generation.from_json(changed)
    del fields[name]
    with pytest.raises(ValueError, match=f"^{name} is missing$"):
        Generation.from_json(data)


@pytest.mark.parametrize(("place", "name"), [one for one in FIELDS if one[1] in NULLABLE])
def test_a_field_that_may_be_unknown_may_be_null(place: str, name: str) -> None:
    data: Any = GENERATION.to_json()
    PLACES[place](data)[name] = None
    again: Any = Generation.from_json(data).to_json()
    assert PLACES[place](again)[name] is None


@pytest.mark.parametrize("place", ["history", "attempts"])
def test_what_stands_in_a_list_has_to_be_an_object(place: str) -> None:
    data: Any = GENERATION.to_json()
    (data["request"] if place == "history" else data)[place] = ["text"]
    with pytest.raises(ValueError, match=r"^an object is expected, not str$"):
        Generation.from_json(data)


def test_nobody_but_the_user_and_the_assistant_speaks() -> None:
    data: Any = GENERATION.to_json()
    data["request"]["history"][0]["role"] = "system"
    with pytest.raises(ValueError, match=r"^role is 'system'$"):
        Generation.from_json(data)


def test_a_line_is_a_text() -> None:
    data: Any = GENERATION.to_json()
    data["text"] = ["one", 2]
    with pytest.raises(ValueError, match=r"^text holds something that is no line$"):
        Generation.from_json(data)


def test_a_count_may_stand_for_a_duration_and_no_fraction_for_a_count() -> None:
    data: Any = GENERATION.to_json()
    data["seconds"] = 3
    assert Generation.from_json(data).seconds == 3
    data["request"]["max_tokens"] = 1.5
    with pytest.raises(ValueError, match=r"^max_tokens is no integer$"):
        Generation.from_json(data)


def test_an_error_of_the_provider_has_its_words_and_attempts() -> None:
    error = ProviderError("no reply", detail="its words", attempts=ATTEMPTS)
    assert (str(error), error.detail, error.attempts) == ("no reply", "its words", ATTEMPTS)
    bare = ProviderError("no reply")
    assert (bare.detail, bare.attempts) == ("", ())
