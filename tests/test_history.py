"""The record of boosts: what follows from what keepers recorded, and how it is printed."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from usage_helpers import usage

from planner.evidence.report import with_verdicts
from planner.forecast.history import (
    BoostHistory,
    History,
    ListedBoost,
    Reach,
    history_of,
    recorded_firings,
    totals,
    unexplained,
)
from planner.model import Horizon, Prices
from planner.render.status import COLUMNS, WIDTH, history_csv, history_json, history_text
from workflows.contract import (
    ON_DEMAND,
    BoostRequest,
    Capacity,
    CapacityInForce,
    HeldCapacity,
    KeeperRecord,
    LeaseRecord,
)
from workflows.contract.findings import MissedBoost

NAMESPACE = "payments-prod.a1b2c"
DAY = datetime(2026, 10, 15, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
OCTOBER = Horizon(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
NOW = datetime(2026, 11, 2, tzinfo=UTC)
START = DAY + 5 * HOUR
FIRES, END = START - 10 * MINUTE, START + 4 * HOUR
UP, DOWN = START - 8 * MINUTE, END + 2 * MINUTE
KEPT = Reach(
    boosts=1,
    keepers=1,
    histories=1,
    kept_since=NOW - timedelta(days=60),
    retention=timedelta(days=60),
)


def lease(**changes: Any) -> LeaseRecord:
    """Return a lease of a payroll of 8 TRU that had its capacity in time, to its end."""
    values: dict[str, Any] = {
        "key": "payroll@2026-10-15T05:00:00Z",
        "window": "payroll",
        "tru": 8,
        "start": START,
        "until": END,
        "project": "finance",
        "fires": FIRES,
        "granted_at": FIRES,
        "held": (HeldCapacity(FIRES, None), HeldCapacity(UP, Capacity(8))),
        "ended_at": END,
    }
    return LeaseRecord(**{**values, **changes})


def run(*leases: LeaseRecord, **changes: Any) -> KeeperRecord:
    """Return a keeper's run with *leases*, which went up to 8 TRU and back."""
    values: dict[str, Any] = {
        "namespace": NAMESPACE,
        "run": "one",
        "start": FIRES,
        "end": DOWN + MINUTE,
        "baseline": ON_DEMAND,
        "leases": leases,
        "capacities": (
            CapacityInForce(FIRES, ON_DEMAND),
            CapacityInForce(UP, Capacity(8)),
            CapacityInForce(DOWN, ON_DEMAND),
        ),
    }
    return KeeperRecord(**{**values, **changes})


def boost(**changes: Any) -> ListedBoost:
    """Return the boost of that payroll as the list has it."""
    values: dict[str, Any] = {
        "id": f"boost/{NAMESPACE}/payroll-2026-10-15T04:50:00Z",
        "run": "b",
        "namespace": NAMESPACE,
        "window": "payroll",
        "fires": FIRES,
        "started": FIRES,
        "closed": UP,
        "status": "COMPLETED",
    }
    return ListedBoost(**{**values, **changes})


def made(
    records: list[KeeperRecord],
    boosts: list[ListedBoost] | None = None,
    horizon: Horizon = OCTOBER,
    now: datetime = NOW,
    reach: Reach = KEPT,
) -> History:
    """Return the history of October."""
    return history_of(boosts or [], records, horizon, now, Prices(), reach)


def only(*leases: LeaseRecord, **changes: Any) -> BoostHistory:
    """Return what came of the boost of one run."""
    (found,) = made([run(*leases, **changes)], [boost()]).boosts
    return found


def test_a_boost_beside_its_calendar() -> None:
    """It was in force from before its start until the revert; the hours are those it touched."""
    found = only(lease())
    assert (found.outcome, found.since, found.until) == ("held", UP, DOWN)
    assert (found.start, found.end, found.fires, found.by) == (START, END, FIRES, "schedule")
    # From 04:52 to 09:02: the hours of 4 to 9. Foreseen: from 04:50 to 09:00.
    assert (found.billed_hours, found.foreseen_hours) == (6, 5)
    assert (found.price, found.foreseen_price) == (6 * 7 * 18.0, 5 * 7 * 18.0)


