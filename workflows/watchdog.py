"""The watchdog: its workflow, and what it does about what it sees, decided on values.

A schedule of the planner's own starts the workflow each hour, once the one before has ended. The
rounds are one long activity, whose heartbeats carry the latest report: so they cost few Actions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from workflows import activity_types
    from workflows.contract import (
        APS_PER_TRU,
        TASK_QUEUE,
        UNFINISHED_STATUSES,
        WATCHDOG_WORKFLOW,
        BaselinePolicy,
        CalendarView,
        Capacity,
        Declared,
        Healed,
        NamespaceSeen,
        RoundView,
        SeenState,
        WatchdogInput,
        WatchdogReport,
        format_instant,
        format_instants,
    )
    from workflows.contract.findings import (
        POLLING_WITHIN,
        SLOWEST_ROUND,
        BoostVerdict,
        MissedBoost,
        NamespaceFacts,
        NamespaceState,
        Pollers,
        findings_of,
        is_late,
        is_stuck,
    )
    from workflows.contract.fleets import Fleet, KubernetesTarget
    from workflows.contract.follow import FollowRecord, follow_problems, is_alarming
    from workflows.contract.notices import HORIZON_WITHIN, Alarm, Notice, NoticeEvent
    from workflows.floors import FloorMark, FloorState
    from workflows.keeper_state import Declaration, KeeperState, is_own, origin_of

_RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)
)


@workflow.defn(name=WATCHDOG_WORKFLOW, failure_exception_types=[workflow.NondeterminismError])
class Watchdog:
    """Looks around for as long as its input says; its result is the last report."""

    @workflow.run
    async def run(self, task: WatchdogInput) -> WatchdogReport:
        """Go on from the report of the run before, where there is one."""
        before: WatchdogReport | None = None
        if workflow.has_last_completion_result():
            before = workflow.get_last_completion_result(WatchdogReport)
        every = timedelta(seconds=task.every_seconds)
        length = timedelta(seconds=task.for_seconds)
        report: WatchdogReport = await workflow.execute_activity(
            activity_types.WATCH,
            args=[task, before],
            result_type=WatchdogReport,
            start_to_close_timeout=length + every + SLOWEST_ROUND,
            heartbeat_timeout=every + SLOWEST_ROUND,
            retry_policy=_RETRIES,
            summary=f"Look around every {task.every_seconds:g} s",
        )
        return report


# Decisions ---------------------------------------------------------------------------

ACCEPTED_AFTER = timedelta(days=1)
"""How long an external change of an undeclared capacity is reported, until it is the usual one."""

REMEMBERED = timedelta(days=1)
"""How long a report keeps what was healed."""

MOST_HEALED = 100
"""How many of those it keeps at most: it travels with each heartbeat."""


@dataclass(frozen=True, slots=True)
class Execution:
    """The latest run of a workflow, as the server describes it without asking a worker.

    *status* is the name of its status, empty where there is no run. *attempt* counts the
    attempts of its pending workflow task, due since *task_since*; 0 and None without one.
    *is_refused* says that it failed for good: another run of it would, too. *events* is how
    many events its history has, 0 where that isn't known.
    """

    status: str = ""
    run_id: str = ""
    attempt: int = 0
    task_since: datetime | None = None
    is_refused: bool = False
    events: int = 0

    @property
    def is_running(self) -> bool:
        """Whether it is running, stuck or not."""
        return self.status == "RUNNING"

    def is_stuck(self, now: datetime) -> bool:
        """Tell whether its workflow task fails over and over, so that it gets no further."""
        return self.is_running and is_stuck(self.attempt, self.task_since, now)


STUCK = "the keeper got stuck: a successor took over"
"""What a report says of a keeper that was replaced so."""


def was_stuck(healed: Iterable[Healed], run: Execution, lately: datetime) -> bool:
    """Tell whether *run*, which doesn't answer, is a stuck keeper's successor that is stuck, too.

    It counts as such until it answers, so that no alert resolves while one successor after the
    other is tried: if the keeper was replaced since *lately*, in the last rounds, and later on
    while the run's workflow task is tried again. How long that takes, the server's pace decides.

    Args:
        healed: What was healed of its namespace.
        run: The keeper's latest run.
        lately: Since when a replacement counts, whatever the server says of the run.
    """
    return any(one.details == STUCK and (one.at >= lately or run.attempt > 1) for one in healed)


KeeperAction = Literal["leave", "take over", "terminate and take over"]


def keeper_action(keeper: Execution, now: datetime) -> KeeperAction:
    """Return what to do about a keeper: one that broke off or got stuck gets a successor.

    One that was cancelled has restored the baseline before it ended.
    """
    if keeper.is_stuck(now):
        return "terminate and take over"
    return "take over" if keeper.status in UNFINISHED_STATUSES else "leave"


BoostAction = Literal["leave", "start", "terminate and start"]


_BROKEN_OFF = ("TERMINATED", "TIMED_OUT")
"""How a boost ends that could say nothing any more."""


def boost_action(
    boost: Execution,
    keeper: Execution,
    now: datetime,
    *,
    is_held: bool = False,
    was_started_here: bool = False,
) -> BoostAction:
    """Return what to do about a boost whose window is under way.

    Args:
        boost: The run of the boost's firing.
        keeper: The keeper of its namespace; one that broke off has been taken over before.
        now: The time.
        is_held: Whether the keeper holds the lease of that window.
        was_started_here: Whether the watchdog has started this boost before.
    """
    if boost.is_stuck(now):
        return "terminate and start"
    if boost.is_running:
        return "leave"
    if boost.status in _BROKEN_OFF:
        return "start"  # its lease may be held; a window without its capacity would go unreported
    if is_held:
        return "leave"
    if boost.status == "CANCELED" or boost.is_refused:
        return "leave"  # a person's wish; a refusal is what the boost itself reports
    if boost.status == "COMPLETED":
        # Its keeper holds the lease, or knows that it was released, as long as it runs.
        is_lost = keeper.status in ("", "COMPLETED") and not was_started_here
        return "start" if is_lost else "leave"
    return "start"


def needs_lease_check(boost: Execution, keeper: Execution) -> bool:
    """Tell whether only the keeper knows if the window of *boost* has its lease.

    Asking is an Action, so that it is done for nothing else.
    """
    is_clear = boost.status in ("COMPLETED", "CANCELED", *_BROKEN_OFF)
    return keeper.is_running and not boost.is_running and not is_clear


@dataclass(frozen=True, slots=True)
class QuietCapacity:
    """The capacity of a namespace without a keeper at work, as the Cloud API reports it.

    *limit* is the one in force in Actions per second, 0 where it isn't reported; *request* is
    the id of the latest capacity request.
    """

    capacity: Capacity
    pending: Capacity | None = None
    request: str = ""
    limit: float = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the watchdog makes of a quiet namespace.

    *reconcile* says that a keeper has to go to the declared baseline, or to the one before the
    boosts where none is declared: one is started, unless one runs that is idle.
    """

    state: SeenState
    details: str = ""
    reconcile: Literal["", "baseline", "capacity"] = ""


