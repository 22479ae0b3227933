"""The keys of calendar files and of ``planner.yaml``, with their types and descriptions.

Editors show the descriptions and examples (`schema`), and error
messages quote them. Which keys of a window go together is a table here, from which both
the problems (`planner.config.validate`) and the JSON Schema follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from planner.config.fields import (
    Address,
    Ahead,
    Amount,
    Aps,
    Backlog,
    Baseline,
    BaselinePolicyWord,
    CloudPlanName,
    CombineWord,
    Count,
    CronList,
    Currency,
    Day,
    DayMatchWord,
    Description,
    EventList,
    File,
    Flag,
    Headroom,
    HolidayList,
    KubernetesKind,
    KubernetesName,
    KubernetesNamespace,
    Label,
    LeastReplicas,
    Length,
    Months,
    Namespace,
    NamespaceList,
    NoticeFormatWord,
    NoticeUrl,
    Ordinals,
    PolicyWord,
    ProjectName,
    Replicas,
    RollWord,
    SecretPlace,
    Share,
    SkipList,
    StartTime,
    Throttled,
    Tru,
    TruList,
    UntilValue,
    UnusedShare,
    Wall,
    Weekdays,
    WindowLength,
    WindowName,
    Workers,
    Zone,
    as_list,
)
from planner.config.scalars import NAME_PATTERN


class Strict(BaseModel):
    """A mapping in which every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def example_of(model: type[BaseModel], key: str) -> Any:
    """Return the example value of *key* in *model*; None if it has none."""
    for name, info in model.model_fields.items():
        if key in (name, info.alias):
            return next(iter(info.examples or ()), None)
    return None


