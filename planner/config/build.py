"""From YAML text to a `Project`, or every problem of it. Pure.

A problem in the head of a calendar or in one window hides none in the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from typing import TypeVar

from planner.config.documents import CalendarDocument, PlannerDocument, Refinements, WindowDocument
from planner.config.fields import FileResolver, TextFile, holidays_of, skip_of
from planner.config.scalars import parse_name
from planner.config.settings import (
    ProjectSettings,
    guard_rails_of,
    loosened,
    prices_of,
    problem_with,
    read_settings,
    unusable,
    without_notes,
)
from planner.config.validate import Path, limited, validate, window_problems
from planner.config.yaml_nodes import Document, Node, parse
from planner.errors import Problem, quote
from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    GuardRails,
    Holidays,
    Ical,
    IcalMatch,
    IcsFile,
    NamespaceCalendar,
    Place,
    Project,
    Recurrence,
    Rrule,
    Span,
    Window,
)
from planner.recurrence.ical import Use
from workflows.contract import APS_PER_TRU, Rails, round_up

T = TypeVar("T")

MAX_WINDOWS = 2_000
"""Windows in one file."""

DEFAULT_TIMEZONE = "UTC"

DEFAULT_LEAD = timedelta(minutes=10)
"""How long before its start a window's capacity is requested by default."""


def build(
    planner: TextFile | None, calendars: Iterable[TextFile]
) -> tuple[Project | None, list[Problem]]:
    """Return the project of planner.yaml and *calendars*; or None, and every problem of it.

    Neither the order of the files nor that of the documents in them matters.
    """
    problems: list[Problem] = []
    settings = read_settings(planner, problems) if planner else None
    known = settings or ProjectSettings(PlannerDocument(project="unnamed"))
    found: list[NamespaceCalendar] = []
    for file in calendars:
        in_file: list[Problem] = []
        found += _read_file(file, known, in_file)
        problems += limited(file.name, in_file)
    found.sort(key=lambda calendar: (calendar.namespace, calendar.place))
    problems += _duplicates(found)
    if problems or settings is None:
        return None, problems
    return Project(
        name=settings.document.project,
        namespaces=tuple(found),
        policy=settings.document.policy or "sync",
        prices=prices_of(settings.document.prices),
    ), []


def _read_file(
    file: TextFile, settings: ProjectSettings, problems: list[Problem]
) -> Iterator[NamespaceCalendar]:
    """Yield the calendars of *file* that can be used; add to *problems*."""
    documents, syntax = parse(file.text, file.name)
    problems += syntax
    count = sum(document.count_below("windows") for document in documents)
    if count > MAX_WINDOWS:
        message = f"{count:,} windows; {MAX_WINDOWS:,} are allowed in one file: split it"
        problems.append(Problem(file.name, 0, message))
        return
    for document in documents:
        calendar = _read_calendar(document, file.resolver, settings, problems)
        if calendar:
            yield calendar


def _duplicates(calendars: Iterable[NamespaceCalendar]) -> Iterator[Problem]:
    """Yield a problem for each further calendar of a namespace; *calendars* are sorted."""
    for namespace, group in groupby(calendars, key=lambda calendar: calendar.namespace):
        first, *others = (calendar.place for calendar in group)
        message = (
            f"namespace '{namespace}' has a calendar at {first.file}:{first.line}; "
            "one calendar holds all its windows: move them there"
        )
        for other in others:
            yield Problem(other.file, other.line, message)


# Calendars ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WindowContext:
    """What windows inherit from their calendar and from planner.yaml.

    *defaults* are the calendar's, then the project's.
    """

    calendar: CalendarDocument
    timezone: str
    holidays: Holidays
    guard_rails: GuardRails
    defaults: tuple[Refinements, ...]


