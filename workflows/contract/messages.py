"""The values that cross between planner and run time, as the Temporal UI shows them.

Times on the wire are aware UTC, lengths are whole seconds, TRU are Temporal Resource
Units of 500 Actions per second each.
"""

import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Literal, Self, TypedDict
from zoneinfo import ZoneInfo, reset_tzpath

from workflows.contract.fleets import Combine, Fleet


def read_pinned_tables() -> None:
    """Have `zoneinfo` read the tables of the package ``tzdata``, and none of the system's.

    Planner and worker then read the same ones, whatever machine they run on: those that the
    lock file pins (docs/decisions/0014-one-table-of-time-zones.md). Called once, on import.
    """
    if zoneinfo.TZPATH:
        reset_tzpath(to=())
        ZoneInfo.clear_cache()  # of zones that were read from the system's tables before


read_pinned_tables()


def to_instant(wall: datetime, tz: ZoneInfo) -> datetime:
    """Return the UTC instant that the wall-clock time *wall* names in *tz*.

    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> to_instant(datetime(2027, 3, 28, 2, 30), berlin).isoformat()  # skipped
    '2027-03-28T01:30:00+00:00'
    >>> to_instant(datetime(2027, 10, 31, 2, 30), berlin).isoformat()  # shown twice
    '2027-10-31T00:30:00+00:00'
    """
    return wall.replace(tzinfo=tz, fold=0).astimezone(UTC)


def to_wall(instant: datetime, tz: ZoneInfo) -> datetime:
    """Return what a clock on the wall in *tz* shows at *instant*, as a naive time."""
    return instant.astimezone(tz).replace(tzinfo=None, fold=0)


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_UNTIL = re.compile(
    rf"(?:\+(?P<days>[0-9]{{1,3}})d|(?P<weekday>{'|'.join(WEEKDAYS)}))?"
    r" ?(?P<wall>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?",
)


@dataclass(frozen=True, slots=True)
class Until:
    """The end of a window by the clock.

    - With a *wall* time alone: the next such time after the start.
    - With a *weekday* (Monday is 0) and a *wall* time: the next such time on that weekday.
    - With a number of *days*: so many days after the date of the start, at *wall*, else at
      the start's own time.
    """

    wall: time | None
    weekday: int | None = None
    days: int = 0

    def __str__(self) -> str:
        """Return it as `parse_until` reads it: ``06:00``, ``fri 21:00``, ``+7d 00:00``, ``+7d``."""
        day = f"+{self.days}d" if self.days else ""
        if self.weekday is not None:
            day = WEEKDAYS[self.weekday]
        seconds = "minutes" if self.wall and not self.wall.second else "seconds"
        wall = self.wall.isoformat(seconds) if self.wall else ""
        return " ".join(part for part in (day, wall) if part)

    def wall_end(self, wall_start: datetime) -> datetime:
        """Return the end as a naive wall time; it is after *wall_start*."""
        date = wall_start.date() + timedelta(days=self.days)
        end = datetime.combine(date, self.wall or wall_start.time())
        if self.weekday is not None:
            end += timedelta(days=(self.weekday - end.weekday()) % 7)
        if end <= wall_start:
            end += timedelta(days=1 if self.weekday is None else 7)
        return end


@lru_cache(maxsize=1024)
def parse_until(text: str) -> Until:
    """Return the end that `Until` writes as *text*.

    >>> parse_until("fri 21:00") == Until(time(21), weekday=4)
    True

    Raises:
        ValueError: It isn't one.
    """
    match = _UNTIL.fullmatch(text)
    if not match or not (match["wall"] or match["days"]):
        raise ValueError(f"{text!r} is no end by the clock")
    wall = time.fromisoformat(match["wall"]) if match["wall"] else None
    weekday = WEEKDAYS.index(match["weekday"]) if match["weekday"] else None
    return Until(wall, weekday, int(match["days"] or 0))


