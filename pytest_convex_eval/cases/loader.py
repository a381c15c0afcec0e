"""A case file becomes a `LoadedCase`, or every problem of it with its `file:line:column`."""

from __future__ import annotations

import difflib
import hashlib
import json
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, Tag, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from pytest_convex_eval.behaviour.checks import block_problems
from pytest_convex_eval.cases.model import STAGES_KEY, Case, Slug
from pytest_convex_eval.cases.source import Location, Problem, Source, read_source
from pytest_convex_eval.outcomes import (
    DIFFICULTIES,
    CaseError,
    CaseFingerprint,
    Difficulty,
    StageName,
)
from pytest_convex_eval.places import Position
from pytest_convex_eval.stages.table import STAGES

_Adder: TypeAlias = Callable[[Position, str], None]

_MOST_FOLDER_BYTES = 4 * 1024 * 1024
_SLUG: TypeAdapter[str] = TypeAdapter(Slug)


@dataclass(frozen=True, slots=True)
class LoadedCase:
    """A case with where it came from. `name` is the file's, without its ending."""

    case: Case
    path: Path
    name: str
    category: str
    difficulty: Difficulty
    source: Source

    def fingerprint(self) -> CaseFingerprint:
        """What tells this case from what it was in another run."""
        written: Mapping[str, object] = self.source.data
        return CaseFingerprint(
            prompt=_digest([self.case.prompt.strip(), dict(self.case.files)]),
            # As they were written: what a default means is the checker's.
            checks=_digest([written.get(key) for key in _CHECKS]),
            reference=_digest(dict(self.case.reference)),
        )


_CHECKS = ("expect", "behaviour", "lint", "env")


def _digest(value: object) -> str:
    # Keys of a mapping may be numbers, and stand in any order.
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class CaseProblemsError(CaseError):
    """What is wrong with a case file, in the order of the file; never empty."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load_case(path: Path, shown: str, stages: Collection[StageName] = STAGES) -> LoadedCase:
    """The case in the YAML file `path`, which messages call `shown`; `stages` are all that there
    are.

    Raises CaseProblemsError with every problem of the file; OSError for one that cannot be read.
    """
    source = read_source(path)
    problems = [Problem(shown, position, message) for position, message in source.problems]

    def add(position: Position, message: str) -> None:
        problems.append(Problem(shown, position, message))

    if source.data is None and problems:
        raise CaseProblemsError(problems)
    if not isinstance(source.data, dict):
        raise CaseProblemsError(
            [Problem(shown, Position(), "a case is a mapping of keys to values")]
        )
    data = dict(source.data)
    readable = True
    for key in ("reference", "files"):
        try:
            data[key] = _with_folder(data[key], path.parent)
        except KeyError:
            pass
        except _FolderError as problem:
            add(source.position((key, "from")), f"{key}: {problem}")
            data[key] = {"package.json": "{}"}
            readable = False
    try:
        case = Case.model_validate(data, context={STAGES_KEY: stages})
    except ValidationError as error:
        for details in error.errors():
            # A list whose items are all wrong counts as empty too: that says nothing new.
            if details["type"] != "too_short" or not details["input"]:
                add(*_explain(details, source))
        case = None
    if case is not None:
        for location, message in _cross_checks(case, project_known=readable):
            add(source.position(location), message)
    category, difficulty = _place(path, case, add)
    if not _is_slug(path.stem):
        add(Position(), f"the file's name {path.stem!r} must be lower-case words joined by _ or -")
    if problems or case is None or category is None or difficulty is None:
        raise CaseProblemsError(sorted(problems, key=lambda problem: problem.position))
    return LoadedCase(case, path, path.stem, category, difficulty, source)


_WORDS = {
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}
"""What YAML authors call what pydantic names by its Python type."""


class _FolderError(Exception):
    """What `{from: folder}` names can't be read as files."""


def _with_folder(value: object, beside: Path) -> object:
    """`value`, with `{from: folder}` replaced by the texts of the folder's files."""
    if not isinstance(value, dict) or list(value) != ["from"]:
        return value
    folder = (beside / str(value["from"])).resolve()
    if not folder.is_relative_to(beside.resolve()) or folder == beside.resolve():
        raise _FolderError(f"{value['from']!r} is not a folder below the case file's")
    if not folder.is_dir():
        raise _FolderError(f"there is no folder {value['from']!r} beside the case file")
    files: dict[str, str] = {}
    total = 0
    for file in sorted(folder.rglob("*")):
        relative = file.relative_to(folder)
        if "node_modules" in relative.parts or "_generated" in relative.parts or file.is_dir():
            continue
        if file.is_symlink() or not file.resolve().is_relative_to(folder):
            raise _FolderError(f"{relative.as_posix()!r} is a symbolic link")
        total += file.stat().st_size
        if total > _MOST_FOLDER_BYTES:
            raise _FolderError(f"holds more than {_MOST_FOLDER_BYTES} bytes")
        try:
            files[relative.as_posix()] = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise _FolderError(f"{relative.as_posix()!r} is not UTF-8 text") from None
    return files


