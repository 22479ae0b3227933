"""How long a keeper waits where the Cloud API asks it to, and what ends such a wait."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from keeper_helpers import Stage, staged
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment

from workflows.activity_types import KeeperInput
from workflows.cloud import TemporaryError, Throttled
from workflows.contract import (
    KEEPER_WORKFLOW,
    LEASE_UPDATE,
    Capacity,
    Fleet,
    KeeperStart,
    KubernetesTarget,
    Lease,
    LeaseAnswer,
    LeaseRequest,
)
from workflows.keeper_state import MAX_WAITING_UPDATES
from workflows.keeper_transitions import RATE_LIMIT_AT_MOST, RETRY_AFTER_AT_MOST, fault_of

A_DAY = 86_400.0
DOWN = TemporaryError("the Cloud is down", retry_after=A_DAY)
SLOW_DOWN = Throttled("too many requests", retry_after=A_DAY)
WORKERS = KubernetesTarget(kind="HorizontalPodAutoscaler", namespace="payments", name="workers")
PUSHED: dict[str, Any] = {
    "workers": {"payments": 20},
    "fleets": (Fleet(name="payments", min=2, max=30, kubernetes=WORKERS),),
}


@pytest.mark.parametrize(
    ("fault", "at_most"),
    [
        pytest.param(DOWN, timedelta(minutes=2), id="unavailable"),
        pytest.param(SLOW_DOWN, timedelta(minutes=6), id="rate limit"),
    ],
)
async def test_a_reply_does_not_freeze_the_way_down(
    skipping: WorkflowEnvironment, fresh: str, fault: Exception, at_most: timedelta
) -> None:
    """However long a server asks to be left alone, the baseline is back within minutes."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 1)
        stage.cloud.faults = [fault]
        await stage.end()
        raised, lowered = (at for at, _ in stage.cloud.history)
        assert stage.cloud.faults == []
        assert lowered - raised < timedelta(hours=1) + at_most


