"""Pictures with captions, drawn from simple shapes: what the demo model learns from and what the demo shows.

A `Scene` says what is in a picture, `draw_scene` draws it and `scene_caption` puts it into words. A scene is
drawn from a seeded generator, and so is everything else here, so the same seed gives the same pictures.
Coordinates are those of the picture's central square: (0, 0) is its top left corner and (1, 1) its bottom
right one, y pointing down. Whatever matters is drawn inside that square, as image preprocessing crops to it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Rgb = tuple[int, int, int]
Point = tuple[float, float]
Rng = np.random.Generator

COLOURS: dict[str, Rgb] = {
    "red": (220, 30, 35),
    "orange": (250, 135, 15),
    "yellow": (250, 220, 40),
    "green": (35, 150, 55),
    "blue": (35, 75, 215),
    "purple": (125, 45, 165),
    "pink": (250, 140, 185),
    "brown": (120, 72, 35),
    "black": (18, 18, 20),
    "white": (247, 247, 245),
    "grey": (135, 137, 140),
    "turquoise": (50, 205, 200),
}
# Colours that stand out in every landscape, whatever the hour.
BRIGHT = ("red", "orange", "yellow", "blue", "purple", "pink", "white")
HELD_OUT_ONE_IN = 10


@dataclass(frozen=True)
class Thing:
    """One object, or several alike: its name, colour ("" where it has none to choose), size and count."""

    what: str
    colour: str = ""
    size: str = "medium"
    count: int = 1


@dataclass(frozen=True)
class Backdrop:
    """What lies behind the things: a pattern of up to two colours, or a landscape, its hour and weather."""

    pattern: str
    colour: str = ""
    colour2: str = ""
    time: str = ""
    weather: str = ""


@dataclass(frozen=True)
class Scene:
    """What is in a picture: none, one or two things, where they are, and what lies behind them.

    `layout` is "centre", "left", "right", "top" or "bottom" for one thing, and for two things how the first
    one lies to the second one: "left of", "above" or "inside".
    """

    things: tuple[Thing, ...]
    layout: str
    backdrop: Backdrop


@dataclass(frozen=True)
class Caption:
    """A text and the facts it states; it is true of every scene whose facts include them all."""

    text: str
    facts: frozenset[str]

    def describes(self, scene: Scene) -> bool:
        """Whether everything the caption states holds in the scene."""
        return self.facts <= scene_facts(scene)


@dataclass(frozen=True)
class Jitter:
    """How one drawing of a scene differs from another: nothing a caption would mention.

    `dx`, `dy` shift the things, in parts of the central square; `scale` and `brightness` are factors;
    `noise` is a standard deviation in grey levels of 255; `blur` is a radius in pixels; `jpeg` is a JPEG
    quality, 0 for none; `seed` places what is scattered, such as stars and clouds, and tints colours;
    `instant` places rain and snow, so that it can fall while all else stays.
    """

    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    brightness: float = 1.0
    noise: float = 0.0
    blur: float = 0.0
    jpeg: int = 0
    seed: int = 0
    instant: int = 0


# --- drawing tools ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pen:
    """Draws in its own coordinates: the origin lies at pixel (`x`, `y`), one unit is `unit` pixels long."""

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    unit: float

    def at(self, x: float, y: float, scale: float) -> Pen:
        """Return a pen whose origin lies at (x, y) of this one and whose unit is `scale` times as long."""
        return Pen(self.draw, self.x + x * self.unit, self.y + y * self.unit, self.unit * scale)

    def _pixel(self, point: Point) -> Point:
        return (self.x + point[0] * self.unit, self.y + point[1] * self.unit)

    def poly(self, colour: Rgb, *points: Point) -> None:
        """Fill the polygon with these corners."""
        self.draw.polygon([self._pixel(p) for p in points], fill=colour)

    def box(self, colour: Rgb, x0: float, y0: float, x1: float, y1: float) -> None:
        """Fill an upright rectangle."""
        self.draw.rectangle((*self._pixel((x0, y0)), *self._pixel((x1, y1))), fill=colour)

    def oval(self, colour: Rgb, x: float, y: float, rx: float, ry: float) -> None:
        """Fill an ellipse around (x, y) with the half axes rx and ry."""
        self.draw.ellipse((*self._pixel((x - rx, y - ry)), *self._pixel((x + rx, y + ry))), fill=colour)

    def disc(self, colour: Rgb, x: float, y: float, r: float) -> None:
        """Fill a circle."""
        self.oval(colour, x, y, r, r)

    def line(self, colour: Rgb, width: float, *points: Point) -> None:
        """Draw a line through the points; the width is in units."""
        pixels = [self._pixel(p) for p in points]
        self.draw.line(pixels, fill=colour, width=max(1, round(width * self.unit)), joint="curve")

    def arc(self, colour: Rgb, width: float, x: float, y: float, r: float, start: float, end: float) -> None:
        """Draw part of a circle, from one angle to another in degrees, clockwise from three o'clock."""
        box = (*self._pixel((x - r, y - r)), *self._pixel((x + r, y + r)))
        self.draw.arc(box, start, end, fill=colour, width=max(1, round(width * self.unit)))


Painter = Callable[[Pen, Rgb], None]

DARK: Rgb = (35, 35, 40)
PALE: Rgb = (240, 240, 235)
GLASS: Rgb = (175, 215, 235)
WOOD: Rgb = (110, 70, 40)
LEAF: Rgb = (40, 130, 50)


