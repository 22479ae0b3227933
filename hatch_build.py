"""What the build adds to the package's metadata: the README as an index shows it, and addresses.

The repository has no address of its own written down: whoever builds a release says where
it is, in the variable `ADDRESS_VARIABLE` (the release workflow takes it from the run that
it is in). With it, the README's links lead there; without it, they become plain words,
since an index can't follow a relative link.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ADDRESS_VARIABLE = "PLANNER_REPOSITORY_URL"

LINK = re.compile(r"(!?)\[((?:[^\]\[]|\[[^\]]*\])*)\]\((?!https?:|#)([^)\s]+)\)")
"""A Markdown link or picture whose target is a path of the repository."""


def index_readme(text: str, address: str, version: str) -> str:
    """Return the README *text* with links that lead somewhere from a package index.

    Args:
        text: The README, its links relative to the repository's root.
        address: Where the repository is, ``https://…``; empty if that isn't known.
        version: The release, whose tag ``v<version>`` the links name.
    """

    def absolute(link: re.Match[str]) -> str:
        picture, words, path = link.groups()
        if not address:
            return "" if picture else f"{words} (`{path.partition('#')[0]}`)"
        kind = "raw" if picture else "tree" if path.endswith("/") else "blob"
        return f"{picture}[{words}]({address}/{kind}/v{version}/{path})"

    return LINK.sub(absolute, text)


def project_urls(address: str) -> dict[str, str]:
    """Return the links that an index shows beside the README; none without an *address*."""
    if not address:
        return {}
    return {
        "Homepage": address,
        "Documentation": f"{address}/tree/main/docs",
        "Changelog": f"{address}/blob/main/CHANGELOG.md",
        "Issues": f"{address}/issues",
    }


class AddressHook(MetadataHookInterface):
    """Fills in ``readme`` and ``urls``, which pyproject.toml declares as dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set both in *metadata*, by the address that the environment names."""
        address = os.environ.get(ADDRESS_VARIABLE, "").rstrip("/")
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        readme = index_readme(text, address, metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
        metadata["urls"] = project_urls(address)
