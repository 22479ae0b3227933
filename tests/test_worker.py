"""The worker as its operators see it: health, logs, metrics, and no key in any of them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import urllib.request
from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.testing import WorkflowEnvironment

from planner.simulator import Simulator
from planner.temporal.client import free_port
from workflows.cloud import CloudClient, OneKey
from workflows.contract import BOOST_WORKFLOW, BoostRequest, BoostResult, keeper_id
from workflows.observability import (
    HISTOGRAM_BUCKETS,
    JsonLines,
    Readiness,
    health_endpoint,
    health_response,
)
from workflows.worker import build_worker, run_worker

KEY = "sk-9f2c-must-never-be-seen"


async def get(url: str) -> str:
    """Return what *url* serves."""

    def fetch() -> str:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return str(reply.read().decode())

    return await asyncio.to_thread(fetch)


@pytest.mark.parametrize(
    ("head", "healthy", "status"),
    [
        pytest.param(b"GET /healthz HTTP/1.1\r\n\r\n", True, "200", id="at work"),
        pytest.param(b"GET /healthz?x=1 HTTP/1.1\r\n\r\n", True, "200", id="with a query"),
        pytest.param(b"HEAD /healthz HTTP/1.1\r\n\r\n", True, "200", id="head"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n\r\n", False, "503", id="stopping"),
        pytest.param(b"POST /healthz HTTP/1.1\r\n\r\n", True, "405", id="post"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", True, "404", id="another path"),
        pytest.param(b"\xff\xfe\r\n\r\n", True, "404", id="garbage"),
    ],
)
def test_health_answers(head: bytes, healthy: bool, status: str) -> None:
    """One path answers, and says whether the worker takes work."""
    assert health_response(head, healthy=healthy).startswith(f"HTTP/1.1 {status}".encode())


@pytest.mark.parametrize(
    ("head", "healthy", "problems", "status", "text"),
    [
        pytest.param(b"GET /readyz HTTP/1.1\r\n\r\n", True, (), "200", "ok\n", id="ready"),
        pytest.param(
            b"GET /readyz HTTP/1.1\r\n\r\n", True, ("no key", "né"), "503", "no key\nné\n", id="not"
        ),
        pytest.param(b"GET /readyz HTTP/1.1\r\n\r\n", False, (), "503", "stopping\n", id="stops"),
        pytest.param(
            b"GET /healthz HTTP/1.1\r\n\r\n", True, ("no key",), "200", "ok\n", id="lives"
        ),
        pytest.param(b"HEAD /readyz HTTP/1.1\r\n\r\n", True, ("no key",), "503", "", id="head"),
    ],
)
def test_readiness_answers(
    head: bytes, healthy: bool, problems: tuple[str, ...], status: str, text: str
) -> None:
    """What is missing keeps the worker from being ready, and not from being alive."""
    reply = health_response(head, healthy=healthy, problems=problems).decode()
    assert reply.startswith(f"HTTP/1.1 {status} ")
    assert reply.partition("\r\n\r\n")[2] == text


def test_readiness_is_logged_as_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    """Each problem once, when it is new, and once when it is over; not ready before the first."""
    caplog.set_level(logging.INFO)
    readiness = Readiness()
    assert readiness.problems
    for found in ({"polls": "refused"}, {"polls": "refused"}, {}, {"cloud": "no way"}):
        readiness.update(found)
    assert [record.getMessage() for record in caplog.records] == [
        "not ready: refused",
        "polls is in order again",
        "not ready: no way",
    ]
    assert readiness.problems == {"cloud": "no way"}


async def test_health_over_a_socket() -> None:
    """The endpoint serves a real client, and survives one that says nothing sensible."""
    async with health_endpoint("127.0.0.1", 0, lambda: True) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 20_000)
        writer.close()
        assert await get(f"http://127.0.0.1:{port}/healthz") == "ok\n"


def test_logs_are_json_lines() -> None:
    """A record is one JSON object with its workflow, whatever its message holds."""
    record = logging.LogRecord(
        "temporalio.workflow", logging.WARNING, "f.py", 1, "two\nlines %s", ("é",), None
    )
    record.temporal_workflow = {"workflow_id": "keeper/n.a", "attempt": 1}
    (line,) = JsonLines().format(record).splitlines()
    read = json.loads(line)
    assert read["message"] == "two\nlines é"
    assert (read["level"], read["workflow_id"]) == ("warning", "keeper/n.a")


async def test_it_stops_when_told(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A worker that is told to stop ends by itself, and soon."""
    async with Simulator() as simulator, CloudClient(simulator.url, OneKey(KEY)) as cloud:
        stop = asyncio.Event()
        running = asyncio.create_task(
            run_worker(skipping.client, cloud, stop=stop, task_queue=fresh)
        )
        stop.set()
        async with asyncio.timeout(10):
            await running


