"""How long to wait after a fault: pure, so that workflows may use it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio.exceptions import ActivityError, ApplicationError

PENDING = timedelta(seconds=10)
"""How long to wait for a change that outlasted an attempt, before looking again."""

SLOW_KINDS = frozenset({"Unauthorized", "PermanentError", "NamespaceNotFound"})
"""Faults that a person has to mend: a rotated key, a name. They are tried again slowly."""


RATE_LIMITED = "Throttled"
"""The fault of a caller that asks too often: nothing wakes its wait."""

RATE_LIMIT_AT_MOST = timedelta(minutes=5)
TOLD_AT_MOST = timedelta(minutes=1)
"""How long a server's ``Retry-After`` is kept to: after a rate limit, and otherwise. One
reply, sent by whoever stood between, may not freeze a namespace."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A wait that doubles with every fault, from *first* to *longest*."""

    first: timedelta
    longest: timedelta


QUICK = Pace(timedelta(seconds=2), timedelta(minutes=3))
SLOW = Pace(timedelta(seconds=30), timedelta(minutes=5))


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an attempt failed.

    *retry_after* is what the server asked for, within bounds. *is_definite* tells that the
    Cloud API answered; otherwise the change may still be under way, and is asked for with
    the same key again.
    """

    kind: str
    words: str
    retry_after: timedelta | None = None
    is_definite: bool = True

    @property
    def is_rate_limit(self) -> bool:
        """Whether the server turned the caller away for asking too often."""
        return self.kind == RATE_LIMITED and self.retry_after is not None


def fault_of(error: ActivityError) -> Fault:
    """Return the fault behind an activity's failure."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        words = f"an attempt was lost ({cause or error})"
        return Fault("Lost", words, is_definite=False)
    kind = cause.type or "CloudError"
    seconds = next((value for value in cause.details if isinstance(value, int | float)), None)
    return Fault(kind, cause.message, None if seconds is None else _kept_to(kind, seconds))


def _kept_to(kind: str, seconds: float) -> timedelta:
    """Return how long a server is left alone that asks for *seconds*."""
    at_most = RATE_LIMIT_AT_MOST if kind == RATE_LIMITED else TOLD_AT_MOST
    return timedelta(seconds=max(0.0, min(seconds, at_most.total_seconds())))


def pause(fault: Fault, count: int, luck: float) -> timedelta:
    """Return how long to wait after the *count*-th fault in a row.

    Never less than `Fault.retry_after`. *luck*, from 0 to 1, takes up to a quarter off,
    so that keepers that failed together don't come back together.
    """
    pace = SLOW if fault.kind in SLOW_KINDS else QUICK
    doubled = pace.first * (1 << min(count - 1, 16))
    wait = min(doubled, pace.longest) * (1 - luck / 4)
    return max(wait, fault.retry_after or timedelta())
