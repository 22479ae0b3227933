"""A found baseline outlives the run that found it: on a real server and a simulated Cloud."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from keeper_helpers import Stage, simulated, staged
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest,
)
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from planner.simulator import Simulator
from workflows.contract import Capacity
from workflows.contract.findings import ALARMING
from workflows.keeper_state import compose_id, origin_of

pytestmark = pytest.mark.integration

SECONDS = 1 / 3600


def steps(simulator: Simulator, stage: Stage) -> list[float | None]:
    """Return the TRU that were in force, one after another; None for on-demand."""
    return [entry.tru for entry in simulator.history(stage.namespace)]


async def is_back(stage: Stage, tru: float | None) -> None:
    """Wait until the keeper has nothing left to do, and *tru* is in force."""
    await stage.says(lambda status: (status.health, status.capacity) == ("ok", Capacity(tru)))


async def reset(stage: Stage, event: int | None = None, *, forgets: bool = False) -> None:
    """Reset the keeper to its first workflow task, as the CLI does, or to *event*.

    One that *forgets* isn't sent again the updates that came after it.
    """
    run = (await stage.keeper.describe()).run_id
    if event is None:
        event = await first_task(stage)
    await stage.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=stage.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=stage.keeper.id, run_id=run),
            reason="an operator's mistake",
            workflow_task_finish_event_id=event,
            request_id=f"reset-{run}",
            reset_reapply_exclude_types=[ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE]
            if forgets
            else [],
        )
    )


async def first_task(stage: Stage) -> int:
    """Return the event with which the keeper's first workflow task was completed."""
    async for event in stage.keeper.fetch_history_events():
        if event.HasField("workflow_task_completed_event_attributes"):
            return event.event_id
    raise AssertionError("no workflow task was completed")


async def last_task(stage: Stage) -> int:
    """Return the event with which the keeper's latest workflow task was completed."""
    return max(
        [
            event.event_id
            async for event in stage.keeper.fetch_history_events()
            if event.HasField("workflow_task_completed_event_attributes")
        ]
    )


async def delete(stage: Stage) -> None:
    """Delete the keeper, history and all, and wait until the server has forgotten it."""
    await stage.client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=stage.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=stage.keeper.id),
        )
    )
    with suppress(RPCError):
        while await stage.keeper.describe():  # noqa: ASYNC110 - a deletion is no event
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("before", [None, 3.0], ids=["on-demand", "3 TRU"])
async def test_a_reset_keeper_goes_back_to_the_original(
    dev_server: WorkflowEnvironment, fresh: str, before: float | None
) -> None:
    """A keeper that is reset in its boost knows its leases, and what was there before them."""
    async with simulated(dev_server, fresh, tru=before) as (stage, simulator):
        await stage.boost(8, 1)
        await reset(stage)
        status = await stage.says(lambda status: status.baseline is not None)
        assert status.baseline == Capacity(before)
        assert [lease.window for lease in status.leases] == ["w8"]
        await stage.release()
        await is_back(stage, before)
        assert steps(simulator, stage) == [before, 8, before]


