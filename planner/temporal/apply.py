"""Apply a plan: update running boosts, write each change, and read it back."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from temporalio.api.common.v1 import Memo
from temporalio.api.schedule.v1 import SchedulePatch
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    DeleteScheduleRequest,
    PatchScheduleRequest,
    UpdateScheduleRequest,
)
from temporalio.client import (
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.exceptions import FailureError
from temporalio.service import RPCError, RPCStatusCode

from planner.errors import ServerError
from planner.plan.diff import diff, ids_to_describe
from planner.plan.live import next_firings, under_way, with_revisions
from planner.plan.model import Change, DesiredState, LiveSchedule, Plan, live_schedule
from planner.schedules.spec import Schedule, drafted
from planner.temporal.client import (
    AlreadyExists,
    Call,
    NoAnswer,
    NotFound,
    Reply,
    Request,
    Server,
    ServerClock,
    announced,
    raise_if_cancelled,
)
from planner.temporal.convert import backfill, owner_memo, to_message
from planner.temporal.fetch import FEW, describe_all, describe_patiently, list_showing
from planner.temporal.keepers import until_taken
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
"""Seconds between attempts to create a schedule while the server deletes its namesake."""


LIST_LAG = 0.2
"""Seconds by which the list usually lags: an earlier pass is often in vain."""

KEEPER_TIMEOUT = timedelta(seconds=10)
"""Time limit for a keeper to accept a request; without a worker it never does."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one change: done or not, with a message where there is more to say."""

    change: Change
    done: bool
    message: str = ""


async def apply(
    server: Server,
    plan: Plan,
    clock: ServerClock,
    *,
    ensure_held: Callable[[], None],
    on_outcome: Callable[[Outcome], None],
    urgent: Collection[str] = (),
    after_urgent: Callable[[Sequence[Outcome]], Awaitable[None]] | None = None,
) -> tuple[Outcome, ...]:
    """Write every change of *plan*, deletes last, and return the outcomes.

    A change that fails doesn't stop the others. Each update is read back at once; the caller
    reads back everything else together (`read_back`).

    Args:
        server: Where the schedules are.
        plan: The plan; none of its changes may be held back.
        clock: The server's clock.
        ensure_held: Called before each write; raises where the sync lock was lost.
        on_outcome: Called with each outcome as it comes.
        urgent: The ids whose changes are written before all others, unless they are deletes.
        after_urgent: Awaited with their outcomes before the others are written.
    """
    plan = with_revisions(plan, clock.now())
    writer = _Writer(server, plan.project, clock, ensure_held)
    refused = await follow(server, plan, clock.now())

    async def one(change: Change) -> Outcome:
        refusal = refused.get(change.id, "")
        outcome = Outcome(change, False, refusal) if refusal else await writer.write(change)
        on_outcome(outcome)
        return outcome

    deletes = [change for change in plan.pending if change.action == "delete"]
    others = [change for change in plan.pending if change.action != "delete"]
    first = await asyncio.gather(*(one(change) for change in others if change.id in urgent))
    if first and after_urgent:
        await after_urgent(first)
    then = await asyncio.gather(*(one(change) for change in others if change.id not in urgent))
    return (*first, *then, *await asyncio.gather(*map(one, deletes)))


