"""Zones: which names count, and every change of every clock."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from time_helpers import utc, wall
from zone_files import older_tables

from planner.timezones import (
    ClockChange,
    ZoneClock,
    clock_changes,
    timezone_problem,
    zone,
    zone_clock,
)
from workflows.contract import to_instant

NASTY = [
    "America/New_York",
    "America/Havana",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Pyongyang",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/Moscow",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "UTC",
]


def zone_file(name: str) -> bytes:
    """Return the file that `ZoneInfo` reads for *name*: the package's."""
    return resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).read_bytes()


def transitions(name: str) -> Iterator[tuple[datetime, timedelta]]:
    """Yield the changes of offset that the zone's own file lists, in UTC: RFC 9636."""
    data = zone_file(name)
    isut, isstd, leap, times, types, chars = struct.unpack(">6l", data[20:44])
    second = 44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isut
    data = data[second:]
    isut, isstd, leap, times, types, chars = struct.unpack(">6l", data[20:44])
    at = struct.unpack(f">{times}q", data[44 : 44 + times * 8])
    kinds = data[44 + times * 8 : 44 + times * 9]
    table = data[44 + times * 9 :]
    offsets = [struct.unpack(">l", table[6 * n : 6 * n + 4])[0] for n in range(types)]
    before = offsets[0]
    for seconds, kind in zip(at, kinds, strict=True):
        if offsets[kind] != before:
            before = offsets[kind]
            yield (
                datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds),
                timedelta(seconds=before),
            )


def test_no_clock_changes_twice_within_two_looks() -> None:
    """Since 1970 the changes of every zone there is are more than six days apart."""
    closest = min(
        (after - before, name)
        for name in available_timezones() - {"localtime", "Factory"}
        for (before, _), (after, _) in pairwise(transitions(name))
        if before > utc("1969-12-01")
    )
    assert closest[0] > timedelta(days=6)


@pytest.mark.parametrize("name", NASTY)
def test_changes_are_those_of_the_zone_file(name: str) -> None:
    """Each change since 1970 is found, at its second, with the offset that follows."""
    listed = [(at, after) for at, after in transitions(name) if at >= utc("1970-01-01")]
    end = listed[-1][0] + timedelta(seconds=1) if listed else utc("2037-01-01")
    found = clock_changes(name, utc("1970-01-01"), end)
    assert [(change.at, change.after) for change in found] == listed
    assert all(one.after == next_one.before for one, next_one in pairwise(found))


def test_changes_are_half_open_and_bounded() -> None:
    """A change at the start counts, one at the end doesn't; far years hold none."""
    at = utc("2027-03-28T01:00")
    second = timedelta(seconds=1)
    assert [c.at for c in clock_changes("Europe/Berlin", at, at + second)] == [at]
    assert clock_changes("Europe/Berlin", at - second, at) == ()
    assert clock_changes("Europe/Berlin", at + second, at) == ()
    assert clock_changes("Europe/Berlin", utc("2300-01-01"), utc("9999-12-31")) == ()
    assert clock_changes("UTC", utc("1970-01-01"), utc("2199-01-01")) == ()


CHANGES = [
    pytest.param("Europe/Berlin", "2027-03-28T01:00", True, "02:00", "03:00", id="gap"),
    pytest.param("Europe/Berlin", "2027-10-31T01:00", False, "02:00", "03:00", id="repeat"),
    pytest.param("Australia/Lord_Howe", "2027-10-02T15:30", True, "02:00", "02:30", id="half"),
    pytest.param("America/Havana", "2028-03-12T05:00", True, "00:00", "01:00", id="midnight"),
    pytest.param("Atlantic/Azores", "2027-10-31T01:00", False, "00:00", "01:00", id="Azores"),
]


@pytest.mark.parametrize(("name", "at", "is_gap", "low", "high"), CHANGES)
def test_a_change_in_wall_times(name: str, at: str, is_gap: bool, low: str, high: str) -> None:
    """A change says which wall times it skips or shows twice."""
    (change,) = clock_changes(name, utc(at), utc(at) + timedelta(seconds=1))
    assert change.is_gap is is_gap
    assert (f"{change.low:%H:%M}", f"{change.high:%H:%M}") == (low, high)
    assert change.low.tzinfo is None


def test_a_day_that_never_was() -> None:
    """Samoa skipped 30 December 2011 whole; its starts move to the 31st."""
    (change,) = clock_changes("Pacific/Apia", utc("2011-12-01"), utc("2012-01-01"))
    assert (change.low, change.high) == (wall("2011-12-30"), wall("2011-12-31"))
    table = zone_clock("Pacific/Apia", 2011, 2011)
    assert table.instant(wall("2011-12-30T09:00")) == table.instant(wall("2011-12-31T09:00"))


