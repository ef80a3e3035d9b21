"""Trains the demo's network: a small Pix2Pix, from label maps to photos of made-up facades.

The file that ships with compnn, python/compnn/demo/unet.onnx, was made with

    python examples/train_demo_network.py

Needs PyTorch and onnx beside compnn. U-Net (kernels of 4, strides of 2, skip connections) and
discriminator are those of Isola et al., "Image-to-Image Translation with Conditional Adversarial
Networks", with fewer features. Batch normalisation is folded into the weights, and these are stored
as int8 with a scale per output channel. Where the C library returns freed memory at once, training
is several times faster with MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from compnn.demo.facades import DemoFacades

Convolution = nn.Conv2d | nn.ConvTranspose2d
WIDTHS = (32, 64, 96, 128, 128, 128, 128)
"""Features of encoder_1 to encoder_7."""
PLAIN_SHARE = 0.4
"""Share of the epochs before the discriminator joins: it sharpens details only."""
SHIPPED = Path(__file__).resolve().parents[1] / "python/compnn/demo/unet.onnx"


class UNet(nn.Module):
    """Label map in, photo out, both (B, 3, 256, 256) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        depth = len(WIDTHS)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for k, width in enumerate(WIDTHS):
            before = WIDTHS[k - 1] if k else 3
            normed = 0 < k < depth - 1
            self.encoder.append(_layer(nn.Conv2d(before, width, 4, 2, 1), normed))
        for k in range(depth - 1, -1, -1):
            before = WIDTHS[k] if k == depth - 1 else 2 * WIDTHS[k]
            after = WIDTHS[k - 1] if k else 3
            self.decoder.append(_layer(nn.ConvTranspose2d(before, after, 4, 2, 1), k > 0))

    def forward(self, images: Tensor) -> Tensor:
        encoded: list[Tensor] = []
        hidden = images
        for k, layer in enumerate(self.encoder):
            hidden = layer(functional.leaky_relu(hidden, 0.2) if k else hidden)
            encoded.append(hidden)
        for k, layer in enumerate(self.decoder):
            hidden = layer(functional.relu(hidden))
            if k < len(self.decoder) - 1:
                hidden = torch.cat([hidden, encoded[-2 - k]], 1)
        return torch.tanh(hidden.float())


def _layer(convolution: Convolution, normed: bool) -> nn.Sequential:
    norm = nn.BatchNorm2d(convolution.out_channels) if normed else nn.Identity()
    return nn.Sequential(convolution, norm)


