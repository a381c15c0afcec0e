"""Which files are cases, and which items each becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_convex_eval.cases import collector
from pytest_convex_eval.cases.collector import (
    CaseFile,
    CaseItem,
    case_ids,
    hard_first,
    is_case,
    is_case_file,
)
from pytest_convex_eval.cases.loader import LoadedCase, load_case
from pytest_convex_eval.cases.plan import Emit, Matrix, Plan
from pytest_convex_eval.outcomes import ItemEndedError, ItemResult, StageResult, Verdict
from pytest_convex_eval.stages.table import STAGES
from pytest_convex_eval.xdist import named_on_command_line, stop_after_collection_errors

CASE = """\
summary: A table
prompt: Write a table.
reference: {package.json: "{}"}
mutants:
  - {name: one, fails: package, files: {package.json: null}}
  - {name: two, fails: package, files: {package.json: ""}}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedCase:
    path = tmp_path / "basics" / "easy" / "table.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(CASE)
    return load_case(path, "table.yaml")


@pytest.mark.parametrize(
    ("matrix", "names"),
    [
        (Matrix(["m"], ["default"], 1, False), ["m"]),
        (Matrix(["m", "n"], ["default"], 1, False), ["m", "n"]),
        (Matrix(["m"], ["default", "none"], 1, False), ["m", "m-none"]),
        (Matrix(["m"], ["default"], 2, False), ["m-1", "m-2"]),
        (Matrix(["m"], ["none", "default"], 2, False), ["m-none-1", "m-none-2", "m-1", "m-2"]),
        (Matrix(["reference", "m"], ["none", "x"], 2, False),
         ["reference", "m-none-1", "m-none-2", "m-x-1", "m-x-2"]),
        (Matrix(["reference"], ["default"], 1, True), ["reference", "mutant-one", "mutant-two"]),
        (Matrix([], ["none", "x"], 3, True), ["mutant-one", "mutant-two"]),
    ],
)  # fmt: skip
def test_a_case_is_multiplied_by_models_arms_and_trials(
    loaded: LoadedCase, matrix: Matrix, names: list[str]
) -> None:
    assert [name for name, _ in matrix.plans(loaded)] == names


def test_a_plan_says_what_its_name_says(loaded: LoadedCase) -> None:
    matrix = Matrix(["reference", "m"], ["none", "x"], 2, True)
    plans = [plan for _, plan in matrix.plans(loaded)]
    assert {id(plan.loaded) for plan in plans} == {id(loaded)}
    assert [
        (plan.model, plan.arm, plan.trial, plan.mutant and plan.mutant.name) for plan in plans
    ] == [
        ("reference", "none", 1, None),
        ("m", "none", 1, None),
        ("m", "none", 2, None),
        ("m", "x", 1, None),
        ("m", "x", 2, None),
        ("reference", "none", 1, "one"),
        ("reference", "none", 1, "two"),
    ]


@pytest.mark.parametrize(
    ("path", "named", "case"),
    [
        ("cases/a/easy/x.yaml", None, True),
        ("cases/x.yml", None, True),
        ("more/a/easy/x.yaml", None, True),
        ("cases/a/easy/.x.yaml", None, False),
        ("cases/a/easy/x.json", None, False),
        ("cases/a/easy/answer/convex/x.yaml", None, False),
        ("cases/a/easy/answer/node_modules/p/x.yaml", None, False),
        ("other/a/easy/x.yaml", None, False),
        ("other/x.yaml", "other/x.yaml", True),
        ("other/x.txt", "other/x.txt", False),
        ("other/.x.yaml", "other/.x.yaml", False),
        ("other/a/hard/x.yaml", "other", True),
        ("other/a/hard/x.yaml", "other/a", True),
        ("other/a/hard/x.yaml", "other/a/hard", True),
        ("other/a/hard/x.yaml", "", False),
        ("other/a/medium/x.yaml", "elsewhere", False),
        ("other/a/x.yaml", "other/a", False),
    ],
)
def test_which_files_are_cases(path: str, named: str | None, case: bool) -> None:
    # A folder whose own name is refused inside of it.
    root = Path("/convex")
    given = None if named is None else root / named
    roots = [root / "cases", root / "more"]
    assert is_case_file(root / path, roots, lambda each: each == given) is case


def test_what_stands_on_the_command_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real").mkdir()
    params = SimpleNamespace(dir=tmp_path)
    args = ["link/x.yaml::x[m]", "y", str(tmp_path / "z")]
    named = named_on_command_line(cast(Any, SimpleNamespace(invocation_params=params, args=args)))
    given = ["real/x.yaml", "link/x.yaml", "y", "z", "x.yaml", ""]
    assert [named(tmp_path / path) for path in given] == [True, True, True, True, False, False]


class Item(CaseItem):
    """An item without a session."""

    def __init__(self, difficulty: str, name: str) -> None:
        self.plan = cast(Any, SimpleNamespace(loaded=SimpleNamespace(difficulty=difficulty)))
        self._name = name

    @property
    def nodeid(self) -> str:
        return self._name


def items(*texts: str) -> list[pytest.Item]:
    """`hard:a` is a case, anything else somebody else's item."""
    made: list[Any] = []
    for text in texts:
        difficulty, colon, name = text.partition(":")
        other = SimpleNamespace(nodeid=text)
        made.append(object.__new__(Item) if colon else other)
        if colon:
            made[-1].__init__(difficulty, name)
    return cast(list[pytest.Item], made)


def test_hard_cases_come_first_and_others_stay_where_they_are() -> None:
    order = items("easy:a", "x", "medium:b", "hard:c", "y", "easy:d", "hard:e")
    assert case_ids(order) == ["a", "b", "c", "d", "e"]
    hard_first(order)
    assert [each.nodeid for each in order] == ["c", "x", "e", "b", "y", "a", "d"]


