"""From the text of all files to the `Project`: every problem of the run, or all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from planner.config.calendars import read_calendar
from planner.config.documents import PlannerDocument
from planner.config.rails import prices_of
from planner.config.sentences import told
from planner.config.shared import Shared, read_shared
from planner.config.shelf import TextFile
from planner.config.yamltext import parse
from planner.errors import Problem
from planner.model import NamespaceCalendar, Project

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
