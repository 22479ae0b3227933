"""Usage made of written minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from planner.usage.model import LimitUsage, Usage

NAMESPACE = "payments-prod.a1b2c"
START = datetime(2026, 10, 15, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NAN = float("nan")

LIMIT, ENVELOPE = 4000.0, 500.0
"""The limit in force of 8 TRU, and what on-demand would allow."""


def usage(
    minutes: int,
    *,
    start: datetime = START,
    used: float | Sequence[float] = 100.0,
    tru: float | Sequence[float] = 8.0,
    throttled: Mapping[int, float] | None = None,
    unseen: Sequence[int] = (),
    requests: Mapping[int, float] | None = None,
    operations: Mapping[int, float] | None = None,
    envelope: float = ENVELOPE,
    namespace: str = NAMESPACE,
) -> Usage:
    """Return so many minutes of usage.

    Args:
        minutes: How many.
        start: The first one.
        used: APS of each minute, or of all.
        tru: TRU in force likewise.
        throttled: Actions per second that were throttled, by minute.
        unseen: The minutes of which there is no sample.
        requests: Throttled requests likewise; without them the source has no RPS.
        operations: Throttled operations likewise.
        envelope: What on-demand would allow.
        namespace: Whose it is.
    """
    seen = np.ones(minutes, np.bool_)
    seen[list(unseen)] = False

    def cut(values: float | Sequence[float]) -> np.ndarray:
        return np.where(seen, np.broadcast_to(np.asarray(values, float), minutes), NAN)

    def limit(hits: Mapping[int, float]) -> LimitUsage:
        rates = np.where(seen, 0.0, NAN)
        for at, rate in hits.items():
            rates[at] = rate
        force = np.where(cut(tru) > 0, cut(tru) * 500, cut(envelope))
        return LimitUsage(cut(used), force, rates, cut(envelope))

    return Usage(
        namespace,
        start,
        seen,
        cut(tru),
        limit(throttled or {}),
        None if requests is None else limit(requests),
        None if operations is None else limit(operations),
    )
