"""The console script ``planner``: how the process begins and ends.

Imports almost nothing at its head, so that Ctrl-C and a package that shadows ours are
handled from the first moment.
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
"""Stands in the head of our package ``workflows``, to recognize it by."""


def run() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    signal.signal(signal.SIGINT, _interrupted)
    # pydantic's search for plugins among all installed packages takes as long as itself.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    streams = guard_streams()
    try:
        other = shadow_of_workflows()
        if other:
            say(
                f"planner: {other} shadows the planner's own package of that name; run it in an "
                "environment of its own (uv tool install, pipx install, or the container), "
                "without PYTHONPATH"
            )
            code = EXIT_ERROR
        else:
            from planner.cli.commands import exit_code_of

            code = exit_code_of()
    except SystemExit as error:  # raised by a library; ours is `leave`
        code = error.code if isinstance(error.code, int) else EXIT_ERROR
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BaseException:  # a bug: print its traceback, and still end with a code
        import traceback

        traceback.print_exc()
        code = EXIT_ERROR
    leave(code, streams)


def leave(code: int, streams: tuple[Stream, ...] = ()) -> NoReturn:
    """Flush stdout and stderr, and end the process with *code* at once.

    The Temporal SDK may abort the interpreter while it shuts down (temporalio/sdk-python,
    issue 300), which would replace the exit code that a pipeline waits for: so the
    interpreter's own shutdown is left out. Exit handlers do not run.

    Output that could not be written is an error, unless its reader has left.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not flush(streams) and code in (EXIT_DONE, EXIT_CHANGES):
        code = EXIT_ERROR
    os._exit(code)


def shadow_of_workflows() -> str:
    """Return the path of another package ``workflows`` that precedes ours; empty without one.

    The name is a common one. Nothing of the other package is imported.
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
