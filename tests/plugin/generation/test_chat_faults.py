"""Every trouble of an endpoint of Chat Completions, as pytest shows it: whose fault, what stays.

As `test_faults.py`, which has the table of the Messages API: rows are data, one run holds all rows
of a table, an item each, and what ends a run has runs of its own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.generation.messages_server import ChatServer, Script
    from tests.plugin.generation.conftest import Project

LONG = "a text of some length, so that it breaks off in the middle"
PAGE = "<html><body>Bad gateway: try again later.</body></html>"
KEY = "sk-local-test-key"


@dataclass(frozen=True)
class Row:
    """How the endpoint answers, and what is said of it: the verdict of its item, and a finding's
    code or a part of the error's message. `once` that it is asked only once."""

    name: str
    script: Mapping[str, Any]
    verdict: str
    says: str
    once: bool = False


def ours(name: str, says: str, *, once: bool = False, **script: Any) -> Row:
    return Row(name, {"text": LONG, **script}, "error", says, once)


def models(name: str, code: str, **script: Any) -> Row:
    return Row(name, {"text": LONG, **script}, "failed", code, once=True)


PASSING = [
    ours("429", "http_429", status=429, error_type=None),
    ours("429-wait", "rate_limit", status=429, error_type="rate_limit_exceeded",
         headers={"retry-after": "0.3"}),
    ours("408", "timeout", status=408, error_type="timeout"),
    ours("409", "conflict", status=409, error_type="conflict"),
    ours("500", "server_error", status=500, error_type="server_error"),
    ours("502-page", "http_502", status=502, raw=PAGE),
    ours("503", "http_503", status=503, error_type=None),
    ours("529", "http_529", status=529, error_type=None),
    ours("200-page", "truncated", raw=PAGE),
    ours("hangup", "connection", ending="hangup"),
    ours("drop", "connection", ending="drop"),
    ours("noise", "connection", ending="noise"),
    ours("cut", "truncated", ending="cut"),
    ours("garbage", "protocol", ending="garbage"),
    ours("stream-error", "server_error", ending="error", error_type="server_error"),
    ours("stream-502", "http_502", ending="error", error_type=None, error_code=502),
    ours("finish-error", "(error", stop_reason="error"),
    ours("no-output", "empty", text="", output_tokens=0),
    ours("nothing-counted", "empty", text="", counts=False),
]  # fmt: skip
LASTING = [
    *(row for row in PASSING if not row.name.startswith("429")),
    ours("413", "http_413", once=True, status=413, error_type=None),
    ours("too-long", "context_length_exceeded", once=True, status=400,
         error_code="context_length_exceeded"),
    ours("flagged", "invalid_prompt", once=True, status=400, error_code="invalid_prompt"),
    ours("moderated", "http_403", once=True, status=403, error_type=None, error_code=403,
         error_metadata={"flagged_input": "a task"}),
    ours("unknown-reason", "made_up", once=True, stop_reason="made_up"),
    models("length", "format/truncated", stop_reason="length"),
    models("length-thinking", "format/truncated", text="", thinking=LONG, stop_reason="length",
           output_tokens=9),
    models("filtered", "format/refusal", text="", stop_reason="content_filter", output_tokens=0),
    models("refusal", "format/refusal", text="", refusal="No.", output_tokens=2),
    models("tools", "format/unfinished", stop_reason="tool_calls"),
    models("empty", "format/empty-reply", text="", output_tokens=3),
    models("only-thinking", "format/empty-reply", text="", thinking=LONG, output_tokens=9),
    models("no-files", "format/no-files"),
    models("outside", "format/unsafe-path", text='<file path="../x.ts">\nx\n</file>'),
]  # fmt: skip
STOPS = [
    ours("401", "invalid_api_key", status=401, error_code="invalid_api_key"),
    ours("402", "http_402", status=402, error_type=None, error_code=402),
    ours("404", "model_not_found", status=404, error_code="model_not_found"),
    ours("quota", "insufficient_quota", status=429, error_code="insufficient_quota"),
    ours("stream-401", "http_401", ending="error", error_type=None, error_code=401),
]


def local(projects: type[Project], folder: Path, server: ChatServer, **more: Any) -> Project:
    return projects(
        folder,
        "",
        key=None,
        model=f"local=qwen@{server.url}",
        environ={"CONVEX_EVAL_KEY_LOCAL": KEY},
        **more,
    )


@pytest.fixture
def table(
    once: Callable[[str, Callable[[Path], Any]], Any], projects: type[Project],
    messages_api: ModuleType, answer: str, workers: tuple[str, ...],
) -> Callable[[str, Sequence[Row], int | None], Any]:  # fmt: skip
    """One run with an item for each row, whose replies meet its script the first `times`."""

    def run(name: str, rows: Sequence[Row], times: int | None) -> Any:
        def action(folder: Path) -> Any:
            server: ChatServer
            with messages_api.ChatServer() as server:
                server.default = messages_api.Script(text=answer)
                server.rules = [
                    messages_api.Script(
                        **{**row.script, "contains": f"<{row.name}>", "times": times}
                    )
                    for row in rows
                ]
                project = local(projects, folder, server).write("good", *(r.name for r in rows))
                ran = project.run(*workers)
                asked = Counter(
                    re.findall(r"called <([\w-]+)>", received.user)[0]
                    for received in server.requests
                )
            return {
                "status": ran.status,
                "out": ran.out,
                "items": project.items(),
                "asked": dict(asked),
                "stored": {
                    case: [attempt.outcome for attempt in one.generation.attempts]
                    for case, one in project.stored().items()
                },
                "kept": "".join(
                    path.read_text()
                    for path in folder.rglob("*")
                    if path.is_file() and path.suffix in (".json", ".jsonl")
                ),
            }

        return once(f"chat-{name}-{'-'.join(workers) or 'serial'}", action)

    return run


