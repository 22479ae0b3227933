"""Mutated calendars: whatever a file says, it is refused in sentences or compiled."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from mutations import mutated
from yaml_hostile import TOOLS, answer, seeds

COUNT = 60
"""Mutations of each text: seconds here, ``make fuzz`` for an hour."""


@pytest.mark.parametrize("number", range(len(seeds())))
def test_a_mutated_file_is_refused_or_compiled(number: int, tmp_path: Path) -> None:
    """No change of a good file makes a command fail in any way but with problems."""
    source = random.Random(number)
    text = seeds()[number]
    assert answer(tmp_path, text) == "compiled"
    outcomes = {answer(tmp_path, mutated(text, TOOLS, source)) for _ in range(COUNT)}
    assert "refused" in outcomes


def test_mutations_get_far_enough(tmp_path: Path) -> None:
    """Enough of them are still calendars, so that more than the parser is looked at."""
    source = random.Random(7)
    texts = [mutated(text, TOOLS, source) for text in seeds() for _ in range(20)]
    outcomes = [answer(tmp_path, text) for text in texts]
    assert outcomes.count("compiled") > len(outcomes) // 20
