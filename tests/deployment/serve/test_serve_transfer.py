"""`convex import` and `convex export`, by the official CLI."""

from __future__ import annotations

import base64
import json
import sqlite3
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.deployment.fixtures import MakeProject

if TYPE_CHECKING:
    from tests.deployment.serve.conftest import Convex, Serve, Served


@pytest.fixture
def served(serve: Serve, tmp_path: Path) -> Served:
    return serve("--data", str(tmp_path / "data"))


@pytest.fixture
def project(make_project: MakeProject) -> Path:
    return make_project({"convex/empty.ts": "export {};\n"})


def int64(value: int) -> dict[str, str]:
    return {"$integer": base64.b64encode(struct.pack("<q", value)).decode()}


def plain(served: Served, table: str) -> list[dict[str, Any]]:
    rows = served.calls.documents(table)
    return [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]


ROWS = [{"n": 1.5, "text": 'a "b", c'}, {"n": 2, "text": "líne\nbreak"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.jsonl", "\n".join(json.dumps(row) for row in ROWS)),
        ("rows.json", json.dumps(ROWS)),
        ("rows.csv", '\ufeffn,text\r\n1.5,"a ""b"", c"\r\n2,"líne\nbreak"\r\n'),
    ],
)
def test_a_table_is_imported(
    served: Served, project: Path, convex: Convex, name: str, text: str
) -> None:
    (project / name).write_text(text, encoding="utf-8", newline="")
    done = convex(project, served, "import", "--table", "rows", name)
    assert done.ok, done.stderr
    assert "Added 2 documents" in done.stderr
    assert plain(served, "rows") == ROWS

    again = convex(project, served, "import", "--table", "rows", name)
    assert again.returncode == 1
    assert 'table "rows" has documents already' in again.stderr
    done = convex(project, served, "import", "--table", "rows", "--append", name)
    assert done.ok, done.stderr
    assert plain(served, "rows") == [*ROWS, *ROWS]
    done = convex(project, served, "import", "--table", "rows", "--replace", "--yes", name)
    assert done.ok, done.stderr
    assert plain(served, "rows") == ROWS


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("rows.jsonl", '{"n": 1}\n{"n": \n', "line 2 is no JSON"),
        ("rows.jsonl", '{"n": 1}\n[2]\n', "line 2 is no object"),
        ("rows.json", '{"n": 1}', "the file is no JSON array"),
        ("rows.csv", "a,b\n1,2\n3\n", "record 2 has 1 entries, the header has 2"),
        ("rows.jsonl", '{"n": 1}\n{"$n": 2}\n', "rows, document 2: "),
        ("rows.jsonl", '{"n": 1}\n{"_n": 2}\n', "Field '_n' starts with an underscore"),
        ("rows.zip", "PK", "The file is no ZIP archive"),
    ],
)
def test_a_wrong_file_changes_nothing(
    served: Served, project: Path, convex: Convex, name: str, text: str, why: str
) -> None:
    (project / name).write_text(text)
    table = [] if name.endswith(".zip") else ["--table", "rows"]
    done = convex(project, served, "import", *table, name)
    assert done.returncode == 1
    assert why in done.stderr
    assert served.calls.documents("rows") == []


SCHEMA = {
    "convex/schema.ts": """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  messages: defineTable({ author: v.id("users"), file: v.optional(v.id("_storage")) }),
  users: defineTable({ name: v.string(), age: v.int64(), key: v.bytes(), weight: v.number() }),
  aaa: defineTable({}),
});
""",
    "convex/app.ts": """
import { action, query } from "./_generated/server";
export const store = action({ args: {}, handler: (ctx) =>
  ctx.storage.store(new Blob(["bytes of a file"], { type: "text/x-own" })) });
export const read = query({ args: {}, handler: async (ctx) => {
  const found = [];
  for (const { author, file } of await ctx.db.query("messages").collect()) {
    const url = file === undefined ? null : await ctx.storage.getUrl(file);
    found.push([(await ctx.db.get(author))?.name, url]);
  }
  return found;
} });
""",
}


