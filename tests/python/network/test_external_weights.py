"""Weights in files beside the network's: what is read, and what strangers may not make us read."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compnn.errors import NetworkError
from compnn.network import onnx_weights
from compnn.network.onnx import OnnxNetwork
from compnn.network.onnx_graph import OnnxGraph
from compnn.network.onnx_sessions import Sessions
from tiny_networks import save_network, tiny_unet

ONES = np.ones((1, 3, 32, 32), np.float32)


def put_beside(folder: Path, location: str = "weights.bin") -> Path:
    """A network in `folder`, with its weights in a file beside it."""
    whole = onnx.load(tiny_unet(folder / "unet.onnx"))
    path = folder / "beside.onnx"
    onnx.save(whole, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return rewritten(path, "location", lambda old: location)


def rewritten(path: Path, key: str, change: Callable[[str], str]) -> Path:
    """Another entry in what the network says of each tensor that is elsewhere."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == key:
                entry.value = change(entry.value)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "location",
    [
        "../weights.bin",
        "{folder}/weights.bin",
        "{folder}/network/weights.bin",
        "/dev/zero",
        "link.bin",
        "a/../../w.bin",
        "a/../weights.bin",
        "away/weights.bin",
    ],
)
def test_files_outside_the_folder_are_not_opened(
    tmp_path: Path, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "network"
    folder.mkdir()
    location = location.format(folder=tmp_path)
    path = put_beside(folder, location)
    data = (folder / "weights.bin").read_bytes()
    for outside in ("weights.bin", "w.bin"):
        (tmp_path / outside).write_bytes(data)
    (folder / "a").mkdir()
    (folder / "link.bin").symlink_to("../weights.bin")
    (folder / "away").symlink_to("..")
    monkeypatch.setattr(onnx_weights, "open_file", None)
    with pytest.raises(
        NetworkError, match=r"beside\.onnx: .* 'constant_0', is not in the network's folder"
    ):
        OnnxGraph(path)


def test_files_in_folders_below_are_read(tmp_path: Path) -> None:
    path = put_beside(tmp_path, "below/weights.bin")
    (tmp_path / "below").mkdir()
    (tmp_path / "weights.bin").rename(tmp_path / "below/weights.bin")
    whole, beside = OnnxGraph(tmp_path / "unet.onnx"), OnnxGraph(path)
    np.testing.assert_array_equal(
        Sessions(beside, 1).run(["output"], ONES)["output"],
        Sessions(whole, 1).run(["output"], ONES)["output"],
    )


@pytest.mark.parametrize("kind", ["fifo", "folder", "nothing", "nul"])
def test_what_is_no_file_is_not_opened(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_weights, "open_file", None)
    path = put_beside(tmp_path, "we\0ights.bin" if kind == "nul" else "weights.bin")
    (tmp_path / "weights.bin").unlink()
    if kind == "fifo":
        os.mkfifo(tmp_path / "weights.bin")
    elif kind == "folder":
        (tmp_path / "weights.bin").mkdir()
    with pytest.raises(NetworkError, match=r"beside\.onnx: its weights in another file cannot"):
        OnnxGraph(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("length", str(10**15)),
        ("length", "-1"),
        ("length", "4"),
        ("offset", "-4096"),
        ("offset", str(10**15)),
        ("offset", "here"),
        ("offset", "1" * 5000),
        ("location", ""),
    ],
)
def test_weights_beyond_the_file_are_refused(
    tmp_path: Path, key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_weights, "open_file", None)
    path = rewritten(put_beside(tmp_path), key, lambda old: value)
    with pytest.raises(NetworkError, match=r"beside\.onnx: its weights in another file cannot"):
        OnnxGraph(path)


@pytest.mark.parametrize(
    ("old", "new"), [(b"location", b"locatiom"), (b"weights.bin", b"we\xffghts.bin")]
)
def test_weights_without_a_place_are_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = put_beside(tmp_path)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    with pytest.raises(NetworkError, match=r"cannot be read: no file is named for the weights"):
        OnnxGraph(path)


def test_short_and_missing_files_are_named_with_their_weights(tmp_path: Path) -> None:
    path, weights = put_beside(tmp_path), tmp_path / "weights.bin"
    os.truncate(weights, 100)
    with pytest.raises(NetworkError, match=r"weights\.bin ends before the weights 'constant_\d+'"):
        OnnxGraph(path)
    weights.unlink()
    with pytest.raises(NetworkError, match=r"weights\.bin, .*weights 'constant_0', is missing; pu"):
        OnnxGraph(path)


