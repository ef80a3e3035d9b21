"""Layouts of public data sets, by the command lines that docs/datasets.md has for them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from command_line import Call, World
from compnn.bank.bank import Bank
from compnn.images.files import write_image
from compnn.images.kinds import Labels
from compnn.images.palette import Palette

SIZE = (32, 32)
VOC = Palette.named("voc")


def photo(path: Path, index: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(index).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    write_image(path, pixels)


def classes(index: int, among: list[int]) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(index).choice(among, SIZE).astype(np.uint8)


def grey(path: Path, labels: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, labels)


def table_png(path: Path, labels: npt.NDArray[np.uint8], colours: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    image.putpalette(colours.tobytes())
    image.save(path)


def targets(
    run: Call, world: World, *options: object
) -> tuple[str, dict[str, npt.NDArray[np.uint8]]]:
    """What was said, and the targets of the bank that the options build."""
    common = ("--output-kind", "none", "--layer", "encoder_2", "--overwrite")
    result = run("build", world.bank.with_name("new.bank"), world.network, *options, *common)
    assert result.code == 0, result
    with Bank(world.bank.with_name("new.bank")) as bank:
        return result.err, {name: bank.pair(i)[1] for i, name in enumerate(bank.names)}


@pytest.mark.parametrize("own_colours", [True, False])
def test_pascal_voc(run: Call, world: World, tmp_path: Path, own_colours: bool) -> None:
    colours = np.zeros((256, 3), np.uint8)
    colours[:21], colours[255] = VOC.colours, VOC.void_colour
    if not own_colours:
        colours = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    wanted = {}
    for index in range(4):
        photo(tmp_path / "JPEGImages" / f"2007_{index}.png", index)
        if index < 3:
            wanted[f"2007_{index}"] = classes(index, [0, 15, 20, 255])
            file = tmp_path / "SegmentationClass" / f"2007_{index}.png"
            table_png(file, wanted[f"2007_{index}"], colours)
    (tmp_path / "train.txt").write_text("2007_0\n2007_2\n")
    options = ["--inputs", tmp_path / "JPEGImages", "--targets", tmp_path / "SegmentationClass"]
    options += ["--names", tmp_path / "train.txt", "--target-palette", "voc"]
    if not own_colours:
        assert "--indices" in run("build", tmp_path / "x", world.network, *options).message
        options.append("--indices")
    _, found = targets(run, world, *options)
    assert list(found) == ["2007_0", "2007_2"]
    for name, labels in found.items():
        np.testing.assert_array_equal(labels, wanted[name])


@pytest.mark.parametrize("palette", ["ade20k", "objectInfo150.txt", "--reduce-zero-label"])
def test_ade20k(run: Call, world: World, tmp_path: Path, palette: str) -> None:
    """0 is of no class, 1 the first."""
    stored = {}
    for index in range(2):
        photo(tmp_path / "images" / "training" / f"{index}.png", index)
        stored[str(index)] = classes(index, [0, 1, 2, 150])
        grey(tmp_path / "annotations" / "training" / f"{index}.png", stored[str(index)])
    rows = [f"{index}\t0.1\t1\t1\t0\tclass {index}" for index in range(1, 151)]
    text = "\n".join(["Idx\tRatio\tTrain\tVal\tStuff\tName", *rows])
    (tmp_path / "objectInfo150.txt").write_text(text)
    (tmp_path / "from0.csv").write_text(
        "\n".join(["index,name", *(f"{index},class {index}" for index in range(150)), "255,void"])
    )
    options: list[object] = ["--inputs", tmp_path / "images" / "training"]
    options += ["--targets", tmp_path / "annotations" / "training", "--target-palette"]
    if palette == "--reduce-zero-label":
        options += [tmp_path / "from0.csv", palette]
    else:
        options.append(tmp_path / palette if palette.endswith("txt") else palette)
    _, found = targets(run, world, *options)
    for name, labels in found.items():
        wanted = np.where(stored[name] == 0, 255, stored[name].astype(int) - 1)
        np.testing.assert_array_equal(labels, wanted)


def test_roboflow(run: Call, world: World, tmp_path: Path) -> None:
    folder, stored = tmp_path / "train", {}
    for index in range(3):
        photo(folder / f"f{index}.png", index)
        if index < 2:
            stored[f"f{index}"] = classes(index, [0, 1])
            grey(folder / f"f{index}_mask.png", stored[f"f{index}"])
    (folder / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, car\n")
    options = ("--inputs", folder, "--targets", folder, "--target-suffix", "_mask")
    palette = ("--target-palette", folder / "_classes.csv")
    assert "--ignore-unpaired" in run("build", tmp_path / "x", world.network, *options).message
    said, found = targets(run, world, *options, *palette, "--ignore-unpaired")
    assert "images without a partner that are left out: 1" in said
    assert found.keys() == stored.keys()
    for name, labels in found.items():
        np.testing.assert_array_equal(labels, stored[name])
    twice = ("--inputs", folder, "--targets", folder)
    assert "--target-suffix" in run("build", tmp_path / "x", world.network, *twice).message


def test_masks_of_0_and_255(run: Call, world: World, tmp_path: Path) -> None:
    stored = {}
    for index in range(2):
        photo(tmp_path / "in" / f"{index}.png", index)
        stored[str(index)] = classes(index, [0, 255])
        grey(tmp_path / "out" / f"{index}.png", stored[str(index)])
    palette = tmp_path / "mask.csv"
    palette.write_text("index,name\n0,other\n255,car\n")
    pairs = ("--inputs", tmp_path / "in", "--targets", tmp_path / "out")
    _, found = targets(run, world, *pairs, "--target-palette", palette)
    for name, labels in found.items():
        np.testing.assert_array_equal(labels, stored[name] // 255)


@pytest.mark.parametrize("own", [True, False])
def test_data_sets_by_their_names(run: Call, world: World, tmp_path: Path, own: bool) -> None:
    """The palette is the data set's, or one that is given; evaluation reads as the bank was."""
    stored = {}
    for split in ("train", "valid"):
        photo(tmp_path / split / "a.png", 0)
        stored[split] = classes(len(split), [0, 1])
        grey(tmp_path / split / "a_mask.png", stored[split])
        (tmp_path / split / "_classes.csv").write_text("Pixel Value, Class\n0, sky\n1, car\n")
    (tmp_path / "own.csv").write_text("index,name\n0,above\n1,below\n")
    palette = ("--target-palette", tmp_path / "own.csv") if own else ()
    _, found = targets(run, world, "--roboflow", tmp_path, *palette)
    np.testing.assert_array_equal(found["a"], stored["train"])
    bank = world.bank.with_name("new.bank")
    with Bank(bank) as opened:
        assert isinstance(opened.target_kind, Labels)
        assert opened.target_kind.palette.classes[0] == ("above" if own else "sky")
    options = ("--roboflow", tmp_path, "--top-k", "all", "--method", "exhaustive")
    assert run("evaluate", bank, *options, "-o", tmp_path / "out").code == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--voc", "JPEGImages does not exist"),
        ("--ade20k", "images/val does not exist"),
        ("--coco-stuff", "images/val does not exist"),
        ("--roboflow", "nowhere does not exist"),
    ],
)
def test_data_sets_that_are_not_there(run: Call, world: World, option: str, message: str) -> None:
    result = run("build", "x", world.network, option, "nowhere", "--split", "val")
    assert result.code == 2
    assert message.replace("val", {"--ade20k": "validation"}.get(option, "val2017")) in (
        result.message
    )
    for other in (("--input-palette", "voc"), ("--side-by-side", "x")):
        assert run("build", "x", world.network, option, "nowhere", *other).code == 2


