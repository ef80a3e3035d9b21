"""Every pixel has one owner, and for kernel 4, stride 2, padding 1 the owner is exact."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.utils
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compnn.errors import LayerError
from compnn.network.layer import Layer
from tiny_networks import tiny_unet

# Paper, Table 3: hyperpatch <-> patch of each layer of the Pix2Pix generator.
TABLE_3 = {
    "encoder_1": "2x2x64 <-> patch 2x2",
    "encoder_2": "2x2x128 <-> patch 4x4",
    "encoder_3": "2x2x256 <-> patch 8x8",
    "encoder_4": "2x2x512 <-> patch 16x16",
    "encoder_5": "2x2x512 <-> patch 32x32",
    "encoder_6": "2x2x512 <-> patch 64x64",
    "encoder_7": "2x2x512 <-> patch 128x128",
    "encoder_8": "1x1x512 <-> patch 256x256",
    "decoder_8": "2x2x1024 <-> patch 128x128",
    "decoder_7": "2x2x1024 <-> patch 64x64",
    "decoder_6": "2x2x1024 <-> patch 32x32",
    "decoder_5": "2x2x1024 <-> patch 16x16",
    "decoder_4": "2x2x512 <-> patch 8x8",
    "decoder_3": "2x2x256 <-> patch 4x4",
    "decoder_2": "2x2x128 <-> patch 2x2",
}


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    def axis() -> tuple[int, int, int, int]:
        pixels = draw(st.integers(1, 70))
        cells = draw(st.integers(1, 40))
        return cells, draw(st.integers(1, 20)), draw(st.integers(1, cells)), pixels

    (cells_y, sy, h, height), (cells_x, sx, w, width) = axis(), axis()
    return Layer("layer", (cells_y, cells_x, 3), (sy, sx), (h, w), (height, width))


def owner(pixel: int, grid: int, stride: int, cells: int) -> int:
    """The rule of the paper's section 3.1, in exact numbers, for one pixel of one axis."""
    starts = [math.floor(stride * (i + Fraction(cells - 1, 2))) for i in range(grid)]
    return max((i for i in range(grid) if starts[i] <= pixel), default=0)


@given(layers())
def test_every_pixel_has_the_owner_that_the_rule_gives(layer: Layer) -> None:
    expected = [
        [owner(p, grid, stride, cells) for p in range(pixels)]
        for grid, stride, cells, pixels in zip(
            layer.grid, layer.stride, layer.hyperpatch, layer.image_size, strict=True
        )
    ]
    rows, cols = layer.owners()
    assert rows.dtype == cols.dtype == np.int32
    assert [rows.tolist(), cols.tolist()] == expected


@given(layers())
def test_bounds_share_out_all_pixels(layer: Layer) -> None:
    for bounds, owners, grid, pixels in zip(
        (layer.row_bounds(), layer.col_bounds()),
        layer.owners(),
        layer.grid,
        layer.image_size,
        strict=True,
    ):
        assert bounds.dtype == np.int64
        assert bounds.shape == (grid + 1,)
        assert (bounds[0], bounds[-1]) == (0, pixels)
        covered = [(i, p) for i in range(grid) for p in range(bounds[i], bounds[i + 1])]
        assert covered == list(zip(owners.tolist(), range(pixels), strict=True))


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_every_layer_not_finer_than_the_image_has_a_geometry(
    height: int, width: int, cells_y: int, cells_x: int
) -> None:
    if round(cells_y / height) > 1 or round(cells_x / width) > 1:
        with pytest.raises(LayerError, match="finer than the image"):
            Layer.of("layer", (cells_y, cells_x, 1), (height, width))
        return
    layer = Layer.of("layer", (cells_y, cells_x, 1), (height, width))
    rows, cols = layer.owners()
    assert (len(rows), len(cols)) == (height, width)
    assert rows.max() < layer.grid[0]
    assert cols.max() < layer.grid[1]


def test_patches_are_centred_where_the_paper_says() -> None:
    layer = Layer.of("layer", (16, 16, 8), (64, 64), hyperpatch=(3, 2))
    rows, cols = layer.row_bounds(), layer.col_bounds()
    for i in range(1, layer.grid[0] - 1):
        assert (rows[i] + rows[i + 1]) / 2 == (i + 3 / 2) * 4
    for j in range(1, layer.grid[1] - 1):
        assert (cols[j] + cols[j + 1]) / 2 == (j + 2 / 2) * 4


@pytest.mark.parametrize(
    ("cells", "pixels", "stride", "hyperpatch"),
    [
        ((128, 128), (256, 256), (2, 2), (2, 2)),
        ((256, 256), (256, 256), (1, 1), (1, 1)),
        ((1, 1), (256, 256), (256, 256), (1, 1)),
        ((1, 4), (32, 32), (32, 8), (1, 2)),
        ((23, 30), (360, 480), (16, 16), (2, 2)),
        ((22, 30), (360, 480), (16, 16), (2, 2)),
        ((258, 258), (256, 256), (1, 1), (1, 1)),
    ],
)
def test_stride_and_default_hyperpatch(
    cells: tuple[int, int],
    pixels: tuple[int, int],
    stride: tuple[int, int],
    hyperpatch: tuple[int, int],
) -> None:
    layer = Layer.of("layer", (*cells, 5), pixels)
    assert (layer.stride, layer.hyperpatch) == (stride, hyperpatch)
    assert layer.patch == stride