@pytest.mark.parametrize(
    ("changes", "outcome", "why"),
    [
        pytest.param({}, "held", "", id="held"),
        pytest.param(
            {"held": (HeldCapacity(START + 5 * MINUTE, Capacity(8)),)}, "late", "", id="late"
        ),
        pytest.param(
            {"held": (HeldCapacity(UP, Capacity(4), "rails", "4 allowed at most"),)},
            "capped",
            "4 allowed at most",
            id="capped",
        ),
        pytest.param(
            {"ended_at": START, "released_by": "kim"}, "released", "by kim", id="released"
        ),
        pytest.param(
            {"held": (), "granted_at": None, "ended_at": DAY, "released_by": "kim"},
            "skipped",
            "refused by kim before it came",
            id="skipped",
        ),
        pytest.param(
            {"held": (HeldCapacity(FIRES, None),)},
            "missed",
            "it never had its capacity",
            id="missed",
        ),
        pytest.param(
            {"ended_at": None},
            "unknown",
            "its keeper broke off, and no later run knows of it",
            id="broken off",
        ),
    ],
)
def test_what_came_of_it(changes: dict[str, Any], outcome: str, why: str) -> None:
    """Each way that a lease goes has a word of its own."""
    found = only(lease(**changes))
    assert (found.outcome, found.why) == (outcome, why)


def test_a_boost_by_hand_is_never_late() -> None:
    """It was wanted at once, and provisioning takes its time."""
    held = (HeldCapacity(START + 2 * MINUTE, Capacity(8)),)
    by_hand = lease(by="kim", fires=START, granted_at=START, held=held)
    (found,) = made([run(by_hand)]).boosts
    assert found.outcome == "held"


def test_a_lease_that_does_not_say_when_it_was_due() -> None:
    """One of an older release, or skipped before it came, is of the last firing before it."""
    earlier = boost(fires=FIRES - 24 * HOUR, run="a")
    old = run(lease(fires=None))
    assert unexplained([boost(), earlier], [old], OCTOBER) == [earlier]
    found = made([old], [boost()]).boosts
    assert [(one.fires, one.outcome) for one in found] == [(FIRES, "held")]


def test_a_boost_under_way() -> None:
    """Until now it is billed, and it has no end yet."""
    now = START + 30 * MINUTE
    up = run(lease(ended_at=None), end=None, capacities=run().capacities[:2])
    (found,) = made([up], [boost()], now=now).boosts
    assert (found.outcome, found.until, found.billed_hours) == ("running", None, 2)


def test_a_lease_over_two_runs_is_one_boost() -> None:
    """A keeper that continued as new goes on with its leases: their parts are one record."""
    middle = START + HOUR
    first = run(lease(ended_at=None), end=middle, capacities=run().capacities[:2])
    second = run(
        lease(fires=None, granted_at=None, held=(HeldCapacity(middle, Capacity(8)),)),
        run="two",
        start=middle,
        capacities=(CapacityInForce(middle, Capacity(8)), CapacityInForce(DOWN, ON_DEMAND)),
    )
    history = made([second, first], [boost()])
    (found,) = history.boosts
    assert found == replace(only(lease()))
    assert totals(history) == {NAMESPACE: (6, 5)}


def test_what_others_kept_up_ends_with_the_boost() -> None:
    """Where no revert follows, the boost's time in force ends with its window."""
    found = only(lease(shared=True))
    assert found.until == END


def test_changes_by_others_and_the_time_without() -> None:
    """A capacity that others set is named, and so is the time that the boost lacked its own."""
    lower, again = START + HOUR, START + HOUR + 3 * MINUTE
    changed = CapacityInForce(lower, Capacity(2), external=True)
    capacities = (*run().capacities[:2], changed, CapacityInForce(again, Capacity(8)))
    held = (*lease().held, HeldCapacity(lower, None), HeldCapacity(again, Capacity(8)))
    found = only(lease(held=held), capacities=(*capacities, run().capacities[2]))
    assert found.changes == (changed,)
    assert found.lacking == ((lower, again),)
    assert found.until == DOWN


def test_overlapping_boosts_share_their_hours() -> None:
    """The namespace's hours count once, each boost's own as if it were alone."""
    other = lease(key="other@1", window="other", tru=4, shared=True)
    history = made([run(lease(), other)])
    assert [one.billed_hours for one in history.boosts] == [5, 6]
    assert totals(history)[NAMESPACE] == (6, 5)


def test_a_boost_without_a_lease_tells_what_it_can() -> None:
    """A missed one says why, by its memo; its input says what it requested."""
    missed = MissedBoost(
        window="payroll",
        start="2026-10-15T05:00:00Z",
        end="2026-10-15T09:00:00Z",
        reason="the keeper could not be reached",
    )
    request = BoostRequest(
        namespace=NAMESPACE, window="payroll", tru=8, ttl_seconds=4 * 3600, ahead_seconds=600
    )
    listed = boost(status="FAILED", missed=missed)
    assert unexplained([listed], [], OCTOBER) == [listed]
    assert unexplained([listed], [run(lease())], OCTOBER) == []
    (found,) = made([], [replace(listed, request=request)]).boosts
    assert (found.outcome, found.why) == ("missed", "the keeper could not be reached")
    assert (found.start, found.end, found.tru) == (START, END, 8)
    assert (found.billed_hours, found.foreseen_hours) == (0, 5)


