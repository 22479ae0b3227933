"""Warnings: each code from a calendar that deserves it, and silence from one that doesn't."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from config_helpers import ICS, project

import planner
from planner.lints import inspect as module
from planner.lints.inspect import CODES, inspect
from planner.model import Project

TODAY = date(2026, 11, 21)

HEAD = "namespace: a.b1\ntimezone: Europe/Berlin\nholidays: [DE]\n"
QUIET = "w: {cron: '0 9 * * mon-fri', duration: 1h, tru: 4}"


def calendar(*windows: str, head: str = HEAD) -> str:
    """Return a calendar with *windows*, one a line, from line 5 on."""
    return f"{head}windows:\n" + "".join(f"  {window}\n" for window in windows)


def warned(found: Project, today: date = TODAY) -> list[tuple[str, int, str]]:
    """Return code, line and message of every warning about *found*."""
    lints = list(inspect(found, today).lints)
    assert {each.code for each in lints} <= set(CODES)
    return [(each.code, each.line, each.message) for each in lints]


def of_window(root: Path, *windows: str, head: str = HEAD) -> list[tuple[str, int, str]]:
    """Return the warnings about a calendar of *windows*."""
    return warned(project(root, {"a.yaml": calendar(*windows, head=head), "x.ics": ICS}))


def codes_in(path: Path) -> Iterator[str]:
    """Yield each code that a module gives to a warning: `Lint`, the `.ics` `LineWarning`, `at`."""
    places = {"Lint": 2, "LineWarning": 1, "at": 1}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            place = places.get(node.func.id, len(node.args))
            code = node.args[place] if place < len(node.args) else None
            if isinstance(code, ast.Constant):
                yield str(code.value)


def test_every_code_that_is_warned_with_is_listed() -> None:
    """No module warns with a code that the list lacks, and the list has none to spare."""
    root = Path(planner.__file__).parent
    assert {code for path in root.rglob("*.py") for code in codes_in(path)} == set(CODES)


@pytest.mark.parametrize(
    ("window", "code", "words"),
    [
        pytest.param(
            "w: {cron: '@daily', duration: 1h, aps: 500}",
            "needless-boost",
            "500 APS is within the 500 APS that on-demand always allows",
            id="within on-demand",
        ),
        pytest.param(
            "w: {cron: '@daily', duration: 1h, tru: 5}",
            "rounded-up",
            "5 TRU can't be had; it gets 6 TRU",
            id="no such TRU",
        ),
        pytest.param(
            "w: {cron: '@daily', duration: 1h, tru: 4, lead: 90s}",
            "short-lead",
            "a lead of 90s is shorter than the two minutes",
            id="lead under two minutes",
        ),
        pytest.param(
            "w: {cron: '0 9 13 * *', day_match: any, duration: 1h, tru: 4}",
            "day-match-unneeded",
            "day_match: any says nothing here",
            id="one day field",
        ),
        pytest.param(
            "w: {cron: '0 9 * * *', duration: 5m, tru: 4}",
            "shorter-than-lead",
            "on Sat 2026-11-21 it lasts 5m, less than its lead of 10m",
            id="shorter than its lead",
        ),
        pytest.param(
            "w: {cron: '0 0 * * mon', duration: 7d, tru: 4, timezone: America/Chicago}",
            "whole-days",
            "from Mon 2027-03-08 00:00 it lasts 168h and ends at 01:00, since the clock changes; "
            "to end at 00:00 write until: {days: 7} in place of the duration "
            "(and 1 more like it in the coming year)",
            id="a week over a clock change",
        ),
        pytest.param(
            "w: {cron: '0 20 * * sun', duration: 5d, tru: 4, timezone: Africa/Cairo}",
            "whole-days",
            "from Sun 2027-04-25 20:00 it lasts 120h and ends at 21:00",
            id="five days to a Friday",
        ),
        pytest.param(
            "w: {cron: '30 2 * * *', duration: 1h, tru: 4}",
            "clock-change",
            "on Sun 2027-03-28 02:30 is skipped by the clock; starts 03:30, at "
            "2027-03-28T01:30:00Z (and 1 more like it in the coming year)",
            id="both clock changes",
        ),
        pytest.param(
            "w: {cron: '30 2 * 10 *', duration: 1h, tru: 4}",
            "clock-change",
            "on Sun 2027-10-31 02:30 is shown twice; the first counts, at 2027-10-31T00:30:00Z",
            id="the repeated hour",
        ),
        pytest.param(
            "w: {cron: '0 9 * * *', duration: 1h, tru: 4, to: 2027-06-30}",
            "recurrence-ends",
            "its last start is on 2027-06-30",
            id="a cron that ends",
        ),
        pytest.param(
            "w: {rrule: FREQ=WEEKLY;COUNT=3, start: 2027-01-04T09:00, duration: 1h, tru: 4}",
            "recurrence-ends",
            "its last start is on 2027-01-18",
            id="a rule of three",
        ),
        pytest.param(
            "w: {rrule: FREQ=WEEKLY;UNTIL=20270118T235959, start: 2027-01-04T09:00, "
            "duration: 1h, tru: 4}",
            "recurrence-ends",
            "its last start is on 2027-01-18",
            id="a rule until",
        ),
        pytest.param(
            "w: {dates: [2026-11-02T09:00], duration: 1h, tru: 4}",
            "window-over",
            "its last start was on 2026-11-02; remove it",
            id="a date that has passed",
        ),
        pytest.param(
            "w: {dates: [2016-11-02T09:00], duration: 1h, tru: 4}",
            "window-over",
            "nothing of it is left to come",
            id="a date long past",
        ),
        pytest.param(
            "w: {dates: [2026-09-01T09:00, 2026-10-01T09:00, 2026-11-01T09:00, "
            "2026-12-01T09:00], duration: 1h, tru: 4}",
            "horizon-low",
            "its dates run out on 2026-12-01",
            id="a series of dates that runs out",
        ),
    ],
)
def test_a_window_that_deserves_a_second_look(
    window: str, code: str, words: str, tmp_path: Path
) -> None:
    """One reason: one warning, at the window's line, that says what will happen."""
    ((found, line, message),) = of_window(tmp_path, window)
    assert (found, line) == (code, 5)
    assert message.startswith("window 'w'")
    assert words in message


