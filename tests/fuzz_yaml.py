"""Fuzz calendars and ``planner.yaml``: ``python tests/fuzz_yaml.py 3600``.

Mutates the examples and the manual's blocks, and takes each as far as a command would: read,
warned about, expanded, compiled. It stops at the first text that raises anything but
problems, or takes more than five seconds or 500 MB, and prints the seed and the text. Not
collected by pytest, which runs the short form of it (tests/test_config_hostile.py).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from mutations import fuzz
from yaml_hostile import TOOLS, answer, seeds

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        raise SystemExit(fuzz(__doc__ or "", seeds(), TOOLS, lambda text: answer(Path(home), text)))
