"""What a generation cost, and what a run will cost, in USD.

Prices stand in the `prices.json` of each vendor's package, dated: a generation is priced as of the
day it was made. What is not known there (a model, a day before the table begins, a multiplier
nobody could confirm, a rate with prices of its own) makes a cost unknown: None, and never 0.
"""

from __future__ import annotations

import datetime
import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.provider import Generation, Request
from pytest_convex_eval.generation.usage import Tokens, Usage

MILLION = 1_000_000

CHARACTERS_PER_TOKEN = 3.0
"""To guess a prompt's tokens: English takes about 4 with the older tokenizers, code fewer, and the
tokenizers since Opus 4.7 make about 30 % more tokens of the same text."""

ASSUMED_OUTPUT_TOKENS = (3_000, 15_000)
"""A reply's output, thinking included, where no generation of the model is stored: a few files
without and with long thinking."""

_DATED = re.compile(r"-20\d\d-?\d\d-?\d\d$")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one generation cost, in USD; in parts, or whole as its vendor told it (`told_usd`)."""

    input_usd: float
    cache_write_usd: float
    cache_read_usd: float
    output_usd: float
    told_usd: float | None = None

    @property
    def usd(self) -> float:
        if self.told_usd is not None:
            return self.told_usd
        return self.input_usd + self.cache_write_usd + self.cache_read_usd + self.output_usd


@dataclass(frozen=True, slots=True)
class Estimate:
    """What `requests` requests will probably cost, in USD, at the least and at the most.

    `basis` says in a few words where the output tokens were taken from.
    """

    low_usd: float
    high_usd: float
    requests: int
    basis: str


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices in USD per million tokens for prompts of at most `up_to` tokens."""

    up_to: float
    input: float
    output: float


@dataclass(frozen=True, slots=True)
class Price:
    """A model's prices from one day on. `cache_*` are multiples of the input price, `batch` of
    all; None is unknown. The prompt's length decides the tier of input and output alike."""

    effective_from: datetime.date
    tiers: tuple[Tier, ...]
    cache_write: float | None
    cache_write_long: float | None
    cache_read: float | None
    batch: float | None

    def cost(self, tokens: Tokens, *, batch: bool = False) -> Cost | None:
        """The cost of `tokens`; None where a price that it takes is unknown."""
        discount = self.batch if batch else 1.0
        if discount is None:
            return None
        tier = next(tier for tier in self.tiers if tokens.prompt <= tier.up_to)
        writes = _product(tokens.cache_write, self.cache_write)
        long_writes = _product(tokens.cache_write_long, self.cache_write_long)
        reads = _product(tokens.cache_read, self.cache_read)
        if writes is None or long_writes is None or reads is None:
            return None
        unit = tier.input * discount / MILLION
        return Cost(
            input_usd=tokens.input * unit,
            cache_write_usd=(writes + long_writes) * unit,
            cache_read_usd=reads * unit,
            output_usd=tokens.output * tier.output * discount / MILLION,
        )

    def most(self, prompt: int, output: int, *, batch: bool = False) -> float | None:
        """USD that no reply with these many tokens at the most can exceed; None if unknown."""
        discount = self.batch if batch else 1.0
        writes = self.cache_write_long if batch else self.cache_write
        if discount is None or writes is None:
            return None
        # A shorter prompt than the longest possible may be in a dearer tier: all that are reached.
        reachable = [
            tier
            for number, tier in enumerate(self.tiers)
            if number == 0 or prompt > self.tiers[number - 1].up_to
        ]
        factor = max(1.0, writes) * discount / MILLION
        return max(
            prompt * tier.input * factor + output * tier.output * discount / MILLION
            for tier in reachable
        )