def shade(colour: Rgb, factor: float) -> Rgb:
    """Return the colour made darker (factor below 1) or lighter (above 1)."""
    r, g, b = (min(255, max(0, round(c * factor))) for c in colour)
    return (r, g, b)


def _around(n: int, radius: float, inner: float | None = None, turn: float = -90.0) -> list[Point]:
    """Return the corners of a regular polygon, or of a star where an inner radius is given."""
    radii = [radius] if inner is None else [radius, inner]
    steps = n * len(radii)
    angles = [math.radians(turn + 360 * i / steps) for i in range(steps)]
    return [
        (radii[i % len(radii)] * math.cos(a), radii[i % len(radii)] * math.sin(a)) for i, a in enumerate(angles)
    ]


# --- plain shapes: each fills about the square from (-1, -1) to (1, 1) ------------------------------------


def _circle(pen: Pen, c: Rgb) -> None:
    pen.disc(c, 0, 0, 0.95)


def _square(pen: Pen, c: Rgb) -> None:
    pen.box(c, -0.85, -0.85, 0.85, 0.85)


def _triangle(pen: Pen, c: Rgb) -> None:
    pen.poly(c, (0, -0.95), (0.95, 0.8), (-0.95, 0.8))


def _star(pen: Pen, c: Rgb) -> None:
    pen.poly(c, *_around(5, 1.05, 0.42))


def _heart(pen: Pen, c: Rgb) -> None:
    pen.disc(c, -0.46, -0.38, 0.5)
    pen.disc(c, 0.46, -0.38, 0.5)
    pen.poly(c, (-0.9, -0.15), (0.9, -0.15), (0, 1))


def _cross(pen: Pen, c: Rgb) -> None:
    pen.box(c, -0.3, -0.95, 0.3, 0.95)
    pen.box(c, -0.95, -0.3, 0.95, 0.3)


def _ring(pen: Pen, c: Rgb) -> None:
    pen.arc(c, 0.32, 0, 0, 0.98, 0, 360)


def _diamond(pen: Pen, c: Rgb) -> None:
    pen.poly(c, (0, -1.05), (0.72, 0), (0, 1.05), (-0.72, 0))


def _crescent(pen: Pen, c: Rgb) -> None:
    outer = [(math.cos(a), math.sin(a)) for a in np.linspace(0.9, 2 * math.pi - 0.9, 24)]
    inner = [(0.32 + 0.85 * math.cos(a), 0.92 * math.sin(a)) for a in np.linspace(5.05, 1.23, 24)]
    pen.at(0.15, 0, 1).poly(c, *outer, *inner)


def _arrow(pen: Pen, c: Rgb) -> None:
    pen.box(c, -1, -0.24, 0.2, 0.24)
    pen.poly(c, (0.1, -0.75), (1.05, 0), (0.1, 0.75))


def _bolt(pen: Pen, c: Rgb) -> None:
    pen.poly(c, (0.15, -1.05), (-0.65, 0.2), (-0.08, 0.2), (-0.25, 1.05), (0.65, -0.25), (0.08, -0.25))


def _drop(pen: Pen, c: Rgb) -> None:
    pen.disc(c, 0, 0.35, 0.62)
    pen.poly(c, (0, -1.05), (0.57, 0.12), (-0.57, 0.12))


SHAPES: dict[str, Painter] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "cross": _cross,
    "ring": _ring,
    "diamond": _diamond,
    "crescent": _crescent,
    "arrow": _arrow,
    "lightning bolt": _bolt,
    "drop": _drop,
}

# I and O are left out: they cannot be told from a bar, a ring and the digit 0.
GLYPHS = tuple("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789")


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _glyph(pen: Pen, c: Rgb, text: str) -> None:
    font = _font(max(8, round(pen.unit * 2.6 / 4) * 4))
    pen.draw.text((pen.x, pen.y), text, fill=c, font=font, anchor="mm", stroke_width=max(1, round(pen.unit / 16)))


# --- things of the world: they too fill about the square from (-1, -1) to (1, 1) --------------------------


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
    for x, y in _around(6, 0.42):
        pen.disc(c, x, y - 0.35, 0.27)
    pen.disc((120, 80, 20), 0, -0.35, 0.22)


def _tent(pen: Pen, c: Rgb) -> None:
    pen.poly(c, (0, -0.65), (1.05, 0.8), (-1.05, 0.8))
    pen.poly(DARK, (0, -0.2), (0.32, 0.8), (-0.32, 0.8))


def _windmill(pen: Pen, c: Rgb) -> None:
    pen.poly(c, (-0.25, -0.25), (0.25, -0.25), (0.45, 0.95), (-0.45, 0.95))
    for x, y in _around(4, 0.8, turn=-60):
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
    for x, y in _around(12, 1.0):
        pen.line((255, 190, 30), 0.1, (x * 0.6, y * 0.6), (x, y))
    pen.disc((255, 205, 35), 0, 0, 0.6)


def _moon(pen: Pen, c: Rgb) -> None:
    _crescent(pen.at(0, 0, 0.85), (250, 245, 200))


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
    for x, y in _around(12, 0.65):
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
    colours: tuple[str, ...] = BRIGHT
    y: float = 0.6
    size: float = 0.3
    times: tuple[str, ...] = ("day", "sunset", "night")


