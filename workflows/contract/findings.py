"""What is wrong with a namespace, judged from facts: the one truth of status and watchdog.

`NamespaceFacts` is what was seen of a namespace, from wherever; `findings_of` says what
follows from it. Nothing is looked up here. The input and the report of the watchdog, which
are one source of such facts, stand first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol, Self, get_args

from workflows.contract.fleets import Fleet
from workflows.contract.follow import FollowRecord
from workflows.contract.from_code import BoostFromCode
from workflows.contract.messages import (
    TASK_QUEUE,
    BaselinePolicy,
    BoostRequest,
    Capacity,
    KeeperStatus,
    Lease,
    Limits,
    Rails,
    format_age,
    format_instant,
    format_instants,
)
from workflows.contract.notices import Notice, NoticeTarget

WATCHDOG_WORKFLOW = "PlannerWatchdog"
WATCHDOG_ID = "planner-watchdog"
"""The id of the watchdog's schedule, and what the ids of its workflows begin with."""

ROUND_EVERY = timedelta(minutes=2)
"""How far apart the rounds of the watchdog are."""

WATCH_FOR = timedelta(hours=1)
"""How long one workflow of the watchdog goes on; then the schedule's next firing follows it."""

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
baseline that wasn't in force, a capacity or a fleet's floor that a keeper had left behind."""


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
    seconds: a report that is much older shows that the watchdog has stopped. *cloud* is the URL of
    the Cloud API that the worker of that round is for. *notices* are the events that targets are
    notified of, *workers* is the usual number of workers, which was there at *workers_at*, and
    *workers_seen* how many the latest look counted, 0 if unknown; all are kept only where notices
    are declared.
    """

    at: datetime
    interval: float
    namespaces: tuple[NamespaceSeen, ...] = ()
    healed: tuple[Healed, ...] = ()
    problems: tuple[str, ...] = ()
    cloud: str = ""
    notices: tuple[Notice, ...] = ()
    workers: int = 0
    workers_at: datetime | None = None
    workers_seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the schedules of *namespace* declare for it; the newest *revision* counts.

    *projects* are all that have a schedule there, *fleets* those that the schedules declare.
    """

    namespace: str
    baseline: Capacity | None = None
    rails: Rails | None = None
    revision: int = 0
    project: str = ""
    limits: Limits = Limits()
    baseline_policy: BaselinePolicy = "enforce"
    projects: tuple[str, ...] = ()
    fleets: tuple[Fleet, ...] = ()


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


NamespaceState = Literal[
    "ok",
    "raising",
    "reverting",
    "paused",
    "foreign",
    "missed",
    "unknown",
    "overdue",
    "uncovered",
    "stuck",
    "no worker",
]
"""The state of a namespace, the most urgent last.

