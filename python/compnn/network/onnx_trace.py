"""Where the numbers of each tensor of a graph lie over the image, operator by operator.

The *local path* leads from the image through operators whose results have a place: convolutions,
pools, resizes, products over channels. What attention, global pooling or a softmax over places
gives has none, and is left out where it meets the path (paper, section 3.1, gives the rule for
chains of convolutions; the composition of maps extends it to graphs).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx

from compnn.errors import LayerError
from compnn.network.geometry import AxisMap, Maps, Size, TokenGrid, maps_by_sizes
from compnn.network.onnx_axes import (
    SAME,
    Dim,
    Piece,
    Placed,
    Tokens,
    canonical,
    channels,
    contracted,
    has_place,
    joined,
    pieces_of,
    regrouped,
    size_of,
)
from compnn.network.onnx_constants import Constants, attributes
from compnn.network.onnx_graph import SHAPE_OPERATORS, names_read

_HALF = Fraction(1, 2)


@dataclass(frozen=True)
class TracedTap:
    """A tensor that is a map of the image, or a sequence of tokens that are cells of one.

    Attributes
    ----------
    shape
        (H, W, D).
    looks
        Cells to the image.
    paints
        Cells to the output; None where no local path leads there.
    note
        What is uncertain about the maps; empty where nothing is.
    tokens
        Whether it is a sequence.
    dims
        What its dimensions are made of.
    """

    name: str
    shape: tuple[int, int, int]
    looks: Maps
    paints: Maps | None
    note: str
    tokens: bool
    dims: tuple[Dim, ...]

    def to_chw(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The tensor of one image, as the network gives it, as (D, H, W): a view where possible.

        Of a batch it is the first image.
        """
        index = []
        parts: list[Piece] = []
        for dim, extent in zip(self.dims, values.shape, strict=True):
            tokens = [part for part in dim if isinstance(part, Tokens)]
            if tokens:
                index.append(slice(tokens[0].before, extent - tokens[0].after))
                parts += tokens[0].pieces
            else:
                index.append(slice(None))
                parts += [part for part in dim if isinstance(part, Piece)]
        split = values[tuple(index)].reshape([part.size for part in parts])
        order = [
            place
            for axis in (3, 2, 0, 1)
            for place in sorted(
                (p for p, part in enumerate(parts) if part.axis == axis),
                key=lambda p: (-parts[p].stride, p),
            )
        ]
        moved = split.transpose(order)
        rows, cols, depth = self.shape
        first: npt.NDArray[Any] = moved.reshape(-1, depth, rows, cols)[0]
        return first


@dataclass(frozen=True)
class Step:
    """A node of a path: its index in the graph, and the positions of its inputs that vary."""

    node: int
    varies: tuple[int, ...]


@dataclass(frozen=True)
class GraphTrace:
    """What `trace` found.

    Attributes
    ----------
    taps
        In the order they are computed; outputs of the graph that are maps are among them.
    refused
        Why tensors that are computed from the image are no taps.
    vectors
        Numbers of those of `refused` that are one vector for the whole image.
    output
        The tensor that *paints* leads to, where it has a place, of whatever type.
    """

    taps: Mapping[str, TracedTap]
    refused: Mapping[str, str]
    vectors: Mapping[str, int]
    output: TracedTap | None
    _looks_from: Mapping[str, Step] = field(repr=False)
    _paints_to: Mapping[str, tuple[tuple[int, int], ...]] = field(repr=False)
    _inputs: Sequence[Sequence[str]] = field(repr=False)
    _results: Sequence[Sequence[str]] = field(repr=False)

    def looks_path(self, tap: str) -> list[Step]:
        """The nodes that lead from the image to a tap on its local path, in the order they run."""
        steps: dict[int, Step] = {}
        waiting = [tap]
        while waiting:
            step = self._looks_from.get(waiting.pop())
            if step is not None and step.node not in steps:
                steps[step.node] = step
                waiting += self.read_by(step)
        return [steps[node] for node in sorted(steps)]

    def read_by(self, step: Step) -> list[str]:
        """The tensors that a step of a path reads on it."""
        return [self._inputs[step.node][place] for place in step.varies]

    def paints_path(self, tap: str) -> list[Step]:
        """The nodes that lead from a tap to the output, as `looks_path`."""
        steps: dict[int, set[int]] = {}
        waiting, seen = [tap], {tap}
        while waiting:
            for node, place in self._paints_to.get(waiting.pop(), ()):
                steps.setdefault(node, set()).add(place)
                fresh = [name for name in self._results[node] if name and name not in seen]
                seen.update(fresh)
                waiting += fresh
        return [Step(node, tuple(sorted(steps[node]))) for node in sorted(steps)]


@dataclass(frozen=True)
class _NoPlace:
    """What a tensor without place comes from; `lost`: it may have one that cannot be followed."""

    reason: str
    lost: bool = False


@dataclass(frozen=True)
class _Local:
    """A result with a place: which inputs it is followed from, by which maps (result to input)."""

    placed: Placed
    edges: tuple[tuple[int, Maps], ...]


_Result: TypeAlias = "_Local | _NoPlace"


@dataclass(frozen=True)
class _Path:
    """Cells to image (or to output): the maps, with the smallest and largest offset of any path.

    `coarsest`: pixels that a cell of the coarsest tensor on the way stands for.
    """

    scales: tuple[Fraction, Fraction]
    low: tuple[Fraction, Fraction]
    high: tuple[Fraction, Fraction]
    coarsest: Fraction
    note: str = ""

    @classmethod
    def of(cls, maps: Maps, note: str = "") -> _Path:
        offsets = maps[0].offset, maps[1].offset
        scales = maps[0].scale, maps[1].scale
        return cls(scales, offsets, offsets, scales[0] * scales[1], note)

    def after(self, edge: Maps) -> _Path:
        """This path, with a step before it that leads to where it starts."""
        if edge is SAME:
            return self
        scales = self.scales[0] * edge[0].scale, self.scales[1] * edge[1].scale
        low, high = (
            (
                ends[0] + self.scales[0] * edge[0].offset,
                ends[1] + self.scales[1] * edge[1].offset,
            )
            for ends in (self.low, self.high)
        )
        return _Path(scales, low, high, max(self.coarsest, scales[0] * scales[1]), self.note)

    @cached_property
    def maps(self) -> Maps:
        rows, cols = (
            AxisMap(scale, (low + high) / 2)
            for scale, low, high in zip(self.scales, self.low, self.high, strict=True)
        )
        return rows, cols

    @property
    def uncertain(self) -> str:
        """What is to be said about it."""
        apart = [
            high - low
            for scale, low, high in zip(self.scales, self.low, self.high, strict=True)
            if high - low > scale / 2
        ]
        if not apart:
            return self.note
        said = f"paths meet that are {float(max(apart)):.3g} pixels apart"
        return f"{self.note}; {said}" if self.note else said


