"""Files: how they are sent, what is known of them, and how they are got."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.model import HttpAnswer
from tests.deployment.fixtures import PushOnce

APP = """
import { action, mutation, query } from "./_generated/server";
import { v } from "convex/values";
export const upload = mutation({ args: {}, handler: (ctx) => ctx.storage.generateUploadUrl() });
export const url = query({ args: { id: v.string() },
  handler: (ctx, { id }) => ctx.storage.getUrl(id) });
export const drop = mutation({ args: { id: v.string() },
  handler: (ctx, { id }) => ctx.storage.delete(id) });
export const known = query({ args: { id: v.id("_storage") }, handler: async (ctx, { id }) => ({
  row: await ctx.db.system.get(id), metadata: await ctx.storage.getMetadata(id) }) });
export const store = action({ args: { sha256: v.optional(v.string()) },
  handler: (ctx, { sha256 }) => ctx.storage.store(new Blob(["made"]), { sha256 }) });
"""
DATA = b"\x00some bytes\xff"
DIGEST = hashlib.sha256(DATA).digest()


@pytest.fixture
def app(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once({"convex/f.ts": APP})


def send(app: EmbeddedDeployment, url: str, **headers: str) -> HttpAnswer:
    path = url.removeprefix(app.url)
    return Client(app.url, "").send("POST", path, headers, DATA)


def get(app: EmbeddedDeployment, url: Any, **headers: str) -> tuple[HttpAnswer, dict[str, str]]:
    answer = Client(app.url, "").send("GET", str(url).removeprefix(app.url), headers, None)
    return answer, {name.lower(): value for name, value in answer.headers}


def stored(app: EmbeddedDeployment, **headers: str) -> str:
    answer = send(app, str(app.mutation("f:upload").value), **headers)
    assert answer.status == 200, answer.body
    return str(json.loads(answer.body)["storageId"])


def test_a_files_digest_is_base64_in_its_row_and_hexadecimal_in_its_metadata(
    app: EmbeddedDeployment,
) -> None:
    id = stored(app, **{"Content-Type": "image/x"})
    known = app.query("f:known", {"id": id}).value
    assert isinstance(known, dict)
    row, metadata = known["row"], known["metadata"]
    assert isinstance(row, dict)
    assert {name: row[name] for name in row if name != "_creationTime"} == {
        "_id": id,
        "sha256": base64.b64encode(DIGEST).decode(),
        "size": len(DATA),
        "contentType": "image/x",
    }
    assert metadata == {
        "storageId": id,
        "sha256": DIGEST.hex(),
        "size": len(DATA),
        "contentType": "image/x",
    }


def test_a_download_says_what_it_is(app: EmbeddedDeployment) -> None:
    url = app.query("f:url", {"id": stored(app, **{"Content-Type": "image/x"})}).value
    answer, headers = get(app, url)
    assert (answer.status, answer.body) == (200, DATA)
    assert headers["content-type"] == "image/x"
    assert headers["content-length"] == str(len(DATA))
    assert headers["digest"] == f"sha-256={base64.b64encode(DIGEST).decode()}"
    assert headers["accept-ranges"] == "bytes"
    assert headers["cache-control"] == "private, max-age=2592000"
    for asked, status, body in (
        ("bytes=1-4", 206, DATA[1:5]),
        ("bytes=9-", 206, DATA[9:]),
        ("bytes=-3", 206, DATA[-3:]),
        ("bytes=99-", 416, b""),
    ):
        answer, headers = get(app, url, Range=asked)
        assert (answer.status, answer.body) == (status, body)
        assert headers["content-range"].endswith(f"/{len(DATA)}")


def test_a_file_must_have_the_digest_that_comes_with_it(app: EmbeddedDeployment) -> None:
    right = f"sha-256={base64.b64encode(DIGEST).decode()}"
    assert stored(app, Digest=right)
    wrong = f"sha-256={base64.b64encode(bytes(32)).decode()}"
    answer = send(app, str(app.mutation("f:upload").value), Digest=wrong)
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "BadRequest")
    made = hashlib.sha256(b"made")
    assert app.action("f:store", {"sha256": made.hexdigest()}).error is None
    assert "sha256" in str(app.action("f:store", {"sha256": DIGEST.hex()}).error)
    assert len(app.documents("_storage")) == 2


@pytest.mark.parametrize("name", ["nonsense", "", "00000000-0000-4000-8000-00000000000"])
def test_what_is_no_files_path_is_refused(name: str, app: EmbeddedDeployment) -> None:
    answer, _ = get(app, f"/api/storage/{name}")
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "InvalidStoragePath")


def test_a_deleted_file_is_at_no_path(app: EmbeddedDeployment) -> None:
    id = stored(app)
    url = app.query("f:url", {"id": id}).value
    assert app.mutation("f:drop", {"id": id}).error is None
    answer, _ = get(app, url)
    assert (answer.status, json.loads(answer.body)["code"]) == (404, "FileNotFound")
    answer, _ = get(app, "/api/storage/00000000-0000-4000-8000-000000000000")
    assert (answer.status, json.loads(answer.body)["code"]) == (404, "FileNotFound")
    assert f"Uncaught Error: storage id {id} not found" in str(
        app.mutation("f:drop", {"id": id}).error
    )
    invalid = (
        "Uncaught Error: Invalid storage ID: \"x\". Storage ID should be an Id of '_storage' "
        "table, or a UUID string."
    )
    assert invalid in str(app.query("f:url", {"id": "x"}).error)


def test_a_place_to_send_to_is_there_for_an_hour(app: EmbeddedDeployment) -> None:
    url = str(app.mutation("f:upload").value)
    app.advance(3590)
    assert send(app, url).status == 200
    app.advance(20)
    answer = send(app, url)
    assert (answer.status, json.loads(answer.body)["code"]) == (401, "StorageTokenInvalid")