def _explain(details: ErrorDetails, source: Source) -> tuple[Position, str]:
    """Where and in which words to report one of pydantic's errors."""
    full: Location = tuple(details["loc"])
    location = tuple(part for part in full if not _is_tag(part))
    dotted = _dotted(location)
    kind = details["type"]
    if kind == "extra_forbidden":
        key = str(location[-1])
        known = _known_keys(full[:-1])
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]!r}?" if close else _among(known)
        return source.key_position(location), f"unknown key {_dotted(location)!r}{hint}"
    if kind == "union_tag_invalid":
        verbs = [name.strip("'<> ") for name in str(details["ctx"]["expected_tags"]).split(",")]
        given = [str(key) for key in details["input"]] if isinstance(details["input"], dict) else []
        pairs = [(key, difflib.get_close_matches(key, verbs, n=1)) for key in given]
        hint = next((f"; did you mean {close[0]!r}?" for _, close in pairs if close), "")
        message = f"{dotted}: a step says what it does by one of {', '.join(verbs)}{hint}"
        return source.position(location), message
    if kind == "missing":
        return source.position(location[:-1]), f"missing key {dotted!r}"
    message = _WORDS.get(kind) or details["msg"].removeprefix("Value error, ")
    if kind == "string_type" and isinstance(details["input"], int | float | bool):
        message = f"{message}; quote it"
    if kind == "literal_error":
        known = [str(value) for value in _literals(details)]
        close = difflib.get_close_matches(str(details["input"]), known, n=1, cutoff=0.5)
        message += f"; did you mean {close[0]!r}?" if close else ""
    of_key = location[-1:] == ("[key]",)
    place = source.key_position(location[:-1]) if of_key else source.position(location)
    return place, f"{dotted}: {message}"


def _dotted(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text.removesuffix(".[key]")


def _among(known: list[str]) -> str:
    return f"; known here: {', '.join(known)}" if known else ""


def _literals(details: ErrorDetails) -> list[str]:
    expected = str(details.get("ctx", {}).get("expected", ""))
    return [part.strip(" '\"") for part in expected.replace(" or ", ",").split(",")]


def _known_keys(location: Location) -> list[str]:
    """The keys that the model at `location` takes."""
    model: object = Case
    for part in location:
        model = _inside(model, part)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [field.alias or name for name, field in model.model_fields.items()]
    return []


def _is_tag(part: str | int) -> bool:
    """Whether `part` names a member of a union, and is no key of the file."""
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")


def _inside(model: object, part: str | int) -> object:
    """The type of what `part` leads to within `model`, or None where it can't be told."""
    if _is_tag(part):
        return _members(model).get(str(part))
    if isinstance(model, type) and issubclass(model, BaseModel):
        field = model.model_fields.get(str(part))
        return _bare(field.annotation) if field else None
    arguments = get_args(model)
    return _bare(arguments[-1 if get_origin(model) is dict else 0]) if arguments else None


def _members(annotation: object) -> dict[str, object]:
    """The members of a union of steps, by tag."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return {}
    return {
        extra.tag: get_args(member)[0]
        for member in get_args(annotation)
        if get_origin(member) is Annotated
        for extra in get_args(member)[1:]
        if isinstance(extra, Tag)
    }


def _bare(annotation: object) -> object:
    """`annotation` without Annotated and without None beside it; a union with tags stays."""
    if _members(annotation):
        return annotation
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _bare(next(a for a in get_args(annotation) if a is not type(None)))
    return annotation


def _cross_checks(case: Case, *, project_known: bool) -> Iterator[tuple[Location, str]]:
    """What no single field can tell; what mutants change only where the reference is known."""
    for index, block in enumerate(case.behaviour):
        yield from block_problems(block, ("behaviour", index))
    project = {**case.files, **case.reference}
    seen: set[str] = set()
    for index, mutant in enumerate(case.mutants):
        here: Location = ("mutants", index)
        if mutant.name in seen:
            yield (*here, "name"), f"a mutant called {mutant.name!r} stands above"
        seen.add(mutant.name)
        if not project_known:
            continue
        for path, replacements in mutant.edit.items():
            if path not in project:
                close = difflib.get_close_matches(path, project, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                yield (*here, "edit", path), f"the reference has no file {path!r}{hint}"
                continue
            for number, replacement in enumerate(replacements):
                times = project[path].count(replacement.replace)
                if times != 1:
                    count = "nowhere" if times == 0 else f"{times} times"
                    yield (
                        (*here, "edit", path, number, "replace"),
                        f"must stand in {path} exactly once, and stands there {count}",
                    )
        for path, text in mutant.files.items():
            if text is None and path not in project:
                yield (*here, "files", path), f"the reference has no file {path!r} to take away"


def _place(path: Path, case: Case | None, add: _Adder) -> tuple[str | None, Difficulty | None]:
    """Category and difficulty: what the file says, else the two folders above it."""
    above = path.resolve().parent
    if case is not None and case.difficulty is not None:
        return case.category or _category_above(above, add), case.difficulty
    for difficulty in DIFFICULTIES:
        if above.name == difficulty:
            given = case.category if case is not None else None
            return given or _category_above(above.parent, add), difficulty
    close = difflib.get_close_matches(above.name, DIFFICULTIES, n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    add(
        Position(),
        f"no difficulty: the folder {above.name!r}{hint} is none of {', '.join(DIFFICULTIES)}; put "
        "the file below <category>/<difficulty>/, or say 'category' and 'difficulty' in it",
    )
    return None, None


def _category_above(folder: Path, add: _Adder) -> str | None:
    if _is_slug(folder.name):
        return folder.name
    add(
        Position(),
        f"no category: the folder {folder.name!r} must be lower-case words joined by _ or -",
    )
    return None


def _is_slug(text: str) -> bool:
    try:
        _SLUG.validate_python(text)
    except ValidationError:
        return False
    return True
