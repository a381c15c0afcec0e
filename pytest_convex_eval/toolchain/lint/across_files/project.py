"""The files of an answer as one program: which module and which declaration a name leads to.

An answer may hold thousands of declarations that all use each other, so that everything here is
looked up by name, and no walk visits a declaration twice.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeAlias

from pytest_convex_eval.toolchain.lint.across_files.facts import (
    Declaration,
    FileFacts,
    Reexport,
    Registration,
    Run,
)

FUNCTIONS = "convex/"
_SUFFIXES = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
_GENERATED_SERVER = re.compile(r"(?:.*/)?_generated/server(?:\.[cm]?[jt]s)?")
_REGISTRARS: Mapping[str, Registration] = {
    "query": Registration("query", public=True, http=False),
    "mutation": Registration("mutation", public=True, http=False),
    "action": Registration("action", public=True, http=False),
    "internalQuery": Registration("query", public=False, http=False),
    "internalMutation": Registration("mutation", public=False, http=False),
    "internalAction": Registration("action", public=False, http=False),
    "httpAction": Registration("action", public=True, http=True),
}

Named: TypeAlias = tuple[str, str]
"""A module, as a path of this program or the name of what is outside of it, and an export of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A declaration and the file it stands in; there is one of each."""

    path: str
    declaration: Declaration


@dataclass(frozen=True, slots=True, eq=False)
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
class _Module:
    """What a file declares and gives on, by name."""

    nodes: Sequence[Node]
    declared: dict[str, list[Node]] = field(default_factory=lambda: defaultdict(list))
    exported: dict[str, Node] = field(default_factory=dict)
    given_on: dict[str, Reexport] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, path: str, facts: FileFacts) -> _Module:
        module = cls([Node(path, declaration) for declaration in facts.declarations])
        for node in module.nodes:
            for name in node.declaration.names:
                module.declared[name].append(node)
            for name in node.declaration.exports:
                module.exported.setdefault(name, node)
        for given in facts.reexports:
            if given.name == given.exported == "*":
                module.stars.append(given.module)
            else:
                module.given_on.setdefault(given.exported, given)
        return module


@dataclass(slots=True)
class Project:
    """The facts of all files, by path relative to the workspace."""

    files: Mapping[str, FileFacts]
    _paths: dict[str, str] = field(init=False)
    _modules: dict[str, _Module] = field(init=False)
    # What is asked of every reference, once each.
    _origins: dict[Named, Named | None] = field(init=False, default_factory=dict)
    _stars: dict[str, dict[str, None]] = field(init=False, default_factory=dict)
    _sources: dict[str, set[str]] = field(init=False)
    _uses: dict[Node, Sequence[Node]] = field(init=False, default_factory=dict)
    _wholes: dict[str, Node] = field(init=False, default_factory=dict)
    _components: dict[str, str] = field(init=False, default_factory=dict)
    _endpoints: Sequence[Endpoint] = field(init=False)

    def __post_init__(self) -> None:
        self._paths = {_without_suffix(path): path for path in reversed(list(self.files))}
        self._modules = {path: _Module.of(path, facts) for path, facts in self.files.items()}
        self._sources = defaultdict(set)
        for path, module in self._modules.items():
            for name in (*module.exported, *module.given_on):
                self._sources[name].add(path)
        self._endpoints = list(self._find_endpoints())

    def file(self, importer: str, module: str) -> str | None:
        """The path that `module` means in `importer`; None for packages and what is not there."""
        if not module.startswith("."):
            return None
        target = posixpath.normpath(posixpath.join(posixpath.dirname(importer), module))
        if target in self.files:
            return target
        for stem in (target, _without_suffix(target), f"{target}/index"):
            if stem in self._paths:
                return self._paths[stem]
        return None

    def declaration(self, path: str, name: str) -> Node | None:
        """What the file `path` exports as `name`, given on by any number of files."""
        origin = self._origin(path, name)
        if origin is None or origin[0] not in self._modules:
            return None
        path, name = origin
        return self.whole(path) if name == "*" else self._modules[path].exported[name]

    def _origin(self, path: str, name: str) -> Named | None:
        """Where what `path` exports as `name` comes from: a file that declares it, or a module that
        is no file of this program."""
        passed: list[Named] = []
        at: Named | None = (path, name)
        while at is not None and at not in self._origins:
            # Files that give a name on in a circle.
            self._origins[at] = None
            passed.append(at)
            here = self._modules[at[0]]
            if at[1] in here.exported:
                self._origins[at] = at
                break
            given = here.given_on.get(at[1])
            if given is None:
                source = self._by_star(*at)
                at = None if source is None else (source, at[1])
                continue
            source = self.file(at[0], given.module)
            if source is None or given.name == "*":
                self._origins[at] = (source or given.module, given.name)
                break
            at = (source, given.name)
        origin = None if at is None else self._origins[at]
        self._origins.update(dict.fromkeys(passed, origin))
        return origin

    def _by_star(self, path: str, name: str) -> str | None:
        """The first file that knows `name` of those whose names `path` gives on as a whole."""
        if path not in self._stars:
            found: dict[str, None] = {}
            pending = [path]
            while pending:
                at = pending.pop()
                if at in found:
                    continue
                found[at] = None
                sources = (self.file(at, module) for module in self._modules[at].stars)
                pending.extend(source for source in sources if source is not None)
            del found[path]
            self._stars[path] = found
        given, known = self._stars[path], self._sources.get(name, set())
        few, many = (given, known) if len(given) < len(known) else (sorted(known), given)
        # A default is never given on so.
        return next((at for at in few if at in many), None) if name != "default" else None

    def uses(self, node: Node) -> Sequence[Node]:
        """The declarations that `node` uses in code; of a namespace without a known member, one
        that stands for the file and uses all of it."""
        if node not in self._uses:
            self._uses[node] = list(self._find_uses(node))
        return self._uses[node]

    def _find_uses(self, node: Node) -> Iterator[Node]:
        here = self._modules[node.path]
        for module, name in node.declaration.refs:
            if module is None:
                yield from here.declared.get(name, ())
                continue
            path = self.file(node.path, module)
            if path is None:
                continue
            found = self.whole(path) if name == "*" else self.declaration(path, name)
            if found is not None:
                yield found

    def whole(self, path: str) -> Node:
        """Stands for the file `path`, and uses every declaration of it."""
        if path not in self._wholes:
            node = self._wholes[path] = Node(path, _NOTHING)
            self._uses[node] = self._modules[path].nodes
        return self._wholes[path]

    def members(self, node: Node) -> Sequence[Node]:
        """The declarations that `node` stands for, when it stands for a file."""
        return self._uses[node] if node is self._wholes.get(node.path) else ()

    def target(self, path: str, run: Run) -> Node | None:
        """The function that a run aims at: the longest module that its path begins with."""
        if run.root not in {"api", "internal"} or len(run.path) < 2:
            return None
        *modules, name = run.path
        module = self._paths.get(FUNCTIONS + "/".join(modules))
        return None if module is None else self.declaration(module, name)

    def uses_or_runs(self, node: Node) -> Iterator[Node]:
        yield from self.uses(node)
        targets = (self.target(node.path, run) for run in node.declaration.runs)
        yield from (target for target in targets if target is not None)

    def walk(
        self,
        starts: Iterable[Node],
        step: Callable[[Node], Iterable[Node]],
        seen: set[Node] | None = None,
    ) -> Iterator[Node]:
        """`starts` and what `step` leads to from there; without what is in `seen`, to which it is
        added."""
        seen = set() if seen is None else seen
        pending = list(starts)
        while pending:
            node = pending.pop()
            if node not in seen:
                seen.add(node)
                yield node
                pending.extend(step(node))

    def reaching(self, is_goal: Callable[[Declaration], bool]) -> set[Node]:
        """All that uses or runs, directly or not, something for which `is_goal` holds."""
        users: dict[Node, list[Node]] = defaultdict(list)
        everything = list(self.walk(self.nodes(), self.uses_or_runs))
        for node in everything:
            for other in self.uses_or_runs(node):
                users[other].append(node)
        goals = (node for node in everything if is_goal(node.declaration))
        return set(self.walk(goals, lambda node: users.get(node, ())))

    def registration(self, node: Node) -> Registration | None:
        """What `node` registers, also through a custom builder of another file."""
        declaration = node.declaration
        if declaration.function is not None or declaration.builder is None:
            return declaration.function
        if declaration.builder.by is None:
            return None
        module, name = declaration.builder.by
        path = self.file(node.path, module)
        origin = None if path is None else self._origin(path, name)
        if origin is not None and _GENERATED_SERVER.fullmatch(origin[0]):
            return _REGISTRARS.get(origin[1])
        maker = None if path is None else self.declaration(path, name)
        builder = None if maker is None else maker.declaration.builder
        return None if builder is None else builder.makes

    def endpoints(self) -> Sequence[Endpoint]:
        """The functions that this program registers and exports."""
        return self._endpoints

    def _find_endpoints(self) -> Iterator[Endpoint]:
        for node in self.nodes():
            registration = self.registration(node)
            if registration is not None and node.declaration.exports:
                yield Endpoint(node, node.declaration.exports[0], registration)

    def nodes(self) -> Iterator[Node]:
        """Every declaration of every file."""
        for module in self._modules.values():
            yield from module.nodes

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

    def component(self, path: str) -> str:
        """The folder of the component that a file belongs to, which has a configuration of its own;
        the app's is empty. Tables and their ids are known within it alone."""
        folder = posixpath.dirname(path)
        if folder not in self._components:
            parents = [
                str(parent) for parent in (PurePosixPath(folder), *PurePosixPath(folder).parents)
            ]
            app = FUNCTIONS.rstrip("/")
            self._components[folder] = next(
                (at for at in parents if at != app and f"{at}/convex.config" in self._paths), ""
            )
        return self._components[folder]

    def named(self, *stems: str) -> Sequence[str]:
        """The files of these paths without their suffix."""
        return [self._paths[stem] for stem in stems if stem in self._paths]


def _without_suffix(path: str) -> str:
    pure = PurePosixPath(path)
    return str(pure.with_suffix("")) if pure.suffix in _SUFFIXES else path


_NOTHING = Declaration((), (), (1, 0), None, None, (), False, None, (), (), (), ())
