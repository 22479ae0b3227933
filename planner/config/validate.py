"""Problems of a YAML document: unknown keys, bad values, keys that don't go together.

pydantic finds what is wrong with single keys, and the sentences are ours. Combinations are
checked on the strings themselves, so that a bad ``lead`` doesn't hide a cron that never
fires: every problem of a window shows in one run.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from planner import timezones
from planner.config.documents import example_of, keys_of
from planner.config.fields import Shelf
from planner.config.scalars import HOUR, MAX_DURATION, near, parse_date, parse_wall
from planner.config.yaml_nodes import Document, Node, line_below, plain, shown
from planner.errors import Lint, Problem
from planner.model import IcsFile
from planner.recurrence import cron, ical

M = TypeVar("M", bound=BaseModel)
Path = tuple[object, ...]

MAX_PROBLEMS = 100
"""Problems of one mapping, and of one file, that are told; the rest is counted."""


def validate(
    model: type[M], node: Node, document: Document, shelf: Shelf
) -> tuple[M | None, list[Problem]]:
    """Return *node* read as *model*, or everything that keeps it from being one."""
    try:
        return model.model_validate(plain(node), context=shelf), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        return None, [
            _problem(model, node, document, detail)
            for detail in details[:MAX_PROBLEMS]
            if not (detail["type"] == "missing" and _is_blank(node, detail["loc"]))
        ]


def told(file: str, problems: list[Problem]) -> list[Problem]:
    """Return the first of a file's *problems*, and how many more there are."""
    more = len(problems) - MAX_PROBLEMS
    if more <= 0:
        return problems
    rest = Problem(file, 0, f"{more:,} more problems; mend those above first")
    return [*sorted(problems)[:MAX_PROBLEMS], rest]


def _is_blank(node: Node, path: Path) -> bool:
    """Tell whether *path* leads to a key without a value, which is reported as such."""
    for step in path:
        if not isinstance(node.value, dict) or step not in node.value:
            return False
        node = node.value[str(step)][1]
    return node.value is None


def _problem(
    model: type[BaseModel], node: Node, document: Document, detail: ErrorDetails
) -> Problem:
    path = tuple(detail["loc"])
    line = line_below(node, path)
    return Problem(document.file, line, _sentence(model, path, detail))


def _sentence(model: type[BaseModel], path: Path, detail: ErrorDetails) -> str:
    key = _key(path)
    owner = _model_at(model, path[:-1])
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), owner)
    if kind == "missing":
        return f"{shown(path[-1])} is missing; write {_example(owner, str(path[-1]))}"
    if kind == "value_error":
        return f"{key}: {detail['ctx']['error']}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{key or 'this'} holds keys of its own; write them below it, key: value"
    if kind == "tuple_type":
        return f"{key} is a list; write one item a line, each after a dash"
    return f"{key}: {detail['msg']}"


def _key(path: Path) -> str:
    """Return the last key of *path*: what people look for near the line."""
    return next((f"'{step}'" for step in reversed(path) if isinstance(step, str)), "")


def _unknown(key: str, owner: type[BaseModel] | None) -> str:
    known = keys_of(owner) if owner else ()
    hint = near(key, known) or f"; known here: {', '.join(known)}"
    return f"unknown key {shown(key)}{hint}"


def _example(owner: type[BaseModel] | None, key: str) -> str:
    example = example_of(owner, key) if owner else None
    return f"{key}: {example}" if example is not None else f"{key}: …"


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Return the model that the mapping at *path* is read as."""
    current: Any = model
    for step in path:
        current = _step(current, step)
    return next(_models(current), None)


def _step(annotation: Any, step: object) -> Any:
    for model in _models(annotation):
        for name, info in model.model_fields.items():
            if step in (name, info.alias):
                return info.annotation
    return annotation  # an index of a list, a name in a mapping: its items are what counts


def _models(annotation: Any) -> Iterator[Any]:
    """Yield the models that *annotation* holds, through unions and containers."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, tuple, dict, list):
        for part in get_args(annotation):
            yield from _models(part)
    elif get_origin(annotation) is not None:
        yield from _models(get_args(annotation)[0])


T = TypeVar("T")
Raw = dict[str, Any]
Finding = tuple[tuple[object, ...], str]
"""The path of the key that is at fault, and the sentence."""

RECURRENCES = ("cron", "rrule", "ical", "business_days", "dates")
_COMPANIONS = {
    "start": ("rrule", "it is the first start of an rrule"),
    "match": ("ical", "it chooses among the events of an .ics file"),
    "day_match": ("cron", "it settles the two day fields of a cron"),
    "at": ("business_days", "it is the time of day of business_days"),
    "months": ("business_days", "it chooses the months of business_days"),
}
_NEEDED = {
    "rrule": ("start", "its first start, such as start: 2027-01-08T16:00"),
    "business_days": ("at", 'the time of day, such as at: "07:00"'),
}


def shape_problems(name: str, node: Node, document: Document, timezone: str) -> list[Problem]:
    """Return what is wrong between the keys of the window *name*, by default in *timezone*."""
    raw = plain(node)
    if not isinstance(raw, dict):
        return []  # the model says what is wrong with it
    line = document.line_of(("windows", name))
    return [
        Problem(document.file, line_below(node, path) if path else line, sentence)
        for path, sentence in _findings(name, raw, timezone)
    ]