def _meet(paths: Sequence[tuple[Any, _Path]], grid: Size) -> tuple[_Path, list[Any]]:
    """The path that decides where several meet, and the keys of those that have a part in it."""
    finest = min(path.coarsest for _, path in paths)
    equal = [(key, path) for key, path in paths if path.coarsest == finest]
    sure = [(key, path) for key, path in equal if not path.note]
    equal = sure or equal
    first = equal[0][1]
    if all(path == first for _, path in equal):
        return first, [key for key, _ in equal]
    low, high = list(first.low), list(first.high)
    for _, path in equal[1:]:
        for axis in (0, 1):
            # Where scales differ they are compared in the middle.
            shift = (path.scales[axis] - first.scales[axis]) * Fraction(grid[axis], 2)
            low[axis] = min(low[axis], path.low[axis] + shift)
            high[axis] = max(high[axis], path.high[axis] + shift)
    joint = replace(first, low=(low[0], low[1]), high=(high[0], high[1]))
    return joint, [key for key, _ in equal]


def trace(
    graph: onnx.GraphProto,
    shapes: Mapping[str, tuple[int, ...]],
    image: str,
    image_dims: str = "NCHW",
    *,
    output: str | None = None,
    floats: Collection[str] | None = None,
    grids: Mapping[str, TokenGrid] | None = None,
) -> GraphTrace:
    """Follow the local path through a graph.

    Parameters
    ----------
    graph
        Its nodes are in an order in which they can run; local functions are put in place.
    shapes
        Of the image and of the tensors that are computed from it, for one size of image. A tensor
        that is missing is not followed.
    image
        Name of the input.
    image_dims
        "NCHW" or "NHWC".
    output
        The tensor that *paints* leads to.
    floats
        Names of the tensors of floating-point numbers: only these are taps. Default: all.
    grids
        Of tokens (1, T, C) somebody knows the grid, whatever operators say.

    Raises
    ------
    LayerError
        When a grid is not of tokens, or of another number of them.
    """
    return _Walk(graph, shapes, image, image_dims, grids or {}).found(output, floats)