_PLAIN = ("plain", "gradient", "stripes", "checks")
_LAND = ("meadow", "desert", "snowfield", "mountains")
KINDS: dict[str, Kind] = {
    "house": Kind(_house, ("meadow", "snowfield", "mountains")),
    "castle": Kind(_castle, ("meadow", "mountains", "snowfield")),
    "tree": Kind(_tree, _LAND, ("green", "orange", "pink", "white", "red")),
    "flower": Kind(_flower, ("meadow", *_PLAIN)),
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
    "cup": Kind(_cup, ("room", *_PLAIN), y=0.55),
    "clock": Kind(_clock, ("room", *_PLAIN), y=0.42),
    "lamp": Kind(_lamp, ("room",), y=0.52, size=0.34),
    "chair": Kind(_chair, ("room",), y=0.58, size=0.32),
    "smiling face": Kind(_smiling_face, _PLAIN, y=0.5, size=0.36),
    "sad face": Kind(_sad_face, _PLAIN, y=0.5, size=0.36),
    "butterfly": Kind(_butterfly, ("meadow", *_PLAIN), y=0.5, size=0.34),
    "umbrella": Kind(_umbrella, ("city", "road", "meadow"), y=0.55, size=0.34),
    "cat": Kind(_cat, ("room", *_PLAIN), ("orange", "grey", "black", "white", "brown"), 0.52, 0.34),
    "snowman": Kind(_snowman, ("snowfield", "mountains", "meadow"), ("",), 0.58, 0.34),
}


# --- backdrops --------------------------------------------------------------------------------------------

PATTERNS = ("plain", "gradient", "stripes", "checks", "dots", "noise")
OUTDOORS = ("meadow", "road", "sea", "desert", "mountains", "city", "snowfield", "sky")
INDOORS = ("space", "water", "room")
WET = ("meadow", "road", "sea", "mountains", "city")

_SKIES: dict[str, tuple[Rgb, Rgb]] = {
    "day": ((95, 175, 240), (205, 232, 250)),
    "sunset": ((120, 60, 120), (255, 160, 70)),
    "night": ((8, 10, 35), (30, 38, 85)),
}
_LIGHT = {"day": 1.0, "sunset": 0.72, "night": 0.38}


def _fade(size: tuple[int, int], top: Rgb, bottom: Rgb) -> Image.Image:
    """Return a picture that fades from the top colour to the bottom one."""
    ramp = np.linspace(0, 1, size[1], dtype=np.float32)[:, None]
    column = np.asarray(top, np.float32) * (1 - ramp) + np.asarray(bottom, np.float32) * ramp
    return Image.fromarray(column.astype(np.uint8)[:, None, :]).resize(size, Image.Resampling.NEAREST)


def _tint(colour: Rgb, rng: Rng) -> Rgb:
    """Return the colour moved a little, by no more than what keeps its name."""
    r, g, b = (int(np.clip(c + rng.integers(-14, 15), 0, 255)) for c in colour)
    return (r, g, b)


