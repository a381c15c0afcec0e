"""Case files: every problem at once, each with its place and its way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.cases.loader import CaseProblemsError, LoadedCase, load_case
from pytest_convex_eval.cases.source import parse_source

GOOD = """\
summary: A table
prompt: |
  Write a table.
expect:
  tables:
    posts:
      fields: {title: v.string()}
reference:
  package.json: |
    {"dependencies": {"convex": "^1.48.0"}}
  convex/schema.ts: |
    one
    two
mutants:
  - name: gone
    fails: package
    files: {package.json: null}
  - name: changed
    fails: deploy
    edit:
      convex/schema.ts:
        - {replace: one, with: three}
"""


def write(folder: Path, text: str, place: str = "fundamentals/easy/table.yaml") -> Path:
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, place: str = "fundamentals/easy/table.yaml") -> LoadedCase:
    return load_case(write(folder, text, place), "table.yaml")


def problems(folder: Path, text: str, place: str = "fundamentals/easy/table.yaml") -> list[str]:
    with pytest.raises(CaseProblemsError) as caught:
        load(folder, text, place)
    return str(caught.value).splitlines()


def test_a_good_case_is_read_whole(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD)
    assert (loaded.name, loaded.category, loaded.difficulty) == ("table", "fundamentals", "easy")
    gone, changed = loaded.case.mutants
    assert "package.json" not in gone.applied_to(loaded.case.reference)
    assert changed.applied_to(loaded.case.reference)["convex/schema.ts"] == "three\ntwo\n"


def test_every_problem_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("prompt: |", "promt: |").replace("v.string()", "v.strin()")
    text = text.replace("fails: deploy", "fails: depoy") + "summary: again\n"
    assert problems(tmp_path, text) == [
        "table.yaml:1:1: missing key 'prompt'",
        "table.yaml:2:1: unknown key 'promt'; did you mean 'prompt'?",
        "table.yaml:7:23: expect.tables.posts.fields.title: not a Convex validator: expected a "
        "validator that Convex has at column 1, found 'v.strin()'",
        "table.yaml:19:12: mutants[1].fails: Input should be 'format', 'package', 'syntax', "
        "'typecheck', 'deploy', 'behaviour' or 'lint'; did you mean 'deploy'?",
        "table.yaml:23:1: duplicate key 'summary' (first defined on line 1)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "      fields: {title",
            "\tfields: {title",
            "7:1: not valid YAML: found character '\\t' that cannot start any token",
        ),
        ("summary: A table", "summary: 1.10", "1:10: summary: Input should be a valid string; "
         "quote it"),
        ("summary: A table", "summary: ''", "1:10: summary: String should have at least 1"),
        (
            "expect:\n",
            "expect:\n  convex: '>=banana'\n",
            "5:11: expect.convex: '>=banana' is no npm version range",
        ),
        (
            "replace: one",
            "replace: o",
            "22:21: must stand in convex/schema.ts exactly once, and stands there 2 times",
        ),
        (
            "replace: one",
            "replace: four",
            "22:21: must stand in convex/schema.ts exactly once, and stands there nowhere",
        ),
        (
            "      convex/schema.ts:\n        -",
            "      convex/shema.ts:\n        -",
            "22:9: the reference has no file 'convex/shema.ts'; did you mean 'convex/schema.ts'?",
        ),
        ("name: changed", "name: gone", "18:11: a mutant called 'gone' stands above"),
        ("replace: one", "replac: one", "22:12: unknown key "),
    ],
)  # fmt: skip
def test_each_problem_has_its_place(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    told = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(line.startswith(f"table.yaml:{expected}") for line in told), told


def test_folders_say_category_and_difficulty(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, GOOD, "fundamentals/esy/table.yaml")
    assert "the folder 'esy' (did you mean 'easy'?) is none of easy, medium, hard" in told
    loaded = load(tmp_path, GOOD + "category: mine\ndifficulty: hard\n", "table.yaml")
    assert (loaded.category, loaded.difficulty) == ("mine", "hard")


def test_a_reference_can_be_a_folder_beside_the_case(tmp_path: Path) -> None:
    start, end = GOOD.index("reference:"), GOOD.index("mutants:")
    text = GOOD[:start] + "reference: {from: answer}\n" + GOOD[end:]
    assert any("there is no folder 'answer'" in line for line in problems(tmp_path, text))
    folder = tmp_path / "fundamentals/easy/answer"
    (folder / "convex").mkdir(parents=True)
    (folder / "convex/schema.ts").write_text("one\ntwo\n")
    (folder / "package.json").write_text("{}")
    assert set(load(tmp_path, text).case.reference) == {"package.json", "convex/schema.ts"}
    (folder / "secret").symlink_to("/etc/hosts")
    assert any("'secret' is a symbolic link" in line for line in problems(tmp_path, text))
    outside = text.replace("from: answer", "from: ../..")
    assert any("is not a folder below" in line for line in problems(tmp_path, outside))


def test_scalars_are_read_as_editors_read_them() -> None:
    data = parse_source("a: no\nb: 010\nc: 1:30\nd: 2026-01-01\ne: true\nf: ~\ng: 1.5\nh: -3").data
    assert data == {
        "a": "no", "b": "010", "c": "1:30", "d": "2026-01-01", "e": True, "f": None, "g": 1.5,
        "h": -3,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{new}: &{new} [*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old}]\n"
            for old, new in zip("abcdef", "bcdefg", strict=True)
        ),
        "a: &a [*a]",
        "[" * 200_000,
        "[" * 200_000 + "]" * 200_000,
        "\n".join(" " * depth + "a:" for depth in range(1000)),
        "!!python/object/apply:os.system ['true']",
        "? [a, b]\n: c",
        "a: \x07",
        "",
    ],
)
def test_hostile_yaml_is_a_problem_and_never_an_exception(text: str) -> None:
    source = parse_source(text)
    assert (source.data, len(source.problems)) == (None, 1)


@given(st.text())
def test_any_text_is_read_without_an_exception(text: str) -> None:
    source = parse_source(text)
    # Either its root has a place, or there is one reason why it has no root.
    assert () in source.values or len(source.problems) == 1
