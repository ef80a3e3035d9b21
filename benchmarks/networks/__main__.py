"""Compares what compnn reads of real architectures with what PyTorch computes.

Each is exported by both exporters of PyTorch, and its taps and its output are compared by value
with the module's own activations: numbers, not where they lie over the picture. It needs
`pip install torch onnxscript timm segmentation-models-pytorch torchvision`; what is missing is left
out, and said.

    python -m benchmarks.networks                # all of them
    python -m benchmarks.networks --short        # four
    python -m benchmarks.networks --files ../shared/data/networks    # files, too: read or refused

Exit status 1: an output that is another, or an error that is not one of compnn's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.paper.text import table
from compnn import OnnxNetwork, Preprocessing
from compnn.errors import CompnnError

# Numbers agree within this part of the largest.
_TOLERANCE = 1e-3
# Taps of one run: all of a large network's do not fit into the memory.
_TAPS_A_RUN = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="four architectures")
    parser.add_argument("--files", type=Path, nargs="+", default=[], help="folders of ONNX files")
    parser.add_argument("--output", type=Path, help="a Markdown file for the table")
    options = parser.parse_args()
    rows = [
        (path.name, *_guarded(path, None, {}))
        for folder in options.files
        for path in sorted(folder.glob("*.onnx"))
    ]
    rows += _architectures(options.short)
    text = table(("network", "activations", "output", "result"), rows)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")
    sys.exit(any(row[3].startswith("WRONG") for row in rows))


def _architectures(short: bool) -> list[tuple[str, str, str, str]]:
    try:
        from benchmarks.networks import architectures
    except ImportError as error:
        print(f"no architectures: {error}", file=sys.stderr)
        return []
    rows = []
    for architecture in architectures.ARCHITECTURES:
        if short and not architecture.short:
            continue
        pixels = architectures.picture(architecture.size)
        image = architectures.as_input(pixels)
        try:
            module = architectures.make(architecture)
        except ImportError as error:
            print(f"{architecture.name} is left out: {error}", file=sys.stderr)
            continue
        truth = architectures.activations(module, image)
        for exporter in architectures.EXPORTERS:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{architecture.name}-{exporter}.onnx"
                try:
                    architectures.export(module, image, path, exporter)
                except Exception as error:  # PyTorch's own; there is nothing to read then
                    reason = str(error).split(".")[0].splitlines()[0]
                    print(f"{path.stem} is left out: PyTorch does not export it: {reason}")
                    continue
                rows.append((path.stem, *_guarded(path, pixels, truth)))
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    return rows


def _guarded(
    path: Path, pixels: npt.NDArray[np.uint8] | None, truth: dict[str, npt.NDArray[np.float32]]
) -> tuple[str, str, str]:
    """Activations, output and result of one file, as the table has them."""
    try:
        return _compared(path, pixels, truth)
    except CompnnError as error:
        return "", "", f"refused: {error}"
    except Exception as error:  # what this program looks for
        return "", "", f"WRONG: {type(error).__name__}: {error}"


def _compared(
    path: Path, pixels: npt.NDArray[np.uint8] | None, truth: dict[str, npt.NDArray[np.float32]]
) -> tuple[str, str, str]:
    network = OnnxNetwork(path, preprocessing=Preprocessing(range=(-1, 1)))
    names = [layer.name for layer in network.taps()]
    if pixels is None:
        size = network.input_size or (64, 96)
        pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    modules = {name: value for name, value in truth.items() if not name.startswith("output")}
    outputs = [value for name, value in truth.items() if name.startswith("output")]
    found = set()
    for first in range(0, len(names), _TAPS_A_RUN):
        taps = network.read(pixels, names[first : first + _TAPS_A_RUN]).taps
        found |= {
            name for name, value in modules.items() if any(_same(value, t) for t in taps.values())
        }
    painted = network.read(pixels, [], output=True).output
    said = "none"
    if painted is not None:
        right = not outputs or any(_same(value, painted) for value in outputs)
        said = "agrees" if right and outputs else "read" if right else "differs"
    absent = sorted(modules.keys() - found)
    result = "read" if not absent else f"no tap has {', '.join(absent)}"
    result = result if said != "differs" else f"WRONG: its output is another; {result}"
    return f"{len(found)} of {len(modules)}" if modules else f"{len(names)} taps", said, result


def _same(truth: npt.NDArray[np.float32], tap: npt.NDArray[np.float32]) -> bool:
    """Whether a tap (D, H, W) holds a module's (1, D, H, W), (1, H, W, D) or tokens (1, T, D)."""
    depth, height, width = tap.shape
    forms = [truth]
    if truth.ndim == 4:
        forms = [truth[0], truth[0].transpose(2, 0, 1)]
    elif truth.ndim == 3 and truth.shape[1] >= height * width:
        # Tokens; other ones may stand before those of the grid.
        forms = [truth[0, -height * width :].T.reshape(-1, height, width), truth]
    limit = _TOLERANCE * float(np.abs(truth).max(initial=1e-6))
    return any(
        form.shape == (depth, height, width) and float(np.abs(form - tap).max()) <= limit
        for form in forms
    )


if __name__ == "__main__":
    main()
