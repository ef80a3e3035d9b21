"""Semantic correspondences between street scenes (paper, Figure 8a)."""

from __future__ import annotations

from statistics import fmean

from benchmarks.paper.setting import CAMVID, SEARCH, SEED, Setting
from benchmarks.paper.text import commands, paragraphs, table
from compnn import Exhaustive, HyperPatchMatch, Matching, match
from compnn.explanation.query import Query
from compnn.search.search import Search

PAIRS, STEP, DISTANCE = 30, 3, 5
"""Pair p: validation images p * STEP and p * STEP + DISTANCE."""
LAYERS: tuple[tuple[str, Search], ...] = (
    ("encoder_4", Exhaustive()),
    ("decoder_2", Exhaustive()),
    ("decoder_4", HyperPatchMatch(seed=SEED)),  # some 40 s a pair exhaustively
)


def write(setting: Setting) -> str:
    """Same class, chance and cycle consistency, over the pairs."""
    network, scenes = CAMVID.open_network(), CAMVID.pairs("val")
    queries = {}

    def query(place: int) -> Query:
        name = scenes.names[place]
        if name not in queries:
            queries[name] = Query(name, scenes[place].input, file=name)
        return queries[name]

    pairs = setting.limited(PAIRS)
    rows = []
    for layer, search in LAYERS:
        found = [
            _numbers(
                match(
                    network,
                    query(STEP * pair),
                    query(STEP * pair + DISTANCE),
                    layer,
                    search,
                    palette="camvid",
                )
            )
            for pair in range(pairs)
        ]
        same, chance, cycle = (fmean(column) for column in zip(*found, strict=True))
        better = sum(one > other for one, other, _ in found)
        numbers = (f"{each:.1%}" for each in (same, chance, cycle))
        rows.append((layer, search.method, *numbers, f"{better} of {pairs}"))
    a, b = (f"$DATA/camvid/val/images/{scenes.names[place]}.jpg" for place in (0, DISTANCE))
    return paragraphs(
        f"{pairs} pairs of CamVid validation images, {DISTANCE} apart in the list (pair p: images "
        f"{STEP} p and {STEP} p + {DISTANCE}, counted from 0), seed {SEED}; means over pairs. Same "
        f"class: share of the patches whose match has the class that the network gives the patch. "
        f"Chance: the same for blind matches. Cycle: share of the patches that A to B to A brings "
        f"back to within one cell.",
        commands(
            *(
                f"compnn match {a} {b} --network $MODELS/{CAMVID.network} --layer {layer} "
                f"--palette camvid{'' if search == Exhaustive() else f' {SEARCH}'}"
                for layer, search in LAYERS
            )
        ),
        table(
            ("layer", "method", "same class", "chance", "cycle", "pairs above chance"),
            rows,
        ),
    )


def _numbers(found: Matching) -> tuple[float, float, float]:
    return found.same_class, found.chance, found.cycle_consistency()
