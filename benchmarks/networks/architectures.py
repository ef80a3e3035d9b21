"""Real architectures with random weights: made, run and exported by PyTorch.

They come from timm, segmentation-models-pytorch and torchvision, where these are installed.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

Size: TypeAlias = tuple[int, int]
"""(height, width)."""

EXPORTERS = ("dynamo", "script")
# A few activations of each network are kept, of tensors of different shapes.
_MOST_ACTIVATIONS = 8
# Above that an activation is left out, to keep the files small.
_LARGEST = 4_000_000


def _complete_torchvision() -> torch.library.Library | None:
    """What lets torchvision be imported where its library wants another PyTorch.

    PyPI's torchvision wants a PyTorch with CUDA. Beside one without it, its import stumbles over
    two operators that are not there. Nothing here calls them.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    try:
        for library in Path(spec.origin).parent.glob("_C*.so"):
            torch.ops.load_library(library)
    except OSError:
        defined = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            defined.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return defined
    return None


_TORCHVISION = _complete_torchvision()  # forgotten when it is collected


@dataclass(frozen=True)
class Architecture:
    """A network by name: what makes it, and the size of its picture.

    `short`: whether it is one of the few that are tried everywhere.
    """

    name: str
    make: Callable[[], torch.nn.Module]
    size: Size
    short: bool = False


def _timm(name: str, **options: Any) -> Callable[[], torch.nn.Module]:
    def make() -> torch.nn.Module:
        import timm

        model: torch.nn.Module = timm.create_model(name, pretrained=False, **options)
        model.forward = model.forward_features  # its tokens or last map, not classes
        return model

    return make


def _pyramid(name: str) -> Callable[[], torch.nn.Module]:
    def make() -> torch.nn.Module:
        import timm

        features: torch.nn.Module = timm.create_model(name, pretrained=False, features_only=True)
        return features

    return make


def _smp(decoder: str, encoder: str, **options: Any) -> Callable[[], torch.nn.Module]:
    def make() -> torch.nn.Module:
        import segmentation_models_pytorch as smp

        model: torch.nn.Module = getattr(smp, decoder)(
            encoder_name=encoder, encoder_weights=None, classes=7, **options
        )
        return model

    return make


def _torchvision(name: str) -> Callable[[], torch.nn.Module]:
    def make() -> torch.nn.Module:
        import torchvision

        model: torch.nn.Module = getattr(torchvision.models.segmentation, name)(
            weights=None, weights_backbone=None, num_classes=7
        )
        return model

    return make


ARCHITECTURES = (
    # Segmentation. Sizes that 32 does not divide where the network pads, and never a square.
    Architecture("unet-resnet18", _smp("Unet", "resnet18"), (160, 224), short=True),
    Architecture("unet-efficientnet-b0", _smp("Unet", "efficientnet-b0"), (160, 192)),
    Architecture("unetplusplus-resnet18", _smp("UnetPlusPlus", "resnet18"), (128, 160)),
    Architecture("fpn-resnet34", _smp("FPN", "resnet34"), (160, 192)),
    Architecture("pspnet-resnet18", _smp("PSPNet", "resnet18"), (144, 192)),
    Architecture("deeplabv3-resnet18", _smp("DeepLabV3", "resnet18"), (152, 200)),
    Architecture("deeplabv3plus-resnet50", _smp("DeepLabV3Plus", "resnet50"), (160, 192)),
    Architecture("linknet-resnet18", _smp("Linknet", "resnet18"), (160, 192)),
    Architecture("pan-resnet34", _smp("PAN", "resnet34"), (160, 192)),
    Architecture("manet-resnet18", _smp("MAnet", "resnet18"), (160, 192)),
    Architecture("upernet-resnet18", _smp("UPerNet", "resnet18"), (192, 384)),
    Architecture("upernet-convnext", _smp("UPerNet", "tu-convnext_atto"), (192, 384)),
    Architecture("segformer-mit-b0", _smp("Segformer", "mit_b0"), (160, 224), short=True),
    Architecture("dpt-vit", _smp("DPT", "tu-vit_tiny_patch16_224"), (224, 224)),
    Architecture("fcn-resnet50", _torchvision("fcn_resnet50"), (109, 141)),
    Architecture("deeplabv3-mobilenet", _torchvision("deeplabv3_mobilenet_v3_large"), (117, 149)),
    Architecture("lraspp-mobilenet", _torchvision("lraspp_mobilenet_v3_large"), (125, 157)),
    # Backbones that give all their stages.
    Architecture("resnet18", _pyramid("resnet18"), (117, 149)),
    Architecture("mobilenetv3", _pyramid("mobilenetv3_small_100"), (117, 149)),
    Architecture("regnet", _pyramid("regnety_002"), (117, 149)),
    Architecture("hrnet", _pyramid("hrnet_w18_small"), (128, 160)),
    Architecture("convnext", _pyramid("convnext_atto"), (117, 149), short=True),
    Architecture("efficientvit", _pyramid("efficientvit_b0"), (117, 149)),
    # Tokens and windows.
    Architecture("vit", _timm("vit_tiny_patch16_224", img_size=(144, 208)), (144, 208), short=True),
    Architecture(
        "vit-registers", _timm("vit_wee_patch16_reg1_gap_256", img_size=(144, 208)), (144, 208)
    ),
    Architecture(
        "dinov2-registers",
        _timm("vit_small_patch14_reg4_dinov2", img_size=(126, 182)),
        (126, 182),
    ),
    Architecture("swin", _timm("swin_tiny_patch4_window7_224"), (224, 224)),
    Architecture("swinv2", _timm("swinv2_cr_tiny_ns_224"), (224, 224)),
    Architecture("maxvit", _timm("maxvit_rmlp_pico_rw_256"), (256, 256)),
    Architecture("pvt-v2", _timm("pvt_v2_b0"), (160, 192)),
    Architecture("twins", _timm("twins_pcpvt_small"), (224, 224)),
    Architecture("coat", _timm("coat_lite_tiny"), (224, 224)),
    Architecture("xcit", _timm("xcit_nano_12_p16_224"), (224, 224)),
    Architecture("mixer", _timm("mixer_s32_224"), (224, 224)),
    Architecture("poolformer", _timm("poolformer_s12"), (117, 149)),
)


