"""What the fixtures of this folder are, for those who are typed by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.push import PushResult
from tests.patience import HANG_SECONDS

NEWEST = "1.48.0"
"""Of the versions of `convex` that are tested, the last."""

Files: TypeAlias = Mapping[str, str]
Request: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a server answered: JSON where it is, or else its text."""

    status: int
    body: Any


class NpmInstall(Protocol):
    def __call__(self, *packages: str) -> Path: ...


class OfVersion(Protocol):
    """A folder that belongs to a version of `convex`."""

    def __call__(self, version: str = NEWEST) -> Path: ...


class MakeProject(Protocol):
    def __call__(
        self,
        files: Files,
        *,
        version: str = NEWEST,
        name: str = "project",
        modules: Path | None = None,
    ) -> Path: ...


class Bundle(Protocol):
    def __call__(self, files: Files, *, name: str = "project") -> Request: ...


class Ask(Protocol):
    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        raw: bytes | None = None,
        encoding: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer: ...


class PushOverHttp(Protocol):
    def __call__(self, request: Request) -> Answer: ...


class PushOnce(Protocol):
    def __call__(self, files: Files) -> EmbeddedDeployment: ...


class PushWithUsers(Protocol):
    """Pushes files to the empty deployment, which then trusts the tokens of `issuer`."""

    def __call__(self, files: Files) -> EmbeddedDeployment: ...


class PushProject(Protocol):
    def __call__(
        self, project: Path, *, deadline_seconds: float = HANG_SECONDS, codegen: bool = False
    ) -> PushResult: ...
