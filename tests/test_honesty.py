"""No test of ours is one that cannot fail, and the check that says so finds those that are."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.honesty.asserting import Weight, findings

TESTS = Path(__file__).parent

CONFTEST = """
import pytest
from tests.helpers import check_imported

class Project:
    def check(self):
        assert self.count() == 3

    def look(self):
        return self.count()

@pytest.fixture
def project():
    return Project()

@pytest.fixture
def compare():
    def inner(one, other):
        assert one == other
    return inner

@pytest.fixture
def load():
    def inner(name):
        return name
    return inner
"""
HELPERS = """
def check_imported(value):
    assert value == 1

def wait(done):
    while not done():
        assert clock() < LATEST

def drain(queue):
    while queue:
        assert queue.pop() == 1

def tell(value):
    if value:
        raise AssertionError(value)

def first(values):
    for value in values:
        if value == 1:
            return value
    raise AssertionError("none is 1")

def narrow(value):
    assert value is not None
    return value

def again(depth):
    again(depth - 1)
"""

CAN_FAIL = {
    "a value": "assert f() == 1",
    "a predicate": "assert path.exists()",
    "an absence": "assert 'x' not in f()",
    "nothing is left": "assert f() == []",
    "a denial": "assert not f()",
    "an exception": """
        with pytest.raises(ValueError):
            f()
    """,
    "a said failure": """
        if f():
            pytest.fail("no")
    """,
    "a handler that fails": """
        try:
            f()
        except ValueError:
            raise AssertionError from None
    """,
    "both ways": """
        if f():
            assert g() == 1
        else:
            assert g() == 2
    """,
    "whatever it is": """
        match f():
            case 1:
                assert g() == 1
            case other:
                assert other == 2
    """,
    "a way out behind an assertion": """
        if f():
            assert g() == 1
            return
        assert g() == 2
    """,
    "a handler's way out behind an assertion": """
        try:
            f()
        except ValueError:
            assert g() == 1
            return
        assert g() == 2
    """,
    "a loop over what stands there": """
        for each in (1, 2):
            assert f(each) == 3
    """,
    "a loop over what a constant holds": """
        for name, each in SOME.items():
            assert f(name) == each
    """,
    "a loop over what is made of it": """
        numbers = [each + 1 for each in (1, 2)]
        for index, each in enumerate(sorted(numbers)):
            assert f(each) == index
    """,
    "a loop with a number of turns": """
        for each in range(2, 20):
            assert f(each) == 3
    """,
    "a loop after a look at what it goes through": """
        found = f()
        assert found
        for each in found:
            assert each == 1
    """,
    "a loop after a look at its number": """
        found = f()
        assert len(found) > 0
        assert all(each == 1 for each in found)
    """,
    "a loop after a look at what was picked": """
        found = [each for each in f() if g(each)]
        assert found
        assert {each.name for each in found} <= {"a"}
    """,
    "a loop after another assertion": """
        assert g() == 1
        for each in f():
            assert each == 1
    """,
    "a loop until it is left": """
        while True:
            assert f() == 1
            break
    """,
    "all of what stands there": "assert all(f(each) for each in (1, 2))",
    "none of what stands there": "assert [each for each in (1, 2) if f(each)] == []",
    "all that was found is nothing": "assert [str(each) for each in f()] == []",
    "a comprehension is a list": "assert [str(each) for each in f()] == ['1']",
    "some of what was found": "assert any(each == 1 for each in f())",
    "a part of what stands there": "assert {1, 2} <= set(f())",
    "a declared yes or no": """
        @dataclass
        class Local: ...
        assert Result().ok
    """,
    "what a name stands for": """
        same = f() == 1
        assert same
    """,
    "a helper": "check(f())",
    "a helper of a module of tests": "check_imported(f())",
    "a helper within": """
        def inner(value):
            assert value == 1
        inner(f())
    """,
    "a helper that runs within another call": """
        async def inner():
            assert await f() == 1
        asyncio.run(inner())
    """,
    "a fixture that asserts when it is called": "compare(f(), 1)",
    "a fixture's method": "project.check()",
    "a helper that waits": "wait(lambda: f() == 1)",
    "a helper that fails where it finds nothing": "first(f())",
    "a helper that fails": "tell(f())",
    "pytest's own": "result.assert_outcomes(passed=1)",
    "pytest's own lines": "result.stdout.fnmatch_lines(['a'])",
    "in a block": """
        with f() as opened:
            assert opened.read() == 1
    """,
    "behind a handler that is for something else": """
        try:
            assert f() == 1
        except ValueError:
            pass
    """,
    "at the end, whatever happens": """
        try:
            f()
        finally:
            assert g() == 1
    """,
}
CANNOT_FAIL = {
    Weight.NOTHING: {
        "nothing": "f()",
        "an assertion that nobody calls": """
            def inner():
                assert f() == 1
            run(inner)
        """,
        "a helper that only narrows": "narrow(f())",
        "a helper that gives": "project.look()",
        "a fixture that gives": "load('x')",
        "a helper that calls itself": "again(3)",
        "a module's function that is named like a method": "os.check()",
        "what the code itself asserts": "product.check()",
    },
    Weight.VAGUE: {
        "something": """
            value = f()
            assert value
        """,
        "an attribute": "assert f().files",
        "an entry": "assert f()['x']",
        "not None": "assert f() is not None",
        "not empty": "assert f() != ''",
        "a type": "assert isinstance(f(), int)",
        "a length": "assert len(f())",
        "more than none": "assert len(f()) > 0",
        "at least one": "assert len(f()) >= 1",
        "itself": "assert value == value",
        "a pair": "assert (f() == 1, 'no')",
        "a text": "assert 'f() == 1'",
        "found things": "assert [each for each in f() if each]",
        "either": "assert f() == 1 or value",
        "both": "assert value and value is not None",
        "in a loop": """
            for each in f():
                assert each
        """,
    },
    Weight.MAYBE: {
        "in a loop": """
            for each in f():
                assert each == 1
        """,
        "in a loop while there is something": """
            while queue:
                assert queue.pop() == 1
        """,
        "in a loop over nothing": """
            for each in ():
                assert each == 1
        """,
        "in a loop without turns": """
            for each in range(0):
                assert each == 1
        """,
        "in a loop over what the list is filled with": """
            found = []
            found.extend(f())
            for each in found:
                assert each == 1
        """,
        "in a loop over a part of a constant": """
            for each in [each for each in SOME if f(each)]:
                assert each == 1
        """,
        "in a loop over a list that is made twice": """
            found = [1]
            found = f(found)
            for each in found:
                assert each == 1
        """,
        "in a loop after a look at something else": """
            assert value is not None
            for each in f():
                assert each == 1
        """,
        "in a loop before the look": """
            for each in found:
                assert each == 1
            assert found
        """,
        "in a condition": """
            if f():
                assert g() == 1
        """,
        "in one of two ways": """
            if f():
                assert g() == 1
            else:
                g()
        """,
        "in a case": """
            match f():
                case 1:
                    assert g() == 1
        """,
        "behind a way out": """
            if f():
                return
            assert g() == 1
        """,
        "behind the way to the next turn": """
            for each in (1, 2):
                if f(each):
                    continue
                assert g() == 1
        """,
        "behind a way out of a loop": """
            for each in f():
                return
            assert g() == 1
        """,
        "in all but one of the cases": """
            match f():
                case 1:
                    assert g() == 1
                case _:
                    f()
        """,
        "in cases that are not all": """
            match f():
                case 1:
                    assert g() == 1
                case 2:
                    assert g() == 2
        """,
        "behind a way out that asserts too late": """
            if f():
                return
                assert g() == 1
            assert g() == 1
        """,
        "behind a handler's way out": """
            try:
                f()
            except ValueError:
                return
            assert g() == 1
        """,
        "behind a case's way out": """
            match f():
                case 1:
                    return
            assert g() == 1
        """,
        "in a handler": """
            try:
                f()
            except ValueError as error:
                assert str(error) == "x"
        """,
        "where failures are swallowed": """
            try:
                assert f() == 1
            except Exception:
                pass
        """,
        "where all is swallowed": """
            try:
                assert f() == 1
            except:
                pass
        """,
        "where failures are suppressed": """
            with contextlib.suppress(AssertionError):
                assert f() == 1
        """,
        "in a comprehension": "assert all(each == 1 for each in f())",
        "in a picking comprehension": "assert all(f(each) for each in (1, 2) if g(each))",
        "nothing of what was found": "assert [each for each in f() if g(each)] == []",
        "a name for nothing of what was found": """
            wrong = {each for each in f() if g(each)}
            assert wrong == set()
        """,
        "no such thing was found": "assert not [each for each in f() if g(each)]",
        "none was found": "assert not any(g(each) for each in f())",
        "as many as none": "assert len([each for each in f() if g(each)]) == 0",
        "two of nothing": "assert [each.one for each in f()] == [each.other for each in f()]",
        "a part, or nothing": "assert {each.name for each in f()} <= KNOWN",
        "whatever is found is known": "assert set(re.findall('a', text)) <= KNOWN",
        "a helper in a loop": """
            for each in f():
                check(each)
        """,
        "a helper in a comprehension": "[check(each) for each in f()]",
        "a helper where it is asked for": "f() and check(1)",
        "a helper that loops": "drain(f())",
        "an exception in a loop": """
            for each in f():
                with pytest.raises(ValueError):
                    g(each)
        """,
        "a failure in a loop": """
            for each in f():
                if each:
                    pytest.fail("no")
        """,
    },
}
HEAD = """
from __future__ import annotations
import os
import product
from tests.helpers import again, check_imported, drain, first, narrow, tell, wait

