"""Replies in every shape that models have been seen to write."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st

from pytest_convex_eval.generation.reading.reply import ParsedReply, judge_stop, parse_reply
from pytest_convex_eval.generation.reading.tags import render_files
from pytest_convex_eval.outcomes import Finding, InfrastructureError, StopReason


def codes(parsed: ParsedReply, severity: str = "error") -> list[str]:
    return [finding.code for finding in parsed.findings if finding.severity == severity]


# Tags


def test_files_in_tags_are_taken_byte_for_byte() -> None:
    parsed = parse_reply(
        "Here you are.\n"
        '<file path="convex/a.ts">\n\n  const a = 1;\t\n\n</file>\n'
        "And:\n"
        '<file path="package.json">\r\n{}\r\n</file>\r\n'
        "Done."
    )
    assert parsed.files == {"convex/a.ts": "\n  const a = 1;\t\n\n", "package.json": "{}\r\n"}
    assert (parsed.rung, parsed.findings) == ("tags", ())


@pytest.mark.parametrize(
    "tag",
    [
        '<file path="convex/a.ts">',
        "<file path='convex/a.ts'>",
        "<file path=convex/a.ts>",
        '<file lang="ts" path = "convex/a.ts" >',
        '<file name="convex/a.ts">',
        '  <file path="./convex/a.ts">',
        '<file path=" convex/a.ts ">',
    ],
)
def test_a_tag_may_be_written_in_several_ways(tag: str) -> None:
    assert parse_reply(f"{tag}\nx\n</file>").files == {"convex/a.ts": "x\n"}


def test_a_fence_around_a_file_in_its_tags_is_taken_off_and_told() -> None:
    parsed = parse_reply('<file path="a.ts">\n```ts\nx\n```\n</file>')
    assert parsed.files == {"a.ts": "x\n"}
    assert codes(parsed, "info") == ["format/fenced-file"]


def test_a_cdata_section_around_a_file_in_its_tags_is_taken_off_and_told() -> None:
    for text in ("<![CDATA[\nx\n]]>\n", "<![CDATA[x\n]]>"):
        parsed = parse_reply(f'<file path="a.ts">\n{text}</file>')
        assert parsed.files == {"a.ts": "x\n"}
        assert codes(parsed, "info") == ["format/fenced-file"]


def test_a_byte_order_mark_before_the_reply_hides_nothing() -> None:
    assert parse_reply('\ufeff<file path="a.ts">\nx\n</file>').files == {"a.ts": "x\n"}
    assert parse_reply("\ufeff## a.ts\n```ts\nx\n```\n").files == {"a.ts": "x\n"}


def test_fences_that_are_part_of_a_file_stay() -> None:
    readme = "```ts\nx\n```\n"
    template = "const a = `\n```ts\nx\n```\n`;\n"
    text = render_files({"README.md": readme, "a.ts": template})
    assert parse_reply(text).files == {"README.md": readme, "a.ts": template}


def test_all_of_a_reply_in_a_fence_is_read_all_the_same() -> None:
    parsed = parse_reply('```xml\n<file path="a.ts">\nx\n</file>\n```')
    assert parsed.files == {"a.ts": "x\n"}


def test_a_file_without_its_closing_tag_is_not_taken_for_a_file() -> None:
    parsed = parse_reply('<file path="a.ts">\nx\n</file>\n<file path="b.ts">\nhalf')
    assert parsed.files == {"a.ts": "x\n"}
    assert parsed.incomplete == {"b.ts": "half"}
    assert codes(parsed) == ["format/unclosed-file"]


def test_an_opening_tag_ends_a_file_that_was_never_closed() -> None:
    parsed = parse_reply('<file path="a.ts">\nx\n<file path="b.ts">\ny\n</file>')
    assert parsed.files == {"b.ts": "y\n"}
    assert parsed.incomplete == {"a.ts": "x\n"}


def test_two_files_on_one_line_boundary_are_both_found() -> None:
    parsed = parse_reply('<file path="a.ts">\nx\n</file><file path="b.ts">\ny\n</file>')
    assert parsed.files == {"a.ts": "x\n", "b.ts": "y\n"}


def test_a_path_that_comes_twice_is_told_and_the_later_file_counts() -> None:
    parsed = parse_reply('<file path="a">\n1\n</file>\n<file path="./a">\n2\n</file>')
    assert parsed.files == {"a": "2\n"}
    assert codes(parsed) == ["format/duplicate-path"]


def test_the_same_file_twice_is_a_warning_only() -> None:
    parsed = parse_reply('<file path="a">\n1\n</file>\n<file path="a">\n1\n</file>')
    assert codes(parsed) == []
    assert codes(parsed, "warning") == ["format/duplicate-path"]


def test_a_file_without_a_path_is_told() -> None:
    parsed = parse_reply('<file>\nx\n</file>\n<file path="a">\ny\n</file>')
    assert parsed.files == {"a": "y\n"}
    assert codes(parsed) == ["format/unnamed-file"]


def test_paths_are_not_judged_here() -> None:
    assert parse_reply('<file path="../../etc/passwd">\nx\n</file>').files == {
        "../../etc/passwd": "x\n"
    }


# JSON


@pytest.mark.parametrize(
    "text",
    [
        '{"files": [{"path": "a.ts", "content": "x\\n"}]}',
        '{"files": {"a.ts": "x\\n"}}',
        '{"a.ts": "x\\n"}',
        '```json\n{"a.ts": "x\\n"}\n```',
        'Sure:\n```json\n{"files": [{"path": "a.ts", "content": "x\\n"}]}\n```\nDone.',
        'Sure:\n{"files": [{"path": "a.ts", "content": "x\\n", "note": 1}]}\nDone.',
    ],
)
def test_files_in_a_json_object_are_read(text: str) -> None:
    parsed = parse_reply(text)
    assert parsed.files == {"a.ts": "x\n"}
    assert parsed.rung == "json"


def test_a_json_key_that_comes_twice_is_told() -> None:
    parsed = parse_reply('{"files": {"a.ts": "1", "a.ts": "2"}}')
    assert codes(parsed) == ["format/duplicate-path"]


@pytest.mark.parametrize(
    "text", ['{"files": [{"path": "a.ts", "content": "x', '{"files": [{"path": "a.ts"}]}']
)
def test_a_broken_json_object_is_told(text: str) -> None:
    assert codes(parse_reply(text)) == ["format/broken-json"]


@pytest.mark.parametrize(
    "text",
    [
        '{"files": {"a.ts": "ok\\n// x\\ud800\\n"}}',
        '<file path="a.ts">\nok\n// x\ud800\n</file>\n',
        "## a.ts\n```ts\nok\n// x\ud800\n```\n",
    ],
    ids=["json", "tags", "markdown"],
)
def test_half_of_a_surrogate_pair_in_a_file_is_told_and_taken_for_what_a_file_can_hold(
    text: str,
) -> None:
    parsed = parse_reply(text)
    assert parsed.files == {"a.ts": "ok\n// x\ufffd\n"}
    (finding,) = parsed.findings
    assert (finding.code, finding.severity, finding.path) == (
        "format/not-unicode",
        "error",
        "a.ts",
    )
    assert "line 2" in finding.message


def test_half_of_a_surrogate_pair_in_a_path_is_told() -> None:
    parsed = parse_reply('{"files": {"a\\udc00.ts": "1"}}')
    assert parsed.files == {"a\ufffd.ts": "1"}
    assert codes(parsed) == ["format/not-unicode"]


def test_halves_that_meet_are_a_character_and_prose_may_hold_anything() -> None:
    parsed = parse_reply("\ud800!\n## a.ts\n```ts\n// \ud83e\udd80\n```\n")
    assert parsed.files == {"a.ts": "// 🦀\n"}
    assert parsed.findings == ()


def test_a_package_json_in_a_block_of_its_own_is_a_file_and_no_json_reply() -> None:
    parsed = parse_reply('## package.json\n```json\n{\n  "name": "x"\n}\n```\n')
    assert parsed.files == {"package.json": '{\n  "name": "x"\n}\n'}
    assert parsed.rung == "markdown"


# Markdown


@pytest.mark.parametrize(
    "heading",
    [
        "## convex/a.ts",
        "# convex/a.ts",
        "### convex/a.ts",
        "###### convex/a.ts ######",
        "## `convex/a.ts`",
        "## **convex/a.ts**",
        "## **`convex/a.ts`**:",
        "## convex/a.ts (new)",
        "## 1. convex/a.ts",
        "## File: convex/a.ts",
        "## File: `convex/a.ts` (updated)",
        "## Schema (`convex/a.ts`)",
        "## The schema: convex/a.ts",
        "## [convex/a.ts](convex/a.ts)",
        "### [`convex/a.ts`](./convex/a.ts)",
        "=== convex/a.ts ===",
        "--- convex/a.ts ---",
        "convex/a.ts\n-----------",
        "<details><summary>convex/a.ts</summary>",
        "`convex/a.ts`",
        "**convex/a.ts**",
        "**`convex/a.ts`:**",
        "convex/a.ts:",
        "- `convex/a.ts`",
        "And this is `convex/a.ts`:",
    ],
)
def test_a_path_above_a_block_is_found_however_it_is_decorated(heading: str) -> None:
    for first in ("# Files\n\n", "# files\n", "# Files:\n", "## Files\n", ""):
        parsed = parse_reply(f"{first}{heading}\n\n```ts\nx\n```\n")
        assert (parsed.files, parsed.rung) == ({"convex/a.ts": "x\n"}, "markdown")
        assert codes(parsed) == []


@pytest.mark.parametrize(
    "info",
    [
        'ts title="convex/a.ts"',
        "ts file=convex/a.ts",
        "typescript {filename='convex/a.ts'}",
        "ts:convex/a.ts",
        "ts convex/a.ts",
        "convex/a.ts",
    ],
)
def test_a_path_in_the_info_string_is_found(info: str) -> None:
    assert parse_reply(f"```{info}\nx\n```").files == {"convex/a.ts": "x\n"}


@pytest.mark.parametrize(
    "comment", ["// convex/a.ts", "/* convex/a.ts */", "# convex/a.ts", "// File: convex/a.ts"]
)
def test_a_path_in_the_first_comment_is_found_and_the_comment_stays(comment: str) -> None:
    assert parse_reply(f"```ts\n{comment}\nx\n```").files == {"convex/a.ts": f"{comment}\nx\n"}


def test_prose_between_a_heading_and_its_block_is_passed_over() -> None:
    parsed = parse_reply("## a.ts\n\nUses Node.js and `v.id`.\n\n```ts\nx\n```\nmore\n")
    assert parsed.files == {"a.ts": "x\n"}


def test_indented_code_under_a_heading_is_a_file() -> None:
    parsed = parse_reply("## a.ts\n\n    if (x) {\n\n      y();\n    }\n\nDone.\n## b.ts\n\n\tz\n")
    assert parsed.files == {"a.ts": "if (x) {\n\n  y();\n}\n", "b.ts": "z\n"}


def test_a_fence_inside_a_markdown_file_does_not_end_it() -> None:
    parsed = parse_reply(
        "## README.md\n```md\nUse it:\n```ts\nx\n```\nend\n```\n## a.ts\n```ts\ny\n```\n"
    )
    assert parsed.files == {"README.md": "Use it:\n```ts\nx\n```\nend\n", "a.ts": "y\n"}


@pytest.mark.parametrize("fence", ["````", "~~~", "~~~~~"])
def test_longer_and_other_fences_hold_shorter_ones(fence: str) -> None:
    parsed = parse_reply(f"## a.ts\n{fence}ts\n```\nx\n```\n{fence}\n")
    assert parsed.files == {"a.ts": "```\nx\n```\n"}


def test_a_second_block_under_one_heading_is_told() -> None:
    parsed = parse_reply("## a.ts\n```ts\nx\n```\n```ts\ny\n```\n")
    assert parsed.files == {"a.ts": "x\n"}
    assert codes(parsed) == ["format/second-block"]


def test_a_block_of_shell_commands_is_no_file() -> None:
    parsed = parse_reply("## package.json\n```bash\nnpm i\n```\n```json\n{}\n```\n```sh\nls\n```\n")
    assert parsed.files == {"package.json": "{}\n"}
    assert codes(parsed) == []


def test_a_block_that_is_never_closed_is_not_taken_for_a_file() -> None:
    parsed = parse_reply("## a.ts\n```ts\nx\n```\n## b.ts\n```ts\nhalf\n")
    assert parsed.files == {"a.ts": "x\n"}
    assert parsed.incomplete == {"b.ts": "half\n"}
    assert codes(parsed) == ["format/unclosed-file"]


def test_a_heading_and_a_fence_end_a_block_that_was_never_closed() -> None:
    parsed = parse_reply("## a.ts\n```ts\nhalf\n\n## b.ts\n```ts\ny\n```\n")
    assert parsed.files == {"b.ts": "y\n"}
    assert parsed.incomplete == {"a.ts": "half\n\n"}


def test_a_markdown_path_that_comes_twice_is_told() -> None:
    parsed = parse_reply("## a.ts\n```ts\nx\n```\n## a.ts\n```ts\ny\n```\n")
    assert codes(parsed) == ["format/duplicate-path"]


def test_content_in_a_block_is_not_trimmed() -> None:
    assert parse_reply("## a.ts\r\n```ts\r\n\r\n x \r\n\r\n```\r\n").files == {
        "a.ts": "\r\n x \r\n\r\n"
    }


def test_a_block_in_a_list_loses_the_indentation_of_its_fence() -> None:
    parsed = parse_reply("1. `a.ts`:\n\n   ```ts\n   x\n     y\n   ```\n")
    assert parsed.files == {"a.ts": "x\n  y\n"}


def test_an_empty_file_is_a_file() -> None:
    assert parse_reply("## a.ts\n```ts\n```\n").files == {"a.ts": ""}


# None of these


@pytest.mark.parametrize("text", ["", " \n\t\r\n"])
def test_an_empty_reply_is_told(text: str) -> None:
    parsed = parse_reply(text)
    assert (parsed.files, parsed.rung, codes(parsed)) == ({}, None, ["format/empty-reply"])


@pytest.mark.parametrize(
    "text", ["I would use an index.", "```ts\nx\n```", "## Node.js\nis a runtime", "{}", "</file>"]
)
def test_a_reply_without_files_is_told(text: str) -> None:
    parsed = parse_reply(text)
    assert (parsed.files, parsed.rung, codes(parsed)) == ({}, None, ["format/no-files"])


def test_tags_that_are_only_mentioned_do_not_hide_files_in_markdown() -> None:
    parsed = parse_reply('<file path="x"> is not used here.\n## a.ts\n```ts\ny\n```\n')
    assert (parsed.files, parsed.rung) == ({"a.ts": "y\n"}, "markdown")


# Anything

# No deadline: the machine may be busy. No database: nothing is written into the tree.
UNHURRIED = settings(deadline=None, database=None)

NASTY = st.sampled_from(
    [
        *["<file ", 'path="a.ts"', ">", "\n", "</file>", "```", "````", "~~~", "ts", "## ", "a.ts"],
        *[
            "`",
            "**",
            ":",
            "    ",
            "\t",
            "\r",
            "{",
            '"files"',
            "[",
            "]",
            "}",
            '"',
            ",",
            "\ud800",
            "é🦀",
        ],
    ]
)


@UNHURRIED
@given(st.text(st.characters()) | st.lists(NASTY).map("".join))
def test_no_reply_makes_the_parser_raise(text: str) -> None:
    parsed = parse_reply(text)
    assert (parsed.rung is None) == (not parsed.files and not parsed.incomplete)
    assert parsed.files or parsed.findings
    for path, content in parsed.files.items():
        (path + content).encode("utf-8")


PATHS = st.from_regex(r"[a-z][a-z0-9_]{0,8}(/[a-z]{1,8}){0,2}\.(ts|json|md)", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(NASTY).map("".join)


@UNHURRIED
@given(st.dictionaries(PATHS, TEXTS, min_size=1, max_size=4))
def test_files_that_can_be_rendered_are_read_back_byte_for_byte(files: dict[str, str]) -> None:
    try:
        text = render_files(files)
    except ValueError:
        reject()
    parsed = parse_reply(text)
    assert list(parsed.files.items()) == list(files.items())
    assert (parsed.rung, parsed.findings) == ("tags", ())


@UNHURRIED
@given(st.dictionaries(PATHS, st.text(st.sampled_from("ab ;\n\r\t{}`")), min_size=1, max_size=4))
def test_ordinary_files_can_always_be_rendered(files: dict[str, str]) -> None:
    assume(not any("```" in text for text in files.values()))
    assert parse_reply(f"Sure.\n\n{render_files(files)}\nDone.").files == files


CLOSING = "</file>"


@UNHURRIED
@example({"a.ts": "0000000000000000000</file>", "n.md": "x"}, 45, "")
@example({"a.ts": "const tag = `<file>${name}</file>`;\nmore();\n"}, 52, "")
@given(
    st.dictionaries(PATHS, TEXTS, min_size=1, max_size=4),
    st.integers(0, 10_000),
    NASTY,
)
def test_a_good_reply_cut_or_changed_anywhere_never_yields_half_a_file_as_a_whole_one(
    files: dict[str, str], at: int, change: str
) -> None:
    """But for one that holds the closing tag itself, cut right behind it: there only the reason for
    the reply's end tells that it was cut (`judge_stop`)."""
    try:
        text = render_files(files)
    except ValueError:
        reject()
    assert parse_reply(text).files == files
    at %= len(text) + 1
    cut = text[:at]
    parsed = parse_reply(cut)
    if parsed.rung == "tags":
        whole = [path for path, content in parsed.files.items() if content == files[path]]
        half = [path for path in parsed.files if path not in whole]
        if half:
            assert half == list(files)[len(whole) : len(whole) + 1]
            assert CLOSING in files[half[0]]
            assert cut.rstrip(" \t\r").endswith(CLOSING)
            assert at < len(text)
    parse_reply(text[:at] + change + text[at:])


