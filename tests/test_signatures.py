"""Signatures of followed commits: by GnuPG keys, and no other kind than the one that was given."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_remote import Remote

from planner.errors import Refused
from planner.temporal.follow import Repository

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="no gpg")

WHO = "alice@example.com"


@pytest.fixture
def keys() -> Iterator[Path]:
    """A GnuPG home with a new key, under a path short enough for the sockets of its agent."""
    home = Path(tempfile.mkdtemp(prefix="gpg"))
    options = ["--batch", "--passphrase", "", "--quick-generate-key", WHO, "ed25519", "sign"]
    try:
        subprocess.run(["gpg", "--homedir", str(home), *options], check=True, capture_output=True)
        yield home
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
        shutil.rmtree(home, ignore_errors=True)


def test_a_commit_signed_by_a_key_of_the_directory(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken; unsigned, or where SSH's signers were given, it isn't, whatever the machine has.

    Nothing is written beside the keys, which may be mounted for reading.
    """
    (tmp_path / "home").mkdir()
    (tmp_path / "store").mkdir()
    remote = Remote(tmp_path / "home")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    remote.environ["GNUPGHOME"] = str(keys)
    unsigned = remote.commit({"planner.yaml": "project: pay\n"})
    sign = ("-c", f"user.signingkey={WHO}", "commit", "--quiet", "--allow-empty", "-S", "-m", "a")
    remote.git(*sign)
    signed = remote.git("rev-parse", "HEAD")
    remote.git("push", "--quiet", str(remote.bare), "HEAD:main")
    before = sorted(keys.iterdir())
    signers = tmp_path / "allowed_signers"
    signers.write_text(f"{WHO} ssh-ed25519 AAAA\n", encoding="utf-8")
    nobody = tmp_path / "nobody"
    nobody.mkdir()

    async def verified(by: Path, commit: str) -> str:
        repository = Repository(str(remote.bare), "main", tmp_path / "store", by)
        assert await repository.fetch() == signed
        await repository.is_ancestor(unsigned, signed)
        try:
            await repository.verify(commit)
        except Refused as error:
            return str(error)
        return ""

    assert asyncio.run(verified(keys, signed)) == ""
    assert "it bears no signature" in asyncio.run(verified(keys, unsigned))
    monkeypatch.setenv("GNUPGHOME", str(keys))  # the machine's own keys don't count
    assert "is not accepted" in asyncio.run(verified(nobody, signed))
    assert "is not accepted" in asyncio.run(verified(signers, signed))
    assert sorted(keys.iterdir()) == before
