"""Whose fault a failed push is, with a script in place of Node and the CLI."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias, cast

import pytest

from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.model import (
    Deployed,
    PushOutcome,
)
from pytest_convex_eval.deployment.push import PushResult, push
from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.places import Place
from tests.patience import HANG_SECONDS

ACCEPTED = PushOutcome("accepted", 1)
REFUSED = PushOutcome(
    "refused", 1, code="Bad", message="It is bad.", position=Place("convex/a.ts", 2, 3)
)
BUNDLED = """\
✘ [ERROR] Could not resolve "nothing"

    convex/a.ts:2:17:
      2 │ export const x = "äöü" + y;
"""


@dataclass
class Target:
    """What the program pushes to; `outcomes` is how its last push ended, each time it is asked."""

    scratch: Path
    outcomes: Sequence[PushOutcome]
    living: bool = True
    cpu: list[float] = field(default_factory=lambda: [1.0, 1.5])
    push_url: str = "http://127.0.0.1:1"
    admin_key: str = "name|secret"
    asked: int = 0

    def last_push(self) -> PushOutcome:
        self.asked += 1
        return self.outcomes[min(self.asked, len(self.outcomes)) - 1]

    def alive(self) -> bool:
        return self.living

    def cpu_seconds(self) -> float:
        return self.cpu.pop(0) if len(self.cpu) > 1 else self.cpu[0]

    def deployed(self) -> Deployed:
        return Deployed(files=("a.js",))


Pushes: TypeAlias = Callable[[Target, str], PushResult]


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path, [PushOutcome("none"), ACCEPTED])


@pytest.fixture
def pushes(tmp_path: Path) -> Pushes:
    """A push whose CLI is this shell script; it says its version unless it is `broken`."""
    project = tmp_path / "project"
    (project / "convex").mkdir(parents=True)
    (project / "convex" / "a.ts").write_text('// one\nexport const x = "äöü" + y;\n', "utf-8")
    cli = tmp_path / "main.js"
    cli.touch()

    def run(target: Target, script: str) -> PushResult:
        node = tmp_path / "node"
        version = "" if "broken" in script else 'case "$*" in *--version) exit 0;; esac\n'
        node.write_text(f"#!/bin/sh\n{version}{script}\n", "utf-8")
        node.chmod(0o755)
        deployment = cast(Deployment, target)
        return push(deployment, node=node, cli=cli, project=project, deadline_seconds=HANG_SECONDS)

    return run


def printing(text: str, code: int = 1) -> str:
    return f"printf '%s' {shlex.quote(text)}; exit {code}"


def test_a_push_that_is_accepted_has_no_findings_and_takes_what_both_took(
    pushes: Pushes, target: Target
) -> None:
    result = pushes(target, printing("key name|secret, twice name|secret", 0))
    assert result.findings == ()
    assert result.output == "key <admin key>, twice <admin key>"
    assert result.cpu_seconds >= 0.5
    target.cpu, target.asked = [1e6, 0.1], 0
    assert 0 <= pushes(target, "exit 0").cpu_seconds < 1e6, "a server started anew counts from zero"


def test_what_the_deployment_refused_is_told_in_its_words_and_at_its_place(
    pushes: Pushes, target: Target
) -> None:
    target.outcomes = [PushOutcome("none"), REFUSED]
    assert pushes(target, "echo other words; exit 1").findings == (
        Finding(
            "deploy/Bad",
            "It is bad.",
            path="convex/a.ts",
            line=2,
            column=3,
            excerpt='export const x = "äöü" + y;',
        ),
    )


@pytest.mark.parametrize(
    ("path", "line"), [("convex/a.ts", 3), ("convex/a.ts", 0), ("convex/b.ts", 1), ("../up.ts", 1)]
)
def test_a_place_that_is_not_in_the_project_has_no_excerpt(
    path: str, line: int, pushes: Pushes, target: Target, tmp_path: Path
) -> None:
    (tmp_path / "up.ts").write_text("not of the project\n")
    target.outcomes = [PushOutcome("none"), replace(REFUSED, position=Place(path, line, 1))]
    (finding,) = pushes(target, "exit 1").findings
    assert (finding.path, finding.line, finding.excerpt) == (path, line, None)


def test_an_excerpt_is_cut(pushes: Pushes, target: Target, tmp_path: Path) -> None:
    (tmp_path / "project" / "convex" / "a.ts").write_text("\n" + "x" * 1000)
    target.outcomes = [PushOutcome("none"), REFUSED]
    (finding,) = pushes(target, "exit 1").findings
    assert finding.excerpt == "x" * 240


def test_an_earlier_push_is_not_what_was_refused(pushes: Pushes, target: Target) -> None:
    target.outcomes = [REFUSED, REFUSED]
    (finding,) = pushes(target, printing("✖ No such file\nnone\n")).findings
    assert (finding.code, finding.message) == ("deploy/cli", "No such file\nnone")


@pytest.mark.parametrize(
    ("script", "after", "message"),
    [
        ("exit 0", REFUSED, "reports success, the deployment says refused"),
        ("exit 0", PushOutcome("started", 1), "reports success, the deployment says started"),
        ("exit 1", ACCEPTED, "failed after its push was accepted"),
        ("exit 1", PushOutcome("started", 1), "failed after its push was started"),
        ("exit 1", PushOutcome("failed", 1, message="a race"), "can't take the push: a race"),
        ("kill -TERM $$", PushOutcome("none"), "the Convex CLI ended by signal"),
        ("exit 1 # broken", PushOutcome("none"), "the Convex CLI does not run"),
    ],
)
def test_what_says_nothing_about_the_project_blames_nobody(
    script: str, after: PushOutcome, message: str, pushes: Pushes, target: Target
) -> None:
    target.outcomes = [PushOutcome("none"), after]
    with pytest.raises(InfrastructureError, match=message) as raised:
        pushes(target, f"echo as name\\|secret; {script}")
    assert raised.value.detail.startswith("as <admin key>\n")


def test_a_deployment_that_died_blames_nobody(pushes: Pushes, target: Target) -> None:
    target.living = False
    target.outcomes = [PushOutcome("none"), REFUSED]
    for code in (0, 1):
        with pytest.raises(InfrastructureError, match="died during the push"):
            pushes(target, f"exit {code}")


def test_what_the_bundler_says_is_told_where_it_is_counted_in_characters(
    pushes: Pushes, target: Target
) -> None:
    target.outcomes = [PushOutcome("none")]
    more = BUNDLED.replace("2:17", "2:24").replace("nothing", "other")
    nowhere = "✘ [ERROR] Something else\n"
    found = pushes(target, printing(BUNDLED + nowhere + more + nowhere)).findings
    assert [(each.message, each.line, each.column) for each in found] == [
        ('Could not resolve "nothing"', 2, 18),
        ("Something else", None, None),
        ('Could not resolve "other"', 2, 22),
        ("Something else", None, None),
    ]
    assert {each.code for each in found} == {"deploy/bundle"}
    assert found[2].excerpt == 'export const x = "äöü" + y;'


def test_the_clis_words_are_its_first_telling_ones(pushes: Pushes, target: Target) -> None:
    target.outcomes = [PushOutcome("none")]
    lines = "\n".join(f"line {n}" for n in range(12))

    def words(text: str) -> str:
        (finding,) = pushes(target, printing(text)).findings
        return finding.message

    assert words(f"{lines}\n✖ It failed\n\nfor a reason  \n✖ again\n") == (
        "It failed\nfor a reason\n✖ again"
    )
    assert words(lines).splitlines() == [f"line {n}" for n in range(10)]
    assert words(f"- Preparing\nUnexpected Error: [\n{lines}\n]\n").splitlines() == [
        "Unexpected Error: [",
        *(f"line {n}" for n in range(9)),
    ]
    assert words("Saved the given --url as X\n- Preparing\nno luck\n") == "no luck"
    assert words(f"- Preparing\n{lines}\nTypeError: fetch failed\n") == "TypeError: fetch failed"
    assert words("") == "the CLI failed without a word"


def test_a_cli_that_is_not_there_is_said(target: Target, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="the Convex CLI is not at"):
        push(
            cast(Deployment, target),
            node=tmp_path / "node",
            cli=tmp_path / "nowhere.js",
            project=tmp_path,
            deadline_seconds=HANG_SECONDS,
        )
    assert target.asked == 0
