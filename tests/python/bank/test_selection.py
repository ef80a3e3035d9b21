"""Which training images a selection chooses, and what it says when it cannot choose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import binary_erosion

from compnn.bank.bank import Bank, build
from compnn.bank.selection import LEAST_SHARE, Selection
from compnn.data.dataset import Dataset, Pair
from compnn.data.folders import SideBySide
from compnn.errors import BankError, SearchError
from compnn.explanation.explainer import Explainer
from compnn.images.kinds import Kind, Labels, Photo
from compnn.images.palette import Palette
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Exhaustive
from explained import array_file
from memory_dataset import MemoryDataset
from memory_images import MemoryPictures
from tiny_networks import tiny_segnet, tiny_unet

SIZE = (40, 48)
COLOURS = np.array([[0, 0, 250], [250, 0, 0], [0, 250, 0], [250, 250, 0]], np.uint8)
PALETTE = Palette("test", ("wall", "window", "not here", "door"), COLOURS, void=9)
WALLS = {
    "a1": {"wall": "red", "style": "old"},
    "a2": {"wall": "dark red", "style": "new"},
    "b1": {"wall": "blue"},
    "b[1]": {"style": "old"},
}
NAMES = (*WALLS, "plain")


def label_map(**blocks: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Wall everywhere, with a block (height, width) of each named class (`_` for a space)."""
    labels = np.zeros(SIZE, np.uint8)
    for place, (name, (height, width)) in enumerate(blocks.items()):
        top = 12 * place
        labels[top : top + height, :width] = PALETTE.classes.index(name.replace("_", " "))
    return labels


# 1920 pixels: a block of 2x2 is twice LEAST_SHARE, and a line of 48 is no block.
MAPS = {
    "a1": label_map(window=(5, 5), door=(2, 2)),
    "a2": label_map(window=(2, 2)),
    "b1": label_map(window=(1, 48), door=(12, 12)),
    "b[1]": label_map(not_here=(9, 9)),
    "plain": label_map(),
}


class Maps(Dataset):
    """`MAPS` as targets (inputs are noise), or painted as inputs (targets are noise)."""

    def __init__(self, labels: str, attributes: Mapping[str, Mapping[str, str]]) -> None:
        self._labels = labels
        super().__init__(
            NAMES,
            input_kind=Labels(PALETTE) if labels == "input" else None,
            target_kind=Labels(PALETTE) if labels == "target" else None,
            attributes=attributes,
        )

    def read(self, name: str) -> Pair:
        noise = np.random.default_rng(len(name)).integers(0, 256, (*SIZE, 3), np.uint8)
        if self._labels == "target":
            return Pair(name, noise, MAPS[name])
        return Pair(name, PALETTE.colourise(MAPS[name]), noise)


def bank_of_maps(folder: Path, labels: str) -> Bank:
    path = folder / "net.onnx"
    if labels == "target":
        tiny_segnet(path, size=SIZE, classes=len(PALETTE))
    else:
        tiny_unet(path, size=SIZE)
    return build(folder / "bank", OnnxNetwork(path, ["encoder_2"]), Maps(labels, WALLS))


@pytest.fixture(scope="module", params=["target", "input"])
def bank(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Bank:
    """A bank whose label maps are the targets, and one whose label maps are the inputs."""
    folder = tmp_path_factory.mktemp("maps")
    return bank_of_maps(folder, request.param)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """A bank without palettes or attributes."""
    folder = tmp_path_factory.mktemp("photos")
    network = OnnxNetwork(tiny_unet(folder / "net.onnx"), ["encoder_2"])
    return build(folder / "bank", network, MemoryDataset(3))


def chosen(bank: Bank, selection: Selection) -> list[str]:
    indices = selection.select(bank)
    assert indices == sorted(set(indices))
    return [bank.names[index] for index in indices]


def test_no_filter_chooses_everything(bank: Bank) -> None:
    assert Selection().is_everything
    assert str(Selection()) == "all images"
    assert chosen(bank, Selection()) == list(NAMES)
    for each in ("only", "exclude", "where", "classes"):
        assert not Selection(**{each: ("x",)}).is_everything


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        (("a1",), ["a1"]),
        (("plain.jpg", "a2.PNG"), ["a2", "plain"]),
        (("a*", "b1"), ["a1", "a2", "b1"]),
        (("?1*",), ["a1", "b1"]),
        (("a?.jpg",), ["a1", "a2"]),
        # A name is not taken for a pattern, which would match b1.
        (("b[1]",), ["b[1]"]),
        (("*",), list(NAMES)),
    ],
)
def test_names_and_patterns(bank: Bank, entries: tuple[str, ...], names: list[str]) -> None:
    assert chosen(bank, Selection(only=entries)) == names
    others = [name for name in NAMES if name not in names]
    if others:
        assert chosen(bank, Selection(exclude=entries)) == others
        assert chosen(bank, Selection(only=("*",), exclude=entries)) == others