class Discriminator(nn.Module):
    """PatchGAN: judges overlapping patches of photo and label map; returns all activations."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(6, 32, 4, 2, 1),
                nn.Conv2d(32, 64, 4, 2, 1),
                nn.Conv2d(64, 96, 4, 2, 1),
                nn.Conv2d(96, 1, 3, 1, 1),
            ]
        )

    def forward(self, labels: Tensor, photos: Tensor) -> list[Tensor]:
        hidden = torch.cat([labels, photos], 1)
        activations = []
        for k, layer in enumerate(self.layers):
            hidden = layer(functional.leaky_relu(hidden, 0.2) if k else hidden)
            activations.append(hidden)
        return activations


def load(split: str, count: int) -> tuple[Tensor, Tensor]:
    """Label maps and photos of a split, each uint8 (N, 3, 256, 256)."""
    pairs = list(DemoFacades(split, count))
    inputs = np.stack([pair.input for pair in pairs]).transpose(0, 3, 1, 2)
    targets = np.stack([pair.target for pair in pairs]).transpose(0, 3, 1, 2)
    return torch.from_numpy(inputs.copy()), torch.from_numpy(targets.copy())


def to_range(images: Tensor) -> Tensor:
    """Maps 0..255 to [-1, 1]."""
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def edges(first: Tensor, second: Tensor) -> Tensor:
    """Mean difference of the gradients of two images at two scales: keeps edges crisp."""
    total = torch.zeros(())
    for _ in range(2):
        difference = first - second
        total = total + difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
        first, second = functional.avg_pool2d(first, 2), functional.avg_pool2d(second, 2)
    return total


def train(facades: int, epochs: int, batch: int, seed: int, path: Path) -> UNet:
    """The trained network, its weights averaged over the last steps, in evaluation mode.

    Writes it to `path` after each epoch.
    """
    torch.manual_seed(seed)
    started = time.perf_counter()
    labels, photos = load("train", facades)
    print(f"made {facades} facades in {time.perf_counter() - started:.0f} s", flush=True)
    network, judge = UNet(), Discriminator()
    average = copy.deepcopy(network)
    steps = epochs * (facades // batch)
    painter = torch.optim.Adam(network.parameters(), 1.5e-3, betas=(0.5, 0.99))
    critic = torch.optim.Adam(judge.parameters(), 3e-4, betas=(0.5, 0.99))
    plain, step = round(epochs * PLAIN_SHARE), 0
    for epoch in range(epochs):
        order = torch.randperm(facades)
        sums = np.zeros(3)
        for start in range(0, facades - batch + 1, batch):
            chosen = order[start : start + batch]
            # Rates rise briefly, then fall to zero along a straight line.
            rate = min(1.0, (step + 1) / 200) * min(1.0, 1.5 * (1 - step / steps))
            painter.param_groups[0]["lr"], critic.param_groups[0]["lr"] = 1.5e-3 * rate, 3e-4 * rate
            given, wanted = to_range(labels[chosen]), to_range(photos[chosen])
            if epoch < plain:
                sums += _plain_step(network, painter, given, wanted)
            else:
                sums += _adversarial_step(network, judge, painter, critic, given, wanted)
            keep = min(0.998, step / (step + 10))
            with torch.no_grad():
                for old, new in zip(
                    average.state_dict().values(), network.state_dict().values(), strict=True
                ):
                    if old.is_floating_point():
                        old.lerp_(new, 1 - keep)
            step += 1
        sums /= facades // batch
        print(
            f"epoch {epoch + 1}/{epochs}: L1 {sums[0]:.4f}, adversarial {sums[1]:.3f}, "
            f"discriminator {sums[2]:.3f}, {time.perf_counter() - started:.0f} s",
            flush=True,
        )
        export(average.eval(), path, facades)
    return average


def _plain_step(
    network: UNet, painter: torch.optim.Optimizer, given: Tensor, wanted: Tensor
) -> npt.NDArray[np.float64]:
    """One step towards the photos alone; returns L1 and zeros for the losses it does not have."""
    with torch.autocast("cpu", torch.bfloat16):
        painted = network(given)
    distance = (painted - wanted).abs().mean()
    painter.zero_grad(set_to_none=True)
    (40 * distance + 20 * edges(painted, wanted)).backward()
    painter.step()
    return np.array([distance.item(), 0, 0])


def _adversarial_step(
    network: UNet,
    judge: Discriminator,
    painter: torch.optim.Optimizer,
    critic: torch.optim.Optimizer,
    given: Tensor,
    wanted: Tensor,
) -> npt.NDArray[np.float64]:
    """One step of both networks; returns L1, the adversarial and the discriminator's loss."""
    # The discriminator judges textures: a quarter of the picture, elsewhere every time, is enough.
    top, left = (8 * int(k) for k in torch.randint(0, 17, (2,)))
    window = (..., slice(top, top + 128), slice(left, left + 128))
    with torch.autocast("cpu", torch.bfloat16):
        painted = network(given)
        fakes = judge(given[window], painted[window].detach())[-1].float()
        reals = judge(given[window], wanted[window])
    critic_loss = ((reals[-1].float() - 1) ** 2).mean() + (fakes**2).mean()
    critic.zero_grad(set_to_none=True)
    critic_loss.backward()
    critic.step()
    judge.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        fooled = judge(given[window], painted[window])
    judge.requires_grad_(True)
    adversarial = ((fooled[-1].float() - 1) ** 2).mean()
    likeness = torch.zeros(())
    for fake, real in zip(fooled[:-1], reals[:-1], strict=True):
        likeness = likeness + (fake.float() - real.detach().float()).abs().mean()
    distance = (painted - wanted).abs().mean()
    loss = 25 * distance + 15 * edges(painted, wanted) + adversarial + 8 * likeness
    painter.zero_grad(set_to_none=True)
    loss.backward()
    painter.step()
    return np.array([distance.item(), adversarial.item(), critic_loss.item()])


