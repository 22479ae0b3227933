"""What the watchdog looks at and reports: values that cross between planner and run time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from workflows.contract.messages import BoostRequest, Capacity, Rails

WATCHDOG_WORKFLOW = "PlannerWatchdog"
WATCHDOG_ID = "planner-watchdog"
"""The id of the watchdog's schedule, and what the ids of its workflows begin with."""

ROUND_EVERY = timedelta(minutes=2)
"""How far apart the rounds of the watchdog are."""

WATCH_FOR = timedelta(hours=1)
"""How long one workflow of the watchdog goes on; then the schedule's next firing follows it."""

BaselinePolicy = Literal["enforce", "observe"]
"""What the watchdog does about a quiet namespace below its declared baseline: raise, or report."""

SeenState = Literal["ok", "boosted", "changing", "foreign", "below", "healing", "unknown"]
"""What the watchdog makes of a namespace.

- ``ok``: nothing is to be done, as far as the planner knows.
- ``boosted``: a keeper is at work there; its own status counts.
- ``changing``: a capacity change is under way that no keeper waits for.
- ``foreign``: another capacity was set externally, and is left alone.
- ``below``: less is in force than the declared baseline, which is only observed.
- ``healing``: a keeper was started, to reconcile the namespace.
- ``unknown``: it can't be judged; the details say why.
"""

HealedWhat = Literal["keeper", "boost", "baseline", "capacity"]
"""What was healed: a keeper that broke off or got stuck, a boost that was missed, a declared
baseline that wasn't in force, a capacity that a keeper had left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogInput:
    """The input of one watchdog workflow: for how long, and how far apart its rounds are."""

    for_seconds: float = WATCH_FOR.total_seconds()
    every_seconds: float = ROUND_EVERY.total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceSeen:
    """A namespace as a round of the watchdog saw it.

    *capacity* was in force at *at*, both None where it couldn't be observed. *usual* is what
    was in force before others changed it, where no calendar declares a baseline; *since* is
    when the watchdog first saw this state.
    """

    namespace: str
    state: SeenState
    details: str = ""
    capacity: Capacity | None = None
    at: datetime | None = None
    usual: Capacity | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """Something that the watchdog put right, and when."""

    at: datetime
    namespace: str
    what: HealedWhat
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogReport:
    """What the latest round of the watchdog, begun at *at*, saw, and what it has done.

    *healed* has the last day, the latest last. *problems* are what kept the round from being
    complete, such as a list that couldn't be read. *interval* is how far apart rounds are, in
    seconds: a report that is much older shows that the watchdog has stopped.
    """

    at: datetime
    interval: float
    namespaces: tuple[NamespaceSeen, ...] = ()
    healed: tuple[Healed, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the schedules of *namespace* declare for it; the newest *revision* counts."""

    namespace: str
    baseline: Capacity | None = None
    rails: Rails | None = None
    revision: int = 0
    project: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueBoost:
    """An occurrence under way: the firing of *schedule* at *nominal* should have requested it.

    *id* is the workflow id that the server gives to the boost of that firing.
    """

    id: str
    schedule: str
    nominal: datetime
    request: BoostRequest
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarView:
    """What the live schedules say at one moment: the namespaces, and the boosts that are due.

    Paused schedules declare, and nothing of theirs is due.
    """

    namespaces: tuple[Declared, ...] = ()
    due: tuple[DueBoost, ...] = ()


class Calendars(Protocol):
    """Reads the planner's schedules of every project, for the watchdog."""

    async def look(self, now: datetime) -> CalendarView:
        """Return what the live schedules say at *now*; firings about to come are not due."""
