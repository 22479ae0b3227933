"""From YAML text to a `Project`, or every problem of it. Pure.

A problem in the head of a calendar or in one window hides nothing in the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from typing import TypeVar

from planner.config.documents import CalendarDocument, PlannerDocument, Refinements, WindowDocument
from planner.config.fields import Shelf, TextFile, holidays_of, skip_of
from planner.config.scalars import parse_name
from planner.config.settings import (
    Shared,
    complaint,
    loosened,
    prices_of,
    rails_of,
    read_shared,
    unusable,
    without_notes,
)
from planner.config.validate import shape_problems, told, validate
from planner.config.yaml_nodes import Document, Node, parse, shown
from planner.errors import Problem
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
    NamespaceCalendar,
    Place,
    Project,
    Recurrence,
    Rrule,
    Span,
    Until,
    Window,
)
from workflows.contract import APS_PER_TRU, Rails, format_duration, round_up

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
    good = (
        f"longer than the guard rail max_duration: {format_duration(longest)}; write that or less"
    )
    if document.duration is not None and document.duration > longest:
        yield Objection("duration", f"'duration': {format_duration(document.duration)} is {good}")
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


DEFAULT_TIMEZONE = "UTC"


def read_calendar(
    document: Document, shelf: Shelf, shared: Shared, problems: list[Problem]
) -> NamespaceCalendar | None:
    """Read one document: its head first, then each window by itself.

    A fault in one of them hides nothing in the others.
    """
    head, window_nodes = _split(document, problems)
    if head is None:
        return None
    model, faults = validate(CalendarDocument, head, document, shelf)
    problems += faults
    timezone = _timezone(model, shared)
    read = [
        (name, _read_window(name, node, timezone, document, shelf, problems))
        for name, node in window_nodes.items()
    ]
    if model is None:
        return None
    around = _surroundings(model, shared)
    problems += _head_problems(document, model, around, shared)
    built: list[Window] = []
    for name, window in read:
        if window is not None:
            built += _build_window(name, window, around, document, problems)
    return NamespaceCalendar(
        namespace=model.namespace,
        timezone=around.timezone,
        windows=tuple(sorted(built, key=lambda window: window.name)),
        baseline=model.baseline,
        guard_rails=around.guard_rails,
        holidays=around.holidays,
        place=Place(document.file, document.line_of(("namespace",))),
    )


def _split(document: Document, problems: list[Problem]) -> tuple[Node | None, dict[str, Node]]:
    """Return a document's head, with no windows in it, and its windows by name."""
    root = document.root
    if not isinstance(root.value, dict):
        problems.append(
            Problem(
                document.file, root.line, "a calendar begins with namespace: payments-prod.a1b2c"
            )
        )
        return None, {}
    entries = dict(without_notes(root).value)  # type: ignore[arg-type]
    below = entries.get("windows")
    named: dict[str, Node] = {}
    if below and isinstance(below[1].value, dict):
        named = {name: node for name, (_, node) in below[1].value.items()}
        entries["windows"] = (below[0], Node({}, below[0]))
    return Node(entries, root.line), named


def _timezone(model: CalendarDocument | None, shared: Shared) -> str:
    """Return the zone of the windows that name none."""
    return (model and model.timezone) or shared.document.timezone or DEFAULT_TIMEZONE


def _read_window(
    name: str,
    node: Node,
    timezone: str,
    document: Document,
    shelf: Shelf,
    problems: list[Problem],
) -> WindowDocument | None:
    before = len(problems)
    line = document.line_of(("windows", name))
    sentence = complaint(parse_name, name)
    if sentence:
        problems.append(Problem(document.file, line, sentence))
    if not isinstance(node.value, dict):
        if node.value is not None:
            problems.append(
                Problem(
                    document.file, line, f"window {shown(name)} holds keys; write tru: 8 below it"
                )
            )
        return None
    model, faults = validate(WindowDocument, node, document, shelf)
    problems += faults
    problems += shape_problems(name, node, document, timezone)
    return model if len(problems) == before else None


