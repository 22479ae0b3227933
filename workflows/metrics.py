"""The planner's own metrics, next to the SDK's, on the worker's Prometheus endpoint.

Recorded at the edge only, so that a replay counts nothing twice. The label
``target_namespace`` is the Temporal Cloud namespace; the SDK's own ``namespace`` is the one
that the worker lives in.
"""

from __future__ import annotations

from datetime import UTC, datetime

from temporalio import activity
from temporalio.common import MetricMeter

from workflows.bookkeeping import LOWER_WITHIN
from workflows.contract import Capacity
from workflows.ledger import Ledger
from workflows.orders import Sight

PREFIX = "capacity_boost"

BUCKETS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0)
"""Seconds: provisioning takes about two minutes, an outage hours."""

HISTOGRAM_BUCKETS = {
    f"{PREFIX}_{name}": BUCKETS for name in ("lateness", "raise_latency", "revert_latency")
}


def record_step(
    ledger: Ledger, sight: Sight, now: datetime | None = None, *, running: int | None = None
) -> None:
    """Record what a step aimed at and what it found in force at its end.

    *running* leases run, those of *ledger* if it is None.
    """
    now = now or datetime.now(UTC)
    meter = _meter(ledger.namespace)
    wanted = ledger.target.capacity
    _gauge(meter, "target_tru", "TRU that should be in force; 0 is on-demand", _tru(wanted))
    _gauge(meter, "actual_tru", "TRU in force; 0 is on-demand", _tru(sight.capacity))
    meter.create_gauge(f"{PREFIX}_leases", "Claims that run").set(
        len(ledger.leases) if running is None else running
    )
    if sight.capacity == wanted and sight.found != wanted and ledger.aimed_since:
        _record_latency(meter, ledger, (now - ledger.aimed_since).total_seconds())
    overdue = _is_lowering(ledger) and sight.capacity != wanted and _is_late(ledger, now)
    meter.create_gauge(f"{PREFIX}_overdue_reverts", "Ways down that take too long").set(
        int(overdue)
    )


def record_fault(ledger: Ledger, kind: str, now: datetime | None = None) -> None:
    """Count a fault of the Cloud API by its *kind*, and a way down that it makes late."""
    now = now or datetime.now(UTC)
    meter = _meter(ledger.namespace)
    labelled = meter.with_additional_attributes({"kind": kind})
    labelled.create_counter(f"{PREFIX}_faults", "Faults of the Cloud API").add(1)
    if _is_lowering(ledger) and _is_late(ledger, now):
        meter.create_gauge(f"{PREFIX}_overdue_reverts", "Ways down that take too long").set(1)


def record_lateness(namespace: str, seconds: float) -> None:
    """Record how long after its nominal time a firing asked for its lease."""
    _meter(namespace).create_histogram_float(
        f"{PREFIX}_lateness", "Seconds from a firing's nominal time to its claim", "seconds"
    ).record(max(0.0, seconds))


def _meter(namespace: str) -> MetricMeter:
    return activity.metric_meter().with_additional_attributes({"target_namespace": namespace})


def _gauge(meter: MetricMeter, name: str, description: str, value: float) -> None:
    meter.create_gauge_float(f"{PREFIX}_{name}", description).set(value)


def _record_latency(meter: MetricMeter, ledger: Ledger, seconds: float) -> None:
    name = "revert" if _is_lowering(ledger) else "raise"
    described = f"Seconds from the need to {name} to its being in force"
    meter.create_histogram_float(f"{PREFIX}_{name}_latency", described, "seconds").record(seconds)


def _is_lowering(ledger: Ledger) -> bool:
    return not ledger.leases


def _is_late(ledger: Ledger, now: datetime) -> bool:
    return ledger.aimed_since is not None and now - ledger.aimed_since > LOWER_WITHIN


def _tru(capacity: Capacity) -> float:
    return capacity.tru or 0.0
