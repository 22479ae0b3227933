"""Business days: holidays by name, rolls, n-th days, and codes that are none."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from time_helpers import day

from planner.model import Holidays, IcsFile, Roll
from planner.recurrence.business_days import (
    ROLL_LIMIT,
    BusinessCalendar,
    business_calendar,
    region_problem,
)

US = business_calendar(Holidays(("US",)))
NYSE = business_calendar(Holidays(("XNYS",)))
PLAIN = business_calendar(Holidays())
DAY = timedelta(days=1)


NAMES = [
    pytest.param(US, "2027-05-31", "Memorial Day", id="by rule"),
    pytest.param(US, "2027-12-31", "New Year's Day (observed)", id="of the year after, observed"),
    pytest.param(US, "2027-07-04", "Independence Day", id="on a Sunday"),
    pytest.param(US, "2027-07-05", "Independence Day (observed)", id="observed on Monday"),
    pytest.param(US, "2027-05-28", None, id="none"),
    pytest.param(NYSE, "2027-03-26", "Good Friday", id="of a market"),
    pytest.param(NYSE, "2027-12-31", None, id="federal, but not of the market"),
    pytest.param(PLAIN, "2027-12-25", None, id="no holidays asked for"),
]


@pytest.mark.parametrize(("calendar", "at", "name"), NAMES)
def test_holidays_have_names(calendar: BusinessCalendar, at: str, name: str | None) -> None:
    """A holiday is known by its English name, in the region that keeps it."""
    assert calendar.name_of(day(at)) == name


def test_regions_are_the_library_s() -> None:
    """A region is imported alone, and is what the whole library has; so are the codes."""
    code = (
        "from planner.recurrence.business_days import _modules, region_holidays\n"
        "alone = [dict(region_holidays(code, 2027)) for code in ('PR', 'UK', 'XNYS', 'ECB')]\n"
        "import sys\n"
        "assert 'holidays.countries.albania' not in sys.modules\n"
        "import holidays as whole\n"
        "def named(make, code):\n"
        "    return dict(make(code, years=[2027], expand=False, language='en_US'))\n"
        "assert alone[:2] == [named(whole.country_holidays, code) for code in ('PR', 'UK')]\n"
        "assert alone[2:] == [named(whole.financial_holidays, code) for code in ('XNYS', 'ECB')]\n"
        "assert whole.country_holidays('AL', years=2027)\n"
        "assert set(_modules('countries')) == set(whole.list_supported_countries())\n"
        "assert set(_modules('financial')) == set(whole.list_supported_financial())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_are_english_on_any_machine() -> None:
    """The machine's language doesn't change what a preview says."""
    code = (
        "from datetime import date\n"
        "from planner.recurrence.business_days import BusinessCalendar\n"
        "from planner.model import Holidays\n"
        "import holidays\n"
        "print(holidays.country_holidays('DE', years=[2027])[date(2027, 1, 1)])\n"
        "print(BusinessCalendar(Holidays(('DE',))).name_of(date(2027, 1, 1)))"
    )
    german = {**os.environ, "LANGUAGE": "de", "LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=german, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["Neujahr", "New Year's Day"]


def test_several_sources_join() -> None:
    """Regions and listed days add up; a day with several names has each once."""
    both = BusinessCalendar(
        Holidays(("US", "XNYS", "GB"), days=(day("2027-12-23"), day("2027-12-25")))
    )
    assert both.name_of(day("2027-12-23")) == "listed as a holiday"
    assert both.name_of(day("2027-12-25")) == "Christmas Day"
    assert both.name_of(day("2027-05-31")) == "Memorial Day; Spring Bank Holiday"
    assert both.name_of(day("2027-03-26")) == "Good Friday"


WEEKENDS = [
    pytest.param(Holidays(), "2027-01", [5, 6], id="nothing said"),
    pytest.param(Holidays(("US",)), "2027-01", [5, 6], id="of the region"),
    pytest.param(Holidays(("SA",)), "2027-01", [4, 5], id="Friday and Saturday"),
    pytest.param(Holidays(("AE",)), "2021-03", [4, 5], id="of the region in that year"),
    pytest.param(Holidays(("AE",)), "2027-03", [5, 6], id="of the region in a later year"),
    pytest.param(Holidays(("SA", "US")), "2027-01", [4, 5], id="of the first region"),
    pytest.param(Holidays(("US",), weekend=(4, 5)), "2027-01", [4, 5], id="as written"),
    pytest.param(Holidays(days=(date(2027, 1, 4),)), "2027-01", [5, 6], id="a holiday is none"),
]


@pytest.mark.parametrize(("holidays", "month", "weekdays"), WEEKENDS)
def test_weekends(holidays: Holidays, month: str, weekdays: list[int]) -> None:
    """The weekend is the written one, else the first region's of that year, else Sat and Sun."""
    calendar = BusinessCalendar(holidays)
    days = [day(f"{month}-01") + n * DAY for n in range(28)]
    assert sorted({d.weekday() for d in days if calendar.is_weekend(d)}) == weekdays


