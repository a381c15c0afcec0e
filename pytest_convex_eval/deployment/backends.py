"""Which deployment answers are pushed to: what `--convex-backend` says, made ready to start.

Light to import: what a backend needs is imported when one is made ready.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from pytest_convex_eval.outcomes import ConfigurationError

if TYPE_CHECKING:
    from pytest_convex_eval.deployment.contract import Deployment

ADMIN_KEY_VARIABLE = "CONVEX_EVAL_ADMIN_KEY"

BackendKind: TypeAlias = Literal["embedded", "local", "url"]

DEFAULT_RELEASE = "precompiled-2026-09-15-4e9b83a"
"""One that CLI 1.48 names. Never "the newest": two runs with the same settings use the same one."""

_LOCAL = "local="
_RELEASE = re.compile(r"precompiled-\d{4}-\d{2}-\d{2}-[\w.-]+")


@dataclass(frozen=True, slots=True)
class Backend:
    """`where` is the program's path or the release's tag of a local backend, and a deployment's
    URL; None for the embedded one. `production`: one in production may be used."""

    kind: BackendKind = "embedded"
    where: str | None = None
    production: bool = False

    @property
    def shown(self) -> str:
        """What the run's header calls it."""
        if self.kind == "embedded":
            return "embedded deployment"
        if self.kind == "local":
            return f"local backend {self.where}"
        return f"deployment {self.where} (one item at a time)"


def parse_backend(text: str, folder: Path, *, production: bool = False) -> Backend:
    """`embedded`, `local`, `local=PATH`, `local=RELEASE` or a URL; `folder` is what a relative
    path is relative to. Raises ValueError for anything else."""
    if text == "embedded":
        return Backend()
    if text == "local":
        return Backend("local", DEFAULT_RELEASE)
    if text.startswith(_LOCAL) and (where := text.removeprefix(_LOCAL)):
        if _RELEASE.fullmatch(where):
            return Backend("local", where)
        return Backend("local", str(folder / Path(where).expanduser()))
    parts = urlsplit(text)
    if parts.scheme in ("http", "https") and parts.hostname:
        if parts.username or parts.password or parts.query or parts.path.strip("/"):
            raise ValueError(
                f"{parts.scheme}://{parts.hostname} must come alone: no user, path or query; the "
                f"admin key is the environment's {ADMIN_KEY_VARIABLE}"
            )
        port = "" if parts.port is None else f":{parts.port}"
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return Backend("url", f"{parts.scheme}://{host}{port}", production)
    raise ValueError(f"{text!r} is neither embedded, local, local=PATH nor an http(s) URL")


def make_ready(
    backend: Backend,
    *,
    node: Path,
    cache: Path,
    progress: Callable[[str], None],
    environment: Mapping[str, str] = os.environ,
) -> Callable[[], Deployment]:
    """Gives deployments of a backend, not started yet; what they need is installed first.

    Raises ConfigurationError for a program, a key or a URL that can't be used, and
    InfrastructureError for a download that fails and a deployment that does not answer or take its
    key.
    """
    if backend.kind == "embedded":
        from pytest_convex_eval.deployment.embedded import EmbeddedDeployment

        return lambda: EmbeddedDeployment(node, cache=cache)
    if backend.kind == "local":
        from pytest_convex_eval.deployment.local import LocalDeployment

        program = _program(backend.where or DEFAULT_RELEASE, cache, progress, environment)
        return lambda: LocalDeployment(program, node=node)
    from pytest_convex_eval.deployment.client import Client
    from pytest_convex_eval.deployment.official_api import OfficialApi
    from pytest_convex_eval.deployment.remote import RemoteDeployment, check_target

    url, key = backend.where or "", environment.get(ADMIN_KEY_VARIABLE, "").strip()
    if not key:
        raise ConfigurationError(
            f"--convex-backend {url} needs the deployment's admin key in the environment variable "
            f"{ADMIN_KEY_VARIABLE}"
        )
    check_target(url, key, production=backend.production)
    # Now, and not when the first reply was paid for.
    OfficialApi(Client(url, key)).check_key()
    return lambda: RemoteDeployment(url, key, cache / "locks")


def _program(
    where: str,
    cache: Path,
    progress: Callable[[str], None],
    environment: Mapping[str, str],
) -> Path:
    from pytest_convex_eval.deployment import releases
    from pytest_convex_eval.once import made_once

    if not _RELEASE.fullmatch(where):
        program = Path(where)
        if not program.is_file() or not os.access(program, os.X_OK):
            raise ConfigurationError(f"--convex-backend local={where}: no program is there")
        return program
    source = environment.get(releases.RELEASES_VARIABLE) or releases.RELEASES
    return made_once(
        # Folders that are made once have no dot in their name.
        cache / "backends" / f"{where}-{releases.asset_name()}".replace(".", "_"),
        what=f"the Convex backend {where}",
        load=releases.load,
        build=lambda root: releases.download(where, root, source, progress),
        progress=progress,
    )
