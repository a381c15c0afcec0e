"""The linters and the strictness that a run can ask for. Light to import: options are read before
there is a case."""

from __future__ import annotations

from typing import Literal, TypeAlias

LintEngine: TypeAlias = Literal["oxlint", "eslint"]
"""eslint is the reference that oxlint is compared with, and much slower."""

LintProfile: TypeAlias = Literal["correctness", "recommended", "strict"]
"""correctness: the errors only; recommended: these and the warnings; strict: the team's strict-mode
list as errors too, and the groups `auth` and `cost`."""
