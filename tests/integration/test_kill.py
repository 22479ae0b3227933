"""Killed and restarted, worker and server go on where they were: a few of many cases.

All of them: ``make kill``, or ``KILL=all`` for this test.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kill import CASES, parse_case, play_all

pytestmark = pytest.mark.integration

QUICK = ("server@in progress", "server@in force", "worker@in force")
"""Those that lose no activity of a worker: no heartbeat has to be missed first."""


async def test_a_kill_costs_its_outage_and_no_more(tmp_path: Path) -> None:
    """Whatever is killed, the capacity goes up once and is the baseline in time again."""
    cases = CASES if os.environ.get("KILL") == "all" else tuple(map(parse_case, QUICK))
    outcomes = await play_all(cases, tmp_path)
    assert [one for one in outcomes if not one.is_kept] == []
