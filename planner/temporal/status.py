"""The facts of each namespace: its schedules, its keeper, its boosts, the workers.

What follows from them is judged elsewhere: `workflows.contract.findings`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import WorkflowExecution
from temporalio.service import RPCError

from planner.errors import ServerError
from planner.model import Horizon
from planner.plan.live import firings_in, missed, pause_reason
from planner.plan.model import LiveSchedule
from planner.schedules.spec import Schedule, namespace_of, upcoming
from planner.temporal.client import Server, local_clock
from planner.temporal.convert import EntryReader, ListedTimes, read_times
from planner.temporal.fetch import describe, describe_all, fetch_evidence, list_entries
from planner.temporal.keepers import ANSWER_WITHIN, PLAIN_NAME, fetch_keepers
from workflows.contract import (
    TASK_QUEUE,
    WatchdogReport,
    format_instant,
    occurrence_of,
)
from workflows.contract.findings import (
    MISSED_KEPT,
    MISSED_MEMO,
    MissedBoost,
    NamespaceFacts,
    NamespaceStatus,
    NextWindow,
    Pause,
    Pollers,
    WindowRun,
    status_of,
)
from workflows.contract.from_code import BOOSTS_QUERY

LOOK_AHEAD = timedelta(days=400)

NO_REASON = "an operator, who gave no reason"

LOOK_BACK = timedelta(days=31)
"""How long ago the firing of a window under way may be."""

POLLING_WITHIN = timedelta(seconds=75)
"""How long ago a worker has polled that runs: the server answers an idle poll after a minute."""


async def fetch_statuses(
    server: Server, now: datetime, *, namespace: str = ""
) -> list[NamespaceStatus]:
    """Return the status of each namespace with a keeper or a schedule, sorted by name."""
    seen = await fetch_facts(server, now, await fetch_pollers(server, now), namespace=namespace)
    return [status_of(one, now) for one in seen]


async def fetch_facts(
    server: Server,
    now: datetime,
    pollers: Pollers,
    *,
    namespace: str = "",
    report: WatchdogReport | None = None,
) -> list[NamespaceFacts]:
    """Return the facts of each namespace with a keeper or a schedule, sorted by name.

    Without a worker nobody answers for a keeper, and none is asked. *report* is the latest one
    of the watchdog.
    """
    watched = {one.namespace: one for one in report.namespaces} if report else {}
    keepers, schedules, lost = await asyncio.gather(
        fetch_keepers(server.client, now, namespace, ask=pollers.count > 0),
        _fetch_schedules(server, now, namespace),
        fetch_missed(server, now, namespace),
    )
    known = {keeper.namespace: keeper for keeper in keepers}
    return [
        replace(
            schedules.get(name, NamespaceFacts(namespace=name)),
            keeper=known.get(name),
            missed=tuple(lost.get(name, ())),
            pollers=pollers,
            watched=watched.get(name),
            workers_cloud=report.cloud if report else "",
        )
        for name in sorted({*known, *schedules, *lost})
    ]


async def fetch_namespaces(server: Server) -> tuple[str, ...]:
    """Return the namespaces that have a schedule of a planner, sorted."""
    reader = EntryReader(server.converter)
    found = {
        namespace_of(entry.schedule_id)
        async for entry in list_entries(server)
        if await reader.owner(entry)
    }
    return tuple(sorted(found - {""}))


async def fetch_schedules_of(server: Server, namespace: str) -> list[Schedule]:
    """Return the schedules of planners for *namespace*, described."""
    reader = EntryReader(server.converter)
    ids = [
        entry.schedule_id
        async for entry in list_entries(server)
        if namespace_of(entry.schedule_id) == namespace and await reader.owner(entry)
    ]
    found = await describe_all(server, ids)
    return [live.schedule for live in found if live and live.schedule]


async def fetch_pollers(server: Server, now: datetime, identity: str = "") -> Pollers:
    """Return the workers of the task queue: those that poll for workflows and for activities.

    With an *identity* only that one counts.
    """
    kinds = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
    polls_by_kind = await asyncio.gather(*(_fetch_polls(server, kind) for kind in kinds))
    found = [
        {who: at for who, at in polls.items() if identity in ("", who)} for polls in polls_by_kind
    ]
    working = [{who for who, at in polls.items() if now - at <= POLLING_WITHIN} for polls in found]
    seen = [at for polls in found for at in polls.values()]
    return Pollers(min(map(len, working)), max(seen, default=None))


async def _fetch_polls(server: Server, kind: TaskQueueType.ValueType) -> dict[str, datetime]:
    """Return when each worker last polled the task queue for tasks of a *kind*, by identity."""
    request = DescribeTaskQueueRequest(
        namespace=server.namespace, task_queue=TaskQueue(name=TASK_QUEUE), task_queue_type=kind
    )
    reply = await server.send(server.service.describe_task_queue, request)
    polls: dict[str, datetime] = {}
    for poller in reply.pollers:
        at = poller.last_access_time.ToDatetime(tzinfo=UTC)
        polls[poller.identity] = max(at, polls.get(poller.identity, at))
    return polls


# Boosts that came to nothing ----------------------------------------------------------


async def fetch_missed(
    server: Server, now: datetime, namespace: str = ""
) -> Mapping[str, list[MissedBoost]]:
    """Return the boosts of the last day that ended without their capacity, by namespace."""
    query = f"{BOOSTS_QUERY} AND CloseTime > '{format_instant(now - MISSED_KEPT)}'"
    if PLAIN_NAME.fullmatch(namespace):
        query += f" AND WorkflowId STARTS_WITH 'boost/{namespace}/'"
    found: defaultdict[str, list[MissedBoost]] = defaultdict(list)
    try:
        async for execution in server.client.list_workflows(query, rpc_timeout=ANSWER_WITHIN):
            name = namespace_of(execution.id)
            if name and namespace in ("", name) and (one := await _missed_in(execution)):
                found[name].append(one)
    except RPCError as error:
        raise ServerError(f"the boosts can't be listed: {error.message}") from error
    for boosts in found.values():
        boosts.sort(key=lambda boost: (boost.start, boost.window))
    return found


async def _missed_in(execution: WorkflowExecution) -> MissedBoost | None:
    """Return what the memo of a boost says that it missed; None where it says nothing."""
    if MISSED_MEMO not in execution.raw_info.memo.fields:
        return None
    return await execution.memo_value(MISSED_MEMO, None, type_hint=MissedBoost)


# Schedules ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListedSchedule:
    """A schedule with an owner mark, as the server's list shows it."""

    namespace: str
    live: LiveSchedule
    times: ListedTimes


