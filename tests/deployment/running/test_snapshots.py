"""Files in imports, and snapshots of all data."""

from __future__ import annotations

from typing import Any

from tests.deployment.running.importing import LIVE
from tests.deployment.server_modules import InServer


def test_files_are_imported_with_their_rows(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const old = await all.transaction((it) => storage.store(it, "",
        {{ bytes: Buffer.from("old"), contentType: null }}));
      const id = idOf(1, 7);
      const archive = (files) => writeZip([documentsEntry("", "_storage",
        [{{ _id: id, _creationTime: 3, contentType: "a/b" }}]), ...files]);
      const {{ error_message }} = await perform(begun(archive([]),
        {{ format: "zip", mode: "replace" }}));
      const kept = storage.bytesOf(old).toString();
      const state = await perform(begun(archive([[`_storage/${{id}}.txt`, Buffer.from("new")]]),
        {{ format: "zip", mode: "replace" }}));
      const found = [...tables.find("", "_storage").documents.values()].map(
        ({{ _creationTime, contentType, size }}) => [_creationTime, contentType, size]);
      return [error_message.replace(id, "ID"), kept, state.state, found,
        storage.bytesOf(id).toString(), await thrown(() => storage.bytesOf(old)) === null];
    """)
    assert found == [
        *("_storage, document 1: the archive has no file ID", "old", "completed"),
        *([[3, "a/b", 3]], "new", False),
    ]


def test_a_snapshot_has_every_component_and_is_read_back(in_server: InServer) -> None:
    found: Any = in_server(f"""{LIVE}
      const both = new Map([["", schema({{ t: {{}} }})], ["one", schema({{ u: {{}} }})],
        ["one/two", null]]);
      tables.useSchemas(both);
      await insert("t", {{ a: 1 }});
      await all.transaction((it) => {{ it.insert("one", "u", {{ b: 2 }});
        it.insert("one/two", "w", {{ c: 3 }}); }});
      const file = await all.transaction((it) => storage.store(it, "one",
        {{ bytes: Buffer.from("x"), contentType: "a/b" }}));
      const told = [];
      services.onChange((changed) => told.push(changed === null ? null : [...changed]));
      const none = app.exports.latest();
      const archives = [];
      for (const withFiles of [false, true]) {{
        await app.exports.create({{ withFiles }});
        archives.push(app.exports.archive(app.exports.latest().zip_object_key));
      }}
      const {{ state, start_ts, complete_ts }} = app.exports.latest();
      const names = archives.map((archive) => readZip(archive, 1e6).map(([name]) =>
        name.replace(file, "FILE")));
      const content = new Map(readZip(archives[1], 1e6));
      const other = deploy();
      other.services.tables.useSchemas(both);
      const token = other.imports.startUpload();
      other.imports.addPart(token, 1, archives[1]);
      const id = other.imports.finishUpload(token, {{ format: "zip", mode: "requireEmpty",
        table: null, component: null }});
      await other.imports.perform(id);
      const read = (component, table) => plain([...other.services.tables.find(component,
        table).documents.values()]);
      return [none, told, names, content.get("_components/one/u/documents.jsonl").toString(
        ).includes('"b":2'),
        content.get("_components/one/_tables/documents.jsonl").toString(),
          [state, start_ts.$integer === complete_ts.$integer],
        [read("", "t"), read("one", "u"), read("one/two", "w"), other.services.storage.bytesOf(
          file).toString()],
        await thrown(() => app.exports.archive("5")), other.imports.describe(
          id).state.num_rows_written];
    """)
    none, told, names, holds, listed, state, read, missing, written = found
    assert none is None
    assert told == [["/_exports"]] * 2
    without = [
        "README.md",
        "_tables/documents.jsonl",
        "t/documents.jsonl",
        "_components/one/_tables/documents.jsonl",
        "_components/one/u/documents.jsonl",
        "_components/one/_components/two/_tables/documents.jsonl",
        "_components/one/_components/two/w/documents.jsonl",
    ]
    assert names[0] == without
    assert set(names[1]) - set(without) == {
        "_storage/documents.jsonl",
        "_components/one/_storage/documents.jsonl",
        "_components/one/_storage/FILE",
        "_components/one/_components/two/_storage/documents.jsonl",
    }
    assert holds
    assert listed == '{"name":"u","id":10002}\n'
    assert state == ["completed", True]
    assert read == [[{"a": 1}], [{"b": 2}], [{"c": 3}], "x"]
    assert missing == "There is no snapshot of 5, or a newer one was made."
    assert written == {"$integer": "BAAAAAAAAAA="}
