"""What a keeper's run did, as its history tells it, and how the next run's memo carries it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from keeper_helpers import Stage, staged
from temporalio.testing import WorkflowEnvironment

from workflows.activities.keeper import MOST_IN_MEMO, record_on_record
from workflows.activities.keeper import record_of as made_of
from workflows.activity_types import KeeperInput, Observation
from workflows.contract import (
    ON_DEMAND,
    RECORD_MEMO,
    Capacity,
    CapacityInForce,
    HeldCapacity,
    KeeperRecord,
    Lease,
    LeaseRecord,
    LeaseRequest,
    Rails,
    ReleaseRequest,
)
from workflows.keeper_transitions import Recorded

FAR = datetime(2100, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def record_of(stage: Stage) -> KeeperRecord:
    """Return the record of the keeper's latest run, as of its history."""
    run = await stage.keeper.describe()
    assert run.start_time
    return await record_on_record(
        stage.client, stage.namespace, run.run_id, (run.start_time, run.close_time), FAR
    )


async def memo_of(stage: Stage) -> KeeperRecord | None:
    """Return the record that the memo of the keeper's latest run has."""
    memo = await (await stage.keeper.describe()).memo()
    return KeeperRecord.of_plain(memo[RECORD_MEMO]) if RECORD_MEMO in memo else None


def truth(stage: Stage) -> list[tuple[datetime, Capacity]]:
    """Return what came to be in force, and when, as the Cloud knows it."""
    return stage.cloud.history


def assert_close(expected: list[tuple[datetime, Capacity]], seen: KeeperRecord) -> None:
    """The changes that were *seen* are the *expected* ones, to the second."""
    changes = seen.capacities[1:]
    assert [capacity for _, capacity in expected] == [one.capacity for one in changes]
    late = [one.at - at for (at, _), one in zip(expected, changes, strict=True)]
    assert all(timedelta() <= one < timedelta(seconds=1) for one in late), late


async def test_a_boost_is_on_record(skipping: WorkflowEnvironment, fresh: str) -> None:
    """Its window, who requested it, what it had and when, and its end: read off the history."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 1, ahead_seconds=600, by="kim", reason="launch", project="payments")
        await stage.end()
        seen = await record_of(stage)
        raised, reverted = truth(stage)
        (lease,) = seen.leases
        assert (lease.window, lease.tru, lease.by) == ("w8", 8, "kim")
        assert (lease.reason, lease.project) == ("launch", "payments")
        assert lease.fires == lease.start - 10 * MINUTE
        assert [one.capacity for one in lease.held] == [Capacity(8)]
        assert timedelta() <= lease.held[0].at - raised[0] < timedelta(seconds=1)
        assert lease.ended_at == lease.until == lease.start + 60 * MINUTE
        assert not lease.shared
        assert (seen.baseline, seen.capacities[0].capacity) == (ON_DEMAND, ON_DEMAND)
        assert_close([raised, reverted], seen)


async def test_the_next_run_carries_the_record(skipping: WorkflowEnvironment, fresh: str) -> None:
    """The memo that a keeper starts with is the record of the run before, and costs no Action."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 1)
        await stage.end()
        first = await record_of(stage)
        assert await memo_of(stage) is None
        await stage.boost(4, 1)
        assert await memo_of(stage) == first
        await stage.end()


