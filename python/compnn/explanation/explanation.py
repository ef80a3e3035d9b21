"""What compnn says about one image at one layer: reconstructions and where they come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from compnn.errors import CompnnError, SearchError
from compnn.explanation.composition import (
    Composition,
    Pictures,
    Placements,
    Provenance,
    check_composition,
    compose,
    no_evidence,
    provenance,
)
from compnn.explanation.saved import (
    SavedImage,
    SavedImages,
    SavedPicture,
    crc32_of,
    is_whole,
    read_picture,
    replacing_folder,
    source_file,
    write_picture,
)
from compnn.files import make_folder, read_file, write_file
from compnn.images.files import write_images
from compnn.images.kinds import Kind, Photo, Picture, kind_from_json
from compnn.network.geometry import Placement, Size
from compnn.network.layer import Layer
from compnn.search.field import Field
from compnn.search.search import Search, search_from_json, search_json
from compnn.views import Shown

_FORMAT = "compnn-explanation"
_VERSION = 2
_DOCUMENT, _FIELD = "explanation.json", "field.npz"
_PICTURES = ("query", "network_output", "input", "output")
_OF_TARGETS = ("network_output", "output")
# What `save` may have written.
_FILES = (*(f"{name}.npy" for name in _PICTURES), "sources/*-input.*", "sources/*-target.*")


_Side: TypeAlias = Callable[[Layer], Placement]


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


class Named(Protocol):
    """Names by index."""

    def __getitem__(self, index: int, /) -> str: ...


class TrainingImages(Protocol):
    """The training images that an explanation points to: those of a bank, or of a saved folder.

    Attributes
    ----------
    path
        Where they are.
    names
        Name of each image by its index.
    attributes
        {name: {key: value}} of the images that have any.
    inputs, targets
        Their pictures.
    """

    def layer_of(self, name: str, image: int) -> Layer:
        """A layer as it lies over an image."""

    @property
    def path(self) -> Path: ...
    @property
    def names(self) -> Named: ...
    @property
    def attributes(self) -> Mapping[str, Mapping[str, str]]: ...
    @property
    def inputs(self) -> Pictures: ...
    @property
    def targets(self) -> Pictures: ...


class Explanation(Shown):
    """The explanation of what the network painted for one image, at one layer: a value.

    It can be saved and loaded again, without the bank, and pickled.

    Attributes
    ----------
    layer
        The layer, with the hyperpatch that was matched.
    field
        The correspondences: for each hyperpatch its best matches.
    search
        How they were searched for; what `Auto` has chosen.
    query
        uint8 (H, W, 3), or of other channels (`Photo`): the image as the network saw it.
    network_output
        What the network painted, of the targets' kind, at the size of the layer's output; None
        where it has no output.
    candidates
        The training images that were searched, most similar first.
    input_kind, target_kind
        What inputs and targets are.
    images
        The training images.
    composition
        How the reconstructions are put together: "copy" (the paper's, section 3.1) or "overlap",
        see `compnn.explanation.composition.Composition`. Provenance and sources are those of the
        owners of the pixels in either case. The input reconstruction is put together by where the
        layer looks, the output reconstruction by where it paints.

    Raises
    ------
    SearchError
        If there is no such composition.
    """

    def __init__(
        self,
        layer: Layer,
        field: Field,
        search: Search,
        query: Picture,
        network_output: Picture | None,
        candidates: Sequence[Candidate],
        kinds: tuple[Kind, Kind],
        images: TrainingImages,
        composition: Composition = "copy",
    ) -> None:
        check_composition(composition)
        self.layer = layer
        self.field = field
        self.search = search
        self.query = query
        self.network_output = network_output
        self.candidates = tuple(candidates)
        self.input_kind, self.target_kind = kinds
        self.images = images
        self.composition: Composition = composition
        self._layers: dict[Size, Layer] = {}

    def __repr__(self) -> str:
        return (
            f"Explanation({self.layer.name}: mean similarity {self.field.mean_similarity:.4f}, "
            f"{len(self.sources())} sources of {len(self.candidates)} candidates)"
        )

    @cached_property
    def provenance(self) -> Provenance:
        """Where each pixel of the output reconstruction comes from, in the training targets."""
        return self._provenance(_paints, self.images.targets)

    @cached_property
    def input_provenance(self) -> Provenance:
        """Where each pixel of the input reconstruction comes from, in the training inputs."""
        known = self.field.image[self.field.image >= 0]
        layers = [self.layer, *map(self._layer_of, np.unique(known).tolist())]
        if all(each.looks == each.paints for each in dict.fromkeys(layers)):
            return self.provenance
        return self._provenance(_looks, self.images.inputs)

    @cached_property
    def input(self) -> Picture:
        """The input reconstruction: as the query, from training inputs."""
        return self._composed(_looks, self.images.inputs, self.input_kind)

    @cached_property
    def output(self) -> Picture:
        """The output reconstruction, from training targets: of their kind."""
        return self._composed(_paints, self.images.targets, self.target_kind)

    @cached_property
    def no_evidence(self) -> npt.NDArray[np.bool_]:
        """Pixels of the output reconstruction without any match: bool, at the output's size."""
        return no_evidence(self.field, self.layer.paints, self.composition)

    @cached_property
    def input_no_evidence(self) -> npt.NDArray[np.bool_]:
        """Pixels of the input reconstruction without any match: bool (H, W)."""
        return no_evidence(self.field, self.layer.looks, self.composition)

    @property
    def painted_query(self) -> npt.NDArray[np.uint8]:
        """The query as it is shown: RGB."""
        return self.input_kind.paint(self.query)

    @property
    def painted_input(self) -> npt.NDArray[np.uint8]:
        """The input reconstruction as it is shown: RGB, hatched where there is no evidence."""
        return self.input_kind.paint(self.input)

    @property
    def painted_output(self) -> npt.NDArray[np.uint8]:
        """The output reconstruction as it is shown: RGB, hatched where there is no evidence."""
        painted = self.target_kind.paint(self.output)
        if painted is self.output or not self.no_evidence.any():
            return painted
        return self.target_kind.unmatched(painted, self.no_evidence)

    def _provenance(self, side: _Side, pictures: Pictures) -> Provenance:
        return provenance(self.field, side(self.layer), self._placements(side), pictures)

    def _composed(self, side: _Side, pictures: Pictures, kind: Kind) -> Picture:
        pasted = self.field.image[: 1 if self.composition == "copy" else self.field.matches]
        pictures.check(np.unique(pasted[pasted >= 0]).tolist())
        own, sources = side(self.layer), self._placements(side)
        return compose(self.field, own, sources, pictures, self.composition, kind)

    def _placements(self, side: _Side) -> Placements:
        return lambda image: side(self._layer_of(image))

    def _layer_of(self, image: int) -> Layer:
        """The layer as it lies over a training image: one for all of a size."""
        heights, widths = self.images.inputs.sizes(np.array([image]))
        size = int(heights[0]), int(widths[0])
        if size not in self._layers:
            layer = self.images.layer_of(self.layer.name, image)
            self._layers[size] = replace(layer, hyperpatch=self.layer.hyperpatch)
        return self._layers[size]

    def sources(self, of: Literal["output", "input"] = "output") -> list[Source]:
        """The training images that gave pixels to a reconstruction, those that gave most first.

        Pixels without a match have no source: there the shares sum to less than 1.
        """
        given = self.provenance if of == "output" else self.input_provenance
        indices, pixels = np.unique(given.image[given.image >= 0], return_counts=True)
        order = np.lexsort((indices, -pixels))
        total = given.image.size
        names, attributes = self.images.names, self.images.attributes
        found = []
        for index, count in zip(indices[order].tolist(), pixels[order].tolist(), strict=True):
            name = names[index]
            found.append(Source(index, name, count, count / total, attributes.get(name, {})))
        return found

    def source_images(self, index: int) -> tuple[npt.NDArray[np.uint8], Picture]:
        """The training pair `index`: input and target, as `query` and `output`.

        Raises
        ------
        BankError
            If it is damaged.
        SearchError
            If it was not saved with the explanation.
        """
        pictures = self.images.inputs, self.images.targets
        for each in pictures:
            each.check([index])
        return pictures[0].picture(index), pictures[1].picture(index)

    def save(self, folder: str | Path, *, sources: Literal["used", "none"] = "used") -> list[Path]:
        """Write the explanation into a folder, from which `load` reads it again.

        For people: query, network_output (if any), input and output as PNG (label maps in colours).
        For `load`: `explanation.json`, `field.npz`, `*.npy` of pictures that a PNG does not hold as
        they are, and in `sources/`, lossless, the training pictures that the kept matches point to
        and those of the image nearest by descriptor. The folder is made if need be; what an older
        explanation has left in it is replaced, once all of the new one is on the disk.

        Parameters
        ----------
        folder
            Where to.
        sources
            "used" copies the pictures of the sources; with "none", `source_images` of the loaded
            explanation has none.

        Returns
        -------
        The paths of the pictures for people and of the field.

        Raises
        ------
        OutputError
            If that fails.
        SearchError
            If `sources` is neither.
        """
        if sources not in ("used", "none"):
            raise SearchError(f'sources are "used" or "none", not {sources!r}')
        folder = Path(folder)
        own = {} if self.network_output is None else {"network_output": self.network_output}
        pictures: dict[str, Picture] = {
            "query": self.query,
            **own,
            "input": self.input,
            "output": self.output,
        }
        painted = {
            name: (self.target_kind if name in _OF_TARGETS else self.input_kind).paint(picture)
            for name, picture in pictures.items()
        }
        painted["output"] = self.painted_output
        known = set(np.unique(self.field.image).tolist()) - {-1}
        known.update(each.index for each in self.candidates[:1] if each.similarity is not None)
        with replacing_folder(folder, _DOCUMENT, _FILES) as new:
            write_images(new, painted)
            self.field.save(new / _FIELD)
            for name, picture in pictures.items():
                if picture is not painted[name]:
                    write_picture(new / f"{name}.npy", picture)
            images = [self._saved_image(index, new, sources == "used") for index in sorted(known)]
            # None for the network's own picture where it has no output.
            checksums: dict[str, int | None] = dict.fromkeys(_PICTURES)
            checksums |= {name: crc32_of(picture) for name, picture in pictures.items()}
            document = self._document(images, {"field": _crc32_of_field(self.field), **checksums})
            write_file(new / _DOCUMENT, json.dumps(document).encode("ascii"))
        return [*(folder / f"{name}.png" for name in pictures), folder / _FIELD]

    def _saved_image(self, index: int, folder: Path, is_kept: bool) -> SavedImage:
        """What is said of a training image, whose pictures are written if they are to be kept."""
        saved = []
        if is_kept:
            make_folder(folder / "sources")
        for part, pictures in (("input", self.images.inputs), ("target", self.images.targets)):
            heights, widths = pictures.sizes(np.array([index]))
            crc32 = None
            if is_kept:
                pictures.check([index])
                picture = pictures.picture(index)
                write_picture(source_file(folder, index, part, picture.dtype.name), picture)
                crc32 = crc32_of(picture)
            saved.append(SavedPicture((int(heights[0]), int(widths[0])), crc32))
        name = self.images.names[index]
        layer = self._layer_of(index)
        return SavedImage(
            index,
            name,
            self.images.attributes.get(name, {}),
            saved[0],
            saved[1],
            (layer.shape[0], layer.shape[1]),
            layer.geometry,
        )

    def _document(
        self, images: Sequence[SavedImage], checksums: Mapping[str, int | None]
    ) -> dict[str, object]:
        known = self.images
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "layer": self.layer.to_json(),
            "search": search_json(self.search),
            "composition": self.composition,
            "input_kind": self.input_kind.to_json(),
            "target_kind": self.target_kind.to_json(),
            "bank": known.bank if isinstance(known, SavedImages) else str(known.path),
            "checksums": dict(checksums),
            "images": [each.to_json() for each in images],
            "candidates": [[each.index, each.name, each.similarity] for each in self.candidates],
        }

    @classmethod
    def load(cls, folder: str | Path) -> Explanation:
        """Read an explanation that `save` wrote. No bank is needed.

        Raises
        ------
        SearchError
            If there is none, or a file of it is missing or damaged.
        """
        folder = Path(folder).absolute()
        document = _read_document(folder)
        try:
            return cls._of_document(folder, document)
        except (CompnnError, KeyError, TypeError, ValueError) as error:
            what = f"its field {error} is missing" if isinstance(error, KeyError) else str(error)
            raise SearchError(
                f"{folder} holds no whole explanation: {what}; save it again"
            ) from error

    @classmethod
    def _of_document(cls, folder: Path, document: Mapping[str, Any]) -> Explanation:
        layer, field = _layer_of(document["layer"]), Field.load(folder / _FIELD)
        kinds = kind_from_json(document["input_kind"]), kind_from_json(document["target_kind"])
        known = [SavedImage.from_json(each) for each in _list(document["images"])]
        images = SavedImages(folder, _string(document["bank"]), known, kinds, layer)
        _check_field(field, layer, images)
        checksums = document["checksums"]
        if _crc32_of_field(field) != checksums["field"]:
            raise SearchError(f"{folder / _FIELD} is damaged, or of another explanation")
        pictures = {}
        for name in _PICTURES:
            if name == "network_output" and checksums[name] is None:
                continue
            kind = kinds[1] if name in _OF_TARGETS else kinds[0].seen
            file = folder / f"{name}{'.png' if kind == Photo() else '.npy'}"
            size = layer.output_size if name in _OF_TARGETS else layer.image_size
            pictures[name] = read_picture(file, size, kind, checksums[name])
        loaded = cls(
            layer,
            field,
            search_from_json(document["search"]),
            pictures["query"],
            pictures.get("network_output"),
            [_candidate_of(each) for each in _list(document["candidates"])],
            kinds,
            images,
            document["composition"],
        )
        # What was put together is read as it was: without its sources it could not be, again.
        loaded.__dict__.update(input=pictures["input"], output=pictures["output"])
        # True is as good as 1 to Python, and much is to `str`.
        written = loaded._document(known, checksums)
        for name in document:
            if name not in written or json.dumps(written[name]) != json.dumps(document[name]):
                raise SearchError(f"its field {name!r} is not as `save` writes it")
        return loaded


