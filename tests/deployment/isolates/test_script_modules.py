"""Bundles that are compiled once and run for each call: which can be, and what they export."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_convex_eval.toolchain.packages.published import convex_snapshot
from tests.deployment.bundles import start_push_request
from tests.deployment.fixtures import NEWEST, MakeProject
from tests.deployment.server_modules import InServer

COMPILE = """
const { compileScript } = await load("inside/script_module");
const script = compileScript(args.source, "convex:/a.js", async () => { throw new Error("no"); });
if (script === null) return null;
const given = script.imports.flatMap(({ specifier, names }) =>
  names.map(({ imported }) => `${imported} of ${specifier}`));
const exports = script.run(...given);
const imports = script.imports.map(({ specifier, names }) =>
  [specifier, names.map(({ imported, local }) => [imported, local])]);
return { imports, exports: { ...exports }, prototype: Object.getPrototypeOf(exports) };
"""


def compiled(in_server: InServer, source: str) -> Any:
    return in_server(COMPILE, source=source)


@pytest.mark.parametrize(
    ("source", "imports", "exports"),
    [
        ("", [], {}),
        ("var a = 1;\nexport {\n  a\n};\n", [], {"a": 1}),
        ("var a = 1, b = 2;\nexport { a as x, b as default };", [], {"x": 1, "default": 2}),
        ('var a = 1;\nexport { a as "x y" };\n', [], {"x y": 1}),
        ("var a = 1;\nexport { a };\n//# sourceMappingURL=a.js.map\n", [], {"a": 1}),
        (
            'import { a as b, c } from "./d.js";\nimport "./e.js";\nexport { b, c };\n',
            [["./d.js", [["a", "b"], ["c", "c"]]], ["./e.js", []]],
            {"b": "a of ./d.js", "c": "c of ./d.js"},
        ),
        (
            '"use strict";\n// import { no } from "./no.js";\nimport{a}from"./d.js";\n'
            "var b=a;\nexport{b};",
            [["./d.js", [["a", "a"]]]],
            {"b": "a of ./d.js"},
        ),
        ("function f() {}\nvar f2 = f.name;\nexport { f2 };\n", [], {"f2": "f"}),
        ("var a = { b: 1 };\na.b = 2;\nvar c = a.b;\nexport { c };\n", [], {"c": 2}),
        ("var a = 1;\nvar t = a === 1 && a >= 1 && ((x) => x)(a);\nexport { t };\n", [], {"t": 1}),
        ('var t = "export { x };";\nexport { t };\n', [], {"t": "export { x };"}),
        ("var $a = 1, b$ = $a;\nexport { $a as a, b$ as b };\n", [], {"a": 1, "b": 1}),
        (
            'import { a } from "./d.js"; \nexport { a };\n',
            [["./d.js", [["a", "a"]]]],
            {"a": "a of ./d.js"},
        ),
        ("export {};\n", [], {}),
        # What only a text speaks of is declared nowhere.
        *(
            (f"var a = 1;\nvar t = {text!r};\nexport {{ a, t }};\n", [], {"a": 1, "t": text})
            for text in ("wait for a function a is of", "a class a, or a function* a", "-- class a")
        ),
        ("// A function a is of, and a class a.\nvar a = 1;\nexport { a };\n", [], {"a": 1}),
    ],
)
def test_the_usual_form_is_a_function(
    source: str, imports: Any, exports: Any, in_server: InServer
) -> None:
    assert compiled(in_server, source) == {
        "imports": imports,
        "exports": exports,
        "prototype": None,
    }


@pytest.mark.parametrize(
    "source",
    [
        "var a = await 1;\nexport { a };\n",
        'import * as a from "./d.js";\nexport { a };\n',
        'import a from "./d.js";\nexport { a };\n',
        'var a = 1;\nimport { b } from "./d.js";\nexport { a };\n',
        "export var a = 1;\n",
        "export default 1;\n",
        'export { a } from "./d.js";\nvar b = 1;\n',
        "var a = import.meta.url;\nexport { a };\n",
        *(
            f"var a = 0;\nfunction set() {{ {change}; }}\nexport {{ a, set }};\n"
            for change in (
                *("a = 1", "a += 1", "a **= 2", "a ??= 1", "a ||= 1", "a &&= 1", "a >>>= 1"),
                *("a++", "++a", "a--", "--a", "[a] = [1]", "({ a } = { a: 1 })"),
                *("({ b: a } = { b: 1 })", "for (a of []);", "for (a in {});", "[x, a] = y"),
            )
        ),
        "function a() {}\na = 1;\nexport { a };\n",
        "class a {}\na = 1;\nexport { a };\n",
        *(
            f"var b = 1;\n{declaration}\nvar x = 0\n, a = 1;\nexport {{ a }};\n"
            for declaration in (
                "async function a() {}",
                "function* a() {}",
                "if (b) {} function a() {}",
            )
        ),
        "var a;\nfunction set() { a = 1; }\nexport { a, set };\n",
        "var $a = 0;\n$a = 1;\nexport { $a as a };\n",
    ],
)
def test_every_other_form_is_left_to_the_engine(source: str, in_server: InServer) -> None:
    assert compiled(in_server, source) is None


def test_a_place_in_it_is_the_bundles(in_server: InServer) -> None:
    found = in_server(
        """const { compileScript } = await load("inside/script_module");
        const places = [];
        for (const source of args.sources) {
          try {
            compileScript(source, "convex:/a.js", async () => {}).run();
          } catch (error) {
            places.push(/convex:\\/a\\.js:(\\d+):(\\d+)/.exec(error.stack).slice(1).map(Number));
          }
        }
        return places;""",
        sources=[
            "throw new Error('x');",
            "\n\n  throw new Error('x');",
            'import { a } from "./d.js";\nthrow new Error(a);',
        ],
    )
    assert found == [[1, 7], [3, 9], [2, 7]]


LINES = """
const { onLines } = await load("inside/lines");
const { PassThrough } = await import("node:stream");
const stream = new PassThrough();
const lines = [];
onLines(stream, (line) => lines.push(line));
for (const chunk of args.chunks) {
  stream.write(Buffer.from(chunk, "latin1"));
  await new Promise((done) => setImmediate(done));
}
return lines;
"""


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        (["a\nb\n"], ["a", "b"]),
        (["a", "b", "c\n", "d\ne", "\n"], ["abc", "d", "e"]),
        (["\n\n"], ["", ""]),
        (["unfinished"], []),
        (["a\nb", "c\nd\ne", "f"], ["a", "bc", "d"]),
        # A letter of two bytes in two pieces.
        (["\xc3", "\xa4\n"], ["ä"]),
    ],
)
def test_lines_come_in_any_pieces(chunks: list[str], lines: list[str], in_server: InServer) -> None:
    assert in_server(LINES, chunks=chunks) == lines


LIMITS = """
const { parseTimeLimits, TIME_LIMITS } = await load("running/time_limits");
const shown = (limits) => Object.fromEntries(Object.entries(limits).map(([name, { cpu, wall }]) =>
  [name, [cpu === Infinity ? null : cpu, wall]]));
