"""Cron: what each expression of the dialect means, and what is refused in which words."""

from __future__ import annotations

import doctest
from calendar import monthrange
from datetime import date, datetime, timedelta

import pytest
from time_helpers import day

from planner.recurrence import cron
from planner.recurrence.cron import LENGTH_LIMIT, MACROS, CronError, never_fires, parse, wall_times

YEAR = (date(2027, 1, 1), date(2027, 12, 31))


def days_of(expression: str, first: date, last: date) -> list[str]:
    """Return the days on which *expression* starts, as ``05-14``."""
    return [f"{d:%m-%d}" for d in cron.days(parse(expression), None, first, last)]


FIELDS = [
    pytest.param("*/15 * * * *", "minutes", (0, 15, 30, 45), id="step over all"),
    pytest.param("5/15 * * * *", "minutes", (5, 20, 35, 50), id="step from a number to the end"),
    pytest.param("59/15 * * * *", "minutes", (59,), id="step from the end"),
    pytest.param("10-20/5 * * * *", "minutes", (10, 15, 20), id="step over a range"),
    pytest.param("10-19/5 * * * *", "minutes", (10, 15), id="step that misses the end"),
    pytest.param("1,2,1-3,*/30 * * * *", "minutes", (0, 1, 2, 3, 30), id="list with repeats"),
    pytest.param("1-1 * * * *", "minutes", (1,), id="range of one value"),
    pytest.param("05 * * * *", "minutes", (5,), id="leading zero"),
    pytest.param("0 8-18/2 * * *", "hours", (8, 10, 12, 14, 16, 18), id="hours"),
    pytest.param("0 0 1 JAN,Jun-aug *", "months", (1, 6, 7, 8), id="month names in any case"),
    pytest.param("0 0 1 */3 *", "months", (1, 4, 7, 10), id="quarters"),
    pytest.param("\t0  0\t1 1 * ", "months", (1,), id="any white space"),
]


@pytest.mark.parametrize(("expression", "name", "expected"), FIELDS)
def test_a_field_holds_sorted_values(expression: str, name: str, expected: tuple[int, ...]) -> None:
    """Lists, ranges, steps and names become plain numbers, each once, in order."""
    assert getattr(parse(expression), name) == expected


WEEKDAYS = [
    pytest.param("mon-fri", [1, 2, 3, 4, 5], id="working days"),
    pytest.param("1-7", [0, 1, 2, 3, 4, 5, 6], id="1-7 has its Sunday"),
    pytest.param("0-7", [0, 1, 2, 3, 4, 5, 6], id="0-7 is every day"),
    pytest.param("5-7", [0, 5, 6], id="Friday to Sunday"),
    pytest.param("fri-sun", [0, 5, 6], id="Friday to Sunday by name"),
    pytest.param("sun-tue", [0, 1, 2], id="Sunday first"),
    pytest.param("sun-sun", [0], id="range of one name"),
    pytest.param("7", [0], id="7 is Sunday"),
    pytest.param("0", [0], id="0 is Sunday"),
    pytest.param("*/2", [0, 2, 4, 6], id="every second from Sunday"),
    pytest.param("2/2", [2, 4, 6], id="a step ends with Saturday"),
    pytest.param("3-6/2", [3, 5], id="a step that stops before Sunday"),
    pytest.param("5-7/2", [0, 5], id="a step that reaches 7"),
]


@pytest.mark.parametrize(("field", "expected"), WEEKDAYS)
def test_weekdays_count_from_sunday(field: str, expected: list[int]) -> None:
    """Sunday is 0 and 7; no range loses it."""
    assert [term.weekday for term in parse(f"0 0 * * {field}").weekdays] == expected


