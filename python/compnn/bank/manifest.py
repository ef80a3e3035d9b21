"""The manifest of a bank: what it holds and what it was built from, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from compnn.bank import layout
from compnn.bank.disk import disk_errors
from compnn.bank.json_fields import Field
from compnn.bank.layout import ArraySpec
from compnn.errors import BankError, CompnnError, LayerError, NetworkError
from compnn.network.layer import Layer
from compnn.network.onnx import Model
from compnn.network.onnx_graph import OnnxGraph
from compnn.images.palette import Palette
from compnn.network.preprocessing import Preprocessing

_T = TypeVar("_T")
_LARGEST_CRC = 0xFFFFFFFF
_ARRAY_DTYPES = ("uint8", *map(layout.stored_dtype, layout.ACTIVATION_DTYPES))


@dataclass(frozen=True)
class BankModel:
    """The network that the bank was built with.

    Attributes
    ----------
    path
        Its file at the time.
    fingerprint
        "sha256:" and the hex digest of the file.
    input_size
        (height, width) of its input, and of every image in the bank.
    """

    path: str
    fingerprint: str
    input_size: tuple[int, int]


@dataclass(frozen=True)
class BankDescriptor:
    """The tap that gives the descriptors, and their number of values."""

    tap: str
    dim: int


@dataclass(frozen=True)
class BankDirections:
    """The directions that a layer's cells are kept along.

    Attributes
    ----------
    count
        Number of directions K, less than the layer's channels.
    crc32
        CRC-32 of the file's numbers.
    """

    count: int
    crc32: int


@dataclass(frozen=True)
class SkippedImage:
    """An image that was left out of the bank because it could not be read."""

    name: str
    reason: str


@dataclass(frozen=True)
class BankArray:
    """An array of the bank, of one record per image.

    Attributes
    ----------
    spec
        File, record shape and dtype.
    crc32
        CRC-32 of each record.
    """

    spec: ArraySpec
    crc32: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""
        return (len(self.crc32), *self.spec.record_shape)

    @property
    def nbytes(self) -> int:
        """Size of the whole array, without the file's header."""
        return len(self.crc32) * self.spec.record_bytes


