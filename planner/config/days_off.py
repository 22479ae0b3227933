"""Days off, and the .ics files that know them: what ``holidays`` and ``skip`` list."""

from __future__ import annotations

from datetime import date
from typing import Annotated, cast

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from planner.config.fields import as_list, one_or_more
from planner.config.nodes import shown
from planner.config.readers import parse_region, text_of
from planner.config.shelf import Shelf
from planner.config.values import (
    looks_like_days,
    near,
    parse_days,
)
from planner.model import Holidays, IcsFile, Skip


def take_ics(text: str, info: ValidationInfo) -> IcsFile:
    """Return the iCalendar file that *text* names, from the shelf of this reading."""
    return cast(Shelf, info.context).take(text)


def _read_file(raw: object, info: ValidationInfo) -> object:
    if isinstance(raw, IcsFile):
        return raw
    text = text_of(raw)
    if not text.endswith(".ics"):
        raise ValueError(f"{shown(text)} is no .ics file; write launches.ics")
    return take_ics(text, info)


File = Annotated[
    IcsFile, BeforeValidator(_read_file), WithJsonSchema({"type": "string", "pattern": r"\.ics$"})
]

HolidayItem = str | IcsFile | tuple[date, ...]


def _read_days(raw: object, info: ValidationInfo) -> object:
    """Read a date, a range of dates, or an iCalendar file; return any other text as it is."""
    if not isinstance(raw, (str, list, dict)):
        return raw
    text = text_of(raw)
    if text.endswith(".ics"):
        return take_ics(text, info)
    return parse_days(text) if looks_like_days(text) else text


def _read_holiday(raw: object, info: ValidationInfo) -> object:
    """Read a region's code, or days."""
    read = _read_days(raw, info)
    return parse_region(read) if isinstance(read, str) else read


def _read_skip(raw: object, info: ValidationInfo) -> object:
    """Read ``weekends``, ``holidays``, or days."""
    read = _read_days(raw, info)
    if not isinstance(read, str) or read in ("weekends", "holidays"):
        return read
    hint = near(read, ("weekends", "holidays"))
    raise ValueError(
        f"{shown(read)} can't be skipped; write weekends, holidays, 2027-12-24, "
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