def test_files_of_names(bank: Bank, tmp_path: Path) -> None:
    listed = tmp_path / "names.txt"
    listed.write_text("# those with trees\n\n  a1.jpg \nb*\n", encoding="utf-8-sig")
    assert chosen(bank, Selection(only=(f"@{listed}", "plain"))) == ["a1", "b1", "b[1]", "plain"]
    assert chosen(bank, Selection(exclude=(f"@{listed}",))) == ["a2", "plain"]

    listed.write_text("a1\nzebra\n")
    with pytest.raises(SearchError, match=r"'zebra' \(of .*names.txt\)"):
        Selection(only=(f"@{listed}",)).select(bank)
    listed.write_text("# nothing\n")
    with pytest.raises(SearchError, match=r"names.txt is empty"):
        Selection(only=(f"@{listed}",)).select(bank)
    with pytest.raises(SearchError, match=r"missing.txt cannot be read"):
        Selection(only=(f"@{tmp_path / 'missing.txt'}",)).select(bank)


@pytest.mark.parametrize("kind", ["only", "exclude"])
@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("plane", "near names are plain"),
        ("A1", "near names are a1"),
        ("z*", "its names are a1, a2"),
    ],
)
def test_a_name_that_is_nowhere(bank: Bank, kind: str, entry: str, hint: str) -> None:
    with pytest.raises(SearchError, match=rf"matches '{entry[0]}.*{hint}"):
        Selection(**{kind: ("a1", entry)}).select(bank)


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        (("wall=red",), ["a1"]),
        (("wall = dark red",), ["a2"]),
        (("wall=*red",), ["a1", "a2"]),
        (("wall!=red",), ["a2", "b1", "b[1]", "plain"]),
        (("wall!=*red",), ["b1", "b[1]", "plain"]),
        (("wall=*", "style=old"), ["a1"]),
        (("style!=old", "wall!=blue"), ["a2", "plain"]),
        (("style!=*",), ["b1", "plain"]),
    ],
)
def test_attributes(bank: Bank, conditions: tuple[str, ...], names: list[str]) -> None:
    assert chosen(bank, Selection(where=conditions)) == names


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("colour=red", "attribute 'colour'; the bank's are style, wall"),
        ("wall=green", "wall=green; the values of wall are blue, dark red, red"),
        ("wall!=Red", "wall=Red; the values of wall are blue, dark red, red"),
        ("wall", "'wall' is not of the form key=value"),
        ("wall=", "'wall=' is not of the form key=value"),
        ("=red", "'=red' is not of the form key=value"),
    ],
)
def test_conditions_that_make_no_sense(bank: Bank, condition: str, message: str) -> None:
    with pytest.raises(SearchError, match=message):
        Selection(where=(condition,)).select(bank)


def test_a_bank_without_attributes_or_label_maps(photos: Bank) -> None:
    assert chosen(photos, Selection(only=("img_[02]",))) == ["img_0", "img_2"]
    with pytest.raises(SearchError, match=r"built without.*--attributes"):
        Selection(where=("wall=red",)).select(photos)
    with pytest.raises(SearchError, match=r"filtered by class.*palette"):
        Selection(classes=("window",)).select(photos)


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (("wall",), list(NAMES)),
        (("window",), ["a1", "a2"]),
        (("door", "not window"), ["b1"]),
        (("not window",), ["b1", "b[1]", "plain"]),
        # A class may be called so.
        (("not here",), ["b[1]"]),
        (("not not here", "not door"), ["a2", "plain"]),
    ],
)
def test_classes(bank: Bank, classes: tuple[str, ...], names: list[str]) -> None:
    """A line of 48 pixels, as JPEG leaves between colours, is no window; a block of 2x2 is."""
    assert chosen(bank, Selection(classes=classes)) == names


