"""How good the reconstructions of an explanation are, in numbers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError
from compnn.explanation.explanation import Explanation
from compnn.images.measures import pixel_accuracy, psnr
from compnn.images.palette import Palette


@dataclass(frozen=True)
class Score:
    """How near a picture is to another.

    Attributes
    ----------
    measure
        "accuracy" (share of equal labels, in [0, 1]; nan if all are void) for label maps, "psnr"
        (in dB) for photos.
    value
        Larger is nearer.
    """

    measure: str
    value: float

    def __str__(self) -> str:
        if self.measure == "accuracy":
            return f"{self.value:.1%}"
        # OpenCV gives pictures that are the same some 361 dB.
        return "identical" if self.value > 300 else f"{self.value:.1f} dB"


@dataclass(frozen=True)
class Scores:
    """What is measured of an explanation.

    Attributes
    ----------
    similarity
        Mean cosine similarity of the best matches, in [-1, 1].
    input
        Input reconstruction against the query.
    output_to_network
        Output reconstruction against the network's output.
    output_to_target, network_to_target
        Output reconstruction, and the network's output, against the true target; None without.
    """

    similarity: float
    input: Score
    output_to_network: Score
    output_to_target: Score | None
    network_to_target: Score | None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; an accuracy of which no pixel counts is None."""
        fields = asdict(self)
        for part in fields.values():
            if isinstance(part, dict) and math.isnan(part["value"]):
                part["value"] = None
        return fields


def compare(
    truth: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], palette: Palette | None
) -> Score:
    """Compare two pictures of one kind: with a palette as label maps, else as photos.

    Label maps that are painted, (H, W, 3), are quantised first.

    Raises
    ------
    ImageError
        If their sizes differ.
    """
    if palette is None:
        return Score("psnr", psnr(truth, other))
    labels = [palette.quantise(image) if image.ndim == 3 else image for image in (truth, other)]
    return Score("accuracy", pixel_accuracy(labels[0], labels[1], palette.void))


def score(explanation: Explanation, target: npt.NDArray[np.uint8] | None = None) -> Scores:
    """Measure an explanation; `target` is the true target, as the bank's targets.

    Raises
    ------
    ImageError
        If the target has another size than the network's output.
    """
    if target is not None and target.shape != explanation.output.shape:
        raise ImageError(
            f"the target is {target.shape}, the network's output {explanation.output.shape}; "
            f"give a target of the network's size"
        )
    palette = explanation.target_palette
    network, output = explanation.network_output, explanation.output
    return Scores(
        explanation.field.mean_similarity,
        compare(explanation.query, explanation.input, explanation.input_palette),
        compare(network, output, palette),
        None if target is None else compare(target, output, palette),
        None if target is None else compare(target, network, palette),
    )