def test_large_weights_stay_in_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of over 2 GB, which no serialised network can hold."""
    path, random = tmp_path / "net.onnx", np.random.default_rng(0)
    weights = {
        "first": random.normal(size=(40, 3, 4, 4)).astype(np.float32),
        "second": random.normal(size=(40, 40, 1, 1)).astype(np.float16),
        "third": random.integers(-9, 9, (40, 40, 1, 1), np.int8),
        "scale": np.array(0.1, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["input", "first"], ["a"], pads=[0, 0, 3, 3]),
        helper.make_node("Cast", ["second"], ["second_32"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["a", "second_32"], ["b"]),
        helper.make_node("Cast", ["third"], ["third_32"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["b", "third_32"], ["c"]),
        helper.make_node("Mul", ["c", "scale"], ["output"]),
    ]
    shape = [1, 3, 8, 8]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    save_network(path, nodes, shape, [1, 40, 8, 8], tensors, {"input_range": "[0, 1]"})
    names, image = ["a", "b", "c", "output"], random.normal(size=shape).astype(np.float32)
    expected = Sessions(OnnxGraph(path), 1).run(names, image)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    read = OnnxGraph(path)
    monkeypatch.setattr(onnx_weights, "_MOST_READ", 1)
    graph = OnnxGraph(path)
    assert graph.fingerprint == read.fingerprint
    assert graph.cut(names).mapped.keys() == {"first", "second", "third"}
    assert graph.cut(["b"]).mapped.keys() == {"first", "second"}
    assert len(graph.cut(names).model) < 2000 < 4 * weights["first"].size
    found = Sessions(graph, 1).run(names, image)
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-4)
    network = OnnxNetwork(path, ["a", "c"])
    pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
    again: OnnxNetwork = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(
        again.read(pixels, ["c"]).taps["c"], network.read(pixels, ["c"]).taps["c"]
    )
    paints = network.check("a").paints
    assert paints is not None
    assert paints.agrees


def test_weights_inside_branches_may_be_elsewhere(tmp_path: Path) -> None:
    """Constants of nodes and of the branches of an If, in a file of their own."""
    numbers = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    (tmp_path / "numbers.bin").write_bytes(bytes(16) + numbers.tobytes())

    def elsewhere(name: str) -> onnx.TensorProto:
        tensor = numpy_helper.from_array(numbers, name)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "numbers.bin"), ("offset", "16")):
            tensor.external_data.add(key=key, value=value)
        return tensor

    value = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 3, 4, 4])
    adding = helper.make_graph(
        [helper.make_node("Add", ["double", "held"], ["sum"])],
        "then",
        [],
        [value],
        [elsewhere("held")],
    )
    plain = helper.make_graph(
        [helper.make_node("Identity", ["double"], ["sum"])], "else", [], [value]
    )
    nodes = [
        helper.make_node("Constant", [], ["constant"], value=elsewhere("value")),
        helper.make_node("Add", ["input", "constant"], ["double"]),
        helper.make_node("If", ["yes"], ["output"], then_branch=adding, else_branch=plain),
    ]
    yes = numpy_helper.from_array(np.array(True), "yes")
    path = tmp_path / "if.onnx"
    shape = [1, 3, 4, 4]
    # Checked without the weights, which onnx would look for in the working folder.
    graph = helper.make_graph(
        nodes,
        "if",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [yes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    network = OnnxGraph(path)
    found = Sessions(network, 1).run(["output"], np.ones(shape, np.float32))["output"]
    np.testing.assert_array_equal(found, 1 + 2 * numbers)
    before = network.fingerprint
    (tmp_path / "numbers.bin").write_bytes(bytes(16) + (numbers + 1).tobytes())
    assert OnnxGraph(path).fingerprint != before


def test_a_dimension_of_minus_one_is_free(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["input"], ["output"])]
    path = save_network(tmp_path / "free.onnx", nodes, ["n", 3, "h", "w"], ["n", 3, "h", "w"])
    model = onnx.load(path)
    for dim in (0, 2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[dim].dim_value = -1
    path.write_bytes(model.SerializeToString())
    found = OnnxGraph(path).input
    assert (found.batch, found.channels, found.size) == (None, 3, (None, None))
