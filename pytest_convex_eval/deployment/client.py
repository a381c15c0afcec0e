"""Requests to a deployment's HTTP API, never through a proxy."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from pydantic import JsonValue

from pytest_convex_eval.deployment.model import HttpAnswer
from pytest_convex_eval.outcomes import InfrastructureError


class DeadlineError(InfrastructureError):
    """There was no answer in time. Whether the pushed code is to blame, the caller must know."""


class BrokenOffError(InfrastructureError):
    """An answer ended too soon. Whether the pushed code is to blame, the caller must know."""


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
        return self.parse(self._raw(method, path, body))

    @staticmethod
    def parse(text: str | bytes) -> JsonValue:
        """The JSON of an answer. Raises InfrastructureError when it is none."""
        try:
            return cast(JsonValue, json.loads(text))
        except ValueError as error:
            shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
            raise InfrastructureError("the deployment's answer is no JSON", detail=shown) from error

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> HttpAnswer:
        """Whatever is answered. Raises InfrastructureError when nothing is, DeadlineError when it
        takes too long, BrokenOffError when a part is missing."""
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=self.timeout_seconds)
        response: http.client.HTTPResponse | None = None
        try:
            connection.request(method, path, body, {**headers, "Connection": "close"})
            response = connection.getresponse()
            content = _read(response, time.monotonic() + self.timeout_seconds)
        except TimeoutError as error:
            raise DeadlineError(
                f"the deployment at {self.url} did not answer {method} {path} within "
                f"{self.timeout_seconds:g} s"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            if response is not None:
                answer = f"answer to {method} {path} (HTTP {response.status})"
                raise BrokenOffError(f"the deployment's {answer} breaks off") from error
            raise InfrastructureError(
                f"the deployment at {self.url} does not answer {method} {path}", detail=repr(error)
            ) from error
        finally:
            connection.close()
        return HttpAnswer(response.status, tuple(response.getheaders()), content)

    def _raw(self, method: str, path: str, body: JsonValue) -> str:
        headers = {
            "Authorization": f"Convex {self.admin_key}",
            "Content-Type": "application/json",
        }
        content = json.dumps(body).encode() if method == "POST" else None
        answer = self.send(method, path, headers, content)
        text = answer.body.decode("utf-8", "replace")
        if answer.status != 200:
            raise InfrastructureError(
                f"the deployment answered {method} {path} with HTTP {answer.status}", detail=text
            )
        return text


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """The whole body, however slowly it comes. Raises TimeoutError, IncompleteRead, OSError."""
    parts: list[bytes] = []
    while part := response.read1(65536):
        parts.append(part)
        if time.monotonic() > deadline:
            raise TimeoutError
    content = b"".join(parts)
    if response.length:
        raise http.client.IncompleteRead(content, response.length)
    return content
