"""What an attempt that brought no reply means: whether to ask again, and what a person can change.

An overload told in the middle of a stream has HTTP status 200, so trouble is classified by error
code, type and status together, and never by its words.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_convex_eval.generation.retries import AttemptError

if TYPE_CHECKING:
    import httpx2

_CONFIGURATION_STATUS = frozenset({400, 401, 402, 403, 404})
CONFIGURATION_TYPES = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
    }
)
# Spend limits arrive as 429 or 402 and do not pass by waiting.
_SPEND_LIMIT_CODES = frozenset(
    {
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_spend_limit_reached",
    }
)
_RETRIED_STATUS = frozenset({408, 409, 429})


def as_attempt_error(
    error: Exception, response: httpx2.Response | None = None
) -> AttemptError | None:
    """What an exception of the SDK means; None for one that is not the SDK's or the network's.

    `response` is the one that had begun to be read. A connection that drops then escapes as the
    HTTP library's own exception.
    """
    import anthropic
    import httpx2

    if isinstance(error, anthropic.APIStatusError):
        return told_error(error.body, error.response)
    if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException):
        return AttemptError("timeout", _name(error), response)
    if isinstance(error, anthropic.APIConnectionError | httpx2.HTTPError | httpx2.StreamError):
        return AttemptError("connection", _name(error.__cause__ or error), response)
    if isinstance(error, anthropic.AnthropicError):
        return AttemptError("sdk", _name(error), response, again=False)
    if isinstance(error, ValueError):
        return AttemptError("protocol", _name(error), response)
    return None


def told_error(told: object, response: httpx2.Response) -> AttemptError:
    """What the provider itself says is wrong: `told` is the body of its error."""
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except ValueError:
            told = {"error": {"message": told}}
    kind, code, words = None, None, str(told)
    match told:
        case {"error": {**error}}:
            kind, words = error.get("type"), str(error.get("message", told))
            match error:
                case {"details": {"error_code": str(found)}}:
                    code = found
    status = response.status_code
    if code in _SPEND_LIMIT_CODES:
        return AttemptError(str(code), words, response, configuration=True)
    if 200 <= status < 300:
        # Told in the middle of a stream, where the type is all there is to go by.
        again, configuration = True, kind in CONFIGURATION_TYPES
    else:
        again = status in _RETRIED_STATUS or status >= 500
        configuration = status in _CONFIGURATION_STATUS
    outcome = kind if isinstance(kind, str) else f"http_{status}"
    return AttemptError(
        outcome,
        words,
        response,
        again=again,
        configuration=configuration,
        refused=status == 429 or kind == "rate_limit_error",
    )


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
