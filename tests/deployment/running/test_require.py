"""CommonJS around "use node" modules, where bundled packages look for it."""

from __future__ import annotations

from tests.deployment.fixtures import PushOnce

# As a bundler leaves a package that asks for what it has not bundled.
COMMONJS = """
declare const require: any, module: any, exports: any, __filename: string, __dirname: string;
const { Buffer: NodeBuffer } = require("buffer");
const made = require("node:crypto").createHash("sha256").update(NodeBuffer.from("a")).digest("hex");
const seen = [__filename, __dirname, typeof module.exports, typeof exports,
  require("path").basename(__filename), require.resolve("fs"), made.slice(0, 6)];
const refused = ["left-pad", "node:sqlite", "./other"].map((name) => {
  try { require(name); return null; } catch (e: any) { return [e.code ?? null, e.message]; }
});
"""
TEXT = (
    '"use node";\nimport { action } from "./_generated/server";\n'
    'import { createRequire } from "node:module";\n'
    f"{COMMONJS}"
    "export const atImport = action({ args: {}, handler: async () => [seen, refused] });\n"
    "export const later = action({ args: {}, handler: async () => [\n"
    '  require("os").EOL, __filename, require("events") === require("node:events"),\n'
    '  createRequire(import.meta.url)("util").format("%d", 1), import.meta.url,\n'
    '  createRequire("/x.js")("path").sep] });\n'
)
BUILTINS = [
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "crypto",
    "dns",
    "events",
    "fs",
    "fs/promises",
    "http",
    "http2",
    "https",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "stream",
    "stream/promises",
    "string_decoder",
    "timers",
    "timers/promises",
    "tls",
    "tty",
    "url",
    "util",
    "util/types",
    "v8",
    "vm",
    "worker_threads",
    "zlib",
]


def test_modules_have_require_and_their_names(push_once: PushOnce) -> None:
    app = push_once({"convex/a.ts": TEXT, "convex/sub/b.ts": TEXT.replace("./_gen", "../_gen")})
    for path in ("a", "sub/b"):
        result = app.action(f"{path}:atImport")
        assert result.error is None
        folder = "/convex" if path == "a" else "/convex/sub"
        file = f"{path.rpartition('/')[2]}.js"
        assert result.value == [
            [f"{folder}/{file}", folder, "object", "object", file, "fs", "ca9781"],
            [
                ["MODULE_NOT_FOUND", "Cannot find module 'left-pad'"],
                [None, "The Node.js module 'node:sqlite' is unavailable to pushed code"],
                ["MODULE_NOT_FOUND", "Cannot find module './other'"],
            ],
        ]
        assert app.action(f"{path}:later").value == [
            "\n",
            f"{folder}/{file}",
            True,
            "1",
            f"file://{folder}/{file}",
            "/",
        ]


def test_the_builtins_of_node_actions_are_imported_and_required(push_once: PushOnce) -> None:
    imports = "".join(f'import * as m{i} from "node:{name}";\n' for i, name in enumerate(BUILTINS))
    text = (
        f'"use node";\nimport {{ action }} from "./_generated/server";\n{imports}'
        "declare const require: any;\n"
        f"const found: any = {{ {', '.join(f'm{i}' for i in range(len(BUILTINS)))} }};\n"
        "export const f = action({ args: {}, handler: async () => Object.values(found).map(\n"
        "  (each: any) => typeof each.default) });\n"
        "export const g = action({ args: {}, handler: async () => "
        f"{BUILTINS!r}.map((name) => typeof require(name)) }});\n"
    )
    app = push_once({"convex/a.ts": text})
    functions = {"assert", "events", "stream"}
    expected = ["function" if name in functions else "object" for name in BUILTINS]
    assert app.action("a:g").value == expected
    assert len(BUILTINS) == len(app.action("a:f").value or [])  # type: ignore[arg-type]