async def test_a_reply_does_not_freeze_the_way_up(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """Nor is a window left uncovered for it."""
    async with staged(skipping, fresh) as stage:
        stage.cloud.faults = [DOWN]
        assert (await stage.boost(8, 1)).in_force
        await stage.end()
        assert stage.cloud.steps == [8, None]


@pytest.mark.parametrize(
    ("seconds", "kind", "kept_to"),
    [
        pytest.param(30, "TemporaryError", timedelta(seconds=30), id="short"),
        pytest.param(3600, "TemporaryError", RETRY_AFTER_AT_MOST, id="an hour"),
        pytest.param(1e300, "TemporaryError", RETRY_AFTER_AT_MOST, id="longer than time"),
        pytest.param(-5, "TemporaryError", timedelta(), id="negative"),
        pytest.param(120, "Throttled", timedelta(minutes=2), id="a rate limit, short"),
        pytest.param(3600, "Throttled", RATE_LIMIT_AT_MOST, id="a rate limit, an hour"),
    ],
)
def test_what_a_server_asks_for_is_kept_to_within_a_bound(
    seconds: float, kind: str, kept_to: timedelta
) -> None:
    """Whatever number an attempt brings, also one of an earlier release."""
    cause = ApplicationError("no", seconds, type=kind)
    failed = ActivityError(
        "failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="",
        activity_type="",
        activity_id="",
        retry_state=None,
    )
    failed.__cause__ = cause
    fault = fault_of(failed)
    assert fault.retry_after == kept_to
    assert fault.is_rate_limit == (kind == "Throttled")


async def test_it_says_until_when_it_waits_and_why(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """The status names the time and the trouble, while nothing else is done."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 9)
        stage.cloud.faults = [SLOW_DOWN]
        await stage.release()
        status = await stage.says(lambda status: "too many requests" in status.details)
        assert "waiting until " in status.details
        assert stage.cloud.capacity == Capacity(8)
        await stage.end()
        assert stage.cloud.steps == [8, None]


async def test_an_answer_does_not_wait_for_a_cluster_that_is_away(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """A lease whose floor has failed is answered at once, however far off the next attempt is."""
    async with staged(skipping, fresh) as stage:
        stage.cluster.away = True
        await stage.start(replace(stage.request(8, 1), **PUSHED))
        await stage.says(lambda status: "the cluster is away" in status.details)
        async with asyncio.timeout(20):
            await stage.sleep(0.1)  # its attempts are far apart by then
        now = await skipping.get_current_time()
        until = now + timedelta(hours=1)
        lease = Lease(key="again", window="again", tru=8, start=now, until=until, **PUSHED)
        async with asyncio.timeout(10):  # in real time: the server's clock stands meanwhile
            answer = await stage.keeper.execute_update(
                LEASE_UPDATE,
                LeaseRequest(namespace=stage.namespace, lease=lease),
                result_type=LeaseAnswer,
            )
        assert (answer.granted, answer.in_force) == (True, False)
        stage.cluster.away = False
        await stage.end()
        assert stage.cluster.steps == [20, 2]


async def test_few_requests_wait_at_once(skipping: WorkflowEnvironment, fresh: str) -> None:
    """The server takes ten at once, and each worker has one more on its way: the sixth is told."""
    async with staged(skipping, fresh, patience=60) as stage:
        stage.cloud.hold = asyncio.Event()
        await stage.start(stage.request(8, 1))
        await stage.until(lambda: stage.cloud.in_flight == 1)
        now = await skipping.get_current_time()
        until = now + timedelta(hours=1)
        waiting = [
            await stage.keeper.start_update(
                LEASE_UPDATE,
                LeaseRequest(
                    namespace=stage.namespace,
                    lease=Lease(key=f"w{number}", window="w", tru=4, start=now, until=until),
                ),
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                result_type=LeaseAnswer,
            )
            for number in range(MAX_WAITING_UPDATES)
        ]
        answer = await waiting[-1].result()  # beside the boost's own
        assert (answer.granted, answer.in_force) == (True, False)
        assert stage.cloud.in_flight == 1
        stage.cloud.hold.set()
        assert [(await one.result()).in_force for one in waiting[:-1]] == [True] * 4
        await stage.release()
        await stage.in_force(None)


def test_a_keeper_of_an_earlier_release_lets_as_many_wait_as_it_did() -> None:
    """Its history replays: another number would answer one of its requests at another point."""
    assert KeeperInput(namespace="pay.a1b2c").max_waiting_updates == 8


async def raise_both(stage: Stage) -> None:
    """Start a boost of TRU and workers, and wait until both are there."""
    await stage.start(replace(stage.request(8, 1), **PUSHED))
    await stage.until(lambda: stage.cluster.floor == 20)
    await stage.in_force(8)


async def is_cancelled(stage: Stage) -> None:
    """Wait for the end of a keeper that was cancelled, while the server's clock stands."""
    async with asyncio.timeout(20):
        while (await stage.keeper.describe()).status != WorkflowExecutionStatus.CANCELED:  # noqa: ASYNC110 - of a server
            await asyncio.sleep(0.05)


async def test_a_cancelled_keeper_ends_with_its_last_floor(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """It doesn't sleep on until the end of a lease that is gone: the next window would wait."""
    async with staged(skipping, fresh) as stage:
        await raise_both(stage)
        await stage.keeper.cancel()
        await is_cancelled(stage)
        assert (stage.cloud.capacity, stage.cluster.floor) == (Capacity(), 2)


async def test_a_cluster_that_is_away_keeps_no_window_waiting_after_a_cancel(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """Whoever comes after a cancelled keeper takes over what that could not give back."""
    async with staged(skipping, fresh) as stage:
        await raise_both(stage)
        stage.cluster.away = True
        await stage.keeper.cancel()
        await stage.in_force(None)
        await stage.start(stage.request(4, 1))
        async with asyncio.timeout(20):
            while stage.cloud.capacity != Capacity(4):
                await stage.sleep(10 / 3600)
        assert stage.cluster.floor == 20
        stage.cluster.away = False
        await stage.end()
        assert (stage.cloud.steps, stage.cluster.steps) == ([8, None, 4, None], [20, 2])


async def test_a_floor_whose_object_was_deleted_is_given_back(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """Mark and floor went with it: the keeper ends, and is not tried again for ever."""
    async with staged(skipping, fresh) as stage:
        await raise_both(stage)
        stage.cluster.deleted = True
        await stage.end()
        described = await stage.keeper.describe()
        assert described.status == WorkflowExecutionStatus.COMPLETED
        assert "is gone, and the floor of payments with it" in (await stage.status()).details
        assert (stage.cloud.steps, stage.cluster.steps) == ([8, None], [20])


async def test_an_object_that_is_not_there_is_waited_for_while_a_window_runs(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """It may come yet, with its workers."""
    async with staged(skipping, fresh) as stage:
        stage.cluster.deleted = True
        await stage.start(replace(stage.request(8, 1), **PUSHED))
        await stage.says(lambda status: "HTTP 404" in status.details)
        stage.cluster.deleted = False
        await stage.end()
        assert stage.cluster.steps == [20, 2]


async def test_a_run_that_grows_with_a_cluster_that_is_away_continues_as_new(
    skipping: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else wakes a keeper that waits for a floor alone, as long as that can't be set."""
    monkeypatch.setattr("workflows.keeper_state.UPDATES_PER_RUN", 3)
    async with staged(skipping, fresh) as stage:
        await raise_both(stage)
        stage.cluster.away = True
        await stage.sleep(1.1)
        await stage.in_force(None)
        await stage.says(lambda status: status.health == "reverting")
        run = (await stage.keeper.describe()).run_id
        for _ in range(3):
            assert await stage.release(window="another") == []
        async with asyncio.timeout(20):
            while (await stage.keeper.describe()).run_id == run:
                await stage.sleep(60 / 3600)
        stage.cluster.away = False
        await stage.end()
        assert (stage.cloud.steps, stage.cluster.steps) == ([8, None], [20, 2])


async def test_a_successor_raises_no_floor_for_a_lease_that_was_released(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """It first learns from the run before it what was released."""
    async with staged(skipping, fresh) as stage:
        await raise_both(stage)
        (lease,) = (await stage.status()).leases
        await stage.keeper.cancel()
        await stage.until(lambda: stage.cluster.floor == 2)
        await is_cancelled(stage)
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            KEEPER_WORKFLOW,
            KeeperStart(
                namespace=stage.namespace,
                broken_run=(await stage.keeper.describe()).run_id,
            ),
            id=stage.keeper.id,
            task_queue=stage.queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )
        answer: LeaseAnswer = await stage.client.execute_update_with_start_workflow(
            LEASE_UPDATE,
            LeaseRequest(namespace=stage.namespace, lease=lease),
            start_workflow_operation=start,
            result_type=LeaseAnswer,
        )
        assert not answer.in_force
        await stage.end()
        assert (stage.cloud.capacity, stage.cluster.steps) == (Capacity(), [20, 2])
