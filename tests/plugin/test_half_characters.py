"""Half an emoji in what a model's code says is the model's failure, serial and under xdist.

UTF-8 has no way to write half of a surrogate pair: execnet refuses it, so does what parses the
deployment's answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

Write = Callable[..., Path]

PACKAGE = '{"name": "a", "dependencies": {"convex": "^1.48.0"}}\n'
HALF = '"\\u{1F600}".slice(0, 1)'
FINE = "export const go = query({ args: {}, handler: async () => 'fine' });\n"
STEPS: list[dict[str, Any]] = [{"query": "a:go", "returns": "fine"}]


def going(body: str) -> str:
    return f"export const go = query({{ args: {{}}, handler: async () => {{ {body} }} }});\n"


SAVED = [{"query": "a:go", "save": "half"}]
SAYS_HALF = going(f'return "x" + {HALF};')
# name: the code of convex/a.ts, the steps, the stage that fails.
CODE: dict[str, tuple[str, list[dict[str, Any]], str]] = {
    "returned": (SAYS_HALF, STEPS, "behaviour"),
    "returned_field": (going(f'return {{ ["k" + {HALF}]: 1 }};'), STEPS, "behaviour"),
    "thrown": (going(f'throw new Error("x" + {HALF});'), STEPS, "behaviour"),
    "thrown_when_pushed": (FINE + f'throw new Error("x" + {HALF});\n', STEPS, "deploy"),
    "thrown_name_when_pushed": (
        FINE + f'throw Object.assign(new Error("m"), {{ name: "E" + {HALF} }});\n',
        STEPS,
        "deploy",
    ),
    "in_an_address": (
        SAYS_HALF,
        [*SAVED, {"http": {"method": "GET", "path": "/${half}"}, "status": 200}],
        "behaviour",
    ),
    "in_a_header": (
        SAYS_HALF,
        [*SAVED, {"http": {"method": "GET", "path": "/", "headers": {"X-A": "${half}"}}}],
        "behaviour",
    ),
    "in_a_body": (
        SAYS_HALF,
        [*SAVED, {"http": {"method": "POST", "path": "/", "text": "${half}"}, "status": 200}],
        "behaviour",
    ),
}
CRON = f"""\
import {{ cronJobs }} from "convex/server";
import {{ internal }} from "./_generated/api";
const crons = cronJobs();
crons.interval("c" + {HALF}, {{ hours: 1 }}, internal.a.job, {{}});
export default crons;
"""
JOB = "export const job = internalMutation({ args: {}, handler: async () => null });\n"


@pytest.mark.parametrize("xdist", [[], ["-n", "2"]], ids=["serial", "xdist"])
def test_half_an_emoji_is_the_model_s_failure_wherever_it_is(
    pytester: pytest.Pytester,
    write_case: Write,
    records: Callable[[], list[dict[str, Any]]],
    xdist: list[str],
) -> None:
    imports = 'import { internalMutation, query } from "./_generated/server";\n'
    expected = {}
    for name, (code, steps, stage) in {**CODE, "cron": (FINE + JOB, STEPS, "deploy")}.items():
        reference = {"package.json": PACKAGE, "convex/a.ts": imports + code}
        if name == "cron":
            reference["convex/crons.ts"] = CRON
        write_case(
            f"fundamentals/easy/{name}",
            expect={"files": ["convex/a.ts"]},
            reference=reference,
            behaviour=[{"name": "a block", "steps": steps}],
        )
        expected[name] = ("failed", stage)
    stages = "format,package,deploy,behaviour"
    args = ("cases", f"--convex-stages={stages}", "--junitxml=r.xml", *xdist)
    result = pytester.runpytest(*args)
    result.assert_outcomes(failed=len(expected))
    items = {Path(item["case"]).stem: (item["verdict"], item["stage"]) for item in records()}
    assert items == expected
    suite = ElementTree.parse(pytester.path / "r.xml").getroot()
    assert len(list(suite.iter("failure"))) == len(expected)
    assert not list(suite.iter("error"))


@pytest.mark.parametrize("xdist", [[], ["-n", "1"]], ids=["serial", "xdist"])
def test_half_an_emoji_in_a_reply_s_file_is_a_finding_of_format(
    pytester: pytest.Pytester, xdist: list[str]
) -> None:
    files = {"package.json": PACKAGE, "convex/a.ts": "// \ud83d\n"}
    case = {
        "summary": "s",
        "prompt": "x\n",
        "expect": {"files": ["convex/a.ts"]},
        "reference": {"package.json": PACKAGE, "convex/a.ts": FINE},
        "mutants": [
            {"name": "half", "fails": "format", "code": "format/not-unicode", "files": files}
        ],
    }
    folder = pytester.path / "cases/fundamentals/easy"
    folder.mkdir(parents=True)
    # As JSON, which YAML is, since YAML's own writer knows no such text.
    (folder / "a.yaml").write_text(json.dumps(case))
    assert yaml.safe_load(json.dumps(case)) == case
    args = ("cases", "--convex-mutants", "-k", "half", "--convex-stages=format", *xdist)
    pytester.runpytest(*args).assert_outcomes(passed=1)
