"""The watchdog's schedule, what it reads of the live schedules, and its latest report.

The schedule is the planner's own: one for a Temporal namespace, whatever projects share it. It
bears no project's owner mark, so that no plan counts it, changes it or deletes it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Literal, TypeVar
from zlib import crc32

from temporalio.api.common.v1 import Payload
from temporalio.api.schedule.v1 import ScheduleListEntry, ScheduleListInfo
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError, RPCStatusCode

from planner.errors import Refused, ServerError
from planner.model import Horizon
from planner.plan.live import (
    check_by_hand,
    declared_in,
    due,
    fleets_in,
    newest_declaration,
    request_by_hand,
    under_way,
)
from planner.plan.model import LiveSchedule
from planner.schedules.spec import Schedule as WindowSchedule
from planner.schedules.spec import namespace_of
from planner.temporal.client import REQUEST_TIMEOUT, Server
from planner.temporal.convert import EntryReader
from planner.temporal.fetch import LATE, boost_id, describe_patiently, list_entries
from planner.temporal.status import (
    fetch_missed,
    fetch_pollers,
    fetch_schedules_of,
    next_window,
    pause_of,
)
from planner.temporal.sync_state import (
    OfProjects,
    fetch_follows,
    fetch_of_projects,
    fetch_sync_time,
)
from workflows.contract import (
    ROUND_EVERY,
    TASK_QUEUE,
    WATCH_FOR,
    WATCHDOG_ID,
    WATCHDOG_WORKFLOW,
    BoostRequest,
    CalendarView,
    Declared,
    DeclaredFleet,
    DueBoost,
    WatchdogInput,
    WatchdogReport,
    occurrence_of,
)
from workflows.contract.findings import (
    USUAL_THRESHOLDS,
    VERDICT_KEPT,
    BoostVerdict,
    NamespaceFacts,
    NextWindow,
    UsageThresholds,
    WindowRun,
)
from workflows.contract.from_code import WINDOW_FROM_CODE, BoostFromCode, BoostRefused

T = TypeVar("T")

NOTE = (
    f"The planner's watchdog. Every {ROUND_EVERY // timedelta(minutes=1)} minutes it compares what "
    "is with what the calendars say: it starts missed boosts, replaces broken keepers and looks "
    "at the capacity of quiet namespaces, for all projects here. Pause it to stop that."
)

RUN_TIMEOUT = timedelta(days=7)
"""After this long a workflow of the watchdog that no worker carries on makes room for the next.
A worker that comes back goes on with the one before it, which knows what notices were sent."""

CATCHUP_WINDOW = timedelta(minutes=1)
"""A firing that the server was away for is made up within this time; the next one comes anyway."""

Ended = tuple[str, WindowRun]
"""A namespace, and a window of it that is over."""

Verify = Callable[[str, WindowRun], Awaitable[BoostVerdict]]
"""Returns what usage shows of a namespace's window that is over."""

EPOCH, HOUR = datetime(1970, 1, 1, tzinfo=UTC), timedelta(hours=1)

METRICS_LATE = timedelta(minutes=6)
"""How long after its end a window is looked up: Temporal Cloud's metrics are three minutes late,
and a collector comes by every so often."""

VERIFIED_FOR = timedelta(hours=1)
"""How long after its end a window that isn't known is looked up again."""

MOST_VERIFIED = 10
"""Windows that one round looks up, the latest first."""

VERIFY_TIMEOUT = 10.0
"""Seconds that one of them may take."""

MOST_READ = 2
"""Of so many of the latest workflows the report is read."""

DESCRIBED_AT_ONCE = 4

DESCRIBED_FOR = timedelta(hours=1)
"""How long a described schedule is taken as known at most while the list shows it unchanged: the
list doesn't show the input of its boosts, which only a hand edit changes alone. Each has a moment
of its own at which that ends, so that no round describes all of them."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A schedule as it was described at *at*, when the list showed *listed* of it."""

    listed: bytes
    at: datetime
    live: LiveSchedule | None
    following: NextWindow | None = None

    @property
    def schedule(self) -> WindowSchedule | None:
        """The schedule; None where it is gone or its input isn't a boost's."""
        schedule = self.live.schedule if self.live else None
        return schedule if schedule and (schedule.request.tru or schedule.request.workers) else None