PUBLISHED = [
    # Quartz's and AWS EventBridge's documentation of L, W and #, and the facts of this one.
    pytest.param("0 0 L 1-4 *", ["01-31", "02-28", "03-31", "04-30"], id="L last day"),
    pytest.param("0 0 L-3 1-4 *", ["01-28", "02-25", "03-28", "04-27"], id="L-3 third before it"),
    pytest.param("0 0 L-30 1-4 *", ["01-01", "03-01"], id="L-30 only in months of 31"),
    pytest.param("0 0 LW 1-4 *", ["01-29", "02-26", "03-31", "04-30"], id="LW last weekday"),
    pytest.param("0 0 15W 1-4 *", ["01-15", "02-15", "03-15", "04-15"], id="15W weekday"),
    pytest.param("0 0 15W 5,8 *", ["05-14", "08-16"], id="15W Saturday back, Sunday on"),
    pytest.param("0 0 1W 5,8 *", ["05-03", "08-02"], id="1W never leaves the month"),
    pytest.param("0 0 31W 1-4,10 *", ["01-29", "03-31", "10-29"], id="31W only where a 31st is"),
    pytest.param("0 0 30W 1,5 *", ["01-29", "05-31"], id="30W Sunday on to the 31st"),
    pytest.param("0 0 28W 2 *", ["02-26"], id="28W Sunday at the month's end goes back"),
    pytest.param("0 0 * 1-4 5#3", ["01-15", "02-19", "03-19", "04-16"], id="fri#3"),
    pytest.param("0 0 * * fri#5", ["01-29", "04-30", "07-30", "10-29", "12-31"], id="fri#5"),
    pytest.param("0 0 * 1-4 mon#1", ["01-04", "02-01", "03-01", "04-05"], id="mon#1"),
    pytest.param("0 0 * 1-4 friL", ["01-29", "02-26", "03-26", "04-30"], id="friL"),
    pytest.param("0 0 * 1-4 5L", ["01-29", "02-26", "03-26", "04-30"], id="5L"),
    pytest.param("0 0 * 2 7#2,sunL", ["02-14", "02-28"], id="7#2 is a Sunday"),
    pytest.param("0 0 15,L 2 *", ["02-15", "02-28"], id="15 and the last"),
    pytest.param("0 0 31 1-6 *", ["01-31", "03-31", "05-31"], id="31 only where there is"),
    pytest.param("0 0 L 3/3 *", ["03-31", "06-30", "09-30", "12-31"], id="quarter end"),
]


@pytest.mark.parametrize(("expression", "expected"), PUBLISHED)
def test_special_days(expression: str, expected: list[str]) -> None:
    """L, W and # mean what Quartz and its kin have published, in 2027."""
    assert days_of(expression, *YEAR) == expected


def test_black_friday_and_leap_days() -> None:
    """The day after the fourth Thursday is said by dates and weekday together; leap days count."""
    black = parse("0 0 23-29 11 fri")
    found = [d.isoformat() for d in cron.days(black, "all", day("2026-01-01"), day("2031-12-31"))]
    assert found == [
        "2026-11-27", "2027-11-26", "2028-11-24", "2029-11-23", "2030-11-29", "2031-11-28",
    ]  # fmt: skip
    leap = cron.days(parse("0 0 29 2 *"), None, day("2027-01-01"), day("2037-01-01"))
    assert [d.isoformat() for d in leap] == ["2028-02-29", "2032-02-29", "2036-02-29"]
    assert days_of("0 0 L 2 *", day("2028-01-01"), day("2029-12-31")) == ["02-29", "02-28"]


LACKING = [
    pytest.param("0 0 1 2 fri#5", ["02-01"], id="no fifth Friday in February"),
    pytest.param("0 0 L-28 2 mon#1", ["02-01"], id="no 28th before the last in February"),
    pytest.param("0 0 L-30 4 mon#1", ["04-05"], id="no 30th before the last in April"),
    pytest.param("0 0 31W 6 mon#1", ["06-07"], id="no 31st to be near to"),
    pytest.param("0 0 31 6 mon#1", ["06-07"], id="no 31st"),
]


@pytest.mark.parametrize(("expression", "expected"), LACKING)
def test_days_that_a_month_lacks_are_none(expression: str, expected: list[str]) -> None:
    """What a month hasn't got adds nothing to the other day field."""
    found = cron.days(parse(expression), "any", *YEAR)
    assert [f"{d:%m-%d}" for d in found] == expected


