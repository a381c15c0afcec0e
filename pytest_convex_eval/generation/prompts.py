"""What a model is asked: stable instructions and an arm's guidelines, then the case.

The system text is the same for every case and trial of an arm, so that the provider's prompt cache
serves it; what differs from case to case comes last. Nothing in a prompt differs from run to run.
"""

from __future__ import annotations

from pytest_convex_eval.generation.arms import Arm
from pytest_convex_eval.generation.provider import Request
from pytest_convex_eval.generation.reading.tags import render_files
from pytest_convex_eval.outcomes import CaseError, Files

DEFAULT_MAX_TOKENS = 32_000
"""Thinking is output too: at high effort 16 000 are too few for it and the answer together."""

INSTRUCTIONS = """\
You write backends for Convex (https://convex.dev) in TypeScript. You are given a task; you answer \
with the files of a project that does what the task says. The project is type-checked, linted, \
deployed and called exactly as you wrote it. Nobody edits it, and you can't ask questions.

# How to answer

Write each file whole, between two tags, each tag on a line of its own:

<file path="folder/name.ts">
the text of the file, as it is to be on disk
</file>

- Nothing is escaped inside the tags, and no markdown fence goes around the text.
- A path is relative to the root of the project and uses forward slashes. No path comes twice.
- Never leave out a part of a file or stand a comment in for it.
- What you write outside the tags is read by nobody and changes nothing, so keep it short.

# The project

- `package.json` at the root is yours to write. Its `dependencies` name every package that the \
code imports, `convex` among them, each with a version range of npm. Nothing else can be imported.
- The backend is in the folder `convex/`. Write what the task asks for and nothing around it: no \
front end, no tests, no documentation.
- Files, functions, arguments, tables and fields that the task names have to be called exactly so.
- If the task gives files, they are the project so far. A file of yours takes the place of the \
given one with its path; the files that you do not write stay as they are.
- These are provided and yours are passed over: everything in `convex/_generated/` (import from it \
as usual), `tsconfig.json` (TypeScript is strict), configuration of linters and formatters, lock \
files, `.npmrc`, `.env` files.
"""


def build_request(
    *,
    model: str,
    arm: Arm,
    prompt: str,
    files: Files | None = None,
    max_tokens: int = DEFAULT_MAX_TOKENS,
) -> Request:
    """The request for a case: its `prompt` and the `files` that the project starts from.

    Raises CaseError for files that can't be written in tags.
    """
    guidelines = f"\n# Guidelines\n\n{arm.text.strip()}\n" if arm.text.strip() else ""
    parts = [f"# Task\n\n{prompt.strip()}\n"]
    if files:
        try:
            parts.append(f"# The project so far\n\n{render_files(files)}")
        except ValueError as error:
            raise CaseError(f"the starting project {error}") from error
    return Request(
        model=model,
        system=INSTRUCTIONS + guidelines,
        user="\n".join(parts),
        max_tokens=max_tokens,
    )
