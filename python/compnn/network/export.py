"""Writing a PyTorch module as an ONNX file that says what compnn asks: layers, input, output."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch

from compnn.errors import LayerError, NetworkError, OutputError
from compnn.network.geometry import Size
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice, OutputKind
from compnn.network.preprocessing import Preprocessing, image_channels
from compnn.network.torch import TorchNetwork
from compnn.network.torch_graph import graph_of
from compnn.network.torch_runs import home_of

# Of the largest number.
_TOLERANCE = 1e-3
# Bytes; protobuf takes 2 GB in all.
_MOST_INLINE = (1 << 31) - (1 << 26)


def export(
    module: torch.nn.Module,
    path: str | Path,
    *,
    layers: Mapping[str, str] | Sequence[str],
    size: tuple[int, int],
    descriptor: str | None = None,
    free_size: bool = False,
    range: tuple[float, float] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channel_order: str | None = None,
    output: OutputChoice | str | int | None = None,
    output_kind: OutputKind | None = None,
    opset: int | None = None,
) -> Path:
    """Write a module as an ONNX file with named layers, and compare it with the module.

    The tensors that are layers have the layers' names, and the file's metadata says what the
    layers, the descriptor, the input and the output are. It is written in float32, by PyTorch's
    newer exporter, or by the older one where that fails. Weights beyond 2 GB are in `<path>.data`.

    Parameters
    ----------
    module, layers, descriptor, range, mean, std, channel_order, output, output_kind
        As in `TorchNetwork`; the module is left as it is.
    path
        The file; one that is there is replaced, unless something fails.
    size
        (height, width) of the images.
    free_size
        Whether images of other sizes are taken, too.
    opset
        Version of ONNX's operators; default: the exporter's.

    Returns
    -------
    `path`.

    Raises
    ------
    NetworkError
        When PyTorch cannot export the module, or ONNX Runtime computes something else from the
        file: a layer or the output differs by more than 1e-3 of its largest number.
    LayerError
        When there is no such submodule, or two layers are one tensor.
    OutputError
        When the file cannot be written.
    """
    path = Path(path)
    device, dtype = home_of(module)
    if (device.type, dtype) != ("cpu", torch.float32):
        module = copy.deepcopy(module).to("cpu", torch.float32)
    live = TorchNetwork(
        module,
        layers,
        descriptor=descriptor,
        size=None if free_size else size,
        range=range,
        mean=mean,
        std=std,
        channel_order=channel_order,
        output=output,
        output_kind=output_kind,
    )
    taps = dict.fromkeys([*live.layers, *([descriptor] if descriptor else [])])
    end = live.output_name
    blank = torch.zeros(1, live.input_channels, *size)
    model, tensors = graph_of(
        module,
        blank,
        {name: live.call(name) for name in taps},
        live.results if end is None else [end],
        newest_first=True,
        free_size=free_size,
        opset=opset,
    )
    _check_names(live, tensors)
    _write_metadata(model, live, tensors)
    try:
        with TemporaryDirectory(dir=path.parent, prefix=".compnn-export-") as folder:
            written = Path(folder) / path.name
            _save(model, written)
            _compare(live, written, tensors, size, free_size)
            # Weights first: the file points to them.
            for each in sorted(Path(folder).iterdir(), key=lambda file: file == written):
                os.replace(each, path.parent / each.name)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}; check its folder"
        ) from error
    return path


def _check_names(live: TorchNetwork, tensors: Mapping[str, str]) -> None:
    for name in live.layers:
        if tensors[name] == name:
            continue
        other = tensors[name]
        if other in live.layers:
            raise LayerError(
                f"the layers {other!r} and {name!r} are one tensor of {live.name}; leave one out"
            )
        raise LayerError(
            f"layer {name!r} is the input of {live.name}, or has the name of its input or of an "
            f"output; give it another, as in `layers={{'decoder': 'up'}}`"
        )


def _write_metadata(model: onnx.ModelProto, live: TorchNetwork, tensors: Mapping[str, str]) -> None:
    scale, choice = live.preprocessing, live.output_choice
    facts: dict[str, object] = {
        "layers": list(live.layers),
        "input_range": scale.range,
        "mean": scale.mean,
        "std": scale.std,
        "output_range": choice.range,
        "output_threshold": choice.threshold,
    }
    texts = {key: json.dumps(value) for key, value in facts.items() if value is not None}
    texts["channel_order"] = scale.channel_order or "RGB"
    kind = choice.kind
    if live.output_name is None:
        kind = "none"
    else:
        texts["output"] = live.output_name
    if kind is not None:
        texts["output_kind"] = kind
    if live.descriptor is not None:
        texts["descriptor"] = tensors[live.descriptor]
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, texts)


def _save(model: onnx.ModelProto, path: Path) -> None:
    if sum(len(each.raw_data) for each in model.graph.initializer) <= _MOST_INLINE:
        onnx.save_model(model, path)
        return
    onnx.save_model(
        model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024
    )


def _compare(
    live: TorchNetwork, path: Path, tensors: Mapping[str, str], size: Size, free_size: bool
) -> None:
    """Compare a file with its module over noise; where any size is taken, at another size, too.

    Raises
    ------
    NetworkError
        When they differ.
    """
    scale: Preprocessing = replace(live.preprocessing, size=None)
    choice = replace(live.output_choice, name=live.output_name)
    file = OnnxNetwork(path, [], preprocessing=scale, output=choice)
    _compare_at(live, file, tensors, size)
    if not free_size:
        return
    height, width = size
    for other in ((height + 32, width + 32), (2 * height, 2 * width)):
        try:
            live.layer(next(iter(tensors)), other)
        except (LayerError, NetworkError):
            continue  # the module does not take this one
        _compare_at(live, file, tensors, other)
        return


def _compare_at(
    live: TorchNetwork, file: OnnxNetwork, tensors: Mapping[str, str], size: Size
) -> None:
    shape = (*size, image_channels(live.input_channels))
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    ours = live.read(noise, list(tensors), output=True)
    theirs = file.read(noise, list(tensors.values()), output=True)
    pairs = {repr(name): (ours.tap(name), theirs.tap(tensors[name])) for name in tensors}
    if ours.output is not None:
        assert theirs.output is not None
        pairs["the output"] = ours.output, theirs.output
    for what, (one, other) in pairs.items():
        same_shape = one.shape == other.shape
        largest = float(np.abs(one).max(initial=0))
        off = float(np.abs(one - other).max(initial=0)) if same_shape else np.inf
        if not off <= _TOLERANCE * largest:
            found = f"differs by {off:g} of {largest:g}" if same_shape else f"is {other.shape}"
            raise NetworkError(
                f"the exported file of {live.name} is not that module: for an image of "
                f"{size[0]}x{size[1]}, {what} {found}; use the live module (`TorchNetwork`), or "
                f"another `opset`"
                + (", or leave `free_size` out" if file.input_size is None else "")
            )
