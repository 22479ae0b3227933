"""A process that rehearses one part: the part on stdin, messages on stdout.

Started by `planner.rehearsal.run`; not a command.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import traceback
from contextlib import suppress
from typing import BinaryIO

from planner.errors import ServerError
from planner.rehearsal.plan import Part, RehearsalResult
from planner.rehearsal.run import LENGTH_BYTES, run_part


def main() -> int:
    """Run the part on stdin; return 0 if its result or an error's text was sent."""
    channel = _message_channel()
    part = pickle.load(sys.stdin.buffer)
    try:
        asyncio.run(_run(part, channel))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 1
    except Exception:  # a bug of ours
        traceback.print_exc()
        return 1
    return 0


def _message_channel() -> BinaryIO:
    """Return stdout for messages alone; anything else that is printed goes to stderr."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return channel


async def _run(part: Part, channel: BinaryIO) -> None:
    """Run *part*; send its progress, then its result or an error's text.

    SIGTERM cancels it, so that the server it has started is stopped.
    """
    task = asyncio.current_task()
    assert task
    with suppress(NotImplementedError):  # Windows has no such signal
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        _send(channel, await run_part(part, lambda done: _send(channel, done)))
    except ServerError as error:
        _send(channel, str(error))


def _send(channel: BinaryIO, message: int | str | RehearsalResult) -> None:
    """Send a message after its length."""
    content = pickle.dumps(message)
    channel.write(len(content).to_bytes(LENGTH_BYTES, "big") + content)
    channel.flush()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # the SDK may abort the interpreter while it shuts down
