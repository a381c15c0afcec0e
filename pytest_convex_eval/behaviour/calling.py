"""Steps that call: functions, HTTP actions, uploads, pages; and how their ends are compared."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from pytest_convex_eval.behaviour.failures import StepFailedError, compare, log_block
from pytest_convex_eval.behaviour.fields import Bounds, ErrorName, Throws, UsageLimit
from pytest_convex_eval.behaviour.matching import IdsOf, operators_in
from pytest_convex_eval.behaviour.scope import Scope, identity_of
from pytest_convex_eval.behaviour.steps import (
    ActionStep,
    Block,
    HttpStep,
    MutationStep,
    PaginateStep,
    QueryStep,
    UploadStep,
)
from pytest_convex_eval.behaviour.values import show
from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.model import (
    FunctionResult,
    HttpAnswer,
    Usage,
)
from pytest_convex_eval.functions import FunctionKind

MOST_PAGES = 500

_TEXT_OPERATORS = frozenset({"$matches"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes the calls of a block's steps on `deployment`."""

    deployment: Deployment
    block: Block
    ids_of: IdsOf

    def call(self, step: QueryStep | MutationStep | ActionStep, scope: Scope) -> FunctionResult:
        """What the function of `step` ends in."""
        args = _object(scope.given(step.args))
        identity = self._identity(step, scope)
        kind, path = called_by(step)
        return self.deployment.call(kind, path, args, identity=identity, admin=step.internal)

    def check(
        self, step: QueryStep | MutationStep | ActionStep, result: FunctionResult, scope: Scope
    ) -> JsonValue:
        """The value of `result`. Raises StepFailedError where it is not as `step` says."""
        context = [self._sent(step, scope.given(step.args), scope)]
        logs = log_block(result.log_lines)
        if step.throws is not None:
            check_error(step.throws, result, scope, self.ids_of, context)
        elif not result.ok:
            said = said_of(result)
            raise StepFailedError("error", f"it failed: {said[0]}", [*said[1:], *context, *logs])
        elif "returns" in step.model_fields_set:
            compare(
                "returns",
                "returns",
                scope.expected(step.returns),
                result.value,
                self.ids_of,
                [*context, *logs],
            )
        _check_logs(step.logs, result.log_lines, context)
        _check_usage(step.uses, result.usage, context)
        return result.value

    def request(self, step: HttpStep, scope: Scope) -> HttpAnswer:
        """What is answered to the request of `step`."""
        request = step.http
        headers = {name: scope.text(value) for name, value in request.headers.items()}
        body: str | bytes | None = None
        if "json_" in request.model_fields_set:
            body = json.dumps(scope.given(request.json_))
            if "content-type" not in {name.lower() for name in headers}:
                headers["Content-Type"] = "application/json"
        elif request.text is not None:
            body = scope.text(request.text)
        elif request.base64 is not None:
            body = _bytes(scope.text(request.base64))
        to = scope.text(request.url or "" if request.path is None else request.path)
        ask = self.deployment.fetch if request.path is None else self.deployment.http
        try:
            return ask(request.method, to, headers, body)
        except ValueError as error:
            raise StepFailedError("reference", str(error)) from None

    def check_answer(self, step: HttpStep, answer: HttpAnswer, scope: Scope) -> JsonValue:
        """The body, parsed where it is JSON. Raises StepFailedError."""
        text = answer.body.decode("utf-8", "replace")
        context = [f"the body: {show(text)}"] if text else []
        if step.status is not None and answer.status != step.status:
            summary = f"status: expected {step.status}, got {answer.status}"
            raise StepFailedError("status", summary, context)
        got = {name.lower(): value for name, value in answer.headers}
        for name, expected in step.headers.items():
            compare(
                "headers",
                f"header {name}",
                scope.expected(expected),
                got.get(name.lower()),
                self.ids_of,
            )
        parsed = _json(text)
        if "body" in step.model_fields_set:
            of_text = isinstance(step.body, str) or _TEXT_OPERATORS & set(
                operators_in(step.body) or ()
            )
            of_body = scope.expected(step.body)
            compare("body", "body", of_body, text if of_text else parsed, self.ids_of)
        if "text" in step.model_fields_set:
            compare("body", "text", scope.expected(step.text), text, self.ids_of)
        if "json_" in step.model_fields_set:
            if parsed == text:
                raise StepFailedError("body", "the body is no JSON", context)
            compare("body", "json", scope.expected(step.json_), parsed, self.ids_of)
        if step.base64 is not None:
            sent = base64.b64encode(answer.body).decode()
            compare("body", "base64", scope.text(step.base64), sent, self.ids_of)
        return parsed

    def upload(self, step: UploadStep, scope: Scope) -> JsonValue:
        """The storage id of the file. Raises StepFailedError."""
        url = scope.text(step.upload.to)
        body = (
            scope.text(step.upload.text or "")
            if step.upload.base64 is None
            else _bytes(scope.text(step.upload.base64))
        )
        try:
            answer = self.deployment.fetch("POST", url, {"Content-Type": step.upload.type}, body)
        except ValueError as error:
            raise StepFailedError("upload", str(error)) from None
        text = answer.body.decode("utf-8", "replace")
        parsed = _json(text)
        if answer.status != 200 or not isinstance(parsed, dict) or "storageId" not in parsed:
            raise StepFailedError("upload", f"the upload was answered {answer.status}: {text}")
        return parsed["storageId"]

    def paginate(self, step: PaginateStep, scope: Scope) -> JsonValue:
        """All items of all pages. Raises StepFailedError."""
        identity = self._identity(step, scope)
        args = _object(scope.given(step.args))
        items: list[JsonValue] = []
        filled = 0
        cursor: JsonValue = None
        for _ in range(MOST_PAGES):
            options: dict[str, JsonValue] = {"numItems": step.page_size, "cursor": cursor}
            options |= _object(
                scope.given({str(name): value for name, value in step.options.items()})
            )
            page_args: dict[str, JsonValue] = {**args, "paginationOpts": options}
            result = self.deployment.call("query", step.paginate, page_args, identity=identity)
            context = [self._sent(step, page_args, scope), *log_block(result.log_lines)]
            if not result.ok:
                said = said_of(result)
                raise StepFailedError("error", f"it failed: {said[0]}", [*said[1:], *context])
            page = result.value
            if not isinstance(page, dict) or not isinstance(page.get("page"), list):
                raise StepFailedError(
                    "pages", f"no page with page, isDone, continueCursor: {show(page)}", context
                )
            found = page["page"]
            assert isinstance(found, list)
            if len(found) > step.page_size:
                summary = f"a page of {len(found)} items where {step.page_size} were asked for"
                raise StepFailedError("pages", summary, context)
            _check_usage(step.uses, result.usage, context)
            items += found
            filled += bool(found)
            if page.get("isDone") is True:
                break
            cursor = page.get("continueCursor")
            if not isinstance(cursor, str):
                raise StepFailedError("pages", "a page without continueCursor", context)
        else:
            raise StepFailedError("pages", f"it has not ended after {MOST_PAGES} pages")
        if "pages" in step.model_fields_set:
            compare("pages", "pages", scope.expected(step.pages), filled, self.ids_of)
        if "returns" in step.model_fields_set:
            compare("returns", "items", scope.expected(step.returns), items, self.ids_of)
        return items

    def _identity(
        self, step: QueryStep | MutationStep | ActionStep | PaginateStep, scope: Scope
    ) -> dict[str, JsonValue] | None:
        caller = scope.given(step.as_ if "as_" in step.model_fields_set else self.block.as_)
        if caller is None or isinstance(caller, str):
            return identity_of(caller)
        return identity_of(_object(caller))

    def _sent(
        self,
        step: QueryStep | MutationStep | ActionStep | PaginateStep,
        args: JsonValue,
        scope: Scope,
    ) -> str:
        """What was sent, and by whom."""
        identity = self._identity(step, scope)
        caller = "" if identity is None else f", as {show(identity.get('subject'))}"
        return f"sent {show(args)}{caller}"