def end_by_clock(wall_start: datetime, until: Until, tz: ZoneInfo) -> datetime:
    """Return the UTC instant at which a window that starts at *wall_start* ends by the clock.

    An end that the clock repeats means the second one, so that a window is never shorter
    than written. A start that the clock skipped may fall behind its own end (02:30 until
    03:00, in a gap from 02:00 to 03:00): it then lasts as long as it was written.

    >>> new_york = ZoneInfo("America/New_York")
    >>> end_by_clock(datetime(2027, 3, 13, 22, 0), Until(time(6)), new_york).isoformat()
    '2027-03-14T10:00:00+00:00'
    >>> end_by_clock(datetime(2027, 3, 14, 2, 30), Until(time(3)), new_york).isoformat()
    '2027-03-14T08:00:00+00:00'
    """
    wall_end = until.wall_end(wall_start)
    # In a gap the reading with fold=0 is the later one, in a repeat the one with fold=1.
    end = max(wall_end.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1))
    start = to_instant(wall_start, tz)
    return end if end > start else start + (wall_end - wall_start)


TASK_QUEUE = "capacity-boost"
BOOST_WORKFLOW = "ProvisionBoost"
KEEPER_WORKFLOW = "CapacityKeeper"
LEASE_UPDATE = "lease"
RELEASE_UPDATE = "release"
STATUS_QUERY = "status"
RETRY_SIGNAL = "retry"
"""Ends a keeper's wait after a fault: what it waits for may have been mended."""

LOOK_SIGNAL = "look"
"""Has a keeper observe its namespace now: less may be in force than it knows of."""

DECLARE_SIGNAL = "declare"
"""Has a keeper without leases observe its namespace now, and go to what is declared by now."""

NOT_NOW = "NotNow"
"""The type of the refusal by a keeper that has no room until it hands over to its next run."""

UNPROCESSED_UPDATE = "UnprocessedUpdate"
"""How the server names an update that came as a keeper handed over to its next run: ask again."""

REPEATED_REFUSALS = frozenset({NOT_NOW, UNPROCESSED_UPDATE})
"""The types of the refusals after which a request is made again: the keeper hands over."""

UNFINISHED_STATUSES = frozenset({"TERMINATED", "FAILED", "TIMED_OUT"})
"""Names of the execution statuses of a keeper that ended with work undone. A cancelled one
has gone back to the baseline first."""

RECOVERABLE_STATUSES = UNFINISHED_STATUSES | {"CANCELED"}
"""Names of the execution statuses after which the next keeper recovers the state of the last
one. A cancelled one has no work undone, but it knows which leases were released."""

KeeperHealth = Literal["ok", "raising", "uncovered", "reverting", "overdue", "foreign", "unknown"]
"""The health of a namespace.

- ``ok``: the target is in force.
- ``raising``, ``reverting``: a change is under way, in time.
- ``uncovered``: a window is open and has less than it requests.
- ``overdue``: the capacity of a window that is over was not seen to be down in time.
- ``foreign``: another capacity was set externally, and is left alone.
- ``unknown``: capacity is raised, and the one before the boosts isn't known any more.
"""


@dataclass(frozen=True, slots=True)
class Capacity:
    """The capacity of a namespace: provisioned TRUs, or on-demand where *tru* is None."""

    tru: float | None = None

    def __str__(self) -> str:
        return "on-demand" if self.tru is None else f"{self.tru:g} TRU"


ON_DEMAND = Capacity()


@dataclass(frozen=True, slots=True)
class Rails:
    """Guard rails of boosts: the allowed TRU values, ascending, and a ceiling."""

    allowed: tuple[int, ...] = (2, 3, 4, 6, 8, 10, 12)
    max_tru: int | None = None


