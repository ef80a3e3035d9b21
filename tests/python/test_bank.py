"""What a bank explains: matches, reconstructions, candidates, damage, and sharing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper

from compnn.bank.bank import Bank
from compnn.bank.layout import ACTIVATION_DTYPES
from compnn.errors import (
    ActivationError,
    BankError,
    CompnnError,
    DatasetError,
    ImageError,
    LayerError,
    ModelError,
    OutputError,
    SearchError,
)
from compnn.images import read_image, write_image
from compnn.model import Model
from compnn.preprocessing import Preprocessing
from compnn.query import Query
from memory_dataset import (
    MemoryDataset,
    check_that_images_find_themselves,
    contents,
    grey_palette,
    patch_call,
)
from reference import Case, as_kept, place_index, similarities
from tiny_networks import UNET_LAYERS, nan_network, save_network, tiny_segnet, tiny_unet

COUNT = 6
TRAIN = MemoryDataset(COUNT, attributes={"img_1": {"wall": "red"}})
HELD_OUT = MemoryDataset(2, seed=1)
QUERY = HELD_OUT[0].input


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tiny_unet(tmp_path_factory.mktemp("network") / "unet.onnx")
    return Model(path, None, "encoder_3")


@pytest.fixture(scope="module", params=ACTIVATION_DTYPES)
def any_bank(
    model: Model, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Bank:
    """A bank of every layer, in each dtype."""
    return Bank.build(tmp_path_factory.mktemp("any") / "bank", model, TRAIN, dtype=request.param)


@pytest.fixture(scope="module")
def bank(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return Bank.build(tmp_path_factory.mktemp("sound") / "bank", model, TRAIN)


@pytest.fixture
def copied(bank: Bank, tmp_path: Path) -> Path:
    """A bank that a test may damage."""
    return Path(shutil.copytree(bank.path, tmp_path / "bank"))


def same_field(first: Any, second: Any) -> bool:
    return all(
        np.array_equal(getattr(first.field, key), getattr(second.field, key))
        for key in ("image", "row", "col", "similarity")
    )


def flip_a_bit(file: Path, record: int, records: int = COUNT) -> None:
    """Damage one record of an array file, keeping its size."""
    data = bytearray(file.read_bytes())
    size = (len(data) - 128) // records
    data[128 + record * size + size // 2] ^= 0x04
    file.write_bytes(data)


# What is found


@pytest.mark.parametrize("layer", UNET_LAYERS)
def test_an_image_of_the_bank_finds_itself(any_bank: Bank, layer: str) -> None:
    check_that_images_find_themselves(any_bank, TRAIN, layer)


@pytest.mark.parametrize("layer", UNET_LAYERS)
def test_matches_are_the_most_similar_hyperpatches(
    any_bank: Bank, model: Model, layer: str
) -> None:
    """Against plain NumPy, from ONNX Runtime's activations to the reconstruction."""
    dtype = any_bank.manifest.dtype
    cells = [as_kept(model.activations(p.input, [layer])[layer], dtype) for p in TRAIN]
    query = as_kept(model.activations(QUERY, [layer])[layer], dtype)
    case = Case(query, np.stack(cells), any_bank.layers[layer].hyperpatch, np.arange(COUNT))
    all_similarities = similarities(case)

    found = any_bank.explain(QUERY, layer, method="exhaustive").field
    places = place_index(case, found.image[0], found.row[0], found.col[0])
    at_places = np.take_along_axis(all_similarities, places[..., None], axis=2)[..., 0]
    np.testing.assert_allclose(at_places, all_similarities.max(axis=2), atol=1e-5)
    np.testing.assert_allclose(found.similarity[0], at_places, atol=1e-5)

    approximate = any_bank.explain(QUERY, layer).field
    assert approximate.mean_similarity == pytest.approx(found.mean_similarity, rel=0.05)
    assert approximate.mean_similarity <= found.mean_similarity + 1e-6


def test_several_layers_are_explained_as_each_alone(bank: Bank) -> None:
    together = bank.explain(QUERY, ["decoder_2", "encoder_1"], iterations=8)
    assert list(together) == ["decoder_2", "encoder_1"]
    for layer, found in together.items():
        alone = bank.explain(QUERY, layer, iterations=8)
        assert found.layer == alone.layer == bank.layers[layer]
        assert same_field(found, alone)
        np.testing.assert_array_equal(found.output, alone.output)
    assert list(bank.explain(QUERY, ["encoder_1", "encoder_1"], iterations=0)) == ["encoder_1"]


