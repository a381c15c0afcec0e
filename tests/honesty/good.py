"""Bodies of tests that can fail, by what makes it so; and what stands around each of them."""

from __future__ import annotations

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
IMPORTED = (1, 2)

class Helper:
    def examine(self):
        assert self.size == 1

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

HEAD = """
from __future__ import annotations
import os
import product
import pytest
from product import check as check_product
from tests.helpers import IMPORTED, Helper, again, check_imported, drain, first, narrow, tell, wait

SOME = {"a": 1, "b": 2}

class Result:
    ok: bool

def check(value):
    assert value == 1

class One:
    def measure(self):
        assert self.size == 1

class Other:
    def measure(self):
        return self.size

@pytest.fixture
def compare(compare):
    return compare

def test_it(project, compare, load, passed: bool):
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
    "what two say": "assert f() == 1 and value",
    "a loop over what was given at first": """
        remaining = [1, 2]
        while remaining:
            assert f(remaining.pop()) == 1
    """,
    "behind a loop whose turns may end early": """
        for each in (1, 2):
            if f(each):
                continue
            g(each)
        assert g() == 1
    """,
    "behind a handler that goes on failing": """
        try:
            assert f() == 1
        except Exception:
            g()
            raise
    """,
    "where nothing was raised": """
        try:
            f()
        except ValueError:
            raise
        else:
            assert g() == 1
    """,
    "a loop over what another module says": """
        for each in IMPORTED:
            assert f(each) == 1
    """,
    "a loop over what is made of what was looked at": """
        found = f()
        assert found
        rows = g(found)
        for row in rows:
            assert row == 1
    """,
    "a fixture that is declared to be true or false": "assert passed",
    "a method of a class of another module": "helper.examine()",
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
