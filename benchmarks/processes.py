"""The run time as processes of its own, so that each can be measured, and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import httpx
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from planner.temporal.client import CACHED_NAMESPACES, free_port

T = TypeVar("T")

BESIDE = Path(sys.executable).parent
"""Where this Python's programs are: `planner`, and the Temporal server."""

KEY = "a-key-of-the-benchmark"
UP_WITHIN = 180.0
"""Seconds that a process may take until it answers, on a machine that is busy."""

_GO_RUNTIME = {"GOGC": "400", "GOMEMLIMIT": "1GiB", "GOMAXPROCS": "1"}
"""What Go gives a server that lives for minutes: fewer garbage collections, and one core."""

_ONE_PARTITION = tuple(
    word
    for kind in ("Read", "Write")
    for word in ("--dynamic-config-value", f"matching.numTaskqueue{kind}Partitions=1")
)
"""Options for a task queue of one partition: tests leave a hundred queues behind, and four
partitions of each take more processor time."""

_GLANCE = 0.02

_SERVERS = 3
"""How many dev servers are started, one after the other, until one lives: another process may
take a port, of the few that a server listens on, before it does."""


class ServerDied(Exception):
    """A server ended before it answered; the message says what it wrote."""


@dataclass
class Process:
    """A program that runs beside this one, and writes what it says to *log*."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, or start it again; it is up when whoever needs it finds it so."""
        with self.log.open("ab") as log:
            self.running = await asyncio.create_subprocess_exec(
                *self.command, stdout=log, stderr=log, env={**os.environ, **self.environment}
            )

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it *number*, and wait for its end; one that won't end is killed."""
        if self.running is None or self.running.returncode is not None:
            return
        self.running.send_signal(number)
        try:
            async with asyncio.timeout(30):
                await self.running.wait()
        except TimeoutError:
            self.running.kill()
            await self.running.wait()

    async def kill(self) -> None:
        """Kill it: it learns nothing of that, and cleans nothing up."""
        await self.end(signal.SIGKILL)

    @property
    def megabytes(self) -> float:
        """What it holds in memory now, shared libraries included."""
        return self._status("VmRSS") / 1024

    @property
    def megabytes_at_most(self) -> float:
        """The most that it ever held in memory."""
        return self._status("VmHWM") / 1024

    @property
    def cpu_seconds(self) -> float:
        """The processor time that it has used."""
        assert self.running
        fields = Path(f"/proc/{self.running.pid}/stat").read_text(encoding="ascii").split(") ")[1]
        return sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def _status(self, name: str) -> int:
        assert self.running
        lines = Path(f"/proc/{self.running.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


class Cloud:
    """What a script asks of a simulator that runs as a process."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)

    async def create(self, namespace: str, tru: float | None = None) -> None:
        """Create *namespace* with *tru* in force; on-demand if that is None."""
        await self._send("POST", "/_sim/namespaces", {"namespace": namespace, "tru": tru})

    async def fault(self, namespace: str, on: str, kind: str, **more: Any) -> None:
        """Fail on *namespace* as the simulator's page of faults says."""
        body = {"on": on, "kind": kind, "namespace": namespace, **more}
        await self._send("POST", "/_sim/faults", body)

    async def clear_faults(self) -> None:
        """Remove all faults."""
        await self._send("DELETE", "/_sim/faults")

    async def add_key(self, key: str, expires: str) -> None:
        """Accept *key* as an administrator's until *expires*, in ISO format."""
        await self._send("POST", "/_sim/keys", {"key": key, "expires": expires})

    async def change_by_others(self, namespace: str, tru: float | None) -> None:
        """Set another capacity of *namespace* at once, as another client would."""
        await self._send("POST", f"/_sim/namespaces/{namespace}/foreign-change", {"tru": tru})

    async def load(self, namespace: str, base: float) -> None:
        """Ask for *base* Actions a second of *namespace*, at any time."""
        await self._send("PUT", f"/_sim/namespaces/{namespace}/load", {"base": base})

    async def faults(self) -> list[dict[str, Any]]:
        """Return the faults that were set, each with how often it struck."""
        return list(await self._send("GET", "/_sim/faults"))

    async def history(self, namespace: str) -> list[tuple[datetime, float | None]]:
        """Return what came into force on *namespace*, and when; its creation first."""
        entries = await self._send("GET", f"/_sim/namespaces/{namespace}/history")
        return [(datetime.fromisoformat(entry["at"]), entry["tru"]) for entry in entries]

    async def requests(self, namespace: str, call: str) -> list[dict[str, Any]]:
        """Return the latest requests of one *call* for *namespace*, oldest first."""
        found = await self._send("GET", "/_sim/requests")
        return [one for one in found if (one["namespace"], one["call"]) == (namespace, call)]

    async def failed(self) -> dict[str, list[float]]:
        """Return when the latest looks at namespaces failed or were lost, in Unix seconds."""
        failed: dict[str, list[float]] = {}
        for one in await self._send("GET", "/_sim/requests"):
            is_look = one["call"] in ("get", "list", "capacity-info")
            if is_look and (one["status"] >= 400 or one["is_lost"]):
                at = datetime.fromisoformat(one["at"]).timestamp()
                failed.setdefault(one["namespace"], []).append(at)
        return failed

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, method: str, path: str, body: Any = None) -> Any:
        reply = await self._http.request(method, path, json=body)
        reply.raise_for_status()
        return reply.json()


