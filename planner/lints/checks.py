"""The checks: of the files alone, and of the coming occurrences.

Guard rails that only occurrences can break (lengths of runs, hours of a month) are problems;
all else are warnings.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from operator import attrgetter, itemgetter
from typing import NamedTuple

from planner.errors import Lint, Problem
from planner.forecast.cost import (
    EPOCH,
    HOUR,
    billed_intervals,
    months_of,
    open_durations,
    ticks,
)
from planner.forecast.timeline import OCCURRENCE_ORDER, combine_steps, fleet_steps
from planner.model import (
    Cron,
    Dates,
    Duration,
    Horizon,
    Ical,
    IcsFile,
    NamespaceCalendar,
    Occurrence,
    Project,
    Rrule,
    Window,
    demand_words,
    merge_spans,
)
from planner.occurrences.expand import depends_on_holidays, expand
from planner.recurrence import cron, ical
from workflows.contract import APS_PER_TRU, format_duration, format_instant, to_wall

LOOK_AHEAD = timedelta(days=400)
"""How far ahead warnings look: a year and a month, so that a yearly window is seen."""

PROVISIONING = timedelta(minutes=2)
"""How long Temporal Cloud aims to take from a request of capacity until it is in force."""

ON_DEMAND_APS = 500
"""Actions per second that on-demand allows every namespace, at least."""

Occurrences = Mapping[str, list[Occurrence]]
"""Each window's occurrences by the window's key."""


def before_writing(today: date) -> Horizon:
    """Return the span that warnings look at, from the start of *today* in UTC."""
    start = datetime.combine(today, time(), UTC)
    return Horizon(start, start + LOOK_AHEAD)


def at(window: Window, code: str, message: str) -> Lint:
    """Return a warning about *window*; the message begins with its name."""
    place = window.place
    return Lint(place.file, place.line, code, f"window '{window.name}': {message}")


# The files alone ---------------------------------------------------------------------


def static_lints(project: Project) -> Iterator[Lint]:
    """Yield the warnings that don't depend on the date."""
    for calendar in project.namespaces:
        if not calendar.windows:
            message = f"namespace '{calendar.namespace}' has no window: it is never boosted"
            yield Lint(calendar.place.file, calendar.place.line, "no-windows", message)
        used = {name for window in calendar.windows for name, _ in window.workers}
        for fleet in calendar.fleets:
            if fleet.name not in used:
                place = calendar.fleet_places[fleet.name]
                message = (
                    f"fleet '{fleet.name}': no window needs workers of it; write "
                    f"workers: {{{fleet.name}: …}} in one, or remove it"
                )
                yield Lint(place.file, place.line, "unused-fleet", message)
    for window in project.windows:
        yield from _demand(window)
        if window.tru and window.lead < PROVISIONING:
            message = (
                f"a lead of {window.lead // SECOND}s is shorter than the two minutes that "
                "provisioning takes: it may start before its capacity is there; write lead: 5m"
            )
            yield at(window, "short-lead", message)
        recurrence = window.recurrence
        if isinstance(recurrence, Cron) and recurrence.day_match is not None:
            rules = [cron.parse(expression) for expression in recurrence.expressions]
            if not any(rule.restricts_day_of_month and rule.restricts_weekday for rule in rules):
                message = (
                    f"day_match: {recurrence.day_match} says nothing here, since the cron doesn't "
                    "restrict both day of month and day of week; remove it"
                )
                yield at(window, "day-match-unneeded", message)


