"""What the SDK's core has to say: in Python's logging, and never on stdout."""

from __future__ import annotations

import asyncio
import logging

import pytest
from temporalio import activity
from temporalio.worker import Worker

from planner.rehearsal.run import start_skipping_server
from planner.temporal.client import CORE_LOGGER, default_runtime


@activity.defn
async def idle() -> None:
    """Do nothing: a worker has to have something to offer."""


def of_the_core(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the records of the SDK's core."""
    return [record for record in caplog.records if record.name.startswith(CORE_LOGGER)]


async def test_a_warning_of_the_core_is_logged_and_not_printed(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Stdout is data, also where the SDK warns in the middle of it.

    The skipping server lacks something that the core warns about as soon as a worker runs.
    """
    with caplog.at_level(logging.WARNING, logger=CORE_LOGGER):
        async with await start_skipping_server(default_runtime()) as server:
            async with Worker(server.client, task_queue="quiet", activities=[idle]):
                pass
            for _ in range(1000):  # the core hands its records over now and then
                if of_the_core(caplog):
                    break
                await asyncio.sleep(0.01)
    assert [record.levelname for record in of_the_core(caplog)] == ["WARNING"]
    assert "Temporal Server" in of_the_core(caplog)[0].getMessage()
    assert capfd.readouterr().out == ""
