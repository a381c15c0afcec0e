"""A rejection that nobody handles fails the call in which it was begun, and no other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import PushOnce

HANDLERS = """
import { action } from "./_generated/server";
import { v } from "convex/values";
const wait = (ms: number) => new Promise<void>((done) => { setTimeout(done, ms); });
const late = async (ms: number) => { await wait(ms); throw new Error("late"); };

/** Begins what is rejected after it has returned. */
export const leaves = action({ args: {}, handler: async () => { void late(20); return "left"; } });
/** Waits for longer than that takes. */
export const waits = action({ args: { ms: v.number() }, handler: async (_, { ms }) => {
  await wait(ms); return "waited"; } });
export const failing = action({ args: { ms: v.number() }, handler: async (_, { ms }) => {
  void late(ms); await wait(200); return "not seen"; } });
export const throwing = action({ args: {}, handler: async () => {
  setTimeout(() => { throw new Error("in a timer"); }, 5); await wait(200); return "not seen"; } });
export const handled = action({ args: {}, handler: async () => {
  const begun = late(5); begun.catch(() => {}); await wait(50); return "handled"; } });
"""
FILES = {"convex/a.ts": HANDLERS, "convex/n.ts": f'"use node";{HANDLERS}'}


@pytest.fixture
def app(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once(FILES)


@pytest.mark.parametrize("module", ["a", "n"])
def test_what_is_rejected_after_its_call_fails_no_other(
    module: str, app: EmbeddedDeployment
) -> None:
    for _ in range(3):
        left = app.action(f"{module}:leaves")
        waited = app.action(f"{module}:waits", {"ms": 60})
        assert (left.value, left.error) == ("left", None)
        assert (waited.value, waited.error) == ("waited", None)


@pytest.mark.parametrize("module", ["a", "n"])
def test_of_calls_side_by_side_only_that_fails_which_was_rejected(
    module: str, app: EmbeddedDeployment
) -> None:
    names = ["waits", "failing", "waits", "failing", "waits"]
    with ThreadPoolExecutor(len(names)) as pool:
        results = list(pool.map(lambda name: app.action(f"{module}:{name}", {"ms": 30}), names))
    assert [result.value for result in results] == ["waited", None, "waited", None, "waited"]
    late = ["Uncaught Error: late" in str(result.error) for result in results]
    assert late == [False, True, False, True, False]


@pytest.mark.parametrize("module", ["a", "n"])
def test_what_a_timer_throws_fails_its_call(module: str, app: EmbeddedDeployment) -> None:
    assert "Uncaught Error: in a timer" in str(app.action(f"{module}:throwing").error)
    assert app.action(f"{module}:waits", {"ms": 1}).value == "waited"


@pytest.mark.parametrize("module", ["a", "n"])
def test_what_is_handled_fails_nothing(module: str, app: EmbeddedDeployment) -> None:
    assert app.action(f"{module}:handled").value == "handled"
