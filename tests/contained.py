"""A process as a container runs it: another user, a file system that can't be written to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

USER = 10001

SCRIPT = r"""
number=0
for path in "${shown[@]}"; do
  mkdir -p "/run/shown/$number"
  mount --bind "$path" "/run/shown/$number"
  number=$((number + 1))
done
for place in "${hidden[@]}"; do mount -t tmpfs -o mode=755 tmpfs "$place"; done
number=0
for path in "${shown[@]}"; do
  mkdir -p "$path"
  mount --bind "/run/shown/$number" "$path"
  mount -o remount,ro,bind "$path"
  number=$((number + 1))
done
for place in "${hidden[@]}" /run /; do
  if [ "$place" = "$scratch" ]; then chmod 1777 "$place"
  else mount -o remount,ro,bind "$place"; fi
done
cd /
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all \
  --inh-caps=-all -- "$@"
"""
"""Run in a mount namespace of its own: everything is read-only, and of the ``hidden`` directories
only what is in ``shown`` is left."""

HIDDEN = frozenset({"/root", "/home", "/tmp"})
SYSTEM = frozenset({"/usr"})
"""What everybody may read anyway."""


def can_contain() -> bool:
    """Tell whether this machine and this user can run a process so."""
    if os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    tried = ["unshare", "--mount", "--propagation", "private", "true"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def contained(
    command: Sequence[str],
    environ: Mapping[str, str],
    shown: Sequence[Path],
    scratch: str = "",
) -> subprocess.Popen[str]:
    """Start *command* as `USER` with nothing but *environ*, able to write to *scratch* only.

    Args:
        command: The program, by its path, and its arguments.
        environ: All of its environment.
        shown: What it may read, at the same paths; nothing else is left of `HIDDEN`, and of the
            directories at the root that these are in.
        scratch: The one of `HIDDEN` that it may write to; it is empty and not anyone else's.
    """
    hidden = sorted(HIDDEN | {f"/{path.parts[1]}" for path in shown} - SYSTEM)
    listed = " ".join(f"'{path}'" for path in shown)
    apart = ["unshare", "--mount", "--propagation", "private"]
    head = f"set -euo pipefail\nmount -t tmpfs tmpfs /run\nuser={USER}\nshown=({listed})\n"
    head += f"scratch='{scratch}'\n"
    head += f"hidden=({' '.join(hidden)})\n"
    return subprocess.Popen(
        [*apart, "bash", "-c", head + SCRIPT, "contained", *command],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
