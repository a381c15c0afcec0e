"""Anthropic as a vendor of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_convex_eval.generation.vendor import Asking, Batching, Model, Vendor
from pytest_convex_eval.outcomes import ConfigurationError

if TYPE_CHECKING:
    from pytest_convex_eval.generation.ahead.prefetch import Job
    from pytest_convex_eval.generation.anthropic.provider import AnthropicProvider
    from pytest_convex_eval.generation.pricing import PriceTable

_SETTINGS = ("thinking", "service_tier", "inference_geo", "speed")
"""What requests may have beside the effort: nothing that decides what is asked or how it comes."""


class Anthropic(Vendor):
    """Claude, by the Messages API."""

    name = "Anthropic"
    prefix = "claude-"
    form = "claude-..."
    key_variable = "ANTHROPIC_API_KEY"
    # The middle of the current line, 2 and 10 USD a million tokens (November 2026).
    default_model = "claude-sonnet-5-5"
    packages = ("anthropic",)
    has_batches = True

    def model(self, spec: str) -> Model | None:
        """See `Vendor.model`; the prefix is part of Anthropic's own ids."""
        return Model(spec, spec, self.name) if spec.startswith(self.prefix) else None

    def check(self, model: Model) -> None:
        """See `Vendor.check`."""
        if unknown := [name for name in model.settings if name not in _SETTINGS]:
            raise ConfigurationError(
                f"{model.name} has no setting {', '.join(unknown)}; effort, "
                f"{', '.join(_SETTINGS)} are what there is"
            )

    def prices(self) -> PriceTable:
        """See `Vendor.prices`."""
        from pytest_convex_eval.generation.pricing import PriceTable

        return PriceTable.of_package(__package__ or "")

    def provider(self, model: Model, asking: Asking) -> AnthropicProvider:
        """See `Vendor.provider`."""
        from pytest_convex_eval.generation.anthropic.provider import AnthropicProvider

        return AnthropicProvider(self.key(asking.environ), policy=asking.policy, gates=asking.gates)

    def make_batches(self, jobs: Sequence[Job], batching: Batching) -> None:
        """See `Vendor.make_batches`."""
        from pytest_convex_eval.generation.anthropic.batches import BatchRunner

        runner = BatchRunner(
            batching.store,
            self.key(batching.environ),
            budget=batching.budget,
            prices=batching.prices,
            notices=batching.notices,
            on_progress=batching.on_progress,
        )
        runner.run(jobs)
