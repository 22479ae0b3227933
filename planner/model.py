"""The values of the whole program: windows, their recurrences, their occurrences.

Frozen, and free of I/O and of the clock. The text of an ``.ics`` file that a window
refers to is part of its value: only `planner.config.load` opens files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal, TypeVar
from zlib import crc32
from zoneinfo import ZoneInfo

from planner.errors import Lint
from workflows.contract.findings import USUAL_THRESHOLDS, UsageThresholds
from workflows.contract.fleets import Combine, Fleet
from workflows.contract.messages import (
    BaselinePolicy,
    Capacity,
    Limits,
    Rails,
    Until,
    format_duration,
)
from workflows.contract.notices import NoticeTarget

Roll = Literal["none", "previous", "next", "nearest"]
"""The business day to which a start on another day moves."""

Policy = Literal["sync", "upsert-only", "create-only"]
"""How far a sync may go: everything, never delete, or only create."""

DEFAULT_LEAD = timedelta(minutes=10)
"""How long before its start a window's capacity is requested by default."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a file; *line* counts from 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class IcsFile:
    """An iCalendar file: its path below the calendars' directory, and its text.

    A copy of a remote calendar has its *address*, and the day on which it was last *fetched*.
    """

    path: str
    text: str = field(repr=False)
    address: str = ""
    fetched: date | None = field(default=None, compare=False)


# What a window recurs by ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cron:
    """Starts at the union of cron expressions.

    *day_match* says whether any or all of two restricted day fields must match.
    """

    expressions: tuple[str, ...]
    day_match: Literal["any", "all"] | None = None


@dataclass(frozen=True, slots=True)
class Rrule:
    """Starts by an RFC 5545 recurrence rule; *start* is its DTSTART as naive wall time."""

    rule: str
    start: datetime


@dataclass(frozen=True, slots=True)
class IcalMatch:
    """Which events of an iCalendar file count: those that meet every condition given.

    *summary* is looked for in the summary, case folded; *category* and *uid* are equal.
    Transparent events (shown as free) count only where *transparent* is set.
    """

    summary: str = ""
    category: str = ""
    uid: str = ""
    transparent: bool = False


EVERY_EVENT = IcalMatch(transparent=True)


@dataclass(frozen=True, slots=True)
class IcsUse:
    """What an iCalendar file is read for, which decides which of its problems count.

    *match* chooses the events of a window; a *skip* and *holidays* take every event.
    *has_length* says that the window brings its own duration. *timezone* is the window's, and
    only matters to warnings.
    """

    role: Literal["window", "skip", "holidays"] = "window"
    match: IcalMatch = EVERY_EVENT
    has_length: bool = False
    timezone: str = ""


@dataclass(frozen=True, slots=True)
class Ical:
    """Each event of an iCalendar file is an occurrence, as long as the event."""

    file: IcsFile
    match: IcalMatch = IcalMatch()


@dataclass(frozen=True, slots=True)
class BusinessDays:
    """The n-th business days of months at a wall time; -1 is the last one."""

    ordinals: tuple[int, ...]
    at: time
    months: tuple[int, ...] = tuple(range(1, 13))


@dataclass(frozen=True, slots=True)
class Span:
    """One date, in naive wall times; without an end the window's length counts."""

    start: datetime
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Dates:
    """Starts listed one by one."""

    spans: tuple[Span, ...]


Recurrence = Cron | Rrule | Ical | BusinessDays | Dates


# How long, and on which days not ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Duration:
    """A length in elapsed time."""

    elapsed: timedelta


Length = Duration | Until


