"""A namespace as a drawing: bars, a step line, an axis, as values without any markup.

The page and the picture are two templates of the same drawing. Horizontal positions are
fractions of the horizon, from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from planner.forecast.preview import Lane
from planner.forecast.timeline import OCCURRENCE_ORDER, Step
from planner.model import Horizon, Occurrence, Window
from planner.render import format as fmt
from workflows.contract import to_instant, to_wall

DAY = timedelta(days=1)

MOST_DAYS = 100
"""Longest axis, in days, that shows days; a longer one shows months."""

WIDTH = 1000
"""Pixels of a time axis, at least: it grows with the horizon."""

LEAST = 4
"""Pixels of the narrowest bar, and of the least space between two."""

MARK = 20
"""Pixels that the sign of a clock change or of a holiday takes."""

LETTER = 8.0
"""Pixels of the widest letter of an axis label."""


# The values ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """Something to point at, with the reason that its tooltip shows; may have many lines."""

    left: float
    right: float
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign at one place; *kind* is ``clock`` or ``holiday``."""

    at: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the axis at a local midnight or hour; *label* may be empty."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Row:
    """A window with a bar for each occurrence, or for several that lie too close."""

    window: Window
    bars: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """One namespace.

    Attributes:
        width: Pixels of the time axis, at least.
        weekends: Where Saturdays and Sundays lie; none over more than `MOST_DAYS`.
        marks: Holidays and clock changes, merged where they lie too close for a sign each.
        line: The corners of the step line, x and y from 0 to 1, y from the bottom.
        pieces: Pieces of the step line in which an occurrence is active.
        peak: The highest TRU, 0 without any.
        ground: What the lowest line stands for.
        now: Where the present lies; None outside of the horizon.
    """

    namespace: str
    timezone: str
    width: float
    ticks: tuple[Tick, ...]
    weekends: tuple[tuple[float, float], ...]
    holidays: tuple[Shape, ...]
    clock_changes: tuple[Mark, ...]
    marks: tuple[Mark, ...]
    line: tuple[tuple[float, float], ...]
    pieces: tuple[Shape, ...]
    rows: tuple[Row, ...]
    peak: float
    ground: str
    now: float | None


def draw(lane: Lane, horizon: Horizon, now: datetime | None = None) -> Drawing:
    """Return the drawing of *lane* over *horizon*."""
    tz, width = ZoneInfo(lane.calendar.timezone), width_of(horizon)
    least = LEAST / width
    holidays = tuple(_holidays(lane, horizon, tz))
    clock_changes = tuple(
        Mark(
            fraction(item.change.at, horizon),
            "clock",
            "\n".join(
                (
                    f"{item.change.low:%a %d %b %Y}: {fmt.clock_change(item)}",
                    *map(fmt.affected, item.affected),
                )
            ),
        )
        for item in lane.clock_changes
        if item.change.at in horizon
    )
    return Drawing(
        namespace=lane.calendar.namespace,
        timezone=tz.key,
        width=width,
        ticks=tuple(ticks(horizon, tz, width)),
        weekends=tuple(weekends(horizon, tz)),
        holidays=holidays,
        clock_changes=clock_changes,
        marks=tuple(_merged([*holiday_marks(holidays), *clock_changes], MARK / width)),
        line=tuple(step_line(lane.steps, horizon, lane.peak)),
        pieces=tuple(
            Shape(left, right, fmt.reason_of_steps(steps, tz))
            for left, right, steps in pieces(lane.steps, horizon, least)
        ),
        rows=tuple(
            Row(
                window,
                tuple(
                    Shape(left, right, fmt.reason_of_occurrences(found))
                    for left, right, found in bars(occurrences, horizon, least)
                ),
            )
            for window, occurrences in lane.open
        ),
        peak=lane.peak,
        ground=fmt.ground(lane.calendar.baseline),
        now=fraction(now, horizon) if now and now in horizon else None,
    )


# Positions -----------------------------------------------------------------------------------


def width_of(horizon: Horizon) -> float:
    """Return the least pixels of the time axis: `WIDTH`, and six for each day."""
    return max(WIDTH, 6.0 * ((horizon.end - horizon.start) / DAY))


def fraction(instant: datetime, horizon: Horizon) -> float:
    """Return where *instant* lies in *horizon*, kept within it."""
    share = (instant - horizon.start) / (horizon.end - horizon.start)
    return min(max(share, 0.0), 1.0)


def day_span(day: date, horizon: Horizon, tz: ZoneInfo) -> tuple[float, float]:
    """Return where a local day begins and ends."""
    midnights = (datetime.combine(day + timedelta(days=n), time()) for n in (0, 1))
    left, right = (fraction(to_instant(wall, tz), horizon) for wall in midnights)
    return left, right


def weekends(horizon: Horizon, tz: ZoneInfo) -> list[tuple[float, float]]:
    """Return where the Saturdays and Sundays of *tz* lie; none over more than `MOST_DAYS`."""
    first, last = to_wall(horizon.start, tz).date(), to_wall(horizon.end, tz).date()
    if (last - first).days > MOST_DAYS:
        return []
    days = (first + DAY * n for n in range((last - first).days + 1))
    spans = (day_span(day, horizon, tz) for day in days if day.weekday() >= 5)
    return [(left, right) for left, right in spans if left < right]


