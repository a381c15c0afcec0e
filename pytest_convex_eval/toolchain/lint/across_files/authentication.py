"""Who the user is, and whether anybody asks: the rules about authentication and authorization."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pytest_convex_eval.toolchain.lint.across_files.decision import Decision, Evidence
from pytest_convex_eval.toolchain.lint.across_files.facts import Declaration, Table
from pytest_convex_eval.toolchain.lint.across_files.project import FUNCTIONS, Endpoint, Project

_USERS = "users"
# Only an identity has one.
_IDENTITY = "tokenIdentifier"
# Of a table whose documents belong to a user, when validated as a string; `v.id("users")` is one
# under any name.
_OWNERS = frozenset({"authorId", "createdBy", "owner", "ownerId", _IDENTITY, "user", "userId"})


def auth_config(project: Project) -> Iterator[Decision]:
    if any(facts.auth_config for facts in project.files.values()):
        return
    for path in project.named(f"{FUNCTIONS}auth.config"):
        message = "this auth configuration names no provider, so that nobody can log in."
        found = project.declaration(path, "default")
        at = found.declaration.at if found is not None else (1, 0)
        yield Decision("auth-config", message, path, at)
        return
    for node in project.nodes():
        if node.declaration.identity is not None:
            message = (
                "this asks who the user is, and no convex/auth.config.ts says who may tell: "
                "the answer is always null."
            )
            yield Decision("auth-config", message, node.path, node.declaration.identity)
            return


def authentication(project: Project, public: Collection[str]) -> Iterator[Decision]:
    """Users own data, and nothing asks who they are; told once a backend."""
    tables = [
        table
        for path, facts in project.files.items()
        if not project.component(path)
        for table in facts.tables
    ]
    # A backend with sessions of its own asks by other means.
    if any(_holds_sessions(table) for table in tables):
        return
    if any(node.declaration.auth for node in project.nodes()):
        return
    owned = {table.name for table in tables if _is_owned(table)}
    touching = project.reaching(
        lambda declaration: any(table in owned for table, _ in declaration.touches)
    )
    for endpoint in _callable_by_anyone(project, public):
        if endpoint.node not in touching or project.component(endpoint.node.path):
            continue
        set_up = bool(project.named(f"{FUNCTIONS}auth.config"))
        known = any(field.name == _IDENTITY for table in tables for field in table.fields)
        evidence: Evidence = "certain" if set_up or known else "likely"
        message = (
            f"{endpoint.name} reaches data that users own, and nothing in this backend asks who "
            "calls: anyone is anyone. "
        ) + (
            "Ask ctx.auth.getUserIdentity()."
            if set_up
            else "Set up convex/auth.config.ts, and ask ctx.auth.getUserIdentity()."
        )
        path, at = endpoint.node.path, endpoint.node.declaration.at
        yield Decision("authentication", message, path, at, evidence)
        return


def authorization(project: Project, public: Collection[str]) -> Iterator[Decision]:
    tables = (table for facts in project.files.values() for table in facts.tables)
    owned = {table.name for table in tables if _is_owned(table)}
    has_users = any(facts.auth_config for facts in project.files.values()) or any(
        node.declaration.auth for node in project.nodes()
    )
    evidence: Evidence = "certain" if owned and has_users else "possible"

    def touches(declaration: Declaration) -> bool:
        # Without its name, what is written to may be any table.
        return any(
            not owned or table in owned or (table is None and written)
            for table, written in declaration.touches
        )

    asking = project.reaching(lambda declaration: declaration.auth)
    touching = project.reaching(touches)
    for endpoint in _callable_by_anyone(project, public):
        if endpoint.node in asking or endpoint.node not in touching:
            continue
        message = (
            f"anyone may call {endpoint.name}, and it reaches data without "
            "asking who calls. Check ctx.auth.getUserIdentity(), or make it internal."
        )
        path, at = endpoint.node.path, endpoint.node.declaration.at
        yield Decision("authorization", message, path, at, evidence)


def _callable_by_anyone(project: Project, public: Collection[str]) -> Iterator[Endpoint]:
    """The public functions that are not meant for anyone; without HTTP actions, which check a
    signature as often as a user."""
    for endpoint in project.endpoints():
        is_open = endpoint.registration.public and not endpoint.registration.http
        if is_open and endpoint.function_path not in public:
            yield endpoint


def _holds_sessions(table: Table) -> bool:
    fields = " ".join(field.name.lower() for field in table.fields)
    return "session" in (table.name or "").lower() and ("token" in fields or "expire" in fields)


def _is_owned(table: Table) -> bool:
    return table.name is not None and any(
        field.table == _USERS or (field.name in _OWNERS and field.validator in {"string", "id"})
        for field in table.fields
    )
