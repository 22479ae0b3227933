"""JSON Schema of the files, for editors: made from the models that parse them."""

from __future__ import annotations

from typing import Any, Literal

from planner.config.documents import CalendarDocument, PlannerDocument
from planner.config.scalars import NAME_PATTERN
from planner.config.validate import RECURRENCES

Schema = dict[str, Any]
Kind = Literal["calendar", "planner"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NOTES = {"^x-": {"description": "Room for anchors and notes; not read."}}


def schema(kind: Kind) -> Schema:
    """Return the JSON Schema of a calendar file's documents, or of ``planner.yaml``.

    What passes here may still be refused: whether a cron ever fires or a file exists, a
    schema can't say. What is refused here, reading refuses too.
    """
    model = CalendarDocument if kind == "calendar" else PlannerDocument
    found = _tidied(model.model_json_schema(by_alias=True, mode="validation"))
    found["patternProperties"] = _NOTES
    if kind == "calendar":
        found["properties"]["windows"]["propertyNames"] = {"pattern": f"^{NAME_PATTERN}$"}
        found["$defs"]["WindowDocument"] |= _one_of_each()
    return {"$schema": DIALECT, **found}


def _one_of_each() -> Schema:
    """Return what a window's keys must say together."""
    return {
        "allOf": [
            {"oneOf": [{"required": [key]} for key in RECURRENCES]},
            {"oneOf": [{"required": [key]} for key in ("tru", "aps")]},
            {"not": {"required": ["duration", "until"]}},
        ],
        "dependentRequired": {
            "rrule": ["start"],
            "start": ["rrule"],
            "business_days": ["at"],
            "at": ["business_days"],
            "months": ["business_days"],
            "match": ["ical"],
            "day_match": ["cron"],
        },
    }


def _tidied(node: Any) -> Any:
    """Return a schema in which a key that may be left out can't be written as null.

    pydantic says "or null, by default null" of such keys; the files refuse a blank. Its
    titles only repeat the keys.
    """
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _tidied(value)
        for key, value in node.items()
        if not (key == "default" and value is None)
        and not (key == "title" and isinstance(value, str))
    }
    options = kept.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        options = [option for option in options if option != {"type": "null"}]
        del kept["anyOf"]
        return kept | (options[0] if len(options) == 1 else {"anyOf": options})
    return kept
