"""Takes the blocks of a case on a deployment, each from an empty one."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from pytest_convex_eval.behaviour.calling import (
    Caller,
    called_by,
    own_lines,
    said_of,
    succeeded,
)
from pytest_convex_eval.behaviour.durations import seconds_of
from pytest_convex_eval.behaviour.failures import Location, StepFailedError, compare
from pytest_convex_eval.behaviour.fields import Throws
from pytest_convex_eval.behaviour.matching import assign, mismatches
from pytest_convex_eval.behaviour.references import ReferenceFailedError
from pytest_convex_eval.behaviour.scope import Scope
from pytest_convex_eval.behaviour.services import Answer, Service
from pytest_convex_eval.behaviour.steps import (
    ActionStep,
    AdvanceStep,
    Block,
    DeleteStep,
    EachStep,
    EnvStep,
    HttpStep,
    InsertStep,
    MutationStep,
    PaginateStep,
    ParallelStep,
    QueryStep,
    RepeatStep,
    ServiceRoute,
    ServiceStep,
    Step,
    TableStep,
    UploadStep,
)
from pytest_convex_eval.behaviour.values import show
from pytest_convex_eval.deployment.client import BrokenOffError, DeadlineError
from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.model import (
    FunctionResult,
    HttpAnswer,
    UnsupportedError,
)
from pytest_convex_eval.outcomes import InfrastructureError

MOST_PARALLEL = 32
_MOST_ENDS = 10
_SYSTEM_TABLES = frozenset({"_storage", "_scheduled_functions"})


@dataclass(frozen=True, slots=True)
class BlockFailure:
    """The step at which a block ended. `location` leads to it in the case file."""

    block: str
    step: str
    location: Location
    error: StepFailedError


class _OutOfTimeError(Exception):
    """The blocks have taken longer than they may, together."""


def run_blocks(
    deployment: Deployment,
    blocks: Sequence[Block],
    environment: Mapping[str, str],
    deadline_seconds: float,
) -> Iterator[BlockFailure]:
    """Takes all blocks; a failed step ends its block and no other.

    `environment` are the deployment's variables outside of blocks, set already. Blocks that calls
    without an answer leave no time for are not taken. Raises InfrastructureError for what is not
    the answer's fault: time that ran out though every call was answered is none. What the
    deployment cannot do (UnsupportedError) is raised once all other blocks have passed.
    """
    end = time.monotonic() + deadline_seconds
    failed = False
    unsupported: UnsupportedError | None = None
    for number, block in enumerate(blocks):
        try:
            with _Run.of(deployment, block, environment, end) as run:
                failure = run.take(("behaviour", number, "steps"))
        except UnsupportedError as error:
            unsupported = unsupported or error
            continue
        except _OutOfTimeError:
            if failed:
                return
            raise InfrastructureError(
                f"the case's behaviour took longer than {deadline_seconds:g} s"
            ) from None
        if failure is not None:
            failed = True
            yield failure
    if unsupported is not None and not failed:
        raise unsupported


class _Run:
    """One block while it is taken."""

    def __init__(
        self, deployment: Deployment, block: Block, services: Mapping[str, Service], end: float
    ) -> None:
        self.deployment = deployment
        self._block = block
        self._end = end
        self.services = services
        self.taken = ""
        self._documents: dict[str, frozenset[str]] = {}
        self._caller = Caller(deployment, block, self._ids_of)
        self._set: set[str] = set()
        start = time.time() * 1000 if block.at is None else _milliseconds(block.at)
        self._start = None if block.at is None else start
        addresses = {name: service.url for name, service in services.items()}
        own = {"url": deployment.url, "site": deployment.site_url}
        self.scope = Scope(addresses, start - time.time() * 1000, round(start), deployment=own)

    @classmethod
    @contextlib.contextmanager
    def of(
        cls, deployment: Deployment, block: Block, environment: Mapping[str, str], end: float
    ) -> Iterator[_Run]:
        """A run whose block starts from an empty deployment, and leaves its environment behind."""
        with contextlib.ExitStack() as stack:
            services = {
                name: stack.enter_context(Service([_answer(route) for route in routes]))
                for name, routes in block.services.items()
            }
            run = cls(deployment, block, services, end)
            deployment.reset_data(run._start)
            if services:
                deployment.allow_origins([service.url for service in services.values()])
            if block.env:
                run.set_environment(
                    {name: run.scope.text(value) for name, value in block.env.items()}
                )
            try:
                yield run
            finally:
                if run._set:
                    back = {name: environment.get(name) for name in run._set}
                    deployment.set_environment(back)

    def take(self, location: Location) -> BlockFailure | None:
        """Takes the block's steps, which stand at `location`, up to the first that fails."""
        try:
            self.steps(self._block.steps, location, self.scope)
        except StepFailedError as error:
            return BlockFailure(self._block.name, self.taken, error.location, error)
        return None

    def set_environment(self, changes: Mapping[str, str | None]) -> None:
        self._set |= set(changes)
        self.deployment.set_environment(changes)

    def steps(self, steps: Sequence[Step], location: Location, scope: Scope) -> None:
        """Takes `steps` one after another. Raises StepFailedError at the first that fails."""
        for number, step in enumerate(steps):
            here = (*location, number)
            self._documents.clear()
            if time.monotonic() > self._end:
                raise _OutOfTimeError
            try:
                self._step(step, here, scope)
            except StepFailedError as error:
                if not error.location:
                    self.taken = _title(step)
                raise error.at(here) from None
            except ReferenceFailedError as error:
                self.taken = _title(step)
                raise StepFailedError("reference", str(error)).at(here) from None
            except (DeadlineError, BrokenOffError) as error:
                if not self.deployment.alive():
                    raise
                self.taken = _title(step)
                late = isinstance(error, DeadlineError)
                failed = StepFailedError("timeout" if late else "error", str(error))
                raise failed.at(here) from None

    def _step(self, step: Step, here: Location, scope: Scope) -> None:
        match step:
            case QueryStep() | MutationStep() | ActionStep():
                result = self._caller.call(step, scope)
                self._save(step.save, self._caller.check(step, result, scope), scope)
            case HttpStep():
                answer = self._caller.request(step, scope)
                self._save(step.save, self._caller.check_answer(step, answer, scope), scope)
            case InsertStep():
                self._insert(step, scope)
            case DeleteStep():
                ids = [scope.text(each) for each in step.delete]
                try:
                    self.deployment.delete(ids)
                except ValueError as error:
                    raise StepFailedError("reference", str(error).splitlines()[0]) from None
            case TableStep():
                self._table(step, scope)
            case UploadStep():
                self._save(step.save, self._caller.upload(step, scope), scope)
            case AdvanceStep():
                self._advance(step, scope)
            case EnvStep():
                changes = {
                    name: None if value is None else scope.text(value)
                    for name, value in step.env.items()
                }
                self.set_environment(changes)
            case ParallelStep():
                self._parallel(step, here, scope)
            case PaginateStep():
                self._save(step.save, self._caller.paginate(step, scope), scope)
            case RepeatStep():
                for index in range(step.repeat):
                    self.steps(step.steps, (*here, "steps"), scope.inner(index=index))
            case EachStep():
                for index, each in enumerate(step.each):
                    inner = scope.inner(each=scope.given(each), index=index)
                    self.steps(step.steps, (*here, "steps"), inner)
            case ServiceStep():
                self._service(step, scope)

    def _save(self, name: str | None, value: JsonValue, scope: Scope) -> None:
        if name is not None:
            scope.saved[name] = value

    def _insert(self, step: InsertStep, scope: Scope) -> None:
        ((table, documents),) = step.insert.items()
        given = scope.given([dict(document) for document in documents])
        assert isinstance(given, list)
        try:
            ids = self.deployment.insert(table, [each for each in given if isinstance(each, dict)])
        except ValueError as error:
            if step.throws is None:
                summary = f"the table refuses the documents: {str(error).splitlines()[0]}"
                lines = [*str(error).splitlines()[1:], f"inserted {show(given)}"]
                raise StepFailedError("insert", summary, lines) from None
            _check_refusal(step.throws, str(error))
            return
        if step.throws is not None:
            raise StepFailedError(
                "no-error", "the table must refuse it", [f"inserted {show(given)}"]
            )
        self._save(step.save, [*ids], scope)

    def _table(self, step: TableStep, scope: Scope) -> None:
        where = scope.expected(dict(step.where))
        documents: list[JsonValue] = [
            document
            for document in self.deployment.documents(step.table)
            if not mismatches(where, document, self._ids_of)
        ]
        if not documents:
            self._check_table(step.table)
        what = f"documents of {step.table}"
        shown = [f"{what}: {show(documents)}"]
        if "count" in step.model_fields_set:
            compare(
                "table", "count", scope.expected(step.count), len(documents), self._ids_of, shown
            )
        wanted = [scope.expected(each) for each in step.contains]
        for item, place in zip(wanted, assign(wanted, documents, self._ids_of), strict=True):
            if place is None:
                raise StepFailedError("table", f"no document matches {show(item)}", shown)
        if step.documents is not None:
            expected = {"$unordered": [scope.expected(each) for each in step.documents]}
            compare("table", what, expected, documents, self._ids_of, shown)
        self._save(step.save, documents, scope)

    def _check_table(self, name: str) -> None:
        """Raises StepFailedError for a table that a deployed schema does not have."""
        deployed = self.deployment.deployed()
        names = sorted(table.name for table in deployed.tables)
        if deployed.has_schema and name not in names and name not in _SYSTEM_TABLES:
            raise StepFailedError(
                "table", f"there is no table {name!r} (deployed: {', '.join(names) or 'none'})"
            )

    def _advance(self, step: AdvanceStep, scope: Scope) -> None:
        seconds = seconds_of(step.advance)
        failed = self.deployment.advance(seconds)
        scope.advance(seconds)
        for each in failed:
            if each.partition(": ")[0] not in step.fails:
                first, *rest = own_lines(each)
                raise StepFailedError("scheduled", f"a scheduled function failed: {first}", rest)

    def _parallel(self, step: ParallelStep, here: Location, scope: Scope) -> None:
        calls = [
            (number, each)
            for each_time in range(step.times)
            for number, each in enumerate(step.parallel)
        ]

        def make(
            call: tuple[int, QueryStep | MutationStep | ActionStep | HttpStep],
        ) -> FunctionResult | HttpAnswer:
            each = call[1]
            if isinstance(each, HttpStep):
                return self._caller.request(each, scope)
            return self._caller.call(each, scope)

        with ThreadPoolExecutor(min(len(calls), MOST_PARALLEL)) as pool:
            results = list(pool.map(make, calls))
        if "succeed" in step.model_fields_set:
            count = sum(map(succeeded, results))
            counted = Counter(map(_end, results)).most_common(_MOST_ENDS)
            ends = [f"{times} {end}" for end, times in counted]
            compare("race", "succeed", scope.expected(step.succeed), count, self._ids_of, ends)
            return
        values: list[JsonValue] = []
        for (number, each), result in zip(calls, results, strict=True):
            place = (*here, "parallel", number)
            try:
                if isinstance(each, HttpStep):
                    assert isinstance(result, HttpAnswer)
                    value = self._caller.check_answer(each, result, scope)
                else:
                    assert isinstance(result, FunctionResult)
                    value = self._caller.check(each, result, scope)
            except StepFailedError as error:
                self.taken = _title(each)
                raise error.at(place) from None
            self._save(each.save, value, scope)
            values.append(value)
        if "returns" in step.model_fields_set:
            compare("returns", "returns", scope.expected(step.returns), values, self._ids_of)

    def _service(self, step: ServiceStep, scope: Scope) -> None:
        requests: list[JsonValue] = [*self.services[step.service].requests]
        shown = [f"it received {show(requests)}"]
        if "count" in step.model_fields_set:
            compare(
                "service", "count", scope.expected(step.count), len(requests), self._ids_of, shown
            )
        wanted = [scope.expected(each) for each in step.requests]
        for item, place in zip(wanted, assign(wanted, requests, self._ids_of), strict=True):
            if place is None:
                raise StepFailedError("service", f"no request matches {show(item)}", shown)

    def _ids_of(self, table: str) -> frozenset[str]:
        """Looked up once a step: a list of a hundred ids must not take a hundred lookups."""
        if table not in self._documents:
            documents = self.deployment.documents(table)
            self._documents[table] = frozenset(str(each["_id"]) for each in documents)
        return self._documents[table]


