"""Requests to a backend's API, and what is made of its answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_convex_eval.deployment.model import FunctionResult
from pytest_convex_eval.deployment.official_api import OfficialApi
from pytest_convex_eval.outcomes import InfrastructureError
from tests.deployment.backends.scripted import ScriptedClient

APP = {"id": "", "path": ""}


@pytest.fixture
def client() -> ScriptedClient:
    return ScriptedClient()


@pytest.fixture
def api(client: ScriptedClient) -> OfficialApi:
    return OfficialApi(client)


def paged(*pages: list[dict[str, Any]]) -> Callable[[dict[str, Any]], object]:
    """A paginated function whose cursors are the numbers of its pages."""

    def page(args: dict[str, Any]) -> object:
        number = int(args["paginationOpts"]["cursor"] or 0)
        last = number == len(pages) - 1
        return {"page": pages[number], "isDone": last, "continueCursor": str(number + 1)}

    return page


def test_a_call_says_who_calls(client: ScriptedClient, api: OfficialApi) -> None:
    client.answers["/api/query"] = (200, {"status": "success", "value": 1})
    client.answers["/api/function"] = (200, {"status": "success"})
    api.call("query", "a:f", {"n": 1})
    api.call("query", "a:f", admin=True)
    api.call("query", "a:f", identity={"subject": "ada", "issuer": "https://a.example"})
    api.call("query", "a:f", identity={"subject": "ada", "tokenIdentifier": "own"}, admin=True)
    api.call(None, "a:f", component="one/two")
    nobody, admin, ada, own, component = client.asked
    assert "Authorization" not in nobody.headers
    assert nobody.body == {"path": "a:f", "args": {"n": 1}, "format": "convex_encoded_json"}
    assert admin.headers["Authorization"] == "Convex key"

    def user(authorization: str) -> Any:
        key, _, encoded = authorization.partition(":")
        assert key == "Convex key"
        return json.loads(base64.b64decode(encoded))

    said = {"subject": "ada", "issuer": "https://a.example"}
    identifier = "https://a.example|ada"
    assert user(ada.headers["Authorization"]) == {**said, "tokenIdentifier": identifier}
    assert user(own.headers["Authorization"]) == {"subject": "ada", "tokenIdentifier": "own"}
    assert component.path == "/api/function"
    assert component.body["componentPath"] == "one/two"


def test_what_a_function_throws_is_a_result_whatever_the_status(
    client: ScriptedClient, api: OfficialApi
) -> None:
    thrown = {"status": "error", "errorMessage": "no", "errorData": {"why": 1}, "logLines": ["a"]}
    told = FunctionResult(error="no", error_data={"why": 1}, log_lines=("a",))
    for status in (200, 560):
        client.answers["/api/mutation"] = (status, thrown)
        assert api.call("mutation", "a:f") == told
    client.answers["/api/mutation"] = (200, {"status": "success", "value": [1], "logLines": [{}]})
    assert api.call("mutation", "a:f") == FunctionResult([1], log_lines=("{}",))


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (500, {"status": "success"}, "a call of a:f with HTTP 500"),
        (400, {"status": "error"}, "a call of a:f with HTTP 400"),
        (200, {"status": "perhaps"}, "a call of a:f unexpectedly"),
        (200, "no JSON", "a call of a:f unexpectedly"),
    ],
)
def test_an_answer_that_tells_of_no_function_is_nobodys_code(
    status: int, answer: object, message: str, client: ScriptedClient, api: OfficialApi
) -> None:
    client.answers["/api/query"] = (status, answer)
    with pytest.raises(InfrastructureError, match=message):
        api.call("query", "a:f")


def test_all_pages_are_read_each_from_the_last_ones_cursor(
    client: ScriptedClient, api: OfficialApi
) -> None:
    client.system["cli/tableData"] = paged([{"n": 1}, {"n": 2}], [], [{"n": 3}])
    assert api.documents("t") == [{"n": 1}, {"n": 2}, {"n": 3}]
    calls = client.calls("cli/tableData")
    assert [each["paginationOpts"]["cursor"] for each in calls] == [None, "1", "2"]
    assert {(each["table"], each["order"]) for each in calls} == {("t", "asc")}


def test_the_ids_of_inserted_documents_are_in_the_order_of_the_documents(
    client: ScriptedClient, api: OfficialApi
) -> None:
    client.system["frontend/addDocument"] = lambda args: {"success": True}
    newest = [{"_id": "2", "_creationTime": 2, "n": 2}, {"_id": "1", "_creationTime": 1, "n": 1}]
    client.system["frontend/listTableScan"] = lambda args: newest
    assert api.insert("t", [{"n": 1}, {"n": 2}]) == ["1", "2"]
    (scan,) = client.calls("frontend/listTableScan")
    assert scan == {"table": "t", "limit": 2}
    with pytest.raises(InfrastructureError, match="something else writes"):
        api.insert("t", [{"n": 2}, {"n": 1}])


def test_documents_that_are_refused_are_the_cases_fault(
    client: ScriptedClient, api: OfficialApi
) -> None:
    def thrown(args: dict[str, Any]) -> object:
        raise ValueError("no such field")

    client.system["frontend/addDocument"] = thrown
    with pytest.raises(ValueError, match=r"^no such field$"):
        api.insert("t", [{"n": 1}])
    client.system["frontend/addDocument"] = lambda args: {"success": False, "error": "wrong"}
    with pytest.raises(ValueError, match=r"^wrong$"):
        api.insert("t", [{"n": 1}])
    assert client.calls("frontend/listTableScan") == []


def test_one_call_inserts_4096_documents_at_most_and_none_is_no_call(
    client: ScriptedClient, api: OfficialApi
) -> None:
    assert api.insert("t", []) == []
    with pytest.raises(ValueError, match="at most 4096"):
        api.insert("t", [{}] * 4097)
    assert client.asked == []
    client.system["frontend/addDocument"] = lambda args: {"success": True}
    client.system["frontend/listTableScan"] = lambda args: [{"_id": "a"}] * args["limit"]
    assert len(api.insert("t", [{}] * 4096)) == 4096


def test_a_document_is_deleted_from_the_table_that_has_it(
    client: ScriptedClient, api: OfficialApi
) -> None:
    documents = {"one": [{"_id": "a"}], "two": [{"_id": "b"}, {"_id": "c"}]}
    client.system["cli/tables"] = paged([{"name": "one"}], [{"name": "two"}])
    client.system["cli/tableData"] = lambda args: paged(documents[args["table"]])(args)
    client.system["frontend/deleteDocuments"] = lambda args: {"success": True}
    with pytest.raises(ValueError, match=r"nonexistent document ID d$"):
        api.delete(["a", "d"])
    assert client.calls("frontend/deleteDocuments") == [], "all or none"
    api.delete(["c", "a"])
    (deleted,) = client.calls("frontend/deleteDocuments")
    assert deleted["toDelete"] == [
        {"id": "c", "tableName": "two"},
        {"id": "a", "tableName": "one"},
    ]
    client.system["frontend/deleteDocuments"] = lambda args: {"success": False}
    with pytest.raises(InfrastructureError, match="did not delete"):
        api.delete(["a"])


def test_every_table_of_the_app_and_its_components_is_cleared_to_its_end(
    client: ScriptedClient, api: OfficialApi
) -> None:
    components = [{"id": "x", "path": "one"}, {"id": "main", "path": ""}]
    client.system["frontend/components:list"] = lambda args: components
    client.system["cli/tables"] = paged([{"name": "t"}])
    client.system["frontend/clearTablePage"] = lambda args: {
        "hasMore": args["cursor"] is None,
        "continueCursor": "next",
    }
    api.clear_documents()
    cleared = [
        (each["tableName"], each["componentId"], each["cursor"])
        for each in client.calls("frontend/clearTablePage")
    ]
    first = [("t", "x", None), ("t", "x", "next")]
    assert cleared == [*first, ("t", "main", None), ("t", "main", "next")]
    asked = [each for each in client.asked if each.body["path"] == "_system/cli/tables"]
    assert [(each.path, each.body.get("componentPath")) for each in asked] == [
        ("/api/function", "one"),
        ("/api/query", None),
    ]


def test_the_app_is_cleared_before_anything_was_pushed(
    client: ScriptedClient, api: OfficialApi
) -> None:
    client.system["frontend/components:list"] = lambda args: []
    client.system["cli/tables"] = paged([{"name": "t"}])
    client.system["frontend/clearTablePage"] = lambda args: {
        "hasMore": False,
        "continueCursor": None,
    }
    api.clear_documents()
    (cleared,) = client.calls("frontend/clearTablePage")
    assert cleared == {"tableName": "t", "cursor": None, "componentId": None}


@pytest.mark.parametrize("table", ["_scheduled_functions", "_storage"])
def test_what_no_function_clears_is_told(
    table: str, client: ScriptedClient, api: OfficialApi
) -> None:
    client.system["cli/tableData"] = paged([])
    assert api.leftovers() == []
    client.system["cli/tableData"] = lambda args: paged([{}] if args["table"] == table else [])(
        args
    )
    assert api.leftovers() == [table]


def test_variables_are_read_and_set(client: ScriptedClient, api: OfficialApi) -> None:
    client.system["cli/queryEnvironmentVariables"] = lambda args: [{"name": "A", "value": "1"}]
    assert api.variables() == {"A": "1"}
    api.set_variables({"A": "2", "B": None})
    sent = client.asked[-1]
    assert sent.headers["Authorization"] == "Convex key"
    assert sent.body == {"changes": [{"name": "A", "value": "2"}, {"name": "B", "value": None}]}
    client.answers["/api/update_environment_variables"] = (400, "a bad name")
    with pytest.raises(InfrastructureError, match="HTTP 400") as raised:
        api.set_variables({"A": "2"})
    assert raised.value.detail == "a bad name"


def test_the_site_has_no_slash_at_its_end(client: ScriptedClient, api: OfficialApi) -> None:
    client.answers["/api/v1/get_canonical_urls"] = (200, {"convexSiteUrl": "http://a.example/"})
    assert api.site_url() == "http://a.example"
    client.answers["/api/v1/get_canonical_urls"] = (200, {})
    with pytest.raises(InfrastructureError, match="does not say where"):
        api.site_url()


def test_a_system_function_that_fails_or_says_something_else_is_nobodys_code(
    client: ScriptedClient, api: OfficialApi
) -> None:
    client.answers["/api/query"] = (200, {"status": "error", "errorMessage": "gone"})
    with pytest.raises(InfrastructureError, match="_system/cli/tables failed") as raised:
        api.tables()
    assert raised.value.detail == "gone"
    client.system["cli/tables"] = lambda args: {"page": []}
    with pytest.raises(InfrastructureError, match="says something unexpected"):
        api.tables()
    client.system["frontend/components:list"] = lambda args: [{"path": ""}]
    with pytest.raises(InfrastructureError, match="unexpected of its components"):
        api.clear_documents()
