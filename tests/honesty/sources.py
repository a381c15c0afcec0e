"""The tests' sources as syntax trees, and where in them a name is defined."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
APART = (*DEFINITIONS, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True)
class Module:
    """A file, its tree, and the files beside and above it whose fixtures it has."""

    path: Path
    tree: ast.Module
    sources: Sources

    @cached_property
    def tests(self) -> list[Definition]:
        """The functions that pytest collects."""
        found: list[Definition] = []
        for node in self.tree.body:
            inside = isinstance(node, ast.ClassDef) and node.name.startswith("Test")
            for each in node.body if inside and isinstance(node, ast.ClassDef) else [node]:
                if isinstance(each, DEFINITIONS) and each.name.startswith("test"):
                    found.append(each)
        return found

    @cached_property
    def functions(self) -> dict[str, Definition]:
        """The functions of the module itself, fixtures among them."""
        return {node.name: node for node in self.tree.body if isinstance(node, DEFINITIONS)}

    @cached_property
    def methods(self) -> dict[str, list[Definition]]:
        """The methods of all its classes."""
        found: dict[str, list[Definition]] = {}
        for node in self._classes:
            for each in node.body:
                if isinstance(each, DEFINITIONS):
                    found.setdefault(each.name, []).append(each)
        return found

    @cached_property
    def constants(self) -> dict[str, ast.expr]:
        """What the module's names are assigned to, for names that are assigned once."""
        return _assigned(self.tree.body)

    @cached_property
    def booleans(self) -> set[str]:
        """The names of fields and properties that are declared to be true or false."""
        found = set()
        for node in self._classes:
            for each in node.body:
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                    found |= {each.target.id} if _is_bool(each.annotation) else set()
                elif isinstance(each, DEFINITIONS):
                    found |= {each.name} if _is_bool(each.returns) else set()
        return found

    @cached_property
    def imports(self) -> dict[str, tuple[Path, str]]:
        """The file and the name there of what is imported from files below the root."""
        found = {}
        guarded = [
            node for each in self.tree.body if isinstance(each, ast.If) for node in each.body
        ]
        for node in (*self.tree.body, *guarded):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for each in node.names:
                    path = self.sources.file_of(f"{node.module}.{each.name}")
                    path = path or self.sources.file_of(node.module)
                    if path is not None:
                        found[each.asname or each.name] = (path, each.name)
        return found

    @cached_property
    def modules(self) -> set[str]:
        """The names of whole modules that it imports."""
        imports = [node for node in self.tree.body if isinstance(node, ast.Import)]
        return {each.asname or each.name for node in imports for each in node.names}

    @cached_property
    def of_tests(self) -> bool:
        """Whether what it asserts is asserted by tests, and not by what they are of."""
        return self.sources.of_tests(self.path)

    def defined(self, name: str) -> list[Place]:
        """The function of a name in the module, its own or imported from tests."""
        if not self.of_tests:
            return []
        if name in self.functions:
            return [self.sources.place(self.functions[name], self)]
        path, there = self.imports.get(name, (None, name))
        return self.sources.module(path).defined(there) if path else []

    @cached_property
    def _classes(self) -> list[ast.ClassDef]:
        return [node for node in self.tree.body if isinstance(node, ast.ClassDef)]

    @cached_property
    def conftests(self) -> list[Module]:
        """The conftests whose fixtures it sees, nearest first."""
        folders = [each for each in self.path.parents if each.is_relative_to(self.sources.root)]
        paths = [folder / "conftest.py" for folder in folders]
        return [self.sources.module(path) for path in paths if path.exists()]

    @cached_property
    def _in_view(self) -> list[Path]:
        """The files where the classes of its objects can be: its own, the conftests', and those
        that these import from."""
        near = [self, *self.conftests]
        imported = [path for each in near for path, _ in each.imports.values()]
        return list(dict.fromkeys([*(each.path for each in near), *imported]))

    @cached_property
    def _tests_in_view(self) -> list[Module]:
        sources = self.sources
        return [sources.module(path) for path in self._in_view if sources.of_tests(path)]

    def methods_in_view(self, name: str) -> list[Place]:
        """The methods of a name, of classes in the nearest tests that have such."""
        for module in self._tests_in_view:
            if name in module.methods:
                return [self.sources.place(node, module) for node in module.methods[name]]
        return []

    def imported(self, name: str) -> ast.expr | None:
        """What another module says that a name imported from it is."""
        path, there = self.imports.get(name, (None, name))
        return self.sources.module(path).constants.get(there) if path else None

    def declares_boolean(self, name: str) -> bool:
        """Whether a class in view says that its `name` is true or false."""
        return any(name in self.sources.module(path).booleans for path in self._in_view)


