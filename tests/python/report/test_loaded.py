"""Loaded explanations are drawn and told as the original ones, without the bank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compnn.bank.bank import Bank, build
from compnn.errors import SearchError
from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Candidate, Explanation
from compnn.explanation.query import Query
from compnn.explanation.scores import score
from compnn.images.files import read_image
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.network.onnx import OnnxNetwork
from compnn.report import contact_sheet, control_sheet, correspondence_map, match_sheet
from compnn.report.facts import caption_lines, explanation_json
from compnn.report.folder import global_output, layer_folder, write_report
from compnn.search.search import Exhaustive
from compnn.studies.control import control, subsets_by
from compnn.studies.usage import usage
from explanation_cases import explain, target_of
from matching_cases import made_up
from memory_dataset import MemoryDataset, contents
from tiny_networks import tiny_segnet, tiny_unet

KINDS = [Photo(), Labels("facades"), Values("m", (-1, 1))]


def test_any_kind_is_drawn_alike(tmp_path: Path) -> None:
    for kind in KINDS:
        original = explain([[0, 1], [2, 1]], kind=kind, matches=2)
        original.save(tmp_path / kind.name)
        loaded = Explanation.load(tmp_path / kind.name)
        target = target_of(kind, (64, 64), 5)
        captions = {"encoder_3": caption_lines(score(original, target))}
        assert captions == {"encoder_3": caption_lines(score(loaded, target))}
        for one, other in (
            (correspondence_map(original), correspondence_map(loaded)),
            (
                contact_sheet([original], target=target, captions=captions, title="q"),
                contact_sheet([loaded], target=target, captions=captions, title="q"),
            ),
            (original.sheet(), loaded.sheet()),
        ):
            np.testing.assert_array_equal(one, other)


def test_sources_of_many_sizes(tmp_path: Path) -> None:
    original = explain([[0, 1], [2, 1]], kind=Values("m"), sizes=[(40, 90), (64, 64), (99, 9)])
    original.save(tmp_path)
    loaded = Explanation.load(tmp_path)
    np.testing.assert_array_equal(correspondence_map(original), correspondence_map(loaded))


def test_without_sources_there_is_no_map(tmp_path: Path) -> None:
    original = explain([[0, 1]])
    original.save(tmp_path, sources="none")
    loaded = Explanation.load(tmp_path)
    np.testing.assert_array_equal(loaded.sheet(), original.sheet())
    with pytest.raises(SearchError, match='sources="used"'):
        correspondence_map(loaded)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    folder = tmp_path_factory.mktemp("photos")
    network = OnnxNetwork(tiny_unet(folder / "unet.onnx"), ["encoder_2", "decoder_2"], "encoder_3")
    attributes = {"img_0": {"wall": "red"}, "img_2": {"wall": "grey"}}
    pairs = MemoryDataset(5, attributes=attributes)
    return Explainer(build(folder / "photos.bank", network, pairs), network)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    folder = tmp_path_factory.mktemp("labels")
    network = OnnxNetwork(tiny_segnet(folder / "segnet.onnx"), ["decoder_1"])
    pairs = MemoryDataset(3, (24, 32), classes=5)
    return Explainer(build(folder / "labels.bank", network, pairs), network)


@pytest.mark.parametrize("which", ["photos", "labels"])
def test_the_whole_report(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    which: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    explainer: Explainer = request.getfixturevalue(which)
    classes, size = (None, (32, 32)) if which == "photos" else (5, (24, 32))
    pair = MemoryDataset(1, size, classes=classes, seed=7)[0]
    query = Query("q", pair.input, pair.target)
    (original,) = explainer.explain_all([query], search=Exhaustive(2))
    scores = {name: score(each, query.target) for name, each in original.items()}
    usages = {name: usage(each) for name, each in original.items()}
    write_report(tmp_path / "one", query, original, scores, usages=usages, sources="used")

    def unopened(*_: object) -> None:
        pytest.fail("opened a bank")

    monkeypatch.setattr(Bank, "__init__", unopened)
    monkeypatch.setattr(Bank, "_generation", property(unopened))
    loaded = {
        name: Explanation.load(layer_folder(tmp_path / "one", name))
        for name in explainer.bank.layers
    }
    again = {name: score(each, query.target) for name, each in loaded.items()}
    assert again == scores
    write_report(tmp_path / "two", query, loaded, again, sources="used")
    found, written = contents(tmp_path / "one"), contents(tmp_path / "two")
    tables = {name for name in found if name.endswith(".csv")}
    assert set(found) == set(written) | tables
    assert len(tables) == 2 * len(loaded)
    for name, data in written.items():
        if name.endswith(".png"):
            assert data == found[name], name
    for name, each in loaded.items():
        document = explanation_json(each, again[name])
        assert document["layer"]["name"] == name
        assert document["search"] == {"method": "exhaustive", "matches": 2}
    monkeypatch.undo()
    for name, each in loaded.items():
        assert explanation_json(each, again[name]) == explanation_json(original[name], scores[name])


def test_the_report_is_what_there_is_of_each_layer(photos: Explainer, tmp_path: Path) -> None:
    pair = MemoryDataset(1, seed=7)[0]
    query = Query("q", pair.input, pair.target)
    (found,) = photos.explain_all([query], search=Exhaustive(), top_k=3)
    scores = {name: score(each, query.target) for name, each in found.items()}
    write_report(tmp_path, query, found, scores, maps=False)
    files = {"query", "network_output", "input", "output"}
    for name, each in found.items():
        folder = layer_folder(tmp_path, name)
        assert {path.stem for path in folder.glob("*.png")} == files
        assert not (folder / "sources").exists()
        np.testing.assert_array_equal(read_image(folder / "output.png"), each.output)
    nearest = found["encoder_2"].candidates[0].index
    captions = {name: caption_lines(scores[name]) for name in found}
    captions["network output"] = [f"PSNR {scores['encoder_2'].network_to_target}"]
    sheet = contact_sheet(
        list(found.values()),
        target=query.target,
        global_output=photos.bank.pair(nearest)[1],
        captions=captions,
        title="q",
    )
    np.testing.assert_array_equal(read_image(tmp_path / "contact_sheet.png"), sheet)


def test_the_global_output_is_the_nearest_target_where_it_is_known(tmp_path: Path) -> None:
    kind: Kind = Photo()
    explanation = explain([[1, 1]], sizes=[(32, 64), (64, 64)])
    assert global_output(explanation) is None, "no image was compared by descriptor"
    explanation.candidates = (Candidate(0, "train_0", 0.5), Candidate(1, "train_1", 0.25))
    found = global_output(explanation)
    wanted = kind.fit(explanation.source_images(0)[1], (64, 64))
    np.testing.assert_array_equal(found, wanted)
    # Saved with the sources though it is none.
    explanation.save(tmp_path)
    np.testing.assert_array_equal(global_output(Explanation.load(tmp_path)), wanted)
    explanation.save(tmp_path, sources="none")
    assert global_output(Explanation.load(tmp_path)) is None


def test_explanations_and_studies_have_sheets(photos: Explainer) -> None:
    image = MemoryDataset(1, seed=7)[0].input
    explanation = photos.explain(image, "encoder_2", Exhaustive())
    nearest = photos.bank.pair(explanation.candidates[0].index)[1]
    wanted = contact_sheet([explanation], global_output=nearest)
    np.testing.assert_array_equal(explanation.sheet(), wanted)
    found = control(photos, image, "encoder_2", subsets_by(photos.bank, "wall"), Exhaustive())
    np.testing.assert_array_equal(found.sheet(), control_sheet(found))
    matching = made_up(1)
    np.testing.assert_array_equal(matching.sheet(), match_sheet(matching))
