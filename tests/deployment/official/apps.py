"""The apps that rows are pushed in: one of a file for all rows that can share it, and others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.deployment.official.form import BODIES, Row, Section

PRELUDE = """import {
  action, httpAction, internalAction, internalMutation, internalQuery, mutation, query,
} from "../_generated/server";
import { api, internal, components } from "../_generated/api";
import { ConvexError, v } from "convex/values";
import { paginationOptsValidator } from "convex/server";
"""
"""Above each row's module; what it does not use is not bundled."""
FOLDER = "rows"


@dataclass(frozen=True)
class App:
    """What is pushed at once, and the rows that ask it."""

    section: str
    name: str
    rows: tuple[Row, ...]
    tables: str
    auth: bool

    @property
    def variables(self) -> dict[str, str]:
        return {name: value for row in self.rows for name, value in row.variables.items()}

    def files(self, auth_config: str) -> dict[str, str]:
        """By their paths from the project's root on; `auth_config` where it trusts tokens."""
        files = {
            f"convex/{FOLDER}/{row.slug}.ts": text for row in self.rows if (text := _module(row))
        }
        if routed := [row for row in self.rows if row.http_action is not None]:
            files["convex/http.ts"] = _router(routed)
        if self.tables:
            files["convex/schema.ts"] = (
                'import { defineSchema, defineTable } from "convex/server";\n'
                'import { v } from "convex/values";\n'
                f"export default defineSchema({{\n{self.tables}\n}});\n"
            )
        if self.auth:
            files["convex/auth.config.ts"] = auth_config
        for row in self.rows:
            files.update({f"convex/{path}": text for path, text in row.files.items()})
        return files


def apps(section: Section) -> Iterator[App]:
    """The shared app first."""
    file = section.file
    if together := tuple(row for row in file.rows if not row.alone):
        yield App(section.name, section.name, together, file.table_definitions, file.auth)
    for row in file.rows:
        if row.alone:
            tables = row.table_definitions or file.table_definitions
            yield App(section.name, row.name, (row,), tables, row.auth or file.auth)


def function_path(row: Row, call: str) -> str:
    """The path by which clients call an export of the row's own module, or of another."""
    return call if ":" in call else f"{FOLDER}/{row.slug}:{call}"


def route(row: Row) -> str:
    """Where a handler's body of an HTTP action is served, with all that lies below."""
    return f"/{row.slug}"


def _module(row: Row) -> str | None:
    here = f"internal.{FOLDER}.{row.slug}"
    head = f"{PRELUDE}const here: any = {here};\n"
    if row.module is not None:
        return head + row.module
    for key, (register, _) in BODIES.items():
        body = getattr(row, key)
        if body is None:
            continue
        parameter = "request" if key == "http_action" else "args"
        handler = f"async (ctx: any, {parameter}: any): Promise<any> => {{\n{body}\n}}"
        if key == "http_action":
            return f"{head}export const f = httpAction({handler});\n"
        declared = "".join(
            f"  {name}: {text},\n"
            for name, text in (("args", row.validator), ("returns", row.returns))
            if text is not None
        )
        directive = '"use node";\n' if key == "node_action" else ""
        given = f"{{\n{declared}  handler: {handler},\n}}"
        return f"{directive}{head}export const f = {register}({given});\n"
    return None


def _router(rows: Sequence[Row]) -> str:
    lines = ['import { httpRouter } from "convex/server";']
    lines += [f'import {{ f as f{i} }} from "./{FOLDER}/{row.slug}";' for i, row in enumerate(rows)]
    lines.append("const http = httpRouter();")
    lines.append('const methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] as const;')
    lines.append("for (const method of methods) {")
    for i, row in enumerate(rows):
        path, below = json.dumps(route(row)), json.dumps(f"{route(row)}/")
        lines.append(f"  http.route({{ path: {path}, method, handler: f{i} }});")
        lines.append(f"  http.route({{ pathPrefix: {below}, method, handler: f{i} }});")
    return "\n".join([*lines, "}", "export default http;", ""])
