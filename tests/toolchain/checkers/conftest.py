"""A checkers on which an answer is checked with the installed toolchain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pytest_convex_eval.outcomes import Files
from pytest_convex_eval.toolchain.lint.oxlint import Linter
from pytest_convex_eval.toolchain.lint.profiles import LintProfile
from pytest_convex_eval.toolchain.lint.run import lint
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain, ToolReport
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.toolchain.servers import warm
from pytest_convex_eval.toolchain.sharing import WarmTools, own_tools
from pytest_convex_eval.toolchain.syntax import check_syntax
from pytest_convex_eval.toolchain.typecheck import Types, check_types
from pytest_convex_eval.workspace.layout import Workspace, lay_out
from pytest_convex_eval.workspace.paths import admit
from tests.patience import HANG_SECONDS

DEADLINE_SECONDS = HANG_SECONDS


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is slow to start is no broken one."""
    monkeypatch.setattr(warm, "START_SECONDS", HANG_SECONDS)


# All orders of ten names as one type: 3.6 million of them.
TYPE_BOMB = """\
type Orders<T, K = T> =
  [T] extends [never] ? [] : K extends K ? [K, ...Orders<Exclude<T, K>>] : never;
export const order: Orders<"a" | "b" | "c" | "d" | "e" | "f" | "g" | "h" | "i" | "j"> = 1;
"""

TODO_SCHEMA = """\
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  todos: defineTable({ owner: v.string(), text: v.string(), done: v.boolean() })
    .index("by_owner_and_done", ["owner", "done"]),
});
"""


