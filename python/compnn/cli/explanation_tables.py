"""What `reconstruct` and `demo` print about explanations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from compnn.cli import console
from compnn.explanation.explanation import Explanation
from compnn.explanation.scores import Scores
from compnn.report.facts import MEASURES
from compnn.studies.usage import AttributeUsage, Usage

_MOST_VALUES = 8
"""Values of an attribute that the terminal shows; the files have all."""


def print_scores(
    title: str, explanations: Mapping[str, Explanation], scores: Mapping[str, Scores]
) -> None:
    """Print a row of scores for each layer, with its first source, and what the columns mean."""
    first = next(iter(scores.values()))
    has_gaps = any(found.output_no_evidence > 0 for found in scores.values())
    columns = ["layer", "patch", "similarity", *["no evidence"] * has_gaps, "input"]
    columns += ["output"] * (first.output_to_network is not None)
    columns += ["to target"] * (first.output_to_target is not None)
    rows = []
    for name, explanation in explanations.items():
        found, sources = scores[name], explanation.sources()
        compared = (found.input, found.output_to_network, found.output_to_target)
        rows.append(
            [
                name,
                explanation.layer.patch_text,
                f"{found.similarity:.4f}",
                *[f"{found.output_no_evidence:.1%}"] * has_gaps,
                *(str(one) for one in compared if one is not None),
                f"{sources[0].name} {sources[0].share:.0%}" if sources else "none",
            ]
        )
    console.print_table(title, [*columns, "first source"], rows)
    if has_gaps:
        console.say(
            "no evidence: share of the output's pixels that have no match; hatched in pictures"
        )
    console.say(
        f"input: {MEASURES[first.input.measure]} of the input reconstruction against the query"
    )
    print_output_columns(first)


def print_output_columns(scores: Scores) -> None:
    """Say what the columns "output" and "to target" of a table are."""
    if scores.output_to_network is not None:
        measure = MEASURES[scores.output_to_network.measure]
        console.say(f"output: {measure} of the output reconstruction against the network's output")
    if scores.output_to_target is not None:
        measure = MEASURES[scores.output_to_target.measure]
        own = (
            ""
            if scores.network_to_target is None
            else (f" (the network's own output: {scores.network_to_target})")
        )
        console.say(
            f"to target: {measure} of the output reconstruction against the true target{own}"
        )


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
    console.say(
        "bank: share of the training images that may be used; in brackets: how many times as much "
        "the layer took"
    )


def _share_words(row: AttributeUsage) -> str:
    return f"{row.share:.0%} ({row.ratio:.1f}x)"
