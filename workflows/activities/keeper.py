"""Activities that call keeper workflows: request or release a lease, recover state.

Beside them the one that admits boosts from code, which the live schedules' rails decide.

What a run knew that broke off is recovered from its own answer to a query, else from its
history. What a run did is made of that, too: the states that it went through are made anew, and
how they differ is its record.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Set
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

from temporalio import activity
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionDescription,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ApplicationError,
    ApplicationErrorCategory,
    WorkflowAlreadyStartedError,
)
from temporalio.service import RPCError, RPCStatusCode

from workflows import activity_types, observability
from workflows import keeper_transitions as transitions
from workflows.activity_types import (
    AdmitBoost,
    KeeperInput,
    Observation,
    ReconcileInput,
    RecoverState,
    ReleaseLease,
    RequestLease,
    keeper_input,
)
from workflows.contract import (
    KEEPER_WORKFLOW,
    LEASE_UPDATE,
    RECORD_MEMO,
    RECOVERABLE_STATUSES,
    RELEASE_UPDATE,
    REPEATED_REFUSALS,
    BoostRequest,
    Calendars,
    Capacity,
    CapacityInForce,
    HeldCapacity,
    KeeperRecord,
    Lease,
    LeaseAnswer,
    LeaseRecord,
    LeaseRequest,
    ReleaseRequest,
    keeper_id,
    keeper_options,
)
from workflows.contract.from_code import BoostRefused, parse_boost
from workflows.floors import FloorSeen, FloorTask
from workflows.keeper_state import OBSERVE_EVERY, KeeperState
from workflows.keeper_transitions import (
    BaselineFound,
    Cancelled,
    Recorded,
    Recovered,
    after_recorded,
    rebuild,
    recover,
    without_ended,
)
from workflows.observability import heartbeating

RETRY_INTERVAL = 2.0
"""Seconds until a lease is requested again from a keeper that had no room for it."""


MOST_RECORDED = 500
"""Events of a run up to which the next one begins with the record of it: it is read at once."""

RECORD_WITHIN = 2.0
"""Seconds that reading it may take, while a window waits."""

MOST_IN_MEMO = 16_000
"""Bytes of a record in a memo, at most: Temporal Cloud allows 40 kB for all of a memo."""


class KeeperActivities:
    """Activities that call keepers, through a client of the namespace that they live in.

    Args:
        client: The client.
        observe_every: How often the keepers that are started observe their namespaces.
    """

    def __init__(self, client: Client, *, observe_every: timedelta = OBSERVE_EVERY) -> None:
        self._client = client
        self._observe_every = observe_every
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @activity.defn(name=activity_types.REQUEST_LEASE)
    async def request_lease(self, task: RequestLease) -> LeaseAnswer:
        """Request a lease from its keeper, which is started if need be; return the answer.

        Raises:
            ApplicationError: The keeper refused the request; not retryable.
        """
        namespace = task.request.namespace
        if task.is_first and activity.info().attempt == 1:
            late = datetime.now(UTC) - task.nominal
            observability.record_lateness(namespace, late.total_seconds())
        async with heartbeating("waiting for the keeper's answer"):
            while True:
                try:
                    answer: LeaseAnswer = await self._update(
                        namespace, LEASE_UPDATE, task.request, LeaseAnswer
                    )
                    return answer
                except WorkflowUpdateFailedError as error:
                    if not _is_to_be_repeated(error):
                        raise _failure(error) from error
                except WorkflowAlreadyStartedError:  # it ended as it was asked
                    continue
                await asyncio.sleep(RETRY_INTERVAL)

    @activity.defn(name=activity_types.RELEASE_LEASE)
    async def release_lease(self, task: ReleaseLease) -> None:
        """Release a lease before its end, and make sure that it isn't granted later.

        Its request may still be in flight: where no keeper runs, one is started that refuses it.
        """
        async with heartbeating("waiting for the keeper's answer"):
            while True:
                with suppress(WorkflowAlreadyStartedError):  # it ended as it was asked
                    await self._update(task.namespace, RELEASE_UPDATE, task.request)
                    return

    async def _update(
        self, namespace: str, update: str, request: object, result_type: type | None = None
    ) -> Any:
        """Send *request* to the keeper of *namespace*, which is started if need be.

        A request is sent once the keeper has accepted the one before: the server allows ten
        updates in flight, and as it refuses one more it drops those not yet accepted, with the
        workflow task that carries them. Dozens of windows that open together would never come
        through.

        Returns:
            The keeper's answer, which may take as long as the capacity does.
        """
        async with self._turns.setdefault(namespace, asyncio.Lock()):
            handle = await self._client.start_update_with_start_workflow(
                update,
                request,
                start_workflow_operation=await self._start_of(namespace),
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                result_type=result_type,
            )
        return await handle.result()

    @activity.defn(name=activity_types.RECOVER_STATE)
    async def recover_state(self, task: RecoverState) -> KeeperState | None:
        """Return the state of a run that was terminated, cancelled, reset or failed.

        The run answers for itself, by a query that replays it. If it can't, its state is
        rebuilt from its history. None where the run is gone.
        """
        run = self._client.get_workflow_handle(keeper_id(task.namespace), run_id=task.run)
        try:
            async with heartbeating("recovering the state of the run before"):
                if task.is_reset:
                    base_run = await run_that_was_reset(run)
                    run = self._client.get_workflow_handle(run.id, run_id=base_run)
                return await recoverable_state(self._client, run, task.namespace)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            activity.logger.warning("run %s is gone: %s", task.run, error)
            return None

    async def _start_of(self, namespace: str) -> WithStartWorkflowOperation[Any, Any]:
        """Return the operation that starts the keeper of *namespace*, if none is running.

        Where one is running, no other is started: should it fail as it takes the update, the
        server would start another that knows nothing of it. The next attempt finds it broken.
        """
        latest = await self._latest(namespace)
        status = latest.status.name if latest is not None and latest.status is not None else ""
        is_broken = status in RECOVERABLE_STATUSES
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            KEEPER_WORKFLOW,
            keeper_input(
                namespace,
                self._observe_every,
                broken_run=latest.run_id if latest is not None and is_broken else "",
            ),
            **keeper_options(namespace, activity.info().task_queue),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE
            if status == "RUNNING"
            else WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            memo=await self._record_of(namespace, latest)
            if status not in ("", "RUNNING")
            else None,
        )
        asyncio.ensure_future(start.workflow_handle()).add_done_callback(_retrieve_outcome)
        return start

    async def _record_of(
        self, namespace: str, run: WorkflowExecutionDescription | None
    ) -> dict[str, Any] | None:
        """Return the memo with what the *run* before did; None where that can't be had at once.

        The list of workflows shows it, so that a look back needs no history of any run. A memo
        that a workflow starts with is no Action; without one the history is read then.
        """
        if run is None or run.history_length > MOST_RECORDED:
            return None
        span = run.start_time, run.close_time
        try:
            async with asyncio.timeout(RECORD_WITHIN):
                record = await record_on_record(
                    self._client, namespace, run.run_id, span, datetime.now(UTC)
                )
        except Exception as error:  # whatever it is: no boost fails for the sake of a record
            activity.logger.warning("run %s has no record in its successor: %s", run.run_id, error)
            return None
        memo = {RECORD_MEMO: record.plain}
        return memo if len(json.dumps(memo)) <= MOST_IN_MEMO else None

    async def _latest(self, namespace: str) -> WorkflowExecutionDescription | None:
        """Return the latest run of the keeper as the server describes it; None without one."""
        try:
            return await self._client.get_workflow_handle(keeper_id(namespace)).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise


def _retrieve_outcome(started: asyncio.Future[Any]) -> None:
    """Retrieve the error of a keeper's start, if it has one.

    The SDK reports it twice: a failing call raises, and leaves its error in the handle of the
    start too. Not retrieved there, asyncio would log it with a traceback.
    """
    if not started.cancelled():
        started.exception()


def _is_to_be_repeated(error: WorkflowUpdateFailedError) -> bool:
    """Tell whether the keeper hands over to its next run, so that the request is to be repeated.

    The keeper says so, or the server does: of an update that came in that very moment.
    """
    cause = error.cause
    return isinstance(cause, ApplicationError) and cause.type in REPEATED_REFUSALS


def _failure(error: WorkflowUpdateFailedError) -> BaseException:
    """Return the failure of a request: not retryable if the keeper refused it, in its words."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == activity_types.REFUSED:
        return ApplicationError(cause.message, type=cause.type, non_retryable=True)
    return error