SOME = {"a": 1, "b": 2}

class Result:
    ok: bool

def check(value):
    assert value == 1

def test_it(project, compare, load):
"""
GOOD = [pytest.param(body, id=name) for name, body in CAN_FAIL.items()]
BAD = [
    pytest.param(body, weight, id=f"{weight.name.lower()}: {name}")
    for weight, bodies in CANNOT_FAIL.items()
    for name, body in bodies.items()
]


@pytest.fixture
def write(tmp_path: Path) -> Path:
    """A project's folder; the file there that a test is to be written to."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text(CONFTEST)
    (tmp_path / "tests" / "helpers.py").write_text(HELPERS)
    (tmp_path / "product.py").write_text("def check():\n    assert 1 == 1\n")
    return tmp_path / "tests" / "test_it.py"


def weights(path: Path, body: str) -> list[Weight]:
    path.write_text(HEAD + textwrap.indent(textwrap.dedent(body), "    "))
    return [each.weight for each in findings(path.parents[1], [path])]


def test_no_test_is_one_that_cannot_fail() -> None:
    paths = sorted(TESTS.rglob("test_*.py"))
    assert Path(__file__) in paths
    assert len(paths) > 100
    assert "\n".join(map(str, findings(TESTS.parent, paths))) == ""


@pytest.mark.parametrize("body", GOOD)
def test_what_can_fail_is_left_alone(write: Path, body: str) -> None:
    assert weights(write, body) == []


@pytest.mark.parametrize(("body", "weight"), BAD)
def test_what_cannot_fail_is_found(write: Path, body: str, weight: Weight) -> None:
    assert weights(write, body) == [weight]


def test_a_finding_names_its_place_the_reason_and_the_way_out(write: Path) -> None:
    write.write_text("def test_one():\n    pass\n\nclass TestMany:\n    def test_two(self): ...\n")
    assert [str(each) for each in findings(write.parents[1], [write])] == [
        "tests/test_it.py:1: test_one: it asserts nothing; assert what the code is to have done",
        "tests/test_it.py:5: test_two: it asserts nothing; assert what the code is to have done",
    ]
