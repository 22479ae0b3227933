"""The boost: what it asks for, how it ends, and what it costs."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from keeper_helpers import ScriptedCloud, staged
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowHistory
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, WorkflowRunner

from workflows.activities.watchdog import WatchdogActivities
from workflows.cloud import TemporaryError
from workflows.contract import (
    ON_DEMAND,
    RETRY_SIGNAL,
    WATCHDOG_ID,
    WATCHDOG_WORKFLOW,
    BoostRequest,
    CalendarView,
    Capacity,
    Fleet,
    KubernetesTarget,
    WatchdogInput,
    format_instant,
    occurrence_of,
)
from workflows.contract.from_code import BoostFromCode
from workflows.keeper import CapacityKeeper
from workflows.provision import ProvisionBoost, RequestBoost, wait_before_next
from workflows.watchdog import Watchdog
from workflows.worker import RUNNER, SANDBOX, build_worker

HISTORIES = Path(__file__).parent / "data" / "histories"

ACTIONS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: "workflow started",
    EventType.EVENT_TYPE_TIMER_STARTED: "timer",
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: "activity",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: "signal",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: "update",
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: "search attributes",
    EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED: "memo",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: "continue as new",
}
"""The events that Temporal bills as Actions; each attempt of an activity counts."""


def actions(histories: Iterable[WorkflowHistory]) -> Counter[str]:
    """Count the Actions in *histories* by what they are for."""
    counted: Counter[str] = Counter()
    for history in histories:
        for event in history.events:
            if event.event_type in ACTIONS:
                counted[ACTIONS[event.event_type]] += 1
            extra = event.activity_task_started_event_attributes.attempt - 1
            counted["activity"] += max(0, extra)
    return counted


FLEET = Fleet(name="payments", min=2, max=30, lead_seconds=900)
TARGET = KubernetesTarget(kind="HorizontalPodAutoscaler", namespace="payments", name="workers")
PULLED: dict[str, Any] = {"workers": {"payments": 20}, "fleets": (FLEET,)}
PUSHED = PULLED | {"fleets": (replace(FLEET, kubernetes=TARGET),)}


@pytest.mark.parametrize(
    ("baseline", "url", "more", "most"),
    [
        pytest.param(ON_DEMAND, "", {}, 7, id="declared"),
        pytest.param(ON_DEMAND, "https://cloud.example", {}, 8, id="declared, at an address"),
        pytest.param(None, "https://cloud.example", {}, 8, id="found"),
        pytest.param(None, "https://cloud.example", PULLED, 8, id="with a pulled fleet"),
        pytest.param(None, "https://cloud.example", PUSHED, 10, id="with a pushed fleet"),
        pytest.param(
            None,
            "https://cloud.example",
            PUSHED | {"ahead_seconds": 900, "tru_ahead_seconds": 300, "ttl_seconds": 600},
            11,
            id="with a pushed fleet that comes before the TRU",
        ),
        pytest.param(None, "https://cloud.example", PUSHED | {"tru": 0}, 7, id="workers alone"),
    ],
)
async def test_a_single_boost_costs_few_actions(
    skipping: WorkflowEnvironment,
    fresh: str,
    capsys: pytest.CaptureFixture[str],
    baseline: Capacity | None,
    url: str,
    more: dict[str, Any],
    most: int,
) -> None:
    """A boost needs at most eight Actions, all told; one of them finds out where it is.

    A floor that is pushed needs two more, and a third where the TRU wait for a lead of their own.
    """
    async with staged(skipping, fresh, url=url) as stage:
        request = stage.request(8, 0.5, window="w8", baseline=baseline)
        boost = await stage.start(replace(request, **more))
        await boost.result()
        await stage.end()
        histories = [await handle.fetch_history() for handle in (boost, stage.keeper)]
    counted = actions(histories)
    with capsys.disabled():
        print(f"\n  Actions of a single boost: {counted.total()} {dict(counted)}")
    assert counted.total() <= most
    is_pushed = more.get("fleets") == PUSHED["fleets"]
    assert stage.cluster.steps == ([20, 2] if is_pushed else [])
    assert stage.cloud.steps == ([8, None] if more.get("tru", 8) else [])


@pytest.mark.parametrize("runner", [RUNNER, SANDBOX], ids=["as in production", "sandbox"])
async def test_saved_histories_replay(runner: WorkflowRunner) -> None:
    """Workflows that were begun by an earlier release go on under this one."""
    files = sorted(HISTORIES.glob("*.json"))
    assert files
    replayer = Replayer(
        workflows=[ProvisionBoost, RequestBoost, CapacityKeeper, Watchdog], workflow_runner=runner
    )
    for file in files:
        saved = WorkflowHistory.from_json(file.stem, file.read_text(encoding="utf-8"))
        await replayer.replay_workflow(saved)


def of_any_machine(value: dict[str, object]) -> dict[str, object]:
    """Return *value* without what names the machine: a replay doesn't need it."""
    return {key: each for key, each in value.items() if key not in ("identity", "stackTrace")}


