"""Semantic correspondences: the patches of one image matched to those of another, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from compnn import _core
from compnn.bank.cells import Packer
from compnn.errors import PaletteError, SearchError
from compnn.explanation.composition import Provenance, provenance
from compnn.explanation.query import Query, read_query
from compnn.files import make_folder
from compnn.images.files import write_images
from compnn.images.kinds import Labels, Photo, Picture
from compnn.images.measures import confusion_matrix
from compnn.images.palette import Palette
from compnn.network.geometry import Placement, Size
from compnn.network.layer import Layer
from compnn.network.network import Network
from compnn.search.field import Field
from compnn.search.search import Exhaustive, HyperPatchMatch, Search
from compnn.studies.patch_labels import patch_labels
from compnn.views import Shown

# One comparison needs no memory saved, so that activations keep the precision of the network.
_DTYPE = "float32"

MatchImage: TypeAlias = npt.NDArray[np.uint8] | str | Path | Query
"""An image to match: uint8 RGB (H, W, 3), the path of an image file, or a `Query`."""


class MatchedPoint(NamedTuple):
    """Where a pixel of A is found in B, and how similar the patches around the two are.

    (-1, -1) and 0 where its patch has no match.
    """

    y: int
    x: int
    similarity: float


@dataclass(frozen=True, eq=False)
class Matching(Shown):
    """The hyperpatches of two images matched at one layer, in both directions (paper, Figure 8).

    A network that takes images of any size may be given two of different sizes.

    Attributes
    ----------
    layer, layer_b
        The layer, with the hyperpatch that was matched, of A and of B; the two differ only where
        the sizes of the images do. Below, gh x gw is the grid of A.
    a, b
        uint8 (H, W, 3): the images as the network saw them.
    output_a, output_b
        What the network painted: label maps uint8 (H, W), or photos (H, W, 3); None where it has
        no output.
    forward, backward
        For each hyperpatch of A its matches in B, and the reverse; image index 0 throughout.
    search
        How both were searched for; what `Auto` has chosen.
    class_names
        Names of the C classes; empty when the network paints photos, or nothing.
    palette
        Palette of the classes; None when they are unnamed.
    """

    layer: Layer
    layer_b: Layer
    a: npt.NDArray[np.uint8]
    b: npt.NDArray[np.uint8]
    output_a: npt.NDArray[np.uint8] | None
    output_b: npt.NDArray[np.uint8] | None
    forward: Field
    backward: Field
    search: Search
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
        """Where A -> B -> A ends: float32 (gh, gw), distance in cells from each hyperpatch of A.

        Infinite where one of the two has no match.
        """
        exists = self.forward.matched[0]
        at = self.forward.row[0][exists], self.forward.col[0][exists]
        rows, cols = np.nonzero(exists)
        back = self.backward
        returned = np.hypot(back.row[0][at] - rows, back.col[0][at] - cols)
        cycle = np.full(exists.shape, np.inf, np.float32)
        cycle[exists] = np.where(back.matched[0][at], returned, np.inf)
        return cycle

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
            If the network paints photos and no palette says what their colours stand for, or has
            no output.
        """
        return self._patch_classes(self.output_a, self.layer.paints)

    @cached_property
    def classes_b(self) -> npt.NDArray[np.uint8]:
        """Class of each patch of B, in B's grid, as `classes_a`."""
        return self._patch_classes(self.output_b, self.layer_b.paints)

    @cached_property
    def matched_classes(self) -> npt.NDArray[np.uint8]:
        """Class of the patch of B that each patch of A is matched to: uint8 (gh, gw).

        Void, or 255 without a void, where there is no match.
        """
        exists = self.forward.matched[0]
        void = None if self.palette is None else self.palette.void
        nothing = np.uint8(255 if void is None else void)
        classes = np.full(exists.shape, nothing, np.uint8)
        at = self.forward.row[0][exists], self.forward.col[0][exists]
        classes[exists] = self.classes_b[at]
        return classes

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
        """A put together from the matched patches of B: uint8, as `a`."""
        return self._a_from_b.copy_from(_OnePicture(self.b), Photo())

    @cached_property
    def b_from_a(self) -> npt.NDArray[np.uint8]:
        """B put together from the matched patches of A: uint8, as `b`."""
        pictures, source = _OnePicture(self.a), self.layer.looks
        found = provenance(self.backward, self.layer_b.looks, lambda image: source, pictures)
        return found.copy_from(pictures, Photo())

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
        source = self.layer_b.looks
        return provenance(self.forward, self.layer.looks, lambda image: source, _OnePicture(self.b))

    def _owner(self, y: int, x: int) -> tuple[int, int]:
        """Grid position of the hyperpatch that owns a pixel."""
        check_pixel(self.layer.image_size, y, x)
        rows, cols = self.layer.looks.owners()
        return int(rows[y]), int(cols[x])

    def _patch_classes(
        self, output: npt.NDArray[np.uint8] | None, placement: Placement
    ) -> npt.NDArray[np.uint8]:
        if output is None:
            raise PaletteError("the network has no output, and so no classes")
        if not self.class_names:
            raise PaletteError(
                "the network paints photos, which have no classes; if their colours stand for "
                "classes, match with a palette (`--palette`)"
            )
        return patch_labels(output, placement)


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
    network: Network,
    a: MatchImage,
    b: MatchImage,
    layer: str,
    search: Search | None = None,
    *,
    palette: str | Path | Palette | None = None,
    hyperpatch: tuple[int, int] | None = None,
    num_threads: int = -1,
    progress: Callable[[str, float], None] | None = None,
) -> Matching:
    """Match each hyperpatch of image A to the most similar one of image B, and back.

    Parameters
    ----------
    network
        The network.
    a, b
        The images, see `MatchImage`; of different sizes only if the network takes any.
    layer
        Any tap of the network.
    search
        How to search. Default: `Exhaustive()`.
    palette
        Palette of what the network paints: name, file, or `Palette`. A network that paints label
        maps in colours has classes only with one; those of other networks are unnamed without.
    hyperpatch
        Cells (h, w) of a hyperpatch. Default: the layer's own.
    num_threads
        Threads of the search; -1 means all CPUs that this process may use. Changes no result.
    progress
        Called as `progress(direction, share)`, share in [0, 1]; an exception ends the search.

    Raises
    ------
    LayerError
        If the network does not have the layer, or the hyperpatch does not fit into it.
    ImageError
        If an image cannot be read or is not what the network takes.
    PaletteError
        If the palette cannot be read or has other classes than the network, which may have none.
    SearchError
        If the search makes no sense.
    ActivationError
        If the network gives NaN or infinite values.

    Examples
    --------
    >>> network = compnn.OnnxNetwork("segnet.onnx")                            # doctest: +SKIP
    >>> found = match(network, "a.jpg", "b.jpg", "decoder_2", palette="camvid")  # doctest: +SKIP
    >>> found.same_class, found.chance                                         # doctest: +SKIP
    (0.8763..., 0.1921...)
    """
    tap = network.layer(layer)
    kind = None if palette is None else Labels(palette)
    if kind is not None and network.output_name is None:
        raise PaletteError(
            f"{network.name} has no output that a palette could be of; leave the palette out"
        )
    one, other = (
        _Side.of(network, image, f"image {name}", tap, hyperpatch, kind)
        for name, image in (("A", a), ("B", b))
    )
    places = math.prod(one.layer.grid) * math.prod(other.layer.grid)
    how = (search or Exhaustive()).resolved(places, tap.shape[2])

    def field(direction: str, query: _Side, target: _Side) -> Field:
        report = None if progress is None else lambda share: progress(direction, share)
        found = query.found_in(target, how, num_threads, report)
        if report is not None:
            report(1.0)  # what takes no time may not have told
        return found

    names: tuple[str, ...] = ()
    if one.output is not None and one.output.ndim == 2:
        unnamed = tuple(f"class {index}" for index in range(one.channels))
        names = unnamed if kind is None else kind.palette.classes
    return Matching(
        layer=one.layer,
        layer_b=other.layer,
        a=one.image,
        b=other.image,
        output_a=one.output,
        output_b=other.output,
        forward=field("A to B", one, other),
        backward=field("B to A", other, one),
        search=how,
        class_names=names,
        palette=None if kind is None else kind.palette,
    )


