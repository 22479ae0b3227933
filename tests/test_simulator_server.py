"""The simulator as something to start: in a test, on any clock, or as a command."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from datetime import datetime

import httpx
import pytest
from cloud_helpers import KEY, MIDNIGHT, NAMESPACE, Heartbeat, SkippingTime

from planner.simulator import Refusal, Simulator
from workflows.cloud import CloudClient, OneKey
from workflows.contract import Capacity


async def test_until_waits_for_what_is_due() -> None:
    """On its own clock a capacity comes into force while somebody waits for it."""
    async with Simulator(provisioning=0.05, check=0.05) as simulator:
        await simulator.create(NAMESPACE)
        async with CloudClient(simulator.url, OneKey(KEY), poll=0.05) as client:
            step = client.set_capacity(NAMESPACE, Capacity(8), key="up", heartbeat=Heartbeat())
            stepping = asyncio.ensure_future(step)
            await simulator.until(lambda: simulator.namespace(NAMESPACE).tru == 8)
            await stepping
        assert [(entry.tru, entry.mode) for entry in simulator.history(NAMESPACE)] == [
            (None, "on-demand"),
            (8, "provisioned"),
        ]


async def test_until_gives_up() -> None:
    """What never comes is not waited for without end."""
    async with Simulator() as simulator:
        with pytest.raises(TimeoutError):
            await simulator.until(lambda: False, timeout=0.03)


@pytest.mark.parametrize("is_async", [False, True], ids=["a plain clock", "an asynchronous one"])
async def test_any_clock(is_async: bool) -> None:
    """Provisioning is measured, and the history stamped, on the clock that was given."""
    time = SkippingTime()

    async def later() -> datetime:
        await asyncio.sleep(0)
        return time.now()

    now = later if is_async else time.now
    async with Simulator(provisioning=600, check=20, now=now) as simulator:
        await simulator.create(NAMESPACE, tru=2)
        async with CloudClient(
            simulator.url, OneKey(KEY), clock=time.clock, sleep=time.sleep
        ) as client:
            await client.set_capacity(NAMESPACE, Capacity(8), key="up", heartbeat=Heartbeat())
        entries = simulator.history(NAMESPACE)
    assert [(entry.at - MIDNIGHT).total_seconds() for entry in entries] == [0, 600]


async def test_in_process_and_over_http_are_the_same() -> None:
    """What is told in the process is what the endpoints tell."""
    async with Simulator() as simulator, httpx.AsyncClient(base_url=simulator.url) as http:
        await http.post("/_sim/namespaces", json={"namespace": NAMESPACE, "tru": 2})
        await simulator.foreign_change(NAMESPACE, 4, by="console")
        told = (await http.get(f"/_sim/namespaces/{NAMESPACE}/history")).json()
        simulator.fault("get", "error", times=3)
        assert (await http.get("/_sim/faults")).json()[0]["times"] == 3
        await simulator.clear_faults()
        assert (await http.get("/_sim/faults")).json() == []
        assert (await http.get("/elsewhere")).status_code == 404
    entries = [(entry.tru, entry.by) for entry in simulator.history(NAMESPACE)]
    assert (
        entries == [(item["tru"], item["by"]) for item in told] == [(2, "created"), (4, "console")]
    )


async def test_an_unknown_namespace_has_no_history() -> None:
    """Asked for what was never created, it says so."""
    async with Simulator() as simulator:
        with pytest.raises(Refusal, match="not found"):
            simulator.history("nobody.x")


async def test_a_taken_port() -> None:
    """A port that is taken is an error of the system, not a silent start."""
    async with Simulator() as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"):
            await Simulator(port=port).start()


def planner(*arguments: str) -> subprocess.Popen[str]:
    """Start the command line."""
    code = "from planner.cli.main import run; run()"
    command = [sys.executable, "-c", code, "simulator", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminate"])
def test_the_command_serves_until_it_is_ended(number: signal.Signals) -> None:
    """It prints its address, serves the namespaces asked for, and ends with code 0."""
    with planner("--port", "0", "--namespace", "a.b") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        headers = {"authorization": f"Bearer {KEY}"}
        reply = httpx.get(f"{url}/cloud/namespaces/a.b", headers=headers, trust_env=False)
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
    assert reply.json()["namespace"]["namespace"] == "a.b"


async def test_the_command_says_when_a_port_is_taken() -> None:
    """A taken port is one sentence that names it and the way out, and exit code 1."""
    async with Simulator() as simulator:
        port = simulator.url.rsplit(":", 1)[1]
        with planner("--port", port) as process:
            _, errors = await asyncio.to_thread(process.communicate, timeout=20)
    assert process.returncode == 1
    assert f"127.0.0.1:{port}" in errors
    assert "--port 0" in errors
    assert "Traceback" not in errors
