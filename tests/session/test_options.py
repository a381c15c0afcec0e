"""Each option with its ini key: its default, what it may be, and which of two wins."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.deployment.backends import Backend
from pytest_convex_eval.generation.built_in import built_in_vendors
from pytest_convex_eval.options import Settings, read_settings
from pytest_convex_eval.stages.table import STAGES

Read = Callable[..., Settings]


@pytest.fixture
def config(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """pytest's configuration of a command line, typed in the folder `here`, and an ini file."""
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    (pytester.path / "here").mkdir()

    def make(*args: str, ini: str = "") -> pytest.Config:
        pytester.makepyprojecttoml(f"[tool.pytest]\n{ini}\n")
        monkeypatch.chdir(pytester.path / "here")
        return pytester.parseconfig("-p", "pytest_convex_eval.plugin", "--rootdir=..", *args)

    return make


@pytest.fixture
def read(config: Callable[..., pytest.Config]) -> Read:
    def make(*args: str, ini: str = "") -> Settings:
        return read_settings(config(*args, ini=ini), built_in_vendors())

    return make


@dataclass(frozen=True)
class Option:
    """What the option does to a field of the settings. `{here}` and `{root}` are the folders where
    the command was typed and where the ini file is."""

    name: str
    field: str
    default: object
    given: tuple[str, ...]
    means: object
    ini: str
    ini_means: object
    key: str = ""

    @property
    def ini_key(self) -> str:
        return self.key or f"convex_{self.name.replace('-', '_')}"


OPTIONS = [
    Option("model", "models", ("reference",), ("claude-a", "claude-b", "claude-a"),
           ("claude-a", "claude-b"), "['claude-c']", ("claude-c",),
           key="convex_models"),
    Option("trials", "trials", 1, ("3",), 3, "'2'", 2),
    Option("guidelines", "guidelines", ("default",), ("none", "m.md", "none"), ("none", "m.md"),
           "['x.md']", ("x.md",)),
    Option("guidelines-tokens", "guidelines_tokens", 50_000, ("7",), 7, "'8'", 8),
    Option("backend", "backend", Backend(), ("local=bin/a",), Backend("local", "{here}/bin/a"),
           "'local=bin/b'", Backend("local", "{root}/bin/b")),
    Option("stages", "stages", STAGES, (" lint,, format",), ("format", "lint"), "'deploy'",
           ("deploy",)),
    Option("lint-engine", "lint_engine", "oxlint", ("eslint",), "eslint", "'eslint'", "eslint"),
    Option("lint-profile", "lint_profile", "recommended", ("strict",), "strict", "'correctness'",
           "correctness"),
    Option("store", "store", "{root}/.convex-eval/generations", ("s",), "{here}/s", "'t'",
           "{root}/t"),
    Option("replay", "store_mode", "auto", ("replay",), "replay", "'refresh'", "refresh"),
    Option("runs", "runs", "{root}/.convex-eval/runs", ("/s",), "/s", "'t'", "{root}/t"),
    Option("keep", "keep", "failed", ("all",), "all", "'none'", "none"),
    Option("max-tokens", "max_tokens", 64_000, ("1",), 1, "'2'", 2),
    Option("concurrency", "concurrency", 16, ("1",), 1, "'2'", 2),
    Option("budget", "budget", None, ("$1.5",), 1.5, "'2'", 2.0),
    Option("strategy", "strategy", "direct", ("design-first",), "design-first", "'design-first'",
           "design-first"),
    Option("repair", "repair", 0, ("0",), 0, "'2'", 2),
    Option("baseline", "baseline", None, ("latest",), "latest", "'r'", "r"),
    Option("margin", "margin", 5.0, ("2.5",), 2.5, "'3'", 3.0),
    Option("gate", "gate", "cases", ("none",), "none", "'none'", "none"),
    Option("inconclusive", "inconclusive", "fail", ("pass",), "pass", "'pass'", "pass"),
]  # fmt: skip
FLAGS = ("mutants", "batch", "no-cache", "allow-production")


def plain(value: object, root: Path) -> object:
    """With folders named as in `Option`."""
    if isinstance(value, Backend):
        return dataclasses.replace(value, where=value.where and named(value.where, root))
    return named(str(value), root) if isinstance(value, Path) else value


def named(path: str, root: Path) -> str:
    return path.replace(str(root / "here"), "{here}").replace(str(root), "{root}")


@pytest.mark.parametrize("option", OPTIONS, ids=[option.name for option in OPTIONS])
def test_the_command_line_wins_over_the_ini_file_which_wins_over_the_default(
    option: Option, read: Read, pytester: pytest.Pytester
) -> None:
    def found(*args: str, ini: str = "") -> object:
        return plain(getattr(read(*args, ini=ini), option.field), pytester.path)

    args = [f"--convex-{option.name}={value}" for value in option.given]
    ini = f"{option.ini_key} = {option.ini}"
    assert found() == option.default
    assert found(ini=ini) == option.ini_means
    assert found(*args) == option.means
    assert found(*args, ini=ini) == option.means


