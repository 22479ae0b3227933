"""Problems of a YAML document: unknown keys, bad values, keys that don't go together.

pydantic finds the problems of single keys, and the sentences are ours. Combinations are
checked on the strings themselves, so that a bad ``lead`` doesn't hide a cron that never
fires: every problem of a window shows in one run.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from planner import timezones
from planner.config.documents import (
    BACKLOG,
    COMPANIONS,
    DEMANDS,
    LENGTHS,
    OWN_LENGTH,
    RECURRENCES,
    WORKERS,
    FleetDocument,
    example_of,
    keys_of,
)
from planner.config.fields import FileResolver
from planner.config.scalars import (
    HOUR,
    MAX_DURATION,
    parse_aps,
    parse_date,
    parse_fleet,
    parse_replicas,
    parse_tru,
    parse_wall,
    parse_window_length,
)
from planner.config.yaml_nodes import Document, Node
from planner.errors import Problem, did_you_mean, quote
from planner.model import Duration, GuardRails, NamespaceCalendar, Window
from planner.recurrence import cron, ical
from workflows.contract import APS_PER_TRU, Fleet, KubernetesTarget, format_duration, round_up

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
Path = tuple[object, ...]
Raw = dict[str, Any]
Finding = tuple[Path, str]
"""The path of a key, below a window or below the fleets, and what is wrong with it."""

MAX_PROBLEMS = 100
"""Problems of one mapping, and of one file, that are reported; the rest is counted."""


def validate(
    model: type[M], node: Node, document: Document, resolver: FileResolver
) -> tuple[M | None, list[Problem]]:
    """Return *node* parsed as *model*; or None, and every problem of it."""
    try:
        return model.model_validate(node.plain(), context=resolver), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        return None, [
            Problem(document.file, node.line_of(detail["loc"]), _sentence(model, detail))
            for detail in details[:MAX_PROBLEMS]
            if not (detail["type"] == "missing" and _is_blank(node, detail["loc"]))
        ]


def limited(file: str, problems: list[Problem]) -> list[Problem]:
    """Return the first `MAX_PROBLEMS` of a file's *problems*, and how many more there are."""
    more = len(problems) - MAX_PROBLEMS
    if more <= 0:
        return problems
    rest = Problem(file, 0, f"{more:,} more problems; mend those above first")
    return [*sorted(problems)[:MAX_PROBLEMS], rest]


# Single keys -------------------------------------------------------------------------


def _is_blank(node: Node, path: Path) -> bool:
    """Tell whether *path* leads to a key without a value, which is reported already."""
    for step in path:
        if not isinstance(node.value, dict) or step not in node.value:
            return False
        node = node.value[str(step)][1]
    return node.value is None


def _sentence(model: type[BaseModel], detail: ErrorDetails) -> str:
    """Return pydantic's error as a sentence for the author of the file."""
    path = tuple(detail["loc"])
    last = str(path[-1]) if path else ""
    key = next((quote(step) for step in reversed(path) if isinstance(step, str)), "")
    owner: Any = model  # of the mapping that holds the key
    for step in path[:-1]:
        below = (
            info.annotation
            for each in _models(owner)
            for name, info in each.model_fields.items()
            if step in (name, info.alias)
        )
        owner = next(below, owner)  # else an index or a name: the type of all items follows
    owner = next(_models(owner), None)
    match detail["type"]:
        case "extra_forbidden":
            known = keys_of(owner) if owner else ()
            hint = did_you_mean(last, known) or f"; known here: {', '.join(known)}"
            return f"unknown key {quote(last)}{hint}"
        case "missing":
            example = example_of(owner, last) if owner else None
            return f"{quote(last)} is missing; write {last}: {'…' if example is None else example}"
        case "value_error":
            return f"{key}: {detail['ctx']['error']}"
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"{key or 'this'} holds keys of its own; write them below it, key: value"
        case "tuple_type":
            return f"{key} is a list; write one item a line, each after a dash"
    return f"{key}: {detail['msg']}"