async def test_a_successor_that_is_reset_knows_the_leases_of_both_runs(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """What it had recovered is recovered again, and so is what it granted itself."""
    async with simulated(dev_server, fresh, tru=3.0) as (stage, simulator):
        await stage.boost(4, 1)
        await stage.keeper.terminate("an operator's mistake")
        await stage.boost(8, 1)
        await reset(stage, forgets=True)
        status = await stage.says(lambda status: len(status.leases) == 2)
        assert status.baseline == Capacity(3)
        await stage.release()
        await is_back(stage, 3)
        assert steps(simulator, stage) == [3, 4, 8, 3]


async def test_a_keeper_that_is_reset_on_its_way_down_goes_on(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """No lease is left to make a reset keeper look: it does all the same."""
    async with simulated(dev_server, fresh, tru=3.0) as (stage, simulator):
        await stage.boost(8, 3 * SECONDS)
        fault = {"status": 500, "namespace": stage.namespace, "times": 0}
        simulator.fault("update", "error", **fault)
        await stage.says(lambda status: "HTTP 500" in status.details)
        await reset(stage)
        await simulator.clear_faults()
        assert await stage.end() == "3 TRU in force, the baseline"
        assert steps(simulator, stage) == [3, 8, 3]


async def test_a_keeper_that_is_reset_to_a_later_point_goes_on(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """What was written after the point that a keeper was reset to is known for its own."""
    async with simulated(dev_server, fresh, tru=3.0) as (stage, simulator):
        await stage.boost(4, 1)
        point = await last_task(stage)
        assert (await stage.boost(8, 4 * SECONDS)).in_force
        fault = {"status": 500, "namespace": stage.namespace, "times": 0}
        simulator.fault("update", "error", **fault)
        await stage.says(lambda status: "HTTP 500" in status.details)
        await reset(stage, point)
        await simulator.clear_faults()
        await stage.says(lambda status: len(status.leases) == 1)
        await stage.release()
        await is_back(stage, 3)
        assert steps(simulator, stage) == [3, 4, 8, 3]


async def test_a_deleted_keeper_s_successor_goes_back_to_the_original(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """The next firing finds no trace of the keeper, and the original in the Cloud's own record."""
    async with simulated(dev_server, fresh, tru=3.0) as (stage, simulator):
        await stage.boost(8, 1)
        await delete(stage)
        await stage.boost(10, 1, window="next")
        assert (await stage.status()).baseline == Capacity(3)
        await stage.release()
        await is_back(stage, 3)
        assert steps(simulator, stage) == [3, 8, 10, 3]


async def test_ids_are_readable(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """Each change in the Cloud's audit log names its namespace, window, step and baseline."""
    async with simulated(dev_server, fresh, tru=3.0) as (stage, simulator):
        await stage.boost(8, 1, window="Month end")
        await stage.release()
        await is_back(stage, 3)
        up, down = simulator.state.account.operations
        assert up.startswith(f"boost-{stage.namespace}-month-end-to-8tru-from-3tru-")
        assert down.startswith(f"boost-{stage.namespace}-baseline-to-3tru-from-3tru-")


# Where it can't be known ----------------------------------------------------------------


async def in_doubt(stage: Stage) -> None:
    """Boost with a keeper that finds 8 TRU of its own, and no word of what was before."""
    stage.cloud.request = compose_id(stage.namespace, "w8", Capacity(8), None, "abc")
    assert origin_of(stage.cloud.request, stage.namespace) is None
    await stage.boost(4, 2 * SECONDS)


@pytest.mark.parametrize("how", ["declared", "by hand", "cancelled"])
async def test_it_says_that_the_baseline_is_not_known(
    dev_server: WorkflowEnvironment, fresh: str, how: str
) -> None:
    """A keeper's own boost is not its baseline: it stays, alarms, and waits for somebody's word."""
    async with staged(dev_server, fresh, capacity=Capacity(8), within=40) as stage:
        await in_doubt(stage)
        status = await stage.says(lambda status: not status.leases)
        assert status.health == "unknown"
        assert status.health in ALARMING
        assert status.baseline is None
        assert "Declare one in the calendar" in status.details
        assert stage.cloud.writes == []
        if how == "declared":
            await stage.boost(4, 2 * SECONDS, window="next", baseline=Capacity(3))
            assert await stage.end() == "3 TRU in force, the baseline"
        elif how == "by hand":
            await stage.cloud.set(Capacity(2))
            await stage.boost(4, 2 * SECONDS, window="next")
            await stage.in_force(2)
        else:
            await stage.keeper.cancel()
            with pytest.raises(WorkflowFailureError):
                await stage.end()


async def test_a_run_that_is_gone_leaves_a_doubt(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """A broken run that can't be read may have raised what is found, also with another's id."""
    async with staged(dev_server, fresh, capacity=Capacity(8)) as stage:
        await stage.start_keeper(broken_run="8f7a51c6-3dc0-4a2e-9c1c-2f5d8a1b0c3e")
        status = await stage.says(lambda status: status.health == "unknown")
        assert "can't be read" in status.details
        assert stage.cloud.writes == []
        await stage.boost(4, 2 * SECONDS, baseline=Capacity(3))
        assert await stage.end() == "3 TRU in force, the baseline"


async def test_a_run_that_is_gone_leaves_no_doubt_of_on_demand(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """No keeper boosts to on-demand: where that is in force, nothing is up."""
    async with staged(dev_server, fresh) as stage:
        await stage.start_keeper(broken_run="8f7a51c6-3dc0-4a2e-9c1c-2f5d8a1b0c3e")
        assert await stage.end() == "no lease was requested, nothing was changed"
        assert stage.cloud.writes == []
