"""The six promises, held against random stories played through the real workflows."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from stories import Played, Story, broken_promises, tell, tells
from story_stage import KEY, story_stage
from temporalio.testing import WorkflowEnvironment

from workflows import ledger as book
from workflows.contract import ON_DEMAND, LeaseRequest
from workflows.ledger import Ledger

SEED = int(os.environ.get("STORY_SEED", random.SystemRandom().randrange(1_000_000)))
"""Each run plays others; the same seed plays the same ones again."""

COUNT = int(os.environ.get("STORY_COUNT", "200"))
AT_ONCE = 100
"""Stories side by side on one server: more of them share what the clock's skips take."""

FORGETFUL = max(8, COUNT // 50)
"""Stories, of each run, whose worker keeps nothing in memory, and is replaced by another."""


def report(all_played: Iterable[Played]) -> str:
    """Return every broken promise with its whole story; empty if all were kept."""
    return "\n".join(
        f"{sentence}\n{tells(played)}"
        for played in all_played
        for sentence in broken_promises(played)
    )


async def test_promises_are_kept(
    skipping: WorkflowEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ready, never cut short, always released, never worse: in every story of this run."""
    with capsys.disabled():
        print(f"\n  {COUNT} stories, STORY_SEED={SEED}")
    stories = [tell(SEED, number) for number in range(COUNT - FORGETFUL)]
    async with story_stage(skipping) as stage:
        for first in range(0, len(stories), AT_ONCE):
            assert report(await stage.play(stories[first : first + AT_ONCE])) == ""
        assert KEY not in await stage.seen()


async def test_promises_are_kept_by_a_worker_without_memory(skipping: WorkflowEnvironment) -> None:
    """What a worker has in memory is never needed: another takes over in the middle."""
    stories = [tell(SEED, number) for number in range(COUNT - FORGETFUL, COUNT)]
    async with story_stage(skipping, forgetful=True) as stage:
        assert report(await stage.play(stories)) == ""


def forgets_others(ledger: Ledger, request: LeaseRequest, now: object) -> Ledger:
    """Grant a claim and forget all others: the second window cuts the first one short."""
    granted = book_grant(ledger, request, now)  # type: ignore[arg-type]
    return replace(granted, leases=(request.lease,))


def returns_to_on_demand(ledger: Ledger, request: LeaseRequest, now: object) -> Ledger:
    """Grant a claim, and take on-demand for the baseline whatever it was."""
    granted = book_grant(ledger, request, now)  # type: ignore[arg-type]
    return replace(granted, baseline=ON_DEMAND)


book_grant = book.grant


@pytest.mark.parametrize("defect", [forgets_others, returns_to_on_demand])
async def test_a_planted_defect_is_found(
    skipping: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch, defect: object
) -> None:
    """The judge sees a keeper that forgets a lease, or the original capacity."""
    monkeypatch.setattr(book, "grant", defect)
    async with story_stage(skipping) as stage:
        assert report(await stage.play([tell(7, number) for number in range(15)])) != ""


def test_a_story_is_told_again() -> None:
    """The same seed and number make the same story."""
    stories: list[Story] = [tell(3, number) for number in range(50)]
    assert stories == [tell(3, number) for number in range(50)]
    assert any(story.faults for story in stories)
    assert any(story.deeds for story in stories)
    assert any(firing.late for story in stories for firing in story.firings)
