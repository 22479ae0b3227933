"""``planner history`` on a real server: what it says is what the simulated Cloud knows."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from forecast_helpers import calendar, project, step_at
from sync_helpers import eventually
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment

from planner.cli.report import HistoryFormat, _show_history
from planner.forecast.cost import MonthlyCost, compute_bill
from planner.forecast.history import BoostHistory, History, ListedBoost, Reach, history_of
from planner.forecast.timeline import Step
from planner.model import (
    Cron,
    Duration,
    Horizon,
    NamespaceCalendar,
    Occurrence,
    Prices,
    Project,
    Window,
)
from planner.rehearsal.plan import Part, expected_steps, fired_in
from planner.rehearsal.run import Environment, start_environment
from planner.schedules.compile import compile_project
from planner.simulator import Simulator
from planner.simulator.state import Entry
from planner.temporal.client import Server
from planner.temporal.keepers import release, start_boost
from planner.temporal.status import Kept, fetch_kept
from workflows.activities.keeper import record_on_record
from workflows.cloud import CloudClient, OneKey
from workflows.contract import (
    BOOST_WORKFLOW,
    TASK_QUEUE,
    BoostRequest,
    BoostResult,
    Capacity,
    KeeperRecord,
    Rails,
    ReleaseRequest,
    format_instant,
    keeper_id,
)
from workflows.provision import SCHEDULED_START
from workflows.worker import build_worker

pytestmark = pytest.mark.integration

SECOND = timedelta(seconds=1)


@dataclass
class Stage:
    """A server with a worker at work, and the Cloud that it reaches."""

    environment: WorkflowEnvironment
    simulator: Simulator
    begun: datetime

    async def fire(
        self, request: BoostRequest, ago: timedelta = timedelta()
    ) -> WorkflowHandle[Any, BoostResult]:
        """Start the boost of *request* as a firing of its schedule that was due some time *ago*."""
        nominal = datetime.now(UTC).replace(microsecond=0) - ago
        id = f"boost/{request.namespace}/{request.window}-{format_instant(nominal)}"
        pair = SearchAttributePair(SCHEDULED_START, nominal)
        return await self.environment.client.start_workflow(
            BOOST_WORKFLOW,
            request,
            id=id,
            task_queue=TASK_QUEUE,
            search_attributes=TypedSearchAttributes([pair]),
            result_type=BoostResult,
        )

    async def kept(self, namespace: str = "", horizon: Horizon | None = None) -> Kept:
        """Return what the server keeps since this stage began."""
        client, now = self.environment.client, datetime.now(UTC)

        async def read(
            name: str, run: str, span: tuple[datetime, datetime | None], now: datetime
        ) -> KeeperRecord:
            return await record_on_record(client, name, run, span, now)

        span = horizon or Horizon(self.begun - timedelta(hours=1), now + timedelta(hours=1))
        return await fetch_kept(Server(client), namespace, span, now, read)

    async def history(self, namespace: str = "") -> History:
        """Return what came of the boosts since this stage began."""
        now = datetime.now(UTC)
        horizon = Horizon(self.begun - timedelta(hours=1), now + timedelta(hours=1))
        kept = await self.kept(namespace, horizon)
        return history_of(kept.boosts, kept.records, horizon, now, Prices(), kept.reach)

    async def boosts(self, namespace: str, *windows: str) -> list[BoostHistory]:
        """Return the boosts of *namespace* once the lists show these *windows*, and their end."""

        async def shown() -> list[BoostHistory]:
            found = (await self.history(namespace)).boosts
            assert sorted(one.window for one in found) == sorted(windows)
            assert not any(one.outcome in ("running", "uncovered") for one in found)
            assert not any(one.since and not one.until for one in found)
            return list(found)

        found: list[BoostHistory] = await eventually(shown)
        return found


@asynccontextmanager
async def staged(
    environment: WorkflowEnvironment, *namespaces: str, tru: float | None = None
) -> AsyncIterator[Stage]:
    """Run a worker against a simulated Cloud with these *namespaces*."""
    begun = datetime.now(UTC)
    async with (
        Simulator(provisioning=0.3, check=0.1) as simulator,
        CloudClient(simulator.url, OneKey("a-key-of-the-test"), poll=0.1) as cloud,
        build_worker(environment.client, cloud, grace=SECOND, observe_every=SECOND),
    ):
        for namespace in namespaces:
            await simulator.create(namespace, tru=tru)
        yield Stage(environment, simulator, begun)


def request(namespace: str, window: str, **more: Any) -> BoostRequest:
    """Return a boost that a test ends itself, whenever it has what it needs."""
    return BoostRequest(
        namespace=namespace, window=window, **{"tru": 8, "ttl_seconds": 600, **more}
    )


def truth(stage: Stage, namespace: str) -> list[tuple[datetime, float | None]]:
    """Return the changes of the capacity in force, as the Cloud knows them."""
    return [(entry.at, entry.tru) for entry in stage.simulator.history(namespace)[1:]]


def span_of(boost: BoostHistory) -> list[datetime | None]:
    """Return from when to when its capacity was in force."""
    return [boost.since, boost.until]


async def test_a_history_is_what_the_cloud_knows(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """In force from and to is the Cloud's own time; read from the next run's memo, or history."""
    namespace = f"{fresh}.acct"
    async with staged(own_server, namespace) as stage:
        keeper = own_server.client.get_workflow_handle(keeper_id(namespace))
        for window, project in (("first", "payments"), ("second", "search")):
            await (await stage.fire(request(namespace, window, project=project))).result()
            await keeper.cancel()
            with pytest.raises(WorkflowFailureError):  # it has restored the baseline first
                await keeper.result()
        first, second = await stage.boosts(namespace, "first", "second")
        up, down, up_again, down_again = truth(stage, namespace)
        assert [tru for _, tru in (up, down, up_again, down_again)] == [8, None, 8, None]
        assert span_of(first) == [up[0], down[0]]
        assert span_of(second) == [up_again[0], down_again[0]]
        assert [one.project for one in (first, second)] == ["payments", "search"]
        assert [one.fires for one in (first, second)] == [first.start, second.start]
        ended = ("released", "by a cancel of the keeper")
        assert [(one.outcome, one.why) for one in (first, second)] == [ended, ended]
        for name in (namespace, ""):
            kept = await stage.kept(name)
            boosts = [one.window for one in kept.boosts if one.namespace == namespace]
            assert boosts == [], "the leases say all of completed boosts, so these are counted"
        assert kept.reach.boosts >= 2
        kept = await stage.kept(namespace)
        assert (kept.reach.boosts, kept.reach.keepers, kept.reach.histories) == (2, 2, 1)
        assert len(kept.records) == 2
        assert kept.reach.retention == timedelta(days=1)  # the dev server's

        late = await stage.fire(request(namespace, "third", ttl_seconds=2), ago=30 * SECOND)
        assert not (await late.result()).in_force
        third, *_ = await stage.boosts(namespace, "first", "second", "third")
        assert (third.outcome, third.since) == ("missed", None)
        kept = await stage.kept()
        mine = [one.window for one in kept.boosts if one.namespace == namespace]
        assert sorted(mine) == ["first", "second", "third"], "one without a lease: all are listed"


async def test_what_others_did_and_the_cloud_did_not(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """Capped by its rails, by hand and changed by others, cancelled: as the Cloud knows it."""
    rails, other, left = (f"{fresh}-{name}.acct" for name in ("rails", "other", "left"))
    async with staged(own_server, rails, other, left) as stage:
        simulator, client = stage.simulator, own_server.client
        by_hand = request(other, "by-hand", by="kim", reason="a launch")
        boosts = [
            await stage.fire(request(rails, "capped", rails=Rails(max_tru=4))),
            await stage.fire(request(left, "cancelled")),
            await start_boost(client, by_hand, datetime.now(UTC)),
        ]
        await asyncio.gather(*(boost.result() for boost in boosts))
        await simulator.foreign_change(other, 2)
        await simulator.until(lambda: len(truth(stage, other)) == 3)
        await client.get_workflow_handle(keeper_id(left)).cancel()
        for namespace in (rails, other):
            await release(client, namespace, ReleaseRequest(by="kim"))

        (one,) = await stage.boosts(rails, "capped")
        assert (one.capped, str(one.granted), one.tru) == ("rails", "4 TRU", 8)
        assert span_of(one) == [at for at, _ in truth(stage, rails)]
        (one,) = await stage.boosts(other, "by-hand")
        assert (one.by, one.reason) == ("kim", "a launch")
        raised, lowered, again, reverted = (at for at, _ in truth(stage, other))
        assert span_of(one) == [raised, reverted]
        assert [(each.at, each.capacity.tru) for each in one.changes] == [(lowered, 2)]
        assert one.lacking == ((lowered, again),)
        (one,) = await stage.boosts(left, "cancelled")
        assert (one.outcome, one.why) == ("released", "by a cancel of the keeper")
        assert span_of(one) == [at for at, _ in truth(stage, left)]


async def test_a_missed_boost_and_what_is_printed(
    own_server: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """A window that never had its capacity is missed, with the reason; all formats say so."""
    namespace = f"{fresh}.acct"
    client = own_server.client
    monkeypatch.setenv("TEMPORAL_ADDRESS", client.service_client.config.target_host)
    async with staged(own_server, namespace) as stage:
        stage.simulator.fault("update", "error", status=503, times=10_000, namespace=namespace)
        boost = await stage.fire(request(namespace, "payroll", ttl_seconds=2, project="finance"))
        with pytest.raises(WorkflowFailureError):
            await boost.result()
        (one,) = await stage.boosts(namespace, "payroll")
    assert (one.outcome, one.since, one.billed_hours, one.tru) == ("missed", None, 0, 8)
    assert one.why.startswith(f"{namespace} did not get the 8 TRU of payroll before its end")
    assert one.foreseen_hours >= 1
    horizon = Horizon(stage.begun - timedelta(days=3), datetime.now(UTC) + timedelta(minutes=1))
    printed = {}
    for output in HistoryFormat:
        capsys.readouterr()
        assert await _show_history(namespace, horizon, output, Prices()) == 0
        printed[output] = capsys.readouterr()
    assert f"{namespace}/payroll: 8 TRU, missed" in printed[HistoryFormat.text].out
    assert "of project finance" in printed[HistoryFormat.text].out
    assert "UNKNOWN before" in printed[HistoryFormat.text].out  # three days ago is beyond a day
    value = json.loads(printed[HistoryFormat.json].out)
    assert ([one["outcome"] for one in value["boosts"]], value["reach"]["complete"]) == (
        ["missed"],
        False,
    )
    (row,) = csv.DictReader(io.StringIO(printed[HistoryFormat.csv].out))
    assert (row["window"], row["outcome"], row["project"]) == ("payroll", "missed", "finance")
    assert "UNKNOWN before" in printed[HistoryFormat.csv].err


# A quarter with skipped time -----------------------------------------------------------

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
QUARTER = Horizon(TODAY + timedelta(days=2), TODAY + timedelta(days=2 + 92))
PAYMENTS, SEARCH = "payments-prod.a1b2c", "search-prod.a1b2c"


def windowed(namespace: str, name: str, cron: str, minutes: int, **fields: Any) -> Window:
    """Return a window of a cron expression, ten minutes of lead ahead."""
    defaults = {"tru": 4, "asked": "4 TRU", "lead": timedelta(minutes=10), "jitter": timedelta()}
    return Window(
        namespace=namespace,
        name=name,
        recurrence=Cron((cron,)),
        length=Duration(timedelta(minutes=minutes)),
        **{**defaults, **fields},
    )


def quarter() -> tuple[NamespaceCalendar, NamespaceCalendar]:
    """Return a calendar with overlaps, and one whose windows end on hour marks."""
    payments = calendar(
        windowed(PAYMENTS, "settlement", "0 10 * * TUE", 50),
        windowed(PAYMENTS, "payroll", "0 5 15,L * *", 230, tru=8),
        windowed(PAYMENTS, "close", "30 5 L * *", 80, tru=2, combine="add"),
        namespace=PAYMENTS,
    )
    batch = windowed(SEARCH, "batch", "0 22 * * FRI", 60, tru=6)
    return payments, calendar(batch, namespace=SEARCH, baseline=Capacity(2))


async def played(
    environment: Environment, each: Project
) -> tuple[list[ListedBoost], list[KeeperRecord]]:
    """Fire everything of the quarter; return the boosts, and what the keepers' runs recorded."""
    schedules = compile_project(each, TODAY.date())
    by_id = {schedule.id: schedule for schedule in schedules}
    names = [one.namespace for one in each.namespaces]
    part = Part(each, schedules, dict.fromkeys(names, QUARTER))
    boosts: list[ListedBoost] = []
    runs: dict[str, str] = {}
    for firing in part.firings():
        await environment.skip_to(firing.at)
        schedule = by_id[firing.schedule_id]
        handle = await environment.start(schedule, firing.at)
        assert not await environment.failure(handle)
        seen, namespace = await handle.describe(), schedule.request.namespace
        assert seen.run_id
        boosts.append(
            ListedBoost(
                id=seen.id,
                run=seen.run_id,
                namespace=namespace,
                window=schedule.request.window,
                fires=firing.at,
                started=seen.start_time,
                closed=seen.close_time,
                status="COMPLETED",
            )
        )
        keeper = await environment.client.get_workflow_handle(keeper_id(namespace)).describe()
        runs[keeper.run_id] = namespace
    await environment.skip_to(QUARTER.end + timedelta(days=1))
    await environment.simulator.look()
    return boosts, [await recorded(environment, run, name) for run, name in runs.items()]


