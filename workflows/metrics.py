"""The planner's metrics: their names, and the text of those that have what `status` computes.

Counters and histograms are each worker's own, recorded in its activities by
`workflows.observability`. Everything else is exported by the worker that has the watchdog, from
what its latest round saw, and by no other: a gauge that nobody keeps up to date is left out,
rather than left as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from workflows.contract import Capacity, DeclaredFleet, RoundView
from workflows.contract.findings import SLOWEST_ROUND, STATES, NamespaceFacts, NamespaceStatus
from workflows.contract.follow import FOLLOW_STATES, follow_state

PREFIX = "capacity_boost"

NAMESPACE = "cloud_namespace"
"""The label of the Temporal Cloud namespace. The SDK's ``namespace`` is the one that the worker
lives in, and the Prometheus operator's the Kubernetes namespace."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without the prefix, and what the document says of it.

    *absent* says when it has no series; empty where it always has one.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str
    absent: str = ""

    @property
    def full_name(self) -> str:
        """The name as it is scraped."""
        return f"{PREFIX}_{self.name}"


_NS = (NAMESPACE,)

OF_ANY_WORKER = (
    Family(
        "build_info",
        "gauge",
        ("version", "tzdata"),
        "Always 1: the planner's version, and that of its time zones",
    ),
    Family(
        "faults_total",
        "counter",
        (NAMESPACE, "kind"),
        "Faults of the Cloud API, by the kind of error",
        "before the first one",
    ),
    Family(
        "healed_total",
        "counter",
        (NAMESPACE, "what"),
        "What the watchdog put right: keeper, boost, baseline or capacity",
        "before the first one",
    ),
    Family(
        "lateness_seconds",
        "histogram",
        _NS,
        "From a firing's nominal time to its first lease request, once a boost",
        "before the first one",
    ),
    Family(
        "raise_latency_seconds",
        "histogram",
        _NS,
        "From the need of more capacity to its being in force",
        "before the first one",
    ),
    Family(
        "revert_latency_seconds",
        "histogram",
        _NS,
        "From the end of the last lease to the baseline being in force",
        "before the first one",
    ),
    Family(
        "worker_replicas",
        "gauge",
        (NAMESPACE, "fleet"),
        "Replicas that the fleet should have, as `GET /v1/replicas/FLEET` answers, or did within "
        "the last two minutes where the answer takes long",
        "where that can't be known",
    ),
)
"""Metrics of each worker by itself. Those between the first and the last count what its own
activities did; what fleets should have, any worker knows."""

