"""What compnn says about one image at one layer: reconstructions and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from compnn.explanation.composition import (
    Composition,
    Provenance,
    check_composition,
    compose,
    provenance,
)
from compnn.files import make_folder
from compnn.images.files import write_images
from compnn.images.palette import Palette
from compnn.network.layer import Layer
from compnn.search.field import Field

if TYPE_CHECKING:
    from compnn.bank.bank import Bank


@dataclass(frozen=True)
class Source:
    """A training image that gave pixels to a reconstruction.

    Attributes
    ----------
    index, name
        The image in the bank.
    pixels
        Number of pixels it gave.
    share
        The same as a share, in [0, 1], of all pixels.
    attributes
        Its attributes.
    """

    index: int
    name: str
    pixels: int
    share: float
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Candidate:
    """A training image that was searched, with its similarity by descriptor (None without one)."""

    index: int
    name: str
    similarity: float | None


class Explanation:
    """The explanation of what the network painted for one image, at one layer.

    Attributes
    ----------
    layer
        The layer, with the hyperpatch that was matched.
    field
        The correspondences: for each hyperpatch its best matches.
    query
        uint8 (H, W, 3): the image as the network saw it.
    network_output
        uint8 (H, W, 3), or label map (H, W): what the network painted, at the size of the query.
    candidates
        The training images that were searched, most similar first.
    bank
        The bank that was searched.
    composition
        How the reconstructions are put together: "copy" (the paper's, section 3.1) or "overlap",
        see `compnn.explanation.composition.Composition`. Provenance and sources are those of the owners of the
        pixels in either case.

    Raises
    ------
    SearchError
        If there is no such composition.
    """

    def __init__(
        self,
        layer: Layer,
        field: Field,
        query: npt.NDArray[np.uint8],
        network_output: npt.NDArray[np.uint8],
        candidates: tuple[Candidate, ...],
        bank: Bank,
        composition: Composition = "copy",
    ) -> None:
        check_composition(composition)
        self.layer = layer
        self.field = field
        self.query = query
        self.network_output = network_output
        self.candidates = candidates
        self.bank = bank
        self.composition: Composition = composition

    def __repr__(self) -> str:
        return (
            f"Explanation({self.layer.name}: mean similarity {self.field.mean_similarity:.4f}, "
            f"{len(self.sources())} sources of {len(self.candidates)} candidates)"
        )

    @property
    def input_palette(self) -> Palette | None:
        """Palette of the inputs; None when they are photos."""
        return self.bank.input_palette

    @property
    def target_palette(self) -> Palette | None:
        """Palette of the targets; None when they are photos."""
        return self.bank.target_palette

    @cached_property
    def provenance(self) -> Provenance:
        """Where each pixel of the reconstructions comes from."""
        return provenance(self.field, self.layer)

    @cached_property
    def input(self) -> npt.NDArray[np.uint8]:
        """The input reconstruction: uint8 (H, W, 3), from training inputs."""
        return self._composed(self.bank.inputs(self._matched), self.input_palette)

    @cached_property
    def output(self) -> npt.NDArray[np.uint8]:
        """The output reconstruction: uint8 (H, W, 3) or label map (H, W), from training targets."""
        return self._composed(self.bank.targets(self._matched), self.target_palette)

    @property
    def _matched(self) -> npt.NDArray[np.int32]:
        pasted = 1 if self.composition == "copy" else self.field.matches
        return np.unique(self.field.image[:pasted])

    def _composed(
        self, images: npt.NDArray[np.uint8], palette: Palette | None
    ) -> npt.NDArray[np.uint8]:
        return compose(self.field, self.layer, images, self.composition, palette=palette)

    def sources(self) -> list[Source]:
        """The training images that gave pixels, those that gave most first."""
        indices, pixels = np.unique(self.provenance.image, return_counts=True)
        order = np.lexsort((indices, -pixels))
        total = self.provenance.image.size
        names, attributes = self.bank.names, self.bank.attributes
        return [
            Source(
                int(indices[i]),
                names[indices[i]],
                int(pixels[i]),
                int(pixels[i]) / total,
                attributes.get(names[indices[i]], {}),
            )
            for i in order
        ]

    def source_images(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """The training pair `index` of the bank: input and target, as `query` and `output`."""
        return self.bank.pair(index)

    def painted(self, target: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """An output or target as a picture, uint8 (H, W, 3): label maps get their colours."""
        if target.ndim == 3:
            return target
        if self.target_palette is not None:
            return self.target_palette.colourise(target)
        return np.repeat(target[..., np.newaxis], 3, axis=2)

    def save(self, folder: str | Path) -> list[Path]:
        """Write query, network_output, input and output as PNG, and the field as `field.npz`.

        The folder is made if need be; files of these names in it are replaced. Returns the paths.

        Raises
        ------
        OutputError
            If that fails; each file is written whole or not at all.
        """
        folder = make_folder(folder)
        pictures = {
            "query": self.query,
            "network_output": self.painted(self.network_output),
            "input": self.input,
            "output": self.painted(self.output),
        }
        paths = [*write_images(folder, pictures), folder / "field.npz"]
        self.field.save(paths[-1])
        return paths
