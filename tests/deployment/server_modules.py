"""The server's own modules, at hand for pieces of JavaScript: what needs neither a port nor an
isolate is decided there, in a millisecond."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from pytest_convex_eval import processes
from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.deployment.embedded import SERVER, server_variables
from tests.patience import HANG_SECONDS

PROGRAM = Path(__file__).parent / "server_modules.mjs"


class InServer(Protocol):
    """Runs the body of an async function in which the server's exports, what `server_modules.mjs`
    adds to them and `args` are known; gives what it returns."""

    def __call__(self, body: str, /, **args: Any) -> Any: ...


@contextlib.contextmanager
def server_modules(node: Path) -> Iterator[InServer]:
    """One process for many pieces."""
    with (
        tempfile.TemporaryFile() as stderr,
        tempfile.TemporaryDirectory() as home,
        processes.running(
            [node, PROGRAM, f"{SERVER.parent.as_uri()}/"],
            cwd=SERVER.parent,
            env=processes.environment(
                home=Path(home), path=(), **server_variables(default_cache())
            ),
            limits=processes.Limits(wall_seconds=HANG_SECONDS),
            stderr=stderr,
        ) as child,
    ):
        stdin, stdout = child.stdin, child.stdout
        assert stdin is not None
        assert stdout is not None

        def run(body: str, /, **args: Any) -> Any:
            stdin.write(json.dumps({"body": body, "args": args}).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
            if not line:
                stderr.seek(0)
                raise AssertionError(f"the process ended: {stderr.read().decode()}")
            answer = json.loads(line)
            assert "error" not in answer, answer["error"]
            return answer["value"]

        yield run