OF_THE_WATCHDOG = (
    Family(
        "watchdog_last_round_timestamp_seconds",
        "gauge",
        (),
        "Unix time at which the latest round of the watchdog began",
    ),
    Family(
        "watchdog_interval_seconds",
        "gauge",
        (),
        "Time between two rounds of the watchdog",
    ),
    Family(
        "watchdog_problems",
        "gauge",
        (),
        "Things that the latest round could not read",
    ),
    Family(
        "pollers",
        "gauge",
        (),
        "Workers that poll the task queue, by the Temporal server",
        "where that could not be read",
    ),
    Family(
        "last_sync_timestamp_seconds",
        "gauge",
        ("project",),
        "Unix time of the project's last sync",
        "for a project that was never synced",
    ),
    Family(
        "throttled_windows",
        "gauge",
        (NAMESPACE,),
        "Windows of the last day that were throttled although boosted, by more than "
        "`max_throttled` under `usage` in planner.yaml allows",
        "without a source of usage, and instead of 0 while a window is not looked up yet",
    ),
    Family(
        "unused_windows",
        "gauge",
        (NAMESPACE,),
        "Windows of the last day whose paid hours were unused, as large a part as `unused_share` "
        "under `usage` in planner.yaml says",
        "without a source of usage, and instead of 0 while a window is not looked up yet",
    ),
    Family(
        "unverified_windows",
        "gauge",
        (NAMESPACE,),
        "Windows of the last day of which usage doesn't show whether something was throttled",
        "without a source of usage",
    ),
    Family(
        "follow_state",
        "gauge",
        ("source", "state"),
        "1 for the state of a followed repository (current, refused, away, stopped), else 0",
        "where none is followed",
    ),
    Family(
        "follow_look_timestamp_seconds",
        "gauge",
        ("source",),
        "Unix time of the follower's latest look that is on record, at least one an hour",
        "where none is followed",
    ),
    Family(
        "follow_commit_info",
        "gauge",
        ("source", "project", "commit"),
        "Always 1: the commit whose calendars the follower applied last",
        "where none was applied",
    ),
    Family(
        "key_expires_timestamp_seconds",
        "gauge",
        ("key",),
        "Unix time at which the Cloud API key of this name expires; looked up once an hour",
        "where the Cloud API doesn't say",
    ),
    Family(
        "state",
        "gauge",
        (NAMESPACE, "state"),
        "1 for the state that `planner status` shows, 0 for every other",
    ),
    Family(
        "findings",
        "gauge",
        (NAMESPACE, "state"),
        "Findings of `planner status` that make this state; a namespace may have several",
    ),
    Family(
        "target_tru",
        "gauge",
        _NS,
        "TRU that should be in force, 0 for on-demand",
        "where no baseline is known and no boost runs, or the keeper doesn't answer, or is late to "
        "end a lease",
    ),
    Family(
        "baseline_tru",
        "gauge",
        _NS,
        "TRU outside boosts, 0 for on-demand",
        "where none is declared or known",
    ),
    Family(
        "actual_tru",
        "gauge",
        _NS,
        "TRU in force when it was last seen, 0 for on-demand",
        "where it was never seen",
    ),
    Family(
        "actual_seen_timestamp_seconds",
        "gauge",
        _NS,
        "Unix time at which `actual_tru` was seen",
        "where it was never seen",
    ),
    Family(
        "leases",
        "gauge",
        _NS,
        "Active leases: boosts whose window isn't over",
        "while the keeper doesn't answer",
    ),
    Family(
        "missed_windows",
        "gauge",
        _NS,
        "Windows of the last day that ended without their capacity",
    ),
    Family(
        "key_refused",
        "gauge",
        _NS,
        "1 where the Cloud API refused the key at the watchdog's look, else 0",
        "where the watchdog didn't look",
    ),
    Family(
        "schedules",
        "gauge",
        _NS,
        "Schedules of planners for the namespace",
    ),
    Family(
        "paused_schedules",
        "gauge",
        (NAMESPACE, "by"),
        "Schedules that are paused: by the file, or by an operator",
    ),
    Family(
        "drifted_schedules",
        "gauge",
        _NS,
        "Schedules that were changed by hand since their sync; seen within an hour",
    ),
    Family(
        "schedules_end_timestamp_seconds",
        "gauge",
        _NS,
        "Unix time at which the first of its dated schedules runs out of dates",
        "without dated schedules",
    ),
    Family(
        "next_start_timestamp_seconds",
        "gauge",
        _NS,
        "Unix time at which the next window opens",
        "where none comes, or all are paused",
    ),
    Family(
        "next_firing_timestamp_seconds",
        "gauge",
        _NS,
        "Unix time at which the schedule of that window fires, or did, by its lead",
        "where none comes, or all are paused",
    ),
)
"""Metrics of the worker that has the watchdog, of what its latest round saw."""

FAMILIES = (*OF_ANY_WORKER, *OF_THE_WATCHDOG)

Sample = tuple[Mapping[str, str], float]


def is_current(view: RoundView, now: datetime) -> bool:
    """Return whether what *view* saw may still be exported at *now*.

    Once it may not, the server has given the watchdog to another worker, or will; or the next
    round takes long.
    """
    report = view.report
    return now - report.at <= timedelta(seconds=report.interval) + SLOWEST_ROUND


def exposition(
    view: RoundView | None,
    now: datetime,
    *,
    version: str,
    tzdata: str,
    replicas: Iterable[tuple[DeclaredFleet, int]] = (),
) -> str:
    """Return the metrics of a worker in Prometheus' text format, but for the SDK's meter's own.

    Args:
        view: What the latest round of the watchdog saw in this worker; None without it.
        now: The time.
        version: The planner's version.
        tzdata: The version of its time zone tables.
        replicas: How many replicas each fleet should have, where that is known.
    """
    samples: dict[str, list[Sample]] = {
        "build_info": [({"version": version, "tzdata": tzdata}, 1.0)],
        "worker_replicas": [
            ({NAMESPACE: one.namespace, "fleet": one.fleet.name}, float(count))
            for one, count in replicas
        ],
    }
    if view is not None and is_current(view, now):
        samples |= _of_round(view)
        for status, facts in zip(view.statuses, view.facts, strict=True):
            for name, labels, value in _of_namespace(status, facts, view.report.at):
                known = {NAMESPACE: status.namespace, **labels}
                samples.setdefault(name, []).append((known, value))
    return "".join(
        _family(family, samples[family.name]) for family in FAMILIES if samples.get(family.name)
    )


