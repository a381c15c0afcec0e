"""Runs from the store alone: no key, no network, and the same to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script
    from tests.plugin.generation.conftest import Project

NAMES = [f"case_{number}" for number in range(6)]
# What tells of time and place, and of where a reply came from.
VOLATILE = {"ended", "worker", "seconds", "cpu_seconds", "artefacts", "source", "stored"}
TIMES = re.compile(
    r' (?:time|timestamp|hostname)="[^"]*"|<property name="convex_eval\.seconds[^/]*/>'
    r"|\d+\.\d\ds|^workspace kept in .*$",
    re.MULTILINE,
)
CASE = re.compile(r"<testcase .*?</testcase>", re.DOTALL)


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if key not in VOLATILE}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def verdicts(project: Project, runs: str) -> bytes:
    """The record's items in the order of their names."""
    items = project.items(runs)
    return json.dumps([without_times(items[name]) for name in sorted(items)]).encode()


def junit(project: Project, name: str) -> bytes:
    """The file without times, its cases in the order of their text: workers end in any order."""
    text = TIMES.sub("", (project.folder / name).read_text())
    cases = CASE.findall(text)
    assert len(cases) == len(NAMES)
    return "\n".join([CASE.sub("", text), *sorted(cases)]).encode()


def test_a_replay_is_the_recorded_run_to_the_byte(
    tmp_path: Path, projects: type[Project], server: MessagesServer, script: Callable[..., Script],
    answer: str, workers: tuple[str, ...],
) -> None:  # fmt: skip
    broken = answer.replace("^1.48.0", "^99.0.0")
    server.default = script(text=answer)
    server.rules = [
        script(text="I'd rather not.", stop_reason="refusal", contains="<case_1>"),
        script(text=answer, stop_reason="max_tokens", contains="<case_2>"),
        script(text=broken, contains="<case_3>"),
        script(text=answer, contains="<case_4>", status=529, times=1),
    ]
    recording = projects(tmp_path, server.url).write(*NAMES)
    stages = "format,package"
    recorded = recording.run(
        *workers, "--convex-runs", "recorded", "--junitxml", "recorded.xml", stages=stages
    )
    assert recorded.status == 1, recorded.out
    asked = len(server.requests)
    assert asked == len(NAMES) + 1

    replaying = projects(tmp_path, server.url, key=None)
    for name in ("first", "second"):
        args = ("--convex-replay", "replay", "--convex-runs", name, "--junitxml", f"{name}.xml")
        replayed = replaying.run(*workers, *args, stages=stages)
        assert replayed.status == 1, replayed.out
        assert verdicts(replaying, name) == verdicts(recording, "recorded")
    assert len(server.requests) == asked
    first, second, original = (
        junit(recording, f"{name}.xml") for name in ("first", "second", "recorded")
    )
    assert first == second == original
    assert b"failure" in first
    counted = {name: item["verdict"] for name, item in replaying.items("second").items()}
    failed = {"case_1", "case_2", "case_3"}
    assert counted == {name: "failed" if name in failed else "passed" for name in NAMES}


def test_a_reply_that_the_store_does_not_have_is_an_error_and_asks_nobody(
    tmp_path: Path, projects: type[Project], server: MessagesServer, script: Callable[..., Script],
    answer: str, workers: tuple[str, ...],
) -> None:  # fmt: skip
    server.default = script(text=answer)
    project = projects(tmp_path, server.url).write("known")
    project.run("--convex-runs", "recorded")
    project.write("unknown")
    ran = project.run(*workers, "--convex-replay", "replay", "--convex-runs", "replayed")
    assert ran.status == 1, ran.out
    assert {name: item["verdict"] for name, item in project.items("replayed").items()} == {
        "known": "passed",
        "unknown": "error",
    }
    assert len(server.requests) == 1
