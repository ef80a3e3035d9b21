"""What the benchmarks share: the real data and the reference case."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from compnn import Labels, OnnxNetwork, SideBySide

FACADES_LAYERS = ["encoder_1", "encoder_3", "decoder_4", "decoder_2"]
DESCRIPTOR = "decoder_7"


def shared() -> Path:
    """Folder of the real data and networks: `COMPNN_SHARED`, or `../shared` beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("COMPNN_SHARED", default))
    if not (folder / "models").is_dir():
        sys.exit(f"the benchmarks need the real data and networks; {folder} has none")
    return folder


def facades_network(layers: list[str] | None, num_threads: int = -1) -> OnnxNetwork:
    """The Pix2Pix network that paints label maps from photos of facades."""
    path = shared() / "models/pix2pix-facades-photo-to-labels.onnx"
    return OnnxNetwork(path, layers, DESCRIPTOR, num_threads=num_threads)


def facades(split: str) -> SideBySide:
    """Pairs of photo and label map."""
    return SideBySide(shared() / "data/facades" / split, "left", target_kind=Labels("facades"))


def processor() -> str:
    """Name of the processor."""
    information = Path("/proc/cpuinfo")
    for line in information.read_text().splitlines() if information.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
