"""Compares what compnn reads of networks with what ONNX Runtime and PyTorch compute.

    python -m benchmarks.networks --short     # four architectures
    python -m benchmarks.networks --shared ../shared --document docs/networks.md    # everything

The second takes about half an hour on 2 cores. Architectures need `pip install '.[torch]'
torchvision timm segmentation-models-pytorch`; what is missing is left out, and said. Exit status 1:
something is wrong: other numbers, a map that perturbing contradicts, an error that is not one of
compnn's or that names no remedy, a refusal of what can be read; or nothing was tried.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.networks import document, files
from benchmarks.networks.reading import Row, Rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="four architectures")
    parser.add_argument("--shared", type=Path, help="folder of data/networks and models to read")
    parser.add_argument("--document", type=Path, help="a Markdown file to write")
    parser.add_argument(
        "--kept", type=Path, help="a file that keeps what is found, to resume what was interrupted"
    )
    options = parser.parse_args()
    kept = Rows(options.kept)
    tiny, models = [], []
    if options.shared is not None:
        tiny = files.rows(options.shared / "data" / "networks", kept)
        models = files.rows(options.shared / "models", kept)
    found = document.Found(tiny, models, _architectures(options.short, kept))
    if options.document:
        options.document.write_text(document.text(found), encoding="utf-8")
    print(document.summary(found.rows))
    sys.exit(any(row.is_wrong for row in found.rows) or not found.rows)


def _architectures(short: bool, kept: Rows) -> list[Row]:
    try:
        from benchmarks.networks import zoo
    except ImportError as error:
        print(f"no architectures: {error}", file=sys.stderr)
        return []
    return zoo.rows(short, kept)


if __name__ == "__main__":
    main()
