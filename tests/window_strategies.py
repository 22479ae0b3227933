"""Windows at random, for properties: every recurrence, length, roll, skip and kind of zone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta

from hypothesis import strategies as st

from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Duration,
    Holidays,
    Length,
    Recurrence,
    Rrule,
    Skip,
    Span,
    Window,
)
from workflows.contract import Until

ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "UTC",
    "Pacific/Auckland",
    "America/Sao_Paulo",
    "America/Havana",
    "America/Santiago",
)
"""West and east of Greenwich, with and without clock changes, gaps at midnight, half hours."""

MINUTE = timedelta(minutes=1)
MINUTES = ("0", "5", "15", "30", "59", "7,52", "*/20")
HOURS = ("0", "1", "2", "3", "4", "9", "18", "23", "0,12", "9-17/4", "22-23")
MONTH_DAYS = ("*", "1", "15", "L", "L-2", "15,L", "1-5", "28-31", "15W", "LW", "1W", "*/10", "29")
MONTHS = ("*", "*", "*", "3,6,9,12", "2", "1,12", "4-10", "3,10,11")
WEEKDAYS = ("*", "*", "mon-fri", "sun", "fri", "sat,sun", "fri#3", "fri#5", "friL", "sun#1", "1")
RULES = (
    "FREQ=DAILY",
    "FREQ=WEEKLY;BYDAY=SU",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR",
    "FREQ=MONTHLY;BYMONTHDAY=-1",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
)
HOLIDAYS = (
    Holidays(),
    Holidays(regions=("US",)),
    Holidays(days=(date(2027, 1, 29), date(2027, 12, 31), date(2028, 2, 29))),
    Holidays(weekend=(4, 5)),
)
LEADS = (0, 2, 10, 12, 45, 90, 26 * 60)
JITTERS = (0, 0, 2, 15)


def cron_expressions() -> st.SearchStrategy[str]:
    """Return cron expressions that start a few times a day at most."""
    fields = map(st.sampled_from, (MINUTES, HOURS, MONTH_DAYS, MONTHS, WEEKDAYS))
    return st.tuples(*fields).map(" ".join)


def crons() -> st.SearchStrategy[Recurrence]:
    """Return one or two cron expressions with their day_match."""
    expressions = st.lists(cron_expressions(), min_size=1, max_size=2, unique=True).map(tuple)
    return st.builds(Cron, expressions, st.sampled_from(("any", "all")))


def wall_times() -> st.SearchStrategy[time]:
    """Return times of day, those around clock changes more often."""
    quarter_hours = [time(hour, minute) for hour in range(5) for minute in (0, 15, 30, 45)]
    return st.sampled_from([*quarter_hours, time(7), time(12), time(18), time(22), time(23, 59)])


def business_days() -> st.SearchStrategy[Recurrence]:
    """Return n-th business days from either end, of all months or some."""
    ordinals = st.lists(
        st.sampled_from((1, 2, 3, 10, 19, -1, -2, -19)), min_size=1, max_size=2, unique=True
    ).map(tuple)
    months = st.sampled_from((tuple(range(1, 13)), (1, 12), (3, 6, 9, 12)))
    return st.builds(BusinessDays, ordinals, wall_times(), months)


def walls() -> st.SearchStrategy[datetime]:
    """Return wall times of three years, at any quarter of an hour."""
    days = st.dates(date(2026, 1, 1), date(2028, 12, 31))
    return st.builds(datetime.combine, days, wall_times())


def written_dates() -> st.SearchStrategy[Recurrence]:
    """Return starts written out, some with their own end."""
    ends = st.none() | st.integers(1, 3 * 24 * 4)
    spans = st.builds(
        lambda wall, quarters: Span(wall, wall + quarters * 15 * MINUTE if quarters else None),
        walls(),
        ends,
    )
    return st.lists(spans, min_size=1, max_size=12).map(lambda found: Dates(tuple(found)))


def rrules() -> st.SearchStrategy[Recurrence]:
    """Return RFC 5545 rules from some day on."""
    return st.builds(Rrule, st.sampled_from(RULES), walls())


def lengths() -> st.SearchStrategy[Length]:
    """Return elapsed lengths and lengths by the clock."""
    durations = st.sampled_from((15, 60, 240, 36 * 60)).map(lambda n: Duration(n * MINUTE))
    days = st.builds(Until, st.none() | wall_times(), st.none(), st.integers(1, 9))
    weekdays = st.builds(Until, wall_times(), st.integers(0, 6))
    return durations | wall_times().map(Until) | days | weekdays


def skips() -> st.SearchStrategy[Skip]:
    """Return nothing to skip more often than something."""
    days = st.just(()) | st.dates(date(2026, 1, 1), date(2028, 12, 31)).map(lambda day: (day,))
    return st.just(Skip()) | st.builds(Skip, st.booleans(), st.booleans(), days)


def recurrences() -> st.SearchStrategy[Recurrence]:
    """Return recurrences of every kind that needs no file."""
    return crons() | business_days() | written_dates() | rrules()


@st.composite
def windows(
    draw: st.DrawFn,
    recurrence: st.SearchStrategy[Recurrence] = recurrences(),  # noqa: B008 - a value
    zones: tuple[str, ...] = ZONES,
) -> Window:
    """Return windows of any kind that needs no file."""
    bounds = st.none() | st.none() | st.dates(date(2026, 1, 1), date(2028, 12, 31))
    return Window(
        namespace="payments-prod.a1b2c",
        name="close",
        recurrence=draw(recurrence),
        tru=8,
        asked="8 TRU",
        timezone=draw(st.sampled_from(zones)),
        length=draw(lengths()),
        lead=draw(st.sampled_from(LEADS)) * MINUTE,
        jitter=draw(st.sampled_from(JITTERS)) * MINUTE,
        roll=draw(st.sampled_from(("none", "none", "previous", "next", "nearest"))),
        skip=draw(skips()),
        holidays=draw(st.sampled_from(HOLIDAYS)),
        not_before=draw(bounds),
        not_after=draw(bounds),
    )


def plain_windows(zones: tuple[str, ...] = ZONES) -> st.SearchStrategy[Window]:
    """Return windows without holidays or days to skip: most of them can recur for ever."""
    hours = ("0", "6", "9", "12", "18", "23", "0,12", "9-17/4")
    fields = map(st.sampled_from, (MINUTES, hours, MONTH_DAYS, MONTHS, WEEKDAYS))
    expression = st.tuples(*fields).map(lambda found: (" ".join(found),))
    recurrence = st.builds(Cron, expression, st.sampled_from(("any", "all"))) | business_days()
    skip = st.sampled_from((Skip(), Skip(weekends=True)))
    return st.builds(
        lambda window, skip, holidays: replace(window, skip=skip, holidays=holidays),
        windows(recurrence, zones),
        skip,
        st.sampled_from((Holidays(), Holidays(), Holidays(weekend=(4, 5)))),
    )
