"""The official backend's driver, with our own server standing in for the official program."""

from __future__ import annotations

import http.server
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest
from pydantic import JsonValue

from pytest_convex_eval import processes
from pytest_convex_eval.deployment import local as local_module
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.local import LocalDeployment
from pytest_convex_eval.deployment.model import (
    UnsupportedError,
)
from pytest_convex_eval.deployment.push import PushResult, push
from pytest_convex_eval.deployment.recorder import FINISH_PUSH, START_PUSH, _Answer
from pytest_convex_eval.outcomes import InfrastructureError
from tests.deployment.fixtures import Bundle, Files, MakeProject, OfVersion
from tests.deployment.program import server_words
from tests.patience import HANG_SECONDS, until_ended

FILES = {
    "convex/schema.ts": """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  notes: defineTable({
    author: v.string(),
    text: v.string(),
    embedding: v.optional(v.array(v.float64())),
  })
    .index("by_author", ["author"])
    .searchIndex("search_text", { searchField: "text", filterFields: ["author"] })
    .vectorIndex("by_embedding", { vectorField: "embedding", dimensions: 4 }),
});
""",
    "convex/notes.ts": """
import { action, internalMutation, internalQuery, mutation, query } from "./_generated/server";
import { internal } from "./_generated/api";
import { v } from "convex/values";

export const add = mutation({
  args: { author: v.string(), text: v.string() },
  returns: v.id("notes"),
  handler: (ctx, args) => ctx.db.insert("notes", args),
});
export const byAuthor = query({
  args: { author: v.string() },
  handler: (ctx, { author }) =>
    ctx.db.query("notes").withIndex("by_author", (q) => q.eq("author", author)).collect(),
});
export const count = internalQuery({
  args: {},
  handler: async (ctx) => (await ctx.db.query("notes").collect()).length,
});
export const whoAmI = query({ args: {}, handler: (ctx) => ctx.auth.getUserIdentity() });
export const fail = internalMutation({
  args: {},
  handler: async () => { throw new Error("late"); },
});
export const later = mutation({
  args: {},
  handler: (ctx) => ctx.scheduler.runAfter(0, internal.notes.fail, {}),
});
export const store = action({
  args: {},
  handler: (ctx) => ctx.storage.store(new Blob(["hello"])),
});
export const variable = query({ args: {}, handler: () => process.env["COLOUR"] ?? null });
""",
    "convex/http.ts": """
import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";

const http = httpRouter();
const hello = httpAction(async () => new Response("hello"));
http.route({ path: "/hello", method: "GET", handler: hello });
http.route({ pathPrefix: "/files/", method: "GET", handler: hello });
export default http;
""",
    "convex/crons.ts": """
import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";

const crons = cronJobs();
crons.interval("hourly", { hours: 1 }, internal.notes.fail);
crons.daily("at night", { hourUTC: 2, minuteUTC: 30 }, internal.notes.fail);
export default crons;
""",
}

STORE = """
import { action } from "./_generated/server";
export const store = action({ args: {}, handler: (ctx) => ctx.storage.store(new Blob(["a"])) });
"""

Push: TypeAlias = Callable[[Deployment, Path], PushResult]
PushFiles: TypeAlias = Callable[[Files], None]


@pytest.fixture
def program(tmp_path: Path, node: Path) -> Path:
    """Takes the official flags; our own server by another name."""
    return script(tmp_path / "convex-local-backend", f'exec {server_words(node)} "$@"')


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def deployment(program: Path) -> Iterator[LocalDeployment]:
    with LocalDeployment(program) as started:
        yield started


@pytest.fixture
def push_to(node: Path, convex_node_modules: OfVersion, compile_cache: Path) -> Push:
    def run(target: Deployment, project: Path) -> PushResult:
        cli = convex_node_modules() / "convex" / "bin" / "main.js"
        return push(
            target,
            node=node,
            cli=cli,
            project=project,
            deadline_seconds=HANG_SECONDS,
            compile_cache=compile_cache,
        )

    return run


@pytest.fixture
def push_files(deployment: LocalDeployment, bundle: Bundle) -> PushFiles:
    """Pushes past the CLI, by way of the recorder as it does."""

    def run(files: Files) -> None:
        client = Client(deployment.push_url, deployment.admin_key)
        started = client.post(START_PUSH, bundle(files))
        client.post(FINISH_PUSH, {"startPush": started, "dryRun": False})

    return run


