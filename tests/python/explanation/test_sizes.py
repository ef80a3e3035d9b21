"""Images of many sizes in one bank: built, searched and explained as brute force has it.

A network that takes images of any size gives the activations; everything after these is repeated
here in NumPy, patch by patch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper, numpy_helper

from compnn.bank.bank import Bank, build
from compnn.errors import DatasetError, ImageError, LayerError, SearchError
from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Explanation
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Auto, Exhaustive, HyperPatchMatch
from memory_dataset import MemoryDataset
from placements import given_by, owner
from reference import Case, as_kept, place_index, similarities
from tiny_networks import save_network

# Cells of 4x4 pixels: 1 cell high, odd, not square, large, one cell, no multiple of the stride.
SIZES = [(4, 36), (20, 12), (12, 28), (40, 44), (4, 4), (17, 23), (12, 28), (30, 7)]
QUERIES = [(24, 20), (4, 20), (13, 30), (48, 52)]
HYPERPATCH = (1, 2)
TRAIN = MemoryDataset(len(SIZES), sizes=SIZES)
DTYPES = ("float32", "float16")
TOLERANCE = {"float32": 1e-5, "float16": 1e-5}


def free_network(path: Path) -> Path:
    """A network that takes images of any size, with the layers cells, fine, and the tap pooled.

    cells has strides of 4 (the last cell may have fewer pixels), fine one cell a pixel; pooled is
    the mean of cells over the image, 5 values. The output is of the image's size, in [-1, 1].
    """
    random = np.random.default_rng(0)
    shapes = {"w_cells": (5, 3, 4, 4), "w_fine": (4, 3, 3, 3), "w_out": (3, 4, 1, 1)}
    weights = [
        numpy_helper.from_array(
            (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name
        )
        for name, shape in shapes.items()
    ]
    same: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    strides: dict[str, Any] = {
        "kernel_shape": [4, 4],
        "strides": [4, 4],
        "auto_pad": "SAME_UPPER",
    }
    nodes = [
        helper.make_node("Conv", ["input", "w_cells"], ["cells"], **strides),
        helper.make_node("GlobalAveragePool", ["cells"], ["pooled"]),
        helper.make_node("Conv", ["input", "w_fine"], ["fine"], **same),
        helper.make_node("Conv", ["fine", "w_out"], ["raw"]),
        helper.make_node("Tanh", ["raw"], ["output"]),
    ]
    shape = ("batch", 3, "height", "width")
    metadata = {"input_range": "[-1, 1]", "layers": "cells,fine"}
    return save_network(path, nodes, shape, shape, weights, metadata)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    path = free_network(tmp_path_factory.mktemp("network") / "free.onnx")
    network = OnnxNetwork(path, ["cells", "fine"], "pooled", hyperpatch=HYPERPATCH)
    assert network.input_size is None
    return network


@pytest.fixture(scope="module", params=[(dtype, shards) for dtype in DTYPES for shards in (1, 3)])
def explainer(
    network: OnnxNetwork,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Explainer:
    """With a bank of one shard, or of several, in two precisions; one image is too small."""
    dtype, shards = request.param
    with pytest.MonkeyPatch.context() as patch:
        if shards > 1:
            patch.setattr("compnn.bank.layout.SHARD_IMAGES", 3)
        bank = build(
            tmp_path_factory.mktemp("bank") / "bank", network, TRAIN, dtype=dtype, skip_bad=True
        )
    assert bank.shards == shards
    return Explainer(bank, network)


KEPT = [index for index, size in enumerate(SIZES) if size != (4, 4)]


def test_an_image_with_no_room_for_a_hyperpatch_is_named(
    network: OnnxNetwork, explainer: Explainer, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=r"img_4 is too small: it has 1x1 cells in layer 'cells'"):
        build(tmp_path / "bank", network, TRAIN)
    assert explainer.bank.names == tuple(f"img_{index}" for index in KEPT)
    assert [each.name for each in explainer.bank.skipped] == ["img_4"]


def cells_of(bank: Bank, network: OnnxNetwork, image: npt.NDArray[np.uint8], layer: str) -> Any:
    return as_kept(network.activations(image, [layer])[layer], bank.dtype)


def case_of(
    explainer: Explainer, image: npt.NDArray[np.uint8], layer: str, candidates: list[int]
) -> Case:
    """What is searched, as the bank keeps it."""
    bank, network = explainer.bank, explainer.network
    assert isinstance(network, OnnxNetwork)
    images = [cells_of(bank, network, TRAIN[index].input, layer) for index in KEPT]
    query = cells_of(bank, network, image, layer)
    hyperpatch = bank.layer(layer).hyperpatch
    return Case(query, images, hyperpatch, np.array(candidates, np.int32))


def query_of(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return MemoryDataset(1, size, seed=9)[0].input


def test_what_the_bank_knows_of_sizes(explainer: Explainer, network: OnnxNetwork) -> None:
    bank = explainer.bank
    bank.verify()
    for place, index in enumerate(KEPT):
        height, width = SIZES[index]
        assert bank.inputs.size(place) == bank.targets.size(place) == (height, width)
        cells = bank.layer_of("cells", place)
        assert cells.image_size == (height, width)
        assert cells.shape == (-(-height // 4), -(-width // 4), 5)
        assert cells == network.layer("cells", (height, width))
        assert bank.layer_of("fine", place).shape == (height, width, 4)
        image, target = bank.pair(place)
        np.testing.assert_array_equal(image, TRAIN[index].input)
        np.testing.assert_array_equal(target, TRAIN[index].target)


# Searching


@pytest.mark.parametrize("size", QUERIES)
@pytest.mark.parametrize("layer", ["cells", "fine"])
@pytest.mark.parametrize("among", [None, [1, 3, 4], [0]])
def test_searches_equal_brute_force(
    explainer: Explainer, layer: str, size: tuple[int, int], among: list[int] | None
) -> None:
    image, matches = query_of(size), 3
    case = case_of(explainer, image, layer, among or list(range(len(KEPT))))
    truth = similarities(case)
    best = np.moveaxis(-np.sort(-truth, axis=-1)[..., :matches], -1, 0)
    tolerance = TOLERANCE[explainer.bank.dtype]
    found = explainer.explain(image, layer, Exhaustive(matches), among=among)
    assert found.layer.image_size == size
    assert found.layer.shape[:2] == case.query.shape[:2]
    assert found.field.grid == found.layer.grid == truth.shape[:2]
    np.testing.assert_allclose(found.field.similarity, best, atol=tolerance, rtol=0)
    approximate = explainer.explain(image, layer, HyperPatchMatch(matches, effort=8), among=among)
    assert (approximate.field.similarity <= best + tolerance).all()
    assert approximate.field.mean_similarity >= 0.9 * found.field.mean_similarity
    for each in (found, approximate):
        field = each.field
        places = place_index(case, field.image, field.row, field.col)
        for first in range(matches):
            assert (places[first] != places[first + 1 :]).all()
        own = np.moveaxis(np.take_along_axis(truth, np.moveaxis(places, 0, -1), axis=-1), -1, 0)
        np.testing.assert_allclose(field.similarity, own, atol=tolerance, rtol=0)


def test_hyperpatch_match_finds_the_exact_matches_in_time(explainer: Explainer) -> None:
    image = query_of(QUERIES[0])
    exact = explainer.explain(image, "cells", Exhaustive(2)).field
    patient = HyperPatchMatch(2, "paper", iterations=3000)
    found = explainer.explain(image, "cells", patient).field
    for name in ("image", "row", "col"):
        np.testing.assert_array_equal(getattr(found, name), getattr(exact, name))


@pytest.mark.parametrize("layer", ["cells", "fine"])
def test_each_image_finds_itself(explainer: Explainer, layer: str) -> None:
    for place, index in enumerate(KEPT):
        pair = TRAIN[index]
        found = explainer.explain(pair.input, layer, Exhaustive())
        np.testing.assert_allclose(found.field.similarity, 1, atol=1e-6)
        assert (found.field.image == place).all()
        rows, cols = np.indices(found.layer.grid)
        np.testing.assert_array_equal(found.field.row[0], rows)
        np.testing.assert_array_equal(found.field.col[0], cols)
        np.testing.assert_array_equal(found.input, pair.input)
        np.testing.assert_array_equal(found.output, pair.target)


def test_threads_change_no_bit(explainer: Explainer, network: OnnxNetwork) -> None:
    image = query_of((48, 52))
    for search in (Exhaustive(2), HyperPatchMatch(2), Auto(2)):
        one, many = (
            Explainer(explainer.bank, network, num_threads=threads).explain(image, "cells", search)
            for threads in (1, 3)
        )
        for name in ("image", "row", "col", "similarity"):
            np.testing.assert_array_equal(getattr(one.field, name), getattr(many.field, name))


def test_a_hyperpatch_that_few_images_have_room_for(explainer: Explainer) -> None:
    image = query_of((24, 20))
    found = explainer.explain(image, "cells", Exhaustive(), hyperpatch=(5, 3))
    places = {KEPT[index] for index in np.unique(found.field.image).tolist()}
    roomy = {i for i in KEPT if -(-SIZES[i][0] // 4) >= 5 and -(-SIZES[i][1] // 4) >= 3}
    assert roomy == {1, 3, 5}
    assert places <= roomy
    with pytest.raises(LayerError, match=r"5x3.*'cells'.* 1x5 cells"):
        explainer.explain(query_of((4, 20)), "cells", hyperpatch=(5, 3))
    with pytest.raises(SearchError, match="fits none of the candidates"):
        explainer.explain(image, "cells", Exhaustive(), hyperpatch=(5, 3), among=["img_0"])


# Pictures


@pytest.mark.parametrize("size", QUERIES)
@pytest.mark.parametrize("layer", ["cells", "fine"])
def test_reconstructions_equal_loops_over_patches(
    explainer: Explainer, layer: str, size: tuple[int, int], tmp_path: Path
) -> None:
    found = explainer.explain(query_of(size), layer, Exhaustive())
    expected = np.zeros((2, *size, 3), np.uint8)
    field, own = found.field, found.layer.looks
    for y, x in np.ndindex(size):
        at = owner(own, 0, y), owner(own, 1, x)
        index, row, col = (int(a[0][at]) for a in (field.image, field.row, field.col))
        source = explainer.bank.layer_of(layer, index).looks
        pair = TRAIN[KEPT[index]]
        place = (
            given_by(own, source, 0, y, at[0], row, pair.input.shape[0]),
            given_by(own, source, 1, x, at[1], col, pair.input.shape[1]),
        )
        expected[:, y, x] = pair.input[place], pair.target[place]
    np.testing.assert_array_equal(found.input, expected[0])
    np.testing.assert_array_equal(found.output, expected[1])
    assert found.network_output.shape == (*size, 3)
    sources = found.sources()
    assert sum(source.pixels for source in sources) == size[0] * size[1]
    for source in sources:
        image, target = found.source_images(source.index)
        np.testing.assert_array_equal(image, TRAIN.read(source.name).input)
        np.testing.assert_array_equal(target, TRAIN.read(source.name).target)
    found.save(tmp_path)
    loaded = Explanation.load(tmp_path)
    np.testing.assert_array_equal(loaded.output, found.output)
    np.testing.assert_array_equal(loaded.provenance.row, found.provenance.row)
    assert loaded.sources() == sources


# The nearest images


def test_nearest_by_a_pooled_descriptor(explainer: Explainer, network: OnnxNetwork) -> None:
    def pooled(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return network.activations(image, ["pooled"])["pooled"].astype(np.float64).ravel()

    for size in QUERIES:
        image = query_of(size)
        query = pooled(image)
        training = np.stack([pooled(TRAIN[index].input) for index in KEPT])
        cosines = training @ query / np.linalg.norm(training, axis=1) / np.linalg.norm(query)
        order = np.argsort(-cosines, kind="stable")
        found = explainer.nearest(image, len(KEPT))
        assert [each.index for each in found] == order.tolist()
        np.testing.assert_allclose([e.similarity for e in found], cosines[order], atol=1e-6)
        few = explainer.explain(image, "cells", Exhaustive(), top_k=3)
        assert [each.index for each in few.candidates] == order[:3].tolist()
        assert set(np.unique(few.field.image)) <= set(order[:3].tolist())
        alone = explainer.explain(image, "cells", Exhaustive(), among=order[:3].tolist())
        np.testing.assert_array_equal(few.field.similarity, alone.field.similarity)


def test_nearest_by_a_layer_compares_images_of_one_size(
    explainer: Explainer, network: OnnxNetwork
) -> None:
    image = query_of((12, 28))  # as images 2 and 6
    same = [KEPT.index(2), KEPT.index(6)]

    def flat(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return cells_of(explainer.bank, network, image, "cells").astype(np.float64).ravel()

    training = np.stack([flat(TRAIN[KEPT[index]].input) for index in same])
    cosines = training @ flat(image) / np.linalg.norm(training, axis=1)
    cosines /= np.linalg.norm(flat(image))
    found = explainer.nearest(image, 2, layer="cells")
    assert [each.index for each in found] == [same[i] for i in np.argsort(-cosines)]
    np.testing.assert_allclose([e.similarity for e in found], np.sort(cosines)[::-1], atol=1e-5)
    with pytest.raises(SearchError, match=r"activation of 2x2 cells at 'cells'.*by a descriptor"):
        explainer.nearest(query_of((8, 8)), layer="cells")


def test_a_descriptor_must_have_as_many_values(network: OnnxNetwork, tmp_path: Path) -> None:
    whole = OnnxNetwork(network.path, ["fine"], "cells", hyperpatch=HYPERPATCH)
    with pytest.raises(DatasetError, match=r"descriptor 'cells' of 'img_1' has 75 values.*pooled"):
        build(tmp_path / "bank", whole, TRAIN)
    one_size = MemoryDataset(2, (12, 28))
    explainer = Explainer(build(tmp_path / "one", whole, one_size), whole)
    assert explainer.nearest(query_of((12, 28)))[0].similarity is not None
    with pytest.raises(ImageError, match=r"descriptor 'cells' of .* has 150 values"):
        explainer.nearest(query_of((24, 20)))
