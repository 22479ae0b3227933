"""Calendars that are good: what each key means, by values."""

from __future__ import annotations

import random
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from config_helpers import project, window
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.config.build import build
from planner.config.fields import TextFile
from planner.config.scalars import parse_duration, parse_wall
from planner.model import (
    CLOUD_PLANS,
    BusinessDays,
    Cron,
    Dates,
    Duration,
    Holidays,
    Ical,
    IcalMatch,
    IcsFile,
    Rrule,
    Skip,
    Span,
)
from workflows.contract import Capacity, Limits, Rails, Until
from workflows.contract.findings import UsageThresholds

BASE = 'cron: "0 9 * * *"\nduration: 1h\ntru: 4\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('cron: "0 18 L * *"', Cron(("0 18 L * *",)), id="one cron"),
        pytest.param('cron: ["@daily", 0  12 1 * *]', Cron(("@daily", "0 12 1 * *")), id="crons"),
        pytest.param(
            'cron: "0 0 13 * fri"\nday_match: all',
            Cron(("0 0 13 * fri",), "all"),
            id="both day fields",
        ),
        pytest.param(
            "rrule: FREQ=WEEKLY;INTERVAL=2;BYDAY=FR\nstart: 2027-01-08T16:00",
            Rrule("FREQ=WEEKLY;INTERVAL=2;BYDAY=FR", datetime(2027, 1, 8, 16)),
            id="rrule",
        ),
        pytest.param(
            "business_days: -1\nat: 7:30",
            BusinessDays((-1,), time(7, 30)),
            id="one business day, unquoted time",
        ),
        pytest.param(
            "business_days: [3, 1, 3]\nat: 18:00\nmonths: [mar, 12, June]",
            BusinessDays((1, 3), time(18), (3, 6, 12)),
            id="business days of months",
        ),
        pytest.param(
            "dates: 2027-03-14T01:30",
            Dates((Span(datetime(2027, 3, 14, 1, 30)),)),
            id="one date alone",
        ),
        pytest.param(
            "dates: [2027-03-15 02:00, {start: 2027-03-14T01:30, end: 2027-03-14T09:00}]",
            Dates(
                (
                    Span(datetime(2027, 3, 14, 1, 30), datetime(2027, 3, 14, 9)),
                    Span(datetime(2027, 3, 15, 2)),
                )
            ),
            id="dates of both kinds, sorted",
        ),
        pytest.param(
            "dates: [{start: 2027-11-26T00:00, end: 2027-11-29T24:00}, 2027-12-31 24:00]",
            Dates(
                (
                    Span(datetime(2027, 11, 26), datetime(2027, 11, 30)),
                    Span(datetime(2028, 1, 1)),
                )
            ),
            id="to the end of a day",
        ),
        pytest.param(
            "rrule: FREQ=DAILY\nstart: 2027-01-08T24:00",
            Rrule("FREQ=DAILY", datetime(2027, 1, 9)),
            id="rrule from the end of a day",
        ),
    ],
)
def test_recurrences(text: str, expected: object, tmp_path: Path) -> None:
    """Each of the recurrences is what was written, unquoted YAML 1.1 traps included."""
    assert window(tmp_path, f"{text}\nduration: 1h\ntru: 4").recurrence == expected


def test_24_oclock_is_midnight_of_the_next_day() -> None:
    """A window until 24:00 isn't a day short; the last known year has no day after it."""
    assert parse_wall("2027-11-29T24:00") == datetime(2027, 11, 30)
    assert parse_wall("2027-11-29 24:00:00") == datetime(2027, 11, 30)
    assert parse_wall("2027-11-29T00:00") == datetime(2027, 11, 29)
    with pytest.raises(ValueError, match="outside the years"):
        parse_wall("2100-12-31T24:00")


def test_a_rule_is_judged_in_the_zone_of_its_window(tmp_path: Path) -> None:
    """An UNTIL in UTC is an instant: with a zone it can be compared with the window's starts."""
    rule = "FREQ=DAILY;UNTIL=20270104T010000Z"
    found = window(
        tmp_path,
        f"rrule: {rule}\nstart: 2027-01-01T20:00\ntimezone: America/New_York\nduration: 1h\ntru: 4",
    )
    assert found.recurrence == Rrule(rule, datetime(2027, 1, 1, 20))


