"""A generation of a bank as JSON: what it holds, what it was built from, where its parts are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from compnn.bank import layout
from compnn.bank.json_fields import Field, read_document
from compnn.errors import BankError, CompnnError
from compnn.images.kinds import Kind, kind_from_json
from compnn.network.geometry import AxisMap, Geometry, TokenGrid
from compnn.network.input import InputChoice
from compnn.network.layer import Layer
from compnn.network.network import Identity
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing

_T = TypeVar("_T")
_Place: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class BankDescriptor:
    """The tap that gives the descriptors, and their number of values."""

    tap: str
    dim: int


@dataclass(frozen=True)
class ShardEntry:
    """A shard of the bank: the number that names its folder, and its number of images."""

    id: int
    images: int


@dataclass(frozen=True)
class TablesEntry:
    """The tables of a generation: the number of their folder, and the CRC-32 of each file."""

    id: int
    crc32: Mapping[str, int]


@dataclass(frozen=True)
class DirectionsEntry:
    """The directions that the build found: the number of their folder, and (K, digest) by layer.

    A shard of which a cell lies outside of them keeps that layer whole.
    """

    id: int
    layers: Mapping[str, tuple[int, str]]


@dataclass(frozen=True)
class AttachedArray:
    """An array that was put in by `Bank.attach`."""

    file: str
    shape: tuple[int, ...]
    dtype: str
    crc32: int


@dataclass(frozen=True)
class AttachmentEntry:
    """What was attached under one name: the number of its folder, and the arrays by key."""

    id: int
    arrays: Mapping[str, AttachedArray]

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        arrays = {
            key: {
                "file": each.file,
                "shape": list(each.shape),
                "dtype": each.dtype,
                "crc32": each.crc32,
            }
            for key, each in self.arrays.items()
        }
        return {"id": self.id, "arrays": arrays}


@dataclass(frozen=True)
class Manifest:
    """All that a generation of a bank knows but the content of arrays; see docs/bank_format.md.

    It does not grow with the number of images, but by a line for each shard.

    Attributes
    ----------
    generation
        Its number: 1, 2, ...
    images
        Number of images.
    compnn_version
        Version of compnn that wrote it.
    network, preprocessing
        The network and how images were given to it.
    inputs
        Which input of the network is the image, and what others were set to.
    grids
        Of taps that are tokens which of them are cells, where somebody has said so.
    output
        Which output of the network was asked for, and what it was said to be.
    network_file
        The copy of the network's file in the folder `network`, if there is one.
    dtype
        Of activations, one of `layout.ACTIVATION_DTYPES`.
    layers
        The layers by name, in the order in which they were asked for.
    descriptor
        None for a bank without global image features.
    input_kind, target_kind
        What inputs and targets are.
    shards
        In the order in which the table of images counts them.
    tables
        Names, attributes, places of images in shards.
    directions
        None where no layer has any.
    probe
        What the network made of an image, for `compnn.bank.probe`.
    attachments
        By name.
    unknown
        Fields of a later version, by place; they are written again.
    """

    generation: int
    images: int
    compnn_version: str
    network: Identity
    network_file: str | None
    preprocessing: Preprocessing
    inputs: InputChoice
    grids: Mapping[str, TokenGrid]
    output: OutputChoice
    dtype: str
    layers: Mapping[str, Layer]
    descriptor: BankDescriptor | None
    input_kind: Kind
    target_kind: Kind
    shards: tuple[ShardEntry, ...]
    tables: TablesEntry
    directions: DirectionsEntry | None
    probe: AttachmentEntry
    attachments: Mapping[str, AttachmentEntry] = field(default_factory=dict)
    unknown: Mapping[_Place, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the document that `from_json` reads."""
        document = self._known_json()
        for place, value in self.unknown.items():
            _put(document, place, value)
        return document

    def _known_json(self) -> dict[str, Any]:
        return {
            "format": layout.FORMAT,
            "version": layout.FORMAT_VERSION,
            "compnn": self.compnn_version,
            "generation": self.generation,
            "images": self.images,
            "network": self.network.to_json(),
            "network_file": self.network_file,
            "preprocessing": self.preprocessing.to_json(),
            "inputs": self.inputs.to_json(),
            "grids": {name: str(grid) for name, grid in self.grids.items()},
            "output": self.output.to_json(),
            "dtype": self.dtype,
            "layers": [each.to_json() for each in self.layers.values()],
            "descriptor": self.descriptor
            and {"tap": self.descriptor.tap, "dim": self.descriptor.dim},
            "input_kind": self.input_kind.to_json(),
            "target_kind": self.target_kind.to_json(),
            "shards": [[each.id, each.images] for each in self.shards],
            "tables": {"id": self.tables.id, "crc32": dict(self.tables.crc32)},
            "directions": self.directions
            and {
                "id": self.directions.id,
                "layers": {
                    name: {"count": count, "digest": digest}
                    for name, (count, digest) in self.directions.layers.items()
                },
            },
            "probe": self.probe.to_json(),
            "attachments": {name: each.to_json() for name, each in self.attachments.items()},
        }

    @classmethod
    def from_json(cls, root: Field) -> Manifest:
        """Return the manifest that `to_json` wrote.

        Raises
        ------
        BankError
            If it is not a bank's manifest, is of another format, or a field is malformed.
        """
        layers = dict(map(_layer, root.child("layers").elements()))
        if not layers or len(layers) != len(root.child("layers").elements()):
            raise root.child("layers").malformed("an array of layers of distinct names")
        found = cls(
            generation=root.child("generation").as_int(1),
            images=root.child("images").as_int(1),
            compnn_version=root.child("compnn").as_str(),
            network=_parsed(root.child("network"), Identity.from_json),
            network_file=root.optional("network_file", _file_name),
            preprocessing=_parsed(root.child("preprocessing"), Preprocessing.from_json),
            inputs=_parsed(root.child("inputs"), InputChoice.from_json),
            grids={name: _grid(part) for name, part in root.child("grids").items().items()},
            output=_parsed(root.child("output"), OutputChoice.from_json),
            dtype=root.child("dtype").as_choice(layout.ACTIVATION_DTYPES),
            layers=layers,
            descriptor=root.optional("descriptor", _descriptor),
            input_kind=_parsed(root.child("input_kind"), kind_from_json),
            target_kind=_parsed(root.child("target_kind"), kind_from_json),
            shards=tuple(map(_shard, root.child("shards").elements())),
            tables=_tables(root.child("tables")),
            directions=root.optional("directions", lambda part: _directions(part, layers)),
            probe=_probe(root.child("probe")),
            attachments={
                name: _attachment(part) for name, part in root.child("attachments").items().items()
            },
        )
        if len({each.id for each in found.shards}) != len(found.shards) or not found.shards:
            raise root.child("shards").malformed("an array of distinct shards")
        return replace(found, unknown=dict(_unknown(root.value, found._known_json())))


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in a file: `manifest.json`, or one of the generations.

    Raises
    ------
    FileNotFoundError
        If there is none.
    BankError
        If it cannot be read, is malformed, or is of another format.
    """
    root = read_document(path)
    check_format(root)
    return Manifest.from_json(root)


def read_number(path: Path) -> int:
    """Return which generation a file is of; raises as `read_manifest`."""
    root = read_document(path)
    check_format(root)
    return root.child("generation").as_int(1)


def check_format(root: Field) -> None:
    """Raise BankError unless a document is the manifest of a bank of this format."""
    if not isinstance(root.value, dict) or root.value.get("format") != layout.FORMAT:
        raise BankError(
            f"{root.document} is not the manifest of a bank. Give the folder of a bank."
        )
    version = root.child("version").as_int(1)
    if version != layout.FORMAT_VERSION:
        newer = version > layout.FORMAT_VERSION
        raise BankError(
            f"{root.document} was written by {'a newer' if newer else 'an older'} compnn: format "
            f"{version}, this one reads {layout.FORMAT_VERSION}. "
            f"{'Upgrade compnn' if newer else 'Rebuild the bank'}."
        )


def scaling_json(preprocessing: Preprocessing) -> dict[str, object]:
    """Return the JSON of what decides a network's input, once images have its size."""
    whole = replace(preprocessing, channel_order=preprocessing.channel_order or "RGB")
    return {key: part for key, part in whole.to_json().items() if key != "resize"}


