"""Keys: where they come from, and that they never show."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflows.cloud import (
    KeyDirectory,
    KeyFile,
    OneKey,
    PermanentError,
    Unauthorized,
    keys_from,
)

SECRET = "tmprl-secret-0123456789abcdef"


def test_one_key_serves_every_namespace() -> None:
    """A key given as a value counts for any namespace, without blanks around it."""
    keys = keys_from({"TEMPORAL_CLOUD_API_KEY": f" {SECRET}\n"})
    assert [keys.key("a.b"), keys.key("c.d")] == [SECRET, SECRET]


def test_a_file_is_read_again(tmp_path: Path) -> None:
    """A key rotated in its file counts from the next use on."""
    path = tmp_path / "key"
    path.write_text("first\n")
    keys = keys_from({"TEMPORAL_CLOUD_API_KEY_FILE": str(path)})
    before = keys.key("a.b")
    path.write_text("second\n")
    assert [before, keys.key("a.b")] == ["first", "second"]


def test_a_directory_holds_a_key_per_namespace(tmp_path: Path) -> None:
    """Each namespace gets the key in the file of its name, and no other."""
    (tmp_path / "a.b").write_text("key-a")
    (tmp_path / "c.d").write_text("key-c")
    keys = keys_from({"TEMPORAL_CLOUD_API_KEY_DIR": str(tmp_path)})
    assert [keys.key("a.b"), keys.key("c.d")] == ["key-a", "key-c"]


def test_a_byte_order_mark_is_no_part_of_a_key(tmp_path: Path) -> None:
    """A file saved with a byte order mark still holds its key."""
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbf" + SECRET.encode())
    assert KeyFile(tmp_path / "key").key("a.b") == SECRET


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "..", ".", "", "a/b"])
def test_no_namespace_reaches_out_of_the_directory(tmp_path: Path, name: str) -> None:
    """A name that is a path names no key, even where the file exists."""
    inside = tmp_path / "keys"
    (inside / "a").mkdir(parents=True)
    (inside / "a" / "b").write_text(SECRET)
    (tmp_path / "outside").write_text(SECRET)
    with pytest.raises(Unauthorized, match="can't name a key's file"):
        KeyDirectory(inside).key(name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "No such file", id="no file"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \n\t", "is empty", id="blank"),
        pytest.param(b"two words", "holds blanks", id="a blank inside"),
        pytest.param(b"line\r\nX-Evil: 1", "holds blanks, line breaks", id="a header smuggled in"),
        pytest.param("schlüssel".encode(), "signs that no key has", id="not ASCII"),
        pytest.param(b"\xff\xfe\x00binary", "signs that no key has", id="binary"),
        pytest.param(b"x" * 20_000, "longer than any key", id="a wrong, long file"),
    ],
)
def test_a_file_without_a_key(tmp_path: Path, content: bytes | None, words: str) -> None:
    """What can't be sent is refused for now, by file and namespace, without being shown."""
    path = tmp_path / "a.b"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unauthorized, match=words) as caught:
        KeyDirectory(tmp_path).key("a.b")
    text = str(caught.value)
    assert str(path) in text
    assert "a.b" in text
    assert not content or not content.strip() or content.decode(errors="replace") not in text


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        pytest.param({}, "no Cloud API key: set TEMPORAL_CLOUD_API_KEY", id="none"),
        pytest.param({"TEMPORAL_CLOUD_API_KEY": " "}, "no Cloud API key", id="blank"),
        pytest.param(
            {"TEMPORAL_CLOUD_API_KEY": SECRET, "TEMPORAL_CLOUD_API_KEY_DIR": "/keys"},
            "TEMPORAL_CLOUD_API_KEY and TEMPORAL_CLOUD_API_KEY_DIR are both set",
            id="two",
        ),
    ],
)
def test_the_environment_must_name_one_source(environ: dict[str, str], words: str) -> None:
    """None and several are refused by the variables' names, without their values."""
    with pytest.raises(PermanentError, match=words) as caught:
        keys_from(environ)
    assert SECRET not in str(caught.value)


def test_a_key_is_not_in_its_repr() -> None:
    """Printing a key source doesn't print the key."""
    assert SECRET not in repr(OneKey(SECRET))
