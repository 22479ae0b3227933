"""A preview as text that reads well in 80 columns: the days of every namespace."""

from __future__ import annotations

import textwrap
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from operator import itemgetter
from zoneinfo import ZoneInfo

from planner.forecast.cost import ASSUMPTIONS, Bill, Line, NamespaceBill
from planner.forecast.cost_hints import Hint
from planner.forecast.preview import Lane, Preview, ZoneChange
from planner.forecast.timeline import Step
from planner.model import Occurrence, PriceTier
from planner.render import format as fmt
from planner.timezones import clock_changes
from workflows.contract import to_instant, to_wall

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
    span = f"{first:%a %d %b %Y} {fmt.DASH} {last:%a %d %b %Y}"
    return f"{shown.project.name}: {span} ({fmt.counted(days, 'day')}, UTC)"


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
        f"{fmt.counted(len(lane.occurrences), 'run')}, {fmt.hours(open_time)} h open, "
        f"peak {lane.peak:g} TRU."
    )
    following = next((o for o in lane.occurrences if o.start > now), None)
    if following:
        when = fmt.moment(following.start, following.window.tz)
        text += f" Next: {following.window.name}, {when}, {fmt.demand(following)}."
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
    here = fmt.local_span(run.start, run.end, tz)
    there = fmt.utc_span(run.start, run.end, tz)
    if to_wall(run.start, tz).date() != to_wall(run.start, lane_tz).date():
        here = f"{to_wall(run.start, tz):%a} {here}"
    head = f"  {here:<25} {there:<19} {fmt.demand(run):>7}  "
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
        label = f"{first.day:%a %d %b} {fmt.DASH} {last.day:%a %d %b}"
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
    span = fmt.local_span(run.start, run.end, tz)
    moved = f"; {'; '.join(run.notes)}" if run.notes else ""
    return f"{run.window.key} runs {span}, {fmt.length(run.end - run.start)} in all{moved}"


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - 4, initial_indent="    ", subsequent_indent="    ")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)


SLOT = timedelta(minutes=30)
SLOTS = 48
"""A bar has a character for every half hour of the clock."""

DAY = timedelta(days=1)

LEVELS = "▁▂▃▄▅▆▇█"
NOTHING = "·"
SKIPPED = " "
"""A half hour that the clock skips; one that it shows twice shows the higher of both."""

UNKNOWN = " "
"""A half hour outside of the steps."""

RULER = "0h" + " " * 10 + "6h" + " " * 10 + "12h" + " " * 9 + "18h" + " " * 7 + "24h"


