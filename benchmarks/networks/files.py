"""The tiny networks of ../shared/data/networks: what is right of each, and what compnn reads.

What is right stands in the README of that folder. Every tap of a file is compared with what ONNX
Runtime alone computes, every map is perturbed, and a bank of one pair is built, which paints.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

import compnn
from benchmarks.networks import plain
from benchmarks.networks.reading import (
    Row,
    Rows,
    checked,
    described,
    one_line,
    read_taps,
    same,
    verdict_of,
)
from compnn import Kind, Labels, OnnxNetwork, OutputChoice, Palette, Photo, Preprocessing, Values

Size: TypeAlias = tuple[int, int]

_HALF = Fraction(1, 2)
# Images for networks of any size.
_ANY_SIZE = (96, 128)
# A file that is larger is a real network: one of its layers is perturbed, for each takes long.
_TINY = 1 << 20
# Of numbers in [0, 1].
_LAST_BITS = 1e-6


def _strided(stride: int) -> tuple[Fraction, Fraction]:
    """Scale and offset after 3x3 convolutions of stride 2, padding 1: cell 0 stays at pixel 0."""
    return Fraction(stride), _HALF - Fraction(stride, 2)


def _classes(count: int) -> Labels:
    colours = [(i, i, 255 - i) for i in range(count)]
    names = tuple(f"class {i}" for i in range(count))
    return Labels(Palette(f"{count} classes", names, np.array(colours, np.uint8)))


_ENCODERS = {"e1": _strided(2), "e2": _strided(4)}
_ELEVEN = _classes(11)


@dataclass(frozen=True)
class Expected:
    """What is right of one file.

    Attributes
    ----------
    right
        In words, for the table.
    output
        A part of what compnn says of its output.
    kind
        What the targets are.
    looks
        (scale, offset) of taps, rows and columns alike, at every one of `sizes`.
    grids
        Rows and columns of taps.
    no_taps
        What is no map, and may not be listed as one.
    refused
        What a refusal says where that is right: when the file is opened, or a bank of it built.
    range, size, choice, values
        What the user gives.
    sizes
        Of images; default: what the network takes.
    layers
        Of the bank. Default: the last tap that takes a hyperpatch.
    """

    right: str
    output: str = "11 classes, logits"
    kind: Kind = _ELEVEN
    looks: Mapping[str, tuple[Fraction, Fraction]] = field(default_factory=lambda: _ENCODERS)
    grids: Mapping[str, Size] = field(default_factory=dict)
    no_taps: Sequence[str] = ()
    refused: str = ""
    range: tuple[float, float] | None = (0, 1)
    size: Size | None = None
    choice: OutputChoice | None = None
    values: Mapping[str, float] | None = None
    sizes: Sequence[Size] = ()
    layers: Sequence[str] = ()


_HARMLESS = Expected("works as plain")
_LABELS = Expected("label maps", "label maps")
_BRANCH = Expected("works, maps by sizes", looks={"e1": _strided(2)})
_TOKENS = {"block_0": (Fraction(16), Fraction(0))}
_WINDOWS = Expected("blk is 12x16 cells of 16", looks=_ENCODERS, grids={"blk": (12, 16)})


def _refused(right: str, message: str) -> Expected:
    return Expected(right, refused=message)


def _valid(stride: int, offset: int) -> tuple[Fraction, Fraction]:
    return Fraction(stride), Fraction(offset)


EXPECTED: dict[str, tuple[Expected, ...]] = {
    **dict.fromkeys(
        (
            *("plain", "ir13", "local_function", "sequence_out", "postprocess_nonzero"),
            *("five_d", "odd_names", "external_ok", "second_input_default", "input_1ch"),
            *("opset_extra_domain", "unsorted_cast", "qdq", "nhwc_io", "nhwc_out"),
            *("bf16_input", "batch_named", "no_shape", "dims_minus1"),
            *("unknown_op_after", "free_channels", "fixed_batch4", "input_4ch"),
        ),
        (_HARMLESS,),
    ),
    "uint8_input": (Expected("works as plain", range=None),),
    "qdq": (Expected("works", looks={"d1": _strided(2), "d4": _strided(4)}),),
    "loop": (_BRANCH,),
    "if_branch": (_BRANCH,),
    **dict.fromkeys(
        ("argmax_float_4d", "argmax_i64_3d", "argmax_i64_4d", "argmax_u8_3d"), (_LABELS,)
    ),
    "r5_free": (
        Expected(
            "strides 2 to 32, true centres, any size",
            looks={f"s{stride}": _strided(stride) for stride in (2, 4, 8, 16, 32)},
            sizes=((256, 256), (100, 100), (97, 375)),
        ),
    ),
    "stride3_valid": (
        Expected(
            "strides 3, 3, 3 and offsets",
            looks={"s3": _valid(3, 1), "v5": _valid(3, 7), "v5b": _valid(3, 13)},
        ),
    ),
    "dyn_reshape": (
        _refused("other sizes: the one that works", r"--size 48x64"),
        Expected("works at that size", size=(48, 64)),
    ),
    "output_quarter": (Expected("enlarged before arg-max", grids={"logits": (12, 16)}),),
    "output_x2": (
        Expected("photo of twice the size", "colours", Photo(), {}, grids={"y": (96, 128)}),
    ),
    "binary_bool": (Expected("binary", "one class, above 0.5", _classes(2)),),
    "binary_sigmoid": (Expected("binary", "one class, above 0.5", _classes(2)),),
    "depth_3d": (Expected("values", "values in m", Values("m")),),
    "depth_4d": (Expected("values", "values in m", Values("m")),),
    "three_class": (
        Expected("labels", "3 classes, logits", _classes(3)),
        Expected("another palette: an error", refused="tells 3 classes apart"),
    ),
    "classes21": (
        Expected("labels", "21 classes, logits", _classes(21)),
        Expected("another palette: an error", refused="tells 21 classes apart"),
    ),
    "aux_first": (
        Expected("logits, both named", "'logits': 11 classes, logits; of the outputs 'aux'"),
        Expected("aux, where chosen", "'aux': 11 classes", choice=OutputChoice("aux")),
    ),
    "features_only": (Expected("no output, works", "no output"),),
    "no_output_4d": (Expected("no output, works", "no output"),),
    "vit_backbone": (
        Expected(
            "block_0 is 4x6, no output",
            "no output",
            looks=_TOKENS,
            grids={"block_0": (4, 6)},
            no_taps=("attn", "score"),
        ),
    ),
    "vit_prefix0": (
        Expected("block_0 is 4x6", looks=_TOKENS, grids={"block_0": (4, 6)}, no_taps=("attn",)),
    ),
    "vit_prefix1": (
        Expected("block_0 is 4x6", looks=_TOKENS, grids={"block_0": (4, 6)}, no_taps=("attn",)),
    ),
    "nan_output": (
        Expected(
            "NaN: names output, image", refused="output of nan_output.* for random", layers=("e2",)
        ),
    ),
    "fp16_overflow": (
        Expected("works"),
        Expected("infinity: names layer, image", refused="e2inf.* for random", layers=("e2inf",)),
    ),
    "channels_last_one_window": (_WINDOWS,),
    "channels_last_windows": (
        Expected("blk is 12x16, windows no taps", grids={"blk": (12, 16)}, no_taps=("w6", "win")),
    ),
    "second_input_optional_mask": (
        Expected("taps work; output needs m", "'m'"),
        Expected("m is set", values={"m": 1.0}),
    ),
    "unknown_op_output": (Expected("taps work", "no output.*MyPost"),),
    "ir99": (_refused("says what to upgrade", "upgrade onnxruntime"),),
    "opset99": (_refused("says what to upgrade", "upgrade onnxruntime"),),
    "duplicate_names": (_refused("names the tensor", "the tensor 'e2'"),),
    "external_moved": (_refused("names the file", "fx_external_moved.data"),),
    "external_short": (_refused("names the file", "fx_external_short.data"),),
}


def rows(folder: Path, kept: Rows) -> list[Row]:
    """One row for each expectation of each file; files that nobody expects are read, too."""
    return [
        kept.row(f"{path.stem} {place}", partial(_row, path, expected))
        for path in sorted(folder.glob("*.onnx"))
        for place, expected in enumerate(EXPECTED.get(path.stem, (None,)))
    ]


def _row(path: Path, expected: Expected | None) -> Row:
    reasons: set[str] = set()
    right = "" if expected is None else expected.right
    cells = (right, "", "", "", "")
    try:
        network = _opened(path, expected)
        texts, faults = _read(network, path, expected, reasons)
        cells = (right, *texts)
        if expected is not None:
            faults += _facts(network, expected)
            faults += _built(network, expected)
    except Exception as error:  # what this program looks for
        verdict = described(error)
        if expected is not None and verdict.startswith("refused"):
            if not expected.refused:
                verdict = f"WRONG: {verdict}, though it can be read"
            elif not re.search(expected.refused, verdict):
                verdict = f"WRONG: {verdict}, which names no remedy for that"
        return Row(path.stem, cells, verdict, tuple(sorted(reasons)))
    if expected is not None and expected.refused:
        faults.append("it is not refused")
    return Row(path.stem, cells, verdict_of(faults), tuple(sorted(reasons)))


def _opened(path: Path, expected: Expected | None) -> OnnxNetwork:
    given = expected or Expected("")
    return OnnxNetwork(
        path,
        preprocessing=Preprocessing(range=given.range, size=given.size),
        output=given.choice,
        values=given.values,
    )


def _read(
    network: OnnxNetwork, path: Path, expected: Expected | None, reasons: set[str]
) -> tuple[tuple[str, str, str, str], list[str]]:
    """Cells of the table, and what is wrong: taps and output by value, maps by perturbing."""
    faults = []
    names = [network.tensor(layer.name) for layer in network.taps()]
    pixels = _pixels(network)
    image = (pixels[np.newaxis, ..., : network.input_channels] / 255).astype(np.float32)
    if network.preprocessing.range == (0, 1):
        # To the last bit, which matters to SegNet: it compares numbers for equality.
        given = network.preprocessing.apply(pixels[np.newaxis], network.input_channels)
        given = np.asarray(given, np.float32).transpose(0, 2, 3, 1)
        if float(np.abs(given - image).max()) > _LAST_BITS:
            faults.append("its input is another")
        image = given
    values = None if expected is None else expected.values
    end = [] if network.output_name is None else [network.output_name]
    truth = plain.tensors(path, image, {*names, *end}, values)
    compared = [name for name in names if name in truth]
    for name, tap in read_taps(network, pixels, compared):
        if not same(truth[name], tap):
            faults.append(f"tap {name} holds other numbers")
    taps = f"{len(compared)} of {len(names)}"
    described_as = "none"
    if network.output_name is not None:
        output = network.read(pixels, [], output=True).output
        if output is None or not same(truth[network.output_name], output):
            faults.append("its output is another")
    kind: Kind = Photo() if expected is None else expected.kind
    if (expected is not None and not expected.refused) or network.output_name is None:
        text = network.describe_output(kind)
        described_as = one_line(text).split(": ")[1].split(";")[0]
        described_as = "none" if text.startswith("no output") else described_as
        if expected is not None and not re.search(expected.output, text):
            faults.append(f"its output is described as {text}")
    elif network.output_name is not None:
        described_as = "the same numbers"
    layers = names
    if path.stat().st_size > _TINY:
        layers = list(network.layers) if network.names_layers else list(network.suggestion().layers)
        layers = layers[-1:]
    seen = checked(network, layers)
    reasons |= seen.reasons
    return (taps, *seen.cells(), described_as), faults + seen.faults


def _facts(network: OnnxNetwork, expected: Expected) -> list[str]:
    """What is wrong of where taps look, how many cells they have, and which there are."""
    faults = []
    for size in expected.sizes or (network.input_size or _ANY_SIZE,):
        for name, (scale, offset) in expected.looks.items():
            for axis in network.layer(name, size).geometry.looks:
                if (axis.scale, axis.offset) != (scale, offset):
                    faults.append(f"{name} looks at {axis}, not {scale}u + {offset}")
    for name, grid in expected.grids.items():
        if network.tap_shape(name)[:2] != grid:
            faults.append(f"{name} is {network.tap_shape(name)}, not {grid}")
    listed = {layer.name for layer in network.taps()}
    faults += [f"{name} is listed, but is no map" for name in expected.no_taps if name in listed]
    return faults


class _OnePair(compnn.Dataset):
    """A random picture, and a target of the output's size."""

    def __init__(self, network: OnnxNetwork, kind: Kind) -> None:
        self._pixels, self._kind = _pixels(network), kind
        self._size = network.output_size(self._pixels.shape[:2])
        super().__init__(["random"], target_kind=kind)

    def read(self, name: str) -> compnn.Pair:
        rng = np.random.default_rng(2)
        target: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
        match self._kind:
            case Labels():
                target = rng.integers(0, len(self._kind.palette), self._size).astype(np.uint8)
            case Values():
                target = rng.random(self._size, np.float32)
            case _:
                target = rng.integers(0, 256, (*self._size, 3), np.uint8)
        return compnn.Pair(name, self._pixels, target)


def _built(network: OnnxNetwork, expected: Expected) -> list[str]:
    """Build a bank of one pair, for which the network must run and paint."""
    if network.image_channels != 3:
        return []
    layers = list(expected.layers) or [network.suggestion().layers[-1]]
    opened = _opened(network.path, expected)
    opened.layers = {name: opened.layer(name) for name in layers}
    with tempfile.TemporaryDirectory() as folder:
        bank = compnn.build(Path(folder) / "one.bank", opened, _OnePair(network, expected.kind))
        count = len(bank)
        bank.close()
    return [] if count == 1 else [f"its bank has {count} images"]


def _pixels(network: OnnxNetwork) -> npt.NDArray[np.uint8]:
    """A picture of random pixels; grey where the network takes one channel."""
    size = network.input_size or _ANY_SIZE
    rng = np.random.default_rng(1)
    if network.input_channels == 1:
        return np.repeat(rng.integers(0, 256, (*size, 1), np.uint8), 3, axis=2)
    return rng.integers(0, 256, (*size, network.image_channels), np.uint8)