class BoostActivities:
    """The activity that admits boosts from code; *calendars* reads the live schedules."""

    def __init__(self, calendars: Calendars) -> None:
        self._calendars = calendars

    @activity.defn(name=activity_types.ADMIT_BOOST)
    async def admit(self, task: AdmitBoost) -> BoostRequest:
        """Return the request of a boost from code, with what its namespace's schedules declare.

        Raises:
            ApplicationError: It isn't a request, no schedule is for its namespace, or its rails
                don't allow as much; not retryable.
        """
        try:
            boost = parse_boost(task.request)
        except ValueError as error:
            unread = f"the request can't be read: {error}"
            raise _no_boost(activity_types.BAD_REQUEST, unread) from None
        async with heartbeating("reading the live schedules"):
            try:
                return await self._calendars.admit(boost, datetime.now(UTC))
            except BoostRefused as error:
                raise _no_boost(activity_types.REFUSED, str(error)) from None


def _no_boost(type: str, message: str) -> ApplicationError:
    """Return the failure of a boost from code that no worker's fault is: it logs no traceback."""
    return ApplicationError(
        message, type=type, non_retryable=True, category=ApplicationErrorCategory.BENIGN
    )


STATE_TIMEOUT = timedelta(seconds=10)
"""How long a keeper at work may take to answer."""

