"""The files of an answer as one program: which module and which declaration a name leads to."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pytest_convex_eval.toolchain.rules.facts import (
    Declaration,
    FileFacts,
    Registration,
    Run,
)

FUNCTIONS = "convex/"
_SUFFIXES = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
_MOST_REEXPORTS = 8
_MOST_BUILDERS = 4


@dataclass(frozen=True, slots=True)
class Node:
    """A declaration and the file it stands in."""

    path: str
    declaration: Declaration


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A function that is registered with Convex, under the name that it is exported as."""

    node: Node
    name: str
    registration: Registration

    @property
    def function_path(self) -> str:
        """`module:export`, as Convex names it."""
        return f"{_without_suffix(self.node.path).removeprefix(FUNCTIONS)}:{self.name}"


@dataclass(slots=True)
class Project:
    """The facts of all files, by path relative to the workspace."""

    files: Mapping[str, FileFacts]
    _modules: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._modules = {_without_suffix(path): path for path in reversed(list(self.files))}

    def file(self, importer: str, module: str) -> str | None:
        """The path that `module` means in `importer`; None for packages and what is not there."""
        if not module.startswith("."):
            return None
        target = posixpath.normpath(posixpath.join(posixpath.dirname(importer), module))
        if target in self.files:
            return target
        for stem in (target, _without_suffix(target), f"{target}/index"):
            if stem in self._modules:
                return self._modules[stem]
        return None

    def declaration(self, path: str, name: str, budget: int = _MOST_REEXPORTS) -> Node | None:
        """What the file `path` exports as `name`, given on by any number of files."""
        facts = self.files[path]
        for declaration in facts.declarations:
            if name in declaration.exports:
                return Node(path, declaration)
        if budget == 0:
            return None
        for given in facts.reexports:
            if given.exported != name and not (given.name == given.exported == "*"):
                continue
            source = self.file(path, given.module)
            if source is not None:
                inner = name if given.name == "*" else given.name
                found = self.declaration(source, inner, budget - 1)
                if found is not None:
                    return found
        return None

    def uses(self, node: Node) -> Iterator[Node]:
        """The declarations that `node` uses in code; of a namespace without a known member, all."""
        facts = self.files[node.path]
        for module, name in node.declaration.refs:
            if module is None:
                yield from (
                    Node(node.path, other) for other in facts.declarations if name in other.names
                )
                continue
            path = self.file(node.path, module)
            if path is None:
                continue
            if name == "*":
                yield from (Node(path, other) for other in self.files[path].declarations)
                continue
            found = self.declaration(path, name)
            if found is not None:
                yield found

    def target(self, path: str, run: Run) -> Node | None:
        """The function that a run aims at: the longest module that its path begins with."""
        if run.root not in {"api", "internal"} or len(run.path) < 2:
            return None
        *modules, name = run.path
        module = self._modules.get(FUNCTIONS + "/".join(modules))
        return None if module is None else self.declaration(module, name)

    def reach(self, start: Node, *, through_runs: bool = True) -> list[Node]:
        """`start` and all that it uses, directly or not, also by running functions."""
        found: dict[tuple[str, int], Node] = {}
        pending = [start]
        while pending:
            node = pending.pop()
            key = (node.path, id(node.declaration))
            if key in found:
                continue
            found[key] = node
            pending.extend(self.uses(node))
            if through_runs:
                targets = (self.target(node.path, run) for run in node.declaration.runs)
                pending.extend(target for target in targets if target is not None)
        return list(found.values())

    def registration(self, node: Node, budget: int = _MOST_BUILDERS) -> Registration | None:
        """What `node` registers, also through custom builders of other files."""
        declaration = node.declaration
        if declaration.function is not None or declaration.builder is None:
            return declaration.function
        maker = self._maker(node)
        if maker is None or budget == 0 or maker.declaration.builder is None:
            return None
        return maker.declaration.builder.makes

    def _maker(self, node: Node) -> Node | None:
        builder = node.declaration.builder
        if builder is None or builder.by is None:
            return None
        module, name = builder.by
        path = self.file(node.path, module)
        return None if path is None else self.declaration(path, name)

    def endpoints(self) -> Iterator[Endpoint]:
        """The functions that this program registers and exports."""
        for path, facts in self.files.items():
            for declaration in facts.declarations:
                node = Node(path, declaration)
                registration = self.registration(node)
                if registration is not None and declaration.exports:
                    yield Endpoint(node, declaration.exports[0], registration)

    def nodes(self) -> Iterator[Node]:
        """Every declaration of every file."""
        for path, facts in self.files.items():
            yield from (Node(path, declaration) for declaration in facts.declarations)

    def loads(self, starts: Iterable[str]) -> set[str]:
        """The files that any of `starts` loads when it runs, themselves among them."""
        found: set[str] = set()
        pending = [path for path in starts if path in self.files]
        while pending:
            path = pending.pop()
            if path in found:
                continue
            found.add(path)
            targets = (self.file(path, given.module) for given in self.files[path].imports)
            pending.extend(target for target in targets if target is not None)
        return found

    def named(self, *stems: str) -> Sequence[str]:
        """The files of these paths without their suffix."""
        return [self._modules[stem] for stem in stems if stem in self._modules]


def _without_suffix(path: str) -> str:
    pure = PurePosixPath(path)
    return str(pure.with_suffix("")) if pure.suffix in _SUFFIXES else path
