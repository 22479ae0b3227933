"""What people read of a keeper and a boost in the Temporal UI: pure, one sentence a line."""

from __future__ import annotations

from datetime import datetime, timedelta

from workflows.contract import Capacity, Lease, Rails, format_instant
from workflows.keeper_state import Declaration, Ledger
from workflows.keeper_transitions import state_of, was_released

SHOWN = 20
"""Leases that a keeper's details name, of those that end first: the UI shows 20 kB at most, and
the words are made anew at each change."""


def lease_in_words(lease: Lease) -> str:
    """Return who asks for how much, until when."""
    added = " on top" if lease.combine == "add" else ""
    asker = "" if lease.by == "schedule" else f", asked by {lease.by}"
    reason = f" ({lease.reason})" if lease.reason else ""
    return f"{lease.window}: {lease.tru} TRU{added} until {minute(lease.until)}{asker}{reason}"


def minute(instant: datetime) -> str:
    """Return *instant* to the minute where that is exact, else to the second."""
    whole = instant.replace(microsecond=0)
    text = format_instant(whole)
    return text.removesuffix(":00Z") + "Z" if whole.second == 0 else text


def span(length: timedelta) -> str:
    """Return *length* as people say it.

    >>> span(timedelta(hours=2, minutes=5, seconds=3))
    '2h 5m'
    >>> span(timedelta(seconds=40))
    '40s'
    """
    seconds = max(0, round(length.total_seconds()))
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    return " ".join(part for part in parts if part) or f"{seconds}s"


def details(ledger: Ledger, now: datetime) -> str:
    """Return all that *ledger* says at *now*, for the keeper's page in the UI."""
    lines = [_headline(ledger, now), *_why(ledger)]
    lines += [f"- {lease_in_words(lease)}" for lease in ledger.leases[:SHOWN]]
    if len(ledger.leases) > SHOWN:
        lines.append(f"- and {len(ledger.leases) - SHOWN} more, which end later")
    if ledger.baseline is not None and not ledger.doubt:
        origin = "declared in the calendar" if ledger.baseline_declared else "found"
        lines.append(f"Baseline: {ledger.baseline} ({origin}).")
    return "\n".join(lines)


def _headline(ledger: Ledger, now: datetime) -> str:
    known = "not known yet" if ledger.in_force is None else str(ledger.in_force)
    if ledger.baseline is None:
        return f"In force: {known}. Looking for the baseline."
    wanted = ledger.target.capacity
    state = state_of(ledger, now)
    if state == "unknown":
        return f"In force: {known}. It stays: what was there before the boosts isn't known."
    if state == "ok":
        return f"In force: {known}, as it should be."
    if state == "foreign":
        return f"In force: {known}, set by somebody else and left alone; due: {wanted}."
    return f"In force: {known}; going to {wanted} ({state})."


def _why(ledger: Ledger) -> list[str]:
    """Return what isn't as it was asked for, and why."""
    lines = []
    if ledger.baseline is not None and ledger.leases and ledger.target.reason:
        lines.append(f"Note: {ledger.target.reason}.")
    if ledger.doubt:
        lines.append(
            f"Baseline not known: {ledger.doubt}. Declare one in the calendar, or set the capacity "
            "by hand: that is the baseline then."
        )
    if ledger.trouble:
        lines.append(f"Trouble, {_tried_again(ledger)}: {ledger.trouble}.")
    if ledger.remark:
        lines.append(f"Note: {ledger.remark}.")
    if ledger.other:
        lines.append(f"Note: {_disagreement(ledger, ledger.other)}.")
    if ledger.cancelled:
        lines.append("Cancelled: going back to the baseline before it ends.")
    return lines


def _tried_again(ledger: Ledger) -> str:
    """Return when what went wrong is tried again; a new lease or an end may come before."""
    if ledger.resumes is None:
        return "tried again"
    return f"waiting until {minute(ledger.resumes)} to try again"


def _disagreement(ledger: Ledger, other: Declaration) -> str:
    """Return what another project declares for the same namespace, and whose word holds."""
    baseline = "no baseline" if other.baseline is None else f"a baseline of {other.baseline}"
    rails = other.rails or Rails()
    ceiling = "no max_tru" if rails.max_tru is None else f"max_tru {rails.max_tru}"
    allowed = ", ".join(map(str, rails.allowed))
    return (
        f"project {other.project} declares {baseline}, {ceiling} and {allowed} TRU; what "
        f"{ledger.project} declares holds while its windows run"
    )


def answer(ledger: Ledger, lease: Lease) -> str:
    """Return what there is to say to the claim *lease*: how far it is covered, and why."""
    known = "unknown" if ledger.in_force is None else str(ledger.in_force)
    reason = f"; {ledger.target.reason}" if ledger.baseline and ledger.target.reason else ""
    if ledger.covers(lease):
        return f"{known} in force until {minute(lease.until)}{reason}"
    trouble = f"; {_tried_again(ledger)}: {ledger.trouble}" if ledger.trouble else ""
    return f"{lease.tru} TRU asked for, {known} in force{reason}{trouble}"


def denial(ledger: Ledger, lease: Lease) -> str:
    """Return why the claim *lease* does not hold."""
    if was_released(ledger, lease.key):
        return f"{lease.window} was released before its end, {minute(lease.until)}"
    if ledger.cancelled:
        return "the keeper was cancelled and is going back to the baseline"
    return f"{lease.window} has ended at {minute(lease.until)}"


def step(ledger: Ledger) -> str:
    """Return what the next step is for, in a word or two: the window that asks for most."""
    asking = max(ledger.leases, key=lambda lease: lease.tru, default=None)
    return "baseline" if asking is None else asking.window


def purpose(ledger: Ledger, wanted: Capacity) -> str:
    """Return what a step to *wanted* is for, short enough for a summary."""
    windows = ", ".join(lease.window for lease in ledger.leases[:SHOWN])
    if windows:
        return f"To {wanted} for {windows}"[:200]
    return f"Back to {wanted}, the baseline"


def farewell(ledger: Ledger) -> str:
    """Return a keeper's result: what is in force at its end."""
    if ledger.foreign:
        return f"{ledger.in_force} in force, set by somebody else and left alone"
    if ledger.in_force is None:
        return "nothing was claimed, nothing was changed"
    return f"{ledger.in_force} in force, the baseline"