@dataclass(slots=True)
class _Listed:
    """The schedules for one namespace: those of planners, and the ids of others."""

    owned: list[ListedSchedule] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


async def _fetch_schedules(
    server: Server, now: datetime, namespace: str
) -> dict[str, NamespaceFacts]:
    """Return what the schedules of each namespace show, or of *namespace* alone."""
    reader = EntryReader(server.converter)
    listed: defaultdict[str, _Listed] = defaultdict(_Listed)
    async for entry in list_entries(server):
        name = namespace_of(entry.schedule_id)
        if not name or namespace not in ("", name):
            continue
        if owner := await reader.owner(entry):
            one = ListedSchedule(name, reader.read(entry, owner), read_times(entry))
            listed[name].owned.append(one)
        else:
            listed[name].strangers.append(entry.schedule_id)
    names = sorted(listed)
    found = await asyncio.gather(
        *(_read_schedules(server, name, listed[name], now) for name in names)
    )
    return dict(zip(names, found, strict=True))


async def _read_schedules(
    server: Server, namespace: str, listed: _Listed, now: datetime
) -> NamespaceFacts:
    """Return what the *listed* schedules of a *namespace* show; described where that is needed."""
    first, pauses, gaps = await asyncio.gather(
        _fetch_first(server, listed.owned, now),
        asyncio.gather(*(_read_pause(server, one, now) for one in listed.owned if one.live.paused)),
        fetch_gaps(server, listed.owned, now),
    )
    return NamespaceFacts(
        namespace=namespace,
        windows=tuple(sorted(one.live.window for one in listed.owned)),
        strangers=tuple(sorted(listed.strangers)),
        pauses=tuple(sorted(pauses, key=lambda pause: pause.window)),
        unstarted=tuple(gaps),
        declared=first.schedule.request.baseline if first and first.schedule else None,
        next_window=next_window(first.schedule, now)
        if first and first.schedule and not first.paused
        else None,
    )


