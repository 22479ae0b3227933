"""Calendars that are bad: the line, the bad value, and a good one, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_helpers import CALENDAR, ICS, faults, keys, problems

GOOD = 'cron: "0 9 * * *"\nduration: 1h\ntru: 4\n'


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        pytest.param(
            "timezne: UTC", 7, "unknown key 'timezne'; did you mean 'timezone'?", id="typo"
        ),
        pytest.param("x: 1", 7, "unknown key 'x'; known here: lead, jitter", id="unknown key"),
        pytest.param(
            "timezone: Amerika/New_York",
            7,
            "'timezone': unknown time zone 'Amerika/New_York'; write a name of the tz database "
            "such as 'America/New_York'",
            id="unknown zone",
        ),
        pytest.param("timezone: Local", 7, "unknown time zone 'Local'", id="the server's zone"),
        pytest.param("timezone: ../etc/passwd", 7, "unknown time zone", id="a path as zone"),
        pytest.param("timezone: /etc/localtime", 7, "unknown time zone", id="an absolute path"),
        pytest.param("lead: soon", 7, "'lead': 'soon' is no length of time; write 90s", id="lead"),
        pytest.param("lead: 2d", 7, "'2d' is longer than a day; write 10m", id="lead of days"),
        pytest.param("jitter: 10", 7, "'10' is no length of time; write 90s", id="unitless"),
        pytest.param("lead: P1D", 7, "'P1D' counts days by the clock", id="lead by the clock"),
        pytest.param("paused: maybe", 7, "'maybe' is neither true nor false", id="flag"),
        pytest.param("roll: prev", 7, "did you mean 'previous'?", id="roll"),
        pytest.param("combine: sum", 7, "'sum' is none of max or add", id="combine"),
        pytest.param("from: 01.02.2027", 7, "is no date; write 2027-12-24", id="German date"),
        pytest.param("from: 2027-02-29", 7, "'2027-02-29' is on no calendar", id="29 February"),
        pytest.param("to: 2127-01-01", 7, "outside the years 2000 to 2100", id="far future"),
        pytest.param(
            "from: 2027-02-02\nto: 2027-02-01",
            8,
            "'2027-02-01' is before 'from', '2027-02-02'; write to: 2027-02-02 or later",
            id="ends before it begins",
        ),
        pytest.param("skip: weekend", 7, "did you mean 'weekends'?", id="skip"),
        pytest.param("skip:\n  - weekends\n  - mondays", 9, "'mondays' can't be", id="in a list"),
        pytest.param("skip: []", 7, "an empty list; name at least one", id="empty list"),
        pytest.param("skip: 2027-12-24..2027-12-01", 7, "ends before it starts", id="range"),
        pytest.param("skip: 2027-01-01..2029-01-01", 7, "longer than 366 days", id="long range"),
        pytest.param("holidays: Germany", 7, "did you mean 'DE'?", id="country by name"),
        pytest.param("holidays: [US, US-XX]", 7, "unknown subdivision 'XX'", id="subdivision"),
        pytest.param("weekend: freitag", 7, "'freitag' is no weekday; write fri", id="weekday"),
        pytest.param("weekend: 5", 7, "'5' is no weekday; write fri or sat", id="ambiguous day"),
        pytest.param("owner:", 7, "'owner' has no value; write one or remove", id="blank"),
        pytest.param("owner: null", 7, "'owner' has no value", id="null"),
        pytest.param("owner: [a]", 7, "a list stands where one value is wanted", id="list"),
        pytest.param("description: {a: b}", 7, "a mapping stands where one", id="mapping"),
        pytest.param(
            f"description: {'x' * 501}", 7, "501 characters; write at most 500", id="long"
        ),
        pytest.param('description: "a\\x1bb"', 7, "holds a control character", id="escape"),
        pytest.param("lead: 5m\nlead: 6m", 8, "key 'lead' is here and on line 7", id="twice"),
        pytest.param(
            "at: 07:00", 7, "'at' without 'business_days': it is the time of day", id="at alone"
        ),
        pytest.param("start: 2027-01-08T16:00", 7, "'start' without 'rrule'", id="start alone"),
        pytest.param("match: {uid: x}", 7, "'match' without 'ical'", id="match alone"),
        pytest.param("months: [1]", 7, "'months' without 'business_days'", id="months alone"),
        pytest.param(
            "dates: 2027-01-01T10:00",
            7,
            "both 'cron' and 'dates': a window has one recurrence",
            id="two recurrences",
        ),
        pytest.param("until: 06:00", 7, "both 'duration' and 'until'", id="two lengths"),
        pytest.param("aps: 4000", 7, "both 'tru' and 'aps': a window has one demand", id="demands"),
    ],
)
def test_what_is_wrong_beside_a_good_window(
    text: str, line: int, sentence: str, tmp_path: Path
) -> None:
    """One bad line in a good window: one problem, on that line, that names a good value."""
    ((found, message),) = faults(tmp_path, GOOD + text)
    assert found == line
    assert sentence in message


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        pytest.param(
            "duration: 1h\ntru: 4",
            3,
            "window 'w' never starts; write one of cron",
            id="no recurrence",
        ),
        pytest.param(
            "cron: '@daily'\ntru: 4", 3, "window 'w' never ends; write duration: 2h", id="no length"
        ),
        pytest.param(
            "cron: '@daily'\nduration: 1h", 3, "window 'w' asks for nothing", id="no demand"
        ),
        pytest.param(
            "cron: '0 0 31 4 *'\nduration: 1h\ntru: 4", 4, "'0 0 31 4 *' never fires", id="31 April"
        ),
        pytest.param(
            "cron: '0 0 30 2 *'\nduration: 1h\ntru: 4", 4, "never fires", id="30 February"
        ),
        pytest.param(
            "cron:\n  - '@daily'\n  - '0 0 31 9 *'\nduration: 1h\ntru: 4",
            6,
            "never fires",
            id="second of two",
        ),
        pytest.param(
            "cron: '0 0 13 * 5'\nduration: 1h\ntru: 4",
            4,
            "write day_match: any",
            id="both day fields",
        ),
        pytest.param(
            "cron: '60 * * * *'\nduration: 1h\ntru: 4", 4, "'60' is no minute", id="minute 60"
        ),
        pytest.param(
            "cron: '0 0 * * * *'\nduration: 1h\ntru: 4", 4, "cron '0 0 * * * *'", id="seconds"
        ),
        pytest.param(
            "cron: '0 22-2 * * *'\nduration: 1h\ntru: 4",
            4,
            "the range 22-2 runs backwards",
            id="wrapping range",
        ),
        pytest.param(f"cron: '{'0,' * 200}0 * * * *'\nduration: 1h\ntru: 4", 4, "200", id="long"),
        pytest.param(
            "cron: '@daily'\nduration: 0s\ntru: 4",
            5,
            "'0s' is no time at all",
            id="no length at all",
        ),
        pytest.param(
            "cron: '@daily'\nduration: 32d\ntru: 4", 5, "longer than 31 days", id="long window"
        ),
        pytest.param(
            "cron: '@daily'\nuntil: 25:00\ntru: 4",
            5,
            "'25:00' is no time of day; write 06:00",
            id="25 o'clock",
        ),
        pytest.param(
            "business_days: 1\nat: 24:00\nduration: 1h\ntru: 4",
            5,
            "'24:00' is the start of the next day; write 00:00",
            id="24:00 as a start",
        ),
        pytest.param("cron: '@daily'\nuntil: 6pm\ntru: 4", 5, "'6pm' is no time of day", id="6pm"),
        pytest.param(
            "cron: '@daily'\nduration: 1h\ntru: lots",
            6,
            "'lots' is no whole number from 1",
            id="no number",
        ),
        pytest.param(
            "cron: '@daily'\nduration: 1h\ntru: 2.5", 6, "'2.5' is no whole number", id="half"
        ),
        pytest.param(
            "cron: '@daily'\nduration: 1h\ntru: 0", 6, "'0' is no whole number from 1", id="zero"
        ),
        pytest.param(
            "cron: '@daily'\nduration: 1h\ntru: 13",
            6,
            "13 TRU is above the largest allowed value; write 12 TRU",
            id="13 TRU",
        ),
        pytest.param(
            "cron: '@daily'\nduration: 1h\naps: 6001",
            6,
            "6001 APS is above the largest allowed value; write 12 TRU (6,000 APS)",
            id="6001 APS",
        ),
        pytest.param(
            "rrule: FREQ=DAILY\nduration: 1h\ntru: 4",
            4,
            "'rrule' without 'start'; add its first start",
            id="no start",
        ),
        pytest.param(
            "rrule: FREQ=SOMETIMES\nstart: 2027-01-01T09:00\nduration: 1h\ntru: 4",
            4,
            "SOMETIMES",
            id="unknown frequency",
        ),
        pytest.param(
            "rrule: FREQ=DAILY;INTERVAL=0\nstart: 2027-01-01T09:00\nduration: 1h\ntru: 4",
            4,
            "INTERVAL",
            id="interval 0",
        ),
        pytest.param(
            "rrule: FREQ=HOURLY;COUNT=9\nstart: 2027-03-13T20:00\nduration: 5m\ntru: 4\n"
            "timezone: America/New_York",
            4,
            "over a clock change",
            id="hourly over a clock change of the window's zone",
        ),
        pytest.param(
            "rrule: FREQ=DAILY\nstart: 2027-01-01\nduration: 1h\ntru: 4",
            5,
            "'2027-01-01' has no time; write 2027-01-01T09:00",
            id="start without time",
        ),
        pytest.param(
            "rrule: FREQ=DAILY\nstart: 2027-01-01T09:00Z\nduration: 1h\ntru: 4",
            5,
            "brings an offset; write the local time",
            id="start in UTC",
        ),
        pytest.param(
            "business_days: 1\nduration: 1h\ntru: 4",
            4,
            "'business_days' without 'at'; add the time of day",
            id="no at",
        ),
        pytest.param(
            "business_days: 0\nat: 07:00\nduration: 1h\ntru: 4",
            4,
            "'0' is no business day; write 1 for the first",
            id="zeroth",
        ),
        pytest.param(
            "business_days: 24\nat: 07:00\nduration: 1h\ntru: 4",
            4,
            "'24' is no whole number from -23 to 23",
            id="24th",
        ),
        pytest.param(
            "business_days: 1\nat: 07:00\nmonths: [13]\nduration: 1h\ntru: 4",
            6,
            "'13' is no month; write 3 or mar",
            id="month 13",
        ),
        pytest.param(
            "dates: 2027-01-01T09:00\ntru: 4",
            4,
            "a date without an end in a window without a length",
            id="date without end",
        ),
        pytest.param(
            "dates:\n  - {start: 2027-03-14T09:00, end: 2027-03-14T01:30}\ntru: 4",
            5,
            "'2027-03-14T01:30' is not after its start, '2027-03-14T09:00'; "
            "write an end after it, such as 2027-03-14T10:00",
            id="ends before it starts",
        ),
        pytest.param(
            "dates: {start: 2027-03-14T09:00, end: 2027-03-14T09:00}\ntru: 4",
            4,
            "is not after its start",
            id="no time between",
        ),
        pytest.param(
            "dates: {start: 2027-03-14T09:00, end: 2028-03-14T09:00}\ntru: 4",
            4,
            "more than 31 days after",
            id="year long",
        ),
        pytest.param(
            "dates: {strat: a, end: 2027-03-14T10:00, start: 2027-03-14T09:00}\ntru: 4",
            4,
            "unknown key 'strat'; did you mean 'start'?",
            id="typo in a date",
        ),
        pytest.param(
            "dates: {end: 2027-03-14T10:00}\ntru: 4",
            4,
            "'start' is missing; write start: 2027-03-14T01:30",
            id="date without start",
        ),
        pytest.param("ical: gone.ics\ntru: 4", 4, "there is no file 'gone.ics'", id="missing file"),
        pytest.param(
            "ical: lunches.ics\ntru: 4", 4, "did you mean 'launches.ics'?", id="nearly a file"
        ),
        pytest.param(
            "ical: launches.ical\ntru: 4", 4, "'launches.ical' is no .ics file", id="other suffix"
        ),
        pytest.param(
            "ical: ../../launches.ics\ntru: 4",
            4,
            "leads out of the calendars' directory",
            id="out by dots",
        ),
        pytest.param(
            "ical: /etc/launches.ics\ntru: 4",
            4,
            "is no relative path; write launches.ics",
            id="absolute path",
        ),
        pytest.param(
            "ical: launches.ics\nmatch: {color: red}\ntru: 4",
            5,
            "unknown key 'color'",
            id="unknown match",
        ),
        pytest.param(
            "ical: launches.ics\nmatch: red\ntru: 4",
            5,
            "'match' holds keys of its own",
            id="match is no mapping",
        ),
    ],
)
def test_what_is_wrong_with_a_window(text: str, line: int, sentence: str, tmp_path: Path) -> None:
    """One fault: one problem, on its line, that names the bad value and a good one."""
    ((found, message),) = faults(tmp_path, text)
    assert found == line
    assert sentence in message


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        pytest.param(
            "namespace: payments-prod\nwindows: {}", 1, "names no account", id="no account"
        ),
        pytest.param("namespace: Payments.a1b2c\nwindows: {}", 1, "in lower case", id="upper case"),
        pytest.param(
            "windows: {}",
            1,
            "'namespace' is missing; write namespace: payments-prod.a1b2c",
            id="no namespace",
        ),
        pytest.param("namespace: a.b1", 1, "'windows' is missing", id="no windows"),
        pytest.param("namespace: a.b1\nwindows:", 2, "'windows' has no value", id="blank windows"),
        pytest.param(
            "namespace: a.b1\nwindows: [a]",
            2,
            "'windows' holds keys of its own",
            id="windows in a list",
        ),
        pytest.param(
            "namespace: a.b1\nwindows: {a: 1}",
            2,
            "window 'a' holds keys",
            id="window is no mapping",
        ),
        pytest.param(
            "namespace: a.b1\nwindows:\n  a b: {cron: '@daily', duration: 1h, tru: 4}",
            3,
            "'a b' is no name for a window",
            id="name with a space",
        ),
        pytest.param(
            "namespace: a.b1\nwindows:\n  a/b: {cron: '@daily', duration: 1h, tru: 4}",
            3,
            "'a/b' is no name for a window",
            id="name with a slash",
        ),
        pytest.param(
            "namespace: a.b1\nwindow: {}\nwindows: {}",
            2,
            "did you mean 'windows'?",
            id="unknown key",
        ),
        pytest.param("- a", 1, "a calendar begins with namespace", id="a list"),
        pytest.param(
            "namespace: a.b1\nbaseline: 2\nwindows: {}",
            2,
            "'2' is no baseline; write on-demand or {tru: 2}",
            id="bare baseline",
        ),
        pytest.param(
            "namespace: a.b1\nbaseline: {tru: 5}\nwindows: {}",
            2,
            "5 TRU can't be had; choose from 2, 3, 4",
            id="odd baseline",
        ),
        pytest.param(
            "namespace: a.b1\nguard_rails: {max_tru: 4}\nbaseline: {tru: 12}\nwindows: {}",
            3,
            "'baseline': 12 TRU is above the guard rail max_tru: 4",
            id="baseline above a guard rail",
        ),
        pytest.param(
            "namespace: a.b1\ndefaults: {tru: 5}\nwindows: {}",
            2,
            "unknown key 'tru'",
            id="no such default",
        ),
        pytest.param(
            "namespace: a.b1\nguard_rails: {max_tru: 1}\nwindows: {}",
            2,
            "below the smallest allowed",
            id="impossible rails",
        ),
        pytest.param(
            "namespace: a.b1\nguard_rails: {max_duration: 1h}\nwindows:\n"
            "  a: {cron: '@daily', duration: 2h, tru: 4}",
            4,
            "2h is longer than the guard rail max_duration: 1h",
            id="longer than allowed",
        ),
        pytest.param(
            "namespace: a.b1\nguard_rails: {max_tru: 4}\nwindows:\n"
            "  a: {cron: '@daily', duration: 2h, tru: 6}",
            4,
            "6 TRU needs 6 TRU, above the guard rail max_tru: 4; write 4 TRU (2,000 APS) or less",
            id="above max_tru",
        ),
        *(
            pytest.param(
                f"namespace: a.b1\nwindows:\n  a:\n    cron: '@daily'\n    {text}\n    tru: 4",
                5,
                sentence,
                id=text,
            )
            for text, sentence in (
                ("until: fri", "'fri' has no time; write 06:00 or fri 21:00"),
                (
                    'until: "+1d 00:30"',
                    """'+1d 00:30' is not a time of day; write {days: 1, at: "00:30"}""",
                ),
                ("until: fri 25:00", "'25:00' is no time of day"),
                ("until: freitag 21:00", "'freitag' is no weekday; write fri or sat"),
                ("until: {days: 0}", "'0' is not from 1 to 31 days; write 7 or so"),
                ("until: {days: 32}", "'32' is not from 1 to 31 days"),
                ("until: {days: seven}", "'seven' is not from 1 to 31 days"),
                ("until: {at: 06:00}", "'days' is missing; write {days: 7, at: \"00:00\"}"),
                ("until: {days: 1, hour: 6}", "unknown key 'hour'; write {days: 7"),
                ("until: [fri 21:00]", "a list stands where one value is wanted"),
                ("duration: P5W", "'P5W' is not from 1 to 31 days"),
                ("duration: P1DT2H", "'P1DT2H' counts days by the clock"),
            )
        ),
        pytest.param(
            "namespace: a.b1\nwindows:\n\ta: b", 3, "a tab indents the line: write spaces", id="tab"
        ),
        pytest.param("namespace: a.b1\nwindows: {a: [", 2, "not valid YAML", id="broken YAML"),
        pytest.param(
            "namespace: *a\nwindows: {}", 1, "alias '*a' stands for nothing", id="unknown alias"
        ),
        *(
            pytest.param(
                f"namespace: a.b1\nwindows:\n  w:\n    cron: {cron}\n    duration: 1h\n    tru: 4",
                4,
                'a text that begins with * needs quotes, such as cron: "*/5 * * * *"',
                id=f"unquoted {cron}",
            )
            for cron in ("*/5 * * * *", "* * * * *", "*15 9 * * *", "[0 9 * * *, */5 * * * *]")
        ),
        pytest.param(
            "namespace: a.b1\nwindows:\n  w: {cron: @daily, duration: 1h, tru: 4}",
            3,
            'a text that begins with @ needs quotes, such as cron: "@daily"',
            id="unquoted macro",
        ),
        pytest.param(
            'namespace: a.b1\n"win\\ndows": {}\nwindows: {}',
            2,
            r"unknown key 'win\ndows'; did you mean 'windows'?",
            id="line break in a key",
        ),
        pytest.param(
            'namespace: a.b1\nwindows:\n  "a\\nb": {cron: "@daily", duration: 1h, tru: 4}',
            3,
            r"'a\nb' is no name for a window",
            id="line break in a name",
        ),
        pytest.param(
            "namespace: a.b1\nwindows: {}\n? |\n  two\n  lines\n: 1",
            3,
            r"unknown key 'two\nlines\n'",
            id="a block as a key",
        ),
        pytest.param("namespace: !!python/name:os.system x\nwindows: {}", 1, "a tag", id="tag"),
        pytest.param("? [a]\n: b", 1, "a key that is no plain word", id="odd key"),
        pytest.param("namespace: a.b1\nwindows: {}\nx: \x00", 3, "a control character", id="NUL"),
    ],
)
def test_what_is_wrong_with_a_calendar(text: str, line: int, sentence: str, tmp_path: Path) -> None:
    """One fault in a calendar's head or form: one problem, on its line."""
    ((file, found, message),) = problems(tmp_path, {"a.yaml": text})
    assert (file, found) == ("a.yaml", line)
    assert sentence in message


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        pytest.param("", 0, "is empty; write project: payments-platform", id="empty"),
        pytest.param(
            "policy: sync",
            1,
            "'project' is missing; write project: payments-platform",
            id="no project",
        ),
        pytest.param("project: Big Corp", 1, "'Big Corp' is no name for a project", id="name"),
        pytest.param("project: a\npolcy: sync", 2, "did you mean 'policy'?", id="typo"),
        pytest.param(
            "project: a\npolicy: yes",
            2,
            "'yes' is none of sync, upsert-only or create-only",
            id="policy",
        ),
        pytest.param(
            "project: a\n---\nproject: b",
            3,
            "a second document; planner.yaml holds one",
            id="two documents",
        ),
        pytest.param(
            "project: a\nguard_rails: {max_tru: 1}", 2, "write 2 or more", id="impossible rails"
        ),
        pytest.param(
            "project: a\nnamespaces: {x: {guard_rails: {max_tru: 4}}}",
            2,
            "names no account",
            id="namespace",
        ),
        pytest.param(
            "project: a\nprices: {tiers: [{up_to: 5, per_million: 1}]}",
            2,
            "ends with one without up_to",
            id="open end",
        ),
        pytest.param(
            "project: a\nprices:\n  tiers: [{up_to: 5, per_million: 1}, "
            "{up_to: 4, per_million: 1}, {per_million: 1}]",
            3,
            "ascend by up_to",
            id="order",
        ),
        pytest.param(
            "project: a\nprices: {currency: usd, tiers: [{per_million: 1}]}",
            2,
            "'usd' is no currency",
            id="currency",
        ),
        pytest.param(
            "project: a\nprices: {currency: EUR}",
            2,
            "'currency' is of 'tiers'",
            id="a currency of no tiers",
        ),
        pytest.param(
            "project: a\nprices: {plan: buisness}",
            2,
            "'business'?",
            id="no plan of Temporal Cloud",
        ),
        pytest.param("project: a\nprices: {tiers: []}", 2, "'tiers'", id="no tiers"),
        pytest.param(
            "project: a\nprices: {tiers: [{per_million: free}]}",
            2,
            "'free' is no number above zero",
            id="price",
        ),
        pytest.param(
            "project: a\nusage:\n  headroom: 1.5\n  share: 90",
            4,
            "'share': '90' is no number from 0.1 to 1; write 0.9",
            id="a share in percent",
        ),
        pytest.param(
            "project: a\nusage:\n  headroom: 0.2",
            3,
            "'headroom': '0.2' is no number from 1 to 10; write 1.2",
            id="headroom that takes away",
        ),
        pytest.param(
            "project: a\nusage: {unused_share: 0}",
            2,
            "'unused_share': '0' is no number from 0.01 to 1; write 0.5",
            id="a share of none",
        ),
        pytest.param(
            "project: a\nusage: {max_throttled: -1}",
            2,
            "'max_throttled': '-1' is no whole number from 0",
            id="fewer throttled than none",
        ),
        pytest.param(
            "project: a\nusage: {max_throtled: 1}",
            2,
            "did you mean 'max_throttled'?",
            id="no threshold",
        ),
    ],
)
def test_what_is_wrong_with_the_project(
    text: str, line: int, sentence: str, tmp_path: Path
) -> None:
    """One fault in planner.yaml: one problem, on its line."""
    ((file, found, message),) = problems(tmp_path, {"planner.yaml": text})
    assert (file, found) == ("planner.yaml", line)
    assert sentence in message


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ("max_tru: 10", "'max_tru' is above planner.yaml's 8; write 8 or less"),
        ("max_duration: 3h", "'max_duration' is above planner.yaml's 2h; write 2h or less"),
        ("max_boost_hours_per_month: 50.5", "write 40 or less"),
        ("allowed_tru: [2, 5]", "'allowed_tru' adds 5 to planner.yaml's values"),
    ],
)
def test_a_calendar_may_not_loosen_the_projects_rails(
    own: str, sentence: str, tmp_path: Path
) -> None:
    """What the platform's owner sets in planner.yaml, a calendar can tighten only."""
    rails = "{max_tru: 8, max_duration: 2h, max_boost_hours_per_month: 40}"
    files = {
        "planner.yaml": f"project: a\nguard_rails: {rails}",
        "a.yaml": f"namespace: a.b1\nguard_rails:\n  {own}\nwindows: {{}}",
    }
    ((_, line, message),) = problems(tmp_path, files)
    assert line == 3
    assert sentence in message


