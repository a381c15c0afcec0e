"""Prompts, guidelines, models and references."""

from __future__ import annotations

import datetime
import hashlib
import re
from pathlib import Path

import pytest

from pytest_convex_eval.generation.arms import Arm, load_guidelines
from pytest_convex_eval.generation.prompts import DEFAULT_MAX_TOKENS, INSTRUCTIONS, build_request
from pytest_convex_eval.generation.provider import Request
from pytest_convex_eval.generation.reading.reply import judge_stop, parse_reply
from pytest_convex_eval.generation.reference_provider import ReferenceProvider
from pytest_convex_eval.generation.usage import Stop
from pytest_convex_eval.outcomes import CaseError, ConfigurationError

NONE = Arm("none", "")


def test_what_differs_between_cases_is_in_the_user_message_alone() -> None:
    arm = load_guidelines("default")
    one = build_request(model="m", arm=arm, prompt="Write a.", files={"convex/a.ts": "x\n"})
    two = build_request(model="m", arm=arm, prompt="Write b.")
    assert one.system == two.system
    assert arm.text.strip() in one.system
    assert "Write a." in one.user
    assert one.user.endswith('<file path="convex/a.ts">\nx\n</file>\n')
    assert two.user == "# Task\n\nWrite b.\n"
    assert one.fingerprint() != two.fingerprint()


def test_a_prompt_is_the_same_whenever_and_for_whomever_it_is_built() -> None:
    one = build_request(model="m", arm=NONE, prompt="Write a.\n")
    two = build_request(model="n", arm=Arm("bare", ""), prompt="Write a.", max_tokens=9)
    assert one == build_request(model="m", arm=NONE, prompt="Write a.\n")
    assert one.fingerprint() == two.fingerprint()
    assert one.key(1) != two.key(1)


def test_the_arm_none_has_the_instructions_and_no_guidelines() -> None:
    system = build_request(model="m", arm=load_guidelines("none"), prompt="x").system
    assert '<file path="' in system
    assert "package.json" in system
    assert "# Guidelines" not in system


def test_the_answer_that_the_instructions_show_is_one_that_the_parser_reads() -> None:
    system = build_request(model="m", arm=NONE, prompt="x").system
    assert list(parse_reply(system).files) == ["folder/name.ts"]


def test_a_starting_project_that_cannot_be_written_in_tags_is_the_cases_fault() -> None:
    with pytest.raises(CaseError, match=r"a\.ts"):
        build_request(model="m", arm=NONE, prompt="x", files={"a.ts": "</file>\nrest\n"})


def test_guidelines_come_from_a_file_under_its_own_or_a_given_name(tmp_path: Path) -> None:
    path = tmp_path / "short.md"
    path.write_text("Be brief.\n")
    assert load_guidelines(str(path)) == Arm("short", "Be brief.\n")
    assert load_guidelines(f"mine={path}") == Arm("mine", "Be brief.\n")
    assert load_guidelines(str(path)).fingerprint != NONE.fingerprint


@pytest.mark.parametrize("spec", ["missing.md", "mine=missing.md", "=x", "mine=", "", "."])
def test_guidelines_that_cannot_be_read_are_a_matter_of_configuration(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError):
        load_guidelines(spec)


@pytest.mark.parametrize("name", ["default", "none"])
def test_the_names_of_our_own_arms_are_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.md"
    path.write_text("x")
    for spec in (str(path), f"{name}={path}"):
        with pytest.raises(ConfigurationError, match="taken"):
            load_guidelines(spec)


def test_the_blocks_of_the_default_guidelines_are_one_project() -> None:
    parsed = parse_reply(load_guidelines("default").text)
    assert parsed.findings == ()
    assert {"package.json", "convex/schema.ts", "convex/http.ts"} <= set(parsed.files)


