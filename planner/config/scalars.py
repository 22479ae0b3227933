"""Single values: lengths, times, dates, names, numbers and choices, parsed from their text.

Each function returns the value, or raises `ValueError` with a sentence that quotes the
text and shows a good one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta

from planner import timezones
from planner.errors import did_you_mean, quote
from planner.model import Duration
from planner.recurrence import cron
from planner.recurrence.business_days import region_problem
from workflows.contract import Capacity, Until

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

FIRST_YEAR, LAST_YEAR = 2000, 2100
"""Years that Temporal's schedules know."""

MAX_RANGE_DAYS = 366
"""Days in one range of dates, such as ``2027-12-20..2028-01-03``."""

MAX_DURATION = timedelta(days=31)
"""The longest window."""

HOUR = timedelta(hours=1)

MAX_LEAD = timedelta(days=1)
"""The longest lead, and the longest jitter."""

_DURATION = re.compile(
    r"(?:(?P<days>\d{1,4})d)?(?:(?P<hours>\d{1,5})h)?"
    r"(?:(?P<minutes>\d{1,6})m)?(?:(?P<seconds>\d{1,8})s)?",
    re.ASCII,
)
_ISO_DURATION = re.compile(
    r"P(?:(?P<weeks>\d{1,3})W|(?:(?P<days>\d{1,4})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,5})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,8})S)?)?)",
    re.ASCII,
)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_WALL = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{1,2}:\d{2}(?::\d{2})?)", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Return the elapsed time that *text* writes; ``1d`` is 24 hours on every date.

    >>> parse_duration("1h30m") == parse_duration("PT1H30M") == parse_duration("90m")
    True
    """
    words = text.strip()
    match = _ISO_DURATION.fullmatch(words.upper()) or _DURATION.fullmatch(words.lower())
    parts = (
        {unit: int(count) for unit, count in match.groupdict().items() if count} if match else {}
    )
    if words == "0":
        return timedelta()
    if parts and match and match.re is _ISO_DURATION and ("days" in parts or "weeks" in parts):
        hours = timedelta(**parts) // HOUR
        raise ValueError(
            f"{quote(text)} counts days by the clock (RFC 5545), which may have 23 or 25 hours; "
            f"write {hours}h for elapsed time"
        )
    if not parts:
        raise ValueError(f"{quote(text)} is no length of time; write 90s, 10m, 2h, 1h30m or PT2H")
    return timedelta(**parts)


def parse_length(text: str) -> timedelta:
    """Return a window's duration: above zero, at most `MAX_DURATION`."""
    length = parse_duration(text)
    if not length:
        raise ValueError(f"{quote(text)} is no time at all; a window lasts, such as 2h")
    if length > MAX_DURATION:
        raise ValueError(f"{quote(text)} is longer than {MAX_DURATION.days} days; write 12h or so")
    return length


def parse_window_length(text: str) -> Duration | Until:
    """Return a window's length: elapsed, or days by the clock (``P1D``, ``P2W``).

    RFC 5545, section 3.3.6: a day of ``P1D`` ends at the time of day at which it began. So it
    means the same here and in an iCalendar file.
    """
    words = text.strip().upper()
    match = re.fullmatch(r"P(?:([0-9]{1,3})W|([0-9]{1,4})D)", words)
    if not match:
        return Duration(parse_length(text))
    days = 7 * int(match[1]) if match[1] else int(match[2])
    return Until(None, days=_day_count(days, text))


def parse_until(text: str) -> Until:
    """Return an end by the clock: a time of day, maybe after a weekday (``fri 21:00``)."""
    first, space, rest = text.strip().partition(" ")
    if days := re.fullmatch(r"\+?([0-9]+)d", first):  # as notes and previews write it
        at = f', at: "{rest.strip()}"' if space else ""
        raise ValueError(f"{quote(text)} is not a time of day; write {{days: {days[1]}{at}}}")
    if space:
        weekday = parse_weekday(first) + _is_midnight_after(rest)
        return Until(parse_time(rest), weekday=weekday % 7)
    if first.isalpha():
        raise ValueError(f"{quote(text)} has no time; write 06:00 or fri 21:00")
    return Until(parse_time(first))


