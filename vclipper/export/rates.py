"""Frame rates that editing programs know, and the time codes counted in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

_NTSC = tuple(Fraction(base * 1000, 1001) for base in (24, 30, 48, 60, 120))
KNOWN_RATES = tuple(sorted([*_NTSC, *map(Fraction, (24, 25, 30, 48, 50, 60, 100, 120))]))
"""Frames per second: 23.976, 24, 25, 29.97, 30, 47.952, 48, 50, 59.94, 60, 100, 119.88, 120."""
DROP_RATES = (Fraction(30000, 1001), Fraction(60000, 1001))
"""Rates for which drop-frame time codes exist."""
_SAME = 2e-4
"""Headers round rates; 29.97 and 30 differ five times as much."""
_SLOWEST = Fraction(1, 1001)
_NEAR_FRAMES = 0.2
_GRID_SLACK_SECONDS = 1.1e-3
"""Containers round to 1 ms."""


@dataclass(frozen=True)
class FrameRate:
    """How the frames of a video are counted in a timeline.

    Attributes:
        per_second: a known rate.
        is_own: the video's frames are spaced at this very rate; otherwise the video has a variable rate, or
            one that editing programs do not know, and times are rounded up to the next of these frames.
        described: the video's own rate in words.
        is_exact: every frame of the video begins with one of these frames: its own rate, or a multiple of it.
    """

    per_second: Fraction
    is_own: bool
    described: str
    is_exact: bool = False

    def frame(self, start_seconds: float) -> int:
        """The number of the frame that begins at ``start_seconds``; for foreign rates the first inside it."""
        place = start_seconds * self.per_second
        if self.is_own:
            return round(place)
        return -int(-(place - Fraction(1, 1000) * self.per_second) // 1)

    def on_grid(self, seconds: float) -> float:
        """A frame's start where the rate puts it, rid of the container's rounding."""
        place = seconds * self.per_second
        is_near = self.is_own and abs(place - round(place)) < _NEAR_FRAMES
        return float(round(place) / self.per_second) if is_near else seconds

    @property
    def name(self) -> str:
        """``25``, ``29.97``, ``23.976``."""
        return f"{float(self.per_second):.5g}"


def frame_rate(starts_seconds: Sequence[float], told: Iterable[Fraction | None]) -> FrameRate:
    """The rate of a video whose first frames begin at these times.

    Args:
        starts_seconds: in the order shown, from the first frame on.
        told: rates that the file's header tells, the most trusted first.
    """
    candidates = [_snapped(rate) for rate in told if rate and 1 <= rate <= 1000]
    if len(starts_seconds) > 1:
        mean_step = (starts_seconds[-1] - starts_seconds[0]) / (len(starts_seconds) - 1)
        candidates += [_spaced(mean_step)] if mean_step > 0 else []
    for rate in candidates:
        if _all_on_grid(starts_seconds, rate):
            return _known(rate)
    return FrameRate(_nearest(_usual(starts_seconds, candidates)), False, "variable")


def _spaced(step_seconds: float) -> Fraction:
    """The rate of frames so far apart; never zero, whatever a frame is held."""
    return _snapped(max(_SLOWEST, Fraction(1 / step_seconds).limit_denominator(_SLOWEST.denominator)))


def _snapped(rate: Fraction) -> Fraction:
    return next((known for known in KNOWN_RATES if abs(rate / known - 1) < _SAME), rate)


def _all_on_grid(starts_seconds: Sequence[float], rate: Fraction) -> bool:
    """Whether frame k begins at k / rate."""
    first = starts_seconds[0] if starts_seconds else 0.0
    step = 1 / float(rate)
    return all(abs(start - first - k * step) <= _GRID_SLACK_SECONDS for k, start in enumerate(starts_seconds))


def _known(rate: Fraction) -> FrameRate:
    if rate in KNOWN_RATES:
        return FrameRate(rate, True, f"{float(rate):.5g}", is_exact=True)
    multiples = [known for known in KNOWN_RATES if known % rate == 0]
    return FrameRate(multiples[0] if multiples else _nearest(rate), False, f"{float(rate):.5g}", bool(multiples))


def _nearest(rate: Fraction) -> Fraction:
    return min(KNOWN_RATES, key=lambda known: abs(known / rate - 1))


def _usual(starts_seconds: Sequence[float], candidates: Sequence[Fraction]) -> Fraction:
    """The commonest spacing as a rate."""
    steps = sorted(b - a for a, b in itertools.pairwise(starts_seconds) if b > a)
    if steps:
        return _spaced(steps[len(steps) // 2])
    return candidates[0] if candidates else Fraction(25)
