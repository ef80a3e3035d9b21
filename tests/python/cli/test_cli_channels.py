"""Photos of other channels and bits, and values, from files to a reconstruction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from command_line import Call
from compnn.bank.bank import Bank
from compnn.explanation.explanation import Explanation
from compnn.images.files import write_image
from input_networks import network

COUNT, SIZE = 5, (12, 16)


def pictures(channels: int, white: int) -> list[npt.NDArray[np.unsignedinteger[Any]]]:
    """Those of training, and a query."""
    dtype = np.uint8 if white <= 255 else np.uint16
    draw = np.random.default_rng(0)
    return [draw.integers(0, white + 1, (*SIZE, channels), dtype) for _ in range(COUNT + 1)]


def write(path: Path, picture: npt.NDArray[Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, picture)
    elif path.suffix == ".tif":
        planar = "contig" if picture.shape[2] > 1 else None
        tifffile.imwrite(path, picture, photometric="minisblack", planarconfig=planar)
    else:
        Image.fromarray(picture[..., 0]).save(path)


def activations(picture: npt.NDArray[Any], white: int) -> npt.NDArray[np.float64]:
    """What the network computes, (H, W, 5): a convolution in plain NumPy."""
    channels = picture.shape[2]
    weights = np.random.default_rng(7).normal(size=(5, channels, 3, 3)).astype(np.float32)
    padded = np.pad(picture / white * 2 - 1, ((1, 1), (1, 1), (0, 0)))
    found = np.zeros((*SIZE, 5))
    for row in range(3):
        for col in range(3):
            part = padded[row : row + SIZE[0], col : col + SIZE[1]]
            found += part @ weights[:, :, row, col].T
    return found


def nearest(
    query: npt.NDArray[Any], bank: list[npt.NDArray[Any]], white: int
) -> npt.NDArray[np.int64]:
    """The number of the cell of all training images that is nearest to each of the query's."""
    cells = np.concatenate([activations(each, white).reshape(-1, 5) for each in bank])
    cells /= np.linalg.norm(cells, axis=1, keepdims=True)
    return (activations(query, white).reshape(-1, 5) @ cells.T).argmax(axis=1).reshape(SIZE)


