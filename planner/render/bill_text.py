"""The bill as tables of 80 columns, with its hints and what it takes for granted."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from planner.bill import ASSUMPTIONS, Bill, Hint, Line, NamespaceBill
from planner.model import PriceTier
from planner.render import words
from planner.render.preview import Preview

WIDTH = 80
MOST_HINTS = 8
"""Hints shown for a namespace; the rest is counted."""


def bill_text(shown: Preview) -> str:
    """Return the bill of the year: by month, by window, what to change, and on what terms."""
    parts = ["\n".join(_head(shown)), "\n".join(_months(shown.bill))]
    for namespace, lane in zip(shown.bill.namespaces, shown.lanes, strict=True):
        if namespace.windows:
            parts.append("\n".join(_windows(namespace, shown.bill.currency)))
        if lane.hints:
            rate = _rate(namespace)
            parts.append("\n".join(_hints(lane.hints, rate, shown.bill.currency)))
    parts.append("\n".join(_terms(shown)))
    return "\n\n".join(parts)


def _head(shown: Preview) -> list[str]:
    year = shown.year
    title = (
        f"The bill at worst, {year.start:%d %b %Y} to {year.end:%d %b %Y}: "
        f"{words.money(shown.bill.price, shown.bill.currency)}"
    )
    against = words.money(shown.bill.always_price, shown.bill.currency)
    return [title, "=" * len(title), f"Always provisioned at the peak: {against}"]


def _months(bill: Bill) -> list[str]:
    """Return the table of the months, all namespaces together."""
    lines = ["month       open h  billed h       Actions  peak TRU         at worst"]
    lines += [_month(f"{line.month:%Y-%m}", line) for line in bill.lines]
    return lines


def _month(label: str, line: Line) -> str:
    metered = line.meter
    peak = f"{metered.peak:g}" if metered.peak is not None else "–"
    return (
        f"{label:<9}{words.hours(metered.boosted):>9}{metered.billed_hours:>10,}"
        f"{words.actions(metered.actions):>14}{peak:>10}{words.money(line.price):>17}"
    )


def _windows(namespace: NamespaceBill, currency: str) -> list[str]:
    """Return the table of a namespace's windows, each as if it were alone."""
    lines = [
        f"{namespace.namespace}: {words.money(namespace.price, currency)}; always at its "
        f"peak: {words.money(namespace.always_price, currency)}",
        "  each window alone        billed h        at worst   whole hours        at best",
    ]
    for window in namespace.windows:
        billed = sum(line.meter.billed_hours for line in window.lines)
        row = (
            f"{billed:>8,}{words.money(window.price):>16}"
            f"{window.aligned_hours:>14,}{words.money(window.aligned_price):>15}"
        )
        if len(window.window) > 24:
            lines += [f"  {window.window}", " " * 27 + row]
        else:
            lines.append(f"  {window.window:<25}{row}")
    return lines


def _rate(namespace: NamespaceBill) -> float:
    """Return what an Action of a namespace costs on average over the bill."""
    actions = sum(line.meter.actions for line in namespace.lines)
    return namespace.price / actions if actions else 0.0


def hint_sentences(shown: Preview) -> tuple[str, ...]:
    """Return the hints of all namespaces, each with what it is worth."""
    return tuple(
        f"{hint.namespace}: {_sentence(hint, _rate(namespace), shown.bill.currency)}"
        for namespace, lane in zip(shown.bill.namespaces, shown.lanes, strict=True)
        for hint in lane.hints
    )


def _hints(hints: Sequence[Hint], rate: float, currency: str) -> list[str]:
    """Return the hints of one namespace as a list."""
    lines = []
    for hint in hints[:MOST_HINTS]:
        text = _sentence(hint, rate, currency)
        lines += textwrap.wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    if len(hints) > MOST_HINTS:
        lines.append(f"    and {words.counted(len(hints) - MOST_HINTS, 'more hint')}")
    return lines


def _sentence(hint: Hint, rate: float, currency: str) -> str:
    return f"{hint.message} ({words.counted(hint.runs, 'run')}{_worth(hint, rate, currency)})"


def _worth(hint: Hint, rate: float, currency: str) -> str:
    if not hint.actions:
        return ""
    verb = "at stake" if hint.kind == "exact-end" else "saves"
    return f", {verb} about {words.money(hint.actions * rate, currency)}"


def _terms(shown: Preview) -> list[str]:
    """Return what the bill takes for granted, and the price list."""
    lines = ["What this bill takes for granted:"]
    for text in (*ASSUMPTIONS, price_list(shown)):
        lines += textwrap.wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    return lines


def price_list(shown: Preview) -> str:
    """Return the tiers in one sentence."""
    prices = shown.project.prices
    tiers = ", ".join(_tier(tier) for tier in prices.tiers)
    return f"{prices.currency} a million Actions in a month: {tiers}."


def _tier(tier: PriceTier) -> str:
    if tier.up_to is None:
        return f"{tier.per_million:g} beyond"
    return f"{tier.per_million:g} up to {tier.up_to / 1_000_000:g} M"
