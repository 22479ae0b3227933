"""A schedule read back as the runs it stands for, to be drawn and billed like a window's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from planner.bill.hours import TICK, Stay, ticks
from planner.diff.firings import firings_in
from planner.model import Dates, Horizon, Occurrence, Window
from planner.spec import Schedule, StructuredCalendar
from workflows.contract import occurrence_of

LONGEST_NIGHT = timedelta(days=2)
"""More than any boost up to a wall time lasts, whatever the clock does."""


MOST_RUNS = 1_000_000
"""Runs of a year that are read back: some ten seconds' work, of 2,500 daily windows or more."""


class TooManyRuns(Exception):
    """There are more than `MOST_RUNS`: to reckon with them would take too long."""


class Run(NamedTuple):
    """One run, from *start* to *end*, both as instants and as the numbers of a bill."""

    start: datetime
    end: datetime
    first: int
    last: int

    @classmethod
    def of(cls, start: datetime, end: datetime) -> Run:
        """Return the run from *start* to *end*."""
        return cls(start, end, ticks(start), ticks(end))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a schedule amounts to: *runs* of a *window* that has no recurrence of its own."""

    window: Window
    runs: Sequence[Run]

    def without(self, starts: Collection[datetime]) -> Reading:
        """Return it without the runs that have one of these *starts*."""
        if not starts:
            return self
        return replace(self, runs=[run for run in self.runs if run.start not in starts])

    def asked_after(self, now: datetime, at_once: Collection[datetime]) -> Reading:
        """Return the runs that are asked for after *now*, and those that start *at_once*."""
        opens = now + self.window.lead
        chosen = [run for run in self.runs if run.start > opens or run.start in at_once]
        return replace(self, runs=chosen)

    def occurrences(self, horizon: Horizon) -> list[Occurrence]:
        """Return the runs that are open in *horizon*."""
        return [
            Occurrence(run.start, run.end, self.window)
            for run in self.runs
            if run.start < horizon.end and run.end > horizon.start
        ]

    def stays(self) -> list[Stay]:
        """Return the runs as a bill counts them."""
        ahead, tru, combine = self.window.ahead // TICK, self.window.tru, self.window.combine
        return [Stay(first - ahead, first, last, tru, combine) for _, _, first, last in self.runs]


class Reader:
    """Reads schedules over one *horizon*, and each pattern of times once."""

    def __init__(self, horizon: Horizon) -> None:
        self._horizon = horizon
        self._known: dict[_Times, list[Run]] = {}
        self._count = 0

    def read(self, schedule: Schedule) -> Reading:
        """Return the runs of *schedule* that have a part in the horizon, lead included.

        Raises:
            TooManyRuns: With those that were read before there are too many.
        """
        times = _times(schedule)
        if times not in self._known:
            self._known[times] = list(self._runs(schedule))
        runs = self._known[times]
        self._count += len(runs)
        if self._count > MOST_RUNS:
            raise TooManyRuns
        return Reading(window_of(schedule), runs)

    def _runs(self, schedule: Schedule) -> Iterable[Run]:
        request, horizon = schedule.request, self._horizon
        usual = timedelta(seconds=request.ttl_seconds)
        longest = max(usual, schedule.catchup_window, LONGEST_NIGHT)
        ahead = timedelta(seconds=request.ahead_seconds)
        reach = Horizon(horizon.start - longest - ahead, horizon.end)
        for nominal in firings_in(schedule, reach):
            start, end = occurrence_of(request, nominal)
            if end > horizon.start:
                yield Run.of(start, end)


@dataclass(frozen=True, slots=True)
class _Times:
    """All that the runs of a schedule depend on: windows that share it share the work."""

    calendars: tuple[StructuredCalendar, ...]
    timezone: str
    bounds: tuple[datetime | None, datetime | None]
    lengths: tuple[int, int, timedelta]
    ends: tuple[str, str, frozenset[tuple[str, str]]]


def _times(schedule: Schedule) -> _Times:
    request = schedule.request
    return _Times(
        tuple(replace(calendar, comment="") for calendar in schedule.calendars),
        schedule.timezone,
        (schedule.start_at, schedule.end_at),
        (request.ahead_seconds, request.ttl_seconds, schedule.catchup_window),
        (request.until, request.timezone, frozenset(request.ends.items())),
    )


def window_of(schedule: Schedule) -> Window:
    """Return what *schedule* asks for as a window; when, is left to its runs."""
    request = schedule.request
    return Window(
        namespace=request.namespace,
        name=request.window,
        recurrence=Dates(()),
        tru=request.tru,
        asked=f"{request.tru} TRU",
        lead=timedelta(seconds=request.ahead_seconds),
        combine=request.combine,
    )
