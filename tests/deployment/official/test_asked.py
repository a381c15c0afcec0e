"""Rows are asked of our deployment and of one at a URL alike, and tell what does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.remote import RemoteDeployment
from tests.deployment.fixtures import Bundle
from tests.deployment.official.apps import apps
from tests.deployment.official.asked import Asked
from tests.deployment.official.form import RowsFile, Section
from tests.deployment.official.tokens import Tokens

SHARED = """
section: s
auth: true
schema: |
  notes: defineTable({ text: v.string() }),
rows:
  - name: a mutation
    mutation: |
      if (args.fail) throw new ConvexError("as asked");
      console.log(args.text);
      return await ctx.db.insert("notes", { text: args.text });
    steps: STEPS
  - name: an identity
    query: |
      return (await ctx.auth.getUserIdentity())?.subject ?? null;
    steps: STEPS
  - name: a route
    http_action: |
      return Response.json({ path: new URL(request.url).pathname, body: await request.text() });
    steps: STEPS
  - name: a variable
    query: |
      return process.env[args.name] ?? null;
    steps: STEPS
"""
NUMBERS = {"a mutation": 0, "an identity": 1, "a route": 2, "a variable": 3}


@pytest.fixture(params=["embedded", "url"])
def asked(
    request: pytest.FixtureRequest,
    deployment: EmbeddedDeployment,
    tokens: Tokens,
    tmp_path: Path,
) -> Iterator[Asked]:
    if request.param == "embedded":
        yield Asked(deployment, tokens)
        return
    with RemoteDeployment(deployment.url, deployment.admin_key, tmp_path / "locks") as remote:
        yield Asked(remote, tokens)


def differing(asked: Asked, bundle: Bundle, row: str, steps: str) -> list[str]:
    data = yaml.safe_load(SHARED.replace("STEPS", "[{kind: query, error: x}]"))
    data["rows"][NUMBERS[row]]["steps"] = yaml.safe_load(steps)
    (app,) = apps(Section("s", RowsFile.model_validate(data)))
    asked.have(app, bundle(app.files(asked.tokens.config)))
    return asked.differences(app.rows[NUMBERS[row]])


@pytest.mark.parametrize(
    ("row", "steps"),
    [
        ("a mutation", "[{args: {text: hi}, value: …, logs: [\"[LOG] 'hi'\"]}]"),
        ("a mutation", "[{args: {fail: true}, error: Uncaught ConvexError…, data: as asked}]"),
        (
            "a mutation",
            """
            - {args: {text: hi}, save: id, value: …}
            - {insert: {notes: [{text: "of ${id}"}]}, save: ids}
            - {table: notes, documents: [{_id: "${id}", text: hi}, {text: "of ${id}"}]}
            """,
        ),
        ("an identity", "[{value: null}, {identity: {subject: bob}, value: bob}]"),
        ("an identity", "[{token: {}, value: ada}, {token: {claims: {sub: eve}}, value: eve}]"),
        ("a route", "[{request: POST /x, body: hi, answers: {path: /a_route/x, body: hi}}]"),
        ("a route", "[{request: GET, status: 200, answer_headers: {nothing: null}}]"),
        (
            "a variable",
            """
            - request: POST /api/update_environment_variables
              admin: true
              json: {changes: [{name: COLOUR, value: red}]}
              status: 200
            - {args: {name: COLOUR}, value: red}
            """,
        ),
    ],
)
def test_what_holds_is_no_difference(asked: Asked, bundle: Bundle, row: str, steps: str) -> None:
    assert differing(asked, bundle, row, steps) == []


@pytest.mark.parametrize(
    ("row", "steps", "told"),
    [
        ("a mutation", "[{args: {text: hi}, value: hi}]", "step 0: value: expected 'hi', found"),
        ("a mutation", "[{args: {text: hi}, value: …, logs: []}]", "step 0: logs: expected []"),
        ("a mutation", "[{args: {fail: true}, value: …}]", "step 0: it fails: "),
        ("a mutation", "[{args: {fail: true}, error: other}]", "step 0: error: expected 'other'"),
        ("a mutation", "[{args: {text: hi}, error: other}]", "and it returned "),
        (
            "a mutation",
            "[{args: {fail: true}, error: …, data: other}]",
            "step 0: data: expected 'other', found 'as asked'",
        ),
        (
            "a mutation",
            "[{args: {text: hi}, value: …}, {table: notes, documents: []}]",
            "step 1: notes: expected [], found [{'text': 'hi'}]",
        ),
        ("an identity", "[{token: {signed: false}, value: ada}]", "step 0: HTTP 401: "),
        ("an identity", "[{identity: {subject: bob}, value: ada}]", "expected 'ada', found 'bob'"),
        ("a route", "[{request: GET, status: 201}]", "step 0: status: expected 201, found 200"),
        ("a route", "[{request: GET, answers: x}]", "step 0: answers: expected 'x'"),
        (
            "a route",
            "[{request: GET, answer_headers: {content-type: text/plain}}]",
            "step 0: header content-type: expected 'text/plain', found 'application/json'",
        ),
    ],
)
def test_what_does_not_hold_is_told(
    asked: Asked, bundle: Bundle, row: str, steps: str, told: str
) -> None:
    found = differing(asked, bundle, row, steps)
    assert told in "\n".join(found)


def test_documents_and_variables_of_one_row_are_not_there_for_the_next(
    asked: Asked, bundle: Bundle
) -> None:
    change = "{changes: [{name: COLOUR, value: red}]}"
    path = "POST /api/update_environment_variables"
    steps = f"[{{request: {path}, admin: true, json: {change}, status: 200}}]"
    assert differing(asked, bundle, "a variable", steps) == []
    assert differing(asked, bundle, "a mutation", "[{args: {text: hi}, value: …}]") == []
    assert differing(asked, bundle, "a variable", "[{args: {name: COLOUR}, value: null}]") == []
    assert differing(asked, bundle, "a mutation", "[{table: notes, documents: []}]") == []