async def test_overlapping_boosts_end_apart(skipping: WorkflowEnvironment, fresh: str) -> None:
    """Where another boost goes on with as much, no revert follows; a smaller one sees a fall."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(4, 1)
        await stage.boost(8, 2)
        await stage.end()
        seen = await record_of(stage)
        small, large = seen.leases
        assert (small.shared, large.shared) == (True, False)
        assert [one.capacity for one in small.held] == [Capacity(4)]
        assert_close(truth(stage), seen)


async def test_changes_by_others_are_on_record(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A capacity that others set is marked, and the boost lacks its own until it is back."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 2)
        await stage.cloud.set(Capacity(2))
        await stage.sleep(0.6)
        await stage.end()
        seen = await record_of(stage)
        assert [one.capacity.tru for one in seen.capacities] == [None, 8, 2, 8, None]
        assert [one.external for one in seen.capacities] == [False, False, True, False, False]
        (lease,) = seen.leases
        assert [one.capacity for one in lease.held] == [Capacity(8), None, Capacity(8)]


async def test_what_others_raised_higher_stays(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A higher capacity by others is on record, and covers the boost."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(4, 1)
        await stage.cloud.set(Capacity(8))
        await stage.end()
        seen = await record_of(stage)
        assert [(one.capacity.tru, one.external) for one in seen.capacities][-1] == (8, True)
        (lease,) = seen.leases
        assert [one.capacity for one in lease.held] == [Capacity(4)]


@pytest.mark.parametrize(
    ("request_", "cloud", "capped", "granted", "reason"),
    [
        pytest.param(
            {"rails": Rails(max_tru=4)}, {}, "rails", 4, "4 allowed at most", id="by its rails"
        ),
        pytest.param({}, {"available": 6.0}, "inventory", 6, "the Cloud had 6 TRU", id="by stock"),
    ],
)
async def test_a_capped_boost_says_why(
    skipping: WorkflowEnvironment,
    fresh: str,
    request_: dict[str, object],
    cloud: dict[str, object],
    capped: str,
    granted: int,
    reason: str,
) -> None:
    """Less than was requested is on record with what capped it: the rails, or the Cloud."""
    async with staged(skipping, fresh, **cloud) as stage:
        await stage.start(stage.request(8, 1, **request_))
        await stage.in_force(granted)
        await stage.end()
        (lease,) = (await record_of(stage)).leases
        last = lease.held[-1]
        assert (last.capacity, last.capped) == (Capacity(granted), capped)
        assert reason in last.reason


async def test_a_release_is_on_record(skipping: WorkflowEnvironment, fresh: str) -> None:
    """Who released a boost, and when; also where it was refused before it came."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 5)
        await stage.release(window="w8", by="kim")
        await stage.in_force(None)
        (lease,) = (await record_of(stage)).leases
        assert lease.ended_at
        assert lease.ended_at < lease.until
        assert (lease.released_by, lease.shared) == ("kim", False)


def test_an_observation_tells_of_a_lease_that_has_ended_since() -> None:
    """What the Cloud did before a release counts for its boost, though it is seen after it."""
    at = datetime(2027, 1, 31, 23, tzinfo=UTC)
    lease = Lease(key="w@1", window="w", tru=8, start=at, until=at + 60 * MINUTE)
    lost, again, end = at + 5 * MINUTE, at + 8 * MINUTE, at + 10 * MINUTE
    up = Observation(capacity=Capacity(8), found=ON_DEMAND, since=at + MINUTE)
    seen = Observation(
        capacity=Capacity(8), found=Capacity(2), found_since=lost, since=again, request="by-hand"
    )
    recorded: list[tuple[datetime, Recorded]] = [
        (at, KeeperInput(namespace="n")),
        (at, LeaseRequest(namespace="n", lease=lease, baseline=ON_DEMAND)),
        (at + 2 * MINUTE, up),
        (end, ReleaseRequest(by="kim")),
        (end + MINUTE, seen),
    ]
    (found,) = made_of("n", "r", recorded, (at, None), FAR).leases
    assert [(one.at, one.capacity) for one in found.held] == [
        (at + MINUTE, Capacity(8)),
        (lost, None),
        (again, Capacity(8)),
    ]
    assert (found.ended_at, found.released_by) == (end, "kim")


def test_a_record_survives_its_memo() -> None:
    """A record is read back from plain JSON values as it was, and anything else is refused."""
    at = datetime(2027, 1, 31, 23, 0, 0, 123456, tzinfo=UTC)
    held = (HeldCapacity(at, None), HeldCapacity(at, ON_DEMAND, "rails", "max_tru 4"))
    lease = LeaseRecord(
        key="w@1",
        window="w",
        tru=8,
        start=at,
        until=at + MINUTE,
        fires=at,
        held=held,
        shared=True,
        rails=Rails((2, 4), 4),
    )
    record = KeeperRecord(
        namespace="n",
        run="r",
        start=at,
        baseline=Capacity(2),
        leases=(lease,),
        capacities=(CapacityInForce(at, ON_DEMAND), CapacityInForce(at, Capacity(2.5), True)),
    )
    assert KeeperRecord.of_plain(record.plain) == record
    for broken in ({}, {**record.plain, "leases": [{}]}, {**record.plain, "start": 1}):
        with pytest.raises(ValueError, match=r"no record|isoformat"):
            KeeperRecord.of_plain(broken)


def test_a_memo_stays_within_the_clouds_limit() -> None:
    """Temporal Cloud allows 40 kB for a memo: a record keeps well below."""
    assert MOST_IN_MEMO < 40_000 / 2
