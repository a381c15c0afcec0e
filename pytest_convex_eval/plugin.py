"""pytest's hooks and nothing else: each is a line or two into a room.

The plugin is inert until a case file is collected: it imports nothing heavy, starts nothing and
prints nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval import hookspecs, xdist
from pytest_convex_eval.cases import collector
from pytest_convex_eval.cases.collector import CaseFile
from pytest_convex_eval.options import add_options, read_settings
from pytest_convex_eval.runs.reporter import RunReporter, failure_word
from pytest_convex_eval.session import EvalSession, known_stages, known_vendors
from pytest_convex_eval.stages.table import STAGES

_SESSION: pytest.StashKey[EvalSession] = pytest.StashKey()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    collector.register_markers(config)
    reporter = None if xdist.is_worker(config) else RunReporter(config)
    if reporter is not None:
        config.pluginmanager.register(reporter, "convex-eval-reporter")
    vendors, stages = known_vendors(config), known_stages(config)
    names = STAGES if stages is None else tuple(stage.name for stage in stages)
    settings = read_settings(config, vendors, names)
    config.stash[_SESSION] = EvalSession(config, settings, reporter, vendors, stages)
    config.stash[_SESSION].check_settings()
    if reporter is not None and (keeper := config.stash[_SESSION].gate_keeper(reporter)):
        config.pluginmanager.register(keeper, "convex-eval-gate")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.config.stash[_SESSION].configure_worker(node.workerinput)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    session = parent.config.stash[_SESSION]
    roots = session.settings.case_roots
    if not collector.is_case_file(file_path, roots, parent.session.isinitpath):
        return None
    return session.case_file(parent, file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    session.config.stash[_SESSION].limit_items(items)
    collector.hard_first(items)
    xdist.stop_after_collection_errors(session, items, collector.is_case)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if isinstance(collector, CaseFile):
        xdist.mark_broken(report)
    return report


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    return config.stash[_SESSION].header(collector.case_ids(items))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    session.config.stash[_SESSION].before_items(session)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    node.config.stash[_SESSION].worker_collected(ids)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if isinstance(item, collector.CaseItem) and call.when == "call":
        xdist.annotate(report, item.result, call.excinfo and call.excinfo.value)
        if item.config.stash[_SESSION].settings.gate != "cases":
            from pytest_convex_eval.comparison.gating import record_only

            record_only(report, item.result)
    return report


def pytest_report_to_serializable(report: object) -> dict[str, Any] | None:
    return xdist.to_serializable(report)


def pytest_report_from_serializable(data: dict[str, Any]) -> xdist.StageReport | None:
    return xdist.from_serializable(data)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: object) -> tuple[str, str, Any] | None:
    return ("", "", "") if isinstance(report, xdist.StageReport) else failure_word(report)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[_SESSION].close()
