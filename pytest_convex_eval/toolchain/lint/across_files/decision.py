"""What is decided over all files of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_convex_eval.toolchain.lint.across_files.facts import LineAndColumn

Evidence: TypeAlias = Literal["certain", "likely", "possible"]
"""How much of the code says that a finding is one. certain: it counts as much as its rule does in
any profile; likely: only in `strict`, or where a case requires the rule; possible: only there."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A finding of the rule `name` (without its prefix) at a place of a file."""

    name: str
    message: str
    path: str
    at: LineAndColumn
    evidence: Evidence = "certain"
