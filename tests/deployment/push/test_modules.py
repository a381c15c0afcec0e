"""Modules of a push: which there are, how large, and from which lines of the project they come."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.deployment.server_modules import InServer

CATCHING = """
const modules = await load("push/modules");
const attempt = async (work) => {
  try {
    return await work();
  } catch (error) {
    return [error.code, error.message];
  }
};
const module = (path, source = "1", more = {}) =>
  ({ path, source, environment: "isolate", ...more });
"""


def test_unchanged_modules_are_the_live_ones_and_all_are_in_order(in_server: InServer) -> None:
    found = in_server(
        f"""{CATCHING}
        const live = new Map([module("b.js", "old", {{ sourceMap: "m" }}), module("z.js", "gone")]
          .map((each) => [each.path, each]));
        const sha256 = modules.moduleHash(live.get("b.js"));
        const unchanged = [{{ path: "b.js", environment: "isolate", sha256 }}];
        const all = modules.assemble([module("c.js"), module("a.js")], unchanged, live);
        return [sha256, [...all].map(([path, each]) => [path, each.source])];"""
    )
    assert found[0] == hashlib.sha256(b"oldm").hexdigest(), "of the source and its map"
    assert found[1] == [["a.js", "1"], ["b.js", "old"], ["c.js", "1"]]


@pytest.mark.parametrize(
    "hash",
    [{"path": "x.js"}, {"environment": "node"}, {"sha256": "0" * 64}],
    ids=["path", "environment", "hash"],
)
def test_a_module_that_is_not_there_as_named_is_to_be_pushed_again(
    hash: dict[str, str], in_server: InServer
) -> None:
    found = in_server(
        f"""{CATCHING}
        const own = module("b.js");
        const right = {{ path: "b.js", environment: "isolate", sha256: modules.moduleHash(own) }};
        const unchanged = [{{ ...right, ...args.hash }}];
        return await attempt(() => modules.assemble([], unchanged, new Map([["b.js", own]])));""",
        hash=hash,
    )
    path = hash.get("path", "b.js")
    assert found == [
        "MissingExistingModule",
        f"The push leaves out {path} as unchanged, but this deployment does not have it. Push "
        "again.",
    ]


BAD = "is not a valid path to a Convex module. Path component"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("a.js", None),
        ("lib/a_b.c.js", None),
        ("_deps/XY12.js", None),
        (f"{'x' * 61}.js", None),
        (f"{'x' * 62}.js", f"is too long (65 > maximum 64): {'x' * 62}.js."),
        (
            "lib/a-b.js",
            "a-b.js can only contain alphanumeric characters, underscores, or periods.",
        ),
        ("ä.js", "ä.js can only contain alphanumeric characters, underscores, or periods."),
        ("__/a.js", "__ must have at least one alphanumeric character."),
        ("lib//a.js", " must have at least one alphanumeric character."),
        ("../a.js", ".. must have at least one alphanumeric character."),
    ],
)
def test_the_parts_of_a_path_are_names(path: str, why: str | None, in_server: InServer) -> None:
    found = in_server(
        f"{CATCHING} return await attempt(() => modules.checkPaths([module(args.path)]) ?? null);",
        path=path,
    )
    assert found == (None if why is None else ["BadConvexModuleIdentifier", f"{path} {BAD} {why}"])


def test_functions_files_are_counted_and_not_what_they_share(in_server: InServer) -> None:
    found = in_server(
        f"""{CATCHING}
        const some = (count, prefix) => Array.from({{ length: count }}, (_, i) =>
          module(`${{prefix}}m${{i}}.js`));
        const check = (list) => attempt(() => modules.checkPaths(list) ?? null);
        const [most, shared, more] = [some(4096, ""), some(9, "_deps/"), some(4097, "")];
        return [await check([...most, ...shared]), await check(more)];
        """
    )
    assert found[0] is None
    assert found[1][0] == "InvalidModules"
    assert found[1][1].startswith('Too many function files (4097 > maximum 4096) in "convex/".')


def test_sizes_are_of_sources_and_maps_together(in_server: InServer) -> None:
    found = in_server(
        f"""{CATCHING}
        const sourceMap = "x".repeat(10);
        const list = [module("a.js", "ä".repeat(10), {{ sourceMap }}), module("b.js")];
        const check = (unzipped, zipped) =>
          attempt(async () => (await modules.checkSizes(list, {{ unzipped, zipped }})) ?? null);
        const limits = [[31, 31], [30, 100], [100, 30], [100, 5]];
        return await Promise.all(limits.map(([unzipped, zipped]) => check(unzipped, zipped)));
        """
    )
    unzipped = "Total module size exceeded the unzipped maximum (31 B > maximum size 30 B)"
    assert found[:3] == [None, ["ModulesTooLarge", unzipped], None], "packed it is smaller"
    code, message = found[3]
    assert code == "ModulesTooLarge"
    assert message.startswith("Total module size exceeded the zipped maximum (")
    assert message.endswith(" B > maximum size 5 B)")


ORIGINS = """
const { Origins, isOwn } = await load("push/modules");
const { mapsOf } = args;
// Each line of the bundle is one of a source: [source, line], both from 0.
const VLQ = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const vlq = (n) => VLQ[n < 0 ? (-n << 1) | 1 : n << 1];
const mapOf = ({ sources, lines }) => {
  let [source, line] = [0, 0];
  const mappings = lines.map(([nextSource, nextLine]) => {
    const segment = "A" + vlq(nextSource - source) + vlq(nextLine - line) + "A";
    [source, line] = [nextSource, nextLine];
    return segment;
  });
  return JSON.stringify({ version: 3, sources, names: [], mappings: mappings.join(";") });
};
const origins = new Origins(Object.entries(mapsOf).map(([path, { source, map }]) =>
  ({ path, source, environment: "isolate", ...(map && { sourceMap: mapOf(map) }) })));
