"""Files beside their rows: what a roll-back, a deletion and a reset leave of them."""

from __future__ import annotations

from tests.deployment.server_modules import InServer

LIVE = """
  const { services } = deploy();
  const { storage, tables, functions: all } = services;
  const store = (text, more = {}, component = "") => (it) =>
    storage.store(it, component, { bytes: Buffer.from(text), contentType: null, ...more });
  const made = (text, more) => all.transaction(store(text, more));
  const read = (work) => all.transaction(work, { writes: false });
  const load = (id, component = "") => read((it) => storage.load(it, component,
    id)?.bytes.toString() ?? null);
  const uuid = async (id) => (await read((it) => storage.url(it, "", id)))?.split("/").at(
    -1) ?? null;
"""


def test_a_file_that_was_stored_in_vain_is_nowhere(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      let id;
      const before = tables.find("", "_storage").documents.size;
      await thrown(() => all.transaction((it) => {{ id = store("x")(it);
        throw new UserError("no"); }}));
      return [before, tables.find("", "_storage").documents.size, await load(id), await uuid(id)];
    """)
    assert found == [0, 0, None, None]


def test_a_file_that_was_deleted_in_vain_is_still_there(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const id = await made("text", {{ contentType: "a/b" }});
      const place = await uuid(id);
      await thrown(() => all.transaction((it) => {{ storage.delete(it, "", id);
        throw new UserError("no"); }}));
      await all.transaction((it) => {{ const at = it.savepoint(); storage.delete(it, "", id);
        it.rollBack(at); }});
      const file = storage.at(place);
      return [await load(id), await uuid(id) === place, file.bytes.toString(), file.id === id,
        storage.bytesOf(id).toString(),
        (await read((it) => storage.load(it, "", id))).contentType];
    """)
    assert found == ["text", True, "text", True, "text", "a/b"]


def test_a_deleted_file_is_gone_with_its_bytes(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const [id, other] = [await made("one"), await made("two")];
      const place = await uuid(id);
      await all.transaction((it) => storage.delete(it, "", place));
      const lost = await thrown(() => storage.bytesOf(id));
      return [storage.at(place), await load(id), await uuid(id), await thrown(() =>
        all.transaction((it) => storage.delete(it, "", id))),
        lost, await load(other)].map((each) => (typeof each === "string" ? each.replace(id,
          "ID") : each));
    """)
    lost = "The bytes of ID are lost."
    assert found == [None, None, None, "storage id ID not found", lost, "two"]


def test_what_is_known_of_a_file(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const [id, typed] = [await made("text"), await made("", {{ contentType: "a/b" }})];
      const about = (id) => read((it) => storage.metadata(it, "", id));
      const [one, two] = [await about(id), await about(await uuid(typed))];
      const rows = [...tables.find("", "_storage").documents.values()];
      return [one.storageId === id, two.storageId === typed, {{ ...one, storageId: 0 }},
        [two.size, two.contentType],
        rows.map(({{ _id, _creationTime, ...rest }}) => rest), rows[0]._creationTime - START];
    """)
    digest = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
    assert found == [
        *(True, True),
        {"storageId": 0, "sha256": digest, "size": 4, "contentType": None},
        [0, "a/b"],
        [
            {"sha256": "mC2ePrmW9VnmM/TRlN7zdh2Qn1o7ZH0ahR/q1nwyydE=", "size": 4},
            {
                "contentType": "a/b",
                "sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
                "size": 0,
            },
        ],
        0,
    ]


def test_a_file_keeps_the_id_and_the_time_that_it_is_given(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const id = tables.newId(tables.find("", "_storage"));
      const kept = await made("x", {{ id, creationTime: 5 }});
      return [kept === id, tables.find("", "_storage").documents.get(id)._creationTime,
        await load(id)];
    """)
    assert found == [True, 5, "x"]


def test_a_digest_must_be_right_in_either_form(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const hex = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
      const base64 = Buffer.from(hex, "hex").toString("base64");
      const attempt = (sha256) => thrown(() => made("x", {{ sha256 }}));
      return [await attempt(hex), await attempt(base64), await attempt(hex.toUpperCase()),
        await attempt(""),
        tables.find("", "_storage").documents.size];
    """)
    wrong = "The file's sha256 is not the one that was given."
    assert found == [None, None, wrong, wrong, 2]


def test_an_id_of_another_table_is_no_files(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      tables.useSchemas(new Map([["", null], ["one", null]]));
      const row = await all.transaction((it) => it.insert("", "t", {{}}));
      const file = await made("own");
      const inOne = await all.transaction(store("of one", {{}}, "one"));
      const attempt = (id) => thrown(() => load(id));
      return [(await attempt(row)).replace(row, "ID"), await attempt("x"),
        await load("00000000-0000-4000-8000-000000000000"),
        await load(inOne), await load(inOne, "one"), await load(file, "one")];
    """)
    invalid = (
        'Invalid storage ID: "{}". Storage ID should be an Id of '
        "'_storage' table, or a UUID string."
    )
    other = "Invalid storage ID. Storage ID cannot be an ID on any table other than '_storage'."
    assert found == [other, invalid.format("x"), None, None, "of one", None]


def test_a_look_at_a_file_depends_on_the_files(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const id = await made("x");
      return await read((it) => {{ storage.url(it, "", id); return [...it.reads]; }});
    """)
    assert found == ["/_storage"]


def test_a_place_to_send_to_is_there_for_an_hour_and_for_its_component(
    in_server: InServer,
) -> None:
    found = in_server(f"""{LIVE}
      const url = storage.uploadUrl("one");
      const token = new URL(url).searchParams.get("token");
      const seen = [url.startsWith("http://127.0.0.1:1/api/storage/upload?token="),
        token.length >= 32, storage.redeem(token)];
      stopTime(START + 3_600_000);
      seen.push(storage.redeem(token), storage.redeem(null), storage.redeem("other"));
      stopTime(START + 3_600_001);
      seen.push(storage.redeem(token));
      stopTime(START);
      services.clear();
      return [...seen, storage.redeem(token)];
    """)
    assert found == [True, True, "one", "one", None, None, None, None]


def test_a_reset_leaves_no_file(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const id = await made("x");
      const place = await uuid(id);
      services.clear();
      const again = await made("y");
      return [storage.at(place), again === id, await load(again), await uuid(again) === place];
    """)
    assert found == [None, True, "y", False]
