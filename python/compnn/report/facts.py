"""What is told of banks, explanations and matchings: words and captions, shares, JSON documents."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from compnn.bank.bank import Bank
from compnn.explanation.explanation import Explanation
from compnn.explanation.scores import Scores
from compnn.images.kinds import Kind, Labels, Values
from compnn.images.measures import Score
from compnn.network.layer import Layer
from compnn.search.search import search_json
from compnn.studies.control import Control
from compnn.studies.matching import Matching
from compnn.studies.usage import Usage

MEASURES = {"accuracy": "accuracy", "psnr": "PSNR", "rmse": "RMSE"}
"""What measures are called."""

CONSISTENT = 1.0
"""A match is mutually consistent if A -> B -> A ends within this many cells."""


# Layers


def layer_title(layer: Layer) -> str:
    """Return the layer's name for readers: `encoder 3` for `encoder_3`; paths stay as they are."""
    return layer.name if "/" in layer.name else layer.name.replace("_", " ")


def patch_words(layer: Layer) -> str:
    """Return the size of the layer's patches, height first: "8x8 px" with a times sign."""
    return layer.patch_text.replace("x", "\N{MULTIPLICATION SIGN}") + " px"


def layer_json(layer: Layer) -> dict[str, object]:
    """A layer as JSON values."""
    return {
        "name": layer.name,
        "activation": list(layer.shape),
        "looks": [str(each) for each in layer.geometry.looks],
        "paints": [str(each) for each in layer.geometry.paints],
        "hyperpatch": [*layer.hyperpatch, layer.shape[2]],
        "patch": list(layer.patch),
        "grid": list(layer.grid),
        "note": layer.geometry.note,
    }


# Explanations


def score_words(score: Score) -> str:
    """A score with its measure: "PSNR 21.3 dB"."""
    return f"{MEASURES[score.measure]} {score}"


def caption_lines(scores: Scores) -> list[str]:
    """What stands under a layer's reconstructions."""
    lines = [f"similarity {scores.similarity:.3f}", f"input {score_words(scores.input)}"]
    share = max(scores.input_no_evidence, scores.output_no_evidence)
    if share > 0:
        lines.insert(1, f"no evidence {share:.1%}")
    if scores.output is not None:
        lines.append(f"output {score_words(scores.output)}")
    return lines


def search_words(explanations: Mapping[str, Explanation]) -> str:
    """How explanations, by layer, were searched: "exhaustive", or each search with its layers."""
    layers: dict[str, list[str]] = {}
    for name, explanation in explanations.items():
        layers.setdefault(str(explanation.search), []).append(name)
    if len(layers) == 1:
        return next(iter(layers))
    return "; ".join(f"{search} at {', '.join(names)}" for search, names in layers.items())


@dataclass(frozen=True)
class LegendRow:
    """One line of a list of sources.

    Attributes
    ----------
    rank
        1 for the source of most pixels; None for all sources that are not shown, taken together,
        and for the pixels that have no match.
    index
        Index of the training image in the bank; None with rank None.
    name
        Name of the training image; for rank None how many there are, or "no match".
    share
        Part of the output's pixels, in [0, 1].
    percent
        The share as text, rounded so that the rows add up to 100.0 %.
    """

    rank: int | None
    index: int | None
    name: str
    share: float
    percent: str


def legend_rows(explanation: Explanation, shown: int) -> list[LegendRow]:
    """Return a row for each of the first `shown` sources, and one for the others if there are.

    The last one is of the pixels without a match, if there are any.
    """
    ranked = explanation.sources()
    top, others = ranked[:shown], ranked[shown:]
    counts = [source.pixels for source in top]
    unranked = []
    if others:
        unranked.append(f"{len(others)} other{'s' if len(others) > 1 else ''}")
        counts.append(sum(source.pixels for source in others))
    if (nothing := int((explanation.provenance.image < 0).sum())) > 0:
        unranked.append("no match")
        counts.append(nothing)
    total = sum(counts)
    shares = [count / total for count in counts]
    percents = [f"{tenths // 10}.{tenths % 10} %" for tenths in _tenths(counts)]
    rows = [
        LegendRow(rank, source.index, source.name, shares[rank - 1], percents[rank - 1])
        for rank, source in enumerate(top, start=1)
    ]
    for place, name in enumerate(unranked, start=len(top)):
        rows.append(LegendRow(None, None, name, shares[place], percents[place]))
    return rows