def _of_round(view: RoundView) -> dict[str, list[Sample]]:
    report = view.report
    samples: dict[str, list[Sample]] = {
        "watchdog_last_round_timestamp_seconds": [({}, report.at.timestamp())],
        "watchdog_interval_seconds": [({}, report.interval)],
        "watchdog_problems": [({}, len(report.problems))],
        "last_sync_timestamp_seconds": [
            ({"project": project}, at.timestamp()) for project, at in sorted(view.synced.items())
        ],
        "key_expires_timestamp_seconds": [
            ({"key": name}, at.timestamp()) for name, at in sorted(view.keys.items())
        ],
    }
    for record in view.followed:
        source, state = {"source": record.name}, follow_state(record, report.at)
        for one in FOLLOW_STATES:
            states = samples.setdefault("follow_state", [])
            states.append(({**source, "state": one}, float(one == state)))
        if record.at:
            looks = samples.setdefault("follow_look_timestamp_seconds", [])
            looks.append((source, record.at.timestamp()))
        if record.applied:
            labels = {**source, "project": record.project, "commit": record.applied}
            samples.setdefault("follow_commit_info", []).append((labels, 1.0))
    for name in sorted({one.namespace for one in view.facts}) if view.verdicts is not None else ():
        own = [one for one in view.verdicts or () if one.namespace == name]
        are_all_read = all(one.is_read for one in own)
        for family, count, is_known in (
            ("throttled_windows", sum(one.is_throttled for one in own), are_all_read),
            ("unused_windows", sum(one.is_unused for one in own), are_all_read),
            ("unverified_windows", sum(one.outcome == "unknown" for one in own), True),
        ):
            if count or is_known:  # else 0 would say that all is well
                samples.setdefault(family, []).append(({NAMESPACE: name}, float(count)))
    if view.pollers is not None:
        samples["pollers"] = [({}, view.pollers.count)]
    return samples


Named = tuple[str, Mapping[str, str], float]


def _of_namespace(status: NamespaceStatus, facts: NamespaceFacts, at: datetime) -> Iterator[Named]:
    for state in STATES:
        yield "state", {"state": state}, float(status.state == state)
        count = sum(finding.state == state for finding in status.findings)
        yield "findings", {"state": state}, count
    yield from _of_capacity(status, facts, at)
    paused_by_hand = sum(bool(pause.by) for pause in facts.pauses)
    yield "missed_windows", {}, len(facts.missed)
    yield "schedules", {}, len(facts.windows)
    yield "paused_schedules", {"by": "file"}, len(facts.pauses) - paused_by_hand
    yield "paused_schedules", {"by": "operator"}, paused_by_hand
    if facts.drifted is not None:
        yield "drifted_schedules", {}, len(facts.drifted)
    if facts.covers_until:
        yield "schedules_end_timestamp_seconds", {}, facts.covers_until.timestamp()
    if facts.next_window:
        yield "next_start_timestamp_seconds", {}, facts.next_window.start.timestamp()
        fires = facts.next_window.fires
        if fires:
            yield "next_firing_timestamp_seconds", {}, fires.timestamp()


def _of_capacity(status: NamespaceStatus, facts: NamespaceFacts, at: datetime) -> Iterator[Named]:
    # A keeper that is late to end a lease doesn't know its target.
    is_late = any(lease.until <= at for lease in status.leases)
    known = {"target_tru": None if is_late else status.target, "baseline_tru": status.baseline}
    for name, capacity in known.items():
        if capacity is not None:
            yield name, {}, _tru(capacity)
    if status.capacity is not None and status.observed_at is not None:
        yield "actual_tru", {}, _tru(status.capacity)
        yield "actual_seen_timestamp_seconds", {}, status.observed_at.timestamp()
    keeper = facts.keeper
    if not (keeper and keeper.is_running and keeper.status is None):
        # A keeper that is late to end a lease doesn't lengthen its window.
        yield "leases", {}, sum(lease.until > at for lease in status.leases)
    if facts.is_key_refused is not None:
        yield "key_refused", {}, float(facts.is_key_refused)


def _tru(capacity: Capacity) -> float:
    return capacity.tru or 0.0


def _family(family: Family, samples: Iterable[Sample]) -> str:
    name = family.full_name
    lines = [f"# HELP {name} {family.help}.", f"# TYPE {name} {family.kind}"]
    for labels, value in samples:
        listed = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{f'{{{listed}}}' if listed else ''} {value:.15g}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
