"""The rules that need more than one file, decided over the facts of all of them.

Each is a generator over a `Project`; what is not known gives no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import product
from pathlib import PurePosixPath

from pytest_convex_eval.toolchain.lint.across_files.authentication import (
    auth_config,
    authentication,
    authorization,
)
from pytest_convex_eval.toolchain.lint.across_files.decision import Decision
from pytest_convex_eval.toolchain.lint.across_files.facts import Declaration, FileFacts
from pytest_convex_eval.toolchain.lint.across_files.project import FUNCTIONS, Node, Project

_RATE_LIMITER = "@convex-dev/rate-limiter"
# What an internal function may do.
_OF_PUBLIC = frozenset({"returns-validator", "user-id-argument"})


def decide(
    files: Mapping[str, FileFacts], public: Collection[str] = frozenset()
) -> Iterator[Decision]:
    """What is wrong between `files`, the facts of each by its path in the workspace.

    `public` are the functions that anyone may call, as `module:export`.
    """
    project = Project(files)
    for rule in _RULES:
        yield from rule(project)
    yield from auth_config(project)
    yield from authentication(project, public)
    yield from authorization(project, public)


def _by_builders(project: Project) -> Iterator[Decision]:
    """What the plugin's rules say of functions whose builder stands in another file."""
    for node in project.nodes():
        registration = project.registration(node) if node.declaration.assumed else None
        if registration is None:
            continue
        made = "http" if registration.http else registration.kind
        for assumed in node.declaration.assumed:
            is_said = assumed.made == made
            if is_said and (registration.public or assumed.rule not in _OF_PUBLIC):
                yield Decision(assumed.rule, assumed.message, node.path, assumed.at)


def _node_import(project: Project) -> Iterator[Decision]:
    for path, facts in project.files.items():
        if facts.uses_node:
            continue
        for given in facts.imports:
            target = project.file(path, given.module)
            if target is not None and project.files[target].uses_node:
                message = (
                    f'{target} runs in Node ("use node"), and this file does not: it can\'t load '
                    "it. Call its functions by ctx.runAction, or move the shared code out of it."
                )
                yield Decision("no-node-import", message, path, given.at)


def _same_runtime(project: Project) -> Iterator[Decision]:
    for node in project.nodes():
        for run in node.declaration.runs:
            if run.via != "runAction" or run.parallel:
                continue
            target = project.target(node.path, run)
            if target is None:
                continue
            runtime = project.files[target.path].uses_node
            if runtime == project.files[node.path].uses_node:
                message = (
                    f"{'.'.join(run.path)} runs where this function does, and ctx.runAction is a "
                    "call over the network. Call a plain TypeScript function."
                )
                yield Decision("no-same-runtime-action", message, node.path, run.at)


def _routers(project: Project) -> Iterator[Decision]:
    served = project.loads(project.named(f"{FUNCTIONS}http"))
    for path, facts in project.files.items():
        folder = PurePosixPath(path).parent
        # A component serves its own.
        is_own = (
            PurePosixPath(path).stem == "http"
            and str(folder) != FUNCTIONS.rstrip("/")
            and bool(project.named(f"{folder}/convex.config"))
        )
        if path in served or is_own:
            continue
        for at in facts.routers:
            message = (
                "routes are served from convex/http.ts only, and it does not load this file. "
                "Move the router there."
            )
            yield Decision("http-routes", message, path, at)


def _misplaced(project: Project) -> Iterator[Decision]:
    loaded = project.loads(project.named(f"{FUNCTIONS}crons"))
    for path, facts in project.files.items():
        if project.component(path):
            continue
        own = facts.own_of_component
        if own is not None:
            message = (
                f"this default export looks like the {own.name}, which Convex looks for in "
                f"convex/{own.name}.ts only: no component stands in this folder."
            )
            yield Decision("file-names", message, path, own.at)
        for crons in facts.cron_tables:
            # What is exported as the default tells its wrong place already.
            if crons.exported or path in loaded:
                continue
            message = (
                "crons run from convex/crons.ts only, and it does not load this file. Move them "
                "there."
            )
            yield Decision("file-names", message, path, crons.at)


def _unrouted(project: Project) -> Iterator[Decision]:
    used = {other for node in project.nodes() for other in project.uses(node)}
    # Of a namespace, any may be meant.
    used.update([other for whole in used for other in project.members(whole)])
    for node in project.nodes():
        registration = project.registration(node)
        if registration is None or not registration.http:
            continue
        if node not in used:
            message = "no route leads to this HTTP action: it can't be called."
            yield Decision("unrouted-http-action", message, node.path, node.declaration.at)


def _clock(project: Project) -> Iterator[Decision]:
    queries = [e for e in project.endpoints() if e.registration.kind == "query"]

    def in_file(node: Node) -> Iterator[Node]:
        return (other for other in project.uses(node) if other.path == node.path)

    # What the plugin finds itself, which sees one file.
    known = (e.node for e in queries if e.node.declaration.function is not None)
    told = set(project.walk(known, in_file))
    seen: set[Node] = set()
    for query in queries:
        for node in project.walk([query.node], project.uses, seen):
            if node in told:
                continue
            for at in node.declaration.clock:
                message = (
                    f"the query {query.name} of {query.node.path} reads the clock here: it "
                    "does not run again because time passes. Pass the time as an argument."
                )
                yield Decision("no-date-in-query", message, node.path, at)


