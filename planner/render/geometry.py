"""Where things lie in a drawing: fractions of the horizon's width, from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from planner.forecast.timeline import OCCURRENCE_ORDER, Step
from planner.model import Horizon, Occurrence
from workflows.contract import to_instant, to_wall

DAY = timedelta(days=1)

MOST_DAYS = 100
"""So many days are drawn as days; over more, months are what one sees."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Runs of one window that are drawn as one: too close to tell apart, or overlapping."""

    left: float
    right: float
    runs: tuple[Occurrence, ...]


@dataclass(frozen=True, slots=True)
class CapacityDifference:
    """Steps that are drawn as one, for the same reason."""

    left: float
    right: float
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across a drawing at a local midnight or hour; *label* may be empty."""

    at: float
    label: str


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
    """Return where the Saturdays and Sundays lie, by the clock of *tz*.

    None of them over more than `MOST_DAYS`, where they would be mere stripes.
    """
    first, last = to_wall(horizon.start, tz).date(), to_wall(horizon.end, tz).date()
    if (last - first).days > MOST_DAYS:
        return []
    days = (first + DAY * n for n in range((last - first).days + 1))
    spans = (day_span(day, horizon, tz) for day in days if day.weekday() >= 5)
    return [(left, right) for left, right in spans if left < right]


def pixels_per_day(horizon: Horizon, width: float) -> float:
    """Return how many pixels a day takes at least, on a drawing *width* pixels wide."""
    days = (horizon.end - horizon.start) / DAY
    return min(max(width / days, 6.0), width)


def bars(occurrences: Iterable[Occurrence], horizon: Horizon, least: float) -> list[Bar]:
    """Return the bars of one window's *occurrences*, in order, none touching another.

    Each is at least *least* wide, and *least* away from the next.
    """
    found: list[tuple[float, float, list[Occurrence]]] = []
    for run in sorted(occurrences, key=OCCURRENCE_ORDER):
        left, right = _span(run.start, run.end, horizon, least)
        if found and left < found[-1][1] + least:
            first, last, runs = found.pop()
            runs.append(run)
            found.append((first, max(last, right), runs))
        else:
            found.append((left, right, [run]))
    return [Bar(left, right, tuple(runs)) for left, right, runs in found]


def stretches(steps: Iterable[Step], horizon: Horizon, least: float) -> list[CapacityDifference]:
    """Return where something is claimed, none overlapping, each at least *least* wide.

    Steps narrower than that join a neighbour that is no further away.
    """
    found: list[tuple[float, float, list[Step]]] = []
    for step in steps:
        if not step.occurrences:
            continue
        left, right = _span(step.start, step.end, horizon, least)
        narrow = (step.end - step.start) / (horizon.end - horizon.start) < least
        if found and (left < found[-1][1] or (narrow and left - found[-1][1] < least)):
            first, last, joined = found.pop()
            joined.append(step)
            found.append((first, max(last, right), joined))
        else:
            found.append((left, right, [step]))
    return [CapacityDifference(left, right, tuple(joined)) for left, right, joined in found]


def step_points(steps: Sequence[Step], horizon: Horizon, peak: float) -> list[tuple[float, float]]:
    """Return the corners of the step line, x and y from 0 to 1, y from the bottom."""
    points: list[tuple[float, float]] = []
    for step in steps:
        y = (step.capacity.tru or 0) / (peak or 1)
        points += [(fraction(step.start, horizon), y), (fraction(step.end, horizon), y)]
    return points


def _span(start: datetime, end: datetime, horizon: Horizon, least: float) -> tuple[float, float]:
    """Return where a span lies, widened to *least* and kept inside the drawing."""
    left, right = fraction(start, horizon), fraction(end, horizon)
    if right - left < least:
        left = min(left, 1.0 - least)
        right = left + least
    return left, right


def ticks(horizon: Horizon, tz: ZoneInfo, width: float, letter: float = 8.0) -> list[Tick]:
    """Return the lines of a time axis by the clock of *tz*, none of whose labels overlap.

    Args:
        horizon: What the axis spans.
        tz: Whose midnights count.
        width: The drawing's width in pixels, at least.
        letter: How wide a letter is at most, in pixels.
    """
    found: list[Tick] = []
    free = 0.0
    for wall, label in _labelled(horizon, tz):
        at = fraction(to_instant(wall, tz), horizon)
        room = (len(label) * letter + 6) / width
        fits = label and at >= free and at + room <= 1
        found.append(Tick(at, label if fits else ""))
        if fits:
            free = at + room
    return found


def _labelled(horizon: Horizon, tz: ZoneInfo) -> Iterator[tuple[datetime, str]]:
    """Yield the local times of an axis that are inside *horizon*, with their labels."""
    days = (horizon.end - horizon.start) / DAY
    step = timedelta(hours=3) if days <= 3 else DAY
    label, shown = _labelling(days)
    wall = datetime.combine(to_wall(horizon.start, tz).date(), time())
    while (instant := to_instant(wall, tz)) < horizon.end:
        if instant >= horizon.start and (days <= MOST_DAYS or wall.day == 1):
            yield wall, f"{wall:{label}}" if shown(wall) else ""
        wall += step


def _labelling(days: float) -> tuple[str, Callable[[datetime], bool]]:
    """Return how the times of an axis over so many days are written, and which."""
    if days <= 3:
        return "%a %H:%M", lambda wall: True
    if days <= 16:
        return "%a %d %b", lambda wall: True
    if days <= MOST_DAYS:
        return "%a %d %b", lambda wall: wall.weekday() == 0
    return "%b %Y", lambda wall: wall.day == 1
