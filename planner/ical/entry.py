"""Events as a file writes them: one value for each VEVENT."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from planner.ical.rule import Rule
from planner.ical.values import Length, When


@dataclass(frozen=True, slots=True)
class Extra:
    """One RDATE; a PERIOD brings its own length."""

    when: When
    length: Length | None = None


@dataclass(frozen=True, slots=True)
class Excluded:
    """One EXDATE, with the line that it stands on."""

    when: When
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One VEVENT: a single event, the master of a series, or a change of one occurrence.

    *changes* is its RECURRENCE-ID; *and_later* says that it changes all later occurrences,
    too. *end* is the written end of the first occurrence, where one is written.
    *calendar_zone* is the one that ``X-WR-TIMEZONE`` names; *lines* has the line number of
    each property.
    """

    uid: str
    line: int
    start: When
    length: Length
    end: When | None = None
    rule: Rule | None = None
    extra: tuple[Extra, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    changes: When | None = None
    and_later: bool = False
    sequence: int = 0
    summary: str = ""
    categories: tuple[str, ...] = ()
    cancelled: bool = False
    transparent: bool = False
    calendar_zone: tzinfo | None = None
    lines: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def all_day(self) -> bool:
        """Whether it lasts whole days."""
        return self.start.is_date

    def zone(self, floating: tzinfo) -> tzinfo:
        """Return the zone that its wall times are read in; for whole days always *floating*."""
        return self.start.tz or floating

    def writer_zone(self, floating: tzinfo) -> tzinfo:
        """Return the zone in which times in UTC name its days: the calendar's, if it has one."""
        return self.start.tz or self.calendar_zone or floating

    def end_at(self, wall: datetime, floating: tzinfo) -> datetime:
        """Return the UTC instant at which its occurrence that starts at *wall* ends."""
        if self.end and wall == self.start.wall:
            end = self.end.instant(self.zone(floating))
            if end > self.start.instant(floating):
                return end
        return self.length.end(wall, self.zone(floating))

    def at(self, name: str) -> int:
        """Return the line of the property *name*, else where the event begins."""
        return self.lines.get(name, self.line)
