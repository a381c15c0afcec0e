"""What steps that call send, and whom; what they say of each end that a call can have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from pydantic import JsonValue

from pytest_convex_eval.behaviour.calling import MOST_PAGES, error_name, said_of
from pytest_convex_eval.behaviour.interpreter import BlockFailure
from pytest_convex_eval.deployment.model import FunctionResult, HttpAnswer, Usage

if TYPE_CHECKING:
    from tests.behaviour.conftest import ScriptedDeployment

Take: TypeAlias = Callable[[object], list[BlockFailure]]

ISSUER = "https://auth.example.com"
ADA = {"subject": "ada", "issuer": ISSUER}


def failed(take: Take, steps: list[dict[str, Any]]) -> tuple[str, str, tuple[str, ...]]:
    """Of the one failure: its code, its summary, its lines."""
    (failure,) = take(steps)
    return failure.error.code, failure.error.summary, failure.error.lines


@pytest.mark.parametrize(
    ("of_block", "of_step", "identity"),
    [
        ({}, {}, None),
        ({"as": "ada"}, {}, ADA),
        ({"as": "ada"}, {"as": None}, None),
        ({"as": "ada"}, {"as": "${saved}"}, {"subject": "bob", "issuer": ISSUER}),
        ({"as": None}, {"as": "ada"}, ADA),
        ({"as": {"subject": "ada", "name": "${saved}"}}, {}, {**ADA, "name": "bob"}),
        ({}, {"as": {"subject": "ada", "issuer": "other"}}, {"subject": "ada", "issuer": "other"}),
    ],
)
@pytest.mark.parametrize("verb", ["query", "mutation", "action", "paginate"])
def test_a_call_is_made_as_its_step_says_or_else_its_block(
    take_scripted: Take,
    scripted: ScriptedDeployment,
    verb: str,
    of_block: dict[str, object],
    of_step: dict[str, object],
    identity: object,
) -> None:
    page: JsonValue = {"page": [], "isDone": True}
    scripted.results = {"a:who": [FunctionResult("bob")], "a:b": [FunctionResult(page)]}
    steps = [{"query": "a:who", "as": "x", "save": "saved"}, {verb: "a:b", **of_step}]
    assert take_scripted([{"name": "a block", "steps": steps, **of_block}]) == []
    called = scripted.named("call")[1]
    kind = "query" if verb == "paginate" else verb
    assert (called[1], called[2], called[4], called[5]) == (kind, "a:b", identity, False)


def test_nobody_is_who_a_reference_to_null_is(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    steps: list[dict[str, Any]] = [
        {"query": "a:who", "save": "none"},
        {"query": "a:b", "args": {"x": ["${none}"]}, "as": "${none}", "internal": True},
    ]
    assert take_scripted([{"name": "a block", "steps": steps, "as": "ada"}]) == []
    assert scripted.named("call")[1] == ("call", "query", "a:b", {"x": [None]}, None, True)


@pytest.mark.parametrize(("who", "shown"), [(5, "5"), ([1], "[1]"), (True, "true")])
def test_a_caller_is_a_text_or_an_object(
    take_scripted: Take, scripted: ScriptedDeployment, who: JsonValue, shown: str
) -> None:
    scripted.results["a:who"] = [FunctionResult(who)]
    steps: list[dict[str, Any]] = [
        {"query": "a:who", "save": "who"},
        {"query": "a:b", "as": "${who}"},
    ]
    summary = f"arguments must be an object, not {shown}"
    assert failed(take_scripted, steps) == ("args", summary, ())


def test_an_unexpected_error_is_shown_with_what_was_sent_and_logged(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    error = (
        "[Request ID: abc] Server Error\nUncaught Error: no\n    at b (../convex/a.ts:1:2)\n"
        "    at c (../node_modules/x/index.js:3:4)"
    )
    logged = tuple(f"[LOG] {number}" for number in range(21))
    scripted.results["a:b"] = [FunctionResult(error=error, log_lines=logged)]
    step = {"query": "a:b", "args": {"n": "${start}"}, "as": {"subject": "ada"}}
    block = {"name": "a block", "at": "1970-01-01T00:00:01Z", "steps": [step]}
    (failure,) = take_scripted([block])
    assert failure.error.summary == "it failed: Uncaught Error: no"
    assert failure.error.lines == (
        "    at b (convex/a.ts:1:2)",
        'sent {"n": 1000}, as "ada"',
        "it logged:",
        *(f"  {line}" for line in logged[1:]),
    )


def test_a_result_that_differs_is_shown_with_what_was_sent_and_logged(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.results["a:b"] = [FunctionResult({"n": 1}, log_lines=("[LOG] 'x'",))]
    assert failed(take_scripted, [{"query": "a:b", "returns": {"n": 2}}]) == (
        "returns",
        "returns.n: expected 2, got 1",
        (
            "sent {}",
            "it logged:",
            "  [LOG] 'x'",
            "- expected  + got",
            " {",
            '-  "n": 2',
            '+  "n": 1',
            " }",
        ),
    )


def test_null_is_an_expected_result_and_no_expectation_is_none(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.results["a:b"] = [FunctionResult(5)]
    assert take_scripted([{"query": "a:b"}]) == []
    code, summary, _ = failed(take_scripted, [{"query": "a:b", "returns": None}])
    assert (code, summary) == ("returns", "returns: expected null, got 5")


def test_the_result_is_saved_and_a_failed_call_saves_nothing(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.results["a:b"] = [FunctionResult(5)]
    scripted.results["a:no"] = [FunctionResult(error="Uncaught Error: no")]
    steps: list[dict[str, Any]] = [
        {"action": "a:b", "save": "five"},
        {"action": "a:no", "throws": True},
        {"mutation": "a:c", "args": {"five": "${five}"}},
    ]
    assert take_scripted(steps) == []
    assert scripted.named("call")[2][3] == {"five": 5}


OWN = "Uncaught Error: not yours\n    at b (../convex/a.ts:1:2)"
CONVEX = FunctionResult(error="Uncaught ConvexError: {}", error_data={"code": "é", "n": 1})
ARGUMENTS = FunctionResult(error="ArgumentValidationError: Object is missing")
UNKNOWN = FunctionResult(error="Could not find public function for 'a:b'.")
HIDDEN = FunctionResult(error="Could not find function for 'a:b'.")
RETURNS = FunctionResult(error="ReturnsValidationError: Value does not match")
SCHEMA = FunctionResult(error='Failed "x" because it does not match the schema: y')


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (FunctionResult(error=OWN), None),
        (CONVEX, "ConvexError"),
        (ARGUMENTS, "ArgumentValidationError"),
        (UNKNOWN, "FunctionNotFound"),
        (HIDDEN, "FunctionNotFound"),
        (RETURNS, "ReturnsValidationError"),
        (SCHEMA, "SchemaValidationError"),
        (FunctionResult(error="[Request ID: 1] Server Error\nUncaught ConvexError: 1"),
         "ConvexError"),
        (FunctionResult(error="Uncaught Error: ConvexError"), None),
    ],
)  # fmt: skip
def test_an_error_s_class_is_read_from_how_it_begins(
    result: FunctionResult, name: str | None
) -> None:
    assert error_name(result) == name


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        ("[Request ID: 1] Server Error\none\ntwo", ["one", "two"]),
        ("[Request ID: 1] Server Error", ["[Request ID: 1] Server Error"]),
        ("one\ntwo", ["one", "two"]),
        ("at (../node_modules/x)", ["at (../node_modules/x)"]),
        ("one\n    at (../node_modules/x)", ["one"]),
        ("    at (../node_modules/x)", ["(no message)"]),
        ("", ["(no message)"]),
    ],
)
def test_an_error_s_lines_are_its_own(error: str, lines: list[str]) -> None:
    assert said_of(FunctionResult(error=error)) == lines


@pytest.mark.parametrize(
    ("throws", "result"),
    [
        (True, FunctionResult(error=OWN)),
        (True, CONVEX),
        (True, RETURNS),
        ("not yours", FunctionResult(error=OWN)),
        ("a.ts:1", FunctionResult(error=OWN)),
        ({"matches": "n.t y"}, FunctionResult(error=OWN)),
        ("ConvexError", CONVEX),
        ({"message": '"é"'}, CONVEX),
        ({"matches": '"n": 1}$'}, CONVEX),
        ({"data": {"code": "é"}}, CONVEX),
        ({"error": "ConvexError", "message": "é", "matches": "é", "data": {"n": 1}}, CONVEX),
        ({"data": None}, FunctionResult(error=OWN)),
        ("ArgumentValidationError", ARGUMENTS),
        ("FunctionNotFound", UNKNOWN),
        ("FunctionNotFound", HIDDEN),
        ("ReturnsValidationError", RETURNS),
        ("SchemaValidationError", SCHEMA),
        ({"message": "${start}"}, FunctionResult(error="Uncaught Error: at 1000")),
    ],
)
def test_an_expected_error_passes(
    take_scripted: Take, scripted: ScriptedDeployment, throws: JsonValue, result: FunctionResult
) -> None:
    scripted.results["a:b"] = [result]
    steps = [{"mutation": "a:b", "throws": throws}]
    block = {"name": "a block", "at": "1970-01-01T00:00:01Z", "steps": steps}
    assert take_scripted([block]) == []


@pytest.mark.parametrize(
    ("throws", "result", "code", "summary"),
    [
        (True, FunctionResult([1]), "no-error", "it must fail, and returned [1]"),
        (True, ARGUMENTS, "other-error", "its own code must throw, and it failed before it ran: "
         "ArgumentValidationError: Object is missing"),
        ("Object", ARGUMENTS, "other-error", "its own code must throw, and it failed before it "
         "ran: ArgumentValidationError: Object is missing"),
        (True, HIDDEN, "other-error", "its own code must throw, and it failed before it ran: "
         "Could not find function for 'a:b'."),
        ("ConvexError", FunctionResult(error=OWN), "other-error",
         "it must fail with ConvexError, and failed with: Uncaught Error: not yours"),
        ("mine", FunctionResult(error=OWN), "other-error",
         'its error must say "mine", and says: Uncaught Error: not yours'),
        ({"matches": "^yours"}, FunctionResult(error=OWN), "other-error",
         'its error must match "^yours", and says: Uncaught Error: not yours'),
        ({"data": 5}, FunctionResult(error=OWN), "other-error", "data: expected 5, got null"),
        ({"error": "ConvexError", "message": "zz"}, CONVEX, "other-error",
         'its error must say "zz", and says: Uncaught ConvexError: {}'),
        ({"message": "é", "matches": "zz"}, CONVEX, "other-error",
         'its error must match "zz", and says: Uncaught ConvexError: {}'),
    ],
)  # fmt: skip
def test_another_end_than_the_expected_error_is_told(
    take_scripted: Take,
    scripted: ScriptedDeployment,
    throws: JsonValue,
    result: FunctionResult,
    code: str,
    summary: str,
) -> None:
    logged = FunctionResult(result.value, result.error, result.error_data, ("[LOG] 1",))
    scripted.results["a:b"] = [logged]
    frames = [] if result.ok or "\n" not in (result.error or "") else ["    at b (convex/a.ts:1:2)"]
    told = failed(take_scripted, [{"mutation": "a:b", "throws": throws}])
    assert told == (code, summary, (*frames, "sent {}", "it logged:", "  [LOG] 1"))


@pytest.mark.parametrize(
    ("patterns", "summary"),
    [
        (["one"], None),
        (["^.LOG. two$"], None),
        (["one", "two"], None),
        (["o", "o"], None),
        (["one", "one"], 'no log line matches "one"'),
        (["two", "one"], 'no log line matches "one"'),
        (["three", "one"], 'no log line matches "three"'),
    ],
)
def test_log_lines_match_in_their_order_each_once(
    take_scripted: Take, scripted: ScriptedDeployment, patterns: list[str], summary: str | None
) -> None:
    scripted.results["a:b"] = [FunctionResult(log_lines=("[LOG] one", "[LOG] two"))]
    steps = [{"query": "a:b", "logs": patterns}]
    if summary is None:
        assert take_scripted(steps) == []
    else:
        lines = ("sent {}", "it logged:", "  [LOG] one", "  [LOG] two")
        assert failed(take_scripted, steps) == ("logs", summary, lines)


def test_a_call_that_logged_nothing_says_so(take_scripted: Take) -> None:
    steps = [{"query": "a:b", "logs": ["one"]}]
    assert failed(take_scripted, steps)[2] == ("sent {}", "it logged nothing")


LIMITS = [
    "documents_read",
    "bytes_read",
    "index_ranges",
    "documents_written",
    "bytes_written",
    "functions",
]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("throws", [False, True])
def test_each_limit_of_what_a_call_uses_may_be_reached_and_not_passed(
    take_scripted: Take, scripted: ScriptedDeployment, name: str, throws: bool
) -> None:
    used = Usage(**{each: 7 if each == name else 99 for each in LIMITS})
    error = OWN if throws else None
    scripted.results["a:b"] = [FunctionResult(error=error, usage=used)]
    step: dict[str, Any] = {"query": "a:b", **({"throws": True} if throws else {})}
    assert take_scripted([{**step, "uses": {name: 7}}]) == []
    summary = f"{name.replace('_', ' ')}: at most 6, used 7"
    told = failed(take_scripted, [{**step, "uses": {name: 6}}])
    assert told == ("uses", summary, ("sent {}",))


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize(
    ("bounds", "summary"),
    [
        ({"$gte": 7}, None),
        ({"$gte": 8}, "at least 8, used 7"),
        ({"$gte": 7, "$lte": 7}, None),
        ({"$gte": 1, "$lte": 6}, "at most 6, used 7"),
    ],
)
def test_what_a_call_uses_can_have_bounds_from_both_sides(
    take_scripted: Take,
    scripted: ScriptedDeployment,
    name: str,
    bounds: dict[str, int],
    summary: str | None,
) -> None:
    used = Usage(**{each: 7 if each == name else 99 for each in LIMITS})
    scripted.results["a:b"] = [FunctionResult(usage=used)]
    steps = [{"query": "a:b", "uses": {name: bounds}}]
    if summary is None:
        assert take_scripted(steps) == []
    else:
        told = failed(take_scripted, steps)
        assert told == ("uses", f"{name.replace('_', ' ')}: {summary}", ("sent {}",))


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({}, "name \\$gte, \\$lte or both"),
        ({"$gte": 3, "$lte": 2}, "nothing is at least 3 and at most 2"),
        ({"$gt": 1}, "Extra inputs"),
        (-1, "greater than or equal to 0"),
        (True, "valid dictionary"),
    ],
)
def test_bounds_that_are_none_are_refused_when_the_case_is_read(
    take_scripted: Take, bounds: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        take_scripted([{"query": "a:b", "uses": {"functions": bounds}}])


def test_pages_are_asked_for_with_more_options_and_never_with_the_case_s_own(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.results["a:b"] = [FunctionResult({"page": [], "isDone": True})]
    step: dict[str, Any] = {"paginate": "a:b", "args": {"x": 1}, "page_size": 2}
    assert take_scripted([{**step, "options": {"maximumRowsRead": 3}}]) == []
    (called,) = scripted.named("call")
    options = {"numItems": 2, "cursor": None, "maximumRowsRead": 3}
    assert called[3] == {"x": 1, "paginationOpts": options}
    with pytest.raises(ValueError, match="paginationOpts are this step's to send"):
        take_scripted([{**step, "args": {"paginationOpts": {"numItems": 5, "cursor": None}}}])
    with pytest.raises(ValueError, match="maximumRowsRead"):
        take_scripted([{**step, "options": {"numItems": 5}}])


def test_what_a_deployment_does_not_tell_is_not_checked(take_scripted: Take) -> None:
    assert take_scripted([{"query": "a:b", "uses": {"documents_read": 0}}]) == []


@pytest.mark.parametrize(
    ("request_", "sent"),
    [
        ({"path": "/a"}, ("http", "GET", "/a", {}, None)),
        (
            {"method": "POST", "path": "/a/${start}", "json": {"n": "${start}"}},
            ("http", "POST", "/a/5000", {"Content-Type": "application/json"}, '{"n": 5000}'),
        ),
        (
            {"method": "PUT", "path": "/a", "json": None, "headers": {"content-TYPE": "x"}},
            ("http", "PUT", "/a", {"content-TYPE": "x"}, "null"),
        ),
        (
            {"method": "POST", "path": "/a", "text": "at ${start}", "headers": {"X": "${start}"}},
            ("http", "POST", "/a", {"X": "5000"}, "at 5000"),
        ),
        (
            {"method": "DELETE", "url": "http://x/${start}", "text": "t", "headers": {"X": "1"}},
            ("fetch", "DELETE", "http://x/5000", {"X": "1"}, "t"),
        ),
    ],
)
def test_a_request_is_sent_as_it_is_written(
    take_scripted: Take,
    scripted: ScriptedDeployment,
    request_: dict[str, Any],
    sent: tuple[object, ...],
) -> None:
    scripted.answers = [HttpAnswer(200, (), b"")]
    block = {"name": "a block", "at": "1970-01-01T00:00:05Z", "steps": [{"http": request_}]}
    assert take_scripted([block]) == []
    assert scripted.named("http", "fetch") == [sent]


@pytest.mark.parametrize(
    "step",
    [
        {"status": 201},
        {"headers": {"x-one": "1", "X-TWO": {"$matches": "2"}, "x-three": None}},
        {"body": {"a": 1}},
        {"body": '{"a": 1, "b": [2]}'},
        {"body": {"$matches": "^.{2}a"}},
        {"body": {"$exact": {"a": 1, "b": [2]}}},
    ],
)
def test_an_answer_that_is_as_expected_passes(
    take_scripted: Take, scripted: ScriptedDeployment, step: dict[str, Any]
) -> None:
    headers = (("X-One", "1"), ("x-two", "12"))
    scripted.answers = [HttpAnswer(201, headers, b'{"a": 1, "b": [2]}')]
    assert take_scripted([{"http": {"path": "/a"}, **step}]) == []


@pytest.mark.parametrize(
    ("body", "step", "code", "summary", "lines"),
    [
        (b"hi", {"status": 200}, "status", "status: expected 200, got 201", ('the body: "hi"',)),
        (b"", {"status": 200}, "status", "status: expected 200, got 201", ()),
        (b"hi", {"headers": {"X-One": "1", "x-two": "2"}}, "headers",
         'header x-two: expected "2", got null', ()),
        (b"hi", {"body": "ho"}, "body", 'body: expected "ho", got "hi"', ()),
        (b"hi", {"body": {"a": 1}}, "body", 'body: expected an object, got "hi"', ()),
        (b"\xff", {"body": None}, "body", 'body: expected null, got "\ufffd"', ()),
        (b"[1]", {"body": []}, "body", "body: expected 0 items, got 1",
         ("- expected  + got", "-[]", "+[", "+  1", "+]")),
    ],
)  # fmt: skip
def test_an_answer_that_differs_is_told(
    take_scripted: Take,
    scripted: ScriptedDeployment,
    body: bytes,
    step: dict[str, Any],
    code: str,
    summary: str,
    lines: tuple[str, ...],
) -> None:
    scripted.answers = [HttpAnswer(201, (("X-One", "1"),), body)]
    steps = [{"http": {"path": "/a"}, **step}]
    assert failed(take_scripted, steps) == (code, summary, lines)


@pytest.mark.parametrize(
    ("body", "saved"), [(b'{"a": [1]}', {"a": [1]}), (b"hi", "hi"), (b"null", None), (b"", "")]
)
def test_the_body_is_saved_parsed_where_it_is_json(
    take_scripted: Take, scripted: ScriptedDeployment, body: bytes, saved: JsonValue
) -> None:
    scripted.answers = [HttpAnswer(200, (), body)]
    steps: list[dict[str, Any]] = [
        {"http": {"path": "/a"}, "save": "body"},
        {"query": "a:b", "args": {"x": "${body}"}},
    ]
    assert take_scripted(steps) == []
    assert scripted.named("call")[0][3] == {"x": saved}


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ({"http": {"url": "http://elsewhere/"}}, "reference"),
        ({"upload": {"to": "http://elsewhere/", "text": ""}}, "upload"),
    ],
)
def test_an_address_of_nobody_here_is_told(
    take_scripted: Take, scripted: ScriptedDeployment, step: dict[str, Any], code: str
) -> None:
    scripted.raises["fetch"] = ValueError("'http://elsewhere/' is no address")
    assert failed(take_scripted, [step]) == (code, "'http://elsewhere/' is no address", ())


def test_a_file_is_uploaded_with_its_type_and_its_id_saved(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.results["a:url"] = [FunctionResult("http://here/upload")]
    scripted.answers = [HttpAnswer(200, (), b'{"storageId": "f1"}')]
    steps: list[dict[str, Any]] = [
        {"mutation": "a:url", "save": "to"},
        {"upload": {"to": "${to}", "text": "see ${to}"}, "save": "file"},
        {"upload": {"to": "${to}", "text": "", "type": "image/png"}},
        {"query": "a:b", "args": {"x": "${file}"}},
    ]
    assert take_scripted(steps) == []
    assert scripted.named("fetch") == [
        ("fetch", "POST", "http://here/upload", {"Content-Type": "text/plain"},
         "see http://here/upload"),
        ("fetch", "POST", "http://here/upload", {"Content-Type": "image/png"}, ""),
    ]  # fmt: skip
    assert scripted.done[-1][3] == {"x": "f1"}


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, '{"storageId": "f1"}'), (201, '{"storageId": "f1"}'), (200, "{}"), (200, "storageId")],
)
def test_an_upload_without_an_id_has_failed(
    take_scripted: Take, scripted: ScriptedDeployment, status: int, body: str
) -> None:
    scripted.answers = [HttpAnswer(status, (), body.encode())]
    summary = f"the upload was answered {status}: {body}"
    steps = [{"upload": {"to": "http://here/", "text": ""}}]
    assert failed(take_scripted, steps) == ("upload", summary, ())


def page(items: list[JsonValue], cursor: JsonValue, *, done: JsonValue = False) -> FunctionResult:
    value: JsonValue = {"page": items, "isDone": done, "continueCursor": cursor}
    return FunctionResult(value, usage=Usage(documents_read=len(items)))


def test_pages_are_walked_by_their_cursors_to_the_end(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.results["a:list"] = [
        page([1, 2], "c1"),
        page([], "c2"),
        page([3], "c3", done="yes"),
        page([], "c4", done=True),
    ]
    steps: list[dict[str, Any]] = [
        {
            "paginate": "a:list",
            "args": {"at": "${start}"},
            "page_size": 2,
            "pages": 2,
            "returns": [1, 2, 3],
            "uses": {"documents_read": 2},
            "save": "all",
        },
        {"query": "a:b", "args": {"x": "${all}"}},
    ]
    block = {"name": "a block", "at": "1970-01-01T00:00:05Z", "steps": steps}
    assert take_scripted([block]) == []
    *pages, last = scripted.named("call")
    assert [each[:4] for each in pages] == [
        (
            "call",
            "query",
            "a:list",
            {"at": 5000, "paginationOpts": {"numItems": 2, "cursor": cursor}},
        )
        for cursor in (None, "c1", "c2", "c3")
    ]
    assert last[3] == {"x": [1, 2, 3]}


FIRST = 'sent {"paginationOpts": {"numItems": 10, "cursor": null}}'


@pytest.mark.parametrize(
    ("results", "step", "code", "summary", "lines"),
    [
        ([FunctionResult(error=OWN)], {}, "error", "it failed: Uncaught Error: not yours",
         ("    at b (convex/a.ts:1:2)", FIRST)),
        ([FunctionResult([])], {}, "pages", "no page with page, isDone, continueCursor: []",
         (FIRST,)),
        ([FunctionResult({"page": {}})], {}, "pages",
         'no page with page, isDone, continueCursor: {"page": {}}', (FIRST,)),
        ([page([1, 2], "c", done=True)], {"page_size": 1}, "pages",
         "a page of 2 items where 1 were asked for", (FIRST.replace("10", "1"),)),
        ([page([1], "c1"), page([1], None)], {}, "pages", "a page without continueCursor",
         (FIRST.replace("null", '"c1"'),)),
        ([page([1], "c1"), page([1, 2], "c2", done=True)], {"uses": {"documents_read": 1}}, "uses",
         "documents read: at most 1, used 2", (FIRST.replace("null", '"c1"'),)),
        ([page([1], "c1", done=True)], {"pages": 2}, "pages", "pages: expected 2, got 1", ()),
        ([page([1], "c1", done=True)], {"returns": [2]}, "returns",
         "items[0]: expected 2, got 1", ("- expected  + got", " [", "-  2", "+  1", " ]")),
    ],
)  # fmt: skip
def test_pages_that_are_none_are_told(
    take_scripted: Take,
    scripted: ScriptedDeployment,
    results: list[FunctionResult],
    step: dict[str, Any],
    code: str,
    summary: str,
    lines: tuple[str, ...],
) -> None:
    scripted.results["a:list"] = results
    told = failed(take_scripted, [{"paginate": "a:list", **step}])
    assert told == (code, summary, lines)


def test_pages_without_an_end_are_left(take_scripted: Take, scripted: ScriptedDeployment) -> None:
    scripted.results["a:list"] = [page([], "again")]
    summary = f"it has not ended after {MOST_PAGES} pages"
    assert failed(take_scripted, [{"paginate": "a:list"}]) == ("pages", summary, ())
    assert len(scripted.named("call")) == MOST_PAGES
