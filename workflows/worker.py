"""The worker: workflows and activities in one process, until it is stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.activities.capacity import (
    ATTEMPT_PATIENCE,
    CapacityActivities,
    Cloud,
    RefusedKeys,
    signal_keepers,
)
from workflows.activities.floors import Cluster, FloorActivities
from workflows.activities.keeper import BoostActivities, KeeperActivities, KeeperStates
from workflows.activities.notices import NoticeSender
from workflows.activities.watchdog import KeyExpiries, WatchdogActivities
from workflows.cloud import KeySource
from workflows.contract import TASK_QUEUE, BaselinePolicy, Calendars, RoundView
from workflows.keeper import CapacityKeeper
from workflows.keeper_state import OBSERVE_EVERY
from workflows.provision import ProvisionBoost, RequestBoost
from workflows.watchdog import Watchdog

ACTIVITIES_AT_ONCE = 4_000
"""Activities mostly wait: a lease request and a reconcile for each of 2,000 namespaces."""

WORKFLOWS_IN_MEMORY = 1_000
"""Workflows that are cached between their tasks; others are replayed when needed."""

WORKFLOW_TASKS_AT_ONCE = 16
"""Workflow tasks that are polled at once. They share one interpreter, so that more of them
end no sooner; the others wait at the server."""

WORKFLOW_POLLERS = PollerBehaviorAutoscaling(minimum=2, maximum=10, initial=5)
ACTIVITY_POLLERS = PollerBehaviorAutoscaling(minimum=2, maximum=50, initial=5)
"""Polls that wait at the server for a task: few at rest, more as tasks come."""

GRACE = timedelta(seconds=20)
"""How long activities may go on once the worker stops; they are safe to interrupt."""

STOP_MARGIN = timedelta(seconds=35)
"""How long a worker may then take to stop: a server that is away is waited for 30 s. With
`GRACE` that is less than the 60 s after which systemd and Kubernetes kill it."""

_logger = logging.getLogger(__name__)


RUNNER = UnsandboxedWorkflowRunner()
"""Runs workflow code without a sandbox, imported once. See decision 8."""

PURE_MODULES = (
    "activity_types",
    "contract",
    "floors",
    "keeper_state",
    "keeper_transitions",
    "ui_text",
)

SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        *(f"workflows.{name}" for name in PURE_MODULES)
    )
)
"""Runs it in tests: each workflow with its own import, and kept from what isn't
deterministic. `PURE_MODULES` are imported once."""


class BoundedWorker(Worker):
    """A worker that has stopped when its grace and `STOP_MARGIN` are over.

    The SDK's own may wait for ever, at the very end, when its activities have reported and its
    polls have ended (https://github.com/temporalio/sdk-python/issues/1557 tells of one).
    """

    async def shutdown(self) -> None:
        """Stop the worker, and return once it has stopped, or should have."""
        limit = self.config()["graceful_shutdown_timeout"] + STOP_MARGIN
        try:
            async with asyncio.timeout(limit.total_seconds()):
                await super().shutdown()
        except TimeoutError:
            _logger.warning("the worker did not stop within %s; it is left as it is", limit)


def build_worker(
    client: Client,
    cloud: Cloud,
    *,
    task_queue: str = TASK_QUEUE,
    patience: float = ATTEMPT_PATIENCE,
    grace: timedelta = GRACE,
    workflows_in_memory: int = WORKFLOWS_IN_MEMORY,
    runner: WorkflowRunner = RUNNER,
    observe_every: timedelta = OBSERVE_EVERY,
    watchdog: WatchdogActivities | None = None,
    refused_keys: RefusedKeys | None = None,
    cluster: Cluster | None = None,
) -> BoundedWorker:
    """Return a worker for boosts and keepers that reaches the Cloud API through *cloud*.

    It runs while its context lasts, ``async with build_worker(…):``, and ends gracefully.

    Args:
        client: A client of the Temporal namespace that they live in.
        cloud: The Cloud Operations API.
        task_queue: Where the schedules start their boosts.
        patience: Seconds that one attempt waits for its change to be in force.
        grace: How long activities may go on once the worker stops.
        workflows_in_memory: How many are kept between tasks; with 0 each task replays its own.
        runner: What runs workflow code.
        observe_every: How often keepers with leases observe their namespaces.
        watchdog: The watchdog's activity, whose calendars boosts from code are held to, too;
            None for a worker that leaves both to others.
        refused_keys: Remembers the namespaces whose key is refused, for `signal_keepers`.
        cluster: The Kubernetes cluster of the pushed fleets; None where there is none.
    """
    capacity = CapacityActivities(cloud, patience=patience, refused_keys=refused_keys)
    keepers = KeeperActivities(client, observe_every=observe_every)
    boosts = BoostActivities(watchdog.calendars) if watchdog and watchdog.calendars else None
    return BoundedWorker(
        client,
        task_queue=task_queue,
        workflows=_workflows(watchdog, boosts),
        activities=_activities(capacity, keepers, FloorActivities(cluster), watchdog, boosts),
        workflow_runner=runner,
        max_concurrent_activities=ACTIVITIES_AT_ONCE,
        max_cached_workflows=workflows_in_memory,
        max_concurrent_workflow_tasks=WORKFLOW_TASKS_AT_ONCE,
        workflow_task_poller_behavior=WORKFLOW_POLLERS,
        activity_task_poller_behavior=ACTIVITY_POLLERS,
        graceful_shutdown_timeout=grace,
        plugin_shutdown_timeout=timedelta(seconds=1),  # after that; there are no plugins
    )


def _workflows(
    watchdog: WatchdogActivities | None, boosts: BoostActivities | None
) -> list[type[Any]]:
    """Return the workflows that a worker runs."""
    found: list[type[Any]] = [ProvisionBoost, CapacityKeeper]
    if watchdog:
        found.append(Watchdog)
    if boosts:
        found.append(RequestBoost)
    return found


def _activities(
    capacity: CapacityActivities,
    keepers: KeeperActivities,
    floors: FloorActivities,
    watchdog: WatchdogActivities | None,
    boosts: BoostActivities | None,
) -> list[Callable[..., Any]]:
    """Return the activities that a worker offers."""
    return [
        capacity.observe,
        capacity.reconcile,
        keepers.request_lease,
        keepers.release_lease,
        keepers.recover_state,
        floors.reconcile,
        *([watchdog.watch] if watchdog else []),
        *([boosts.admit] if boosts else []),
    ]


async def run_worker(
    client: Client,
    cloud: Cloud,
    *,
    stop: asyncio.Event,
    task_queue: str = TASK_QUEUE,
    calendars: Calendars | None = None,
    baseline: BaselinePolicy = "enforce",
    keys: KeySource | None = None,
    on_round: Callable[[RoundView | None], None] = lambda _: None,
    sender: NoticeSender | None = None,
    key_expiries: KeyExpiries | None = None,
    states: KeeperStates | None = None,
    cluster: Cluster | None = None,
) -> None:
    """Run a worker until *stop* is set; running activities may then take `GRACE` to end.

    Args:
        client: A client of the Temporal namespace that boosts and keepers live in.
        cloud: The Cloud Operations API.
        stop: Ends it.
        task_queue: Where the schedules start their boosts.
        calendars: Reads the live schedules, for the watchdog and for boosts from code; without
            it, the watchdog looks after keepers only, and no boost comes from code.
        baseline: What the watchdog does about a declared baseline that isn't in force.
        keys: The keys that *cloud* sends: one that was refused is tried again once it has
            changed. Without them, refused keys are only retried slowly.
        on_round: Takes what each round of the watchdog saw here, and None once it isn't here.
        sender: Sends the notices that projects declare; without it, none is sent.
        key_expiries: Looks up when the keys for namespaces expire.
        states: What keepers answered last, shared with others who ask.
        cluster: The Kubernetes cluster of the pushed fleets; None where there is none.
    """
    rounds = WatchdogActivities(
        *(client, cloud, calendars, baseline, task_queue),
        on_round=on_round,
        sender=sender,
        key_expiries=key_expiries,
        states=states,
        cluster=cluster,
    )
    refused = RefusedKeys(keys) if keys else None
    worker = build_worker(
        client, cloud, task_queue=task_queue, watchdog=rounds, refused_keys=refused, cluster=cluster
    )
    async with worker, AsyncExitStack() as beside:
        if refused:
            beside.callback(asyncio.create_task(signal_keepers(client, refused)).cancel)
        await stop.wait()