class NoRails:
    """Schedules that declare nothing."""

    async def look(self, now: datetime) -> CalendarView:
        """Return that nothing is due."""
        return CalendarView()

    async def admit(self, boost: BoostFromCode, now: datetime) -> BoostRequest:
        """Admit any *boost*."""
        seconds = round(boost.length.total_seconds())
        return BoostRequest(
            namespace=boost.namespace, window="from-code", tru=boost.tru, ttl_seconds=seconds
        )


saving = pytest.mark.skipif("SAVE_HISTORIES" not in os.environ, reason="make histories")
"""Histories are written down that aren't there yet: those of a release stay as they are."""


async def save(name: str, handle: WorkflowHandle[Any, Any]) -> None:
    """Write down the history of *handle* as *name*, unless there is one."""
    file = HISTORIES / f"{name}.json"
    if not file.exists():
        history = await handle.fetch_history()
        text = json.dumps(json.loads(history.to_json(), object_hook=of_any_machine), indent=1)
        file.write_text(text + "\n", encoding="utf-8")


@saving
async def test_save_histories(skipping: WorkflowEnvironment, fresh: str) -> None:
    """Histories of boost and keeper in the situations that matter are written down."""
    watchdog = WatchdogActivities(
        skipping.client, ScriptedCloud(skipping.get_current_time), NoRails()
    )
    async with staged(skipping, fresh, available=4.0, watchdog=watchdog) as stage:
        code = await stage.client.start_workflow(
            "RequestBoost",
            {"schema": 1, "namespace": stage.namespace, "tru": 2, "for": "30m", "by": "shop"},
            id=f"boost/{stage.namespace}/shop-1",
            task_queue=stage.queue,
        )
        await code.result()
        await stage.end()
        boost = await stage.start(stage.request(8, 1))
        await stage.in_force(4)
        stage.cloud.available = None
        await boost.result()
        other = await stage.start(stage.request(4, 2, combine="add", baseline=Capacity(2)))
        await stage.in_force(12)
        stage.cloud.faults = [TemporaryError("busy", retry_after=5), RuntimeError("a bug")]
        await stage.release(window="w8")
        await stage.end()
        for name, handle in (
            ("boost-from-code", code),
            ("boost", boost),
            ("boost-add", other),
            ("keeper", stage.keeper),
        ):
            await save(name, handle)


