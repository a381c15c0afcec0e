"""Code that people accept gives no error, and the suite's own references give nothing at all."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.outcomes import Files, Finding
from pytest_convex_eval.stages.package_json import read_package_json
from pytest_convex_eval.toolchain.lint import oxlint
from pytest_convex_eval.toolchain.lint.catalogue import OURS, RULES, select
from pytest_convex_eval.toolchain.lint.report import Diagnostic, EngineReport, judge
from pytest_convex_eval.toolchain.lint.run import sources_of
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.toolchain.positions import SourceTree
from pytest_convex_eval.workspace.layout import lay_out
from pytest_convex_eval.workspace.paths import admit
from tests.patience import HANG_SECONDS

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "benchmarks" / "published_packages.py"
ALTERNATIVES = ROOT / "tests" / "suite" / "alternatives"
GUIDELINES = ROOT / "pytest_convex_eval" / "generation" / "guidelines" / "default.md"
EVERYTHING = select("strict", off=[], require=[rule.code for rule in RULES])


def references() -> Iterator[tuple[str, Files]]:
    for path in sorted((ROOT / "cases").rglob("*.yaml")):
        case = load_case(path, path.name).case
        yield f"{path.stem}[reference]", {**case.files, **case.reference}


def alternatives() -> Iterator[tuple[str, Files]]:
    """Correct answers unlike the references."""
    for path in sorted(ALTERNATIVES.glob("*.yaml")):
        told = yaml.safe_load(path.read_text("utf-8"))
        case = load_case(ROOT / "cases" / f"{told['case']}.yaml", path.name).case
        yield f"{path.stem}[alternative]", {**case.files, **told["files"]}


def examples() -> Files:
    """What our guidelines show: one whole project."""
    text = GUIDELINES.read_text("utf-8")
    return dict(re.findall(r'^```\w+ title="(.+)"\n(.*?)^```$', text, flags=re.M | re.S))


@pytest.fixture(scope="session")
def findings_on_accepted_code(
    request: pytest.FixtureRequest,
    toolchain: Toolchain,
    store: DependencyStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, list[Finding]]:
    """By the answer's name, under `recommended`; of every answer, or of one in so many. One process
    for all of them."""
    folder = tmp_path_factory.mktemp("accepted")
    answers = dict([("guidelines", examples()), *references(), *alternatives()][:: request.param])
    assert len(answers) > 100 // request.param
    roots = dict[str, Path]()
    for number, (name, files) in enumerate(answers.items()):
        declared = dict(read_package_json(files.get("package.json", "{}")).usable)
        installed = store.get({"convex": store.default_set().convex_version, **declared})
        roots[name] = lay_out(
            folder / str(number),
            admit(files).files,
            node_modules=installed.node_modules,
            templates=installed.templates,
        ).root
    paths = {
        f"{root.name}/{path}": (name, path)
        for name, root in roots.items()
        for path in sources_of(root)
    }
    with pytest.MonkeyPatch.context() as patch:
        # The limit is one answer's, and these are more than a hundred.
        patch.setattr(oxlint, "CPU_SECONDS", int(HANG_SECONDS))
        report = oxlint.ask_oxlint(
            *(toolchain, folder, list(paths), EVERYTHING),
            scratch=folder,
            deadline_seconds=HANG_SECONDS,
        )
    assert not report.exhausted
    assert not report.unparsable
    said: dict[str, list[Diagnostic]] = {name: [] for name in roots}
    for one in report.diagnostics:
        name, path = paths[one.path]
        said[name].append(replace(one, path=path))
    selection = select("recommended", off=[], require=[])
    return {
        name: judge(EngineReport(tuple(said[name])), sources_of(root), selection, SourceTree(root))
        for name, root in roots.items()
    }


def told(found: Mapping[str, list[Finding]], *, errors: bool) -> list[str]:
    return [
        f"{name}: {finding.location()} {finding.code}"
        for name, findings in found.items()
        for finding in findings
        if finding.severity == "error" or not errors
    ]


SOME_AND_ALL = pytest.mark.parametrize(
    "findings_on_accepted_code",
    [12, pytest.param(1, marks=pytest.mark.sweep)],
    indirect=True,
    ids=["some", "all"],
)


@SOME_AND_ALL
def test_the_references_and_the_guidelines_give_no_finding_at_all(
    findings_on_accepted_code: Mapping[str, list[Finding]],
) -> None:
    whole = {
        name: findings
        for name, findings in findings_on_accepted_code.items()
        if not name.endswith("[alternative]")
    }
    assert "guidelines" in whole
    assert len(whole) > len(findings_on_accepted_code) // 2
    assert told(whole, errors=False) == []


@SOME_AND_ALL
def test_errors_by_default_are_only_what_never_fires_on_accepted_code(
    findings_on_accepted_code: Mapping[str, list[Finding]],
) -> None:
    assert told(findings_on_accepted_code, errors=True) == []


def test_that_a_rule_is_an_error_is_meant() -> None:
    # Whether one may be, the tests on accepted code say.
    errors = {r.code.removeprefix(OURS) for r in RULES if r.level("correctness") == "error"}
    assert {name for name in errors if "/" not in name} == {
        "args-validator",
        "duplicate-index",
        "http-routes",
        "no-node-import",
        "no-system-field-in-index",
        "node-actions-only",
        "old-function-syntax",
    }


# Components that do very different things, and convex-helpers; the benchmark has them all.
PUBLISHED = (
    *("aggregate", "agent", "migrations", "presence", "rate-limiter", "workflow", "workpool"),
    "convex-helpers",
)


@pytest.mark.parametrize(
    "packages",
    [PUBLISHED[-1:], pytest.param(PUBLISHED, marks=pytest.mark.sweep)],
    ids=["some", "all"],
)
def test_published_components_give_no_error_of_convexs_rules_or_ours(
    packages: Sequence[str],
) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, "--counts", *packages],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    files = re.findall(r"^(\S+) \S+: (\d+) files$", done.stdout, flags=re.M)
    assert len(files) == len(packages)
    assert all(int(count) > 2 for _, count in files)
