"""The simulator without a network between: the same replies as over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from planner.simulator import Simulator

NAMESPACE = "payments-prod.a1b2c"
PATH = f"/cloud/namespaces/{NAMESPACE}"
HEADERS = {"authorization": "Bearer key", "temporal-cloud-api-version": "v0.20.0"}


async def asked_both_ways(simulator: Simulator, method: str, path: str, **more: Any) -> Any:
    """Return what the simulator replies over HTTP, and without a network."""
    async with (
        httpx.AsyncClient(base_url=simulator.url, headers=HEADERS) as over_http,
        httpx.AsyncClient(
            base_url=simulator.url, headers=HEADERS, transport=simulator.transport
        ) as direct,
    ):
        return [await each.request(method, path, **more) for each in (over_http, direct)]


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", PATH, {}),
        ("GET", f"{PATH}/capacity-info?a=b%20c", {}),
        ("GET", "/cloud/namespaces/nobody.a1b2c", {}),
        ("POST", PATH, {"json": {"spec": {}, "resourceVersion": "1"}}),
        ("GET", "/elsewhere", {}),
    ],
    ids=["found", "with a query", "not there", "refused", "no such path"],
)
async def test_the_reply_is_the_same(method: str, path: str, more: dict[str, Any]) -> None:
    """Status and body don't depend on the way."""
    async with Simulator() as simulator:
        await simulator.create(NAMESPACE, tru=2)
        over_http, direct = await asked_both_ways(simulator, method, path, **more)
    assert (direct.status_code, direct.json()) == (over_http.status_code, over_http.json())
    assert direct.headers["content-type"] == over_http.headers["content-type"]


async def test_what_it_asks_to_wait_is_told() -> None:
    """A limit of requests comes with the same ``Retry-After``."""
    async with Simulator() as simulator:
        await simulator.create(NAMESPACE)
        simulator.fault("get", "error", status=429, times=2)
        over_http, direct = await asked_both_ways(simulator, "GET", PATH)
    assert direct.status_code == over_http.status_code == 429
    assert direct.headers.get("retry-after") == over_http.headers.get("retry-after")


async def test_a_lost_reply_is_a_connection_that_breaks() -> None:
    """The client sees the same error as on a network."""
    async with Simulator() as simulator:
        await simulator.create(NAMESPACE)
        simulator.fault("get", "drop-reply", times=2)
        for transport in (None, simulator.transport):
            async with httpx.AsyncClient(
                base_url=simulator.url, headers=HEADERS, transport=transport
            ) as client:
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.get(PATH)
