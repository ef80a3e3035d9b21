"""A network, its layers, and what they say about an image."""

from __future__ import annotations

import copy
import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compnn.errors import ActivationError, ImageError, LayerError, ModelError
from compnn.geometry import Layer
from compnn.onnx_graph import OnnxGraph
from compnn.onnx_metadata import read_metadata
from compnn.palette import Palette
from compnn.preprocessing import Preprocessing
from compnn.sessions import Sessions
from compnn.tap_shapes import tap_shapes


class Model:
    """A convolutional network with per-pixel output, read from an ONNX file.

    Parameters
    ----------
    path : str or Path
        The ONNX file: one float image input, NCHW, 1 or 3 channels. It is never changed.
    layers : sequence of str, optional
        Layers to work with. Default: those that the file's metadata names, else every tap, less
        any that the hyperpatch does not fit into.
    descriptor : str, optional
        Tap that serves as global image feature.
    preprocessing : Preprocessing, optional
        How images become input; what it leaves open is taken from the file.
    hyperpatch : (h, w), optional
        Cells of a hyperpatch, the same for all layers. Default: see `Layer.of`.
    num_threads : int
        Threads of one run; -1 means all CPUs that this process may use.

    Attributes
    ----------
    path : Path
    fingerprint : str
        "sha256:<hex>" of the file (followed by the files that hold its weights, if any).
    preprocessing : Preprocessing
        Complete: with size, and with range or mean and std.
    input_size, output_size : (height, width)
    input_channels, output_channels : int
    layers : dict of str to Layer
    descriptor : str or None

    Raises
    ------
    ModelError
        When the file is missing, is not ONNX, has no image input or no per-pixel output, or leaves
        open the size or the range of its input and `preprocessing` does not give them.
    LayerError
        When a layer does not exist, or cannot take the hyperpatch.

    Examples
    --------
    >>> model = Model("pix2pix-facades-labels-to-photo.onnx")        # doctest: +SKIP
    >>> model.activations(image, ["decoder_2"])["decoder_2"].shape   # doctest: +SKIP
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
        num_threads: int = -1,
    ) -> None:
        self.path = Path(path)
        graph = OnnxGraph(self.path)
        metadata = read_metadata(graph.proto, self.path.name)
        self.fingerprint = graph.fingerprint
        self.input_channels = graph.input.channels
        self.preprocessing = (preprocessing or Preprocessing()).completed(metadata.preprocessing)
        self.input_size = _input_size(graph, self.preprocessing)
        self.preprocessing = self.preprocessing.completed(Preprocessing(size=self.input_size))
        try:
            self.preprocessing.scaling(self.input_channels)
        except ModelError as error:
            raise ModelError(f"{self.path.name}: {error}") from None
        self._input_dtype = graph.input.dtype
        self._sessions = Sessions(graph, num_threads)
        self._shapes = tap_shapes(graph, self.input_size)
        self._output = next((name for name in graph.outputs if name in self._shapes), "")
        if not self._output:
            raise ModelError(
                f"{self.path.name} has no per-pixel output: none of its outputs "
                f"({', '.join(graph.outputs)}) is a float tensor NCHW computed from the image"
            )
        *output_size, self.output_channels = self._shapes[self._output]
        self.output_size = (output_size[0], output_size[1])
        self._output_scaling = (
            self.preprocessing
            if metadata.output_range is None
            else Preprocessing(
                channel_order=self.preprocessing.channel_order, range=metadata.output_range
            )
        )
        self._hyperpatch = hyperpatch
        self._named = metadata.layers
        if layers is None:
            self.layers = {layer.name: layer for layer in self.named_layers()}
            if not self.layers:
                raise LayerError(
                    f"no layer of {self.path.name} can take a hyperpatch of {hyperpatch} cells; "
                    f"ask for a smaller one"
                )
        else:
            self.layers = {name: self.tap(name) for name in layers}
        if descriptor is not None:
            self.tap_shape(descriptor)
        self.descriptor = descriptor

    def __repr__(self) -> str:
        inputs = "x".join(map(str, (*self.input_size, self.input_channels)))
        outputs = "x".join(map(str, (*self.output_size, self.output_channels)))
        return (
            f"Model({str(self.path)!r}: {inputs} -> {outputs}, layers {', '.join(self.layers)}, "
            f"descriptor {self.descriptor})"
        )

    @property
    def num_threads(self) -> int:
        """Threads of one run."""
        return self._sessions.num_threads

    def with_threads(self, num_threads: int) -> Model:
        """The same model, whose runs take another number of threads."""
        other = copy.copy(self)
        other._sessions = self._sessions.with_threads(num_threads)
        return other

    def tap(self, name: str) -> Layer:
        """The tap `name` with its geometry.

        Raises
        ------
        LayerError
            When there is none, naming the nearest; or when the hyperpatch does not fit into it.
        """
        return Layer.of(name, self.tap_shape(name), self.input_size, self._hyperpatch)

    def taps(self) -> list[Layer]:
        """Every tap of the network that can take the hyperpatch, in the order they are computed."""
        return self._fitting(self._shapes)

    def named_layers(self) -> list[Layer]:
        """The layers that the file's metadata names (every tap when it names none), as `taps`.

        Raises
        ------
        LayerError
            When the metadata names a tap that does not exist.
        """
        return self._fitting(self._named or self._shapes)

    def tap_shape(self, name: str) -> tuple[int, int, int]:
        """Shape (H, W, D) of a tap's activation, whether or not the hyperpatch fits into it.

        Raises
        ------
        LayerError
            When there is no such tap, naming the nearest.
        """
        if name in self._shapes:
            return self._shapes[name]
        nearest = difflib.get_close_matches(name, self._shapes, n=3)
        hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
        raise LayerError(
            f"unknown layer {name!r} in {self.path.name}{hint}; `compnn layers {self.path} --all` "
            f"lists all"
        )

    def run(
        self, images: npt.NDArray[np.uint8], taps: Sequence[str], *, output: bool
    ) -> tuple[dict[str, npt.NDArray[np.float32]], npt.NDArray[np.float32] | None]:
        """Run the network once per image, up to the last tensor that is asked for.

        Images go through one at a time: that is as fast as in batches, takes less memory, and the
        result for an image does not depend on its neighbours.

        Parameters
        ----------
        images : uint8 (B, H, W, 3), RGB
        taps : names of the activations to return
        output : whether to return the network's output

        Returns
        -------
        activations : dict of name to float32 (B, D, H, W), as the network computes them
        output : float32 (B, C, H, W), or None

        Raises
        ------
        ImageError
            When the images have the wrong size or type.
        LayerError
            When a tap does not exist.
        """
        if images.ndim != 4 or not len(images):
            raise ImageError(f"images must be (B, H, W, 3) with B >= 1, not {images.shape}")
        self.check_image(images[0], "the image")
        for name in taps:
            self.tap_shape(name)
        wanted = list(dict.fromkeys([*taps, self._output] if output else taps))
        if not wanted:
            return {}, None
        runs = []
        for image in images:
            values = self.preprocessing.apply(image[None], self.input_channels)
            runs.append(self._sessions.run(wanted, values.astype(self._input_dtype, copy=False)))
        results = {
            name: (
                runs[0][name] if len(runs) == 1 else np.concatenate([run[name] for run in runs])
            ).astype(np.float32, copy=False)
            for name in wanted
        }
        return {name: results[name] for name in taps}, results[self._output] if output else None

    def activations(
        self, image: npt.NDArray[np.uint8], layers: Sequence[str] | None = None
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Activations of one image, channels last.

        Parameters
        ----------
        image : uint8 (H, W, 3), RGB
        layers : names of taps; default: the model's layers

        Returns
        -------
        dict of name to float32 (H, W, D), C-contiguous
        """
        names = list(self.layers) if layers is None else layers
        taps, _ = self.run(image[None], names, output=False)
        return {
            name: np.ascontiguousarray(values[0].transpose(1, 2, 0))
            for name, values in taps.items()
        }

    def paint(
        self, output: npt.NDArray[np.float32], classes: int | None = None
    ) -> npt.NDArray[np.uint8]:
        """What the network painted, from its `output` float32 (C, H, W).

        With 1 or 3 channels a uint8 RGB image (H, W, 3): values are taken from the metadata's
        `output_range`, or else as in the network's input. With other counts, or as many channels
        as there are `classes`, a label map (H, W): the index of the largest channel.

        Raises
        ------
        ActivationError
            When the output has NaN or infinite values.
        """
        if not np.isfinite(output).all():
            raise ActivationError(
                f"{self.path.name} gives NaN or infinite values in its output {self._output!r}; "
                f"check the network and the range of its input"
            )
        if len(output) in (1, 3) and len(output) != classes:
            return self._output_scaling.to_image(output)
        if len(output) > 256:
            raise ModelError(
                f"{self.path.name} tells {len(output)} classes apart; label maps hold at most 256"
            )
        labels: npt.NDArray[np.uint8] = output.argmax(axis=0).astype(np.uint8)
        return labels

    def painting(
        self, output: npt.NDArray[np.float32], palette: Palette | None
    ) -> npt.NDArray[np.uint8]:
        """`paint` at the size of the network's input; with a palette always a label map (H, W).

        Raises
        ------
        ActivationError
            When the output has NaN or infinite values.
        """
        painted = self.paint(output, None if palette is None else len(palette))
        if painted.ndim == 3 and palette is not None:
            # A network that paints label maps in colours (Pix2Pix): back to labels.
            painted = palette.quantise(painted)
        # Some networks paint at a smaller size than they see.
        return dataclasses.replace(self.preprocessing, resize=True).fit(painted)

    def check_image(self, image: npt.NDArray[np.uint8], name: str) -> None:
        """Refuse an `image` that the network cannot take; `name` (of its file) is for the message.

        Raises
        ------
        ImageError
            When it is not uint8 (H, W, 3), or of another size while `preprocessing.resize` is off.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ImageError(
                f"{name} is {image.dtype} {image.shape}; {self.path.name} takes RGB images, uint8 "
                f"(H, W, 3)"
            )
        if image.shape[:2] != self.input_size and not self.preprocessing.resize:
            height, width = self.input_size
            raise ImageError(
                f"{name} is {image.shape[0]}x{image.shape[1]} (height x width), but "
                f"{self.path.name} takes {height}x{width}; resize it, or let compnn do so with "
                f"`--resize`"
            )

    def _fitting(self, names: Iterable[str]) -> list[Layer]:
        layers = []
        for name in names:
            shape = self.tap_shape(name)
            with suppress(LayerError):
                layers.append(Layer.of(name, shape, self.input_size, self._hyperpatch))
        return layers


def _input_size(graph: OnnxGraph, preprocessing: Preprocessing) -> tuple[int, int]:
    height, width = graph.input.size
    asked = preprocessing.size
    if height is None or width is None:
        if asked is None:
            raise ModelError(
                f"{graph.path.name} leaves the size of its input free; give it with `--size HxW` "
                f"or `Preprocessing(size=(H, W))`"
            )
        height, width = height or asked[0], width or asked[1]
    if asked is not None and asked != (height, width):
        raise ModelError(
            f"{graph.path.name} takes images of {height}x{width}, not {asked[0]}x{asked[1]}; leave "
            f"the size out, or give {height}x{width}"
        )
    return height, width