class _Writer:
    """Writer of single changes."""

    def __init__(
        self, server: Server, project: str, clock: ServerClock, ensure_held: Callable[[], None]
    ) -> None:
        self._server = server
        self._project = project
        self._memo: Memo | None = None
        self._clock = clock
        self._ensure_held = ensure_held

    async def write(self, change: Change) -> Outcome:
        """Write *change* and return the outcome; a refusal by the server is one, too."""
        try:
            return Outcome(change, True, await self._by_action(change))
        except ServerError as error:
            return Outcome(change, False, str(error))

    async def _send(self, call: Call[Request, Reply], request: Request) -> Reply:
        return await self._server.send(while_held(call, self._ensure_held), request)

    async def _start(self, schedule: Schedule, firings: Sequence[datetime]) -> None:
        await start(self._server, schedule, firings, self._ensure_held)

    async def _by_action(self, change: Change) -> str:
        if change.action == "delete":
            return await self._delete(change.id)
        if change.desired is None:
            raise ValueError(f"{change.id}: nothing to write")
        if change.action == "create":
            return await self._create(change.desired, change.starts)
        if change.action == "adopt":
            return await self._adopt(change.desired, change.starts)
        if change.action == "rename" and not change.former_id:  # of the project alone
            return await self._adopt(change.desired, change.starts)
        if change.action == "rename":
            made = await self._create(change.desired, change.starts)
            await self._delete(change.former_id)
            return made
        if change.action == "follow":
            return "its boost follows"  # `follow` has sent what the keeper needs
        if change.action == "start":
            await self._start(change.desired, change.starts)
            return _started(change.starts)
        return await self._update(change)

    async def _create(self, desired: Schedule, starts: Sequence[datetime]) -> str:
        """Create *desired*; if it exists although the list didn't show it, update it."""
        with contextlib.suppress(AlreadyExists):
            return await self._make(desired, starts)
        live = await describe_patiently(self._server, desired.id)
        if live is None:
            raise ServerError("it came and went while it was to be made; run the sync again")
        if live.project != self._project:
            raise ServerError(f"another client made a schedule {desired.id} meanwhile")
        again = self._still(desired, live)
        return await self._update(again) if again else "it was there already"

    async def _make(self, desired: Schedule, starts: Sequence[datetime]) -> str:
        """Create *desired* and start its occurrences under way in one request."""
        message = await to_message(desired, self._server.converter)
        if self._memo is None:  # the project's owner mark, encoded once for all schedules
            self._memo = await owner_memo(self._project, self._server.converter)
        request = CreateScheduleRequest(
            namespace=self._server.namespace,
            schedule_id=desired.id,
            schedule=message,
            memo=self._memo,
            initial_patch=starting(desired, starts) if starts else None,
            identity=self._server.identity,
            request_id=str(uuid.uuid4()),
        )
        await self._send(self._server.service.create_schedule, request)
        return _started(starts)

    async def _adopt(self, desired: Schedule, starts: Sequence[datetime]) -> str:
        """Delete the schedule and create it with the owner mark: a memo can't be updated."""
        await self._delete(desired.id)
        for wait in DELETE_WAITS:
            try:
                return await self._make(desired, starts)
            except AlreadyExists:  # the server is still deleting it
                await asyncio.sleep(wait)
        return await self._make(desired, starts)

    async def _delete(self, id: str) -> str:
        request = DeleteScheduleRequest(
            namespace=self._server.namespace, schedule_id=id, identity=self._server.identity
        )
        try:
            await self._send(self._server.service.delete_schedule, request)
        except NotFound:
            return "it was gone already"
        return ""

    async def _update(self, change: Change) -> str:
        """Update a schedule, and start the occurrences under way by its new times.

        An update can't start anything. So where a start is needed, a draft is written
        first: if the sync breaks off in between, the next one sees that the start is
        still to be made.
        """
        if change.starts and change.desired:
            draft = replace(change, desired=drafted(change.desired), starts=())
            await self._put(draft)
            await self._start(change.desired, change.starts)
            change = replace(change, live=await self._describe(change.id))
        await self._put(change)
        return _started(change.starts)

    async def _put(self, change: Change) -> None:
        """Update a schedule; retry once from its present state where the update isn't there.

        Another client may have changed it meanwhile, or the first answer came too late.
        """
        with contextlib.suppress(NoAnswer):  # whether it arrived is what reading back shows
            await self._write(change)
        left = await self._left(change)
        if left:
            await self._write(left)
            left = await self._left(left)
        if left:
            words = ", ".join(str(field) for field in left.fields)
            raise ServerError(f"the server did not take the update ({words}); run the sync again")

    async def _write(self, change: Change) -> None:
        """Update a schedule, unless another client changed it since it was read."""
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
        await self._send(self._server.service.update_schedule, request)

    async def _left(self, change: Change) -> Change | None:
        """Read the schedule back, and return what still differs; None if nothing."""
        assert change.desired is not None
        return self._still(change.desired, await self._describe(change.id))

    async def _describe(self, id: str) -> LiveSchedule:
        """Describe the schedule *id*; raise ServerError if it was deleted."""
        live = await describe_patiently(self._server, id)
        if live is None:
            raise ServerError("it was deleted while it was being updated; run the sync again")
        return live

    def _still(self, desired: Schedule, live: LiveSchedule) -> Change | None:
        return still_to_change(self._project, desired, live, self._clock.now())


