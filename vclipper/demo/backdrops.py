"""What lies behind the things: patterns, landscapes, indoor places and the weather."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from vclipper.demo.pen import COLOURS, GLASS, PALE, Pen, Rgb, shade, square_pen, tint
from vclipper.demo.scene import Backdrop, Rng

PATTERNS = ("plain", "gradient", "stripes", "checks", "dots", "noise")
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


def paint_pattern(backdrop: Backdrop, size: tuple[int, int], rng: Rng) -> Image.Image:
    """Paint a pattern, in grey where it has no colour."""
    first = tint(COLOURS.get(backdrop.colour, (128, 128, 128)), rng)
    second = tint(COLOURS.get(backdrop.colour2, (128, 128, 128)), rng)
    if backdrop.pattern == "gradient":
        return _fade(size, first, second)
    if backdrop.pattern == "noise":
        coarse = rng.integers(0, 256, (max(1, size[1] // 3), max(1, size[0] // 3)), dtype=np.uint8)
        return Image.fromarray(coarse).convert("RGB").resize(size, Image.Resampling.NEAREST)
    picture = Image.new("RGB", size, first)
    pen = square_pen(picture)
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


_LANDSCAPES: dict[str, Callable[[Pen, float, Rng], None]] = {
    "meadow": _meadow,
    "road": _road,
    "sea": _sea,
    "desert": _desert,
    "mountains": _mountains,
    "city": _city,
    "snowfield": _snowfield,
    "sky": _sky,
}
OUTDOORS = tuple(_LANDSCAPES)


def _scatter(pen: Pen, colour: Rgb, radius: float, number: int, lowest: float, rng: Rng) -> None:
    for x, y in zip(rng.uniform(-0.35, 1.35, number), rng.uniform(-0.35, lowest, number), strict=True):
        pen.disc(colour, float(x), float(y), radius * float(rng.uniform(0.6, 1.3)))


def paint_place(backdrop: Backdrop, size: tuple[int, int], rng: Rng) -> Image.Image:
    """Paint a landscape or an indoor backdrop."""
    if backdrop.pattern == "room":
        picture = Image.new("RGB", size, tint((232, 215, 185), rng))
        square_pen(picture).box((150, 105, 65), -1, 0.78, 2, 2)
        return picture
    if backdrop.pattern == "water":
        picture = _fade(size, (45, 150, 205), (10, 45, 110))
        pen = square_pen(picture)
        for x, y in rng.uniform(0, 1, (10, 2)):
            pen.arc((190, 225, 245), 0.012, float(x) * 1.4 - 0.2, float(y), 0.03, 0, 360)
        return picture
    if backdrop.pattern == "space":
        picture = Image.new("RGB", size, (5, 5, 15))
        _scatter(square_pen(picture), PALE, 0.012, 70, 1.3, rng)
        return picture
    picture = _fade(size, *_SKIES[backdrop.time])
    pen = square_pen(picture)
    if backdrop.time == "night":
        _scatter(pen, PALE, 0.01, 45, 1.0 if backdrop.pattern == "sky" else 0.5, rng)
    _LANDSCAPES[backdrop.pattern](pen, _LIGHT[backdrop.time], rng)
    return picture


def paint_weather(picture: Image.Image, weather: str, rng: Rng) -> None:
    """Let rain or snow fall over the picture, or nothing."""
    pen = square_pen(picture)
    if weather == "rain":
        for x, y in zip(rng.uniform(-0.3, 1.4, 60), rng.uniform(-0.3, 1.2, 60), strict=True):
            pen.line((185, 205, 225), 0.012, (float(x), float(y)), (float(x) - 0.035, float(y) + 0.11))
    elif weather == "snow":
        _scatter(pen, (255, 255, 255), 0.02, 75, 1.2, rng)
