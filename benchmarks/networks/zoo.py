"""Real architectures: what compnn reads of the exported files and of the live modules.

Each is exported by both exporters of PyTorch. Its taps and its output are compared by value with
the module's own activations, a layer of each file is perturbed, and the live module is read beside
one of the files. What no tap holds is looked for among all tensors of the file, which compnn is
then asked about by name.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.networks import architectures, plain
from benchmarks.networks.reading import (
    NOT_EXPORTED,
    Row,
    Rows,
    checked,
    close,
    described,
    one_line,
    read_taps,
    same,
    verdict_of,
)
from compnn import OnnxNetwork, Preprocessing, TorchNetwork
from compnn.errors import CompnnError, LayerError

# Submodules that are read live, beside the file of one of the exporters.
_LIVE, _LIVE_BESIDE = 3, "script"
_SCALE = Preprocessing(range=(-1, 1))


@dataclass
class _File:
    """What was found in an exported file.

    `tap_of`: the tap that holds the result of a submodule, by the submodule's name.
    """

    network: OnnxNetwork
    tap_of: dict[str, str]


def rows(short: bool, kept: Rows) -> list[Row]:
    """Two rows for each architecture, one for each exporter."""
    found = []
    for architecture in architectures.ARCHITECTURES:
        if short and not architecture.short:
            continue
        try:
            module = architectures.make(architecture)
        except ImportError as error:
            print(f"{architecture.name} is left out: {error}", file=sys.stderr)
            continue
        for exporter in architectures.EXPORTERS:
            name = f"{architecture.name}, {exporter}"
            found.append(kept.row(name, partial(_row, architecture, module, exporter)))
    return found


def _row(
    architecture: architectures.Architecture,
    module: torch.nn.Module,
    exporter: str,
) -> Row:
    name = f"{architecture.name}, {exporter}"
    pixels = architectures.picture(architecture.size)
    image = architectures.as_input(pixels)
    truth = architectures.activations(module, image)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{architecture.name}-{exporter}.onnx"
        try:
            architectures.export(module, image, path, exporter)
        except Exception as error:  # PyTorch's own; there is no file to read then
            reason = one_line(str(error)).split(".")[0]
            return Row(name, ("",) * 5, f"{NOT_EXPORTED}: {reason}")
        faults: list[str] = []
        reasons: set[str] = set()
        cells = ("",) * 5
        try:
            file, taps, output = _compared(path, pixels, truth, faults)
            suggested = file.network.suggestion().layers
            # Another one of the two files: maps do not depend on who has written them.
            place = -1 if exporter == _LIVE_BESIDE else len(suggested) // 2
            seen = checked(file.network, suggested[place:][:1])
            reasons |= seen.reasons
            faults += seen.faults
            cells = (taps, output, *seen.cells(), "-")
            if exporter == _LIVE_BESIDE:
                cells = (*cells[:4], _live(module, file, pixels, truth, faults))
        except Exception as error:  # what this program looks for
            return Row(name, cells, described(error))
    return Row(name, cells, verdict_of(faults), tuple(sorted(reasons)))


def _compared(
    path: Path,
    pixels: npt.NDArray[np.uint8],
    truth: dict[str, npt.NDArray[np.float32]],
    faults: list[str],
) -> tuple[_File, str, str]:
    """Compare taps and output with the module's; says how many agree, and what the output is."""
    network = OnnxNetwork(path, preprocessing=_SCALE)
    outputs = {name: value for name, value in truth.items() if name.startswith("output")}
    modules = {name: value for name, value in truth.items() if name not in outputs}
    tap_of: dict[str, str] = {}
    for tap, values in read_taps(network, pixels, [layer.name for layer in network.taps()]):
        tap_of |= {name: tap for name, value in modules.items() if same(value, values)}
    kinds: Counter[str] = Counter()
    absent = {name: value for name, value in modules.items() if name not in tap_of}
    if absent:
        image = pixels[np.newaxis].astype(np.float32) / 127.5 - 1
        inside = plain.tensors(path, image)
        for name, value in absent.items():
            kinds[_why_absent(network, pixels, name, value, inside, faults)] += 1
    taps = f"{len(tap_of)} of {len(modules)}"
    if kinds:
        taps += f" ({', '.join(f'{count} {kind}' for kind, count in kinds.items())})"
    painted = network.read(pixels, [], output=True).output
    said = "none"
    if painted is not None:
        right = any(same(value, painted) for value in outputs.values())
        said = "agrees" if right else "another"
        faults += [] if right else ["its output is another"]
    return _File(network, tap_of), taps, said


def _why_absent(
    network: OnnxNetwork,
    pixels: npt.NDArray[np.uint8],
    name: str,
    value: npt.NDArray[np.float32],
    inside: dict[str, npt.NDArray[np.generic]],
    faults: list[str],
) -> str:
    """Why no tap holds what a submodule gives, in two words; a tap that should is a fault."""
    holds = [
        tensor
        for tensor, values in inside.items()
        if values.size == value.size
        and np.issubdtype(values.dtype, np.floating)
        and close(np.sort(value, axis=None), np.sort(values, axis=None).astype(np.float32))
    ]
    if not holds:
        return "not in the file"
    whys = set()
    for tensor in holds:
        try:
            shape = network.tap_shape(tensor)
        except LayerError as error:
            whys.add(str(error).split(": it ")[-1])
            continue
        if shape[:2] != (1, 1):
            faults.append(f"tap {tensor} is not what {name} gives")
            whys.add("other numbers")
            continue
        read = network.read(pixels, [tensor]).taps[tensor]
        if not close(value.ravel(), read.ravel()):
            faults.append(f"vector {tensor} is not what {name} gives")
        whys.add("a vector")
    for words, kind in (
        ("a vector", "a vector"),
        ("attention", "attention"),
        ("heads", "of heads"),
        ("windows", "of windows"),
        ("pooled", "pooled"),
    ):
        if any(words in why for why in whys):
            return kind
    return sorted(whys)[0]


def _live(
    module: torch.nn.Module,
    file: _File,
    pixels: npt.NDArray[np.uint8],
    truth: dict[str, npt.NDArray[np.float32]],
    faults: list[str],
) -> str:
    """Read a few submodules of the live module beside the taps of the file that hold the same."""
    names = list(file.tap_of)
    places = np.linspace(0, len(names) - 1, min(_LIVE, len(names))).round()
    chosen = [names[int(place)] for place in places]
    size = pixels.shape[0], pixels.shape[1]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            network = TorchNetwork(module, chosen, size=size, range=(-1, 1))
            reading = network.read(pixels, chosen, output=True)
        except CompnnError as error:
            return f"refused: {one_line(str(error))}"
    by_sizes = any("told by their sizes only" in str(each.message) for each in said)
    in_file = file.network.read(pixels, [file.tap_of[name] for name in chosen]).taps
    for name in chosen:
        tap = file.tap_of[name]
        if reading.taps[name].shape != in_file[tap].shape or not close(
            in_file[tap], reading.taps[name]
        ):
            faults.append(f"live {name} is not what the file's {tap} is")
        live, exported = network.layer(name).geometry, file.network.layer(tap).geometry
        if live.looks != exported.looks and not (by_sizes or live.note or exported.note):
            faults.append(f"live {name} looks at {live.looks}, in the file at {exported.looks}")
    outputs = [value for name, value in truth.items() if name.startswith("output")]
    if reading.output is not None and not any(same(value, reading.output) for value in outputs):
        faults.append("its live output is another")
    return f"{len(chosen)} agree" + (", by sizes" if by_sizes else "")
