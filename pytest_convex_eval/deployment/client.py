"""Requests to a deployment's HTTP API, on this machine and never through a proxy."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from pydantic import JsonValue

from pytest_convex_eval.outcomes import InfrastructureError


@dataclass(frozen=True, slots=True)
class Client:
    """One connection a request: a server started anew is never asked through an old socket."""

    url: str
    admin_key: str
    timeout_seconds: float = 10.0

    def get(self, path: str) -> JsonValue:
        """The JSON at `path`. Raises InfrastructureError for any other answer than 200."""
        return self._request("GET", path, None)

    def post(self, path: str, body: JsonValue = None) -> JsonValue:
        """The JSON that `path` answers to `body`. Raises InfrastructureError like `get`."""
        return self._request("POST", path, body)

    def text(self, path: str) -> str:
        """The body at `path`, as it is. Raises InfrastructureError like `get`."""
        return self._raw("GET", path, None)

    def _request(self, method: str, path: str, body: JsonValue) -> JsonValue:
        text = self._raw(method, path, body)
        try:
            return cast(JsonValue, json.loads(text))
        except ValueError as error:
            raise InfrastructureError(
                f"the deployment's answer to {method} {path} is no JSON", detail=text
            ) from error

    def _raw(self, method: str, path: str, body: JsonValue) -> str:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=self.timeout_seconds
        )
        headers = {
            "Authorization": f"Convex {self.admin_key}",
            "Content-Type": "application/json",
            "Connection": "close",
        }
        try:
            connection.request(
                method, path, json.dumps(body) if method == "POST" else None, headers
            )
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise InfrastructureError(
                f"the deployment at {self.url} does not answer {method} {path}", detail=repr(error)
            ) from error
        finally:
            connection.close()
        if response.status != 200:
            raise InfrastructureError(
                f"the deployment answered {method} {path} with HTTP {response.status}", detail=text
            )
        return text