BaselinePolicy = Literal["enforce", "observe"]
"""What the watchdog does about a quiet namespace below its declared baseline: raise, or report."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Guard rails that plans and boosts by hand are held to, and that no keeper needs.

    The longest boost in seconds, and the most boosted hours in a calendar month of UTC; None
    means no limit.
    """

    longest_seconds: int | None = None
    hours_a_month: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostRequest:
    """The input of a boost: the capacity that one firing of a schedule requests.

    A firing's window opens *ahead_seconds* after its nominal time, and ends

    1. at ``ends[start]`` where that names the start (both as ``2027-01-31T23:00:00Z``),
    2. else by the clock of *timezone* at *until* (`Until` as text), where that isn't empty,
    3. else *ttl_seconds* after its start.

    *baseline* and *rails* are what *project* declares for the namespace, with *limits* and
    *baseline_policy*; of two declarations the one with the higher *revision* is newer (0: from
    before there were any).

    *workers* are the replicas that the window requests, by the names of its *fleets*; with them,
    *tru* may be 0. A firing comes early enough for the longest lead of all: TRU count from
    *tru_ahead_seconds* before the start, None from the firing on, and each fleet from its own.
    """

    namespace: str
    window: str
    tru: int
    ttl_seconds: int
    ahead_seconds: int = 0
    combine: Combine = "max"
    until: str = ""
    timezone: str = "UTC"
    ends: Mapping[str, str] = field(default_factory=dict)
    baseline: Capacity | None = None
    rails: Rails = Rails()
    by: str = "schedule"
    reason: str = ""
    project: str = ""
    revision: int = 0
    limits: Limits = Limits()
    baseline_policy: BaselinePolicy = "enforce"
    workers: Mapping[str, int] = field(default_factory=dict, hash=False)
    fleets: tuple[Fleet, ...] = ()
    tru_ahead_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease on a namespace's capacity, held until its own end.

    *key* makes requests idempotent: the same key is the same lease, renewed.

    The keeper adds the declaration that it grants the lease under: *rails* and their
    *revision*. The lease keeps them to its end, whatever is declared later. *rails* of None
    stand for those that hold for the namespace. *replaced* are the keys of the leases that it
    came in place of: a boost that still waits under one of them waits for this lease, and
    releases it when it is cancelled.

    *workers* are the replicas that it requests, by the names of *fleets*, each from its own lead
    before *start*. Its TRU count from *tru_from* on; None means that they count already.
    """

    key: str
    window: str
    tru: int
    start: datetime
    until: datetime
    combine: Combine = "max"
    by: str = "schedule"
    reason: str = ""
    project: str = ""
    rails: Rails | None = None
    revision: int = 0
    replaced: tuple[str, ...] = ()
    workers: Mapping[str, int] = field(default_factory=dict, hash=False)
    fleets: tuple[Fleet, ...] = ()
    tru_from: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostResult:
    """How a boost ended, as values and as a sentence."""

    in_force: bool
    capacity: Capacity | None
    until: datetime | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperStart:
    """The input of a keeper that starts without a state.

    Args:
        namespace: The Temporal Cloud namespace it keeps.
        broken_run: The keeper's previous run, where that was terminated or failed: its state
            is recovered, so that nothing it raised is forgotten.
    """

    namespace: str
    broken_run: str = ""


class KeeperOptions(TypedDict):
    """How a keeper is started besides its input, wherever that is done."""

    id: str
    task_queue: str
    static_summary: str


def keeper_options(namespace: str, task_queue: str = TASK_QUEUE) -> KeeperOptions:
    """Return how the keeper of *namespace* is started."""
    return KeeperOptions(
        id=keeper_id(namespace),
        task_queue=task_queue,
        static_summary=f"Capacity of {namespace}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """The input of a keeper's ``lease`` update: a lease, and what its calendar declares.

    A *baseline* of None declares none: the capacity before the first raise is restored.
    *rails* of None leave those in place that a schedule brought. A declaration with a lower
    *revision* than the one that the keeper knows is ignored.

    *replaces* is the key of a lease that ends in the same step as this one begins, so that
    the capacity does not dip between the two. With the lease's own key it changes that
    lease; without it, a lease that is already held keeps what it was granted.

    *fires* is when the boost was due: its window's start less lead and jitter. None where the
    request doesn't come from a boost.
    """

    namespace: str
    lease: Lease
    baseline: Capacity | None = None
    rails: Rails | None = None
    revision: int = 0
    replaces: str = ""
    fires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAnswer:
    """A keeper's answer to a lease request: whether it is granted, and what is in force.

    *granted* is false for a lease that has ended or was released: requesting it again is of
    no use. *in_force* says whether the capacity covers the lease, as far as its guard rails
    let it.
    """

    granted: bool
    in_force: bool
    capacity: Capacity | None
    until: datetime | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRequest:
    """The input of a keeper's ``release`` update: which leases end now.

    The one with this *key*, else those of this *window*, else all of them. *lease* is the
    one of that key, to be refused until its end also where the keeper doesn't know it (yet).
    *undo* takes the refusal of the lease with that *key* back instead.
    """

    window: str = ""
    key: str = ""
    by: str = ""
    lease: Lease | None = None
    undo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperStatus:
    """The answer to a keeper's ``status`` query.

    *capacity* was in force at *observed_at*; None where no worker has looked yet, or where one
    of an older release answers. *released* are leases that are refused until their end: released
    early, or skipped before they came. *cloud* is the URL of the Cloud API that its capacities
    were requested at, empty where that isn't known. *has_open_floors* says that the floor of a
    pushed fleet isn't as it should be.
    """

    namespace: str
    health: KeeperHealth
    capacity: Capacity | None
    target: Capacity | None
    baseline: Capacity | None
    baseline_declared: bool
    leases: tuple[Lease, ...]
    details: str
    observed_at: datetime | None = None
    released: tuple[Lease, ...] = ()
    cloud: str = ""
    has_open_floors: bool = False


RECORD_MEMO = "record"
"""The memo field of a keeper's run that has what the run before it did: `KeeperRecord.plain`."""