@pytest.mark.parametrize(
    "window",
    [
        pytest.param(QUIET, id="business hours"),
        pytest.param("w: {cron: '0 * * * *', duration: 30m, tru: 4}", id="every real hour"),
        pytest.param("w: {cron: '0 22 * * *', until: 06:00, tru: 4}", id="over the changes"),
        pytest.param("w: {dates: [2027-06-01T09:00], duration: 1h, tru: 4}", id="one occasion"),
        pytest.param("w: {ical: x.ics, tru: 4}", id="one event"),
        pytest.param("w: {cron: '0 9 13 * 5', day_match: any, duration: 1h, tru: 4}", id="needed"),
        pytest.param(
            "w: {rrule: FREQ=WEEKLY;COUNT=300, start: 2027-01-04T09:00, duration: 1h, tru: 4}",
            id="an end far ahead",
        ),
        pytest.param("w: {cron: '0 9 * * *', duration: 2m, lead: 2m, tru: 4}", id="just in time"),
    ],
)
def test_a_window_that_is_fine(window: str, tmp_path: Path) -> None:
    """What works as written, and looks as if meant, is passed over in silence."""
    assert of_window(tmp_path, window) == []


def test_a_demand_within_the_baseline(tmp_path: Path) -> None:
    """A max window that asks for no more than the baseline does nothing; one that adds does."""
    head = HEAD + "baseline: {tru: 4}\n"
    ((code, line, message),) = of_window(
        tmp_path,
        "w: {cron: '0 9 * * *', duration: 1h, tru: 4}",
        "x: {cron: '0 9 * * *', duration: 2h, tru: 2, combine: add}",
        head=head,
    )
    assert (code, line) == ("needless-boost", 6)
    assert "no more than the baseline of 4 TRU" in message


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        pytest.param(
            ("a: {cron: '0 9 * * 1', duration: 1h, tru: 4}",
             "b: {cron: '0 8 * * *', duration: 3h, tru: 6}"),
            ["a"],
            id="within a higher one",
        ),
        pytest.param(
            ("a: {cron: '0 9 * * *', duration: 1h, tru: 4}",
             "b: {cron: '0 9 * * *', duration: 1h, tru: 4}"),
            ["b"],
            id="two that are the same: the later name",
        ),
        pytest.param(
            ("a: {cron: '0 9 * * *', duration: 2h, tru: 4}",
             "b: {cron: '0 9,10 * * *', duration: 1h, tru: 4}"),
            ["b"],
            id="covered by runs that meet",
        ),
        pytest.param(
            ("a: {cron: '0 9 * * *', duration: 2h, tru: 4}",
             "b: {cron: '0 9 * * *', duration: 1h, tru: 6}"),
            [],
            id="longer, or higher",
        ),
        pytest.param(
            ("a: {cron: '0 9 * * *', duration: 1h, tru: 4, combine: add}",
             "b: {cron: '0 8 * * *', duration: 3h, tru: 6}"),
            [],
            id="one that adds",
        ),
        pytest.param(
            ("a: {cron: '0 9 * * *', duration: 1h, tru: 4}",
             "b: {cron: '0 8 * * *', duration: 3h, tru: 6, paused: true}"),
            [],
            id="by one that is paused",
        ),
        pytest.param(
            ("a: {cron: '0 9 * * *', duration: 1h, tru: 4}",
             "b: {cron: '0 8 * * mon-fri', duration: 3h, tru: 6}"),
            [],
            id="on weekdays only",
        ),
    ],
)  # fmt: skip
def test_windows_that_are_always_covered(
    windows: tuple[str, ...], expected: list[str], tmp_path: Path
) -> None:
    """A max window is told exactly where another one makes it needless, all the time."""
    found = of_window(tmp_path, *windows)
    assert [message.split("'")[1] for code, _, message in found] == expected
    assert {code for code, _, _ in found} <= {"always-covered"}


