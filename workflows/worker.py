"""The worker: everything that the run time needs in one process, until it is told to stop."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.activities.capacity import PATIENCE, CapacityActivities, Cloud
from workflows.activities.keeper import KeeperActivities
from workflows.contract import TASK_QUEUE
from workflows.keeper import CapacityKeeper
from workflows.keeper_state import LOOK_EVERY
from workflows.provision import ProvisionBoost

ACTIVITIES_AT_ONCE = 4_000
"""Activities mostly wait: a claim and a step for each of two thousand namespaces."""

WORKFLOWS_IN_MEMORY = 1_000
"""Workflows whose state is kept between their tasks; others are replayed when needed."""

WORKFLOW_TASKS_AT_ONCE = 16
"""Workflow tasks that are taken from the server at once. They share one interpreter, so
that more of them end no sooner; those that wait, wait at the server."""

GRACE = timedelta(seconds=20)
"""How long activities may go on after the worker was told to stop; they are safe to cut."""


RUNNER = UnsandboxedWorkflowRunner()
"""What runs workflow code: plainly, imported once. See decision 8."""

PURE_MODULES = (
    "activity_types",
    "backoff",
    "contract",
    "keeper_state",
    "keeper_transitions",
    "lease_demand",
    "operation_ids",
    "ui_text",
)

SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        *(f"workflows.{name}" for name in PURE_MODULES)
    )
)
"""What runs it in tests: each workflow on its own import, and kept from what is not
deterministic. What is pure is imported once."""


def build_worker(
    client: Client,
    cloud: Cloud,
    *,
    task_queue: str = TASK_QUEUE,
    patience: float = PATIENCE,
    grace: timedelta = GRACE,
    workflows_in_memory: int = WORKFLOWS_IN_MEMORY,
    runner: WorkflowRunner = RUNNER,
    look_every: timedelta = LOOK_EVERY,
) -> Worker:
    """Return a worker for boosts and keepers that reaches the Cloud API through *cloud*.

    It runs while its context lasts, ``async with build_worker(…):``, and is shut down
    gracefully at the end.

    Args:
        client: A client of the Temporal namespace that they live in.
        cloud: The Cloud Operations API.
        task_queue: Where the schedules start their boosts.
        patience: Seconds that one step waits for its change to be in force.
        grace: How long activities may go on once the worker is told to stop.
        workflows_in_memory: How many are kept between their tasks; with 0 every task
            replays its workflow from the beginning.
        runner: What runs workflow code.
        look_every: How often keepers look for what others changed.
    """
    capacity, keepers = (
        CapacityActivities(cloud, patience=patience),
        KeeperActivities(client, look_every=look_every),
    )
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[ProvisionBoost, CapacityKeeper],
        activities=[
            capacity.observe,
            capacity.drive,
            keepers.ask,
            keepers.give_back,
            keepers.recall,
        ],
        workflow_runner=runner,
        max_concurrent_activities=ACTIVITIES_AT_ONCE,
        max_cached_workflows=workflows_in_memory,
        max_concurrent_workflow_tasks=WORKFLOW_TASKS_AT_ONCE,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(minimum=2, maximum=10, initial=5),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(minimum=2, maximum=50, initial=5),
        graceful_shutdown_timeout=grace,
    )


async def run_worker(
    client: Client,
    cloud: Cloud,
    *,
    stop: asyncio.Event,
    task_queue: str = TASK_QUEUE,
) -> None:
    """Run a worker until *stop* is set; what is under way then may take `GRACE` to end."""
    async with build_worker(client, cloud, task_queue=task_queue):
        await stop.wait()
