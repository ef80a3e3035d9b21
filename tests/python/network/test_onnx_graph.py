"""What is read from an ONNX file, and the cuts made of it."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compnn.errors import NetworkError
from compnn.images.kinds import Photo
from compnn.network import onnx_sessions, onnx_shapes
from compnn.network.onnx import OnnxNetwork
from compnn.network.onnx_graph import Cut, OnnxGraph
from compnn.network.onnx_metadata import read_metadata
from compnn.network.onnx_sessions import MOST_SESSIONS, Sessions
from compnn.network.onnx_shapes import tensor_shapes
from compnn.network.onnx_trace import trace
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing
from tiny_networks import UNET_LAYERS, save_network, tiny_segnet, tiny_unet


def tap_shapes(graph: OnnxGraph, size: tuple[int, int]) -> dict[str, tuple[int, int, int]]:
    found = tensor_shapes(graph, size)
    traced = trace(
        graph.proto.graph,
        {name: info.shape for name, info in found.items()},
        graph.input.name,
        floats={name for name, info in found.items() if info.floating},
    )
    return {name: tap.shape for name, tap in traced.taps.items()}


def shapes(path: Path, size: tuple[int, int]) -> dict[str, tuple[int, int, int]]:
    return tap_shapes(OnnxGraph(path), size)


def blank(height: int, width: int) -> npt.NDArray[np.float32]:
    return np.zeros((1, 3, height, width), np.float32)


def identity(path: Path, shape: list[int | str], dtype: int = TensorProto.FLOAT) -> Path:
    nodes = [helper.make_node("Identity", ["input"], ["output"])]
    return save_network(path, nodes, shape, shape, dtype=dtype)


def test_taps_have_their_shapes_and_widened_weights_are_no_taps(tmp_path: Path) -> None:
    found = shapes(tiny_unet(tmp_path / "unet.onnx"), (32, 32))
    assert {name: found[name] for name in UNET_LAYERS} == {
        "encoder_1": (16, 16, 4),
        "encoder_2": (8, 8, 6),
        "encoder_3": (4, 4, 8),
        "decoder_3": (8, 8, 12),
        "decoder_2": (16, 16, 8),
    }
    assert next(iter(found)) == "encoder_1"
    assert list(found)[-1] == "output"
    assert not [name for name in found if "weight" in name]


def test_shapes_are_those_of_a_run(tmp_path: Path) -> None:
    graph = OnnxGraph(tiny_segnet(tmp_path / "segnet.onnx"))
    sessions = Sessions(graph, num_threads=1)
    found = tap_shapes(graph, (24, 32))
    values = sessions.run(list(found), blank(24, 32))
    assert found == {n: (v.shape[2], v.shape[3], v.shape[1]) for n, v in values.items()}


def test_shapes_of_the_real_networks_are_those_of_a_run(shared: Path) -> None:
    graph = OnnxGraph(shared / "models" / "segnet-basic-camvid.onnx")
    sessions = Sessions(graph)
    found = tap_shapes(graph, (360, 480))
    names = [name for name in found if "oder" in name or name == "logits"]
    assert len(names) == 9
    for name, value in sessions.run(names, blank(360, 480)).items():
        assert found[name] == (value.shape[2], value.shape[3], value.shape[1])


def test_shapes_that_inference_cannot_tell_are_found_by_a_run(tmp_path: Path) -> None:
    # The target of the Reshape is computed from the image, which only a run can do.
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "target"], ["float_shape"]),
        helper.make_node("Cast", ["float_shape"], ["new_shape"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["input", "new_shape"], ["folded"]),
        helper.make_node("Relu", ["folded"], ["relu"]),
        helper.make_node("Greater", ["folded", "zero"], ["mask"]),
        helper.make_node("Identity", ["input"], ["output"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
        numpy_helper.from_array(np.array([1, 12, 4, 2], np.float32), "target"),
    ]
    shape = [1, 3, 8, 4]
    path = save_network(tmp_path / "fold.onnx", nodes, shape, shape, constants)
    found = tensor_shapes(OnnxGraph(path), (8, 4))
    assert {name: found[name].shape for name in ("folded", "relu", "mask")} == dict.fromkeys(
        ("folded", "relu", "mask"), (1, 12, 4, 2)
    )
    assert (found["relu"].floating, found["mask"].floating) == (True, False)
    # Rows that a reshape has scrambled are no places.
    assert shapes(path, (8, 4)) == {"output": (8, 4, 3)}


def test_shapes_alone_keep_no_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where shapes are open twice, with much between: runs give nothing but shapes."""
    nodes, last = [], "input"
    for block, target in enumerate(("fold", "unfold")):
        nodes += [
            helper.make_node("ReduceMean", [last], [f"mean_{block}"], keepdims=0),
            helper.make_node("Mul", [f"mean_{block}", "zero"], [f"nothing_{block}"]),
            helper.make_node("Add", [f"nothing_{block}", target], [f"real_{block}"]),
            helper.make_node("Cast", [f"real_{block}"], [f"shape_{block}"], to=TensorProto.INT64),
            helper.make_node("Reshape", [last, f"shape_{block}"], [f"reshaped_{block}"]),
        ]
        last = f"reshaped_{block}"
        for i in range(8):
            nodes.append(helper.make_node("Relu" if i % 2 else "Neg", [last], [f"t_{block}_{i}"]))
            last = f"t_{block}_{i}"
    nodes.append(helper.make_node("Identity", [last], ["output"]))
    constants = [
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in (("zero", 0), ("fold", [1, 12, 16, 16]), ("unfold", [1, 3, 32, 32]))
    ]
    shape = [1, 3, 32, 32]
    path = save_network(tmp_path / "fold.onnx", nodes, shape, shape, constants)
    graph, given = OnnxGraph(path), []

    def counting(*arguments: object) -> dict[str, npt.NDArray[np.generic]]:
        values = onnx_sessions.run_session(*arguments)  # type: ignore[arg-type]
        given.extend(value.size for value in values.values())
        return values

    monkeypatch.setattr(onnx_shapes, "run_session", counting)
    found = tensor_shapes(graph, (32, 32))
    values = Sessions(graph, 1).run(graph.image_tensors(), blank(32, 32))
    assert {name: found[name].shape for name in values} == {
        name: value.shape for name, value in values.items()
    }
    assert list(found) == ["input", *graph.image_tensors()]
    assert max(given) == 4


