"""Case files: every problem at once, each with its place and its way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.cases import loader
from pytest_convex_eval.cases.loader import CaseProblemsError, LoadedCase, load_case
from pytest_convex_eval.cases.model import Mutant
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
        "table.yaml:19:12: mutants[1].fails: no stage is called 'depoy'; did you mean 'deploy'?",
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
        ("summary: A table", "summary: 1.10", "1:10: summary: must be a text; "
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


@pytest.mark.parametrize(
    ("folder", "names", "problem"),
    [
        ("answer", {"a.ts": "1", "deep/b.ts": "é"}, None),
        ("./answer/", {"a.ts": "1"}, None),
        (
            "answer",
            {"a.ts": "1", "convex/_generated/api.js": "x", "node_modules/p/i.js": "x"},
            None,
        ),
        ("other", {}, "there is no folder 'other' beside the case file"),
        ("../answer", {}, "'../answer' is not a folder below the case file's"),
        (".", {}, "'.' is not a folder below the case file's"),
        ("/etc", {}, "'/etc' is not a folder below the case file's"),
        ("answer", {"a.ts": b"\xff"}, "'a.ts' is not UTF-8 text"),
        ("answer", {"a.ts": "x" * 31, "b.ts": "x" * 10}, "holds more than 40 bytes"),
        ("answer", {"a.ts": "x" * 30, "b.ts": "x" * 10}, None),
    ],
)
@pytest.mark.parametrize("key", ["reference", "files"])
def test_a_folder_beside_a_case_is_read_or_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    folder: str,
    names: dict[str, str | bytes],
    problem: str | None,
) -> None:
    monkeypatch.setattr(loader, "_MOST_FOLDER_BYTES", 40)
    beside = tmp_path / "fundamentals" / "easy"
    for name, held in names.items():
        path = beside / "answer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(held if isinstance(held, bytes) else held.encode())
    text = f"summary: s\nprompt: p\n{key}: {{from: {folder}}}\n"
    text += 'reference: {package.json: "{}"}\n' if key == "files" else ""
    if problem is None:
        case = load(tmp_path, text).case
        read = case.files if key == "files" else case.reference
        # `x` is what the tools write there.
        assert read == {name: held for name, held in names.items() if held != "x"}
    else:
        column = len(key) + 10
        assert problems(tmp_path, text) == [f"table.yaml:3:{column}: {key}: {problem}"]


def test_a_folder_that_cannot_be_read_hides_no_other_problem(tmp_path: Path) -> None:
    text = GOOD.replace("summary: A table", "sumary: A table")
    start, end = text.index("reference:"), text.index("mutants:")
    text = text[:start] + "reference: {from: answer}\n" + text[end:]
    assert problems(tmp_path, text) == [
        "table.yaml:1:1: missing key 'summary'",
        "table.yaml:1:1: unknown key 'sumary'; did you mean 'summary'?",
        "table.yaml:8:19: reference: there is no folder 'answer' beside the case file",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- 1\n", ["1:1: a case is a mapping of keys to values"]),
        ("5", ["1:1: a case is a mapping of keys to values"]),
        ("a: [", ["1:5: not valid YAML: expected the node content, but found '<stream end>'"]),
        ("{}", [f"1:1: missing key '{key}'" for key in ("summary", "prompt", "reference")]),
        ("reference: {}\nsummary: s\nprompt: ' '\n", [
            "1:12: reference: Dictionary should have at least 1 item after validation, not 0",
            "3:9: prompt: String should match pattern '\\S'",
        ]),
    ],
)  # fmt: skip
def test_a_file_that_is_no_case_says_what_it_lacks(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    assert problems(tmp_path, text) == [f"table.yaml:{line}" for line in expected]


MORE = "summary: s\nprompt: p\nreference: {package.json: '{}'}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mutants: [{name: a, fails: lint}]",
         "4:11: mutants[0]: a mutant needs 'edit' or 'files'"),
        ("mutants: [{name: a, fails: lint, files: {a.ts: null}}]",
         "4:48: the reference has no file 'a.ts' to take away"),
        ("mutants: [{name: a, fails: lint, edit: {a.ts: []}}]",
         "4:47: the reference has no file 'a.ts'"),
        ("mutants: [{name: a, fails: nowhere, files: {a.ts: ''}}]",
         "4:28: mutants[0].fails: no stage is called 'nowhere'; the stages are format, package, "
         "syntax, typecheck, deploy, behaviour, lint"),
        ("mutants: [{fails: lint, files: {a.ts: ''}}]", "4:11: missing key 'mutants[0].name'"),
        ("expect: {tables: {posts: {feilds: {}}}}",
         "4:27: unknown key 'expect.tables.posts.feilds'; did you mean 'fields'?"),
        ("expect: {tables: {posts: {zzz: {}}}}",
         "4:27: unknown key 'expect.tables.posts.zzz'; known here: $absent, only, document, "
         "fields, absent_fields, indexes, search_indexes, vector_indexes"),
        ("expect: {crons: [{function: 'a:b', every: {hour: 1}}]}",
         "4:44: unknown key 'expect.crons[0].every.hour'; did you mean 'hours'?"),
        ("expect: {crons: [{function: 'a:b', every: {hours: 1, minutes: 1}}]}",
         "4:43: expect.crons[0].every: name exactly one of seconds, minutes and hours"),
        ("expect: {crons: [{function: 'a:b', every: {hours: 1}, cron: x}]}",
         "4:18: expect.crons[0]: name at most one of every, daily, weekly, monthly and cron"),
        ("expect: {http: [{method: GET}]}",
         "4:17: expect.http[0]: name exactly one of path and path_prefix"),
        ("expect: {http: [{method: GET, path: /a, path_prefix: /a/}]}",
         "4:17: expect.http[0]: name exactly one of path and path_prefix"),
        ("expect: {functions: {a: {kind: query}}}",
         "4:22: expect.functions.a: 'a' is no function path; write it like 'posts:list'"),
        ("expect: {functions: {'a.ts:b': {kind: query}}}",
         "4:22: expect.functions.a.ts:b: 'a.ts:b' is no function path; write it like 'posts:list'"),
        ("lint: {public: [':b']}",
         "4:17: lint.public[0]: ':b' is no function path; write it like 'posts:list'"),
        ("lint: {public: ['b:']}",
         "4:17: lint.public[0]: 'b:' is no function path; write it like 'posts:list'"),
        ("lint: {public: ['b.js:a']}",
         "4:17: lint.public[0]: 'b.js:a' is no function path; write it like 'posts:list'"),
        ("expect: {dependencies: {zod: nope!}}",
         "4:30: expect.dependencies.zod: 'nope!' is no npm version range"),
        ("tags: [1]", "4:8: tags[0]: must be a text; quote it"),
        ("tags: [true]", "4:8: tags[0]: must be a text; quote it"),
        ("tags: [[]]", "4:8: tags[0]: must be a text"),
        ("category: No", "4:11: category: String should match pattern "
         "'^[a-z0-9]+([_-][a-z0-9]+)*$'"),
        ("difficulty: mediun", "4:13: difficulty: Input should be 'easy', 'medium' or 'hard'; did "
         "you mean 'medium'?"),
        ("zzz: 1", "4:1: unknown key 'zzz'; known here: summary, category, difficulty, tags, "
         "prompt, files, env, expect, behaviour, lint, reference, mutants"),
        ("behaviour: [{name: b, steps: [{http: {path: /a, jsn: 1}}]}]",
         "4:49: unknown key 'behaviour[0].steps[0].http.jsn'; did you mean 'json'?"),
        ("behaviour: [{name: b, services: {w: [{pth: /}]}, steps: [{service: w}]}]",
         "4:38: missing key 'behaviour[0].services.w[0].path'\ntable.yaml:"
         "4:39: unknown key 'behaviour[0].services.w[0].pth'; did you mean 'path'?"),
        ("behaviour: [{name: b, steps: [{parallel: [{qury: 'a:b'}]}]}]",
         "4:43: behaviour[0].steps[0].parallel[0]: a step says what it does by one of query, "
         "mutation, action, http; did you mean 'query'?"),
        ("behaviour: [{name: b, env: {A: '${x}'}, steps: [{query: 'a:b'}]}]",
         "4:28: ${x}: nothing is saved as 'x' before here (saved: nothing)"),
        ("behaviour: [{name: b, steps: [{each: ['${x}'], steps: [{query: 'a:b'}]}]}]",
         "4:38: ${x}: nothing is saved as 'x' before here (saved: nothing)"),
        ("behaviour: [{name: b, steps: [{parallel: [{query: 'a:b', args: {a: '${x}'}}]}]}]",
         "4:43: ${x}: nothing is saved as 'x' before here (saved: nothing)"),
        ("behaviour: [{name: b, steps: [{query: 'a:b', save: two}, {query: 'a:b', save: one}, "
         "{query: 'a:b', args: {a: '${x}', b: '${x.y}'}}]}]",
         "4:85: ${x}: nothing is saved as 'x' before here (saved: one, two)"),
        ("behaviour: [{name: b, steps: [{repeat: 1, steps: [{query: 'a:b', args: {a: "
         "'${each}'}}]}]}]",
         "4:51: ${each}: nothing is saved as 'each' before here (saved: index)"),
        ("behaviour: [{name: b, services: {v: [], w: []}, steps: [{service: x}]}]",
         "4:67: the block has no service 'x' (it has: v, w)"),
    ],
)  # fmt: skip
def test_every_message_of_a_case(tmp_path: Path, text: str, expected: str) -> None:
    assert "\n".join(problems(tmp_path, MORE + text)) == f"table.yaml:{expected}"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("Fun/easy/table.yaml", "no category: the folder 'Fun' must be lower-case words joined by "
         "_ or -"),
        ("fun/easy/Table.yaml", "the file's name 'Table' must be lower-case words joined by _ or "
         "-"),
        ("fun/zzzz/table.yaml", "no difficulty: the folder 'zzzz' is none of easy, medium, hard; "
         "put the file below <category>/<difficulty>/, or say 'category' and 'difficulty' in it"),
    ],
)  # fmt: skip
def test_what_folders_and_names_do_not_say(tmp_path: Path, place: str, expected: str) -> None:
    assert problems(tmp_path, GOOD, place) == [f"table.yaml:1:1: {expected}"]


@pytest.mark.parametrize(
    ("place", "said", "expected"),
    [
        ("fun/easy/table.yaml", "", ("fun", "easy")),
        ("fun/easy/table.yaml", "category: mine\n", ("mine", "easy")),
        ("mine/table.yaml", "difficulty: medium\n", ("mine", "medium")),
        # The file's own difficulty says that the folders above it are none of ours.
        ("fun/easy/table.yaml", "difficulty: hard\n", ("easy", "hard")),
        ("Fun/easy/table.yaml", "category: mine\n", ("mine", "easy")),
        ("fun/hard/a-b_c2.yaml", "", ("fun", "hard")),
    ],
)
def test_the_file_says_more_than_its_folders(
    tmp_path: Path, place: str, said: str, expected: tuple[str, str]
) -> None:
    loaded = load(tmp_path, GOOD + said, place)
    assert (loaded.category, loaded.difficulty) == expected
    assert loaded.name == Path(place).stem
    assert loaded.path == tmp_path / place
    assert loaded.source.position(("summary",)).column == 10


def test_an_edit_may_be_of_a_file_of_the_starting_project(tmp_path: Path) -> None:
    text = MORE + (
        "files: {convex/a.ts: one, gone.ts: x}\n"
        "mutants: [{name: a, fails: lint, edit: {convex/a.ts: [{replace: one, with: two}]}, "
        "files: {gone.ts: null}}]\n"
    )
    (mutant,) = load(tmp_path, text).case.mutants
    with pytest.raises(KeyError):
        mutant.applied_to({})
    files = {"convex/a.ts": "one", "gone.ts": "x", "b": "c"}
    assert mutant.applied_to(files) == {"convex/a.ts": "two", "b": "c"}
    # What it is applied to stays.
    assert files == {"convex/a.ts": "one", "gone.ts": "x", "b": "c"}


def test_a_mutant_s_edits_follow_one_another_and_whole_files_come_last() -> None:
    mutant = Mutant.model_validate(
        {
            "name": "m",
            "fails": "lint",
            "edit": {
                "a": [{"replace": "1", "with": "2"}, {"replace": "2", "with": "3"}],
                "b": [{"replace": "x", "with": "y"}],
            },
            "files": {"b": "whole", "new": "n", "none": None},
        }
    )
    assert mutant.applied_to({"a": "1 2", "b": "x"}) == {"a": "3 3", "b": "whole", "new": "n"}


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
