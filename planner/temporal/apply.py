"""A plan made real: each change written, read back, and its outcome told."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from temporalio.api.common.v1 import Memo
from temporalio.api.schedule.v1 import BackfillRequest, SchedulePatch
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    DeleteScheduleRequest,
    PatchScheduleRequest,
    UpdateScheduleRequest,
)
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowUpdateStage
from temporalio.service import RPCError, RPCStatusCode

from planner.errors import ServerError
from planner.plan.diff import Wanted, diff, unsettled
from planner.plan.firings import next_firings, under_way
from planner.plan.model import Change, Live, Plan, live_schedule
from planner.plan.revisions import with_revisions
from planner.schedules.spec import Schedule, drafted
from planner.temporal.client import AlreadyThere, Missing, Server, raise_if_cancelled
from planner.temporal.clock import ServerClock
from planner.temporal.convert import backfill, owner_memo, to_message
from planner.temporal.fetch import FEW, describe, describe_all, list_showing
from workflows.contract import (
    LEASE_UPDATE,
    RELEASE_UPDATE,
    LeaseRequest,
    ReleaseRequest,
    keeper_id,
    lease_of,
    occurrence_of,
)

DELETE_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between attempts to make a schedule whose namesake is being deleted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one change went: done or not, and a sentence where there is something to say."""

    change: Change
    done: bool
    message: str = ""


async def apply(
    server: Server,
    plan: Plan,
    clock: ServerClock,
    *,
    insist: Callable[[], None],
    told: Callable[[Outcome], None],
) -> tuple[Outcome, ...]:
    """Write every change of *plan*, deletes last, and return how each went.

    A change that fails doesn't stop the others. Every update is read back at once, and
    everything else together by the caller (`read_back`).

    Args:
        server: Where to.
        plan: What; nothing in it may be held back.
        clock: The server's, for occurrences under way.
        insist: Raises where writing must stop; called before each write.
        told: Called with each outcome as it comes.
    """
    plan = with_revisions(plan, clock.now())
    writer = _Writer(server, plan.project, clock, insist)
    untold = await follow(server, plan, clock.now())

    async def one(change: Change) -> Outcome:
        left = untold.get(change.id, "")
        outcome = Outcome(change, False, left) if left else await writer.write(change)
        told(outcome)
        return outcome

    deletes = [change for change in plan.pending if change.action == "delete"]
    others = [change for change in plan.pending if change.action != "delete"]
    written = await asyncio.gather(*map(one, others))
    return (*written, *await asyncio.gather(*map(one, deletes)))


