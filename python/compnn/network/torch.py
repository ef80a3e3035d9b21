"""A live PyTorch module as a network: activations by hooks, geometry from its exported graph."""

from __future__ import annotations

import difflib
import hashlib
import threading
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx
import torch

from compnn.errors import LayerError, NetworkError
from compnn.images.kinds import Kind, Photo, Picture
from compnn.names import file_name
from compnn.network.geometry import Geometry, Size, TokenGrid, maps_by_sizes
from compnn.network.input import InputChoice
from compnn.network.layer import Layer
from compnn.network.network import Identity, check_image, fit_image
from compnn.network.onnx import OnnxNetwork
from compnn.network.onnx_output import Layout, output_layouts
from compnn.network.onnx_sessions import available_cpus
from compnn.network.onnx_shapes import TensorInfo
from compnn.network.output import Frame, Output, OutputChoice, OutputKind, no_output
from compnn.network.preprocessing import Preprocessing, image_channels
from compnn.network.reading import Reading
from compnn.network.torch_graph import graph_of
from compnn.network.torch_runs import CALL, Record, home_of, run

# Where images of any size are taken, layers are described for one of this size.
_ANY_SIZE = (256, 256)
# Sizes of images for which an exported graph is kept.
_MOST_GRAPHS = 4


class TorchNetwork:
    """A PyTorch module, live: what it computes now, where its weights are.

    Activations and output come from hooks, in evaluation mode, which is put back after each run.
    Where cells lie comes from the operators: the module is exported to ONNX in memory, for each
    size of images once. Where PyTorch cannot export it, sizes alone tell, which is said in a
    warning and in the notes of the layers.

    Parameters
    ----------
    module
        Takes (1, C, H, W) of its own device and type.
    layers
        Submodules whose results are the layers, by the names that the layers are to have, or a
        list of submodules: "up.2". One that is called several times is named with the number of
        the call: "up#2" is the second. Default: all that give maps.
    descriptor
        Layer or submodule that serves as global image feature.
    size
        (height, width) of the images; default: any.
    range, mean, std, channel_order, resize
        As in `Preprocessing`.
    preprocessing
        Instead of these and `size`.
    output
        Key, attribute or index of the output in what the module returns ("out", 0), or an
        `OutputChoice`. Default: as `OnnxNetwork`.
    output_kind
        What it is, see `OutputKind`.
    hyperpatch
        (h, w) cells, the same for all layers. Default: see `Layer.of`.
    num_threads
        How many images a build may read at a time; -1 means one for each CPU that this process may
        use. A run takes one thread of a CPU, for in PyTorch the last bits depend on their number.

    Raises
    ------
    NetworkError
        When the module does not run, does not have the output that is asked for, or the range of
        its input is not given.
    LayerError
        When there is no such submodule, naming the nearest; when it is called several times and the
        call is not named; when its result is no map.

    Examples
    --------
    >>> compnn.TorchNetwork(unet, ["u2"], size=(128, 128), range=(0, 1))  # doctest: +SKIP
    """

    def __init__(
        self,
        module: torch.nn.Module,
        layers: Mapping[str, str] | Sequence[str] | None = None,
        *,
        descriptor: str | None = None,
        size: tuple[int, int] | None = None,
        range: tuple[float, float] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        channel_order: str | None = None,
        resize: bool = False,
        preprocessing: Preprocessing | None = None,
        output: OutputChoice | str | int | None = None,
        output_kind: OutputKind | None = None,
        hyperpatch: tuple[int, int] | None = None,
        num_threads: int = -1,
    ) -> None:
        self.module = module
        self.input_choice, self.assumptions = InputChoice(), ()
        self.grids: dict[str, TokenGrid] = {}
        self.preprocessing = _preprocessing_of(
            preprocessing, size, range, mean, std, channel_order, resize
        )
        self.output_choice = _choice_of(output, output_kind)
        self.input_size = self.preprocessing.size
        if num_threads < 1 and num_threads != -1:
            raise NetworkError(f"num_threads must be -1 (all) or at least 1, not {num_threads}")
        self.num_threads = available_cpus() if num_threads == -1 else num_threads
        self._hyperpatch = hyperpatch
        self._size = self.input_size or _ANY_SIZE
        self._fresh()
        self.input_channels, self._probe, outputs = _probe(
            module, self.preprocessing, self._size, self.name
        )
        self._outputs = _outputs_of(outputs, self.output_choice, self._size, self.name)
        self.results = list(outputs)  # the tensors that the module returns, by their keys
        named = dict(layers) if isinstance(layers, Mapping) else {n: n for n in layers or ()}
        self._calls = {name: _call_of(module, self._probe, path) for name, path in named.items()}
        for call in self._probe.shapes:
            if call[0]:  # not the module itself
                self._calls.setdefault(_path_text(self._probe, call), call)
        if descriptor is not None and descriptor not in self._calls:
            self._calls[descriptor] = _call_of(module, self._probe, descriptor)
        self.descriptor = descriptor
        # Each tap of an exported graph takes memory: the rest are exported when asked for.
        self._exported = {name: self._calls[name] for name in [*named, descriptor] if name}
        if layers is None:
            self.layers = {layer.name: layer for layer in self.taps()}
        else:
            self.layers = {name: self.layer(name) for name in named}
        if descriptor is not None:
            self.tap_shape(descriptor)

    def _fresh(self) -> None:
        self._lock = threading.Lock()
        self._graphs: OrderedDict[Size, _Graph] = OrderedDict()
        self._layers: dict[tuple[str, Size], Layer] = {}
        self._sizes: dict[Size, Size] = {}
        self._exports = True

    def __getstate__(self) -> dict[str, object]:
        dropped = ("_lock", "_graphs", "_layers", "_sizes", "_exports")
        return {key: value for key, value in self.__dict__.items() if key not in dropped}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        self._fresh()

    def __repr__(self) -> str:
        size = "any size" if self.input_size is None else "x".join(map(str, self.input_size))
        return (
            f"TorchNetwork({self.name}: {size}, layers {', '.join(self.layers)}, "
            f"descriptor {self.descriptor})"
        )

    @property
    def name(self) -> str:
        """Name of the module's class."""
        return type(self.module).__name__

    @property
    def output_name(self) -> str | None:
        """As `Network.output_name`: its key in what the module returns.

        "output" where that is all.
        """
        return self._graph(self._size).output_name

    def call(self, name: str) -> tuple[str, int]:
        """The submodule that a layer is the result of, and which of its calls, from 1."""
        self._check_tap(name)
        return self._calls[name]

    def with_threads(self, num_threads: int) -> TorchNetwork:
        """The same network, for another number of threads."""
        return self._changed(num_threads=num_threads)

    def _changed(self, **attributes: object) -> TorchNetwork:
        """The same network, with other attributes."""
        # Not `copy.copy`, which would drop the exported graphs, as pickle does.
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__ | attributes
        return other

    def with_preprocessing(self, preprocessing: Preprocessing) -> TorchNetwork:
        """As `Network.with_preprocessing`."""
        preprocessing.scaling(self.input_channels)
        return self._changed(preprocessing=preprocessing)

    def identity(self) -> Identity:
        """Which network it is: a hash of structure, weights and buffers as they are now."""
        digest = hashlib.sha256(f"{type(self.module).__qualname__}\n{self.module!r}".encode())
        for name, value in sorted(self.module.state_dict().items()):
            digest.update(name.encode())
            if isinstance(value, torch.Tensor):
                digest.update(f" {value.dtype} {tuple(value.shape)}".encode())
                # As bytes: NumPy has not all types of PyTorch.
                plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
                digest.update(plain.numpy())
            else:
                digest.update(repr(value).encode())
        device = home_of(self.module)[0].type
        where = "" if device == "cpu" else f" on {device}"
        runtime = f"PyTorch {torch.__version__}{where}"
        return Identity("torch", f"sha256:{digest.hexdigest()}", runtime=runtime)

    def layer(self, name: str, size: Size | None = None) -> Layer:
        """As `Network.layer`."""
        size = self.input_size or size or self._size
        self._check_tap(name)
        if (name, size) not in self._layers:
            self._layers[name, size] = replace(self._graph(size).layer(name), name=name)
        return self._layers[name, size]

    def taps(self) -> list[Layer]:
        """Every submodule's result that can take the hyperpatch, in the order they are computed."""
        order = {call: place for place, call in enumerate(self._probe.shapes)}
        found = []
        for name in sorted(self._calls, key=lambda name: order[self._calls[name]]):
            with suppress(LayerError):
                found.append(self.layer(name))
        return found

    def tap_shape(self, name: str) -> tuple[int, int, int]:
        """As `Network.tap_shape`."""
        self._check_tap(name)
        return self._graph(self._size).tap_shape(name)

    def output_size(self, image_size: Size) -> Size:
        """As `Network.output_size`."""
        size = self.input_size or image_size
        if size not in self._sizes:
            self._sizes[size] = self._graph(size).output_size(size)
        return self._sizes[size]

    def check_kind(self, kind: Kind) -> None:
        """As `Network.check_kind`."""
        self._graph(self._size).check_kind(kind)

    def describe_output(self, kind: Kind) -> str:
        """As `Network.describe_output`."""
        return self._graph(self._size).describe_output(kind)

    def paint(
        self, output: npt.NDArray[np.float32], size: Size, kind: Kind | None = None
    ) -> Picture:
        """As `Network.paint`."""
        return self._graph(self.input_size or size).paint(output, size, kind)

    def fit(self, picture: Picture, kind: Kind) -> Picture:
        """As `Network.fit`."""
        return fit_image(picture, kind, self.name, self.input_size, self.preprocessing.resize)

    def check_image(self, image: Picture, name: str) -> None:
        """As `Network.check_image`."""
        size = self.input_size or (None, None)
        check_image(image, name, self.name, self.input_channels, size, self.preprocessing)

    def read(
        self,
        image: Picture,
        taps: Sequence[str],
        *,
        output: bool = False,
        name: str = "the image",
    ) -> Reading:
        """As `Network.read`."""
        self.check_image(image, name)
        image = np.ascontiguousarray(self.fit(image, Photo()))
        size = image.shape[0], image.shape[1]
        for tap in taps:
            self._check_tap(tap)
        if not taps and not output:
            return Reading(image, {}, name=name)
        record = Record({self._calls[tap] for tap in taps})
        results = self._run(image, record)
        found = {}
        for tap in taps:
            path, call = self._calls[tap]
            if self._probe.calls[path] != record.calls[path] or self._calls[tap] not in (
                record.tensors
            ):
                raise NetworkError(
                    f"{self.name} calls {path!r} {record.calls[path]} times for {name}, but "
                    f"{self._probe.calls[path]} times for another image; leave {tap!r} out"
                )
            found[tap] = self._graph(size).arranged(tap, _numbers(record.tensors[path, call]), size)
        return Reading(image, found, self._output_in(results, size) if output else None, name=name)

    def _run(self, image: Picture, record: Record) -> dict[str, torch.Tensor]:
        device, dtype = home_of(self.module)
        values = self.preprocessing.apply(image[np.newaxis], self.input_channels)
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return run(self.module, torch.from_numpy(values).to(device, dtype), record, self.name)
        finally:
            torch.set_num_threads(before)

    def _output_in(
        self, results: Mapping[str, torch.Tensor], size: Size
    ) -> npt.NDArray[np.float32] | None:
        name = self.output_name
        if name is None:
            return None
        values = _numbers(results[name])
        layouts = _layouts({name: values}, size)
        if name not in layouts:
            raise NetworkError(
                f"the output {name!r} of {self.name} has shape {values.shape} for an image of "
                f"{size[0]}x{size[1]}, which is not per pixel"
            )
        return layouts[name].of(values)

    def _check_tap(self, name: str) -> None:
        if name not in self._calls:
            _call_of(self.module, self._probe, name)  # says why
            raise LayerError(f"{name!r} is not among the layers of {self.name}; name it there")
        with self._lock:
            if name not in self._exported:
                self._exported.update(self._calls)
                self._graphs.clear()

    def _graph(self, size: Size) -> _Graph:
        """What the graph says of images of a size."""
        with self._lock:
            if size not in self._graphs:
                self._graphs[size] = self._opened(size)
                if len(self._graphs) > _MOST_GRAPHS:
                    self._graphs.popitem(last=False)
            self._graphs.move_to_end(size)
            return self._graphs[size]

    def _opened(self, size: Size) -> _Graph:
        if self._exports:
            try:
                return _layers_of_export(self, size)
            except NetworkError as error:
                self._exports = False
                warnings.warn(
                    f"{error}; where its layers look and paint is told by their sizes only",
                    stacklevel=2,
                )
        return _BySizes(self, size)


