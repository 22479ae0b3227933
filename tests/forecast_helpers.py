"""Windows and namespaces to look ahead on, made of written dates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from planner.forecast.timeline import Step
from planner.model import (
    Dates,
    Duration,
    Horizon,
    NamespaceCalendar,
    Occurrence,
    Project,
    Span,
    Window,
)
from workflows.contract import Capacity

NAMESPACE = "payments-prod.a1b2c"
START = datetime(2027, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    """Return the UTC instant written as ``2027-01-31 18:00``."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def horizon(start: str, end: str) -> Horizon:
    """Return the span between two UTC times."""
    return Horizon(at(start), at(end))


def window(name: str, *spans: tuple[str, str], **fields: Any) -> Window:
    """Return a window of written local times, without lead unless one is given."""
    written = tuple(Span(*(datetime.fromisoformat(time) for time in span)) for span in spans)
    defaults = {"tru": 4, "asked": "4 TRU", "lead": timedelta(), "namespace": NAMESPACE}
    return Window(name=name, recurrence=Dates(written), **{**defaults, **fields})


def daily(name: str, start: str, times: int, hours: float, **fields: Any) -> Window:
    """Return a window that runs *times* days in a row for so many hours."""
    first = datetime.fromisoformat(start)
    spans = tuple(Span(first + timedelta(days=n)) for n in range(times))
    length = Duration(timedelta(hours=hours))
    defaults = {"tru": 4, "asked": "4 TRU", "lead": timedelta(), "namespace": NAMESPACE}
    return Window(name=name, recurrence=Dates(spans), **{**defaults, "length": length, **fields})


def calendar(*windows: Window, **fields: Any) -> NamespaceCalendar:
    """Return the calendar of one namespace."""
    defaults = {"namespace": NAMESPACE, "timezone": "UTC"}
    return NamespaceCalendar(windows=windows, **{**defaults, **fields})


def project(*calendars: NamespaceCalendar, **fields: Any) -> Project:
    """Return a project of *calendars*, in order."""
    ordered = tuple(sorted(calendars, key=lambda each: each.namespace))
    return Project(name="acme", namespaces=ordered, **fields)


def step_at(steps: Sequence[Step], instant: datetime) -> Step:
    """Return the one step that contains *instant*."""
    (found,) = (step for step in steps if step.start <= instant < step.end)
    return found


def spans_of(runs: Iterable[Occurrence]) -> list[tuple[str, datetime, datetime]]:
    """Return the plain values of *runs*."""
    return [(run.window.name, run.start, run.end) for run in runs]


@st.composite
def windows(draw: st.DrawFn, day: datetime = START) -> list[Window]:
    """Draw up to six windows with a few runs each, around the three days from *day* on."""
    found = []
    for number in range(draw(st.integers(0, 6))):
        spans = []
        for _ in range(draw(st.integers(1, 4))):
            start = day + draw(st.integers(-600, 4000)) * MINUTE
            end = start + draw(st.integers(1, 900)) * MINUTE
            spans.append(Span(start.replace(tzinfo=None), end.replace(tzinfo=None)))
        found.append(
            Window(
                namespace=NAMESPACE,
                name=f"w{number}",
                recurrence=Dates(tuple(spans)),
                tru=draw(st.sampled_from([2, 3, 4, 6, 8, 10, 12])),
                asked="so many TRU",
                combine=draw(st.sampled_from(["max", "max", "add"])),
                lead=draw(st.integers(0, 20)) * MINUTE,
                jitter=draw(st.integers(0, 5)) * MINUTE,
                paused=draw(st.sampled_from([False, False, False, True])),
            )
        )
    return found


baselines = st.sampled_from([None, Capacity(), Capacity(2), Capacity(6)])
