"""The machine that the numbers were measured on."""

from __future__ import annotations

from benchmarks.common import cores, processor
from compnn import _core


def describe() -> str:
    """Processor, threads and instruction set in use."""
    return f"{processor()}, {cores()} threads, {_core.simd_level()} kernels"