@dataclass(frozen=True)
class Manifest:
    """All that a bank knows about itself except the arrays' values; see docs/bank_format.md.

    Attributes
    ----------
    compnn_version
        Version of compnn that wrote the bank.
    model, preprocessing
        The network and how images were given to it.
    dtype
        Of activations, one of `layout.ACTIVATION_DTYPES`.
    layers
        The layers by name, in the order in which they were asked for.
    directions
        Of the layers that are kept along fewer directions than they have channels.
    descriptor
        None for a bank without global image features.
    input_palette, target_palette
        Palettes of label maps; None for photos.
    names
        Names of the images, in the order of the records.
    attributes
        {name: {key: value}} of the images that have any.
    skipped
        Images of the dataset that are not in the bank.
    arrays
        The arrays by file.
    """

    compnn_version: str
    model: BankModel
    preprocessing: Preprocessing
    dtype: str
    layers: Mapping[str, Layer]
    directions: Mapping[str, BankDirections]
    descriptor: BankDescriptor | None
    input_palette: Palette | None
    target_palette: Palette | None
    names: tuple[str, ...]
    attributes: Mapping[str, Mapping[str, str]]
    skipped: tuple[SkippedImage, ...]
    arrays: Mapping[str, BankArray]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def layer(self, name: str) -> Layer:
        """Return a layer.

        Raises
        ------
        LayerError
            If the bank does not have it.
        """
        try:
            return self.layers[name]
        except KeyError:
            raise LayerError(
                f"the bank has no layer {name!r}, only {', '.join(self.layers)}. "
                f"Choose one of them, or build a bank with this layer."
            ) from None

    def index(self, name: str) -> int:
        """Return the record of the image called `name`.

        Raises
        ------
        BankError
            If the bank does not have it.
        """
        try:
            return self._indices[name]
        except KeyError:
            raise BankError(
                f"the bank has no image {name!r}; its images are {_some(self.names)}."
            ) from None

    @property
    def nbytes(self) -> int:
        """Size of all arrays together."""
        return sum(array.nbytes for array in self.arrays.values())

    def kept(self, layer: str) -> int:
        """Numbers K of a cell of a layer: its directions, or all of its channels."""
        found = self.directions.get(layer)
        return self.layers[layer].shape[2] if found is None else found.count

    def layer_bytes(self, layer: str) -> int:
        """Size of a layer's activations, norms and directions."""
        files = layout.activations_file(layer), layout.norms_file(layer)
        directions = 0
        if layer in self.directions:
            directions = 4 * self.kept(layer) * self.layers[layer].shape[2]
        return sum(self.arrays[file].nbytes for file in files) + directions

    def load_model(
        self,
        path: str | Path | None = None,
        *,
        resize: bool | None = None,
        num_threads: int = -1,
    ) -> Model:
        """Load the network of this bank, with the bank's layers and preprocessing.

        Parameters
        ----------
        path
            Its file; by default where it was when the bank was built.
        resize
            Whether queries of another size are resized; by default as at the build.
        num_threads
            As in `Model`.

        Raises
        ------
        NetworkError
            If the file is missing.
        BankError
            If it is another network.
        """
        preprocessing = self.preprocessing
        if resize is not None:
            preprocessing = replace(preprocessing, resize=resize)
        file = Path(self.model.path if path is None else path)
        if path is None and not file.is_file():
            raise NetworkError(
                f"the bank's network is no longer at {file}; give its file with `--model`, or open "
                f"the bank with `model=`"
            )
        try:
            model = Model(
                file,
                list(self.layers),
                None if self.descriptor is None else self.descriptor.tap,
                preprocessing=preprocessing,
                num_threads=num_threads,
            )
        except (LayerError, NetworkError):
            # Another network need not have the bank's layers and size: then that is the message.
            self._check_fingerprint(file, OnnxGraph(file).fingerprint)
            raise
        self.check_model(model)
        return model

    def check_model(self, model: Model) -> None:
        """Check that `model` is the network of this bank, with the same preprocessing.

        Raises
        ------
        BankError
            If it is not.
        """
        self._check_fingerprint(model.path, model.fingerprint)
        ours, theirs = scaling_json(self.preprocessing), scaling_json(model.preprocessing)
        if ours != theirs:
            raise BankError(
                f"the bank was built with the preprocessing {ours}, but the network is given "
                f"{theirs}. Use the bank's, or build a bank with this one."
            )

    def _check_fingerprint(self, file: Path, fingerprint: str) -> None:
        if fingerprint != self.model.fingerprint:
            raise BankError(
                f"the bank was built with {self.model.path} ({_short(self.model.fingerprint)}), "
                f"not with {file} ({_short(fingerprint)}). "
                f"Give that network, or build a bank with this one."
            )

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    def to_json(self) -> dict[str, Any]:
        """Return the document that `from_json` reads."""
        return {
            "format": layout.FORMAT,
            "version": layout.FORMAT_VERSION,
            "compnn": self.compnn_version,
            "model": {
                "path": self.model.path,
                "fingerprint": self.model.fingerprint,
                "input_size": list(self.model.input_size),
            },
            "preprocessing": self.preprocessing.to_json(),
            "dtype": self.dtype,
            "layers": [
                {
                    "name": each.name,
                    "shape": list(each.shape),
                    "stride": list(each.stride),
                    "hyperpatch": list(each.hyperpatch),
                    "activations": layout.activations_file(each.name),
                    "norms": layout.norms_file(each.name),
                    "directions": self._directions_json(each.name),
                }
                for each in self.layers.values()
            ],
            "descriptor": self.descriptor
            and {"tap": self.descriptor.tap, "dim": self.descriptor.dim},
            "input_palette": self.input_palette and self.input_palette.to_json(),
            "target_palette": self.target_palette and self.target_palette.to_json(),
            "names": list(self.names),
            "attributes": {name: dict(values) for name, values in self.attributes.items()},
            "skipped": [{"name": each.name, "reason": each.reason} for each in self.skipped],
            "arrays": {
                file: {
                    "shape": list(array.shape),
                    "dtype": array.spec.dtype,
                    "crc32": list(array.crc32),
                }
                for file, array in self.arrays.items()
            },
        }

    def _directions_json(self, layer: str) -> dict[str, Any] | None:
        found = self.directions.get(layer)
        if found is None:
            return None
        file = layout.directions_file(layer)
        return {"file": file, "count": found.count, "crc32": found.crc32}

    @classmethod
    def from_json(cls, data: Any, document: str) -> Manifest:
        """Return the manifest that `to_json` wrote.

        Parameters
        ----------
        data
            The parsed JSON.
        document
            What it was read from, for messages.

        Raises
        ------
        BankError
            If it is not a bank's manifest, is of a newer format, or a field is malformed.
        """
        if not isinstance(data, dict) or data.get("format") != layout.FORMAT:
            raise BankError(f"{document} is not the manifest of a bank. Give the folder of a bank.")
        root = Field(data, document)
        version = root.child("version").as_int(1)
        if version != layout.FORMAT_VERSION:
            newer = version > layout.FORMAT_VERSION
            raise BankError(
                f"{document} was written by {'a newer' if newer else 'an older'} compnn: format "
                f"{version}, this one reads {layout.FORMAT_VERSION}. "
                f"{'Upgrade compnn' if newer else 'Rebuild the bank'}."
            )
        names = root.child("names")
        if len(set(names.as_strings())) != len(names.as_strings()) or not names.value:
            raise names.malformed("an array of distinct names, at least one")
        input_size = _pair(root.child("model").child("input_size"))
        manifest = cls(
            compnn_version=root.child("compnn").as_str(),
            model=BankModel(
                path=root.child("model").child("path").as_str(),
                fingerprint=root.child("model").child("fingerprint").as_str(),
                input_size=input_size,
            ),
            preprocessing=_parsed(root.child("preprocessing"), Preprocessing.from_json),
            dtype=root.child("dtype").as_choice(layout.ACTIVATION_DTYPES),
            layers={
                each.name: each
                for each in (_layer(f, input_size) for f in root.child("layers").elements())
            },
            directions={
                f.child("name").as_str(): found
                for f in root.child("layers").elements()
                if (found := f.optional("directions", partial(_directions, f))) is not None
            },
            descriptor=root.optional("descriptor", _descriptor),
            input_palette=root.optional("input_palette", _palette),
            target_palette=root.optional("target_palette", _palette),
            names=names.as_strings(),
            attributes={
                name: {key: value.as_str() for key, value in values.items().items()}
                for name, values in root.child("attributes").items().items()
            },
            skipped=tuple(
                SkippedImage(each.child("name").as_str(), each.child("reason").as_str())
                for each in root.child("skipped").elements()
            ),
            arrays={
                file: _array(file, each, len(names.value))
                for file, each in root.child("arrays").items().items()
            },
        )
        manifest._check_arrays(root.child("arrays"))
        return manifest

    def _check_arrays(self, arrays: Field) -> None:
        """Raise BankError unless there is exactly one array for each thing that the bank holds."""
        specs = layout.array_specs(
            tuple(self.layers.values()),
            {name: found.count for name, found in self.directions.items()},
            None if self.descriptor is None else self.descriptor.dim,
            self.dtype,
            self.model.input_size,
            label_targets=self.target_palette is not None,
        )
        if {spec.file for spec in specs} != set(self.arrays):
            files = ", ".join(spec.file for spec in specs)
            raise arrays.malformed(f"an object with exactly the keys {files}")
        for spec in specs:
            if self.arrays[spec.file].spec != spec:
                shape = [len(self), *spec.record_shape]
                raise arrays.child(spec.file).malformed(
                    f"an array of shape {shape} and dtype {spec.dtype}"
                )


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in a file.

    Raises
    ------
    BankError
        If it cannot be read, is malformed, or is of a newer format.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise BankError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BankError(f"{path} is malformed: not JSON ({error}). Rebuild the bank.") from error
    return Manifest.from_json(data, str(path))


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write the manifest to a file, which appears at once and complete.

    Raises
    ------
    BankError
        If it cannot be written.
    """
    # One line per field: the lists of names and checksums would take too many otherwise.
    fields = (f"{json.dumps(key)}: {json.dumps(part)}" for key, part in manifest.to_json().items())
    unfinished = path.with_name(path.name + ".tmp")
    with disk_errors(path):
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write("{\n" + ",\n".join(fields) + "\n}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)


def scaling_json(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return the JSON of what decides a network's input, once images have its size."""
    return {key: part for key, part in preprocessing.to_json().items() if key != "resize"}