def test_what_only_the_shape_of_the_image_decides_is_no_tap(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["input"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("Add", ["input", "zeros"], ["output"]),
    ]
    path = save_network(tmp_path / "zeros.onnx", nodes, [1, 3, 4, 4], [1, 3, 4, 4])
    assert list(shapes(path, (4, 4))) == ["output"]


def test_tensors_used_inside_branches_are_followed(tmp_path: Path) -> None:
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(operator, ["double"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4])],
        )
        for name, operator in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [
        helper.make_node("Add", ["input", "input"], ["double"]),
        helper.make_node("If", ["yes"], ["output"], **branches),
    ]
    yes = numpy_helper.from_array(np.array(False), "yes")
    path = save_network(tmp_path / "if.onnx", nodes, [1, 3, 4, 4], [1, 3, 4, 4], [yes])
    graph = OnnxGraph(path)
    assert list(tap_shapes(graph, (4, 4))) == ["double", "output"]
    ones = np.ones((1, 3, 4, 4), np.float32)
    values = Sessions(graph, num_threads=1).run(["output"], ones)["output"]
    np.testing.assert_array_equal(values, -2 * ones)


def test_a_cut_holds_nothing_after_its_outputs(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    before = path.read_bytes()
    cut = onnx.load_from_string(OnnxGraph(path).cut(["encoder_2"]).model)
    assert [n.op_type for n in cut.graph.node] == ["Conv", "LeakyRelu", "Cast", "Mul", "Conv"]
    assert len(cut.graph.initializer) == 3
    assert [o.name for o in cut.graph.output] == ["encoder_2"]
    assert path.read_bytes() == before


def test_sessions_are_kept_and_few(tmp_path: Path) -> None:
    graph = OnnxGraph(tiny_unet(tmp_path / "unet.onnx"))
    cuts: list[tuple[str, ...]] = []

    class Counting(OnnxGraph):
        def __init__(self) -> None:
            self.__dict__.update(graph.__dict__)

        def cut(self, outputs: Sequence[str], size: tuple[int, int] | None = None) -> Cut:
            cuts.append(tuple(outputs))
            return super().cut(outputs, size)

    sessions = Sessions(Counting(), num_threads=1)
    for outputs in (["encoder_1", "output"], ["output", "encoder_1"], ["encoder_1", "output"]):
        sessions.run(outputs, blank(32, 32))
    assert cuts == [("encoder_1", "output")]
    for name in UNET_LAYERS[:MOST_SESSIONS]:
        sessions.run([name], blank(32, 32))
    sessions.run(["encoder_1", "output"], blank(32, 32))
    assert len(cuts) == MOST_SESSIONS + 2


def test_fingerprint_is_the_digest_of_the_file(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    assert OnnxGraph(path).fingerprint == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_weights_beside_the_file_are_read_and_fingerprinted(tmp_path: Path) -> None:
    path, weights = tmp_path / "beside.onnx", tmp_path / "weights.bin"
    whole = OnnxGraph(tiny_unet(tmp_path / "unet.onnx"))
    onnx.save(
        onnx.load(tmp_path / "unet.onnx"),
        path,
        save_as_external_data=True,
        location=weights.name,
        size_threshold=0,
    )
    graph = OnnxGraph(path)
    both = hashlib.sha256(path.read_bytes() + weights.read_bytes()).hexdigest()
    assert graph.fingerprint == f"sha256:{both}"
    ones = np.ones((1, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(
        Sessions(graph, 1).run(["output"], ones)["output"],
        Sessions(whole, 1).run(["output"], ones)["output"],
    )
    weights.unlink()
    with pytest.raises(NetworkError, match=r"beside\.onnx: its weights in another file"):
        OnnxGraph(path)


@pytest.mark.parametrize(
    "content", [b"", b"this is a text file\n", b"\x89PNG\r\n\x1a\n" + bytes(64)]
)
def test_files_that_are_not_onnx_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(content)
    with pytest.raises(NetworkError, match=r"network\.onnx is not an ONNX file"):
        OnnxGraph(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(NetworkError, match=r"unet\.onnx is not an ONNX file"):
        OnnxGraph(path)


def test_a_fifo_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.onnx")
    with pytest.raises(NetworkError, match=r"fifo\.onnx cannot be read: it is not a regular file"):
        OnnxGraph(tmp_path / "fifo.onnx")


@pytest.mark.parametrize(
    "name", [b"encoder_2", b"encoder_2_weight", b"input_range", b"layers", b"LeakyRelu", b"batch"]
)
def test_names_that_are_not_utf_8_are_refused(tmp_path: Path, name: bytes) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    data = path.read_bytes()
    assert name in data
    path.write_bytes(data.replace(name, b"\xff" + name[1:]))
    with pytest.raises(NetworkError, match=r"unet\.onnx is damaged: .*names that are not UTF-8"):
        OnnxGraph(path)


@pytest.mark.parametrize("name", ["absent.onnx", ".", "nul\0.onnx"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(NetworkError, match="no such network"):
        OnnxGraph(tmp_path / name)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ([1, "c", 8, 8], TensorProto.FLOAT, r"float \(1, c, 8, 8\): .*`input_layout`"),
        ([1, 3, 8, 3], TensorProto.FLOAT, r"float \(1, 3, 8, 3\): .*`input_layout`"),
        ([1, 64, 64, 64], TensorProto.FLOAT, r"float \(1, 64, 64, 64\); .*at most 32 channels"),
        ([3, 8, 8], TensorProto.FLOAT, r"float \(3, 8, 8\)"),
        ([1, 3, 8, 8], TensorProto.INT32, r"int32 \(1, 3, 8, 8\)"),
    ],
)
def test_networks_without_an_image_input_are_refused(
    tmp_path: Path, shape: list[int | str], dtype: int, message: str
) -> None:
    path = identity(tmp_path / "identity.onnx", shape, dtype)
    with pytest.raises(NetworkError, match=message) as caught:
        OnnxGraph(path)
    assert "identity.onnx" in str(caught.value)


def test_an_input_of_a_type_that_onnx_does_not_have_is_refused(tmp_path: Path) -> None:
    path = identity(tmp_path / "identity.onnx", [1, 3, 8, 8])
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = 112
    path.write_bytes(model.SerializeToString())
    with pytest.raises(NetworkError, match=r"inputs are 'input' unknown \(1, 3, 8, 8\)"):
        OnnxGraph(path)


def test_weights_listed_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    model = onnx.load(path)
    for tensor in model.graph.initializer:  # as files of old ONNX versions do
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    onnx.save(model, path)
    graph = OnnxGraph(path)
    assert graph.input.name == "input"
    ones = np.ones((1, 3, 32, 32), np.float32)
    assert Sessions(graph, 1).run(["output"], ones)["output"].any()


@pytest.mark.parametrize(
    ("entries", "layers", "preprocessing", "output_range"),
    [
        ({}, (), Preprocessing(), None),
        (
            {"layers": "a, b,c", "input_range": "[-1, 1]", "output_range": "[0, 255]"},
            ("a", "b", "c"),
            Preprocessing(range=(-1, 1)),
            (0, 255),
        ),
        (
            {"layers": '["a"]', "mean": "[1, 2, 3]", "std": "[4, 5, 6]", "channel_order": "BGR"},
            ("a",),
            Preprocessing(channel_order="BGR", mean=(1, 2, 3), std=(4, 5, 6)),
            None,
        ),
    ],
)
def test_metadata(
    tmp_path: Path,
    entries: dict[str, str],
    layers: tuple[str, ...],
    preprocessing: Preprocessing,
    output_range: tuple[float, float] | None,
) -> None:
    metadata = read_metadata(onnx.load(tiny_unet(tmp_path / "a.onnx", metadata=entries)), "a.onnx")
    assert metadata.layers == layers
    assert metadata.preprocessing == preprocessing
    assert metadata.output.range == output_range


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"input_range": "-1..1"}, r"a\.onnx: metadata input_range is '-1\.\.1'"),
        ({"output_range": "[1]"}, r"a\.onnx: metadata output_range is '\[1\]'"),
        ({"mean": "3"}, r"a\.onnx: metadata mean is '3'"),
        ({"input_range": "[1, -1]"}, r"a\.onnx: in its metadata, range must be"),
        ({"channel_order": "rgb"}, r"a\.onnx: in its metadata, channel_order"),
        ({"layers": "[a"}, r"a\.onnx: metadata layers is '\[a'"),
        ({"layers": "[" * 100_000}, r"a\.onnx: metadata layers is"),
        ({"mean": "[" * 100_000}, r"a\.onnx: metadata mean is"),
        ({"input_range": f"[0, 1{'0' * 400}]"}, r"a\.onnx: metadata input_range is"),
        ({"mean": "[0]", "std": "[1e999]"}, r"a\.onnx: in its metadata, mean and std"),
        ({"output_kind": "depth"}, r"a\.onnx: metadata output_kind is 'depth'.* photo or none"),
        ({"output_threshold": "nan"}, r"a\.onnx: metadata output_threshold is 'nan'"),
    ],
)
def test_unreadable_metadata_is_named(
    tmp_path: Path, entries: dict[str, str], message: str
) -> None:
    model = onnx.load(tiny_unet(tmp_path / "a.onnx", metadata=entries))
    with pytest.raises(NetworkError, match=message):
        read_metadata(model, "a.onnx")


# Files that are not as ONNX wants them


@given(order=st.permutations(range(14)))
@settings(max_examples=20, deadline=None)
def test_nodes_in_any_order_are_sorted(order: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = tiny_unet(Path(folder) / "unet.onnx")
        image = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
        names = [*UNET_LAYERS, "output"]
        expected = Sessions(OnnxGraph(path), num_threads=1).run(names, image)
        model = onnx.load(path)
        nodes = [model.graph.node[place] for place in range(len(model.graph.node))]
        shuffled = [nodes[place] for place in order] + nodes[len(order) :]
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in shuffled]
        del model.graph.node[:]
        model.graph.node.extend(copies)
        onnx.save(model, path)
        graph = OnnxGraph(path)
        assert list(tap_shapes(graph, (32, 32))) != []
        found = Sessions(graph, num_threads=1).run(names, image)
        for name in names:
            np.testing.assert_array_equal(found[name], expected[name])


def changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    return path


def test_a_circle_of_tensors_is_refused(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[1].input[0] = "encoder_2"  # which is computed from it

    path = changed(tiny_unet(tmp_path / "unet.onnx"), change)
    with pytest.raises(NetworkError, match=r"unet\.onnx is damaged: .* is computed from itself"):
        OnnxGraph(path)


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[1].output[0] = "encoder_1"

    path = changed(tiny_unet(tmp_path / "unet.onnx"), change)
    with pytest.raises(NetworkError, match="two operators give the tensor 'encoder_1'"):
        OnnxGraph(path)


def test_operators_of_others_are_left_out(tmp_path: Path) -> None:
    """The tensors before them work, and an import that nothing uses is no obstacle."""

    def change(model: onnx.ModelProto) -> None:
        foreign = helper.make_node("Sharpen", ["output"], ["sharp"], domain="our.ops")
        model.graph.node.append(foreign)
        model.graph.output.append(helper.make_tensor_value_info("sharp", 1, ["N", 3, 32, 32]))
        model.opset_import.append(helper.make_opsetid("our.ops", 1))

    path = changed(tiny_unet(tmp_path / "unet.onnx"), change)
    graph = OnnxGraph(path)
    assert graph.foreign_operators() == ["our.ops:Sharpen"]
    assert "sharp" not in graph.image_tensors()
    network = OnnxNetwork(path)
    assert network.describe_output(Photo()) == "output 'output': colours in [-1, 1]"

    def only_that(model: onnx.ModelProto) -> None:
        del model.graph.output[0]

    network = OnnxNetwork(changed(path, only_that))
    said = network.describe_output(Photo())
    assert network.output_name is None
    assert re.search(r"^no output: none of its outputs.*our\.ops:Sharpen.*without them", said), said
    assert network.read(np.zeros((32, 32, 3), np.uint8), ["decoder_2"]).tap("decoder_2").size
    with pytest.raises(NetworkError, match=r"no per-pixel output.*our\.ops:Sharpen.*without them"):
        OnnxNetwork(path, output=OutputChoice(kind="photo"))


def test_local_functions_are_put_in_place(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        body = [helper.make_node("Relu", ["x"], ["y"])]
        function = helper.make_function(
            "own", "Block", ["x"], ["y"], body, [helper.make_opsetid("", 17)]
        )
        model.functions.append(function)
        model.opset_import.append(helper.make_opsetid("own", 1))
        node = next(n for n in model.graph.node if n.op_type == "Relu")
        node.op_type, node.domain = "Block", "own"

    path = tiny_unet(tmp_path / "unet.onnx")
    image = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    expected = Sessions(OnnxGraph(path), num_threads=1).run(["output"], image)["output"]
    found = Sessions(OnnxGraph(changed(path, change)), num_threads=1).run(["output"], image)
    np.testing.assert_array_equal(found["output"], expected)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("ir", r"IR version 99, but ONNX Runtime \S+ reads versions up to \d+; upgrade"),
        ("opset", r"opset 99 of ai\.onnx, but .* up to (\d+); upgrade .*`opset_version=\1`"),
    ],
)
def test_files_of_a_later_onnx_say_what_to_upgrade(
    tmp_path: Path, field: str, message: str
) -> None:
    def change(model: onnx.ModelProto) -> None:
        if field == "ir":
            model.ir_version = 99
        else:
            model.opset_import[0].version = 99

    path = changed(tiny_unet(tmp_path / "unet.onnx"), change)
    with pytest.raises(NetworkError, match=message):
        OnnxNetwork(path)


def test_pixels_as_they_are(tmp_path: Path) -> None:
    """An input of uint8 takes 0..255, without that anybody says so."""
    nodes = [
        helper.make_node("Cast", ["input"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Neg", ["real"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, [1, 3, 8, 12])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 8, 12])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    network = OnnxNetwork(tmp_path / "net.onnx", ["real"])
    assert network.preprocessing.range == (0, 255)
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    found = network.read(image, ["real"]).taps["real"]
    np.testing.assert_array_equal(found, image.transpose(2, 0, 1))
    pickled = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(pickled.read(image, ["real"]).taps["real"], found)


def test_an_input_that_nothing_reads_is_no_obstacle(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        unused = helper.make_tensor_value_info("prompt", TensorProto.INT64, [1, 77])
        model.graph.input.append(unused)

    path = changed(tiny_unet(tmp_path / "unet.onnx"), change)
    assert OnnxNetwork(path).tap_shape("encoder_1") == (16, 16, 4)
