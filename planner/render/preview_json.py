"""A preview as JSON of format version 1."""

from __future__ import annotations

import json
from typing import Any

from planner.forecast.cost import Bill
from planner.forecast.preview import Preview
from planner.forecast.timeline import Step
from planner.model import Occurrence
from planner.render import format as fmt
from workflows.contract import format_instant

FORMAT_VERSION = 1


def preview_json(shown: Preview) -> str:
    """Return *shown* as JSON, each item of a list on a line of its own.

    ``occurrences`` are those that start in ``[from, to)``; ``timeline`` holds the steps with
    an active window, cut to that span, and the baseline is in force wherever there is none.
    A ``tru`` of null is on-demand. Everything is sorted. The amounts of ``bill`` are rounded to
    cents: those of months and namespaces are the Actions' own, and only ``total`` contains
    ``plan_charge``, which is null where the plan's price is agreed.
    """
    steps = (step for lane in shown.lanes for step in lane.steps if step.occurrences)
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "from": format_instant(shown.horizon.start),
        "to": format_instant(shown.horizon.end),
        "occurrences": [_occurrence(occurrence) for occurrence in shown.starting],
        "timeline": [_step(step) for step in steps],
        "bill": _bill(shown.bill),
        "warnings": [fmt.lint_value(lint) for lint in shown.warnings],
    }
    # Indenting takes the slow half of `json`, and there may be hundreds of thousands of items.
    entries = []
    for name, value in document.items():
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"
        else:
            text = json.dumps(value)
        entries.append(f'  "{name}": {text}')
    return "{\n" + ",\n".join(entries) + "\n}"


def _bill(bill: Bill) -> dict[str, Any]:
    plan = bill.prices.plan
    return {
        "from": format_instant(bill.horizon.start),
        "to": format_instant(bill.horizon.end),
        "currency": bill.currency,
        "plan": plan.name,
        "plan_assumed": bill.prices.is_assumed,
        "actions_price": round(bill.price, 2),
        "plan_charge": round(bill.plan_charge, 2) if plan.share else None,
        "total": round(bill.total, 2),
        "always_total": round(bill.always_total, 2),
        "months": [
            {
                "month": f"{line.month:%Y-%m}",
                "billed_hours": line.usage.billed_hours,
                "actions": line.usage.actions,
                "price": round(line.price, 2),
            }
            for line in bill.lines
        ],
        "namespaces": {each.namespace: round(each.price, 2) for each in bill.namespaces},
    }


def _occurrence(occurrence: Occurrence) -> dict[str, Any]:
    window = occurrence.window
    return {
        "namespace": window.namespace,
        "window": window.name,
        "start": format_instant(occurrence.start),
        "end": format_instant(occurrence.end),
        "fires": format_instant(occurrence.fires),
        "tru": occurrence.tru,
        "combine": occurrence.combine,
        "file": window.place.file,
        "line": window.place.line,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "namespace": step.namespace,
        "start": format_instant(step.start),
        "end": format_instant(step.end),
        "tru": fmt.number(step.capacity.tru),
        "windows": list(step.windows),
    }