@UNHURRIED
@given(st.dictionaries(PATHS, st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_files_in_json_are_read_back_byte_for_byte(files: dict[str, str]) -> None:
    listed = {"files": [{"path": path, "content": text} for path, text in files.items()]}
    parsed = parse_reply(json.dumps(listed))
    if parsed.rung == "json":
        assert parsed.files == files
    else:  # a file that holds file tags by itself
        assert any("<file" in text for text in files.values())


# Why a reply ended


ENDS: tuple[StopReason, ...] = ("max_tokens", "context_window", "refusal", "unfinished")


def test_the_reason_for_the_end_is_judged_and_said_in_words() -> None:
    assert judge_stop("stop") is None
    assert [judge_stop(reason, told="tool_use") for reason in ENDS] == [
        Finding(
            "format/truncated",
            "The reply was cut off by the limit on output tokens.",
            hint="Thinking counts as output: raise the limit.",
        ),
        Finding(
            "format/truncated", "The reply was cut off by the end of the model's context window."
        ),
        Finding("format/refusal", "The model refused to answer."),
        Finding("format/unfinished", "The model stopped for tool_use unasked."),
    ]
    assert {*ENDS, "stop", "unknown"} == set(get_args(StopReason)), "each is judged"


@pytest.mark.parametrize(
    ("category", "message"),
    [
        ("cyber", "The model refused to answer (category cyber)."),
        (None, "The model refused to answer."),
    ],
)
def test_the_category_of_a_refusal_is_told(category: str | None, message: str) -> None:
    assert judge_stop("refusal", category=category) == Finding("format/refusal", message)


def test_an_unknown_reason_is_not_the_models_fault() -> None:
    with pytest.raises(
        InfrastructureError, match=r"^the reply ended for a reason unknown here: 'made_up'$"
    ):
        judge_stop("unknown", told="made_up")