@dataclass
class LiveCalendars:
    """Reads the live schedules of every project, for the watchdog and for boosts from code.

    Each schedule is described once, again where the list shows another, and once in each
    `DESCRIBED_FOR`: so a round of which nothing has changed sends one request for each page of the
    list, one for each project and each follower, one for the boosts of the last day, two for the
    workers, and its share of the describes. What was described is kept whatever becomes of the
    other describes: Temporal Cloud allows ten a second, and a look that is cancelled or fails after
    many of them goes on from there the next time.
    """

    server: Server
    verify: Verify | None = None
    _known: dict[str, _Known] = field(default_factory=dict)
    _slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(DESCRIBED_AT_ONCE), repr=False
    )
    _verdicts: dict[tuple[str, WindowRun], tuple[BoostVerdict, datetime]] = field(
        default_factory=dict
    )

    async def look(self, now: datetime) -> CalendarView:
        """Return what the live schedules say at *now*.

        Raises:
            ServerError: They could not be read.
        """
        projects, strangers = await self._read(now)
        schedules = self._schedules
        view = CalendarView(
            namespaces=tuple(declared_by(schedules)),
            due=tuple(due for schedule in schedules for due in due_boosts(schedule, now)),
            verdicts=await self._verified(schedules, now) if self.verify else None,
        )
        return await self._with_facts(view, projects, strangers, now)

    async def _verified(
        self, schedules: Iterable[WindowSchedule], now: datetime
    ) -> tuple[BoostVerdict, ...]:
        """Return the verdicts on the windows of the last day, each looked up once.

        One that is unknown is looked up again for a while, since metrics may come late. A source
        that doesn't answer is left alone until the next round, so that no round waits for it.
        """
        over = {run for schedule in schedules for run in ended_windows(schedule, now)}
        self._verdicts = {run: known for run, known in self._verdicts.items() if run in over}
        unread = {}
        due = [run for run in over if self._is_due(run, now)]
        for namespace, run in sorted(due, key=lambda one: one[1].end, reverse=True)[:MOST_VERIFIED]:
            try:
                async with asyncio.timeout(VERIFY_TIMEOUT):
                    verdict = await self.verify(namespace, run)  # type: ignore[misc]
            except (ServerError, TimeoutError) as error:
                unread[namespace, run] = str(error) or "the source of usage did not answer in time"
                break
            self._verdicts[namespace, run] = verdict, now
        return tuple(
            self._verdicts[one][0]
            if one in self._verdicts
            else unverified(*one, unread.get(one, "not looked up yet"))
            for one in sorted(over, key=lambda one: (one[0], one[1].start, one[1].window))
        )

    def _is_due(self, of: Ended, now: datetime) -> bool:
        """Tell whether a window is to be looked up: new, not known, or its last hour is over."""
        if of not in self._verdicts:
            return True
        (verdict, at), end = self._verdicts[of], of[1].end
        last_hour = end + (-(end - EPOCH) % HOUR) + METRICS_LATE
        is_unknown = verdict.outcome == "unknown" and now - end < VERIFIED_FOR
        return is_unknown or at < last_hour <= now

    async def fleets(self, now: datetime) -> tuple[DeclaredFleet, ...]:
        """Return the fleets that the live schedules declare, and those that no window uses.

        Raises:
            ServerError: The schedules, or the records of the syncs, could not be read.
        """
        of_projects, _ = await asyncio.gather(fetch_of_projects(self.server), self._read(now))
        return declared_fleets(self._schedules, of_projects.fleets)

    @property
    def _schedules(self) -> list[WindowSchedule]:
        return [known.schedule for known in self._known.values() if known.schedule]

    async def _read(self, now: datetime) -> tuple[set[str], dict[str, list[str]]]:
        """Read the list, and describe what is new there; return projects and strangers' ids."""
        reader = EntryReader(self.server.converter)
        entries: list[ScheduleListEntry] = []
        projects: set[str] = set()
        strangers: defaultdict[str, list[str]] = defaultdict(list)
        async for entry in list_entries(self.server):
            if not (namespace := namespace_of(entry.schedule_id)):
                continue
            if owner := await reader.owner(entry):
                entries.append(entry)
                projects.add(owner)
            else:
                strangers[namespace].append(entry.schedule_id)
        reads = [asyncio.create_task(self._described(entry, now)) for entry in entries]
        try:
            known = await asyncio.gather(*reads)
        finally:
            for read in reads:
                read.cancel()  # where one has failed, nobody waits for the others
        self._known = {entry.schedule_id: one for entry, one in zip(entries, known, strict=True)}
        return projects, strangers

    async def admit(self, boost: BoostFromCode, now: datetime) -> BoostRequest:
        """Return the request of *boost*, with what its namespace's live schedules declare.

        They are read anew: a rail that a sync has changed counts at once.

        Raises:
            BoostRefused: It is more than they allow, or there are none.
            ServerError: They could not be read.
        """
        schedules = await fetch_schedules_of(self.server, boost.namespace)
        if not schedules:
            raise BoostRefused(
                f"no schedule is for {boost.namespace!r}, so it has no guard rails to hold a boost "
                "to; check the name, or sync a calendar with a window for it, which may be paused"
            )
        request = request_by_hand(
            boost.namespace,
            boost.tru,
            boost.length,
            newest_declaration(schedules),
            combine=boost.combine,
            by=boost.by,
            reason=boost.reason,
            window=WINDOW_FROM_CODE,
            workers=boost.workers,
            fleets=fleets_in(schedules),
        )
        try:
            check_by_hand(request, schedules, now)
        except Refused as error:
            raise BoostRefused(str(error)) from error
        return request

    async def _with_facts(
        self,
        view: CalendarView,
        projects: Collection[str],
        strangers: Mapping[str, Sequence[str]],
        now: datetime,
    ) -> CalendarView:
        """Return *view* with the facts of each namespace; what can't be read is a problem."""
        problems: list[str] = []

        async def guarded(work: Awaitable[T], otherwise: T) -> T:
            try:
                return await work
            except ServerError as error:
                problems.append(str(error))
                return otherwise

        missed, pollers, synced, of_projects, followed = await asyncio.gather(
            guarded(fetch_missed(self.server, now), {}),
            guarded(fetch_pollers(self.server, now), None),
            guarded(fetch_synced(self.server, projects), {}),
            guarded(fetch_of_projects(self.server), OfProjects()),
            guarded(fetch_follows(self.server), ()),
        )
        declared = {one.namespace: one.baseline for one in view.namespaces}
        described: defaultdict[str, list[_Known]] = defaultdict(list)
        for id, known in self._known.items():
            described[namespace_of(id)].append(known)
        facts = tuple(
            replace(
                _facts_of(name, described.get(name, ())),
                strangers=tuple(sorted(strangers.get(name, ()))),
                missed=tuple(missed.get(name, ())),
                declared=declared.get(name),
                pollers=pollers,
            )
            for name in sorted({*described, *strangers, *missed})
        )
        return replace(
            view,
            facts=facts,
            pollers=pollers,
            synced=synced,
            # A project that has no schedule any more, after a rename say, is told of nothing.
            targets=tuple(one for one in of_projects.targets if one.project in projects),
            verdicts=judged(view, of_projects.thresholds),
            followed=followed,
            problems=tuple(sorted(problems)),
        )

    async def _described(self, entry: ScheduleListEntry, now: datetime) -> _Known:
        """Return the schedule of *entry* as it is known, and keep that at once.

        Where it has to be described, that waits for its turn: a look that begins while another
        one is under way finds what that one has described meanwhile.
        """
        id, listed = entry.schedule_id, _listed(entry)
        known = self._current(id, listed, now)
        if known is None:
            async with self._slots:
                known = self._current(id, listed, now)
                if known is None:
                    known = _Known(listed, now, await describe_patiently(self.server, id))
        if known.following is None or known.following.start <= now:
            is_active = known.schedule and known.live and not known.live.paused
            following = next_window(known.schedule, now) if is_active and known.schedule else None
            known = replace(known, following=following)
        self._known[id] = known
        return known

    def _current(self, id: str, listed: bytes, now: datetime) -> _Known | None:
        """Return what is known of a schedule; None where it has to be described at *now*."""
        known = self._known.get(id)
        if known is None or known.listed != listed or _turn(id, now) > _turn(id, known.at):
            return None
        return known


