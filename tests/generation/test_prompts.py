"""Prompts, guidelines, models and references."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_convex_eval.generation.models import DEFAULT_MODEL, check_key, choose_model
from pytest_convex_eval.generation.prompts import Arm, build_request, load_guidelines
from pytest_convex_eval.generation.references import ReferenceProvider
from pytest_convex_eval.generation.reply import judge_stop, parse_reply
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


@pytest.mark.parametrize(
    ("spec", "environ", "model"),
    [
        ("auto", {}, "reference"),
        ("auto", {"ANTHROPIC_API_KEY": " "}, "reference"),
        ("auto", {"ANTHROPIC_API_KEY": "key"}, DEFAULT_MODEL),
        ("reference", {"ANTHROPIC_API_KEY": "key"}, "reference"),
        ("claude-opus-5-5", {}, "claude-opus-5-5"),
    ],
)
def test_the_model_follows_from_what_is_asked_and_whether_there_is_a_key(
    spec: str, environ: dict[str, str], model: str
) -> None:
    assert choose_model(spec, environ) == model


def test_a_model_that_has_to_be_asked_needs_a_key() -> None:
    check_key("reference", {})
    check_key("claude-opus-5-5", {"ANTHROPIC_API_KEY": "key"})
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY"):
        check_key("claude-opus-5-5", {"ANTHROPIC_API_KEY": ""})
    with pytest.raises(ConfigurationError):
        choose_model("  ", {})


def test_a_reference_goes_through_the_parser_unchanged() -> None:
    files = {"package.json": "{}\n", "convex/a.ts": "no line end", "README.md": "```ts\nx\n```\n"}
    request = build_request(model="reference", arm=NONE, prompt="x")
    generation = ReferenceProvider(files).generate(request, deadline_seconds=1)
    parsed = parse_reply(generation.text)
    assert parsed.files == files
    assert parsed.rung == "tags"
    assert judge_stop(generation.stop_reason) is None


def test_a_reference_that_cannot_be_written_in_tags_is_the_cases_fault() -> None:
    with pytest.raises(CaseError, match=r"a\.ts"):
        ReferenceProvider({"a.ts": "x\n</file>\ny\n"})
