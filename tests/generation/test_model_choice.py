"""Which models answer: names, what is missing to ask them, and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from pytest_convex_eval.generation.built_in import built_in
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.model_choice import ModelSettings, Vendors, choose_models
from pytest_convex_eval.generation.provider import Provider, Request
from pytest_convex_eval.generation.vendor import Asking, Model, Vendor
from pytest_convex_eval.outcomes import ConfigurationError

DEFAULT = "claude-sonnet-5-5"
KEY = {"ANTHROPIC_API_KEY": "key"}


class Acme(Vendor):
    """A vendor that needs no key."""

    name = "Acme"
    prefix = "acme/"
    form = "acme/ID"
    packages = ("acme-sdk", "anthropic")

    def check(self, model: Model) -> None:
        if "odd" in model.settings:
            raise ConfigurationError("nothing is odd at Acme")

    def provider(self, model: Model, asking: Asking) -> Provider:
        raise NotImplementedError


class Plain(Acme):
    """Without settings."""

    name = "Plain"
    prefix = "plain/"

    def check(self, model: Model) -> None:
        Vendor.check(self, model)


VENDORS = Vendors([*built_in(), Acme(), Plain()])


def chosen(
    *specs: str, environ: Mapping[str, str] = KEY, lines: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], tuple[Model, ...]]:
    settings = [ModelSettings.parse(line) for line in lines]
    return choose_models(specs, VENDORS, environ, settings)


@pytest.mark.parametrize(
    ("spec", "environ", "model"),
    [
        ("auto", {}, "reference"),
        ("auto", {"ANTHROPIC_API_KEY": " "}, "reference"),
        ("auto", KEY, DEFAULT),
        ("reference", KEY, "reference"),
        ("claude-opus-5-5", {}, "claude-opus-5-5"),
        ("acme/a/b", {}, "acme/a/b"),
    ],
)
def test_the_model_follows_from_what_is_asked_and_whether_there_is_a_key(
    spec: str, environ: dict[str, str], model: str
) -> None:
    names, asked = chosen(spec, environ=environ)
    assert names == (model,)
    assert [one.name for one in asked] == [model] * (model != "reference")


def test_each_name_is_its_vendor_s_by_its_prefix_and_once() -> None:
    names, asked = chosen("acme/a", "reference", DEFAULT, "auto", "acme/a")
    assert names == ("acme/a", "reference", DEFAULT)
    assert asked == (Model("acme/a", "a", "Acme"), Model(DEFAULT, DEFAULT, "Anthropic"))
    assert [VENDORS.of(model).name for model in asked] == ["Acme", "Anthropic"]
    assert VENDORS.packages(asked) == ("acme-sdk", "anthropic")


@pytest.mark.parametrize("spec", ["gpt-5", "Claude-x", "acme", "acme/", ""])
def test_a_name_of_no_vendor_is_refused_and_the_forms_are_told(spec: str) -> None:
    with pytest.raises(ConfigurationError, match=r"claude-\.\.\..*acme/ID|acme/ID is what"):
        chosen(spec)


def test_two_vendors_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two vendors of models are called 'Acme'"):
        Vendors([Acme(), Acme()])


def test_what_is_missing_for_a_model_is_said() -> None:
    (model,) = chosen(DEFAULT)[1]
    VENDORS.check_askable(model, KEY)
    words = (
        "model claude-sonnet-5-5 needs ANTHROPIC_API_KEY in the environment; the model 'reference' "
        "and the store mode replay need none"
    )
    for environ in ({}, {"ANTHROPIC_API_KEY": " \n"}):
        with pytest.raises(ConfigurationError, match=f"^{words}$"):
            VENDORS.check_askable(model, environ)
    VENDORS.check_askable(chosen("acme/a")[1][0], {})
    assert VENDORS.default_keys == "ANTHROPIC_API_KEY"


def test_a_key_is_taken_without_the_space_around_it() -> None:
    (anthropic,) = [VENDORS.of(model) for model in chosen(DEFAULT)[1]]
    assert anthropic.key({"ANTHROPIC_API_KEY": " k\n"}) == "k"
    assert Acme().key({"": "k2", "ANTHROPIC_API_KEY": "k"}) == "", "it takes none"


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("acme/* temperature=0.5", {"temperature": 0.5}),
        ("*  a=1 b=x c=null d=true", {"a": 1, "b": "x", "c": None, "d": True}),
        ('acme/? order=["a","b"] deep={"a":{"b":1}}',
         {"order": ["a", "b"], "deep": {"a": {"b": 1}}}),
        ("acme/a text=a=b", {"text": "a=b"}),
        ("acme/b a=1", {}),
        ("ACME/a a=1", {}),
    ],
)  # fmt: skip
def test_settings_are_for_the_models_that_match(line: str, settings: dict[str, Json]) -> None:
    (model,) = chosen("acme/a", lines=(line,))[1]
    assert model.settings == settings
    assert model.effort is None


def test_of_settings_that_match_the_later_count_and_effort_is_one_of_its_own() -> None:
    lines = ("* effort=low a=1", "acme/a effort=high b=2", "acme/b effort=max")
    (model,) = chosen("acme/a", lines=lines)[1]
    assert (model.effort, model.settings) == ("high", {"a": 1, "b": 2})
    assert model.shown == "acme/a (effort high, a 1, b 2)"
    request = model.asked(Request("?", "rules", "task", 9))
    assert (request.model, request.model_id, request.effort) == ("acme/a", "a", "high")
    plain = chosen("acme/a")[1][0].asked(Request("?", "rules", "task", 9))
    assert len({plain.key(1), request.key(1), replace(request, settings={}).key(1)}) == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("acme/a", "sets nothing"),
        ("acme/a x", "is not of the form"),
        ("acme/a =x", "is not of the form"),
        ("acme/a x=1 x=2", "is not of the form"),
        ("acme/a odd=1", "nothing is odd at Acme"),
        ("acme/a effort=3", "the effort of acme/a is a word, not 3"),
        ("plain/* x=1", "the models of Plain have no settings"),
        ("plain/* effort=low", "the models of Plain have no settings"),
        ("claude-* temperature=1", "claude-sonnet-5-5 has no setting temperature; effort"),
        ("claude-* model=x", "claude-sonnet-5-5 has no setting model"),
    ],
)
def test_settings_that_can_not_be_are_refused(line: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        chosen("acme/a", "plain/a", DEFAULT, lines=(line,))


def test_a_model_is_shown_with_what_its_name_does_not_tell() -> None:
    model = Model("local", "qwen", "Acme", "http://127.0.0.1:1/v1")
    assert model.shown == "local (qwen at http://127.0.0.1:1/v1)"
    assert Model("acme/a", "a", "Acme").shown == "acme/a"
    moved = replace(model, endpoint="http://elsewhere/v1")
    request = Request("?", "rules", "task", 9)
    assert model.asked(request).key(1) == moved.asked(request).key(1), "only the place is another"
