"""From YAML text to a `Project`, or every problem of it. Pure.

A problem in the head of a calendar or in one window hides none in the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import groupby, pairwise
from typing import TypeVar

from planner.config.documents import (
    CalendarDocument,
    GuardRailsDocument,
    PlannerDocument,
    PricesDocument,
    Refinements,
    TemporalDocument,
    UsageDocument,
    WindowDocument,
)
from planner.config.fields import FileResolver, TextFile, holidays_of, skip_of
from planner.config.scalars import parse_name, parse_namespace
from planner.config.validate import (
    Known,
    Path,
    fleet_findings,
    fleets_of,
    limited,
    needless_workers,
    shared_fleets,
    validate,
    window_problems,
)
from planner.config.yaml_nodes import Document, Node, parse
from planner.errors import Problem, did_you_mean, quote
from planner.model import (
    CLOUD_PLANS,
    DEFAULT_LEAD,
    BusinessDays,
    Cron,
    Dates,
    GuardRails,
    Holidays,
    Ical,
    IcalMatch,
    IcsFile,
    IcsUse,
    NamespaceCalendar,
    Place,
    Prices,
    PriceTier,
    Project,
    Recurrence,
    RequiredTarget,
    Ring,
    Rrule,
    Span,
    Window,
)
from workflows.contract import APS_PER_TRU, BaselinePolicy, Fleet, format_duration, round_up
from workflows.contract.findings import UsageThresholds
from workflows.contract.notices import EVENTS, PAGERDUTY_URL, NoticeTarget

T = TypeVar("T")

_InFile = tuple[list[NamespaceCalendar], list[Problem]]

Aside = Callable[[Callable[[], list[_InFile | None]]], Callable[[], list[_InFile | None]]]
"""Begins a work elsewhere, and returns what waits for its result."""

MANY_FILES = 100
"""Files from which on reading half of them elsewhere pays for itself."""

MAX_WINDOWS = 2_000
"""Windows in one file."""

DEFAULT_TIMEZONE = "UTC"


def build(
    planner: TextFile | None, calendars: Iterable[TextFile], aside: Aside | None = None
) -> tuple[Project | None, list[Problem]]:
    """Return the project of planner.yaml and *calendars*; or None, and every problem of it.

    Neither the order of the files nor that of the documents in them matters. Half of many files
    are read *aside*, if given.
    """
    problems: list[Problem] = []
    settings = read_settings(planner, problems) if planner else None
    known = settings or ProjectSettings(PlannerDocument(project="unnamed"))
    files = tuple(calendars)
    others = files[1::2] if aside and len(files) >= MANY_FILES else ()
    waiting = aside(partial(_read_alone, others, known)) if aside and others else None
    read = {file.name: _in_file(file, known) for file in (files[::2] if others else files)}
    for file, there in zip(others, waiting() if waiting else (), strict=True):
        read[file.name] = there or _in_file(file, known)
    found: list[NamespaceCalendar] = []
    for file in files:
        in_file, wrong = read[file.name]
        found += in_file
        problems += wrong
    found.sort(key=lambda calendar: (calendar.namespace, calendar.place))
    problems += _duplicates(found)
    problems += shared_fleets(found)
    if settings and not problems:
        problems += _namespace_problems(settings, [each.namespace for each in found])
    if problems or settings is None:
        return None, problems
    return Project(
        name=settings.document.project,
        namespaces=tuple(found),
        policy=settings.document.policy or "sync",
        prices=prices_of(settings.document.prices),
        temporal=required_target_of(settings.document.temporal),
        source=settings.document.source or "",
        renamed_from=settings.document.renamed_from or "",
        notices=notices_of(settings.document),
        rings=rings_of(settings.document),
        ring_pause=settings.document.ring_pause or timedelta(hours=1),
        usage=usage_of(settings.document.usage),
    ), []


def _read_alone(files: Iterable[TextFile], settings: ProjectSettings) -> list[_InFile | None]:
    """Return what each of *files* holds; None for one that refers to other files."""
    found: list[_InFile | None] = []
    for file in files:
        try:
            found.append(_in_file(replace(file, resolver=_NoFiles()), settings))
        except _RefersToFiles:
            found.append(None)
    return found


class _RefersToFiles(Exception):
    """What is loaded has to be known where all files are."""


class _NoFiles:
    """Resolver that refuses to load any file."""

    def load(self, path: str) -> IcsFile:
        raise _RefersToFiles(path)

    def note_use(self, file: IcsFile, use: IcsUse) -> None:
        raise _RefersToFiles(file.path)


def _in_file(file: TextFile, settings: ProjectSettings) -> _InFile:
    """Return the calendars of *file* that can be used, and its problems, up to a limit."""
    documents, problems = parse(file.text, file.name)
    count = sum(document.count_below("windows") for document in documents)
    if count > MAX_WINDOWS:
        message = f"{count:,} windows; {MAX_WINDOWS:,} are allowed in one file: split it"
        problems.append(Problem(file.name, 0, message))
        documents = []
    found = [
        calendar
        for document in documents
        if (calendar := _read_calendar(document, file.resolver, settings, problems))
    ]
    return found, list(limited(file.name, problems))


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


# Notices -----------------------------------------------------------------------------


def notices_of(document: PlannerDocument) -> tuple[NoticeTarget, ...]:
    """Return where the notices of a project go, by name: the order of the file doesn't matter."""
    found = [
        NoticeTarget(
            name=one.name,
            format=one.format or "json",
            url=one.url or "",
            secret=one.url_from or one.key_from or "",
            events=tuple(event for event in EVENTS if event in (one.events or ())),
            namespaces=tuple(sorted(set(one.namespaces or ()))),
            project=document.project,
        )
        for one in document.notices or ()
    ]
    return tuple(sorted(found, key=lambda target: target.name))