def _demand(window: Window) -> Iterator[Lint]:
    if not window.tru:
        return
    baseline = window.baseline.tru if window.baseline else None
    amount, unit = window.asked.split()
    asked_aps = float(amount) * (APS_PER_TRU if unit == "TRU" else 1)
    if window.combine == "add":
        pass  # on top of the baseline or of what else runs even a little counts: `_adds_to_nothing`
    elif baseline is not None and window.tru <= baseline:
        message = f"{window.asked} is no more than the baseline of {baseline:g} TRU; ask for more"
        yield at(window, "needless-boost", message)
    elif baseline is None and asked_aps <= ON_DEMAND_APS:
        message = f"{window.asked} is within the {ON_DEMAND_APS} APS that on-demand always allows"
        yield at(window, "needless-boost", message)
    if unit == "TRU" and float(amount) != window.tru:
        message = f"{window.asked} can't be had; it gets {window.tru} TRU, the next allowed value"
        yield at(window, "rounded-up", message)


# Occurrences -------------------------------------------------------------------------

CLOCK_WORDS = ("skipped by the clock", "the first counts")
"""Words in the notes of an occurrence whose start a clock change affects."""


def running(project: Project, occurrences: Occurrences) -> Iterator[Lint]:
    """Yield the warnings about lengths, clock changes and windows on top of each other."""
    for calendar in project.namespaces:
        windows = [window for window in calendar.windows if occurrences.get(window.key)]
        for window in windows:
            yield from _clock_change(window, occurrences[window.key])
            yield from _shorter_than_lead(window, occurrences[window.key])
            yield from _whole_days(window, occurrences[window.key])
        yield from _always_covered(windows, occurrences)
        yield from _adds_to_nothing(windows, occurrences)
        yield from _capped(calendar, windows, occurrences)
        yield from _workers_capped(calendar, windows, occurrences)
        if calendar.fleets:
            yield from _without_workers(windows, occurrences)


def _on(occurrence: Occurrence) -> str:
    return f"{to_wall(occurrence.start, occurrence.window.tz):%a %Y-%m-%d}"


def _more(count: int) -> str:
    return f" (and {count} more like it in the coming year)" if count else ""


def _clock_change(window: Window, occurrences: Sequence[Occurrence]) -> Iterator[Lint]:
    affected = [
        (occurrence, note)
        for occurrence in occurrences
        for note in occurrence.notes
        if any(words in note for words in CLOCK_WORDS)
    ]
    if affected:
        first, note = affected[0]
        instant = format_instant(first.start)
        message = f"on {_on(first)} {note}, at {instant}{_more(len(affected) - 1)}"
        yield at(window, "clock-change", message)


def _shorter_than_lead(window: Window, occurrences: Sequence[Occurrence]) -> Iterator[Lint]:
    brief = [each for each in occurrences if window.tru and each.end - each.start < window.lead]
    if brief:
        length, lead = brief[0].end - brief[0].start, window.lead
        yield at(
            window,
            "shorter-than-lead",
            f"on {_on(brief[0])} it lasts {format_duration(length)}, less than its lead of "
            f"{format_duration(lead)}; write a shorter lead{_more(len(brief) - 1)}",
        )


def _whole_days(window: Window, occurrences: Sequence[Occurrence]) -> Iterator[Lint]:
    """Yield the first occurrence of elapsed days that ends at another time than it began."""
    length = window.length
    if not isinstance(length, Duration) or length.elapsed % timedelta(days=1):
        return
    walls = [(to_wall(each.start, window.tz), to_wall(each.end, window.tz)) for each in occurrences]
    moved = [(start, end) for start, end in walls if start.time() != end.time()]
    if moved:
        start, end = moved[0]
        yield at(
            window,
            "whole-days",
            f"from {start:%a %Y-%m-%d %H:%M} it lasts {format_duration(length.elapsed)} and ends "
            f"at {end:%H:%M}, since the clock changes; to end at {start:%H:%M} write "
            f"until: {{days: {length.elapsed.days}}} in place of the duration"
            f"{_more(len(moved) - 1)}",
        )


