"""Which versions of `convex` there are: a dated snapshot that is part of the package.

A range resolved from the snapshot gives the same version on every machine and without a network.
`python -m pytest_convex_eval.toolchain.packages.published` takes a new one from the registry.
"""

from __future__ import annotations

import datetime
import functools
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain.packages import ranges
from pytest_convex_eval.toolchain.packages.node import node_runtime
from pytest_convex_eval.toolchain.packages.npm import Npm

SNAPSHOT = Path(__file__).with_name("published.json")


@dataclass(frozen=True, slots=True)
class Published:
    """The versions of one package, oldest first, and its tags, on `date` (ISO 8601, UTC)."""

    package: str
    date: str
    tags: Mapping[str, str]
    versions: tuple[str, ...]

    @property
    def newest(self) -> str:
        """What npm installs when asked for no version in particular."""
        return self.tags["latest"]

    def resolve(self, spec: str) -> str | None:
        """The version that npm would install for `spec`, or None where none fits."""
        return ranges.pick(spec, self.versions, self.tags)


@functools.cache
def convex_snapshot() -> Published:
    """The shipped snapshot of `convex`."""
    data = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return Published(**{**data, "versions": tuple(data["versions"])})


def resolve_convex(spec: str) -> str | None:
    """The one version that an answer's `convex` range or tag stands for in every run.

    None where the snapshot holds none: the range may then mean a newer version, or nothing.
    """
    return convex_snapshot().resolve(spec)


def refresh(target: Path = SNAPSHOT) -> Published:
    """Asks the registry and writes a new snapshot to `target`. Raises InfrastructureError."""
    with tempfile.TemporaryDirectory(prefix="convex-eval-published-") as scratch:
        listing = Npm(node_runtime()).listing("convex", Path(scratch))
    if listing is None:
        raise InfrastructureError("the registry knows no package called convex")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    taken = Published("convex", today, listing.tags, listing.versions)
    target.write_text(json.dumps(asdict(taken), indent=1) + "\n", encoding="utf-8")
    return taken


if __name__ == "__main__":
    snapshot = refresh()
    print(f"{len(snapshot.versions)} versions of {snapshot.package}, newest {snapshot.newest}")
