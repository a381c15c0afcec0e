"""The seam between this program and those who sell models.

A vendor is one object: which names are its, what it needs, and who asks for it. Nothing else of
this program knows any of them. Ours are told by `generation/built_in.py`, those of other packages
by the hook `pytest_convex_eval_provider` (`hookspecs.py`).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_convex_eval.outcomes import ConfigurationError

if TYPE_CHECKING:
    from pytest_convex_eval.generation.ahead.budget import Budget
    from pytest_convex_eval.generation.ahead.notices import Notices
    from pytest_convex_eval.generation.ahead.prefetch import Job
    from pytest_convex_eval.generation.json_fields import Json
    from pytest_convex_eval.generation.pricing import PriceTable
    from pytest_convex_eval.generation.provider import Gate, Provider, Request
    from pytest_convex_eval.generation.retries import RetryPolicy
    from pytest_convex_eval.generation.store import GenerationStore


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be asked.

    `name` is what options, ids and records call it, `id` what its vendor does. `vendor` is the
    vendor's name. `endpoint` is the URL where it is asked, for vendors that have more than one.
    `effort` is how much it is to think, in the vendor's own word, and `settings` are whatever else
    its requests are to have.
    """

    name: str
    id: str
    vendor: str
    endpoint: str | None = None
    effort: str | None = None
    settings: Mapping[str, Json] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """For a person: the name, and what it does not tell."""
        parts = [] if self.endpoint is None else [f"{self.id} at {self.endpoint}"]
        parts += [] if self.effort is None else [f"effort {self.effort}"]
        parts += [f"{name} {_plain(value)}" for name, value in self.settings.items()]
        return self.name + (f" ({', '.join(parts)})" if parts else "")

    def asked(self, request: Request) -> Request:
        """`request` as this model is asked it. Where it is asked is no part of it: a server that
        has moved gives no other replies."""
        return replace(
            request,
            model=self.name,
            model_id=None if self.id == self.name else self.id,
            effort=self.effort,
            settings=self.settings,
        )


@dataclass(frozen=True, slots=True)
class Asking:
    """What a provider is made with: where keys are, how patient it is, and what its requests
    pass."""

    environ: Mapping[str, str]
    policy: RetryPolicy
    gates: Sequence[Gate]


@dataclass(frozen=True, slots=True)
class Batching:
    """What batches are made with; see `Budget`, `Notices` and `BatchProgress`."""

    environ: Mapping[str, str]
    store: GenerationStore
    prices: PriceTable
    budget: Budget | None
    notices: Notices
    on_progress: Callable[[BatchProgress], None]


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """Of the batches that are waited for: how many, and their entries."""

    batches: int
    entries: int
    processing: int
    seconds: float


class Vendor(ABC):
    """A vendor of models. Making one must be cheap, and so must all methods but `prices`,
    `provider` and `make_batches`: they are called in every run of pytest."""

    name: str
    """For people, and told apart by: `Anthropic`."""
    prefix: str
    """What the names of its models begin with: `acme/`."""
    form: str
    """How a model of it is named, for help: `acme/ID`."""
    key_variable: str | None = None
    """The environment's variable with the key to ask it with; None where it takes none."""
    default_model: str | None = None
    """The model that `auto` stands for where it can be asked."""
    packages: Sequence[str] = ()
    """The distributions that ask for it, whose versions are kept with a run."""
    has_batches: bool = False
    """Whether `make_batches` can be called."""

    def model(self, spec: str) -> Model | None:
        """The model that `spec` names; None where it is no name of this vendor's.

        Raises ConfigurationError for a name that is, and can't be.
        """
        if not spec.startswith(self.prefix):
            return None
        identity = spec.removeprefix(self.prefix)
        if not identity:
            raise ConfigurationError(f"{spec!r} names no model: {self.form} is what it takes")
        return Model(spec, identity, self.name)

    def check(self, model: Model) -> None:
        """Raises ConfigurationError for settings that the vendor does not have; here, for any."""
        if model.effort is not None or model.settings:
            raise ConfigurationError(f"the models of {self.name} have no settings")

    def missing(self, model: Model, environ: Mapping[str, str]) -> str | None:
        """What is not there to ask `model` with, as in `model x needs ...`; None where all is."""
        if self.key_variable is None or self.key(environ):
            return None
        return f"{self.key_variable} in the environment"

    def key(self, environ: Mapping[str, str]) -> str:
        """The key, never to be printed or stored; "" where there is none."""
        return "" if self.key_variable is None else environ.get(self.key_variable, "").strip()

    def prices(self) -> PriceTable | None:
        """What its models cost, by their names; None where nobody knows."""
        return None

    @abstractmethod
    def provider(self, model: Model, asking: Asking) -> Provider:
        """Who asks `model`; called once a model and process, when nothing is `missing`. What it
        returns is closed at the end where it has a method `close`."""

    def make_batches(self, jobs: Sequence[Job], batching: Batching) -> None:
        """Has all `jobs` made as batches and stored, and waits for them."""
        raise NotImplementedError(f"{self.name} has no batches")


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)