def _pair(field: Field) -> tuple[int, int]:
    first, second = field.as_sizes(2)
    return first, second


def _layer(field: Field, image_size: tuple[int, int]) -> Layer:
    name = field.child("name").as_str()
    for key, file in (
        ("activations", layout.activations_file(name)),
        ("norms", layout.norms_file(name)),
    ):
        if field.child(key).value != file:
            raise field.child(key).malformed(repr(file))
    height, width, channels = field.child("shape").as_sizes(3)
    stride, hyperpatch = _pair(field.child("stride")), _pair(field.child("hyperpatch"))
    try:
        return Layer(name, (height, width, channels), stride, hyperpatch, image_size)
    except LayerError as error:
        raise field.malformed(f"a layer: {error}") from error


def _directions(layer: Field, field: Field) -> BankDirections:
    file = layout.directions_file(layer.child("name").as_str())
    if field.child("file").value != file:
        raise field.child("file").malformed(repr(file))
    count, channels = field.child("count").as_int(1), layer.child("shape").as_sizes(3)[2]
    if count >= channels:
        raise field.child("count").malformed(f"less than the layer's {channels} channels")
    crc32 = field.child("crc32")
    if crc32.as_int(0) > _LARGEST_CRC:
        raise crc32.malformed(f"an integer in 0..{_LARGEST_CRC}")
    return BankDirections(count, crc32.as_int(0))


