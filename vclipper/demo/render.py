"""Pictures of scenes, drawn from simple shapes: what the demo model learns from and what the demo shows.

A scene is drawn from a seeded generator, so the same seed gives the same picture.
Coordinates are those of the picture's central square: (0, 0) is its top left corner and (1, 1) its bottom
right one, y pointing down. Whatever matters is drawn inside that square, as image preprocessing crops to it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from vclipper.demo.backdrops import PATTERNS, paint_pattern, paint_place, paint_weather
from vclipper.demo.pen import COLOURS, PALE, Pen, Point, square_pen, tint
from vclipper.demo.scene import Rng, Scene, Thing
from vclipper.demo.shapes import SHAPES, paint_glyph
from vclipper.demo.things import KINDS


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


_HALF = {"small": 0.15, "medium": 0.23, "large": 0.38}
PLACES: dict[str, Point] = {
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
PAIRS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "left of": ((0.26, 0.5, 0.2), (0.74, 0.5, 0.2)),
    "above": ((0.5, 0.26, 0.2), (0.5, 0.74, 0.2)),
    "inside": ((0.5, 0.5, 0.17), (0.5, 0.5, 0.42)),
}


def _spots(scene: Scene) -> list[tuple[Thing, float, float, float]]:
    """Return (thing, x, y, half its side) for everything to draw, what lies behind first."""
    if len(scene.things) == 2:
        pair = list(zip(scene.things, PAIRS[scene.layout], strict=True))
        return [(thing, *place) for thing, place in reversed(pair)]
    spots: list[tuple[Thing, float, float, float]] = []
    for thing in scene.things:
        if thing.what in KINDS:
            kind = KINDS[thing.what]
            spots.append((thing, 0.5, kind.y, kind.size))
        elif thing.count > 1:
            spots += [(thing, x, y, 0.17) for x, y in _GRIDS[thing.count]]
        else:
            spots.append((thing, *PLACES[scene.layout], _HALF[thing.size]))
    return spots


def _paint_thing(pen: Pen, thing: Thing, rng: Rng) -> None:
    colour = COLOURS.get(thing.colour, PALE)
    if thing.what in SHAPES:
        SHAPES[thing.what](pen, tint(colour, rng))
    elif thing.what in KINDS:
        # A traffic light compares its colour with the palette, so things of the world keep theirs.
        KINDS[thing.what].paint(pen, colour)
    else:
        paint_glyph(pen, tint(colour, rng), thing.what)


def draw_scene(scene: Scene, size: tuple[int, int], jitter: Jitter | None = None) -> Image.Image:
    """Draw the scene as an RGB picture of this size (width, height) in pixels, the way the jitter says."""
    jitter = jitter or Jitter()
    rng = np.random.default_rng(jitter.seed)
    backdrop = scene.backdrop
    painter = paint_pattern if backdrop.pattern in PATTERNS else paint_place
    picture = painter(backdrop, size, rng)
    pen = square_pen(picture)
    for thing, x, y, half in _spots(scene):
        _paint_thing(pen.at(x + jitter.dx, y + jitter.dy, half * jitter.scale), thing, rng)
    paint_weather(picture, backdrop.weather, np.random.default_rng((jitter.seed, jitter.instant)))
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
