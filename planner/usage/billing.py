"""Billed Actions and cost by namespace and hour, from Temporal Cloud's billing reports.

What a boost really cost: billed Actions, with the minimum of provisioned capacity. Only means
of hours, no peaks, and nothing of throttling. Hours are kept of the current and the previous
month, and billed about a day late.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx

from planner.errors import ServerError
from planner.usage.client import Client, keyed_client

CLOUD_URL = "https://saas-api.tmprl.cloud"
URL_VARIABLE = "PLANNER_CLOUD_URL"
KEY_VARIABLE = "PLANNER_BILLING_KEY_FILE"

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


def source_from(environ: Mapping[str, str]) -> BillingSource | None:
    """Return the source that the environment names; None where it names no key.

    Raises:
        ServerError: The variables can't be used.
    """
    name = "the Cloud Operations API"
    client = keyed_client(name, CLOUD_URL, URL_VARIABLE, KEY_VARIABLE, environ)
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
        report = await self._generated(await self._create(start, end))
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

    async def _create(self, start: datetime, end: datetime) -> str:
        """Request a report of these months; return its id."""
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
            return str(reply["billingReportId"])
        except KeyError as error:
            raise self.client.unreadable("a billing report") from error

    async def _generated(self, number: str) -> dict[str, Any]:
        """Return the report *number* once it is generated."""
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
            raise self.client.failure(reply, str(said)[:300])
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
