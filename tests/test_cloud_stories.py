"""The Cloud client against the simulator, over a real socket: whole stories, faults and all."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from cloud_helpers import KEY, NAMESPACE, Heartbeat, SkippingTime
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from planner.simulator import Principal, Rules, Simulator
from planner.simulator.http import CALLS, KINDS
from workflows.activities.capacity import CapacityActivities
from workflows.activity_types import Observation, ReconcileInput
from workflows.cloud import (
    CloudClient,
    CloudError,
    ConcurrencyLimit,
    InsufficientCapacity,
    KeyDirectory,
    OneKey,
    RateLimiter,
    TemporaryError,
    Unauthorized,
    api,
)
from workflows.contract import ON_DEMAND, Capacity, Lease
from workflows.keeper_state import KeeperState

EIGHT = Capacity(8)
RULES = Rules(provisioning=60, check=15)


@asynccontextmanager
async def story(
    rules: Rules = RULES, **more: Any
) -> AsyncIterator[tuple[Simulator, CloudClient, SkippingTime]]:
    """A simulator and a client on one clock, which skips while the client waits."""
    time = SkippingTime()
    async with Simulator(rules, now=time.now, **more) as simulator:
        await simulator.create(NAMESPACE)
        async with CloudClient(
            simulator.url, OneKey(KEY), clock=time.clock, sleep=time.sleep, patience=240
        ) as client:
            yield simulator, client, time


def steps(simulator: Simulator, namespace: str = NAMESPACE) -> list[float | None]:
    """Return the capacities that were in force, in order."""
    return [entry.tru for entry in simulator.history(namespace)]


async def to(client: CloudClient, capacity: Capacity, key: str) -> Capacity:
    """Take the namespace to *capacity*."""
    return (await client.set_capacity(NAMESPACE, capacity, key=key, heartbeat=Heartbeat())).capacity


async def test_up_and_down() -> None:
    """A boost and its revert are in force when the client says so, at the times they took."""
    async with story() as (simulator, client, time):
        assert await to(client, EIGHT, "up") == EIGHT
        up = time.elapsed
        assert await to(client, ON_DEMAND, "down") == ON_DEMAND
        assert steps(simulator) == [None, 8, None]
        entered = [
            (item.at - simulator.history(NAMESPACE)[0].at).total_seconds()
            for item in simulator.history(NAMESPACE)
        ]
    assert [0, 60, up + 60] == entered
    assert up <= 80


async def test_no_other_field_is_touched() -> None:
    """After boosts, reverts and conflicts, every other field of the spec is as it was."""
    spec = {
        "name": "payments-prod",
        "regions": ["aws-us-east-1"],
        "retentionDays": 7,
        "codecServer": {"endpoint": "https://codec.example.com"},
        "newerThanAnyClient": {"deep": [1, 2.5, None, {"ü": ""}], "big": 2**60},
    }
    async with story() as (simulator, client, _):
        await simulator.create("other.x", spec=spec)
        simulator.fault("update", "conflict")
        simulator.fault("update", "drop-reply")
        for key, capacity in (("up", EIGHT), ("down", ON_DEMAND)):
            await client.set_capacity("other.x", capacity, key=key, heartbeat=Heartbeat())
        after = dict(simulator.namespace("other.x").spec)
    assert after.pop("capacitySpec") == {"onDemand": {}}
    assert json.dumps(spec) == json.dumps(after)


async def heard(step: Awaitable[object]) -> CloudError | None:
    """Return the error in which *step* ends, if it does."""
    try:
        await step
    except CloudError as error:
        return error
    return None


SURVIVED_LATER = {
    # What ends in an error at first, by the error; everything else is survived at once.
    ("get", "unauthorized"): Unauthorized,
    ("update", "unauthorized"): Unauthorized,
    ("update", "reject"): TemporaryError,
    ("operation", "reject"): TemporaryError,
    ("get", "reject"): TemporaryError,
    ("update", "fail-request"): TemporaryError,
    ("operation", "fail-request"): TemporaryError,
    ("get", "fail-request"): TemporaryError,
    ("update", "no-inventory"): InsufficientCapacity,
    ("operation", "no-inventory"): InsufficientCapacity,
    ("get", "no-inventory"): InsufficientCapacity,
    ("update", "stuck"): TemporaryError,
    ("get", "stuck"): TemporaryError,
}


FAULTS = [
    pytest.param(on, kind, failed_spec, id=f"{kind} on {on}, spec {failed_spec}")
    for on in CALLS
    for kind in KINDS
    for failed_spec in ("kept", "restored")
    if failed_spec == "kept" or kind in {"reject", "fail-request", "no-inventory"}
]


@pytest.mark.parametrize(("on", "kind", "failed_spec"), FAULTS)
@pytest.mark.parametrize("capacity", [EIGHT, ON_DEMAND], ids=["raise", "revert"])
async def test_every_fault_on_every_call(
    on: str,
    kind: str,
    capacity: Capacity,
    failed_spec: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault is survived, or told by its kind and survived by asking again under the key."""
    monkeypatch.setattr(api, "CALL_TIMEOUT", 0.15)
    caplog.set_level(logging.DEBUG)
    before = 2.0 if capacity is EIGHT else 8.0
    rules = Rules(provisioning=60, check=15, failed_spec=failed_spec)
    told = ""
    async with story(rules) as (simulator, client, _):
        await simulator.foreign_change(NAMESPACE, before)
        spec = dict(simulator.namespace(NAMESPACE).spec)
        seconds = {"seconds": 0.3} if kind in {"timeout", "slow"} else {}
        simulator.fault(on, kind, **seconds)
        expected = SURVIVED_LATER.get((on, kind))
        if capacity is ON_DEMAND and expected is InsufficientCapacity:
            expected = TemporaryError
        error = await heard(to(client, capacity, "step-1"))
        assert expected == (type(error) if error else None)
        if error:
            told = "".join(traceback.format_exception(error)) + repr(error)
            assert NAMESPACE in str(error)
            await simulator.clear_faults()
            assert capacity == await to(client, capacity, "step-1")
        assert [None, before, capacity.tru] == steps(simulator)
        after = dict(simulator.namespace(NAMESPACE).spec)
    assert spec.pop("capacitySpec") != after.pop("capacitySpec")
    assert spec == after
    assert KEY not in told + caplog.text


