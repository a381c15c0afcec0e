"""What the embedded deployment takes: start, push, reset, calls, ten thousand documents, memory.

Wall times as a client on the same machine sees them, medians of one run; in memory, and with
`--data` where that makes a difference. The push is the official CLI's, beside what the CLI takes to
start.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import JsonValue

from pytest_convex_eval import processes
from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.deployment.embedded import server_command, server_variables
from pytest_convex_eval.toolchain.packages.node import node_runtime
from pytest_convex_eval.toolchain.packages.published import convex_snapshot

DOCUMENTS = 10_000
BATCH = 100
PAGE = 100
CALLS = 300
CLIENTS = 4

FILES = {
    "package.json": '{"dependencies": {"convex": "*"}}',
    "convex/schema.ts": """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  notes: defineTable({ author: v.string(), n: v.number() }).index("by_author", ["author", "n"]),
});
""",
    "convex/notes.ts": """
import { paginationOptsValidator } from "convex/server";
import { v } from "convex/values";
import { mutation, query } from "./_generated/server";
export const add = mutation({
  args: { author: v.string(), n: v.number() },
  handler: (ctx, note) => ctx.db.insert("notes", note),
});
export const addMany = mutation({
  args: { from: v.number(), count: v.number() },
  handler: async (ctx, { from, count }) => {
    for (let n = from; n < from + count; n++) await ctx.db.insert("notes", { author: "many", n });
  },
});
export const newest = query({
  args: { author: v.string() },
  handler: (ctx, { author }) =>
    ctx.db
      .query("notes")
      .withIndex("by_author", (q) => q.eq("author", author))
      .order("desc")
      .take(10),
});
export const page = query({
  args: { paginationOpts: paginationOptsValidator },
  handler: (ctx, { paginationOpts }) => ctx.db.query("notes").paginate(paginationOpts),
});
""",
    "convex/tasks.ts": """
import { internalMutation } from "./_generated/server";
export const clean = internalMutation({ args: {}, handler: async () => null });
""",
    "convex/crons.ts": """
import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";
const crons = cronJobs();
crons.interval("clean", { hours: 24 }, internal.tasks.clean, {});
export default crons;
""",
    "convex/http.ts": """
