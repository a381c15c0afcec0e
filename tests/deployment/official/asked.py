"""A deployment that rows ask: ours, or any at a URL, by the same requests."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.model import HttpAnswer
from pytest_convex_eval.deployment.official_api import OfficialApi
from pytest_convex_eval.deployment.remote import RemoteDeployment
from tests.deployment.fixtures import Answer, Request
from tests.deployment.official.apps import App, function_path, route
from tests.deployment.official.form import Advance, Call, Insert, Row, Stored, Token
from tests.deployment.official.form import Request as HttpRequest
from tests.deployment.official.matching import filled, matches, text_matches, told_error
from tests.deployment.official.tokens import Tokens
from tests.patience import HANG_SECONDS

WAIT_MILLISECONDS = 10_000
"""As the CLI asks: a deployment may say before that its indexes are not ready yet."""
_SYSTEM_FIELDS = ("_id", "_creationTime")


@dataclass
class Asked:
    """`deployment` is empty at first; whose rows it has is known here."""

    deployment: EmbeddedDeployment | RemoteDeployment
    tokens: Tokens
    pushed: App | None = None
    variables: frozenset[str] = frozenset()
    """That were set before any row came."""

    @property
    def ours(self) -> bool:
        return isinstance(self.deployment, EmbeddedDeployment)

    def have(self, app: App, request: Request) -> None:
        """The app is live, without documents. Raises AssertionError where the push is refused."""
        if self.pushed is not app:
            self.empty(app)
            answer = self.push(request)
            assert answer.status == 200, f"{app.name}: {answer.body}"
            self.pushed = app
        else:
            self.deployment.reset_data()

    def empty(self, app: App) -> None:
        """Nothing but the app's environment variables, for a push."""
        self.pushed = None
        self.deployment.reset()
        set_now = OfficialApi(self._client()).variables().keys() - self.variables
        if changes := {**dict.fromkeys(set_now), **app.variables}:
            self.deployment.set_environment(changes)

    def push(self, request: Request) -> Answer:
        """What the deployment answers to what the CLI sends: the first refusal, or the last."""
        key = {"adminKey": self.deployment.admin_key}
        started = self._post("start_push", {**request, **key})
        if started.status != 200:
            return started
        change = {"schemaChange": started.body["schemaChange"], "timeoutMs": WAIT_MILLISECONDS}
        while True:
            waited = self._post("wait_for_schema", {**key, **change, "dryRun": False})
            if waited.status != 200 or waited.body.get("type") == "failed":
                return Answer(max(waited.status, 400), waited.body)
            if waited.body.get("type") != "inProgress":
                break
        finish = {**key, "startPush": started.body, "dryRun": False, "message": None}
        return self._post("finish_push", finish)

    def _post(self, what: str, body: Mapping[str, Any]) -> Answer:
        headers = {
            "Authorization": f"Convex {self.deployment.admin_key}",
            "Content-Type": "application/json",
        }
        content = json.dumps(body).encode()
        answer = self._client().send("POST", f"/api/deploy2/{what}", headers, content)
        return Answer(answer.status, _parsed(answer))

    def _client(self) -> Client:
        return Client(self.deployment.url, self.deployment.admin_key, HANG_SECONDS)

    def differences(self, row: Row) -> list[str]:
        """What does not hold of a row whose app is live: step by step, until one differs."""
        asking = _Asking(self, row)
        for number, step in enumerate(row.steps):
            if found := asking.take(step):
                return [f"step {number}: {each}" for each in found]
        return []


