"""A preview as JSON, for programs: the format of version 1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from planner.errors import Lint
from planner.forecast.preview import Preview
from planner.forecast.timeline import OCCURRENCE_ORDER, Step
from planner.model import Occurrence
from planner.render import format as fmt
from workflows.contract import format_instant

FORMAT_VERSION = 1


def preview_json(shown: Preview) -> str:
    """Return *shown* as one JSON document.

    ``occurrences`` are those that start in ``[from, to)``, as schedules fire for them;
    ``timeline`` holds the steps in which a window runs, cut to that span: what began
    before it counts, and where there is no step the baseline is in force. A ``tru`` of
    null means on-demand. Everything is sorted.
    """
    document = {
        "format_version": FORMAT_VERSION,
        "from": format_instant(shown.horizon.start),
        "to": format_instant(shown.horizon.end),
        "occurrences": _occurrences(shown),
        "timeline": [
            _step(step) for lane in shown.lanes for step in lane.steps if step.occurrences
        ],
        "warnings": [_warning(lint) for lint in shown.warnings],
    }
    return _printed(document)


def _printed(document: Mapping[str, Any]) -> str:
    """Return *document* with each item of its lists on a line of its own.

    So that lines can be searched and compared, and hundreds of thousands of them written
    by the quick half of `json`, which can't indent.
    """
    entries = []
    for name, value in document.items():
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"
        else:
            text = json.dumps(value)
        entries.append(f'  "{name}": {text}')
    return "{\n" + ",\n".join(entries) + "\n}"


def _occurrences(shown: Preview) -> list[dict[str, Any]]:
    starting = (
        occurrence
        for lane in shown.lanes
        for occurrence in lane.occurrences
        if occurrence.start in shown.horizon
    )
    return [_occurrence(o) for o in sorted(starting, key=OCCURRENCE_ORDER)]


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


def _warning(lint: Lint) -> dict[str, Any]:
    return {"code": lint.code, "message": lint.message, "file": lint.file, "line": lint.line}