@pytest.mark.parametrize("repeat", ["same", "refused"])
@pytest.mark.parametrize("conflict_status", [400, 409, 412])
async def test_a_dropped_reply_makes_one_operation(repeat: Any, conflict_status: int) -> None:
    """However the server answers a repeat, a lost reply ends in one request and one change."""
    rules = Rules(provisioning=60, check=15, repeat=repeat, conflict_status=conflict_status)
    async with story(rules) as (simulator, client, _):
        simulator.fault("update", "drop-reply")
        assert await to(client, EIGHT, "step-1") == EIGHT
        assert list(simulator.state.account.operations) == ["step-1"]
        assert steps(simulator) == [None, 8]


async def test_a_step_taken_twice_is_taken_once() -> None:
    """A client that died after its write finds its request under way, and writes nothing."""
    async with story() as (simulator, client, time):
        with time.stopped():
            dying = asyncio.ensure_future(to(client, EIGHT, "step-1"))
            await simulator.until(lambda: simulator.namespace(NAMESPACE).is_changing)
            dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)
        assert await to(client, EIGHT, "step-1") == EIGHT
        assert len(simulator.state.account.operations) == 1
        assert sum(item.call == "update" for item in simulator.requests) == 1


async def test_the_same_key_after_somebody_else_changed_it() -> None:
    """A key whose operation is long done doesn't stop the capacity from being asked for again."""
    async with story() as (simulator, client, _):
        assert await to(client, EIGHT, "step-1") == EIGHT
        await simulator.foreign_change(NAMESPACE, 2)
        assert await to(client, EIGHT, "step-1") == EIGHT
        assert steps(simulator) == [None, 8, 2, 8]


