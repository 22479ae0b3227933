"""The examples of RFC 5545, section 3.8.5.3: all of them, beside a start and in a file."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ical_helpers import ics

from planner.model import Horizon, IcalMatch
from planner.recurrence.ical import check, check_rule, expand, expand_rule
from workflows.contract import to_instant

EXAMPLES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "rfc5545_examples.json").read_text(encoding="utf-8")
)["examples"]

REFUSED = {
    "every-20-min-minutely-form": "FREQ=MINUTELY without an end is not supported; write FREQ=DAILY",
}
"""The examples of RFC 5545 that are refused, with what is said of them."""

BESIDE_ITS_RULE = "friday-13th"
"""The example whose start isn't in its rule and which an EXDATE takes away."""


def supported() -> list[Any]:
    """Return the examples that have an answer."""
    return [pytest.param(e, id=e["id"]) for e in EXAMPLES if e["id"] not in REFUSED]


def wall(text: str) -> datetime:
    """Return the naive time that *text* writes."""
    return datetime.fromisoformat(text)


def expected_of(example: dict[str, Any]) -> tuple[list[datetime], datetime]:
    """Return the first starts that an example lists, and the last one that it names."""
    return [wall(text) for text in example["first"]], wall(example["nth"]["local"])


@pytest.mark.parametrize("example", supported())
def test_an_example_of_the_rfc_beside_a_start(example: dict[str, Any]) -> None:
    """A rule in a calendar file has the starts that RFC 5545 lists, and no others."""
    if example["id"] == BESIDE_ITS_RULE:
        return
    start = wall(example["dtstart"])
    first, last = expected_of(example)
    assert check_rule(example["rrule"], start, example["tzid"]) == []
    until = date(2010, 1, 1) if example["total"] else last.date()
    found = expand_rule(example["rrule"], start, start.date(), until, example["tzid"])
    found = [one for one in found if example["total"] or one <= last]
    assert found[: len(first)] == first
    assert found[example["nth"]["n"] - 1] == last
    assert len(found) == (example["total"] or example["nth"]["n"])


@pytest.mark.parametrize("example", supported())
def test_an_example_of_the_rfc_in_a_file(example: dict[str, Any]) -> None:
    """An event has the starts that RFC 5545 lists, as instants, and no others."""
    zone = example["tzid"]
    excluded = [f"EXDATE;TZID={zone}:{value}" for value in example.get("exdate", [])]
    lines = [
        f"DTSTART;TZID={zone}:{example['dtstart']}",
        f"RRULE:{example['rrule']}",
        "DURATION:PT5M",
        *excluded,
    ]
    file = ics(" ".join(lines))
    assert check(file) == ([], [])
    first, last = expected_of(example)
    end = to_instant(last, ZoneInfo(zone)) + timedelta(minutes=1)
    horizon = Horizon(
        datetime(1996, 1, 1, tzinfo=UTC),
        datetime(2010, 1, 1, tzinfo=UTC) if example["total"] else end,
    )
    found = [one.start for one in expand(file, IcalMatch(), "UTC", horizon)]
    assert found[: len(first)] == [to_instant(one, ZoneInfo(zone)) for one in first]
    assert found[0] == datetime.fromisoformat(example["first_utc"])
    assert found[example["nth"]["n"] - 1] == datetime.fromisoformat(example["nth"]["utc"])
    assert len(found) == (example["total"] or example["nth"]["n"])


@pytest.mark.parametrize(
    "example", [pytest.param(e, id=e["id"]) for e in EXAMPLES if e["id"] in REFUSED]
)
def test_an_example_of_the_rfc_that_is_refused(example: dict[str, Any]) -> None:
    """What isn't supported is refused with a sentence, beside a start and in a file alike."""
    zone = example["tzid"]
    [sentence] = check_rule(example["rrule"], wall(example["dtstart"]), zone)
    assert REFUSED[example["id"]] in sentence
    file = ics(f"DTSTART;TZID={zone}:{example['dtstart']} RRULE:{example['rrule']} DURATION:PT5M")
    assert [problem.line for problem in check(file)[0]] == [7]


def test_the_example_beside_its_rule_is_refused_where_nothing_excludes_its_start() -> None:
    """A start that its rule doesn't contain is refused, with the start that was meant."""
    example = next(e for e in EXAMPLES if e["id"] == BESIDE_ITS_RULE)
    [sentence] = check_rule(example["rrule"], wall(example["dtstart"]))
    assert "start with 1998-02-13 09:00" in sentence