def test_answers_are_models_beside_those_that_are_named(
    read: Read, pytester: pytest.Pytester
) -> None:
    for folder in ("here/made", "here/other", "kept"):
        (pytester.path / folder).mkdir()
    both = ("--convex-answers=made", "--convex-answers=mine=other")
    ini = "convex_models = ['claude-c']\nconvex_answers = ['kept']"
    assert read(*both).models == ("made", "mine")
    assert read(*both, ini=ini).models == ("made", "mine")
    assert read(*both, "--convex-model=claude-a", ini=ini).models == ("claude-a", "made", "mine")
    assert read(ini=ini).models == ("claude-c", "kept")
    assert read(ini="convex_answers = ['kept']").models == ("kept",)
    settings = read(*both, "--convex-model=claude-a", "--convex-model=reference")
    asked = [model for model in settings.models if settings.is_asked(model)]
    assert asked == ["claude-a"]
    assert settings.to_json()["answers"] == {
        "made": str(pytester.path / "here" / "made"),
        "mine": str(pytester.path / "here" / "other"),
    }


def test_answers_need_a_folder_and_a_name(read: Read, pytester: pytest.Pytester) -> None:
    (pytester.path / "here" / "claude-a").mkdir()
    with pytest.raises(pytest.UsageError, match="there is no folder 'missing'"):
        read("--convex-answers=missing")
    with pytest.raises(pytest.UsageError, match="'claude-a' is taken"):
        read("--convex-answers=claude-a", "--convex-model=claude-a")


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_is_off_unless_it_is_given_or_the_ini_file_has_it(flag: str, read: Read) -> None:
    def found(*args: str, ini: str = "") -> object:
        settings = read("--convex-backend=http://a", *args, ini=ini)
        if flag == "allow-production":
            return settings.backend.production
        return getattr(settings, flag.replace("-", "_"))

    key = f"convex_{flag.replace('-', '_')}"
    assert found() is False
    assert found(f"--convex-{flag}") is True
    assert found(ini=f"{key} = true") is True
    assert found(ini=f"{key} = false") is False
    assert found(f"--convex-{flag}", ini=f"{key} = false") is True


def test_all_options_are_among_these(config: Callable[..., pytest.Config]) -> None:
    group = config()._parser.getgroup("convex-eval")
    names = {name for option in group.options for name in option.names()}
    known = [*(option.name for option in OPTIONS), *FLAGS, "answers"]
    assert names == {f"--convex-{name}" for name in known}


def test_each_setting_is_of_its_own_option(read: Read) -> None:
    """A change of one changes no other."""
    before = read()
    for option in OPTIONS:
        after = read(ini=f"{option.ini_key} = {option.ini}")
        changed = {
            field.name
            for field in dataclasses.fields(Settings)
            if getattr(after, field.name) != getattr(before, field.name)
        }
        also = {"model": {"auto_model", "asked"}, "baseline": {"gate"}}.get(option.name, set())
        assert changed == {option.field} | also


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["trials=0"], "--convex-trials: '0' is not a whole number from 1"),
        (["trials=x"], "--convex-trials: 'x' is not a whole number from 1"),
        (["trials=-1"], "--convex-trials: '-1' is not a whole number from 1"),
        (["max-tokens=0"], "--convex-max-tokens: '0' is not a whole number from 1"),
        (["concurrency=0"], "--convex-concurrency: '0' is not a whole number from 1"),
        (["repair=1.5"], "--convex-repair: '1.5' is not a whole number from 0"),
        (["budget=0"], "--convex-budget: '0' is no amount of USD above 0"),
        (["budget=-1"], "--convex-budget: '-1' is no amount of USD above 0"),
        (["budget=inf"], "--convex-budget: 'inf' is no amount of USD above 0"),
        (["budget=nan"], "--convex-budget: 'nan' is no amount of USD above 0"),
        (["budget=much"], "--convex-budget: 'much' is no amount of USD above 0"),
        (["margin=0"], "--convex-margin: '0' is no number of points above 0"),
        (["margin=100"], "--convex-margin: '100' is no number of points above 0"),
        (["margin=x"], "--convex-margin: 'x' is no number of points above 0"),
        (["gate=suite"], "--convex-gate suite: say against what, with --convex-baseline"),
        (["keep=al"], "--convex-keep: 'al' is unknown; did you mean 'all'?"),
        (["keep=x"], "--convex-keep: 'x' is unknown; one of failed, all, none"),
        (["lint-engine=x"], "--convex-lint-engine: 'x' is unknown; one of oxlint, eslint"),
        (["lint-profile=srict"], "--convex-lint-profile: 'srict' is unknown; did you mean 'stric"),
        (["strategy=x"], "--convex-strategy: 'x' is unknown; one of direct, design-first"),
        (["replay=x"], "--convex-replay: 'x' is unknown; one of auto, record, replay, refresh"),
        (["stages=,"], "--convex-stages: names no stage"),
        (["stages=x"], "--convex-stages: no stage is called 'x'; the stages are format, "),
        (["backend=x"], "--convex-backend: 'x' is neither embedded"),
        (["model="], "--convex-model: '' is no model id"),
        (["model= "], "--convex-model: ' ' is no model id"),
        (["model=a", "model=b c"], "--convex-model: 'b c' is no model id"),
        (["model=a]"], "--convex-model: 'a]' is no model id"),
        (["model=gpt"], "--convex-model: 'gpt' is no model of a vendor known here; names are auto"),
    ],
)  # fmt: skip
def test_a_value_that_can_not_be_is_told(read: Read, args: list[str], message: str) -> None:
    with pytest.raises(pytest.UsageError, match=f"^{re.escape(message)}"):
        read(*(f"--convex-{arg}" for arg in args))


