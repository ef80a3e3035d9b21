"""Materials at rendering scale: bricks, blocks, boards, plaster, tiles, clouds and leaves.

Most patterns lie on a grid from the image's corner and repeat after a power of two, so that a
network with strides of two can learn them. Only exact arithmetic is used (no sines, no sums over
floats), so that every machine makes the same pixels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from compnn.demo.facade.styles import Colour

Image = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int32]


def noise(rng: np.random.Generator, size: int, cell: int) -> Plane:
    """Smooth noise in [-1, 1], float32 (size, size): random values `cell` pixels apart, blended."""
    count = size // cell + 2
    values = (rng.random((count, count)) * 2 - 1).astype(np.float32)
    at = np.arange(size)
    low = at // cell
    part = ((at % cell) / np.float32(cell)).astype(np.float32)
    part = part * part * (3 - 2 * part)
    rows = values[low] * (1 - part)[:, None] + values[low + 1] * part[:, None]
    blended: Plane = rows[:, low] * (1 - part) + rows[:, low + 1] * part
    return blended


def grain(rng: np.random.Generator, size: int) -> Plane:
    """Fine noise in [-1, 1], float32 (size, size), denser around zero."""
    pair = rng.random((2, size, size), np.float32)
    total: Plane = pair[0] + pair[1] - 1
    return total


def flat(colour: Colour, size: int) -> Image:
    """A plain image, float32 (size, size, 3)."""
    image: Image = np.broadcast_to(np.array(colour, np.float32), (size, size, 3)).copy()
    return image


def shaded(colour: Colour, light: Plane) -> Image:
    """`colour` times `light` (size, size), 1 leaving it as it is."""
    image: Image = light[..., None] * np.array(colour, np.float32)
    return image


@lru_cache(maxsize=16)
def courses(
    size: int, height: int, width: int, bond: str
) -> tuple[Indices, Indices, Indices, Indices]:
    """Row and column number of the brick at each pixel, and the pixel's row and column inside it.

    `bond`: "stack" (all courses alike), "running" (each shifted by half), "flemish" (long and
    short in turn) or "english" (a course of long ones, a course of short ones).
    """
    y, x = np.mgrid[0:size, 0:size].astype(np.int32)
    row, inside_row = y // height, y % height
    odd = row % 2
    half = width // 2
    if bond == "flemish":
        period = width + half
        shifted = x + odd * (width * 3 // 4)
        place = shifted % period
        short = place >= width
        column, inside = shifted // period * 2 + short, np.where(short, place - width, place)
    elif bond == "english":
        step = np.where(odd == 1, half, width)
        shifted = x + odd * (half // 2)
        column, inside = shifted // step, shifted % step
    else:
        shifted = x + odd * half if bond == "running" else x
        column, inside = shifted // width, shifted % width
    # Counted modulo 64, the size of the tables of random tones.
    return row % 64, (column % 64).astype(np.int32), inside_row, inside.astype(np.int32)


def brick(rng: np.random.Generator, colour: Colour, size: int, bond: str) -> Image:
    """A brick wall: courses of 8 pixels, each brick lighter or darker than the next, mortar."""
    row, column, y, x = courses(size, 8, 16, bond)
    tone = (rng.random((64, 64)) + rng.random((64, 64)) - 1).astype(np.float32)[row, column]
    warm = (rng.random((64, 64)) * 12 - 6).astype(np.float32)[row, column]
    light = 1.04 + 0.20 * tone + 0.05 * grain(rng, size)
    light = np.where(y == 0, light * 1.06, light)
    light = np.where(y == 5, light * 0.92, light)
    image = shaded(colour, light)
    image[..., 0] += warm
    image[..., 2] -= warm
    # Mortar is light between dark bricks and a little dark between light ones.
    tint = np.array(colour, np.float32)
    if sum(colour) < 570:
        mortar = tint * np.float32(0.55) + np.float32(66)
    else:
        mortar = tint * np.float32(0.84)
    joint = (y >= 6) | (x < 2)
    image[joint] = mortar * (1 + 0.05 * grain(rng, size)[joint][:, None])
    return image


def blocks(
    rng: np.random.Generator, colour: Colour, size: int, height: int, width: int, contrast: float
) -> Image:
    """Dressed stone: large blocks with thin joints, dark above and light below each joint."""
    row, column, y, x = courses(size, height, width, "running")
    tones = (rng.random((64, 64)) * 2 - 1).astype(np.float32)
    light = 1 + 0.045 * tones[row, column] + 0.025 * grain(rng, size)
    light = light + 0.03 * noise(rng, size, 32)
    light = np.where((y == 0) | (x == 0), light * (1 - contrast), light)
    light = np.where((y == 1) | (x == 1), light * (1 + contrast / 3), light)
    light = np.where((y == height - 1) | (x == width - 1), light * (1 - contrast / 2), light)
    return shaded(colour, light)


def plaster(rng: np.random.Generator, colour: Colour, size: int) -> Image:
    """Stucco: fine grain, broad stains."""
    light = (
        1 + 0.03 * grain(rng, size) + 0.035 * noise(rng, size, 64) + 0.025 * noise(rng, size, 16)
    )
    return shaded(colour, light)


def boards(rng: np.random.Generator, colour: Colour, size: int) -> Image:
    """Painted timber: horizontal boards, 8 pixels each, every one lapping over the next."""
    y = np.arange(size)[:, None] % 8
    tones = (rng.random(size // 8 + 1) * 2 - 1).astype(np.float32)[np.arange(size) // 8][:, None]
    lap = np.array([0.74, 1.10, 1.06, 1.04, 1.02, 1.01, 1.0, 0.95], np.float32)[y]
    light = lap * (1 + 0.03 * tones) + 0.025 * grain(rng, size) + 0.02 * noise(rng, size, 64)
    return shaded(colour, light)


def panels(rng: np.random.Generator, colour: Colour, size: int) -> Image:
    """Concrete: panels of 64 x 64 pixels with thin joints."""
    y, x = np.mgrid[0:size, 0:size] % 64
    tones = (rng.random((16, 16)) * 2 - 1).astype(np.float32)
    tones = tones[np.arange(size)[:, None] // 64, np.arange(size) // 64]
    light = 1 + 0.03 * tones + 0.03 * grain(rng, size) + 0.035 * noise(rng, size, 32)
    light = np.where((y < 2) | (x < 2), light * 0.80, light)
    light = np.where((y == 2) | (x == 2), light * 1.05, light)
    return shaded(colour, light)


def slates(rng: np.random.Generator, colour: Colour, size: int) -> Image:
    """Slates, 8 pixels high and 8 wide."""
    row, column, y, x = courses(size, 8, 8, "running")
    tones = (rng.random((64, 64)) * 2 - 1).astype(np.float32)
    light = 1 + 0.09 * tones[row, column] + 0.03 * grain(rng, size)
    light = np.where(y == 7, light * 0.66, light)
    light = np.where(y == 0, light * 1.10, light)
    light = np.where(x == 0, light * 0.82, light)
    return shaded(colour, light)


def tiles(rng: np.random.Generator, colour: Colour, size: int) -> Image:
    """Round clay tiles: light on their left, dark between, courses of 16 pixels."""
    row, column, y, _ = courses(size, 16, 8, "stack")
    round_light = np.array([0.66, 0.92, 1.12, 1.18, 1.12, 1.02, 0.92, 0.78], np.float32)
    tones = (rng.random((64, 64)) * 2 - 1).astype(np.float32)
    light = round_light[np.arange(size) % 8][None, :] * (1 + 0.10 * tones[row, column])
    light = np.where(y >= 14, light * 0.62, light) + 0.03 * grain(rng, size)
    return shaded(colour, light)


def sky(rng: np.random.Generator, size: int) -> Image:
    """A blue sky, paler towards the ground, with a few soft clouds."""
    down = (np.arange(size, dtype=np.float32) / size)[:, None, None]
    high = np.array((86, 142, 206), np.float32)
    low = np.array((206, 224, 238), np.float32)
    height = np.minimum(down * np.float32(2.4), 1)
    image = high * (1 - height) + low * height + np.zeros((size, size, 1), np.float32)
    cloud = noise(rng, size, 128) + 0.6 * noise(rng, size, 64) + 0.35 * noise(rng, size, 32)
    cloud = cloud + 0.18 * noise(rng, size, 16)
    cover = np.clip((cloud - 0.05) * np.float32(0.9), 0, 0.85)[..., None]
    clouded: Image = image * (1 - cover) + np.array((250, 250, 250), np.float32) * cover
    return clouded


def leaves(rng: np.random.Generator, size: int) -> Image:
    """Foliage: light and dark clumps."""
    light = (
        0.95 + 0.30 * noise(rng, size, 16) + 0.30 * noise(rng, size, 6) + 0.22 * grain(rng, size)
    )
    return shaded((74, 106, 52), np.clip(light, 0.35, 1.7))


def foot_path(rng: np.random.Generator, size: int) -> Image:
    """Paving slabs."""
    return blocks(rng, (150, 146, 140), size, 16, 32, 0.20)


def wall(rng: np.random.Generator, material: str, bond: str, colour: Colour, size: int) -> Image:
    """The surface of a wall, float32 (size, size, 3), 0 to 255; `bond` is that of its bricks."""
    if material == "brick":
        return brick(rng, colour, size, bond)
    if material == "ashlar":
        return blocks(rng, colour, size, 32, 64, 0.20)
    if material == "timber":
        return boards(rng, colour, size)
    if material == "concrete":
        return panels(rng, colour, size)
    return plaster(rng, colour, size)
