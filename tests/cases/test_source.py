"""A YAML file as data with places; what is amiss is told with its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_convex_eval.cases import source as module
from pytest_convex_eval.cases.source import (
    LARGEST_FILE,
    Location,
    Problem,
    Source,
    parse_source,
    read_source,
)
from pytest_convex_eval.places import Position


def told(source: Source) -> list[tuple[int, int, str]]:
    return [(place.line, place.column, message) for place, message in source.problems]


def test_every_key_and_value_has_its_place() -> None:
    source = parse_source("a: 1\nb:\n  - x\n  - c: {d: ü}\n")
    assert source.data == {"a": 1, "b": ["x", {"c": {"d": "ü"}}]}
    places: dict[Location, tuple[int, int]] = {
        (): (1, 1),
        ("a",): (1, 4),
        ("b",): (3, 3),
        ("b", 0): (3, 5),
        ("b", 1): (4, 5),
        ("b", 1, "c"): (4, 8),
        ("b", 1, "c", "d"): (4, 12),
        # Of what is not there, the place of what is around it.
        ("b", 1, "z", "y"): (4, 5),
        ("z",): (1, 1),
    }
    for location, (line, column) in places.items():
        assert source.position(location) == Position(line, column)
    assert source.key_position(("b", 1, "c", "d")) == Position(4, 9)
    assert source.key_position(("b",)) == Position(2, 1)
    assert source.key_position(("b", 1, "z")) == Position(4, 5)
    assert Source(None).position(("a",)) == Position(1, 1)


def test_a_problem_is_shown_with_its_place() -> None:
    assert str(Problem("a.yaml", Position(3, 7), "not so")) == "a.yaml:3:7: not so"
    assert sorted([Position(2, 1), Position(1, 9), Position(1, 2)]) == [
        Position(1, 2),
        Position(1, 9),
        Position(2, 1),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(1, 1, "the file is empty")]),
        ("# only a comment\n", [(1, 1, "the file is empty")]),
        ("a: 1\nb: \x07", [(2, 4, "not valid YAML: character '\\x07'")]),
        ("\x07", [(1, 1, "not valid YAML: character '\\x07'")]),
        ("a: 1\na: 2\nb: {c: 1, c: 2}", [
            (2, 1, "duplicate key 'a' (first defined on line 1)"),
            (3, 11, "duplicate key 'c' (first defined on line 3)"),
        ]),
        ("? [a]\n: 1\nb: 1\nb: 2", [
            (1, 3, "a key must be a plain word"),
            (4, 1, "duplicate key 'b' (first defined on line 3)"),
        ]),
        ("a: {<<: {b: 1}}", [
            (1, 5, "merge keys (<<) are no part of YAML 1.2; write the fields out"),
        ]),
        ("a: [", [(1, 5, "not valid YAML: expected the node content, but found '<stream end>'")]),
        ("a: &a [*a]", [(1, 1, "not valid YAML: an alias stands for something that contains it")]),
    ],
)  # fmt: skip
def test_what_is_amiss_is_told_where_it_stands(
    text: str, expected: list[tuple[int, int, str]]
) -> None:
    assert told(parse_source(text)) == expected


def test_a_quoted_merge_key_is_a_key_like_any_other() -> None:
    assert parse_source("'<<': 1").data == {"<<": 1}
    assert parse_source("'<<': 1").problems == ()


@pytest.mark.parametrize(("depth", "problems"), [(100, []), (101, [(1, 1, "nested too deeply")])])
def test_nesting_has_a_limit(depth: int, problems: list[tuple[int, int, str]]) -> None:
    assert told(parse_source("[" * depth + "]" * depth)) == problems
    # What stands beside each other is no deeper.
    assert told(parse_source("[" + "[[]], " * depth + "]")) == []


def test_aliases_count_as_what_they_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # The mapping, its keys, the list with its three, and the same list again.
    monkeypatch.setattr(module, "_MOST_NODES", 11)
    assert parse_source("a: &a [1, 2, 3]\nb: *a").data == {"a": [1, 2, 3], "b": [1, 2, 3]}
    monkeypatch.setattr(module, "_MOST_NODES", 10)
    expected = [(1, 1, "too many values (aliases written out)")]
    assert told(parse_source("a: &a [1, 2, 3]\nb: *a")) == expected


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("True", True), ("FALSE", False), ("yes", "yes"), ("tRue", "tRue"),
        ("Null", None), ("", None), ("NULL", None), ("nUll", "nUll"),
        ("+5", 5), ("0", 0), ("00", "00"), ("5_000", "5_000"), ("0x10", "0x10"), ("0o7", "0o7"),
        ("1.", 1.0), ("-.5", -0.5), ("1e3", 1000.0), ("01.5", "01.5"), (".inf", ".inf"),
        ("'1'", "1"), ("=", "="), ("2026-01-01", "2026-01-01"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_yaml_1_2_says(written: str, value: object) -> None:
    read = parse_source(f"a: {written}").data["a"]
    assert read == value
    assert type(read) is type(value)


def test_line_ends_of_windows_are_none_of_the_text() -> None:
    assert parse_source("a: |\r\n  x\r\n  y\r\n").data == {"a": "x\ny\n"}


def test_a_file_is_read_as_utf8_with_or_without_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("\ufeffa: é".encode())
    assert read_source(path).data == {"a": "é"}
    path.write_bytes(b"a: 1\nb: 2\nc: \xe9\n")
    assert told(read_source(path)) == [(3, 1, "not valid UTF-8")]
    with pytest.raises(FileNotFoundError):
        read_source(tmp_path / "none.yaml")


def test_a_file_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    text = "a: |\n  " + "x" * (LARGEST_FILE - 7)
    path.write_text(text)
    assert read_source(path).problems == ()
    path.write_text(text + "x")
    assert told(read_source(path)) == [(1, 1, f"larger than {LARGEST_FILE} bytes")]
