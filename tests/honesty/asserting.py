"""Finds tests that cannot fail, by their syntax trees.

A test is left alone where one assertion that says something is reached whatever happens. In the way
are loops that may have no turn, conditions, comprehensions of nothing, and assertions that nearly
every value meets.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from tests.honesty.sources import DEFINITIONS, Place, Sources, children
from tests.honesty.values import COMPREHENSIONS, VAGUE_CALLS, Values, called_name, is_empty, number


class Weight(IntEnum):
    """How much is asserted."""

    NOTHING = 0
    VAGUE = 1
    """That there is something, or of which type it is."""
    MAYBE = 2
    """Only where a loop has a turn, or a condition is met."""
    SURE = 3


REASONS = {
    Weight.NOTHING: "it asserts nothing; assert what the code is to have done",
    Weight.VAGUE: "nearly every value meets its assertions; assert which value it is",
    Weight.MAYBE: "its assertions stand in loops, comprehensions or conditions that may never "
    "come to one; first assert that there is what they look at",
}
EXPECTING = {"raises", "warns", "deprecated_call"}
ASSERTING = ("assert_", "fnmatch_lines", "re_match_lines", "no_fnmatch_line", "no_re_match_line")
SWALLOWED = {"AssertionError", "Exception", "BaseException", "suppress"}


@dataclass(frozen=True)
class Finding:
    """A test that cannot fail."""

    path: Path
    line: int
    test: str
    weight: Weight

    def __str__(self) -> str:
        return f"{self.path.as_posix()}:{self.line}: {self.test}: {REASONS[self.weight]}"


def findings(root: Path, paths: Iterable[Path]) -> Iterator[Finding]:
    """The tests of the files `paths` that cannot fail. What these import from files below `root` is
    looked into."""
    sources = Sources(root)
    known: dict[ast.AST, Weight] = {}
    for path in paths:
        module = sources.module(path)
        for test in module.tests:
            weight = _weight(sources.place(test, module), known)
            if weight is not Weight.SURE:
                yield Finding(path.relative_to(root), test.lineno, test.name, weight)


def _weight(place: Place, known: dict[ast.AST, Weight]) -> Weight:
    if place.node not in known:
        known[place.node] = Weight.NOTHING  # What calls itself asserts nothing by that.
        known[place.node] = _Reading(place, known).weight()
    return known[place.node]


class _Reading:
    """Goes through a function from its first statement to its last."""

    def __init__(self, place: Place, known: dict[ast.AST, Weight]) -> None:
        self._values = Values(place)
        self._place = place
        self._known = known
        self._most = Weight.NOTHING
        self._left = False
        """Whether the function, or this turn of a loop, may have ended before."""

    def weight(self) -> Weight:
        self._block(self._place.node.body, sure=True)
        return self._most

    def _note(self, weight: Weight, *, sure: bool) -> None:
        if weight is Weight.SURE and not (sure and not self._left):
            weight = Weight.MAYBE
        self._most = max(self._most, weight)

    def _block(self, statements: Sequence[ast.stmt], *, sure: bool) -> None:
        for statement in statements:
            self._statement(statement, sure=sure)

    def _statement(self, node: ast.stmt, *, sure: bool) -> None:
        match node:
            case ast.Assert():
                self._assertion(node.test, sure=sure)
                self._expression(node.test, sure=sure)
            case ast.If():
                self._expression(node.test, sure=sure)
                self._condition(node, sure=sure)
            case ast.For() | ast.AsyncFor():
                self._expression(node.iter, sure=sure)
                self._loop(node.body, sure=sure and self._values.filled(node.iter))
                self._block(node.orelse, sure=sure)
            case ast.While():
                self._expression(node.test, sure=sure)
                if _waits(node):
                    self._note(Weight.SURE, sure=sure)
                endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
                turns = endless or self._values.filled(node.test)
                self._loop(node.body, sure=sure and turns)
                self._block(node.orelse, sure=sure)
            case ast.With() | ast.AsyncWith():
                self._with(node, sure=sure)
            case ast.Try() | ast.TryStar():
                self._try(node, sure=sure)
            case ast.Match():
                self._expression(node.subject, sure=sure)
                self._branches([case.body for case in node.cases], sure=sure and _is_whole(node))
            case ast.Return() | ast.Continue():
                if isinstance(node, ast.Return) and node.value is not None:
                    self._expression(node.value, sure=sure)
                self._left = True
            case ast.Raise():
                self._fail(node, sure=sure)
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                pass
            case _:
                for each in children(node):
                    if isinstance(each, ast.expr):
                        self._expression(each, sure=sure)

    def _loop(self, body: Sequence[ast.stmt], *, sure: bool) -> None:
        before = self._left
        self._block(body, sure=sure)
        self._left = before or _leaves(body, ast.Return)

    def _condition(self, node: ast.If, *, sure: bool) -> None:
        if _fails(node.body):
            self._note_failing(sure=sure)
            return
        self._branches([node.body, node.orelse], sure=sure)

    def _branches(self, branches: Sequence[Sequence[ast.stmt]], *, sure: bool) -> None:
        """What all of them assert is asserted; so is what comes after one that has left and had
        asserted something before."""
        inner = [self._branch(branch, sure=sure) for branch in branches]
        every = min(each._most for each in inner) is Weight.SURE
        self._note(max(each._most for each in inner), sure=sure and every)
        for each in inner:
            self._left = self._left or (each._left and each._most is not Weight.SURE)

    def _branch(self, branch: Sequence[ast.stmt], *, sure: bool) -> _Reading:
        inner = _Reading(self._place, self._known)
        inner._values, inner._left = self._values, self._left
        inner._block(branch, sure=sure)
        return inner

    def _with(self, node: ast.With | ast.AsyncWith, *, sure: bool) -> None:
        for item in node.items:
            self._expression(item.context_expr, sure=sure)
            if isinstance(item.context_expr, ast.Call):
                name = called_name(item.context_expr)
                if name in EXPECTING:
                    self._note(Weight.SURE, sure=sure)
                sure = sure and name not in SWALLOWED
        self._block(node.body, sure=sure)

    def _try(self, node: ast.Try | ast.TryStar, *, sure: bool) -> None:
        self._block(node.body, sure=sure and not any(map(_swallows, node.handlers)))
        for handler in node.handlers:
            if _fails(handler.body):
                self._note_failing(sure=sure)
            else:
                inner = self._branch(handler.body, sure=sure)
                self._note(inner._most, sure=False)
                self._left = self._left or (inner._left and inner._most is not Weight.SURE)
        past = any(not isinstance(each.body[-1], ast.Raise) for each in node.handlers)
        self._block(node.orelse, sure=sure and not past)
        self._block(node.finalbody, sure=sure)

    def _fail(self, node: ast.Raise, *, sure: bool) -> None:
        if node.exc is not None:
            self._expression(node.exc, sure=sure)
        if _fails([node]):
            self._note_failing(sure=sure)

    def _note_failing(self, *, sure: bool) -> None:
        """A failure that is said outright: who leaves before it has met what it asks for."""
        self._most = max(self._most, Weight.SURE if sure else Weight.MAYBE)

    def _assertion(self, test: ast.expr, *, sure: bool) -> None:
        weight = self._says(test)
        self._note(weight, sure=sure)
        if weight is Weight.VAGUE and sure and not self._left:
            looked_at = self._values.looked_at | self._values.names(test)
            self._values = Values(self._place, frozenset(looked_at))

    def _says(self, test: ast.expr) -> Weight:
        """How much the truth of an expression says."""
        values = self._values
        maybe = {True: Weight.MAYBE, False: Weight.SURE}
        match test:
            case ast.Await() | ast.NamedExpr():
                return self._says(test.value)
            case ast.Name() if (meant := values.meant(test)) is not test:
                # A value that was called for is not a mere yes or no, as one that is asserted is.
                vague = isinstance(meant, ast.Call) and called_name(meant) not in {"all", "any"}
                return Weight.VAGUE if vague else self._says(meant)
            case ast.Constant():
                return Weight.VAGUE if test.value else Weight.SURE
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return Weight.SURE if values.is_yes_or_no(test) else Weight.VAGUE
            case ast.Tuple() | ast.List() | ast.Dict() | ast.Set() | ast.JoinedStr():
                return Weight.VAGUE
            case ast.BoolOp():
                said = [self._says(each) for each in test.values]
                return max(said) if isinstance(test.op, ast.And) else min(said)
            case ast.UnaryOp(op=ast.Not()):
                return maybe[values.picks_of_nothing(test.operand)]
            case ast.Call():
                return self._answers(test)
            case ast.Compare(ops=[_]):
                return self._compares(test, test.ops[0], test.comparators[0])
        return Weight.VAGUE if isinstance(test, COMPREHENSIONS) else Weight.SURE

    def _answers(self, call: ast.Call) -> Weight:
        name = called_name(call)
        if name == "all" and call.args:
            of = call.args[0]
            if (
                isinstance(of, COMPREHENSIONS)
                and self._values.goes_through(of)
                and not any(each.ifs for each in of.generators)
            ):
                return Weight.SURE
            return Weight.SURE if self._values.filled(of) else Weight.MAYBE
        if name in VAGUE_CALLS:
            return Weight.VAGUE
        return Weight.SURE

    def _compares(self, test: ast.Compare, op: ast.cmpop, right: ast.expr) -> Weight:
        values, left = self._values, test.left
        alike = type(left) is type(right) and isinstance(op, ast.Eq | ast.Is | ast.LtE)
        if alike and ast.dump(left) == ast.dump(right):
            return Weight.VAGUE
        if isinstance(op, ast.IsNot | ast.NotEq):
            none = isinstance(right, ast.Constant) and right.value is None
            return Weight.VAGUE if none or is_empty(right) else Weight.SURE
        if isinstance(left, ast.Call) and called_name(left) == "len":
            least = (type(op), number(right))
            if least in {(ast.Gt, 0), (ast.GtE, 1)}:
                return Weight.VAGUE
        if isinstance(op, ast.Eq):
            sides = [(left, right), (right, left)]
            if any(is_empty(one) and values.picks_of_nothing(other) for one, other in sides):
                return Weight.MAYBE
            both = values.is_comprehension_of_nothing(left, right)
            return Weight.MAYBE if both else Weight.SURE
        if isinstance(op, ast.LtE) and values.may_be_nothing(left):
            return Weight.MAYBE
        return Weight.SURE

    def _expression(self, node: ast.expr, *, sure: bool) -> None:
        """Notes what the calls in it assert."""
        if isinstance(node, ast.Lambda):
            return
        if isinstance(node, COMPREHENSIONS):
            for each in node.generators:
                self._expression(each.iter, sure=sure)
            sure = sure and self._values.goes_through(node)
            sure = sure and not any(each.ifs for each in node.generators)
            parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            for part in parts:
                self._expression(part, sure=sure)
            return
        if isinstance(node, ast.Call):
            self._note(self._asserts(node), sure=sure)
        if isinstance(node, ast.BoolOp | ast.IfExp):
            first, *others = (
                node.values if isinstance(node, ast.BoolOp) else (node.test, node.body, node.orelse)
            )
            self._expression(first, sure=sure)
            for other in others:
                self._expression(other, sure=False)
            return
        for child in children(node):
            if isinstance(child, ast.keyword):
                self._expression(child.value, sure=sure)
            elif isinstance(child, ast.expr):
                self._expression(child, sure=sure)

    def _asserts(self, call: ast.Call) -> Weight:
        name = called_name(call)
        called = self._place.called(call.func)
        if not called and (name.startswith(ASSERTING) or _is_fail(call)):
            return Weight.SURE
        found = [_weight(each, self._known) for each in called]
        weight = min(found, default=Weight.NOTHING)
        return Weight.NOTHING if weight is Weight.VAGUE else weight


def _is_fail(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and called_name(node) in {"fail", "AssertionError"}


def _fails(body: Sequence[ast.stmt]) -> bool:
    """Whether a block ends in a failure that is said outright."""
    match body[-1]:
        case ast.Raise(exc=ast.Name(id="AssertionError")):
            return True
        case ast.Raise(exc=said) | ast.Expr(value=said):
            return _is_fail(said)
    return False


def _is_whole(node: ast.Match) -> bool:
    """Whether one of the cases is the subject's."""
    last = node.cases[-1]
    anything = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
    return anything and last.guard is None


def _waits(node: ast.While) -> bool:
    """Whether it goes on until a condition is met, and fails where it is not in the end."""
    negated = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
    if not negated or _leaves(node.body, ast.Return) or _leaves(node.body, ast.Break):
        return False
    return any(
        isinstance(each, ast.Assert) or (isinstance(each, ast.If) and _fails(each.body))
        for each in node.body
    )


def _swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a failed assertion ends there."""
    caught = (
        [each.id for each in ast.walk(handler.type) if isinstance(each, ast.Name)]
        if handler.type
        else []
    )
    again = any(isinstance(each, ast.Raise) for each in handler.body)
    return not again and (handler.type is None or bool(SWALLOWED & set(caught)))


def _leaves(body: Sequence[ast.AST], how: type[ast.stmt]) -> bool:
    """Whether one of the statements may leave the function, or the turn of the loop it is in."""
    apart: tuple[type[ast.AST], ...] = (*DEFINITIONS, ast.ClassDef, ast.expr)
    if how is not ast.Return:
        apart = (*apart, ast.For, ast.AsyncFor, ast.While)
    return any(
        isinstance(node, how) or _leaves(children(node), how)
        for node in body
        if not isinstance(node, apart)
    )
