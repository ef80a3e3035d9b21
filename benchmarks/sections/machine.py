"""The machine that the numbers were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from compnn import _core


def describe() -> str:
    """CPU, threads and instruction set in use."""
    return f"{_cpu()}, {_threads()} threads, {_core.simd_level()} kernels"


def _threads() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
