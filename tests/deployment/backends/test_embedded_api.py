"""Calls to the embedded server, and what is made of its answers."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_convex_eval.deployment.embedded_api import EmbeddedApi
from pytest_convex_eval.deployment.model import FunctionResult, Usage
from pytest_convex_eval.outcomes import InfrastructureError
from tests.deployment.backends.scripted import ScriptedClient

CALL = "/api/convex_eval/call"


@pytest.fixture
def client() -> ScriptedClient:
    return ScriptedClient()


@pytest.fixture
def calls(client: ScriptedClient) -> EmbeddedApi:
    return EmbeddedApi(client, ScriptedClient(url="http://127.0.0.1:2"))


def answer(client: ScriptedClient, **said: object) -> None:
    client.answers[CALL] = (200, {"status": "success", **said})


def test_a_call_says_what_is_called_and_by_whom(client: ScriptedClient, calls: EmbeddedApi) -> None:
    answer(client)
    calls.call("query", "a:f", {"n": 1})
    calls.call(None, "a:f", identity={"subject": "ada"}, admin=True)
    plain, admin = (each.body for each in client.asked)
    assert plain == {
        "kind": "query",
        "path": "a:f",
        "args": {"n": 1},
        "identity": None,
        "admin": False,
    }
    assert admin == {
        "kind": None,
        "path": "a:f",
        "args": {},
        "identity": {"subject": "ada"},
        "admin": True,
    }


def test_each_count_of_a_calls_usage_is_its_own(client: ScriptedClient, calls: EmbeddedApi) -> None:
    names = ("documentsRead", "bytesRead", "databaseQueries", "documentsWritten", "bytesWritten")
    usage = {name: number for number, name in enumerate(names, start=1)}
    answer(client, value=5, logLines=["a"], usage={**usage, "functions": 6})
    assert calls.call("mutation", "a:f") == FunctionResult(
        5,
        log_lines=("a",),
        usage=Usage(
            documents_read=1,
            bytes_read=2,
            index_ranges=3,
            documents_written=4,
            bytes_written=5,
            functions=6,
        ),
    )


def test_a_failure_has_its_message_data_and_lines(
    client: ScriptedClient, calls: EmbeddedApi
) -> None:
    answer(client, status="error", errorMessage="no", errorData=[1], logLines=["a"], value=5)
    assert calls.call("query", "a:f") == FunctionResult(
        error="no", error_data=[1], log_lines=("a",)
    )
    answer(client, status="error")
    assert calls.call("query", "a:f").error == "", "a failure without words is one"


@pytest.mark.parametrize("said", [{"status": "perhaps"}, {"status": None}, {"logLines": 5}])
def test_an_answer_that_is_none_is_ours(
    said: dict[str, Any], client: ScriptedClient, calls: EmbeddedApi
) -> None:
    answer(client, **said)
    with pytest.raises(InfrastructureError, match="a call of a:f unexpectedly"):
        calls.call("query", "a:f")


def test_what_the_deployment_refuses_is_told_without_the_requests_id(
    client: ScriptedClient, calls: EmbeddedApi
) -> None:
    for text, told in (("[Request ID: 1] Server Error\nno\nway", "no\nway"), ("no", "no")):
        answer(client, status="error", errorMessage=text)
        for refused in (
            lambda: calls.insert("t", [{"n": 1}]),
            lambda: calls.delete(["1"]),
            lambda: calls.documents("t"),
        ):
            with pytest.raises(ValueError, match=rf"^{told}$"):
                refused()
    assert len(client.asked) == 6


def test_documents_are_written_and_read_past_all_functions(
    client: ScriptedClient, calls: EmbeddedApi
) -> None:
    answer(client, value=["1", "2"])
    assert calls.insert("t", [{"n": 1}, {"n": 2}]) == ["1", "2"]
    calls.delete(["1"])
    answer(client, value=[{"_id": "2"}])
    assert calls.documents("t") == [{"_id": "2"}]
    assert [
        (each.body["kind"], each.body["path"], each.body["args"], each.body["admin"])
        for each in client.asked
    ] == [
        (
            "mutation",
            "_system/convex_eval/insert",
            {"table": "t", "documents": [{"n": 1}, {"n": 2}]},
            True,
        ),
        ("mutation", "_system/convex_eval/delete", {"ids": ["1"]}, True),
        ("query", "_system/convex_eval/documents", {"table": "t"}, True),
    ]


def test_the_clock_is_moved_in_milliseconds(client: ScriptedClient, calls: EmbeddedApi) -> None:
    failures = [{"path": "a:f", "error": "no"}, {"path": "a:g", "error": "nor"}]
    client.answers["/api/convex_eval/advance"] = (200, {"failures": failures})
    assert calls.advance(1.5) == ["a:f: no", "a:g: nor"]
    assert client.asked[0].body == {"ms": 1500}
    client.answers["/api/convex_eval/advance"] = (200, {})
    with pytest.raises(InfrastructureError, match="how the clock moved"):
        calls.advance(1)
