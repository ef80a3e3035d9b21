"""Which training images are searched: the nearest, and those that are allowed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compnn.bank.bank import build
from compnn.bank.selection import Selection
from compnn.errors import CompnnError, LayerError, SearchError
from compnn.explanation.explainer import Explainer
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Exhaustive, HyperPatchMatch
from explained import COUNT, QUERY, TRAIN, same_field
from memory_dataset import MemoryDataset
from reference import as_kept
from tiny_networks import wide_network

QUICK = HyperPatchMatch(iterations=4)


def cosines(network: OnnxNetwork) -> npt.NDArray[np.float64]:
    """Cosine of the query's descriptor with that of each training image, in float64."""
    descriptors = [
        network.activations(image, ["encoder_3"])["encoder_3"].astype(np.float64).reshape(-1)
        for image in (QUERY, *(pair.input for pair in TRAIN))
    ]
    query, *rest = (each / np.linalg.norm(each) for each in descriptors)
    return np.array([query @ each for each in rest])


# The nearest


def test_nearest_images_are_those_of_numpy(any_explainer: Explainer, network: OnnxNetwork) -> None:
    expected = cosines(network)
    order = np.argsort(-expected)
    found = any_explainer.nearest(QUERY, COUNT)
    assert [each.index for each in found] == order.tolist()
    assert [each.name for each in found] == [TRAIN.names[index] for index in order]
    similarities_found = [each.similarity for each in found]
    np.testing.assert_allclose(np.array(similarities_found, float), expected[order], atol=1e-6)
    assert any_explainer.nearest(QUERY)[0] == found[0]
    among = [int(index) for index in order if index not in (order[0], order[2])]
    few = any_explainer.nearest(QUERY, 2, among=among)
    assert [each.index for each in few] == [order[1], order[3]]