def _models(annotation: Any) -> Iterator[Any]:
    """Yield the models in *annotation*, through unions and containers."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, tuple, dict, list):
        for part in get_args(annotation):
            yield from _models(part)
    elif get_origin(annotation) is not None:
        yield from _models(get_args(annotation)[0])


# Keys that go together ---------------------------------------------------------------


def window_problems(
    name: str,
    node: Node,
    document: Document,
    timezone: str,
    guard_rails: GuardRails,
    fleets: Known,
) -> list[Problem]:
    """Return the problems between the keys of the window *name*, and with its guard rails.

    Args:
        name: The window's name.
        node: The window.
        document: The calendar that it is in.
        timezone: Its zone, unless it names its own.
        guard_rails: The limits of its namespace.
        fleets: The fleets of its namespace.
    """
    raw = node.plain()
    if not isinstance(raw, dict):
        return []  # `validate` reports it
    line = document.root.line_of(("windows", name))
    return [
        Problem(document.file, node.line_of(path) if path else line, sentence)
        for path, sentence in (
            *_choices(raw),
            *_lacks(name, raw, fleets),
            *_crons(raw),
            *_rrule(raw, timezone),
            *_ends(raw),
            *_beyond_rails(raw, guard_rails),
            *worker_findings(raw, fleets),
        )
    ]


def _choices(raw: Raw) -> Iterator[Finding]:
    """Yield the second key, and further ones, where a window may have one of several."""
    for keys, rule in (
        (RECURRENCES, "one recurrence; move the other into a window of its own"),
        (LENGTHS, "one length; keep one of them"),
        (DEMANDS, "one demand; keep one of them"),
    ):
        given = [key for key in keys if key in raw]
        for other in given[1:]:
            yield (other,), f"both '{given[0]}' and '{other}': a window has {rule}"


def _lacks(name: str, raw: Raw, fleets: Known) -> Iterator[Finding]:
    """Yield what a window lacks: a start, an end, a demand, or the companion of a key."""
    given = raw.keys()
    if given.isdisjoint(RECURRENCES):
        yield (
            (),
            f"window {quote(name)} never starts; write one of {', '.join(RECURRENCES)}, "
            'such as cron: "0 18 L * *"',
        )
    if given.isdisjoint((*LENGTHS, *OWN_LENGTH)):
        yield (
            (),
            f"window {quote(name)} never ends; write duration: 2h, "
            'or until: "06:00" for a time on the clock',
        )
    for index, span in enumerate(_listed(raw.get("dates")) if given.isdisjoint(LENGTHS) else ()):
        if not (isinstance(span, dict) and "end" in span):
            yield (
                ("dates", index),
                "a date without an end in a window without a length; "
                "write an end, or duration: 2h for the window",
            )
    if given.isdisjoint((*DEMANDS, WORKERS)):
        or_workers = f", or workers: {{{min(fleets)}: 20}}" if fleets else ""
        good = f"write tru: 8, or aps: 4000{or_workers}"
        yield (), f"window {quote(name)} asks for nothing; {good}"
    for each in COMPANIONS:
        key, owner = each.key, each.owner
        if key in raw and owner not in raw:
            yield (key,), f"'{key}' without '{owner}': {each.why}; remove it, or write {owner}"
        if each.example and owner in raw and key not in raw:
            yield (owner,), f"'{owner}' without '{key}'; add {each.example}"


def _crons(raw: Raw) -> Iterator[Finding]:
    """Check the expressions that can be parsed; `validate` reports the others."""
    day_match = raw.get("day_match")
    for index, expression in enumerate(_listed(raw.get("cron"))):
        rule = _attempt(cron.parse, expression)
        if rule is None:
            continue
        both = rule.restricts_day_of_month and rule.restricts_weekday
        if both and "day_match" not in raw:
            yield (
                ("cron", index),
                f"{quote(expression)} restricts day of month and day of week; "
                "write day_match: any (either) or day_match: all (both)",
            )
        if cron.never_fires(rule, day_match if both and day_match in ("any", "all") else None):
            yield (
                ("cron", index),
                f"{quote(expression)} never fires: there is no such day; "
                'the last day of a month is "0 18 L * *"',
            )


def _rrule(raw: Raw, timezone: str) -> Iterator[Finding]:
    start = _attempt(parse_wall, raw.get("start"))
    own = raw.get("timezone")
    if isinstance(own, str) and timezones.timezone_problem(own) is None:
        timezone = own
    if isinstance(raw.get("rrule"), str):
        for sentence in ical.check_rule(raw["rrule"], start, timezone):
            yield ("rrule",), sentence


def _ends(raw: Raw) -> Iterator[Finding]:
    """Yield what ends before it begins, and the dates that last too long."""
    for index, start, end in _parsed_spans(raw):
        path = ("dates", index, "end")
        span = raw["dates"][index] if isinstance(raw["dates"], list) else raw["dates"]
        if end <= start:
            yield (
                path,
                f"{quote(span['end'])} is not after its start, {quote(span['start'])}; "
                f"write an end after it, such as {start + HOUR:%Y-%m-%dT%H:%M}",
            )
        elif end - start > MAX_DURATION:
            yield (
                path,
                f"{quote(span['end'])} is more than {MAX_DURATION.days} days after "
                f"{quote(span['start'])}; write a shorter window",
            )
    first, last = _attempt(parse_date, raw.get("from")), _attempt(parse_date, raw.get("to"))
    if first and last and last < first:
        yield ("to",), f"'{last}' is before 'from', '{first}'; write to: {first} or later"


# Guard rails -------------------------------------------------------------------------


def _beyond_rails(raw: Raw, rails: GuardRails) -> Iterator[Finding]:
    """Yield the demand and the lengths that *rails* don't allow."""
    for key, parse, unit in (("tru", parse_tru, "TRU"), ("aps", parse_aps, "APS")):
        asked = _attempt(parse, raw.get(key))
        if asked is None:
            continue
        needed = asked if key == "tru" else math.ceil(asked / APS_PER_TRU)
        granted = round_up(needed, rails.allowed_tru)
        largest = max(rails.allowed_tru)
        if granted is None:
            yield (
                (key,),
                f"'{key}': {asked} {unit} is above the largest allowed value; write {largest} TRU "
                f"({largest * APS_PER_TRU:,} APS) or less",
            )
        elif above := rails.above_tru(granted):
            most = rails.most_tru
            yield (
                (key,),
                f"'{key}': {asked} {unit} needs {granted} TRU, {above}; write {most} TRU "
                f"({most * APS_PER_TRU:,} APS) or less",
            )
    good = "write that or less"
    match _attempt(parse_window_length, raw.get("duration")):
        case Duration(elapsed) if above := rails.above_duration(elapsed):
            yield ("duration",), f"'duration': {format_duration(elapsed)} is {above}; {good}"
    for _, start, end in _parsed_spans(raw):
        if above := rails.above_duration(end - start):
            yield ("dates",), f"'dates': {start:%Y-%m-%dT%H:%M} lasts {above}; {good}"