@pytest.mark.parametrize(
    ("status", "outcome", "why"),
    [
        ("RUNNING", "uncovered", "its boost has no lease yet"),
        ("CANCELED", "released", "its boost was cancelled"),
        ("COMPLETED", "unknown", "its boost ended, and no keeper's record has its lease"),
        ("TIMED_OUT", "unknown", "its boost ended as timed out"),
    ],
)
def test_without_a_lease_or_a_memo(status: str, outcome: str, why: str) -> None:
    """What isn't known is said to be unknown."""
    (found,) = made([], [boost(status=status)]).boosts
    assert (found.outcome, found.why, found.start) == (outcome, why, None)


def test_firings_that_records_explain_are_counted_once() -> None:
    """Over runs and windows; neither what was requested by hand, nor what is listed, nor others."""
    search, next_day = "search-prod.a1b2c", FIRES + timedelta(days=1)
    records = [
        run(lease(), lease(key="b", window="batch")),
        run(lease(granted_at=None), run="two"),
        run(lease(), run="three", namespace=search),
        run(lease(key="c", fires=next_day), run="four", namespace=search),
        run(lease(key="d", by="kim", window="by-hand"), lease(key="e", window="skip", fires=None)),
        run(lease(key="f", window="september", fires=OCTOBER.start - MINUTE), run="five"),
        run(lease(key="g", window="november", fires=OCTOBER.end), run="six"),
    ]
    assert recorded_firings(records, [], OCTOBER) == {NAMESPACE: 2, search: 2}
    failed = boost(window="batch", status="FAILED", fires=FIRES.replace(microsecond=7))
    assert recorded_firings(records, [failed], OCTOBER) == {NAMESPACE: 1, search: 2}


def test_only_what_overlaps_the_time_is_shown() -> None:
    """A boost before the time, and one after it, are left out; its hours are those within."""
    november = Horizon(OCTOBER.end, OCTOBER.end + timedelta(days=30))
    assert made([run(lease())], [boost()], november).boosts == ()
    late = Horizon(START + HOUR, OCTOBER.end)
    (found,) = made([run(lease())], [boost()], late).boosts
    assert (found.billed_hours, found.foreseen_hours) == (4, 3)


# How it is printed -------------------------------------------------------------------------


def test_the_text_is_narrow_and_whole() -> None:
    """Every line keeps to 80 columns, and says what was and what was foreseen."""
    why = "8 TRU requested, 4 allowed at most by the guard rails of the namespace, which is long"
    capped = lease(
        key="b",
        window="a-window-with-a-rather-long-name",
        held=(HeldCapacity(UP, Capacity(4), "rails", why),),
    )
    text = history_text(made([run(lease(), capped)], [boost()]))
    assert max(map(len, text.splitlines())) <= WIDTH
    for part in (
        "2 boosts, 2026-10-01 00:00 to 2026-11-01 00:00 (UTC).",
        "Thu 2026-10-15  payments-prod.a1b2c/payroll: 8 TRU, held",
        "    calendar  05:00:00 to 09:00:00, of project finance",
        "    in force  04:52:00 to 09:02:00, 8 TRU",
        "    billed    6 h, foreseen 5 h; USD 756.00 alone",
        "payments-prod.a1b2c: 6 h, foreseen 5 h; at most USD 756.00",
    ):
        assert part in text


def test_an_empty_answer_says_what_was_looked_at() -> None:
    """Nothing found is never "nothing happened": it names what was read, and how far back."""
    reach = replace(KEPT, boosts=0, keepers=0, kept_since=NOW - timedelta(days=3))
    reach = replace(reach, retention=timedelta(days=3), unread=("run x of keeper/y: gone",))
    text = " ".join(history_text(made([], reach=reach), NAMESPACE).split())
    assert text.startswith(f"No boost was found of {NAMESPACE}, 2026-10-01 00:00")
    assert "Looked at 0 boosts and 0 runs of keepers that the server lists" in text
    assert (
        "UNKNOWN before 2026-10-30 00:00: the Temporal namespace keeps what has ended for 72h"
        in text
    )
    assert "Could not be read: run x of keeper/y: gone." in text
    value = json.loads(history_json(made([], reach=reach)))
    assert value["reach"]["complete"] is False
    assert value["reach"]["kept_since"] == "2026-10-30T00:00:00Z"
    assert value["boosts"] == []


