"""The keeper of a namespace: the only writer of its capacity.

Level-triggered: after every lease, end, release or fault it looks at what should be in
force and drives there, one change in flight. It ends when nothing is claimed and the
baseline is in force again, and never for another reason.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows import (
        activity_types,
        backoff,
        keeper_state,
        operation_ids,
        ui_text,
    )
    from workflows import keeper_transitions as transitions
    from workflows.activity_types import Drive, KeeperInput, Recall, Sight
    from workflows.contract import (
        KEEPER_WORKFLOW,
        LEASE_UPDATE,
        RELEASE_UPDATE,
        STATUS_QUERY,
        Capacity,
        KeeperStatus,
        Lease,
        LeaseAnswer,
        LeaseRequest,
        ReleaseRequest,
        parse_instant,
    )
    from workflows.keeper_state import Ledger

WAIT_PATCH = "only-a-rate-limit-forbids-to-look"
"""Keepers that waited for as long as any server told them go on as they were recorded."""

RESET_PATCH = "a-reset-run-takes-over"
"""Recorded by a run that was reset to its beginning, before it has done anything else; one
that was reset to a later point goes on as it was recorded."""

_ONCE = RetryPolicy(maximum_attempts=1)


@workflow.defn(name=KEEPER_WORKFLOW)
class CapacityKeeper:
    """Keeps one namespace at what its leases ask for, else at its baseline."""

    @workflow.init
    def __init__(self, start: KeeperInput) -> None:
        self._broken_run = start.broken_run
        self._is_reset = _was_made_by_a_reset(workflow.info())
        self._is_recovering = bool(self._broken_run) or self._is_reset
        self._ledger = (
            start.ledger.unpacked
            if start.ledger
            else Ledger(namespace=start.namespace, look_every_seconds=start.look_every_seconds)
        )
        self._failures = 0
        self._attempts = 0
        self._updates = 0
        self._updates_a_run = start.updates_a_run
        self._waiting = 0
        self._key = ""
        self._key_for: Capacity | None = None
        self._woken = False
        self._resting = False
        self._is_told_to_wait = False
        self._leaving = False

    @workflow.run
    async def run(self, start: KeeperInput) -> str:
        """Keep the namespace until nothing is claimed, and say how it ended.

        A cancel ends every claim first: the keeper goes back to the baseline, however
        long that takes, and then ends as cancelled.
        """
        keeping = asyncio.create_task(self._keep())
        try:
            await asyncio.shield(keeping)
        except asyncio.CancelledError:
            self._give_up()
            await keeping
            raise
        return ui_text.farewell(self._ledger)

    # What others ask of it

    @workflow.update(name=LEASE_UPDATE)
    async def lease(self, request: LeaseRequest) -> LeaseAnswer:
        """Take a claim, and answer once it is covered or an attempt to has ended.

        The claim is recorded before anything else; a claim that isn't covered yet when
        the answer comes is asked for again, which renews nothing and costs nothing.
        """
        self._updates += 1
        if request.replaces:  # which may be a lease of a run that broke off
            await workflow.wait_condition(lambda: not self._broken_run)
        self._change(transitions.grant(self._ledger, request, workflow.now()))
        if self._ledger.holds(request.lease) and self._waiting < keeper_state.WAITING_UPDATES:
            await self._until_answered(request.lease)
        return self._answer(request.lease)

    @lease.validator
    def _check_lease(self, request: LeaseRequest) -> None:
        if request.namespace != self._ledger.namespace:
            raise _refusal(f"this keeper keeps {self._ledger.namespace}, not {request.namespace}")
        self._check_room(request.lease)
        claim = request.lease
        if claim.tru <= 0:
            raise _refusal(f"a claim of {claim.tru} TRU asks for nothing; ask for 2 or more")
        if not claim.key:
            raise _refusal("a claim needs a key, such as payroll@2027-01-15T05:00:00Z")
        if claim.until.tzinfo is None or claim.until <= claim.start:
            raise _refusal(f"a claim until {claim.until} ends before it starts")

    def _check_room(self, lease: Lease) -> None:
        """Refuse what would make this run too long to be replayed, or its state too large.

        For a while only: what is refused leaves no trace, and comes again.
        """
        if self._is_full:
            raise _not_now("this run of the keeper is full, and hands over to the next")
        known = len(self._ledger.leases) + len(self._ledger.released)
        if known >= keeper_state.LEASES and not self._ledger.holds(lease):
            raise _not_now(f"{known} leases are as many as a namespace may have at once")

    @workflow.update(name=RELEASE_UPDATE)
    async def release(self, request: ReleaseRequest) -> tuple[Lease, ...]:
        """End claims before their time, and return those that were ended."""
        self._updates += 1
        await workflow.wait_condition(lambda: not self._is_recovering)
        ended = [lease for lease in self._ledger.leases if _is_meant(lease, request)]
        known = transitions.release(self._ledger, lambda lease: _is_meant(lease, request))
        if request.lease is not None:
            known = transitions.refuse(known, request.lease, workflow.now())
        self._change(known)
        return tuple(ended)

    @workflow.query(name=STATUS_QUERY)
    def status(self, at: str = "") -> KeeperStatus:
        """Tell what is known; *at* is the asker's time, as ``2027-01-31T23:00:00Z``."""
        now = parse_instant(at) if at else workflow.now()
        known = self._ledger
        return KeeperStatus(
            namespace=known.namespace,
            state=transitions.state_of(known, now),
            capacity=known.in_force,
            target=known.target.capacity if known.baseline is not None else None,
            baseline=None if known.doubt else known.baseline,
            baseline_declared=known.baseline_declared,
            leases=known.leases,
            details=ui_text.details(known, now),
        )

    @workflow.query(name=activity_types.LEDGER_QUERY)
    def known(self) -> Ledger:
        """Return everything, for a successor to go on with."""
        return self._ledger.to_hand_over

    # What it does

    async def _keep(self) -> None:
        """Look and drive until nothing is left to keep."""
        await self._recall()
        while True:
            self._woken = False
            self._ledger = transitions.expire(self._ledger, workflow.now())
            if self._is_done:
                await self._leave()
                if self._is_done and not self._is_reset:
                    return
                if self._is_done:
                    self._look_again()
            if self._turns_over:
                await self._turn_over()
            self._describe()
            await self._step()

    async def _step(self) -> None:
        """Do the one next thing: find the baseline, drive, or rest until something is due."""
        now = workflow.now()
        if self._ledger.baseline is None and self._ledger.needs_a_baseline:
            await self._find_baseline()
            return
        due = transitions.next_look(self._ledger)
        if self._ledger.is_settled and due is not None and due > now:
            await self._rest(due - now, "until the next end or look")
            return
        if self._ledger.is_settled:
            self._ledger = transitions.hope(self._ledger)
        await self._drive()

    async def _find_baseline(self) -> None:
        """Record what is in force before the first change: it is what comes back.

        The record is the look's result in the history, see `workflows.activities.keeper`.
        """
        try:
            sight = await self._activity(
                activity_types.OBSERVE, self._ledger.namespace, "Find the baseline"
            )
        except ActivityError as error:
            await self._back_off(error)
            return
        self._failures = 0
        if self._ledger.baseline is None:
            self._ledger = transitions.find_baseline(self._ledger, sight.found, sight.request)

    async def _drive(self) -> None:
        """Take one step to the target, and note what is in force after it."""
        now = workflow.now()
        wanted = self._ledger.target.capacity
        self._ledger = transitions.aim(transitions.write(self._ledger, wanted), now)
        self._describe()
        if not self._key or self._key_for != wanted:
            self._key, self._key_for = self._new_key(wanted), wanted
        try:
            order = Drive(
                ledger=self._ledger.for_a_step, key=self._key, running=len(self._ledger.leases)
            )
            sight = await self._activity(
                activity_types.DRIVE, order, ui_text.purpose(self._ledger, wanted)
            )
        except ActivityError as error:
            await self._back_off(error)
            return
        self._key = ""
        self._failures = 0
        await self._take_in(sight, wanted)

    async def _take_in(self, sight: Sight, wanted: Capacity) -> None:
        """Note what a step has seen; wait a moment where its change is not over yet."""
        known = transitions.recognize(self._ledger, sight.found, sight.request)
        known = transitions.resolve(known, sight.found, sight.request)
        changed_by_others = known.in_force is not None and sight.found not in (
            known.in_force,
            *known.written,
        )
        seen = transitions.look(
            known, sight.capacity, sight.offer, workflow.now(), pending=sight.coming
        )
        if changed_by_others:
            seen = replace(seen, remark=f"somebody else had set {sight.found}")
        self._ledger = seen
        self._attempts += 1
        if sight.waits_for:
            self._ledger = replace(seen, trouble=sight.waits_for)
            await self._rest(backoff.PENDING, sight.waits_for)

    def _new_key(self, wanted: Capacity) -> str:
        """Return a new id for the request of *wanted*: it tells the baseline to a successor."""
        known = self._ledger
        return operation_ids.compose(
            known.namespace,
            ui_text.step(known),
            wanted,
            None if known.doubt else known.baseline,
            workflow.uuid4().hex[:12],
        )

    async def _activity(self, name: str, order: object, summary: str) -> Sight:
        """Run one attempt of an activity that looks at the namespace."""
        sight: Sight = await workflow.execute_activity(
            name,
            order,
            result_type=Sight,
            start_to_close_timeout=activity_types.ATTEMPT_WITHIN,
            heartbeat_timeout=activity_types.BEAT_WITHIN,
            retry_policy=_ONCE,
            summary=summary,
        )
        return sight

    async def _back_off(self, error: ActivityError) -> None:
        """Note the fault and wait, longer each time; a new lease, end or release ends the wait.

        After a rate limit nothing does: the server said that it is asked too often.
        """
        fault = backoff.fault_of(error)
        self._failures += 1
        self._attempts += 1
        if fault.is_definite:
            self._key = ""
        workflow.logger.warning("%s: %s", self._ledger.namespace, fault.words)
        pause = backoff.pause(fault, self._failures, workflow.random().random())
        self._is_told_to_wait = fault.is_rate_limit or self._waits_as_of_old(fault)
        if not self._is_told_to_wait:
            pause = self._until_the_next_end(pause)
        resumes = workflow.now() + pause
        self._ledger = replace(self._ledger, trouble=fault.words, resumes=resumes)
        self._describe()
        await self._rest(pause, fault.words)
        self._is_told_to_wait = False
        self._ledger = replace(self._ledger, resumes=None)

    def _waits_as_of_old(self, fault: backoff.Fault) -> bool:
        """Tell whether an earlier release recorded a wait here that nothing would end."""
        return fault.retry_after is not None and not workflow.patched(WAIT_PATCH)

    def _until_the_next_end(self, pause: timedelta) -> timedelta:
        """Return *pause*, or less if a lease ends before."""
        end = transitions.next_end(self._ledger)
        if end is None:
            return pause
        return max(min(pause, end - workflow.now()), timedelta(seconds=1))

    async def _rest(self, length: timedelta, why: str) -> None:
        """Wait for *length*, or until a claim comes or goes."""
        self._resting = True
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: self._is_roused, timeout=length, timeout_summary=why[:200]
            )
        self._resting = False

    @property
    def _is_roused(self) -> bool:
        """Whether something new came up that the Cloud doesn't forbid to act upon."""
        return self._woken and not self._is_told_to_wait

    # How it begins, hands over and ends

    async def _recall(self) -> None:
        """Take over what a terminated or failed run knew, or the one that was reset.

        Where that can't be read, a capacity that is up may be its doing.
        """
        order = self._recall_order()
        if order is not None:
            try:
                old: Ledger | None = await workflow.execute_activity(
                    activity_types.RECALL,
                    order,
                    result_type=Ledger | None,  # type: ignore[arg-type]
                    start_to_close_timeout=activity_types.ATTEMPT_WITHIN,
                    schedule_to_close_timeout=activity_types.RECALL_WITHIN,
                    summary="Take over from the run that was terminated",
                )
            except ActivityError as error:
                workflow.logger.warning("%s: %s", self._ledger.namespace, error.cause)
                old = None
            if old is not None:
                self._ledger = transitions.take_over(self._ledger, old.unpacked)
            elif self._ledger.baseline is None:
                doubt = "the run of the keeper before this one can't be read any more"
                self._ledger = replace(self._ledger, doubt=doubt)
        self._broken_run = ""
        self._is_recovering = False

    def _recall_order(self) -> Recall | None:
        """Return whose knowledge is to be taken over, None if nobody's."""
        namespace = self._ledger.namespace
        if self._broken_run:
            return Recall(namespace=namespace, run=self._broken_run)
        if self._is_reset and workflow.patched(RESET_PATCH):
            return Recall(namespace=namespace, run=workflow.info().run_id, is_reset=True)
        return None

    def _look_again(self) -> None:
        """Have a run that was reset look once more before it ends.

        What it was reset to may be long ago, and what it knows with it.
        """
        self._is_reset = False
        self._ledger = replace(self._ledger, unseen=True)

    @property
    def _is_done(self) -> bool:
        """Whether nothing is left to keep, nor a released claim to be remembered."""
        known = self._ledger
        remembers = bool(known.released) and not known.cancelled
        in_doubt = bool(known.doubt) and not known.cancelled
        return not known.leases and known.is_settled and not remembers and not in_doubt

    @property
    def _turns_over(self) -> bool:
        """Whether the run has grown enough, and nobody waits for a step about to succeed."""
        if self._failures == 0 and not self._ledger.is_settled and not self._is_full:
            return False
        suggested = workflow.info().is_continue_as_new_suggested()
        return suggested or self._updates >= self._updates_a_run

    @property
    def _is_full(self) -> bool:
        """Whether the run has taken as many updates as a replay of it may cost."""
        return self._updates >= self._updates_a_run * keeper_state.FULL

    async def _leave(self) -> None:
        """Let every waiting claim be answered, and take no more waits."""
        self._leaving = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._leaving = False

    async def _turn_over(self) -> None:
        """Go on as a new run, with all that is known and nobody waiting."""
        await self._leave()
        namespace = self._ledger.namespace
        order = KeeperInput(
            namespace=namespace,
            ledger=self._ledger.to_hand_over,
            updates_a_run=keeper_state.UPDATES_A_RUN,
        )
        workflow.continue_as_new(order)

    def _give_up(self) -> None:
        """End every claim, since the keeper was cancelled."""
        ended = transitions.release(self._ledger, lambda _: True)
        self._change(replace(ended, cancelled=True))

    # How it speaks

    def _change(self, ledger: Ledger) -> None:
        """Go on with *ledger*, at once if it says something new."""
        if ledger != self._ledger:
            self._ledger = ledger
            self._woken = True
            self._describe()

    async def _until_answered(self, lease: Lease) -> None:
        """Wait while the keeper is about to cover *lease* or at it, no longer.

        Without a timer: an attempt ends by itself.
        """
        attempt = self._attempts
        self._waiting += 1
        try:
            await workflow.wait_condition(
                lambda: (
                    self._ledger.covers(transitions.held_as(self._ledger, lease.key) or lease)
                    or self._attempts != attempt
                    or self._leaving
                    or (self._resting and not self._is_roused)
                )
            )
        finally:
            self._waiting -= 1

    def _answer(self, lease: Lease) -> LeaseAnswer:
        """Return how far the claim *lease* is covered, and whether to ask again if not."""
        held = transitions.held_as(self._ledger, lease.key)
        return LeaseAnswer(
            granted=held is not None or self._has_a_successor_for(lease),
            in_force=held is not None and self._ledger.covers(held),
            capacity=self._ledger.in_force,
            until=held.until if held else lease.until,
            message=ui_text.answer(self._ledger, held)
            if held
            else ui_text.denial(self._ledger, lease),
        )

    def _has_a_successor_for(self, lease: Lease) -> bool:
        """Tell whether the claim *lease* came to a cancelled keeper: the next one takes it."""
        over = lease.until <= workflow.now() or transitions.was_released(self._ledger, lease.key)
        return self._ledger.cancelled and not over

    def _describe(self) -> None:
        workflow.set_current_details(ui_text.details(self._ledger, workflow.now()))


def _was_made_by_a_reset(info: workflow.Info) -> bool:
    """Tell whether this run is another one's past under a new id."""
    return info.original_execution_run_id not in ("", info.run_id)


def _is_meant(lease: Lease, request: ReleaseRequest) -> bool:
    """Tell whether *request* names *lease*."""
    if request.key:
        return lease.key == request.key
    return not request.window or lease.window == request.window


def _not_now(words: str) -> ApplicationError:
    """Return the error that a caller gets who is to come again."""
    return ApplicationError(words, type=activity_types.NOT_NOW)


def _refusal(words: str) -> ApplicationError:
    """Return the error that a caller of an update gets, and that isn't retried."""
    return ApplicationError(words, type=activity_types.REFUSED, non_retryable=True)
