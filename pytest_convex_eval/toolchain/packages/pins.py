"""Which npm packages the toolchain consists of: exact versions, and the digest of each tarball.

Only what runs is pinned: the native program of each tool for this platform without the Node shim
in front of it, oxlint's JavaScript entry point, and the source of Convex's lint plugin without
its dependencies (`lint_bundle` bundles it against a shim of ours). A lock file is no help: made
with a registry that lacks a platform's optional binaries, it breaks `npm ci` everywhere else.

`python -m pytest_convex_eval.toolchain.packages.pins oxlint=1.95.0 ...` moves pins to other
versions and asks the registry for the digests that are not known yet.
"""

from __future__ import annotations

import json
import platform
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain.packages.node import node_runtime
from pytest_convex_eval.toolchain.packages.npm import Npm

PINS = Path(__file__).with_name("pins.json")

PLATFORMS = (
    "linux-x64",
    "linux-arm64",
    "linux-x64-musl",
    "linux-arm64-musl",
    "darwin-x64",
    "darwin-arm64",
)

_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of the toolchain, at one version.

    `integrity` is the `sha512-…` of its tarball, or None where the registry had no such tarball
    when the pins were recorded; then only npm's own check against the registry's word applies.
    """

    program: str
    package: str
    version: str
    integrity: str | None

    @property
    def spec(self) -> str:
        return f"{self.package}@{self.version}"


def current_platform() -> str:
    """One of `PLATFORMS`. Raises InfrastructureError on any other machine."""
    machine = _MACHINES.get(platform.machine().lower(), platform.machine())
    # Node's wheel is built against the C library that Python is built against.
    musl = "-musl" if "musl" in str(sysconfig.get_config_var("SOABI")) else ""
    name = f"{sys.platform}-{machine}{musl}"
    if name not in PLATFORMS:
        raise InfrastructureError(
            f"there is no toolchain for {name}; it runs on {', '.join(PLATFORMS)}"
        )
    return name


def packages(platform_name: str) -> dict[str, str]:
    """The npm package of each program on a platform. `oxlint` itself loads `oxlint-binding`."""
    system = platform_name.removesuffix("-musl")
    if platform_name.startswith("linux"):
        binding = f"{system}-musl" if platform_name.endswith("-musl") else f"{system}-gnu"
    else:
        binding = system
    return {
        "esbuild": f"@esbuild/{system}",
        "typescript": f"@typescript/typescript-{system}",
        "oxlint": "oxlint",
        "oxlint-binding": f"@oxlint/binding-{binding}",
        "oxlint-tsgolint": f"@oxlint-tsgolint/{system}",
        "@convex-dev/eslint-plugin": "@convex-dev/eslint-plugin",
    }


def pins(platform_name: str) -> tuple[Pin, ...]:
    """Every package of the toolchain on a platform."""
    data = json.loads(PINS.read_text(encoding="utf-8"))
    versions: Mapping[str, str] = data["versions"]
    integrity: Mapping[str, str] = data["integrity"]
    return tuple(
        Pin(program, package, versions[program], integrity.get(f"{package}@{versions[program]}"))
        for program, package in packages(platform_name).items()
    )


def record(changes: Mapping[str, str], target: Path = PINS) -> list[str]:
    """Writes the pins to `target` with `changes` of program versions and the registry's digests.

    A digest once recorded is never asked for again: a published version does not change.
    Returns the packages that the registry lacks at that version: their integrity stays unknown.
    Raises InfrastructureError when the registry can't be asked, and ValueError for an unknown
    program.
    """
    data = json.loads(PINS.read_text(encoding="utf-8"))
    versions = {**data["versions"], **changes}
    known = packages(PLATFORMS[0]).keys()
    if unknown := versions.keys() - known:
        raise ValueError(f"no program is called {sorted(unknown)}; they are {sorted(known)}")
    npm = Npm(node_runtime())
    wanted = {
        (package, versions[program])
        for name in PLATFORMS
        for program, package in packages(name).items()
    }
    integrity: dict[str, str] = {}
    missing = []
    with tempfile.TemporaryDirectory(prefix="convex-eval-pins-") as scratch:
        for package, version in sorted(wanted):
            spec = f"{package}@{version}"
            digest = data["integrity"].get(spec) or npm.integrity(spec, Path(scratch))
            if digest is None:
                missing.append(spec)
            else:
                integrity[spec] = digest
    data = {"versions": dict(sorted(versions.items())), "integrity": integrity}
    target.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return missing


def _main(arguments: Iterable[str]) -> None:
    changes = dict(argument.rpartition("=")[::2] for argument in arguments)
    for spec in record(changes):
        print(f"no integrity recorded for {spec}: the registry has no such version")


if __name__ == "__main__":
    _main(sys.argv[1:])