async def test_a_smaller_boost_after_a_shortage() -> None:
    """A shortage names what is there; that can be had, and the full one when there is more."""
    async with story() as (simulator, client, _):
        await simulator.create("big.x", maxAvailableTruValue=6)
        with pytest.raises(InsufficientCapacity) as caught:
            await client.set_capacity("big.x", EIGHT, key="full", heartbeat=Heartbeat())
        assert caught.value.available == 6
        smaller = Capacity(caught.value.available)
        await client.set_capacity("big.x", smaller, key="less", heartbeat=Heartbeat())
        simulator.namespace("big.x").max_available_tru = 12
        await client.set_capacity("big.x", EIGHT, key="full", heartbeat=Heartbeat())
        assert steps(simulator, "big.x") == [None, 6, 8]


async def test_a_way_down_when_there_is_less_than_that() -> None:
    """A step down that is refused for want of inventory is repeated, until it gets through."""
    now = datetime.now(UTC)
    lease = Lease(key="w", window="w", tru=8, start=now, until=now + timedelta(hours=1), by="test")
    known = KeeperState(
        namespace=NAMESPACE,
        leases=(lease,),
        baseline=ON_DEMAND,
        in_force=Capacity(12),
        requested=(Capacity(12), EIGHT),
    )
    async with story() as (simulator, client, _):
        await to(client, Capacity(12), "up")
        simulator.namespace(NAMESPACE).max_available_tru = 6
        activities = CapacityActivities(client)

        async def step_down() -> Observation:
            task = ReconcileInput(state=known, key="down")
            return cast(Observation, await ActivityEnvironment().run(activities.reconcile, task))

        for _ in range(2):
            with pytest.raises(ApplicationError, match="exceeds the 6 TRU"):
                await step_down()
        simulator.namespace(NAMESPACE).max_available_tru = 12
        assert (await step_down()).capacity == EIGHT
        assert steps(simulator) == [None, 12, 8]


async def test_a_value_that_is_not_allowed() -> None:
    """A value the namespace doesn't take is refused in the server's words, which list them."""
    async with story() as (_, client, _):
        with pytest.raises(CloudError, match="must be one of 2, 3, 4, 6, 8, 10, 12"):
            await to(client, Capacity(5), "five")


async def test_a_key_rotated_under_way(tmp_path: Path) -> None:
    """An expired key stops a step; with the new one in its file it goes on where it was."""
    time, path = SkippingTime(), tmp_path / NAMESPACE
    path.write_text("old-key-0123456789")
    keeper = Principal("keeper", "admin", frozenset({NAMESPACE}))
    async with Simulator(RULES, now=time.now, keys={"old-key-0123456789": keeper}) as simulator:
        await simulator.create(NAMESPACE)
        keys = KeyDirectory(tmp_path)
        async with CloudClient(simulator.url, keys, clock=time.clock, sleep=time.sleep) as client:
            with time.stopped():
                stepping = asyncio.ensure_future(to(client, EIGHT, "step-1"))
                await simulator.until(lambda: simulator.namespace(NAMESPACE).is_changing)
                simulator.state.keys.only({"new-key-0123456789": keeper})
            with pytest.raises(Unauthorized, match="HTTP 401: invalid or expired API key"):
                await stepping
            path.write_text("new-key-0123456789")
            assert await to(client, EIGHT, "step-1") == EIGHT
            assert steps(simulator) == [None, 8]
            assert simulator.history(NAMESPACE)[-1].by == "keeper"


async def test_a_key_that_may_not_see_operations() -> None:
    """A key scoped to its namespace gets there without ever seeing an operation."""
    async with story() as (simulator, client, _):
        simulator.fault("operation", "unauthorized", status=403, times=0)
        assert await to(client, EIGHT, "up") == EIGHT
        simulator.fault("update", "fail-request")
        with pytest.raises(TemporaryError, match="the capacity request for on-demand failed"):
            await to(client, ON_DEMAND, "down")
        assert await to(client, ON_DEMAND, "down") == ON_DEMAND
        assert steps(simulator) == [None, 8, None]