def test_an_ical_window_holds_the_text_of_its_file(tmp_path: Path) -> None:
    """A window's value has all that it depends on, and needs no length of its own."""
    found = window(tmp_path, "ical: launches.ics\nmatch: {summary: launch, uid: x}\ntru: 4")
    assert isinstance(found.recurrence, Ical)
    assert found.recurrence.file.path == "launches.ics"
    assert found.recurrence.file.text.startswith("BEGIN:VCALENDAR")
    assert found.recurrence.match == IcalMatch(summary="launch", uid="x")
    assert found.length is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d", 86400),
        ("1d2h3m4s", 93784),
        ("PT2H", 7200),
        ("PT1H30M", 5400),
        ("pt5m", 300),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    """Lengths are read in short, `1d` as 24 hours, and in ISO 8601 without days."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "ten", "1.5h", "-1h", "2h1d", "10 m", "P", "PT", "P1M", "1h 30m", "٣h"]
)
def test_what_is_no_duration(text: str) -> None:
    """A number without its unit, a fraction, a sign: refused with good ones."""
    with pytest.raises(ValueError, match=r"is no length of time; write 90s, 10m, 2h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        pytest.param("", "length", Duration(timedelta(hours=1)), id="duration"),
        pytest.param("", "lead", timedelta(minutes=10), id="lead unless written"),
        pytest.param("", "jitter", timedelta(), id="no jitter unless written"),
        pytest.param("lead: 0", "lead", timedelta(), id="no lead"),
        pytest.param("lead: 90s", "lead", timedelta(seconds=90), id="lead"),
        pytest.param("jitter: PT3M", "jitter", timedelta(minutes=3), id="jitter"),
        pytest.param("combine: add", "combine", "add", id="combine"),
        pytest.param("roll: nearest", "roll", "nearest", id="roll"),
        pytest.param("timezone: Asia/Kolkata", "timezone", "Asia/Kolkata", id="timezone"),
        pytest.param("paused: yes", "paused", True, id="paused in YAML 1.1's words"),
        pytest.param("paused: off", "paused", False, id="not paused"),
        pytest.param("from: 2027-01-01", "not_before", date(2027, 1, 1), id="from"),
        pytest.param("to: 2027-12-31", "not_after", date(2027, 12, 31), id="to"),
        pytest.param("owner: '#ops'", "owner", "#ops", id="owner"),
        pytest.param("description: |\n  two\n  lines", "description", "two lines", id="words"),
        pytest.param("skip: weekends", "skip", Skip(weekends=True), id="one thing skipped"),
        pytest.param(
            "skip: [holidays, 2027-12-24, 2027-12-30..2028-01-01]",
            "skip",
            Skip(
                holidays=True,
                days=(
                    date(2027, 12, 24),
                    date(2027, 12, 30),
                    date(2027, 12, 31),
                    date(2028, 1, 1),
                ),
            ),
            id="holidays, a day and a range skipped",
        ),
        pytest.param(
            "holidays: NO\nweekend: [sun, fri]",
            "holidays",
            Holidays(regions=("NO",), weekend=(4, 6)),
            id="Norway is no falsehood",
        ),
        pytest.param(
            "holidays: [US-CA, XNYS, 2027-12-24]",
            "holidays",
            Holidays(regions=("US-CA", "XNYS"), days=(date(2027, 12, 24),)),
            id="holidays of all kinds",
        ),
    ],
)
def test_refinements(text: str, name: str, expected: object, tmp_path: Path) -> None:
    """Each refinement is what was written, or what the manual says where nothing was."""
    assert getattr(window(tmp_path, BASE + text), name) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("until: 06:00", time(6), id="unquoted"),
        pytest.param("until: 18:00", time(18), id="sexagesimal in YAML 1.1"),
        pytest.param('until: "24:00"', time(0), id="midnight"),
        pytest.param("until: 23:59:30", time(23, 59, 30), id="with seconds"),
    ],
)
def test_until(text: str, expected: time, tmp_path: Path) -> None:
    """A time of day means what it looks like, with or without quotes."""
    found = window(tmp_path, f'cron: "0 9 * * *"\ntru: 4\n{text}')
    assert found.length == Until(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('until: "fri 21:00"', Until(time(21), weekday=4), id="weekday"),
        pytest.param("until: Sunday 6:00", Until(time(6), weekday=6), id="unquoted, in full"),
        pytest.param('until: {days: 7, at: "00:00"}', Until(time(0), days=7), id="days and time"),
        pytest.param("until: fri 24:00", Until(time(0), weekday=5), id="to the end of Friday"),
        pytest.param("until: sun 24:00", Until(time(0), weekday=0), id="to the end of the week"),
        pytest.param("until: {days: 1, at: 24:00}", Until(time(0), days=2), id="to a day's end"),
        pytest.param("until:\n  days: 31", Until(None, days=31), id="days alone"),
        pytest.param("duration: P1D", Until(None, days=1), id="ISO 8601 day"),
        pytest.param("duration: p2w", Until(None, days=14), id="ISO 8601 weeks"),
        pytest.param("duration: 1d", Duration(timedelta(hours=24)), id="24 hours"),
        pytest.param("duration: PT24H", Duration(timedelta(hours=24)), id="ISO 8601 hours"),
    ],
)
def test_days_by_the_clock(text: str, expected: object, tmp_path: Path) -> None:
    """A day of `P1D` or `until` is one on the clock, as in an .ics file; `1d` is 24 hours."""
    found = window(tmp_path, f'cron: "0 9 * * *"\ntru: 4\n{text}')
    assert found.length == expected


@pytest.mark.parametrize(
    ("text", "hours"), [("P1DT1S", 24), ("P1W", 168), ("P1D", 24), ("P2DT3H", 51)]
)
def test_days_by_the_clock_are_no_elapsed_time(text: str, hours: int) -> None:
    """Where elapsed time is wanted, or beside it, the hours are to be written."""
    with pytest.raises(ValueError, match=rf"counts days by the clock .*; write {hours}h for"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "tru", "asked"),
    [
        pytest.param("tru: 8", 8, "8 TRU", id="allowed"),
        pytest.param("tru: 5", 6, "5 TRU", id="rounded up"),
        pytest.param("tru: 1", 2, "1 TRU", id="up to the smallest"),
        pytest.param("aps: 4000", 8, "4000 APS", id="APS that are just 8 TRU"),
        pytest.param("aps: 4001", 10, "4001 APS", id="APS one above"),
        pytest.param("aps: 1", 2, "1 APS", id="one APS"),
    ],
)
def test_demands(text: str, tru: int, asked: str, tmp_path: Path) -> None:
    """A demand is rounded up to an allowed value, and remembered as written."""
    found = window(tmp_path, f'cron: "0 9 * * *"\nduration: 1h\n{text}')
    assert (found.tru, found.asked) == (tru, asked)


PLANNER = """\
project: acme
policy: upsert-only
baseline_policy: observe
timezone: Europe/Berlin
holidays: [DE]
weekend: [sat, sun]
defaults: {lead: 20m, jitter: 3m, owner: platform}
guard_rails: {max_tru: 10, max_duration: 1d}
namespaces:
  b.acct1: {guard_rails: {max_tru: 12, allowed_tru: [2, 12]}}
