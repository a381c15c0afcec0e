"""A deployment at a URL: our own server, started by somebody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.backends import ADMIN_KEY_VARIABLE, Backend, make_ready
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.model import BusyError, UnsupportedError
from pytest_convex_eval.deployment.push import push
from pytest_convex_eval.deployment.recorder import FINISH_PUSH, START_PUSH
from pytest_convex_eval.deployment.remote import RemoteDeployment, check_target
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError
from tests.deployment.fixtures import Bundle, MakeProject, OfVersion, Request
from tests.patience import HANG_SECONDS

FILES = {
    "convex/schema.ts": """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  notes: defineTable({ text: v.string() }).index("by_text", ["text"]),
});
""",
    "convex/notes.ts": """
import { mutation, query } from "./_generated/server";
import { api } from "./_generated/api";
import { v } from "convex/values";

export const add = mutation({
  args: { text: v.string() },
  handler: (ctx, args) => ctx.db.insert("notes", args),
});
export const variable = query({ args: {}, handler: () => process.env["COLOUR"] ?? null });
export const fail = mutation({
  args: {},
  handler: async () => { throw new Error("out of order"); },
});
export const soon = mutation({
  args: {},
  handler: (ctx) => ctx.scheduler.runAfter(0, api.notes.fail, {}),
});
export const later = mutation({
  args: {},
  handler: (ctx) => ctx.scheduler.runAfter(3_600_000, api.notes.add, { text: "late" }),
});
""",
}


@pytest.fixture
def remote(server: EmbeddedDeployment, tmp_path: Path) -> Iterator[RemoteDeployment]:
    server.reset()
    with RemoteDeployment(server.url, server.admin_key, tmp_path / "locks") as deployment:
        yield deployment


class PushTo(Protocol):
    def __call__(
        self, remote: RemoteDeployment, files: dict[str, str], name: str = "project"
    ) -> None: ...


@pytest.fixture
def push_project(
    node: Path,
    make_project: MakeProject,
    convex_node_modules: OfVersion,
    compile_cache: Path,
) -> PushTo:
    def run(remote: RemoteDeployment, files: dict[str, str], name: str = "project") -> None:
        result = push(
            remote,
            node=node,
            cli=convex_node_modules() / "convex" / "bin" / "main.js",
            project=make_project(files, name=name),
            deadline_seconds=HANG_SECONDS,
            compile_cache=compile_cache,
        )
        assert result.findings == ()
        assert remote.admin_key not in result.output

    return run


def push_over_http(remote: RemoteDeployment, request: Request) -> None:
    """Pushes past the CLI, by way of the recorder as it does."""
    client = Client(remote.push_url, remote.admin_key)
    started = client.post(START_PUSH, request)
    client.post(FINISH_PUSH, {"startPush": started, "dryRun": False})


def test_each_item_begins_without_documents_and_with_the_old_variables(
    server: EmbeddedDeployment, remote: RemoteDeployment, push_project: PushTo
) -> None:
    push_project(remote, FILES)
    assert remote.site_url == server.site_url
    remote.set_environment({"COLOUR": "red"})
    assert remote.mutation("notes:add", {"text": "one"}).ok
    assert remote.query("notes:variable").value == "red"
    remote.release()
    assert server.query("notes:variable").value is None
    remote.reset()
    assert remote.last_push().status == "none"
    assert remote.documents("notes") == []
    # The next push takes away an index, and with it what the CLI asks over a WebSocket.
    other = {
        "convex/schema.ts": FILES["convex/schema.ts"].replace('.index("by_text", ["text"])', "")
    }
    push_project(remote, other, name="other")
    assert remote.last_push().status == "accepted"
    assert remote.deployed().functions == ()
    assert remote.alive()


def test_variables_that_were_set_before_stay(
    server: EmbeddedDeployment, tmp_path: Path, bundle: Bundle
) -> None:
    server.reset()
    server.set_environment({"COLOUR": "blue"})
    with RemoteDeployment(server.url, server.admin_key, tmp_path / "locks") as remote:
        push_over_http(remote, bundle(FILES))
        remote.set_environment({"COLOUR": "red", "OTHER": "1"})
        remote.release()
        assert server.query("notes:variable").value == "blue"
        remote.reset()
        remote.set_environment({"COLOUR": None})
        assert server.query("notes:variable").value is None
    assert server.query("notes:variable").value == "blue"


def test_what_failed_in_an_earlier_item_is_not_told_again(
    remote: RemoteDeployment, bundle: Bundle
) -> None:
    push_over_http(remote, bundle(FILES))
    assert remote.mutation("notes:soon").ok
    (failure,) = remote.advance(0.02)
    assert "out of order" in failure
    remote.release()
    remote.reset()
    assert remote.advance(0) == []


def test_what_the_cli_asks_over_a_websocket_passes_the_recorder(
    remote: RemoteDeployment,
    push_project: PushTo,
    node: Path,
    convex_node_modules: OfVersion,
    tmp_path: Path,
) -> None:
    push_project(remote, FILES)
    remote.insert("notes", [{"text": "over the wire"}])
    cli = convex_node_modules() / "convex" / "bin" / "main.js"
    done = processes.run(
        [node, cli, "data", "notes", "--url", remote.push_url, "--admin-key", remote.admin_key],
        cwd=tmp_path / "project",
        env=processes.environment(home=tmp_path, path=[node.parent], CI="1"),
        limits=processes.Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stderr
    assert "over the wire" in done.stdout


def test_functions_that_wait_to_run_are_in_the_way_and_blame_nobody(
    remote: RemoteDeployment, bundle: Bundle
) -> None:
    push_over_http(remote, bundle(FILES))
    assert remote.mutation("notes:later").ok
    with pytest.raises(UnsupportedError, match="1 scheduled functions wait to run"):
        remote.reset()


def test_one_item_of_this_machine_has_it_at_a_time(
    server: EmbeddedDeployment, remote: RemoteDeployment, tmp_path: Path
) -> None:
    impatient = RemoteDeployment(server.url, server.admin_key, tmp_path / "locks", lock_seconds=0.2)
    with pytest.raises(BusyError, match="fewer workers"):
        impatient.start()
    patient = RemoteDeployment(server.url, server.admin_key, tmp_path / "locks", lock_seconds=30)
    order = []

    def wait() -> None:
        patient.start()
        order.append("second")
        patient.close()

    waiting = threading.Thread(target=wait)
    waiting.start()
    order.append("first")
    remote.release()
    waiting.join(HANG_SECONDS)
    assert order == ["first", "second"]
    remote.reset()
    with pytest.raises(BusyError, match="fewer workers"):
        impatient.start()


def test_a_key_that_is_wrong_and_a_server_that_is_none_are_said(
    server: EmbeddedDeployment, tmp_path: Path
) -> None:
    with pytest.raises(InfrastructureError, match="HTTP 403") as raised:
        RemoteDeployment(server.url, "wrong|key", tmp_path).start()
    assert "BadDeployKey" in raised.value.detail
    with pytest.raises(InfrastructureError, match="does not answer"):
        RemoteDeployment("http://127.0.0.1:9", "a|b", tmp_path).start()


CLOUD = "https://happy-otter-1.convex.cloud"


def is_refused(url: str, key: str) -> bool:
    try:
        check_target(url, key, production=False)
    except ConfigurationError:
        return True
    return False


@pytest.mark.parametrize(
    ("url", "key"),
    [(CLOUD, "prod:happy-otter-1|0123"), (CLOUD, "0123abcd"), (CLOUD, "happy-otter-1|0123")],
)
def test_production_is_refused_unless_allowed(url: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match="production deployment"):
        check_target(url, key, production=False)
    check_target(url, key, production=True)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (CLOUD, "dev:happy-otter-1|0123"),
        (CLOUD, "preview:happy-otter-1|0123"),
        ("http://127.0.0.1:3210", "convex-self-hosted|0123"),
        ("http://127.0.0.1:3210", "0135d859"),
    ],
)
def test_other_deployments_are_taken(url: str, key: str) -> None:
    assert not is_refused(url, key)


@pytest.mark.parametrize("key", ["project:team:app|0123", "preview:team:app|0123"])
def test_keys_of_a_project_name_no_deployment(key: str) -> None:
    with pytest.raises(ConfigurationError, match="names no deployment"):
        check_target(CLOUD, key, production=True)


def test_a_url_without_its_key_stops_the_run(tmp_path: Path) -> None:
    for environment in ({}, {ADMIN_KEY_VARIABLE: " "}):
        with pytest.raises(ConfigurationError, match=ADMIN_KEY_VARIABLE):
            make_ready(
                Backend("url", CLOUD),
                node=Path("node"),
                cache=tmp_path,
                progress=lambda line: None,
                environment=environment,
            )
