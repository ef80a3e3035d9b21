"""The paper's figures, drawn into the work folder: they show data that is not ours to pass on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.paper.sections.correspondences import DISTANCE
from benchmarks.paper.setting import (
    CAMVID,
    LABELS_TO_PHOTO,
    PHOTO_TO_LABELS,
    SEARCH,
    SEED,
    Setting,
    Subject,
    spread,
)
from benchmarks.paper.text import commands, paragraphs, table
from compnn import HyperPatchMatch
from compnn.images.files import write_image
from compnn.report.figures import Figures

IMAGES = 3
SOME = ("encoder_1", "encoder_3", "encoder_8", "decoder_5", "decoder_2")


@dataclass(frozen=True)
class Drawing:
    """Figures that one command draws.

    Attributes
    ----------
    names
        Name of each figure as `compnn figures` has it, by its number in the paper.
    subject
        Network and bank.
    places
        Validation images, counted from 0; empty for some evenly spread ones.
    layers
        Layers; empty for all of the bank.
    by, match_layer
        As in `compnn figures`.
    """

    names: Mapping[str, str]
    subject: Subject
    places: tuple[int, ...] = ()
    layers: tuple[str, ...] = ()
    by: str | None = None
    match_layer: str | None = None


BOTH = ("input-reconstructions", "output-reconstructions")
DRAWINGS = (
    Drawing({"5": BOTH[0]}, LABELS_TO_PHOTO, layers=SOME),
    Drawing({"6": BOTH[1]}, PHOTO_TO_LABELS, layers=SOME),
    Drawing({"7": "correspondence-map"}, PHOTO_TO_LABELS, (0,)),
    Drawing({"8a": "semantic-matches"}, CAMVID, (0, DISTANCE), match_layer="decoder_2"),
    Drawing({"8b": "property-control"}, LABELS_TO_PHOTO, (0,), ("decoder_4",), by="wall"),
    Drawing({"9": BOTH[0], "12": BOTH[1]}, LABELS_TO_PHOTO),
    Drawing({"10": BOTH[0], "13": BOTH[1]}, PHOTO_TO_LABELS),
    Drawing({"11": BOTH[0], "14": BOTH[1]}, CAMVID),
)


def write(setting: Setting) -> str:
    """Draw all figures, and list the commands that draw the same."""
    folder = setting.kept / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    rows, lines = [], []
    for drawing in DRAWINGS:
        lines.append(_command(setting, drawing))
        for number, name, pixels in _drawn(setting, drawing):
            write_image(folder / f"figure-{number}.png", pixels)
            rows.append((number, name, drawing.subject.slug))
    order = sorted(rows, key=lambda row: (int(row[0].rstrip("ab")), row[0]))
    return paragraphs(
        f"As in the paper, by its numbers; top 16, seed {SEED}. They show images of the data sets, "
        f"so they are not part of this repository: the script draws them into `figures/` of its "
        f"work folder.",
        table(("figure", "name", "network"), order),
        commands(*lines),
    )


def _drawn(setting: Setting, drawing: Drawing) -> Iterator[tuple[str, str, npt.NDArray[np.uint8]]]:
    """Number, name and pixels of each figure."""
    figures = Figures(
        setting.explainer(drawing.subject),
        drawing.subject.pairs("val"),
        HyperPatchMatch(seed=SEED),
        figures=list(drawing.names.values()),
        images=_images(setting, drawing),
        layers=drawing.layers or None,
        by=drawing.by,
        match_layer=drawing.match_layer,
    )
    numbers = {name: number for number, name in drawing.names.items()}
    for figure in figures.draw():
        yield numbers[figure.name], figure.name, figure.pixels


def _images(setting: Setting, drawing: Drawing) -> list[str]:
    names = drawing.subject.pairs("val").names
    if drawing.places:
        return [names[place] for place in drawing.places]
    return spread(names, setting.limited(IMAGES))


def _command(setting: Setting, drawing: Drawing) -> str:
    return drawing.subject.command(
        "figures",
        *(f"--figure {name}" for name in drawing.names.values()),
        *(f"--image {name}" for name in _images(setting, drawing)),
        *(f"--layer {layer}" for layer in drawing.layers),
        f"--by {drawing.by}" if drawing.by else "",
        f"--match-layer {drawing.match_layer}" if drawing.match_layer else "",
        SEARCH,
    )
