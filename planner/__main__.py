"""``python -m planner`` is ``planner``."""

from planner.cli.main import run

run()
