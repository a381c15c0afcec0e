"""What a run was made of: versions, fingerprints and settings, for whoever compares runs later."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval import __version__
from pytest_convex_eval.fingerprint import checker_fingerprint, package_fingerprint
from pytest_convex_eval.runs.machine import this_machine

if TYPE_CHECKING:
    from pytest_convex_eval.generation.arms import Arm
    from pytest_convex_eval.options import Settings
    from pytest_convex_eval.stages.protocol import Tools

_PACKAGES = ("pytest", "pytest-xdist", "pytest-timeout", "pydantic", "PyYAML")


def manifest(
    config: pytest.Config,
    settings: Settings,
    arms: Sequence[Arm],
    tools: Tools,
    case_paths: Iterable[Path],
    packages: Iterable[str] = (),
) -> dict[str, Any]:
    """Builtins only; `packages` are distributions whose versions matter too. Two runs whose
    `fingerprints` differ were not asked or judged the same."""
    from pytest_convex_eval.generation.prompts import INSTRUCTIONS

    cases = {_shown(path, config.rootpath): _digest(path.read_bytes()) for path in case_paths}
    prompts = {arm.name: _digest((INSTRUCTIONS + "\0" + arm.text).encode()) for arm in arms}
    return {
        "arguments": list(config.invocation_params.args),
        "settings": settings.to_json(),
        "versions": {
            "pytest-convex-eval": __version__,
            "python": platform.python_version(),
            "platform": f"{sys.platform}-{platform.machine()}",
            **{name: _version(name) for name in (*_PACKAGES, *packages)},
            **tools.toolchain.versions,
            "convex": tools.dependencies.default_set().convex_version,
        },
        "fingerprints": {
            "suite": _digest(repr(sorted(cases.items())).encode()),
            "prompts": prompts,
            "toolchain": tools.toolchain.fingerprint,
            "checker": checker_fingerprint(),
            "harness": package_fingerprint(),
        },
        "machine": asdict(this_machine(_workers(config))),
        "guidelines": {
            arm.name: {"limit": arm.limit, "files": [asdict(file) for file in arm.files]}
            for arm in arms
            if arm.files
        },
        "cases": cases,
    }


def _workers(config: pytest.Config) -> int | None:
    """xdist's; None where there is no `-n`."""
    workers = config.getoption("numprocesses", None)
    return workers if isinstance(workers, int) and workers else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
