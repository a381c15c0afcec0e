"""Which model answers, and whether it can be asked."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_convex_eval.outcomes import REFERENCE, ConfigurationError

DEFAULT_MODEL = "claude-sonnet-5-5"
"""What `auto` is when there is a key: the middle of the current line, 2 and 10 USD a million tokens
(November 2026)."""

KEY_VARIABLE = "ANTHROPIC_API_KEY"


def api_key(environ: Mapping[str, str]) -> str | None:
    """The key for Anthropic's models; None where there is none. Never to be printed or stored."""
    return environ.get(KEY_VARIABLE, "").strip() or None


def choose_model(spec: str, environ: Mapping[str, str]) -> str:
    """The model that `spec` stands for: `auto` is decided by whether there is a key.

    Raises ConfigurationError for an empty name.
    """
    name = spec.strip()
    if not name:
        raise ConfigurationError("a model's name is empty")
    if name == "auto":
        return DEFAULT_MODEL if api_key(environ) else REFERENCE
    return name


def check_key(model: str, environ: Mapping[str, str]) -> None:
    """Raises ConfigurationError when `model` has to be asked and there is no key to do so.

    Asked before a run starts: the SDK itself says so only at the first request.
    """
    if model != REFERENCE and api_key(environ) is None:
        raise ConfigurationError(
            f"model {model} needs {KEY_VARIABLE} in the environment; the model {REFERENCE!r} and "
            "the store mode replay need none"
        )
