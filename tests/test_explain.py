from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from forecast_helpers import (
    HOUR,
    MINUTE,
    NAMESPACE,
    START,
    at,
    baselines,
    calendar,
    daily,
    step_at,
    window,
    windows,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from ical_helpers import ics

from planner.cli.app import horizon_of, instant_of
from planner.cli.main import exit_code_of
from planner.forecast.timeline import explain, reasons_of, timeline
from planner.model import (
    BusinessDays,
    Cron,
    Duration,
    GuardRails,
    Holidays,
    Horizon,
    Ical,
    IcalMatch,
    Skip,
    Window,
)
from planner.render.preview import explain_json, explain_text
from planner.schedules.compile import note_of
from workflows.contract import Capacity

LONG = window("long", ("2027-01-04 08:00", "2027-01-04 12:00"))
SHORT = window("short", ("2027-01-04 09:00", "2027-01-04 10:00"), tru=8)
ADDED = window("added", ("2027-01-04 09:00", "2027-01-04 10:00"), tru=2, combine="add")


EVENTS = ics("DTSTART:20270301T090000Z DTEND:20270301T110000Z SUMMARY:Go-live")


def reasons(when: str, *each: Window, **fields: object) -> tuple[str, ...]:
    """Return by which rules the capacity at *when* comes about."""
    return reasons_of(explain(calendar(*each, **fields), at(when)).requested)


def said(when: str, *each: Window, only: str = "", **fields: object) -> str:
    """Return the whole explanation on one line."""
    text = explain_text(explain(calendar(*each, **fields), at(when)), only)
    assert max(map(len, text.splitlines())) <= 80
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2027-01-04 08:30", ("long needs 4 TRU",)),
        (
            "2027-01-04 09:30",
            ("short needs 8 TRU, the highest of 2", "on top of that: added 2 TRU"),
        ),
        ("2027-01-04 12:00", ("no window runs: the baseline is in force",)),
    ],
    ids=["one window", "the highest and what adds", "after the end, which is exclusive"],
)
def test_the_windows_that_make_it_so_are_named(when: str, expected: tuple[str, ...]) -> None:
    """The reasons name what sets the level and what comes on top."""
    assert reasons(when, LONG, SHORT, ADDED) == expected


def test_what_adds_to_nothing_is_not_on_top_of_anything() -> None:
    """Where only windows run that add, they are told as what asks, alone or added up."""
    assert reasons("2027-01-04 09:30", ADDED) == ("added needs 2 TRU",)
    more = window("more", *_spans(ADDED), tru=4, combine="add")
    assert reasons("2027-01-04 09:30", ADDED, more) == ("added 2 TRU and more 4 TRU, added up",)


def test_what_adds_to_the_baseline_says_so() -> None:
    """A declared baseline is what it comes on top of, unless a window runs that is higher."""
    five = reasons("2027-01-04 09:30", ADDED, baseline=Capacity(3))
    assert five == (
        "on top of the baseline of 3 TRU: added 2 TRU",
        "5 TRU rounded up to 6, the next allowed value",
    )
    low = window("low", *_spans(ADDED), tru=2)
    assert reasons("2027-01-04 09:30", ADDED, low, baseline=Capacity(3)) == five
    high = reasons("2027-01-04 09:30", ADDED, SHORT, baseline=Capacity(3))
    assert high == ("short needs 8 TRU", "on top of that: added 2 TRU")


def test_caps_and_rounding_are_said() -> None:
    """Where a rail holds the target back or lifts it, the reason says so."""
    capped = reasons("2027-01-04 09:30", SHORT, guard_rails=GuardRails(max_tru=6))
    assert capped[-1] == "8 TRU requested, 6 allowed at most"
    rounded = reasons(
        "2027-01-04 09:30", SHORT, window("one", *_spans(SHORT), tru=1, combine="add")
    )
    assert rounded[-1] == "9 TRU rounded up to 10, the next allowed value"


def _spans(each: Window) -> list[tuple[str, str]]:
    return [
        (str(span.start), str(span.end))
        for span in each.recurrence.spans  # type: ignore[union-attr]
    ]


