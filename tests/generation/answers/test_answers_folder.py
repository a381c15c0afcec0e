"""Where answers are found in a folder, and that hostile folders end in an error that says why."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_convex_eval.generation.answers import tree
from pytest_convex_eval.generation.answers.folder import AnswersFolder, CaseName, reply_of_files
from pytest_convex_eval.generation.answers.source import AnswersSource, answers_sources
from pytest_convex_eval.generation.provider import Request
from pytest_convex_eval.generation.reading.reply import parse_reply
from pytest_convex_eval.generation.reading.tags import render_files
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError

CASE = CaseName("fundamentals", "easy", "notes")
REQUEST = Request("mine", "system", "user", 1000)
FILES = {"convex/a.ts": "one\n", "package.json": "{}"}
OTHER = {"convex/a.ts": "two\n", "package.json": "{}"}


def write(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())


def answer(folder: Path, trial: int = 1, case: CaseName = CASE) -> dict[str, str]:
    provider = AnswersFolder(AnswersSource("mine", folder)).provider(case, trial)
    generation = provider.generate(REQUEST, deadline_seconds=1.0)
    return dict(parse_reply(generation.text).files)


@pytest.mark.parametrize("base", ["notes", "fundamentals/easy/notes"])
@pytest.mark.parametrize("form", ["folder", "reply.md", "reply.txt"])
@pytest.mark.parametrize(("trial", "numbered"), [(1, False), (1, True), (3, True)])
def test_an_answer_is_found_where_it_may_lie(
    base: str, form: str, trial: int, numbered: bool, tmp_path: Path
) -> None:
    place = f"{base}/trial-{trial}" if numbered else base
    if form == "folder":
        write(tmp_path / place, FILES)
    else:
        write(tmp_path, {f"{place}{Path(form).suffix}": f"Here:\n\n{render_files(FILES)}"})
    assert answer(tmp_path, trial) == FILES
    with pytest.raises(InfrastructureError, match="mine has no answer to fundamentals/easy/notes"):
        answer(tmp_path, 2)


def test_trials_lie_beside_the_first(tmp_path: Path) -> None:
    write(tmp_path, {"notes.md": render_files(FILES), "notes/trial-2.md": render_files(OTHER)})
    assert answer(tmp_path) == FILES
    assert answer(tmp_path, 2) == OTHER


def test_files_beside_trials_are_an_answer_too_many(tmp_path: Path) -> None:
    write(tmp_path / "notes", FILES)
    write(tmp_path / "notes" / "trial-1", OTHER)
    with pytest.raises(InfrastructureError, match=r"several answers .*trial-1.*notes"):
        answer(tmp_path)


@pytest.mark.parametrize("name", ["notes", "fundamentals/easy/notes"])
def test_lines_hold_replies_and_files(name: str, tmp_path: Path) -> None:
    lines = [
        {"case": "other", "reply": "no"},
        {"case": name, "files": FILES, "model": "whoever"},
        {"case": name, "trial": 2, "reply": render_files(OTHER)},
    ]
    text = "\n\n".join(json.dumps(line) for line in lines)
    (tmp_path / "answers.jsonl").write_text(text + "\n")
    assert answer(tmp_path) == FILES
    assert answer(tmp_path, 2) == OTHER
    with pytest.raises(InfrastructureError, match="no answer"):
        answer(tmp_path, 3)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"case": "notes"}',
        '{"case": "notes", "reply": "a", "files": {}}',
        '{"case": "notes", "files": {"a": 1}}',
        '{"case": "notes", "trial": 0, "reply": "a"}',
        '{"case": 1, "reply": "a"}',
        "\xff",
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_answer_is_told_with_its_place(line: str, tmp_path: Path) -> None:
    good = json.dumps({"case": "notes", "files": FILES})
    (tmp_path / "a.jsonl").write_bytes(f"{good}\n{line}\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"a\.jsonl:2: no answer"):
        AnswersFolder(AnswersSource("mine", tmp_path)).check()


def test_lines_are_read_from_regular_files_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(ConfigurationError, match=r"a\.jsonl is no regular file"):
        AnswersFolder(AnswersSource("mine", tmp_path)).check()


def test_one_answer_in_two_places_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "notes", FILES)
    write(tmp_path, {"notes.md": render_files(FILES)})
    with pytest.raises(InfrastructureError, match="several answers"):
        answer(tmp_path)


def test_a_category_called_like_a_case_is_not_its_answer(tmp_path: Path) -> None:
    case = CaseName("indexes", "easy", "indexes")
    write(tmp_path / "indexes" / "easy" / "indexes", FILES)
    assert answer(tmp_path, case=case) == FILES


def test_what_tools_put_beside_an_answer_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "notes", {**FILES, "node_modules/a/index.js": "x", ".git/config": "x"})
    (tmp_path / "notes" / "logo.png").write_bytes(b"\x89PNG\xff")
    assert answer(tmp_path) == FILES


def test_texts_come_as_they_are(tmp_path: Path) -> None:
    files = {
        "README.md": '</file>\n<file path="a.ts">\n```ts\nx\n```\n',
        "convex/a.ts": "```ts\r\nexport {};\r\n```",
        "convex/empty.ts": "",
        "convex/ä b.ts": "\ufeff// \N{GRINNING FACE}",
    }
    write(tmp_path / "notes", files)
    assert answer(tmp_path) == files
    assert dict(parse_reply(reply_of_files(files)).files) == files


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "a.ts")


def link(folder: Path) -> None:
    (folder / "a.ts").symlink_to("/etc/passwd")


def link_to_folder(folder: Path) -> None:
    (folder / "convex").symlink_to("/etc")


def loop(folder: Path) -> None:
    (folder / "loop").symlink_to(folder)


def many(folder: Path) -> None:
    for number in range(tree.MOST_ENTRIES + 1):
        (folder / f"{number}.ts").touch()


def huge(folder: Path) -> None:
    with (folder / "a.ts").open("wb") as stream:
        stream.truncate(1 << 40)


def deep(folder: Path) -> None:
    for _ in range(tree.MOST_DEPTH + 2):
        folder = folder / "d"
        folder.mkdir()


def no_text(folder: Path) -> None:
    (folder / "a.ts").write_bytes(b"\xff\xfe")


def nothing(folder: Path) -> None:
    (folder / "convex").mkdir()


HOSTILE: Mapping[Callable[[Path], None], str] = {
    pipe: "is a pipe",
    link: "is a link",
    link_to_folder: "is a link",
    loop: "is a link",
    many: "more than 5000 entries",
    huge: "more than 16 MiB",
    deep: "nested more than 50 deep",
    no_text: "is no UTF-8",
    nothing: "holds no file",
}


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_folder_ends_in_an_error(make: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    make(folder)
    with pytest.raises(InfrastructureError, match=HOSTILE[make]):
        answer(tmp_path)


def test_a_socket_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes").mkdir()
    # An address may be no longer than some hundred bytes.
    monkeypatch.chdir(tmp_path / "notes")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.ts")
        with pytest.raises(InfrastructureError, match="is a socket"):
            answer(tmp_path)


@pytest.mark.parametrize("name", ["notes.md", "notes/trial-1.md"])
def test_a_reply_is_a_regular_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(InfrastructureError, match="is no regular file"):
        answer(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/etc/passwd")
    with pytest.raises(InfrastructureError, match="can't be read"):
        answer(tmp_path)


@pytest.mark.parametrize("link", ["notes", "fundamentals", "fundamentals/easy"])
def test_no_link_leads_to_an_answer(link: str, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "easy" / "notes", FILES)
    write(tmp_path / "elsewhere" / "notes", FILES)
    place = tmp_path / "answers" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InfrastructureError, match="is a link"):
        answer(tmp_path / "answers")


def test_a_folder_has_a_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    given = answers_sources(["a", "mine=b"], tmp_path, ["reference"])
    assert given == (AnswersSource("a", tmp_path / "a"), AnswersSource("mine", tmp_path / "b"))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["missing"], "there is no folder"),
        (["mine="], "there is no folder"),
        (["two words=a"], "can't be the name"),
        (["a]=a"], "can't be the name"),
        (["reference=a"], "is taken"),
        (["claude=a"], "is taken"),
        (["a", "a"], "is taken"),
    ],
)
def test_a_name_that_no_model_can_have_is_refused(
    given: list[str], why: str, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ConfigurationError, match=why):
        answers_sources(given, tmp_path, ["claude"])
