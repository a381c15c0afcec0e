"""What an expression tells of its value: whether it holds anything, whether it is a plain yes or
no."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TypeAlias

from tests.honesty.sources import Place

Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# They hold something where what they are given does.
KEEPING = {
    *("list", "tuple", "set", "frozenset", "sorted", "reversed", "enumerate", "iter", "zip"),
    *("items", "keys", "values", "product", "chain", "dict", "cycle", "copy"),
}
COLLECTING = {"list", "tuple", "set", "frozenset", "sorted", "dict", "sum", "len", "Counter"}
# They give what they find, which may be nothing.
FINDING = {"findall", "finditer", "glob", "rglob", "iterdir"}
# What any value gives, or nearly any.
VAGUE_CALLS = {
    *("len", "list", "tuple", "set", "dict", "sorted", "str", "repr", "bool", "type", "next"),
    *("isinstance", "issubclass", "hasattr", "callable", "getattr", "id"),
}


@dataclass(frozen=True)
class Values:
    """Looks at the expressions of a function. `looked_at` are the names of which the function has
    asserted something before."""

    place: Place
    looked_at: frozenset[str] = frozenset()

    def meant(self, node: ast.expr) -> ast.expr:
        """The expression itself, or what the name that it is was assigned."""
        for _ in range(9):
            if isinstance(node, ast.Await | ast.NamedExpr | ast.Starred):
                node = node.value
            elif isinstance(node, ast.Name) and node.id in self.place.values:
                node = self.place.values[node.id]
            else:
                break
        return node

    def names(self, node: ast.expr) -> set[str]:
        """The names in it, and in what these were assigned."""
        found: set[str] = set()
        waiting: list[ast.AST] = [node]
        while waiting:
            for each in ast.walk(waiting.pop()):
                if isinstance(each, ast.Name) and each.id not in found:
                    found.add(each.id)
                    if each.id in self.place.values:
                        waiting.append(self.place.values[each.id])
        return found

    def filled(self, node: ast.expr) -> bool:
        """Whether it surely holds something to go through."""
        return self._filled(node) or bool(self.names(node) & self.looked_at)

    def _filled(self, node: ast.expr) -> bool:
        node = self.meant(node)
        if isinstance(node, ast.Name):
            node = self.place.module.imported(node.id) or node
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return any(not isinstance(e, ast.Starred) or self.filled(e.value) for e in node.elts)
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            return any(key is not None or self.filled(value) for key, value in pairs)
        if isinstance(node, ast.Constant):
            return isinstance(node.value, str | bytes) and bool(node.value)
        if isinstance(node, ast.BinOp):
            either = isinstance(node.op, ast.Add | ast.BitOr)
            if isinstance(node.op, ast.Mult):
                return self.filled(node.left) or self.filled(node.right)
            return either and (self.filled(node.left) or self.filled(node.right))
        if isinstance(node, COMPREHENSIONS):
            return self.goes_through(node) and not any(each.ifs for each in node.generators)
        if isinstance(node, ast.Call):
            return self._gives_something(node)
        return False

    def _gives_something(self, call: ast.Call) -> bool:
        name = called_name(call)
        if name == "range":
            ends = [number(self.meant(each)) for each in call.args]
            known = [each for each in ends if each is not None]
            return len(known) == len(ends) > 0 and len(range(*known)) > 0
        if name in KEEPING:
            of = call.func.value if isinstance(call.func, ast.Attribute) else None
            parts = call.args or ([of] if of is not None else [])
            if name == "chain":
                return any(self.filled(each) for each in parts)
            return bool(parts) and all(self.filled(each) for each in parts)
        return False

    def goes_through(self, node: Comprehension) -> bool:
        """Whether a comprehension surely comes to look at something."""
        return all(self.filled(each.iter) for each in node.generators)

    def is_comprehension_of_nothing(self, *nodes: ast.expr) -> bool:
        """Whether all are comprehensions that may have nothing to look at."""
        comprehensions = [self._comprehension_in(node) for node in nodes]
        return all(each and not self.goes_through(each) for each in comprehensions)

    def picks_of_nothing(self, node: ast.expr) -> bool:
        """Whether it is what a comprehension picks, or whether there is any such thing, where that
        may have nothing to pick from."""
        node = self.meant(node)
        if isinstance(node, ast.Call) and called_name(node) == "any" and node.args:
            return self.is_comprehension_of_nothing(node.args[0])
        found = self._comprehension_in(node)
        if found is None or not any(each.ifs for each in found.generators):
            return False  # All of it is said to be nothing.
        return not self.goes_through(found)

    def _comprehension_in(self, node: ast.expr) -> Comprehension | None:
        node = self.meant(node)
        if isinstance(node, ast.Call) and called_name(node) in COLLECTING and node.args:
            return self._comprehension_in(node.args[0])
        return node if isinstance(node, COMPREHENSIONS) else None

    def may_be_nothing(self, node: ast.expr) -> bool:
        """Whether it is made of what is found, so that nothing found makes it empty."""
        node = self.meant(node)
        if isinstance(node, COMPREHENSIONS):
            return not self.filled(node)
        if isinstance(node, ast.Call):
            name = called_name(node)
            if name in COLLECTING and node.args:
                return self.may_be_nothing(node.args[0])
            return name in FINDING and not self.filled(node)
        return False

    def is_yes_or_no(self, node: ast.expr) -> bool:
        """Whether a name or an attribute is declared to be one of the two."""
        if isinstance(node, ast.Name):
            return node.id in self.place.booleans
        if isinstance(node, ast.Attribute):
            return self.place.module.declares_boolean(node.attr)
        return False


def called_name(call: ast.Call) -> str:
    """The last part of the name of what is called."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def number(node: ast.expr) -> int | None:
    """The whole number that it is, if it is one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    return None


def is_empty(node: ast.expr) -> bool:
    """Whether it is something without anything in it, or zero."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return not node.elts
    if isinstance(node, ast.Dict):
        return not node.keys
    if isinstance(node, ast.Call):
        return called_name(node) in COLLECTING and not node.args and not node.keywords
    return isinstance(node, ast.Constant) and node.value in (0, "", b"")
