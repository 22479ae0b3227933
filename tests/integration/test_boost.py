"""``planner worker``, ``boost``, ``release``, ``status`` as processes, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import real_server
from planner_process import run_planner
from sync_helpers import eventually
from temporalio.client import Client
from temporalio.service import RetryConfig
from temporalio.testing import WorkflowEnvironment

from planner.errors import ServerError
from planner.simulator import Simulator
from planner.temporal import keepers
from planner.temporal.keepers import start_boost, wait_for_result
from workflows.cloud import CloudClient, OneKey
from workflows.contract import (
    KEEPER_WORKFLOW,
    BoostRequest,
    KeeperStart,
    ReleaseRequest,
    keeper_id,
)
from workflows.worker import build_worker

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
    env = {**os.environ, **environ}
    done = await asyncio.to_thread(run_planner, *arguments, env=env, timeout=60)
    return done.returncode, done.stdout, done.stderr


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
                *("boost", namespace, "--tru", "8", "--for", "1h", "--reason", "a test"),
                "--unlisted",
                **environ,
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
            address = environ["TEMPORAL_ADDRESS"]
            where = f"the Temporal namespace {dev_server.client.namespace} on {address}"
            assert f"no boost is running for {namespace} in {where}: there is nothing to" in err
            code, _, err = await planner("release", "never.acct", **environ)
            assert (code, f"no keeper of never.acct is known in {where}" in err) == (3, True)
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


async def test_a_worker_of_a_namespace_that_is_not_there(dev_server: WorkflowEnvironment) -> None:
    """A Temporal namespace that the server hasn't is one sentence, and exit code 1."""
    environ = {
        "TEMPORAL_ADDRESS": dev_server.client.service_client.config.target_host,
        "TEMPORAL_NAMESPACE": "nowhere",
        "TEMPORAL_CLOUD_API_KEY": KEY,
    }
    for command in (("worker",), ("release", "n.a")):
        code, out, err = await planner(*command, **environ)
        assert (code, out) == (1, "")
        assert err.endswith("has no namespace 'nowhere'; check TEMPORAL_NAMESPACE\n")
        assert len(err.splitlines()) == 1


async def test_two_boosts_in_one_second(client: Client, fresh: str) -> None:
    """Each is a boost of its own; in one millisecond, the second is told that it is none."""
    request = BoostRequest(namespace=f"{fresh}.acct", window="by-hand", tru=4, ttl_seconds=60)
    now = datetime.now(UTC).replace(microsecond=5_000)
    first = await start_boost(client, request, now)
    second = await start_boost(client, request, now + timedelta(milliseconds=1))
    assert first.id != second.id
    with pytest.raises(ServerError, match=r"was not started: run it again"):
        await start_boost(client, request, now)
    await first.terminate()
    await second.terminate()


