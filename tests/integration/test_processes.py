"""Servers that tests and benchmarks start: one that dies is replaced, and its words are kept."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import processes
import pytest
from conftest import binary

pytestmark = pytest.mark.integration


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that another process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield int(other.getsockname()[1])


async def test_a_server_whose_port_was_taken_is_replaced(
    taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one finds its port taken since it was chosen, and ends; the second one lives."""
    ports = iter([taken_port, processes.free_port()])
    monkeypatch.setattr(processes, "free_port", lambda: next(ports))
    async with processes.dev_environment(binary("temporal")) as environment:
        assert await environment.client.count_workflows()
    assert next(ports, None) is None


async def test_a_server_that_dies_says_why(taken_port: int, tmp_path: Path) -> None:
    """It is not waited for, and what it wrote is in the error."""
    server = processes.temporal_server(taken_port, tmp_path, keeps_state=False)
    with pytest.raises(processes.ServerDied, match="address already in use"):
        await processes.started(server, f"127.0.0.1:{taken_port}")
