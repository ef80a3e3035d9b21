"""Live PyTorch modules: activations, outputs and maps are their own, and they stay as they were."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compnn
from compnn.errors import ImageError, LayerError, NetworkError
from compnn.network.geometry import AxisMap

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'compnn[torch]'")
nn = torch.nn

SIZE = (32, 48)


class Net(nn.Module):
    """Down by 4 and up again; what it returns is made by `wrap`."""

    def __init__(self, wrap: Callable[[Any, Any], Any] = lambda out, aux: out) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.5)
        )
        self.deep = nn.Conv2d(6, 8, 3, 2, 1)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.head = nn.Conv2d(8, 5, 1)
        self.aux = nn.Conv2d(6, 5, 1)
        self.wrap = wrap

    def forward(self, image: Any) -> Any:
        fine = self.down(image)
        aux = self.up(self.aux(fine))
        return self.wrap(self.up(self.up(self.head(self.deep(fine)))), aux)


@dataclass
class Result:
    loss: None
    logits: Any


def network(module: Any, layers: Any = None, **options: Any) -> Any:
    return compnn.TorchNetwork(module, layers, **{"size": SIZE, "range": (-1, 1)} | options)


def picture(seed: int = 0, size: tuple[int, int] = SIZE) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def values(image: Any) -> Any:
    return torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1)


def test_activations_output_and_maps_are_the_modules() -> None:
    module = Net().eval()
    net = network(module, {"fine": "down.1", "coarse": "deep"}, descriptor="deep")
    reading = net.read(picture(), ["fine", "coarse"], output=True)
    with torch.no_grad():
        # Before the rectifier, which works in place.
        fine = module.down[1](module.down[0](values(picture())))
        expected = {"fine": fine.clone(), "coarse": module.deep(torch.relu(fine))}
        output = module(values(picture()))
    for name, numbers in expected.items():
        np.testing.assert_allclose(reading.taps[name], numbers[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(reading.output, output[0].numpy(), atol=1e-5)
    looks = net.layers["fine"].geometry.looks[0], net.layers["coarse"].geometry.looks[0]
    assert looks == (AxisMap(Fraction(2), Fraction(-1, 2)), AxisMap(Fraction(4), Fraction(-3, 2)))
    assert net.layers["coarse"].geometry.paints[1] == AxisMap(Fraction(4))
    assert net.layers["coarse"].geometry.note == ""
    assert net.tap_shape("deep") == (8, 12, 8)
    assert {"down", "head", "down.0", "aux"} <= {layer.name for layer in net.taps()}


def test_evaluation_mode_is_for_the_run_only() -> None:
    module = Net().train()
    module.deep.eval()
    flags = [each.training for each in module.modules()]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    net = network(module, ["deep"])
    first, second = (net.read(picture(), ["deep"]).taps["deep"] for _ in range(2))
    np.testing.assert_array_equal(first, second)  # no dropout
    assert [each.training for each in module.modules()] == flags
    assert not any(each._forward_hooks for each in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    module(values(picture())).sum().backward()  # it can be trained still


def test_after_an_error_the_module_is_as_it_was() -> None:
    class Breaks(Net):
        def forward(self, image: Any) -> Any:
            if self.broken:
                self.down(image)
                raise ValueError("no more")
            return super().forward(image)

    module = Breaks().train()
    module.broken = False
    net = network(module, ["deep"])
    module.broken = True
    with pytest.raises(NetworkError, match=r"Breaks does not run .* no more"):
        net.read(picture(), ["deep"])
    assert all(each.training for each in module.modules())
    assert not any(each._forward_hooks for each in module.modules())


@pytest.mark.parametrize(
    ("wrap", "output"),
    [
        (lambda out, aux: {"aux": aux, "out": out}, None),
        (lambda out, aux: {"out": out, "aux": aux}, "out"),
        (lambda out, aux: (aux, out), None),
        (lambda out, aux: [out, aux], 0),
        (lambda out, aux: (out.mean((2, 3)), {"deep": [out]}), "1.deep.0"),
        (lambda out, aux: Result(None, out), "logits"),
    ],
)
def test_the_output_is_found_in_what_the_module_returns(wrap: Any, output: Any) -> None:
    net = network(Net(wrap), ["deep"], output=output)
    plain = network(Net(), ["deep"])
    found, expected = (each.read(picture(), [], output=True).output for each in (net, plain))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_another_output_is_chosen_by_its_key() -> None:
    net = network(Net(lambda out, aux: {"out": out, "aux": aux}), ["deep"], output="aux")
    module = Net().eval()
    with torch.no_grad():
        aux = module.up(module.aux(module.down(values(picture()))))
    np.testing.assert_allclose(
        net.read(picture(), [], output=True).output, aux[0].numpy(), atol=1e-6
    )
    with pytest.raises(NetworkError, match="no per-pixel output 'logits'; choose 'out' or 'aux'"):
        network(Net(lambda out, aux: {"out": out, "aux": aux}), ["deep"], output="logits")


def test_calls_of_a_module_are_told_apart() -> None:
    with pytest.raises(LayerError, match=r"'up' of Net is called 3 times; .* up#1 .* up#3"):
        network(Net(), ["up"])
    net = network(Net(), {"a": "up#2", "b": "up#3"})
    assert (net.layers["a"].shape, net.layers["b"].shape) == ((16, 24, 5), (32, 48, 5))
    found = net.read(picture(), ["b"], output=True)
    np.testing.assert_array_equal(found.taps["b"], found.output)
    with pytest.raises(LayerError, match="no call '4'; they are 1 to 3"):
        network(Net(), ["up#4"])


def test_submodules_that_do_not_exist_are_named() -> None:
    with pytest.raises(LayerError, match="no submodule 'depe'; nearest: deep"):
        network(Net(), ["depe"])
    net = network(Net(), ["deep"])
    with pytest.raises(LayerError, match=r"no submodule 'down\.9'"):
        net.read(picture(), ["down.9"])
    module = Net()
    module.idle = nn.Conv2d(3, 3, 1)
    with pytest.raises(LayerError, match="'idle' of Net is not called"):
        network(module, ["idle"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_modules_of_other_types(dtype: str) -> None:
    net = network(Net().to(getattr(torch, dtype)), ["deep"])
    plain = network(Net(), ["deep"])
    found, expected = (each.read(picture(), ["deep"]).taps["deep"] for each in (net, plain))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert net.layers == plain.layers
    assert next(net.module.parameters()).dtype == getattr(torch, dtype)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("is_normalised", [False, True])
def test_images_have_the_channels_that_the_module_takes(channels: int, is_normalised: bool) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(channels, 5, 3, 2, 1), nn.Upsample(scale_factor=2))
    scale: dict[str, Any] = {"range": (0, 1)}
    if is_normalised:
        scale = {"range": None, "mean": (0.0,) * channels, "std": (1.0,) * channels}
    found = network(module, ["0"], **scale)
    shape = (*SIZE, 3 if channels == 1 else channels)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    values = found.preprocessing.apply(image[None], channels)
    with torch.no_grad():
        expected = module[0](torch.from_numpy(values))[0].numpy()
    np.testing.assert_allclose(found.read(image, ["0"]).tap("0"), expected, atol=1e-5)
    images = "RGB images" if shape[2] == 3 else f"images of {shape[2]} channels"
    with pytest.raises(ImageError, match=rf"takes {images}, uint8 \(H, W, {shape[2]}\)$"):
        found.read(image[..., :-1], ["0"])


def test_images_of_any_size() -> None:
    net = network(Net(), ["deep"], size=None)
    assert net.input_size is None
    for size in ((32, 32), (37, 50)):
        found = net.read(picture(size=size), ["deep"])
        layer = net.layer("deep", size)
        assert found.taps["deep"].shape[1:] == layer.shape[:2]
        assert layer.image_size == size
        assert layer.geometry.looks[0] == AxisMap(Fraction(4), Fraction(-3, 2))


def test_images_of_another_size_are_refused_or_fitted() -> None:
    with pytest.raises(ImageError, match=r"40x48.*takes 32x48; resize it"):
        network(Net(), ["deep"]).read(picture(size=(40, 48)), ["deep"])
    fitted = network(Net(), ["deep"], resize=True)
    assert fitted.read(picture(size=(40, 48)), ["deep"]).image.shape == (*SIZE, 3)


def test_tokens_and_channels_last() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed = nn.Conv2d(3, 8, 8, 8)
            self.rows = nn.Identity()
            self.last = nn.Identity()
            self.norm = nn.LayerNorm(8)
            self.register_buffer("token", torch.randn(1, 1, 8))
            self.head = nn.Conv2d(8, 4, 1)

        def forward(self, image: Any) -> Any:
            maps = self.embed(image)
            last = self.last(maps.permute(0, 2, 3, 1) * 2)
            rows = self.norm(torch.cat([self.token, last.flatten(1, 2)], 1))
            h, w = maps.shape[2:]
            return self.head(rows[:, 1:].transpose(1, 2).reshape(1, 8, h, w))

    module = Tokens().eval()
    net = network(module, ["norm", "last", "embed"])
    assert {layer.shape for layer in net.layers.values()} == {(4, 6, 8)}
    assert net.layers["norm"].hyperpatch == (1, 1)
    taps = net.read(picture(), ["norm", "last", "embed"]).taps
    with torch.no_grad():
        maps = module.embed(values(picture()))
        tokens = module.norm(2 * maps[0].permute(1, 2, 0))
    np.testing.assert_allclose(taps["last"], 2 * maps[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(taps["norm"], tokens.permute(2, 0, 1).numpy(), atol=1e-5)


def test_where_the_module_cannot_be_exported_sizes_tell() -> None:
    class Opaque(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, maps: Any) -> Any:
            return torch.from_numpy(np.ascontiguousarray(maps.numpy()[..., ::-1]))

    class Live(Net):
        def forward(self, image: Any) -> Any:
            if torch.jit.is_tracing() or torch.compiler.is_exporting():
                raise RuntimeError("only live")
            return super().forward(Opaque.apply(image))

    with pytest.warns(UserWarning, match=r"cannot export Live .* only live.*by their sizes only"):
        net = network(Live(lambda out, aux: {"aux": aux, "out": out}), ["deep"])
    assert net.layers["deep"].geometry.note == "by sizes only"
    assert net.layers["deep"].geometry.looks == (AxisMap(Fraction(4)), AxisMap(Fraction(4)))
    reading = net.read(picture(), ["deep"], output=True)
    assert net.paint(reading.output, SIZE, None).shape == SIZE
    expected = network(Net(), ["deep"]).read(np.ascontiguousarray(picture()[:, ::-1]), ["deep"])
    np.testing.assert_allclose(reading.taps["deep"], expected.taps["deep"], atol=1e-5)


def test_what_is_called_only_where_nothing_is_exported_is_named() -> None:
    """As the pyramid of segmentation-models-pytorch's PSPNet, which asks whether it is exported."""

    class Asking(Net):
        def __init__(self) -> None:
            super().__init__()
            self.live = nn.Conv2d(3, 3, 1)

        def forward(self, image: Any) -> Any:
            exported = torch.onnx.is_in_onnx_export()
            return super().forward(image if exported else self.live(image))

    said = "'live' is called when it runs, but not when it is exported; leave it out of the layers"
    with pytest.warns(UserWarning, match=f"cannot export Asking to ONNX: {said}.* sizes only"):
        net = network(Asking(), ["live", "deep"])
    assert net.layers["deep"].geometry.note == "by sizes only"
    assert network(Asking(), ["deep"]).layers["deep"].geometry.note == ""


