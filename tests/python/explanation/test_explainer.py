"""What is explained with a bank, against plain NumPy and against itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn.bank.bank import build
from compnn.errors import LayerError, SearchError
from compnn.explanation.explainer import Explainer
from compnn.explanation.query import Query
from compnn.images.files import write_image
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Auto, Exhaustive, HyperPatchMatch
from explained import HELD_OUT, QUERY, TRAIN, same_field
from memory_dataset import MemoryDataset, check_that_images_find_themselves, patch_call
from reference import Case, as_kept, place_index, similarities
from tiny_networks import UNET_LAYERS, tiny_unet

COUNT = len(TRAIN)
QUICK = HyperPatchMatch(iterations=8)


@pytest.mark.parametrize("layer", UNET_LAYERS)
def test_an_image_of_the_bank_finds_itself(any_explainer: Explainer, layer: str) -> None:
    check_that_images_find_themselves(any_explainer.bank, TRAIN, layer)


@pytest.mark.parametrize("layer", UNET_LAYERS)
def test_matches_are_the_most_similar_hyperpatches(
    any_explainer: Explainer, network: OnnxNetwork, layer: str
) -> None:
    """Against plain NumPy, from ONNX Runtime's activations to the reconstruction."""
    bank = any_explainer.bank
    cells = [as_kept(network.activations(p.input, [layer])[layer], bank.dtype) for p in TRAIN]
    query = as_kept(network.activations(QUERY, [layer])[layer], bank.dtype)
    candidates = np.arange(COUNT, dtype=np.int32)
    case = Case(query, np.stack(cells), bank.layers[layer].hyperpatch, candidates)
    all_similarities = similarities(case)

    found = any_explainer.explain(QUERY, layer, Exhaustive()).field
    places = place_index(case, found.image[0], found.row[0], found.col[0])
    at_places = np.take_along_axis(all_similarities, places[..., None], axis=2)[..., 0]
    np.testing.assert_allclose(at_places, all_similarities.max(axis=2), atol=1e-5)
    np.testing.assert_allclose(found.similarity[0], at_places, atol=1e-5)

    approximate = any_explainer.explain(QUERY, layer, HyperPatchMatch()).field
    assert approximate.mean_similarity == pytest.approx(found.mean_similarity, rel=0.05)
    assert approximate.mean_similarity <= found.mean_similarity + 1e-6


# Many layers, many images, one run


def test_several_layers_are_explained_as_each_alone(explainer: Explainer) -> None:
    (together,) = explainer.explain_all([QUERY], ["decoder_2", "encoder_1"], QUICK)
    assert list(together) == ["decoder_2", "encoder_1"]
    for layer, found in together.items():
        alone = explainer.explain(QUERY, layer, QUICK)
        assert found.layer == alone.layer == explainer.bank.layers[layer]
        assert same_field(found, alone)
        np.testing.assert_array_equal(found.output, alone.output)
    (twice,) = explainer.explain_all([QUERY], ["encoder_1", "encoder_1"], QUICK)
    assert list(twice) == ["encoder_1"]
    (every,) = explainer.explain_all([QUERY])
    assert tuple(every) == UNET_LAYERS
    assert list(explainer.explain_all([QUERY], [])) == [{}]
    assert list(explainer.explain_all([], ["encoder_1"])) == []


def test_many_images_are_explained_as_each_alone(explainer: Explainer, tmp_path: Path) -> None:
    write_image(tmp_path / "query.png", QUERY)
    other = HELD_OUT[1].input
    images = [tmp_path / "query.png", other, explainer.read(other, ["encoder_2"])]
    found = list(explainer.explain_all(images, ["encoder_2"], QUICK, top_k=2))
    for each, image in zip(found, (QUERY, other, other), strict=True):
        alone = explainer.explain(image, "encoder_2", QUICK, top_k=2)
        assert same_field(each["encoder_2"], alone)
        assert each["encoder_2"].candidates == alone.candidates


