"""A boost from code: docs/from-code.md as its readers run it, and what the worker refuses."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sync_helpers import Shop, eventually
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from planner.simulator import Simulator
from planner.temporal.client import server_of
from planner.temporal.keepers import fetch_keepers
from planner.temporal.watchdog import LiveCalendars
from workflows import provision
from workflows.activities.watchdog import WatchdogActivities
from workflows.cloud import CloudClient, OneKey
from workflows.contract import TASK_QUEUE, Capacity, Rails, format_instant
from workflows.worker import build_worker

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "from-code.md"
NODE_CLIENT = "@temporalio/client@1.24.0"


@dataclass
class Scene:
    """A namespace with a schedule, whose rails end at 8 TRU, a worker, and a simulated Cloud."""

    shop: Shop
    simulator: Simulator

    @property
    def client(self) -> Client:
        """The client of the planner's namespace."""
        return self.shop.client

    @property
    def steps(self) -> list[float | None]:
        """The TRU that were in force, one after the other."""
        return [entry.tru for entry in self.simulator.history(self.shop.namespace)]

    async def request(self, *arguments: Any, id: str = "") -> dict[str, Any]:
        """Request a boost as an application does, and return the answer."""
        answer: dict[str, Any] = await self.client.execute_workflow(
            "RequestBoost",
            args=arguments,
            id=f"boost/{self.shop.namespace}/{id or len(self.steps)}",
            task_queue=TASK_QUEUE,
            execution_timeout=timedelta(seconds=30),
        )
        return answer

    async def failure(self, *arguments: Any) -> tuple[str | None, str]:
        """Request a boost that is refused, and return the failure's type and message."""
        with pytest.raises(WorkflowFailureError) as caught:
            await self.request(*arguments)
        assert isinstance(caught.value.cause, ApplicationError)
        return caught.value.cause.type, caught.value.cause.message


@pytest.fixture(scope="module")
async def simulator(own_server: WorkflowEnvironment) -> AsyncIterator[Simulator]:
    """A simulated Cloud, and the only worker of its server."""
    client = own_server.client
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provision, "FIRST_RETRY", timedelta(seconds=0.2))
        async with (
            Simulator(provisioning=0.2, check=0.1) as simulator,
            CloudClient(simulator.url, OneKey("key"), poll=0.1) as cloud,
            build_worker(
                client,
                cloud,
                grace=timedelta(),
                watchdog=WatchdogActivities(client, cloud, LiveCalendars(server_of(client))),
            ),
        ):
            yield simulator


@pytest.fixture
async def scene(own_server: WorkflowEnvironment, simulator: Simulator, fresh: str) -> Scene:
    """A namespace of its own."""
    shop = Shop(own_server.client, fresh)
    await simulator.create(shop.namespace, tru=2)
    await shop.sync(shop.value(baseline=Capacity(2), rails=Rails(max_tru=8)))
    return Scene(shop, simulator)


def example(language: str) -> str:
    """Return the page's program in *language*."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def python_program(directory: Path) -> list[str]:
    """Return the command that runs the page's program in Python."""
    program = directory / "boost.py"
    program.write_text(example("python"), encoding="utf-8")
    return [sys.executable, str(program)]


def node_program(directory: Path) -> list[str]:
    """Return the command that runs the page's program in TypeScript, which is JavaScript, too."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("no Node.js here, for the program in TypeScript")
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", NODE_CLIENT]
    try:
        done = subprocess.run(
            install, cwd=directory, capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm has not brought {NODE_CLIENT} within two minutes")
    if done.returncode:
        pytest.skip(f"{NODE_CLIENT} can't be had from npm: {done.stderr.strip()[-200:]}")
    program = directory / "boost.mjs"
    program.write_text(example("typescript"), encoding="utf-8")
    return [node, str(program)]


@pytest.fixture(params=[python_program, node_program], ids=["python", "node"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command that runs one of the page's programs."""
    command: list[str] = request.param(tmp_path)
    return command


