"""A preview as text that reads well in 80 columns: the days of every namespace."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from planner.model import Occurrence
from planner.render import words
from planner.render.bill_text import bill_text
from planner.render.day_bar import RULER, DayBars
from planner.render.day_names import which_days
from planner.render.preview import Lane, Preview, ZoneChange
from workflows.contract import to_wall

WIDTH = 80
LEFT = 28
"""Columns before the bars."""

WORTH_A_GROUP = 3
"""So many days that look alike are shown as one entry."""

_Look = tuple[str, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Day:
    """One local day of a lane: its bar, its runs in words, and what is special about it."""

    day: date
    bar: str
    runs: tuple[str, ...]
    marks: tuple[str, ...]

    @property
    def look(self) -> _Look:
        """All but the date: days that look alike fit one entry."""
        return self.bar, self.runs, self.marks


def preview_text(shown: Preview, now: datetime) -> str:
    """Return *shown* for people: day by day, then the clock changes and the bill."""
    parts = [_title(shown)]
    parts += [_lane_text(lane, now) for lane in shown.lanes]
    parts += [clock_changes_text(shown)] if shown.lanes else []
    parts += [bill_text(shown)] if any(lane.calendar.windows for lane in shown.lanes) else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(shown: Preview) -> str:
    first, last = shown.horizon.start, shown.horizon.end - timedelta(seconds=1)
    days = -(-(shown.horizon.end - shown.horizon.start) // timedelta(days=1))
    span = f"{first:%a %d %b %Y} {words.DASH} {last:%a %d %b %Y}"
    return f"{shown.project.name}: {span} ({words.counted(days, 'day')}, UTC)"


def _lane_text(lane: Lane, now: datetime) -> str:
    """Return one namespace: its head, a ruler, and the days on which something is up."""
    lines = [*_head(lane, now), ""]
    days = list(_days(lane))
    if days:
        lines.append(" " * LEFT + RULER)
        for group in _grouped(days):
            lines += _day_lines(group, {day.day for day in days})
    return "\n".join(lines).rstrip()


def _head(lane: Lane, now: datetime) -> list[str]:
    calendar = lane.calendar
    title = f"{calendar.namespace}  {calendar.timezone}, baseline {_baseline(lane)}"
    lines = [title, "=" * min(len(title), WIDTH), *_wrapped(summary(lane, now))]
    if lane.paused:
        lines += _wrapped(f"Paused, so never up: {', '.join(lane.paused)}.")
    return lines


def _baseline(lane: Lane) -> str:
    baseline = lane.calendar.baseline
    return str(baseline) if baseline else "as found (drawn as on-demand)"


def summary(lane: Lane, now: datetime) -> str:
    """Return one sentence: how often, how long, how high, and what comes next."""
    if not lane.occurrences:
        return "Nothing runs in these days."
    open_time = sum((s.end - s.start for s in lane.steps if s.claims), timedelta())
    text = (
        f"{words.counted(len(lane.occurrences), 'run')}, {words.hours(open_time)} h open, "
        f"peak {lane.peak:g} TRU."
    )
    following = next((o for o in lane.occurrences if o.start > now), None)
    if following:
        when = words.moment(following.start, following.window.tz)
        text += f" Next: {following.window.name}, {when}, {words.demand(following)}."
    return text


def _days(lane: Lane) -> Iterator[_Day]:
    """Yield the local days of *lane* on which a run starts, or that have a mark."""
    tz = ZoneInfo(lane.calendar.timezone)
    runs: dict[date, list[Occurrence]] = defaultdict(list)
    for occurrence in lane.occurrences:
        runs[to_wall(occurrence.start, tz).date()].append(occurrence)
    marks, bars = _marks(lane), DayBars(lane.steps, tz, lane.peak)
    for day in sorted({*runs, *marks}):
        lines = tuple(line for run in runs[day] for line in _run_lines(run, tz))
        yield _Day(day, bars.bar(day), lines, tuple(marks.get(day, ())))


def _marks(lane: Lane) -> dict[date, list[str]]:
    """Return what is special about days within the steps: holidays and clock changes."""
    marks: dict[date, list[str]] = defaultdict(list)
    for holiday in lane.holidays:
        marks[holiday.day].append(holiday.name)
    for item in lane.clock_changes:
        if lane.steps and lane.steps[0].start <= item.change.at < lane.steps[-1].end:
            marks[item.change.low.date()].append(change_words(item))
    return marks


def change_words(item: ZoneChange) -> str:
    """Return a clock change in words: ``clock goes forward 02:00 → 03:00 (…)``."""
    change = item.change
    first, last = (change.low, change.high) if change.is_gap else (change.high, change.low)
    way = "forward" if change.is_gap else "back"
    return f"the clock goes {way} {first:%H:%M} → {last:%H:%M} in {item.timezone}"


def _run_lines(run: Occurrence, lane_tz: ZoneInfo) -> list[str]:
    """Return a run in 80 columns: local, UTC, TRU, name; what moved it on further lines."""
    tz = run.window.tz
    here = words.local_span(run.start, run.end, tz)
    there = words.utc_span(run.start, run.end, tz)
    if to_wall(run.start, tz).date() != to_wall(run.start, lane_tz).date():
        here = f"{to_wall(run.start, tz):%a} {here}"
    head = f"  {here:<25} {there:<19} {words.demand(run):>7}  "
    name = run.window.name
    lines = [head + name] if len(head) + len(name) <= WIDTH else [head.rstrip(), f"    {name}"]
    for note in run.notes:
        lines += textwrap.wrap(note, WIDTH - 6, initial_indent="      ", subsequent_indent="      ")
    return lines


def _grouped(days: Sequence[_Day]) -> list[list[_Day]]:
    """Return *days* with those that look alike put together, where there are enough.

    A group stands where its first day is; so a regular pattern is read once, and what
    departs from it stands out.
    """
    alike: dict[_Look, list[_Day]] = defaultdict(list)
    for day in days:
        alike[day.look].append(day)
    groups = [
        part
        for group in alike.values()
        for part in ([group] if len(group) >= WORTH_A_GROUP else [[day] for day in group])
    ]
    return sorted(groups, key=lambda group: group[0].day)


def _day_lines(group: Sequence[_Day], shown: Collection[date]) -> list[str]:
    """Return a day, or days that look alike, with the bar, the marks and the runs."""
    first, last = group[0], group[-1]
    if first is last:
        lines = [f"{first.day:%a %d %b %Y}".ljust(LEFT) + first.bar.rstrip()]
    else:
        label = f"{first.day:%a %d %b} {words.DASH} {last.day:%a %d %b}"
        lines = [label.ljust(LEFT) + first.bar.rstrip()]
        lines += _indented(which_days([day.day for day in group], shown))
    for mark in first.marks:
        lines += _indented(mark)
    return [*lines, *first.runs]


def clock_changes_text(shown: Preview) -> str:
    """Return the clock changes ahead, and what becomes of the runs they touch."""
    together: dict[tuple[datetime, str], list[str]] = defaultdict(list)
    for lane in shown.lanes:
        for item in lane.clock_changes:
            head = f"{item.change.low:%a %d %b %Y}  {change_words(item)}"
            touched = together[item.change.at, head]
            touched += [touched_words(run) for run in item.touched]
    lines = ["Clock changes ahead", "==================="]
    for (_, head), touched in sorted(together.items()):
        lines.append(head)
        for text in touched:
            lines += _indented(text)
    return "\n".join(lines) if together else ""


def touched_words(run: Occurrence) -> str:
    """Return what a clock change makes of *run*."""
    tz = run.window.tz
    span = words.local_span(run.start, run.end, tz)
    moved = f"; {'; '.join(run.notes)}" if run.notes else ""
    return f"{run.window.key} runs {span}, {words.length(run.end - run.start)} in all{moved}"


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - 4, initial_indent="    ", subsequent_indent="    ")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)