@dataclass(frozen=True, eq=False)
class _Side:
    """One of the images: what the network painted for it, its cells (H, W, D) and norms (H, W).

    `channels` is the number of channels of the network's output, 0 without.
    """

    layer: Layer
    image: npt.NDArray[np.uint8]
    output: npt.NDArray[np.uint8] | None
    channels: int
    cells: npt.NDArray[np.float32]
    norms: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls,
        network: Network,
        image: MatchImage,
        name: str,
        tap: Layer,
        hyperpatch: tuple[int, int] | None,
        kind: Labels | None,
    ) -> _Side:
        if isinstance(image, (str, Path)):
            image = read_query(image)
        elif not isinstance(image, Query):
            image = Query(name, np.asarray(image), file=name)
        reading = network.read(image.image, [tap.name], output=True, name=image.file)
        activation, output = reading.tap(tap.name), reading.output
        channels = 0 if output is None else len(output)
        size = reading.image.shape[0], reading.image.shape[1]
        if kind is not None and channels not in (1, 3):  # else it paints colours
            _check_classes(kind.palette, network, channels)
        layer = dataclasses.replace(
            network.layer(tap.name, size), hyperpatch=hyperpatch or tap.hyperpatch
        )
        packer = Packer((tap.name,), None, _DTYPE, {})
        cells, norms = packer.records({tap.name: activation}, reading.name)
        painted = None if output is None else network.paint(output, size, kind)
        return cls(layer, reading.image, painted, channels, cells, norms)

    def found_in(
        self,
        other: _Side,
        search: Exhaustive | HyperPatchMatch,
        num_threads: int,
        progress: Callable[[float], None] | None,
    ) -> Field:
        """The matches of this image's hyperpatches in the other."""
        rows, cols, channels = other.cells.shape
        cells = other.cells.reshape(-1, channels), other.norms.reshape(-1), 0
        bank = _core.CellBank([cells], np.array([[0, 0, rows, cols]], np.int64))
        return search.run(
            bank,
            [(self.cells, self.norms, None)],
            np.zeros(1, np.int32),
            self.layer.hyperpatch,
            num_threads=num_threads,
            progress=progress,
        )


