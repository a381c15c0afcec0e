"""oxlint beside ESLint: the findings of both on every reference and mutant of a suite.

Every rule is on, as an error. Exits with 1 when a finding of only one engine has no known reason
(`tests/toolchain/engine_differences.py`). Answers that do not parse are left out: their lint stage
is skipped.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.outcomes import Files, Finding
from pytest_convex_eval.stages.package_json import read_package_json
from pytest_convex_eval.toolchain.lint.catalogue import RULES, select
from pytest_convex_eval.toolchain.lint.eslint import UNAVAILABLE, Eslint, ask_eslint, install_eslint
from pytest_convex_eval.toolchain.lint.oxlint import ask_oxlint, passed_over
from pytest_convex_eval.toolchain.lint.report import Diagnostic, EngineReport, judge
from pytest_convex_eval.toolchain.lint.run import sources_of
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from pytest_convex_eval.toolchain.packages.dependencies import DependencyError, DependencyStore
from pytest_convex_eval.toolchain.packages.install import install_toolchain
from pytest_convex_eval.toolchain.positions import SourceTree
from pytest_convex_eval.toolchain.syntax import check_syntax
from pytest_convex_eval.workspace.layout import Workspace, lay_out
from pytest_convex_eval.workspace.paths import admit
from tests.toolchain.engine_differences import (
    Difference,
    Explained,
    differences,
    explanation,
)

DEADLINE_SECONDS = 60.0
CORES = os.cpu_count() or 1
CHUNKS_A_CORE = 4
"""Processes that an engine's answers are shared out among, for each core: few, since each parses
Convex's types anew, and enough for all cores to be done at about the same time."""
LEAST = 25
"""Answers of a process, since it takes seconds to start."""

SELECTION = select("strict", off=[], require=[rule.code for rule in RULES])


@dataclass(frozen=True, slots=True)
class Project:
    """An answer on disk, and its files to lint."""

    name: str
    root: Path
    paths: Sequence[str]


@dataclass(frozen=True, slots=True)
class Compared:
    """The findings of both engines on an answer, and their differences with the known reasons."""

    name: str
    oxlint: Sequence[Finding]
    eslint: Sequence[Finding]
    differences: Sequence[tuple[Difference, Explained | None]]


def answers(cases: Path) -> Iterator[tuple[str, Files]]:
    """Every reference and mutant of a suite, with its starting files."""
    for path in sorted(cases.rglob("*.yaml")):
        case = load_case(path, str(path)).case
        yield f"{path.stem}[reference]", {**case.files, **case.reference}
        for mutant in case.mutants:
            files = {**case.files, **mutant.applied_to(case.reference)}
            yield f"{path.stem}[{mutant.name}]", files


def dependencies(store: DependencyStore, files: Files) -> DependencySet:
    """What an answer declares; the default set where that can't be had."""
    declared = dict(read_package_json(files.get("package.json", "{}")).usable)
    try:
        return store.get({"convex": store.default_set().convex_version, **declared})
    except DependencyError:
        return store.default_set()


def project_of(
    toolchain: Toolchain, store: DependencyStore, folder: Path, number: int, name: str, files: Files
) -> Project | None:
    """The `number`-th answer, laid out below `folder`; None where there is nothing to lint."""
    installed = dependencies(store, files)
    workspace = lay_out(
        folder / "answers" / str(number),
        admit(files).files,
        node_modules=installed.node_modules,
        templates=installed.templates,
    )
    paths = sources_of(workspace.root)
    if paths and parses(toolchain, workspace, a_folder(folder)):
        return Project(name, workspace.root, paths)
    return None


def a_folder(folder: Path) -> Path:
    """A new folder for what one process of a tool writes."""
    return Path(tempfile.mkdtemp(prefix="scratch-", dir=folder))


def parses(toolchain: Toolchain, workspace: Workspace, scratch: Path) -> bool:
    report = check_syntax(
        toolchain,
        workspace.root,
        workspace.files,
        scratch=scratch,
        deadline_seconds=DEADLINE_SECONDS,
    )
    return not any(finding.severity == "error" for finding in report.findings)


def by_oxlint(
    toolchain: Toolchain, projects: Sequence[Project], scratch: Path
) -> list[EngineReport]:
    """What oxlint says of each of `projects`, which lie beside each other, in one process."""
    folder = projects[0].root.parent
    names = {
        f"{project.root.name}/{path}": (number, path)
        for number, project in enumerate(projects)
        for path in project.paths
        if not passed_over(path)
    }
    whole = ask_oxlint(
        toolchain,
        folder,
        list(names),
        SELECTION,
        scratch=scratch,
        deadline_seconds=DEADLINE_SECONDS * len(projects),
    )
    if whole.exhausted:
        return alone(lambda one: by_oxlint(toolchain, one, scratch), projects, whole)
    diagnostics: list[list[Diagnostic]] = [[] for _ in projects]
    for one in whole.diagnostics:
        number, path = names[one.path]
        diagnostics[number].append(replace(one, path=path))
    unparsable, too_deep = (
        [
            {path for at, path in map(names.__getitem__, paths) if at == number}
            for number in range(len(projects))
        ]
        for paths in (whole.unparsable, whole.too_deep)
    )
    # One process for all: what it took is the last one's.
    cpu = [0.0] * (len(projects) - 1) + [whole.cpu_seconds]
    return [
        EngineReport(tuple(told), frozenset(broken), tuple(sorted(deep)), cpu_seconds=seconds)
        for told, broken, deep, seconds in zip(diagnostics, unparsable, too_deep, cpu, strict=True)
    ]