def _tenths(counts: list[int]) -> list[int]:
    """Round the counts to tenths of a percent that add up to 1000: largest remainders go up."""
    total = sum(counts)
    tenths = [1000 * count // total for count in counts]
    order = sorted(range(len(counts)), key=lambda row: (-(1000 * counts[row] % total), row))
    for row in order[: 1000 - sum(tenths)]:
        tenths[row] += 1
    return tenths


def explanation_json(
    explanation: Explanation, scores: Scores, usage: Usage | None = None
) -> dict[str, object]:
    """An explanation as JSON values; with `usage`, what each value of the attributes gave."""
    counted = {} if usage is None else {"attributes": usage.to_json()["attributes"]}
    return {
        "layer": layer_json(explanation.layer),
        "search": search_json(explanation.search),
        "composition": explanation.composition,
        **scores.to_json(),
        "candidates": [asdict(candidate) for candidate in explanation.candidates],
        "sources": [
            {**asdict(source), "attributes": dict(source.attributes)}
            for source in explanation.sources()
        ],
        **counted,
    }


# Property control


def signed(value: float, digits: int) -> str:
    """A change as text with its sign, a true minus; what rounds to zero is `±0`."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return "±0"
    return ("+" if value > 0 else "\N{MINUS SIGN}") + text


def most_changed(control: Control, count: int) -> list[int]:
    """The classes, ascending, whose shares differ most between the subsets."""
    changes = np.max([np.abs(control.change(title)) for title in control.explanations], axis=0)
    order = np.argsort(-changes, kind="stable")[:count]
    return sorted(int(each) for each in order if changes[each] > 0 or each == order[0])


def quantity_scale(kind: Kind) -> tuple[int, int]:
    """How statistics of pictures of a kind (`Control.statistics`) are told: factor, and decimals.

    Mean colours are whole numbers, shares of classes in percent; values have three decimals of
    what is painted from black to white.
    """
    if isinstance(kind, Labels):
        return 100, 1
    if isinstance(kind, Values):
        low, high = kind.limits
        return 1, max(0, 3 - math.ceil(math.log10(high - low)))
    return 1, 0


# Matchings


def matching_json(matching: Matching, points: Sequence[tuple[int, int]]) -> dict[str, object]:
    """A matching as JSON values; `classes` is null without classes."""
    classes: dict[str, object] | None = None
    if matching.class_names:
        in_a, in_b = matching.class_counts()
        counted = bool(matching.agreement.any())
        classes = {
            "names": list(matching.class_names),
            "patches_a": in_a.tolist(),
            "patches_b": in_b.tolist(),
            "agreement": matching.agreement.tolist(),
            "same_class": matching.same_class if counted else None,
            "chance": matching.chance if counted else None,
        }
    return {
        "layer": layer_json(matching.layer),
        "layer_b": layer_json(matching.layer_b),
        "search": search_json(matching.search),
        "similarity_a_to_b": matching.forward.mean_similarity,
        "similarity_b_to_a": matching.backward.mean_similarity,
        "cycle_consistency": matching.cycle_consistency(CONSISTENT),
        "classes": classes,
        "points": [_point_json(matching, point) for point in points],
    }


def _point_json(matching: Matching, point: tuple[int, int]) -> dict[str, object]:
    found = matching.point(*point)
    names = matching.point_classes(*point) if matching.class_names else None
    return {
        "a": list(point),
        "b": None if found.y < 0 else [found.y, found.x],
        "similarity": found.similarity,
        "classes": None if names is None else list(names),
    }


# Banks


def bank_sizes(bank: Bank) -> dict[str, int]:
    """How many inputs have each size "HxW", the commonest first."""
    heights, widths = bank.inputs.sizes(np.arange(len(bank)))
    sizes = zip(heights.tolist(), widths.tolist(), strict=True)
    return {f"{h}x{w}": count for (h, w), count in Counter(sizes).most_common()}


def bank_json(bank: Bank, *, verified: bool = False) -> dict[str, object]:
    """A bank as JSON values."""
    size = bank.preprocessing.size
    return {
        "bank": str(bank.path),
        "generation": bank.generation,
        "images": len(bank),
        "shards": bank.shards,
        "skipped": [{"name": each.name, "reason": each.reason} for each in bank.skipped],
        "dtype": bank.dtype,
        "bytes": bank.nbytes,
        "network": bank.network.to_json(),
        "input_size": None if size is None else list(size),
        "sizes": bank_sizes(bank),
        "descriptor": bank.descriptor,
        "input_kind": bank.input_kind.to_json(),
        "target_kind": bank.target_kind.to_json(),
        "layers": [
            {**layer_json(layer), "kept": list(bank.kept(name)), "bytes": bank.layer_bytes(name)}
            for name, layer in bank.layers.items()
        ],
        "unknown_fields": list(bank.unknown_fields),
        "verified": verified,
    }
