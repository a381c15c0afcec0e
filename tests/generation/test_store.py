"""The generation store, with the real provider asking the local API where one is asked."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.anthropic.provider import AnthropicProvider
from pytest_convex_eval.generation.modes import StoreMode
from pytest_convex_eval.generation.provider import Generation, ProviderError, Request
from pytest_convex_eval.generation.reference_provider import ReferenceProvider
from pytest_convex_eval.generation.store import GenerationStore, read_stored
from pytest_convex_eval.generation.usage import Stop
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

MakeRequest = Callable[..., Request]
MakeScript = Callable[..., "Script"]
LABEL = "indexes/easy/by_author"


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".tmp"))


def test_a_generation_is_asked_for_once_and_then_found(
    tmp_path: Path, server: MessagesServer, provider: AnthropicProvider, make_request: MakeRequest
) -> None:
    request = make_request()
    made = GenerationStore(tmp_path).get(request, 1, provider, label=LABEL)
    found = GenerationStore(tmp_path).get(request, 1, None, label=LABEL)
    assert (made.stored, found.stored) == (False, True)
    assert found.generation == made.generation
    assert found.key == made.key == request.key(1)
    assert len(server.requests) == 1


def test_trials_models_and_prompts_are_kept_apart_and_labels_are_not(
    tmp_path: Path, server: MessagesServer, provider: AnthropicProvider, make_request: MakeRequest
) -> None:
    store = GenerationStore(tmp_path)
    request = make_request()
    for asked, trial in (
        (request, 1),
        (request, 2),
        (make_request(model="claude-opus-5-5"), 1),
        (make_request(user="another task"), 1),
        (make_request(max_tokens=1000), 1),
    ):
        assert not store.get(asked, trial, provider, label=LABEL).stored
    assert store.get(request, 1, provider, label="another name").stored
    assert len(server.requests) == 5


def test_a_stored_file_can_be_read_by_people_and_holds_no_key(
    tmp_path: Path,
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.queue = [script(status=500, message="sk-ant-test-key"), script(text="one\ntwo é")]
    store = GenerationStore(tmp_path)
    request = make_request(user="first line\nsecond line")
    store.get(request, 1, provider, label=LABEL)
    path = store.path(request, 1)
    assert path.parent.name == "claude-sonnet-5-5"
    assert files_of(tmp_path) == [path]
    text = path.read_text("utf-8")
    assert "sk-ant" not in text
    data = json.loads(text)
    assert data["label"] == LABEL
    assert data["generation"]["text"] == ["one", "two é"]
    assert data["generation"]["request"]["user"] == ["first line", "second line"]
    assert (tmp_path / ".locks" / ".gitignore").read_text() == "*\n"


def test_replay_asks_nobody_and_names_what_is_missing(
    tmp_path: Path, server: MessagesServer, provider: AnthropicProvider, make_request: MakeRequest
) -> None:
    request = make_request()
    store = GenerationStore(tmp_path / "none", "replay")
    with pytest.raises(InfrastructureError) as caught:
        store.get(request, 3, provider, label=LABEL)
    assert str(caught.value) == (
        f"{LABEL} (trial 3) is not in the generation store {tmp_path / 'none'}: no file has the "
        f"key {request.key(3)}, and store mode replay asks no model"
    )
    assert server.requests == []
    assert not (tmp_path / "none").exists()


def test_replay_uses_what_is_there(
    tmp_path: Path, provider: AnthropicProvider, make_request: MakeRequest
) -> None:
    made = GenerationStore(tmp_path).get(make_request(), 1, provider, label=LABEL)
    found = GenerationStore(tmp_path, "replay").get(make_request(), 1, None, label=LABEL)
    assert found.generation == made.generation


@pytest.mark.parametrize("mode", ["auto", "record", "refresh"])
def test_without_a_provider_a_miss_is_a_matter_of_configuration(
    mode: StoreMode, tmp_path: Path, make_request: MakeRequest
) -> None:
    words = {
        "record": "^store mode record needs a key for claude-sonnet-5-5$",
    }.get(
        mode, rf"^{LABEL} \(trial 1\) is not in .*, and there is no key to ask claude-sonnet-5-5 "
    )
    with pytest.raises(ConfigurationError, match=words):
        GenerationStore(tmp_path, mode).get(make_request(), 1, None, label=LABEL)


def test_record_needs_a_provider_even_when_all_is_there(
    tmp_path: Path, provider: AnthropicProvider, make_request: MakeRequest
) -> None:
    GenerationStore(tmp_path, "record").get(make_request(), 1, provider, label=LABEL)
    store = GenerationStore(tmp_path, "record")
    assert store.get(make_request(), 1, provider, label=LABEL).stored
    with pytest.raises(ConfigurationError):
        store.get(make_request(), 1, None, label=LABEL)


def test_refresh_asks_anew_once_a_run(
    tmp_path: Path,
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    GenerationStore(tmp_path).get(make_request(), 1, provider, label=LABEL)
    server.default = script(text="anew")
    first = GenerationStore(tmp_path, "refresh", run="r2")
    other_process = GenerationStore(tmp_path, "refresh", run="r2")
    assert first.find(make_request(), 1) is None
    made = first.get(make_request(), 1, provider, label=LABEL)
    assert (made.stored, made.generation.text) == (False, "anew")
    assert other_process.get(make_request(), 1, provider, label=LABEL).stored
    assert len(server.requests) == 2
    assert (
        not GenerationStore(tmp_path, "refresh")
        .get(make_request(), 1, provider, label=LABEL)
        .stored
    )


def test_a_provider_error_is_never_stored_and_the_next_ask_is_a_real_one(
    tmp_path: Path,
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.default = script(status=500)
    with pytest.raises(ProviderError):
        GenerationStore(tmp_path).get(make_request(), 1, provider, label=LABEL)
    assert files_of(tmp_path) == []
    server.default = script()
    assert not GenerationStore(tmp_path).get(make_request(), 1, provider, label=LABEL).stored


@pytest.mark.parametrize("reason", ["refusal", "max_tokens"])
def test_refusals_and_replies_cut_off_are_stored(
    reason: str,
    tmp_path: Path,
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.queue = [script(stop_reason=reason)]
    GenerationStore(tmp_path).get(make_request(), 1, provider, label=LABEL)
    found = GenerationStore(tmp_path, "replay").get(make_request(), 1, None, label=LABEL)
    assert found.generation.stop.told == reason


def broken_json(text: str) -> str:
    return text[: len(text) // 2]


def other_format(text: str) -> str:
    return text.replace('"format": 2', '"format": 99')


def changed_request(text: str) -> str:
    return text.replace('"a task"', '"another task"')


def no_text(text: str) -> str:
    return text.replace('"text":', '"words":')


def text_of_numbers(text: str) -> str:
    return text.replace('"hello"', "1")


def a_list(text: str) -> str:
    return "[]"


def deep(text: str) -> str:
    return "[" * 100_000


BREAKAGES = [broken_json, other_format, changed_request, no_text, text_of_numbers, a_list, deep]


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_corrupt_file_is_named_or_made_anew_and_never_used(
    breakage: Callable[[str], str],
    tmp_path: Path,
    server: MessagesServer,
    provider: AnthropicProvider,
    make_request: MakeRequest,
) -> None:
    request = make_request()
    store = GenerationStore(tmp_path)
    store.get(request, 1, provider, label=LABEL)
    path = store.path(request, 1)
    path.write_text(breakage(path.read_text("utf-8")), "utf-8")
    for mode in ("auto", "replay"):
        words = f"{path.name} is no readable generation .*; restore it, or have it made anew with "
        with pytest.raises(InfrastructureError, match=words):
            GenerationStore(tmp_path, mode).get(request, 1, provider, label=LABEL)
    assert len(server.requests) == 1
    recorded = GenerationStore(tmp_path, "record").get(request, 1, provider, label=LABEL)
    assert (recorded.stored, recorded.generation.text) == (False, "hello")
    assert GenerationStore(tmp_path, "replay").get(request, 1, None, label=LABEL).stored


def test_threads_asking_for_one_key_make_one_request(
    tmp_path: Path,
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.default = script(text="slow", pause=0.05)
    store = GenerationStore(tmp_path)
    stored: list[bool] = []

    def work() -> None:
        stored.append(store.get(make_request(), 1, provider, label=LABEL).stored)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stored) == [False] + [True] * 7
    assert len(server.requests) == 1


ASKER = """
import sys, time
from pathlib import Path
from pytest_convex_eval.generation.provider import Generation, Request
from pytest_convex_eval.generation.store import GenerationStore
from pytest_convex_eval.generation.usage import Stop

