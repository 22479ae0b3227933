"""Guard rails that only the occurrences can break: lengths of runs, hours of a month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from planner.errors import Problem
from planner.forecast.cost import HOUR, billed_intervals, months_of, open_durations, ticks
from planner.forecast.timeline import OCCURRENCE_ORDER
from planner.lints.checks import Occurrences
from planner.model import Horizon, NamespaceCalendar, Occurrence, Project
from workflows.contract import format_duration, to_wall


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
    if most is None or not found:
        return
    found = sorted(found, key=OCCURRENCE_ORDER)
    span = Horizon(found[0].start, max(each.end for each in found))
    months = list(months_of(span))
    edges = [ticks(month.start) for month in months] + [ticks(span.end)]
    for month, together in zip(months, open_durations(billed_intervals(found), edges), strict=True):
        if together > timedelta(hours=most):
            yield Problem(
                calendar.place.file,
                calendar.place.line,
                f"namespace '{calendar.namespace}' is boosted {together / HOUR:g} hours in "
                f"{month.start:%Y-%m}, more than the guard rail max_boost_hours_per_month: "
                f"{most:g}; shorten or remove windows",
            )
            return
