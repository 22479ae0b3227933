"""The console script ``planner``: how the process begins and ends.

Imports almost nothing at its head, so that Ctrl-C and a package that shadows ours are
dealt with from the first moment on.
"""

from __future__ import annotations

import os
import signal
from importlib.machinery import PathFinder
from types import FrameType
from typing import NoReturn

from planner.cli.output import Stream, flush, guard_streams, say

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_CHANGES = 2
EXIT_INTERRUPTED = 130

OURS = "calendar-boost-planner"
"""What the head of our package ``workflows`` names it by."""


def run() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    signal.signal(signal.SIGINT, _interrupted)
    streams = guard_streams()
    try:
        code = _exit_code()
    except SystemExit as error:  # a library's own way out; ours is `leave`
        code = error.code if isinstance(error.code, int) else EXIT_ERROR
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BaseException:  # a bug of ours: show it whole, and still end with a code
        import traceback

        traceback.print_exc()
        code = EXIT_ERROR
    leave(code, streams)


def leave(code: int, streams: tuple[Stream, ...] = ()) -> NoReturn:
    """Flush what was printed and end the process with *code*, at once.

    The Temporal SDK may abort the interpreter while it shuts down (temporalio/sdk-python,
    issue 300), which would replace the exit code that a pipeline waits for: so the
    interpreter's own shutdown is left out. Exit handlers do not run.

    Output that could not be written is an error, unless its reader had enough of it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not flush(streams) and code in (EXIT_DONE, EXIT_CHANGES):
        code = EXIT_ERROR
    os._exit(code)


def _exit_code() -> int:
    """Return the exit code of the command line."""
    other = shadow_of_workflows()
    if other:
        say(
            f"planner: {other} shadows the planner's own package of that name; run it in an "
            "environment of its own (uv tool install, pipx install, or the container), "
            "without PYTHONPATH"
        )
        return EXIT_ERROR
    from planner.cli.commands import exit_code_of

    return exit_code_of()


def shadow_of_workflows() -> str:
    """Return the path of the package ``workflows`` that stands before ours; empty if none does.

    The name is a common one. Nothing of that package is imported to find out.
    """
    spec = PathFinder.find_spec("workflows")
    if spec is None:
        return "a missing package named workflows"
    if spec.origin is None or not spec.has_location:  # a folder without an __init__
        return next(iter(spec.submodule_search_locations or ()), "workflows")
    with open(spec.origin, encoding="utf-8", errors="replace") as source:
        return "" if OURS in source.read(1000) else spec.origin


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    """Leave at once: before a command has begun there is nothing to close."""
    os._exit(EXIT_INTERRUPTED)


__all__ = ["leave", "run", "shadow_of_workflows"]
