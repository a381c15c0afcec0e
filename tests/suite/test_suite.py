"""The whole suite: what it covers, that its checks can fail, and that its prompts say it all."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.behaviour.steps import Block
from pytest_convex_eval.cases.loader import LoadedCase, load_case
from pytest_convex_eval.expectations.model import Expectations

ROOT = Path(__file__).parents[2]
SUITE = [
    load_case(path, path.relative_to(ROOT).as_posix())
    for path in sorted((ROOT / "cases").rglob("*.yaml"))
]
PLACES = {f"{each.category}/{each.difficulty}/{each.name}": each for each in SUITE}

# What the suite is for, and the case that stands for it.
COVERAGE = {
    "empty function stubs": "fundamentals/easy/function_stubs",
    "a schema": "fundamentals/easy/define_schema",
    "an HTTP endpoint": "fundamentals/easy/http_endpoint",
    "a cron job": "fundamentals/easy/cron_job",
    "an action calling a query": "fundamentals/easy/action_calls_query",
    "an action calling a mutation": "fundamentals/easy/action_calls_mutation",
    "console.log and console.warn": "fundamentals/easy/console_logging",
    "environment variables": "fundamentals/easy/environment_variables",
    "CRUD on a schema": "fundamentals/medium/crud_operations",
    "patch against replace": "fundamentals/medium/field_updates",
    "ConvexError": "fundamentals/medium/convex_error",
    "text search": "fundamentals/medium/text_search",
    "vector search": "fundamentals/medium/vector_search",
    "file storage": "fundamentals/medium/file_storage",
    "scheduled functions": "fundamentals/hard/scheduled_reminders",
    "pagination": "fundamentals/hard/pagination",
    "an HTTP API with custom JWT": "fundamentals/hard/authenticated_http_api",
    "a helper file": "code_organization/easy/shared_helpers",
    "internal functions and a model layer": "code_organization/medium/model_layer",
    "Node.js code apart": "code_organization/medium/node_actions",
    "a component": "code_organization/hard/mounted_component",
    "one to many": "data_modeling/easy/one_to_many",
    "many to many": "data_modeling/easy/many_to_many",
    "nested documents": "data_modeling/easy/nested_documents",
    "unions": "data_modeling/easy/unions",
    "optional fields": "data_modeling/easy/optional_fields",
    "indexes": "data_modeling/medium/indexes",
    "polymorphic unions": "data_modeling/medium/polymorphic_unions",
    "migration": "data_modeling/hard/migration",
    "index equality": "query_patterns/easy/lookup_by_index",
    "joins": "query_patterns/medium/joins",
    "aggregation": "query_patterns/medium/aggregation",
    "userspace filters": "query_patterns/hard/userspace_filters",
    "paginated joins": "query_patterns/hard/paginated_joins",
    "range and order on compound indexes": "query_patterns/hard/range_and_order",
    "intersection": "query_patterns/hard/intersection",
    "take and indexes instead of scans": "performance/easy/bounded_reads",
    "a cached value": "performance/medium/cached_summary",
    "a denormalised value": "performance/medium/denormalized_counts",
    "counters under contention": "performance/hard/contended_counters",
    "batch jobs that reschedule themselves": "performance/hard/batch_deletion",
}
APPLICATIONS = (
    "social_posts",
    "blog",
    "post_scheduler",
    "events",
    "drawing_canvas",
    "quiz_game",
    "team_tasks",
    "recipes",
    "music_practice",
    "study_rooms",
    "pet_sitting",
    "plant_care",
    "playlists",
    "habits",
    "marketplace",
    "book_club",
    "fitness_challenges",
    "meal_planning",
    "language_exchange",
    "travel_itineraries",
    "homework_help",
    "garage_sales",
    "skill_sharing",
    "shared_expenses",
    "community_garden",
    "podcast_discussions",
    "home_inventory",
    "volunteers",
    "family_chores",
    "coding_challenges",
    "sports_league",
)
# Nothing runs there: what these ask for is all in the schema.
NOTHING_TO_OBSERVE: frozenset[str] = frozenset()

each_case = pytest.mark.parametrize("loaded", SUITE, ids=lambda each: each.name)


def test_every_line_of_the_list_has_its_case() -> None:
    assert [what for what, place in COVERAGE.items() if place not in PLACES] == []
    written = {each.name for each in SUITE if each.category == "applications"}
    assert written >= set(APPLICATIONS)
    assert len(SUITE) >= 70


@each_case
def test_the_checks_of_a_case_can_fail(loaded: LoadedCase) -> None:
    case = loaded.case
    application = loaded.category == "applications"
    assert len(case.mutants) >= (5 if application else 3)
    stages = {mutant.fails for mutant in case.mutants}
    assert len(stages) >= 2
    assert all(mutant.code for mutant in case.mutants), "every mutant names its code"
    if loaded.name not in NOTHING_TO_OBSERVE:
        assert len(case.behaviour) >= (5 if application else 1)
        assert "behaviour" in stages


@each_case
def test_a_prompt_names_everything_that_its_checks_rely_on(loaded: LoadedCase) -> None:
    case = loaded.case
    said = "\n".join([case.prompt, *case.files, *case.files.values()])
    words = set(re.findall(r"[\w$]+", said))
    names = {*_expected(case.expect), *_behaving(case.behaviour)}
    assert names
    assert {name for name in names if not set(re.findall(r"[\w$]+", name)) <= words} == set()


def _expected(expect: Expectations) -> Iterator[str]:
    """The names that the expectations look for."""
    yield from expect.dependencies
    for path in expect.files:
        yield path.removeprefix("convex/").rsplit(".", 1)[0]
    for name, table in expect.tables.items():
        yield name
        yield from table.fields
    for path, function in expect.functions.items():
        yield from path.split(":")
        yield from (argument.removesuffix("?") for argument in function.args or ())
    for cron in expect.crons:
        yield from cron.function.split(":")
    for route in expect.http:
        yield route.path or route.path_prefix or ""


_GIVEN_BY_CONVEX = {"_id", "_creationTime", "paginationOpts", "numItems", "cursor"}


def _behaving(blocks: tuple[Block, ...]) -> Iterator[str]:
    """The names that steps use: functions, arguments, tables, fields of documents."""
    for block in blocks:
        for step in block.model_dump(by_alias=True, exclude_unset=True)["steps"]:
            yield from _of_step(step)


def _of_step(step: dict[str, Any]) -> Iterator[str]:
    for verb in ("query", "mutation", "action", "paginate"):
        if verb in step:
            # Functions of the system are Convex's.
            yield from (part for part in step[verb].split(":") if not part.startswith("_system"))
            yield from (name for name in step.get("args", {}) if name not in _GIVEN_BY_CONVEX)
    for table, documents in step.get("insert", {}).items():
        yield table
        for document in documents:
            yield from document
    if "table" in step and not step["table"].startswith("_"):
        yield step["table"]
    for inner in (*step.get("steps", ()), *step.get("parallel", ())):
        yield from _of_step(inner)


def test_no_two_cases_are_alike() -> None:
    def shape(loaded: LoadedCase) -> list[str]:
        code = "\n".join(
            text for path, text in loaded.case.reference.items() if path.endswith(".ts")
        )
        return [line.strip() for line in code.splitlines() if len(line.strip()) > 12]

    shapes = {each.name: shape(each) for each in SUITE}
    assert SUITE
    assert len({each.case.summary for each in SUITE}) == len(SUITE)
    alike = [
        (one, other)
        for one, other in itertools.combinations(shapes, 2)
        if difflib.SequenceMatcher(None, shapes[one], shapes[other]).quick_ratio() > 0.6
        and difflib.SequenceMatcher(None, shapes[one], shapes[other]).ratio() > 0.6
    ]
    assert alike == []
