"""docs/networks.md, from what was found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata

from benchmarks.networks.reading import Row
from benchmarks.paper.text import paragraphs

_PACKAGES = (
    *("onnx", "onnxruntime", "torch", "torchvision", "timm", "segmentation_models_pytorch"),
    *("onnxscript", "numpy"),
)


@dataclass(frozen=True)
class Found:
    """Rows of each table."""

    tiny: Sequence[Row]
    models: Sequence[Row]
    architectures: Sequence[Row]

    @property
    def rows(self) -> list[Row]:
        return [*self.tiny, *self.models, *self.architectures]


def summary(rows: Iterable[Row]) -> str:
    """How many networks are read rightly, refused and wrong."""
    listed = list(rows)
    wrong = sum(row.is_wrong for row in listed)
    refused = sum(row.is_refused for row in listed)
    left = sum(row.is_left_out for row in listed)
    text = (
        f"{len(listed) - wrong - refused - left} read rightly, {refused} refused with a remedy, "
        f"{wrong} wrong"
    )
    return text + (f"; {left} that PyTorch does not export" if left else "")


def text(found: Found) -> str:
    """The document."""
    parts = [
        "# Networks",
        _INTRODUCTION,
        f"**{summary(found.rows)}.**",
        "Packages: " + ", ".join(_versions()) + ".",
        _HOW,
    ]
    file_columns = ("network", "right", "taps", "looks", "paints", "output", "verdict")
    if found.tiny:
        parts += [
            "## Tiny networks, one property each",
            f"{summary(found.tiny)}. `right`: what is right by the README of the folder.",
            _table(file_columns, found.tiny),
            *_refusals(found.tiny),
        ]
    if found.models:
        parts += [
            "## Trained networks",
            f"{summary(found.models)}.",
            _table(file_columns, found.models),
            *_refusals(found.models),
        ]
    if found.architectures:
        names = {row.name.split(",")[0] for row in found.architectures}
        parts += [
            "## Architectures",
            f"{len(names)} architectures of timm, segmentation-models-pytorch and torchvision, "
            f"each by both exporters: {summary(found.architectures)}.",
            _ARCHITECTURES,
            _table(
                ("network", "activations", "output", "looks", "paints", "live", "verdict"),
                found.architectures,
            ),
            *_refusals(found.architectures),
        ]
    parts += ["## What the figures do not show", _LIMITS]
    reasons = sorted({_general(each) for row in found.rows for each in row.reasons})
    if reasons:
        parts += [
            "Why maps could not be seen by perturbing:",
            "\n".join(f"- {reason}" for reason in reasons),
        ]
    return paragraphs(*parts) + "\n"


_INTRODUCTION = """\
Written by `python -m benchmarks.networks`; no number or verdict is typed in. It reads networks with
compnn and compares all that it says of them with numbers from elsewhere:

    pip install '.[torch]' torchvision timm segmentation-models-pytorch
    python -m benchmarks.networks --shared ../shared --document docs/networks.md

It takes about half an hour on 2 cores. `python -m benchmarks.networks --short` tries four
architectures in a few minutes, as CI does."""

_HOW = """\
- *Taps* and *output* are compared by value, within a thousandth of the largest number: those of
  files with what ONNX Runtime gives when the tensor is made an output of the file, those of
  architectures with what PyTorch's own modules give.
- *Looks* and *paints*: the maps of layers, perturbed as `compnn layers --check` does. *Seen*: what
  changes lies where the map says. *By operators*: the map was composed of what the operators on the
  way are known to do, but could not be seen at this size. *By sizes*: an operator on the way is
  not known, so that the map is told by sizes only, which compnn says. A map that perturbing
  contradicts is wrong.
- *Right* is what the README of the folder says, or that all of this agrees. *Refused*: compnn says
  no; the message, below the table, names the remedy. *WRONG* is everything else: other numbers or
  cells, a traceback, a refusal without need or without remedy."""

_ARCHITECTURES = """\
With random weights. *Activations*: of up to 8 submodules of each network, whose results have
different shapes, those that a tap holds; of the others it is said why they are no maps: one vector
for the whole image, attention, or not in the file (the exporter has fused it with another).
*Live*: submodules of a `compnn.TorchNetwork` that give the same numbers, at the same places, as
the taps of the file. `dynamo` is the newer exporter of PyTorch, `script` the older one."""

_LIMITS = """\
- Weights are random, except of the trained networks: nothing is said about what an explanation of
  them is worth.
- Each network is tried at one size of image (the tiny ones that take any size at more). Of the
  tiny ones all layers are perturbed, of each other file one that it names or that compnn suggests:
  one in the middle, or the last.
- `unet-camvid-128.pt` is no network by itself; `tests/python/network/test_torch.py` reads its
  module beside its file.
- Perturbing follows the local path: what attention, pooling and statistics bring from afar is held,
  as it is in the maps.
- Only what PyTorch exports can be compared; no other framework is tried."""


def _versions() -> list[str]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _table(columns: Sequence[str], rows: Iterable[Row]) -> str:
    rule = ["---"] * len(columns)
    lines = [columns, rule, *((row.name, *row.cells, _short(row)) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _short(row: Row) -> str:
    """The verdict, without the message of a refusal."""
    return "refused" if row.is_refused else row.verdict


def _refusals(rows: Iterable[Row]) -> list[str]:
    """What compnn says of those that it refuses."""
    lines = [
        f"- {row.name}: `` {row.verdict.removeprefix('refused: ')} ``"
        for row in rows
        if row.is_refused
    ]
    return ["What compnn says of those that it refuses:", "\n".join(lines)] if lines else []


def _general(reason: str) -> str:
    """A reason without the names of tensors."""
    return re.sub("'[^']*'", "'…'", reason)