folder, name = Path(sys.argv[1]), sys.argv[2]

class Slow:
    recordable = True

    def generate(self, request, *, deadline_seconds):
        (folder / f"asked.{name}").touch()
        while len(list(folder.glob("came.*"))) < 3:
            time.sleep(0.01)
        return Generation(request, "slow", Stop("stop"), "", "", 1.0)

(folder / f"came.{name}").touch()
request = Request("claude-sonnet-5-5", "rules", "a task", 64_000)
found = GenerationStore(folder / "store").get(request, 1, Slow(), label="x")
print(found.generation.text, found.stored)
"""


def test_processes_asking_for_one_key_make_one_request(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASKER, tmp_path, str(number)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for number in range(3)
    ]
    told = [process.communicate()[0] for process in processes]
    assert sorted(told) == ["slow False\n", "slow True\n", "slow True\n"]
    assert len(list(tmp_path.glob("asked.*"))) == 1


class Canned:
    """A provider that answers when it is let; `deadlines` are those it was given."""

    recordable = True

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.told = threading.Event()
        self.told.set()
        self.deadlines: list[float] = []

    def generate(self, request: Request, *, deadline_seconds: float) -> Generation:
        self.deadlines.append(deadline_seconds)
        self.asked.set()
        assert self.told.wait(HANG_SECONDS)
        return Generation(request, "canned", Stop("stop"), "", "", 1.0)


def test_waiting_for_another_process_ends_at_the_deadline(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    slow = Canned()
    slow.told.clear()
    first = threading.Thread(
        target=GenerationStore(tmp_path).get,
        args=(make_request(), 1, slow),
        kwargs={"label": LABEL},
    )
    first.start()
    assert slow.asked.wait(HANG_SECONDS)
    words = f"^{LABEL}: another process has been asking for this generation for 0.1 s$"
    with pytest.raises(InfrastructureError, match=words):
        GenerationStore(tmp_path).get(make_request(), 1, slow, label=LABEL, deadline_seconds=0.1)
    slow.told.set()
    first.join()
    assert len(slow.deadlines) == 1


def test_the_provider_has_what_is_left_of_the_deadline_and_never_nothing(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    canned = Canned()
    store = GenerationStore(tmp_path)
    for trial, seconds in ((1, 600.0), (2, 0.5)):
        store.get(make_request(), trial, canned, label=LABEL, deadline_seconds=seconds)
    assert 1.0 < canned.deadlines[0] <= 600.0
    assert canned.deadlines[1] == 1.0


def test_files_are_in_a_folder_that_can_be_made_for_every_model(tmp_path: Path) -> None:
    store = GenerationStore(tmp_path)
    folders = {
        model: store.path(Request(model, "", "", 1), 1).parent.name
        for model in ("openai/gpt 6:high", "...", "m.1_a-b", "x" * 200)
    }
    assert list(folders.values()) == ["openai-gpt-6-high", "model", "m.1_a-b", "x" * 80]


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, provider: AnthropicProvider, make_request: MakeRequest
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="can't be written"):
        GenerationStore(tmp_path / "file" / "store", "record").get(
            make_request(), 1, provider, label=LABEL
        )


@pytest.mark.parametrize("mode", ["auto", "record", "replay", "refresh"])
def test_references_are_never_stored(
    mode: StoreMode, tmp_path: Path, make_request: MakeRequest
) -> None:
    provider = ReferenceProvider({"convex/a.ts": "x\n"})
    request = make_request(model="reference")
    found = GenerationStore(tmp_path / "store", mode).get(request, 1, provider, label=LABEL)
    assert not found.stored
    assert not (tmp_path / "store").exists()


def test_what_this_run_made_is_told_from_what_was_there(
    tmp_path: Path, provider: AnthropicProvider, make_request: MakeRequest
) -> None:
    GenerationStore(tmp_path, run="r1").get(make_request(), 1, provider, label=LABEL)
    assert GenerationStore(tmp_path, run="r1").lookup(make_request(), 2) is None
    for run, stored in (("r1", False), ("r2", True)):
        found = GenerationStore(tmp_path, run=run).lookup(make_request(), 1)
        assert found is not None
        assert found.stored == stored


def test_what_was_come_by_otherwise_is_kept_and_takes_nothings_place(
    tmp_path: Path, server: MessagesServer, provider: AnthropicProvider, script: MakeScript,
    make_request: MakeRequest,
) -> None:  # fmt: skip
    server.queue = [script(text="first"), script(text="second")]
    request = make_request()
    first, second = (provider.generate(request, deadline_seconds=HANG_SECONDS) for _ in range(2))
    store = GenerationStore(tmp_path)
    store.put(request, 1, first, label=LABEL)
    store.put(request, 1, second, label=LABEL)
    assert store.find(request, 1) == first
    store.path(request, 1).write_text("{")
    store.put(request, 1, second, label=LABEL)
    assert store.find(request, 1) == second
    stored = read_stored(store.path(request, 1))
    assert (stored.key, stored.label, stored.trial) == (request.key(1), LABEL, 1)