@pytest.mark.parametrize("hyperpatch", [(0, 1), (1, 0), (5, 1), (1, 7)])
def test_a_hyperpatch_that_does_not_fit_is_refused(hyperpatch: tuple[int, int]) -> None:
    with pytest.raises(LayerError, match=r"does not fit into layer 'layer' with its 4x6 cells"):
        Layer.of("layer", (4, 6, 3), (8, 12), hyperpatch)


@given(layers())
def test_json_round_trip(layer: Layer) -> None:
    document = json.loads(json.dumps(layer.to_json()))
    assert Layer.from_json(document | {"of_a_later_version": 1}) == layer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [4, 6]}, "other fields"),
        ({"shape": [4, 6, 3.5]}, "other fields"),
        ({"shape": "463"}, "other fields"),
        ({"stride": [2, "2"]}, "other fields"),
        ({"stride": None}, "other fields"),
        ({"name": 7}, "other fields"),
        ({"stride": [0, 2]}, "at least 1"),
        ({"hyperpatch": [5, 1]}, "does not fit"),
        ({"image_size": [-8, 12]}, "at least 1"),
    ],
)
def test_fields_that_are_no_layer_are_refused(change: dict[str, object], message: str) -> None:
    document = Layer.of("layer", (4, 6, 3), (8, 12)).to_json()
    with pytest.raises(LayerError, match=message):
        Layer.from_json(document | change)
    (key,) = change
    with pytest.raises(LayerError, match="other fields"):
        Layer.from_json({each: part for each, part in document.items() if each != key})


@given(layers(), st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40))
def test_the_same_tap_of_an_image_of_another_size(
    layer: Layer, height: int, width: int, rows: int, cols: int
) -> None:
    h, w = layer.hyperpatch
    if h > rows or w > cols:
        with pytest.raises(LayerError, match="does not fit"):
            layer.at((height, width), (rows, cols))
        return
    other = layer.at((height, width), (rows, cols))
    expected = Layer(layer.name, (rows, cols, 3), layer.stride, layer.hyperpatch, (height, width))
    assert other == expected
    assert [len(owners) for owners in other.owners()] == [height, width]
    assert other.at(layer.image_size, layer.shape[:2]) == layer


def test_table_3(shared: Path) -> None:
    from compnn.network.onnx import OnnxNetwork

    network = OnnxNetwork(shared / "models" / "pix2pix-facades-labels-to-photo.onnx")
    expected = [f"{name}: hyperpatch {text}" for name, text in TABLE_3.items()]
    assert [str(layer) for layer in network.named_layers()] == expected
    assert list(network.layers) == list(TABLE_3)


Decoder = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


def last_decoder(path: Path, activation: str, folder: Path) -> Decoder:
    """The network from the tensor `activation` to its output."""
    cut = folder / "last_decoder.onnx"
    onnx.utils.extract_model(str(path), str(cut), [activation], ["output"])
    session = onnxruntime.InferenceSession(cut, providers=["CPUExecutionProvider"])
    return lambda values: session.run(None, {activation: values})[0]


def check_owner_is_exact(decoder: Decoder, layer: Layer, patches: list[int]) -> None:
    """Pixels of patch i depend on cells i and i + 1, on both and on no others; rows and columns."""
    random = np.random.default_rng(0)
    cells_y, cells_x, depth = layer.shape
    values = random.standard_normal((1, depth, cells_y, cells_x), np.float32)
    output = decoder(values)
    for axis, bounds in ((2, layer.row_bounds()), (3, layer.col_bounds())):
        cells, pixels = layer.shape[axis - 2], layer.image_size[axis - 2]
        near = sorted({k for i in patches for k in range(i - 2, i + 4) if 0 <= k < cells})
        depends = np.zeros((pixels, cells), bool)
        for k in near:
            perturbed = values.copy()
            line = np.moveaxis(perturbed, axis, 0)[k]
            line += random.standard_normal(line.shape, np.float32)
            change = np.abs(decoder(perturbed) - output)
            depends[:, k] = np.moveaxis(change, axis, 0).reshape(pixels, -1).max(axis=1) > 1e-5
        for i in patches:
            for pixel in range(bounds[i], bounds[i + 1]):
                on = [k for k in near if depends[pixel, k]]
                at_edge = pixel in (0, pixels - 1)  # seen by one cell alone
                assert on == ([i if pixel == 0 else i + 1] if at_edge else [i, i + 1]), (
                    axis,
                    pixel,
                )


def test_owner_is_exact_in_a_tiny_unet(tmp_path: Path) -> None:
    decoder = last_decoder(tiny_unet(tmp_path / "unet.onnx"), "decoder_2", tmp_path)
    layer = Layer.of("decoder_2", (16, 16, 8), (32, 32))
    assert layer.row_bounds()[1:3].tolist() == [3, 5]
    check_owner_is_exact(decoder, layer, list(range(layer.grid[0])))


def test_owner_is_exact_in_pix2pix(shared: Path, tmp_path: Path) -> None:
    path = shared / "models" / "pix2pix-facades-labels-to-photo.onnx"
    # The exporter computes decoder_2 twice; this copy is the one that leads to the output.
    graph = onnx.load(path).graph
    joins = {n.output[0]: list(n.input) for n in graph.node if n.op_type == "Concat"}
    twin = next(n for n in joins if n != "decoder_2" and joins[n] == joins["decoder_2"])
    decoder = last_decoder(path, twin, tmp_path)
    layer = Layer.of("decoder_2", (128, 128, 128), (256, 256))
    check_owner_is_exact(decoder, layer, [0, 1, 62, 126])
