"""Journals: what they keep, damage, locks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.errors import BankError, EvaluationError
from compnn.journal import Journal, differing, digest_content, read_entries, read_header

JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
ENTRIES = st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=3), max_size=6)
DIGESTS = {"network": "0123", "images": "4567"}


@contextmanager
def journal(path: Path, work: str = "evaluation") -> Iterator[Journal]:
    opened = Journal(path, work, EvaluationError)
    try:
        yield opened
    finally:
        opened.close()


@settings(deadline=None, max_examples=60)
@given(ENTRIES, st.data())
def test_what_is_written_is_read_up_to_where_it_was_cut(
    tmp_path_factory: pytest.TempPathFactory, entries: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Cut anywhere, as by a power failure: whole lines count, and it goes on after them."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with journal(path) as opened:
        assert opened.header() is None
        opened.start(DIGESTS)
        for index, entry in enumerate(entries):
            opened.append(entry, sync=index % 2 == 0)
        assert opened.header() == DIGESTS
        assert list(opened.entries()) == entries
    lines = path.read_bytes().splitlines(keepends=True)
    size = data.draw(st.integers(0, path.stat().st_size))
    os.truncate(path, size)
    whole = 0
    while whole < len(lines) and sum(map(len, lines[: whole + 1])) <= size:
        whole += 1
    with journal(path) as opened:
        assert opened.header() == (DIGESTS if whole else None)
        if whole:
            left = list(opened.entries())
            assert left == entries[: whole - 1]
            opened.cut(len(left))
            opened.append({"more": 1})
            assert list(opened.entries()) == [*left, {"more": 1}]
            opened.cut(0)
            assert list(opened.entries()) == []
            assert opened.header() == DIGESTS
        opened.clear()
        assert opened.header() is None


@pytest.mark.parametrize("damage", [b"{\n", b"nonsense\n", b"\xff\xfe\n", b"\0" * 9 + b"\n"])
def test_entries_after_a_damaged_line_do_not_count(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    with journal(path) as opened:
        opened.start(DIGESTS)
        for index in range(4):
            opened.append({"index": index})
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = damage
    path.write_bytes(b"".join(lines))
    with journal(path) as opened:
        assert list(opened.entries()) == [{"index": 0}, {"index": 1}]


@pytest.mark.parametrize(
    "text",
    [
        b"precious\n",
        b"{}\n",
        b"[]\n",
        b'{"format":"compnn-build-journal","digests":{}}\n',
        b'{"format":"compnn-evaluation-journal","digests":[]}\n',
        b'{"format":"compnn-evaluation-journal","digests":{"a":1}}\n',
        b'{"format":"compnn-evaluation-journal"}\n',
        b"p",
        b'{"format":"compnn-\nmore',
    ],
)
def test_another_file_is_refused_and_kept(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(text)
    with (
        journal(path) as opened,
        pytest.raises(EvaluationError, match=r"is not the journal of any evaluation.*--restart"),
    ):
        opened.header()
    assert path.read_bytes() == text
    with pytest.raises(EvaluationError):
        read_header(path, "evaluation", EvaluationError)


def test_reading_needs_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with journal(path) as opened:
        opened.start(DIGESTS)
        opened.append({"a": 1})
        with pytest.raises(EvaluationError, match=r"another evaluation is writing into .* Wait"):
            Journal(path, "evaluation", EvaluationError)
        with pytest.raises(BankError, match="another build is writing into"):
            Journal(path, "build", BankError)
        assert read_header(path, "evaluation", EvaluationError) == DIGESTS
        assert list(read_entries(path)) == [{"a": 1}]
    with journal(path) as opened:
        assert opened.header() == DIGESTS


def test_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for place, message in (
        (tmp_path / "fifo", "it is not a regular file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "no" / "folder", "No such file"),
    ):
        with pytest.raises(OSError, match=message):
            Journal(place, "evaluation", EvaluationError)


def test_digests_tell_what_differs() -> None:
    one = digest_content({"a": [1, "x\udce9"], "b": {"k": 1, "l": 2}, "c": None})
    two = digest_content({"a": [1, "x"], "b": {"l": 2, "k": 1}, "d": None})
    assert differing(one, two) == ["a", "c", "d"]
    assert differing(one, dict(one)) == []
    assert all(len(digest) == 16 for digest in one.values())
