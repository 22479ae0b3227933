"""A key that was refused, and is another one now."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflows.activities.capacity import RefusedKeys
from workflows.cloud import KeyDirectory, KeyFile, OneKey, Unauthorized


def refuse(watch: RefusedKeys, namespace: str) -> None:
    """Have the Cloud refuse the key of *namespace*."""
    with pytest.raises(Unauthorized), watch.watching(namespace):
        raise Unauthorized("no")


def test_a_file_that_changes(tmp_path: Path) -> None:
    """Its namespaces are named once; what was accepted since, or is the same, is not."""
    file = tmp_path / "key"
    file.write_text("old", encoding="utf-8")
    watch = RefusedKeys(KeyFile(file))
    for name in ("n.a", "n.b"):
        refuse(watch, name)
    with watch.watching("n.b"):
        pass
    assert watch.take_changed() == []
    file.write_text(" old\n", encoding="utf-8")
    assert watch.take_changed() == []
    file.write_text("new", encoding="utf-8")
    assert watch.take_changed() == ["n.a"]
    assert watch.take_changed() == []


def test_a_file_that_comes(tmp_path: Path) -> None:
    """A missing key counts as refused; each namespace has a file of its own."""
    watch = RefusedKeys(KeyDirectory(tmp_path))
    for name in ("n.a", "n.b"):
        refuse(watch, name)
    (tmp_path / "n.b").write_text("new", encoding="utf-8")
    assert watch.take_changed() == ["n.b"]


def test_a_key_that_is_replaced_while_it_is_refused(tmp_path: Path) -> None:
    """What was sent is what was refused."""
    file = tmp_path / "key"
    file.write_text("old", encoding="utf-8")
    watch = RefusedKeys(KeyFile(file))

    def send() -> None:
        with watch.watching("n.a"):
            file.write_text("new", encoding="utf-8")
            raise Unauthorized("no")

    with pytest.raises(Unauthorized):
        send()
    assert watch.take_changed() == ["n.a"]


def test_a_key_that_never_changes() -> None:
    """A key of the environment stays what it is, and no fingerprint shows it."""
    watch = RefusedKeys(OneKey("a-secret"))
    refuse(watch, "n.a")
    assert watch.take_changed() == []
    assert "a-secret" not in repr(watch)
