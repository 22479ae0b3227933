"""Schedules to test with: one window's, with whatever is of interest changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from planner.schedules.spec import Range, Schedule, StructuredCalendar, stamped
from workflows.contract import BoostRequest

PROJECT = "payments"
NAMESPACE = "payments-prod.a1b2c"
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def at(number: int) -> tuple[Range, ...]:
    """Return the range of one number."""
    return (Range(number, number),)


def daily(hour: int = 18, minute: int = 0, **fields: Any) -> StructuredCalendar:
    """Return a calendar that fires once a day, by default every day for ever."""
    return StructuredCalendar(hour=at(hour), minute=at(minute), **fields)


def on(instant: datetime, comment: str = "") -> StructuredCalendar:
    """Return a calendar that fires once, at *instant*."""
    return StructuredCalendar(
        year=at(instant.year),
        month=at(instant.month),
        day_of_month=at(instant.day),
        hour=at(instant.hour),
        minute=at(instant.minute),
        second=at(instant.second),
        comment=comment,
    )


def schedule(window: str = "payroll", **fields: Any) -> Schedule:
    """Return a stamped schedule of *window*; *fields* are the schedule's or its request's.

    By default it fires daily at 18:00 UTC, ten minutes ahead of 2 TRU for two hours.
    """
    own = {name: fields.pop(name) for name in list(fields) if name in Schedule.__slots__}
    request = BoostRequest(
        **{
            "namespace": NAMESPACE,
            "window": window,
            "tru": 2,
            "ttl_seconds": 7200,
            "ahead_seconds": 600,
            **fields,
        }
    )
    value = Schedule(
        id=f"boost/{request.namespace}/{window}",
        project=PROJECT,
        calendars=(daily(),),
        request=request,
        catchup_window=timedelta(seconds=request.ttl_seconds + request.ahead_seconds),
        note=f"{request.tru} TRU for {window}",
        summary=f"{window}: {request.tru} TRU",
    )
    return stamped(replace(value, **own))


def unrevised(value: Schedule | None) -> Schedule:
    """Return a live schedule as the files have it: its revision was given as it was written."""
    assert value is not None
    assert value.request.revision > 0
    return replace(value, request=replace(value.request, revision=0))