QUERY_TIMEOUT = timedelta(seconds=30)
"""How long a broken run may take to be replayed and to answer."""

_UPDATES: dict[str, type] = {LEASE_UPDATE: LeaseRequest, RELEASE_UPDATE: ReleaseRequest}

_RESULTS: dict[str, Any] = {
    activity_types.OBSERVE: Observation,
    activity_types.RECONCILE: Observation,
    activity_types.FLOOR: FloorSeen,
    activity_types.RECOVER_STATE: KeeperState | None,
}
"""Activities whose results tell what a keeper knew, and the types of those results."""


MOST_UNRECOVERED = 10
"""How many runs in a row, each ended before it had recovered the one before, are looked through."""


async def recoverable_state(
    client: Client, run: WorkflowHandle[Any, Any], namespace: str, most: int = MOST_UNRECOVERED
) -> KeeperState:
    """Return the state of *run*, with that of the run before where it hadn't recovered it yet.

    Raises:
        RPCError: *run* can't be read, or is gone.
    """
    state = await state_of(client, run, namespace)
    before = "" if state.cancelled else await unrecovered_run(client, run)
    if not before or not most:
        return state
    older = client.get_workflow_handle(run.id, run_id=before)
    try:
        old: KeeperState | None = await recoverable_state(client, older, namespace, most - 1)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        old = None
    left = old and without_ended(old.unpacked, datetime.now(UTC))
    return recover(state.unpacked, left).to_hand_over


async def unrecovered_run(client: Client, run: WorkflowHandle[Any, Any]) -> str:
    """Return the run whose state *run* was to recover, and hasn't; empty if there is none.

    It was given one at its start, or was made of one by a reset.
    """
    before, recovery = "", -1
    async for event in run.fetch_history_events():
        started = event.workflow_execution_started_event_attributes
        failed = event.workflow_task_failed_event_attributes
        scheduled = event.activity_task_scheduled_event_attributes
        if started.input.payloads:
            with suppress(Exception):  # another release may have written it
                payloads = started.input.payloads[:1]
                (start,) = await client.data_converter.decode(payloads, [KeeperInput])
                before = start.broken_run
        elif failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
            before = failed.base_run_id
        elif scheduled.activity_type.name == activity_types.RECOVER_STATE:
            recovery = event.event_id
        elif recovery == _scheduled_id(event):
            before = ""
    return before