def rings_of(document: PlannerDocument) -> tuple[Ring, ...]:
    """Return the rings of a project, in the order of the file."""
    return tuple(Ring(name, frozenset(names)) for name, names in (document.rings or {}).items())


_PAGERDUTY = r"https://events\.(eu\.)?pagerduty\.com/|http://127\.0\.0\.1:"


def _notice_findings(document: PlannerDocument) -> Iterator[tuple[Path, str | None]]:
    names: set[str] = set()
    for index, one in enumerate(document.notices or ()):
        path: Path = ("notices", index)
        if one.name in names:
            yield (*path, "name"), f"a second notice named {quote(one.name)}; name it differently"
        names.add(one.name)
        given = tuple(key for key in ("url", "url_from", "key_from") if getattr(one, key))
        match one.format or "json":
            case "pagerduty" if given in (("key_from",), ("url", "key_from")):
                if one.url is not None and not re.match(_PAGERDUTY, one.url):
                    good = f"leave 'url' out, or write {PAGERDUTY_URL}"
                    yield (*path, "url"), f"a routing key is sent to PagerDuty alone; {good}"
            case "pagerduty":
                yield path, _places(given, "key_from: env PAGERDUTY_ROUTING_KEY")
            case "slack" if given != ("url_from",):
                yield path, _places(given, "url_from: env SLACK_WEBHOOK_URL")
            case "json" if given not in (("url",), ("url_from",)):
                good = "url: https://hooks.example.com/capacity, or url_from: env NOTICE_URL"
                yield path, _places(given, good)


def _places(given: tuple[str, ...], good: str) -> str:
    has = f"has {' and '.join(given)}" if given else "has no address"
    return f"this notice {has}; write {good}"


