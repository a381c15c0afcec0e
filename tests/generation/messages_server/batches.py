"""Message Batches: what was sent, how far each is, and what its results are."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_DAY = datetime.timedelta(hours=24)


@dataclass
class Batch:
    """A batch that has ended when it was asked for `polls` times."""

    identity: str
    requests: list[dict[str, Any]]
    created: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    polls: int = 0

    def told(self, url: str, *, after_polls: int) -> dict[str, Any]:
        """The batch as the API tells it; it ends after so many polls."""
        ended = self.polls >= after_polls
        count = len(self.requests)
        counts = {"processing": 0 if ended else count, "succeeded": count if ended else 0}
        results = f"{url}/v1/messages/batches/{self.identity}/results"
        return {
            "id": self.identity,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {**counts, "errored": 0, "canceled": 0, "expired": 0},
            "created_at": self.created.isoformat(),
            "expires_at": (self.created + _DAY).isoformat(),
            "ended_at": self.created.isoformat() if ended else None,
            "cancel_initiated_at": None,
            "archived_at": None,
            "results_url": results if ended else None,
        }

    def entries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Ids and bodies, in an order that is not that of the requests."""
        for entry in reversed(self.requests):
            yield entry["custom_id"], entry["params"]
