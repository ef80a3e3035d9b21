"""Where the cells of taps lie, found operator by operator: known answers and perturbations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compnn.errors import LayerError
from compnn.network.geometry import AxisMap
from compnn.network.onnx import OnnxNetwork
from compnn.network.onnx_trace import GraphTrace, trace
from compnn.network.preprocessing import Preprocessing

UNIT = Preprocessing(range=(0, 1))
Shapes = dict[str, tuple[int, ...]]


class Net:
    """A network that is written down operator by operator, run to know all its tensors."""

    def __init__(self, size: tuple[int, int], channels: int = 3) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shape = (1, channels, *size)
        self.rng = np.random.default_rng(3)

    def const(self, value: object, dtype: type = np.int64) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weight(self, *shape: int) -> str:
        return self.const(self.rng.uniform(0.5, 1, shape), np.float32)

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def conv(
        self, source: str, output: str, depth: tuple[int, int], kernel: int, **attributes: object
    ) -> str:
        weights = self.weight(depth[1], depth[0], kernel, kernel)
        return self.add("Conv", [source, weights], output, **attributes)

    def model(self) -> onnx.ModelProto:
        names = [name for node in self.nodes for name in node.output]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [onnx.ValueInfoProto(name=name) for name in names],
            self.constants,
        )
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])

    def run(
        self, image: npt.NDArray[np.float32] | None = None
    ) -> dict[str, npt.NDArray[np.generic]]:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            self.model().SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [value.name for value in session.get_outputs()]
        image = np.zeros(self.shape, np.float32) if image is None else image
        return dict(zip(names, session.run(names, {"x": image}), strict=True))

    def trace(self, output: str | None = None) -> GraphTrace:
        shapes: Shapes = {name: value.shape for name, value in self.run().items()}
        return trace(self.model().graph, {"x": self.shape, **shapes}, "x", output=output)


def line(scale: Fraction | float, offset: Fraction | float = 0) -> AxisMap:
    return AxisMap(Fraction(scale), Fraction(offset))


def looks(found: GraphTrace, tap: str) -> AxisMap:
    rows, cols = found.taps[tap].looks
    assert rows == cols
    return rows


@pytest.mark.parametrize(
    ("kernel", "attributes", "expected"),
    [
        (3, {"strides": [2, 2], "pads": [1, 1, 1, 1]}, line(2, Fraction(-1, 2))),
        (3, {}, line(1, 1)),
        (4, {"strides": [2, 2], "pads": [1, 1, 1, 1]}, line(2)),
        (7, {"strides": [2, 2], "pads": [3, 3, 3, 3]}, line(2, Fraction(-1, 2))),
        (16, {"strides": [16, 16]}, line(16)),
        (3, {"dilations": [4, 4], "pads": [4, 4, 4, 4]}, line(1)),
        (3, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, line(2, Fraction(1, 2))),
        (3, {"strides": [2, 2], "auto_pad": "SAME_LOWER"}, line(2, Fraction(-1, 2))),
    ],
)
def test_convolutions(kernel: int, attributes: dict[str, object], expected: AxisMap) -> None:
    net = Net((48, 48))
    net.conv("x", "y", (3, 2), kernel, **attributes)
    assert looks(net.trace(), "y") == expected


@pytest.mark.parametrize(
    ("mode", "attributes", "expected"),
    [
        ("linear", {"coordinate_transformation_mode": "half_pixel"}, line(Fraction(1, 2))),
        (
            "linear",
            {"coordinate_transformation_mode": "align_corners"},
            line(Fraction(7, 15), Fraction(4, 15)),
        ),
        (
            "linear",
            {"coordinate_transformation_mode": "asymmetric"},
            line(Fraction(1, 2), Fraction(1, 4)),
        ),
        (
            "nearest",
            {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
            line(Fraction(1, 2)),
        ),
        ("nearest", {"coordinate_transformation_mode": "half_pixel"}, line(Fraction(1, 2))),
    ],
)
def test_enlargements(mode: str, attributes: dict[str, object], expected: AxisMap) -> None:
    net = Net((8, 8))
    scales = net.const([1, 1, 2, 2], np.float32)
    net.add("Resize", ["x", "", scales], "y", mode=mode, **attributes)
    found = net.trace(output="y")
    assert looks(found, "y") == expected
    assert found.output is not None
    assert found.output.shape == (16, 16, 3)


def test_enlarging_by_a_half_leads_from_each_cell_to_the_middle_of_its_copies() -> None:
    net = Net((8, 8))
    net.add("Resize", ["x", "", net.const([1, 1, 3, 3], np.float32)], "y", mode="nearest")
    assert looks(net.trace(), "y") == line(Fraction(1, 3))


def test_a_residual_network_and_its_decoder() -> None:
    net = Net((64, 96))
    source = "x"
    for level in range(1, 5):
        source = net.conv(source, f"e{level}", (3, 3), 3, strides=[2, 2], pads=[1, 1, 1, 1])
    for level in (3, 2, 1):
        scales = net.const([1, 1, 2, 2], np.float32)
        net.add("Resize", [source, "", scales], f"up{level}", mode="nearest")
        source = net.add("Add", [f"up{level}", f"e{level}"], f"d{level}")
    net.add("Resize", ["d1", "", net.const([1, 1, 2, 2], np.float32)], "y", mode="nearest")
    found = net.trace(output="y")
    for level in range(1, 5):
        stride = 2**level
        assert looks(found, f"e{level}") == line(stride, Fraction(1 - stride, 2))
        painted = found.taps[f"e{level}"].paints
        assert painted is not None
        assert painted[0] == line(stride)
    # The skip connection decides: it is finer than the way through the coarsest cells.
    assert looks(found, "d1") == line(2, Fraction(-1, 2))
    assert [step.varies for step in found.looks_path("d1")] == [(0,), (1,)]
    assert found.taps["y"].note == ""


def tokens_of(net: Net, prefix: int) -> None:
    net.conv("x", "patches", (3, 8), 16, strides=[16, 16])
    rows, cols = net.shape[2] // 16, net.shape[3] // 16
    net.add("Reshape", ["patches", net.const([1, 8, rows * cols])], "flat")
    net.add("Transpose", ["flat"], "grid", perm=[0, 2, 1])
    if prefix:
        net.add("Concat", [net.weight(1, prefix, 8), "grid"], "sequence", axis=1)
    else:
        net.add("Identity", ["grid"], "sequence")
    heads = []
    for name in "qkv":
        net.add("MatMul", ["sequence", net.weight(8, 8)], name)
        net.add("Reshape", [name, net.const([1, rows * cols + prefix, 2, 4])], f"{name}_split")
        order = [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
        heads.append(net.add("Transpose", [f"{name}_split"], f"{name}_heads", perm=order))
    net.add("MatMul", heads[:2], "scores")
    net.add("Softmax", ["scores"], "weights", axis=-1)
    net.add("MatMul", ["weights", heads[2]], "context")
    net.add("Transpose", ["context"], "context_t", perm=[0, 2, 1, 3])
    net.add("Reshape", ["context_t", net.const([1, rows * cols + prefix, 8])], "mixed")
    net.add("Add", ["sequence", "mixed"], "block")


@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens_are_the_cells_of_the_map_that_was_flattened(prefix: int) -> None:
    net = Net((48, 112))
    tokens_of(net, prefix)
    net.add("Gather", ["block", net.const(0)], "first", axis=1)
    found = net.trace()
    block = found.taps["block"]
    assert (block.shape, block.tokens) == ((3, 7, 8), True)
    assert looks(found, "block") == line(16)
    values = net.run(net.rng.normal(size=net.shape).astype(np.float32))["block"]
    expected = values[0, prefix:].reshape(3, 7, 8).transpose(2, 0, 1)
    np.testing.assert_array_equal(block.to_chw(values), expected)
    for name in ("scores", "weights", "context", "mixed"):
        assert "attention" in found.refused[name]
    for name in ("q_split", "k_heads"):
        assert "heads" in found.refused[name]
    if prefix:
        assert "class token" in found.refused["first"]
        assert found.vectors == {"first": 8}


def test_windows_go_and_come_back_over_a_roll() -> None:
    net = Net((24, 32))
    net.conv("x", "map", (3, 4), 2, strides=[2, 2])
    net.add("Transpose", ["map"], "last", perm=[0, 2, 3, 1])
    ends = {name: net.const([value]) for name, value in (("0", 0), ("2", 2), ("10", 10))}
    far, axis = net.const([1 << 30]), net.const([1])
    net.add("Slice", ["last", ends["2"], far, axis], "tail")
    net.add("Slice", ["last", ends["0"], ends["2"], axis], "head")
    net.add("Concat", ["tail", "head"], "rolled", axis=1)
    net.add("Reshape", ["rolled", net.const([1, 3, 4, 4, 4, 4])], "cut")
    net.add("Transpose", ["cut"], "sorted", perm=[0, 1, 3, 2, 4, 5])
    net.add("Reshape", ["sorted", net.const([12, 16, 4])], "windows")
    net.add("MatMul", ["windows", net.weight(4, 4)], "product")
    net.add("Reshape", ["product", net.const([1, 3, 4, 4, 4, 4])], "uncut")
    net.add("Transpose", ["uncut"], "unsorted", perm=[0, 1, 3, 2, 4, 5])
    net.add("Reshape", ["unsorted", net.const([1, 12, 16, 4])], "unrolled")
    net.add("Slice", ["unrolled", ends["10"], far, axis], "first")
    net.add("Slice", ["unrolled", ends["0"], ends["10"], axis], "rest")
    net.add("Concat", ["first", "rest"], "back", axis=1)
    net.add("Add", ["last", "back"], "block")
    found = net.trace()
    assert found.taps["block"].shape == (12, 16, 4)
    assert looks(found, "block") == looks(found, "back") == line(2)
    assert found.taps["rolled"].looks[0] == line(2, 4)
    for name in ("cut", "windows", "product", "unsorted"):
        assert "windows" in found.refused[name]


def test_patches_by_reshaping_are_cells_and_shuffled_pixels_are_finer() -> None:
    net = Net((24, 40))
    net.add("Reshape", ["x", net.const([1, 3, 3, 8, 5, 8])], "split")
    net.add("Transpose", ["split"], "gathered", perm=[0, 2, 4, 1, 3, 5])
    net.add("Reshape", ["gathered", net.const([1, 15, 192])], "patches")
    net.add("MatMul", ["patches", net.weight(192, 6 * 16)], "tokens")
    net.add("Transpose", ["tokens"], "channels", perm=[0, 2, 1])
    net.add("Reshape", ["channels", net.const([1, 6, 4, 4, 3, 5])], "pieces")
    net.add("Transpose", ["pieces"], "shuffled", perm=[0, 1, 4, 2, 5, 3])
    net.add("Reshape", ["shuffled", net.const([1, 6, 12, 20])], "fine")
    net.conv("fine", "y", (6, 2), 3, pads=[1, 1, 1, 1])
    found = net.trace(output="y")
    assert looks(found, "patches") == looks(found, "tokens") == line(8)
    assert looks(found, "fine") == looks(found, "y") == line(2)
    painted = found.taps["tokens"].paints
    assert painted is not None
    assert painted[0] == line(4)
    values = net.run(net.rng.normal(size=net.shape).astype(np.float32))
    np.testing.assert_array_equal(found.taps["fine"].to_chw(values["fine"]), values["fine"][0])


def test_what_is_pooled_over_the_image_has_no_place_and_a_gate_is_left_out() -> None:
    net = Net((16, 16))
    net.conv("x", "map", (3, 4), 3, strides=[2, 2], pads=[1, 1, 1, 1])
    net.add("GlobalAveragePool", ["map"], "pooled")
    net.add("Sigmoid", ["pooled"], "gate")
    net.add("Mul", ["map", "gate"], "gated")
    net.add("Resize", ["pooled", "", "", net.const([1, 4, 8, 8])], "spread", mode="nearest")
    net.add("Concat", ["map", "spread"], "joined", axis=1)
    net.add("Flatten", ["map"], "flat", axis=1)
    net.add("MatMul", ["flat", net.weight(256, 5)], "scores")
    found = net.trace()
    assert looks(found, "gated") == looks(found, "joined") == line(2, Fraction(-1, 2))
    for name in ("pooled", "gate", "spread", "scores"):
        assert name not in found.taps
        assert "places" in found.refused[name] or "whole image" in found.refused[name]
    assert found.vectors == {"pooled": 4, "gate": 4, "scores": 5}
    assert found.taps["joined"].shape == (8, 8, 8)


def test_a_mirrored_map_is_refused() -> None:
    net = Net((8, 8))
    start, end, axis, step = (net.const([value]) for value in (-1, -(1 << 30), 3, -1))
    net.add("Slice", ["x", start, end, axis, step], "mirrored")
    assert net.trace().refused["mirrored"] == "is mirrored"


def test_an_unknown_operator_is_followed_by_sizes_with_a_word() -> None:
    net = Net((16, 24))
    net.conv("x", "map", (3, 2), 3, strides=[2, 2], pads=[1, 1, 1, 1])
    grid = net.const(np.zeros((1, 8, 12, 2)), np.float32)
    net.add("GridSample", ["map", grid], "warped")
    found = net.trace(output="warped")
    assert looks(found, "warped") == line(2)
    assert "by sizes only from operator GridSample" in found.taps["warped"].note
    assert "GridSample" in found.taps["map"].note


def test_paths_that_disagree_by_more_than_half_a_cell_are_said() -> None:
    net = Net((16, 16))
    net.add("Pad", ["x", net.const([0, 0, 3, 3, 0, 0, 0, 0])], "low")
    net.add("Pad", ["x", net.const([0, 0, 0, 0, 0, 0, 3, 3])], "high")
    net.add("Add", ["low", "high"], "sum")
    found = net.trace()
    assert looks(found, "sum") == line(1, Fraction(-3, 2))
    assert "3 pixels apart" in found.taps["sum"].note


KINDS = ("conv", "pool", "transposed", "nearest", "align", "crop", "pad", "skip", "gate")


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 1 << 16)), min_size=1, max_size=5))
@example([("conv", 0), ("conv", 0), ("transposed", 0), ("conv", 1)])
@example([("crop", 2), ("crop", 28), ("crop", 477), ("conv", 4492)])
def test_random_stacks_look_where_a_perturbation_says(
    steps: list[tuple[str, int]],
) -> None:
    """All weights are above 0: the rows that change a cell are exactly those on its paths."""
    net = Net((41, 13), channels=1)
    source, rows = "x", 41
    for place, (kind, seed) in enumerate(steps):
        rng = np.random.default_rng(seed)
        name = f"t{place}"
        kernel, stride = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        pads = [int(rng.integers(0, kernel)), 0, int(rng.integers(0, kernel)), 0]
        window = {"strides": [stride, 1], "pads": pads}
        if kind == "conv":
            weights = net.weight(1, 1, kernel, 1)
            net.add("Conv", [source, weights], name, **window)
        elif kind == "pool":
            net.add("AveragePool", [source], name, kernel_shape=[kernel, 1], **window)
        elif kind == "transposed":
            kernel = max(kernel, stride)
            weights = net.weight(1, 1, kernel, 1)
            net.add("ConvTranspose", [source, weights], name, strides=[stride, 1])
        elif kind in ("nearest", "align"):
            scales = net.const([1, 1, 2, 1], np.float32)
            how = "align_corners" if kind == "align" else "asymmetric"
            mode = "linear" if kind == "align" else "nearest"
            net.add(
                "Resize",
                [source, "", scales],
                name,
                mode=mode,
                coordinate_transformation_mode=how,
                nearest_mode="floor",
            )
        elif kind == "crop":
            first = int(rng.integers(0, 3))
            net.add("Slice", [source, *(net.const([v]) for v in (first, 1 << 30, 2))], name)
        elif kind == "pad":
            net.add("Pad", [source, net.const([0, 0, pads[0], 0, 0, 0, pads[2], 0])], name)
        elif kind == "gate":
            net.add("GlobalAveragePool", [source], f"{name}_mean")
            net.add("Mul", [source, f"{name}_mean"], name)
        else:
            kernel = 2 * kernel - 1
            weights = net.weight(1, 1, kernel, 1)
            half = kernel // 2
            net.add("Conv", [source, weights], f"{name}_side", pads=[half, 0, half, 0])
            net.add("Add", [source, f"{name}_side"], name)
        source = name
    try:
        rows = net.run()[source].shape[2]
    except Exception:  # a crop of what is smaller, in ONNX Runtime
        return
    if rows < 1:
        return
    found = net.trace()
    tap = found.taps[source]
    assert tap.shape[:2] == (rows, 13)
    # Cells that are finer than others before them share what these look at: extents alternate,
    # also those of coarser cells after them.
    scales = [each.looks[0].scale for each in found.taps.values()]
    coarsest, is_enlarged = max(scales), any(b < a for a, b in pairwise(scales))
    slack = Fraction(1, 2) + (coarsest if is_enlarged else 0)
    held = held_means(net, found)
    base = held.run(np.ones(net.shape, np.float32))[source][0, 0, :, 6]
    changed = np.zeros((41, rows), bool)
    for row in range(41):
        image = np.ones(net.shape, np.float32)
        image[:, :, row] = 1000
        changed[row] = np.abs(held.run(image)[source][0, 0, :, 6] - base) > 1e-3 * np.abs(base)
    # The borders of the tensors on the way cut extents short, too; a crop's lies further in.
    crops = [found.taps[f"t{place}"] for place, (kind, _) in enumerate(steps) if kind == "crop"]
    first = max([Fraction(0), *(each.looks[0](Fraction(0)) for each in crops)])
    for cell in range(rows):
        seen = np.flatnonzero(changed[:, cell])
        if len(seen) and seen[0] > first + 2 * coarsest and seen[-1] < 40 - 2 * coarsest:
            middle = Fraction(int(seen[0] + seen[-1] + 1), 2)
            assert abs(middle - tap.looks[0](cell + Fraction(1, 2))) <= slack


def held_means(net: Net, found: GraphTrace) -> Net:
    """The same network with what has no place held."""
    held = Net((net.shape[2], net.shape[3]), channels=1)
    held.constants = list(net.constants)
    values = net.run(np.ones(net.shape, np.float32))
    for node in net.nodes:
        if node.output[0] in found.vectors:
            value = np.asarray(values[node.output[0]], np.float32)
            held.constants.append(numpy_helper.from_array(value, node.output[0]))
        else:
            held.nodes.append(node)
    return held


# Real files


def test_pix2pix_looks_and_paints_by_powers_of_two(shared: Path) -> None:
    network = OnnxNetwork(shared / "models" / "pix2pix-facades-labels-to-photo.onnx")
    for coder in ("encoder", "decoder"):
        for level in range(2, 9):
            geometry = network.layer(f"{coder}_{level}").geometry
            assert geometry.looks == geometry.paints == (line(2**level), line(2**level)) or (
                coder == "decoder"
            )
    assert network.layer("decoder_2").geometry.paints == (line(2), line(2))


def test_segnet_looks_and_paints_by_powers_of_two(shared: Path) -> None:
    network = OnnxNetwork(shared / "models" / "segnet-basic-camvid.onnx")
    for level in range(1, 5):
        for name, stride in (
            (f"encoder_{level}", 2**level),
            (f"decoder_{level}", 2 ** (4 - level)),
        ):
            geometry = network.layer(name).geometry
            assert geometry.looks == geometry.paints == (line(stride), line(stride))


@pytest.mark.parametrize("size", [(100, 100), (97, 131), (375, 360)])
def test_strides_do_not_depend_on_the_size(shared: Path, size: tuple[int, int]) -> None:
    network = OnnxNetwork(shared / "data" / "networks" / "r5_free.onnx", preprocessing=UNIT)
    for level in range(1, 6):
        stride = 2**level
        geometry = network.layer(f"s{stride}", size).geometry
        expected = line(stride, Fraction(1 - stride, 2))
        assert geometry.looks == (expected, expected)
        assert geometry.output_size == size


def test_windows_and_attention_are_no_layers(shared: Path) -> None:
    folder = shared / "data" / "networks"
    network = OnnxNetwork(folder / "vit_prefix1.onnx", preprocessing=UNIT)
    assert network.layer("block_0").shape == (4, 6, 16)
    assert network.layer("block_0").hyperpatch == (1, 1)
    with pytest.raises(LayerError, match="relates places with places"):
        network.layer("score")
    network = OnnxNetwork(folder / "channels_last_windows.onnx", preprocessing=UNIT)
    assert network.layer("blk").shape == (12, 16, 16)
    with pytest.raises(LayerError, match="holds windows"):
        network.layer("win")


def test_an_activation_is_the_tensor_with_rows_first(shared: Path) -> None:
    path = shared / "data" / "networks" / "channels_last_windows.onnx"
    network = OnnxNetwork(path, preprocessing=UNIT)
    size = network.input_size
    assert size is not None
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    taken = network.activations(image, ["e2", "cl"])
    np.testing.assert_array_equal(taken["e2"], taken["cl"])
    assert math.prod(taken["e2"].shape) > 0
