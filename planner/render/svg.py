"""A preview as one picture: a lane a namespace, the step line of TRU, a row a window."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from html import escape
from zoneinfo import ZoneInfo

from planner.forecast.preview import Lane, Preview
from planner.model import Horizon, Occurrence, Window
from planner.render import format as fmt
from planner.render import geometry

LEFT = 230
"""Pixels for the names."""

WIDTH = 1000
"""Pixels of the time axis, at least."""

LEAST = 3
"""Pixels of the narrowest bar, and of the least space between two."""

LETTERS = 26
"""Letters of a name that fit one line; a longer name takes more lines."""

LINE = 16
AXIS = 22
LEVEL = 64
EDGE = 16

_STYLE = """
text { font: 12px system-ui, "Liberation Sans", sans-serif; fill: #1c1e22; }
.title { font-size: 16px; font-weight: 600; } .lane { font-size: 14px; font-weight: 600; }
.soft { fill: #565b64; } .paper { fill: #fbfbf9; } .line { stroke: #dcdcd6; }
.bar { fill: #2f63c4; } .add { fill: #8a4fbf; } .area { fill: #2f63c4; opacity: .2; }
.step { fill: none; stroke: #2f63c4; stroke-width: 2; } .clock { stroke: #b3470a;
stroke-width: 2; stroke-dasharray: 4 3; } .holiday { fill: #1f7a4d; opacity: .18; }
@media (prefers-color-scheme: dark) { text { fill: #e8e8e4; } .soft { fill: #a5abb5; }
.paper { fill: #15171b; } .line { stroke: #33373f; } .bar { fill: #7aa5f5; }
.add { fill: #c397ee; } .area { fill: #7aa5f5; } .step { stroke: #7aa5f5; }
.clock { stroke: #f2965c; } .holiday { fill: #6ccb9b; } }
"""


@dataclass(frozen=True, slots=True)
class _Canvas:
    """How wide the time axis is, and what it spans."""

    horizon: Horizon
    width: float

    def x(self, at: float) -> float:
        return LEFT + at * self.width

    @property
    def least(self) -> float:
        return LEAST / self.width


def preview_svg(shown: Preview) -> str:
    """Return *shown* as one SVG document, which refers to nothing outside of it."""
    days = (shown.horizon.end - shown.horizon.start) / geometry.DAY
    width = max(geometry.pixels_per_day(shown.horizon, WIDTH) * days, WIDTH)
    canvas = _Canvas(shown.horizon, width)
    y: float = 2 * EDGE + LINE
    parts = []
    for lane in shown.lanes:
        lines, y = _lane(lane, canvas, y)
        parts += lines
    title = f"Capacity ahead: {shown.project.name}"
    first, last = shown.horizon.start, shown.horizon.end - timedelta(seconds=1)
    span = f"{first:%a %d %b %Y} {fmt.DASH} {last:%a %d %b %Y}, UTC"
    total = f'{LEFT + width + EDGE:.0f}" height="{y + EDGE:.0f}'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" role="img" '
        f'viewBox="0 0 {LEFT + width + EDGE:.0f} {y + EDGE:.0f}" aria-labelledby="title desc">\n'
        f'<title id="title">{escape(title)}</title>\n<desc id="desc">{escape(span)}</desc>\n'
        f"<style>{_STYLE}</style>\n"
        '<rect class="paper" width="100%" height="100%"/>\n'
        f'<text class="title" x="{EDGE}" y="{EDGE + LINE}">{escape(title)}'
        f'<tspan class="soft" dx="12" font-weight="400" font-size="12">{escape(span)}</tspan>'
        "</text>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _lane(lane: Lane, canvas: _Canvas, y: float) -> tuple[list[str], float]:
    """Return one namespace drawn from *y* on, and where it ends."""
    y += 2 * LINE
    tz = ZoneInfo(lane.calendar.timezone)
    head = (
        f'<text class="lane" x="{EDGE}" y="{y}">{escape(lane.calendar.namespace)}'
        f'<tspan class="soft" dx="12" font-weight="400" font-size="12">{escape(tz.key)}</tspan>'
        "</text>"
    )
    top = y + LINE / 2
    rows, bottom = _rows(lane, canvas, top + AXIS)
    behind = [*_axis(canvas, tz, top, bottom), *_marks(lane, canvas, top + AXIS, bottom)]
    return [head, *behind, *rows], bottom


def _axis(canvas: _Canvas, tz: ZoneInfo, top: float, bottom: float) -> Iterator[str]:
    """Yield the lines of the days, and their labels."""
    for tick in geometry.ticks(canvas.horizon, tz, canvas.width):
        x = canvas.x(tick.at)
        yield f'<path class="line" d="M{x:.2f},{top + AXIS} V{bottom}"/>'
        if tick.label:
            yield f'<text class="soft" x="{x:.2f}" y="{top + LINE}">{escape(tick.label)}</text>'


def _marks(lane: Lane, canvas: _Canvas, top: float, bottom: float) -> Iterator[str]:
    """Yield a shade for each holiday, and a dashed line for each clock change."""
    tz = ZoneInfo(lane.calendar.timezone)
    for holiday in lane.holidays:
        left, right = geometry.day_span(holiday.day, canvas.horizon, tz)
        yield (
            f'<rect class="holiday" x="{canvas.x(left):.2f}" y="{top}" '
            f'width="{(right - left) * canvas.width:.2f}" height="{bottom - top}">'
            f"<title>{holiday.day:%a %d %b %Y}: {escape(holiday.name)}</title></rect>"
        )
    for item in lane.clock_changes:
        if item.change.at in canvas.horizon:
            x = canvas.x(geometry.fraction(item.change.at, canvas.horizon))
            yield (
                f'<path class="clock" d="M{x:.2f},{top} V{bottom}"><title>'
                f"{item.change.low:%a %d %b %Y}: {escape(fmt.clock_change(item))}</title></path>"
            )


def _rows(lane: Lane, canvas: _Canvas, y: float) -> tuple[list[str], float]:
    """Return the step line and the rows of the windows from *y* on, and where they end."""
    parts = [*_level(lane, canvas, y)]
    y += LEVEL + LINE / 2
    for window, runs in lane.open:
        lines = textwrap.wrap(f"{window.name}, {_demand(window)}", LETTERS)
        parts += _row(window, runs, canvas, y, lines)
        y += LINE * len(lines) + 6
    return parts, y


def _demand(window: Window) -> str:
    return f"{'+' if window.combine == 'add' else ''}{window.tru} TRU"


def _level(lane: Lane, canvas: _Canvas, y: float) -> Iterator[str]:
    """Yield the step line, its area, and what to point at."""
    ground = fmt.ground(lane.calendar.baseline)
    if lane.peak:
        yield f'<text class="soft" x="{EDGE}" y="{y + 12}">{lane.peak:g} TRU</text>'
    yield f'<text class="soft" x="{EDGE}" y="{y + LEVEL - 2}">{ground}</text>'
    points = geometry.step_points(lane.steps, canvas.horizon, lane.peak)
    line = " ".join(
        f"{canvas.x(px):.2f},{y + LEVEL - 2 - py * (LEVEL - 6):.2f}" for px, py in points
    )
    if line:
        floor = y + LEVEL
        yield f'<polygon class="area" points="{canvas.x(0)},{floor} {line} {canvas.x(1)},{floor}"/>'
        yield f'<polyline class="step" points="{line}"/>'
    tz = ZoneInfo(lane.calendar.timezone)
    for stretch in geometry.stretches(lane.steps, canvas.horizon, canvas.least):
        yield (
            f'<rect fill="transparent" x="{canvas.x(stretch.left):.2f}" y="{y}" '
            f'width="{(stretch.right - stretch.left) * canvas.width:.2f}" height="{LEVEL}">'
            f"<title>{escape(fmt.reason_of_steps(stretch.steps, tz))}</title></rect>"
        )


def _row(
    window: Window, runs: Sequence[Occurrence], canvas: _Canvas, y: float, lines: Sequence[str]
) -> Iterator[str]:
    """Yield the name of a window and its bars."""
    for number, line in enumerate(lines):
        yield f'<text x="{EDGE}" y="{y + 12 + number * LINE}">{escape(line)}</text>'
    kind = "bar add" if window.combine == "add" else "bar"
    for bar in geometry.bars(runs, canvas.horizon, canvas.least):
        yield (
            f'<rect class="{kind}" x="{canvas.x(bar.left):.2f}" y="{y + 2}" '
            f'width="{(bar.right - bar.left) * canvas.width:.2f}" height="{LINE - 4}" rx="2">'
            f"<title>{escape(fmt.reason_of_occurrences(bar.runs))}</title></rect>"
        )
