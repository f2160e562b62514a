"""What draws: filled polygons, ovals and lines in coordinates of its own, and the palette."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from vclipper.demo.scene import Rng

Rgb = tuple[int, int, int]
Point = tuple[float, float]

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
DARK: Rgb = (35, 35, 40)
PALE: Rgb = (240, 240, 235)
GLASS: Rgb = (175, 215, 235)
WOOD: Rgb = (110, 70, 40)
LEAF: Rgb = (40, 130, 50)


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


def shade(colour: Rgb, factor: float) -> Rgb:
    """Return the colour made darker (factor below 1) or lighter (above 1)."""
    r, g, b = (min(255, max(0, round(c * factor))) for c in colour)
    return (r, g, b)


def around(n: int, radius: float, inner: float | None = None, turn: float = -90.0) -> list[Point]:
    """Return the corners of a regular polygon, or of a star where an inner radius is given."""
    radii = [radius] if inner is None else [radius, inner]
    steps = n * len(radii)
    angles = [math.radians(turn + 360 * i / steps) for i in range(steps)]
    return [
        (radii[i % len(radii)] * math.cos(a), radii[i % len(radii)] * math.sin(a)) for i, a in enumerate(angles)
    ]


def tint(colour: Rgb, rng: Rng) -> Rgb:
    """Return the colour moved a little, by no more than what keeps its name."""
    r, g, b = (int(np.clip(c + rng.integers(-14, 15), 0, 255)) for c in colour)
    return (r, g, b)


def square_pen(picture: Image.Image) -> Pen:
    """Return the pen whose unit square is the picture's central square."""
    width, height = picture.size
    side = min(width, height)
    return Pen(ImageDraw.Draw(picture), (width - side) / 2, (height - side) / 2, side)
