"""The bank: training activations and images on disk, and what they explain."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from compnn import _core
from compnn.bank import layout
from compnn.bank.builder import build_bank
from compnn.bank.directions import kept_share
from compnn.bank.manifest import Manifest
from compnn.bank.packing import Packer, pack_descriptor
from compnn.bank.reader import Records, open_manifest
from compnn.bank.reading import Reading
from compnn.composition import Composition, check_composition
from compnn.datasets.dataset import Dataset
from compnn.errors import SearchError
from compnn.explanation import Candidate, Explanation
from compnn.field import Field
from compnn.geometry import Layer
from compnn.model import Model
from compnn.palette import Palette
from compnn.query import Query, read_query
from compnn.search import Method, Schedule, Search, bank_of

QueryImage: TypeAlias = npt.NDArray[np.uint8] | str | Path | Query | Reading


class Bank:
    """A memory-mapped bank of training activations, with the training pairs themselves.

    Opening takes milliseconds whatever the size; what a search reads is checked against its
    checksum once per process. Many processes can read one bank. A `Bank` may be shared by threads.

    Parameters
    ----------
    path
        Folder of the bank.
    model
        The network that it was built with. Default: the file that the bank remembers, read when
        it is first needed.

    Raises
    ------
    BankError
        If there is no complete bank at `path`, it is damaged or of a newer format, or `model` is
        another network or preprocesses in another way.

    Examples
    --------
    >>> model = compnn.Model("pix2pix.onnx", layers=["decoder_2"], descriptor="decoder_7")
    >>> pairs = compnn.SideBySide("facades/train", input="right")
    >>> bank = compnn.Bank.build("facades.bank", model, pairs)
    >>> bank.explain(image, "decoder_2", top_k=16).output.shape
    (256, 256, 3)
    """

    def __init__(self, path: str | Path, model: Model | None = None) -> None:
        self.path = Path(path)
        self.manifest: Manifest = open_manifest(self.path)
        if model is not None:
            self.manifest.check_model(model)
        self._model = model
        self._records = Records(self.path, self.manifest)

    @classmethod
    def build(
        cls,
        path: str | Path,
        model: Model,
        dataset: Dataset,
        *,
        dtype: str = "float16",
        skip_bad: bool = False,
        overwrite: bool = False,
        restart: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Bank:
        """Build a bank, or finish one whose build was interrupted, and open it.

        The parameters and the errors are those of `compnn.bank.builder.build_bank`.
        """
        build_bank(
            path,
            model,
            dataset,
            dtype=dtype,
            skip_bad=skip_bad,
            overwrite=overwrite,
            restart=restart,
            progress=progress,
        )
        return cls(path, model)

    def __repr__(self) -> str:
        return (
            f"Bank({str(self.path)!r}: {len(self)} images, {self.manifest.dtype}, "
            f"layers {', '.join(self.layers)}, descriptor {self.descriptor})"
        )

    def __len__(self) -> int:
        return len(self.manifest)

    @cached_property
    def model(self) -> Model:
        """The network that the bank was built with.

        Raises
        ------
        ModelError
            If its file is not where it was; open the bank with `model=` then.
        BankError
            If its file is no longer the same.
        """
        return self._model or self.manifest.load_model()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the training images."""
        return self.manifest.names

    @property
    def attributes(self) -> Mapping[str, Mapping[str, str]]:
        """Attributes, {name: {key: value}}, of the training images that have any."""
        return self.manifest.attributes

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers whose activations the bank holds."""
        return self.manifest.layers

    @property
    def descriptor(self) -> str | None:
        """The tap whose activations are the global descriptors; None without them."""
        return None if self.manifest.descriptor is None else self.manifest.descriptor.tap

    @property
    def input_palette(self) -> Palette | None:
        """Palette of the inputs; None when they are photos."""
        return self.manifest.input_palette

    @property
    def target_palette(self) -> Palette | None:
        """Palette of the targets; None when they are photos."""
        return self.manifest.target_palette

    def inputs(self, images: Iterable[int]) -> npt.NDArray[np.uint8]:
        """All training inputs, uint8 (N, H, W, 3), memory-mapped; those of `images` are checked.

        Raises
        ------
        BankError
            If one of `images` is damaged.
        """
        return self._checked(layout.INPUTS_FILE, images)

    def targets(self, images: Iterable[int]) -> npt.NDArray[np.uint8]:
        """All training targets, uint8 (N, H, W, 3) or label maps (N, H, W), as `inputs`."""
        return self._checked(layout.TARGETS_FILE, images)

    def pair(self, image: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Input uint8 (H, W, 3), and target uint8 (H, W, 3) or label map (H, W), of an image."""
        return np.array(self.inputs([image])[image]), np.array(self.targets([image])[image])

    def verify(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Read the whole bank and check all checksums; `progress(done, total)` counts images.

        Raises
        ------
        BankError
            If anything is damaged, naming file and image.
        """
        self._records.verify_all(progress)

    def nearest(
        self,
        image: QueryImage,
        count: int = 1,
        *,
        among: Sequence[int | str] | None = None,
        layer: str | None = None,
    ) -> list[Candidate]:
        """The training images most similar to `image` by the global descriptor, nearest first.

        The pair of the first one is the paper's global reconstruction (`pair`).

        Parameters
        ----------
        image
            uint8 RGB (H, W, 3), the path of an image file, a `Query`, or what `run` returned.
        count
            How many; a warning says so when the bank has fewer.
        among
            Names or indices of training images to choose from. Default: all.
        layer
            Compare by the whole activation of this layer of the bank instead of the descriptor.

        Raises
        ------
        LayerError
            If the bank does not hold the layer.
        SearchError
            If the bank has no descriptors, or `count` or `among` make no sense.
        """
        if layer is None:
            self._need_descriptor()
        else:
            self.manifest.layer(layer)
        allowed = self._indices(among)
        tap = layer or str(self.descriptor)
        if isinstance(image, Reading):
            image.check_taps({tap: self.model.tap_shape(tap)})
            return self._nearest(image.taps[tap], layer, allowed, count, image.file)
        query = self._read(image)
        raw, _ = self.model.run(query.image[np.newaxis], [tap], output=False)
        return self._nearest(raw[tap][0], layer, allowed, count, query.file)

    def run(self, image: QueryImage, layers: Iterable[str]) -> Reading:
        """Run the network over an image, for several explanations of it.

        Parameters
        ----------
        image
            As in `explain`.
        layers
            Layers of the bank that it will be explained at.

        Returns
        -------
        A `Reading`, which `explain` and `nearest` take in place of the image.

        Raises
        ------
        LayerError
            If the bank does not hold a layer.
        ImageError
            If the image cannot be read or is not what the network takes.
        ActivationError
            If the network's output has NaN or infinite values.
        """
        shapes = {name: self.manifest.layer(name).shape for name in layers}
        if self.descriptor is not None:
            shapes[self.descriptor] = self.model.tap_shape(self.descriptor)
        if isinstance(image, Reading):
            image.check_taps(shapes)
            return image
        query = self._read(image)
        raw, output = self.model.run(query.image[np.newaxis], list(shapes), output=True)
        assert output is not None
        taps = {tap: values[0] for tap, values in raw.items()}
        painting = self.model.painting(output[0], self.target_palette)
        return Reading(query.image, painting, taps, query.file)

    @overload
    def explain(
        self,
        image: QueryImage,
        layer: str,
        *,
        top_k: int | None = ...,
        candidates: Sequence[int | str] | None = ...,
        hyperpatch: tuple[int, int] | None = ...,
        composition: Composition = ...,
        method: Method = ...,
        matches: int = ...,
        schedule: Schedule = ...,
        effort: int = ...,
        iterations: int | None = ...,
        seed: int = ...,
        stop_when_unchanged: bool = ...,
        num_threads: int = ...,
        progress: Callable[[str, float], None] | None = ...,
    ) -> Explanation: ...

    @overload
    def explain(
        self,
        image: QueryImage,
        layer: list[str] | tuple[str, ...],
        *,
        top_k: int | None = ...,
        candidates: Sequence[int | str] | None = ...,
        hyperpatch: tuple[int, int] | None = ...,
        composition: Composition = ...,
        method: Method = ...,
        matches: int = ...,
        schedule: Schedule = ...,
        effort: int = ...,
        iterations: int | None = ...,
        seed: int = ...,
        stop_when_unchanged: bool = ...,
        num_threads: int = ...,
        progress: Callable[[str, float], None] | None = ...,
    ) -> dict[str, Explanation]: ...

    def explain(
        self,
        image: QueryImage,
        layer: str | list[str] | tuple[str, ...],
        *,
        top_k: int | None = None,
        candidates: Sequence[int | str] | None = None,
        hyperpatch: tuple[int, int] | None = None,
        composition: Composition = "copy",
        progress: Callable[[str, float], None] | None = None,
        **search: Any,
    ) -> Explanation | dict[str, Explanation]:
        """Explain what the network paints for an image, at one layer or at several.

        Parameters
        ----------
        image
            uint8 RGB (H, W, 3) of the network's size, the path of an image file, a `Query`, or what
            `run` returned.
        layer
            A layer of the bank, or several: the network runs once for all.
        top_k
            Search only the k training images nearest by the global descriptor (paper, section
            3.2). Default: all.
        candidates
            Names or indices of the training images that may be used. Default: all.
        hyperpatch
            Cells (h, w) of a hyperpatch. Default: the layer's own.
        composition
            "copy" takes each pixel from the patch that owns it (paper, section 3.1); "overlap"
            merges the overlapping windows of all hyperpatches. See `compnn.composition`.
        progress
            Called as `progress(layer, share)`, share in [0, 1]; an exception ends the search.
        **search
            `method`, `matches`, `schedule`, `effort`, `iterations`, `seed`, `stop_when_unchanged`
            and `num_threads`: see `compnn.search.Search`.

        Returns
        -------
        An `Explanation`; for several layers a dict of them by layer.

        Raises
        ------
        LayerError
            If the bank does not hold a layer, or the hyperpatch does not fit into it.
        ImageError
            If the image cannot be read or is not what the network takes.
        SearchError
            If the search makes no sense.
        ActivationError
            If the network gives NaN or infinite values.
        BankError
            If what the search needs is damaged.
        """
        how = Search(**search)
        check_composition(composition)
        names = [layer] if isinstance(layer, str) else list(dict.fromkeys(layer))
        layers = [self.manifest.layer(name) for name in names]
        if hyperpatch is not None:
            layers = [dataclasses.replace(one, hyperpatch=hyperpatch) for one in layers]
        allowed = self._indices(candidates)
        if top_k is not None:
            self._need_descriptor()
        reading = self.run(image, names)
        if self.descriptor is None:
            chosen = [Candidate(index, self.names[index], None) for index in allowed]
        else:
            count = len(allowed) if top_k is None else top_k
            descriptor = reading.taps[self.descriptor]
            chosen = self._nearest(descriptor, None, allowed, count, reading.file)
        explanations = {}
        for one in layers:
            explanations[one.name] = Explanation(
                one,
                self._search(one, reading.taps[one.name], chosen, how, progress, reading.file),
                reading.image,
                reading.painted,
                tuple(chosen),
                self,
                composition,
            )
        return explanations[names[0]] if isinstance(layer, str) else explanations

    def _search(
        self,
        layer: Layer,
        raw: npt.NDArray[np.float32],
        candidates: Sequence[Candidate],
        how: Search,
        progress: Callable[[str, float], None] | None,
        query: str,
    ) -> Field:
        indices = [candidate.index for candidate in candidates]
        report = None if progress is None else lambda share: progress(layer.name, share)
        return self._field(layer, raw, query, indices, layer.hyperpatch, how, report)

    def _field(
        self,
        layer: Layer,
        raw: npt.NDArray[np.float32],
        query: str,
        images: list[int],
        hyperpatch: tuple[int, int],
        how: Search,
        progress: Callable[[float], None] | None = None,
    ) -> Field:
        """Search `images` for the activation `raw` (D, H, W) of a layer.

        It is rounded like the bank's, so that an image finds itself exactly.
        """
        directions = self._records.directions(layer.name)
        packer = Packer(
            {layer.name: layer.shape},
            (layer.name,),
            None,
            self.manifest.dtype,
            {} if directions is None else {layer.name: directions},
        )
        cells, norms = packer.records({layer.name: raw}, query)
        bank = self._cells(layer, images)
        share = None
        if directions is not None:
            # What lies outside of the directions is like nothing in the bank.
            share = kept_share(packer.lost[layer.name], norms, hyperpatch, self.manifest.dtype)
        return how.field(bank, cells, norms, images, hyperpatch, progress, share)

    def _cells(self, layer: Layer, images: Sequence[int]) -> _core.CellBank:
        """The cells of a layer, once those of `images` have been checked."""
        files = layout.activations_file(layer.name), layout.norms_file(layer.name)
        return bank_of(*(self._checked(file, images) for file in files))

    def _nearest(
        self,
        raw: npt.NDArray[np.float32],
        layer: str | None,
        allowed: Sequence[int],
        count: int,
        query: str,
    ) -> list[Candidate]:
        """The nearest by the activation `raw` of a layer, or of the descriptor's tap (None)."""
        if count < 1:
            raise SearchError(f"the number of nearest images must be at least 1, not {count}")
        if count > len(allowed):
            warnings.warn(
                f"{count} nearest images were asked for; there are only {len(allowed)}, "
                f"so all are used",
                stacklevel=3,
            )
            count = len(allowed)
        # An activation is one hyperpatch, a descriptor one of one cell: the engine ranks images as
        # it ranks those.
        how = Search("exhaustive", matches=count, num_threads=1)
        if layer is None:
            stored = self._checked(layout.DESCRIPTORS_FILE, allowed)
            norms = self._checked(layout.DESCRIPTOR_NORMS_FILE, allowed)
            bank = bank_of(stored.reshape(len(stored), 1, 1, -1), norms[:, np.newaxis, np.newaxis])
            descriptor, norm = pack_descriptor(raw, str(self.descriptor), query)
            field = how.field(bank, descriptor[None, None], norm[None, None], allowed, (1, 1))
        else:
            whole = self.layers[layer].shape[:2]
            field = self._field(self.layers[layer], raw, query, list(allowed), whole, how)
        return [
            Candidate(int(index), self.names[index], float(similarity))
            for index, similarity in zip(
                field.image[:, 0, 0], field.similarity[:, 0, 0], strict=True
            )
        ]

    def _read(self, image: npt.NDArray[np.uint8] | str | Path | Query) -> Query:
        """The image as the network sees it."""
        if isinstance(image, (str, Path)):
            query = read_query(image, self.input_palette, self.target_palette)
        elif isinstance(image, Query):
            query = image
        else:
            query = Query("query", np.asarray(image), None)
        self.model.check_image(query.image, query.file)
        fitted = np.ascontiguousarray(self.model.preprocessing.fit(query.image))
        return dataclasses.replace(query, image=fitted)

    def _indices(self, images: Sequence[int | str] | None) -> list[int]:
        if images is None:
            return list(range(len(self)))
        if isinstance(images, str):
            raise SearchError(f"candidates must be a list of names or indices, not {images!r}")
        if len(images) == 0:
            raise SearchError("there are no candidates; allow at least one training image")
        indices = set()
        for image in images:
            index = self.manifest.index(image) if isinstance(image, str) else int(image)
            if not 0 <= index < len(self):
                raise SearchError(
                    f"there is no training image {index}; the bank has images 0 to {len(self) - 1}"
                )
            indices.add(index)
        return sorted(indices)

    def _need_descriptor(self) -> None:
        if self.descriptor is None:
            raise SearchError(
                f"the bank {self.path} has no global descriptors, which the nearest images are "
                f"chosen by; build it with a descriptor (`--descriptor`), or search all images"
            )

    def _checked(self, file: str, images: Iterable[int]) -> npt.NDArray[Any]:
        self._records.verify(file, images)
        return self._records.array(file)