def _paint_pattern(backdrop: Backdrop, size: tuple[int, int], rng: Rng) -> Image.Image:
    first = _tint(COLOURS.get(backdrop.colour, (128, 128, 128)), rng)
    second = _tint(COLOURS.get(backdrop.colour2, (128, 128, 128)), rng)
    if backdrop.pattern == "gradient":
        return _fade(size, first, second)
    if backdrop.pattern == "noise":
        coarse = rng.integers(0, 256, (max(1, size[1] // 3), max(1, size[0] // 3)), dtype=np.uint8)
        return Image.fromarray(coarse).convert("RGB").resize(size, Image.Resampling.NEAREST)
    picture = Image.new("RGB", size, first)
    pen = _square_pen(picture)
    step = float(rng.uniform(0.15, 0.21))
    start = float(rng.uniform(-step, step)) - 3 * step
    cells = [start + i * step for i in range(14)]
    for i, x in enumerate(cells if backdrop.pattern != "plain" else ()):
        if backdrop.pattern == "dots":
            for y in cells:
                pen.disc(second, x, y, step * 0.3)
        elif backdrop.pattern == "checks":
            for y in cells[i % 2 :: 2]:
                pen.box(second, x, y, x + step, y + step)
        elif i % 2 == 0:
            pen.box(second, x, -1, x + step, 2)
    return picture


def _meadow(pen: Pen, light: float, rng: Rng) -> None:
    pen.box(shade((95, 175, 70), light), -1, 0.62, 2, 2)
    for _ in range(14):
        x, y = float(rng.uniform(-0.3, 1.3)), float(rng.uniform(0.68, 1.1))
        pen.line(shade((60, 130, 45), light), 0.012, (x, y), (x + 0.015, y - 0.04))


def _road(pen: Pen, light: float, rng: Rng) -> None:
    pen.box(shade((95, 165, 75), light), -1, 0.55, 2, 2)
    pen.box(shade((85, 85, 90), light), -1, 0.66, 2, 0.96)
    start = float(rng.uniform(-0.2, 0))
    for i in range(-2, 8):
        pen.box(shade(PALE, max(light, 0.6)), start + i * 0.2, 0.8, start + i * 0.2 + 0.1, 0.825)


def _sea(pen: Pen, light: float, rng: Rng) -> None:
    pen.box(shade((25, 85, 160), light), -1, 0.58, 2, 2)
    for _ in range(16):
        x, y = float(rng.uniform(-0.4, 1.3)), float(rng.uniform(0.63, 1.1))
        pen.line(shade((120, 175, 220), light), 0.012, (x, y), (x + 0.05, y - 0.015), (x + 0.1, y))


def _desert(pen: Pen, light: float, rng: Rng) -> None:
    pen.box(shade((235, 200, 120), light), -1, 0.66, 2, 2)
    for x, r in ((0.1, 0.45), (0.9, 0.55)):
        pen.oval(shade((225, 185, 105), light), x + float(rng.uniform(-0.1, 0.1)), 0.74, r, 0.14)


def _mountains(pen: Pen, light: float, rng: Rng) -> None:
    for x, top in ((-0.1, 0.3), (0.85, 0.2), (0.38, 0.12), (1.3, 0.3)):
        peak = x + float(rng.uniform(-0.06, 0.06))
        pen.poly(shade((110, 105, 115), light), (peak - 0.42, 0.72), (peak, top), (peak + 0.42, 0.72))
        pen.poly(
            shade((245, 248, 252), max(light, 0.55)),
            (peak - 0.11, top + 0.155),
            (peak, top),
            (peak + 0.11, top + 0.155),
        )
    pen.box(shade((90, 140, 75), light), -1, 0.7, 2, 2)


def _city(pen: Pen, light: float, rng: Rng) -> None:
    x = -0.45 - float(rng.uniform(0, 0.1))
    lit = (255, 225, 120) if light < 0.5 else shade(GLASS, light)
    while x < 1.4:
        width, top = float(rng.uniform(0.14, 0.22)), float(rng.uniform(0.15, 0.45))
        pen.box(shade((120, 115, 130), light), x, top, x + width, 0.72)
        for i in range(2):
            for j in range(int((0.68 - top) / 0.09)):
                left, high = x + width * (0.18 + 0.4 * i), top + 0.04 + j * 0.09
                pen.box(lit, left, high, left + width * 0.22, high + 0.045)
        x += width + 0.02
    pen.box(shade((90, 90, 95), light), -1, 0.72, 2, 2)


def _snowfield(pen: Pen, light: float, rng: Rng) -> None:
    pen.box(shade((240, 245, 252), max(light, 0.6)), -1, 0.62, 2, 2)
    for x, r in ((0.15, 0.5), (0.9, 0.5)):
        pen.oval(shade((225, 235, 248), max(light, 0.6)), x + float(rng.uniform(-0.1, 0.1)), 0.68, r, 0.1)


def _sky(pen: Pen, light: float, rng: Rng) -> None:
    for _ in range(4):
        x, y = float(rng.uniform(-0.2, 1.2)), float(rng.uniform(0.1, 0.9))
        for dx, r in ((-0.07, 0.045), (0, 0.065), (0.07, 0.045)):
            pen.oval(shade((245, 248, 252), light), x + dx, y, r * 1.3, r)


LANDSCAPES: dict[str, Callable[[Pen, float, Rng], None]] = {
    "meadow": _meadow,
    "road": _road,
    "sea": _sea,
    "desert": _desert,
    "mountains": _mountains,
    "city": _city,
    "snowfield": _snowfield,
    "sky": _sky,
}


def _scatter(pen: Pen, colour: Rgb, radius: float, number: int, lowest: float, rng: Rng) -> None:
    for x, y in zip(rng.uniform(-0.35, 1.35, number), rng.uniform(-0.35, lowest, number), strict=True):
        pen.disc(colour, float(x), float(y), radius * float(rng.uniform(0.6, 1.3)))


def _paint_place(backdrop: Backdrop, size: tuple[int, int], rng: Rng) -> Image.Image:
    """Paint a landscape or an indoor backdrop."""
    if backdrop.pattern == "room":
        picture = Image.new("RGB", size, _tint((232, 215, 185), rng))
        _square_pen(picture).box((150, 105, 65), -1, 0.78, 2, 2)
        return picture
    if backdrop.pattern == "water":
        picture = _fade(size, (45, 150, 205), (10, 45, 110))
        pen = _square_pen(picture)
        for x, y in rng.uniform(0, 1, (10, 2)):
            pen.arc((190, 225, 245), 0.012, float(x) * 1.4 - 0.2, float(y), 0.03, 0, 360)
        return picture
    if backdrop.pattern == "space":
        picture = Image.new("RGB", size, (5, 5, 15))
        _scatter(_square_pen(picture), PALE, 0.012, 70, 1.3, rng)
        return picture
    picture = _fade(size, *_SKIES[backdrop.time])
    pen = _square_pen(picture)
    if backdrop.time == "night":
        _scatter(pen, PALE, 0.01, 45, 1.0 if backdrop.pattern == "sky" else 0.5, rng)
    LANDSCAPES[backdrop.pattern](pen, _LIGHT[backdrop.time], rng)
    return picture


def _paint_weather(picture: Image.Image, weather: str, rng: Rng) -> None:
    pen = _square_pen(picture)
    if weather == "rain":
        for x, y in zip(rng.uniform(-0.3, 1.4, 60), rng.uniform(-0.3, 1.2, 60), strict=True):
            pen.line((185, 205, 225), 0.012, (float(x), float(y)), (float(x) - 0.035, float(y) + 0.11))
    elif weather == "snow":
        _scatter(pen, (255, 255, 255), 0.02, 75, 1.2, rng)


def _square_pen(picture: Image.Image) -> Pen:
    """Return the pen whose unit square is the picture's central square."""
    width, height = picture.size
    side = min(width, height)
    return Pen(ImageDraw.Draw(picture), (width - side) / 2, (height - side) / 2, side)


# --- a whole picture --------------------------------------------------------------------------------------

_HALF = {"small": 0.15, "medium": 0.23, "large": 0.38}
_PLACES: dict[str, Point] = {
    "centre": (0.5, 0.5),
    "left": (0.22, 0.5),
    "right": (0.78, 0.5),
    "top": (0.5, 0.22),
    "bottom": (0.5, 0.78),
}
_GRIDS: dict[int, tuple[Point, ...]] = {
    2: ((0.27, 0.5), (0.73, 0.5)),
    3: ((0.5, 0.27), (0.27, 0.72), (0.73, 0.72)),
    4: ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),
}
_PAIRS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "left of": ((0.26, 0.5, 0.2), (0.74, 0.5, 0.2)),
    "above": ((0.5, 0.26, 0.2), (0.5, 0.74, 0.2)),
    "inside": ((0.5, 0.5, 0.17), (0.5, 0.5, 0.42)),
}


def _spots(scene: Scene) -> list[tuple[Thing, float, float, float]]:
    """Return (thing, x, y, half its side) for everything to draw, what lies behind first."""
    if len(scene.things) == 2:
        pair = list(zip(scene.things, _PAIRS[scene.layout], strict=True))
        return [(thing, *place) for thing, place in reversed(pair)]
    spots: list[tuple[Thing, float, float, float]] = []
    for thing in scene.things:
        if thing.what in KINDS:
            kind = KINDS[thing.what]
            spots.append((thing, 0.5, kind.y, kind.size))
        elif thing.count > 1:
            spots += [(thing, x, y, 0.17) for x, y in _GRIDS[thing.count]]
        else:
            spots.append((thing, *_PLACES[scene.layout], _HALF[thing.size]))
    return spots


def _paint_thing(pen: Pen, thing: Thing, rng: Rng) -> None:
    colour = COLOURS.get(thing.colour, PALE)
    if thing.what in SHAPES:
        SHAPES[thing.what](pen, _tint(colour, rng))
    elif thing.what in KINDS:
        # A traffic light compares its colour with the palette, so things of the world keep theirs.
        KINDS[thing.what].paint(pen, colour)
    else:
        _glyph(pen, _tint(colour, rng), thing.what)


def draw_scene(scene: Scene, size: tuple[int, int], jitter: Jitter | None = None) -> Image.Image:
    """Draw the scene as an RGB picture of this size (width, height) in pixels, the way the jitter says."""
    jitter = jitter or Jitter()
    rng = np.random.default_rng(jitter.seed)
    backdrop = scene.backdrop
    painter = _paint_pattern if backdrop.pattern in PATTERNS else _paint_place
    picture = painter(backdrop, size, rng)
    pen = _square_pen(picture)
    for thing, x, y, half in _spots(scene):
        _paint_thing(pen.at(x + jitter.dx, y + jitter.dy, half * jitter.scale), thing, rng)
    _paint_weather(picture, backdrop.weather, np.random.default_rng((jitter.seed, jitter.instant)))
    return _wear(picture, jitter, rng)


def _wear(picture: Image.Image, jitter: Jitter, rng: Rng) -> Image.Image:
    """Apply what a camera and a codec do to a picture: blur, brightness, noise and JPEG blocks."""
    if jitter.blur > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(jitter.blur))
    if jitter.brightness != 1 or jitter.noise > 0:
        pixels: NDArray[np.float32] = np.asarray(picture, np.float32) * np.float32(jitter.brightness)
        if jitter.noise > 0:
            pixels = pixels + rng.standard_normal(pixels.shape, np.float32) * np.float32(jitter.noise)
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if jitter.jpeg > 0:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=jitter.jpeg)
        picture = Image.open(buffer).convert("RGB")
    return picture


