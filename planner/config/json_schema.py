"""JSON Schema of the files, for editors: made from the models that parse them."""

from __future__ import annotations

from typing import Any, Literal

from planner.config.documents import (
    COMPANIONS,
    DEMANDS,
    LENGTHS,
    OWN_LENGTH,
    RECURRENCES,
    CalendarDocument,
    PlannerDocument,
)
from planner.config.scalars import NAME_PATTERN

Schema = dict[str, Any]
Kind = Literal["calendar", "planner"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:calendar-boost-planner:schema:{kind}:1"
"""What names a schema wherever a copy of it lies; the number changes with the files' format."""
_NOTES = {"^x-": {"description": "Room for anchors and notes; not read."}}


def schema(kind: Kind) -> Schema:
    """Return the JSON Schema of a calendar file's documents, or of ``planner.yaml``.

    A file that the schema accepts may still have problems: whether a cron ever fires or a
    file exists, a schema can't say. A file that it refuses always has some.
    """
    model = CalendarDocument if kind == "calendar" else PlannerDocument
    found = _tidied(model.model_json_schema(by_alias=True, mode="validation"))
    found["patternProperties"] = _NOTES
    if kind == "calendar":
        found["properties"]["windows"]["propertyNames"] = {"pattern": f"^{NAME_PATTERN}$"}
        found["$defs"]["WindowDocument"] |= _combinations()
    return {"$schema": DIALECT, "$id": ID.format(kind=kind), **found}


def _combinations() -> Schema:
    """Return which keys of a window go together."""
    dependent: dict[str, list[str]] = {}
    for companion in COMPANIONS:
        dependent.setdefault(companion.key, []).append(companion.owner)
        if companion.example:
            dependent.setdefault(companion.owner, []).append(companion.key)
    return {
        "allOf": [
            {"oneOf": [{"required": [key]} for key in RECURRENCES]},
            {"oneOf": [{"required": [key]} for key in DEMANDS]},
            {"not": {"required": list(LENGTHS)}},
            {"anyOf": [{"required": [key]} for key in (*LENGTHS, *OWN_LENGTH)]},
        ],
        "dependentRequired": dependent,
    }


def _tidied(node: Any) -> Any:
    """Return *node* without the nulls and titles that pydantic adds.

    It makes a key that may be left out nullable, but the files refuse a blank; its titles
    only repeat the keys.
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
