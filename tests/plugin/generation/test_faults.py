"""Every trouble of a provider, as pytest shows it: whose fault, how often asked, what stays.

Rows are data. A trouble is looked at twice: once it passes, and once it does not. One run holds all
rows of a table, an item each, so that each is also seen to leave the others alone; what ends a run
has runs of its own.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from pytest_convex_eval.outcomes import Verdict
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script
    from tests.plugin.generation.conftest import Project

Fields: TypeAlias = Mapping[str, Any]
Once: TypeAlias = Callable[[str, Callable[[Path], Any]], Any]

ATTEMPTS = 3
LONG = "a text of some length, so that it breaks off in the middle"
DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
PAGE = "<html><body>Bad gateway: try again later.</body></html>"


@dataclass(frozen=True)
class Trouble:
    """One that may pass: the server's `script`, and the `outcome` of an attempt that met it.

    `requests` are those that a trouble which does not pass takes, None where only time decides.
    """

    name: str
    script: Fields
    outcome: str
    requests: int | None = ATTEMPTS


def refused(name: str, **headers: str) -> Trouble:
    script = {"status": 429, "error_type": "rate_limit_error", "headers": headers}
    return Trouble(name, script, "rate_limit_error", None)


def status(number: int, kind: str) -> Trouble:
    return Trouble(str(number), {"status": number, "error_type": kind}, kind)


def broken(ending: str, outcome: str, **more: str) -> Trouble:
    name = "-".join([ending, *more.values()])
    return Trouble(name, {"text": LONG, "ending": ending, **more}, outcome)


TROUBLES = [
    refused("429"),
    refused("429-wait", **{"retry-after": "0.3"}),
    refused("429-wait-ms", **{"retry-after-ms": "300", "retry-after": "60"}),
    refused("429-wait-date", **{"retry-after": DATE}),
    status(408, "timeout_error"),
    status(409, "conflict_error"),
    status(500, "api_error"),
    status(503, "api_error"),
    status(504, "timeout_error"),
    status(529, "overloaded_error"),
    Trouble("502-page", {"status": 502, "raw": PAGE}, "http_502"),
    Trouble("200-page", {"status": 200, "raw": PAGE}, "truncated"),
    Trouble("hang", {"latency": 60.0}, "timeout"),
    broken("hangup", "connection"),
    broken("drop", "connection"),
    broken("noise", "connection"),
    broken("stall", "timeout"),
    broken("cut", "truncated"),
    broken("garbage", "protocol"),
    broken("error", "overloaded_error", error_type="overloaded_error"),
    broken("error", "api_error", error_type="api_error"),
    Trouble(
        "error-rate_limit_error",
        {"text": LONG, "ending": "error", "error_type": "rate_limit_error"},
        "rate_limit_error",
        None,
    ),
    Trouble("no-output", {"text": "", "output_tokens": 0}, "empty"),
]
REFUSALS = [one for one in TROUBLES if one.outcome == "rate_limit_error"]
LOUD = [one for one in TROUBLES if one.outcome != "timeout"]
SILENT = [one for one in TROUBLES if one.outcome == "timeout"]
LASTING = [
    *[one for one in TROUBLES if one.outcome not in ("rate_limit_error", "timeout")],
    Trouble("413", {"status": 413, "error_type": "request_too_large"}, "request_too_large", 1),
]
# What only the deadline ends, which has to come soon: whichever process comes to it first says so.
ENDLESS = [Trouble("pings", {"text": LONG, "ending": "pings"}, "within", 1)]
TABLES = {"lasting": LASTING, "silent": SILENT, "refusals": REFUSALS, "endless": ENDLESS}
SILENCE_SECONDS = {"silent": 5.0, "passing-silent": 5.0}
"""What is taken for a trouble, where there is one; elsewhere our server may be slow."""
DEADLINE_SECONDS = {"endless": 20.0}


@dataclass(frozen=True)
class End:
    """A reply that is whole, and no answer: the model's own, but for a reason nobody knows."""

    name: str
    script: Fields
    code: str | None
    verdict: str = Verdict.FAILED.value