async def state_of(client: Client, run: WorkflowHandle[Any, Any], namespace: str) -> KeeperState:
    """Return the state that *run* answers, else what its history tells.

    A run that this release can't replay doesn't answer.
    """
    try:
        state: KeeperState = await run.query(
            activity_types.STATE_QUERY, result_type=KeeperState, rpc_timeout=QUERY_TIMEOUT
        )
    except (RPCError, WorkflowQueryFailedError) as error:
        activity.logger.warning("run %s does not answer: %s", run.run_id, error)
    else:
        return state
    return (await state_on_record(client, run, namespace)).to_hand_over


async def state_on_record(
    client: Client, run: WorkflowHandle[Any, Any], namespace: str
) -> KeeperState:
    """Return the state of *run* as its history tells it; values that can't be read are left out."""
    recorded = [(at, value) async for _, at, value in _recorded(client, run)]
    return rebuild(KeeperState(namespace=namespace), recorded)


@dataclass(frozen=True, slots=True)
class StateRead:
    """The state of a run as it was read while its history had so many *events*.

    *last* is the id of the last event that tells something of it, where it was read off that.
    """

    run_id: str
    events: int
    state: KeeperState
    last: int = 0

    def is_of(self, run_id: str, events: int) -> bool:
        """Tell whether the run's history has gone no further; that isn't known without *events*."""
        return bool(events) and (self.run_id, self.events) == (run_id, events)


@dataclass
class KeeperStates:
    """The states of keepers at work, read anew only where a history has gone on.

    A state changes with the history alone: while that has no further event, what was read before
    still holds. A query is an Action, reading the history is none; but the history doesn't tell
    what the run's memory has besides, such as the fault that it waits after.
    """

    client: Client
    _answered: dict[str, StateRead] = field(default_factory=dict)
    _recorded: dict[str, StateRead] = field(default_factory=dict)

    def known(self, namespace: str, run_id: str, events: int) -> KeeperState | None:
        """Return what was read of the run while its history had so many events, from either."""
        for read in (self._answered.get(namespace), self._recorded.get(namespace)):
            if read and read.is_of(run_id, events):
                return read.state
        return None

    def forget_others(self, namespaces: Set[str]) -> None:
        """Forget what was read of any keepers but those of *namespaces*."""
        for read in (self._answered, self._recorded):
            for name in read.keys() - namespaces:
                del read[name]

    async def answered(self, namespace: str, run_id: str, events: int) -> KeeperState | None:
        """Return the state that the run answers to a query; None where it doesn't answer."""
        read = self._answered.get(namespace)
        if read and read.is_of(run_id, events):
            return read.state
        try:
            found: KeeperState = await self.client.get_workflow_handle(keeper_id(namespace)).query(
                activity_types.STATE_QUERY, result_type=KeeperState, rpc_timeout=STATE_TIMEOUT
            )
        except (RPCError, WorkflowQueryFailedError):
            return None
        self._answered[namespace] = StateRead(run_id, events, found.unpacked)
        return found.unpacked

    async def on_record(self, namespace: str, run_id: str, events: int) -> KeeperState:
        """Return the state of the run as its history tells it, which is no Action.

        Only what came since it was read last is decoded: that takes far longer than reading.

        Raises:
            RPCError: The history can't be read.
        """
        run = self.client.get_workflow_handle(keeper_id(namespace), run_id=run_id)
        read = self._recorded.get(namespace)
        if read is None or read.run_id != run_id:
            read = StateRead(run_id, events, KeeperState(namespace=namespace))
        entries = [entry async for entry in _recorded(self.client, run, after=read.last)]
        state = rebuild(read.state, [(at, value) for _, at, value in entries])
        last = entries[-1][0] if entries else read.last
        self._recorded[namespace] = StateRead(run_id, events, state, last)
        return state


