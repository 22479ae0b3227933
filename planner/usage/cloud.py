"""What Temporal Cloud itself says of usage: billing reports, and the newest minute.

Billed Actions and cost by namespace and hour are what a boost really cost, with the minimum of
provisioned capacity. Only means of hours, no peaks, and nothing of throttling. Hours are kept of
the current and the previous month, and billed about a day late.

The metrics endpoint has one completed minute, about three minutes late, and no history: it is for
the present, and for Prometheus.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx

from planner.errors import ServerError
from planner.render.format import counted
from planner.usage.client import Client, keyed_client, words_of
from planner.usage.model import MINUTE, LimitSamples, Samples, Usage, build_usage
from planner.usage.prometheus import (
    LIMIT_METRICS,
    PREFIX,
    TRU_METRIC,
    Merge,
    merge_series,
    with_notes,
)

CLOUD_URL = "https://saas-api.tmprl.cloud"
CLOUD_URL_VARIABLE = "PLANNER_CLOUD_URL"
BILLING_KEY_VARIABLE = "PLANNER_BILLING_KEY_FILE"

API_VERSION = "v0.16.0"
"""The first version of the API that has the granularity of reports."""

LONGEST_WAIT = 600.0
"""Seconds that a report may take to be generated."""

LONGEST_POLL = 15.0
"""Seconds between two looks at a report, at most."""

MILLION = 1_000_000
HOUR = timedelta(hours=1)

COLUMNS = (
    *("ChargePeriodStart", "ChargePeriodEnd", "ContractedCost"),
    *("PricingQuantity", "ResourceID", "SKUMeter"),
)
"""Columns of a report that are read; there are more."""

Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class BilledHour:
    """What one namespace was billed for one hour: Actions, and their price without the plan's.

    *actions* include the minimum of provisioned capacity where less was used.
    """

    actions: float
    cost: float


@dataclass(frozen=True, slots=True)
class BilledHours:
    """A billing report: what each hour was billed, by namespace and the hour's start in UTC.

    An hour that isn't there cost nothing, if it is before *until*; later ones are unknown.
    """

    start: datetime
    until: datetime
    currency: str
    hours: Mapping[tuple[str, datetime], BilledHour]

    def between(self, namespace: str, start: datetime, end: datetime) -> BilledHour | None:
        """Return the sum of the hours that ``[start, end)`` touches; None where any is unknown."""
        hour = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if hour < self.start or end > self.until:
            return None
        actions = cost = 0.0
        while hour < end:
            if found := self.hours.get((namespace, hour)):
                actions, cost = actions + found.actions, cost + found.cost
            hour += HOUR
        return BilledHour(actions, cost)


def billing_from(environ: Mapping[str, str]) -> BillingSource | None:
    """Return the source that the environment names; None where it names no key.

    Raises:
        ServerError: The variables can't be used.
    """
    name = "the Cloud Operations API"
    client = keyed_client(name, CLOUD_URL, CLOUD_URL_VARIABLE, BILLING_KEY_VARIABLE, environ)
    return BillingSource(client) if client else None


@dataclass(slots=True)
class BillingSource:
    """Billing reports of the Cloud Operations API, used as a context.

    Attributes:
        client: Sends the requests, and counts them.
        sleep: Waits so many seconds.
        poll: Seconds until the first look at a report; later ones take longer.
    """

    client: Client
    sleep: Sleep = asyncio.sleep
    poll: float = 1.0

    async def __aenter__(self) -> BillingSource:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.__aexit__(None, None, None)

    async def hours(self, now: datetime, *, previous: bool = True) -> BilledHours:
        """Return what was billed in the current month, and in the *previous* one.

        Takes from seconds to minutes: the report is made for this request, and only one at a
        time for an account.

        Raises:
            ServerError: There is none; a sentence with what to do.
        """
        this = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        start = (this - HOUR).replace(day=1, hour=0) if previous else this
        end = (this + timedelta(days=32)).replace(day=1)
        report = await self._generated(start, end)
        try:
            (place,) = report["downloadInfo"]
            url = str(place["url"])
        except (KeyError, TypeError, ValueError) as error:
            raise self.client.unreadable("a billing report with a file") from error
        # The address is signed: the key has no business there, nor has the address in an error.
        reply = await self.client.request("GET", url, with_credentials=False)
        if reply.status_code != httpx.codes.OK:
            raise ServerError(
                f"the file of the billing report can't be read (HTTP {reply.status_code}): its "
                "address is valid for some minutes only; try again"
            )
        return parse_report(reply.text, start, now)

    async def _generated(self, start: datetime, end: datetime) -> dict[str, Any]:
        """Request a report of these months, and return it once it is generated."""
        body = {
            "spec": {
                "startTimeInclusive": f"{start:%Y-%m-%dT%H:%M:%SZ}",
                "endTimeExclusive": f"{end:%Y-%m-%dT%H:%M:%SZ}",
                "granularity": "BILLING_REPORT_GRANULARITY_HOURLY",
                "downloadUrlExpirationDuration": "600s",
                "description": "calendar boost planner",
            }
        }
        reply = await self._call("POST", "/cloud/billing-reports", json=body)
        try:
            number = str(reply["billingReportId"])
        except KeyError as error:
            raise self.client.unreadable("a billing report") from error
        waited, pause = 0.0, self.poll
        while waited <= LONGEST_WAIT:
            found = await self._call("GET", f"/cloud/billing-reports/{number}")
            report = found.get("billingReport")
            if not isinstance(report, dict):
                raise self.client.unreadable("a billing report")
            state = str(report.get("state", "")).removeprefix("BILLING_REPORT_STATE_")
            if state in ("GENERATED", "2"):
                return report
            if state in ("FAILED", "3"):
                raise ServerError(
                    f"Temporal Cloud could not make the billing report {number}: try again, and "
                    "ask Temporal's support if it fails again"
                )
            await self.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, LONGEST_POLL)
        raise ServerError(
            f"the billing report {number} was not made within {LONGEST_WAIT / 60:g} minutes: "
            "try again later"
        )

    async def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """Return the JSON object that the API replies."""
        headers = {"temporal-cloud-api-version": API_VERSION}
        reply = await self.client.request(method, path, headers=headers, **content)
        try:
            body = json.loads(reply.content)
        except ValueError:
            body = None
        if reply.status_code != httpx.codes.OK:
            said = body.get("message", "") if isinstance(body, dict) else ""
            if reply.status_code == 429 and "progress" in str(said):
                raise ServerError(
                    "another billing report of the account is being made: only one at a time; "
                    "try again in some minutes"
                )
            raise self.client.failure(reply, words_of(reply, said))
        if not isinstance(body, dict):
            raise self.client.unreadable("a reply of the API")
        return body


def parse_report(text: str, start: datetime, now: datetime) -> BilledHours:
    """Return the hours of a billing report's CSV *text*, whose months begin at *start*.

    Rows that are not Actions, such as storage, and rows without a namespace are left out.
    Billed late: what is known ends after the latest hour of any namespace, or a day ago.

    Raises:
        ServerError: It is no such report.
    """
    actions: dict[tuple[str, datetime], Decimal] = defaultdict(Decimal)
    costs: dict[tuple[str, datetime], Decimal] = defaultdict(Decimal)
    until, currencies = start, set()
    rows = csv.DictReader(io.StringIO(text))
    if missing := sorted(set(COLUMNS) - set(rows.fieldnames or ())):
        raise ServerError(
            f"the billing report has no column {missing[0]}: look for a newer version of the "
            "planner"
        )
    for number, row in enumerate(rows, 2):
        try:
            if None in (row[name] for name in COLUMNS):
                raise ValueError("it is cut off")
            begin = datetime.fromisoformat(row["ChargePeriodStart"]).astimezone(UTC)
            end = datetime.fromisoformat(row["ChargePeriodEnd"]).astimezone(UTC)
            if end - begin > HOUR:
                raise ValueError("the report is not hourly")
            until = max(until, end)
            if row["SKUMeter"] != "Actions" or not row["ResourceID"]:
                continue
            key = row["ResourceID"], begin
            actions[key] += Decimal(row["PricingQuantity"]) * MILLION
            costs[key] += Decimal(row["ContractedCost"])
            currencies.add(row.get("BillingCurrency") or "USD")
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            raise ServerError(
                f"the billing report's line {number} can't be read ({error!r}): its columns "
                "may have changed; look for a newer version of the planner"
            ) from error
    if len(currencies) > 1:
        raise ServerError(f"the billing report has several currencies: {sorted(currencies)}")
    hours = {key: BilledHour(float(actions[key]), float(costs[key])) for key in sorted(actions)}
    day_ago = (now - timedelta(days=1)).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return BilledHours(start, max(until, day_ago), next(iter(currencies), "USD"), hours)


# The newest minute -------------------------------------------------------------------------


METRICS_URL = "https://metrics.temporal.io"
METRICS_URL_VARIABLE = "PLANNER_METRICS_URL"
METRICS_KEY_VARIABLE = "PLANNER_METRICS_KEY_FILE"

MILLISECONDS = 1e11
"""A time of a sample from here on is in milliseconds: in seconds it would be the year 5138."""

_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"\s*,?')
_SAMPLE = re.compile(
    r"([a-zA-Z_:][\w:]*)"
    r'(?:\{((?:[^"{}]|"(?:[^"\\]|\\.)*")*)\})?'
    r"\s+([^\s#]+)(?:\s+([^\s#]+))?\s*(?:#.*)?"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of OpenMetrics; *time* is in seconds since 1970, or None."""

    metric: str
    labels: Mapping[str, str]
    value: float
    time: float | None