@pytest.mark.parametrize(
    ("baseline", "other", "warns"),
    [
        pytest.param("", "", True, id="nothing else, nothing declared"),
        pytest.param("baseline: on-demand\n", "", True, id="on-demand is no level"),
        pytest.param("baseline: {tru: 3}\n", "", False, id="on a baseline"),
        pytest.param("", "o: {cron: '59 9 * * *', duration: 1h, tru: 4}", False, id="overlaps"),
        pytest.param("", "o: {cron: '0 10 * * *', duration: 1h, tru: 4}", True, id="only touches"),
        pytest.param(
            "", "o: {cron: '0 9 * * *', duration: 1h, tru: 4, paused: true}", True, id="paused"
        ),
    ],
)
def test_a_window_that_adds_to_nothing(
    baseline: str, other: str, warns: bool, tmp_path: Path
) -> None:
    """It is named where nothing is below it, on any day of the coming year."""
    adding = "a: {cron: '0 9 * * *', duration: 1h, tru: 4, combine: add}"
    windows = (adding, other) if other else (adding,)
    found = of_window(tmp_path, *windows, head=HEAD + baseline)
    assert [code for code, _, _ in found] == ["adds-to-nothing"] * warns


def test_windows_that_add_up_to_more_than_can_be_had(tmp_path: Path) -> None:
    """The first time is named, with what is asked for and what is granted."""
    ((code, _, message),) = of_window(
        tmp_path,
        "a: {cron: '0 9 * * *', duration: 2h, tru: 8}",
        "b: {cron: '0 10 1 * *', duration: 2h, tru: 6, combine: add}",
    )
    assert code == "capped"
    assert "at 2026-12-01T09:00:00Z a, b ask for 14 TRU together; they get 12 TRU" in message


def crowd(count: int, keys: str = "lead: 10m", minutes: int = 0) -> dict[str, str]:
    """Return calendars of *count* namespaces that boost at midnight, *minutes* apart."""
    return {
        f"n{index:02}.yaml": calendar(
            f"w: {{cron: '{index * minutes} 0 * * *', duration: 1h, tru: 4, {keys}}}",
            head=f"namespace: n{index:02}.b1\n",
        )
        for index in range(count)
    }


