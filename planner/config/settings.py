"""``planner.yaml``: the settings of a project, with its guard rails and prices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise

from planner.config.documents import GuardRailsDocument, PlannerDocument, PricesDocument
from planner.config.fields import TextFile, holidays_of
from planner.config.scalars import parse_namespace
from planner.config.validate import Path, validate
from planner.config.yaml_nodes import Node, parse
from planner.errors import Problem
from planner.model import GuardRails, Holidays, Prices, PriceTier
from planner.recurrence.ical import Use
from workflows.contract import format_duration

_NO_GUARD_RAILS = GuardRails()


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """The settings that planner.yaml gives to every calendar."""

    document: PlannerDocument
    guard_rails: GuardRails = _NO_GUARD_RAILS
    by_namespace: Mapping[str, GuardRails] = field(default_factory=dict)
    holidays: Holidays = Holidays()

    def guard_rails_of(self, namespace: str) -> GuardRails:
        """Return the guard rails that planner.yaml sets for *namespace*."""
        return self.by_namespace.get(namespace, self.guard_rails)


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
        file.resolver.note_use(ics_file, Use("holidays"))
    guard_rails = guard_rails_of(model.guard_rails, GuardRails())
    by_namespace = {
        namespace: guard_rails_of(each.guard_rails, guard_rails)
        for namespace, each in (model.namespaces or {}).items()
    }
    settings = ProjectSettings(model, guard_rails, by_namespace, holidays)
    problems += [
        document.problem(path, sentence) for path, sentence in _findings(settings) if sentence
    ]
    return settings


def _findings(settings: ProjectSettings) -> Iterator[tuple[Path, str | None]]:
    rails = settings.guard_rails
    yield ("guard_rails", "max_tru"), unusable(rails)
    yield ("prices", "tiers"), _price_problem(prices_of(settings.document.prices))
    for namespace, each in settings.by_namespace.items():
        path = ("namespaces", namespace)
        yield path, problem_with(parse_namespace, namespace)
        if each.max_tru != rails.max_tru or each.allowed_tru != rails.allowed_tru:
            yield (*path, "guard_rails"), unusable(each)


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
    tiers = tuple(PriceTier(tier.up_to, tier.per_million) for tier in document.tiers)
    return Prices(tiers, document.currency or Prices().currency)


def _price_problem(prices: Prices) -> str | None:
    *bounded, last = prices.tiers
    limits = [tier.up_to for tier in bounded]
    if last.up_to is not None or None in limits:
        return "'tiers' ends with one without up_to, and only that; write {per_million: 25} last"
    if any(a >= b for a, b in pairwise(limits) if a and b):
        return "'tiers' ascend by up_to; write 5000000 before 10000000"
    return None


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
