"""From the text of all files to the `Project`: every problem of the run, or all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from planner.config.documents import CalendarDocument, PlannerDocument, Refinements, WindowDocument
from planner.config.fields import holidays_of, parse_name, parse_namespace
from planner.config.nodes import Document, Node, parse, shown
from planner.config.rails import loosened, price_problem, prices_of, rails_of, unusable
from planner.config.sentences import told, validate
from planner.config.shape import shape_problems
from planner.config.shelf import Shelf
from planner.config.windows import Surroundings, build_window
from planner.errors import Problem
from planner.model import GuardRails, Holidays, NamespaceCalendar, Place, Project, Window

DEFAULT_TIMEZONE = "UTC"

MAX_WINDOWS = 2_000
"""Windows in one file."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """A YAML file: its name for people, its text, and the files that it may refer to."""

    name: str
    text: str
    shelf: Shelf


_NO_RAILS = GuardRails()


@dataclass(frozen=True, slots=True)
class _Common:
    """What planner.yaml says for all calendars."""

    document: PlannerDocument
    guard_rails: GuardRails = _NO_RAILS
    by_namespace: Mapping[str, GuardRails] = field(default_factory=dict)
    holidays: Holidays = Holidays()

    def rails_for(self, namespace: str) -> GuardRails:
        return self.by_namespace.get(namespace, self.guard_rails)


def build(
    planner: TextFile | None, calendars: Iterable[TextFile]
) -> tuple[Project | None, list[Problem]]:
    """Return the project that the files write, and all their problems.

    The project is None where there is any. Neither the order of the files nor that of
    the documents in them matters.
    """
    problems: list[Problem] = []
    common = _read_common(planner, problems) if planner else None
    around = common or _Common(PlannerDocument(project="unnamed"))
    found: list[NamespaceCalendar] = []
    for file in calendars:
        faults: list[Problem] = []
        found += _read_file(file, around, faults)
        problems += told(file.name, faults)
    problems += _twice(found)
    if problems or common is None:
        return None, problems
    return _project(common, found), []


def _read_file(
    file: TextFile, around: _Common, problems: list[Problem]
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
        calendar = _read_calendar(document, file.shelf, around, problems)
        if calendar:
            yield calendar


def _project(common: _Common, calendars: Sequence[NamespaceCalendar]) -> Project:
    document = common.document
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


# planner.yaml -----------------------------------------------------------------------


def _read_common(file: TextFile, problems: list[Problem]) -> _Common | None:
    documents, faults = parse(file.text, file.name)
    problems += faults
    if not documents:
        if not faults:
            problems.append(Problem(file.name, 0, "is empty; write project: payments-platform"))
        return None
    for extra in documents[1:]:
        problems.append(
            Problem(file.name, extra.root.line, "a second document; planner.yaml holds one")
        )
    return _common_of(documents[0], file.shelf, problems)


def _common_of(document: Document, shelf: Shelf, problems: list[Problem]) -> _Common | None:
    model, faults = validate(PlannerDocument, without_notes(document.root), document, shelf)
    problems += faults
    if model is None:
        return None
    rails = rails_of(model.guard_rails, GuardRails())
    own = {
        namespace: rails_of(each.guard_rails, rails)
        for namespace, each in (model.namespaces or {}).items()
    }
    problems += _common_problems(document, model, rails, own)
    return _Common(model, rails, own, holidays_of(model.holidays or (), model.weekend or ()))


def _common_problems(
    document: Document, model: PlannerDocument, rails: GuardRails, own: dict[str, GuardRails]
) -> list[Problem]:
    findings: list[tuple[tuple[object, ...], str | None]] = [
        (("guard_rails", "max_tru"), unusable(rails)),
        (("prices", "tiers"), price_problem(prices_of(model.prices))),
    ]
    for namespace, each in own.items():
        path = ("namespaces", namespace)
        findings.append((path, complaint(parse_namespace, namespace)))
        if each.max_tru != rails.max_tru or each.allowed_tru != rails.allowed_tru:
            findings.append(((*path, "guard_rails"), unusable(each)))
    return [
        Problem(document.file, document.line_of(path), sentence)
        for path, sentence in findings
        if sentence
    ]


# Calendars --------------------------------------------------------------------------


def _read_calendar(
    document: Document, shelf: Shelf, common: _Common, problems: list[Problem]
) -> NamespaceCalendar | None:
    """Read one document: its head first, then each window by itself.

    A fault in one of them hides nothing in the others.
    """
    head, window_nodes = _split(document, problems)
    if head is None:
        return None
    model, faults = validate(CalendarDocument, head, document, shelf)
    problems += faults
    read = [
        (name, _read_window(name, node, document, shelf, problems))
        for name, node in window_nodes.items()
    ]
    if model is None:
        return None
    around = _surroundings(model, common)
    problems += _head_problems(document, model, around, common)
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


def without_notes(root: Node) -> Node:
    """Return *root* without keys that begin with ``x-``: room for anchors and for notes."""
    if not isinstance(root.value, dict):
        return root
    kept = {key: entry for key, entry in root.value.items() if not key.startswith("x-")}
    return Node(kept, root.line)


def _read_window(
    name: str, node: Node, document: Document, shelf: Shelf, problems: list[Problem]
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
    problems += shape_problems(name, node, document)
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


def _surroundings(model: CalendarDocument, common: _Common) -> Surroundings:
    weekend = model.weekend if model.weekend is not None else common.holidays.weekend
    if model.holidays is not None:
        holidays = holidays_of(model.holidays, weekend)
    else:
        shared = common.holidays
        holidays = Holidays(shared.regions, shared.calendars, shared.days, tuple(sorted(weekend)))
    return Surroundings(
        calendar=model,
        timezone=model.timezone or common.document.timezone or DEFAULT_TIMEZONE,
        holidays=holidays,
        guard_rails=rails_of(model.guard_rails, common.rails_for(model.namespace)),
        defaults=tuple(_given(model.defaults, common.document.defaults)),
    )


def _given(*defaults: Refinements | None) -> Iterable[Refinements]:
    return (each for each in defaults if each is not None)


def _head_problems(
    document: Document, model: CalendarDocument, around: Surroundings, common: _Common
) -> list[Problem]:
    findings = [
        (("guard_rails", key), sentence)
        for key, sentence in loosened(model.guard_rails, common.rails_for(model.namespace))
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


def complaint(parse_one: Callable[[str], object], text: str) -> str | None:
    """Return the sentence with which *parse_one* refuses *text*; None if it takes it."""
    try:
        parse_one(text)
    except ValueError as error:
        return str(error)
    return None
