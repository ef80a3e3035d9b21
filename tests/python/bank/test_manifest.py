"""The manifest: to JSON and back, malformed fields, look-ups; and names of files."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compnn.bank.json_fields import Field, read_document, write_document
from compnn.bank.layout import ArraySpec, array_specs, encode_name
from compnn.bank.manifest import (
    AttachedArray,
    AttachmentEntry,
    BankDescriptor,
    DirectionsEntry,
    Manifest,
    ShardEntry,
    TablesEntry,
    field_name,
    read_manifest,
)
from compnn.bank.shard import ShardContents, ShardLayer
from compnn.errors import BankError
from compnn.images.kinds import Labels, Photo, Values
from compnn.images.palette import Palette
from compnn.network.geometry import Geometry, TokenGrid
from compnn.network.input import InputChoice
from compnn.network.layer import Layer
from compnn.network.network import Identity
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing


def make_manifest() -> Manifest:
    layers = [
        Layer.of("a/b:0", (8, 8, 4), (16, 24)),
        Layer.of("relu", (16, 24, 2), (16, 24)),
        Layer.of("wide", (4, 6, 48), (16, 24)),
    ]
    return Manifest(
        generation=7,
        images=3,
        compnn_version="0.1.0",
        network=Identity(
            "onnx", "sha256:" + "0f" * 32, "/somewhere/net.onnx", "ONNX Runtime 1.23.0"
        ),
        network_file="net.onnx",
        preprocessing=Preprocessing(size=(16, 24), channel_order="RGB", range=(-1.0, 1.0)),
        inputs=InputChoice("image", {"mask": np.ones((1, 4), np.uint8)}),
        grids={"block": TokenGrid(14, 14, 5)},
        output=OutputChoice("logits", "photo", (-1.0, 1.0), 0.5),
        dtype="float16",
        layers={layer.name: layer for layer in layers},
        descriptor=BankDescriptor("deep", 12),
        input_kind=Photo(),
        target_kind=Labels(Palette.named("camvid")),
        shards=(ShardEntry(0, 2), ShardEntry(5, 4)),
        tables=TablesEntry(6, {"images.npy": 0, "names.npy": 2**32 - 1}),
        directions=DirectionsEntry(1, {"wide": (16, "0" * 32)}),
        probe=AttachmentEntry(2, {"input": AttachedArray("input.npy", (4, 4, 3), "uint8", 1)}),
        attachments={
            "codebook": AttachmentEntry(3, {"a/b": AttachedArray("a%2Fb.npy", (0, 3), "int8", 9)})
        },
    )


def parsed(document: Any, name: str = "manifest.json") -> Manifest:
    return Manifest.from_json(Field(document, name))


@pytest.fixture
def document() -> dict[str, Any]:
    data = json.loads(json.dumps(make_manifest().to_json()))
    assert isinstance(data, dict)
    return data


def test_to_json_and_back(document: dict[str, Any]) -> None:
    manifest = parsed(document)
    assert manifest == make_manifest()
    assert json.loads(json.dumps(manifest.to_json())) == document
    assert list(manifest.layers) == ["a/b:0", "relu", "wide"]
    assert document["shards"] == [[0, 2], [5, 4]]
    assert document["directions"]["layers"]["wide"] == {"count": 16, "digest": "0" * 32}


def test_without_what_is_optional(document: dict[str, Any]) -> None:
    for key in ("descriptor", "directions", "network_file"):
        document[key] = None
    document["network"]["path"] = None
    document["attachments"] = {}
    document["target_kind"] = Values("m").to_json()
    manifest = parsed(document)
    assert (manifest.descriptor, manifest.directions, manifest.network_file) == (None, None, None)
    assert manifest.target_kind == Values("m")
    assert manifest.to_json() == json.loads(json.dumps(document))


def test_unknown_fields_are_kept_and_named(document: dict[str, Any]) -> None:
    """Those of a later version, wherever they stand."""
    document["aspects"] = [1, {"a": None}]
    document["network"]["licence"] = "MIT"
    document["layers"][2]["paints"] = [0.5, 0.5]
    document["tables"]["later"] = 1
    manifest = parsed(document)
    assert sorted(map(field_name, manifest.unknown)) == [
        "aspects",
        "layers[2].paints",
        "network.licence",
        "tables.later",
    ]
    assert json.loads(json.dumps(manifest.to_json())) == document
    changed = replace(manifest, generation=8, descriptor=None, tables=TablesEntry(7, {}))
    assert changed.to_json()["layers"][2]["paints"] == [0.5, 0.5]
    assert parsed(json.loads(json.dumps(changed.to_json()))).unknown == manifest.unknown
    # What they were fields of may be gone.
    without = replace(manifest, layers={"relu": manifest.layers["relu"]})
    assert len(without.to_json()["layers"]) == 1


def test_file(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    write_document(file, make_manifest().to_json())
    assert read_manifest(file) == make_manifest()
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    # One field per line, to be read by people too.
    assert '\n"shards": [[0, 2], [5, 4]],\n' in file.read_text()


def test_unreadable_file(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    with pytest.raises(FileNotFoundError):
        read_manifest(file)
    for text in (b"", b'{"format": "compnn-b', b"\xff\xfe", b"1" * 10_000, b"[" * 100_000):
        file.write_bytes(text)
        with pytest.raises(BankError, match=r"manifest\.json is malformed: not JSON"):
            read_document(file)


@pytest.mark.parametrize("data", [[], 3, {}, {"format": "zarr"}])
def test_another_document(tmp_path: Path, data: Any) -> None:
    file = tmp_path / "m.json"
    file.write_text(json.dumps(data))
    with pytest.raises(BankError, match=r"m\.json is not the manifest of a bank"):
        read_manifest(file)


def _fields(value: Any, place: str = "") -> list[str]:
    """The places of all fields of a document: `layers[2].stride`."""
    if isinstance(value, dict):
        children = [(f"{place}.{key}" if place else key, child) for key, child in value.items()]
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        children = [(f"{place}[{index}]", child) for index, child in enumerate(value)]
    else:
        children = []
    return [name for name, _ in children] + [
        field for name, child in children for field in _fields(child, name)
    ]


# Free text may be any string; what is inside these is named as a whole.
_WHOLE = re.compile(r"(preprocessing|inputs|output|network|.*_kind)\.")
FIELDS = [
    field
    for field in _fields(make_manifest().to_json())
    if not _WHOLE.match(field) and field not in ("format", "version")
]


def _replaced(document: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with another value (`...`: none) at a place such as `arrays.x.npy.shape`."""
    changed = copy.deepcopy(document)

    def descend(node: Any, path: str) -> bool:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, child in list(items):
            name = key if isinstance(node, dict) and not path else f"{path}.{key}"
            name = f"{path}[{key}]" if isinstance(node, list) else name
            if name == place:
                if value is ...:
                    del node[key]
                else:
                    node[key] = value
                return True
            if isinstance(child, (dict, list)) and place.startswith(name) and descend(child, name):
                return True
        return False

    assert descend(changed, ""), place
    return changed


