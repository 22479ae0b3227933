"""The values that cross between planner and run time, as the Temporal UI shows them.

Times on the wire are aware UTC, lengths are whole seconds, TRU are Temporal Resource
Units of 500 Actions per second each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from workflows.contract.clock import end_by_clock, parse_until, to_wall

TASK_QUEUE = "capacity-boost"
BOOST_WORKFLOW = "ProvisionBoost"
KEEPER_WORKFLOW = "CapacityKeeper"
LEASE_UPDATE = "lease"
RELEASE_UPDATE = "release"
STATUS_QUERY = "status"
UNPROCESSED_UPDATE = "UnprocessedUpdate"
"""How the server names an update that came as a keeper handed over to its next run: ask again."""

UNFINISHED_STATUSES = frozenset({"TERMINATED", "FAILED", "TIMED_OUT"})
"""Names of the execution statuses of a keeper that ended with work undone. A cancelled one
has gone back to the baseline first."""

Combine = Literal["max", "add"]
"""How a lease meets the others of its namespace: the highest counts, or it comes on top."""

KeeperState = Literal["ok", "raising", "uncovered", "reverting", "overdue", "foreign", "unknown"]
"""A namespace in one word.

- ``ok``: in force is what should be.
- ``raising``, ``reverting``: a change is under way, in time.
- ``uncovered``: a window is open and has less than it asks for.
- ``overdue``: no window is open, and the baseline is not in force again in time.
- ``foreign``: somebody else set another capacity, which is left alone.
- ``unknown``: a capacity is up, and what was there before the boosts isn't known any more.
"""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a namespace has: provisioned TRUs, or on-demand where *tru* is None."""

    tru: float | None = None

    def __str__(self) -> str:
        return "on-demand" if self.tru is None else f"{self.tru:g} TRU"


ON_DEMAND = Capacity()


@dataclass(frozen=True, slots=True)
class Rails:
    """What a boost may ask for: the allowed TRU values, ascending, and a ceiling."""

    allowed: tuple[int, ...] = (2, 3, 4, 6, 8, 10, 12)
    max_tru: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostRequest:
    """The input of a boost: what one firing of a schedule asks for.

    A firing's window opens *ahead_seconds* after its nominal time, and ends

    1. at ``ends[start]`` where that names the start (both as ``2027-01-31T23:00:00Z``),
    2. else by the clock of *timezone* at *until* (`Until` as text), where that isn't empty,
    3. else *ttl_seconds* after its start.

    *baseline* and *rails* are what *project* declares for the namespace; of two
    declarations the one with the higher *revision* is newer (0: from before there were any).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One claim on a namespace's capacity, held until its own end.

    *key* makes asking twice harmless: the same key is the same claim, renewed.

    The keeper adds the declaration that it grants the lease under: *rails* and their
    *revision*. The lease keeps them to its end, whatever is declared later. *rails* of None
    (from before they were kept) stand for those that hold for the namespace.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostResult:
    """How a boost ended, in values and in a sentence."""

    in_force: bool
    capacity: Capacity | None
    until: datetime | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperStart:
    """The input of a keeper that begins with nothing.

    Args:
        namespace: The Temporal Cloud namespace it keeps.
        broken_run: The keeper's previous run, where that was terminated or failed: what
            it knew is taken over, so that nothing it raised is forgotten.
    """

    namespace: str
    broken_run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """The input of a keeper's ``lease`` update: a claim, and what its calendar declares.

    A *baseline* of None declares nothing: what was in force before the first raise is
    what comes back. *rails* of None leaves those in place that a schedule brought.
    A declaration with a lower *revision* than the one that the keeper knows is not taken.

    *replaces* is the key of a lease that ends in the same step as this one begins, so that
    the capacity does not dip between the two. With the lease's own key it changes that
    lease; without it, a lease that is already held keeps what it was granted.
    """

    namespace: str
    lease: Lease
    baseline: Capacity | None = None
    rails: Rails | None = None
    revision: int = 0
    replaces: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAnswer:
    """What a keeper says to a claim: whether it holds, and what is in force.

    *granted* is false for a claim that has ended or was released: asking again is of no
    use. *in_force* says whether the capacity covers the claim, as far as the guard rails
    let it.
    """

    granted: bool
    in_force: bool
    capacity: Capacity | None
    until: datetime | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRequest:
    """The input of a keeper's ``release`` update: which claims end now.

    The one with this *key*, else those of this *window*, else all of them. *lease* is the
    one of that key, to be refused until its end also where the keeper doesn't know it (yet).
    """

    window: str = ""
    key: str = ""
    by: str = ""
    lease: Lease | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperStatus:
    """What a keeper knows: the answer to its ``status`` query."""

    namespace: str
    state: KeeperState
    capacity: Capacity | None
    target: Capacity | None
    baseline: Capacity | None
    baseline_declared: bool
    leases: tuple[Lease, ...]
    details: str


def keeper_id(namespace: str) -> str:
    """Return the workflow ID of the keeper of *namespace*."""
    return f"keeper/{namespace}"


def format_instant(instant: datetime) -> str:
    """Return *instant* as people and files write it: ``2027-01-31T23:00:00Z``."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def format_duration(duration: timedelta) -> str:
    """Return *duration* as calendar files write it, to the second.

    >>> format_duration(timedelta(hours=36, minutes=5)), format_duration(timedelta())
    ('36h5m', '0s')
    """
    seconds = duration // timedelta(seconds=1)
    units = ((seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in units if count) or "0s"


def parse_instant(text: str) -> datetime:
    """Return the aware UTC instant that `format_instant` wrote."""
    return datetime.fromisoformat(text).astimezone(UTC)


def lease_of(request: BoostRequest, nominal: datetime) -> Lease:
    """Return the claim that the firing of *request* at *nominal* makes.

    Its key names the window and its start: a firing that comes twice is one claim.
    """
    start, end = occurrence_of(request, nominal)
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
