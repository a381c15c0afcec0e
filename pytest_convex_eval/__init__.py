"""pytest-convex-eval: does a language model with a prompt write Convex backends that work?"""

from __future__ import annotations

__version__ = "0.1.0"