@pytest.mark.parametrize(
    ("extension", "channels", "white", "shown"),
    [
        (".tif", 4, 255, "3,0,1"),
        (".npy", 7, 255, "2"),
        (".tif", 2, 65535, ""),
        (".npy", 3, 4095, "2,1,0"),
        (".png", 1, 4095, ""),
    ],
)
def test_photos_of_any_channels_and_bits(
    run: Call, tmp_path: Path, extension: str, channels: int, white: int, shown: str
) -> None:
    """No bit and no channel is lost on the way to the network, to the bank and to pictures."""
    *train, query = pictures(channels, white)
    labels = [np.random.default_rng(i).integers(0, 5, SIZE, np.uint8) for i in range(COUNT)]
    for index, (picture, label) in enumerate(zip(train, labels, strict=True)):
        write(tmp_path / "inputs" / f"{index}{extension}", picture)
        (tmp_path / "labels").mkdir(exist_ok=True)
        write_image(tmp_path / "labels" / f"{index}.png", label)
    write(tmp_path / f"query{extension}", query)
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\ne\n")
    net = network(tmp_path / "net.onnx", (1, channels, *SIZE), channels=channels)
    kinds = ["--channels", channels, "--white", white, *(["--shown", shown] if shown else [])]
    pairs = ["--inputs", tmp_path / "inputs", "--targets", tmp_path / "labels"]
    pairs += ["--target-palette", tmp_path / "names.txt"]
    common = ["--layer", "e", "--hyperpatch", "1x1", "--input-range=-1,1", "--dtype", "float32"]
    bank = tmp_path / "new.bank"
    result = run("build", bank, net, *pairs, *kinds, *common)
    assert result.code == 0, result
    with Bank(bank) as opened:
        for index, picture in enumerate(train):
            np.testing.assert_array_equal(opened.pair(index)[0], picture)
    result = run("reconstruct", bank, tmp_path / f"query{extension}", "--output", tmp_path / "out")
    assert result.code == 0, result
    found = Explanation.load(tmp_path / "out" / "e")
    np.testing.assert_array_equal(found.query, query)
    best = nearest(query, train, white)
    pixels = np.concatenate([each.reshape(-1, channels) for each in train])
    np.testing.assert_array_equal(found.input, pixels[best])
    np.testing.assert_array_equal(found.output, np.concatenate([x.ravel() for x in labels])[best])
    own = activations(query, white).argmax(axis=2)
    np.testing.assert_array_equal(found.network_output, own)
    places = [int(each) for each in shown.split(",")] if shown else [0] if channels < 3 else []
    wanted = np.rint(query[..., places * (3 // len(places))] * (255 / white))
    painted = np.asarray(Image.open(tmp_path / "out" / "e" / "query.png"))
    np.testing.assert_array_equal(painted, wanted)
    # Validation is read as the bank says.
    evaluated = run("evaluate", bank, *pairs, "--output", tmp_path / "evaluation", "--json")
    assert evaluated.code == 0, evaluated


def test_what_is_white_is_never_guessed(run: Call, tmp_path: Path) -> None:
    """A picture of 12 bits read as one of 16 is nearly black: its largest number is told."""
    for index, picture in enumerate(pictures(1, 4095)):
        write(tmp_path / "inputs" / f"{index}.png", picture)
        write(tmp_path / "targets" / f"{index}.png", (picture >> 4).astype(np.uint8))
    net = network(tmp_path / "net.onnx", (1, 1, *SIZE), channels=1)
    pairs = ["--inputs", tmp_path / "inputs", "--targets", tmp_path / "targets"]
    common = ["--layer", "e", "--input-range", "0,1", "--output-kind", "none"]
    result = run("build", tmp_path / "bank", net, *pairs, *common)
    assert result.code == 2
    assert "0.png has uint16 pixels, here from" in result.message
    assert "`--white 65535`" in result.message
    result = run("build", tmp_path / "bank", net, *pairs, *common, "--white", 1000)
    assert result.code == 2
    assert "but 0 is black and 1000 white" in result.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shown", "0,5,1"], "one or three of the channels 0 to 2 are shown"),
        (["--shown", "a"], "R,G,B or one channel"),
        (["--channels", "4"], "0.png has 3 channels, not 4; say how many"),
        (["--channels", "2", "--input-palette", "voc"], "are for inputs that are photos"),
        (["--target-values", "1"], "LO,HI"),
        (["--target-values", "0,1", "--target-palette", "voc"], "for targets that are no label"),
        (["--target-unit", "m"], "are for --target-values"),
        (["--target-values", "0,1", "--target-scale", "0"], "a number other than 0"),
    ],
)
def test_options_that_make_no_sense(
    run: Call, tmp_path: Path, options: list[str], message: str
) -> None:
    for side in ("inputs", "targets"):
        (tmp_path / side).mkdir()
        write_image(tmp_path / side / "0.png", np.zeros((*SIZE, 3), np.uint8))
    net = network(tmp_path / "net.onnx", (1, 3, *SIZE))
    pairs = ["--inputs", tmp_path / "inputs", "--targets", tmp_path / "targets"]
    common = ["--input-range", "0,1", "--output-kind", "none"]
    result = run("build", tmp_path / "bank", net, *pairs, *common, *options)
    assert result.code == 2
    assert message in result.message


@pytest.mark.parametrize("extension", [".png", ".npy", ".tif"])
def test_depth_in_millimetres(run: Call, tmp_path: Path, extension: str) -> None:
    """Values are scaled, what is not known is neither painted nor counted."""
    *train, query = pictures(3, 255)
    draw = np.random.default_rng(1)
    stored = [draw.integers(0, 9, SIZE, np.uint16) * np.uint16(1000) for _ in range(COUNT)]
    for index, (picture, depth) in enumerate(zip(train, stored, strict=True)):
        write(tmp_path / "inputs" / f"{index}.npy", picture)
        numbers = depth if extension == ".png" else depth.astype(np.float32)
        write(tmp_path / "depth" / f"{index}{extension}", numbers[..., None])
    write(tmp_path / "query.npy", query)
    net = network(tmp_path / "net.onnx", (1, 3, *SIZE))
    pairs = ["--inputs", tmp_path / "inputs", "--targets", tmp_path / "depth"]
    pairs += ["--target-values", "0,8", "--target-unit", "m"]
    pairs += ["--target-scale", "0.001", "--target-invalid", "0"]
    common = ["--layer", "e", "--hyperpatch", "1x1", "--input-range=-1,1", "--dtype", "float32"]
    bank = tmp_path / "new.bank"
    result = run("build", bank, net, *pairs, *common, "--output-kind", "none")
    assert result.code == 0, result
    metres = [np.where(each == 0, np.nan, each / np.float32(1000)) for each in stored]
    metres = [each.astype(np.float32) for each in metres]
    with Bank(bank) as opened:
        for index, depth in enumerate(metres):
            np.testing.assert_allclose(opened.pair(index)[1], depth, rtol=1e-6)
    for compose in ("copy", "overlap"):
        out = tmp_path / compose
        result = run(
            "reconstruct", bank, tmp_path / "query.npy", "--output", out, "--compose", compose
        )
        assert result.code == 0, result
        found = Explanation.load(out / "e")
        wanted = np.concatenate([each.ravel() for each in metres])[nearest(query, train, 255)]
        np.testing.assert_allclose(found.output, wanted, rtol=1e-6)
        painted = np.asarray(Image.open(out / "e" / "output.png"))
        known = ~np.isnan(wanted)
        grey = np.rint(wanted[known] / 8 * 255)
        np.testing.assert_allclose(painted[known], np.stack([grey] * 3, axis=1), atol=1)
        assert set(np.unique(painted[~known])) <= {96, 160}


def test_the_kind_of_inputs_is_kept(run: Call, tmp_path: Path) -> None:
    for index, picture in enumerate(pictures(4, 255)):
        write(tmp_path / "inputs" / f"{index}.tif", picture)
        write(tmp_path / "targets" / f"{index}.npy", picture[..., :3])
    net = network(tmp_path / "net.onnx", (1, 4, *SIZE), channels=4)
    pairs = ["--inputs", tmp_path / "inputs", "--targets", tmp_path / "targets"]
    common = ["--layer", "e", "--input-range", "0,1", "--output-kind", "none"]
    result = run("build", tmp_path / "bank", net, *pairs, *common)
    assert result.code == 2
    assert "`--channels 4`" in result.message
    assert run("build", tmp_path / "bank", net, *pairs, *common, "--channels", 4).code == 0
    info = json.loads(run("info", tmp_path / "bank", "--json").out)
    assert info["input_kind"] == {
        "kind": "photo",
        "channels": 4,
        "white": 255,
        "shown": [0, 1, 2],
    }
    assert "photos of 4 channels" in run("info", tmp_path / "bank").out
