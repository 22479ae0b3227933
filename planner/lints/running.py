"""Warnings that show in when windows run: clock changes, lengths, windows on windows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime

from planner.config.values import short
from planner.errors import Lint
from planner.forecast.timeline import combine_steps
from planner.lints.horizon import Occurrences, at
from planner.model import Horizon, NamespaceCalendar, Occurrence, Project, Window
from workflows.contract import format_instant, to_wall

CLOCK_WORDS = ("skipped by the clock", "the first counts")
"""What an occurrence's notes say where a clock change moved or settled its start."""


def running(project: Project, occurrences: Occurrences) -> Iterator[Lint]:
    """Yield what is worth a look about the *occurrences* of *project*."""
    for calendar in project.namespaces:
        windows = [window for window in calendar.windows if occurrences.get(window.key)]
        for window in windows:
            yield from _clock_change(window, occurrences[window.key])
            yield from _shorter_than_lead(window, occurrences[window.key])
        yield from _always_covered(windows, occurrences)
        yield from _capped(calendar, windows, occurrences)


def _on(occurrence: Occurrence) -> str:
    return f"{to_wall(occurrence.start, occurrence.window.tz):%a %Y-%m-%d}"


def _more(count: int) -> str:
    return f" (and {count} more like it in the coming year)" if count else ""


def _clock_change(window: Window, occurrences: Sequence[Occurrence]) -> Iterator[Lint]:
    told = [
        (occurrence, note)
        for occurrence in occurrences
        for note in occurrence.notes
        if any(words in note for words in CLOCK_WORDS)
    ]
    if told:
        first, note = told[0]
        instant = format_instant(first.start)
        message = f"on {_on(first)} {note}, at {instant}{_more(len(told) - 1)}"
        yield at(window, "clock-change", message)


def _shorter_than_lead(window: Window, occurrences: Sequence[Occurrence]) -> Iterator[Lint]:
    brief = [each for each in occurrences if each.end - each.start < window.lead]
    if brief:
        length, lead = brief[0].end - brief[0].start, window.lead
        yield at(
            window,
            "shorter-than-lead",
            f"on {_on(brief[0])} it lasts {short(length)}, less than its lead of {short(lead)}; "
            f"write a shorter lead{_more(len(brief) - 1)}",
        )


# One window on another --------------------------------------------------------------


def _always_covered(windows: Sequence[Window], occurrences: Occurrences) -> Iterator[Lint]:
    """Yield each max window in whose every run another one asks for as much, and runs.

    Of two that cover each other the one that comes later by name is told.
    """
    claims = [window for window in windows if window.combine == "max" and not window.paused]
    spans = {window.key: _merged(occurrences[window.key]) for window in claims}
    for window in claims:
        for other in claims:
            if other is window or other.tru < window.tru:
                continue
            if not _covers(spans[other.key], occurrences[window.key]):
                continue
            mutual = other.tru == window.tru and _covers(spans[window.key], occurrences[other.key])
            if mutual and window.name < other.name:
                continue
            yield at(
                window,
                "always-covered",
                f"whenever it runs, '{other.name}' runs too and asks for {other.tru} TRU; "
                "remove one, or write combine: add",
            )
            break


Spans = tuple[list[datetime], list[datetime]]


def _merged(occurrences: Sequence[Occurrence]) -> Spans:
    """Return the starts and ends of what *occurrences* cover together, apart and sorted."""
    starts: list[datetime] = []
    ends: list[datetime] = []
    for each in occurrences:
        if ends and each.start <= ends[-1]:
            ends[-1] = max(ends[-1], each.end)
        else:
            starts.append(each.start)
            ends.append(each.end)
    return starts, ends


def _covers(spans: Spans, occurrences: Sequence[Occurrence]) -> bool:
    starts, ends = spans
    for each in occurrences:
        index = bisect_right(starts, each.start) - 1
        if index < 0 or ends[index] < each.end:
            return False
    return True


def _capped(
    calendar: NamespaceCalendar, windows: Sequence[Window], occurrences: Occurrences
) -> Iterator[Lint]:
    """Yield the first time at which windows that add up ask for more than can be had."""
    active = [window for window in windows if not window.paused]
    if not any(window.combine == "add" for window in active):
        return  # each window by itself is held to the guard rails when it is read
    together = [each for window in active for each in occurrences[window.key]]
    span = Horizon(min(each.start for each in together), max(each.end for each in together))
    capped = [step for step in combine_steps(calendar, together, span) if step.target.falls_short]
    if capped:
        first, names = capped[0], ", ".join(capped[0].windows)
        yield at(
            next(window for window in active if window.name in first.windows),
            "capped",
            f"at {format_instant(first.start)} {names} ask for {first.target.asked} TRU together; "
            f"they get {first.capacity}{_more(len(capped) - 1)}",
        )
