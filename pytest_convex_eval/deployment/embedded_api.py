"""Using what is deployed: calling functions, reading and writing documents, moving time.

Values are Convex's JSON form throughout: plain JSON, int64 as `{"$integer": base64}` and so on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.contract import Endpoint
from pytest_convex_eval.deployment.model import Arguments, By, FunctionResult, Usage
from pytest_convex_eval.functions import FunctionKind
from pytest_convex_eval.outcomes import InfrastructureError


class _Usage(BaseModel):
    documents_read: int = Field(alias="documentsRead")
    bytes_read: int = Field(alias="bytesRead")
    index_ranges: int = Field(alias="databaseQueries")
    documents_written: int = Field(alias="documentsWritten")
    bytes_written: int = Field(alias="bytesWritten")
    functions: int


class _Answer(BaseModel):
    status: Literal["success", "error"]
    value: JsonValue = None
    error_message: str | None = Field(default=None, alias="errorMessage")
    error_data: JsonValue = Field(default=None, alias="errorData")
    log_lines: tuple[str, ...] = Field(default=(), alias="logLines")
    usage: _Usage | None = None


_DOCUMENTS = TypeAdapter(list[dict[str, JsonValue]])
_IDS = TypeAdapter(list[str])


@dataclass(frozen=True, slots=True)
class _Addresses:
    url: str
    site_url: str
    admin_key: str


@dataclass(frozen=True, slots=True)
class EmbeddedApi(Endpoint):
    """Calls to the live functions of an embedded deployment."""

    client: Client
    site: Client

    def _running(self) -> _Addresses:
        return _Addresses(self.client.url, self.site.url, self.client.admin_key)

    def call(
        self, kind: FunctionKind | None, path: str, args: Arguments | None = None, **by: Unpack[By]
    ) -> FunctionResult:
        """Runs `path` as `Endpoint.call` says; with `kind` None whatever it is."""
        identity = by.get("identity")
        body: dict[str, JsonValue] = {
            "kind": kind,
            "path": path,
            "args": dict(args or {}),
            "identity": None if identity is None else dict(identity),
            "admin": by.get("admin", False),
        }
        try:
            answer = _Answer.model_validate(self.client.post("/api/convex_eval/call", body))
        except ValidationError as error:
            raise InfrastructureError(
                f"the deployment answered a call of {path} unexpectedly", detail=str(error)
            ) from error
        usage = None if answer.usage is None else Usage(**answer.usage.model_dump())
        if answer.status == "success":
            return FunctionResult(answer.value, log_lines=answer.log_lines, usage=usage)
        return FunctionResult(
            error=answer.error_message or "",
            error_data=answer.error_data,
            log_lines=answer.log_lines,
            usage=usage,
        )

    def insert(self, table: str, documents: Sequence[Mapping[str, JsonValue]]) -> list[str]:
        """Inserts documents; see `Deployment.insert`."""
        args: dict[str, JsonValue] = {
            "table": table,
            "documents": [dict(each) for each in documents],
        }
        result = self.call("mutation", "_system/convex_eval/insert", args, admin=True)
        if result.error is not None:
            raise ValueError(result.error.partition("\n")[2] or result.error)
        return _IDS.validate_python(result.value)

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes documents; see `Deployment.delete`."""
        result = self.call("mutation", "_system/convex_eval/delete", {"ids": [*ids]}, admin=True)
        if result.error is not None:
            raise ValueError(result.error.partition("\n")[2] or result.error)

    def documents(self, table: str) -> list[dict[str, JsonValue]]:
        """All documents of a table; see `Deployment.documents`."""
        result = self.call("query", "_system/convex_eval/documents", {"table": table}, admin=True)
        if result.error is not None:
            raise ValueError(result.error.partition("\n")[2] or result.error)
        return _DOCUMENTS.validate_python(result.value)

    def advance(self, seconds: float) -> list[str]:
        """Moves the clock forward; see `Deployment.advance`."""
        answer = self.client.post("/api/convex_eval/advance", {"ms": seconds * 1000})
        failures = answer.get("failures") if isinstance(answer, dict) else None
        if not isinstance(failures, list):
            raise InfrastructureError("the deployment did not say how the clock moved")
        return [f"{f['path']}: {f['error']}" for f in failures if isinstance(f, dict)]