class PriceTable:
    """The dated prices of all models that are known."""

    def __init__(self, prices: Mapping[str, Sequence[Price]], *, checked: str) -> None:
        self._prices = {
            model: sorted(dated, key=lambda price: price.effective_from)
            for model, dated in prices.items()
        }
        self.checked = checked
        """The day on which somebody last compared the table with its source, ISO 8601."""

    @classmethod
    def of_package(cls, package: str) -> PriceTable:
        """The table in the file `prices.json` of a vendor's `package`."""
        text = (resources.files(package) / "prices.json").read_text("utf-8")
        return cls.from_json(json.loads(text))

    @classmethod
    def of_lines(cls, lines: Iterable[str]) -> PriceTable:
        """Prices that a person tells: `MODEL input=USD output=USD [cache_read=USD]
        [cache_write=USD]` a line, per million tokens, on any day and for prompts of any length.
        What writing to a cache costs is the input's price where it is not told; what reading costs
        is unknown.

        Raises ValueError for what is no such line.
        """
        return cls(dict(_told_price(line) for line in lines), checked="")

    @classmethod
    def merged(cls, tables: Iterable[PriceTable]) -> PriceTable:
        """The prices of all `tables`; of two that know one model the later counts."""
        prices: dict[str, Sequence[Price]] = {}
        checked = ""
        for table in tables:
            prices.update(table._prices)
            checked = max(checked, table.checked)
        return cls(prices, checked=checked)

    @classmethod
    def from_json(cls, data: Json) -> PriceTable:
        """Raises ValueError when `data` is no price table of the known format."""
        match data:
            case {"format": 1, "checked": str(checked), "models": dict(models)}:
                prices = {
                    name: [_price(entry) for entry in _entries(dated)]
                    for name, dated in models.items()
                }
                return cls(prices, checked=checked)
        raise ValueError("no price table of format 1")

    def price(self, model: str, day: datetime.date) -> Price | None:
        """The prices of `model` on `day`; a dated id is priced as the id without its date."""
        dated = self._prices.get(model) or self._prices.get(_DATED.sub("", model)) or []
        valid = [price for price in dated if price.effective_from <= day]
        return valid[-1] if valid else None

    def cost(self, generation: Generation) -> Cost | None:
        """What `generation` cost; None where that is not known for certain.

        The model that answered is the one that is billed. Attempts that failed are not in it: what
        the provider billed for them is unknown.
        """
        day = _day(generation.finished)
        model = generation.answered_by or generation.request.model
        return None if day is None else self.cost_of(model, generation.usage, day)

    def cost_of(self, model: str, usage: Usage, day: datetime.date) -> Cost | None:
        """What a reply of `model` that used this costs on `day`; None if unknown. What its vendor
        says that it charged is taken for it."""
        if usage.usd is not None:
            return Cost(0.0, 0.0, 0.0, 0.0, told_usd=usage.usd)
        if usage.tokens is None or usage.rate == "other":
            return None
        price = self.price(model, day)
        return None if price is None else price.cost(usage.tokens, batch=usage.rate == "batch")

    def most(self, request: Request, day: datetime.date, *, batch: bool = False) -> float | None:
        """USD that one reply to `request` can't exceed; None where the price is unknown.

        No token is shorter than a byte, so that the prompt's bytes bound its tokens; the few that
        mark roles are covered by the same bound with room to spare.
        """
        price = self.price(request.model, day)
        return (
            None
            if price is None
            else price.most(_prompt_bytes(request), request.max_tokens, batch=batch)
        )

    def estimate(
        self,
        requests: Iterable[Request],
        day: datetime.date,
        *,
        observed: Mapping[str, Sequence[int]] | None = None,
        batch: bool = False,
    ) -> Estimate | None:
        """What `requests` will probably cost; None where a price is unknown or there are none.

        `observed` are the output tokens of stored generations by model: the low end takes their
        lower quartile and prompts that the cache serves after the first of each prefix, the high
        end their upper quartile and prompts that are written to the cache each time.
        """
        low = high = 0.0
        count, stored = 0, 0
        seen: set[tuple[str, str]] = set()
        for request in requests:
            price = self.price(request.model, day)
            if price is None:
                return None
            counted = (observed or {}).get(request.model, ())
            short, long = output_range(counted)
            stored = max(stored, len(counted))
            system = round(len(request.system) / CHARACTERS_PER_TOKEN)
            history = "".join(turn.text for turn in request.history)
            rest = round(len(history + request.user) / CHARACTERS_PER_TOKEN)
            prefix = (request.model, request.system)
            warm = prefix in seen and price.cache_read is not None
            seen.add(prefix)
            least = price.cost(
                Tokens(rest, 0, 0, system, short)
                if warm
                else Tokens(system + rest, 0, 0, 0, short),
                batch=batch,
            )
            most = price.most(system + rest, min(long, request.max_tokens), batch=batch)
            if least is None or most is None:
                return None
            low, high, count = low + least.usd, high + most, count + 1
        if not count:
            return None
        basis = (
            f"output as in {stored} stored generations"
            if stored
            else "output assumed as {:,} to {:,} tokens a reply".format(*ASSUMED_OUTPUT_TOKENS)
        )
        return Estimate(low, max(low, high), count, basis)