class _Writer:
    """Writes one change after the other, each by its kind."""

    def __init__(
        self, server: Server, project: str, clock: ServerClock, insist: Callable[[], None]
    ) -> None:
        self._server = server
        self._project = project
        self._memo: Memo | None = None
        self._clock = clock
        self._insist = insist

    async def write(self, change: Change) -> Outcome:
        """Write *change* and return how it went; what the server refuses is an outcome."""
        try:
            self._insist()
            return Outcome(change, True, await self._by_kind(change))
        except ServerError as error:
            return Outcome(change, False, str(error))

    async def _by_kind(self, change: Change) -> str:
        if change.action == "delete":
            return await self._delete(change.id)
        if change.desired is None:
            raise ValueError(f"{change.id}: nothing to write")
        if change.action == "create":
            return await self._create(change.desired, change.starts)
        if change.action == "adopt":
            return await self._adopt(change.desired, change.starts)
        if change.action == "start":
            await start(self._server, change.desired, change.starts)
            return _started(change.starts)
        return await self._update(change)

    async def _create(self, desired: Schedule, starts: Sequence[datetime]) -> str:
        """Make *desired*, or deal with what the list didn't show."""
        try:
            return await self._make(desired, starts)
        except AlreadyThere:
            return await self._meet(desired)

    async def _make(self, desired: Schedule, starts: Sequence[datetime]) -> str:
        """Make *desired*, and start what is under way in the same stroke."""
        request = CreateScheduleRequest(
            namespace=self._server.namespace,
            schedule_id=desired.id,
            schedule=await to_message(desired, self._server.converter),
            memo=await self._owner(),
            initial_patch=starting(desired, starts) if starts else None,
            identity=self._server.identity,
            request_id=str(uuid.uuid4()),
        )
        await self._server.ask(self._server.service.create_schedule, request)
        return _started(starts)

    async def _owner(self) -> Memo:
        """Return the mark of the project, made once for all that is written."""
        if self._memo is None:
            self._memo = await owner_memo(self._project, self._server.converter)
        return self._memo

    async def _meet(self, desired: Schedule) -> str:
        """Deal with a schedule that is there although the list didn't show it."""
        live = await describe(self._server, desired.id)
        if live is None:
            raise ServerError("it came and went while it was to be made; run the sync again")
        if live.project != self._project:
            raise ServerError(f"somebody else made a schedule {desired.id} meanwhile")
        again = self._still(desired, live)
        return await self._update(again) if again else "it was there already"

    async def _adopt(self, desired: Schedule, starts: Sequence[datetime]) -> str:
        """Delete the schedule that isn't ours, and make it anew as ours."""
        await self._delete(desired.id)
        for wait in DELETE_WAITS:
            try:
                return await self._make(desired, starts)
            except AlreadyThere:  # the server is still at deleting it
                await asyncio.sleep(wait)
        return await self._make(desired, starts)

    async def _delete(self, id: str) -> str:
        request = DeleteScheduleRequest(
            namespace=self._server.namespace, schedule_id=id, identity=self._server.identity
        )
        try:
            await self._server.ask(self._server.service.delete_schedule, request)
        except Missing:
            return "it was gone already"
        return ""

    async def _update(self, change: Change) -> str:
        """Update a schedule, and start what is under way by its new times.

        The server takes no start along with an update. So where something is to be
        started, a draft is written first: should this break off in between, the next
        sync sees that the start is still to be made.
        """
        if change.starts and change.desired:
            draft = replace(change, desired=drafted(change.desired), starts=())
            await self._put(draft)
            await start(self._server, change.desired, change.starts)
            change = replace(change, live=await self._there(change.id))
        await self._put(change)
        return _started(change.starts)

    async def _put(self, change: Change) -> None:
        """Update a schedule; once more from its fresh state if somebody was quicker."""
        left = await self._try_update(change)
        if left:
            self._insist()
            left = await self._try_update(left)
        if left:
            words = ", ".join(str(field) for field in left.fields)
            raise ServerError(f"the server did not take the update ({words}); run the sync again")

    async def _try_update(self, change: Change) -> Change | None:
        """Update a schedule, read it back, and return what is still to be changed of it."""
        assert change.desired is not None
        assert change.live is not None
        request = UpdateScheduleRequest(
            namespace=self._server.namespace,
            schedule_id=change.id,
            schedule=await to_message(change.desired, self._server.converter),
            conflict_token=change.live.token,
            identity=self._server.identity,
            request_id=str(uuid.uuid4()),
        )
        await self._server.ask(self._server.service.update_schedule, request)
        return self._still(change.desired, await self._there(change.id))

    async def _there(self, id: str) -> Live:
        """Return the schedule *id* as it is now."""
        live = await describe(self._server, id)
        if live is None:
            raise ServerError("it was deleted while it was being updated; run the sync again")
        return live

    def _still(self, desired: Schedule, live: Live) -> Change | None:
        return still_to_change(self._project, desired, live, self._clock.now())


async def start(server: Server, schedule: Schedule, firings: Sequence[datetime]) -> None:
    """Have the server fire a *schedule* that is there, now, for the nominal times *firings*.

    One whose boost still runs is refused there; one whose boost has ended runs once more,
    and renews its lease.
    """
    request = PatchScheduleRequest(
        namespace=server.namespace,
        schedule_id=schedule.id,
        patch=starting(schedule, firings),
        identity=server.identity,
        request_id=str(uuid.uuid4()),
    )
    await server.ask(server.service.patch_schedule, request)


def still_to_change(project: str, desired: Schedule, live: Live, now: datetime) -> Change | None:
    """Return what of *live* still differs from *desired*; None if nothing.

    What is under way is another matter.
    """
    wanted = Wanted(project=project, schedules=(desired,))
    pending = diff(wanted, {live.id: live}, now, near=()).pending
    return pending[0] if pending else None