def make(architecture: Architecture) -> torch.nn.Module:
    """The network in eval mode, with the same random weights every time."""
    torch.manual_seed(0)
    module = architecture.make().eval()
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            assert part.running_mean is not None
            assert part.running_var is not None
            torch.nn.init.normal_(part.running_mean, std=0.1)
            torch.nn.init.uniform_(part.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, std=0.1)
    return module


def picture(size: Size) -> npt.NDArray[np.uint8]:
    """A picture of random pixels, uint8 (H, W, 3)."""
    return np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)


def as_input(pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Pixels as the networks take them: float32 (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1)


def activations(module: torch.nn.Module, image: torch.Tensor) -> dict[str, npt.NDArray[np.float32]]:
    """What a module gives, and some of the modules inside it: "output", "output 1", their names.

    Of modules whose results have one shape the last one that is run is taken.
    """
    found: dict[tuple[int, ...], tuple[str, npt.NDArray[np.float32]]] = {}
    handles = []
    for name, part in module.named_modules():

        def keep(_: Any, __: Any, value: Any, name: str = name) -> None:
            if isinstance(value, torch.Tensor) and value.ndim in (3, 4) and len(value) == 1:
                found[tuple(value.shape)] = (name, value.detach().numpy().copy())

        if name:
            handles.append(part.register_forward_hook(keep))
    try:
        with torch.no_grad():
            result = module(image)
    finally:
        for handle in handles:
            handle.remove()
    kept = {name: value for name, value in found.values() if value.size <= _LARGEST}
    several = kept if len(kept) <= _MOST_ACTIVATIONS else dict(_spread(list(kept.items())))
    result = list(result.values()) if isinstance(result, dict) else result
    outputs = [result] if isinstance(result, torch.Tensor) else list(result)
    names = ["output", *(f"output {i}" for i in range(1, len(outputs)))]
    return several | {n: o.detach().numpy() for n, o in zip(names, outputs, strict=True)}


def _spread(items: list[Any]) -> Iterator[Any]:
    for i in np.linspace(0, len(items) - 1, _MOST_ACTIVATIONS).round().astype(int):
        yield items[i]


def export(module: torch.nn.Module, image: torch.Tensor, path: Path, exporter: str) -> None:
    """Write an ONNX file with `torch.onnx.export`, by one of `EXPORTERS`."""
    dynamo = exporter == "dynamo"
    more: dict[str, Any] = {"external_data": False, "verbose": False} if dynamo else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (image,), path, dynamo=dynamo, input_names=["image"], **more)