def field_name(place: _Place) -> str:
    """A place in a document in words: `layers[0].paints`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return text.removeprefix(".")


def geometry_of(part: Field) -> Geometry:
    """Return the geometry in a part of a document; BankError if it is none."""
    for key in ("image_size", "output_size"):
        part.child(key).as_sizes(2)
    for key in ("looks", "paints"):
        maps = part.child(key)
        if len(maps.elements()) != 2:
            raise maps.malformed("a map of rows and one of columns")
        for each in maps.elements():
            _parsed_by(each, AxisMap.from_json)
    part.child("note").as_str()
    return _parsed(part, Geometry.from_json)


def _layer(part: Field) -> tuple[str, Layer]:
    name = part.child("name").as_str()
    part.child("shape").as_sizes(3)
    part.child("hyperpatch").as_sizes(2)
    geometry_of(part.child("geometry"))
    return name, _parsed(part, Layer.from_json)


def _descriptor(part: Field) -> BankDescriptor:
    return BankDescriptor(part.child("tap").as_str(), part.child("dim").as_int(1))


def _shard(part: Field) -> ShardEntry:
    if not isinstance(part.value, list) or len(part.value) != 2:
        raise part.malformed("[number, images]")
    number, images = part.elements()
    return ShardEntry(number.as_int(0), images.as_int(1))


def _tables(part: Field) -> TablesEntry:
    crc32 = {file: value.as_crc32() for file, value in part.child("crc32").items().items()}
    return TablesEntry(part.child("id").as_int(0), crc32)


def _directions(part: Field, layers: Mapping[str, Layer]) -> DirectionsEntry:
    found = {}
    for name, each in part.child("layers").items().items():
        if name not in layers:
            raise each.malformed("of a layer of the bank")
        count, channels = each.child("count").as_int(1), layers[name].shape[2]
        if count >= channels:
            raise each.child("count").malformed(f"less than the layer's {channels} channels")
        found[name] = count, each.child("digest").as_str()
    return DirectionsEntry(part.child("id").as_int(0), found)


def _attachment(part: Field) -> AttachmentEntry:
    return AttachmentEntry(
        part.child("id").as_int(0),
        {key: _attached(each) for key, each in part.child("arrays").items().items()},
    )


def _grid(part: Field) -> TokenGrid:
    text = part.as_str()
    try:
        return TokenGrid.parse(text)
    except ValueError:
        raise part.malformed("a grid of tokens, HxW+N") from None


def _probe(part: Field) -> AttachmentEntry:
    part.child("arrays").child("input")
    return _attachment(part)


def _attached(part: Field) -> AttachedArray:
    shape = tuple(each.as_int(0) for each in part.child("shape").elements())
    dtype = part.child("dtype").as_choice(layout.NUMBERS)
    file = _file_name(part.child("file"))
    return AttachedArray(file, shape, dtype, part.child("crc32").as_crc32())


def _file_name(part: Field) -> str:
    """The name of a file in a known folder: it leads nowhere else."""
    name = part.as_str()
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise part.malformed("the name of a file")
    return name


def _parsed(part: Field, parse: Callable[[dict[str, Any]], _T]) -> _T:
    if not isinstance(part.value, dict):
        raise part.malformed("an object")
    return _parsed_by(part, parse)


def _parsed_by(part: Field, parse: Callable[[Any], _T]) -> _T:
    try:
        return parse(part.value)
    except (CompnnError, TypeError, ValueError, KeyError) as error:
        raise part.malformed(f"as compnn writes it ({error})") from error


def _unknown(found: Any, known: Any, place: _Place = ()) -> list[tuple[_Place, Any]]:
    """The fields of objects in a document that a known one of the same form has not."""
    if isinstance(found, dict) and isinstance(known, dict):
        parts = [
            _unknown(value, known[key], (*place, key)) if key in known else [((*place, key), value)]
            for key, value in found.items()
        ]
    elif isinstance(found, list) and isinstance(known, list):
        parts = [
            _unknown(ours, theirs, (*place, index))
            for index, (ours, theirs) in enumerate(zip(found, known, strict=False))
        ]
    else:
        parts = []
    return [each for part in parts for each in part]


def _put(document: Any, place: _Place, value: Any) -> None:
    """Put a field back where there still is what it was a field of."""
    *path, last = place
    for key in path:
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and isinstance(key, int) and key < len(document):
            document = document[key]
        else:
            return
    if isinstance(document, dict):
        document.setdefault(last, value)