def test_a_server_that_hides_its_retention_is_named() -> None:
    """Without a retention nobody can tell how far back the answer reaches."""
    text = history_text(made([], reach=replace(KEPT, kept_since=None, retention=None)))
    assert "The server doesn't say how long it keeps what has ended." in text


def test_the_json_has_a_version_and_every_boost() -> None:
    """A program reads what the text says, and on-demand by its name."""
    value = json.loads(history_json(made([run(lease(held=(HeldCapacity(UP, ON_DEMAND),)))])))
    assert value["format_version"] == 1
    assert value["reach"]["complete"] is True
    assert value["namespaces"][0]["billed_hours"] == 6
    (one,) = value["boosts"]
    assert (one["window"], one["granted_tru"]) == ("payroll", "on-demand")
    assert (one["in_force_from"], one["in_force_until"]) == (
        "2026-10-15T04:52:00Z",
        "2026-10-15T09:02:00Z",
    )


def test_the_csv_has_a_row_a_boost() -> None:
    """A spreadsheet reads each boost, and takes nobody's words for a formula."""
    changed = CapacityInForce(START, Capacity(12), external=True)
    capacities = (*run().capacities[:2], changed, run().capacities[2])
    by = lease(by="=cmd()", reason="-1, or so")
    (row,) = csv.DictReader(io.StringIO(history_csv(made([run(by, capacities=capacities)]))))
    assert tuple(row) == COLUMNS
    assert (row["by"], row["reason"]) == ("'=cmd()", "'-1, or so")
    assert row["changes_by_others"] == "2026-10-15T05:00:00Z=12"
    assert (row["billed_hours"], row["currency"]) == ("6", "USD")


# What usage shows --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "outcome", "text", "unused"),
    [
        ({}, "not throttled", "APS not throttled", 4),
        ({"used": 3000.0}, "not throttled", "APS not throttled", 0),
        (
            {"throttled": {301: 2.0}, "requests": {}},
            "throttled",
            "APS throttled 120 Actions in 1 minute; RPS not throttled",
            4,
        ),
        ({"unseen": [301]}, "unknown", "APS unknown: 239 of 240 minutes seen", 3),
        ({"unseen": range(1440)}, "unknown", "APS unknown: 0 of 240 minutes seen", 0),
    ],
)
def test_usage_says_of_each_boost_whether_it_was_enough(
    fields: dict[str, Any], outcome: str, text: str, unused: int
) -> None:
    """In text, JSON and CSV; by the report's own judgement."""
    found = with_verdicts(made([run(lease())]), {NAMESPACE: usage(1440, **fields)}, NOW)
    words = f"{text}; {unused} of 4 paid hours unused"
    assert f" usage {words} " in f" {' '.join(history_text(found).split())} "
    (one,) = json.loads(history_json(found))["boosts"]
    assert one["usage"] == {
        "verdict": outcome,
        "text": text,
        "paid_hours": 4,
        "unused_hours": unused,
    }
    (row,) = csv.DictReader(io.StringIO(history_csv(found)))
    assert (row["verdict"], row["usage"]) == (outcome, text)
    assert (row["paid_hours"], row["unused_hours"]) == ("4", str(unused))


def test_without_a_source_nothing_is_said_of_usage() -> None:
    """Neither a line, nor a verdict."""
    found = made([run(lease())])
    assert " usage " not in history_text(found)
    assert json.loads(history_json(found))["boosts"][0]["usage"] is None
    (row,) = csv.DictReader(io.StringIO(history_csv(found)))
    assert [row[name] for name in ("verdict", "usage", "paid_hours", "unused_hours")] == [""] * 4


def test_what_could_not_be_read_is_unknown_and_what_goes_on_has_no_verdict() -> None:
    """No data is never "not throttled"; a window is judged once it is over."""
    found = made([run(lease())])
    (one,) = with_verdicts(found, {}, NOW).boosts
    assert one.verdict is not None
    assert (one.verdict.outcome, one.verdict.text) == (
        "unknown",
        "unknown: usage could not be read",
    )
    other = {NAMESPACE: replace(usage(1440), start=DAY + timedelta(days=3))}
    (one,) = with_verdicts(found, other, NOW).boosts
    assert one.verdict is not None
    assert one.verdict.text == "APS unknown: 0 of 240 minutes seen"
    assert with_verdicts(found, {NAMESPACE: usage(1440)}, END - MINUTE) == found
