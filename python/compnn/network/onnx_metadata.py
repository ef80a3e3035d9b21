"""What a network's ONNX file says about itself: its input, its output, named layers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

import onnx

from compnn.errors import NetworkError
from compnn.network.geometry import TokenGrid
from compnn.network.output import OutputChoice, OutputKind
from compnn.network.preprocessing import Preprocessing


@dataclass(frozen=True)
class Metadata:
    """The metadata of an ONNX file that compnn understands.

    Keys: `layers` (names, separated by commas, or a JSON list), `descriptor` (a name),
    `input_range` and `output_range` ("[lo, hi]"), `mean` and `std` ("[...]", of values in [0, 1]),
    `channel_order` (RGB or BGR), `input_layout` (NCHW or NHWC), `output` (a name), `output_kind`
    (see `OutputKind`), `output_threshold` (a number), `grids` (a JSON object: by tensor of tokens
    "HxW+N", see `TokenGrid`).
    """

    layers: tuple[str, ...]
    descriptor: str | None
    preprocessing: Preprocessing
    input_layout: str | None
    output: OutputChoice
    grids: Mapping[str, TokenGrid]


def read_metadata(model: onnx.ModelProto, file: str) -> Metadata:
    """Read the metadata of `model`; `file` names it in messages.

    Raises
    ------
    NetworkError
        When a value cannot be read.
    """
    values = {entry.key: entry.value for entry in model.metadata_props}

    def numbers(key: str, count: int | None = None) -> tuple[float, ...] | None:
        if key not in values:
            return None
        try:
            parsed = tuple(float(number) for number in json.loads(values[key]))
        except (TypeError, ValueError, OverflowError, RecursionError):
            parsed = ()
        if not parsed or (count is not None and len(parsed) != count):
            raise NetworkError(
                f"{file}: metadata {key} is {values[key]!r}; it must be a list of numbers such as "
                f'"[-1, 1]"'
            )
        return parsed

    def pair(key: str) -> tuple[float, float] | None:
        parsed = numbers(key, count=2)
        return None if parsed is None else (parsed[0], parsed[1])

    def one_of(key: str, known: tuple[str, ...]) -> str | None:
        if key in values and values[key] not in known:
            raise NetworkError(
                f"{file}: metadata {key} is {values[key]!r}; it must be "
                f"{', '.join(known[:-1])} or {known[-1]}"
            )
        return values.get(key)

    input_range, output_range = pair("input_range"), pair("output_range")
    mean, std = numbers("mean"), numbers("std")
    try:
        Preprocessing(range=output_range)
        preprocessing = Preprocessing(
            channel_order=values.get("channel_order"), range=input_range, mean=mean, std=std
        )
    except NetworkError as error:
        raise NetworkError(f"{file}: in its metadata, {error}") from None
    return Metadata(
        _layers(values.get("layers", ""), file),
        values.get("descriptor"),
        preprocessing,
        one_of("input_layout", ("NCHW", "NHWC")),
        OutputChoice(
            values.get("output"),
            cast(OutputKind | None, one_of("output_kind", get_args(OutputKind))),
            output_range,
            _number(values.get("output_threshold"), file),
        ),
        _grids(values.get("grids", "{}"), file),
    )


def _number(text: str | None, file: str) -> float | None:
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise NetworkError(f"{file}: metadata output_threshold is {text!r}; it must be a number")
    return found


def _grids(text: str, file: str) -> dict[str, TokenGrid]:
    try:
        return {name: TokenGrid.parse(grid) for name, grid in json.loads(text).items()}
    except (AttributeError, TypeError, ValueError, RecursionError):
        raise NetworkError(
            f"{file}: metadata grids is {text!r}; it must be a JSON object such as "
            f'{{"block_5": "14x14+1"}}'
        ) from None


def _layers(text: str, file: str) -> tuple[str, ...]:
    if not text.lstrip().startswith("["):
        return tuple(name.strip() for name in text.split(",") if name.strip())
    try:
        return tuple(str(name) for name in json.loads(text))
    except (ValueError, RecursionError):
        raise NetworkError(
            f"{file}: metadata layers is {text!r}; it must be names separated by commas"
        ) from None