prices: {plan: business, currency: EUR, tiers: [{up_to: 1000, per_million: 5}, {per_million: 2.5}]}
usage: {share: 0.8, max_throttled: 100, unused_share: 0.5}
"""

CALENDARS = """\
namespace: a.acct1
timezone: Asia/Tokyo
holidays: JP
baseline: {tru: 2}
baseline_policy: enforce
defaults: {lead: 5m, combine: add}
guard_rails: {max_tru: 6}
windows:
  z: {cron: "@daily", duration: 1h, tru: 4, lead: 1m}
  y: {cron: "@daily", duration: 1h, tru: 4}
---
namespace: b.acct1
windows:
  x: {cron: "@daily", duration: 1h, tru: 3}
"""


def test_what_windows_inherit(tmp_path: Path) -> None:
    """A window's own word counts before its calendar's, and that before planner.yaml's."""
    files = {"planner.yaml": PLANNER, "all.yaml": CALENDARS}
    found = project(tmp_path, files)
    a, b = found.namespaces
    y, z = a.windows
    (x,) = b.windows
    assert (found.name, found.policy) == ("acme", "upsert-only")
    assert [found.prices.currency, found.prices.tiers[0].up_to] == ["EUR", 1000]
    assert (found.prices.plan, found.prices.is_assumed) == (CLOUD_PLANS["business"], False)
    assert found.usage == UsageThresholds(share=0.8, max_throttled=100, unused_share=0.5)
    assert (z.lead, y.lead, x.lead) == tuple(timedelta(minutes=n) for n in (1, 5, 20))
    assert (y.combine, x.combine) == ("add", "max")
    assert (y.owner, y.jitter) == ("platform", timedelta(minutes=3))
    assert (y.timezone, x.timezone) == ("Asia/Tokyo", "Europe/Berlin")
    assert y.holidays == Holidays(regions=("JP",), weekend=(5, 6))
    assert x.holidays == Holidays(regions=("DE",), weekend=(5, 6))
    assert (y.baseline, x.baseline) == (Capacity(2), None)
    assert y.rails == Rails(max_tru=6)
    assert (x.rails, x.tru) == (Rails((2, 12), 12), 12)
    assert a.guard_rails.max_duration == timedelta(days=1)
    assert (y.baseline_policy, x.baseline_policy) == ("enforce", "observe")
    assert y.limits == Limits(longest_seconds=86_400)
    assert (z.place.line, y.place.line, x.place.line) == (9, 10, 14)


