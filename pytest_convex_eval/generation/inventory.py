"""What is in a generation store, for people: listing, clearing out, exporting."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.pricing import PriceTable, show_usd
from pytest_convex_eval.generation.store import StoredGeneration, read_stored

_LEFTOVER_SECONDS = 3600.0
"""A temporary file that is older was left by a process that was killed."""

_HEADINGS: tuple[str, ...] = (
    "MODEL", "CASE", "TRIAL", "DATE (UTC)", "PROMPT", "OUTPUT", "USD", "KB", "",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a store. `problem` says why it is no generation; then `stored` is None.

    `size` is in bytes. `prompt_tokens`, `output_tokens` and `usd` are None where they are unknown.
    """

    path: Path
    size: int
    stored: StoredGeneration | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None
    problem: str | None = None

    @property
    def finished(self) -> datetime.datetime | None:
        """When the generation was made, in UTC."""
        if self.stored is None:
            return None
        try:
            moment = datetime.datetime.fromisoformat(self.stored.generation.finished)
        except ValueError:
            return None
        return moment.astimezone(datetime.UTC)

    @property
    def model(self) -> str:
        return "?" if self.stored is None else self.stored.generation.request.model


def inventory(folder: Path, prices: PriceTable) -> list[Entry]:
    """All files of the store in `folder`, by model and time; empty where there is no store."""
    entries = []
    for path in folder.glob("*/*"):
        # Locks and batches have folders of their own, whose names begin with a dot.
        if path.parent.name.startswith("."):
            continue
        try:
            status = path.stat()
        except OSError:
            continue
        if path.suffix == ".json":
            entries.append(_entry(path, status.st_size, prices))
        elif path.suffix == ".tmp" and status.st_mtime < time.time() - _LEFTOVER_SECONDS:
            entries.append(Entry(path, status.st_size, problem="left by a process that was killed"))
    return sorted(entries, key=_order)


def listing(entries: Sequence[Entry]) -> list[str]:
    """One line for each entry, columns aligned, and one with the sums."""
    if not entries:
        return ["no generations"]
    rows = [_HEADINGS, *(_row(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        # Words to the left, numbers to the right.
        cells = [
            cell.ljust(width) if column in (0, 1, 3, 8) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return [*lines, summary(entries)]


def summary(entries: Sequence[Entry]) -> str:
    """How many generations, of what size, and what they cost as far as that is known."""
    known = [entry.usd for entry in entries if entry.usd is not None]
    unreadable = sum(entry.problem is not None for entry in entries)
    unknown = len(entries) - len(known) - unreadable
    count = len(entries) - unreadable
    parts = [
        f"{count} generation{'' if count == 1 else 's'}",
        f"{sum(entry.size for entry in entries) / 1e6:.1f} MB",
        show_usd(sum(known)) if known or not unknown else "unknown cost",
    ]
    if known and unknown:
        parts[-1] += f" and {unknown} of unknown cost"
    if unreadable:
        parts.append(f"{unreadable} unreadable")
    return ", ".join(parts)


def to_prune(
    entries: Iterable[Entry],
    *,
    unreadable: bool = False,
    before: datetime.datetime | None = None,
    used: Collection[str] | None = None,
) -> list[Entry]:
    """The entries that a person wants to be rid of.

    `unreadable` chooses what is no generation. Generations are chosen by what all the other
    conditions given say: made before `before`, and with a key that is not among `used`. Without
    conditions, none is.
    """
    chosen = []
    for entry in entries:
        if entry.stored is None:
            if unreadable:
                chosen.append(entry)
            continue
        conditions = []
        if before is not None:
            conditions.append(entry.finished is not None and entry.finished < before)
        if used is not None:
            conditions.append(entry.stored.key not in used)
        if conditions and all(conditions):
            chosen.append(entry)
    return chosen


def prune(entries: Iterable[Entry]) -> int:
    """Removes the files; returns the bytes that this freed. Raises OSError."""
    freed = 0
    for entry in entries:
        entry.path.unlink(missing_ok=True)
        freed += entry.size
    return freed


def export(entries: Iterable[Entry]) -> Iterator[str]:
    """One JSON object a line for each generation: who was asked what, and what the answer was.

    Texts are strings here, and not lists of lines as in the store.
    """
    for entry in entries:
        if entry.stored is None:
            continue
        stored, generation = entry.stored, entry.stored.generation
        request = generation.request
        messages: list[Json] = [{"role": "system", "content": request.system}]
        messages += [{"role": turn.role, "content": turn.text} for turn in request.history]
        messages.append({"role": "user", "content": request.user})
        data: dict[str, Json] = {
            "key": stored.key,
            "label": stored.label,
            "trial": stored.trial,
            "run": stored.run,
            "model": request.model,
            "answered_by": generation.answered_by,
            "prompt_fingerprint": generation.prompt_fingerprint,
            "effort": request.effort,
            "settings": dict(request.settings),
            "max_tokens": request.max_tokens,
            "messages": messages,
            "reply": generation.text,
            "stop_reason": generation.stop.reason,
            "usage": dict(generation.usage.told),
            "usd": entry.usd,
            "seconds": generation.seconds,
            "finished": generation.finished,
        }
        # ASCII: a prompt may hold what no encoding can.
        yield json.dumps(data)


def _entry(path: Path, size: int, prices: PriceTable) -> Entry:
    try:
        stored = read_stored(path)
        if path.stem != stored.key:
            raise ValueError("its name is not its key")
    except (OSError, ValueError) as error:
        return Entry(path, size, problem=str(error))
    tokens = stored.generation.usage.tokens
    cost = prices.cost(stored.generation)
    return Entry(
        path,
        size,
        stored,
        prompt_tokens=None if tokens is None else tokens.prompt,
        output_tokens=None if tokens is None else tokens.output,
        usd=None if cost is None else cost.usd,
    )


def _order(entry: Entry) -> tuple[str, str, str]:
    finished = entry.finished
    return entry.path.parent.name, "" if finished is None else finished.isoformat(), str(entry.path)


def _row(entry: Entry) -> tuple[str, ...]:
    kilobytes = f"{entry.size / 1000:.1f}"
    if entry.stored is None:
        name = f"{entry.path.parent.name}/{entry.path.name}"
        return ("?", name, "", "", "", "", "", kilobytes, f"unreadable: {entry.problem}")
    finished = entry.finished
    stop = entry.stored.generation.stop.reason
    return (
        entry.model,
        entry.stored.label,
        str(entry.stored.trial),
        "?" if finished is None else f"{finished:%Y-%m-%d %H:%M}",
        _number(entry.prompt_tokens),
        _number(entry.output_tokens),
        show_usd(entry.usd),
        kilobytes,
        "" if stop == "stop" else stop,
    )


def _number(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
