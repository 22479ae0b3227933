"""The way to a capacity: every answer that the API may give, in any order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx
import pytest
from cloud_helpers import (
    KEY,
    NAMESPACE,
    Heartbeat,
    Reply,
    Script,
    SkippingTime,
    client_of,
    namespace,
    no,
    operation,
    options,
    request_of,
)

from workflows.cloud import (
    CloudError,
    InsufficientCapacity,
    ObservedCapacity,
    RequestRefused,
    TemporaryError,
    Unauthorized,
)
from workflows.contract import ON_DEMAND, Capacity

EIGHT = Capacity(8)
UNCHANGED = no(400, "nothing to change")
GOING = request_of("IN_PROGRESS")
DONE = operation("STATE_FULFILLED")


async def step(
    script: Script, capacity: Capacity = EIGHT, *, time: SkippingTime | None = None, **more: Any
) -> ObservedCapacity:
    """Take the step under the key ``step-1``."""
    client = client_of(script, time, **more)
    return await client.set_capacity(NAMESPACE, capacity, key="step-1", heartbeat=Heartbeat())


Replies = Iterable[Any]

WAYS: list[Any] = [
    pytest.param(
        {"get": [namespace(8)]},
        ["get"],
        id="in force already: nothing is written",
    ),
    pytest.param(
        {"get": [namespace(), namespace(8)], "update": [DONE]},
        ["get", "update", "get"],
        id="the shortest way",
    ),
    pytest.param(
        {
            "get": [namespace(), namespace(request=GOING), namespace(8)],
            "update": [operation("STATE_PENDING")],
            "operation": [operation("STATE_IN_PROGRESS"), DONE],
        },
        ["get", "update", "operation", "operation", "get", "get"],
        id="both levels of done are seen to their end",
    ),
    pytest.param(
        {"get": [namespace(request=GOING), namespace(request=GOING), namespace(8)]},
        ["get", "get", "get"],
        id="a request for the same is waited for, not repeated",
    ),
    pytest.param(
        {
            "get": [
                namespace(request=request_of("IN_PROGRESS", 2, "other")),
                namespace(2, version="v2"),
                namespace(8),
            ],
            "update": [DONE],
        },
        ["get", "get", "update", "get"],
        id="somebody else's request is waited for, then ours made",
    ),
    pytest.param(
        {
            "get": [namespace(), namespace(version="v2"), namespace(version="v2"), namespace(8)],
            "update": [no(409, "resource version mismatch"), DONE],
            "operation": [no(404, "not found")],
        },
        ["get", "update", "operation", "get", "get", "update", "get"],
        id="a conflict is read again",
    ),
    pytest.param(
        {
            "get": [namespace(), namespace(version="v2"), namespace(version="v2"), namespace(8)],
            "update": [no(400, "bad resource version"), DONE],
            "operation": [no(404, "not found")],
        },
        ["get", "update", "operation", "get", "get", "update", "get"],
        id="a conflict told as 400 is one all the same",
    ),
    pytest.param(
        {"get": [namespace(), namespace(8)], "update": [httpx.ReadTimeout("lost"), DONE]},
        ["get", "update", "update", "get"],
        id="a lost reply is asked for again",
    ),
    pytest.param(
        {
            "get": [namespace(), namespace(8)],
            "update": [httpx.ReadTimeout("lost"), no(409, "resource version mismatch")],
            "operation": [DONE],
        },
        ["get", "update", "update", "operation", "get"],
        id="a lost reply whose repeat is a conflict",
    ),
    pytest.param(
        {
            "get": [namespace(), namespace(asked=8), namespace(8)],
            "update": [httpx.ReadTimeout("lost"), UNCHANGED],
        },
        ["get", "update", "update", "get", "get"],
        id="a lost reply whose repeat changes nothing",
    ),
    pytest.param(
        {"get": [namespace(), namespace(8)], "update": [UNCHANGED]},
        ["get", "update", "get"],
        id="nothing to change, and in force by now",
    ),
    pytest.param(
        {
            "get": [namespace(), namespace(), namespace(8)],
            "update": [operation("STATE_FAILED"), DONE],
        },
        ["get", "update", "get", "update", "get"],
        id="the key's operation failed in an earlier try: a fresh one is made",
    ),
    pytest.param(
        {
            "get": [namespace(), namespace(8)],
            "update": [operation("STATE_PENDING")],
            "operation": [no(404, "not found")],
        },
        ["get", "update", "operation", "get"],
        id="a forgotten operation: the namespace tells",
    ),
    pytest.param(
        {
            "get": [namespace(), namespace(request=GOING), namespace(8)],
            "update": [operation("STATE_PENDING")],
            "operation": [no(403, "denied")],
        },
        ["get", "update", "operation", "get", "get"],
        id="an operation that this key may not see: the namespace tells",
    ),
    pytest.param(
        {
            "get": [namespace(), namespace(8)],
            "update": [operation("STATE_PENDING")],
            "operation": [operation("STATE_IN_PROGRESS")],
        },
        ["get", "update", "operation", "operation", "operation", "get", "get"],
        id="an operation that hangs while its capacity is in force",
    ),
    pytest.param(
        {
            "get": [namespace(), namespace(8)],
            "update": [no(429, "too many concurrent operations", retry_after="60"), DONE],
        },
        ["get", "update", "update", "get"],
        id="another worker has all the operations",
    ),
    pytest.param(
        {
            "get": [
                namespace(asked=8, request=request_of("FAILED", 8, "old")),
                namespace(version="v2", request=request_of("FAILED", 8, "old")),
                namespace(8),
            ],
            "update": [UNCHANGED, DONE, DONE],
        },
        ["get", "update", "update", "get", "update", "get"],
        id="the leftover of a failed request is set back first",
    ),
    pytest.param(
        {
            "get": [namespace(), namespace(), namespace(), namespace(8)],
            "update": [DONE],
        },
        ["get", "update", "get", "get", "get"],
        id="the request shows a while after its operation",
    ),
]


@pytest.mark.parametrize(("replies", "expected"), WAYS)
async def test_ways_to_a_capacity(replies: dict[str, Replies], expected: list[str]) -> None:
    """Each way ends with the capacity in force, by no more api than these."""
    script = Script(**replies)
    assert (await step(script)).capacity == EIGHT
    assert expected == script.api


FAILURES: list[Any] = [
    pytest.param(
        {
            "get": [namespace(), namespace(request=request_of("FAILED"))],
            "update": [DONE],
            "operation": [operation("STATE_FULFILLED")],
            "options": [options(12)],
        },
        TemporaryError,
        "the capacity request for 8 TRU failed",
        id="the operation is fulfilled, the request fails",
    ),
    pytest.param(
        {
            "get": [namespace()],
            "update": [operation("STATE_PENDING")],
            "operation": [operation("STATE_FAILED", failureReason="the region is on fire")],
            "options": [options(12)],
        },
        TemporaryError,
        "the region is on fire",
        id="the operation fails",
    ),
    pytest.param(
        {
            "get": [namespace()],
            "update": [operation("STATE_PENDING")],
            "operation": [operation("STATE_REJECTED")],
            "options": [no(500, "oops")],
        },
        TemporaryError,
        "the operation ended rejected",
        id="the operation is rejected, the options can't be had",
    ),
    pytest.param(
        {
            "get": [namespace()],
            "update": [no(400, "invalid TRU value 8")],
            "operation": [no(404, "not found")],
            "options": [options(12)],
        },
        RequestRefused,
        "HTTP 400: invalid TRU value 8",
        id="refused for good",
    ),
    pytest.param(
        {
            "get": [namespace()],
            "update": [no(409, "the namespace is locked")],
            "operation": [no(404, "not found")],
        },
        TemporaryError,
        "the namespace is locked",
        id="a conflict that no edit explains",
    ),
    pytest.param(
        {
            "get": [namespace()],
            "update": [no(400, "another operation is in progress")],
            "operation": [no(404, "not found")],
        },
        TemporaryError,
        "another operation is in progress",
        id="busy, told as 400",
    ),
    pytest.param(
        {"get": [namespace()], "update": [no(403, "namespace admin needed")]},
        Unauthorized,
        "namespace admin needed",
        id="no right to write",
    ),
    pytest.param(
        {
            "get": [namespace()],
            "update": [operation("STATE_FAILED", failureReason="burnt")],
            "options": [options(12)],
        },
        TemporaryError,
        "burnt",
        id="every operation fails at once",
    ),
    pytest.param(
        {"get": [namespace()], "update": [DONE]},
        TemporaryError,
        "the operation ended, but the capacity did not change",
        id="fulfilled without effect, for ever",
    ),
    pytest.param(
        {"get": [namespace(request=GOING)]},
        TemporaryError,
        "not in force after 900 s: a request for 8 TRU is in progress",
        id="a request without end",
    ),
    pytest.param(
        {
            "get": [namespace()],
            "update": [operation("STATE_PENDING")],
            "operation": [operation("STATE_IN_PROGRESS")],
        },
        TemporaryError,
        "not in force after 900 s: operation step-1 is in progress",
        id="an operation without end",
    ),
    pytest.param(
        {"get": [namespace()], "update": [no(429, "too many operations", retry_after="60")]},
        TemporaryError,
        "not in force after 900 s: update payments-prod.a1b2c: HTTP 429: too many operations",
        id="turned away without end",
    ),
    pytest.param(
        {"get": [namespace(asked=8)], "update": [UNCHANGED]},
        TemporaryError,
        "nothing to change",
        id="never anything to change, never in force",
    ),
]


@pytest.mark.parametrize(("replies", "kind", "words"), FAILURES)
async def test_failures(
    replies: dict[str, Iterable[Reply]], kind: type[CloudError], words: str
) -> None:
    """Each failure says what to do by its kind, and what happened in the server's words."""
    time = SkippingTime()
    with pytest.raises(CloudError) as caught:
        await step(Script(**replies), time=time)
    assert kind is type(caught.value)
    assert words in str(caught.value)
    assert NAMESPACE in str(caught.value)
    assert KEY not in str(caught.value)
    assert time.elapsed <= 930


