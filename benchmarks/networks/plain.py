"""The tensors of an ONNX file as ONNX Runtime alone computes them, without compnn."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

_OWN_DOMAINS = {"", "ai.onnx", "com.microsoft", "ai.onnx.ml"}


def tensors(
    path: Path,
    image: npt.NDArray[np.float32],
    names: Collection[str] | None = None,
    values: Mapping[str, float] | None = None,
) -> dict[str, npt.NDArray[np.generic]]:
    """Tensors inside a file, each an output of a copy of its graph.

    Parameters
    ----------
    path
        The file.
    image
        float32 (1, H, W, C), in the numbers that the network takes.
    names
        Which tensors, those that the file does not have left out. Default: all that are arrays.
    values
        Of inputs other than the image.
    """
    model = onnx.load(path)
    graph = model.graph
    own = _OWN_DOMAINS | {each.domain for each in model.functions}
    wanted = [name for name in _computable(graph, own) if names is None or name in names]
    nodes = _needed(graph, wanted)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    used = {
        each.domain for each in _within([*nodes, *(n for f in model.functions for n in f.node)])
    }
    read = {name for node in nodes for name in _read(node)}
    inputs = [each for each in graph.input if each.name in read]
    del graph.input[:]
    graph.input.extend(inputs)
    imports = [each for each in model.opset_import if each.domain in used | {"", "ai.onnx"}]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    taken = {each.name for each in session.get_inputs()}
    set_to = values or {}
    feeds = {}
    for each in graph.input:
        if each.name in taken and each.name in set_to:
            shape = [dim.dim_value for dim in each.type.tensor_type.shape.dim]
            number = np.full(shape, set_to[each.name], np.float32)
            feeds[each.name] = onnxruntime.OrtValue.ortvalue_from_numpy(number)
        elif each.name in taken:
            feeds[each.name] = _fed(each, image)
    results = session.run_with_ort_values(wanted, feeds)
    return {
        name: result.numpy()
        for name, result in zip(wanted, results, strict=True)
        if result.is_tensor() and result.data_type() != "tensor(bfloat16)"
    }


def _fed(value: onnx.ValueInfoProto, image: npt.NDArray[np.float32]) -> onnxruntime.OrtValue:
    """The image in the layout and type of an input."""
    tensor = value.type.tensor_type
    dims = [dim.dim_value for dim in tensor.shape.dim]
    last = len(dims) == 4 and dims[3] in (1, 3, 4) and dims[1] not in (1, 3, 4)
    array = image if last else image.transpose(0, 3, 1, 2)
    if dims and dims[0] > 1:
        array = np.repeat(array, dims[0], axis=0)
    if tensor.elem_type == onnx.TensorProto.BFLOAT16:
        bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
            rounded.astype(np.uint16), onnx.TensorProto.BFLOAT16
        )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    array = np.rint(array * 255) if dtype == np.uint8 else array
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array, dtype))


def _computable(graph: onnx.GraphProto, own: Collection[str]) -> list[str]:
    """The tensors that need no operators of other domains, in the file's order."""
    lost: set[str] = set()
    before = -1
    while before != len(lost):  # nodes need not be in the order they run
        before = len(lost)
        for node in graph.node:
            if any(each.domain not in own for each in _within([node])) or lost & set(_read(node)):
                lost.update(node.output)
    return [name for node in graph.node for name in node.output if name and name not in lost]


def _needed(graph: onnx.GraphProto, wanted: Collection[str]) -> list[onnx.NodeProto]:
    """Copies of the nodes that tensors are computed by, in the file's order."""
    made = {name: place for place, node in enumerate(graph.node) for name in node.output}
    waiting, needed = list(wanted), set()
    while waiting:
        place = made.get(waiting.pop())
        if place is not None and place not in needed:
            needed.add(place)
            waiting += _read(graph.node[place])
    return [onnx.NodeProto.FromString(graph.node[i].SerializeToString()) for i in sorted(needed)]


def _within(nodes: Collection[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _within(inner.node)


def _read(node: onnx.NodeProto) -> Iterator[str]:
    yield from filter(None, (name for each in _within([node]) for name in each.input))
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            yield from (output.name for output in inner.output)
