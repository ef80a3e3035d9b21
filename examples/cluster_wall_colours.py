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

import cv2
import numpy as np
import numpy.typing as npt

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


def mean_wall_colours(pairs: SideBySide) -> dict[str, npt.NDArray[np.float32]]:
    """The mean RGB colour, float32 (3,), of the walls of each image that has any."""
    assert isinstance(pairs.target_kind, Labels)
    wall = pairs.target_kind.palette.classes.index(CLASS)
    means = {}
    for pair in pairs:
        pixels = pair.input[pair.target == wall].astype(np.float32) / 255
        if len(pixels):
            lab = cv2.cvtColor(pixels[np.newaxis], cv2.COLOR_RGB2LAB)
            mean = lab.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
            means[pair.name] = 255 * cv2.cvtColor(mean, cv2.COLOR_LAB2RGB)[0, 0]
    return means


def features(rgb: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Points float32 (N, 3), as far apart as the colours `rgb` (N, 3), in 0..255, look."""
    lab = cv2.cvtColor(rgb[np.newaxis].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return np.asarray(lab * np.array([LIGHTNESS, 1, 1], np.float32))


def cluster(points: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int32]:
    """The cluster, int32 (N,), of each point; the same on every run."""
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 200, 1e-4)
    flags = cv2.KMEANS_PP_CENTERS
    _, labels, _ = cv2.kmeans(points, count, None, stop, attempts=20, flags=flags)  # type: ignore[call-overload]
    return np.asarray(labels[:, 0], dtype=np.int32)


def name_clusters(centres: npt.NDArray[np.float32]) -> list[str]:
    """A colour word for each centre (K, 3), none twice: those whose distances add up to least."""
    references = features(np.array(list(WORDS.values()), np.float32))
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
