"""The runs of a pattern in a horizon: those of its starts that count, each once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter

from planner.model import Horizon
from planner.occurrences.candidates import Timing, candidates
from planner.occurrences.pattern import Pattern
from planner.occurrences.starts import EARLIEST, LATEST
from planner.recurrence.business_days import ROLL_LIMIT
from workflows.contract import to_wall

_FIRST = datetime(EARLIEST.year, 1, 3, tzinfo=UTC)
_LAST = datetime(LATEST.year, 12, 29, tzinfo=UTC)


KEPT_RUNS = 500_000
"""Runs that are remembered, of the patterns that were asked for last."""


class _Memory:
    """The runs that were found last, by what was asked; at most `KEPT_RUNS`, or the last."""

    def __init__(self) -> None:
        self._found: dict[tuple[Pattern, Horizon], tuple[Timing, ...]] = {}
        self._runs = 0

    def recall(self, pattern: Pattern, horizon: Horizon) -> tuple[Timing, ...] | None:
        return self._found.get((pattern, horizon))

    def keep(self, pattern: Pattern, horizon: Horizon, found: tuple[Timing, ...]) -> None:
        self._found[pattern, horizon] = found
        self._runs += len(found)
        while self._runs > KEPT_RUNS and len(self._found) > 1:
            self._runs -= len(self._found.pop(next(iter(self._found))))


_memory = _Memory()


def timings(pattern: Pattern, horizon: Horizon) -> tuple[Timing, ...]:
    """Return the runs of *pattern* that start in *horizon*, in order.

    Every run is longer than zero and no two start together: of those that fall on the
    same instant the longest counts. Adjacent horizons give what one over both gives.

    Raises:
        TooManyStarts: There are more starts than can be looked at.
    """
    found = _memory.recall(pattern, horizon)
    if found is None:
        found = tuple(_longest(_found(pattern, horizon)))
        _memory.keep(pattern, horizon, found)
    return found


def _found(pattern: Pattern, horizon: Horizon) -> list[Timing]:
    """Return the runs that start in *horizon*, sorted by their starts."""
    found = [
        candidate.timing
        for candidate in candidates(pattern, *written_days(pattern, horizon))
        if not candidate.excluded and horizon.start <= candidate.timing.start < horizon.end
    ]
    found.sort(key=attrgetter("start"))
    return found


def _longest(found: Iterable[Timing]) -> Iterator[Timing]:
    """Yield of *found*, which is sorted, the longest of those that start together."""
    best: Timing | None = None
    for timing in found:
        if best and best.start == timing.start:
            best = min(best, timing, key=_rank)
            continue
        if best:
            yield best
        best = timing
    if best:
        yield best


def _rank(timing: Timing) -> tuple[timedelta, int, tuple[str, ...]]:
    """Order runs that start together: the longest first, then the least moved."""
    return timing.start - timing.end, len(timing.notes), timing.notes


def written_days(pattern: Pattern, horizon: Horizon) -> tuple[date, date]:
    """Return the first and last local date on which a start in *horizon* may be written.

    A roll reaches as far as its limit. Without one there are still two days of margin: a
    skipped start comes later than written, by a day where the calendar skipped a day.
    """
    margin = timedelta(days=2 if pattern.roll == "none" else 2 + ROLL_LIMIT)
    start, end = max(horizon.start, _FIRST), min(horizon.end, _LAST)
    if start >= end:
        return LATEST, EARLIEST
    first, last = to_wall(start, pattern.tz).date(), to_wall(end, pattern.tz).date()
    return first - margin, last + margin
