"""The manifest: to JSON and back, malformed fields, look-ups; and names of files."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compnn.bank.layout import ArraySpec, array_specs, encode_layer
from compnn.bank.manifest import (
    BankArray,
    BankDescriptor,
    BankDirections,
    BankModel,
    Manifest,
    SkippedImage,
    read_manifest,
    write_manifest,
)
from compnn.errors import BankError, LayerError
from compnn.network.layer import Layer
from compnn.images.palette import Palette
from compnn.network.preprocessing import Preprocessing

NAMES = ("1", "2", "10")


def make_manifest() -> Manifest:
    layers = [
        Layer.of("a/b:0", (8, 8, 4), (16, 24)),
        Layer.of("relu", (16, 24, 2), (16, 24)),
        Layer.of("wide", (4, 6, 48), (16, 24)),
    ]
    specs = array_specs(layers, {"wide": 16}, 12, "float16", (16, 24), label_targets=True)
    return Manifest(
        compnn_version="0.1.0",
        model=BankModel("net.onnx", "sha256:" + "0f" * 32, (16, 24)),
        preprocessing=Preprocessing(size=(16, 24), channel_order="RGB", range=(-1.0, 1.0)),
        dtype="float16",
        layers={layer.name: layer for layer in layers},
        directions={"wide": BankDirections(16, 2**32 - 1)},
        descriptor=BankDescriptor("deep", 12),
        input_palette=None,
        target_palette=Palette.named("camvid"),
        names=NAMES,
        attributes={"1": {"wall": "red"}, "10": {"wall": "red", "style": "alt"}},
        skipped=(SkippedImage("3", "cut short"),),
        arrays={spec.file: BankArray(spec, (0, 7, 2**32 - 1)) for spec in specs},
    )


@pytest.fixture
def document() -> dict[str, Any]:
    data = json.loads(json.dumps(make_manifest().to_json()))
    assert isinstance(data, dict)
    return data


def test_to_json_and_back(document: dict[str, Any]) -> None:
    manifest = Manifest.from_json(document, "manifest.json")
    assert manifest == make_manifest()
    assert len(manifest) == 3
    assert manifest.arrays["inputs.npy"].shape == (3, 16, 24, 3)
    assert manifest.arrays["targets.npy"].shape == (3, 16, 24)
    assert manifest.arrays["descriptor_norms.npy"].shape == (3,)
    assert manifest.arrays["activations/wide.npy"].shape == (3, 4, 6, 16)
    assert document["layers"][0]["directions"] is None
    assert document["layers"][2]["directions"] == {
        "file": "directions/wide.npy",
        "count": 16,
        "crc32": 2**32 - 1,
    }


def test_without_what_is_optional(document: dict[str, Any]) -> None:
    document["descriptor"] = document["target_palette"] = None
    del document["arrays"]["descriptors.npy"], document["arrays"]["descriptor_norms.npy"]
    document["arrays"]["targets.npy"]["shape"].append(3)
    manifest = Manifest.from_json(document, "manifest.json")
    assert manifest.descriptor is None
    assert manifest.target_palette is None


def test_file(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    write_manifest(make_manifest(), file)
    assert read_manifest(file) == make_manifest()
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    # One field per line, to be read by people too.
    assert '\n"names": ["1", "2", "10"],\n' in file.read_text()


def test_unreadable_file(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    with pytest.raises(BankError, match=r"manifest\.json cannot be read: No such file"):
        read_manifest(file)
    for text in (b"", b'{"format": "compnn-b', b"\xff\xfe"):
        file.write_bytes(text)
        with pytest.raises(BankError, match=r"manifest\.json is malformed: not JSON"):
            read_manifest(file)


@pytest.mark.parametrize("data", [[], 3, {}, {"format": "zarr"}])
def test_another_document(data: Any) -> None:
    with pytest.raises(BankError, match=r"m\.json is not the manifest of a bank"):
        Manifest.from_json(data, "m.json")


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


# Free text may be any string; what is inside these two is named as a whole.
_WHOLE = re.compile(r"(preprocessing|.*_palette)\.")
FIELDS = [f for f in _fields(make_manifest().to_json()) if not _WHOLE.match(f) and f != "format"]


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
        Manifest.from_json(_replaced(document, field, value), "m.json")


# Attributes may be missing, an element of a list leaves no hole, and arrays are tested below.
@pytest.mark.parametrize(
    "field", [f for f in FIELDS if not re.fullmatch(r"attributes\..*|.*\]|arrays\..*\.npy", f)]
)
def test_missing_field_is_named(document: dict[str, Any], field: str) -> None:
    with pytest.raises(
        BankError, match=rf"m\.json is malformed: field '{re.escape(field)}' is missing"
    ):
        Manifest.from_json(_replaced(document, field, ...), "m.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 0),
        ("version", True),
        ("dtype", "uint16"),
        ("dtype", "float64"),
        ("names", ["1", "2", "2"]),
        ("names", []),
        ("model.input_size", [16, 0]),
        ("model.input_size", [16]),
        ("layers[0].stride", [2, 3.0]),
        ("layers[0].activations", "../../secret.npy"),
        ("layers[1].norms", "norms/other.npy"),
        ("layers[0]", {"name": "a/b:0"}),
        ("descriptor.dim", 0),
        ("layers[2].directions.file", "directions/relu.npy"),
        ("layers[2].directions.file", "../directions/wide.npy"),
        ("layers[2].directions.count", 0),
        ("layers[2].directions.count", 48),
        ("layers[2].directions.count", 16.0),
        ("layers[2].directions.crc32", -1),
        ("layers[2].directions.crc32", "0"),
        ("layers[2].directions", {"count": 16, "crc32": 0}),
        ("preprocessing", {"rotate": 90}),
        ("preprocessing", {"range": [1, -1]}),
        ("target_palette", {"name": "x"}),
        ("attributes.1.wall", 3),
        ("arrays.inputs.npy.crc32", [0, 7]),
        ("arrays.inputs.npy.crc32", [0, 7, 2**32]),
        ("arrays.inputs.npy.crc32", [0, 7, -1]),
        ("arrays.inputs.npy.crc32", [0, 7, True]),
        ("arrays.inputs.npy.shape", [2, 16, 24, 3]),
        ("arrays.inputs.npy", {"shape": [3, 16, 24], "dtype": "uint8", "crc32": [1, 2, 3]}),
        ("arrays.inputs.npy", {"shape": [3, 16, 24, 3], "dtype": "uint16", "crc32": [1, 2, 3]}),
        ("arrays.inputs.npy.dtype", "int16"),
        ("arrays.inputs.npy.dtype", "bfloat16"),
        (
            "arrays.activations/wide.npy",
            {"shape": [3, 4, 6, 48], "dtype": "float16", "crc32": [1, 2, 3]},
        ),
    ],
)
def test_impossible_value_is_refused(document: dict[str, Any], field: str, value: Any) -> None:
    with pytest.raises(BankError, match=rf"field '{re.escape(field)}"):
        Manifest.from_json(_replaced(document, field, value), "m.json")


def test_hyperpatch_that_does_not_fit(document: dict[str, Any]) -> None:
    document["layers"][0]["hyperpatch"] = [9, 1]
    with pytest.raises(BankError, match=r"field 'layers\[0\]' should be a layer: .*9x1"):
        Manifest.from_json(document, "m.json")


@pytest.mark.parametrize("file", ["norms/relu.npy", "targets.npy", "descriptors.npy"])
def test_missing_array(document: dict[str, Any], file: str) -> None:
    del document["arrays"][file]
    with pytest.raises(BankError, match=f"field 'arrays' should be .*{file}"):
        Manifest.from_json(document, "m.json")


def test_array_too_many(document: dict[str, Any]) -> None:
    document["arrays"]["/etc/passwd"] = document["arrays"]["inputs.npy"]
    with pytest.raises(BankError, match="field 'arrays' should be an object with exactly the keys"):
        Manifest.from_json(document, "m.json")


def test_lookups() -> None:
    manifest = make_manifest()
    assert manifest.layer("relu").shape == (16, 24, 2)
    with pytest.raises(LayerError, match=r"no layer 'conv', only a/b:0, relu, wide\."):
        manifest.layer("conv")
    assert manifest.index("10") == 2
    with pytest.raises(BankError, match=r"no image '3'; its images are 1, 2, 10\."):
        manifest.index("3")


@given(st.text(min_size=1, max_size=300))
def test_encoded_names_are_safe(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    encoded = encode_layer(name)
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]{1,200}", encoded)


@given(st.lists(st.text("ab/:%~.é", min_size=1, max_size=120), min_size=2, unique=True))
def test_encoded_names_are_distinct(names: list[str]) -> None:
    assert len({encode_layer(name) for name in names}) == len(names)


@pytest.mark.parametrize("record", [(), (7,), (1080, 1920, 512), (2**31, 2**31, 2**31)])
@pytest.mark.parametrize("count", [1, 10**9])
def test_header_is_numpys_of_fixed_length(
    tmp_path: Path, record: tuple[int, ...], count: int
) -> None:
    header = ArraySpec("x.npy", record, "float16").header(count)
    assert len(header) == 128
    file = tmp_path / "x.npy"
    file.write_bytes(header)
    with open(file, "rb") as stream:
        assert np.lib.format.read_magic(stream) == (1, 0)
        read = np.lib.format.read_array_header_1_0(stream)
        assert stream.tell() == 128
    assert read == ((count, *record), False, np.dtype("<f2"))