def test_a_namespace_written_twice_names_both_places(tmp_path: Path) -> None:
    """The second calendar of a namespace is a problem, wherever it is, with the first's place."""
    text = "namespace: a.b1\nwindows: {}\n"
    ((file, line, message),) = problems(tmp_path, {"a.yaml": text, "z/b.yaml": f"---\n{text}"})
    assert (file, line) == ("z/b.yaml", 2)
    assert "namespace 'a.b1' has a calendar at" in message
    assert "a.yaml:1; one calendar holds all its windows" in message


def test_a_window_written_twice_names_both_lines(tmp_path: Path) -> None:
    """The second of two windows of one name is a problem, with the first one's line."""
    entry = "  same: {cron: '@daily', duration: 1h, tru: 4}\n"
    text = f"namespace: a.b1\nwindows:\n{entry}{entry}"
    found = problems(tmp_path, {"a.yaml": text})
    assert found == [("a.yaml", 4, "key 'same' is here and on line 3; keep one")]


def test_every_problem_of_a_run_at_once(tmp_path: Path) -> None:
    """No fault hides another: in a window, in its head, in another file, in planner.yaml."""
    files = {
        "planner.yaml": "project: a\npolcy: sync\n",
        "head.yaml": "namespace: nobody\n"
        + keys("lead: soon\ncron: '0 0 31 4 *'").split("\n", 1)[1],
        "broken.yaml": "namespace: [",
        "window.yaml": CALENDAR + "    tru: 99\n  v:\n    tru: 4\n    aps: 4\n",
        "sub/file.yaml": keys("ical: gone.ics\ntru: 4").replace("payments", "other"),
    }
    found = problems(tmp_path, files)
    places = {(file, line) for file, line, _ in found}
    expected = {
        ("planner.yaml", 2),
        ("head.yaml", 1),
        ("head.yaml", 4),
        ("head.yaml", 5),
        ("head.yaml", 3),
        ("broken.yaml", 1),
        ("window.yaml", 3),
        ("window.yaml", 4),
        ("window.yaml", 5),
        ("window.yaml", 7),
        ("sub/file.yaml", 4),
    }
    assert places == expected