FRIDAY_13 = [
    pytest.param("any", ["2027-01-01", "2027-01-08", "2027-01-13", "2027-01-15"], id="any"),
    pytest.param("all", ["2027-08-13", "2028-10-13", "2029-04-13"], id="all"),
]


@pytest.mark.parametrize(("day_match", "expected"), FRIDAY_13)
def test_both_day_fields(day_match: cron.DayMatch, expected: list[str]) -> None:
    """A 13th and a Friday: either of them, or both at once, as day_match says."""
    rule = parse("0 0 13 * 5")
    assert rule.needs_day_match
    found = cron.days(rule, day_match, day("2027-01-01"), day("2029-06-01"))
    assert [next(found).isoformat() for _ in expected] == expected


def test_two_restricted_day_fields_are_not_guessed() -> None:
    """Without day_match nothing is expanded, since engines disagree."""
    with pytest.raises(ValueError, match="day_match"):
        list(wall_times(parse("0 0 13 * 5"), None, *YEAR))


RESTRICTING = [
    pytest.param("0 0 * * *", (False, False), id="neither"),
    pytest.param("0 0 1-31 * *", (True, False), id="a written range restricts"),
    pytest.param("0 0 */2 * mon", (True, True), id="a step restricts, which Vixie denies"),
    pytest.param("0 0 * * 0-7", (False, True), id="all weekdays, written"),
    pytest.param("0 0 L * fri#1", (True, True), id="special days"),
]


@pytest.mark.parametrize(("expression", "expected"), RESTRICTING)
def test_only_a_star_leaves_a_day_field_open(expression: str, expected: tuple[bool, bool]) -> None:
    """Whatever is written but * restricts; so two such fields need a day_match."""
    rule = parse(expression)
    assert (rule.restricts_day_of_month, rule.restricts_weekday) == expected
    assert rule.needs_day_match == all(expected)


@pytest.mark.parametrize(("macro", "meant"), MACROS.items(), ids=MACROS)
def test_macros(macro: str, meant: str) -> None:
    """A shorthand is the five fields that it stands for."""
    assert list(wall_times(parse(macro.upper()), None, *YEAR)) == list(
        wall_times(parse(meant), None, *YEAR)
    )


def test_every_hour_is_a_star_only() -> None:
    """Only ``*`` means real hours; the same hours written out are wall times."""
    every = ("@hourly", "5 * * * *", "0 0-23 * * *", "0 */1 * * *")
    assert [parse(e).every_hour for e in every] == [True, True, False, False]


