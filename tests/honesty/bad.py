"""Bodies of tests that cannot fail, by how much they assert and what is in the way."""

from __future__ import annotations

from tests.honesty.asserting import Weight

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
        "what a function of the code itself asserts": "check_product()",
        "one of the methods of a name": "thing.measure()",
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
        "in a loop over what is sorted": """
            for each in sorted(f()):
                assert each == 1
        """,
        "in a loop after a look in a loop": """
            for _ in g():
                assert found
            for each in found:
                assert each == 1
        """,
        "in a loop that waits and may give up": """
            while not f():
                if g():
                    break
                assert h() == 1
        """,
        "in a case with a condition": """
            match f():
                case other if g():
                    assert other == 1
        """,
        "where nothing was raised, or something else": """
            try:
                f()
            except ValueError:
                pass
            else:
                assert g() == 1
        """,
        "in a loop over what is another function's": """
            def inner():
                rows = (1, 2)
            for each in rows:
                assert each == 1
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
