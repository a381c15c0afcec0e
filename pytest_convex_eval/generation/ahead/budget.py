"""A budget in USD that all processes of a run share.

Money is reserved before each HTTP request and settled after it, in one small file under a lock.
What is reserved is the most that the reply can cost, so that the budget is never exceeded; it also
means that a small budget has few requests in flight. What a process had reserved when it was killed
counts as spent: the provider may well have billed it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from pytest_convex_eval.files import write_whole
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.pricing import PriceTable, show_usd
from pytest_convex_eval.generation.provider import AttemptEnd, GenerationCancelledError, Request
from pytest_convex_eval.outcomes import ConfigurationError, ConvexEvalError, InfrastructureError

_LEDGER = "budget.json"
_LOCK = "budget.lock"
_LOCK_SECONDS = 600.0
_POLL_SECONDS = 0.05
_LONGEST_POLL_SECONDS = 0.5
# Sums of floats: a millionth of a cent is nobody's money.
_SLACK_USD = 1e-8


class BudgetExhaustedError(ConvexEvalError):
    """There is no money left for a request: its item was not run, and nobody is at fault."""


@dataclass(frozen=True, slots=True)
class BudgetState:
    """In USD. `spent` is exact where prices and usage were known, else the most it can have been;
    `reserved` is for requests in flight. `refused` counts the requests that were not made."""

    limit: float
    spent: float
    reserved: float
    refused: int

    @property
    def exhausted(self) -> bool:
        return self.refused > 0


class Reservation:
    """Money set aside for one request; settled once."""

    def __init__(self, budget: Budget, identity: str, usd: float) -> None:
        self.usd = usd
        self._budget = budget
        self._identity: str | None = identity

    def settle(self, usd: float | None) -> None:
        """`usd` were spent; None where that is unknown, when all that was reserved counts."""
        identity, self._identity = self._identity, None
        if identity is not None:
            self._budget._settle(identity, self.usd if usd is None else usd)


class Budget:
    """The budget of `limit` USD whose ledger is in `folder`; also a gate for a provider's requests.

    Any number of processes and threads may hold a Budget on one folder. The folder is the run's: a
    new run has a new budget.
    """

    def __init__(self, limit: float, folder: Path, prices: PriceTable) -> None:
        self.limit = limit
        self._folder = folder
        self._prices = prices
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ends every wait of this process, now and later, by GenerationCancelledError."""
        self._cancelled.set()

    def sleep(self, seconds: float) -> None:
        """See `Gate.sleep`."""
        if self._cancelled.wait(seconds):
            raise GenerationCancelledError("the run was interrupted")

    def enter(self, request: Request, *, deadline: float) -> _Passage:
        """See `Gate.enter`.

        Raises BudgetExhaustedError when the money is spent, and ConfigurationError where nobody
        knows the most that the request can cost.
        """
        most = self._prices.most(request, _today())
        if most is None:
            raise ConfigurationError(
                f"no price is known for {request.model}, so that no budget can be kept with "
                "it; the ini key convex_model_prices tells one"
            )
        return _Passage(self._prices, request, self.reserve(most, deadline=deadline))

    def reserve(self, usd: float, *, deadline: float) -> Reservation:
        """Sets `usd` aside, at most until `deadline` of `time.monotonic`.

        Where what others have reserved is in the way, they are waited for: most requests cost less
        than the most they could. Raises BudgetExhaustedError when the money is spent, TimeoutError
        at the deadline, GenerationCancelledError, and InfrastructureError for a ledger that can't
        be used.
        """
        identity = uuid.uuid4().hex
        pause = _POLL_SECONDS
        while True:
            with self._ledger() as ledger:
                ledger.bury_the_dead()
                if ledger.spent + ledger.reserved + usd <= self.limit + _SLACK_USD:
                    ledger.reservations[identity] = (usd, os.getpid())
                    return Reservation(self, identity, usd)
                if ledger.spent + usd > self.limit + _SLACK_USD:
                    ledger.refused += 1
                    raise BudgetExhaustedError(
                        f"not run: the budget of {show_usd(self.limit)} has "
                        f"{show_usd(max(self.limit - ledger.spent, 0.0))} left, and the reply may "
                        f"cost {show_usd(usd)}"
                    )
            if time.monotonic() + pause >= deadline:
                raise TimeoutError("the budget is reserved by other requests")
            self.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)

    def state(self) -> BudgetState:
        """Raises InfrastructureError for a ledger that can't be used."""
        with self._ledger() as ledger:
            ledger.bury_the_dead()
            return BudgetState(self.limit, ledger.spent, ledger.reserved, ledger.refused)

    def _settle(self, identity: str, usd: float) -> None:
        with self._ledger() as ledger:
            if ledger.reservations.pop(identity, None) is not None:
                ledger.spent += usd

    @contextlib.contextmanager
    def _ledger(self) -> Iterator[_Ledger]:
        """The ledger, for this process alone; written back when the block is left, however."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self._folder / _LOCK, _LOCK_SECONDS, poll_interval=0.005)
            with lock:
                ledger = _Ledger.read(self._folder / _LEDGER)
                before = ledger.to_json()
                try:
                    yield ledger
                finally:
                    if ledger.to_json() != before:
                        write_whole(self._folder / _LEDGER, json.dumps(ledger.to_json()))
        except (OSError, ValueError) as error:
            raise InfrastructureError(
                f"the budget's ledger in {self._folder} can't be used: {error}"
            ) from error


class _Passage:
    """See `Passage`; of one request that there was money for."""

    def __init__(self, prices: PriceTable, request: Request, reservation: Reservation) -> None:
        self._prices = prices
        self._request = request
        self._reservation = reservation

    def answering(self) -> None:
        """What it costs is known at the end."""

    def leave(self, end: AttemptEnd) -> None:
        if end.usage is not None:
            model = end.answered_by or self._request.model
            cost = self._prices.cost_of(model, end.usage, _today())
            self._reservation.settle(None if cost is None else cost.usd)
        else:
            # What the provider counted of a reply that broke off, it does not say.
            self._reservation.settle(None if end.billed else 0.0)


@dataclass(slots=True)
class _Ledger:
    """What stands in the file: reservations are USD and process by identity."""

    spent: float
    refused: int
    reservations: dict[str, tuple[float, int]]

    @property
    def reserved(self) -> float:
        return sum(usd for usd, _ in self.reservations.values())

    def bury_the_dead(self) -> None:
        """Takes for spent what processes reserved that are no more."""
        for identity, (usd, process) in list(self.reservations.items()):
            if not _alive(process):
                self.spent += usd
                del self.reservations[identity]

    def to_json(self) -> dict[str, Json]:
        return {
            "spent": self.spent,
            "refused": self.refused,
            "reserved": {
                identity: {"usd": usd, "process": process}
                for identity, (usd, process) in self.reservations.items()
            },
        }

    @classmethod
    def read(cls, path: Path) -> _Ledger:
        """Raises ValueError for a file that is no ledger."""
        try:
            data: Json = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return cls(0.0, 0, {})
        match data:
            case {
                "spent": int() | float() as spent,
                "refused": int(refused),
                "reserved": dict(reserved),
            }:
                reservations = {}
                for identity, entry in reserved.items():
                    match entry:
                        case {"usd": int() | float() as usd, "process": int(process)}:
                            reservations[str(identity)] = (float(usd), process)
                        case _:
                            raise ValueError("a reservation is broken")
                return cls(float(spent), refused, reservations)
        raise ValueError("it is no ledger")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