def _findings(name: str, raw: Raw, timezone: str) -> Iterator[Finding]:
    yield from _one_recurrence(name, raw)
    yield from _one_length(name, raw)
    yield from _one_demand(name, raw)
    yield from _companions(raw)
    yield from _crons(raw)
    yield from _rule(raw, timezone)
    yield from _spans(raw)
    yield from _bounds(raw)


def _one_recurrence(name: str, raw: Raw) -> Iterator[Finding]:
    given = [key for key in RECURRENCES if key in raw]
    if not given:
        yield (
            (),
            f"window {shown(name)} never starts; write one of {', '.join(RECURRENCES)}, "
            'such as cron: "0 18 L * *"',
        )
    for other in given[1:]:
        yield (
            (other,),
            f"both '{given[0]}' and '{other}': a window has one recurrence; "
            "move the other into a window of its own",
        )


def _one_length(name: str, raw: Raw) -> Iterator[Finding]:
    if "duration" in raw and "until" in raw:
        yield ("until",), "both 'duration' and 'until': a window has one length; keep one of them"
    if "duration" in raw or "until" in raw or "ical" in raw:
        return
    if "dates" in raw:
        for index, span in enumerate(_listed(raw["dates"])):
            if not (isinstance(span, dict) and "end" in span):
                yield (
                    ("dates", index),
                    "a date without an end in a window without a length; "
                    "write an end, or duration: 2h for the window",
                )
    else:
        yield (
            (),
            f"window {shown(name)} never ends; write duration: 2h, "
            'or until: "06:00" for a time on the clock',
        )


def _one_demand(name: str, raw: Raw) -> Iterator[Finding]:
    if "tru" in raw and "aps" in raw:
        yield ("aps",), "both 'tru' and 'aps': a window has one demand; keep one of them"
    elif "tru" not in raw and "aps" not in raw:
        yield (), f"window {shown(name)} asks for nothing; write tru: 8, or aps: 4000"


def _companions(raw: Raw) -> Iterator[Finding]:
    for key, (owner, why) in _COMPANIONS.items():
        if key in raw and owner not in raw:
            yield (key,), f"'{key}' without '{owner}': {why}; remove it, or write {owner}"
    for owner, (key, good) in _NEEDED.items():
        if owner in raw and key not in raw:
            yield (owner,), f"'{owner}' without '{key}'; add {good}"


def _crons(raw: Raw) -> Iterator[Finding]:
    """Judge the expressions that can be read; a bad one is reported where it is read."""
    day_match = raw.get("day_match")
    for index, expression in enumerate(_listed(raw.get("cron"))):
        rule = _attempt(cron.parse, expression)
        if rule is None:
            continue
        both = rule.restricts_day_of_month and rule.restricts_weekday
        if both and "day_match" not in raw:
            yield (
                ("cron", index),
                f"{shown(expression)} restricts day of month and day of week; "
                "write day_match: any (either) or day_match: all (both)",
            )
        if cron.never_fires(rule, day_match if both and day_match in ("any", "all") else None):
            yield (
                ("cron", index),
                f"{shown(expression)} never fires: there is no such day; "
                'the last day of a month is "0 18 L * *"',
            )


def _rule(raw: Raw, timezone: str) -> Iterator[Finding]:
    start = _attempt(parse_wall, raw.get("start"))
    own = raw.get("timezone")
    if isinstance(own, str) and timezones.timezone_problem(own) is None:
        timezone = own
    if isinstance(raw.get("rrule"), str) and start is not None:
        for sentence in rule_problems(raw["rrule"], start, timezone):
            yield ("rrule",), sentence


def _spans(raw: Raw) -> Iterator[Finding]:
    for index, span in enumerate(_listed(raw.get("dates"))):
        if not isinstance(span, dict):
            continue
        start = _attempt(parse_wall, span.get("start"))
        end = _attempt(parse_wall, span.get("end"))
        if start is None or end is None:
            continue
        path = ("dates", index, "end")
        if end <= start:
            yield (
                path,
                f"{shown(span['end'])} is not after its start, {shown(span['start'])}; "
                f"write an end after it, such as {start + HOUR:%Y-%m-%dT%H:%M}",
            )
        elif end - start > MAX_DURATION:
            yield (
                path,
                f"{shown(span['end'])} is more than {MAX_DURATION.days} days after "
                f"{shown(span['start'])}; write a shorter window",
            )


def _bounds(raw: Raw) -> Iterator[Finding]:
    first = _attempt(parse_date, raw.get("from"))
    last = _attempt(parse_date, raw.get("to"))
    if first and last and last < first:
        yield ("to",), f"'{last}' is before 'from', '{first}'; write to: {first} or later"


def _listed(raw: object) -> list[Any]:
    if raw is None:
        return []
    return raw if isinstance(raw, list) else [raw]


def _attempt(parse: Callable[[str], T], raw: object) -> T | None:
    """Return *raw* read by *parse*; None where it can't be, which is reported elsewhere."""
    if not isinstance(raw, str):
        return None
    try:
        return parse(raw)
    except ValueError:
        return None


def rule_problems(rule: str, start: datetime, timezone: str) -> list[str]:
    """Return what is wrong with an RFC 5545 recurrence rule, in sentences."""
    return ical.check_rule(rule, start, timezone)


def file_findings(file: IcsFile) -> tuple[list[Problem], list[Lint]]:
    """Return what is wrong in an iCalendar file, and what to look at, with its lines."""
    return ical.check(file)
