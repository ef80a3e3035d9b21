"""The layers compared: what encoder and decoder hold of the input and of the output."""

from __future__ import annotations

import itertools
from pathlib import Path
from statistics import fmean

import matplotlib
from matplotlib.figure import Figure

from benchmarks.paper.setting import LABELS_TO_PHOTO, PHOTO_TO_LABELS, SEARCH, SEED, Setting, spread
from benchmarks.paper.text import commands, paragraphs, table, verdict
from compnn import Evaluation
from compnn.studies.evaluation import Row

TOP_K = 16
IMAGES = 40
PICTURE = "results-layers.png"


def write(setting: Setting) -> str:
    """Curve, table, and whether the paper's claims hold."""
    names = spread(PHOTO_TO_LABELS.pairs("val").names[: setting.limit], IMAGES)
    outputs, inputs = (
        setting.evaluation(subject, "layers", top_k=(TOP_K,), images=names)
        for subject in (PHOTO_TO_LABELS, LABELS_TO_PHOTO)
    )
    layers = outputs.plan.layers
    curves = {"OR": _accuracies(outputs, "OR"), "IR": _accuracies(inputs, "IR")}
    network = outputs.line(Row("network")).values["pixel_accuracy"]
    _plot(setting.images / PICTURE, layers, curves, network)
    return paragraphs(
        f"MPA of output reconstructions (OR, photo to labels, against the true label map) and of "
        f"input reconstructions (IR, labels to photo, against the query), top {TOP_K}, "
        f"{len(outputs.records)} validation images evenly spread (the commands take all), seed "
        f"{SEED}.",
        commands(
            *(
                subject.command("evaluate", f"--top-k {TOP_K} {SEARCH}")
                for subject in (PHOTO_TO_LABELS, LABELS_TO_PHOTO)
            )
        ),
        f"![MPA of output and input reconstructions by layer](images/{PICTURE})",
        table(
            ("layer", "OR", "IR"),
            ((name, *(f"{curve[name]:.1%}" for curve in curves.values())) for name in layers),
        ),
        "\n".join(_verdicts(layers, curves)),
    )


def _accuracies(found: Evaluation, kind: str) -> dict[str, float]:
    """MPA by layer."""
    return {
        line.row.layer: line.values["pixel_accuracy"]
        for line in found.lines
        if line.row.kind == kind and line.row.layer and line.against != "network"
    }


def _verdicts(layers: tuple[str, ...], curves: dict[str, dict[str, float]]) -> list[str]:
    encoder = [name for name in layers if name.startswith("encoder")]
    decoder = [name for name in layers if name.startswith("decoder")]
    bottleneck = layers[len(encoder) - 2 : len(encoder) + 2]
    verdicts = []
    for kind, curve in curves.items():
        inside = _mean(curve, bottleneck)
        for side, end, steps in (
            ("encoder", layers[:2], [-curve[name] for name in encoder]),
            ("decoder", layers[-2:], [curve[name] for name in decoder]),
        ):
            outside = _mean(curve, end)
            right = [later > earlier for earlier, later in itertools.pairwise(steps)]
            verdicts.append(
                verdict(
                    f"{kind} gets worse towards the bottleneck in the {side}",
                    inside < outside,
                    f"{outside:.1%} at its two outer layers, {inside:.1%} at the four layers "
                    f"around the bottleneck; {sum(right)} of {len(right)} steps go that way",
                )
            )
    # encoder_k and decoder_(k+1) have cells of the same size.
    twins = list(zip(encoder, reversed(decoder), strict=False))
    for kind, claim, sign in (
        ("IR", "encoder layers hold the input: IR is better than at the decoder's twin", 1),
        ("OR", "decoder layers hold the output: OR is better than at the encoder's twin", -1),
    ):
        leads = [sign * (curves[kind][one] - curves[kind][other]) for one, other in twins]
        wins = sum(lead > 0 for lead in leads)
        verdicts.append(
            verdict(
                claim,
                sum(leads) > 0 and 2 * wins > len(leads),
                f"at {wins} of {len(leads)} pairs of layers with cells of the same size, by "
                f"{100 * sum(leads) / len(leads):+.1f} percentage points on average",
            )
        )
    return verdicts


def _mean(curve: dict[str, float], layers: tuple[str, ...]) -> float:
    return fmean(curve[name] for name in layers)


def _plot(
    path: Path, layers: tuple[str, ...], curves: dict[str, dict[str, float]], network: float
) -> None:
    matplotlib.use("Agg")
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    words = {
        "OR": "output reconstruction (photo to labels)",
        "IR": "input reconstruction (labels to photo)",
    }
    places = list(range(len(layers)))
    for (kind, curve), marker in zip(curves.items(), "os", strict=True):
        axes.plot(places, [curve[name] for name in layers], marker=marker, label=words[kind])
    axes.axhline(network, color="grey", linestyle="--", label="network's output (photo to labels)")
    axes.set_xticks(places, [name.replace("_", " ") for name in layers], rotation=45, ha="right")
    axes.set_ylabel("mean pixel accuracy")
    axes.set_ylim(0, 1)
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
