"""Building a bank: the network runs over every training image once, what it computes is kept."""

from __future__ import annotations

import importlib.metadata
import math
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank import layout
from compnn.bank.disk import DiskFullError
from compnn.bank.journal import Entry, digest_content
from compnn.bank.manifest import (
    BankArray,
    BankDescriptor,
    BankModel,
    Manifest,
    SkippedImage,
    read_manifest,
    scaling_json,
)
from compnn.bank.packing import Packer
from compnn.bank.pairs import PairReader
from compnn.bank.partial import PartialBank
from compnn.datasets.dataset import Dataset, Pair
from compnn.errors import ActivationError, BankError, DatasetError, ImageError, ModelError
from compnn.model import Model

Progress = Callable[[int, int], None]


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
        "float16" or "float32": dtype of activations and descriptors.
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
        build.prepare()
        try:
            build.run()
        except (ActivationError, DatasetError):
            partial.discard()  # resuming would fail again
            raise
        except (ImageError, ModelError) as error:
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
        shapes = {name: layer.shape for name, layer in model.layers.items()}
        self._descriptor: BankDescriptor | None = None
        if model.descriptor is not None:
            shapes[model.descriptor] = model.tap_shape(model.descriptor)
            dim = math.prod(shapes[model.descriptor])
            self._descriptor = BankDescriptor(model.descriptor, dim)
        self._partial = partial
        self._model = model
        self._dataset = dataset
        self._dtype = dtype
        self._progress = progress
        self._taps = tuple(shapes)
        self._reader = PairReader(dataset, model, skip_bad=skip_bad)
        self._packer = Packer(shapes, tuple(model.layers), model.descriptor, dtype)
        self._specs = layout.array_specs(
            tuple(model.layers.values()),
            None if self._descriptor is None else self._descriptor.dim,
            dtype,
            model.input_size,
            label_targets=dataset.target_palette is not None,
        )

    def prepare(self) -> None:
        """Reserve the space and take over what an interrupted build has done."""
        self._partial.prepare(self._specs, len(self._dataset), digest_content(self._content()))
        self._partial.resume(self._is_current)

    def run(self) -> None:
        """Run the network over the rest of the dataset.

        Three things happen at a time: the next pair is read, the network runs on this one, and the
        last one is packed and written.

        Raises
        ------
        DatasetError
            If every pair has been skipped.
        """
        self._report()
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            writing: Future[None] | None = None
            for pair in self._pairs(reader):
                raw = self._activations(pair)
                if writing is not None:
                    writing.result()
                    self._report()
                writing = writer.submit(self._write, pair, raw)
            if writing is not None:
                writing.result()
                self._report()
        if not self._partial.kept:
            index, reason = next(iter(self._partial.skipped.items()))
            raise DatasetError(
                f"none of the {len(self._dataset)} training pairs can be read; "
                f"the first, {self._dataset.names[index]!r}: {reason}"
            )

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
        }

    def _is_current(self, index: int, entry: Entry) -> bool:
        """Return whether the dataset still has the pair that an interrupted build saw."""
        self._report()
        pair = self._reader.read(index)
        if isinstance(pair, SkippedImage) or entry.skipped is not None:
            return isinstance(pair, SkippedImage) and entry.skipped is not None
        # Input and target are the last two arrays.
        return entry.crc32[-2:] == (zlib.crc32(pair.input.data), zlib.crc32(pair.target.data))

    def _pairs(self, reader: ThreadPoolExecutor) -> Iterator[Pair | SkippedImage]:
        """Yield the pairs to do; while one is worked on, the next is read."""
        ahead: Future[Pair | SkippedImage] | None = None
        for index in range(self._partial.done, len(self._dataset)):
            following = reader.submit(self._reader.read, index)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()

    def _activations(self, pair: Pair | SkippedImage) -> dict[str, npt.NDArray[np.float32]]:
        """Return the raw activations (D, H, W) of the input; none where it is skipped."""
        if isinstance(pair, SkippedImage):
            return {}
        raw, _ = self._model.run(pair.input[None], self._taps, output=False)
        return {tap: values[0] for tap, values in raw.items()}

    def _write(self, pair: Pair | SkippedImage, raw: dict[str, npt.NDArray[np.float32]]) -> None:
        if isinstance(pair, SkippedImage):
            self._partial.skip(pair.reason)
        else:
            packed = self._packer.records(raw, pair.name)
            self._partial.append(chain(packed, (pair.input, pair.target)))

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._partial.done, len(self._dataset))