def judge_quiet(
    found: QuietCapacity,
    declared: Declared,
    usual: Capacity | None,
    policy: BaselinePolicy,
) -> Verdict:
    """Return what to make of a namespace that no boost runs for.

    What a boost left is given back. What others set above the baseline is left alone and
    reported; less than the declared baseline is raised to it, unless it is only observed.
    Without a declared baseline, another capacity than the *usual* one is reported.
    """
    if found.pending is not None:
        return Verdict("changing", f"a change to {found.pending} is under way")
    origin = origin_of(found.request, declared.namespace)
    if origin is not None and origin.requested == found.capacity:
        return _judge_own(found, origin.baseline, declared, policy)
    if origin is None and is_own(found.request, declared.namespace) and found.capacity.tru:
        return _judge_own(found, None, declared, policy)
    if declared.baseline is not None:
        return _judge_declared(found, declared.baseline, policy)
    if usual is None or found.capacity == usual:
        return Verdict("ok")
    return Verdict("foreign", f"{usual} was in force; {found.capacity} was set externally")


def _judge_own(
    found: QuietCapacity, before: Capacity | None, declared: Declared, policy: BaselinePolicy
) -> Verdict:
    """Judge what a keeper requested; *before* is what was in force before its boosts, if known.

    Where that is what it requested, no boost has left anything: with the policy ``observe``, and
    on-demand, which no boost goes to, is judged as if others had set it. Less than the declared
    baseline is raised by no other rule than that of its policy.
    """
    wanted = declared.baseline or before
    if wanted is None:
        return Verdict("unknown", f"{found.capacity} was requested by a keeper ({found.request})")
    if found.capacity == wanted:
        return Verdict("ok")
    left = f"{found.capacity} was left by a boost; back to {wanted}"
    if declared.baseline is not None:
        is_given_back = found.capacity == before
        why = "in force before the boosts, too," if is_given_back else "set externally"
        judged = _judge_declared(found, declared.baseline, policy, why)
        is_as_any = is_given_back and (policy == "observe" or found.capacity.tru is None)
        if is_as_any or judged.state == "below":
            return judged
        if is_given_back:
            left = f"{found.capacity} was in force before the boosts; {wanted} is declared since"
    return Verdict("healing", left, "capacity")


