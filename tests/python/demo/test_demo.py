"""The demo, as a user runs it: once, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import call_main
from compnn.bank.bank import Bank
from compnn.demo.facades import COUNT, DemoFacades
from compnn.demo.run import HELD_OUT, LAYERS, MAP_LAYER, TOP_K
from compnn.images.files import read_image
from compnn.images.measures import psnr
from compnn.names import shown


@dataclass
class Demo:
    """What `compnn demo --json` wrote and printed; `layers` by name."""

    folder: Path
    layers: Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo") / "results"
    program = "from compnn.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "demo", "--json", "-o", str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return Demo(folder, {row["layer"]["name"]: row for row in json.loads(done.stdout)})


def picture(demo: Demo, layer: str, name: str) -> np.ndarray:
    return read_image(demo.folder / layer / f"{name}.png")


def test_all_layers_are_explained(demo: Demo) -> None:
    assert tuple(demo.layers) == LAYERS
    for row in demo.layers.values():
        assert 0 < row["similarity"] <= 1
        assert row["search"] == {"method": "exhaustive", "matches": 1}
        assert row["folder"] == str(demo.folder / row["layer"]["name"])
        assert len(row["candidates"]) == TOP_K
        assert sum(source["share"] for source in row["sources"]) == pytest.approx(1)
        assert row["sources"][0]["attributes"]["wall"]


def test_pictures_are_there(demo: Demo) -> None:
    held_out = DemoFacades("held-out")[HELD_OUT]
    for layer in LAYERS:
        for name in ("query", "network_output", "input", "output"):
            assert picture(demo, layer, name).shape == (256, 256, 3)
        np.testing.assert_array_equal(picture(demo, layer, "query"), held_out.input)
        height, width, _ = picture(demo, layer, "sources").shape
        assert min(height, width) >= 256
        with np.load(demo.folder / layer / "field.npz") as field:
            assert field["image"].shape == (1, *demo.layers[layer]["layer"]["grid"])


def test_contact_sheet_shows_something(demo: Demo) -> None:
    sheet = read_image(demo.folder / "contact_sheet.png")
    height, width, _ = sheet.shape
    assert 3 * 256 < height < 3000
    assert 6 * 256 < width <= 2400
    colours = len(np.unique(sheet.reshape(-1, 3), axis=0))
    assert colours > 5000, "photos have many colours"


def test_the_first_layer_holds_the_input(demo: Demo) -> None:
    accuracy = {name: row["input"] for name, row in demo.layers.items()}
    assert {row["measure"] for row in accuracy.values()} == {"accuracy"}
    assert accuracy["encoder_1"]["value"] > 0.99
    assert accuracy["encoder_1"]["value"] > accuracy["encoder_5"]["value"]


def test_the_last_layer_holds_the_output(demo: Demo) -> None:
    """As the paper's Figure 5: towards the output, photos come to look like the network's."""
    found = {name: row["output_to_network"]["value"] for name, row in demo.layers.items()}
    assert found["decoder_2"] > found["encoder_1"]
    for layer in ("encoder_1", "decoder_2"):
        network, output = (picture(demo, layer, name) for name in ("network_output", "output"))
        assert found[layer] == pytest.approx(psnr(network, output))


def test_the_bank_of_the_demo_is_a_sound_bank(demo: Demo) -> None:
    bank = Bank(demo.folder / "demo.bank")
    assert len(bank) == COUNT["train"]
    assert tuple(bank.layers) == LAYERS
    assert list(demo.folder.glob("**/*.tmp")) == []
    source = demo.layers["decoder_4"]["sources"][0]
    photo = DemoFacades("train")[source["index"]]
    assert photo.name == source["name"]
    np.testing.assert_array_equal(bank.pair(source["index"])[1], photo.target)


def test_what_the_demo_says_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into a folder whose name would do harm: every path that is named is there."""
    folder = tmp_path / "de\x1b[31mmo {sheet}"
    monkeypatch.setattr("compnn.demo.run.LAYERS", ("encoder_5", "decoder_4"))
    monkeypatch.setattr("compnn.demo.facades.COUNT", {"train": TOP_K, "held-out": 1})
    assert call_main(monkeypatch, "demo", "-o", folder) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    shown_folder = shown(str(folder))
    for named in ("contact_sheet.png", f"{MAP_LAYER}/sources.png"):
        assert f"{shown_folder}/{named}" in out
        assert (folder / named).is_file()
    assert f"the {TOP_K} nearest of {TOP_K} training facades" in out
