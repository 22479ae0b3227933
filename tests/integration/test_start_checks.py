"""What a worker checks before it says that it runs, and a desk with ``planner doctor``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from refusing_proxy import PERMISSION_DENIED, UNAUTHENTICATED, RefusingProxy
from sync_helpers import Shop, eventually, polling
from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from planner.cli import doctor, worker
from planner.errors import ServerError
from planner.simulator import Simulator
from planner.temporal.client import free_port
from planner.temporal.keepers import fetch_keepers, start_boost
from planner.temporal.status import fetch_pollers, fetch_statuses
from workflows import keeper_transitions
from workflows.activities import capacity as capacity_activities
from workflows.contract import BoostRequest, keeper_id

pytestmark = pytest.mark.integration

KEYS = ("TEMPORAL_CLOUD_API_KEY", "TEMPORAL_CLOUD_API_KEY_FILE", "TEMPORAL_CLOUD_API_KEY_DIR")


async def ask(port: int, path: str) -> tuple[int, str]:
    """Return status and text of a health check."""

    def fetch() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


@pytest.fixture
def keys(own_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory with the key of one namespace, and the environment of a worker that has it."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "keys"
    directory.mkdir()
    (directory / "orders.acct").write_text("a-key", encoding="utf-8")
    monkeypatch.setenv("TEMPORAL_CLOUD_API_KEY_DIR", str(directory))
    monkeypatch.setenv("TEMPORAL_ADDRESS", own_server.client.service_client.config.target_host)
    monkeypatch.setenv("PLANNER_CLOUD_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(worker, "FIRST_LOOK", 0.5)
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.5)
    return directory


@asynccontextmanager
async def started(port: int) -> AsyncIterator[None]:
    """Run a worker in this process, as ``planner worker`` does."""
    task = asyncio.create_task(worker.work(f"127.0.0.1:{port}", ""))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def ready(port: int, path: str, code: int, words: str = "") -> None:
    """Fail unless the worker answers so."""
    status, text = await ask(port, path)
    assert (status, words in text) == (code, True), text


@pytest.mark.parametrize("content", [None, "", " \n"], ids=["missing", "empty", "blank"])
async def test_a_key_file_without_a_key(
    keys: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """A missing or an empty file ends the worker before it says that it runs, in one sentence."""
    path = keys / "key"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    monkeypatch.delenv("TEMPORAL_CLOUD_API_KEY_DIR")
    monkeypatch.setenv("TEMPORAL_CLOUD_API_KEY_FILE", str(path))
    with pytest.raises(ServerError, match=str(path)) as raised:
        await worker.work("", "")
    assert "\n" not in str(raised.value)


async def test_a_directory_without_keys(keys: Path) -> None:
    """The same for a directory with no file in it."""
    (keys / "orders.acct").unlink()
    with pytest.raises(ServerError, match="has no Cloud API key"):
        await worker.work("", "")


async def test_a_cloud_that_is_not_there_yet(
    keys: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker says what is missing, is alive and not ready, and ready once it is there."""
    health = free_port()
    caplog.set_level(logging.INFO)
    async with Simulator() as simulator:
        monkeypatch.setenv("PLANNER_CLOUD_URL", simulator.url)
        async with started(health):
            # The namespace that the key is for isn't there.
            await eventually(lambda: ready(health, "/readyz", 503, "orders.acct"))
            await ready(health, "/healthz", 200)
            assert "orders.acct" in caplog.text
            assert "The worker runs, but is not ready" in caplog.text
            await simulator.create("orders.acct")
            await eventually(lambda: ready(health, "/readyz", 200))


