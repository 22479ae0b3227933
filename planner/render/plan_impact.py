"""A plan's impact on capacity and bill: as sections of text, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from planner.forecast.cost import MonthlyCost
from planner.forecast.plan_impact import CapacityDifference, FloorDifference, PlanImpact
from planner.model import Horizon
from planner.render import format as fmt
from planner.render.format import Section
from workflows.contract import format_instant

WIDTH = 80

GLUE = "\N{NO-BREAK SPACE}"
"""Keeps a month and its amount on one line."""

WORTH_A_GROUP = 4
"""Differences from which on those that differ in their day alone are one entry."""

UTC = ZoneInfo("UTC")


def impact_sections(impact: PlanImpact) -> tuple[Section, ...]:
    """Return what a pull request shows: capacity and workers of the days ahead, the bill by month.

    Workers only where they differ.
    """
    found, floors = impact.differences, impact.floor_differences
    title = f"Capacity {_span(impact.days)}"
    title += f": another one for {_hours(found)} h" if found else ": no difference"
    workers = f"Workers {_span(impact.days)}: another floor for {_hours(floors)} h"
    return (
        Section(title, tuple(_difference_lines(found))),
        *([Section(workers, tuple(_difference_lines(floors)))] if floors else []),
        Section(_bill_title(impact), tuple(_bill_table(impact))),
    )


def _hours(found: Sequence[CapacityDifference] | Sequence[FloorDifference]) -> str:
    """Return how long all of them last."""
    return fmt.hours(sum((one.end - one.start for one in found), timedelta()))


def impact_summary(impact: PlanImpact) -> tuple[Section, ...]:
    """Return what a terminal shows: the bill, with the months in which it differs."""
    months = [
        f"{after.month:%Y-%m}{GLUE}{_signed(after.price - before.price)}"
        for before, after in _months(impact)
        if _differ(before.price, after.price)
    ]
    wrapped = textwrap.wrap(", ".join(months), WIDTH - 2, break_on_hyphens=False)
    lines = (line.replace(GLUE, " ") for line in wrapped)
    return (Section(_bill_title(impact), (*lines, _charge(impact), *_baseline_lines(impact))),)


def _difference_lines(
    differences: Sequence[CapacityDifference] | Sequence[FloorDifference],
) -> Iterator[str]:
    """Yield the differences by namespace; those that differ in their day alone are one entry."""
    found: list[CapacityDifference | FloorDifference] = [*differences]
    groups = fmt.grouped(
        found,
        lambda one: (
            (one.namespace, one.start.time(), one.end - one.start),
            (_change(one), one.windows),
        ),
        WORTH_A_GROUP,
    )
    namespace = ""
    for group in sorted(groups, key=lambda group: (group[0].namespace, group[0].start)):
        first = group[0]
        if first.namespace != namespace:
            namespace = first.namespace
            yield f"{namespace} (times in UTC)"
        span = f"{first.start:%H:%M}{fmt.DASH}{first.end:%H:%M}"
        span += fmt.days_later(first.start, first.end, UTC)
        when = f"{first.start:%a %d %b %Y}" if len(group) == 1 else f"{len(group)} times"
        yield f"  {when} {span}  {_change(first)}  {', '.join(first.windows)}"
        if len(group) > 1:
            yield f"      {_days([one.start for one in group])}"


def _change(one: CapacityDifference | FloorDifference) -> str:
    """Return what it was and what it will be, in words."""
    if isinstance(one, FloorDifference):
        return f"{one.before:,} → {one.after:,} {one.fleet} workers"
    return f"{one.before} → {one.after}"


def _days(days: Sequence[datetime]) -> str:
    """Return the first few of *days* and the last one."""
    shown = [f"{day:%a %d %b}" for day in days]
    if days[-1] - days[0] == timedelta(days=len(days) - 1):
        return f"daily, {shown[0]} {fmt.DASH} {shown[-1]}"
    return f"{', '.join(shown[: WORTH_A_GROUP - 1])}, … {shown[-1]}"


def _span(horizon: Horizon) -> str:
    """Return the first and the last day of *horizon* in UTC."""
    last = horizon.end - timedelta(seconds=1)
    return f"from {horizon.start:%d %b %Y} to {last:%d %b %Y}"


def extra_cost(impact: PlanImpact) -> str:
    """Return what *impact* adds to the bill, as a clause."""
    added = fmt.money(impact.added_price, impact.after.currency)
    return f"the plan adds {added} to the bill at worst {_span(impact.after.horizon)}"


def _bill_title(impact: PlanImpact) -> str:
    """Return the price of the whole bill before and after."""
    before, after = impact.before, impact.after
    span = f"The bill at worst {_span(after.horizon)}"
    if not _differ(before.total, after.total):
        return f"{span}: {fmt.money(after.total, after.currency)}, no difference"
    prices = " → ".join(fmt.money(bill.total, after.currency) for bill in (before, after))
    return f"{span}: {prices} ({_signed(impact.added_price)})"


def _bill_table(impact: PlanImpact) -> Iterator[str]:
    """Yield the months as columns: before, after, difference, billed hours; then the terms."""
    yield "month               now            then      difference   billed h"
    for before, after in _months(impact):
        was, will = before.usage.billed_hours, after.usage.billed_hours
        changed = f"{was} → {will}" if was != will else f"{will}"
        differ = _differ(before.price, after.price)
        difference = _signed(after.price - before.price) if differ else fmt.DASH
        yield (
            f"{after.month:%Y-%m}{fmt.money(before.price):>16}{fmt.money(after.price):>16}"
            f"{difference:>16}   {changed}"
        )
    yield _charge(impact)
    yield ""
    yield "At worst: namespaces that do nothing in boosted hours. Hours and months: UTC."
    yield from _baseline_lines(impact)


def _charge(impact: PlanImpact) -> str:
    """Return what the plan of Temporal Cloud charges for itself, before and after."""
    before, after = impact.before, impact.after
    if not after.prices.plan.share:
        return fmt.plan_label(after.prices)
    label = f"{fmt.plan_name(after.prices)}, its own charge:"
    if not _differ(before.plan_charge, after.plan_charge):
        return f"{label} {fmt.money(after.plan_charge)}, no difference"
    amounts = " → ".join(fmt.money(bill.plan_charge) for bill in (before, after))
    return f"{label} {amounts} ({_signed(after.plan_charge - before.plan_charge)})"


def _months(impact: PlanImpact) -> Iterator[tuple[MonthlyCost, MonthlyCost]]:
    return zip(impact.before.lines, impact.after.lines, strict=True)


def _baseline_lines(impact: PlanImpact) -> Iterator[str]:
    """Yield a line for each namespace whose baseline changes, which no bill contains."""
    for one in impact.baseline_changes:
        before, after = (str(each) if each else "as found" for each in (one.before, one.after))
        yield (
            f"{one.namespace}: baseline {before} → {after} from the next boost on; "
            "what it costs by itself is not in the bill."
        )


def _differ(one: float, other: float) -> bool:
    """Tell whether two amounts of money differ as shown."""
    return f"{one:.2f}" != f"{other:.2f}"


def _signed(amount: float) -> str:
    return f"{amount:+,.2f}"


# JSON ----------------------------------------------------------------------------------------


def impact_value(impact: PlanImpact) -> dict[str, Any]:
    """Return *impact* as the values of its JSON: instants in UTC, amounts in the currency."""
    return {
        "capacity": {
            "from": format_instant(impact.days.start),
            "to": format_instant(impact.days.end),
            "differences": [_difference_value(one) for one in impact.differences],
        },
        "workers": {
            "differences": [_floor_value(one) for one in impact.floor_differences],
        },
        "baselines": [
            {
                "namespace": one.namespace,
                "before": str(one.before) if one.before else None,
                "after": str(one.after) if one.after else None,
            }
            for one in impact.baseline_changes
        ],
        "bill": {
            "from": format_instant(impact.after.horizon.start),
            "to": format_instant(impact.after.horizon.end),
            "currency": impact.after.currency,
            "before": round(impact.before.total, 2),
            "after": round(impact.after.total, 2),
            "plan_charge": {
                "before": round(impact.before.plan_charge, 2),
                "after": round(impact.after.plan_charge, 2),
            },
            "difference": round(impact.added_price, 2),
            "months": [
                {
                    "month": f"{after.month:%Y-%m}",
                    "before": round(before.price, 2),
                    "after": round(after.price, 2),
                }
                for before, after in _months(impact)
            ],
        },
    }


def _difference_value(one: CapacityDifference) -> dict[str, Any]:
    return {
        "namespace": one.namespace,
        "start": format_instant(one.start),
        "end": format_instant(one.end),
        "before": str(one.before),
        "after": str(one.after),
        "windows": list(one.windows),
    }


def _floor_value(one: FloorDifference) -> dict[str, Any]:
    return {
        "namespace": one.namespace,
        "fleet": one.fleet,
        "start": format_instant(one.start),
        "end": format_instant(one.end),
        "before": one.before,
        "after": one.after,
        "windows": list(one.windows),
    }
