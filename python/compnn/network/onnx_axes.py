"""What the dimensions of a tensor are made of: pieces of rows, of columns, and channels.

A dimension is a list of pieces, major to minor. Reshaping cuts and joins pieces, transposing moves
them, so that windows, heads, patches and tokens keep their place in the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

from compnn.network.geometry import AxisMap, Maps, Size


@dataclass(frozen=True)
class Piece:
    """`size` steps of `stride` along an axis of the grid.

    `axis`: 0 rows, 1 columns, 2 channels and all else without place, 3 images of a batch. Of a
    grid's axis the index is the sum of stride * index over its pieces.
    """

    axis: int
    size: int
    stride: int = 1


@dataclass(frozen=True)
class Tokens:
    """A sequence: tokens without place, those of the grid, and others again."""

    before: int
    pieces: tuple[Piece, ...]
    after: int

    @property
    def size(self) -> int:
        return self.before + math.prod(piece.size for piece in self.pieces) + self.after


Dim: TypeAlias = "tuple[Piece | Tokens, ...]"
SAME: Maps = (AxisMap(Fraction(1)), AxisMap(Fraction(1)))


@dataclass(frozen=True)
class Placed:
    """A tensor whose numbers have a place: its dimensions, and the grid they are pieces of."""

    dims: tuple[Dim, ...]
    grid: Size

    def sizes(self) -> tuple[int, ...]:
        return tuple(size_of(dim) for dim in self.dims)

    def has_place(self, dim: int) -> bool:
        return has_place(self.dims[dim])


def size_of(dim: Dim) -> int:
    """Extent of a dimension."""
    return math.prod(part.size for part in dim)


def channels(size: int) -> Dim:
    """A dimension without place."""
    return (Piece(2, size),) if size > 1 else ()


def pieces_of(dim: Dim, axis: int) -> list[Piece]:
    """The pieces of an axis in a dimension."""
    found: list[Piece] = []
    for part in dim:
        found += part.pieces if isinstance(part, Tokens) else [part]
    return [piece for piece in found if piece.axis == axis]


def has_place(dim: Dim) -> bool:
    """Whether an index along a dimension says something of a place."""
    return bool(pieces_of(dim, 0) or pieces_of(dim, 1))


def joined(dim: Sequence[Piece | Tokens]) -> Dim:
    """A dimension in its shortest form: pieces that go on are one."""
    result: list[Piece | Tokens] = []
    for part in dim:
        if isinstance(part, Piece) and part.axis >= 2 and part.size == 1:
            continue
        last = result[-1] if result else None
        if isinstance(part, Piece) and isinstance(last, Piece) and last.axis == part.axis:
            if part.axis == 2:
                result[-1] = Piece(2, last.size * part.size)
                continue
            if part.axis < 2 and last.stride == part.stride * part.size:
                result[-1] = Piece(part.axis, last.size * part.size, part.stride)
                continue
        if isinstance(part, Tokens) and not part.before and not part.after:
            result += part.pieces
            continue
        result.append(part)
    return tuple(result)


def regrouped(dims: Sequence[Dim], sizes: Sequence[int]) -> tuple[Dim, ...] | None:
    """The dimensions after a reshape to `sizes`; None where it cuts a piece unevenly."""
    waiting = [part for dim in dims for part in dim]
    waiting.reverse()
    if math.prod(map(size_of, dims)) != math.prod(sizes):
        return None
    result: list[list[Piece | Tokens]] = []
    for place, size in enumerate(sizes):
        taken: list[Piece | Tokens] = []
        need = size
        while need > 1 and waiting:
            part = waiting.pop()
            if need % part.size == 0:
                taken.append(part)
                need //= part.size
            elif isinstance(part, Piece) and part.size % need == 0:
                inner = part.size // need
                outer_stride = part.stride * inner if part.axis < 2 else 1
                taken.append(Piece(part.axis, need, outer_stride))
                waiting.append(Piece(part.axis, inner, part.stride))
                need = 1
            else:
                return None
        # An axis of one cell goes where there is a dimension of one for it.
        if size == 1 and place > 0 and waiting and waiting[-1].size == 1:
            taken.append(waiting.pop())
        rest = sizes[place + 1 :]
        while waiting and waiting[-1].size == 1 and not (rest and rest[0] == 1):
            taken.append(waiting.pop())
        result.append(taken)
    if waiting:
        return None
    return tuple(joined(dim) for dim in result)


def canonical(placed: Placed) -> tuple[Placed, Maps] | None:
    """The same tensor over a grid whose axes are whole, with the map to the grid that it was of.

    Channels that are minor to a whole axis make it finer (pixel shuffle); an outer piece whose
    inner pieces are among the channels is a coarser axis (patches). None where an axis is missing
    or its pieces are mixed with others'.
    """
    dims, grid, edge = list(placed.dims), list(placed.grid), list(SAME)
    for axis in (0, 1):
        home = _home(dims, axis, grid[axis])
        if home is None:
            return None
        outer = pieces_of(dims[home], axis)
        if len(outer) != 1:
            return None
        stride, count = outer[0].stride, outer[0].size
        if stride > 1:
            for place, dim in enumerate(dims):
                if place != home and pieces_of(dim, axis):
                    dims[place] = _without(dim, axis)
            if any(isinstance(part, Tokens) for d in dims if d is not dims[home] for part in d):
                return None
            dims[home] = _swapped(dims[home], outer[0], Piece(axis, count))
            edge[axis] = AxisMap(edge[axis].scale * stride)
            grid[axis] = count
    for axis in (0, 1):
        home = _home(dims, axis, grid[axis])
        assert home is not None
        dim = dims[home]
        if pieces_of(dim, 1 - axis):
            if pieces_of(dim, 2):
                return None
            continue
        finer = 1
        seen = False
        for part in dim:
            if isinstance(part, Tokens):
                continue
            if part.axis == axis:
                seen = True
            elif part.axis == 2:
                if not seen:
                    return None
                finer *= part.size
        if finer > 1:
            if any(isinstance(part, Tokens) for part in dim):
                return None
            grid[axis] *= finer
            dims[home] = (Piece(axis, grid[axis]),)
            edge[axis] = AxisMap(edge[axis].scale / finer)
    return Placed(tuple(map(joined, dims)), (grid[0], grid[1])), (edge[0], edge[1])


def contracted(placed: Placed, gone: Sequence[int]) -> tuple[Placed, Maps] | None:
    """What is left when dimensions are summed over; they keep an extent of one.

    Inner pieces that go make the grid coarser. None where the outer pieces of an axis go: then
    each result is of many places.
    """
    dims, grid, edge = list(placed.dims), list(placed.grid), list(SAME)
    for axis in (0, 1):
        lost = [p for d in gone for p in pieces_of(dims[d], axis)]
        kept = [p for d, dim in enumerate(dims) if d not in gone for p in pieces_of(dim, axis)]
        if not lost:
            continue
        if not kept:
            return None
        stride = min(piece.stride for piece in kept)
        if any(piece.stride * piece.size > stride for piece in lost) or stride == 1:
            return None
        dims = [
            dim
            if d in gone
            else tuple(
                replace(part, stride=part.stride // stride)
                if isinstance(part, Piece) and part.axis == axis
                else part
                for part in dim
            )
            for d, dim in enumerate(dims)
        ]
        edge[axis] = AxisMap(edge[axis].scale * stride)
        grid[axis] //= stride
    for d in gone:
        dims[d] = ()
    return Placed(tuple(map(joined, dims)), (grid[0], grid[1])), (edge[0], edge[1])


def _home(dims: Sequence[Dim], axis: int, count: int) -> int | None:
    """The dimension that holds the outermost piece of an axis."""
    for place, dim in enumerate(dims):
        if any(piece.stride * piece.size == count for piece in pieces_of(dim, axis)):
            return place
    return None


def _without(dim: Dim, axis: int) -> Dim:
    """Pieces of an axis become channels."""
    return tuple(
        Piece(2, part.size) if isinstance(part, Piece) and part.axis == axis else part
        for part in dim
    )


def _swapped(dim: Dim, old: Piece, new: Piece) -> Dim:
    return tuple(
        replace(part, pieces=tuple(new if p == old else p for p in part.pieces))
        if isinstance(part, Tokens)
        else (new if part == old else part)
        for part in dim
    )
