"""Usage from Prometheus, or what has its query API: Mimir, Thanos, VictoriaMetrics, Grafana Cloud.

What is read are samples, as they were scraped: a range vector of at most 7 days a request, never
a subquery, which carries the last value on over a gap. So every minute is either there or not.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import httpx
import numpy as np

from planner.errors import ServerError
from planner.render.format import counted
from planner.usage.client import Client, base_url, credentials_from, words_of
from planner.usage.model import (
    EPOCH,
    MINUTE,
    NO_SAMPLES,
    Bools,
    Floats,
    LimitSamples,
    Samples,
    Usage,
    build_usage,
)

URL_VARIABLE = "PLANNER_PROMETHEUS_URL"
TOKEN_VARIABLE = "PLANNER_PROMETHEUS_TOKEN_FILE"
LOGIN_VARIABLE = "PLANNER_PROMETHEUS_LOGIN_FILE"

PIECE = timedelta(days=7)
"""The longest time of one request: 10,080 minutes, where servers limit replies to 11,000."""

SHORTEST_PIECE = timedelta(hours=6)
"""The shortest one, where the server refuses more as too much."""

LONG = timedelta(days=14)
"""A longer time is read thriftily: a week in which a limit stays the same is one number of it."""

SUMMED = timedelta(days=91)
"""The longest time of one request for hours: 2,184 points of each figure."""

NEAR = 12
"""Hours: what is read by the minute and no further apart is one request, which costs as much."""

TOO_MUCH = (
    "too many samples",
    "maximum resolution",
    "limit: the query",
    "exceeded the maximum",
    "query length",
    "-search.max",
    "the query hit",
)
"""Words by which Prometheus, Mimir, Thanos or VictoriaMetrics say that less must be asked for."""

AT_ONCE = 4
"""Requests at once."""

PREFIX = "temporal_cloud_v1_"

Merge = Literal["sum", "min", "max"]

LIMIT_METRICS: Mapping[str, Mapping[str, str]] = {
    "actions": {
        "used": "total_action_count",
        "limit": "action_limit",
        "throttled": "total_action_throttled_count",
        "envelope": "action_on_demand_envelope_limit",
    },
    **{
        limit: {
            "used": f"{stem}_count",
            "limit": f"{stem}_limit",
            "throttled": f"{stem}_throttled_count",
            "envelope": f"{stem}_on_demand_envelope_limit",
        }
        for limit, stem in (("requests", "service_request"), ("operations", "operations"))
    },
}
"""The metrics of each limit, without their prefix, by the name of the field in `LimitUsage`."""

TRU_METRIC = "provisioned_capacity_tru_count"

HOURLY: Mapping[str, tuple[str, str]] = {
    "actions": ("sum_over_time({})", LIMIT_METRICS["actions"]["used"]),
    "peak": ("max_over_time({})", LIMIT_METRICS["actions"]["used"]),
    "seen": (
        "min by (temporal_namespace) (count_over_time({}))",
        LIMIT_METRICS["actions"]["limit"],
    ),
    "envelopes": (
        "min by (temporal_namespace) (count_over_time({}))",
        LIMIT_METRICS["actions"]["envelope"],
    ),
    "envelope": (
        "min by (temporal_namespace) (min_over_time({}))",
        LIMIT_METRICS["actions"]["envelope"],
    ),
    **{
        name: (
            "sum by (temporal_namespace) (sum_over_time({}))",
            LIMIT_METRICS[limit]["throttled"],
        )
        for name, limit in (
            ("throttled", "actions"),
            ("throttled_requests", "requests"),
            ("throttled_operations", "operations"),
        )
    },
}
"""What is read of each hour of a long time: the function, and the metric that it is of.

Where several series have Actions in an hour, as of two collectors, it is read by the minute.
"""

HOUR = timedelta(hours=1)

OWN_LABELS = ("__name__", "is_background", "namespace_mode", "operation", "region")
"""Labels that make series of Temporal Cloud different; others are a collector's.

