"""`convex/_generated` and `convex/tsconfig.json`, without a deployment.

The official CLI writes the generated code only beside a deployment that has analysed the functions;
but all of it follows from the files, save for two things: the functions of local components and the
types of declared environment variables. What can't be known is said to be so and never guessed.

The texts are those that the installed `convex` writes itself (its templates); the modules and names
are chosen as its bundler does. The tests compare both with what the CLI writes, offline and after a
push.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_convex_eval.outcomes import Files, InfrastructureError
from pytest_convex_eval.toolchain.app_config import Undecided, mounted_components

FOLDER = "convex/_generated"
TEMPLATE_NAMES = ("api.d.ts", "api.js", "dataModel.d.ts", "server.d.ts", "server.js")

_ENTRY_SUFFIXES = (".js", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".jsx")
# The bundler's `/^\s{0,100}(import|export)/m`, from the last line's start only: from each of the
# lines before, a file of empty lines would be read a hundred times.
_HAS_MODULE_SYNTAX = re.compile(
    "(?:\\A|[\n\r\u2028\u2029])(?:[^\\S\n\r\u2028\u2029]|\ufeff){0,100}(?:import|export)"
)

# Names that the generated file declares itself, and words that can name nothing.
_DECLARED = frozenset({"api", "components", "fullApi", "internal"})
_RESERVED = frozenset(
    {
        "await",
        "break",
        "case",
        "catch",
        "class",
        "const",
        "continue",
        "debugger",
        "default",
        "delete",
        "do",
        "else",
        "enum",
        "export",
        "extends",
        "false",
        "finally",
        "for",
        "function",
        "if",
        "implements",
        "import",
        "in",
        "instanceof",
        "interface",
        "let",
        "new",
        "null",
        "package",
        "private",
        "protected",
        "public",
        "return",
        "static",
        "super",
        "switch",
        "this",
        "throw",
        "true",
        "try",
        "typeof",
        "var",
        "void",
        "while",
        "with",
        "yield",
    }
)

_PLAIN_KEY = re.compile(r"[A-Za-z_$][\w$]*")
_SERVER_IMPORT = re.compile(r"^import [^;]*? from \"convex/server\";\n", re.MULTILINE)
_MODULE_IMPORT = re.compile(r"^import type \* as .*;\n", re.MULTILINE)
_MODULE_MAP = re.compile(r"ApiFromModules<\{[^}]*\}>")


@dataclass(frozen=True, slots=True)
class Generated:
    """The generated files by path, and what of them only a deployment can tell.

    Where `undecided` is not empty, the typecheck has to wait for the CLI's own output.
    """

    files: Files
    undecided: tuple[Undecided, ...] = ()


def generated_files(
    files: Files, templates: Path, *, node_modules: Path | None = None
) -> Generated:
    """What the official CLI would write for an answer's `files` into `convex/_generated`.

    `templates` are those of the answer's `convex` version (`DependencySet.templates`);
    `node_modules` is looked into for the names that published components give themselves.
    Raises InfrastructureError when a template is missing or has a shape that this does not know.
    """
    paths = {path.removeprefix("convex/"): path for path in files if path.startswith("convex/")}
    has_schema = "schema.ts" in paths or "schema.js" in paths
    texts = _read(templates / ("with-schema" if has_schema else "without-schema"))
    modules = module_paths({path: files[full] for path, full in paths.items()})
    components, undecided = mounted_components(files, node_modules)
    texts["api.d.ts"] = _api_declarations(texts["api.d.ts"], modules, components)
    texts["api.js"] = _api_module(texts["api.js"])
    return Generated({f"{FOLDER}/{name}": text for name, text in texts.items()}, undecided)


def module_paths(files: Mapping[str, str]) -> list[str]:
    """Which of the files below the functions folder are modules, in the CLI's order.

    `files` holds texts by path relative to that folder. The rules are the bundler's: a folder with
    a `convex.config.ts` of its own is a component; schemas, dotfiles, names with more dots or
    spaces and TypeScript files without an import or export are no modules.
    """
    components = {
        str(PurePosixPath(path).parent) + "/"
        for path in files
        if PurePosixPath(path).name == "convex.config.ts" and "/" in path
    }
    return sorted(
        path
        for path, text in files.items()
        if _is_entry(path)
        and not any(path.startswith(folder) for folder in components)
        and (not path.endswith((".ts", ".tsx")) or _HAS_MODULE_SYNTAX.search(text))
    )


def _is_entry(path: str) -> bool:
    name = PurePosixPath(path).name
    return (
        path.endswith(_ENTRY_SUFFIXES)
        and not path.startswith(("_generated/", "_deps/"))
        and not name.startswith((".", "#"))
        and name not in {"schema.ts", "schema.js"}
        and name.count(".") == 1
        and " " not in path
    )


def convex_tsconfig() -> str:
    """Our `convex/tsconfig.json`: the options of Convex's own template, and `types`.

    Since TypeScript 6 no `@types` package is seen unless named; `*` brings back those that the
    answer has installed, so that a correct "use node" file with @types/node typechecks.
    """
    options = {
        "allowJs": True,
        "strict": True,
        "moduleResolution": "Bundler",
        "jsx": "react-jsx",
        "skipLibCheck": True,
        "allowSyntheticDefaultImports": True,
        "target": "ESNext",
        "lib": ["ES2023", "dom"],
        "forceConsistentCasingInFileNames": True,
        "module": "ESNext",
        "isolatedModules": True,
        "noEmit": True,
        "types": ["*"],
    }
    config = {"compilerOptions": options, "include": ["./**/*"], "exclude": ["./_generated"]}
    return json.dumps(config, indent=2) + "\n"


def _read(folder: Path) -> dict[str, str]:
    try:
        return {name: (folder / name).read_text("utf-8") for name in TEMPLATE_NAMES}
    except OSError as error:
        raise InfrastructureError(f"a template of generated code is missing: {error}") from error


def _api_declarations(template: str, modules: Iterable[str], components: Mapping[str, str]) -> str:
    # Pairs, not a map: `a.js` beside `a.ts` is named twice there too, and refused by the compiler.
    named = [(path.rpartition(".")[0], _identifier(path)) for path in modules]
    imports = "".join(
        f'import type * as {identifier} from "../{path}.js";\n' for path, identifier in named
    )
    entries = "".join(f"  {_key(path)}: typeof {identifier};\n" for path, identifier in named)
    text = _MODULE_IMPORT.sub("", template)
    text, imported = _SERVER_IMPORT.subn(lambda match: match.group() + imports, text, count=1)
    text, mapped = _MODULE_MAP.subn(
        lambda _: f"ApiFromModules<{{\n{entries}}}>" if entries else "ApiFromModules<{}>", text
    )
    if imported != 1 or mapped != 1 or "declare const components" in text:
        raise InfrastructureError("the template of api.d.ts has an unknown shape", detail=template)
    mounts = "".join(
        f'  {_key(name)}: import("{package}/_generated/component.js")'
        f".ComponentApi<{json.dumps(name)}>;\n"
        for name, package in components.items()
    )
    return f"{text}\nexport declare const components: {{{chr(10) if mounts else ''}{mounts}}};\n"


def _api_module(template: str) -> str:
    """`api.js` with `components`: the offline template is the older form without it."""
    text, found = re.subn(
        r'^import \{ anyApi \} from "convex/server";$',
        'import { anyApi, componentsGeneric } from "convex/server";',
        template,
        flags=re.MULTILINE,
    )
    if found != 1:
        raise InfrastructureError("the template of api.js has an unknown shape", detail=template)
    return f"{text}export const components = componentsGeneric();\n"


def _key(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) else json.dumps(name)


def _identifier(path: str) -> str:
    """The name under which the CLI imports a module; `a/b` and `a_b` collide there too."""
    name = path.rpartition(".")[0].replace("/", "_").replace("-", "_")
    return f"{name}_" if name in _DECLARED | _RESERVED else name
