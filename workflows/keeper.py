"""The keeper workflow of a namespace: the only writer of its capacity.

Level-triggered: after every lease, end, release or fault it computes the target and reconciles
the capacity with it, one change in flight. It ends when no lease is active and the baseline is
in force again, and for no other reason.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows import (
        activity_types,
        keeper_state,
        ui_text,
    )
    from workflows import keeper_transitions as transitions
    from workflows.activity_types import KeeperInput, Observation, ReconcileInput, RecoverState
    from workflows.contract import (
        DECLARE_SIGNAL,
        KEEPER_WORKFLOW,
        LEASE_UPDATE,
        LOOK_SIGNAL,
        NOT_NOW,
        RELEASE_UPDATE,
        RETRY_SIGNAL,
        STATUS_QUERY,
        Capacity,
        KeeperStatus,
        Lease,
        LeaseAnswer,
        LeaseRequest,
        ReleaseRequest,
        parse_instant,
    )
    from workflows.floors import FloorSeen, FloorState, FloorTask, floor_by_name
    from workflows.keeper_state import Declaration, KeeperState

OTHER_PATCH = "the-other-declaration-stays"
"""Marks where a declaration comes again, and leaves that of another project.

Earlier releases forgot that one then, until a boost of its project was requested again.
"""

RESET_PATCH = "a-reset-run-recovers-state"
"""Marks where a run that was reset recovers its state: at its very beginning.

A run that was reset to a later point replays what came before it. That history has no recovery,
and without the marker none is replayed into it.
"""

ENDED_PATCH = "ended-leases-declare-nothing"
"""Marks where a run recovers a state with leases that have ended meanwhile, and leaves them out.

Earlier releases let them decide under which project's declaration the next lease was granted.
"""

GROWN_PATCH = "a-failed-floor-hands-over"
"""Marks where a run hands over since it has grown with attempts at a floor.