class _Graph(Protocol):
    """What the operators of a module say of images of one size."""

    @property
    def output_name(self) -> str | None: ...
    def layer(self, name: str) -> Layer: ...
    def tap_shape(self, name: str) -> tuple[int, int, int]: ...
    def arranged(
        self, name: str, values: npt.NDArray[np.float32], size: Size
    ) -> npt.NDArray[np.float32]: ...
    def output_size(self, image_size: Size) -> Size: ...
    def check_kind(self, kind: Kind) -> None: ...
    def describe_output(self, kind: Kind) -> str: ...
    def paint(
        self, output: npt.NDArray[np.float32], size: Size, kind: Kind | None = None
    ) -> Picture: ...


class _Exported:
    """A module's exported graph, whose tensors have the names of taps."""

    def __init__(self, graph: OnnxNetwork, tensors: Mapping[str, str]) -> None:
        self._graph, self._tensors = graph, tensors
        self.output_name = graph.output_name
        self.output_size, self.paint = graph.output_size, graph.paint
        self.check_kind, self.describe_output = graph.check_kind, graph.describe_output

    def layer(self, name: str) -> Layer:
        return self._graph.layer(self._tensors[name])

    def tap_shape(self, name: str) -> tuple[int, int, int]:
        return self._graph.tap_shape(self._tensors[name])

    def arranged(
        self, name: str, values: npt.NDArray[np.float32], size: Size
    ) -> npt.NDArray[np.float32]:
        self.tap_shape(name)
        return self._graph.arranged(self._tensors[name], values, size)


