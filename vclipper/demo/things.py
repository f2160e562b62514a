"""Things of the world: how each is painted, where it is found and in which colours.

Like the shapes, each fills about the square from (-1, -1) to (1, 1) of its pen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vclipper.demo.pen import COLOURS, DARK, GLASS, LEAF, PALE, WOOD, Painter, Pen, Rgb, around, shade
from vclipper.demo.shapes import crescent

# Colours that stand out in every landscape, whatever the hour.
_BRIGHT = ("red", "orange", "yellow", "blue", "purple", "pink", "white")


def _house(pen: Pen, c: Rgb) -> None:
    pen.box(c, -0.8, -0.1, 0.8, 0.95)
    pen.poly(shade(c, 0.45), (-1, -0.1), (0, -0.95), (1, -0.1))
    pen.box(WOOD, -0.18, 0.35, 0.18, 0.95)
    for x in (-0.5, 0.5):
        pen.box(GLASS, x - 0.16, 0.12, x + 0.16, 0.42)


def _castle(pen: Pen, c: Rgb) -> None:
    pen.box(c, -0.6, 0, 0.6, 0.95)
    for x in (-0.75, 0.75):
        pen.box(shade(c, 0.85), x - 0.25, -0.5, x + 0.25, 0.95)
        pen.poly(shade(c, 0.55), (x - 0.3, -0.5), (x, -1.05), (x + 0.3, -0.5))
    for x in (-0.35, 0, 0.35):
        pen.box(c, x - 0.1, -0.18, x + 0.1, 0.05)
    pen.disc(DARK, 0, 0.55, 0.2)
    pen.box(DARK, -0.2, 0.55, 0.2, 0.95)


def _tree(pen: Pen, c: Rgb) -> None:
    pen.box(WOOD, -0.14, 0.1, 0.14, 0.95)
    for x, y, r in ((-0.42, -0.15, 0.42), (0.42, -0.15, 0.42), (0, -0.5, 0.5)):
        pen.disc(c, x, y, r)


def _flower(pen: Pen, c: Rgb) -> None:
    pen.line(LEAF, 0.12, (0, 0), (0, 1))
    pen.oval(LEAF, 0.25, 0.65, 0.25, 0.1)
    for x, y in around(6, 0.42):
        pen.disc(c, x, y - 0.35, 0.27)
    pen.disc((120, 80, 20), 0, -0.35, 0.22)


def _tent(pen: Pen, c: Rgb) -> None:
    pen.poly(c, (0, -0.65), (1.05, 0.8), (-1.05, 0.8))
    pen.poly(DARK, (0, -0.2), (0.32, 0.8), (-0.32, 0.8))


def _windmill(pen: Pen, c: Rgb) -> None:
    pen.poly(c, (-0.25, -0.25), (0.25, -0.25), (0.45, 0.95), (-0.45, 0.95))
    for x, y in around(4, 0.8, turn=-60):
        pen.line(DARK, 0.06, (0, -0.3), (x, y - 0.3))
        pen.line(PALE, 0.2, (x * 0.4, y * 0.4 - 0.3), (x, y - 0.3))


def _wheels(pen: Pen, y: float, r: float, *xs: float) -> None:
    for x in xs:
        pen.disc(DARK, x, y, r)
        pen.disc((170, 170, 170), x, y, r * 0.45)


def _car(pen: Pen, c: Rgb) -> None:
    pen.poly(c, (-0.6, 0.05), (-0.38, -0.42), (0.38, -0.42), (0.65, 0.05))
    pen.poly(GLASS, (-0.45, 0.02), (-0.3, -0.32), (-0.04, -0.32), (-0.04, 0.02))
    pen.poly(GLASS, (0.06, 0.02), (0.06, -0.32), (0.3, -0.32), (0.48, 0.02))
    pen.box(c, -1, 0.03, 1, 0.48)
    _wheels(pen, 0.48, 0.24, -0.55, 0.55)


def _bus(pen: Pen, c: Rgb) -> None:
    pen.box(c, -1.1, -0.75, 1.1, 0.5)
    for x in (-0.8, -0.35, 0.1, 0.55):
        pen.box(GLASS, x - 0.16, -0.55, x + 0.16, -0.1)
    pen.box(GLASS, 0.82, -0.55, 1.1, 0.05)
    _wheels(pen, 0.52, 0.24, -0.65, 0.65)


def _bicycle(pen: Pen, c: Rgb) -> None:
    for x in (-0.6, 0.6):
        pen.arc(DARK, 0.09, x, 0.3, 0.45, 0, 360)
    pen.line(c, 0.13, (-0.6, 0.3), (-0.25, -0.25), (0.4, -0.25), (0, 0.3), (-0.6, 0.3))
    pen.line(c, 0.13, (0, 0.3), (-0.3, -0.42))
    pen.line(c, 0.13, (0.6, 0.3), (0.38, -0.55), (0.6, -0.6))
    pen.line(DARK, 0.13, (-0.48, -0.42), (-0.12, -0.42))


def _traffic_light(pen: Pen, c: Rgb) -> None:
    pen.box(DARK, -0.08, 0.4, 0.08, 1)
    pen.box(DARK, -0.38, -1.05, 0.38, 0.5)
    lit = {COLOURS["red"]: -0.75, COLOURS["yellow"]: -0.28}.get(c, 0.2)
    for y in (-0.75, -0.28, 0.2):
        pen.disc(c if y == lit else (75, 75, 78), 0, y, 0.22)


def _boat(pen: Pen, c: Rgb) -> None:
    pen.poly(WOOD, (-1, 0.45), (1, 0.45), (0.7, 0.9), (-0.7, 0.9))
    pen.line(DARK, 0.07, (0, 0.45), (0, -1))
    pen.poly(c, (0.08, -0.95), (0.85, 0.3), (0.08, 0.3))
    pen.poly(c, (-0.08, -0.7), (-0.65, 0.3), (-0.08, 0.3))


def _lighthouse(pen: Pen, c: Rgb) -> None:
    pen.oval((105, 95, 85), 0, 1, 0.8, 0.22)
    for i in range(5):
        y, w = -0.5 + i * 0.3, 0.24 + i * 0.045
        pen.box(c if i % 2 == 0 else PALE if c != COLOURS["white"] else (120, 120, 125), -w, y, w, y + 0.3)
    pen.box((255, 235, 120), -0.18, -0.78, 0.18, -0.5)
    pen.poly(DARK, (-0.28, -0.78), (0, -1.05), (0.28, -0.78))


def _sun(pen: Pen, c: Rgb) -> None:
    for x, y in around(12, 1.0):
        pen.line((255, 190, 30), 0.1, (x * 0.6, y * 0.6), (x, y))
    pen.disc((255, 205, 35), 0, 0, 0.6)


def _moon(pen: Pen, c: Rgb) -> None:
    crescent(pen.at(0, 0, 0.85), (250, 245, 200))


def _rainbow(pen: Pen, c: Rgb) -> None:
    names = ("red", "orange", "yellow", "green", "blue", "purple")
    for i, name in enumerate(names):
        pen.arc(COLOURS[name], 0.15, 0, 0.75, 1.5 - i * 0.13, 180, 360)


def _hot_air_balloon(pen: Pen, c: Rgb) -> None:
    for x in (-0.2, 0.2):
        pen.line(DARK, 0.04, (x * 2, 0.1), (x, 0.7))
    pen.disc(c, 0, -0.35, 0.68)
    pen.poly(c, (-0.6, -0.05), (0.6, -0.05), (0.2, 0.5), (-0.2, 0.5))
    pen.oval(shade(c, 0.7), 0, -0.35, 0.22, 0.68)
    pen.box(WOOD, -0.2, 0.7, 0.2, 1)


def _plane(pen: Pen, c: Rgb) -> None:
    pen.oval(c, 0, 0, 1, 0.2)
    pen.poly(shade(c, 0.75), (-0.15, 0), (0.3, 0), (-0.2, 0.75), (-0.45, 0.75))
    pen.poly(shade(c, 0.75), (-0.1, -0.1), (0.25, -0.1), (-0.15, -0.6), (-0.35, -0.6))
    pen.poly(c, (-0.95, 0), (-0.65, -0.1), (-0.95, -0.55), (-1.1, -0.55))
    pen.disc(GLASS, 0.72, -0.05, 0.1)


def _kite(pen: Pen, c: Rgb) -> None:
    pen.line(DARK, 0.05, (0, 0.35), (-0.25, 0.6), (0, 0.8), (-0.2, 1.1))
    pen.poly(c, (0.1, -1), (0.65, -0.35), (0, 0.45), (-0.55, -0.35))
    pen.line(DARK, 0.05, (0.1, -1), (0, 0.45))
    pen.line(DARK, 0.05, (-0.55, -0.35), (0.65, -0.35))


def _bird(pen: Pen, c: Rgb) -> None:
    pen.poly(c, (-0.5, 0.1), (-1.05, -0.15), (-1, 0.3))
    pen.oval(c, 0, 0.1, 0.62, 0.34)
    pen.disc(c, 0.6, -0.15, 0.27)
    pen.poly((245, 160, 30), (0.82, -0.22), (1.12, -0.08), (0.82, -0.02))
    pen.poly(shade(c, 0.65), (-0.25, 0), (0.3, 0), (-0.25, -0.85))
    pen.disc(DARK, 0.66, -0.2, 0.07)


def _rocket(pen: Pen, c: Rgb) -> None:
    pen.poly((255, 150, 30), (-0.2, 0.6), (0.2, 0.6), (0, 1.15))
    pen.poly(shade(c, 0.6), (-0.25, 0.1), (-0.6, 0.75), (0.6, 0.75), (0.25, 0.1))
    pen.oval(c, 0, -0.1, 0.33, 0.9)
    pen.disc(GLASS, 0, -0.3, 0.16)


def _planet(pen: Pen, c: Rgb) -> None:
    pen.poly(shade(c, 0.6), (-1.15, 0.4), (1.05, -0.42), (1.15, -0.25), (-1.05, 0.57))
    pen.disc(c, 0, 0, 0.62)
    pen.poly(shade(c, 0.6), (-0.65, 0.25), (0.6, -0.2), (0.65, -0.08), (-0.6, 0.4))


def _cactus(pen: Pen, c: Rgb) -> None:
    pen.line(LEAF, 0.36, (0, 1), (0, -0.9))
    pen.line(LEAF, 0.24, (0, 0.4), (-0.6, 0.4), (-0.6, -0.25))
    pen.line(LEAF, 0.24, (0, 0.1), (0.6, 0.1), (0.6, -0.5))


def _pyramid(pen: Pen, c: Rgb) -> None:
    pen.poly((215, 170, 85), (-1.1, 0.8), (0.1, -0.75), (0.35, 0.8))
    pen.poly((150, 110, 50), (0.35, 0.8), (0.1, -0.75), (1.1, 0.7))


def _fish(pen: Pen, c: Rgb) -> None:
    pen.poly(shade(c, 0.75), (-0.5, 0), (-1.1, -0.5), (-1.1, 0.5))
    pen.poly(shade(c, 0.75), (-0.3, -0.3), (0.25, -0.3), (-0.15, -0.75))
    pen.oval(c, 0.1, 0, 0.8, 0.45)
    pen.disc(PALE, 0.55, -0.1, 0.14)
    pen.disc(DARK, 0.58, -0.1, 0.07)


def _jellyfish(pen: Pen, c: Rgb) -> None:
    for x in (-0.45, -0.15, 0.15, 0.45):
        pen.line(shade(c, 0.8), 0.09, (x, 0), (x - 0.1, 0.35), (x + 0.1, 0.65), (x, 1))
    pen.disc(c, 0, -0.2, 0.68)
    pen.oval(shade(c, 0.8), 0, 0.2, 0.68, 0.16)


def _cup(pen: Pen, c: Rgb) -> None:
    pen.arc(c, 0.16, 0.6, 0.05, 0.4, -100, 100)
    pen.poly(c, (-0.75, -0.5), (0.65, -0.5), (0.5, 0.75), (-0.6, 0.75))
    pen.oval((80, 50, 30), -0.05, -0.5, 0.7, 0.14)


def _clock(pen: Pen, c: Rgb) -> None:
    pen.disc(c, 0, 0, 0.98)
    pen.disc(PALE if c != COLOURS["white"] else (190, 190, 195), 0, 0, 0.76)
    for x, y in around(12, 0.65):
        pen.disc(DARK, x, y, 0.06)
    pen.line(DARK, 0.1, (0.4, 0.15), (0, 0), (0.0, -0.55))


def _lamp(pen: Pen, c: Rgb) -> None:
    pen.box(DARK, -0.06, 0, 0.06, 0.95)
    pen.oval(DARK, 0, 0.95, 0.45, 0.1)
    pen.poly(c, (-0.35, -0.9), (0.35, -0.9), (0.75, 0.05), (-0.75, 0.05))


def _chair(pen: Pen, c: Rgb) -> None:
    pen.box(c, -0.6, -1, -0.38, 0.95)
    pen.box(c, -0.6, 0, 0.6, 0.25)
    pen.box(c, 0.38, 0.1, 0.6, 0.95)
    pen.box(shade(c, 0.75), -0.38, -0.75, -0.25, 0)


def _face(pen: Pen, c: Rgb) -> None:
    pen.disc(c, 0, 0, 0.98)
    for x in (-0.36, 0.36):
        pen.oval(DARK, x, -0.28, 0.12, 0.18)


def _smiling_face(pen: Pen, c: Rgb) -> None:
    _face(pen, c)
    pen.arc(DARK, 0.14, 0, 0.02, 0.62, 20, 160)


def _sad_face(pen: Pen, c: Rgb) -> None:
    _face(pen, c)
    pen.arc(DARK, 0.14, 0, 0.78, 0.52, 205, 335)


def _butterfly(pen: Pen, c: Rgb) -> None:
    for side in (-1, 1):
        pen.oval(c, side * 0.52, -0.4, 0.46, 0.48)
        pen.oval(shade(c, 0.7), side * 0.42, 0.45, 0.34, 0.36)
        pen.line(DARK, 0.05, (0, -0.5), (side * 0.25, -1))
    pen.oval(DARK, 0, 0, 0.1, 0.65)


def _umbrella(pen: Pen, c: Rgb) -> None:
    pen.line(DARK, 0.09, (0, -0.5), (0, 0.85), (-0.2, 0.95), (-0.32, 0.8))
    unit = pen.at(0, 0.15, 1)
    pen.poly(c, *[(1.05 * math.cos(a), 1.05 * math.sin(a)) for a in np.linspace(math.pi, 2 * math.pi, 25)])
    for x in (-0.7, 0, 0.7):
        unit.poly(shade(c, 0.7), (x - 0.12, -0.15), (0, -1.15), (x + 0.12, -0.15))


def _cat(pen: Pen, c: Rgb) -> None:
    for side in (-1, 1):
        pen.poly(c, (side * 0.85, -1), (side * 0.15, -0.55), (side * 0.85, -0.1))
    pen.disc(c, 0, 0.1, 0.82)
    for side in (-1, 1):
        pen.oval((90, 200, 90), side * 0.34, -0.08, 0.16, 0.16)
        pen.oval(DARK, side * 0.34, -0.08, 0.06, 0.15)
        for y in (0.3, 0.48):
            pen.line(DARK, 0.05, (side * 0.25, 0.38), (side * 0.98, y))
    pen.poly(DARK, (-0.12, 0.25), (0.12, 0.25), (0, 0.42))


def _snowman(pen: Pen, c: Rgb) -> None:
    for y, r in ((0.55, 0.48), (-0.15, 0.36), (-0.65, 0.26)):
        pen.disc((150, 165, 190), 0, y, r + 0.04)
        pen.disc((252, 252, 255), 0, y, r)
    pen.box(DARK, -0.3, -0.92, 0.3, -0.82)
    pen.box(DARK, -0.2, -1.2, 0.2, -0.85)
    pen.poly((250, 130, 20), (0, -0.68), (0.42, -0.6), (0, -0.55))
    for y in (-0.3, -0.1, 0.4):
        pen.disc(DARK, 0, y, 0.06)


@dataclass(frozen=True)
class Kind:
    """How a thing of the world is painted, on which backdrops it is found and in which colours.

    `x`, `y` is where it stands in the central square and `size` is half its side there.
    """

    paint: Painter
    backdrops: tuple[str, ...]
    colours: tuple[str, ...] = _BRIGHT
    y: float = 0.6
    size: float = 0.3
    times: tuple[str, ...] = ("day", "sunset", "night")


PLAIN = ("plain", "gradient", "stripes", "checks")
_LAND = ("meadow", "desert", "snowfield", "mountains")
KINDS: dict[str, Kind] = {
    "house": Kind(_house, ("meadow", "snowfield", "mountains")),
    "castle": Kind(_castle, ("meadow", "mountains", "snowfield")),
    "tree": Kind(_tree, _LAND, ("green", "orange", "pink", "white", "red")),
    "flower": Kind(_flower, ("meadow", *PLAIN)),
    "tent": Kind(_tent, _LAND, y=0.65),
    "windmill": Kind(_windmill, ("meadow", "mountains")),
    "car": Kind(_car, ("road", "city", "desert"), y=0.66),
    "bus": Kind(_bus, ("road", "city"), y=0.6),
    "bicycle": Kind(_bicycle, ("road", "meadow", "city"), y=0.66),
    "traffic light": Kind(_traffic_light, ("road", "city"), ("red", "yellow", "green"), y=0.5, size=0.36),
    "boat": Kind(_boat, ("sea",), y=0.5, size=0.32),
    "lighthouse": Kind(_lighthouse, ("sea",), y=0.5, size=0.38),
    "sun": Kind(_sun, ("sea", "mountains", "desert", "meadow"), ("",), 0.28, 0.24, ("day", "sunset")),
    "moon": Kind(_moon, ("sea", "mountains", "sky", "city"), ("",), 0.25, 0.2, ("night",)),
    "rainbow": Kind(_rainbow, ("meadow", "sea", "mountains"), ("",), 0.42, 0.32, ("day",)),
    "hot-air balloon": Kind(_hot_air_balloon, ("sky", "mountains", "sea"), y=0.42, size=0.34),
    "plane": Kind(_plane, ("sky", "city", "mountains"), y=0.4, size=0.34),
    "kite": Kind(_kite, ("sky", "meadow"), y=0.42),
    "bird": Kind(_bird, ("sky", "sea"), y=0.42),
    "rocket": Kind(_rocket, ("space", "sky"), y=0.5, size=0.36),
    "planet": Kind(_planet, ("space",), y=0.5, size=0.36),
    "cactus": Kind(_cactus, ("desert", "plain"), ("",), 0.55),
    "pyramid": Kind(_pyramid, ("desert",), ("",), 0.52, 0.36),
    "fish": Kind(_fish, ("water",), y=0.5, size=0.34),
    "jellyfish": Kind(_jellyfish, ("water",), y=0.5, size=0.34),
    "cup": Kind(_cup, ("room", *PLAIN), y=0.55),
    "clock": Kind(_clock, ("room", *PLAIN), y=0.42),
    "lamp": Kind(_lamp, ("room",), y=0.52, size=0.34),
    "chair": Kind(_chair, ("room",), y=0.58, size=0.32),
    "smiling face": Kind(_smiling_face, PLAIN, y=0.5, size=0.36),
    "sad face": Kind(_sad_face, PLAIN, y=0.5, size=0.36),
    "butterfly": Kind(_butterfly, ("meadow", *PLAIN), y=0.5, size=0.34),
    "umbrella": Kind(_umbrella, ("city", "road", "meadow"), y=0.55, size=0.34),
    "cat": Kind(_cat, ("room", *PLAIN), ("orange", "grey", "black", "white", "brown"), 0.52, 0.34),
    "snowman": Kind(_snowman, ("snowfield", "mountains", "meadow"), ("",), 0.58, 0.34),
}
