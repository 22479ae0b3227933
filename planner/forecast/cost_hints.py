"""Where a few minutes change the bill: what they cost, and what to write instead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from planner.forecast.cost import HOUR, ceil_hour, floor_hour, hours_of, minimum
from planner.forecast.timeline import Step, baseline_of, combine_steps, running, targets
from planner.model import Horizon, NamespaceCalendar, Occurrence
from workflows.contract import combine, to_wall

SLIVER = timedelta(minutes=20)
"""So little of an hour can be given up: what is longer is taken as meant."""

REVERT = timedelta(minutes=2)
"""How long the way back to the baseline takes, by what the service aims at."""

Kind = Literal["early-start", "late-end", "exact-end", "paid-gap", "free-until"]
"""What a hint is about, as a stable name.

- ``early-start``: the lead alone reaches into an hour before, which is billed.
- ``late-end``: the last few minutes reach into an hour, which is billed.
- ``exact-end``: it ends on an hour mark, so that the revert itself may cost an hour.
- ``paid-gap``: between two boosts nothing is in force in hours that are paid anyway.
- ``free-until``: the last hour is paid to its end, and not used to its end.
"""


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing to know about the bill, over all the runs that it is true of.

    *actions* are what the change saves in the horizon, or for ``exact-end`` what is at
    stake; 0 where something is free to take.
    """

    namespace: str
    windows: tuple[str, ...]
    kind: Kind
    runs: int
    actions: int
    message: str


@dataclass(frozen=True, slots=True)
class _Finding:
    """One hint's worth in one run: *minutes* is the size of what it is about, *at* UTC."""

    windows: tuple[str, ...]
    kind: Kind
    minutes: int
    actions: int
    at: datetime
    tz: ZoneInfo


def hints(calendar: NamespaceCalendar, horizon: Horizon) -> tuple[Hint, ...]:
    """Return what is to be known about the bill of a namespace, the greatest saving first.

    Savings are exact for each hint alone: an hour that another window needs anyway is
    never counted as saved.
    """
    occurrences = running(calendar.windows, horizon, "asked")
    steps = combine_steps(calendar, occurrences, horizon, "asked")
    ledger = _Ledger(calendar, steps)
    groups: dict[tuple[Kind, tuple[str, ...]], list[_Finding]] = defaultdict(list)
    for finding in (*_edges(occurrences, ledger, horizon), *_gaps(steps, ledger)):
        groups[finding.kind, finding.windows].append(finding)
    found = (_summed(calendar, group) for group in groups.values())
    return tuple(sorted(found, key=lambda hint: (_WEIGHT[hint.kind], -hint.actions, hint.windows)))


class _Ledger:
    """The steps of a namespace by the calendar hours they touch."""

    def __init__(self, calendar: NamespaceCalendar, steps: Iterable[Step]) -> None:
        self._baseline = minimum(baseline_of(calendar))
        self._target = targets(calendar)
        self._paid: dict[datetime, int] = {}
        self._steps: Mapping[datetime, list[Step]] = defaultdict(list)
        for step in steps:
            if step.claims:
                for hour in hours_of(step.start, step.end):
                    self._steps[hour].append(step)

    def is_paid(self, hour: datetime) -> bool:
        """Tell whether *hour* is billed more than the baseline."""
        return self._billed(hour) > self._baseline

    def saving(self, hour: datetime, without: Occurrence) -> int:
        """Return the Actions that *hour* costs on account of *without* alone."""
        least = self._baseline
        for step in self._steps.get(hour, ()):
            asked = combine(claim for claim in step.claims if claim is not without)
            least = max(least, minimum(self._target(asked).capacity))
        return self._billed(hour) - least

    def _billed(self, hour: datetime) -> int:
        """Return the minimum of *hour*."""
        if hour not in self._paid:
            levels = (minimum(step.capacity) for step in self._steps.get(hour, ()))
            self._paid[hour] = max(levels, default=self._baseline)
        return self._paid[hour]


def _edges(
    occurrences: Sequence[Occurrence], ledger: _Ledger, horizon: Horizon
) -> Iterator[_Finding]:
    """Yield what is to be said of each run's first and last hour."""
    for occurrence in occurrences:
        if occurrence.start in horizon:
            yield from _first_hour(occurrence, ledger)
            yield from _last_hour(occurrence, ledger)