def _judge_declared(
    found: QuietCapacity, baseline: Capacity, policy: BaselinePolicy, why: str = "set externally"
) -> Verdict:
    """Judge what is in force against the declared *baseline*; *why* says where more is from."""
    if found.capacity == baseline:
        return Verdict("ok")
    differs = f"{found.capacity} is in force, the calendar declares {baseline}"
    if _allows_more(found, baseline):
        return Verdict("foreign", f"{differs}: {why} and left alone")
    if policy == "observe":
        return Verdict("below", differs)
    return Verdict("healing", differs, "baseline")


def _allows_more(found: QuietCapacity, baseline: Capacity) -> bool:
    """Tell whether *found* may allow more than *baseline*, so that going there may lower it.

    How much on-demand would allow isn't known while TRUs are in force: they count as more.
    """
    if baseline.tru is None:
        return True
    now = found.limit if found.capacity.tru is None else found.capacity.tru * APS_PER_TRU
    return now > baseline.tru * APS_PER_TRU


def seen_quiet(
    verdict: Verdict,
    found: QuietCapacity,
    before: NamespaceSeen | None,
    namespace: str,
    now: datetime,
) -> NamespaceSeen:
    """Return what the report says of a quiet namespace, given what it said *before*."""
    same = before is not None and before.state == verdict.state
    since = before.since if same and before is not None else now
    usual = before.usual if before is not None else None
    is_accepted = verdict.state == "foreign" and since is not None and now - since >= ACCEPTED_AFTER
    if verdict.state == "ok" or is_accepted:
        usual = found.capacity
    return NamespaceSeen(
        namespace=namespace,
        state=verdict.state,
        details=verdict.details,
        capacity=found.capacity,
        at=now,
        usual=usual,
        since=since,
    )


def state_to_reconcile(declared: Declared) -> KeeperState:
    """Return the state of a keeper without leases that observes and goes to the baseline.

    Where none is declared, it is the one that the id of the keeper's own request tells.
    """
    return KeeperState(
        namespace=declared.namespace,
        baseline=declared.baseline,
        baseline_declared=declared.baseline is not None,
        rails=declared.rails,
        revision=declared.revision,
        project=declared.project,
        needs_observation=True,
    )


def declaration_of(declared: Declared) -> Declaration:
    """Return what an idle keeper is told, for it to observe and go to the baseline."""
    return Declaration(
        project=declared.project,
        revision=declared.revision,
        baseline=declared.baseline,
        rails=declared.rails,
    )


FLOORS_EVERY = timedelta(minutes=30)
"""How often the objects of pushed fleets are looked at while their namespaces are at rest."""

FLOORS_A_ROUND = 20
"""So many of them one round looks at, those that it saw longest ago first."""

_NEVER = datetime.min.replace(tzinfo=UTC)