@pytest.mark.parametrize(
    ("worker", "failed", "goes_on", "cases", "left"),
    [
        (True, 1, False, True, 0),
        (False, 1, False, True, 2),
        (True, 0, False, True, 2),
        (True, 1, True, True, 2),
        (True, 1, False, False, 2),
    ],
)
def test_a_worker_takes_nothing_when_a_file_was_broken(
    worker: bool, failed: int, goes_on: bool, cases: bool, left: int
) -> None:
    option = SimpleNamespace(continue_on_collection_errors=goes_on)
    config = SimpleNamespace(option=option, **({"workerinput": {}} if worker else {}))
    order = items("x", "easy:a" if cases else "y")
    session = SimpleNamespace(config=config, testsfailed=failed)
    stop_after_collection_errors(cast(Any, session), order, is_case)
    assert len(order) == left


def test_a_path_is_shown_as_it_would_be_typed(tmp_path: Path) -> None:
    config = cast(Any, SimpleNamespace(invocation_params=SimpleNamespace(dir=tmp_path / "a")))
    assert collector._shown(tmp_path / "a" / "b" / "c.yaml", config) == "b/c.yaml"
    assert collector._shown(tmp_path / "c.yaml", config) == str(tmp_path / "c.yaml")


@dataclass
class Evaluated:
    """Ends each plan in `verdict`, with one stage, and remembers the plans."""

    verdict: Verdict = Verdict.PASSED
    plans: list[Plan] = field(default_factory=list)

    def __call__(self, plan: Plan, emit: Emit) -> ItemResult:
        self.plans.append(plan)
        stage = StageResult("format", "passed")
        emit(stage)
        of = ("table", "basics", "easy", plan.model, plan.arm, plan.trial)
        return ItemResult(*of, self.verdict, (stage,), message="how it ended\nand more")


def collected(
    request: pytest.FixtureRequest, path: Path, evaluate: Evaluated, matrix: Matrix
) -> list[CaseItem]:
    file = CaseFile.build(request.session, path, matrix=matrix, stages=STAGES, evaluate=evaluate)
    found = list(file.collect())
    assert all(isinstance(item, CaseItem) for item in found)
    return cast(list[CaseItem], found)


def test_an_item_is_named_marked_and_found_by_what_it_stands_for(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = tmp_path / "basics" / "hard" / "table.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(CASE + "tags: [indexes, unions]\n")
    plain, mutant, _ = collected(request, path, Evaluated(), Matrix(["m"], ["x"], 1, True))
    assert plain.name == "table[m-x]"
    assert mutant.nodeid.endswith("table.yaml::table[mutant-one]")
    assert plain.reportinfo() == (path, 0, "basics/hard table[m-x]")
    assert [marker.name for marker in plain.own_markers] == ["basics", "hard", "convex_case"]
    of = {"category": "basics", "difficulty": "hard", "arm": "x", "trial": 1}
    assert [item.own_markers[-1].kwargs for item in (plain, mutant)] == [
        {**of, "model": "m", "mutant": False},
        {**of, "model": "reference", "mutant": True},
    ]
    assert plain.extra_keyword_matches == {"indexes", "unions"}
    assert plain.result is None
    line = "basics: eval cases of this category"
    assert request.config.getini("markers").count(line) == 1


@pytest.mark.parametrize("verdict", Verdict)
def test_an_item_ends_as_its_plan_is_judged(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    loaded: LoadedCase,
    verdict: Verdict,
) -> None:
    told: list[tuple[object, object]] = []
    monkeypatch.setattr(collector, "emit_stage", lambda item, result: told.append((item, result)))
    # Whatever this run itself was told.
    monkeypatch.setattr(request.config.option, "tbstyle", "auto")
    evaluate = Evaluated(verdict)
    (item,) = collected(request, loaded.path, evaluate, Matrix(["m"], ["default"], 1, False))
    if verdict is Verdict.PASSED:
        item.runtest()
    else:
        with pytest.raises(ItemEndedError, match=r"^how it ended") as ended:
            item.runtest()
        assert ended.value.result is item.result
        shown = str(item.repr_failure(ended))
        assert "format" in shown
    assert item.result is not None
    assert item.result.verdict is verdict
    assert evaluate.plans == [item.plan]
    assert told == [(item, item.result.stages[0])]
    assert ("convex_eval.verdict", verdict.value) in item.user_properties


def test_a_file_that_is_no_case_is_an_error_of_collection(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = tmp_path / "basics" / "easy" / "table.yaml"
    matrix = Matrix(["m"], ["default"], 1, False)
    with pytest.raises(CaseFile.CollectError) as missing:
        collected(request, path, Evaluated(), matrix)
    assert str(missing.value) == f"{path}: No such file or directory"
    path.parent.mkdir(parents=True)
    path.write_text("summary: s\nprompt: p\n")
    with pytest.raises(CaseFile.CollectError) as broken:
        collected(request, path, Evaluated(), matrix)
    assert str(broken.value) == f"{path}:1:1: missing key 'reference'"


def test_a_failure_that_is_not_the_item_s_end_is_shown_as_pytest_does(
    request: pytest.FixtureRequest, loaded: LoadedCase
) -> None:
    matrix = Matrix(["m"], ["default"], 1, False)
    (item,) = collected(request, loaded.path, Evaluated(), matrix)
    with pytest.raises(ZeroDivisionError) as raised:
        _ = 1 / 0
    assert "ZeroDivisionError" in str(item.repr_failure(raised))