def _namespace_problems(settings: ProjectSettings, known: list[str]) -> Iterator[Problem]:
    """Yield a problem for each namespace of fleets, notices or rings that isn't *known*.

    And for each that is in two rings.
    """

    def unknown(path: Path, key: str, name: str, good: str) -> Problem:
        hint = did_you_mean(name, known) or f"; {good}"
        message = f"'{key}': there is no calendar of {quote(name)}{hint}"
        return Problem(settings.file, settings.line_of(path), message)

    for name, fleets in settings.fleets.items():
        if fleets and name not in known:
            good = "give it one, or remove its fleets"
            yield unknown(("namespaces", name), "fleets", name, good)
    good = "name one that has a calendar here"
    for index, one in enumerate(settings.document.notices or ()):
        for place, name in enumerate(one.namespaces or ()):
            if name not in known:
                yield unknown(("notices", index, "namespaces", place), "namespaces", name, good)
    taken: dict[str, str] = {}
    for ring, names in (settings.document.rings or {}).items():
        for place, name in enumerate(names):
            path = ("rings", ring, place)
            if name not in known:
                yield unknown(path, "rings", name, good)
            elif name in taken:
                message = f"'rings': {quote(name)} is in the ring {taken[name]}, too; name it once"
                yield Problem(settings.file, settings.line_of(path), message)
            taken.setdefault(name, ring)


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
    baseline_policy: BaselinePolicy
    defaults: tuple[Refinements, ...]
    fleets: tuple[Fleet, ...] = ()


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
    fleets = _known_fleets(head, context, settings)
    windows: list[Window] = []
    for name, node in nodes.items():
        found = window_problems(name, node, document, timezone, guard_rails, fleets)
        window = _read_window(name, node, document, resolver, found, problems)
        if window and context:
            place = Place(document.file, document.root.line_of(("windows", name)))
            windows.append(build_window(name, window, context, place))
            problems += [
                Problem(document.file, node.line_of(path), sentence)
                for path, sentence in needless_workers(windows[-1])
            ]
    if not context:
        return None
    for file, use in _ics_uses(context, windows):
        resolver.note_use(file, use)
    problems += [
        document.problem(path, sentence)
        for path, sentence in _head_findings(context, settings)
        if sentence
    ]
    return _calendar_of(context, windows, settings, document)


def _calendar_of(
    context: WindowContext, windows: Iterable[Window], settings: ProjectSettings, document: Document
) -> NamespaceCalendar:
    """Return the calendar of a *document* without problems."""
    line_of = document.root.line_of
    return NamespaceCalendar(
        namespace=context.calendar.namespace,
        timezone=context.timezone,
        windows=tuple(sorted(windows, key=lambda window: window.name)),
        baseline=context.calendar.baseline,
        baseline_policy=context.baseline_policy,
        guard_rails=context.guard_rails,
        holidays=context.holidays,
        fleets=context.fleets,
        lead=_first(DEFAULT_LEAD, *(each.lead for each in context.defaults)),
        place=Place(document.file, line_of(("namespace",))),
        fleet_places={
            **settings.fleet_places(context.calendar.namespace),
            **{
                name: Place(document.file, line_of(("fleets", name)))
                for name in context.calendar.fleets or ()
            },
        },
    )


def _known_fleets(head: Node, context: WindowContext | None, settings: ProjectSettings) -> Known:
    """Return the fleets that windows may name, also where the *head* has problems."""
    if context:
        return {fleet.name: fleet for fleet in context.fleets}
    written = head.plain().get("fleets")
    declared = settings.fleets.get(_namespace_in(head), ())
    return {
        **{fleet.name: fleet for fleet in declared},
        **(dict.fromkeys(written) if isinstance(written, dict) else {}),
    }


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
    defaults = (model.defaults, settings.document.defaults)
    own = {fleet.name: fleet for fleet in fleets_of(model.fleets)}
    shared = {fleet.name: fleet for fleet in settings.fleets.get(model.namespace, ())}
    return WindowContext(
        calendar=model,
        timezone=model.timezone or settings.document.timezone or DEFAULT_TIMEZONE,
        holidays=_holidays_of(model, settings.holidays),
        guard_rails=guard_rails_of(model.guard_rails, settings.guard_rails_of(model.namespace)),
        baseline_policy=model.baseline_policy or settings.document.baseline_policy or "enforce",
        defaults=tuple(each for each in defaults if each is not None),
        fleets=tuple(fleet for _, fleet in sorted({**shared, **own}.items())),
    )


