"""Options, ini keys and environment as one frozen `Settings`; imports nothing heavy.

A command-line option wins over its ini key, which wins over the default. Secrets are environment
variables only.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, cast, get_args

import pytest

from pytest_convex_eval.deployment.backends import ADMIN_KEY_VARIABLE, Backend, parse_backend
from pytest_convex_eval.generation.answers.source import AnswersSource, answers_sources
from pytest_convex_eval.generation.arms import DEFAULT_MAX_GUIDELINE_TOKENS

# Cheap to import: SDKs stand behind the providers alone.
from pytest_convex_eval.generation.built_in import built_in_vendors
from pytest_convex_eval.generation.model_choice import (
    AUTO,
    ModelSettings,
    Vendors,
    choose_models,
)
from pytest_convex_eval.generation.modes import StoreMode, Strategy
from pytest_convex_eval.generation.pricing import PriceTable
from pytest_convex_eval.generation.vendor import Model
from pytest_convex_eval.outcomes import REFERENCE, ConfigurationError, StageName
from pytest_convex_eval.stages.table import STAGES, no_such_stage
from pytest_convex_eval.toolchain.lint.profiles import LintEngine, LintProfile

Keep: TypeAlias = Literal["failed", "all", "none"]
Gate: TypeAlias = Literal["cases", "suite", "none"]
Inconclusive: TypeAlias = Literal["fail", "pass"]

_Choice = TypeVar("_Choice", bound=str)


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for, once per process; workers of xdist read the same command line and ini.

    `models` are the names of what answers, `asked` those among them that are asked, and not
    references. `auto` has become what it stands for, and `auto_model` says that it was so.
    `prices` are lines as `PriceTable.of_lines` reads them.
    """

    case_roots: tuple[Path, ...]
    models: tuple[str, ...]
    asked: tuple[Model, ...]
    auto_model: bool
    prices: tuple[str, ...]
    trials: int
    guidelines: tuple[str, ...]
    guidelines_tokens: int
    backend: Backend
    stages: tuple[StageName, ...]
    mutants: bool
    lint_engine: LintEngine
    lint_profile: LintProfile
    store: Path
    store_mode: StoreMode
    runs: Path
    keep: Keep
    max_tokens: int
    concurrency: int
    budget: float | None
    strategy: Strategy
    repair: int
    batch: bool
    no_cache: bool
    baseline: str | None
    margin: float
    gate: Gate
    inconclusive: Inconclusive
    answers: tuple[AnswersSource, ...] = ()

    @property
    def asks_models(self) -> bool:
        """Whether anything but references and answers on disk is to answer."""
        return bool(self.asked)

    def is_asked(self, name: str) -> bool:
        """Whether the model of that name is one that is asked, and not known before."""
        return name != REFERENCE and name not in self.on_disk

    @property
    def on_disk(self) -> frozenset[str]:
        """The models whose answers lie in folders."""
        return frozenset(source.name for source in self.answers)

    def to_json(self) -> dict[str, Any]:
        """Builtins only, for the run's manifest."""
        plain = asdict(self)
        plain["case_roots"] = [str(root) for root in self.case_roots]
        plain["answers"] = {source.name: str(source.folder) for source in self.answers}
        return {**plain, "store": str(self.store), "runs": str(self.runs)}


