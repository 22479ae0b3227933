"""Texts of keepers and boosts in the Temporal UI: pure functions, one sentence a line."""

from __future__ import annotations

from datetime import datetime, timedelta

from workflows.contract import Capacity, KeeperStatus, Lease, Rails, format_instant
from workflows.floors import FloorState, FloorTask
from workflows.keeper_state import Declaration, KeeperState
from workflows.keeper_transitions import health_of, was_released

SHOWN_LEASES = 20
"""Leases that a keeper's details name, those that end first: the UI shows 20 kB at most, and
the text is made anew at each change."""


def describe_lease(lease: Lease) -> str:
    """Return the window, capacity and end of *lease*, and who requested it."""
    added = " on top" if lease.combine == "add" else ""
    requester = "" if lease.by == "schedule" else f", requested by {lease.by}"
    reason = f" ({lease.reason})" if lease.reason else ""
    until = format_minute(lease.until)
    return f"{lease.window}: {demand_text(lease)}{added} until {until}{requester}{reason}"


def demand_text(lease: Lease) -> str:
    """Return what *lease* requests: ``8 TRU, 20 workers for payments``."""
    later = f" from {format_minute(lease.tru_from)} on" if lease.tru_from else ""
    tru = [f"{lease.tru} TRU{later}"] if lease.tru or not lease.workers else []
    workers = [f"{count} workers for {name}" for name, count in sorted(lease.workers.items())]
    return ", ".join((*tru, *workers))


def describe_floor(floor: FloorState) -> str:
    """Return what is in force of a fleet's floor, what is wanted, and why the two differ."""
    known = "not known yet" if floor.in_force is None else f"{floor.in_force} workers"
    wanted = "back to what was before" if floor.wanted is None else f"{floor.wanted} wanted"
    parts = [f"Floor of {floor.fleet.name} ({floor.target}): {known}, {wanted}"]
    if floor.mark is not None:
        before = "none" if floor.mark.baseline is None else str(floor.mark.baseline)
        parts.append(f"before: {before}")
    if floor.fault:
        until = f" until {format_minute(floor.retry_at)}" if floor.retry_at else ""
        parts.append(f"fault, waiting{until} to try again: {floor.fault}")
    if floor.note:
        parts.append(floor.note)
    return "; ".join(parts) + "."


def floor_summary(task: FloorTask) -> str:
    """Return what a step to a floor is for, short enough for an activity's summary."""
    windows = ", ".join(task.windows)
    if task.wanted is None:
        return f"Give back the floor of {task.fleet.name}"[:200]
    return f"At least {task.wanted} workers for {task.fleet.name}, for {windows}"[:200]


def format_minute(instant: datetime) -> str:
    """Return *instant* to the minute where that is exact, else to the second."""
    whole = instant.replace(microsecond=0)
    text = format_instant(whole)
    return text.removesuffix(":00Z") + "Z" if whole.second == 0 else text


def format_span(length: timedelta) -> str:
    """Return *length* in hours and minutes, or in seconds below a minute.

    >>> format_span(timedelta(hours=2, minutes=5, seconds=3))
    '2h 5m'
    >>> format_span(timedelta(seconds=40))
    '40s'
    """
    seconds = max(0, round(length.total_seconds()))
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    return " ".join(part for part in parts if part) or f"{seconds}s"


def keeper_status(state: KeeperState, now: datetime) -> KeeperStatus:
    """Return what a keeper in *state* answers to its ``status`` query at *now*."""
    return KeeperStatus(
        namespace=state.namespace,
        health=health_of(state, now),
        capacity=state.in_force,
        target=state.target.capacity if state.baseline is not None else None,
        baseline=None if state.doubt else state.baseline,
        baseline_declared=state.baseline_declared,
        leases=state.leases,
        details=keeper_details(state, now),
        observed_at=state.observed_at,
        released=state.released,
        cloud=state.cloud,
        has_open_floors=any(not floor.is_settled for floor in state.floors),
    )


def keeper_details(state: KeeperState, now: datetime) -> str:
    """Return a keeper's details at *now*: what is in force, why, its leases and its baseline."""
    lines = [_headline(state, now), *_notes(state)]
    lines += [f"- {describe_lease(lease)}" for lease in state.leases[:SHOWN_LEASES]]
    if len(state.leases) > SHOWN_LEASES:
        lines.append(f"- and {len(state.leases) - SHOWN_LEASES} more, which end later")
    lines += map(describe_floor, state.floors)
    if state.baseline is not None and not state.doubt:
        origin = "declared in the calendar" if state.baseline_declared else "found"
        lines.append(f"Baseline: {state.baseline} ({origin}).")
    return "\n".join(lines)