def test_a_saturday_that_is_worked() -> None:
    """China works on some weekend days: they are business days, unless a weekend is written."""
    saturday = day("2024-05-11")
    assert BusinessCalendar(Holidays(("CN",))).is_business_day(saturday)
    assert not BusinessCalendar(Holidays(("CN",), weekend=(5, 6))).is_business_day(saturday)
    assert not BusinessCalendar(Holidays(("US", "CN"))).is_business_day(saturday)


WHY = [
    pytest.param("2027-05-31", "a holiday: Memorial Day", id="holiday"),
    pytest.param("2027-05-29", "of the weekend", id="weekend"),
    pytest.param("2027-07-04", "a holiday: Independence Day", id="holiday on a weekend"),
    pytest.param("2027-05-28", None, id="business day"),
]


@pytest.mark.parametrize(("at", "why"), WHY)
def test_why_a_day_is_no_business_day(at: str, why: str | None) -> None:
    """The reason is said in words, the holiday's name before the weekend."""
    assert US.why_not(day(at)) == why
    assert US.is_business_day(day(at)) is (why is None)


ROLLS = [
    pytest.param(US, "2027-05-15", "previous", "2027-05-14", id="Saturday, previous"),
    pytest.param(US, "2027-05-15", "next", "2027-05-17", id="Saturday, next"),
    pytest.param(US, "2027-05-15", "nearest", "2027-05-14", id="Saturday, nearest"),
    pytest.param(US, "2027-05-16", "nearest", "2027-05-17", id="Sunday, nearest"),
    pytest.param(US, "2027-05-15", "none", "2027-05-15", id="Saturday, none"),
    pytest.param(US, "2027-05-14", "previous", "2027-05-14", id="business day stays"),
    pytest.param(US, "2027-05-31", "previous", "2027-05-28", id="over a long weekend"),
    pytest.param(US, "2027-05-31", "next", "2027-06-01", id="into the next month"),
    pytest.param(US, "2027-05-31", "nearest", "2027-06-01", id="holiday Monday, nearest"),
    pytest.param(US, "2027-05-30", "nearest", "2027-05-28", id="equally near: the earlier"),
    pytest.param(US, "2027-01-01", "previous", "2026-12-31", id="into the year before"),
    pytest.param(PLAIN, "2028-09-30", "previous", "2028-09-29", id="quarter end on a Saturday"),
    pytest.param(PLAIN, "2027-05-01", "previous", "2027-04-30", id="first of a month, back"),
]


@pytest.mark.parametrize(("calendar", "at", "how", "expected"), ROLLS)
def test_rolls(calendar: BusinessCalendar, at: str, how: Roll, expected: str) -> None:
    """A day that is none rolls to the business day that stands in for it."""
    assert calendar.roll(day(at), how) == day(expected)


@settings(max_examples=200, deadline=None)
@given(st.dates(date(2010, 1, 1), date(2040, 1, 1)), st.sampled_from(["previous", "next"]))
def test_a_roll_is_the_first_business_day_that_way(at: date, how: Roll) -> None:
    """Rolled days are business days, all between are none, and nearest is the nearer one."""
    rolled = US.roll(at, how)
    assert US.is_business_day(rolled)
    between = [min(at, rolled) + n * DAY for n in range(abs((rolled - at).days) + 1)]
    assert [d for d in between if US.is_business_day(d)] == [rolled]
    both = {US.roll(at, "previous"), US.roll(at, "next")}
    assert US.roll(at, "nearest") == min(both, key=lambda d: (abs(d - at), d))


def test_a_roll_that_finds_nothing_stays() -> None:
    """Without any business day in reach the window keeps its own day instead of vanishing."""
    never = BusinessCalendar(Holidays(weekend=tuple(range(7))))
    assert never.roll(day("2027-05-15"), "previous") == day("2027-05-15")
    assert never.business_days(2027, 5) == []
    closed = tuple(day("2027-03-01") + n * DAY for n in range(ROLL_LIMIT + 2))
    assert BusinessCalendar(Holidays(days=closed)).roll(day("2027-03-01"), "next") == closed[0]


