"""The live server's own matching times are the occurrences' firings, no more and no less.

``make parity`` compares as many random windows as one likes; PARITY_EXAMPLES and
PARITY_SEED choose how many and which.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import HealthCheck, given, note, seed, settings
from parity_helpers import server_firings
from schedule_helpers import HOUR, MINUTE, PROJECT, TODAY, business_days, wanted, window
from temporalio.client import Client
from window_strategies import ZONES, plain_windows, windows

from planner.model import Dates, Holidays, Horizon, Ical, IcsFile, Rrule, Skip, Span, Window
from planner.schedules.compile import compile_window, span_of
from planner.schedules.spec import firings
from planner.timezones import clock_changes
from workflows.contract import Until, to_instant, to_wall

pytestmark = pytest.mark.integration

EXAMPLES = int(os.environ.get("PARITY_EXAMPLES", "40"))
SEED = int(os.environ.get("PARITY_SEED", "20261121"))
SPAN = span_of(TODAY)
DAY = timedelta(days=1)
US = Holidays(regions=("US",))
NEW_YORK = {"timezone": "America/New_York"}

ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//tests//EN
BEGIN:VEVENT
UID:launch@example.com
DTSTAMP:20260101T000000Z
DTSTART;TZID=Europe/Berlin:20260329T023000
DURATION:PT2H
RRULE:FREQ=WEEKLY;BYDAY=SU
SUMMARY:Launch
END:VEVENT
END:VCALENDAR
"""

NASTY: dict[str, Window] = {
    "in the gap and the repeat of New York": window("30 1,2 * * *", **NEW_YORK),
    "in the gap and the repeat of Berlin": window("30 1,2 * * *", timezone="Europe/Berlin"),
    "every quarter of an hour of a change": window(
        "*/15 * * 3,10 sunL", timezone="Europe/Berlin", lead=12 * MINUTE
    ),
    "each real hour in New York": window("0 * * 3,11 *", lead=10 * MINUTE, **NEW_YORK),
    "the half hour of Lord Howe": window("15 2 * * *", timezone="Australia/Lord_Howe"),
    "Sundays at noon in Havana": window("0 12 * * sun", timezone="America/Havana"),
    "Mondays at noon in Havana": window("0 12 * * mon", timezone="America/Havana"),
    "midnight in Santiago": window("0 0 * * *", timezone="America/Santiago"),
    "Sundays in the Azores": window("30 3 * * sun", timezone="Atlantic/Azores"),
    "Ramadan in Casablanca": window("30 2 * * *", timezone="Africa/Casablanca"),
    "quarters of an hour in Kathmandu": window(
        "7 0 1 * *", timezone="Asia/Kathmandu", lead=12 * MINUTE
    ),
    "a day ahead of the world": window("0 0 1 1 *", timezone="Pacific/Kiritimati", lead=HOUR),
    "month end": window("0 18 L * *", length=Until(time(6)), lead=12 * MINUTE, **NEW_YORK),
    "month end at five past midnight": window("5 0 L * *", lead=12 * MINUTE, **NEW_YORK),
    "the first at five past midnight": window("5 0 1 * *", lead=12 * MINUTE, **NEW_YORK),
    "New Year at midnight": window("0 0 1 1 *", lead=10 * MINUTE),
    "last Friday": window("0 12 * * friL", **NEW_YORK),
    "fifth Friday": window("0 12 * * fri#5", **NEW_YORK),
    "nearest weekday to the 15th": window("0 12 15W * *", **NEW_YORK),
    "first Sunday, a day and two hours ahead": window("5 0 * * sun#1", lead=26 * HOUR),
    "Friday 13th, or Fridays": window("0 12 13 * *", roll="nearest"),
    "payroll with US holidays": window("0 5 15,L * *", roll="previous", holidays=US, **NEW_YORK),
    "payroll over weekends": window("0 5 15,L * *", roll="previous", **NEW_YORK),
    "last business day": business_days(-1, at="07:00", **NEW_YORK),
    "third business day with US holidays": business_days(3, holidays=US, **NEW_YORK),
    "all US business days": window(
        "0 9 * * *", skip=Skip(weekends=True, holidays=True), holidays=US, **NEW_YORK
    ),
    "biweekly": window(Rrule("FREQ=WEEKLY;INTERVAL=2;BYDAY=FR", datetime(2026, 1, 2, 9))),
    "from and to": window(
        "0 0 * * *", not_before=date(2027, 2, 28), not_after=date(2028, 2, 29), lead=10 * MINUTE
    ),
    "a leap day": window("0 0 29 2 *", lead=10 * MINUTE),
    "business hours": window("*/15 9-17 * * mon-fri", lead=12 * MINUTE, **NEW_YORK),
    "a lead of ninety seconds": window("0 9 * * mon", lead=timedelta(seconds=90)),
    "dates in the gap": window(
        Dates((Span(datetime(2027, 3, 14, 1, 30), datetime(2027, 3, 14, 9)),)), **NEW_YORK
    ),
    "events in the gap": window(
        Ical(IcsFile("launches.ics", ICS)), length=None, timezone="Asia/Kolkata"
    ),
}