ENDS = [
    End("refusal", {"text": "No.", "stop_reason": "refusal"}, "format/refusal"),
    End(
        "refusal-silent",
        {
            "text": "",
            "stop_reason": "refusal",
            "stop_details": {"type": "refusal", "category": "cyber"},
            "output_tokens": 0,
        },
        "format/refusal",
    ),
    End("max-tokens", {"text": LONG, "stop_reason": "max_tokens"}, "format/truncated"),
    End(
        "max-tokens-thinking",
        {"text": "", "thinking": LONG, "stop_reason": "max_tokens", "output_tokens": 9},
        "format/truncated",
    ),
    End(
        "context",
        {"text": LONG, "stop_reason": "model_context_window_exceeded"},
        "format/truncated",
    ),
    End("tool-use", {"text": LONG, "stop_reason": "tool_use"}, "format/unfinished"),
    End("pause-turn", {"text": LONG, "stop_reason": "pause_turn"}, "format/unfinished"),
    End("empty", {"text": "", "output_tokens": 3}, "format/empty-reply"),
    End("only-thinking", {"text": "", "thinking": LONG, "output_tokens": 9}, "format/empty-reply"),
    End("no-files", {"text": LONG}, "format/no-files"),
    End("outside", {"text": '<file path="../x.ts">\nx\n</file>'}, "format/unsafe-path"),
    End(
        "unknown-reason",
        {"text": LONG, "stop_reason": "made_up"},
        None,
        verdict=Verdict.ERROR.value,
    ),
]


@dataclass(frozen=True)
class Stop:
    """What only a person can change, and the most requests that may meet it: one, since the others
    wait for the prompt cache, unless the first reply had already begun. Which these are, the
    provider decides, and the prefetch what follows: their tests have them all."""

    name: str
    script: Fields
    most: int = 1


def forbidden(number: int, kind: str, code: str | None = None) -> Stop:
    name = "-".join([str(number), code or kind])
    return Stop(name, {"status": number, "error_type": kind, "error_code": code})


STOPS = [
    forbidden(401, "authentication_error"),
    forbidden(429, "rate_limit_error", "contract_spend_limit_reached"),
    Stop("stream", {"text": LONG, "ending": "error", "error_type": "authentication_error"}, 16),
]


# Whose fault


@pytest.fixture
def table(
    once: Once, projects: type[Project], messages_api: ModuleType, answer: str,
    workers: tuple[str, ...],
) -> Callable[[str, Sequence[Trouble | End], int | None], Any]:  # fmt: skip
    """One run with an item for each row, whose replies meet its script the first `times`; and what
    came of it, by the rows' names."""

    def run(name: str, rows: Sequence[Trouble | End], times: int | None) -> Any:
        def action(folder: Path) -> Any:
            server: MessagesServer
            with messages_api.MessagesServer() as server:
                server.default = messages_api.Script(text=answer)
                server.rules = [
                    messages_api.Script(
                        **{**row.script, "contains": f"<{row.name}>", "times": times}
                    )
                    for row in rows
                ]
                project = projects(
                    folder,
                    server.url,
                    retries={
                        "connect": HANG_SECONDS,
                        "read": SILENCE_SECONDS.get(name, HANG_SECONDS),
                        # A slow server is silent more often than once.
                        "attempts": 9 if name == "passing-silent" else 3,
                    },
                    deadline=DEADLINE_SECONDS.get(name, HANG_SECONDS),
                ).write("good", *(row.name for row in rows))
                ran = project.run(*workers)
                asked = Counter(
                    re.findall(r"called <([\w-]+)>", received.user)[0]
                    for received in server.requests
                )
            stored = project.stored()
            return {
                "status": ran.status,
                "out": ran.out,
                "items": project.items(),
                "asked": dict(asked),
                "stored": {
                    name: [attempt.outcome for attempt in one.generation.attempts]
                    for name, one in stored.items()
                },
            }

        return once(f"{name}-{'-'.join(workers) or 'serial'}", action)

    return run


def named(rows: Sequence[Trouble | End | Stop]) -> list[str]:
    return [row.name for row in rows]


@pytest.mark.parametrize("row", LOUD, ids=named(LOUD))
def test_a_trouble_that_passes_leaves_no_trace_but_its_attempt(row: Trouble, table: Any) -> None:
    run = table("passing", LOUD, 1)
    assert run["status"] == 0, run["out"]
    assert run["items"][row.name]["verdict"] == "passed"
    assert run["asked"][row.name] == 2
    assert run["stored"][row.name] == [row.outcome, "ok"]


@pytest.mark.parametrize("row", SILENT, ids=named(SILENT))
def test_a_silence_that_passes_leaves_no_trace_but_its_attempt(row: Trouble, table: Any) -> None:
    run = table("passing-silent", SILENT, 1)
    assert run["status"] == 0, run["out"]
    assert run["items"][row.name]["verdict"] == "passed"
    first, *others, last = run["stored"][row.name]
    assert (first, last) == (row.outcome, "ok")
    # A busy machine may be as silent.
    assert set(others) <= {row.outcome}
    assert run["asked"][row.name] == 2 + len(others)


