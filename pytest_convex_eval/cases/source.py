"""A YAML file as data that remembers where each value stood.

The scalars are those of YAML 1.2's core schema, as editors read them, and not PyYAML's 1.1: `no`,
a date and `1:30` are strings. A number with leading zeros is a string too: readers disagree on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from pytest_convex_eval.places import Position

Location: TypeAlias = tuple[str | int, ...]

LARGEST_FILE = 1024 * 1024
"""Bytes. A case is one file that people read."""

_DEEPEST = 100

_MOST_NODES = 50_000
"""Nodes after aliases are written out: a few nested aliases can stand for billions."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a case file."""

    path: str
    position: Position
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.position.line}:{self.position.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Source:
    """The data of a YAML file, with the position of each key and value and what was amiss."""

    data: Any
    values: Mapping[Location, Position] = field(default_factory=dict)
    keys: Mapping[Location, Position] = field(default_factory=dict)
    problems: tuple[tuple[Position, str], ...] = ()

    def position(self, location: Location) -> Position:
        """The position of the value at `location`, or of the nearest thing around it."""
        for end in range(len(location), -1, -1):
            if location[:end] in self.values:
                return self.values[location[:end]]
        return Position()

    def key_position(self, location: Location) -> Position:
        """The position of the key at `location`, or of the nearest thing around it."""
        return self.keys.get(location) or self.position(location)


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with the implicit types of YAML 1.2's core schema."""


# The base depends on how PyYAML was built, which no type can say.
class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same on libyaml, where PyYAML was built with it: ten times as fast.

    Its messages are poorer, so what it refuses is read again by the other one.
    """


# Without this the classes would add to PyYAML's own resolvers.
_CoreLoader.yaml_implicit_resolvers = {}


def _resolve(tag: str, pattern: str, first: str) -> None:
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolve("null", r"^(?:~|null|Null|NULL|)$", "~nN\0")
_resolve("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789")
_resolve(
    "float",
    r"^[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$",
    "-+.0123456789",
)
_CoreLoader.yaml_implicit_resolvers[""] = _CoreLoader.yaml_implicit_resolvers.pop("\0")
_FastLoader.yaml_implicit_resolvers = _CoreLoader.yaml_implicit_resolvers


def read_source(path: Path) -> Source:
    """The YAML file at `path`; what is wrong with it is in `problems`. Raises OSError."""
    if path.stat().st_size > LARGEST_FILE:
        return Source(None, problems=((Position(), f"larger than {LARGEST_FILE} bytes"),))
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return Source(None, problems=((Position(line), "not valid UTF-8"),))
    return parse_source(text)


def parse_source(text: str) -> Source:
    """`text` as data with positions; never raises."""
    if not _printable(text):
        position, character = _unprintable(text)
        return Source(None, problems=((position, f"not valid YAML: character {character!r}"),))
    # Editors write Windows line ends; what a case holds are the texts of files, which have none.
    text = text.replace("\r\n", "\n")
    source = _parse(text, _FastLoader)
    return source if not source.problems else _parse(text, _CoreLoader)


def _parse(text: str, kind: type[yaml.SafeLoader]) -> Source:
    loader = kind(text)
    try:
        if _depth(kind(text)) > _DEEPEST:
            return Source(None, problems=((Position(), "nested too deeply"),))
        node = loader.get_single_node()
        if node is None:
            return Source(None, problems=((Position(), "the file is empty"),))
        walk = _Walk()
        if walk.size(node, frozenset()) > _MOST_NODES:
            return Source(None, problems=((Position(), "too many values (aliases written out)"),))
        walk.visit(node, ())
        data = loader.construct_document(node)
        return Source(data, walk.values, walk.keys, tuple(walk.problems))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = Position(mark.line + 1, mark.column + 1) if mark else Position()
        message = f"not valid YAML: {error.problem or error.context}"
        return Source(None, problems=((position, message),))
    except (ValueError, TypeError) as error:
        return Source(None, problems=((Position(), f"not valid YAML: {error}"),))
    finally:
        loader.dispose()


def _depth(loader: yaml.SafeLoader) -> int:
    """How deep the nesting goes. Reading events takes no recursion; composing nodes does, and
    libyaml's would overflow the stack of the process."""
    depth = deepest = 0
    while loader.check_event():
        # PyYAML's stubs leave this one method untyped.
        event: yaml.Event = loader.get_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            deepest = max(deepest, depth)
            if depth > _DEEPEST:
                break
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return deepest


def _printable(text: str) -> bool:
    return yaml.reader.Reader.NON_PRINTABLE.search(text) is None


def _unprintable(text: str) -> tuple[Position, str]:
    match = yaml.reader.Reader.NON_PRINTABLE.search(text)
    assert match is not None
    before = text[: match.start()]
    column = match.start() - (before.rfind("\n") + 1) + 1
    return Position(before.count("\n") + 1, column), match.group()


class _Walk:
    """Records where every key and value of a node tree stands, and keys that stand twice."""

    def __init__(self) -> None:
        self.values: dict[Location, Position] = {}
        self.keys: dict[Location, Position] = {}
        self.problems: list[tuple[Position, str]] = []
        self._sizes: dict[int, int] = {}

    def size(self, node: yaml.Node, above: frozenset[int]) -> int:
        """How many nodes `node` stands for with all aliases written out."""
        if id(node) in above:
            raise ValueError("an alias stands for something that contains it")
        known = self._sizes.get(id(node))
        if known is None:
            inside = above | {id(node)}
            known = 1 + sum(self.size(child, inside) for child in _children(node))
            self._sizes[id(node)] = known
        return known

    def visit(self, node: yaml.Node, location: Location) -> None:
        self.values[location] = _position(node)
        if isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                self.visit(child, (*location, index))
        if isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                self.visit_pair(key, child, location)
            # What is told already must not end the reading of the rest.
            node.value = [pair for pair in node.value if isinstance(pair[0], yaml.ScalarNode)]

    def visit_pair(self, key: yaml.Node, child: yaml.Node, location: Location) -> None:
        if not isinstance(key, yaml.ScalarNode):
            self.problems.append((_position(key), "a key must be a plain word"))
            return
        if key.value == "<<" and not key.style:
            # Read literally, it would be a field of that name, and be told far from here.
            message = "merge keys (<<) are no part of YAML 1.2; write the fields out"
            self.problems.append((_position(key), message))
            return
        here = (*location, str(key.value))
        first = self.keys.get(here)
        if first is not None:
            message = f"duplicate key {key.value!r} (first defined on line {first.line})"
            self.problems.append((_position(key), message))
            return
        self.keys[here] = _position(key)
        self.visit(child, here)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            yield key
            yield child


def _position(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)
