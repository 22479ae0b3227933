"""Stories of seconds on a real server, where a keeper is reset, deleted or terminated."""

from __future__ import annotations

import os
import random

import pytest
from stories import broken_promises, tell_brisk, tells
from story_stage import KEY, TooSlow, brisk_stage
from temporalio.testing import WorkflowEnvironment

pytestmark = pytest.mark.integration

COUNT = int(os.environ.get("BRISK_STORIES") or 8)
AT_ONCE = 8
ANY = 1 if os.environ.get("CI") else random.randrange(1_000_000)
SEED = int(os.environ.get("STORY_SEED") or ANY)


@pytest.mark.parametrize("first", range(0, COUNT, AT_ONCE))
async def test_promises_are_kept_whatever_becomes_of_a_keeper(
    dev_server: WorkflowEnvironment, first: int
) -> None:
    """What was found comes back, and no window is cut short, by reset, deletion, termination."""
    numbers = range(first, min(first + AT_ONCE, COUNT))
    async with brisk_stage(dev_server) as stage:
        try:
            all_played = await stage.play([tell_brisk(SEED, number) for number in numbers])
        except TooSlow as slow:
            pytest.skip(f"too slow for windows of seconds: {slow}")
        broken = "\n".join(
            f"{sentence}\n{tells(played)}"
            for played in all_played
            for sentence in broken_promises(played)
        )
        assert broken == "", f"of STORY_SEED={SEED}\n{broken}"
        assert KEY.encode() not in await stage.seen()