try {
  return [shown(parseTimeLimits(args.given)), shown(TIME_LIMITS)];
} catch (error) {
  return error.message;
}
"""
USUAL: dict[str, list[Any]] = {
    "transaction": [1, 15],
    "action": [None, 1800],
    "nodeAction": [None, 600],
    "operation": [None, 60],
}


@pytest.mark.parametrize("name", USUAL)
def test_a_limit_can_be_given_in_place_of_the_usual_one(name: str, in_server: InServer) -> None:
    usual = USUAL[name]
    for given, limit in (
        ({}, usual),
        ({"wall": 0.5}, [usual[0], 0.5]),
        ({"cpu": 9}, [9, usual[1]]),
    ):
        assert in_server(LIMITS, given={name: given}) == [{**USUAL, name: limit}, USUAL]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([], "the body must be an object"),
        ({"query": {}}, 'there is no limit "query"'),
        ({"action": 5}, "action must be an object"),
        *(
            ({"action": {name: value}}, "action must have seconds: cpu, wall")
            for name in ("cpu", "wall")
            for value in (0, -1, "5", None)
        ),
    ],
)
def test_what_is_no_limit_is_refused(given: Any, why: str, in_server: InServer) -> None:
    assert in_server(LIMITS, given=given) == why


@pytest.mark.parametrize("version", sorted({NEWEST, convex_snapshot().newest}))
def test_the_client_library_itself_is_of_the_usual_form(
    version: str,
    in_server: InServer,
    make_project: MakeProject,
) -> None:
    """Each call evaluates it: as an engine's module that takes four times as long."""
    files = {
        "convex/a.ts": """
import { paginationOptsValidator } from "convex/server";
import { query } from "./_generated/server";
export const f = query({ args: { paginationOpts: paginationOptsValidator },
  handler: (ctx, { paginationOpts }) => ctx.db.query("t").paginate(paginationOpts) });
""",
        "convex/http.ts": """
import { httpRouter } from "convex/server";
export default httpRouter();
""",
    }
    project = make_project(files, version=version)
    request = start_push_request(project, files)
    sources = {each["path"]: each["source"] for each in request["appDefinition"]["changedModules"]}
    assert any(path.startswith("_deps/") for path in sources)
    found = in_server(
        """const { compileScript } = await load("inside/script_module");
        return Object.entries(args.sources).filter(([path, source]) =>
          compileScript(source, `convex:/${path}`, async () => {}) === null).map(([path]) => path);
        """,
        sources=sources,
    )
    assert found == []
