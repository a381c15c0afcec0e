"""What of a deployment a design is compared with."""

from __future__ import annotations

import json

import pytest

from pytest_convex_eval.deployment.model import (
    Deployed,
    Function,
    Index,
    SearchIndex,
    Table,
    Validator,
    VectorIndex,
)
from pytest_convex_eval.evaluation.designs import differences
from pytest_convex_eval.generation import design as form

ARGS: Validator = {
    "type": "object",
    "value": {"author": {"fieldType": {"type": "string"}, "optional": False}},
}
TABLE = Table(
    "notes",
    None,
    (Index("by_author", ("author", "at"), staged=False),),
    (SearchIndex("by_text", "text", ("author", "kind")),),
    (VectorIndex("by_meaning", "meaning", 3, ("kind",)),),
)


def deployed(args: Validator = ARGS) -> Deployed:
    function = Function("notes:list", "query", "internal", args, None, None)
    return Deployed(tables=(TABLE,), functions=(function,))


def designed(**changes: object) -> str:
    """The design of what `deployed` is, with changes of its function."""
    indexes = [["author", "at"], ["text", "author", "kind"], ["meaning", "kind"]]
    table = {
        "name": "notes",
        "fields": {"text": "v.string()"},
        "indexes": [{"name": f"i{n}", "fields": fields} for n, fields in enumerate(indexes)],
    }
    function = {
        "name": "notes:list",
        "kind": "query",
        "visibility": "internal",
        "args": {"author": "v.string()"},
        "returns": "v.any()",
        "reads": [{"table": "notes", "by": fields} for fields in indexes],
        "authorization": "anyone",
        **changes,
    }
    return json.dumps({"tables": [table], "functions": [function], "background": []})


def codes(text: str, found: Deployed) -> list[str]:
    return [finding.code for finding in differences(text, found)]


def test_what_was_deployed_as_designed_does_not_differ() -> None:
    assert codes(designed(), deployed()) == []


@pytest.mark.parametrize(
    "changes",
    [{"kind": "mutation"}, {"visibility": "public"}, {"args": {}}, {"name": "notes:all"}],
)
def test_each_part_of_a_function_is_compared(changes: dict[str, object]) -> None:
    found = differences(designed(**changes), deployed())
    assert found
    assert {finding.severity for finding in found} <= {"warning", "info"}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_each_kind_of_index_is_compared_with_its_fields(number: int) -> None:
    data = json.loads(designed())
    data["tables"][0]["indexes"][number]["fields"][-1] = "other"
    data["functions"][0]["reads"][number]["by"][-1] = "other"
    found = codes(json.dumps(data), deployed())
    assert set(found) == {"design/missing-index", "design/undesigned-index"}


@pytest.mark.parametrize(
    "args", [{"type": "any"}, {"type": "union", "value": [ARGS]}, {"type": "any", "value": {}}]
)
def test_arguments_that_are_not_declared_one_by_one_are_not_compared(args: Validator) -> None:
    assert codes(designed(args={"other": "v.string()"}), deployed(args)) == []


def test_a_design_is_never_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [(one.code, one.severity) for one in differences("", deployed())] == [
        ("design/missing", "warning")
    ]
    assert [(one.code, one.severity) for one in differences("{", deployed())] == [
        ("design/broken-json", "warning")
    ]
    assert form.parse_design("").findings[0].severity == "error"