@pytest.mark.parametrize("row", PASSING, ids=[row.name for row in PASSING])
def test_a_trouble_that_passes_leaves_no_trace_but_its_attempt(row: Row, table: Any) -> None:
    run = table("passing", PASSING, 1)
    assert run["status"] == 0, run["out"]
    assert run["items"][row.name]["verdict"] == "passed"
    assert run["asked"][row.name] == 2
    first, last = run["stored"][row.name]
    assert row.says.strip("(") in first
    assert last == "ok"


@pytest.mark.parametrize("row", LASTING, ids=[row.name for row in LASTING])
def test_nothing_is_blamed_on_the_wrong_side(row: Row, table: Any) -> None:
    run = table("lasting", LASTING, None)
    assert run["status"] == pytest.ExitCode.TESTS_FAILED, run["out"]
    item = run["items"][row.name]
    assert item["verdict"] == row.verdict, item
    assert row.says in (item["code"] if row.verdict == "failed" else item["message"])
    assert run["asked"][row.name] == (1 if row.once else 3)
    kept = row.verdict == "failed" or row.name == "unknown-reason"
    assert (row.name in run["stored"]) == kept, "what was paid for is kept, and nothing else"


def test_troubles_are_no_other_item_s_business_and_no_key_is_kept(table: Any) -> None:
    run = table("lasting", LASTING, None)
    assert run["items"]["good"]["verdict"] == "passed"
    generation = run["items"]["good"]["generation"]
    assert generation["input_tokens"] == 1025
    assert generation["usd"] is None, "a price that nobody knows is not nothing"
    assert KEY not in run["out"] + run["kept"]
    assert "qwen" in run["kept"], "what is kept was looked at"


@pytest.mark.parametrize("row", STOPS, ids=[row.name for row in STOPS])
def test_what_only_a_person_can_change_ends_the_run_with_one_line(
    row: Row, tmp_path: Path, projects: type[Project], messages_api: ModuleType,
    script: Callable[..., Script],
) -> None:  # fmt: skip
    with messages_api.ChatServer() as server:
        server.default = script(**row.script, message="come with another key")
        project = local(projects, tmp_path, server).write("a", "b", "c", "d")
        ran = project.run("-n", "2")
    assert ran.status == pytest.ExitCode.INTERRUPTED, ran.out
    (line,) = [line for line in ran.out.splitlines() if "Interrupted" in line]
    assert "convex-eval: local can't be asked: come with another key" in line
    assert row.says in line
    assert project.stored() == {}


def test_a_run_keeps_to_its_limits_and_is_replayed_from_another_place(
    tmp_path: Path, projects: type[Project], messages_api: ModuleType, answer: str
) -> None:
    ini = (
        'convex_model_settings = ["local effort=low temperature=0.5"]\n'
        'convex_model_prices = ["local input=10 output=1000 cache_read=1"]'
    )
    names = [f"case_{number}" for number in range(6)]
    with messages_api.ChatServer() as server:
        server.default = messages_api.Script(text=answer, output_tokens=100)
        project = local(projects, tmp_path, server, ini=ini).write(*names)
        # A reply can cost 0.9 USD for output, and costs 0.1 USD.
        ran = project.run(
            "-n", "2", "--convex-budget", "1.5", "--convex-max-tokens", "900",
            "--convex-concurrency", "4",
        )  # fmt: skip
        asked = list(server.requests)
    assert f"convex-eval: local (qwen at {server.url}, effort low, temperature 0.5)" in ran.out
    cost = (25 * 10 + 1000 * 1 + 100 * 1000) / 1e6
    items = project.items()
    paid = [name for name, item in items.items() if item["verdict"] == "passed"]
    assert 2 <= len(paid) < len(names), ran.out
    assert [items[name]["generation"]["usd"] for name in paid] == [pytest.approx(cost)] * len(paid)
    assert len(asked) == len(paid)
    for received in asked:
        settings = (received.body["reasoning_effort"], received.body["temperature"])
        assert settings == ("low", 0.5)
        assert received.headers["authorization"] == f"Bearer {KEY}"
    manifest = json.loads(
        next((tmp_path / ".convex-eval/runs").glob("*/manifest.json")).read_text()
    )
    (model,) = manifest["settings"]["asked"]
    assert (model["name"], model["id"], model["effort"]) == ("local", "qwen", "low")
    assert "openai" in manifest["versions"]

    # The same store, with the server gone and its place another: the replies are there.
    with messages_api.ChatServer() as elsewhere:
        again = local(projects, tmp_path, elsewhere, ini=ini)
        replayed = again.run("--convex-replay", "replay", "--convex-runs", "again", "-k",
                             " or ".join(paid), "--convex-max-tokens", "900")  # fmt: skip
        assert elsewhere.requests == []
    assert replayed.status == 0, replayed.out
    # With other settings they are none.
    other = local(projects, tmp_path, elsewhere, ini=ini.replace("0.5", "0.6"))
    other.write()
    missed = other.run("--convex-replay", "replay", "--convex-runs", "other", "-k", paid[0],
                       "--convex-max-tokens", "900")  # fmt: skip
    assert "is not in the generation store" in missed.out
