"""Building a bank of the Facades training pairs beside running ONNX Runtime alone on them.

Layers encoder_1, encoder_3, decoder_4, decoder_2, descriptor decoder_7. The two take turns on
parts of the data, so that both see the same noise; each runs in a process of its own, and prepares
ONNX Runtime's session itself. ONNX Runtime alone takes one image after the other on all threads.
The peak memory of the build is printed too.

    python benchmarks/build_vs_onnxruntime.py
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

from common import DESCRIPTOR, FACADES_LAYERS, facades, facades_model

from compnn import Bank, SideBySide


def build(dataset: SideBySide, folder: str) -> tuple[float, float]:
    """Seconds and peak memory in MB of a build."""
    model = facades_model(FACADES_LAYERS)
    start = time.perf_counter()
    Bank.build(Path(folder) / "facades.bank", model, dataset)
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_alone(dataset: SideBySide) -> float:
    """Seconds that ONNX Runtime takes for the same tensors, images already read."""
    model = facades_model(FACADES_LAYERS)
    taps = [*FACADES_LAYERS, DESCRIPTOR]
    inputs = [pair.input[None] for pair in dataset]
    start = time.perf_counter()
    for image in inputs:
        model.run(image, taps, output=False)
    return time.perf_counter() - start


def main() -> None:
    """Print seconds, their ratio and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--parts", type=int, default=4, help="1 builds one bank of all images")
    options = parser.parse_args()
    dataset = facades("train")
    names = dataset.names[: options.images]
    parts = [dataset.subset(names[part :: options.parts]) for part in range(options.parts)]

    spawn = multiprocessing.get_context("spawn")
    alone = built = peak = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(parts):
            with spawn.Pool(1) as pool:
                alone += pool.apply(run_alone, (part,))
            with spawn.Pool(1) as pool:
                seconds, memory = pool.apply(build, (part, f"{folder}/{number}"))
            built, peak = built + seconds, max(peak, memory)
    print("| images | ONNX Runtime alone, s | build, s | ratio | peak memory of the build, MB |")
    print("|---|---|---|---|---|")
    print(f"| {len(names)} | {alone:.1f} | {built:.1f} | {built / alone:.2f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