def test_coco_json(run: Call, world: World, tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.png", 0)
    document = {
        "images": [{"id": n, "file_name": f"{name}.png"} for n, name in enumerate("ab")],
        "annotations": [
            {"image_id": 0, "category_id": 3, "segmentation": [[0, 0, 32, 0, 32, 8, 0, 8]]}
        ],
        "categories": [{"id": 3, "name": "sky"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(document))
    options = ("--coco", tmp_path / "instances.json", "--inputs", tmp_path / "images")
    assert "--ignore-unpaired" in run("build", tmp_path / "x", world.network, *options).message
    said, found = targets(run, world, *options, "--ignore-unpaired")
    assert "images without a partner that are left out: 1" in said
    np.testing.assert_array_equal(found["a"], np.repeat([1, 0], [8, 24])[:, None].repeat(32, 1))
    for wrong in (options[:2], (*options, "--targets", "x")):
        assert "give the pairs of images once" in run("build", "x", world.network, *wrong).message
    wrong = (*options, "--reduce-zero-label")
    assert "ids of their palette" in run("build", "x", world.network, *wrong).message


def test_instances(run: Call, world: World, tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.png", 0)
    stored = classes(0, [7, 26])
    (tmp_path / "out").mkdir()
    values = stored.astype(np.uint16) * 256 + np.arange(32, dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "out" / "a.png")
    (tmp_path / "ids.csv").write_text("index,name\n7,road\n26,car\n")
    pairs = ("--inputs", tmp_path / "in", "--targets", tmp_path / "out")
    palette = ("--target-palette", tmp_path / "ids.csv")
    _, found = targets(run, world, *pairs, *palette, "--instances", "256")
    np.testing.assert_array_equal(found["a"], stored == 26)


def test_options_of_folders_are_for_folders(run: Call, world: World) -> None:
    beside = ("build", "x", world.network, "--side-by-side", world.pairs)
    for option in (("--recursive",), ("--names", "n.txt"), ("--instances", "256")):
        result = run(*beside, *option)
        assert result.code == 2
        assert "are for --inputs with --targets" in result.message
    assert "--ignore-unpaired is for --inputs" in run(*beside, "--ignore-unpaired").message


# Datasets in modules


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of a user, in the current folder."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "own_pairs.py"
    file.write_text(
        "import numpy as np, compnn\n"
        "draw = np.random.default_rng(0)\n"
        "items = [(draw.integers(0, 256, (32, 32, 3), np.uint8),) * 2 for _ in range(4)]\n"
        "train = compnn.pairs(items)\n"
        "def make():\n"
        "    return train\n"
        "def broken():\n"
        "    raise RuntimeError('no disk')\n"
        "def leaves():\n"
        "    raise SystemExit(3)\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_pairs", raising=False)
    return file


@pytest.mark.parametrize("name", ["own_pairs:train", "own_pairs:make", "./own_pairs.py:train"])
def test_a_dataset_in_a_module(run: Call, world: World, module: Path, name: str) -> None:
    _, found = targets(run, world, "--pairs", name)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert list(found) == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(found["0"], pixels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["own_pairs"], "takes a module and a name in it, such as my:train"),
        (["nowhere:train"], "ModuleNotFoundError: No module named 'nowhere'"),
        (["own_pairs:valid"], "has no attribute 'valid'"),
        (["own_pairs:broken"], "RuntimeError: no disk"),
        (["own_pairs:leaves"], "SystemExit: 3"),
        (["own_pairs:items"], "is a list, no dataset of compnn; make one of it with compnn.pairs"),
        (["own_pairs:train", "--target-palette", "voc"], "says what its images are"),
        (["own_pairs:train", "--voc", "."], "give the pairs of images once"),
    ],
)
def test_modules_without_a_dataset(
    run: Call, world: World, module: Path, options: list[str], message: str
) -> None:
    result = run("build", world.bank.with_name("x"), world.network, "--pairs", *options)
    assert result.code == 2
    assert message in result.message


def test_attributes_of_a_dataset_in_a_module(run: Call, world: World, module: Path) -> None:
    table = module.with_name("walls.csv")
    table.write_text("name,wall\n1,red\n")
    targets(run, world, "--pairs", f"{module}:train", "--attributes", table)
    with Bank(world.bank.with_name("new.bank")) as bank:
        assert bank.attributes == {"1": {"wall": "red"}}
    table.write_text("name,wall\nnobody,red\n")
    options = ("--pairs", "own_pairs:train", "--attributes", table)
    assert "nobody" in run("build", world.bank.with_name("x"), world.network, *options).message