Capped = Literal["", "rails", "inventory"]
"""Why a boost got less than it requested: its guard rails, or what the Cloud had."""


@dataclass(frozen=True, slots=True)
class HeldCapacity:
    """What a lease had from *at* on: the *capacity* that covers it, None where none did.

    *capped* and *reason* say why that is less than it requested; both are empty if it isn't.
    """

    at: datetime
    capacity: Capacity | None
    capped: Capped = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CapacityInForce:
    """A capacity that was in force from *at* on; *external* if others had set it."""

    at: datetime
    capacity: Capacity
    external: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """What became of one lease in one run of a keeper. Times are aware UTC.

    *fires* is when its boost was due, None where that isn't known. *granted_at* is None for a
    lease that came from the run before, *ended_at* for one that the run still held at its end.
    *released_by* is who released it before its end. *shared* says that no revert followed its
    end: others still required as much, or it had raised nothing. *rails* are the guard rails
    that it was granted under, None where it wasn't.
    """

    key: str
    window: str
    tru: int
    start: datetime
    until: datetime
    combine: Combine = "max"
    by: str = "schedule"
    reason: str = ""
    project: str = ""
    fires: datetime | None = None
    granted_at: datetime | None = None
    held: tuple[HeldCapacity, ...] = ()
    ended_at: datetime | None = None
    released_by: str = ""
    shared: bool = False
    rails: Rails | None = None
    workers: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperRecord:
    """What one run of a keeper did, as its history tells.

    Attributes:
        namespace: The Temporal Cloud namespace.
        run: The run's id.
        start: Its start.
        end: Its end; None while it runs.
        baseline: The capacity that it restores; None where it never knew one.
        leases: Its leases, in the order in which they came.
        capacities: The capacities in force that it saw, oldest first.
    """

    namespace: str
    run: str
    start: datetime
    end: datetime | None = None
    baseline: Capacity | None = None
    leases: tuple[LeaseRecord, ...] = ()
    capacities: tuple[CapacityInForce, ...] = ()

    @property
    def plain(self) -> dict[str, Any]:
        """The record as plain JSON values, which thousands of can be read in a moment.

        The SDK decodes a payload by its type annotations, which takes milliseconds a record.
        """
        return {
            "namespace": self.namespace,
            "run": self.run,
            "start": format_instant(self.start),
            "end": _plain(self.end),
            "baseline": _plain(self.baseline),
            "leases": [
                {
                    name: [[_plain(part) for part in fields_of(one)] for one in value]
                    if name == "held"
                    else _plain(value)
                    for name, value in zip(_LEASE_FIELDS, fields_of(lease), strict=True)
                    if value not in (None, "", False, {})
                }
                for lease in self.leases
            ],
            "capacities": [[_plain(part) for part in fields_of(one)] for one in self.capacities],
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return the record that `plain` gave.

        Raises:
            ValueError: It isn't one.
        """
        try:
            return cls(
                namespace=plain["namespace"],
                run=plain["run"],
                start=parse_instant(plain["start"]),
                end=_instant(plain["end"]),
                baseline=_capacity(plain["baseline"]),
                leases=tuple(map(_lease_record, plain["leases"])),
                capacities=tuple(
                    CapacityInForce(parse_instant(at), _capacity(found) or ON_DEMAND, external)
                    for at, found, external in plain["capacities"]
                ),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no record of a keeper: {error!r}") from error


def fields_of(value: Any) -> list[Any]:
    """Return the values of a dataclass's fields, as they are."""
    return [getattr(value, one.name) for one in fields(value)]


_LEASE_FIELDS = tuple(one.name for one in fields(LeaseRecord))


def _plain(value: Any) -> Any:
    """Return an instant, a capacity or rails as a JSON value; anything else as it is."""
    if isinstance(value, datetime):
        return format_instant(value)
    if isinstance(value, Capacity):
        return str(value) if value.tru is None else value.tru
    if isinstance(value, Rails):
        return fields_of(value)
    return value


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)


