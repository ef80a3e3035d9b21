"""A bank of a tiny network, shared by the tests of explaining with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from compnn.bank.bank import Bank, build
from compnn.bank.layout import ACTIVATION_DTYPES
from compnn.explanation.explainer import Explainer
from compnn.network.onnx import OnnxNetwork
from explained import TRAIN
from tiny_networks import tiny_segnet, tiny_unet


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    path = tiny_unet(tmp_path_factory.mktemp("network") / "unet.onnx")
    return OnnxNetwork(path, None, "encoder_3")


@pytest.fixture(scope="session")
def segnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a network that paints label maps."""
    return tiny_segnet(tmp_path_factory.mktemp("network") / "segnet.onnx")


@pytest.fixture(scope="session", params=ACTIVATION_DTYPES)
def any_explainer(
    network: OnnxNetwork,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Explainer:
    """With a bank of every layer, in each dtype."""
    path = tmp_path_factory.mktemp("any") / "bank"
    return Explainer(build(path, network, TRAIN, dtype=request.param), network)


@pytest.fixture(scope="session")
def bank(network: OnnxNetwork, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return build(tmp_path_factory.mktemp("sound") / "bank", network, TRAIN)


@pytest.fixture(scope="session")
def explainer(bank: Bank, network: OnnxNetwork) -> Explainer:
    return Explainer(bank, network)


@pytest.fixture
def copied(bank: Bank, tmp_path: Path) -> Path:
    """A bank that a test may damage or change."""
    return Path(shutil.copytree(bank.path, tmp_path / "bank"))