import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";
const http = httpRouter();
http.route({ path: "/", method: "GET", handler: httpAction(async () => new Response("ok")) });
export default http;
""",
}


@dataclass(frozen=True)
class Server:
    """A server, and how many seconds it took to be ready."""

    pid: int
    url: str
    admin_key: str
    seconds: float


class Connection:
    """One kept-alive connection."""

    def __init__(self, server: Server) -> None:
        parts = urlsplit(server.url)
        self._http = http.client.HTTPConnection(parts.hostname or "", parts.port)
        self._headers = {"Authorization": f"Convex {server.admin_key}"}

    def post(self, path: str, body: JsonValue = None) -> dict[str, JsonValue]:
        self._http.request("POST", path, json.dumps(body), self._headers)
        answer = json.loads(self._http.getresponse().read())
        if isinstance(answer, dict) and answer.get("status", "success") != "success":
            raise SystemExit(f"{path}: {answer}")
        return answer if isinstance(answer, dict) else {}

    def call(self, kind: str, path: str, args: Mapping[str, JsonValue]) -> JsonValue:
        return self.post(f"/api/{kind}", {"path": path, "args": dict(args)}).get("value")

    def close(self) -> None:
        self._http.close()


@contextmanager
def running(scratch: Path, *flags: str) -> Iterator[Server]:
    """The server alone, as every command starts it."""
    cache = default_cache()
    args = server_command(node_runtime().node, cache)
    args += ["--port=0", "--site-proxy-port=0", *flags]
    env = processes.environment(home=scratch, path=(), **server_variables(cache))
    limits = processes.Limits(wall_seconds=20)
    started = time.perf_counter()
    with (
        (scratch / "server.log").open("wb") as log,
        processes.running(args, cwd=scratch, env=env, limits=limits, stderr=log) as child,
    ):
        assert child.stdout is not None
        ready = json.loads(child.stdout.readline())
        yield Server(child.pid, ready["url"], ready["admin_key"], time.perf_counter() - started)


def median_ms(work: Callable[[], object], count: int) -> float:
    work()
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1000


def mebibytes(pid: int, what: str = "VmRSS") -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{what}:")]
    return int(line.split()[1]) / 1024


def children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def make_project(folder: Path) -> Path:
    """The app, with the newest known CLI from npm; the CLI's path."""
    runtime = node_runtime()
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    command = [str(runtime.node), str(runtime.npm), "install", "--no-audit", "--no-fund"]
    path = f"{runtime.node.parent}:{os.environ['PATH']}"
    subprocess.run(
        [*command, "--ignore-scripts", f"convex@{convex_snapshot().newest}"],
        cwd=folder, env={**os.environ, "PATH": path}, check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return folder / "node_modules/convex/bin/main.js"


def measure_push(server: Server, project: Path, cli: Path) -> None:
    node = node_runtime().node
    env = processes.environment(
        home=project.parent, path=[node.parent], CI="1",
        NODE_COMPILE_CACHE=str(project.parent / "cache"),
    )  # fmt: skip

    def run(*args: str) -> None:
        limits = processes.Limits(wall_seconds=60)
        done = processes.run([node, cli, *args], cwd=project, env=env, limits=limits)
        if not done.ok:
            raise SystemExit(done.stdout + done.stderr)

    target = ["--url", server.url, "--admin-key", server.admin_key]
    push = ["dev", "--once", "--tail-logs", "disable", "--typecheck", "disable", *target]
    whole = median_ms(lambda: run(*push), 7)
    start = median_ms(lambda: run("--version"), 7)
    file = project.parent / "push"
    offline = ["--push-all-modules", "--write-push-request", str(file), "--codegen", "disable"]
    bundling = ["deploy", *offline, "--typecheck", "disable", "--url", "http://127.0.0.1:9"]
    run(*bundling, "--admin-key", "none")
    request = json.loads(file.with_suffix(".json").read_text())
    connection = Connection(server)

    def ask() -> None:
        connection.post("/api/get_config_hashes", {})
        started = connection.post("/api/deploy2/start_push", request)
        schema = {"schemaChange": started["schemaChange"]}
        connection.post("/api/deploy2/wait_for_schema", schema)
        connection.post("/api/deploy2/finish_push", {"startPush": started, "dryRun": False})

    share = median_ms(ask, 7)
    connection.close()
    print(f"push of five files      {whole:8.1f} ms by the CLI, {start:.1f} of it its start")
    print(f"  beyond the start      {whole - start:8.1f} ms")
    print(f"  the server's share    {share:8.1f} ms (every request of it, all modules changed)")


def measure_calls(server: Server, label: str) -> None:
    connection = Connection(server)
    note: dict[str, JsonValue] = {"author": "ada", "n": 1}
    mutation = median_ms(lambda: connection.call("mutation", "notes:add", note), CALLS)
    query = median_ms(lambda: connection.call("query", "notes:newest", {"author": "ada"}), CALLS)
    connection.close()
    together = concurrent(server)
    print(f"query, {label:<16} {query:8.2f} ms")
    print(f"mutation, {label:<13} {mutation:8.2f} ms; {CLIENTS} clients: {together:.0f} a second")


def concurrent(server: Server) -> float:
    """Mutations a second that several clients get answered together."""

    def work() -> None:
        connection = Connection(server)
        for n in range(CALLS):
            connection.call("mutation", "notes:add", {"author": "bob", "n": n})
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CLIENTS * CALLS / (time.perf_counter() - started)


def measure_documents(server: Server) -> None:
    connection = Connection(server)
    connection.post("/api/convex_eval/reset_data", {})
    started = time.perf_counter()
    for start in range(0, DOCUMENTS, BATCH):
        connection.call("mutation", "notes:addMany", {"from": start, "count": BATCH})
    inserted = time.perf_counter()
    found = 0
    cursor: JsonValue = None
    is_done: JsonValue = False
    while not is_done:
        options: JsonValue = {"numItems": PAGE, "cursor": cursor}
        result = connection.call("query", "notes:page", {"paginationOpts": options})
        assert isinstance(result, dict)
        assert isinstance(result["page"], list)
        found += len(result["page"])
        cursor, is_done = result["continueCursor"], result["isDone"]
    ended = time.perf_counter()
    assert found == DOCUMENTS
    insert, page = (inserted - started) * 1e6 / DOCUMENTS, (ended - inserted) * 1e6 / DOCUMENTS
    print(f"{DOCUMENTS} documents, {insert:8.1f} µs each inserted, {BATCH} a mutation")
    print(f"                 and {page:8.1f} µs each read, {PAGE} a page")
    reset = median_ms(lambda: connection.post("/api/convex_eval/reset_data", {}), 20)
    print(f"reset                   {reset:8.2f} ms, to just pushed")
    connection.close()


def main() -> None:
    scratch = Path(tempfile.mkdtemp(prefix="convex-eval-benchmark-"))
    try:
        cpuinfo = Path("/proc/cpuinfo")
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = names[0].partition(": ")[2] if names else platform.machine()
        print(f"{os.cpu_count()} cores ({name}), Node {node_runtime().version}")
        for label, flags in (("in memory", ()), ("with --data", (f"--data={scratch / 'fresh'}",))):
            starts = []
            for _ in range(7):
                with running(scratch, *flags) as server:
                    starts.append(server.seconds * 1000)
            print(f"start, {label:<16} {statistics.median(starts):8.1f} ms")
        project = scratch / "project"
        cli = make_project(project)
        with running(scratch) as server:
            print(f"memory at rest          {mebibytes(server.pid):8.1f} MiB")
            measure_push(server, project, cli)
            measure_calls(server, "in memory")
            measure_documents(server)
            isolates = sum(mebibytes(pid) for pid in children(server.pid))
            rest = mebibytes(server.pid)
            print(f"memory afterwards       {rest:8.1f} MiB, functions' processes {isolates:.1f}")
        data = scratch / "data"
        with running(scratch, f"--data={data}") as server:
            request = json.loads((scratch / "push.json").read_text())
            connection = Connection(server)
            started = connection.post("/api/deploy2/start_push", request)
            connection.post("/api/deploy2/finish_push", {"startPush": started, "dryRun": False})
            measure_calls(server, "with --data")
            for start in range(0, DOCUMENTS, BATCH):
                connection.call("mutation", "notes:addMany", {"from": start, "count": BATCH})
            connection.close()
        with running(scratch, f"--data={data}") as server:
            print(f"start with {DOCUMENTS} documents {server.seconds * 1000:6.1f} ms")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
