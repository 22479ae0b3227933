"""A preview as text of 80 columns: the days of every namespace, clock changes, the bill.

An explanation, why a capacity is in force, is such text, too, or JSON.
"""

from __future__ import annotations

import json
import textwrap
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from planner.forecast.cost import ASSUMPTIONS, Bill, NamespaceBill
from planner.forecast.preview import CostHint, Lane, Preview, ZoneChange
from planner.forecast.timeline import (
    ActiveWindow,
    Explanation,
    FleetStep,
    InactiveWindow,
    Step,
    fleet_reasons,
    reasons_of,
)
from planner.model import Occurrence, Window, demand_words
from planner.render import format as fmt
from planner.schedules.compile import rule_of
from planner.timezones import clock_changes
from workflows.contract import format_duration, format_instant, to_instant, to_wall

WIDTH = 80
LEFT = 28
"""Columns before the bars."""

WORTH_A_GROUP = 3
"""Days from which on those that look alike are one entry."""

MOST_EXCEPTIONS = 4
"""More exceptions than that are not named if each is listed by itself anyway."""

MOST_HINTS = 8
"""Hints shown for a namespace; the rest is counted."""


def preview_text(shown: Preview, now: datetime) -> str:
    """Return *shown* as text; *now* decides which occurrence is the next one."""
    first, last = shown.horizon.start, shown.horizon.end - timedelta(seconds=1)
    days = -(-(shown.horizon.end - shown.horizon.start) // timedelta(days=1))
    span = f"{first:%a %d %b %Y} {fmt.DASH} {last:%a %d %b %Y}"
    parts = [f"{shown.project.name}: {span} ({fmt.counted(days, 'day')}, UTC)"]
    parts += [_lane_text(lane, now) for lane in shown.lanes]
    changes = []
    for day, change, runs in clock_changes_ahead(shown.lanes):
        changes.append(f"{day}  {change}")
        for run in runs:
            changes += _indented(run)
    if changes:
        parts.append("\n".join(["Clock changes ahead", "===================", *changes]))
    parts += [_bill_text(shown)] if any(lane.calendar.windows for lane in shown.lanes) else []
    return "\n\n".join(part for part in parts if part) + "\n"


# Days ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Day:
    """A local day: its bar, its occurrences as lines, its holidays and clock changes."""

    day: date
    bar: str
    lines: tuple[str, ...]
    marks: tuple[str, ...]


def _lane_text(lane: Lane, now: datetime) -> str:
    """Return one namespace: its head, a ruler, and the days on which something runs."""
    calendar = lane.calendar
    baseline = str(calendar.baseline) if calendar.baseline else "as found (drawn as on-demand)"
    title = f"{calendar.namespace}  {calendar.timezone}, baseline {baseline}"
    lines = [title, "=" * min(len(title), WIDTH), *_wrapped(summary(lane, now))]
    for sentence in fleet_summaries(lane):
        lines += _wrapped(sentence)
    if lane.paused:
        lines += _wrapped(f"Paused, so never up: {', '.join(lane.paused)}.")
    lines.append("")
    days = list(_days(lane))
    if days:
        lines.append(" " * LEFT + RULER)
        listed = {day.day for day in days}
        groups = fmt.grouped(days, lambda day: (day.bar, day.lines, day.marks), WORTH_A_GROUP)
        for group in sorted(groups, key=lambda group: group[0].day):
            first, last = group[0], group[-1]
            label = f"{first.day:%a %d %b %Y}"
            if first is not last:
                label = f"{first.day:%a %d %b} {fmt.DASH} {last.day:%a %d %b}"
            lines.append(label.ljust(LEFT) + first.bar.rstrip())
            if first is not last:
                lines += _indented(which_days([day.day for day in group], listed))
            for mark in first.marks:
                lines += _indented(mark)
            lines += first.lines
    return "\n".join(lines).rstrip()


def _days(lane: Lane) -> Iterator[_Day]:
    """Yield the local days on which an occurrence starts or that have a mark."""
    tz = ZoneInfo(lane.calendar.timezone)
    starting: dict[date, list[Occurrence]] = defaultdict(list)
    for occurrence in lane.occurrences:
        starting[to_wall(occurrence.start, tz).date()].append(occurrence)
    marks: dict[date, list[str]] = defaultdict(list)
    for holiday in lane.holidays:
        marks[holiday.day].append(holiday.name)
    for item in lane.clock_changes:
        if lane.steps and lane.steps[0].start <= item.change.at < lane.steps[-1].end:
            marks[item.change.low.date()].append(clock_change(item))
    bars = DayBars(lane.steps, tz, lane.peak)
    for day in sorted({*starting, *marks}):
        lines = tuple(line for each in starting[day] for line in _occurrence_lines(each, tz))
        yield _Day(day, bars.bar(day), lines, tuple(marks.get(day, ())))


def _occurrence_lines(occurrence: Occurrence, lane_tz: ZoneInfo) -> list[str]:
    """Return an occurrence: local and UTC times, TRU, name; its notes on further lines."""
    start, end, window = occurrence.start, occurrence.end, occurrence.window
    local, utc = fmt.local_span(start, end, window.tz), fmt.utc_span(start, end, window.tz)
    if to_wall(start, window.tz).date() != to_wall(start, lane_tz).date():
        local = f"{to_wall(start, window.tz):%a} {local}"
    head, name = f"  {local:<25} {utc:<19} {fmt.tru(window):>7}  ", window.name
    lines = [head + name] if len(head) + len(name) <= WIDTH else [head.rstrip(), f"    {name}"]
    also = (f"needs {fmt.workers(window)}",) if window.workers else ()
    for note in (*also, *occurrence.notes):
        lines += textwrap.wrap(note, WIDTH - 6, initial_indent="      ", subsequent_indent="      ")
    return lines


def which_days(days: Sequence[date], others: Collection[date] = ()) -> str:
    """Return how many days *days* are, and which of those from the first to the last.

    Args:
        days: Sorted.
        others: Days that are listed by themselves, so that a pattern may leave them out.

    >>> which_days([date(2027, 3, 5), date(2027, 3, 8), date(2027, 3, 9)])
    '3 days: Monday to Friday'
    >>> which_days([date(2027, 3, 1), date(2027, 3, 8), date(2027, 3, 15)])
    '3 days: every Monday'
    >>> which_days([date(2027, 3, 1), date(2027, 3, 2), date(2027, 3, 3), date(2027, 3, 5)])
    '4 days: every day but for Thu 04 Mar'
    """
    between = [days[0] + timedelta(days=n) for n in range((days[-1] - days[0]).days + 1)]
    patterns: tuple[tuple[str, Callable[[date], bool]], ...] = (
        ("every day", lambda day: True),
        ("Monday to Friday", lambda day: day.weekday() < 5),
        ("Saturdays and Sundays", lambda day: day.weekday() >= 5),
        (f"every {days[0]:%A}", lambda day: day.weekday() == days[0].weekday()),
    )
    fits = []
    for name, matches in patterns:
        missing = sorted({day for day in between if matches(day)} - set(days))
        few = len(missing) <= min(MOST_EXCEPTIONS, len(days) // 2)
        if all(matches(day) for day in days) and (few or set(missing) <= set(others)):
            fits.append((len(missing), name, missing))
    if not fits:
        return f"{len(days)} days: {_listed(days)}"
    count, name, missing = min(fits, key=itemgetter(0))  # the first of equals
    shown = _listed(missing) if count <= MOST_EXCEPTIONS else "those listed by themselves"
    return f"{len(days)} days: {name}{f' but for {shown}' if missing else ''}"


def _listed(days: Sequence[date]) -> str:
    return ", ".join(f"{day:%a %d %b}" for day in days)


# The bar of a day ----------------------------------------------------------------------------

SLOT = timedelta(minutes=30)
SLOTS = 48
"""Characters of a bar: one for each half hour of wall time."""

DAY = timedelta(days=1)

LEVELS = "▁▂▃▄▅▆▇█"
NOTHING = "·"
SKIPPED = " "
"""A half hour that the clock skips; one that it shows twice has the higher of both levels."""

UNKNOWN = " "
"""A half hour outside of the steps."""

RULER = "0h" + " " * 10 + "6h" + " " * 10 + "12h" + " " * 9 + "18h" + " " * 7 + "24h"


class DayBars:
    """Draws local days from the *steps* of a namespace; the highest level is *peak* TRU."""

    def __init__(self, steps: Sequence[Step], tz: ZoneInfo, peak: float) -> None:
        self._steps = steps
        self._starts = [step.start for step in steps]
        self._tz = tz
        self._peak = peak

    def bar(self, day: date) -> str:
        """Return the bar of the local *day*."""
        midnight = datetime.combine(day, time())
        begin, end = to_instant(midnight, self._tz), to_instant(midnight + DAY, self._tz)
        if clock_changes(self._tz.key, begin, end):
            return "".join(self._slot(midnight + SLOT * slot) for slot in range(SLOTS))
        levels: list[float | None] = [None] * SLOTS
        for step in self._overlapping(begin, end):
            tru = step.capacity.tru or 0
            first = (max(step.start, begin) - begin) // SLOT
            last = -(-(min(step.end, end) - begin) // SLOT)
            for slot in range(first, last):
                levels[slot] = max(levels[slot] or 0, tru)
        return "".join(self._sign(level) for level in levels)

    def _slot(self, wall: datetime) -> str:
        """Return the half hour from *wall* on, on a day of a clock change."""
        start, end = to_instant(wall, self._tz), to_instant(wall + SLOT, self._tz)
        if to_wall(start, self._tz) != wall:
            return SKIPPED
        shown = self._overlapping(start, max(end, start + SLOT))
        return self._sign(max((step.capacity.tru or 0 for step in shown), default=None))

    def _overlapping(self, start: datetime, end: datetime) -> Iterator[Step]:
        """Yield the steps that overlap ``[start, end)``."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        for index in range(first, len(self._steps)):
            step = self._steps[index]
            if step.start >= end:
                return
            if step.end > start:
                yield step

    def _sign(self, tru: float | None) -> str:
        """Return the character for *tru*; None means outside of the steps."""
        if tru is None:
            return UNKNOWN
        if not tru or not self._peak:
            return NOTHING
        level = -(-tru * len(LEVELS) // self._peak)
        return LEVELS[min(int(level), len(LEVELS)) - 1]


# The bill ------------------------------------------------------------------------------------


def _bill_text(shown: Preview) -> str:
    """Return the bill of the year: by month, by window, the hints, the assumptions."""
    bill, year = shown.bill, shown.year
    title = (
        f"The bill at worst, {year.start:%d %b %Y} to {year.end:%d %b %Y}: "
        f"{fmt.money(bill.total, bill.currency)}"
    )
    always = fmt.money(bill.always_total, bill.currency)
    parts = [[title, "=" * len(title), f"Always provisioned at the peak: {always}"]]
    parts.append(["month       open h  billed h       Actions  peak TRU         at worst"])
    for line in bill.lines:
        usage = line.usage
        parts[-1].append(
            f"{line.month:%Y-%m}  {fmt.hours(usage.boosted):>9}{usage.billed_hours:>10,}"
            f"{fmt.actions(usage.actions):>14}{fmt.peak(usage.peak):>10}{fmt.money(line.price):>17}"
        )
    parts[-1] += [f"{label:<52}{amount:>17}" for label, amount in fmt.sums_of(bill)]
    for namespace, lane in zip(bill.namespaces, shown.lanes, strict=True):
        if namespace.windows:
            parts.append(_window_table(namespace, bill.currency))
        shown_hints = lane.hints[:MOST_HINTS]
        hints = [
            each for hint in shown_hints for each in _point(hint_sentence(hint, namespace, bill))
        ]
        if more := len(lane.hints) - len(shown_hints):
            hints.append(f"    and {fmt.counted(more, 'more hint')}")
        parts += [hints] if hints else []
    terms = (*ASSUMPTIONS, *fmt.price_terms(bill.prices))
    parts.append(["What this bill takes for granted:"])
    parts[-1] += [line for text in terms for line in _point(text)]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _window_table(namespace: NamespaceBill, currency: str) -> list[str]:
    """Return the windows of a namespace, each as if it were alone."""
    lines = [
        f"{namespace.namespace}: {fmt.money(namespace.price, currency)}; always at its "
        f"peak: {fmt.money(namespace.always_price, currency)}",
        "  each window alone        billed h        at worst   whole hours        at best",
    ]
    for window in namespace.windows:
        billed = sum(line.usage.billed_hours for line in window.lines)
        row = (
            f"{billed:>8,}{fmt.money(window.price):>16}"
            f"{window.aligned_hours:>14,}{fmt.money(window.aligned_price):>15}"
        )
        if len(window.window) > 24:
            lines += [f"  {window.window}", " " * 27 + row]
        else:
            lines.append(f"  {window.window:<25}{row}")
    return lines


# Sentences that other formats show, too ------------------------------------------------------


def summary(lane: Lane, now: datetime) -> str:
    """Return how often, how long and how high a namespace is boosted, and what comes next."""
    if not lane.occurrences:
        return "Nothing runs in these days."
    open_time = sum((s.end - s.start for s in lane.steps if s.occurrences), timedelta())
    peak = f", peak {lane.peak:g} TRU" if lane.peak or not lane.fleets else ""
    runs = fmt.counted(len(lane.occurrences), "run")
    text = f"{runs}, {fmt.hours(open_time)} h open{peak}."
    following = next((each for each in lane.occurrences if each.start > now), None)
    if following:
        when = fmt.moment(following.start, following.window.tz)
        text += f" Next: {following.window.name}, {when}, {fmt.demand(following.window)}."
    return text


def fleet_summaries(lane: Lane) -> Iterator[str]:
    """Yield for each fleet its limits, its lead, and how many workers the windows need."""
    for steps in lane.fleets:
        fleet = steps[0].fleet
        most = max(step.replicas for step in steps)
        raised = sum((s.end - s.start for s in steps if s.occurrences), timedelta())
        peak = f"at least {most:,} in windows" if raised else "no window needs any in these days"
        hours = f", {fmt.hours(raised)} h" if raised else ""
        lead = f"; requested {format_duration(fleet.lead)} ahead"
        yield f"{fmt.fleet(fleet)}: {peak}{hours}{lead}."


def clock_changes_ahead(lanes: Iterable[Lane]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the clock changes of all *lanes*, in order: the day, the change, affected runs."""
    affected: dict[tuple[datetime, str, str], list[str]] = defaultdict(list)
    for lane in lanes:
        for item in lane.clock_changes:
            day = f"{item.change.low:%a %d %b %Y}"
            runs = map(affected_run, item.affected)
            affected[item.change.at, day, clock_change(item)] += runs
    for (_, day, change), found in sorted(affected.items()):
        yield day, change, found


def clock_change(item: ZoneChange) -> str:
    """Return a clock change: ``the clock goes forward 02:00 → 03:00 in Europe/Berlin``."""
    change = item.change
    first, last = (change.low, change.high) if change.is_gap else (change.high, change.low)
    way = "forward" if change.is_gap else "back"
    return f"the clock goes {way} {first:%H:%M} → {last:%H:%M} in {item.timezone}"


def affected_run(occurrence: Occurrence) -> str:
    """Return when an occurrence runs that a clock change affects."""
    start, end, window = occurrence.start, occurrence.end, occurrence.window
    moved = f"; {'; '.join(occurrence.notes)}" if occurrence.notes else ""
    span = fmt.local_span(start, end, window.tz)
    return f"{window.key} runs {span}, {format_duration(end - start)} in all{moved}"


def hint_sentences(shown: Preview) -> tuple[str, ...]:
    """Return the hints of all namespaces, each with the money that it is about."""
    return tuple(
        f"{hint.namespace}: {hint_sentence(hint, namespace, shown.bill)}"
        for namespace, lane in zip(shown.bill.namespaces, shown.lanes, strict=True)
        for hint in lane.hints
    )


def hint_sentence(hint: CostHint, namespace: NamespaceBill, bill: Bill) -> str:
    """Return a hint, how many occurrences it applies to, and the money that it is about.

    Actions are priced at the average of the *namespace* over the bill.
    """
    worth = ""
    total = sum(line.usage.actions for line in namespace.lines)
    if hint.actions:
        verb = "at stake" if hint.kind == "exact-end" else "saves"
        rate = namespace.price / total if total else 0.0
        worth = f", {verb} about {fmt.money(hint.actions * rate, bill.currency)}"
    return f"{hint.message} ({fmt.counted(hint.runs, 'run')}{worth})"


def _point(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - 4, initial_indent="    ", subsequent_indent="    ")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)


# Explanations --------------------------------------------------------------------------------


EXPLANATION_VERSION = 1
"""The version of an explanation's JSON."""


def explain_text(explained: Explanation, window: str = "") -> str:
    """Return *explained* as text, with *window* (name or full name) about that one alone."""
    active, inactive = _chosen(explained, window)
    lines = list(_now(explained))
    if active:
        lines += ["", "Windows that make it so"]
    for each in active:
        lines += _active(each)
    if inactive:
        lines += ["", "Windows that do not run now"]
    for absent in inactive:
        lines += _inactive(absent)
    return "\n".join(lines) + "\n"


def _chosen(explained: Explanation, name: str) -> tuple[list[ActiveWindow], list[InactiveWindow]]:
    """Return the windows called *name*, by name or full name; all of them if it is empty."""
    return (
        [each for each in explained.active if _is_called(each.occurrence.window, name)],
        [each for each in explained.inactive if _is_called(each.window, name)],
    )


def _is_called(window: Window, name: str) -> bool:
    return not name or name in (window.name, window.key)


# An explanation as text ----------------------------------------------------------------------


def _now(explained: Explanation) -> Iterator[str]:
    """Yield the capacity, the rules that lead to it, and its next change."""
    calendar, requested = explained.calendar, explained.requested
    tz = ZoneInfo(calendar.timezone)
    title = f"{calendar.namespace} at {fmt.moment(explained.at, tz)}"
    yield title
    yield "=" * min(len(title), WIDTH)
    yield from _wrapped(f"{requested.capacity}: {'; '.join(reasons_of(requested))}.")
    if requested.capacity != explained.promised.capacity:
        yield from _wrapped(
            f"It is being made ready: {explained.promised.capacity} is what open windows need."
        )
    if calendar.baseline is None:
        yield from _wrapped(
            "No baseline is declared: what is in force before the first boost is restored; "
            "on-demand is assumed here."
        )
    for now, _ in explained.fleets:
        why = "; ".join(fleet_reasons(now))
        yield from _wrapped(f"At least {now.replicas:,} {now.fleet.name} workers: {why}.")
    changes = [(one.replicas, one) for _, one in explained.fleets if one]
    step = explained.next_step
    if step is None and not changes:
        yield "Nothing changes in the 400 days after it."
    if step:
        why = "; ".join(reasons_of(step))
        yield from _wrapped(f"Next: {step.capacity} from {fmt.moment(step.start, tz)}: {why}.")
    for replicas, one in changes:
        words = f"at least {replicas:,} {one.fleet.name} workers from"
        why = "; ".join(fleet_reasons(one))
        yield from _wrapped(f"Next: {words} {fmt.moment(one.start, tz)}: {why}.")


def _active(active: ActiveWindow) -> Iterator[str]:
    """Yield an active window: its occurrence, its rule, its firing, and what moved it."""
    occurrence, window = active.occurrence, active.occurrence.window
    state = "" if active.is_open else ", requested and not open yet"
    yield f"  {window.name}: {fmt.demand(window)}{state}"
    yield from _points(_span(occurrence))
    yield from _points(f"rule: {rule_of(window)}{_place(window)}")
    jitter = f" and up to {format_duration(window.jitter)} of jitter" if window.jitter else ""
    yield from _points(
        f"its schedule fires {fmt.moment(occurrence.fires, window.tz)}: "
        f"{format_duration(window.ahead - window.jitter)} of lead{jitter}"
    )
    for request in fmt.requests(occurrence) if window.fleets else ():
        yield from _points(request)
    for note in occurrence.notes:
        yield from _points(note)
    if window.description:
        yield from _points(window.description)


def _inactive(inactive: InactiveWindow) -> Iterator[str]:
    """Yield an inactive window: why it doesn't run, and when it does."""
    window, story, following = inactive.window, inactive.story, inactive.next_occurrence
    yield f"  {window.name}: {demand_words(window.tru, window.workers)} when it runs"
    if window.paused:
        yield from _points(f"paused in the file{_place(window)}: its schedule never fires")
    for occurrence in story.runs:
        yield from _points(f"on this day it runs {_span(occurrence)}")
    for reason in story.reasons:
        yield from _points(reason)
    yield from _points(f"rule: {rule_of(window)}{_place(window)}")
    is_mentioned = any("next run" in reason for reason in story.reasons)
    if following and not is_mentioned and following not in story.runs:
        yield from _points(f"next run: {_span(following)}")


def _span(occurrence: Occurrence) -> str:
    tz = occurrence.window.tz
    elapsed = format_duration(occurrence.end - occurrence.start)
    local = fmt.local_span(occurrence.start, occurrence.end, tz)
    return f"{fmt.day(occurrence.start, tz)}, {local} ({elapsed})"


def _place(window: Window) -> str:
    return f" ({window.place.file}:{window.place.line})" if window.place.file else ""


def _points(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    - ", subsequent_indent="      ")


# An explanation as JSON ----------------------------------------------------------------------


def explain_json(explained: Explanation, window: str = "") -> str:
    """Return *explained* as JSON, with *window* (name or full name) about that one alone.

    ``now`` counts windows whose schedule has fired, ``promised_tru`` open windows only;
    ``next`` is the next change of ``now``, null without one in the 400 days after. A ``tru``
    of null is on-demand. ``fleets`` has the least replicas of each fleet of workers, likewise.
    ``windows`` has every window in one of these states:

    - ``open``: its occurrence is under way.
    - ``ahead``: its schedule has fired, its start is still ahead.
    - ``closed``: it doesn't run; ``reasons`` say why not.
    - ``paused``: it is paused in the file, so that its schedule never fires.
    """
    calendar, following = explained.calendar, explained.next_step
    active, inactive = _chosen(explained, window)
    document = {
        "format_version": EXPLANATION_VERSION,
        "namespace": calendar.namespace,
        "timezone": calendar.timezone,
        "at": format_instant(explained.at),
        "baseline": {
            "tru": fmt.number(calendar.baseline.tru if calendar.baseline else None),
            "declared": calendar.baseline is not None,
        },
        "now": _step_value(explained.requested),
        "promised_tru": fmt.number(explained.promised.capacity.tru),
        "next": {"at": format_instant(following.start), **_step_value(following)}
        if following
        else None,
        "fleets": [
            {
                "fleet": now.fleet.name,
                **_floor_value(now),
                "next": {"at": format_instant(after.start), **_floor_value(after)}
                if after
                else None,
            }
            for now, after in explained.fleets
        ],
        "windows": [*map(_active_value, active), *map(_inactive_value, inactive)],
    }
    return json.dumps(document, indent=2)


def _floor_value(step: FleetStep) -> dict[str, Any]:
    return {
        "replicas": step.replicas,
        "asked_replicas": step.floor.requested,
        "falls_short": step.floor.falls_short,
        "reasons": list(fleet_reasons(step)),
    }


def _step_value(step: Step) -> dict[str, Any]:
    return {
        "tru": fmt.number(step.capacity.tru),
        "asked_tru": step.target.requested,
        "falls_short": step.target.falls_short,
        "reasons": list(reasons_of(step)),
    }


def _active_value(active: ActiveWindow) -> dict[str, Any]:
    occurrence = active.occurrence
    return {
        **_window_value(occurrence.window),
        "state": "open" if active.is_open else "ahead",
        "run": _occurrence_value(occurrence),
        "reasons": list(occurrence.notes),
        "runs_on_day": [],
        "next": None,
    }


def _inactive_value(inactive: InactiveWindow) -> dict[str, Any]:
    following = inactive.next_occurrence
    return {
        **_window_value(inactive.window),
        "state": "paused" if inactive.window.paused else "closed",
        "run": None,
        "reasons": list(inactive.story.reasons),
        "runs_on_day": [_occurrence_value(each) for each in inactive.story.runs],
        "next": _occurrence_value(following) if following else None,
    }


def _window_value(window: Window) -> dict[str, Any]:
    return {
        "window": window.name,
        "tru": window.tru,
        "workers": dict(window.workers),
        "combine": window.combine,
        "rule": rule_of(window),
        "description": window.description,
        "file": window.place.file,
        "line": window.place.line,
    }


def _occurrence_value(occurrence: Occurrence) -> dict[str, Any]:
    return {
        "start": format_instant(occurrence.start),
        "end": format_instant(occurrence.end),
        "fires": format_instant(occurrence.fires),
        "notes": list(occurrence.notes),
    }
