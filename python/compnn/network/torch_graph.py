"""The ONNX graph of a PyTorch module, in which the results of submodules have names."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch

from compnn.errors import NetworkError
from compnn.network.torch_runs import Record, home_of, recording, tensors_in

INPUT = "image"


class _Tapped(torch.nn.Module):  # type: ignore[misc]
    """A module that gives the results of calls of its submodules, then some of its own tensors."""

    def __init__(
        self,
        module: torch.nn.Module,
        calls: Sequence[tuple[str, int]],
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        self.module, self.calls, self.outputs = module, calls, outputs

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        record = Record(self.calls)
        with recording(self.module, record):
            found = dict(tensors_in(self.module(image)))
        for path, _ in set(self.calls) - record.tensors.keys():
            # As of modules that ask `torch.onnx.is_in_onnx_export()`.
            raise NetworkError(
                f"{path!r} is called when it runs, but not when it is exported; leave it out of "
                f"the layers"
            )
        results = [*(record.tensors[call] for call in self.calls), *map(found.get, self.outputs)]
        return tuple(results)


def graph_of(
    module: torch.nn.Module,
    image: torch.Tensor,
    taps: Mapping[str, tuple[str, int]],
    outputs: Sequence[str],
    *,
    newest_first: bool,
    free_size: bool = False,
    opset: int | None = None,
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Export a module, in float32.

    Parameters
    ----------
    module
        It is left as it is.
    image
        float32 (1, C, H, W).
    taps
        The calls of submodules whose results are to have names, by name.
    outputs
        Which tensors of its result are outputs, by the names that they have (see `tensors_in`).
    newest_first
        Whether the newer exporter is tried first, then the older one, or the other way round.
    free_size
        Whether height and width are left free.
    opset
        Version of the operators; default: the exporter's.

    Returns
    -------
    The model, and the tensor that each tap is: of its own name, unless two taps are one tensor, or
    an output has the name.

    Raises
    ------
    NetworkError
        When neither exporter can.
    """
    device, dtype = home_of(module)
    results = [f"tap_{place}" for place in range(len(taps))]
    reasons = []
    for dynamo in (newest_first, not newest_first):
        try:
            plain = module
            if (device.type, dtype) != ("cpu", torch.float32):
                plain = copy.deepcopy(module).to("cpu", torch.float32)
            tapped = _Tapped(plain, list(taps.values()), outputs)
            tapped.training = False  # not `eval`, which is for the submodules, too, and for good
            with recording(plain, Record(())):
                model = _exported(tapped, image, [*results, *outputs], dynamo, free_size, opset)
        except NetworkError as error:  # of `_Tapped`
            raise NetworkError(
                f"PyTorch cannot export {type(module).__name__} to ONNX: {error}"
            ) from error
        except Exception as error:  # exporters raise whatever they like
            reason = (str(error).strip().splitlines() or [""])[0]
            reasons.append(f"{type(error).__name__}: {reason}")
            continue
        return model, _name_taps(model.graph, dict(zip(taps, results, strict=True)))
    raise NetworkError(
        f"PyTorch cannot export {type(module).__name__} to ONNX: {'; '.join(reasons)}"
    )


def _exported(
    module: torch.nn.Module,
    image: torch.Tensor,
    results: Sequence[str],
    dynamo: bool,
    free_size: bool,
    opset: int | None,
) -> onnx.ModelProto:
    free: dict[str, object] = {}
    if free_size and dynamo:
        auto = torch.export.Dim.AUTO
        free = {"dynamic_shapes": ({2: auto, 3: auto},)}
    elif free_size:
        free = {"dynamic_axes": {INPUT: {2: "height", 3: "width"}}}
    with TemporaryDirectory() as folder, _quiet(), torch.no_grad():
        path = Path(folder) / "net.onnx"
        torch.onnx.export(
            module,
            (image,),
            str(path),
            input_names=[INPUT],
            output_names=list(results),
            opset_version=opset,
            dynamo=dynamo,
            verbose=False,
            **free,
        )
        return onnx.load(str(path))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters speak on every channel there is."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _name_taps(graph: onnx.GraphProto, results: Mapping[str, str]) -> dict[str, str]:
    """Give tensors inside a graph the names of taps, which are outputs of it no longer.

    What only repeats a tensor stands beside the path to the output: the tensor itself is the tap.
    """
    repeated = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Identity" and node.domain in ("", "ai.onnx")
    }
    tensors: dict[str, str] = {}
    names: dict[str, str] = {}
    for tap, tensor in results.items():
        while tensor in repeated:
            tensor = repeated[tensor]
        tensors[tap] = tensor
        names.setdefault(tensor, tap)
    outputs = [each for each in graph.output if each.name not in set(results.values())]
    del graph.output[:]
    graph.output.extend(outputs)
    ends = {each.name for each in outputs}
    fixed = {each.name for each in [*graph.input, *graph.initializer]}
    computed = {
        tensor: f"{tap}_" if tap in ends | {INPUT} else tap
        for tensor, tap in names.items()
        if tensor not in fixed
    }
    # Other tensors make room for the names.
    taken = {name for node in graph.node for name in node.output} | fixed | ends
    new = dict(computed)
    for name in sorted((set(computed.values()) & taken) - set(computed)):
        free = name
        while free in taken or free in computed.values():
            free += "_"
        new[name] = free
    _rename(graph, lambda name: new.get(name, name))
    for tensor in [each for each in computed if each in ends]:
        # An output keeps its name, and repeats the tap.
        graph.node.append(onnx.helper.make_node("Identity", [new[tensor]], [tensor]))
        for each in graph.output:
            if each.name == new[tensor]:
                each.name = tensor
    _drop_unused(graph)
    return {tap: new.get(tensor, tensor) for tap, tensor in tensors.items()}


def _rename(graph: onnx.GraphProto, name_of: Callable[[str], str]) -> None:
    for value in [*graph.input, *graph.output, *graph.initializer, *graph.value_info]:
        value.name = name_of(value.name)
    for node in graph.node:
        node.input[:] = map(name_of, node.input)
        node.output[:] = map(name_of, node.output)
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                if inner.node:
                    _rename(inner, name_of)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Drop what repeated taps, and is read by nobody now."""
    read = {name for node in graph.node for name in node.input}
    read |= {each.name for each in graph.output}
    inner = {attribute.type for node in graph.node for attribute in node.attribute}
    if onnx.AttributeProto.GRAPH in inner:  # inner graphs may read anything
        return
    nodes = [n for n in graph.node if n.op_type != "Identity" or n.output[0] in read]
    del graph.node[:]
    graph.node.extend(nodes)
