"""Short hands for tests about time: instants, horizons, windows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from planner.model import Cron, Dates, Duration, Horizon, Occurrence, Recurrence, Span, Window

HOUR = timedelta(hours=1)


def utc(text: str) -> datetime:
    """Return the UTC instant written as ``2027-05-14T09:00`` or as a date."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(text: str) -> datetime:
    """Return the naive wall time written as ``2027-05-14T09:00`` or as a date."""
    return datetime.fromisoformat(text)


def day(text: str) -> date:
    """Return the date written as ``2027-05-14``."""
    return date.fromisoformat(text)


def horizon(start: str, end: str) -> Horizon:
    """Return the half-open horizon between two instants written in UTC."""
    return Horizon(utc(start), utc(end))


def window(recurrence: Recurrence | str, **fields: Any) -> Window:
    """Return a window; a string is a cron expression, and it lasts an hour unless said."""
    if isinstance(recurrence, str):
        recurrence = Cron((recurrence,))
    fields = {"length": Duration(HOUR), "timezone": "UTC", **fields}
    return Window(
        namespace="payments.a1b2c", name="w", recurrence=recurrence, tru=4, asked="4 TRU", **fields
    )


def dates(*spans: str) -> Dates:
    """Return written dates: ``2027-03-14T01:30`` or ``2027-03-14T01:30/2027-03-14T09:00``."""
    found = []
    for span in spans:
        start, _, end = span.partition("/")
        found.append(Span(wall(start), wall(end) if end else None))
    return Dates(tuple(found))


def starts(occurrences: list[Occurrence]) -> list[str]:
    """Return the starts of *occurrences* as they are read: ``2027-05-14T09:00``."""
    return [occurrence.start.isoformat()[:16] for occurrence in occurrences]
