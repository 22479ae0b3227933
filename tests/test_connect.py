"""Finding the Temporal server: what is said when it isn't there, or isn't one."""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fake_schedules import FakeTemporal, not_ready, refused
from planner_process import run_planner
from refusing_proxy import RESOURCE_EXHAUSTED, UNAVAILABLE, RefusingProxy
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from planner.errors import ServerError, ServerUnreachable
from planner.temporal import client as client_module
from planner.temporal import sync_state
from planner.temporal.client import Server, announced, connect, default_runtime, seconds_setting
from planner.temporal.fetch import list_schedules
from planner.temporal.sync_state import read_last_applied


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
    assert client.service_client.config.runtime is default_runtime("ERROR"), "off stdout"


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


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("localhost", "localhost:7233"),
        ("temporal.acme.example:", "temporal.acme.example:7233"),
        ("http://localhost:7233", "localhost:7233"),
        ("https://temporal.acme.example:443/ns", "temporal.acme.example:443"),
        ("[::1]", "[::1]:7233"),
    ],
)
async def test_what_is_no_address(address: str, good: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is connected to; the sentence has the address as it should be."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    with pytest.raises(ServerError) as error:
        await connect()
    assert str(error.value).startswith(f"TEMPORAL_ADDRESS={address} is no address")
    assert str(error.value).endswith(f"write TEMPORAL_ADDRESS={good}")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("API_KEY", "sk-4711", "TEMPORAL_API_KEY turns it on"), ("TLS", "true", "the settings turn")],
)
async def test_tls_against_a_plain_server(
    dev_server: WorkflowEnvironment,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    words: str,
) -> None:
    """A server is there; it is the settings that don't suit it."""
    address = dev_server.client.service_client.config.target_host
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    monkeypatch.setenv(f"TEMPORAL_{name}", value)
    with pytest.raises(ServerUnreachable) as error:
        await connect()
    assert f"the server at {address} speaks no TLS, and {words}" in str(error.value)
    assert "start one" not in str(error.value)


async def test_no_such_namespace(client: Client) -> None:
    """Any request says which server lacks it, and which variable to check."""
    config = client.config()
    config["namespace"] = "nope"
    server = Server(Client(**config))
    expected = rf"Temporal at {server.address} has no namespace 'nope'; check TEMPORAL_NAMESPACE"
    with pytest.raises(ServerError, match=expected):
        await list_schedules(server, "payments")
    with pytest.raises(ServerError, match=expected):
        await read_last_applied(server, "payments", datetime.now(UTC))


EXHAUSTED = refused(RPCStatusCode.RESOURCE_EXHAUSTED, "namespace rate limit exceeded")


@pytest.mark.parametrize(
    ("error", "waits", "gives_up"),
    [
        pytest.param(
            EXHAUSTED,
            "limits its requests (resource exhausted)",
            "has limited its requests for 0.2 s (namespace rate limit exceeded)",
            id="exhausted",
        ),
        pytest.param(
            not_ready(),
            "is not ready to answer (a workflow task failed)",
            "has not been ready to answer for 0.2 s (Unable to query workflow due to Workflow Task "
            "in failed state.)",
            id="not ready",
        ),
    ],
)
async def test_a_server_whose_refusal_passes(
    monkeypatch: pytest.MonkeyPatch, error: RPCError, waits: str, gives_up: str
) -> None:
    """It is said at once what is waited for, once; the wait ends with an answer or by its limit."""
    monkeypatch.setattr(client_module, "BUSY_WAITS", (0.01,))
    fake, notices, left = FakeTemporal(), list[str](), [3, 10**6]

    def refuse(name: str, request: object) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error

    fake.before = refuse
    server = Server(fake, on_notice=notices.append, limit=0.2)  # type: ignore[arg-type]
    assert await list_schedules(server, "payments") == {}
    left.pop(0)
    with pytest.raises(ServerError) as given_up:
        async with asyncio.timeout(5):
            await list_schedules(server, "payments")
    assert str(given_up.value) == (
        f"Temporal at fake:7233 {gives_up}; try again later, or wait longer with PLANNER_WAIT=300"
    )
    assert notices == [f"Temporal at fake:7233 {waits}; waiting 0.2 s at most (PLANNER_WAIT)"]


