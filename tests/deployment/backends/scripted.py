"""A backend's API without a backend: answers as it is told, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.model import HttpAnswer

System: TypeAlias = Callable[[dict[str, Any]], object]
"""What a system function returns, by its arguments."""


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class ScriptedClient(Client):
    """`answers` by the path of a request; `system` by the name of a system function."""

    url: str = "http://127.0.0.1:1"
    admin_key: str = "key"
    answers: dict[str, tuple[int, object]] = field(default_factory=dict)
    system: dict[str, System] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> HttpAnswer:
        request = Asked(method, path, headers, json.loads(body) if body else None)
        self.asked.append(request)
        name = request.body.get("path", "") if isinstance(request.body, dict) else ""
        status, content = self.answers.get(path, (200, {}))
        if function := self.system.get(name.removeprefix("_system/")):
            try:
                content = {"status": "success", "value": function(request.body["args"])}
            except ValueError as error:
                content = {"status": "error", "errorMessage": "Server Error", "errorData": None}
                content["errorData"] = error.args[0]
        text = content if isinstance(content, str) else json.dumps(content)
        return HttpAnswer(status, (), text.encode())

    def calls(self, name: str) -> list[Any]:
        """The arguments of each call of a system function."""
        path = f"_system/{name}"
        return [
            each.body["args"]
            for each in self.asked
            if each.body is not None and each.body.get("path") == path
        ]
