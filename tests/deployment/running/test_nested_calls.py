"""What a called mutation did is taken back when it throws and its caller goes on: each kind of
effect, at one call's depth and at two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import PushOnce

SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({ rows: defineTable({ n: v.number() }).index("by_n", ["n"]),
  runs: defineTable({ by: v.string() }) });
"""
APP = """
import { action, internalMutation, mutation, query } from "./_generated/server";
import { api, internal } from "./_generated/api";
import { v } from "convex/values";

const steps = v.array(v.any());
async function perform(ctx: any, all: any[]): Promise<any> {
  let made = null;
  for (const [what, ...rest] of all) {
    if (what === "insert") made = await ctx.db.insert("rows", { n: rest[0] });
    if (what === "patch") await ctx.db.patch(rest[0], { n: rest[1] });
    if (what === "replace") await ctx.db.replace(rest[0], { n: rest[1] });
    if (what === "delete") await ctx.db.delete(rest[0]);
    if (what === "schedule") made = await ctx.scheduler.runAfter(3_600_000, internal.a.ran,
      { by: rest[0] });
    if (what === "cancel") await ctx.scheduler.cancel(rest[0]);
    if (what === "drop") await ctx.storage.delete(rest[0]);
    if (what === "call") made = await ctx.runMutation(api.a.run, { steps: rest[0] });
    if (what === "try") {
      try { made = await ctx.runMutation(api.a.run, { steps: rest[0] }); }
      catch (error: any) { made = error.message.split("\\n")[0]; }
    }
    if (what === "throw") throw new Error(rest[0]);
  }
  return made;
}
export const run = mutation({ args: { steps }, handler: (ctx, { steps }) => perform(ctx, steps) });
export const act = action({ args: { steps }, handler: async (ctx, { steps }): Promise<any> => {
  const seen = [];
  for (const each of steps) {
    seen.push(await ctx.runMutation(api.a.run, { steps: each }).catch((error) =>
      error.message.split("\\n")[0]));
  }
  return seen;
} });
export const ran = internalMutation({ args: { by: v.string() }, handler: async (ctx, { by }) => {
  await ctx.db.insert("runs", { by }); } });
export const store = action({ args: {}, handler: (ctx) => ctx.storage.store(new Blob(["bytes"])) });
export const look = query({ args: {}, handler: async (ctx) => {
  const files = await ctx.db.system.query("_storage").collect();
  return {
    rows: (await ctx.db.query("rows").collect()).map(({ n }) => n),
    indexed: (await ctx.db.query("rows").withIndex("by_n").collect()).map(({ n }) => n),
    jobs: (await ctx.db.system.query("_scheduled_functions").collect()).map(({ args, state }) =>
      [args[0].by, state.kind]),
    urls: await Promise.all(files.map(({ _id }) => ctx.storage.getUrl(_id))),
  };
} });
"""

FILES = {"convex/a.ts": APP, "convex/schema.ts": SCHEMA}