async def test_a_server_that_limits_requests_over_a_socket(
    dev_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait is announced and ends, after the SDK's own attempts; a connection isn't waited for."""
    monkeypatch.setattr(client_module, "BUSY_WAITS", (0.01,))
    proxy = RefusingProxy(dev_server.client.service_client.config.target_host)
    async with proxy.listening():
        monkeypatch.setenv("TEMPORAL_ADDRESS", proxy.address)
        client, notices = await connect(), list[str]()
        proxy.refuse(RESOURCE_EXHAUSTED)
        server = Server(client, on_notice=notices.append, limit=0.5)
        with pytest.raises(ServerError, match=r"has limited its requests for 0\.5 s"):
            await list_schedules(server, "payments")
        # The SDK makes some attempts by itself before it tells the reason.
        assert notices
        assert notices[0].startswith(f"Temporal at {proxy.address} ")
        assert "waiting" in notices[0]
        with pytest.raises(ServerError, match=r"limits its requests \(resource exhausted\); try"):
            await connect()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        pytest.param(RESOURCE_EXHAUSTED, " has limited its requests for 1 s", id="it limits"),
        # The SDK sends these again soon and often, and its core warns of each from the fifth on.
        pytest.param(UNAVAILABLE, ": not for you (unavailable)", id="it is unavailable"),
    ],
)
async def test_no_command_waits_in_silence_for_a_server_that_refuses(
    status: int, reason: str, tmp_path: Path
) -> None:
    """Plan, sync and status say that they wait, and why they give up; nothing else on stderr."""
    (tmp_path / "planner.yaml").write_text("project: payments\n")
    (tmp_path / "a.yaml").write_text(
        "namespace: payments.a1b2c\nwindows: {w: {cron: '@daily', duration: 1h, tru: 4}}\n"
    )

    async def said(*arguments: str) -> tuple[int, list[str]]:
        env = {**os.environ, "TEMPORAL_ADDRESS": proxy.address, "PLANNER_WAIT": "1"}
        done = await asyncio.to_thread(run_planner, *arguments, env=env)
        return done.returncode, done.stderr.splitlines()

    proxy = RefusingProxy("", status=status, greets=True)
    async with proxy.listening():
        commands = (("plan", str(tmp_path)), ("sync", str(tmp_path)), ("status",))
        found = await asyncio.gather(*(said(*each) for each in commands))
    for code, lines in found:
        assert code == 1
        waiting, gave_up = lines
        assert waiting.startswith(f"Temporal at {proxy.address} ")
        assert "waiting" in waiting
        assert gave_up.startswith(f"planner: Temporal at {proxy.address}{reason}")
        assert ("PLANNER_WAIT=300" in gave_up) == (status == RESOURCE_EXHAUSTED)


async def test_a_wait_is_announced_within_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever doesn't answer; what does in time is not spoken of."""
    assert client_module.NOTICE_SECONDS < 5
    monkeypatch.setattr(client_module, "NOTICE_SECONDS", 0.02)
    notices: list[str] = []
    answered = asyncio.Event()
    with announced("waiting for it", lambda words: (notices.append(words), answered.set())):
        async with asyncio.timeout(5):
            await answered.wait()
    with announced("waiting for another", notices.append):
        pass
    assert notices == ["waiting for it"]


async def test_another_sync_is_waited_for_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that keeps renewing its lock: this one gives up, by a setting."""
    monkeypatch.setenv("PLANNER_LOCK_WAIT", "0.05")
    monkeypatch.setattr(sync_state, "POLL_SECONDS", 0.001)
    fake, notices = FakeTemporal(), list[str]()
    async with sync_state.hold_lock(fake, "payments", notices.append):  # type: ignore[arg-type]
        with pytest.raises(ServerError, match=r"still under way after 0\.05 s.*PLANNER_LOCK_WAIT="):
            async with sync_state.hold_lock(fake, "payments", notices.append):  # type: ignore[arg-type]
                pass
    (notice,) = notices
    assert notice.startswith(
        "another sync of payments is under way; waiting for it, 0.05 s at most"
    )


@pytest.mark.parametrize("text", ["soon", "-1", "0", "inf"])
def test_a_limit_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the variable and a good value."""
    monkeypatch.setenv("PLANNER_WAIT", text)
    with pytest.raises(ServerError, match="PLANNER_WAIT=60"):
        seconds_setting("PLANNER_WAIT", 60)