def _looks(layer: Layer) -> Placement:
    return layer.looks


def _paints(layer: Layer) -> Placement:
    return layer.paints


def _read_document(folder: Path) -> Mapping[str, Any]:
    path = folder / _DOCUMENT
    try:
        document = json.loads(read_file(path))
    except FileNotFoundError:
        raise SearchError(
            f"{folder} holds no saved explanation; give a folder that `save` wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise SearchError(f"{path} cannot be read: {error}; save the explanation again") from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise SearchError(f"{path} is no explanation that `save` wrote; save it again")
    if document.get("version") != _VERSION:
        raise SearchError(
            f"{path} is of version {document.get('version')!r}, not {_VERSION}; save the "
            f"explanation again"
        )
    return document


def _layer_of(document: object) -> Layer:
    if not isinstance(document, Mapping):
        raise SearchError(f"a layer is not {document!r}")
    layer = Layer.from_json(document)
    numbers = *layer.shape, *layer.hyperpatch, *layer.image_size, *layer.output_size
    if not all(is_whole(number, 1) for number in numbers):
        raise SearchError(f"a layer has other numbers than these: {document!r}")
    return layer


def _check_field(field: Field, layer: Layer, images: SavedImages) -> None:
    if field.grid != layer.grid:
        raise SearchError(f"its field has {field.grid} hyperpatches, its layer {layer.grid}")
    for index in np.unique(field.image).tolist():
        if index == -1:
            continue
        if index not in images.names:
            raise SearchError(f"its field points to training image {index}, of which it has none")
        grid = replace(images.layer_of(layer.name, index), hyperpatch=layer.hyperpatch).grid
        here = field.image == index
        if any(
            int(places[here].max()) >= count
            for places, count in zip((field.row, field.col), grid, strict=True)
        ):
            raise SearchError("its field points to places that no image has")


def _candidate_of(document: object) -> Candidate:
    match document:
        case [index, str(name), None] if is_whole(index):
            return Candidate(index, name, None)
        case [index, str(name), float(similarity)] if is_whole(index) and abs(similarity) <= 1:
            return Candidate(index, name, similarity)
    raise SearchError(f"a candidate has an index, a name and a similarity, not {document!r}")


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise SearchError(f"an array was expected, not {value!r}")
    return value


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise SearchError(f"a text was expected, not {value!r}")
    return value


def _crc32_of_field(field: Field) -> int:
    return crc32_of(field.image, field.row, field.col, field.similarity)
