"""From the text of a reply to its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_convex_eval.generation.reading.extraction import Extraction, Rung
from pytest_convex_eval.generation.reading.json_reply import looks_cut_off, parse_json
from pytest_convex_eval.generation.reading.markdown import parse_markdown
from pytest_convex_eval.generation.reading.tags import parse_tags
from pytest_convex_eval.outcomes import Files, Finding, InfrastructureError, StopReason

_TRUNCATED: Mapping[StopReason, str] = {
    "max_tokens": "the limit on output tokens",
    "context_window": "the end of the model's context window",
}


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """The files of a reply, byte for byte, and what is wrong with its form.

    `rung` is the shape they were found in; None where there are none. `incomplete` are the files
    whose end is missing; they are never among `files`. Findings have codes `format/...`; one of
    severity `error` makes the answer's form wrong, whatever else was found.
    """

    files: Files
    rung: Rung | None
    findings: tuple[Finding, ...] = ()
    incomplete: Files = field(default_factory=dict)


def parse_reply(text: str) -> ParsedReply:
    """The files of `text`, whatever shape they come in: tags, a JSON object or markdown.

    The shapes are tried in this order and the first that holds a whole file is taken, or else the
    first that holds the beginning of one. Never raises.
    Whether the paths are allowed is not judged here.
    """
    text = text.removeprefix("\ufeff")
    extractions = []
    for parse in (parse_tags, parse_json, parse_markdown):
        extraction = parse(text)
        if extraction.files:
            return _parsed(extraction)
        extractions.append(extraction)
    for extraction in extractions:
        if extraction.incomplete:
            return _parsed(extraction)
    if not text.strip():
        finding = Finding("format/empty-reply", "The reply has no text.")
    elif looks_cut_off(text):
        finding = Finding("format/broken-json", "The reply's JSON object of files is broken.")
    else:
        finding = Finding(
            "format/no-files",
            "The reply holds no file.",
            excerpt=text.strip().splitlines()[0][:200],
            hint='Each file has to stand between <file path="..."> and </file>.',
        )
    return ParsedReply(files={}, rung=None, findings=(finding,))


def _parsed(extraction: Extraction) -> ParsedReply:
    return ParsedReply(
        files=extraction.files,
        rung=extraction.rung,
        findings=tuple(extraction.findings),
        incomplete=extraction.incomplete,
    )


def judge_stop(
    reason: StopReason, *, told: str = "", category: str | None = None
) -> Finding | None:
    """What is wrong with a reply that ended for `reason`; None where it ended by itself.

    `told` is the vendor's own word, `category` what it says that a refusal is about.

    Raises InfrastructureError for a reason that this version does not know: it may not be blamed
    on the model.
    """
    match reason:
        case "stop":
            return None
        case "max_tokens" | "context_window":
            return Finding(
                "format/truncated",
                f"The reply was cut off by {_TRUNCATED[reason]}.",
                hint="Thinking counts as output: raise the limit."
                if reason == "max_tokens"
                else None,
            )
        case "refusal":
            about = "" if category is None else f" (category {category})"
            return Finding("format/refusal", f"The model refused to answer{about}.")
        case "unfinished":
            return Finding("format/unfinished", f"The model stopped for {told or reason} unasked.")
    raise InfrastructureError(f"the reply ended for a reason unknown here: {told!r}")
