"""The rounds of the watchdog: look at what is, and put right what isn't as the calendars say.

A round reads the live schedules, the keepers and boosts as the server describes them, and the
capacity in force; `workflows.watchdog` decides. Nothing that a round does can do
harm twice: boosts are started under their own ids, keepers where none is running.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, TypeVar

from temporalio import activity
from temporalio.client import (
    AsyncActivityCancelledError,
    Client,
    WorkflowExecutionDescription,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
)
from temporalio.converter import value_to_type
from temporalio.exceptions import (
    ApplicationError,
    ApplicationErrorCategory,
    WorkflowAlreadyStartedError,
)
from temporalio.service import RPCError, RPCStatusCode

from workflows import activity_types, observability
from workflows import watchdog as decisions
from workflows.activities.capacity import Cloud
from workflows.activities.floors import Cluster, FloorError, find_mark
from workflows.activities.keeper import KeeperStates
from workflows.activities.notices import NoticeSender
from workflows.activity_types import keeper_input
from workflows.cloud import (
    CloudError,
    KeyExpiry,
    ObservedCapacity,
    TemporaryError,
    Unauthorized,
)
from workflows.contract import (
    BOOST_WORKFLOW,
    DECLARE_SIGNAL,
    KEEPER_WORKFLOW,
    LOOK_SIGNAL,
    RETRY_SIGNAL,
    TASK_QUEUE,
    UNFINISHED_STATUSES,
    BaselinePolicy,
    Calendars,
    CalendarView,
    Declared,
    DueBoost,
    Healed,
    HealedWhat,
    KeeperStatus,
    NamespaceSeen,
    RoundView,
    WatchdogInput,
    WatchdogReport,
    keeper_id,
    keeper_options,
    lease_of,
    occurrence_of,
)
from workflows.contract.findings import (
    STUCK_AFTER,
    Keeper,
    NamespaceFacts,
    WindowRun,
    is_idle,
    is_lowered,
    status_of,
)
from workflows.contract.fleets import KubernetesTarget
from workflows.contract.notices import (
    KEY_EXPIRES_WITHIN,
    Alarm,
    after_sending,
    events_to_send,
    news,
)
from workflows.keeper_state import OBSERVE_EVERY, KeeperState, is_own
from workflows.provision import SCHEDULED_START
from workflows.ui_text import keeper_status
from workflows.watchdog import Execution, LeftFloors, QuietCapacity

AT_ONCE = 4
"""Requests of a round that wait at once: the watchdog takes its time, boosts come first."""

RPC_TIMEOUT = timedelta(seconds=10)

HAND_OVER = timedelta(seconds=5)
"""How long after a worker has begun to stop another one goes on. The stopping one still polls
for a moment: a task that it gets then holds its end up."""

TERMINATED_BECAUSE = "its workflow task failed over and over; a successor goes on"

_BROKEN = " OR ".join(
    f"ExecutionStatus = '{name}'" for name in ("Running", "Terminated", "Failed", "TimedOut")
)
KEEPERS = f"WorkflowType = '{KEEPER_WORKFLOW}' AND ({_BROKEN})"
"""Keepers that may need the watchdog. Those that ended well are left out: they are many."""

SCHEDULED_BY = SearchAttributeKey.for_keyword("TemporalScheduledById")

KEYS_EVERY = timedelta(hours=1)
"""How often it is looked up when the API keys expire."""

KEYS_TIMEOUT = 30.0
"""Seconds that this may take: the notices of a round, and its metrics, wait for it."""

FLOORS_TIMEOUT = 10.0
"""Seconds that a round looks at floors; those that it doesn't come to are the next one's."""

CLOUD_SILENCE = 60.0
"""Seconds without an answer of the Cloud API after which a round asks it no more. A look that gets
none takes 25 to 85 seconds, four of them at once: those at all namespaces could take hours."""

NO_TIME = "the round had no time to look at it: the Cloud API answered none of the looks before"

KeyExpiries = Callable[[Iterable[str]], Awaitable[tuple[KeyExpiry, ...]]]

BEAT_EVERY = 60.0
"""Seconds of a round between two heartbeats with the report before it. One that ends sooner sends
its own alone: each is an Action. A long one is no reason to count its worker as lost."""

FOLLOWED_WITHIN = 10.0
"""Seconds for which the last round of a workflow still counts: the next one's comes at once."""