def random_jitter(rng: Rng) -> Jitter:
    """Draw a jitter: shifts and scale always, wear in about half of the pictures each."""
    return Jitter(
        dx=float(rng.uniform(-0.05, 0.05)),
        dy=float(rng.uniform(-0.05, 0.05)),
        scale=float(rng.uniform(0.88, 1.12)),
        brightness=float(rng.uniform(0.85, 1.12)),
        noise=float(rng.choice([0, 0, 4, 10])),
        blur=float(rng.choice([0, 0, 0, 0.6, 1.2])),
        jpeg=int(rng.choice([0, 0, 0, 40, 70])),
        seed=int(rng.integers(2**31)),
    )


# --- scenes from a generator ------------------------------------------------------------------------------


def _pick(rng: Rng, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _two_colours(rng: Rng, avoid: Sequence[str]) -> tuple[str, str]:
    free = [c for c in COLOURS if c not in avoid]
    first, second = rng.choice(len(free), 2, replace=False)
    return free[int(first)], free[int(second)]


def _pattern(rng: Rng, avoid: Sequence[str], patterns: Sequence[str]) -> Backdrop:
    """Draw a pattern in colours that none of the things on it has; half of them are plain."""
    name = "plain" if "plain" in patterns and rng.random() < 0.5 else _pick(rng, patterns)
    if name == "noise":
        return Backdrop("noise")
    first, second = _two_colours(rng, avoid)
    return Backdrop(name, first, "" if name == "plain" else second)


def _place(rng: Rng, name: str, times: Sequence[str] = ("day", "sunset", "night")) -> Backdrop:
    if name in INDOORS:
        return Backdrop(name)
    weather = _pick(rng, ("rain", "snow")) if name in WET and rng.random() < 0.35 else ""
    return Backdrop(name, time=_pick(rng, times), weather=weather)


def _shape_scene(rng: Rng) -> Scene:
    what, colour = _pick(rng, tuple(SHAPES)), _pick(rng, tuple(COLOURS))
    backdrop = _pattern(rng, (colour,), PATTERNS)
    if rng.random() < 0.3:
        return Scene((Thing(what, colour, count=int(rng.integers(2, 5))),), "centre", backdrop)
    size = _pick(rng, ("small", "medium", "large"))
    layout = "centre" if size == "large" else _pick(rng, tuple(_PLACES))
    return Scene((Thing(what, colour, size),), layout, backdrop)


def _pair_scene(rng: Rng) -> Scene:
    layout = _pick(rng, tuple(_PAIRS))
    colours = _two_colours(rng, ())
    what = _pick(rng, tuple(SHAPES))
    other = _pick(rng, ("circle", "square") if layout == "inside" else tuple(SHAPES))
    return Scene((Thing(what, colours[0]), Thing(other, colours[1])), layout, _pattern(rng, colours, ("plain",)))


def _glyph_scene(rng: Rng) -> Scene:
    what, colour = _pick(rng, GLYPHS), _pick(rng, tuple(COLOURS))
    return Scene((Thing(what, colour, "large"),), "centre", _pattern(rng, (colour,), _PLAIN))


def _world_scene(rng: Rng) -> Scene:
    if rng.random() < 0.08:
        return Scene((), "centre", _place(rng, _pick(rng, OUTDOORS)))
    what = _pick(rng, tuple(KINDS))
    kind = KINDS[what]
    colour = _pick(rng, kind.colours)
    where = _pick(rng, kind.backdrops)
    if where in PATTERNS:
        # A cactus has no colour to choose, but it is green.
        return Scene((Thing(what, colour),), "centre", _pattern(rng, (colour, "green"), (where,)))
    return Scene((Thing(what, colour),), "centre", _place(rng, where, kind.times))


_MAKERS: tuple[tuple[float, Callable[[Rng], Scene]], ...] = (
    (0.27, _shape_scene),
    (0.2, _pair_scene),
    (0.13, _glyph_scene),
    (0.4, _world_scene),
)


def random_scene(rng: Rng, held_out: bool | None = None) -> Scene:
    """Draw a scene; only among those kept out of training, or only among the others, where asked to."""
    while True:
        maker = _MAKERS[int(rng.choice(len(_MAKERS), p=[weight for weight, _ in _MAKERS]))][1]
        scene = maker(rng)
        if held_out is None or is_held_out(scene) == held_out:
            return scene


def is_held_out(scene: Scene) -> bool:
    """Whether this combination is kept out of training: one in ten, by a checksum of all its facts."""
    return crc32("|".join(sorted(scene_facts(scene))).encode()) % HELD_OUT_ONE_IN == 0


def vary_scene(scene: Scene, rng: Rng) -> Scene:
    """Return a scene that differs from this one in a single respect (in none where the draw repeats it)."""
    choices = [_recolour, _relocate, _rename, _rebackdrop]
    return choices[int(rng.integers(len(choices)))](scene, rng)


def _taken(scene: Scene) -> tuple[str, ...]:
    return (*(t.colour for t in scene.things), scene.backdrop.colour, scene.backdrop.colour2)


def _swap_thing(scene: Scene, index: int, thing: Thing) -> Scene:
    return replace(scene, things=(*scene.things[:index], thing, *scene.things[index + 1 :]))


def _recolour(scene: Scene, rng: Rng) -> Scene:
    if not scene.things or not scene.things[0].colour:
        return _rebackdrop(scene, rng)
    index = int(rng.integers(len(scene.things)))
    thing = scene.things[index]
    palette = KINDS[thing.what].colours if thing.what in KINDS else tuple(COLOURS)
    free = [c for c in palette if c not in _taken(scene)]
    return _swap_thing(scene, index, replace(thing, colour=_pick(rng, free))) if free else scene


def _relocate(scene: Scene, rng: Rng) -> Scene:
    if len(scene.things) == 2:
        first, second = scene.things
        return replace(scene, things=(replace(first, colour=second.colour), replace(second, colour=first.colour)))
    if not scene.things or scene.things[0].what not in SHAPES:
        return _rebackdrop(scene, rng)
    thing = scene.things[0]
    if thing.count > 1:
        return replace(scene, things=(replace(thing, count=int(rng.integers(2, 5))),))
    if rng.random() < 0.4:
        size = _pick(rng, ("small", "medium", "large"))
        return replace(scene, things=(replace(thing, size=size),), layout="centre")
    size = "medium" if thing.size == "large" else thing.size
    return replace(scene, things=(replace(thing, size=size),), layout=_pick(rng, tuple(_PLACES)))


def _rename(scene: Scene, rng: Rng) -> Scene:
    if not scene.things or scene.things[0].what in KINDS:
        return _rebackdrop(scene, rng)
    index = int(rng.integers(len(scene.things))) if scene.layout != "inside" else 0
    thing = scene.things[index]
    names = tuple(SHAPES) if thing.what in SHAPES else GLYPHS
    return _swap_thing(scene, index, replace(thing, what=_pick(rng, names)))


def _rebackdrop(scene: Scene, rng: Rng) -> Scene:
    old = scene.backdrop
    if old.pattern in PATTERNS:
        patterns = PATTERNS if old.pattern == "noise" else (old.pattern,)
        avoid = (*(t.colour for t in scene.things), "green")
        return replace(scene, backdrop=_pattern(rng, avoid, patterns))
    times = KINDS[scene.things[0].what].times if scene.things else ("day", "sunset", "night")
    return replace(scene, backdrop=_place(rng, old.pattern, times))


# --- facts and captions -----------------------------------------------------------------------------------


def scene_facts(scene: Scene) -> frozenset[str]:
    """Return all that a caption may state about the scene, one string per statement."""
    facts: set[str] = set()
    for thing in scene.things:
        facts |= _thing_facts(thing)
    facts |= _layout_facts(scene)
    return frozenset(facts | _backdrop_facts(scene.backdrop))


def _thing_facts(thing: Thing) -> set[str]:
    facts = {f"{thing.count} {thing.what}", f"{thing.count} {thing.colour} {thing.what}"}
    if thing.what in SHAPES and thing.size != "medium":
        facts.add(f"{thing.size} {thing.what}")
    return facts


def _layout_facts(scene: Scene) -> set[str]:
    if len(scene.things) == 2:
        first, second = scene.things
        return {f"{first.colour} {first.what} {scene.layout} {second.colour} {second.what}"}
    if len(scene.things) == 1 and scene.things[0].what in SHAPES and scene.things[0].count == 1:
        return {f"at {scene.layout}"}
    return set()


def _backdrop_facts(backdrop: Backdrop) -> set[str]:
    colours = (backdrop.colour, backdrop.colour2)
    # Stripes, checks and dots of two colours read the same either way; a gradient does not.
    shown = " ".join(sorted(colours) if backdrop.pattern in ("stripes", "checks") else colours)
    facts = {f"on {backdrop.pattern}", f"on {backdrop.pattern} {shown}"}
    facts |= {f"time {backdrop.time}"} if backdrop.time else set()
    return facts | ({f"weather {backdrop.weather}"} if backdrop.weather else set())


_NUMBERS = {2: "two", 3: "three", 4: "four"}
_SIZES = {"small": ("small", "little", "tiny"), "large": ("big", "large", "huge")}
_NAMES: dict[str, tuple[str, ...]] = {
    "car": ("car", "car", "automobile"),
    "boat": ("boat", "sailing boat", "sailboat", "ship"),
    "plane": ("plane", "airplane", "aeroplane"),
    "bicycle": ("bicycle", "bike"),
    "hot-air balloon": ("hot-air balloon", "balloon"),
    "smiling face": ("smiling face", "happy face", "smiley"),
    "sad face": ("sad face", "unhappy face"),
    "cat": ("cat", "cat's face"),
    "cup": ("cup", "mug", "cup of coffee"),
    "cross": ("cross", "plus sign"),
    "lightning bolt": ("lightning bolt", "flash of lightning"),
    "crescent": ("crescent", "crescent shape"),
    "circle": ("circle", "disc"),
    "tree": ("tree",),
    "house": ("house", "house", "cottage"),
}
_TIMES = {
    "day": ("by day", "in daylight", "during the day"),
    "sunset": ("at sunset", "in the evening", "at dusk"),
    "night": ("at night", "by night", "in the dark"),
}
_WEATHERS = {
    "rain": ("in the rain", "while it rains", "in rainy weather"),
    "snow": ("while it snows", "with snow falling", "in a snowfall"),
}
_LAYOUTS = {
    "centre": ("in the middle", "in the centre", "in the center"),
    "left": ("on the left", "on the left side", "at the left"),
    "right": ("on the right", "on the right side", "at the right"),
    "top": ("at the top", "up at the top", "in the upper part"),
    "bottom": ("at the bottom", "down at the bottom", "in the lower part"),
}
_RELATIONS = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
    "inside": ("inside", "in", "within"),
    "around": ("around",),
}
_MIRRORED = {"left of": "right of", "above": "below", "inside": "around"}
_ON: dict[str, tuple[str, ...]] = {
    "plain": ("on a {a} background", "on {a}", "on a plain {a} background"),
    "gradient": ("on a background fading from {a} to {b}", "on a gradient from {a} to {b}"),
    "stripes": ("on {a} and {b} stripes", "on a striped {a} and {b} background", "on {b} and {a} stripes"),
    "checks": (
        "on a {a} and {b} checkerboard",
        "on {b} and {a} checks",
        "on a checkered {a} and {b} background",
    ),
    "dots": ("on a {a} background with {b} dots", "on {a} with {b} dots"),
    "noise": ("on grey static", "on a noisy background", "on television noise"),
    "meadow": ("in a meadow", "on the grass", "in a field"),
    "road": ("on a road", "on the street"),
    "sea": ("on the sea", "at sea", "by the sea", "over the sea"),
    "desert": ("in the desert", "in a sandy desert"),
    "mountains": ("in the mountains", "in front of mountains"),
    "city": ("in a city", "in the city", "in front of skyscrapers"),
    "snowfield": ("on a snowfield", "in a snowy landscape", "on snowy ground"),
    "sky": ("in the sky", "in the air"),
    "space": ("in space", "among the stars", "in outer space"),
    "water": ("under water", "in the water", "underwater"),
    "room": ("in a room", "indoors"),
}
_ON_PARTLY: dict[str, tuple[str, ...]] = {
    "gradient": ("on a gradient",),
    "stripes": ("on stripes", "on a striped background"),
    "checks": ("on a checkerboard",),
    "dots": ("on a background with dots",),
}
_EMPTY: dict[str, tuple[str, ...]] = {
    "meadow": ("a meadow", "an empty meadow", "a field of grass"),
    "road": ("a road", "an empty road"),
    "sea": ("the sea", "the open sea", "the ocean"),
    "desert": ("a desert", "an empty desert"),
    "mountains": ("mountains", "snowy mountains"),
    "city": ("a city", "a city skyline", "skyscrapers"),
    "snowfield": ("a snowfield", "a snowy landscape"),
    "sky": ("the sky", "a cloudy sky"),
}
_LEADS = ("", "", "", "a picture of ", "a photo of ", "an image of ")


