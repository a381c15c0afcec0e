"""What is in a store: listing, clearing out, exporting."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_convex_eval.generation.inventory import (
    Entry,
    export,
    inventory,
    listing,
    observed_outputs,
    prune,
    summary,
    to_prune,
)
from pytest_convex_eval.generation.pricing import PriceTable
from pytest_convex_eval.generation.provider import Generation, Json, Request
from pytest_convex_eval.generation.store import GenerationStore

MakeRequest = Callable[..., Request]
PRICES = PriceTable.load()


@pytest.fixture
def store(tmp_path: Path, make_request: MakeRequest) -> GenerationStore:
    """Two of Sonnet's, one of a model without a price, a broken file and a leftover."""
    store = GenerationStore(tmp_path / "store", run="r1")
    counted: dict[str, Json] = {"input_tokens": 1000, "output_tokens": 200_000}
    sonnet = Generation(
        make_request(), "a reply", "end_turn", "", "2026-11-02T10:00:00.000+00:00", 12.0, counted
    )
    refused = replace(
        sonnet, stop_reason="refusal", finished="2026-11-09T23:30:00+00:00",
        usage={"input_tokens": 1000, "output_tokens": 3},
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


def test_outputs_are_observed_by_model(entries: list[Entry]) -> None:
    assert observed_outputs(entries) == {
        "claude-of-tomorrow": [200_000],
        "claude-sonnet-5-5": [200_000, 3],
    }


def test_locks_and_batches_are_no_entries(store: GenerationStore) -> None:
    before = inventory(store.folder, PRICES)
    assert len(before) > 0
    (store.folder / ".batches").mkdir()
    (store.folder / ".batches" / "x.json").write_text("{}")
    assert inventory(store.folder, PRICES) == before
