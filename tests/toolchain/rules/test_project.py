"""The files of an answer as one program: what leads where, and how soon that is known."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pytest

from pytest_convex_eval.toolchain.lint.across_files.decide import decide
from pytest_convex_eval.toolchain.lint.across_files.facts import (
    Builder,
    Declaration,
    FileFacts,
    Reexport,
    Registration,
    Run,
)
from pytest_convex_eval.toolchain.lint.across_files.project import Project

QUERY = Registration("query", public=True, http=False)
SECONDS = 20.0
"""Of CPU. What takes more is not linear: each of these takes less than a second."""


def declaration(
    name: str,
    refs: tuple[tuple[str | None, str], ...] = (),
    *,
    line: int = 1,
    runs: tuple[Run, ...] = (),
    builder: Builder | None = None,
) -> Declaration:
    """A public query that reads the clock and collects a whole table."""
    return Declaration(
        names=(name,),
        exports=(name,),
        at=(line, 0),
        function=None if builder else QUERY,
        builder=builder,
        refs=refs,
        auth=False,
        identity=None,
        clock=((line, 5),),
        touches=(("notes", False),),
        runs=runs,
        collects=((line, 7),),
    )


def circles(count: int) -> Mapping[str, FileFacts]:
    """Everything leads to everything, by code and by crons."""
    return {
        "convex/a.ts": FileFacts(
            1,
            declarations=tuple(
                declaration(
                    f"f{i}",
                    ((None, f"f{(i * 7 + 1) % count}"), (None, f"f{(i + 1) % count}")),
                    line=i + 1,
                    runs=(Run("interval", "internal", ("a", f"f{i}"), False, (i + 1, 0)),),
                )
                for i in range(count)
            ),
        )
    }


def namespaces(count: int) -> Mapping[str, FileFacts]:
    """Each declaration of many files uses each of many others as a whole."""
    files = 40
    return {
        f"convex/m{file}.ts": FileFacts(
            1,
            declarations=tuple(
                declaration(f"f{i}", tuple((f"./m{other}", "*") for other in range(files)))
                for i in range(count // files)
            ),
        )
        for file in range(files)
    }


def given_on(count: int) -> Mapping[str, FileFacts]:
    """Many files give on all of each other, and names are looked for that none of them has."""
    files = 40
    every = tuple(Reexport(f"./m{other}", "*", "*") for other in range(files))
    missing = tuple(("./m0", f"missing{i}") for i in range(count))
    return {
        f"convex/m{file}.ts": FileFacts(
            1, reexports=every, declarations=(declaration("f", missing),)
        )
        for file in range(files)
    }


def one_by_one(count: int) -> Mapping[str, FileFacts]:
    """A name that goes through as many files as there are names."""
    return {
        f"convex/m{i}.ts": FileFacts(
            1,
            reexports=(Reexport(f"./m{(i + 1) % count}", "f", "f"),),
            declarations=(declaration("g", (("./m0", "f"),)),),
        )
        for i in range(count)
    }


@pytest.mark.parametrize("program", [circles, namespaces, given_on, one_by_one])
def test_thousands_of_declarations_that_use_each_other_are_decided_soon(
    program: Callable[[int], Mapping[str, FileFacts]],
) -> None:
    started = time.process_time()
    found = list(decide(program(10_000)))
    assert time.process_time() - started < SECONDS
    assert found


def test_what_many_reach_is_told_once() -> None:
    decisions = list(decide(circles(50)))
    lines = [found.at[0] for found in decisions if found.name == "bounded-cron"]
    assert sorted(lines) == list(range(1, 51))
    # All of these are of one file, in which the plugin sees them.
    assert "no-date-in-query" not in {found.name for found in decisions}


def test_a_name_is_found_through_files_that_give_on_everything() -> None:
    files = {
        "convex/a.ts": FileFacts(1, reexports=(Reexport("./b", "*", "*"),)),
        "convex/b.ts": FileFacts(
            1, reexports=(Reexport("./a", "*", "*"), Reexport("./c", "inner", "outer"))
        ),
        "convex/c.ts": FileFacts(1, declarations=(declaration("inner"),)),
    }
    project = Project(files)
    found = project.declaration("convex/a.ts", "outer")
    assert found is not None
    assert (found.path, found.declaration.names) == ("convex/c.ts", ("inner",))
    assert project.declaration("convex/a.ts", "inner") is None
    assert project.declaration("convex/a.ts", "default") is None


def test_a_name_that_goes_in_a_circle_is_none() -> None:
    assert Project(one_by_one(10)).declaration("convex/m3.ts", "f") is None


def test_a_registrar_that_another_file_gives_on_is_known() -> None:
    by = Builder(None, ("./server", "publicQuery"))
    files = {
        "convex/server.ts": FileFacts(
            1, reexports=(Reexport("./_generated/server", "query", "publicQuery"),)
        ),
        "convex/a.ts": FileFacts(1, declarations=(declaration("list", builder=by),)),
    }
    (endpoint,) = Project(files).endpoints()
    assert endpoint.registration == QUERY
    assert endpoint.function_path == "a:list"
