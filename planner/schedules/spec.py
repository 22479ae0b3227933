"""A Temporal Schedule as a value: the one type for what is desired and what is live."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from workflows.contract import BoostRequest, Limits

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


YOUNGER: dict[str, Any] = {"limits": Limits(), "baseline_policy": "enforce"}
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
