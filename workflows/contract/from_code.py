"""A boost that an application requests, through any SDK.

It starts the workflow `REQUEST_BOOST_WORKFLOW` with one JSON object, and gets `BoostAnswer` as its
result. docs/from-code.md describes both; `SCHEMA` is their version. What is here never takes a
field away, or gives one another meaning, under the same version.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from workflows.contract.capacity import APS_PER_TRU
from workflows.contract.fleets import Combine
from workflows.contract.messages import (
    BOOST_WORKFLOW,
    BoostResult,
    format_duration,
    format_instant,
)

REQUEST_BOOST_WORKFLOW = "RequestBoost"
"""The workflow type that applications start."""

BOOSTS_QUERY = f"WorkflowType IN ('{BOOST_WORKFLOW}', '{REQUEST_BOOST_WORKFLOW}')"
"""Finds every boost in the list of workflows, whoever started it."""

SCHEMA = 1
"""The version of the request and of the answer."""

WINDOW_FROM_CODE = "from-code"
"""The window of such boosts, as `planner status` and `planner release --window` name it."""

LONGEST = timedelta(days=31)
"""A longer boost is refused as a mistake."""

LONGEST_TEXT = 500
"""Characters of a text in a request, at most."""

_LENGTH = re.compile(r"(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,7})s)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostFromCode:
    """A boost as an application requests it."""

    namespace: str
    tru: int
    length: timedelta
    combine: Combine = "max"
    by: str
    reason: str = ""
    workers: Mapping[str, int] = field(default_factory=dict, hash=False)


class BoostRefused(Exception):
    """A boost that the guard rails don't allow, or for which there are none; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostAnswer:
    """The result of a boost from code.

    *tru* is the capacity in force, None for on-demand or where it isn't known. *until* is the
    boost's end, as ``2027-01-31T23:00:00Z``. *lease* is the key under which it can be released
    before that.
    """

    schema: int
    in_force: bool
    tru: float | None
    until: str
    lease: str
    message: str


def parse_boost(value: Any) -> BoostFromCode:
    """Return the boost that the JSON *value* requests.

    Raises:
        ValueError: It isn't a request: the message names the field, its value and a good one.
    """
    if not isinstance(value, Mapping):
        raise ValueError(
            f"the input is {_shown(value)}, not an object; send one argument such as "
            '{"schema": 1, "namespace": "payments-prod.a1b2c", "tru": 8, "for": "2h", '
            '"by": "checkout"}'
        )
    if value.get("schema") != SCHEMA or isinstance(value["schema"], bool):
        raise ValueError(
            f"schema: {_shown(value.get('schema'))} is no version that this worker reads; "
            f"write {SCHEMA}"
        )
    if unknown := sorted(str(name) for name in value.keys() - {"schema", "aps", *_FIELDS}):
        raise ValueError(
            f"{unknown[0]}: no field of schema {SCHEMA} has this name; they are schema, aps, "
            f"{', '.join(_FIELDS)}"
        )
    if ("tru" in value and "aps" in value) or not value.keys() & {"tru", "aps", "workers"}:
        raise ValueError('tru, aps: one of the two is needed; write "tru": 8 or "aps": 4000')
    fields = {name: read(value.get(name)) for name, read in _FIELDS.items() if name != "tru"}
    return BoostFromCode(
        namespace=fields["namespace"],
        tru=_demand(value),
        length=fields["for"],
        combine=fields["combine"],
        by=fields["by"],
        reason=fields["reason"],
        workers=fields["workers"],
    )


def answer_of(result: BoostResult, lease: str) -> BoostAnswer:
    """Return the answer to an application, given the *result* of its boost."""
    return BoostAnswer(
        schema=SCHEMA,
        in_force=result.in_force,
        tru=result.capacity.tru if result.capacity else None,
        until=format_instant(result.until) if result.until else "",
        lease=lease,
        message=result.message,
    )


def _namespace(value: Any) -> str:
    return _text("namespace", value, '"payments-prod.a1b2c", as Temporal Cloud shows it')


def _by(value: Any) -> str:
    by = _text("by", value, 'who requests it, such as "checkout"')
    if by == "schedule":
        raise ValueError('by: "schedule" stands for the calendars; name the application')
    return by


def _reason(value: Any) -> str:
    return "" if value is None else _text("reason", value, '"launch of the new shop"')


def _text(field: str, value: Any, good: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_TEXT:
        raise ValueError(
            f"{field}: {_shown(value)} is no text of 1 to {LONGEST_TEXT} characters; write {good}"
        )
    return " ".join(value.split())


def _demand(value: Mapping[str, Any]) -> int:
    """Return the TRU that a request names; 0 where it needs workers alone."""
    if "tru" in value:
        return _tru(value["tru"])
    if "aps" not in value:
        return 0
    aps = _number("aps", value["aps"], "Actions per second, such as 4000")
    return math.ceil(aps / APS_PER_TRU)


def _workers(value: Any) -> dict[str, int]:
    good = 'the replicas of each fleet, such as {"payments": 20}'
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"workers: {_shown(value)} names no fleet; write {good}")
    for name, count in value.items():
        is_whole = isinstance(count, int) and not isinstance(count, bool)
        if not (isinstance(name, str) and is_whole and 0 < count < 1e6):
            raise ValueError(f"workers: {name}: {_shown(count)} can't be had; write {good}")
    return dict(value)


def _tru(value: Any) -> int:
    return math.ceil(_number("tru", value, "a whole number of TRU, such as 8", whole=True))


def _number(field: str, value: Any, good: str, *, whole: bool = False) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < 1e9 or (whole and value != int(value)):
        raise ValueError(f"{field}: {_shown(value)} can't be had; write {good}")
    return float(value)


def _length(value: Any) -> timedelta:
    match = _LENGTH.fullmatch(value) if isinstance(value, str) else None
    if not match or not value:
        raise ValueError(
            f"for: {_shown(value)} is no length of time; write 30m, 2h, 1h30m or 1d as text"
        )
    days, hours, minutes, seconds = (int(count or 0) for count in match.groups())
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not timedelta() < length <= LONGEST:
        longest = format_duration(LONGEST)
        raise ValueError(f"for: {_shown(value)} is not above 0 and at most {longest}; write 2h")
    return length


def _combine(value: Any) -> Combine:
    match value:
        case None | "max":
            return "max"
        case "add":
            return "add"
    raise ValueError(
        f'combine: {_shown(value)} is neither; write "max" for at least so much, or "add" for so '
        "much on top of the other boosts"
    )


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "namespace": _namespace,
    "tru": _tru,
    "for": _length,
    "by": _by,
    "reason": _reason,
    "combine": _combine,
    "workers": _workers,
}
"""The fields of a request beside ``schema`` and ``aps``, in the order in which they are read."""


def _shown(value: Any) -> str:
    """Return *value* as a message quotes it: short, on one line."""
    return "missing" if value is None else repr(value)[:60]