def test_what_is_live_is_what_our_own_server_says_of_the_same_push(
    deployment: LocalDeployment,
    server: EmbeddedDeployment,
    make_project: MakeProject,
    push_to: Push,
) -> None:
    project = make_project(FILES)
    server.reset()
    assert push_to(server, project).findings == ()
    assert push_to(deployment, project).findings == ()
    assert deployment.last_push().status == "accepted"
    own = server.deployed()
    # What the official interfaces do not tell: places, and returns that were not declared.
    functions = tuple(
        replace(each, position=None, returns=each.returns or {"type": "any"})
        for each in own.functions
    )
    told = deployment.deployed()
    assert told.functions == functions
    assert sorted(told.files) == sorted(own.files)
    assert sorted(told.crons, key=lambda cron: cron.name) == sorted(
        own.crons, key=lambda cron: cron.name
    )
    assert replace(told, functions=(), files=(), crons=()) == replace(
        own, functions=(), files=(), crons=()
    )


def test_what_is_live_can_be_used(deployment: LocalDeployment, push_files: PushFiles) -> None:
    push_files(FILES)
    (ada, bob) = deployment.insert(
        "notes", [{"author": "Ada", "text": "one"}, {"author": "Bob", "text": "two"}]
    )
    added = deployment.mutation("notes:add", {"author": "Ada", "text": "three"})
    assert [each["_id"] for each in deployment.documents("notes")] == [ada, bob, added.value]
    found = deployment.query("notes:byAuthor", {"author": "Bob"}).value
    assert isinstance(found, list)
    assert len(found) == 1
    with pytest.raises(ValueError, match="does not match the schema"):
        deployment.insert("notes", [{"author": "Ada", "text": "four"}, {"author": 5}])
    assert len(deployment.documents("notes")) == 3
    assert deployment.documents("nothing") == []
    deployment.delete([bob])
    assert [each["_id"] for each in deployment.documents("notes")] == [ada, added.value]
    with pytest.raises(ValueError, match="nonexistent"):
        deployment.delete([ada, bob])
    assert len(deployment.documents("notes")) == 2
    hello = deployment.http("GET", "/hello")
    assert (hello.status, hello.body) == (200, b"hello")
    deployment.set_environment({"COLOUR": "red"})
    assert deployment.query("notes:variable").value == "red"


def test_only_admins_call_internal_functions(
    deployment: LocalDeployment, push_files: PushFiles
) -> None:
    push_files(FILES)
    ada: dict[str, JsonValue] = {"subject": "ada", "issuer": "https://example.com"}
    who = deployment.query("notes:whoAmI", identity=ada).value
    assert isinstance(who, dict)
    assert who["tokenIdentifier"] == "https://example.com|ada"
    assert deployment.query("notes:whoAmI").value is None
    for identity in (None, ada):
        refused = deployment.query("notes:count", identity=identity)
        assert refused.error is not None
        assert "Could not find public function for 'notes:count'" in refused.error
    assert deployment.query("notes:count", admin=True).value == 0


def test_scheduled_functions_run_in_real_time(
    deployment: LocalDeployment, push_files: PushFiles
) -> None:
    push_files(FILES)
    assert deployment.mutation("notes:later").ok
    (failure,) = deployment.advance(0.05)
    assert failure.startswith("notes:fail: ")
    assert "late" in failure
    assert deployment.advance(0) == []
    with pytest.raises(UnsupportedError, match="real time only"):
        deployment.advance(3600)
    with pytest.raises(UnsupportedError, match="real time only"):
        deployment.reset_data(0.0)


def test_cleared_data_leaves_what_was_pushed(
    deployment: LocalDeployment, push_files: PushFiles
) -> None:
    push_files(FILES)
    deployment.set_environment({"COLOUR": "red"})
    pid, before = deployment.pid, deployment.deployed()
    deployment.insert("notes", [{"author": "Ada", "text": "one"}])
    deployment.reset_data()
    assert deployment.documents("notes") == []
    assert deployment.pid == pid
    # What no function of the backend clears: another process, and the push made again.
    deployment.insert("notes", [{"author": "Ada", "text": "one"}])
    assert deployment.action("notes:store").ok
    assert deployment.mutation("notes:later").ok
    deployment.advance(0)
    deployment.reset_data()
    assert deployment.pid != pid
    assert deployment.documents("notes") == []
    assert deployment.documents("_storage") == []
    assert deployment.advance(0) == []
    assert deployment.deployed() == before
    assert deployment.query("notes:variable").value == "red"
    assert deployment.last_push().status == "accepted"


def test_a_reset_leaves_nothing(deployment: LocalDeployment, push_files: PushFiles) -> None:
    push_files(FILES)
    deployment.insert("notes", [{"author": "Ada", "text": "one"}])
    deployment.set_environment({"COLOUR": "red"})
    deployment.reset()
    assert deployment.alive()
    assert deployment.last_push().status == "none"
    assert deployment.deployed().functions == ()
    assert deployment.documents("notes") == []
    push_files(FILES)
    assert deployment.query("notes:variable").value is None


