"""Times, amounts and reasons in words, the same in every output format."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from planner.errors import Lint
from planner.forecast.timeline import fleet_reasons, reasons_of
from planner.model import Occurrence, Prices, Window, demand_words
from workflows.contract import Capacity, Fleet, format_duration, to_wall

if TYPE_CHECKING:
    from planner.forecast.cost import Bill
    from planner.forecast.timeline import FleetStep, Step

DASH = "–"

MOST_DETAILED = 4
"""Occurrences or steps that a tooltip lists one by one; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Section:
    """A titled block of plain lines beside the changes, such as the cost of a plan."""

    title: str
    lines: tuple[str, ...]


# Times ---------------------------------------------------------------------------------------


def local_span(start: datetime, end: datetime, tz: ZoneInfo) -> str:
    """Return a span as wall times in *tz*, both abbreviations where the offset changes.

    >>> new_york = ZoneInfo("America/New_York")
    >>> night = datetime(2027, 3, 14, 3, tzinfo=UTC), datetime(2027, 3, 14, 10, tzinfo=UTC)
    >>> local_span(*night, new_york)
    '22:00 EST–06:00+1 EDT'
    """
    first, last = start.astimezone(tz), end.astimezone(tz)
    opening = f"{first:%H:%M}" if first.tzname() == last.tzname() else f"{first:%H:%M %Z}"
    return f"{opening}{DASH}{last:%H:%M}{days_later(start, end, tz)} {last:%Z}"


def utc_span(start: datetime, end: datetime, tz: ZoneInfo) -> str:
    """Return a span in UTC, after the days by which its date differs from the one in *tz*.

    >>> new_york = ZoneInfo("America/New_York")
    >>> night = datetime(2027, 3, 14, 3, tzinfo=UTC), datetime(2027, 3, 14, 10, tzinfo=UTC)
    >>> utc_span(*night, new_york)
    '+1 03:00–10:00Z'
    """
    days = (start.astimezone(UTC).date() - to_wall(start, tz).date()).days
    shown = f"{days:+d} " if days else ""
    return f"{shown}{start:%H:%M}{DASH}{end:%H:%M}{days_later(start, end, ZoneInfo('UTC'))}Z"


def days_later(start: datetime, end: datetime, tz: ZoneInfo) -> str:
    """Return by how many dates *end* is later than *start*: ``+1``, empty on the same date."""
    days = (to_wall(end, tz).date() - to_wall(start, tz).date()).days
    return f"+{days}" if days else ""


def day(instant: datetime, tz: ZoneInfo) -> str:
    """Return the local date of *instant*: ``Mon 30 Nov 2026``."""
    return f"{to_wall(instant, tz):%a %d %b %Y}"


def moment(instant: datetime, tz: ZoneInfo) -> str:
    """Return *instant* in full, in *tz* and in UTC."""
    local, utc = instant.astimezone(tz), instant.astimezone(UTC)
    shown = f"{local:%a %d %b %Y %H:%M %Z}"
    if local.utcoffset() == timedelta():
        return shown
    return f"{shown} ({utc:%H:%M}Z)" if local.day == utc.day else f"{shown} ({utc:%a %H:%M}Z)"


def minute(instant: datetime) -> str:
    """Return *instant* to the minute, as it is in UTC: ``2026-11-30 18:00``."""
    return f"{instant:%Y-%m-%d %H:%M}"


def clock(instant: datetime, of: datetime, form: str = "%H:%M:%S") -> str:
    """Return a time of the day *of*, to the second; with its date on another day.

    >>> noon = datetime(2026, 11, 30, 12, tzinfo=UTC)
    >>> clock(noon, noon), clock(noon + timedelta(days=1), noon, "%H:%M")
    ('12:00:00', '12-01 12:00')
    """
    return f"{instant:{form if instant.date() == of.date() else f'%m-%d {form}'}}"


# Amounts -------------------------------------------------------------------------------------


def hours(elapsed: timedelta) -> str:
    """Return a duration in hours, for a table: ``62.5``."""
    return f"{elapsed / timedelta(hours=1):,.1f}"


def money(amount: float, currency: str = "") -> str:
    """Return an amount with two decimals: ``USD 1,234.50``."""
    return f"{currency} {amount:,.2f}".strip()


