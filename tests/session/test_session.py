"""What each process of a run keeps and does between pytest's hooks, without a run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_convex_eval import session as module
from pytest_convex_eval.cases.collector import CaseItem
from pytest_convex_eval.evaluation.limits import item_limit_seconds
from pytest_convex_eval.generation.ahead.budget import BudgetExhaustedError
from pytest_convex_eval.generation.arms import Arm
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError, Verdict
from pytest_convex_eval.stages.registry import built_in
from pytest_convex_eval.toolchain import sharing
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.sharing import WarmTools

if TYPE_CHECKING:
    from tests.session.conftest import Made

Make = Callable[..., "Made"]
Write = Callable[..., str]
Items = Callable[..., list[pytest.Item]]
MODEL = "claude-x"


def emit(result: object) -> None:
    pass


# What a person reads before anything is spent.


@pytest.mark.parametrize(
    ("args", "key", "shown"),
    [
        ([], None, "reference answers (ANTHROPIC_API_KEY is not set)"),
        (["--convex-model=reference"], "k", "reference answers"),
        (["--convex-model=reference", "--convex-mutants"], None, "reference answers · mutants"),
        (
            [],
            "k",
            "claude-sonnet-5-5 (ANTHROPIC_API_KEY is set) · guidelines default · 1 trial"
            " · store auto",
        ),
        (
            ["--convex-model=claude-a", "--convex-model=reference", "--convex-trials=2"],
            "k",
            "claude-a, reference answers · guidelines default · 2 trials · store auto",
        ),
        (
            ["--convex-model=claude-a", "--convex-replay=replay", "--convex-guidelines=none",
             "--convex-guidelines=default"],
            "k",
            "claude-a · guidelines none, default · 1 trial · store replay",
        ),
        (
            ["--convex-model=claude-a", "--convex-batch", "--convex-strategy=design-first",
             "--convex-repair=1", "--convex-budget=2.50"],
            "k",
            "claude-a · guidelines default · 1 trial · store auto · batches · design-first"
            " · 1 round of repair · budget $2.5",
        ),
        (
            ["--convex-model=claude-a", "--convex-repair=3"],
            "k",
            "claude-a · guidelines default · 1 trial · store auto · 3 rounds of repair",
        ),
    ],
)  # fmt: skip
def test_the_header_says_what_will_happen(
    make: Make, monkeypatch: pytest.MonkeyPatch, args: list[str], key: str | None, shown: str
) -> None:
    if key is not None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    session = make(*args).session
    assert session.header([]) == []
    line = f"convex-eval: {shown} · embedded deployment"
    assert session.header(["one"]) == [f"{line} · 1 item"]
    assert session.header(["one", "two"]) == [f"{line} · 2 items"]


def test_the_header_says_where_answers_are_pushed_to(make: Make) -> None:
    (line,) = make("--convex-backend=https://a.b").session.header(["one"])
    assert line.endswith(" · deployment https://a.b (one item at a time) · 1 item")


def test_a_folder_of_guidelines_is_told_and_recorded(
    make: Make, items: Items, write_case: Write, pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    write_case("notes")
    (pytester.path / "rules").mkdir()
    (pytester.path / "rules" / "AGENTS.md").write_text("Be brief.")
    (pytester.path / "rules" / "more.md").write_text("x" * 999)
    args = [f"--convex-model={MODEL}", "--convex-guidelines=rules",
            "--convex-guidelines-tokens=100"]  # fmt: skip
    made = make(*args)
    _, told = made.session.header(["cases/fundamentals/easy/notes.yaml::notes[x]"])
    assert told.startswith("convex-eval: guidelines rules: 1 of 2 files, about ")
    assert "left out: more.md (" in told
    prepared(made, items(*args))
    ((folder, _),) = made.journal.began
    recorded = json.loads((folder / "manifest.json").read_text())["guidelines"]
    assert recorded["rules"]["limit"] == 100
    files = [(one["path"], one["loaded"]) for one in recorded["rules"]["files"]]
    assert files == [("AGENTS.md", True), ("more.md", False)]


# What is wrong with the whole of it.


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["guidelines=gone.md"], "--convex-guidelines: guidelines 'gone.md' are neither"),
        (
            ["mutants", "model=reference", "model=claude-a"],
            "--convex-mutants: mutants are variations of references; use it with "
            "--convex-model reference",
        ),
        (
            ["batch", "model=local=qwen@http://127.0.0.1:1/v1"],
            "--convex-batch: OpenAI-compatible, whose model local is, has no batches here",
        ),
    ],
)
def test_what_would_fail_every_item_is_told_at_once(
    make: Make, args: list[str], message: str
) -> None:
    session = make(*(f"--convex-{arg}" for arg in args)).session
    with pytest.raises(pytest.UsageError) as raised:
        session.check_settings()
    assert str(raised.value).startswith(message)


def test_what_can_be_is_not_refused(make: Make, pytester: pytest.Pytester) -> None:
    (pytester.path / "mine.md").write_text("Be brief.")
    session = make("--convex-guidelines=mine.md", "--convex-guidelines=default").session
    session.check_settings()
    assert [(arm.name, len(arm.text) > 9) for arm in session.arms()] == [
        ("mine", False), ("default", True)
    ]  # fmt: skip
    (pytester.path / "mine.md").unlink()
    # They are read once: every item is asked with the same.
    assert session.arms()[0] == Arm("mine", "Be brief.")
    make("--convex-mutants").session.check_settings()


def test_the_default_guidelines_are_not_read_where_there_may_be_no_cases(make: Make) -> None:
    session = make().session
    session.check_settings()
    assert session._arms is None


# The limit of each item.


def without_limits(items: list[pytest.Item]) -> list[pytest.Item]:
    """Those that pytest collected have theirs already."""
    for item in items:
        item.own_markers[:] = [mark for mark in item.own_markers if mark.name != "timeout"]
    return items


def limits(items: list[pytest.Item]) -> dict[str, list[float]]:
    return {item.name: [mark.args[0] for mark in item.iter_markers("timeout")] for item in items}


@pytest.mark.parametrize("repair", [0, 2])
def test_each_item_has_the_limit_of_what_it_does(
    make: Make, items: Items, write_case: Write, pytester: pytest.Pytester, repair: int
) -> None:
    write_case("notes")
    pytester.makepyfile("def test_other(): pass")
    models = [f"--convex-model={MODEL}", "--convex-model=reference"]
    found = without_limits(items(*models))
    seconds = sum(stage.deadline_seconds for stage in built_in())
    make(*models, f"--convex-repair={repair}").session.limit_items(found)
    assert limits(found) == {
        f"notes[{MODEL}]": [item_limit_seconds(seconds, generates=True) * (1 + repair)],
        # A reference is never repaired.
        "notes[reference]": [item_limit_seconds(seconds, generates=False)],
        "test_other": [],
    }


@pytest.mark.parametrize("own", ["option", "ini", "environment", "no plugin"])
def test_a_limit_of_the_person_s_own_is_left_alone(
    make: Make, items: Items, write_case: Write, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    write_case("notes")
    found = without_limits(items())
    args = ["--timeout=0"] if own == "option" else []
    made = make(*args, ini="timeout = '5'" if own == "ini" else "")
    if own == "environment":
        monkeypatch.setenv("PYTEST_TIMEOUT", "7")
    elif own == "no plugin":
        made.config.pluginmanager.unregister(name="timeout")
    made.session.limit_items(found)
    assert limits(found) == {"notes[reference]": []}


# Before the first item.


def prepared(made: Made, found: list[pytest.Item], failed: int = 0) -> list[str]:
    class Session:
        testsfailed = failed
        items = found

    made.session.before_items(cast(pytest.Session, Session()))
    return made.journal.entries


def test_a_run_is_recorded_before_anything_is_asked(
    make: Make, items: Items, write_case: Write, pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    paths = [write_case("two"), write_case("one", "hard")]
    pytester.makepyfile("def test_other(): pass")
    args = [f"--convex-model={MODEL}", "--convex-model=reference", "--convex-trials=2"]
    made = make(*args)
    found = items(*args)
    assert prepared(made, found) == [
        "sweep", "tools", "begin", "plan", "write convex-eval: all replies are there", "prefetch"
    ]  # fmt: skip
    ((folder, nodeids),) = made.journal.began
    assert nodeids == tuple(item.nodeid for item in found if isinstance(item, CaseItem))
    assert len(nodeids) == 6
    assert folder == pytester.path / ".convex-eval/runs" / made.session.run_folder.name
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(manifest["cases"]) == sorted(paths)
    planned = [(plan.loaded.name, plan.model, plan.trial) for plan in made.journal.ahead]
    assert planned == [
        (item.plan.loaded.name, item.plan.model, item.plan.trial)
        for item in found
        if isinstance(item, CaseItem)
    ]


@pytest.mark.parametrize(
    ("args", "entries"),
    [
        (["--convex-model=reference"], ["sweep", "tools", "begin"]),
        (
            [f"--convex-model={MODEL}", "--convex-batch"],
            ["sweep", "tools", "begin", "plan", "write convex-eval: all replies are there",
             "batches"],
        ),
        (["--collect-only"], []),
    ],
    ids=["reference", "batch", "collect-only"],
)  # fmt: skip
def test_only_what_a_run_needs_is_prepared(
    make: Make, items: Items, write_case: Write, monkeypatch: pytest.MonkeyPatch,
    args: list[str], entries: list[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    write_case("notes")
    assert prepared(make(*args), items(*args)) == entries


def test_where_nothing_is_said_of_what_will_be_made_nothing_is_written(
    make: Make, items: Items, write_case: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    write_case("notes")
    made = make(f"--convex-model={MODEL}")
    made.journal.said = ""
    assert prepared(made, items(f"--convex-model={MODEL}"))[-2:] == ["plan", "prefetch"]


def test_without_cases_nothing_is_prepared(
    make: Make, items: Items, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile("def test_other(): pass")
    assert prepared(make(), items()) == []
    assert prepared(make(), []) == []


def test_a_broken_case_stops_the_run_unless_it_is_to_go_on(
    make: Make, items: Items, write_case: Write
) -> None:
    write_case("notes")
    found = items()
    assert prepared(make(), found, failed=1) == []
    going_on = make("--continue-on-collection-errors")
    assert prepared(going_on, found, failed=1) == ["sweep", "tools", "begin"]


def test_a_worker_prepares_nothing(make: Make, items: Items, write_case: Write) -> None:
    write_case("notes")
    made = make(worker={})
    assert prepared(made, items()) == []
    made.session.worker_collected(["cases/fundamentals/easy/notes.yaml::notes[reference]"])
    assert made.journal.entries == []


@pytest.mark.parametrize("mode", ["auto", "replay"])
def test_a_key_is_needed_before_anything_else_unless_all_is_replayed(
    make: Make, items: Items, write_case: Write, mode: str
) -> None:
    write_case("notes")
    args = [f"--convex-model={MODEL}", f"--convex-replay={mode}"]
    made = make(*args)
    if mode == "replay":
        assert "plan" in prepared(made, items(*args))
        return
    with pytest.raises(pytest.exit.Exception) as raised:
        prepared(made, items(*args))
    assert raised.value.msg.startswith(f"convex-eval: model {MODEL} needs ANTHROPIC_API_KEY")
    assert raised.value.returncode == pytest.ExitCode.USAGE_ERROR
    assert made.journal.entries == []


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("tools", InfrastructureError("no network", detail="ECONN\n"), "no network\nECONN"),
        ("tools", InfrastructureError("no network"), "no network"),
        ("tools", ConfigurationError("no program is there"), "no program is there"),
        ("begin", OSError("disk full"), "can't prepare the run: disk full"),
        ("prefetch", InfrastructureError("another process generates"), "another process generates"),
    ],
)
def test_what_keeps_a_run_from_starting_ends_it_with_its_reason(
    make: Make, items: Items, write_case: Write, monkeypatch: pytest.MonkeyPatch, what: str,
    error: Exception, said: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    write_case("notes")
    made = make(f"--convex-model={MODEL}")
    made.journal.fails[what] = error
    with pytest.raises(pytest.exit.Exception) as raised:
        prepared(made, items(f"--convex-model={MODEL}"))
    assert raised.value.msg == f"convex-eval: {said}"
    assert raised.value.returncode == pytest.ExitCode.USAGE_ERROR


def test_a_record_that_can_t_be_written_is_called_so(
    make: Make, items: Items, write_case: Write, pytester: pytest.Pytester
) -> None:
    write_case("notes")
    (pytester.path / ".convex-eval").write_text("a file")
    with pytest.raises(pytest.exit.Exception) as raised:
        prepared(make(), items())
    assert raised.value.msg is not None
    assert raised.value.msg.startswith("convex-eval: can't write the run record: ")
    assert ".convex-eval" in raised.value.msg, "which file it was about"


# Under xdist.


def test_the_first_worker_s_items_begin_the_run(
    make: Make, write_case: Write, pytester: pytest.Pytester
) -> None:
    path = write_case("notes")
    made = make()
    ours = f"{path}::notes[reference]"
    # Another plugin's, and an ordinary test.
    others = ["config/app.yaml::one[x]", "test_a.py::test_x"]
    made.session.worker_collected(others)
    assert made.journal.entries == []
    made.session.worker_collected([others[0], ours, others[1]])
    assert made.journal.entries == [
        "write convex-eval: reference answers (ANTHROPIC_API_KEY is not set)"
        " · embedded deployment · 1 item",
        "sweep",
        "tools",
        "begin",
    ]
    assert made.journal.began[0][1] == (ours,)
    made.session.worker_collected([ours])
    assert len(made.journal.began) == 1


def test_a_file_named_on_the_command_line_is_ours_for_the_controller_too(
    make: Make, write_case: Write, pytester: pytest.Pytester
) -> None:
    moved = pytester.path / "elsewhere.yaml"
    text = (pytester.path / write_case("notes")).read_text()
    moved.write_text(text + "category: fundamentals\ndifficulty: easy\n")
    made = make("elsewhere.yaml::elsewhere")
    made.session.worker_collected(["elsewhere.yaml::elsewhere[reference]"])
    assert made.journal.began[0][1] == ("elsewhere.yaml::elsewhere[reference]",)


def test_a_worker_works_for_the_controller_s_run_with_its_tools(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = make()
    told: list[dict[str, Any]] = [{}, {}]
    for workerinput in told:
        controller.session.configure_worker(workerinput)
    assert told[0] == told[1]
    worker = make(worker=dict(told[0]))
    assert worker.session.run_folder == controller.session.run_folder
    assert worker.session.run_folder.parent == worker.session.settings.runs
    assert worker.session._shared_tools == controller.session._shared_tools
    assert make().session.run_folder != controller.session.run_folder


@pytest.mark.parametrize("there", [True, False])
def test_a_worker_has_its_own_tools_where_there_are_none_to_share(
    make: Make, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    shared, own = object(), object()
    toolchain = cast(Toolchain, object())
    asked: list[object] = []

    def shared_tools(address: str) -> object:
        asked.append(address)
        return shared if there else None

    def own_tools(given: Toolchain) -> object:
        asked.append(given)
        return own

    monkeypatch.setattr(sharing, "shared_tools", shared_tools)
    monkeypatch.setattr(sharing, "own_tools", own_tools)
    controller = make()
    assert controller.session._tools(toolchain) is cast(WarmTools, own)
    told: dict[str, Any] = {}
    controller.session.configure_worker(told)
    worker = make(worker=told).session
    assert worker._tools(toolchain) is (shared if there else own)
    address = worker._shared_tools
    assert asked == [toolchain, address, *([] if there else [toolchain])]


class FakeHost:
    def __init__(self, address: Path, toolchain: object) -> None:
        self.address, self.toolchain, self.closed = address, toolchain, 0
        if "taken" in str(address):
            raise FileExistsError(str(address))

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("xdist", [False, True])
def test_tools_are_shared_where_there_are_workers_and_ended_with_the_run(
    make: Make, items: Items, write_case: Write, monkeypatch: pytest.MonkeyPatch, xdist: bool
) -> None:
    monkeypatch.setattr(sharing, "Host", FakeHost)
    write_case("notes")
    made = make()
    told: dict[str, Any] = {}
    if xdist:
        made.session.configure_worker(told)
    prepared(made, items())
    host = cast(FakeHost | None, made.session._host)
    assert (host is not None) == xdist
    made.session.close()
    assert made.journal.entries[-1] == "close"
    if host is not None:
        assert str(host.address) == told["convex_eval_tools"]
        assert cast(Any, host.toolchain).fingerprint == "f1"
        assert host.closed == 1
    made.session.close()
    assert made.journal.entries.count("close") == 1


def test_tools_that_can_not_be_shared_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "Host", FakeHost)
    toolchain = cast(Toolchain, object())
    assert module._hosted("/taken/socket", toolchain) is None
    assert module._hosted("/free/socket", toolchain) is not None


def test_an_address_is_nobody_else_s_and_short_enough_for_a_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/t")
    first, second = module._new_address(), module._new_address()
    assert first != second
    assert Path(first).parent.parent == Path("/t")
    assert Path(first).name == "socket"
    assert not Path(first).parent.exists()
    # The name below the folder has 40 bytes; what is longer than 100 in all is not taken.
    name = len(first) - len("/t")
    for length, folder in ((99 - name, "/" + "x" * (98 - name)), (100 - name, "/tmp")):
        monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * (length - 1))
        assert Path(module._new_address()).parent.parent == Path(folder)
    # Bytes count, and not characters.
    monkeypatch.setattr(tempfile, "tempdir", "/" + "ä" * (98 - name))
    assert Path(module._new_address()).parent.parent == Path("/tmp")


# Items.


def test_an_item_there_is_no_money_for_is_skipped_and_nothing_else_is(
    make: Make, items: Items, write_case: Write
) -> None:
    write_case("notes")
    (item,) = items()
    assert isinstance(item, CaseItem)
    made = make()
    assert made.session.evaluate(item.plan, emit) is cast(object, item.plan)
    made.journal.fails["evaluate"] = BudgetExhaustedError("the budget is spent")
    with pytest.raises(pytest.skip.Exception) as raised:
        made.session.evaluate(item.plan, emit)
    assert raised.value.msg == "not asked: the budget is spent"
    made.journal.fails["evaluate"] = ConfigurationError("wrong key")
    with pytest.raises(ConfigurationError):
        made.session.evaluate(item.plan, emit)


def test_the_evaluator_is_made_once_of_what_the_session_has(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make()
    given: list[tuple[object, ...]] = []

    class Evaluating:
        def __init__(self, *args: object) -> None:
            given.append(args)

    monkeypatch.setattr("pytest_convex_eval.evaluation.evaluator.Evaluator", Evaluating)
    session = made.session
    session._evaluator = None
    assert session.evaluator() is session.evaluator()
    settings, arms, folder, selection, progress, vendors, tools = given[0]
    assert vendors == session.vendors
    assert selection is session.selection()
    assert (settings, arms, folder) == (session.settings, session.arms(), session.run_folder)
    assert tools == session._tools
    assert callable(progress)
    progress("installing")
    assert made.journal.entries == ["write convex-eval: installing"]
    worker = make(worker={})
    # It has no terminal.
    worker.session._progress("installing")
    assert len(made.journal.entries) == 1


def test_a_case_file_is_multiplied_by_the_session_s_matrix(
    make: Make, pytester: pytest.Pytester, write_case: Write
) -> None:
    (pytester.path / "m.md").write_text("Be brief.")
    made = make("--convex-model=claude-a", "--convex-model=claude-b", "--convex-guidelines=m.md",
                "--convex-trials=2", "--convex-mutants")  # fmt: skip
    matrix = made.session.matrix()
    assert (matrix.models, matrix.arms, matrix.trials, matrix.mutants) == (
        ("claude-a", "claude-b"), ["m"], 2, True
    )  # fmt: skip
    assert made.session.matrix() is matrix
    parent = pytest.Session.from_config(made.config)
    file = made.session.case_file(parent, pytester.path / write_case("notes"))
    assert file.matrix is matrix
    assert file.evaluate == made.session.evaluate


def test_ids_become_the_plans_that_they_stand_for(
    make: Make, write_case: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    one, two = write_case("one"), write_case("two")
    made = make("--convex-model=claude-a", "--convex-trials=2")
    wanted = [
        f"{two}::two[claude-a-2]",
        f"{one}::one[claude-a-1]",
        f"{two}::two[claude-a-1]",
        f"{one}::one[other]",
    ]
    made.session.worker_collected(wanted)
    assert [(plan.loaded.name, plan.trial) for plan in made.journal.ahead] == [
        ("two", 2), ("one", 1), ("two", 1)
    ]  # fmt: skip


def test_where_no_model_is_asked_a_file_is_read_for_its_lost_items_alone(
    make: Make, write_case: Write, pytester: pytest.Pytester
) -> None:
    mutants = [{"name": "m", "fails": "lint", "code": "x/y", "files": {"package.json": None}}]
    lost, gone = write_case("lost", "hard", mutants=mutants), write_case("gone")
    made = make("--convex-mutants")
    made.session.worker_collected([f"{lost}::lost[mutant-m]", f"{gone}::gone[reference]"])
    (pytester.path / gone).unlink()
    unjudged = made.journal.unjudged
    assert unjudged is not None
    one = unjudged(f"{lost}::lost[mutant-m]")
    assert one is not None
    assert (one.case, one.difficulty, one.mutant, one.expected) == (
        "lost", "hard", "m", "lint (x/y)",
    )  # fmt: skip
    assert one.verdict is Verdict.ERROR
    assert unjudged(f"{gone}::gone[reference]") is None, "nobody can tell any more"
    assert unjudged(f"{gone}::gone[reference]") is None
