"""Times, lengths and sums in words, the same wherever a preview is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from planner.model import Occurrence
from workflows.contract import to_wall

DASH = "–"


def local_span(start: datetime, end: datetime, tz: ZoneInfo) -> str:
    """Return a span by the clock of *tz*, with the zone's short name where it matters.

    >>> new_york = ZoneInfo("America/New_York")
    >>> night = datetime(2027, 3, 14, 3, tzinfo=UTC), datetime(2027, 3, 14, 10, tzinfo=UTC)
    >>> local_span(*night, new_york)
    '22:00 EST–06:00+1 EDT'
    """
    here, there = start.astimezone(tz), end.astimezone(tz)
    first = f"{here:%H:%M}" if here.tzname() == there.tzname() else f"{here:%H:%M %Z}"
    return f"{first}{DASH}{there:%H:%M}{later(start, end, tz)} {there:%Z}"


def utc_span(start: datetime, end: datetime, tz: ZoneInfo) -> str:
    """Return a span in UTC, with how many days its start is off the one in *tz*.

    >>> new_york = ZoneInfo("America/New_York")
    >>> night = datetime(2027, 3, 14, 3, tzinfo=UTC), datetime(2027, 3, 14, 10, tzinfo=UTC)
    >>> utc_span(*night, new_york)
    '+1 03:00–10:00Z'
    """
    days = (start.astimezone(UTC).date() - to_wall(start, tz).date()).days
    shown = f"{days:+d} " if days else ""
    return f"{shown}{start:%H:%M}{DASH}{end:%H:%M}{later(start, end, ZoneInfo('UTC'))}Z"


def later(start: datetime, end: datetime, tz: ZoneInfo) -> str:
    """Return how many days after *start* the *end* is on the wall: ``+1``, or nothing."""
    days = (to_wall(end, tz).date() - to_wall(start, tz).date()).days
    return f"+{days}" if days else ""


def day(instant: datetime, tz: ZoneInfo) -> str:
    """Return the local day of *instant*: ``Mon 30 Nov 2026``."""
    return f"{to_wall(instant, tz):%a %d %b %Y}"


def moment(instant: datetime, tz: ZoneInfo) -> str:
    """Return *instant* by the clock of *tz* and in UTC, in full."""
    local, there = instant.astimezone(tz), instant.astimezone(UTC)
    here = f"{local:%a %d %b %Y %H:%M %Z}"
    if local.utcoffset() == timedelta():
        return here
    return f"{here} ({there:%H:%M}Z)" if local.day == there.day else f"{here} ({there:%a %H:%M}Z)"


def length(elapsed: timedelta) -> str:
    """Return a length as calendars write it: ``2h``, ``1h30m``, ``3d``, ``45s``.

    >>> length(timedelta(hours=26)), length(timedelta(minutes=90)), length(timedelta())
    ('1d2h', '1h30m', '0m')
    """
    seconds = int(elapsed.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0m"


def hours(elapsed: timedelta) -> str:
    """Return a length in hours, for a table: ``62.5``."""
    return f"{elapsed / timedelta(hours=1):,.1f}"


def money(amount: float, currency: str = "") -> str:
    """Return a sum of money with two decimals: ``USD 1,234.50``."""
    return f"{currency} {amount:,.2f}".strip()


def actions(count: int) -> str:
    """Return a number of Actions, in millions where that is shorter: ``1.08 M``."""
    return f"{count / 1_000_000:,.2f} M" if count >= 1_000_000 else f"{count:,}"


def demand(occurrence: Occurrence) -> str:
    """Return what an occurrence asks for: ``8 TRU``, or ``+6 TRU`` on top of the others."""
    return f"{'+' if occurrence.combine == 'add' else ''}{occurrence.tru} TRU"


def counted(count: int, noun: str) -> str:
    """Return *count* with *noun*, in the plural but for one: ``1 run``, ``3 runs``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
