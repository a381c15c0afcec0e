"""Whether an answer's files parse, by the parser that its deploy would use.

Convex bundles with esbuild, so that esbuild's word on what parses is the deploy's. Two classics of
models' output parse all the same and are looked for here: a left-over markdown fence (it is a
tagged template) and an HTML entity (`&lt;` is a bitwise and).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.processes import Completed, environment, run
from pytest_convex_eval.toolchain.exhaustion import limits, ran_out
from pytest_convex_eval.toolchain.lexer import spans
from pytest_convex_eval.toolchain.model import Toolchain, ToolReport
from pytest_convex_eval.toolchain.positions import SourceText, SourceTree
from pytest_convex_eval.toolchain.suppressions import JSX_SUFFIXES, is_source

# `✘ [ERROR] text`, an empty line, `    path:line:column:` with the column in bytes from 0. The
# frame of code below it has a bar before every line, so that code can't look like a message.
_MESSAGE = re.compile(
    r"^✘ \[ERROR\] (?P<text>.*(?:\n(?!\n).*)*)\n\n    (?P<path>.+):(?P<line>\d+):(?P<column>\d+):$",
    re.MULTILINE,
)
_SUSPECT = re.compile(r"```|~~~|&[#a-z]")
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")


def check_syntax(
    toolchain: Toolchain,
    root: Path,
    paths: Sequence[str],
    *,
    scratch: Path,
    deadline_seconds: float,
) -> ToolReport:
    """Parses those of `paths` (POSIX, relative to `root`) that are TypeScript or JavaScript.

    Declaration files are left to the typecheck: the bundler never sees them. `scratch` takes what
    esbuild writes. Codes: `syntax/esbuild` (one a file: parsing ends there),
    `syntax/markdown-fence`, `syntax/html-entity`, `syntax/resource-limit`. Raises
    InfrastructureError when esbuild cannot be run or understood.
    """
    sources = [path for path in paths if is_source(path) and not _is_declaration(path)]
    if not sources:
        return ToolReport((), "", 0.0)
    tree = SourceTree(root)
    done = _esbuild(toolchain, root, sources, scratch, deadline_seconds)
    findings = [*_parse_errors(done, tree)]
    if ran_out(done, deadline_seconds):
        findings.append(Finding("syntax/resource-limit", "this answer exhausts the parser"))
    elif done.returncode not in (0, 1) or (done.returncode != 0 and not findings):
        raise InfrastructureError(
            f"esbuild ended with status {done.returncode} and named no error",
            detail=done.stdout + done.stderr,
        )
    for path in sources:
        findings.extend(_leftovers(path, tree))
    order = {path: number for number, path in enumerate(sources)}
    findings.sort(key=lambda f: (order.get(f.path or "", -1), f.line or 0, f.column or 0))
    return ToolReport(tuple(findings), done.stderr, done.cpu_seconds)


def _is_declaration(path: str) -> bool:
    return PurePosixPath(path).name.endswith((".d.ts", ".d.mts", ".d.cts"))


def _esbuild(
    toolchain: Toolchain, root: Path, sources: Sequence[str], scratch: Path, deadline: float
) -> Completed:
    args: list[str | Path] = [
        toolchain.esbuild,
        # A name may begin with a dash.
        *(f"./{path}" for path in sources),
        f"--outdir={scratch / 'esbuild'}",
        f"--outbase={root}",
        "--format=esm",
        # No tsconfig is looked for: esbuild refuses files that lie next to a malformed one.
        "--tsconfig-raw={}",
        "--log-level=error",
        "--log-limit=0",
        "--color=false",
    ]
    try:
        return run(args, cwd=root, env=environment(home=scratch), limits=limits(deadline))
    except OSError as error:
        raise InfrastructureError(f"esbuild could not be started: {error}") from error


def _parse_errors(done: Completed, tree: SourceTree) -> Iterator[Finding]:
    for match in _MESSAGE.finditer(done.stderr):
        source = tree[match["path"]]
        place = source.in_bytes(int(match["line"]), int(match["column"]))
        yield Finding(
            code="syntax/esbuild",
            message=match["text"],
            path=match["path"],
            line=place.line,
            column=place.column,
            excerpt=source.excerpt(place.line),
        )


def _leftovers(path: str, tree: SourceTree) -> Iterator[Finding]:
    source = tree[path]
    if not _SUSPECT.search(source.text):
        return
    for span in spans(source.text, jsx=PurePosixPath(path).suffix in JSX_SUFFIXES):
        text = source.text[span.start : span.end]
        if span.kind == "fence":
            indent = len(text) - len(text.lstrip())
            yield _leftover(
                "syntax/markdown-fence",
                "a markdown fence was left in the file",
                path,
                source,
                span.start + indent,
            )
        elif span.kind == "code":
            for match in _ENTITY.finditer(text):
                yield _leftover(
                    "syntax/html-entity",
                    f"the HTML entity {match.group()} stands in code",
                    path,
                    source,
                    span.start + match.start(),
                )


def _leftover(code: str, message: str, path: str, source: SourceText, offset: int) -> Finding:
    place = source.at(offset)
    return Finding(
        code=code,
        message=message,
        path=path,
        line=place.line,
        column=place.column,
        excerpt=source.excerpt(place.line),
    )