def _head_findings(
    context: WindowContext, settings: ProjectSettings
) -> Iterator[tuple[Path, str | None]]:
    model = context.calendar
    for key, sentence in loosened(model.guard_rails, settings.guard_rails_of(model.namespace)):
        yield ("guard_rails", key), sentence
    if model.guard_rails:
        yield ("guard_rails", "max_tru"), unusable(context.guard_rails)
    for path, sentence in fleet_findings(model.fleets):
        yield ("fleets", *path), sentence
    for name in model.fleets or ():
        if place := settings.fleet_places(model.namespace).get(name):
            message = f"fleet {quote(name)} is declared at {place.file}:{place.line}, too"
            yield ("fleets", name), f"{message}; keep one of the two"
    baseline = model.baseline.tru if model.baseline else None
    allowed = context.guard_rails.allowed_tru
    if baseline is not None and baseline not in allowed:
        listed = ", ".join(map(str, allowed))
        yield (
            ("baseline", "tru"),
            f"'baseline': {baseline:g} TRU can't be had; choose from {listed}",
        )
    elif baseline is not None and (above := context.guard_rails.above_tru(round(baseline))):
        yield ("baseline", "tru"), f"'baseline': {baseline:g} TRU is {above}"


def _ics_uses(context: WindowContext, windows: list[Window]) -> Iterator[tuple[IcsFile, IcsUse]]:
    """Yield each ``.ics`` file of a calendar with what it is read for."""
    yield from (
        (f, IcsUse("holidays", timezone=context.timezone)) for f in context.holidays.calendars
    )
    for window in windows:
        zone = window.timezone
        if isinstance(window.recurrence, Ical):
            match, has_length = window.recurrence.match, window.length is not None
            yield window.recurrence.file, IcsUse("window", match, has_length, zone)
        yield from ((file, IcsUse("skip", timezone=zone)) for file in window.skip.calendars)
        yield from ((file, IcsUse("holidays", timezone=zone)) for file in window.holidays.calendars)


# Windows -----------------------------------------------------------------------------


def _read_window(
    name: str,
    node: Node,
    document: Document,
    resolver: FileResolver,
    combinations: Iterable[Problem],
    problems: list[Problem],
) -> WindowDocument | None:
    """Return the window *name*; None if it has problems, which are added to *problems*.

    *combinations* are those between its keys.
    """
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
    problems += combinations
    return model if len(problems) == before else None