def _parsed_spans(raw: Raw) -> Iterator[tuple[int, datetime, datetime]]:
    """Yield the dates that have an end, by index, as far as they can be parsed."""
    for index, span in enumerate(_listed(raw.get("dates"))):
        if isinstance(span, dict):
            start = _attempt(parse_wall, span.get("start"))
            end = _attempt(parse_wall, span.get("end"))
            if start is not None and end is not None:
                yield index, start, end


def _listed(raw: object) -> list[Any]:
    if raw is None:
        return []
    return raw if isinstance(raw, list) else [raw]


def _attempt(parse: Callable[[str], T], raw: object) -> T | None:
    """Return *raw* parsed; None where it can't be, which `validate` reports."""
    if not isinstance(raw, str):
        return None
    try:
        return parse(raw)
    except ValueError:
        return None


# Fleets of workers: built from their documents, and checked, also against the windows ------


FLEET_LEAD = timedelta(minutes=10)
"""How long before a window's start its workers are requested by default."""

FLEET_MIN = 1
"""The least replicas of a fleet by default."""


def fleets_of(documents: Mapping[str, FleetDocument] | None) -> tuple[Fleet, ...]:
    """Return the fleets of *documents*, sorted by name."""
    return tuple(fleet_of(name, document) for name, document in sorted((documents or {}).items()))


def fleet_of(name: str, document: FleetDocument) -> Fleet:
    """Return the fleet of a *document*."""
    target = None
    if written := document.kubernetes:
        target = KubernetesTarget(kind=written.kind, namespace=written.namespace, name=written.name)
    lead = FLEET_LEAD if document.lead is None else document.lead
    return Fleet(
        name=name,
        min=FLEET_MIN if document.min is None else document.min,
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
                good = f"{calendar.namespace.partition('.')[0]}-{name}"[:63]
                message = (
                    f"fleet {quote(name)} is one of '{other}', too; a fleet's name is unique in "
                    f"the project: write {quote(good)} or so"
                )
                yield Problem(place.file, place.line, message)
            elif fleet.kubernetes and targets.setdefault(fleet.kubernetes, name) != name:
                target = fleet.kubernetes
                message = (
                    f"fleet {quote(name)} has the {target.kind} {target.namespace}/{target.name}, "
                    f"as '{targets[target]}' has; one fleet raises an object: write it in one"
                )
                yield Problem(place.file, place.line, message)


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
            if fleets:
                known = ", ".join(sorted(fleets))
                good = did_you_mean(name, list(fleets)) or f"; known here: {known}"
            else:
                example = f"fleets: {{{name}: {{min: 2, max: 30}}}}"
                good = f"; declare it in this calendar, such as {example}"
            yield (WORKERS, name), f"'{WORKERS}': there is no fleet {quote(name)}{good}"
        elif (fleet := fleets[name]) and (
            sentence := above_most(fleet, _attempt(parse_replicas, written) or 0)
        ):
            yield (WORKERS, name), f"'{WORKERS}': {sentence}"


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
