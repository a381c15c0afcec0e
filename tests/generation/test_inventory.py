"""What is in a store: listing, clearing out, exporting."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_convex_eval.generation.anthropic.words import usage_of
from pytest_convex_eval.generation.inventory import (
    Entry,
    export,
    inventory,
    listing,
    prune,
    summary,
    to_prune,
)
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.pricing import PriceTable
from pytest_convex_eval.generation.provider import Generation, Request, Turn
from pytest_convex_eval.generation.store import GenerationStore
from pytest_convex_eval.generation.usage import Stop

MakeRequest = Callable[..., Request]
PRICES = PriceTable.of_package("pytest_convex_eval.generation.anthropic")


@pytest.fixture
def store(tmp_path: Path, make_request: MakeRequest) -> GenerationStore:
    """Two of Sonnet's, one of a model without a price, a broken file and a leftover."""
    store = GenerationStore(tmp_path / "store", run="r1")
    counted: dict[str, Json] = {"input_tokens": 1000, "output_tokens": 200_000}
    sonnet = Generation(
        make_request(),
        "a reply",
        Stop("stop"),
        "",
        "2026-11-02T10:00:00.000+00:00",
        12.0,
        usage_of(counted),
    )
    refused = replace(
        sonnet, stop=Stop("refusal"), finished="2026-11-09T23:30:00+00:00",
        usage=usage_of({"input_tokens": 1000, "output_tokens": 3}),
    )  # fmt: skip
    other = replace(sonnet, request=make_request(model="claude-of-tomorrow"))
    store.put(sonnet.request, 1, sonnet, label="indexes/easy/by_author")
    store.put(sonnet.request, 2, refused, label="indexes/easy/by_author")
    store.put(other.request, 1, other, label="auth/hard/roles")
    folder = store.path(sonnet.request, 1).parent
    (folder / "broken.json").write_text("{")
    leftover = folder / ".abc.tmp"
    leftover.write_text("half a")
    os.utime(leftover, (1, 1))
    (folder / ".new.tmp").write_text("being written")
    return store


@pytest.fixture
def entries(store: GenerationStore) -> list[Entry]:
    return inventory(store.folder, PRICES)


def test_the_listing_shows_what_a_person_asks_of_each(entries: list[Entry]) -> None:
    lines = listing(entries)
    assert len(lines) == 1 + 5 + 1
    assert lines[0].split()[:3] == ["MODEL", "CASE", "TRIAL"]
    (sonnet,) = [line for line in lines if "2026-11-02" in line and "sonnet" in line]
    assert sonnet.split()[:-1] == [
        "claude-sonnet-5-5", "indexes/easy/by_author", "1", "2026-11-02", "10:00", "1,000",
        "200,000", "$2.00",
    ]  # fmt: skip
    assert any("unknown" in line and "auth/hard/roles" in line for line in lines)
    assert any(line.endswith("refusal") for line in lines)
    assert any("broken.json" in line and "unreadable" in line for line in lines)
    assert lines[-1].startswith("3 generations, 0.0 MB, $2.00 and 1 of unknown cost, 2 unreadable")


def test_an_empty_store_has_a_listing_too(tmp_path: Path) -> None:
    assert listing(inventory(tmp_path / "none", PRICES)) == ["no generations"]
    assert summary([]) == "0 generations, 0.0 MB, $0.00"


def test_costs_that_are_all_unknown_are_not_nothing(entries: list[Entry]) -> None:
    (unpriced,) = [entry for entry in entries if entry.model == "claude-of-tomorrow"]
    assert "unknown cost" in summary([unpriced])
    assert "$" not in summary([unpriced])


def test_nothing_is_pruned_that_nobody_named(entries: list[Entry]) -> None:
    assert to_prune(entries) == []


def test_what_is_unreadable_is_pruned_and_what_is_being_written_is_not(
    entries: list[Entry], store: GenerationStore
) -> None:
    chosen = to_prune(entries, unreadable=True)
    assert sorted(entry.path.name for entry in chosen) == [".abc.tmp", "broken.json"]
    assert prune(chosen) == sum(entry.size for entry in chosen)
    left = inventory(store.folder, PRICES)
    assert all(entry.problem is None for entry in left)
    assert len(left) == 3
    assert list(store.folder.rglob(".new.tmp"))


def test_old_and_unused_ones_are_pruned(entries: list[Entry], store: GenerationStore) -> None:
    week = datetime.datetime(2026, 11, 8, tzinfo=datetime.UTC)
    old = to_prune(entries, before=week)
    assert len(old) == 2
    kept = {entry.stored.key for entry in entries if entry.stored and entry.stored.trial == 2}
    unused = to_prune(entries, used=kept)
    assert sorted(map(str, unused)) == sorted(map(str, old))
    used = {entry.stored.key for entry in entries if entry.stored}
    # Both conditions have to hold.
    assert to_prune(entries, used=used, before=week) == []
    prune(old)
    assert len([entry for entry in inventory(store.folder, PRICES) if entry.stored]) == 1


def test_the_export_is_a_line_for_each_generation(entries: list[Entry]) -> None:
    lines = [json.loads(line) for line in export(entries)]
    assert len(lines) == 3
    (one,) = [line for line in lines if line["stop_reason"] == "refusal"]
    assert one["model"] == "claude-sonnet-5-5"
    assert one["messages"] == [
        {"role": "system", "content": "rules"}, {"role": "user", "content": "a task"},
    ]  # fmt: skip
    assert one["reply"] == "a reply"
    assert one["usd"] == pytest.approx(0.00203)
    assert {line["usd"] for line in lines if line["model"] == "claude-of-tomorrow"} == {None}


