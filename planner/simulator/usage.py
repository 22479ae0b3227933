"""What simulated namespaces use, by the load given to them, and the three ways to read it.

The load is given by the second, and throttled by the limit that was in force in that second:
so a burst is throttled although its minute's mean is far below the limit. It is read as

- minutes, as the planner has them: `usage_of`;
- the OpenMetrics text of one minute, as ``metrics.temporal.io`` serves it: `metrics_reply`;
- the rows of a billing report, with the minimum of provisioned capacity: `billing_csv`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from planner.config.scalars import parse_duration
from planner.forecast.cost import ACTIONS_PER_TRU_HOUR, MILLION, floor_hour
from planner.model import Prices
from planner.recurrence.cron import parse, wall_times
from planner.simulator.http import HttpReply, HttpRequest
from planner.simulator.state import APS_PER_TRU, Entry, Namespace, Refusal

if TYPE_CHECKING:
    from planner.usage.model import Floats, Usage

Json = dict[str, Any]

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LATE = timedelta(minutes=3)
"""How late the minute is that a scrape returns."""

PREFIX = "temporal_cloud_v1_"
RPS_PER_TRU = 1500
OPS_PER_TRU = 4000
BACKGROUND = 0.2
"""Background Actions for each that counts; they are reported, and count for no limit."""

SHARES = {"StartWorkflowExecution": 0.25, "RespondWorkflowTaskCompleted": 0.5, "Poll": 0.25}
"""How requests and operations divide into those that are reported, which are series each."""

MOST_POINTS = 30_000
"""Data points of one reply; further ones are cut off, and ``X-Completeness`` says so."""

SCRAPES_AN_HOUR = 180


# The load ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peak:
    """*aps* Actions per second more, for *length* from each start.

    The starts are those of *cron* in *timezone*, or *start* alone. With *within*, the Actions
    of a minute come in so many of its first seconds.
    """

    aps: float
    length: timedelta
    cron: str = ""
    timezone: str = "UTC"
    start: datetime | None = None
    within: int = 60

    def spans(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield begin and end of each time that touches ``[start, end)``."""
        if self.start is not None:
            starts = [self.start]
        else:
            zone, first = ZoneInfo(self.timezone), start - self.length - DAY
            walls = wall_times(parse(self.cron), None, first.date(), (end + DAY).date())
            starts = [wall.replace(tzinfo=zone).astimezone(UTC) for wall in walls]
        for begin in starts:
            if begin < end and start < begin + self.length:
                yield begin, begin + self.length


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a namespace: *base* Actions per second, and *peaks* on top.

    Each minute differs by *noise*, a share, the same way for the same *seed*. *requests* and
    *operations* are those that an Action takes.
    """

    base: float = 0.0
    peaks: tuple[Peak, ...] = ()
    noise: float = 0.0
    seed: int = 0
    requests: float = 2.0
    operations: float = 5.0


def parse_load(body: Mapping[str, Any]) -> Load:
    """Return the load that *body* describes.

    Raises:
        Refusal: It describes none; the sentence says what would.
    """
    known = ("base", "peaks", "noise", "seed", "requests", "operations")
    _check_names(body, known)
    peaks = body.get("peaks", [])
    if not isinstance(peaks, list):
        raise Refusal(400, "peaks must be a list")
    numbers = {name: _number(body, name) for name in known if name != "peaks" and name in body}
    if "seed" in numbers:
        numbers["seed"] = int(numbers["seed"])
    return Load(peaks=tuple(_parse_peak(peak) for peak in peaks), **numbers)  # type: ignore[arg-type]


def _parse_peak(body: Any) -> Peak:
    example = '{"cron": "0 18 L * *", "timezone": "America/New_York", "for": "4h", "aps": 1800}'
    if not isinstance(body, Mapping) or ("cron" in body) == ("start" in body):
        raise Refusal(400, f"a peak has a cron or a start: {example}")
    _check_names(body, ("cron", "timezone", "start", "for", "aps", "within"))
    within = _number(body, "within") if "within" in body else 60
    if not 1 <= within <= 60:
        raise Refusal(400, f"within is {within:g}: 1 to 60 seconds")
    start = body.get("start")
    try:
        if isinstance(start, str):
            start = datetime.fromisoformat(start)
        if start is not None and (not isinstance(start, datetime) or start.tzinfo is None):
            raise ValueError(f"start is {start!r}: write 2026-11-30T18:00:00Z")
        if "cron" in body:
            parse(str(body["cron"]))
        ZoneInfo(str(body.get("timezone", "UTC")))
        length = parse_duration(str(body.get("for", "")))
    except (ValueError, KeyError) as error:
        raise Refusal(400, f"a peak can't be read: {error}; such as {example}") from error
    return Peak(
        _number(body, "aps"),
        length,
        str(body.get("cron", "")),
        str(body.get("timezone", "UTC")),
        start and start.astimezone(UTC),
        int(within),
    )


def parse_loads(text: str) -> dict[str, Load]:
    """Return the loads by namespace that a YAML file says: ``NAME: {base: 120, …}``.

    Raises:
        Refusal: It can't be used.
    """
    import yaml

    try:
        body = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise Refusal(400, f"no YAML: {error}") from error
    if not isinstance(body, Mapping) or not all(isinstance(one, Mapping) for one in body.values()):
        raise Refusal(400, "a load file maps namespaces to loads: payments-prod.a1b2c: {base: 120}")
    return {str(name): parse_load(one) for name, one in body.items()}


def _check_names(body: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = sorted(map(str, set(body) - set(known)))
    if unknown:
        raise Refusal(400, f"unknown field {unknown[0]!r}: one of {', '.join(known)}")


def _number(body: Mapping[str, Any], name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise Refusal(400, f"{name} is {value!r}: a number from 0 up")
    return float(value)


# The minutes -------------------------------------------------------------------------


def usage_of(
    namespace: str,
    load: Load,
    history: Sequence[Entry],
    on_demand_aps: float,
    start: datetime,
    end: datetime,
) -> Usage:
    """Return what *load* came to in the minutes of ``[start, end)`` under *history*.

    What exceeds the limit of its second is throttled, and tried again until its minute ends:
    it counts as used once it went through, and is given up then. Minutes that begin before the
    history aren't seen.
    """
    import numpy as np

    from planner.usage.model import LimitUsage, Usage

    first, last = (start - EPOCH) // MINUTE, -((EPOCH - end) // MINUTE)
    parts = [
        _minutes(load, history, on_demand_aps, begin, min(last, (begin // 1440 + 1) * 1440))
        for begin in (first, *range((first // 1440 + 1) * 1440, last, 1440))
        if begin < last
    ]
    joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    tru, *through = joined
    seen = ~np.isnan(tru)

    def of_limit(per_tru: float, used: Floats, throttled: Floats) -> LimitUsage:
        on_demand = np.where(seen, on_demand_aps * per_tru / APS_PER_TRU, np.nan)
        return LimitUsage(used, np.where(tru > 0, tru * per_tru, on_demand), throttled, on_demand)

    return Usage(
        namespace,
        EPOCH + first * MINUTE,
        seen,
        tru,
        of_limit(APS_PER_TRU, *through[0:2]),
        of_limit(RPS_PER_TRU, *through[2:4]),
        of_limit(OPS_PER_TRU, *through[4:6]),
    )


def _minutes(
    load: Load, history: Sequence[Entry], on_demand_aps: float, first: int, last: int
) -> tuple[Floats, ...]:
    """Return TRU, then used and throttled of Actions, requests and operations.

    For the minutes from *first* to *last* since 1970, which are of one day.
    """
    import numpy as np

    demand = _demand(load, first, last)
    tru = np.full(demand.shape, np.nan)
    flat, origin = tru.reshape(-1), first * 60
    for entry in history:
        at = int(np.ceil((entry.at - EPOCH).total_seconds())) - origin
        flat[max(at, 0) :] = entry.tru or 0
    tru[np.isnan(tru[:, 0])] = np.nan
    limit = np.where(tru > 0, tru * APS_PER_TRU, on_demand_aps)
    limit[np.isnan(tru)] = np.nan
    found = [tru[:, -1]]
    for per_tru, each in (
        (APS_PER_TRU, 1.0),
        (RPS_PER_TRU, load.requests),
        (OPS_PER_TRU, load.operations),
    ):
        found += _through(demand * each, limit * (per_tru / APS_PER_TRU))
    return tuple(found)


def _through(demand: Floats, limit: Floats) -> tuple[Floats, Floats]:
    """Return what went through and what was throttled in each minute, per second."""
    import numpy as np

    waiting, used = np.zeros(len(demand)), np.zeros(len(demand))
    for second in range(60):
        asked = waiting + demand[:, second]
        went = np.minimum(asked, limit[:, second])
        waiting, used = asked - went, used + went
    return used / 60, np.maximum(demand - limit, 0).mean(axis=1)


def _demand(load: Load, first: int, last: int) -> Floats:
    """Return the Actions asked for in each second: a row of 60 for each minute."""
    import numpy as np

    start, end = EPOCH + first * MINUTE, EPOCH + last * MINUTE
    demand = np.full((last - first, 60), float(load.base))
    for peak in load.peaks:
        pulse = np.zeros(60)
        pulse[: peak.within] = peak.aps * 60 / peak.within
        for begin, until in peak.spans(start, end):
            here = np.zeros(demand.size)
            inside = (int((each - start).total_seconds()) for each in (begin, until))
            here[slice(*(max(0, second) for second in inside))] = 1
            demand += here.reshape(demand.shape) * pulse
    if load.noise:
        day = first // 1440
        random = np.random.default_rng((load.seed, day)).standard_normal(1440)
        of_day = first - day * 1440
        factors = np.maximum(0, 1 + load.noise * random[of_day : of_day + last - first])
        demand *= factors[:, None]
    return demand


# OpenMetrics -------------------------------------------------------------------------


def series_of(usage: Usage, labels: str) -> Iterator[tuple[str, str, Floats]]:
    """Yield metric, labels and minutes of each series that Temporal Cloud has of *usage*.

    NaN where the series is absent: in minutes that weren't seen, and for most where nothing
    happened.

    Args:
        usage: The minutes.
        labels: The labels that all series have, such as ``temporal_namespace="…"``.
    """
    import numpy as np

    def happened(values: Floats) -> Floats:
        return np.where(values > 0, values, np.nan)

    region = f'{labels},region="aws-us-east-1"'
    actions = usage.actions
    for background, mode, share in (
        ("false", "active", 1.0),
        ("true", "active", BACKGROUND),
        ("false", "standby", 1.0),
    ):
        more = f'{labels},is_background="{background}",namespace_mode="{mode}"'
        yield "total_action_count", more, happened(actions.used * share)
    yield "total_action_throttled_count", labels, happened(actions.throttled)
    yield "action_limit", region, actions.limit
    yield "action_on_demand_envelope_limit", labels, actions.envelope
    yield "provisioned_capacity_tru_count", labels, usage.tru
    for name, limit in (("service_request", usage.requests), ("operations", usage.operations)):
        if limit is None:
            continue
        for operation, share in SHARES.items():
            more = f'{region},operation="{operation}"'
            yield f"{name}_count", more, happened(limit.used * share)
            yield f"{name}_throttled_count", more, happened(limit.throttled * share)
        yield f"{name}_limit", region, limit.limit
        yield f"{name}_on_demand_envelope_limit", labels, limit.envelope


def openmetrics(usages: Iterable[Usage], *, milliseconds: bool = False) -> Iterator[str]:
    """Yield lines of OpenMetrics text with every sample of *usages*, by metric, then by time.

    ``promtool tsdb create-blocks-from openmetrics`` reads it, as does a scrape. Its times are
    in seconds, or in *milliseconds*, as the samples of Temporal's documentation are.
    """
    import numpy as np

    families: dict[str, list[tuple[str, int, Floats]]] = {}
    for usage in usages:
        _, _, account = usage.namespace.partition(".")
        labels = f'temporal_account="{account}",temporal_namespace="{usage.namespace}"'
        start = int(usage.start.timestamp())
        for name, more, values in series_of(usage, labels):
            families.setdefault(name, []).append((more, start, values))
    unit = 1000 if milliseconds else 1
    for name, series in families.items():
        yield f"# TYPE {PREFIX}{name} gauge\n"
        for labels, start, values in series:
            for minute in np.flatnonzero(~np.isnan(values)).tolist():
                at = (start + 60 * minute) * unit
                yield f"{PREFIX}{name}{{{labels}}} {float(values[minute])!r} {at}\n"
    yield "# EOF\n"


@dataclass(slots=True)
class UsageState:
    """Loads by namespace, the account's scrapes of the last hour, and its billing reports.

    A scrape returns the minute that is *late* by so much, and a report ends *billed_late*.
    """

    loads: dict[str, Load] = field(default_factory=dict)
    late: timedelta = LATE
    billed_late: timedelta = DAY
    scrapes: list[datetime] = field(default_factory=list)
    scrapes_an_hour: float = SCRAPES_AN_HOUR
    reports: dict[str, BillingReport] = field(default_factory=dict)

    def usage(self, namespace: Namespace, start: datetime, end: datetime) -> Usage:
        """Return the true usage of *namespace* in the minutes of ``[start, end)``."""
        load = self.loads.get(namespace.name, Load())
        return usage_of(
            namespace.name, load, namespace.history, namespace.on_demand_aps, start, end
        )


def metrics_reply(
    state: UsageState, namespaces: Iterable[Namespace], request: HttpRequest, now: datetime
) -> HttpReply:
    """Return the one minute that ``GET /v1/metrics`` has at *now*.

    Raises:
        Refusal: It is one scrape too many in this hour.
    """
    state.scrapes = [at for at in state.scrapes if now - at < HOUR]
    if len(state.scrapes) >= state.scrapes_an_hour:
        wait = (state.scrapes[0] + HOUR - now).total_seconds()
        raise Refusal(429, "rate limit exceeded for account", retry_after=max(1, round(wait)))
    state.scrapes.append(now)
    asked = parse_qs(urlsplit(request.target).query)
    start = EPOCH + ((now - state.late - EPOCH) // MINUTE) * MINUTE
    names, metrics = asked.get("namespaces", ["*"]), asked.get("metrics")
    usages = [
        state.usage(each, start, start + MINUTE)
        for each in namespaces
        if any(fnmatchcase(each.name, name) for name in names)
    ]
    lines = [
        line
        for line in openmetrics(usages)
        if metrics is None or line == "# EOF\n" or _metric(line) in metrics
    ]
    points = [line for line in lines if not line.startswith("#")]
    left_out = set(points[MOST_POINTS:])
    text = "".join(line for line in lines if line not in left_out)
    return HttpReply(
        200,
        text,
        content_type="application/openmetrics-text; version=1.0.0; charset=utf-8",
        more_headers=(("x-completeness", "limited" if left_out else "complete"),),
    )


def _metric(line: str) -> str:
    """Return the metric that a line of OpenMetrics text is of."""
    return line.removeprefix("# TYPE ").partition(" ")[0].partition("{")[0]


# Billing -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BillingReport:
    """A billing report: the hours from *start* to *end*, when its file is there, and how long.

    With *fails* there is none: it ends failed.
    """

    id: str
    spec: Json
    start: datetime
    end: datetime
    requested: datetime
    ready: datetime
    expires: datetime
    fails: bool = False

    def state(self, now: datetime) -> Literal["IN_PROGRESS", "GENERATED", "FAILED"]:
        """Return its state at *now*."""
        if now < self.ready:
            return "IN_PROGRESS"
        return "FAILED" if self.fails else "GENERATED"


def begin_report(
    state: UsageState, body: Mapping[str, Any], number: str, now: datetime, seconds: float
) -> BillingReport:
    """Begin the billing report that *body* asks for; it takes so many *seconds*.

    Raises:
        Refusal: It can't be had; another one is being made, or the months aren't kept.
    """
    if any(report.state(now) == "IN_PROGRESS" for report in state.reports.values()):
        raise Refusal(429, "a billing report is in progress already", retry_after=seconds or 1)
    spec = body.get("spec")
    if not isinstance(spec, dict):
        raise Refusal(400, "invalid spec: must be an object")
    if spec.get("granularity", HOURLY) not in (HOURLY, 0, "BILLING_REPORT_GRANULARITY_UNSPECIFIED"):
        raise Refusal(400, "the simulator's billing reports are hourly")
    start, end = (_month_mark(spec, name) for name in ("startTimeInclusive", "endTimeExclusive"))
    this = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if not start < end or start < (this - DAY).replace(day=1) or end > (this + 31 * DAY):
        raise Refusal(400, "hourly reports have the current and the previous billing month")
    life = str(spec.get("downloadUrlExpirationDuration", "300s")).removesuffix("s")
    ready = now + timedelta(seconds=seconds)
    report = BillingReport(
        number,
        spec,
        start,
        min(end, floor_hour(now - state.billed_late)),
        now,
        ready,
        ready + timedelta(seconds=min(float(life or 300), 3600)),
    )
    state.reports[number] = report
    return report


HOURLY = "BILLING_REPORT_GRANULARITY_HOURLY"


def _month_mark(spec: Mapping[str, Any], name: str) -> datetime:
    """Return the first instant of a month that *spec* has under *name*."""
    try:
        found = datetime.fromisoformat(str(spec.get(name)))
        if found.tzinfo and found == found.astimezone(UTC).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        ):
            return found.astimezone(UTC)
    except ValueError:
        pass
    raise Refusal(400, f"invalid {name}: {spec.get(name)!r} is no first of a month in UTC")


COLUMNS = (
    "BillingCurrency",
    "ChargeDescription",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ContractedCost",
    "ContractedUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ResourceID",
    "SKUID",
    "SKUMeter",
    "Tags",
)


def billing_csv(
    state: UsageState, namespaces: Sequence[Namespace], report: BillingReport, prices: Prices
) -> str:
    """Return the rows of *report*: a row for each charge of an hour.

    Billed are the Actions that went through, or the minimum that the highest TRU of the hour
    carries. The account's Actions climb the tiers of *prices* in order of time.
    """
    charged = sorted(
        (hour, namespace.name, actions)
        for namespace in namespaces
        for hour, actions in billed_hours(state, namespace, report.start, report.end)
    )
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    rows.writeheader()
    months: dict[tuple[int, int], int] = {}
    for hour, name, actions in charged:
        month = (hour.year, hour.month)
        reached = months.get(month, 0)
        months[month] = reached + actions
        for tier, count, price in _in_tiers(reached, actions, prices):
            rows.writerow(
                {
                    "BillingCurrency": prices.currency,
                    "ChargeDescription": f"Actions - Tier {tier}",
                    "ChargePeriodStart": _iso(hour),
                    "ChargePeriodEnd": _iso(hour + HOUR),
                    "ContractedCost": f"{count * price / MILLION:.10f}",
                    "ContractedUnitPrice": f"{price:g}",
                    "PricingQuantity": f"{count / MILLION:.6f}",
                    "PricingUnit": "1 Million Actions",
                    "ResourceID": name,
                    "SKUID": f"actions-tier-{tier}",
                    "SKUMeter": "Actions",
                    "Tags": "{}",
                }
            )
    return text.getvalue()


def billed_hours(
    state: UsageState, namespace: Namespace, start: datetime, end: datetime
) -> Iterator[tuple[datetime, int]]:
    """Yield each hour of ``[start, end)`` that costs something, and its billed Actions."""
    import numpy as np

    start = max(start, floor_hour(namespace.created))
    usage = state.usage(namespace, start, max(start, end)) if start < end else None
    for index in range((end - start) // HOUR if usage else 0):
        assert usage is not None
        hour, minutes = start + index * HOUR, slice(index * 60, index * 60 + 60)
        actions = usage.actions.used[minutes]
        before = [entry for entry in namespace.history if entry.at <= hour][-1:]
        within = [entry for entry in namespace.history if hour < entry.at < hour + HOUR]
        highest = max((entry.tru or 0 for entry in (*before, *within)), default=0)
        minimum = max(highest - 1, 0) * ACTIONS_PER_TRU_HOUR
        billed = round(max(float(np.nansum(actions)) * 60, minimum))
        if billed:
            yield hour, billed


def _in_tiers(reached: int, actions: int, prices: Prices) -> Iterator[tuple[int, int, float]]:
    """Yield tier, count and price for a million of *actions*, after *reached* in the month."""
    for number, tier in enumerate(prices.tiers, 1):
        is_last = tier.up_to is None or number == len(prices.tiers)
        count = actions if is_last else min(actions, max(0, (tier.up_to or 0) - reached))
        if count:
            yield number, count, tier.per_million
        actions, reached = actions - count, reached + count


def _iso(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}.000Z"