def floors_to_look_at(
    declared: Iterable[Declared],
    at_rest: Collection[str],
    looked: Mapping[KubernetesTarget, datetime],
    now: datetime,
) -> list[tuple[str, Fleet, KubernetesTarget]]:
    """Return whose floors a lost keeper may have left raised: namespace, fleet and its object.

    An object that a namespace at work pushes as well is that one's keeper's affair.

    Args:
        declared: What the live schedules declare.
        at_rest: The namespaces without a keeper at work, and without a window under way.
        looked: When each object was looked at last.
        now: The time of the round.
    """
    pushed = [
        (one.namespace, fleet, fleet.kubernetes)
        for one in declared
        for fleet in one.fleets
        if fleet.kubernetes is not None
    ]
    at_work = {target for namespace, _, target in pushed if namespace not in at_rest}
    due = [
        (looked.get(one[2], _NEVER), one)
        for one in pushed
        if one[2] not in at_work and now - looked.get(one[2], _NEVER) >= FLOORS_EVERY
    ]
    return [one for _, one in sorted(due, key=lambda each: each[0])][:FLOORS_A_ROUND]


LeftFloors = list[tuple[Fleet, FloorMark]]
"""Fleets whose objects bear the planner's mark although no keeper is at work, and that mark."""


def state_to_give_back(namespace: str, left: LeftFloors) -> KeeperState:
    """Return the state of a keeper without leases that gives those floors back.

    It touches no TRU; what was there before each floor, the object's mark tells it.
    """
    floors = (FloorState(fleet=fleet, needs_look=True) for fleet, _ in left)
    return KeeperState(namespace=namespace, floors=tuple(floors))


def left_floors_text(left: LeftFloors) -> str:
    """Return which floors were left raised, and what was there before."""
    return "; ".join(
        f"the floor of {fleet.name}, {mark.set}, was left by a boost; "
        f"back to {'none' if mark.baseline is None else mark.baseline}"
        for fleet, mark in left
    )


# Notices ------------------------------------------------------------------------------

EVENT_OF: Mapping[NamespaceState, NoticeEvent] = {
    "uncovered": "uncovered",
    "stuck": "stuck",
    "overdue": "overdue",
    "unknown": "unknown",
    "foreign": "foreign",
}
"""The events that notices are sent about where a namespace is in a state. Missed windows are
events of their own each; a pause is a person's wish."""

KNOWN_ANYWAY: tuple[NoticeEvent, ...] = ("unknown", "missed", "throttled", "unused")
"""The events of a namespace that don't take a look at its capacity."""

ACCEPTED_WORKERS_AFTER = timedelta(days=1)
"""How long fewer workers are reported, until that is the usual number."""


def round_alarms(
    view: RoundView, before: WatchdogReport | None, calendars: CalendarView, workers: int
) -> list[Alarm]:
    """Return what is wrong after a round, by what it saw and what the *calendars* say.

    What an unknown namespace has of other events stays as it was: nobody could look. So does what
    usage showed of a window of which it shows nothing now: verdicts are in the memory of a worker.

    Args:
        view: What the round saw.
        before: The report of the round before.
        calendars: What the live schedules say.
        workers: The usual number of workers.
    """
    now = view.report.at
    projects = {one.namespace: one.projects for one in calendars.namespaces}
    found = [
        alarm
        for facts in view.facts
        for alarm in namespace_alarms(facts, projects.get(facts.namespace, ()), now)
    ]
    unknown = {alarm.namespace for alarm in found if alarm.event == "unknown"}
    kept = [
        alarm
        for alarm in still_open(view.report.notices)
        if alarm.namespace in unknown and alarm.event not in KNOWN_ANYWAY
    ]
    ends = _ends_by_project(view.facts, projects)
    return [
        *found,
        *kept,
        *planner_alarms(before, view.pollers, ends, workers, now),
        *follow_alarms(calendars.followed, now),
        *verdict_alarms(calendars.verdicts or (), projects),
        *kept_verdicts(calendars.verdicts or (), view.report.notices),
    ]


