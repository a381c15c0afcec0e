"""Projects that the backend refuses, and what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_convex_eval.places import Place

MODULES = (
    "Hit an error while pushing:\n"
    "Loading the pushed modules encountered the following\n    error:\n"
)
SCHEMA = "Hit an error while pushing:\nHit an error while evaluating your schema:\n"
PLAIN = "Hit an error while pushing:\n"
DOCS = "To learn more, see the schema documentation at https://docs.convex.dev/database/schemas."


FIELDS = ", ".join(f"f{i}: v.string()" for i in range(65))
NAMES = ", ".join(f'"f{i}"' for i in range(16))
MANY = "".join(f'.index("i{i}", ["f{i}"])' for i in range(65))


@dataclass(frozen=True)
class Row:
    name: str
    files: Mapping[str, str]
    code: str
    message: str
    """The whole message, or its beginning when it ends with an ellipsis."""
    at: Place | None = None
    prefix: str = MODULES
    table: str | None = None
    index: str | None = None


def schema(name: str, tables: str, code: str, message: str, **more: Any) -> Row:
    """A row whose schema's second-last line holds the tables, at line 3."""
    text = (
        'import { defineSchema, defineTable } from "convex/server";\n'
        'import { v } from "convex/values";\n'
        f"export default defineSchema({{ {tables} }});\n"
    )
    files = {"convex/schema.ts": text}
    place = more.pop("at", "")
    line = text.splitlines()[2]
    at = Place("convex/schema.ts", 3, line.index(place) + 1) if place else None
    return Row(name, files, code, message, at, SCHEMA, **more)


def module(name: str, text: str, code: str, message: str, **more: Any) -> Row:
    line, column = more.pop("at", (0, 0))
    at = Place("convex/a.ts", line, column) if line else None
    return Row(name, {"convex/a.ts": text}, code, message, at, **more)


def crons(name: str, statement: str, code: str, message: str, **more: Any) -> Row:
    text = (
        'import { cronJobs } from "convex/server";\n'
        'import { internal, api } from "./_generated/api";\n'
        "const crons = cronJobs();\n"
        f"{statement}\n"
        "export default crons;\n"
    )
    jobs = (
        'import { query, internalMutation, httpAction } from "./_generated/server";\n'
        "export const m = internalMutation({ args: {}, handler: async () => {} });\n"
        "export const q = query({ args: {}, handler: async () => {} });\n"
        'export const h = httpAction(async () => new Response("x"));\n'
    )
    files = {"convex/crons.ts": text, "convex/jobs.ts": jobs}
    line, column = more.pop("at", (0, 0))
    at = Place("convex/crons.ts", line, column) if line else None
    return Row(name, files, code, message, at, **more)


def exported_crons(name: str, jobs: Mapping[str, Any], message: str) -> Row:
    """A row whose crons are none of the library's, which checks them itself: as `export()` gives
    them."""
    exported = json.dumps(
        {cron: {"name": "jobs:m", "args": [{}], **job} for cron, job in jobs.items()}
    )
    text = f"const jobs = {exported};\n"
    text += "export default { isCrons: true, export: () => JSON.stringify(jobs) };\n"
    target = (
        'import { internalMutation } from "./_generated/server";\n'
        "export const m = internalMutation({ args: {}, handler: async () => {} });\n"
    )
    files = {"convex/crons.ts": text, "convex/jobs.ts": target}
    return Row(name, files, "InvalidCron", message)


def http(name: str, route: str, message: str) -> Row:
    """A row whose last statement of `route` is refused."""
    text = (
        'import { httpRouter } from "convex/server";\n'
        'import { httpAction } from "./_generated/server";\n'
        "const http = httpRouter();\n"
        'const handler = httpAction(async () => new Response("x"));\n'
        f"{route}\n"
        "export default http;\n"
    )
    at = Place("convex/http.ts", 5, route.rindex("http.route") + 6)
    full = f"Failed to analyze http.js: Uncaught Error: {message}…"
    return Row(name, {"convex/http.ts": text}, "InvalidModules", full, at)


def auth(name: str, text: str, code: str, message: str) -> Row:
    return Row(name, {"convex/auth.config.ts": text}, code, message, None, PLAIN)


def config(name: str, statement: str, code: str, message: str) -> Row:
    text = (
        'import { defineApp } from "convex/server";\nimport { v } from "convex/values";\n'
        'import rateLimiter from "@convex-dev/rate-limiter/convex.config";\n'
        f"void [v, rateLimiter];\n{statement}\nexport default app;\n"
    )
    files = {"convex/convex.config.ts": text, "convex/a.ts": "export const x = 1;\n"}
    return Row(name, files, code, message, None, PLAIN)


def components(
    name: str, statements: str, code: str, message: str, *, env: str = "{ NEEDED: v.string() }"
) -> Row:
    """A row whose app can use two components of its own; `one` needs variables."""
    http = (
        'import { httpActionGeneric, httpRouter } from "convex/server";\n'
        "const http = httpRouter();\n"
        'const handler = httpActionGeneric(async () => new Response("x"));\n'
        'http.route({ path: "/a", method: "GET", handler });\nexport default http;\n'
    )
    head = 'import { defineComponent } from "convex/server";\nimport { v } from "convex/values";\n'
    app = (
        'import { defineApp } from "convex/server";\n'
        'import one from "./one/convex.config";\nimport two from "./two/convex.config";\n'
        f"void [one, two];\nconst app = defineApp();\n{statements}\nexport default app;\n"
    )
    files = {
        "convex/convex.config.ts": app,
        "convex/one/convex.config.ts": f"{head}void v;\n"
        f'export default defineComponent("one", {{ env: {env} as any }});\n',
        "convex/one/http.ts": http,
        "convex/two/convex.config.ts": f'{head}void v;\nexport default defineComponent("two");\n',
        "convex/two/http.ts": http,
    }
    return Row(name, files, code, message, None, PLAIN)
