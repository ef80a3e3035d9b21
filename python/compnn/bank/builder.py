"""Building a bank: the network runs over every training image once, what it computes is kept."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank import directions as directions_of
from compnn.bank import layout
from compnn.bank.disk import DiskFullError
from compnn.bank.journal import Entry, digest_content
from compnn.bank.manifest import (
    BankArray,
    BankDescriptor,
    BankDirections,
    BankModel,
    Manifest,
    SkippedImage,
    read_manifest,
    scaling_json,
)
from compnn.bank.packing import Packer
from compnn.bank.pairs import PairReader
from compnn.bank.partial import PartialBank
from compnn.data.dataset import Dataset, Pair
from compnn.errors import ActivationError, BankError, DatasetError, ImageError, NetworkError
from compnn.network.onnx import Model

Progress = Callable[[int, int], None]

# Images that go through the network at a time, each on its share of the threads: that is faster
# than all threads on one image, and each takes memory.
_MOST_WORKERS = 4


def build_bank(
    path: str | Path,
    model: Model,
    dataset: Dataset,
    *,
    dtype: str = "float16",
    skip_bad: bool = False,
    overwrite: bool = False,
    restart: bool = False,
    progress: Progress | None = None,
) -> None:
    """Build a bank of the activations of `model` for all pairs of `dataset`.

    The bank grows in `<path>.partial` and moves to `path` when it is complete. A build that was
    interrupted leaves that folder; the same call again resumes it, and the result has the same
    arrays. Memory does not grow with the number of images, disk space is reserved before the start.

    Parameters
    ----------
    path
        Folder that will be the bank.
    model
        The network; its layers and its descriptor are kept.
    dataset
        The training pairs; inputs and targets must have the network's size unless
        `model.preprocessing.resize`.
    dtype
        Of activations: "float16", "bfloat16" (for activations beyond float16's 65504), "float32",
        or "int8" (8-bit integers along a cell's direction, and its norm). All but float32 leave out
        directions that no cell has a part in (`compnn.bank.directions`). Descriptors are float32.
    skip_bad
        Leave out pairs that cannot be read; the manifest lists them with the reason.
    overwrite
        Replace a bank that is at `path`, once the new one is complete.
    restart
        Discard what an interrupted build left instead of resuming it.
    progress
        Called as `progress(done, total)` at the start and after each pair that has been written.

    Raises
    ------
    BankError
        If `path` exists (and is not a bank to overwrite), another build is writing there, an
        interrupted one had other content, or the disk is full.
    ImageError
        If a pair cannot be read or does not fit the network.
    ActivationError
        If an activation is NaN or infinite, or too large for `dtype`.
    DatasetError
        If the dataset is empty, none of its pairs can be read, or its targets are photos but the
        network paints label maps.
    """
    path = Path(os.path.realpath(path))
    if dtype not in layout.ACTIVATION_DTYPES:
        raise BankError(f"dtype must be {' or '.join(layout.ACTIVATION_DTYPES)}, not {dtype!r}.")
    if len(dataset) == 0:
        raise DatasetError("the dataset has no pairs. A bank needs at least one.")
    if dataset.target_palette is None and model.output_channels not in (1, 3):
        raise DatasetError(
            f"{model.path.name} tells {model.output_channels} classes apart, so that its targets "
            f"are label maps, not photos. Name their palette (`--target-palette`)."
        )
    _check_free(path, overwrite=overwrite)
    partial = PartialBank(path, restart=restart)
    try:
        build = _Build(partial, model, dataset, dtype, skip_bad=skip_bad, progress=progress)
        while True:
            build.prepare()
            try:
                build.run()
                break
            except _OutsideDirections as outside:
                build.keep_whole(outside.layer)
            except (ActivationError, DatasetError):
                partial.discard()  # resuming would fail again
                raise
            except (ImageError, NetworkError) as error:
                if partial.done == 0:
                    partial.discard()
                    raise
                raise type(error)(
                    f"{error} What is done is kept in {partial.folder}: build again to resume."
                ) from error
        partial.publish(build.manifest(), overwrite=overwrite)
    except DiskFullError as error:
        raise BankError(
            f"{error}. What is done is kept in {partial.folder}: "
            f"free some space, then build again to resume."
        ) from error
    finally:
        partial.close()


def _workers(threads: int) -> int:
    """Number of workers that leaves the fewest threads without work, of these the most."""
    if threads == 1:
        return 1
    return max(range(2, _MOST_WORKERS + 1), key=lambda count: (count * (threads // count), count))


def _check_free(path: Path, *, overwrite: bool) -> None:
    """Raise BankError if `path` exists, unless it is a bank and may be overwritten."""
    if not path.exists():
        return
    if not overwrite:
        raise BankError(
            f"{path} exists. Choose another place, or replace it with `--overwrite` "
            f"(overwrite=True)."
        )
    try:
        read_manifest(path / layout.MANIFEST_FILE)
    except BankError as error:
        raise BankError(
            f"{path} is not a bank, so it is not overwritten ({error}) Remove it yourself."
        ) from error


# Bytes of activations of sampled images that are kept until these are packed.
_MOST_KEPT = 1 << 28

# Where the journal notes the layers of which the sample told too few directions.
_WHOLE = "layers kept whole"


class _OutsideDirections(Exception):
    """An image has cells that are not in the directions of a layer."""

    def __init__(self, layer: str) -> None:
        super().__init__(layer)
        self.layer = layer


@dataclass(frozen=True)
class _Packed:
    """What a packer made of an image, in memory that it needs again.

    `records` are in the order of the arrays, `outside` a layer that has cells outside of its
    directions.
    """

    records: list[npt.NDArray[Any]]
    outside: str | None
    packer: Packer


class _Build:
    """One run of `build_bank`: what is built from what, and the pipeline that does it."""

    def __init__(
        self,
        partial: PartialBank,
        model: Model,
        dataset: Dataset,
        dtype: str,
        *,
        skip_bad: bool,
        progress: Progress | None,
    ) -> None:
        self._shapes = {name: layer.shape for name, layer in model.layers.items()}
        self._descriptor: BankDescriptor | None = None
        if model.descriptor is not None:
            self._shapes[model.descriptor] = model.tap_shape(model.descriptor)
            dim = math.prod(self._shapes[model.descriptor])
            self._descriptor = BankDescriptor(model.descriptor, dim)
        self._partial = partial
        self._workers = _workers(model.num_threads)
        self._model = model.with_threads(model.num_threads // self._workers)
        self._dataset = dataset
        self._dtype = dtype
        self._progress = progress
        self._reader = PairReader(dataset, model, skip_bad=skip_bad)
        self._packers: SimpleQueue[Packer] = SimpleQueue()
        self._whole: set[str] = set()
        self._sampled: dict[int, dict[str, npt.NDArray[np.float32]]] = {}

    def prepare(self) -> None:
        """Find the layers' directions, reserve the space, and take over what is done already."""
        self._report()
        self._whole.update(json.loads(self._partial.header().get(_WHOLE, "[]")))
        try:
            self._directions = self._find_directions()
        except BaseException:
            if not self._partial.header():
                self._partial.discard()
            raise
        self._specs = layout.array_specs(
            tuple(self._model.layers.values()),
            {name: len(found) for name, found in self._directions.items()},
            None if self._descriptor is None else self._descriptor.dim,
            self._dtype,
            self._model.input_size,
            label_targets=self._dataset.target_palette is not None,
        )
        digests = digest_content(self._content()) | {_WHOLE: json.dumps(sorted(self._whole))}
        self._partial.prepare(self._specs, len(self._dataset), digests)
        for name, found in self._directions.items():
            directions_of.write_directions(self._partial.folder, name, found)
        self._partial.resume(self._is_current)
        # One for each image that is being computed, and one for that which is being written.
        self._packers = SimpleQueue()
        for _ in range(self._workers + 1):
            layers, descriptor = tuple(self._model.layers), self._model.descriptor
            self._packers.put(
                Packer(self._shapes, layers, descriptor, self._dtype, self._directions)
            )

    def run(self) -> None:
        """Run the network over the rest of the dataset.

        Each worker reads a pair, runs the network on it and packs what that gives; what the workers
        have done is written in the order of the dataset.

        Raises
        ------
        DatasetError
            If every pair has been skipped.
        _OutsideDirections
            If the sample has not told all directions of a layer.
        """
        self._report()
        ahead: deque[Future[_Packed | SkippedImage]] = deque()
        with ThreadPoolExecutor(self._workers) as workers:
            try:
                for index in range(self._partial.done, len(self._dataset)):
                    ahead.append(workers.submit(self._pack, index))
                    if len(ahead) > self._workers:
                        self._write(ahead.popleft().result())
                while ahead:
                    self._write(ahead.popleft().result())
            finally:
                for each in ahead:
                    each.cancel()
        if not self._partial.kept:
            index, reason = next(iter(self._partial.skipped.items()))
            raise DatasetError(
                f"none of the {len(self._dataset)} training pairs can be read; "
                f"the first, {self._dataset.names[index]!r}: {reason}"
            )

    def keep_whole(self, layer: str) -> None:
        """Start over, and keep all channels of a layer as they are."""
        self._whole.add(layer)
        self._sampled.clear()
        self._partial.start_over()

    def manifest(self) -> Manifest:
        """Return the manifest of the bank, once all images are done."""
        model, dataset, partial = self._model, self._dataset, self._partial
        names = tuple(dataset.names[index] for index in partial.kept)
        attributes = dataset.attributes
        return Manifest(
            compnn_version=importlib.metadata.version("compnn"),
            model=BankModel(str(model.path.absolute()), model.fingerprint, model.input_size),
            preprocessing=model.preprocessing,
            dtype=self._dtype,
            layers=model.layers,
            directions={
                name: BankDirections(len(found), directions_of.checksum(found))
                for name, found in self._directions.items()
            },
            descriptor=self._descriptor,
            input_palette=dataset.input_palette,
            target_palette=dataset.target_palette,
            names=names,
            attributes={name: attributes[name] for name in names if name in attributes},
            skipped=tuple(
                SkippedImage(dataset.names[index], reason)
                for index, reason in partial.skipped.items()
            ),
            arrays={
                spec.file: BankArray(spec, tuple(checksums))
                for spec, checksums in zip(self._specs, partial.crc32, strict=True)
            },
        )

    def _content(self) -> dict[str, Any]:
        """Return what decides the content of the bank, as JSON values."""
        model, dataset = self._model, self._dataset
        return {
            "format version": layout.FORMAT_VERSION,
            "network": model.fingerprint,
            "layers": [[each.name, each.stride, each.hyperpatch] for each in model.layers.values()],
            "descriptor": model.descriptor,
            "preprocessing": scaling_json(model.preprocessing),
            "dtype": self._dtype,
            "images": dataset.names,
            "input palette": dataset.input_palette and dataset.input_palette.to_json(),
            "target palette": dataset.target_palette and dataset.target_palette.to_json(),
            "attributes": dataset.attributes,
            "main directions": {
                name: directions_of.checksum(found) for name, found in self._directions.items()
            },
        }

    def _is_current(self, index: int, entry: Entry) -> bool:
        """Return whether the dataset still has the pair that an interrupted build saw."""
        self._report()
        pair = self._reader.read(index)
        if isinstance(pair, SkippedImage) or entry.skipped is not None:
            return isinstance(pair, SkippedImage) and entry.skipped is not None
        # Input and target are the last two arrays.
        return entry.crc32[-2:] == (zlib.crc32(pair.input.data), zlib.crc32(pair.target.data))

    def _find_directions(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the directions of the layers that have fewer than channels."""
        count = len(self._dataset)
        layers = [
            name
            for name, layer in self._model.layers.items()
            if name not in self._whole and directions_of.may_have(layer.shape, count, self._dtype)
        ]
        if not layers:
            return {}
        indices = directions_of.sampled_images(count)

        # float32
        size = 4 * sum(math.prod(shape) for shape in self._shapes.values())
        keep = indices[: _MOST_KEPT // size]

        def sample(index: int) -> dict[str, npt.NDArray[np.float32]] | None:
            return self._sample(layers, keep, index)

        with ThreadPoolExecutor(self._workers) as workers:
            samples = [each for each in workers.map(sample, indices) if each is not None]

            def find(layer: str) -> npt.NDArray[np.float32] | None:
                return directions_of.find_directions([each[layer] for each in samples], self._dtype)

            if not samples:
                return {}
            found = dict(zip(layers, workers.map(find, layers), strict=True))
        return {layer: directions for layer, directions in found.items() if directions is not None}

    def _sample(
        self, layers: list[str], keep: list[int], index: int
    ) -> dict[str, npt.NDArray[np.float32]] | None:
        """Return some cells (n, D) of layers; None for a pair that cannot be read.

        The activations of the images to `keep` are kept until they are packed.
        """
        try:
            pair = self._reader.read(index)
        except ImageError:
            return None  # the build will say so when it comes to this pair
        if isinstance(pair, SkippedImage):
            return None
        raw = self._activations(pair)
        if index in keep:
            self._sampled[index] = raw
        return {layer: directions_of.sampled_cells(raw[layer]) for layer in layers}

    def _activations(self, pair: Pair) -> dict[str, npt.NDArray[np.float32]]:
        """Return the raw activations (D, H, W) of the input, by tap."""
        raw, _ = self._model.run(pair.input[None], list(self._shapes), output=False)
        return {tap: values[0] for tap, values in raw.items()}

    def _pack(self, index: int) -> _Packed | SkippedImage:
        """Return the records of a pair, in a packer's buffers, taken until it is put back."""
        pair = self._reader.read(index)
        if isinstance(pair, SkippedImage):
            return pair
        raw = self._sampled.pop(index, None) or self._activations(pair)
        packer = self._packers.get()
        records = [*packer.records(raw, pair.name), pair.input, pair.target]
        return _Packed(records, packer.outside(), packer)

    def _write(self, packed: _Packed | SkippedImage) -> None:
        if isinstance(packed, SkippedImage):
            self._partial.skip(packed.reason)
        elif packed.outside is not None:
            raise _OutsideDirections(packed.outside)
        else:
            self._partial.append(packed.records)
            self._packers.put(packed.packer)
        self._report()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._partial.done, len(self._dataset))
