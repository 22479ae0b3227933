"""A plan for programs: format version 1 is kept as it is, fields are only added."""

from __future__ import annotations

import json
from typing import Any

from planner.diff import Change, Field, Plan
from planner.render.plan_words import reason_of

FORMAT_VERSION = 1


def plan_json(plan: Plan) -> str:
    """Return *plan* as JSON, its changes sorted by schedule id; unchanged ones are counted."""
    return json.dumps(plan_value(plan), indent=2, ensure_ascii=False)


def plan_value(plan: Plan) -> dict[str, Any]:
    """Return *plan* as plain values."""
    return {
        "format_version": FORMAT_VERSION,
        "checksum": plan.checksum,
        "changes": [_change(change) for change in plan.pending],
        "summary": plan.summary,
        "warnings": [
            {
                "code": lint.code,
                "message": lint.message,
                "file": lint.file,
                "line": lint.line,
            }
            for lint in plan.warnings
        ],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "action": change.outcome,
        "schedule_id": change.id,
        "namespace": change.namespace,
        "window": change.window,
        "fields": [_field(field) for field in change.fields],
        "reason": reason_of(change),
    }


def _field(field: Field) -> dict[str, str]:
    return {"name": field.name, "before": field.before, "after": field.after}
