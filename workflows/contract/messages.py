"""The values that cross between planner and run time, as the Temporal UI shows them.

Times on the wire are aware UTC, lengths are whole seconds, TRU are Temporal Resource
Units of 500 Actions per second each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from workflows.contract.clock import end_by_clock, to_wall

TASK_QUEUE = "capacity-boost"
BOOST_WORKFLOW = "ProvisionBoost"
KEEPER_WORKFLOW = "CapacityKeeper"

Combine = Literal["max", "add"]
"""How a lease meets the others of its namespace: the highest counts, or it comes on top."""

KeeperState = Literal["ok", "raising", "uncovered", "reverting", "overdue", "foreign"]
"""A namespace in one word.

- ``ok``: in force is what should be.
- ``raising``, ``reverting``: a change is under way, in time.
- ``uncovered``: a window is open and has less than it asks for.
- ``overdue``: no window is open, and the baseline is not in force again in time.
- ``foreign``: somebody else set another capacity, which is left alone.
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
    2. else at the next *until* on the wall in *timezone*, where *until* isn't empty,
    3. else *ttl_seconds* after its start.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One claim on a namespace's capacity, held until its own end.

    *key* makes asking twice harmless: the same key is the same claim, renewed.
    """

    key: str
    window: str
    tru: int
    start: datetime
    until: datetime
    combine: Combine = "max"
    by: str = "schedule"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostResult:
    """How a boost ended, in values and in a sentence."""

    in_force: bool
    capacity: Capacity | None
    until: datetime | None
    message: str


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


def parse_instant(text: str) -> datetime:
    """Return the aware UTC instant that `format_instant` wrote."""
    return datetime.fromisoformat(text).astimezone(UTC)


def occurrence_of(request: BoostRequest, nominal: datetime) -> tuple[datetime, datetime]:
    """Return the start and end, in UTC, of the window that the firing at *nominal* is for.

    Args:
        request: What the schedule hands to each of its firings.
        nominal: The firing's time in the schedule, without jitter, aware.
    """
    start = nominal.astimezone(UTC) + timedelta(seconds=request.ahead_seconds)
    named = request.ends.get(format_instant(start))
    if named:
        return start, parse_instant(named)
    if request.until:
        tz = ZoneInfo(request.timezone)
        return start, end_by_clock(to_wall(start, tz), time.fromisoformat(request.until), tz)
    return start, start + timedelta(seconds=request.ttl_seconds)