def _capacity(value: Any) -> Capacity | None:
    """Return the capacity that `_plain` gave; None for None."""
    if value is None:
        return None
    return ON_DEMAND if value == str(ON_DEMAND) else Capacity(value)


def _lease_record(plain: Mapping[str, Any]) -> LeaseRecord:
    instants = {
        name: parse_instant(plain[name])
        for name in ("start", "until", "fires", "granted_at", "ended_at")
        if name in plain
    }
    held = tuple(
        HeldCapacity(parse_instant(at), _capacity(capacity), capped, reason)
        for at, capacity, capped, reason in plain["held"]
    )
    rails = None
    if "rails" in plain:
        allowed, ceiling = plain["rails"]
        rails = Rails(tuple(allowed), ceiling)
    return LeaseRecord(**{**plain, **instants, "held": held, "rails": rails})


def keeper_id(namespace: str) -> str:
    """Return the workflow ID of the keeper of *namespace*."""
    return f"keeper/{namespace}"


def format_instant(instant: datetime) -> str:
    """Return *instant* as files and users write it: ``2027-01-31T23:00:00Z``."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def format_duration(duration: timedelta) -> str:
    """Return *duration* as calendar files write it, to the second.

    >>> format_duration(timedelta(hours=36, minutes=5)), format_duration(timedelta())
    ('36h5m', '0s')
    """
    seconds = duration // timedelta(seconds=1)
    units = ((seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in units if count) or "0s"


def format_age(age: timedelta) -> str:
    """Return *age* in its largest unit, rounded down; nothing is younger than 0s.

    >>> [format_age(timedelta(seconds=one)) for one in (-1, 59, 3599, 7200, 200000)]
    ['0s', '59s', '59m', '2h', '2d']
    """
    seconds = max(0, age // timedelta(seconds=1))
    units = ((86_400, "d"), (3_600, "h"), (60, "m"))
    return next((f"{seconds // size}{unit}" for size, unit in units if seconds >= size), "") or (
        f"{seconds}s"
    )


def format_instants(start: datetime, end: datetime) -> str:
    """Return both instants, such as ``2027-01-31T23:00:00Z to 2027-02-01T05:00:00Z``."""
    return f"{format_instant(start)} to {format_instant(end)}"


def parse_instant(text: str) -> datetime:
    """Return the aware UTC instant that `format_instant` wrote."""
    return datetime.fromisoformat(text).astimezone(UTC)


def lease_of(request: BoostRequest, nominal: datetime) -> Lease:
    """Return the lease that the firing of *request* at *nominal* requests.

    Its key names the window and its start: a firing that comes twice is one lease.
    """
    start, end = occurrence_of(request, nominal)
    ahead = request.tru_ahead_seconds
    return Lease(
        key=f"{request.window}@{format_instant(start)}",
        window=request.window,
        tru=request.tru,
        start=start,
        until=end,
        combine=request.combine,
        by=request.by,
        reason=request.reason,
        project=request.project,
        workers=request.workers,
        fleets=request.fleets,
        tru_from=None if ahead is None else start - timedelta(seconds=ahead),
    )


def occurrence_of(request: BoostRequest, nominal: datetime) -> tuple[datetime, datetime]:
    """Return the start and end, in UTC, of the window that the firing at *nominal* is for.

    Args:
        request: What the schedule hands to each of its firings.
        nominal: The firing's time in the schedule, without jitter, aware.
    """
    start = nominal.astimezone(UTC) + timedelta(seconds=request.ahead_seconds)
    if request.ends and (named := request.ends.get(format_instant(start))):
        return start, parse_instant(named)
    if request.until:
        tz = ZoneInfo(request.timezone)
        return start, end_by_clock(to_wall(start, tz), parse_until(request.until), tz)
    return start, start + timedelta(seconds=request.ttl_seconds)
