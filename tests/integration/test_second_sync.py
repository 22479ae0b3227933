"""A second sync writes nothing, whatever the calendars use: what is written is what is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import real_server
from sync_helpers import eventually
from temporalio.api.workflowservice.v1 import DescribeScheduleRequest
from temporalio.client import Client

from planner.cli.request import desired_state
from planner.config.load import read
from planner.plan.model import LiveSchedule
from planner.temporal import fetch as fetch_module
from planner.temporal.client import Server
from planner.temporal.sync import SyncReport, SyncRequest, fetch_plan, sync

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "calendars"

EVERYTHING = """\
namespace: orders-prod.a1b2c
timezone: Europe/Berlin
baseline: {tru: 2}
holidays: [DE]
defaults: {lead: 10m, jitter: 2m, owner: "#orders"}
windows:
  cron: {cron: "0 18 * * *", duration: 2h, tru: 4}
  cron-through-clock-changes: {cron: "30 2 * * *", duration: 90m, tru: 4}
  cron-list: {cron: ["0 5 15 * *", "0 5 L-2 * *"], duration: 4h, tru: 6}
  last-day: {cron: "0 18 L * *", until: "06:00", tru: 8}
  last-day-rolled: {cron: "0 18 L * *", roll: previous, until: "06:00", tru: 8}
  nearest-weekday: {cron: "0 7 15W * *", duration: 1h, tru: 3}
  third-friday: {cron: "0 21 * * fri#3", duration: 1h, tru: 3, jitter: 0s}
  last-friday: {cron: "0 21 * * friL", duration: 1h, tru: 3}
  either-day: {cron: "0 4 13 * fri", day_match: any, duration: 1h, tru: 3}
  both-days: {cron: "0 4 13 * fri", day_match: all, duration: 1h, tru: 3}
  leap-day: {cron: "0 12 29 2 *", duration: 1h, tru: 3}
  half-hourly: {cron: "*/30 * * * *", duration: 10m, tru: 2, lead: 4m, jitter: 1m}
  over-midnight: {cron: "5 0 1 * *", duration: 1h, tru: 4, lead: 30m}
  paused: {cron: "0 18 * * *", duration: 2h, tru: 4, paused: true}
  in-another-zone: {cron: "0 9 * * mon-fri", timezone: Asia/Kolkata, duration: 8h, tru: 3}
  for-a-while: {cron: "0 9 * * *", from: 2026-12-01, to: 2028-03-31, duration: 1h, tru: 3}
  skipping: {cron: "0 9 * * *", skip: [weekends, holidays, 2027-12-24], duration: 1h, tru: 3}
  rolled-to-the-nearest: {cron: "0 9 1 * *", roll: nearest, duration: 1h, tru: 3}
  rule: {rrule: FREQ=WEEKLY;INTERVAL=2;BYDAY=FR, start: 2027-01-08T16:00, duration: 3h, tru: 3}
  rule-by-position:
    {rrule: "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", start: 2026-01-30T16:00,
     duration: 3h, tru: 3}
  rule-that-ends: {rrule: FREQ=DAILY;COUNT=900, start: 2026-12-01T02:30, duration: 3h, tru: 3}
  events: {ical: launches.ics, tru: 12, combine: add}
  business-days: {business_days: [3, -1], at: "07:00", duration: 2h, tru: 4}
  business-days-of-some-months:
    {business_days: [1], at: "07:00", months: [1, 4, 7, 10], duration: 2h, tru: 4}
  dates:
    dates: [{start: 2027-03-28T01:30, end: 2027-03-28T09:00}, {start: 2028-05-01T10:00}]
    duration: 3h
    description: Moving house – twice, “for certain”
    tru: 6
