"""What a plan makes of the days and the bill ahead, as sections of the plan."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from planner.bill import Bill
from planner.outlook import Outlook, Stretch
from planner.render import words
from planner.render.plan_words import Section

WIDTH = 80

GLUE = "\N{NO-BREAK SPACE}"
"""What holds a month and its sum together when lines are broken."""

WORTH_A_GROUP = 4
"""So many stretches that differ in their day alone are told together."""

UTC = ZoneInfo("UTC")


def outlook_sections(found: Outlook) -> tuple[Section, ...]:
    """Return what a pull request shows: the capacity of the days ahead, and the bill by month."""
    return _capacity(found), Section(_bill_title(found), (*_table(found), *_terms(found)))


def outlook_brief(found: Outlook) -> tuple[Section, ...]:
    """Return what a terminal shows: the bill, with the months in which it differs."""
    months = [
        f"{month:%Y-%m}{GLUE}{_signed(after - before)}"
        for month, before, after in _months(found)
        if _differ(before, after)
    ]
    wrapped = textwrap.wrap(", ".join(months), WIDTH - 2, break_on_hyphens=False)
    lines = (line.replace(GLUE, " ") for line in wrapped)
    return (Section(_bill_title(found), (*lines, *_rebasings(found))),)


# Capacity ------------------------------------------------------------------------------


def _capacity(found: Outlook) -> Section:
    days = (found.days.end - found.days.start).days
    if not found.stretches:
        return Section(f"Capacity in the next {days} days: no difference", ())
    total = sum((one.end - one.start for one in found.stretches), timedelta())
    title = f"Capacity in the next {days} days: another one for {words.hours(total)} h"
    return Section(title, tuple(_capacity_lines(found.stretches)))


def _capacity_lines(stretches: Sequence[Stretch]) -> Iterator[str]:
    """Yield the stretches by namespace, those that differ in their day alone together."""
    namespace = ""
    for group in _grouped(stretches):
        first = group[0]
        if first.namespace != namespace:
            namespace = first.namespace
            yield f"{namespace} (times in UTC)"
        yield f"  {_when(group)}  {first.before} → {first.after}  {', '.join(first.windows)}"
        if len(group) > 1:
            yield f"      {_days(group)}"


def _grouped(stretches: Sequence[Stretch]) -> list[list[Stretch]]:
    """Return *stretches* in groups, in the order of their first ones."""
    alike: dict[object, list[Stretch]] = defaultdict(list)
    for one in stretches:
        look = (one.namespace, one.start.time(), one.end - one.start)
        alike[look, one.before, one.after, one.windows].append(one)
    groups = [
        part
        for group in alike.values()
        for part in ([group] if len(group) >= WORTH_A_GROUP else [[one] for one in group])
    ]
    return sorted(groups, key=lambda group: (group[0].namespace, group[0].start))


def _when(group: Sequence[Stretch]) -> str:
    first = group[0]
    span = f"{first.start:%H:%M}{words.DASH}{first.end:%H:%M}"
    span += words.later(first.start, first.end, UTC)
    if len(group) > 1:
        return f"{len(group)} times {span}"
    return f"{first.start:%a %d %b %Y} {span}"


def _days(group: Sequence[Stretch]) -> str:
    """Return the days of stretches that are alike: the first few, and the last one."""
    days = [one.start for one in group]
    if days[-1] - days[0] == timedelta(days=len(days) - 1):
        return f"daily, {_day(days[0])} {words.DASH} {_day(days[-1])}"
    shown = ", ".join(_day(day) for day in days[: WORTH_A_GROUP - 1])
    return f"{shown}, … {_day(days[-1])}"


def _day(instant: datetime) -> str:
    return f"{instant:%a %d %b}"


# The bill ------------------------------------------------------------------------------


def _bill_title(found: Outlook) -> str:
    """Return what the whole bill comes to, before and after, in one line."""
    currency, last = found.after.currency, found.after.horizon.end - timedelta(seconds=1)
    span = f"The bill at worst to {last:%b %Y}"
    if not _differ(found.before.price, found.after.price):
        return f"{span}: {words.money(found.after.price, currency)}, no difference"
    before, after = (words.money(bill.price, currency) for bill in (found.before, found.after))
    return f"{span}: {before} → {after} ({_signed(found.difference)})"


def _table(found: Outlook) -> Iterator[str]:
    """Yield the months in columns: before, after, difference, and billed hours likewise."""
    yield "month               now            then      difference   billed h"
    hours = zip(_hours(found.before), _hours(found.after), strict=True)
    for (month, before, after), (was, will) in zip(_months(found), hours, strict=True):
        changed = f"{was} → {will}" if was != will else f"{will}"
        difference = _signed(after - before) if _differ(before, after) else words.DASH
        yield (
            f"{month:%Y-%m}{words.money(before):>16}{words.money(after):>16}"
            f"{difference:>16}   {changed}"
        )


def _months(found: Outlook) -> Iterator[tuple[date, float, float]]:
    """Yield each month with what it costs before and after."""
    for was, will in zip(found.before.lines, found.after.lines, strict=True):
        yield will.month, was.price, will.price


def _hours(bill: Bill) -> list[int]:
    return [line.meter.billed_hours for line in bill.lines]


def _terms(found: Outlook) -> Iterator[str]:
    """Yield what the table takes for granted."""
    yield ""
    yield "At worst: namespaces that do nothing in boosted hours. Hours and months: UTC."
    yield from _rebasings(found)


def _rebasings(found: Outlook) -> Iterator[str]:
    """Yield a line for each namespace whose baseline changes, which no bill counts."""
    for one in found.rebasings:
        before, after = (str(each) if each else "as found" for each in (one.before, one.after))
        yield (
            f"{one.namespace}: baseline {before} → {after} from the next boost on; "
            "what it costs by itself is not in the bill."
        )


def _differ(one: float, other: float) -> bool:
    """Tell whether two sums of money differ by what can be shown."""
    return f"{one:.2f}" != f"{other:.2f}"


def _signed(amount: float) -> str:
    return f"{amount:+,.2f}"
