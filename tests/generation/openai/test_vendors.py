"""Names of models behind Chat Completions, and what is needed to ask them."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from pytest_convex_eval.generation.built_in import built_in_vendors
from pytest_convex_eval.generation.model_choice import ModelSettings, choose_models
from pytest_convex_eval.generation.openai.provider import ChatProvider
from pytest_convex_eval.generation.retries import RetryPolicy
from pytest_convex_eval.generation.vendor import Asking, Model
from pytest_convex_eval.outcomes import ConfigurationError

VENDORS = built_in_vendors()
LOCAL = "local=qwen/qwen3:8b@http://127.0.0.1:8000/v1/"


def chosen(*specs: str) -> tuple[Model, ...]:
    return choose_models(specs, VENDORS, {})[1]


def test_a_name_says_where_the_model_is_asked() -> None:
    assert chosen("openai/gpt-x", "openrouter/meta/llama:free", LOCAL) == (
        Model("openai/gpt-x", "gpt-x", "OpenAI"),
        Model("openrouter/meta/llama:free", "meta/llama:free", "OpenRouter"),
        Model("local", "qwen/qwen3:8b", "OpenAI-compatible", "http://127.0.0.1:8000/v1"),
    )


def test_an_id_may_hold_what_names_are_told_apart_by() -> None:
    (model,) = chosen("mine=a@b=c@https://host/v1")
    assert (model.id, model.endpoint) == ("a@b=c", "https://host/v1")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("x=m@http://", "no http"),
        ("x=m@ftp://host", "no http"),
        ("x=m@http://host:port/v1", "no http"),
        ("x=m@http://user:secret@host/v1", "CONVEX_EVAL_KEY_X in the environment"),
        ("x-y.z=m@http://host/v1?key=secret", "CONVEX_EVAL_KEY_X_Y_Z in the environment"),
        ("x=m", "is no model of a vendor"),
        ("=m@http://host", "is no model of a vendor"),
        ("reference=m@http://host", "can't be called 'reference'"),
        ("auto=m@http://host", "can't be called 'auto'"),
        ("openai/", "openai/ID is what it takes"),
    ],
)
def test_a_name_that_can_not_be_is_refused_without_its_secrets(spec: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        chosen(spec)
    assert "secret" not in str(caught.value)


def test_one_name_is_one_model() -> None:
    with pytest.raises(ConfigurationError, match="two different models are called 'local'"):
        chosen(LOCAL, "local=other@http://127.0.0.1:8000/v1")


@pytest.mark.parametrize(
    ("spec", "variable"),
    [("openai/gpt-x", "OPENAI_API_KEY"), ("openrouter/a/b", "OPENROUTER_API_KEY")],
)
def test_a_vendor_wants_its_own_key(spec: str, variable: str) -> None:
    (model,) = chosen(spec)
    with pytest.raises(ConfigurationError, match=f"needs {variable} in the environment"):
        VENDORS.check_askable(model, {"ANTHROPIC_API_KEY": "k"})
    VENDORS.check_askable(model, {variable: "k"})


def test_an_endpoint_of_one_s_own_needs_none() -> None:
    (model,) = chosen(LOCAL)
    assert VENDORS.of(model).missing(model, {}) is None


def test_without_the_sdk_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'pytest-convex-eval\[openai\]'"):
        VENDORS.check_askable(chosen(LOCAL)[0], {})


@pytest.mark.parametrize(
    ("spec", "key", "url", "prefix"),
    [
        ("openai/gpt-x", "k1", None, "openai/"),
        ("openrouter/a/b", "k2", "https://openrouter.ai/api/v1", "openrouter/"),
        (LOCAL, "k3", "http://127.0.0.1:8000/v1", ""),
    ],
)
def test_each_is_asked_with_its_own_key_at_its_own_place(
    spec: str, key: str, url: str | None, prefix: str
) -> None:
    environ = {
        "OPENAI_API_KEY": " k1\n", "OPENROUTER_API_KEY": "k2", "CONVEX_EVAL_KEY_LOCAL": "k3",
    }  # fmt: skip
    (model,) = chosen(spec)
    provider: Any = VENDORS.of(model).provider(model, Asking(environ, RetryPolicy(), ()))
    assert isinstance(provider, ChatProvider)
    assert (provider._api_key, provider._base_url, provider._prefix) == (key, url, prefix)


def test_what_is_asked_and_how_it_comes_is_no_setting() -> None:
    (model,) = choose_models(
        ["openai/gpt-x"], VENDORS, {}, [ModelSettings.parse("openai/* effort=high temperature=0.2")]
    )[1]
    assert (model.effort, model.settings) == ("high", {"temperature": 0.2})
    for name in ("messages", "stream", "max_tokens", "reasoning_effort", "tools"):
        with pytest.raises(ConfigurationError, match=f"^{name} of openai/gpt-x can't be set"):
            choose_models(["openai/gpt-x"], VENDORS, {}, [ModelSettings.parse(f"* {name}=1")])
