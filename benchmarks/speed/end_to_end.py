"""`compnn reconstruct` from the start of the process to the pictures, and where its time goes."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import facades, shared
from benchmarks.speed.case import IMAGES, LAYER
from benchmarks.speed.markdown import seconds, table
from benchmarks.speed.verdict import Verdict
from benchmarks.speed.worker import Worker
from compnn import Bank, Explainer, HyperPatchMatch, usage
from compnn.explanation.query import Query
from compnn.explanation.scores import score
from compnn.report.folder import write_report

_MOST_OPENING = 0.05
_IMAGE = Path("data/facades/val/1.jpg")


class Reconstruct:
    """The steps of the command, one call for each, in their order."""

    def __init__(self, path: Path, folder: Path, threads: int) -> None:
        self._path = path
        self._folder = folder
        self._threads = threads

    def open(self) -> None:
        """Open the bank."""
        self._bank = Bank(self._path)

    def load(self) -> None:
        """Load the network."""
        self._explainer = Explainer(self._bank, num_threads=self._threads)

    def run(self) -> None:
        """Make ONNX Runtime's session and run the network."""
        self._reading = self._explainer.read(facades("val")[0].input, [LAYER])

    def search(self) -> None:
        """Select the nearest images, check what is read of the bank, and search."""
        self._found = self._explainer.explain(self._reading, LAYER, HyperPatchMatch(), top_k=IMAGES)

    def compose(self) -> None:
        """Put the reconstructions together."""
        _ = self._found.input, self._found.output

    def write(self) -> None:
        """Measure, draw and write, as the command does."""
        write_report(
            self._folder,
            Query(_IMAGE.stem, self._reading.image),
            {LAYER: self._found},
            {LAYER: score(self._found)},
            usages={LAYER: usage(self._found, range(len(self._bank)))},
        )


# The methods of `Reconstruct`, and what they do.
STEPS = {
    "open": "open the bank",
    "load": "load the network",
    "run": "make ONNX Runtime's session, run the network",
    "search": "select, check checksums, search",
    "compose": "compose",
    "write": "measure, draw, write",
}


@dataclass(frozen=True)
class Step:
    """A part of the command, and its seconds."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Reconstruction:
    """The command's steps, one after the other, and the whole of it, of a bank of `images`."""

    steps: list[Step]
    whole: float
    images: int

    @property
    def opening(self) -> float:
        """Seconds to open the bank."""
        return self.steps[1].seconds


def _command(path: Path, folder: Path, threads: int) -> float:
    """Seconds of the whole command."""
    words = ["reconstruct", str(path), str(shared() / _IMAGE), "--input", "left"]
    words += [
        "--method",
        "hyperpatch-match",
        "--top-k",
        str(IMAGES),
        "--threads",
        str(threads),
        "--output",
        str(folder),
    ]
    return _run(f"import sys; from compnn.cli import main; sys.argv[1:] = {words!r}; main()")


def _run(program: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(explainer: Explainer, folder: Path, threads: int, repeat: int) -> Reconstruction:
    """The best of each step, each time in a new process; the bank is in the page cache."""
    steps: dict[str, list[float]] = {}
    whole: list[float] = []
    bank = explainer.bank
    bank.verify()
    for _ in range(max(repeat, 3)):
        steps.setdefault("start Python, import compnn", []).append(_run("import compnn.cli"))
        with Worker(Reconstruct, bank.path, folder / "steps", threads, threads=threads) as worker:
            for method, name in STEPS.items():
                steps.setdefault(name, []).append(worker.call(method).seconds)
        whole.append(_command(bank.path, folder / "command", threads))
    return Reconstruction(
        [Step(name, min(times)) for name, times in steps.items()], min(whole), len(bank)
    )


def verdicts(found: Reconstruction | None) -> list[Verdict]:
    """How long opening takes."""
    if found is None:
        return []
    return [
        Verdict(
            f"a bank of {found.images} images opens in milliseconds",
            f"{found.opening * 1e3:.1f} ms",
            found.opening <= _MOST_OPENING,
        )
    ]


def section(found: Reconstruction) -> str:
    """The section of the document."""
    rows = [(step.name, seconds(step.seconds)) for step in found.steps]
    rows.append(("sum", seconds(sum(step.seconds for step in found.steps))))
    rows.append(("the whole command", seconds(found.whole)))
    return f"""## Reconstructing an image, end to end

`compnn reconstruct` of Facades val image 1 at {LAYER} among its {IMAGES} nearest of a bank of
{found.images} images, by HyperPatch-Match: the best time of each step, each time in a new process,
and that of the whole command. The bank is in the page cache.

{table(("step", "seconds"), rows)}"""
