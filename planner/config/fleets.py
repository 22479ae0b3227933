"""Fleets of workers: built from their documents, and checked, also against the windows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from planner.config.documents import BACKLOG, WORKERS, FleetDocument
from planner.config.scalars import parse_fleet, parse_replicas
from planner.errors import Problem, did_you_mean, quote
from planner.model import NamespaceCalendar, Window
from workflows.contract import Fleet, KubernetesTarget

DEFAULT_LEAD = timedelta(minutes=10)
"""How long before a window's start its workers are requested by default."""

DEFAULT_MIN = 1
"""The least replicas of a fleet by default."""

Finding = tuple[tuple[object, ...], str]
"""The path of a key, and what is wrong with it, in a sentence."""


def fleets_of(documents: Mapping[str, FleetDocument] | None) -> tuple[Fleet, ...]:
    """Return the fleets of *documents*, sorted by name."""
    return tuple(fleet_of(name, document) for name, document in sorted((documents or {}).items()))


def fleet_of(name: str, document: FleetDocument) -> Fleet:
    """Return the fleet of a *document*."""
    target = None
    if written := document.kubernetes:
        target = KubernetesTarget(kind=written.kind, namespace=written.namespace, name=written.name)
    lead = DEFAULT_LEAD if document.lead is None else document.lead
    return Fleet(
        name=name,
        min=DEFAULT_MIN if document.min is None else document.min,
        max=document.max,
        lead_seconds=lead // timedelta(seconds=1),
        task_queue=document.task_queue or "",
        target_queue_size=document.target_queue_size or 0,
        kubernetes=target,
    )


# Declarations ------------------------------------------------------------------------


def fleet_findings(documents: Mapping[str, FleetDocument] | None) -> Iterator[Finding]:
    """Yield what is wrong with each fleet by itself; paths begin with its name."""
    for name, document in (documents or {}).items():
        try:
            parse_fleet(name)
        except ValueError as error:
            yield (name,), str(error)
        fleet = fleet_of(name, document)
        if fleet.min > document.max:
            yield (
                (name, "min"),
                f"'min' of {fleet.min} is above 'max'; write {document.max} or less",
            )
        for key, other in (BACKLOG, BACKLOG[::-1]):
            if getattr(document, key) is not None and getattr(document, other) is None:
                good = "target_queue_size: 20" if key == "task_queue" else f"task_queue: {name}"
                yield (name, key), f"'{key}' without '{other}'; add {good}, or remove it"
        if not fleet.min and fleet.kubernetes and fleet.kubernetes.kind != "ScaledObject":
            yield (
                (name, "min") if document.min is not None else (name,),
                f"a {fleet.kubernetes.kind} has at least one replica; write min: 1",
            )


def shared_fleets(calendars: Iterable[NamespaceCalendar]) -> Iterator[Problem]:
    """Yield a problem for each fleet whose name or whose object another fleet has, too.

    *calendars* are sorted, so that it is the later one that has to change.
    """
    names: dict[str, str] = {}
    targets: dict[KubernetesTarget, str] = {}
    for calendar in calendars:
        for fleet in calendar.fleets:
            place, name = calendar.fleet_places[fleet.name], fleet.name
            if (other := names.setdefault(name, calendar.namespace)) != calendar.namespace:
                message = (
                    f"fleet {quote(name)} is one of '{other}', too; a fleet's name is unique in "
                    f"the project: write {quote(_unique(name, calendar.namespace))} or so"
                )
                yield Problem(place.file, place.line, message)
            elif fleet.kubernetes and targets.setdefault(fleet.kubernetes, name) != name:
                target = fleet.kubernetes
                message = (
                    f"fleet {quote(name)} has the {target.kind} {target.namespace}/{target.name}, "
                    f"as '{targets[target]}' has; one fleet raises an object: write it in one"
                )
                yield Problem(place.file, place.line, message)


def _unique(name: str, namespace: str) -> str:
    """Return a name with the namespace's own before it: ``shop-prod-payments``."""
    return f"{namespace.partition('.')[0]}-{name}"[:63]


# Windows -----------------------------------------------------------------------------

Known = Mapping[str, Fleet | None]
"""The fleets of a namespace by name; None where a declaration has problems of its own."""


def worker_findings(raw: Mapping[str, Any], fleets: Known) -> Iterator[Finding]:
    """Yield what is wrong with the workers of a window, *raw* as its file has it.

    What is wrong with a single number the document's own type finds.
    """
    workers = raw.get(WORKERS)
    if not isinstance(workers, dict):
        return
    if not workers:
        yield (WORKERS,), "'workers' names no fleet; write workers: {payments: 20}, or remove it"
    if "lead" in raw and not ("tru" in raw or "aps" in raw):
        yield (
            ("lead",),
            "'lead' without 'tru': it is how long before the start TRU are requested; a fleet "
            "has its own lead, under 'fleets': write it there",
        )
    for name, written in workers.items():
        if name not in fleets:
            yield (WORKERS, name), f"'{WORKERS}': {_unknown(name, fleets)}"
        elif (fleet := fleets[name]) and (sentence := _too_many(fleet, written)):
            yield (WORKERS, name), f"'{WORKERS}': {sentence}"


def _unknown(name: str, fleets: Known) -> str:
    """Return that there is no fleet *name*, and which there are."""
    if not fleets:
        return (
            f"there is no fleet {quote(name)}; declare it in this calendar, such as "
            f"fleets: {{{name}: {{min: 2, max: 30}}}}"
        )
    hint = did_you_mean(name, list(fleets)) or f"; known here: {', '.join(sorted(fleets))}"
    return f"there is no fleet {quote(name)}{hint}"


def _too_many(fleet: Fleet, written: object) -> str:
    """Return why so many replicas as *written* can't be requested; empty if they can."""
    try:
        replicas = parse_replicas(written) if isinstance(written, str) else 0
    except ValueError:
        return ""  # which the document's type reports
    return above_most(fleet, replicas)


def above_most(fleet: Fleet, replicas: int) -> str:
    """Return why so many *replicas* are too many for *fleet*; empty if they aren't."""
    if fleet.max is None or replicas <= fleet.max:
        return ""
    return (
        f"{replicas:,} of {fleet.name} are above its 'max' of {fleet.max:,}; write {fleet.max} or "
        "less"
    )


def needless_workers(window: Window) -> Iterator[Finding]:
    """Yield the fleets of which *window* needs no more than run without any window.

    One that adds comes on top of those.
    """
    least = {fleet.name: fleet.min for fleet in window.fleets}
    for name, replicas in window.workers if window.combine == "max" else ():
        if replicas < least[name]:
            yield (
                (WORKERS, name),
                f"'{WORKERS}': {replicas:,} of {name} are below its 'min' of {least[name]:,}, "
                f"which run anyway; write more than {least[name]}",
            )