def _descriptor(field: Field) -> BankDescriptor:
    return BankDescriptor(field.child("tap").as_str(), field.child("dim").as_int(1))


def _palette(field: Field) -> Palette:
    return _parsed(field, Palette.from_json)


def _parsed(field: Field, parse: Callable[[dict[str, Any]], _T]) -> _T:
    if not isinstance(field.value, dict):
        raise field.malformed("an object")
    try:
        return parse(field.value)
    except (CompnnError, TypeError, ValueError, KeyError) as error:
        raise field.malformed(f"as compnn writes it ({error})") from error


def _array(file: str, field: Field, count: int) -> BankArray:
    shape, crc32 = field.child("shape"), field.child("crc32")
    sizes = shape.as_sizes(len(shape.elements()))
    checksums = crc32.as_ints(0, _LARGEST_CRC)
    if not sizes or sizes[0] != count:
        raise shape.malformed(f"the shape of an array of {count} records")
    if len(checksums) != count:
        raise crc32.malformed(f"{count} checksums")
    dtype = field.child("dtype").as_choice(_ARRAY_DTYPES)
    return BankArray(ArraySpec(file, sizes[1:], dtype), checksums)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def _short(fingerprint: str) -> str:
    """Return the first 12 hex digits of a fingerprint."""
    return fingerprint.removeprefix("sha256:")[:12]
