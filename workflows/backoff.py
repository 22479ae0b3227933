"""Delays after faults of the Cloud API: pure functions, so that workflows may call them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio.exceptions import ActivityError, ApplicationError

PENDING = timedelta(seconds=10)
"""How long to wait for a change that outlasted an attempt, before the next observation."""

SLOW_KINDS = frozenset({"Unauthorized", "PermanentError", "NamespaceNotFound"})
"""Faults that an operator has to fix: a rotated key, a wrong name. They are retried slowly."""


RATE_LIMITED = "Throttled"
"""The fault of a caller over its rate limit: nothing ends its delay early."""

RATE_LIMIT_AT_MOST = timedelta(minutes=5)
RETRY_AFTER_AT_MOST = timedelta(minutes=1)
"""Upper bounds of a server's ``Retry-After``: after a rate limit, and otherwise. One reply,
perhaps of a proxy, must not freeze a namespace."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A delay that doubles with every fault, from *first* to *longest*."""

    first: timedelta
    longest: timedelta


QUICK = Pace(timedelta(seconds=2), timedelta(minutes=3))
SLOW = Pace(timedelta(seconds=30), timedelta(minutes=5))

REFUSED = "Unauthorized"
"""The fault of a key without the right: one that was just given takes a while to count."""

OTHER_CLOUD = "OtherCloud"
"""The fault of a worker for another Cloud API: nothing was asked, and nothing is known anew."""

FIRST_AFTER_REFUSAL = timedelta(seconds=5)
"""The delay after the first refusal of a key; those that follow are slow."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an attempt failed.

    *retry_after* is the server's ``Retry-After``, within bounds. *is_definite* says that the
    Cloud API answered; otherwise the change may still be under way, and is requested with
    the same key again.
    """

    kind: str
    message: str
    retry_after: timedelta | None = None
    is_definite: bool = True

    @property
    def is_rate_limit(self) -> bool:
        """Whether the server rejected the call for its rate limit."""
        return self.kind == RATE_LIMITED and self.retry_after is not None


def fault_of(error: ActivityError) -> Fault:
    """Return the fault behind an activity's failure."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        message = f"an attempt was lost ({cause or error})"
        return Fault("Lost", message, is_definite=False)
    kind = cause.type or "CloudError"
    seconds = next((value for value in cause.details if isinstance(value, int | float)), None)
    wait = None if seconds is None else _bounded(kind, seconds)
    return Fault(kind, cause.message, wait, is_definite=kind != OTHER_CLOUD)


def _bounded(kind: str, seconds: float) -> timedelta:
    """Return a ``Retry-After`` of *seconds*, bounded for faults of *kind*."""
    at_most = RATE_LIMIT_AT_MOST if kind == RATE_LIMITED else RETRY_AFTER_AT_MOST
    return timedelta(seconds=max(0.0, min(seconds, at_most.total_seconds())))


def delay(fault: Fault, count: int, jitter: float) -> timedelta:
    """Return the delay after the *count*-th fault in a row, never less than `Fault.retry_after`.

    *jitter* (0–1) shortens the delay by up to 25 % so that keepers don't retry in step.
    """
    pace = SLOW if fault.kind in SLOW_KINDS else QUICK
    if fault.kind == REFUSED:
        doubled = pace.first * (1 << min(count - 2, 16)) if count > 1 else FIRST_AFTER_REFUSAL
    else:
        doubled = pace.first * (1 << min(count - 1, 16))
    wait = min(doubled, pace.longest) * (1 - jitter / 4)
    return max(wait, fault.retry_after or timedelta())