REFUSED = [
    pytest.param("0 9 * * fri-mon", "write fri-sat,sun-mon", id="weekdays that wrap"),
    pytest.param("0 9 * * sat-tue", "write sat,sun-tue", id="weekdays that wrap from the last"),
    pytest.param("0 9 * * 7-2", "write 0-2", id="from the other Sunday"),
    pytest.param("0 22-2 * * *", "write 22-23,0-2", id="hours that wrap"),
    pytest.param("0 0 1 nov-feb *", "write nov-dec,jan-feb", id="months that wrap"),
    pytest.param("0 0 28-3 * *", "write 28-31,1-3", id="days that wrap"),
    pytest.param(
        "0 0 1 apr-mar/2 *", "write feb,apr,jun,aug,oct,dec", id="months that wrap by a step"
    ),
    pytest.param("50-10/5 * * * *", "write 0,5,10,50,55", id="minutes that wrap by a step"),
    pytest.param("0 0 * * fri-mon/2", "write sun,fri", id="weekdays that wrap by a step"),
    pytest.param("0 0 * * 1/2", "write 1-6/2 or 1-7/2", id="a weekday's step that meets 7"),
    pytest.param("0 0 * * mon/3", "write 1-6/3 or 1-7/3", id="a weekday's step from a name"),
    pytest.param("0 0 * * 7/2", "write sun or 0-6/2", id="a step from the other Sunday"),
    pytest.param("60 * * * *", "'60' is no minute; it takes 0 to 59", id="minute 60"),
    pytest.param("0 24 * * *", "'24' is no hour; it takes 0 to 23", id="hour 24"),
    pytest.param("0 0 0 * *", "'0' is no day of the month; it takes 1 to 31", id="day 0"),
    pytest.param("0 0 32 * *", "'32' is no day of the month", id="day 32"),
    pytest.param("0 0 1 13 *", "'13' is no month; it takes 1 to 12 or jan to dec", id="month 13"),
    pytest.param("0 0 * * 8", "'8' is no day of the week; it takes 0 to 7", id="weekday 8"),
    pytest.param("0 0 * * friday", "'friday' is no day of the week", id="a name in full"),
    pytest.param("0 0 * jan-5 fr", "'fr' is no day of the week", id="a name too short"),
    pytest.param("0 0 * * fri#6", "write fri#1 to fri#5, or friL", id="a sixth Friday"),
    pytest.param("0 0 * * fri#0", "write fri#1 to fri#5", id="a zeroth Friday"),
    pytest.param("0 0 * * mon-fri#2", "'mon-fri' is no day of the week", id="a range with #"),
    pytest.param("0 0 * * L", "write friL", id="a lone L among weekdays"),
    pytest.param("0 0 * * L5", "write friL", id="croniter's last Friday"),
    pytest.param("0 0 L-31 * *", "write L-1 to L-30", id="before the month"),
    pytest.param("0 0 L-0 * *", "write L, L-2, LW or 15W", id="zero before the last"),
    pytest.param("0 0 L-2W * *", "write L, L-2, LW or 15W", id="Quartz's L-2W"),
    pytest.param("0 0 1-5W * *", "write L, L-2, LW or 15W", id="a range with W"),
    pytest.param("0 0 32W * *", "'32' is no day of the month", id="W of no day"),
    pytest.param("0 0 WL * *", "write L, L-2, LW or 15W", id="letters about"),
    pytest.param("0 0 1-L * *", "write L, L-2, LW or 15W", id="a range up to L"),
    pytest.param("*/0 * * * *", "no whole number from 1 to 59", id="step 0"),
    pytest.param("*/60 * * * *", "no whole number from 1 to 59", id="step over the field"),
    pytest.param("*/-5 * * * *", "no whole number from 1 to 59", id="negative step"),
    pytest.param("1/ * * * *", "no whole number from 1 to 59", id="step left out"),
    pytest.param("5-3/2 * * * *", "runs backwards", id="backwards with a step"),
    pytest.param("-1 * * * *", "'-1' is no minute", id="negative"),
    pytest.param("1-2-3 * * * *", "'2-3' is no minute", id="range of three"),
    pytest.param("1,,2 * * * *", "empty item", id="empty item"),
    pytest.param("*,5 * * * *", "write just *", id="star among others"),
    pytest.param("1.5 * * * *", "'1.5' is no minute", id="fraction"),
    pytest.param("0 0 ? * mon", "write * for every", id="question mark"),
    pytest.param("H 0 * * *", "'h' is no minute", id="Jenkins's H"),
    pytest.param("0 0 * * * *", "has 6 fields", id="seconds"),
    pytest.param("0 0 0 1 1 * 2027", "has 7 fields", id="seconds and year"),
    pytest.param("0 0 * *", "has 4 fields", id="four fields"),
    pytest.param("CRON_TZ=Europe/Berlin 0 0 * * *", "write it as timezone:", id="CRON_TZ"),
    pytest.param("TZ=UTC 0 0 * * *", "write it as timezone:", id="TZ"),
    pytest.param("@reboot", "write one of @yearly", id="reboot"),
    pytest.param("@every 5m", "write one of @yearly", id="every"),
    pytest.param("@daily 5", "write one of @yearly", id="macro with more"),
    pytest.param("", "write five fields", id="empty"),
    pytest.param(" \t ", "write five fields", id="blank"),
    pytest.param("0 0 1 1 *\n0 0 2 1 *", "write five fields", id="two lines"),
    pytest.param("0 0 1 1 \u0661", "write five fields", id="Arabic digit"),
    pytest.param("0,1 " * 51, "write five fields", id="too long"),
]


