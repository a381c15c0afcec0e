"""How a reply ended and what it used, in words that are no vendor's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias, get_args

from pytest_convex_eval.generation.json_fields import Fields, Json
from pytest_convex_eval.outcomes import StopReason

Rate: TypeAlias = Literal["standard", "batch", "other"]
"""The prices that a reply is billed at; `other` are some that no table here has."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a whole reply ended. `told` is the vendor's own word for it; `category` what it says that
    a refusal is about."""

    reason: StopReason
    told: str = ""
    category: str | None = None

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Json) -> Stop:
        """The inverse of `to_json`. Raises ValueError."""
        fields = Fields(data)
        named = fields.text("reason")
        for reason in get_args(StopReason):
            if reason == named:
                return cls(reason, fields.text("told"), fields.optional_text("category"))
        raise ValueError(f"reason is {named!r}")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was counted for one reply; `input` is the part of the prompt that no cache served or
    took, `cache_write_long` what is kept longer than the vendor's usual time. The prompt is the sum
    of all but `output`, which includes thinking."""

    input: int
    cache_write: int
    cache_write_long: int
    cache_read: int
    output: int

    @property
    def prompt(self) -> int:
        return self.input + self.cache_write + self.cache_write_long + self.cache_read


@dataclass(frozen=True, slots=True)
class Usage:
    """What a reply used.

    `tokens` are None where the vendor leaves open what has to be known for them; `usd` is what it
    says that it charged, where it says so. `told` is its own object, unchanged.
    """

    tokens: Tokens | None = None
    rate: Rate = "standard"
    usd: float | None = None
    told: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        return {
            "tokens": None if self.tokens is None else asdict(self.tokens),
            "rate": self.rate,
            "usd": self.usd,
            "told": dict(self.told),
        }

    @classmethod
    def from_json(cls, data: Json) -> Usage:
        """The inverse of `to_json`. Raises ValueError."""
        fields = Fields(data)
        named, tokens = fields.text("rate"), fields.value("tokens")
        for rate in get_args(Rate):
            if rate == named:
                return cls(
                    None if tokens is None else _tokens(Fields(tokens)),
                    rate,
                    fields.optional_number("usd"),
                    fields.object("told"),
                )
        raise ValueError(f"rate is {named!r}")


def count(value: Json, *, required: bool = False) -> int | None:
    """`value` as a number of things, None where it is none. What is not told is 0, unless it is
    `required`."""
    if value is None:
        return None if required else 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def _tokens(fields: Fields) -> Tokens:
    return Tokens(
        input=fields.integer("input"),
        cache_write=fields.integer("cache_write"),
        cache_write_long=fields.integer("cache_write_long"),
        cache_read=fields.integer("cache_read"),
        output=fields.integer("output"),
    )