SHORTAGES: list[Any] = [
    pytest.param(
        no(400, "8 TRU exceeds what is available"), options(6), 6, id="refused, told by both"
    ),
    pytest.param(no(400, "no."), options(6), 6, id="refused, told by the options alone"),
    pytest.param(no(400, "not enough inventory"), options(12), 6, id="refused, told by the words"),
    pytest.param(no(400, "not enough inventory"), options(None), 6, id="options that say little"),
    pytest.param(no(400, "not enough inventory"), options(1), None, id="nothing left at all"),
    pytest.param(no(400, "not enough inventory"), no(500, "oops"), None, id="options unknown"),
    pytest.param(
        operation("STATE_PENDING"), options(4), 4, id="accepted, then failed for want of it"
    ),
]


@pytest.mark.parametrize(("update", "offered", "available"), SHORTAGES)
async def test_a_shortage_tells_what_is_there(
    update: Reply, offered: Reply, available: float | None
) -> None:
    """More than there is, however it is told, is its own error with the best there is."""
    is_refused = isinstance(update, httpx.Response) and update.status_code == 400
    ended = operation("STATE_FAILED", failureReason="insufficient inventory")
    script = Script(
        get=[namespace()],
        update=[update],
        operation=[no(404, "not found") if is_refused else ended],
        options=[offered],
    )
    with pytest.raises(InsufficientCapacity) as caught:
        await step(script)
    assert available == caught.value.available