async def recorded(environment: Environment, run: str, namespace: str) -> KeeperRecord:
    """Return what an ended *run* of the keeper of *namespace* did."""
    keeper = environment.client.get_workflow_handle(keeper_id(namespace), run_id=run)
    seen = await keeper.describe()
    span = seen.start_time, seen.close_time
    return await record_on_record(environment.client, namespace, run, span, QUARTER.end)


def true_span(
    entries: Sequence[Entry], occurrence: Occurrence, steps: Sequence[Step]
) -> tuple[datetime, datetime]:
    """Return from when to when *occurrence* had its capacity, by the Cloud and the timeline.

    It ends with the first change at or after its end, where its end leaves less to be in
    force; else with its end, since others went on with as much.
    """
    due = step_at(steps, occurrence.fires).capacity.tru or 0
    since = max(
        occurrence.fires,
        next(one.at for one in entries if one.at >= occurrence.fires - 60 * SECOND),
    )
    before = step_at(steps, occurrence.end - SECOND).capacity.tru or 0
    after = step_at(steps, occurrence.end).capacity.tru or 0
    assert due
    if after >= before:
        return since, occurrence.end
    return since, next(one.at for one in entries if one.at >= occurrence.end)


async def test_a_quarter_is_what_the_simulator_knows() -> None:
    """Each boost's time in force is the Cloud's own, and the hours are those of the bill."""
    calendars = quarter()
    each = project(*calendars)
    async with start_environment(calendars) as environment:
        boosts, records = await played(environment, each)
        history = history_of(boosts, records, QUARTER, QUARTER.end, Prices(), Reach())
        truths = {one: environment.simulator.history(one) for one in (PAYMENTS, SEARCH)}
    expected = []
    for one in calendars:
        steps = expected_steps(one, QUARTER)
        for occurrence in fired_in(one, QUARTER):
            spans = true_span(truths[one.namespace], occurrence, steps)
            expected.append((occurrence.window.name, occurrence.start, occurrence.end, *spans))
    seen = [(one.window, one.start, one.end, one.since, one.until) for one in history.boosts]
    assert len(expected) == len(boosts) > 30
    assert {name for name, *_ in expected} == {"settlement", "payroll", "close", "batch"}
    for real, told in zip(sorted(expected), sorted(seen), strict=True):
        assert real[:3] == told[:3]
        late = [abs(one - other) for one, other in zip(real[3:], told[3:], strict=True)]
        assert max(late) < SECOND, (real, told)
    assert {one.outcome for one in history.boosts} == {"held"}
    bill = compute_bill(calendars, QUARTER, Prices())
    foreseen = {one.namespace: one.lines for one in history.foreseen.namespaces}
    billed = {one.namespace: one.lines for one in history.billed.namespaces}
    for one in bill.namespaces:
        assert foreseen[one.namespace] == one.lines
    # What ends at ten minutes to the hour is billed as foreseen; a revert just after an hour
    # mark is billed one hour more, each time.
    assert hours_of(billed[PAYMENTS]) == hours_of(foreseen[PAYMENTS])
    batches = sum(one.window == "batch" for one in history.boosts)
    assert hours_of(billed[SEARCH]) == hours_of(foreseen[SEARCH]) + batches
    assert hours_of(billed[SEARCH]) == true_hours(truths[SEARCH], 2)
    assert hours_of(billed[PAYMENTS]) == true_hours(truths[PAYMENTS], None)


def hours_of(lines: Iterable[MonthlyCost]) -> int:
    """Return the billed hours of all months."""
    return sum(line.usage.billed_hours for line in lines)


def true_hours(entries: Sequence[Entry], baseline: float | None) -> int:
    """Return in how many calendar hours more than the *baseline* was in force, by the Cloud."""
    hours: set[datetime] = set()
    for one, following in pairwise(entries):
        hour = one.at.replace(minute=0, second=0, microsecond=0)
        while (one.tru or 1) > (baseline or 1) and hour < following.at:
            hours.add(hour)
            hour += timedelta(hours=1)
    return len(hours)
