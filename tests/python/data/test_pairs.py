"""Tensors and arrays as pairs: values are checked, never guessed. PyTorch is imitated."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import compnn
from compnn.bank.bank import build
from compnn.errors import DatasetError, ImageError
from compnn.images.files import write_image
from compnn.images.palette import Palette
from compnn.network.output import OutputChoice
from memory_dataset import contents, grey_palette
from tiny_networks import tiny_unet

PHOTO = compnn.Photo()
LABELS = compnn.Labels(grey_palette(4))


class Tensor:
    """As much of a tensor as is used."""

    def __init__(self, values: Any) -> None:
        self._values, self.dtype = values, values.dtype

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._values


def image(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)


def labels() -> Any:
    return np.random.default_rng(0).integers(0, 4, (6, 8), np.int64)


@pytest.mark.parametrize("wrap", [np.asarray, Tensor])
def test_all_layouts_give_the_same_pixels(wrap: Any) -> None:
    pixels = image()
    planes = pixels.transpose(2, 0, 1)
    for given_image in (pixels, planes, planes / np.float32(255), planes / 255):
        pair = compnn.pairs([(wrap(given_image), wrap(labels()))], target_kind=LABELS)[0]
        np.testing.assert_array_equal(pair.input, pixels)
        np.testing.assert_array_equal(pair.target, labels())
        assert (pair.input.dtype, pair.target.dtype) == (np.uint8, np.uint8)


@given(
    st.lists(st.floats(0.1, 0.9), min_size=3, max_size=3),
    st.lists(st.floats(0.05, 2), min_size=3, max_size=3),
)
def test_normalisation_is_undone(mean: list[float], std: list[float]) -> None:
    values = ((image() / 255 - mean) / std).transpose(2, 0, 1).astype(np.float32)
    pairs = compnn.pairs([(values, labels())], target_kind=LABELS, mean=mean, std=std)
    np.testing.assert_array_equal(pairs[0].input, image())


def test_photos_and_values() -> None:
    pixels = image().transpose(2, 0, 1) / np.float32(127.5) - 1
    pairs = compnn.pairs([(pixels, pixels)], target_kind=PHOTO, range=(-1, 1))
    np.testing.assert_array_equal(pairs[0].input, image())
    np.testing.assert_array_equal(pairs[0].target, image())
    depth = np.linspace(0, 9, 48).reshape(1, 6, 8)
    pair = compnn.pairs([(image()[..., :1], depth)], target_kind=compnn.Values("m"))[0]
    np.testing.assert_array_equal(pair.target, depth[0].astype(np.float32))
    np.testing.assert_array_equal(pair.input, np.repeat(image()[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    ("given_image", "target", "kind", "message"),
    [
        (
            image() / 127.5 - 1,
            labels(),
            LABELS,
            r"from -[01].*`range=\(lo, hi\)`",
        ),
        (
            image().astype(np.float32),
            labels(),
            LABELS,
            r"from 0 to 2\d+.* `range=",
        ),
        (np.full((3, 6, 8), np.nan), labels(), LABELS, "values from nan"),
        (
            image().astype(np.int64),
            labels(),
            LABELS,
            "has int64 pixels, here from 0 to",
        ),
        (np.zeros((5, 6, 8)), labels(), LABELS, r"shape \(5, 6, 8\), not \(3, H, W\)"),
        (np.zeros((3, 6, 3)), labels(), LABELS, "either end may be the channels"),
        (image(), labels() - 100, LABELS, r"label -\d+, .*say so: `ignore=`"),
        (image(), labels() + 4, LABELS, "which is not in"),
        (image(), labels() / 2, LABELS, "float64; labels are integers"),
        (image(), np.zeros((4, 6, 8)), LABELS, r"\(4, 6, 8\), not \(H, W\).*argmax"),
        (image(), np.full((6, 8), np.inf), compnn.Values(), "holds infinite values"),
        ("a.png", labels(), LABELS, "image a.png does not exist"),
        (object(), labels(), LABELS, "is a object, not a tensor"),
    ],
)
def test_what_is_not_told_is_refused(
    given_image: Any, target: Any, kind: Any, message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        _ = compnn.pairs([(given_image, target)], target_kind=kind)[0]


def test_pixels_that_do_not_count_are_void() -> None:
    colours = np.arange(1, 13, dtype=np.uint8).reshape(4, 3)
    palette = Palette("void", tuple("abcd"), colours, void=4)
    target = labels()
    target[:2] = -100
    pairs = compnn.pairs([(image(), target)], target_kind=compnn.Labels(palette), ignore=-100)
    np.testing.assert_array_equal(pairs[0].target, np.where(target < 0, 4, target))
    with pytest.raises(DatasetError, match="without void; give a palette"):
        compnn.pairs([(image(), target)], target_kind=LABELS, ignore=-100)


def test_names_follow_the_numbers() -> None:
    items = [(image(seed), labels()) for seed in range(12)]
    pairs = compnn.pairs(items, target_kind=LABELS)
    assert pairs.names == tuple(map(str, range(12)))
    np.testing.assert_array_equal(pairs[10].input, image(10))
    named = compnn.pairs(items, target_kind=LABELS, names=[f"scan {11 - i}" for i in range(12)])
    np.testing.assert_array_equal(named.read("scan 1").input, image(10))
    assert len(named.subset(["scan 1"])) == 1
    for names in (["a"], ["a"] * 12):
        with pytest.raises(DatasetError, match=r"names|named"):
            compnn.pairs(items, target_kind=LABELS, names=names)


def test_datasets_that_are_none_are_refused() -> None:
    for none in (5, {"a": (image(), labels())}):
        with pytest.raises(DatasetError, match="has no numbered items; give a list of pairs"):
            compnn.pairs(none, target_kind=LABELS)  # type: ignore
    with pytest.raises(DatasetError, match="is empty; give one with pairs"):
        compnn.pairs([], target_kind=LABELS)
    with pytest.raises(DatasetError, match=r"item 0 is a dict that has 'image', not 0; say where"):
        compnn.pairs([{"image": image()}], target_kind=LABELS)
    for options in ({"range": (1, 0)}, {"range": (1, 1)}, {"mean": (0.5,)}, {"std": (0.0,)}):
        full = {"mean": (0.5,)} | options if "std" in options else options
        with pytest.raises(DatasetError, match="range"):
            compnn.pairs([(image(), labels())], target_kind=LABELS, **full)  # type: ignore


def test_random_augmentation_is_seen() -> None:
    class Noisy(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            noise = np.random.default_rng().random((3, 6, 8))
            return noise, labels()

    with pytest.raises(DatasetError, match=r"another one each time .* random augmentation"):
        compnn.pairs(Noisy([0]), target_kind=LABELS)


def test_errors_of_the_dataset_name_the_pair() -> None:
    class Broken(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            if index:
                raise OSError("cut short")
            return image(), labels()

    pairs = compnn.pairs(Broken([0, 1]), target_kind=LABELS)
    with pytest.raises(ImageError, match=r"item 1 cannot be read .* OSError: cut short"):
        _ = pairs[1]


# Items of any kind


def test_rows_as_hugging_face_has_them(tmp_path: Path) -> None:
    """PIL images by name; mode P is indices, and what a palette does not have is an error."""
    table = Image.fromarray(labels().astype(np.uint8))
    table.putpalette(np.arange(30, dtype=np.uint8).tobytes())
    rows = [
        {"image": Image.fromarray(image(seed)), "annotation": table, "id": f"scene {seed}"}
        for seed in range(3)
    ]
    pairs = compnn.pairs(rows, "image", "annotation", target_kind=LABELS, names="id")
    assert pairs.names == ("scene 0", "scene 1", "scene 2")
    np.testing.assert_array_equal(pairs[2].input, image(2))
    np.testing.assert_array_equal(pairs[2].target, labels())
    with pytest.raises(DatasetError, match=r"item 0 .* has 'image', 'annotation', 'id', not 'mas"):
        compnn.pairs(rows, "image", "mask", target_kind=LABELS)
    painted = compnn.pairs(rows, "annotation", "image", names="id")[0].input
    np.testing.assert_array_equal(painted, np.asarray(table.convert("RGB")))


def test_samples_with_paths_of_files(tmp_path: Path) -> None:
    """As FiftyOne has them; they are read as those of folders are."""

    class Sample:
        def __init__(self, seed: int) -> None:
            self.filepath = str(tmp_path / f"{seed}.png")
            write_image(tmp_path / f"{seed}.png", image(seed))

        def __getitem__(self, name: str) -> Any:
            return {"filepath": self.filepath, "truth": {"mask": labels()}}[name]

    samples = (Sample(seed) for seed in range(2))
    pairs = compnn.pairs(
        samples, "filepath", lambda sample: sample["truth"]["mask"], target_kind=LABELS
    )
    assert len(pairs) == 2
    np.testing.assert_array_equal(pairs[1].input, image(1))
    np.testing.assert_array_equal(pairs[1].target, labels())


@pytest.mark.parametrize("alpha", ["LA", "RGBA", "P", "CMYK"])
def test_images_of_other_modes_are_colours(alpha: str) -> None:
    given_image = Image.fromarray(image()).convert("L" if alpha == "LA" else "RGB").convert(alpha)
    pair = compnn.pairs([(given_image, labels())], target_kind=LABELS)[0]
    np.testing.assert_array_equal(pair.input, np.asarray(given_image.convert("RGB")))


def test_indices_of_a_palette_with_gaps(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("index,name\n0,void\n7,car\n255,sky\n")
    kind = compnn.Labels(tmp_path / "some.csv")
    target = np.tile(np.array([[0, 7, 255, -1]]), (6, 2))
    pair = compnn.pairs([(image(), target)], target_kind=kind, ignore=-1)[0]
    void = kind.palette.void
    np.testing.assert_array_equal(pair.target, np.tile([[void, 0, 1, void]], (6, 2)))


def test_inputs_of_any_kind() -> None:
    """Label maps are painted; channels and bits are those that are said."""
    pair = compnn.pairs([(labels(), image())], input_kind=LABELS)[0]
    np.testing.assert_array_equal(pair.input, LABELS.paint(labels().astype(np.uint8)))
    tile = np.random.default_rng(0).integers(0, 4096, (6, 8, 5), np.uint16)
    kind = compnn.Photo(5, 4095)
    for given_tile in (tile, tile.transpose(2, 0, 1), (tile / 4095).astype(np.float32)):
        pair = compnn.pairs([(given_tile, image())], input_kind=kind)[0]
        np.testing.assert_array_equal(pair.input, tile)
        assert pair.input.dtype == np.uint16
    with pytest.raises(ImageError, match=r"shape \(6, 8, 5\), not \(3, H, W\) or \(H, W, 3\)"):
        _ = compnn.pairs([(tile, image())])[0]


def test_a_build_from_memory_is_that_from_files(tmp_path: Path) -> None:
    network = compnn.OnnxNetwork(
        tiny_unet(tmp_path / "unet.onnx", size=(8, 8)),
        ["encoder_1"],
        None,
        output=OutputChoice(kind="none"),
    )
    pixels = [np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8) for i in range(5)]
    masks = [np.random.default_rng(i).integers(0, 4, (8, 8)) for i in range(5)]
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for index, (photo, mask) in enumerate(zip(pixels, masks, strict=True)):
        write_image(tmp_path / "photos" / f"{index}.png", photo)
        write_image(tmp_path / "masks" / f"{index}.png", mask.astype(np.uint8))
    of_files = compnn.PairedFolders(tmp_path / "photos", tmp_path / "masks", target_kind=LABELS)
    floats = [photo.transpose(2, 0, 1) / np.float32(255) for photo in pixels]
    of_memory = compnn.pairs(zip(floats, masks, strict=True), target_kind=LABELS)
    found = []
    for name, dataset in (("files", of_files), ("memory", of_memory)):
        with build(tmp_path / name, network, dataset) as bank:
            explained = compnn.Explainer(bank, network).explain(pixels[0][::-1], "encoder_1")
            found.append([explained.input.tobytes(), explained.output.tobytes()])
    assert found[0] == found[1]


# Where nothing would be said


@pytest.mark.parametrize(
    ("picture", "options"),
    [
        ((image() / 255).round().astype(np.uint8), {}),
        (image() / 255, {"range": (0, 255)}),
        (image() / 1000, {"range": (0, 255)}),
    ],
)
def test_images_that_would_be_black_are_refused(picture: Any, options: Any) -> None:
    with pytest.raises(ImageError, match=r"input of pair 0\) would be black.*floats in \[0, 1\]"):
        _ = compnn.pairs([(picture, labels())], target_kind=LABELS, **options)[0]


def test_images_that_are_black_are_taken() -> None:
    for black in (np.zeros((6, 8, 3), np.uint8), np.full((3, 6, 8), 1e-8)):
        assert not compnn.pairs([(black, labels())], target_kind=LABELS)[0].input.any()
    mask = labels() > 1
    np.testing.assert_array_equal(compnn.pairs([(image(), mask)])[0].target[..., 0], 255 * mask)


def test_an_iterable_that_overwrites_its_items_is_refused() -> None:
    def frames(*, copied: bool) -> Iterator[Any]:
        buffer = np.zeros((6, 8, 3), np.uint8)
        for number in (3, 5, 7):
            buffer[:] = number
            yield buffer.copy() if copied else Tensor(buffer[:]), labels()

    with pytest.raises(DatasetError, match=r"items 0 and 1 are the same memory.*`image.copy\(\)`"):
        compnn.pairs(frames(copied=False), target_kind=LABELS)
    pairs = compnn.pairs(frames(copied=True), target_kind=LABELS)
    assert [int(pair.input[0, 0, 0]) for pair in pickle.loads(pickle.dumps(pairs))] == [3, 5, 7]


def test_an_iterable_that_fails_names_the_item() -> None:
    def failing() -> Iterator[Any]:
        yield image(), labels()
        raise OSError("cut short")

    with pytest.raises(DatasetError, match=r"item 1 of the generator .* OSError: cut short"):
        compnn.pairs(failing(), target_kind=LABELS)


def test_a_function_that_fails_names_the_item() -> None:
    items = [(image(), labels()), (image(),)]
    pairs = compnn.pairs(items, 0, lambda item: item[1], names=["a", "b"], target_kind=LABELS)  # type: ignore
    with pytest.raises(ImageError, match=r"item 1: the function .* raises IndexError"):
        pairs.read("b")


def test_messages_have_the_number_of_a_named_pair() -> None:
    items = [(image(), labels()), (image(), labels() + 9)]
    pairs = compnn.pairs(items, names=["z", "b"], target_kind=LABELS)
    with pytest.raises(ImageError, match=r"the target of pair b, item 1\) holds the label 9"):
        pairs.read("b")


def test_items_without_numbers_are_iterated() -> None:
    class Samples:
        """As FiftyOne has them: with a length, and by id only."""

        def __len__(self) -> int:
            return 2

        def __getitem__(self, key: str) -> Any:
            raise ValueError("Accessing dataset samples by numeric index is not supported")

        def iter_samples(self) -> Iterator[Any]:
            return iter(self)

        def __iter__(self) -> Iterator[Any]:
            return iter({"picture": image(seed), "mask": labels()} for seed in (0, 1))

    pairs = compnn.pairs(Samples(), "picture", "mask", target_kind=LABELS)
    np.testing.assert_array_equal(pairs[1].input, image(1))
    for none in ("abc", {"train": []}):
        with pytest.raises(DatasetError, match="has no numbered items; give a list"):
            compnn.pairs(none)


def test_what_is_ignored_is_void_in_files_too(tmp_path: Path) -> None:
    colours = np.arange(1, 13, dtype=np.uint8).reshape(4, 3)
    kind = compnn.Labels(Palette("void", tuple("abcd"), colours, void=4))
    write_image(tmp_path / "mask.png", labels().astype(np.uint8))
    found = [
        compnn.pairs([(image(), target)], target_kind=kind, ignore=0)[0].target
        for target in (labels(), tmp_path / "mask.png")
    ]
    for target in found:
        np.testing.assert_array_equal(target, np.where(labels() == 0, 4, labels()))


def test_mean_and_std_of_any_channels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 4), np.uint8)
    mean, std = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.5, 0.6, 0.7, 0.8])
    values = ((pixels / 255 - mean) / std).transpose(2, 0, 1)
    pairs = compnn.pairs(
        [(values, labels())],
        input_kind=compnn.Photo(4),
        target_kind=LABELS,
        mean=mean.tolist(),
        std=std.tolist(),
    )
    np.testing.assert_array_equal(pairs[0].input, pixels)


def test_input_and_target_are_exchanged() -> None:
    pairs = compnn.pairs([(image(0), image(1))])
    for given_pair, number in ((pairs, 0), (pairs.swapped(), 1), (pairs.swapped().swapped(), 0)):
        np.testing.assert_array_equal(given_pair[0].input, image(number))


def test_a_build_by_several_threads_reads_one_item_at_a_time(tmp_path: Path) -> None:
    items = [
        tuple(np.random.default_rng(i).integers(0, 256, (2, 32, 32, 3), np.uint8))
        for i in range(12)
    ]
    busy = threading.Lock()

    class Alone(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            assert busy.acquire(blocking=False), "read by two threads"
            time.sleep(0.005)
            busy.release()
            return super().__getitem__(index)

    found = []
    for threads, source in ((4, Alone(items)), (1, iter(items))):
        network = compnn.OnnxNetwork(
            tiny_unet(tmp_path / "unet.onnx"), ["encoder_2"], num_threads=threads
        )
        pairs = compnn.pairs(source)
        compnn.build(tmp_path / f"{threads}.bank", network, pairs.subset(pairs.names)).close()
        found.append(contents(tmp_path / f"{threads}.bank"))
    assert found[0] == found[1]
