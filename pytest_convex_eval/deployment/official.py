"""What a Convex backend that is not ours has in common with the others, wherever it runs."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Unpack
from urllib.parse import urlsplit

from pydantic import JsonValue

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.contract import (
    CALL_SECONDS,
    LONG_CALL_SECONDS,
    Deployment,
    seconds_for,
)
from pytest_convex_eval.deployment.described import function_path
from pytest_convex_eval.deployment.model import (
    Arguments,
    By,
    Deployed,
    FunctionResult,
    PushOutcome,
    UnsupportedError,
)
from pytest_convex_eval.deployment.official_api import SCHEDULED, OfficialApi
from pytest_convex_eval.deployment.recorder import PushRecorder
from pytest_convex_eval.functions import FunctionKind
from pytest_convex_eval.outcomes import InfrastructureError

MOST_ADVANCE_SECONDS = 60.0
"""How far time may be moved where only real time passes."""
SETTLE_SECONDS = 30.0
"""For scheduled functions that are due to end."""
_POLL_SECONDS = 0.05


@dataclass(slots=True)
class Live:
    """A backend that runs, and what is remembered while it does.

    `variables` are those set through here; `changed` says that any was set or deleted.
    """

    url: str
    site_url: str
    admin_key: str
    recorder: PushRecorder
    variables: dict[str, str] = field(default_factory=dict)
    changed: bool = False
    told_failures: set[str] = field(default_factory=set)
    public: tuple[int, frozenset[str]] = (-1, frozenset())


class OfficialDeployment(Deployment):
    """The calls that are the same for every backend; where it runs is for those who inherit."""

    _live: Live | None = None

    @property
    def push_url(self) -> str:
        """A recorder's, in front of the backend."""
        return self._running().recorder.url

    def last_push(self) -> PushOutcome:
        return self._running().recorder.last()

    def deployed(self) -> Deployed:
        return self._api(LONG_CALL_SECONDS).deployed()

    def unknown_operations(self) -> Sequence[str]:
        """None: a backend is of the library's own makers."""
        return ()

    def set_environment(self, changes: Mapping[str, str | None]) -> None:
        live = self._running()
        live.changed = True
        self._api().set_variables(changes)
        for name, value in changes.items():
            if value is None:
                live.variables.pop(name, None)
            else:
                live.variables[name] = value

    def call(
        self, kind: FunctionKind, path: str, args: Arguments | None = None, **by: Unpack[By]
    ) -> FunctionResult:
        acts_as = by.get("identity") is not None and not by.get("admin", False)
        if acts_as and function_path(path) not in self._public():
            # Only an admin can act as somebody, and an admin may call internal functions.
            request = f"[Request ID: {secrets.token_hex(8)}] Server Error\n"
            return FunctionResult(error=f"{request}Could not find public function for '{path}'.")
        return self._api(seconds_for(kind)).call(kind, path, args, **by)

    def insert(self, table: str, documents: Sequence[Mapping[str, JsonValue]]) -> list[str]:
        return self._api().insert(table, documents)

    def delete(self, ids: Sequence[str]) -> None:
        self._api(LONG_CALL_SECONDS).delete(ids)

    def documents(self, table: str) -> list[dict[str, JsonValue]]:
        api = self._api(LONG_CALL_SECONDS)
        return api.documents(table) if table in api.tables() else []

    def advance(self, seconds: float) -> list[str]:
        """Waits `seconds` of real time, and then for scheduled functions that are due by then.

        Cron jobs run by themselves meanwhile; what they fail of is not told. Raises
        UnsupportedError for more than `MOST_ADVANCE_SECONDS`: a backend has no other clock.
        """
        if seconds > MOST_ADVANCE_SECONDS:
            raise UnsupportedError(
                f"this deployment has real time only, and the case moves it by {seconds:g} s "
                f"(at most {MOST_ADVANCE_SECONDS:g}); use --convex-backend embedded"
            )
        due = (time.time() + seconds) * 1000
        time.sleep(seconds)
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            jobs = self._api(LONG_CALL_SECONDS).documents(SCHEDULED)
            waiting = [job for job in jobs if _is_due(job, due)]
            if not waiting:
                return self._untold(jobs)
            if time.monotonic() > deadline:
                raise InfrastructureError(
                    f"scheduled functions had not ended {SETTLE_SECONDS:g} s after they were due: "
                    + ", ".join(str(job.get("name")) for job in waiting)
                )
            time.sleep(_POLL_SECONDS)

    def allow_origins(self, origins: Sequence[str]) -> None:
        """Actions of a backend that runs here reach them as they reach everything.

        Raises UnsupportedError where the backend runs elsewhere: they are this machine's own.
        """
        if not is_loopback(self.url):
            raise UnsupportedError(
                f"the case has services, which run on this machine, and {self.url} can't reach "
                "them; use --convex-backend embedded or local"
            )

    def _check_clock(self, now: float | None) -> None:
        if now is not None:
            raise UnsupportedError(
                "the case sets the time, and this deployment has real time only; "
                "use --convex-backend embedded"
            )

    def _untold(self, jobs: list[dict[str, JsonValue]]) -> list[str]:
        told = self._running().told_failures
        failures = []
        for job in jobs:
            identifier, state = str(job.get("_id")), job.get("state")
            if identifier in told or not isinstance(state, dict) or state.get("kind") != "failed":
                continue
            told.add(identifier)
            failures.append(f"{function_path(str(job.get('name')))}: {state.get('error')}")
        return failures

    def _public(self) -> frozenset[str]:
        live = self._running()
        number = live.recorder.last().number
        if live.public[0] != number:
            functions = self.deployed().functions
            names = frozenset(each.path for each in functions if each.visibility == "public")
            live.public = (number, names)
        return live.public[1]

    def _api(self, timeout_seconds: float = CALL_SECONDS) -> OfficialApi:
        live = self._running()
        return OfficialApi(Client(live.url, live.admin_key, timeout_seconds))

    def _running(self) -> Live:
        if self._live is None:
            raise InfrastructureError("the deployment is not running")
        return self._live


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine: by an address that is a loopback one, or by `localhost`
    (RFC 6761 keeps that name and those below it for it). Any other name may be anybody's."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _is_due(job: Mapping[str, JsonValue], due: float) -> bool:
    state, scheduled = job.get("state"), job.get("scheduledTime")
    kind = state.get("kind") if isinstance(state, dict) else None
    if kind == "inProgress":
        return True
    return kind == "pending" and isinstance(scheduled, int | float) and scheduled <= due
