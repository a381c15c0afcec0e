"""Which models answer: names become models of the vendors that are known."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_convex_eval.generation.vendor import Model, Vendor
from pytest_convex_eval.outcomes import REFERENCE, ConfigurationError

if TYPE_CHECKING:
    from pytest_convex_eval.generation.json_fields import Json
    from pytest_convex_eval.generation.pricing import PriceTable

AUTO = "auto"
_EFFORT = "effort"


class Vendors:
    """The vendors of a process, in the order in which they are asked for a name."""

    def __init__(self, vendors: Iterable[Vendor]) -> None:
        """Raises ConfigurationError for two of one name."""
        self._vendors: dict[str, Vendor] = {}
        for vendor in vendors:
            if vendor.name in self._vendors:
                raise ConfigurationError(f"two vendors of models are called {vendor.name!r}")
            self._vendors[vendor.name] = vendor

    @property
    def forms(self) -> tuple[str, ...]:
        """How models of each are named, for help."""
        return tuple(vendor.form for vendor in self._vendors.values())

    def model(self, spec: str) -> Model:
        """The model that `spec` names. Raises ConfigurationError for one of no vendor here."""
        for vendor in self._vendors.values():
            if (model := vendor.model(spec)) is not None:
                return model
        raise ConfigurationError(
            f"{spec!r} is no model of a vendor known here; names are {AUTO}, {REFERENCE}, "
            f"{', '.join(self.forms)}"
        )

    def default(self, environ: Mapping[str, str]) -> Model | None:
        """What `auto` stands for; None where no vendor with a default can be asked, and the
        references answer."""
        for vendor in self._vendors.values():
            if vendor.default_model is not None:
                model = self.model(vendor.default_model)
                if vendor.missing(model, environ) is None:
                    return model
        return None

    @property
    def default_names(self) -> str:
        """What `auto` can stand for, for a person."""
        return " or ".join(vendor.default_model or "" for vendor in self._defaults)

    @property
    def default_keys(self) -> str:
        """The environment's variables that decide what `auto` is, for a person."""
        return " or ".join(vendor.key_variable or "" for vendor in self._defaults)

    @property
    def _defaults(self) -> list[Vendor]:
        vendors = self._vendors.values()
        return [vendor for vendor in vendors if vendor.default_model and vendor.key_variable]

    def of(self, model: Model) -> Vendor:
        """Whose model it is."""
        return self._vendors[model.vendor]

    def check_askable(self, model: Model, environ: Mapping[str, str]) -> None:
        """Raises ConfigurationError when something is missing to ask `model` with. Asked before a
        run starts: SDKs themselves say so only at the first request."""
        if missing := self.of(model).missing(model, environ):
            raise ConfigurationError(
                f"model {model.name} needs {missing}; the model {REFERENCE!r} and the store mode "
                "replay need none"
            )

    def prices(self) -> PriceTable:
        """What the models of all vendors cost, as far as that is known."""
        from pytest_convex_eval.generation.pricing import PriceTable

        tables = (vendor.prices() for vendor in self._vendors.values())
        return PriceTable.merged(table for table in tables if table is not None)

    def packages(self, models: Iterable[Model]) -> tuple[str, ...]:
        """The distributions that ask for `models`."""
        named = (name for model in models for name in self.of(model).packages)
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Settings for the models whose names match `pattern` (as file names do: `openai/*`)."""

    pattern: str
    settings: Mapping[str, Json]

    @classmethod
    def parse(cls, line: str) -> ModelSettings:
        """From `MODEL NAME=VALUE ...`; a VALUE that is JSON is what it says, else a text.

        Raises ConfigurationError.
        """
        pattern, *parts = line.split()
        settings: dict[str, Json] = {}
        for part in parts:
            name, equals, text = part.partition("=")
            if not equals or not name or name in settings:
                raise ConfigurationError(f"{line!r} is not of the form MODEL NAME=VALUE ...")
            settings[name] = _value(text)
        if not settings:
            raise ConfigurationError(f"{line!r} sets nothing: MODEL NAME=VALUE ... is expected")
        return cls(pattern, settings)


def choose_models(
    specs: Sequence[str],
    vendors: Vendors,
    environ: Mapping[str, str],
    settings: Sequence[ModelSettings] = (),
) -> tuple[tuple[str, ...], tuple[Model, ...]]:
    """The names of what answers, and those among them that are models, without repetitions.

    `auto` is decided by what can be asked. Of settings that match one model the later count.
    Raises ConfigurationError for a name that is none, two models of one name, and settings that
    their vendor does not have.
    """
    chosen: dict[str, Model | None] = {}
    for spec in specs:
        model = vendors.default(environ) if spec == AUTO else None
        if model is None and spec not in (AUTO, REFERENCE):
            model = vendors.model(spec)
        if model is not None and model.name in (AUTO, REFERENCE):
            raise ConfigurationError(f"a model can't be called {model.name!r}: it is taken")
        if model is not None:
            model = _with_settings(model, settings)
            vendors.of(model).check(model)
        name = REFERENCE if model is None else model.name
        if name in chosen and chosen[name] != model:
            raise ConfigurationError(f"two different models are called {name!r}")
        chosen[name] = model
    return tuple(chosen), tuple(model for model in chosen.values() if model is not None)


def _with_settings(model: Model, all_settings: Sequence[ModelSettings]) -> Model:
    settings: dict[str, Json] = {}
    for one in all_settings:
        if fnmatch.fnmatchcase(model.name, one.pattern):
            settings.update(one.settings)
    effort = settings.pop(_EFFORT, None)
    if effort is not None and not isinstance(effort, str):
        raise ConfigurationError(f"the effort of {model.name} is a word, not {effort!r}")
    return replace(model, effort=effort, settings=settings)


def _value(text: str) -> Json:
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value
