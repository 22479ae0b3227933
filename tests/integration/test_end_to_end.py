"""From a calendar file to a boost and back, on a real Temporal server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import real_server
from sync_helpers import eventually
from temporalio.client import Client

from planner.cli.app import UI_PORT
from planner.cli.demo import local_stack
from planner.cli.request import desired_state
from planner.config.load import read
from planner.forecast.timeline import (
    CapacityRecord,
    FleetStep,
    fleet_steps,
    occurrences_in,
    timeline,
    violations,
)
from planner.model import Horizon, NamespaceCalendar, Project
from planner.simulator import Simulator
from planner.temporal.client import free_port, server_of
from planner.temporal.sync import SyncReport, SyncRequest, sync
from planner.temporal.watchdog import LiveCalendars, fetch_report
from workflows.activities.floors import Replicas
from workflows.activities.keeper import KeeperStates
from workflows.cloud import CloudClient, OneKey
from workflows.contract import Capacity, WatchdogReport
from workflows.contract.fleets import NotKnown
from workflows.worker import build_worker

pytestmark = pytest.mark.integration

NAMESPACE = "orders-prod.a1b2c"
SETTLE = timedelta(seconds=6)


def calendar_text(opens: datetime) -> str:
    """Return a calendar of two overlapping windows: 4 TRU for longer, 8 TRU for shorter.

    The longer one needs workers, too, and needs them earlier than its TRU.
    """

    def second(offset: int) -> str:
        return f"{opens + timedelta(seconds=offset):%Y-%m-%dT%H:%M:%S}"

    return f"""
        namespace: {NAMESPACE}
        timezone: UTC
        baseline: {{tru: 2}}
        defaults: {{lead: 4s, jitter: 1s}}
        fleets:
          orders: {{min: 1, max: 9, lead: 8s}}
        windows:
          longer:
            dates: [{{start: {second(0)}, end: {second(15)}}}]
            tru: 4
            workers: {{orders: 5}}
          shorter:
            dates: [{{start: {second(5)}, end: {second(10)}}}]
            tru: 8
    """


def read_calendar(directory: Path, opens: datetime) -> Project:
    """Return the project of one calendar file in *directory*."""
    directory.joinpath("planner.yaml").write_text("project: end-to-end\n", encoding="utf-8")
    directory.joinpath("orders.yaml").write_text(calendar_text(opens), encoding="utf-8")
    return read(directory)


async def sync_now(client: Client, project: Project, directory: Path) -> SyncReport:
    """Sync *project* as ``planner sync`` does."""
    now = datetime.now(UTC)
    order = SyncRequest(desired=desired_state(project, directory, now))
    return await sync(server_of(client), order, now)


def equals_the_timeline(
    calendar: NamespaceCalendar, horizon: Horizon, history: list[CapacityRecord]
) -> tuple[str, ...]:
    """Return how *history* differs from the calendar's own timeline."""
    steps = timeline(calendar, horizon)
    wanted = [step.capacity for step in steps]
    seen = [held.capacity for held in history]
    faults = () if seen == wanted else (f"{seen} instead of {wanted}",)
    asked = timeline(calendar, horizon, "requested")
    return faults + violations(history, steps, asked, Capacity(2), settle=SETTLE)


Seen = list[tuple[datetime, datetime, int]]
"""Answers to how many workers there should be, each with the times before and after it."""


async def watch_fleet(client: Client, seen: Seen) -> None:
    """Ask as a worker answers ``GET /v1/replicas/orders``, until it is cancelled."""
    replicas = Replicas(client, LiveCalendars(server_of(client)), KeeperStates(client))
    while True:
        before = datetime.now(UTC)
        with suppress(NotKnown):
            answer = await replicas.answer("orders", before)
            seen.append((before, datetime.now(UTC), answer.replicas))
        await asyncio.sleep(0.2)


def unlike_the_floor(calendar: NamespaceCalendar, horizon: Horizon, seen: Seen) -> tuple[str, ...]:
    """Return which answers are less than is promised, or more than is requested."""
    (fleet,) = calendar.fleets
    runs = occurrences_in(calendar.windows, horizon, "requested")
    promised, requested = (
        fleet_steps(fleet, runs, horizon, view) for view in ("promised", "requested")
    )

    def during(steps: tuple[FleetStep, ...], first: datetime, last: datetime) -> list[int]:
        return [step.replicas for step in steps if step.start <= last and step.end > first]

    return tuple(
        f"{found} workers at {first}"
        for first, last, found in seen
        if not min(during(promised, first, last)) <= found <= max(during(requested, first, last))
    )


async def test_from_a_calendar_file_to_a_boost_and_back(tmp_path: Path) -> None:
    """A synced calendar is followed: ready, 4 → 8 → 4, released; a second sync is idle.

    And as many workers are requested as its timeline has.
    """
    seen: Seen = []
    # A server of its own: boosts are started on the one task queue of the product.
    async with (
        real_server() as environment,
        Simulator(provisioning=0.5, check=0.1) as simulator,
    ):
        await simulator.create(NAMESPACE, tru=2)
        async with (
            CloudClient(simulator.url, OneKey("key"), poll=0.1) as cloud,
            build_worker(environment.client, cloud, grace=timedelta(seconds=1)),
        ):
            began = datetime.now(UTC).replace(microsecond=0)
            opens = began + timedelta(seconds=14)
            project = read_calendar(tmp_path, opens)
            (calendar,) = project.namespaces
            first = await sync_now(environment.client, project, tmp_path)
            ids = sorted(outcome.change.id for outcome in first.outcomes)
            assert ids == [f"boost/{NAMESPACE}/longer", f"boost/{NAMESPACE}/shorter"]
            assert (await sync_now(environment.client, project, tmp_path)).outcomes == ()
            watching = asyncio.create_task(watch_fleet(environment.client, seen))
            await simulator.until(lambda: len(simulator.history(NAMESPACE)) == 5, timeout=60)
            watching.cancel()
            assert (await sync_now(environment.client, project, tmp_path)).outcomes == ()
        entries = simulator.history(NAMESPACE)
    history = [CapacityRecord(entry.at, Capacity(entry.tru)) for entry in entries]
    horizon = Horizon(began, began + timedelta(seconds=120))
    assert equals_the_timeline(calendar, horizon, history) == ()
    assert unlike_the_floor(calendar, horizon, seen) == ()
    assert any(found == 5 for first, _, found in seen if first >= opens), "while it was open"


async def test_what_runs_locally_has_a_watchdog() -> None:
    """The stack of ``planner dev`` and ``planner demo`` is looked after as a worker's is."""
    async with local_stack(ui_port=free_port(UI_PORT), simulator_port=0) as stack:

        async def reported() -> WatchdogReport:
            report = await fetch_report(stack.temporal.client)
            assert report is not None
            return report

        report: WatchdogReport = await eventually(reported, within=45)
        assert (report.cloud, report.problems) == (stack.simulator.url, ())