def parse_until_days(raw: dict[str, object]) -> Until:
    """Return the end by the clock that ``{days: 7, at: "00:00"}`` writes; *at* may be left out."""
    unknown = sorted(set(raw) - {"days", "at"})
    if unknown or "days" not in raw:
        wrong = f"unknown key {quote(unknown[0])}" if unknown else "'days' is missing"
        raise ValueError(f'{wrong}; write {{days: 7, at: "00:00"}}')
    days = text_of(raw["days"])
    number = int(days) if re.fullmatch(r"[0-9]{1,4}", days.strip()) else 0
    at = text_of(raw["at"]) if "at" in raw else None
    if at is None:
        return Until(None, days=_day_count(number, days))
    return Until(parse_time(at), days=_day_count(number, days) + _is_midnight_after(at))


def _is_midnight_after(text: str) -> bool:
    """Tell whether *text* is ``24:00``, which is ``00:00`` of the next day."""
    return text.strip().startswith("24:")


def _day_count(days: int, text: str) -> int:
    """Return *days*, written as *text*: 1 to those of `MAX_DURATION`."""
    if not 1 <= days <= MAX_DURATION.days:
        raise ValueError(f"{quote(text)} is not from 1 to {MAX_DURATION.days} days; write 7 or so")
    return days


def parse_ahead(text: str) -> timedelta:
    """Return a lead or a jitter: zero to `MAX_LEAD`."""
    ahead = parse_duration(text)
    if ahead > MAX_LEAD:
        raise ValueError(f"{quote(text)} is longer than a day; write 10m or so")
    return ahead


def parse_time(text: str) -> time:
    """Return a wall-clock time of day, to the second; ``24:00`` is midnight."""
    match = _TIME.fullmatch(text.strip())
    hour, minute, second = (int(part or 0) for part in match.groups()) if match else (99, 0, 0)
    if (hour, minute, second) == (24, 0, 0):
        hour = 0
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"{quote(text)} is no time of day; write 06:00 or 18:30")
    return time(hour, minute, second)


def parse_start_time(text: str) -> time:
    """Return the time of day at which a window starts; ``24:00`` belongs to the next day."""
    found = parse_time(text)
    if _is_midnight_after(text):
        raise ValueError(f"{quote(text)} is the start of the next day; write 00:00")
    return found


def parse_date(text: str) -> date:
    """Return a date from `FIRST_YEAR` to `LAST_YEAR`."""
    words = text.strip()
    try:
        day = date.fromisoformat(words) if _DATE.fullmatch(words) else None
    except ValueError as error:
        raise ValueError(f"{quote(text)} is on no calendar; write 2027-12-24") from error
    if day is None:
        raise ValueError(f"{quote(text)} is no date; write 2027-12-24")
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"{quote(text)} is outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return day


def parse_wall(text: str) -> datetime:
    """Return a naive wall-clock time, to be read in the window's zone.

    ``24:00`` is ``00:00`` of the next day.
    """
    match = _WALL.fullmatch(text.strip())
    if match:
        wall = datetime.combine(parse_date(match[1]), parse_time(match[2]))
        wall += timedelta(days=_is_midnight_after(match[2]))
        parse_date(f"{wall:%Y-%m-%d}")  # the day after the last one isn't known either
        return wall
    if _DATE.fullmatch(text.strip()):
        raise ValueError(f"{quote(text)} has no time; write {text.strip()}T09:00")
    if re.search(r"(Z|[+-]\d\d:?\d\d)$", text.strip()):
        raise ValueError(
            f"{quote(text)} brings an offset; write the local time, 2027-03-14T01:30, "
            "and its zone as 'timezone'"
        )
    raise ValueError(f"{quote(text)} is no date with a time; write 2027-03-14T01:30")