async def test_a_failed_revert_is_no_shortage() -> None:
    """On-demand needs no inventory: whatever the words, it is worth asking again."""
    script = Script(
        get=[namespace(8), namespace(8, request=request_of("FAILED", None))],
        update=[operation("STATE_FULFILLED")],
        operation=[operation("STATE_FAILED", failureReason="insufficient capacity")],
    )
    with pytest.raises(TemporaryError) as caught:
        await step(script, ON_DEMAND)
    assert TemporaryError is type(caught.value)


@pytest.mark.parametrize(
    ("capacity", "expected"),
    [(Capacity(4), {"provisioned": {"value": 4.0}}), (ON_DEMAND, {"onDemand": {}})],
)
async def test_how_a_capacity_is_asked_for(capacity: Capacity, expected: Any) -> None:
    """A boost asks for a provisioned value, a revert for on-demand."""
    script = Script(get=[namespace(2), namespace(capacity.tru)], update=[DONE])
    assert capacity == (await step(script, capacity)).capacity
    assert [expected] == [body["spec"]["capacitySpec"] for body in script.posted()]


async def test_a_repeat_has_the_same_id_and_a_new_ask_another() -> None:
    """A lost reply is asked for under its id; after an operation that failed, a fresh one."""
    failed = operation("STATE_FAILED")
    script = Script(
        get=[namespace(), namespace(), namespace(8)],
        update=[httpx.ReadTimeout("lost"), failed, DONE],
    )
    await step(script)
    first, repeat, fresh = (body["asyncOperationId"] for body in script.posted())
    assert (first, repeat) == ("step-1", "step-1")
    assert fresh.startswith("step-1.")


async def test_the_leftover_is_set_back_to_what_is_in_force() -> None:
    """Before asking again for what a failed request left in the spec, that is taken back."""
    leftover = request_of("FAILED", None, "old")
    script = Script(
        get=[
            namespace(8, spec={"name": "n", "capacitySpec": {"onDemand": {}}}, request=leftover),
            namespace(8, version="v2", request=leftover),
            namespace(),
        ],
        update=[UNCHANGED, DONE, DONE],
    )
    assert (await step(script, ON_DEMAND)).capacity == ON_DEMAND
    asked = [body["spec"]["capacitySpec"] for body in script.posted()]
    assert asked == [{"onDemand": {}}, {"provisioned": {"value": 8.0}}, {"onDemand": {}}]


@pytest.mark.parametrize(
    ("proposed", "nap"), [("10s", 10), ("0s", 5), ("0.001s", 0.05), ("3600s", 20), ("", 5)]
)
async def test_the_proposed_pace_is_kept_within_reason(proposed: str, nap: float) -> None:
    """An operation is looked at as often as it proposes, neither hastily nor hardly ever."""
    time = SkippingTime()
    script = Script(
        get=[namespace(), namespace(8)],
        update=[operation("STATE_PENDING", checkDuration=proposed)],
        operation=[DONE],
    )
    await step(script, time=time)
    assert [nap] == time.naps


async def test_beats_while_waiting() -> None:
    """Each wait is told, with what is waited for."""
    beats = Heartbeat()
    script = Script(
        get=[namespace(), namespace(request=GOING), namespace(8)],
        update=[no(503, "away"), operation("STATE_PENDING")],
        operation=[DONE],
    )
    await client_of(script).set_capacity(NAMESPACE, EIGHT, key="step-1", heartbeat=beats)
    assert [
        f"update {NAMESPACE}: HTTP 503: away",
        f"8 TRU for {NAMESPACE}: operation step-1 is in progress",
        f"8 TRU for {NAMESPACE}: waiting for 8 TRU to be in force",
    ] == beats
