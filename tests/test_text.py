"""Text from outside, made well-formed before it crosses into a file or another process."""

from __future__ import annotations

import json

import execnet
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.outcomes import (
    ConfigurationError,
    Finding,
    Generated,
    InfrastructureError,
    ItemResult,
    RequestFacts,
    Round,
    StageResult,
    Verdict,
)
from pytest_convex_eval.text import lone_surrogate, paired, well_formed, well_formed_json

# As in JavaScript: any UTF-16 unit may follow any other.
UNITS = st.lists(
    st.one_of(st.integers(0xD7F0, 0xE010), st.integers(0, 0x80), st.just(0x5C)), max_size=12
)
ANY_TEXT = UNITS.map(lambda units: "".join(map(chr, units)))


def test_lone_surrogates_alone_are_replaced() -> None:
    assert well_formed("a\ud800b\udc00c") == "a\ufffdb\ufffdc"
    # A pair stands for the character that it encodes.
    assert well_formed("\ud83e\udd80 🦀 é\x00") == "🦀 🦀 é\x00"
    assert well_formed("") == ""


def test_halves_that_meet_are_joined_and_lone_ones_stay() -> None:
    assert paired("\ud83e\udd80 \ud83e 🦀\udd80") == "🦀 \ud83e 🦀\udd80"
    assert paired("abc") == "abc"


@pytest.mark.parametrize(
    ("text", "place"),
    [("abc", None), ("🦀", None), ("\ud83e\udd80", None), ("é\ud83e", 1), ("\udd80\ud83e", 0)],
)
def test_the_first_half_without_another_is_found(text: str, place: int | None) -> None:
    assert lone_surrogate(text) == place


@given(ANY_TEXT)
def test_whatever_text_there_is_becomes_what_utf8_can_write_and_nothing_else_changes(
    text: str,
) -> None:
    clean = well_formed(text)
    assert clean.encode("utf-8").decode("utf-8") == clean
    assert well_formed(clean) == clean
    assert (lone_surrogate(text) is None) == (clean == paired(text))
    # Unit by unit it is the same, but for what was lone.
    before, after = (one.encode("utf-16-le", "surrogatepass") for one in (text, clean))
    for place in range(0, len(before), 2):
        unit, other = before[place : place + 2], after[place : place + 2]
        assert other in (unit, "\ufffd".encode("utf-16-le"))


JSON_VALUES = st.recursive(
    st.none() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list):
        return [_cleaned(inner) for inner in value]
    if isinstance(value, dict):
        return {well_formed(key): _cleaned(inner) for key, inner in value.items()}
    return value


@given(JSON_VALUES, st.booleans())
def test_a_json_document_becomes_one_that_pydantic_reads_with_the_same_values(
    value: object, ascii_only: bool
) -> None:
    document = well_formed_json(json.dumps(value, ensure_ascii=ascii_only))
    read = pydantic.TypeAdapter(pydantic.JsonValue).validate_json(document)
    assert read == _cleaned(value)


def test_an_escaped_backslash_begins_no_surrogate() -> None:
    assert well_formed_json(r'"\\ud83d"') == r'"\\ud83d"'
    assert well_formed_json(r'"\\\ud83d"') == '"\\\\\ufffd"'
    assert well_formed_json("no JSON \\") == "no JSON \\"


@given(ANY_TEXT)
def test_what_a_result_holds_can_cross_into_another_process(text: str) -> None:
    finding = Finding(text, text, "error", text, 1, 1, text, text)
    stage = StageResult("lint", "failed", findings=(finding,), reason=text, output=text)
    made = Generated(text, text, (RequestFacts(text, True, "stop", 1.0),))
    result = ItemResult(
        *(text, text, text, text, text, 1, Verdict.FAILED, (stage,), "lint", text, text),
        mutant=text,
        expected=text,
        generation=made,
        artefacts=text,
        rounds=(Round(Verdict.FAILED, "lint", text),),
    )
    data = result.to_json()
    assert execnet.loads(execnet.dumps(data)) == data
    assert ItemResult.from_json(data) == result
    assert finding.message == stage.reason == result.message == well_formed(text)


@given(ANY_TEXT)
def test_what_our_exceptions_say_can_cross_into_another_process(text: str) -> None:
    error = InfrastructureError(text, detail=text)
    said = [str(error), error.detail, str(ConfigurationError(text))]
    assert said == [well_formed(text)] * 3
