"""What can be asked of any deployment, since it is reached over HTTP wherever it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol, Unpack
from urllib.parse import quote

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.model import Arguments, By, FunctionResult, HttpAnswer
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
        """Runs the function `path`; see `Deployment.call`."""

    @property
    def url(self) -> str:
        return self._running().url

    @property
    def site_url(self) -> str:
        """Where HTTP actions are served."""
        return self._running().site_url

    @property
    def admin_key(self) -> str:
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


def _send(
    url: str, method: str, path: str, headers: Mapping[str, str] | None, body: bytes | str | None
) -> HttpAnswer:
    content = well_formed(body).encode() if isinstance(body, str) else body
    address = quote(well_formed(path), safe=_OF_ADDRESSES)
    return Client(url, "", LONG_CALL_SECONDS).send(method, address, headers or {}, content)