def add_options(parser: pytest.Parser) -> None:
    """Declares every option with its ini key of the same name."""
    group = parser.getgroup(
        "convex-eval",
        "evaluate Convex backends written by language models (an option wins over its ini key)",
    )

    def option(
        name: str, text: str, *, metavar: str, ini: str | None = None, many: bool = False
    ) -> None:
        group.addoption(
            f"--convex-{name}",
            dest=f"convex_{_key(name)}",
            action="append" if many else "store",
            metavar=metavar,
            help=text,
        )
        key = ini or f"convex_{_key(name)}"
        kind: Literal["args", "string"] = "args" if many else "string"
        parser.addini(key, f"Default of --convex-{name}", type=kind)

    def flag(name: str, text: str) -> None:
        dest = f"convex_{_key(name)}"
        # None: not given, so that the ini key counts.
        group.addoption(f"--convex-{name}", dest=dest, action="store_true", default=None, help=text)
        parser.addini(dest, f"Default of --convex-{name}", type="bool", default=False)

    vendors = built_in_vendors()
    option(
        "model",
        f"Model that answers (repeatable): auto, reference, {', '.join(vendors.forms)}, or a name "
        f"that a plugin knows; auto is {vendors.default_names} when {vendors.default_keys} is set, "
        "else reference (default: auto)",
        ini="convex_models",
        many=True,
        metavar="MODEL",
    )
    option(
        "answers",
        "Folder of answers made elsewhere, which are those of a model NAME (repeatable; default: "
        "the folder's own name); alone, no model is asked",
        many=True,
        metavar="[NAME=]DIR",
    )
    option("trials", "Independent generations per case, model and arm (default: 1)", metavar="N")
    option(
        "guidelines",
        "Guidelines put into the system prompt (repeatable, one arm each): default, none, a path, "
        "or NAME=PATH; of a folder (skills, AGENTS.md), its texts in a documented order "
        "(default: default)",
        many=True,
        metavar="ARM",
    )
    option(
        "guidelines-tokens",
        "Most tokens that the texts of a folder of guidelines may have together, by a guess; what "
        f"does not fit is left out, and told (default: {DEFAULT_MAX_GUIDELINE_TOKENS})",
        metavar="N",
    )
    option(
        "backend",
        "Deployment that answers are pushed to: embedded; local or local=PATH, the official "
        "backend's program; the URL of a deployment, which is emptied and whose admin key is in "
        f"{ADMIN_KEY_VARIABLE} (default: embedded)",
        metavar="BACKEND",
    )
    flag(
        "allow-production",
        "Let --convex-backend URL empty and use a deployment whose admin key says production",
    )
    option(
        "stages",
        f"Comma list of the stages that count (default: all, {','.join(STAGES)})",
        metavar="LIST",
    )
    flag(
        "mutants",
        "Also collect each case's mutants, which pass when they fail exactly where they say "
        "(references only)",
    )
    option(
        "lint-engine",
        f"One of {_list(LintEngine)}; eslint is slower, installs itself when it is first asked "
        "for, and is what oxlint is compared with (default: oxlint)",
        metavar="ENGINE",
    )
    option(
        "lint-profile",
        f"One of {_list(LintProfile)} (default: recommended)",
        metavar="PROFILE",
    )
    option(
        "store",
        "Folder of the generations, good to commit (default: .convex-eval/generations)",
        metavar="DIR",
    )
    option(
        "replay",
        "auto: use stored generations and ask for the rest; record: as auto, and ask again where "
        "a stored one can't be read; replay: never ask, a missing one is an error; refresh: ask "
        "for all anew (default: auto)",
        metavar="MODE",
    )
    option("runs", "Folder of the run records (default: .convex-eval/runs)", metavar="DIR")
    option(
        "keep",
        f"Workspaces to keep in the run record: {_list(Keep)} (default: failed)",
        metavar="K",
    )
    option(
        "max-tokens",
        "Most tokens a reply may have, thinking included (default: 64000)",
        metavar="N",
    )
    option(
        "strategy",
        "direct: the code at once; design-first: a design, then the code from it, and how the two "
        "differ as warnings (default: direct)",
        metavar="S",
    )
    option(
        "repair",
        "Rounds in which a failed answer's findings go back to the model (default: 0)",
        metavar="N",
    )
    flag(
        "batch",
        "Send all requests as Message Batches before anything is checked: half the price, and up "
        "to a day of waiting; an interrupted run finds its batches again",
    )
    flag(
        "no-cache",
        "Ask every stage, also those that can say only what they said of the same answer before",
    )
    option("concurrency", "Most requests to models in flight (default: 16)", metavar="N")
    option(
        "budget",
        "USD that the run may spend on models: no request is made that could exceed it, and what "
        "could not be asked is skipped (default: no limit)",
        metavar="USD",
    )
    option(
        "baseline",
        "Run to hold this one against: a folder, an id, the beginning of one, or latest (default: "
        "none)",
        metavar="RUN",
    )
    option("margin", "Points that may be lost against the baseline (default: 5)", metavar="POINTS")
    option(
        "gate",
        "What fails the run: cases, each failing item; suite, the comparison with the baseline "
        "alone; none, neither (default: suite with a baseline, else cases)",
        metavar="GATE",
    )
    option(
        "inconclusive",
        "Whether a comparison that decides nothing is to fail (exit code 6) or pass (default: "
        "fail)",
        metavar="WORD",
    )
    parser.addini(
        "convex_model_settings",
        "Settings of requests, a line for each: MODEL NAME=VALUE ..., where MODEL may have * and "
        "?, and effort is how much it is to think; part of the store's keys",
        type="linelist",
    )
    parser.addini(
        "convex_model_prices",
        "Prices of models, a line for each: MODEL input=USD output=USD [cache_read=USD] "
        "[cache_write=USD], per million tokens; before those that are known here",
        type="linelist",
    )
    parser.addini(
        "convex_cases",
        "Folders that hold cases, relative to the rootdir (default: cases)",
        type="args",
        default=["cases"],
    )


