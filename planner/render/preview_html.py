"""A preview as one self-contained page, and as one picture in SVG.

Neither loads nor sends anything. On the page everything that a pointer finds is reached by
keyboard, too (a row is one tab stop, arrow keys move along and between rows), and named for
screen readers by the same words.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import chain, islice
from typing import Literal, TypeVar
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from planner.errors import first_few
from planner.forecast.cost import ASSUMPTIONS
from planner.forecast.preview import Lane, Preview
from planner.forecast.timeline import OCCURRENCE_ORDER, FleetStep, Step
from planner.model import Horizon, Occurrence
from planner.render import format as fmt
from planner.render.preview import (
    affected_run,
    clock_change,
    clock_changes_ahead,
    fleet_summaries,
    hint_sentences,
    summary,
)
from workflows.contract import format_instant, to_instant, to_wall

MOST_ROWS = 5000
"""Occurrences in the page's table; options narrow a longer list."""

MANY_ROWS = 18
"""More rows than that have the axis at their foot, too."""


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Return the templates: everything that they print is escaped."""
    loader = PackageLoader("planner.render", "templates")
    templates = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(
        fmt=fmt,
        summary=summary,
        fleet_summaries=fleet_summaries,
        hint_sentences=hint_sentences,
        many_rows=MANY_ROWS,
        most_rows=MOST_ROWS,
        percent=lambda at: f"{at:.4%}",
        corners=lambda line: [f"{x * 1000:.2f},{96 - y * 88:.2f}" for x, y in line],
        source=lambda name: loader.get_source(templates, name)[0],
    )
    return templates


def preview_html(shown: Preview, now: datetime) -> str:
    """Return *shown* as one HTML document, with a line at *now* in each chart."""
    bill = shown.bill
    return (
        templates()
        .get_template("page.html")
        .render(
            shown=shown,
            now=now,
            title=_title(shown),
            span=_span(shown, " (UTC)"),
            currency=bill.currency,
            lanes=list(zip(shown.lanes, bill.namespaces, strict=True)),
            drawings=[draw(lane, shown.horizon, now) for lane in shown.lanes],
            clock_changes=[
                "; ".join((f"{day}: {change}", *runs))
                for day, change, runs in clock_changes_ahead(shown.lanes)
            ],
            has_windows=any(lane.calendar.windows for lane in shown.lanes),
            months=[
                *(
                    (
                        f"{line.month:%Y-%m}",
                        fmt.hours(line.usage.boosted),
                        f"{line.usage.billed_hours:,}",
                        fmt.actions(line.usage.actions),
                        fmt.peak(line.usage.peak),
                        fmt.money(line.price),
                    )
                    for line in bill.lines
                ),
                *((label, "", "", "", "", amount) for label, amount in fmt.sums_of(bill)),
            ],
            window_rows=list(_window_rows(shown)),
            terms=(*ASSUMPTIONS, *fmt.price_terms(bill.prices)),
            total=sum(len(lane.occurrences) for lane in shown.lanes),
            rows=list(_rows(shown)),
        )
    )


def _title(shown: Preview) -> str:
    return f"Capacity ahead: {shown.project.name}"


def _span(shown: Preview, zone: str) -> str:
    first, last = shown.horizon.start, shown.horizon.end - timedelta(seconds=1)
    return f"{first:%a %d %b %Y} {fmt.DASH} {last:%a %d %b %Y}{zone}"


def _window_rows(shown: Preview) -> Iterator[tuple[object, list[tuple[str, ...]]]]:
    """Yield each namespace that has windows with the bill of each window alone."""
    for namespace in shown.bill.namespaces:
        if namespace.windows:
            yield (
                namespace,
                [
                    (
                        window.window,
                        f"{sum(line.usage.billed_hours for line in window.lines):,}",
                        fmt.money(window.price),
                        f"{window.aligned_hours:,}",
                        fmt.money(window.aligned_price),
                    )
                    for window in namespace.windows
                ],
            )


def _rows(shown: Preview) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the first `MOST_ROWS` occurrences as cells, the notes apart."""
    found: Iterable[Occurrence] = chain.from_iterable(lane.occurrences for lane in shown.lanes)
    for occurrence in islice(found, MOST_ROWS):
        start, end, window = occurrence.start, occurrence.end, occurrence.window
        cells = (
            window.namespace,
            window.name,
            f"{fmt.day(start, window.tz)} {fmt.local_span(start, end, window.tz)}",
            f"{format_instant(start)} {fmt.DASH} {format_instant(end)}",
            fmt.demand(window),
            format_instant(occurrence.fires),
        )
        yield cells, "; ".join(occurrence.notes)


# The picture ---------------------------------------------------------------------------------

LEFT = 230
"""Pixels for the names."""

LETTERS = 26
"""Letters of a name on one line; a longer name takes more lines."""

LINE = 16
AXIS = 22
LEVEL = 64
EDGE = 16


