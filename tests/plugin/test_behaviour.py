"""The behaviour stage as people meet it: in pytest's output, with the case's own line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NOTES = """\
import { mutation, query } from "./_generated/server";
import { v } from "convex/values";

export const add = mutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => {
    console.log("adding", text);
    return await ctx.db.insert("notes", { text: text.toUpperCase() });
  },
});
export const all = query({
  args: {},
  handler: async (ctx) => await ctx.db.query("notes").take(10),
});
export const spin = query({
  args: {},
  handler: async () => {
    for (;;);
  },
});
"""
GREETING = """\
import { query } from "./_generated/server";
export const greeting = query({ args: {}, handler: async () => process.env.GREETING ?? "none" });
"""
STEPS: list[dict[str, Any]] = [
    {"mutation": "notes:add", "args": {"text": "hi"}, "save": "note"},
    {"query": "notes:all", "returns": [{"_id": "${note}", "text": "hi"}]},
]

PACKAGE = '{"name": "notes", "dependencies": {"convex": "^1.48.0"}}\n'
SCHEMA = """\
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({ notes: defineTable({ text: v.string() }) });
"""
REFERENCE = {"package.json": PACKAGE, "convex/schema.ts": SCHEMA, "convex/notes.ts": NOTES}

Write = Callable[..., Path]
Records = Callable[[], list[dict[str, Any]]]


def test_a_failure_shows_the_case_s_line_what_was_sent_and_what_came(
    pytester: pytest.Pytester, write_case: Write
) -> None:
    wrong = {"mutation": "notes:add", "args": {"text": "ho"}, "returns": None}
    blocks = [
        {"name": "keeps the text", "steps": STEPS},
        {"name": "returns nothing", "steps": [wrong]},
    ]
    write_case("fundamentals/easy/notes", reference=REFERENCE, behaviour=blocks)
    result = pytester.runpytest("cases")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "behaviour *failed * 2 errors",
            "behaviour:",
            "  cases/fundamentals/easy/notes.yaml:*: error behaviour/returns: keeps the text: "
            'query notes:all: returns[[]0].text: expected "hi", got "HI"',
            "    sent {}",
            "    - expected  + got",
            '    -    "text": "hi"',
            '    +    "text": "HI"',
            "*| *  - query: notes:all",
            "  cases/fundamentals/easy/notes.yaml:*: error behaviour/returns: returns nothing: *",
            '    sent {"text": "ho"}',
            "    it logged:",
            "      [[]LOG] 'adding' 'ho'",
        ]
    )


def test_the_stage_alone_still_deploys_what_it_judges(
    pytester: pytest.Pytester, write_case: Write, records: Records
) -> None:
    blocks = [{"name": "keeps the text", "steps": STEPS}]
    write_case("fundamentals/easy/notes", reference=REFERENCE, behaviour=blocks)
    result = pytester.runpytest("cases", "--convex-stages", "behaviour")
    result.assert_outcomes(failed=1)
    (record,) = records()
    assert [(stage["stage"], stage["status"]) for stage in record["stages"]] == [
        ("behaviour", "failed")
    ]


def test_a_mutant_can_be_one_that_only_behaviour_catches(
    pytester: pytest.Pytester, write_case: Write, records: Records
) -> None:
    good = {**REFERENCE, "convex/notes.ts": NOTES.replace("text.toUpperCase()", "text")}
    shouting = {
        "name": "shouting",
        "fails": "behaviour",
        "code": "behaviour/returns",
        "edit": {"convex/notes.ts": [{"replace": "{ text: text }", "with": '{ text: "!" }'}]},
    }
    write_case(
        "fundamentals/easy/notes",
        reference=good,
        behaviour=[{"name": "keeps the text", "steps": STEPS}],
        mutants=[shouting],
    )
    result = pytester.runpytest("cases", "--convex-mutants")
    result.assert_outcomes(passed=2)
    last = {record["mutant"]: record["stages"][-1]["stage"] for record in records()}
    # Nothing that comes after a mutant's own stage says whether it is caught.
    assert last == {None: "lint", "shouting": "behaviour"}


def test_a_query_that_never_returns_is_the_answer_s_fault_and_the_next_block_runs(
    pytester: pytest.Pytester, write_case: Write, records: Records
) -> None:
    blocks = [
        {"name": "spins", "steps": [{"query": "notes:spin"}]},
        {"name": "adds", "steps": STEPS[:1]},
    ]
    write_case("fundamentals/easy/notes", reference=REFERENCE, behaviour=blocks)
    pytester.runpytest("cases").assert_outcomes(failed=1)
    (record,) = records()
    (finding,) = next(s for s in record["stages"] if s["stage"] == "behaviour")["findings"]
    assert finding["code"] == "behaviour/error"
    assert "timed out" in finding["message"]


def test_environment_variables_are_there_before_the_push(
    pytester: pytest.Pytester, write_case: Write
) -> None:
    blocks = [
        {"name": "greets", "steps": [{"query": "greetings:greeting", "returns": "ahoy"}]},
        {
            "name": "greets otherwise",
            "env": {"GREETING": "hello"},
            "steps": [{"query": "greetings:greeting", "returns": "hello"}],
        },
        {"name": "greets again", "steps": [{"query": "greetings:greeting", "returns": "ahoy"}]},
    ]
    config = (
        "export default { providers: [{ domain: process.env.GREETING!, applicationID: 'x' }] };"
    )
    write_case(
        "fundamentals/easy/notes",
        reference={
            **REFERENCE,
            "convex/greetings.ts": GREETING,
            "convex/auth.config.ts": config,
        },
        env={"GREETING": "ahoy"},
        behaviour=blocks,
    )
    stages = "format,package,deploy,behaviour"
    pytester.runpytest("cases", "--convex-stages", stages).assert_outcomes(passed=1)
