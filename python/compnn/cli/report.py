"""What `reconstruct` and `demo` write and print about explanations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compnn.bank.bank import Bank
from compnn.cli import console
from compnn.cli.layers import layer_json
from compnn.errors import LayerError
from compnn.explanation.explanation import Explanation
from compnn.explanation.query import Query
from compnn.explanation.scores import Scores
from compnn.images.files import write_image
from compnn.report import contact_sheet, correspondence_map
from compnn.studies.usage import AttributeUsage, Usage

MEASURES = {"accuracy": "accuracy", "psnr": "PSNR"}
_MOST_VALUES = 8
"""Values of an attribute that the terminal shows; the files have all."""


def folder_name(layer: str) -> str:
    """A layer's name as the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in layer).strip(".") or "layer"


def write_report(
    folder: Path,
    bank: Bank,
    query: Query,
    explanations: Mapping[str, Explanation],
    scores: Mapping[str, Scores],
    *,
    maps: bool = True,
    usages: Mapping[str, Usage] | None = None,
) -> None:
    """Write the contact sheet, and for each layer a folder with its pictures and its field.

    The query's target, if it has one, is of the network's size. Without `maps` the maps of the
    sources are left out; with `usages` their tables go into the layers' folders.

    Raises
    ------
    LayerError
        If two layers would share a folder.
    """
    folders = {name: folder / folder_name(name) for name in explanations}
    if len(set(folders.values())) < len(folders):
        raise LayerError(
            f"the layers {', '.join(folders)} would share a folder; explain them one at a time"
        )
    first = next(iter(explanations.values()))
    for name, explanation in explanations.items():
        explanation.save(folders[name])
        if maps:
            write_image(folders[name] / "sources.png", correspondence_map(explanation))
        if usages:
            usages[name].save_csv(folders[name])
    captions = {name: caption_lines(scores[name]) for name in explanations}
    network = next(iter(scores.values())).network_to_target
    if network is not None:
        captions["network output"] = [f"{MEASURES[network.measure]} {network}"]
    nearest = first.candidates[0]
    has_descriptor = nearest.similarity is not None
    sheet = contact_sheet(
        list(explanations.values()),
        target=query.target,
        global_output=bank.pair(nearest.index)[1] if has_descriptor else None,
        captions=captions,
        title=query.name,
    )
    write_image(folder / "contact_sheet.png", sheet)


def caption_lines(scores: Scores) -> list[str]:
    """What stands under a layer's reconstructions."""
    best = scores.output_to_target or scores.output_to_network
    return [
        f"similarity {scores.similarity:.3f}",
        f"input {MEASURES[scores.input.measure]} {scores.input}",
        f"output {MEASURES[best.measure]} {best}",
    ]


def print_scores(
    title: str, explanations: Mapping[str, Explanation], scores: Mapping[str, Scores]
) -> None:
    """Print a row of scores for each layer, with its first source, and what the columns mean."""
    first = next(iter(scores.values()))
    columns = ["layer", "patch", "similarity", "input", "output"]
    columns += ["to target"] * (first.output_to_target is not None)
    rows = []
    for name, explanation in explanations.items():
        found, sources = scores[name], explanation.sources()
        compared = (found.input, found.output_to_network, found.output_to_target)
        rows.append(
            [
                name,
                "x".join(map(str, explanation.layer.patch)),
                f"{found.similarity:.4f}",
                *(str(one) for one in compared if one is not None),
                f"{sources[0].name} {sources[0].share:.0%}",
            ]
        )
    console.print_table(title, [*columns, "first source"], rows)
    lines = [
        f"input: {MEASURES[first.input.measure]} of the input reconstruction against the query",
        f"output: {MEASURES[first.output_to_network.measure]} of the output reconstruction against "
        f"the network's output",
    ]
    if first.network_to_target is not None:
        lines.append(
            f"to target: the same against the true target (the network's own output: "
            f"{first.network_to_target})"
        )
    for line in lines:
        console.out.print(line, soft_wrap=True)


def print_usage(usages: Mapping[str, Usage]) -> None:
    """Print which values of the attributes each layer's pixels come from, beside the bank's."""
    by_value = {
        layer: {(row.key, row.value): row for row in usage.attributes}
        for layer, usage in usages.items()
    }
    pixels: Counter[tuple[str, str]] = Counter()
    for found in by_value.values():
        pixels.update({each: row.pixels for each, row in found.items() if row.bank_share})
    if not pixels:
        return
    rows = []
    for key in sorted({key for key, _ in pixels}):
        values = [each for each, _ in pixels.most_common() if each[0] == key]
        for each in values[:_MOST_VALUES]:
            found_rows = [found[each] for found in by_value.values()]
            name = f"{key}={each[1]}" if each[1] else f"no {key}"
            rows.append([name, f"{found_rows[0].bank_share:.0%}", *map(_share_words, found_rows)])
    console.print_table("where the pixels come from", ["attribute", "bank", *usages], rows)
    console.out.print(
        "bank: share of the training images that may be used; in brackets: how many times as much "
        "the layer took",
        soft_wrap=True,
    )


def _share_words(row: AttributeUsage) -> str:
    return f"{row.share:.0%} ({row.ratio:.1f}x)"


def explanation_json(
    name: str,
    explanation: Explanation,
    scores: Scores,
    folder: Path,
    usage: Usage | None = None,
) -> dict[str, Any]:
    """An explanation as JSON values; with `usage`, what each value of the attributes gave."""
    counted = {} if usage is None else {"attributes": usage.to_json()["attributes"]}
    return {
        "layer": layer_json(explanation.layer),
        "folder": str(folder / folder_name(name)),
        **scores.to_json(),
        "candidates": [asdict(candidate) for candidate in explanation.candidates],
        "sources": [
            {**asdict(source), "attributes": dict(source.attributes)}
            for source in explanation.sources()
        ],
        **counted,
    }