async def test_a_cloud_that_does_not_answer(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An unreachable Cloud API is said before anything else is, and keeps it from being ready."""
    health = free_port()
    caplog.set_level(logging.INFO)
    async with started(health):
        await eventually(lambda: ready(health, "/readyz", 503, "orders.acct"))
        await eventually(lambda: says(caplog, "The worker runs, but is not ready"))


async def says(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Fail unless *words* were logged."""
    assert words in caplog.text


async def test_polls_that_are_refused(
    keys: Path,
    own_server: WorkflowEnvironment,
    fresh: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A Temporal namespace that goes away under a worker: logged, alive, and not ready."""
    health, client = free_port(), own_server.client
    request = RegisterNamespaceRequest(namespace=fresh)
    request.workflow_execution_retention_period.FromSeconds(86400)
    await client.workflow_service.register_namespace(request)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", fresh)
    await eventually(lambda: known(client, fresh))
    async with Simulator() as simulator:
        await simulator.create("orders.acct")
        monkeypatch.setenv("PLANNER_CLOUD_URL", simulator.url)
        async with started(health):
            await eventually(lambda: ready(health, "/readyz", 200))
            await client.operator_service.delete_namespace(DeleteNamespaceRequest(namespace=fresh))
            await eventually(lambda: ready(health, "/readyz", 503, "can't be polled"))
            await ready(health, "/healthz", 200)
    assert any("not ready: " in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        pytest.param(PERMISSION_DENIED, "permission_denied", id="no right"),
        pytest.param(UNAUTHENTICATED, "unauthenticated", id="no identity"),
    ],
)
async def test_polls_that_are_refused_for_rights(
    keys: Path,
    own_server: WorkflowEnvironment,
    fresh: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
    word: str,
) -> None:
    """A worker whose rights go away: one sentence, alive, not ready, gone from the status.

    It is ready again as soon as it has them back.
    """
    health, client, begun = free_port(), own_server.client, datetime.now(UTC)
    shop = Shop(client, fresh)
    await shop.sync(shop.value())
    proxy = RefusingProxy(client.service_client.config.target_host)
    async with Simulator(auto_create=True) as simulator, proxy.listening():
        monkeypatch.setenv("PLANNER_CLOUD_URL", simulator.url)
        monkeypatch.setenv("TEMPORAL_ADDRESS", proxy.address)
        (keys / shop.namespace).write_text("a-key", encoding="utf-8")
        async with started(health):
            await eventually(lambda: ready(health, "/readyz", 200))
            await eventually(lambda: polled(shop, begun))
            proxy.refuse(status)
            await eventually(lambda: ready(health, "/readyz", 503, "can't be polled"))
            await ready(health, "/readyz", 503, word)
            await ready(health, "/healthz", 200)
            said = [one.getMessage() for one in caplog.records if "not ready" in one.getMessage()]
            assert len(said) == 1, said
            with monkeypatch.context() as soon:
                soon.setattr("planner.temporal.status.POLLING_WITHIN", timedelta(seconds=1))
                await eventually(lambda: stands(shop, "no worker"))
            proxy.refuse(None)
            await eventually(lambda: ready(health, "/readyz", 200))
    await shop.sync()


async def polled(shop: Shop, since: datetime) -> None:
    """Fail unless a worker has polled *since* then."""
    pollers = await fetch_pollers(shop.server, datetime.now(UTC))
    assert pollers.seen is not None
    assert pollers.seen > since


async def stands(shop: Shop, state: str) -> None:
    """Fail unless the status of the shop's namespace is *state*, as a desk with rights sees it."""
    (found,) = await fetch_statuses(shop.server, datetime.now(UTC), namespace=shop.namespace)
    assert found.state == state


async def test_a_worker_whose_rights_go_as_it_starts(
    keys: Path, own_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends in one sentence, not in a traceback: what starts workers starts another."""
    proxy = RefusingProxy(own_server.client.service_client.config.target_host)
    async with Simulator(auto_create=True) as simulator, proxy.listening():
        monkeypatch.setenv("PLANNER_CLOUD_URL", simulator.url)
        monkeypatch.setenv("TEMPORAL_ADDRESS", proxy.address)
        monkeypatch.setattr(worker, "log", lambda *_, **__: proxy.refuse(UNAUTHENTICATED))
        with pytest.raises(
            ServerError, match="the worker ended: Worker validation failed"
        ) as raised:
            await worker.work("", "")
        assert "\n" not in str(raised.value)


async def known(client: Client, name: str) -> None:
    """Fail unless the server's caches have the Temporal namespace *name*."""
    other = await Client.connect(client.service_client.config.target_host, namespace=name)
    assert [one async for one in await other.list_schedules()] == []


async def test_a_key_that_is_mended(
    keys: Path, own_server: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keeper that waits after a refusal tries again as soon as the key's file changes."""
    namespace, client = f"{fresh}.acct", own_server.client
    (keys / namespace).write_text("old", encoding="utf-8")
    monkeypatch.setattr(capacity_activities, "LOOK_EVERY", 0.2)
    monkeypatch.setattr(keeper_transitions, "FIRST_AFTER_REFUSAL", timedelta(minutes=10))
    async with Simulator(provisioning=0.1, check=0.1) as simulator:
        monkeypatch.setenv("PLANNER_CLOUD_URL", simulator.url)
        for name in ("orders.acct", namespace):
            await simulator.create(name)
        simulator.fault("get", "unauthorized", namespace=namespace, times=0)
        async with started(free_port()):
            request = BoostRequest(namespace=namespace, window="w", tru=8, ttl_seconds=3600)
            await start_boost(client, request, datetime.now(UTC))

            async def waits() -> None:
                (keeper,) = await fetch_keepers(client, datetime.now(UTC), namespace)
                assert keeper.status is not None
                assert "waiting until" in keeper.status.details

            await eventually(waits)
            await simulator.clear_faults()
            (keys / namespace).write_text("new", encoding="utf-8")
            await simulator.until(lambda: simulator.history(namespace)[-1].tru == 8)
            await client.get_workflow_handle(keeper_id(namespace)).terminate()


async def test_doctor(
    keys: Path,
    own_server: WorkflowEnvironment,
    fresh: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line for each check, of CI's identity and of the worker's; 1 where one fails."""
    monkeypatch.setattr("planner.temporal.status.POLLING_WITHIN", timedelta(seconds=-1))
    async with Simulator() as simulator:
        monkeypatch.setenv("PLANNER_CLOUD_URL", simulator.url)
        assert await doctor.examine(cloud=True) == 1
        out = capsys.readouterr().out
        assert out.startswith("ok      default on 127.0.0.1:")
        assert "FAILED  no worker polls the task queue capacity-boost" in out
        assert "orders.acct" in out
        await simulator.create("orders.acct")
        monkeypatch.setattr("planner.temporal.status.POLLING_WITHIN", timedelta(days=1))
        async with polling(own_server.client):
            assert await doctor.examine(cloud=True) == 0
            assert "ok      the Cloud API lets 1 namespace be read" in capsys.readouterr().out
            assert await doctor.examine(cloud=False) == 0
            assert "the Cloud API was not asked" in capsys.readouterr().out
    monkeypatch.setenv("TEMPORAL_NAMESPACE", f"{fresh}-nope")
    monkeypatch.setenv("TEMPORAL_CLOUD_API_KEY_DIR", str(keys / "nowhere"))
    assert await doctor.examine(cloud=True) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in lines] == ["FAILED", "FAILED", "-     "]
    assert f"has no namespace '{fresh}-nope'" in lines[0]
    assert "nowhere" in lines[1]
    assert "no source of usage is set, such as PLANNER_PROMETHEUS_URL" in lines[2]
