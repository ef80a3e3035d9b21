"""A network in an ONNX file: its layers, and what they say about an image."""

from __future__ import annotations

import difflib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.errors import ActivationError, DatasetError, LayerError, NetworkError
from compnn.images.kinds import Kind, Photo, Picture
from compnn.network.geometry import AxisMap, Geometry, Size, TokenGrid, maps_by_sizes
from compnn.network.input import InputChoice, Setting
from compnn.network.layer import Layer
from compnn.network.network import Identity, check_image, fit_image
from compnn.network.onnx_check import TapCheck, check_tap
from compnn.network.onnx_graph import OnnxGraph
from compnn.network.onnx_names import ModuleNames
from compnn.network.onnx_output import ending_of, main_output, output_layouts
from compnn.network.onnx_sessions import Sessions
from compnn.network.onnx_shapes import TensorInfo, check_reshapes, tensor_shapes, working_size
from compnn.network.onnx_trace import GraphTrace, TracedTap, trace
from compnn.network.output import Frame, Output, OutputChoice, no_output
from compnn.network.preprocessing import Preprocessing, image_channels
from compnn.network.reading import Reading
from compnn.network.suggestion import Suggestion, suggest

# Where a network takes images of any size, its layers are described for one of this size.
_ANY_SIZE = (256, 256)
# They give a part of a map, such as what is rolled around a border.
_PARTS = {"Slice", "Split", "Gather"}
# Sizes of images whose maps are kept.
_MOST_TRACES = 64