def _first_hour(occurrence: Occurrence, ledger: _Ledger) -> Iterator[_Finding]:
    """Find a sliver before an hour mark that is billed as an hour of its own."""
    fires = occurrence.fires
    sliver = ceil_hour(fires) - fires
    if timedelta() < sliver <= SLIVER and ceil_hour(fires) < occurrence.end:
        saved = ledger.saving(floor_hour(fires), occurrence)
        if saved:
            yield _finding(occurrence, "early-start", sliver, saved, fires)


def _last_hour(occurrence: Occurrence, ledger: _Ledger) -> Iterator[_Finding]:
    """Find a sliver after an hour mark, a rest that is paid, or an end at its very edge."""
    end = occurrence.end
    mark = floor_hour(end)
    sliver = end - mark
    if not sliver:
        at_stake = _overtime(occurrence, ledger)
        if at_stake:
            yield _finding(occurrence, "exact-end", REVERT, at_stake, end)
    elif (
        sliver <= SLIVER and occurrence.fires < mark and (saved := ledger.saving(mark, occurrence))
    ):
        yield _finding(occurrence, "late-end", sliver, saved, end)
    elif ledger.saving(mark, occurrence):
        yield _finding(occurrence, "free-until", HOUR - sliver, 0, end)


def _overtime(occurrence: Occurrence, ledger: _Ledger) -> int:
    """Return what the hour after the end costs if the capacity is still up in it."""
    if ledger.is_paid(occurrence.end):
        return 0
    return ledger.saving(occurrence.end - HOUR, occurrence)


def _gaps(steps: Sequence[Step], ledger: _Ledger) -> Iterator[_Finding]:
    """Yield the pauses between two boosts that lie in paid hours entirely."""
    for (before, gap), (_, after) in pairwise(pairwise(steps)):
        if gap.claims or not (before.claims and after.claims):
            continue
        if all(ledger.is_paid(hour) for hour in hours_of(gap.start, gap.end)):
            names = (before.claims[-1].window.name, after.claims[0].window.name)
            length = -(-(gap.end - gap.start) // timedelta(minutes=1))
            tz = after.claims[0].window.tz
            yield _Finding(names, "paid-gap", length, 0, gap.start, tz)


def _finding(
    occurrence: Occurrence, kind: Kind, length: timedelta, actions: int, at: datetime
) -> _Finding:
    minutes = -(-length // timedelta(minutes=1))
    window = occurrence.window
    return _Finding((window.name,), kind, minutes, actions, at, window.tz)


def _summed(calendar: NamespaceCalendar, findings: Sequence[_Finding]) -> Hint:
    """Put the runs that one hint is true of into one sentence."""
    first = findings[0]
    sizes = {finding.minutes for finding in findings}
    message = _SENTENCES[first.kind].format(
        first=first.windows[0],
        last=first.windows[-1],
        size=f"{max(sizes)} min" if len(sizes) == 1 else f"up to {max(sizes)} min",
        at=_clock(first.at, first.tz),
        mark=_clock(floor_hour(first.at), first.tz),
        free=_clock(ceil_hour(first.at) - timedelta(minutes=1), first.tz),
    )
    actions = sum(finding.actions for finding in findings)
    return Hint(calendar.namespace, first.windows, first.kind, len(findings), actions, message)


def _clock(instant: datetime, tz: ZoneInfo) -> str:
    """Return *instant* by the clock on the wall; hour marks are UTC's, wherever that is."""
    return f"{to_wall(instant, tz):%H:%M}"


_WEIGHT: Mapping[Kind, int] = {
    "early-start": 0,
    "late-end": 0,
    "paid-gap": 1,
    "exact-end": 2,
    "free-until": 3,
}
"""What comes first: savings, then pauses that are paid, then risks, then what is free."""

_SENTENCES: Mapping[Kind, str] = {
    "early-start": (
        "{first} is asked for at {at}, {size} before the hour: that adds a billed hour; "
        "start the window {size} later, or with a shorter lead"
    ),
    "late-end": (
        "{first} ends at {at}, {size} past the hour: that adds a billed hour; end by "
        "{mark}, or use it: it is free until {free}"
    ),
    "exact-end": (
        "{first} ends at {at} sharp: a revert that is slow by {size} bills one more hour; "
        "end 5 min earlier to be safe"
    ),
    "paid-gap": "{first} and {last} leave a gap of {size} and pay it anyway",
    "free-until": "{first} ends at {at}, its last hour is paid: it is free until {free}",
}
