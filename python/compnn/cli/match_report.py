"""What `compnn match` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compnn.cli import console
from compnn.cli.layers import layer_json
from compnn.report.sheets.match_sample import CONSISTENT
from compnn.studies.matching import Matching


def print_matching(title: str, matching: Matching, points: list[tuple[int, int]]) -> None:
    """Print a row for each class and each point (y, x), and the measures of the whole."""
    if matching.class_names:
        _print_classes(title, matching)
    else:
        console.out.print(title, style="bold", markup=False, soft_wrap=True)
    if points:
        columns = ["point of A", "point of B", "similarity", "class in A", "class in B"]
        rows = []
        for y, x in points:
            found = matching.point(y, x)
            row = [f"{y},{x}", f"{found.y},{found.x}", f"{found.similarity:.4f}"]
            rows.append([*row, *(matching.point_classes(y, x) if matching.class_names else ())])
        console.print_table("chosen points", columns[: len(rows[0])], rows)
    lines = [
        f"mean similarity: {matching.forward.mean_similarity:.4f} from A to B, "
        f"{matching.backward.mean_similarity:.4f} from B to A",
        f"mutually consistent: {matching.cycle_consistency(CONSISTENT):.1%} of the patches of A "
        f"return to within one cell",
    ]
    if matching.class_names:
        lines.append(
            f"same class: {matching.same_class:.1%} of the patches of A are matched to their own "
            f"class (by chance: {matching.chance:.1%})"
        )
    for line in lines:
        console.out.print(line, soft_wrap=True)


def _print_classes(title: str, matching: Matching) -> None:
    in_a, in_b = matching.class_counts()
    rows = []
    for label, name in enumerate(matching.class_names):
        if not in_a[label] and not in_b[label]:
            continue
        matched = matching.agreement[label]
        total = int(matched.sum())
        row = [name, f"{in_a[label]}", f"{in_b[label]}", "", ""]
        if total:
            most = int(matched.argmax())
            row[3] = f"{matched[label] / total:.1%}"
            row[4] = f"{matching.class_names[most]} {matched[most] / total:.0%}"
        rows.append(row)
    columns = ("class", "patches of A", "patches of B", "same class", "most matches")
    console.print_table(title, columns, rows)


def matching_json(
    matching: Matching, points: list[tuple[int, int]], folder: Path
) -> dict[str, Any]:
    """A matching as JSON values; `classes` is null when the network paints photos."""
    classes: dict[str, Any] | None = None
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
        "folder": str(folder),
        "layer": layer_json(matching.layer),
        "similarity_a_to_b": matching.forward.mean_similarity,
        "similarity_b_to_a": matching.backward.mean_similarity,
        "cycle_consistency": matching.cycle_consistency(CONSISTENT),
        "classes": classes,
        "points": [_point_json(matching, point) for point in points],
    }


def _point_json(matching: Matching, point: tuple[int, int]) -> dict[str, Any]:
    found = matching.point(*point)
    names = matching.point_classes(*point) if matching.class_names else None
    return {
        "a": list(point),
        "b": [found.y, found.x],
        "similarity": found.similarity,
        "classes": None if names is None else list(names),
    }
