"""Plain shapes, letters and digits: each fills about the square from (-1, -1) to (1, 1) of its pen."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import ImageFont

from vclipper.demo.pen import Painter, Pen, Rgb, around


def _circle(pen: Pen, c: Rgb) -> None:
    pen.disc(c, 0, 0, 0.95)


def _square(pen: Pen, c: Rgb) -> None:
    pen.box(c, -0.85, -0.85, 0.85, 0.85)


def _triangle(pen: Pen, c: Rgb) -> None:
    pen.poly(c, (0, -0.95), (0.95, 0.8), (-0.95, 0.8))


def _star(pen: Pen, c: Rgb) -> None:
    pen.poly(c, *around(5, 1.05, 0.42))


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


def crescent(pen: Pen, c: Rgb) -> None:
    """Paint a crescent, open to the right."""
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
    "crescent": crescent,
    "arrow": _arrow,
    "lightning bolt": _bolt,
    "drop": _drop,
}

# I and O are left out: they cannot be told from a bar, a ring and the digit 0.
GLYPHS = tuple("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789")


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def paint_glyph(pen: Pen, c: Rgb, text: str) -> None:
    """Paint a letter or digit, two and a half units high."""
    font = _font(max(8, round(pen.unit * 2.6 / 4) * 4))
    pen.draw.text((pen.x, pen.y), text, fill=c, font=font, anchor="mm", stroke_width=max(1, round(pen.unit / 16)))
