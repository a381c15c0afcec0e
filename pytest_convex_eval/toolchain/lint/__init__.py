"""Lint engines, the rules they run, and what their findings mean."""
