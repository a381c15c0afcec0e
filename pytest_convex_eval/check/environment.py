"""Variables for a deployment, from a .env file that a person names."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter

from pytest_convex_eval import processes
from pytest_convex_eval.check.project import NotCheckableError, read_text
from pytest_convex_eval.toolchain.packages.node import node_runtime

_SECONDS = 30.0
# Node's own reader of the form (https://nodejs.org/api/util.html#utilparseenvcontent).
_PROGRAM = (
    'const chunks=[];process.stdin.on("data",(c)=>chunks.push(c)).on("end",()=>'
    'process.stdout.write(JSON.stringify(require("node:util")'
    ".parseEnv(Buffer.concat(chunks).toString()))))"
)
_VARIABLES = TypeAdapter(dict[str, str])


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a .env file. Raises NotCheckableError where there are none to be read."""
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise NotCheckableError(f"--env-file {path} can't be read: {error}") from error
    node = node_runtime().node
    done = processes.run(
        [node, "-e", _PROGRAM],
        cwd=Path("/"),
        env=processes.environment(home=Path("/")),
        limits=processes.Limits(wall_seconds=_SECONDS),
        stdin=text,
    )
    if not done.ok:
        raise NotCheckableError(f"--env-file {path} can't be understood: {done.stderr}")
    return _VARIABLES.validate_python(json.loads(done.stdout))
