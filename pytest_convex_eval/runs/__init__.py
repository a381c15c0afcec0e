"""What a run leaves: its record, the terminal summary, the JUnit properties; and how it is read."""

from pytest_convex_eval.runs.run import Item, Manifest, Outcome, Run, RunError, find_run, load_run

__all__ = ["Item", "Manifest", "Outcome", "Run", "RunError", "find_run", "load_run"]
