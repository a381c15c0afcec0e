"""How the default runtime prints: as npm's `object-inspect`, which is asked for the same values."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.deployment.fixtures import NpmInstall
from tests.deployment.server_modules import InServer

PRINT = """
const { createRequire } = await import("node:module");
const theirs = createRequire(args.modules + "/")("object-inspect");
const { objectInspect } = await load("inside/object_inspect");
const options = { indent: 2, customInspect: true, maxStringLength: 32768 };
const told = (work) => { try { return work(); } catch (error) { return `thrown: ${error}`; } };
return args.sources.map((source) => {
  const value = new Function(`return (${source});`)();
  return [told(() => objectInspect(value)), told(() => theirs(value, options))];
});
"""

Printed: TypeAlias = Callable[[list[str]], list[list[str]]]


@pytest.fixture(scope="session")
def printed(in_server: InServer, npm_install: NpmInstall) -> Printed:
    """What ours and theirs print of the values of JavaScript expressions."""
    modules = str(npm_install("object-inspect@1.13.4"))

    def run(sources: list[str]) -> list[list[str]]:
        found: list[list[str]] = in_server(PRINT, sources=sources, modules=modules)
        return found

    return run


NAMES = st.one_of(
    st.sampled_from(["a", "b1", "$c", "d-e", "", "0", "1", "it's", "constructor"]),
    st.text(max_size=4),
)
TEXTS = st.one_of(st.text(max_size=6), st.text("'\"\\\n\t\x00\x1f\x7fé😀", max_size=6))
LEAVES = st.one_of(
    TEXTS.map(json.dumps),
    st.floats().map(lambda n: "NaN" if n != n else repr(n).replace("inf", "Infinity")),
    st.integers(-(2**70), 2**70).map(lambda n: f"{n}n"),
    st.sampled_from(
        [
            *("undefined", "null", "true", "false", "-0", "Symbol()", "Symbol('s')"),
            *("new Date(0)", "new Date(NaN)", "/a\\/b/gi", "() => 1", "function named() {}"),
            *("class Mine {}", "async () => {}", "(() => () => 1)()", "new Error('bad')"),
            *("new TypeError('')", "new Error('a', { cause: { b: 1 } })", "Object.create(null)"),
            *("new Number(-0)", 'new String("it\'s")', "new Boolean(false)", "Object(1n)"),
            *("Object(Symbol('s'))", "new WeakMap()", "new WeakSet()", "new WeakRef({})"),
            *("Promise.resolve(1)", "new ArrayBuffer(2)", "new Uint8Array([1, 2])", "[, 1, ,]"),
            *("globalThis", "Math", "JSON", "(function () { return arguments; })(1)"),
            *("'x'.repeat(32768)", "'y'.repeat(32769)", "'z'.repeat(40000)"),
            *("Object.create({ inherited: 1 })", "Object.assign(() => 1, { a: 1 })"),
            *("(() => { const a = {}; a.self = a; a.list = [a]; return a; })()",),
            *("{ inspect: () => 'mine' }", "{ inspect: 1 }", "{ inspect() { throw 1; } }"),
            *("{ [Symbol.toStringTag]: 'Tagged' }", "Object.assign([], { [Symbol('s')]: 1 })"),
            *("{ __proto__: null, [Symbol.toStringTag]: 'Tagged', a: 1 }",),
            *("Object.assign(Object.create(null), { a: { b: 1 } })", "{ get a() { return 1; } }"),
            *("Object.defineProperty({}, 'hidden', { value: 1 })", "new (class extends Map {})()"),
            *("{ nodeName: 'B', getAttribute() {}, attributes: [{ name: 'n', value: '\"' }] }",),
            *("{ nodeName: 'B', getAttribute() {}, childNodes: [1] }", "new Proxy({ a: 1 }, {})"),
            *("{ constructor: 1 }", "{ constructor: { name: 'x' } }", "new (class { x = 1; })()"),
            *("Object.create(Date.prototype)", "Object.create(Map.prototype)"),
            *("Object.assign(new Date(0), { a: 1 })", "Object.assign(new Map(), { a: 1 })"),
            *("{ __proto__: { constructor: undefined } }", "Object.assign(/x/, { a: 1 })"),
        ]
    ).map(lambda source: f"({source})"),
)


def _object(entries: list[tuple[str, str]]) -> str:
    return "({" + ", ".join(f"[{json.dumps(name)}]: {value}" for name, value in entries) + "})"


def _values(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(inner, max_size=4).map(lambda all_of: ", ".join(all_of))
    fields = st.lists(st.tuples(NAMES, inner), max_size=4).map(_object)
    pairs = st.lists(st.tuples(inner, inner), max_size=3).map(
        lambda all_of: ", ".join(f"[{key}, {value}]" for key, value in all_of)
    )
    return st.one_of(
        lists.map(lambda text: f"[{text}]"),
        fields,
        lists.map(lambda text: f"new Set([{text}])"),
        pairs.map(lambda text: f"new Map([{text}])"),
        fields.map(lambda text: f"Object.assign(new (class Point {{}})(), {text})"),
        fields.map(lambda text: f"Object.assign(new RangeError('r'), {text})"),
        fields.map(lambda text: f"Object.assign(['l'], {text})"),
        fields.map(lambda text: f"Object.assign(Object.create(null), {text})"),
    )


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.recursive(LEAVES, _values, max_leaves=12), min_size=1, max_size=12))
def test_a_value_prints_as_object_inspect_prints_it(printed: Printed, sources: list[str]) -> None:
    found = printed(sources)
    assert len(found) == len(sources)
    different = [
        source for source, (ours, theirs) in zip(sources, found, strict=True) if ours != theirs
    ]
    assert different == []


def test_what_is_deep_prints_as_object_inspect_prints_it(printed: Printed) -> None:
    deep = ["{ a: ", "[", "new Map([[1, ", "new Set([", "Object.assign(new Error('e'), { c: "]
    ends = [" }", "]", "]])", "])", " })"]
    sources = [
        "("
        + "".join(deep[(i + j) % 5] for j in range(depth))
        + "{}"
        + "".join(ends[(i + j) % 5] for j in reversed(range(depth)))
        + ")"
        for i in range(5)
        for depth in range(1, 9)
    ]
    assert len(sources) == 40
    found = printed(sources)
    assert [ours for ours, _ in found] == [theirs for _, theirs in found]