async def test_the_programs_of_the_page(program: list[str], scene: Scene) -> None:
    """Each requests its boost, prints the answer once it is in force, and ends it again."""
    process = await asyncio.create_subprocess_exec(
        *program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "TEMPORAL_ADDRESS": scene.client.service_client.config.target_host,
            "BOOSTED_NAMESPACE": scene.shop.namespace,
        },
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    first, second, *rest = out.decode().splitlines()
    assert (first[:14], second) == ("8 TRU in force", "released")
    # All is done by then: the Python SDK may abort as the interpreter ends (decision 3).
    assert process.returncode == 0 or "PyGILState_Release" in rest[0]
    await scene.simulator.until(lambda: scene.steps == [2, 8, 2])


def wish(scene: Scene, **fields: Any) -> dict[str, Any]:
    """Return a good request for the scene's namespace, with other *fields*."""
    good = {"schema": 1, "namespace": scene.shop.namespace, "tru": 4, "for": "1h", "by": "shop"}
    return {name: value for name, value in {**good, **fields}.items() if value is not None}


async def test_the_answer(scene: Scene) -> None:
    """It has the fields of the page, and its lease is the keeper's, under the declared facts."""
    answer = await scene.request(wish(scene, tru=None, aps=1_700, reason="launch"))
    page = PAGE.read_text(encoding="utf-8")
    _, _, table = page.partition("## The answer")
    described = re.findall(r"^\| `(\w+)` \|", table.partition("A failed")[0], re.MULTILINE)
    assert sorted(answer) == sorted(described)
    assert (answer["schema"], answer["in_force"], answer["tru"]) == (1, True, 4)
    (keeper,) = await fetch_keepers(scene.client, datetime.now(UTC), scene.shop.namespace)
    assert keeper.status is not None
    (lease,) = keeper.status.leases
    assert (lease.key, lease.window) == (answer["lease"], "from-code")
    assert (lease.by, lease.reason, lease.project) == ("shop", "launch", scene.shop.project)
    assert lease.rails == Rails(max_tru=8)
    assert format_instant(lease.until) == answer["until"]
    assert (keeper.status.baseline, keeper.status.baseline_declared) == (Capacity(2), True)


async def test_what_the_worker_refuses(scene: Scene) -> None:
    """Each at once, by a failure with a sentence; no keeper is ever started, nothing raised."""
    good = wish(scene)
    raw = RawValue(Payload(metadata={"encoding": b"binary/encrypted"}, data=b"\x00\xff"))
    for arguments, kind, words in (
        ((), "BadRequest", "the input is missing, not an object; send one argument such as"),
        (([good],), "BadRequest", "the input is \\[.*, not an object"),
        ((raw,), "BadRequest", "the input is .no JSON: .*, not an object"),
        ((wish(scene, tru="four"),), "BadRequest", "tru: 'four' can't be had; write a whole"),
        ((wish(scene, tru=12),), "Refused", "12 TRU are more than the guard rails .* at most 8"),
        ((wish(scene, namespace="other.a1b2c"),), "Refused", "no schedule is for 'other.a1b2c'"),
    ):
        found, message = await scene.failure(*arguments)
        assert (found, bool(re.search(words, message))) == (kind, True), message
    with pytest.raises(WorkflowFailureError):
        await scene.request(good, good)
    assert await fetch_keepers(scene.client, datetime.now(UTC), scene.shop.namespace) == []
    assert scene.steps == [2]


async def test_a_rail_that_was_raised_counts_at_once(scene: Scene) -> None:
    """What a sync has written since holds for the next request."""
    kind, _ = await scene.failure(wish(scene, tru=10))
    assert kind == "Refused"
    higher = scene.shop.value(baseline=Capacity(2), rails=Rails(max_tru=10))
    await scene.shop.sync(higher)
    answer = await eventually(lambda: scene.request(wish(scene, tru=10)))
    assert (answer["in_force"], answer["tru"]) == (True, 10)