def _end(result: FunctionResult | HttpAnswer) -> str:
    """How one of several calls ended, in a line."""
    if isinstance(result, HttpAnswer):
        return f"answered {result.status}"
    return f"returned {show(result.value)}" if result.ok else f"failed: {said_of(result)[0]}"


def _title(step: Step) -> str:
    """The step in a few words: `mutation posts:create`."""
    match step:
        case QueryStep() | MutationStep() | ActionStep():
            return " ".join(called_by(step))
        case PaginateStep():
            return f"paginate {step.paginate}"
        case HttpStep():
            return f"{step.http.method} {step.http.path or step.http.url}"
        case InsertStep():
            return f"insert into {next(iter(step.insert))}"
        case TableStep():
            return f"table {step.table}"
        case AdvanceStep():
            return f"advance {step.advance}"
        case ServiceStep():
            return f"service {step.service}"
        case _:
            return type(step).__name__.removesuffix("Step").lower()


def _check_refusal(expected: Throws, text: str) -> None:
    if expected.error not in (None, "SchemaValidationError"):
        raise StepFailedError("other-error", f"the table refuses it: {text}")
    if expected.message is not None and expected.message not in text:
        summary = f"the error must say {show(expected.message)}, and says: {text}"
        raise StepFailedError("other-error", summary)


def _answer(route: ServiceRoute) -> Answer:
    if route.text is not None:
        return Answer(route.method, route.path, route.status, "text/plain", route.text.encode())
    body = json.dumps(route.json_).encode() if "json_" in route.model_fields_set else b""
    return Answer(route.method, route.path, route.status, "application/json", body)


def _milliseconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1000
