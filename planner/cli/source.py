"""Where a directory of calendars comes from: its `source:`, its Git remote, or its path.

Git's files are read, not its program run: a container in CI often has no Git, or one that
refuses a checkout of another user.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.model import Project
    from planner.plan.model import Source

_SECTION = re.compile(r'^\s*\[\s*remote\s+"(?P<name>[^"]+)"\s*\]', re.IGNORECASE)
_OTHER_SECTION = re.compile(r"^\s*\[")
_URL = re.compile(r'^\s*url\s*=\s*"?(?P<url>[^"#;\n]+?)"?\s*$', re.IGNORECASE)
_SCP = re.compile(r"^(?:[^@/\s]+@)?(?P<host>[A-Za-z0-9.-]{2,}):(?P<path>(?!//).+)$")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://(?:[^@/]*@)?(?P<host>[^/:]+)(?::\d+)?/(?P<path>.+)$")


def source_of(project: Project, directory: Path) -> Source:
    """Return where the calendars of *project* in *directory* come from."""
    from planner.plan.model import Source

    if project.source:
        return Source(project.source)
    here = directory.resolve()
    for root in (here, *here.parents):
        if (root / ".git").exists():
            remote = _remote_of(root / ".git")
            if not remote:
                break
            path = here.relative_to(root).as_posix()
            return Source(remote if path == "." else f"{remote}:{path}")
    return Source(here.as_posix(), is_certain=False)


def _remote_of(git: Path) -> str:
    """Return the remote of the repository with the directory or link *git*; empty without."""
    try:
        if git.is_file():  # a work tree or a submodule: a line that says where the directory is
            git = git.parent / git.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
        common = git / "commondir"
        if common.is_file():
            git = git / common.read_text(encoding="utf-8").strip()
        text = (git / "config").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    urls = _urls(text)
    url = urls.get("origin") or next(iter(urls.values()), "")
    return repository(url)


def _urls(config: str) -> dict[str, str]:
    """Return the URL of each remote in the text of a repository's configuration."""
    found: dict[str, str] = {}
    name = ""
    for line in config.splitlines():
        if section := _SECTION.match(line):
            name = section["name"]
        elif _OTHER_SECTION.match(line):
            name = ""
        elif name and (url := _URL.match(line)):
            found.setdefault(name, url["url"].strip())
    return found


def repository(url: str) -> str:
    """Return the repository that a remote's *url* names: the same by SSH and by HTTPS.

    Without user, password, port and ``.git``, so that no token is shown or recorded.

    >>> repository("https://x-access-token:s3cret@github.com/acme/capacity.git")
    'github.com/acme/capacity'
    >>> repository("git@github.com:acme/capacity.git")
    'github.com/acme/capacity'
    """
    match = _SCHEME.match(url) or _SCP.match(url)
    name = f"{match['host'].lower()}/{match['path'].lstrip('/')}" if match else url
    return name.rstrip("/").removesuffix(".git")
