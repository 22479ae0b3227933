"""A stage of a rehearsal as a process: a scene on stdin, messages on stdout.

Started by `planner.cli.rehearsing.side_by_side`; not a command.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from typing import BinaryIO

import typer

from planner.cli.app import EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED, leave, run_async
from planner.cli.rehearsing.playing import perform
from planner.cli.rehearsing.side_by_side import LENGTH
from planner.errors import ServerError
from planner.rehearse import Outcome, Scene


def main() -> int:
    """Play the scene on stdin, and return the exit code."""
    channel = _own_stdout()
    scene = pickle.load(sys.stdin.buffer)
    try:
        run_async(_play(scene, channel))
    except typer.Exit as error:
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception:  # a bug of ours
        traceback.print_exc()
    return EXIT_ERROR


def _own_stdout() -> BinaryIO:
    """Return stdout for messages alone: whatever else is printed goes to stderr."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return channel


async def _play(scene: Scene, channel: BinaryIO) -> int:
    """Play *scene*, and tell how far it is and what came of it."""
    try:
        _tell(channel, await perform(scene, lambda done: _tell(channel, done)))
    except ServerError as error:
        _tell(channel, str(error))
    return EXIT_DONE


def _tell(channel: BinaryIO, message: int | str | Outcome) -> None:
    """Send a message: its length, then itself."""
    content = pickle.dumps(message)
    channel.write(len(content).to_bytes(LENGTH, "big") + content)
    channel.flush()


if __name__ == "__main__":
    leave(main())
