"""The comparison of a network's output with its targets, before a build."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from command_line import call_main
from compnn.bank.bank import Bank, build
from compnn.data.dataset import Dataset, Pair
from compnn.data.folders import PairedFolders, SideBySide
from compnn.errors import DatasetError
from compnn.images.files import write_image
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.images.palette import Palette
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing

SIZE = (24, 24)
COUNT = 8
DARK = 0.2021  # between two pixels
NAMES = ("red", "green", "blue", "dark")
PALETTE = Palette("colours", NAMES, np.array([[0, 255, 0], [0, 0, 255], [255, 0, 0], [9, 9, 9]]), 4)
RIGHT = Preprocessing(range=(-1, 1))
Labelled = npt.NDArray[np.uint8]


def photo(index: int) -> npt.NDArray[np.uint8]:
    """Patches of noise; the strongest colour decides the class, or that none is strong."""
    random = np.random.default_rng(index)
    patches = random.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.ascontiguousarray(patches.repeat(2, axis=0).repeat(2, axis=1))


def labels(index: int) -> Labelled:
    values = photo(index) / 127.5 - 1
    dark = np.full((*SIZE, 1), DARK)
    return np.concatenate([values, dark], axis=2).argmax(axis=2).astype(np.uint8)


def network(path: Path, weights: npt.NDArray[np.float64], bias: list[float]) -> Path:
    """Each pixel by itself: weights (classes, 3) times it."""
    tensors = [
        numpy_helper.from_array(np.float32(weights)[:, :, None, None], "w"),
        numpy_helper.from_array(np.float32(bias), "b"),
    ]
    shaped = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["image"], ["positive"]),
            helper.make_node("Conv", ["image", "w", "b"], ["out"]),
        ],
        "net",
        [shaped("image", TensorProto.FLOAT, (1, 3, *SIZE))],
        [shaped("out", TensorProto.FLOAT, (1, len(bias), *SIZE))],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """What paints `labels`, given images in [-1, 1] and in RGB."""
    weights = np.concatenate([np.eye(3), np.zeros((1, 3))])
    return network(tmp_path / "net.onnx", weights, [0, 0, 0, DARK])


class Scenes(Dataset):
    """`COUNT` pairs of a photo and what `target` makes of its labels."""

    def __init__(
        self,
        target: Callable[[Labelled], Any] = lambda labels: labels,
        kind: Kind | None = None,
        count: int = COUNT,
    ) -> None:
        self._target = target
        super().__init__(
            [str(index) for index in range(count)], target_kind=kind or Labels(PALETTE)
        )

    def read(self, name: str) -> Pair:
        target = np.ascontiguousarray(self._target(labels(int(name))))
        return Pair(name, photo(int(name)), target)


def built(
    folder: Path, file: Path, pairs: Dataset, preprocessing: Preprocessing = RIGHT, **options: Any
) -> list[str]:
    """Build a bank, and return what was said."""
    said: list[str] = []
    opened = OnnxNetwork(
        file, ["positive"], preprocessing=preprocessing, output=options.pop("output", None)
    )
    build(folder / "bank", opened, pairs, say=said.append, overwrite=True, **options).close()
    return said


def test_the_right_reading_is_told_and_passes(tmp_path: Path, file: Path) -> None:
    said = built(tmp_path, file, Scenes())
    others = np.mean(
        [
            (labels(index) == labels((index + step) % COUNT)).mean()
            for index in range(COUNT)
            for step in (1, 2, 3)
        ]
    )
    assert (
        f"the network reproduces 100.0% of its training labels; of other images' {others:.1%}"
        in said
    )
    assert not any("WARNING" in line for line in said)


def shifted(by: int) -> Callable[[Labelled], Labelled]:
    """Labels of another count; what leaves it is void."""

    def shift(labels: Labelled) -> Labelled:
        moved = labels.astype(int) + by
        return np.where((moved < 0) | (moved > 3), 4, moved).astype(np.uint8)

    return shift


@pytest.mark.parametrize(
    ("target", "remedy"),
    [
        (shifted(1), "with labels that are one less, where 0 is no class, .*`--reduce-zero-label`"),
        (shifted(-1), "with labels that are one more .*store labels that are one more"),
        (np.fliplr, "with targets mirrored left to right .*mirror them"),
        (np.flipud, "with targets mirrored top to bottom .*mirror them"),
        (lambda labels: labels[::-1, ::-1], "with targets turned by 180 degrees .*EXIF"),
        (np.transpose, "with rows and columns of targets exchanged .*transpose them"),
    ],
)
def test_targets_that_are_changed_are_named(
    tmp_path: Path, file: Path, target: Callable[[Labelled], Any], remedy: str
) -> None:
    with pytest.raises(DatasetError, match=rf"reproduces .*; {remedy}.*, or .*`--no-check`"):
        built(tmp_path, file, Scenes(target))
    assert not (tmp_path / "bank").exists()
    built(tmp_path, file, Scenes(target), check=False)


def test_another_order_is_named(tmp_path: Path, file: Path) -> None:
    bgr = Preprocessing(range=(-1, 1), channel_order="BGR")
    said = r"channels in the order RGB .*`--channel-order RGB`"
    with pytest.raises(DatasetError, match=said):
        built(tmp_path, file, Scenes(), bgr)


IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
SCALES = [
    (Preprocessing(range=(0, 1)), r"input in \[0, 1\] .*`--input-range 0,1`"),
    (Preprocessing(range=(-1, 1)), r"input in \[-1, 1\] .*`--input-range -1,1`"),
    (Preprocessing(range=(0, 255)), r"input in \[0, 255\] .*`--input-range 0,255`"),
    (IMAGENET, "mean and std of ImageNet .*`--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225`"),
]


class Levels(Scenes):
    """Four classes of the mean of the channels, from dark to light."""

    def read(self, name: str) -> Pair:
        levels = (photo(int(name)).astype(float).mean(axis=2) / 64).astype(np.uint8)
        return Pair(name, photo(int(name)), levels)


@pytest.mark.parametrize("given", range(4))
@pytest.mark.parametrize("right", range(4))
def test_another_scale_is_named(tmp_path: Path, right: int, given: int) -> None:
    factor, offset = (each.astype(float) for each in SCALES[right][0].scaling(3))
    centres = np.arange(32, 256, 64)  # the nearest one has the largest c p - c^2 / 2
    weights = centres[:, None] / factor / 3 / 100
    bias = -(centres**2) / 200 - (weights * offset).sum(axis=1)
    file = network(tmp_path / "net.onnx", weights, bias.tolist())
    if right == given:
        said = built(tmp_path, file, Levels(), SCALES[given][0])
        assert any("reproduces 100.0%" in line or "reproduces 99." in line for line in said)
        return
    with pytest.raises(DatasetError, match=rf"with (the )?{SCALES[right][1]}"):
        built(tmp_path, file, Levels(), SCALES[given][0])


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Photos, their label maps in the palette's colours, and both side by side."""
    for index in range(COUNT):
        painted = PALETTE.colourise(labels(index))
        for folder, image in (
            ("photos", photo(index)),
            ("labels", painted),
            ("both", np.concatenate([photo(index), painted], axis=1)),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_image(tmp_path / folder / f"{index}.png", image)
    return tmp_path


def test_exchanged_halves_and_folders_are_named(folders: Path, file: Path) -> None:
    kind = Labels(PALETTE, nearest_colour=True)  # else the photos' colours say it
    for right, wrong in (
        (
            SideBySide(folders / "both", "left", target_kind=kind),
            SideBySide(folders / "both", "right", target_kind=kind),
        ),
        (
            PairedFolders(folders / "photos", folders / "labels", target_kind=kind),
            PairedFolders(folders / "labels", folders / "photos", target_kind=kind),
        ),
    ):
        assert any("reproduces 100.0%" in line for line in built(folders, file, right))
        with pytest.raises(DatasetError, match=r"with input and target exchanged .*exchange them"):
            built(folders, file, wrong)


def test_photos_and_values_are_told_in_db(tmp_path: Path) -> None:
    negative = network(tmp_path / "net.onnx", -np.eye(3), [0, 0, 0])
    photos = OutputChoice(kind="photo", range=(-1, 1))

    class Negatives(Scenes):
        def read(self, name: str) -> Pair:
            return Pair(name, photo(int(name)), self._target(255 - photo(int(name))))

    said = built(tmp_path, negative, Negatives(kind=Photo()), output=photos)
    assert any(line.startswith("the network reproduces 99.0 dB of its training t") for line in said)
    with pytest.raises(DatasetError, match=r"mirrored left to right it would be 99\.0 dB"):
        built(tmp_path, negative, Negatives(np.fliplr, Photo()), output=photos)

    grey = network(tmp_path / "depth.onnx", np.full((1, 3), 1 / 3), [0])

    class Depths(Scenes):
        def read(self, name: str) -> Pair:
            depth = (photo(int(name)) / 127.5 - 1).mean(axis=2).astype(np.float32)
            return Pair(name, photo(int(name)), np.ascontiguousarray(self._target(depth)))

    values = OutputChoice(kind="values")
    said = built(tmp_path, grey, Depths(kind=Values("m")), output=values)
    assert any("dB of its training targets" in line for line in said)
    with pytest.raises(DatasetError, match="mirrored top to bottom"):
        built(tmp_path, grey, Depths(np.flipud, Values("m")), output=values)


@pytest.mark.parametrize("seed", range(12))
def test_an_untrained_network_is_warned_of_and_never_stopped(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    file = network(
        tmp_path / "net.onnx", random.normal(size=(4, 3)), random.normal(size=4).tolist()
    )

    class Unrelated(Scenes):
        def read(self, name: str) -> Pair:
            return Pair(name, photo(int(name)), labels(int(name) + 100))

    said = built(tmp_path, file, Unrelated())
    assert any(line.startswith("WARNING: its own targets are hardly more like it") for line in said)


def test_what_is_better_for_most_pairs_only_is_a_warning(tmp_path: Path, file: Path) -> None:
    """Two of eight masks are right, the others are mirrored."""

    class Some(Scenes):
        def read(self, name: str) -> Pair:
            target = labels(int(name))
            return Pair(name, photo(int(name)), target if name in "37" else target[:, ::-1].copy())

    said = built(tmp_path, file, Some())
    (warning,) = [line for line in said if "WARNING" in line]
    assert "with targets mirrored left to right it would be" in warning
    assert "better for most of the pairs" in warning


def test_few_pairs_give_no_verdict(tmp_path: Path, file: Path) -> None:
    said = built(tmp_path, file, Scenes(np.fliplr, count=3))
    assert "fewer than 4 pairs: whether that is right cannot be told" in said


def test_nothing_is_compared_without_an_output(tmp_path: Path, file: Path) -> None:
    said = built(tmp_path, file, Scenes(np.fliplr), output=OutputChoice(kind="none"))
    assert not any("reproduces" in line for line in said)


def test_the_command_line(
    folders: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    palette = folders / "colours.csv"
    rows = [
        f"{index},{name},{r},{g},{b}"
        for index, (name, (r, g, b)) in enumerate(zip(NAMES, PALETTE.colours, strict=True))
    ]
    palette.write_text("\n".join(["index,name,r,g,b", *rows, "4,void,0,0,0"]))
    (folders / "ids").mkdir()
    for index in range(COUNT):
        write_image(folders / "ids" / f"{index}.png", labels(index) + np.uint8(1))
    pairs = ("--inputs", folders / "photos", "--targets", folders / "ids")
    command = ("build", folders / "b", file, *pairs, "--target-palette", palette)
    command += ("--input-range", "-1,1", "--layer", "positive")
    assert call_main(monkeypatch, *command) == 2
    assert "give `--reduce-zero-label`" in capsys.readouterr().err
    assert call_main(monkeypatch, *command, "--reduce-zero-label") == 0
    assert "reproduces 100.0% of its training labels" in capsys.readouterr().err
    with Bank(folders / "b") as bank:
        np.testing.assert_array_equal(bank.pair(0)[1], labels(0))
    assert call_main(monkeypatch, *command, "--no-check", "--overwrite") == 0
    assert "reproduces" not in capsys.readouterr().err