def read_settings(
    config: pytest.Config, vendors: Vendors, stages: Sequence[StageName] = STAGES
) -> Settings:
    """The settings of this invocation; `stages` are all that there are, in order.

    Raises pytest.UsageError for a value that can't be.
    """
    given = _model_specs(config)
    models, asked = _models(given, config.getini("convex_model_settings"), vendors)
    answers = _answers(config, models)
    return Settings(
        case_roots=tuple(config.rootpath / root for root in config.getini("convex_cases")),
        models=(*models, *(source.name for source in answers)),
        asked=asked,
        auto_model=AUTO in given,
        prices=_prices(config.getini("convex_model_prices")),
        trials=_count(config, "trials", 1),
        guidelines=tuple(dict.fromkeys(_many(config, "guidelines") or ["default"])),
        guidelines_tokens=_count(config, "guidelines-tokens", DEFAULT_MAX_GUIDELINE_TOKENS),
        backend=_backend(config),
        stages=_stages(_one(config, "stages"), stages),
        mutants=_flag(config, "mutants"),
        lint_engine=_choice(config, "lint-engine", LintEngine, "oxlint"),
        lint_profile=_choice(config, "lint-profile", LintProfile, "recommended"),
        store=_folder(config, "store", ".convex-eval/generations"),
        store_mode=_choice(config, "replay", StoreMode, "auto"),
        runs=_folder(config, "runs", ".convex-eval/runs"),
        keep=_choice(config, "keep", Keep, "failed"),
        max_tokens=_count(config, "max-tokens", 64_000),
        concurrency=_count(config, "concurrency", 16),
        budget=_dollars(config, "budget"),
        strategy=_choice(config, "strategy", Strategy, "direct"),
        repair=_count(config, "repair", 0, least=0),
        batch=_flag(config, "batch"),
        no_cache=_flag(config, "no-cache"),
        baseline=_one(config, "baseline"),
        margin=_points(config, "margin", 5.0),
        gate=_gate(config),
        inconclusive=_choice(config, "inconclusive", Inconclusive, "fail"),
        answers=answers,
    )


def _key(name: str) -> str:
    return name.replace("-", "_")


def _list(choices: object) -> str:
    return ", ".join(get_args(choices))


def _one(config: pytest.Config, name: str) -> str | None:
    given = config.getoption(f"convex_{_key(name)}")
    if given is None:
        given = config.getini(f"convex_{_key(name)}") or None
    return None if given is None else str(given)


def _many(config: pytest.Config, name: str, ini: str | None = None) -> list[str]:
    given = config.getoption(f"convex_{_key(name)}")
    return list(given or config.getini(ini or f"convex_{_key(name)}") or [])


def _flag(config: pytest.Config, name: str) -> bool:
    given = config.getoption(f"convex_{_key(name)}")
    return bool(config.getini(f"convex_{_key(name)}") if given is None else given)


