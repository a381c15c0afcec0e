"""ESLint with typescript-eslint as the linter: what oxlint's word is compared with.

Slower (`benchmarks/lint_engines.py` prints by how much), with types in Convex's own rules, which
oxlint has not. Its packages are no part of the toolchain: they are installed when they are first
asked for, from a lock file that names every package's digest. (None of them differs by platform, so
that the lock holds everywhere.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydantic

from pytest_convex_eval import once
from pytest_convex_eval.once import Progress
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.processes import Completed, Limits, environment, run
from pytest_convex_eval.text import well_formed_json
from pytest_convex_eval.toolchain.exhaustion import CPU_SECONDS, ran_out
from pytest_convex_eval.toolchain.lint.across_files.facts import RULE as FACTS
from pytest_convex_eval.toolchain.lint.catalogue import Option, Selection
from pytest_convex_eval.toolchain.lint.report import Diagnostic, EngineReport
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.packages.node import node_runtime
from pytest_convex_eval.toolchain.packages.npm import Npm
from pytest_convex_eval.toolchain.positions import SourceTree

PACKAGES = Path(__file__).with_name("eslint_packages")
"""A package.json with the exact versions, and the lock of all that they need."""

UNAVAILABLE: Mapping[str, str] = {}
"""Rules of `lint_rules` that ESLint has not, by our name, with the reason."""

_PROGRAM = Path(__file__).with_suffix(".mjs")
_MARKER = "eslint.json"
_HEAP_MEGABYTES = 1536
# Rules that oxlint has under the name of ESLint's own, in the form that knows TypeScript.
_EXTENDED = frozenset({"no-unused-vars"})


@dataclass(frozen=True, slots=True)
class Eslint:
    """An installed ESLint: the folder of its packages, the Node that runs it, our own rules."""

    root: Path
    node: Path
    rules_plugin: Path
    versions: Mapping[str, str]


class _Message(pydantic.BaseModel):
    path: str
    rule: str
    message_id: str | None = pydantic.Field(alias="messageId")
    message: str
    line: int
    column: int


class _Answer(pydantic.BaseModel):
    said: list[_Message]
    unparsable: list[str]
    too_deep: list[str] = pydantic.Field(alias="tooDeep")


def install_eslint(
    cache: Path, toolchain: Toolchain, *, progress: Progress = once.silent
) -> Eslint:
    """ESLint in `cache`, installed first if it is not there; some 12 MB to download.

    Raises InfrastructureError as `install_toolchain` does.
    """
    runtime = node_runtime()
    texts = [(PACKAGES / name).read_bytes() for name in ("package.json", "package-lock.json")]
    identity = hashlib.sha256(b"\0".join([*texts, runtime.npm_version.encode()]))
    versions: dict[str, str] = json.loads(texts[0])["dependencies"]

    def load(root: Path) -> Eslint | None:
        if not (root / _MARKER).is_file():
            return None
        return Eslint(root, toolchain.node, toolchain.rules_plugin, versions)

    def build(root: Path) -> None:
        Npm(runtime).install_locked(PACKAGES, root)
        (root / _MARKER).write_text(json.dumps(versions, indent=1), encoding="utf-8")

    return once.made_once(
        cache.absolute() / "eslint" / identity.hexdigest()[:20],
        what="ESLint",
        load=load,
        build=build,
        progress=progress,
    )


def ask_eslint(
    eslint: Eslint,
    projects: Sequence[tuple[Path, Sequence[str]]],
    selection: Selection,
    *,
    scratch: Path,
    deadline_seconds: float,
) -> list[EngineReport]:
    """What ESLint says of each of `projects` (a workspace's root and its files), in one process.

    The whole output and CPU time are told of the last. Raises InfrastructureError when it cannot be
    run or understood.
    """
    rules = {eslint_name(name): options for name, options in _configured(selection).items()}
    requests = [
        json.dumps({"root": str(root), "paths": list(paths), "rules": rules})
        for root, paths in projects
    ]
    cpu_limit = CPU_SECONDS * len(requests)
    done = _run(eslint, requests, scratch, deadline_seconds, cpu_limit)
    if ran_out(done, deadline_seconds, cpu_limit):
        report = EngineReport(output=done.stderr, cpu_seconds=done.cpu_seconds, exhausted=True)
        return [report for _ in projects]
    try:
        answers = [
            _Answer.model_validate_json(well_formed_json(line)) for line in done.stdout.splitlines()
        ]
    except pydantic.ValidationError as error:
        raise InfrastructureError("ESLint's report can't be read", detail=str(error)) from error
    if not done.ok or len(answers) != len(projects):
        raise InfrastructureError(
            f"ESLint gave no report (ended by {done.ending}, status {done.returncode})",
            detail=done.stderr,
        )
    names = {eslint_name(name): name for name in (*_configured(selection), FACTS)}
    cpu = [0.0] * (len(answers) - 1) + [done.cpu_seconds]
    return [
        _spoken(answer, SourceTree(root), names, seconds)
        for answer, (root, _), seconds in zip(answers, projects, cpu, strict=True)
    ]


def eslint_name(name: str) -> str:
    """What ESLint calls the rule that oxlint calls `name`."""
    if name in _EXTENDED:
        return f"@typescript-eslint/{name}"
    plugin, slash, rule = name.partition("/")
    return f"@typescript-eslint/{rule}" if slash and plugin == "typescript" else name


def _configured(selection: Selection) -> dict[str, str | list[str | Mapping[str, Option]]]:
    rules = {
        name: options for name, options in selection.configured().items() if name not in UNAVAILABLE
    }
    return {**rules, FACTS: "error"} if selection.needs_facts else rules


def _run(
    eslint: Eslint, requests: Sequence[str], scratch: Path, deadline: float, cpu_limit: int
) -> Completed:
    args: list[str | Path] = [
        eslint.node,
        f"--max-old-space-size={_HEAP_MEGABYTES}",
        _PROGRAM,
        eslint.root,
        eslint.rules_plugin,
    ]
    try:
        return run(
            args,
            cwd=scratch,
            env=environment(home=scratch),
            limits=Limits(wall_seconds=deadline, cpu_seconds=cpu_limit),
            stdin="\n".join(requests) + "\n",
        )
    except OSError as error:
        raise InfrastructureError(f"ESLint could not be started: {error}") from error


def _spoken(
    answer: _Answer, tree: SourceTree, names: Mapping[str, str], cpu_seconds: float
) -> EngineReport:
    diagnostics = tuple(
        Diagnostic(
            rule=names.get(message.rule, message.rule),
            message_id=message.message_id,
            message=message.message,
            path=message.path,
            place=(
                None
                if message.rule == FACTS
                else tree[message.path].in_utf16(message.line, message.column)
            ),
        )
        for message in answer.said
    )
    return EngineReport(
        diagnostics,
        frozenset(answer.unparsable),
        tuple(answer.too_deep),
        answer.model_dump_json(),
        cpu_seconds,
    )