@pytest.mark.parametrize("value", [-1.5, [[]]], ids=["number", "list"])
@pytest.mark.parametrize("field", FIELDS)
def test_malformed_field_is_named(document: dict[str, Any], field: str, value: Any) -> None:
    with pytest.raises(BankError, match=rf"m\.json is malformed: field '{re.escape(field)}['\[]"):
        parsed(_replaced(document, field, value), "m.json")


# Keys that are free may be missing, and an element of a list leaves no hole.
@pytest.mark.parametrize(
    "field",
    [
        field
        for field in FIELDS
        if not re.fullmatch(
            r".*\]|tables\.crc32\..*|directions\.layers\.wide|grids\.block|attachments\.codebook(\.arrays\.a/b)?",
            field,
        )
    ],
)
def test_missing_field_is_named(document: dict[str, Any], field: str) -> None:
    with pytest.raises(
        BankError, match=rf"m\.json is malformed: field '{re.escape(field)}' is missing"
    ):
        parsed(_replaced(document, field, ...), "m.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("generation", 0),
        ("generation", True),
        ("generation", 1 << 63),
        ("images", 0),
        ("images", 3.0),
        ("dtype", "uint16"),
        ("dtype", "float64"),
        ("network", {"kind": "onnx"}),
        ("network_file", "../secret"),
        ("network_file", ".."),
        ("network_file", ""),
        ("layers", []),
        ("layers[0].hyperpatch", [2, 3.0]),
        ("layers[0].geometry.image_size", [16, True]),
        ("layers[0].geometry.output_size", [16, 0]),
        ("layers[0].geometry.looks", [["2", "0"]]),
        ("layers[0].geometry.looks[0]", ["0", "0"]),
        ("layers[0].geometry.looks[1]", ["2"]),
        ("layers[0].geometry.paints[0]", [2, 0]),
        ("layers[0].geometry.paints[1]", ["2", "1/0"]),
        ("layers[0].geometry.paints[1]", ["1e9", "0"]),
        ("layers[0].shape", [1 << 63, 8, 4]),
        ("layers[0].shape", [8, 8]),
        ("layers[0]", {"name": "a/b:0"}),
        ("descriptor.dim", 0),
        ("shards", []),
        ("shards[0]", [0]),
        ("shards[0]", [0, 0]),
        ("shards[0]", [-1, 2]),
        ("shards[0]", ["../0", 2]),
        ("tables.id", "../../etc"),
        ("tables.id", -1),
        ("tables.crc32", {"images.npy": 1 << 32}),
        ("tables.crc32", {"images.npy": -1}),
        ("directions.id", "0"),
        ("directions.layers.wide.count", 0),
        ("directions.layers.wide.count", 48),
        ("directions.layers.wide.count", 16.0),
        ("directions.layers.wide.digest", 0),
        ("directions.layers.wide", {"count": 16}),
        ("preprocessing", {"rotate": 90}),
        ("preprocessing", {"range": [1, -1]}),
        ("target_kind", {"kind": "sound"}),
        ("input_kind", {"kind": "labels", "palette": {"name": "x"}}),
        ("attachments.codebook.arrays.a/b.file", "../x.npy"),
        ("attachments.codebook.arrays.a/b.shape", [3, -1]),
        ("attachments.codebook.arrays.a/b.shape", 3),
        ("attachments.codebook.arrays.a/b.dtype", "object"),
        ("attachments.codebook.arrays.a/b.dtype", "O"),
        ("attachments.codebook.arrays.a/b.dtype", "float17"),
    ],
)
def test_impossible_value_is_refused(document: dict[str, Any], field: str, value: Any) -> None:
    with pytest.raises(BankError, match=rf"field '{re.escape(field)}"):
        parsed(_replaced(document, field, value), "m.json")


