"""The types of keys: how each is parsed, and its JSON Schema.

Each type parses the string that stands in the file (`planner.config.yaml_nodes`); the
`ValueError` of its parser is a sentence for the author of the file. Types that refer to
``.ics`` files load them by the `FileResolver` in the validation context.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal, Protocol, cast

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from planner.config.scalars import (
    ADDRESS_PATTERN,
    LABEL_PATTERN,
    LEAST_SHARE,
    LEAST_UNUSED_SHARE,
    MOST_HEADROOM,
    NAME_PATTERN,
    NAMESPACE_PATTERN,
    OBJECT_PATTERN,
    PROJECT_PATTERN,
    SECRET_PATTERN,
    choice,
    is_address,
    looks_like_days,
    parse_address,
    parse_ahead,
    parse_amount,
    parse_aps,
    parse_backlog,
    parse_baseline,
    parse_cron,
    parse_currency,
    parse_date,
    parse_days,
    parse_flag,
    parse_headroom,
    parse_kubernetes_name,
    parse_kubernetes_namespace,
    parse_least_replicas,
    parse_length,
    parse_month,
    parse_name,
    parse_namespace,
    parse_notice_url,
    parse_ordinal,
    parse_project,
    parse_region,
    parse_replicas,
    parse_secret_place,
    parse_share,
    parse_start_time,
    parse_throttled,
    parse_tru,
    parse_until,
    parse_until_days,
    parse_unused_share,
    parse_wall,
    parse_weekday,
    parse_window_length,
    parse_zone,
    prose,
    text_of,
    whole_number,
)
from planner.errors import did_you_mean, quote
from planner.model import Duration, Holidays, IcsFile, IcsUse, Skip
from workflows.contract import Capacity, Until
from workflows.contract.notices import EVENTS, NoticeEvent


class FileResolver(Protocol):
    """The iCalendar files that one YAML file may refer to."""

    def load(self, path: str) -> IcsFile:
        """Return the file at *path*, relative to the YAML file.

        Raises:
            ValueError: It can't be loaded; the sentence names the path.
        """

    def note_use(self, file: IcsFile, use: IcsUse) -> None:
        """Note what *file* is read for.

        The resolver checks it for that, and reports problems with the lines of that file; one
        without any use, since its window has problems, is checked in full.
        """


@dataclass(frozen=True, slots=True)
class TextFile:
    """A YAML file: its name for messages, its text, and the files it may refer to."""

    name: str
    text: str
    resolver: FileResolver


MAX_ITEMS = 2_000
"""Items in one list of dates, holidays or expressions."""

Schema = dict[str, Any]


def _parsed(parse: Callable[[str], Any]) -> BeforeValidator:
    """Return a validator that parses a string; values that are parsed already pass."""
    return BeforeValidator(
        lambda raw: parse(text_of(raw)) if isinstance(raw, (str, list, dict)) else raw
    )


def as_list(raw: object) -> list[Any]:
    """Return *raw* as a list: a single value needs no brackets."""
    items = raw if isinstance(raw, list) else [raw]
    if not items:
        raise ValueError("an empty list; name at least one, or remove the key")
    if len(items) > MAX_ITEMS:
        raise ValueError(f"{len(items):,} items; {MAX_ITEMS:,} are allowed in one list")
    return items


def one_or_more(schema: Schema) -> WithJsonSchema:
    """Return the JSON Schema of a single value or a list of such values."""
    return WithJsonSchema({"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]})


# Single values ----------------------------------------------------------------------

_DATE_SCHEMA = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_TIME_SCHEMA = {"type": "string", "pattern": r"^\d{1,2}:\d{2}(:\d{2})?$"}
_LENGTH_SCHEMA = {
    "type": "string",
    "pattern": r"^(\d+[dD])?(\d+[hH])?(\d+[mM])?(\d+[sS])?$|^P.+$",
    "examples": ["2h", "1h30m", "PT2H"],
}
_WALL_SCHEMA = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}[T ]\d{1,2}:\d{2}(:\d{2})?$",
    "examples": ["2027-03-14T01:30"],
}
_COUNT_SCHEMA = {"type": "integer", "minimum": 1}

StartTime = Annotated[time, _parsed(parse_start_time), WithJsonSchema(_TIME_SCHEMA)]
Wall = Annotated[datetime, _parsed(parse_wall), WithJsonSchema(_WALL_SCHEMA)]
Day = Annotated[date, _parsed(parse_date), WithJsonSchema(_DATE_SCHEMA)]
Length = Annotated[timedelta, _parsed(parse_length), WithJsonSchema(_LENGTH_SCHEMA)]
WindowLength = Annotated[
    Duration | Until, _parsed(parse_window_length), WithJsonSchema(_LENGTH_SCHEMA)
]


def _parse_until(raw: object) -> object:
    if isinstance(raw, dict):
        return parse_until_days(raw)
    return raw if isinstance(raw, Until) else parse_until(text_of(raw))


UntilValue = Annotated[
    Until,
    BeforeValidator(_parse_until),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "string",
                    "pattern": r"^([A-Za-z]{3,9} +)?\d{1,2}:\d{2}(:\d{2})?$",
                    "examples": ["06:00", "fri 21:00"],
                },
                {
                    "type": "object",
                    "properties": {
                        "days": {"type": "integer", "minimum": 1, "maximum": 31},
                        "at": _TIME_SCHEMA,
                    },
                    "required": ["days"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
Ahead = Annotated[
    timedelta,
    _parsed(parse_ahead),
    WithJsonSchema({"anyOf": [_LENGTH_SCHEMA, {"const": 0}]}),
]
Tru = Annotated[int, _parsed(parse_tru), WithJsonSchema(_COUNT_SCHEMA)]
Aps = Annotated[int, _parsed(parse_aps), WithJsonSchema(_COUNT_SCHEMA)]
Replicas = Annotated[int, _parsed(parse_replicas), WithJsonSchema(_COUNT_SCHEMA)]


def _parse_workers(raw: object) -> object:
    if isinstance(raw, dict):
        return raw
    raise ValueError(f"{quote(str(raw))} names no fleet; write workers: {{payments: 20}}")


Workers = Annotated[
    dict[str, Replicas],
    BeforeValidator(_parse_workers),
    WithJsonSchema(
        {"type": "object", "additionalProperties": _COUNT_SCHEMA, "examples": [{"payments": 20}]}
    ),
]
LeastReplicas = Annotated[
    int, _parsed(parse_least_replicas), WithJsonSchema({"type": "integer", "minimum": 0})
]
Backlog = Annotated[int, _parsed(parse_backlog), WithJsonSchema(_COUNT_SCHEMA)]
KubernetesKind = Annotated[
    Literal["HorizontalPodAutoscaler", "ScaledObject", "WorkerResourceTemplate"],
    _parsed(choice("HorizontalPodAutoscaler", "ScaledObject", "WorkerResourceTemplate")),
]
KubernetesNamespace = Annotated[
    str,
    _parsed(parse_kubernetes_namespace),
    WithJsonSchema({"type": "string", "pattern": f"^{LABEL_PATTERN}$"}),
]
KubernetesName = Annotated[
    str,
    _parsed(parse_kubernetes_name),
    WithJsonSchema({"type": "string", "pattern": f"^{OBJECT_PATTERN}$"}),
]
Count = Annotated[int, _parsed(whole_number(1, 10**12, "5000000")), WithJsonSchema(_COUNT_SCHEMA)]
Amount = Annotated[
    float, _parsed(parse_amount), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})
]
Share = Annotated[
    float,
    _parsed(parse_share),
    WithJsonSchema({"type": "number", "minimum": LEAST_SHARE, "maximum": 1}),
]
UnusedShare = Annotated[
    float,
    _parsed(parse_unused_share),
    WithJsonSchema({"type": "number", "minimum": LEAST_UNUSED_SHARE, "maximum": 1}),
]
Headroom = Annotated[
    float,
    _parsed(parse_headroom),
    WithJsonSchema({"type": "number", "minimum": 1, "maximum": MOST_HEADROOM}),
]
Throttled = Annotated[
    int, _parsed(parse_throttled), WithJsonSchema({"type": "integer", "minimum": 0})
]
Flag = Annotated[bool, _parsed(parse_flag), WithJsonSchema({"type": "boolean"})]
Zone = Annotated[
    str, _parsed(parse_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Berlin"]})
]
Namespace = Annotated[
    str,
    _parsed(parse_namespace),
    WithJsonSchema({"type": "string", "pattern": f"^{NAMESPACE_PATTERN}$"}),
]
WindowName = Annotated[
    str,
    _parsed(parse_name),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME_PATTERN}$"}),
]
ProjectName = Annotated[
    str,
    _parsed(parse_project),
    WithJsonSchema({"type": "string", "pattern": f"^{PROJECT_PATTERN}$"}),
]
Description = Annotated[
    str, _parsed(prose(500)), WithJsonSchema({"type": "string", "maxLength": 500})
]
Label = Annotated[str, _parsed(prose(200)), WithJsonSchema({"type": "string", "maxLength": 200})]
Address = Annotated[
    str,
    _parsed(parse_address),
    WithJsonSchema({"type": "string", "pattern": f"^{ADDRESS_PATTERN}$"}),
]
Currency = Annotated[
    str, _parsed(parse_currency), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"})
]
CombineWord = Annotated[Literal["max", "add"], _parsed(choice("max", "add"))]
DayMatchWord = Annotated[Literal["any", "all"], _parsed(choice("any", "all"))]
RollWord = Annotated[
    Literal["none", "previous", "next", "nearest"],
    _parsed(choice("none", "previous", "next", "nearest")),
]
CloudPlanName = Annotated[
    Literal["developer", "business", "enterprise", "mission-critical"],
    _parsed(choice("developer", "business", "enterprise", "mission-critical")),
]
BaselinePolicyWord = Annotated[Literal["enforce", "observe"], _parsed(choice("enforce", "observe"))]
NoticeFormatWord = Annotated[
    Literal["json", "slack", "pagerduty"], _parsed(choice("json", "slack", "pagerduty"))
]
NoticeUrl = Annotated[
    str, _parsed(parse_notice_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})
]
SecretPlace = Annotated[
    str,
    _parsed(parse_secret_place),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^({SECRET_PATTERN})$",
            "examples": ["env SLACK_WEBHOOK_URL", "file /run/secrets/slack-webhook"],
        }
    ),
]
PolicyWord = Annotated[
    Literal["sync", "upsert-only", "create-only"],
    _parsed(choice("sync", "upsert-only", "create-only")),
]
Baseline = Annotated[
    Capacity,
    BeforeValidator(parse_baseline),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "on-demand"},
                {
                    "type": "object",
                    "properties": {"tru": _COUNT_SCHEMA},
                    "required": ["tru"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


# Lists ------------------------------------------------------------------------------

_CRON_SCHEMA = {"type": "string", "maxLength": 200, "examples": ["0 18 L * *"]}
CronExpression = Annotated[str, _parsed(parse_cron)]
CronList = Annotated[
    tuple[CronExpression, ...], BeforeValidator(as_list), one_or_more(_CRON_SCHEMA)
]
Ordinals = Annotated[
    tuple[Annotated[int, _parsed(parse_ordinal)], ...],
    BeforeValidator(as_list),
    one_or_more({"type": "integer", "minimum": -23, "maximum": 23, "not": {"const": 0}}),
]
Months = Annotated[
    tuple[Annotated[int, _parsed(parse_month)], ...],
    BeforeValidator(as_list),
    one_or_more({"type": ["integer", "string"], "examples": [3, "mar"]}),
]
Weekdays = Annotated[
    tuple[Annotated[int, _parsed(parse_weekday)], ...],
    BeforeValidator(as_list),
    one_or_more({"type": "string", "examples": ["fri", "sat"]}),
]
EventList = Annotated[
    tuple[Annotated[NoticeEvent, _parsed(choice(*EVENTS))], ...],
    BeforeValidator(as_list),
    one_or_more({"enum": list(EVENTS)}),
]
NamespaceList = Annotated[
    tuple[Namespace, ...],
    BeforeValidator(as_list),
    one_or_more({"type": "string", "pattern": f"^{NAMESPACE_PATTERN}$"}),
]
TruList = Annotated[tuple[Tru, ...], BeforeValidator(as_list), one_or_more(_COUNT_SCHEMA)]


def _load_ics(path: str, info: ValidationInfo) -> IcsFile:
    """Return the iCalendar file at *path*, by the resolver of this validation."""
    return cast(FileResolver, info.context).load(path)


def _parse_file(raw: object, info: ValidationInfo) -> object:
    if isinstance(raw, IcsFile):
        return raw
    text = text_of(raw)
    if not (text.endswith(".ics") or is_address(text)):
        raise ValueError(f"{quote(text)} is no .ics file; write launches.ics")
    return _load_ics(text, info)


File = Annotated[
    IcsFile,
    BeforeValidator(_parse_file),
    WithJsonSchema({"type": "string", "pattern": r"^https://|\.ics$"}),
]

DayItem = str | IcsFile | tuple[date, ...]
"""An item of ``holidays`` or ``skip``: a region or word, an ``.ics`` file, or dates."""


def _parse_days(raw: object, info: ValidationInfo) -> object:
    """Return dates or an iCalendar file; other text as it is."""
    if not isinstance(raw, (str, list, dict)):
        return raw
    text = text_of(raw)
    if text.endswith(".ics") or is_address(text):
        return _load_ics(text, info)
    return parse_days(text) if looks_like_days(text) else text


def _parse_holiday(raw: object, info: ValidationInfo) -> object:
    days = _parse_days(raw, info)
    return parse_region(days) if isinstance(days, str) else days


def _parse_skip(raw: object, info: ValidationInfo) -> object:
    days = _parse_days(raw, info)
    if not isinstance(days, str) or days in ("weekends", "holidays"):
        return days
    hint = did_you_mean(days, ("weekends", "holidays"))
    raise ValueError(
        f"{quote(days)} can't be skipped; write weekends, holidays, 2027-12-24, "
        f"2027-12-20..2028-01-03 or freeze.ics{hint}"
    )


HolidayList = Annotated[
    tuple[Annotated[DayItem, BeforeValidator(_parse_holiday)], ...],
    BeforeValidator(as_list),
    one_or_more(
        {"type": "string", "examples": ["US", "US-CA", "XNYS", "company.ics", "2027-12-24"]}
    ),
]
SkipList = Annotated[
    tuple[Annotated[DayItem, BeforeValidator(_parse_skip)], ...],
    BeforeValidator(as_list),
    one_or_more({"type": "string", "examples": ["weekends", "holidays", "2027-12-24"]}),
]


def holidays_of(items: tuple[DayItem, ...], weekend: tuple[int, ...]) -> Holidays:
    """Return the holidays of a ``holidays`` list, with their order normalized."""
    return Holidays(
        regions=tuple(dict.fromkeys(item for item in items if isinstance(item, str))),
        calendars=tuple(dict.fromkeys(item for item in items if isinstance(item, IcsFile))),
        days=_days(items),
        weekend=tuple(sorted(set(weekend))),
    )


def skip_of(items: tuple[DayItem, ...]) -> Skip:
    """Return the exclusions of a ``skip`` list, with their order normalized."""
    return Skip(
        weekends="weekends" in items,
        holidays="holidays" in items,
        calendars=tuple(dict.fromkeys(item for item in items if isinstance(item, IcsFile))),
        days=_days(items),
    )


def _days(items: tuple[DayItem, ...]) -> tuple[date, ...]:
    return tuple(sorted({day for item in items if isinstance(item, tuple) for day in item}))