def called_by(step: QueryStep | MutationStep | ActionStep) -> tuple[FunctionKind, str]:
    """The kind and the path of the function that is called."""
    match step:
        case QueryStep():
            return "query", step.query
        case MutationStep():
            return "mutation", step.mutation
        case ActionStep():
            return "action", step.action


def check_error(
    expected: Throws, result: FunctionResult, scope: Scope, ids_of: IdsOf, context: Sequence[str]
) -> None:
    """Raises StepFailedError unless `result` is the expected error."""
    logs = log_block(result.log_lines)
    if result.ok:
        raise StepFailedError(
            "no-error", f"it must fail, and returned {show(result.value)}", [*context, *logs]
        )
    said = said_of(result)
    text = "\n".join(said)
    kind = error_name(result)
    lines = [*said[1:], *context, *logs]
    # An error before the function's code runs is no refusal by that code.
    if expected.error is None and kind in ("ArgumentValidationError", "FunctionNotFound"):
        summary = f"its own code must throw, and it failed before it ran: {said[0]}"
        raise StepFailedError("other-error", summary, lines)
    if expected.error is not None and kind != expected.error:
        summary = f"it must fail with {expected.error}, and failed with: {said[0]}"
        raise StepFailedError("other-error", summary, lines)
    message = None if expected.message is None else scope.text(expected.message)
    searched = f"{text}\n{json.dumps(result.error_data, ensure_ascii=False)}"
    if message is not None and message not in searched:
        summary = f"its error must say {show(message)}, and says: {said[0]}"
        raise StepFailedError("other-error", summary, lines)
    if expected.matches is not None and re.search(expected.matches, searched) is None:
        summary = f"its error must match {show(expected.matches)}, and says: {said[0]}"
        raise StepFailedError("other-error", summary, lines)
    if "data" in expected.model_fields_set:
        compare(
            "other-error", "data", scope.expected(expected.data), result.error_data, ids_of, lines
        )


