"""The kinds of value that keys take: how each is read, and what an editor is told of it.

Every kind reads the string that was written (`planner.config.nodes`); a `ValueError` from
here is a sentence for the person who wrote it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from planner import business, cron, zones
from planner.config.nodes import shown
from planner.config.shelf import Shelf
from planner.config.values import (
    looks_like_days,
    near,
    parse_ahead,
    parse_date,
    parse_days,
    parse_length,
    parse_month,
    parse_time,
    parse_wall,
    parse_weekday,
)
from planner.model import Holidays, IcsFile, Skip
from workflows.contract import Capacity

MAX_TRU = 1_000
"""The largest TRU value that anybody can write; self-serve ends at 12."""

MAX_APS = MAX_TRU * 500
MAX_ITEMS = 2_000
"""Items in one list of dates, holidays or expressions."""

_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.[a-z0-9]{1,20}")
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_NAME = re.compile(NAME_PATTERN)
_PROJECT = re.compile(r"[a-z][a-z0-9-]{0,62}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")

NAME_HINT = "letters, digits, '.', '_' and '-', at most 63 characters, such as month-end-close"
Schema = dict[str, Any]


def _text(raw: object) -> str:
    """Return *raw* as the one string it must be."""
    if isinstance(raw, (list, dict)):
        kind = "a list" if isinstance(raw, list) else "a mapping"
        raise ValueError(f"{kind} stands where one value is wanted")
    return str(raw)


def _reader(parse: Callable[[str], Any]) -> BeforeValidator:
    """Return a validator that reads one string by *parse*; values already read pass."""
    return BeforeValidator(
        lambda raw: parse(_text(raw)) if isinstance(raw, (str, list, dict)) else raw
    )


def as_list(raw: object) -> list[Any]:
    """Return *raw* as a list: one value may stand without brackets."""
    items = raw if isinstance(raw, list) else [raw]
    if not items:
        raise ValueError("an empty list; name at least one, or remove the key")
    if len(items) > MAX_ITEMS:
        raise ValueError(f"{len(items):,} items; {MAX_ITEMS:,} are allowed in one list")
    return items


def one_or_more(schema: Schema) -> WithJsonSchema:
    """Return the schema of a value that may stand alone or in a list."""
    return WithJsonSchema({"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]})


# Single values ----------------------------------------------------------------------


def whole_number(low: int, high: int, good: str) -> Callable[[str], int]:
    """Return a reader of whole numbers from *low* to *high*."""

    def parse(text: str) -> int:
        words = text.strip()
        number = int(words) if re.fullmatch(r"-?[0-9]{1,12}", words) else None
        if number is None or not low <= number <= high:
            raise ValueError(
                f"{shown(text)} is no whole number from {low:,} to {high:,}; write {good}"
            )
        return number

    return parse


def parse_amount(text: str) -> float:
    """Return an amount above zero: hours, a price, Actions per second."""
    words = text.strip()
    number = float(words) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", words) else 0.0
    if not 0 < number < math.inf:
        raise ValueError(f"{shown(text)} is no number above zero; write 40 or 0.5")
    return number


def parse_flag(text: str) -> bool:
    """Return what ``true`` or ``false`` says; YAML 1.1's other words count as well."""
    words = text.strip().lower()
    if words in ("true", "yes", "on"):
        return True
    if words in ("false", "no", "off"):
        return False
    raise ValueError(f"{shown(text)} is neither true nor false; write true")


def choice(*allowed: str) -> Callable[[str], str]:
    """Return a reader of one of the words *allowed*."""

    def parse(text: str) -> str:
        words = text.strip()
        if words in allowed:
            return words
        listed = ", ".join(allowed[:-1]) + f" or {allowed[-1]}"
        raise ValueError(f"{shown(text)} is none of {listed}{near(words, allowed)}")

    return parse


def parse_namespace(text: str) -> str:
    """Return a namespace as Temporal Cloud writes it, with its account."""
    if _NAMESPACE.fullmatch(text):
        return text
    if "." not in text:
        raise ValueError(
            f"namespace {shown(text)} names no account; write it as Temporal Cloud shows it, "
            "payments-prod.a1b2c"
        )
    raise ValueError(
        f"{shown(text)} is no Temporal Cloud namespace; write it in lower case with its account, "
        "payments-prod.a1b2c"
    )


def parse_name(text: str) -> str:
    """Return a window's name: a part of its schedule's id."""
    if _NAME.fullmatch(text):
        return text
    raise ValueError(f"{shown(text)} is no name for a window; write {NAME_HINT}")


def parse_project(text: str) -> str:
    """Return a project's name: the mark by which its schedules are known as its own."""
    if _PROJECT.fullmatch(text):
        return text
    raise ValueError(
        f"{shown(text)} is no name for a project; write lower-case letters, digits and '-', "
        "beginning with a letter, at most 63, such as payments-platform"
    )


