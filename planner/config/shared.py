"""What planner.yaml says for all calendars: read, checked, and handed to each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from planner.config.days_off import holidays_of
from planner.config.documents import PlannerDocument
from planner.config.nodes import Document, Node
from planner.config.rails import price_problem, prices_of, rails_of, unusable
from planner.config.readers import parse_namespace
from planner.config.sentences import validate
from planner.config.shelf import Shelf, TextFile
from planner.config.yamltext import parse
from planner.errors import Problem
from planner.model import GuardRails, Holidays

_NO_RAILS = GuardRails()


@dataclass(frozen=True, slots=True)
class Shared:
    """What planner.yaml says for all calendars."""

    document: PlannerDocument
    guard_rails: GuardRails = _NO_RAILS
    by_namespace: Mapping[str, GuardRails] = field(default_factory=dict)
    holidays: Holidays = Holidays()

    def rails_for(self, namespace: str) -> GuardRails:
        """Return the guard rails that planner.yaml sets for *namespace*."""
        return self.by_namespace.get(namespace, self.guard_rails)


def read_shared(file: TextFile, problems: list[Problem]) -> Shared | None:
    """Return what planner.yaml says; None, with *problems* added, where it can't be used."""
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
    return _shared_of(documents[0], file.shelf, problems)


def _shared_of(document: Document, shelf: Shelf, problems: list[Problem]) -> Shared | None:
    model, faults = validate(PlannerDocument, without_notes(document.root), document, shelf)
    problems += faults
    if model is None:
        return None
    rails = rails_of(model.guard_rails, GuardRails())
    own = {
        namespace: rails_of(each.guard_rails, rails)
        for namespace, each in (model.namespaces or {}).items()
    }
    problems += _shared_problems(document, model, rails, own)
    return Shared(model, rails, own, holidays_of(model.holidays or (), model.weekend or ()))


def _shared_problems(
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


def without_notes(root: Node) -> Node:
    """Return *root* without keys that begin with ``x-``: room for anchors and for notes."""
    if not isinstance(root.value, dict):
        return root
    kept = {key: entry for key, entry in root.value.items() if not key.startswith("x-")}
    return Node(kept, root.line)


def complaint(parse_one: Callable[[str], object], text: str) -> str | None:
    """Return the sentence with which *parse_one* refuses *text*; None if it takes it."""
    try:
        parse_one(text)
    except ValueError as error:
        return str(error)
    return None
