"""Fixtures shared by the tests of the studies."""

from __future__ import annotations

import pytest

from compnn.bank.bank import build
from compnn.explanation.explainer import Explainer
from compnn.network.onnx import OnnxNetwork
from evaluation_cases import COUNT, TRAIN_LABELS
from memory_dataset import MemoryDataset
from tiny_networks import tiny_segnet, tiny_unet


@pytest.fixture(scope="package")
def label_explainer(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    """Photos to labels; its layers are named in the order in which the network runs."""
    folder = tmp_path_factory.mktemp("labels")
    network = OnnxNetwork(
        tiny_segnet(folder / "segnet.onnx"), ["encoder_1", "decoder_2"], "encoder_2"
    )
    return Explainer(build(folder / "bank", network, TRAIN_LABELS), network)


@pytest.fixture(scope="package")
def photo_explainer(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    """Photos to photos, without a descriptor; the layer nearest to the output comes first."""
    folder = tmp_path_factory.mktemp("photos")
    network = OnnxNetwork(tiny_unet(folder / "unet.onnx"), ["decoder_2", "encoder_2"])
    return Explainer(build(folder / "bank", network, MemoryDataset(COUNT)), network)