@pytest.mark.parametrize(
    ("count", "keys", "ready", "verdict", "lead"),
    [
        pytest.param(11, "lead: 10m", "23:54:00Z", "in time", "4m", id="eleven, in time"),
        pytest.param(11, "lead: 3m", "00:01:00Z", "1 min late", "4m", id="eleven, late"),
        pytest.param(40, "lead: 5m", "00:03:00Z", "3 min late", "8m", id="forty, four deep"),
    ],
)
def test_a_crowd_at_midnight(
    count: int, keys: str, ready: str, verdict: str, lead: str, tmp_path: Path
) -> None:
    """More than ten at once: when the last one is ready, and which lead or jitter would do."""
    ((code, line, message),) = warned(project(tmp_path, crowd(count, keys)))
    assert (code, line) == ("crowded", 3)
    assert message.startswith(f"{count} namespaces are raised within 5 minutes of ")
    assert f"{ready}, {verdict};" in message
    assert f"lead: {lead} is enough for all of them, or spread them with jitter: {lead}" in message


@pytest.mark.parametrize(
    ("files", "why"),
    [
        pytest.param(crowd(10), "ten fit", id="ten"),
        pytest.param(crowd(12, minutes=2), "the next ten come later", id="two minutes apart"),
        pytest.param(crowd(12, "paused: true"), "nobody asks", id="paused"),
    ],
)
def test_no_crowd(files: dict[str, str], why: str, tmp_path: Path) -> None:
    """Ten at a time are what the API does."""
    assert warned(project(tmp_path, files)) == [], why


def test_the_lead_that_is_recommended_would_do(tmp_path: Path) -> None:
    """With the lead from the message the last namespace is ready in time."""
    ((_, _, message),) = warned(project(tmp_path, crowd(25, "lead: 6m")))
    assert "in time" in message
    assert "lead: 6m is enough" in message


def test_a_window_of_many_calendars(tmp_path: Path) -> None:
    """Dates that share no time of day take a calendar each, which is told in time."""
    dates = [f"2027-{n % 12 + 1:02}-{n % 28 + 1:02}T{n % 24:02}:{n % 59:02}" for n in range(280)]
    window = f"w: {{dates: [{', '.join(dates)}], duration: 1h, tru: 4}}"
    ((code, line, message),) = of_window(tmp_path, window)
    assert (code, line) == ("many-calendars", 5)
    assert "calendars of at most 1000" in message


def test_holidays_that_run_out(tmp_path: Path) -> None:
    """A file of days off that knows none ahead is named, if anything depends on it."""
    days = ICS.replace("DTSTART:20270601T090000Z", "DTSTART;VALUE=DATE:20261224").replace(
        "DTEND:20270601T110000Z\n", ""
    )
    uses = "w: {cron: '0 9 15 * *', roll: next, duration: 1h, tru: 4, holidays: days.ics}"
    unused = "w: {cron: '0 9 15 * *', duration: 1h, tru: 4, holidays: days.ics}"
    ((code, _, message),) = warned(project(tmp_path, {"a.yaml": calendar(uses), "days.ics": days}))
    assert code == "horizon-low"
    assert "the days of days.ics run out on 2026-12-24" in message
    assert warned(project(tmp_path, {"a.yaml": calendar(unused)})) == []


def test_a_calendar_without_windows(tmp_path: Path) -> None:
    """A namespace that is never boosted is told at its own line."""
    found = warned(project(tmp_path, {"a.yaml": "# x\nnamespace: a.b1\nwindows: {}\n"}))
    assert [(code, line) for code, line, _ in found] == [("no-windows", 2)]


def test_warnings_do_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    """The same calendars in differently named files have the same warnings."""
    files = crowd(12)
    turned = dict(zip(sorted(files, reverse=True), files.values(), strict=True))
    one = warned(project(tmp_path / "one", files))
    other = warned(project(tmp_path / "other", turned))
    assert [each[2] for each in one] == [each[2] for each in other]