def _always_covered(windows: Sequence[Window], occurrences: Occurrences) -> Iterator[Lint]:
    """Yield each max window that another one with as much demand covers in every run.

    Of two that cover each other, the later one by name.
    """
    raising = [window for window in windows if window.combine == "max" and not window.paused]
    spans = {
        window.key: list(merge_spans((each.start, each.end) for each in occurrences[window.key]))
        for window in raising
    }
    for window in raising:
        for other in raising:
            if other is window or not _needs_as_much(other, window):
                continue
            if not _covers(spans[other.key], occurrences[window.key]):
                continue
            same = _needs_as_much(window, other)
            mutual = same and _covers(spans[window.key], occurrences[other.key])
            if mutual and window.name < other.name:
                continue
            yield at(
                window,
                "always-covered",
                f"whenever it runs, '{other.name}' runs too and asks for "
                f"{demand_words(other.tru, other.workers)}; remove one, or write combine: add",
            )
            break


def _needs_as_much(window: Window, other: Window) -> bool:
    """Tell whether *window* needs as many TRU and workers as *other*, or more."""
    own = dict(window.workers)
    return window.tru >= other.tru and all(
        own.get(name, 0) >= replicas for name, replicas in other.workers
    )


def _without_workers(windows: Sequence[Window], occurrences: Occurrences) -> Iterator[Lint]:
    """Yield each window that raises TRU while no window raises a fleet, at any time."""
    active = [window for window in windows if not window.paused]
    ahead = sorted(
        (each.start, each.end)
        for window in active
        if window.workers
        for each in occurrences[window.key]
    )
    spans = list(merge_spans(ahead))
    for window in active:
        runs = occurrences[window.key]
        if window.tru and not window.workers and not _covers(spans, runs):
            alone = [each for each in runs if not _covers(spans, [each])]
            yield at(
                window,
                "no-workers",
                f"on {_on(alone[0])} its TRU rise and no fleet of workers does: those that "
                "are there may not keep up; write workers: in it, too"
                f"{_more(len(alone) - 1)}",
            )


def _workers_capped(
    calendar: NamespaceCalendar, windows: Sequence[Window], occurrences: Occurrences
) -> Iterator[Lint]:
    """Yield for each fleet the first time at which windows need more than its maximum."""
    active = [window for window in windows if not window.paused]
    for fleet in calendar.fleets:
        own = [window for window in active if fleet.name in dict(window.workers)]
        if not any(window.combine == "add" for window in own):
            continue  # a single window is checked against the maximum when the files are read
        together = [each for window in own for each in occurrences[window.key]]
        span = Horizon(min(each.start for each in together), max(each.end for each in together))
        capped = [s for s in fleet_steps(fleet, together, span) if s.floor.falls_short]
        if capped:
            first, names = capped[0], ", ".join(capped[0].floor.windows)
            yield at(
                next(window for window in own if window.name in first.floor.windows),
                "capped",
                f"at {format_instant(first.start)} {names} need {first.floor.requested:,} "
                f"{fleet.name} workers together; they get {first.replicas:,}, its maximum"
                f"{_more(len(capped) - 1)}",
            )


def _adds_to_nothing(windows: Sequence[Window], occurrences: Occurrences) -> Iterator[Lint]:
    """Yield each window that adds although no other runs with it and no TRU are the baseline."""
    active = [window for window in windows if window.tru and not window.paused]
    for window in active:
        if window.combine == "max" or (window.baseline and window.baseline.tru):
            continue
        others = [other for other in active if other is not window]
        ahead = sorted(
            (each.start, each.end) for other in others for each in occurrences[other.key]
        )
        spans = list(merge_spans(ahead))
        if not any(_overlaps(spans, each) for each in occurrences[window.key]):
            yield at(
                window,
                "adds-to-nothing",
                "it adds, but no other window runs with it and no baseline in TRU is declared: it "
                f"comes to {window.tru} TRU in all; declare the baseline, or leave out combine",
            )


def _overlaps(spans: Sequence[tuple[datetime, datetime]], occurrence: Occurrence) -> bool:
    """Tell whether *occurrence* shares time with one of *spans*, sorted and apart."""
    index = bisect_left(spans, occurrence.end, key=itemgetter(0)) - 1
    return index >= 0 and spans[index][1] > occurrence.start