def prose(limit: int) -> Callable[[str], str]:
    """Return a reader of words for people, in one paragraph of at most *limit* characters."""

    def parse(text: str) -> str:
        words = " ".join(text.split())
        if _CONTROL.search(words):
            raise ValueError(f"{shown(ascii(words))} holds a control character; write plain text")
        if len(words) > limit:
            raise ValueError(f"{len(words):,} characters; write at most {limit}")
        return words

    return parse


def parse_zone(text: str) -> str:
    """Return a time zone by its name in the tz database."""
    problem = zones.problem(text)
    if problem:
        raise ValueError(problem)
    return text


def parse_cron(text: str) -> str:
    """Return a cron expression that can be read; whether it ever fires is asked elsewhere."""
    cron.parse(text)
    return " ".join(text.split())


def parse_currency(text: str) -> str:
    """Return a currency by its three letters."""
    if re.fullmatch(r"[A-Z]{3}", text):
        return text
    raise ValueError(f"{shown(text)} is no currency; write three letters, such as USD")


_DATE_SCHEMA = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_TIME_SCHEMA = {"type": "string", "pattern": r"^\d{1,2}:\d{2}(:\d{2})?$"}
_LENGTH_SCHEMA = {
    "type": "string",
    "pattern": r"^(\d+[dD])?(\d+[hH])?(\d+[mM])?(\d+[sS])?$|^P.+$",
    "examples": ["2h", "1h30m", "PT2H"],
}
_WALL_SCHEMA = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}[T ]\d{1,2}:\d{2}(:\d{2})?$",
    "examples": ["2027-03-14T01:30"],
}
_COUNT_SCHEMA = {"type": "integer", "minimum": 1}

WallTime = Annotated[time, _reader(parse_time), WithJsonSchema(_TIME_SCHEMA)]
Wall = Annotated[datetime, _reader(parse_wall), WithJsonSchema(_WALL_SCHEMA)]
Day = Annotated[date, _reader(parse_date), WithJsonSchema(_DATE_SCHEMA)]
Length = Annotated[timedelta, _reader(parse_length), WithJsonSchema(_LENGTH_SCHEMA)]
Ahead = Annotated[
    timedelta,
    _reader(parse_ahead),
    WithJsonSchema({"anyOf": [_LENGTH_SCHEMA, {"const": 0}]}),
]
Tru = Annotated[int, _reader(whole_number(1, MAX_TRU, "8")), WithJsonSchema(_COUNT_SCHEMA)]
Aps = Annotated[int, _reader(whole_number(1, MAX_APS, "4000")), WithJsonSchema(_COUNT_SCHEMA)]
Count = Annotated[int, _reader(whole_number(1, 10**12, "5000000")), WithJsonSchema(_COUNT_SCHEMA)]
Amount = Annotated[
    float, _reader(parse_amount), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})
]
Flag = Annotated[bool, _reader(parse_flag), WithJsonSchema({"type": "boolean"})]
Zone = Annotated[
    str, _reader(parse_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Berlin"]})
]
Namespace = Annotated[
    str,
    _reader(parse_namespace),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAMESPACE.pattern}$"}),
]
ProjectName = Annotated[
    str,
    _reader(parse_project),
    WithJsonSchema({"type": "string", "pattern": f"^{_PROJECT.pattern}$"}),
]
Description = Annotated[
    str, _reader(prose(500)), WithJsonSchema({"type": "string", "maxLength": 500})
]
Label = Annotated[str, _reader(prose(200)), WithJsonSchema({"type": "string", "maxLength": 200})]
Currency = Annotated[
    str, _reader(parse_currency), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"})
]
CombineWord = Annotated[Literal["max", "add"], _reader(choice("max", "add"))]
DayMatchWord = Annotated[Literal["any", "all"], _reader(choice("any", "all"))]
RollWord = Annotated[
    Literal["none", "previous", "next", "nearest"],
    _reader(choice("none", "previous", "next", "nearest")),
]
PolicyWord = Annotated[
    Literal["sync", "upsert-only", "create-only"],
    _reader(choice("sync", "upsert-only", "create-only")),
]


# Lists ------------------------------------------------------------------------------

_CRON_SCHEMA = {"type": "string", "maxLength": 200, "examples": ["0 18 L * *"]}
CronExpression = Annotated[str, _reader(parse_cron)]
CronList = Annotated[
    tuple[CronExpression, ...], BeforeValidator(as_list), one_or_more(_CRON_SCHEMA)
]


def parse_ordinal(text: str) -> int:
    """Return which business day of a month: 1 to 23, or −1 to −23 from its end."""
    number = whole_number(-23, 23, "3, or -1 for the last")(text)
    if not number:
        raise ValueError(
            f"{shown(text)} is no business day; write 1 for the first, -1 for the last"
        )
    return number


