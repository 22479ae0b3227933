"""The words that people read about a schedule, and the digest that leaves them out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time

import pytest
from schedule_helpers import HOUR, MINUTE, PROJECT, TODAY, business_days, window
from schedule_values import schedule

from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Duration,
    Ical,
    IcalMatch,
    IcsFile,
    Place,
    Rrule,
    Skip,
    Span,
    Window,
)
from planner.schedules.compile import SUMMARY_LIMIT, compile_window, note_of, rule_of, summary_of
from planner.schedules.spec import Range, Schedule, stamped
from workflows.contract import Limits, Until

CLOSE = window(
    "0 18 L * *",
    namespace="payments-prod.a1b2c",
    timezone="America/New_York",
    length=Until(time(6)),
    lead=10 * MINUTE,
    description="Ledger close, all regions.",
    owner="payments on call",
    place=Place("calendars/payments.yaml", 12),
)


def test_a_note_says_how_much_for_whom_when_and_by_which_file() -> None:
    """A person in the UI learns what the schedule is for and where it is changed."""
    assert note_of(CLOSE) == (
        "8 TRU for payments-prod.a1b2c: Ledger close, all regions. "
        "cron 0 18 L * * until 06:00 America/New_York, ready 10m before. "
        "Owner: payments on call. From calendars/payments.yaml; change it there."
    )


def test_a_note_says_what_comes_on_top() -> None:
    """A window that adds to others says so, and nothing is said of what isn't there."""
    added = replace(CLOSE, combine="add", description="", owner="", place=Place("", 0))
    assert note_of(replace(added, jitter=2 * MINUTE)) == (
        "8 TRU for payments-prod.a1b2c. cron 0 18 L * * until 06:00 America/New_York, "
        "ready 10m before, jitter 2m. Comes on top of what else runs."
    )


def test_a_note_stays_when_lines_move() -> None:
    """An edit elsewhere in the file changes no schedule."""
    assert note_of(CLOSE) == note_of(replace(CLOSE, place=Place("calendars/payments.yaml", 99)))


RULES: dict[str, tuple[Window, str]] = {
    "two expressions": (
        window(Cron(("0 9 * * mon", "0 12 13 * fri"), "any")),
        "cron 0 9 * * mon and 0 12 13 * fri (day_match any) for 2h UTC",
    ),
    "a roll and days to skip": (
        window("0 9 15 * *", roll="previous", skip=Skip(True, True, (date(2027, 12, 24),))),
        "cron 0 9 15 * *, roll previous, skip weekends, holidays, 2027-12-24 for 2h UTC",
    ),
    "many days to skip": (
        window("0 9 15 * *", skip=Skip(days=tuple(date(2027, 1, n) for n in range(1, 6)))),
        "cron 0 9 15 * *, skip 2027-01-01, 2027-01-02, 2027-01-03, 2 more days for 2h UTC",
    ),
    "from and to": (
        window("0 9 * * *", not_before=date(2027, 1, 1), not_after=date(2027, 6, 30)),
        "cron 0 9 * * *, from 2027-01-01 to 2027-06-30 for 2h UTC",
    ),
    "a rule": (
        window(Rrule("FREQ=WEEKLY;BYDAY=FR", datetime(2027, 1, 8, 16))),
        "rrule FREQ=WEEKLY;BYDAY=FR from 2027-01-08 16:00 for 2h UTC",
    ),
    "events": (
        window(Ical(IcsFile("launches.ics", ""), IcalMatch(category="BOOST")), length=None),
        "events of launches.ics with category BOOST UTC",
    ),
    "events shown as free, too": (
        window(Ical(IcsFile("launches.ics", ""), IcalMatch("go", "", "", True)), length=None),
        "events of launches.ics with summary go, transparent ones too UTC",
    ),
    "business days": (business_days(3, -1), "business_days 3, -1 at 12:00 for 2h UTC"),
    "business days of some months": (
        window(BusinessDays((3,), time(7), (3, 6)), length=Duration(36 * HOUR)),
        "business_days 3 in mar, jun at 07:00 for 36h UTC",
    ),
    "dates": (
        window(Dates((Span(datetime(2027, 3, 14, 1, 30), datetime(2027, 3, 14, 9)),))),
        "dates 2027-03-14 01:30 to 2027-03-14 09:00 for 2h UTC",
    ),
}


@pytest.mark.parametrize(("window", "words"), RULES.values(), ids=RULES)
def test_a_rule_is_told_in_the_words_of_its_file(window: Window, words: str) -> None:
    """What is shown is what was written, so that it can be found and changed."""
    assert words == rule_of(window)


def test_a_summary_fits_the_server() -> None:
    """One line for each workflow that is started, cut to what the server takes."""
    assert summary_of(CLOSE) == "close: 8 TRU for payments-prod.a1b2c until 06:00"
    assert len(summary_of(replace(CLOSE, name="ü" * 300)).encode()) <= SUMMARY_LIMIT


# The digest ----------------------------------------------------------------------------


def compiled(window: Window) -> Schedule:
    """Return the schedule of *window*."""
    schedule = compile_window(window, PROJECT, TODAY)
    assert schedule is not None
    return schedule


def test_words_and_order_don_t_change_the_digest() -> None:
    """Note, pause, comments and the order of calendars leave what is written the same."""
    schedule = compiled(CLOSE)
    other = replace(schedule, note="Paused by Ada", paused=True, calendars=schedule.calendars[::-1])
    assert schedule.digest == other.digest == stamped(schedule).digest


@pytest.mark.parametrize(
    "change",
    [
        {"jitter": 2 * MINUTE},
        {"length": Until(time(7))},
        {"tru": 10},
        {"recurrence": Cron(("0 18 L 3 *",))},
        {"not_before": date(2027, 1, 1)},
        {"description": "Something else"},
        {"limits": Limits(longest_seconds=3600)},
        {"baseline_policy": "observe"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_written_changes_the_digest(change: dict[str, object]) -> None:
    """Each thing that a sync writes is seen in the fingerprint."""
    assert compiled(CLOSE).digest != compiled(replace(CLOSE, **change)).digest


def test_what_came_later_and_says_nothing_changes_no_digest() -> None:
    """A release that adds to requests rewrites no schedule: this digest is of one before."""
    assert schedule().digest == "bdc07f6fc8c5"


def test_each_field_of_a_calendar_changes_the_digest() -> None:
    """A single minute of a single calendar is seen."""
    schedule = compiled(CLOSE)
    first, *others = schedule.calendars
    for name in ("year", "month", "day_of_month", "day_of_week", "hour", "minute", "second"):
        edited = replace(first, **{name: (Range(3, 4),)})
        assert schedule.digest != replace(schedule, calendars=(edited, *others)).digest