@dataclass(frozen=True, slots=True)
class _PlacedLane:
    """A drawing with the vertical positions of its parts, in pixels.

    *line* are the points of the step line; *rows* have their top, the lines of the name, and
    the row itself.
    """

    drawing: Drawing
    title: float
    axis: float
    top: float
    bottom: float
    line: str
    rows: tuple[tuple[float, list[str], Row], ...]


def preview_svg(shown: Preview) -> str:
    """Return *shown* as one SVG document: a step line a namespace, a row of bars a window."""
    width = width_of(shown.horizon)
    lanes: list[_PlacedLane] = []
    y: float = 2 * EDGE + LINE
    for lane in shown.lanes:
        drawing = draw(lane, shown.horizon)
        title = y + 2 * LINE
        top = title + LINE / 2 + AXIS
        y = top + LEVEL + LINE / 2
        rows = []
        for row in drawing.rows:
            names = textwrap.wrap(f"{row.name}, {row.demand}", LETTERS)
            rows.append((y, names, row))
            y += LINE * len(names) + 6
        line = " ".join(
            f"{LEFT + at * width:.2f},{top + LEVEL - 2 - height * (LEVEL - 6):.2f}"
            for at, height in drawing.line
        )
        lanes.append(_PlacedLane(drawing, title, title + LINE * 1.5, top, y, line, tuple(rows)))
    return (
        templates()
        .get_template("picture.svg")
        .render(
            title=_title(shown),
            span=_span(shown, ", UTC"),
            width=LEFT + width + EDGE,
            height=y + EDGE,
            lanes=lanes,
            x=lambda at: f"{LEFT + at * width:.2f}",
            size=lambda shape: f"{(shape.right - shape.left) * width:.2f}",
            edge=EDGE,
            line=LINE,
            level=LEVEL,
        )
    )


# The drawing: a namespace as values without markup -----------------------------------
#
# The page and the picture are two templates of the same drawing. Horizontal positions are
# fractions of the horizon, from 0 to 1.

DAY = timedelta(days=1)

MOST_DAYS = 100
"""Longest axis, in days, that shows days; a longer one shows months."""

WIDTH = 1000
"""Pixels of a time axis, at least: it grows with the horizon."""

LEAST = 4
"""Pixels of the narrowest bar, and of the least space between two."""

MARK = 20
"""Pixels that the sign of a clock change or of a holiday takes."""

LEAST_LEVEL = 0.22
"""The least distance of two values on the scale, as a part of its height."""

MOST_SOURCES = 3
"""How many regions and files of holidays the row of marked days names."""

LETTER = 8.0
"""Pixels of the widest letter of an axis label."""


# The values ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """Something to point at, with the reason that its tooltip shows; may have many lines.

    *kind* sets it apart from others of its row, by a class of its own.
    """

    left: float
    right: float
    text: str
    kind: str = ""


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
    """A window with a bar for each occurrence, or for several that lie too close.

    Or a fleet of workers, with a bar wherever windows need some.
    """

    name: str
    demand: str
    kind: Literal["bar", "bar add", "bar fleet"]
    bars: tuple[Shape, ...]


Line = tuple[tuple[float, float], ...]
"""The corners of a line, x and y from 0 to 1, y from the bottom."""


@dataclass(frozen=True, slots=True)
class UsageDrawing:
    """Usage under a step line, on its scale: 500 APS are as high as one TRU.

    Attributes:
        top: The highest TRU that its use and limits reach.
        used: The highest use of each pixel, a line for each stretch that was seen.
        limits: The limit in force likewise.
        unseen: The stretches that weren't seen.
        throttled: Where something was throttled.
    """

    top: float
    used: tuple[Line, ...]
    limits: tuple[Line, ...]
    unseen: tuple[Shape, ...]
    throttled: tuple[Shape, ...]


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
        levels: The TRU in force that the scale names, with their heights from 0 to 1.
        ground: What the lowest line stands for.
        sources: The regions and files that the holidays are of, in a few words.
        now: Where the present lies; None outside of the horizon.
        usage: What was used, of a time that has passed.
    """

    namespace: str
    timezone: str
    width: float
    ticks: tuple[Tick, ...]
    weekends: tuple[tuple[float, float], ...]
    holidays: tuple[Shape, ...]
    clock_changes: tuple[Mark, ...]
    marks: tuple[Mark, ...]
    line: Line
    pieces: tuple[Shape, ...]
    rows: tuple[Row, ...]
    peak: float
    levels: tuple[tuple[float, float], ...]
    ground: str
    now: float | None
    sources: str
    usage: UsageDrawing | None = None


Describe = Callable[[Sequence[Occurrence]], tuple[str, str]]
"""Returns the tooltip and the kind of a bar that stands for occurrences of one window."""