Two collectors of the same series have the same, and are counted once. A series of the same name
with neither *is_background* nor *operation*, beside others that have one, is a recorded sum.
"""


def source_from(environ: Mapping[str, str]) -> PrometheusSource | None:
    """Return the source that the environment names; None where it names none.

    Raises:
        ServerError: The variables can't be used.
    """
    if not (value := environ.get(URL_VARIABLE, "").strip()):
        return None
    credentials = credentials_from(environ, TOKEN_VARIABLE, LOGIN_VARIABLE)
    return PrometheusSource(
        Client(
            "Prometheus",
            base_url(value, URL_VARIABLE),
            (URL_VARIABLE, TOKEN_VARIABLE, LOGIN_VARIABLE),
            credentials,
        )
    )


@dataclass(frozen=True, slots=True)
class Series:
    """A series as it was read: its labels, and its samples in order of time."""

    labels: Mapping[str, str]
    samples: Samples

    @property
    def metric(self) -> str:
        """Its name, without Temporal's prefix."""
        return self.labels.get("__name__", "").removeprefix(PREFIX)

    @property
    def own(self) -> tuple[str, ...]:
        """What it is, whoever collected it."""
        return tuple(self.labels.get(name, "") for name in OWN_LABELS)


class _TooMuch(Exception):
    """The server refuses a request as too large; *args* has the error."""


