"""The demo: a bank of made-up facades, and what it says about a facade the network never saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from compnn.bank.bank import Bank
from compnn.demo.facades import DemoFacades
from compnn.explanation.explanation import Explanation
from compnn.explanation.query import Query
from compnn.files import make_folder
from compnn.network.onnx import Model

LAYERS = ("encoder_1", "encoder_3", "encoder_5", "decoder_6", "decoder_4", "decoder_2")
"""The layers that the demo explains, from the input to the output."""
DESCRIPTOR = "decoder_7"
MAP_LAYER = "decoder_4"
"""The layer whose correspondence map is shown: its patches are large enough to be seen."""
TOP_K = 16
HELD_OUT = 0
"""The held-out facade that is explained."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes
    ----------
    bank
        The bank of training facades.
    query
        The held-out facade, with its true photo.
    explanations
        One for each of `LAYERS`.
    """

    bank: Bank
    query: Query
    explanations: dict[str, Explanation]


def run_demo(
    folder: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> DemoResult:
    """Build the demo's bank as `folder`/demo.bank, replacing an older one, and explain a facade."""
    network = resources.files("compnn.demo") / "unet.onnx"
    with resources.as_file(network) as path:
        model = Model(path, LAYERS, DESCRIPTOR)
    make_folder(folder)
    bank = Bank.build(
        folder / "demo.bank",
        model,
        DemoFacades("train"),
        overwrite=True,
        restart=True,
        progress=progress,
    )
    pair = DemoFacades("held-out")[HELD_OUT]
    explanations = bank.explain(pair.input, LAYERS, top_k=TOP_K, method="exhaustive")
    return DemoResult(bank, Query(pair.name, pair.input, pair.target), explanations)