Ordinals = Annotated[
    tuple[Annotated[int, _reader(parse_ordinal)], ...],
    BeforeValidator(as_list),
    one_or_more({"type": "integer", "minimum": -23, "maximum": 23, "not": {"const": 0}}),
]
Months = Annotated[
    tuple[Annotated[int, _reader(parse_month)], ...],
    BeforeValidator(as_list),
    one_or_more({"type": ["integer", "string"], "examples": [3, "mar"]}),
]
Weekdays = Annotated[
    tuple[Annotated[int, _reader(parse_weekday)], ...],
    BeforeValidator(as_list),
    one_or_more({"type": "string", "examples": ["fri", "sat"]}),
]
TruList = Annotated[tuple[Tru, ...], BeforeValidator(as_list), one_or_more(_COUNT_SCHEMA)]


def take_ics(text: str, info: ValidationInfo) -> IcsFile:
    """Return the iCalendar file that *text* names, from the shelf of this reading."""
    return cast(Shelf, info.context).take(text)


def _read_file(raw: object, info: ValidationInfo) -> object:
    if isinstance(raw, IcsFile):
        return raw
    text = _text(raw)
    if not text.endswith(".ics"):
        raise ValueError(f"{shown(text)} is no .ics file; write launches.ics")
    return take_ics(text, info)


File = Annotated[
    IcsFile, BeforeValidator(_read_file), WithJsonSchema({"type": "string", "pattern": r"\.ics$"})
]

HolidayItem = str | IcsFile | tuple[date, ...]


def _read_holiday(raw: object, info: ValidationInfo) -> object:
    """Read a region's code, a date, a range of dates, or an iCalendar file."""
    if not isinstance(raw, (str, list, dict)):
        return raw
    text = _text(raw)
    if text.endswith(".ics"):
        return take_ics(text, info)
    if looks_like_days(text):
        return parse_days(text)
    return parse_region(text)


def _read_skip(raw: object, info: ValidationInfo) -> object:
    """Read ``weekends``, ``holidays``, a date, a range of dates, or an iCalendar file."""
    if not isinstance(raw, (str, list, dict)):
        return raw
    text = _text(raw)
    if text.endswith(".ics"):
        return take_ics(text, info)
    if looks_like_days(text):
        return parse_days(text)
    if text in ("weekends", "holidays"):
        return text
    hint = near(text, ("weekends", "holidays"))
    raise ValueError(
        f"{shown(text)} can't be skipped; write weekends, holidays, 2027-12-24, "
        f"2027-12-20..2028-01-03 or freeze.ics{hint}"
    )


HolidayList = Annotated[
    tuple[Annotated[HolidayItem, BeforeValidator(_read_holiday)], ...],
    BeforeValidator(as_list),
    one_or_more(
        {"type": "string", "examples": ["US", "US-CA", "XNYS", "company.ics", "2027-12-24"]}
    ),
]
SkipList = Annotated[
    tuple[Annotated[HolidayItem, BeforeValidator(_read_skip)], ...],
    BeforeValidator(as_list),
    one_or_more({"type": "string", "examples": ["weekends", "holidays", "2027-12-24"]}),
]


def parse_region(text: str) -> str:
    """Return the code of a country, a subdivision or a market that has holidays."""
    problem = business.region_problem(text)
    if problem:
        raise ValueError(problem)
    return text


def parse_baseline(raw: object) -> object:
    """Return the capacity that ``on-demand`` or ``{tru: 2}`` declares."""
    if raw == "on-demand":
        return Capacity()
    if isinstance(raw, dict) and set(raw) == {"tru"}:
        return Capacity(float(whole_number(1, MAX_TRU, "2")(_text(raw["tru"]))))
    if isinstance(raw, Capacity):
        return raw
    words = shown(raw) if isinstance(raw, str) else "this"
    raise ValueError(f"{words} is no baseline; write on-demand or {{tru: 2}}")


Baseline = Annotated[
    Capacity,
    BeforeValidator(parse_baseline),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "on-demand"},
                {
                    "type": "object",
                    "properties": {"tru": _COUNT_SCHEMA},
                    "required": ["tru"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


# What lists become ------------------------------------------------------------------


def holidays_of(items: tuple[HolidayItem, ...], weekend: tuple[int, ...]) -> Holidays:
    """Return the holidays that a list writes, in an order of their own."""
    return Holidays(
        regions=tuple(dict.fromkeys(item for item in items if isinstance(item, str))),
        calendars=tuple(dict.fromkeys(item for item in items if isinstance(item, IcsFile))),
        days=_days(items),
        weekend=tuple(sorted(set(weekend))),
    )


def skip_of(items: tuple[HolidayItem, ...]) -> Skip:
    """Return what a window's ``skip`` list leaves out, in an order of its own."""
    return Skip(
        weekends="weekends" in items,
        holidays="holidays" in items,
        calendars=tuple(dict.fromkeys(item for item in items if isinstance(item, IcsFile))),
        days=_days(items),
    )


def _days(items: tuple[HolidayItem, ...]) -> tuple[date, ...]:
    return tuple(sorted({day for item in items if isinstance(item, tuple) for day in item}))