def test_the_next_transition_is_told() -> None:
    """What comes next is the next change of capacity, with its own reason."""
    text = said("2027-01-04 09:30", LONG, SHORT)
    assert "Next: 4 TRU from Mon 04 Jan 2027 10:00 UTC: long needs 4 TRU." in text


def test_nothing_ahead_is_said() -> None:
    """After the last run nothing changes any more."""
    assert "Nothing changes in the 400 days after it." in said("2027-01-05 00:00", LONG)


def test_in_the_lead_it_is_being_made_ready() -> None:
    """Between firing and start the capacity is requested, and the window not open yet."""
    early = daily("early", "2027-01-04 08:00", 1, 2, lead=10 * MINUTE, jitter=2 * MINUTE)
    text = said("2027-01-04 07:55", early)
    assert "It is being made ready: on-demand is what open windows need." in text
    assert "early: 4 TRU, requested and not open yet" in text
    assert (
        "its schedule fires Mon 04 Jan 2027 07:48 UTC: 10m of lead and up to 2m of jitter" in text
    )


def payroll(**fields: object) -> Window:
    """Return payroll on the 15th, else the business day before it."""
    defaults: dict[str, object] = {
        "namespace": NAMESPACE,
        "name": "payroll",
        "recurrence": Cron(("0 5 15 * *",)),
        "tru": 8,
        "asked": "8 TRU",
        "length": Duration(4 * HOUR),
        "roll": "previous",
        "holidays": Holidays(regions=("US",)),
    }
    return Window(**{**defaults, **fields})  # type: ignore[arg-type]


def test_a_roll_is_explained_on_the_day_it_moved_to() -> None:
    """The run on Friday says that it stands in for Saturday."""
    assert "rolled from Sat 2027-05-15 to Fri 2027-05-14" in said("2027-05-14 06:00", payroll())


@pytest.mark.parametrize(
    ("when", "each", "why"),
    [
        ("2027-05-15 06:00", payroll(), "rolled from Sat 2027-05-15 to Fri 2027-05-14"),
        (
            "2027-05-31 06:00",
            payroll(recurrence=Cron(("0 5 31 * *",)), roll="none", skip=Skip(holidays=True)),
            "Memorial Day",
        ),
        ("2027-05-13 06:00", payroll(), "nothing starts on Thu 2027-05-13"),
        ("2027-05-14 12:00", payroll(), "on this day it runs Fri 14 May 2027, 05:00–09:00 UTC"),
        ("2027-05-14 06:00", payroll(paused=True), "paused in the file"),
    ],
    ids=["rolled away", "a holiday by name", "not its day", "over for today", "paused"],
)
def test_a_window_that_does_not_run_says_why_not(when: str, each: Window, why: str) -> None:
    """For a window without a run the local day's story says what became of it."""
    text = said(when, each)
    assert "Windows that do not run now" in text
    assert why in text


def test_one_window_can_be_asked_about_alone() -> None:
    """The lists hold the named window only, by either name; the capacity stays the whole."""
    text = said("2027-01-04 09:30", LONG, SHORT, only=f"{NAMESPACE}/long")
    assert "long: 4 TRU" in text
    assert "short: 8 TRU" not in text
    assert "8 TRU: short needs 8 TRU, the highest of 2." in text


