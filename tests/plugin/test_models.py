"""Asking models: the real SDK against a local server that speaks the Messages API."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

Write = Callable[..., Path]
Records = Callable[[], list[dict[str, Any]]]
Serve = Callable[..., Callable[[], list[dict[str, Any]]]]
# One worker is another process, and most of what a second one adds is its start.
XDIST = pytest.mark.parametrize("xdist", [[], ["-n", "1"]], ids=["serial", "xdist"])
QUICK = ("--convex-stages", "format,package,typecheck")

GOOD = """\
Here it is.

<file path="package.json">
{"name": "notes", "dependencies": {"convex": "^1.48.0"}}
</file>
<file path="convex/schema.ts">
import { defineSchema } from "convex/server";
export default defineSchema({});
</file>
"""


@pytest.fixture
def serve(
    server: MessagesServer, script: Callable[..., Script], monkeypatch: pytest.MonkeyPatch
) -> Serve:
    """Has the server answer by scripts; returns a function that reads the requests it got."""

    def start(
        rules: Sequence[Mapping[str, Any]] = (),
        queue: Sequence[Mapping[str, Any]] = (),
        default: Mapping[str, Any] | None = None,
    ) -> Callable[[], list[dict[str, Any]]]:
        server.rules = [script(**rule) for rule in rules]
        server.queue = [script(**entry) for entry in queue]
        server.default = script(**(default or {}))
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-key")
        return lambda: [received.body for received in server.requests]

    return start


@XDIST
def test_claude_answers_and_is_asked_once(
    pytester: pytest.Pytester, write_case: Write, serve: Serve, records: Records, xdist: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    write_case("fundamentals/easy/notes")
    requests = serve(default={"text": GOOD})
    result = pytester.runpytest("cases", *QUICK, *xdist)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*convex-eval: claude-sonnet-5-5 (ANTHROPIC_API_KEY is set) · guidelines default *"]
    )
    (asked,) = requests()
    assert asked["model"] == "claude-sonnet-5-5"
    assert "Write a table of notes" in json.dumps(asked["messages"])
    assert (pytester.path / ".convex-eval/generations").exists()

    again = pytester.runpytest("cases", *QUICK, "--convex-runs", "again", *xdist)
    again.assert_outcomes(passed=1)
    assert len(requests()) == 1
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    replay = ["--convex-model", "claude-sonnet-5-5", "--convex-replay", "replay"]
    pytester.runpytest("cases", *QUICK, *replay, *xdist).assert_outcomes(passed=1)
    assert len(requests()) == 1


def test_trials_are_asked_for_each(
    pytester: pytest.Pytester, write_case: Write, serve: Serve
) -> None:
    write_case("fundamentals/easy/notes")
    requests = serve(default={"text": GOOD})
    args = ["--convex-trials", "3", "-n", "2"]
    pytester.runpytest("cases", *QUICK, *args).assert_outcomes(passed=3)
    assert len(requests()) == 3


@XDIST
def test_what_replies_cost_is_estimated_and_told(
    pytester: pytest.Pytester, write_case: Write, serve: Serve, records: Records, xdist: list[str]
) -> None:
    write_case("fundamentals/easy/notes")
    serve(default={"text": GOOD, "output_tokens": 1000})
    result = pytester.runpytest("cases", *QUICK, *xdist)
    result.stdout.fnmatch_lines(
        [
            "convex-eval: 0 replies are in the store, 1 to be made, estimated $* to $*",
            "replies: 1 made now $0.*",
        ]
    )
    (record,) = records()
    assert record["generation"]["output_tokens"] == 1000
    # Sonnet 5.5: 10 USD a million output tokens.
    assert record["generation"]["usd"] >= 0.01
    again = pytester.runpytest("cases", *QUICK, "--convex-runs", "again", *xdist)
    again.stdout.fnmatch_lines(
        ["convex-eval: all 1 replies are in the store", "replies: 1 from the store $0.*"]
    )


@XDIST
def test_what_a_budget_does_not_pay_for_is_skipped(
    pytester: pytest.Pytester, write_case: Write, serve: Serve, xdist: list[str]
) -> None:
    for number in range(6):
        write_case(f"fundamentals/easy/case_{number}")
    requests = serve(default={"text": GOOD, "output_tokens": 1000})
    budget = ["--convex-budget", "0.70", "--convex-concurrency", "1"]
    result = pytester.runpytest("cases", *QUICK, *budget, *xdist)
    outcomes = result.parseoutcomes()
    assert outcomes["skipped"] >= 1
    assert outcomes["passed"] + outcomes["skipped"] == 6
    assert len(requests()) == outcomes["passed"]
    assert result.ret == 0
    result.stdout.fnmatch_lines(["* not asked: the budget is spent"])


BROKEN = GOOD.replace("defineSchema({})", "defineSchma({})")


@XDIST
def test_findings_go_back_to_the_model_until_it_passes(
    pytester: pytest.Pytester, write_case: Write, serve: Serve, records: Records, xdist: list[str]
) -> None:
    write_case("fundamentals/easy/notes")
    rules = [
        # The second round of repair sees both earlier answers.
        {"contains": "checked again", "text": GOOD},
        {"contains": "What the checks found", "text": BROKEN},
    ]
    requests = serve(rules=rules, default={"text": BROKEN})
    result = pytester.runpytest("cases", *QUICK, "--convex-repair", "3", *xdist)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["passed by round of repair (0 to 2): 0/1, 0/1, 1/1"])
    (record,) = records()
    before = [(one["verdict"], one["stage"]) for one in record["rounds"]]
    assert before == [("failed", "typecheck")] * 2
    assert len(requests()) == 3
    told = json.dumps(requests()[1]["messages"])
    assert "defineSchma" in told
    assert "convex/schema.ts:2" in told

    again = ["--convex-repair", "1", "--convex-runs", "again"]
    pytester.runpytest("cases", *QUICK, *again, *xdist).assert_outcomes(failed=1)
    assert len(requests()) == 3


DESIGN = {
    "tables": [{"name": "notes", "fields": {"text": "string"}, "indexes": []}],
    "functions": [
        {"name": "notes:list", "kind": "query", "visibility": "public", "args": {},
         "returns": "the notes", "authorization": "anyone", "reads": []}
    ],
    "background": [],
}  # fmt: skip


@XDIST
def test_a_design_comes_first_and_is_compared_with_what_was_deployed(
    pytester: pytest.Pytester, write_case: Write, serve: Serve, records: Records, xdist: list[str]
) -> None:
    write_case("fundamentals/easy/notes")
    rules = [{"contains": "First, the design", "text": json.dumps(DESIGN)}]
    requests = serve(rules=rules, default={"text": GOOD})
    args = ["--convex-strategy", "design-first"]
    result = pytester.runpytest("cases", *args, *xdist)
    result.assert_outcomes(passed=1)
    assert len(requests()) == 2
    assert len(requests()[1]["messages"]) == 3
    (record,) = records()
    (deploy,) = [stage for stage in record["stages"] if stage["stage"] == "deploy"]
    codes = [finding["code"] for finding in deploy["findings"]]
    assert any(code.startswith("design/") for code in codes), codes
    result.stdout.fnmatch_lines(["designs that differ from what was deployed: 1/1 (*design/*)"])


def test_how_a_design_differs_is_told_of_an_item_that_fails_elsewhere(
    pytester: pytest.Pytester, write_case: Write, serve: Serve
) -> None:
    write_case("fundamentals/easy/notes")
    rules = [{"contains": "First, the design", "text": json.dumps(DESIGN)}]
    mistyped = GOOD.replace("export default", 'export const text: number = "text";\nexport default')
    serve(rules=rules, default={"text": mistyped})
    stages = "format,package,syntax,typecheck,deploy"
    args = ["--convex-strategy", "design-first", "--convex-stages", stages]
    result = pytester.runpytest("cases", *args)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["typecheck:", "*TS2322*", "deploy:", "  *warning design/*"])


@pytest.mark.parametrize(
    ("fault", "xdist"),
    [
        ({"status": 429, "error_type": "rate_limit_error", "headers": {"retry-after": "1"}}, []),
        ({"text": GOOD, "ending": "drop"}, ["-n", "2"]),
    ],
    ids=["429", "dropped"],
)
def test_a_passing_trouble_of_the_provider_is_asked_again(
    pytester: pytest.Pytester, write_case: Write, serve: Serve, fault: Mapping[str, Any],
    xdist: list[str],
) -> None:  # fmt: skip
    """With the patience of every run; `generation/test_faults.py` has all troubles, with less."""
    write_case("fundamentals/easy/notes")
    requests = serve(queue=[fault], default={"text": GOOD})
    stages = ("--convex-stages", "format,package")
    result = pytester.runpytest("cases", *stages, *xdist)
    result.assert_outcomes(passed=1)
    assert len(requests()) == 2
    (stored,) = (pytester.path / ".convex-eval/generations").glob("*/*.json")
    attempts = json.loads(stored.read_text())["generation"]["attempts"]
    assert len(attempts) == 2
    assert attempts[0]["outcome"] != "ok"


@XDIST
def test_a_batch_is_made_before_anything_is_checked(
    pytester: pytest.Pytester, write_case: Write, serve: Serve, records: Records, xdist: list[str]
) -> None:
    for number in range(3):
        write_case(f"fundamentals/easy/case_{number}")
    serve(default={"text": GOOD, "output_tokens": 1000})
    result = pytester.runpytest("cases", *QUICK, "--convex-batch", *xdist)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*convex-eval: 3 of 3 batched replies *"])
    for record in records():
        # Half of 10 USD a million output tokens, and a little input.
        assert 0.005 <= record["generation"]["usd"] < 0.01


def test_replies_are_made_ahead_whatever_the_number_of_workers(
    pytester: pytest.Pytester, write_case: Write, serve: Serve, server: MessagesServer
) -> None:
    """One worker checks one item at a time; all replies but the first, which goes alone to warm the
    prompt cache, are on their way before any of them is told."""
    for number in range(12):
        write_case(f"fundamentals/easy/case_{number:02}")
    hold = threading.Event()
    requests = serve(queue=[{"text": GOOD}], default={"text": GOOD, "hold": hold})
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(
            pytester.runpytest_subprocess, "cases", "--convex-stages", "format,package", "-n", "1"
        )
        try:
            server.until_asked(12)
        finally:
            hold.set()
        run.result().assert_outcomes(passed=12)
    assert len(requests()) == 12


NO_ANSWERS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "cut": ({"text": GOOD, "stop_reason": "max_tokens"}, "format/truncated"),
    "refused": ({"text": "I can't help.", "stop_reason": "refusal"}, "format/refusal"),
    "empty": ({"text": "Sorry, no."}, "format/no-files"),
    "outside": ({"text": GOOD.replace("convex/schema.ts", "../schema.ts")}, "format/unsafe-path"),
    "folder": ({"text": GOOD.replace("convex/schema.ts", "convex")}, "format/unsafe-path"),
    "below": ({"text": GOOD.replace("convex/schema.ts", "start.ts/a.ts")}, "format/path-conflict"),
}


def test_a_reply_that_is_no_answer_is_the_models_failure(
    pytester: pytest.Pytester, write_case: Write, serve: Serve, records: Records
) -> None:
    for name in NO_ANSWERS:
        write_case(f"fundamentals/easy/{name}", files={"start.ts": "export {};\n"})
    serve(rules=[{**reply, "contains": f"easy/{name}."} for name, (reply, _) in NO_ANSWERS.items()])
    pytester.runpytest("cases", *QUICK).assert_outcomes(failed=len(NO_ANSWERS))
    judged = {one["case"]: (one["verdict"], one["stage"], one["code"]) for one in records()}
    assert judged == {name: ("failed", "format", code) for name, (_, code) in NO_ANSWERS.items()}


@pytest.mark.parametrize("xdist", [[], ["-n", "2"]], ids=["serial", "xdist"])
def test_a_wrong_key_stops_the_run_with_one_line(
    pytester: pytest.Pytester, write_case: Write, serve: Serve, xdist: list[str]
) -> None:
    for number in range(12):
        write_case(f"fundamentals/easy/case_{number}")
    requests = serve(default={"status": 401, "error_type": "authentication_error"})
    result = pytester.runpytest("cases", *QUICK, *xdist)
    outcomes = result.parseoutcomes()
    assert 1 <= outcomes["errors" if "errors" in outcomes else "error"] < 12
    assert "failed" not in outcomes
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert len(requests()) < 12
    result.stdout.fnmatch_lines(["*Interrupted: convex-eval: claude-sonnet-5-5 can't be asked: *"])


def test_without_a_key_a_named_model_is_a_usage_error_before_anything_runs(
    pytester: pytest.Pytester, write_case: Write
) -> None:
    write_case("fundamentals/easy/notes")
    for xdist in ([], ["-n", "2"]):
        result = pytester.runpytest("cases", "--convex-model", "claude-x", *xdist)
        text = result.stdout.str() + result.stderr.str()
        assert "model claude-x needs ANTHROPIC_API_KEY" in text
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert "Traceback" not in text


def test_the_key_is_nowhere_in_what_a_run_leaves(
    pytester: pytest.Pytester, write_case: Write, serve: Serve
) -> None:
    write_case("fundamentals/easy/notes")
    serve(default={"text": GOOD})
    pytester.runpytest("cases", *QUICK, "--convex-keep", "all").assert_outcomes(passed=1)
    left = [path for path in (pytester.path / ".convex-eval").rglob("*") if path.is_file()]
    assert left
    for path in left:
        assert b"sk-ant-test-key" not in path.read_bytes()