"""
LIBRARY = "../node_modules/lib/index.ts"
BUNDLES: dict[str, Any] = {
    "lib/a.js": {
        "source": 'lib("name")\nconst own = 1\nconst owner = "name"\nexport { own }\n',
        "map": {
            "sources": ["../../node_modules/lib/index.ts", "../../convex/lib/a.ts"],
            "lines": [[0, 4], [1, 1], [1, 2], [1, 3]],
        },
    },
    "plain.js": {"source": "const own = 1\n"},
    "outside.js": {
        "source": "x\n",
        "map": {"sources": ["../../../x/outside.ts"], "lines": [[0, 0]]},
    },
}


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (
            'source({ module: "lib/a.js", line: 2, column: 1 })',
            {"source": "../../convex/lib/a.ts", "line": 2, "column": 1},
        ),
        (
            'position({ module: "lib/a.js", line: 3, column: 7 })',
            {"path": "convex/lib/a.ts", "line": 3, "column": 1},
        ),
        (
            'position({ module: "lib/a.js", line: 1, column: 1 })',
            {"path": "node_modules/lib/index.ts", "line": 5, "column": 1},
        ),
        ('position({ module: "plain.js", line: 1, column: 1 })', None),
        ('position({ module: "none.js", line: 1, column: 1 })', None),
        ('position({ module: "outside.js", line: 1, column: 1 })', None),
        ('start("lib/a.js")', {"path": "convex/lib/a.ts", "line": 1, "column": 1}),
        ('start("plain.js")', None),
        # As a whole word, in the project's own part.
        ('find("lib/a.js", "own")', {"path": "convex/lib/a.ts", "line": 2, "column": 1}),
        ('find("lib/a.js", \'"name"\')', {"path": "convex/lib/a.ts", "line": 3, "column": 1}),
        ('find("lib/a.js", "own", "export")', {"path": "convex/lib/a.ts", "line": 4, "column": 1}),
        (
            'find("lib/a.js", "own", "not there")',
            {"path": "convex/lib/a.ts", "line": 2, "column": 1},
        ),
        ('find("lib/a.js", "wner")', None),
        ('find("lib/a.js", "lib")', None),
        ('find("none.js", "own")', None),
    ],
)
def test_places_lead_back_to_the_projects_files(call: str, found: Any, in_server: InServer) -> None:
    assert in_server(f"{ORIGINS} return origins.{call};", mapsOf=BUNDLES) == found


def test_a_map_that_can_not_be_read_leads_nowhere(in_server: InServer) -> None:
    found = in_server(
        """const { Origins } = await load("push/modules");
        const module = { path: "a.js", source: "x", sourceMap: "{", environment: "isolate" };
        const origins = new Origins([module]);
        return [origins.start("a.js"), origins.find("a.js", "x"),
          origins.source({ module: "a.js", line: 1, column: 1 })];"""
    )
    assert found == [None, None, None]
