"""The paper's networks on a part of its data: small banks of real pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from compnn.bank.bank import build
from compnn.data.camvid import CamVid
from compnn.data.folders import SideBySide
from compnn.explanation.explainer import Explainer
from compnn.explanation.scores import score
from compnn.images.kinds import Labels
from compnn.images.measures import confusion_matrix
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Auto, Exhaustive, HyperPatchMatch, Search

CENTRE_LAYERS = ("encoder_3", "decoder_4")
FINE_LAYERS = ("encoder_1", "decoder_2")


def facades(shared: Path, split: str, count: int) -> SideBySide:
    """The first pairs of Facades, photo to label map."""
    folder = shared / "data" / "facades" / split
    pairs = SideBySide(folder, "left", target_kind=Labels("facades"))
    return pairs.subset(pairs.names[:count])


def explainer_of(shared: Path, folder: Path, layers: Sequence[str], count: int) -> Explainer:
    path = shared / "models" / "pix2pix-facades-photo-to-labels.onnx"
    network = OnnxNetwork(path, layers, "encoder_7")
    bank = build(folder / "facades.bank", network, facades(shared, "train", count))
    return Explainer(bank, network)


@pytest.fixture(scope="module")
def centre(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    """Sixteen pairs at the layers of 32x32 cells."""
    return explainer_of(shared, tmp_path_factory.mktemp("centre"), CENTRE_LAYERS, 16)


@pytest.fixture(scope="module")
def fine(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    """Three pairs at the layers of 128x128 cells, where exhaustive searches take long."""
    return explainer_of(shared, tmp_path_factory.mktemp("fine"), FINE_LAYERS, 3)


@pytest.mark.parametrize("layer", [*CENTRE_LAYERS, *FINE_LAYERS])
def test_an_image_of_the_bank_finds_itself(
    shared: Path, request: pytest.FixtureRequest, layer: str
) -> None:
    """Each hyperpatch finds itself, or one of the very same numbers (a white sky has many)."""
    explainer: Explainer = request.getfixturevalue("centre" if layer in CENTRE_LAYERS else "fine")
    index = 2
    pair = facades(shared, "train", 3)[index]
    found = explainer.explain(pair.input, layer, Exhaustive())
    assert found.field.similarity.min() > 0.9999
    np.testing.assert_array_equal(found.input, pair.input)
    rows, cols = np.indices(found.layer.grid)
    image, row, col = found.field.image[0], found.field.row[0], found.field.col[0]
    itself = (image == index) & (row == rows) & (col == cols)
    assert itself.mean() > 0.8
    (file,) = explainer.bank.path.glob(f"shards/*/activations/{layer}.npy")
    stored = np.load(file, mmap_mode="r")
    height, width, _ = found.layer.shape
    cells = stored.reshape(len(explainer.bank), height, width, -1)
    for i, j in np.argwhere(~itself):
        other = cells[image[i, j], row[i, j] : row[i, j] + 2, col[i, j] : col[i, j] + 2]
        np.testing.assert_array_equal(other, cells[index, i : i + 2, j : j + 2])
    if layer.startswith("decoder"):
        assert itself.all()
        np.testing.assert_array_equal(found.output, pair.target)


def test_hyperpatch_match_comes_near_the_exact_search(shared: Path, centre: Explainer) -> None:
    """Facades val 1 at decoder_4 among 16 images; decoder_2 takes minutes (see benchmarks)."""
    image = facades(shared, "val", 1)[0].input
    exact = centre.explain(image, "decoder_4", Exhaustive(), top_k=16).field
    for seed in (0, 1):
        patient = HyperPatchMatch(iterations=1024, seed=seed)
        found = centre.explain(image, "decoder_4", patient, top_k=16).field
        assert found.mean_similarity >= 0.97 * exact.mean_similarity
        assert (found.similarity <= exact.similarity + 1e-6).all()


@pytest.mark.parametrize(
    "search", [HyperPatchMatch(2, iterations=64), Exhaustive(2), Auto(2)], ids=str
)
def test_threads_do_not_change_the_field(shared: Path, centre: Explainer, search: Search) -> None:
    image = facades(shared, "val", 1)[0].input
    one, two, five = (
        Explainer(centre.bank, centre.network, num_threads=threads).explain(
            image, "decoder_4", search
        )
        for threads in (1, 2, 5)
    )
    for other in (two, five):
        assert other.search == one.search
        for key in ("image", "row", "col", "similarity"):
            np.testing.assert_array_equal(getattr(one.field, key), getattr(other.field, key))


def test_auto_is_exact_where_that_is_quick(
    shared: Path, centre: Explainer, fine: Explainer
) -> None:
    """decoder_4 among 16 images takes 25 ms exactly; decoder_2 among 3 much longer."""
    image = facades(shared, "val", 1)[0].input
    assert centre.explain(image, "decoder_4", top_k=16).search == Exhaustive()
    assert fine.explain(image, "decoder_2").search == HyperPatchMatch()
    assert centre.resolved(Auto(), CENTRE_LAYERS) == Exhaustive()


def test_label_maps_of_streets(shared: Path, tmp_path: Path) -> None:
    """SegNet on CamVid: patches of 13 scenes paint an unseen one far better than chance."""
    train, unseen = CamVid(shared / "data" / "camvid"), CamVid(shared / "data" / "camvid", "val")
    network = OnnxNetwork(shared / "models" / "segnet-basic-camvid.onnx", ["encoder_4"])
    bank = build(tmp_path / "camvid.bank", network, train.subset(train.names[::30]))
    explainer = Explainer(bank, network)
    accuracies, chances = [], []
    for index in (10, 60):
        pair = unseen[index]
        found = explainer.explain(pair.input, "encoder_4", Exhaustive())
        scores = score(found, pair.target)
        assert scores.output_to_target is not None
        accuracies.append(scores.output_to_target.value)
        # Chance: the classes of the training set at random, or always the most frequent one.
        truth = confusion_matrix(pair.target, pair.target, 11, void=11).diagonal() / np.sum(
            pair.target != 11
        )
        labels = np.stack([bank.targets.picture(index) for index in range(len(bank))])
        prior = np.bincount(labels[labels != 11], minlength=11) / np.sum(labels != 11)
        chances.append(max(float(truth @ prior), float(truth[prior.argmax()])))
    assert np.mean(accuracies) > np.mean(chances) + 0.25
