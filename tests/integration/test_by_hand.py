"""``planner worker``, ``boost``, ``release``, ``status`` as processes, on a real server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from planner.simulator import Simulator

pytestmark = pytest.mark.integration

PLANNER = str(Path(sys.executable).parent / "planner")
KEY = "sk-77aa-must-never-be-seen"


async def start(*arguments: str, **environ: str) -> Process:
    """Start the planner as its users do."""
    variables = {**os.environ, **environ}
    return await asyncio.create_subprocess_exec(
        PLANNER, *arguments, stdout=PIPE, stderr=PIPE, env=variables
    )


async def planner(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run the planner to its end, and return exit code, output and errors."""
    process = await start(*arguments, **environ)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def working(**environ: str) -> AsyncIterator[list[str]]:
    """Run a worker process, stop it gracefully, and keep what it logged."""
    process, logged = await start("worker", **environ), [""]
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while "The worker runs" not in logged[-1]:
                logged.append((await process.stderr.readline()).decode())
        yield logged
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            _, err = await process.communicate()
        logged.append(err.decode())
        assert process.returncode == 0, logged


async def test_boost_status_release(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """A boost by hand comes, is seen, and goes when it is released; no key is ever printed."""
    namespace = f"{fresh}.acct"
    async with Simulator(provisioning=0.2, check=0.1, auto_create=True) as simulator:
        # A Temporal namespace of our own: the task queue's name is the same everywhere.
        environ = {
            "TEMPORAL_ADDRESS": dev_server.client.service_client.config.target_host,
            "PLANNER_CLOUD_URL": simulator.url,
            "TEMPORAL_CLOUD_API_KEY": KEY,
        }
        async with working(**environ) as logged:
            code, out, err = await planner(
                "boost", namespace, "--tru", "8", "--for", "1h", "--reason", "a test", **environ
            )
            assert (code, out[:14]) == (0, "8 TRU in force"), err
            code, out, _ = await planner("status", namespace, "--format", "json", **environ)
            (seen,) = json.loads(out)["namespaces"]
            assert (code, seen["state"], seen["tru"]) == (0, "ok", 8)
            assert [lease["window"] for lease in seen["leases"]] == ["by-hand"]
            code, out, _ = await planner("release", namespace, **environ)
            assert (code, out[:25]) == (0, "released by-hand: 8 TRU, "[:25])
            await simulator.until(lambda: len(simulator.history(namespace)) == 3)
            code, _, err = await planner("release", namespace, **environ)
            assert code == 3
            assert "nothing to release" in err
        assert [entry.tru for entry in simulator.history(namespace)] == [None, 8, None]
    assert KEY not in "".join(logged) + out + err


async def test_a_worker_needs_a_key(dev_server: WorkflowEnvironment) -> None:
    """Without a key, one sentence says which variables to set; exit code 1, no traceback."""
    environ = {name: "" for name in os.environ if name.startswith("TEMPORAL_CLOUD_API_KEY")}
    code, _, err = await planner(
        "worker",
        **environ,
        TEMPORAL_CLOUD_API_KEY="",
        TEMPORAL_ADDRESS=dev_server.client.service_client.config.target_host,
    )
    assert code == 1
    assert "TEMPORAL_CLOUD_API_KEY_FILE" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [("status",), ("release", "n.a"), ("worker",)])
async def test_no_server(command: tuple[str, ...]) -> None:
    """Where nobody listens, one sentence names the address and how to start a server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        code, _, err = await planner(
            *command, TEMPORAL_ADDRESS=address, TEMPORAL_CLOUD_API_KEY="key"
        )
    assert code == 1
    assert address in err
    assert "planner dev" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("length", ["", "soon", "0", "40d"])
async def test_a_length_that_makes_no_sense(length: str) -> None:
    """A boost by hand has a length of time, and not more than a month."""
    code, _, err = await planner("boost", "n.a", "--tru", "8", "--for", length)
    assert code == 64
    assert "--for" in err
