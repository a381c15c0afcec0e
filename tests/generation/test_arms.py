"""Folders of guidelines: which files a model is given, in which order, and what is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_convex_eval.generation.arms import Arm, load_guidelines
from pytest_convex_eval.outcomes import ConfigurationError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files of a folder `rules`, by path; a text is the path unless it is told."""

    def make(*paths: str, **texts: str) -> Path:
        folder = tmp_path / "rules"
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(texts.get(path.rpartition("/")[2].partition(".")[0], path))
        return folder

    return make


def loaded(arm: Arm) -> list[str]:
    return [file.path for file in arm.files if file.loaded]


def test_what_is_general_comes_before_what_is_particular(write: Write) -> None:
    folder = write(
        "zeta.md", "alpha.mdc", "README.md", "AGENTS.md", "CLAUDE.md",
        "skills/writing/reference/api.md", "skills/writing/SKILL.md", "skills/writing/a.txt",
        "skills/auth/SKILL.md", "convex/AGENTS.md", ".cursor/rules/style.mdc",
    )  # fmt: skip
    arm = load_guidelines(str(folder))
    assert arm.name == "rules"
    assert loaded(arm) == [
        "AGENTS.md", "CLAUDE.md", "README.md", "alpha.mdc", "zeta.md",
        ".cursor/rules/style.mdc", "convex/AGENTS.md", "skills/auth/SKILL.md",
        "skills/writing/SKILL.md", "skills/writing/a.txt", "skills/writing/reference/api.md",
    ]  # fmt: skip
    places = [arm.text.index(f'<document path="{path}">\n{path}\n</document>\n')
              for path in loaded(arm)]  # fmt: skip
    assert places == sorted(places)
    assert load_guidelines(f"mine={folder}") == Arm("mine", arm.text, arm.files, arm.limit)


def test_what_is_no_guideline_is_passed_over(write: Write, tmp_path: Path) -> None:
    folder = write(
        "AGENTS.md", "tool.py", "data.json", "blank.md", "node_modules/x/README.md",
        ".git/notes.md", ".venv/a.md", blank=" \n",
    )  # fmt: skip
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "far.md").write_text("far")
    (folder / "linked").symlink_to(tmp_path / "outside")
    arm = load_guidelines(str(folder))
    assert [file.path for file in arm.files] == ["AGENTS.md"]


def test_one_text_under_two_names_is_given_once(write: Write) -> None:
    folder = write("AGENTS.md", "other.md", AGENTS="the same", other="the same\n")
    (folder / "CLAUDE.md").symlink_to("AGENTS.md")
    assert loaded(load_guidelines(str(folder))) == ["AGENTS.md"]


def test_what_does_not_fit_is_left_out_and_told(write: Write) -> None:
    folder = write("AGENTS.md", "long.md", "short.md", long="x" * 900)
    arm = load_guidelines(str(folder), 60)
    small, large = (len('<document path="short.md">\nshort.md\n</document>\n') / 3, 900 / 3)
    assert [(file.path, file.loaded) for file in arm.files] == [
        ("AGENTS.md", True), ("long.md", False), ("short.md", True)
    ]  # fmt: skip
    assert arm.files[2].tokens == round(small)
    assert arm.files[1].tokens > large
    assert "x" * 900 not in arm.text
    total = sum(file.tokens for file in arm.files if file.loaded)
    assert total <= 60
    assert arm.shown == (
        f"guidelines rules: 2 of 3 files, about {total} tokens of at most 60; "
        f"left out: long.md ({arm.files[1].tokens})"
    )
    whole = load_guidelines(str(folder))
    assert whole.shown is not None
    assert whole.shown.startswith("guidelines rules: 3 of 3 files, about ")
    assert whole.shown.endswith(" tokens of at most 50,000")
    assert whole.fingerprint != arm.fingerprint, "they are other prompts"


def test_a_text_of_one_file_has_nothing_to_tell(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("Be brief.")
    arm = load_guidelines(str(tmp_path / "one.md"))
    assert (arm.text, arm.files, arm.shown) == ("Be brief.", (), None)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.py", b"x", "holds no guidelines"),
        ("a.md", b"\xff", "neither default, none nor a readable file"),
        ("a.md", b"x" * 4_194_305, "is larger than 4,194,304 bytes"),
        ("a.md", b"x" * 600, r"holds no guidelines .* of at most 100 tokens"),
    ],
)
def test_a_folder_that_can_not_be_is_refused(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=words):
        load_guidelines(f"mine={tmp_path}", 100)
