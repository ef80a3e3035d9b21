"""A bank: activations, descriptors and pictures of training images on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn import _core
from compnn.bank import layout
from compnn.bank.build import Say, append_pairs, build_bank
from compnn.bank.cells import BankCells, BankDescriptors
from compnn.bank.changes import (
    attach_arrays,
    compact_shards,
    drop_images,
    merge_banks,
    replace_attributes,
)
from compnn.bank.directions import Directions
from compnn.bank.generations import Generation, Writer, network_folder
from compnn.bank.manifest import field_name, scaling_json
from compnn.bank.pictures import Pictures
from compnn.bank.probe import disagreement
from compnn.bank.rehearsal import SAME
from compnn.bank.tables import Attributes, SkippedImage
from compnn.data.dataset import Dataset
from compnn.errors import (
    BankError,
    DatasetError,
    ImageError,
    LayerError,
    NetworkError,
    SearchError,
)
from compnn.images.kinds import Kind, Picture
from compnn.network.layer import Layer
from compnn.network.network import Identity, Network
from compnn.network.onnx import OnnxNetwork
from compnn.network.onnx_graph import OnnxGraph
from compnn.network.preprocessing import Preprocessing

Progress = Callable[[int, int], None]


class Bank:
    """A bank, opened as it is now: what others write into it later does not change this one.

    Opening takes milliseconds whatever the size; what is read is checked against its checksum once.
    Many processes can read one bank while another one writes. A `Bank` may be shared by threads; a
    pickle remembers the path and the generation, and is of no use once that is gone.

    Parameters
    ----------
    path
        Folder of the bank.

    Attributes
    ----------
    path : Path

    Raises
    ------
    BankError
        If there is no complete bank at `path`, it is damaged or of another format.

    Examples
    --------
    >>> network = compnn.OnnxNetwork("pix2pix.onnx", layers=["decoder_2"], descriptor="decoder_7")
    >>> pairs = compnn.SideBySide("facades/train", input="right")
    >>> with compnn.build("facades.bank", network, pairs) as bank:
    ...     print(len(bank))
    400
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        # Files are opened when they are first needed: by then the working folder may be another.
        self._opened = Generation(Path(os.path.abspath(path)))

    @classmethod
    def _reopened(cls, path: str, generation: int) -> Bank:
        """The bank that was pickled."""
        bank = cls.__new__(cls)
        bank.path = Path(path)
        bank._opened = Generation(bank.path, generation)
        return bank

    def __reduce__(self) -> tuple[Callable[..., Bank], tuple[str, int]]:
        return Bank._reopened, (str(self._opened.path), self.generation)

    def __copy__(self) -> Bank:
        """The same generation: a change through one of them does not move the other on."""
        bank = Bank.__new__(Bank)
        bank.path, bank._opened = self.path, self._opened
        return bank

    def __repr__(self) -> str:
        return (
            f"Bank({str(self.path)!r}: {len(self)} images, {self.dtype}, "
            f"layers {', '.join(self.layers)}, descriptor {self.descriptor})"
        )

    def __len__(self) -> int:
        return self._opened.manifest.images

    def __enter__(self) -> Bank:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let a writer remove what only this generation of the bank needs."""
        self._opened.close()

    # What it holds

    @property
    def generation(self) -> int:
        """Number of the generation that this is: each change of a bank makes the next one."""
        return self._opened.manifest.generation

    @property
    def shards(self) -> int:
        """Number of shards that it is stored in."""
        return len(self._generation.shards)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the training images, distinct."""
        return self._generation.tables.names

    @property
    def attributes(self) -> Attributes:
        """Attributes, {name: {key: value}}, of the training images that have any."""
        return self._generation.tables.attributes

    @property
    def skipped(self) -> tuple[SkippedImage, ...]:
        """Images of the datasets that were left out, with the reasons."""
        return self._generation.tables.skipped

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers whose activations the bank holds.

        For images of the network's size; where it takes any, for one that stands for all
        (`layer_of` tells those of an image).
        """
        return self._opened.manifest.layers

    @property
    def descriptor(self) -> str | None:
        """The tap whose activations are the global descriptors; None without them."""
        found = self._opened.manifest.descriptor
        return None if found is None else found.tap

    @property
    def dtype(self) -> str:
        """Of activations: "float16", "bfloat16", "float32" or "int8"."""
        return self._opened.manifest.dtype

    @property
    def input_kind(self) -> Kind:
        """What the inputs are."""
        return self._opened.manifest.input_kind

    @property
    def target_kind(self) -> Kind:
        """What the targets are."""
        return self._opened.manifest.target_kind

    @property
    def network(self) -> Identity:
        """The network that it was built with."""
        return self._opened.manifest.network

    @property
    def preprocessing(self) -> Preprocessing:
        """How images were given to the network."""
        return self._opened.manifest.preprocessing

    @property
    def unknown_fields(self) -> tuple[str, ...]:
        """Fields of the manifest that a later compnn has written; they are kept."""
        return tuple(map(field_name, self._opened.manifest.unknown))

    @property
    def nbytes(self) -> int:
        """Size of all arrays of all images together, without the files' headers."""
        return sum(
            (shard.images if spec.group is None else shard.contents.rows[spec.group])
            * spec.row_bytes
            for shard in self._generation.shards
            for spec in shard.specs
        )

    @property
    def fingerprint(self) -> str:
        """Equal for banks that give the same explanations: "sha256:" and a hex digest.

        It tells the content, not where the bank lies, how its images are shared out among shards,
        or what is only said of them (attributes, attachments).
        """
        manifest = self._generation.manifest
        content = {
            "network": manifest.network.fingerprint,
            "preprocessing": scaling_json(manifest.preprocessing),
            "output": manifest.output.to_json(),
            "dtype": manifest.dtype,
            "layers": [each.to_json() for each in manifest.layers.values()],
            "descriptor": self.descriptor,
            "kinds": [self.input_kind.to_json(), self.target_kind.to_json()],
            "names": list(self.names),
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        digest.update(self._generation.checksums().tobytes())
        return f"sha256:{digest.hexdigest()}"

    def layer_bytes(self, name: str) -> int:
        """Size of a layer's activations and norms.

        Raises
        ------
        LayerError
            If the bank does not hold the layer.
        """
        self.layer(name)
        files = layout.activations_file(name), layout.norms_file(name)
        return sum(
            shard.contents.rows[spec.group] * spec.row_bytes
            for shard in self._generation.shards
            for spec in shard.specs
            if spec.file in files and spec.group is not None
        )

    def kept(self, name: str) -> tuple[int, ...]:
        """How many numbers of a cell of a layer are kept, ascending: by all shards, or some.

        Raises
        ------
        LayerError
            If the bank does not hold the layer.
        """
        self.layer(name)
        return tuple(
            sorted({shard.contents.layers[name].kept for shard in self._generation.shards})
        )

    def layer(self, name: str) -> Layer:
        """Return a layer.

        Raises
        ------
        LayerError
            If the bank does not hold it.
        """
        try:
            return self.layers[name]
        except KeyError:
            raise LayerError(
                f"the bank has no layer {name!r}, only {', '.join(self.layers)}. "
                f"Choose one of them, or build a bank with this layer."
            ) from None

    def layer_of(self, name: str, image: int) -> Layer:
        """Return a layer as it lies over one of the bank's images.

        Raises
        ------
        LayerError
            If the bank does not hold it.
        BankError
            If its shard is damaged.
        """
        layer = self.layer(name)
        shard, _, rows, cols = self._generation.rows(self._group(name))[image].tolist()
        geometry = self._generation.shards[shard].geometry(
            name, self.inputs.size(image), (rows, cols)
        )
        return replace(layer, shape=(rows, cols, layer.shape[2]), geometry=geometry)

    def index(self, name: str) -> int:
        """Return the index of the image called `name`.

        Raises
        ------
        BankError
            If the bank does not have it.
        """
        try:
            return self._generation.tables.indices[name]
        except KeyError:
            raise BankError(
                f"the bank has no image {name!r}; its images are {_some(self.names)}."
            ) from None

    def indices(self, among: Sequence[int | str] | None) -> list[int]:
        """Return the indices of images, ascending, each once.

        Parameters
        ----------
        among
            Names or indices. None: all images.

        Raises
        ------
        SearchError
            If there are none, or an index is not of this bank.
        BankError
            If a name is not of this bank.
        """
        if among is None:
            return list(range(len(self._generation.tables.images)))
        if isinstance(among, str):
            raise SearchError(f"candidates must be a list of names or indices, not {among!r}")
        if len(among) == 0:
            raise SearchError("there are no candidates; allow at least one training image")
        indices = set()
        for image in among:
            index = self.index(image) if isinstance(image, str) else int(image)
            if not 0 <= index < len(self):
                raise SearchError(
                    f"there is no training image {index}; the bank has images 0 to {len(self) - 1}"
                )
            indices.add(index)
        return sorted(indices)

    # Pictures

    @property
    def inputs(self) -> Pictures:
        """The training inputs, uint8 (H, W, 3) each, as the network saw them."""
        return Pictures(self._generation, layout.INPUTS_FILE, len(self.layers))

    @property
    def targets(self) -> Pictures:
        """The training targets, of the kind `target_kind`."""
        return Pictures(self._generation, layout.TARGETS_FILE, len(self.layers) + 1)

    def pair(self, image: int) -> tuple[Picture, Picture]:
        """Input and target of an image, copied.

        Raises
        ------
        BankError
            If one is damaged.
        """
        return np.array(self.inputs.picture(image)), np.array(self.targets.picture(image))

    # Activations

    def cells(self, layer: str, images: Sequence[int]) -> BankCells:
        """The cells of a layer for the engine, once those of `images` have been checked.

        They are those of all images of the bank, in its order.

        Raises
        ------
        LayerError
            If the bank does not hold the layer.
        BankError
            If one of `images` is damaged.
        """
        self.layer(layer)
        generation = self._generation
        for file in (layout.activations_file(layer), layout.norms_file(layer)):
            generation.check(file, images)
        with generation.lock:
            if layer not in generation.cells:
                generation.cells[layer] = self._open_cells(generation, layer)
            cells: BankCells = generation.cells[layer]
            return cells

    def descriptors(self, images: Sequence[int]) -> BankDescriptors:
        """The global descriptors for the engine, once those of `images` have been checked.

        Raises
        ------
        SearchError
            If the bank has none.
        BankError
            If one of `images` is damaged.
        """
        if self.descriptor is None:
            raise SearchError(
                f"the bank {self.path} has no global descriptors, which the nearest images are "
                f"chosen by; build it with a descriptor (`--descriptor`), or search all images"
            )
        generation = self._generation
        for file in (layout.DESCRIPTORS_FILE, layout.DESCRIPTOR_NORMS_FILE):
            generation.check(file, images)
        with generation.lock:
            if None not in generation.cells:
                generation.cells[None] = self._open_descriptors(generation, self.descriptor)
            descriptors: BankDescriptors = generation.cells[None]
            return descriptors

    def verify(self, progress: Progress | None = None) -> None:
        """Read the whole bank and check all checksums; `progress(done, total)` counts images.

        Raises
        ------
        BankError
            If anything is damaged, naming file and image.
        """
        self._generation.verify(progress)

    def _open_cells(self, generation: Generation, layer: str) -> BankCells:
        bases: dict[str | None, int] = {}
        directions: list[Directions | None] = []
        shards = []
        for shard in generation.shards:
            digest = shard.contents.layers[layer].directions
            if digest not in bases:
                bases[digest] = len(bases)
                directions.append(shard.directions(layer))
            cells = shard.array(layout.activations_file(layer))
            norms = shard.array(layout.norms_file(layer))
            shards.append((cells, norms, bases[digest]))
        rows = generation.rows(self._group(layer))
        core = _core.CellBank(shards, rows)
        channels = max(shard.contents.layers[layer].kept for shard in generation.shards)
        return BankCells(core, rows[:, 2:], layer, self.dtype, directions, channels)

    def _open_descriptors(self, generation: Generation, tap: str) -> BankDescriptors:
        shards = [
            (
                shard.array(layout.DESCRIPTORS_FILE),
                shard.array(layout.DESCRIPTOR_NORMS_FILE),
                0,
            )
            for shard in generation.shards
        ]
        images = np.ones((generation.manifest.images, 4), np.int64)
        images[:, :2] = generation.tables.images
        return BankDescriptors(_core.CellBank(shards, images), tap, shards[0][0].shape[1])

    def _group(self, layer: str) -> int:
        return list(self.layers).index(layer)

    @property
    def _generation(self) -> Generation:
        self._check_open()
        return self._opened

    def _check_open(self) -> None:
        if self._opened.closed:
            raise BankError(f"the bank {self.path} has been closed. Open it again.")

    # Changes

    def append(
        self,
        network: Network,
        dataset: Dataset,
        *,
        skip_bad: bool = False,
        restart: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Add pairs to the bank, and go on with the generation that has them.

        The parameters are those of `build`; an append that was interrupted is resumed by the same
        call. Layers are kept along the directions that the build found.

        Raises
        ------
        BankError
            If the network or its preprocessing is another; otherwise as `build`.
        DatasetError
            If the bank has an image of one of the names, or its pictures are of other kinds;
            otherwise as `build`.
        ImageError, ActivationError
            As `build`.
        """
        self.check_network(network)
        for what, ours, theirs in (
            ("inputs", self.input_kind, dataset.input_kind),
            ("targets", self.target_kind, dataset.target_kind),
        ):
            if not ours.is_like(theirs):
                raise DatasetError(
                    f"the bank's {what} are {ours.describe()}, those to append "
                    f"{theirs.describe()}: kind, classes and colours must be the same. Give the "
                    f"pairs the bank's kinds of pictures (palettes)."
                )
        with self._changing() as writer:
            append_pairs(
                writer, network, dataset, skip_bad=skip_bad, restart=restart, progress=progress
            )

    def drop(self, names: Iterable[str]) -> None:
        """Hide images; `compact` gives their space back.

        Raises
        ------
        BankError
            If the bank does not have one of them, none would be left, or it cannot be written.
        """
        with self._changing() as writer:
            drop_images(writer, names)

    def compact(self) -> None:
        """Rewrite shards that hide images or are small, and remove what nobody reads any more.

        On file systems without locks this removes older generations though somebody may read them.

        Raises
        ------
        BankError
            If something is damaged or cannot be written.
        """
        with self._changing(without_locks=True) as writer:
            compact_shards(writer)

    def set_attributes(self, source: str | Path | Mapping[str, Mapping[str, str]] | None) -> None:
        """Give the images other attributes in place of those that they have.

        Parameters
        ----------
        source
            CSV file or mapping, see `compnn.data.attributes.resolve_attributes`; None for none.

        Raises
        ------
        DatasetError
            If it cannot be read, or names other images.
        BankError
            If the bank cannot be written.
        """
        with self._changing() as writer:
            replace_attributes(writer, source)

    def attach(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Keep arrays of numbers with the bank, until images are added or dropped.

        What was attached under the same name is replaced.

        Raises
        ------
        BankError
            If an array cannot be kept, or the bank cannot be written.
        """
        with self._changing() as writer:
            attach_arrays(writer, name, arrays)

    def attachment(self, name: str) -> dict[str, npt.NDArray[Any]] | None:
        """The arrays that were attached under a name, read-only; None where there are none.

        Raises
        ------
        BankError
            If one is damaged.
        """
        return self._generation.attachment(name)

    @contextlib.contextmanager
    def _changing(self, *, without_locks: bool = False) -> Iterator[Writer]:
        """Change the bank, go on with its new generation, and remove what nobody needs."""
        self._check_open()
        with Writer(self._opened.path) as writer:
            if writer.newest is None:
                raise BankError(f"there is no bank at {self.path} any more.")
            yield writer
            # Pictures that are in use keep the older generation.
            self._opened = writer.generation()
            writer.clean(without_locks=without_locks)

    # The network

    def open_network(
        self,
        path: str | Path | None = None,
        *,
        resize: bool | None = None,
        num_threads: int = -1,
        providers: Sequence[str] = ("cpu",),
    ) -> OnnxNetwork:
        """Open the network of this bank, with the bank's layers, inputs and preprocessing.

        Parameters
        ----------
        path
            Its file. Default: in the bank, where it was when the bank was built, or beside the
            bank.
        resize
            Whether images of another size are resized. Default: as at the build.
        num_threads
            Threads of one run; -1 means all CPUs that this process may use.
        providers
            As in `OnnxNetwork`.

        Raises
        ------
        NetworkError
            If there is no such file, it is not a network, or a provider is not available.
        BankError
            If it is another network.
        """
        preprocessing = self.preprocessing
        if resize is not None:
            preprocessing = replace(preprocessing, resize=resize)
        files = self._network_files() if path is None else [Path(path)]
        refused: BankError | None = None
        for file in files:
            try:
                return self._open_network(file, preprocessing, num_threads, providers)
            except BankError as error:  # another network: that of the bank may be the next
                refused = refused or error
        assert refused is not None
        raise refused

    def _network_files(self) -> list[Path]:
        """The files that may be the bank's network, likeliest first."""
        places, manifest = [], self._opened.manifest
        if manifest.network_file is not None:
            places.append(network_folder(self._opened.path, manifest) / manifest.network_file)
        if self.network.path is not None:
            was = Path(self.network.path)
            places += [was, self._opened.path.with_name(was.name)]
        files = [file for file in places if file.is_file()]
        if not files and self.network.path is None:
            raise NetworkError(
                f"the bank {self.path} was built with {self.network.described}, which it cannot "
                f"open by itself; give the network: `Explainer(bank, network)`"
            )
        if not files:
            raise NetworkError(
                f"the bank's network is no longer at {self.network.path}, nor beside the bank "
                f"{self.path} or in it; give its file with `--network`, or give the network"
            )
        return files

    def _open_network(
        self, file: Path, preprocessing: Preprocessing, num_threads: int, providers: Sequence[str]
    ) -> OnnxNetwork:
        manifest = self._opened.manifest
        try:
            network = OnnxNetwork(
                file,
                list(self.layers),
                self.descriptor,
                preprocessing=preprocessing,
                output=manifest.output,
                num_threads=num_threads,
                image_input=manifest.inputs.image,
                values=manifest.inputs.values,
                providers=providers,
                grids=manifest.grids,
            )
        except (LayerError, NetworkError):
            # Another network need not have the bank's layers and size: then that is the message.
            self._check_identity(
                Identity("onnx", OnnxGraph(file, manifest.inputs).fingerprint, str(file))
            )
            raise
        self.check_network(network)
        return network

    def check_network(self, network: Network) -> None:
        """Check that `network` is that of this bank, with the same preprocessing.

        Another form of it (the module of an exported file, another version of ONNX Runtime, on a
        GPU) is taken where it gives the activations that the bank's gave, within a thousandth of
        the largest: a warning says so.

        Raises
        ------
        BankError
            If it is not.
        """
        identity, known = network.identity(), self.network
        if (identity.fingerprint, identity.runtime) != (known.fingerprint, known.runtime):
            self._check_probe(network, identity)
        grids = [dict(each.grids) for each in (self._opened.manifest, network)]
        if grids[0] != grids[1]:
            said = [
                ", ".join(f"{name}={grid}" for name, grid in each.items()) or "none"
                for each in grids
            ]
            raise BankError(
                f"the bank was built with the grids {said[0]}, but the network is given {said[1]}. "
                f"Use the bank's, or build a bank with this one."
            )
        ours, theirs = scaling_json(self.preprocessing), scaling_json(network.preprocessing)
        if ours != theirs:
            raise BankError(
                f"the bank was built with the preprocessing {ours}, but the network is given "
                f"{theirs}. Use the bank's, or build a bank with this one."
            )

    def _check_identity(self, other: Identity) -> None:
        if other.fingerprint != self.network.fingerprint:
            raise self._another(other)

    def _another(self, other: Identity, why: str = "") -> BankError:
        ours = self.network
        names = [f"{each.described} ({each.short})" for each in (ours, other)]
        if ours.fingerprint == other.fingerprint:
            names = [f"{each.runtime} in {each.described}" for each in (ours, other)]
        return BankError(
            f"the bank was built with {names[0]}, not with {names[1]}{why}. Give that network, or "
            f"build a bank with this one."
        )

    def _check_probe(self, network: Network, identity: Identity) -> None:
        """Refuse a network that does not give what the bank's gave."""
        generation = self._generation
        if identity in generation.agreeing:
            return
        taps = list(self.layers) if self.descriptor is None else [*self.layers, self.descriptor]
        kept = generation.probe
        try:
            worst, where = disagreement(kept, network, taps)
            lies = [
                name
                for name, layer in self.layers.items()
                if network.layer(name, layer.geometry.image_size).geometry != layer.geometry
            ]
        except (ImageError, LayerError, NetworkError) as error:
            raise self._another(identity, f": {error}") from error
        if not worst <= SAME:
            raise self._another(identity, f": {where} differs by {worst:.1%} of its largest number")
        if lies:
            raise self._another(identity, f": {lies[0]} lies elsewhere over the image")
        generation.agreeing.add(identity)
        warnings.warn(
            f"{network.name} is another form of the bank's network: {identity.described}, "
            f"{identity.runtime}, gives its activations "
            f"{f'within {worst:.0e} of the largest number' if worst else 'to the last bit'}",
            stacklevel=3,
        )


def build(
    path: str | Path,
    network: Network,
    dataset: Dataset,
    *,
    dtype: str = "float16",
    skip_bad: bool = False,
    overwrite: bool = False,
    restart: bool = False,
    copy_network: bool = False,
    check: bool = True,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Bank:
    """Build a bank of the activations of a network for all pairs of a dataset, and open it.

    A build that was interrupted leaves what it has done in the folder; the same call again resumes
    it, and the result has the same arrays. Memory does not grow with the number of images. For a
    network of a fixed size the disk space is reserved.

    Parameters
    ----------
    path
        Folder that will be the bank.
    network
        Its layers and its descriptor are kept.
    dataset
        The training pairs; inputs and targets must have the size that the network takes, unless
        `network.preprocessing.resize`.
    dtype
        Of activations: "float16", "bfloat16" (for activations beyond float16's 65504), "float32",
        or "int8" (8-bit integers along a cell's direction, and its norm). All but float32 leave out
        directions that no cell has a part in (`compnn.bank.directions`). Descriptors are float32.
    skip_bad
        Leave out pairs that cannot be used; `Bank.skipped` lists them with the reason.
    overwrite
        Replace a bank that is at `path`, once the new one is complete; who has it open keeps it.
    restart
        Discard what an interrupted build left instead of resuming it.
    copy_network
        Keep the network's file in the bank, too.
    check
        Compare what the network paints for up to 16 pairs with their targets, and stop where the
        data read otherwise (labels one less, another range, mirrored, ...) would fit better by far.
    progress
        Called as `progress(done, total)` at the start and after each pair that has been written.
    say
        Called with a line for each thing that is found out, or guessed, in a dry run: what the
        network's output is taken for, how much of its targets it reproduces, how long the build
        will take.

    Raises
    ------
    BankError
        If `path` exists (and is not a bank to overwrite), another process is writing there, an
        interrupted build had other content, or the disk is full.
    ImageError
        If a pair cannot be read, does not fit the network, or is too small for a hyperpatch.
    ActivationError
        If an activation or the output is NaN or infinite, or too large for `dtype`.
    NetworkError
        If the network gives other numbers when it is run again: dropout is on.
    DatasetError
        If the dataset is empty, none of its pairs can be used, its targets are no kind of picture
        that the network paints, the check says that they are read wrongly, or descriptors have
        different numbers of values.
    """
    build_bank(
        Path(os.path.realpath(path)),
        network,
        dataset,
        dtype=dtype,
        skip_bad=skip_bad,
        overwrite=overwrite,
        restart=restart,
        copy_network=copy_network,
        check=check,
        progress=progress,
        say=say,
    )
    return Bank(path)


def merge(banks: Sequence[Bank | str | Path], path: str | Path, *, overwrite: bool = False) -> Bank:
    """Make a bank of the images of several, in their order, and open it.

    Nothing is computed: files are linked, or copied where they cannot be. The banks stay.

    Parameters
    ----------
    banks
        Built by the same network, with the same preprocessing, layers, dtype and kinds of pictures;
        no two have an image of one name.
    path
        Folder of the new bank.
    overwrite
        Replace a bank that is at `path`; who has it open keeps it.

    Raises
    ------
    BankError
        If they cannot be merged, `path` exists (and is not a bank to overwrite), or it cannot be
        written.
    """
    with contextlib.ExitStack() as stack:
        opened = [
            each if isinstance(each, Bank) else stack.enter_context(Bank(each)) for each in banks
        ]
        sources = [each._generation for each in opened]
        merge_banks(sources, Path(os.path.realpath(path)), overwrite=overwrite)
    return Bank(path)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