class _Walk:
    """One pass through a graph, and what it finds."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        shapes: Mapping[str, tuple[int, ...]],
        image: str,
        image_dims: str,
        grids: Mapping[str, TokenGrid],
    ) -> None:
        self.shapes = shapes
        self.grids = grids
        self.constants = Constants(graph, shapes)
        self.states: dict[str, Placed | _NoPlace] = {}
        self.paths: dict[str, _Path] = {}
        self.attrs: dict[str, Any] = {}
        axes = {"N": 3, "C": 2, "H": 0, "W": 1}
        dims = tuple(
            (Piece(axes[letter], extent),) if letter in "HW" or extent > 1 else ()
            for letter, extent in zip(image_dims, shapes[image], strict=True)
        )
        rows, cols = (shapes[image][image_dims.index(letter)] for letter in "HW")
        self.image, self.size = image, (rows, cols)
        self.states[image] = Placed(dims, self.size)
        self.paths[image] = _Path.of(SAME)
        self.node_inputs = [tuple(node.input) for node in graph.node]
        self.node_results = [tuple(node.output) for node in graph.node]
        self.looks_from: dict[str, Step] = {}
        self.edges: list[tuple[int, str, tuple[tuple[int, Maps], ...]]] = []
        for index, node in enumerate(graph.node):
            self._visit(index, node)

    # ---- the walk

    def _visit(self, index: int, node: onnx.NodeProto) -> None:
        self.attrs = attributes(node)
        followed = [name for name in names_read(node) if name in self.states]
        if node.op_type in SHAPE_OPERATORS or not followed:
            self.constants.fold(node)
            return
        results = self._results(node)
        for name, result in zip(node.output, results, strict=True):
            if name:
                self._settle(index, node, name, result)

    def _settle(self, index: int, node: onnx.NodeProto, name: str, result: _Result) -> None:
        shape = self.shapes.get(name)
        if name in self.grids and shape is not None:
            self._place_tokens(index, node, name, shape)
            return
        if isinstance(result, _Local) and result.placed.sizes() != shape:
            result = self._lost(node)
        if isinstance(result, _NoPlace):
            self.states[name] = result
            if result.lost and shape is not None and self._alike(shape):
                self._place_by_sizes(index, node, name, shape, result.reason)
            return
        paths = [(place, self.paths[node.input[place]].after(edge)) for place, edge in result.edges]
        path, deciding = _meet(paths, result.placed.grid)
        self.states[name] = result.placed
        self.paths[name] = path
        self.looks_from[name] = Step(index, tuple(sorted(deciding)))
        self.edges.append((index, name, result.edges))

    def _place_by_sizes(
        self, index: int, node: onnx.NodeProto, name: str, shape: tuple[int, ...], note: str
    ) -> None:
        """A result that cannot be followed goes on as a map of the image, (1, C, H, W)."""
        _, depth, rows, cols = shape
        dims = ((), channels(depth), (Piece(0, rows),), (Piece(1, cols),))
        self._place(index, node, name, Placed(dims, (rows, cols)), note)

    def _place_tokens(
        self, index: int, node: onnx.NodeProto, name: str, shape: tuple[int, ...]
    ) -> None:
        """Tokens of which somebody knows the grid."""
        grid = self.grids[name]
        if len(shape) != 3 or shape[0] != 1:
            raise LayerError(
                f"the grid {grid} of {name!r} is of tokens (1, T, C), but its shape is {shape}"
            )
        _, count, depth = shape
        if count != grid.before + grid.rows * grid.cols:
            raise LayerError(
                f"{name!r} has {count} tokens, not the {grid.before + grid.rows * grid.cols} of "
                f"the grid {grid}; give rows x columns + tokens before these"
            )
        cells = Piece(0, grid.rows), Piece(1, grid.cols)
        dims = ((), (Tokens(grid.before, cells, 0),), channels(depth))
        self._place(
            index, node, name, Placed(dims, (grid.rows, grid.cols)), f"the grid {grid} was given"
        )

    def _place(
        self, index: int, node: onnx.NodeProto, name: str, placed: Placed, note: str
    ) -> None:
        """A result whose cells lie over the whole image."""
        grid = placed.grid
        self.states[name] = placed
        self.paths[name] = _Path.of(maps_by_sizes(grid, self.size), note)
        # What it reads first paints through it, by sizes as well.
        read = ((p, self.states.get(name)) for p, name in enumerate(node.input))
        edges = ((p, maps_by_sizes(grid, s.grid)) for p, s in read if isinstance(s, Placed))
        self.edges.append((index, name, tuple(edges)[:1]))

    def _alike(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor may be a map of the image, by its sizes."""
        if len(shape) != 4 or shape[0] != 1 or min(shape) < 1:
            return False
        ratios = [pixels / count for pixels, count in zip(self.size, shape[2:], strict=True)]
        return min(shape[2:]) > 1 and max(ratios) <= min(ratios) * (1 + 2 / min(shape[2:]))

    def _lost(self, node: onnx.NodeProto) -> _NoPlace:
        kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        name = f" ({node.name})" if node.name else ""
        return _NoPlace(f"by sizes only from operator {kind}{name} on", lost=True)

    def _results(self, node: onnx.NodeProto) -> list[_Result]:
        """What the outputs of a node are."""
        kind = node.op_type
        if any(name in self.states for name in set(names_read(node)).difference(node.input)):
            return [self._lost(node)] * len(node.output)  # a branch or the body of a loop reads it
        if kind == "Split":
            return self._split(node)
        if kind in _POOLED:
            return [_NoPlace("is pooled over the whole image")] * len(node.output)
        if kind in _ATTENTION:
            return [_NoPlace("is mixed from all places by attention")] * len(node.output)
        positions = [
            place
            for place, name in enumerate(node.input)
            if name in self.states and (place == 0 or kind not in _FIRST_ONLY)
        ]
        placed = [
            place for place in positions if isinstance(self.states[node.input[place]], Placed)
        ]
        result: _Result
        if not placed:
            reasons = [self.states[name] for name in node.input if name in self.states]
            without = [state for state in reasons if isinstance(state, _NoPlace)]
            lost = next((state for state in without if state.lost), None)
            result = lost or (without[0] if without else self._lost(node))
        elif kind in _SAME_SHAPE:
            result = self._merged(node, placed)
        elif (rule := _RULES.get(kind)) is not None:
            try:
                found = rule(self, node, placed)
            except (ArithmeticError, LookupError, TypeError, ValueError, LayerError):
                found = None  # attributes that make no sense; ONNX Runtime has its own checks
            result = self._lost(node) if found is None else found
        else:
            result = self._lost(node)
        if kind in ("MaxPool", "TopK", "Dropout"):
            return [result] * len(node.output)
        other: _Result = _NoPlace(f"is a by-product of {kind}")
        return [result, *[other] * (len(node.output) - 1)]

    def placed(self, name: str) -> Placed:
        state = self.states[name]
        assert isinstance(state, Placed)
        return state

    # ---- what is found

    def found(self, output: str | None, floats: Collection[str] | None) -> GraphTrace:
        """Taps with both maps."""
        views: dict[str, tuple[Placed, Maps, bool]] = {}
        for name, state in self.states.items():
            if isinstance(state, Placed):
                found = _as_map(state, self.shapes.get(name, ()))
                if found is not None:
                    views[name] = found
        paints, paints_to = self._painted(output, views)
        taps: dict[str, TracedTap] = {}
        painted_output = None
        refused: dict[str, str] = {}
        vectors: dict[str, int] = {}
        for name, state in self.states.items():
            if name == self.image:
                continue
            if isinstance(state, _NoPlace):
                refused[name] = state.reason
                shape = self.shapes.get(name, ())
                alone = len(shape) > 1 and shape[0] == 1 and math.prod(shape) == max(shape)
                if alone and (floats is None or name in floats):
                    vectors[name] = max(shape)
            elif name not in views:
                refused[name] = _why_no_map(state)
            else:
                view, edge, tokens = views[name]
                looks = self.paths[name].after(edge)
                painted = paints[name].after(edge) if name in paints else None
                notes = [looks.uncertain, painted.uncertain if painted else ""]
                tap = TracedTap(
                    name,
                    (*view.grid, _channels_of(view)),
                    looks.maps,
                    painted.maps if painted else None,
                    "; ".join(dict.fromkeys(filter(None, notes))),
                    tokens,
                    view.dims,
                )
                if name == output:
                    painted_output = tap
                if floats is None or name in floats:
                    taps[name] = tap
        return GraphTrace(
            taps,
            refused,
            vectors,
            painted_output,
            self.looks_from,
            paints_to,
            self.node_inputs,
            self.node_results,
        )

    def _painted(
        self, output: str | None, views: Mapping[str, tuple[Placed, Maps, bool]]
    ) -> tuple[dict[str, _Path], dict[str, tuple[tuple[int, int], ...]]]:
        """The maps of the grids of all tensors to the output, and the edges that lead there."""
        if output is None or output not in views:
            return {}, {}
        edge = views[output][1]
        start = _Path.of((edge[0].inverse(), edge[1].inverse()))
        if self.paths[output].note and output not in self.looks_from:
            start = replace(start, note=self.paths[output].note)
        candidates: dict[str, list[tuple[tuple[int, int], _Path]]] = {output: [((-1, 0), start)]}
        paints: dict[str, _Path] = {}
        leads: dict[str, tuple[tuple[int, int], ...]] = {}
        for index, name, edges in reversed(self.edges):
            self._close(name, candidates, paints, leads)
            if name not in paints:
                continue
            note = self.paths[name].note if name not in self.looks_from else ""
            for place, maps in edges:
                back = paints[name].after((maps[0].inverse(), maps[1].inverse()))
                if note:
                    back = replace(back, note=note)
                read = self.node_inputs[index][place]
                candidates.setdefault(read, []).append(((index, place), back))
        self._close(self.image, candidates, paints, leads)
        # What does not lead to the output lies over it as that which it is made of.
        for index, name, edges in self.edges:
            made_of = [
                (place, paints[read].after(maps))
                for place, maps in edges
                if (read := self.node_inputs[index][place]) in paints
            ]
            if name not in paints and made_of:
                paints[name] = _meet(made_of, self.placed(name).grid)[0]
        return paints, leads

    def _close(
        self,
        name: str,
        candidates: dict[str, list[tuple[tuple[int, int], _Path]]],
        paints: dict[str, _Path],
        leads: dict[str, tuple[tuple[int, int], ...]],
    ) -> None:
        """All consumers of a tensor are known: decide."""
        if name not in candidates:
            return
        path, deciding = _meet(candidates[name], self.placed(name).grid)
        paints[name] = path
        leads[name] = tuple(key for key in deciding if key[0] >= 0)

    # ---- operators that change nothing, and joins

    def _merged(
        self, node: onnx.NodeProto, positions: Sequence[int], free: int | None = None
    ) -> _Result:
        """A result whose numbers have the place of those that they are made of, broadcast.

        `free`: a dimension (of channels) in which the operands differ.
        """
        shape = self.shapes.get(node.output[0])
        if shape is None:
            return self._lost(node)
        operands = {}
        for place in sorted(positions, key=lambda each: self.paths[node.input[each]].coarsest):
            state = self.placed(node.input[place])
            missing = len(shape) - len(state.dims)
            if missing < 0:
                return self._lost(node)
            operands[place] = Placed((*[()] * missing, *state.dims), state.grid)
        base = next(iter(operands.values()))
        for state in operands.values():
            for dim, extent in enumerate(shape):
                alone = size_of(base.dims[dim]) == 1 and extent > 1
                if state.has_place(dim) and alone and not base.has_place(dim):
                    return _NoPlace("relates places with places")
        edges = {p: SAME for p, state in operands.items() if _places(state) == _places(base)}
        if len(edges) < len(operands) and (full := canonical(base)) is not None:
            # Where grids differ as they are written, whole axes may be the same.
            views = {place: canonical(state) for place, state in operands.items()}
            alike = {
                place: view[1]
                for place, view in views.items()
                if view is not None and _places(view[0]) == _places(full[0])
            }
            if len(alike) > len(edges):
                base, edges = full[0], alike
        dims = tuple(
            dim
            if base.has_place(place) or (size_of(dim) == extent and place != free)
            else channels(extent)
            for place, (dim, extent) in enumerate(zip(base.dims, shape, strict=True))
        )
        return _Local(Placed(dims, base.grid), tuple(sorted(edges.items())))

    def _split(self, node: onnx.NodeProto) -> list[_Result]:
        state = self.states.get(node.input[0])
        if not isinstance(state, Placed):
            return [state or self._lost(node)] * len(node.output)
        axis = self.attrs.get("axis", 0) % len(state.dims)
        results: list[_Result] = []
        start = 0
        for name in node.output:
            shape = self.shapes.get(name)
            if shape is None:
                return [self._lost(node)] * len(node.output)
            found = _cut(state, 0, axis, start, shape[axis], 1)
            results.append(found or self._lost(node))
            start += shape[axis]
        return results