@dataclass(frozen=True, slots=True)
class Checkers:
    """Lays answers out in one folder and checks them; each needs a name of its own there.

    With `warm`, `types` and `lint` ask tools that stay, as the stages do.
    """

    toolchain: Toolchain
    dependencies: DependencySet
    folder: Path
    warm: WarmTools | None = None

    def lay_out(self, files: Files, name: str = "answer") -> Workspace:
        admission = admit(files)
        assert not admission.findings
        return lay_out(
            self.folder / name,
            admission.files,
            node_modules=self.dependencies.node_modules,
            templates=self.dependencies.templates,
        )

    def syntax(self, files: Files) -> ToolReport:
        workspace = self.lay_out(files)
        return check_syntax(
            self.toolchain,
            workspace.root,
            workspace.files,
            scratch=self._scratch("syntax"),
            deadline_seconds=DEADLINE_SECONDS,
        )

    def types(self, files: Files) -> ToolReport:
        return self.types_of(self.lay_out(files), None if self.warm is None else self.warm.types)

    def types_of(
        self,
        workspace: Workspace,
        server: Types | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> ToolReport:
        return check_types(
            self.toolchain,
            workspace.root,
            scratch=self._scratch("types"),
            deadline_seconds=deadline_seconds,
            server=server,
        )

    def lint(
        self,
        files: Files,
        profile: LintProfile = "recommended",
        *,
        off: frozenset[str] = frozenset(),
        require: frozenset[str] = frozenset(),
    ) -> ToolReport:
        workspace = self.lay_out({"package.json": "{}", **files})
        linter = None if self.warm is None else self.warm.linter
        return self.lint_of(workspace, linter, profile=profile, off=off, require=require)

    def lint_of(
        self,
        workspace: Workspace,
        server: Linter | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        *,
        profile: LintProfile = "recommended",
        off: frozenset[str] = frozenset(),
        require: frozenset[str] = frozenset(),
    ) -> ToolReport:
        return lint(
            self.toolchain,
            workspace.root,
            profile=profile,
            off=off,
            require=require,
            scratch=self._scratch("lint"),
            deadline_seconds=deadline_seconds,
            server=server,
        )

    def _scratch(self, name: str) -> Path:
        scratch = self.folder / f"scratch-{name}"
        scratch.mkdir(exist_ok=True)
        return scratch


@pytest.fixture(scope="session")
def dependencies(store: DependencyStore) -> DependencySet:
    return store.get(
        {"convex": "1.48.0", "@types/node": "24.19.2", "@convex-dev/rate-limiter": "0.4.0"}
    )


@pytest.fixture
def checkers(toolchain: Toolchain, dependencies: DependencySet, tmp_path: Path) -> Checkers:
    return Checkers(toolchain, dependencies, tmp_path)


@pytest.fixture(scope="session")
def warm_tools(toolchain: Toolchain) -> Iterator[WarmTools]:
    tools = own_tools(toolchain)
    yield tools
    tools.close()


@pytest.fixture
def quick(checkers: Checkers, warm_tools: WarmTools) -> Checkers:
    """The checkers for what is asked about code and not about a tool's process."""
    return replace(checkers, warm=warm_tools)


@pytest.fixture(scope="session")
def type_bomb() -> Files:
    return {"convex/a.ts": TYPE_BOMB}


@pytest.fixture(scope="session")
def todo_schema() -> Files:
    return {"convex/schema.ts": TODO_SCHEMA}


@pytest.fixture(scope="session")
def good_backend() -> Files:
    """A backend that every checker passes: what checkers trip over, done right."""
    return {
        "package.json": '{"dependencies": {"convex": "^1.48.0"}}',
        "convex/schema.ts": TODO_SCHEMA,
        "convex/todos.ts": """\
import { query as publicQuery, internalQuery, mutation } from "./_generated/server";
import type { Doc } from "./_generated/dataModel";
import { v } from "convex/values";
import { components, internal } from "./_generated/api";
import { RateLimiter, MINUTE } from "@convex-dev/rate-limiter";

const limiter = new RateLimiter(components.rateLimiter, {
  add: { kind: "fixed window", rate: 10, period: MINUTE },
});

export const count = internalQuery({
  args: { owner: v.string() },
  handler: async (ctx, { owner }) => {
    const todos = await ctx.db
      .query("todos")
      .withIndex("by_owner_and_done", (q) => q.eq("owner", owner))
      .take(100);
    return todos.length;
  },
});

export const open = publicQuery({
  args: { owner: v.string() },
  returns: v.array(
    v.object({
      _id: v.id("todos"),
      _creationTime: v.number(),
      owner: v.string(),
      text: v.string(),
      done: v.boolean(),
    }),
  ),
  handler: async (ctx, { owner }): Promise<Doc<"todos">[]> =>
    await ctx.db
      .query("todos")
      .withIndex("by_owner_and_done", (q) => q.eq("owner", owner).eq("done", false))
      .take(100),
});

export const add = mutation({
  args: { owner: v.string(), text: v.string() },
  returns: v.id("todos"),
  handler: async (ctx, args) => {
    await limiter.limit(ctx, "add", { throws: true });
    const id = await ctx.db.insert("todos", { ...args, done: false });
    await ctx.scheduler.runAfter(0, internal["node-things"].sign, { text: args.text });
    return id;
  },
});
""",
        "convex/node-things.ts": """\
"use node";
import { createHash } from "node:crypto";
import { v } from "convex/values";
import { internalAction } from "./_generated/server";

export const sign = internalAction({
  args: { text: v.string() },
  handler: async (_ctx, { text }) =>
    await Promise.resolve(createHash("sha256").update(Buffer.from(text)).digest("hex")),
});
""",
        "convex/model/sweep.ts": """\
import { internalMutation } from "../_generated/server";

export const old = internalMutation({
  args: {},
  handler: async (ctx) => {
    for (const todo of await ctx.db.query("todos").order("desc").take(50)) {
      await ctx.db.delete("todos", todo._id);
    }
  },
});
""",
        "convex/crons.ts": """\
import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";

const crons = cronJobs();
crons.interval("sweep", { minutes: 10 }, internal.model.sweep.old, {});
export default crons;
""",
        "convex/http.ts": """\
import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";
import { internal } from "./_generated/api";

const http = httpRouter();
http.route({
  path: "/count",
  method: "GET",
  handler: httpAction(async (ctx, request) => {
    const owner = new URL(request.url).searchParams.get("owner") ?? "";
    return Response.json(await ctx.runQuery(internal.todos.count, { owner }));
  }),
});
export default http;
""",
        "convex/convex.config.ts": """\
import { defineApp } from "convex/server";
import rateLimiter from "@convex-dev/rate-limiter/convex.config.js";

// Components are mounted here.
const app = defineApp();
app.use(rateLimiter);
export default app;
""",
    }