async def _fetch_first(
    server: Server, listed: Sequence[ListedSchedule], now: datetime
) -> LiveSchedule | None:
    """Describe the schedule that fires next; of paused ones only, any of them."""
    coming = [one.live for one in listed if one.live.upcoming and not one.live.paused]
    chosen = min(coming, key=lambda live: (live.upcoming[0], live.id), default=None)
    if chosen is None:
        chosen = next((one.live for one in listed), None)
    return await describe(server, chosen.id) if chosen else None


def next_window(schedule: Schedule, now: datetime) -> NextWindow | None:
    """Return the window that *schedule* opens next after *now*; None without one."""
    request = schedule.request
    ahead = timedelta(seconds=request.ahead_seconds)
    fires = next(upcoming(schedule, Horizon(now - ahead, now + LOOK_AHEAD)), None)
    if fires is None:
        return None
    return NextWindow(request.window, fires + ahead, request.tru, fires, request.workers)


def pause_of(live: LiveSchedule) -> Pause:
    """Return who paused the schedule *live*."""
    if not live.paused_by_operator:
        return Pause(window=live.window)
    return Pause(window=live.window, by=pause_reason(live.note) or NO_REASON)


async def _read_pause(server: Server, one: ListedSchedule, now: datetime) -> Pause:
    """Return who paused a schedule, and its occurrence under way that has no boost."""
    pause = pause_of(one.live)
    if not pause.by:
        return pause
    open_runs = await _gaps_of(server, one, now)
    return replace(pause, under_way=next(iter(open_runs), None))


async def fetch_gaps(
    server: Server, listed: Iterable[ListedSchedule], now: datetime
) -> list[WindowRun]:
    """Return the occurrences at *now* that have no boost, earliest first.

    Only schedules whose latest firings the list doesn't show are described. Paused ones
    have no gaps.
    """
    candidates = [one for one in listed if not one.live.paused and _may_have_missed(one, now)]
    found = await asyncio.gather(*(_gaps_of(server, one, now) for one in candidates))
    return sorted((gap for gaps in found for gap in gaps), key=lambda gap: (gap.start, gap.window))


def _may_have_missed(one: ListedSchedule, now: datetime) -> bool:
    """Tell whether *one* may have missed a firing, by the list.

    The list shows the last few firings; earlier ones are taken as fired.
    """
    if one.times.is_cut:
        return True
    since = min(one.live.fired, default=now - LOOK_BACK)
    due = firings_in(one.times, Horizon(since, now))
    return any(nominal not in one.live.fired for nominal in due)


async def _gaps_of(server: Server, one: ListedSchedule, now: datetime) -> list[WindowRun]:
    """Return the occurrences of a schedule at *now* that have no boost.

    What the server shows of a paused one as upcoming, its pause suppresses.
    """
    live = await describe(server, one.live.id)
    if live is None or live.schedule is None or live.paused != one.live.paused:
        return []
    desired, around = live.schedule, local_clock(now).around()
    found = await fetch_evidence(server, {live.id: desired}, {live.id: live}, around)
    there, request = found[live.id], desired.request
    if live.paused:
        there = replace(there, about_to_fire=frozenset())
    runs = (
        occurrence_of(request, nominal) for nominal in missed(desired, there, Horizon(now, now))
    )
    return [
        WindowRun(window=request.window, start=start, end=end, tru=request.tru)
        for start, end in runs
    ]