def test_one_run_of_the_network_serves_many_searches(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = ["encoder_1", "decoder_2"]
    expected = {k: bank.explain(QUERY, layers, top_k=k, iterations=8) for k in (2, None)}
    near = bank.nearest(QUERY, 3)
    runs = patch_call(monkeypatch, Model, "run", lambda original, *a, **k: original(*a, **k))
    reading = bank.run(QUERY, layers)
    for top_k, explanations in expected.items():
        for layer, each in explanations.items():
            found = bank.explain(reading, layer, top_k=top_k, iterations=8)
            assert same_field(found, each)
            assert found.candidates == each.candidates
            np.testing.assert_array_equal(found.query, each.query)
            np.testing.assert_array_equal(found.network_output, each.network_output)
    assert bank.nearest(reading, 3) == near
    assert bank.run(reading, ["encoder_1"]) is reading
    assert len(runs) == 1


def test_a_run_that_lacks_what_a_search_needs(bank: Bank, tmp_path: Path) -> None:
    reading = bank.run(Query("mine", QUERY, None, "mine.png"), ["encoder_1"])
    with pytest.raises(SearchError, match=r"mine\.png kept encoder_1, encoder_3, not decoder_2"):
        bank.explain(reading, "decoder_2")
    with pytest.raises(SearchError, match="not decoder_2"):
        bank.nearest(reading, layer="decoder_2")
    with pytest.raises(LayerError, match="no layer 'decoder_9'"):
        bank.run(QUERY, ["decoder_9"])
    small = Model(tiny_unet(tmp_path / "unet.onnx", size=(16, 16)), ["encoder_1"], "encoder_3")
    other = Bank.build(tmp_path / "bank", small, MemoryDataset(2, (16, 16)))
    with pytest.raises(SearchError, match=r"encoder_1 is \(4, 16, 16\) .* but \(4, 8, 8\)"):
        other.explain(reading, "encoder_1")


def test_composition_is_passed_on(bank: Bank) -> None:
    copied = bank.explain(QUERY, "encoder_2", iterations=8)
    merged = bank.explain(QUERY, "encoder_2", iterations=8, composition="overlap")
    assert (copied.composition, merged.composition) == ("copy", "overlap")
    assert same_field(copied, merged)
    assert not np.array_equal(copied.output, merged.output)
    with pytest.raises(SearchError, match="no composition 'paste'"):
        bank.explain(QUERY, "encoder_2", composition="paste")  # type: ignore[call-overload]


@pytest.mark.parametrize("layer", ["encoder_1", "decoder_2"])
def test_nearest_by_a_whole_layer(any_bank: Bank, model: Model, layer: str) -> None:
    dtype = any_bank.manifest.dtype

    def flat(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return as_kept(model.activations(image, [layer])[layer], dtype).astype(np.float64).ravel()

    training, query = np.stack([flat(pair.input) for pair in TRAIN]), flat(QUERY)
    cosines = training @ query / np.linalg.norm(training, axis=1) / np.linalg.norm(query)
    found = any_bank.nearest(QUERY, COUNT, layer=layer)
    assert [each.index for each in found] == np.argsort(-cosines).tolist()
    np.testing.assert_allclose([e.similarity for e in found], np.sort(cosines)[::-1], atol=1e-5)
    few = any_bank.nearest(QUERY, 1, layer=layer, among=[1, "img_4"])
    assert few[0].index == max((1, 4), key=lambda index: cosines[index])
    with pytest.raises(LayerError, match="no layer 'output'"):
        any_bank.nearest(QUERY, layer="output")


def test_reconstructions_copy_training_pixels(bank: Bank) -> None:
    found = bank.explain(QUERY, "encoder_2", iterations=8)
    where = found.provenance
    for row, col in [(0, 0), (13, 7), (31, 31)]:
        pair = TRAIN[int(where.image[row, col])]
        place = where.row[row, col], where.col[row, col]
        np.testing.assert_array_equal(found.input[row, col], pair.input[place])
        np.testing.assert_array_equal(found.output[row, col], pair.target[place])


def test_network_output_is_what_the_network_paints(bank: Bank, model: Model) -> None:
    found = bank.explain(QUERY, "encoder_1", iterations=0)
    _, output = model.run(QUERY[None], [], output=True)
    assert output is not None
    np.testing.assert_array_equal(found.network_output, model.paint(output[0]))
    np.testing.assert_array_equal(found.query, QUERY)


def test_several_matches_for_each_hyperpatch(bank: Bank) -> None:
    found = bank.explain(QUERY, "encoder_3", matches=3, method="exhaustive")
    best = bank.explain(QUERY, "encoder_3", method="exhaustive")
    assert found.field.matches == 3
    assert (np.diff(found.field.similarity, axis=0) <= 0).all()
    np.testing.assert_array_equal(found.field.image[:1], best.field.image)
    np.testing.assert_array_equal(found.input, best.input)


def test_hyperpatch_of_another_size(bank: Bank) -> None:
    found = bank.explain(QUERY, "encoder_2", hyperpatch=(3, 1), iterations=4)
    assert found.layer.hyperpatch == (3, 1)
    assert found.field.grid == (6, 8)
    assert found.input.shape == QUERY.shape
    assert bank.layers["encoder_2"].hyperpatch == (2, 2)
    with pytest.raises(LayerError, match=r"9x1.*encoder_2"):
        bank.explain(QUERY, "encoder_2", hyperpatch=(9, 1))


def test_seed_and_threads(bank: Bank) -> None:
    found = [
        bank.explain(
            QUERY, "encoder_1", schedule="paper", iterations=2, seed=seed, num_threads=threads
        )
        for seed, threads in ((5, 1), (5, 3), (6, 1))
    ]
    assert same_field(found[0], found[1])
    assert not same_field(found[0], found[2])


def test_an_image_file_or_a_query_is_explained_like_its_pixels(bank: Bank, tmp_path: Path) -> None:
    write_image(tmp_path / "query.png", QUERY)
    found = bank.explain(QUERY, "encoder_2", method="exhaustive")
    for given in (tmp_path / "query.png", str(tmp_path / "query.png"), Query("q", QUERY, None)):
        assert same_field(bank.explain(given, "encoder_2", method="exhaustive"), found)


def test_progress_is_reported_and_may_stop_the_search(bank: Bank) -> None:
    seen: list[tuple[str, float]] = []

    def stop(layer: str, share: float) -> None:
        seen.append((layer, share))
        if share > 0:
            raise InterruptedError(layer)

    with pytest.raises(InterruptedError, match="encoder_1"):
        bank.explain(QUERY, "encoder_1", iterations=10**7, progress=stop)
    assert all(layer == "encoder_1" and 0 <= share < 1 for layer, share in seen)


# Candidates


def cosines(model: Model) -> npt.NDArray[np.float64]:
    """Cosine of the query's descriptor with that of each training image, in float64."""
    descriptors = [
        model.activations(image, ["encoder_3"])["encoder_3"].astype(np.float64).reshape(-1)
        for image in (QUERY, *(pair.input for pair in TRAIN))
    ]
    query, *rest = (each / np.linalg.norm(each) for each in descriptors)
    return np.array([query @ each for each in rest])


def test_nearest_images_are_those_of_numpy(any_bank: Bank, model: Model) -> None:
    expected = cosines(model)
    order = np.argsort(-expected)
    found = any_bank.nearest(QUERY, COUNT)
    assert [each.index for each in found] == order.tolist()
    assert [each.name for each in found] == [TRAIN.names[index] for index in order]
    similarities_found = [each.similarity for each in found]
    np.testing.assert_allclose(np.array(similarities_found, float), expected[order], atol=1e-6)
    assert any_bank.nearest(QUERY)[0] == found[0]
    among = [index for index in order if index not in (order[0], order[2])]
    assert [c.index for c in any_bank.nearest(QUERY, 2, among=among)] == [order[1], order[3]]


def test_top_k_searches_the_nearest_only(bank: Bank, model: Model) -> None:
    nearest = np.argsort(-cosines(model))[:2]
    found = bank.explain(QUERY, "encoder_2", top_k=2, method="exhaustive")
    assert [each.index for each in found.candidates] == nearest.tolist()
    assert set(np.unique(found.field.image)) <= set(nearest.tolist())
    chosen = bank.explain(QUERY, "encoder_2", candidates=nearest.tolist(), method="exhaustive")
    assert same_field(found, chosen)


def test_equally_near_images_come_in_the_order_of_the_bank(tmp_path: Path, model: Model) -> None:
    twins = MemoryDataset(4)
    for name in ("img_2", "img_3"):
        twins.pairs[name] = twins.pairs["img_1"]
    bank = Bank.build(tmp_path / "bank", model, twins)
    found = bank.nearest(twins[1].input, 3)
    assert [each.index for each in found] == [1, 2, 3]
    assert len({each.similarity for each in found}) == 1


def test_more_than_there_are_warns_once(bank: Bank) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = bank.explain(QUERY, ["encoder_1", "encoder_2"], top_k=16, iterations=0)
    assert [str(each.message) for each in caught] == [
        f"16 nearest images were asked for; there are only {COUNT}, so all are used"
    ]
    assert caught[0].filename == __file__
    assert len(found["encoder_1"].candidates) == COUNT


@pytest.mark.parametrize("candidates", [["img_4", "img_1"], [4, 1], ["img_1", 4, 4]])
def test_candidates_by_name_or_index(bank: Bank, candidates: list[int | str]) -> None:
    found = bank.explain(QUERY, "encoder_1", candidates=candidates, iterations=4)
    assert {each.index for each in found.candidates} == {1, 4}
    assert len(found.candidates) == 2
    assert set(np.unique(found.field.image)) <= {1, 4}
    assert {source.name for source in found.sources()} <= {"img_1", "img_4"}
    one = bank.explain(QUERY, "encoder_1", candidates=candidates, top_k=1, iterations=4)
    assert one.candidates == found.candidates[:1]


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ([], "no candidates"),
        ([COUNT], f"no training image {COUNT}; the bank has images 0 to {COUNT - 1}"),
        ([-1], "no training image -1"),
        (["img_99"], "no image 'img_99'"),
    ],
)
def test_impossible_candidates(bank: Bank, candidates: Any, message: str) -> None:
    with pytest.raises(CompnnError, match=message):
        bank.explain(QUERY, "encoder_1", candidates=candidates)
    with pytest.raises(CompnnError, match=message):
        bank.nearest(QUERY, among=candidates)