def _rate_limiter(project: Project) -> Iterator[Decision]:
    limiting = project.reaching(_limits)
    # What stands outside of all declarations: routes, whose actions have no name.
    if any(e.node in limiting for e in project.endpoints()) or any(
        node in limiting for node in project.nodes() if not node.declaration.names
    ):
        return
    for endpoint in project.endpoints():
        registration = endpoint.registration
        if registration.public and not registration.http and registration.kind != "query":
            message = f"nothing limits how often {endpoint.name} is called. Use {_RATE_LIMITER}."
            node = endpoint.node
            yield Decision("rate-limiter", message, node.path, node.declaration.at)
            return


def _limits(declaration: Declaration) -> bool:
    """Whether something is asked of the rate limiter, or one is made."""
    by_class = any(module == _RATE_LIMITER for module, _ in declaration.refs)
    return by_class or any(
        run.root == "components" and run.path[:1] and "ratelimit" in run.path[0].lower()
        for run in declaration.runs
    )


def _unused_index(project: Project) -> Iterator[Decision]:
    if any(facts.computed_indexes for facts in project.files.values()):
        return
    words = frozenset[str]().union(*(facts.words for facts in project.files.values()))
    read = {t for node in project.nodes() for t, _ in node.declaration.touches}
    for path, facts in project.files.items():
        for table in facts.tables:
            # A schema that no function reads yet says nothing.
            if table.name is None or table.name not in read:
                continue
            for index in table.indexes:
                if index.name is None or index.staged or index.name in words:
                    continue
                message = (
                    f'no query uses index "{index.name}" of {table.name}; each index costs '
                    "storage and slows writes."
                )
                yield Decision("unused-index", message, path, index.at)


def _id_strings(project: Project) -> Iterator[Decision]:
    tables = {
        (project.component(path), table.name.lower()): table
        for path, facts in project.files.items()
        for table in facts.tables
        if table.name is not None
    }
    stems = {key: {_stem(field.name) for field in table.fields} for key, table in tables.items()}
    fields = _id_fields(project)
    used = {
        (project.component(path), use.stem.lower().replace("_", ""))
        for path, facts in project.files.items()
        for use in facts.id_uses
        if use.field is None or (project.component(path), use.field) in fields
    }
    for path, facts in project.files.items():
        component = project.component(path)
        for found in facts.id_strings:
            stem = found.stem.lower().replace("_", "")
            plural = stem[:-1] + "ies" if stem.endswith("y") else f"{stem}s"
            keys = ((component, name) for name in (plural, stem, f"{stem}es"))
            key = next((key for key in keys if key in tables), None)
            # A table that has the field itself, or one called `id`, knows its documents by another
            # system's ids.
            if key is None or stem in stems[key] or "" in stems[key]:
                continue
            # The same name may be that of an identity's subject, or of another system's id.
            is_used = any(field is None or (component, field) in fields for field in found.uses)
            if not (is_used or (found.in_table and (component, stem) in used)):
                continue
            name = tables[key].name
            message = f'this is the id of a document of {name}: validate it by v.id("{name}").'
            yield Decision("id-validator", message, path, found.at)


def _id_fields(project: Project) -> set[tuple[str, str]]:
    """The names of fields that hold a document's id, with their component."""
    return {
        (project.component(path), field.name)
        for path, facts in project.files.items()
        for table in facts.tables
        for field in table.fields
        if field.table is not None
    }


def _stem(name: str) -> str:
    """`user` of `userId` and `user_id`."""
    return name.lower().replace("_", "").removesuffix("id")


def _known_any(project: Project) -> Iterator[Decision]:
    tables = {
        table.name
        for facts in project.files.values()
        for table in facts.tables
        if table.name is not None and table.fields
    }
    # Whether all that is stored has a known shape, by table and field; None is one not known.
    stored: dict[tuple[str | None, str | None], bool] = {}
    for facts in project.files.values():
        for value in facts.stored:
            key = (value.table, value.field)
            stored[key] = stored.get(key, True) and value.known
    for path, facts in project.files.items():
        for returned in facts.any_returns:
            if returned.table in tables:
                message = (
                    f"this returns documents of {returned.table}, whose shape the schema says, and "
                    "v.any() hides it from callers. Say the shape."
                )
                yield Decision("no-known-any", message, path, returned.at)
        for table in facts.tables:
            for field in table.fields:
                if field.validator != "any":
                    continue
                # What may be stored here: a table or a field that is not known may be this one.
                keys = product((table.name, None), (field.name, None))
                values = [stored[key] for key in keys if key in stored]
                if values and all(values):
                    message = (
                        f"what is stored into {field.name} of {table.name} has a known shape, and "
                        "v.any() lets anything in. Say the shape."
                    )
                    yield Decision("no-known-any", message, path, field.at)


def _cron_work(project: Project) -> Iterator[Decision]:
    seen: set[Node] = set()
    for node in project.nodes():
        for run in node.declaration.runs:
            if run.via not in {"cron", "daily", "hourly", "interval", "monthly", "weekly"}:
                continue
            target = project.target(node.path, run)
            starts = () if target is None else (target,)
            for reached in project.walk(starts, project.uses_or_runs, seen):
                for at in reached.declaration.collects:
                    message = (
                        f"the cron that runs {'.'.join(run.path)} reads a whole table here. "
                        "Work in batches: take(n), and schedule the next batch."
                    )
                    yield Decision("bounded-cron", message, reached.path, at)


_RULES: tuple[Callable[[Project], Iterator[Decision]], ...] = (
    _by_builders,
    _node_import,
    _same_runtime,
    _routers,
    _misplaced,
    _unrouted,
    _clock,
    _rate_limiter,
    _unused_index,
    _id_strings,
    _known_any,
    _cron_work,
)
