"""The chart of one namespace for the timeline page: an axis, the step line, a row a window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from planner.forecast.preview import Lane
from planner.model import Horizon, Occurrence, Window
from planner.render import format as fmt
from planner.render import geometry

WIDTH = 1000
"""Pixels of a chart's time axis, at least: it grows with the page and with the days."""

LEAST = 4
"""Pixels of the narrowest bar, and of the least space between two."""

MANY_ROWS = 18
"""With more rows than these a chart has its axis at its foot, too."""

MARK = 20
"""Pixels that the sign of a clock change or a holiday takes."""


def chart(lane: Lane, horizon: Horizon, now: datetime) -> str:
    """Return the chart of *lane* as HTML, with a line at *now* if it is in *horizon*."""
    days = (horizon.end - horizon.start) / geometry.DAY
    width = max(geometry.pixels_per_day(horizon, WIDTH) * days, WIDTH)
    head, foot = _axis(lane, horizon, width)
    rows = [
        _under(lane, horizon, now, width),
        head,
        _marks(lane, horizon, width),
        _level(lane, horizon, width),
    ]
    rows += [_row(window, runs, horizon, width) for window, runs in lane.open]
    rows += [foot] if len(rows) > MANY_ROWS else []
    name = escape(lane.calendar.namespace, quote=True)
    return (
        f'<div class="scroll"><div class="chart" role="group" aria-label="Timeline of {name}" '
        f'style="--width: {width:.0f}px">\n'
        + "\n".join(row for row in rows if row)
        + "\n</div></div>"
    )


def _under(lane: Lane, horizon: Horizon, now: datetime, width: float) -> str:
    """Return what goes down through all of the chart, behind its rows."""
    tz = ZoneInfo(lane.calendar.timezone)
    lines = (f'<i style="left:{tick.at:.4%}"></i>' for tick in geometry.ticks(horizon, tz, width))
    shades = _shades(lane, horizon, tz)
    here = f'<i class="now" style="left:{geometry.fraction(now, horizon):.4%}"></i>'
    inner = (*shades, *lines, here if now in horizon else "")
    return f'<div class="under" aria-hidden="true">{"".join(inner)}</div>'


def _axis(lane: Lane, horizon: Horizon, width: float) -> tuple[str, str]:
    """Return the head of the chart, and the same for the foot of a long one."""
    tz = ZoneInfo(lane.calendar.timezone)
    ticks = geometry.ticks(horizon, tz, width)
    labels = "".join(
        f'<span style="left:{tick.at:.4%}">{escape(tick.label)}</span>'
        for tick in ticks
        if tick.label
    )
    corner, axis = escape(tz.key), f'class="axis" aria-hidden="true">{labels}</div>'
    return (
        f'<div class="corner axis">{corner}</div><div {axis}',
        f'<div class="corner axis foot" aria-hidden="true">{corner}</div><div {axis}',
    )


def _shades(lane: Lane, horizon: Horizon, tz: ZoneInfo) -> Iterator[str]:
    """Yield a shade for each weekend and each holiday, and a line for each clock change."""
    for left, right in geometry.weekends(horizon, tz):
        yield f'<i class="weekend" style="left:{left:.4%};width:{right - left:.4%}"></i>'
    for holiday in lane.holidays:
        left, right = geometry.day_span(holiday.day, horizon, tz)
        yield f'<i class="holiday" style="left:{left:.4%};width:{right - left:.4%}"></i>'
    for item in lane.clock_changes:
        if item.change.at in horizon:
            at = geometry.fraction(item.change.at, horizon)
            yield f'<i class="clock" style="left:{at:.4%}"></i>'


@dataclass(frozen=True, slots=True)
class _Mark:
    """A sign above the rows; *kind* is its class."""

    at: float
    kind: str
    text: str


