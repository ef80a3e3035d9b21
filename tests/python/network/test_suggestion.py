"""Which taps are suggested where nobody has named layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from compnn.network.onnx import OnnxNetwork
from compnn.network.suggestion import suggest
from tiny_networks import tiny_segnet, tiny_unet

METADATA = {"input_range": "[-1, 1]"}


def test_a_network_with_a_decoder_gives_one_tap_a_level(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx", size=(64, 64), metadata=METADATA))
    assert not network.names_layers
    found = network.suggestion()
    shapes = [network.tap_shape(name) for name in found.layers]
    assert len(found.layers) >= 3
    assert len({shape[:2] for shape in shapes}) >= 3
    assert "output" not in found.layers
    assert found.descriptor is not None
    smallest = min(layer.shape[0] for layer in network.taps())
    assert network.tap_shape(found.descriptor)[0] == smallest


def test_files_that_name_layers_are_asked_first(tmp_path: Path) -> None:
    assert OnnxNetwork(tiny_segnet(tmp_path / "segnet.onnx")).names_layers


def test_a_network_of_one_level_gives_some_of_its_blocks() -> None:
    shapes = {f"{part}_{block}": (14, 14, 192) for block in range(12) for part in ("norm", "add")}
    operators = {name: "Add" if name.startswith("add") else "LayerNorm" for name in shapes}
    found = suggest(shapes, operators, (224, 224))
    assert found.layers == ("add_2", "add_5", "add_8", "add_11")
    assert found.descriptor == "add_11"


def test_levels_before_the_coarsest_fill_what_room_is_left() -> None:
    sizes = [64, 32, 16, 8]
    shapes = {f"s{size}": (size, size, 8) for size in sizes}
    found = suggest(shapes, {}, (128, 128))
    assert found.layers == ("s64", "s32", "s16", "s8")
    assert found.descriptor == "s8"


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"flat": (16, 16, 3)},
        {"tiny": (2, 2, 64)},
    ],
)
def test_networks_with_nothing_worth_explaining(shapes: dict[str, tuple[int, int, int]]) -> None:
    assert suggest(shapes, {}, (32, 32)).layers == ()


def test_a_descriptor_of_too_many_numbers_is_not_suggested() -> None:
    assert suggest({"wide": (64, 64, 512)}, {}, (64, 64)).descriptor is None
