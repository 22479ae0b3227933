"""What the times of a window depend on, and nothing else of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from planner.model import BusinessDays, Holidays, Length, Recurrence, Roll, Skip, Window
from planner.recurrence.business_days import BusinessCalendar, business_calendar
from planner.timezones import zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """All that the times of a window depend on: windows that share it share the work."""

    recurrence: Recurrence
    length: Length | None
    timezone: str
    roll: Roll
    skip: Skip
    holidays: Holidays
    not_before: date | None
    not_after: date | None

    @property
    def tz(self) -> ZoneInfo:
        """The zone its wall times are read in."""
        return zone(self.timezone)

    @property
    def business(self) -> BusinessCalendar:
        """Its business days."""
        return business_calendar(self.holidays, self.timezone)


def pattern_of(window: Window) -> Pattern:
    """Return the pattern of *window*; its holidays only where the times depend on them."""
    return Pattern(
        recurrence=window.recurrence,
        length=window.length,
        timezone=window.timezone,
        roll=window.roll,
        skip=window.skip,
        holidays=window.holidays if _heeds_business_days(window) else Holidays(),
        not_before=window.not_before,
        not_after=window.not_after,
    )


def _heeds_business_days(window: Window) -> bool:
    return (
        window.roll != "none"
        or window.skip.weekends
        or window.skip.holidays
        or isinstance(window.recurrence, BusinessDays)
    )
