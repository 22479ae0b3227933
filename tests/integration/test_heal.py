"""What breaks heals without a person, within one round of the watchdog.

At the planner's own pace, with a key that is refused for ten minutes: ``make heal``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from heal import SHORT, play, table

pytestmark = pytest.mark.integration


async def test_everything_heals_without_a_person(tmp_path: Path) -> None:
    """Workers that are away, upgraded or of another Cloud, keepers, hands and keys."""
    outcomes = await play(SHORT, tmp_path)
    assert len(outcomes) == 9
    assert [one for one in outcomes if not one.is_healed] == [], table(outcomes)
