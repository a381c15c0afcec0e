"""Pushing a project with the official Convex CLI, unchanged, and judging how it went.

Whose fault a failed push is follows from what the server recorded of it, from how the CLI's process
ended, and from whether the server lives; the CLI's words are shown and never decide.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.model import Deployed, Feature, PushOutcome
from pytest_convex_eval.deployment.skipped import FUNCTIONS, skipped_files
from pytest_convex_eval.outcomes import Finding, InfrastructureError

CONTROL_SECONDS = 30.0
"""For the CLI to print its version: it takes 0.4 s on an idle machine."""

CPU_SECONDS = 60
"""The limit of the CLI, and of each process that it starts; a usual push takes one."""

HEAP_MEBIBYTES = 1024
"""The limit of the CLI; a usual push takes 100."""

MOST_OUTPUT_BYTES = 4 * 1024 * 1024
EXCERPT_CHARACTERS = 240
"""The longest excerpt of a line: a file can be one line."""

_ARGUMENTS = ("dev", "--once", "--tail-logs", "disable", "--typecheck", "disable")
"""Flags that every CLI from 1.28 to 1.48 takes."""

# The CLI is a bundle of 6 MB that makes much and keeps little: with room for it, an eighth of a
# push's CPU, which went into collecting, is saved. In MiB.
_YOUNG_GENERATION = ("--min-semi-space-size=64", "--max-semi-space-size=64")

_FAILURE = "\N{HEAVY MULTIPLICATION X}"
_TELLING = re.compile(rf"(?:{_FAILURE}|(?:Unexpected |Uncaught )?(?:[A-Z]\w*)?Error\b)")
"""How the first line of what the CLI says is wrong begins."""
_CHATTER = re.compile(r"- |Saved the given --url |Provisioning |\(node:\d+\) ")
_MOST_TELLING_LINES = 10
_MESSAGE = re.compile(r"^. \[ERROR\] (.+)$")
_LOCATION = re.compile(r"^ {4}(.+?):(\d+):(\d+):$")


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push said: findings (an error among them means that it was refused), the CLI's
    output unchanged, and the CPU seconds of the CLI and the server together."""

    findings: tuple[Finding, ...]
    output: str
    cpu_seconds: float


def push(
    deployment: Deployment,
    *,
    node: Path,
    cli: Path,
    project: Path,
    deadline_seconds: float,
    compile_cache: Path | None = None,
    codegen: bool = False,
    is_of_packages: Callable[[Feature], bool] = lambda _: True,
) -> PushResult:
    """Pushes `project` once with the CLI at `cli` (`node_modules/convex/bin/main.js`).

    The project's `convex/_generated` must be there unless `codegen` is set; the CLI then writes it.
    It always writes the project's `.env.local`. `compile_cache` is a folder for V8's code cache,
    shared by all pushes: it saves a third of the CLI's CPU.
    `is_of_packages` says whether the project's packages can ask for what the deployment does not
    know; what they can't, the project's own code made up.
    Raises InfrastructureError when the push came to no judgement: past the deadline, a CLI that
    doesn't run or was killed, a server that died or can't do what was asked of it. A CLI that takes
    all the CPU time or memory that it may have, or prints without an end, does so over what it
    reads: `deploy/resource-limit`.
    """
    if not cli.is_file():
        raise InfrastructureError(f"the Convex CLI is not at {cli}")
    if not (project / FUNCTIONS).is_dir():
        # The CLI would push nothing and report success.
        return PushResult(tuple(skipped_files(project, Deployed())), "", 0.0)
    variables = {"CI": "1", **processes.heap_of(HEAP_MEBIBYTES)}
    if compile_cache is not None:
        variables["NODE_COMPILE_CACHE"] = str(compile_cache)
    env = processes.environment(home=deployment.scratch, path=[node.parent], **variables)
    target = ("--url", deployment.push_url, "--admin-key", deployment.admin_key)
    args = [
        node,
        *_YOUNG_GENERATION,
        cli,
        *_ARGUMENTS,
        "--codegen",
        "enable" if codegen else "disable",
        *target,
    ]
    limits = processes.Limits(
        wall_seconds=deadline_seconds, cpu_seconds=CPU_SECONDS, output_bytes=MOST_OUTPUT_BYTES
    )
    before = deployment.last_push().number
    cpu_before = deployment.cpu_seconds()
    try:
        done = processes.run(args, cwd=project, env=env, limits=limits)
    except OSError as error:
        raise InfrastructureError(f"Node can't be started: {error}") from error
    output = (done.stdout + done.stderr).replace(deployment.admin_key, "<admin key>")
    if done.ending == "timeout":
        raise InfrastructureError(
            f"the Convex CLI did not end within {deadline_seconds:g} s", detail=output
        )
    if not deployment.alive():
        raise InfrastructureError("the deployment died during the push", detail=output)
    cpu = done.cpu_seconds + max(deployment.cpu_seconds() - cpu_before, 0.0)
    if done.ending != "exit":
        exhausted = _exhausted(done)
        if exhausted is None:
            raise InfrastructureError(f"the Convex CLI ended by {done.ending}", detail=output)
        _check_cli_runs(node, cli, env, project, output)
        return PushResult((exhausted,), output, cpu)
    last = deployment.last_push()
    if done.returncode == 0:
        if last.status != "accepted":
            raise InfrastructureError(
                f"the Convex CLI reports success, the deployment says {last.status}", detail=output
            )
        findings = skipped_files(project, deployment.deployed())
    else:
        reached = last.number != before
        judged = last if reached else PushOutcome("none")
        if judged.unknown is not None and not is_of_packages(judged.unknown):
            judged = replace(judged, status="refused", code="InvalidModules")
        findings = _refused(judged, output, project)
        if all(finding.code == "deploy/cli" for finding in findings):
            _check_cli_runs(node, cli, env, project, output)
    return PushResult(tuple(findings), output, cpu)


