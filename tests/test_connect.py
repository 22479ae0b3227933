"""Finding the Temporal server: what is said when it isn't there, or isn't one."""

from __future__ import annotations

import asyncio
import socket

import pytest
from temporalio.testing import WorkflowEnvironment

from planner.errors import ServerError, ServerUnreachable
from planner.temporal.client import connect, default_runtime


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from an environment that names no server and no profile."""
    for name in ("ADDRESS", "NAMESPACE", "API_KEY", "PROFILE", "CONFIG_FILE", "TLS"):
        monkeypatch.delenv(f"TEMPORAL_{name}", raising=False)


async def test_it_connects(
    dev_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address and the namespace of the environment are the ones used."""
    address = dev_server.client.service_client.config.target_host
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "default")
    client = await connect()
    assert client.namespace == "default"
    assert client.service_client.config.target_host == address
    assert client.service_client.config.runtime is default_runtime(), "warnings stay off stdout"


async def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the address tried, and how to start a server there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        monkeypatch.setenv("TEMPORAL_ADDRESS", address)
        with pytest.raises(ServerUnreachable) as error:
            await connect()
    assert str(error.value).startswith(f"no Temporal server answers at {address} (")
    assert "planner dev" in str(error.value)


async def test_another_server_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that isn't Temporal's is reported, with the settings to check; no key is shown."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{port}")
        monkeypatch.setenv("TEMPORAL_API_KEY", "sk-4711-secret")
        monkeypatch.setenv("TEMPORAL_TLS", "false")
        with pytest.raises(ServerError) as error:
            await connect()
    assert f"127.0.0.1:{port}" in str(error.value)
    assert "sk-4711-secret" not in str(error.value)


async def test_no_such_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that isn't there is named, and where to look."""
    monkeypatch.setenv("TEMPORAL_PROFILE", "nowhere")
    with pytest.raises(ServerError, match=r"nowhere.*temporal config list"):
        await connect()