def _article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _noun(thing: Thing, rng: Rng) -> str:
    if thing.what in GLYPHS:
        return f"digit {thing.what}" if thing.what.isdigit() else f"letter {thing.what}"
    return _pick(rng, _NAMES.get(thing.what, (thing.what,)))


def _plural(noun: str) -> str:
    head, of, tail = noun.partition(" of ")
    return head + ("es" if head.endswith(("s", "x")) else "s") + of + tail


def _thing_words(thing: Thing, rng: Rng, keep: float) -> tuple[str, set[str]]:
    """Return words for the thing and the facts they state, each detail kept with this probability."""
    noun, facts = _noun(thing, rng), {f"{thing.count} {thing.what}"}
    if thing.colour and rng.random() < max(keep, 0.8):
        noun = f"{_spelled(thing.colour, rng)} {noun}"
        facts.add(f"{thing.count} {thing.colour} {thing.what}")
    if thing.what in SHAPES and thing.size in _SIZES and rng.random() < keep:
        noun = f"{_pick(rng, _SIZES[thing.size])} {noun}"
        facts.add(f"{thing.size} {thing.what}")
    if thing.count > 1:
        return f"{_NUMBERS[thing.count]} {_plural(noun)}", facts
    if thing.what in ("sun", "moon"):
        return f"the {noun}", facts
    return _article(noun), facts