def _listed(entry: ScheduleListEntry) -> bytes:
    """Return what the list shows of a schedule, its firings aside: they change nothing of it."""
    info = ScheduleListInfo()
    info.CopyFrom(entry.info)
    info.ClearField("recent_actions")
    info.ClearField("future_action_times")
    return info.SerializeToString(deterministic=True)


def _turn(id: str, now: datetime) -> int:
    """Return how many times a schedule's turn to be described had come by *now*.

    It comes once in each `DESCRIBED_FOR`, at a moment that its id decides.
    """
    moment = timedelta(seconds=crc32(id.encode()) % (DESCRIBED_FOR // timedelta(seconds=1)))
    return (now - EPOCH + moment) // DESCRIBED_FOR


def _facts_of(namespace: str, described: Iterable[_Known]) -> NamespaceFacts:
    """Return what the *described* schedules for a *namespace* show."""
    live = [(known, known.live) for known in described if known.live]
    paused = [one for _, one in live if one.paused]
    following = [known.following for known, _ in live if known.following]
    horizons = [one.schedule.covers_until for _, one in live if one.schedule]
    return NamespaceFacts(
        namespace=namespace,
        windows=tuple(sorted(one.window for _, one in live)),
        pauses=tuple(
            sorted((pause_of(one) for one in paused), key=lambda pause: pause.window),
        ),
        next_window=min(following, key=lambda one: (one.start, one.window), default=None),
        drifted=tuple(sorted(one.window for _, one in live if one.drifted)),
        covers_until=min((one for one in horizons if one), default=None),
    )


async def fetch_synced(server: Server, projects: Iterable[str]) -> dict[str, datetime]:
    """Return when each of the *projects* was last synced, where that is known."""

    async def one(project: str) -> tuple[str, datetime | None]:
        return project, await fetch_sync_time(server, project)

    found = await asyncio.gather(*(one(project) for project in projects))
    return {project: at for project, at in found if at is not None}


def declared_by(schedules: Iterable[WindowSchedule]) -> list[Declared]:
    """Return what *schedules* declare for each of their namespaces: the newest counts.

    Where two projects declare another baseline for one namespace, none is established there.
    """
    found: dict[str, Declared] = {}
    known: defaultdict[str, list[WindowSchedule]] = defaultdict(list)
    for schedule in sorted(schedules, key=lambda one: one.request.revision):
        declared = declared_in(schedule)
        name = declared.namespace
        known[name].append(schedule)
        before = found.get(name, declared)
        is_disputed = before.project != declared.project and before.baseline != declared.baseline
        found[name] = Declared(namespace=name) if is_disputed else declared
    return [
        replace(
            found[name],
            projects=tuple(sorted({one.project for one in known[name]})),
            fleets=tuple(fleets_in(known[name]).values()),
        )
        for name in sorted(found)
    ]


def declared_fleets(
    schedules: Iterable[WindowSchedule], unused: Iterable[DeclaredFleet] = ()
) -> tuple[DeclaredFleet, ...]:
    """Return the fleets that *schedules* declare, by name: of one project's the newest counts.

    And those of *unused* that none of them declares for the same namespace.
    """
    found: dict[tuple[str, str, str], DeclaredFleet] = {}
    for schedule in sorted(schedules, key=lambda one: one.request.revision):
        for fleet in schedule.request.fleets:
            namespace = schedule.request.namespace
            found[fleet.name, namespace, schedule.project] = DeclaredFleet(
                fleet=fleet, namespace=namespace, project=schedule.project
            )
    used = {(name, namespace) for name, namespace, _ in found}
    found |= {
        (one.fleet.name, one.namespace, one.project): one
        for one in unused
        if (one.fleet.name, one.namespace) not in used
    }
    return tuple(found[key] for key in sorted(found))


def due_boosts(schedule: WindowSchedule, now: datetime) -> list[DueBoost]:
    """Return the boosts that the server should have started for *schedule* by *now*.

    Those of windows that haven't ended; a firing that jitter may still delay isn't due.
    """
    if schedule.paused:
        return []
    settled = now - LATE - schedule.jitter
    return [
        DueBoost(
            id=boost_id(schedule, nominal),
            schedule=schedule.id,
            nominal=nominal,
            request=schedule.request,
            summary=schedule.summary,
        )
        for nominal in under_way(schedule, now)
        if nominal <= settled and occurrence_of(schedule.request, nominal)[1] > now
    ]


def ended_windows(schedule: WindowSchedule, now: datetime) -> list[Ended]:
    """Return the windows of *schedule* that ended in the last day, once their minutes are known."""
    request = schedule.request
    if schedule.paused or not request.tru:
        return []
    found = []
    for nominal in due(schedule, Horizon(now - VERDICT_KEPT, now)):
        start, end = occurrence_of(request, nominal)
        if end <= now - METRICS_LATE:
            run = WindowRun(window=request.window, start=start, end=end, tru=request.tru)
            found.append((request.namespace, run))
    return found


def judged(
    view: CalendarView, thresholds: Mapping[str, UsageThresholds]
) -> tuple[BoostVerdict, ...] | None:
    """Return the verdicts of *view*, each by the strictest of its namespace's projects.

    A project that is not among *thresholds* has the usual ones.
    """
    if view.verdicts is None:
        return None
    by_namespace = {
        one.namespace: reduce(
            UsageThresholds.strictest,
            [thresholds.get(project, USUAL_THRESHOLDS) for project in one.projects],
        )
        for one in view.namespaces
        if one.projects
    }
    return tuple(
        replace(one, thresholds=by_namespace.get(one.namespace, USUAL_THRESHOLDS))
        for one in view.verdicts
    )


def unverified(namespace: str, run: WindowRun, why: str) -> BoostVerdict:
    """Return that nothing is known of a window, and why."""
    return BoostVerdict(
        namespace=namespace,
        window=run.window,
        start=run.start,
        end=run.end,
        outcome="unknown",
        text=why,
        is_read=False,
    )


Ensured = Literal["created", "kept", "paused", "foreign"]
"""What became of the watchdog's schedule: it was made, is as it should be, is paused by a person,
or another's schedule has its id."""


async def ensure_watchdog(
    client: Client,
    *,
    task: WatchdogInput | None = None,
    task_queue: str = TASK_QUEUE,
    starts_now: bool = False,
) -> Ensured:
    """Make the watchdog's schedule where it is missing, and bring it up to date.

    A pause by a person stays.

    Args:
        client: A client of the Temporal namespace that has the planner's schedules.
        task: How long and how often it looks around; the default if left out.
        task_queue: Where its workflows run.
        starts_now: Whether to start it at once where no workflow of it is under way; for a
            worker, which will take it.

    Raises:
        ServerError: The server refused.
    """
    desired = _watchdog(task or WatchdogInput(), task_queue)
    try:
        live = await _described(client)
        if live is None:
            await client.create_schedule(
                WATCHDOG_ID, desired, trigger_immediately=starts_now, rpc_timeout=REQUEST_TIMEOUT
            )
            return "created"
        return await _keep(client, live, desired, starts_now=starts_now)
    except ScheduleAlreadyRunningError:  # another worker or sync was first
        return "kept"
    except RPCError as error:
        raise ServerError(f"the watchdog's schedule: {error.message}") from error


async def _described(client: Client) -> ScheduleDescription | None:
    """Return the watchdog's schedule; None where there is none."""
    try:
        return await client.get_schedule_handle(WATCHDOG_ID).describe(rpc_timeout=REQUEST_TIMEOUT)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return None
        raise


def _watchdog(task: WatchdogInput, task_queue: str) -> Schedule:
    """Return the watchdog's schedule.

    A firing that comes while a workflow still looks around waits for its end, so that there
    is no gap between the two.
    """
    return Schedule(
        action=ScheduleActionStartWorkflow(
            WATCHDOG_WORKFLOW,
            task,
            id=WATCHDOG_ID,
            task_queue=task_queue,
            run_timeout=RUN_TIMEOUT,
            static_summary="Looks whether everything is as the calendars say",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=WATCH_FOR)]),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.BUFFER_ONE, catchup_window=CATCHUP_WINDOW
        ),
        state=ScheduleState(note=NOTE),
    )