# ---- what becomes of one tensor, input `place` of its operator; None: it cannot be followed


def _whole(placed: Placed, dims: Iterable[int]) -> tuple[Placed, Maps, list[int]] | None:
    """The tensor with whole axes in `dims`, the map to its grid, and the axis of each."""
    given = list(dims)
    state, edge = placed, SAME
    if any(not _is_axis(placed, dim) for dim in given):
        regridded = canonical(placed)
        if regridded is None:
            return None
        state, edge = regridded
    axes = []
    for dim in given:
        if not _is_axis(state, dim):
            return None
        axes.append(0 if pieces_of(state.dims[dim], 0) else 1)
    return state, edge, axes


def _mapped(
    placed: Placed, place: int, changes: Mapping[int, tuple[AxisMap, int]]
) -> _Local | None:
    """A tensor some of whose dimensions are replaced: map of the new to the old, new extent."""
    same = AxisMap(Fraction(1))
    moving = {
        dim: change
        for dim, change in changes.items()
        if change != (same, size_of(placed.dims[dim]))
    }
    dims = list(placed.dims)
    flat = [dim for dim in moving if not placed.has_place(dim)]
    for dim in flat:
        dims[dim] = channels(moving.pop(dim)[1])
    placed = Placed(tuple(dims), placed.grid)
    if not moving:
        return _Local(placed, ((place, SAME),))
    whole = _whole(placed, moving)
    if whole is None:
        return None
    placed, edge, axes = whole
    dims, grid, maps = list(placed.dims), list(placed.grid), list(edge)
    for (dim, (change, extent)), axis in zip(moving.items(), axes, strict=True):
        dims[dim] = (Piece(axis, extent),)
        grid[axis] = extent
        maps[axis] = maps[axis].after(change)
    return _Local(Placed(tuple(dims), (grid[0], grid[1])), ((place, (maps[0], maps[1])),))


def _cut(placed: Placed, place: int, dim: int, start: int, count: int, step: int) -> _Result | None:
    """Every `step`-th of a dimension from `start` on."""
    extent = size_of(placed.dims[dim])
    if (start, count, step) == (0, extent, 1):
        return _Local(placed, ((place, SAME),))
    if not placed.has_place(dim):
        dims = list(placed.dims)
        dims[dim] = channels(count)
        return _Local(Placed(tuple(dims), placed.grid), ((place, SAME),))
    if step < 1:
        return _NoPlace("is mirrored")
    tokens = _tokens(placed.dims[dim])
    if tokens is not None:
        if step != 1:
            return None
        end, inner = start + count, tokens.size - tokens.before - tokens.after
        if end <= tokens.before or start >= tokens.before + inner:
            return _NoPlace("is a token without place (a class token or a register)")
        if start > tokens.before or end < tokens.before + inner:
            return None
        cut = Tokens(tokens.before - start, tokens.pieces, end - tokens.before - inner)
        dims = list(placed.dims)
        dims[dim] = joined((cut,))
        return _Local(Placed(tuple(dims), placed.grid), ((place, SAME),))
    change = AxisMap(Fraction(step), start + _HALF - step * _HALF)
    return _mapped(placed, place, {dim: (change, count)})


def _padded(placed: Placed, place: int, pads: Mapping[int, tuple[int, int]]) -> _Result | None:
    """A tensor with (before, after) more along dimensions; negative ones crop."""
    dims, changes = list(placed.dims), {}
    for dim, (before, after) in pads.items():
        extent = size_of(placed.dims[dim]) + before + after
        tokens = _tokens(placed.dims[dim])
        if tokens is not None and (before or after):
            front, back = tokens.before + before, tokens.after + after
            if front < 0 or back < 0:
                return None
            dims[dim] = joined((Tokens(front, tokens.pieces, back),))
        elif before or after:
            changes[dim] = AxisMap(Fraction(1), Fraction(-before)), extent
    if not changes:
        return _Local(Placed(tuple(dims), placed.grid), ((place, SAME),))
    if tuple(dims) != placed.dims:
        return None
    return _mapped(placed, place, changes)


def _gone(placed: Placed, place: int, axes: Sequence[int], reason: str) -> _Result:
    """A tensor some of whose dimensions are summed over, their extent one."""
    left = contracted(placed, axes)
    if left is None:
        return _NoPlace(reason)
    return _Local(left[0], ((place, left[1]),))


# ---- rules of operators: what the first output is, or None where it cannot be followed