def parse_days(text: str) -> tuple[date, ...]:
    """Return the dates of ``2027-12-24`` or of ``2027-12-20..2028-01-03``, ends included."""
    first, dots, last = text.partition("..")
    start, end = parse_date(first), parse_date(last if dots else first)
    if end < start:
        raise ValueError(f"{quote(text)} ends before it starts; write {end}..{start}")
    if (end - start).days >= MAX_RANGE_DAYS:
        raise ValueError(f"{quote(text)} is longer than {MAX_RANGE_DAYS} days; write a shorter one")
    return tuple(start + timedelta(days=n) for n in range((end - start).days + 1))


def looks_like_days(text: str) -> bool:
    """Tell whether *text* looks like a date or a range of dates."""
    return bool(re.match(r"\d", text))


def parse_month(text: str) -> int:
    """Return the number of a month, January as 1, from its number or name."""
    return _ordinal(text, MONTHS, "month", "3 or mar", first=1)


def parse_weekday(text: str) -> int:
    """Return the number of a weekday, Monday as 0, from its name."""
    return _ordinal(text, WEEKDAYS, "weekday", "fri or sat", first=None)


def _ordinal(text: str, names: tuple[str, ...], kind: str, good: str, *, first: int | None) -> int:
    words = text.strip().lower()
    if first is not None and words.isascii() and words.isdigit():
        number = int(words[:4])
        if first <= number < first + len(names):
            return number
    elif len(words) >= 3:
        for number, name in enumerate(names, start=first or 0):
            if name.startswith(words):
                return number
    raise ValueError(f"{quote(text)} is no {kind}; write {good}")


MAX_TRU = 1_000
"""The largest TRU value that is accepted; self-serve ends at 12."""

MAX_APS = MAX_TRU * 500

MAX_REPLICAS = 10_000
"""The most workers of one fleet."""

NAMESPACE_PATTERN = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.[a-z0-9]{1,20}"
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
LABEL_PATTERN = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""A name in Kubernetes: a label of RFC 1123."""
OBJECT_PATTERN = rf"{LABEL_PATTERN}(?:\.{LABEL_PATTERN})*"
"""The name of an object in Kubernetes: labels of RFC 1123, joined by dots."""
PROJECT_PATTERN = r"[a-z][a-z0-9-]{0,62}"
ADDRESS_PATTERN = r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")

NAME_HINT = "letters, digits, '.', '_' and '-', at most 63 characters, such as month-end-close"


def text_of(raw: object) -> str:
    """Return *raw*, which must be one string.

    Raises:
        ValueError: It is a list or a mapping.
    """
    if isinstance(raw, (list, dict)):
        kind = "a list" if isinstance(raw, list) else "a mapping"
        raise ValueError(f"{kind} stands where one value is wanted")
    return str(raw)


def whole_number(low: int, high: int, good: str) -> Callable[[str], int]:
    """Return a parser of whole numbers from *low* to *high*; *good* is an example."""

    def parse(text: str) -> int:
        words = text.strip()
        number = int(words) if re.fullmatch(r"-?[0-9]{1,12}", words) else None
        if number is None or not low <= number <= high:
            raise ValueError(
                f"{quote(text)} is no whole number from {low:,} to {high:,}; write {good}"
            )
        return number

    return parse


parse_tru = whole_number(1, MAX_TRU, "8")
parse_aps = whole_number(1, MAX_APS, "4000")
parse_replicas = whole_number(1, MAX_REPLICAS, "20")
parse_least_replicas = whole_number(0, MAX_REPLICAS, "2")
parse_backlog = whole_number(1, 10**9, "20")


def parse_amount(text: str) -> float:
    """Return an amount above zero: hours, a price."""
    words = text.strip()
    number = float(words) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", words) else 0.0
    if not 0 < number < math.inf:
        raise ValueError(f"{quote(text)} is no number above zero; write 40 or 0.5")
    return number


def number_within(low: float, high: float, good: str) -> Callable[[str], float]:
    """Return a parser of numbers from *low* to *high*; *good* is an example."""

    def parse(text: str) -> float:
        words = text.strip()
        is_number = re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", words)
        number = float(words) if is_number else math.nan
        if not low <= number <= high:
            raise ValueError(f"{quote(text)} is no number from {low:g} to {high:g}; write {good}")
        return number

    return parse


LEAST_SHARE, LEAST_UNUSED_SHARE, MOST_HEADROOM = 0.1, 0.01, 10.0

parse_share = number_within(LEAST_SHARE, 1, "0.9")
parse_unused_share = number_within(LEAST_UNUSED_SHARE, 1, "0.5")
parse_headroom = number_within(1, MOST_HEADROOM, "1.2")
parse_throttled = whole_number(0, 10**9, "100")


def parse_flag(text: str) -> bool:
    """Return a boolean: ``true`` or ``false``, or one of YAML 1.1's other words."""
    words = text.strip().lower()
    if words in ("true", "yes", "on"):
        return True
    if words in ("false", "no", "off"):
        return False
    raise ValueError(f"{quote(text)} is neither true nor false; write true")