async def test_it_knows_its_activities(skipping: WorkflowEnvironment, fresh: str) -> None:
    """Everything that boosts and keepers order is registered by its name and version."""
    worker = build_worker(skipping.client, None, task_queue=fresh)  # type: ignore[arg-type]
    known = worker.config()["activities"]
    names = {one.__temporal_activity_definition.name for one in known}  # type: ignore[attr-defined]
    assert names == {
        "capacity.observe.v1",
        "capacity.reconcile.v1",
        "keeper.request-lease.v1",
        "keeper.release-lease.v1",
        "keeper.recover-state.v1",
        "floor.reconcile.v1",
    }


async def test_a_worker_that_does_not_come_to_its_end_is_left(
    skipping: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK may wait for ever where nothing is left to do: that holds up nobody."""
    monkeypatch.setattr("workflows.worker.STOP_MARGIN", timedelta(seconds=1))
    said: list[str] = []
    monkeypatch.setattr(
        "workflows.worker._logger.warning", lambda text, *rest: said.append(text % rest)
    )
    begun = asyncio.Event()
    async with CloudClient("http://127.0.0.1:9", OneKey(KEY)) as cloud:
        worker = build_worker(skipping.client, cloud, task_queue=fresh, grace=timedelta())
        finish = worker._bridge_worker.finalize_shutdown

        async def never() -> None:
            begun.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(worker._bridge_worker, "finalize_shutdown", never)
        async with asyncio.timeout(20), worker:
            pass
        await finish()
    assert begun.is_set()
    assert said == ["the worker did not stop within 0:00:01; it is left as it is"]


async def test_no_key_anywhere(skipping: WorkflowEnvironment, fresh: str) -> None:
    """After every kind of fault at every call, the key is in no history, log or metric."""
    port, logged = free_port(), io.StringIO()
    handler = logging.StreamHandler(logged)
    handler.setFormatter(JsonLines())
    logging.getLogger().addHandler(handler)
    metrics = PrometheusConfig(f"127.0.0.1:{port}", histogram_bucket_overrides=HISTOGRAM_BUCKETS)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=metrics))
    client = await Client.connect(
        skipping.client.service_client.config.target_host, runtime=runtime
    )
    namespace = f"{fresh}.acct"
    try:
        async with Simulator(provisioning=0.05, check=0.05) as simulator:
            await simulator.create(namespace)
            for on in ("get", "update", "operation", "capacity-info"):
                for kind in ("error", "unauthorized", "drop-reply", "conflict", "reject"):
                    simulator.fault(on, kind, times=1)
            async with (
                CloudClient(simulator.url, OneKey(KEY), poll=0.05) as cloud,
                build_worker(client, cloud, task_queue=fresh, grace=timedelta()),
            ):
                boost = await skipping.client.start_workflow(
                    BOOST_WORKFLOW,
                    BoostRequest(namespace=namespace, window="w", tru=8, ttl_seconds=7200),
                    id=f"boost/{namespace}",
                    task_queue=fresh,
                    result_type=BoostResult,
                )
                async with asyncio.timeout(40):
                    assert (await boost.result()).in_force
                served = await get(f"http://127.0.0.1:{port}/metrics")
                keeper = skipping.client.get_workflow_handle(keeper_id(namespace))
                read = [await handle.fetch_history() for handle in (boost, keeper)]
                histories = [
                    b"".join(event.SerializeToString() for event in one.events) for one in read
                ]
    finally:
        logging.getLogger().removeHandler(handler)
    assert "capacity_boost_raise_latency_bucket{" in served
    assert "capacity_boost_faults{" in served
    assert b"Unauthorized" in histories[1]
    assert b'"ttl_seconds":7200' in histories[0], "payloads can be searched"
    for text in (logged.getvalue().encode(), served.encode(), *histories):
        assert text
        assert KEY.encode() not in text