def test_a_refused_push_is_the_answers_fault_with_the_servers_code(
    deployment: LocalDeployment, make_project: MakeProject, push_to: Push
) -> None:
    bad = FILES["convex/schema.ts"].replace('"by_author"', '"by_id"')
    result = push_to(deployment, make_project({**FILES, "convex/schema.ts": bad}))
    (finding,) = result.findings
    assert finding.code == "deploy/IndexNameReserved"
    assert finding.message.startswith('In table "notes" cannot name an index "by_id"')
    thrown = {**FILES, "convex/notes.ts": FILES["convex/notes.ts"] + '\nthrow new Error("boom");'}
    (finding,) = push_to(deployment, make_project(thrown, name="thrown")).findings
    assert finding.code == "deploy/InvalidModules"
    assert "boom" in finding.message
    assert finding.path == "convex/notes.ts"
    assert finding.excerpt == 'throw new Error("boom");'


def test_a_backend_that_dies_during_a_push_blames_nobody(
    deployment: LocalDeployment, make_project: MakeProject, push_to: Push
) -> None:
    os.kill(deployment.pid, signal.SIGSTOP)
    recorder = deployment.push_url
    killer = threading.Timer(1.0, os.kill, (deployment.pid, signal.SIGKILL))
    killer.start()
    try:
        assert recorder != deployment.url
        with pytest.raises(InfrastructureError):
            push_to(deployment, make_project(FILES))
    finally:
        killer.join()
    assert not deployment.alive()
    deployment.reset()
    assert deployment.alive()


def test_its_whole_process_group_and_its_files_go(tmp_path: Path, node: Path) -> None:
    # The program is a child of what was started: ending that alone would leave it.
    nested = script(tmp_path / "nested", f'exec 3<&0\n{server_words(node)} "$@" <&3 &\nwait')
    with LocalDeployment(nested) as deployment:
        children = psutil.Process(deployment.pid).children(recursive=True)
        scratch = deployment.scratch
        assert children
    assert not any(child.is_running() and child.status() != "zombie" for child in children)
    assert not scratch.exists()
    with pytest.raises(InfrastructureError):
        _ = deployment.url


def test_it_sees_nothing_of_our_environment(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    with LocalDeployment(program) as deployment:
        process = psutil.Process(deployment.pid)
        assert "ANTHROPIC_API_KEY" not in process.environ()
        assert "--disable-beacon" in process.cmdline()
        listening = {c.laddr.ip for c in process.net_connections("inet") if c.status == "LISTEN"}
        assert listening == {"127.0.0.1"}


def test_it_dies_with_a_parent_that_is_killed(program: Path, tmp_path: Path) -> None:
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import sys, time\nfrom pathlib import Path\n"
        "from pytest_convex_eval.deployment.local import LocalDeployment\n"
        "deployment = LocalDeployment(Path(sys.argv[1]))\ndeployment.start()\n"
        "print(deployment.pid, flush=True)\ntime.sleep(600)\n"
    )
    # The real program does not end with its stdin, as our own server does.
    os.mkfifo(tmp_path / "never-ends")
    deaf = script(tmp_path / "deaf", f'exec {program} "$@" <>{tmp_path / "never-ends"}')
    root = Path(processes.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, parent, deaf],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)},
    ) as started:
        assert started.stdout is not None
        backend = psutil.Process(int(started.stdout.readline()))
        assert backend.is_running(), "it serves until its parent is killed"
        started.send_signal(signal.SIGKILL)
    until_ended([backend])


@pytest.fixture
def squatter() -> Iterator[int]:
    """A port at which somebody else answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"somebody-else")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as taken:
        thread = threading.Thread(target=taken.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield taken.server_address[1]
        taken.shutdown()
        thread.join()


def test_a_port_that_was_taken_meanwhile_is_given_up(
    program: Path, squatter: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = local_module._free_ports
    offers = iter([(squatter, choose()[1])])
    monkeypatch.setattr(local_module, "_free_ports", lambda: next(offers, None) or choose())
    with LocalDeployment(program) as deployment:
        assert deployment.alive()
        assert str(squatter) not in deployment.url


def test_a_backend_that_answers_as_somebody_else_is_not_used(tmp_path: Path, node: Path) -> None:
    imposter = script(
        tmp_path / "imposter",
        f"""if [ "$1" = keygen ]; then exec {server_words(node)} "$@"; fi
