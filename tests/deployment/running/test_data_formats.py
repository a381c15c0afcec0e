"""Files that hold data: lines and arrays of JSON, CSV, and archives."""

from __future__ import annotations

import base64
import io
import struct
import zipfile
import zlib
from typing import Any

import pytest

from tests.deployment.server_modules import InServer

READ = """
  const bytes = Buffer.from(args.text);
  try {
    const { tables, files } = readData(bytes, { format: args.format, table: "t",
      component: "one" });
    return { tables, files: [...files] };
  } catch (error) { return [error.constructor.name, error.message.split(":")[0]]; }
"""

ROWS: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "lines": ("jsonLines", '{"a": 1}\n{"a": {"b": []}}', [{"a": 1}, {"a": {"b": []}}]),
    "lines between others": ("jsonLines", '\n{"a": 1}\r\n  \n{"a": 2}\n\n', [{"a": 1}, {"a": 2}]),
    "no lines": ("jsonLines", "", []),
    "a mark of the order of bytes": ("jsonLines", '\ufeff{"a": 1}', [{"a": 1}]),
    "an array": ("jsonArray", '[{"a": 1}, {}]', [{"a": 1}, {}]),
    "an empty array": ("jsonArray", "[]", []),
    "CSV": ("csv", "a,b\n1,x\n2,y", [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
    "CSV with ends of lines": ("csv", "a,b\r\n1,x\r\n", [{"a": 1, "b": "x"}]),
    "CSV with quotes": ("csv", 'a,"b"\n"x,""y""\nz",""', [{"a": 'x,"y"\nz', "b": ""}]),
    "CSV of nothing": ("csv", "a,b\n", []),
    "CSV with empty entries": (
        "csv",
        "a,b\n,\nx,\n,y",
        [
            {"a": "", "b": ""},
            {"a": "x", "b": ""},
            {"a": "", "b": "y"},
        ],
    ),
    "CSV with empty lines": ("csv", "a\n\nx\n\n", [{"a": "x"}]),
    "CSV with numbers": (
        "csv",
        "a\n-1\n+2\n3.\n.5\n1e3\n1E-2\n007",
        [{"a": a} for a in (-1, 2, 3, 0.5, 1000, 0.01, 7)],
    ),
    "CSV with texts like numbers": (
        "csv",
        "a\n1 \n0x10\n1e\n.\n-\n1e999\nNaN\nInfinity\n1_0\n1x",
        [{"a": a} for a in ("1 ", "0x10", "1e", ".", "-", "1e999", "NaN", "Infinity", "1_0", "1x")],
    ),
}


@pytest.mark.parametrize(("format_", "text", "rows"), ROWS.values(), ids=ROWS.keys())
def test_rows_are_read(
    in_server: InServer, format_: str, text: str, rows: list[dict[str, Any]]
) -> None:
    found = in_server(READ, text=text, format=format_)
    assert found == {"tables": [{"component": "one", "table": "t", "rows": rows}], "files": []}


WRONG: dict[str, tuple[str, str, str]] = {
    "a line that is no JSON": ("jsonLines", '{}\n\n{"a"}', "line 3 is no JSON"),
    "a line that is no object": ("jsonLines", "{}\n[]", "line 2 is no object"),
    "a line of null": ("jsonLines", "null", "line 1 is no object"),
    "a line of text": ("jsonLines", '"x"', "line 1 is no object"),
    "no JSON": ("jsonArray", "[", "the file is no JSON"),
    "no array": ("jsonArray", "{}", "the file is no JSON array"),
    "an element that is no object": ("jsonArray", "[{}, 1]", "element 1 is no object"),
    "no header": ("csv", "", "the file has no header"),
    "a column twice": ("csv", "a,b,a\n1,2,3", "two columns have the same name"),
    "a short record": ("csv", "a,b\n1,2\n3", "record 2 has 1 entries, the header has 2"),
    "a long record": ("csv", "a\n1,2", "record 1 has 2 entries, the header has 1"),
    "a quote within": ("csv", 'a\nb\nx"y', "record 2 is no CSV"),
    "a quote that stays open": ("csv", 'a\n"x', "record 1 is no CSV"),
    "something behind a quote": ("csv", 'a\n"x"y', "record 1 is no CSV"),
}


@pytest.mark.parametrize(("format_", "text", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_can_not_be_read_is_told_with_its_place(
    in_server: InServer, format_: str, text: str, message: str
) -> None:
    assert in_server(READ, text=text, format=format_) == ["FormatError", message]


def test_what_is_in_a_snapshot(in_server: InServer) -> None:
    files = {
        "README.md": "hello",
        "t/documents.jsonl": '{"a": 1}\n',
        "t/generated_schema.jsonl": "nonsense",
        "t/deep/documents.jsonl": "nonsense",
        "_tables/documents.jsonl": '{"name": "t", "id": 1}\n',
        "_storage/documents.jsonl": '{"_id": "id"}\n',
        "_storage/id.png": "bytes",
        "_storage/other": "more",
        "_components/one/u/documents.jsonl": "",
        "_components/one/_components/two/_storage/id": "of two",
    }
    found = in_server(
        """
        const { tables, files } = readData(writeZip(Object.entries(args.files).map(
          ([name, text]) => [name, Buffer.from(text)])),
          { format: "zip", table: null, component: "" });
        return [tables, [...files].map(([key, content]) => [key, content.toString()])];
        """,
        files=files,
    )
    assert found == [
        [
            {"component": "", "table": "t", "rows": [{"a": 1}]},
            {"component": "", "table": "_storage", "rows": [{"_id": "id"}]},
            {"component": "one", "table": "u", "rows": []},
        ],
        [
            ['["","id"]', "bytes"],
            ['["","other"]', "more"],
            ['["one/two","id"]', "of two"],
        ],
    ]


def test_a_line_of_a_snapshot_is_told_by_its_entry(in_server: InServer) -> None:
    found = in_server("""
      const archive = writeZip([["t/documents.jsonl", Buffer.from("{}\\n[]")]]);
      return await thrown(() => readData(archive, { format: "zip", table: null, component: "" }));
    """)
    assert found == "t/documents.jsonl line 2 is no object"


OPEN = """
  const archive = Buffer.from(args.archive, "base64");
  try { return readZip(archive, args.limit ?? 1e6).map(([name, content]) =>
    [name, content.toString()]); }
  catch (error) { return [error.constructor.name, error.message]; }
"""


def packed(method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.mkdir("folder")
        archive.writestr("folder/é", "text " * 20)
        archive.writestr("empty", "")
        archive.comment = comment
    return out.getvalue()


def opened(in_server: InServer, archive: bytes, **args: Any) -> Any:
    return in_server(OPEN, archive=base64.b64encode(archive).decode(), **args)


TEXT = "text " * 20
CONTENT = [["folder/é", TEXT], ["empty", ""]]


@pytest.mark.parametrize(
    "archive",
    [
        packed(),
        packed(zipfile.ZIP_STORED),
        packed(comment=b"a comment"),
        packed(comment=b"x" * 65_535),
    ],
    ids=["deflated", "stored", "comment", "the longest comment"],
)
def test_an_archive_of_others_is_read(in_server: InServer, archive: bytes) -> None:
    assert opened(in_server, archive) == CONTENT


def test_an_archive_with_wide_sizes_is_read(in_server: InServer) -> None:
    """Sizes, offset, count and place of the directory are where 64 bits are for them."""
    body = b"wide"
    crc = zlib.crc32(body)
    most = 0xFFFF_FFFF
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 33, crc, most, most, 1, 20)
    local += b"a" + struct.pack("<HHQQ", 1, 16, 4, 4) + body
    extra = struct.pack("<HHB", 9, 1, 0) + struct.pack("<HHQQQ", 1, 24, 4, 4, 0)
    central = struct.pack(
        "<IHHHHHHIIIHHHHHII",
        *(0x02014B50, 45, 45, 0, 0, 0, 33, crc, most, most, 1, len(extra), 0, 0, 0, 0, most),
    )
    central += b"a" + extra
    start = len(local)
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 1, 1, len(central), start)
    locator = struct.pack("<IIQI", 0x07064B50, 0, start + len(central), 1)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, most, most, 0)
    archive = local + central + end64 + locator + end
    assert opened(in_server, archive) == [["a", "wide"]]
    damaged = archive.replace(b"PK\x06\x06", b"PK\x06\x05")
    assert opened(in_server, damaged) == ["ZipError", "The ZIP archive's end is damaged."]


def test_a_damaged_archive_is_told(in_server: InServer) -> None:
    stored = packed(zipfile.ZIP_STORED)
    changed = stored.replace(b"text text", b"text tExt", 1)
    assert opened(in_server, changed) == ["ZipError", "folder/é is damaged."]
    directory = stored.replace(b"PK\x01\x02", b"PK\x01\x03", 1)
    assert opened(in_server, directory) == [
        "ZipError",
        "The ZIP archive's directory is damaged.",
    ]
    kind, message = opened(in_server, packed().replace(b"\x2b\x49\xad", b"\xff\xff\xff", 1))
    assert kind == "ZipError"
    assert message.startswith("The ZIP archive is damaged: ")
    for none in (b"", b"PK", b"x" * 100, stored[:-1]):
        assert opened(in_server, none) == ["ZipError", "The file is no ZIP archive."]
    cut = stored[10:]
    assert opened(in_server, cut)[0] == "ZipError"


def test_an_archive_that_is_packed_otherwise_is_refused(in_server: InServer) -> None:
    archive = packed(zipfile.ZIP_LZMA)
    assert opened(in_server, archive) == [
        "ZipError",
        "folder/é is packed in a way that can't be read.",
    ]


def test_contents_have_a_largest_size_together(in_server: InServer) -> None:
    assert opened(in_server, packed(), limit=len(TEXT)) == CONTENT
    assert opened(in_server, packed(), limit=len(TEXT) - 1) == [
        "ZipError",
        "The ZIP archive's contents are too large.",
    ]


def test_what_is_written_is_read_by_others(in_server: InServer) -> None:
    made = in_server("""
      const entries = [["a/é.txt", Buffer.from("x".repeat(1000))], ["empty", Buffer.alloc(0)]];
      const archive = writeZip(entries);
      return [archive.toString("base64"), archive.equals(writeZip(entries)), readZip(archive,
        1000).length];
    """)
    text, same, count = made
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(text))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a/é.txt", "empty"]
        assert archive.read("a/é.txt") == b"x" * 1000
        assert archive.getinfo("a/é.txt").date_time[:3] == (1980, 1, 1)
        assert archive.getinfo("a/é.txt").compress_size < 100
    assert (same, count) == (True, 2)
