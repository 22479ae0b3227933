"""A server with older tables of time zones: what fires is what was previewed, all the same.

``PLANNER_TEST_ZONEINFO`` names a directory of real older tables in place of those made here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from conftest import real_server
from forecast_helpers import calendar, project
from parity_helpers import server_firings
from schedule_helpers import MINUTE, TODAY, wanted, window
from sync_helpers import Shop
from temporalio.api.workflowservice.v1 import ListSchedulesRequest
from temporalio.client import Client
from zone_files import OLDER, older_tables

from planner.errors import StalePlan
from planner.model import Window
from planner.plan.model import DesiredState
from planner.schedules.compile import compile_project, compile_window, span_of
from planner.temporal import fetch as fetch_module
from planner.temporal.client import server_of
from planner.temporal.fetch import UNKNOWN_THERE, probe
from planner.temporal.sync import SyncRequest, fetch_plan, sync
from planner.temporal.sync_state import LastApplied, write_last_applied
from planner.timezones import TABLE_VERSION

pytestmark = pytest.mark.integration

SAME = ("Europe/Berlin", "America/New_York", "Asia/Kolkata")
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
async def older(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A client of a real server that reads older tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZONEINFO", str(older_tables(tmp_path_factory.mktemp("zoneinfo"))))
        async with real_server() as environment:
            yield environment.client


async def test_the_probe_finds_every_zone_that_differs(older: Client) -> None:
    """The fifteen names, and no other; with the first instant at which the two differ."""
    found = await probe(server_of(older), {*OLDER, *SAME}, 2026)
    assert set(found) == set(OLDER)
    # Noon of 1 November 2026: Vancouver stays at UTC-7, and the older table goes back to -8.
    assert found["America/Vancouver"] == "2026-11-01T19:00:00Z"
    assert found["America/Winnipeg"] == "2026-11-01T17:00:00Z"  # -5, no longer -6
    # Moldova's clocks go forward at 03:00 on 29 March, and not at 02:00: 02:00 is there.
    assert found["Europe/Chisinau"] == "2026-03-29T00:00:00Z"


async def test_the_newest_table_differs_nowhere(client: Client) -> None:
    """A server with our own rules passes, clock changes, midnights and half hours included."""
    zones = (*SAME, "Australia/Lord_Howe", "America/Santiago", "Europe/Dublin", "Asia/Gaza")
    assert await probe(server_of(client), zones, 2026) == {}


async def test_a_zone_that_only_we_know(older: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is too new for the server differs, too."""
    berlin = fetch_module._Probe.of("Europe/Berlin", span_of(TODAY))
    new = "Mars/Olympus_Mons"
    monkeypatch.setattr(fetch_module._Probe, "of", lambda *_: replace(berlin, timezone=new))
    assert await probe(server_of(older), [new], 2026) == {new: UNKNOWN_THERE}


@pytest.mark.parametrize("name", [*OLDER, *SAME])
async def test_what_fires_is_what_was_previewed(older: Client, name: str) -> None:
    """Over six years, in the form that is synced and in that of dates."""
    early = {"timezone": name, "lead": 10 * MINUTE}
    for cron in ("0 9 * * mon-fri", "30 23 L * *"):
        for today in (TODAY, date(2029, 1, 1)):
            span = span_of(today)
            for dated in {True, name in OLDER}:
                schedule = compile_window(window(cron, **early), "p", today, dated=dated)
                assert schedule is not None
                assert (schedule.timezone == "UTC") is dated
                found = await server_firings(older, schedule, span)
                assert found == wanted(window(cron, **early), span)


@dataclass
class Synced:
    """Windows of a project of its own, and what is synced of them."""

    client: Client
    project: str
    windows: tuple[Window, ...]

    def request(self, **fields: object) -> SyncRequest:
        """Return the request to sync the windows."""

        def compiled(zones: Collection[str]) -> DesiredState:
            found = replace(project(calendar(*self.windows)), name=self.project)
            return DesiredState(
                project=self.project, schedules=compile_project(found, NOW.date(), zones)
            )

        return SyncRequest(desired=compiled(()), recompile=compiled, **fields)  # type: ignore[arg-type]

    async def forms(self) -> dict[str, str]:
        """Return the zone of each live schedule's calendars, by window."""
        shop = Shop(self.client, self.project)
        found = {}
        for one in self.windows:
            live = await shop.live(one.name)
            assert live.schedule is not None
            found[one.name] = live.schedule.timezone
        return found


