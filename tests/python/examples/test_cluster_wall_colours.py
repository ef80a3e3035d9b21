"""The example that gives Facades images their wall colours, on walls whose colours are known."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from compnn.data.attributes import resolve_attributes
from compnn.images.files import write_image
from compnn.images.palette import Palette

ROOT = Path(__file__).resolve().parents[3]
WALLS = {"white": (196, 190, 182), "brown": (92, 74, 60), "yellow": (200, 172, 110)}
FACADES = Palette.named("facades")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """12 facades in turn white, brown, yellow, before skies of any colour; the last has no wall."""
    random = np.random.default_rng(0)
    (tmp_path / "train").mkdir()
    for number in range(13):
        labels = np.zeros((32, 32), np.uint8)
        if number < 12:
            labels[8:, 4:28] = FACADES.classes.index("facade")
            labels[12:20, 8:16] = FACADES.classes.index("window")
        photo = np.empty((32, 32, 3))
        photo[:] = random.integers(0, 256, 3)
        colour = np.array(list(WALLS.values())[number % 3]) + random.normal(0, 4, 3)
        photo[labels == 1] = colour + random.normal(0, 10, ((labels == 1).sum(), 3))
        pair = np.hstack([photo.clip(0, 255).astype(np.uint8), FACADES.colourise(labels)])
        write_image(tmp_path / "train" / f"{number}.png", pair)
    return tmp_path


def cluster(*arguments: object) -> subprocess.CompletedProcess[str]:
    script = ROOT / "examples" / "cluster_wall_colours.py"
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_walls_get_the_names_of_their_colours(folder: Path) -> None:
    done = cluster(folder / "train", folder / "walls.csv", "--clusters", 3)
    assert done.returncode == 0, done.stderr
    rows = list(csv.reader((folder / "walls.csv").read_text().splitlines()))
    assert rows[0] == ["name", "wall"]
    expected = [[str(number), list(WALLS)[number % 3]] for number in range(12)]
    assert rows[1:] == expected
    for word in WALLS:
        assert f"{word:8}    4 images, mean colour (" in done.stdout


def test_more_clusters_than_walls(folder: Path) -> None:
    for number in range(6, 12):
        (folder / "train" / f"{number}.png").unlink()
    done = cluster(folder / "train", folder / "walls.csv", "--clusters", 7)
    assert done.returncode == 1
    assert "6 images have walls" in done.stderr
    assert not (folder / "walls.csv").exists()


def test_facades(shared: Path, tmp_path: Path) -> None:
    """Every real facade has a wall, and its colour word; no word is given to nearly all."""
    done = cluster(shared / "data" / "facades" / "val", tmp_path / "walls.csv")
    assert done.returncode == 0, done.stderr
    names = [str(number) for number in range(1, 101)]
    attributes = resolve_attributes(tmp_path / "walls.csv", names)
    counts = Counter(attributes[name]["wall"] for name in names)
    assert len(counts) == 6
    assert max(counts.values()) < 50
