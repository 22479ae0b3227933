"""The console script ``planner``: its commands, how the process begins and how it ends.

Imports almost nothing at its head, so that Ctrl-C and a package that shadows ours are
handled from the first moment.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from planner.cli.output import Stream, flush, guard_streams, say

if TYPE_CHECKING:
    from typer import Typer
    from typer.models import CommandInfo

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_CHANGES = 2
EXIT_INTERRUPTED = 130

COMMANDS = {
    "demo": "dev",
    "dev": "dev",
    "init": "validate",
    "fetch": "validate",
    "validate": "validate",
    "schema": "validate",
    "preview": "preview",
    "explain": "preview",
    "rehearse": "preview",
    "plan": "plan",
    "sync": "sync",
    "rollout": "sync",
    "follow": "worker",
    "pause": "boost",
    "resume": "boost",
    "skip": "boost",
    "doctor": "doctor",
    "worker": "worker",
    "notify": "doctor",
    "status": "doctor",
    "history": "report",
    "report": "report",
    "backtest": "report",
    "suggest": "report",
    "boost": "boost",
    "release": "boost",
    "simulator": "dev",
    "uninstall": "sync",
}
"""The module of each command, in the order of the help: by when a new user needs them."""

GARBAGE = 50_000
"""Objects made and not freed until the garbage collector looks at them, in place of 700.

Hundreds of thousands of values are made here that live until the command's end, and almost
none are in cycles: looking at them again and again took an eighth of a plan's time.
"""

OURS = "calendar-boost-planner"
"""Stands in the head of our package ``workflows``, to recognize it by."""


def run() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    signal.signal(signal.SIGINT, _interrupted)
    gc.set_threshold(GARBAGE)
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


def exit_code_of(arguments: list[str] | None = None) -> int:
    """Run the command line *arguments*, print its errors, and return its exit code."""
    import typer

    from planner.cli.app import EXIT_USAGE, HELP
    from planner.errors import InputError, PlannerError

    given = sys.argv[1:] if arguments is None else arguments
    try:
        first = given[0] if given else ""
        found = _help_page() if first in HELP else commands(first)
        done = found(arguments, standalone_mode=False, prog_name="planner")
        return int(done or EXIT_DONE)
    except InputError as error:
        say(str(error))
        count = len(error.problems)
        say(f"{count} problem{'s' if count != 1 else ''}; nothing was changed.")
        return error.exit_code
    except PlannerError as error:
        say(f"planner: {error}")
        return error.exit_code
    except typer.Exit as error:
        return error.exit_code
    except typer.TyperException as error:
        show = getattr(error, "show", None)
        if show:  # an error of the command line, which prints itself
            show(file=sys.stderr)
        else:
            say(f"planner: {error.format_message()}")
        return EXIT_USAGE
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED


def commands(name: str = "") -> Typer:
    """Return the application with every command, in the order of the help.

    Importing a command's module registers it: that of the command *name* alone, if there is one.
    These modules import slow packages (temporalio, holidays, httpx) inside their functions, so
    that ``planner --help`` stays fast.
    """
    from planner.cli.app import app

    for module in [COMMANDS[name]] if name in COMMANDS else dict.fromkeys(COMMANDS.values()):
        import_module(f"planner.cli.{module}")
    order = tuple(COMMANDS)
    app.registered_commands.sort(key=lambda command: order.index(_name(command)))
    return app


def _name(command: CommandInfo) -> str:
    return command.name or str(getattr(command.callback, "__name__", ""))


def _help_page() -> Typer:
    """Return the application with all commands but without their options.

    Its help only lists the commands; reading their options would take a third longer.
    """
    from copy import copy

    def named(command: CommandInfo) -> CommandInfo:
        bare = copy(command)
        bare.name = _name(command)
        bare.help = command.help or getattr(command.callback, "__doc__", "")
        bare.callback = lambda: None
        return bare

    page = copy(commands())
    page.registered_commands = [named(command) for command in page.registered_commands]
    return page


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


__all__ = ["commands", "exit_code_of", "leave", "run", "shadow_of_workflows"]