@pytest.mark.parametrize(
    ("window", "sentences"),
    [
        pytest.param(
            "rrule: FREQ=MONTLY\nduration: 1h\ntru: 40",
            ["'rrule' without 'start'", "'tru': 40 TRU is above", "FREQ='MONTLY' is no frequency"],
            id="a rule without its start",
        ),
        pytest.param(
            "rrule: FREQ=MONTLY\nstart: soon\nduration: 1h\ntru: 4",
            ["'start': 'soon' is no date", "FREQ='MONTLY' is no frequency"],
            id="a rule with a bad start",
        ),
        pytest.param(
            "cron: '@daily'\nduration: 1x\ntru: 40",
            ["'duration': '1x' is no length", "'tru': 40 TRU is above the largest"],
            id="a demand beside a bad length",
        ),
        pytest.param(
            "cron: '@daily'\nduration: 3h\naps: 20001\nowner: [a]",
            [
                "'aps': 20001 APS is above the largest",
                "'duration': 3h is longer than the guard rail",
                "'owner': a list stands",
            ],
            id="two guard rails beside a bad key",
        ),
        pytest.param(
            "dates: [{start: 2027-01-01T00:00, end: 2027-01-01T03:00}]\ntru: 4\naps: 1",
            ["'dates': 2027-01-01T00:00 lasts longer", "both 'tru' and 'aps'"],
            id="a long date beside two demands",
        ),
    ],
)
def test_a_window_has_all_its_problems_at_once(
    window: str, sentences: list[str], tmp_path: Path
) -> None:
    """A bad key hides neither a rule that can't be parsed nor a broken guard rail."""
    files = {
        "planner.yaml": "project: a\nguard_rails: {max_duration: 2h}\n",
        "a.yaml": keys(window),
    }
    found = sorted(message for _, _, message in problems(tmp_path, files))
    assert len(found) == len(sentences)
    for message, sentence in zip(found, sorted(sentences), strict=True):
        assert message.startswith(sentence)