def _marks(lane: Lane, horizon: Horizon, width: float) -> str:
    """Return the row of signs, those too close for a sign each put together."""
    tz = ZoneInfo(lane.calendar.timezone)
    together: list[_Mark] = []
    for mark in sorted(_signs(lane, horizon, tz), key=lambda mark: mark.at):
        if together and mark.at - together[-1].at < MARK / width:
            last = together.pop()
            kind = "clock" if "clock" in (last.kind, mark.kind) else mark.kind
            together.append(_Mark(last.at, kind, f"{last.text}\n{mark.text}"))
        else:
            together.append(mark)
    if not together:
        return ""
    inner = "".join(
        _button(
            f"mark {m.kind}",
            f"left:{_inside(m.at, width):.4%}",
            m.text,
            n == 0,
            "◷" if m.kind == "clock" else "✦",
        )
        for n, m in enumerate(together)
    )
    return f'<div class="label"><b>marked days</b></div><div class="track" data-row>{inner}</div>'


def _inside(at: float, width: float) -> float:
    """Return *at*, moved so that a sign centred there isn't cut at the edge."""
    half = MARK / 2 / width
    return min(max(at, half), 1 - half)


def _signs(lane: Lane, horizon: Horizon, tz: ZoneInfo) -> Iterator[_Mark]:
    for holiday in lane.holidays:
        left, right = geometry.day_span(holiday.day, horizon, tz)
        if right > left:
            text = f"{holiday.day:%a %d %b %Y}: {holiday.name}"
            yield _Mark((left + right) / 2, "holiday", text)
    for item in lane.clock_changes:
        if item.change.at in horizon:
            head = f"{item.change.low:%a %d %b %Y}: {fmt.clock_change(item)}"
            text = "\n".join((head, *(fmt.affected(run) for run in item.affected)))
            yield _Mark(geometry.fraction(item.change.at, horizon), "clock", text)


def _level(lane: Lane, horizon: Horizon, width: float) -> str:
    """Return the row of the step line, with what can be pointed at above it."""
    tz = ZoneInfo(lane.calendar.timezone)
    points = geometry.step_points(lane.steps, horizon, lane.peak)
    drawn = " ".join(f"{x * 1000:.2f},{96 - y * 88:.2f}" for x, y in points)
    path = f"M0,100 L{drawn.replace(' ', ' L')} L1000,100 Z" if drawn else ""
    buttons = "".join(
        _button("step", _place(s.left, s.right), fmt.reason_of_steps(s.steps, tz), n == 0)
        for n, s in enumerate(geometry.stretches(lane.steps, horizon, LEAST / width))
    )
    ground = fmt.ground(lane.calendar.baseline)
    scale = (
        f"<span><i>{lane.peak:g} TRU</i><i>{ground}</i></span>"
        if lane.peak
        else (f"<span>{ground}</span>")
    )
    return (
        f'<div class="label scale"><b>capacity</b>{scale}</div>'
        '<div class="track level" data-row>'
        '<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{path}"/><polyline points="{drawn}"/></svg>{buttons}</div>'
    )


def _row(window: Window, runs: Sequence[Occurrence], horizon: Horizon, width: float) -> str:
    """Return the row of one window."""
    kind = "bar add" if window.combine == "add" else "bar"
    plus = "+" if window.combine == "add" else ""
    inner = "".join(
        _button(kind, _place(bar.left, bar.right), fmt.reason_of_occurrences(bar.runs), n == 0)
        for n, bar in enumerate(geometry.bars(runs, horizon, LEAST / width))
    )
    return (
        f'<div class="label"><b>{escape(window.name)}</b><span>{plus}{window.tru} TRU</span></div>'
        f'<div class="track" data-row>{inner}</div>'
    )


def _place(left: float, right: float) -> str:
    return f"left:{left:.4%};width:{right - left:.4%}"


def _button(kind: str, style: str, text: str, is_first: bool, inner: str = "") -> str:
    """Return something to point at; the first of a row is its tab stop."""
    label = escape(text, quote=True).replace("\n", "&#10;")
    stop = "0" if is_first else "-1"
    return (
        f'<button type="button" class="{kind}" style="{style}" tabindex="{stop}" '
        f'aria-label="{label}">{inner}</button>'
    )
