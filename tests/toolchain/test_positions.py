"""Where something is in a text, in each way of counting."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.places import Position
from pytest_convex_eval.toolchain import positions
from pytest_convex_eval.toolchain.positions import EXCERPT_CHARACTERS, SourceText, SourceTree

# Each way to end a line, and characters of one to four bytes, of one and of two UTF-16 units.
LINES = ("a", "é😀b", "", "c", "d\u20ac", "")
ENDS = ("\n", "\r\n", "\r", "\u2028", "\u2029")
TEXT = "".join(line + end for line, end in zip(LINES, (*ENDS, ""), strict=True))


def places(text: str) -> list[Position]:
    """The position of each character, counted one by one."""
    found, line, column = [], 1, 1
    for at, char in enumerate(text):
        found.append(Position(line, column))
        ends = char in "\n\u2028\u2029" or (char == "\r" and text[at + 1 : at + 2] != "\n")
        line, column = (line + 1, 1) if ends else (line, column + 1)
    return [*found, Position(line, column)]


def test_lines_end_where_ecmascript_says() -> None:
    source = SourceText(TEXT)
    assert tuple(source.line(n) for n in range(1, 7)) == LINES
    assert source.line(0) == LINES[0]
    assert source.line(99) == LINES[-1]


def test_each_offset_is_a_line_and_a_column() -> None:
    source = SourceText(TEXT)
    assert [source.at(n) for n in range(len(TEXT) + 1)] == places(TEXT)
    assert source.at(-5) == Position(1, 1)
    assert source.at(len(TEXT) + 5) == places(TEXT)[-1]


CHARACTERS = st.text("aé€😀\n\r\u2028\u2029", max_size=40)


@given(CHARACTERS, st.integers(1, 7))
def test_bytes_and_units_lead_to_the_characters_that_hold_them(text: str, stride: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(positions, "_STRIDE", stride)
        source, expected = SourceText(text), places(text)
        byte, unit = 0, 0
        starts: dict[int, tuple[int, int]] = {}
        for number, char in enumerate(text):
            place = expected[number]
            first_byte, first_unit = starts.setdefault(place.line, (byte, unit))
            for _ in char.encode():
                assert source.at_byte(byte) == place
                if char not in "\n\r\u2028\u2029":
                    assert source.in_bytes(place.line, byte - first_byte) == place
                byte += 1
            line, column = source.utf16_at(unit)
            assert (line, column) == (place.line, unit - first_unit + 1)
            for _ in range(len(char.encode("utf-16-le")) // 2):
                if char not in "\n\r\u2028\u2029":
                    assert source.in_utf16(place.line, unit - first_unit + 1) == place
                unit += 1
        assert source.at_byte(byte) == source.at_byte(byte + 9) == expected[-1]


def test_what_lies_beyond_a_line_is_its_end() -> None:
    source = SourceText("é\r\nb")
    assert source.in_bytes(1, 99) == source.in_utf16(1, 99) == Position(1, 2)
    assert source.in_bytes(1, -1) == source.in_utf16(1, 0) == Position(1, 1)
    assert source.in_bytes(2, 1) == Position(2, 2)


def test_ascii_and_other_text_are_counted_alike() -> None:
    plain, other = SourceText("ab\ncd"), SourceText("ab\ncdé")
    for n in range(5):
        assert plain.at_byte(n) == other.at_byte(n)
        assert plain.utf16_at(n) == other.utf16_at(n)
    assert plain.in_bytes(2, 1) == other.in_bytes(2, 1) == Position(2, 2)
    assert plain.in_utf16(2, 1) == other.in_utf16(2, 1) == Position(2, 1)


def test_an_excerpt_is_the_beginning_of_its_line() -> None:
    source = SourceText(f"one\n{'x' * (EXCERPT_CHARACTERS + 1)}\n{'y' * EXCERPT_CHARACTERS}\n")
    assert source.excerpt(1) == "one"
    assert source.excerpt(2) == "x" * EXCERPT_CHARACTERS
    assert source.excerpt(3) == "y" * EXCERPT_CHARACTERS


def test_a_tree_reads_each_file_once_and_one_that_is_not_there_as_empty(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes("é\r\n".encode() + b"\xff")
    tree = SourceTree(tmp_path)
    first = tree["a.ts"]
    assert first.text == "é\r\n\ufffd"
    (tmp_path / "a.ts").unlink()
    assert tree["a.ts"] is first
    assert tree["missing.ts"].text == ""
    assert tree["missing.ts"].at(3) == Position(1, 1)
