from __future__ import annotations

import doctest
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import date, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import recurring_ical_events
from forecast_helpers import (
    HOUR,
    MINUTE,
    NAMESPACE,
    START,
    at,
    calendar,
    daily,
    horizon,
    project,
    window,
    windows,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from planner.errors import Lint
from planner.forecast import cost
from planner.forecast.preview import Preview, preview, select
from planner.forecast.timeline import timeline
from planner.model import Dates, Holidays, Horizon, NamespaceCalendar, Place, Span, Window
from planner.occurrences.expand import expand
from planner.render import format as fmt
from planner.render import preview as text_output
from planner.render.preview import (
    LEVELS,
    NOTHING,
    SKIPPED,
    SLOTS,
    DayBars,
    preview_text,
    which_days,
)
from planner.render.preview_data import preview_ics, preview_json
from planner.render.preview_html import bars, levels, preview_html, preview_svg
from workflows.contract import Capacity, format_instant, to_wall

NEW_YORK = ZoneInfo("America/New_York")
WEEK = horizon("2027-03-10", "2027-03-17")


def shown(*calendars: NamespaceCalendar, span: Horizon = WEEK, **more: Any) -> Preview:
    """Return the preview of *calendars* over a week with a clock change in it."""
    return preview(project(*calendars), span, span, **more)


def night(**fields: Any) -> Window:
    """Return a window in New York that spans the clock change of 14 March 2027."""
    fields = {"lead": 10 * MINUTE, "timezone": "America/New_York", **fields}
    return daily("night", "2027-03-10 22:00", 7, 6, **fields)


# JSON --------------------------------------------------------------------------------


def test_json_is_the_documented_format() -> None:
    """Keys, order and instants are those of version 1, to the letter."""
    one = window(
        "one", ("2027-03-11 08:00", "2027-03-11 10:00"), lead=10 * MINUTE, place=Place("a.yaml", 3)
    )
    two = window("two", ("2027-03-11 09:00", "2027-03-11 10:00"), tru=8, combine="add")
    lint = Lint("a.yaml", 3, "short-lead", "the lead is short")
    document = json.loads(preview_json(shown(calendar(one, two), warnings=[lint])))
    assert document == {
        "format_version": 1,
        "from": "2027-03-10T00:00:00Z",
        "to": "2027-03-17T00:00:00Z",
        "occurrences": [
            {
                "namespace": NAMESPACE,
                "window": "one",
                "start": "2027-03-11T08:00:00Z",
                "end": "2027-03-11T10:00:00Z",
                "fires": "2027-03-11T07:50:00Z",
                "tru": 4,
                "workers": {},
                "combine": "max",
                "file": "a.yaml",
                "line": 3,
            },
            {
                "namespace": NAMESPACE,
                "window": "two",
                "start": "2027-03-11T09:00:00Z",
                "end": "2027-03-11T10:00:00Z",
                "fires": "2027-03-11T09:00:00Z",
                "tru": 8,
                "workers": {},
                "combine": "add",
                "file": "",
                "line": 0,
            },
        ],
        "timeline": [
            {
                "namespace": NAMESPACE,
                "start": "2027-03-11T08:00:00Z",
                "end": "2027-03-11T09:00:00Z",
                "tru": 4,
                "windows": ["one"],
            },
            {
                "namespace": NAMESPACE,
                "start": "2027-03-11T09:00:00Z",
                "end": "2027-03-11T10:00:00Z",
                "tru": 12,
                "windows": ["one", "two"],
            },
        ],
        "fleets": [],
        "bill": {
            "from": "2027-03-10T00:00:00Z",
            "to": "2027-03-17T00:00:00Z",
            "currency": "USD",
            "plan": "developer",
            "plan_assumed": True,
            "actions_price": 306.0,
            "plan_charge": 30.6,
            "total": 336.6,
            "always_total": 36590.4,
            "months": [
                {"month": "2027-03", "billed_hours": 3, "actions": 6_120_000, "price": 306.0}
            ],
            "namespaces": {NAMESPACE: 306.0},
        },
        "warnings": [
            {
                "code": "short-lead",
                "message": "the lead is short",
                "file": "a.yaml",
                "line": 3,
            }
        ],
    }


@given(windows())
@settings(max_examples=30, deadline=None)
def test_json_lists_what_starts_in_the_horizon(drawn: list[Window]) -> None:
    """The occurrences are those of the expansion, sorted, and the steps those that count."""
    span = Horizon(START, START + timedelta(days=2))
    document = json.loads(preview_json(shown(calendar(*drawn), span=span)))
    runs = [run for each in drawn if not each.paused for run in expand(each, span)]
    runs.sort(key=lambda run: run.order)
    expected = [(run.window.name, format_instant(run.start)) for run in runs]
    assert [(o["window"], o["start"]) for o in document["occurrences"]] == expected
    steps = [step for step in timeline(calendar(*drawn), span) if step.occurrences]
    assert [step["start"] for step in document["timeline"]] == [
        format_instant(step.start) for step in steps
    ]
    assert [step["tru"] for step in document["timeline"]] == [s.capacity.tru for s in steps]


def test_a_run_under_way_counts_in_the_timeline_and_is_no_occurrence() -> None:
    """What began before the horizon is in force in it, but no schedule fires for it there."""
    early = window("early", ("2027-03-09 20:00", "2027-03-10 02:00"))
    document = json.loads(preview_json(shown(calendar(early))))
    assert document["occurrences"] == []
    assert document["timeline"][0]["start"] == "2027-03-10T00:00:00Z"
    assert document["timeline"][0]["end"] == "2027-03-10T02:00:00Z"


# Text --------------------------------------------------------------------------------


def test_text_reads_as_it_should() -> None:
    """A small calendar, to the letter: head, ruler, days alike put together, local and UTC."""
    week = daily("batch", "2027-03-10 09:00", 3, 8, timezone="America/New_York")
    text = preview_text(
        shown(calendar(week, timezone="America/New_York", baseline=Capacity(2))), WEEK.start
    )
    assert text.split("\n\nClock changes ahead")[0] == (
        "acme: Wed 10 Mar 2027 – Tue 16 Mar 2027 (7 days, UTC)\n"
        "\n"
        "payments-prod.a1b2c  America/New_York, baseline 2 TRU\n"
        "=====================================================\n"
        "3 runs, 24.0 h open, peak 4 TRU. Next: batch, Wed 10 Mar 2027 09:00 EST\n"
        "(14:00Z), 4 TRU.\n"
        "\n"
        "                            0h          6h          12h         18h       24h\n"
        "Wed 10 Mar – Fri 12 Mar     ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄████████████████▄▄▄▄▄▄▄▄▄▄▄▄▄▄\n"
        "    3 days: every day\n"
        "  09:00–17:00 EST           14:00–22:00Z          4 TRU  batch\n"
        "Sun 14 Mar 2027             ▄▄▄▄  ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄\n"
        "    the clock goes forward 02:00 → 03:00 in America/New_York"
    )


@given(windows())
@settings(max_examples=20, deadline=None)
def test_text_never_exceeds_80_columns(drawn: list[Window]) -> None:
    """Whatever is shown, each line fits."""
    text = preview_text(shown(calendar(*drawn), span=Horizon(START, START + 3 * 24 * HOUR)), START)
    assert max(map(len, text.splitlines())) <= 80


def test_a_long_name_takes_a_line_of_its_own() -> None:
    """Names are never cut."""
    name = "the-quarterly-settlement-of-everything-there-is"
    long = window(name, ("2027-03-11 08:00", "2027-03-11 10:00"))
    lines = preview_text(shown(calendar(long)), WEEK.start).splitlines()
    assert f"    {name}" in lines
    assert max(map(len, lines)) <= 80


def test_the_clock_change_names_the_runs_it_touches() -> None:
    """The night of the change is said to be an hour shorter by the clock."""
    text = preview_text(shown(calendar(night(), timezone="America/New_York")), WEEK.start)
    assert "Sun 14 Mar 2027  the clock goes forward 02:00 → 03:00 in America/New_York" in text
    assert f"{NAMESPACE}/night runs 22:00 EST–05:00+1 EDT, 6h in all" in text


def test_paused_windows_are_named_and_not_counted() -> None:
    """A paused window is said to be paused, and nothing else."""
    text = preview_text(shown(calendar(night(paused=True))), WEEK.start)
    assert "Paused, so never up: night." in text
    assert "Nothing runs in these days." in text


def test_holidays_that_bear_on_a_window_are_marked() -> None:
    """A roll heeds holidays, so the day's name stands there."""
    rolled = daily(
        "rolled", "2027-05-31 09:00", 1, 2, roll="next", holidays=Holidays(regions=("US",))
    )
    span = horizon("2027-05-28", "2027-06-03")
    text = preview_text(shown(calendar(rolled), span=span), span.start)
    assert "Mon 31 May 2027" in text
    assert "    Memorial Day" in text
    assert "rolled from Mon 2027-05-31 (Memorial Day) to Tue 2027-06-01" in " ".join(text.split())


# The bar of a day ---------------------------------------------------------------------


def bar(*each: Window, day: date = date(2027, 3, 11), tz: ZoneInfo = NEW_YORK) -> str:
    """Return the bar of a day at a peak of 8 TRU."""
    return DayBars(timeline(calendar(*each), WEEK), tz, 8).bar(day)


def test_a_bar_has_a_character_for_every_half_hour() -> None:
    """Heights go with the TRU; nothing in force is a dot."""
    half = window("w", ("2027-03-11 05:00", "2027-03-11 05:30"))
    full = window("v", ("2027-03-11 06:00", "2027-03-11 07:00"), tru=8)
    assert bar(half, full, tz=ZoneInfo("UTC")) == "·" * 10 + "▄·██" + "·" * 34
    assert len(bar()) == SLOTS


def test_the_hour_that_the_clock_skips_is_blank() -> None:
    """On the day of the change the bar shows that 02:00 to 03:00 isn't there."""
    assert bar(day=date(2027, 3, 14)) == "·" * 4 + "  " + "·" * 42


def test_an_hour_shown_twice_shows_the_higher_of_both() -> None:
    """A run in the second 01:30 of November is seen."""
    span = horizon("2027-11-07", "2027-11-09")
    second = window("w", ("2027-11-07 06:30", "2027-11-07 07:00"), tru=8)
    steps = timeline(calendar(second), span)
    assert DayBars(steps, NEW_YORK, 8).bar(date(2027, 11, 7)) == "·" * 3 + "█" + "·" * 44


def test_no_line_ends_in_blanks() -> None:
    """A bar that is cut at the end of the horizon leaves none."""
    text = preview_text(shown(calendar(night(), timezone="America/New_York")), WEEK.start)
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_half_hours_outside_of_the_steps_are_blank() -> None:
    """Where nothing was looked at a bar says nothing: not that the capacity is on-demand."""
    steps = timeline(calendar(), horizon("2027-03-11", "2027-03-12"))
    assert DayBars(steps, NEW_YORK, 8).bar(date(2027, 3, 11)) == "·" * 38 + " " * 10
    assert DayBars(steps, NEW_YORK, 8).bar(date(2027, 3, 10)) == " " * 38 + "·" * 10


CHANGES = [("America/New_York", 72), ("Australia/Lord_Howe", 93), ("Asia/Kolkata", 72)]
"""Zones with the day, from the first of January on, on which the clock goes forward or back."""


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@given(found=windows(), after=st.integers(-1, 1))
@settings(max_examples=15, deadline=None)
def test_a_bar_is_the_highest_step_of_every_half_hour(
    zone: str, day: int, found: list[Window], after: int
) -> None:
    """Looked at minute by minute, by the clock on the wall, a bar shows just what is there."""
    tz, shift = ZoneInfo(zone), timedelta(days=day + after)
    span = Horizon(START + shift - timedelta(days=2), START + shift + timedelta(days=3))
    steps = timeline(calendar(*(moved(each, shift) for each in found)), span)
    claimed = [step for step in steps if step.occurrences]
    highest: dict[int, float] = {}
    for minute in range(-14 * 60, 38 * 60):
        instant = START + shift + timedelta(minutes=minute)
        wall = to_wall(instant, tz)
        if wall.date() == (START + shift).date():
            slot = (60 * wall.hour + wall.minute) // 30
            here = [s.capacity.tru or 0 for s in claimed if s.start <= instant < s.end]
            highest[slot] = max(highest.get(slot, 0), *here, 0)
    expected = "".join(sign(highest.get(slot)) for slot in range(SLOTS))
    assert DayBars(steps, tz, 8).bar((START + shift).date()) == expected


def moved(each: Window, shift: timedelta) -> Window:
    """Return *each*, its dates moved."""
    assert isinstance(each.recurrence, Dates)
    spans = (Span(s.start + shift, s.end + shift if s.end else None) for s in each.recurrence.spans)
    return replace(each, recurrence=Dates(tuple(spans)))


def sign(tru: float | None) -> str:
    """Return the character for *tru*, at a peak of 8; for None the clock skips it."""
    if tru is None:
        return SKIPPED
    return LEVELS[min(int(tru), 8) - 1] if tru else NOTHING


@pytest.mark.parametrize(
    ("days", "others", "expected"),
    [
        ([1, 2, 3, 4, 5], [], "5 days: every day"),
        ([1, 2, 3, 4, 5, 8, 9, 10, 11, 12], [], "10 days: Monday to Friday"),
        ([6, 7, 13, 14], [], "4 days: Saturdays and Sundays"),
        ([2, 9, 16], [], "3 days: every Tuesday"),
        ([1, 2, 3, 5], [], "4 days: every day but for Thu 04 Mar"),
        ([1, 4, 11], [], "3 days: Mon 01 Mar, Thu 04 Mar, Thu 11 Mar"),
        (
            [1, 3, 5, 7, 9, 11],
            [2, 4, 6, 8, 10],
            "6 days: every day but for those listed by themselves",
        ),
    ],
)
def test_days_are_told_by_their_pattern(days: list[int], others: list[int], expected: str) -> None:
    """The shortest true pattern wins; without one the days are listed."""
    march = [date(2027, 3, day) for day in days]
    assert which_days(march, [date(2027, 3, day) for day in others]) == expected


# The feed ------------------------------------------------------------------------------


@given(windows())
@settings(max_examples=25, deadline=None)
def test_the_feed_reads_back_as_the_occurrences(drawn: list[Window]) -> None:
    """Readers of iCalendar, icalendar and recurring-ical-events, find just these runs."""
    span = Horizon(START, START + timedelta(days=3))
    feed = preview_ics(shown(calendar(*drawn), span=span))
    read = Calendar.from_ical(feed)
    events = recurring_ical_events.of(read).between(START - 30 * 24 * HOUR, START + 60 * 24 * HOUR)
    found = sorted(
        (str(event["CATEGORIES"].cats[1]), event["DTSTART"].dt, event["DTEND"].dt)
        for event in events
    )
    runs = [run for each in drawn if not each.paused for run in expand(each, span)]
    assert found == sorted((run.window.name, run.start, run.end) for run in runs)
    uids = [str(event["UID"]) for event in read.walk("VEVENT")]
    assert len(set(uids)) == len(uids)


def text_of(feed: str, name: str) -> str:
    r"""Return the TEXT value of a feed's only property *name*, read as RFC 5545 says.

    icalendar takes the n of a ``\\n`` for a line end, too.
    """
    unfolded = feed.replace("\r\n ", "")
    (value,) = re.findall(rf"^{name}:(.*)\r$", unfolded, re.MULTILINE)
    return re.sub(r"\\(.)", lambda found: found[1].replace("n", "\n"), str(value))


@given(st.text(max_size=200))
@example(r"\N")
@example(r"C:\new; a, b\\n")
@settings(max_examples=60, deadline=None)
def test_any_description_survives_the_feed(text: str) -> None:
    """Commas, semicolons, backslashes, line ends and long lines come back as written."""
    said = "".join(sign for sign in text if sign >= " " or sign == "\n").strip("\n")
    said = "".join(sign for sign in said if sign not in "\x7f\x85\u2028\u2029")
    one = window("one", ("2027-03-11 08:00", "2027-03-11 10:00"), description=said)
    feed = preview_ics(shown(calendar(one)))
    assert all(len(line.encode()) <= 75 for line in feed.split("\r\n"))
    assert text_of(feed, "DESCRIPTION").startswith(said)
    assert len(Calendar.from_ical(feed).walk("VEVENT")) == 1


def test_equal_calendars_give_equal_feeds() -> None:
    """Nothing in a feed depends on when it was written."""
    assert preview_ics(shown(calendar(night()))) == preview_ics(shown(calendar(night())))


# Pictures ------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Collects what opens and closes, and everything that an attribute refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, unless it never has an end."""
        if tag not in ("meta", "link", "path", "polyline", "br"):
            self.open.append(tag)
        self.references += [str(v) for k, v in attrs if k in ("src", "href", "action")]

    def handle_endtag(self, tag: str) -> None:
        """Close the latest tag, which has to be the same."""
        if tag not in ("path", "polyline"):
            assert self.open.pop() == tag


HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"


def test_the_page_is_well_formed_and_refers_to_nothing() -> None:
    """Every tag is closed, what was written is escaped, and there is no address in it."""
    page = preview_html(shown(calendar(replace(night(), description=HOSTILE, name=HOSTILE))), START)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.references == ["data:,"]
    assert "<img" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_picture_is_well_formed_and_refers_to_nothing() -> None:
    """An XML parser reads it, it has a title, and every run is in it."""
    picture = preview_svg(shown(calendar(night(description=HOSTILE), timezone="America/New_York")))
    root = ET.fromstring(picture)
    names = [element.tag.partition("}")[2] for element in root.iter()]
    assert names[:3] == ["svg", "title", "desc"]
    bars = [e for e in root.iter() if e.get("class") == "bar"]
    assert len(bars) == 6  # the last of the seven nights begins on the 17th in UTC
    assert picture.count("http") == 1  # the namespace of SVG itself


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 600)), max_size=60),
    st.integers(1, 60),
)
@settings(max_examples=60, deadline=None)
def test_bars_never_touch_and_are_never_too_narrow(
    drawn: list[tuple[int, int]], share: int
) -> None:
    """However dense the runs, bars keep apart, stay inside, and every run is in one."""
    spans = [(str(START + s * MINUTE)[:16], str(START + (s + n) * MINUTE)[:16]) for s, n in drawn]
    span = Horizon(START, START + timedelta(days=3))
    runs = [run for run in expand(window("w", *dict.fromkeys(spans)), span) if run.start < span.end]
    least = share / 1000
    shown = bars(runs, span, least)
    assert [run for _, _, found in shown for run in found] == runs
    for (_, before, _), (after, _, _) in pairwise(shown):
        assert after - before >= least - 1e-9
    assert all(left >= 0 and right <= 1 + 1e-9 for left, right, _ in shown)
    assert all(right - left >= least - 1e-9 for left, right, _ in shown)