def by_eslint(eslint: Eslint, projects: Sequence[Project], scratch: Path) -> list[EngineReport]:
    report = ask_eslint(
        eslint,
        [(project.root, project.paths) for project in projects],
        SELECTION,
        scratch=scratch,
        deadline_seconds=DEADLINE_SECONDS * len(projects),
    )
    if report[0].exhausted:
        return alone(lambda one: by_eslint(eslint, one, scratch), projects, report[0])
    return report


def alone(
    ask: Callable[[Sequence[Project]], list[EngineReport]],
    projects: Sequence[Project],
    whole: EngineReport,
) -> list[EngineReport]:
    """Each of `projects` asked about by itself, since one of them exhausts the engine."""
    return [whole] if len(projects) == 1 else [ask([project])[0] for project in projects]


def judged(project: Project, report: EngineReport, paths: Sequence[str]) -> list[Finding]:
    if report.exhausted:
        return [Finding("lint/resource-limit", "")]
    unseen = [Finding("lint/not-linted", "", path=p) for p in project.paths if p not in paths]
    return [*judge(report, paths, SELECTION, SourceTree(project.root)), *unseen]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path, nargs="?", default=Path("cases"))
    parser.add_argument("--every", type=int, default=1, help="take every n-th answer only")
    given = parser.parse_args(arguments)

    cache = default_cache()
    toolchain = install_toolchain(cache)
    eslint = install_eslint(cache, toolchain)
    store = DependencyStore(cache, toolchain)
    with tempfile.TemporaryDirectory(prefix="convex-eval-") as temporary:
        folder = Path(temporary).resolve()
        started = time.monotonic()
        with ThreadPoolExecutor(CORES) as pool:
            every = list(answers(given.cases))[:: given.every]
            prepare = partial(project_of, toolchain, store, folder)
            laid_out = pool.map(prepare, range(len(every)), *zip(*every, strict=True))
            projects = [project for project in laid_out if project is not None]
            size = max(math.ceil(len(projects) / (CORES * CHUNKS_A_CORE)), LEAST)
            chunks = [projects[at : at + size] for at in range(0, len(projects), size)]
            # The slower engine first, so that no core is left with it at the end.
            theirs = [pool.submit(by_eslint, eslint, chunk, a_folder(folder)) for chunk in chunks]
            ours = [pool.submit(by_oxlint, toolchain, chunk, a_folder(folder)) for chunk in chunks]
            found: list[Compared] = []
            cpu = {"oxlint": 0.0, "ESLint": 0.0}
            for chunk, oxlint, reference in zip(chunks, ours, theirs, strict=True):
                for project, one, other in zip(
                    chunk, oxlint.result(), reference.result(), strict=True
                ):
                    cpu["oxlint"] += one.cpu_seconds
                    cpu["ESLint"] += other.cpu_seconds
                    seen = [path for path in project.paths if not passed_over(path)]
                    of_oxlint = judged(project, one, seen)
                    of_eslint = judged(project, other, project.paths)
                    found.append(compared(project, of_oxlint, of_eslint))
        seconds = time.monotonic() - started
    return told(found, seconds, cpu)


def compared(project: Project, oxlint: list[Finding], eslint: list[Finding]) -> Compared:
    tree = SourceTree(project.root)
    found = [
        (difference, explanation(difference, tree[difference.path].text if difference.path else ""))
        for difference in differences(oxlint, eslint)
    ]
    return Compared(project.name, oxlint, eslint, found)


def told(found: Sequence[Compared], seconds: float, cpu: Mapping[str, float]) -> int:
    """Prints how oxlint's and ESLint's findings differ and returns the program's status."""
    unexplained = 0
    reasons: Counter[str] = Counter()
    for each in found:
        for difference, known in each.differences:
            if known is None:
                unexplained += 1
                print(f"{each.name}: {difference}")
            else:
                reasons[f"{difference.code}: {known.reason}"] += difference.count
    for reason, count in reasons.most_common():
        print(f"{count} × explained: {reason}")
    for rule, why in UNAVAILABLE.items():
        print(f"not in ESLint: {rule}: {why}")
    said = {finding.code for each in found for finding in (*each.oxlint, *each.eslint)}
    summary = {
        "answers": len(found),
        "rules": len(RULES),
        "rules that reported": len(said),
        "oxlint's findings": sum(len(each.oxlint) for each in found),
        "ESLint's findings": sum(len(each.eslint) for each in found),
        "unexplained differences": unexplained,
        "seconds": round(seconds, 1),
        # Many answers a process, as here; by itself each costs a start more.
        **{f"{engine}'s CPU seconds": round(spent, 1) for engine, spent in cpu.items()},
        "times the CPU": round(cpu["ESLint"] / cpu["oxlint"], 1),
    }
    print(json.dumps(summary))
    return 1 if unexplained else 0


if __name__ == "__main__":
    raise SystemExit(main())