async def _keep(
    client: Client, live: ScheduleDescription, desired: Schedule, *, starts_now: bool
) -> Ensured:
    """Bring the *live* schedule to *desired* where it differs; start it if nothing runs."""
    handle = client.get_schedule_handle(WATCHDOG_ID)
    if not _is_ours(live):
        return "foreign"
    if live.schedule.state.paused:
        return "paused"
    if await _comparable(client, live.schedule) != await _comparable(client, desired):
        await handle.update(lambda _: ScheduleUpdate(desired), rpc_timeout=REQUEST_TIMEOUT)
    if starts_now and not live.info.running_actions:
        await handle.trigger(rpc_timeout=REQUEST_TIMEOUT)
    return "kept"


def _is_ours(live: ScheduleDescription) -> bool:
    """Tell whether the schedule with the watchdog's id starts the watchdog."""
    action = live.schedule.action
    return isinstance(action, ScheduleActionStartWorkflow) and action.workflow == WATCHDOG_WORKFLOW


async def has_watchdog(client: Client) -> bool:
    """Tell whether the watchdog's schedule is there, and is the planner's.

    Raises:
        ServerError: The server could not be asked.
    """
    try:
        live = await _described(client)
    except RPCError as error:
        raise ServerError(f"the watchdog's schedule: {error.message}") from error
    return live is not None and _is_ours(live)