def draw(
    lane: Lane,
    horizon: Horizon,
    now: datetime | None = None,
    usage: Callable[[float], UsageDrawing] | None = None,
    describe: Describe = lambda found: (fmt.reason_of_occurrences(found), ""),
) -> Drawing:
    """Return the drawing of *lane* over *horizon*, *usage* under it if there is any.

    *usage* is drawn for a highest TRU, and may reach higher than the lane's.
    """
    tz, width = ZoneInfo(lane.calendar.timezone), width_of(horizon)
    least = LEAST / width
    used = usage(lane.peak) if usage else None
    peak = max(lane.peak, used.top if used else 0)
    holidays = tuple(_holidays(lane, horizon, tz))
    sources = (source for holiday in lane.holidays for source in holiday.sources)
    clock_changes = tuple(_clock_marks(lane, horizon))
    return Drawing(
        namespace=lane.calendar.namespace,
        timezone=tz.key,
        width=width,
        ticks=tuple(ticks(horizon, tz, width)),
        weekends=tuple(weekends(horizon, tz)),
        holidays=holidays,
        clock_changes=clock_changes,
        marks=tuple(_merged([*holiday_marks(holidays), *clock_changes], MARK / width)),
        line=tuple(step_line(lane.steps, horizon, peak)),
        pieces=tuple(
            Shape(left, right, fmt.reason_of_steps(steps, tz))
            for left, right, steps in pieces(lane.steps, horizon, least)
        ),
        rows=tuple(_drawn_rows(lane, horizon, least, describe)),
        peak=lane.peak,
        levels=tuple(levels(lane.steps, peak)),
        ground=fmt.ground(lane.calendar.baseline),
        now=fraction(now, horizon) if now and now in horizon else None,
        sources=first_few(list(dict.fromkeys(sources)), MOST_SOURCES),
        usage=used,
    )


def _clock_marks(lane: Lane, horizon: Horizon) -> Iterator[Mark]:
    """Yield a mark for each clock change, with the runs that it affects."""
    for item in lane.clock_changes:
        if item.change.at in horizon:
            title = f"{item.change.low:%a %d %b %Y}: {clock_change(item)}"
            text = "\n".join((title, *map(affected_run, item.affected)))
            yield Mark(fraction(item.change.at, horizon), "clock", text)


def _drawn_rows(lane: Lane, horizon: Horizon, least: float, describe: Describe) -> Iterator[Row]:
    """Yield the row of each window, and of each fleet, drawn where windows need workers of it."""
    tz = ZoneInfo(lane.calendar.timezone)
    for window, occurrences in lane.open:
        yield Row(
            window.name,
            fmt.demand(window),
            "bar add" if window.combine == "add" else "bar",
            tuple(
                Shape(left, right, *describe(found))
                for left, right, found in bars(occurrences, horizon, least)
            ),
        )
    for steps in lane.fleets:
        yield Row(
            steps[0].fleet.name,
            fmt.fleet(steps[0].fleet),
            "bar fleet",
            tuple(
                Shape(left, right, fmt.reason_of_fleet(own, tz))
                for left, right, own in pieces(steps, horizon, least)
            ),
        )


# Positions -----------------------------------------------------------------------------------


def width_of(horizon: Horizon) -> float:
    """Return the least pixels of the time axis: `WIDTH`, and six for each day."""
    return max(WIDTH, 6.0 * ((horizon.end - horizon.start) / DAY))


def levels(steps: Iterable[Step], peak: float) -> list[tuple[float, float]]:
    """Return the TRU values of *steps* with their heights, the highest first.

    Those too close to the ground, or to a higher one that is there, are left out.
    """
    found: list[tuple[float, float]] = []
    for tru in sorted({step.capacity.tru or 0 for step in steps}, reverse=True):
        height = tru / peak if peak else 0
        above = found[-1][1] if found else 1 + LEAST_LEVEL
        if LEAST_LEVEL <= height <= above - LEAST_LEVEL:
            found.append((tru, height))
    return found


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


S = TypeVar("S", Step, FleetStep)


def pieces(
    steps: Iterable[S], horizon: Horizon, least: float
) -> list[tuple[float, float, list[S]]]:
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


T = TypeVar("T", Occurrence, Step, FleetStep)


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
            where = f" ({', '.join(holiday.sources)})" if holiday.sources else ""
            yield Shape(left, right, f"{holiday.day:%a %d %b %Y}: {holiday.name}{where}")


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
    days = (horizon.end - horizon.start) / DAY
    step = timedelta(hours=3) if days <= 3 else DAY
    form = "%a %H:%M" if days <= 3 else "%a %d %b" if days <= MOST_DAYS else "%b %Y"
    found: list[Tick] = []
    free = 0.0
    wall = datetime.combine(to_wall(horizon.start, tz).date(), time()) - step
    while (instant := to_instant(wall := wall + step, tz)) < horizon.end:
        if instant < horizon.start or (days > MOST_DAYS and wall.day != 1):
            continue
        # A line a day for weeks has a label each Monday.
        is_labelled = not 16 < days <= MOST_DAYS or wall.weekday() == 0
        label = f"{wall:{form}}" if is_labelled else ""
        at = fraction(instant, horizon)
        room = (len(label) * LETTER + 6) / width
        fits = label and at >= free and at + room <= 1
        found.append(Tick(at, label if fits else ""))
        if fits:
            free = at + room
    return found
