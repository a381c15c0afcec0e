"""How a run comes by its replies: from the store or not, in one request or more."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

StoreMode: TypeAlias = Literal["auto", "record", "replay", "refresh"]
"""auto: use what is there, ask for the rest; an unreadable file is an error.
record: the same, but a provider has to be there from the start and what is unreadable is made anew;
for filling a store that is to be committed.
replay: use what is there, never ask.
refresh: ask for everything once a run, and overwrite."""

STORE_MODES: tuple[StoreMode, ...] = get_args(StoreMode)

Strategy: TypeAlias = Literal["direct", "design-first"]
"""direct: the code at once. design-first: a design, and then the code from it."""

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