def build_window(
    name: str, document: WindowDocument, context: WindowContext, place: Place
) -> Window:
    """Return the window of a *document* without problems."""
    chain = (document, *context.defaults)
    guard_rails = context.guard_rails
    workers = document.workers or {}
    if document.tru:
        asked, demand = f"{document.tru} TRU", document.tru
    elif document.aps:
        asked, demand = f"{document.aps} APS", math.ceil(document.aps / APS_PER_TRU)
    else:  # it needs workers alone
        asked, demand = "", 0
    return Window(
        namespace=context.calendar.namespace,
        name=name,
        recurrence=_recurrence_of(document),
        tru=(round_up(demand, guard_rails.allowed_tru) or 0) if demand else 0,
        asked=asked,
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
        rails=guard_rails.rails,
        limits=guard_rails.limits,
        baseline_policy=context.baseline_policy,
        paused=bool(document.paused),
        renamed_from=document.renamed_from or "",
        description=document.description or "",
        owner=_first("", *(each.owner for each in chain)),
        workers=tuple(sorted(workers.items())),
        fleets=tuple(fleet for fleet in context.fleets if fleet.name in workers),
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
        match = document.match.model_dump(exclude_none=True) if document.match else {}
        return Ical(document.ical, IcalMatch(**match))
    if document.business_days is not None:
        assert document.at is not None
        months = document.months or tuple(range(1, 13))
        return BusinessDays(
            tuple(sorted(set(document.business_days))), document.at, tuple(sorted(set(months)))
        )
    assert document.dates is not None
    spans = {Span(span.start, span.end) for span in document.dates}
    return Dates(tuple(sorted(spans, key=lambda span: (span.start, span.end or span.start))))


def _holidays_of(document: CalendarDocument | WindowDocument, inherited: Holidays) -> Holidays:
    weekend = document.weekend if document.weekend is not None else inherited.weekend
    if document.holidays is not None:
        return holidays_of(document.holidays, weekend)
    return replace(inherited, weekend=tuple(sorted(weekend)))


# The project's settings: planner.yaml ------------------------------------------------

_NO_GUARD_RAILS = GuardRails()


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """The settings that planner.yaml gives to every calendar."""

    document: PlannerDocument
    guard_rails: GuardRails = _NO_GUARD_RAILS
    by_namespace: Mapping[str, GuardRails] = field(default_factory=dict)
    fleets: Mapping[str, tuple[Fleet, ...]] = field(default_factory=dict)
    holidays: Holidays = Holidays()
    file: str = ""
    line_of: Callable[[Path], int] = field(default=lambda _: 0)

    def guard_rails_of(self, namespace: str) -> GuardRails:
        """Return the guard rails that planner.yaml sets for *namespace*."""
        return self.by_namespace.get(namespace, self.guard_rails)

    def fleet_places(self, namespace: str) -> dict[str, Place]:
        """Return where planner.yaml declares each fleet of *namespace*."""
        return {
            fleet.name: Place(
                self.file, self.line_of(("namespaces", namespace, "fleets", fleet.name))
            )
            for fleet in self.fleets.get(namespace, ())
        }


def read_settings(file: TextFile, problems: list[Problem]) -> ProjectSettings | None:
    """Return the settings of planner.yaml; None if it can't be used. Adds to *problems*."""
    documents, syntax = parse(file.text, file.name)
    problems += syntax
    if not documents:
        if not syntax:
            problems.append(Problem(file.name, 0, "is empty; write project: payments-platform"))
        return None
    for extra in documents[1:]:
        problems.append(extra.problem((), "a second document; planner.yaml holds one"))
    document = documents[0]
    root = without_notes(document.root)
    model, found = validate(PlannerDocument, root, document, file.resolver)
    problems += found
    if model is None:
        return None
    holidays = holidays_of(model.holidays or (), model.weekend or ())
    for ics_file in holidays.calendars:
        file.resolver.note_use(ics_file, IcsUse("holidays"))
    guard_rails = guard_rails_of(model.guard_rails, GuardRails())
    by_namespace = {
        namespace: guard_rails_of(each.guard_rails, guard_rails)
        for namespace, each in (model.namespaces or {}).items()
    }
    fleets = {name: fleets_of(each.fleets) for name, each in (model.namespaces or {}).items()}
    settings = ProjectSettings(
        model, guard_rails, by_namespace, fleets, holidays, file.name, root.line_of
    )
    problems += [
        document.problem(path, sentence) for path, sentence in _findings(settings) if sentence
    ]
    return settings


def _findings(settings: ProjectSettings) -> Iterator[tuple[Path, str | None]]:
    rails = settings.guard_rails
    yield ("guard_rails", "max_tru"), unusable(rails)
    if settings.document.renamed_from == settings.document.project:
        yield (
            ("renamed_from",),
            f"'renamed_from': {quote(settings.document.project)} is its present name; write the "
            "one before, or remove the line",
        )
    yield from _notice_findings(settings.document)
    if prices := settings.document.prices:
        *bounded, last = prices_of(prices).tiers
        limits = [tier.up_to for tier in bounded]
        if last.up_to is not None or None in limits:
            good = "write {per_million: 25} last"
            yield ("prices", "tiers"), f"'tiers' ends with one without up_to, and only that; {good}"
        elif any(a >= b for a, b in pairwise(limits) if a and b):
            yield ("prices", "tiers"), "'tiers' ascend by up_to; write 5000000 before 10000000"
        if not prices.tiers and prices.currency not in {None, "USD"}:
            yield (
                ("prices", "currency"),
                "'currency' is of 'tiers', and Temporal's own list is in USD; add tiers or leave "
                "it out",
            )
    for namespace, each in settings.by_namespace.items():
        path = ("namespaces", namespace)
        yield path, problem_with(parse_namespace, namespace)
        if each.max_tru != rails.max_tru or each.allowed_tru != rails.allowed_tru:
            yield (*path, "guard_rails"), unusable(each)
    for namespace, written in (settings.document.namespaces or {}).items():
        if written.guard_rails is None and not written.fleets:
            good = "guard_rails: {max_tru: 8}, or fleets"
            yield ("namespaces", namespace), f"{quote(namespace)} has no settings; write {good}"
        for below, sentence in fleet_findings(written.fleets):
            yield ("namespaces", namespace, "fleets", *below), sentence


# Guard rails -------------------------------------------------------------------------


def guard_rails_of(document: GuardRailsDocument | None, inherited: GuardRails) -> GuardRails:
    """Return the guard rails of *document*, with those *inherited* where it sets none."""
    if document is None:
        return inherited
    return replace(
        inherited,
        allowed_tru=tuple(sorted(set(document.allowed_tru or inherited.allowed_tru))),
        max_tru=document.max_tru or inherited.max_tru,
        max_duration=document.max_duration or inherited.max_duration,
        max_boost_hours_per_month=(
            document.max_boost_hours_per_month or inherited.max_boost_hours_per_month
        ),
    )


def loosened(document: GuardRailsDocument | None, project: GuardRails) -> Iterator[tuple[str, str]]:
    """Yield the keys by which a calendar would allow more than *project* does.

    A calendar's author may not lift the limits of the platform's owner: with both files in
    one repository, code owners of planner.yaml decide.
    """
    if document is None:
        return
    ceilings = ("max_tru", "max_duration", "max_boost_hours_per_month")
    for key in ceilings:
        own, limit = getattr(document, key), getattr(project, key)
        if own is not None and limit is not None and own > limit:
            good = format_duration(limit) if isinstance(limit, timedelta) else f"{limit:g}"
            yield key, f"'{key}' is above planner.yaml's {good}; write {good} or less"
    extra = sorted(set(document.allowed_tru or ()) - set(project.allowed_tru))
    if extra:
        allowed = ", ".join(map(str, project.allowed_tru))
        yield (
            "allowed_tru",
            f"'allowed_tru' adds {', '.join(map(str, extra))} to planner.yaml's values; "
            f"choose from {allowed}",
        )


def unusable(rails: GuardRails) -> str | None:
    """Return why no boost can keep to *rails*, in a sentence; None if one can."""
    smallest = min(rails.allowed_tru)
    if rails.max_tru is not None and rails.max_tru < smallest:
        return (
            f"'max_tru' of {rails.max_tru} is below the smallest allowed TRU value; "
            f"write {smallest} or more"
        )
    return None


# Prices ------------------------------------------------------------------------------


def prices_of(document: PricesDocument | None) -> Prices:
    """Return the price list of planner.yaml, else the published one."""
    if document is None:
        return Prices()
    plan = CLOUD_PLANS[document.plan] if document.plan else Prices().plan
    agreed = tuple(PriceTier(tier.up_to, tier.per_million) for tier in document.tiers or ())
    return Prices(
        agreed or plan.tiers,
        document.currency or Prices().currency,
        plan,
        is_assumed=document.plan is None,
    )


def required_target_of(document: TemporalDocument | None) -> RequiredTarget:
    """Return the Temporal server and namespace that planner.yaml requires."""
    if document is None:
        return RequiredTarget()
    return RequiredTarget(address=document.address or "", namespace=document.namespace or "")


def usage_of(document: UsageDocument | None) -> UsageThresholds:
    """Return the thresholds of *document*, with the usual ones where it sets none."""
    return UsageThresholds(**document.model_dump(exclude_none=True) if document else {})


# Shared with calendars ---------------------------------------------------------------


def without_notes(root: Node) -> Node:
    """Return *root* without keys that begin with ``x-``, which hold anchors and notes."""
    if not isinstance(root.value, dict):
        return root
    kept = {key: entry for key, entry in root.value.items() if not key.startswith("x-")}
    return Node(kept, root.line)


def problem_with(parse_one: Callable[[str], object], text: str) -> str | None:
    """Return the sentence with which *parse_one* refuses *text*; None if it accepts it."""
    try:
        parse_one(text)
    except ValueError as error:
        return str(error)
    return None