def test_a_class_that_the_palette_does_not_have(bank: Bank) -> None:
    for entry in ("windows", "not windows"):
        with pytest.raises(SearchError, match="class 'windows'; the classes are wall, window, not"):
            Selection(classes=(entry,)).select(bank)


@pytest.mark.parametrize(("pixels", "occurs"), [(999, True), (1001, False)])
def test_the_least_share_of_a_class(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, pixels: int, occurs: bool
) -> None:
    """The 4 pixels of window in a2 are enough where they are at least LEAST_SHARE."""
    monkeypatch.setattr("compnn.bank.selection.LEAST_SHARE", LEAST_SHARE * 4 / 1.92 * pixels / 1000)
    assert chosen(bank, Selection(classes=("window",))) == (["a1", "a2"] if occurs else ["a1"])


def test_filters_must_all_be_passed(bank: Bank) -> None:
    selection = Selection(("a*", "b1"), ("a2",), ("wall!=green*",), ("door",))
    with pytest.raises(SearchError, match=r"wall=green\*"):
        selection.select(bank)
    selection = Selection(("a*", "b1"), ("a2",), ("wall!=red",), ("door",))
    assert chosen(bank, selection) == ["b1"]
    assert str(selection) == "only a* or b1, exclude a2, where wall!=red, classes door"


def test_when_nothing_is_left_each_filter_says_what_it_left(bank: Bank) -> None:
    selection = Selection(exclude=("b1",), where=("wall=*red", "style=new"), classes=("door",))
    with pytest.raises(SearchError) as raised:
        selection.select(bank)
    assert (
        "left of 5: exclude b1 leaves 4, then where wall=*red leaves 2, "
        "then where style=new leaves 1, then classes door leaves 0"
    ) in str(raised.value)


def test_words() -> None:
    assert str(Selection(where=("wall=red", "style!=old"), classes=("window", "not shop"))) == (
        "where wall=red and style!=old, classes window and not shop"
    )
    assert str(Selection(only=tuple("abcdefg"))) == "only a or b or c or 4 more"


def test_one_entry_or_a_list_may_be_given(bank: Bank) -> None:
    assert Selection(only="a1") == Selection(only=["a1"]) == Selection(only=("a1",))  # type: ignore[arg-type]
    assert len({Selection(only=["a1"]), Selection(only=("a1",))}) == 1  # type: ignore[arg-type]


def test_a_damaged_label_map_is_not_counted(tmp_path: Path) -> None:
    bank_of_maps(tmp_path, "target")
    file = array_file(tmp_path / "bank", "targets.npy")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(BankError, match=r"targets.npy is damaged.*'plain'"):
        Selection(classes=("window",)).select(Bank(tmp_path / "bank"))


def test_candidates_of_an_explanation(bank: Bank) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    red = Selection(where=("wall=*red",))
    explainer = Explainer(bank)
    found = explainer.explain(image, "encoder_2", Exhaustive(), among=red)
    assert [each.index for each in found.candidates] == red.select(bank) == [0, 1]
    assert set(np.unique(found.field.image)) <= {0, 1}
    assert explainer.indices("wall=*red") == [0, 1]


class LabelMaps:
    """What a selection by class looks at of a bank."""

    input_kind: Kind = Photo()

    def __init__(self, maps: list[npt.NDArray[np.uint8]], palette: Palette) -> None:
        self.targets, self.target_kind = MemoryPictures(maps), Labels(palette)

    def __len__(self) -> int:
        return len(self.targets.pictures)


def test_speckle_of_jpeg_files_is_no_class(shared: Path) -> None:
    """Nearly all label maps of CMP Facades have pixels nearest to the colour of doors."""
    palette = Palette.named("facades")
    folder = shared / "data" / "facades" / "train"
    facades = SideBySide(folder, input="left", target_kind=Labels(palette))
    maps = [facades[index].target for index in range(60)]
    door = palette.classes.index("door")
    assert sum((labels == door).any() for labels in maps) > 50

    found = Selection(classes=("door",)).select(cast(Bank, LabelMaps(maps, palette)))
    # Doors are large: half of a door's pixels are well inside it.
    inside = [
        binary_erosion(labels == door, np.ones((5, 5)), border_value=1).sum() for labels in maps
    ]
    sure = [index for index, pixels in enumerate(inside) if pixels > 10]
    assert set(sure) <= set(found)
    assert len(found) <= len(sure) + 3
