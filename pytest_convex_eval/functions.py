"""The kinds of functions that Convex has, and who may call them."""

from __future__ import annotations

from typing import Literal, TypeAlias

FunctionKind: TypeAlias = Literal["query", "mutation", "action"]
"""What a registered function is; an HTTP action is none of these, and has a route."""

Visibility: TypeAlias = Literal["public", "internal"]
"""public: anyone who knows the deployment's address may call it."""