def test_identity_is_of_weights_buffers_and_structure() -> None:
    module = Net()
    first = network(module, ["deep"]).identity()
    assert (first.kind, first.path) == ("torch", None)
    assert network(Net(), ["head"], size=None).identity() == first
    module.down[1].running_mean += 1e-3
    assert network(module, ["deep"]).identity() != first
    other = Net()
    other.down[2] = nn.GELU()
    assert network(other, ["deep"]).identity() != first


class Plain(Net):
    """It can be pickled, other than what has a function of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.wrap = tuple

    def forward(self, image: Any) -> Any:
        return self.head(self.up(self.deep(self.down(image))))


def test_pickled_networks_give_the_same() -> None:
    sys.modules.setdefault(Plain.__module__, sys.modules[__name__])
    net = network(Plain(), ["deep"])
    other = pickle.loads(pickle.dumps(net))
    assert other.layers == net.layers
    assert other.identity() == net.identity()
    np.testing.assert_array_equal(
        other.read(picture(), ["deep"]).taps["deep"], net.read(picture(), ["deep"]).taps["deep"]
    )


def test_threads_run_one_module_at_the_same_time() -> None:
    net = network(Net().train(), ["deep", "head"])
    alone = [net.read(picture(seed), ["deep"]).taps["deep"] for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(net.with_threads(1).read, picture(s), ["deep"]) for s in range(8)]
        for job, expected in zip(jobs, alone, strict=True):
            np.testing.assert_array_equal(job.result().taps["deep"], expected)
    assert all(each.training for each in net.module.modules())
    assert not any(each._forward_hooks for each in net.module.modules())


def test_what_is_missing_is_said() -> None:
    with pytest.raises(NetworkError, match=r"range of values .* `range=\(lo, hi\)`"):
        compnn.TorchNetwork(Net(), ["deep"], size=SIZE)
    with pytest.raises(NetworkError, match="not both"):
        network(Net(), preprocessing=compnn.Preprocessing(range=(0, 1)))
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(NetworkError, match="Sequential has no per-pixel output"):
        network(pooled, ["0"], output_kind="logits")


POOLED = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
COLOURS = [nn.Conv2d(4, 3, 1)]


@pytest.mark.parametrize(
    ("end", "choice", "exported"),
    [
        (POOLED, {}, True),
        (POOLED, {}, False),
        ([nn.ReLU()], {}, True),  # that these are features only operators say
        (COLOURS, {"output_kind": "none"}, True),
        (COLOURS, {"output_kind": "none"}, False),
    ],
)
def test_backbones(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: list[Any],
    choice: dict[str, Any],
    exported: bool,
) -> None:
    """A module without a picture has maps, and a file that says so."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), *end)
    if not exported:

        def fails(*args: object, **options: object) -> None:
            raise NetworkError("PyTorch cannot export it")

        monkeypatch.setattr("compnn.network.torch.graph_of", fails)
    with nullcontext() if exported else pytest.warns(UserWarning, match="sizes only"):
        found = network(module, ["0"], **choice)
    assert found.output_name is None
    assert found.describe_output(compnn.Photo()).startswith("no output: ")
    assert found.output_size(SIZE) == SIZE
    reading = found.read(picture(), ["0"], output=True)
    assert reading.output is None
    with torch.no_grad():
        expected = module[0](values(picture()))[0].numpy()
    np.testing.assert_allclose(reading.tap("0"), expected, atol=1e-5)
    if exported:
        file = compnn.export(
            module, tmp_path / "net.onnx", layers={"map": "0"}, size=SIZE, range=(-1, 1), **choice
        )
        opened = compnn.OnnxNetwork(file)
        assert opened.output_name is None
        np.testing.assert_allclose(
            opened.read(picture(), ["map"]).tap("map"), reading.tap("0"), atol=1e-5
        )


def test_a_module_and_its_file_give_the_same(shared: Path) -> None:
    models = shared / "models"
    space: dict[str, Any] = {"__name__": "unet"}
    exec((models / "unet_camvid_128.py").read_text(), space)
    scale = compnn.Preprocessing(
        size=(128, 128), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    live = compnn.TorchNetwork(
        space["load"](models / "unet-camvid-128.pt"), ["u2"], preprocessing=scale
    )
    tensor = "/u2/c/c.5/Relu_output_0"
    file = compnn.OnnxNetwork(models / "unet-camvid-128.onnx", [tensor], preprocessing=scale)
    ours = live.read(picture(size=(128, 128)), ["u2"], output=True)
    theirs = file.read(picture(size=(128, 128)), [tensor], output=True)
    assert live.layers["u2"].geometry == file.layers[tensor].geometry
    for one, other in ((ours.tap("u2"), theirs.tap(tensor)), (ours.output, theirs.output)):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one, other, atol=1e-3 * np.abs(other).max())
