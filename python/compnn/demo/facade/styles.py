"""The classes, wall colours and architectural styles of the demo's facades, as plain tables."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

CLASSES: dict[str, Colour] = {
    "sky": (150, 208, 240),
    "wall": (44, 62, 150),
    "window": (255, 214, 70),
    "shutter": (160, 90, 210),
    "door": (214, 40, 57),
    "balcony": (110, 200, 70),
    "shop": (250, 130, 60),
    "awning": (240, 110, 180),
    "cornice": (0, 190, 180),
    "trim": (240, 244, 240),
    "roof": (110, 40, 50),
    "chimney": (190, 150, 110),
    "plinth": (90, 100, 110),
    "pavement": (40, 40, 48),
    "tree": (20, 110, 60),
}
"""The classes of a label map, in order of their index, and the colour each is shown in."""

CLASS_INDEX: dict[str, int] = {name: index for index, name in enumerate(CLASSES)}

WALL_COLOURS: dict[str, Colour] = {
    "red": (164, 72, 56),
    "yellow": (216, 178, 100),
    "white": (222, 218, 208),
    "grey": (140, 143, 147),
    "brown": (110, 82, 62),
    "blue": (98, 134, 166),
}
"""The values of the attribute `wall`, each with the colour its walls have on average."""

MATERIALS: dict[str, tuple[str, ...]] = {
    "red": ("brick", "brick", "brick", "stucco"),
    "yellow": ("stucco", "stucco", "brick"),
    "white": ("ashlar", "stucco", "brick"),
    "grey": ("concrete", "ashlar", "stucco"),
    "brown": ("brick", "ashlar", "brick"),
    "blue": ("timber", "stucco", "timber"),
}
"""What walls of a colour are made of; repeats are weights."""


@dataclass(frozen=True)
class Style:
    """How buildings of a style are laid out and made; a pair (low, high) includes both ends."""

    name: str
    usual: tuple[tuple[str, str, str], ...]
    """Roof or ground floor ("" is any other), and the wall and material that go with it."""
    storeys: tuple[int, int]
    bays: tuple[int, int]
    window_width: tuple[float, float]
    """Share of the bay's width."""
    window_height: tuple[float, float]
    """Share of the storey's height."""
    window: str
    arch: tuple[int, int]
    """Rise of the windows' arched top, in pixels; 0 is straight."""
    roofs: tuple[str, ...]
    grounds: tuple[str, ...]
    balconies: tuple[str, ...]
    trim: str
    shutters: float
    """Share of the buildings with shutters."""
    margin: int
    """Largest free space left and right of the building, in pixels."""
    bond: str
    """Bond of its brick walls, see `textures.courses`."""
    frames: tuple[Colour, ...]
    """Colours of window frames; of these, and of the doors, the first is the usual one."""
    doors: tuple[Colour, ...]
    shop: Colour
    """Usual colour of its shop fronts."""
    cloth: Colour
    """Usual colour of the stripes of its awnings."""
    stone: Colour
    """Colour of cornices, trim and balcony slabs."""


