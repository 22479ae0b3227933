"""What holds of the occurrences of any window: properties over random windows."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from time_helpers import window

from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Duration,
    Holidays,
    Horizon,
    Length,
    Recurrence,
    Rrule,
    Skip,
    Span,
    Window,
)
from planner.occurrences.expand import candidates, expand, pattern_of, wall_days, written_days
from planner.recurrence.business_days import business_calendar
from planner.recurrence.cron import parse, wall_times
from workflows.contract import Until, end_by_clock, to_instant

ZONES = [
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "America/Havana",
    "America/Santiago",
    "Pacific/Apia",
    "Pacific/Auckland",
    "UTC",
]
HOLIDAYS = [Holidays(), Holidays(("US",)), Holidays(("SA", "XNYS")), Holidays(weekend=(6,))]
DAY = timedelta(days=1)

times = st.times(time(0), time(23, 59)).map(lambda t: t.replace(second=0, microsecond=0))
nights = st.sampled_from([time(0), time(1, 30), time(2), time(2, 30), time(3), time(12)])
walls = st.datetimes(datetime(2026, 6, 1), datetime(2028, 6, 1)).map(
    lambda at: at.replace(second=0, microsecond=0)
)
crons = st.lists(
    st.sampled_from(
        [
            "0 0 * * *",
            "30 2 * * *",
            "*/15 1-3 * * *",
            "0 * * * *",
            "45 */6 * * mon-fri",
            "0 18 L * *",
            "15 2 15W,LW * *",
            "0 23 * * sun",
            "30 1 * 3,4,9-11 friL,sun#1",
            "59 23 31 12 *",
        ]
    ),
    min_size=1,
    max_size=2,
    unique=True,
).map(lambda expressions: Cron(tuple(expressions)))
spans = st.tuples(walls, st.none() | st.timedeltas(timedelta(minutes=1), 3 * DAY)).map(
    lambda pair: Span(pair[0], pair[1] and (pair[0] + pair[1]).replace(second=0, microsecond=0))
)
recurrences: st.SearchStrategy[Recurrence] = (
    crons
    | st.lists(spans, max_size=8).map(lambda found: Dates(tuple(found)))
    | st.builds(
        BusinessDays,
        st.lists(st.sampled_from([1, 2, 15, 22, -1, -3]), min_size=1, unique=True).map(tuple),
        times,
    )
    | walls.map(lambda at: Rrule("FREQ=DAILY;INTERVAL=3", at))
)
lengths: st.SearchStrategy[Length] = st.timedeltas(timedelta(minutes=1), 2 * DAY).map(
    Duration
) | nights.map(Until)
skips = st.builds(
    Skip,
    weekends=st.booleans(),
    holidays=st.booleans(),
    days=st.just(()) | st.just((date(2027, 3, 28), date(2027, 5, 14))),
)
windows = st.builds(
    window,
    recurrences,
    length=lengths,
    timezone=st.sampled_from(ZONES),
    roll=st.sampled_from(["none", "previous", "next", "nearest"]),
    skip=st.just(Skip()) | skips,
    holidays=st.sampled_from(HOLIDAYS),
    not_before=st.none() | st.dates(date(2026, 12, 1), date(2027, 6, 1)),
    not_after=st.none() | st.dates(date(2027, 6, 1), date(2028, 1, 1)),
)
instants = st.datetimes(datetime(2026, 12, 1), datetime(2027, 12, 31)).map(
    lambda at: at.replace(tzinfo=UTC)
)


@settings(max_examples=80, deadline=None)
@given(windows, st.lists(instants, min_size=3, max_size=3).map(sorted))
def test_adjacent_horizons_equal_one(window: Window, edges: list[datetime]) -> None:
    """Wherever a horizon is cut, no occurrence is lost, doubled or moved."""
    first, middle, last = edges
    apart = expand(window, Horizon(first, middle)) + expand(window, Horizon(middle, last))
    assert apart == expand(window, Horizon(first, last))


@settings(max_examples=200, deadline=None)
@given(windows, instants, st.timedeltas(timedelta(0), 500 * DAY))
def test_all_at_once_equals_one_by_one(window: Window, start: datetime, length: timedelta) -> None:
    """The runs that are made of many starts at once are those of each start by itself."""
    horizon, pattern = Horizon(start, start + length), pattern_of(window)
    best: dict[datetime, tuple[timedelta, int, tuple[str, ...]]] = {}
    for each in candidates(pattern, *written_days(pattern, horizon)):
        begin, end, notes = each.timing
        if not each.excluded and begin in horizon:
            rank = begin - end, len(notes), notes
            best[begin] = min(best.get(begin, rank), rank)
    found = [
        (each.start, (each.start - each.end, len(each.notes), each.notes))
        for each in expand(window, horizon)
    ]
    assert sorted(best.items()) == found


@settings(max_examples=100, deadline=None)
@given(windows.filter(lambda one: isinstance(one.recurrence, Cron | BusinessDays)), instants)
def test_days_and_times_are_those_of_each_start(window: Window, start: datetime) -> None:
    """What is known of a pattern by days and times of day is what its starts say one by one."""
    pattern, first = pattern_of(window), start.date()
    last = first + 100 * DAY
    found = wall_days(pattern, first, last)
    if found is None:
        assert isinstance(window.recurrence, Cron)
        assert any(parse(each).every_hour for each in window.recurrence.expressions)
        return
    expected = sorted(
        {
            each.wall
            for each in candidates(pattern, first - 40 * DAY, last + 40 * DAY)
            if not each.excluded and first <= each.wall.date() <= last
        }
    )
    assert sorted(datetime.combine(day, at) for at in found for day in found[at]) == expected


@settings(max_examples=80, deadline=None)
@given(windows, instants, st.timedeltas(timedelta(0), 200 * DAY))
def test_occurrences_are_sorted_longer_than_zero_and_inside(
    window: Window, start: datetime, length: timedelta
) -> None:
    """They start in the horizon, in order and never two at once; each ends after its start."""
    horizon = Horizon(start, start + length)
    found = expand(window, horizon)
    starts = [o.start for o in found]
    assert starts == sorted(set(starts))
    assert all(o.start in horizon and o.end > o.start for o in found)
    assert all(o.start.tzinfo is UTC and o.end.tzinfo is UTC for o in found)
    assert found == sorted(found, key=lambda o: o.order)


def slowly(window: Window, horizon: Horizon) -> dict[datetime, datetime]:
    """Return starts and ends of a cron window by the contract's functions alone.

    Far more days than needed, no table and no cache; only for hours that are written.
    """
    business = business_calendar(window.holidays)
    assert isinstance(window.recurrence, Cron)
    found: dict[datetime, datetime] = {}
    margin = (horizon.start - 60 * DAY).date(), (horizon.end + 60 * DAY).date()
    for expression in window.recurrence.expressions:
        for at in wall_times(parse(expression), None, *margin):
            day = business.roll(at.date(), window.roll)
            rolled = datetime.combine(day, at.time())
            start = to_instant(rolled, window.tz)
            if isinstance(window.length, Until):
                end = end_by_clock(rolled, window.length, window.tz)
            else:
                assert window.length is not None
                end = start + window.length.elapsed
            skipped = (
                (window.skip.weekends and business.is_weekend(day))
                or (window.skip.holidays and business.name_of(day) is not None)
                or day in window.skip.days
                or (window.not_before is not None and day < window.not_before)
                or (window.not_after is not None and day > window.not_after)
            )
            if start in horizon and not skipped:
                found[start] = max(end, found.get(start, end))
    return dict(sorted(found.items()))


@settings(max_examples=50, deadline=None)
@given(windows, crons, instants)
def test_it_equals_the_plain_loop(window: Window, cron: Cron, start: datetime) -> None:
    """Tables, caches and margins change nothing about what each wall time means."""
    written = tuple("0 0-23 * * *" if e == "0 * * * *" else e for e in cron.expressions)
    fields = {name: getattr(window, name) for name in window.__slots__ if name != "recurrence"}
    plain = Window(recurrence=Cron(written), **fields)
    horizon = Horizon(start, start + 70 * DAY)
    assert {o.start: o.end for o in expand(plain, horizon)} == slowly(plain, horizon)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ZONES), st.sampled_from([0, 15, 30, 45]), instants)
def test_every_hour_by_brute_force(timezone: str, minute: int, start: datetime) -> None:
    """An hour of ``*`` runs whenever the wall shows its minute, and for times it never shows."""
    w = window(f"{minute} * * * *", timezone=timezone)
    horizon = Horizon(start, start + 10 * DAY)
    first = start.replace(minute=0, second=0, microsecond=0) - DAY
    minutes = [first + timedelta(minutes=n) for n in range(0, 12 * 1440, 15)]
    shown = {at for at in minutes if at.astimezone(w.tz).minute == minute}
    walls = [
        first.replace(tzinfo=None) + timedelta(hours=n, minutes=minute) for n in range(-48, 340)
    ]
    skipped = {
        instant
        for at in walls
        if (instant := to_instant(at, w.tz)).astimezone(w.tz).replace(tzinfo=None) != at
    }
    expected = sorted(at for at in shown | skipped if at in horizon)
    assert [o.start for o in expand(w, horizon)] == expected


PRINT_OCCURRENCES = """
import sys, time
from datetime import datetime
from time_helpers import horizon, window
from planner.model import Holidays
from planner.occurrences.expand import candidates, expand, pattern_of, written_days
for zone in ("Europe/Berlin", "America/New_York", "UTC"):
    w = window("30 2 * * *", timezone=zone, roll="previous", holidays=Holidays(("US",)))
    for o in expand(w, horizon("2027-01-01", "2028-01-01")):
        print(zone, o.start.isoformat(), o.end.isoformat(), o.notes)
print(time.strftime("%z", time.localtime(1810000000)), file=sys.stderr)
"""


def occurrences_in(timezone: str) -> tuple[str, str]:
    """Return what a machine in *timezone* prints: its occurrences, and its own offset."""
    root = Path(__file__).parent.parent
    path = os.pathsep.join([str(root), str(root / "tests")])
    run = subprocess.run(
        [sys.executable, "-c", PRINT_OCCURRENCES],
        env={**os.environ, "TZ": timezone, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return run.stdout, run.stderr.strip()


def test_the_machine_s_own_zone_does_not_matter() -> None:
    """On machines in Auckland and Honolulu, which do know their TZ, all is the same."""
    auckland, offset_there = occurrences_in("Pacific/Auckland")
    honolulu, offset_here = occurrences_in("Pacific/Honolulu")
    assert (offset_there, offset_here) == ("+1200", "-1000")
    assert auckland == honolulu
    assert auckland.count("\n") > 600
    assert "Europe/Berlin 2027-03-26T01:30:00+00:00" in auckland