def _spelled(colour: str, rng: Rng) -> str:
    return "gray" if colour == "grey" and rng.random() < 0.3 else colour


def _pair_words(scene: Scene, rng: Rng, keep: float) -> tuple[str, set[str]]:
    (first, facts), (second, more) = (_thing_words(thing, rng, 1.0) for thing in scene.things)
    if rng.random() < max(keep, 0.8):
        facts = facts | more | _layout_facts(scene)
        if rng.random() < 0.5:
            relation = _RELATIONS[_MIRRORED[scene.layout]]
            return f"{second} {_pick(rng, relation)} {first}", facts
        return f"{first} {_pick(rng, _RELATIONS[scene.layout])} {second}", facts
    return f"{first} and {second}", facts | more


def _backdrop_words(backdrop: Backdrop, rng: Rng, keep: float) -> tuple[str, set[str]]:
    partly = _ON_PARTLY.get(backdrop.pattern)
    if partly and rng.random() > max(keep, 0.75):
        return _pick(rng, partly), {f"on {backdrop.pattern}"}
    words = _pick(rng, _ON[backdrop.pattern])
    words = words.format(a=_spelled(backdrop.colour, rng), b=_spelled(backdrop.colour2, rng))
    words = words.replace("a orange", "an orange")
    return words, {f for f in _backdrop_facts(backdrop) if f.startswith("on ")}