@dataclass(frozen=True, slots=True)
class Skip:
    """Days and times on which a window does not run, tested on its start after any roll."""

    weekends: bool = False
    holidays: bool = False
    days: tuple[date, ...] = ()
    calendars: tuple[IcsFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Holidays:
    """Which days are no business days, besides the weekend.

    *regions* are codes of the ``holidays`` package: countries with or without a
    subdivision (``US``, ``US-CA``) and markets (``XNYS``). *weekend* holds weekdays,
    Monday as 0; empty means the first region's own, else Saturday and Sunday.
    """

    regions: tuple[str, ...] = ()
    calendars: tuple[IcsFile, ...] = ()
    days: tuple[date, ...] = ()
    weekend: tuple[int, ...] = ()


# A window, its namespace, the project -----------------------------------------------


@lru_cache(maxsize=1024)
def _zone(key: str) -> ZoneInfo:
    return ZoneInfo(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time in which a namespace needs more capacity, and how much.

    *tru* is already rounded up to an allowed value; *asked* is that demand as written.
    *not_before* and *not_after* are local dates, both inclusive, of the start.
    *length* is None where each occurrence brings its own (`Ical`, `Dates` with ends).
    *renamed_from* is the name that the window had before, where its file says so.
    *workers* are the replicas that it needs of each fleet, by name, and *fleets* the
    declarations of those. A window that needs workers alone has 0 *tru*.
    """

    namespace: str
    name: str
    recurrence: Recurrence
    tru: int
    asked: str
    timezone: str = "UTC"
    length: Length | None = None
    lead: timedelta = DEFAULT_LEAD
    jitter: timedelta = timedelta()
    combine: Combine = "max"
    roll: Roll = "none"
    skip: Skip = Skip()
    holidays: Holidays = Holidays()
    not_before: date | None = None
    not_after: date | None = None
    baseline: Capacity | None = None
    rails: Rails = Rails()
    limits: Limits = Limits()
    baseline_policy: BaselinePolicy = "enforce"
    paused: bool = False
    description: str = ""
    owner: str = ""
    workers: tuple[tuple[str, int], ...] = ()
    fleets: tuple[Fleet, ...] = ()
    renamed_from: str = field(default="", compare=False)
    place: Place = field(default=Place("", 0), compare=False)

    @property
    def key(self) -> str:
        """The window's name in full: ``payments-prod.a1b2c/payroll``."""
        return f"{self.namespace}/{self.name}"

    @property
    def tz(self) -> ZoneInfo:
        """The zone of its wall times."""
        return _zone(self.timezone)

    @property
    def ahead(self) -> timedelta:
        """How long before its start a firing's nominal time is: the longest lead, and jitter.

        TRU and each fleet have leads of their own.
        """
        return (self._longest_lead if self.fleets else self.lead) + self.jitter

    @property
    def tru_ahead(self) -> timedelta:
        """How long before its start its TRU are requested, at the earliest.

        With the firing, which jitter delays; where that comes early for workers, at a fixed time
        (`spread_of`).
        """
        if self.fleets and self._longest_lead > self.lead:
            return self.lead + spread_of(self.key, self.jitter)
        return self.lead + self.jitter

    @property
    def _longest_lead(self) -> timedelta:
        leads = [timedelta(seconds=fleet.lead_seconds) for fleet in self.fleets]
        return max([*leads, self.lead] if self.tru else leads)


def spread_of(key: str, jitter: timedelta) -> timedelta:
    """Return the part of *jitter* by which the TRU of the window *key* come before their lead.

    For one that fires early for its workers, whose own delay says nothing of its TRU: so those
    of windows with one start still don't queue up.
    """
    return timedelta(seconds=crc32(key.encode()) % (jitter // timedelta(seconds=1) + 1))


@dataclass(slots=True, unsafe_hash=True)
class Occurrence:
    """One run of a window, ``[start, end)`` in UTC; immutable.

    *notes* say in words what moved it: a roll, a clock change, an iCal override.
    """

    # Millions are made of these, and a frozen dataclass takes several times as long to
    # make. So it is the type checker that refuses an assignment, not each of them.
    start: Final[datetime]
    end: Final[datetime]
    window: Final[Window]
    notes: Final[tuple[str, ...]] = field(default=(), compare=False)

    @property
    def fires(self) -> datetime:
        """The nominal time of its firing, which jitter may delay."""
        return self.start - self.window.ahead

    @property
    def requests_tru(self) -> datetime:
        """When its TRU are requested, at the earliest; its firing may be earlier still."""
        return self.start - self.window.tru_ahead

    @property
    def tru(self) -> int:
        """Its demand in TRU."""
        return self.window.tru

    @property
    def combine(self) -> Combine:
        """How its demand combines with the others of its namespace."""
        return self.window.combine

    @property
    def order(self) -> tuple[datetime, datetime, str, str]:
        """The sort key of occurrences: start, end, then namespace and window."""
        return self.start, self.end, self.window.namespace, self.window.name


@dataclass(frozen=True, slots=True)
class Horizon:
    """A half-open span of time, ``[start, end)``, in UTC; it holds what *starts* in it."""

    start: datetime
    end: datetime

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end


Workers = Mapping[str, int] | Iterable[tuple[str, int]]
"""Replicas by the name of their fleet."""


def demand_words(tru: int, workers: Workers = (), combine: Combine = "max") -> str:
    """Return a demand as users read it; one that adds has a plus.

    >>> demand_words(8, {"payments": 20}), demand_words(6, combine="add")
    ('8 TRU and 20 payments workers', '+6 TRU')
    """
    plus = "+" if combine == "add" else ""
    fleets = ", ".join(f"{plus}{count:,} {name}" for name, count in sorted(dict(workers).items()))
    parts = [f"{plus}{tru} TRU"] if tru or not fleets else []
    return " and ".join([*parts, f"{fleets} workers"] if fleets else parts)


T = TypeVar("T", datetime, int)


def merge_spans(spans: Iterable[tuple[T, T]]) -> Iterator[tuple[T, T]]:
    """Yield what *spans* cover together, as spans that neither overlap nor touch.

    Each span is a start and an end; they are sorted by start, and so is the result.
    """
    merged: tuple[T, T] | None = None
    for start, end in spans:
        if merged and start <= merged[1]:
            if end > merged[1]:
                merged = merged[0], end
            continue
        if merged:
            yield merged
        merged = start, end
    if merged:
        yield merged


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRails:
    """The limits of a namespace's boosts; None means no limit.

    Every check of them is here, for windows in files, their occurrences, and boosts by hand.
    """

    allowed_tru: tuple[int, ...] = Rails().allowed
    max_tru: int | None = None
    max_duration: timedelta | None = None
    max_boost_hours_per_month: float | None = None

    @classmethod
    def of(cls, rails: Rails, limits: Limits) -> GuardRails:
        """Return the guard rails that a schedule's request carries."""
        longest = limits.longest_seconds
        return cls(
            allowed_tru=rails.allowed,
            max_tru=rails.max_tru,
            max_duration=None if longest is None else timedelta(seconds=longest),
            max_boost_hours_per_month=limits.hours_a_month,
        )

    @property
    def rails(self) -> Rails:
        """Those that a keeper keeps to."""
        return Rails(self.allowed_tru, self.max_tru)

    @property
    def limits(self) -> Limits:
        """The others, as a schedule's request carries them."""
        longest = self.max_duration
        return Limits(
            None if longest is None else longest // timedelta(seconds=1),
            self.max_boost_hours_per_month,
        )

    @property
    def most_tru(self) -> int:
        """The highest TRU value that a boost may set; 0 where none is left."""
        return max((tru for tru in self.allowed_tru if tru <= (self.max_tru or tru)), default=0)

    def above_tru(self, tru: int) -> str:
        """Return why *tru* are too many; empty where an allowed value covers them."""
        if tru <= self.most_tru:
            return ""
        if self.max_tru is None:
            return "above every value of the guard rail allowed_tru"
        return f"above the guard rail max_tru: {self.max_tru}"

    def above_duration(self, length: timedelta) -> str:
        """Return why a boost of *length* is too long; empty where it isn't."""
        longest = self.max_duration
        if longest is None or length <= longest:
            return ""
        return f"longer than the guard rail max_duration: {format_duration(longest)}"

    def above_hours(self, boosted: timedelta) -> str:
        """Return why it is too much to be *boosted* for so long in a month; empty if it isn't."""
        most = self.max_boost_hours_per_month
        if most is None or boosted <= timedelta(hours=most):
            return ""
        return f"more than the guard rail max_boost_hours_per_month: {most:g}"


@dataclass(frozen=True, slots=True)
class PriceTier:
    """The price of a million Actions, for those up to *up_to* a month."""

    up_to: int | None
    per_million: float


ONE_PRICE = (PriceTier(None, 50.0),)
"""The published price where volume lowers none."""

VOLUME_TIERS = (
    PriceTier(5_000_000, 50.0),
    PriceTier(10_000_000, 45.0),
    PriceTier(20_000_000, 40.0),
    PriceTier(50_000_000, 35.0),
    PriceTier(100_000_000, 30.0),
    PriceTier(None, 25.0),
)
"""The published prices from the Business plan on; beyond 200 million a month ask Temporal."""


@dataclass(frozen=True, slots=True)
class CloudPlan:
    """A plan of Temporal Cloud.

    Attributes:
        name: As planner.yaml has it.
        tiers: The published prices of Actions.
        share: The part of the usage that the plan itself costs; 0 where its price is agreed.
        minimum: What it costs at least a month.
    """

    name: str
    tiers: tuple[PriceTier, ...]
    share: float = 0.0
    minimum: float = 0.0

    @property
    def title(self) -> str:
        """The name as Temporal writes it."""
        return self.name.replace("-", " ").title()


CLOUD_PLANS: Mapping[str, CloudPlan] = {
    plan.name: plan
    for plan in (
        CloudPlan("developer", ONE_PRICE, share=0.1),
        CloudPlan("business", VOLUME_TIERS, share=0.1, minimum=500.0),
        CloudPlan("enterprise", VOLUME_TIERS),
        CloudPlan("mission-critical", VOLUME_TIERS),
    )
}
"""The plans of Temporal Cloud by name, with the prices of its pricing page."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The price list of bills.

    Without a plan in planner.yaml it is the Developer plan's, at which no published price of
    Actions is higher, and *is_assumed* is true.
    """

    tiers: tuple[PriceTier, ...] = ONE_PRICE
    currency: str = "USD"
    plan: CloudPlan = CLOUD_PLANS["developer"]
    is_assumed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceCalendar:
    """The calendar of one namespace.

    *fleets* are its own and those of planner.yaml, sorted by name; *fleet_places* says where
    each is declared. *lead* is that of windows which say none.
    """

    namespace: str
    timezone: str
    windows: tuple[Window, ...]
    baseline: Capacity | None = None
    baseline_policy: BaselinePolicy = "enforce"
    guard_rails: GuardRails = GuardRails()
    holidays: Holidays = Holidays()
    fleets: tuple[Fleet, ...] = ()
    lead: timedelta = DEFAULT_LEAD
    place: Place = field(default=Place("", 0), compare=False)
    fleet_places: Mapping[str, Place] = field(default_factory=dict, compare=False)

    @property
    def raising(self) -> tuple[Window, ...]:
        """The windows that need TRU; the others need workers alone."""
        return tuple(window for window in self.windows if window.tru)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredTarget:
    """The Temporal server and namespace that a project may be synced to; empty means any.

    *address* is ``HOST:PORT``.
    """

    address: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Ring:
    """Namespaces that get changes together, before those of the rings after it."""

    name: str
    namespaces: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A directory of calendars, which a sync reconciles as a whole.

    *name* is the owner mark. Namespaces are sorted by name, windows likewise, so that
    the order of files doesn't matter. *source* names where the calendars come from, where
    planner.yaml does. *renamed_from* is the name that the project had before, where it says so.
    *rings* are in the order in which they get changes, *ring_pause* apart at least.
    """

    name: str
    namespaces: tuple[NamespaceCalendar, ...]
    policy: Policy = "sync"
    prices: Prices = Prices()
    temporal: RequiredTarget = RequiredTarget()
    source: str = ""
    renamed_from: str = ""
    notices: tuple[NoticeTarget, ...] = ()
    rings: tuple[Ring, ...] = ()
    ring_pause: timedelta = timedelta(hours=1)
    usage: UsageThresholds = USUAL_THRESHOLDS
    warnings: tuple[Lint, ...] = field(default=(), compare=False)

    @property
    def windows(self) -> tuple[Window, ...]:
        """Every window of every namespace, in order."""
        return tuple(window for calendar in self.namespaces for window in calendar.windows)
