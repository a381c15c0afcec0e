"""The deployment that a process keeps for its items: started ahead, emptied for each, replaced when
it has died."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.model import (
    BusyError,
    UnsupportedError,
)
from pytest_convex_eval.outcomes import InfrastructureError


class KeptDeployment:
    """One deployment after another, at most one at a time. `close` ends what was started."""

    def __init__(self, new: Callable[[], Deployment]) -> None:
        """`new` makes a deployment that is not started."""
        self._new = new
        self._deployment: Deployment | None = None
        self._ahead: Future[Deployment] | None = None

    def start_ahead(self) -> None:
        """Starts the first deployment in a thread of its own, for whoever asks for it next."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="deployment")
        self._ahead = pool.submit(self._started)
        pool.shutdown(wait=False)

    def empty(self) -> Deployment:
        """The running deployment, empty; a new one where none runs or the one that does is mute.

        Raises InfrastructureError where none can be had, BusyError and UnsupportedError among it.
        """
        if self._ahead is not None and self._deployment is None:
            # Let go of only once it is held or known to have failed: `close` must find it.
            try:
                self._deployment = self._ahead.result()
            except InfrastructureError:
                self._ahead = None
                raise
            self._ahead = None
            return self._deployment
        if self._deployment is not None and self._deployment.alive():
            try:
                self._deployment.reset()
                return self._deployment
            except (BusyError, UnsupportedError):
                # Starting anew changes nothing about either.
                raise
            except InfrastructureError:
                # It died between the two calls, or no longer answers: a fresh one serves.
                pass
        self.close()
        self._deployment = self._started()
        return self._deployment

    def release(self) -> None:
        """The item is over: what others wait for is theirs until the next `empty`."""
        if self._deployment is not None:
            self._deployment.release()

    def close(self) -> None:
        """Ends the deployment, also one that is still being started."""
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            with contextlib.suppress(InfrastructureError):
                ahead.result().close()
        if self._deployment is not None:
            self._deployment.close()
            self._deployment = None

    def _started(self) -> Deployment:
        deployment = self._new()
        deployment.start()
        return deployment
