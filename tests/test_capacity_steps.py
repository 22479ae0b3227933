"""What one step reports of a change that was under way before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import ActivityEnvironment

from workflows.activities.capacity import CapacityActivities
from workflows.activity_types import Observation, ReconcileInput
from workflows.cloud import CapacityOptions, InsufficientCapacity, ObservedCapacity, TemporaryError
from workflows.contract import ON_DEMAND, Capacity, Lease
from workflows.keeper_state import KeeperState
from workflows.keeper_transitions import fault_of

START = datetime(2027, 1, 31, 23, tzinfo=UTC)


@dataclass
class BusyCloud:
    """A Cloud that has 4 TRU in force and a change to *pending* under way."""

    pending: Capacity | None
    is_short: bool = False
    left: float = 4.0
    options_known: bool = True
    most: float = 8.0
    url: str = ""

    async def observe(self, namespace: str) -> ObservedCapacity:
        """Return what is in force, and what is under way."""
        return ObservedCapacity(Capacity(4), self.pending, "", "", 2_000)

    async def options(self, namespace: str) -> CapacityOptions:
        """Return that all up to *most* can be had, unless nothing is known of it."""
        if not self.options_known:
            raise TemporaryError("the options can't be read")
        return CapacityOptions((2.0, 4.0, 6.0, 8.0), self.most, 500)

    async def set_capacity(
        self, namespace: str, capacity: Capacity, *, key: str, heartbeat: Callable[[str], None]
    ) -> ObservedCapacity:
        """Wait for what is under way, which does not end, or refuse."""
        if self.is_short:
            raise InsufficientCapacity("not enough", available=self.left)
        await asyncio.Event().wait()
        raise AssertionError("never reached")


async def step(busy: BusyCloud, tru: int | None, **changes: Any) -> Observation:
    """Return what a step to *tru* reports; None for the way back, with nothing requested."""
    lease = Lease(
        key="w", window="w", tru=tru or 0, start=START, until=START + timedelta(hours=1), by="test"
    )
    leases = () if tru is None else (lease,)
    own = (Capacity(4), Capacity(8))
    known = KeeperState(
        **{"namespace": "n.a", "leases": leases, "baseline": ON_DEMAND, "requested": own, **changes}
    )
    activities = CapacityActivities(busy, patience=0.01)
    observation: Observation = await ActivityEnvironment().run(
        activities.reconcile, ReconcileInput(state=known, key="k")
    )
    return observation


@pytest.mark.parametrize(
    ("pending", "tru", "coming"),
    [
        (None, 6, Capacity(6)),
        (ON_DEMAND, 4, ON_DEMAND),
        (ON_DEMAND, 8, ON_DEMAND),
        (Capacity(8), None, ON_DEMAND),
        (Capacity(6), 8, Capacity(6)),
    ],
    ids=["a raise", "revert, then asked", "revert, then more", "raise, then back", "two raises"],
)
async def test_a_change_that_outlasts_patience_may_be_either(
    pending: Capacity | None, tru: int | None, coming: Capacity
) -> None:
    """Whether the change before or the wanted one is under way: the less of both counts."""
    observation = await step(BusyCloud(pending), tru)
    assert (observation.capacity, observation.pending) == (Capacity(4), coming)
    assert observation.waits_for.startswith("not in force yet")


async def test_a_refusal_does_not_make_a_revert_forgotten() -> None:
    """What was under way when more was refused may have come since: it is looked at again."""
    observation = await step(BusyCloud(ON_DEMAND, is_short=True), 6)
    assert (observation.pending, observation.options and observation.options.available) == (
        ON_DEMAND,
        4.0,
    )


async def test_a_refused_way_down_is_no_shortage() -> None:
    """It fails, to be asked for again: what is in force covers the window that still runs."""
    with pytest.raises(ApplicationError, match="not enough") as raised:
        await step(BusyCloud(None, is_short=True, left=0), 2)
    assert raised.value.type == "InsufficientCapacity"


@pytest.mark.parametrize(
    ("busy", "tru", "there"),
    [
        (BusyCloud(None, is_short=True, left=2.0, options_known=False), 8, 4.0),
        (BusyCloud(Capacity(6), is_short=True, left=2.0), 8, 6.0),
        (BusyCloud(Capacity(8), is_short=True, left=4.0), 6, 8.0),
        (BusyCloud(Capacity(6), most=2.0), 8, 6.0),
    ],
    ids=["a raise", "what is under way", "a way down from there", "told by the options"],
)
async def test_no_shortage_takes_what_is_there(busy: BusyCloud, tru: int, there: float) -> None:
    """However little the Cloud has left: what is in force, or comes, isn't taken from a window."""
    observation = await step(busy, tru, requested=(Capacity(4), Capacity(6), Capacity(8)))
    assert observation.options is not None
    assert observation.options.available == there


HERE, THERE = "https://cloud.example", "https://other.example"


async def test_the_first_look_says_which_cloud_it_is() -> None:
    """Before anything is requested the keeper has it on record, whatever becomes of the request."""
    observation = await step(BusyCloud(None, url=HERE), 6)
    assert observation == Observation(capacity=Capacity(4), found=Capacity(4), cloud=HERE)


async def test_a_keeper_of_an_older_release_is_not_held_up() -> None:
    """What it observed was at this Cloud, as far as anybody knows."""
    observation = await step(BusyCloud(None, url=HERE), 6, in_force=Capacity(4))
    assert observation.waits_for.startswith("not in force yet")
    assert observation.cloud == HERE


async def test_another_cloud_is_not_even_asked() -> None:
    """Where the capacity was requested elsewhere, what this one says proves nothing."""
    with pytest.raises(ApplicationError, match=f"requested at {HERE}.*for {THERE}") as raised:
        await step(BusyCloud(None, url=THERE), None, cloud=HERE)
    assert raised.value.type == "OtherCloud"
    assert not fault_of(failed_by(raised.value)).is_definite, "the same request is made again"


def failed_by(cause: ApplicationError) -> ActivityError:
    """Return the failure of an activity that *cause* has."""
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
    return failed