def actions(count: int) -> str:
    """Return a number of Actions, in millions where that is shorter: ``1.08 M``."""
    return f"{count / 1_000_000:,.2f} M" if count >= 1_000_000 else f"{count:,}"


def demand(window: Window) -> str:
    """Return what a window needs: ``8 TRU and 20 payments workers``; ``+6 TRU`` where it adds."""
    return demand_words(window.tru, window.workers, window.combine)


def tru(window: Window) -> str:
    """Return the TRU of a window, ``8 TRU`` or ``+6 TRU``; a dash where it needs none."""
    return demand_words(window.tru, (), window.combine) if window.tru else DASH


def workers(window: Window) -> str:
    """Return the workers that a window needs, ``20 payments workers``; empty without any."""
    return demand_words(0, window.workers, window.combine) if window.workers else ""


def fleet(declared: Fleet) -> str:
    """Return a fleet's own limits: ``payments workers, 2 to 30``."""
    most = "" if declared.max is None else f" to {declared.max:,}"
    return f"{declared.name} workers, {declared.min:,}{most}"


def peak(tru: float | None) -> str:
    """Return the highest TRU, or a dash without any."""
    return f"{tru:g}" if tru else DASH


def number(tru: float | None) -> float | int | None:
    """Return whole TRU as an integer, as JSON has them everywhere."""
    return int(tru) if tru is not None and tru == int(tru) else tru


def counted(count: int, noun: str) -> str:
    """Return *count* with *noun*, in the plural unless it is one: ``1 run``, ``3 runs``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def document_by_lines(document: Mapping[str, Any], *lists: str) -> str:
    """Return *document* as JSON, each item of its *lists* on a line of its own.

    Indenting takes the slow half of `json`, and there may be hundreds of thousands of items.
    """
    entries = []
    for name, value in document.items():
        if name in lists and value:
            text = "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"
        else:
            text = json.dumps(value)
        entries.append(f'  "{name}": {text}')
    return "{\n" + ",\n".join(entries) + "\n}"


def lint_value(lint: Lint) -> dict[str, str | int]:
    """Return a warning as the values of its JSON."""
    return {"code": lint.code, "message": lint.message, "file": lint.file, "line": lint.line}


T = TypeVar("T")


def grouped(items: Iterable[T], look: Callable[[T], Hashable], least: int) -> list[list[T]]:
    """Return *items* in groups of at least *least* that look alike; the others stay alone."""
    alike: dict[Hashable, list[T]] = defaultdict(list)
    for item in items:
        alike[look(item)].append(item)
    return [
        part
        for group in alike.values()
        for part in ([group] if len(group) >= least else [[item] for item in group])
    ]


# Drawings ------------------------------------------------------------------------------------


def ground(baseline: Capacity | None) -> str:
    """Return what the lowest line of a drawing stands for."""
    return "0 TRU" if baseline and baseline.tru is not None else "on-demand"


# Reasons, as tooltips show them --------------------------------------------------------------


def reason_of_occurrences(occurrences: Sequence[Occurrence]) -> str:
    """Return the lines that explain a bar: *occurrences* of one window."""
    window = occurrences[0].window
    lines = [f"{window.name}: {demand(window)}"]
    for each in occurrences[:MOST_DETAILED]:
        span = local_span(each.start, each.end, window.tz)
        lines.append(f"{day(each.start, window.tz)}, {span}")
        lines += each.notes
    if len(occurrences) > MOST_DETAILED:
        more = counted(len(occurrences) - MOST_DETAILED, "more run")
        lines.append(f"and {more} up to {moment(occurrences[-1].end, window.tz)}")
    lines += requests(occurrences[0])
    if window.description:
        lines.append(window.description)
    return "\n".join(lines)


def requests(occurrence: Occurrence) -> Iterator[str]:
    """Yield when its TRU, and the workers of each fleet, are requested."""
    window = occurrence.window
    jitter = f", up to {format_duration(window.jitter)} later" if window.jitter else ""
    if window.tru:
        when = moment(occurrence.requests_tru, window.tz)
        yield f"requested {format_duration(window.tru_ahead)} ahead: {when}{jitter}"
    for one in window.fleets:
        when = moment(occurrence.start - one.lead, window.tz)
        yield f"{one.name} workers requested {format_duration(one.lead)} ahead: {when}"


def reason_of_fleet(steps: Sequence[FleetStep], tz: ZoneInfo) -> str:
    """Return the lines that explain a piece of a fleet's floor."""
    lines = []
    for step in steps[:MOST_DETAILED]:
        span = local_span(step.start, step.end, tz)
        lines.append(
            f"at least {step.replicas:,} {step.fleet.name} workers, {day(step.start, tz)}, {span}"
        )
        lines += fleet_reasons(step)
    if len(steps) > MOST_DETAILED:
        more = counted(len(steps) - MOST_DETAILED, "more step")
        highest = max(step.replicas for step in steps)
        lines.append(f"and {more}, up to {highest:,} workers, until {moment(steps[-1].end, tz)}")
    return "\n".join(lines)


