"""A store written as folders of answers: what comes back is what was stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_convex_eval.cli import main
from pytest_convex_eval.generation.answers.folder import AnswersFolder, CaseName
from pytest_convex_eval.generation.answers.source import AnswersSource
from pytest_convex_eval.generation.provider import Generation, Request, Turn
from pytest_convex_eval.generation.reading.reply import parse_reply
from pytest_convex_eval.generation.reading.tags import render_files
from pytest_convex_eval.generation.store import GenerationStore
from pytest_convex_eval.generation.usage import Stop

FILES = {"convex/a.ts": "one\n", "package.json": "{}"}
OTHER = {"convex/a.ts": "two\n", "package.json": "{}"}
ENDED = Stop("stop")


class Store:
    """A store to put replies into, and to export."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = folder.parent / "exported"
        self._store = GenerationStore(folder)
        self._day = 0

    def put(
        self,
        text: str,
        *,
        model: str = "claude-sonnet-5-5",
        case: str = "notes",
        trial: int = 1,
        system: str = "system",
        user: str = "",
        history: tuple[Turn, ...] = (),
        stop: Stop = ENDED,
    ) -> None:
        self._day += 1
        moment = f"2026-11-{self._day:02}T00:00:00.000+00:00"
        request = Request(model, system, user or case, 1000, history)
        generation = Generation(request, text, stop, moment, moment, 1.0)
        self._store.put(request, trial, generation, label=f"{case}[{model}]")

    def export(self) -> int:
        return main(["store", "export", "--store", str(self.folder), "--files", str(self.target)])

    def written(self) -> dict[str, str]:
        files = (path for path in sorted(self.target.rglob("*")) if path.is_file())
        return {path.relative_to(self.target).as_posix(): path.read_text() for path in files}

    def answer(self, model: str, trial: int = 1) -> str:
        folder = AnswersFolder(AnswersSource("mine", self.target / model))
        request = Request("mine", "", "", 1)
        provider = folder.provider(CaseName("any", "easy", "notes"), trial)
        return provider.generate(request, deadline_seconds=1.0).text

    def files(self, model: str, trial: int = 1) -> dict[str, str]:
        return dict(parse_reply(self.answer(model, trial)).files)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "generations")


def test_each_answer_has_a_folder(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.put(render_files(FILES))
    store.put(render_files(OTHER), case="more")
    store.put(render_files(OTHER), model="openai/gpt")
    assert store.export() == 0
    assert "3 answers written" in capsys.readouterr().out
    assert store.written() == {
        **{f"claude-sonnet-5-5/notes/{path}": text for path, text in FILES.items()},
        **{f"claude-sonnet-5-5/more/{path}": text for path, text in OTHER.items()},
        **{f"openai_gpt/notes/{path}": text for path, text in OTHER.items()},
    }


def test_trials_and_texts_of_the_system_are_kept_apart(store: Store) -> None:
    store.put(render_files(FILES))
    store.put(render_files(OTHER), trial=2)
    store.put(render_files(OTHER), system="other guidelines")
    assert store.export() == 0
    assert store.files("claude-sonnet-5-5") == FILES
    assert store.files("claude-sonnet-5-5", 2) == OTHER
    assert store.files("claude-sonnet-5-5-2") == OTHER


def test_the_last_turn_of_the_newest_counts(store: Store) -> None:
    first = render_files(FILES)
    store.put(first)
    store.put(render_files(OTHER), user="again", history=(Turn("assistant", first),))
    assert store.export() == 0
    assert store.files("claude-sonnet-5-5") == OTHER


@pytest.mark.parametrize(
    "reply",
    [
        "I would rather not.",
        "",
        '<file path="../../escaped.ts">\nx\n</file>\n',
        '<file path="/tmp/escaped.ts">\nx\n</file>\n',
        '<file path="a/.git/hooks/post-checkout">\nx\n</file>\n',
        '<file path="a.ts">\nx\n</file>\n<file path="A.ts">\ny\n</file>\n',
        '<file path="a.ts">\nno end',
    ],
)
def test_a_reply_with_faults_stays_a_reply(reply: str, store: Store) -> None:
    store.put(reply)
    assert store.export() == 0
    assert store.written() == {"claude-sonnet-5-5/notes.md": reply}
    assert store.answer("claude-sonnet-5-5") == reply


def test_what_has_no_end_or_no_case_is_left_out_and_told(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put("x", stop=Stop("max_tokens"))
    store.put("x", stop=Stop("refusal"), trial=2)
    store.put("x", case="../escaped")
    store.put("\ud83d", trial=3)
    assert store.export() == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("0 answers written")
    assert sum(line.startswith("left out: ") for line in told) == 4
    assert store.written() == {}


def test_nothing_is_written_over(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.put(render_files(FILES))
    assert store.export() == 0
    before = store.written()
    assert store.export() == 2
    assert "is there already" in capsys.readouterr().err
    assert store.written() == before