# Guard rails that occurrences break --------------------------------------------------


@pytest.mark.parametrize(
    ("rails", "window", "words"),
    [
        pytest.param(
            "max_duration: 10h",
            "w: {cron: '0 20 * * *', until: 06:30, tru: 4}",
            "on 2026-11-21 it lasts 10h30m, longer than the guard rail max_duration: 10h",
            id="until by the clock",
        ),
        pytest.param(
            "max_duration: 8h",
            "w: {cron: '0 22 * * *', until: 06:00, tru: 4}",
            "on 2027-10-30 it lasts 9h, longer than",
            id="the one long night",
        ),
        pytest.param(
            "max_duration: 90m",
            "w: {ical: x.ics, tru: 4}",
            "on 2027-06-01 it lasts 2h, longer than",
            id="an event",
        ),
        pytest.param(
            "max_boost_hours_per_month: 61.5",
            "w: {cron: '0 9 * * *', duration: 2h, tru: 4}",
            "namespace 'a.b1' is boosted 62 hours in 2026-12, more than",
            id="hours of a month",
        ),
    ],
)
def test_guard_rails_that_occurrences_break(
    rails: str, window: str, words: str, tmp_path: Path
) -> None:
    """What only shows when a window runs is a problem all the same."""
    head = HEAD + f"guard_rails: {{{rails}}}\n"
    found = project(tmp_path, {"a.yaml": calendar(window, head=head), "x.ics": ICS})
    (problem,) = inspect(found, TODAY).problems
    assert words in problem.message


def test_guard_rails_that_are_just_kept(tmp_path: Path) -> None:
    """A limit is what is still allowed; hours that overlap, and paused ones, don't add up."""
    head = HEAD + "guard_rails: {max_duration: 2h, max_boost_hours_per_month: 62}\n"
    windows = (
        "w: {cron: '0 9 * * *', duration: 2h, tru: 4}",
        "v: {cron: '0 10 * * *', duration: 1h, tru: 6}",
        "p: {cron: '0 13 * * *', duration: 1h, tru: 6, paused: true}",
    )
    found = project(tmp_path, {"a.yaml": calendar(*windows, head=head)})
    assert inspect(found, TODAY).problems == ()


def test_a_window_that_no_schedule_can_hold(tmp_path: Path) -> None:
    """What can't be compiled or expanded is a problem of validate, with its place."""
    often = "w: {cron: '* * * * *', duration: 1m, lead: 1m, tru: 4, skip: holidays}"
    found = inspect(project(tmp_path, {"a.yaml": calendar(often)}), TODAY)
    assert found.problems
    assert {(problem.line, Path(problem.file).name) for problem in found.problems} == {
        (5, "a.yaml")
    }


def test_windows_that_run_more_often_than_can_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too much is refused at the window that runs most often; there are no warnings then."""
    monkeypatch.setattr(module, "FEW_RUNS", 40_000)
    found = project(
        tmp_path,
        {
            "a.yaml": calendar(
                "often: {cron: '*/20 * * * *', duration: 1m, tru: 4}",
                "less: {cron: '*/30 * * * *', duration: 1m, tru: 4}",
            )
        },
    )
    result = inspect(found, TODAY)
    assert result.lints == ()
    (problem,) = result.problems
    assert (problem.line, problem.message) == (
        5,
        "window 'often' runs 28,800 times in 400 days, and with the others more than 40,000 "
        "times; start it less often, and let it last longer",
    )


@pytest.mark.parametrize(
    ("windows", "most"),
    [(1, 400_000), (40, 400_000), (96, 960_000), (100, 1_000_000), (1_500, 1_500_000)],
    ids=["one", "a few", "hourly", "a hundred hourly", "very many, twice a day"],
)
def test_many_windows_may_run_more_often_together(windows: int, most: int) -> None:
    """What may run grows with the number of windows, and never falls below a daily one each."""
    assert module.most_runs(windows) == most


def test_what_all_may_run_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit itself is allowed, one more run is not."""
    daily = [f"w{n}: {{cron: '0 9 * * *', duration: 1h, tru: {4 + 2 * n}}}" for n in range(2)]
    found = project(tmp_path, {"a.yaml": calendar(*daily)})
    monkeypatch.setattr(module, "most_runs", {2: 800}.get)
    assert inspect(found, TODAY).problems == ()
    monkeypatch.setattr(module, "most_runs", {2: 799}.get)
    (problem,) = inspect(found, TODAY).problems
    assert "with the others more than 799 times" in problem.message


