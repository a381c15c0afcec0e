"""What npm makes of the text behind a dependency's name in package.json.

`classify` follows npm's documented forms of a dependency
(https://docs.npmjs.com/cli/configuring-npm/package-json#dependencies); ranges are those of npm's
`semver`, in the loose form that npm itself uses. The arithmetic is node-semver's; where that is
more lenient than npm's own, on text that no registry holds but a model may write, it is put right
here. The tests compare both with npm's own programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal, TypeAlias

import nodesemver

SpecKind: TypeAlias = Literal["range", "tag", "alias", "git", "url", "file", "workspace", "invalid"]
"""What a dependency's text is. Only a range (exact versions among them) and a tag come from the
registry under the declared name; the others run or fetch whatever their author likes."""

MAX_SPEC_CHARACTERS = 256
"""Longer ones are invalid: model-written text must not reach a backtracking pattern at any length.
npm sets the same limit on a single version (MAX_LENGTH of its `semver`)."""

_MAX_SAFE_INTEGER = 2**53 - 1
_FILE = re.compile(r"file:|[.]|~/|/|[a-z]:", re.IGNORECASE)
_HOSTED = re.compile(r"(?:github|gitlab|bitbucket|gist):", re.IGNORECASE)
_OWNER_AND_REPOSITORY = re.compile(r"[^@/:\s.~-][^@/:\s]*/[^/\s#]+(?:#.*)?")
_GIT_BY_SSH = re.compile(r"[^@/\s]+@[^:/\s]+[:/]\S+")
_GIT_URL = re.compile(
    r"git(?:\+[a-z]+)?:|https?://(?:www\.)?(?:github\.com|gitlab\.com|bitbucket\.org)/[^/]+/[^/]+/?$",
    re.IGNORECASE,
)
_URL = re.compile(r"(?:git\+)?[a-z]+:", re.IGNORECASE)
_TARBALL = re.compile(r"\.(?:tgz|tar\.gz|tar)$", re.IGNORECASE)
# What JavaScript's encodeURIComponent leaves as it is: npm's rule for the name of a tag.
_UNESCAPED = re.compile(r"[A-Za-z0-9_.!~*'()-]+")

_NUMBER = re.compile(r"\d+")
_NUMBER_BEHIND_WILDCARD = re.compile(r"(?:^|[\s<>=~^v|.])[xX*]\.\d")
_BUILD = re.compile(r"\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*")


# A model may declare ten thousand packages; most of their texts are the same few.
@lru_cache(maxsize=1024)
def classify(spec: str) -> SpecKind:
    """The kind of a dependency's text, decided as npm decides it. Never raises."""
    if len(spec) > MAX_SPEC_CHARACTERS or not spec.isascii():
        return "invalid"
    lowered = spec.lower()
    if _FILE.match(spec):
        return "file"
    if lowered.startswith("npm:"):
        return "alias"
    if lowered.startswith("workspace:"):
        return "workspace"
    if _HOSTED.match(spec) or _GIT_URL.match(spec):
        return "git"
    if _URL.match(spec):
        return "url" if lowered.startswith(("http:", "https:")) else "invalid"
    if _OWNER_AND_REPOSITORY.fullmatch(spec) or _GIT_BY_SSH.fullmatch(spec):
        return "git"
    if "/" in spec or _TARBALL.search(spec):
        return "file"
    if is_valid_range(spec):
        return "range"
    return "tag" if _UNESCAPED.fullmatch(spec.strip()) else "invalid"


def is_valid_range(text: str) -> bool:
    """Whether npm takes `text` for a range (an exact version and the empty text are ranges)."""
    return _parse(text) is not None


def satisfies(version: str, range_: str) -> bool:
    """Whether `version` lies inside `range_`; False where either is none.

    A prerelease lies inside only where the range names a prerelease of the same version.
    """
    return max_satisfying(range_, [version]) is not None


def max_satisfying(range_: str, versions: Iterable[str]) -> str | None:
    """The highest of `versions` inside `range_`; None where there is none or no such range."""
    parsed = _parse(range_)
    if parsed is None:
        return None
    known = [version for version in versions if nodesemver.valid(version, True)]
    found: str | None = nodesemver.max_satisfying(known, parsed, loose=True)
    return found


def pick(spec: str, versions: Iterable[str], tags: Mapping[str, str]) -> str | None:
    """The version that npm installs for `spec`, or None where nothing published fits.

    npm's rule: a tag is what it points to; a range is `latest` where that fits, else the highest
    version that does (https://github.com/npm/npm-pick-manifest#algorithm). Its demotion of
    deprecated versions is left out: Convex has published none.
    """
    match classify(spec):
        case "tag":
            return tags.get(spec.strip())
        case "range":
            latest = tags.get("latest")
            if latest is not None and satisfies(latest, spec):
                return latest
            return max_satisfying(spec, versions)
        case _:
            return None


def _parse(text: str) -> nodesemver.Range | None:
    if len(text) > MAX_SPEC_CHARACTERS or not text.isascii():
        return None
    # node-semver accepts both of these where npm accepts neither, and gives up on build metadata
    # that npm leaves out of account.
    if any(int(digits) > _MAX_SAFE_INTEGER for digits in _NUMBER.findall(text)):
        return None
    if _NUMBER_BEHIND_WILDCARD.search(text):
        return None
    try:
        return nodesemver.make_range(_BUILD.sub("", text), True)
    except ValueError:
        return None