def test_count_of_nearest_images_must_be_positive(bank: Bank) -> None:
    for call in (
        lambda: bank.nearest(QUERY, 0),
        lambda: bank.explain(QUERY, "encoder_1", top_k=0),
    ):
        with pytest.raises(SearchError, match="at least 1, not 0"):
            call()


def test_without_descriptor(tmp_path: Path, model: Model) -> None:
    plain = Bank.build(tmp_path / "bank", Model(model.path, ["encoder_1"]), TRAIN)
    assert plain.descriptor is None
    found = plain.explain(QUERY, "encoder_1", iterations=0)
    assert [each.similarity for each in found.candidates] == [None] * COUNT
    for call in (
        lambda: plain.nearest(QUERY),
        lambda: plain.explain(QUERY, "encoder_1", top_k=2),
    ):
        with pytest.raises(SearchError, match=r"no global descriptors.*--descriptor"):
            call()


def test_unknown_method_and_layer(bank: Bank) -> None:
    with pytest.raises(SearchError, match="'fast'"):
        bank.explain(QUERY, "encoder_1", method="fast")  # type: ignore[call-overload]
    with pytest.raises(LayerError, match=r"no layer 'encoder_9', only encoder_1, encoder_2"):
        bank.explain(QUERY, "encoder_9")


