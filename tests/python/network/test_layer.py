"""Every pixel has one owner, and for kernel 4, stride 2, padding 1 the owner is exact."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.utils
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.errors import LayerError
from compnn.network.geometry import AxisMap, Geometry, Placement
from compnn.network.layer import Layer, maps_text
from placements import HALF, cell, centre, geometries, owner
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
    """Layers that lie over input and output by any two maps."""
    cells = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    hyperpatch = draw(st.integers(1, cells[0])), draw(st.integers(1, cells[1]))
    return Layer("layer", (*cells, 3), hyperpatch, draw(geometries(pixels=60)))


@given(layers())
@settings(deadline=None, max_examples=50)
def test_every_pixel_belongs_to_the_nearest_centre(layer: Layer) -> None:
    for placement in (layer.looks, layer.paints):
        rows, cols = placement.owners()
        assert rows.dtype == cols.dtype == np.int32
        assert [rows.tolist(), cols.tolist()] == [
            [owner(placement, axis, pixel) for pixel in range(placement.size[axis])]
            for axis in (0, 1)
        ]


@given(layers())
@settings(deadline=None)
def test_every_pixel_is_in_a_cell(layer: Layer) -> None:
    for placement in (layer.looks, layer.paints):
        assert [each.tolist() for each in placement.cells_of_pixels()] == [
            [cell(placement, axis, pixel) for pixel in range(placement.size[axis])]
            for axis in (0, 1)
        ]


@given(layers())
@settings(deadline=None)
def test_what_lies_in_the_image_below_a_pixel_of_the_output(layer: Layer) -> None:
    looks, paints = layer.geometry.looks, layer.geometry.paints
    for axis, seen in enumerate(layer.pixels_seen()):
        pixels = layer.image_size[axis]
        expected = []
        for pixel in range(layer.output_size[axis]):
            u = (pixel + HALF - paints[axis].offset) / paints[axis].scale
            expected.append(min(max(math.floor(looks[axis](u)), 0), pixels - 1))
        assert seen.tolist() == expected


@st.composite
def strided(draw: st.DrawFn) -> tuple[Placement, tuple[int, int]]:
    """Placements by maps s u, and their strides."""
    cells = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    hyperpatch = draw(st.integers(1, cells[0])), draw(st.integers(1, cells[1]))
    strides = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    size = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    maps = AxisMap(Fraction(strides[0])), AxisMap(Fraction(strides[1]))
    return Placement(maps, size, cells, hyperpatch), strides


@given(strided())
def test_by_whole_strides_the_bounds_are_those_of_the_paper(
    placed: tuple[Placement, tuple[int, int]],
) -> None:
    """b(i) = floor(s (i + (h - 1)/2)), and cell i has the pixels s i to s (i + 1)."""
    placement, strides = placed
    for axis, (bounds, cells) in enumerate(
        zip(
            (placement.row_bounds(), placement.col_bounds()),
            placement.cells_of_pixels(),
            strict=True,
        )
    ):
        stride, grid, pixels = strides[axis], placement.grid[axis], placement.size[axis]
        between = Fraction(placement.hyperpatch[axis] - 1, 2)
        middle = [min(math.floor(stride * (i + between)), pixels) for i in range(1, grid)]
        assert bounds.tolist() == [0, *middle, pixels]
        last = placement.cells[axis] - 1
        assert cells.tolist() == [min(pixel // stride, last) for pixel in range(pixels)]


@given(layers())
@settings(deadline=None)
def test_bounds_share_out_all_pixels(layer: Layer) -> None:
    for placement in (layer.looks, layer.paints):
        for bounds, owners, grid, pixels in zip(
            (placement.row_bounds(), placement.col_bounds()),
            placement.owners(),
            placement.grid,
            placement.size,
            strict=True,
        ):
            assert bounds.dtype == np.int64
            assert bounds.shape == (grid + 1,)
            assert (bounds[0], bounds[-1]) == (0, pixels)
            covered = [(i, p) for i in range(grid) for p in range(bounds[i], bounds[i + 1])]
            assert covered == list(zip(owners.tolist(), range(pixels), strict=True))


@given(layers(), geometries(), st.integers(0, 50), st.integers(0, 50))
def test_shifts_are_differences_of_centres(
    layer: Layer, geometry: Geometry, place: int, match: int
) -> None:
    other = replace(layer, geometry=geometry)
    for axis in (0, 1):
        for here, there in ((layer.looks, other.looks), (layer.paints, layer.paints)):
            difference = centre(there, axis, match) - centre(here, axis, place)
            found = here.shift(there, axis, np.array([place]), np.array([match]))
            assert found.tolist() == [math.floor(difference + HALF)]


def test_fractions_of_any_length_are_exact() -> None:
    """Numbers beyond 64 bits: several enlargements with aligned corners, strides between them."""
    scale = Fraction(3 * (10**19 + 51), 10**19 + 9)
    here = AxisMap(scale, Fraction(-(10**17) - 3, 10**17))
    there = AxisMap(scale + Fraction(1, 10**18 + 9), Fraction(1, 3))
    own, other = (Placement((each, each), (40, 40), (13, 13), (2, 1)) for each in (here, there))
    assert own.owners()[0].tolist() == [owner(own, 0, pixel) for pixel in range(40)]
    assert own.cells_of_pixels()[1].tolist() == [cell(own, 1, pixel) for pixel in range(40)]
    places = np.arange(12)
    assert own.shift(other, 0, places, places[::-1]).tolist() == [
        math.floor(centre(other, 0, 11 - i) - centre(own, 0, i) + HALF) for i in range(12)
    ]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_every_layer_has_a_geometry_by_sizes(
    height: int, width: int, cells_y: int, cells_x: int
) -> None:
    layer = Layer.of("layer", (cells_y, cells_x, 1), (height, width))
    assert layer.looks == layer.paints
    assert layer.geometry.looks[0](cells_y) == height
    assert layer.geometry.looks[1](cells_x) == width
    rows, cols = layer.looks.owners()
    assert (len(rows), len(cols)) == (height, width)
    assert rows.max() < layer.grid[0]
    assert cols.max() < layer.grid[1]


def test_patches_are_centred_where_the_paper_says() -> None:
    layer = Layer.of("layer", (16, 16, 8), (64, 64), hyperpatch=(3, 2))
    rows, cols = layer.looks.row_bounds(), layer.looks.col_bounds()
    for i in range(1, layer.grid[0] - 1):
        assert (rows[i] + rows[i + 1]) / 2 == (i + 3 / 2) * 4
    for j in range(1, layer.grid[1] - 1):
        assert (cols[j] + cols[j + 1]) / 2 == (j + 2 / 2) * 4


@pytest.mark.parametrize(
    ("cells", "pixels", "patch", "hyperpatch"),
    [
        ((128, 128), (256, 256), "2x2", (2, 2)),
        ((256, 256), (256, 256), "1x1", (1, 1)),
        ((1, 1), (256, 256), "256x256", (1, 1)),
        ((1, 4), (32, 32), "32x8", (1, 2)),
        ((23, 30), (360, 480), "15.7x16", (2, 2)),
        ((4, 4), (100, 97), "25x24.2", (2, 2)),
        ((258, 258), (256, 256), "1x1", (1, 1)),
        ((16, 64), (32, 32), "2x0.5", (2, 1)),
    ],
)
def test_patch_and_default_hyperpatch(
    cells: tuple[int, int], pixels: tuple[int, int], patch: str, hyperpatch: tuple[int, int]
) -> None:
    layer = Layer.of("layer", (*cells, 5), pixels)
    assert (layer.patch_text, layer.hyperpatch) == (patch, hyperpatch)
    h, w = hyperpatch
    assert str(layer) == f"layer: hyperpatch {h}x{w}x5 <-> patch {patch}"


def test_the_default_hyperpatch_is_by_what_is_painted() -> None:
    one, four = AxisMap(Fraction(1)), AxisMap(Fraction(4), Fraction(-3, 2))
    geometry = Geometry((32, 32), (four, four), (8, 8), (one, one))
    layer = Layer.of("layer", (8, 8, 5), (32, 32), geometry=geometry)
    assert layer.hyperpatch == (1, 1)
    assert layer.patch == (1, 1)
    assert (layer.image_size, layer.output_size) == ((32, 32), (8, 8))
    assert maps_text(geometry.looks) == "4u - 3/2"
    assert maps_text((four, one)) == "4u - 3/2, u"


@pytest.mark.parametrize("shape", [(0, 4, 1), (4, 0, 1), (4, 4, 0)])
def test_an_activation_without_cells_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(LayerError, match="no cells or channels"):
        Layer.of("layer", shape, (8, 8))


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
        ({"geometry": [2, 2]}, "other fields"),
        ({"geometry": {}}, "other fields"),
        ({"name": 7}, "other fields"),
        ({"shape": [0, 6, 3]}, "at least 1"),
        ({"hyperpatch": [5, 1]}, "does not fit"),
    ],
)
def test_fields_that_are_no_layer_are_refused(change: dict[str, object], message: str) -> None:
    document = Layer.of("layer", (4, 6, 3), (8, 12)).to_json()
    with pytest.raises(LayerError, match=message):
        Layer.from_json(document | change)
    (key,) = change
    with pytest.raises(LayerError, match="other fields"):
        Layer.from_json({each: part for each, part in document.items() if each != key})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": [-8, 12]}, "at least one pixel"),
        ({"output_size": [8]}, "other fields"),
        ({"looks": [["2", "0"]]}, "other fields"),
        ({"looks": [["2", "0"], ["0", "0"]]}, "scale above 0"),
        ({"paints": [["2", "0"], ["-1/3", "0"]]}, "scale above 0"),
        ({"paints": [["2", "0"], ["1/0", "0"]]}, "two fractions"),
        ({"paints": [["2", "0"], [2, 0]]}, "two fractions"),
        ({"paints": [["2", "0"], ["1e999999999", "0"]]}, "two fractions"),
        ({"paints": [["2", "0"], ["1" * 999, "0"]]}, "two fractions"),
        ({"note": 3}, "other fields"),
    ],
)
def test_fields_that_are_no_geometry_are_refused(change: dict[str, object], message: str) -> None:
    document = Geometry.by_sizes((4, 6), (8, 12)).to_json()
    with pytest.raises(LayerError, match=message):
        Geometry.from_json(document | change)


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
    for axis, bounds in ((2, layer.paints.row_bounds()), (3, layer.paints.col_bounds())):
        cells, pixels = layer.shape[axis - 2], layer.output_size[axis - 2]
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
    assert layer.paints.row_bounds()[1:3].tolist() == [3, 5]
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