def _covers(spans: Sequence[tuple[datetime, datetime]], occurrences: Sequence[Occurrence]) -> bool:
    """Tell whether each of *occurrences* is within one of *spans*."""
    for each in occurrences:
        index = bisect_right(spans, each.start, key=itemgetter(0)) - 1
        if index < 0 or spans[index][1] < each.end:
            return False
    return True


def _capped(
    calendar: NamespaceCalendar, windows: Sequence[Window], occurrences: Occurrences
) -> Iterator[Lint]:
    """Yield the first time at which windows need more together than the guard rails allow."""
    active = [window for window in windows if window.tru and not window.paused]
    if not any(window.combine == "add" for window in active):
        return  # a single window is checked against the guard rails when the files are read
    together = [each for window in active for each in occurrences[window.key]]
    span = Horizon(min(each.start for each in together), max(each.end for each in together))
    capped = [step for step in combine_steps(calendar, together, span) if step.target.falls_short]
    if capped:
        first, names = capped[0], ", ".join(capped[0].windows)
        yield at(
            next(window for window in active if window.name in first.windows),
            "capped",
            f"at {format_instant(first.start)} {names} ask for {first.target.requested} TRU "
            f"together; they get {first.capacity}{_more(len(capped) - 1)}",
        )


# Endings -----------------------------------------------------------------------------

LOW = timedelta(days=120)
"""How far ahead the last date of a series should be."""

SERIES = 4
"""Dates or events in the past year and the coming one that make a series.

Fewer are single occasions, which are meant to end.
"""

LOOK_BACK = timedelta(days=366)
"""How much of the past of a series counts."""

_NOTHING_LEFT = "nothing of it is left to come"
_LIMITED = re.compile(r"(?:^|;)\s*(?:UNTIL|COUNT)\s*=", re.IGNORECASE)


def endings(project: Project, occurrences: Occurrences, today: date) -> Iterator[Lint]:
    """Yield the warnings about windows that end soon after *today*, and days of .ics files."""
    horizon = before_writing(today)
    for window in project.windows:
        ahead = occurrences.get(window.key)
        if ahead is None:
            continue  # it can't be expanded, which is a problem
        found = _ending(window, ahead, horizon)
        # Only what is about to end is expanded any further.
        if found and not expand(window, Horizon(horizon.end, horizon.end + LOOK_AHEAD)):
            yield found
    seen: set[tuple[str, IcsFile]] = set()
    first, last = (horizon.start - LOOK_BACK).date(), horizon.end.date()
    for window in project.windows:
        holidays = window.holidays.calendars if depends_on_holidays(window) else ()
        for file in (*window.skip.calendars, *holidays):
            if (window.timezone, file) in seen:
                continue
            seen.add((window.timezone, file))
            end = max(ical.days(file, window.timezone, first, last), default=None)
            if end and end < (horizon.start + LOW).date():
                message = f"the days of {file.path} run out on {end}; write those that follow"
                yield at(window, "horizon-low", message)


def _ending(window: Window, ahead: Sequence[Occurrence], horizon: Horizon) -> Lint | None:
    """Return the warning that *window* ends, which holds if nothing starts after *horizon*."""
    past = Horizon(horizon.start - LOOK_BACK, horizon.start)
    if not ahead:
        before = expand(window, past)
        last = f"its last start was on {_day(before[-1])}" if before else _NOTHING_LEFT
        return at(window, "window-over", f"{last}; remove it, or give it new dates")
    last = _day(ahead[-1])
    if isinstance(window.recurrence, Dates | Ical):
        if ahead[-1].start > horizon.start + LOW:
            return None
        if len(ahead) + len(expand(window, past)) < SERIES:
            return None
        message = f"its dates run out on {last}; write those that follow"
        return at(window, "horizon-low", message)
    limited = isinstance(window.recurrence, Rrule) and _LIMITED.search(window.recurrence.rule)
    if not (limited or window.not_after):
        return None
    message = f"its last start is on {last}; after it nothing boosts in its place"
    return at(window, "recurrence-ends", message)


