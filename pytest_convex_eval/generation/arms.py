"""Guidelines that an arm stands for: a text, or a folder of skills and AGENTS.md files.

A coding agent finds a folder's files by itself. A model that answers in one reply gets them all in
its prompt, as far as there is room, in one order: in each folder AGENTS.md, CLAUDE.md, SKILL.md and
README.md come first, then the others by their names, and then its folders by theirs. So what is
general comes before what is particular, and a skill's own text before what it refers to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pytest_convex_eval.generation.pricing import CHARACTERS_PER_TOKEN
from pytest_convex_eval.outcomes import ConfigurationError

DEFAULT_MAX_GUIDELINE_TOKENS = 50_000
"""Of a folder: a quarter of the context of the smallest current models."""

_FIRST = ("agents.md", "claude.md", "skill.md", "readme.md")
_SUFFIXES = frozenset({".md", ".mdc", ".mdx", ".markdown", ".txt"})
_HIDDEN = frozenset({".agents", ".claude", ".codex", ".cursor", ".github"})
"""Hidden folders where agents look for guidelines; others are passed over."""
_PASSED_OVER = frozenset({"node_modules"})
_MOST_FILES = 2_000
_MOST_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class GuidelineFile:
    """A file of a folder; `tokens` are a guess, `loaded` says that it is in the prompt."""

    path: str
    tokens: int
    loaded: bool


@dataclass(frozen=True, slots=True)
class Arm:
    """A named guidelines text; empty for the arm `none`. `files` are those of a folder that it was
    made of, in their order, and `limit` the most tokens that they may have."""

    name: str
    text: str
    files: tuple[GuidelineFile, ...] = ()
    limit: int | None = None

    @property
    def fingerprint(self) -> str:
        """Tells apart two texts that went by one name: 16 hexadecimal digits."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def shown(self) -> str | None:
        """What was taken of a folder, for a person; None for what is none."""
        if not self.files:
            return None
        loaded = [file for file in self.files if file.loaded]
        left = [f"{file.path} ({file.tokens:,})" for file in self.files if not file.loaded]
        text = (
            f"guidelines {self.name}: {len(loaded)} of {len(self.files)} files, about "
            f"{sum(file.tokens for file in loaded):,} tokens of at most {self.limit:,}"
        )
        return text + (f"; left out: {', '.join(left)}" if left else "")


def load_guidelines(spec: str, max_tokens: int = DEFAULT_MAX_GUIDELINE_TOKENS) -> Arm:
    """The arm that `spec` stands for: `default`, `none`, a path, or `name=path`.

    An arm given by its path alone is called like the file without its suffix, or like the folder.
    Of a folder, a file that does not fit into what is left of `max_tokens` is left out, and the
    next ones are tried. Raises ConfigurationError for what can't be read, for a folder without
    guidelines, and for a name that is empty or taken.
    """
    if spec == "none":
        return Arm("none", "")
    if spec == "default":
        package = resources.files("pytest_convex_eval.generation")
        return Arm("default", (package / "guidelines" / "default.md").read_text("utf-8"))
    name, separator, path = spec.partition("=")
    if not separator:
        place = Path(spec)
        name, path = place.resolve().name if place.is_dir() else place.stem, spec
        taken_hint = f"; give it one as in mine={path}"
    else:
        taken_hint = ""
    if not name.strip() or not path:
        raise ConfigurationError(f"guidelines {spec!r} are neither a path nor name=path")
    if name in ("default", "none"):
        raise ConfigurationError(f"guidelines can't be called {name!r}: it is taken{taken_hint}")
    try:
        if Path(path).is_dir():
            return _of_folder(name.strip(), Path(path), max_tokens)
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"guidelines {spec!r} are neither default, none nor a readable file: {error}"
        ) from error
    return Arm(name.strip(), text)


def _of_folder(name: str, folder: Path, max_tokens: int) -> Arm:
    """Raises ConfigurationError for a folder without guidelines, OSError, UnicodeDecodeError."""
    parts: list[str] = []
    files: list[GuidelineFile] = []
    known: set[str] = set()
    left = max_tokens
    for path in _walk(folder):
        if path.stat().st_size > _MOST_FILE_BYTES:
            raise ConfigurationError(f"{path} is larger than {_MOST_FILE_BYTES:,} bytes")
        text = path.read_text("utf-8").strip()
        # Many keep one text under two names: CLAUDE.md is often a link to AGENTS.md.
        if not text or text in known:
            continue
        known.add(text)
        shown = path.relative_to(folder).as_posix()
        part = f'<document path="{shown}">\n{text}\n</document>\n'
        tokens = round(len(part) / CHARACTERS_PER_TOKEN)
        fits = tokens <= left
        if fits:
            left -= tokens
            parts.append(part)
        files.append(GuidelineFile(shown, tokens, fits))
        if len(files) > _MOST_FILES:
            raise ConfigurationError(f"{folder} has more than {_MOST_FILES:,} files of guidelines")
    if not parts:
        raise ConfigurationError(
            f"the folder {folder} holds no guidelines ({', '.join(sorted(_SUFFIXES))})"
            + (f" of at most {max_tokens:,} tokens" if files else "")
        )
    return Arm(name, "\n".join(parts), tuple(files), max_tokens)


def _walk(folder: Path) -> Iterator[Path]:
    """The files of guidelines below `folder`, in their order; links to folders are not followed."""

    def order(path: Path) -> tuple[int, str]:
        name = path.name.lower()
        return (_FIRST.index(name) if name in _FIRST else len(_FIRST), path.name)

    entries = list(folder.iterdir())
    for path in sorted(entries, key=order):
        if path.suffix.lower() in _SUFFIXES and path.is_file():
            yield path
    for path in sorted(entries, key=lambda path: path.name):
        hidden = path.name.startswith(".") and path.name not in _HIDDEN
        passed_over = hidden or path.name in _PASSED_OVER or path.is_symlink()
        if path.is_dir() and not passed_over:
            yield from _walk(path)