def test_images_are_read_one_by_one(explainer: Explainer) -> None:
    """So that many of them take no more memory than one."""
    taken: list[int] = []

    def images() -> Any:
        for index in range(3):
            taken.append(index)
            yield QUERY

    for count, _ in enumerate(explainer.explain_all(images(), ["encoder_3"], QUICK), 1):
        assert len(taken) == count


def test_one_run_of_the_network_serves_many_searches(
    explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = ["encoder_1", "decoder_2"]
    expected = {k: next(explainer.explain_all([QUERY], layers, QUICK, top_k=k)) for k in (2, None)}
    near = explainer.nearest(QUERY, 3)
    runs = patch_call(monkeypatch, OnnxNetwork, "read", lambda read, *a, **k: read(*a, **k))
    reading = explainer.read(QUERY, layers)
    for top_k, explanations in expected.items():
        for layer, each in explanations.items():
            found = explainer.explain(reading, layer, QUICK, top_k=top_k)
            assert same_field(found, each)
            assert found.candidates == each.candidates
            np.testing.assert_array_equal(found.query, each.query)
            np.testing.assert_array_equal(found.network_output, each.network_output)
    assert explainer.nearest(reading, 3) == near
    assert explainer.read(reading, ["encoder_1"]) is reading
    assert len(runs) == 1
    next(explainer.explain_all([QUERY], layers, QUICK, top_k=2))
    assert len(runs) == 2


def test_a_reading_that_lacks_what_a_search_needs(explainer: Explainer, tmp_path: Path) -> None:
    reading = explainer.read(Query("mine", QUERY, None, "mine.png"), ["encoder_1"])
    with pytest.raises(SearchError, match=r"mine\.png kept encoder_1, encoder_3, not decoder_2"):
        explainer.explain(reading, "decoder_2")
    with pytest.raises(SearchError, match="not decoder_2"):
        explainer.nearest(reading, layer="decoder_2")
    with pytest.raises(LayerError, match="no layer 'decoder_9'"):
        explainer.read(QUERY, ["decoder_9"])
    unpainted = explainer.network.read(QUERY, ["encoder_1", "encoder_3"])
    assert explainer.nearest(unpainted) == explainer.nearest(QUERY)
    with pytest.raises(SearchError, match=r"the network painted .*`Explainer\.read`"):
        explainer.explain(unpainted, "encoder_1")
    path = tiny_unet(tmp_path / "unet.onnx", size=(16, 16))
    small = OnnxNetwork(path, ["encoder_1"], "encoder_3")
    other = Explainer(build(tmp_path / "bank", small, MemoryDataset(2, (16, 16))))
    with pytest.raises(SearchError, match=r"encoder_1 is \(4, 16, 16\) .* but \(4, 8, 8\)"):
        other.explain(reading, "encoder_1")


def test_an_image_file_or_a_query_is_explained_like_its_pixels(
    explainer: Explainer, tmp_path: Path
) -> None:
    path = tmp_path / "query.png"
    write_image(path, QUERY)
    found = explainer.explain(QUERY, "encoder_2", Exhaustive())
    for given in (path, str(path), Query("q", QUERY, None), explainer.read(QUERY)):
        assert same_field(explainer.explain(given, "encoder_2", Exhaustive()), found)


# The search


def test_what_ran_is_said(explainer: Explainer) -> None:
    for search in (Exhaustive(2), HyperPatchMatch(2, effort=1, seed=5)):
        assert explainer.explain(QUERY, "encoder_3", search).search == search
    found = explainer.explain(QUERY, "encoder_3", Auto(2, seed=5))
    assert found.search == Exhaustive(2)
    assert explainer.explain(QUERY, "encoder_3").search == Exhaustive()
    assert same_field(found, explainer.explain(QUERY, "encoder_3", Exhaustive(2)))


def quick_up_to(monkeypatch: pytest.MonkeyPatch, products: float) -> None:
    """Let `Auto` be exact for searches of so many products."""
    monkeypatch.setattr("compnn.search.search._QUICK", products)


def test_auto_is_decided_by_pairs_and_channels(
    explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is searched: the query's hyperpatches and those of the candidates."""
    layer = explainer.bank.layer("encoder_2")
    places = layer.grid[0] * layer.grid[1]
    (channels,) = explainer.bank.kept("encoder_2")
    for among, count in ((None, COUNT), ([1, 4], 2)):
        products = places * count * places * channels
        quick_up_to(monkeypatch, products)
        assert explainer.explain(QUERY, "encoder_2", among=among).search == Exhaustive()
        quick_up_to(monkeypatch, products - 1)
        found = explainer.explain(QUERY, "encoder_2", Auto(seed=7), among=among)
        assert found.search == HyperPatchMatch(seed=7)
        assert same_field(
            found, explainer.explain(QUERY, "encoder_2", HyperPatchMatch(seed=7), among=among)
        )
        for threads in (1, 3):  # whose number decides nothing
            other = Explainer(explainer.bank, explainer.network, num_threads=threads)
            assert same_field(other.explain(QUERY, "encoder_2", Auto(seed=7), among=among), found)


def test_auto_for_several_layers_is_that_of_the_most_costly(
    explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = {}
    for name, layer in explainer.bank.layers.items():
        places = layer.grid[0] * layer.grid[1]
        costs[name] = places * COUNT * places * max(explainer.bank.kept(name))
    layers = sorted(costs, key=lambda name: costs[name])
    for products in sorted(costs.values()):
        quick_up_to(monkeypatch, products)
        for name in layers:
            expected = Exhaustive() if costs[name] <= products else HyperPatchMatch()
            assert explainer.resolved(Auto(), [name]) == expected
            for others in (layers[: layers.index(name) + 1], layers[layers.index(name) :: -1]):
                assert explainer.resolved(Auto(), others) == expected
    costly = layers[-1]
    quick_up_to(monkeypatch, costs[costly] // COUNT * 2)
    assert explainer.resolved(Auto(), [costly], top_k=2) == Exhaustive()
    assert explainer.resolved(Auto(), [costly], among=["img_1", 4]) == Exhaustive()
    assert explainer.resolved(Auto(), [costly], among="wall=red", top_k=9) == Exhaustive()
    assert explainer.resolved(Auto(), [costly], top_k=3) == HyperPatchMatch()
    assert explainer.resolved(Auto(3, 1), [costly], top_k=2) == Exhaustive(3)
    assert explainer.resolved(Auto(3, 1), [costly], top_k=COUNT) == HyperPatchMatch(3, seed=1)
    for search in (Exhaustive(3), HyperPatchMatch(effort=1)):
        assert explainer.resolved(search, layers) == search


def test_several_matches_for_each_hyperpatch(explainer: Explainer) -> None:
    found = explainer.explain(QUERY, "encoder_3", Exhaustive(3))
    best = explainer.explain(QUERY, "encoder_3", Exhaustive())
    assert found.field.matches == 3
    assert (np.diff(found.field.similarity, axis=0) <= 0).all()
    np.testing.assert_array_equal(found.field.image[:1], best.field.image)
    np.testing.assert_array_equal(found.input, best.input)


def test_seed_and_threads(explainer: Explainer) -> None:
    found = [
        Explainer(explainer.bank, explainer.network, num_threads=threads).explain(
            QUERY, "encoder_1", HyperPatchMatch(schedule="paper", iterations=2, seed=seed)
        )
        for seed, threads in ((5, 1), (5, 3), (6, 1))
    ]
    assert same_field(found[0], found[1])
    assert not same_field(found[0], found[2])


def test_hyperpatch_of_another_size(explainer: Explainer) -> None:
    found = explainer.explain(QUERY, "encoder_2", HyperPatchMatch(iterations=4), hyperpatch=(3, 1))
    assert found.layer.hyperpatch == (3, 1)
    assert found.field.grid == (6, 8)
    assert found.input.shape == QUERY.shape
    assert explainer.bank.layers["encoder_2"].hyperpatch == (2, 2)
    with pytest.raises(LayerError, match=r"9x1.*encoder_2"):
        explainer.explain(QUERY, "encoder_2", hyperpatch=(9, 1))


def test_composition_is_passed_on(explainer: Explainer) -> None:
    copied = explainer.explain(QUERY, "encoder_2", QUICK)
    merged = explainer.explain(QUERY, "encoder_2", QUICK, composition="overlap")
    assert (copied.composition, merged.composition) == ("copy", "overlap")
    assert same_field(copied, merged)
    assert not np.array_equal(copied.output, merged.output)
    (found,) = explainer.explain_all([QUERY], ["encoder_2"], QUICK, composition="overlap")
    np.testing.assert_array_equal(found["encoder_2"].output, merged.output)
    calls: list[Callable[[], Any]] = [
        lambda: explainer.explain(QUERY, "encoder_2", composition="paste"),  # type: ignore[arg-type]
        lambda: next(explainer.explain_all([QUERY], composition="paste")),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(SearchError, match="no composition 'paste'"):
            call()


def test_progress_is_reported_and_may_stop_the_search(explainer: Explainer) -> None:
    seen: list[float] = []

    def stop(share: float) -> None:
        seen.append(share)
        if share > 0:
            raise InterruptedError

    endless = HyperPatchMatch(iterations=2**31 - 1)
    with pytest.raises(InterruptedError):
        explainer.explain(QUERY, "encoder_1", endless, progress=stop)
    assert all(0 <= share < 1 for share in seen)
    layers: list[str] = []

    def stop_at_the_second(layer: str, share: float) -> None:
        layers.append(layer)
        if layer == "encoder_2":
            raise InterruptedError

    long = HyperPatchMatch(iterations=10**5)
    with pytest.raises(InterruptedError):
        next(
            explainer.explain_all(
                [QUERY], ["encoder_3", "encoder_2"], long, progress=stop_at_the_second
            )
        )
    assert set(layers) <= {"encoder_3", "encoder_2"}
    assert layers[-1] == "encoder_2"
    assert layers == sorted(layers, reverse=True)


# Pictures and sources


def test_reconstructions_copy_training_pixels(explainer: Explainer) -> None:
    found = explainer.explain(QUERY, "encoder_2", QUICK)
    where = found.provenance
    for row, col in [(0, 0), (13, 7), (31, 31)]:
        pair = TRAIN[int(where.image[row, col])]
        place = where.row[row, col], where.col[row, col]
        np.testing.assert_array_equal(found.input[row, col], pair.input[place])
        np.testing.assert_array_equal(found.output[row, col], pair.target[place])


def test_network_output_is_what_the_network_paints(
    explainer: Explainer, network: OnnxNetwork
) -> None:
    found = explainer.explain(QUERY, "encoder_1", HyperPatchMatch(iterations=0))
    output = network.read(QUERY, [], output=True).output
    assert output is not None
    np.testing.assert_array_equal(found.network_output, network.paint(output, (32, 32)))
    np.testing.assert_array_equal(found.query, QUERY)


def test_sources_share_out_the_pixels(explainer: Explainer) -> None:
    found = explainer.explain(QUERY, "encoder_2", QUICK)
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


def test_repr(explainer: Explainer) -> None:
    found = explainer.explain(TRAIN[0].input, "encoder_3", Exhaustive(2))
    similarity = f"{found.field.similarity[0].mean():.4f}"
    assert repr(found) == (
        f"Explanation(encoder_3: mean similarity {similarity}, 1 sources of {COUNT} candidates)"
    )
    assert repr(found.field) == (
        f"Field(3x3 hyperpatches, 2 matches each, mean similarity {similarity})"
    )
    assert repr(explainer) == f"Explainer({explainer.bank!r}, {explainer.network!r})"
