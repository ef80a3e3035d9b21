"""The graph in an ONNX file: its image input, the tensors inside it, and cuts of it."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnx.inliner

from compnn.errors import NetworkError
from compnn.files import read_file
from compnn.network.input import InputChoice
from compnn.network.onnx_input import ImageInput, describe, image_input, settings
from compnn.network.onnx_metadata import read_metadata
from compnn.network.onnx_weights import SMALL_WEIGHT, load_weights, weight_files

# ONNX's own operators, and those of ONNX Runtime; the rest needs libraries of others.
_DOMAINS = ("ai.onnx", "com.microsoft", "com.ms.")
# Operators whose result tells the shape of a tensor, not what is in it.
SHAPE_OPERATORS = {"Shape", "Size"}


class Cut(NamedTuple):
    """A part of a graph, serialised, and its weights that are elsewhere, by name."""

    model: bytes
    mapped: Mapping[str, npt.NDArray[np.generic]]


class OnnxGraph:
    """An ONNX file in memory. The file itself is never changed.

    Parameters
    ----------
    path : path of the file; weights in files beside it are read too
    inputs : which input is the image, where several can be, and what others are set to

    Raises
    ------
    NetworkError
        When the file is missing, is not ONNX, or has no image input; or when a value does not fit
        its input.
    """

    def __init__(
        self,
        path: Path,
        inputs: InputChoice | None = None,
    ) -> None:
        self.path = path
        self.choice = inputs = inputs or InputChoice()
        self.proto, self._mapped, self.fingerprint = _load(path)
        if not all(isinstance(name, str) for name in _names(self.proto)):
            raise NetworkError(
                f"{path} is damaged: it holds names that are not UTF-8; export the network again"
            )
        _inline_functions(self.proto, path)
        _sort_nodes(self.proto.graph, path)
        graph = self.proto.graph
        defaults = {tensor.name for tensor in graph.initializer}
        read = {name for node in graph.node for name in names_read(node)}
        # What no operator reads is left out of all cuts.
        open_inputs = [
            value for value in graph.input if value.name not in {*defaults, *inputs.values}
        ]
        needed = [value for value in open_inputs if value.name in read] or open_inputs
        self.metadata = read_metadata(self.proto, path.name)
        self.input: ImageInput = image_input(
            needed, graph, path.name, inputs.image, self.metadata.input_layout
        )
        self.unset = {v.name: v for v in open_inputs if v.name != self.input.name}
        listed = {value.name: value for value in graph.input}
        self._set(settings(inputs.values, listed, self.input.name, path.name))
        _widen_image(graph, self.input.name)
        self.outputs = [output.name for output in self.proto.graph.output]

    def _set(self, tensors: Mapping[str, onnx.TensorProto]) -> None:
        """Make constants of the inputs that are set; another setting is another network."""
        graph = self.proto.graph
        if not tensors:
            return
        for kept in (graph.input, graph.initializer):
            for place in reversed(range(len(kept))):
                if kept[place].name in tensors:
                    del kept[place]
        digest = hashlib.sha256(self.fingerprint.encode())
        for name in sorted(tensors):
            graph.initializer.append(tensors[name])
            digest.update(tensors[name].SerializeToString(deterministic=True))
        self.fingerprint = f"sha256:{digest.hexdigest()}"

    def needs(self, tensor: str) -> str:
        """Why a tensor cannot be computed, where inputs that nobody has set lead to it; else ""."""
        found = [self.unset[name] for name in self._read_for([tensor])[0] if name in self.unset]
        if not found:
            return ""
        listed = ", ".join(f"{value.name!r} {describe(value)}" for value in found)
        name = found[0].name
        return (
            f"{self.path.name}: {tensor!r} needs the value of input {listed}; give it with "
            f"`--set {name}=VALUE` or `OnnxNetwork(..., values={{{name!r}: ...}})`"
        )

    def _read_for(self, outputs: Sequence[str]) -> tuple[dict[str, None], list[onnx.NodeProto]]:
        """What the tensors `outputs` are computed from, and the nodes that do so, in order."""
        needed, nodes = dict.fromkeys(outputs), []
        for node in reversed(self.proto.graph.node):  # they are in the order they run
            if any(name in needed for name in node.output):
                needed.update(dict.fromkeys(names_read(node)))
                nodes.append(node)
        return needed, nodes[::-1]

    def cut(
        self,
        outputs: Sequence[str],
        size: tuple[int, int] | None = None,
        *,
        weights: bool = True,
        shapes: bool = False,
        known: Mapping[str, onnx.ValueInfoProto] | None = None,
    ) -> Cut:
        """A model with the tensors `outputs` as its outputs and nothing after them.

        With `size` (height, width) it takes one image of that size only, so that the shapes of its
        tensors are known before it runs. Without `weights` the large ones are inputs, too: enough
        for shapes, and quickly loaded. With `shapes` the outputs are the shapes of the tensors, of
        the same names with " shape" after them: a run then keeps none of the tensors. `known`: what
        is known of the types and shapes of outputs.

        Raises
        ------
        NetworkError
            When one of them needs an input that is not set.
        """
        graph = self.proto.graph
        needed, nodes = self._read_for(outputs)
        if not self.unset.keys().isdisjoint(needed):
            raise NetworkError(next(filter(None, map(self.needs, outputs))))
        cut = _empty_like(self.proto)
        cut.graph.node.extend(nodes)
        # A domain that nothing here uses may be one that ONNX Runtime lacks.
        domains = {each.domain for node in nodes for each in _within(node)}
        cut.opset_import.extend(
            each for each in self.proto.opset_import if each.domain in domains | {"", "ai.onnx"}
        )
        image = cut.graph.input.add()
        image.CopyFrom(next(value for value in graph.input if value.name == self.input.name))
        if size is not None:
            shape = image.type.tensor_type.shape
            shape.ClearField("dim")
            for extent in self.input.shape(size):
                shape.dim.add(dim_value=extent)
        for tensor in graph.initializer:
            if tensor.name not in needed:
                continue
            if weights or math.prod(tensor.dims) <= SMALL_WEIGHT:
                cut.graph.initializer.append(tensor)
            else:
                value = onnx.helper.make_tensor_value_info(
                    tensor.name, tensor.data_type, tensor.dims
                )
                cut.graph.input.append(value)
        cut.graph.sparse_initializer.extend(
            t for t in graph.sparse_initializer if t.values.name in needed
        )
        if shapes:
            cut.graph.node.extend(
                onnx.helper.make_node("Shape", [name], [f"{name} shape"]) for name in outputs
            )
            outputs = [f"{name} shape" for name in outputs]
        known = known or {}
        cut.graph.output.extend(known.get(n) or onnx.ValueInfoProto(name=n) for n in outputs)
        mapped = {
            tensor.name: self._mapped[tensor.name]
            for tensor in cut.graph.initializer
            if tensor.name in self._mapped
        }
        return Cut(bytes(cut.SerializeToString()), mapped)

    def weight(self, tensor: onnx.TensorProto) -> npt.NDArray[np.generic]:
        """The numbers of an initialiser, wherever they are."""
        found = self._mapped.get(tensor.name)
        return onnx.numpy_helper.to_array(tensor) if found is None else found

    def image_tensors(self) -> list[str]:
        """Every tensor computed from the values of the image, in the order they are computed.

        Widened weights and the shapes of tensors are not among them, nor is what operators of
        others (`foreign_operators`) or inputs that are not set have a part in.
        """
        names: dict[str, None] = {self.input.name: None}
        lost: set[str] = set(self.unset)
        for node in self.proto.graph.node:
            if _is_foreign(node) or not lost.isdisjoint(names_read(node)):
                lost.update(node.output)
                continue
            if node.op_type not in SHAPE_OPERATORS and any(n in names for n in names_read(node)):
                names.update((name, None) for name in node.output if name)
        del names[self.input.name]
        return list(names)

    def first_of(self, tensors: Collection[str]) -> list[str]:
        """Those of `tensors` that are not computed from another one of them, directly."""
        return [
            name
            for node in self.proto.graph.node
            if not any(read in tensors for read in names_read(node))
            for name in node.output
            if name in tensors
        ]

    def foreign_operators(self) -> list[str]:
        """Operators that are no part of ONNX or ONNX Runtime, "domain:name", each once."""
        names = (f"{n.domain}:{n.op_type}" for n in self.proto.graph.node if _is_foreign(n))
        return list(dict.fromkeys(names))


def _is_foreign(node: onnx.NodeProto) -> bool:
    """Whether an operator is of a domain that ONNX Runtime has no part in."""
    return any(not each.domain.startswith(_DOMAINS) for each in _within(node) if each.domain)


def _load(
    path: Path,
) -> tuple[onnx.ModelProto, Mapping[str, npt.NDArray[np.generic]], str]:
    """The network, its weights that stay in files, and its fingerprint."""
    try:
        data = read_file(path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError):
        raise NetworkError(f"no such network: {path}; give the path of an ONNX file") from None
    except OSError as error:
        raise NetworkError(f"{path} cannot be read: {error.strerror}; check the file") from None
    digest = hashlib.sha256(data)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # of protobuf, which onnx does not wrap
        raise NetworkError(
            f"{path} is not an ONNX file ({error}); export the network to ONNX"
        ) from None
    if not model.graph.node:
        raise NetworkError(
            f"{path} is not an ONNX file, or has no nodes; export the network to ONNX"
        )
    try:
        mapped = load_weights(model, path.parent, digest)
    except (OSError, ValueError) as error:
        raise NetworkError(f"{path}: its weights in another file cannot be read: {error}") from None
    return model, mapped, f"sha256:{digest.hexdigest()}"


def _inline_functions(model: onnx.ModelProto, path: Path) -> None:
    """Put the body of each local function where it is called."""
    if not model.functions:
        return
    try:
        inlined = onnx.inliner.inline_local_functions(model)
    except Exception as error:  # of onnx's C++, which has no base of its own
        raise NetworkError(
            f"{path}: its local functions cannot be put in place ({error}); export the network "
            f"without functions"
        ) from None
    model.CopyFrom(inlined)


def _sort_nodes(graph: onnx.GraphProto, path: Path) -> None:
    """Bring the nodes into an order in which they can run; one that is such already stays.

    Converters append nodes at the end (that of ONNX Runtime to half precision does).
    """
    makers: dict[str, int] = {}
    for place, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in makers:
                raise NetworkError(
                    f"{path} is damaged: two operators give the tensor {name!r}; export the "
                    f"network again"
                )
            makers[name] = place
    reads = [
        sorted({makers[name] for name in names_read(node) if name in makers}) for node in graph.node
    ]
    if all(not needed or needed[-1] < place for place, needed in enumerate(reads)):
        return
    users: list[list[int]] = [[] for _ in reads]
    missing = [len(needed) for needed in reads]
    for place, needed in enumerate(reads):
        for each in needed:
            users[each].append(place)
    ready = [place for place, count in enumerate(missing) if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        order.append(place := heapq.heappop(ready))
        for user in users[place]:
            missing[user] -= 1
            if missing[user] == 0:
                heapq.heappush(ready, user)
    if len(order) < len(reads):
        stuck = next(place for place, count in enumerate(missing) if count)
        raise NetworkError(
            f"{path} is damaged: the tensor {graph.node[stuck].output[0]!r} is computed from "
            f"itself; export the network again"
        )
    nodes = [graph.node[place] for place in order]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _names(model: onnx.ModelProto) -> Iterator[str | bytes]:
    """All names in a network that are looked at: those that are not UTF-8 are bytes."""
    graph = model.graph
    yield graph.name
    for named in (*graph.input, *graph.output, *graph.initializer):
        yield named.name
    for sparse in graph.sparse_initializer:
        yield sparse.values.name
    for node in graph.node:
        yield node.op_type
        yield from names_read(node)
        yield from node.output
    for value in graph.input:
        yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    for entry in model.metadata_props:
        yield from (entry.key, entry.value)


def network_files(path: Path) -> list[Path]:
    """The file of a network, and those that hold its weights, if any.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        As `load_weights`.
    """
    model = onnx.load_model_from_string(read_file(path))
    return [path, *weight_files(model, path.parent)]


def _widen_image(graph: onnx.GraphProto, image: str) -> None:
    """Let a bfloat16 image be given as float32, which is then rounded: NumPy has no bfloat16."""
    tensor = next(value for value in graph.input if value.name == image).type.tensor_type
    if tensor.elem_type != onnx.TensorProto.BFLOAT16:
        return
    tensor.elem_type = onnx.TensorProto.FLOAT
    rounded = f"{image} as bfloat16"
    for node in graph.node:
        for each in _within(node):
            for place, name in enumerate(each.input):
                if name == image:
                    each.input[place] = rounded
    cast = onnx.helper.make_node("Cast", [image], [rounded], to=onnx.TensorProto.BFLOAT16)
    graph.node.insert(0, cast)


def _empty_like(model: onnx.ModelProto) -> onnx.ModelProto:
    empty = onnx.ModelProto(ir_version=model.ir_version)
    empty.graph.name = model.graph.name
    return empty


def _within(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """A node, and those inside its branches and loop bodies."""
    yield node
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _within(inner)


def names_read(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, those read inside its branches and loop bodies included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from names_read(inner)
            yield from (output.name for output in graph.output)
