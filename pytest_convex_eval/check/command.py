"""`convex-eval check`: its options, and one check after another."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias, get_args

from pytest_convex_eval.check.selection import CHECK_STAGES
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError, StageName
from pytest_convex_eval.toolchain.lint.profiles import LintProfile

if TYPE_CHECKING:
    from pytest_convex_eval.check.project import Project
    from pytest_convex_eval.check.run import Checked, CheckOptions
    from pytest_convex_eval.check.tooling import Tooling

Format: TypeAlias = Literal["text", "json", "sarif", "github"]

_DESCRIPTION = """\
Checks a Convex project as answers are checked: its package.json, syntax, types, deployment (to an
embedded deployment on this machine) and lint. Nothing in the project is written or run, but for its
functions, which the deployment loads in child processes under limits; .env files are not read
unless --env-file names one.

PATH is the project's folder, any folder or file in it, or the root of a workspace with one Convex
project (default: the current folder). The packages are those that are installed there; where none
are, those that package.json declares, as the lockfile has them, are installed once a machine.

Exit codes: 0, nothing is wrong (warnings fail nothing); 1, there are findings that fail; 2, the
project could not be checked (no project, a tool that broke, a stage that had to be left out).
"""


def add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand; imports nothing heavy."""
    parser = commands.add_parser(
        "check",
        help="check any Convex project, without a case",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        default=Path(),
        metavar="PATH",
        help="the project, or a folder or file in it (default: here)",
    )
    parser.add_argument(
        "--stages",
        type=_stages,
        default=CHECK_STAGES,
        metavar="LIST",
        help=f"comma list of the stages that count (default: {','.join(CHECK_STAGES)})",
    )
    parser.add_argument(
        "--profile",
        choices=get_args(LintProfile),
        default="recommended",
        help="of lint (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=get_args(Format),
        default="text",
        help="github: workflow commands, which annotate pull requests (default: %(default)s)",
    )
    parser.add_argument(
        "--env",
        action="append",
        type=_variable,
        default=[],
        metavar="NAME=VALUE",
        help="environment variable of the deployment (repeatable)",
    )
    parser.add_argument(
        "--env-file",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="read such variables from a .env file (repeatable; --env wins)",
    )
    parser.add_argument(
        "--allow-suppressions",
        action="store_true",
        help="obey comments that switch checks off (@ts-expect-error, eslint-disable, ...), which "
        "else are errors themselves and have no effect",
    )
    parser.add_argument(
        "--watch", action="store_true", help="check again when files change; Ctrl-C ends"
    )
    parser.set_defaults(run=run_check)


def run_check(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    from pytest_convex_eval.check.tooling import Tooling

    with _terminable(), Tooling(options.profile, progress=_progress) as tooling:
        try:
            once = _Once(options, tooling)
            return _watched(once) if options.watch else once()
        except (ConfigurationError, InfrastructureError) as error:
            return _not_checkable(error)
        except KeyboardInterrupt:
            # In a watch, the way to end it.
            return 0 if options.watch else 130


class _Once:
    """One check each time it is called; `last` is what it came to."""

    def __init__(self, options: argparse.Namespace, tooling: Tooling) -> None:
        self._options = options
        self._tooling = tooling
        self.last: Checked | None = None

    def project(self) -> Project:
        from pytest_convex_eval.check.project import find_project

        return find_project(self._options.path)

    def __call__(self) -> int:
        from pytest_convex_eval.check.mirror import Shown
        from pytest_convex_eval.check.run import check_project

        here = Path.cwd()
        shown = Shown(here)
        project = self.project()
        tools = self._tooling.tools(deploys="deploy" in self._options.stages)
        deployments = self._tooling.deployments
        checked = check_project(
            project, tools, self._check_options(), shown, deployments=deployments
        )
        self.last = checked
        print(_rendered(checked, self._options.format, shown(project.functions), here), flush=True)
        return checked.exit_code

    def _check_options(self) -> CheckOptions:
        from pytest_convex_eval.check.environment import read_env_file
        from pytest_convex_eval.check.run import CheckOptions

        options = self._options
        env: dict[str, str] = {}
        for file in options.env_file:
            env |= read_env_file(file)
        env |= dict(options.env)
        return CheckOptions(options.stages, env, options.allow_suppressions)


def _watched(once: _Once) -> NoReturn:
    from pytest_convex_eval.check.watch import changes

    for _ in changes(
        lambda: once.project(), lambda: () if once.last is None else once.last.watched
    ):
        try:
            once()
        except (ConfigurationError, InfrastructureError) as error:
            _not_checkable(error)
    raise AssertionError("a watch has no end of its own")


def _rendered(checked: Checked, form: Format, functions: str, here: Path) -> str:
    match form:
        case "json":
            from pytest_convex_eval.check.formats.json import json_text

            return json_text(checked, functions)
        case "sarif":
            from pytest_convex_eval.check.formats.sarif import sarif_text

            return sarif_text(checked, here)
        case "github":
            from pytest_convex_eval.check.formats.github import github_lines

            return "\n".join(github_lines(checked))
        case "text":
            from pytest_convex_eval.check.formats.text import text_lines

            return "\n".join(text_lines(checked, functions))


def _not_checkable(error: ConfigurationError | InfrastructureError) -> int:
    detail = getattr(error, "detail", "")
    print(f"convex-eval check: {error}\n{detail}".rstrip(), file=sys.stderr, flush=True)
    return 2


def _progress(line: str) -> None:
    print(f"convex-eval: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Lets SIGTERM end the block as Ctrl-C does: with all that was started, and nothing left."""

    def ended(_: int, __: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stages(text: str) -> tuple[StageName, ...]:
    named = [part.strip() for part in text.split(",") if part.strip()]
    if not named:
        raise argparse.ArgumentTypeError("names no stage")
    for name in named:
        if name not in CHECK_STAGES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(CHECK_STAGES)}")
    return tuple(stage for stage in CHECK_STAGES if stage in named)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value