def starting(schedule: Schedule, starts: Iterable[datetime]) -> SchedulePatch:
    """Return the patch that fires *schedule* now for the nominal times *starts*."""
    return SchedulePatch(backfill_request=[_backfill(schedule, nominal) for nominal in starts])


def _backfill(schedule: Schedule, nominal: datetime) -> BackfillRequest:
    following = next_firings(schedule, nominal, count=1)
    return backfill(nominal, schedule.jitter, following[0] if following else None)


def _started(starts: Sequence[datetime]) -> str:
    if not starts:
        return ""
    return "started at once" if len(starts) == 1 else f"{len(starts)} occurrences started at once"


LIST_LAG = 0.2
"""Seconds by which a list tends to be behind: an earlier pass would often be in vain."""


async def read_back(
    server: Server, project: str, outcomes: Iterable[Outcome], clock: ServerClock
) -> tuple[Outcome, ...]:
    """Return *outcomes*, after a look at all that was made or deleted.

    Updates aren't among these: each was read back when it was written. What the list
    doesn't show yet is described.
    """
    made = {
        outcome.change.id: outcome.change for outcome in outcomes if is_read_back_later(outcome)
    }
    ids = await _unlisted(server, project, made) if len(made) > FEW else list(made)
    described = dict(zip(ids, await describe_all(server, ids), strict=True))
    return tuple(
        _checked(outcome, project, described[outcome.change.id], clock.now())
        if outcome.change.id in described
        else outcome
        for outcome in outcomes
    )


def is_read_back_later(outcome: Outcome) -> bool:
    """Tell whether *outcome* is certain only after `read_back`."""
    return outcome.done and outcome.change.action in ("create", "adopt", "delete")


async def _unlisted(server: Server, project: str, made: Mapping[str, Change]) -> list[str]:
    """Return which of the changes *made* the list doesn't show, given some time."""

    def missing(listed: Mapping[str, Live]) -> list[str]:
        return [id for id, one in made.items() if not _shows(one, project, listed.get(id))]

    await asyncio.sleep(LIST_LAG)
    return missing(await list_showing(server, project, made, lambda listed: not missing(listed)))


def _shows(change: Change, project: str, live: Live | None) -> bool:
    """Tell whether *live*, as the list has it, is what *change* made."""
    if live is None or change.desired is None:
        return live is None and change.desired is None
    wanted = Wanted(project=project, schedules=(change.desired,))
    return not unsettled(wanted, {live.id: live})


def _checked(outcome: Outcome, project: str, live: Live | None, now: datetime) -> Outcome:
    """Return *outcome* with what is wrong with it, seeing that *live* is there now."""
    desired = outcome.change.desired
    if desired is None:
        words = "" if live is None else "it is there all the same"
    elif live is None:
        words = "it isn't there, although the server took it"
    else:
        left = still_to_change(project, desired, live, now)
        words = ", ".join(map(str, left.fields)) or left.reason if left else ""
    if not words:
        return outcome
    return replace(
        outcome, done=False, message=f"read back otherwise ({words}); run the sync again"
    )


KEEPER_TIMEOUT = timedelta(seconds=10)
"""How long a keeper may take to accept; without a worker none ever does."""


async def follow(server: Server, plan: Plan, now: datetime) -> Mapping[str, str]:
    """Tell each keeper what the running boosts of *plan* that follow are to have from now on.

    To be called before any schedule is written: should a keeper not answer, the changes
    are still pending, and the next sync tries again.

    Returns:
        Why the changes with these ids must not be written: their keeper did not take it.
    """
    refused: dict[str, str] = {}
    for namespace, changes in _by_namespace(plan).items():
        try:
            for order in orders_for(changes, now):
                await _tell(server, namespace, order)
        except ServerError as error:
            refused |= {change.id: str(error) for change in changes if change.follow}
    return refused


