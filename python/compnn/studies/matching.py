"""Semantic correspondences: the patches of one image matched to those of another, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from compnn.bank.packing import Packer
from compnn.errors import PaletteError, SearchError
from compnn.explanation.composition import Provenance, provenance
from compnn.explanation.query import Query, read_query
from compnn.files import make_folder
from compnn.images.files import write_images
from compnn.images.measures import confusion_matrix
from compnn.images.palette import Palette, resolve_palette
from compnn.network.layer import Layer
from compnn.network.onnx import Model
from compnn.search.field import Field
from compnn.search.search import Search, bank_of
from compnn.studies.patch_labels import patch_labels

# One comparison needs no memory saved, so that activations keep the precision of the network.
_DTYPE = "float32"


class MatchedPoint(NamedTuple):
    """Where a pixel of A is found in B, and how similar the patches around the two are."""

    y: int
    x: int
    similarity: float


@dataclass(frozen=True, eq=False)
class Matching:
    """The hyperpatches of two images matched at one layer, in both directions (paper, Figure 8).

    A and B have the size of the network's input. Their activations have gh x gw hyperpatches.

    Attributes
    ----------
    layer
        The layer, with the hyperpatch that was matched.
    a, b
        uint8 (H, W, 3): the images as the network saw them.
    output_a, output_b
        What the network painted: label maps uint8 (H, W), or photos (H, W, 3).
    forward, backward
        For each hyperpatch of A its matches in B, and the reverse; image index 0 throughout.
    class_names
        Names of the C classes; empty when the network paints photos.
    palette
        Palette of the classes; None when they are unnamed.
    """

    layer: Layer
    a: npt.NDArray[np.uint8]
    b: npt.NDArray[np.uint8]
    output_a: npt.NDArray[np.uint8]
    output_b: npt.NDArray[np.uint8]
    forward: Field
    backward: Field
    class_names: tuple[str, ...]
    palette: Palette | None

    def __repr__(self) -> str:
        classes = f", same class {self.same_class:.3f}" if self.class_names else ""
        return (
            f"Matching({self.layer.name}: mean similarity {self.forward.mean_similarity:.4f}, "
            f"cycle consistency {self.cycle_consistency():.3f}{classes})"
        )

    @cached_property
    def cycle(self) -> npt.NDArray[np.float32]:
        """Where A -> B -> A ends: float32 (gh, gw), distance in cells from each hyperpatch of A."""
        at = self.forward.row[0], self.forward.col[0]
        rows, cols = np.indices(self.layer.grid)
        returned = self.backward.row[0][at] - rows, self.backward.col[0][at] - cols
        return np.asarray(np.hypot(*returned), dtype=np.float32)

    def cycle_consistency(self, tolerance: float = 1.0) -> float:
        """Share, in [0, 1], of the hyperpatches of A that return to within `tolerance` cells."""
        return float((self.cycle <= tolerance).mean())

    @cached_property
    def classes_a(self) -> npt.NDArray[np.uint8]:
        """Class of each patch of A: uint8 (gh, gw), what the network says of most of its pixels.

        The lowest of equally frequent classes; void has the palette's label.

        Raises
        ------
        PaletteError
            If the network paints photos and no palette says what their colours stand for.
        """
        return self._patch_classes(self.output_a)

    @cached_property
    def classes_b(self) -> npt.NDArray[np.uint8]:
        """Class of each patch of B, as `classes_a`."""
        return self._patch_classes(self.output_b)

    @cached_property
    def matched_classes(self) -> npt.NDArray[np.uint8]:
        """Class of the patch of B that each patch of A is matched to: uint8 (gh, gw)."""
        matched: npt.NDArray[np.uint8] = self.classes_b[self.forward.row[0], self.forward.col[0]]
        return matched

    def class_counts(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Number of patches of each class in A and in B: int64 (C,) each; void is no class."""
        in_a, in_b = (
            np.bincount(classes.ravel(), minlength=256)[: len(self.class_names)].astype(np.int64)
            for classes in (self.classes_a, self.classes_b)
        )
        return in_a, in_b

    @cached_property
    def agreement(self) -> npt.NDArray[np.int64]:
        """Counts of patches of A: int64 (C, C), own class by class of the match in B.

        Patches that are void in either image are in no cell.
        """
        void = None if self.palette is None else self.palette.void
        count = len(self.class_names)
        return confusion_matrix(self.classes_a, self.matched_classes, count, void)

    @property
    def same_class(self) -> float:
        """Share, in [0, 1], of the patches of A matched to their own class; nan if all are void."""
        total = int(self.agreement.sum())
        return int(self.agreement.trace()) / total if total else math.nan

    @property
    def chance(self) -> float:
        """What `same_class` would be if patches of A were matched to patches of B blindly.

        The sum over the classes of the product of their shares in A and in B.
        """
        in_a, in_b = self.class_counts()
        pairs = int(in_a.sum()) * int(in_b.sum())
        return int(in_a @ in_b) / pairs if pairs else math.nan

    def point(self, y: int, x: int) -> MatchedPoint:
        """The pixel of B that pixel (y, x) of A is matched to.

        It lies to the centre of its patch as (y, x) lies to that of its own.

        Raises
        ------
        SearchError
            If A has no such pixel.
        """
        at = self._owner(y, x)
        found = self._a_from_b
        return MatchedPoint(
            int(found.row[y, x]), int(found.col[y, x]), float(self.forward.similarity[0][at])
        )

    def point_classes(self, y: int, x: int) -> tuple[str, str]:
        """Names of the classes of the patch of A that owns pixel (y, x) and of its match in B.

        Raises
        ------
        SearchError
            If A has no such pixel.
        PaletteError
            If there are no classes, as `classes_a`.
        """
        at = self._owner(y, x)
        labels = int(self.classes_a[at]), int(self.matched_classes[at])
        one, other = (
            self.class_names[label] if label < len(self.class_names) else "void" for label in labels
        )
        return one, other

    @cached_property
    def a_from_b(self) -> npt.NDArray[np.uint8]:
        """A put together from the matched patches of B: uint8 (H, W, 3)."""
        return self._a_from_b.copy_from(self.b[np.newaxis])

    @cached_property
    def b_from_a(self) -> npt.NDArray[np.uint8]:
        """B put together from the matched patches of A: uint8 (H, W, 3)."""
        return provenance(self.backward, self.layer).copy_from(self.a[np.newaxis])

    def save(self, folder: str | Path) -> list[Path]:
        """Write forward.npz and backward.npz, a_from_b.png and b_from_a.png.

        The folder is made if need be; files of these names in it are replaced. Returns the paths.

        Raises
        ------
        OutputError
            If that fails; each file is written whole or not at all.
        """
        folder = make_folder(folder)
        fields = {"forward": self.forward, "backward": self.backward}
        pictures = {"a_from_b": self.a_from_b, "b_from_a": self.b_from_a}
        for name, field in fields.items():
            field.save(folder / f"{name}.npz")
        return [*(folder / f"{name}.npz" for name in fields), *write_images(folder, pictures)]

    @cached_property
    def _a_from_b(self) -> Provenance:
        return provenance(self.forward, self.layer)

    def _owner(self, y: int, x: int) -> tuple[int, int]:
        """Grid position of the hyperpatch that owns a pixel."""
        check_pixel(self.layer.image_size, y, x)
        rows, cols = self.layer.owners()
        return int(rows[y]), int(cols[x])

    def _patch_classes(self, output: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if not self.class_names:
            raise PaletteError(
                "the network paints photos, which have no classes; if their colours stand for "
                "classes, match with a palette (`--palette`)"
            )
        return patch_labels(output, self.layer)


def check_pixel(image_size: tuple[int, int], y: int, x: int) -> None:
    """Refuse a pixel that an image of this size (height, width) does not have.

    Raises
    ------
    SearchError
        Naming it, and those that there are.
    """
    height, width = image_size
    if not (0 <= y < height and 0 <= x < width):
        raise SearchError(
            f"there is no pixel {y},{x} in an image of {height}x{width} (height x width); "
            f"give y in 0..{height - 1} and x in 0..{width - 1}"
        )


def match(
    model: Model,
    a: npt.NDArray[np.uint8] | str | Path | Query,
    b: npt.NDArray[np.uint8] | str | Path | Query,
    layer: str,
    *,
    palette: str | Path | Palette | None = None,
    hyperpatch: tuple[int, int] | None = None,
    progress: Callable[[str, float], None] | None = None,
    **search: Any,
) -> Matching:
    """Match each hyperpatch of image A to the most similar one of image B, and back.

    Parameters
    ----------
    model
        The network.
    a, b
        Images: uint8 RGB (H, W, 3) of the network's size, paths of image files, or `Query`s.
    layer
        Any tap of the network.
    palette
        Palette of what the network paints: name, file, or `Palette`. A network that paints label
        maps in colours has classes only with one; those of other networks are unnamed without.
    hyperpatch
        Cells (h, w) of a hyperpatch. Default: the layer's own.
    progress
        Called as `progress(direction, share)`, share in [0, 1]; an exception ends the search.
    **search
        As in `compnn.search.search.Search`, but `method` is "exhaustive" by default.

    Raises
    ------
    LayerError
        If the network does not have the layer, or the hyperpatch does not fit into it.
    ImageError
        If an image cannot be read or is not what the network takes.
    PaletteError
        If the palette cannot be read or has other classes than the network.
    SearchError
        If the search makes no sense.
    ActivationError
        If the network gives NaN or infinite values.

    Examples
    --------
    >>> model = compnn.Model("segnet.onnx")                                  # doctest: +SKIP
    >>> found = match(model, "a.jpg", "b.jpg", "decoder_2", palette="camvid")  # doctest: +SKIP
    >>> found.same_class, found.chance                                       # doctest: +SKIP
    (0.8763..., 0.1921...)
    """
    how = Search(**{"method": "exhaustive", **search})
    tap = model.tap(layer)
    if hyperpatch is not None:
        tap = dataclasses.replace(tap, hyperpatch=hyperpatch)
    colours = None if palette is None else resolve_palette(palette)
    if colours is not None and model.output_channels not in (1, 3):  # else it paints colours
        _check_classes(colours, model)
    one, other = (_Activation.of(model, image, tap, colours) for image in (a, b))

    def field(direction: str, query: _Activation, bank: _Activation) -> Field:
        report = None if progress is None else lambda share: progress(direction, share)
        cells = bank_of(bank.cells[np.newaxis], bank.norms[np.newaxis])
        found = how.field(cells, query.cells, query.norms, [0], tap.hyperpatch, report)
        if report is not None:
            report(1.0)
        return found

    names: tuple[str, ...] = ()
    if one.output.ndim == 2:
        unnamed = tuple(f"class {index}" for index in range(model.output_channels))
        names = unnamed if colours is None else colours.classes
    return Matching(
        layer=tap,
        a=one.image,
        b=other.image,
        output_a=one.output,
        output_b=other.output,
        forward=field("A to B", one, other),
        backward=field("B to A", other, one),
        class_names=names,
        palette=colours,
    )


@dataclass(frozen=True, eq=False)
class _Activation:
    """An image, what the network painted for it, and its cells (H, W, D) with norms (H, W)."""

    image: npt.NDArray[np.uint8]
    output: npt.NDArray[np.uint8]
    cells: npt.NDArray[np.float32]
    norms: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls,
        model: Model,
        image: npt.NDArray[np.uint8] | str | Path | Query,
        layer: Layer,
        palette: Palette | None,
    ) -> _Activation:
        if isinstance(image, (str, Path)):
            image = read_query(image, None, None)
        elif not isinstance(image, Query):
            image = Query("image", np.asarray(image), None, "the image")
        model.check_image(image.image, image.file)
        fitted = np.ascontiguousarray(model.preprocessing.fit(image.image))
        raw, output = model.run(fitted[np.newaxis], [layer.name], output=True)
        assert output is not None
        packer = Packer({layer.name: layer.shape}, (layer.name,), None, _DTYPE, {})
        cells, norms = packer.records({layer.name: raw[layer.name][0]}, image.file)
        return cls(fitted, model.painting(output[0], palette), cells, norms)


def _check_classes(palette: Palette, model: Model) -> None:
    """Refuse a palette of other classes than the network's; one of these may be void."""
    count = model.output_channels
    if count < len(palette) or not palette.is_label()[:count].all():
        raise PaletteError(
            f"{model.path.name} tells {count} classes apart, but the palette is "
            f"{palette.describe_labels()}; choose the palette that the network was trained with"
        )
