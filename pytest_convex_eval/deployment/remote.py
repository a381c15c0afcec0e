"""A deployment that somebody runs: self-hosted or in Convex's cloud."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.contract import CALL_SECONDS
from pytest_convex_eval.deployment.model import BusyError, UnsupportedError
from pytest_convex_eval.deployment.official import Live, OfficialDeployment
from pytest_convex_eval.deployment.official_api import SCHEDULED, OfficialApi
from pytest_convex_eval.deployment.recorder import PushRecorder
from pytest_convex_eval.leftovers import new_scratch
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError

LOCK_SECONDS = 600.0
"""For the other items of this machine to be done with the deployment."""
_CLOUD = ".convex.cloud"


class RemoteDeployment(OfficialDeployment):
    """A deployment at a URL. What is in it is deleted; one item of this machine has it at a time.

    There are no known functions that cancel scheduled functions or delete files: files stay, and a
    deployment with scheduled functions that wait to run can't be had empty.
    """

    def __init__(
        self, url: str, admin_key: str, locks: Path, *, lock_seconds: float = LOCK_SECONDS
    ) -> None:
        """`locks`: a folder that all processes of this machine share."""
        self._url = url
        self._admin_key = admin_key
        self._lock_seconds = lock_seconds
        name = hashlib.sha256(url.encode()).hexdigest()[:20]
        locks.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(locks / f"deployment-{name}.lock")
        self._stack = contextlib.ExitStack()
        self._scratch: Path | None = None
        self._variables: dict[str, str] = {}

    def start(self) -> None:
        """Waits for its turn; raises BusyError where it is in use for too long."""
        self.close()
        try:
            self._acquire()
            api = OfficialApi(Client(self._url, self._admin_key, CALL_SECONDS))
            api.check_key()
            scratch = new_scratch("deployment")
            self._stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            self._scratch = scratch
            recorder = PushRecorder(self._url)
            self._stack.callback(recorder.close)
            self._variables = api.variables()
            self._live = Live(self._url, api.site_url(), self._admin_key, recorder)
            self.reset_data()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leaves the deployment as it is, but for its environment variables."""
        self.release()
        self._live = None
        self._stack.close()
        self._scratch = None

    def release(self) -> None:
        """Lets other items have the deployment, with the environment variables that it had: as
        far as it still answers."""
        try:
            if self._live is not None and self._live.changed and self._lock.is_locked:
                with contextlib.suppress(InfrastructureError):
                    self._restore_variables(self._live)
        finally:
            self._lock.release(force=True)

    @property
    def scratch(self) -> Path:
        if self._scratch is None:
            raise InfrastructureError("the deployment is not in use")
        return self._scratch

    def alive(self) -> bool:
        if self._live is None:
            return False
        try:
            Client(self._url, "").text("/version")
        except InfrastructureError:
            return False
        return True

    def cpu_seconds(self) -> float:
        return 0.0

    def reset(self) -> None:
        """Empty but for its code, which the next push replaces as a whole."""
        live = self._running()
        self._acquire()
        self._variables = self._api().variables()
        self.reset_data()
        live.recorder.forget()

    def reset_data(self, now: float | None = None) -> None:
        """No documents; raises UnsupportedError where scheduled functions wait to run, and for a
        `now`: its time is real."""
        self._check_clock(now)
        api = self._api()
        jobs = api.documents(SCHEDULED)
        waiting = [job for job in jobs if _waits(job.get("state"))]
        if waiting:
            raise UnsupportedError(
                f"{len(waiting)} scheduled functions wait to run at {self._url}, and can't be "
                "cancelled from here: cancel them in its dashboard, or use --convex-backend local"
            )
        # What failed before is no failure of what comes.
        self._running().told_failures.update(str(job.get("_id")) for job in jobs)
        api.clear_documents()

    def _restore_variables(self, live: Live) -> None:
        api = self._api()
        gone: dict[str, str | None] = dict.fromkeys(api.variables().keys() - self._variables.keys())
        api.set_variables({**gone, **self._variables})
        live.variables.clear()
        live.changed = False

    def _acquire(self) -> None:
        if self._lock.is_locked:
            return
        try:
            self._lock.acquire(timeout=self._lock_seconds)
        except Timeout:
            raise BusyError(
                f"other processes of this machine have been using {self._url} for more than "
                f"{self._lock_seconds:g} s; use fewer workers (-n)"
            ) from None


def check_target(url: str, admin_key: str, *, production: bool) -> None:
    """That a key is one of a deployment, and of none in production unless `production` is set.

    Keys of the cloud say what they are for in front of their name (`dev:name|...`); those without
    that are old ones of production. A self-hosted deployment's key does not say.
    Raises ConfigurationError.
    """
    name = admin_key.partition("|")[0]
    kind, colon, rest = name.partition(":")
    if kind == "project" or (kind == "preview" and ":" in rest):
        raise ConfigurationError(
            "the admin key is one of a project: it names no deployment; make one of the "
            "deployment, in its settings in the dashboard"
        )
    cloud = (urlsplit(url).hostname or "").endswith(_CLOUD)
    is_production = kind == "prod" if colon else cloud
    if is_production and not production:
        raise ConfigurationError(
            f"{url} is a production deployment, by its admin key, and everything in it would be "
            "deleted; use another, or say --convex-allow-production if that is what it is for"
        )


def _waits(state: object) -> bool:
    return isinstance(state, dict) and state.get("kind") in ("pending", "inProgress")
