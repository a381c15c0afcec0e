"""A vendor of models from another plugin, by the hook `pytest_convex_eval_provider`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.generation.store import read_stored

CONFTEST = '''
import datetime

import pytest

from pytest_convex_eval.generation.pricing import Price, PriceTable, Tier
from pytest_convex_eval.generation.provider import Request
from pytest_convex_eval.generation.retries import Answer, AttemptError, Call, RetryingProvider
from pytest_convex_eval.generation.usage import Stop, Tokens, Usage
from pytest_convex_eval.generation.vendor import Asking, Model, Vendor

pytest_plugins = ["pytest_convex_eval.plugin"]

TEXT = """
<file path="package.json">
{"name": "notes", "dependencies": {"convex": "^1.48.0"}}
</file>
<file path="convex/schema.ts">
export default 1;
</file>
"""


class Response:
    status_code = 503
    headers = {"retry-after": "0.01"}


class AcmeProvider(RetryingProvider):
    """Refuses each first attempt, and to write of secrets."""

    def __init__(self, key: str, asking: Asking) -> None:
        super().__init__(secret=key, policy=asking.policy, gates=asking.gates)
        self.tried = set()

    def prepare(self) -> None:
        pass

    def close(self) -> None:
        pass

    def ask(self, request: Request, call: Call) -> Answer:
        if request.user not in self.tried:
            self.tried.add(request.user)
            raise AttemptError("busy", f"not now, {self._secret}", Response())
        call.answering()
        stop = Stop("refusal", "nope") if "secret" in request.user else Stop("stop", "done")
        told = {"effort": request.effort, "settings": dict(request.settings)}
        return Answer(TEXT, stop, Usage(Tokens(1000, 0, 0, 0, 100), told=told), request.model)


class Acme(Vendor):
    name = "Acme"
    prefix = "acme/"
    form = "acme/ID"
    key_variable = "ACME_KEY"
    packages = ("pluggy",)

    def check(self, model: Model) -> None:
        pass

    def prices(self) -> PriceTable:
        tiers = (Tier(float("inf"), 3.0, 10.0),)
        price = Price(datetime.date(2020, 1, 1), tiers, 1.0, 1.0, 1.0, None)
        return PriceTable({"acme/large": [price]}, checked="2026-11-01")

    def provider(self, model: Model, asking: Asking) -> AcmeProvider:
        return AcmeProvider(self.key(asking.environ), asking)


def pytest_convex_eval_provider(config: pytest.Config) -> Vendor:
    return Acme()
'''
INI = """
[tool.pytest]
strict = true
addopts = ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:hypothesispytest"]
convex_model_settings = ["acme/* effort=deep tone=dry"]
"""


@pytest.fixture
def acme(
    pytester: pytest.Pytester, write_case: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A project with two cases, whose conftest adds a vendor."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyprojecttoml(INI)
    write_case("fundamentals/easy/notes")
    write_case("fundamentals/easy/secret")
    monkeypatch.setenv("ACME_KEY", "acme-key-123")
    return pytester


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["serial", "n2"])
def test_a_whole_run_goes_with_a_vendor_of_another_plugin(
    acme: pytest.Pytester, records: Callable[[], list[dict[str, Any]]], workers: tuple[str, ...]
) -> None:
    ran = acme.runpytest_subprocess(
        "cases",
        "--convex-model=acme/large",
        "--convex-stages=format",
        "--convex-budget=1",
        *workers,
    )
    ran.stdout.fnmatch_lines(
        ["convex-eval: acme/large (effort deep, tone dry) · guidelines default*"]
    )
    ran.assert_outcomes(passed=1, failed=1)
    items = {item["case"]: item for item in records()}
    assert items["notes"]["verdict"] == "passed"
    assert items["secret"]["code"] == "format/refusal"
    for item in items.values():
        assert item["model"] == "acme/large"
        generation = item["generation"]
        assert (generation["input_tokens"], generation["output_tokens"]) == (1000, 100)
        assert generation["usd"] == pytest.approx(0.004)
    stored = [read_stored(path) for path in acme.path.glob(".convex-eval/generations/*/*.json")]
    assert len(stored) == 2
    for one in stored:
        outcomes = [(attempt.outcome, attempt.message) for attempt in one.generation.attempts]
        assert outcomes == [("busy", "not now, [redacted]"), ("ok", "")]
        assert one.generation.usage.told == {"effort": "deep", "settings": {"tone": "dry"}}
    (manifest,) = acme.path.glob(".convex-eval/runs/*/manifest.json")
    assert '"pluggy"' in manifest.read_text()
    # The same again costs nothing, with no key at all.
    again = acme.runpytest_subprocess(
        "cases", "--convex-model=acme/large", "--convex-stages=format", "--convex-replay=replay",
        "--convex-runs=again", *workers,
    )  # fmt: skip
    again.assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("['acme']", "*pytest_convex_eval_provider: 'acme' is no Vendor*"),
        ("[Acme(), Acme()]", "*two vendors of models are called 'Acme'*"),
    ],
)
def test_what_is_no_vendor_is_refused(acme: pytest.Pytester, given: str, words: str) -> None:
    acme.makeconftest(CONFTEST.replace("return Acme()", f"return {given}"))
    ran = acme.runpytest_subprocess("cases")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines([words])


def test_what_a_vendor_of_another_plugin_lacks_is_told_before_anything(
    acme: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACME_KEY")
    ran = acme.runpytest("cases", "--convex-model=acme/large", "--convex-stages=format")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stdout.fnmatch_lines(["*model acme/large needs ACME_KEY in the environment; *"])
    ran = acme.runpytest("cases", "--convex-model=acme/large", "--convex-batch")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines(["*--convex-batch: Acme, whose model acme/large is, has no batches*"])
    ran = acme.runpytest("cases", "--convex-model=acne/large")
    ran.stderr.fnmatch_lines(["*'acne/large' is no model of a vendor known here; *acme/ID*"])