def _read_calendar(
    document: Document,
    resolver: FileResolver,
    settings: ProjectSettings,
    problems: list[Problem],
) -> NamespaceCalendar | None:
    """Return the calendar of *document*; None if it can't be used. Adds to *problems*."""
    if not isinstance(document.root.value, dict):
        message = "a calendar begins with namespace: payments-prod.a1b2c"
        problems.append(document.problem((), message))
        return None
    head, nodes = _split(document.root)
    model, found = validate(CalendarDocument, head, document, resolver)
    problems += found
    context = _context_of(model, settings) if model else None
    guard_rails = context.guard_rails if context else settings.guard_rails_of(_namespace_in(head))
    timezone = context.timezone if context else settings.document.timezone or DEFAULT_TIMEZONE
    windows: list[Window] = []
    for name, node in nodes.items():
        window = _read_window(name, node, document, resolver, timezone, guard_rails, problems)
        if window and context:
            place = Place(document.file, document.root.line_of(("windows", name)))
            windows.append(build_window(name, window, context, place))
    if not context:
        return None
    for file, use in _ics_uses(context, windows):
        resolver.note_use(file, use)
    problems += [
        document.problem(path, sentence)
        for path, sentence in _head_findings(context, settings)
        if sentence
    ]
    return NamespaceCalendar(
        namespace=context.calendar.namespace,
        timezone=context.timezone,
        windows=tuple(sorted(windows, key=lambda window: window.name)),
        baseline=context.calendar.baseline,
        guard_rails=context.guard_rails,
        holidays=context.holidays,
        place=Place(document.file, document.root.line_of(("namespace",))),
    )


def _split(root: Node) -> tuple[Node, dict[str, Node]]:
    """Return a calendar's head, without windows, and the windows by name."""
    entries = dict(without_notes(root).value)  # type: ignore[arg-type]
    below = entries.get("windows")
    if not below or not isinstance(below[1].value, dict):
        return Node(entries, root.line), {}
    entries["windows"] = (below[0], Node({}, below[0]))
    return Node(entries, root.line), {name: node for name, (_, node) in below[1].value.items()}


def _namespace_in(head: Node) -> str:
    """Return what *head* writes as its namespace."""
    return str(head.plain().get("namespace", ""))


def _context_of(model: CalendarDocument, settings: ProjectSettings) -> WindowContext:
    weekend = model.weekend if model.weekend is not None else settings.holidays.weekend
    if model.holidays is not None:
        holidays = holidays_of(model.holidays, weekend)
    else:
        holidays = replace(settings.holidays, weekend=tuple(sorted(weekend)))
    defaults = (model.defaults, settings.document.defaults)
    return WindowContext(
        calendar=model,
        timezone=model.timezone or settings.document.timezone or DEFAULT_TIMEZONE,
        holidays=holidays,
        guard_rails=guard_rails_of(model.guard_rails, settings.guard_rails_of(model.namespace)),
        defaults=tuple(each for each in defaults if each is not None),
    )


def _head_findings(
    context: WindowContext, settings: ProjectSettings
) -> Iterator[tuple[Path, str | None]]:
    model = context.calendar
    for key, sentence in loosened(model.guard_rails, settings.guard_rails_of(model.namespace)):
        yield ("guard_rails", key), sentence
    if model.guard_rails:
        yield ("guard_rails", "max_tru"), unusable(context.guard_rails)
    baseline = model.baseline.tru if model.baseline else None
    allowed = context.guard_rails.allowed_tru
    if baseline is not None and baseline not in allowed:
        listed = ", ".join(map(str, allowed))
        yield (
            ("baseline", "tru"),
            f"'baseline': {baseline:g} TRU can't be had; choose from {listed}",
        )


def _ics_uses(context: WindowContext, windows: list[Window]) -> Iterator[tuple[IcsFile, Use]]:
    """Yield each ``.ics`` file of a calendar with what it is read for."""
    yield from ((f, Use("holidays", timezone=context.timezone)) for f in context.holidays.calendars)
    for window in windows:
        zone = window.timezone
        if isinstance(window.recurrence, Ical):
            match, has_length = window.recurrence.match, window.length is not None
            yield window.recurrence.file, Use("window", match, has_length, zone)
        yield from ((file, Use("skip", timezone=zone)) for file in window.skip.calendars)
        yield from ((file, Use("holidays", timezone=zone)) for file in window.holidays.calendars)