@pytest.mark.parametrize(
    ("given", "key", "models", "auto"),
    [
        ([], None, ("reference",), True),
        ([], " ", ("reference",), True),
        ([], "k", ("claude-sonnet-5-5",), True),
        (["auto", "claude-sonnet-5-5"], "k", ("claude-sonnet-5-5",), True),
        (["reference"], "k", ("reference",), False),
        (["claude-x"], None, ("claude-x",), False),
    ],
)
def test_auto_is_what_there_is_a_key_for(
    read: Read,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
    key: str | None,
    models: tuple[str, ...],
    auto: bool,
) -> None:
    if key is not None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    settings = read(*(f"--convex-model={model}" for model in given))
    assert (settings.models, settings.auto_model) == (models, auto)
    assert settings.asks_models == (models != ("reference",))


def test_settings_of_models_are_in_the_ini_file(read: Read) -> None:
    lines = ["claude-* effort=low", 'claude-x thinking={"type":"disabled"}']
    ini = f"convex_model_settings = {lines}"
    settings = read("--convex-model=claude-x", ini=ini)
    (model,) = settings.asked
    assert (model.effort, model.settings) == ("low", {"thinking": {"type": "disabled"}})
    assert settings.to_json()["asked"] == (dataclasses.asdict(model),)
    with pytest.raises(pytest.UsageError, match=r"^convex_model_settings: 'claude-x' sets nothing"):
        read(ini="convex_model_settings = ['claude-x']")


def test_prices_of_models_are_in_the_ini_file(read: Read) -> None:
    line = "openai/m input=1 output=2"
    assert read(ini=f"convex_model_prices = ['{line}']").prices == (line,)
    with pytest.raises(
        pytest.UsageError, match=r"^convex_model_prices: 'm input=1' tells not both"
    ):
        read(ini="convex_model_prices = ['m input=1']")


def test_one_model_beside_references_is_asked(read: Read) -> None:
    assert read("--convex-model=reference", "--convex-model=claude-x").asks_models


def test_cases_are_in_the_folders_that_the_ini_file_names(
    read: Read, pytester: pytest.Pytester
) -> None:
    assert read().case_roots == (pytester.path / "cases",)
    roots = read(ini="convex_cases = ['a', 'b/c']").case_roots
    assert roots == (pytester.path / "a", pytester.path / "b/c")


def test_the_settings_are_told_as_plain_values(read: Read, pytester: pytest.Pytester) -> None:
    settings = read("--convex-backend=http://a", "--convex-allow-production")
    told = settings.to_json()
    assert set(told) == {field.name for field in dataclasses.fields(Settings)}
    assert told["backend"] == {"kind": "url", "where": "http://a", "production": True}
    assert told["case_roots"] == [str(pytester.path / "cases")]
    assert told["store"] == str(pytester.path / ".convex-eval/generations")
    assert told["runs"] == str(pytester.path / ".convex-eval/runs")
    assert told["stages"] == STAGES


@pytest.fixture
def said(config: Callable[..., pytest.Config]) -> dict[str, tuple[str, str]]:
    """The metavar and the help of each option, "" for a flag's metavar."""
    options = config()._parser.getgroup("convex-eval").options
    return {
        option.names()[0]: (option.attrs().get("metavar") or "", option.attrs()["help"])
        for option in options
    }


