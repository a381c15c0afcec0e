"""package.json as data: every fault with its code and place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.stages.package_json import read_package_json

GOOD = '{\n  "name": "app",\n  "dependencies": {"convex": "^1.48.0"}\n}\n'


def faults(text: str) -> list[tuple[str, str, int | None]]:
    return [(f.code, f.severity, f.line) for f in read_package_json(text).findings]


def test_a_good_one_has_no_findings_and_declares_its_packages() -> None:
    package = read_package_json(GOOD)
    assert package.findings == ()
    assert package.usable == {"convex": "^1.48.0"}


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", "package/invalid-json", 1),
        ('{\n  "a" 1\n}', "package/invalid-json", 2),
        ('{\n  // note\n  "a": 1}', "package/invalid-json", 2),
        ("[]", "package/invalid-json", 1),
        ('{"a": NaN}', "package/invalid-json", None),
        ("[" * 100_000, "package/invalid-json", None),
        ('{\n"dependencies": []\n}', "package/invalid-dependencies", 2),
        ('{\n"dependencies": {"convex": 1}\n}', "package/invalid-dependencies", 2),
        ("{}", "package/convex-missing", None),
        ('{"devDependencies": {"convex": "1"}}', "package/convex-missing", None),
    ],
)
def test_each_fault_has_its_code_and_line(text: str, code: str, line: int | None) -> None:
    assert (code, "error", line) in faults(text)


@pytest.mark.parametrize(
    "spec",
    [
        "git+https://example.com/x.git", "github:a/b", "a/b", "https://example.com/x.tgz",
        "file:../x", "workspace:*", "npm:other@1", "not a range!",
    ],
)  # fmt: skip
def test_what_is_no_published_version_is_refused_by_name(spec: str) -> None:
    text = GOOD.replace('"convex":', f'"left": {json.dumps(spec)}, "convex":')
    package = read_package_json(text)
    (finding,) = package.findings
    assert (finding.code, finding.line, finding.column) == ("package/forbidden-spec", 3, 20)
    assert "left" in finding.message
    assert "left" not in package.usable


def test_a_bad_name_is_a_warning() -> None:
    assert faults(GOOD.replace('"app"', '"My App"')) == [("package/name", "warning", 2)]


@given(st.text())
def test_any_text_is_read_without_an_exception(text: str) -> None:
    package = read_package_json(text)
    assert (package.usable, package.findings[0].severity) == ({}, "error")


_KEYS = st.sampled_from(["dependencies", "devDependencies", "name", "convex"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner),
)


@given(_JSON)
def test_any_json_is_read_without_an_exception(value: object) -> None:
    codes = [finding.code for finding in read_package_json(json.dumps(value)).findings]
    assert (codes == ["package/invalid-json"]) == (not isinstance(value, dict))