def _layers_of_export(network: TorchNetwork, size: Size) -> _Graph:
    """A module's graph for images of a size.

    Raises
    ------
    NetworkError
        When PyTorch cannot export it.
    """
    blank = torch.zeros(1, network.input_channels, *size)
    model, tensors = graph_of(
        network.module,
        blank,
        network._exported,
        network._outputs or network.results,
        newest_first=False,
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / file_name(network.name)
        try:
            onnx.save_model(
                model, path, save_as_external_data=True, location="weights", size_threshold=1024
            )
        except (OSError, ValueError) as error:
            raise NetworkError(f"the graph of {network.name} cannot be kept: {error}") from error
        preprocessing = replace(network.preprocessing, size=None, resize=False)
        opened = OnnxNetwork(
            path,
            [],
            preprocessing=preprocessing,
            hyperpatch=network._hyperpatch,
            output=network.output_choice,
            num_threads=1,
        )
    return _Exported(opened, tensors)


class _BySizes:
    """What sizes say, of a module that cannot be exported; maps are channels first."""

    def __init__(self, network: TorchNetwork, size: Size) -> None:
        self._network, self._size = network, size
        _, record, outputs = _probe(network.module, network.preprocessing, size, network.name)
        self._shapes = record.shapes
        self._frame = Frame.of(maps_by_sizes(size, size), size)
        self._output = None if not network._outputs else self._main_output(outputs)
        self.output_name = None if self._output is None else self._output.name

    def _main_output(self, outputs: Mapping[str, torch.Tensor]) -> Output | None:
        choice, names = self._network.output_choice, self._network._outputs
        plain = [name for name in names if "aux" not in name.lower()]
        name = choice.name or (plain or names)[0]
        layouts = _layouts({name: outputs[name]}, self._size)
        if name not in layouts:
            raise NetworkError(f"the output {name!r} of {self._network.name} is not per pixel")
        layout, shape = layouts[name], outputs[name].shape
        found = Output(
            name,
            layout.channels,
            kind=choice.kind,
            range=choice.range,
            threshold=choice.threshold,
        )
        if not found.is_picture:
            return None
        cells = shape[layout.order[1]], shape[layout.order[2]]
        self._frame = Frame.of(maps_by_sizes(cells, self._size), self._size)
        return found

    def layer(self, name: str) -> Layer:
        shape = self.tap_shape(name)
        looks, paints = (maps_by_sizes(shape[:2], s) for s in (self._size, self._frame.size))
        geometry = Geometry(self._size, looks, self._frame.size, paints, "by sizes only")
        return Layer.of(name, shape, self._size, self._network._hyperpatch, geometry)

    def tap_shape(self, name: str) -> tuple[int, int, int]:
        shape = self._shapes[self._network._calls[name]]
        if len(shape) != 4 or shape[0] != 1:
            raise LayerError(
                f"{name!r} is no layer of {self._network.name}: its shape is {shape}, and without "
                f"an exported graph only maps (1, C, H, W) are read"
            )
        return shape[2], shape[3], shape[1]

    def arranged(
        self, name: str, values: npt.NDArray[np.float32], size: Size
    ) -> npt.NDArray[np.float32]:
        self.tap_shape(name)
        first: npt.NDArray[np.float32] = values[0]
        return first

    def output_size(self, image_size: Size) -> Size:
        return self._frame.size

    def check_kind(self, kind: Kind) -> None:
        self.describe_output(kind)

    def describe_output(self, kind: Kind) -> str:
        if self._output is None:
            return no_output("what it returns is no picture, or said to be none")
        return self._output.resolved(kind, self._network.preprocessing).describe()

    def paint(
        self, output: npt.NDArray[np.float32], size: Size, kind: Kind | None = None
    ) -> Picture:
        if self._output is None:
            raise NetworkError(f"{self._network.name} has no output to paint")
        resolved = self._output.resolved(kind, self._network.preprocessing)
        painted = resolved.picture(output, self._frame, kind, self._network.preprocessing)
        return (kind or Photo()).fit(painted, self._frame.size)


def _numbers(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(tensor.detach().to("cpu", torch.float32).numpy(), np.float32)


def _preprocessing_of(
    given: Preprocessing | None,
    size: tuple[int, int] | None,
    range: tuple[float, float] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    channel_order: str | None,
    resize: bool,
) -> Preprocessing:
    """The preprocessing that is given, as one or in parts.

    Raises
    ------
    NetworkError
        When it is given twice, or the range of values is not.
    """
    parts = Preprocessing(
        size=size,
        channel_order=channel_order,
        range=range,
        mean=None if mean is None else tuple(map(float, mean)),
        std=None if std is None else tuple(map(float, std)),
        resize=resize,
    )
    if given is not None and parts != Preprocessing():
        raise NetworkError("give preprocessing, or its parts (size, range, mean, ...), not both")
    found = given or parts
    if found.range is None and found.mean is None:
        raise NetworkError(
            "the range of values that the module takes is not known; give `range=(lo, hi)`, for "
            "example (-1, 1), or `mean=` and `std=` of values in [0, 1]"
        )
    if found.resize and found.size is None:
        raise NetworkError("to resize images, give the size of the input with `size=(H, W)`")
    return found


def _choice_of(output: OutputChoice | str | int | None, kind: OutputKind | None) -> OutputChoice:
    """The choice of an output, from its key or as a whole."""
    if not isinstance(output, OutputChoice):
        output = OutputChoice(None if output is None else str(output))
    return output if kind is None else replace(output, kind=kind)


def _probe(
    module: torch.nn.Module, preprocessing: Preprocessing, size: Size, name: str
) -> tuple[int, Record, dict[str, torch.Tensor]]:
    """Run a module over noise of a size: channels of its input, its calls, and what it returns.

    Raises
    ------
    NetworkError
        When it does not run.
    """
    device, dtype = home_of(module)
    scaled = replace(preprocessing, white=255)
    if preprocessing.mean is None:
        first = (m.in_channels for m in module.modules() if isinstance(m, torch.nn.Conv2d))
        channels = list(dict.fromkeys([next(first, 3) or 3, 3, 1]))  # 0: not yet known
    else:
        channels = [len(preprocessing.mean)]
    refused: NetworkError | None = None
    for count in channels:
        shape = (*size, image_channels(count))
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        values = torch.from_numpy(scaled.apply(pixels[np.newaxis], count))
        record = Record()
        try:
            return count, record, run(module, values.to(device, dtype), record, name)
        except NetworkError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _outputs_of(
    results: Mapping[str, torch.Tensor], choice: OutputChoice, size: Size, name: str
) -> list[str]:
    """The tensors of a module's result that are per pixel, by name; none where it has no picture.

    Raises
    ------
    NetworkError
        When that which was chosen is not among them.
    """
    if choice.kind == "none":
        return []
    found = list(_layouts(results, size))
    if not found and choice != OutputChoice():
        shapes = ", ".join(f"{key!r} {tuple(value.shape)}" for key, value in results.items())
        raise NetworkError(
            f"{name} has no per-pixel output: of what it returns ({shapes or 'no tensors'}) "
            f"nothing has rows and columns that are those of the image; wrap it in a module that "
            f"returns the map"
        )
    if choice.name is not None and choice.name not in found:
        raise NetworkError(
            f"{name} has no per-pixel output {choice.name!r}; choose "
            f"{' or '.join(map(repr, found))}"
        )
    return found


def _layouts(
    results: Mapping[str, torch.Tensor | npt.NDArray[np.float32]], size: Size
) -> dict[str, Layout]:
    """Those of a module's tensors that are per pixel, by name."""
    tensors = {name: TensorInfo(tuple(value.shape), True) for name, value in results.items()}
    return output_layouts(list(tensors), tensors, size)


def _call_of(module: torch.nn.Module, record: Record, path: str) -> tuple[str, int]:
    """The call of a submodule that a path means.

    Raises
    ------
    LayerError
        When there is no such submodule; when it is called several times and the call is not named;
        when it is not called or gives no floating-point tensor.
    """
    named, _, number = path.partition(CALL)
    paths = dict(module.named_modules(remove_duplicate=False))
    if named not in paths or not named:
        near = difflib.get_close_matches(named, [each for each in paths if each], n=3)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise LayerError(f"{type(module).__name__} has no submodule {named!r}{hint}")
    # A submodule of two names is known by the first.
    same = next(first for first, each in module.named_modules() if each is paths[named])
    calls = record.calls[same]
    if not calls:
        raise LayerError(
            f"submodule {named!r} of {type(module).__name__} is not called when it runs; name "
            f"another"
        )
    if not number and calls > 1:
        raise LayerError(
            f"submodule {named!r} of {type(module).__name__} is called {calls} times; name the "
            f"call: {named + CALL}1 is the first, {named}{CALL}{calls} the last"
        )
    if number and not (number.isascii() and number.isdigit() and 1 <= int(number) <= calls):
        raise LayerError(
            f"submodule {named!r} of {type(module).__name__} has no call {number!r}; they are 1 to "
            f"{calls}"
        )
    call = same, int(number or 1)
    if call not in record.shapes:
        raise LayerError(
            f"submodule {named!r} of {type(module).__name__} gives no floating-point tensor; name "
            f"another"
        )
    return call


def _path_text(record: Record, call: tuple[str, int]) -> str:
    path, number = call
    return path if record.calls[path] == 1 else f"{path}{CALL}{number}"
