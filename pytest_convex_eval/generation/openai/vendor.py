"""Vendors that are asked by Chat Completions: OpenAI, OpenRouter, and whatever has a URL."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_convex_eval.generation.openai.chat_api import RESERVED, Dialect
from pytest_convex_eval.generation.vendor import Asking, Model, Vendor
from pytest_convex_eval.outcomes import ConfigurationError

if TYPE_CHECKING:
    from pytest_convex_eval.generation.openai.provider import ChatProvider

_OPENROUTER_URL = "https://openrouter.ai/api/v1"
_ENDPOINT = re.compile(r"(?P<name>[A-Za-z][\w.-]*)=(?P<id>.+)@(?P<url>[a-z]+://.*)")
_KEY_PREFIX = "CONVEX_EVAL_KEY_"


class ChatVendor(Vendor):
    """What all of them have in common."""

    packages = ("openai",)
    base_url: str | None = None
    dialect = Dialect()

    def check(self, model: Model) -> None:
        """See `Vendor.check`; endpoints have settings of their own, so that few are refused."""
        if reserved := sorted(RESERVED & model.settings.keys()):
            raise ConfigurationError(
                f"{', '.join(reserved)} of {model.name} can't be set: effort and "
                "--convex-max-tokens are the settings that there are options for"
            )

    def missing(self, model: Model, environ: Mapping[str, str]) -> str | None:
        """See `Vendor.missing`."""
        if importlib.util.find_spec("openai") is None:
            return "the SDK: pip install 'pytest-convex-eval[openai]'"
        return super().missing(model, environ)

    def provider(self, model: Model, asking: Asking) -> ChatProvider:
        """See `Vendor.provider`."""
        from pytest_convex_eval.generation.openai.provider import ChatProvider

        return ChatProvider(
            self.key_of(model, asking.environ),
            base_url=model.endpoint or self.base_url,
            dialect=self.dialect,
            prefix=self.prefix,
            policy=asking.policy,
            gates=asking.gates,
        )

    def key_of(self, model: Model, environ: Mapping[str, str]) -> str:
        """The key to ask `model` with."""
        return self.key(environ)


class OpenAI(ChatVendor):
    """OpenAI itself."""

    name = "OpenAI"
    prefix = "openai/"
    form = "openai/ID"
    key_variable = "OPENAI_API_KEY"
    # Models that think refuse the older name, `max_tokens`.
    dialect = Dialect(limit="max_completion_tokens")


class OpenRouter(ChatVendor):
    """OpenRouter, which says what each reply cost."""

    name = "OpenRouter"
    prefix = "openrouter/"
    form = "openrouter/ID"
    key_variable = "OPENROUTER_API_KEY"
    base_url = _OPENROUTER_URL
    dialect = Dialect(reasoning=True, tells_cost=True)


class Compatible(ChatVendor):
    """Any endpoint, by its URL; a key of its own is only looked for, and nothing is missing
    without."""

    name = "OpenAI-compatible"
    prefix = ""
    form = "NAME=ID@URL"

    def model(self, spec: str) -> Model | None:
        """See `Vendor.model`."""
        found = _ENDPOINT.fullmatch(spec)
        if found is None:
            return None
        url = urlsplit(found["url"])
        try:
            whole = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:
            whole = False
        if not whole:
            raise ConfigurationError(f"{found['url']!r} is no http(s) URL of an endpoint")
        if url.username or url.password or url.query or url.fragment:
            # Arguments are kept with a run, and seen by everybody on the machine.
            raise ConfigurationError(
                f"the URL of {found['name']} holds more than a place: a key belongs into "
                f"{_key_variable(found['name'])} in the environment"
            )
        endpoint = found["url"].rstrip("/")
        return Model(found["name"], found["id"], self.name, endpoint=endpoint)

    def key_of(self, model: Model, environ: Mapping[str, str]) -> str:
        """See `ChatVendor.key_of`."""
        return environ.get(_key_variable(model.name), "").strip()


def _key_variable(name: str) -> str:
    return _KEY_PREFIX + re.sub(r"\W", "_", name, flags=re.ASCII).upper()
