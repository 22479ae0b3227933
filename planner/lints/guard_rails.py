"""Guard rails that only the occurrences can break: lengths of runs, hours of a month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from planner.errors import Problem
from planner.lints.checks import Occurrences, covered
from planner.model import NamespaceCalendar, Occurrence, Project
from workflows.contract import format_duration, to_wall

_HOUR = timedelta(hours=1)


def over_limits(project: Project, occurrences: Occurrences) -> Iterator[Problem]:
    """Yield the occurrences that are too long and the namespaces boosted too long in a month.

    Months are calendar months in UTC; in the first one, only the rest of it counts.
    """
    for calendar in project.namespaces:
        found = [each for window in calendar.windows for each in occurrences.get(window.key, ())]
        yield from _too_long(calendar, found)
        yield from _too_much(calendar, [each for each in found if not each.window.paused])


def _too_long(calendar: NamespaceCalendar, found: list[Occurrence]) -> Iterator[Problem]:
    longest = calendar.guard_rails.max_duration
    reported = set()
    for each in found:
        window = each.window
        if longest is None or each.end - each.start <= longest or window.key in reported:
            continue
        reported.add(window.key)
        day = to_wall(each.start, window.tz)
        yield Problem(
            window.place.file,
            window.place.line,
            f"window '{window.name}': on {day:%Y-%m-%d} it lasts "
            f"{format_duration(each.end - each.start)}, longer than the guard rail "
            f"max_duration: {format_duration(longest)}; end it earlier",
        )


def _too_much(calendar: NamespaceCalendar, found: list[Occurrence]) -> Iterator[Problem]:
    most = calendar.guard_rails.max_boost_hours_per_month
    if most is None:
        return
    hours: dict[tuple[int, int], timedelta] = defaultdict(timedelta)
    for start, end in covered(found):
        for month, length in _by_month(start, end):
            hours[month] += length
    for (year, number), together in sorted(hours.items()):
        if together > timedelta(hours=most):
            yield Problem(
                calendar.place.file,
                calendar.place.line,
                f"namespace '{calendar.namespace}' is boosted {together / _HOUR:g} hours in "
                f"{year}-{number:02d}, more than the guard rail max_boost_hours_per_month: "
                f"{most:g}; shorten or remove windows",
            )
            return


def _by_month(start: datetime, end: datetime) -> Iterator[tuple[tuple[int, int], timedelta]]:
    """Yield the part of a span in each calendar month."""
    while start < end:
        first = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = (first + timedelta(days=32)).replace(day=1)
        yield (start.year, start.month), min(end, following) - start
        start = following