def _build_window(
    name: str,
    window: WindowDocument,
    around: Surroundings,
    document: Document,
    problems: list[Problem],
) -> list[Window]:
    path = ("windows", name)
    built = build_window(name, window, around, Place(document.file, document.line_of(path)))
    if isinstance(built, Window):
        return [built]
    problems += [
        Problem(document.file, document.line_of((*path, objection.key)), objection.message)
        for objection in built
    ]
    return []


def _surroundings(model: CalendarDocument, shared: Shared) -> Surroundings:
    weekend = model.weekend if model.weekend is not None else shared.holidays.weekend
    if model.holidays is not None:
        holidays = holidays_of(model.holidays, weekend)
    else:
        holidays = replace(shared.holidays, weekend=tuple(sorted(weekend)))
    return Surroundings(
        calendar=model,
        timezone=_timezone(model, shared),
        holidays=holidays,
        guard_rails=rails_of(model.guard_rails, shared.rails_for(model.namespace)),
        defaults=tuple(_given(model.defaults, shared.document.defaults)),
    )


def _given(*defaults: Refinements | None) -> Iterable[Refinements]:
    return (each for each in defaults if each is not None)


def _head_problems(
    document: Document, model: CalendarDocument, around: Surroundings, shared: Shared
) -> list[Problem]:
    findings = [
        (("guard_rails", key), sentence)
        for key, sentence in loosened(model.guard_rails, shared.rails_for(model.namespace))
    ]
    if model.guard_rails and (sentence := unusable(around.guard_rails)):
        findings.append((("guard_rails", "max_tru"), sentence))
    baseline = model.baseline.tru if model.baseline else None
    allowed = around.guard_rails.allowed_tru
    if baseline is not None and baseline not in allowed:
        listed = ", ".join(map(str, allowed))
        findings.append(
            (
                ("baseline", "tru"),
                f"'baseline': {baseline:g} TRU can't be had; choose from {listed}",
            )
        )
    return [Problem(document.file, document.line_of(path), sentence) for path, sentence in findings]


MAX_WINDOWS = 2_000
"""Windows in one file."""


def build(
    planner: TextFile | None, calendars: Iterable[TextFile]
) -> tuple[Project | None, list[Problem]]:
    """Return the project that the files write, and all their problems.

    The project is None where there is any. Neither the order of the files nor that of
    the documents in them matters.
    """
    problems: list[Problem] = []
    shared = read_shared(planner, problems) if planner else None
    around = shared or Shared(PlannerDocument(project="unnamed"))
    found: list[NamespaceCalendar] = []
    for file in calendars:
        faults: list[Problem] = []
        found += _read_file(file, around, faults)
        problems += told(file.name, faults)
    problems += _twice(found)
    if problems or shared is None:
        return None, problems
    return _project(shared, found), []


def _read_file(
    file: TextFile, around: Shared, problems: list[Problem]
) -> Iterator[NamespaceCalendar]:
    """Yield the calendars of a file, as far as they can be read."""
    documents, faults = parse(file.text, file.name)
    problems += faults
    count = sum(document.count_below("windows") for document in documents)
    if count > MAX_WINDOWS:
        message = f"{count:,} windows; {MAX_WINDOWS:,} are allowed in one file: split it"
        problems.append(Problem(file.name, 0, message))
        return
    for document in documents:
        calendar = read_calendar(document, file.shelf, around, problems)
        if calendar:
            yield calendar


def _project(shared: Shared, calendars: Sequence[NamespaceCalendar]) -> Project:
    document = shared.document
    return Project(
        name=document.project,
        namespaces=tuple(sorted(calendars, key=lambda calendar: calendar.namespace)),
        policy=document.policy or "sync",
        prices=prices_of(document.prices),
    )


def _twice(calendars: Sequence[NamespaceCalendar]) -> list[Problem]:
    """Report each calendar after the first that a namespace has, with both places."""
    ordered = sorted(calendars, key=lambda calendar: (calendar.namespace, calendar.place))
    problems = []
    for namespace, group in groupby(ordered, key=lambda calendar: calendar.namespace):
        first, *others = (calendar.place for calendar in group)
        problems += [
            Problem(
                other.file,
                other.line,
                f"namespace '{namespace}' has a calendar at {first.file}:{first.line}; "
                "one calendar holds all its windows: move them there",
            )
            for other in others
        ]
    return problems