@pytest.mark.parametrize(("expression", "sentence"), REFUSED)
def test_what_is_refused(expression: str, sentence: str) -> None:
    """Anything outside of the dialect gets a sentence with the bad value and a good one."""
    with pytest.raises(CronError) as caught:
        parse(expression)
    message = str(caught.value)
    assert sentence in message
    assert message.startswith(f"cron {expression[:57]!r}"[:-1])
    assert "\n" not in message
    assert len(message) < 600


def test_all_bad_fields_are_named_at_once() -> None:
    """Whoever mends an expression learns of every bad field in the same run."""
    with pytest.raises(CronError) as caught:
        parse("60 24 32 13 8")
    assert str(caught.value).count(" is no ") == 5


def test_the_longest_expression_is_read() -> None:
    """The limit is inclusive, and the examples in messages are good ones."""
    longest = (",".join(["0"] * 96) + " 0 * * *").ljust(LENGTH_LIMIT)
    assert parse(longest).minutes == (0,)
    for good in ("0 18 L * *", "0 0 * * fri-sat,sun-mon", "0 22-23,0-2 * * *", "0 0 L-30 * *"):
        parse(good)


NEVER = [
    pytest.param("0 0 31 4 *", None, True, id="31 April"),
    pytest.param("0 0 30,31 2 *", None, True, id="30 and 31 February"),
    pytest.param("0 0 29 2 *", None, False, id="leap day"),
    pytest.param("0 0 L-30 2,4 *", None, True, id="30 before the end of short months"),
    pytest.param("0 0 L-28 2 *", None, False, id="1 February in leap years"),
    pytest.param("0 0 31W 6 *", None, True, id="31W in June"),
    pytest.param("0 0 1-7 * fri#2", "all", True, id="a second Friday in the first week"),
    pytest.param("0 0 1-7 * fri#2", "any", False, id="either of them"),
    pytest.param("0 0 1-7 * fri#2", None, False, id="match not known yet"),
    pytest.param("0 0 29 2 sun", "all", False, id="leap day on a Sunday, once in 28 years"),
    pytest.param("0 0 29 2 sun#5", "all", False, id="fifth Sunday of February"),
]


@pytest.mark.parametrize(("expression", "day_match", "expected"), NEVER)
def test_never_fires(expression: str, day_match: cron.DayMatch | None, expected: bool) -> None:
    """A rule that names no day at all is found out; a rare one isn't blamed."""
    assert never_fires(parse(expression), day_match) is expected


def test_wall_times_are_bounded_by_whole_days() -> None:
    """Both dates are included, whole; a span that ends before it starts holds nothing."""
    rule = parse("0 0,23 * * *")
    found = list(wall_times(rule, None, day("2027-12-31"), day("2028-01-01")))
    assert found == [
        datetime(2027, 12, 31, 0), datetime(2027, 12, 31, 23),
        datetime(2028, 1, 1, 0), datetime(2028, 1, 1, 23),
    ]  # fmt: skip
    assert list(wall_times(rule, None, day("2027-01-02"), day("2027-01-01"))) == []


def test_every_kind_of_month_is_in_the_cycle() -> None:
    """28 years hold each length and first weekday of a month, so never_fires sees them all."""
    kinds = {(m, *monthrange(y, m)) for y in range(2000, 2028) for m in range(1, 13)}
    assert kinds == {(m, *monthrange(y, m)) for y in range(1600, 2400) for m in range(1, 13)}


def test_examples_in_docstrings() -> None:
    """The examples in the module's own words hold."""
    assert doctest.testmod(cron).failed == 0


def test_the_days_of_a_rule_are_found_day_by_day() -> None:
    """Starting in the middle of a month gives the rest of what the whole month gives."""
    rule = parse("0 0 3,15W,L * tue#2")
    whole = list(cron.days(rule, "any", *YEAR))
    for offset in range(0, 365, 11):
        first = YEAR[0] + timedelta(days=offset)
        assert list(cron.days(rule, "any", first, YEAR[1])) == [d for d in whole if d >= first]