ListKeepers = Callable[[Client], Awaitable[set[str]]]
"""Returns the namespaces whose keepers run or broke off."""


async def list_keepers(client: Client) -> set[str]:
    """Return the namespaces whose keepers run or broke off, by the server's list."""
    return {
        execution.id.removeprefix(keeper_id(""))
        async for execution in client.list_workflows(KEEPERS, rpc_timeout=RPC_TIMEOUT)
    }


T = TypeVar("T")

_logger = logging.getLogger(__name__)


@dataclass
class WatchdogActivities:
    """The watchdog's activity, and its rounds.

    Args:
        client: A client of the Temporal namespace of boosts and keepers.
        cloud: The Cloud Operations API.
        calendars: Reads the live schedules; None where only keepers are to be looked after.
        baseline: Whether a declared baseline is established where less is in force.
        task_queue: Where keepers and boosts are started.
        observe_every: How often the keepers that are started observe their namespaces.
        list_keepers: Lists keepers; a server without lists needs another than the default.
        on_round: Takes what each round saw, and None once another worker may go on with them.
        sender: Sends the notices that projects declare; without it, none is sent.
        key_expiries: Looks up when the keys for namespaces expire.
        states: What keepers answered last, shared with others who ask; its own if left out.
        cluster: The Kubernetes cluster of the pushed fleets; None where there is none.
    """

    client: Client
    cloud: Cloud
    calendars: Calendars | None = None
    baseline: BaselinePolicy = "enforce"
    task_queue: str = TASK_QUEUE
    observe_every: timedelta = OBSERVE_EVERY
    list_keepers: ListKeepers = list_keepers
    on_round: Callable[[RoundView | None], None] = lambda _: None
    sender: NoticeSender | None = None
    key_expiries: KeyExpiries | None = None
    states: KeeperStates | None = None
    cluster: Cluster | None = None
    _floors_at: dict[KubernetesTarget, datetime] = field(default_factory=dict)
    _keys: tuple[KeyExpiry, ...] = ()
    _keys_at: datetime | None = None
    _started: set[str] = field(default_factory=set)
    _latest: RoundView | None = None

    def __post_init__(self) -> None:
        self.states = self.states or KeeperStates(self.client)

    @activity.defn(name=activity_types.WATCH)
    async def watch(self, task: WatchdogInput, before: WatchdogReport | None) -> WatchdogReport:
        """Look around every so often, for as long as *task* says; return the last report.

        The latest report goes with each heartbeat, and one that was interrupted begins with it.
        While a round takes its time, that is the one of the round before.

        Raises:
            ApplicationError: The worker stops; another one goes on at once.
        """
        details = activity.info().heartbeat_details
        report = _as_report(details[0]) if details else before
        end = activity.info().scheduled_time + timedelta(seconds=task.for_seconds)
        stopping = asyncio.ensure_future(activity.wait_for_worker_shutdown())
        try:
            while not activity.is_worker_shutdown():
                begin = datetime.now(UTC)
                before = report
                async with observability.heartbeating(before, BEAT_EVERY) as beats:
                    one, report = await self._round(begin, before, task.every_seconds)
                    activity.heartbeat(report)
                    beats.update(report)
                    observability.record_healed(report)
                    self._latest = view = await self._with_keys(await one.view_of(report))
                self.on_round(view)
                if self.sender is not None and one.has_all:
                    report = await self._notify(self.sender, before, view, one.view)
                due = begin + timedelta(seconds=task.every_seconds)
                if due >= end:
                    asyncio.get_running_loop().call_later(FOLLOWED_WITHIN, self._forget, view)
                    return report
                left = (due - datetime.now(UTC)).total_seconds()
                await asyncio.wait({stopping}, timeout=max(0.0, left))
            raise ApplicationError(
                "the worker stops; another goes on",
                next_retry_delay=HAND_OVER,
                category=ApplicationErrorCategory.BENIGN,  # no traceback at every deployment
            )
        except BaseException:
            self._forget(self._latest)
            raise
        finally:
            stopping.cancel()

    async def _notify(
        self,
        sender: NoticeSender,
        before: WatchdogReport | None,
        view: RoundView,
        calendars: CalendarView,
    ) -> WatchdogReport:
        """Send the notices that follow from a round; return its report with what came of them.

        What is new is put on record first, so that a worker that goes on from there sends it
        under the same ids. What was accepted goes on record at once. A round with news costs three
        Actions: both heartbeats, and the one that the SDK had held back.
        """
        report = view.report
        if not (calendars.targets or report.notices):
            return report
        workers, workers_at = decisions.usual_workers(before, view.pollers, report.at)
        alarms = decisions.round_alarms(view, before, calendars, workers)
        alarms += self._expiring_keys(report.at)
        if self.key_expiries is not None and view.facts and self._keys_at is None:
            alarms += decisions.still_open(report.notices, "key-expiry")
        decision = events_to_send(report.notices, alarms, report.at, calendars.targets)
        known = report.notices
        report = replace(
            report,
            notices=decision.notices,
            workers=workers,
            workers_at=workers_at,
            workers_seen=decisions.workers_seen(before, view.pollers, report.at),
        )
        if not decision.due:
            return report
        if news(known, report.notices) and not await self._is_on_record(report):
            return report
        results = await sender.send_all(decision.due)
        for delivery, problem in results.items():
            log = _logger.warning if problem else _logger.info
            how = f"was not accepted: {problem}" if problem else "was accepted"
            to = delivery.target.id
            log("notice %s (%s) to %s %s", delivery.notice.id, delivery.status, to, how)
        notices = after_sending(report.notices, results, datetime.now(UTC))
        report = replace(report, notices=notices)
        if not all(results.values()):  # else a worker that goes on has to try all of them, too
            await self._is_on_record(report)
        return report

    async def _is_on_record(self, report: WatchdogReport) -> bool:
        """Put *report* on record, and tell whether that is done."""
        activity.heartbeat(report)  # in place of one that the SDK may still hold back
        token = activity.info().task_token
        try:
            await self.client.get_async_activity_handle(task_token=token).heartbeat(report)
        except (RPCError, AsyncActivityCancelledError) as error:
            _logger.warning("the watchdog: notices wait for the next round: %s", error)
            return False
        return True

    async def _with_keys(self, view: RoundView) -> RoundView:
        """Return *view* with when the API keys expire, which is looked up once an hour.

        Where that fails, each round tries again.
        """
        names, now = [facts.namespace for facts in view.facts], view.report.at
        if self.key_expiries is None or not names:
            return view
        if self._keys_at is None or now - self._keys_at >= KEYS_EVERY:
            with suppress(Exception):  # nothing may end the rounds; it is looked up again
                async with asyncio.timeout(KEYS_TIMEOUT):
                    found = await self.key_expiries(names)
                self._keys_at = now
                known = {name for one in found for name in one.namespaces}
                kept = (one for one in self._keys if not known & {*one.namespaces})
                self._keys = (*found, *kept)
        latest_first = sorted(self._keys, key=attrgetter("expires"), reverse=True)
        return replace(view, keys={one.name: one.expires for one in latest_first})

    def _expiring_keys(self, now: datetime) -> list[Alarm]:
        """Return an alarm for each API key that expires soon."""
        return [
            decisions.key_alarm(one.name, one.expires, one.namespaces)
            for one in self._keys
            if one.expires - now < KEY_EXPIRES_WITHIN
        ]

    def _forget(self, view: RoundView | None) -> None:
        """Tell no more what was seen, unless another round has come since the one of *view*."""
        if self._latest is view:
            self._latest = None
            self.on_round(None)

    async def round(
        self, now: datetime, before: WatchdogReport | None = None, interval: float = 0.0
    ) -> WatchdogReport:
        """Look at everything once, at *now*, put right what can be, and return the report."""
        return (await self._round(now, before, interval))[1]

    async def _round(
        self, now: datetime, before: WatchdogReport | None, interval: float
    ) -> tuple[_Round, WatchdogReport]:
        one = _Round(self, now, before, interval)
        await one.run()
        healed = (*(before.healed if before else ()), *one.healed)
        report = WatchdogReport(
            at=now,
            interval=interval,
            namespaces=tuple(sorted(one.seen.values(), key=lambda seen: seen.namespace)),
            healed=decisions.remembered(healed, now),
            problems=tuple(one.problems),
            cloud=self.cloud.url,
            notices=before.notices if before else (),
            workers=before.workers if before else 0,
            workers_at=before.workers_at if before else None,
            workers_seen=before.workers_seen if before else 0,
        )
        return one, report


