"""Warnings that can be seen in the files alone, whatever the day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from planner.errors import Lint
from planner.lints.horizon import at
from planner.model import Cron, NamespaceCalendar, Project, Window
from planner.recurrence import cron
from workflows.contract import APS_PER_TRU

PROVISIONING = timedelta(minutes=2)
"""What Temporal Cloud aims at between a change of capacity being asked for and in force."""

ON_DEMAND_APS = 500
"""Actions per second that on-demand allows every namespace, at the least."""


def static_lints(project: Project) -> tuple[Lint, ...]:
    """Return what is worth a look in *project*, whatever the time."""
    found = [lint for window in project.windows for lint in _of_window(window)]
    found += [lint for calendar in project.namespaces for lint in _of_calendar(calendar)]
    return tuple(sorted(set(found)))


def _of_calendar(calendar: NamespaceCalendar) -> Iterator[Lint]:
    if not calendar.windows:
        message = f"namespace '{calendar.namespace}' has no window: it is never boosted"
        yield Lint(calendar.place.file, calendar.place.line, "no-windows", message)


def _of_window(window: Window) -> Iterator[Lint]:
    yield from _demand(window)
    yield from _lead(window)
    yield from _day_match(window)


def _demand(window: Window) -> Iterator[Lint]:
    baseline = window.baseline.tru if window.baseline else None
    amount, unit = window.asked.split()
    asked_aps = float(amount) * (APS_PER_TRU if unit == "TRU" else 1)
    if window.combine == "add":
        pass  # on top of whatever runs, however little it is
    elif baseline is not None and window.tru <= baseline:
        message = f"{window.asked} is no more than the baseline of {baseline:g} TRU; ask for more"
        yield at(window, "needless-boost", message)
    elif baseline is None and asked_aps <= ON_DEMAND_APS:
        message = f"{window.asked} is within the {ON_DEMAND_APS} APS that on-demand always allows"
        yield at(window, "needless-boost", message)
    if unit == "TRU" and float(amount) != window.tru:
        message = f"{window.asked} can't be had; it gets {window.tru} TRU, the next allowed value"
        yield at(window, "rounded-up", message)


def _lead(window: Window) -> Iterator[Lint]:
    if window.lead < PROVISIONING:
        seconds = int(window.lead.total_seconds())
        yield at(
            window,
            "short-lead",
            f"a lead of {seconds}s is shorter than the two minutes that provisioning takes: "
            "it may start before its capacity is there; write lead: 5m",
        )


def _day_match(window: Window) -> Iterator[Lint]:
    recurrence = window.recurrence
    if not isinstance(recurrence, Cron) or recurrence.day_match is None:
        return
    rules = [cron.parse(expression) for expression in recurrence.expressions]
    if not any(rule.restricts_day_of_month and rule.restricts_weekday for rule in rules):
        yield at(
            window,
            "day-match-unneeded",
            f"day_match: {recurrence.day_match} says nothing here, since the cron doesn't "
            "restrict both day of month and day of week; remove it",
        )
