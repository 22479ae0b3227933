"""A Temporal Schedule as a value: the one type for what is desired and what is live.

When one fires is our own reading of Temporal's structured calendars.
"""

from __future__ import annotations

import hashlib
import json
import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, Protocol

from planner.model import Horizon
from planner.timezones import zone, zone_clock
from workflows.contract import BoostRequest, Limits, to_wall

DIGEST_LENGTH = 12
"""Hexadecimal characters of a schedule's digest: 48 bits, enough to tell edits apart."""

NOTE_MARK_LENGTH = 6
"""Hexadecimal characters of a note's fingerprint."""

DRAFT_DIGEST = "0" * DIGEST_LENGTH
"""The digest of a schedule whose change isn't complete yet."""

COMMENT_LIMIT = 200
"""Bytes that the server allows in a calendar's comment."""

_ID_PREFIX = "boost/"


def schedule_id(namespace: str, window: str) -> str:
    """Return the id of a window's schedule: stable while its times change."""
    return f"{_ID_PREFIX}{namespace}/{window}"


def window_key(id: str) -> str:
    """Return the window of the schedule *id*: ``payments-prod.a1b2c/payroll``.

    An id that isn't made by `schedule_id` is returned as it is.
    """
    return id.removeprefix(_ID_PREFIX)


def namespace_of(id: str) -> str:
    """Return the namespace of the schedule *id*; empty if `schedule_id` didn't make it."""
    namespace, slash, _ = window_key(id).partition("/")
    return namespace if slash and id.startswith(_ID_PREFIX) else ""


LEAST_CATCHUP = timedelta(seconds=10)
"""What the server makes of a shorter catch-up window."""

CUT = "…"
"""Ends a text that was cut."""


class Range(NamedTuple):
    """Whole numbers from *start* to *end*, both included, every *step*."""

    start: int
    end: int
    step: int = 1


Ranges = tuple[Range, ...]


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class StructuredCalendar:
    """One of Temporal's structured calendars: it fires where every field matches.

    Weekdays count from Sunday as 0. An empty *year* means every year; every other field
    has at least one range. The *comment* is at most `COMMENT_LIMIT` bytes.
    """

    year: Ranges = ()
    month: Ranges = (Range(1, 12),)
    day_of_month: Ranges = (Range(1, 31),)
    day_of_week: Ranges = (Range(0, 6),)
    hour: Ranges = (Range(0, 0),)
    minute: Ranges = (Range(0, 0),)
    second: Ranges = (Range(0, 0),)
    comment: str = ""

    @property
    def numbers(self) -> tuple[Ranges, ...]:
        """All of it but the comment, field by field."""
        return (
            self.year,
            self.month,
            self.day_of_month,
            self.day_of_week,
            self.hour,
            self.minute,
            self.second,
        )


YOUNGER: dict[str, Any] = {
    "limits": Limits(),
    "baseline_policy": "enforce",
    "workers": {},
    "fleets": (),
    "tru_ahead_seconds": None,
}
"""What requests had not when digests were first taken, with what stands for nothing said: so a
release that adds to them rewrites no schedule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A Temporal Schedule that starts a boost for each occurrence of a window.

    It fires at the union of *calendars*, read in *timezone*, delayed by up to *jitter*.
    *start_at* and *end_at* bound the nominal times, both inclusive, in whole seconds.
    *covers_until* is the end of a dated schedule's calendars, in UTC and exclusive; None
    means for ever.
    """

    id: str
    project: str
    calendars: tuple[StructuredCalendar, ...]
    request: BoostRequest
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter: timedelta = timedelta()
    catchup_window: timedelta = timedelta(hours=1)
    note: str = ""
    summary: str = ""
    paused: bool = False
    covers_until: datetime | None = None

    @property
    def digest(self) -> str:
        """A short fingerprint of everything that a sync writes, pause and note apart.

        Comments don't count, and neither do the order of calendars and what a request says
        besides of its declaration: the revision is set as it is written, and the project is
        the schedule's own. Neither do `YOUNGER` values that are as usual. It travels in the
        first calendar's comment (`stamped`), which the server's list of schedules
        returns: so an unchanged schedule is known without describing it.
        """
        value = _plain(self)
        del value["note"], value["paused"]
        value["request"] = _plain(self.request)
        for name, usual in YOUNGER.items():
            if value["request"][name] == usual:
                del value["request"][name]
        del value["request"]["revision"], value["request"]["project"]
        value["calendars"] = sorted(calendar.numbers for calendar in self.calendars)
        return hashlib.sha256(_JSON.encode(value).encode()).hexdigest()[:DIGEST_LENGTH]


