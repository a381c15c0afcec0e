"""What steps need of a deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import JsonValue

from pytest_convex_eval.deployment.model import FunctionResult, HttpAnswer

ISSUER = "https://auth.example.com"
"""Who vouches for a caller, unless the step says."""


class Target(Protocol):
    """A deployment with an answer live on it; see `EmbeddedDeployment` for what each call does."""

    @property
    def url(self) -> str: ...

    @property
    def site_url(self) -> str: ...

    def alive(self) -> bool: ...

    def reset_data(self, now: float | None = None) -> None: ...

    def set_environment(self, changes: Mapping[str, str | None]) -> None: ...

    def allow_origins(self, origins: Sequence[str]) -> None: ...

    def query(
        self,
        path: str,
        args: Mapping[str, JsonValue] | None = None,
        *,
        identity: Mapping[str, JsonValue] | None = None,
        admin: bool = False,
    ) -> FunctionResult: ...

    def mutation(
        self,
        path: str,
        args: Mapping[str, JsonValue] | None = None,
        *,
        identity: Mapping[str, JsonValue] | None = None,
        admin: bool = False,
    ) -> FunctionResult: ...

    def action(
        self,
        path: str,
        args: Mapping[str, JsonValue] | None = None,
        *,
        identity: Mapping[str, JsonValue] | None = None,
        admin: bool = False,
    ) -> FunctionResult: ...

    def http(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
    ) -> HttpAnswer: ...

    def fetch(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
    ) -> HttpAnswer: ...

    def insert(self, table: str, documents: Sequence[Mapping[str, JsonValue]]) -> list[str]: ...

    def delete(self, ids: Sequence[str]) -> None: ...

    def documents(self, table: str) -> list[dict[str, JsonValue]]: ...

    def advance(self, seconds: float) -> list[str]: ...
