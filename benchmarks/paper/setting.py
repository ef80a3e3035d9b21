"""What the sections share: folders, banks, validation pairs, and evaluations that are kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.common import DESCRIPTOR, shared
from compnn import (
    CamVid,
    Dataset,
    Evaluation,
    Explainer,
    HyperPatchMatch,
    Labels,
    OnnxNetwork,
    SideBySide,
    build,
    evaluate,
)
from compnn.explanation.composition import Composition
from compnn.search.search import Search

SEED = 0
SEARCH = f"--method hyperpatch-match --seed {SEED}"
"""The search of most sections, as options of `compnn`."""
LAST = "decoder_2"
"""The last layer of Pix2Pix."""
TOP_K: tuple[int | None, ...] = (1, 16, 32, 64, None)


@dataclass(frozen=True)
class Subject:
    """A network with its training and validation pairs, and how commands name these.

    Attributes
    ----------
    slug
        Names the bank and the evaluations.
    network
        File of the network.
    layers
        Layers of the bank; None for all that the network names.
    descriptor
        Tap of the global descriptors.
    options
        Options of `compnn` that give the pairs; `{split}` is train or val.
    """

    slug: str
    network: str
    layers: tuple[str, ...] | None
    descriptor: str
    options: str

    @property
    def bank(self) -> str:
        """Name of the bank's folder."""
        return f"{self.slug}.bank"

    def pairs(self, split: str, attributes: Path | None = None) -> Dataset:
        """The training or the validation pairs."""
        data = shared() / "data"
        if self is CAMVID:
            return CamVid(data / "camvid", split)
        folder = data / "facades" / split
        labels = Labels("facades")
        if self is PHOTO_TO_LABELS:
            return SideBySide(folder, "left", target_kind=labels, attributes=attributes)
        return SideBySide(folder, "right", input_kind=labels, attributes=attributes)

    def open_network(self) -> OnnxNetwork:
        """The network, with the layers of the bank."""
        path = shared() / "models" / self.network
        return OnnxNetwork(
            path, None if self.layers is None else list(self.layers), self.descriptor
        )

    def command(self, verb: str, *options: str) -> str:
        """A command of `compnn` with this bank and the validation pairs."""
        pairs = self.options.format(split="val")
        return " ".join(("compnn", verb, self.bank, pairs, *filter(None, options)))


PHOTO_TO_LABELS = Subject(
    "facades-photo-to-labels",
    "pix2pix-facades-photo-to-labels.onnx",
    None,
    DESCRIPTOR,
    "--side-by-side $DATA/facades/{split} --target-palette facades",
)
LABELS_TO_PHOTO = Subject(
    "facades-labels-to-photo",
    "pix2pix-facades-labels-to-photo.onnx",
    None,
    DESCRIPTOR,
    "--side-by-side $DATA/facades/{split} --input right --input-palette facades",
)
CAMVID = Subject(
    "camvid",
    "segnet-basic-camvid.onnx",
    ("decoder_4",),
    "encoder_4",
    "--camvid $DATA/camvid --split {split}",
)
SUBJECTS = (PHOTO_TO_LABELS, LABELS_TO_PHOTO, CAMVID)


@dataclass(frozen=True)
class Setting:
    """Where a run reads and writes.

    Attributes
    ----------
    work
        Folder of the banks, evaluations and large figures.
    output
        The folder docs: results.md and images/ go there.
    limit
        Take only the first validation images, this many; None for all.
    """

    work: Path
    output: Path
    limit: int | None

    @property
    def kept(self) -> Path:
        """Folder of what depends on the limit."""
        return self.work if self.limit is None else self.work / f"limit-{self.limit}"

    @property
    def images(self) -> Path:
        """Folder of the pictures that the document shows."""
        return self.output / "images"

    def limited(self, count: int) -> int:
        """`count`, or the limit if that is less."""
        return count if self.limit is None else min(count, self.limit)

    @cached_property
    def _explainers(self) -> dict[str, Explainer]:
        return {}

    def explainer(self, subject: Subject) -> Explainer:
        """The network and its bank, which is built, or its build resumed, if it is not there."""
        if subject.slug not in self._explainers:
            path, network = self.work / subject.bank, subject.open_network()
            if not (path / "manifest.json").exists():
                print(f"building {path}", flush=True)
                attributes = None if subject is CAMVID else self._walls()
                build(path, network, subject.pairs("train", attributes))
            self._explainers[subject.slug] = Explainer(path, network)
        return self._explainers[subject.slug]

    def _walls(self) -> Path:
        path = self.work / "walls.csv"
        if not path.exists():
            script = Path(__file__).resolve().parents[2] / "examples/cluster_wall_colours.py"
            train = shared() / "data/facades/train"
            subprocess.run([sys.executable, str(script), str(train), str(path)], check=True)
        return path

    def evaluation(
        self,
        subject: Subject,
        name: str,
        search: Search | None = None,
        *,
        layers: Sequence[str] | None = None,
        top_k: Sequence[int | None],
        composition: Composition = "copy",
        images: Sequence[str] | None = None,
    ) -> Evaluation:
        """An evaluation of the validation pairs, or of those that `images` names.

        Searches are by HyperPatch-Match, as in the paper, unless another is given.
        What is found in the folder of this name is not measured again.
        """
        pairs = subject.pairs("val")
        if images is not None:
            pairs = pairs.subset(images)
        return evaluate(
            self.explainer(subject),
            pairs,
            self.kept / "evaluations" / f"{subject.slug}-{name}",
            search or HyperPatchMatch(seed=SEED),
            layers=layers,
            top_k=top_k,
            composition=composition,
            limit=self.limit,
        )


def spread(names: Sequence[str], count: int) -> list[str]:
    """`count` of the names, evenly spread; all where there are fewer."""
    count = min(count, len(names))
    return [names[place * len(names) // count] for place in range(count)]