def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys of *model* as a file has them."""
    return tuple(info.alias or name for name, info in model.model_fields.items())


class MatchDocument(Strict):
    """Which events of an iCalendar file count: those that meet every condition."""

    summary: Label | None = Field(
        default=None, description="Words in the event's summary, upper and lower case alike."
    )
    category: Label | None = Field(
        default=None, description="One of the event's categories, exactly."
    )
    uid: Label | None = Field(default=None, description="The event's UID, exactly.")
    transparent: Flag | None = Field(
        default=None, description="Count events that are shown as free, too. Default: false."
    )


class SpanDocument(Strict):
    """One date: a start, and an end unless the window has a length."""

    start: Wall = Field(description="Local time of the start.", examples=["2027-03-14T01:30"])
    end: Wall | None = Field(default=None, description="Local time of the end.")


def _as_span(raw: object) -> object:
    return {"start": raw} if isinstance(raw, str) else raw


SpanItem = Annotated[
    SpanDocument, BeforeValidator(_as_span, json_schema_input_type=SpanDocument | Wall)
]
SpanList = Annotated[
    tuple[SpanItem, ...],
    BeforeValidator(as_list, json_schema_input_type=SpanItem | list[SpanItem]),
]


class Refinements(Strict):
    """The keys that windows and ``defaults`` share."""

    lead: Ahead | None = Field(
        default=None,
        description="How long before its start the capacity is requested. Default: 10m.",
    )
    jitter: Ahead | None = Field(
        default=None,
        description="Spread the requests of windows with the same start over so long before "
        "the lead, so that they don't queue up. Default: 0.",
    )
    roll: RollWord | None = Field(
        default=None, description="Which business day stands in for a start that falls on none."
    )
    skip: SkipList | None = Field(
        default=None,
        description="When not to run: weekends, holidays, dates, ranges of dates, .ics files. "
        "Tested on the start, after any roll.",
    )
    combine: CombineWord | None = Field(
        default=None,
        description="The highest of all running windows counts (max), or its own is added to the "
        "others' (add).",
    )
    owner: Label | None = Field(
        default=None, description="Its contact: a team, a channel, an address."
    )


class WindowDocument(Refinements):
    """A time in which the namespace needs more capacity: one recurrence, length and demand.

    `RECURRENCES`, `DEMANDS`, `LENGTHS` and `COMPANIONS` say which keys go together.
    """

    description: Description | None = Field(
        default=None, description="What runs in it, in a few words."
    )
    cron: CronList | None = Field(
        default=None,
        description="Starts by five cron fields, in local time. Also L, L-2, LW, 15W, fri#3, "
        "friL, @monthly; a list of expressions runs at all of them.",
        examples=["0 18 L * *"],
    )
    day_match: DayMatchWord | None = Field(
        default=None,
        description="For a cron that restricts both day of month and day of week: any of them, "
        "or all.",
    )
    rrule: Description | None = Field(
        default=None,
        description="Starts by an RFC 5545 recurrence rule; needs 'start'.",
        examples=["FREQ=WEEKLY;INTERVAL=2;BYDAY=FR"],
    )
    start: Wall | None = Field(
        default=None,
        description="The rrule's first start, in local time.",
        examples=["2027-01-08T16:00"],
    )
    ical: File | None = Field(
        default=None, description="An .ics file beside this one: each event is an occurrence."
    )
    match: MatchDocument | None = Field(
        default=None, description="Which events of the .ics file count."
    )
    business_days: Ordinals | None = Field(
        default=None,
        description="Business days of the month: 1 is the first, -1 the last; needs 'at'.",
    )
    at: StartTime | None = Field(
        default=None,
        description="The start on those business days, local time.",
        examples=["07:00"],
    )
    months: Months | None = Field(
        default=None, description="The months whose business days count. Default: all."
    )
    dates: SpanList | None = Field(default=None, description="Starts written out, in local time.")
    duration: WindowLength | None = Field(
        default=None,
        description="Its length in elapsed time; P1D and P1W are days by the clock.",
        examples=["2h"],
    )
    until: UntilValue | None = Field(
        default=None,
        description="Its end by the clock: the next such time after its start (06:00), the next "
        "on a weekday (fri 21:00), or days later ({days: 7, at: 00:00}).",
        examples=["06:00"],
    )
    tru: Tru | None = Field(
        default=None,
        description="The Temporal Resource Units it needs; rounded up to an allowed value.",
        examples=[8],
    )
    aps: Aps | None = Field(
        default=None,
        description="The Actions per second it needs; 500 are one TRU, rounded up.",
        examples=[4000],
    )
    workers: Workers | None = Field(
        default=None,
        description="The replicas that fleets of workers need, by the fleet's name; with the TRU "
        "or without.",
        examples=["{payments: 20}"],
    )
    timezone: Zone | None = Field(default=None, description="Its own time zone.")
    holidays: HolidayList | None = Field(
        default=None, description="Its own holidays, in place of the calendar's."
    )
    weekend: Weekdays | None = Field(default=None, description="Its own weekend.")
    not_before: Day | None = Field(
        default=None, alias="from", description="The first local date on which it may start."
    )
    not_after: Day | None = Field(
        default=None, alias="to", description="The last local date on which it may start."
    )
    paused: Flag | None = Field(
        default=None, description="Keep its schedule, but don't let it fire."
    )
    renamed_from: WindowName | None = Field(
        default=None,
        description="The name that it had before in the same namespace: its schedule is made anew, "
        "with an operator's pause and the running boost. Remove the key after the next sync.",
        examples=["payroll"],
    )


# Which keys of a window go together ---------------------------------------------------

RECURRENCES = ("cron", "rrule", "ical", "business_days", "dates")
"""A window has exactly one of these."""

DEMANDS = ("tru", "aps")
"""A window has at most one of these; none only beside `WORKERS`."""

WORKERS = "workers"
"""The demand for workers, beside TRU or alone."""

BACKLOG = ("task_queue", "target_queue_size")
"""A fleet has both of these, or neither."""

LENGTHS = ("duration", "until")
"""A window has at most one of these; none only if its recurrence is in `OWN_LENGTH`."""

OWN_LENGTH = ("ical", "dates")
"""Recurrences whose events or dates may have ends of their own."""


@dataclass(frozen=True, slots=True)
class Companion:
    """A key that is valid only beside *owner*, because of *why*.

    *example* is set where the owner can't do without it: what to add, in words.
    """

    key: str
    owner: str
    why: str
    example: str = ""


COMPANIONS = (
    Companion(
        "start",
        "rrule",
        "it is the first start of an rrule",
        "its first start, such as start: 2027-01-08T16:00",
    ),
    Companion("match", "ical", "it chooses among the events of an .ics file"),
    Companion("day_match", "cron", "it settles the two day fields of a cron"),
    Companion(
        "at",
        "business_days",
        "it is the time of day of business_days",
        'the time of day, such as at: "07:00"',
    ),
    Companion("months", "business_days", "it chooses the months of business_days"),
)


# Calendars and planner.yaml -----------------------------------------------------------


class GuardRailsDocument(Strict):
    """Limits that no window may exceed."""

    allowed_tru: TruList | None = Field(
        default=None, description="The TRU values that can be had. Default: 2, 3, 4, 6, 8, 10, 12."
    )
    max_tru: Tru | None = Field(default=None, description="The most TRU that a boost may set.")
    max_duration: Length | None = Field(
        default=None, description="The longest that one boost may last."
    )
    max_boost_hours_per_month: Amount | None = Field(
        default=None,
        description="The most hours that a namespace may be boosted in a calendar month.",
    )


class KubernetesDocument(Strict):
    """The object whose least number of replicas is raised for a fleet."""

    kind: KubernetesKind = Field(
        description="The object's kind: HorizontalPodAutoscaler, KEDA's ScaledObject, or the "
        "Temporal Worker Controller's WorkerResourceTemplate.",
        examples=["HorizontalPodAutoscaler"],
    )
    namespace: KubernetesNamespace = Field(
        description="The object's namespace of Kubernetes.", examples=["payments"]
    )
    name: KubernetesName = Field(description="The object's name.", examples=["payments-worker"])


class FleetDocument(Strict):
    """A fleet of workers: a deployment that can be scaled."""

    min: LeastReplicas | None = Field(
        default=None, description="The replicas outside of windows, at least. Default: 1."
    )
    max: Replicas = Field(
        description="The most replicas, whatever windows or the backlog need.", examples=[30]
    )
    lead: Ahead | None = Field(
        default=None,
        description="How long before a window's start its workers are requested: until nodes and "
        "pods are there. Default: 10m.",
        examples=["15m"],
    )
    task_queue: Label | None = Field(
        default=None,
        description="The task queue whose backlog may need more workers than the windows; needs "
        "'target_queue_size'.",
        examples=["payments"],
    )
    target_queue_size: Backlog | None = Field(
        default=None,
        description="The tasks in the backlog that one worker stands for.",
        examples=[20],
    )
    kubernetes: KubernetesDocument | None = Field(
        default=None,
        description="The object whose least number of replicas is raised. Left out: the fleet's "
        "autoscaler asks the planner's worker for it.",
        examples=["{kind: ScaledObject, namespace: payments, name: payments-worker}"],
    )


class CalendarDocument(Strict):
    """The calendar of one namespace."""

    namespace: Namespace = Field(
        description="The Temporal Cloud namespace with its account.",
        examples=["payments-prod.a1b2c"],
    )
    timezone: Zone | None = Field(
        default=None,
        description="The time zone of all its local times. Default: planner.yaml's, else UTC.",
    )
    baseline: Baseline | None = Field(
        default=None,
        description="The capacity between windows. Left out: whatever was in force before a boost.",
    )
    baseline_policy: BaselinePolicyWord | None = Field(
        default=None,
        description="Whether the watchdog raises a quiet namespace to its declared baseline "
        "(enforce), or only reports that less is in force (observe). Default: planner.yaml's, else "
        "enforce.",
        examples=["observe"],
    )
    holidays: HolidayList | None = Field(
        default=None,
        description="Days that are no business days: codes of countries (US, US-CA) and markets "
        "(XNYS), dates, ranges of dates, .ics files.",
    )
    weekend: Weekdays | None = Field(
        default=None, description="The days of the weekend. Default: the first country's."
    )
    defaults: Refinements | None = Field(
        default=None, description="Values for the keys that its windows leave out."
    )
    guard_rails: GuardRailsDocument | None = Field(
        default=None, description="Limits of this namespace, tighter than the project's."
    )
    fleets: dict[str, FleetDocument] | None = Field(
        default=None,
        description="Its fleets of workers, by a name that no other namespace uses.",
        examples=["{payments: {min: 2, max: 30}}"],
    )
    windows: dict[str, WindowDocument] = Field(
        description="Its windows, by name.", examples=["{month-end-close: …}"]
    )


class TierDocument(Strict):
    """One step of the price list."""

    up_to: Count | None = Field(
        default=None, description="Up to so many Actions a month; left out in the last tier."
    )
    per_million: Amount = Field(description="The price of a million Actions.", examples=[50])


class PricesDocument(Strict):
    """The price list of the bill."""

    plan: CloudPlanName | None = Field(
        default=None,
        description="The account's plan of Temporal Cloud: its prices of Actions and its own "
        "charge. Default: developer's, and the bill says that it is assumed.",
        examples=["business"],
    )
    tiers: Annotated[tuple[TierDocument, ...], BeforeValidator(as_list)] | None = Field(
        default=None,
        description="Agreed prices by monthly volume, ascending, in place of the plan's.",
        examples=["[{per_million: 50}]"],
    )
    currency: Currency | None = Field(
        default=None, description="Of the tiers, three letters. Default: USD."
    )


class UsageDocument(Strict):
    """What usage is judged by: reports, backtests, suggestions, and each boost after its end."""

    share: Share | None = Field(
        default=None,
        description="The part of a limit that a minute may use: a backtest's need leaves the "
        "rest free, and above it on-demand doesn't do for planner suggest. Default: 0.9.",
        examples=[0.8],
    )
    headroom: Headroom | None = Field(
        default=None,
        description="What the highest demand is multiplied by for a suggested window's TRU. "
        "Default: 1.2.",
        examples=[1.5],
    )
    max_throttled: Throttled | None = Field(
        default=None,
        description="Actions, requests or operations, each by itself, that may be throttled in "
        "an occurrence: planner report --check doesn't fail, and the worker sends no notice. "
        "Default: 0.",
        examples=[100],
    )
    unused_share: UnusedShare | None = Field(
        default=None,
        description="The part of a window's paid hours that must be known not to be used for the "
        "notice unused. Default: 1, all of them.",
        examples=[0.5],
    )


class NamespaceDocument(Strict):
    """The settings of one namespace in planner.yaml."""

    guard_rails: GuardRailsDocument | None = Field(
        default=None,
        description="Its limits, in place of the project's.",
        examples=["{max_tru: 8}"],
    )
    fleets: dict[str, FleetDocument] | None = Field(
        default=None,
        description="Its fleets of workers, besides those of its calendar.",
        examples=["{payments: {min: 2, max: 30}}"],
    )


class TemporalDocument(Strict):
    """The Temporal server and namespace that the project may be synced to."""

    namespace: Label | None = Field(
        default=None, description="The Temporal namespace that holds the schedules."
    )
    address: Address | None = Field(default=None, description="The server, as host:port.")


class NoticeDocument(Strict):
    """One place that notices go to."""

    name: WindowName = Field(
        description="Its name, for planner notify --test and for the logs.", examples=["on-call"]
    )
    format: NoticeFormatWord | None = Field(
        default=None, description="What is posted: json, slack or pagerduty. Default: json."
    )
    url: NoticeUrl | None = Field(
        default=None,
        description="Where to post, if that is no secret. Default for pagerduty: its Events API.",
        examples=["https://hooks.example.com/capacity"],
    )
    url_from: SecretPlace | None = Field(
        default=None,
        description="Where the worker finds the URL, which is a secret: env NAME or file PATH.",
        examples=["env SLACK_WEBHOOK_URL"],
    )
    key_from: SecretPlace | None = Field(
        default=None,
        description="Where the worker finds PagerDuty's routing key: env NAME or file PATH.",
        examples=["file /run/secrets/pagerduty-key"],
    )
    events: EventList | None = Field(
        default=None, description="The events that are sent there. Default: all."
    )
    namespaces: NamespaceList | None = Field(
        default=None, description="The namespaces that it is told of. Default: all of the project."
    )


class PlannerDocument(Strict):
    """``planner.yaml`` at the root of a directory: the settings of all its calendars."""

    project: ProjectName = Field(
        description="The owner mark: only schedules that carry it are ever changed or deleted. "
        "One for each directory that is synced.",
        examples=["payments-platform"],
    )
    renamed_from: ProjectName | None = Field(
        default=None,
        description="The name that the project had before: the next sync takes over that "
        "project's schedules, with their pauses and running boosts, where they come from the "
        "same source. Remove it after the sync.",
        examples=["payments"],
    )
    policy: PolicyWord | None = Field(
        default=None, description="How far a sync may go. Default: sync, which also deletes."
    )
    timezone: Zone | None = Field(default=None, description="The zone of calendars that name none.")
    baseline_policy: BaselinePolicyWord | None = Field(
        default=None,
        description="Whether the watchdog raises a quiet namespace to its declared baseline "
        "(enforce), or only reports that less is in force (observe). Default: enforce.",
        examples=["observe"],
    )
    holidays: HolidayList | None = Field(
        default=None, description="The holidays of calendars that name none."
    )
    weekend: Weekdays | None = Field(
        default=None, description="The weekend of calendars that name none."
    )
    defaults: Refinements | None = Field(
        default=None, description="Values for the keys that windows and calendars leave out."
    )
    guard_rails: GuardRailsDocument | None = Field(
        default=None, description="Limits that hold for every namespace."
    )
    namespaces: dict[str, NamespaceDocument] | None = Field(
        default=None,
        description="Limits for single namespaces, in place of those for all, and their fleets.",
    )
    prices: PricesDocument | None = Field(default=None, description="The price list of the bill.")
    usage: UsageDocument | None = Field(
        default=None,
        description="What planner report, backtest and suggest, and the worker, judge usage by.",
        examples=["{share: 0.8, headroom: 1.5, max_throttled: 100}"],
    )
    temporal: TemporalDocument | None = Field(
        default=None,
        description="Where the schedules are kept; plan and sync refuse any other server or "
        "namespace.",
        examples=["{namespace: capacity.a1b2c}"],
    )
    notices: Annotated[tuple[NoticeDocument, ...], BeforeValidator(as_list)] | None = Field(
        default=None,
        description="Where to send what needs a person, once when it begins and once when it is "
        "over.",
        examples=["[{name: team, format: slack, url_from: env SLACK_WEBHOOK_URL}]"],
    )
    rings: dict[WindowName, NamespaceList] | None = Field(
        default=None,
        description="The rings that planner sync --in-rings and planner follow write changes "
        "in, in this order; a namespace that none names is in the last.",
        examples=["{canary: [sandbox.a1b2c], low: [reports.a1b2c], high: [payments.a1b2c]}"],
    )
    ring_pause: Length | None = Field(
        default=None,
        description="The least time between the changes of two rings. Default: 1h.",
        examples=["1d"],
    )
    source: Label | None = Field(
        default=None,
        description="Where these calendars come from, for directories that no Git remote names. "
        "Another source under the same project is refused.",
        examples=["team-payments/calendars"],
    )


Schema = dict[str, Any]
Kind = Literal["calendar", "planner"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:calendar-boost-planner:schema:{kind}:1"
"""What names a schema wherever a copy of it lies; the number changes with the files' format."""
_NOTES = {"^x-": {"description": "Room for anchors and notes; not read."}}


