"""The vendors of models that this package comes with."""

from __future__ import annotations

from pytest_convex_eval.generation.anthropic.vendor import Anthropic
from pytest_convex_eval.generation.model_choice import Vendors
from pytest_convex_eval.generation.openai.vendor import Compatible, OpenAI, OpenRouter
from pytest_convex_eval.generation.vendor import Vendor


def built_in() -> tuple[Vendor, ...]:
    """In the order in which they are asked for a name."""
    return (Anthropic(), OpenAI(), OpenRouter(), Compatible())


def built_in_vendors() -> Vendors:
    """Those alone, where no plugin is asked."""
    return Vendors(built_in())
