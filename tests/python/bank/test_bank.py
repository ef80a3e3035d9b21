"""What an open bank says of itself."""

from __future__ import annotations

from pathlib import Path

from compnn.bank.bank import Bank, build
from compnn.images.kinds import Labels, Photo, Values
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset, grey_palette
from tiny_networks import UNET_LAYERS, tiny_segnet, tiny_unet

COUNT = 6
TRAIN = MemoryDataset(COUNT, attributes={"img_1": {"wall": "red"}})


def test_what_a_bank_knows(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), None, "encoder_3")
    built = build(tmp_path / "bank", network, TRAIN)
    for bank in (built, Bank(str(tmp_path / "bank"))):
        assert len(bank) == COUNT
        assert bank.names == TRAIN.names
        assert [bank.index(name) for name in TRAIN.names] == list(range(COUNT))
        assert bank.attributes == {"img_1": {"wall": "red"}}
        assert bank.layers == network.layers
        assert tuple(bank.layers) == UNET_LAYERS
        assert bank.descriptor == "encoder_3"
        assert bank.dtype == "float16"
        assert bank.input_kind == bank.target_kind == Photo()
        assert bank.network == network.identity()
        assert bank.preprocessing == network.preprocessing
        assert bank.skipped == ()
        bank.verify()
        assert repr(bank) == (
            f"Bank({str(tmp_path / 'bank')!r}: {COUNT} images, float16, "
            f"layers {', '.join(UNET_LAYERS)}, descriptor encoder_3)"
        )


def test_a_bank_knows_what_its_pictures_are(tmp_path: Path) -> None:
    for classes, unit, kind in (
        (5, None, Labels(grey_palette(5))),
        (None, "m", Values("m", (-1, 1))),
    ):
        path = tiny_segnet(tmp_path / "segnet.onnx", classes=classes or 1)
        pairs = MemoryDataset(2, (24, 32), classes=classes, unit=unit)
        bank = build(tmp_path / kind.name, OnnxNetwork(path, ["encoder_1"]), pairs)
        assert bank.input_kind == Photo()
        assert bank.target_kind == kind
        assert bank.descriptor is None
