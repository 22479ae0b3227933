"""From a window's document to a `Window`: defaults filled in, demand rounded, rails held."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from planner.config.days_off import holidays_of, skip_of
from planner.config.documents import CalendarDocument
from planner.config.values import short
from planner.config.window_document import Refinements, WindowDocument
from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Duration,
    GuardRails,
    Holidays,
    Ical,
    IcalMatch,
    Length,
    Place,
    Recurrence,
    Rrule,
    Span,
    Until,
    Window,
)
from workflows.contract import APS_PER_TRU, Rails, round_up

T = TypeVar("T")

DEFAULT_LEAD = timedelta(minutes=10)
"""How long before its start a window's capacity is asked for, unless something is written."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a window inherits: from its calendar, and that from planner.yaml."""

    calendar: CalendarDocument
    timezone: str
    holidays: Holidays
    guard_rails: GuardRails
    defaults: tuple[Refinements, ...]


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a window can't be had as written: the key at fault, and the sentence."""

    key: str
    message: str


def build_window(
    name: str, document: WindowDocument, around: Surroundings, place: Place
) -> Window | list[Objection]:
    """Return the window that *document* writes, or what the guard rails say against it."""
    objections = list(_objections(document, around.guard_rails))
    if objections:
        return objections
    chain = (document, *around.defaults)
    return Window(
        namespace=around.calendar.namespace,
        name=name,
        recurrence=recurrence_of(document),
        tru=_tru(document, around.guard_rails.allowed_tru) or 0,
        asked=f"{document.tru} TRU" if document.tru else f"{document.aps} APS",
        timezone=document.timezone or around.timezone,
        length=_length(document),
        lead=_first(DEFAULT_LEAD, *(each.lead for each in chain)),
        jitter=_first(timedelta(), *(each.jitter for each in chain)),
        combine=_first("max", *(each.combine for each in chain)),
        roll=_first("none", *(each.roll for each in chain)),
        skip=skip_of(_first((), *(each.skip for each in chain))),
        holidays=_holidays(document, around.holidays),
        not_before=document.not_before,
        not_after=document.not_after,
        baseline=around.calendar.baseline,
        rails=Rails(around.guard_rails.allowed_tru, around.guard_rails.max_tru),
        paused=bool(document.paused),
        description=document.description or "",
        owner=_first("", *(each.owner for each in chain)),
        place=place,
    )


def _first(default: T, *given: T | None) -> T:
    return next((value for value in given if value is not None), default)


def recurrence_of(document: WindowDocument) -> Recurrence:
    """Return what the window recurs by; `planner.config.shape` saw to it that it is one."""
    if document.cron is not None:
        return Cron(document.cron, document.day_match)
    if document.rrule is not None:
        assert document.start
        return Rrule(document.rrule, document.start)
    if document.ical is not None:
        return Ical(document.ical, _match(document))
    if document.business_days is not None:
        assert document.at is not None
        months = document.months or tuple(range(1, 13))
        return BusinessDays(
            tuple(sorted(set(document.business_days))), document.at, tuple(sorted(set(months)))
        )
    assert document.dates is not None
    spans = {Span(span.start, span.end) for span in document.dates}
    return Dates(tuple(sorted(spans, key=lambda span: (span.start, span.end or span.start))))


def _match(document: WindowDocument) -> IcalMatch:
    match = document.match
    if match is None:
        return IcalMatch()
    return IcalMatch(
        summary=match.summary or "",
        category=match.category or "",
        uid=match.uid or "",
        transparent=bool(match.transparent),
    )


def _length(document: WindowDocument) -> Length | None:
    if document.duration is not None:
        return Duration(document.duration)
    return Until(document.until) if document.until is not None else None


def _holidays(document: WindowDocument, inherited: Holidays) -> Holidays:
    weekend = document.weekend if document.weekend is not None else inherited.weekend
    if document.holidays is not None:
        return holidays_of(document.holidays, weekend)
    return replace(inherited, weekend=tuple(sorted(weekend)))


def _tru(document: WindowDocument, allowed: tuple[int, ...]) -> int | None:
    """Return the demand as the smallest allowed value that covers it."""
    wanted = document.tru or math.ceil((document.aps or 0) / APS_PER_TRU)
    return round_up(wanted, allowed)


def _objections(document: WindowDocument, rails: GuardRails) -> Iterator[Objection]:
    yield from _too_much(document, rails)
    longest = rails.max_duration
    if longest is None:
        return
    good = f"longer than the guard rail max_duration: {short(longest)}; write that or less"
    if document.duration is not None and document.duration > longest:
        yield Objection("duration", f"'duration': {short(document.duration)} is {good}")
    for span in document.dates or ():
        if span.end and span.end - span.start > longest:
            yield Objection("dates", f"'dates': {span.start:%Y-%m-%dT%H:%M} lasts {good}")


def _too_much(document: WindowDocument, rails: GuardRails) -> Iterator[Objection]:
    key = "tru" if document.tru else "aps"
    asked = f"{document.tru} TRU" if document.tru else f"{document.aps} APS"
    granted = _tru(document, rails.allowed_tru)
    largest = max(rails.allowed_tru)
    if granted is None:
        yield Objection(
            key,
            f"'{key}': {asked} is above the largest allowed value; write {largest} TRU "
            f"({largest * APS_PER_TRU:,} APS) or less",
        )
    elif rails.max_tru is not None and granted > rails.max_tru:
        good = max((tru for tru in rails.allowed_tru if tru <= rails.max_tru), default=0)
        yield Objection(
            key,
            f"'{key}': {asked} needs {granted} TRU, above the guard rail max_tru: "
            f"{rails.max_tru}; write {good} TRU ({good * APS_PER_TRU:,} APS) or less",
        )
