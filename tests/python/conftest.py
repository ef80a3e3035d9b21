"""Fixtures shared by the Python tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No test depends on how fast the machine is.
settings.register_profile("compnn", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("compnn")

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data and networks (`COMPNN_SHARED`, or `../shared` beside the checkout)."""
    folder = Path(os.environ.get("COMPNN_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "models").is_dir():
        pytest.skip(f"real data and networks are absent: {folder} (set COMPNN_SHARED)")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills",
        type=int,
        default=10,
        help="how often each kind of writer of a bank is killed",
    )
    parser.addoption(
        "--long", action="store_true", help="run tests of many processes for thousands of rounds"
    )


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    """How often each kind of writer is killed (`--kills N`; 1000: at every step)."""
    return int(request.config.getoption("--kills"))
