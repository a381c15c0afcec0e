"""What a check says, in each of its forms: nothing of it is lost, and none of it acts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

from pytest_convex_eval.check.formats.github import github_lines
from pytest_convex_eval.check.formats.json import json_text
from pytest_convex_eval.check.formats.sarif import sarif_text
from pytest_convex_eval.check.formats.text import text_lines
from pytest_convex_eval.check.project import Project
from pytest_convex_eval.check.run import Checked
from pytest_convex_eval.outcomes import Finding, StageResult, Verdict
from pytest_convex_eval.stages.protocol import Tools
from pytest_convex_eval.toolchain.packages.published import convex_snapshot

HOSTILE = "50% ::error file=a.ts::no\r\n::stop-commands::x, y: z"
PATH = "convex/ä b,c:d%20.ts"
FOUND = (
    Finding("TS2345", HOSTILE, "error", PATH, 3, 7, "  const a = '\N{GRINNING FACE}';", "a hint"),
    Finding("lint/no-thing", "a warning", "warning", "/elsewhere/shared/a.ts", 1, 1),
    Finding("package/note", "an info", "info", "package.json"),
    Finding("package/nowhere", "it is nowhere", "error"),
)


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    project = Project(tmp_path, tmp_path / "convex", tmp_path, {})
    results = (
        StageResult("typecheck", "failed", findings=FOUND),
        StageResult("deploy", "error", reason="the deployment died\nof itself", output="a\nb"),
    )
    return Checked(project, results, Verdict.FAILED, "typecheck: TS2345: 50%", "installed")


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """SARIF's own, from a package of its authors."""
    from pytest_convex_eval.check.tooling import Tooling

    with Tooling("recommended", progress=lambda _: None) as tooling:
        tools: Tools = tooling.tools(deploys=False)
    declared = {"convex": convex_snapshot().newest, "@microsoft/jest-sarif": "1.0.0-beta.0"}
    package = tools.dependencies.get(declared).node_modules / "@microsoft" / "jest-sarif"
    data: dict[str, Any] = json.loads(
        (package / "lib" / "schemas" / "sarif-2.1.0-rtm.5.json").read_text("utf-8")
    )
    return data


def test_sarif_is_valid_by_its_schema(
    checked: Checked, schema: dict[str, Any], tmp_path: Path
) -> None:
    validator = jsonschema.Draft7Validator(schema)
    document = json.loads(sarif_text(checked, tmp_path))
    assert [error.message for error in validator.iter_errors(document)] == []
    # The schema is one that can refuse.
    document["runs"][0]["results"][0]["level"] = "terrible"
    assert list(validator.iter_errors(document)) != []


def test_sarif_holds_every_finding_where_it_is(checked: Checked, tmp_path: Path) -> None:
    (run,) = json.loads(sarif_text(checked, tmp_path))["runs"]
    first, second, third, fourth = run["results"]
    place = first["locations"][0]["physicalLocation"]
    assert unquote(place["artifactLocation"]["uri"]) == PATH
    assert place["artifactLocation"]["uriBaseId"] == "SRCROOT"
    assert (place["region"]["startLine"], place["region"]["startColumn"]) == (3, 7)
    assert run["columnKind"] == "unicodeCodePoints"
    assert first["message"]["text"] == f"{HOSTILE}\na hint"
    elsewhere = second["locations"][0]["physicalLocation"]["artifactLocation"]
    assert elsewhere == {"uri": "file:///elsewhere/shared/a.ts"}
    assert "region" not in third["locations"][0]["physicalLocation"]
    assert fourth["locations"] == []
    assert [one["level"] for one in run["results"]] == ["error", "warning", "note", "error"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [rules[one["ruleIndex"]] for one in run["results"]] == [one.code for one in FOUND]
    (notification,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "the deployment died" in notification["message"]["text"]


def parsed(line: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as the runner of Actions reads it."""
    assert line.startswith("::")
    head, _, data = line[2:].partition("::")
    command, _, properties = head.partition(" ")
    pairs = (pair.partition("=") for pair in properties.split(","))

    def plain(text: str, also: tuple[tuple[str, str], ...] = ()) -> str:
        for code, character in (*also, ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
            text = text.replace(code, character)
        return text

    of_property = (("%3A", ":"), ("%2C", ","))
    return command, {key: plain(value, of_property) for key, _, value in pairs}, plain(data)


def test_workflow_commands_say_what_was_found_and_nothing_else(checked: Checked) -> None:
    lines = list(github_lines(checked))
    assert all("\n" not in line and "\r" not in line for line in lines)
    commands = [parsed(line) for line in lines]
    assert commands[0] == (
        "error",
        {"file": PATH, "line": "3", "col": "7", "title": "typecheck: TS2345"},
        f"{HOSTILE}\na hint",
    )
    assert [command for command, _, _ in commands] == [
        *("error", "warning", "notice", "error"),
        "error",
        "error",
    ]
    assert commands[4][2] == "the deployment died\nof itself"


def test_json_holds_all_of_it(checked: Checked) -> None:
    document = json.loads(json_text(checked, "convex"))
    assert document["exit_code"] == 1
    assert document["verdict"] == "failed"
    first, second = document["stages"]
    assert [one["message"] for one in first["findings"]] == [one.message for one in FOUND]
    assert first["findings"][0]["path"] == PATH
    assert second["reason"] == "the deployment died\nof itself"


def test_text_shows_errors_first_with_their_lines(checked: Checked) -> None:
    lines = list(text_lines(checked, "convex"))
    assert lines[1] == "typecheck  failed     0.00s  2 errors, 1 warning"
    assert f"  {PATH}:3:7: error TS2345: {HOSTILE.splitlines()[0]}" in lines
    assert "       3 |   const a = '\N{GRINNING FACE}';" in lines
    assert "    a hint" in lines
    found = [line.split(": ")[-2] for line in lines if line.startswith("  ") and "error" in line]
    assert found[-1] == "error package/nowhere" or "warning" not in "".join(found)
    assert lines[-1] == "failed: typecheck: TS2345: 50%"
