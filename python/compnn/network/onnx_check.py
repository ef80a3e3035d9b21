"""Maps checked by perturbation: what a cell of a tap really looks at and paints (paper, 3.1).

A map that was composed operator by operator is right when the middle of what a cell depends on, or
of what depends on it, is where the map says. Along a whole network that is hard to see: attention
and pooled vectors reach every pixel, a dead ReLU hides one, and what passes the corners of twenty
kernels is lost in rounding. So the operators of the local path run one after the other, all their
other inputs held at their unperturbed values, and after each the elements that have changed are
perturbed anew, at full strength. What is left is the support: the elements that are reached.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import groupby, pairwise, product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from compnn.errors import NetworkError
from compnn.network.geometry import AxisMap, Maps
from compnn.network.onnx_graph import Cut, OnnxGraph
from compnn.network.onnx_sessions import open_session, run_session
from compnn.network.onnx_trace import GraphTrace, Step

# Perturbations of each operator: of both signs in all channels, so that few are needed.
_DRAWS = 2
# Channels that a convolution or a product computes where a part may do: it is what takes time.
_FEW_CHANNELS = 8
# A perturbation is as large as this many standard deviations of what it is added to.
_STRENGTH = 4.0
# Runs of a path for one axis of one map: a bisection takes about 10 for each cell.
_MOST_RUNS = 300
# Cells that must be seen, and the least along one axis.
_LEAST_CELLS, _LEAST_STEPS = 9, 3
# Stairs along an axis, of cells finer than a tensor on their path; those at both ends are left out.
_STAIRS = _LEAST_STEPS + 2
# Pixels by which what is seen may differ from the maps.
_FINE = Fraction(1, 2)
# Their statistics reach over places: held, they pass on each element as it is.
_NORMALISATIONS = {
    "GroupNorm",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "LpNormalization",
    "MeanVarianceNormalization",
    "RMSNormalization",
    "SimplifiedLayerNormalization",
}

_Array: TypeAlias = npt.NDArray[Any]
_Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Verdict:
    """What perturbing says about the maps of a tap.

    Attributes
    ----------
    cells
        Cells that were compared; 0 where nothing could be seen.
    difference
        In pixels: how far the middle of what is reached lies from where the maps say, beyond what
        cells finer than a tensor on their path need; the larger one of rows and columns.
    reason
        Why nothing could be seen; else "".
    """

    cells: int
    difference: Fraction = Fraction(0)
    reason: str = ""

    @property
    def agrees(self) -> bool:
        """Whether it was seen, to half a pixel, that the maps are right."""
        return self.cells > 0 and self.difference <= _FINE

    def __str__(self) -> str:
        if not self.cells:
            return f"cannot be seen at this size: {self.reason}"
        return "agrees" if self.agrees else f"differs by {float(self.difference):.3g} pixels"


@dataclass(frozen=True)
class TapCheck:
    """Verdicts on both maps of a tap; None for paints where no path leads to the output."""

    looks: Verdict
    paints: Verdict | None


def check_tap(
    graph: OnnxGraph,
    trace: GraphTrace,
    tap: str,
    image: npt.NDArray[np.floating[Any] | np.uint8],
) -> TapCheck:
    """Compare both maps of a tap with what perturbing shows.

    Parameters
    ----------
    graph : the network; its nodes are those that the steps of `trace` count
    trace : what following it has given, at the size of `image`
    tap : a name in `trace.taps`
    image : a batch of one, as the network takes it; not constant, best of real or random pixels

    Returns
    -------
    TapCheck
        The same for the same graph and image.

    Raises
    ------
    NetworkError
        When the network does not run on `image`.
    """

    def image_chw(value: _Array) -> _Array:
        return np.asarray(np.transpose(value, (0, *graph.input.axes))[0])

    traced = trace.taps[tap]

    def looks_path(few: bool) -> _Path:
        steps = trace.looks_path(tap)
        return _Path(graph, steps, graph.input.name, tap, image, few=few)

    slack = _slack(graph, trace, trace.looks_path(tap), of_cells=True)
    looks = _verdict(looks_path, image_chw, traced.to_chw, traced.looks, slack, of_cells=True)
    output, maps = trace.output, traced.paints
    if output is None or maps is None:
        return TapCheck(looks, None)
    end, leads = output.name, _leading(trace, tap)

    def paints_path(few: bool) -> _Path:
        return _Path(graph, trace.paints_path(leads), leads, end, image, few=few)

    slack = _slack(graph, trace, trace.paints_path(leads), of_cells=False)
    cells = trace.taps[leads].to_chw
    paints = _verdict(paints_path, cells, output.to_chw, maps, slack, of_cells=False)
    return TapCheck(looks, paints)


_Slack: TypeAlias = tuple[Fraction, Fraction]


def _slack(graph: OnnxGraph, trace: GraphTrace, steps: Sequence[Step], *, of_cells: bool) -> _Slack:
    """Pixels by which the middles of extents may lie off maps that are right, along each axis.

    Extents are whole cells: where cells of one tensor lie over those of the next by a fraction, as
    after an enlargement with aligned corners, each end is rounded, by half a cell.
    """
    rounded: tuple[set[AxisMap], set[AxisMap]] = set(), set()
    for step in steps:
        node = graph.proto.graph.node[step.node]
        before = [trace.taps[node.input[i]] for i in step.varies if node.input[i] in trace.taps]
        after = [trace.taps[name] for name in node.output if name in trace.taps]
        for one, other in product(before, after):
            maps = one.looks, other.looks
            if not of_cells:
                if one.paints is None or other.paints is None:
                    continue
                maps = other.paints, one.paints
            for axis in (0, 1):
                ratio = maps[0][axis].scale / maps[1][axis].scale
                if 1 not in (ratio.numerator, ratio.denominator):
                    rounded[axis].add(maps[0][axis])
    rows, cols = (sum((each.scale for each in found), Fraction(0)) / 2 for found in rounded)
    return rows, cols


def _leading(trace: GraphTrace, tap: str) -> str:
    """The tap that is perturbed to see where `tap` paints.

    What stands beside the path to the output (a copy that has a name, a head for training) lies
    over it as that which it is made of: the nearest tensor of the same cells that leads there.
    """
    if trace.paints_path(tap):
        return tap
    for step in reversed(trace.looks_path(tap)):
        for name in trace.read_by(step):
            made_of = trace.taps.get(name)
            if made_of is None or made_of.paints != trace.taps[tap].paints:
                continue
            if trace.paints_path(name):
                return name
    return tap


class _NotRun(Exception):
    """An operator cannot run alone: its reason is the argument."""


class _Path:
    """The operators from the tensor `source` to the tensor `target`, ready to be perturbed.

    `base`: the source's unperturbed value; `result`: the target's. `few`: whether convolutions
    compute a few of their channels only, which shows the same support where channels are alike.
    """

    def __init__(
        self,
        graph: OnnxGraph,
        steps: Sequence[Step],
        source: str,
        target: str,
        image: npt.NDArray[np.floating[Any] | np.uint8],
        *,
        few: bool,
    ) -> None:
        nodes = [graph.proto.graph.node[step.node] for step in steps]
        varying = [[node.input[i] for i in s.varies] for node, s in zip(nodes, steps, strict=True)]
        held = {
            name
            for node, step in zip(nodes, steps, strict=True)
            for name in _held_names(node, step.varies)
        }
        values: dict[str, _Array] = {
            tensor.name: graph.weight(tensor)
            for tensor in graph.proto.graph.initializer
            if tensor.name in held
        }
        values[graph.input.name] = image
        values |= _unperturbed(graph, sorted((held | {source}) - values.keys()), image)
        self.source, self.target = source, target
        self._base: dict[str, _Array] = {source: values[source]}
        self._perturbed: dict[str, list[_Array]] = {}
        self._rounding: dict[str, float] = {}
        self._perturb(source, 0)
        self._operators: list[_Operator] = []
        for step, node, inputs in zip(steps, nodes, varying, strict=True):
            for name in inputs:
                if name not in self._base:
                    raise _NotRun(f"what leads from {source!r} to {name!r} is not followed")
            operator = _Operator(graph, node, step.varies, inputs, values)
            given = [self._base[name] for name in inputs]
            results = operator.run(given)
            if few and operator.take_few():
                operator.put(results[0], operator.run(given)[0])
            for name, result in zip(operator.outputs, results, strict=True):
                self._base[name] = result
                self._rounding[name] = _rounding(result)
                if np.issubdtype(result.dtype, np.floating):
                    self._perturb(name, step.node + 1)
            self._operators.append(operator)
        if target not in self._base:
            raise _NotRun(f"no operators that are followed lead from {source!r} to {target!r}")

    @property
    def base(self) -> _Array:
        return self._base[self.source]

    @property
    def result(self) -> _Array:
        return self._base[self.target]

    def _perturb(self, name: str, number: int) -> None:
        value = self._base[name]
        finite = np.isfinite(value)
        spread = value if finite.all() else value[finite]
        draws = []
        for draw in range(_DRAWS):
            rng = np.random.default_rng([draw, number])
            if not np.issubdtype(value.dtype, np.floating):  # pixels: any other value
                draws.append(value + rng.integers(64, 192, value.shape).astype(value.dtype))
                continue
            strength = _STRENGTH * float(np.std(spread, dtype=np.float64)) if spread.size else 0.0
            noise = rng.uniform(0.5, 1.5, value.shape) * rng.choice((-1, 1), value.shape)
            draws.append((value + (strength or 1.0) * noise).astype(value.dtype))
        self._perturbed[name] = draws

    def reached(self, where: _Mask) -> _Mask:
        """The elements of the target that depend on those of the source that are `where`."""
        masks = {self.source: where}
        changed: dict[str, list[_Array]] = {}  # of tensors that are no floats: as they came out
        for operator in self._operators:
            touched = [name for name in operator.inputs if masks[name].any()]
            if operator.passes and touched:
                masks[operator.outputs[0]] = masks[operator.inputs[0]]
                continue
            found = [np.zeros(self._base[name].shape, np.bool_) for name in operator.outputs]
            came: list[list[_Array]] = [[] for _ in operator.outputs]
            for draw in range(_DRAWS if touched else 0):
                results = operator.run(
                    [
                        np.where(
                            masks[name],
                            self._perturbed.get(name, changed.get(name, []))[draw],
                            self._base[name],
                        )
                        for name in operator.inputs
                    ]
                )
                for i, (name, result) in enumerate(zip(operator.outputs, results, strict=True)):
                    base = operator.part(self._base[name])
                    if result.shape != base.shape:
                        raise _NotRun(f"the shape of {name!r} depends on the values of the image")
                    mask = operator.part(found[i])
                    operator.put(found[i], mask | _differ(result, base, self._rounding[name]))
                    came[i].append(result)
            for name, mask, results in zip(operator.outputs, found, came, strict=True):
                masks[name] = mask
                if name not in self._perturbed:
                    changed[name] = results or [self._base[name]] * _DRAWS
        return masks[self.target]


class _Operator:
    """One node that runs alone, with all inputs but those that vary inside it.

    `inputs`: the tensors that vary, by position; `outputs`: the names it gives; `passes`: whether
    each element stays what it is, as in a normalisation whose statistics are held. Once it takes
    few of its channels, a run gives these only: `part` of the whole, where `put` puts them.
    """

    def __init__(
        self,
        graph: OnnxGraph,
        node: onnx.NodeProto,
        varies: tuple[int, ...],
        inputs: list[str],
        values: Mapping[str, _Array],
    ) -> None:
        self.inputs = inputs
        self.passes = node.op_type in _NORMALISATIONS and list(varies) == [0]
        self.outputs = [name for name in node.output if name][: 1 if self.passes else None]
        self._graph, self._node, self._varies = graph, node, varies
        self._values = {name: values[name] for name in _held_names(node, varies)}
        self._session: onnxruntime.InferenceSession | None = None
        self._axis, self._few = 0, np.arange(0)

    def take_few(self) -> bool:
        """Compute a few of many channels from now on, if that is possible."""
        node, weights = self._node, [self._values.get(name) for name in self._node.input[1:]]
        axes = _channel_axes(node)
        if axes is None or self._varies != (0,) or not weights:
            return False
        weight = weights[0]
        if weight is None or weight.ndim < 2 or weight.shape[axes[0]] <= 2 * _FEW_CHANNELS:
            return False
        if node.op_type == "MatMul" and weight.ndim != 2:
            return False
        count = weight.shape[axes[0]]
        # Not evenly spread: of channels that become places, all would be of one place.
        few = np.random.default_rng(count).choice(count, _FEW_CHANNELS, replace=False)
        self._values[node.input[1]] = np.take(weight, few, axes[0])
        for name, bias in zip(node.input[2:], weights[1:], strict=True):
            if bias is not None:
                self._values[name] = np.take(bias, few)
        self._axis, self._few, self._session = axes[1], few, None
        return True

    def part(self, value: _Array) -> _Array:
        return np.take(value, self._few, self._axis) if self._few.size else value

    def put(self, value: _Array, part: _Array) -> None:
        if self._few.size:
            np.moveaxis(value, self._axis, 0)[self._few] = np.moveaxis(part, self._axis, 0)
        else:
            value[...] = part

    def run(self, varying: Sequence[_Array]) -> list[_Array]:
        if self._session is None:
            self._session = self._open(varying)
        feeds = {f"varies {i}": value for i, value in zip(self._varies, varying, strict=True)}
        try:
            results: list[_Array] = self._session.run(self.outputs, feeds)
        except Exception as error:  # ONNX Runtime's errors share no base of their own
            raise _NotRun(f"{self._node.op_type} does not run alone: {error}") from error
        if not all(isinstance(result, np.ndarray) for result in results):
            raise _NotRun(f"{self._node.op_type} gives a sequence")
        return results

    def _open(self, varying: Sequence[_Array]) -> onnxruntime.InferenceSession:
        model = onnx.ModelProto(ir_version=self._graph.proto.ir_version)
        model.opset_import.extend(
            each
            for each in self._graph.proto.opset_import
            if each.domain in ("", "ai.onnx", self._node.domain)
        )
        model.graph.name = "one operator"
        node = model.graph.node.add()
        node.CopyFrom(self._node)
        for i, value in zip(self._varies, varying, strict=True):
            # By position: a node may read one tensor twice, and only once along the path.
            node.input[i] = f"varies {i}"
            model.graph.input.append(
                onnx.helper.make_tensor_value_info(
                    node.input[i], onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
                )
            )
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(value, name) for name, value in self._values.items()
        )
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.outputs)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1  # threads of many sessions that wait slow each other
        try:
            return open_session(self._graph, Cut(bytes(model.SerializeToString()), {}), options)
        except NetworkError as error:
            raise _NotRun(f"{self._node.op_type} does not run alone: {error}") from error


def _channel_axes(node: onnx.NodeProto) -> tuple[int, int] | None:
    """Where the channels that a node gives lie in its weight, and in what it gives."""
    groups = next((each.i for each in node.attribute if each.name == "group"), 1)
    if node.domain not in ("", "ai.onnx") or groups != 1:
        return None
    return {"Conv": (0, 1), "ConvTranspose": (1, 1), "MatMul": (1, -1)}.get(node.op_type)


def _held_names(node: onnx.NodeProto, varies: tuple[int, ...]) -> Iterator[str]:
    """The tensors that a node reads and that do not vary, in its branches too."""
    yield from (name for i, name in enumerate(node.input) if name and i not in varies)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            inside = {value.name for value in (*body.input, *body.initializer)}
            inside |= {name for inner in body.node for name in inner.output}
            reads = {name for inner in body.node for name in _held_names(inner, ())}
            yield from sorted((reads | {output.name for output in body.output}) - inside)


def _unperturbed(
    graph: OnnxGraph,
    names: Sequence[str],
    image: npt.NDArray[np.floating[Any] | np.uint8],
) -> dict[str, _Array]:
    if not names:
        return {}
    session = open_session(graph, graph.cut(names), onnxruntime.SessionOptions())
    return run_session(graph, session, names, image)


def _rounding(base: _Array) -> float:
    """By how much elements may differ that nothing has reached: sums of the same numbers."""
    if not np.issubdtype(base.dtype, np.floating):
        return 0.0
    finite = np.abs(base[np.isfinite(base)])
    return 16 * float(np.finfo(base.dtype).eps) * float(finite.max(initial=0))


def _differ(values: _Array, base: _Array, rounding: float) -> _Mask:
    """Where values are others, beyond rounding; NaN is another value."""
    if not np.issubdtype(base.dtype, np.floating):
        return np.asarray(values != base)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(~(np.abs(values - base) <= rounding))


_Extents: TypeAlias = dict[int, tuple[int, int]]
"""First and last of the rows that belong to a cell, by its index."""
_Reaches: TypeAlias = Callable[[int, int], _Mask]
"""Which indices of the target those of the source from one up to another one reach."""
_ALL = -1  # The index of all cells together.


def _extents_of_cells(reaches: _Reaches, size: int, cells: range, axis_map: AxisMap) -> _Extents:
    """For each cell of the target the first and last index of the source that it depends on.

    Of cells that the first index reaches, only that is told: they say nothing about the map.
    """

    def at_first(settled: Mapping[int, int], cell: int) -> int | None:
        if not settled:
            return None
        near = min(settled, key=lambda each: abs(each - cell))
        return settled[near] + round(axis_map.scale * (cell - near))

    def at_last(settled: Mapping[int, int], cell: int) -> int | None:
        middle = axis_map(cell + Fraction(1, 2))
        return size - 1 - math.ceil(2 * middle - first[cell] - 1)

    everything = reaches(0, size)
    seen = [cell for cell in cells if everything[cell]]
    if not seen:
        return {}
    first = _bisect([*seen, _ALL], size, lambda p: reaches(0, p + 1), at_first)
    inside = [cell for cell in seen if first[cell] > first[_ALL]]
    last = _bisect([*inside, _ALL], size, lambda p: reaches(size - 1 - p, size), at_last)
    border = {cell: (first[cell], size - 1) for cell in seen if cell not in inside}
    return border | {cell: (first[cell], size - 1 - last[cell]) for cell in (*inside, _ALL)}


def _bisect(
    cells: Sequence[int],
    size: int,
    reached: Callable[[int], _Mask],
    expected: Callable[[Mapping[int, int], int], int | None],
) -> dict[int, int]:
    """For each cell the least index at which it is reached; it is at all larger ones, too.

    `expected`: what is tried first for a cell, by what is known of others, so that few runs are
    needed where the map is right; the result is the same where it is not.
    """
    low, high = dict.fromkeys(cells, 0), dict.fromkeys(cells, size - 1)
    middle = 0  # first, since it settles where all of them begin
    while True:
        mask = reached(middle)  # it tells something of every cell
        for cell in cells:
            if mask.any() if cell == _ALL else mask[cell]:
                high[cell] = min(high[cell], middle)
            else:
                low[cell] = max(low[cell], middle + 1)
                high[cell] = max(high[cell], low[cell])
        open_ = [cell for cell in cells if low[cell] < high[cell]]
        if not open_:
            return low
        cell = min(open_, key=lambda cell: high[cell] - low[cell])
        middle = (low[cell] + high[cell]) // 2
        settled = {c: low[c] for c in cells if c != _ALL and 0 < low[c] == high[c]}
        guess = None if cell == _ALL else expected(settled, cell)
        if guess is not None:
            middle = next((p for p in (guess - 1, guess) if low[cell] <= p < high[cell]), middle)


def _extents_on_output(reaches: _Reaches, size: int, cells: range, axis_map: AxisMap) -> _Extents:
    """For each cell of the source the first and last index of the target that depends on it."""
    extents = {}
    for cell in (*cells, _ALL):
        changed = np.flatnonzero(reaches(0, size) if cell == _ALL else reaches(cell, cell + 1))
        if changed.size:
            extents[cell] = (int(changed[0]), int(changed[-1]))
    return extents


def _verdict(
    path: Callable[[bool], _Path],
    source_chw: Callable[[_Array], _Array],
    target_chw: Callable[[_Array], _Array],
    maps: Maps,
    slack: _Slack,
    *,
    of_cells: bool,
) -> Verdict:
    """Of the maps from the cells of the target to the source, or of those of the source.

    `path`: of few channels or of all; these are run where those do not show that the maps agree.
    """
    found = Verdict(0)
    for few in (True, False):
        found = _verdict_by(path, source_chw, target_chw, maps, slack, few=few, of_cells=of_cells)
        if found.agrees:
            break
    return found


def _verdict_by(
    path: Callable[[bool], _Path],
    source_chw: Callable[[_Array], _Array],
    target_chw: Callable[[_Array], _Array],
    maps: Maps,
    slack: _Slack,
    *,
    few: bool,
    of_cells: bool,
) -> Verdict:
    try:
        run = path(few)
        # Where each (channel, row, column) lies in the tensors as they are.
        source = source_chw(np.arange(run.base.size).reshape(run.base.shape))
        target = target_chw(np.arange(run.result.size).reshape(run.result.shape))
        found = []
        for axis in (0, 1):
            checked = _check_axis(
                run, source, target, axis, maps[axis], slack[axis], of_cells=of_cells
            )
            found.append(checked)
            if found[-1][0] == 0:  # columns alone would not tell
                found.append((0, Fraction(0)))
                break
    except _NotRun as error:
        return Verdict(0, reason=str(error))
    cells = found[0][0] * found[1][0]
    if cells < _LEAST_CELLS:
        return Verdict(
            0, reason=f"{cells} cells, not {_LEAST_CELLS}, reach no border of the picture"
        )
    return Verdict(cells, max(found[0][1], found[1][1]))


def _check_axis(
    path: _Path,
    source: npt.NDArray[np.int64],
    target: npt.NDArray[np.int64],
    axis: int,
    axis_map: AxisMap,
    slack: Fraction,
    *,
    of_cells: bool,
) -> tuple[int, Fraction]:
    """How many cells along an axis can be compared, and by how many pixels they differ."""
    source, target = np.moveaxis(source, axis + 1, 0), np.moveaxis(target, axis + 1, 0)
    runs = 0

    @cache  # more cells are looked at by the same runs
    def reaches(start: int, stop: int) -> _Mask:
        nonlocal runs
        runs += 1
        if runs > _MOST_RUNS:
            raise _NotRun(f"more than {_MOST_RUNS} runs are needed")
        where = np.zeros(path.base.size, np.bool_)
        where[source[start:stop].ravel()] = True
        reached = path.reached(where.reshape(path.base.shape)).ravel()
        return np.asarray(reached[target.reshape(len(target), -1)].any(axis=1))

    extents = _extents_of_cells if of_cells else _extents_on_output
    cells = len(target if of_cells else source)
    count = min(_LEAST_STEPS, cells)
    while True:
        start = (cells - count) // 2
        found = extents(reaches, len(source), range(start, start + count), axis_map)
        # The border is that of what is reached at all: the last pixels may be read by no cell, and
        # a cell whose window a padding has clipped further on does not touch them.
        least, most = found.pop(_ALL, (0, 0))
        middles = {
            cell: Fraction(first + last + 1, 2)
            for cell, (first, last) in sorted(found.items())
            if first > least and last < most
        }
        compared = _compare(middles, axis_map, slack)
        steps = len(set(middles.values()))
        # Three cells around a narrow stair look like cells of another stride.
        enough = steps >= _STAIRS or (steps == count and compared[1] <= _FINE)
        # Those farther out are nearer to a border.
        if enough or len(middles) < count or count == cells:
            return compared
        count = min(2 * count, cells)


def _compare(
    middles: Mapping[int, Fraction], axis_map: AxisMap, slack: Fraction
) -> tuple[int, Fraction]:
    """How many cells have middles, and how far these lie from where the map says.

    Cells finer than a tensor on their path have the middles of that tensor's cells: a staircase
    around the map. A cell may lie off it by half of what a stair is higher than the slope, or the
    map must pass through the middle of each stair: where kernels overlap, wide stairs, of cells
    that reach two of the coarser ones, alternate with narrow ones, of cells that reach one. The
    cells together must lie on it, and each by `slack` pixels less or more. Stairs of which only a
    part is seen are left out.
    """
    cells = list(middles)
    values = list(middles.values())
    if len(set(values)) < len(values):
        whole = [i for i, value in enumerate(values) if value not in (values[0], values[-1])]
        cells, values = [cells[i] for i in whole], [values[i] for i in whole]
    if len(set(values)) < _LEAST_STEPS:
        return 0, Fraction(0)
    off = [
        value - axis_map(cell + Fraction(1, 2)) for cell, value in zip(cells, values, strict=True)
    ]
    steps = [b - a for a, b in pairwise(values)]
    slope = (values[-1] - values[0]) / (cells[-1] - cells[0])
    stair = max(Fraction(0), max(steps) - slope)
    together = abs(max(off) + min(off)) / 2
    alone = max(map(abs, off)) - stair / 2
    stairs = [list(same) for _, same in groupby(range(len(cells)), key=values.__getitem__)]
    through = max(abs(off[same[0]] + off[same[-1]]) / 2 for same in stairs)
    return len(cells), max(together, min(alone, through) - slack)