def test_a_bad_head_does_not_hide_a_guard_rail(tmp_path: Path) -> None:
    """Windows of a calendar with a bad head are held to planner.yaml's rails for its name."""
    files = {
        "planner.yaml": "project: a\nguard_rails: {max_tru: 4}\n"
        "namespaces: {b.c1: {guard_rails: {max_tru: 8}}}\n",
        "a.yaml": "namespace: a.b1\ntimezone: Mars\nwindows:\n"
        "  w: {cron: '@daily', duration: 1h, tru: 8}\n",
        "b.yaml": "namespace: b.c1\ntimezone: Mars\nwindows:\n"
        "  w: {cron: '@daily', duration: 1h, tru: 8}\n",
    }
    places = [(file, line) for file, line, _ in problems(tmp_path, files)]
    assert places == [("a.yaml", 2), ("a.yaml", 4), ("b.yaml", 2)]


def test_faults_inside_an_ics_file_have_its_own_lines(tmp_path: Path) -> None:
    """What is wrong in an .ics file is said once, with that file's name and line."""
    bad = ICS.replace("DTSTART:20270601T090000Z", "DTSTART:2027-06-01")
    window = "cron: '@daily'\nduration: 1h\ntru: 4\nskip: bad.ics"
    files = {
        "a.yaml": keys(window),
        "b.yaml": keys(window).replace("payments", "b"),
        "bad.ics": bad,
    }
    found = problems(tmp_path, files)
    assert {file for file, _, _ in found} == {"bad.ics"}
    assert 7 in {line for _, line, _ in found}