# Sources


def test_sources_share_out_the_pixels(bank: Bank) -> None:
    found = bank.explain(QUERY, "encoder_2", iterations=8)
    sources = found.sources()
    assert sum(source.pixels for source in sources) == 32 * 32
    assert sum(source.share for source in sources) == pytest.approx(1)
    assert [s.pixels for s in sources] == sorted((s.pixels for s in sources), reverse=True)
    for source in sources:
        assert source.name == TRAIN.names[source.index]
        assert source.pixels == (found.provenance.image == source.index).sum()
        assert source.attributes == ({"wall": "red"} if source.name == "img_1" else {})
        given, target = found.source_images(source.index)
        np.testing.assert_array_equal(given, TRAIN[source.index].input)
        np.testing.assert_array_equal(target, TRAIN[source.index].target)


# Label maps


@pytest.fixture(scope="module")
def segnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_segnet(tmp_path_factory.mktemp("network") / "segnet.onnx")


def test_networks_that_paint_label_maps(tmp_path: Path, segnet: Path) -> None:
    dataset = MemoryDataset(3, (24, 32), classes=5)
    bank = Bank.build(tmp_path / "bank", Model(segnet, ["encoder_1"]), dataset)
    image = MemoryDataset(1, (24, 32), seed=1)[0].input
    found = bank.explain(image, "encoder_1", iterations=4)
    _, output = bank.model.run(image[None], [], output=True)
    assert output is not None
    np.testing.assert_array_equal(found.network_output, output[0].argmax(axis=0))
    assert found.output.shape == (24, 32)
    assert found.output.dtype == np.uint8
    where = found.provenance
    assert found.output[5, 9] == dataset[where.image[5, 9]].target[where.row[5, 9], where.col[5, 9]]
    painted = found.painted(found.output)
    np.testing.assert_array_equal(painted, grey_palette(5).colours[found.output])
    found.save(tmp_path / "saved")
    np.testing.assert_array_equal(read_image(tmp_path / "saved" / "output.png"), painted)