@pytest.mark.parametrize("right", ["read", "none"])
async def test_a_key_without_the_right(right: Any) -> None:
    """Reading alone, or nothing at all, is a temporary no: permissions take a while to count."""
    async with story(keys={KEY: Principal("reader", right)}) as (simulator, client, _):
        with pytest.raises(Unauthorized, match="HTTP 403"):
            await to(client, EIGHT, "step-1")
        assert steps(simulator) == [None]


async def test_a_namespace_that_nobody_knows() -> None:
    """A misspelt namespace is told as such, by name."""
    async with story() as (_, client, _):
        with pytest.raises(CloudError, match=r"read nobody\.x: HTTP 404: namespace nobody\.x"):
            await client.observe("nobody.x")


async def boost_all(client: CloudClient, names: list[str]) -> list[Capacity]:
    """Boost every namespace at once."""

    async def boost(name: str) -> Capacity:
        seen = await client.set_capacity(name, EIGHT, key=f"step/{name}", heartbeat=Heartbeat())
        return seen.capacity

    return await asyncio.gather(*(boost(name) for name in names))


@pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two that share the account"])
async def test_forty_namespaces_queue_for_ten_operations(workers: int) -> None:
    """Forty boosts at one moment all get in force, ten operations at a time."""
    names = [f"ns-{number}.x" for number in range(40)]
    rules = Rules(provisioning=0.1, operation=0.1, check=0.05)
    async with (
        Simulator(rules, key_rate=None, account_rate=None) as simulator,
        AsyncExitStack() as opened,
    ):
        for name in names:
            await simulator.create(name)
        clients = [
            await opened.enter_async_context(
                CloudClient(simulator.url, OneKey(KEY), poll=0.05, rate_limiter=RateLimiter(10_000))
            )
            for _ in range(workers)
        ]
        shares = [boost_all(client, names[at::workers]) for at, client in enumerate(clients)]
        found = await asyncio.gather(*shares)
        assert [capacity for share in found for capacity in share] == [EIGHT] * 40
        assert [steps(simulator, name) for name in names] == [[None, 8]] * 40
        began = sorted(item.started for item in simulator.state.account.operations.values())
        is_turned_away = any(item.status == 429 for item in simulator.requests)
    waits = [later - earlier for earlier, later in zip(began, began[10:], strict=False)]
    assert min(wait.total_seconds() for wait in waits) >= 0.1
    assert workers > 1 or not is_turned_away


async def test_connections_are_used_again() -> None:
    """One step after the other takes one connection."""
    async with story() as (simulator, client, _):
        opened = 0
        server = simulator._http
        accept = server._accept

        def counting(reader: Any, writer: Any) -> None:
            nonlocal opened
            opened += 1
            accept(reader, writer)

        await server.stop()
        server._accept = counting  # type: ignore[method-assign]
        await simulator.start()
        await to(client, EIGHT, "up")
        await to(client, ON_DEMAND, "down")
        assert len(simulator.requests) > 10
        assert opened == 1


async def test_a_shared_queue_between_clients() -> None:
    """Clients given the same limit take the account's operations together."""
    limit = ConcurrencyLimit(1)
    rules = Rules(provisioning=0.05, operation=0.05, check=0.05, operations_at_once=1)
    async with Simulator(rules) as simulator:
        for name in ("a.x", "b.x"):
            await simulator.create(name)
        async with (
            CloudClient(simulator.url, OneKey(KEY), limit=limit, poll=0.05) as one,
            CloudClient(simulator.url, OneKey(KEY), limit=limit, poll=0.05) as other,
        ):
            await asyncio.gather(boost_all(one, ["a.x"]), boost_all(other, ["b.x"]))
        assert [item for item in simulator.requests if item.status == 429] == []


async def test_nobody_listens() -> None:
    """A server that is down is a temporary trouble, told with the namespace."""
    async with Simulator() as simulator:
        url = simulator.url
    time = SkippingTime()
    async with CloudClient(url, OneKey(KEY), clock=time.clock, sleep=time.sleep) as client:
        with pytest.raises(TemporaryError, match=f"read {NAMESPACE}: no answer") as caught:
            await client.observe(NAMESPACE)
        assert isinstance(caught.value.__cause__, httpx.ConnectError)