def test_the_default_guidelines_obey_their_own_rules() -> None:
    code = "\n".join(
        text
        for path, text in parse_reply(load_guidelines("default").text).files.items()
        if path.endswith(".ts")
    )
    assert ".filter(" not in code
    assert ".collect(" not in code
    assert "process.env" not in code
    assert not re.search(r"\bany\b", code)
    assert not re.search(r"ctx\.db\.(get|patch|replace|delete)\((?!\")", code)
    # The index ranges of every index may end in _creationTime; no index may list it.
    assert not re.search(r"\.index\([^)]*_creationTime", code)


def test_a_reference_goes_through_the_parser_unchanged() -> None:
    files = {"package.json": "{}\n", "convex/a.ts": "no line end", "README.md": "```ts\nx\n```\n"}
    request = build_request(model="reference", arm=NONE, prompt="x")
    generation = ReferenceProvider(files).generate(request, deadline_seconds=1)
    parsed = parse_reply(generation.text)
    assert parsed.files == files
    assert parsed.rung == "tags"
    assert judge_stop(generation.stop.reason) is None


def test_a_reference_that_cannot_be_written_in_tags_is_the_cases_fault() -> None:
    with pytest.raises(CaseError, match=r"a\.ts"):
        ReferenceProvider({"a.ts": "x\n</file>\ny\n"})


def test_a_request_is_built_of_each_part_in_its_place() -> None:
    request = build_request(
        model="m", arm=Arm("mine", "\nBe brief.\n\n"), prompt="\n Write a. \n",
        files={"a.ts": "x\n"}, max_tokens=7,
    )  # fmt: skip
    assert request == Request(
        model="m",
        system=f"{INSTRUCTIONS}\n# Guidelines\n\nBe brief.\n",
        user='# Task\n\nWrite a.\n\n# The project so far\n\n<file path="a.ts">\nx\n</file>\n',
        max_tokens=7,
    )
    assert build_request(model="m", arm=Arm("blank", " \n"), prompt="x") == Request(
        "m", INSTRUCTIONS, "# Task\n\nx\n", DEFAULT_MAX_TOKENS
    )


def test_the_fingerprint_of_an_arm_is_that_of_its_text() -> None:
    one, two = Arm("a", "text"), Arm("b", "text")
    assert one.fingerprint == two.fingerprint == hashlib.sha256(b"text").hexdigest()[:16]
    assert Arm("a", "\ud800").fingerprint != one.fingerprint


def test_what_is_wrong_with_guidelines_is_said(tmp_path: Path) -> None:
    path = tmp_path / "none.md"
    path.write_text("x")
    for spec, words in (
        (
            str(path),
            f"guidelines can't be called 'none': it is taken; give it one as in mine={path}",
        ),
        (f"none={path}", "guidelines can't be called 'none': it is taken"),
        (" =x", "guidelines ' =x' are neither a path nor name=path"),
        ("a=", "guidelines 'a=' are neither a path nor name=path"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            load_guidelines(spec)
        assert str(caught.value) == words
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"neither default, none nor a readable file: "):
        load_guidelines(f"mine={path}")
    other = tmp_path / "a=b.md"
    other.write_text("y")
    assert load_guidelines(f" mine ={other}") == Arm("mine", "y")


def test_a_reference_is_an_answer_of_this_moment_that_took_no_time() -> None:
    provider = ReferenceProvider({"a.ts": "x\n"})
    before = datetime.datetime.now(datetime.UTC)
    request = Request("reference", "", "x", 1)
    made = provider.generate(request, deadline_seconds=1)
    assert (made.request, made.stop, made.seconds) == (request, Stop("stop"), 0.0)
    assert made.started == made.finished
    assert abs(datetime.datetime.fromisoformat(made.started) - before).total_seconds() < 600
    assert not provider.recordable
    with pytest.raises(CaseError, match=r"^the reference answer cannot stand in file tags: a\.ts$"):
        ReferenceProvider({"b.ts": "y\n", "a.ts": "x\n</file>\ny\n"})
    with pytest.raises(CaseError, match=r"^the starting project cannot stand in file tags: a\.ts$"):
        build_request(model="m", arm=NONE, prompt="x", files={"a.ts": "</file>\nrest\n"})