def orders_for(changes: Sequence[Change], now: datetime) -> list[LeaseRequest | ReleaseRequest]:
    """Return what the keeper of the one namespace of *changes* is to do, in this order.

    Every lease comes before any release, those of windows that are only to be started with
    this sync included: whatever takes the place of what ends is there already. An
    occurrence whose start moves takes the place of the old one in one step. A boost whose
    window has no occurrence under way any more is released.
    """
    leases: list[LeaseRequest] = []
    releases: list[ReleaseRequest] = []
    for change in changes:
        there = _Leases.of(change, now)
        leases += there.wanted()
        releases += [ReleaseRequest(key=key, by="sync") for key in there.ending()]
    return [*leases, *releases]


@dataclass(frozen=True, slots=True)
class _Leases:
    """The leases of one window, before and after its change.

    Attributes:
        namespace: Whose capacity.
        desired: The changed schedule; None where nothing of it is to run any more.
        running: The keys of the boosts that run and follow, by their start.
        due: The firings of *desired* that are to have a lease, by the start they are for.
    """

    namespace: str
    desired: Schedule | None
    running: Mapping[datetime, str]
    due: Mapping[datetime, datetime]

    @classmethod
    def of(cls, change: Change, now: datetime) -> _Leases:
        """Return the leases of *change*, which follows or is started at *now*."""
        boosts = change.running if change.follow else ()
        desired = None if change.desired is None or change.desired.paused else change.desired
        firings = under_way(desired, now) if desired else []
        starts = {occurrence_of(desired.request, at)[0]: at for at in firings} if desired else {}
        running = {
            boost.start: lease_of(live_schedule(change).request, boost.nominal).key
            for boost in boosts
        }
        due = {start: at for start, at in starts.items() if start in running or at in change.starts}
        return cls(change.namespace, desired, running, due)

    def wanted(self) -> Iterator[LeaseRequest]:
        """Yield what is to be leased: what is new or moves, then what stays where it is.

        A boost that stays may have lost its lease to one that moved before; it gets it
        back from that one.
        """
        moving = iter(self._moving())
        for start in self._new():
            yield self._lease(self.due[start], replaces=next(moving, ""))
        for start in self._kept():
            if key := next(moving, ""):
                yield self._lease(self.due[start], replaces=key)
            yield self._lease(self.due[start], replaces=self.running[start])

    def ending(self) -> list[str]:
        """Return the keys of the boosts that nothing takes the place of."""
        return self._moving()[len(self.due) :]

    def _new(self) -> list[datetime]:
        return [start for start in self.due if start not in self.running]

    def _kept(self) -> list[datetime]:
        return [start for start in self.due if start in self.running]

    def _moving(self) -> list[str]:
        """Return the keys of the boosts whose occurrence isn't there any more."""
        return [key for start, key in self.running.items() if start not in self.due]

    def _lease(self, nominal: datetime, replaces: str) -> LeaseRequest:
        assert self.desired is not None
        request = self.desired.request
        return LeaseRequest(
            namespace=self.namespace,
            lease=lease_of(request, nominal),
            baseline=request.baseline,
            rails=request.rails,
            revision=request.revision,
            replaces=replaces,
        )


def _by_namespace(plan: Plan) -> dict[str, list[Change]]:
    """Return the changes that concern running boosts: those that follow, by namespace.

    With them come the others of such a namespace that start something.
    """
    following = {change.namespace for change in plan.pending if change.follow}
    return {
        namespace: [
            change
            for change in plan.pending
            if change.namespace == namespace and (change.follow or change.starts)
        ]
        for namespace in sorted(following)
    }


async def _tell(server: Server, namespace: str, order: LeaseRequest | ReleaseRequest) -> None:
    """Hand *order* to the keeper of *namespace*; none running means nothing to tell."""
    update = RELEASE_UPDATE if isinstance(order, ReleaseRequest) else LEASE_UPDATE
    handle = server.client.get_workflow_handle(keeper_id(namespace))
    try:
        await handle.start_update(
            update,
            order,
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            rpc_timeout=KEEPER_TIMEOUT,
        )
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        raise_if_cancelled()
        raise ServerError(_unanswered(namespace, "no answer in time")) from error
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise ServerError(_unanswered(namespace, error.message)) from error


def _unanswered(namespace: str, words: str) -> str:
    return (
        f"the keeper of {namespace} did not take it ({words}): is a worker running? "
        "Start one with `planner worker`, or sync with --in-flight keep"
    )
