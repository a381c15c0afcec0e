"""Each kind of step: what passes, and what is said when it does not.

`failing.txt` holds the messages, after the names in `failing.yaml`. After a wanted change:
`UPDATE_SNAPSHOTS=1 pytest -p no:xdist tests/behaviour/test_steps.py`, and read the difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from pytest_convex_eval.behaviour.interpreter import BlockFailure

HERE = Path(__file__).parent
PASSING: dict[str, list[Any]] = yaml.safe_load((HERE / "passing.yaml").read_text())
FAILING: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "failing.yaml").read_text())
SNAPSHOTS = HERE / "failing.txt"

Take: TypeAlias = Callable[[object], list[BlockFailure]]
Told: TypeAlias = Callable[[BlockFailure], str]


def _snapshots() -> dict[str, str]:
    text = SNAPSHOTS.read_text() if SNAPSHOTS.exists() else ""
    parts = [part.split(" ===\n", 1) for part in f"\n{text}".split("\n=== ")[1:]]
    return {name: told.rstrip("\n") for name, told in parts}


@pytest.mark.parametrize("name", PASSING)
def test_steps_that_hold_pass(take: Take, told: Told, name: str) -> None:
    assert [told(failure) for failure in take(PASSING[name])] == []


@pytest.mark.parametrize("name", FAILING)
def test_a_step_that_does_not_hold_says_why(take: Take, told: Told, name: str) -> None:
    (failure,) = take(FAILING[name]["steps"])
    said = told(failure)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        known = {**_snapshots(), name: said}
        ordered = [f"=== {each} ===\n{known[each]}\n" for each in FAILING if each in known]
        SNAPSHOTS.write_text("\n".join(ordered))
    assert said == _snapshots()[name]


def test_every_snapshot_is_of_a_step() -> None:
    assert set(_snapshots()) == set(FAILING)


def test_a_failed_block_ends_and_the_next_begins_empty(take: Take) -> None:
    failures = take(
        [
            {
                "name": "first",
                "steps": [
                    {"insert": {"lists": [{"title": "left", "rank": 1}]}},
                    {"env": {"GREETING": "changed"}},
                    {"query": "lists:all", "returns": []},
                    {"query": "lists:missing"},
                ],
            },
            {
                "name": "second",
                "steps": [
                    {"query": "lists:all", "returns": []},
                    {"query": "lists:greeting", "returns": "hello"},
                    {"table": "lists", "count": 1},
                ],
            },
        ]
    )
    assert [(each.block, each.location) for each in failures] == [
        ("first", ("behaviour", 0, "steps", 2)),
        ("second", ("behaviour", 1, "steps", 2)),
    ]


def test_a_block_can_start_at_a_time_of_its_own(take: Take, told: Told) -> None:
    block = {
        "name": "on new year's eve",
        "at": "2030-12-31T23:00:00Z",
        "steps": [
            {"query": "lists:time", "returns": {"$gte": 1924988400000, "$lt": 1924988460000}},
            {"mutation": "lists:later", "args": {"title": "next year", "ms": 3_600_000}},
            {"advance": "2h"},
            {"table": "lists", "contains": [{"rank": {"$gte": 1924992000000}}]},
        ],
    }
    after = {
        "name": "time is real again",
        "steps": [{"query": "lists:time", "returns": {"$lt": 1924988400000}}],
    }
    assert [told(failure) for failure in take([block, after])] == []


def test_a_service_answers_actions_and_remembers_what_it_was_asked(take: Take, told: Told) -> None:
    routes = [{"method": "POST", "path": "/echo", "status": 202, "json": {"degrees": 20}}]
    steps: list[dict[str, Any]] = [
        {
            "action": "lists:ask",
            "args": {"url": "${services.weather}", "word": "sun"},
            "returns": {"status": 202, "text": '{"degrees": 20}'},
        },
        {
            "service": "weather",
            "count": 1,
            "requests": [{"method": "POST", "query": {"word": "sun"}, "json": {"word": "sun"}}],
        },
    ]
    block = {"name": "asks", "services": {"weather": routes}, "steps": steps}
    assert [told(failure) for failure in take([block])] == []

    wrong = {**steps[1], "requests": [{"method": "GET"}]}
    (failure,) = take([{**block, "steps": [steps[0], wrong]}])
    assert failure.error.code == "service"
    assert "no request matches" in failure.error.summary


def test_actions_reach_no_address_that_the_block_does_not_name(take: Take) -> None:
    routes = [{"method": "POST", "path": "/echo", "json": {}}]
    block = {
        "name": "reaches out",
        "services": {"weather": routes},
        "steps": [
            {
                "action": "lists:ask",
                "args": {"url": "http://127.0.0.1:9", "word": "sun"},
                "throws": "reaches no other host",
            }
        ],
    }
    assert take([block]) == []


def test_a_block_s_environment_is_its_own(take: Take, told: Told) -> None:
    with_own = {
        "name": "own",
        "env": {"GREETING": "ahoy"},
        "steps": [{"query": "lists:greeting", "returns": "ahoy"}],
    }
    without = {"name": "other", "steps": [{"query": "lists:greeting", "returns": "hello"}]}
    assert [told(failure) for failure in take([with_own, without])] == []