- ``ok``: as its calendar says.
- ``raising``, ``reverting``: a change is under way, in time.
- ``paused``: an operator paused schedules: their next windows won't be covered.
- ``foreign``: a capacity that the planner didn't request, or schedules that aren't its own.
- ``missed``: a window of the last day ended and never had its capacity.
- ``unknown``: it can't be known: the keeper doesn't answer, or lost the baseline.
- ``overdue``: the capacity of a window that is over was not seen to be down in time.
- ``uncovered``: a window is open and has less than it requests.
- ``stuck``: the keeper can't go on by itself.
- ``no worker``: nothing is raised and nothing reverted until one runs.
"""

STATES: tuple[NamespaceState, ...] = get_args(NamespaceState)
"""Every state, the most urgent last."""

ALARMING: frozenset[NamespaceState] = frozenset(STATES) - {"ok", "raising", "reverting"}
"""States that cost money or work until somebody, or the watchdog, mends them."""

STUCK_ATTEMPTS = 3
"""Attempts of one workflow task after which a workflow counts as stuck."""

STUCK_AFTER = timedelta(seconds=60)
"""How long such a task must have been tried: a busy worker lets one time out."""

MISSED_MEMO = "missed"
"""The memo field of a boost whose window ended without its capacity: a `MissedBoost`."""

MISSED_KEPT = timedelta(days=1)
"""How long a missed window is reported after its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRun:
    """One occurrence of a window, ``[start, end)`` in UTC, and its demand in TRU."""

    window: str
    start: datetime
    end: datetime
    tru: int = 0

    @property
    def span(self) -> str:
        """Its start and end."""
        return format_instants(self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedBoost:
    """A boost that ended without its window's capacity, as its memo tells.

    *start* and *end* are those of the window, as ``2027-01-31T23:00:00Z``.
    """

    window: str
    start: str
    end: str
    reason: str


VERDICT_KEPT = timedelta(days=1)
"""How long the verdict on a boost is reported after its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageThresholds:
    """What usage is judged by.

    Attributes:
        share: The part of a limit that a minute may use: above it on-demand doesn't do.
        headroom: What a suggested window's highest demand is multiplied by.
        max_throttled: Actions, requests or operations, each by itself, that may be throttled
            in an occurrence.
        unused_share: The part of a window's paid hours from which on it counts as unused.
    """

    share: float = 0.9
    headroom: float = 1.2
    max_throttled: int = 0
    unused_share: float = 1.0

    def strictest(self, other: Self) -> Self:
        """Return these with what *other* accepts less of in a verdict."""
        return replace(
            self,
            max_throttled=min(self.max_throttled, other.max_throttled),
            unused_share=min(self.unused_share, other.unused_share),
        )


USUAL_THRESHOLDS = UsageThresholds()
"""What usage is judged by where nothing is declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostVerdict:
    """What usage shows of a window that is over; times are aware UTC.

    *outcome* is proven by metrics alone, and ``unknown`` wherever they don't reach; *text* has it
    in words, *throttled* is how many of the limit that had most. *paid_hours* are the calendar
    hours with the minimum of its TRU, of which *unused_hours* are known not to have been used.
    *thresholds* say what of it matters. *is_read* says that usage was looked at: else the window
    has not had its turn yet, or the source didn't answer.
    """

    namespace: str
    window: str
    start: datetime
    end: datetime
    outcome: Literal["throttled", "not throttled", "unknown"]
    text: str
    throttled: int = 0
    paid_hours: int = 0
    unused_hours: int = 0
    thresholds: UsageThresholds = USUAL_THRESHOLDS
    is_read: bool = True

    @property
    def is_throttled(self) -> bool:
        """Whether more was throttled than is accepted."""
        is_accepted = 0 < self.throttled <= self.thresholds.max_throttled
        return self.outcome == "throttled" and not is_accepted

    @property
    def is_unused(self) -> bool:
        """Whether so many of its paid hours as matter are known not to have been used."""
        least = self.thresholds.unused_share * self.paid_hours - 1e-9
        return 0 < self.unused_hours >= least


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A paused schedule.

    *by* is who paused it and why, in their words; empty where its calendar file pauses it.
    *under_way* is its occurrence that runs now, which has no boost.
    """

    window: str
    by: str = ""
    under_way: WindowRun | None = None


@dataclass(frozen=True, slots=True)
class NextWindow:
    """The window that the schedules of a namespace open next.

    *start* is in UTC; *fires* is when its schedule does, None where nobody needs it.
    """

    window: str
    start: datetime
    tru: int
    fires: datetime | None = None
    workers: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Keeper:
    """The latest run of a namespace's keeper.

    *status* is None where it did not answer. *is_broken* says that it ended with work
    undone: it was terminated, failed or timed out. *stuck* is why it can't go on although it
    runs: its workflow task fails again and again.
    """

    namespace: str
    run_id: str
    is_running: bool
    is_broken: bool
    status: KeeperStatus | None
    stuck: str = ""


POLLING_WITHIN = timedelta(seconds=75)
"""How long ago a worker has polled that runs: the server answers an idle poll after a minute."""


@dataclass(frozen=True, slots=True)
class Pollers:
    """The workers that poll the task queue: how many, and when the last one was seen."""

    count: int
    seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """The capacity that the Cloud API gave at *at*, and the one that is under way."""

    capacity: Capacity
    at: datetime
    pending: Capacity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceFacts:
    """What was seen of a namespace.

    Attributes:
        namespace: The Temporal Cloud namespace.
        windows: The names of the windows that have a schedule of a planner.
        strangers: Ids of schedules for the namespace without a planner's owner mark.
        pauses: The paused ones among the schedules.
        unstarted: Occurrences due and not over that have no boost.
        missed: Boosts of the last day that ended without their capacity.
        declared: The baseline that the calendar declares; None without one, or unknown.
        keeper: The latest run of its keeper; None if there never was one.
        pollers: The workers of the task queue; None where nobody looked.
        sighting: The capacity in force as the Cloud API gave it; None where nobody looked.
        unseen: Why the look at the Cloud API failed; empty where it didn't.
        watched: What the watchdog last made of it; None where it hasn't.
        workers_cloud: The URL of the Cloud API that the watchdog's worker is for; empty where that
            isn't known.
        next_window: The window that its schedules open next; None without one.
        drifted: The windows whose schedule isn't as the sync left it that stamped it; None
            where nobody described them.
        covers_until: Until when the first of its dated schedules has dates; None without one.
        is_key_refused: Whether the Cloud API refused the key; None where nobody asked.
    """

    namespace: str
    windows: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    pauses: tuple[Pause, ...] = ()
    unstarted: tuple[WindowRun, ...] = ()
    missed: tuple[MissedBoost, ...] = ()
    declared: Capacity | None = None
    keeper: Keeper | None = None
    pollers: Pollers | None = None
    sighting: Sighting | None = None
    unseen: str = ""
    watched: NamespaceSeen | None = None
    workers_cloud: str = ""
    next_window: NextWindow | None = None
    drifted: tuple[str, ...] | None = None
    covers_until: datetime | None = None
    is_key_refused: bool | None = None

    @property
    def is_of_another_cloud(self) -> bool:
        """Whether its keeper changed the capacity at another Cloud API than the workers' own."""
        status = self.keeper.status if self.keeper else None
        if status is None or not status.cloud or not self.workers_cloud:
            return False
        return status.cloud != self.workers_cloud


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarView:
    """What the live schedules say at one moment: the namespaces, and the boosts that are due.

    Paused schedules declare, and nothing of theirs is due. *facts* are what the schedules show
    of each namespace, its missed boosts and the workers that *pollers* has too. *synced* is when
    each project was last synced, *targets* are where the projects' notices go, *followed* is what
    followers of repositories have on record. *problems* are what could not be read besides.
    *verdicts* are those on the windows of the last day, None where no source of usage is set,
    by the strictest thresholds of the namespace's projects.
    """

    namespaces: tuple[Declared, ...] = ()
    due: tuple[DueBoost, ...] = ()
    facts: tuple[NamespaceFacts, ...] = ()
    pollers: Pollers | None = None
    synced: Mapping[str, datetime] = field(default_factory=dict)
    targets: tuple[NoticeTarget, ...] = ()
    followed: tuple[FollowRecord, ...] = ()
    problems: tuple[str, ...] = ()
    verdicts: tuple[BoostVerdict, ...] | None = None


class Calendars(Protocol):
    """Reads the planner's schedules of every project, for the watchdog and for boosts from code."""

    async def look(self, now: datetime) -> CalendarView:
        """Return what the live schedules say at *now*; firings about to come are not due."""

    async def admit(self, boost: BoostFromCode, now: datetime) -> BoostRequest:
        """Return the request of *boost*, with what its namespace's live schedules declare.

        Raises:
            BoostRefused: It is more than they allow, or there are none.
        """


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is so: what it makes of the namespace, in words, and what mends it.

    *text* may have several lines. *command* is a command line; empty where none is known.
    """

    state: NamespaceState
    text: str
    command: str = ""

    @property
    def is_alarming(self) -> bool:
        """Whether it costs money or work."""
        return self.state in ALARMING


def state_of(findings: Iterable[Finding]) -> NamespaceState:
    """Return the most urgent state of *findings*; ``ok`` without any."""
    return max((finding.state for finding in findings), key=STATES.index, default="ok")


def findings_of(facts: NamespaceFacts, now: datetime) -> tuple[Finding, ...]:
    """Return what follows from *facts* at *now*, the most urgent first.

    Nothing follows from what nobody looked at: facts that are None or empty add no finding.
    """
    found = [
        *_of_pollers(facts, now),
        *_of_keeper(facts),
        *_of_cloud(facts),
        *_of_unstarted(facts, now),
        *_of_sighting(facts, now),
        *_of_watched(facts, now),
        *_of_missed(facts),
        *_of_strangers(facts),
        *_of_pauses(facts),
    ]
    return tuple(sorted(found, key=lambda finding: -STATES.index(finding.state)))


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceStatus:
    """A namespace as it is: what is in force and until when, and what is wrong.

    *capacity* was in force at *observed_at*; both are None where nobody has looked yet.
    *target* should be in force: for the leases, else the baseline; None where it isn't known.
    *findings* are sorted, the most urgent first. *skipped* are the leases of coming occurrences
    that an operator took out.
    """

    namespace: str
    capacity: Capacity | None = None
    observed_at: datetime | None = None
    baseline: Capacity | None = None
    target: Capacity | None = None
    leases: tuple[Lease, ...] = ()
    skipped: tuple[Lease, ...] = ()
    next_window: NextWindow | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def state(self) -> NamespaceState:
        """The most urgent state of its findings."""
        return state_of(self.findings)

    @property
    def details(self) -> str:
        """What was found, in words: a line or more for each finding."""
        return "\n".join(finding.text for finding in self.findings)

    @property
    def is_alarming(self) -> bool:
        """Whether the namespace needs attention."""
        return any(finding.is_alarming for finding in self.findings)


def status_of(facts: NamespaceFacts, now: datetime) -> NamespaceStatus:
    """Return the status that follows from *facts* at *now*.

    The Cloud API's own answer counts where there is one, else the newest of what the keeper and
    the watchdog observed.
    """
    keeper, sighting = facts.keeper, facts.sighting
    status = keeper.status if keeper else None
    usual = facts.declared or (facts.watched.usual if facts.watched else None)
    known = NamespaceStatus(
        namespace=facts.namespace,
        baseline=facts.declared,
        target=usual,
        next_window=facts.next_window,
        findings=findings_of(facts, now),
    )
    if keeper and status:
        left = keeper.is_running or keeper.is_broken
        is_at_work = keeper.is_running and not is_idle(status)
        baseline = status.baseline if is_at_work else facts.declared or status.baseline
        known = replace(
            known,
            capacity=status.capacity,
            observed_at=status.observed_at,
            baseline=baseline,
            target=status.target if is_at_work or keeper.is_broken else baseline,
            leases=status.leases if left else (),
            skipped=tuple(one for one in status.released if one.start > now) if left else (),
        )
    elif keeper and keeper.is_running:
        known = replace(known, target=None)
    seen_by = None if facts.is_of_another_cloud else facts.watched
    if seen_by and seen_by.capacity and seen_by.at and _is_newer(seen_by.at, known.observed_at):
        known = replace(known, capacity=seen_by.capacity, observed_at=seen_by.at)
    if sighting:
        known = replace(known, capacity=sighting.capacity, observed_at=sighting.at)
    return known


def _is_newer(at: datetime, than: datetime | None) -> bool:
    return than is None or at > than


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundView:
    """All that a round of the watchdog saw: its report, and what `planner status` would say.

    It stays in the process of the worker that has the watchdog. *facts* and *statuses* are
    those of each namespace at the round's end, sorted by name. *keys* says when each API key for
    them expires, by the key's name, as far as that is known.
    """

    report: WatchdogReport
    facts: tuple[NamespaceFacts, ...] = ()
    statuses: tuple[NamespaceStatus, ...] = ()
    pollers: Pollers | None = None
    synced: Mapping[str, datetime] = field(default_factory=dict)
    followed: tuple[FollowRecord, ...] = ()
    keys: Mapping[str, datetime] = field(default_factory=dict)
    verdicts: tuple[BoostVerdict, ...] | None = None


def no_worker_text(pollers: Pollers, now: datetime) -> str:
    """Return that nobody polls the task queue, and since when."""
    last = f" (the last one was seen {format_age(now - pollers.seen)} ago)" if pollers.seen else ""
    return f"no worker polls the task queue {TASK_QUEUE}{last}: nothing is raised or reverted"


def is_stuck(attempt: int, since: datetime | None, now: datetime) -> bool:
    """Tell whether a workflow gets no further, whose pending workflow task is tried over and over.

    *attempt* counts the attempts of that task, which is due *since* then; None without one.
    """
    return attempt >= STUCK_ATTEMPTS and since is not None and now - since >= STUCK_AFTER


def _of_pollers(facts: NamespaceFacts, now: datetime) -> Iterable[Finding]:
    needs_one = facts.windows or (facts.keeper and facts.keeper.is_running)
    if facts.pollers is not None and facts.pollers.count == 0 and needs_one:
        yield Finding("no worker", no_worker_text(facts.pollers, now), "planner worker")


def _of_keeper(facts: NamespaceFacts) -> Iterable[Finding]:
    keeper, repair = facts.keeper, f"planner status {facts.namespace} --repair"
    if keeper is None:
        return
    if keeper.stuck:
        yield Finding("stuck", f"the keeper can't go on: {keeper.stuck}", repair)
    elif keeper.status is None:
        has_worker = facts.pollers is None or facts.pollers.count > 0
        if keeper.is_running and has_worker:
            yield Finding("unknown", "the keeper did not answer; a worker may be busy or gone")
        elif keeper.is_broken:
            yield Finding("unknown", "the keeper was ended by force, and what it left isn't known")
    elif keeper.is_running:
        if keeper.status.health != "ok":
            seen = _target_seen_since(facts, keeper.status)
            text = f"{seen}\n{keeper.status.details}" if seen else keeper.status.details
            yield Finding("ok" if seen else keeper.status.health, text)
        elif keeper.status.capacity is None and not (
            keeper.status.leases or keeper.status.released
        ):
            # One that recovers the state of a broken run doesn't know its leases yet. Who only
            # remembers what was skipped has nothing to look at.
            yield Finding("unknown", "its keeper has just been started, and has not looked yet")
    elif keeper.is_broken and has_work(keeper.status):
        text = "the keeper was terminated before it had gone back to the baseline"
        yield Finding("overdue", text, repair)
    elif facts.sighting is None and facts.watched is None and keeper.status.health == "foreign":
        yield Finding("foreign", keeper.status.details)


def _target_seen_since(facts: NamespaceFacts, status: KeeperStatus) -> str:
    """Return that its target was seen in force since a keeper looked, which misses it; else empty.

    Its change came into force, or one that it waits for never did, and a fault keeps it from
    seeing that.
    """
    watched = facts.watched
    if watched and (facts.is_of_another_cloud or watched.state == "unknown"):
        watched = None  # what an earlier round saw may have changed since
    seen = facts.sighting or watched
    if seen is None or seen.at is None or seen.capacity is None:
        return ""
    misses_it = status.capacity != status.target or status.health in ("reverting", "overdue")
    if (
        status.health == "unknown"
        or not misses_it
        or status.has_open_floors
        or seen.capacity != status.target
        or not _is_newer(seen.at, status.observed_at)
    ):
        return ""
    return (
        f"{seen.capacity} in force (seen {format_instant(seen.at.replace(microsecond=0))}), as due"
    )


def _of_cloud(facts: NamespaceFacts) -> Iterable[Finding]:
    """Return that the workers are for another Cloud API than the one whose capacity is changed."""
    status = facts.keeper.status if facts.keeper else None
    if status is None or not facts.is_of_another_cloud or not has_work(status):
        return
    text = (
        f"its capacity was requested at {status.cloud}, and the workers are for "
        f"{facts.workers_cloud}: nothing is raised or reverted until one is for the former"
    )
    yield Finding("stuck", text, f"PLANNER_CLOUD_URL={status.cloud} planner worker")


def has_work(status: KeeperStatus) -> bool:
    """Tell whether a keeper with this *status* has leases, or is away from the baseline."""
    return bool(status.leases) or status.capacity != status.baseline


def is_idle(status: KeeperStatus) -> bool:
    """Tell whether a keeper with this *status* only remembers what was skipped or released.

    It looks at nothing until that is over: its namespace is as quiet as one without a keeper.
    """
    has_work_left = bool(status.leases) or status.has_open_floors or status.health != "ok"
    return bool(status.released) and not has_work_left


def _of_unstarted(facts: NamespaceFacts, now: datetime) -> Iterable[Finding]:
    for run in facts.unstarted:
        state: NamespaceState = "uncovered" if run.start <= now else "raising"
        yield Finding(
            state, f"{run.window} is under way and not started, {run.span}", "planner sync"
        )


WATCHED: dict[SeenState, NamespaceState] = {
    "foreign": "foreign",
    "below": "foreign",
    "unknown": "unknown",
    "changing": "ok",
    "healing": "reverting",
}
"""What the watchdog's verdict on a quiet namespace makes of it."""


JUDGED_QUIET: frozenset[SeenState] = frozenset({"ok", "changing", "foreign", "below", "healing"})
"""The verdicts of a round that took a namespace for quiet, and could observe it."""


def _of_watched(facts: NamespaceFacts, now: datetime) -> Iterable[Finding]:
    """Return the watchdog's verdict on a quiet namespace, unless the Cloud API was asked now.

    A keeper at work says more than the round before it came, but for what a round found after
    the keeper's last observation: another capacity, or that none can be observed any more. An idle
    one says nothing, unless it has looked since. One that has ended as it should, and saw the
    baseline since, has answered the verdict.
    """
    watched, keeper = facts.watched, facts.keeper
    if watched is None or facts.sighting is not None or facts.is_of_another_cloud:
        return
    if keeper and keeper.is_running:
        status = keeper.status
        if status and is_idle(status) and watched.state in JUDGED_QUIET:
            if watched.at is not None and _is_newer(watched.at, status.observed_at):
                yield from _of_verdict(watched)
            return
        if status and _is_news(watched, status):
            assert watched.capacity is not None
            assert watched.at is not None
            yield from _of_boosted(Sighting(watched.capacity, watched.at), status, now)
        if status and _is_out_of_sight(watched, status):
            assert watched.since is not None
            since = format_instant(watched.since.replace(microsecond=0))
            text = f"what is in force can't be observed since {since}: {watched.details}"
            yield Finding("unknown", text)
        return
    if keeper and _has_ended_since(keeper, watched, facts.declared):
        return
    yield from _of_verdict(watched)


def _of_verdict(watched: NamespaceSeen) -> Iterable[Finding]:
    if (state := WATCHED.get(watched.state)) is not None:
        seen = f" (seen {format_instant(watched.at.replace(microsecond=0))})" if watched.at else ""
        yield Finding(state, f"{watched.details}{seen}")


def _has_ended_since(keeper: Keeper, watched: NamespaceSeen, declared: Capacity | None) -> bool:
    """Tell whether a keeper saw the baseline after the watchdog's last look, and then ended.

    A round that couldn't look has no instant to compare, and stands.
    """
    status = keeper.status
    if keeper.is_broken or status is None or watched.at is None or status.observed_at is None:
        return False
    is_at_rest = status.health == "ok" and status.capacity == (declared or status.baseline)
    return is_at_rest and watched.state != "unknown" and status.observed_at > watched.at


def _is_news(watched: NamespaceSeen, status: KeeperStatus) -> bool:
    """Tell whether the watchdog saw a capacity that a keeper doesn't know of yet.

    A keeper at work looks itself. Only of less than its leases require it may not know: one that
    goes down expects less.
    """
    if watched.capacity is None or watched.at is None or status.observed_at is None:
        return False
    is_at_rest = status.health == "ok" or (
        status.health == "foreign" and watched.capacity != status.capacity
    )
    is_short = is_less(watched.capacity, status.target) and bool(status.leases)
    is_unknown = is_at_rest or (status.health == "reverting" and is_short)
    return is_unknown and status.target is not None and watched.at > status.observed_at


def is_lowered(watched: NamespaceSeen, status: KeeperStatus) -> bool:
    """Tell whether less is in force than a keeper knows of: it has to look again."""
    seen = watched.capacity
    return _is_news(watched, status) and seen != status.capacity and is_less(seen, status.target)


def is_less(one: Capacity | None, other: Capacity | None) -> bool:
    """Tell whether *one* is the smaller capacity; what isn't known is not."""
    return one is not None and other is not None and _size(one) < _size(other)


def _is_out_of_sight(watched: NamespaceSeen, status: KeeperStatus) -> bool:
    """Tell whether rounds fail to see what is in force since a keeper last did.

    A keeper that misses its target meets the same fault, and reports more than that.
    """
    if status.health not in ("ok", "reverting"):
        return False
    if watched.state != "unknown" or watched.since is None:
        return False
    return status.observed_at is None or status.observed_at < watched.since


LATE_ROUNDS = 3
"""Rounds of the watchdog that may be missing before it counts as stopped."""

SLOWEST_ROUND = timedelta(seconds=90)
"""How long a round of the watchdog may go on without a heartbeat; a longer one sends one each
minute. Without any for so long, besides the time between two rounds, its worker counts as lost,
and another one goes on."""

ROUND_TAKES = timedelta(minutes=2)
"""How long one round may take besides."""


def is_late(report: WatchdogReport, now: datetime) -> bool:
    """Tell whether rounds are missing since that of *report*."""
    due = LATE_ROUNDS * timedelta(seconds=report.interval) + ROUND_TAKES
    return now - report.at > due


def watchdog_text(report: WatchdogReport | None, now: datetime) -> str:
    """Return that the watchdog has stopped, if so; empty where its last round is recent.

    Empty, too, where it never made one: a worker that has just been started hasn't yet.
    """
    if report is None or not is_late(report, now):
        return ""
    return f"the watchdog's last round was {format_age(now - report.at)} ago: nothing is healed"


def _of_missed(facts: NamespaceFacts) -> Iterable[Finding]:
    for boost in facts.missed:
        yield Finding(
            "missed",
            f"{boost.window} did not have its capacity, {boost.start} to {boost.end}: "
            f"{boost.reason}",
        )


def _of_strangers(facts: NamespaceFacts) -> Iterable[Finding]:
    for id in facts.strangers:
        text = f"the schedule {id} has no planner's owner mark, and is left alone"
        yield Finding("foreign", text, "planner sync --adopt")


def _of_pauses(facts: NamespaceFacts) -> Iterable[Finding]:
    by_file = [pause.window for pause in facts.pauses if not pause.by]
    if by_file:
        yield Finding("ok", f"{_share(by_file, facts)} paused by the calendar file")
    for by in dict.fromkeys(pause.by for pause in facts.pauses if pause.by):
        paused = [pause for pause in facts.pauses if pause.by == by]
        text = f"{_share([one.window for one in paused], facts)} paused: {by}"
        runs = [one.under_way for one in paused if one.under_way]
        lines = [text, *(f"{run.window} is under way and not covered, {run.span}" for run in runs)]
        whole = len(paused) == len(facts.windows)
        what = facts.namespace if whole else f"{facts.namespace}/{paused[0].window}"
        yield Finding("paused", "\n".join(lines), f"planner resume {what}")


def _share(paused: list[str], facts: NamespaceFacts) -> str:
    """Return how many of the windows *paused* are, and which."""
    total = len(facts.windows)
    if len(paused) == total:
        return f"all {total} windows are" if total > 1 else f"its only window, {paused[0]}, is"
    verb = "is" if len(paused) == 1 else "are"
    return f"{len(paused)} of {total} windows ({', '.join(paused)}) {verb}"


def _of_sighting(facts: NamespaceFacts, now: datetime) -> Iterable[Finding]:
    """Compare what is in force with what should be: the keeper's target, else the baseline.

    A keeper that is changing the capacity reports that itself.
    """
    if facts.unseen:
        yield Finding("unknown", f"the Cloud API can't be asked: {facts.unseen}")
    if facts.sighting is None:
        return
    keeper = facts.keeper
    status = keeper.status if keeper else None
    if keeper and keeper.is_running and not (status and is_idle(status)):
        if status and status.target and status.health == "ok":
            yield from _of_boosted(facts.sighting, status, now)
        return
    if keeper and keeper.is_broken:
        return
    yield from _of_quiet(facts, facts.declared or (status.baseline if status else None))


def _of_boosted(sighting: Sighting, status: KeeperStatus, now: datetime) -> Iterable[Finding]:
    """Return what a namespace with leases has that its keeper doesn't know of yet."""
    assert status.target is not None
    if sighting.capacity == status.target or sighting.pending == status.target:
        return
    text = f"{sighting.capacity} in force, {status.target} by the keeper: changed externally"
    if _size(sighting.capacity) > _size(status.target):
        yield Finding("foreign", text)
    else:
        is_open = any(lease.start <= now < lease.until for lease in status.leases)
        yield Finding("uncovered" if is_open else "raising", text)


def _of_quiet(facts: NamespaceFacts, baseline: Capacity | None) -> Iterable[Finding]:
    """Return what is in force on a namespace without a boost although nobody requested it."""
    assert facts.sighting is not None
    found = facts.sighting.capacity
    if baseline is None:
        if found.tru is not None:
            yield Finding("ok", f"{found} in force without a boost; no baseline is declared")
        return
    if baseline not in (found, facts.sighting.pending):
        origin = "declared" if facts.declared else "found before the last boost"
        text = f"{found} in force without a boost; the baseline is {baseline} ({origin})"
        yield Finding("foreign", text)


def _size(capacity: Capacity) -> float:
    """Return the sort key of capacities: what on-demand allows isn't known here, and is least."""
    return capacity.tru or 0.0