async def delete_watchdog(client: Client) -> None:
    """Delete the watchdog's schedule, and cancel what runs of it.

    Raises:
        ServerError: The server refused.
    """
    try:
        live = await _described(client)
        if live is None:
            return
        await client.get_schedule_handle(WATCHDOG_ID).delete(rpc_timeout=REQUEST_TIMEOUT)
        for action in live.info.running_actions:
            running = client.get_workflow_handle(getattr(action, "workflow_id", ""))
            await running.cancel(rpc_timeout=REQUEST_TIMEOUT)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:  # else it has ended meanwhile
            raise ServerError(f"the watchdog's schedule: {error.message}") from error


async def _comparable(client: Client, schedule: Schedule) -> tuple[object, ...]:
    """Return what the planner sets of the watchdog's schedule, for comparison."""
    action = schedule.action
    assert isinstance(action, ScheduleActionStartWorkflow)
    stored = []
    for argument in action.args:
        payload = argument  # of a described schedule
        if not isinstance(payload, Payload):
            (payload,) = await client.data_converter.encode([argument])
        stored.append(payload.data)
    return (
        schedule.spec.intervals,
        schedule.policy,
        schedule.state.note,
        action.task_queue,
        action.run_timeout,
        stored,
    )


async def fetch_report(client: Client) -> WatchdogReport | None:
    """Return the report of the watchdog's latest round; None if there is none to be read.

    It comes from the heartbeat of the workflow under way, else from the result of the latest
    one: no worker is asked, and it costs no Action.

    Raises:
        ServerError: The server could not be asked.
    """
    try:
        live = await _described(client)
        if live is None:
            return None
        reports = [
            await _report_of(client, execution.workflow_id)
            for execution in (
                *(action for action in live.info.running_actions),
                *(result.action for result in live.info.recent_actions[-MOST_READ:]),
            )
            if isinstance(execution, ScheduleActionExecutionStartWorkflow)
        ]
    except RPCError as error:
        raise ServerError(f"the watchdog's report: {error.message}") from error
    known = [report for report in reports if report is not None]
    return max(known, key=lambda report: report.at, default=None)


async def _report_of(client: Client, id: str) -> WatchdogReport | None:
    """Return the report in the heartbeat or the result of the watchdog's workflow *id*."""
    handle = client.get_workflow_handle(id, result_type=WatchdogReport)
    try:
        described = await handle.describe(rpc_timeout=REQUEST_TIMEOUT)
        if described.status == WorkflowExecutionStatus.COMPLETED:
            report: WatchdogReport = await handle.result(rpc_timeout=REQUEST_TIMEOUT)
            return report
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:  # its retention is over
            return None
        raise
    for pending in described.raw_description.pending_activities:
        if payloads := pending.heartbeat_details.payloads:
            try:
                (beat,) = await client.data_converter.decode(payloads[:1], [WatchdogReport])
            except Exception:  # another release may have written it
                return None
            return beat if isinstance(beat, WatchdogReport) else None
    return None
