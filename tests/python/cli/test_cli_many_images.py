"""`compnn reconstruct` of several images in one call, and folders that need no bank."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import Call, Refused, World
from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Explanation
from compnn.images.files import read_image, write_image
from compnn.names import file_name
from compnn.network.onnx import OnnxNetwork
from compnn.report.sheets.correspondence_map import correspondence_map
from memory_dataset import MemoryDataset, contents, patch_call


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "queries" / f"{name}.png" for name in ("a", "b", "c d")]
    paths[0].parent.mkdir()
    for seed, path in enumerate(paths):
        write_image(path, MemoryDataset(1, seed=20 + seed)[0].input)
    return paths


def test_each_image_has_a_folder_and_the_network_is_loaded_once(
    run: Call, world: World, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = patch_call(
        monkeypatch, OnnxNetwork, "__init__", lambda original, *a, **k: original(*a, **k)
    )
    result = run("reconstruct", world.bank, *images, "--layer", "encoder_2")
    assert (result.code, result.err) == (0, "")
    assert len(loaded) == 1
    folders = ["a-compnn", "b-compnn", f"{file_name('c d')}-compnn"]
    assert sorted(path.name for path in Path().iterdir()) == folders
    places = [result.out.index(f"{image.name}, exhaustive") for image in images]
    assert places == sorted(places)
    explainer = Explainer(world.bank)
    for image, folder in zip(images, folders, strict=True):
        assert f"pictures: {folder}\n" in result.out
        found = explainer.explain(image, "encoder_2")
        np.testing.assert_array_equal(read_image(f"{folder}/encoder_2/output.png"), found.output)


def test_several_images_as_json_into_one_folder(
    run: Call, world: World, images: list[Path]
) -> None:
    result = run("reconstruct", world.bank, *images, "-o", "out", "--json")
    assert (result.code, result.err) == (0, "")
    documents = json.loads(result.out)
    assert [(each["image"], each["layer"]["name"]) for each in documents] == [
        (str(image), layer) for image in images for layer in ("encoder_2", "decoder_2")
    ]
    assert {each["folder"] for each in documents} == {
        f"out/{stem}/{layer}"
        for stem in ("a", "b", file_name("c d"))
        for layer in ("encoder_2", "decoder_2")
    }
    for document in documents:
        explanation = Explanation.load(document["folder"])
        assert explanation.field.mean_similarity == pytest.approx(document["similarity"])


def test_pairs_side_by_side_have_their_own_targets(run: Call, world: World) -> None:
    pairs = [world.pairs / f"img_{number}.png" for number in (2, 4)]
    result = run(
        "reconstruct", world.bank, *pairs, "--input", "left", "--json", "--layer", "encoder_2"
    )
    for number, document in zip((2, 4), json.loads(result.out), strict=True):
        assert document["sources"][0]["name"] == f"img_{number}"
        assert document["output_to_target"]["value"] > 100  # dB: it is the target itself


def test_a_folder_with_its_sources_needs_no_bank(run: Call, world: World) -> None:
    command = ("reconstruct", world.bank, world.query, "--layer", "decoder_2", "--no-map")
    assert run(*command).code == 0
    assert not Path("query-compnn/decoder_2/sources").exists()
    assert run(*command, "--sources", "used").code == 0
    original = Explainer(world.bank).explain(world.query, "decoder_2")
    wanted = correspondence_map(original)
    shutil.rmtree(world.bank)
    loaded = Explanation.load("query-compnn/decoder_2")
    np.testing.assert_array_equal(correspondence_map(loaded), wanted)
    np.testing.assert_array_equal(loaded.output, original.output)


def test_a_bad_image_is_named_before_the_first_search(
    refused: Refused, world: World, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def explain(*_: Any, **__: Any) -> None:
        pytest.fail("searched although an image is bad")

    monkeypatch.setattr(Explainer, "_explain", explain)
    write_image(images[2], np.zeros((16, 16, 3), np.uint8))
    assert f"{images[2]} is 16x16" in refused("reconstruct", world.bank, *images)
    images[2].write_bytes(b"no image")
    assert str(images[2]) in refused("reconstruct", world.bank, *images)


def test_images_that_would_share_a_folder_are_refused(
    refused: Refused, world: World, images: list[Path]
) -> None:
    other = images[0].parent.parent / "a.jpg"
    shutil.copy(images[0], other)
    for output in ((), ("-o", "out")):
        message = refused("reconstruct", world.bank, images[0], images[1], other, *output)
        assert f"the results of {images[0]} and {other} would go into one folder" in message


def test_a_target_is_of_one_image(refused: Refused, world: World, images: list[Path]) -> None:
    message = refused("reconstruct", world.bank, *images, "--target", world.query)
    assert "--target is of one image" in message


def test_an_older_result_in_the_folder_is_replaced(run: Call, world: World) -> None:
    command = ("reconstruct", world.bank, world.query, "--layer", "encoder_2", "-o", "out")
    assert run(*command, "--sources", "used", "--compose", "overlap").code == 0
    assert run(*command).code == 0
    fresh = run("reconstruct", world.bank, world.query, "--layer", "encoder_2", "-o", "fresh")
    assert fresh.code == 0
    assert contents(Path("out")) == contents(Path("fresh"))
