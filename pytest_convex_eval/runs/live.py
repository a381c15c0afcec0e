"""The line that a finished stage gets on the terminal while its item still runs."""

from __future__ import annotations

from pytest_convex_eval.xdist import ONLY_PROCESS, StageReport, worker_of


def stage_line(report: StageReport) -> tuple[str, str]:
    """The line for a finished stage at -v, and the colour of its status."""
    result = report.result
    worker = worker_of(report)
    # Under xdist the lines of several items mix; without it they stand below their item's name.
    prefix = "  " if worker == ONLY_PROCESS else f"[{worker}] {report.nodeid} "
    said = ""
    if result.status == "failed":
        first, more = result.errors[0], len(result.errors) - 1
        said = f"  {first.code}" + (f" (+{more})" if more else "")
    elif result.status in ("skipped", "error"):
        said = f"  {result.reason}"
    line = f"{prefix}{result.stage} {result.status} {result.seconds:.2f}s{said}"
    colour = {"passed": "green", "failed": "red", "error": "red", "skipped": "yellow"}
    return line, colour[result.status]