def schema(kind: Kind) -> Schema:
    """Return the JSON Schema of a calendar file's documents, or of ``planner.yaml``.

    A file that the schema accepts may still have problems: whether a cron ever fires or a
    file exists, a schema can't say. A file that it refuses always has some.
    """
    model = CalendarDocument if kind == "calendar" else PlannerDocument
    found = _tidied(model.model_json_schema(by_alias=True, mode="validation"))
    found["patternProperties"] = _NOTES
    if kind == "calendar":
        found["properties"]["windows"]["propertyNames"] = {"pattern": f"^{NAME_PATTERN}$"}
        dependent: dict[str, list[str]] = {}
        for companion in COMPANIONS:
            dependent.setdefault(companion.key, []).append(companion.owner)
            if companion.example:
                dependent.setdefault(companion.owner, []).append(companion.key)
        found["$defs"]["WindowDocument"] |= {
            "allOf": [
                {"oneOf": [{"required": [key]} for key in RECURRENCES]},
                {"not": {"required": list(DEMANDS)}},
                {"anyOf": [{"required": [key]} for key in (*DEMANDS, WORKERS)]},
                {"not": {"required": list(LENGTHS)}},
                {"anyOf": [{"required": [key]} for key in (*LENGTHS, *OWN_LENGTH)]},
            ],
            "dependentRequired": dependent,
        }
    found["$defs"]["FleetDocument"]["dependentRequired"] = {
        one: [other] for one, other in (BACKLOG, BACKLOG[::-1])
    }
    return {"$schema": DIALECT, "$id": ID.format(kind=kind), **found}


def _tidied(node: Any) -> Any:
    """Return *node* without the nulls and titles that pydantic adds.

    It makes a key that may be left out nullable, but the files refuse a blank; its titles
    only repeat the keys.
    """
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _tidied(value)
        for key, value in node.items()
        if not (key == "default" and value is None)
        and not (key == "title" and isinstance(value, str))
    }
    options = kept.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        options = [option for option in options if option != {"type": "null"}]
        del kept["anyOf"]
        return kept | (options[0] if len(options) == 1 else {"anyOf": options})
    return kept
