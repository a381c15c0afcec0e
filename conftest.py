"""The root conftest: the plugin for a checkout not installed, and pytester for the tests."""

from __future__ import annotations

pytest_plugins = ["pytest_convex_eval.plugin", "pytester"]