def _window(
    extent: int, out: int, kernel: int, stride: int, dilation: int, first: int, mode: str
) -> AxisMap:
    """Result cells to input cells of a sliding window."""
    if mode.startswith("SAME"):
        total = max((out - 1) * stride + dilation * (kernel - 1) + 1 - extent, 0)
        first = total // 2 if mode == "SAME_UPPER" else total - total // 2
    elif mode == "VALID":
        first = 0
    reach = Fraction(dilation * (kernel - 1) + 1, 2)
    return AxisMap(Fraction(stride), -stride * _HALF - first + reach)


def _windows(
    walk: _Walk, node: onnx.NodeProto, placed: Sequence[int], *, transposed: bool = False
) -> _Result | None:
    """Convolutions and pools."""
    if 0 not in placed:
        return _NoPlace("is made by a kernel that is computed from the image")
    shape, result = walk.shapes.get(node.input[0]), walk.shapes.get(node.output[0])
    attrs = walk.attrs
    if shape is None or result is None or len(result) != len(shape):
        return None
    last = node.op_type in _CHANNELS_LAST or bool(attrs.get("channels_last"))
    count = len(shape) - 2
    dims = list(range(1, 1 + count)) if last else list(range(2, 2 + count))
    kernel = attrs.get("kernel_shape")
    if kernel is None:
        where = 3 if node.op_type.startswith("QLinearConv") else 1
        weights = walk.constants.shape(node.input[where]) if len(node.input) > where else None
        if weights is None or len(weights) != count + 2:
            return None
        kernel = weights[2:]
    strides = attrs.get("strides") or [1] * count
    dilations = attrs.get("dilations") or [1] * count
    pads = attrs.get("pads") or [0] * (2 * count)
    mode = attrs.get("auto_pad", "NOTSET")
    extra = attrs.get("output_padding") or [0] * count
    changes: dict[int, tuple[AxisMap, int]] = {}
    for place, dim in enumerate(dims):
        small, large = (shape[dim], result[dim]) if transposed else (result[dim], shape[dim])
        window = (kernel[place], strides[place], dilations[place])
        first = pads[place]
        if transposed and ("output_shape" in attrs or mode.startswith("SAME")):
            reach = dilations[place] * (kernel[place] - 1) + 1
            total = strides[place] * (small - 1) + extra[place] + reach - large
            total = max(total, 0)
            first = total // 2 if mode == "SAME_UPPER" else total - total // 2
            change = _window(large, small, *window, first, "NOTSET")
        else:
            change = _window(large, small, *window, first, mode)
        changes[dim] = (change.inverse() if transposed else change, result[dim])
    channel = len(shape) - 1 if last else 1
    changes[channel] = AxisMap(Fraction(1)), result[channel]
    state = walk.placed(node.input[0])
    if state.has_place(channel):
        # Pieces of patches among the channels: they are summed over.
        regridded = canonical(state)
        if regridded is None or regridded[0].has_place(channel):
            return None
    return _mapped(walk.placed(node.input[0]), 0, changes)


