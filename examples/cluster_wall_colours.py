"""Gives the images of a Facades folder the attribute `wall`: white, beige, brown, ...

The files hold photo and label map side by side, as in Pix2Pix's Facades. The walls are the pixels
that the label map calls `facade`; the images are clustered by the mean colour of their walls
(k-means in Lab), and every cluster is named after the nearest colour word that is still free. The
CSV file is for `compnn build --attributes`:

    python examples/cluster_wall_colours.py facades/train walls.csv
    compnn build facades.bank pix2pix.onnx --side-by-side facades/train --input right \
        --input-palette facades --attributes walls.csv --layer decoder_2 --descriptor decoder_7
    compnn control facades.bank facades/val/1.jpg --input right --by wall
"""

from __future__ import annotations

import argparse
import csv
import io
from itertools import permutations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2

from compnn import Labels, SideBySide
from compnn.files import write_file

WORDS = {
    "white": (190, 186, 178),
    "grey": (124, 120, 114),
    "black": (50, 50, 50),
    "brown": (96, 78, 66),
    "red": (146, 82, 68),
    "orange": (172, 120, 80),
    "yellow": (196, 170, 112),
    "beige": (158, 140, 116),
    "blue": (106, 115, 128),
}
"""Colour words, and what walls of this colour have on average in photos: walls are dull."""
LIGHTNESS = 0.5
"""Weight of lightness beside a and b: it tells the weather as much as the wall."""
CLASS = "facade"
ATTEMPTS = 100
"""Runs of k-means, of which the best counts."""

# Linear sRGB to XYZ, each divided by that of the white D65.
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
XYZ /= XYZ.sum(axis=1, keepdims=True)
# XYZ, as Lab curves it, to Lab, from which DARKEST is subtracted.
LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]])
DARKEST = np.array([16, 0, 0])

Colours = npt.NDArray[np.float64]
"""(..., 3), RGB in 0..255 or Lab."""


def lab_of(rgb: Colours) -> Colours:
    """RGB in Lab."""
    values = rgb / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = linear @ XYZ.T
    curved = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.asarray(curved @ LAB.T - DARKEST)


def rgb_of(lab: Colours) -> Colours:
    """Lab in RGB."""
    curved = (lab + DARKEST) @ np.linalg.inv(LAB).T
    xyz = np.where(curved > 6 / 29, curved**3, 3 * (6 / 29) ** 2 * (curved - 4 / 29))
    linear = np.clip(xyz @ np.linalg.inv(XYZ).T, 0, 1)
    values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(255 * values)


def mean_wall_colours(pairs: SideBySide) -> dict[str, Colours]:
    """The mean RGB colour, (3,), of the walls of each image that has any."""
    assert isinstance(pairs.target_kind, Labels)
    wall = pairs.target_kind.palette.classes.index(CLASS)
    means = {}
    for pair in pairs:
        pixels = pair.input[pair.target == wall]
        if len(pixels):
            means[pair.name] = rgb_of(lab_of(pixels).mean(axis=0))
    return means


def features(rgb: Colours) -> npt.NDArray[np.float64]:
    """Points (N, 3), as far apart as the colours (N, 3) look."""
    return lab_of(rgb) * (LIGHTNESS, 1, 1)


def cluster(points: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int32]:
    """The cluster, int32 (N,), of each point; the same on every run."""
    random = np.random.default_rng(0)
    runs = []
    for _ in range(ATTEMPTS):
        centres, labels = kmeans2(points, first_centres(points, count, random), 100, minit="matrix")
        runs.append((float(((points - centres[labels]) ** 2).sum()), labels))
    return np.asarray(min(runs, key=lambda run: run[0])[1], dtype=np.int32)


def first_centres(
    points: npt.NDArray[np.float64], count: int, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Points (count, 3) that are far from each other, as k-means++ draws them."""
    chosen = points[[random.integers(len(points))]]
    while len(chosen) < count:
        nearest = ((points[:, np.newaxis] - chosen) ** 2).sum(axis=2).min(axis=1)
        nearest += 1e-9  # points may be equal
        drawn = random.choice(len(points), p=nearest / nearest.sum())
        chosen = np.append(chosen, points[[drawn]], axis=0)
    return chosen


def name_clusters(centres: npt.NDArray[np.float64]) -> list[str]:
    """A colour word for each centre (K, 3), none twice: those whose distances add up to least."""
    references = features(np.array(list(WORDS.values()), np.float64))
    distances = np.linalg.norm(centres[:, np.newaxis] - references, axis=2)
    choices = np.array(list(permutations(range(len(WORDS)), len(centres))))
    totals = distances[np.arange(len(centres)), choices].sum(axis=1)
    words = list(WORDS)
    return [words[word] for word in choices[totals.argmin()]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Cluster facades by the colour of their walls.")
    parser.add_argument("folder", type=Path, help="images with photo and label map side by side")
    parser.add_argument("csv", type=Path, help="CSV file to write: name,wall")
    parser.add_argument("--photo", choices=("left", "right"), default="left", help="its half")
    parser.add_argument("--clusters", type=int, choices=range(2, 8), default=6)
    options = parser.parse_args()
    pairs = SideBySide(options.folder, options.photo, target_kind=Labels("facades"))
    means = mean_wall_colours(pairs)
    if len(means) < options.clusters:
        raise SystemExit(f"{len(means)} images have walls; ask for fewer --clusters")
    colours = np.stack(list(means.values()))
    points = features(colours)
    labels = cluster(points, options.clusters)
    members = [labels == each for each in range(options.clusters)]
    words = name_clusters(np.stack([points[each].mean(axis=0) for each in members]))

    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("name", "wall"))
    writer.writerows((name, words[label]) for name, label in zip(means, labels, strict=True))
    write_file(options.csv, table.getvalue().encode())
    for word, each in sorted(zip(words, members, strict=True), key=lambda one: -one[1].sum()):
        red, green, blue = colours[each].mean(axis=0).round().astype(int)
        print(f"{word:8}{each.sum():5} images, mean colour ({red}, {green}, {blue})")


if __name__ == "__main__":
    main()