def _as_report(details: Any) -> WatchdogReport | None:
    """Return the report in the details of a heartbeat, which come without their type."""
    with suppress(Exception):  # of another release
        report: WatchdogReport = value_to_type(WatchdogReport, details)
        return report
    return None


@dataclass
class Silence:
    """Since when the Cloud API answers nothing, by a clock in seconds; None where it answers."""

    since: float | None = None
    _heard: float = 0.0

    def answered(self, now: float) -> None:
        """Note that an answer came, if only that a key is refused."""
        self.since, self._heard = None, now

    def unanswered(self, begun: float) -> None:
        """Note that a look has failed for want of an answer, which had *begun* then."""
        if self.since is None:
            self.since = max(begun, self._heard)

    def is_long(self, now: float) -> bool:
        """Tell whether no answer has come for so long that a further look would be in vain."""
        return self.since is not None and now - self.since >= CLOUD_SILENCE


@dataclass
class _Round:
    """One round: what it saw, healed, and could not read."""

    of: WatchdogActivities
    now: datetime
    before: WatchdogReport | None
    interval: float = 0.0
    seen: dict[str, NamespaceSeen] = field(default_factory=dict)
    healed: list[Healed] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    keepers: dict[str, Execution] = field(default_factory=dict)
    leases: dict[str, frozenset[str]] = field(default_factory=dict)
    view: CalendarView = field(default_factory=CalendarView)
    has_all: bool = True
    is_key_refused: dict[str, bool] = field(default_factory=dict)
    unstarted: dict[str, DueBoost] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)
    _silence: Silence = field(default_factory=Silence)

    @property
    def client(self) -> Client:
        return self.of.client

    async def run(self) -> None:
        """Take over keepers, start missed boosts, then look at quiet namespaces."""
        view = self.view = await self._guarded("the schedules", self._view()) or CalendarView()
        self.problems += view.problems
        found = await self._guarded("the keepers", self.of.list_keepers(self.client)) or set()
        self.has_all = not self.problems
        if self.before and self.before.cloud != self.of.cloud.url:
            await self._each([(name, name) for name in sorted(found)], self._rouse)
        names = {one.namespace: one for one in view.namespaces}
        for due in view.due:
            names.setdefault(due.request.namespace, Declared(namespace=due.request.namespace))
        for name in found:
            names.setdefault(name, Declared(namespace=name))
        assert self.of.states is not None
        self.of.states.forget_others(found)
        await self._each([(name, name) for name in sorted(names)], self._look_after_keeper)
        self.unstarted = {due.id: due for due in view.due}
        await self._each([(due.id, due) for due in view.due], self._look_after_boost)
        # In any order: where a round doesn't come to all, no namespace is always the last one.
        await self._each(random.sample(sorted(names.items()), len(names)), self._look_at_capacity)
        for name in names:  # absence would read as health
            if name not in self.seen:
                self.seen[name] = self._unknown(
                    name, "looking at it failed; the log of the worker says why"
                )
        if self.of.cluster is not None:
            await self._guarded("the floors", self._look_at_floors(self.of.cluster))

    async def _view(self) -> CalendarView:
        calendars = self.of.calendars
        return CalendarView() if calendars is None else await calendars.look(self.now)

    async def _guarded(self, what: str, work: Awaitable[T]) -> T | None:
        """Return what *work* does; None where it fails, which is a problem of the round."""
        try:
            return await work
        except asyncio.CancelledError:
            raise
        except Exception as error:  # nothing may end the rounds; the next one tries again
            self.problems.append(f"{what}: {error}")
            _logger.warning("the watchdog: %s: %s", what, error)
            return None

    async def _each(
        self, items: Iterable[tuple[str, T]], work: Callable[[T], Awaitable[None]]
    ) -> None:
        """Do *work* on each of the named *items*, a few at once; one that fails stops no other."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(name: str, item: T) -> None:
            async with slots:
                await self._guarded(name, work(item))

        await asyncio.gather(*(one(name, item) for name, item in items))

    def _heal(self, namespace: str, what: HealedWhat, details: str) -> None:
        self.healed.append(
            Healed(at=self.now, namespace=namespace, what=what, details=details[:300])
        )
        _logger.warning("the watchdog: %s: %s", namespace, details)

    # Keepers

    async def _look_after_keeper(self, namespace: str) -> None:
        """Give a keeper that broke off or got stuck a successor, which recovers its state."""
        handle = self.client.get_workflow_handle(keeper_id(namespace))
        keeper = await self._execution(handle)
        self.keepers[namespace] = keeper
        action = decisions.keeper_action(keeper, self.now)
        if action == "leave":
            return
        if action == "terminate and take over":
            await self._terminate(handle, keeper)
        await self._start_keeper(namespace, broken_run=keeper.run_id)
        how = decisions.STUCK
        if not keeper.is_running:
            broke_off = keeper.status.lower().replace("_", " ")
            how = f"the keeper {broke_off}: a successor took over"
        self._heal(namespace, "keeper", how)
        self.keepers[namespace] = Execution("RUNNING")

    async def _rouse(self, namespace: str) -> None:
        """End a keeper's wait after a fault: it may have been for a worker of this Cloud API."""
        await self._signal(namespace, RETRY_SIGNAL)

    async def _signal(self, namespace: str, signal: str, *values: object) -> None:
        with suppress(RPCError):  # it has ended
            await self.client.get_workflow_handle(keeper_id(namespace)).signal(
                signal, args=values, rpc_timeout=RPC_TIMEOUT
            )

    async def _start_keeper(
        self, namespace: str, *, broken_run: str = "", state: KeeperState | None = None
    ) -> None:
        await self.client.start_workflow(
            KEEPER_WORKFLOW,
            keeper_input(namespace, self.of.observe_every, broken_run=broken_run, state=state),
            **keeper_options(namespace, self.of.task_queue),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            rpc_timeout=RPC_TIMEOUT,
        )

    async def _execution(self, handle: WorkflowHandle[Any, Any]) -> Execution:
        """Return the latest run of the workflow of *handle*, as the server describes it."""
        try:
            described = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return Execution()
            raise
        return _described(described)

    async def _terminate(self, handle: WorkflowHandle[Any, Any], run: Execution) -> None:
        """Terminate exactly that *run*, unless it has ended meanwhile."""
        with suppress(RPCError):
            stuck = self.client.get_workflow_handle(handle.id, run_id=run.run_id)
            await stuck.terminate(TERMINATED_BECAUSE, rpc_timeout=RPC_TIMEOUT)

    # Boosts

    async def _look_after_boost(self, due: DueBoost) -> None:
        """Start the boost of a window under way that has none, and no lease either."""
        namespace = due.request.namespace
        handle = self.client.get_workflow_handle(due.id)
        boost = await self._execution(handle)
        if boost.status == "FAILED":
            boost = replace(boost, is_refused=await _is_refused(handle))
        keeper = self.keepers.get(namespace, Execution())
        is_held = False
        if decisions.needs_lease_check(boost, keeper):
            key = lease_of(due.request, due.nominal).key
            is_held = key in await self._leases_of(namespace)
        action = decisions.boost_action(
            boost, keeper, self.now, is_held=is_held, was_started_here=due.id in self.of._started
        )
        if action == "leave":
            del self.unstarted[due.id]
            return
        if action == "terminate and start":
            await self._terminate(handle, boost)
        await self._start_boost(due)
        del self.unstarted[due.id]
        was = boost.status.lower().replace("_", " ") if boost.status else "not there"
        self._heal(namespace, "boost", f"the boost of {due.request.window} was {was}: started now")

    async def _leases_of(self, namespace: str) -> frozenset[str]:
        """Return the keys of the leases that the keeper holds; none where it doesn't answer."""
        if namespace not in self.leases:
            run = self.keepers.get(namespace, Execution())
            status = await self._status_of(namespace, run)
            held = status.leases if status else ()
            keys = {key for lease in held for key in (lease.key, *lease.replaced)}
            self.leases[namespace] = frozenset(keys)
        return self.leases[namespace]

    async def _start_boost(self, due: DueBoost) -> None:
        """Start the boost as its schedule would have, under the same id."""
        attributes: list[SearchAttributePair[Any]] = [
            SearchAttributePair(SCHEDULED_START, due.nominal),
            SearchAttributePair(SCHEDULED_BY, due.schedule),
        ]
        with suppress(WorkflowAlreadyStartedError):  # it was started meanwhile
            await self.client.start_workflow(
                BOOST_WORKFLOW,
                due.request,
                id=due.id,
                task_queue=self.of.task_queue,
                static_summary=due.summary or None,
                search_attributes=TypedSearchAttributes(attributes),
                rpc_timeout=RPC_TIMEOUT,
            )
        self.of._started.add(due.id)

    # Capacity

    async def _look_at_capacity(self, declared: Declared) -> None:
        """See what is in force; at a quiet namespace, have a keeper mend what isn't right.

        One whose keeper is idle is quiet, too.
        """
        name = declared.namespace
        before = self._before(name)
        keeper = self.keepers.get(name)
        if keeper is None:
            self.seen[name] = self._unknown(name, "its keeper could not be looked at")
            return
        if self._silence.is_long(time.monotonic()):
            self.seen[name] = self._unknown(name, NO_TIME)
            return
        at = self.moment()
        try:
            seen = await self._observe(name)
        except CloudError as error:
            observability.record_fault(name, error)
            self.is_key_refused[name] = isinstance(error, Unauthorized)
            self.seen[name] = self._unknown(name, str(error))
            return
        self.is_key_refused[name] = False
        usual = before.usual if before else None
        is_healed = any(one.namespace == name for one in self.healed)
        status = await self._status_on_record(name, keeper)
        if is_healed or (keeper.is_running and not (status and is_idle(status))):
            now_seen = self.seen[name] = NamespaceSeen(
                namespace=name, state="boosted", capacity=seen.capacity, at=at, usual=usual
            )
            if status and is_lowered(now_seen, status):
                _logger.warning("the watchdog: %s: %s in force, set by others", name, seen.capacity)
                await self._signal(name, LOOK_SIGNAL)
            return
        _log_change(before, seen)
        found = QuietCapacity(seen.capacity, seen.pending, seen.operation_id, seen.aps_limit)
        policy = declared.baseline_policy if self.of.baseline == "enforce" else "observe"
        verdict = decisions.judge_quiet(found, declared, usual, policy)
        if verdict.reconcile:
            if keeper.is_running:
                await self._signal(name, DECLARE_SIGNAL, decisions.declaration_of(declared))
            else:
                await self._start_keeper(name, state=decisions.state_to_reconcile(declared))
            self._heal(name, verdict.reconcile, verdict.details)
        judged = decisions.seen_quiet(verdict, found, before, name, self.now)
        self.seen[name] = replace(judged, at=at)

    async def _observe(self, namespace: str) -> ObservedCapacity:
        """Return what is in force on *namespace*, and note whether the Cloud API answers at all.

        Raises:
            CloudError: It can't be known.
        """
        begun = time.monotonic()
        try:
            seen = await self.of.cloud.observe(namespace)
        except CloudError as error:
            if isinstance(error, TemporaryError) and not isinstance(error, Unauthorized):
                self._silence.unanswered(begun)
            else:
                self._silence.answered(time.monotonic())
            raise
        self._silence.answered(time.monotonic())
        return seen

    async def _status_on_record(self, name: str, run: Execution) -> KeeperStatus | None:
        """Return the status of a keeper's *run*; None where none runs, or it isn't known.

        What it knows is read from its history, where that has gone on: that is no Action, and
        waits for no worker. A history that can't be read is left to the next round.
        """
        assert self.of.states is not None
        if not run.is_running or not run.run_id:
            return None
        state = self.of.states.known(name, run.run_id, run.events)
        if state is None:
            with suppress(RPCError):
                state = await self.of.states.on_record(name, run.run_id, run.events)
        return None if state is None else keeper_status(state, self.moment())

    # Floors

    async def _look_at_floors(self, cluster: Cluster) -> None:
        """Start keepers where floors are left raised: their own are gone, history and all."""
        at_rest = {name for name, keeper in self.keepers.items() if not keeper.is_running}
        at_rest -= {one.namespace for one in self.healed}
        at_rest -= {due.request.namespace for due in self.view.due}
        found = await self._floors_left(cluster, at_rest)

        async def give_back(namespace: str) -> None:
            left = found[namespace]
            state = decisions.state_to_give_back(namespace, left)
            await self._start_keeper(namespace, state=state)
            self._heal(namespace, "capacity", decisions.left_floors_text(left))

        await self._each([(name, name) for name in sorted(found)], give_back)

    async def _floors_left(self, cluster: Cluster, at_rest: set[str]) -> dict[str, LeftFloors]:
        """Return the floors of namespaces *at_rest* that bear the planner's mark.

        What the cluster doesn't answer is looked at again half an hour later.
        """
        looked, found = self.of._floors_at, defaultdict[str, LeftFloors](list)
        declared = self.view.namespaces
        due = decisions.floors_to_look_at(declared, at_rest, looked, self.now)
        with suppress(TimeoutError):
            async with asyncio.timeout(FLOORS_TIMEOUT):
                for namespace, fleet, target in due:
                    looked[target] = self.now
                    try:
                        mark = await find_mark(cluster, target)
                    except FloorError as error:
                        observability.record_fault(namespace, error)
                        _logger.warning("the watchdog: %s: %s", fleet.name, error)
                        continue
                    if mark is not None:
                        found[namespace].append((fleet, mark))
        return found

    def moment(self) -> datetime:
        """Return the time now, by the clock that *now* is of."""
        return self.now + timedelta(seconds=time.monotonic() - self._begun)

    # What there is to say of each namespace

    async def view_of(self, report: WatchdogReport) -> RoundView:
        """Return what there is to say after the round of *report*."""
        facts = await self.facts()
        done = self.moment()
        return RoundView(
            report=report,
            facts=facts,
            statuses=tuple(status_of(each, done) for each in facts),
            pollers=self.view.pollers,
            synced=self.view.synced,
            followed=self.view.followed,
            verdicts=self.view.verdicts,
        )

    async def facts(self) -> tuple[NamespaceFacts, ...]:
        """Return the facts of each namespace with a schedule or a keeper, once all is done.

        Only keepers at work whose history has gone on are queried, which is an Action for each.
        None at all where a list could not be read: what they would say of a namespace may be wrong.
        """
        if not self.has_all:
            return ()
        known = {one.namespace: one for one in self.view.facts}
        names = sorted({*known, *self.seen})
        slots = asyncio.Semaphore(AT_ONCE)

        async def keeper_of(name: str) -> Keeper | None:
            async with slots:
                return await self._keeper(name)

        found = await asyncio.gather(*map(keeper_of, names))
        keepers = dict(zip(names, found, strict=True))
        return tuple(
            replace(
                known.get(name) or NamespaceFacts(namespace=name, pollers=self.view.pollers),
                keeper=keepers[name],
                watched=self.seen.get(name),
                is_key_refused=self.is_key_refused.get(name),
                unstarted=tuple(
                    _run_of(due) for due in self.unstarted.values() if due.request.namespace == name
                ),
            )
            for name in names
        )

    async def _keeper(self, namespace: str) -> Keeper | None:
        """Return the keeper of *namespace* with its status where it runs and answers."""
        run = self.keepers.get(namespace)
        if run is None or not run.status:
            return None
        stuck, status = "", None
        if run.is_stuck(self.now):
            stuck = f"its workflow task was tried {run.attempt} times"
        elif run.is_running:
            status = await self._status_of(namespace, run)
            if status is None and self._was_stuck(namespace, run):
                stuck = "it got stuck, and its successor doesn't answer either"
        return Keeper(
            namespace=namespace,
            run_id=run.run_id,
            is_running=run.is_running,
            is_broken=run.status in UNFINISHED_STATUSES,
            status=status,
            stuck=stuck,
        )

    def _was_stuck(self, namespace: str, run: Execution) -> bool:
        """Tell whether *run* succeeded a stuck keeper, and gets no further so far, either."""
        lately = self.now - 2 * timedelta(seconds=self.interval) - STUCK_AFTER
        before = self.before.healed if self.before else ()
        healed = [one for one in (*before, *self.healed) if one.namespace == namespace]
        return decisions.was_stuck(healed, run, lately)

    async def _status_of(self, namespace: str, run: Execution) -> KeeperStatus | None:
        """Return the status of the keeper's *run*; None where it doesn't answer.

        A query is an Action: it is asked only where its history has gone on.
        """
        assert self.of.states is not None
        state = await self.of.states.answered(namespace, run.run_id, run.events)
        return None if state is None else keeper_status(state, self.moment())

    def _before(self, namespace: str) -> NamespaceSeen | None:
        reported = self.before.namespaces if self.before else ()
        return next((one for one in reported if one.namespace == namespace), None)

    def _unknown(self, namespace: str, why: str) -> NamespaceSeen:
        """Return that *namespace* can't be judged, with the capacity that was last seen."""
        before = self._before(namespace)
        known = before or NamespaceSeen(namespace=namespace, state="unknown")
        since = known.since if known.state == "unknown" and known.since else self.now
        return replace(known, state="unknown", details=why, since=since)