CRON_DIALECT = [
    # 1 January 2027 is a Friday, 15 January the third one, 28 February a Sunday.
    pytest.param("0 9 13 * fri", "all", "Fri 2027-01-01 at 09:00", False, id="both day fields"),
    pytest.param("0 9 */2 * mon", "all", "Fri 2027-01-01 at 09:00", False, id="a starred step"),
    pytest.param("0 9 31W * *", None, "Fri 2027-02-26 at 09:00", False, id="31W in February"),
    pytest.param("0 9 15 * fri#3", "any", "Mon 2027-02-15 at 09:00", True, id="# beside a day"),
    pytest.param("0 9 15W * fri", "any", "Fri 2027-01-01 at 09:00", True, id="W beside a weekday"),
    pytest.param("0 9 1-1 * *", None, "Sat 2027-01-02 at 09:00", False, id="a range of one day"),
    pytest.param("0 9-9 1 * *", None, "Fri 2027-01-01 at 00:00", False, id="a range of one hour"),
]


@pytest.mark.parametrize(("cron", "day_match", "when", "ours"), CRON_DIALECT)
def test_cron_dialect(
    tmp_path: Path, cron: str, day_match: str | None, when: str, ours: bool
) -> None:
    """A cron that croniter reads differently is warned about with the first such time."""
    match = f", day_match: {day_match}" if day_match else ""
    window = f"w: {{cron: '{cron}'{match}, duration: 1h, tru: 4}}"
    found = warned(project(tmp_path, {"a.yaml": calendar(window)}), date(2027, 1, 1))
    [(line, message)] = [each[1:] for each in found if each[0] == "cron-dialect"]
    does = "this window starts, there it doesn't" if ours else "this window doesn't start, there it"
    assert line == 5
    assert f"reads cron '{cron}' differently: on {when} {does}" in message


@pytest.mark.parametrize(
    ("cron", "day_match"),
    [
        pytest.param("0 9 13 * fri", "any", id="either, as croniter has it"),
        pytest.param("0 9 L * *", None, id="L"),
        pytest.param("0 9 15W * *", None, id="15W"),
        pytest.param("0 9 * * fri#3", None, id="fri#3"),
        pytest.param("5/15 9 * * *", None, id="a step from a value"),
        pytest.param("0 9 5/7 * *", None, id="a day's step from a value"),
        pytest.param("0 9 LW * *", None, id="LW, which croniter refuses"),
        pytest.param("0 9 L-2 * *", None, id="L-2, which croniter refuses"),
        pytest.param("0 9 * * friL", None, id="friL, which croniter refuses"),
    ],
)
def test_no_cron_dialect(tmp_path: Path, cron: str, day_match: str | None) -> None:
    """Where croniter agrees, or refuses at once, there is nothing to say."""
    match = f", day_match: {day_match}" if day_match else ""
    window = f"w: {{cron: '{cron}'{match}, duration: 1h, tru: 4}}"
    assert of_window(tmp_path, window) == []


def test_plain_crons_need_no_croniter(tmp_path: Path) -> None:
    """A calendar of plain crons is checked without importing croniter."""
    (tmp_path / "planner.yaml").write_text("project: p\n")
    (tmp_path / "a.yaml").write_text(calendar(QUIET, "v: {cron: '@daily', duration: 1h, tru: 4}"))
    script = (
        "import sys\n"
        "from datetime import date\n"
        "from pathlib import Path\n"
        "from planner.lints.inspect import inspect\n"
        "from planner.config.load import read\n"
        f"inspect(read(Path({str(tmp_path)!r})), date(2027, 1, 1))\n"
        "print('croniter' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
