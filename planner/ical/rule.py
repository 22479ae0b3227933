"""A recurrence rule of RFC 5545, section 3.3.10, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field

from planner.ical.values import When

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY")


@dataclass(frozen=True, slots=True)
class ByDay:
    """A weekday, Monday as 0; *nth* counts within the month or year, 0 means every one."""

    nth: int
    weekday: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence rule; an empty tuple is a part that isn't written."""

    frequency: str
    interval: int = 1
    count: int | None = None
    until: When | None = None
    week_start: int = 0
    by_day: tuple[ByDay, ...] = ()
    numbers: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __getitem__(self, part: str) -> tuple[int, ...]:
        """Return the numbers of *part* such as ``BYMONTH``, ascending."""
        return self.numbers.get(part, ())

    @property
    def by_the_clock(self) -> bool:
        """Whether it steps in hours or minutes, so that clock changes make it ambiguous."""
        return self.frequency in ("HOURLY", "MINUTELY")

    @property
    def numbers_weekdays(self) -> bool:
        """Whether BYDAY counts a weekday within the month or year."""
        return any(day.nth for day in self.by_day)

    @property
    def times_a_day(self) -> int:
        """How many times of day its parts make; 0 where it steps by the clock itself."""
        times = [len(self[part]) or 1 for part in ("BYHOUR", "BYMINUTE", "BYSECOND")]
        return 0 if self.by_the_clock else times[0] * times[1] * times[2]