async def test_a_boost_that_no_worker_takes(
    client: Client, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what it waits for, and ends in time: the boost goes on."""
    monkeypatch.setattr(keepers, "PICKED_UP_WITHIN", timedelta(seconds=0.5))
    monkeypatch.setattr(keepers, "CHECK_SECONDS", 0.1)
    request = BoostRequest(namespace=f"{fresh}.acct", window="by-hand", tru=4, ttl_seconds=60)
    boost = await start_boost(client, request, datetime.now(UTC))
    said: list[str] = []
    with pytest.raises(ServerError, match=r"for a worker to take it .* was started, and goes on"):
        await wait_for_result(boost, said.append)
    assert said == [f"Waiting for a worker to take it ({keepers.WORKER_HINT})"]
    await boost.terminate()


async def test_a_server_that_says_nothing(
    dev_server: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that stops answering is waited for in bounds, by every command by hand."""
    monkeypatch.setattr(keepers, "ANSWER_WITHIN", timedelta(seconds=1))
    request = BoostRequest(namespace=f"{fresh}.acct", window="by-hand", tru=4, ttl_seconds=60)
    async with Relay(dev_server.client.service_client.config.target_host) as relay:
        client = await Client.connect(relay.address)
        boost = await start_boost(client, request, datetime.now(UTC))
        relay.stalls = True
        began = time.monotonic()
        with pytest.raises(ServerError, match=f"planner status {request.namespace}"):
            await start_boost(client, request, datetime.now(UTC))
        with pytest.raises(ServerError, match="does not answer"):
            await keepers.release(client, request.namespace, ReleaseRequest())
        with pytest.raises(ServerError, match="can't be listed"):
            await keepers.fetch_keepers(client, datetime.now(UTC))
        assert time.monotonic() - began < 20
    await dev_server.client.get_workflow_handle(boost.id).terminate()


@pytest.mark.parametrize("answers", [True, False])
async def test_a_wait_whose_connection_breaks(
    dev_server: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """It goes on where the server answers; else it ends with what it can't say."""
    monkeypatch.setattr(keepers, "RESENT_FOR", 1.0)
    monkeypatch.setattr(keepers, "CHECK_SECONDS", 1.5)  # by then the call isn't sent again
    request = BoostRequest(namespace=f"{fresh}.acct", window="by-hand", tru=4, ttl_seconds=60)
    async with Relay(dev_server.client.service_client.config.target_host) as relay:
        retry = RetryConfig(max_elapsed_time_millis=1_000)
        client = await Client.connect(relay.address, retry_config=retry)
        boost = await start_boost(client, request, datetime.now(UTC))
        checked = asyncio.Event()
        waiting = asyncio.ensure_future(wait_for_result(boost, lambda _: checked.set()))
        await checked.wait()
        relay.cut(final=not answers)
        there = dev_server.client.get_workflow_handle(boost.id)
        if answers:
            await there.terminate(reason="seen after the cut")
            with pytest.raises(ServerError, match="seen after the cut"):
                await waiting
        else:
            with pytest.raises(ServerError, match=r"can't be asked about the boost .* goes on"):
                await waiting
            await there.terminate()


class Relay:
    """A way to a server that can stall, and be cut.

    Attributes:
        address: Where it listens.
        stalls: Whether it takes everything, and passes nothing on.
    """

    def __init__(self, target: str) -> None:
        self.address = ""
        self.stalls = False
        self._target = target
        self._tasks = set[asyncio.Task[None]]()
        self._writers = list[asyncio.StreamWriter]()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut(final=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, *, final: bool) -> None:
        """Break every connection; where *final*, take no other."""
        if final and self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target.split(":"))
        self._writers += [writer, back]
        ways = ((reader, back), (there, writer))
        tasks = {asyncio.create_task(self._carry(*way)) for way in ways}
        self._tasks |= tasks
        try:
            await asyncio.wait(tasks)
        finally:
            back.close()
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # it is cut
            while data := await reader.read(65536):
                if not self.stalls:
                    writer.write(data)


@pytest.mark.parametrize("name", ["o'brien", 'a"b', "back\\slash", "' OR 1=1 --", "100%_"])
async def test_a_name_that_no_query_can_say(client: Client, fresh: str, name: str) -> None:
    """A keeper is found by any name, and by no other; the server reads none of it as a query."""
    namespace = f"{name}{fresh}"
    handle = await client.start_workflow(
        KEEPER_WORKFLOW, KeeperStart(namespace=namespace), id=keeper_id(namespace), task_queue=fresh
    )

    async def found(wanted: str, count: int) -> None:
        executions = [one async for one in keepers.executions(client, wanted)]
        assert [one.id for one in executions] == [handle.id] * count

    await eventually(lambda: found(namespace, 1))
    await found(name, 0)
    await handle.terminate()


async def test_everything_that_runs_is_released() -> None:
    """``release --all`` has an outcome for each namespace; with none running it is refused."""
    async with (
        real_server() as server,
        Simulator(provisioning=0.1, check=0.1, auto_create=True) as simulator,
    ):
        environ = {"TEMPORAL_ADDRESS": server.client.service_client.config.target_host}
        async with (
            CloudClient(simulator.url, OneKey(KEY), poll=0.1) as cloud,
            build_worker(server.client, cloud, grace=timedelta(seconds=1)),
        ):
            for number in range(2):
                request = BoostRequest(
                    namespace=f"n{number}.acct", window="by-hand", tru=4, ttl_seconds=3600
                )
                boost = await start_boost(server.client, request, datetime.now(UTC))
                assert (await wait_for_result(boost, print)).in_force
            code, out, _ = await planner("release", "--all", **environ)
            assert (code, sorted(line[:30] for line in out.splitlines())) == (
                0,
                ["released n0.acct/by-hand: 4 TR", "released n1.acct/by-hand: 4 TR"],
            )
            code, _, err = await planner("release", "--all", **environ)
            where = f"the Temporal namespace default on {environ['TEMPORAL_ADDRESS']}"
            assert (code, f"no boost is running in {where}: there is nothing" in err) == (3, True)