def test_locks_and_batches_are_no_entries(store: GenerationStore) -> None:
    before = inventory(store.folder, PRICES)
    assert len(before) > 0
    (store.folder / ".batches").mkdir()
    (store.folder / ".batches" / "x.json").write_text("{}")
    assert inventory(store.folder, PRICES) == before


def test_the_export_tells_all_that_was_asked_and_answered(tmp_path: Path) -> None:
    request = Request("m", "rules", "again", 9, (Turn("user", "a"), Turn("assistant", "b")), "low")
    generation = Generation(
        request, "one\ntwo", Stop("stop", "end_turn"), "began", "ended", 1.5,
        usage_of({"output_tokens": 3}),
        answered_by="m-1",
    )  # fmt: skip
    store = GenerationStore(tmp_path, run="r1")
    store.put(request, 2, generation, label="a/b/c")
    (line,) = export(inventory(tmp_path, PRICES))
    assert json.loads(line) == {
        "key": request.key(2),
        "label": "a/b/c",
        "trial": 2,
        "run": "r1",
        "model": "m",
        "answered_by": "m-1",
        "prompt_fingerprint": request.fingerprint(),
        "effort": "low",
        "settings": {},
        "max_tokens": 9,
        "messages": [
            {"role": "system", "content": "rules"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "again"},
        ],
        "reply": "one\ntwo",
        "stop_reason": "stop",
        "usage": {"output_tokens": 3},
        "usd": None,
        "seconds": 1.5,
        "finished": "ended",
    }


def test_the_columns_of_the_listing_are_aligned(entries: list[Entry]) -> None:
    readable = [replace(entry, size=1234) for entry in entries if entry.stored]
    case, date = "CASE                  ", "DATE (UTC)      "
    assert listing(readable) == [
        f"MODEL               {case}  TRIAL  {date}  PROMPT   OUTPUT      USD   KB",
        "claude-of-tomorrow  auth/hard/roles             1  2026-11-02 10:00   1,000  200,000  "
        "unknown  1.2",
        "claude-sonnet-5-5   indexes/easy/by_author      1  2026-11-02 10:00   1,000  200,000    "
        "$2.00  1.2",
        "claude-sonnet-5-5   indexes/easy/by_author      2  2026-11-09 23:30   1,000        3  "
        "$0.0020  1.2  refusal",
        "3 generations, 0.0 MB, $2.00 and 1 of unknown cost",
    ]


def test_what_is_unknown_of_a_generation_is_shown_as_unknown(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    store = GenerationStore(tmp_path)
    store.put(
        make_request(),
        1,
        Generation(make_request(), "", Stop("stop"), "", "some day", 1.0),
        label="c",
    )
    (entry,) = inventory(tmp_path, PRICES)
    assert (entry.finished, entry.prompt_tokens, entry.output_tokens, entry.usd) == (None,) * 4
    assert listing([replace(entry, size=0)])[1].split() == [
        "claude-sonnet-5-5", "c", "1", "?", "?", "?", "unknown", "0.0",
    ]  # fmt: skip
    # Of no known age, it is not old.
    assert to_prune([entry], before=datetime.datetime.max.replace(tzinfo=datetime.UTC)) == []


def test_sizes_are_summed(entries: list[Entry]) -> None:
    one = replace(entries[0], size=1_260_000)
    assert summary([one]) == "1 generation, 1.3 MB, unknown cost"
    assert summary([one, one]).startswith("2 generations, 2.5 MB")


def test_what_is_made_at_the_very_moment_is_not_before_it(entries: list[Entry]) -> None:
    moment = datetime.datetime(2026, 11, 9, 23, 30, tzinfo=datetime.UTC)
    assert len(to_prune(entries, before=moment)) == 2
    assert len(to_prune(entries, before=moment + datetime.timedelta(seconds=1))) == 3


def test_a_moment_is_shown_in_utc(tmp_path: Path, make_request: MakeRequest) -> None:
    made = Generation(make_request(), "", Stop("stop"), "", "2026-11-02T01:30:00+02:00", 1.0)
    GenerationStore(tmp_path).put(make_request(), 1, made, label="c")
    (entry,) = inventory(tmp_path, PRICES)
    assert "2026-11-01 23:30" in listing([entry])[1]


def test_a_generation_under_another_name_is_unreadable(store: GenerationStore) -> None:
    (path, *_) = sorted(store.folder.glob("claude-of-tomorrow/*.json"))
    path.rename(path.with_name("other.json"))
    (entry,) = [one for one in inventory(store.folder, PRICES) if one.path.name == "other.json"]
    assert (entry.problem, entry.model, entry.stored) == ("its name is not its key", "?", None)
    assert "claude-of-tomorrow/other.json" in listing([entry])[1]
    assert listing([entry])[1].endswith("unreadable: its name is not its key")


def test_entries_are_sorted_by_model_and_time(entries: list[Entry]) -> None:
    assert [(one.model, one.stored.trial if one.stored else None) for one in entries] == [
        ("claude-of-tomorrow", 1), ("?", None), ("?", None),
        ("claude-sonnet-5-5", 1), ("claude-sonnet-5-5", 2),
    ]  # fmt: skip


def test_pruning_what_is_gone_is_no_trouble(entries: list[Entry]) -> None:
    assert prune(entries) == prune(entries) == sum(entry.size for entry in entries)
