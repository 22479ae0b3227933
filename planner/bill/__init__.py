"""What the calendars cost at worst: the minimum of Actions that boosted hours are billed.

- `hours`: the calendar hours that runs touch, and at which level.
- `metering`: what these are billed, in Actions.
- `pricing`: what Actions cost by the month, at graduated tiers.
- `account`: both put together, per window, namespace and month.
- `hints`: where a few minutes change the bill.
"""

from planner.bill.account import (
    ASSUMPTIONS,
    Bill,
    Booked,
    Line,
    NamespaceBill,
    WindowBill,
    compare,
    reckon,
)
from planner.bill.hints import Hint, hints
from planner.bill.metering import ACTIONS_PER_TRU_HOUR, minimum
from planner.bill.pricing import cost

__all__ = [
    "ACTIONS_PER_TRU_HOUR",
    "ASSUMPTIONS",
    "Bill",
    "Booked",
    "Hint",
    "Line",
    "NamespaceBill",
    "WindowBill",
    "compare",
    "cost",
    "hints",
    "minimum",
    "reckon",
]
