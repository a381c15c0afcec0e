"""What a push says that it changes: what the CLI prints, and tools read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.deployment.server_modules import InServer

DIFFER = """
const { pushDiff, indexDiffs } = await load("push/diffs");
const evaluated = ({ modules = [], crons = [], tables, version = "1.48.0" }) => {
  const functions = new Map(modules.map((path) => [path, { functions: [], crons: null }]));
  if (crons.length > 0) functions.set("crons.js", { functions: [], crons });
  const own = tables === undefined ? null : schema(tables);
  return { functions, schema: own, serverVersion: version };
};
const make = (given) => {
  if (given === null) return null;
  const { components = {}, auth = [], ...app } = given;
  const children = Object.keys(components).map((name) =>
    [name, { definitionPath: name, componentPath: name, children: [] }]);
  const definitions = new Map([["", evaluated(app)]]);
  for (const [name, each] of Object.entries(components)) definitions.set(name, evaluated(each));
  return { auth, definitions, tree: { definitionPath: "", componentPath: "", children } };
};
const [before, after] = [args.before, args.after].map(make);
return { ...pushDiff(before, after), indexes: indexDiffs(before, after) };
"""
NO_INDEXES: Mapping[str, list[Any]] = {
    name: [] for name in ("added_indexes", "removed_indexes", "enabled_indexes", "disabled_indexes")
}
SAME = {
    "diffType": {"type": "modify"},
    "moduleDiff": {"added": [], "removed": []},
    "udfConfigDiff": None,
    "cronDiff": {"added": [], "updated": [], "deleted": []},
    "indexDiff": NO_INDEXES,
    "schemaDiff": None,
}


def cron(name: str, **more: Any) -> dict[str, Any]:
    schedule = {"type": "hourly", **more}
    return {"name": name, "function": "a:f", "args": [{}], "schedule": schedule}


@pytest.fixture
def differ(in_server: InServer) -> Any:
    return lambda before, after: in_server(DIFFER, before=before, after=after)


def test_a_push_of_the_same_changes_nothing(differ: Any) -> None:
    app = {
        "modules": ["a.js"],
        "crons": [cron("x")],
        "tables": {"t": {"i": ["a"]}},
        "auth": [{"domain": "d"}],
        "components": {"c": {"modules": ["b.js"]}},
    }
    found = differ(app, app)
    assert found["authDiff"] == {"added": [], "removed": []}
    assert found["componentDiffs"] == {"": SAME, "c": SAME}
    assert found["indexes"] == {"": NO_INDEXES, "c": NO_INDEXES}


def test_the_first_push_creates_everything(differ: Any) -> None:
    app = {"modules": ["a.js"], "crons": [cron("x")], "tables": {"t": {"i": ["a"]}}}
    found = differ(None, {**app, "auth": [{"domain": "d"}]})
    diff = found["componentDiffs"][""]
    assert diff["diffType"] == {"type": "create"}
    assert diff["moduleDiff"] == {"added": ["a.js", "crons.js"], "removed": []}
    assert diff["cronDiff"] == {"added": ["x"], "updated": [], "deleted": []}
    assert diff["udfConfigDiff"] is None
    assert diff["schemaDiff"]["previous_schema"] is None
    assert '"tableName":"t"' in diff["schemaDiff"]["next_schema"]
    assert diff["indexDiff"]["added_indexes"] == [
        {"name": "t.i", "type": "database", "fields": ["a", "_creationTime"]}
    ]
    assert found["authDiff"] == {"added": ['{"domain":"d"}'], "removed": []}


def test_modules_and_cron_jobs_come_go_and_change(differ: Any) -> None:
    before = {"modules": ["a.js", "b.js"], "crons": [cron("x"), cron("y"), cron("z")]}
    after = {"modules": ["b.js", "c.js"], "crons": [cron("y", minuteUTC=1), cron("z"), cron("n")]}
    diff = differ(before, after)["componentDiffs"][""]
    assert diff["moduleDiff"] == {"added": ["c.js"], "removed": ["a.js"]}
    assert diff["cronDiff"] == {"added": ["n"], "updated": ["y"], "deleted": ["x"]}
    for field, value in {"function": "a:g", "args": [{"a": 1}]}.items():
        changed = {**before, "crons": [{**cron("x"), field: value}, cron("y"), cron("z")]}
        diff = differ(before, changed)["componentDiffs"][""]
        assert diff["cronDiff"]["updated"] == ["x"], field


def test_providers_and_the_version_are_told(differ: Any) -> None:
    before = {"auth": [{"domain": "a"}, {"domain": "b"}], "version": "1.47.0"}
    found = differ(before, {"auth": [{"domain": "b"}, {"domain": "c"}]})
    assert found["authDiff"] == {"added": ['{"domain":"c"}'], "removed": ['{"domain":"a"}']}
    assert found["componentDiffs"][""]["udfConfigDiff"] == {
        "previous_version": "1.47.0",
        "next_version": "1.48.0",
    }


def test_components_come_stay_and_go(differ: Any) -> None:
    first: Any = {"components": {"old": {"modules": ["o.js"]}, "kept": {"modules": ["k.js"]}}}
    second: Any = {"components": {"kept": {"modules": ["k.js"]}, "new": {"modules": ["n.js"]}}}
    found = differ(first, second)
    diffs = found["componentDiffs"]
    assert {path: diff["diffType"]["type"] for path, diff in diffs.items()} == {
        "": "modify",
        "kept": "modify",
        "new": "create",
        "old": "unmount",
    }
    assert diffs["old"]["moduleDiff"] == {"added": [], "removed": ["o.js"]}
    assert diffs["new"]["moduleDiff"] == {"added": ["n.js"], "removed": []}
    assert set(found["indexes"]) == {"", "kept", "new"}


TABLES: dict[str, Any] = {
    "t": {
        "indexes": {"plain": ["a"]},
        "staged": {"later": ["b"]},
        "search": {"words": {"searchField": "s", "filterFields": ["a"]}},
        "vector": {"near": {"vectorField": "v", "dimensions": 4, "filterFields": ["a"]}},
    }
}
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {"name": "t.plain", "type": "database", "fields": ["a", "_creationTime"]},
    "later": {"name": "t.later", "type": "database", "fields": ["b", "_creationTime"]},
    "words": {"name": "t.words", "type": "search", "searchField": "s", "filterFields": ["a"]},
    "near": {
        "name": "t.near",
        "type": "vector",
        "dimensions": 4,
        "vectorField": "v",
        "filterFields": ["a"],
    },
}


def test_indexes_of_every_kind_come_and_go(differ: Any) -> None:
    all_of_them = [
        {**config, **({"staged": True} if name == "later" else {})}
        for name, config in CONFIGS.items()
    ]
    added = differ({"tables": {}}, {"tables": TABLES})["indexes"][""]
    assert added == {**NO_INDEXES, "added_indexes": all_of_them}
    removed = differ({"tables": TABLES}, {"tables": {}})["indexes"][""]
    assert removed == {**NO_INDEXES, "removed_indexes": all_of_them}


@pytest.mark.parametrize(
    ("kind", "index", "field", "value"),
    [
        ("indexes", "plain", None, ["a", "b"]),
        ("search", "words", "searchField", "other"),
        ("search", "words", "filterFields", []),
        ("vector", "near", "dimensions", 8),
        ("vector", "near", "vectorField", "w"),
        ("vector", "near", "filterFields", ["b"]),
    ],
)
def test_an_index_that_changes_in_one_field_is_another(
    kind: str, index: str, field: str | None, value: Any, differ: Any
) -> None:
    given: Any = TABLES["t"]
    changed = {**given[kind][index], field: value} if field is not None else value
    after = {"t": {**given, kind: {**given[kind], index: changed}}}
    diff = differ({"tables": TABLES}, {"tables": after})["indexes"][""]
    assert [each["name"] for each in diff["added_indexes"]] == [f"t.{index}"]
    assert [each["name"] for each in diff["removed_indexes"]] == [f"t.{index}"]
    assert (diff["enabled_indexes"], diff["disabled_indexes"]) == ([], [])


def test_a_staged_index_is_enabled_and_disabled(differ: Any) -> None:
    given: Any = TABLES["t"]
    enabled = {"t": {**given, "indexes": {**given["indexes"], **given["staged"]}, "staged": {}}}
    diff = differ({"tables": TABLES}, {"tables": enabled})["indexes"][""]
    assert diff == {**NO_INDEXES, "enabled_indexes": [CONFIGS["later"]]}
    diff = differ({"tables": enabled}, {"tables": TABLES})["indexes"][""]
    assert diff == {**NO_INDEXES, "disabled_indexes": [{**CONFIGS["later"], "staged": True}]}
