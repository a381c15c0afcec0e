"""The official backend's published releases: one program a platform, in a zip file.

A release is described by GitHub's API, with the SHA-256 of each file. What is fetched is named by
its tag, never "the newest": two runs with the same settings use the same backend.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from pytest_convex_eval.outcomes import InfrastructureError

RELEASES_VARIABLE = "CONVEX_EVAL_RELEASES"
"""Names another place than GitHub's API, a mirror's say: `<it>/tags/<tag>` describes a release."""
RELEASES = "https://api.github.com/repos/get-convex/convex-backend/releases"


PROGRAM = "convex-local-backend"
READ_SECONDS = 30.0
"""For the next bytes to come."""
DOWNLOAD_SECONDS = 900.0
ATTEMPTS = 3

T = TypeVar("T")

_MARKER = "release.json"
_CHUNK = 256 * 1024
_SYSTEMS = {"linux": "unknown-linux-gnu", "darwin": "apple-darwin"}
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


class _Asset(BaseModel):
    name: str
    size: int
    digest: str | None = None
    browser_download_url: str


class _Release(BaseModel):
    tag_name: str
    assets: tuple[_Asset, ...]


class _Marker(BaseModel):
    tag: str
    asset: str
    sha256: str
    program_bytes: int


class _InterruptedError(Exception):
    """A transfer that ended early: worth another attempt."""


def asset_name() -> str:
    """The file of a release for this machine. Raises InfrastructureError where there is none."""
    machine = _MACHINES.get(platform.machine().lower())
    system = _SYSTEMS.get(sys.platform)
    if machine is None or system is None or "musl" in str(sysconfig.get_config_var("SOABI")):
        raise InfrastructureError(
            f"there is no official Convex backend for {sys.platform} on {platform.machine()}; "
            "use --convex-backend embedded"
        )
    return f"{PROGRAM}-{machine}-{system}.zip"


def load(root: Path) -> Path | None:
    """The program that `download` put into `root`; None when it is not whole."""
    program = root / PROGRAM
    try:
        marker = _Marker.model_validate_json((root / _MARKER).read_bytes())
        return program if program.stat().st_size == marker.program_bytes else None
    except (OSError, ValidationError):
        return None


def download(tag: str, root: Path, releases: str, progress: Callable[[str], None]) -> None:
    """Fetches the program of a release into the folder `root`, and checks its digest.

    `releases` is `RELEASES` or what stands for it; `progress` is told a line now and then. Raises
    InfrastructureError: no network, no such release, a file that is not the published one.
    """
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    name = asset_name()
    release = _described(f"{releases.rstrip('/')}/tags/{tag}", tag, deadline)
    asset = next((each for each in release.assets if each.name == name), None)
    if asset is None:
        raise InfrastructureError(f"the release {tag} has no {name}; name another one")
    algorithm, _, expected = (asset.digest or "").partition(":")
    if algorithm != "sha256":
        raise InfrastructureError(
            f"no SHA-256 is published for {name} of {tag}: download it yourself, and say where it "
            "is with --convex-backend local=PATH"
        )
    archive = root / name
    _attempted(lambda: _fetch(asset, archive, deadline, progress), name)
    actual = hashlib.sha256(archive.read_bytes()).hexdigest()
    if actual != expected.lower():
        raise InfrastructureError(
            f"{name} of {tag} is not the published file: its SHA-256 is {actual}, and not "
            f"{expected}"
        )
    program = _unpack(archive, root)
    archive.unlink()
    marker = _Marker(tag=tag, asset=name, sha256=actual, program_bytes=program.stat().st_size)
    (root / _MARKER).write_text(marker.model_dump_json(indent=1), encoding="utf-8")


def _described(url: str, tag: str, deadline: float) -> _Release:
    def read() -> _Release:
        with _opened(url) as response:
            return _Release.model_validate(json.loads(_rest(response, deadline)))

    try:
        return _attempted(read, f"the description of {tag}")
    except (ValueError, ValidationError) as error:
        raise InfrastructureError(
            f"{url} does not describe a release", detail=str(error)
        ) from error


def _fetch(asset: _Asset, target: Path, deadline: float, progress: Callable[[str], None]) -> None:
    got, told = 0, 0
    with _opened(asset.browser_download_url) as response, target.open("wb") as file:
        while chunk := response.read(_CHUNK):
            _check_time(deadline)
            file.write(chunk)
            got += len(chunk)
            tenth = min(got * 10 // max(asset.size, 1), 10)
            if tenth > told:
                told = tenth
                progress(f"{asset.name}: {got / 1e6:.1f} of {asset.size / 1e6:.1f} MB")
    if got != asset.size:
        raise _InterruptedError(f"{got} of {asset.size} bytes came")


def _attempted(work: Callable[[], T], what: str) -> T:
    """`work`, again where its transfer broke off or the other side had trouble of its own."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work()
        except urllib.error.HTTPError as error:
            with error:
                if error.code < 500 or attempt == ATTEMPTS:
                    raise InfrastructureError(
                        f"{what} can't be downloaded: {error.url} answers HTTP {error.code}"
                    ) from error
        except (OSError, HTTPException, _InterruptedError) as error:
            if attempt == ATTEMPTS:
                raise InfrastructureError(f"{what} can't be downloaded: {error}") from error
    raise AssertionError("an attempt returns or raises")


def _opened(url: str) -> HTTPResponse:
    if urlsplit(url).scheme not in ("http", "https"):
        raise InfrastructureError(f"not an http address: {url}")
    headers = {"User-Agent": "pytest-convex-eval", "Accept": "*/*"}
    request = urllib.request.Request(url, headers=headers)
    return cast(HTTPResponse, urllib.request.urlopen(request, timeout=READ_SECONDS))


def _rest(response: HTTPResponse, deadline: float) -> bytes:
    content = bytearray()
    while chunk := response.read(_CHUNK):
        _check_time(deadline)
        content += chunk
    return bytes(content)


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise InfrastructureError(
            f"the official backend could not be downloaded within {DOWNLOAD_SECONDS:g} s"
        )


def _unpack(archive: Path, root: Path) -> Path:
    """The program alone: what else the archive holds is not needed."""
    program = root / PROGRAM
    try:
        with (
            zipfile.ZipFile(archive) as zipped,
            zipped.open(PROGRAM) as source,
            program.open("wb") as file,
        ):
            shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise InfrastructureError(f"{archive.name} holds no {PROGRAM}: {error}") from error
    program.chmod(0o755)
    return program