async def record_on_record(
    client: Client,
    namespace: str,
    run_id: str,
    span: tuple[datetime, datetime | None],
    now: datetime,
) -> KeeperRecord:
    """Return what a run of the keeper of *namespace* did, as its history tells it.

    *span* is the run's start, and its end where it has ended by *now*.

    Raises:
        RPCError: The history can't be read, or is gone.
    """
    run = client.get_workflow_handle(keeper_id(namespace), run_id=run_id)
    recorded = [(at, value) async for _, at, value in _recorded(client, run)]
    return record_of(namespace, run_id, recorded, span, now)


async def run_that_was_reset(run: WorkflowHandle[Any, Any]) -> str:
    """Return the id of the run that *run* was made from: its own history names it."""
    base = ""
    async for event in run.fetch_history_events():
        failed = event.workflow_task_failed_event_attributes
        if failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
            base = failed.base_run_id
    return base


async def _recorded(
    client: Client, run: WorkflowHandle[Any, Any], after: int = 0
) -> AsyncIterator[tuple[int, datetime, Recorded]]:
    """Yield what the history of *run* records, with the id and the time of its event.

    What isn't *after* the event of an id is left out.
    """
    names: dict[int, str] = {}
    async for event in run.fetch_history_events():
        scheduled = event.activity_task_scheduled_event_attributes
        names[event.event_id] = scheduled.activity_type.name
        if event.event_id <= after:
            continue
        at = event.event_time.ToDatetime(tzinfo=UTC)
        if event.HasField("workflow_execution_cancel_requested_event_attributes"):
            yield event.event_id, at, Cancelled()
            continue
        payloads, kind = _payloads_of(event, names)
        if not payloads.payloads:
            continue
        try:
            (value,) = await client.data_converter.decode(payloads.payloads[:1], [kind])
        except Exception as error:  # another release may have written it
            activity.logger.warning("event %s can't be read: %s", event.event_id, error)
            continue
        yield event.event_id, at, _as_recorded(value, names.get(_scheduled_id(event), ""))


def _payloads_of(event: HistoryEvent, names: dict[int, str]) -> tuple[Payloads, Any]:
    """Return the payloads of *event* that tell what a keeper knew, and their type; else none.

    *names* are those of the activities scheduled so far, by the ids of their events.
    """
    if event.HasField("workflow_execution_started_event_attributes"):
        return event.workflow_execution_started_event_attributes.input, KeeperInput
    accepted = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
    if accepted.name in _UPDATES:
        return accepted.args, _UPDATES[accepted.name]
    scheduled = event.activity_task_scheduled_event_attributes
    if scheduled.activity_type.name == activity_types.RECONCILE:
        return scheduled.input, ReconcileInput
    if scheduled.activity_type.name == activity_types.FLOOR:
        return scheduled.input, FloorTask
    kind = _RESULTS.get(names.get(_scheduled_id(event), ""))
    completed = event.activity_task_completed_event_attributes
    return (completed.result, kind) if kind else (Payloads(), object)


def _scheduled_id(event: HistoryEvent) -> int:
    return int(event.activity_task_completed_event_attributes.scheduled_event_id)


def _as_recorded(value: Any, activity_name: str) -> Recorded:
    """Return the decoded *value*; the result of an activity as what that activity is for."""
    if activity_name == activity_types.OBSERVE:
        return BaselineFound(value)
    if activity_name == activity_types.RECOVER_STATE:
        return Recovered(value)
    recorded: Recorded = value
    return recorded


# The record of a run -----------------------------------------------------------------


CANCELLED_BY = "a cancel of the keeper"
"""Who released the leases of a keeper that was cancelled."""