# Choosing ------------------------------------------------------------------------------


def test_windows_are_chosen_by_either_name() -> None:
    """A window's own name finds it everywhere; its full name in its namespace only."""
    one = calendar(daily("a", "2027-01-01 00:00", 1, 1), daily("b", "2027-01-01 00:00", 1, 1))
    other = calendar(
        daily("a", "2027-01-01 00:00", 1, 1, namespace="orders.x"), namespace="orders.x"
    )
    both = project(one, other)
    assert [w.key for w in select(both, [], ["a"]).windows] == ["orders.x/a", f"{NAMESPACE}/a"]
    assert [w.key for w in select(both, [], ["orders.x/a"]).windows] == ["orders.x/a"]
    assert [w.name for w in select(both, [NAMESPACE], []).windows] == ["a", "b"]
    assert select(both, [], []) == both


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2027-01-01 08:00", "2027-01-01 09:30", "03:00–04:30 EST"),
        ("2027-01-02 03:00", "2027-01-02 08:00", "22:00–03:00+1 EST"),
        ("2027-03-14 05:00", "2027-03-14 10:00", "00:00 EST–06:00 EDT"),
    ],
    ids=["within a day", "over midnight", "over a clock change"],
)
def test_spans_in_words(start: str, end: str, expected: str) -> None:
    """A local span says where its end is, and names both offsets if they differ."""
    assert fmt.local_span(at(start), at(end), NEW_YORK) == expected