# Windows -----------------------------------------------------------------------------


def _read_window(
    name: str,
    node: Node,
    document: Document,
    resolver: FileResolver,
    timezone: str,
    guard_rails: GuardRails,
    problems: list[Problem],
) -> WindowDocument | None:
    """Return the window *name*; None if it has problems, which are added to *problems*."""
    before = len(problems)
    path = ("windows", name)
    sentence = problem_with(parse_name, name)
    if sentence:
        problems.append(document.problem(path, sentence))
    if not isinstance(node.value, dict):
        if node.value is not None:
            message = f"window {quote(name)} holds keys; write tru: 8 below it"
            problems.append(document.problem(path, message))
        return None
    model, found = validate(WindowDocument, node, document, resolver)
    problems += found
    problems += window_problems(name, node, document, timezone, guard_rails)
    return model if len(problems) == before else None


def build_window(
    name: str, document: WindowDocument, context: WindowContext, place: Place
) -> Window:
    """Return the window of a *document* without problems."""
    chain = (document, *context.defaults)
    guard_rails = context.guard_rails
    demand = document.tru or math.ceil((document.aps or 0) / APS_PER_TRU)
    return Window(
        namespace=context.calendar.namespace,
        name=name,
        recurrence=_recurrence_of(document),
        tru=round_up(demand, guard_rails.allowed_tru) or 0,
        asked=f"{document.tru} TRU" if document.tru else f"{document.aps} APS",
        timezone=document.timezone or context.timezone,
        length=document.duration or document.until,
        lead=_first(DEFAULT_LEAD, *(each.lead for each in chain)),
        jitter=_first(timedelta(), *(each.jitter for each in chain)),
        combine=_first("max", *(each.combine for each in chain)),
        roll=_first("none", *(each.roll for each in chain)),
        skip=skip_of(_first((), *(each.skip for each in chain))),
        holidays=_holidays_of(document, context.holidays),
        not_before=document.not_before,
        not_after=document.not_after,
        baseline=context.calendar.baseline,
        rails=Rails(guard_rails.allowed_tru, guard_rails.max_tru),
        paused=bool(document.paused),
        description=document.description or "",
        owner=_first("", *(each.owner for each in chain)),
        place=place,
    )


def _first(default: T, *given: T | None) -> T:
    return next((value for value in given if value is not None), default)


def _recurrence_of(document: WindowDocument) -> Recurrence:
    if document.cron is not None:
        return Cron(document.cron, document.day_match)
    if document.rrule is not None:
        assert document.start
        return Rrule(document.rrule, document.start)
    if document.ical is not None:
        return Ical(document.ical, _match_of(document))
    if document.business_days is not None:
        assert document.at is not None
        months = document.months or tuple(range(1, 13))
        return BusinessDays(
            tuple(sorted(set(document.business_days))), document.at, tuple(sorted(set(months)))
        )
    assert document.dates is not None
    spans = {Span(span.start, span.end) for span in document.dates}
    return Dates(tuple(sorted(spans, key=lambda span: (span.start, span.end or span.start))))


def _match_of(document: WindowDocument) -> IcalMatch:
    match = document.match
    if match is None:
        return IcalMatch()
    return IcalMatch(
        summary=match.summary or "",
        category=match.category or "",
        uid=match.uid or "",
        transparent=bool(match.transparent),
    )


def _holidays_of(document: WindowDocument, inherited: Holidays) -> Holidays:
    weekend = document.weekend if document.weekend is not None else inherited.weekend
    if document.holidays is not None:
        return holidays_of(document.holidays, weekend)
    return replace(inherited, weekend=tuple(sorted(weekend)))