def while_held(call: Call[Request, Reply], ensure_held: Callable[[], None]) -> Call[Request, Reply]:
    """Return *call*, which calls *ensure_held* first: when its turn has come, not before it."""

    def sent(req: Request, *, retry: bool, timeout: timedelta | None) -> Awaitable[Reply]:
        ensure_held()
        return call(req, retry=retry, timeout=timeout)

    return sent


async def start(
    server: Server,
    schedule: Schedule,
    firings: Sequence[datetime],
    ensure_held: Callable[[], None],
) -> None:
    """Fire an existing *schedule* now for the nominal times *firings*.

    The server skips a firing whose boost still runs. One whose boost has ended runs again
    and renews its lease.
    """
    request = PatchScheduleRequest(
        namespace=server.namespace,
        schedule_id=schedule.id,
        patch=starting(schedule, firings),
        identity=server.identity,
        request_id=str(uuid.uuid4()),
    )
    await server.send(while_held(server.service.patch_schedule, ensure_held), request)


def still_to_change(
    project: str, desired: Schedule, live: LiveSchedule, now: datetime
) -> Change | None:
    """Return the change from *live* to *desired*, without starts; None if they are equal."""
    state = DesiredState(project=project, schedules=(desired,))
    pending = diff(state, {live.id: live}, now, candidates=()).pending
    return pending[0] if pending else None


def starting(schedule: Schedule, starts: Iterable[datetime]) -> SchedulePatch:
    """Return the patch that fires *schedule* for the nominal times *starts*."""
    requests = []
    for nominal in starts:
        following = next_firings(schedule, nominal, count=1)
        requests.append(backfill(nominal, schedule.jitter, following[0] if following else None))
    return SchedulePatch(backfill_request=requests)


def _started(starts: Sequence[datetime]) -> str:
    if not starts:
        return ""
    return "started at once" if len(starts) == 1 else f"{len(starts)} occurrences started at once"


async def read_back(
    server: Server, project: str, outcomes: Iterable[Outcome], clock: ServerClock
) -> tuple[Outcome, ...]:
    """Check created and deleted schedules on the server; return the corrected *outcomes*.

    Updates were read back when they were written. Schedules that the list doesn't show yet
    as written are described.

    Raises:
        ServerError: The server didn't answer; the next sync checks what this one wrote.
    """
    made = {
        outcome.change.id: outcome.change for outcome in outcomes if is_read_back_later(outcome)
    }
    try:
        ids = await _unlisted(server, project, made) if len(made) > FEW else list(made)
        described = dict(zip(ids, await describe_all(server, ids), strict=True))
    except ServerError as error:
        raise ServerError(
            f"the server took {len(made):,} changes, but they could not be read back: {error}; run "
            "the sync again, which checks them"
        ) from error
    return tuple(
        _checked(outcome, project, described[outcome.change.id], clock.now())
        if outcome.change.id in described
        else outcome
        for outcome in outcomes
    )


def is_read_back_later(outcome: Outcome) -> bool:
    """Tell whether *outcome* is final only after `read_back`."""
    return outcome.done and outcome.change.action in ("create", "rename", "adopt", "delete")


async def _unlisted(server: Server, project: str, made: Mapping[str, Change]) -> list[str]:
    """Poll the schedule list; return the ids whose change isn't visible yet."""
    desired = {id: one.desired for id, one in made.items() if one.desired}
    state = DesiredState(project=project, schedules=tuple(desired.values()))

    def missing(listed: Mapping[str, LiveSchedule]) -> list[str]:
        otherwise = ids_to_describe(state, {id: listed[id] for id in made if id in listed})
        return [*otherwise, *(id for id in desired if id not in listed)]

    await asyncio.sleep(LIST_LAG)
    return missing(await list_showing(server, project, made, lambda listed: not missing(listed)))


def _checked(outcome: Outcome, project: str, live: LiveSchedule | None, now: datetime) -> Outcome:
    """Return *outcome*, failed where *live* isn't what the change should have made."""
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


async def follow(server: Server, plan: Plan, now: datetime) -> Mapping[str, str]:
    """Update the leases of the running boosts in *plan* that follow their window's change.

    Call it before any schedule is written: if a keeper doesn't accept, the changes stay
    pending, and the next sync tries again.

    Returns:
        By id, the changes that must not be written, each with the reason.
    """
    refused: dict[str, str] = {}
    for namespace in sorted({change.namespace for change in plan.pending if change.follow}):
        changes = [  # those that follow, and the others that start a boost there
            change
            for change in plan.pending
            if change.namespace == namespace and (change.follow or change.starts)
        ]
        try:
            for request in keeper_requests(changes, now):
                await _send(server, namespace, request)
        except ServerError as error:
            refused |= {change.id: str(error) for change in changes if change.follow}
    return refused


