"""Which components `convex/convex.config.ts` mounts, read from its text.

The config is a program; but nearly all are a few declarations, and those are read here. Everything
else (and everything whose types only a deployment knows) is named as undecided.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pytest_convex_eval.outcomes import Files
from pytest_convex_eval.toolchain.lexer import spans

CONFIG = "convex/convex.config.ts"

UndecidedKind: TypeAlias = Literal["local-component", "typed-environment", "unknown-config"]


@dataclass(frozen=True, slots=True)
class Undecided:
    """What about the generated code only a deployment can tell, and where that comes from."""

    kind: UndecidedKind
    path: str
    detail: str


# Nowhere does a pattern here leave open which of two parts takes a run of blanks: each way to share
# them out would be tried where the rest does not fit.
_NAME = r"[A-Za-z_$][\w$]*"
_LITERAL = r"\"[^\"\\\n]*\"|'[^'\\\n]*'"
_STATEMENT = re.compile(
    rf"""\s*(?:
      import\s*\{{(?P<named>[^}}]*)\}}\s*from\s*(?P<source>{_LITERAL})
    | import\s+(?P<default>{_NAME})\s+from\s*(?P<specifier>{_LITERAL})
    | (?:const|let|var)\s+(?P<app>{_NAME})\s*(?::[\w\s<>]+)?=\s*(?P<define>{_NAME})\s*
        \((?P<options>[^()]*)\)
    | (?P<receiver>{_NAME})\s*\.\s*use\s*\(\s*(?P<used>{_NAME})\s*
        (?:,\s*(?:\{{(?P<mount>[^{{}}]*)\}}\s*(?:,\s*)?)?)?\)
    | export\s+default\s+(?P<exported>{_NAME})
    )\s*(?:;|(?=\n)|\Z)""",
    re.VERBOSE,
)
_MOUNT_NAME = re.compile(
    rf"(?:^|,)\s*(?:name|\"name\"|'name')\s*:\s*(?P<value>{_LITERAL})\s*(?:,|$)"
)
_NAMED_AT_ALL = re.compile(r"\bname\b")
_DEFINE_APP = re.compile(rf"\bdefineApp\b(?:\s+as\s+(?P<alias>{_NAME}))?")
_ENVIRONMENT = re.compile(r"\benv\s*[:,}]|\benv\s*$")
_DEFINED_NAME = re.compile(rf"\bdefineComponent\s*\(\s*(?P<value>{_LITERAL})")
_CONFIG_SPECIFIER = re.compile(r"(?P<package>.+)/convex\.config(?:\.js|\.ts|\.mjs)?")


def mounted_components(
    files: Files, node_modules: Path | None
) -> tuple[Mapping[str, str], tuple[Undecided, ...]]:
    """The package of each mounted published component by its mount name; what is undecided."""
    local = tuple(
        Undecided("local-component", path, "the functions of a local component")
        for path in files
        if path.startswith("convex/") and path.endswith("/convex.config.ts") and path != CONFIG
    )
    text = files.get(CONFIG)
    if text is None:
        other = "convex/convex.config.js"
        if other not in files:
            return {}, local
        return {}, (*local, Undecided("unknown-config", other, "the CLI reads convex.config.ts"))
    components: dict[str, str] = {}
    undecided = [*local]
    for found in _Reader(text, node_modules).read():
        if isinstance(found, Undecided):
            undecided.append(found)
        else:
            components[found[0]] = found[1]
    return components, tuple(undecided)


class _Reader:
    def __init__(self, text: str, node_modules: Path | None) -> None:
        self.text = _without_comments(text).rstrip()
        self.node_modules = node_modules
        self.specifiers: dict[str, str] = {}
        self.makers: set[str] = set()

    def read(self) -> Iterator[tuple[str, str] | Undecided]:
        at = 0
        while at < len(self.text):
            match = _STATEMENT.match(self.text, at)
            if match is None:
                line = self.text[at:].strip().splitlines()[0]
                yield Undecided("unknown-config", CONFIG, line)
                return
            at = match.end()
            if match["default"] is not None:
                self.specifiers[match["default"]] = match["specifier"][1:-1]
            elif match["named"] is not None and match["source"][1:-1] == "convex/server":
                imported = _DEFINE_APP.finditer(match["named"])
                self.makers.update(name["alias"] or "defineApp" for name in imported)
            elif match["app"] is not None:
                if match["define"] not in self.makers:
                    yield Undecided("unknown-config", CONFIG, f"what {match['define']} makes")
                elif _ENVIRONMENT.search(match["options"].strip("{} \n")):
                    yield Undecided("typed-environment", CONFIG, "declared environment variables")
                elif match["options"].strip() not in {"", "{}"}:
                    yield Undecided("unknown-config", CONFIG, match["options"].strip())
            elif match["used"] is not None:
                yield self._mount(match["used"], match["mount"])

    def _mount(self, used: str, options: str | None) -> tuple[str, str] | Undecided:
        match = _CONFIG_SPECIFIER.fullmatch(self.specifiers.get(used, ""))
        if match is None:
            return Undecided("unknown-config", CONFIG, f"where {used} comes from")
        package = match["package"]
        if package.startswith("."):
            return Undecided("local-component", CONFIG, f"the functions of {package}")
        options = options or ""
        named = _MOUNT_NAME.search(options)
        computed = "..." in options or (named is None and _NAMED_AT_ALL.search(options))
        name = named["value"][1:-1] if named else self._own_name(package)
        if name is None or computed:
            return Undecided("unknown-config", CONFIG, f"the name of {package}")
        return name, package

    def _own_name(self, package: str) -> str | None:
        """What an installed component passes to `defineComponent`."""
        if self.node_modules is None:
            return None
        folder = self.node_modules / package
        for config in sorted(folder.glob("dist/**/convex.config.js"), key=lambda path: path.parts):
            match = _DEFINED_NAME.search(config.read_text("utf-8", "replace"))
            if match is not None:
                return match["value"][1:-1]
        return None


def _without_comments(text: str) -> str:
    return "".join(
        " " if span.kind == "comment" else text[span.start : span.end] for span in spans(text)
    )