def still_open(notices: Iterable[Notice], *events: NoticeEvent) -> list[Alarm]:
    """Return the alarms of the *notices* that are open, for what a round could not look at.

    With *events*, of those alone.
    """
    return [
        Alarm(
            event=one.event,
            namespace=one.namespace,
            subject=one.subject,
            text=one.text,
            projects=one.projects,
        )
        for one in notices
        if one.over is None and (not events or one.event in events)
    ]


def namespace_alarms(
    facts: NamespaceFacts, projects: tuple[str, ...], now: datetime
) -> list[Alarm]:
    """Return what is wrong with a namespace, one alarm for each event and each missed window."""
    texts: dict[NoticeEvent, list[str]] = {}
    for finding in findings_of(replace(facts, missed=()), now):
        if (event := EVENT_OF.get(finding.state)) is not None:
            is_capped = event == "uncovered" and _is_capped(facts)
            texts.setdefault("capped" if is_capped else event, []).append(finding.text)
    found = [
        Alarm(event=event, namespace=facts.namespace, text="\n".join(lines), projects=projects)
        for event, lines in texts.items()
    ]
    return [*found, *(_missed_alarm(facts.namespace, one, projects) for one in facts.missed)]


def _is_capped(facts: NamespaceFacts) -> bool:
    """Tell whether all is in force that the Cloud has, although a window requests more."""
    status = facts.keeper.status if facts.keeper else None
    if status is None or status.target is None or status.health != "uncovered":
        return False
    return status.capacity == status.target


def _missed_alarm(namespace: str, boost: MissedBoost, projects: tuple[str, ...]) -> Alarm:
    return Alarm(
        event="missed",
        namespace=namespace,
        subject=f"{boost.window}/{boost.start}",
        text=(
            f"{boost.window} did not have its capacity, {boost.start} to {boost.end}: "
            f"{boost.reason}"
        ),
        projects=projects,
    )


def _ends_by_project(
    facts: Iterable[NamespaceFacts], projects: Mapping[str, tuple[str, ...]]
) -> dict[str, datetime]:
    """Return until when all dates of each project go, where it has schedules with dates."""
    ends: dict[str, datetime] = {}
    for one in facts:
        for project in projects.get(one.namespace, ()):
            if one.covers_until is not None:
                ends[project] = min(one.covers_until, ends.get(project, one.covers_until))
    return ends


def planner_alarms(
    before: WatchdogReport | None,
    pollers: Pollers | None,
    ends: Mapping[str, datetime],
    workers: int,
    now: datetime,
) -> list[Alarm]:
    """Return what is wrong with the planner itself: its workers, and how far its dates go.

    Args:
        before: The report of the round before.
        pollers: The workers that poll the task queue; None where nobody looked.
        ends: Until when all dates of each project go.
        workers: The usual number of workers.
        now: The time of the round.
    """
    found = []
    if before is not None and is_late(before, now):
        gone = format_instants(before.at.replace(microsecond=0), now.replace(microsecond=0))
        text = (
            f"no watchdog from {gone}: no worker ran, or it was paused; nothing was raised, "
            "reverted or healed meanwhile"
        )
        found.append(Alarm(event="no-worker", text=text))
    if pollers is not None and pollers.count < workers:
        text = f"{pollers.count} of {workers} workers poll the task queue {TASK_QUEUE}"
        found.append(Alarm(event="worker-gone", text=text))
    found += [
        Alarm(
            event="horizon",
            subject=project,
            text=(
                f"the dates of the first of {project}'s schedules end on {until:%Y-%m-%d}: run "
                "planner sync again before"
            ),
            projects=(project,),
        )
        for project, until in sorted(ends.items())
        if until - now < HORIZON_WITHIN
    ]
    return found


def follow_alarms(followed: Iterable[FollowRecord], now: datetime) -> list[Alarm]:
    """Return an alarm for each followed repository whose newest commit isn't applied.

    What may pass, as a repository that is away for a moment, is none yet.
    """
    return [
        Alarm(
            event="not-followed",
            subject=record.name,
            text=f"{record.name}: " + "\n".join(follow_problems(record, now)),
            projects=(record.project,) if record.project else (),
        )
        for record in followed
        if is_alarming(record, now)
    ]


