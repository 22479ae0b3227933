"""Fleets of workers: what is declared of them, and how many of their workers windows require.

A fleet is a set of workers of one Temporal Cloud namespace. Windows put a floor under its number
of replicas; what scales it besides, such as KEDA on the backlog, stays above it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

KubernetesKind = Literal["HorizontalPodAutoscaler", "ScaledObject", "WorkerResourceTemplate"]
"""The kinds of Kubernetes objects that a floor can be written to."""

Combine = Literal["max", "add"]
"""How a demand combines with others: the highest counts, or it is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesTarget:
    """The Kubernetes object that has a fleet's floor, in the Kubernetes *namespace*."""

    kind: KubernetesKind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A fleet as a calendar declares it.

    The floor is at least *min* and at most *max* replicas; a *max* of None is no limit. Windows
    count from *lead_seconds* before their start, since pods take longer than TRU.

    With a *task_queue*, the answer to ``GET /v1/replicas/NAME`` is also at least what its backlog
    needs, at *target_queue_size* tasks a worker; 0 means that the backlog doesn't count.

    The planner writes the floor to *kubernetes*; where that is None, the worker only answers it.
    """

    name: str
    min: int = 0
    max: int | None = None
    lead_seconds: int = 0
    task_queue: str = ""
    target_queue_size: int = 0
    kubernetes: KubernetesTarget | None = None

    @property
    def lead(self) -> timedelta:
        """How long before a window's start its workers are due."""
        return timedelta(seconds=self.lead_seconds)

    def clamp(self, replicas: int) -> int:
        """Return *replicas* held between *min* and *max*; *max* is the stronger."""
        at_least = max(self.min, replicas)
        return at_least if self.max is None else min(at_least, self.max)


class WorkerDemand(Protocol):
    """A demand for workers: a lease at run time, a window's occurrence in a preview."""

    @property
    def window(self) -> str:
        """The name of the window."""

    @property
    def start(self) -> datetime:
        """When its workers are needed; they are due by their fleet's lead before."""

    @property
    def until(self) -> datetime:
        """Its end, exclusive."""

    @property
    def combine(self) -> Combine:
        """Whether the highest counts, or this comes on top."""

    @property
    def workers(self) -> Mapping[str, int]:
        """How many replicas it requests, by the fleet's name."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The least number of replicas that a fleet should have, and for which windows.

    *until* is the first end of one of its *windows*; None without any. *requested* is what they
    come to before the fleet's own limits.
    """

    replicas: int
    until: datetime | None = None
    windows: tuple[str, ...] = ()
    requested: int = 0

    @property
    def falls_short(self) -> bool:
        """Whether the fleet's maximum is less than what is requested."""
        return self.replicas < self.requested


def floor_of(fleet: Fleet, demands: Iterable[WorkerDemand], now: datetime) -> Floor:
    """Return the floor of *fleet* at *now*, held between its minimum and its maximum.

    Those *demands* count that name it, from the fleet's lead before their start to their end: the
    highest, or the minimum if that is higher, plus all that add.
    """
    running = [
        one
        for one in demands
        if fleet.name in one.workers and one.start - fleet.lead <= now < one.until
    ]
    highest, added = 0, 0
    for demand in running:
        if demand.combine == "add":
            added += demand.workers[fleet.name]
        else:
            highest = max(highest, demand.workers[fleet.name])
    requested = max(highest, fleet.min) + added if running else 0
    return Floor(
        replicas=fleet.clamp(requested),
        until=min((one.until for one in running), default=None),
        windows=tuple(sorted({one.window for one in running})),
        requested=requested,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredFleet:
    """A fleet that the live schedules of *project* declare for the Cloud *namespace*."""

    fleet: Fleet
    namespace: str
    project: str


class UnknownFleet(LookupError):
    """No live schedule declares the fleet; the text names those that are known."""


class NotKnown(Exception):
    """The answer can't be known now; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How many replicas a fleet should have, and why.

    *backlog* is the number of tasks that waited, None where it doesn't count or isn't known;
    *note* says why it isn't.
    """

    replicas: int
    floor: Floor
    backlog: int | None = None
    note: str = ""

    @property
    def plain(self) -> dict[str, Any]:
        """The answer as JSON values."""
        until = self.floor.until
        found: dict[str, Any] = {
            "replicas": self.replicas,
            "until": None if until is None else f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "windows": list(self.floor.windows),
        }
        if self.backlog is not None or self.note:
            found |= {"floor": self.floor.replicas, "backlog": self.backlog}
        return found | ({"note": self.note} if self.note else {})


def needed_for(backlog: int, target_queue_size: int) -> int:
    """Return how many workers a *backlog* needs, at so many tasks a worker, rounded up."""
    return math.ceil(backlog / target_queue_size)


def replicas_of(fleet: Fleet, floor: Floor, needed: int) -> int:
    """Return the larger of the *floor* and what the backlog has *needed*, within the fleet's own.

    >>> replicas_of(Fleet(name="payments", min=2, max=30), Floor(20), 25)
    25
    """
    return fleet.clamp(max(floor.replicas, needed))


def declared_fleet(fleets: Iterable[DeclaredFleet], name: str) -> DeclaredFleet:
    """Return the one of *fleets* with that *name*.

    Raises:
        UnknownFleet: There is none, or several projects have one.
    """
    known = list(fleets)
    found = [one for one in known if one.fleet.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        owners = " and ".join(sorted(one.project for one in found))
        raise UnknownFleet(f"{owners} each declare a fleet {name!r}; give them different names")
    names = ", ".join(sorted({one.fleet.name for one in known})) or "none"
    raise UnknownFleet(f"no window of a live schedule requests workers of {name!r}; known: {names}")
