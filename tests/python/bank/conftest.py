"""Fixtures of the tests of banks."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk is most of the time of these tests, and changes nothing that they see.

    `test_everything_is_on_the_disk_before_it_is_published` is about the order of it.
    """
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