@dataclass
class Processes:
    """A Temporal server with a state file, a simulated Cloud, and a worker."""

    server: Process
    simulator: Process
    worker: Process
    address: str
    cloud: Cloud
    server_metrics: str = ""

    async def connect(self) -> Client:
        """Return a client, as soon as the server answers."""
        return await connected(self.address)


async def connected(address: str) -> Client:
    """Return a client of the Temporal server at *address*, as soon as that knows its namespace.

    A new one answers a moment earlier, and would refuse a workflow then.
    """
    async with asyncio.timeout(UP_WITHIN):
        while True:
            try:
                client = await Client.connect(address)
                await client.count_workflows()
                return client
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
            except RuntimeError:
                pass
            await asyncio.sleep(_GLANCE)


async def started(server: Process, address: str) -> Client:
    """Start *server*, and return a client of it as soon as it answers at *address*.

    Raises:
        ServerDied: It ended before.
        TimeoutError: It doesn't answer, and doesn't end.
    """
    await server.start()
    assert server.running
    up = asyncio.ensure_future(connected(address))
    ended = asyncio.ensure_future(server.running.wait())
    try:
        await asyncio.wait({up, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            raise ServerDied(server.log.read_text(encoding="utf-8", errors="replace"))
        return await up
    except BaseException:
        await server.kill()
        raise
    finally:
        for task in (up, ended):
            task.cancel()
        await asyncio.wait({up, ended})


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a script's *main*; SIGTERM ends it as Ctrl-C does, with all that it started."""

    async def cancellable() -> T:
        task = asyncio.current_task()
        assert task
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await main

    return asyncio.run(cancellable())


def leave(code: int | None = None) -> NoReturn:
    """End a script with *code*, at once: the SDK may abort the interpreter's own way out."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def temporal_server(
    port: int, directory: Path, *, keeps_state: bool, metrics_port: int = 0, binary: str = ""
) -> Process:
    """Return a dev server that keeps its state in a file in *directory*, or in memory."""
    metrics = ("--metrics-port", str(metrics_port)) if metrics_port else ()
    state = ("--db-filename", str(directory / "temporal.db")) if keeps_state else ()
    command = (
        *(binary or str(BESIDE / "temporal"), "server", "start-dev", "--headless"),
        *("--ip", "127.0.0.1", "--port", str(port)),
        *("--log-level", "error", *CACHED_NAMESPACES, *state, *metrics),
    )
    return Process("server", command, directory / "server.log")


@asynccontextmanager
async def dev_environment(binary: str = "") -> AsyncIterator[WorkflowEnvironment]:
    """Run a dev server that keeps its state in memory, of *binary* if that is given.

    The SDK's own gives up after five seconds, in which a busy machine may start none.

    Raises:
        ServerDied: None that was started lives.
    """
    with tempfile.TemporaryDirectory() as directory:
        for left in reversed(range(_SERVERS)):
            port = free_port()
            server = temporal_server(port, Path(directory), keeps_state=False, binary=binary)
            server.command += _ONE_PARTITION
            server.environment = _GO_RUNTIME
            try:
                client = await started(server, f"127.0.0.1:{port}")
                break
            except ServerDied:
                if not left:
                    raise
        try:
            yield WorkflowEnvironment.from_client(client)
        finally:
            await server.kill()


@asynccontextmanager
async def processes(
    directory: Path,
    *,
    simulator: tuple[str, ...] = (),
    worker: tuple[str, ...] = (),
    provisioning: float = 2.0,
    check: float = 0.25,
    key: str = KEY,
    keeps_state: bool = True,
) -> AsyncIterator[Processes]:
    """Run all three for as long as the context lasts; what they say goes to *directory*.

    Args:
        directory: Where logs and the server's state go.
        simulator: Another simulator than `planner simulator`; it is told its port last.
        worker: Another worker than `planner worker`.
        provisioning: Seconds that `planner simulator` takes to change a capacity.
        check: Seconds between two looks that it proposes.
        key: The Cloud API key that the worker finds in its environment.
        keeps_state: Whether the server has a state file, to live on after a kill. Writing
            it is slow: not for a thousand workflows at once.
    """
    planner, port, cloud_port = str(BESIDE / "planner"), free_port(), free_port()
    metrics_port = free_port()
    plain = ("--provisioning", str(provisioning), "--check", str(check), "--no-auto-create")
    simulated = simulator or (planner, "simulator", *plain, "--port")
    cloud = Cloud(f"http://127.0.0.1:{cloud_port}")
    settings = {
        "TEMPORAL_ADDRESS": f"127.0.0.1:{port}",
        "TEMPORAL_CLOUD_API_KEY": key,
        "PLANNER_CLOUD_URL": cloud.url,
    }
    stack = Processes(
        server=temporal_server(port, directory, keeps_state=keeps_state, metrics_port=metrics_port),
        simulator=Process("simulator", (*simulated, str(cloud_port)), directory / "simulator.log"),
        worker=Process("worker", worker or (planner, "worker"), directory / "worker.log", settings),
        address=settings["TEMPORAL_ADDRESS"],
        cloud=cloud,
        server_metrics=f"127.0.0.1:{metrics_port}",
    )
    try:
        await _up(stack)
        yield stack
    finally:
        for one in (stack.worker, stack.simulator, stack.server):
            await one.end()
        await cloud.aclose()


async def _up(stack: Processes) -> None:
    """Start all three; the worker last, since it wants to find the others."""
    await stack.simulator.start()
    await started(stack.server, stack.address)
    async with asyncio.timeout(UP_WITHIN):
        while True:
            try:
                await stack.cloud.faults()
                break
            except httpx.TransportError:
                await asyncio.sleep(_GLANCE)
    await stack.worker.start()
