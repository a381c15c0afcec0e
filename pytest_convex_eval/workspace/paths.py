"""Which of an answer's files go to disk, and what is said of those that do not.

A path of an answer is hostile input. It is judged as text, before anything touches the disk: what
passes is made only of plain names, so that it cannot leave the folder it is joined to on any
operating system. Two kinds of files are turned away:

* unsafe ones (`format/...`, errors): no honest answer needs such a path;
* those that the harness owns (`format/harness-owned`, warnings): compiler, linter and npm settings,
  lockfiles, secrets, generated code. Were they used, the model would configure its own examination;
  so they are not, and the answer is judged by the rest.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pytest_convex_eval.outcomes import Files, Finding

MAX_FILES = 500
MAX_FILE_BYTES = 1024 * 1024
MAX_TOTAL_BYTES = 8 * 1024 * 1024
MAX_PATH_BYTES = 400
MAX_NAME_BYTES = 200
"""Caps far above any honest answer, and below what file systems allow (255 bytes a name)."""

# Characters that Windows or a shell reads otherwise; with control characters they serve no honest
# file name. `*?` would also be read as globs by the tools that are given paths.
_UNUSUAL = re.compile(r'[<>:"|?*\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')
_DRIVE = re.compile(r"[A-Za-z]:")
# Windows opens a device under these names, whatever the extension and the case.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)

_UNSAFE_NAMES = frozenset({"node_modules", ".git"})

# What every workspace has: no file can stand where a folder does, nor the other way round.
_FOLDERS_OF_ALL = frozenset({"convex", "convex/_generated"})
_FILE_OF_ALL = "convex/tsconfig.json"

_OWNED_FOLDERS = frozenset({".convex"})
_OWNED_NAMES = {
    "the TypeScript configuration": ("tsconfig.json", "tsconfig.*.json", "jsconfig.json"),
    "the lint configuration": (
        ".eslintrc",
        ".eslintrc.*",
        ".eslintignore",
        "eslint.config.*",
        ".oxlintrc.json",
        ".oxlintrc.jsonc",
        "oxlint.config.*",
    ),
    "the package manager's settings": (
        ".npmrc",
        ".yarnrc",
        ".yarnrc.yml",
        ".pnpmfile.*",
        "bunfig.toml",
        "pnpm-workspace.yaml",
    ),
    "the lockfile": (
        "package-lock.json",
        "npm-shrinkwrap.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "bun.lock",
        "bun.lockb",
        "deno.lock",
    ),
    "the environment": (".env", ".env.*"),
}


@dataclass(frozen=True, slots=True)
class Admission:
    """What of an answer goes to disk, and what is said of the rest and of the whole."""

    files: Files
    findings: tuple[Finding, ...]


def admit(files: Files) -> Admission:
    """Judges all files of an answer: each path, each text, and the set as a whole.

    What is admitted has no error of its own; an answer with any error should not be laid out.
    """
    findings: list[Finding] = []
    admitted: dict[str, str] = {}
    for path, text in files.items():
        problem = problem_with(path) or _problem_with_text(path, text)
        if problem is None:
            admitted[path] = text
        else:
            findings.append(problem)
    for collision in _collisions(admitted):
        findings.append(collision)
        admitted.pop(collision.path or "", None)
    if len(files) > MAX_FILES:
        message = f"the answer has {len(files)} files; {MAX_FILES} are allowed"
        findings.append(Finding("format/too-many-files", message))
    total = sum(len(text.encode("utf-8", "surrogatepass")) for text in files.values())
    if total > MAX_TOTAL_BYTES:
        message = f"the answer has {total} bytes; {MAX_TOTAL_BYTES} are allowed"
        findings.append(Finding("format/too-large", message))
    return Admission(admitted, tuple(findings))


def problem_with(path: str) -> Finding | None:
    """Why `path` is not laid out, or None for a path that is.

    An error for an unsafe path; a warning for a file that the harness owns.
    """
    reason = _unsafe(path)
    if reason is not None:
        shown = path.encode("unicode_escape").decode("ascii")[:MAX_NAME_BYTES]
        return Finding("format/unsafe-path", f"the path {shown!r} {reason}")
    owned = _owned_as(path)
    if owned is not None:
        return Finding(
            "format/harness-owned",
            f"{path} is not used: {owned} is the harness's own",
            severity="warning",
            path=path,
        )
    return None


def _unsafe(path: str) -> str | None:
    """What is wrong with `path`, as the end of a sentence."""
    if not path:
        return "is empty"
    if path.startswith(("/", "~")) or _DRIVE.match(path):
        return "is not relative to the project"
    if "\\" in path:
        return "has a backslash; folders are separated by /"
    if _UNUSUAL.search(path):
        return "has a character that does not belong in a file name"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes"
    for name in path.split("/"):
        if not name:
            return "has an empty segment"
        if name in {".", ".."}:
            return f"has a {name!r} segment"
        if len(name.encode()) > MAX_NAME_BYTES:
            return f"has a name longer than {MAX_NAME_BYTES} bytes"
        if name != name.strip() or name.endswith(".") or _DEVICE.fullmatch(name):
            return "has a name that not every file system can hold"
        if _folded(name) in _UNSAFE_NAMES:
            return f"lies in {name}, where only tools write"
    if _folded(path) in _FOLDERS_OF_ALL:
        return "is a folder of every Convex project"
    if _folded(path).startswith(f"{_FILE_OF_ALL}/"):
        return f"lies in {_FILE_OF_ALL}, which is a file"
    return None


def _owned_as(path: str) -> str | None:
    """What the harness owns `path` as, if it does."""
    *folders, name = _folded(path).split("/")
    if name == "convex.json" and not folders:
        return "the Convex project's configuration"
    if "_generated" in folders and folders[0] == "convex":
        return "generated code"
    if _OWNED_FOLDERS.intersection(folders):
        return "the deployment's state"
    for owned, patterns in _OWNED_NAMES.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return owned
    return None


def _problem_with_text(path: str, text: str) -> Finding | None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        message = f"{path} holds half of a surrogate pair, which no file can"
        return Finding("format/not-unicode", message, path=path)
    if size > MAX_FILE_BYTES:
        message = f"{path} has {size} bytes; {MAX_FILE_BYTES} are allowed"
        return Finding("format/too-large", message, path=path)
    return None


def _collisions(paths: Iterable[str]) -> Iterable[Finding]:
    """Files that would be one file, or a file and a folder, where case or accents are folded."""
    named: dict[str, str] = {}
    folders: dict[str, str] = {}
    ordered = list(paths)
    for path in ordered:
        parts = _folded(path).split("/")
        for end in range(1, len(parts)):
            folders.setdefault("/".join(parts[:end]), path)
    for path in ordered:
        key = _folded(path)
        other = named.setdefault(key, path)
        if other != path:
            message = f"{path} and {other} are one file on many systems"
            yield Finding("format/path-conflict", message, path=path)
        elif key in folders:
            message = f"{path} is both a file and the folder of {folders[key]}"
            yield Finding("format/path-conflict", message, path=path)


def _folded(text: str) -> str:
    """`text` as a file system that ignores case and composition would compare it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