class DayBars:
    """Draws local days of one namespace, from its *steps*; *peak* TRU are as high as a bar goes."""

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
        heights: list[float | None] = [None] * SLOTS
        for step in self._between(begin, end):
            tru = step.capacity.tru or 0
            first, last = (max(step.start, begin) - begin) // SLOT, _up(min(step.end, end) - begin)
            for slot in range(first, last):
                heights[slot] = max(heights[slot] or 0, tru)
        return "".join(self._level(height) for height in heights)

    def _slot(self, wall: datetime) -> str:
        """Return the half hour from *wall* on, on a day on which the clock changes."""
        start, end = to_instant(wall, self._tz), to_instant(wall + SLOT, self._tz)
        if to_wall(start, self._tz) != wall:
            return SKIPPED
        shown = self._between(start, max(end, start + SLOT))
        return self._level(max((step.capacity.tru or 0 for step in shown), default=None))

    def _between(self, start: datetime, end: datetime) -> Iterator[Step]:
        """Yield the steps that have a part in ``[start, end)``."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        for place in range(first, len(self._steps)):
            step = self._steps[place]
            if step.start >= end:
                return
            if step.end > start:
                yield step

    def _level(self, tru: float | None) -> str:
        """Return the character for *tru*; for None no step says what is in force."""
        if tru is None:
            return UNKNOWN
        if not tru or not self._peak:
            return NOTHING
        height = -(-tru * len(LEVELS) // self._peak)
        return LEVELS[min(int(height), len(LEVELS)) - 1]


def _up(length: timedelta) -> int:
    """Return *length* in half hours, rounded up."""
    return -(-length // SLOT)


MOST_EXCEPTIONS = 4
"""More exceptions than that are not named, if each is shown by itself anyway."""

_PATTERNS: tuple[tuple[str, Callable[[date], bool]], ...] = (
    ("every day", lambda day: True),
    ("Monday to Friday", lambda day: day.weekday() < 5),
    ("Saturdays and Sundays", lambda day: day.weekday() >= 5),
)


def which_days(days: Sequence[date], others: Collection[date] = ()) -> str:
    """Return in words which days *days* are, of those from the first to the last.

    Args:
        days: The days meant, in order.
        others: Days that are shown by themselves: what departs from a pattern.

    >>> which_days([date(2027, 3, 5), date(2027, 3, 8), date(2027, 3, 9)])
    '3 days: Monday to Friday'
    >>> which_days([date(2027, 3, 1), date(2027, 3, 8), date(2027, 3, 15)])
    '3 days: every Monday'
    >>> which_days([date(2027, 3, 1), date(2027, 3, 2), date(2027, 3, 3), date(2027, 3, 5)])
    '4 days: every day but for Thu 04 Mar'
    """
    between = [days[0] + timedelta(days=n) for n in range((days[-1] - days[0]).days + 1)]
    weekly = (f"every {days[0]:%A}", lambda day: day.weekday() == days[0].weekday())
    fits = []
    for name, holds in (*_PATTERNS, weekly):
        missing = sorted({day for day in between if holds(day)} - set(days))
        few = len(missing) <= min(MOST_EXCEPTIONS, len(days) // 2)
        if all(holds(day) for day in days) and (few or set(missing) <= set(others)):
            fits.append((len(missing), name, missing))
    if not fits:
        return f"{len(days)} days: {_listed(days)}"
    _, name, missing = min(fits, key=itemgetter(0))  # the first of equals
    return f"{len(days)} days: {name}{_exceptions(missing)}"


def _exceptions(missing: Sequence[date]) -> str:
    if not missing:
        return ""
    named = _listed(missing) if len(missing) <= MOST_EXCEPTIONS else "those listed by themselves"
    return f" but for {named}"


def _listed(days: Sequence[date]) -> str:
    return ", ".join(f"{day:%a %d %b}" for day in days)


WIDTH = 80
MOST_HINTS = 8
"""Hints shown for a namespace; the rest is counted."""


def bill_text(shown: Preview) -> str:
    """Return the bill of the year: by month, by window, what to change, and on what terms."""
    parts = ["\n".join(_bill_head(shown)), "\n".join(_month_table(shown.bill))]
    for namespace, lane in zip(shown.bill.namespaces, shown.lanes, strict=True):
        if namespace.windows:
            parts.append("\n".join(_window_table(namespace, shown.bill.currency)))
        if lane.hints:
            rate = _rate(namespace)
            parts.append("\n".join(_hint_lines(lane.hints, rate, shown.bill.currency)))
    parts.append("\n".join(_terms(shown)))
    return "\n\n".join(parts)


def _bill_head(shown: Preview) -> list[str]:
    year = shown.year
    title = (
        f"The bill at worst, {year.start:%d %b %Y} to {year.end:%d %b %Y}: "
        f"{fmt.money(shown.bill.price, shown.bill.currency)}"
    )
    against = fmt.money(shown.bill.always_price, shown.bill.currency)
    return [title, "=" * len(title), f"Always provisioned at the peak: {against}"]


def _month_table(bill: Bill) -> list[str]:
    """Return the table of the months, all namespaces together."""
    lines = ["month       open h  billed h       Actions  peak TRU         at worst"]
    lines += [_month_row(f"{line.month:%Y-%m}", line) for line in bill.lines]
    return lines


def _month_row(label: str, line: Line) -> str:
    metered = line.meter
    peak = f"{metered.peak:g}" if metered.peak is not None else "–"
    return (
        f"{label:<9}{fmt.hours(metered.boosted):>9}{metered.billed_hours:>10,}"
        f"{fmt.actions(metered.actions):>14}{peak:>10}{fmt.money(line.price):>17}"
    )


def _window_table(namespace: NamespaceBill, currency: str) -> list[str]:
    """Return the table of a namespace's windows, each as if it were alone."""
    lines = [
        f"{namespace.namespace}: {fmt.money(namespace.price, currency)}; always at its "
        f"peak: {fmt.money(namespace.always_price, currency)}",
        "  each window alone        billed h        at worst   whole hours        at best",
    ]
    for window in namespace.windows:
        billed = sum(line.meter.billed_hours for line in window.lines)
        row = (
            f"{billed:>8,}{fmt.money(window.price):>16}"
            f"{window.aligned_hours:>14,}{fmt.money(window.aligned_price):>15}"
        )
        if len(window.window) > 24:
            lines += [f"  {window.window}", " " * 27 + row]
        else:
            lines.append(f"  {window.window:<25}{row}")
    return lines


def _rate(namespace: NamespaceBill) -> float:
    """Return what an Action of a namespace costs on average over the bill."""
    actions = sum(line.meter.actions for line in namespace.lines)
    return namespace.price / actions if actions else 0.0


def hint_sentences(shown: Preview) -> tuple[str, ...]:
    """Return the hints of all namespaces, each with what it is worth."""
    return tuple(
        f"{hint.namespace}: {_sentence(hint, _rate(namespace), shown.bill.currency)}"
        for namespace, lane in zip(shown.bill.namespaces, shown.lanes, strict=True)
        for hint in lane.hints
    )


def _hint_lines(hints: Sequence[Hint], rate: float, currency: str) -> list[str]:
    """Return the hints of one namespace as a list."""
    lines = []
    for hint in hints[:MOST_HINTS]:
        text = _sentence(hint, rate, currency)
        lines += textwrap.wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    if len(hints) > MOST_HINTS:
        lines.append(f"    and {fmt.counted(len(hints) - MOST_HINTS, 'more hint')}")
    return lines


def _sentence(hint: Hint, rate: float, currency: str) -> str:
    return f"{hint.message} ({fmt.counted(hint.runs, 'run')}{_worth(hint, rate, currency)})"


def _worth(hint: Hint, rate: float, currency: str) -> str:
    if not hint.actions:
        return ""
    verb = "at stake" if hint.kind == "exact-end" else "saves"
    return f", {verb} about {fmt.money(hint.actions * rate, currency)}"


def _terms(shown: Preview) -> list[str]:
    """Return what the bill takes for granted, and the price list."""
    lines = ["What this bill takes for granted:"]
    for text in (*ASSUMPTIONS, price_list(shown)):
        lines += textwrap.wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    return lines


def price_list(shown: Preview) -> str:
    """Return the tiers in one sentence."""
    prices = shown.project.prices
    tiers = ", ".join(_tier(tier) for tier in prices.tiers)
    return f"{prices.currency} a million Actions in a month: {tiers}."


def _tier(tier: PriceTier) -> str:
    if tier.up_to is None:
        return f"{tier.per_million:g} beyond"
    return f"{tier.per_million:g} up to {tier.up_to / 1_000_000:g} M"