@pytest.mark.parametrize("layer", ["encoder_1", "decoder_2"])
def test_nearest_by_a_whole_layer(
    any_explainer: Explainer, network: OnnxNetwork, layer: str
) -> None:
    dtype = any_explainer.bank.dtype

    def flat(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return as_kept(network.activations(image, [layer])[layer], dtype).astype(float).ravel()

    training, query = np.stack([flat(pair.input) for pair in TRAIN]), flat(QUERY)
    cosines = training @ query / np.linalg.norm(training, axis=1) / np.linalg.norm(query)
    found = any_explainer.nearest(QUERY, COUNT, layer=layer)
    assert [each.index for each in found] == np.argsort(-cosines).tolist()
    np.testing.assert_allclose([e.similarity for e in found], np.sort(cosines)[::-1], atol=1e-5)
    few = any_explainer.nearest(QUERY, 1, layer=layer, among=[1, "img_4"])
    assert few[0].index == max((1, 4), key=lambda index: cosines[index])
    with pytest.raises(LayerError, match="no layer 'output'"):
        any_explainer.nearest(QUERY, layer="output")


def test_nearest_by_a_layer_that_is_kept_along_directions(tmp_path: Path) -> None:
    """48 channels of which 6 say all; the query's whole activation is compared along these."""
    network = OnnxNetwork(wide_network(tmp_path / "wide.onnx"), ["wide"])
    train = MemoryDataset(5, (16, 16))
    explainer = Explainer(build(tmp_path / "bank", network, train), network)
    assert max(explainer.bank.kept("wide")) < 48
    query = MemoryDataset(1, (16, 16), seed=1)[0].input

    def flat(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return network.activations(image, ["wide"])["wide"].astype(float).ravel()

    training = np.stack([flat(pair.input) for pair in train])
    cosines = training @ flat(query) / np.linalg.norm(training, axis=1)
    cosines /= np.linalg.norm(flat(query))
    found = explainer.nearest(query, 5, layer="wide")
    assert [each.index for each in found] == np.argsort(-cosines).tolist()
    np.testing.assert_allclose([e.similarity for e in found], np.sort(cosines)[::-1], atol=2e-3)


def test_top_k_searches_the_nearest_only(explainer: Explainer, network: OnnxNetwork) -> None:
    nearest = np.argsort(-cosines(network))[:2].tolist()
    found = explainer.explain(QUERY, "encoder_2", Exhaustive(), top_k=2)
    assert [each.index for each in found.candidates] == nearest
    assert set(np.unique(found.field.image)) <= set(nearest)
    assert same_field(found, explainer.explain(QUERY, "encoder_2", Exhaustive(), among=nearest))


def test_without_top_k_all_are_candidates_the_most_similar_first(
    explainer: Explainer, network: OnnxNetwork
) -> None:
    found = explainer.explain(QUERY, "encoder_2", QUICK)
    assert [each.index for each in found.candidates] == np.argsort(-cosines(network)).tolist()
    some = explainer.explain(QUERY, "encoder_2", QUICK, among=[5, 0, 3])
    assert list(some.candidates) == [each for each in found.candidates if each.index in (0, 3, 5)]


def test_equally_near_images_come_in_the_order_of_the_bank(
    tmp_path: Path, network: OnnxNetwork
) -> None:
    twins = MemoryDataset(4)
    for name in ("img_2", "img_3"):
        twins.pairs[name] = twins.pairs["img_1"]
    explainer = Explainer(build(tmp_path / "bank", network, twins), network)
    found = explainer.nearest(twins[1].input, 3)
    assert [each.index for each in found] == [1, 2, 3]
    assert len({each.similarity for each in found}) == 1


def test_more_than_there_are_warns_once(explainer: Explainer) -> None:
    message = f"16 nearest images were asked for; there are only {COUNT}, so all are used"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (found,) = explainer.explain_all([QUERY], ["encoder_1", "encoder_2"], QUICK, top_k=16)
        explainer.explain(QUERY, "encoder_1", QUICK, top_k=16)
        explainer.nearest(QUERY, 16)
    assert [str(each.message) for each in caught] == [message] * 3
    assert [each.filename for each in caught] == [__file__] * 3
    assert len(found["encoder_1"].candidates) == COUNT


def test_count_of_nearest_images_must_be_positive(explainer: Explainer) -> None:
    for call in (
        lambda: explainer.nearest(QUERY, 0),
        lambda: explainer.explain(QUERY, "encoder_1", top_k=0),
        lambda: next(explainer.explain_all([QUERY], ["encoder_1"], top_k=0)),
    ):
        with pytest.raises(SearchError, match="at least 1, not 0"):
            call()


def test_without_descriptor(tmp_path: Path, network: OnnxNetwork) -> None:
    plain = Explainer(build(tmp_path / "bank", OnnxNetwork(network.path, ["encoder_1"]), TRAIN))
    assert plain.bank.descriptor is None
    found = plain.explain(QUERY, "encoder_1", QUICK)
    assert [each.index for each in found.candidates] == list(range(COUNT))
    assert [each.similarity for each in found.candidates] == [None] * COUNT
    assert plain.nearest(QUERY, layer="encoder_1")[0].similarity is not None
    for call in (
        lambda: plain.nearest(QUERY),
        lambda: plain.explain(QUERY, "encoder_1", top_k=2),
        lambda: next(plain.explain_all([QUERY], top_k=2)),
    ):
        with pytest.raises(SearchError, match=r"no global descriptors.*--descriptor"):
            call()


# Those that are allowed


@pytest.mark.parametrize("among", [["img_4", "img_1"], [4, 1], ["img_1", 4, 4], (4, "img_1")])
def test_candidates_by_name_or_index(explainer: Explainer, among: list[int | str]) -> None:
    found = explainer.explain(QUERY, "encoder_1", QUICK, among=among)
    assert {each.index for each in found.candidates} == {1, 4}
    assert len(found.candidates) == 2
    assert set(np.unique(found.field.image)) <= {1, 4}
    assert {source.name for source in found.sources()} <= {"img_1", "img_4"}
    one = explainer.explain(QUERY, "encoder_1", QUICK, among=among, top_k=1)
    assert one.candidates == found.candidates[:1]
    assert explainer.indices(among) == [1, 4]


@pytest.mark.parametrize(
    ("among", "indices"),
    [
        (None, list(range(COUNT))),
        ("wall=red", [1]),
        ("wall!=red", [0, 2, 3, 4, 5]),
        (Selection(only=("img_[135]",)), [1, 3, 5]),
        (Selection(only=("img_[135]",), where=("wall=red",)), [1]),
        (Selection(), list(range(COUNT))),
        ([5, "img_0"], [0, 5]),
    ],
)
def test_candidates_in_every_form(explainer: Explainer, among: Any, indices: list[int]) -> None:
    assert explainer.indices(among) == indices
    found = explainer.explain(QUERY, "encoder_3", Exhaustive(), among=among)
    assert sorted(each.index for each in found.candidates) == indices
    assert same_field(found, explainer.explain(QUERY, "encoder_3", Exhaustive(), among=indices))
    near = explainer.nearest(QUERY, len(indices), among=among)
    assert near == list(found.candidates)
    (each,) = explainer.explain_all([QUERY], ["encoder_3"], Exhaustive(), among=among)
    assert same_field(found, each["encoder_3"])


@pytest.mark.parametrize(
    ("among", "message"),
    [
        ([], "no candidates"),
        ([COUNT], f"no training image {COUNT}; the bank has images 0 to {COUNT - 1}"),
        ([-1], "no training image -1"),
        (["img_99"], "no image 'img_99'"),
        ("all", "'all' is not of the form key=value"),
        ("wall=blue", "no training image has wall=blue"),
        (Selection(only=("x*",)), "no image that matches"),
        (Selection(where=("wall=red",), exclude=("img_1",)), "no training image is left of 6"),
    ],
)
def test_impossible_candidates(explainer: Explainer, among: Any, message: str) -> None:
    for call in (
        lambda: explainer.explain(QUERY, "encoder_1", among=among),
        lambda: next(explainer.explain_all([QUERY], among=among)),
        lambda: explainer.nearest(QUERY, among=among),
        lambda: explainer.resolved(Exhaustive(), ["encoder_1"], among),
    ):
        with pytest.raises(CompnnError, match=message):
            call()
