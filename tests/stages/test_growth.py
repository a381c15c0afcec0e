"""Reading package.json takes time and memory in proportion to it, however it is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from pytest_convex_eval.stages.package_json import read_package_json
from tests.growth import assert_linear, repeated


def _declared(size: int, indent: int | None) -> str:
    specs = {f"p{i}": "file:x" for i in range(size // 16)}
    return json.dumps({"dependencies": specs}, indent=indent)


MANIFESTS: Mapping[str, Callable[[int], str]] = {
    "many specs that can't be used, on one line": lambda size: _declared(size, None),
    "many specs that can't be used": lambda size: _declared(size, 1),
    "a long name": repeated("a", '{"name": "', '"}'),
    "quotes": repeated('\\"', '{"name": "', '"}'),
    "blanks before a colon": repeated(" ", '{"name"', ': 1, "dependencies": []}'),
    "lists": repeated("["),
    "objects": repeated('{"a":'),
    "digits": repeated("1", '{"version": ', "}"),
    "lines": repeated("\n", "", "x"),
    "a long spec": repeated("a/", '{"dependencies": {"a": "', '"}}'),
    "a long range": repeated("1 || ", '{"dependencies": {"a": "', '1"}}'),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_package_json_is_read_in_one_go(name: str) -> None:
    assert_linear(read_package_json, MANIFESTS[name])


def test_each_finding_on_one_long_line_holds_only_its_beginning() -> None:
    findings = read_package_json(_declared(1 << 16, None)).findings
    assert len(findings) > 4000
    assert max(len(finding.excerpt or "") for finding in findings) < 1000
    last = next(finding for finding in findings if finding.message.startswith("p4095:"))
    assert last.column == _declared(1 << 16, None).index('"p4095"') + 1