STYLES: tuple[Style, ...] = (
    Style(
        name="classical",
        usual=(("arcade", "yellow", "ashlar"), ("", "white", "ashlar")),
        storeys=(4, 5),
        bays=(3, 5),
        window_width=(0.36, 0.44),
        window_height=(0.66, 0.74),
        window="casement",
        arch=(0, 0),
        roofs=("mansard",),
        grounds=("shops", "shops", "arcade"),
        balconies=("rows", "rows", "each"),
        trim="surround",
        shutters=0.0,
        margin=0,
        bond="running",
        frames=((236, 232, 222), (226, 222, 214)),
        doors=((38, 66, 58), (44, 52, 82), (96, 44, 36)),
        shop=(34, 58, 50),
        cloth=(40, 96, 74),
        stone=(214, 206, 190),
    ),
    Style(
        name="brownstone",
        usual=(("", "brown", "brick"),),
        storeys=(3, 4),
        bays=(3, 4),
        window_width=(0.30, 0.38),
        window_height=(0.60, 0.68),
        window="sash",
        arch=(0, 0),
        roofs=("bracketed",),
        grounds=("stoop",),
        balconies=("none",),
        trim="lintel",
        shutters=0.0,
        margin=0,
        bond="running",
        frames=((58, 46, 40), (44, 42, 44)),
        doors=((104, 34, 30), (52, 34, 26), (30, 52, 50)),
        shop=(44, 40, 38),
        cloth=(182, 48, 44),
        stone=(168, 146, 124),
    ),
    Style(
        name="industrial",
        usual=(("", "red", "brick"),),
        storeys=(3, 4),
        bays=(3, 4),
        window_width=(0.66, 0.76),
        window_height=(0.62, 0.70),
        window="grid",
        arch=(5, 8),
        roofs=("parapet",),
        grounds=("gate",),
        balconies=("none",),
        trim="hood",
        shutters=0.0,
        margin=0,
        bond="english",
        frames=((46, 58, 58), (40, 44, 50)),
        doors=((52, 84, 84), (70, 74, 78)),
        shop=(44, 40, 38),
        cloth=(182, 48, 44),
        stone=(186, 172, 152),
    ),
    Style(
        name="modern",
        usual=(("", "grey", "concrete"),),
        storeys=(4, 6),
        bays=(2, 3),
        window_width=(0.62, 0.78),
        window_height=(0.50, 0.60),
        window="plain",
        arch=(0, 0),
        roofs=("flat",),
        grounds=("lobby",),
        balconies=("column", "column", "stagger"),
        trim="none",
        shutters=0.0,
        margin=24,
        bond="stack",
        frames=((44, 46, 50), (34, 36, 40)),
        doors=((60, 66, 72), (120, 84, 54)),
        shop=(44, 40, 38),
        cloth=(44, 74, 128),
        stone=(204, 206, 206),
    ),
    Style(
        name="mediterranean",
        usual=(("arcade", "red", "stucco"), ("", "yellow", "stucco")),
        storeys=(3, 4),
        bays=(3, 4),
        window_width=(0.26, 0.32),
        window_height=(0.58, 0.66),
        window="casement",
        arch=(0, 0),
        roofs=("tiles",),
        grounds=("cafe", "cafe", "arcade"),
        balconies=("centre", "each", "none"),
        trim="sill",
        shutters=1.0,
        margin=20,
        bond="flemish",
        frames=((240, 236, 226), (120, 84, 54)),
        doors=((94, 62, 40), (48, 84, 72)),
        shop=(96, 34, 38),
        cloth=(182, 48, 44),
        stone=(234, 224, 204),
    ),
    Style(
        name="nordic",
        usual=(("stepped", "red", "brick"), ("bell", "white", "stucco"), ("", "blue", "timber")),
        storeys=(3, 4),
        bays=(2, 3),
        window_width=(0.26, 0.34),
        window_height=(0.60, 0.68),
        window="cross",
        arch=(0, 0),
        roofs=("gable", "stepped", "bell"),
        grounds=("porch", "porch", "shops"),
        balconies=("none",),
        trim="surround",
        shutters=0.0,
        margin=44,
        bond="flemish",
        frames=((244, 244, 240), (238, 238, 232)),
        doors=((142, 40, 38), (38, 74, 60), (210, 160, 60)),
        shop=(32, 44, 70),
        cloth=(44, 74, 128),
        stone=(240, 240, 234),
    ),
)

SHUTTERS: dict[str, Colour] = {
    "red": (62, 92, 74),
    "yellow": (58, 104, 84),
    "white": (62, 104, 132),
    "grey": (62, 104, 132),
    "brown": (58, 104, 84),
    "blue": (112, 70, 46),
}
"""Usual colour of the shutters on a wall of each colour."""
SHOPS: tuple[Colour, ...] = ((34, 58, 50), (96, 34, 38), (32, 44, 70), (44, 40, 38))
CLOTHS: tuple[Colour, ...] = ((182, 48, 44), (40, 96, 74), (44, 74, 128), (206, 138, 48))

USUAL_SHARE = 0.72
"""Share of the buildings that have their style's usual wall; others share the rest evenly."""
USUAL_COLOUR_SHARE = 0.75
"""The same for the colours of frames, doors, shutters, shop fronts and awnings."""