def record_of(
    namespace: str,
    run: str,
    recorded: Iterable[tuple[datetime, Recorded]],
    span: tuple[datetime, datetime | None],
    now: datetime,
) -> KeeperRecord:
    """Return what the keeper's *run* of *namespace* did, as its history has *recorded* it.

    Args:
        namespace: The Temporal Cloud namespace.
        run: The run's id.
        recorded: What its history records, oldest first.
        span: The run's start, and its end where it has ended.
        now: The time, up to which a run that goes on is recorded.
    """
    start, end = span
    recorder = _Recorder(KeeperState(namespace=namespace), start)
    for at, value in recorded:
        recorder.take(at, value)
    recorder.advance(end or now)
    return KeeperRecord(
        namespace=namespace,
        run=run,
        start=start,
        end=end,
        baseline=None if recorder.state.doubt else recorder.state.baseline,
        leases=tuple(recorder.leases.values()),
        capacities=tuple(recorder.capacities),
    )


@dataclass
class _Recorder:
    """Follows the state of a run, and notes what comes of each lease, and each capacity.

    *before* is when the value before the current one was recorded. *ended* are leases that have
    ended since the last observation, which may be of a time before their end.
    """

    state: KeeperState
    before: datetime
    leases: dict[str, LeaseRecord] = field(default_factory=dict)
    capacities: list[CapacityInForce] = field(default_factory=list)
    ended: list[Lease] = field(default_factory=list)

    def advance(self, now: datetime) -> None:
        """End the leases that have ended by *now*, one after the other."""
        known = (*self.state.leases, *self.state.released)
        for end in sorted({lease.until for lease in known if lease.until <= now}):
            self._go(transitions.expire(self.state, end), end)

    def take(self, at: datetime, value: Recorded) -> None:
        """Go on with what was recorded at *at*."""
        self.advance(at)
        after = after_recorded(self.state, value, at)
        match value:
            case Observation():
                self._observe(value, after, at)
            case BaselineFound(observation=seen):
                self._go(after, at)
                self._put(seen.found, self._since(seen.found_since, at))
            case LeaseRequest():
                self._go(after, at, fires=value.fires)
            case ReleaseRequest():
                self._release(value, after, at)
            case KeeperInput() | Recovered():
                self._go(after, at, is_taken_over=True)
                if after.in_force is not None:
                    self._put(after.in_force, at)
                self._judge(self.state.leases, at)
            case Cancelled():
                self._go(after, at, released_by=CANCELLED_BY)
            case ReconcileInput() | FloorTask() | FloorSeen():
                self._go(after, at)
        self.before = at

    def _observe(self, seen: Observation, after: KeeperState, at: datetime) -> None:
        """Note what was in force before the activity did anything, and what is after it."""
        is_external = transitions.is_external_change(self.state, seen)
        is_replaced = seen.found != seen.capacity
        if is_external and is_replaced:
            self._put(seen.found, self._since(seen.found_since, at), external=True)
            self.state = replace(self.state, in_force=seen.found, pending=())
            self._judge_all(self.capacities[-1].at)
        elif is_replaced and not self.capacities:
            self._put(seen.found, self.before)
        self._go(after, at)
        since = self._since(seen.since, at)
        self._put(seen.capacity, since, external=is_external and not is_replaced)
        self._judge_all(since)

    def _release(self, request: ReleaseRequest, after: KeeperState, at: datetime) -> None:
        """Note the leases that *request* ends, and the one that it refuses before it came."""
        by, lease = request.by, request.lease
        self._go(after, at, released_by=by or "an operator")
        if request.undo:
            self.leases.pop(request.key, None)
        elif lease is not None and lease.key not in self.leases and lease.until > at:
            refused = _of_lease(lease)
            self.leases[lease.key] = replace(refused, ended_at=at, released_by=by, shared=True)

    def _go(
        self,
        after: KeeperState,
        at: datetime,
        *,
        released_by: str = "",
        is_taken_over: bool = False,
        fires: datetime | None = None,
    ) -> None:
        """Go on with the state *after*: note which leases came, which changed, which went."""
        before = {lease.key: lease for lease in self.state.leases}
        held = {lease.key: lease for lease in after.leases}
        self.state = after
        successors = {key: lease for lease in after.leases for key in lease.replaced}
        for key, lease in before.items():
            if key in held:
                continue
            known = self.leases[key]
            if key in successors:
                new = successors[key]
                self.leases[new.key] = _of_lease(new, self.leases.pop(key))
            else:
                by = released_by if at < lease.until else ""
                self.ended.append(lease)
                self.leases[key] = replace(
                    known, ended_at=min(at, lease.until), released_by=by, shared=self._is_shared
                )
        changed = [lease for key, lease in held.items() if before.get(key) != lease]
        for lease in changed:
            fresh = LeaseRecord(
                **_basics(lease), fires=fires, granted_at=None if is_taken_over else at
            )
            known = self.leases.get(lease.key, fresh)
            self.leases[lease.key] = _of_lease(lease, known if not known.ended_at else fresh)
        if not is_taken_over:
            self._judge(changed, at)

    def _put(self, capacity: Capacity, at: datetime, *, external: bool = False) -> None:
        """Note the *capacity* in force from *at* on, where it is another than before."""
        if not self.capacities or self.capacities[-1].capacity != capacity:
            self.capacities.append(CapacityInForce(at, capacity, external))

    def _since(self, since: datetime | None, at: datetime) -> datetime:
        """Return *since*, as the Cloud API has it, where it can be true; else *at*."""
        earliest = self.capacities[-1].at if self.capacities else None
        if since is None or (earliest is not None and since <= earliest):
            return at
        return min(since, at)

    def _judge_all(self, at: datetime) -> None:
        """Note what each lease has from *at* on, those that have ended only since included."""
        now = self.state
        ends = {key: known.ended_at for key, known in self.leases.items() if known.ended_at}
        late = [lease for lease in self.ended if ends.get(lease.key, at) > at]
        self.state = replace(now, leases=(*now.leases, *late))
        self._judge(self.state.leases, at)
        self.state, self.ended = now, late

    def _judge(self, leases: Iterable[Lease], at: datetime) -> None:
        """Note what each of *leases* has from *at* on, where that is something else."""
        for lease in leases:
            known = self.leases[lease.key]
            since = max(filter(None, (at, known.granted_at)))
            has = self._held(lease, since)
            last = known.held[-1] if known.held else HeldCapacity(since, None)
            if replace(has, at=last.at) != last:
                self.leases[lease.key] = replace(known, held=(*known.held, has))

    def _held(self, lease: Lease, at: datetime) -> HeldCapacity:
        """Return what *lease* has from *at* on."""
        state = self.state
        if state.in_force is None or state.baseline is None:
            return HeldCapacity(at, None)
        full, there = state.targets_of(lease)
        least = min(state.aps_of(one) for one in (state.in_force, *state.pending))
        if least < state.aps_of(there.capacity):
            return HeldCapacity(at, None)
        if state.aps_of(there.capacity) < state.aps_of(full.capacity):
            reason = f"the Cloud had {state.options.available or 0:g} TRU of {full.capacity}"
            return HeldCapacity(at, there.capacity, "inventory", reason)
        return HeldCapacity(
            at,
            there.capacity,
            "rails" if full.falls_short else "",
            full.reason if full.falls_short else "",
        )

    @property
    def _is_shared(self) -> bool:
        """Whether no revert follows what has just ended."""
        state = self.state
        if state.in_force is None or state.baseline is None:
            return False
        wanted = state.aps_of(state.target.capacity)
        return wanted >= state.aps_of(state.in_force) or state.leaves_alone(state.in_force)


def _basics(lease: Lease) -> dict[str, Any]:
    """Return what a record has of the *lease* itself."""
    shared = {one.name for one in fields(Lease)} & {one.name for one in fields(LeaseRecord)}
    return {name: getattr(lease, name) for name in shared}


def _of_lease(lease: Lease, known: LeaseRecord | None = None) -> LeaseRecord:
    """Return the record of *lease*, which goes on with what is *known* of it."""
    basics = _basics(lease)
    return LeaseRecord(**basics) if known is None else replace(known, **basics)
