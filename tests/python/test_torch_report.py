"""From a module and a dataset of tensors to a report, as the README has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compnn
from documents import python_blocks
from memory_dataset import grey_palette

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'compnn[torch]'")
nn = torch.nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Scenes(torch.utils.data.Dataset):  # type: ignore[misc]
    """Normalised photos of noise, and which of three classes each pixel is of."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        torch.manual_seed(index)
        image = torch.randint(0, 256, (3, 32, 48)) / 255
        mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
        return (image - mean) / std, image.argmax(0)


def unet() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 1)
    ).train()


def test_the_six_lines_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small module and few pairs."""
    torch.manual_seed(0)
    camvid = compnn.Labels("camvid")
    module = nn.Sequential()
    module.add_module("u2", nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()))
    module.add_module("up", nn.Upsample(scale_factor=2))
    module.add_module("head", nn.Conv2d(8, camvid.palette.void or len(camvid.palette), 1))
    scenes = [Scenes()[index][0].repeat(1, 4, 3)[:, :, :128] for index in range(4)]
    with torch.no_grad():
        dataset = [(image, module(image[None]).argmax(1)[0]) for image in scenes]
    (_, code, _) = python_blocks("README.md")
    lines = code.strip().splitlines()
    assert len(lines) == 6
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {"compnn": compnn, "module": module.train(), "dataset": dataset}
    exec(compile(code, "README.md", "exec"), found)

    result = found["result"]
    np.testing.assert_allclose(result.field.similarity[0], 1, atol=1e-3)
    np.testing.assert_array_equal(result.output, dataset[0][1].numpy())
    assert (result.network_output == dataset[0][1].numpy()).mean() > 0.999
    assert {source.name for source in result.sources()} == {"0"}
    assert compnn.Explanation.load("report").layer.name == "decoder_2"
    assert module.training


def test_a_module_and_its_file_explain_alike(tmp_path: Path) -> None:
    module, pairs = (
        unet(),
        compnn.pairs(Scenes(), target_kind=compnn.Labels(grey_palette(3)), mean=MEAN, std=STD),
    )
    options: dict[str, Any] = {"layers": {"half": "1"}, "size": (32, 48), "mean": MEAN, "std": STD}
    live = compnn.TorchNetwork(module, **options)
    file = compnn.OnnxNetwork(compnn.export(module, tmp_path / "net.onnx", **options))
    found = []
    for number, (network, form) in enumerate(((live, file), (file, live))):
        bank = compnn.build(tmp_path / f"{number}.bank", network, pairs.subset(pairs.names[1:]))
        with pytest.warns(UserWarning, match="another form of the bank's network"):
            explainers = [compnn.Explainer(bank, each) for each in (network, form)]
        for explainer in explainers:
            found.append(explainer.explain(pairs[0].input, "half", compnn.Exhaustive()))
    one, *others = found
    for other in others:
        np.testing.assert_allclose(one.field.similarity, other.field.similarity, atol=1e-3)
        assert (one.output == other.output).mean() > 0.99
        assert (one.network_output == other.network_output).mean() > 0.999
    with torch.no_grad():
        module[0].weight *= 1.01
    with pytest.raises(compnn.CompnnError, match=r"not with a torch network .* differs by"):
        compnn.Explainer(bank, live)


def test_another_module_is_refused(tmp_path: Path) -> None:
    pairs = compnn.pairs(Scenes(), target_kind=compnn.Labels(grey_palette(3)), mean=MEAN, std=STD)
    module = unet()
    network = compnn.TorchNetwork(module, {"half": "1"}, size=(32, 48), mean=MEAN, std=STD)
    bank = compnn.build(tmp_path / "scenes.bank", network, pairs)
    with torch.no_grad():
        module[0].bias += 1
    with pytest.raises(compnn.CompnnError, match="was built with a torch network without a file"):
        compnn.Explainer(bank, network)
    with pytest.raises(compnn.CompnnError, match=r"give the network: `Explainer\(bank, network\)`"):
        compnn.Explainer(bank)


def test_dropout_that_is_left_on_is_refused(tmp_path: Path) -> None:
    class Dropped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = unet()

        def forward(self, image: Any) -> Any:
            return self.net(nn.functional.dropout(image))

    pairs = compnn.pairs(Scenes(), target_kind=compnn.Labels(grey_palette(3)), mean=MEAN, std=STD)
    network = compnn.TorchNetwork(Dropped(), ["net.1"], size=(32, 48), mean=MEAN, std=STD)
    with pytest.raises(compnn.CompnnError, match=r"Dropped is random"):
        compnn.build(tmp_path / "scenes.bank", network, pairs)