def bars(
    occurrences: Iterable[Occurrence], horizon: Horizon, least: float
) -> list[tuple[float, float, list[Occurrence]]]:
    """Return left, right and occurrences of the bars of one window, none touching another.

    Each is at least *least* wide and *least* away from the next; what lies closer is one bar.
    """
    ordered = sorted(occurrences, key=OCCURRENCE_ORDER)
    return _put_together(ordered, horizon, least, lambda gap, _: gap < least)


def pieces(
    steps: Iterable[Step], horizon: Horizon, least: float
) -> list[tuple[float, float, list[Step]]]:
    """Return left, right and steps where an occurrence is active, none overlapping.

    Each is at least *least* wide; a narrower step joins a neighbour within that distance.
    """
    narrow = (horizon.end - horizon.start) * least
    return _put_together(
        [step for step in steps if step.occurrences],
        horizon,
        least,
        lambda gap, step: gap < 0 or (gap < least and step.end - step.start < narrow),
    )


T = TypeVar("T", Occurrence, Step)


def _put_together(
    items: Iterable[T], horizon: Horizon, least: float, joins: Callable[[float, T], bool]
) -> list[tuple[float, float, list[T]]]:
    """Return where *items* lie, in order, at least *least* wide and inside the drawing.

    An item joins the one before if *joins* says so of the gap between them and the item.
    """
    found: list[tuple[float, float, list[T]]] = []
    for item in items:
        left, right = fraction(item.start, horizon), fraction(item.end, horizon)
        if right - left < least:
            left = min(left, 1.0 - least)
            right = left + least
        if found and joins(left - found[-1][1], item):
            first, last, together = found.pop()
            together.append(item)
            found.append((first, max(last, right), together))
        else:
            found.append((left, right, [item]))
    return found


def step_line(
    steps: Sequence[Step], horizon: Horizon, peak: float
) -> Iterator[tuple[float, float]]:
    """Yield the corners of the step line, x and y from 0 to 1, y from the bottom."""
    for step in steps:
        y = (step.capacity.tru or 0) / (peak or 1)
        yield fraction(step.start, horizon), y
        yield fraction(step.end, horizon), y


def _holidays(lane: Lane, horizon: Horizon, tz: ZoneInfo) -> Iterator[Shape]:
    for holiday in lane.holidays:
        left, right = day_span(holiday.day, horizon, tz)
        if right > left:
            yield Shape(left, right, f"{holiday.day:%a %d %b %Y}: {holiday.name}")


def holiday_marks(holidays: Iterable[Shape]) -> Iterator[Mark]:
    """Yield a sign in the middle of each of *holidays*."""
    for shape in holidays:
        yield Mark((shape.left + shape.right) / 2, "holiday", shape.text)


def _merged(marks: Iterable[Mark], width: float) -> list[Mark]:
    """Return *marks* with those closer than *width* merged, kept clear of the edges.

    A clock change shows its own sign also where a holiday is merged into it.
    """
    found: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: mark.at):
        if found and mark.at - found[-1].at < width:
            last = found.pop()
            kind = "clock" if "clock" in (last.kind, mark.kind) else mark.kind
            found.append(Mark(last.at, kind, f"{last.text}\n{mark.text}"))
        else:
            found.append(mark)
    half = width / 2
    return [Mark(min(max(mark.at, half), 1 - half), mark.kind, mark.text) for mark in found]


# The axis ------------------------------------------------------------------------------------


def ticks(horizon: Horizon, tz: ZoneInfo, width: float) -> list[Tick]:
    """Return the ticks of an axis by the clock of *tz*, none of whose labels overlap.

    *width* is the least width of the axis in pixels.
    """
    found: list[Tick] = []
    free = 0.0
    for wall, label in _labelled(horizon, tz):
        at = fraction(to_instant(wall, tz), horizon)
        room = (len(label) * LETTER + 6) / width
        fits = label and at >= free and at + room <= 1
        found.append(Tick(at, label if fits else ""))
        if fits:
            free = at + room
    return found


def _labelled(horizon: Horizon, tz: ZoneInfo) -> Iterator[tuple[datetime, str]]:
    """Yield the wall times of an axis inside *horizon*, with their labels."""
    days = (horizon.end - horizon.start) / DAY
    step = timedelta(hours=3) if days <= 3 else DAY
    label, shown = _labelling(days)
    wall = datetime.combine(to_wall(horizon.start, tz).date(), time())
    while (instant := to_instant(wall, tz)) < horizon.end:
        if instant >= horizon.start and (days <= MOST_DAYS or wall.day == 1):
            yield wall, f"{wall:{label}}" if shown(wall) else ""
        wall += step


def _labelling(days: float) -> tuple[str, Callable[[datetime], bool]]:
    """Return the format of labels on an axis of *days*, and which times have one."""
    if days <= 3:
        return "%a %H:%M", lambda wall: True
    if days <= 16:
        return "%a %d %b", lambda wall: True
    if days <= MOST_DAYS:
        return "%a %d %b", lambda wall: wall.weekday() == 0
    return "%b %Y", lambda wall: wall.day == 1