def test_anchors_merges_and_room_for_notes(tmp_path: Path) -> None:
    """Anchors and merges work, a key of one's own wins, and x- keys aren't read."""
    text = """\
x-night: &night {until: 06:00, tru: 4}
namespace: a.acct1
windows:
  week: {<<: *night, cron: "0 22 * * 1-5"}
  weekend: {cron: "0 20 * * 6,0", tru: 2, <<: *night}
"""
    week, weekend = project(tmp_path, {"a.yaml": text}).windows
    assert (week.tru, weekend.tru, week.length) == (4, 2, weekend.length)


def test_a_file_may_be_empty_or_hold_comments_only(tmp_path: Path) -> None:
    """Documents without content are no calendars and no faults."""
    assert project(tmp_path, {"a.yaml": "", "b.yml": "# later\n---\n---\n"}).namespaces == ()


class NoFiles:
    """A resolver that has no files."""

    def load(self, path: str) -> IcsFile:
        """Refuse every file."""
        raise ValueError(path)


WINDOWS = st.fixed_dictionaries(
    {
        "cron": st.sampled_from(["0 9 * * *", "30 22 L * *", "@weekly"]),
        "duration": st.sampled_from(["1h", "90m"]),
        "tru": st.integers(1, 12).map(str),
        "lead": st.sampled_from(["5m", "10m"]),
        "skip": st.sampled_from(["weekends", "2027-12-24"]),
    }
)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
DOCUMENTS = st.dictionaries(NAMES, st.dictionaries(NAMES, WINDOWS, max_size=4), max_size=5)


def _calendar(namespace: str, windows: dict[str, dict[str, str]], order: random.Random) -> str:
    lines = [f"namespace: {namespace}.acct1", f"windows:{'' if windows else ' {}'}"]
    for name in order.sample(list(windows), len(windows)):
        lines.append(f'  "{name}":')
        entries = list(windows[name].items())
        lines += [f'    {key}: "{value}"' for key, value in order.sample(entries, len(entries))]
    return "\n".join(lines) + "\n"


def _build(documents: dict[str, Any], seed: int) -> object:
    order = random.Random(seed)
    texts = [_calendar(name, documents[name], order) for name in documents]
    order.shuffle(texts)
    files: list[str] = []
    for text in texts:
        if files and order.random() < 0.5:
            files[-1] += f"---\n{text}"
        else:
            files.append(text)
    found, problems = build(
        TextFile("planner.yaml", "project: p\n", NoFiles()),
        [TextFile(f"{index}.yaml", text, NoFiles()) for index, text in enumerate(files)],
    )
    assert problems == []
    return found


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, st.integers(), st.integers())
def test_order_does_not_matter(documents: dict[str, Any], one: int, other: int) -> None:
    """Files, documents, windows and keys in any order make the same project."""
    assert _build(documents, one) == _build(documents, other)
