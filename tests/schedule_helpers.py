"""Windows for the compiler's tests, and what their schedules have to fire for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from planner.model import BusinessDays, Cron, Duration, Horizon, Recurrence, Window
from planner.occurrences.expand import expand

NAMESPACE = "payments-prod.a1b2c"
PROJECT = "payments"
TODAY = date(2026, 11, 21)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
TO_2100 = Horizon(datetime(2026, 1, 1, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC))


def window(recurrence: Recurrence | str, **fields: Any) -> Window:
    """Return a window of two hours in UTC without lead; text is a cron expression."""
    found = Cron((recurrence,)) if isinstance(recurrence, str) else recurrence
    defaults = {"tru": 8, "asked": "8 TRU", "length": Duration(2 * HOUR), "lead": timedelta()}
    return Window(
        **{"namespace": NAMESPACE, "name": "close", "recurrence": found, **defaults, **fields}
    )


def business_days(*ordinals: int, at: str = "12:00", **fields: Any) -> Window:
    """Return a window on the n-th business days of every month."""
    return window(BusinessDays(ordinals, datetime.strptime(at, "%H:%M").time()), **fields)


def wanted(window: Window, horizon: Horizon) -> list[datetime]:
    """Return when *window* has to fire in *horizon*, by its occurrences."""
    moved = Horizon(horizon.start + window.ahead, horizon.end + window.ahead)
    return [occurrence.fires for occurrence in expand(window, moved)]