def keeper_requests(
    changes: Sequence[Change], now: datetime
) -> list[LeaseRequest | ReleaseRequest]:
    """Return the requests for the keeper of *changes*, all of one namespace, in order.

    Leases come before releases, including those of windows that this sync only starts: so
    whatever replaces an ending lease is in force before it ends. An occurrence whose start
    moves replaces the old one in one request. A boost whose window has no occurrence under
    way any more is released.
    """
    leases: list[LeaseRequest] = []
    releases: list[ReleaseRequest] = []
    for change in changes:
        there = _Leases.of(change, now)
        leases += there.requests()
        releases += [ReleaseRequest(key=key, by="sync") for key in there.ending()]
    return [*leases, *releases]


@dataclass(frozen=True, slots=True)
class _Leases:
    """The leases of one window before and after its change.

    Attributes:
        namespace: The namespace whose capacity they raise.
        desired: The changed schedule; None where it is deleted or paused.
        running: Lease keys of the running boosts that follow, by occurrence start.
        due: The firings of *desired* that need a lease, by occurrence start.
    """

    namespace: str
    desired: Schedule | None
    running: Mapping[datetime, str]
    due: Mapping[datetime, datetime]

    @classmethod
    def of(cls, change: Change, now: datetime) -> _Leases:
        """Return the leases of *change*, which has boosts to follow or to start at *now*."""
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

    def requests(self) -> Iterator[LeaseRequest]:
        """Yield the lease requests: first new and moved occurrences, then unmoved ones.

        An unmoved boost may have lost its lease to a moved one before; it gets the lease
        back from that one.
        """
        moving = iter(self._moving())
        for start, nominal in self.due.items():
            if start not in self.running:
                yield self._lease(nominal, replaces=next(moving, ""))
        for start, nominal in self.due.items():
            if start in self.running:
                if key := next(moving, ""):
                    yield self._lease(nominal, replaces=key)
                yield self._lease(nominal, replaces=self.running[start])

    def ending(self) -> list[str]:
        """Return the keys of the leases that no occurrence replaces."""
        return self._moving()[len(self.due) :]

    def _moving(self) -> list[str]:
        """Return the keys of the leases whose occurrence no longer exists."""
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


async def _send(server: Server, namespace: str, request: LeaseRequest | ReleaseRequest) -> None:
    """Send *request* to the keeper of *namespace*; without a running keeper, do nothing.

    Raises:
        ServerError: The keeper refused it, or didn't accept it in time.
    """
    update = RELEASE_UPDATE if isinstance(request, ReleaseRequest) else LEASE_UPDATE
    handle = server.client.get_workflow_handle(keeper_id(namespace))
    try:
        with announced(f"waiting for the keeper of {namespace} to accept", server.notify):
            async with asyncio.timeout(KEEPER_TIMEOUT.total_seconds()):
                await until_taken(lambda: _deliver(handle, update, request))
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise_if_cancelled()
        raise ServerError(_not_accepted(namespace, "no answer in time")) from error
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        words = cause.message if isinstance(cause, FailureError) else str(cause)
        raise ServerError(f"the keeper of {namespace} refused it: {words}") from error
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise ServerError(_not_accepted(namespace, error.message)) from error


async def _deliver(
    keeper: WorkflowHandle[Any, Any], update: str, request: LeaseRequest | ReleaseRequest
) -> None:
    """Have *keeper* accept *request*.

    Raises:
        WorkflowUpdateFailedError: The keeper refused it.
        WorkflowUpdateRPCTimeoutOrCancelledError: It was not accepted in time.
    """
    sent = await keeper.start_update(
        update,
        request,
        wait_for_stage=WorkflowUpdateStage.ACCEPTED,
        rpc_timeout=KEEPER_TIMEOUT,
    )
    # A refusal is an outcome that is known at once: the SDK has no public word for that. The answer
    # to what was accepted may take as long as the capacity does: it isn't waited for.
    if getattr(sent, "_known_outcome", None) is not None:
        await sent.result()


def _not_accepted(namespace: str, cause: str) -> str:
    return (
        f"the keeper of {namespace} did not take it ({cause}): is a worker running? "
        "Start one with `planner worker`, or sync with --in-flight keep"
    )