@saving
async def test_save_the_history_of_a_successor(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A keeper that was terminated, and the one that recovers its leases and goes on."""
    async with staged(skipping, fresh, capacity=Capacity(3)) as stage:
        await stage.boost(8, 2)
        run = (await stage.keeper.describe()).run_id
        await stage.keeper.terminate("an operator's mistake")
        await stage.start_keeper(broken_run=run)
        await stage.says(lambda status: bool(status.leases))
        await stage.boost(4, 1, combine="add")
        await stage.end()
        await save(
            "keeper-terminated", stage.client.get_workflow_handle(stage.keeper.id, run_id=run)
        )
        await save("keeper-successor", stage.keeper)


@saving
async def test_save_the_history_of_a_watchdog(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A watchdog that makes one round."""
    cloud = ScriptedCloud(clock=skipping.get_current_time)

    async def no_keepers(_: Client) -> set[str]:
        return set()

    watchdog = WatchdogActivities(skipping.client, cloud, list_keepers=no_keepers, task_queue=fresh)
    async with build_worker(skipping.client, cloud, task_queue=fresh, watchdog=watchdog):
        task = WatchdogInput(for_seconds=1, every_seconds=1)
        handle = await skipping.client.start_workflow(
            WATCHDOG_WORKFLOW, task, id=WATCHDOG_ID, task_queue=fresh
        )
        await handle.result()
        await save("watchdog", handle)


async def test_a_late_firing_does_nothing(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A firing after its window's end is recorded, says how late it is, and asks nobody."""
    async with staged(skipping, fresh) as stage:
        now = await skipping.get_current_time()
        ended = now - timedelta(minutes=5)
        request = request_ending(stage.namespace, now, ended)
        result = await (await stage.start(request)).result()
        assert not result.in_force
        assert result.message.startswith("late by 5m: the window ended at")
        assert stage.cloud.calls == []


def request_ending(namespace: str, now: datetime, end: datetime) -> BoostRequest:
    """Return a request whose window, started about *now*, ends at *end*: by table."""
    starts = [now + timedelta(milliseconds=step) for step in range(20_000)]
    return BoostRequest(
        namespace=namespace,
        window="w",
        tru=8,
        ttl_seconds=3600,
        ends={format_instant(start): format_instant(end) for start in starts},
    )


async def test_a_window_opens_after_its_lead(skipping: WorkflowEnvironment, fresh: str) -> None:
    """The lease runs to the window's own end: lead and length after the nominal time."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 1, ahead_seconds=600)
        (lease,) = (await stage.status()).leases
        assert lease.until - lease.start == timedelta(hours=1)
        raised = stage.cloud.history[0][0]
        assert timedelta(minutes=9) < lease.start - raised <= timedelta(minutes=10)


async def test_a_boost_that_is_never_covered_is_red(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """A window that ended without its capacity fails with a sentence that says what to do."""
    async with staged(skipping, fresh) as stage:
        stage.cloud.faults = [TemporaryError("the Cloud is down")] * 10_000
        boost = await stage.start(stage.request(8, 1, reason="month end"))
        with pytest.raises(WorkflowFailureError) as red:
            await boost.result()
        words = str(red.value.cause)
        assert "did not get the 8 TRU of w8 before its end" in words
        assert "the Cloud is down" in words
        assert "check the Cloud API key" in words


async def test_a_boost_that_is_covered_at_last_is_green(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """It asks a last time before its end: a capacity that came since the time before counts."""
    async with staged(skipping, fresh) as stage:
        stage.cloud.faults = [TemporaryError("the Cloud is down")] * 10_000
        boost = await stage.start(stage.request(8, 1 / 3))
        await skipping.sleep(timedelta(minutes=18))  # after the request at 17:10
        stage.cloud.faults.clear()
        await stage.keeper.signal(RETRY_SIGNAL)
        assert (await boost.result()).in_force


@pytest.mark.parametrize(
    ("pause", "left", "wait"),
    [
        (10, 3600, 10),
        (180, 186, 180),
        (180, 184, 179),
        (180, 6, 1),
        (180, 5, 5),
        (180, 0, 0),
        (180, -1, 0),
    ],
)
def test_the_last_request_comes_before_the_end(pause: int, left: int, wait: int) -> None:
    """Seconds to wait: five are left after the last request, and no negative ones."""
    found = wait_before_next(timedelta(seconds=pause), timedelta(seconds=left))
    assert found == timedelta(seconds=wait)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"until": "25:99"}, "can't be read", id="no such time"),
        pytest.param({"until": "06:00", "timezone": "Mars/Base"}, "can't be read", id="no zone"),
        pytest.param({"tru": 0}, "requests nothing", id="no TRU"),
    ],
)
async def test_a_request_that_makes_no_sense_is_red(
    skipping: WorkflowEnvironment, fresh: str, changes: dict[str, object], words: str
) -> None:
    """What can't be read fails the boost at once, instead of keeping it busy."""
    async with staged(skipping, fresh) as stage:
        tru = int(str(changes.pop("tru", 8)))
        boost = await stage.start(stage.request(tru, 1, **changes))
        with pytest.raises(WorkflowFailureError) as red:
            await boost.result()
        assert words in str(red.value.cause)


def test_a_named_end_counts_before_the_length() -> None:
    """An occurrence whose end the schedule names ends then; others after their length."""
    start = datetime.fromisoformat("2027-01-31T23:00:00+00:00")
    request = BoostRequest(
        namespace="n.a",
        window="w",
        tru=8,
        ttl_seconds=3600,
        ends={"2027-01-31T23:00:00Z": "2027-02-01T05:00:00Z"},
    )
    assert occurrence_of(request, start)[1].isoformat() == "2027-02-01T05:00:00+00:00"
    later = start + timedelta(days=1)
    assert occurrence_of(request, later)[1] == later + timedelta(hours=1)
