"""What an answer's packages bring that the deployment does not know blames nobody; what the answer
makes up itself is its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from pytest_convex_eval import once
from pytest_convex_eval.behaviour.steps import Block
from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.outcomes import StageName, StageResult
from pytest_convex_eval.stages.protocol import Subject, Tools
from pytest_convex_eval.stages.registry import select
from pytest_convex_eval.stages.runner import run_stages
from pytest_convex_eval.toolchain.model import DependencySet
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore

REAL = "1.48.0"
STAGES: tuple[StageName, ...] = ("format", "package", "syntax", "deploy", "behaviour")
VALIDATOR = """
class VShiny extends VAny {
  constructor(options) {
    super(options);
    __publicField(this, "kind", "shiny");
    this.kind = "shiny";
  }
  get json() { return { type: this.kind }; }
}
export const shiny = () => new VShiny({ isOptional: "required" });
"""
OPERATION = """
import { performAsyncSyscall } from "./impl/syscall.js";
export const shine = () => performAsyncSyscall("1.0/shine", {});
"""
FIELD = """
export const polish = (schema) => {
  const before = schema.export.bind(schema);
  schema.export = () => {
    const made = JSON.parse(before());
    for (const table of made.tables) table.polishedIndexes = ["all"];
    return JSON.stringify(made);
  };
  return schema;
};
"""


class Newer(DependencyStore):
    """Every answer gets the packages of `modules`, with `convex` as version `version`."""

    def __init__(self, real: DependencyStore, modules: Path, version: str) -> None:
        self._real = real
        self._modules = modules
        self._version = version

    def get(
        self, declared: Mapping[str, str], *, progress: once.Progress = once.silent
    ) -> DependencySet:
        found = self._real.get({"convex": REAL}, progress=progress)
        return replace(found, node_modules=self._modules, versions={"convex": self._version})


@pytest.fixture(scope="module")
def modules(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of a `convex` that can do more than is known."""
    found = tools.dependencies.get({"convex": REAL})
    made = tmp_path_factory.mktemp("newer") / "node_modules"
    shutil.copytree(found.node_modules, made, symlinks=True)
    library = made / "convex" / "dist" / "esm"
    for path, more in {
        "values/validators.js": VALIDATOR,
        "values/index.js": 'export { shiny } from "./validators.js";\n',
        "server/index.js": OPERATION + FIELD,
    }.items():
        file = library / path
        file.chmod(0o644)  # Shared packages are read-only.
        file.write_text(file.read_text("utf-8").replace("//# source", f"{more}//"), "utf-8")
    return made


class Take(Protocol):
    def __call__(
        self, files: Mapping[str, str], *, version: str = REAL
    ) -> dict[str, StageResult]: ...


@pytest.fixture
def take(tools: Tools, modules: Path, tmp_path: Path) -> Take:
    def run(files: Mapping[str, str], *, version: str = REAL) -> dict[str, StageResult]:
        newer = replace(tools, dependencies=Newer(tools.dependencies, modules, version))
        steps = [{"query": "a:f", "returns": 1}]
        block = Block.model_validate({"name": "b", "steps": steps})
        package = '{"dependencies": {"convex": "^1.48.0"}}'
        answer = {"package.json": package, **files}
        subject = Subject(answer, {}, (), Expectations(), LintPolicy(), behaviour=(block,))
        folder = tmp_path / "item"
        folder.mkdir()
        results = run_stages(subject, newer, folder, select(STAGES), lambda _: None)
        return {result.stage: result for result in results}

    return run


def query(head: str, args: str = "{}", body: str = "return 1;") -> dict[str, str]:
    text = (
        f'import {{ query }} from "./_generated/server";\n{head}\n'
        f"export const f = query({{ args: {args}, handler: async () => {{ {body} }} }});\n"
    )
    return {"convex/a.ts": text}


SHINY = 'import { shiny } from "convex/values";'
SHINE = 'import { shine } from "convex/server";'
OWN_VALIDATOR = 'import { v } from "convex/values";\nconst own = v.any() as any;\n' + (
    'Object.defineProperty(own, "json", { value: { type: "own" } });'
)
OWN_OPERATION = 'const own = () => (globalThis as any).Convex.asyncSyscall("1.0/own", "{}");'
SCHEMA = (
    'import { defineSchema, defineTable, POLISH } from "convex/server";\n'
    "export default polish(defineSchema({ notes: defineTable({}) }));\n"
)


def test_a_validator_of_the_package_that_is_not_known_is_an_error(take: Take) -> None:
    deploy = take(query(SHINY, "{ a: (shiny as any)() }"))["deploy"]
    assert (deploy.status, deploy.findings) == ("error", ())
    assert "does not know the validator 'shiny' of convex 1.48.0" in deploy.reason
    assert "newer release of pytest-convex-eval" in deploy.reason


def test_a_validator_that_an_answer_makes_up_is_its_failure(take: Take) -> None:
    deploy = take(query(OWN_VALIDATOR, "{ a: own }"))["deploy"]
    assert deploy.status == "failed"
    assert [each.code for each in deploy.errors] == ["deploy/InvalidModules"]
    assert "v.own()" in deploy.errors[0].message


def test_an_operation_of_the_package_that_is_not_known_is_an_error(take: Take) -> None:
    results = take(query(SHINE, body="return await (shine as any)();"))
    assert results["deploy"].status == "passed"
    assert results["behaviour"].status == "error"
    assert "the operation '1.0/shine'" in str(results["behaviour"].reason)


def test_an_operation_that_an_answer_makes_up_is_its_failure(take: Take) -> None:
    results = take(query(OWN_OPERATION, body="return await own();"))
    assert results["behaviour"].status == "failed"
    assert "Unknown async operation 1.0/own" in results["behaviour"].errors[0].message


def test_an_operation_that_nothing_failed_of_is_no_matter(take: Take) -> None:
    body = "await (shine as any)().catch(() => {}); return 1;"
    assert take(query(SHINE, body=body))["behaviour"].status == "passed"


def test_a_field_of_a_schema_that_is_not_known_is_an_error(take: Take) -> None:
    files = {**query(""), "convex/schema.ts": SCHEMA.replace("POLISH", "polish")}
    deploy = take(files)["deploy"]
    assert deploy.status == "error"
    assert "the schema field 'polishedIndexes'" in str(deploy.reason)


def test_a_version_that_is_newer_than_all_known_ones_is_an_error(take: Take) -> None:
    deploy = take(query(""), version="99.0.0")["deploy"]
    assert deploy.status == "error"
    assert "and the answer has 99.0.0" in str(deploy.reason)
    assert "another deployment" in str(deploy.reason)