class OnnxNetwork:
    """A network that is read from an ONNX file.

    Parameters
    ----------
    path : str or Path
        The ONNX file, with an image input of floats or uint8, NCHW or NHWC. It is never changed.
        Where it leaves the size of its input free and `preprocessing` gives none, images of any
        size are taken.
    layers : sequence of str, optional
        Layers to work with: tensors of the graph by their names, or modules of a network that
        PyTorch exported by their paths ("u2.c"), for their results. Default: those that the file's
        metadata names, else every tap, less any that the hyperpatch does not fit into.
    descriptor : str, optional
        Tap that serves as global image feature. Default: that which the file's metadata names.
    preprocessing : Preprocessing, optional
        How images become input; what it leaves open is taken from the file.
    hyperpatch : (h, w), optional
        Cells of a hyperpatch, the same for all layers. Default: see `Layer.of`.
    output : OutputChoice, optional
        Which output to explain, and what it is. Default: what the file's metadata says, else the
        per-pixel output that most operators lead to, by these, its channels and the targets; none
        where no output is a picture, which `describe_output` says.
    num_threads : int
        Threads of one run; -1 means all CPUs that this process may use.
    image_input : str, optional
        Name of the input that is the image. Default: the only one that can be.
    values : mapping of str to float or array, optional
        What other inputs are set to: a number, or an array of their shape. Those that have a
        default, or that nothing needs which is asked for, need none.
    providers : sequence of str
        ONNX Runtime's execution providers, the first choice first: "cuda", or the full names. What
        none of them can run the CPU does.
    grids : mapping of str to TokenGrid or str, optional
        Of taps that are sequences of tokens which of them are cells, "14x14+1", where it cannot be
        told from the operators. Default: that which the file's metadata says.

    Attributes
    ----------
    path : Path
    fingerprint : str
        "sha256:<hex>" of the file (followed by the files that hold its weights, if any); of this
        and of `values`, where there are such.
    preprocessing : Preprocessing
        With size unless any is taken; with range, or mean and std, if these are known.
    input_size : (height, width), or None for any
    input_channels, output_channels : int
        Images have 3 channels (RGB) where the input has 1 or 3, else those of the input. Without
        an output 0.
    assumptions : tuple of str
        What was assumed of the input where the file does not say.
    output_choice, grids
        As given.
    layers : dict of str to Layer
        For images of the input size; where any is taken, of 256x256.
    descriptor : str or None

    Raises
    ------
    NetworkError
        When the file is missing, is not ONNX, has no image input, or not the output that is asked
        for; when images are to be resized, and neither it nor `preprocessing` says to what; when a
        value does not fit its input, or a provider is not available. What reads images raises it
        where neither says the range of the input.
    LayerError
        When a layer does not exist, or cannot take the hyperpatch; when a grid does not fit.

    Examples
    --------
    >>> network = OnnxNetwork("pix2pix-facades-labels-to-photo.onnx")  # doctest: +SKIP
    >>> network.activations(image, ["decoder_2"])["decoder_2"].shape   # doctest: +SKIP
    (128, 128, 128)
    """

    def __init__(
        self,
        path: str | Path,
        layers: Sequence[str] | None = None,
        descriptor: str | None = None,
        *,
        preprocessing: Preprocessing | None = None,
        hyperpatch: tuple[int, int] | None = None,
        output: OutputChoice | None = None,
        num_threads: int = -1,
        image_input: str | None = None,
        values: Mapping[str, Setting] | None = None,
        providers: Sequence[str] = ("cpu",),
        grids: Mapping[str, TokenGrid | str] | None = None,
    ) -> None:
        self._open(
            OnnxGraph(Path(path), InputChoice(image_input, values or {})),
            layers,
            descriptor,
            preprocessing,
            hyperpatch,
            output or OutputChoice(),
            num_threads,
            providers,
            {name: _grid_of(name, grid) for name, grid in (grids or {}).items()},
        )

    def _open(
        self,
        graph: OnnxGraph,
        layers: Sequence[str] | None,
        descriptor: str | None,
        preprocessing: Preprocessing | None,
        hyperpatch: tuple[int, int] | None,
        output: OutputChoice,
        num_threads: int,
        providers: Sequence[str],
        grids: Mapping[str, TokenGrid],
    ) -> None:
        self.path = graph.path
        self._absolute = self.path.absolute()  # of the folder that it was opened from
        metadata = graph.metadata
        self.fingerprint = graph.fingerprint
        self.input_channels = graph.input.channels
        self.preprocessing = (preprocessing or Preprocessing()).completed(metadata.preprocessing)
        if graph.input.dtype is np.uint8:
            pixels = Preprocessing(range=(0, 255))
            self.preprocessing = self.preprocessing.completed(pixels)
            if self.preprocessing.range != pixels.range or self.preprocessing.white != 255:
                raise NetworkError(
                    f"{self.path.name} takes pixels as they are, uint8; leave out the range, mean "
                    f"and std, and what is white"
                )
        self._file_size = graph.input.size
        self.input_size = _input_size(graph, self.preprocessing)
        self.preprocessing = self.preprocessing.completed(Preprocessing(size=self.input_size))
        if self.preprocessing.scales:
            self._check_scaling()
        self.assumptions = graph.input.notes
        self._sessions = Sessions(graph, num_threads, providers)
        height, width = self.input_size or self._file_size
        self._size = height or _ANY_SIZE[0], width or _ANY_SIZE[1]
        self._graph = graph
        self._traces: OrderedDict[Size, GraphTrace] = OrderedDict()
        self._tracing = threading.Lock()
        self._operators = {
            name: node.op_type for node in graph.proto.graph.node for name in node.output
        }
        self.output_choice, self.grids = output, grids
        values = graph.image_tensors()
        self._modules = ModuleNames(graph.proto.graph, values)
        self._shown = self._modules.shown()
        self._placed = {
            self._modules.results.get(name, name): grid
            for name, grid in {**metadata.grids, **grids}.items()
        }
        for name in self._placed.keys() - set(values):
            raise LayerError(f"a grid is given for {name!r}, which {self.path.name} does not have")
        tensors = self._tensors(self._size)
        self._outputs = output_layouts(graph.outputs, tensors, self._size, graph.input.batch or 1)
        self._output, self._without_output = self._chosen_output(graph, set(values))
        traced = self._traces[self._size] = self._trace(tensors)
        self._shapes = {name: tap.shape for name, tap in traced.taps.items()}
        self._vectors = traced.vectors
        self.output_channels = 0 if self._output is None else self._output.channels
        self._hyperpatch = hyperpatch
        self._named = metadata.layers
        if layers is None:
            self.layers = {layer.name: layer for layer in self.named_layers()}
            if not self._shapes:
                raise LayerError(
                    f"{self.path.name} has no layer: no tensor that it computes is a map of the "
                    f"image"
                )
            if not self.layers:
                raise LayerError(
                    f"no layer of {self.path.name} can take a hyperpatch of {hyperpatch} cells; "
                    f"ask for a smaller one"
                )
        else:
            self.layers = {name: self.layer(name) for name in layers}
        self.descriptor = descriptor or metadata.descriptor
        if self.descriptor is not None:
            self.tap_shape(self.descriptor)

    def __repr__(self) -> str:
        size = "any size" if self.input_size is None else "x".join(map(str, self.input_size))
        return (
            f"OnnxNetwork({str(self.path)!r}: {size}, {self.input_channels} -> "
            f"{self.output_channels} channels, layers {', '.join(self.layers)}, "
            f"descriptor {self.descriptor})"
        )

    def __reduce__(self) -> tuple[Callable[..., OnnxNetwork], tuple[object, ...]]:
        return _reopened, (
            self._absolute,
            list(self.layers),
            self.descriptor,
            self.preprocessing,
            self._hyperpatch,
            self.output_choice,
            self.num_threads,
            self._sessions.providers,
            self.input_choice,
            self.grids,
            self.fingerprint,
        )

    @property
    def names_layers(self) -> bool:
        """Whether the file's metadata names layers."""
        return bool(self._named)

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    @property
    def output_name(self) -> str | None:
        """As `Network.output_name`."""
        return None if self._output is None else self._output.name

    def identity(self) -> Identity:
        """Which network it is."""
        return Identity("onnx", self.fingerprint, str(self._absolute), self._sessions.runtime)

    @property
    def input_choice(self) -> InputChoice:
        """Which input is the image, and what others are set to, as given."""
        return self._graph.choice

    @property
    def image_channels(self) -> int:
        """As `compnn.network.preprocessing.image_channels`."""
        return image_channels(self.input_channels)

    @property
    def num_threads(self) -> int:
        """Threads of one run."""
        return self._sessions.num_threads

    def with_threads(self, num_threads: int) -> OnnxNetwork:
        """The same network, whose runs take another number of threads."""
        return self._changed(_sessions=self._sessions.with_threads(num_threads))

    def _changed(self, **attributes: object) -> OnnxNetwork:
        """The same network, with other attributes."""
        # Not `copy.copy`, which would read the file again, as pickle does.
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__ | attributes
        return other

    def with_preprocessing(self, preprocessing: Preprocessing) -> OnnxNetwork:
        """As `Network.with_preprocessing`.

        Raises
        ------
        NetworkError
            When it does not fit the network's channels.
        """
        preprocessing.scaling(self.input_channels)
        return self._changed(preprocessing=preprocessing)

    def layer(self, name: str, size: Size | None = None) -> Layer:
        """The tap `name` with its geometry, for images of `size`, which may be free.

        Default: for images as those of `layers`.

        Raises
        ------
        LayerError
            When there is none, naming the nearest; or when the hyperpatch does not fit into it.
        """
        tensor = self.tensor(name)
        size = self.input_size or size or self._size
        tap = self._traced(size).taps.get(tensor)
        if tap is None:
            raise LayerError(
                f"{name!r} is no layer of {self.path.name}: it "
                f"{self._traced(size).refused.get(tensor, 'has no place in the image')}; it can "
                f"only be a descriptor"
            )
        return self._layer_of(tap, name, size)

    def tensor(self, name: str) -> str:
        """The graph's tensor that a tap is: of its own name, or the result of a module.

        Raises
        ------
        LayerError
            When there is none, naming the nearest.
        """
        tensor = self._modules.results.get(name, name)
        if tensor in self._shapes or tensor in self._vectors:
            return tensor
        if needed := self._graph.needs(tensor):
            raise LayerError(needed)
        reason = self._traced(self._size).refused.get(tensor)
        if reason is not None:
            raise LayerError(f"{name!r} is no layer of {self.path.name}: it {reason}")
        if name in self._modules.repeated:
            tensors = ", ".join(map(repr, self._modules.repeated[name]))
            raise LayerError(
                f"the module {name!r} of {self.path.name} runs several times; name one of the "
                f"tensors that it gives: {tensors}"
            )
        nearest = difflib.get_close_matches(name, [*self._shapes, *self._modules.results], n=3)
        hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
        raise LayerError(
            f"unknown layer {name!r} in {self.path.name}{hint}; `compnn layers {self.path} --all` "
            f"lists all"
        )

    def output_size(self, image_size: Size) -> Size:
        """As `Network.output_size`: that of the image, or of the output where it is finer."""
        return self._frame(self.input_size or image_size).size

    def _layer_of(self, tap: TracedTap, name: str, size: Size) -> Layer:
        """A tap with its geometry, for images of `size`, by the name that was asked for."""
        frame, note = self._frame(size), tap.note
        outer, inner = frame.maps, tap.paints
        if inner is None:
            # Where no local path leads to the output, a cell paints where it looks.
            outer, inner = maps_by_sizes(size, frame.size), tap.looks
            if self._traced(size).output is not None:
                note = "; ".join(filter(None, (note, "no local path leads to the output")))
        paints = outer[0].after(inner[0]), outer[1].after(inner[1])
        geometry = Geometry(size, tap.looks, frame.size, paints, note)
        hyperpatch = self._hyperpatch or ((1, 1) if tap.tokens else None)
        return Layer.of(name, tap.shape, size, hyperpatch, geometry)

    def _frame(self, size: Size) -> Frame:
        """The picture that the output is, for images of `size`."""
        traced = self._traced(size)
        if traced.output is None:
            return Frame.of(maps_by_sizes(size, size), size)
        rows, cols = map(_over_image, traced.output.looks, traced.output.shape[:2], size)
        return Frame.of((rows, cols), size)

    def _output_cells(self, size: Size) -> Size | None:
        output = self._traced(size).output
        return None if output is None else (output.shape[0], output.shape[1])

    def _traced(self, size: Size) -> GraphTrace:
        """Taps and their maps for images of `size`."""
        with self._tracing:
            found = self._traces.get(size)
            if found is None:
                found = self._traces[size] = self._trace(self._tensors(size))
                if len(self._traces) > _MOST_TRACES:
                    self._traces.popitem(last=False)
            return found

    def _tensors(self, size: Size) -> dict[str, TensorInfo]:
        try:
            tensors = tensor_shapes(self._graph, size)
            check_reshapes(self._graph, tensors)
        except NetworkError as error:
            if self.input_size is not None:
                raise
            works = working_size(self._graph)
            hint = self._size_hint() if works is None else _works_hint(works)
            raise NetworkError(f"{error}{hint}") from error
        return tensors

    def _trace(self, tensors: Mapping[str, TensorInfo]) -> GraphTrace:
        return trace(
            self._graph.proto.graph,
            {name: info.shape for name, info in tensors.items()},
            self._graph.input.name,
            self._graph.input.layout,
            output=self.output_name,
            floats={name for name, info in tensors.items() if info.floating},
            grids=self._placed,
        )

    def taps(self) -> list[Layer]:
        """Every tap of the network that can take the hyperpatch, in the order they are computed.

        The result of a module has the name of the outermost that it is the result of.
        """
        return self._fitting(self._shown.get(name, name) for name in self._shapes)

    def named_layers(self) -> list[Layer]:
        """The layers that the file's metadata names (every tap when it names none), as `taps`.

        Raises
        ------
        LayerError
            When the metadata names a tap that does not exist.
        """
        return self._fitting(self._named) if self._named else self.taps()

    def suggestion(self) -> Suggestion:
        """Which taps are worth explaining, where nobody has said (`compnn.network.suggestion`)."""
        parts = [name for name in self._shapes if self._operators.get(name) in _PARTS]
        beside = parts if self._output is None else [self._output.name, *parts]
        found = suggest(self._shapes, self._operators, self._size, beside)
        layers = tuple(self._shown.get(name, name) for name in found.layers)
        deepest = found.descriptor
        return Suggestion(layers, deepest and self._shown.get(deepest, deepest))

    def check(self, name: str) -> TapCheck:
        """Compare both maps of a tap with what perturbing pixels and cells changes.

        A network that takes images of any size is run larger where nothing can be seen.

        Raises
        ------
        LayerError
            As `layer`.
        """
        self.layer(name)
        tensor = self.tensor(name)
        # Where things lie does not depend on the range.
        scaled = replace(self.preprocessing.completed(Preprocessing(range=(-1, 1))), white=255)
        sizes = [self._size]
        if self.input_size is None:
            sizes.append((2 * self._size[0], 2 * self._size[1]))
        for size in sizes:
            shape = (*size, self.image_channels)
            pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            image = self._input_of(pixels, scaled)
            found = check_tap(self._graph, self._traced(size), tensor, image)
            if found.looks.cells and (found.paints is None or found.paints.cells):
                break
        return found

    def tap_shape(self, name: str) -> tuple[int, int, int]:
        """Shape (H, W, D) of a tap's activation, whether or not the hyperpatch fits into it.

        Vectors without place, which can be descriptors (pooled over the whole image, a class
        token), have one cell.

        Raises
        ------
        LayerError
            When there is no such tap, naming the nearest.
        """
        tensor = self.tensor(name)
        return self._shapes.get(tensor) or (1, 1, self._vectors[tensor])

    def read(
        self,
        image: Picture,
        taps: Sequence[str],
        *,
        output: bool = False,
        name: str = "the image",
    ) -> Reading:
        """As `Network.read`."""
        self._check_scaling()
        self.check_image(image, name)
        image = np.ascontiguousarray(self.fit(image, Photo()))
        tensors = {tap: self.tensor(tap) for tap in taps}
        end = self.output_name if output else None
        wanted = list(dict.fromkeys([*tensors.values(), *([] if end is None else [end])]))
        if not wanted:
            return Reading(image, {}, name=name)
        # Images go through one at a time: that is as fast as in batches, takes less memory, and
        # the result for an image does not depend on its neighbours.
        try:
            found = self._sessions.run(wanted, self._input_of(image, self.preprocessing))
        except NetworkError as error:
            hint = "" if self.input_size is not None else _works_hint(self._size)
            raise NetworkError(f"{error}{hint}") from error
        size = image.shape[0], image.shape[1]
        return Reading(
            image,
            {tap: self.arranged(name, found[name], size) for tap, name in tensors.items()},
            output=None if end is None else self._outputs[end].of(found[end]),
            name=name,
        )

    def arranged(self, tap: str, values: npt.NDArray[Any], size: Size) -> npt.NDArray[np.float32]:
        """A tap's tensor, as the graph computes it for an image of `size`, as float32 (D, h, w)."""
        if tap in self._vectors:
            chw = values.reshape(-1, 1, 1)
        else:
            chw = self._traced(size).taps[tap].to_chw(values)
        return chw.astype(np.float32, copy=False)

    def _check_scaling(self) -> None:
        try:
            self.preprocessing.scaling(self.input_channels)
        except NetworkError as error:
            raise NetworkError(f"{self.path.name}: {error}") from None

    def _input_of(
        self, image: Picture, preprocessing: Preprocessing
    ) -> npt.NDArray[np.floating[Any] | np.uint8]:
        """An image (H, W, C) as the network takes it."""
        return self._graph.input.of(preprocessing.apply(image[np.newaxis], self.input_channels))

    def activations(
        self, image: Picture, layers: Sequence[str] | None = None
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Activations of one image, channels last.

        Parameters
        ----------
        image : `preprocessing.pixel_dtype` (H, W, `image_channels`), RGB where these are 3
        layers : names of taps; default: the network's layers

        Returns
        -------
        dict of name to float32 (H, W, D), C-contiguous
        """
        reading = self.read(image, list(self.layers) if layers is None else layers)
        return {
            name: np.ascontiguousarray(values.transpose(1, 2, 0))
            for name, values in reading.taps.items()
        }

    def paint(
        self, output: npt.NDArray[np.float32], size: tuple[int, int], kind: Kind | None = None
    ) -> Picture:
        """As `Network.paint`; see `compnn.network.output.Output.picture`."""
        if self._output is None:
            raise NetworkError(f"{self.name} has no output: {self._without_output}")
        resolved = self._output.resolved(kind, self.preprocessing)
        cells = output.shape[1], output.shape[2]
        if self.input_size in (None, size) and self._output_cells(size) == cells:
            frame = self._frame(size)
        else:
            frame = Frame.of(maps_by_sizes(cells, size), size)
        try:
            painted = resolved.picture(output, frame, kind, self.preprocessing)
        except ActivationError as error:
            raise ActivationError(f"{self.name}: {error}") from None
        return (kind or Photo()).fit(painted, frame.size)

    def check_kind(self, kind: Kind) -> None:
        """As `Network.check_kind`."""
        self.describe_output(kind)

    def describe_output(self, kind: Kind) -> str:
        """As `Network.describe_output`."""
        if self._output is None:
            return no_output(self._without_output)
        try:
            described = self._output.resolved(kind, self.preprocessing).describe()
        except DatasetError as error:
            raise DatasetError(f"{self.name}: {error}") from None
        if self.output_choice.name is None and len(self._outputs) > 1:
            others = ", ".join(map(repr, self._outputs))
            described += f"; of the outputs {others}, choose another with `--output NAME`"
        return described

    def _chosen_output(self, graph: OnnxGraph, from_image: set[str]) -> tuple[Output | None, str]:
        """The output to explain, asked for or the main one; or None, and why there is none."""
        choice = self.output_choice.completed(graph.metadata.output)
        outputs = self._outputs
        if choice.kind == "none":
            return None, "it is said to be none"
        if not outputs or choice.name not in {None, *outputs}:
            why = (
                f"none of its outputs ({', '.join(graph.outputs)}) has rows and columns that are "
                f"those of the image"
                + self._foreign_hint(graph)
                + "".join(f"; {each}" for each in map(graph.needs, graph.outputs) if each)
                + self._size_hint()
            )
            if choice == OutputChoice():
                return None, why
            asked = "" if choice.name is None else f" {choice.name!r}"
            others = f"choose {' or '.join(map(repr, outputs))}" if outputs else why
            raise NetworkError(f"{self.path.name} has no per-pixel output{asked}; {others}")
        found = {}
        for name in outputs if choice.name is None else [choice.name]:
            channels = outputs[name].channels
            ending, bounds = ending_of(graph.proto.graph, name, channels, from_image)
            found[name] = Output(name, channels, ending, bounds)
        said = choice.kind is not None
        pictures = [name for name, each in found.items() if said or each.is_picture]
        name = main_output(graph.proto.graph, pictures or list(found))
        try:
            described = replace(
                found[name], kind=choice.kind, range=choice.range, threshold=choice.threshold
            )
        except NetworkError as error:
            raise NetworkError(f"{self.path.name}: {error}") from None
        if described.is_picture:
            return described, ""
        return None, (
            f"{name!r} gives features of {described.channels} channels; if they are something "
            f"else, say so, as in `--output-kind logits`"
        )

    def fit(self, picture: Picture, kind: Kind) -> Picture:
        """As `Network.fit`."""
        return fit_image(picture, kind, self.name, self.input_size, self.preprocessing.resize)

    def check_image(self, image: Picture, name: str) -> None:
        """Refuse an `image` that the network cannot take; `name` (of its file) is for the message.

        Raises
        ------
        ImageError
            When it is not (H, W, `image_channels`) of `preprocessing.pixel_dtype`, or of another
            size while `preprocessing.resize` is off.
        """
        size = self.input_size or self._file_size
        check_image(image, name, self.name, self.input_channels, size, self.preprocessing)

    @staticmethod
    def _foreign_hint(graph: OnnxGraph) -> str:
        """Why an output may be missing that is computed by operators of others."""
        operators = ", ".join(graph.foreign_operators())
        return operators and (
            f"; ONNX Runtime does not know the operators {operators}, so that what they compute is "
            f"left out: cut them off, or export the network without them"
        )

    def _size_hint(self) -> str:
        """What to try where the network takes any size, but not that which stands for all."""
        if self.input_size is not None:
            return ""
        height, width = self._size
        return (
            f". Its file leaves the size of its input free, and {height}x{width} was tried; give "
            f"one with `--size HxW` or `Preprocessing(size=(H, W))`"
        )

    def _fitting(self, names: Iterable[str]) -> list[Layer]:
        layers = []
        for name in names:
            self.tap_shape(name)
            with suppress(LayerError):
                layers.append(self.layer(name))
        return layers


def _over_image(looks: AxisMap, cells: int, pixels: int) -> AxisMap:
    """How an axis of the output lies over the image as a picture: placed and cropped.

    An output of the image's size is meant pixel for pixel, whatever its operators look at; one that
    is smaller by a border lies inside the image, one that is rounded up is cropped.
    """
    if cells == pixels:
        return AxisMap(Fraction(1))
    whole = 1 in (looks.scale.numerator, looks.scale.denominator)
    if not whole or abs(cells * looks.scale - pixels) > pixels:
        return AxisMap(Fraction(pixels, cells))
    inside = cells * looks.scale < pixels
    return AxisMap(looks.scale, Fraction(round(looks.offset) if inside else 0))


def _input_size(graph: OnnxGraph, preprocessing: Preprocessing) -> tuple[int, int] | None:
    height, width = graph.input.size
    asked = preprocessing.size
    if height is None or width is None:
        if asked is None and not preprocessing.resize:
            return None
        if asked is None:
            raise NetworkError(
                f"{graph.path.name} leaves the size of its input free, so that images are taken as "
                f"they are; to resize them, give the size with `--size HxW` or "
                f"`Preprocessing(size=(H, W))`"
            )
        height, width = height or asked[0], width or asked[1]
    if asked is not None and asked != (height, width):
        raise NetworkError(
            f"{graph.path.name} takes images of {height}x{width}, not {asked[0]}x{asked[1]}; leave "
            f"the size out, or give {height}x{width}"
        )
    return height, width


def _grid_of(name: str, grid: TokenGrid | str) -> TokenGrid:
    try:
        return grid if isinstance(grid, TokenGrid) else TokenGrid.parse(grid)
    except (TypeError, ValueError) as error:
        raise LayerError(f"the grid of {name!r}: {error}") from None


def _works_hint(size: Size) -> str:
    height, width = size
    return (
        f". It takes images of {height}x{width}: give `--size {height}x{width} --resize` or "
        f"`Preprocessing(size=({height}, {width}), resize=True)`"
    )


def _reopened(
    path: Path,
    layers: list[str],
    descriptor: str | None,
    preprocessing: Preprocessing,
    hyperpatch: tuple[int, int] | None,
    output: OutputChoice,
    num_threads: int,
    providers: tuple[str, ...],
    inputs: InputChoice,
    grids: Mapping[str, TokenGrid],
    fingerprint: str,
) -> OnnxNetwork:
    """A network that was pickled, from its file, which must be the same still."""
    graph = OnnxGraph(path, inputs)
    if graph.fingerprint != fingerprint:
        raise NetworkError(
            f"{path} is no longer the network that was pickled; open it, and pickle it again"
        )
    network = object.__new__(OnnxNetwork)
    network._open(
        graph, layers, descriptor, preprocessing, hyperpatch, output, num_threads, providers, grids
    )
    return network
