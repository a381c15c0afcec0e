"""The HTTP API that every Convex backend has: functions, and the system functions of the CLI.

Nothing here is our own server's alone. Values are Convex's JSON form throughout.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.described import (
    Components,
    ConfigHashes,
    components_of,
    describe,
)
from pytest_convex_eval.deployment.model import Deployed, FunctionResult, Identity
from pytest_convex_eval.functions import FunctionKind
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.text import well_formed_json

T = TypeVar("T")

SCHEDULED = "_scheduled_functions"
STORAGE = "_storage"

_PAGE = 1000
_MOST_DOCUMENTS = 4096
"""As many documents as one call of `addDocument` takes."""
_CLI_VERSION = "1.48.0"
"""The protocol of `get_config_hashes` as this version of the CLI speaks it."""
_FUNCTION_ERROR = 560
"""The status that a backend may give to what a function throws, instead of 200."""


class _Answer(BaseModel):
    status: Literal["success", "error"]
    value: JsonValue = None
    error_message: str = Field(default="", alias="errorMessage")
    error_data: JsonValue = Field(default=None, alias="errorData")
    log_lines: tuple[JsonValue, ...] = Field(default=(), alias="logLines")


class _Page(BaseModel):
    page: list[dict[str, JsonValue]]
    is_done: bool = Field(alias="isDone")
    cursor: str | None = Field(alias="continueCursor")


class _Cleared(BaseModel):
    has_more: bool = Field(alias="hasMore")
    cursor: str | None = Field(alias="continueCursor")


class _Urls(BaseModel):
    site: str = Field(alias="convexSiteUrl")


_LIST = TypeAdapter(list[dict[str, JsonValue]])


@dataclass(frozen=True, slots=True)
class OfficialApi:
    """Requests to one backend. Methods raise InfrastructureError when it answers unexpectedly."""

    client: Client

    def call(
        self,
        kind: FunctionKind | None,
        path: str,
        args: Mapping[str, JsonValue] | None = None,
        *,
        identity: Identity | None = None,
        admin: bool = False,
        component: str = "",
    ) -> FunctionResult:
        """Runs a function; `kind` None runs whatever it is, which only admins may.

        An `identity` can be had only as an admin who acts as that user.
        """
        body: dict[str, JsonValue] = {
            "path": path,
            "args": dict(args or {}),
            "format": "convex_encoded_json",
        }
        if component:
            body["componentPath"] = component
        headers = {"Content-Type": "application/json", **self._authorization(identity, admin)}
        route = f"/api/{kind or 'function'}"
        answer = self.client.send("POST", route, headers, json.dumps(body).encode())
        text = answer.body.decode("utf-8", "replace")
        if answer.status not in (200, _FUNCTION_ERROR):
            raise InfrastructureError(
                f"the deployment answered a call of {path} with HTTP {answer.status}", detail=text
            )
        try:
            read = _Answer.model_validate_json(well_formed_json(text))
        except ValidationError as error:
            raise InfrastructureError(
                f"the deployment answered a call of {path} unexpectedly", detail=str(error)
            ) from error
        lines = tuple(
            line if isinstance(line, str) else json.dumps(line) for line in read.log_lines
        )
        if read.status == "success":
            return FunctionResult(read.value, log_lines=lines)
        return FunctionResult(error=read.error_message, error_data=read.error_data, log_lines=lines)

    def check_key(self) -> None:
        """That the deployment takes the admin key."""
        self.client.post("/api/check_admin_key")

    def site_url(self) -> str:
        """Where it serves HTTP actions."""
        answer = self.client.text("/api/v1/get_canonical_urls")
        try:
            return _Urls.model_validate_json(answer).site.rstrip("/")
        except ValidationError as error:
            raise InfrastructureError(
                "the deployment does not say where it serves HTTP actions", detail=answer
            ) from error

    def deployed(self) -> Deployed:
        """What is live."""
        body: dict[str, JsonValue] = {"version": _CLI_VERSION, "adminKey": self.client.admin_key}
        hashes = self.client.post("/api/get_config_hashes", body)
        try:
            return describe(
                schemas=self._system("query", "frontend/getSchemas"),
                spec=self._system("query", "cli/modules:apiSpec"),
                crons=self._system("query", "frontend/listCronJobs"),
                components=self._components(),
                hashes=ConfigHashes.model_validate(hashes),
            )
        except ValidationError as error:
            raise InfrastructureError(
                "the deployment says something unexpected of what is live", detail=str(error)
            ) from error

    def variables(self) -> dict[str, str]:
        """The environment variables that are set."""
        found = self._system("query", "cli/queryEnvironmentVariables")
        return {str(each["name"]): str(each["value"]) for each in self._read(_LIST, found)}

    def set_variables(self, changes: Mapping[str, str | None]) -> None:
        """Sets environment variables; None deletes one."""
        listed: list[JsonValue] = [{"name": k, "value": v} for k, v in changes.items()]
        headers = {"Content-Type": "application/json", **self._authorization(None, True)}
        route = "/api/update_environment_variables"
        body = json.dumps({"changes": listed}).encode()
        # What a successful answer holds differs between versions.
        answer = self.client.send("POST", route, headers, body)
        if answer.status != 200:
            raise InfrastructureError(
                f"the deployment answered POST {route} with HTTP {answer.status}",
                detail=answer.body.decode("utf-8", "replace"),
            )

    def tables(self, component: str = "") -> list[str]:
        """The names of the tables that there are."""
        rows = self._pages("cli/tables", {}, component)
        return [str(row["name"]) for row in rows]

    def documents(self, table: str) -> list[dict[str, JsonValue]]:
        """All documents of a table that there is, the oldest first."""
        return list(self._pages("cli/tableData", {"table": table, "order": "asc"}, ""))

    def insert(self, table: str, documents: Sequence[Mapping[str, JsonValue]]) -> list[str]:
        """Inserts all documents or none; their ids, in order.

        The system function says no ids: they are read back, the newest documents of the table.
        Raises ValueError with the deployment's message for a document that it refuses.
        """
        given = [dict(each) for each in documents]
        if not given:
            return []
        if len(given) > _MOST_DOCUMENTS:
            raise ValueError(f"at most {_MOST_DOCUMENTS} documents can be inserted at once")
        args: dict[str, JsonValue] = {"table": table, "documents": list(given)}
        result = self.call("mutation", "_system/frontend/addDocument", args, admin=True)
        if not result.ok:
            thrown = result.error_data
            raise ValueError(thrown if isinstance(thrown, str) else result.error)
        if isinstance(result.value, dict) and result.value.get("success") is False:
            raise ValueError(str(result.value.get("error")))
        scan: dict[str, JsonValue] = {"table": table, "limit": len(given)}
        newest = self._read(_LIST, self._system("query", "frontend/listTableScan", scan))[::-1]
        found = [{k: v for k, v in row.items() if not k.startswith("_")} for row in newest]
        if found != given:
            raise InfrastructureError(
                f"the documents that were inserted into {table} can't be told from others: "
                "something else writes to that table"
            )
        return [str(row["_id"]) for row in newest]

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes all documents or none, of the app. Raises ValueError for one that is not there.

        The system function wants each one's table, which an id does not say: it is looked for.
        """
        tables = {
            document["_id"]: table for table in self.tables() for document in self.documents(table)
        }
        if missing := [each for each in ids if each not in tables]:
            raise ValueError(f"Delete on nonexistent document ID {missing[0]}")
        listed: list[JsonValue] = [{"id": each, "tableName": tables[each]} for each in ids]
        result = self._system("mutation", "frontend/deleteDocuments", {"toDelete": listed})
        if isinstance(result, dict) and result.get("success") is False:
            raise InfrastructureError("the deployment did not delete documents", detail=str(result))

    def clear_documents(self) -> None:
        """Deletes every document of the app and of its components."""
        for component in self._components():
            for table in self.tables(component.path):
                self._clear(table, component.id or None)

    def leftovers(self) -> list[str]:
        """The system tables that hold something, which no function of the backend clears."""
        return [table for table in (SCHEDULED, STORAGE) if self.documents(table)]

    def _clear(self, table: str, component_id: str | None) -> None:
        cursor: str | None = None
        while True:
            args: dict[str, JsonValue] = {
                "tableName": table,
                "cursor": cursor,
                "componentId": component_id,
            }
            answer = self._system("mutation", "frontend/clearTablePage", args)
            cleared = self._read(TypeAdapter(_Cleared), answer)
            if not cleared.has_more:
                return
            cursor = cleared.cursor

    def _components(self) -> Components:
        try:
            found = components_of(self._system("query", "frontend/components:list"))
        except ValidationError as error:
            raise InfrastructureError(
                "the deployment says something unexpected of its components", detail=str(error)
            ) from error
        if any(not each.path for each in found):
            return found
        # Nothing was pushed yet: there is the app and nothing else.
        return [*found, *components_of([{"id": "", "path": ""}])]

    def _pages(
        self, name: str, args: Mapping[str, JsonValue], component: str
    ) -> Iterator[dict[str, JsonValue]]:
        cursor: str | None = None
        while True:
            options: dict[str, JsonValue] = {"numItems": _PAGE, "cursor": cursor}
            answer = self._system("query", name, {**args, "paginationOpts": options}, component)
            page = self._read(TypeAdapter(_Page), answer)
            yield from page.page
            if page.is_done:
                return
            cursor = page.cursor

    def _system(
        self,
        kind: FunctionKind,
        name: str,
        args: Mapping[str, JsonValue] | None = None,
        component: str = "",
    ) -> JsonValue:
        # A component's own data is asked for as the CLI does: any function, of that component.
        asked = None if component else kind
        path = f"_system/{name}"
        result = self.call(asked, path, args, admin=True, component=component)
        if not result.ok:
            raise InfrastructureError(
                f"the deployment's own function {path} failed", detail=result.error or ""
            )
        return result.value

    def _read(self, adapter: TypeAdapter[T], value: JsonValue) -> T:
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise InfrastructureError(
                "the deployment says something unexpected", detail=str(error)
            ) from error

    def _authorization(self, identity: Identity | None, admin: bool) -> dict[str, str]:
        if identity is None:
            return {"Authorization": f"Convex {self.client.admin_key}"} if admin else {}
        user = dict(identity)
        user.setdefault("tokenIdentifier", f"{user.get('issuer', '')}|{user.get('subject', '')}")
        encoded = base64.b64encode(json.dumps(user).encode()).decode()
        return {"Authorization": f"Convex {self.client.admin_key}:{encoded}"}
