"""One document of a calendar file: its head, then each window by itself.

A fault in one of them hides nothing in the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from planner.config.days_off import holidays_of
from planner.config.documents import CalendarDocument
from planner.config.nodes import Document, Node, shown
from planner.config.rails import loosened, rails_of, unusable
from planner.config.readers import parse_name
from planner.config.sentences import validate
from planner.config.shape import shape_problems
from planner.config.shared import Shared, complaint, without_notes
from planner.config.shelf import Shelf
from planner.config.window_document import Refinements, WindowDocument
from planner.config.windows import Surroundings, build_window
from planner.errors import Problem
from planner.model import NamespaceCalendar, Place, Window

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
