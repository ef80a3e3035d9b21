"""Weights of an ONNX file that are in files beside it: checked before anything is opened."""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import onnx

from compnn.files import open_file

# Larger weights do not tell shapes: shapes, paddings, scales and axes have fewer numbers.
SMALL_WEIGHT = 1024
# Bytes of weights beside the file that are read into memory; where there are more, large ones are
# mapped. A serialised network has at most 2 GB, and its parts are copied in the making.
_MOST_READ = 1 << 29
_MOST_SERIALISED = (1 << 31) - (1 << 24)
# Several numbers of these share a byte.
_PACKED_TYPES = ("INT4", "UINT4", "FLOAT4E2M1", "INT2", "UINT2")
# Types that ONNX Runtime takes from NumPy.
_MAPPED_TYPES = (np.float32, np.float16, np.float64, np.int8, np.uint8, np.int32, np.int64)


@dataclass(frozen=True)
class _Stored:
    """Where a tensor is stored: bytes `start` to `start + length` of a file."""

    tensor: onnx.TensorProto
    file: Path
    start: int
    length: int


def load_weights(
    model: onnx.ModelProto, folder: Path, digest: hashlib._Hash
) -> Mapping[str, npt.NDArray[np.generic]]:
    """Read the weights that are in files beside the network's, and add these to its digest.

    Returns
    -------
    dict of name to array
        Large ones, where there are many: mapped read-only from their file, and still external in
        `model`.

    Raises
    ------
    OSError
        When a file cannot be read.
    ValueError
        When it is not in `folder`, is no regular file, or ends too early; or when weights that
        cannot be mapped are too many. Nothing is read before all of this is known, other than the
        last.
    """
    files = {
        file: [_stored(tensor, where, file) for tensor, where in tensors]
        for file, tensors in _files(model, folder).items()
    }
    total = sum(each.length for stored in files.values() for each in stored)
    own = {id(tensor) for tensor in model.graph.initializer}
    mapped: dict[str, npt.NDArray[np.generic]] = {}
    read = 0
    for file, stored in files.items():
        with open_file(file) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
            for each in stored:
                tensor = each.tensor
                if total > _MOST_READ and id(tensor) in own and _can_map(tensor):
                    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
                    mapped[tensor.name] = np.memmap(
                        stream, dtype, "r", each.start, tuple(tensor.dims)
                    )
                    continue
                read += each.length
                if read > _MOST_SERIALISED:
                    raise ValueError(
                        f"{file} holds more than 2 GB of weights that cannot be mapped, "
                        f"{tensor.name!r} among them; export the network with weights as float32 "
                        f"or float16 initialisers"
                    )
                stream.seek(each.start)
                tensor.raw_data = stream.read(each.length)
                tensor.ClearField("external_data")
                tensor.data_location = onnx.TensorProto.DEFAULT
    return mapped


def weight_files(model: onnx.ModelProto, folder: Path) -> list[Path]:
    """The files in `folder` that hold weights of a network; errors as `load_weights`."""
    return list(_files(model, folder))


def _files(
    model: onnx.ModelProto, folder: Path
) -> dict[Path, list[tuple[onnx.TensorProto, dict[str, str]]]]:
    """The tensors that are in files beside the network's, with where, by file, sorted."""
    beside = defaultdict(list)
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            where = {entry.key: entry.value for entry in tensor.external_data}
            location = where.get("location")
            if not location or not isinstance(location, str):  # bytes, where it is not UTF-8
                raise ValueError(f"no file is named for the weights {tensor.name!r}")
            beside[location].append((tensor, where))
    return {
        _beside(folder, location, tensors[0][0].name): tensors
        for location, tensors in sorted(beside.items())
    }


def _beside(folder: Path, location: str, tensor: str) -> Path:
    """The path of a file of weights, where it is in the network's folder and regular."""
    parts = PurePosixPath(location.replace("\\", "/"))
    file = folder / location
    said = f"{file}, which is to hold the weights {tensor!r},"
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{said} is not in the network's folder")
    if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"{said} is not in the network's folder")
    try:
        mode = os.stat(file).st_mode
    except FileNotFoundError:
        raise ValueError(f"{said} is missing; put it there, beside {folder.name or '.'}") from None
    if not stat.S_ISREG(mode):
        raise ValueError(f"{said} is not a regular file")
    return file


def _stored(tensor: onnx.TensorProto, where: Mapping[str, str], file: Path) -> _Stored:
    size = file.stat().st_size
    needed = _bytes_of(tensor)
    try:
        start = int(where.get("offset", 0))
        length = int(where.get("length", size - start if needed is None else needed))
    except ValueError:
        raise ValueError(
            f"the place of the weights {tensor.name!r} in {file} is no number"
        ) from None
    if not 0 <= start <= start + length <= size:
        raise ValueError(
            f"{file} ends before the weights {tensor.name!r} do: it has {size} bytes, and they are "
            f"to be at {start} to {start + length}; copy it again"
        )
    if needed is not None and length != needed:
        raise ValueError(
            f"the weights {tensor.name!r} have {length} bytes in {file}, but their shape "
            f"{tuple(tensor.dims)} takes {needed}"
        )
    return _Stored(tensor, file, start, length)


def _bytes_of(tensor: onnx.TensorProto) -> int | None:
    """Bytes of a tensor; None where several numbers share one, or the type is not known."""
    try:
        if onnx.TensorProto.DataType.Name(tensor.data_type) in _PACKED_TYPES:
            return None
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError):
        return None
    return int(math.prod(tensor.dims) * dtype.itemsize)


def _can_map(tensor: onnx.TensorProto) -> bool:
    if math.prod(tensor.dims) <= SMALL_WEIGHT:
        return False
    return onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).type in _MAPPED_TYPES


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that is stored in a network, in its branches and loop bodies, too."""
    yield from _tensors_of(model.graph)
    for function in model.functions:
        yield from _tensors_of_nodes(function.node)


def _tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for graph in (attribute.g, *attribute.graphs):
                yield from _tensors_of(graph)