def _exhausted(done: processes.Completed) -> Finding | None:
    """Which limit the CLI ran into; None where it was something else that ended it."""
    if done.ending == "output":
        what = f"makes the Convex CLI print more than {MOST_OUTPUT_BYTES // 2**20} MiB"
    elif done.out_of_cpu(CPU_SECONDS):
        what = f"takes the Convex CLI more than {CPU_SECONDS} s of CPU"
    elif done.ending == "signal" and done.returncode == -signal.SIGABRT:
        # What V8 ends by when its heap is full.
        what = f"takes the Convex CLI more than {HEAP_MEBIBYTES} MiB of memory"
    else:
        return None
    return Finding("deploy/resource-limit", f"to push this answer {what}")


def _refused(last: PushOutcome, output: str, project: Path) -> list[Finding]:
    if last.status == "refused":
        return [_server_finding(last, project)]
    if last.status == "failed":
        raise InfrastructureError(
            f"the deployment can't take the push: {last.message}", detail=output
        )
    if last.status in ("started", "accepted"):
        # The code was taken; what the CLI makes of that is between it and the deployment.
        raise InfrastructureError(
            f"the Convex CLI failed after its push was {last.status}: {_cli_words(output)}",
            detail=output,
        )
    return list(_bundler_findings(output, project)) or [Finding("deploy/cli", _cli_words(output))]


def _server_finding(last: PushOutcome, project: Path) -> Finding:
    position = last.position
    return Finding(
        f"deploy/{last.code}",
        last.message or "",
        path=position.path if position else None,
        line=position.line if position else None,
        column=position.column if position else None,
        excerpt=_line(project, position.path, position.line) if position else None,
    )


def _bundler_findings(output: str, project: Path) -> Iterator[Finding]:
    """The errors that esbuild printed: a message, and two lines below it where it is.

    esbuild counts lines from 1 and columns from 0, in bytes of UTF-8.
    """
    message = None
    files: dict[str, list[str]] = {}
    for line in output.splitlines():
        if match := _MESSAGE.match(line):
            if message is not None:
                yield Finding("deploy/bundle", message)
            message = match[1]
        elif message is not None and (match := _LOCATION.match(line)):
            path, number, offset = match[1], int(match[2]), int(match[3])
            # One file can have tens of thousands.
            if path not in files:
                files[path] = _lines(project, path)
            column, excerpt = offset + 1, None
            if 0 < number <= len(files[path]):
                text = files[path][number - 1]
                # A character has one byte at the least.
                column = len(text[:offset].encode()[:offset].decode("utf-8", "ignore")) + 1
                excerpt = text[:EXCERPT_CHARACTERS]
            yield Finding(
                "deploy/bundle", message, path=path, line=number, column=column, excerpt=excerpt
            )
            message = None
    if message is not None:
        yield Finding("deploy/bundle", message)


def _line(project: Path, path: str, number: int) -> str | None:
    """Line `number` of a file of the project; None when there is no such line in it."""
    lines = _lines(project, path)
    return lines[number - 1][:EXCERPT_CHARACTERS] if 0 < number <= len(lines) else None


def _lines(project: Path, path: str) -> list[str]:
    """The lines of a file of the project; none where there is no such file."""
    file = (project / path).resolve()
    if not file.is_relative_to(project.resolve()):
        return []
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _cli_words(output: str) -> str:
    """What the CLI says is wrong: its first telling lines. What is below them is detail: the rest
    of a list, a stack, advice."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    first = next((i for i, line in enumerate(lines) if _TELLING.match(line)), None)
    if first is None:
        lines = [line for line in lines if not _CHATTER.match(line)]
    words = "\n".join(lines[first or 0 :][:_MOST_TELLING_LINES])
    return words.removeprefix(f"{_FAILURE} ") or "the CLI failed without a word"


def _check_cli_runs(node: Path, cli: Path, env: dict[str, str], project: Path, output: str) -> None:
    """The control of an ambiguous failure: a CLI that can't even say its version judges nobody."""
    limits = processes.Limits(wall_seconds=CONTROL_SECONDS)
    control = processes.run([node, cli, "--version"], cwd=project, env=env, limits=limits)
    if not control.ok:
        raise InfrastructureError(
            "the Convex CLI does not run", detail=output + control.stdout + control.stderr
        )