def parse_openmetrics(text: str) -> Iterator[Sample]:
    """Yield the samples of OpenMetrics *text*, or Prometheus's older text.

    Whether times are in seconds or milliseconds is decided by their size.

    Raises:
        ValueError: A line is no sample.
    """
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        if not match:
            raise ValueError(line[:80])
        name, labels, value, at = match.groups()
        time = None if at is None else float(at)
        if time is not None and time > MILLISECONDS:
            time /= 1000
        found = {
            key: re.sub(r"\\(.)", lambda sign: "\n" if sign[1] == "n" else sign[1], one)
            for key, one in _LABEL.findall(labels or "")
        }
        yield Sample(name, found, float(value), time)


def metrics_from(environ: Mapping[str, str]) -> OpenMetricsSource | None:
    """Return the source that the environment names; None where it names no key.

    Raises:
        ServerError: The variables can't be used.
    """
    name = "Temporal Cloud's metrics endpoint"
    client = keyed_client(name, METRICS_URL, METRICS_URL_VARIABLE, METRICS_KEY_VARIABLE, environ)
    return OpenMetricsSource(client) if client else None


@dataclass(slots=True)
class OpenMetricsSource:
    """The newest completed minute, from Temporal Cloud itself; used as a context.

    It is a `UsageSource` all of whose other minutes are not seen.
    """

    client: Client

    async def __aenter__(self) -> OpenMetricsSource:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.__aexit__(None, None, None)

    async def usage(self, namespace: str, start: datetime, end: datetime) -> Usage:
        """Return the minutes of ``[start, end)``: at most the newest one is seen.

        Raises:
            ServerError: The endpoint can't be read; a sentence with what to do.
        """
        found = await self.newest([namespace])
        if namespace in found:
            return found[namespace].between(start, end)
        return build_usage(namespace, start, end, actions=LimitSamples())

    async def newest(self, namespaces: Iterable[str] = ()) -> dict[str, Usage]:
        """Return the newest minute of each of *namespaces*, or of all there are.

        A namespace that is not known to the endpoint is left out. Takes one request of the
        180 that an account has an hour.

        Raises:
            ServerError: The endpoint can't be read; a sentence with what to do.
        """
        reply = await self.client.request(
            "GET", "/v1/metrics", params=[("namespaces", name) for name in namespaces]
        )
        if reply.status_code != httpx.codes.OK:
            try:
                said = str(reply.json().get("message", ""))
            except (ValueError, AttributeError):
                said = ""
            raise self.client.failure(reply, words_of(reply, said))
        by_namespace: dict[str, list[Sample]] = defaultdict(list)
        try:
            for sample in parse_openmetrics(reply.text):
                if name := sample.labels.get("temporal_namespace"):
                    by_namespace[name].append(sample)
        except ValueError as error:
            raise self.client.unreadable("OpenMetrics") from error
        if not by_namespace and "# EOF" not in reply.text:
            raise self.client.unreadable("OpenMetrics")
        completeness = reply.headers.get("x-completeness", "complete")
        notes = []
        if completeness != "complete":
            notes = [
                f"the endpoint says that its reply is {completeness}, not complete: what is absent "
                "is unknown; ask for fewer namespaces"
            ]
        found = {}
        for name, samples in by_namespace.items():
            if usage := _usage(name, samples, completeness, reply):
                found[name] = with_notes(usage, notes)
        return found

    async def check(self) -> str:
        """Return in a sentence what the endpoint has.

        Raises:
            ServerError: It can't be read.
        """
        found = await self.newest()
        return f"{self.client.name} has the usage of {counted(len(found), 'namespace')}"