class _OnePicture:
    """A single picture, as the image 0 that a matching's fields point to: `Pictures`."""

    def __init__(self, picture: npt.NDArray[np.uint8]) -> None:
        self._picture = picture

    def sizes(
        self, images: npt.NDArray[np.integer[Any]]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """As `Pictures.sizes`."""
        height, width = self._picture.shape[:2]
        return np.full(images.shape, height, np.int32), np.full(images.shape, width, np.int32)

    def picture(self, image: int) -> Picture:
        """As `Pictures.picture`."""
        return self._picture

    def take(
        self,
        image: npt.NDArray[np.integer[Any]],
        row: npt.NDArray[np.integer[Any]],
        col: npt.NDArray[np.integer[Any]],
    ) -> Picture:
        """As `Pictures.take`."""
        taken: Picture = self._picture[row, col]
        return taken

    def blank(self, size: Size) -> Picture:
        """As `Pictures.blank`."""
        return np.zeros((*size, *self._picture.shape[2:]), self._picture.dtype)

    def check(self, images: Iterable[int]) -> None:
        """As `Pictures.check`: it is in memory."""


def _check_classes(palette: Palette, network: Network, count: int) -> None:
    """Refuse a palette of other classes than the network's `count`; one of these may be void."""
    if count < len(palette) or not palette.is_label()[:count].all():
        raise PaletteError(
            f"{network.name} tells {count} classes apart, but the palette is "
            f"{palette.describe_labels()}; choose the palette that the network was trained with"
        )
