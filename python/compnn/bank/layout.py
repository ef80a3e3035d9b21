"""Where a bank keeps what: file names, and the shape and dtype of every array."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import numpy.lib.format as npy

from compnn.network.layer import Layer

FORMAT = "compnn-bank"
FORMAT_VERSION = 2

MANIFEST_FILE = "manifest.json"
JOURNAL_FILE = "journal.jsonl"
INPUTS_FILE = "inputs.npy"
TARGETS_FILE = "targets.npy"
DESCRIPTORS_FILE = "descriptors.npy"
DESCRIPTOR_NORMS_FILE = "descriptor_norms.npy"

ACTIVATION_DTYPES = ("float16", "bfloat16", "float32", "int8")

# The header has one length whatever the number of images, so that it can be rewritten in place;
# a multiple of 64 keeps the data aligned.
HEADER_BYTES = 128
# File systems allow names of 255 bytes.
_LONGEST_NAME = 200


def partial_path(path: Path) -> Path:
    """Return the folder beside `path` in which the bank is built."""
    return path.with_name(path.name + ".partial")


def encode_layer(name: str) -> str:
    """Return a file name (without suffix) for a layer, with unsafe characters percent-encoded.

    Names that would be too long end in a digest instead.
    """
    encoded = quote(name, safe="")
    if len(encoded) <= _LONGEST_NAME:
        return encoded
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{encoded[: _LONGEST_NAME - len(digest) - 1]}~{digest}"


def activations_file(layer: str) -> str:
    """Return the file of a layer's activations, relative to the bank."""
    return f"activations/{encode_layer(layer)}.npy"


def norms_file(layer: str) -> str:
    """Return the file of the norms of a layer's cells, relative to the bank."""
    return f"norms/{encode_layer(layer)}.npy"


def directions_file(layer: str) -> str:
    """Return the file of the directions of a layer's cells, relative to the bank."""
    return f"directions/{encode_layer(layer)}.npy"


def stored_dtype(dtype: str) -> str:
    """Return NumPy's dtype of activations; it has no bfloat16, whose bits are in a uint16."""
    return "uint16" if dtype == "bfloat16" else dtype


@dataclass(frozen=True)
class ArraySpec:
    """One array of the bank: its file, and the shape and dtype of the record of one image."""

    file: str
    record_shape: tuple[int, ...]
    dtype: str

    @property
    def record_bytes(self) -> int:
        """Size of one image's record."""
        return math.prod(self.record_shape) * np.dtype(self.dtype).itemsize

    def file_bytes(self, count: int) -> int:
        """Size of the file with the records of `count` images."""
        return HEADER_BYTES + count * self.record_bytes

    def header(self, count: int) -> bytes:
        """Return the .npy header (format 1.0) of an array of `count` records, HEADER_BYTES long."""
        dtype = np.dtype(self.dtype).newbyteorder("<")
        shape = (count, *self.record_shape)
        fields = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
        magic = npy.magic(1, 0)
        text_bytes = HEADER_BYTES - len(magic) - 2
        text = fields.ljust(text_bytes - 1) + "\n"
        return magic + text_bytes.to_bytes(2, "little") + text.encode("ascii")


def array_specs(
    layers: Sequence[Layer],
    kept: Mapping[str, int],
    descriptor_dim: int | None,
    dtype: str,
    image_size: tuple[int, int],
    *,
    label_targets: bool,
) -> tuple[ArraySpec, ...]:
    """Return the arrays of a bank.

    Parameters
    ----------
    layers
        Layers whose activations are kept.
    kept
        Number of directions K of the layers that are kept along directions.
    descriptor_dim
        Number of values of the descriptor, None for a bank without one.
    dtype
        Of activations, one of ACTIVATION_DTYPES.
    image_size
        (height, width) of inputs and targets.
    label_targets
        Whether targets are label maps (h, w) rather than photos (h, w, 3).
    """
    specs = []
    for layer in layers:
        height, width, channels = layer.shape
        shape = (height, width, kept.get(layer.name, channels))
        specs.append(ArraySpec(activations_file(layer.name), shape, stored_dtype(dtype)))
        specs.append(ArraySpec(norms_file(layer.name), layer.shape[:2], "float32"))
    if descriptor_dim is not None:
        specs.append(ArraySpec(DESCRIPTORS_FILE, (descriptor_dim,), "float32"))
        specs.append(ArraySpec(DESCRIPTOR_NORMS_FILE, (), "float32"))
    specs.append(ArraySpec(INPUTS_FILE, (*image_size, 3), "uint8"))
    specs.append(
        ArraySpec(TARGETS_FILE, image_size if label_targets else (*image_size, 3), "uint8")
    )
    return tuple(specs)
