"""A bank of the paper's pairs and network."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from compnn.bank.bank import Bank
from stores import load, python


def test_real_facades(shared: Path, tmp_path: Path) -> None:
    """Sizes of Table 3, in bounded memory."""
    path = tmp_path / "facades.bank"
    program = f"""
        from pathlib import Path
        from compnn import Labels, OnnxNetwork, SideBySide
        from compnn.bank.bank import build

        shared = Path({str(shared)!r})
        kind = Labels("facades")
        pairs = SideBySide(shared / "data/facades/train", input="right", input_kind=kind)
        layers = ["encoder_1", "encoder_3", "decoder_4", "decoder_2"]
        file = shared / "models/pix2pix-facades-labels-to-photo.onnx"
        network = OnnxNetwork(file, layers, "decoder_7")
        build({str(path)!r}, network, pairs.subset(pairs.names[:4]))
        status = Path("/proc/self/status")
        print(status.read_text() if status.exists() else "")
    """
    with python(program, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    bank = Bank(path)
    assert bank.layers["decoder_2"].shape == (128, 128, 128)
    cells = load(path, "activations/decoder_2.npy")
    assert cells.shape == (4 * 128 * 128, *bank.kept("decoder_2"))
    # A window of 4x4 pixels has 48 numbers, whatever the network makes of it.
    assert bank.kept("encoder_1") == (48,)
    bank.verify()
    for peak_kilobytes in re.findall(rb"VmHWM:\s+(\d+) kB", output):
        assert int(peak_kilobytes) < 1_500_000
