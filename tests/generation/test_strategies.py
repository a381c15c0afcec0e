"""Answers in more than one request: designs, code from designs, and repairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.generation.anthropic.provider import AnthropicProvider
from pytest_convex_eval.generation.arms import Arm
from pytest_convex_eval.generation.design import (
    DESIGN_FORM,
    BackgroundTask,
    DeployedFacts,
    DeployedFunction,
    Design,
    DesignFunction,
    DesignIndex,
    DesignTable,
    ParsedDesign,
    ReadPath,
    check_design,
    function_name,
    parse_design,
)
from pytest_convex_eval.generation.prompts import build_request
from pytest_convex_eval.generation.provider import Generation, Request, Turn
from pytest_convex_eval.generation.strategies import (
    first_request,
    next_request,
    repair_request,
)
from pytest_convex_eval.generation.usage import Stop
from pytest_convex_eval.outcomes import Finding, StopReason
from tests.patience import HANG_SECONDS

TASK = build_request(model="claude-sonnet-5-5", arm=Arm("none", ""), prompt="Write orders.")
DESIGN: dict[str, Any] = json.loads(
    DESIGN_FORM.partition("<design>\n")[2].partition("</design>")[0]
)
FACTS = DeployedFacts(
    functions={
        "orders:listForCustomer": DeployedFunction("query", "public", ("customerId",)),
    },
    indexes={"orders": (("customerId",),)},
)


def replied(request: Request, text: str, reason: StopReason = "stop") -> Generation:
    return Generation(request, text, Stop(reason), "", "", 1.0)


def design_of(**changes: Any) -> Design:
    parsed = parse_design(json.dumps({**DESIGN, "background": [], **changes}))
    assert parsed.design is not None
    assert parsed.findings == ()
    return parsed.design


def codes(design: Design, facts: DeployedFacts = FACTS) -> list[str]:
    findings = check_design(design, facts)
    assert all(finding.severity != "error" for finding in findings)
    return [finding.code.removeprefix("design/") for finding in findings]


def test_direct_asks_once() -> None:
    assert first_request(TASK, "direct") == TASK
    assert next_request(replied(TASK, "files"), "direct") is None


def test_design_first_asks_for_a_design_and_then_for_code_in_one_conversation() -> None:
    first = first_request(TASK, "design-first")
    assert first.system == TASK.system
    assert first.user.startswith("# Task\n\nWrite orders.\n")
    assert "<design>" in first.user
    assert first.key(1) != TASK.key(1)
    second = next_request(replied(first, "the design"), "design-first")
    assert second is not None
    assert second.history == (Turn("user", first.user), Turn("assistant", "the design"))
    assert second.system == TASK.system
    assert second.user.startswith("# Now, the project")


@pytest.mark.parametrize(
    ("text", "reason"), [("", "refusal"), ("half a", "max_tokens"), ("  \n", "stop")]
)
def test_no_code_is_asked_for_without_a_whole_design(text: str, reason: StopReason) -> None:
    first = first_request(TASK, "design-first")
    assert next_request(replied(first, text, reason), "design-first") is None


def test_a_repair_shows_the_answer_and_its_findings_and_is_a_key_of_its_own() -> None:
    once = repair_request(TASK, replied(TASK, "files"), "convex/a.ts:1:2 TS2322 wrong", 1)
    assert once.history == (Turn("user", TASK.user), Turn("assistant", "files"))
    assert "convex/a.ts:1:2 TS2322 wrong" in once.user
    twice = repair_request(once, replied(once, "more files"), "convex/a.ts:1:2 TS2322 wrong", 2)
    assert len(twice.history) == 4
    assert twice.system == TASK.system
    assert len({TASK.key(1), once.key(1), twice.key(1)}) == 3


def test_a_repair_can_be_sent_whatever_the_answer_and_the_findings_were(
    server: Any, gated: Callable[..., AnthropicProvider]
) -> None:
    request = repair_request(TASK, replied(TASK, " "), "odd \ud800 " * 100_000, 1)
    assert request.history[-1] == Turn("assistant", "(no answer)")
    assert len(request.user) < 25_000
    assert "left out" in request.user
    assert gated().generate(request, deadline_seconds=HANG_SECONDS).text == "hello"


def test_the_form_that_is_asked_for_is_one_that_is_read() -> None:
    parsed = parse_design(DESIGN_FORM)
    assert parsed.findings == ()
    assert parsed.design is not None
    (function,) = parsed.design.functions
    assert (function.name, function.kind, function.visibility) == (
        "orders:listForCustomer", "query", "public",
    )  # fmt: skip
    assert function.args == {"customerId": "v.id('customers')"}
    assert function.reads[0].by == ("customerId",)
    assert parsed.design.tables[0].indexes[0].fields == ("customerId",)
    assert parsed.design.background[0].function == "orders:purge"


@pytest.mark.parametrize(
    "text",
    [
        "<design>\n{0}\n</design>",
        "<design>{0}</design>",
        "<design>\n```json\n{0}\n```\n</design>",
        "Here it is:\n\n```json\n{0}\n```\n",
        "{0}",
        "<design>\n{0}\n",
        'An example is {{"a": 1}}.\n\n{0}\n\nThat is all.',
    ],
)
def test_a_design_is_read_in_the_ways_models_write_it(text: str) -> None:
    parsed = parse_design(text.format(json.dumps(DESIGN, indent=2)))
    assert parsed.design == parse_design(DESIGN_FORM).design
    assert parsed.findings == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "design/missing"),
        ("I would use two tables.", "design/missing"),
        ("<design>\nTwo tables.\n</design>", "design/broken-json"),
        ('<design>\n{"functions": [\n</design>', "design/broken-json"),
        ('{"answer": 42}', "design/broken-json"),
        ("[" * 100_000, "design/missing"),
        ("{" * 100_000, "design/broken-json"),
    ],
)
def test_what_is_no_design_is_said_to_be_none(text: str, code: str) -> None:
    parsed = parse_design(text)
    assert parsed.design is None
    assert [finding.code for finding in parsed.findings] == [code]


@pytest.mark.parametrize(
    "changes",
    [
        {"functions": [{"name": "a:b"}]},
        {"functions": [{"name": "a:b", "kind": "table"}]},
        {"functions": [{"name": "a:b", "kind": "query", "visibility": "secret"}]},
        {"functions": [{"name": "a:b", "kind": "query", "reads": [{"table": "x"}]}]},
        {"functions": [{"name": "a:b", "kind": "query", "args": []}]},
        {"functions": ["a:b"]},
        {"functions": "none", "tables": []},
        {"tables": [{"name": "x", "indexes": [{"name": "i", "fields": [1]}]}]},
        {"background": [7]},
    ],
)
def test_an_entry_that_makes_no_sense_is_left_out_and_told(changes: dict[str, Any]) -> None:
    parsed = parse_design(json.dumps({**DESIGN, **changes}))
    assert parsed.design is not None
    assert [finding.code for finding in parsed.findings] == ["design/odd-entry"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "fields", "indexes", "kind", "args", "reads", "by", "table"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.fixed_dictionaries({"functions": JSON, "tables": JSON, "background": JSON}) | st.text())
def test_no_reply_makes_reading_or_checking_raise(reply: object) -> None:
    text = reply if isinstance(reply, str) else json.dumps(reply)
    parsed = parse_design(text)
    if parsed.design is not None:
        check_design(parsed.design, FACTS)
    broken = {"design/broken-json", "design/missing"} & {each.code for each in parsed.findings}
    assert (parsed.design is None) == bool(broken)


def test_a_design_that_was_built_as_it_is_has_no_findings() -> None:
    assert codes(design_of()) == []


def function(**changes: Any) -> list[dict[str, Any]]:
    return [{**DESIGN["functions"][0], **changes}]


def table(**changes: Any) -> list[dict[str, Any]]:
    return [{**DESIGN["tables"][0], **changes}]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"functions": [*function(), *function(name="orders:more")]}, ["missing-function"]),
        ({"functions": function(kind="mutation")}, ["other-kind"]),
        ({"functions": function(visibility="internal")}, ["other-kind"]),
        ({"functions": function(args={})}, ["other-arguments"]),
        ({"functions": []}, ["unused-index", "undesigned-function"]),
        ({"functions": function(reads=[{"table": "carts", "by": ["x"]}])},
         ["unknown-table", "unused-index"]),
        ({"functions": function(reads=[{"table": "orders", "by": ["total"]}])},
         ["read-without-index", "unused-index"]),
        ({"functions": function(reads=[{"table": "orders", "by": ["customerId"]},
                                       {"table": "orders", "by": ["_id"]},
                                       {"table": "orders", "by": []}])}, []),
        ({"tables": table(indexes=[])}, ["read-without-index", "undesigned-index"]),
        ({"tables": table(indexes=[{"name": "by_customer", "fields": ["customerId", "total"]}])},
         ["missing-index", "undesigned-index"]),
        ({"background": [{"function": "orders:purge", "when": "daily"}]}, ["missing-function"]),
        ({"background": [{"function": "orders:listForCustomer"}]}, []),
    ],
)  # fmt: skip
def test_differences_are_found_both_ways(changes: dict[str, Any], expected: list[str]) -> None:
    assert codes(design_of(**changes)) == expected


def test_a_difference_is_told_by_name() -> None:
    design = design_of(
        tables=table(indexes=[{"name": "by_total", "fields": ["total", "customerId"]}]),
        functions=[
            *function(kind="mutation", args={"b": "v.any()", "a": "v.any()"}),
            *function(name="carts:list", reads=[{"table": "carts", "by": ["x"]}]),
        ],
        background=[{"function": "orders:purge", "when": "daily"}],
    )
    facts = replace(
        FACTS, functions={**FACTS.functions, "odd:one": DeployedFunction("query", "public", ())}
    )
    assert check_design(design, facts) == (
        Finding(
            "design/read-without-index",
            "orders:listForCustomer reads orders by customerId, and no index of the design serves "
            "that.",
            "warning",
        ),
        Finding(
            "design/unknown-table",
            "carts:list reads the table carts, which the design does not have.",
            "warning",
        ),
        Finding(
            "design/unused-index",
            "The index orders.by_total serves no read of the design.",
            "info",
        ),
        Finding(
            "design/other-kind",
            "orders:listForCustomer was designed as public mutation and deployed as public query.",
            "warning",
        ),
        Finding(
            "design/other-arguments",
            "orders:listForCustomer was designed with the arguments (a, b) and deployed with "
            "(customerId).",
            "warning",
        ),
        Finding(
            "design/missing-function", "carts:list was designed and is not deployed.", "warning"
        ),
        Finding(
            "design/undesigned-function", "odd:one is deployed and was not designed.", "warning"
        ),
        Finding(
            "design/missing-function",
            "orders:purge was designed to run daily, and is not deployed.",
            "warning",
        ),
        Finding(
            "design/missing-index",
            "The index orders.by_total on total, customerId was designed and is not deployed.",
            "warning",
        ),
        Finding(
            "design/undesigned-index",
            "An index of orders on customerId is deployed and was not designed.",
            "info",
        ),
    )


@pytest.mark.parametrize(
    ("by", "served"),
    [
        (["a"], True), (["a", "b"], True), (["b", "a"], True), (["a", "b", "c"], True),
        (["b"], False), (["a", "c"], False), (["a", "b", "c", "d"], False),
        (["_creationTime"], True), ([], True),
    ],
)  # fmt: skip
def test_an_index_serves_reads_by_its_first_fields_in_any_order(
    by: list[str], served: bool
) -> None:
    index = {"name": "by_abc", "fields": ["a", "b", "c"]}
    design = design_of(
        tables=table(indexes=[index]), functions=function(reads=[{"table": "orders", "by": by}])
    )
    assert ("read-without-index" in codes(design)) != served


def test_what_a_design_leaves_out_is_what_it_most_often_is() -> None:
    parsed = parse_design(
        json.dumps(
            {
                "tables": [{"name": "t", "fields": {"a": {"kind": 1}}}],
                "functions": [{"name": "a:b", "kind": "action", "args": None, "reads": None}],
                "background": [{"function": "api.a.b"}],
            }
        )
    )
    assert parsed == ParsedDesign(
        Design(
            (DesignTable("t", {"a": '{"kind": 1}'}, ()),),
            (DesignFunction("a:b", "action", "public", {}, "", (), ""),),
            (BackgroundTask("a:b", ""),),
        )
    )
    assert parse_design('{"tables": []}') == ParsedDesign(Design())


def test_all_that_the_form_asks_for_is_read() -> None:
    assert parse_design(DESIGN_FORM).design == Design(
        tables=(
            DesignTable(
                "orders",
                {"customerId": "v.id('customers')", "total": "v.number()"},
                (DesignIndex("by_customer", ("customerId",)),),
            ),
        ),
        functions=(
            DesignFunction(
                name="orders:listForCustomer",
                kind="query",
                visibility="public",
                args={"customerId": "v.id('customers')"},
                returns="v.array(v.object({ total: v.number() }))",
                reads=(ReadPath("orders", ("customerId",)),),
                authorization="the customer, by ctx.auth",
            ),
        ),
        background=(BackgroundTask("orders:purge", "daily at 03:00 UTC"),),
    )


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("I would.", Finding("design/missing", "The reply holds no design.")),
        (
            "<design>\nHm.\n</design>",
            Finding("design/broken-json", "The design is no JSON object."),
        ),
        (
            '{"tables": [{"name": "t"}, 7]}',
            Finding(
                "design/odd-entry",
                "The design's tables entry 2 is not of the form that was asked for, and is left "
                "out.",
                "warning",
            ),
        ),
        (
            '{"background": 7, "tables": []}',
            Finding(
                "design/odd-entry",
                "The design's background is not of the form that was asked for, and is left out.",
                "warning",
            ),
        ),
    ],
)
def test_what_is_wrong_with_a_design_is_said(text: str, finding: Finding) -> None:
    assert parse_design(text).findings == (finding,)


def test_a_design_is_read_as_far_as_any_backend_goes() -> None:
    many = [{"name": f"t{number}"} for number in range(501)]
    design = parse_design(json.dumps({"tables": many})).design
    assert design is not None
    assert [one.name for one in design.tables] == [f"t{number}" for number in range(500)]
    for count, left in ((500, 1), (501, 0)):
        indexes = [{"name": "i", "fields": ["a"]}] * count
        text = json.dumps({"tables": [{"name": "t", "indexes": indexes}]})
        design = parse_design(text).design
        assert design is not None
        assert len(design.tables) == left
    for count, left in ((32, 1), (33, 0)):
        index = {"name": "i", "fields": ["a"] * count}
        text = json.dumps({"tables": [{"name": "t", "indexes": [index]}]})
        design = parse_design(text).design
        assert design is not None
        assert len(design.tables) == left


@pytest.mark.parametrize(("before", "found"), [(19, True), (20, False)])
def test_a_design_is_looked_for_in_so_many_places(before: int, found: bool) -> None:
    text = "{\n" * before + '{"tables": []}'
    assert (parse_design(text).design is not None) == found


def test_a_repair_says_what_was_found_the_first_time_and_again() -> None:
    once = repair_request(TASK, replied(TASK, "files"), " \n2 wrong\n", 1)
    assert once.user == REPAIR.format("Your project was checked.", "2 wrong")
    again = repair_request(TASK, replied(TASK, "files"), "2 wrong", 2)
    assert again.user == REPAIR.format("Your project was checked again.", "2 wrong")
    for count, left in ((20_000, 0), (20_001, 1)):
        long = repair_request(TASK, replied(TASK, "files"), "a" * count, 1).user
        assert long.count("a" * 10_000) == 2
        assert (f"... ({left} characters left out)" in long) == bool(left)


REPAIR = """\
# What the checks found

{} This is what is wrong with it:

<findings>
{}
</findings>

Write the project again with all of this put right: every file, whole, in the form that you were \
told at the beginning, those that need no change too. Only what you write now counts.
"""


def test_arguments_that_were_not_declared_are_not_compared() -> None:
    undeclared = replace(
        FACTS, functions={"orders:listForCustomer": DeployedFunction("query", "public", None)}
    )
    assert codes(design_of(functions=function(args={"other": "v.any()"})), undeclared) == []


@pytest.mark.parametrize(
    "written",
    ["a/b:c", "api.a.b.c", "internal.a.b.c", "convex/a/b.ts:c", "a/b.js:c", "a/b.c", " a/b:c "],
)
def test_functions_are_known_by_all_their_names(written: str) -> None:
    assert function_name(written) == "a/b:c"


def test_what_is_no_name_of_a_function_stays_as_it_is() -> None:
    assert [function_name(name) for name in ("main", "a:", "a/b.ts:c:d", "")] == [
        "main", "a", "a/b:c:d", "",
    ]  # fmt: skip
