"""A preview as one self-contained page, and as one picture in SVG.

Neither loads nor sends anything. On the page everything that a pointer finds is reached by
keyboard, too (a row is one tab stop, arrow keys move along and between rows), and named for
screen readers by the same words.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain, islice

from jinja2 import Environment, PackageLoader, StrictUndefined

from planner.forecast.cost import ASSUMPTIONS
from planner.forecast.preview import Preview
from planner.model import Occurrence
from planner.render import format as fmt
from planner.render.drawing import Drawing, Row, draw, width_of
from workflows.contract import format_instant

MOST_ROWS = 5000
"""Occurrences in the page's table; options narrow a longer list."""

MANY_ROWS = 18
"""More rows than that have the axis at their foot, too."""


@lru_cache(maxsize=1)
def _templates() -> Environment:
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
        _templates()
        .get_template("page.html")
        .render(
            shown=shown,
            now=now,
            title=_title(shown),
            span=_span(shown, " (UTC)"),
            currency=bill.currency,
            lanes=list(zip(shown.lanes, bill.namespaces, strict=True)),
            drawings=[draw(lane, shown.horizon, now) for lane in shown.lanes],
            clock_changes=list(_clock_changes(shown)),
            has_windows=any(lane.calendar.windows for lane in shown.lanes),
            months=list(_months(shown)),
            window_rows=list(_window_rows(shown)),
            terms=(*ASSUMPTIONS, fmt.price_list(shown.project.prices)),
            total=sum(len(lane.occurrences) for lane in shown.lanes),
            rows=list(_rows(shown)),
        )
    )


def _title(shown: Preview) -> str:
    return f"Capacity ahead: {shown.project.name}"


def _span(shown: Preview, zone: str) -> str:
    first, last = shown.horizon.start, shown.horizon.end - timedelta(seconds=1)
    return f"{first:%a %d %b %Y} {fmt.DASH} {last:%a %d %b %Y}{zone}"


def _clock_changes(shown: Preview) -> Iterator[str]:
    """Yield the clock changes of all namespaces, each with the occurrences that it affects."""
    affected: dict[tuple[datetime, str], list[str]] = {}
    for lane in shown.lanes:
        for item in lane.clock_changes:
            head = f"{item.change.low:%a %d %b %Y}: {fmt.clock_change(item)}"
            texts = affected.setdefault((item.change.at, head), [])
            texts += map(fmt.affected, item.affected)
    for (_, head), texts in sorted(affected.items()):
        yield "; ".join((head, *texts))


def _months(shown: Preview) -> Iterator[tuple[str, ...]]:
    for line in shown.bill.lines:
        yield (
            f"{line.month:%Y-%m}",
            fmt.hours(line.usage.boosted),
            f"{line.usage.billed_hours:,}",
            fmt.actions(line.usage.actions),
            fmt.peak(line.usage.peak),
            fmt.money(line.price),
        )


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
        lanes.append(_placed(draw(lane, shown.horizon), y))
        y = lanes[-1].bottom
    return (
        _templates()
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


def _placed(drawing: Drawing, y: float) -> _PlacedLane:
    """Return *drawing* placed from *y* on."""
    title = y + 2 * LINE
    top = title + LINE / 2 + AXIS
    y = top + LEVEL + LINE / 2
    rows = []
    for row in drawing.rows:
        names = textwrap.wrap(f"{row.window.name}, {fmt.demand(row.window)}", LETTERS)
        rows.append((y, names, row))
        y += LINE * len(names) + 6
    line = " ".join(
        f"{LEFT + at * drawing.width:.2f},{top + LEVEL - 2 - height * (LEVEL - 6):.2f}"
        for at, height in drawing.line
    )
    return _PlacedLane(drawing, title, title + LINE * 1.5, top, y, line, tuple(rows))
