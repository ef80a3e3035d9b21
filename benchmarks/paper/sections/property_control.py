"""Property control: walls of one colour as the only training images (paper, Figure 8b)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.paper.setting import LABELS_TO_PHOTO, SEARCH, SEED, Setting, spread
from benchmarks.paper.text import commands, paragraphs, table, verdict
from compnn import Bank, Control, HyperPatchMatch, Labels
from compnn.explanation.query import Query
from compnn.studies.control import UNRESTRICTED, control, subsets_by

LAYER, REGION, BY, QUERIES, TOP_K = "decoder_4", "facade", "wall", 8, 16

Colour = npt.NDArray[np.float64]


def write(setting: Setting) -> str:
    """Mean wall colour of the output reconstructions, by the walls that may be used."""
    explainer, pairs = setting.explainer(LABELS_TO_PHOTO), LABELS_TO_PHOTO.pairs("val")
    bank, search = explainer.bank, HyperPatchMatch(seed=SEED)
    subsets = subsets_by(bank, BY)
    names = spread(pairs.names, setting.limited(QUERIES))
    found: list[Control] = []
    for name in names:
        pair = pairs[pairs.names.index(name)]
        query = Query(name, pair.input, pair.target, name)
        found.append(control(explainer, query, LAYER, subsets, search, region=REGION, top_k=TOP_K))
    training = _training_colours(bank)
    members = {
        UNRESTRICTED: range(len(bank)),
        **{title: selection.select(bank) for title, selection in subsets.items()},
    }
    walls = {title: np.nanmean(training[list(chosen)], axis=0) for title, chosen in members.items()}
    means = {title: _mean([each.statistics[title] for each in found]) for title in members}
    rows = [
        (
            title,
            str(len(chosen)),
            f"{np.mean([each.scores[title].similarity for each in found]):.4f}",
            _colour(walls[title]),
            _colour(means[title]),
            _change(_mean([each.change(title) for each in found])),
        )
        for title, chosen in members.items()
    ]
    own = [title for title in subsets if _nearest(means[title], walls, list(subsets)) == title]
    closer = [
        title
        for title in subsets
        if _distance(means[title], walls[title]) < _distance(means[UNRESTRICTED], walls[title])
    ]
    return paragraphs(
        f"{len(names)} validation images ({', '.join(names)}), layer {LAYER}, top {TOP_K} of each "
        f"subset, seed {SEED}. Mean red, green and blue of the pixels that the query's label map "
        f"calls {REGION}; the change is against all training images.",
        commands(
            "python $COMPNN/examples/cluster_wall_colours.py $DATA/facades/train walls.csv",
            f"compnn control {LABELS_TO_PHOTO.bank} $DATA/facades/val/{names[0]}.jpg --input right "
            f"--layer {LAYER} --by {BY} --region {REGION} --top-k {TOP_K} {SEARCH}",
        ),
        table(
            ("subset", "images", "similarity", "training walls", "output walls", "change"),
            rows,
        ),
        "\n".join(
            (
                verdict(
                    "walls move towards those of the subset",
                    len(closer) == len(subsets),
                    f"{len(closer)} of {len(subsets)} subsets end nearer to their own training "
                    f"walls than all images do",
                ),
                verdict(
                    "walls become those of the subset",
                    len(own) == len(subsets),
                    f"{len(own)} of {len(subsets)} subsets end nearest to their own training walls",
                ),
            )
        ),
    )


def _training_colours(bank: Bank) -> Colour:
    """Mean wall colour of each training image, float64 (N, 3); nan without walls."""
    kind = bank.input_kind
    assert isinstance(kind, Labels)
    wall = kind.palette.classes.index(REGION)
    colours = np.full((len(bank), 3), np.nan)
    for index in range(len(bank)):
        labels, photo = bank.pair(index)
        pixels = photo[kind.labels(labels) == wall]
        if len(pixels):
            colours[index] = pixels.mean(axis=0, dtype=np.float64)
    return colours


def _mean(values: Sequence[Colour]) -> Colour:
    mean: Colour = np.mean(values, axis=0)
    return mean


def _nearest(colour: Colour, walls: dict[str, Colour], titles: Sequence[str]) -> str:
    return min(titles, key=lambda title: _distance(colour, walls[title]))


def _distance(one: Colour, other: Colour) -> float:
    return float(np.linalg.norm(one - other))


def _colour(colour: Colour) -> str:
    return " ".join(f"{value:.0f}" for value in colour)


def _change(change: Colour) -> str:
    return " ".join(f"{value:+.0f}" for value in change)