@st.composite
def walls_near_changes(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and a wall time: as often near a clock change of the zone as anywhere."""
    name = draw(st.sampled_from(NASTY))
    anywhere = draw(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))
    year = datetime(anywhere.year, 1, 1, tzinfo=UTC)
    near = clock_changes(name, year, year + timedelta(days=365))
    if not near or draw(st.booleans()):
        return name, anywhere
    at = draw(st.sampled_from([c.low for c in near] + [c.high for c in near]))
    return name, at + timedelta(seconds=draw(st.integers(-7200, 7200)))


@settings(max_examples=400, deadline=None)
@given(walls_near_changes())
def test_the_table_agrees_with_the_one_reading(case: tuple[str, datetime]) -> None:
    """The table gives `to_instant` of every wall time, and the second showing if there is one."""
    name, at = case
    table = zone_clock(name, at.year, at.year)
    tz = ZoneInfo(name)
    first, second = (at.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1))
    assert table.instant(at) == to_instant(at, tz) == first
    assert table.second_instant(at) == (second if second > first else None)
    change = table.read(at)[1]
    assert (change is not None) == (first != second)
    assert change is None or change.is_gap == (second < first)


def test_a_table_of_many_years_agrees_at_its_edges() -> None:
    """The first and last wall times of its years are read right, in the remotest zones."""
    for name in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "America/New_York"):
        table = ZoneClock(name, 2000, 2100)
        for edge in (datetime(2000, 1, 1), datetime(2100, 12, 31, 23, 59)):
            assert table.instant(edge) == to_instant(edge, ZoneInfo(name))


def test_tables_are_shared() -> None:
    """Equal questions are answered by the same table and the same zone."""
    assert zone_clock("Europe/Berlin", 2027, 2028) is zone_clock("Europe/Berlin", 2027, 2028)
    assert zone("Europe/Berlin") is zone("Europe/Berlin")


GOOD = ["Europe/Berlin", "UTC", "America/Argentina/Ushuaia", "Etc/GMT+5", "EST5EDT"]


@pytest.mark.parametrize("name", GOOD)
def test_names_of_the_tz_database_are_good(name: str) -> None:
    """Every name of the database counts, old ones too."""
    assert timezone_problem(name) is None


BAD = [
    pytest.param("Europe/Berlln", "'Europe/Berlin'", id="misspelt"),
    pytest.param("europe/berlin", "'Europe/Berlin'", id="lower case"),
    pytest.param("Berlin", "'Europe/Berlin'", id="city alone"),
    pytest.param("America/New York", "'America/New_York'", id="blank in it"),
    pytest.param("new york", "'America/New_York'", id="city in lower case"),
    pytest.param("Local", "such as", id="Local"),
    pytest.param("localtime", "such as", id="localtime"),
    pytest.param("", "such as", id="empty"),
    pytest.param("../../etc/passwd", "such as", id="path upward"),
    pytest.param("/usr/share/zoneinfo/UTC", "such as", id="absolute path"),
    pytest.param("Europe/../UTC", "such as", id="path within"),
    pytest.param("posix/Europe/Berlin", "'Europe/Berlin'", id="another tree of the files"),
    pytest.param("Europe/Berlin\0", "'Europe/Berlin'", id="null byte"),
    pytest.param("Europe", "such as", id="directory"),
    pytest.param("GMT+2", "such as", id="offset"),
    pytest.param("x" * 100_000, "...'", id="very long"),
]


@pytest.mark.parametrize(("name", "sentence"), BAD)
def test_other_names_are_refused_with_a_good_one(name: str, sentence: str) -> None:
    """Paths, Local, offsets and misspellings get one short sentence with a name that works."""
    message = timezone_problem(name)
    assert message is not None
    assert sentence in message
    assert message.startswith("unknown time zone '")
    assert "\n" not in message
    assert len(message) < 250
    suggested = message.partition("such as ")[2].split(" or ")
    assert [timezone_problem(s.strip("'")) for s in suggested] == [None] * len(suggested)


def test_changes_can_be_compared_and_sorted() -> None:
    """Changes are values."""
    one, other = clock_changes("Europe/Berlin", utc("2027-01-01"), utc("2028-01-01"))
    assert one < other
    assert one == ClockChange(one.at, one.before, one.after)


# One table ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "at", "instant"),
    [
        # British Columbia stays at UTC-7 from 2026 on: 9 o'clock in December is 16:00 there.
        pytest.param("America/Vancouver", "2026-12-01T09:00", "2026-12-01T16:00", id="Vancouver"),
        # Alberta at UTC-6, and Manitoba at UTC-5.
        pytest.param("America/Edmonton", "2027-01-15T09:00", "2027-01-15T15:00", id="Edmonton"),
        pytest.param("America/Winnipeg", "2027-01-15T09:00", "2027-01-15T14:00", id="Winnipeg"),
        # Moldova's clocks go forward at 03:00, with the EU, not at 02:00.
        pytest.param("Europe/Chisinau", "2027-03-28T02:30", "2027-03-28T00:30", id="Chisinau"),
    ],
)
@pytest.mark.parametrize("module", ["planner.timezones", "workflows.worker"])
def test_the_packages_table_counts(
    module: str, name: str, at: str, instant: str, tmp_path: Path
) -> None:
    """Planner and worker read the pinned table, whatever the machine has and its path says."""
    code = (
        f"import zoneinfo; zoneinfo.ZoneInfo({name!r}); import {module}; "  # one read before us
        "from datetime import datetime; from workflows.contract import to_instant; "
        f"print(to_instant(datetime.fromisoformat({at!r}), zoneinfo.ZoneInfo({name!r})))"
    )
    older = {**os.environ, "PYTHONTZPATH": str(older_tables(tmp_path))}
    found = subprocess.run(
        [sys.executable, "-c", code], env=older, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == f"{utc(instant)}"
