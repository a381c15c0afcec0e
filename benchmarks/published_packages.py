"""What the rules say of published code: Convex's component packages and convex-helpers.

Installs each in the version named here and lints the source that it ships as an answer is linted,
without its tests and what runs in a browser. Prints every finding by package and rule with its
places; `docs/rules/judged.md` holds the judgement. A package that ships no TypeScript is named and
left out: what a compiler wrote says nothing of how people write. Exits with 1 for an error of
Convex's rules or ours, none of which is to fire on such code.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.outcomes import Files, Finding
from pytest_convex_eval.toolchain.lint.catalogue import OURS
from pytest_convex_eval.toolchain.lint.profiles import LintProfile
from pytest_convex_eval.toolchain.lint.run import lint, sources_of
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.packages.dependencies import DependencyError, DependencyStore
from pytest_convex_eval.toolchain.packages.install import install_toolchain
from pytest_convex_eval.workspace.layout import lay_out
from pytest_convex_eval.workspace.paths import admit

# Of November 2026. Left out, since no backend is in them: agent-playground, ai-sdk-google,
# design-system, eslint-plugin, platform, react-query, the typedoc plugins and workos (React).
# ratelimiter is rate-limiter's former name.
PACKAGES: Mapping[str, str] = {
    "@convex-dev/action-cache": "0.3.1",
    "@convex-dev/action-retrier": "0.3.1",
    "@convex-dev/agent": "0.7.3",
    "@convex-dev/aggregate": "0.3.1",
    "@convex-dev/auth": "0.0.95",
    "@convex-dev/better-auth": "0.12.5",
    "@convex-dev/crons": "0.2.2",
    "@convex-dev/expo-push-notifications": "0.3.1",
    "@convex-dev/geospatial": "0.2.1",
    "@convex-dev/launchdarkly": "0.4.0",
    "@convex-dev/migrations": "0.3.6",
    "@convex-dev/persistent-text-streaming": "0.3.3",
    "@convex-dev/polar": "0.9.2",
    "@convex-dev/presence": "0.4.0",
    "@convex-dev/prosemirror-sync": "0.2.6",
    "@convex-dev/r2": "0.10.2",
    "@convex-dev/rag": "0.7.6",
    "@convex-dev/rate-limiter": "0.4.0",
    "@convex-dev/resend": "0.2.8",
    "@convex-dev/sharded-counter": "0.2.1",
    "@convex-dev/stripe": "0.1.6",
    "@convex-dev/twilio": "0.2.2",
    "@convex-dev/workflow": "0.4.8",
    "@convex-dev/workos-authkit": "0.2.9",
    "@convex-dev/workpool": "0.4.12",
    "convex-helpers": "0.1.124",
}

# Tests, and what runs in a browser.
_NOT_BACKEND = re.compile(
    r"(?:^|/)(?:__tests__|tests?|example|nextjs|plugins/convex/client|react|react-[\w-]+|ui)/"
    r"|\.(?:test|spec)\.|(?:^|/)(?:test|vitest)\.|(?:^|/)browser\."
)
_SOURCE = re.compile(r".*(?<!\.d)\.[cm]?ts")
# What lint_rules takes from Convex: theirs and ours, without the common type-aware rules.
_CONVEXS = ("@convex-dev/", OURS)


@dataclass(frozen=True, slots=True)
class Linted:
    """A package's findings; `note` says why there are none to have."""

    package: str
    files: int = 0
    findings: Sequence[Finding] = ()
    note: str = ""


def sources(package: Path) -> Iterator[tuple[str, str]]:
    """The TypeScript of a package's backend, by its path there, generated code included."""
    for path in sorted(package.rglob("*")):
        inside = path.relative_to(package).as_posix()
        if "node_modules/" in inside or inside.startswith("dist/") or not path.is_file():
            continue
        if _SOURCE.fullmatch(inside) and not _NOT_BACKEND.search(inside):
            yield inside, path.read_text("utf-8")


def linted(
    toolchain: Toolchain, store: DependencyStore, name: str, folder: Path, profile: LintProfile
) -> Linted:
    title = f"{name} {PACKAGES[name]}"
    try:
        convex = store.default_set().convex_version
        installed = store.get({"convex": convex, name: PACKAGES[name]})
    except DependencyError as error:
        return Linted(title, note=f"not installed: {error}")
    found = {f"convex/{path}": text for path, text in sources(installed.node_modules / name)}
    if not found:
        return Linted(title, note="ships no source, only what was compiled")
    files: Files = {"package.json": "{}", **found}
    root = lay_out(
        folder / "package",
        admit(files).files,
        node_modules=installed.node_modules,
        templates=installed.templates,
    ).root
    for path, text in found.items():
        # A component's generated code, which an answer never brings.
        if not (root / path).exists():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, "utf-8")
    report = lint(
        toolchain, root, profile=profile, scratch=folder / "scratch", deadline_seconds=120
    )
    return Linted(title, len(sources_of(root)), report.findings)


def told(each: Linted, *, places: bool, every_rule: bool) -> None:
    print(f"\n{each.package}: {each.note or f'{each.files} files'}")
    by_code: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in each.findings:
        if every_rule or finding.code.startswith(_CONVEXS):
            by_code[finding.severity, finding.code].append(finding)
    for (severity, code), findings in sorted(by_code.items()):
        print(f"  {severity} {code}: {len(findings)}")
        for finding in findings if places else ():
            print(f"    {finding.location().removeprefix('convex/')}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("packages", nargs="*", help="only those whose name has one of these words")
    parser.add_argument("--profile", choices=get_args(LintProfile), default="recommended")
    parser.add_argument("--every-rule", action="store_true", help="also the common type-aware ones")
    parser.add_argument("--counts", action="store_true", help="no places")
    given = parser.parse_args(arguments)
    toolchain = install_toolchain(default_cache())
    store = DependencyStore(default_cache(), toolchain)
    total: Counter[tuple[str, str]] = Counter()
    for name in PACKAGES:
        if given.packages and not any(word in name for word in given.packages):
            continue
        with tempfile.TemporaryDirectory(prefix="convex-eval-") as temporary:
            each = linted(toolchain, store, name, Path(temporary).resolve(), given.profile)
        told(each, places=not given.counts, every_rule=given.every_rule)
        total.update((finding.severity, finding.code) for finding in each.findings)
    print()
    print(json.dumps({" ".join(key): count for key, count in sorted(total.items())}, indent=1))
    wrong = any(level == "error" and code.startswith(_CONVEXS) for level, code in total)
    return 1 if wrong and given.profile != "strict" else 0


if __name__ == "__main__":
    raise SystemExit(main())