def _headline(state: KeeperState, now: datetime) -> str:
    known = "not known yet" if state.in_force is None else str(state.in_force)
    if state.baseline is None and not state.needs_baseline:
        return "No TRU are requested."
    if state.baseline is None:
        return f"In force: {known}. Looking for the baseline."
    wanted = state.target.capacity
    health = health_of(state, now)
    if health == "unknown":
        return f"In force: {known}. It stays: the capacity before the boosts isn't known."
    if health == "ok":
        return f"In force: {known}, as it should be."
    if health == "foreign":
        return f"In force: {known}, set externally and left alone; target: {wanted}."
    return f"In force: {known}; changing to {wanted} ({health})."


def _notes(state: KeeperState) -> list[str]:
    """Return what isn't as requested, and why."""
    lines = []
    if state.baseline is not None and state.leases and state.target.reason:
        lines.append(f"Note: {state.target.reason}.")
    if state.doubt:
        lines.append(
            f"Baseline not known: {state.doubt}. Declare one in the calendar, or set the capacity "
            "by hand, which makes it the baseline."
        )
    if state.fault:
        lines.append(f"Fault, {_retry_text(state)}: {state.fault}.")
    if state.note:
        lines.append(f"Note: {state.note}.")
    if state.other and _differs(state, state.other):
        lines.append(f"Note: {_other_declaration(state, state.other)}.")
    if state.cancelled:
        lines.append("Cancelled: restoring the baseline before it ends.")
    return lines


def _retry_text(state: KeeperState) -> str:
    """Return when the keeper tries again, at the latest: a new lease or an end comes first."""
    if state.retry_at is None:
        return "tried again"
    return f"waiting until {format_minute(state.retry_at)} to try again"


def _differs(state: KeeperState, other: Declaration) -> bool:
    """Tell whether *other* says something else than the declaration that holds."""
    own = state.baseline if state.baseline_declared else None
    return (other.baseline, other.rails) != (own, state.rails)


def _other_declaration(state: KeeperState, other: Declaration) -> str:
    """Return what another project declares for the namespace, and which declaration holds."""
    baseline = "no baseline" if other.baseline is None else f"a baseline of {other.baseline}"
    rails = other.rails or Rails()
    ceiling = "no max_tru" if rails.max_tru is None else f"max_tru {rails.max_tru}"
    allowed = ", ".join(map(str, rails.allowed))
    return (
        f"project {other.project} declares {baseline}, {ceiling} and {allowed} TRU; what "
        f"{state.project} declares holds while its windows run"
    )


def lease_answer(state: KeeperState, lease: Lease) -> str:
    """Return how far *lease* is covered, and why not."""
    known = "unknown" if state.in_force is None else str(state.in_force)
    reason = f"; {state.target.reason}" if state.baseline and state.target.reason else ""
    floors = [one for one in state.floors if one.fleet.name in lease.workers]
    workers = "".join(f"; {_floor_answer(one)}" for one in floors)
    until = format_minute(lease.until)
    if state.covers(lease) and lease.tru_from is not None:
        return f"{lease.tru} TRU from {format_minute(lease.tru_from)} on, until {until}{workers}"
    if state.covers(lease) and lease.workers and not lease.tru:
        return f"granted until {until}{workers or f': {demand_text(lease)}'}"
    if state.covers(lease):
        return f"{known} in force until {until}{reason}{workers}"
    fault = f"; {_retry_text(state)}: {state.fault}" if state.fault else ""
    return f"{demand_text(lease)} requested, {known} in force{reason}{fault}{workers}"


def _floor_answer(floor: FloorState) -> str:
    """Return how many workers of a fleet are held as its floor, and why not as many as wanted."""
    known = "unknown" if floor.in_force is None else str(floor.in_force)
    fault = f" ({floor.fault})" if floor.fault else f" ({floor.note})" if floor.note else ""
    return f"floor of {floor.fleet.name}: {known}{fault}"


def lease_denial(state: KeeperState, lease: Lease) -> str:
    """Return why *lease* isn't granted."""
    if was_released(state, lease.key):
        return f"{lease.window} was released before its end, {format_minute(lease.until)}"
    if state.cancelled:
        return "the keeper was cancelled and is restoring the baseline"
    return f"{lease.window} has ended at {format_minute(lease.until)}"


def change_name(state: KeeperState) -> str:
    """Return a short name for the next change: the window that requests most."""
    largest = max(state.leases, key=lambda lease: lease.tru, default=None)
    return "baseline" if largest is None else largest.window


def change_summary(state: KeeperState, target: Capacity) -> str:
    """Return what a change to *target* is for, short enough for an activity's summary."""
    windows = ", ".join(lease.window for lease in state.leases[:SHOWN_LEASES])
    if windows:
        return f"To {target} for {windows}"[:200]
    return f"Back to {target}, the baseline"


def keeper_result(state: KeeperState) -> str:
    """Return a keeper's result: the capacity in force at its end."""
    if state.foreign:
        return f"{state.in_force} in force, set externally and left alone"
    if state.in_force is None:
        return "no lease was requested, nothing was changed"
    return f"{state.in_force} in force, the baseline"