def _count(config: pytest.Config, name: str, default: int, *, least: int = 1) -> int:
    text = _one(config, name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < least:
        raise pytest.UsageError(f"--convex-{name}: {text!r} is not a whole number from {least}")
    return int(text)


def _dollars(config: pytest.Config, name: str) -> float | None:
    text = _one(config, name)
    if text is None:
        return None
    try:
        value = float(text.removeprefix("$"))
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise pytest.UsageError(f"--convex-{name}: {text!r} is no amount of USD above 0")
    return value


def _points(config: pytest.Config, name: str, default: float) -> float:
    text = _one(config, name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 100:
        raise pytest.UsageError(f"--convex-{name}: {text!r} is no number of points above 0")
    return value


def _gate(config: pytest.Config) -> Gate:
    baseline = _one(config, "baseline") is not None
    default: Gate = "suite" if baseline else "cases"
    gate = _choice(config, "gate", Gate, default)
    if gate == "suite" and not baseline:
        raise pytest.UsageError("--convex-gate suite: say against what, with --convex-baseline")
    return gate


def _folder(config: pytest.Config, name: str, default: str) -> Path:
    given = config.getoption(f"convex_{_key(name)}")
    if given:
        return config.invocation_params.dir / str(given)
    return config.rootpath / (config.getini(f"convex_{_key(name)}") or default)


def _backend(config: pytest.Config) -> Backend:
    given = config.getoption("convex_backend")
    # As for folders: a path on the command line is relative to where that was typed.
    folder = config.invocation_params.dir if given else config.rootpath
    text = _one(config, "backend") or "embedded"
    try:
        return parse_backend(text, folder, production=_flag(config, "allow-production"))
    except ValueError as error:
        raise pytest.UsageError(f"--convex-backend: {error}") from None


def _choice(config: pytest.Config, name: str, choices: Any, default: _Choice) -> _Choice:
    text = _one(config, name)
    if text is None:
        return default
    known = get_args(choices)
    if text not in known:
        close = difflib.get_close_matches(text, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(known)}"
        raise pytest.UsageError(f"--convex-{name}: {text!r} is unknown; {hint}")
    return cast(_Choice, text)


def _stages(text: str | None, known: Sequence[StageName]) -> tuple[StageName, ...]:
    if text is None:
        return tuple(known)
    named = {part.strip() for part in text.split(",") if part.strip()}
    for name in sorted(named.difference(known)):
        raise pytest.UsageError(f"--convex-stages: {no_such_stage(name, known)}")
    if not named:
        raise pytest.UsageError("--convex-stages: names no stage")
    return tuple(stage for stage in known if stage in named)


def _model_specs(config: pytest.Config) -> list[str]:
    """What `--convex-model` names; nobody is asked who only has answers judged."""
    given = list(config.getoption("convex_model") or [])
    if given or config.getoption("convex_answers"):
        return given
    configured = list(config.getini("convex_models") or [])
    return configured or ([] if config.getini("convex_answers") else [AUTO])


def _answers(config: pytest.Config, models: Sequence[str]) -> tuple[AnswersSource, ...]:
    given = config.getoption("convex_answers")
    here = config.invocation_params.dir if given else config.rootpath
    try:
        return answers_sources(_many(config, "answers"), here, models)
    except ConfigurationError as error:
        raise pytest.UsageError(f"--convex-answers: {error}") from None


def _prices(lines: list[str]) -> tuple[str, ...]:
    try:
        PriceTable.of_lines(lines)
    except ValueError as error:
        raise pytest.UsageError(f"convex_model_prices: {error}") from None
    return tuple(lines)


def _models(
    given: list[str], lines: list[str], vendors: Vendors
) -> tuple[tuple[str, ...], tuple[Model, ...]]:
    for model in given:
        # What would end an item's id, or begin the next part of it.
        if not model.strip() or any(mark.isspace() or mark == "]" for mark in model):
            raise pytest.UsageError(f"--convex-model: {model!r} is no model id")
    try:
        settings = [ModelSettings.parse(line) for line in lines]
    except ConfigurationError as error:
        raise pytest.UsageError(f"convex_model_settings: {error}") from None
    try:
        return choose_models(given, vendors, os.environ, settings)
    except ConfigurationError as error:
        raise pytest.UsageError(f"--convex-model: {error}") from None
