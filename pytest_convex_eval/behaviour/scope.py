"""What `${...}` can name while a block is taken, and who calls."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from pytest_convex_eval.behaviour.references import Lookup, resolve, whole_reference
from pytest_convex_eval.behaviour.values import Expected, Verbatim

ISSUER = "https://auth.example.com"
"""Who vouches for a caller, unless the step says."""


@dataclass(slots=True)
class Scope:
    """The names of one block. `services` are addresses by name, `deployment` those of the
    deployment (`url`, `site`); `ahead_ms` is how far its clock is ahead of ours."""

    services: Mapping[str, str]
    ahead_ms: float
    start: int
    saved: dict[str, JsonValue] = field(default_factory=dict)
    deployment: Mapping[str, str] = field(default_factory=dict)

    def inner(self, **bound: JsonValue) -> Scope:
        """The scope for the steps of a loop, which binds the names `bound`; what they save is seen
        after it too."""
        return _Loop(self, bound)

    def lookup(self, root: str) -> JsonValue:
        """The value of a root. Raises KeyError."""
        if root in self.saved:
            return self.saved[root]
        if root == "now":
            return round(time.time() * 1000 + self.ahead_ms)
        if root == "start":
            return self.start
        if root == "services":
            return dict(self.services)
        if root == "deployment":
            return dict(self.deployment)
        raise KeyError(root)

    def given(self, value: JsonValue) -> JsonValue:
        """What is sent. Raises ReferenceFailedError."""
        return resolve(value, self._root)

    def text(self, value: str) -> str:
        """A text that is sent. Raises ReferenceFailedError."""
        resolved = self.given(value)
        return resolved if isinstance(resolved, str) else str(resolved)

    def expected(self, value: JsonValue) -> Expected:
        """What is compared: saved values stand for themselves. Raises ReferenceFailedError."""
        if isinstance(value, str):
            resolved = self.given(value)
            return resolved if whole_reference(value) is None else Verbatim(resolved)
        if isinstance(value, dict):
            if list(value) == ["$repeat"]:
                return self.given(value)
            return {key: self.expected(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.expected(item) for item in value]
        return value

    def advance(self, seconds: float) -> None:
        self.ahead_ms += seconds * 1000

    @property
    def _root(self) -> Lookup:
        def root(name: str) -> JsonValue:
            if name == "identity":
                return _Identities()
            return self.lookup(name)

        return root


class _Loop(Scope):
    """A scope within a loop, which shares everything with the one around it."""

    def __init__(self, outer: Scope, bound: Mapping[str, JsonValue]) -> None:
        super().__init__(outer.services, outer.ahead_ms, outer.start, outer.saved, outer.deployment)
        self._outer = outer
        self._bound = bound

    def lookup(self, root: str) -> JsonValue:
        return self._bound[root] if root in self._bound else self._outer.lookup(root)

    def advance(self, seconds: float) -> None:
        self._outer.advance(seconds)


class _Identities(dict[str, JsonValue]):
    """The identities of all subjects there could be, each made when it is named."""

    def __contains__(self, subject: object) -> bool:
        return True

    def __missing__(self, subject: str) -> JsonValue:
        return {
            "subject": subject,
            "issuer": ISSUER,
            "tokenIdentifier": f"{ISSUER}|{subject}",
        }


def identity_of(caller: str | Mapping[str, JsonValue] | None) -> dict[str, JsonValue] | None:
    """The identity that a step's `as` stands for."""
    if caller is None:
        return None
    if isinstance(caller, str):
        return {"subject": caller, "issuer": ISSUER}
    return {"issuer": ISSUER, **caller}