def choice(*allowed: str) -> Callable[[str], str]:
    """Return a parser of one of the words *allowed*."""

    def parse(text: str) -> str:
        words = text.strip()
        if words in allowed:
            return words
        listed = ", ".join(allowed[:-1]) + f" or {allowed[-1]}"
        raise ValueError(f"{quote(text)} is none of {listed}{did_you_mean(words, allowed)}")

    return parse


def parse_namespace(text: str) -> str:
    """Return a Temporal Cloud namespace with its account: ``payments-prod.a1b2c``."""
    if re.fullmatch(NAMESPACE_PATTERN, text):
        return text
    if "." not in text:
        raise ValueError(
            f"namespace {quote(text)} names no account; write it as Temporal Cloud shows it, "
            "payments-prod.a1b2c"
        )
    raise ValueError(
        f"{quote(text)} is no Temporal Cloud namespace; write it in lower case with its account, "
        "payments-prod.a1b2c"
    )


def parse_name(text: str) -> str:
    """Return a window's name, which is a part of its schedule's id."""
    if re.fullmatch(NAME_PATTERN, text):
        return text
    raise ValueError(f"{quote(text)} is no name for a window; write {NAME_HINT}")


def parse_fleet(text: str) -> str:
    """Return a fleet's name, which is a part of a URL and the value of a metric's label."""
    if re.fullmatch(NAME_PATTERN, text):
        return text
    raise ValueError(
        f"{quote(text)} is no name for a fleet; write letters, digits, '.', '_' and '-', at most "
        "63 characters, such as payments"
    )


def parse_kubernetes_namespace(text: str) -> str:
    """Return the name of a namespace of Kubernetes."""
    if re.fullmatch(LABEL_PATTERN, text):
        return text
    raise ValueError(
        f"{quote(text)} is no namespace of Kubernetes; write lower-case letters, digits and '-', "
        "such as payments"
    )


def parse_kubernetes_name(text: str) -> str:
    """Return the name of an object in Kubernetes."""
    if re.fullmatch(OBJECT_PATTERN, text) and len(text) <= 253:
        return text
    raise ValueError(
        f"{quote(text)} is no name in Kubernetes; write lower-case letters, digits, '-' and '.', "
        "such as payments-worker"
    )


SECRET_PATTERN = r"env [A-Za-z_][A-Za-z0-9_]{0,127}|file /[^\x00-\x1f]{1,400}"
"""Where a secret is kept. It is never quoted: what stands there may be the secret itself."""

SECRET_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com", "discord.com", "webhook.office.com")
"""Hosts whose webhooks are secrets as a whole, in any subdomain."""