def _conv(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    found = _windows(walk, node, placed)
    # FusedConv adds its fourth input.
    if node.op_type == "FusedConv" and isinstance(found, _Local) and 3 in placed:
        other = walk.placed(node.input[3])
        if _places(other) == _places(found.placed):
            return _Local(found.placed, (*found.edges, (3, SAME)))
    return found


def _transposed_conv(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    return _windows(walk, node, placed, transposed=True)


def _resize(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    shape, result = walk.shapes.get(node.input[0]), walk.shapes.get(node.output[0])
    if shape is None or result is None or 0 not in placed:
        return None
    attrs = walk.attrs
    old = node.op_type == "Upsample" or len(node.input) == 2
    where = 1 if old else 2
    scales = attrs.get("scales")
    if scales is None and len(node.input) > where and node.input[where]:
        value = walk.constants.value(node.input[where])
        scales = None if value is None else value.reshape(-1).tolist()
    axes = attrs.get("axes") or range(len(shape))
    axes = [axis % len(shape) for axis in axes]
    mode = attrs.get("mode", "nearest")
    how = "asymmetric" if old else attrs.get("coordinate_transformation_mode", "half_pixel")
    if how == "tf_crop_and_resize":
        return None
    rounding = "floor" if old else attrs.get("nearest_mode", "round_prefer_floor")
    changes = {}
    for dim, (before, after) in enumerate(zip(shape, result, strict=True)):
        ratio = Fraction(before, after)
        if scales and dim in axes and len(scales) == len(axes):
            scale = Fraction(float(scales[axes.index(dim)])).limit_denominator(4096)
            if scale > 0:
                ratio = 1 / scale
        elif attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch" and dim in axes:
            ratio = _kept_ratio(walk, node, shape, axes, attrs["keep_aspect_ratio_policy"]) or ratio
        if ratio == 1 and before == after:
            continue
        changes[dim] = _resized(before, after, ratio, mode, how, rounding), after
    return _mapped(walk.placed(node.input[0]), 0, changes)


def _kept_ratio(
    walk: _Walk, node: onnx.NodeProto, shape: tuple[int, ...], axes: Sequence[int], policy: str
) -> Fraction | None:
    sizes = walk.constants.integers(node.input[3]) if len(node.input) > 3 else None
    if sizes is None or len(sizes) != len(axes):
        return None
    scales = [Fraction(size, shape[axis]) for size, axis in zip(sizes, axes, strict=True)]
    return 1 / (min(scales) if policy == "not_larger" else max(scales))


def _resized(
    before: int, after: int, ratio: Fraction, mode: str, how: str, rounding: str
) -> AxisMap:
    """Result cells to input cells of a resized axis."""
    if how == "align_corners":
        scale = Fraction(before - 1, after - 1) if after > 1 and before > 1 else ratio
        smooth = AxisMap(scale, _HALF - scale * _HALF)
    elif how == "asymmetric":
        smooth = AxisMap(ratio, _HALF - ratio * _HALF)
    elif how == "half_pixel_symmetric":
        centre = Fraction(before, 2)
        smooth = AxisMap(ratio, centre * (1 - after * ratio / before))
    elif how == "pytorch_half_pixel" and after == 1:
        smooth = AxisMap(ratio, _HALF - ratio * _HALF)
    else:
        smooth = AxisMap(ratio)
    if mode != "nearest":
        return smooth
    # The input index of each result cell, in coordinates of centres.
    sources = [smooth(place + _HALF) - _HALF for place in range(after)]
    rounded = [min(max(_rounded(source, rounding), 0), before - 1) for source in sources]
    return _by_index(rounded, before, smooth.scale)


def _by_index(sources: Sequence[int], before: int, scale: Fraction) -> AxisMap:
    """The map of an axis whose cells are copies of others: the mean of what the copies say."""
    if scale <= 1:
        where: dict[int, list[int]] = {}
        for place, source in enumerate(sources):
            where.setdefault(source, []).append(place)
        inner = [source for source in where if 0 < source < before - 1] or list(where)
        offsets = [
            source + _HALF - scale * Fraction(where[source][0] + where[source][-1] + 1, 2)
            for source in inner
        ]
    else:
        offsets = [source + _HALF - scale * (place + _HALF) for place, source in enumerate(sources)]
    return AxisMap(scale, (min(offsets) + max(offsets)) / 2)


def _rounded(value: Fraction, how: str) -> int:
    down = value.numerator // value.denominator
    rest = value - down
    match how:
        case "floor":
            return down
        case "ceil":
            return down + (rest > 0)
        case "round_prefer_ceil":
            return down + (rest >= _HALF)
        case _:
            return down + (rest > _HALF)


def _reshape(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    shape = walk.shapes.get(node.output[0])
    if shape is None or 0 not in placed:
        return None
    state = walk.placed(node.input[0])
    dims = regrouped(state.dims, shape)
    if dims is not None:
        return _Local(Placed(dims, state.grid), ((0, SAME),))
    whole = canonical(state)
    if whole is None or (dims := regrouped(whole[0].dims, shape)) is None:
        return None
    return _Local(Placed(dims, whole[0].grid), ((0, whole[1]),))


def _transpose(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    state = walk.placed(node.input[0])
    order = walk.attrs.get("perm") or list(range(len(state.dims)))[::-1]
    dims = tuple(state.dims[place] for place in order)
    return _Local(Placed(dims, state.grid), ((0, SAME),))


def _squeeze(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    state, axes = walk.placed(node.input[0]), _axes(walk, node, 1)
    rank = len(state.dims)
    if axes is None:
        axes = [place for place, dim in enumerate(state.dims) if size_of(dim) == 1]
    gone = {axis % rank for axis in axes}
    if any(state.has_place(dim) for dim in gone):
        return _NoPlace("is of one cell only, whose place is left out")
    dims = tuple(dim for place, dim in enumerate(state.dims) if place not in gone)
    return _Local(Placed(dims, state.grid), ((0, SAME),))


def _unsqueeze(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    state, axes = walk.placed(node.input[0]), _axes(walk, node, 1)
    if axes is None:
        return None
    rank = len(state.dims) + len(axes)
    new = {axis % rank for axis in axes}
    old = iter(state.dims)
    dims = tuple(() if place in new else next(old) for place in range(rank))
    return _Local(Placed(dims, state.grid), ((0, SAME),))


def _axes(walk: _Walk, node: onnx.NodeProto, place: int) -> list[int] | None:
    """Axes, which older files give as an attribute, newer ones as an input."""
    given = walk.attrs.get("axes")
    if given is not None:
        return list(given)
    if len(node.input) > place and node.input[place]:
        return walk.constants.integers(node.input[place])
    return None


def _slice(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    result = walk.shapes.get(node.output[0])
    state = walk.placed(node.input[0])
    attrs = walk.attrs
    if "starts" in attrs:
        starts, axes = list(attrs["starts"]), attrs.get("axes")
        steps = [1] * len(starts)
    else:
        parts = [walk.constants.integers(name) if name else None for name in node.input[1:]]
        parts += [None] * (4 - len(parts))
        if parts[0] is None:
            return None
        starts, axes = parts[0], parts[2]
        steps = parts[3] or [1] * len(starts)
        if (len(node.input) > 3 and node.input[3] and axes is None) or len(steps) != len(starts):
            return None
    if result is None:
        return None
    axes = list(range(len(starts))) if axes is None else list(axes)
    edge = SAME
    for axis, start, step in zip(axes, starts, steps, strict=True):
        dim = axis % len(state.dims)
        extent = size_of(state.dims[dim])
        first = min(max(start + extent if start < 0 else start, 0), extent)
        found = _cut(state, 0, dim, first, result[dim], step)
        if not isinstance(found, _Local):
            return found
        state, inner = found.placed, found.edges[0][1]
        edge = edge[0].after(inner[0]), edge[1].after(inner[1])
    return _Local(state, ((0, edge),))


def _pad(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    state = walk.placed(node.input[0])
    pads = walk.attrs.get("pads") or walk.attrs.get("paddings")
    if pads is None and len(node.input) > 1:
        pads = walk.constants.integers(node.input[1])
    axes: Sequence[int] | None = range(len(state.dims))
    if len(node.input) > 3 and node.input[3]:
        axes = walk.constants.integers(node.input[3])
    if pads is None or axes is None or len(pads) != 2 * len(axes):
        return None
    count = len(axes)
    return _padded(
        walk.placed(node.input[0]),
        0,
        {
            axis % len(state.dims): (pads[place], pads[place + count])
            for place, axis in enumerate(axes)
        },
    )


def _concat(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    result = walk.shapes.get(node.output[0])
    if result is None:
        return None
    axis = walk.attrs.get("axis", 1) % len(result)
    if not any(walk.placed(node.input[place]).has_place(axis) for place in placed):
        return walk._merged(node, placed, free=axis)
    extents = []
    for name in node.input:
        shape = walk.shapes.get(name) or walk.constants.shape(name)
        if shape is None or len(shape) != len(result):
            return None
        extents.append(shape[axis])
    # The largest piece decides: a roll goes, and comes back.
    place = max(placed, key=lambda each: (extents[each], -each))
    before = sum(extents[:place])
    return _padded(
        walk.placed(node.input[place]),
        place,
        {axis: (before, result[axis] - before - extents[place])},
    )


def _gather(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    if 0 not in placed:
        return None
    state = walk.placed(node.input[0])
    axis = walk.attrs.get("axis", 0) % len(state.dims)
    index = walk.constants.value(node.input[1])
    if not state.has_place(axis):
        shape = walk.constants.shape(node.input[1])
        if shape is None:
            return None
        dims = (*state.dims[:axis], *map(channels, shape), *state.dims[axis + 1 :])
        return _Local(Placed(dims, state.grid), ((0, SAME),))
    if index is None:
        return None
    extent = size_of(state.dims[axis])
    chosen = [int(each) % extent for each in index.reshape(-1)]
    if index.ndim == 0:
        tokens = _tokens(state.dims[axis])
        inside = tokens is None or tokens.before <= chosen[0] < extent - tokens.after
        return _NoPlace(
            "is of one row, column or token only"
            if inside
            else "is a token without place (a class token or a register)"
        )
    if index.ndim != 1 or not chosen:
        return None
    steps = set(np.diff(chosen).tolist()) or {1}
    if len(steps) == 1 and min(steps) >= 1:
        return _cut(walk.placed(node.input[0]), 0, axis, chosen[0], len(chosen), steps.pop())
    if min(steps) >= 0 and _tokens(state.dims[axis]) is None:
        # Copies of cells: an enlargement.
        scale = Fraction(chosen[-1] - chosen[0] + 1, len(chosen))
        return _mapped(
            walk.placed(node.input[0]), 0, {axis: (_by_index(chosen, extent, scale), len(chosen))}
        )
    return None


def _depth_to_space(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    result = walk.shapes.get(node.output[0])
    if result is None:
        return None
    block = int(walk.attrs["blocksize"])
    ratio = Fraction(block) if node.op_type == "SpaceToDepth" else Fraction(1, block)
    changes = {dim: (AxisMap(ratio), result[dim]) for dim in (2, 3)}
    changes[1] = AxisMap(Fraction(1)), result[1]
    return _mapped(walk.placed(node.input[0]), 0, changes)


def _reduce(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    state = walk.placed(node.input[0])
    rank = len(state.dims)
    if node.op_type in ("ArgMax", "ArgMin"):
        axes = [int(walk.attrs.get("axis", 0))]
    else:
        given = _axes(walk, node, 1)
        if given is None and len(node.input) > 1 and node.input[1]:
            return None
        axes = given or list(range(rank))
        if not given and walk.attrs.get("noop_with_empty_axes"):
            return _Local(state, ((0, SAME),))
    gone = sorted({axis % rank for axis in axes})
    found = _gone(walk.placed(node.input[0]), 0, gone, "is pooled over the whole image")
    if isinstance(found, _NoPlace) or walk.attrs.get("keepdims", 1):
        return found
    dims = tuple(dim for place, dim in enumerate(found.placed.dims) if place not in gone)
    return replace(found, placed=Placed(dims, found.placed.grid))


def _softmax(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    state = walk.placed(node.input[0])
    axis = walk.attrs.get("axis", -1) % len(state.dims)
    if node.op_type == "CumSum":
        given = walk.constants.integers(node.input[1])
        if not given:
            return None
        axis = given[0] % len(state.dims)
    if state.has_place(axis):
        return _NoPlace("is a softmax or a sum over places")
    return _Local(state, ((0, SAME),))


def _top_k(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    result, state = walk.shapes.get(node.output[0]), walk.placed(node.input[0])
    axis = walk.attrs.get("axis", -1) % len(state.dims)
    if state.has_place(axis):
        return _NoPlace("holds the largest numbers of all places")
    if result is None:
        return None
    dims = list(state.dims)
    dims[axis] = channels(result[axis])
    return _Local(Placed(tuple(dims), state.grid), ((0, SAME),))


def _expand(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    result, state = walk.shapes.get(node.output[0]), walk.placed(node.input[0])
    if result is None or len(result) < len(state.dims):
        return None
    dims: list[Dim] = [*[()] * (len(result) - len(state.dims)), *state.dims]
    for place, extent in enumerate(result):
        if size_of(dims[place]) != extent:
            if has_place(dims[place]):
                return None
            dims[place] = channels(extent)
    return _Local(Placed(tuple(dims), state.grid), ((0, SAME),))


def _matmul(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    attrs = walk.attrs
    swap_a, swap_b = bool(attrs.get("transA")), bool(attrs.get("transB"))
    first, second = _PRODUCT_INPUTS.get(node.op_type, (0, 1))
    if attrs.get("transBatchA") or attrs.get("transBatchB"):
        return None
    result = walk.shapes.get(node.output[0])
    if result is None:
        return None
    sides = [place for place in (first, second) if place in placed]
    if not sides:  # only the bias has a place
        return walk._merged(node, placed)
    if len(sides) == 2:
        return _two_placed(walk, node, first, second, swap_a, swap_b, result)
    place = sides[0]
    other = node.input[second if place == first else first]
    state = walk.placed(node.input[place])
    rank = len(state.dims)
    if rank < 2:
        return None
    swapped = swap_a if place == first else swap_b
    inner = rank - 1 if (place == first) != swapped else rank - 2
    if other in walk.states and state.has_place(inner):
        return _NoPlace("is mixed from all places by attention")
    found = _gone(walk.placed(node.input[place]), place, [inner], "mixes all places")
    if isinstance(found, _NoPlace):
        return found
    kept = found.placed.dims[2 * rank - 3 - inner]
    batch = (*([()] * (len(result) - rank)), *found.placed.dims[:-2])
    if len(batch) != len(result) - 2:
        return None
    batch = tuple(
        dim if size_of(dim) == extent else channels(extent)
        for dim, extent in zip(batch, result[:-2], strict=True)
    )
    pair = (kept, channels(result[-1])) if place == first else (channels(result[-2]), kept)
    return _Local(Placed((*batch, *pair), found.placed.grid), found.edges)


def _two_placed(
    walk: _Walk,
    node: onnx.NodeProto,
    first: int,
    second: int,
    swap_a: bool,
    swap_b: bool,
    result: tuple[int, ...],
) -> _Result | None:
    """Both factors have a place: a product at each place, or attention."""
    a, b = walk.placed(node.input[first]), walk.placed(node.input[second])
    if min(len(a.dims), len(b.dims)) < 2:
        return None
    a_dims = (*a.dims[:-2], a.dims[-1], a.dims[-2]) if swap_a else a.dims
    b_dims = (*b.dims[:-2], b.dims[-1], b.dims[-2]) if swap_b else b.dims

    if any(map(has_place, (a_dims[-1], a_dims[-2], b_dims[-1], b_dims[-2]))):
        return _NoPlace("relates places with places (attention)")
    if a_dims[:-2] != b_dims[:-2] or a.grid != b.grid:
        return None
    dims = (*a_dims[:-2], channels(result[-2]), channels(result[-1]))
    return _Local(Placed(dims, a.grid), ((first, SAME), (second, SAME)))


def _einsum(walk: _Walk, node: onnx.NodeProto, placed: Sequence[int]) -> _Result | None:
    equation = str(walk.attrs["equation"]).replace(" ", "")
    if "->" not in equation or "." in equation:
        return None
    terms, target = equation.split("->")
    letters = terms.split(",")
    result = walk.shapes.get(node.output[0])
    if result is None or len(letters) != len(node.input):
        return None
    with_place: dict[str, Dim] = {}
    for place in placed:
        state = walk.placed(node.input[place])
        for letter, dim in zip(letters[place], state.dims, strict=True):
            if not has_place(dim):
                continue
            if with_place.setdefault(letter, dim) != dim:
                return _NoPlace("relates places with places (attention)")
    summed = set(with_place) - set(target)
    if len(placed) > 1:
        axes = [axis for dim in with_place.values() for axis in (0, 1) if pieces_of(dim, axis)]
        if summed or len(axes) != len(set(axes)):
            return _NoPlace("relates places with places (attention)")
    place = placed[0]
    if summed and any(name in walk.states for p, name in enumerate(node.input) if p != place):
        return _NoPlace("is mixed from all places by attention")
    gone = [at for at, letter in enumerate(letters[place]) if letter not in target]
    found = _gone(walk.placed(node.input[place]), place, gone, "mixes all places")
    if isinstance(found, _NoPlace):
        return found
    own = dict(zip(letters[place], found.placed.dims, strict=True))
    dims = tuple(
        own[letter] if letter in own and size_of(own[letter]) == extent else channels(extent)
        for letter, extent in zip(target, result, strict=True)
    )
    edges = found.edges if len(placed) == 1 else tuple((each, SAME) for each in placed)
    return _Local(Placed(dims, found.placed.grid), edges)


# ---- helpers


def _tokens(dim: Dim) -> Tokens | None:
    """A dimension that is a sequence of cells, or has tokens beside them."""
    found = [part for part in dim if isinstance(part, Tokens)]
    if found:
        return found[0] if len(dim) == 1 else None
    if pieces_of(dim, 0) and pieces_of(dim, 1):
        pieces = tuple(part for part in dim if isinstance(part, Piece))
        return Tokens(0, pieces, 0)
    return None


def _is_axis(placed: Placed, dim: int) -> bool:
    """Whether a dimension is one whole axis."""
    parts = placed.dims[dim]
    return (
        len(parts) == 1
        and isinstance(part := parts[0], Piece)
        and part.axis < 2
        and part.stride == 1
        and part.size == placed.grid[part.axis]
    )


def _places(placed: Placed) -> tuple[object, ...]:
    """What two tensors must share to be combined number by number."""
    return (
        placed.grid,
        *(dim if placed.has_place(place) else None for place, dim in enumerate(placed.dims)),
    )


def _channels_of(placed: Placed) -> int:
    """Channels of a tensor with whole axes."""
    return math.prod(piece.size for dim in placed.dims for piece in pieces_of(dim, 2))


def _as_map(placed: Placed, shape: tuple[int, ...]) -> tuple[Placed, Maps, bool] | None:
    """A tensor as a map or a sequence of tokens: whole axes, and one dimension of channels."""
    if placed.sizes() != shape:
        return None
    whole = canonical(placed)
    if whole is None:
        return None
    view, edge = whole
    homes = {
        axis: [place for place, dim in enumerate(view.dims) if pieces_of(dim, axis)]
        for axis in (0, 1)
    }
    if any(len(places) != 1 for places in homes.values()):
        return None
    rows, cols = homes[0][0], homes[1][0]
    deep = [place for place, dim in enumerate(view.dims) if pieces_of(dim, 2)]
    if len(deep) > 1 or not {rows, cols}.isdisjoint(deep):
        return None
    return view, edge, rows == cols


def _why_no_map(placed: Placed) -> str:
    """Why a tensor with a place is no tap."""
    for axis in (0, 1):
        if sum(bool(pieces_of(dim, axis)) for dim in placed.dims) > 1:
            return "holds windows or patches of the map, not the map"
    return "has its channels in several dimensions (heads of attention), or is not a map"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SAME_SHAPE = _words(
    """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BatchNormalization BitShift BitwiseAnd BitwiseNot
    BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Cos Cosh DequantizeLinear Div Dropout
    DynamicQuantizeLinear Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual GroupNormalization
    HardSigmoid HardSwish Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization
    LeakyRelu Less LessOrEqual Log LpNormalization Max Mean MeanVarianceNormalization Min Mish Mod
    Mul Neg Not Or PRelu Pow QuantizeLinear RMSNormalization Reciprocal Relu Round Selu Shrink
    Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Trilu Where
    Xor BiasAdd BiasGelu FastGelu QuickGelu GroupNorm SkipGroupNorm SkipLayerNormalization
    SkipSimplifiedLayerNormalization SimplifiedLayerNormalization BiasSplitGelu QLinearAdd
    QLinearMul QLinearSigmoid QLinearLeakyRelu Affine ImageScaler ScaledTanh ParametricSoftplus
    """
)
# Only the first input of these is followed.
_FIRST_ONLY = _words(
    """
    MaxUnpool BatchNormalization InstanceNormalization GroupNormalization LayerNormalization
    RMSNormalization QuantizeLinear DequantizeLinear Clip Cast CastLike Dropout Reshape Resize
    Expand Tile Slice Pad Gather DeformConv
    """
)
_POOLED = _words("GlobalAveragePool GlobalMaxPool GlobalLpPool QLinearGlobalAveragePool")
_ATTENTION = _words(
    """
    Attention MultiHeadAttention GroupQueryAttention PackedAttention PackedMultiHeadAttention
    QAttention DecoderMaskedMultiHeadAttention
    """
)
_CHANNELS_LAST = _words("NhwcConv NhwcMaxPool NhwcFusedConv")
_PRODUCT_INPUTS = {"QLinearMatMul": (0, 3), "QGemm": (0, 3)}

_Rule: TypeAlias = Callable[[_Walk, onnx.NodeProto, Sequence[int]], "_Result | None"]
_RULES: dict[str, _Rule] = {
    name: rule
    for names, rule in (
        ("Conv FusedConv ConvInteger QLinearConv DeformConv NhwcConv NhwcFusedConv", _conv),
        ("MaxPool AveragePool LpPool QLinearAveragePool NhwcMaxPool", _conv),
        ("ConvTranspose MaxUnpool", _transposed_conv),
        ("Resize Upsample", _resize),
        ("Reshape Flatten", _reshape),
        ("Transpose", _transpose),
        ("Squeeze", _squeeze),
        ("Unsqueeze", _unsqueeze),
        ("Slice", _slice),
        ("Pad", _pad),
        ("Concat QLinearConcat", _concat),
        ("Gather", _gather),
        ("DepthToSpace SpaceToDepth", _depth_to_space),
        ("ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2", _reduce),
        ("ReduceLogSum ReduceLogSumExp ReduceSumSquare ArgMax ArgMin", _reduce),
        ("Softmax LogSoftmax Hardmax CumSum QLinearSoftmax", _softmax),
        ("TopK", _top_k),
        ("Expand Tile", _expand),
        ("MatMul Gemm FusedMatMul FusedGemm MatMulInteger QLinearMatMul QGemm", _matmul),
        ("DynamicQuantizeMatMul MatMulIntegerToFloat MatMulNBits", _matmul),
        ("Einsum", _einsum),
    )
    for name in _words(names)
}