def test_a_snapshot_is_restored_elsewhere(
    serve: Serve, served: Served, make_project: MakeProject, convex: Convex, tmp_path: Path
) -> None:
    project = make_project(SCHEMA, name="first")
    push = ("dev", "--once", "--tail-logs", "disable", "--typecheck", "disable")
    done = convex(project, served, *push)
    assert done.ok, done.stderr
    values: dict[str, Any] = {
        "age": int64(2**62),
        "key": {"$bytes": "AAEC"},
        "weight": {"$float": "AAAAAAAA8H8="},
    }
    ada, bob = served.calls.insert("users", [{"name": "ada", **values}, {"name": "bob", **values}])
    file = served.calls.call("action", "app:store").value
    served.calls.insert("messages", [{"author": bob, "file": file}, {"author": ada}])
    tables = {name: served.calls.documents(name) for name in ("users", "messages")}
    done = convex(project, served, "export", "--include-file-storage", "--path", "snapshot.zip")
    assert done.ok, done.stderr
    with zipfile.ZipFile(project / "snapshot.zip") as archive:
        assert archive.testzip() is None
        assert archive.read(f"_storage/{file}") == b"bytes of a file"
        names = archive.read("users/documents.jsonl").decode().splitlines()
        assert [json.loads(line)["name"] for line in names] == ["ada", "bob"]

    # Elsewhere, tables have other numbers, and some of those that the ids name are taken.
    data = tmp_path / "elsewhere"
    other = serve("--data", str(data))
    other.calls.insert("early", [{"n": 1}])
    other.calls.client.post("/api/convex_eval/reset")
    second = make_project(
        {**SCHEMA, "convex/schema.ts": SCHEMA["convex/schema.ts"].replace("aaa", "zzz")},
        name="second",
    )
    done = convex(second, other, *push)
    assert done.ok, done.stderr
    done = convex(second, other, "import", "--yes", str(project / "snapshot.zip"))
    assert done.ok, done.stderr
    assert "Added 5 documents" in done.stderr

    def is_restored(other: Served) -> None:
        assert {name: other.calls.documents(name) for name in tables} == tables
        found: Any = other.calls.call("query", "app:read").value
        (name, url), without = found
        assert (name, without) == ("bob", ["ada", None])
        assert other.calls.fetch("GET", url, {}, None).body == b"bytes of a file"

    is_restored(other)
    # The same once more, in place of itself.
    done = convex(second, other, "import", "--replace-all", "--yes", str(project / "snapshot.zip"))
    assert done.ok, done.stderr
    is_restored(other)
    (new,) = other.calls.insert("users", [{"name": "eve", **values}])
    assert new not in (ada, bob)
    other.kill()
    other = serve("--data", str(data))
    assert other.calls.documents("users")[-1]["_id"] == new
    assert other.calls.documents("messages") == tables["messages"]
    assert other.calls.documents("zzz") == []
    done = convex(second, other, "import", "--append", "--yes", str(project / "snapshot.zip"))
    assert done.returncode == 1
    assert "there is a document with the id" in done.stderr
    assert len(other.calls.documents("users")) == 3
    with sqlite3.connect(data / "deployment.sqlite3") as connection:
        numbers = connection.execute("SELECT count(*), count(DISTINCT name) FROM tables").fetchone()
    connection.close()
    assert numbers[0] == numbers[1]


def test_an_archive_of_others_can_be_read(served: Served, project: Path, convex: Convex) -> None:
    """Stored entries, folders, entries without known sizes in front, and more files than ours."""
    with zipfile.ZipFile(project / "other.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("README.md", "hello")
        archive.mkdir("rows")
        archive.writestr("rows/generated_schema.jsonl", '"uniform"\n')
        with archive.open("rows/documents.jsonl", "w", force_zip64=True) as entry:
            entry.write(b'{"n": 1}\n{"n": 2}\n')
        archive.writestr("_tables/documents.jsonl", '{"name": "rows", "id": 10001}\n')
    done = convex(project, served, "import", "other.zip")
    assert done.ok, done.stderr
    assert plain(served, "rows") == [{"n": 1}, {"n": 2}]


def test_more_than_a_transaction_may_hold_can_be_imported(
    served: Served, project: Path, convex: Convex
) -> None:
    count = 20_000
    (project / "many.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(count)))
    done = convex(project, served, "import", "--table", "rows", "many.csv")
    assert done.ok, done.stderr
    assert f"Added {count} documents" in done.stderr
    assert len(served.calls.documents("rows")) == count
