"""What of a lint is what: oxlint, the rules that need types, the plugins in JavaScript, its start.

Median seconds of CPU a case, over references of the suite, each kind asked in turn so that the
machine's mood is the same for all.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.stages.lint import LintStage
from pytest_convex_eval.toolchain.lint.catalogue import RULES, Rule, Selection, select
from pytest_convex_eval.toolchain.lint.oxlint import ask_oxlint
from pytest_convex_eval.toolchain.lint.oxlint_server import OxlintServer
from pytest_convex_eval.toolchain.lint.run import sources_of
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.toolchain.packages.install import install_toolchain
from pytest_convex_eval.workspace.layout import lay_out

ROOT = Path(__file__).parents[1]
WHOLE = select("strict", off=(), require=())


def in_javascript(rule: Rule) -> bool:
    """Whether one of the plugins that oxlint hands the code to has the rule."""
    return "/" in rule.name and not rule.name.startswith("typescript/")


def only(kind: bool | None) -> Selection:
    """The rules in JavaScript, the others, or the cheapest alone."""
    kept = [rule for rule in RULES if rule.in_plugin and in_javascript(rule) is kind]
    if kind is None:
        kept = [rule for rule in RULES if rule.name == "no-unused-vars"]
    codes = {rule.code for rule in kept}
    return Selection(
        {code: WHOLE.levels[code] if code in codes else "off" for code in WHOLE.levels}
    )


KINDS = {
    "oxlint with one rule of its own": only(None),
    "  and those that need types": only(False),
    "  and those in JavaScript": only(True),
    "everything": WHOLE,
}
WARM = "everything, by an oxlint that stays"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--every", type=int, default=6, help="take every n-th case only")
    parser.add_argument("--rounds", type=int, default=3, help="times that each case is taken")
    options = parser.parse_args()
    cache = default_cache()
    toolchain = install_toolchain(cache)
    store = DependencyStore(cache, toolchain)
    taken: dict[str, list[float]] = defaultdict(list)
    cases = [load_case(path, path.name).case for path in sorted((ROOT / "cases").rglob("*.yaml"))]
    with (
        tempfile.TemporaryDirectory(prefix="convex-eval-") as temporary,
        OxlintServer(toolchain) as server,
    ):
        folder = Path(temporary).resolve()
        number = 0
        for _ in range(options.rounds):
            for case in cases[:: options.every]:
                for name, selection in {**KINDS, WARM: WHOLE}.items():
                    number += 1
                    workspace = lay_out(
                        folder / f"workspace{number}",
                        {**case.files, **case.reference},
                        node_modules=store.default_set().node_modules,
                        templates=store.default_set().templates,
                    )
                    scratch = folder / f"scratch{number}"
                    scratch.mkdir()
                    spoken = ask_oxlint(
                        toolchain,
                        workspace.root,
                        sources_of(workspace.root),
                        selection,
                        scratch=scratch,
                        deadline_seconds=LintStage.deadline_seconds,
                        server=server if name == WARM else None,
                    )
                    taken[name].append(spoken.cpu_seconds)
    print(f"{len(cases[:: options.every])} references, {os.cpu_count()} cores")
    for name, seconds in taken.items():
        print(f"{name:<36} {statistics.median(seconds):6.3f} s CPU")


if __name__ == "__main__":
    main()