HELP: dict[str, tuple[str, str]] = {
    "--convex-model": (
        "MODEL",
        "Model that answers (repeatable): auto, reference, claude-..., openai/ID, openrouter/ID, "
        "NAME=ID@URL, or a name that a plugin knows; auto is claude-sonnet-5-5 when "
        "ANTHROPIC_API_KEY is set, else reference (default: auto)",
    ),
    "--convex-answers": (
        "[NAME=]DIR",
        "Folder of answers made elsewhere, which are those of a model NAME (repeatable; default: "
        "the folder's own name); alone, no model is asked",
    ),
    "--convex-trials": (
        "N",
        "Independent generations per case, model and arm (default: 1)",
    ),
    "--convex-guidelines": (
        "ARM",
        "Guidelines put into the system prompt (repeatable, one arm each): default, none, a path, "
        "or NAME=PATH; of a folder (skills, AGENTS.md), its texts in a documented order "
        "(default: default)",
    ),
    "--convex-guidelines-tokens": (
        "N",
        "Most tokens that the texts of a folder of guidelines may have together, by a guess; what "
        "does not fit is left out, and told (default: 50000)",
    ),
    "--convex-backend": (
        "BACKEND",
        "Deployment that answers are pushed to: embedded; local or local=PATH, the official "
        "backend's program; the URL of a deployment, which is emptied and whose admin key is in "
        "CONVEX_EVAL_ADMIN_KEY (default: embedded)",
    ),
    "--convex-allow-production": (
        "",
        "Let --convex-backend URL empty and use a deployment whose admin key says production",
    ),
    "--convex-stages": (
        "LIST",
        "Comma list of the stages that count (default: all, "
        "format,package,syntax,typecheck,deploy,behaviour,lint)",
    ),
    "--convex-mutants": (
        "",
        "Also collect each case's mutants, which pass when they fail exactly where they say "
        "(references only)",
    ),
    "--convex-lint-engine": (
        "ENGINE",
        "One of oxlint, eslint; eslint is slower, installs itself when it is first asked for, and"
        " is what oxlint is compared with (default: oxlint)",
    ),
    "--convex-lint-profile": (
        "PROFILE",
        "One of correctness, recommended, strict (default: recommended)",
    ),
    "--convex-store": (
        "DIR",
        "Folder of the generations, good to commit (default: .convex-eval/generations)",
    ),
    "--convex-replay": (
        "MODE",
        "auto: use stored generations and ask for the rest; record: as auto, and ask again where "
        "a stored one can't be read; replay: never ask, a missing one is an error; refresh: ask "
        "for all anew (default: auto)",
    ),
    "--convex-runs": (
        "DIR",
        "Folder of the run records (default: .convex-eval/runs)",
    ),
    "--convex-keep": (
        "K",
        "Workspaces to keep in the run record: failed, all, none (default: failed)",
    ),
    "--convex-max-tokens": (
        "N",
        "Most tokens a reply may have, thinking included (default: 64000)",
    ),
    "--convex-strategy": (
        "S",
        "direct: the code at once; design-first: a design, then the code from it, and how the two"
        " differ as warnings (default: direct)",
    ),
    "--convex-repair": (
        "N",
        "Rounds in which a failed answer's findings go back to the model (default: 0)",
    ),
    "--convex-batch": (
        "",
        "Send all requests as Message Batches before anything is checked: half the price, and up "
        "to a day of waiting; an interrupted run finds its batches again",
    ),
    "--convex-no-cache": (
        "",
        "Ask every stage, also those that can say only what they said of the same answer before",
    ),
    "--convex-concurrency": (
        "N",
        "Most requests to models in flight (default: 16)",
    ),
    "--convex-budget": (
        "USD",
        "USD that the run may spend on models: no request is made that could exceed it, and what "
        "could not be asked is skipped (default: no limit)",
    ),
    "--convex-baseline": (
        "RUN",
        "Run to hold this one against: a folder, an id, the beginning of one, or latest (default: "
        "none)",
    ),
    "--convex-margin": ("POINTS", "Points that may be lost against the baseline (default: 5)"),
    "--convex-gate": (
        "GATE",
        "What fails the run: cases, each failing item; suite, the comparison with the baseline "
        "alone; none, neither (default: suite with a baseline, else cases)",
    ),
    "--convex-inconclusive": (
        "WORD",
        "Whether a comparison that decides nothing is to fail (exit code 6) or pass (default: "
        "fail)",
    ),
}


def test_help_says_what_each_option_is_for(said: dict[str, tuple[str, str]]) -> None:
    assert said == HELP


def test_each_ini_key_says_whose_default_it_is(config: Callable[..., pytest.Config]) -> None:
    known = config()._parser._inidict
    for option in OPTIONS:
        assert known[option.ini_key][0] == f"Default of --convex-{option.name}"
    for flag in FLAGS:
        assert known[f"convex_{flag.replace('-', '_')}"][0] == f"Default of --convex-{flag}"
    assert known["convex_cases"][0] == (
        "Folders that hold cases, relative to the rootdir (default: cases)"
    )
