"""One picture of several that lie over each other: means of photos and values, votes of labels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.images.kinds import Kind, Labels, Photo, Rectangle, Values
from compnn.images.palette import Palette

PALETTE = Palette(
    "test",
    tuple("abcd"),
    np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0]], np.uint8),
    void=7,
)
LABELS = np.array([0, 1, 2, 3, 7], np.uint8)
Picture = npt.NDArray[Any]
Pasted = list[tuple[Rectangle, Picture, npt.NDArray[np.bool_] | None]]


@st.composite
def covers(draw: st.DrawFn) -> tuple[tuple[int, int], list[Rectangle], int]:
    """Rectangles that together cover a picture of some size, and a seed."""
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))

    def rectangle() -> Rectangle:
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        bottom, right = draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))
        return slice(top, bottom), slice(left, right)

    rectangles = [rectangle() for _ in range(draw(st.integers(0, 12)))]
    whole = slice(0, height), slice(0, width)
    rectangles.insert(draw(st.integers(0, len(rectangles))), whole)
    return (height, width), rectangles, draw(st.integers(0, 999))


def random_picture(kind: Kind, random: np.random.Generator, size: tuple[int, ...]) -> Picture:
    if isinstance(kind, Photo):
        return random.integers(0, 256, (*size, 3), np.uint8)
    if isinstance(kind, Labels):
        return random.choice(LABELS, size)
    return random.normal(0, 1e3, size).astype(np.float32)


def paste(kind: Kind, rectangles: list[Rectangle], seed: int) -> Pasted:
    random = np.random.default_rng(seed)
    sizes = [(rows.stop - rows.start, cols.stop - cols.start) for rows, cols in rectangles]
    pictures = [random_picture(kind, random, size) for size in sizes]
    return [(*each, None) for each in zip(rectangles, pictures, strict=True)]


def pixels_of(pasted: Pasted, row: int, col: int) -> list[Any]:
    """What is pasted at a pixel."""
    return [
        part[row - rows.start, col - cols.start]
        for (rows, cols), part, _ in pasted
        if rows.start <= row < rows.stop and cols.start <= col < cols.stop
    ]


def elected(votes: list[int], owner: int) -> int:
    counts = Counter(votes)
    most = max(counts.values())
    tied = [label for label, count in counts.items() if count == most]
    return owner if owner in tied else min(tied)


def unasked() -> Picture:
    """What plain copying gives does not matter to a mean, and is not made for it."""
    raise AssertionError("a mean asked for the picture that plain copying gives")


@given(covers())
@settings(deadline=None)
def test_photos_are_averaged(cover: tuple[tuple[int, int], list[Rectangle], int]) -> None:
    size, rectangles, seed = cover
    pasted = paste(Photo(), rectangles, seed)
    found = Photo().check(Photo().merge(size, unasked, iter(pasted)), "merged")
    for row, col in np.ndindex(size):
        mean = np.mean(np.array(pixels_of(pasted, row, col), np.float64), axis=0)
        assert np.abs(found[row, col] - mean).max() <= 0.5 + 1e-4


@given(covers())
@settings(deadline=None)
def test_values_are_averaged(cover: tuple[tuple[int, int], list[Rectangle], int]) -> None:
    size, rectangles, seed = cover
    kind = Values("m")
    pasted = paste(kind, rectangles, seed)
    found = kind.check(kind.merge(size, unasked, iter(pasted)), "merged")
    expected = np.zeros(size)
    for row, col in np.ndindex(size):
        expected[row, col] = np.mean(np.array(pixels_of(pasted, row, col), np.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@given(covers())
@settings(deadline=None)
def test_labels_are_voted_on(cover: tuple[tuple[int, int], list[Rectangle], int]) -> None:
    size, rectangles, seed = cover
    kind = Labels(PALETTE)
    pasted = paste(kind, rectangles, seed)
    owned = random_picture(kind, np.random.default_rng((seed, 1)), size)
    before = owned.copy()
    expected = np.zeros(size, np.uint8)
    for row, col in np.ndindex(size):
        votes = [int(vote) for vote in pixels_of(pasted, row, col)]
        expected[row, col] = elected(votes, int(owned[row, col]))
    found = kind.check(kind.merge(size, lambda: owned, iter(pasted)), "merged")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(owned, before)

    # Painted label maps, with colours a little off, give the same classes in their true colours.
    def off(labels: Picture) -> Picture:
        painted = PALETTE.colourise(labels)
        painted[painted > 0] -= np.uint8(20)
        return painted

    painted = [(where, off(part), None) for where, part, _ in pasted]
    merged = kind.merge(size, lambda: off(owned), painted)
    np.testing.assert_array_equal(merged, PALETTE.colourise(expected))


def column(labels: list[int]) -> Picture:
    return np.array(labels, np.uint8)[:, np.newaxis]


@pytest.mark.parametrize(
    ("owner", "votes", "winner"),
    [
        (3, [3, 1], 3),  # a tie goes to the owner
        (1, [3, 1], 1),
        (0, [2, 2, 1, 1], 1),  # or else to the lowest
        (0, [2, 2, 1, 0, 1], 1),
        (2, [7, 7, 2], 7),  # void is voted for like a class
        (7, [7, 0, 7, 0], 7),
        (2, [3], 3),  # the owner that nobody pastes has no vote
    ],
)
def test_ties(owner: int, votes: list[int], winner: int) -> None:
    everywhere = (slice(0, 1), slice(0, 1))
    for order in (votes, votes[::-1]):
        pasted = [(everywhere, column([vote]), None) for vote in order]
        assert Labels(PALETTE).merge((1, 1), lambda: column([owner]), pasted).tolist() == [[winner]]


@pytest.mark.parametrize("count", [255, 256, 300])
def test_more_votes_than_a_byte_counts(count: int) -> None:
    everywhere = (slice(0, 1), slice(0, 1))
    pasted = [(everywhere, column([1]), None)] * count + [(everywhere, column([2]), None)] * (
        count - 1
    )
    assert Labels(PALETTE).merge((1, 1), lambda: column([2]), pasted).tolist() == [[1]]


@pytest.mark.parametrize("kind", [Photo(), Labels(PALETTE), Values("m"), Labels("facades")])
def test_parts_of_one_picture_give_it_back(kind: Kind) -> None:
    random = np.random.default_rng(0)
    picture = random_picture(Photo(), random, (6, 8))
    if isinstance(kind, Labels) and kind.palette == PALETTE:
        picture = random.choice(LABELS, (6, 8))
    elif isinstance(kind, Labels):  # an input: a label map that is painted
        picture = kind.palette.colourise(random.integers(0, 12, (6, 8), np.uint8))
    elif isinstance(kind, Values):
        picture = random.normal(size=(6, 8)).astype(np.float32)
    parts = [(slice(0, 6), slice(0, 8)), (slice(1, 4), slice(2, 8)), (slice(0, 2), slice(0, 3))]
    merged = kind.merge((6, 8), lambda: picture, [(where, picture[where], None) for where in parts])
    np.testing.assert_allclose(merged, picture, rtol=1e-6)
    assert merged.dtype == picture.dtype


def test_inputs_of_values_are_averaged_as_the_photos_they_are() -> None:
    where = (slice(0, 1), slice(0, 1))
    parts = [(where, np.full((1, 1, 3), grey, np.uint8), None) for grey in (10, 11, 13)]
    merged = Values("m").merge((1, 1), unasked, parts)
    assert merged.tolist() == [[[11, 11, 11]]]
    assert merged.dtype == np.uint8


def test_means_of_large_values_stay_finite() -> None:
    where = (slice(0, 1), slice(0, 1))
    large = np.array([[3e38]], np.float32)
    merged = Values().merge((1, 1), unasked, [(where, large, None)] * 5)
    np.testing.assert_array_equal(merged, large)