def scene_caption(scene: Scene, rng: Rng, complete: bool = False) -> Caption:
    """Put the scene into words, one of several phrasings; all there is to say, or only a part of it."""
    keep = 1.0 if complete else 0.7
    parts: list[str] = []
    facts: set[str] = set()

    def say(words: str, stated: set[str]) -> None:
        parts.append(words)
        facts.update(stated)

    backdrop = scene.backdrop
    if not scene.things:
        say(_pick(rng, _EMPTY[backdrop.pattern]), {f"on {backdrop.pattern}"})
    elif len(scene.things) == 2:
        say(*_pair_words(scene, rng, keep))
    else:
        say(*_thing_words(scene.things[0], rng, keep))
        if (layout := _layout_facts(scene)) and rng.random() < keep:
            say(_pick(rng, _LAYOUTS[scene.layout]), layout)
    if scene.things and rng.random() < keep:
        say(*_backdrop_words(backdrop, rng, keep))
    if backdrop.time and rng.random() < keep:
        say(_pick(rng, _TIMES[backdrop.time]), {f"time {backdrop.time}"})
    if backdrop.weather and rng.random() < max(keep, 0.8):
        say(_pick(rng, _WEATHERS[backdrop.weather]), {f"weather {backdrop.weather}"})
    return Caption(_pick(rng, _LEADS) + " ".join(parts), frozenset(facts))
