"""What an attempt that brought no reply means: whether to ask again, and what a person can change.

Endpoints that are compatible with Chat Completions differ most in their errors: the error stands in
`error` or is the body, its `code` is a word, or the HTTP status that a router got from the vendor
behind it, also in a stream, whose own status is 200. Trouble is classified by code, type and
status, and never by its words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_convex_eval.generation.retries import AttemptError

if TYPE_CHECKING:
    import httpx2

_CONFIGURATION_STATUS = frozenset({400, 401, 402, 403, 404, 405, 422})
_RETRIED_STATUS = frozenset({408, 409, 425, 429})
# Quotas that are used up arrive as 429, and do not pass by waiting.
_SPENT_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "account_deactivated",
    }
)
# Of one prompt, and not of the run; nor did the model say anything.
_TOO_LONG_CODES = frozenset({"context_length_exceeded", "string_above_max_length"})
_FLAGGED_CODES = frozenset({"content_filter", "content_policy_violation", "invalid_prompt"})
_CONFIGURATION_TYPES = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "permission_denied_error",
        "not_found_error",
        "insufficient_quota",
    }
)


def as_attempt_error(
    error: Exception, response: httpx2.Response | None = None
) -> AttemptError | None:
    """What an exception of the SDK means; None for one that is not the SDK's or the network's.

    `response` is the one that had begun to be read.
    """
    import httpx2
    import openai

    if isinstance(error, openai.APIStatusError):
        return told_error(error.body, error.response)
    if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
        return AttemptError("timeout", _name(error), response)
    if isinstance(error, openai.APIConnectionError | httpx2.HTTPError | httpx2.StreamError):
        return AttemptError("connection", _name(error.__cause__ or error), response)
    if isinstance(error, openai.OpenAIError):
        return AttemptError("sdk", _name(error), response, again=False)
    if isinstance(error, ValueError):
        return AttemptError("protocol", _name(error), response)
    return None


def told_error(told: object, response: httpx2.Response) -> AttemptError:
    """What the endpoint itself says is wrong: `told` is its error, or what holds it."""
    error = told.get("error", told) if isinstance(told, dict) else told
    fields: Mapping[str, object] = error if isinstance(error, dict) else {}
    code, kind = fields.get("code"), fields.get("type")
    words = str(fields.get("message") or error or "no words")
    status, numeric = response.status_code, _status(code)
    if status < 400 and numeric is not None:
        status = numeric
    names = {name for name in (code, kind) if isinstance(name, str)}
    outcome = next((str(name) for name in (code, kind) if isinstance(name, str)), f"http_{status}")
    if names & _SPENT_CODES or status == 402:
        return AttemptError(outcome, words, response, again=False, configuration=True)
    if names & _TOO_LONG_CODES or status == 413 or names & _FLAGGED_CODES or _flagged(fields):
        return AttemptError(outcome, words, response, again=False)
    refused = status == 429
    if status < 400:
        # Told in the middle of a stream, where the type is all there is to go by.
        configuration = bool(names & _CONFIGURATION_TYPES)
        again = not configuration
        refused = bool(names & {"rate_limit_exceeded", "rate_limit_error"})
    else:
        configuration = status in _CONFIGURATION_STATUS
        again = status in _RETRIED_STATUS or status >= 500
    return AttemptError(
        outcome, words, response, again=again, configuration=configuration, refused=refused
    )


def _status(code: object) -> int | None:
    """`code` as the HTTP status that it is at routers."""
    if isinstance(code, str) and code.isascii() and code.isdecimal():
        code = int(code[:4])
    return code if isinstance(code, int) and 400 <= code < 600 else None


def _flagged(error: Mapping[str, object]) -> bool:
    """Whether a router's moderation took offence at the prompt, which it answers with 403 too."""
    metadata = error.get("metadata")
    return isinstance(metadata, dict) and "flagged_input" in metadata


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
