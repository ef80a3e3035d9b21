"""Where a bank keeps what: folders and files, and the dtype and row of every array of a shard."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import numpy.lib.format as npy

from compnn.images.kinds import Kind

FORMAT = "compnn-bank"
FORMAT_VERSION = 7

# At most so many images stand in a shard.
SHARD_IMAGES = 4096

MANIFEST_FILE = "manifest.json"
LOCK_FILE = "writer.lock"
JOURNAL_FILE = "journal.jsonl"
GENERATIONS = "generations"
SHARDS = "shards"
TABLES = "tables"
DIRECTIONS = "directions"
PROBES = "probes"
ATTACHMENTS = "attachments"
NETWORK = "network"
# What stands in folders that are named by numbers.
KINDS = (SHARDS, TABLES, DIRECTIONS, PROBES, ATTACHMENTS)

SHARD_FILE = "shard.json"
PLACES_FILE = "places.npy"
CHECKSUMS_FILE = "checksums.npy"
INPUTS_FILE = "inputs.npy"
TARGETS_FILE = "targets.npy"
DESCRIPTORS_FILE = "descriptors.npy"
DESCRIPTOR_NORMS_FILE = "descriptor_norms.npy"

# Inputs are kept as networks of RGB images see them.
# Of arrays that are attached.
NUMBERS = (
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(f"float{bits}" for bits in (16, 32, 64)),
)
ACTIVATION_DTYPES = ("float16", "bfloat16", "float32", "int8")

# The header has one length whatever the number of rows, so that it can be rewritten in place; a
# multiple of 64 keeps the data aligned.
HEADER_BYTES = 128
# File systems allow names of 255 bytes.
_LONGEST_NAME = 200


def encode_name(name: str) -> str:
    """Return a file name (without suffix) for a name, with unsafe characters percent-encoded.

    Names that would be too long end in a digest instead.
    """
    raw = name.encode("utf-8", "surrogatepass")
    encoded = quote(raw, safe="")
    if len(encoded) <= _LONGEST_NAME:
        return encoded
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return f"{encoded[: _LONGEST_NAME - len(digest) - 1]}~{digest}"


def activations_file(layer: str) -> str:
    """Return the file of a layer's activations, relative to the shard."""
    return f"activations/{encode_name(layer)}.npy"


def norms_file(layer: str) -> str:
    """Return the file of the norms of a layer's cells, relative to the shard."""
    return f"norms/{encode_name(layer)}.npy"


def directions_file(layer: str) -> str:
    """Return the file of a layer's directions, relative to the shard."""
    return f"directions/{encode_name(layer)}.npy"


def stored_dtype(dtype: str) -> str:
    """Return NumPy's dtype of activations; it has no bfloat16, whose bits are in a uint16."""
    return "uint16" if dtype == "bfloat16" else dtype


@dataclass(frozen=True)
class ArraySpec:
    """An array of a shard: the rows of all its images, one image after the other.

    Attributes
    ----------
    file
        Relative to the shard.
    trailing
        Shape of a row: of a cell, a pixel or a descriptor.
    dtype
        Of its numbers.
    group
        Column of the table of places that tells which rows are whose: arrays of one group have one
        row for each cell of a layer, or for each pixel. None where every image has one row.
    """

    file: str
    trailing: tuple[int, ...]
    dtype: str
    group: int | None

    @property
    def row_bytes(self) -> int:
        """Size of a row."""
        return math.prod(self.trailing) * np.dtype(self.dtype).itemsize

    def file_bytes(self, rows: int) -> int:
        """Size of the file with so many rows; where the row of this index begins."""
        return HEADER_BYTES + rows * self.row_bytes

    def header(self, rows: int) -> bytes:
        """Return the .npy header (format 1.0) of an array of so many rows, HEADER_BYTES long."""
        dtype = np.dtype(self.dtype).newbyteorder("<")
        shape = (rows, *self.trailing)
        fields = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
        magic = npy.magic(1, 0)
        text_bytes = HEADER_BYTES - len(magic) - 2
        text = fields.ljust(text_bytes - 1) + "\n"
        return magic + text_bytes.to_bytes(2, "little") + text.encode("ascii")


def rows_of_image(spec: ArraySpec, sizes: Sequence[tuple[int, int]]) -> int:
    """Rows of an image in an array, of its rows and columns in each group."""
    return 1 if spec.group is None else sizes[spec.group][0] * sizes[spec.group][1]


def array_specs(
    kept: Mapping[str, int],
    dtype: str,
    descriptor_dim: int | None,
    kinds: tuple[Kind, Kind],
) -> tuple[ArraySpec, ...]:
    """Return the arrays of a shard; input and target are the last two.

    Parameters
    ----------
    kept
        Numbers K of a cell of each layer, in the order of the bank's layers.
    dtype
        Of activations, one of ACTIVATION_DTYPES.
    descriptor_dim
        Number of values of the descriptor, None for a bank without one.
    kinds
        What the inputs and the targets are.
    """
    specs = []
    for group, (layer, channels) in enumerate(kept.items()):
        specs.append(ArraySpec(activations_file(layer), (channels,), stored_dtype(dtype), group))
        specs.append(ArraySpec(norms_file(layer), (), "float32", group))
    if descriptor_dim is not None:
        specs.append(ArraySpec(DESCRIPTORS_FILE, (descriptor_dim,), "float32", None))
        specs.append(ArraySpec(DESCRIPTOR_NORMS_FILE, (), "float32", None))
    seen, target_kind = kinds[0].seen, kinds[1]
    specs.append(ArraySpec(INPUTS_FILE, seen.trailing, seen.dtype, len(kept)))
    specs.append(
        ArraySpec(TARGETS_FILE, target_kind.trailing, str(target_kind.dtype), len(kept) + 1)
    )
    return tuple(specs)
