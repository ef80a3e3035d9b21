"""Building a bank of the Facades training pairs beside running ONNX Runtime alone on them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.common import DESCRIPTOR, FACADES_LAYERS, facades, facades_network
from benchmarks.speed.markdown import megabytes, seconds, table
from benchmarks.speed.verdict import Verdict
from benchmarks.speed.worker import Answer, Worker
from compnn import build

_MOST_RATIO = 1.15


class Build:
    """The two ways over the first images; each makes ONNX Runtime's session itself."""

    def __init__(self, folder: Path, images: int | None, threads: int) -> None:
        self._path = folder / "built.bank"
        pairs = facades("train")
        self._pairs = pairs.subset(pairs.names[:images])
        self._network = facades_network(FACADES_LAYERS, threads)
        self._inputs: list[npt.NDArray[np.uint8]] = []

    def read(self) -> int:
        """Read the images for `alone`; how many there are."""
        self._inputs = [pair.input for pair in self._pairs]
        return len(self._inputs)

    def alone(self) -> None:
        """ONNX Runtime for the same tensors, one image after the other on all threads."""
        for image in self._inputs:
            self._network.read(image, [*FACADES_LAYERS, DESCRIPTOR])

    def bank(self) -> None:
        """The bank, from the files of the images to its own."""
        shutil.rmtree(self._path, ignore_errors=True)
        build(self._path, self._network, self._pairs).close()


@dataclass(frozen=True)
class Built:
    """Seconds of ONNX Runtime alone, and seconds and memory of the build, of some images."""

    images: int
    alone: float
    bank: float
    memory: int


def measure(folder: Path, threads: int, repeat: int, quick: bool) -> Built:
    """The best of each, by turns, each time in a process of its own."""
    alone: list[Answer] = []
    bank: list[Answer] = []
    images = 0
    for _ in range(repeat):
        with Worker(Build, folder, 8 if quick else None, threads, threads=threads) as worker:
            images = worker.call("read").value
            alone.append(worker.call("alone"))
        with Worker(Build, folder, 8 if quick else None, threads, threads=threads) as worker:
            bank.append(worker.call("bank"))
    shutil.rmtree(folder / "built.bank")
    return Built(
        images,
        min(answer.seconds for answer in alone),
        min(answer.seconds for answer in bank),
        max(answer.memory for answer in bank),
    )


def verdicts(built: Built | None) -> list[Verdict]:
    """Against ONNX Runtime alone."""
    if built is None:
        return []
    ratio = built.bank / built.alone
    return [
        Verdict(
            f"building a bank takes at most {_MOST_RATIO} times as long as ONNX Runtime alone",
            f"{ratio:.2f} times ({built.bank:.1f} s, {built.alone:.1f} s)",
            ratio <= _MOST_RATIO,
        )
    ]


def section(built: Built) -> str:
    """The section of the document."""
    row = (
        str(built.images),
        seconds(built.alone),
        seconds(built.bank),
        f"{built.bank / built.alone:.2f}",
        megabytes(built.memory),
    )
    head = ("images", "ONNX Runtime alone, s", "build, s", "ratio", "memory of the build, MB")
    return f"""## Building a bank

The Facades training pairs through the photo-to-labels Pix2Pix: layers {", ".join(FACADES_LAYERS)}
and descriptor {DESCRIPTOR}, in float16, from the image files to the finished bank. ONNX Runtime
alone computes the same tensors from images in memory, one after the other on all threads. Both make
their session, and take turns.

{table(head, [row])}"""