def _log_change(before: NamespaceSeen | None, seen: ObservedCapacity) -> None:
    """Log what others changed; what a keeper changed, that has logged itself."""
    was = before.capacity if before else None
    if before and was and was != seen.capacity and not is_own(seen.operation_id, before.namespace):
        observability.log_change(before.namespace, was, seen.capacity, request=seen.operation_id)


def _run_of(due: DueBoost) -> WindowRun:
    start, end = occurrence_of(due.request, due.nominal)
    return WindowRun(window=due.request.window, start=start, end=end, tru=due.request.tru)


def _described(description: WorkflowExecutionDescription) -> Execution:
    task = description.raw_description.pending_workflow_task
    has_task = description.raw_description.HasField("pending_workflow_task")
    return Execution(
        status=description.status.name if description.status is not None else "",
        run_id=description.run_id,
        attempt=task.attempt if has_task else 0,
        task_since=task.original_scheduled_time.ToDatetime(tzinfo=UTC) if has_task else None,
        events=description.history_length,
    )


async def _is_refused(boost: WorkflowHandle[Any, Any]) -> bool:
    """Tell whether a failed *boost* was refused, so that another run of it would be, too."""
    try:
        await boost.result(rpc_timeout=RPC_TIMEOUT)
    except WorkflowFailureError as error:
        cause = error.cause
        return isinstance(cause, ApplicationError) and cause.type in (
            activity_types.REFUSED,
            activity_types.BAD_REQUEST,
        )
    return False
