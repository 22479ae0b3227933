"""A real Prometheus scrapes a real run: an alert fires by its fault, and resolves with its end.

`make alerts` does it with each of them.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import alerts
import pytest
from observed import observed
from sync_helpers import Shop

from workflows.metrics import OF_ANY_WORKER, OF_THE_WATCHDOG

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no Prometheus: apt-get install prometheus"
)


async def test_an_alert_fires_and_resolves(tmp_path: Path) -> None:
    """Another client sets 12 TRU, and later sets them back; the documented metrics are told."""
    async with observed(tmp_path) as of:
        stage = alerts.Stage(of, Shop(of.client, "alerts"), alerts.Proxy(), tmp_path)
        await stage.add("foreign")
        await alerts.told(stage, ("foreign",))
        told = dict(re.findall(r"^# TYPE (capacity_\S+) (\S+)$", await of.scrape(), re.MULTILINE))
        ours = {one.full_name: one.kind for one in (OF_ANY_WORKER[0], *OF_THE_WATCHDOG)}
        del ours["capacity_boost_schedules_end_timestamp_seconds"]  # it has no schedule of dates
        # … and no repository is followed
        ours = {name: kind for name, kind in ours.items() if "_boost_follow_" not in name}
        # … its Cloud API doesn't say when keys expire
        ours.pop("capacity_boost_key_expires_timestamp_seconds")
        # … and there is no source of usage
        for name in ("throttled", "unused", "unverified"):
            del ours[f"capacity_boost_{name}_windows"]
        assert told == ours
        (case,) = (case for case in alerts.TOGETHER if case.alerts == ("BoostForeign",))
        assert await alerts.play(stage, (case,))
