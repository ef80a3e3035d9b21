"""Building shards: the network runs over every training image once, what it computes is kept."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import shutil
import threading
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank import directions as directions_of
from compnn.bank import layout
from compnn.bank.attachments import write_attached
from compnn.bank.cells import Packer
from compnn.bank.directions import Directions, read_directions, write_directions
from compnn.bank.generations import Generation, Writer, network_folder
from compnn.bank.layout import ArraySpec
from compnn.bank.manifest import (
    AttachmentEntry,
    BankDescriptor,
    DirectionsEntry,
    Manifest,
    ShardEntry,
    TablesEntry,
    read_manifest,
    scaling_json,
)
from compnn.bank.pairs import PairReader
from compnn.bank.partial import WORK, BuildJournal, Entry, PartialShard, Plan, Record
from compnn.bank.probe import probe
from compnn.bank.rehearsal import rehearse
from compnn.bank.self_check import check_pairs
from compnn.bank.shard import ShardContents, ShardLayer, write_contents
from compnn.bank.tables import Attributes, SkippedImage, write_tables
from compnn.bank.writing import DiskFullError, disk_errors, fresh_folder, link_or_copy, sync_tree
from compnn.data.dataset import Dataset, Pair
from compnn.errors import ActivationError, BankError, DatasetError, ImageError, NetworkError
from compnn.journal import digest_content, read_header
from compnn.network.geometry import Geometry, Size
from compnn.network.layer import geometry_notes
from compnn.network.network import Network
from compnn.network.onnx_graph import network_files

Progress = Callable[[int, int], None]
Say = Callable[[str], None]

# Images that go through the network at a time, each on its share of the threads: that is faster
# than all threads on one image, and each takes memory.
_MOST_WORKERS = 4
# Bytes of activations of sampled images that are kept until these are packed.
_MOST_KEPT = 1 << 28
# Seconds of a build that are announced.
_WORTH_SAYING = 60
# Journal and tables take about this much for each record.
_NOTES_BYTES = 64


def build_bank(
    path: Path,
    network: Network,
    dataset: Dataset,
    *,
    dtype: str,
    skip_bad: bool,
    overwrite: bool,
    restart: bool,
    copy_network: bool,
    check: bool,
    progress: Progress | None,
    say: Say | None,
) -> None:
    """Build a bank, or finish one whose build was interrupted: see `compnn.bank.bank.build`."""
    if dtype not in layout.ACTIVATION_DTYPES:
        raise BankError(f"dtype must be {' or '.join(layout.ACTIVATION_DTYPES)}, not {dtype!r}.")
    if len(dataset) == 0:
        raise DatasetError("the dataset has no pairs. A bank needs at least one.")
    network.check_kind(dataset.target_kind)
    if copy_network and network.identity().path is None:
        raise BankError(f"{network.name} has no file that could be copied into the bank.")
    check_place(path, overwrite=overwrite)
    with Writer(path, create=True) as writer:
        check_place(path, overwrite=overwrite)
        build = _Build(
            writer,
            network,
            dataset,
            dtype,
            skip_bad=skip_bad,
            check=check,
            progress=progress,
            say=say,
        )
        _run(build, restart=restart, copy_network=copy_network)


def append_pairs(
    writer: Writer,
    network: Network,
    dataset: Dataset,
    *,
    skip_bad: bool,
    restart: bool,
    progress: Progress | None,
) -> None:
    """Append pairs to a bank: see `compnn.bank.bank.Bank.append`."""
    if len(dataset) == 0:
        raise DatasetError("the dataset has no pairs to append.")
    with contextlib.closing(writer.generation()) as base:
        known = base.tables.indices.keys() & set(dataset.names)
        if known:
            raise DatasetError(
                f"the bank {writer.path} has images of these names already: "
                f"{', '.join(sorted(known)[:5])}. Leave them out, or drop them first."
            )
        build = _Build(
            writer,
            network,
            dataset,
            base.manifest.dtype,
            base,
            skip_bad=skip_bad,
            progress=progress,
        )
        _run(build, restart=restart)


def _run(build: _Build, *, restart: bool, copy_network: bool = False) -> None:
    """Do a build and publish it, or leave what can be resumed, or nothing."""
    path = build.path
    try:
        try:
            build.prepare(restart=restart)
            build.run()
        except (ActivationError, DatasetError):
            build.discard()  # resuming would fail again
            raise
        except (ImageError, NetworkError) as error:
            if build.done == 0 and not build.resumed:
                build.discard()
                raise
            raise type(error)(
                f"{error} What is done is kept in {path}: do the same again to resume."
            ) from error
        build.publish(copy_network=copy_network)
    except DiskFullError as error:
        if build.done == 0 and not build.resumed:
            build.discard()
            raise BankError(f"{build.room} ({error}).") from error
        raise BankError(
            f"{error}. What is done is kept in {path}: free some space, then do the same again to "
            f"resume."
        ) from error
    finally:
        build.close()


def check_place(path: Path, *, overwrite: bool) -> None:
    """Refuse a folder that a bank cannot be built in.

    Raises
    ------
    BankError
        If there is a bank, unless it is overwritten; or anything but an interrupted build.
    """
    if not path.exists():
        return
    manifest = path / layout.MANIFEST_FILE
    if not manifest.exists():
        _check_unfinished(path)
        return
    try:
        read_manifest(manifest)
    except BankError as error:
        raise BankError(
            f"{path} is not a bank, so it is not overwritten ({error}) Remove it yourself."
        ) from error
    if not overwrite:
        raise BankError(
            f"{path} exists. Choose another place, or replace it with `--overwrite` "
            f"(overwrite=True)."
        )


def _check_unfinished(path: Path) -> None:
    """Refuse a folder without a manifest unless it is empty or holds an interrupted build."""
    try:
        found = set(os.listdir(path))
    except OSError as error:
        raise BankError(f"{path} cannot be read: {error.strerror}") from error
    journal = layout.JOURNAL_FILE in found
    try:
        if journal:
            read_header(path / layout.JOURNAL_FILE, WORK, BankError)
    except (OSError, BankError):
        journal = False
    ours = {layout.LOCK_FILE, layout.JOURNAL_FILE, layout.GENERATIONS, *layout.KINDS}
    strange = {name for name in found - ours if not name.endswith(".tmp")}
    if strange or not (journal or found <= {layout.LOCK_FILE}):
        raise BankError(
            f"{path} is in the way: it is not empty, and holds no interrupted build. Choose "
            f"another place, or remove it yourself."
        )


def _workers(threads: int) -> int:
    """Number of workers that leaves the fewest threads without work, of these the most."""
    if threads == 1:
        return 1
    return max(range(2, _MOST_WORKERS + 1), key=lambda count: (count * (threads // count), count))


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

    records: list[Record]
    outside: str | None
    packer: Packer


class _Build:
    """One run of a build or of an append: what is built from what, and the pipeline that does it.

    Parameters
    ----------
    writer
        Of the bank's folder.
    network, dataset, dtype, skip_bad, check, progress, say
        As those of `compnn.bank.bank.build`.
    base
        The generation that is appended to. Default: a new bank is built.
    """

    def __init__(
        self,
        writer: Writer,
        network: Network,
        dataset: Dataset,
        dtype: str,
        base: Generation | None = None,
        *,
        skip_bad: bool,
        check: bool = False,
        progress: Progress | None,
        say: Say | None = None,
    ) -> None:
        self.path = writer.path
        self.done = 0
        self.resumed = False
        self.room = "the disk has no room for the bank"
        self._writer = writer
        self._base = base
        self._layers = network.layers if base is None else base.manifest.layers
        self._descriptor = network.descriptor
        if base is not None:
            tap = base.manifest.descriptor
            self._descriptor = None if tap is None else tap.tap
        self._taps = list(self._layers)
        if self._descriptor is not None:
            self._taps.append(self._descriptor)
        self._workers = _workers(network.num_threads)
        self._network = network.with_threads(network.num_threads // self._workers)
        self._dataset = dataset
        self._dtype = dtype
        self._check = check
        self._progress = progress
        self._say = say or (lambda line: None)
        self._reader = PairReader(dataset, network, skip_bad=skip_bad)
        self._packers: SimpleQueue[Packer] = SimpleQueue()
        self._sampled: dict[int, dict[str, npt.NDArray[np.float32]]] = {}
        self._sampled_bytes = 0
        self._sampling = threading.Lock()
        self._shards: list[ShardEntry] = []
        self._kept = array("q")
        self._skipped: dict[int, SkippedImage] = {}
        self._journal = BuildJournal(self.path)

    def prepare(self, *, restart: bool) -> None:
        """Find the layers' directions, and begin the build or take up an interrupted one.

        Raises
        ------
        BankError
            If that asked for something else, or the disk has no room; then nothing of a new build
            is left.
        """
        self._report()
        try:
            if restart:
                self._journal.forget()
                self._writer.clean()
            content = digest_content(self._content())
            self._journal.check(content)
            if self._journal.plan is None:  # else it has been rehearsed
                self._rehearse()
            self._directions = (
                self._find_directions() if self._base is None else self._base_directions()
            )
            self._digests = {
                name: directions_of.digest(found) for name, found in self._directions.items()
            }
            self._dim = self._descriptor_dim()
            content |= digest_content({"main directions": self._digests})
            self._journal.check(content)
            plan = self._new_plan()
            old = self._journal.plan
            self.resumed = old is not None and len(old.shards) == len(plan.shards)
            self._plan = old if old is not None and self.resumed else plan
            self._check_space()
            if not self.resumed:
                self._journal.start(content, self._plan)
        except BaseException:
            if self._journal.plan is None:
                self.discard()
            raise
        self._write_directions()

    def run(self) -> None:
        """Run the network over the rest of the dataset, shard by shard.

        Raises
        ------
        DatasetError
            If every pair has been skipped.
        """
        count = len(self._dataset)
        for number, first in zip(
            self._plan.shards, range(0, count, layout.SHARD_IMAGES), strict=True
        ):
            self._build_shard(number, first, min(first + layout.SHARD_IMAGES, count))
        if not self._shards:
            skipped = next(iter(self._skipped.values()))
            raise DatasetError(
                f"none of the {count} training pairs can be read; the first, {skipped.name!r}: "
                f"{skipped.reason}"
            )

    def publish(self, *, copy_network: bool) -> None:
        """Make what has been built the bank's newest generation."""
        manifest = self._manifest()
        if copy_network:
            copied = _copy_network(self._network, manifest, self.path)
            manifest = replace(manifest, network_file=copied)
        self._writer.publish(manifest)
        self._journal.remove()
        self._writer.clean()

    def discard(self) -> None:
        """Remove all that has been written."""
        self._writer.abandon()

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _rehearse(self) -> None:
        """Run the network on one pair, and say what the build will be."""
        found = rehearse(self._network, self._dataset, self._reader, self._taps)
        if found is None:
            return
        notes = geometry_notes(self._layers.values())
        for line in (*self._network.assumptions, *notes, found.output):
            self._say(line)
        if self._check:
            check_pairs(self._network, self._dataset, self._taps, self._workers, self._say)
        left = found.seconds * len(self._dataset) / self._workers
        if left >= _WORTH_SAYING:
            self._say(f"{len(self._dataset)} pairs, about {math.ceil(left / 60)} min")

    def _new_plan(self) -> Plan:
        first = self._writer.new_id(layout.SHARDS)
        shards = -(-len(self._dataset) // layout.SHARD_IMAGES)
        return Plan(range(first, first + shards), self._writer.new_id(layout.DIRECTIONS))

    def _content(self) -> dict[str, Any]:
        """Return what decides the content of the bank, less the directions, as JSON values."""
        dataset = self._dataset
        return {
            "command": "build" if self._base is None else "append",
            "format version": layout.FORMAT_VERSION,
            "images of a shard": layout.SHARD_IMAGES,
            "network": self._network.identity().fingerprint,
            "layers": [each.to_json() for each in self._layers.values()],
            "descriptor": self._descriptor,
            "preprocessing": scaling_json(self._network.preprocessing),
            "output": self._network.output_choice.to_json(),
            "dtype": self._dtype,
            "images": dataset.names,
            "input kind": dataset.input_kind.to_json(),
            "target kind": dataset.target_kind.to_json(),
            "attributes": dataset.attributes,
        }

    # Directions

    def _find_directions(self) -> dict[str, Directions]:
        """Return the directions of the layers that have fewer than channels, from a sample."""
        count = len(self._dataset)
        fixed = self._network.input_size is not None
        layers = [
            name
            for name, layer in self._layers.items()
            if directions_of.may_have(layer.shape, count, self._dtype, fixed=fixed)
        ]
        if not layers:
            return {}

        def sample(index: int) -> dict[str, npt.NDArray[np.float32]] | None:
            raw = self._sample(index)
            return raw and {layer: directions_of.sampled_cells(raw[layer]) for layer in layers}

        def find(layer: str) -> Directions | None:
            return directions_of.find_directions([each[layer] for each in samples], self._dtype)

        with ThreadPoolExecutor(self._workers) as workers:
            indices = directions_of.sampled_images(count)
            samples = [each for each in workers.map(sample, indices) if each is not None]
            if not samples:
                return {}
            found = dict(zip(layers, workers.map(find, layers), strict=True))
        return {layer: directions for layer, directions in found.items() if directions is not None}

    def _base_directions(self) -> dict[str, Directions]:
        """Return the directions of the build that the bank began with."""
        assert self._base is not None
        manifest = self._base.manifest
        if manifest.directions is None:
            return {}
        folder = self.path / layout.DIRECTIONS / str(manifest.directions.id)
        return {
            layer: read_directions(
                folder / f"{layout.encode_name(layer)}.npy",
                (count, manifest.layers[layer].shape[2]),
                digest,
            )
            for layer, (count, digest) in manifest.directions.layers.items()
        }

    def _write_directions(self) -> None:
        """Keep the directions for later appends, and for the shards, which link to them."""
        if self._base is not None or not self._directions:
            return
        folder = fresh_folder(self._directions_folder())
        for layer, found in self._directions.items():
            write_directions(folder / f"{layout.encode_name(layer)}.npy", found)
        sync_tree(folder)

    def _directions_folder(self) -> Path:
        number = self._plan.directions
        if self._base is not None and self._base.manifest.directions is not None:
            number = self._base.manifest.directions.id
        return self.path / layout.DIRECTIONS / str(number)

    def _descriptor_dim(self) -> int | None:
        """Return the number of values of a descriptor: of the first image, where sizes are free."""
        if self._descriptor is None:
            return None
        if self._base is not None:
            assert self._base.manifest.descriptor is not None
            return self._base.manifest.descriptor.dim
        if self._network.input_size is None:
            for index in range(len(self._dataset)):
                if (raw := self._sampled.get(index) or self._sample(index)) is not None:
                    return raw[self._descriptor].size
        return math.prod(self._network.tap_shape(self._descriptor))

    def _sample(self, index: int) -> dict[str, npt.NDArray[np.float32]] | None:
        """Return the activations of a pair ahead of its turn; None for one that cannot be used.

        Some are kept until they are packed.
        """
        try:
            pair = self._reader.read(index)
        except ImageError:
            return None  # the build will say so when it comes to this pair
        if isinstance(pair, SkippedImage):
            return None
        raw = self._activations(pair)
        size = sum(each.nbytes for each in raw.values())
        with self._sampling:
            if self._sampled_bytes + size <= _MOST_KEPT:
                self._sampled_bytes += size
                self._sampled[index] = raw
        return raw

    # Shards

    def _build_shard(self, number: int, first: int, stop: int) -> None:
        """Build the shard of the images `first` to `stop` of the dataset."""
        folder = self.path / layout.SHARDS / str(number)
        whole = self._journal.begin_shard()
        while True:
            directions = {
                name: found for name, found in self._directions.items() if name not in whole
            }
            try:
                with contextlib.closing(PartialShard(folder, self._specs(directions))) as shard:
                    self._fill(shard, directions, first, stop)
            except _OutsideDirections as outside:
                whole |= {outside.layer}
                with disk_errors(folder):
                    shutil.rmtree(folder)
                self._journal.start_shard_over(whole)
                self._forget_from(first)
                continue
            if shard.images:
                self._shards.append(ShardEntry(number, shard.images))
            else:
                with disk_errors(folder):
                    shutil.rmtree(folder)
            return

    def _fill(
        self, shard: PartialShard, directions: Mapping[str, Directions], first: int, stop: int
    ) -> None:
        """Take over what is done of a shard, do the rest, and complete it."""
        if self._sizes is not None:
            shard.reserve(self._sizes, stop - first)
        self._journal.take_over(stop - first, lambda entry: self._take_over(shard, entry))
        self._report()
        if self.done < stop:
            self._compute(shard, directions, stop)
        if shard.images:
            self._finish(shard, directions)

    def _take_over(self, shard: PartialShard, entry: Entry) -> bool:
        """Take over the next image, if it is done and the dataset still has the same pair."""
        self._report()
        pair = self._reader.read(self.done)
        if isinstance(pair, SkippedImage) or entry.skipped is not None:
            if not isinstance(pair, SkippedImage) or entry.skipped is None:
                return False
        else:
            # Input and target are the last two arrays.
            current = zlib.crc32(pair.input.data), zlib.crc32(pair.target.data)
            if entry.crc32[-2:] != current or not shard.holds(entry):
                return False
        self._accept(shard, entry)
        return True

    def _compute(
        self, shard: PartialShard, directions: Mapping[str, Directions], stop: int
    ) -> None:
        """Run the network over the rest of a shard.

        Each worker reads a pair, runs the network on it and packs what that gives; what the workers
        have done is written in the order of the dataset.

        Raises
        ------
        _OutsideDirections
            If the sample has not told all directions of a layer.
        """
        # One for each image that is being computed, and one for that which is being written.
        self._packers = SimpleQueue()
        for _ in range(self._workers + 1):
            self._packers.put(
                Packer(tuple(self._layers), self._descriptor, self._dtype, directions)
            )
        ahead: deque[Future[_Packed | SkippedImage]] = deque()
        with ThreadPoolExecutor(self._workers) as workers:
            try:
                for index in range(self.done, stop):
                    ahead.append(workers.submit(self._pack, index))
                    if len(ahead) > self._workers:
                        self._write(shard, ahead.popleft().result())
                while ahead:
                    self._write(shard, ahead.popleft().result())
            finally:
                for each in ahead:
                    each.cancel()

    def _pack(self, index: int) -> _Packed | SkippedImage:
        """Return the records of a pair, in a packer's buffers, taken until it is put back."""
        pair = self._reader.read(index)
        if isinstance(pair, SkippedImage):
            return pair
        raw = self._sampled.pop(index, None) or self._activations(pair)
        if (error := self._too_small(raw, pair.name)) is not None:
            return self._reader.refuse(index, error)
        self._check_descriptor(raw, pair.name)
        packer = self._packers.get()
        records = [*packer.records(raw, pair.name), pair.input, pair.target]
        return _Packed(records, packer.outside(), packer)

    def _activations(self, pair: Pair) -> dict[str, npt.NDArray[np.float32]]:
        """Return the raw activations (D, h, w) of the input, by tap."""
        return dict(self._network.read(pair.input, self._taps, name=pair.name).taps)

    def _too_small(
        self, raw: Mapping[str, npt.NDArray[np.float32]], name: str
    ) -> ImageError | None:
        """Return an error if an image has no room for a hyperpatch."""
        for layer in self._layers.values():
            (h, w), (rows, cols) = layer.hyperpatch, raw[layer.name].shape[1:]
            if rows < h or cols < w:
                return ImageError(
                    f"{name} is too small: it has {rows}x{cols} cells in layer {layer.name!r}, "
                    f"whose hyperpatch has {h}x{w}"
                )
        return None

    def _check_descriptor(self, raw: Mapping[str, npt.NDArray[np.float32]], name: str) -> None:
        """Raise DatasetError unless an image's descriptor has as many values as the others."""
        if self._descriptor is not None and raw[self._descriptor].size != self._dim:
            raise DatasetError(
                f"the descriptor {self._descriptor!r} of {name!r} has "
                f"{raw[self._descriptor].size} values, those of other images {self._dim}: the "
                f"images differ in size. Bring them to one (`--size` with `--resize`), or choose a "
                f"descriptor that is pooled over the whole image."
            )

    def _write(self, shard: PartialShard, packed: _Packed | SkippedImage) -> None:
        if isinstance(packed, SkippedImage):
            entry = Entry(skipped=packed.reason)
        elif packed.outside is not None:
            raise _OutsideDirections(packed.outside)
        else:
            entry = shard.write(packed.records)
            self._packers.put(packed.packer)
        self._journal.append(entry)
        self._accept(shard, entry)
        self._report()

    def _accept(self, shard: PartialShard, entry: Entry) -> None:
        if entry.skipped is None:
            shard.accept(entry)
            self._kept.append(self.done)
        else:
            self._skipped[self.done] = SkippedImage(self._dataset.names[self.done], entry.skipped)
        self.done += 1

    def _forget_from(self, index: int) -> None:
        """Forget what has become of the images of the dataset from one on."""
        self.done = index
        self._kept = array("q", (each for each in self._kept if each < index))
        self._skipped = {each: why for each, why in self._skipped.items() if each < index}

    def _finish(self, shard: PartialShard, directions: Mapping[str, Directions]) -> None:
        shard.finish()
        for layer in directions:
            source = self._directions_folder() / f"{layout.encode_name(layer)}.npy"
            link_or_copy(source, shard.folder / layout.directions_file(layer))
        *cells, input_pixels, target_pixels = shard.rows
        geometries = self._geometries(shard)
        layers = {}
        for (name, geometry), rows in zip(self._layers.items(), cells, strict=True):
            channels = geometry.shape[2]
            kept = len(directions[name]) if name in directions else channels
            layers[name] = ShardLayer(
                rows,
                channels,
                kept,
                self._digests[name] if name in directions else None,
                geometries[name],
            )
        contents = ShardContents(
            shard.images, self._dtype, layers, self._dim, input_pixels, target_pixels
        )
        write_contents(shard.folder, contents, shard.places, shard.checksums)

    def _geometries(self, shard: PartialShard) -> dict[str, dict[tuple[Size, Size], Geometry]]:
        """Return where the cells of each layer lie over the images of a shard, by their sizes."""
        inputs = len(self._layers)
        found: dict[str, dict[tuple[Size, Size], Geometry]] = {}
        for group, name in enumerate(self._layers):
            sizes = np.unique(shard.places[:, [inputs, group], 1:].reshape(-1, 4), axis=0)
            found[name] = {}
            for height, width, rows, cols in sizes.tolist():
                layer = self._network.layer(name, (height, width))
                if layer.shape[:2] != (rows, cols):
                    raise NetworkError(
                        f"{self._network.name} gave {rows}x{cols} cells of {name!r} for an image "
                        f"of {height}x{width}, and then {layer.shape[0]}x{layer.shape[1]}; it must "
                        f"give as many each time"
                    )
                found[name][(height, width), (rows, cols)] = layer.geometry
        return found

    # Space

    def _specs(self, directions: Mapping[str, Directions]) -> tuple[ArraySpec, ...]:
        kept = {
            name: len(directions[name]) if name in directions else layer.shape[2]
            for name, layer in self._layers.items()
        }
        kinds = self._dataset.input_kind, self._dataset.target_kind
        return layout.array_specs(kept, self._dtype, self._dim, kinds)

    @property
    def _sizes(self) -> list[tuple[int, int]] | None:
        """Rows and columns of each image in each group of arrays; None where they differ."""
        size = self._network.input_size
        if size is None:
            return None
        cells = (layer.shape[:2] for layer in self._layers.values())
        return [*cells, size, self._network.output_size(size)]

    def _check_space(self) -> None:
        """Refuse to begin what the disk has no room for.

        Raises
        ------
        BankError
            If it has not.
        """
        if self._sizes is None:
            return
        count, specs = len(self._dataset), self._specs(self._directions)
        whole = sum(
            len(self._plan.shards) * layout.HEADER_BYTES
            + count * (layout.rows_of_image(spec, self._sizes) * spec.row_bytes + _NOTES_BYTES)
            for spec in specs
        )
        files = [
            file
            for number in self._plan.shards
            for file in (self.path / layout.SHARDS / str(number)).rglob("*.npy")
        ]
        needed = max(0, whole - sum(file.stat().st_blocks * 512 for file in files))
        available = shutil.disk_usage(self.path).free
        self.room = (
            f"the bank needs {_size(needed)} more in {self.path.parent}, where {_size(available)} "
            f"are available. Free some, build it elsewhere, or keep fewer layers"
        )
        if needed > available:
            raise BankError(f"{self.room}.")

    # Publishing

    def _manifest(self) -> Manifest:
        """Write the tables; return the manifest of the bank, once all images are done."""
        dataset, base = self._dataset, self._base
        names = [dataset.names[index] for index in self._kept]
        attributes: Attributes = dataset.attributes
        skipped = list(self._skipped.values())
        shards, images = tuple(self._shards), _places_of(self._shards)
        if base is not None:
            images[:, 0] += len(base.shards)
            images = np.concatenate([base.tables.images, images])
            shards = (*base.manifest.shards, *shards)
            added = set(names)
            skipped = [each for each in base.tables.skipped if each.name not in added] + skipped
            names = [*base.tables.names, *names]
            attributes = {**base.tables.attributes, **dataset.attributes}
        tables = write_new_tables(self._writer, names, images, attributes, skipped)
        version = importlib.metadata.version("compnn")
        if base is not None:
            return replace(
                base.manifest,
                generation=base.manifest.generation + 1,
                images=len(names),
                compnn_version=version,
                shards=shards,
                tables=tables,
                attachments={},
            )
        network, newest = self._network, self._writer.newest
        known = {
            name: (len(found), self._digests[name]) for name, found in self._directions.items()
        }
        return Manifest(
            generation=1 if newest is None else newest.generation + 1,
            images=len(names),
            compnn_version=version,
            network=network.identity(),
            network_file=None,
            preprocessing=network.preprocessing,
            inputs=network.input_choice,
            grids=network.grids,
            output=network.output_choice,
            dtype=self._dtype,
            layers=dict(self._layers),
            descriptor=None
            if self._descriptor is None or self._dim is None
            else BankDescriptor(self._descriptor, self._dim),
            input_kind=dataset.input_kind,
            target_kind=dataset.target_kind,
            shards=shards,
            tables=tables,
            directions=DirectionsEntry(self._plan.directions, known) if known else None,
            probe=self._write_probe(),
        )

    def _write_probe(self) -> AttachmentEntry:
        """Keep what the network makes of the first image."""
        pair = self._reader.read(self._kept[0])
        if isinstance(pair, SkippedImage):
            raise ImageError(f"{pair.name} could be read before, and now: {pair.reason}")
        number = self._writer.new_id(layout.PROBES)
        folder = self.path / layout.PROBES / str(number)
        return AttachmentEntry(
            number, write_attached(folder, probe(self._network, pair.input, self._taps))
        )

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self.done, len(self._dataset))


def write_new_tables(
    writer: Writer,
    names: Sequence[str],
    images: npt.NDArray[np.int64],
    attributes: Attributes,
    skipped: Sequence[SkippedImage],
) -> TablesEntry:
    """Write the tables of the next generation: see `compnn.bank.tables.write_tables`."""
    number = writer.new_id(layout.TABLES)
    folder = writer.path / layout.TABLES / str(number)
    return TablesEntry(number, write_tables(folder, names, images, attributes, skipped))


def _places_of(shards: Sequence[ShardEntry]) -> npt.NDArray[np.int64]:
    """Shard and slot (n, 2) of the images of shards, one after the other."""
    counts = [each.images for each in shards]
    slots = [np.arange(count, dtype=np.int64) for count in counts]
    numbers = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return np.stack([numbers, np.concatenate(slots)], axis=1)


def _copy_network(network: Network, manifest: Manifest, path: Path) -> str:
    """Copy the network's files into a bank; return the name of the first one."""
    files = network_files(Path(str(network.identity().path)))
    folder = fresh_folder(network_folder(path, manifest))
    for file in files:
        target = folder / file.relative_to(files[0].parent)
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    sync_tree(folder)
    return files[0].name


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB ({count} bytes)"