def _plain(value: Any) -> Any:
    """Return *value* for the JSON encoder; `asdict` would copy all of it first."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return str(value)


_JSON = json.JSONEncoder(sort_keys=True, default=_plain, check_circular=False)
"""The encoder of all digests; without the check for cycles it takes a third less time."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The digest, horizon and note mark of a schedule, from its first calendar's comment.

    *note* is the `note_mark` of the note that was written with it.
    """

    digest: str
    covers_until: datetime | None
    note: str = ""

    @property
    def is_draft(self) -> bool:
        """Whether the sync that wrote it was interrupted before it was complete."""
        return self.digest == DRAFT_DIGEST


_STAMP = re.compile(
    r"^\[(?P<digest>[0-9a-f]{12})(?:\.(?P<note>[0-9a-f]{6}))?"
    r"(?: to (?P<until>\d{4}-\d{2}-\d{2}))?\] ?"
)


def note_mark(note: str) -> str:
    """Return a short hash of *note*, to tell an operator's note from the planner's."""
    return hashlib.sha256(note.encode()).hexdigest()[:NOTE_MARK_LENGTH]


def stamped(schedule: Schedule) -> Schedule:
    """Return *schedule* with its stamp at the head of its first calendar's comment.

    A comment too long for the server is cut at its end.
    """
    first, *others = schedule.calendars
    until = f" to {schedule.covers_until:%Y-%m-%d}" if schedule.covers_until else ""
    mark = f"{schedule.digest}.{note_mark(schedule.note)}"
    whole = f"[{mark}{until}] {unstamped(first.comment)}".strip()
    comment = whole.encode()[:COMMENT_LIMIT].decode(errors="ignore")
    return replace(schedule, calendars=(replace(first, comment=comment), *others))


def drafted(schedule: Schedule) -> Schedule:
    """Return the stamped *schedule* with `DRAFT_DIGEST` in place of its digest."""
    first, *others = schedule.calendars
    comment = f"[{DRAFT_DIGEST}{first.comment[DIGEST_LENGTH + 1 :]}"
    return replace(schedule, calendars=(replace(first, comment=comment), *others))


def read_stamp(comment: str) -> Stamp | None:
    """Return the stamp at the head of a calendar's *comment*; None if it has none."""
    match = _STAMP.match(comment)
    if not match:
        return None
    until = match["until"]
    covers = datetime.fromisoformat(f"{until}T00:00:00+00:00") if until else None
    return Stamp(match["digest"], covers, match["note"] or "")


def unstamped(comment: str) -> str:
    """Return a calendar's *comment* without its stamp."""
    return _STAMP.sub("", comment)


def shortened(text: str, limit: int) -> str:
    """Return *text* in at most *limit* bytes of UTF-8: whole words, and a mark of the cut.

    >>> shortened("Ledger close, all regions", 18)
    'Ledger close,…'
    """
    if len(text.encode()) <= limit:
        return text
    kept = text.encode()[: limit - len(CUT.encode())].decode(errors="ignore")
    words = kept.rpartition(" ")[0].rstrip()
    return f"{words if len(words) > len(kept) // 2 else kept}{CUT}"


FEW_TIMES = 4
"""Times of day up to which a whole year is read at once."""

FEW_DAYS = 8
"""Days up to which a calendar is first asked whether it has any of them."""


class ScheduleTimes(Protocol):
    """The times of a schedule: a `Schedule`, or what it is compiled from."""

    @property
    def calendars(self) -> tuple[StructuredCalendar, ...]:
        """It fires at the union of these."""

    @property
    def timezone(self) -> str:
        """The zone of the calendars' wall-clock times."""

    @property
    def start_at(self) -> datetime | None:
        """The first possible nominal time, if bounded."""

    @property
    def end_at(self) -> datetime | None:
        """The last possible nominal time, if bounded."""


def firings(schedule: ScheduleTimes, horizon: Horizon) -> list[datetime]:
    """Return the nominal times in *horizon* at which *schedule* fires, without jitter.

    In order and without repeats. Equal to the server's own for every schedule that the
    planner compiles: in UTC, or in a zone whose clock changes are far from its times. A
    paused schedule fires like any other here.
    """
    return list(upcoming(schedule, horizon))