@pytest.mark.parametrize(
    ("each", "rule"),
    [
        (payroll(), "cron 0 5 15 * *, roll previous for 4h UTC"),
        (
            payroll(recurrence=Cron(("0 0 13 * 5",), "all"), roll="none"),
            "cron 0 0 13 * 5 (day_match all) for 4h UTC",
        ),
        (
            payroll(recurrence=BusinessDays((3, -1), time(7)), roll="none"),
            "business_days 3, -1 at 07:00 for 4h UTC",
        ),
        (
            payroll(
                recurrence=BusinessDays((3,), time(7), (3, 6)),
                length=Duration(36 * HOUR),
                roll="none",
            ),
            "business_days 3 in mar, jun at 07:00 for 36h UTC",
        ),
        (
            payroll(
                recurrence=Ical(EVENTS, IcalMatch(summary="Go-live")),
                length=None,
                roll="none",
            ),
            "events of team.ics with summary Go-live UTC",
        ),
        (
            payroll(roll="none", skip=Skip(weekends=True, calendars=(EVENTS,))),
            "cron 0 5 15 * *, skip weekends, team.ics for 4h UTC",
        ),
        (LONG, "dates 2027-01-04 08:00 to 2027-01-04 12:00 UTC"),
    ],
    ids=[
        "cron and roll",
        "both day fields",
        "business days",
        "business days of some months",
        "a match of events",
        "skips",
        "dates",
    ],
)
def test_a_rule_is_worded_as_in_the_note_of_its_schedule(each: Window, rule: str) -> None:
    """Text, JSON and note have the same wording, which leaves nothing of the file out."""
    explained = explain(calendar(each), at("2027-01-04 00:00"))
    assert f"rule: {rule}" in said("2027-01-04 00:00", each)
    (found,) = json.loads(explain_json(explained))["windows"]
    assert found["rule"] == rule
    assert rule in note_of(each)


@given(windows(), baselines, st.integers(0, 4319))
@settings(max_examples=40, deadline=None)
def test_an_explanation_agrees_with_the_timeline(
    drawn: list[Window], baseline: object, minute: int
) -> None:
    """At any instant both views of the explanation are the steps of the timeline."""
    namespace = calendar(*drawn, baseline=baseline)
    instant = START + minute * MINUTE
    span = Horizon(START, START + timedelta(days=3))
    explained = explain(namespace, instant)
    for step, view in ((explained.requested, "requested"), (explained.promised, "promised")):
        expected = step_at(timeline(namespace, span, view), instant)  # type: ignore[arg-type]
        assert step.target == expected.target
    names = {each.occurrence.window.name for each in explained.active}
    names |= {each.window.name for each in explained.inactive}
    assert names == {each.name for each in drawn}


# The commands --------------------------------------------------------------------------

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def test_a_preview_begins_today_unless_told_otherwise() -> None:
    """Without options it is the days from midnight on; --to wins over --days."""
    assert horizon_of("", "", 35, NOW) == Horizon(at("2026-11-21"), at("2026-12-26"))
    assert horizon_of("2027-01-01", "2027-02-01", 35, NOW) == Horizon(
        at("2027-01-01"), at("2027-02-01")
    )


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2027-01-31", "UTC", "2027-01-31 00:00"),
        ("2027-01-31T18:00Z", "America/New_York", "2027-01-31 18:00"),
        ("2027-01-31T18:00", "America/New_York", "2027-01-31 23:00"),
        ("2027-01-31T18:00+02:00", "UTC", "2027-01-31 16:00"),
        ("2027-01-31", "America/New_York", "2027-01-31 05:00"),
    ],
)
def test_times_on_the_command_line(text: str, zone: str, expected: str) -> None:
    """A time without an offset is read by the given zone's clock."""
    assert instant_of(text, "--at", zone) == at(expected)


@pytest.mark.parametrize("text", ["tomorrow", "2027-13-01", "", "99999-01-01"])
def test_a_bad_time_is_refused_with_a_good_one(text: str) -> None:
    """The sentence names the option, the bad value and a good one."""
    with pytest.raises(typer.BadParameter, match=r"--at '.*' is not a time; write 2027-01-31"):
        instant_of(text, "--at")