@pytest.fixture
def app(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once(FILES)


@pytest.fixture
def made(app: EmbeddedDeployment) -> dict[str, Any]:
    """A row, a job and a file that are there, by the names that stand for them in steps."""
    (row,) = app.insert("rows", [{"n": 1}])
    job = app.mutation("a:run", {"steps": [["schedule", "kept"]]})
    file = app.action("a:store")
    assert job.error is None
    assert file.error is None
    return {"ROW": row, "JOB": job.value, "FILE": file.value}


def with_ids(steps: Any, made: dict[str, Any]) -> Any:
    if isinstance(steps, list):
        return [with_ids(each, made) for each in steps]
    return made.get(steps, steps) if isinstance(steps, str) else steps


def look(app: EmbeddedDeployment) -> dict[str, Any]:
    found = app.query("a:look").value
    assert isinstance(found, dict)
    return found


def run(app: EmbeddedDeployment, steps: Any, made: dict[str, Any]) -> Any:
    result = app.mutation("a:run", {"steps": with_ids(steps, made)})
    assert result.error is None, result.error
    return result.value


EFFECTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "insert": (["insert", 5], {"rows": [1, 5]}),
    "patch": (["patch", "ROW", 6], {"rows": [6]}),
    "replace": (["replace", "ROW", 7], {"rows": [7]}),
    "delete": (["delete", "ROW"], {"rows": []}),
    "schedule": (["schedule", "new"], {"jobs": [["kept", "pending"], ["new", "pending"]]}),
    "cancel": (["cancel", "JOB"], {"jobs": [["kept", "canceled"]]}),
    "drop a file": (["drop", "FILE"], {"urls": []}),
}
PLACES: dict[str, Callable[[list[Any]], list[Any]]] = {
    "one call": lambda effect: [["try", [effect, ["throw", "no"]]]],
    "two calls": lambda effect: [["try", [["call", [effect]], ["throw", "no"]]]],
    "two calls, the inner one": lambda effect: [["call", [["try", [effect, ["throw", "no"]]]]]],
    "two calls, both": lambda effect: [
        ["try", [["try", [effect, ["throw", "inner"]]], effect, ["throw", "no"]]]
    ],
    "the second of two": lambda effect: [["try", []], ["try", [effect, ["throw", "no"]]]],
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("effect", [each for each, _ in EFFECTS.values()], ids=EFFECTS.keys())
def test_what_a_call_did_before_it_threw_is_taken_back(
    app: EmbeddedDeployment,
    made: dict[str, Any],
    effect: list[Any],
    place: Callable[[list[Any]], list[Any]],
) -> None:
    before = look(app)
    assert before["rows"] == before["indexed"] == [1]
    (url,) = before["urls"]
    message = run(app, place(effect), made)
    assert message == "Uncaught Error: no"
    assert look(app) == before
    assert app.fetch("GET", str(url)).body == b"bytes"
    assert app.advance(7200) == []
    assert [row["by"] for row in app.documents("runs")] == ["kept"], "the job still runs"


@pytest.mark.parametrize(("effect", "changes"), EFFECTS.values(), ids=EFFECTS.keys())
def test_what_a_call_did_stays_when_it_returns_or_a_later_one_throws(
    app: EmbeddedDeployment, made: dict[str, Any], effect: list[Any], changes: dict[str, Any]
) -> None:
    before = look(app)
    steps = [
        ["call", [effect, ["try", [["insert", 8], ["throw", "no"]]]]],
        ["try", [["throw", "x"]]],
    ]
    run(app, steps, made)
    after = look(app)
    expected = {**before, **changes}
    assert after == {**expected, "indexed": sorted(expected["rows"])}
    assert app.advance(7200) == []
    ran = [by for by, kind in expected["jobs"] if kind == "pending"]
    assert [row["by"] for row in app.documents("runs")] == ran
    if not expected["urls"]:
        assert app.fetch("GET", str(before["urls"][0])).status == 404


@pytest.mark.parametrize(("effect", "changes"), EFFECTS.values(), ids=EFFECTS.keys())
def test_a_call_that_failed_can_be_made_again(
    app: EmbeddedDeployment, made: dict[str, Any], effect: list[Any], changes: dict[str, Any]
) -> None:
    expected = {**look(app), **changes}
    run(app, [["try", [effect, ["throw", "no"]]], ["call", [effect]]], made)
    assert look(app) == {**expected, "indexed": sorted(expected["rows"])}


@pytest.mark.parametrize("effect", [each for each, _ in EFFECTS.values()], ids=EFFECTS.keys())
def test_a_mutation_that_throws_takes_back_all_that_its_calls_did(
    app: EmbeddedDeployment, made: dict[str, Any], effect: list[Any]
) -> None:
    before = look(app)
    steps = with_ids([["call", [["call", [effect]]]], ["insert", 8], ["throw", "no"]], made)
    assert "Uncaught Error: no" in str(app.mutation("a:run", {"steps": steps}).error)
    assert look(app) == before
    assert app.advance(7200) == []
    assert [row["by"] for row in app.documents("runs")] == ["kept"]


@pytest.mark.parametrize(("effect", "changes"), EFFECTS.values(), ids=EFFECTS.keys())
def test_mutations_of_an_action_are_each_their_own_transaction(
    app: EmbeddedDeployment, made: dict[str, Any], effect: list[Any], changes: dict[str, Any]
) -> None:
    expected = {**look(app), **changes}
    steps = with_ids([[effect, ["throw", "no"]], [effect], [["insert", 9], ["throw", "x"]]], made)
    result = app.action("a:act", {"steps": steps})
    assert result.error is None
    assert isinstance(result.value, list)
    assert (result.value[0], result.value[2]) == ("Uncaught Error: no", "Uncaught Error: x")
    assert look(app) == {**expected, "indexed": sorted(expected["rows"])}


def test_ids_that_a_failed_call_used_are_those_of_no_document(
    app: EmbeddedDeployment, made: dict[str, Any]
) -> None:
    new = run(app, [["try", [["insert", 5], ["throw", "no"]]], ["call", [["insert", 6]]]], made)
    rows = app.documents("rows")
    assert [row["n"] for row in rows] == [1, 6]
    assert [row["_id"] for row in rows] == [made["ROW"], new]


def test_a_call_sees_what_its_caller_wrote_and_not_what_was_taken_back(
    app: EmbeddedDeployment, made: dict[str, Any]
) -> None:
    """A write of what is not there any more would throw."""
    steps = [
        ["try", [["delete", "ROW"], ["throw", "no"]]],
        ["call", [["patch", "ROW", 2]]],
        ["try", [["delete", "ROW"], ["patch", "ROW", 3]]],
        ["call", [["delete", "ROW"]]],
        ["try", [["patch", "ROW", 4]]],
    ]
    message = run(app, steps, made)
    assert message == f"Uncaught Error: Update on nonexistent document ID {made['ROW']}"
    assert look(app)["rows"] == []


def test_a_scheduled_mutation_that_throws_leaves_its_failure_alone(
    app: EmbeddedDeployment, made: dict[str, Any]
) -> None:
    """What it inserted is gone; its row says why, and the next one runs."""
    steps: list[Any] = [["schedule", {"by": 5}]]
    bad = app.mutation("a:run", {"steps": steps})
    assert bad.error is None, "arguments are checked when it runs"
    failures = app.advance(7200)
    assert len(failures) == 1
    assert failures[0].startswith("a:ran: ArgumentValidationError")
    assert [row["by"] for row in app.documents("runs")] == ["kept"]
    states = [row["state"] for row in app.documents("_scheduled_functions")]
    assert states[0] == {"kind": "success"}
    assert isinstance(states[1], dict)
    assert states[1]["kind"] == "failed"
    assert app.advance(7200) == []