_PREFIXES: Mapping[str, ErrorName] = {
    "ArgumentValidationError": "ArgumentValidationError",
    "ReturnsValidationError": "ReturnsValidationError",
    "Could not find public function": "FunctionNotFound",
    "Could not find function": "FunctionNotFound",
    "Uncaught ConvexError": "ConvexError",
}


def error_name(result: FunctionResult) -> ErrorName | None:
    """The class of an error. Clients are told it by the beginning of the message alone, so this is
    part of the deployment's interface."""
    said = said_of(result)[0]
    for prefix, name in _PREFIXES.items():
        if said.startswith(prefix):
            return name
    if "because it does not match the schema" in said:
        return "SchemaValidationError"
    return None


def succeeded(result: FunctionResult | HttpAnswer) -> bool:
    return result.ok if isinstance(result, FunctionResult) else result.status < 400


def said_of(result: FunctionResult) -> list[str]:
    """The lines of the error, without the request's id; of its stack the answer's own frames."""
    text = result.error or ""
    head, newline, rest = text.partition("\n")
    return own_lines(rest if newline and head.startswith("[Request ID") else text)


def own_lines(text: str) -> list[str]:
    """The lines of an error, its stack without the frames of installed packages."""
    lines = [
        line.replace("(../convex/", "(convex/")
        for line in text.splitlines()
        if not (line.startswith("    at ") and "node_modules/" in line)
    ]
    return lines or ["(no message)"]


def _check_logs(patterns: Sequence[str], log_lines: Sequence[str], context: Sequence[str]) -> None:
    place = 0
    for pattern in patterns:
        while place < len(log_lines) and re.search(pattern, log_lines[place]) is None:
            place += 1
        if place == len(log_lines):
            logs = log_block(log_lines) or ["it logged nothing"]
            summary = f"no log line matches {show(pattern)}"
            raise StepFailedError("logs", summary, [*context, *logs])
        place += 1


def _check_usage(bounds: UsageLimit | None, usage: Usage | None, context: Sequence[str]) -> None:
    if bounds is None or usage is None:
        return
    for name in type(bounds).model_fields:
        bound: Bounds | None = getattr(bounds, name)
        used = getattr(usage, name)
        if bound is None:
            continue
        what = name.replace("_", " ")
        if bound.lte is not None and used > bound.lte:
            raise StepFailedError("uses", f"{what}: at most {bound.lte}, used {used}", context)
        if bound.gte is not None and used < bound.gte:
            raise StepFailedError("uses", f"{what}: at least {bound.gte}, used {used}", context)


def _json(text: str) -> JsonValue:
    """The value that a JSON text says; the text itself where it is none."""
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise StepFailedError("reference", f"no base64: {show(text)}") from None


def _object(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise StepFailedError("args", f"arguments must be an object, not {show(value)}")
    return value
