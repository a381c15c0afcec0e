"""Who answers a run's requests: a provider for each model, behind limits and the budget."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pytest_convex_eval.evaluation.limits import GENERATION_SECONDS
from pytest_convex_eval.generation.ahead.budget import Budget
from pytest_convex_eval.generation.ahead.limiter import Limiter, LimiterPolicy
from pytest_convex_eval.generation.retries import RetryPolicy
from pytest_convex_eval.generation.vendor import Asking, Model

if TYPE_CHECKING:
    from pytest_convex_eval.generation.model_choice import Vendors
    from pytest_convex_eval.generation.pricing import PriceTable
    from pytest_convex_eval.generation.provider import Provider
    from pytest_convex_eval.options import Settings


@dataclass(frozen=True, slots=True)
class Patience:
    """How a run bears with its providers. `deadline_seconds` is for one reply with all attempts."""

    retries: RetryPolicy = field(default_factory=RetryPolicy)
    limits: LimiterPolicy = field(default_factory=LimiterPolicy)
    deadline_seconds: float = GENERATION_SECONDS


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


class Providers:
    """The providers of one process; may be asked by several threads. `close` ends their requests.

    Models of one endpoint share its limiter: one vendor's refusals are no other's. The `budget` is
    everybody's.
    """

    def __init__(
        self,
        settings: Settings,
        vendors: Vendors,
        prices: PriceTable,
        folder: Path,
        patience: Patience,
    ) -> None:
        self._vendors = vendors
        self._patience = patience
        self._models = {model.name: model for model in settings.asked}
        self.budget = None if settings.budget is None else Budget(settings.budget, folder, prices)
        self._limiters = {
            (model.vendor, model.endpoint): Limiter(settings.concurrency, patience.limits)
            for model in settings.asked
        }
        self._lock = threading.Lock()
        self._providers: dict[str, Provider] = {}

    @property
    def gates(self) -> tuple[Budget | Limiter, ...]:
        """All that requests wait in."""
        budget = () if self.budget is None else (self.budget,)
        return (*budget, *self._limiters.values())

    def model(self, name: str) -> Model:
        """The model of the run that records call so."""
        return self._models[name]

    def of(self, name: str) -> Provider | None:
        """Who asks the model; None where something is missing to ask it, when only the store can
        answer."""
        model = self._models.get(name)
        if model is None:
            return None
        vendor = self._vendors.of(model)
        if vendor.missing(model, os.environ) is not None:
            return None
        with self._lock:
            if name not in self._providers:
                limiter = self._limiters[model.vendor, model.endpoint]
                # Money first: whoever has none must not take another's turn.
                gates = (limiter,) if self.budget is None else (self.budget, limiter)
                asking = Asking(os.environ, self._patience.retries, gates)
                self._providers[name] = vendor.provider(model, asking)
            return self._providers[name]

    def close(self) -> None:
        """Ends all waits, and closes the connections."""
        # Where this process asks for itself, nothing else ends its waits.
        for gate in self.gates:
            gate.cancel()
        with self._lock:
            providers, self._providers = self._providers, {}
        for provider in providers.values():
            if isinstance(provider, _Closable):
                provider.close()