exec {server_words(node)} --port "$4" --site-proxy-port "$6" """,
    )
    with pytest.raises(InfrastructureError, match="answers as another deployment"):
        LocalDeployment(imposter).start()


def test_a_backend_that_never_answers_is_given_up(tmp_path: Path, node: Path) -> None:
    silent = script(
        tmp_path / "silent",
        f"""if [ "$1" = keygen ]; then exec {server_words(node)} "$@"; fi
echo loading; exec sleep 600""",
    )
    deployment = LocalDeployment(silent, start_seconds=0.5)
    with pytest.raises(InfrastructureError, match=r"did not answer within 0\.5 s") as raised:
        deployment.start()
    assert "loading" in raised.value.detail


def test_a_backend_that_ends_at_once_says_why(tmp_path: Path, node: Path) -> None:
    broken = script(
        tmp_path / "broken",
        f"""if [ "$1" = keygen ]; then exec {server_words(node)} "$@"; fi
echo "no such database" >&2; exit 3""",
    )
    with pytest.raises(InfrastructureError, match="ended at its start") as raised:
        LocalDeployment(broken).start()
    assert "no such database" in raised.value.detail


def test_a_program_that_is_no_backend_is_said_to_be_none(tmp_path: Path) -> None:
    other = script(tmp_path / "other", f"exec {shlex.quote(sys.executable)} -c 'print(1, 2)'")
    with pytest.raises(InfrastructureError, match="makes no admin key"):
        LocalDeployment(other).start()
    with pytest.raises(InfrastructureError, match="can't be started"):
        LocalDeployment(tmp_path / "nowhere").start()


@pytest.mark.parametrize(
    "script_text",
    ["exit 3", "exit 0"],
    ids=["fails", "says something else"],
)
def test_a_key_that_is_not_made_does_not_tell_the_secret(tmp_path: Path, script_text: str) -> None:
    told = tmp_path / "told"
    program = script(
        tmp_path / "old", f'echo "$6" > {told}; echo "to $6 and $6"; echo "$@" >&2; {script_text}'
    )
    deployment = LocalDeployment(program)
    with pytest.raises(InfrastructureError, match="makes no admin key") as raised:
        deployment.start()
    secret = told.read_text().strip()
    assert len(secret) == 64
    assert "to <secret> and <secret>\n" in raised.value.detail
    assert "--instance-secret <secret>" in raised.value.detail
    assert secret not in f"{raised.value}{raised.value.detail}"
    with pytest.raises(InfrastructureError, match="not running"):
        _ = deployment.scratch


@pytest.mark.parametrize("text", ["echo a-key; exit 3", "exit 0", "echo one two"])
def test_a_key_is_one_word_of_a_program_that_succeeds(text: str, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="makes no admin key"):
        LocalDeployment(script(tmp_path / "old", text)).start()


def test_two_backends_have_names_and_secrets_of_their_own(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = script(tmp_path / "old", f'echo "$4" "$6" >> {told}; exit 3')
    for _ in range(2):
        with pytest.raises(InfrastructureError, match="makes no admin key"):
            LocalDeployment(program).start()
    first, second = (line.split() for line in told.read_text().splitlines())
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_a_push_that_the_backend_does_not_take_again_is_nobodys_code(
    deployment: LocalDeployment, push_files: PushFiles
) -> None:
    push_files({"convex/a.ts": STORE})
    assert deployment.action("a:store").ok
    deployment._running().recorder.record(START_PUSH, {}, b"{}", _Answer(200, b""))
    deployment._running().recorder.record(FINISH_PUSH, {}, b"{}", _Answer(200, b""))
    with pytest.raises(InfrastructureError, match=r"refused with HTTP 4\d\d what"):
        deployment.reset_data()


def test_without_a_push_cleared_data_is_an_empty_backend(deployment: LocalDeployment) -> None:
    deployment.set_environment({"COLOUR": "red"})
    pid = deployment.pid
    deployment.reset_data()
    assert deployment.pid == pid
    deployment.close()
    deployment.close()
    with pytest.raises(InfrastructureError):
        deployment.reset_data()
    deployment.reset()
    assert deployment.alive()


def test_a_reset_moves_to_the_same_ports_and_the_recorder_follows(
    deployment: LocalDeployment, push_files: PushFiles
) -> None:
    before = (deployment.url, deployment.site_url, deployment.push_url)
    deployment._running().told_failures.add("1")
    deployment.reset()
    assert (deployment.url, deployment.site_url, deployment.push_url) == before
    assert deployment._running().told_failures == set()
    push_files({"convex/a.ts": STORE})
    assert deployment.last_push().number == 1