NTH = [
    pytest.param(US, (2027, 12, -1), "2027-12-30", id="New Year observed on the 31st"),
    pytest.param(NYSE, (2027, 12, -1), "2027-12-31", id="open on the 31st at NYSE"),
    pytest.param(NYSE, (2029, 3, -1), "2029-03-29", id="before Good Friday"),
    pytest.param(US, (2027, 1, 3), "2027-01-06", id="third, after New Year's Friday"),
    pytest.param(PLAIN, (2027, 1, 3), "2027-01-05", id="third, weekends only"),
    pytest.param(PLAIN, (2027, 5, 1), "2027-05-03", id="first after a weekend"),
    pytest.param(PLAIN, (2027, 2, 20), "2027-02-26", id="the twentieth"),
    pytest.param(PLAIN, (2027, 2, 21), None, id="more than there are"),
    pytest.param(PLAIN, (2027, 2, -20), "2027-02-01", id="from the end to the first"),
    pytest.param(PLAIN, (2027, 2, -21), None, id="from the end, too many"),
    pytest.param(PLAIN, (2027, 2, 0), None, id="zeroth"),
]


@pytest.mark.parametrize(("calendar", "which", "expected"), NTH)
def test_nth_business_day(
    calendar: BusinessCalendar, which: tuple[int, int, int], expected: str | None
) -> None:
    """The n-th business day of a month, from either end; None if there are fewer."""
    assert calendar.nth_business_day(*which) == (day(expected) if expected else None)


def test_holidays_from_a_calendar_file() -> None:
    """Days that events of an .ics file cover are holidays by the event's name."""
    text = "\r\n".join(
        [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "PRODID:-//test//EN",
            "BEGIN:VEVENT",
            "UID:shutdown",
            "DTSTAMP:20260101T000000Z",
            "DTSTART;VALUE=DATE:20271227",
            "DTEND;VALUE=DATE:20280104",
            "SUMMARY:Company shutdown",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
            "END:VCALENDAR",
            "",
        ]
    )
    calendar = BusinessCalendar(Holidays(calendars=(IcsFile("shutdown.ics", text),)))
    assert calendar.name_of(day("2027-12-26")) is None
    assert calendar.name_of(day("2027-12-27")) == "Company shutdown"
    assert calendar.name_of(day("2028-01-03")) == "Company shutdown"
    assert calendar.roll(day("2027-12-31"), "next") == day("2028-01-04")
    assert calendar.roll(day("2027-12-31"), "previous") == day("2027-12-24")


@pytest.mark.parametrize("code", ["US", "US-CA", "GB-ENG", "UK", "XNYS", "NYSE", "DE-BY", "NO"])
def test_codes_of_regions(code: str) -> None:
    """Countries, their subdivisions and markets are known; so is Norway."""
    assert region_problem(code) is None
    assert BusinessCalendar(Holidays((code,))).name_of(day("2027-01-01")) is not None


BAD_CODES = [
    pytest.param("Germany", "unknown holidays 'Germany'; did you mean 'DE'?", id="by name"),
    pytest.param("us", "unknown holidays 'us'; did you mean 'US'?", id="lower case"),
    pytest.param(
        "de-by", "unknown holidays 'de-by'; did you mean 'DE-BY'?", id="lower, subdivided"
    ),
    pytest.param("XNYX", "did you mean 'XNYS'", id="misspelt market"),
    pytest.param("US-XX", "unknown subdivision 'XX' in holidays 'US-XX'; write", id="subdivision"),
    pytest.param("AW-X", "AW has no subdivisions in holidays 'AW-X'; write 'AW'", id="none there"),
    pytest.param("US-", "unknown subdivision '' in holidays 'US-'", id="dash and nothing"),
    pytest.param("XNYS-CA", "unknown holidays 'XNYS-CA'; did you mean 'XNYS'", id="market's part"),
    pytest.param("QQ", "unknown holidays 'QQ'; write a code such as 'US'", id="nothing near"),
    pytest.param("", "unknown holidays ''; write a code such as 'US'", id="empty"),
    pytest.param("x" * 100_000, "write a code such as 'US'", id="very long"),
]


@pytest.mark.parametrize(("code", "sentence"), BAD_CODES)
def test_codes_that_are_none(code: str, sentence: str) -> None:
    """An unknown code gets a sentence with those it comes near to."""
    message = region_problem(code)
    assert message is not None
    assert sentence in message
    assert len(message) < 200


def test_asking_never_changes_the_answer() -> None:
    """A year that was asked for first doesn't change what another year holds."""
    calendar = BusinessCalendar(Holidays(("US",)))
    backward = [calendar.name_of(date(year, 7, 4)) for year in range(2035, 2015, -1)]
    assert backward == ["Independence Day"] * 20
    assert calendar.nth_business_day(2027, 12, -1) == day("2027-12-30")


def test_a_holiday_names_its_regions() -> None:
    """One of several regions names each that has it, in the calendar's order; others none."""
    business = business_calendar(Holidays(regions=("US", "DE"), days=(date(2027, 12, 27),)))
    assert business.sources_of(date(2027, 12, 25)) == ("US", "DE")
    assert business.sources_of(date(2027, 10, 3)) == ("DE",)
    assert business.sources_of(date(2027, 12, 27)) == ()
    assert business.sources_of(date(2027, 12, 28)) == ()