def output_range(observed: Sequence[int]) -> tuple[int, int]:
    """The output tokens between which half of the `observed` replies lie; below four of them, half
    and twice their median; without any, `ASSUMED_OUTPUT_TOKENS`."""
    if not observed:
        return ASSUMED_OUTPUT_TOKENS
    if len(observed) < 4:
        median = statistics.median(observed)
        return round(median / 2), round(median * 2)
    lower, _, upper = statistics.quantiles(observed, n=4, method="inclusive")
    return round(lower), round(upper)


def show_usd(usd: float | None) -> str:
    """`usd` for a person: `$0.0042`, `$1.38`, `unknown`."""
    if usd is None:
        return "unknown"
    return f"${usd:.4f}" if 0 < usd < 0.1 else f"${usd:,.2f}"


def show_estimate(estimate: Estimate | None) -> str:
    """`estimate` for a person: `$1.20 to $4.10 (output assumed as ...)`."""
    if estimate is None:
        return "unknown cost"
    low, high = show_usd(estimate.low_usd), show_usd(estimate.high_usd)
    return f"{low} to {high} ({estimate.basis})"


def _told_price(line: str) -> tuple[str, list[Price]]:
    model, *parts = line.split() or [""]
    told: dict[str, float] = {}
    for part in parts:
        name, _, text = part.partition("=")
        try:
            usd = float(text)
        except ValueError:
            usd = -1.0
        if name not in ("input", "output", "cache_read", "cache_write") or not 0 <= usd < math.inf:
            raise ValueError(f"{part!r} in {line!r} is no price")
        told[name] = usd
    if not {"input", "output"} <= told.keys():
        raise ValueError(f"{line!r} tells not both input=USD and output=USD")
    # Multiples of the input's price, which may be nothing.
    unit = told["input"]
    read, write = told.get("cache_read"), told.get("cache_write", unit)
    price = Price(
        datetime.date.min,
        (Tier(math.inf, unit, told["output"]),),
        cache_write=write / unit if unit else 1.0,
        cache_write_long=None,
        cache_read=None if read is None else read / unit if unit else 1.0,
        batch=None,
    )
    return model, [price]


def _prompt_bytes(request: Request) -> int:
    texts = [request.system, request.user, *(turn.text for turn in request.history)]
    # 200: the roles and tags around the texts.
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) + 200


def _product(count: int, factor: float | None) -> float | None:
    if not count:
        return 0.0
    return None if factor is None else count * factor


def _day(moment: str) -> datetime.date | None:
    try:
        return datetime.datetime.fromisoformat(moment).astimezone(datetime.UTC).date()
    except ValueError:
        return None


def _entries(value: Json) -> list[Json]:
    if not isinstance(value, list) or not value:
        raise ValueError("a model without prices")
    return value


def _price(data: Json) -> Price:
    if not isinstance(data, dict):
        raise ValueError("a price is no object")
    tiers = []
    for entry in _entries(data.get("tiers")):
        if not isinstance(entry, dict):
            raise ValueError("a tier is no object")
        up_to = _number(entry, "up_to")
        tiers.append(Tier(
            float("inf") if up_to is None else up_to,
            _known(_number(entry, "input")),
            _known(_number(entry, "output")),
        ))  # fmt: skip
    if tiers[-1].up_to != float("inf") or tiers != sorted(tiers, key=lambda tier: tier.up_to):
        raise ValueError("tiers go from short prompts to those of any length")
    return Price(
        effective_from=datetime.date.fromisoformat(str(data.get("effective_from"))),
        tiers=tuple(tiers),
        cache_write=_number(data, "cache_write"),
        cache_write_long=_number(data, "cache_write_long"),
        cache_read=_number(data, "cache_read"),
        batch=_number(data, "batch"),
    )


def _number(data: Mapping[str, Json], name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{name} is no price")
    return float(value)


def _known(value: float | None) -> float:
    if value is None:
        raise ValueError("a tier without its price")
    return value