Earlier releases asked that only once the floor was settled, or a lease came.
"""

_ONCE = RetryPolicy(maximum_attempts=1)

_RECOVERY_RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=activity_types.RECOVERY_ATTEMPTS,
)


@workflow.defn(name=KEEPER_WORKFLOW, failure_exception_types=[workflow.NondeterminismError])
class CapacityKeeper:
    """Keeps one namespace at the target of its active leases, else at its baseline.

    A run whose history the worker's release can't replay fails at once: the next lease request
    or the watchdog starts its successor, which recovers the state (decision 13).
    """

    @workflow.init
    def __init__(self, start: KeeperInput) -> None:
        self._broken_run = start.broken_run
        # A run that a reset made replays another one under an id of its own.
        info = workflow.info()
        self._is_reset = info.original_execution_run_id not in ("", info.run_id)
        self._is_recovering = bool(self._broken_run) or self._is_reset
        self._state = (
            start.state.unpacked
            if start.state
            else KeeperState(
                namespace=start.namespace, observe_every_seconds=start.observe_every_seconds
            )
        )
        self._failures = 0
        self._stalls = 0
        self._attempts = 0
        self._updates = 0
        self._updates_per_run = start.updates_per_run
        self._max_waiting_updates = start.max_waiting_updates
        self._waiting_updates = 0
        self._key = ""
        self._key_for: Capacity | None = None
        self._has_news = False
        self._is_sleeping = False
        self._is_rate_limited = False
        self._is_leaving = False
        self._wakes_at: datetime | None = None
        self._floor_loops: dict[str, asyncio.Task[None]] = {}
        self._floor_attempts: dict[str, int] = {}
        self._floors_asleep: dict[str, FloorState] = {}
        self._has_successor = False
        self._is_handing_over = False

    @workflow.run
    async def run(self, start: KeeperInput) -> str:
        """Keep the namespace until no lease is active, and return how that ended.

        A cancel releases every lease first: the keeper restores the baseline, however long
        that takes, and then ends as cancelled.
        """
        keeping = asyncio.create_task(self._keep())
        try:
            await asyncio.shield(keeping)
        except asyncio.CancelledError:
            ended = transitions.release(self._state, lambda _: True)
            self._change(replace(ended, cancelled=True))
            await keeping
            raise
        return ui_text.keeper_result(self._state)

    # Updates and queries

    @workflow.update(name=LEASE_UPDATE)
    async def lease(self, request: LeaseRequest) -> LeaseAnswer:
        """Grant a lease, and answer once it is covered or an attempt at that has ended.

        The lease is recorded before anything else. One that isn't covered yet when the answer
        comes is requested again, which renews nothing and costs nothing.
        """
        self._updates += 1
        if request.replaces:  # which may be a lease of a run that broke off
            await workflow.wait_condition(lambda: not self._broken_run)
        granted = transitions.grant(self._state, request, workflow.now())
        if (
            granted.holds(request.lease)
            and granted.other is not None
            and granted.other is self._state.other
            and transitions.declares_again(self._state, request)
            and not workflow.patched(OTHER_PATCH)
        ):
            granted = replace(granted, other=None)
        self._change(granted)
        has_room = self._waiting_updates < self._max_waiting_updates
        held = transitions.lease_or_successor(self._state, request.lease.key)
        if held is not None and has_room:
            await self._until_answered(request.lease)
        answer = self._answer(request.lease)
        self._has_successor |= self._state.cancelled and answer.granted
        return answer

    @lease.validator
    def _check_lease(self, request: LeaseRequest) -> None:
        namespace, lease = self._state.namespace, request.lease
        if request.namespace != namespace:
            raise _refusal(f"this keeper is for {namespace}, not {request.namespace}")
        self._check_room(lease)
        if lease.tru < 0 or (not lease.tru and not lease.workers):
            raise _refusal(f"a lease of {lease.tru} TRU requests nothing; request 2 or more")
        if not lease.key:
            raise _refusal("a lease needs a key, such as payroll@2027-01-15T05:00:00Z")
        if lease.until.tzinfo is None or lease.until <= lease.start:
            raise _refusal(f"a lease until {lease.until} ends before it starts")

    def _check_room(self, lease: Lease) -> None:
        """Refuse what would make this run too long to be replayed, or its state too large.

        Only for now: a refused request leaves no trace in the history, and is repeated.
        """
        if self._is_full:
            raise _not_now("this run of the keeper is full, and hands over to the next")
        known = len(self._state.leases) + len(self._state.released)
        if known >= keeper_state.MAX_LEASES and not self._state.holds(lease):
            raise _not_now(f"{known} leases are as many as a namespace may have at once")

    @workflow.update(name=RELEASE_UPDATE)
    async def release(self, request: ReleaseRequest) -> tuple[Lease, ...]:
        """Release leases before their end, and return those that were active."""
        self._updates += 1
        await workflow.wait_condition(lambda: not self._is_recovering)
        ended = [lease for lease in self._state.leases if transitions.is_meant(lease, request)]
        self._change(transitions.release_requested(self._state, request, workflow.now()))
        return tuple(ended)

    @workflow.signal(name=RETRY_SIGNAL)
    def retry(self) -> None:
        """End the wait after a fault, unless that was a rate limit: it may have been mended."""
        self._has_news = True

    @workflow.signal(name=LOOK_SIGNAL)
    def look(self) -> None:
        """Observe the namespace at the next step, and restore what has to be in force."""
        self._state = replace(self._state, needs_observation=True)
        self._has_news = True

    @workflow.signal(name=DECLARE_SIGNAL)
    def declare(self, declaration: Declaration) -> None:
        """Observe the namespace at the next step, and go to the baseline that is declared by now.

        It comes where nothing but a skipped occurrence keeps this run: no lease brings what its
        calendar declares.
        """
        self._state = transitions.go_to_declared(self._state, declaration)
        self._has_news = True

    @workflow.query(name=STATUS_QUERY)
    def status(self, at: str = "") -> KeeperStatus:
        """Return the status at the caller's time *at*, such as ``2027-01-31T23:00:00Z``."""
        return ui_text.keeper_status(self._state, parse_instant(at) if at else workflow.now())

    @workflow.query(name=activity_types.STATE_QUERY)
    def state(self) -> KeeperState:
        """Return the whole state, for a successor to go on with."""
        return self._state.to_hand_over

    # Reconciling

    async def _keep(self) -> None:
        """Observe and reconcile until nothing is left to do."""
        await self._recover()
        self._drive_floors()
        while True:
            self._has_news = False
            self._state = transitions.expire(self._state, workflow.now())
            if self._is_done:
                await self._let_updates_finish()
                if self._is_done and not self._is_reset:
                    return
                if self._is_done:
                    # A run that was reset observes once more before it ends: the point it was
                    # reset to, and with it what it knows, may be long ago.
                    self._is_reset = False
                    self._state = replace(self._state, needs_observation=True)
            if self._is_to_hand_over:
                await self._hand_over()
            self._describe()
            await self._step()

    async def _step(self) -> None:
        """Do the next thing: find the baseline, reconcile, or sleep until something is due."""
        now = workflow.now()
        if self._state.baseline is None and self._state.needs_baseline:
            await self._find_baseline()
            return
        due = transitions.next_due(self._state)
        if self._state.is_settled and due is None and self._has_open_floors:
            self._wakes_at = None
            await workflow.wait_condition(lambda: self._has_news or not self._has_open_floors)
            return
        if self._state.is_settled and due is not None and due > now:
            await self._sleep(due - now, "until the next end or observation")
            return
        if self._state.is_settled:
            self._state = transitions.clear_shortage(self._state)
        await self._reconcile()

    async def _find_baseline(self) -> None:
        """Observe the capacity in force before the first change: it is what is restored.

        The result of the activity puts it on record in the history, from where
        `workflows.activities.keeper` reads it if this run should break off.
        """
        try:
            observation = await self._run_activity(
                activity_types.OBSERVE, self._state.namespace, "Find the baseline"
            )
        except ActivityError as error:
            await self._back_off(error)
            return
        self._failures = 0
        if self._state.baseline is None:
            known = transitions.bind(self._state, observation)
            self._state = transitions.record_baseline(known, observation.found, observation.request)

    async def _reconcile(self) -> None:
        """Take one step to the target, and record what is in force after it."""
        before = self._state
        target = before.target.capacity
        requested = transitions.record_request(self._state, target)
        self._state = transitions.record_target(requested, workflow.now())
        self._describe()
        if not self._key or self._key_for != target:
            self._key, self._key_for = self._new_key(target), target
        task = ReconcileInput(state=self._state.for_reconcile, key=self._key)
        summary = ui_text.change_summary(self._state, target)
        try:
            observation = await self._run_activity(activity_types.RECONCILE, task, summary)
        except ActivityError as error:
            await self._back_off(error)
            return
        self._key = ""
        self._failures = 0
        await self._record(observation, before)
        await self._slow_down_if_stalled(before)

    async def _record(self, observation: Observation, before: KeeperState) -> None:
        """Record an observation; wait a moment where its change is still pending.

        The first look at a namespace, which only tells where it is, is no attempt yet: answered
        after it, a lease would be requested a second time.
        """
        self._state = transitions.record(self._state, observation, workflow.now())
        is_first_look = not before.cloud and before.in_force is None and bool(observation.cloud)
        if not is_first_look:
            self._attempts += 1
        if observation.waits_for:
            self._state = replace(self._state, fault=observation.waits_for)
            await self._sleep(transitions.PENDING, observation.waits_for)

    async def _slow_down_if_stalled(self, before: KeeperState) -> None:
        """Wait, longer each time, where an attempt ended well and changed nothing.

        It does where a worker of another release works out another target: without a wait the
        keeper would ask it again and again, and each attempt is an Action.
        """
        if not transitions.is_stalled(before, self._state):
            self._stalls = 0
            return
        self._stalls += 1
        message = "an attempt changed nothing: does a worker of another release run?"
        self._state = replace(self._state, fault=message)
        stalled = transitions.Fault("Stalled", message)
        await self._sleep(
            transitions.delay(stalled, self._stalls, workflow.random().random()), message
        )

    def _new_key(self, target: Capacity) -> str:
        """Return a new id for the request of *target*; it tells a successor the baseline."""
        known = self._state
        return keeper_state.compose_id(
            known.namespace,
            ui_text.change_name(known),
            target,
            None if known.doubt else known.baseline,
            workflow.uuid4().hex[:12],
        )

    async def _run_activity(self, name: str, argument: object, summary: str) -> Observation:
        """Run one attempt of an activity that observes the namespace."""
        self._wakes_at = workflow.now() + activity_types.ATTEMPT_TIMEOUT
        observation: Observation = await workflow.execute_activity(
            name,
            argument,
            result_type=Observation,
            start_to_close_timeout=activity_types.ATTEMPT_TIMEOUT,
            heartbeat_timeout=activity_types.HEARTBEAT_TIMEOUT,
            retry_policy=_ONCE,
            summary=summary,
        )
        return observation

    async def _back_off(self, error: ActivityError) -> None:
        """Record the fault and wait, longer each time; a new lease, end or release ends the wait.

        After a rate limit nothing ends it early.
        """
        fault = transitions.fault_of(error)
        self._failures += 1
        self._attempts += 1
        if fault.is_definite:
            self._key = ""
        workflow.logger.warning("%s: %s", self._state.namespace, fault.message)
        delay = transitions.delay(fault, self._failures, workflow.random().random())
        self._is_rate_limited = fault.is_rate_limit
        end = transitions.next_end(self._state)
        if end is not None and not self._is_rate_limited:
            delay = max(min(delay, end - workflow.now()), timedelta(seconds=1))
        self._state = replace(self._state, fault=fault.message, retry_at=workflow.now() + delay)
        self._describe()
        await self._sleep(delay, fault.message)
        self._is_rate_limited = False
        self._state = replace(self._state, retry_at=None)

    async def _sleep(self, length: timedelta, why: str) -> None:
        """Sleep for *length*, or until a lease comes or goes."""
        self._is_sleeping = True
        self._wakes_at = workflow.now() + length
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: self._is_roused or self._is_done,  # its last floor may be given back
                timeout=length,
                timeout_summary=why[:200],
            )
        self._is_sleeping = False

    @property
    def _is_roused(self) -> bool:
        """Whether there is something new to act upon, and no rate limit forbids it."""
        return self._has_news and not self._is_rate_limited

    # Floors of pushed fleets, each in a loop of its own

    def _drive_floors(self) -> None:
        """See that each floor that the leases require, or that is raised, has its loop."""
        for floor in self._state.floors:
            name = floor.fleet.name
            loop = self._floor_loops.get(name)
            if loop is None or loop.done():
                self._floor_loops[name] = asyncio.create_task(self._keep_floor(name))

    async def _keep_floor(self, name: str) -> None:
        """Keep the floor of one fleet where the leases require it, until it is given back.

        No fault of it delays the TRU, or another fleet, nor do theirs delay it.
        """
        failures = 0
        while True:
            self._state = transitions.expire(self._state, workflow.now())
            floor = self._floor(name)
            if floor is None:
                return
            due = transitions.floor_due(self._state, floor, workflow.now())
            if self._is_handing_over or due is None or due > workflow.now():
                await self._until_floor_is_due(floor, due)
                continue
            failures = await self._set_floor(floor, failures)

    async def _set_floor(self, floor: FloorState, failures: int) -> int:
        """Take one step to the floor that is wanted; return how many have failed in a row."""
        name = floor.fleet.name
        task = FloorTask(
            namespace=self._state.namespace,
            fleet=floor.fleet,
            wanted=floor.wanted,
            mark=floor.mark,
            windows=transitions.windows_of(self._state, name),
        )
        self._state = transitions.attempt_floor(self._state, name)
        try:
            seen: FloorSeen = await workflow.execute_activity(
                activity_types.FLOOR,
                task,
                result_type=FloorSeen,
                start_to_close_timeout=activity_types.FLOOR_TIMEOUT,
                retry_policy=_ONCE,
                summary=ui_text.floor_summary(task),
            )
        except ActivityError as error:
            self._floor_failed(name, error, failures + 1)
            return failures + 1
        finally:
            self._floor_attempts[name] = self._floor_attempts.get(name, 0) + 1
        self._state = transitions.record_floor(self._state, seen, workflow.now())
        self._describe()
        return 0

    def _floor_failed(self, name: str, error: ActivityError, failures: int) -> None:
        """Record the fault, and when to try again: later each time."""
        fault = transitions.fault_of(error)
        workflow.logger.warning("%s: %s: %s", self._state.namespace, name, fault.message)
        retry_at = workflow.now() + transitions.delay(fault, failures, workflow.random().random())
        self._state = transitions.floor_failed(self._state, name, fault.message, retry_at)
        if self._is_to_hand_over and workflow.patched(GROWN_PATCH):
            self._has_news = True  # nothing else may wake the keeper for as long as this fails
        self._describe()

    async def _until_floor_is_due(self, floor: FloorState, due: datetime | None) -> None:
        """Wait until *due*, or until what is wanted of the floor has changed.

        The loop of the TRU wakes at each end, and each timer is an Action: this sets one of its own
        only where that loop may wake too late.
        """
        name = floor.fleet.name

        def has_changed() -> bool:
            return self._has_changed(floor)

        def is_woken_in_time() -> bool:
            wakes_at, now = self._wakes_at, workflow.now()
            return wakes_at is not None and due is not None and now <= wakes_at <= due

        self._floors_asleep[name] = floor
        try:
            if due is None or self._is_handing_over:
                await workflow.wait_condition(has_changed)
            elif is_woken_in_time():
                await workflow.wait_condition(
                    lambda: has_changed() or workflow.now() >= due or not is_woken_in_time()
                )
            else:
                with suppress(asyncio.TimeoutError):  # or no longer than it is needed
                    await workflow.wait_condition(
                        lambda: has_changed() or is_woken_in_time(),
                        timeout=due - workflow.now(),
                        timeout_summary=f"until the floor of {name} is due"[:200],
                    )
        finally:
            del self._floors_asleep[name]

    def _has_changed(self, floor: FloorState) -> bool:
        """Whether there is something new to do since *floor*, whose loop sleeps, was looked at."""
        known = self._floor(floor.fleet.name)
        if known is None or known.wanted != floor.wanted:
            return True
        return known.needs_look and not floor.needs_look  # of a run that was recovered

    def _floor(self, name: str) -> FloorState | None:
        return floor_by_name(self._state.floors, name)

    @property
    def _has_open_floors(self) -> bool:
        """Whether a floor has something left to do: a window that runs, or the way back."""
        return any(not one.is_settled or one.wanted is not None for one in self._state.floors)

    @property
    def _is_at_a_floor(self) -> bool:
        """Whether a step of a floor is under way."""
        return any(one.is_attempted for one in self._state.floors)

    # Beginning, handing over and ending

    async def _recover(self) -> None:
        """Take over the state of a terminated or failed run, or of the one that was reset.

        Until that is known nothing is lowered, nor raised: the leases of that run still hold what
        is in force. Lease requests are recorded meanwhile, and answered afterwards. A run that no
        attempt can read is given up as lost, or its successor would hold nothing ever after.
        """
        task = self._recovery()
        if task is not None:
            try:
                old: KeeperState | None = await workflow.execute_activity(
                    activity_types.RECOVER_STATE,
                    task,
                    result_type=KeeperState | None,  # type: ignore[arg-type]
                    start_to_close_timeout=activity_types.ATTEMPT_TIMEOUT,
                    heartbeat_timeout=activity_types.HEARTBEAT_TIMEOUT,
                    retry_policy=_RECOVERY_RETRIES,
                    summary="Recover the state of the run before this one",
                )
            except ActivityError as error:
                workflow.logger.warning("%s: %s", self._state.namespace, error.cause)
                old = None
            known = old and old.unpacked
            left = known and transitions.without_ended(known, workflow.now())
            if left is not known and workflow.patched(ENDED_PATCH):
                known = left
            self._state = transitions.recover(self._state, known)
        self._broken_run = ""
        self._is_recovering = False

    def _recovery(self) -> RecoverState | None:
        """Return which run's state is to be taken over; None if there is none."""
        namespace = self._state.namespace
        # One that was reset may have been a successor, and have recovered what was before it.
        if self._is_reset and workflow.patched(RESET_PATCH):
            return RecoverState(namespace=namespace, run=workflow.info().run_id, is_reset=True)
        if self._broken_run:
            return RecoverState(namespace=namespace, run=self._broken_run)
        return None

    @property
    def _is_done(self) -> bool:
        """Whether nothing is left to do, and no released lease has to be remembered.

        A keeper that was cancelled leaves what is left to its successor as soon as that has a
        lease to grant: a cluster or a Cloud that is away would keep the next window waiting.
        """
        known = self._state
        if self._has_successor and not self._is_at_a_floor:
            return True
        remembers = bool(known.released) and not known.cancelled
        in_doubt = bool(known.doubt) and not known.cancelled
        if self._has_open_floors:
            return False
        return not known.leases and known.is_settled and not remembers and not in_doubt

    @property
    def _is_to_hand_over(self) -> bool:
        """Whether the run has grown enough, and no change is about to succeed."""
        if self._failures == 0 and not self._state.is_settled and not self._is_full:
            return False
        suggested = workflow.info().is_continue_as_new_suggested()
        return suggested or self._updates >= self._updates_per_run

    @property
    def _is_full(self) -> bool:
        """Whether the run has taken as many updates as a replay of it may cost."""
        return self._updates >= self._updates_per_run * keeper_state.FULL_FACTOR

    async def _let_updates_finish(self) -> None:
        """Answer every waiting lease request."""
        self._is_leaving = True
        self._wakes_at = None
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._is_leaving = False

    async def _hand_over(self) -> None:
        """Continue as a new run with the whole state, once no update is waiting."""
        self._is_handing_over = True
        await self._let_updates_finish()
        if self._is_at_a_floor:
            await workflow.wait_condition(lambda: not self._is_at_a_floor)
        following = KeeperInput(
            namespace=self._state.namespace,
            state=self._state.to_hand_over,
            updates_per_run=keeper_state.UPDATES_PER_RUN,
            max_waiting_updates=keeper_state.MAX_WAITING_UPDATES,
        )
        workflow.continue_as_new(following)

    # Answers

    def _change(self, state: KeeperState) -> None:
        """Go on with *state*; wake the keeper if that changes anything."""
        if state != self._state:
            self._state = transitions.with_floors(state, workflow.now())
            self._has_news = True
            if not self._is_recovering:  # what it learns then may say that a lease was released
                self._drive_floors()
            self._describe()

    async def _until_answered(self, lease: Lease) -> None:
        """Wait until *lease* is covered, or the keeper no longer tries to cover it.

        Without a timer of its own: an attempt ends by itself.
        """
        attempt = self._attempts
        floor_attempts = {
            one.fleet.name: self._floor_attempts.get(one.fleet.name, 0)
            for one in self._state.floors
            if one.fleet.name in lease.workers
        }
        self._waiting_updates += 1
        try:
            await workflow.wait_condition(
                lambda: (
                    self._state.covers(
                        transitions.lease_or_successor(self._state, lease.key) or lease
                    )
                    or self._is_leaving
                    or (
                        (self._attempts != attempt or (self._is_sleeping and not self._is_roused))
                        and self._have_been_tried(floor_attempts)
                    )
                )
            )
        finally:
            self._waiting_updates -= 1

    def _have_been_tried(self, attempts: dict[str, int]) -> bool:
        """Tell whether each of these floors is covered, tried once more than before, or put off.

        One whose loop sleeps until its next attempt has failed: an answer doesn't wait for that.
        """
        return all(
            (floor := self._floor(name)) is None
            or floor.is_covered
            or self._floor_attempts.get(name, 0) != before
            or ((asleep := self._floors_asleep.get(name)) and not self._has_changed(asleep))
            for name, before in attempts.items()
        )

    def _answer(self, lease: Lease) -> LeaseAnswer:
        """Return how far *lease* is covered, and whether to request it again if it isn't."""
        known = self._state
        held = transitions.lease_or_successor(known, lease.key)
        has_ended = lease.until <= workflow.now() or transitions.was_released(known, lease.key)
        return LeaseAnswer(
            # The successor of a cancelled keeper grants what comes while this one ends.
            granted=held is not None or (known.cancelled and not has_ended),
            in_force=held is not None and known.covers(held),
            capacity=known.in_force,
            until=held.until if held else lease.until,
            message=ui_text.lease_answer(known, held)
            if held
            else ui_text.lease_denial(known, lease),
        )

    def _describe(self) -> None:
        workflow.set_current_details(ui_text.keeper_details(self._state, workflow.now()))


def _not_now(message: str) -> ApplicationError:
    """Return the refusal of a request that is to be repeated."""
    return ApplicationError(message, type=NOT_NOW)


def _refusal(message: str) -> ApplicationError:
    """Return the refusal of a request that no retry changes."""
    return ApplicationError(message, type=activity_types.REFUSED, non_retryable=True)
