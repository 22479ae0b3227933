"""The Cloud API key stays with the worker: it is searched for in all that others can read."""

from __future__ import annotations

import asyncio
import base64
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from processes import BESIDE, Processes, processes
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from planner.simulator.http import CALLS, KINDS
from planner.temporal.client import free_port
from workflows.contract import BOOST_WORKFLOW, TASK_QUEUE, BoostRequest

pytestmark = pytest.mark.integration

SECONDS = {"timeout": 0.5, "slow": 0.3, "stuck": 2.0}
"""How long those faults last that would otherwise outlast the test."""

NEVER_STRIKE = {("capacity-info", kind) for kind in ("reject", "fail-request", "stuck")}
"""They wait for a request in progress, and nobody asks what could be had while one is."""

CASES = sorted(set(product(CALLS, KINDS)) - NEVER_STRIKE)
LONG, SHORT = 600, 30
"""Seconds that a window lasts; the short one ends in red, since it is never covered. A busy
worker has to ask for it before its end: later there is nothing to do, and nothing red."""

PLANTED = 2
"""How many namespaces have the second secret in their names."""

FAULTS_WITHIN = 400
PLACES = ("histories", "server's state", "logs", "metrics", "planner status")


def secret() -> str:
    """Return a key as the Cloud might make one, and as nothing else contains it."""
    return f"tmprl-{uuid.uuid4().hex}{uuid.uuid4().hex}"


def forms(key: str) -> Iterator[bytes]:
    """Yield *key* as it is, and as base64 has it at each of the three places it may begin."""
    yield key.encode()
    for skipped in range(3):
        whole = base64.b64encode(b"x" * skipped + key.encode())
        yield whole[4 if skipped else 0 : -4]


def places_with(key: str, places: dict[str, bytes]) -> list[str]:
    """Return the names of those *places* in which *key* can be read."""
    return [name for name, content in places.items() if any(one in content for one in forms(key))]


async def boost(client: Client, namespace: str, seconds: int) -> WorkflowHandle[Any, Any]:
    """Start a boost of *namespace*, as its schedule would."""
    request = BoostRequest(namespace=namespace, window="search", tru=8, ttl_seconds=seconds)
    return await client.start_workflow(
        BOOST_WORKFLOW, request, id=f"boost/{namespace}", task_queue=TASK_QUEUE
    )


async def unreadable(
    stack: Processes, client: Client, namespace: str, seconds: int
) -> WorkflowHandle[Any, Any]:
    """Start a boost of a new *namespace* whose capacity can't be read, ever."""
    await stack.cloud.create(namespace)
    await stack.cloud.fault(namespace, "get", "unauthorized", times=0)
    return await boost(client, namespace, seconds)


async def fail_everywhere(stack: Processes, client: Client) -> None:
    """Boost a namespace for each fault of each call, and wait until all have struck."""
    for on, kind in CASES:
        name = f"{on}-{kind}.a1b2c"
        await stack.cloud.create(name)
        seconds = {"seconds": SECONDS[kind]} if kind in SECONDS else {}
        await stack.cloud.fault(name, on, kind, times=2, **seconds)
        await boost(client, name, LONG)
    deadline = time.monotonic() + FAULTS_WITHIN
    while missing := [fault for fault in await stack.cloud.faults() if not fault["hits"]]:
        assert time.monotonic() < deadline, f"faults that never struck: {missing}"
        await asyncio.sleep(0.2)


async def histories(client: Client, at_least: int) -> bytes:
    """Return the histories of all workflows, as the server sends them."""
    async with asyncio.timeout(30):
        while True:
            found = [one async for one in client.list_workflows()]
            if len(found) >= at_least:
                break
            await asyncio.sleep(0.2)
    read = b""
    for one in found:
        history = await client.get_workflow_handle(one.id, run_id=one.run_id).fetch_history()
        read += b"".join(event.SerializeToString() for event in history.events)
    return read


async def status(stack: Processes, namespace: str) -> bytes:
    """Return what `planner status` says of the faults, on both of its streams.

    The server's list of workflows lags: it is asked again until it says something of *namespace*.
    """
    async with asyncio.timeout(FAULTS_WITHIN):
        while True:
            asked = await asyncio.create_subprocess_exec(
                str(BESIDE / "planner"),
                "status",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **stack.worker.environment},
            )
            said, _ = await asked.communicate()
            if namespace.encode() in said:
                return said


def contents(directory: Path, pattern: str) -> bytes:
    """Return what stands in the files of *directory* whose names are like *pattern*."""
    read = b""
    for file in sorted(directory.glob(pattern)):
        with suppress(FileNotFoundError):  # a journal of the database lasts for one transaction
            read += file.read_bytes()
    return read


async def everything(
    stack: Processes, client: Client, port: int, directory: Path, namespace: str
) -> dict[str, bytes]:
    """Return all that can be read without the key, by its place; the status has *namespace*."""
    seen = await histories(client, len(CASES) + PLANTED)
    async with httpx.AsyncClient(trust_env=False) as http:
        metrics = await http.get(f"http://127.0.0.1:{port}/metrics")
    said = await status(stack, namespace)
    await stack.worker.end()  # what it says at its end is searched, too
    state, logs = contents(directory, "temporal.db*"), contents(directory, "*.log")
    return dict(zip(PLACES, (seen, state, logs, metrics.content, said), strict=True))


async def test_the_key_is_nowhere_to_be_read(tmp_path: Path) -> None:
    """After every fault of every call the key is in no history, log, metric or error.

    The search is proven by a second secret, which is planted as the name of a namespace:
    it has to be found in every place. One boost of it ends in red, and its keeper with it; another
    lasts, so that there is a keeper for the status to tell of.
    """
    key, planted, port = secret(), secret(), free_port()
    worker = (str(BESIDE / "planner"), "worker", "--metrics", f"127.0.0.1:{port}")
    async with processes(tmp_path, worker=worker, provisioning=6, check=1.0, key=key) as stack:
        client = await stack.connect()
        doomed, _ = [
            await unreadable(stack, client, f"{planted}.{account}", seconds)
            for account, seconds in (("a1b2c", SHORT), ("b2c3d", LONG))
        ]
        await fail_everywhere(stack, client)
        with pytest.raises(WorkflowFailureError):
            await doomed.result()
        places = await everything(stack, client, port, tmp_path, planted)
    assert places_with(planted, places) == list(PLACES)
    assert places_with(key, places) == []