"""

LAUNCHES = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//example//launches//EN
BEGIN:VEVENT
UID:launch-1
DTSTAMP:20260101T000000Z
DTSTART;TZID=America/New_York:20270312T090000
DTEND;TZID=America/New_York:20270312T173000
RRULE:FREQ=MONTHLY;COUNT=12
EXDATE;TZID=America/New_York:20270412T090000
SUMMARY:Launch
END:VEVENT
BEGIN:VEVENT
UID:sale
DTSTAMP:20260101T000000Z
DTSTART;VALUE=DATE:20271126
DTEND;VALUE=DATE:20271130
SUMMARY:Sale
END:VEVENT
END:VCALENDAR
"""


class Counting(Server):
    """A server that counts the requests it is sent."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.counts: Counter[str] = Counter()

    async def send(self, call: Any, request: Any) -> Any:
        """Count *request* and send it."""
        self.counts[type(request).__name__.removesuffix("Request")] += 1
        return await super().send(call, request)


@dataclass
class Place:
    """A calendar directory, and a server of its own for it."""

    client: Client
    directory: Path

    def order(self, now: datetime, **fields: Any) -> SyncRequest:
        """Return the order of ``planner sync`` in the directory, read and compiled anew."""
        return SyncRequest(
            desired=desired_state(read(self.directory), self.directory, now), **fields
        )

    async def sync(self) -> tuple[SyncReport, Counter[str]]:
        """Sync once; return the report and the requests that it took."""
        server, now = Counting(self.client), datetime.now(UTC)
        report = await sync(server, self.order(now), now)
        assert report.failed == ()
        return report, server.counts

    async def tokens(self, report: SyncReport) -> dict[str, bytes]:
        """Return what stands for the version of each schedule that *report* is about."""
        service, found = self.client.workflow_service, {}
        for outcome in report.outcomes:
            asked = DescribeScheduleRequest(namespace="default", schedule_id=outcome.change.id)
            found[outcome.change.id] = (await service.describe_schedule(asked)).conflict_token
        return found


@pytest.fixture(params=["the examples", "one of everything"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A directory of calendars, and an empty server: examples may have a window under way."""
    directory = EXAMPLES
    if request.param == "one of everything":
        directory = tmp_path
        (tmp_path / "planner.yaml").write_text("project: everything\n", encoding="utf-8")
        (tmp_path / "orders.yaml").write_text(EVERYTHING, encoding="utf-8")
        (tmp_path / "launches.ics").write_text(LAUNCHES, encoding="utf-8")
    async with real_server() as environment:
        yield Place(environment.client, directory)


async def test_it_writes_nothing(place: Place) -> None:
    """Right after the first sync nothing is written; soon the list alone says that all is well."""
    first, _ = await place.sync()
    assert len(first.outcomes) > 8
    second, requests = await place.sync()
    assert (second.outcomes, second.plan.unchanged) == ((), len(first.outcomes))
    assert set(requests) <= {"GetWorkflowExecutionHistory", "ListSchedules", "DescribeSchedule"}

    async def undescribed() -> None:
        report, requests = await place.sync()
        assert report.outcomes == ()
        assert set(requests) == {"GetWorkflowExecutionHistory", "ListSchedules"}

    await eventually(undescribed)


async def test_a_full_look_finds_nothing_either(place: Place) -> None:
    """Every schedule described is the schedule that was compiled, field by field."""
    first, _ = await place.sync()
    now = datetime.now(UTC)
    plan = await fetch_plan(Server(place.client), place.order(now, full=True), now)
    assert ([change.fields for change in plan.pending], plan.unchanged) == (
        [],
        len(first.outcomes),
    )


async def test_while_the_list_lags(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that still shows the empty server as it was leads to no write, not even a lock."""
    first, _ = await place.sync()
    before = await place.tokens(first)

    async def empty(*_: object, **__: object) -> dict[str, LiveSchedule]:
        return {}

    monkeypatch.setattr(fetch_module, "list_schedules", empty)
    second, requests = await place.sync()
    assert (second.outcomes, second.plan.unchanged) == ((), len(first.outcomes))
    assert set(requests) == {"GetWorkflowExecutionHistory", "DescribeSchedule"}
    assert await place.tokens(first) == before