def parse_secret_place(text: str) -> str:
    """Return where a secret is kept, ``env NAME`` or ``file PATH``, with single spaces."""
    place = " ".join(text.split())
    if re.fullmatch(SECRET_PATTERN, place):
        return place
    raise ValueError(
        "it says where the worker finds the secret, not the secret itself; write "
        "env SLACK_WEBHOOK_URL, or file /run/secrets/slack-webhook"
    )


def parse_notice_url(text: str) -> str:
    """Return a URL that isn't secret; one that looks secret is neither accepted nor quoted."""
    match = re.fullmatch(r"(https?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?(/\S*)?", text)
    if not match:
        raise ValueError(
            "it is no URL without user and password; write https://hooks.example.com/capacity, or "
            "url_from: env NOTICE_URL if it is secret"
        )
    host = match[2].lower()
    if any(host == one or host.endswith(f".{one}") for one in SECRET_HOSTS) or "?" in text:
        raise ValueError(
            "such a URL is a secret, which belongs in no file; write url_from: env "
            "SLACK_WEBHOOK_URL, or url_from: file /run/secrets/slack-webhook"
        )
    return text


def parse_project(text: str) -> str:
    """Return a project's name, the owner mark of its schedules."""
    if re.fullmatch(PROJECT_PATTERN, text):
        return text
    raise ValueError(
        f"{quote(text)} is no name for a project; write lower-case letters, digits and '-', "
        "beginning with a letter, at most 63, such as payments-platform"
    )


def prose(limit: int) -> Callable[[str], str]:
    """Return a parser of prose: one paragraph of at most *limit* characters."""

    def parse(text: str) -> str:
        words = " ".join(text.split())
        if _CONTROL.search(words):
            raise ValueError(f"{quote(ascii(words))} holds a control character; write plain text")
        if len(words) > limit:
            raise ValueError(f"{len(words):,} characters; write at most {limit}")
        return words

    return parse


def parse_zone(text: str) -> str:
    """Return the name of a time zone in the tz database."""
    problem = timezones.timezone_problem(text)
    if problem:
        raise ValueError(problem)
    return text


def parse_cron(text: str) -> str:
    """Return a valid cron expression with single spaces; it may still never fire."""
    cron.parse(text)
    return " ".join(text.split())


def parse_address(text: str) -> str:
    """Return a server's address, ``HOST:PORT``, in lower case."""
    if re.fullmatch(ADDRESS_PATTERN, text):
        return text.lower()
    raise ValueError(
        f"{quote(text)} is no address; write host:port, such as capacity.a1b2c.tmprl.cloud:7233"
    )


def parse_currency(text: str) -> str:
    """Return the three letters of a currency."""
    if re.fullmatch(r"[A-Z]{3}", text):
        return text
    raise ValueError(f"{quote(text)} is no currency; write three letters, such as USD")


def parse_ordinal(text: str) -> int:
    """Return the ordinal of a business day: 1 to 23, or −1 to −23 from the month's end."""
    number = whole_number(-23, 23, "3, or -1 for the last")(text)
    if not number:
        raise ValueError(
            f"{quote(text)} is no business day; write 1 for the first, -1 for the last"
        )
    return number


def parse_region(text: str) -> str:
    """Return the code of a country, subdivision or market with known holidays."""
    problem = region_problem(text)
    if problem:
        raise ValueError(problem)
    return text


def parse_baseline(raw: object) -> object:
    """Return the capacity of ``on-demand`` or ``{tru: 2}``."""
    if raw == "on-demand":
        return Capacity()
    if isinstance(raw, dict) and set(raw) == {"tru"}:
        return Capacity(float(whole_number(1, MAX_TRU, "2")(text_of(raw["tru"]))))
    if isinstance(raw, Capacity):
        return raw
    words = quote(raw) if isinstance(raw, str) else "this"
    raise ValueError(f"{words} is no baseline; write on-demand or {{tru: 2}}")


def is_address(text: str) -> bool:
    """Tell whether *text* is meant as an address, right or wrong."""
    return "://" in text