class Sources:
    """All files below `root` that are asked for, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tests = root / "tests"
        self._known: dict[Path, bool] = {}
        self._modules: dict[Path, Module] = {}
        self._files: dict[str, Path | None] = {}
        self._places: dict[ast.AST, Place] = {}

    def of_tests(self, path: Path) -> bool:
        if path not in self._known:
            self._known[path] = path.is_relative_to(self._tests)
        return self._known[path]

    def module(self, path: Path) -> Module:
        if path not in self._modules:
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            self._modules[path] = Module(path, tree, self)
        return self._modules[path]

    def file_of(self, module: str) -> Path | None:
        """The file of a module's dotted name, where it is one below the root."""
        if module not in self._files:
            place = self.root.joinpath(*module.split("."))
            paths = (place.with_suffix(".py"), place / "__init__.py")
            self._files[module] = next((path for path in paths if path.exists()), None)
        return self._files[module]

    def place(self, node: Definition, module: Module, around: tuple[Definition, ...] = ()) -> Place:
        if node not in self._places:
            self._places[node] = Place(node, module, around)
        return self._places[node]


@dataclass(frozen=True)
class Place:
    """A function with the module that it stands in, and the functions around it."""

    node: Definition
    module: Module
    around: tuple[Definition, ...] = ()

    @cached_property
    def _own(self) -> list[ast.AST]:
        return list(_own_nodes(self.node))

    @cached_property
    def _outer(self) -> list[Place]:
        places = []
        for number, node in enumerate(self.around):
            places.append(self.module.sources.place(node, self.module, self.around[:number]))
        return places

    @cached_property
    def inner(self) -> dict[str, Definition]:
        """The functions that are defined in it."""
        return {node.name: node for node in self._own if isinstance(node, DEFINITIONS)}

    @cached_property
    def values(self) -> dict[str, ast.expr]:
        """What its names are assigned to, for names that are assigned once."""
        return {**self.module.constants, **_assigned(self._own)}

    @cached_property
    def parameters(self) -> dict[str, ast.arg]:
        said = self.node.args
        return {each.arg: each for each in (*said.posonlyargs, *said.args, *said.kwonlyargs)}

    @cached_property
    def booleans(self) -> set[str]:
        """Its parameters that are declared to be true or false."""
        return {name for name, each in self.parameters.items() if _is_bool(each.annotation)}

    @cached_property
    def given(self) -> list[ast.expr]:
        """What it returns or yields."""
        nodes = [node for node in self._own if isinstance(node, ast.Return | ast.Yield)]
        return [node.value for node in nodes if node.value is not None]

    def called(self, function: ast.expr) -> list[Place]:
        """The definitions in tests that a call of `function` can come to; none where it is of
        something else."""
        if isinstance(function, ast.Name):
            return self._named(function.id)
        if not isinstance(function, ast.Attribute):
            return []
        of = function.value
        if isinstance(of, ast.Name) and of.id in self.module.modules:
            return []
        return self.module.methods_in_view(function.attr)

    def _named(self, name: str) -> list[Place]:
        sources = self.module.sources
        for place in (self, *reversed(self._outer)):
            if name in place.inner:
                return [sources.place(place.inner[name], self.module, (*place.around, place.node))]
            if name in place.parameters:
                return place._of_fixture(name)
        return self.module.defined(name)

    def _of_fixture(self, name: str) -> list[Place]:
        """What the fixture gives, where that is a function."""
        for module in (self.module, *self.module.conftests):
            node = module.functions.get(name)
            if node is not None and node is not self.node:
                place = module.sources.place(node, module)
                return [made for value in place.given for made in place.called(value)]
        return []


def _is_bool(annotation: ast.expr | None) -> bool:
    return isinstance(annotation, ast.Name) and annotation.id == "bool"


def children(node: ast.AST) -> list[ast.AST]:
    """As `ast.iter_child_nodes`, without the nodes that have no parts."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found.extend(each for each in value if isinstance(each, ast.AST))
        elif isinstance(value, ast.AST) and value._fields:
            found.append(value)
    return found


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a function, without those of functions and classes in it."""
    waiting = children(function)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, APART):
            waiting.extend(children(node))


def _assigned(nodes: Sequence[ast.AST]) -> dict[str, ast.expr]:
    """The values of names that are bound once among `nodes`, by an assignment."""
    values: dict[str, ast.expr] = {}
    bound: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.append(node.id)
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            values |= {each.id: node.value for each in targets if isinstance(each, ast.Name)}
    return {name: value for name, value in values.items() if bound.count(name) <= 1}
