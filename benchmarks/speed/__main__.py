"""The searches beside FAISS, hnswlib, usearch, PyTorch and NumPy; writes docs/benchmarks.md.

    python -m benchmarks.speed --threads 2 --bank facades-photo-to-labels.bank

The bank holds decoder_2 and the descriptor decoder_7 of the photo-to-labels Pix2Pix for the
Facades training pairs, and is built if it is missing; so is that of all layers, which the section
"choice" needs.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
from pathlib import Path

from benchmarks.speed import (
    building,
    choice,
    document,
    end_to_end,
    formats,
    machine,
    plots,
    sections,
)
from benchmarks.speed.case import IMAGES, LAYER, Reference, open_explainer
from benchmarks.speed.results import Results
from compnn.files import write_file

SECTIONS = (
    "engines",
    "images",
    "channels",
    "threads",
    "roofline",
    "dtypes",
    "build",
    "choice",
    "reconstruct",
)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3, help="the fastest of these counts")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--engines", nargs="+", metavar="WORD", help="only those with it in a name")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try it; give --output")
    parser.add_argument("--bank", type=Path, default=Path("benchmark-facades.bank"))
    parser.add_argument("--layers-bank", type=Path, default=Path("benchmark-layers.bank"))
    parser.add_argument("--output", type=Path, help="folder of the document [docs]")
    chosen = parser.parse_args()
    if chosen.output is None:
        if chosen.quick:
            parser.error("--quick needs --output, so that it does not replace the real document")
        chosen.output = Path(__file__).resolve().parents[2] / "docs"
    return chosen


def command(chosen: argparse.Namespace) -> str:
    """The command of this run, without the folders of this machine."""
    words = ["python", "-m", "benchmarks.speed", "--threads", str(chosen.threads)]
    words += ["--repeat", str(chosen.repeat), "--bank", chosen.bank.name]
    words += ["--layers-bank", chosen.layers_bank.name]
    if chosen.sections != list(SECTIONS):
        words += ["--sections", *chosen.sections]
    if chosen.engines:
        words += ["--engines", *chosen.engines]
    return shlex.join(words + ["--quick"] * chosen.quick)


def main() -> None:
    """Measure, print the document, and write it with its pictures."""
    chosen = options()
    threads, repeat, quick = chosen.threads, chosen.repeat, chosen.quick
    explainer = open_explainer(chosen.bank, [LAYER])
    results = Results()
    with tempfile.TemporaryDirectory(prefix="compnn-benchmarks-") as folder:
        reference = Reference(explainer, Path(folder) / "reference", 2 if quick else IMAGES)
        case = reference.case
        candidates = case.array("candidates")
        results.flat_bytes = float(candidates.itemsize * candidates.shape[1])
        described = (
            f"Facades val image 1 against its {case.images} nearest training images, {LAYER} of "
            f"the photo-to-labels Pix2Pix, hyperpatch 2x2x{case.channels}: {case.queries} queries, "
            f"{case.candidates} candidates"
        )
        for section in chosen.sections:
            print(f"section {section}", flush=True)
            if section == "engines":
                everyone = sections.contenders(quick)
                if chosen.engines:
                    everyone = [
                        one
                        for one in everyone
                        if one.name == sections.EXHAUSTIVE
                        or any(word.lower() in one.name.lower() for word in chosen.engines)
                    ]
                results.rows = sections.compare_engines(reference, everyone, threads, repeat)
            elif section == "images":
                results.images = sections.against_images(explainer, case, threads, repeat, quick)
            elif section == "channels":
                results.channels = sections.against_channels(case, threads, repeat, quick)
            elif section == "threads":
                results.threads = sections.against_threads(case, threads, repeat)
            elif section == "roofline":
                results.roofs = sections.roofline(case, threads, repeat)
            elif section == "dtypes":
                results.formats = formats.measure(reference, Path(folder), threads, repeat)
            elif section == "build":
                results.built = building.measure(Path(folder), threads, repeat, quick)
            elif section == "choice":
                layered = open_explainer(chosen.layers_bank, None)
                results.choices = choice.measure(layered, threads, repeat, quick)
            else:
                results.reconstruction = end_to_end.measure(
                    explainer, Path(folder), threads, repeat
                )
    text = document.write(
        results, described, machine.describe(threads), machine.versions(), command(chosen), repeat
    )
    print(text)
    plots.draw(results, chosen.output / "images")
    write_file(chosen.output / "benchmarks.md", text.encode())


if __name__ == "__main__":
    main()
