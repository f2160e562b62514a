"""Postprocessing of S_c (thesis section 3.9): a table of functions ``Curve → Curve``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from searcher.settings import SearchSettings
from searcher.similarity import Curve

#: The thesis counts M in frames of this grid; other sampling rates keep M's length in seconds.
THESIS_PERIOD_SECONDS = 2.0
#: Cosines can be zero or negative: the logarithm is taken of at least this.
LOG_FLOOR = 1e-3
POLYNOMIAL_ORDER = 2

Postprocess = Callable[[Curve, SearchSettings], Curve]


def min_max(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """(x - low) / (high - low); zeros where the range is empty (eqs. 5 and 6)."""
    span = high - low
    if not span > 0:
        return np.zeros_like(values)
    return (values - low) / span


def window_in_frames(smooth_window: int, period_seconds: float, frames: int) -> int:
    """M for this sampling rate and length: odd, at most ``frames``; 1 means no smoothing.

    M keeps its length in seconds: at one frame a second 13 becomes 25 (the odd number nearest to 26,
    the smaller one where two are). An array shorter than M takes the largest odd window that fits,
    below 3 frames none.
    """
    scaled = smooth_window * THESIS_PERIOD_SECONDS / period_seconds
    nearest_odd = 2 * int(np.ceil((scaled - 1) / 2 - 0.5)) + 1
    largest_odd = frames if frames % 2 == 1 else frames - 1
    return max(1, min(max(3, nearest_odd), largest_odd))


def smooth(values: NDArray[np.floating], window: int) -> NDArray[np.floating]:
    """Savitzky-Golay of order 2 (eq. 8); the ends are read off the polynomial of the outermost window."""
    if window <= POLYNOMIAL_ORDER:
        return values
    from scipy.signal import savgol_filter  # half a second, and the default method does not smooth

    smoothed: NDArray[np.floating] = savgol_filter(values, window, POLYNOMIAL_ORDER, mode="interp")
    return smoothed


def _own_range(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return min_max(values, float(values.min()), float(values.max()))


def none(curve: Curve, settings: SearchSettings) -> Curve:
    """S_c as it is."""
    return curve


def norm(curve: Curve, settings: SearchSettings) -> Curve:
    """Min-max per video (eq. 5)."""
    return curve.with_similarity(_own_range(curve.similarity))


def adjust_norm(curve: Curve, settings: SearchSettings) -> Curve:
    """Min-max over the whole corpus for this query (eq. 6).

    Raises:
        ValueError: the curve does not carry the corpus's range.
    """
    if curve.corpus_range is None:
        raise ValueError("adjust_norm needs the corpus's minimum and maximum (Curve.corpus_range)")
    return curve.with_similarity(min_max(curve.similarity, *curve.corpus_range))


def smooth_norm(curve: Curve, settings: SearchSettings) -> Curve:
    """Savitzky-Golay, then min-max per video: eqs. 8-9 without the logarithm."""
    window = window_in_frames(settings.smooth_window, curve.period_seconds, len(curve))
    return curve.with_similarity(_own_range(smooth(curve.similarity.astype(np.float64), window)))


def log_smooth_norm(curve: Curve, settings: SearchSettings) -> Curve:
    """Logarithm, Savitzky-Golay, min-max per video (eqs. 7-9)."""
    logs = np.log(np.maximum(curve.similarity.astype(np.float64), LOG_FLOOR))
    window = window_in_frames(settings.smooth_window, curve.period_seconds, len(curve))
    return curve.with_similarity(_own_range(smooth(logs, window)))


POSTPROCESS: Mapping[str, Postprocess] = {
    "none": none,
    "norm": norm,
    "adjust_norm": adjust_norm,
    "log_smooth_norm": log_smooth_norm,
    "smooth_norm": smooth_norm,
}


def postprocess(curve: Curve, settings: SearchSettings) -> Curve:
    """Apply the postprocessing that ``settings`` names."""
    return POSTPROCESS[settings.postprocess](curve, settings)