def verdict_alarms(
    verdicts: Iterable[BoostVerdict], projects: Mapping[str, tuple[str, ...]]
) -> list[Alarm]:
    """Return an alarm for each boost that was throttled, and for each that wasn't used.

    By the thresholds of each; what usage doesn't show is none.
    """
    found: list[Alarm] = []
    for one in verdicts:
        span = f"{one.window}, {format_instants(one.start, one.end)}"
        events: list[tuple[NoticeEvent, str]] = []
        if one.is_throttled:
            events.append(("throttled", f"{span}, was throttled although boosted: {one.text}"))
        if one.is_unused:
            hours = f"{_unreached(one)} paid hours reached the minimum of its TRU"
            events.append(("unused", f"{span}, was paid and not used: {hours}"))
        found += (
            Alarm(
                event=event,
                namespace=one.namespace,
                subject=_subject(one),
                text=text,
                projects=projects.get(one.namespace, ()),
            )
            for event, text in events
        )
    return found


def _subject(one: BoostVerdict) -> str:
    return f"{one.window}/{format_instant(one.start)}"


def kept_verdicts(verdicts: Iterable[BoostVerdict], notices: Iterable[Notice]) -> list[Alarm]:
    """Return what is open about windows of which usage doesn't show, or not yet, what it did."""
    unknown = {(one.namespace, _subject(one)) for one in verdicts if one.outcome == "unknown"}
    return [
        alarm
        for alarm in still_open(notices, "throttled", "unused")
        if (alarm.namespace, alarm.subject) in unknown
    ]


def _unreached(one: BoostVerdict) -> str:
    """Return of how many hours it is known: ``none of its 4``, or ``at most 1 of its 4``."""
    rest = one.paid_hours - one.unused_hours
    return f"at most {rest} of its {one.paid_hours}" if rest else f"none of its {one.paid_hours}"


def usual_workers(
    before: WatchdogReport | None, pollers: Pollers | None, now: datetime
) -> tuple[int, datetime | None]:
    """Return the usual number of workers, and when it was last there, after a look at them.

    It is there, or grows, where two looks have counted so many, far enough apart: one that was
    just replaced counts besides its successor. A first number has no time until the second look.
    """
    known, at = (before.workers, before.workers_at) if before else (0, None)
    if pollers is None:
        return known, at
    seen = before.workers_seen if before else 0
    least = min(pollers.count, seen or pollers.count)
    is_confirmed = seen > 0 and not _is_soon(before, now)
    if at is None:
        return least, now if is_confirmed else None
    if now - at >= ACCEPTED_WORKERS_AFTER or (is_confirmed and least >= known):
        return least, now
    return known, at


def workers_seen(before: WatchdogReport | None, pollers: Pollers | None, now: datetime) -> int:
    """Return how many workers the next look is compared with, 0 if unknown.

    Of looks that follow each other soon, as where another worker goes on, that is the least.
    """
    seen = before.workers_seen if before else 0
    if pollers is None:
        return seen
    return min(pollers.count, seen) if seen and _is_soon(before, now) else pollers.count


def _is_soon(before: WatchdogReport | None, now: datetime) -> bool:
    """Tell whether one that is gone since before the round *before* may still count."""
    return before is not None and now - before.at <= POLLING_WITHIN


def key_alarm(name: str, expires: datetime, namespaces: tuple[str, ...]) -> Alarm:
    """Return that the API key *name*, which *namespaces* need, expires soon."""
    more = f" and {len(namespaces) - 1} more" if len(namespaces) > 1 else ""
    text = (
        f"the Cloud API key {name or 'of the worker'}, used for {namespaces[0]}{more}, expires on "
        f"{format_instant(expires.replace(microsecond=0))}: replace it before"
    )
    return Alarm(event="key-expiry", subject=f"{name}/{expires:%Y-%m-%d}", text=text)


def remembered(healed: tuple[Healed, ...], now: datetime) -> tuple[Healed, ...]:
    """Return those of *healed* that a report still has at *now*."""
    return tuple(one for one in healed if now - one.at < REMEMBERED)[-MOST_HEALED:]