def folded(layer: nn.Sequential) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weight and bias of a convolution with its batch normalisation folded in."""
    convolution, norm = layer
    parts = {name: values.detach() for name, values in layer.state_dict().items()}
    weight, bias = parts["0.weight"], parts["0.bias"]
    if isinstance(norm, nn.BatchNorm2d):
        factor = parts["1.weight"] / torch.sqrt(parts["1.running_var"] + norm.eps)
        bias = (bias - parts["1.running_mean"]) * factor + parts["1.bias"]
        shape = (1, -1, 1, 1) if isinstance(convolution, nn.ConvTranspose2d) else (-1, 1, 1, 1)
        weight = weight * factor.reshape(shape)
    return weight.contiguous().numpy(), bias.numpy()


class Graph:
    """An ONNX graph under construction: nodes and weights in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def weight(self, name: str, values: npt.NDArray[np.float32], channel_axis: int) -> str:
        """Weights as int8, a scale for each output channel, widened to float32 by the graph."""
        others = tuple(axis for axis in range(values.ndim) if axis != channel_axis)
        largest = np.abs(values).max(axis=others, keepdims=True)
        scale = (np.maximum(largest, 1e-12) / 127).astype(np.float32)
        small = np.round(values / scale).astype(np.int8)
        self.constant(f"{name}.int8", small)
        self.constant(f"{name}.scale", scale)
        self.node("Cast", [f"{name}.int8"], f"{name}.cast", to=TensorProto.FLOAT)
        return self.node("Mul", [f"{name}.cast", f"{name}.scale"], name)

    def convolution(self, name: str, source: str, layer: nn.Module, output: str) -> str:
        assert isinstance(layer, nn.Sequential)
        transposed = isinstance(layer[0], nn.ConvTranspose2d)
        values, bias = folded(layer)
        if 3 in values.shape[:2]:
            # The first and the last layer are small, and quantising them would show most.
            weight = self.constant(f"{name}.weight", values)
        else:
            weight = self.weight(f"{name}.weight", values, 1 if transposed else 0)
        inputs = [source, weight, self.constant(f"{name}.bias", bias)]
        kind = "ConvTranspose" if transposed else "Conv"
        return self.node(
            kind, inputs, output, kernel_shape=[4, 4], strides=[2, 2], pads=[1, 1, 1, 1]
        )


def export(network: UNet, path: Path, facades: int) -> None:
    """Writes the network as ONNX, its activations named as in Pix2Pix: encoder_k, decoder_k."""
    depth, graph, source = len(WIDTHS), Graph(), "input"
    for k, layer in enumerate(network.encoder, start=1):
        if k > 1:
            source = graph.node("LeakyRelu", [source], f"encoder_{k - 1}.relu", alpha=0.2)
        source = graph.convolution(f"encoder_{k}", source, layer, f"encoder_{k}")
    for k, layer in zip(range(depth, 0, -1), network.decoder, strict=True):
        source = graph.node("Relu", [source], f"{source}.positive")
        source = graph.convolution(f"decoder_{k}", source, layer, f"decoder_{k}.up")
        if k > 1:
            source = graph.node("Concat", [source, f"encoder_{k - 1}"], f"decoder_{k}", axis=1)
    graph.node("Tanh", [source], "output")
    image: list[str | int] = ["batch", 3, 256, 256]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "demo-facades",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, image)],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, image)],
            graph.weights,
        ),
        producer_name="compnn examples/train_demo_network.py",
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    layers = [f"encoder_{k}" for k in range(1, depth + 1)]
    layers += [f"decoder_{k}" for k in range(depth, 1, -1)]
    helper.set_model_props(
        model,
        {
            "description": f"Small Pix2Pix U-Net, labels to photo, trained on {facades} made-up "
            "facades of compnn's demo. Input and output: RGB in [-1, 1], NCHW, 256x256. Batch "
            "normalisation is folded into the weights, which are int8 with a scale per output "
            "channel.",
            "input_range": "[-1, 1]",
            "output_range": "[-1, 1]",
            "layers": ",".join(layers),
        },
    )
    onnx.checker.check_model(model, full_check=True)
    partial = path.with_name(path.name + ".partial")
    onnx.save(model, partial)
    os.replace(partial, path)


def check(network: UNet, path: Path) -> None:
    """Compares the file with the network on the held-out facades, and says how near both are."""
    labels, photos = load("held-out", 8)
    given, wanted = to_range(labels), to_range(photos)
    with torch.no_grad():
        expected = network(given).numpy()
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    started = time.perf_counter()
    images = given.contiguous().numpy()
    found = np.concatenate(
        [session.run(["output"], {"input": images[k : k + 1]})[0] for k in range(len(images))]
    )
    per_image = (time.perf_counter() - started) / len(images)
    rounding = float(np.abs(found - expected).mean())
    error = float(np.abs(found - wanted.numpy()).mean())
    print(
        f"{path}: {path.stat().st_size / 1e6:.2f} MB, {per_image * 1e3:.0f} ms an image, "
        f"held-out L1 {error:.4f}, lost to int8 {rounding:.4f}"
    )
    if rounding > 0.03:
        raise SystemExit("the int8 weights change the pictures; the file is not good to ship")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the network of compnn's demo.")
    parser.add_argument("--output", type=Path, default=SHIPPED, help="ONNX file to write")
    parser.add_argument("--facades", type=int, default=1000, help="facades to train on")
    parser.add_argument("--epochs", type=int, default=9, help="times that each is shown")
    parser.add_argument("--batch", type=int, default=4, help="facades in one step")
    parser.add_argument("--threads", type=int, default=1, help="processor cores to use")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights and the order")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = train(options.facades, options.epochs, options.batch, options.seed, options.output)
    check(network, options.output)


if __name__ == "__main__":
    main()
