"""The contract of a deployment: what its clients can ask of it, and what we can do with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self, Unpack
from urllib.parse import quote

from pydantic import JsonValue

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.model import (
    Arguments,
    By,
    Deployed,
    FunctionResult,
    HttpAnswer,
    PushOutcome,
)
from pytest_convex_eval.functions import FunctionKind
from pytest_convex_eval.text import well_formed

CALL_SECONDS = 30.0
"""For one call: a query or mutation is ended by the deployment after 1 s of CPU."""
LONG_CALL_SECONDS = 120.0
"""For an action, for HTTP actions, and for everything that becomes due when the clock is moved."""

# All that an address may hold as it is, the percent sign of what is encoded already among it.
_OF_ADDRESSES = "%/:?#[]@!$&'()*+,;="


def seconds_for(kind: FunctionKind | None) -> float:
    """How long a call of a function of this kind is waited for; None: whatever it is."""
    return CALL_SECONDS if kind in ("query", "mutation") else LONG_CALL_SECONDS


class Addresses(Protocol):
    """Where a deployment that runs is reached, and with what key."""

    @property
    def url(self) -> str: ...

    @property
    def site_url(self) -> str: ...

    @property
    def admin_key(self) -> str: ...


class Endpoint(ABC):
    """A deployment as its clients see it. How functions are called is for those who inherit."""

    @abstractmethod
    def _running(self) -> Addresses:
        """Raises InfrastructureError while it does not run."""

    @abstractmethod
    def call(
        self, kind: FunctionKind, path: str, args: Arguments | None = None, **by: Unpack[By]
    ) -> FunctionResult:
        """Runs the function `path` (`module:function`); what it throws is in the result.

        Raises InfrastructureError when the deployment does not answer.
        """

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return self._running().url

    @property
    def site_url(self) -> str:
        """Where HTTP actions are served."""
        return self._running().site_url

    @property
    def admin_key(self) -> str:
        """The key with which everything may be done."""
        return self._running().admin_key

    def query(self, path: str, args: Arguments | None = None, **by: Unpack[By]) -> FunctionResult:
        """`call` of a query."""
        return self.call("query", path, args, **by)

    def mutation(
        self, path: str, args: Arguments | None = None, **by: Unpack[By]
    ) -> FunctionResult:
        """`call` of a mutation."""
        return self.call("mutation", path, args, **by)

    def action(self, path: str, args: Arguments | None = None, **by: Unpack[By]) -> FunctionResult:
        """`call` of an action."""
        return self.call("action", path, args, **by)

    def http(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
    ) -> HttpAnswer:
        """What the HTTP action at `path` of the site answers.

        What no address can hold is percent-encoded in `path`, and halves of surrogate pairs are
        replaced in a `body` that is text, as browsers do. Raises ValueError for headers that HTTP
        can't carry.
        """
        return _send(self.site_url, method, path, headers, body)

    def fetch(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
    ) -> HttpAnswer:
        """Asks an address of this deployment, e.g. a file's or an upload URL, as a browser would.

        Raises ValueError for an address of anybody else, and for headers like `http`.
        """
        for own in (self.url, self.site_url):
            if url.startswith(f"{own}/"):
                return _send(own, method, url.removeprefix(own), headers, body)
        raise ValueError(f"{url!r} is no address of the deployment")


class Deployment(Endpoint):
    """Where a project can be pushed to, and what can be done with what was pushed: the contract of
    every kind of deployment, each of which says only where it differs.

    Use as a context manager, or call `start` and `close`.

    A method raises InfrastructureError when the deployment does not do what it is there for, and
    UnsupportedError when deployments of its kind never do; nothing here blames a model.
    """

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    @abstractmethod
    def push_url(self) -> str:
        """Where the CLI pushes to: `url`, or what stands in front of it and sees the push."""

    @property
    @abstractmethod
    def scratch(self) -> Path:
        """A folder for files that live as long as the deployment."""

    @abstractmethod
    def start(self) -> None:
        """Makes it ready, empty, and this process's own until `release` or `close`."""

    @abstractmethod
    def close(self) -> None:
        """Ends what was started; nothing happens where nothing was."""

    @abstractmethod
    def release(self) -> None:
        """The item is done with it: others may use it until the next `reset`."""

    @abstractmethod
    def alive(self) -> bool:
        """Whether what was started answers, and not another at its address."""

    @abstractmethod
    def cpu_seconds(self) -> float:
        """CPU seconds that the deployment used since its start; 0.0 where they are not known."""

    @abstractmethod
    def reset(self) -> None:
        """Makes it empty again, and this process's own."""

    @abstractmethod
    def last_push(self) -> PushOutcome:
        """How the last push since the start or the last reset ended."""

    @abstractmethod
    def unknown_operations(self) -> Sequence[str]:
        """Operations that functions asked for since the last reset and that it does not know."""

    @abstractmethod
    def deployed(self) -> Deployed:
        """What is live."""

    @abstractmethod
    def set_environment(self, changes: Mapping[str, str | None]) -> None:
        """Sets the deployment's environment variables; None deletes one."""

    @abstractmethod
    def insert(self, table: str, documents: Sequence[Mapping[str, JsonValue]]) -> list[str]:
        """Inserts all documents or none; their ids, in order.

        Raises ValueError with the deployment's message for a document that it refuses.
        """

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> None:
        """Deletes documents past all functions. Raises ValueError for one that is not there."""

    @abstractmethod
    def documents(self, table: str) -> list[dict[str, JsonValue]]:
        """All documents of a table, the oldest first; none where there is no such table."""

    @abstractmethod
    def advance(self, seconds: float) -> list[str]:
        """Lets `seconds` pass and runs everything that becomes due.

        Returns the errors of scheduled functions and cron jobs that failed since the last call, as
        `function: error`.
        """

    @abstractmethod
    def reset_data(self, now: float | None = None) -> None:
        """Makes it as it was just after the push: no documents, files and scheduled functions;
        nothing else of the network can be reached, where that can be had. Time is real, or goes on
        from `now` (milliseconds since 1970)."""

    @abstractmethod
    def allow_origins(self, origins: Sequence[str]) -> None:
        """Lets actions reach these origins (`http://127.0.0.1:8080`) until the next reset."""


def _send(
    url: str, method: str, path: str, headers: Mapping[str, str] | None, body: bytes | str | None
) -> HttpAnswer:
    content = well_formed(body).encode() if isinstance(body, str) else body
    address = quote(well_formed(path), safe=_OF_ADDRESSES)
    return Client(url, "", LONG_CALL_SECONDS).send(method, address, headers or {}, content)