def reason_of_steps(steps: Sequence[Step], tz: ZoneInfo) -> str:
    """Return the lines that explain a piece of the step line."""
    lines = []
    for step in steps[:MOST_DETAILED]:
        span = local_span(step.start, step.end, tz)
        lines.append(f"{step.capacity} in force, {day(step.start, tz)}, {span}")
        lines += reasons_of(step)
    if len(steps) > MOST_DETAILED:
        highest = max(step.capacity.tru or 0 for step in steps)
        more = counted(len(steps) - MOST_DETAILED, "more step")
        lines.append(f"and {more}, up to {highest:g} TRU, until {moment(steps[-1].end, tz)}")
    return "\n".join(lines)


# The bill ------------------------------------------------------------------------------------


def price_terms(prices: Prices) -> tuple[str, ...]:
    """Return the price list and the plan that a bill assumes, in sentences."""
    return (price_list(prices), plan_sentence(prices))


def price_list(prices: Prices) -> str:
    """Return the price tiers as a sentence."""
    if len(prices.tiers) == 1:
        (tier,) = prices.tiers
        return f"{prices.currency} {tier.per_million:g} a million Actions, at every volume."
    tiers = ", ".join(
        f"{tier.per_million:g} beyond"
        if tier.up_to is None
        else f"{tier.per_million:g} up to {tier.up_to / 1_000_000:g} M"
        for tier in prices.tiers
    )
    return f"{prices.currency} a million Actions in a month: {tiers}."


def sums_of(bill: Bill) -> tuple[tuple[str, str], ...]:
    """Return the last lines of a bill, label and amount: Actions, the plan's charge, the total."""
    return (
        ("Actions", money(bill.price)),
        (plan_label(bill.prices), money(bill.plan_charge) if bill.prices.plan.share else DASH),
        ("total", money(bill.total)),
    )


def plan_name(prices: Prices) -> str:
    """Return the name of the plan of Temporal Cloud, and whether it is assumed."""
    return f"{prices.plan.title} plan{' (assumed)' if prices.is_assumed else ''}"


def plan_label(prices: Prices) -> str:
    """Return the name of the plan's line in a bill: what it charges for itself.

    >>> plan_label(Prices())
    'Developer plan (assumed): 10 % of usage'
    """
    plan, name = prices.plan, plan_name(prices)
    if not plan.share:
        return f"{name}: by contract, not in this bill"
    least = f", at least {plan.minimum:g} a month" if plan.minimum else ""
    return f"{name}: {plan.share:.0%} of usage{least}".replace("%", " %")


def plan_sentence(prices: Prices) -> str:
    """Return what is to be known of the plan that a bill assumes."""
    if prices.is_assumed:
        published = prices.tiers == prices.plan.tiers
        highest = ", and its price of Actions, the highest of any" if published else ""
        return (
            f"planner.yaml names no plan, so that the Developer plan's charge is assumed{highest}; "
            "the Business plan costs at least USD 500 a month, boosts or none. "
            "Write prices: {plan: business}, or whichever it is."
        )
    if not prices.plan.share:
        return f"What the {prices.plan.title} plan itself costs is agreed, and is not in the bill."
    return (
        f"The {prices.plan.title} plan's charge is that of these Actions alone; the Actions that "
        "a plan includes, and storage, are left out."
    )