def test_networks_of_three_classes_paint_label_maps(tmp_path: Path) -> None:
    path = tiny_segnet(tmp_path / "segnet.onnx", classes=3)
    bank = Bank.build(
        tmp_path / "bank", Model(path, ["encoder_1"]), MemoryDataset(2, (24, 32), classes=3)
    )
    image = MemoryDataset(1, (24, 32), seed=1)[0].input
    _, output = bank.model.run(image[None], [], output=True)
    assert output is not None
    np.testing.assert_array_equal(
        bank.explain(image, "encoder_1", iterations=0).network_output, output[0].argmax(axis=0)
    )


def test_networks_that_paint_labels_in_colours(tmp_path: Path, model: Model) -> None:
    dataset = MemoryDataset(3, classes=200)
    bank = Bank.build(tmp_path / "bank", Model(model.path, ["encoder_1"]), dataset)
    found = bank.explain(QUERY, "encoder_1", iterations=0)
    _, output = model.run(QUERY[None], [], output=True)
    assert output is not None
    assert found.network_output.shape == (32, 32)
    distances = [
        ((model.paint(output[0]).astype(int) - colour) ** 2).sum(axis=2)
        for colour in grey_palette(200).colours.astype(int)
    ]
    np.testing.assert_array_equal(found.network_output, np.argmin(distances, axis=0))


def test_networks_that_paint_label_maps_need_a_palette(tmp_path: Path, segnet: Path) -> None:
    with pytest.raises(DatasetError, match=r"segnet\.onnx tells 5 classes apart.*--target-palette"):
        Bank.build(tmp_path / "bank", Model(segnet), MemoryDataset(2, (24, 32)))
    assert list(tmp_path.iterdir()) == []


def test_networks_that_paint_smaller_than_they_see(tmp_path: Path) -> None:
    pool = helper.make_node(
        "AveragePool", ["input"], ["output"], kernel_shape=[2, 2], strides=[2, 2]
    )
    path = save_network(
        tmp_path / "half.onnx",
        [pool],
        ("batch", 3, 32, 32),
        ("batch", 3, 16, 16),
        metadata={"input_range": "[0, 1]", "layers": "output"},
    )
    found = Bank.build(tmp_path / "bank", Model(path), TRAIN).explain(QUERY, "output", iterations=0)
    assert found.network_output.shape == found.output.shape == QUERY.shape


# What is wrong with the query


def test_candidates_must_be_a_list(bank: Bank) -> None:
    with pytest.raises(SearchError, match="a list of names or indices, not 'all'"):
        bank.explain(QUERY, "encoder_1", candidates="all")


def test_query_of_another_size(bank: Bank, model: Model) -> None:
    small = QUERY[:16, :16]
    with pytest.raises(ImageError, match=r"16x16.*unet\.onnx takes 32x32.*--resize"):
        bank.explain(small, "encoder_1")
    resizing = Bank(bank.path, Model(model.path, preprocessing=Preprocessing(resize=True)))
    found = resizing.explain(small, "encoder_1", iterations=0)
    assert found.query.shape == found.input.shape == (32, 32, 3)


