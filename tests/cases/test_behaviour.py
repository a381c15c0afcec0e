"""What is wrong with a case's steps is told with its place, before anything runs."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from pytest_convex_eval.cases.loader import CaseProblemsError, load_case

HEAD = """\
summary: Notes
prompt: Write notes.
reference: {package.json: "{}"}
behaviour:
  - name: a block
    steps:
"""


def problems(tmp_path: Path, steps: str, head: str = HEAD) -> list[str]:
    path = tmp_path / "cases" / "fundamentals" / "easy" / "notes.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + steps)
    try:
        load_case(path, "notes.yaml")
    except CaseProblemsError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("      - quer: a:b\n", "7:9: behaviour[0].steps[0]: a step says what it does by one of "),
        ("      - quer: a:b\n", "did you mean 'query'?"),
        (
            "      - query: a:b\n        retruns: 1\n",
            "8:9: unknown key 'behaviour[0].steps[0].retruns'; did you mean 'returns'?",
        ),
        ("      - query: ab\n", "7:16: behaviour[0].steps[0].query: 'ab' is no function path"),
        (
            "      - query: a:b\n        returns: [{x: {$anyy: true}}]\n",
            "8:18: behaviour[0].steps[0].returns: [0].x: unknown operator '$anyy'",
        ),
        ("      - advance: soon\n", "7:18: behaviour[0].steps[0].advance: 'soon' is no duration"),
        (
            "      - repeat: 2\n        steps:\n          - mutation: a:b\n            arg: {}\n",
            "10:13: unknown key 'behaviour[0].steps[0].steps[0].arg'; did you mean 'args'?",
        ),
        (
            "      - query: a:b\n        args: {id: '${post}'}\n",
            "7:9: ${post}: nothing is saved as 'post' before here (saved: nothing)",
        ),
        (
            "      - each: [1]\n        steps: [{query: a:b}]\n"
            "      - query: a:b\n        args: {x: '${each}'}\n",
            "9:9: ${each}: nothing is saved as 'each'",
        ),
        ("      - query: a:b\n        args: {x: '${a b}'}\n", "7:9: '${a b}' is no reference"),
        ("      - service: weather\n", "7:18: the block has no service 'weather' (it has: none)"),
        (
            "      - query: a:b\n        throws: true\n        returns: 1\n",
            "a call that 'throws' has no result to compare or save",
        ),
        ("      - http: {method: GET}\n", "7:15: behaviour[0].steps[0].http: name exactly one of"),
        ("      []\n", "7:7: behaviour[0].steps: "),
    ],
)
def test_a_mistake_is_told_where_it_stands(tmp_path: Path, steps: str, message: str) -> None:
    told = problems(tmp_path, steps)
    assert message in "\n".join(told)
    assert len(told) == 1


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    told = problems(tmp_path, "      - quer: a:b\n      - query: ab\n      - table: 5\n")
    assert [line.split(" ")[0] for line in told] == [
        "notes.yaml:7:9:",
        "notes.yaml:8:16:",
        "notes.yaml:9:16:",
    ]


def test_what_is_saved_in_a_loop_or_at_once_is_known_after_it(tmp_path: Path) -> None:
    steps = """\
      - repeat: 2
        steps:
          - mutation: a:b
            save: last
      - parallel:
          - mutation: a:b
            args: {x: "${last}", n: "${now + 1h}"}
            save: one
      - query: a:b
        args: {x: "${one}"}
"""
    assert problems(tmp_path, steps) == []


def test_a_time_needs_its_zone(tmp_path: Path) -> None:
    head = HEAD.replace("    steps:", '    at: "2030-01-01T00:00:00"\n    steps:')
    (told,) = problems(tmp_path, "      - query: a:b\n", head)
    assert "7:" not in told
    assert "is no time; write it like 2030-01-15T10:00:00Z" in told


def test_a_merge_key_is_refused_where_it_stands(tmp_path: Path) -> None:
    steps = "      - insert: {t: [&one {a: 1}]}\n      - insert: {t: [{<<: *one, b: 2}]}\n"
    (told,) = problems(tmp_path, steps)
    assert told == "notes.yaml:8:23: merge keys (<<) are no part of YAML 1.2; write the fields out"


def test_steps_within_steps_are_looked_at_without_a_warning(tmp_path: Path) -> None:
    steps = "      - repeat: 2\n        steps:\n          - parallel: [{query: a:b}]\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert problems(tmp_path, steps) == []
        case = load_case(tmp_path / "cases/fundamentals/easy/notes.yaml", "notes.yaml").case
        assert "parallel" in case.model_dump_json()
