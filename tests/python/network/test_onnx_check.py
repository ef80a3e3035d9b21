"""Maps checked by perturbing, on networks whose paths and maps are written out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compnn.network.geometry import AxisMap, Maps
from compnn.network.onnx import OnnxNetwork
from compnn.network.onnx_check import TapCheck, _extents_of_cells, check_tap
from compnn.network.onnx_graph import OnnxGraph
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing
from tiny_networks import save_network, tiny_unet

HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Step:
    node: int
    varies: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Tap:
    name: str
    looks: Maps
    paints: Maps | None = None
    order: tuple[int, int, int] | None = None  # of (H, W, C) where it is one of tokens
    grid: tuple[int, int] = (0, 0)

    def to_chw(self, value: npt.NDArray[Any], /) -> npt.NDArray[Any]:
        if value.ndim == 3 and self.grid != (0, 0):  # one class token, then the rows
            return value[0, 1:].T.reshape(-1, *self.grid)
        return value[0] if self.order is None else value[0].transpose(self.order)


@dataclass(frozen=True)
class Trace:
    taps: dict[str, Tap]
    output: Tap | None = None
    looks: list[Step] = field(default_factory=list)
    paints: list[Step] = field(default_factory=list)

    def looks_path(self, tap: str, /) -> list[Step]:
        return self.looks

    def paints_path(self, tap: str, /) -> list[Step]:
        return self.paints


def both(scale: Fraction | int, offset: Fraction | int = 0) -> Maps:
    one = AxisMap(Fraction(scale), Fraction(offset))
    return one, one


class Net:
    """Nodes one after the other, from `input`; every operator gives a tensor of its own name."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(seed)

    def constant(self, value: npt.ArrayLike, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def random(self, *shape: int) -> str:
        return self.constant(self.rng.normal(size=shape))

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(self, x: str, into: int, out: int, k: int, s: int = 1, pads: Any = None) -> str:
        pads = [k // 2] * 4 if pads is None else pads
        weight = self.random(out, into, k, k)
        return self.add("Conv", [x, weight], kernel_shape=[k, k], strides=[s, s], pads=pads)

    def graph(self, folder: Path, size: tuple[int, int], dtype: int = TensorProto.FLOAT) -> Any:
        last = self.nodes[-1].output[0]
        path = save_network(
            folder / "net.onnx",
            [*self.nodes, helper.make_node("Identity", [last], ["output"])],
            (1, 3, *size),
            ("a", "b", "c", "d")[: 4 if not self.rank3 else 3],
            self.weights,
            dtype=dtype,
        )
        return OnnxGraph(path)

    rank3 = False


def picture(height: int, width: int, dtype: Any = np.float32) -> npt.NDArray[Any]:
    return np.random.default_rng(7).normal(size=(1, 3, height, width)).astype(dtype)


def check(
    folder: Path, net: Net, tap: Tap, size: tuple[int, int], looks: list[Step], **more: Any
) -> TapCheck:
    trace = Trace({tap.name: tap}, looks=looks, **more)
    return check_tap(net.graph(folder, size), trace, tap.name, picture(*size))


def steps(first: int, stop: int) -> list[Step]:
    return [Step(node) for node in range(first, stop)]


layer = st.tuples(
    st.sampled_from(["conv", "pool", "transposed", "average"]),
    st.integers(1, 4),  # kernel
    st.integers(1, 3),  # stride
    st.integers(1, 2),  # dilation of convolutions
    st.integers(0, 2),  # first pad
    st.integers(0, 2),  # last pad
)


@settings(max_examples=12, derandomize=True, deadline=None)
@given(stack=st.lists(layer, min_size=1, max_size=3), cut=st.integers(0, 3), wide=st.booleans())
def test_stacks_agree_and_a_shift_of_half_a_stride_does_not(
    tmp_path_factory: pytest.TempPathFactory,
    stack: list[tuple[str, int, int, int, int, int]],
    cut: int,
    wide: bool,
) -> None:
    net, name = Net(), "input"
    maps = [AxisMap(Fraction(1))]
    size, sizes = (60 if not wide else 71), []
    for kind, k, s, e, first, last in stack:
        k, e = max(k, s), 1 if kind in ("pool", "average") else e
        first, last = min(first, k - 1), min(last, k - 1)
        reach = Fraction(e * (k - 1) + 1, 2)
        inner = AxisMap(Fraction(s), reach - first - Fraction(s, 2))
        where = {"kernel_shape": [k, k], "strides": [s, s], "pads": [first, first, last, last]}
        if kind == "conv":
            weight = net.random(3, 3, k, k)
            name = net.add("Conv", [name, weight], dilations=[e, e], **where)
        elif kind == "transposed":
            s = min(s, 2)
            where["strides"] = [s, s]
            inner = AxisMap(Fraction(s), reach - first - Fraction(s, 2)).inverse()
            weight = net.random(3, 3, k, k)
            name = net.add("ConvTranspose", [name, weight], dilations=[e, e], **where)
        elif kind == "pool":
            name = net.add("MaxPool", [name], **where)
        else:
            name = net.add("AveragePool", [name], **where)
        maps.append(maps[-1].after(inner))
        sizes.append(name)
    cut = min(cut, len(stack) - 1)
    tap_name = sizes[cut]
    looks = maps[cut + 1]
    paints = maps[-1].inverse().after(looks)
    tap = Tap(tap_name, (looks, looks), (paints, paints))
    graph = net.graph(tmp_path_factory.mktemp("net"), (size, size + 3))
    image = picture(size, size + 3)
    output = Tap("output", (maps[-1], maps[-1]))

    def verdicts(tap: Tap) -> TapCheck:
        trace = Trace(
            {tap.name: tap}, output, steps(0, cut + 1), steps(cut + 1, len(net.nodes) + 1)
        )
        return check_tap(graph, trace, tap.name, image)

    found = verdicts(tap)
    assert found.looks.agrees or not found.looks.cells, str(found.looks)
    assert found.paints is not None
    assert found.paints.agrees or not found.paints.cells, str(found.paints)
    shifted = [
        AxisMap(m.scale, m.offset + max(m.scale / 2, Fraction(5, 4))) for m in (looks, paints)
    ]
    wrong = verdicts(replace(tap, looks=(looks, shifted[0]), paints=(shifted[1], paints)))
    assert not wrong.looks.agrees
    assert wrong.paints is not None
    assert not wrong.paints.agrees


def test_a_chain_of_many_kernels_is_seen_to_its_corners(tmp_path: Path) -> None:
    net, name = Net(), "input"
    for _ in range(14):  # what passes all their corners is lost in float32
        name = net.conv(name, 3, 3, 3, pads=[0] * 4)
        name = net.add("Relu", [name])
    verdict = check(tmp_path, net, Tap(name, both(1, 14)), (48, 50), steps(0, 28)).looks
    assert verdict.agrees
    assert verdict.cells >= 9
    wrong = check(tmp_path, net, Tap(name, both(1, 15)), (48, 50), steps(0, 28)).looks
    assert str(wrong) == "differs by 1 pixels"


def test_a_dead_relu_and_a_scale_near_zero_hide_nothing(tmp_path: Path) -> None:
    net = Net()
    name = net.conv("input", 3, 4, 2, 2, [0] * 4)
    name = net.add("Sub", [name, net.constant(8.0)])
    name = net.add("Relu", [name])
    name = net.add("Mul", [name, net.constant(1e-6)])
    name = net.conv(name, 4, 4, 2, 2, [0] * 4)
    assert check(tmp_path, net, Tap(name, both(4)), (40, 44), steps(0, 5)).looks.agrees


def test_gates_are_held_and_else_reach_the_border(tmp_path: Path) -> None:
    net = Net()
    x = net.conv("input", 3, 4, 3, 2)  # 2u - 1/2
    gate = net.add("Sigmoid", [net.conv(net.add("GlobalAveragePool", [x]), 4, 4, 1)])
    name = net.add("Mul", [gate, x])
    tap = Tap(name, both(2, -HALF))
    local = [Step(0), Step(4, (1,))]
    assert check(tmp_path, net, tap, (32, 35), local).looks.agrees
    everything = [*steps(0, 4), Step(4, (0, 1))]
    verdict = check(tmp_path, net, tap, (32, 35), everything).looks
    assert str(verdict) == (
        "cannot be seen at this size: 0 cells, not 9, reach no border of the picture"
    )


def test_statistics_over_places_are_held(tmp_path: Path) -> None:
    net = Net()
    x = net.conv("input", 3, 4, 3, 1, [0] * 4)
    x = net.add("InstanceNormalization", [x, net.random(4), net.random(4)])
    name = net.conv(x, 4, 4, 3, 1, [0] * 4)
    assert check(tmp_path, net, Tap(name, both(1, 2)), (30, 31), steps(0, 3)).looks.agrees


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_cells_finer_than_what_they_come_from(tmp_path: Path, mode: str, factor: int) -> None:
    net = Net()
    x = net.conv("input", 3, 4, factor, factor, [0] * 4)
    scales = net.constant([1, 1, factor, factor])
    how = {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    name = net.add("Resize", [x, "", scales], mode=mode, **(how if mode == "nearest" else {}))
    size = (14 * factor, 15 * factor)
    assert check(tmp_path, net, Tap(name, both(1)), size, steps(0, 2)).looks.agrees
    shifted = Tap(name, both(1, Fraction(factor, 2)))  # half a cell of those that were enlarged
    found = check(tmp_path, net, shifted, size, steps(0, 2)).looks
    assert Fraction(factor, 2) <= found.difference <= Fraction(factor + 1, 2)
    wrong_scale = Tap(name, both(Fraction(9, 8), 0))
    assert not check(tmp_path, net, wrong_scale, size, steps(0, 2)).looks.agrees


def test_align_corners_has_the_scale_of_the_corners(tmp_path: Path) -> None:
    net = Net()
    x = net.conv("input", 3, 3, 8, 8, [0] * 4)
    sizes = net.constant([1, 3, 128, 128], np.int64)
    net.add(
        "Resize",
        [x, "", "", sizes],
        mode="linear",
        coordinate_transformation_mode="align_corners",
    )
    scale = Fraction(127, 15)
    right = both(scale, HALF - scale / 2)

    def paints(maps: Maps) -> Any:
        tap = Tap(x, both(8), maps)
        output = Tap("output", both(1))
        more = {"output": output, "paints": steps(1, 3)}
        return check(tmp_path, net, tap, (128, 128), [Step(0)], **more).paints

    assert paints(right).agrees
    assert not paints((AxisMap(scale, HALF - scale / 2 + 2), right[1])).agrees


def test_tokens_after_a_class_token(tmp_path: Path) -> None:
    net = Net()
    net.rank3 = True
    x = net.conv("input", 3, 6, 4, 4, [0] * 4)
    x = net.add("Reshape", [x, net.constant([1, 6, -1], np.int64)])
    x = net.add("Transpose", [x], perm=[0, 2, 1])
    name = net.add("Concat", [net.random(1, 1, 6), x], axis=1)
    path = [Step(0), Step(1), Step(2), Step(3, (1,))]
    tap = Tap(name, both(4), grid=(6, 7))
    assert check(tmp_path, net, tap, (24, 28), path).looks.agrees
    other = Tap(name, both(4), grid=(7, 6))  # not the grid that was flattened
    assert not check(tmp_path, net, other, (24, 28), path).looks.agrees


@pytest.mark.parametrize("dtype", [np.uint8, np.float16])
def test_pixels_and_half_precision(tmp_path: Path, dtype: type) -> None:
    net, kind = Net(), helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    x = net.add("Cast", ["input"], to=TensorProto.FLOAT)
    x = net.conv(x, 3, 4, 4, 2, [1] * 4)
    x = net.add("Cast", [x], to=TensorProto.FLOAT16)
    x = net.add("Cast", [net.add("ArgMax", [x], axis=1)], to=TensorProto.FLOAT)
    graph = net.graph(tmp_path, (30, 34), kind)
    image = np.random.default_rng(0).integers(0, 255, (1, 3, 30, 34)).astype(dtype)
    tap = Tap("Conv_1", both(2), both(1))
    trace = Trace({tap.name: tap}, Tap("output", both(2)), steps(0, 2), steps(2, 6))
    found = check_tap(graph, trace, tap.name, image)
    assert found.looks.agrees
    assert found.paints is not None
    assert found.paints.agrees
    assert check_tap(graph, trace, tap.name, image) == found


def test_an_operator_that_needs_a_tensor_of_its_graph_from_inside_a_branch(tmp_path: Path) -> None:
    net = Net()
    x = net.conv("input", 3, 3, 2, 2, [0] * 4)
    held = net.add("GlobalMaxPool", [x])
    branch = helper.make_graph(
        [helper.make_node("Mul", [held, held], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    flag = net.constant(True, np.bool_)
    inner = net.add("If", [flag], then_branch=branch, else_branch=branch)
    name = net.add("Add", [x, inner])
    path = [Step(0), Step(3, (0,))]
    assert check(tmp_path, net, Tap(name, both(2)), (24, 24), path).looks.agrees


def test_a_path_that_does_not_arrive_says_so(tmp_path: Path) -> None:
    net = Net()
    x = net.conv("input", 3, 3, 3)
    name = net.add("Relu", [x])
    verdict = check(tmp_path, net, Tap(name, both(1)), (24, 24), [Step(0)]).looks
    assert not verdict.agrees
    why = f"no operators that are followed lead from 'input' to {name!r}"
    assert str(verdict) == f"cannot be seen at this size: {why}"


def test_a_path_that_begins_elsewhere_says_so(tmp_path: Path) -> None:
    """As behind an If: where what it gives comes from is not followed."""
    net = Net()
    x = net.conv("input", 3, 3, 3)
    name = net.add("Relu", [x])
    verdict = check(tmp_path, net, Tap(name, both(1)), (24, 24), [Step(1)]).looks
    assert not verdict.agrees
    why = f"what leads from 'input' to {x!r} is not followed"
    assert str(verdict) == f"cannot be seen at this size: {why}"


def test_what_stands_beside_the_path_is_checked_by_what_it_is_made_of(tmp_path: Path) -> None:
    """As the joined tensors of Pix2Pix's file, which are computed twice: once to have a name."""
    model = onnx.load(tiny_unet(tmp_path / "net.onnx", size=(64, 64)))
    for node in list(model.graph.node):
        if node.output[0] == "decoder_2":
            model.graph.node.append(helper.make_node("Relu", ["decoder_2"], ["copy"]))
            model.graph.node.append(helper.make_node("Concat", ["copy", "relu_1"], ["w"], axis=1))
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    model.graph.node.append(helper.make_node("MaxPool", ["copy"], ["coarser"], **pool))
    onnx.save(model, tmp_path / "copied.onnx")
    network = OnnxNetwork(tmp_path / "copied.onnx")
    for name in ("copy", "w"):
        found, original = network.check(name).paints, network.check("decoder_2").paints
        assert found is not None
        assert original is not None
        assert found.agrees
        assert found.cells == original.cells
        assert found.difference == original.difference
    coarser = network.check("coarser").paints
    assert coarser is not None
    assert str(coarser).endswith("no operators that are followed lead from 'coarser' to 'output'")


@pytest.mark.parametrize("size", [(256, 256), (256, 200)])
def test_wide_stairs_between_narrow_ones(tmp_path: Path, size: tuple[int, int]) -> None:
    """Kernels of 3 that overlap: one fine cell of 16 reaches one coarse cell, the others two."""
    net = Net()
    x, into = "input", 3
    for _ in range(5):
        x = net.add("Relu", [net.conv(x, into, 4, 3, 2, [1, 1, 1, 1])])
        into = 4
    shape = net.constant([1, 4, *size], np.int64)
    net.add("Resize", [x, "", "", shape], mode="nearest", nearest_mode="floor")
    path = net.graph(tmp_path, size).path
    network = OnnxNetwork(
        path, preprocessing=Preprocessing(range=(0, 1)), output=OutputChoice(kind="logits")
    )
    image = picture(*size)
    trace = network._traced(size)
    for name in ("Relu_1", "Relu_3", "Relu_5"):
        found = check_tap(network._graph, trace, name, image)
        assert found.looks.agrees
        assert found.paints is not None
        assert found.paints.agrees
        rows, cols = trace.taps[name].paints or both(1)
        pixels = rows.scale * trace.taps[name].shape[0]
        steeper = AxisMap(rows.scale * Fraction(6, 5), rows.offset - pixels / 10)
        for wrong in (replace(rows, offset=rows.offset + 2), steeper):
            taps = {**trace.taps, name: replace(trace.taps[name], paints=(wrong, cols))}
            denied = check_tap(network._graph, replace(trace, taps=taps), name, image).paints
            assert denied is not None
            assert str(denied).startswith("differs by")


@given(
    lines=st.lists(st.lists(st.booleans(), min_size=24, max_size=24), min_size=1, max_size=5),
    scale=st.fractions(Fraction(1, 4), 4, max_denominator=4),
    offset=st.integers(-9, 30),
)
def test_extents_do_not_depend_on_what_the_map_says(
    lines: list[list[bool]], scale: Fraction, offset: int
) -> None:
    """What is expected only orders the runs: beside those that are found by looking everywhere."""
    reached = np.array(lines)  # (cells, rows of the source)

    def reaches(start: int, stop: int) -> npt.NDArray[np.bool_]:
        return np.asarray(reached[:, start:stop].any(axis=1))

    found = _extents_of_cells(reaches, 24, range(len(lines)), AxisMap(scale, Fraction(offset)))
    ends = {
        cell: (int(np.flatnonzero(line)[0]), int(np.flatnonzero(line)[-1]))
        for cell, line in enumerate(reached)
        if line.any()
    }
    if not ends:
        assert found == {}
        return
    everything = min(e[0] for e in ends.values()), max(e[1] for e in ends.values())
    assert found.pop(-1) == everything
    assert found.keys() == ends.keys()
    for cell, (first, last) in ends.items():
        assert found[cell][0] == first
        assert found[cell][1] == last or first == everything[0]


@pytest.mark.parametrize("end", ["conv", "transposed", "shuffled", "tokens"])
@pytest.mark.parametrize("off", [Fraction(0), Fraction(1)])
def test_a_few_channels_show_what_all_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, off: Fraction
) -> None:
    net, size = Net(), (40, 48)
    x = net.add("Relu", [net.conv("input", 3, 40, 3, 2, [1, 1, 1, 1])])
    x = net.conv(x, 40, 40, 5)
    scale, offset = Fraction(2), Fraction(-1, 2)
    if end == "transposed":
        where = {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1]}
        x = net.add("ConvTranspose", [x, net.random(40, 20, 4, 4), net.random(20)], **where)
        scale = Fraction(1)
    elif end == "shuffled":
        x = net.add("DepthToSpace", [net.conv(x, 40, 80, 1)], blocksize=2)
        scale = Fraction(1)
    elif end == "tokens":
        x = net.add("Transpose", [x], perm=[0, 2, 3, 1])
        x = net.add("MatMul", [x, net.random(40, 60)])
    tap = Tap(x, both(scale, offset + off), order=(2, 0, 1) if end == "tokens" else None)
    path = steps(0, len(net.nodes))
    found = check(tmp_path, net, tap, size, path).looks
    monkeypatch.setattr("compnn.network.onnx_check._FEW_CHANNELS", 1000)
    assert check(tmp_path, net, tap, size, path).looks == found
    assert found.cells > 0
    assert found.agrees == (off == 0)


def test_enlargements_by_fractions_one_after_the_other(tmp_path: Path) -> None:
    """As in PAN and FPN, with aligned corners: each rounds the ends of extents to whole cells."""
    net, size = Net(), (160, 192)
    x = net.conv("input", 3, 4, 16, 16, [0, 0, 0, 0])
    for factor in (8, 4, 1):
        shape = net.constant([1, 4, size[0] // factor, size[1] // factor], np.int64)
        where = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
        x = net.add("Resize", [x, "", "", shape], **where)
    network = OnnxNetwork(
        net.graph(tmp_path, size).path,
        preprocessing=Preprocessing(range=(0, 1)),
        output=OutputChoice(kind="logits"),
    )
    found = network.check("Conv_0").paints
    assert found is not None
    assert found.agrees
    trace, image = network._traced(size), picture(*size)
    rows, cols = trace.taps["Conv_0"].paints or both(1)
    shifted = replace(rows, offset=rows.offset + 2)
    taps = {**trace.taps, "Conv_0": replace(trace.taps["Conv_0"], paints=(shifted, cols))}
    denied = check_tap(network._graph, replace(trace, taps=taps), "Conv_0", image).paints
    assert str(denied) == "differs by 2 pixels"