@pytest.mark.parametrize("image", [QUERY[..., 0], QUERY[..., :2], QUERY / 255])
def test_query_that_is_no_rgb_image(bank: Bank, image: Any) -> None:
    with pytest.raises(ImageError, match="the query image is"):
        bank.explain(image, "encoder_1")


def test_query_that_gives_nan(tmp_path: Path) -> None:
    model = Model(nan_network(tmp_path / "nan.onnx"), ["encoder_1"])
    bank = Bank.build(tmp_path / "bank", model, MemoryDataset(2, (16, 16), darkest=100))
    write_image(tmp_path / "dark.png", np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ActivationError, match="NaN"):
        bank.explain(tmp_path / "dark.png", "encoder_1")


# Damage


def test_damage_is_found_when_it_would_be_used(copied: Path, model: Model) -> None:
    flip_a_bit(copied / "activations" / "encoder_2.npy", 3)
    bank = Bank(copied, model)
    others = [index for index in range(COUNT) if index != 3]
    bank.explain(QUERY, "encoder_2", candidates=others, iterations=2)
    bank.explain(QUERY, "encoder_1", iterations=2)
    for _ in range(2):
        with pytest.raises(BankError, match=r"activations/encoder_2\.npy is damaged.*'img_3'"):
            bank.explain(QUERY, "encoder_2", iterations=2)


def test_damaged_images_are_found_when_they_are_copied(copied: Path, model: Model) -> None:
    flip_a_bit(copied / "targets.npy", 2)
    bank = Bank(copied, model)
    found = bank.explain(TRAIN[2].input, "encoder_2", method="exhaustive")
    np.testing.assert_array_equal(found.input, TRAIN[2].input)
    with pytest.raises(BankError, match=r"targets\.npy is damaged.*'img_2'"):
        _ = found.output
    np.testing.assert_array_equal(bank.pair(1)[1], TRAIN[1].target)


def test_a_file_that_vanishes_after_it_was_read(copied: Path, model: Model) -> None:
    """It is mapped: a search finds what it found before."""
    bank = Bank(copied, model)
    before = bank.explain(QUERY, "encoder_2", iterations=0).field
    for folder in ("activations", "norms"):
        (copied / folder / "encoder_2.npy").unlink()
    after = bank.explain(QUERY, "encoder_2", iterations=0).field
    np.testing.assert_array_equal(after.similarity, before.similarity)
    np.testing.assert_array_equal(after.image, before.image)


# The network's file


def test_network_that_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    monkeypatch.chdir(tmp_path)
    built = Bank.build("bank", Model("unet.onnx", ["encoder_1"]), TRAIN)
    expected = built.explain(QUERY, "encoder_1", iterations=2)
    # The bank remembers where the network is, whatever the working folder.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    bank = tmp_path / "bank"
    assert same_field(Bank(bank).explain(QUERY, "encoder_1", iterations=2), expected)

    moved = path.rename(tmp_path / "moved.onnx")
    assert len(Bank(bank)) == COUNT
    with pytest.raises(ModelError, match=r"no longer at .*unet\.onnx.*--model"):
        Bank(bank).explain(QUERY, "encoder_1")
    again = Bank(bank, Model(moved)).explain(QUERY, "encoder_1", iterations=2)
    assert same_field(again, expected)

    tiny_unet(path, seed=1)
    with pytest.raises(BankError, match="was built with"):
        Bank(bank).explain(QUERY, "encoder_1")


def test_another_network_without_the_layers_of_the_bank(bank: Bank, segnet: Path) -> None:
    with pytest.raises(BankError, match=r"was built with .*unet\.onnx.*not with .*segnet\.onnx"):
        bank.manifest.load_model(segnet)


# Sharing


def test_threads_explain_as_one_alone(copied: Path, model: Model) -> None:
    bank = Bank(copied)
    queries = [pair.input for pair in HELD_OUT] * 2
    alone = [Bank(copied, model).explain(query, "encoder_1", iterations=64) for query in queries]
    with ThreadPoolExecutor(len(queries)) as pool:
        found = list(pool.map(lambda q: bank.explain(q, "encoder_1", iterations=64), queries))
        outputs = list(pool.map(lambda each: each.output, found))
    for each, output, expected in zip(found, outputs, alone, strict=True):
        assert same_field(each, expected)
        np.testing.assert_array_equal(output, expected.output)


