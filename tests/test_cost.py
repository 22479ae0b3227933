from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from forecast_helpers import (
    HOUR,
    MINUTE,
    NAMESPACE,
    START,
    at,
    baselines,
    calendar,
    daily,
    horizon,
    window,
    windows,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.forecast.cost import (
    ACTIONS_PER_TRU_HOUR,
    Bill,
    ceil_hour,
    compute_bill,
    floor_hour,
    minimum_actions,
    months_of,
    price_of,
    whole_hours,
)
from planner.forecast.preview import CostHint, cost_hints
from planner.forecast.timeline import baseline_of, occurrences_in, rails_of
from planner.model import (
    CLOUD_PLANS,
    GuardRails,
    Horizon,
    Prices,
    PriceTier,
    Window,
)
from workflows.contract import Capacity, target_of

JANUARY = horizon("2027-01-01", "2027-02-01")
DAY = "2027-01-04"
DEVELOPER, BUSINESS, ENTERPRISE = (
    Prices(plan.tiers, plan=plan, is_assumed=False)
    for plan in (CLOUD_PLANS[name] for name in ("developer", "business", "enterprise"))
)


def bill_of(*spans: Window, **fields: object) -> Bill:
    """Return January's bill of one namespace."""
    return compute_bill([calendar(*spans, **fields)], JANUARY, BUSINESS)


def one(start: str, end: str, tru: int, **fields: object) -> Window:
    """Return a window that runs once, on the fourth of January."""
    name = f"{start}-{tru}"
    return window(name, (f"{DAY} {start}", f"{DAY} {end}"), tru=tru, **fields)


@pytest.mark.parametrize(
    ("spans", "fields", "hours", "actions", "price"),
    [
        ([one("09:00", "10:00", 4)], {}, 1, 1_080_000, 54.00),
        ([one("08:55", "10:05", 4)], {}, 3, 3_240_000, 162.00),
        ([one("09:00", "09:30", 2), one("09:30", "10:00", 8)], {}, 1, 2_520_000, 126.00),
        ([one("09:00", "11:00", 2), one("10:00", "11:00", 8)], {}, 2, 2_880_000, 144.00),
        ([one("09:00", "09:10", 4), one("09:50", "10:00", 4)], {}, 1, 1_080_000, 54.00),
        ([one("09:00", "10:00", 4, lead=10 * MINUTE)], {}, 2, 2_160_000, 108.00),
        (
            [one("09:10", "10:00", 4, lead=8 * MINUTE, jitter=2 * MINUTE)],
            {},
            1,
            1_080_000,
            54.00,
        ),
        (
            [one("09:09", "10:00", 4, lead=8 * MINUTE, jitter=2 * MINUTE)],
            {},
            2,
            2_160_000,
            108.00,
        ),
        ([one("09:00", "10:00", 4), one("09:00", "10:00", 2, combine="add")], {}, 1, 1_800_000, 90),
        ([one("09:00", "10:00", 4)], {"baseline": Capacity(2)}, 1, 720_000, None),
        ([one("09:00", "10:00", 2, combine="add")], {"baseline": Capacity(4)}, 1, 720_000, None),
        ([one("09:00", "10:00", 4)], {"baseline": Capacity(6)}, 0, 0, 0),
        ([one("09:00", "10:00", 12)], {"guard_rails": GuardRails(max_tru=6)}, 1, 1_800_000, 90),
        ([one("09:00", "15:00", 4)], {}, 6, 6_480_000, 250 + 1.48 * 45),
        ([one("09:00", "10:00", 4, paused=True)], {}, 0, 0, 0),
        ([], {}, 0, 0, 0),
    ],
    ids=[
        "the documented hour at 4 TRU",
        "08:55 to 10:05 is three hours",
        "two values in one hour: the higher",
        "a higher window inside a longer one",
        "twice in one hour is one hour",
        "a lead before the hour mark",
        "lead and jitter within the hour",
        "lead and jitter one minute too early",
        "what adds is billed on top",
        "a baseline of 2 TRU is paid anyway",
        "what adds to a baseline of 4 TRU makes 6",
        "a baseline above the boost",
        "a ceiling caps the bill as well",
        "beyond the first five million Actions",
        "paused",
        "nothing at all",
    ],
)
def test_hand_computed_bills(
    spans: list[Window],
    fields: dict[str, object],
    hours: int,
    actions: int,
    price: float | None,
) -> None:
    """Hours, Actions and money are those computed by hand from the documented rule."""
    bill = bill_of(*spans, **fields)
    (line,) = bill.lines
    assert (line.usage.billed_hours, line.usage.actions) == (hours, actions)
    if price is not None:
        assert line.price == pytest.approx(price)
        assert bill.price == pytest.approx(price)


@pytest.mark.parametrize(
    ("actions", "price"),
    [
        (0, 0),
        (1_080_000, 54.0),
        (5_000_000, 250.0),
        (10_000_000, 475.0),
        (20_000_000, 875.0),
        (50_000_000, 1925.0),
        (100_000_000, 3425.0),
        (101_000_000, 3450.0),
    ],
)
def test_tiers_are_graduated(actions: int, price: float) -> None:
    """Each tier's Actions cost that tier's price, up to its end."""
    assert price_of(actions, BUSINESS) == pytest.approx(price)


def test_the_last_tier_s_price_goes_on() -> None:
    """A list whose last tier ends prices what is beyond it likewise."""
    assert price_of(3_000_000, Prices((PriceTier(1_000_000, 10.0),))) == pytest.approx(30)


@pytest.mark.parametrize(
    ("prices", "actions", "charge"),
    [
        pytest.param(Prices(), 54.0, 5.4, id="none named: 10 % on the highest price"),
        pytest.param(DEVELOPER, 54.0, 5.4, id="Developer: 10 %, and no minimum"),
        pytest.param(BUSINESS, 54.0, 500.0, id="Business: at least 500 a month"),
        pytest.param(ENTERPRISE, 54.0, 0.0, id="Enterprise: by contract"),
    ],
)
def test_the_plan_charges_for_itself(prices: Prices, actions: float, charge: float) -> None:
    """Its charge is in the total alone: months, namespaces and windows are the Actions' own."""
    bill = compute_bill([calendar(one("09:00", "10:00", 4))], JANUARY, prices)
    assert bill.price == bill.lines[0].price == bill.namespaces[0].price == actions
    assert bill.plan_charge == pytest.approx(charge)
    assert bill.total == pytest.approx(actions + charge)
    always = bill.always_price
    assert bill.always_total == pytest.approx(always + max(always / 10, charge) * bool(charge))


def test_the_share_exceeds_the_minimum_from_5000_on() -> None:
    """Ten percent of the usage is the charge wherever that is more than 500."""
    long = one("00:00", "23:00", 12)
    bill = compute_bill([calendar(long)], horizon("2027-01-04", "2027-01-05"), BUSINESS)
    assert bill.price == pytest.approx(price_of(23 * 11 * 360_000, BUSINESS))
    assert bill.plan_charge == pytest.approx(bill.price / 10) != 500 / 31


def test_a_part_of_a_month_has_that_part_of_the_minimum() -> None:
    """Half of one month and a whole other one are one and a half minimums."""
    span = horizon("2027-01-16T12:00", "2027-03-01")
    assert compute_bill([calendar()], span, BUSINESS).plan_charge == pytest.approx(750)
    assert compute_bill([], span, BUSINESS).plan_charge == pytest.approx(750)


@given(st.integers(0, 400_000_000))
def test_a_plan_that_is_assumed_is_never_cheaper(actions: int) -> None:
    """Without a plan in planner.yaml no published plan has a higher price of Actions."""
    for plan in CLOUD_PLANS.values():
        assert price_of(actions, Prices()) >= price_of(actions, Prices(plan.tiers)) - 1e-6


def test_a_baseline_s_own_actions_use_up_the_dear_tiers() -> None:
    """A boost on top of a provisioned baseline is priced where the baseline leaves off."""
    below = ACTIONS_PER_TRU_HOUR * 24 * 31
    expected = price_of(below + 720_000, BUSINESS) - price_of(below, BUSINESS)
    assert bill_of(one("09:00", "10:00", 4), baseline=Capacity(2)).price == pytest.approx(expected)


def test_namespaces_climb_the_tiers_together() -> None:
    """Two namespaces of one account pay what their Actions cost together, in equal shares."""
    twins = [
        calendar(window("w", (f"{DAY} 09:00", f"{DAY} 15:00"), namespace=name), namespace=name)
        for name in ("a.x", "b.x")
    ]
    bill = compute_bill(twins, JANUARY, BUSINESS)
    assert bill.price == pytest.approx(price_of(2 * 6_480_000, BUSINESS))
    assert bill.namespaces[0].price == pytest.approx(bill.namespaces[1].price)


def test_a_month_is_billed_where_its_hours_are() -> None:
    """A run over the end of a month is billed in both, hour by hour."""
    night = window("night", ("2027-01-31 22:00", "2027-02-01 03:00"))
    bill = compute_bill([calendar(night)], horizon("2027-01-01", "2027-03-01"), BUSINESS)
    assert [(line.month.month, line.usage.billed_hours) for line in bill.lines] == [(1, 2), (2, 3)]
    assert [line.usage.boosted for line in bill.lines] == [2 * HOUR, 3 * HOUR]


def test_beside_stand_always_and_the_window_alone() -> None:
    """Always at the peak is every hour of the horizon; alone and aligned is its own length."""
    bill = bill_of(one("08:55", "10:05", 4))
    (namespace,) = bill.namespaces
    (alone,) = namespace.windows
    assert bill.always_price == pytest.approx(price_of(1_080_000 * 31 * 24, BUSINESS))
    assert alone.price == pytest.approx(162)
    assert (alone.aligned_hours, alone.aligned_price) == (2, pytest.approx(108))


@given(windows(), baselines)
@settings(max_examples=40, deadline=None)
def test_the_bill_is_brute_force_over_every_hour(
    drawn: list[Window], baseline: Capacity | None
) -> None:
    """The Actions are the sum over all hours of the highest target of any of its minutes."""
    namespace = calendar(*drawn, baseline=baseline)
    span = Horizon(START, START + timedelta(days=2))
    runs = occurrences_in(drawn, span, "requested")
    own = minimum_actions(baseline_of(namespace))
    total = 0
    for hour in range(48):
        minutes = (START + (60 * hour + minute) * MINUTE for minute in range(60))
        targets = (
            target_of(
                [run for run in runs if run.fires <= minute < run.end],
                baseline_of(namespace),
                rails_of(namespace),
            )
            for minute in minutes
        )
        total += max(minimum_actions(target.capacity) for target in targets) - own
    bill = compute_bill([namespace], span, BUSINESS)
    assert sum(line.usage.actions for line in bill.lines) == total


def test_hour_marks_are_utc_hours() -> None:
    """Half-hour zones change nothing: an hour is an hour of UTC."""
    assert floor_hour(at("2027-01-01 10:59")) == at("2027-01-01 10:00")
    assert ceil_hour(at("2027-01-01 10:01")) == at("2027-01-01 11:00")
    assert ceil_hour(at("2027-01-01 10:00")) == at("2027-01-01 10:00")
    half = window("half", (f"{DAY} 09:00", f"{DAY} 10:00"), timezone="Asia/Kolkata")
    assert bill_of(half).lines[0].usage.billed_hours == 2


def test_months_are_cut_at_the_horizon() -> None:
    """A horizon in the middle of months gives its parts of them, which add up."""
    span = Horizon(datetime(2026, 11, 21, 5, tzinfo=UTC), datetime(2027, 2, 3, tzinfo=UTC))
    months = list(months_of(span))
    assert [month.start.month for month in months] == [11, 12, 1, 2]
    assert (months[0].start, months[-1].end) == (span.start, span.end)
    assert sum(map(whole_hours, months)) == whole_hours(span)


def hints_of(*spans: Window, **fields: object) -> dict[str, CostHint]:
    """Return January's hints by kind."""
    return {hint.kind: hint for hint in cost_hints(calendar(*spans, **fields), JANUARY)}


def test_a_lead_before_the_hour_is_hinted_at_with_its_saving() -> None:
    """Starting ten minutes before the hour adds a billed hour to each run: 12 in all."""
    early = daily("early", "2027-01-04 09:00", 12, 1.5, lead=10 * MINUTE)
    hint = hints_of(early)["early-start"]
    assert (hint.runs, hint.actions) == (12, 12 * 1_080_000)
    assert hint.message == (
        "early is requested at 08:50, 10 min before the hour: that adds a billed hour; "
        "start the window 10 min later"
    )


def test_a_shorter_lead_is_offered_only_where_one_keeps_out_of_the_hour() -> None:
    """Any lead before a full hour bills that hour; ten minutes past it, one of ten is free."""
    at_ten_past = daily("early", "2027-01-04 09:10", 12, 1.5, lead=15 * MINUTE)
    assert hints_of(at_ten_past)["early-start"].message.endswith(
        "start the window 5 min later, or make lead and jitter 10 min in all"
    )
    at_one_past = daily("early", "2027-01-04 09:01", 12, 1.5, lead=5 * MINUTE)
    assert hints_of(at_one_past)["early-start"].message.endswith("start the window 4 min later")


def test_hints_of_many_windows_are_one() -> None:
    """Forty windows with one fault are one hint, with the sum of what each would save."""
    many = [daily(f"w{n}", f"2027-01-{n + 4:02} 09:00", 1, 1.5, lead=10 * MINUTE) for n in range(9)]
    hints = cost_hints(calendar(*many), JANUARY)
    assert [hint.kind for hint in hints] == ["early-start", "free-until"]
    assert (hints[0].runs, hints[0].actions, len(hints[0].windows)) == (9, 9 * 1_080_000, 9)
    assert hints[0].message == (
        "w0, w1, w2 and 6 more are requested 10 min before an hour: that adds a billed hour to "
        "each; start them so much later"
    )


def test_following_the_hint_saves_what_it_says() -> None:
    """The bill of the mended window is lower by just the hint's Actions."""
    early = daily("early", "2027-01-04 09:00", 12, 1.5, lead=10 * MINUTE)
    mended = daily("early", "2027-01-04 09:10", 12, 1.5 - 1 / 6, lead=10 * MINUTE)
    before, after = (bill_of(each).lines[0].usage.actions for each in (early, mended))
    assert before - after == hints_of(early)["early-start"].actions


def test_an_hour_that_another_window_needs_is_no_saving() -> None:
    """A lead into an hour that is paid for another window costs nothing."""
    early = daily("early", "2027-01-04 09:00", 3, 1.5, lead=10 * MINUTE)
    before = daily("before", "2027-01-04 08:00", 3, 0.5)
    assert "early-start" not in hints_of(early, before)


def test_an_hour_that_a_smaller_window_needs_saves_the_difference() -> None:
    """What is saved is what the hour costs on account of this window alone."""
    early = daily("early", "2027-01-04 09:00", 1, 1.5, lead=10 * MINUTE, tru=8)
    before = daily("before", "2027-01-04 08:00", 1, 0.5, tru=2)
    assert hints_of(early, before)["early-start"].actions == (7 - 1) * ACTIONS_PER_TRU_HOUR


def test_a_late_end_is_hinted_at_with_what_is_free() -> None:
    """An end five minutes past the hour is a billed hour, or free until its last minute."""
    hint = hints_of(one("08:00", "10:05", 4))["late-end"]
    assert hint.actions == 1_080_000
    assert "end by 10:00" in hint.message
    assert "free until 10:59" in hint.message


def test_the_rest_of_a_paid_hour_is_free() -> None:
    """An end at half past leaves the rest of its hour paid, and saves nothing."""
    hint = hints_of(one("08:00", "10:30", 4))["free-until"]
    assert (hint.actions, "free until 10:59" in hint.message) == (0, True)


def test_an_end_on_the_mark_names_what_is_at_stake() -> None:
    """A revert past the hour mark would cost one more hour at the window's TRU."""
    assert hints_of(one("08:00", "10:00", 4))["exact-end"].actions == 1_080_000


def test_no_stake_where_the_next_hour_is_paid_anyway() -> None:
    """A window that begins where this one ends pays for a slow revert."""
    found = hints_of(one("08:00", "10:00", 4), one("10:00", "11:00", 6))
    assert found["exact-end"].windows == ("10:00-6",)


def test_a_short_gap_in_paid_hours_is_hinted_at() -> None:
    """These two windows leave a gap of 20 minutes and pay it anyway."""
    first, second = one("08:00", "09:10", 4), one("09:30", "11:00", 6)
    hint = hints_of(first, second)["paid-gap"]
    assert hint.message == (
        "08:00-4 and 09:30-6 leave a gap of 20 min and pay it anyway; letting 08:00-4 run on "
        "costs nothing"
    )


def test_a_gap_with_an_unpaid_hour_in_it_is_none() -> None:
    """A pause of hours saves what lies between."""
    assert "paid-gap" not in hints_of(one("08:00", "09:10", 4), one("12:30", "13:00", 6))


def test_windows_of_workers_alone_pay_for_nothing() -> None:
    """They fill no gap that is paid, and end no hour that is."""
    workers = one("08:00", "09:10", 0, workers=(("pods", 3),))
    assert hints_of(workers, one("09:30", "11:00", 6)) == hints_of(one("09:30", "11:00", 6))
    between = one("09:10", "09:30", 0, workers=(("pods", 3),))
    assert "paid-gap" in hints_of(one("08:00", "09:10", 4), between, one("09:30", "11:00", 6))


def test_clock_times_of_hints_are_the_window_s_own() -> None:
    """A hint speaks in the wall time of the window's zone, also where that is off by 30."""
    early = daily("early", "2027-01-04 09:30", 1, 1.5, lead=10 * MINUTE, timezone="Asia/Kolkata")
    assert "requested at 09:20, 10 min before the hour" in hints_of(early)["early-start"].message


def test_a_bill_names_its_namespaces() -> None:
    """Each namespace of the bill bears its own name, with or without windows."""
    assert [each.namespace for each in bill_of().namespaces] == [NAMESPACE]