STALE = timedelta(days=30)
"""Age from which the copy of a remote calendar is warned about."""


def stale_copies(project: Project, today: date) -> Iterator[Lint]:
    """Yield the copies of remote calendars that were fetched long before *today*."""
    seen: set[IcsFile] = set()
    for window in project.windows:
        own = (window.recurrence.file,) if isinstance(window.recurrence, Ical) else ()
        for file in (*own, *window.skip.calendars, *window.holidays.calendars):
            if file.fetched is None or today - file.fetched < STALE or file in seen:
                continue
            seen.add(file)
            age = (today - file.fetched).days
            message = f"the copy of {file.address} is {age} days old; run planner fetch, and commit"
            yield at(window, "stale-copy", message)


def _day(occurrence: Occurrence) -> str:
    return f"{to_wall(occurrence.start, occurrence.window.tz):%Y-%m-%d}"


# Crowding ----------------------------------------------------------------------------

AT_ONCE = 10
"""Changes of one account that the Cloud Operations API works on at the same time."""

CROWD = timedelta(minutes=5)
"""Requests within so long of the first one queue up behind each other."""

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1) // SECOND


class _Crowd(NamedTuple):
    """Namespaces that are raised at about the same time, by the first request of each.

    In seconds since `EPOCH`: when the *first* is requested, and when the last is *ready* if
    requested as late as jitter allows. In seconds: how *late* the latest is after its start,
    negative if in time. *requests* are those of the group, as `_requests` has them.
    """

    size: int
    first: int
    ready: int
    late: int
    requests: Sequence[int]


def crowding(occurrences: Occurrences) -> Iterator[Lint]:
    """Yield one warning, for the crowd that is ready latest, if there is any.

    The Cloud Operations API works on `AT_ONCE` changes of an account at a time, so forty
    namespaces that boost at midnight queue up four deep.
    """
    raising = sorted(
        (
            found
            for found in occurrences.values()
            if found and found[0].tru and not found[0].window.paused
        ),
        key=lambda found: (found[0].window.lead, found[0].window.key),
    )
    if len({found[0].window.namespace for found in raising}) <= AT_ONCE:
        return
    count, worst = 0, None
    for count, crowd in enumerate(_crowds(raising), start=1):  # noqa: B007 - read after the loop
        if worst is None or (crowd.late, crowd.size) > (worst.late, worst.size):
            worst = crowd
    if worst:
        file, line = _place(worst, raising)
        minutes = math.ceil(worst.size / AT_ONCE) * PROVISIONING // timedelta(minutes=1)
        late = math.ceil(worst.late * SECOND / timedelta(minutes=1))
        in_time = f"{late} min late" if late > 0 else "in time"
        more = f" (and {count - 1} more times in the coming year)" if count > 1 else ""
        message = (
            f"{worst.size} namespaces are raised within {CROWD // timedelta(minutes=1)} minutes of "
            f"{format_instant(EPOCH + worst.first * SECOND)}, and {AT_ONCE} are changed at a time: "
            f"the last one is ready at {format_instant(EPOCH + worst.ready * SECOND)}, {in_time}; "
            f"lead: {minutes}m is enough for all of them, or spread them with jitter: "
            f"{minutes}m{more}"
        )
        yield Lint(file, line, "crowded", message)


def _requests(raising: Sequence[list[Occurrence]]) -> list[int]:
    """Return the requests of all windows in order, each as one number.

    Its second times the number of windows, plus the window's index: hundreds of thousands of
    them are sorted and compared several times as fast as occurrences.
    """
    count = len(raising)
    requests: list[int] = []
    for index, found in enumerate(raising):
        origin = EPOCH + found[0].window.lead
        after = [each.start - origin for each in found]
        requests += [(at.days * DAY + at.seconds) * count + index for at in after]
    requests.sort()
    return requests