def upcoming(schedule: ScheduleTimes, horizon: Horizon) -> Iterator[datetime]:
    """Yield the times of `firings` lazily."""
    start, end = horizon.start, horizon.end
    if schedule.start_at:
        start = max(start, schedule.start_at)
    if schedule.end_at:
        end = min(end, schedule.end_at + timedelta(microseconds=1))  # inclusive there
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if start >= end:
        return
    tz = zone(schedule.timezone)
    first, last = to_wall(start, tz).date(), to_wall(end, tz).date()
    calendars = [
        (calendar.numbers[:4], times_of(calendar))
        for calendar in _within(schedule.calendars, first, last)
    ]
    if not calendars:
        return
    by_month = sum(len(times) for _, times in calendars) > FEW_TIMES
    table = zone_clock(schedule.timezone, first.year, last.year)
    late: list[datetime] = []
    for year, begin, past in _parts(first, last, by_month=by_month):
        walls = {
            datetime.combine(day, at)
            for days, times in calendars
            for day in _days_in(days, year, begin, past)
            for at in times
        }
        # A clock change may carry a part's last time past the next part's first one.
        found = sorted({*late, *table.instants(sorted(walls))})
        following = date(year + past // 13, (past - 1) % 12 + 1, 1)
        settled = table.instant(datetime.combine(following, time(0)))
        yield from (at for at in found if start <= at < min(end, settled))
        late = [at for at in found if at >= settled]
    yield from (at for at in late if start <= at < end)


def _within(
    calendars: tuple[StructuredCalendar, ...], first: date, last: date
) -> Iterable[StructuredCalendar]:
    """Return the *calendars* that may match a day from *first* to *last*.

    To read a calendar takes longer than to see that it has none of a few days.
    """
    count = (last - first).days + 1
    if count > FEW_DAYS:
        return calendars
    days = [first + timedelta(days=number) for number in range(count)]
    return (
        calendar
        for calendar in calendars
        if any(
            _holds(calendar.month, day.month)
            and _holds(calendar.day_of_month, day.day)
            and (not calendar.year or _holds(calendar.year, day.year))
            and _holds(calendar.day_of_week, day.isoweekday() % 7)
            for day in days
        )
    )


def _holds(ranges: Ranges, number: int) -> bool:
    return any(
        one.start <= number <= one.end and (number - one.start) % one.step == 0 for one in ranges
    )


def _parts(first: date, last: date, *, by_month: bool) -> Iterator[tuple[int, int, int]]:
    """Yield the years from *first* to *last*, or their months: year, first month, month after."""
    for year in range(first.year, last.year + 1):
        begin = first.month if year == first.year else 1
        past = last.month + 1 if year == last.year else 13
        if by_month:
            yield from ((year, month, month + 1) for month in range(begin, past))
        else:
            yield year, begin, past


@lru_cache(maxsize=4096)
def _days_in(days: tuple[Ranges, ...], year: int, begin: int, past: int) -> tuple[date, ...]:
    """Return the days of *year* that a calendar selects, from the month *begin* to before *past*.

    Args:
        days: Its fields year, month, day of the month and weekday.
        year: A year of the Gregorian calendar.
        begin: The first month.
        past: The month after the last one.
    """
    years, months, numbers, weekdays = (frozenset(numbers_of(field)) for field in days)
    if years and year not in years:
        return ()
    found = []
    for month in sorted(months.intersection(range(begin, past))):
        first, length = monthrange(year, month)  # Monday is 0 here, Sunday is 0 in weekdays
        found += [
            date(year, month, day)
            for day in sorted(numbers)
            if 1 <= day <= length and (first + day) % 7 in weekdays
        ]
    return tuple(found)


def days_of(calendar: StructuredCalendar, first: date, last: date) -> tuple[date, ...]:
    """Return the days that *calendar* selects from *first* to *last*, both included."""
    return _days_between(calendar.numbers[:4], first, last)


@lru_cache(maxsize=4096)
def _days_between(days: tuple[Ranges, ...], first: date, last: date) -> tuple[date, ...]:
    years = range(first.year, last.year + 1)
    return tuple(
        day for year in years for day in _days_in(days, year, 1, 13) if first <= day <= last
    )


def times_of(calendar: StructuredCalendar) -> tuple[time, ...]:
    """Return the times of day at which *calendar* fires."""
    return _times_of(calendar.numbers[4:])


@lru_cache(maxsize=4096)
def _times_of(times: tuple[Ranges, ...]) -> tuple[time, ...]:
    """Return the times of day of a calendar's hours, minutes and seconds.

    Numbers that no clock shows match nothing.
    """
    hours, minutes, seconds = (
        [number for number in numbers_of(field) if 0 <= number < limit]
        for field, limit in zip(times, (24, 60, 60), strict=True)
    )
    return tuple(time(*at) for at in product(hours, minutes, seconds))


def numbers_of(ranges: Ranges) -> Iterator[int]:
    """Yield the numbers in *ranges*; a number in several comes several times."""
    for piece in ranges:
        yield from range(piece.start, piece.end + 1, piece.step)