def test_a_moment_names_the_day_in_utc_where_it_is_another() -> None:
    """An evening in New York is the next day in UTC."""
    assert fmt.moment(at("2027-01-02 03:00"), NEW_YORK) == "Fri 01 Jan 2027 22:00 EST (Sat 03:00Z)"
    assert fmt.moment(datetime.fromisoformat("2027-01-02T03:00Z"), ZoneInfo("UTC")) == (
        "Sat 02 Jan 2027 03:00 UTC"
    )


@pytest.mark.parametrize(
    "module", [cost, fmt, text_output], ids=lambda module: str(module.__name__)
)
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    """What a docstring shows is what the function returns."""
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_the_scale_names_what_is_in_force_where_there_is_room() -> None:
    """The highest value and each other one that isn't too close to it or to the ground."""
    runs = [
        window(f"w{tru}", (f"2027-03-11 {hour:02}:00", f"2027-03-11 {hour:02}:30"), tru=tru)
        for hour, tru in enumerate((12, 10, 8, 4, 2), 8)
    ]
    (lane,) = shown(calendar(*runs)).lanes
    found = levels(lane.steps, lane.peak)
    assert found == [(12, 1.0), (8, pytest.approx(2 / 3)), (4, pytest.approx(1 / 3))]
    (idle,) = shown(calendar()).lanes
    assert levels(idle.steps, idle.peak) == []
