"""What is in a picture, as data: `random_scenes` makes it up, `render` draws it, `captions` says it in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator


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


def pick(rng: Rng, options: Sequence[str]) -> str:
    """Draw one of the options."""
    return options[int(rng.integers(len(options)))]