@pytest.mark.parametrize("key", ["layers", "shards"])
def test_two_of_one_name_are_refused(document: dict[str, Any], key: str) -> None:
    document[key].append(document[key][0])
    with pytest.raises(BankError, match=f"field '{key}' should be an array of .*distinct"):
        parsed(document)


def test_directions_of_no_layer(document: dict[str, Any]) -> None:
    found = document["directions"]["layers"]
    found["deep"] = found["wide"]
    with pytest.raises(BankError, match=r"field 'directions\.layers\.deep'"):
        parsed(document)


def test_hyperpatch_that_does_not_fit(document: dict[str, Any]) -> None:
    document["layers"][0]["hyperpatch"] = [9, 1]
    with pytest.raises(BankError, match=r"field 'layers\[0\]' should be as compnn .*9x1"):
        parsed(document)


# Shards


def test_contents_of_a_shard_to_json_and_back() -> None:
    placed = {
        (size, cells): Geometry.by_sizes(cells, size)
        for size, cells in (((8, 9), (2, 3)), ((8, 7), (2, 2)), ((9, 5), (2, 1)))
    }
    contents = ShardContents(
        3,
        "int8",
        {"a": ShardLayer(12, 48, 16, "f" * 32, placed), "b": ShardLayer(7, 24, 24, None, {})},
        None,
        1 << 40,
        99,
        {"places.npy": 1, "checksums.npy": 2},
    )
    document = json.loads(json.dumps(contents.to_json()))
    assert ShardContents.from_json(Field(document, "shard.json")) == contents
    assert contents.rows == (12, 7, 1 << 40, 99)


def test_arrays_of_a_shard() -> None:
    specs = array_specs(
        {"a/b": 16, "c": 5}, "bfloat16", 7, (Photo(), Labels(Palette.named("camvid")))
    )
    assert [(each.file, each.trailing, each.dtype, each.group) for each in specs] == [
        ("activations/a%2Fb.npy", (16,), "uint16", 0),
        ("norms/a%2Fb.npy", (), "float32", 0),
        ("activations/c.npy", (5,), "uint16", 1),
        ("norms/c.npy", (), "float32", 1),
        ("descriptors.npy", (7,), "float32", None),
        ("descriptor_norms.npy", (), "float32", None),
        ("inputs.npy", (3,), "uint8", 2),
        ("targets.npy", (), "uint8", 3),
    ]
    assert array_specs({"c": 5}, "int8", None, (Photo(), Values()))[-1] == ArraySpec(
        "targets.npy", (), "float32", 2
    )
    assert len(array_specs({"c": 5}, "int8", None, (Photo(), Photo()))) == 4


# Names of files


@given(st.text(min_size=1, max_size=300))
def test_encoded_names_are_safe(name: str) -> None:
    encoded = encode_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]{1,200}", encoded)


@given(st.lists(st.text("ab/:%~.é\udce9", min_size=1, max_size=120), min_size=2, unique=True))
def test_encoded_names_are_distinct(names: list[str]) -> None:
    assert len({encode_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("record", [(), (7,), (1080, 1920, 512), (2**31, 2**31, 2**31)])
@pytest.mark.parametrize("count", [1, 10**9])
def test_header_is_numpys_of_fixed_length(
    tmp_path: Path, record: tuple[int, ...], count: int
) -> None:
    header = ArraySpec("x.npy", record, "float16", 0).header(count)
    assert len(header) == 128
    file = tmp_path / "x.npy"
    file.write_bytes(header)
    with open(file, "rb") as stream:
        assert np.lib.format.read_magic(stream) == (1, 0)
        read = np.lib.format.read_array_header_1_0(stream)
        assert stream.tell() == 128
    assert read == ((count, *record), False, np.dtype("<f2"))