def of(client: Client, fresh: str, **zones: str) -> Synced:
    """Return a daily window for each of *zones*, by name.

    None is under way while the tests run, nor in the hours in which clocks change.
    """

    def hour(zone: str) -> int:
        return 18 if 6 <= NOW.astimezone(ZoneInfo(zone)).hour < 13 else 9

    return Synced(
        client,
        fresh,
        tuple(
            window(f"0 {hour(zone)} * * *", name=name, timezone=zone, namespace=f"{fresh}.a1b2c")
            for name, zone in zones.items()
        ),
    )


async def test_a_sync_writes_dates_where_the_server_differs(older: Client, fresh: str) -> None:
    """Only there; the plan after it has nothing to do, and says which zone, and since when."""
    both = of(older, fresh, vancouver="America/Vancouver", berlin="Europe/Berlin")
    server, request = server_of(older), both.request()
    report = await sync(server, request, NOW)
    assert report.failed == ()
    assert await both.forms() == {"vancouver": "UTC", "berlin": "Europe/Berlin"}
    plan = await fetch_plan(server, request, NOW)
    assert plan.pending == ()
    assert plan.target is not None
    assert plan.target.timezones == TABLE_VERSION
    (warning,) = [one for one in plan.warnings if one.code == "server-time-zones"]
    # 1 November: an hour before the change that the older table has, and we don't, at the latest.
    assert "table of America/Vancouver is not the planner's" in warning.message
    assert "is the first time that differs" in warning.message
    listed = await older.workflow_service.list_schedules(
        ListSchedulesRequest(namespace="default", maximum_page_size=1000)
    )
    for entry in listed.schedules:  # the list may still show a probe; the server has none
        if entry.schedule_id.startswith("planner-time-zone/"):
            with pytest.raises(Exception, match=r"not found|no rows"):
                await older.get_schedule_handle(entry.schedule_id).describe()


async def test_a_plan_sees_it_by_live_schedules(older: Client, fresh: str) -> None:
    """A schedule that recurs since before is seen to fire otherwise, without any write."""
    both = of(older, fresh, winnipeg="America/Winnipeg", berlin="Europe/Berlin")
    server, request = server_of(older), both.request()
    await sync(server, replace(request, recompile=None), NOW)
    assert await both.forms() == {"winnipeg": "America/Winnipeg", "berlin": "Europe/Berlin"}
    plan = await fetch_plan(server, request, NOW)
    assert [change.window for change in plan.pending] == ["winnipeg"]
    assert plan.pending[0].reason == "its holidays, its .ics files or the time zone's data changed"
    await sync(server, replace(request, checksum=plan.checksum), NOW)
    assert (await both.forms())["winnipeg"] == "UTC"
    assert (await fetch_plan(server, request, NOW)).pending == ()


async def test_a_reviewed_plan_that_did_not_know_is_stale(older: Client, fresh: str) -> None:
    """The first sync in such a zone finds it: nothing is written, and the next plan has it."""
    one = of(older, fresh, edmonton="America/Edmonton")
    server, request = server_of(older), one.request()
    plan = await fetch_plan(server, request, NOW)
    with pytest.raises(StalePlan):
        await sync(server, replace(request, checksum=plan.checksum), NOW)
    again = await fetch_plan(server, request, NOW)
    assert again.checksum != plan.checksum
    await sync(server, replace(request, checksum=again.checksum), NOW)
    assert await one.forms() == {"edmonton": "UTC"}


async def test_a_server_that_caught_up_recurs_again(older: Client, fresh: str) -> None:
    """What was found is compared anew by the next sync that writes."""
    one = of(older, fresh, berlin="Europe/Berlin")
    server, request = server_of(older), one.request()
    found = LastApplied(zones={"Europe/Berlin": "2026-11-01T12:00:00Z"})
    await write_last_applied(server, fresh, found)
    before = await fetch_plan(server, request, NOW)
    assert before.pending[0].desired is not None
    assert before.pending[0].desired.timezone == "UTC"
    await sync(server, request, NOW + timedelta(seconds=1))
    assert await one.forms() == {"berlin": "Europe/Berlin"}