@pytest.mark.parametrize(
    ("row", "rows"),
    [(row, rows) for rows in TABLES for row in TABLES[rows]],
    ids=[row.name for rows in TABLES for row in TABLES[rows]],
)
def test_a_trouble_that_lasts_is_an_error_of_its_item_and_nothing_is_stored(
    row: Trouble, rows: str, table: Any
) -> None:
    # Refusals slow all requests down, and a deadline is everybody's: these have their own runs.
    run = table(rows, TABLES[rows], None)
    assert run["status"] == pytest.ExitCode.TESTS_FAILED
    item = run["items"][row.name]
    assert (item["verdict"], item["stage"], item["stages"]) == ("error", None, [])
    assert row.outcome in item["message"]
    asked = run["asked"][row.name]
    assert asked >= 2 if row.requests is None else asked == row.requests
    assert row.name not in run["stored"]


@pytest.mark.parametrize("rows", TABLES)
def test_troubles_that_last_are_no_other_items_business(rows: str, table: Any) -> None:
    run = table(rows, TABLES[rows], None)
    assert run["items"]["good"]["verdict"] == "passed"
    # Where silence is a trouble, a busy machine may have it too.
    assert run["asked"]["good"] == 1 or rows == "silent"
    assert list(run["stored"]) == ["good"]
    assert re.search(rf"=+ 1 passed, {len(TABLES[rows])} errors? in ", run["out"]), run["out"]
    assert "Interrupted" not in run["out"]


@pytest.mark.parametrize("row", ENDS, ids=named(ENDS))
def test_a_reply_that_is_no_answer_is_judged_once_and_stored(row: End, table: Any) -> None:
    run = table("ends", ENDS, None)
    assert run["status"] == pytest.ExitCode.TESTS_FAILED
    item = run["items"][row.name]
    assert (item["verdict"], item["code"]) == (row.verdict, row.code)
    assert run["asked"][row.name] == 1
    assert run["stored"][row.name] == ["ok"]


def test_a_provider_that_cannot_be_reached_is_an_error_of_every_item(
    tmp_path: Path, projects: type[Project], workers: tuple[str, ...]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        project = projects(tmp_path, url).write("a", "b", "c")
        ran = project.run(*workers)
    assert ran.status == pytest.ExitCode.TESTS_FAILED
    assert [item["verdict"] for item in project.items().values()] == ["error"] * 3
    assert all("connection" in item["message"] for item in project.items().values())
    assert project.stored() == {}


# What ends the run


def check_stopped(out: str, status: int, words: str) -> None:
    assert status == pytest.ExitCode.INTERRUPTED, out
    (line,) = [line for line in out.splitlines() if "Interrupted" in line]
    assert "convex-eval: claude-sonnet-5-5 can't be asked: " in line
    assert words in line
    assert "Traceback" not in out
    assert "INTERNALERROR" not in out


@pytest.mark.parametrize("row", STOPS, ids=named(STOPS))
def test_what_only_a_person_can_change_ends_the_run_with_one_line(
    row: Stop, tmp_path: Path, projects: type[Project], server: MessagesServer,
    script: Callable[..., Script], workers: tuple[str, ...],
) -> None:  # fmt: skip
    server.default = script(**row.script, message="come with another key")
    names = [f"case_{number:02}" for number in range(12)]
    project = projects(tmp_path, server.url).write(*names)
    ran = project.run(*workers)
    check_stopped(ran.out, ran.status, "come with another key")
    assert len(server.requests) <= row.most
    assert project.stored() == {}
    verdicts = {item["verdict"] for item in project.items().values()}
    assert verdicts == {"error"}
    assert len(project.items()) < len(names)


def test_a_spend_limit_that_is_reached_on_the_way_leaves_what_was_paid(
    tmp_path: Path, projects: type[Project], server: MessagesServer, script: Callable[..., Script],
    answer: str, workers: tuple[str, ...],
) -> None:  # fmt: skip
    names = [f"case_{number:02}" for number in range(12)]
    server.default = script(text=answer)
    spent = {"status": 429, "error_code": "enforced_spend_limit_reached"}
    server.rules = [script(**spent, contains="<case_04>", error_type="rate_limit_error")]
    project = projects(tmp_path, server.url).write(*names)
    ran = project.run(*workers, "--convex-concurrency", "1")
    check_stopped(ran.out, ran.status, "enforced_spend_limit_reached")
    # Workers may have asked for theirs out of turn.
    paid = [received.user.partition("<")[2][:7] for received in server.requests][:-1]
    assert sorted(project.stored()) == sorted(paid)
    verdicts = {name: item["verdict"] for name, item in project.items().items()}
    assert set(verdicts.values()) <= {"passed", "error"}
    assert {name for name, verdict in verdicts.items() if verdict == "passed"} <= set(paid)

    # The same command, once there is money again: nothing that was paid is paid again.
    server.rules = []
    again = project.run(*workers, "--convex-runs", "again")
    assert again.status == 0, again.out
    assert len(server.requests) == len(names) + 1
