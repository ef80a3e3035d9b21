"""Whether a requirement is met."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """A requirement, what was measured, and whether it is met (None: there is no limit)."""

    requirement: str
    measured: str
    met: bool | None