def _crowds(raising: Sequence[list[Occurrence]]) -> Iterator[_Crowd]:
    """Yield the crowds of more namespaces than the API changes at a time.

    *raising* are in the order of their leads, so that of the requests of a namespace at one time
    that for the earliest start counts.
    """
    requests, count = _requests(raising), len(raising)
    namespaces = [found[0].window.namespace for found in raising]
    leads = [found[0].window.lead // SECOND for found in raising]
    takes = PROVISIONING // SECOND
    for begin, end in _groups(requests, CROWD // SECOND * count, count):
        group = requests[begin:end]
        seen: set[str] = set()
        ready: list[int] = []
        late = -leads[-1]
        for request in group:
            at, index = divmod(request, count)
            if namespaces[index] in seen:
                continue
            seen.add(namespaces[index])
            # The first to be busy is the first to be free.
            free = ready[-AT_ONCE] if len(ready) >= AT_ONCE else at
            ready.append(max(at, free) + takes)
            late = max(late, ready[-1] - at - leads[index])
        if len(seen) > AT_ONCE:
            yield _Crowd(len(seen), group[0] // count, ready[-1], late, group)


def _groups(requests: Sequence[int], crowd: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield where each group begins in *requests*, and where it ends, if it may be a crowd.

    A group is what follows its first request within *crowd*, whatever of the *count* windows.
    """
    begin = 0
    while begin + AT_ONCE < len(requests):
        past = requests[begin] // count * count + crowd + count
        if requests[begin + AT_ONCE] >= past:  # too few
            begin = bisect_left(requests, past, begin, begin + AT_ONCE)
            continue
        end = bisect_left(requests, past, begin)
        yield begin, end
        begin = end


def _place(crowd: _Crowd, raising: Sequence[list[Occurrence]]) -> tuple[str, int]:
    """Return the first place in the files of a window whose request counts in *crowd*."""
    members = []
    for request in crowd.requests:
        at, index = divmod(request, len(raising))
        found = raising[index]
        start = EPOCH + at * SECOND + found[0].window.lead
        members.append((at, found[bisect_left(found, start, key=attrgetter("start"))]))
    group: dict[str, Occurrence] = {}
    for _, each in sorted(members, key=lambda member: (member[0], member[1].order)):
        group.setdefault(each.window.namespace, each)
    place = min(each.window.place for each in group.values())
    return place.file, place.line


# Guard rails -------------------------------------------------------------------------


def over_limits(project: Project, occurrences: Occurrences) -> Iterator[Problem]:
    """Yield the occurrences that are too long and the namespaces boosted too long in a month.

    Months are calendar months in UTC; in the first one, only the rest of it counts.
    """
    for calendar in project.namespaces:
        found = [each for window in calendar.windows for each in occurrences.get(window.key, ())]
        reported = set()
        for each in found:
            window, lasts = each.window, each.end - each.start
            above = calendar.guard_rails.above_duration(lasts)
            if above and window.key not in reported:
                reported.add(window.key)
                yield Problem(
                    window.place.file,
                    window.place.line,
                    f"window '{window.name}': on {_day(each)} it lasts {format_duration(lasts)}, "
                    f"{above}; end it earlier",
                )
        raising = [each for each in found if each.tru and not each.window.paused]
        if calendar.guard_rails.max_boost_hours_per_month is None or not raising:
            continue
        raising.sort(key=OCCURRENCE_ORDER)
        span = Horizon(raising[0].start, max(each.end for each in raising))
        months = list(months_of(span))
        edges = [ticks(month.start) for month in months] + [ticks(span.end)]
        durations = open_durations(billed_intervals(raising), edges)
        for month, together in zip(months, durations, strict=True):
            if above := calendar.guard_rails.above_hours(together):
                yield Problem(
                    calendar.place.file,
                    calendar.place.line,
                    f"namespace '{calendar.namespace}' is boosted {together / HOUR:g} hours in "
                    f"{month.start:%Y-%m}, {above}; shorten or remove windows",
                )
                break
