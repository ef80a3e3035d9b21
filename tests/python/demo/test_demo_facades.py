"""The demo's facades are the same every time and say what they are; its network learned them."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest

import compnn.demo
from compnn.data.dataset import Pair
from compnn.demo.facade.building import choose_style, make_layout
from compnn.demo.facade.layout import label_map
from compnn.demo.facade.styles import STYLES, WALL_COLOURS
from compnn.demo.facades import PALETTE, DemoFacades, Facade, make_facade
from compnn.errors import DatasetError
from compnn.images.kinds import Labels, Photo

NETWORK = Path(compnn.demo.__path__[0]) / "unet.onnx"
WALL = PALETTE.classes.index("wall")
FINGERPRINT = "de471a2277b3a41aecf6befe71bc349bca506da1bd630e7e79bc1a8f196cef47"
"""SHA-256 of the first facade of each style, label map before photo."""


def mean_wall(facade: Facade) -> npt.NDArray[np.float64]:
    return np.asarray(facade.photo[facade.labels == WALL].mean(axis=0))


def labels_only(name: str) -> npt.NDArray[np.uint8]:
    """Label map of a facade, without the time that its photo takes."""
    seed = int(name.removeprefix("facade-"))
    return label_map(make_layout(np.random.default_rng([seed, 0]), choose_style(seed)))


def test_a_seed_always_makes_the_same_facade() -> None:
    first, again = make_facade(7), make_facade(7)
    assert np.array_equal(first.labels, again.labels)
    assert np.array_equal(first.photo, again.photo)
    assert first.attributes == again.attributes
    assert not np.array_equal(first.photo, make_facade(13).photo)


def test_facades_are_those_the_network_was_trained_on() -> None:
    # The shipped network and its bank belong to these pixels: a change here means training anew.
    digest = hashlib.sha256()
    for seed in range(len(STYLES)):
        facade = make_facade(seed)
        digest.update(facade.labels.tobytes() + facade.photo.tobytes())
    assert digest.hexdigest() == FINGERPRINT


def test_facades_are_label_map_and_photo_of_one_size() -> None:
    facade = make_facade(3)
    assert facade.labels.shape == (256, 256)
    assert facade.photo.shape == (256, 256, 3)
    assert facade.labels.dtype == facade.photo.dtype == np.uint8
    assert facade.labels.max() < len(PALETTE)


def test_pairs_show_the_label_map_in_the_colours_of_the_palette() -> None:
    facades = DemoFacades("held-out", count=2)
    assert facades.input_kind == Labels(PALETTE)
    assert facades.target_kind == Photo()
    for pair, seed in zip(facades, (10_042, 10_043), strict=True):
        made = make_facade(seed)
        assert pair.name == made.name
        assert np.array_equal(PALETTE.quantise(pair.input), made.labels)
        assert np.array_equal(pair.target, made.photo)


def test_pairs_pickle_and_stay_the_same() -> None:
    facades = DemoFacades("held-out", count=2)
    again = pickle.loads(pickle.dumps(facades))
    assert again.names == facades.names
    np.testing.assert_array_equal(again[1].target, facades[1].target)
    assert again.subset(facades.names[1:]).read("facade-10043").name == "facade-10043"


def test_train_and_held_out_share_no_facade() -> None:
    train, held_out = DemoFacades("train"), DemoFacades("held-out")
    assert (len(train), len(held_out)) == (64, 8)
    assert not set(train.names) & set(held_out.names)
    maps = {labels_only(name).tobytes() for name in (*train.names, *held_out.names)}
    assert len(maps) == 64 + 8


def test_every_class_wall_and_style_occurs_in_the_training_set() -> None:
    train = DemoFacades("train")
    seen = {int(label) for name in train.names for label in np.unique(labels_only(name))}
    assert seen == set(range(len(PALETTE)))
    attributes = train.attributes.values()
    assert {values["style"] for values in attributes} == {style.name for style in STYLES}
    # Enough of each to restrict a search to, in more styles than one.
    for wall in WALL_COLOURS:
        styles = [values["style"] for values in attributes if values["wall"] == wall]
        assert len(styles) >= 5, wall
        assert len(set(styles)) >= 3, wall


@pytest.mark.parametrize("wall", WALL_COLOURS)
def test_wall_colour_can_be_measured_in_the_photo(wall: str) -> None:
    attributes = DemoFacades("train").attributes
    names = [name for name, values in attributes.items() if values["wall"] == wall][:3]
    for name in names:
        facade = make_facade(int(name.removeprefix("facade-")))
        distances = {
            other: float(np.square(mean_wall(facade) - colour).sum())
            for other, colour in WALL_COLOURS.items()
        }
        assert min(distances, key=distances.__getitem__) == wall


def test_bad_arguments_are_named() -> None:
    with pytest.raises(DatasetError, match="no split 'test'; use train or held-out"):
        DemoFacades("test")
    with pytest.raises(DatasetError, match="count is 0"):
        DemoFacades("train", count=0)
    # More would run into the held-out facades.
    with pytest.raises(DatasetError, match="count is 9899"):
        DemoFacades("train", count=9_899)


def test_network_file_is_small_and_names_its_layers_like_pix2pix() -> None:
    assert NETWORK.stat().st_size <= 4_000_000
    model = onnx.load(NETWORK)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    layers = metadata["layers"].split(",")
    depth = len(layers) // 2 + 1
    assert layers == [f"encoder_{k}" for k in range(1, depth + 1)] + [
        f"decoder_{k}" for k in range(depth, 1, -1)
    ]
    assert metadata["input_range"] == metadata["output_range"] == "[-1, 1]"
    made = {output for node in model.graph.node for output in node.output}
    assert set(layers) < made
    joined = {n.output[0]: list(n.input) for n in model.graph.node if n.op_type == "Concat"}
    for k in range(2, depth + 1):
        assert joined[f"decoder_{k}"][1] == f"encoder_{k - 1}"


def test_network_paints_held_out_facades_better_than_one_mean_photo() -> None:
    held_out = list(DemoFacades("held-out"))
    session = ort.InferenceSession(NETWORK, providers=["CPUExecutionProvider"])
    images = np.stack([pair.input for pair in held_out]).astype(np.float32) / 127.5 - 1
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    (output,) = session.run(["output"], {"input": images})
    (alone,) = session.run(["output"], {"input": images[2:3]})
    assert np.allclose(output[2:3], alone, atol=1e-4)
    painted = (output.transpose(0, 2, 3, 1) + 1) * 127.5
    photos = np.stack([pair.target for pair in held_out]).astype(np.float32)
    error = np.abs(painted - photos).mean()
    # Two baselines: one colour for each class, and the mean of all these very photos.
    assert error < 0.8 * np.abs(class_colours(held_out) - photos).mean()
    assert error < 0.6 * np.abs(photos.mean(axis=0) - photos).mean()


def class_colours(pairs: list[Pair]) -> npt.NDArray[np.float32]:
    """Photos painted with the mean colour that each class has in all of them, (N, H, W, 3)."""
    labels = np.stack([PALETTE.quantise(pair.input) for pair in pairs])
    photos = np.stack([pair.target for pair in pairs]).astype(np.float32)
    painted = np.zeros_like(photos)
    for label in np.unique(labels):
        painted[labels == label] = photos[labels == label].mean(axis=0)
    return painted