@pytest.mark.parametrize("window", NASTY.values(), ids=NASTY)
async def test_the_server_fires_for_the_occurrences(client: Client, window: Window) -> None:
    """Over three whole years the server's matching times equal the occurrences' firings."""
    schedule = compile_window(window, PROJECT, TODAY)
    assert schedule is not None
    found = await server_firings(client, schedule, SPAN)
    assert wanted(window, SPAN) == found
    assert firings(schedule, SPAN) == found


@seed(SEED)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(window=windows() | plain_windows())
async def test_the_server_fires_for_random_windows(client: Client, window: Window) -> None:
    """Whatever is written, over three years there is no difference; the seed is printed."""
    note(f"PARITY_SEED={SEED} PARITY_EXAMPLES={EXAMPLES}")
    schedule = compile_window(window, PROJECT, TODAY)
    expected = wanted(window, SPAN)
    found = await server_firings(client, schedule, SPAN) if schedule else []
    assert expected == found


def change_days(timezone: str) -> list[date]:
    """Return the local days of the span on which the clock of *timezone* changes.

    For a zone that never changes, two days like any other.
    """
    found = {change.low.date() for change in clock_changes(timezone, SPAN.start, SPAN.end)}
    return sorted(found) or [date(2027, 3, 28), date(2027, 10, 31)]


def quarter_hours() -> Iterator[time]:
    """Yield every quarter of an hour from 00:00 to 04:00."""
    for quarter in range(17):
        yield time(quarter // 4, quarter % 4 * 15)


@pytest.mark.parametrize("timezone", ZONES)
async def test_each_clock_change_day_has_exactly_one_firing(client: Client, timezone: str) -> None:
    """A daily window at any quarter of an hour fires once on the day, and the days beside."""
    for at in quarter_hours():
        daily = window(f"{at.minute} {at.hour} * * *", timezone=timezone, lead=10 * MINUTE)
        schedule = compile_window(daily, PROJECT, TODAY)
        assert schedule is not None
        found = await server_firings(client, schedule, SPAN)
        days = [to_wall(fires + daily.ahead, daily.tz).date() for fires in found]
        for day in change_days(timezone):
            expected = to_instant(datetime.combine(day, at), daily.tz) - daily.ahead
            assert [days.count(near) for near in (day - DAY, day, day + DAY)] == [1, 1, 1]
            assert expected == found[days.index(day)]


@pytest.mark.parametrize(
    "pattern", ["month end", "last Friday", "last business day", "New Year at midnight"]
)
async def test_what_is_said_for_ever_holds_to_the_server_s_last_year(
    client: Client, pattern: str
) -> None:
    """A recurring form fires rightly in 2096, a leap year, and in 2100, which is none."""
    schedule = compile_window(NASTY[pattern], PROJECT, TODAY)
    assert schedule is not None
    assert schedule.covers_until is None
    late = Horizon(datetime(2095, 6, 1, tzinfo=UTC), datetime(2100, 6, 1, tzinfo=UTC))
    assert wanted(NASTY[pattern], late) == await server_firings(client, schedule, late)
