"""The form of rows: what is told of a file that breaks it, and what is made of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployment.official.apps import App, apps, function_path
from tests.deployment.official.form import Call, FormError, Request, load

GOOD = """
section: a section
schema: |
  notes: defineTable({}),
rows:
  - {name: first row, query: return 1;, value: 1}
  - {name: second row, http_action: return null;, request: GET /x, status: 500}
  - name: third row
    schema: |
      other: defineTable({}),
    mutation: return null;
    validator: "{ a: v.string() }"
    steps: [{args: {a: x}, value: null}]
  - {name: fourth row, files: {a.ts: x}, refused: {code: InvalidModules}}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "rows.yaml"
    path.write_text(text, "utf-8")
    return path


def made(folder: Path) -> list[App]:
    return list(apps(load(written(folder, GOOD))))


def problems(folder: Path, rows: str) -> list[str]:
    with pytest.raises(FormError) as raised:
        load(written(folder, f"section: s\nrows:\n{rows}"))
    return str(raised.value).splitlines()


def test_rows_share_an_app_but_for_those_with_something_of_their_own(tmp_path: Path) -> None:
    assert [[row.name for row in app.rows] for app in made(tmp_path)] == [
        ["first row", "second row"],
        ["third row"],
        ["fourth row"],
    ]


def test_an_app_has_a_module_for_each_row_and_one_router_and_schema(tmp_path: Path) -> None:
    shared, own, refused = made(tmp_path)
    assert list(shared.files("")) == [
        "convex/rows/first_row.ts",
        "convex/rows/second_row.ts",
        "convex/http.ts",
        "convex/schema.ts",
    ]
    assert "notes: defineTable({})" in shared.files("")["convex/schema.ts"]
    assert "other: defineTable({})" in own.files("")["convex/schema.ts"]
    assert "args: { a: v.string() }," in own.files("")["convex/rows/third_row.ts"]
    assert refused.files("")["convex/a.ts"] == "x"


def test_a_row_can_have_the_keys_of_its_only_step(tmp_path: Path) -> None:
    first, second = load(written(tmp_path, GOOD)).file.rows[:2]
    assert first.steps == (Call(value=1),)
    assert second.steps == (Request(request="GET /x", status=500),)
    assert (first.kind, function_path(first, "f")) == ("query", "rows/first_row:f")


def test_all_mistakes_of_a_file_are_told_with_their_rows(tmp_path: Path) -> None:
    rows = """\
  - {name: one row, query: x, valeu: 1}
  - {name: another row, query: x, value: 1, error: x}

  - {name: third row, request: FETCH /, status: 1}
"""
    assert problems(tmp_path, rows) == [
        "rows.yaml:3: 'one row': valeu: Extra inputs are not permitted",
        "rows.yaml:4: 'another row': steps.0: `value` and `error` are two endings of one call",
        "rows.yaml:6: 'third row': steps.0: `request` is `METHOD /path`",
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{name: a row, query: x}", "a row expects something"),
        ("{name: a row, query: x, steps: [{args: {}}]}", "a row expects something"),
        ("{name: a row, value: 1}", "a row has code"),
        ("{name: a row, query: x, mutation: x, value: 1}", "`query` and `mutation` are two codes"),
        ("{name: a row, module: x, call: f, value: 1}", "says its `kind`"),
        ("{name: a row, module: x, validator: x, kind: query, value: 1}", "handler's body"),
        ("{name: a row, query: x, refused: {}}", "a refusal has"),
        ("{name: a row, query: x, refused: {code: X, cli: x}}", "a refusal has"),
        ("{name: a row, query: x, value: 1, refused: {code: X}}", "can't be called"),
        ("{name: a row, query: x, value: 1, data: 1}", "`data` is that of an `error`"),
        ("{name: a row, query: x, value: 1, args: {}, kind: queries}", "Input should be"),
        ("{name: a row, query: 1, value: 1}", "should be a valid string"),
    ],
)
def test_what_no_row_can_be_is_refused(tmp_path: Path, row: str, told: str) -> None:
    found = problems(tmp_path, f"  - {row}\n")
    assert len(found) == 1
    assert told in found[0]


def test_two_rows_of_a_file_have_two_names(tmp_path: Path) -> None:
    rows = "  - {name: a row, query: x, value: 1}\n  - {name: A row!, query: x, value: 1}\n"
    assert problems(tmp_path, rows) == ["rows.yaml:1: rows 'a row' and 'A row!' have the same name"]


def test_a_file_without_rows_is_none(tmp_path: Path) -> None:
    with pytest.raises(FormError, match="there are no rows"):
        load(written(tmp_path, "section: s\nrows: []\n"))


def test_what_is_no_yaml_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(FormError, match=r"rows\.yaml: .*\n.*line 3"):
        load(written(tmp_path, "section: s\nrows:\n  - name: a: b\n"))