def _usage(
    namespace: str, samples: Iterable[Sample], completeness: str, reply: httpx.Response
) -> Usage | None:
    """Return the minute that *samples* are of; None where no sample is of a known metric.

    From an incomplete reply absence proves nothing: the minute counts as not seen.
    """
    series: dict[str, list[Samples]] = defaultdict(list)
    times = []
    for sample in samples:
        labels = sample.labels
        if labels.get("is_background") == "true" or labels.get("namespace_mode") == "standby":
            continue
        time = sample.time
        if time is None:  # undated: the minute that the endpoint says it has
            time = _date_of(reply).timestamp() - 180
        times.append(time // 60 * 60)
        metric = sample.metric.removeprefix(PREFIX)
        series[metric].append(Samples.of([(times[-1], sample.value)]))
    if not times:
        return None
    start = datetime.fromtimestamp(max(times), UTC)

    def merged(metric: str, merge: Merge) -> Samples:
        return merge_series(series.get(metric, ()), merge)

    def limit(name: str) -> LimitSamples:
        metrics = LIMIT_METRICS[name]
        seen = merged(metrics["limit"], "min")
        return LimitSamples(
            merged(metrics["used"], "sum"),
            seen if completeness == "complete" else Samples.of(()),
            merged(metrics["throttled"], "sum"),
            merged(metrics["envelope"], "min"),
        )

    return build_usage(
        namespace,
        start,
        start + MINUTE,
        actions=limit("actions"),
        tru=merged(TRU_METRIC, "max"),
        requests=limit("requests"),
        operations=limit("operations"),
    )


def _date_of(reply: httpx.Response) -> datetime:
    """Return the time of *reply* by its own header, or this machine's clock."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(reply.headers["date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)