@dataclass
class _Asking:
    """A row on its way."""

    asked: Asked
    row: Row
    saved: dict[str, JsonValue] = field(default_factory=dict)

    def take(self, step: object) -> list[str]:
        deployment = self.asked.deployment
        match step:
            case Call():
                return self._call(step)
            case HttpRequest():
                return self._request(step)
            case Insert():
                ids: list[JsonValue] = []
                for table, documents in step.insert.items():
                    ids += deployment.insert(table, [self._object(each) for each in documents])
                self._save(step.save, ids)
                return []
            case Advance():
                deployment.advance(step.advance)
                return []
            case Stored():
                return self._stored(step)
            case _:
                raise AssertionError(f"no such step: {step!r}")

    def _call(self, step: Call) -> list[str]:
        body = {
            "path": function_path(self.row, step.call),
            "args": filled(step.args, self.saved),
            "format": "convex_encoded_json",
        }
        headers = {"Content-Type": "application/json", **self._by(step.token, step.admin)}
        if step.identity is not None:
            headers["Authorization"] = self._as(step.identity)
        client = Client(self.asked.deployment.url, "", HANG_SECONDS)
        kind = step.kind or self.row.kind
        answer = client.send("POST", f"/api/{kind}", headers, json.dumps(body).encode())
        came = _parsed(answer)
        given = step.model_fields_set
        if answer.status not in (200, 560) or not isinstance(came, dict):
            return [f"HTTP {answer.status}: {came}"]
        wrong: list[str] = []
        if "error" in given:
            wrong += self._text("error", step.error, told_error(str(came.get("errorMessage", ""))))
            if came["status"] == "success":
                wrong = [f"error: expected {step.error!r}, and it returned {came['value']!r}"]
        elif came["status"] == "error":
            return [f"it fails: {came['errorMessage']}"]
        if "value" in given:
            wrong += self._same("value", step.value, came.get("value"))
        if "data" in given:
            wrong += self._same("data", step.data, came.get("errorData"))
        if step.logs is not None:
            wrong += self._same("logs", [*step.logs], came.get("logLines", []))
        self._save(step.save, came.get("value"))
        return wrong

    def _request(self, step: HttpRequest) -> list[str]:
        deployment = self.asked.deployment
        path = str(filled(step.path, self.saved))
        site = step.to == "site" or self.row.http_action is not None
        base = deployment.site_url if site else deployment.url
        if self.row.http_action is not None and step.to != "site":
            path = route(self.row) + path
        for own in (deployment.url, deployment.site_url):
            if path.startswith(f"/{own}/"):
                base, path = own, path.removeprefix(f"/{own}")
        headers = {k: str(filled(v, self.saved)) for k, v in step.headers.items()}
        headers = self._by(step.token, step.admin) | headers
        content = None if step.body is None else str(filled(step.body, self.saved)).encode()
        if "json_" in step.model_fields_set:
            headers.setdefault("Content-Type", "application/json")
            content = json.dumps(filled(step.json_, self.saved)).encode()
        if "environment" in path:
            self.asked.pushed = None  # The next row has the variables that it should.
        answer = Client(base, "", HANG_SECONDS).send(step.method, path or "/", headers, content)
        came = _parsed(answer)
        wrong: list[str] = []
        if step.status is not None:
            wrong += self._same("status", step.status, answer.status)
        if "answers" in step.model_fields_set:
            text = answer.body.decode("utf-8", "replace")
            found = text if isinstance(step.answers, str) else came
            wrong += self._same("answers", step.answers, found)
        named = {name.lower(): value for name, value in answer.headers}
        for name, value in step.answer_headers.items():
            wrong += self._same(f"header {name}", value, named.get(name))
        if wrong:
            wrong.append(f"the answer: HTTP {answer.status} {came!r}")
        self._save(step.save, came)
        return wrong

    def _stored(self, step: Stored) -> list[str]:
        found: list[JsonValue] = []
        for document in self.asked.deployment.documents(step.table):
            expected = step.documents[len(found)] if len(found) < len(step.documents) else {}
            left_out = [name for name in _SYSTEM_FIELDS if name not in expected]
            found.append({k: v for k, v in document.items() if k not in left_out})
        return self._same(step.table, [*step.documents], found)

    def _by(self, token: Token | None, admin: bool) -> dict[str, str]:
        if token is not None:
            return {"Authorization": f"Bearer {self.asked.tokens.make(token)}"}
        return {"Authorization": f"Convex {self.asked.deployment.admin_key}"} if admin else {}

    def _as(self, identity: Mapping[str, JsonValue]) -> str:
        user = {"tokenIdentifier": f"{identity.get('issuer', '')}|{identity.get('subject', '')}"}
        encoded = base64.b64encode(json.dumps({**user, **identity}).encode()).decode()
        return f"Convex {self.asked.deployment.admin_key}:{encoded}"

    def _object(self, value: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        made = filled({**value}, self.saved)
        assert isinstance(made, dict)
        return made

    def _save(self, name: str | None, value: JsonValue) -> None:
        if name is not None:
            self.saved[name] = value

    def _same(self, what: str, expected: JsonValue, found: JsonValue) -> list[str]:
        expected = filled(expected, self.saved)
        if matches(expected, found):
            return []
        return [f"{what}: expected {expected!r}, found {found!r}"]

    def _text(self, what: str, expected: str | None, found: str) -> list[str]:
        wanted = str(filled(expected, self.saved)).rstrip()
        return (
            [] if text_matches(wanted, found) else [f"{what}: expected {wanted!r}, found {found!r}"]
        )


def _parsed(answer: HttpAnswer) -> Any:
    """JSON where it is, or else the text."""
    text = answer.body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text
