"""iCalendar files for tests, written in a few words, and what they are asked."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime

from planner.model import Horizon, IcalMatch, IcsFile
from planner.recurrence.ical import Instance, check, expand

EXAMPLES = int(os.environ.get("ICAL_EXAMPLES", "40"))
"""How many random cases each property is tried with; ``ICAL_EXAMPLES=2000`` is a good hour."""

NEW_YORK = "America/New_York"
BERLIN = "Europe/Berlin"
WHEN = "DTSTART:20270105T090000Z DURATION:PT1H"
"""An event's time, where any will do."""

FIXED = "BEGIN:STANDARD DTSTART:16010101T000000 TZOFFSETFROM:+0545 TZOFFSETTO:+0545 END:STANDARD"
"""What a VTIMEZONE holds whose clock never changes."""

YEARS = Horizon(datetime(2026, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC))


def calendar(*components: str, head: str = "") -> IcsFile:
    """Return a file with one VCALENDAR of *components*; *head* is among its own properties."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN"]
    return IcsFile(
        "team.ics", "\n".join([*lines, *head.splitlines(), *components, "END:VCALENDAR", ""])
    )


def event(lines: str, uid: str = "one") -> str:
    """Return a VEVENT of *lines*, separated by blanks; *uid* of "" leaves the UID out."""
    own = [f"UID:{uid}"] if uid else []
    return "\n".join(["BEGIN:VEVENT", *own, *lines.split(), "END:VEVENT"])


def ics(lines: str, head: str = "") -> IcsFile:
    """Return a file with one event of *lines*, separated by blanks; the first is on line 6."""
    return calendar(event(lines), head=head)


def zone_of(tzid: str, observances: str) -> str:
    """Return a VTIMEZONE of *observances*, separated by blanks."""
    return "\n".join(["BEGIN:VTIMEZONE", f"TZID:{tzid}", *observances.split(), "END:VTIMEZONE"])


def events(
    file: IcsFile, timezone: str = "UTC", horizon: Horizon = YEARS, **match: object
) -> list[Instance]:
    """Return the events of *file*, which must be without fault."""
    assert check(file)[0] == []
    return expand(file, IcalMatch(**match), timezone, horizon)  # type: ignore[arg-type]


def times(found: list[Instance]) -> list[str]:
    """Return start and end of each event as ``2027-03-14T16:00Z/17:00Z``; other days in full."""
    return [f"{_short(one.start)}/{_short(one.end, one.start.date())}" for one in found]


def starts(found: list[Instance]) -> list[str]:
    """Return the start of each event as ``2027-03-14T16:00Z``."""
    return [_short(one.start) for one in found]


def _short(instant: datetime, day: date | None = None) -> str:
    return instant.strftime("%H:%MZ" if instant.date() == day else "%Y-%m-%dT%H:%MZ")
