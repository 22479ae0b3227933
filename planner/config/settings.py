"""``planner.yaml``: the project's settings, guard rails and prices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise

from planner.config.documents import GuardRailsDocument, PlannerDocument, PricesDocument
from planner.config.fields import Shelf, TextFile, holidays_of
from planner.config.scalars import parse_namespace
from planner.config.validate import validate
from planner.config.yaml_nodes import Document, Node, parse
from planner.errors import Problem
from planner.model import GuardRails, Holidays, Prices, PriceTier
from workflows.contract import format_duration


def rails_of(document: GuardRailsDocument | None, inherited: GuardRails) -> GuardRails:
    """Return *inherited* with what *document* writes in its place."""
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
    """Yield the keys by which a calendar would allow more than the project does.

    Who may write a calendar may not lift what the platform's owner set for it in
    planner.yaml: with both files in one repository, that is what code owners are for.
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
    """Return why no boost fits within *rails*, in a sentence; None if one does."""
    smallest = min(rails.allowed_tru)
    if rails.max_tru is not None and rails.max_tru < smallest:
        return (
            f"'max_tru' of {rails.max_tru} is below the smallest allowed TRU value; "
            f"write {smallest} or more"
        )
    return None


def prices_of(document: PricesDocument | None) -> Prices:
    """Return the price list that planner.yaml writes, or the published one."""
    if document is None:
        return Prices()
    tiers = tuple(PriceTier(tier.up_to, tier.per_million) for tier in document.tiers)
    return Prices(tiers, document.currency or Prices().currency)


def price_problem(prices: Prices) -> str | None:
    """Return why the tiers of *prices* are no price list; None if they are one."""
    *bounded, last = prices.tiers
    limits = [tier.up_to for tier in bounded]
    if last.up_to is not None or None in limits:
        return "'tiers' ends with one without up_to, and only that; write {per_million: 25} last"
    if any(a >= b for a, b in pairwise(limits) if a and b):
        return "'tiers' ascend by up_to; write 5000000 before 10000000"
    return None


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
