"""Names of modules in ONNX files that PyTorch wrote: which tensor is the result of which.

The exporter of today writes into each node in which modules it was (`pkg.torch.onnx.name_scopes`,
of nodes whose tensors are called `relu_24`), the older one into its name (`/u2/c/c.5/Relu`).
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"
# It is anybody's text, in the form of a Python list.
_LONGEST_TEXT, _DEEPEST = 10_000, 64
# The older exporter renames weights that it has changed, such as those of a convolution that has
# taken the batch normalisation after it in: the result is not that of the convolution any more.
_CHANGED_WEIGHT = "onnx::"
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm"}


class ModuleNames:
    """Paths of modules ("u2", "u2.c.5"), and the tensors that are their results.

    Parameters
    ----------
    graph
        Its nodes are in an order in which they can run.
    values
        Tensors that are computed from the values of the image.

    Attributes
    ----------
    results
        By path the one tensor that leaves the module; of several (a module that gives a tuple) the
        last. A path that is a tensor's own name is that.
    repeated
        By path of a module that runs several times: the tensors that it gives.
    """

    def __init__(self, graph: onnx.GraphProto, values: Collection[str]) -> None:
        self.results: dict[str, str] = {}
        self.repeated: dict[str, list[str]] = {}
        inside: defaultdict[str, list[int]] = defaultdict(list)
        for place, node in enumerate(graph.node):
            for path in _paths(node):
                inside[path].append(place)
        if not inside:
            return
        own = {name for node in graph.node for name in node.output}
        own |= {value.name for value in graph.input}
        users = _users(graph)
        values = set(values)
        for path, places in inside.items():
            leaving = _leaving(graph, places, users, values)
            if not leaving or path in own:
                continue
            if _returns(graph, places):
                self.repeated[path] = leaving
            else:
                self.results[path] = leaving[-1]

    def shown(self) -> dict[str, str]:
        """By tensor the path that it is shown by: of the outermost module whose result it is."""
        found: dict[str, str] = {}
        for path, tensor in self.results.items():
            found[tensor] = min(found.get(tensor, path), path, key=lambda each: (len(each), each))
        return found


def _paths(node: onnx.NodeProto) -> Iterator[str]:
    """The modules that a node is in, from the outermost."""
    text = next((each.value for each in node.metadata_props if each.key == _SCOPES), None)
    paths = _paths_of_path(node) if text is None else _paths_of_text(text)
    weight = node.input[1] if node.op_type in _WEIGHTED and len(node.input) > 1 else ""
    if text is None and weight.startswith(_CHANGED_WEIGHT):
        paths = paths[:-1]
    yield from paths


def _paths_of_text(text: str) -> Sequence[str]:
    """Of "['', 'u2', 'u2.c', 'relu']": the first is the whole network, the last the function."""
    if len(text) > _LONGEST_TEXT:
        return []
    try:
        scopes = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        return []
    paths = [scope for scope in scopes[:-1] if scope][:_DEEPEST]
    nested = zip(["", *paths], paths, strict=False)
    # Modules that are used from elsewhere (tied ones) stand under no path of their own.
    return paths if all(inner.startswith(f"{o}." * bool(o)) for o, inner in nested) else paths[:1]


def _paths_of_path(node: onnx.NodeProto) -> Sequence[str]:
    """Of "/u2/c/c.5/Relu": a child of a sequence has the name of that before its own."""
    first, *segments, last = node.name.split("/") if node.name.count("/") > 1 else [" ", ""]
    if first or len(segments) > _DEEPEST or not re.fullmatch(f"{node.op_type}(_[0-9]+)?", last):
        return []
    paths: list[str] = []
    for segment in segments:
        outer = paths[-1] if paths else ""
        head, dot, rest = segment.partition(".")
        if dot and outer.rpartition(".")[2] == head:
            segment = rest
        paths.append(f"{outer}.{segment}" if outer else segment)
    return paths


def _users(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """The places of the nodes that read a tensor; that of the end for the graph's outputs."""
    users: defaultdict[str, list[int]] = defaultdict(list)
    for place, node in enumerate(graph.node):
        for name in node.input:
            users[name].append(place)
    for output in graph.output:
        users[output.name].append(len(graph.node))
    return users


def _leaving(
    graph: onnx.GraphProto,
    places: Sequence[int],
    users: dict[str, list[int]],
    values: Collection[str],
) -> list[str]:
    """The tensors of some nodes that are read by others."""
    members = set(places)
    return [
        name
        for place in places
        for name in graph.node[place].output
        if name in values and not members.issuperset(users.get(name, ()))
    ]


def _returns(graph: onnx.GraphProto, places: Sequence[int]) -> bool:
    """Whether what some nodes give comes back to them by way of others: the module runs again."""
    first, last = places[0], places[-1]
    if last - first + 1 == len(places):
        return False
    members, inside, outside = set(places), set[str](), set[str]()
    for place in range(first, last + 1):
        node = graph.node[place]
        if place in members:
            if not outside.isdisjoint(node.input):
                return True
            inside.update(node.output)
        elif not (inside.isdisjoint(node.input) and outside.isdisjoint(node.input)):
            outside.update(node.output)
    return False
