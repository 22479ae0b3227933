"""Usage from Temporal Cloud's own endpoint: one completed minute, about three minutes late.

It has no history: this is for the present, and for Prometheus.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from planner.errors import ServerError
from planner.render.format import counted
from planner.usage.client import Client, keyed_client
from planner.usage.model import MINUTE, LimitSamples, Samples, Usage, build_usage
from planner.usage.prometheus import (
    LIMIT_METRICS,
    PREFIX,
    TRU_METRIC,
    Merge,
    merge_series,
    with_notes,
)

METRICS_URL = "https://metrics.temporal.io"
URL_VARIABLE = "PLANNER_METRICS_URL"
KEY_VARIABLE = "PLANNER_METRICS_KEY_FILE"

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
        found = {key: _unescaped(one) for key, one in _LABEL.findall(labels or "")}
        yield Sample(name, found, float(value), time)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], text)


def source_from(environ: Mapping[str, str]) -> OpenMetricsSource | None:
    """Return the source that the environment names; None where it names no key.

    Raises:
        ServerError: The variables can't be used.
    """
    name = "Temporal Cloud's metrics endpoint"
    client = keyed_client(name, METRICS_URL, URL_VARIABLE, KEY_VARIABLE, environ)
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
            raise self._failure(reply)
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
        notes = [] if completeness == "complete" else [_incomplete(completeness)]
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

    def _failure(self, reply: httpx.Response) -> ServerError:
        try:
            said = str(reply.json().get("message", ""))
        except (ValueError, AttributeError):
            said = ""
        return self.client.failure(reply, said)


def _incomplete(completeness: str) -> str:
    return (
        f"the endpoint says that its reply is {completeness}, not complete: what is absent "
        "is unknown; ask for fewer namespaces"
    )


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