@pytest.mark.parametrize(
    "text", ["9999-12-31", "9999-12-31T00:00", "2101-01-01", "1999-12-31T23:59Z", "0001-01-01"]
)
def test_a_time_in_a_year_that_no_calendar_knows(text: str) -> None:
    """Its neighbours may be beyond what can be computed with."""
    with pytest.raises(typer.BadParameter, match=r"--at '.*' is outside the years 2000 to 2100"):
        instant_of(text, "--at")
    with pytest.raises(typer.BadParameter, match=r"--from '.*' is outside the years"):
        horizon_of(text, "", 35, NOW)
    assert instant_of("2100-12-31T23:59", "--at").year == 2100


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with one calendar in it."""
    (tmp_path / "planner.yaml").write_text("project: acme\n")
    (tmp_path / "payments.yaml").write_text(
        "namespace: payments-prod.a1b2c\n"
        "timezone: America/New_York\n"
        "windows:\n"
        '  payroll: {cron: "0 5 15 * *", duration: 4h, tru: 8}\n'
    )
    return tmp_path


def test_preview_prints_what_was_asked_for(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stdout is JSON and nothing else, for just the days that were named."""
    arguments = ["preview", str(directory), "--from", "2027-01-01", "--days", "31"]
    assert exit_code_of([*arguments, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["start"] for each in document["occurrences"]] == ["2027-01-15T10:00:00Z"]
    assert (document["from"], document["to"]) == ("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z")


@pytest.mark.parametrize(
    ("output", "head"),
    [("text", "acme: Fri 01 Jan"), ("html", "<!doctype"), ("svg", "<svg"), ("ics", "BEGIN:VCAL")],
)
def test_every_format_can_be_asked_for(
    directory: Path, capsys: pytest.CaptureFixture[str], output: str, head: str
) -> None:
    """Each format begins as its kind does."""
    arguments = ["preview", str(directory), "--from", "2027-01-01", "--format", output]
    assert exit_code_of(arguments) == 0
    assert capsys.readouterr().out.startswith(head)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--from", "2027-02-01", "--to", "2027-01-01"], "must be after --from"),
        (["--window", "pay-roll"], "did you mean 'payroll'?"),
        (["--namespace", "payments-prod.a1b2x"], "did you mean 'payments-prod.a1b2c'?"),
        (["--namespace", "zzz"], "no namespace 'zzz' in the calendars, which have payments-prod"),
        (["--from", "2027-01-01", "--to", "2047-01-01"], "3660 days apart at most"),
    ],
)
def test_bad_options_are_usage_errors(
    directory: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """The exit code is 64, and the sentence names a good value."""
    assert exit_code_of(["preview", str(directory), *arguments]) == 64
    assert sentence in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_explain_reads_times_by_the_namespace_s_clock(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an offset, --at is a time on the wall of the namespace's zone."""
    code = exit_code_of(
        ["explain", "payments-prod.a1b2c", str(directory), "--at", "2027-01-15T06:00"]
    )
    assert code == 0
    printed = capsys.readouterr().out
    assert "Fri 15 Jan 2027 06:00 EST (11:00Z)" in printed
    assert "8 TRU: payroll needs 8 TRU." in printed


def test_explain_says_what_the_clock_does_at_the_time_asked_for(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A time that is skipped or shown twice is read in one way, and told on stderr."""
    ask = ["explain", "payments-prod.a1b2c", str(directory), "--at"]
    assert exit_code_of([*ask, "2027-03-14T02:30"]) == 0
    skipped = capsys.readouterr()
    assert "the clock skips 02:30 on Sun 14 Mar 2027; read as 03:30" in skipped.err
    assert "Sun 14 Mar 2027 03:30 EDT" in skipped.out
    assert exit_code_of([*ask, "2026-11-01T01:30"]) == 0
    twice = capsys.readouterr()
    assert "shows 01:30 twice" in twice.err
    assert "--at 2026-11-01T06:30Z is the second" in twice.err
    assert "Sun 01 Nov 2026 01:30 EDT (05:30Z)" in twice.out
    assert exit_code_of([*ask, "2026-11-01T06:30Z"]) == 0
    plain = capsys.readouterr()
    assert (plain.err, "01:30 EST (06:30Z)" in plain.out) == ("", True)


def test_a_run_later_on_the_day_is_told_once() -> None:
    """Where the next run is one of the same day, it isn't told again as the next one."""
    text = said("2027-01-04 07:00", LONG)
    assert "on this day it runs Mon 04 Jan 2027, 08:00–12:00 UTC (4h)" in text
    assert "next run" not in text


# As JSON ------------------------------------------------------------------------------


def told(when: str, *each: Window, only: str = "", **fields: object) -> dict[str, Any]:
    """Return the explanation as programs read it."""
    document: dict[str, Any] = json.loads(
        explain_json(explain(calendar(*each, **fields), at(when)), only)
    )
    return document


def test_json_is_the_documented_explanation() -> None:
    """What is in force, why, what comes next, and each window with its state."""
    early = window("early", ("2027-01-04 10:00", "2027-01-04 11:00"), lead=15 * MINUTE)
    document = told("2027-01-04 09:50", LONG, SHORT, ADDED, early)
    windows = document.pop("windows")
    assert document == {
        "format_version": 1,
        "namespace": NAMESPACE,
        "timezone": "UTC",
        "at": "2027-01-04T09:50:00Z",
        "baseline": {"tru": None, "declared": False},
        "now": {
            "tru": 10,
            "asked_tru": 10,
            "falls_short": False,
            "reasons": ["short needs 8 TRU, the highest of 3", "on top of that: added 2 TRU"],
        },
        "promised_tru": 10,
        "next": {
            "at": "2027-01-04T10:00:00Z",
            "tru": 4,
            "asked_tru": 4,
            "falls_short": False,
            "reasons": ["long needs 4 TRU, the highest of 2"],
        },
        "fleets": [],
    }
    states = [(each["window"], each["state"]) for each in windows]
    assert sorted(states) == [
        ("added", "open"),
        ("early", "ahead"),
        ("long", "open"),
        ("short", "open"),
    ]
    (ahead,) = (each for each in windows if each["window"] == "early")
    assert ahead["run"] == {
        "start": "2027-01-04T10:00:00Z",
        "end": "2027-01-04T11:00:00Z",
        "fires": "2027-01-04T09:45:00Z",
        "notes": [],
    }


def test_json_says_why_a_window_does_not_run() -> None:
    """On a holiday that it skips: the reason, no run of that day, and the next one."""
    skipping = Window(
        namespace=NAMESPACE,
        name="payroll",
        recurrence=Cron(("0 9 * * 1-5",)),
        length=Duration(2 * HOUR),
        tru=4,
        asked="4 TRU",
        skip=Skip(holidays=True),
        holidays=Holidays(regions=("US",)),
    )
    (found,) = told("2027-07-05 09:30", skipping)["windows"]
    assert (found["state"], found["run"], found["runs_on_day"]) == ("closed", None, [])
    assert any("Independence Day" in reason for reason in found["reasons"])
    assert found["next"]["start"] == "2027-07-06T09:00:00Z"
    assert found["rule"] == "cron 0 9 * * 1-5, skip holidays for 2h UTC"


def test_json_tells_a_paused_window_and_one_alone() -> None:
    """What is paused says so; with a name the others are left out."""
    paused = window("paused", *_spans(LONG), paused=True)
    assert [each["state"] for each in told("2027-01-04 08:30", paused)["windows"]] == ["paused"]
    only = told("2027-01-04 09:30", LONG, SHORT, only="short")
    assert [each["window"] for each in only["windows"]] == ["short"]
    assert only["now"]["tru"] == 8


@given(windows(), baselines, st.integers(0, 4319))
@settings(max_examples=30, deadline=None)
def test_json_has_every_window_once(
    drawn: list[Window], baseline: Capacity | None, minute: int
) -> None:
    """Each window is there in one state, and those that count make up the request."""
    namespace, instant = calendar(*drawn, baseline=baseline), START + minute * MINUTE
    document = json.loads(explain_json(explain(namespace, instant)))
    assert {each["window"] for each in document["windows"]} == {each.name for each in drawn}
    counting = [each for each in document["windows"] if each["state"] in ("open", "ahead")]
    assert bool(counting) == bool(document["now"]["asked_tru"])
    assert all(each["run"] for each in counting)


def test_explain_prints_json(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout is JSON and nothing else."""
    ask = ["explain", "payments-prod.a1b2c", str(directory), "--at", "2027-01-15T06:00"]
    assert exit_code_of([*ask, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["at"], document["now"]["tru"]) == ("2027-01-15T11:00:00Z", 8)