def test_processes_read_one_bank(bank: Bank, tmp_path: Path) -> None:
    write_image(tmp_path / "query.png", QUERY)
    program = (
        "import sys, compnn; bank = compnn.Bank(sys.argv[1]); sys.stdin.readline();"
        "found = bank.explain(sys.argv[2], 'encoder_2', iterations=16);"
        "print(found.field.image.tolist())"
    )
    command = [sys.executable, "-c", program, str(bank.path), str(tmp_path / "query.png")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    expected = bank.explain(QUERY, "encoder_2", iterations=16).field.image.tolist()
    for process in processes:  # both have the bank open
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert json.loads(output) == expected


def test_explaining_leaves_the_bank_as_it_is(copied: Path, model: Model) -> None:
    before = contents(copied)
    Bank(copied, model).explain(QUERY, list(UNET_LAYERS), top_k=2, iterations=2)
    assert contents(copied) == before
    assert not Bank(copied).inputs([0]).flags.writeable


# Saving


def test_save(bank: Bank, tmp_path: Path) -> None:
    found = bank.explain(QUERY, "encoder_2", matches=2, iterations=8)
    folder = tmp_path / "deep" / "saved"
    paths = found.save(folder)
    assert sorted(paths) == sorted(folder.iterdir())
    pictures = {
        "query": QUERY,
        "network_output": found.network_output,
        "input": found.input,
        "output": found.output,
    }
    assert {path.name for path in paths} == {"field.npz", *(f"{name}.png" for name in pictures)}
    for name, picture in pictures.items():
        np.testing.assert_array_equal(read_image(folder / f"{name}.png"), picture)
    with np.load(folder / "field.npz") as stored:
        assert set(stored) == {"image", "row", "col", "similarity"}
        for key, array in stored.items():
            assert array.dtype == getattr(found.field, key).dtype
            np.testing.assert_array_equal(array, getattr(found.field, key))
    other = bank.explain(HELD_OUT[1].input, "encoder_2", iterations=8)
    assert other.save(folder) == paths
    np.testing.assert_array_equal(read_image(folder / "query.png"), HELD_OUT[1].input)
    assert len(list(folder.iterdir())) == len(paths)


def test_saving_where_a_file_or_a_folder_is_in_the_way(bank: Bank, tmp_path: Path) -> None:
    found = bank.explain(QUERY, "encoder_2", iterations=0)
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=f"cannot write {folder}: "):
            found.save(folder)
    (tmp_path / "saved" / "field.npz").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"cannot write .*field\.npz: "):
        found.save(tmp_path / "saved")
    assert not [path for path in (tmp_path / "saved").iterdir() if path.suffix == ".tmp"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_leaves_the_old_file(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bank.explain(QUERY, "encoder_2", iterations=0)
    found.save(tmp_path)
    before = contents(tmp_path)

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    for save in (lambda: found.save(tmp_path), lambda: found.field.save(tmp_path / "field.npz")):
        with pytest.raises(OutputError, match="No space left on device"):
            save()
    assert contents(tmp_path) == before


# How they read


def test_repr(bank: Bank) -> None:
    assert repr(bank) == (
        f"Bank({str(bank.path)!r}: {COUNT} images, float16, layers {', '.join(UNET_LAYERS)}, "
        f"descriptor encoder_3)"
    )
    found = bank.explain(TRAIN[0].input, "encoder_3", matches=2, method="exhaustive")
    similarity = f"{found.field.similarity[0].mean():.4f}"
    assert repr(found) == (
        f"Explanation(encoder_3: mean similarity {similarity}, 1 sources of {COUNT} candidates)"
    )
    assert repr(found.field) == (
        f"Field(3x3 hyperpatches, 2 matches each, mean similarity {similarity})"
    )


def test_what_a_bank_knows(bank: Bank) -> None:
    assert len(bank) == COUNT
    assert bank.names == TRAIN.names
    assert bank.attributes == {"img_1": {"wall": "red"}}
    assert list(bank.layers) == list(UNET_LAYERS)
    assert bank.input_palette is None
    assert bank.target_palette is None
    bank.verify()
