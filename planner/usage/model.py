"""The usage of a namespace: an element for each minute, with what was not seen kept apart.

Temporal Cloud reports means per second of whole minutes, and reports nothing where nothing
happened. So the absence of a series means zero in a minute that was scraped, and nothing in
one that wasn't: `Usage.seen` tells the two apart, and `Usage.coverage` counts them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

Element = TypeVar("Element", bound=np.generic)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of a span's *minutes* were *seen*.

    >>> str(Coverage(1438, 1440))
    '1,438 of 1,440 minutes seen'
    """

    seen: int
    minutes: int

    @property
    def is_whole(self) -> bool:
        """Whether every minute was seen, of at least one."""
        return 0 < self.minutes == self.seen

    def __str__(self) -> str:
        return f"{self.seen:,} of {self.minutes:,} minutes seen"


@dataclass(frozen=True, slots=True, eq=False)
class LimitUsage:
    """One of the three limits of a namespace: Actions, requests or operations per second.

    An element for each minute; NaN where it is not known.

    Attributes:
        used: The minute's mean per second, without background work and standby series. A
            burst within the minute doesn't show in it.
        limit: The limit in force.
        throttled: The minute's mean of what was throttled per second; 0 where its series is
            absent in a minute that was seen. Only this proves throttling.
        envelope: The limit that on-demand would have.
    """

    used: Floats
    limit: Floats
    throttled: Floats
    envelope: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Usage:
    """The usage of one namespace, with an element for each minute from *start* on.

    All arrays are equally long. What was throttled or used is kept in a minute that was not
    seen, too: a sample proves what it says, only its absence proves nothing there.

    Attributes:
        namespace: Its name, with the account.
        start: The first minute, in UTC; a whole minute.
        seen: Whether the minute was scraped at all: the limit's series has a sample.
        tru: TRU in force; 0 for on-demand, NaN where it is not known.
        actions: Actions per second (APS).
        requests: Requests per second (RPS); None where the source has none of it.
        operations: Operations per second (OPS); None likewise.
        notes: What a reader must know of the source, a sentence each.
    """

    namespace: str
    start: datetime
    seen: Bools
    tru: Floats
    actions: LimitUsage
    requests: LimitUsage | None = None
    operations: LimitUsage | None = None
    notes: tuple[str, ...] = ()

    @property
    def minutes(self) -> int:
        """How many minutes there are, seen or not."""
        return len(self.seen)

    @property
    def end(self) -> datetime:
        """The instant after the last minute."""
        return self.start + self.minutes * MINUTE

    @property
    def coverage(self) -> Coverage:
        """How many of the minutes were seen."""
        return Coverage(int(np.count_nonzero(self.seen)), self.minutes)

    def between(self, start: datetime, end: datetime) -> Usage:
        """Return the minutes that ``[start, end)`` touches.

        Minutes outside of what this usage spans are there as well, as not seen: so the
        coverage of a window never looks better than it was.
        """
        first = (start - self.start) // MINUTE
        last = max(first, -((self.start - end) // MINUTE))

        def cut(values: npt.NDArray[Element]) -> npt.NDArray[Element]:
            if first >= 0 and last <= len(values):
                return values[first:last]
            unseen = False if values.dtype == np.bool_ else np.nan
            found = np.full(last - first, unseen, values.dtype)
            inner = values[max(first, 0) : max(last, 0)]
            at = min(max(-first, 0), last - first)
            found[at : at + len(inner)] = inner
            return found

        def cut_limit(limit: LimitUsage) -> LimitUsage:
            return LimitUsage(
                cut(limit.used), cut(limit.limit), cut(limit.throttled), cut(limit.envelope)
            )

        return replace(
            self,
            start=self.start + first * MINUTE,
            seen=cut(self.seen),
            tru=cut(self.tru),
            actions=cut_limit(self.actions),
            requests=self.requests and cut_limit(self.requests),
            operations=self.operations and cut_limit(self.operations),
        )


class UsageSource(Protocol):
    """Where usage is read."""

    async def usage(self, namespace: str, start: datetime, end: datetime) -> Usage:
        """Return the usage of *namespace* in the minutes that ``[start, end)`` touches.

        Minutes that the source knows nothing of are there, as not seen.

        Raises:
            ServerError: The source can't be read; a sentence with what to do.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """A series as it was read: *times* in seconds since 1970, sorted, each with its value."""

    times: Floats
    values: Floats

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float]]) -> Samples:
        """Return the series of these times and values, in any order."""
        array = np.array(sorted(pairs), np.float64).reshape(-1, 2)
        return cls(array[:, 0], array[:, 1])

    def __len__(self) -> int:
        return len(self.times)


NO_SAMPLES = Samples.of(())


@dataclass(frozen=True, slots=True, eq=False)
class LimitSamples:
    """The four series of one limit, as they were read; see `LimitUsage`."""

    used: Samples = NO_SAMPLES
    limit: Samples = NO_SAMPLES
    throttled: Samples = NO_SAMPLES
    envelope: Samples = NO_SAMPLES


def build_usage(
    namespace: str,
    start: datetime,
    end: datetime,
    *,
    actions: LimitSamples,
    tru: Samples = NO_SAMPLES,
    requests: LimitSamples | None = None,
    operations: LimitSamples | None = None,
    notes: Iterable[str] = (),
) -> Usage:
    """Return the usage that sparse series come to, in the minutes that ``[start, end)`` touches.

    A sample belongs to the minute that its time is in, and samples outside are left out. Of
    several in one minute, the last limit, envelope and TRU count, and the mean of the others:
    a collector that stamps what it scrapes twice a minute with its own clock changes no sum.

    >>> start = datetime(2026, 9, 15, 8, tzinfo=UTC)
    >>> first = start.timestamp()
    >>> limit = Samples.of([(first, 2000), (first + 120, 2000)])
    >>> usage = build_usage("payments-prod.a1b2c", start, start + 3 * MINUTE,
    ...     actions=LimitSamples(limit=limit, throttled=Samples.of([(first + 120, 12)])))
    >>> usage.seen.tolist(), usage.actions.throttled.tolist(), str(usage.coverage)
    ([True, False, True], [0.0, nan, 12.0], '2 of 3 minutes seen')
    """
    first = (start - EPOCH) // MINUTE
    count = max(0, -((EPOCH - end) // MINUTE) - first)
    seen = ~np.isnan(_spread(actions.limit, first, count, mean=False))

    def limit_usage(samples: LimitSamples) -> LimitUsage:
        return LimitUsage(
            _filled(_spread(samples.used, first, count, mean=True), seen),
            _spread(samples.limit, first, count, mean=False),
            _filled(_spread(samples.throttled, first, count, mean=True), seen),
            _spread(samples.envelope, first, count, mean=False),
        )

    return Usage(
        namespace,
        EPOCH + first * MINUTE,
        seen,
        _spread(tru, first, count, mean=False),
        limit_usage(actions),
        limit_usage(requests) if requests else None,
        limit_usage(operations) if operations else None,
        tuple(notes),
    )


def _filled(values: Floats, seen: Bools) -> Floats:
    """Return *values* with 0 where a minute was *seen*, and the series is absent in it."""
    values[seen & np.isnan(values)] = 0
    return values


def _spread(samples: Samples, first: int, count: int, *, mean: bool) -> Floats:
    """Return *samples* on *count* minutes from the minute *first* since 1970; NaN where none is.

    Of several in a minute, the *mean* counts, or the last.
    """
    found = np.full(count, np.nan)
    places = (samples.times // 60).astype(np.int64) - first
    inside = (places >= 0) & (places < count)
    places, values = places[inside], samples.values[inside]
    found[places] = values
    if mean and len(places) and (np.diff(places) == 0).any():
        sums = np.bincount(places, values, count)
        counts = np.bincount(places, minlength=count)
        several = counts > 1
        found[several] = sums[several] / counts[several]
    return found