@dataclass(slots=True)
class PrometheusSource:
    """Usage from a Prometheus-compatible server; a `UsageSource`, used as a context.

    Attributes:
        client: Sends the requests, and counts them.
        limits: The limits to read; without the others, less is sent.
    """

    client: Client
    limits: Sequence[str] = ("actions", "requests", "operations")
    _slots: asyncio.Semaphore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> PrometheusSource:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.__aexit__(None, None, None)

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return self.client.requests

    async def check(self) -> str:
        """Return in a sentence what answers, and whether it has Temporal Cloud's metrics.

        Raises:
            ServerError: It can't be read.
        """
        query = f"count(count by (temporal_namespace) ({PREFIX}action_limit))"
        found = await self._query(query, None)
        names = int(float(found[0]["value"][1])) if found else 0
        if not names:
            raise ServerError(
                f"{self.client.name} at {self.client.url} answers, and has no metric "
                f"{PREFIX}action_limit of the last minutes: let it scrape metrics.temporal.io"
            )
        return f"{self.client.name} has the usage of {counted(names, 'namespace')}"

    async def usage(self, namespace: str, start: datetime, end: datetime) -> Usage:
        """Return the usage of *namespace* in the minutes that ``[start, end)`` touches.

        Its notes say what was found out of the ordinary: samples that came twice, data that
        begins late, and what the server itself warned of.

        Raises:
            ServerError: The server can't be read; a sentence with what to do.
        """
        first = (start - EPOCH) // MINUTE * MINUTE + EPOCH
        last = EPOCH - (EPOCH - end) // MINUTE * MINUTE
        warnings: set[str] = set()
        is_long, metrics = last - first > LONG, list(self._metrics)
        marks = [first + number * PIECE for number in range(-((first - last) // PIECE))]
        spans = [(at, min(at + PIECE, last)) for at in marks]
        pieces = await asyncio.gather(
            *(
                self._thrifty(namespace, *span, warnings)
                if is_long
                else self._piece(namespace, metrics, *span, warnings)
                for span in spans
            )
        )
        read = _Read.of(series for piece in pieces for series in piece)
        usage = read.usage(namespace, first, last)
        return with_notes(usage, (*read.notes(), *sorted(warnings)))

    async def demand(self, namespace: str, start: datetime, end: datetime) -> Usage:
        """Return the usage of *namespace* for a long time, with plain hours as their means.

        An hour is plain where every minute was seen, none was throttled, and the one that used
        most is within the lowest limit that on-demand would have had. Each of its minutes has
        the hour's mean of Actions and that lowest limit. Of all other hours the Actions are as
        `usage` has them. Of requests and operations it is known what was throttled, and of TRU
        nothing: what was needed and what is billed doesn't depend on more.

        Args:
            namespace: Its name.
            start: The first hour mark.
            end: The last one.

        Raises:
            ServerError: The server can't be read; a sentence with what to do.
        """
        warnings: set[str] = set()
        marks = [start + number * SUMMED for number in range(-((start - end) // SUMMED))]
        pieces = await asyncio.gather(
            *(self._hours(namespace, at, min(at + SUMMED, end), warnings) for at in marks)
        )
        hours = _Hours(**{name: np.concatenate([p[name] for p in pieces]) for name in HOURLY})
        metrics = [*LIMIT_METRICS["actions"].values()]
        metrics += [
            LIMIT_METRICS[limit]["throttled"] for limit in self.limits if limit != "actions"
        ]
        spans = [(start + first * HOUR, start + last * HOUR) for first, last in hours.to_read()]
        found = await asyncio.gather(
            *(self._piece(namespace, metrics, *span, warnings) for span in spans)
        )
        read = _Read.of(series for piece in found for series in piece)
        usage = read.usage(namespace, start, end)
        hours.write_into(usage)
        return with_notes(usage, (*read.notes(), *sorted(warnings)))

    async def _hours(
        self, namespace: str, start: datetime, end: datetime, warnings: set[str]
    ) -> dict[str, Floats]:
        """Return the figures of `HOURLY`, an element for each hour of ``[start, end)``.

        Those of a server that refuses even a week of hours as too much are all unknown.
        """
        terms = [
            f'label_replace({form.format(_range(namespace, [metric], HOUR))},"of","{name}","","")'
            for name, (form, metric) in HOURLY.items()
            if metric in self._metrics
        ]
        last = f"{end.timestamp() - 0.001:.3f}"
        first = f"{(start + HOUR).timestamp() - 0.001:.3f}"
        asked = {"query": " or ".join(terms), "start": first, "end": last, "step": "3600"}
        try:
            async with self._slots:
                found = await self._ask("/api/v1/query_range", asked, warnings)
            return self._by_hour(found, start, (end - start) // HOUR)
        except _TooMuch:
            if end - start <= PIECE:
                return {name: np.full((end - start) // HOUR, np.inf) for name in HOURLY}
        middle = start + (end - start) / 2 // HOUR * HOUR
        early = await self._hours(namespace, start, middle, warnings)
        late = await self._hours(namespace, middle, end, warnings)
        return {name: np.concatenate([early[name], late[name]]) for name in HOURLY}

    def _by_hour(self, found: Iterable[Any], start: datetime, count: int) -> dict[str, Floats]:
        """Return the figures of *count* hours; NaN where there is none, inf where there are two.

        A time that wasn't asked for, as of a server that moves them to marks of its own, says
        nothing of any hour: all of that figure is inf.
        """
        figures = {name: np.full(count, np.nan) for name in HOURLY}
        for one in found:
            series, figure = self._series(one), figures[one["metric"]["of"]]
            ends = (series.samples.times + 0.001 - start.timestamp()) / 3600
            places = np.rint(ends).astype(np.int64) - 1
            is_asked = (np.abs(ends - np.rint(ends)) < 1e-6) & (places >= 0) & (places < count)
            if not is_asked.all():
                figure[:] = np.inf
                continue
            figure[places] = np.where(np.isnan(figure[places]), series.samples.values, np.inf)
        return figures

    @property
    def _metrics(self) -> dict[str, bool]:
        """The metrics to read, and whether each is of a kind that mostly stays the same."""
        found = {TRU_METRIC: True}
        for limit in self.limits:
            for field_name, metric in LIMIT_METRICS[limit].items():
                found[metric] = field_name in ("limit", "envelope")
        return found

    async def _thrifty(
        self, namespace: str, start: datetime, end: datetime, warnings: set[str]
    ) -> list[Series]:
        """Return the samples of ``[start, end)``, without reading those of steady series.

        A series with as many samples as there are minutes, whose lowest value is its highest,
        has that value in each of them.
        """
        metrics = self._metrics
        moving = [metric for metric, is_steady in metrics.items() if not is_steady]
        asked = [metric for metric, is_steady in metrics.items() if is_steady]
        terms = [
            f'label_replace({kind}_over_time({_range(namespace, [metric], end - start)}),"of",'
            f'"{kind} {metric}","","")'
            for metric in asked
            for kind in ("count", "min", "max")
        ]
        try:
            async with self._slots:
                found = await self._query(" or ".join(terms), end, warnings)
        except _TooMuch:
            found = []
        numbers: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        try:
            for one in found:
                kind, _, metric = one["metric"]["of"].partition(" ")
                numbers[metric][kind].append(float(one["value"][1]))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self.client.unreadable("a value of Prometheus") from error
        minutes = (end - start) // MINUTE
        times = start.timestamp() + 60 * np.arange(minutes, dtype=np.float64)
        steady = {
            metric: Series(
                {"__name__": PREFIX + metric}, Samples(times, np.full(minutes, of["min"][0]))
            )
            for metric, of in numbers.items()
            if of["count"] == [minutes] and of["min"] == of["max"]
        }
        moving += [metric for metric in asked if metric not in steady]
        return [*steady.values(), *await self._piece(namespace, moving, start, end, warnings)]

    async def _piece(
        self,
        namespace: str,
        metrics: Sequence[str],
        start: datetime,
        end: datetime,
        warnings: set[str],
    ) -> list[Series]:
        """Return samples of ``[start, end)``, asked for in halves where it is too much."""
        try:
            async with self._slots:
                query = _range(namespace, metrics, end - start)
                found = await self._query(query, end, warnings)
                return [self._series(one) for one in found]
        except _TooMuch as refusal:
            if end - start <= SHORTEST_PIECE:
                raise ServerError(
                    f"{self.client.name} at {self.client.url} refuses even "
                    f"{SHORTEST_PIECE // timedelta(hours=1)} hours of minutes as too much "
                    f"({refusal}): raise its limit of samples for a query"
                ) from refusal
            middle = start + (end - start) / 2 // MINUTE * MINUTE
            return [
                *await self._piece(namespace, metrics, start, middle, warnings),
                *await self._piece(namespace, metrics, middle, end, warnings),
            ]

    async def _query(
        self, query: str, end: datetime | None, warnings: set[str] | None = None
    ) -> list[Any]:
        """Return the result of *query* just before *end*, or now."""
        parameters = {"query": query}
        if end is not None:  # both ends of a range count in old versions, the last one in new ones
            parameters["time"] = f"{end.timestamp() - 0.001:.3f}"
        return await self._ask("/api/v1/query", parameters, warnings)

    async def _ask(
        self, path: str, parameters: Mapping[str, str], warnings: set[str] | None
    ) -> list[Any]:
        """Return the result that the API at *path* has."""
        reply = await self.client.request("GET", path, params=parameters)
        said = ""
        if not reply.is_success:
            with suppress(ValueError, AttributeError):
                said = words_of(reply, reply.json().get("error", ""))
        is_too_much = any(part in said.lower() for part in TOO_MUCH)
        if reply.status_code in (400, 413, 422) and is_too_much:
            raise _TooMuch(said)
        if reply.status_code != httpx.codes.OK:
            raise self.client.failure(reply, said)
        try:
            body = json.loads(reply.content)
            result = body["data"]["result"]
            if body["status"] != "success" or not isinstance(result, list):
                raise ValueError
        except (ValueError, KeyError, TypeError) as error:
            raise self.client.unreadable("the reply of a Prometheus") from error
        if warnings is not None:
            warnings.update(f"Prometheus warns: {text}" for text in body.get("warnings") or ())
        return result

    def _series(self, one: Any) -> Series:
        try:
            pairs = one["values"]
            count = len(pairs)
            times = np.fromiter((pair[0] for pair in pairs), np.float64, count)
            values = np.fromiter((float(pair[1]) for pair in pairs), np.float64, count)
            return Series(one["metric"], Samples(times, values))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self.client.unreadable("a series of Prometheus") from error


def _range(namespace: str, metrics: Sequence[str], length: timedelta) -> str:
    """Return the range vector of *metrics* of *namespace*, so long."""
    names = (
        f'="{PREFIX}{metrics[0]}"' if len(metrics) == 1 else f'=~"{PREFIX}(?:{"|".join(metrics)})"'
    )
    quoted = namespace.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'{{__name__{names},temporal_namespace="{quoted}",'
        'is_background!="true",namespace_mode!="standby"}'
        f"[{length // timedelta(seconds=1)}s]"
    )


# Long times by the hour ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Hours:
    """The figures of `HOURLY`, an element for each hour."""

    actions: Floats
    peak: Floats
    seen: Floats
    envelopes: Floats
    envelope: Floats
    throttled: Floats
    throttled_requests: Floats
    throttled_operations: Floats

    @property
    def plain(self) -> Bools:
        """Whether an hour was seen as a whole, and on-demand was enough in it.

        Sixty samples are one a minute: series of several a minute have more, and of a gap less.
        """
        hits = (self.throttled, self.throttled_requests, self.throttled_operations)
        is_seen = (self.seen == 60) & (self.envelopes == 60)
        is_throttled = np.logical_or.reduce([np.nan_to_num(each) != 0 for each in hits])
        found: Bools = is_seen & ~is_throttled & (np.nan_to_num(self.peak) <= self.envelope)
        return found

    @property
    def blank(self) -> Bools:
        """Whether there is no sample in an hour that would be read."""
        every = (getattr(self, name) for name in HOURLY)
        found: Bools = np.logical_and.reduce([np.isnan(each) for each in every])
        return found

    def to_read(self) -> list[tuple[int, int]]:
        """Return the spans of hours that are read by the minute, each of a week at most."""
        spans: list[tuple[int, int]] = []
        for hour in np.flatnonzero(~self.plain & ~self.blank).tolist():
            first, last = spans[-1] if spans else (hour, hour - NEAR - 1)
            if hour - last <= NEAR and hour < first + PIECE // HOUR:
                spans[-1] = first, hour + 1
            else:
                spans.append((hour, hour + 1))
        return spans

    def write_into(self, usage: Usage) -> None:
        """Write the plain hours into *usage*, which begins with the first hour."""
        minutes = np.repeat(self.plain, 60)
        usage.seen[minutes] = True
        usage.actions.used[minutes] = np.repeat(np.nan_to_num(self.actions) / 60, 60)[minutes]
        usage.actions.envelope[minutes] = np.repeat(self.envelope, 60)[minutes]
        for limit in (usage.actions, usage.requests, usage.operations):
            if limit:
                limit.throttled[minutes] = 0.0


# From series to the three limits -------------------------------------------------------------


@dataclass(slots=True)
class _Read:
    """All series that were read, by what they are; and minutes that came several times."""

    series: dict[str, list[Samples]] = field(default_factory=dict)
    doubled: int = 0

    @classmethod
    def of(cls, read: Iterable[Series]) -> _Read:
        """Return *read* put together: pieces of a series, and the same from two collectors."""
        parts: dict[tuple[str, tuple[str, ...]], list[Samples]] = defaultdict(list)
        for series in read:
            parts[series.metric, series.own].append(series.samples)
        found, raw = cls(), {metric for metric, own in parts if own[1] or own[3]}
        for (metric, own), samples in parts.items():
            if metric in raw and not own[1] and not own[3]:
                continue  # recorded as the sum of those that are there, too
            joined = merge_collectors(samples)
            if metric == LIMIT_METRICS["actions"]["limit"]:
                minutes = joined.times // 60
                found.doubled += len(minutes) - len(np.unique(minutes))
            found.series.setdefault(metric, []).append(joined)
        return found

    def usage(self, namespace: str, start: datetime, end: datetime) -> Usage:
        """Return the usage of *namespace* in ``[start, end)`` as these series have it."""
        return build_usage(
            namespace,
            start,
            end,
            actions=self.limit("actions"),
            tru=self.merged(TRU_METRIC, "max"),
            requests=self.limit("requests") if self.has("requests") else None,
            operations=self.limit("operations") if self.has("operations") else None,
        )

    def has(self, limit: str) -> bool:
        """Whether there is anything of *limit*."""
        return any(metric in self.series for metric in LIMIT_METRICS[limit].values())

    def merged(self, metric: str, merge: Merge) -> Samples:
        """Return the series of *metric* as one, a sample a minute."""
        return merge_series(self.series.get(metric, ()), merge)

    def limit(self, name: str) -> LimitSamples:
        """Return the four series of a limit.

        Of limits in several regions the lowest counts: what is within it is within all.
        """
        metrics = LIMIT_METRICS[name]
        return LimitSamples(
            self.merged(metrics["used"], "sum"),
            self.merged(metrics["limit"], "min"),
            self.merged(metrics["throttled"], "sum"),
            self.merged(metrics["envelope"], "min"),
        )

    def notes(self) -> list[str]:
        """Return what is out of the ordinary about the samples themselves."""
        if not self.doubled:
            return []
        return [
            f"{self.doubled:,} minutes have more than one sample: the scrape has "
            "honor_timestamps: false, so that minutes are those of the scrape, about 3 minutes "
            "late; set it to true"
        ]


def merge_collectors(parts: Sequence[Samples]) -> Samples:
    """Return the samples of one series that several collectors, or requests, brought."""
    if len(parts) == 1:
        return parts[0]
    times = np.concatenate([part.times for part in parts])
    values = np.concatenate([part.values for part in parts])
    unique, places = np.unique(times, return_index=True)
    return Samples(unique, values[places])


def merge_series(parts: Sequence[Samples], merge: Merge) -> Samples:
    """Return several series of a metric as one with a sample a minute.

    Of several samples of a series in a minute, the mean counts where series are summed, else
    the last.
    """
    if not parts:
        return NO_SAMPLES
    if len(parts) == 1 and merge != "sum":
        return parts[0]
    columns = [_by_minute(part, mean=merge == "sum") for part in parts]
    times = np.concatenate([column.times for column in columns])
    values = np.concatenate([column.values for column in columns])
    unique, places = np.unique(times, return_inverse=True)
    if merge == "sum":
        return Samples(unique, np.bincount(places, values, len(unique)).astype(np.float64))
    found = np.full(len(unique), np.inf if merge == "min" else -np.inf)
    (np.minimum if merge == "min" else np.maximum).at(found, places, values)
    return Samples(unique, found)


def _by_minute(samples: Samples, *, mean: bool) -> Samples:
    """Return one sample for each minute, at its begin: the *mean*, or the last."""
    minutes: Floats = samples.times // 60 * 60
    if len(minutes) < 2 or (np.diff(minutes) > 0).all():
        return Samples(minutes, samples.values)
    unique, places, counts = np.unique(minutes, return_inverse=True, return_counts=True)
    if mean:
        means = np.bincount(places, samples.values, len(unique)) / counts
        return Samples(unique, means.astype(np.float64))
    return Samples(unique, samples.values[np.cumsum(counts) - 1])


def with_notes(usage: Usage, notes: Iterable[str]) -> Usage:
    """Return *usage* with *notes*, and one of data that is missing, or begins late."""
    found = list(notes)
    seen = np.flatnonzero(usage.seen)
    if not len(seen):
        found.append(
            f"nothing is known of {usage.namespace} from {_at(usage.start)} to {_at(usage.end)}: "
            "is it scraped, and kept for so long?"
        )
    elif seen[0] >= 60:
        begins = usage.start + int(seen[0]) * MINUTE
        found.append(
            f"the data of {usage.namespace} begins at {_at(begins)}, {_at(usage.start)} was "
            "asked for: what is before is unknown; Prometheus keeps 15 days unless "
            "--storage.tsdb.retention.time says more"
        )
    return replace(usage, notes=(*usage.notes, *found))


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
