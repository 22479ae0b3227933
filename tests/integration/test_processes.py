"""Servers that are started: one that dies is replaced, one that is slow is waited for."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import processes
import pytest
from conftest import binary

from planner.errors import ServerError
from planner.temporal import client as client_module
from planner.temporal.client import free_port, temporal_server

pytestmark = pytest.mark.integration


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that another process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield int(other.getsockname()[1])


def test_a_port_that_is_taken(taken_port: int) -> None:
    """Another one is chosen: one that the system gives nobody before its server starts."""
    port = free_port(taken_port)
    assert port != taken_port
    given_away = Path("/proc/sys/net/ipv4/ip_local_port_range")
    least = int(given_away.read_text().split()[0]) if given_away.exists() else 49_152
    assert 1_024 < port < least


def test_a_port_that_is_free() -> None:
    """It is taken where it is the preferred one."""
    preferred = free_port()
    assert free_port(preferred) == preferred


def test_all_ports_in_use(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is said."""
    monkeypatch.setattr(client_module, "_LISTENING", (taken_port,))
    monkeypatch.setattr(client_module, "_PORTS_TRIED", 1)
    with pytest.raises(ServerError, match="no free port"):
        free_port(taken_port)


async def test_a_server_whose_port_was_taken_is_replaced(
    taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one finds its port taken since it was chosen, and ends; the second one lives."""
    ports = iter([taken_port, free_port()])
    monkeypatch.setattr(processes, "free_port", lambda: next(ports))
    async with processes.dev_environment(binary("temporal")) as environment:
        assert await environment.client.count_workflows()
    assert next(ports, None) is None


async def test_a_server_that_dies_says_why(taken_port: int, tmp_path: Path) -> None:
    """It is not waited for, and what it wrote is in the error."""
    server = processes.temporal_server(taken_port, tmp_path, keeps_state=False)
    with pytest.raises(processes.ServerDied, match="address already in use"):
        await processes.started(server, f"127.0.0.1:{taken_port}")


async def test_a_server_that_takes_longer_than_the_sdk_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, as on a busy machine or a cold disk: the SDK would do so for 5 s."""
    slow = tmp_path / "temporal"
    slow.write_text(f'#!/bin/sh\nsleep 6\nexec {binary("temporal")} "$@"\n', encoding="utf-8")
    slow.chmod(0o755)
    monkeypatch.setattr(client_module, "find_binary", lambda _name: str(slow))
    async with temporal_server() as server:
        assert await server.client.count_workflows()


async def test_a_server_whose_database_is_busy(tmp_path: Path) -> None:
    """It is waited for: by default it would say that it has no such Temporal namespace."""
    state = tmp_path / "temporal.db"
    async with temporal_server(state_file=state) as server:
        await server.client.start_workflow("Any", id="before", task_queue="any")
        database = sqlite3.connect(state, timeout=30, isolation_level=None)
        database.execute("BEGIN EXCLUSIVE")
        started = asyncio.ensure_future(
            server.client.start_workflow("Any", id="meanwhile", task_queue="any")
        )
        done, _ = await asyncio.wait({started}, timeout=4)  # it gives up after three seconds
        database.execute("COMMIT")
        assert not done
        assert (await started).id == "meanwhile"
        database.close()


def test_a_port_is_not_returned_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever got it may not listen on it yet."""
    ports = [free_port(), free_port()]
    monkeypatch.setattr(client_module, "_returned", set())
    monkeypatch.setattr(client_module, "_LISTENING", ports)
    monkeypatch.setattr(client_module, "_PORTS_TRIED", 2)
    assert sorted([free_port(), free_port()]) == sorted(ports)
    with pytest.raises(ServerError, match="no free port"):
        free_port()
