"""How long to wait after a fault: pure, so that workflows may use it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio.exceptions import ActivityError, ApplicationError

PENDING = timedelta(seconds=10)
"""How long to wait for a change that outlasted an attempt, before looking again."""

SLOW_KINDS = frozenset({"Unauthorized", "PermanentError", "NamespaceNotFound"})
"""Faults that a person has to mend: a rotated key, a name. They are tried again slowly."""


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

    *is_definite* tells that the Cloud API answered; otherwise the change may still be
    under way, and is asked for with the same key again.
    """

    kind: str
    words: str
    retry_after: timedelta | None = None
    is_definite: bool = True


def fault_of(error: ActivityError) -> Fault:
    """Return the fault behind an activity's failure."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        words = f"an attempt was lost ({cause or error})"
        return Fault("Lost", words, is_definite=False)
    seconds = next((value for value in cause.details if isinstance(value, int | float)), None)
    wait = None if seconds is None else timedelta(seconds=seconds)
    return Fault(cause.type or "CloudError", cause.message, wait)


def pause(fault: Fault, count: int, luck: float) -> timedelta:
    """Return how long to wait after the *count*-th fault in a row.

    Never less than the server asked for. *luck*, from 0 to 1, takes up to a quarter off,
    so that keepers that failed together don't come back together.
    """
    pace = SLOW if fault.kind in SLOW_KINDS else QUICK
    doubled = pace.first * (1 << min(count - 1, 16))
    wait = min(doubled, pace.longest) * (1 - luck / 4)
    return max(wait, fault.retry_after or timedelta())
