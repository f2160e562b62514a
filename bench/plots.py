"""Figures as PNG files fit to print: curves with the ground truth, CFS_c beside SSIM, IoU histograms.

Figure numbers are the thesis's. Colours are the Okabe-Ito set, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.datasets import Query
from indexer.errors import InputError
from searcher.postprocess import postprocess
from searcher.select import cut_positions, select
from searcher.settings import SearchSettings
from searcher.similarity import Curve

if TYPE_CHECKING:
    import optuna

    from searcher.search import Timeline

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"
TRUTH = "#009E73"
Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")
DPI = 300
WIDTH_INCHES = 6.6
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.2,
}


def _styled(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Run ``draw`` with the print style in force."""

    @functools.wraps(draw)
    def with_style(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        try:
            from matplotlib import rc_context
        except ImportError:
            raise InputError("plots need matplotlib", "Install it: pip install 'vclipper[bench]'") from None
        with rc_context(STYLE):
            return draw(*args, **kwargs)

    return with_style


def _figure(rows: int, columns: int, height_inches: float, **options: Any) -> tuple[Any, Any]:
    """A figure with a grid of axes, (rows, columns), made without pyplot's global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


@_styled
def save(figure: Any, path: Path) -> Path:
    """Write a figure as the file's ending says: PNG at print resolution, SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    return path


def _shade_truth(axes: Any, spans: Sequence[tuple[float, float]], name: str = "ground truth") -> None:
    for place, (start, end) in enumerate(spans):
        axes.axvspan(start, end, color=TRUTH, alpha=0.16, lw=0, label=name if place == 0 else None)


def _panels_of_videos(videos: int) -> tuple[Any, list[tuple[Any, Any]]]:
    """A figure with two panels a video: S_c above CFS_c."""
    if not videos:
        raise InputError("nothing to plot")
    figure, axes = _figure(2 * videos, 1, 2.45 * videos + 0.35)
    return figure, list(zip(axes[::2, 0], axes[1::2, 0], strict=True))


def _finish_panels(upper: Any, lower: Any, title: str, seconds: float) -> None:
    upper.set_title(title.replace("$", r"\$"), loc="left", fontweight="bold")  # no formula: people typed it
    upper.tick_params(labelbottom=False)
    for panel in (upper, lower):
        panel.set_xlim(0, seconds)
        panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _over_time(figure: Any, lowest: Any) -> Any:
    """The figure, all of whose panels have the time axis of the lowest."""
    lowest.set_xlabel("time (s)")
    figure.align_ylabels()
    return figure


def _letter(place: int, count: int) -> str:
    """What a panel is called by where there are several."""
    return f"{chr(ord('A') + place)}  " if count > 1 else ""


def _steps(values: NDArray[np.floating], period_seconds: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Times and values of a curve whose points stand at the middle of their frame's interval."""
    return (np.arange(len(values)) + 0.5) * period_seconds, values


def _shortened(text: str, limit: int = 76) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _draw_similarity(axes: Any, query: Query, curve: Curve, settings: SearchSettings) -> None:
    _shade_truth(axes, query.windows)
    processed = postprocess(curve, settings)
    _draw_curves(axes, curve, processed, settings)
    windows = [(window.start_seconds, window.end_seconds) for window in select(processed, settings)]
    _draw_windows(axes, windows, f"{settings.method.upper()} windows")


def _draw_curves(axes: Any, curve: Curve, processed: Curve, settings: SearchSettings) -> None:
    """S_c scaled to 0 … 1, what postprocessing made of it, and λ."""
    raw_curve = postprocess(curve, SearchSettings(method=settings.method, postprocess="norm"))
    axes.plot(*_steps(raw_curve.similarity, curve.period_seconds), color=GREY, lw=0.7, label="$S_c$ (norm)")
    if settings.postprocess != "norm":
        label = f"$S_c$ ({settings.postprocess})"
        axes.plot(*_steps(processed.similarity, curve.period_seconds), color=BLUE, label=label)
    if settings.method != "proposals":  # its λ is no height of this curve
        level = settings.effective_threshold
        axes.axhline(level, color=RED, lw=0.8, ls="--", label=f"λ = {level:.2f}")
    axes.set_ylabel("similarity")


def _draw_windows(axes: Any, windows: Sequence[tuple[float, float]], label: str) -> float:
    """Bars below the curve; returns the height at which they lie."""
    bottom, top = axes.get_ylim()
    line = float(bottom - 0.07 * (top - bottom))
    for place, window in enumerate(windows):
        named = label if place == 0 else None
        axes.plot(window, [line, line], color=ORANGE, lw=3.5, solid_capstyle="butt", label=named)
    return line


def _draw_scenes(axes: Any, curve: Curve, settings: SearchSettings) -> None:
    following = curve.next_similarity
    times = (np.arange(len(following)) + 1.0) * curve.period_seconds
    axes.plot(times, following, color=BLUE, label="$CFS_c$")
    axes.axhline(settings.cut_threshold, color=RED, lw=0.8, ls="--", label=f"α = {settings.cut_threshold:.2f}")
    cuts = cut_positions(following, settings.cut_threshold) * curve.period_seconds
    for place, cut in enumerate(cuts):
        axes.axvline(cut, ymax=0.06, color=ORANGE, lw=1.2, label="cuts" if place == 0 else None)
    axes.set_ylabel("next frame")


@_styled
def plot_queries(queries: Sequence[Query], curves: Sequence[Curve], settings: SearchSettings) -> Any:
    """S_c and CFS_c of some queries above each other, with ground truth and windows (figures 13, 15, 16).

    Returns:
        A matplotlib figure; pass it to :func:`save`.
    """
    figure, panels = _panels_of_videos(len(queries))
    for place, (query, curve, (upper, lower)) in enumerate(zip(queries, curves, panels, strict=True)):
        _draw_similarity(upper, query, curve, settings)
        _shade_truth(lower, query.windows)
        _draw_scenes(lower, curve, settings)
        title = f"{_letter(place, len(queries))}“{_shortened(query.text)}”"
        _finish_panels(upper, lower, title, curve.duration_seconds)
    return _over_time(figure, panels[-1][1])


@_styled
def plot_timelines(
    timelines: Sequence[Timeline],
    moments: Sequence[Sequence[tuple[int, float, float]]],
    query: str,
    settings: SearchSettings,
) -> Any:
    """The curves, cuts and moments of some videos under one query, above each other.

    Args:
        timelines: what is drawn. moments: of each video, (rank, start seconds, end seconds).
        query: what was searched for. settings: how.

    Returns:
        A matplotlib figure; pass it to :func:`save`.
    """
    figure, panels = _panels_of_videos(len(timelines))
    for timeline, found, (upper, lower) in zip(timelines, moments, panels, strict=True):
        raw = replace(timeline.curve, similarity=timeline.curve.raw, before=None)
        _draw_curves(upper, raw, timeline.curve, settings)
        line = _draw_windows(upper, [(start, end) for _, start, end in found], "moments")
        for rank, start, end in found:
            upper.text((start + end) / 2, line, str(rank), ha="center", va="center", fontsize=6)
        _draw_scenes(lower, timeline.curve, settings)
        name = timeline.video.path.name.encode("utf-8", "backslashreplace").decode()
        _finish_panels(upper, lower, _shortened(f"{name}: {query}"), timeline.curve.duration_seconds)
    return _over_time(figure, panels[-1][1])


@dataclass(frozen=True)
class SceneCurves:
    """Two ways to see that a video changes, one value between each two sampled frames.

    Attributes:
        name: of the video.
        next_similarity: CFS_c, (n-1,).
        ssim: structural similarity of the grey pictures (Wang et al. 2004), (n-1,).
        period_seconds: the sampling period.
        truth: moments to shade, (start, end) seconds.
    """

    name: str
    next_similarity: NDArray[np.floating]
    ssim: NDArray[np.floating]
    period_seconds: float
    truth: Sequence[tuple[float, float]] = ()


@_styled
def plot_scenes(videos: Sequence[SceneCurves], cut_threshold: float) -> Any:
    """CFS_c beside frame-to-frame SSIM (figure 14), one panel a video."""
    if not videos:
        raise InputError("no video to plot")
    figure, axes = _figure(len(videos), 1, 1.55 * len(videos) + 0.35)
    for place, (panel, video) in enumerate(zip(axes[:, 0], videos, strict=True)):
        times = (np.arange(len(video.ssim)) + 1.0) * video.period_seconds
        _shade_truth(panel, video.truth, "moment")
        panel.plot(times, video.next_similarity, color=BLUE, marker=".", ms=3, label="$CFS_c$")
        panel.plot(times, video.ssim, color=ORANGE, marker=".", ms=3, label="SSIM")
        panel.axhline(cut_threshold, color=RED, lw=0.8, ls="--", label=f"α = {cut_threshold:.2f}")
        panel.set_title(f"{_letter(place, len(videos))}{video.name}", loc="left", fontweight="bold")
        panel.set_xlim(0, (len(video.ssim) + 1) * video.period_seconds)
        low = min(0.0, float(np.min(video.ssim)), float(np.min(video.next_similarity)))
        panel.set_ylim(low - 0.02, 1.03)
        panel.set_ylabel("similarity")
        panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _over_time(figure, axes[-1, 0])


@_styled
def plot_iou_histograms(groups: Mapping[str, NDArray[np.floating]]) -> Any:
    """Distribution of queries by frame IoU (figure 19): one panel a group, on one scale."""
    if not groups:
        raise InputError("no IoU to plot")
    figure, axes = _figure(1, len(groups), 2.3, sharey=True)
    edges = np.linspace(0.0, 1.0, 21)
    for place, (panel, (name, values)) in enumerate(zip(axes[0], groups.items(), strict=True)):
        shares = 100 * np.histogram(values, bins=edges)[0] / max(len(values), 1)
        colours = [BLUE if left >= 0.5 - 1e-9 else GREY for left in edges[:-1]]
        panel.bar(edges[:-1], shares, width=0.05, align="edge", color=colours, edgecolor="white", lw=0.4)
        panel.axvline(float(np.mean(values)), color=RED, lw=0.9, ls="--")
        panel.annotate(
            f"mean {np.mean(values):.3f}\nabove 0.5: {np.mean(values > 0.5):.1%}",
            (0.97, 0.96),
            xycoords="axes fraction",
            ha="right",
            va="top",
            fontsize=7.5,
            bbox={"color": "white", "alpha": 0.85, "pad": 1.5},
        )
        panel.set_title(f"{chr(ord('A') + place)}  {name}", loc="left", fontweight="bold")
        panel.set_xlabel("frame IoU")
        panel.set_xlim(0, 1)
    axes[0, 0].set_ylabel("queries (%)")
    return figure


@_styled
def plot_models(scores: Mapping[str, Mapping[float, float]]) -> Any:
    """Average frame IoU of VC1 + norm for each model and λ (figure 17): grouped bars, best model first.

    Args:
        scores: model → λ → average IoU.
    """
    if not scores:
        raise InputError("no model to plot")
    ranked = sorted(scores.items(), key=lambda item: -np.mean(list(item[1].values())))
    levels = sorted(ranked[0][1])
    figure, axes = _figure(1, 1, max(1.6, 0.42 * len(ranked) * 1.6 + 0.8))
    panel = axes[0, 0]
    thickness = 0.8 / len(levels)
    shades = np.linspace(0.35, 1.0, len(levels))
    for place, level in enumerate(levels):
        at = np.arange(len(ranked)) - 0.4 + (place + 0.5) * thickness
        widths = [values[level] for _, values in ranked]
        panel.barh(
            at, widths, height=thickness * 0.92, color=BLUE, alpha=float(shades[place]), label=f"{level:.2f}"
        )
    for row, (_, values) in enumerate(ranked):
        mean = float(np.mean(list(values.values())))
        panel.plot([mean, mean], [row - 0.42, row + 0.42], color=RED, lw=1.0)
        panel.annotate(f"{mean:.3f}", (max(values.values()), row), (4, 0), textcoords="offset points", va="center")
    panel.set_yticks(range(len(ranked)), [name for name, _ in ranked])
    panel.invert_yaxis()
    panel.set_xlabel("average frame IoU (red: mean over λ)")
    panel.margins(x=0.1)
    panel.legend(title="λ", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


# --- tuning -----------------------------------------------------------------------------------------

SYMBOLS = {
    "threshold": "λ",
    "min_confidence": "β",
    "cut_threshold": "α",
    "top_share": "p",
    "smooth_window": "M",
}
KNOB_COLOURS = dict(zip(SYMBOLS, (BLUE, "#CC79A7", ORANGE, GREEN, RED), strict=True))


@_styled
def plot_study(study: optuna.Study, title: str, target: str) -> Any:
    """A study's course, its best value so far, and every knob against the target.

    The first panel is Optuna's optimisation history, the others its slice plots, in print style.
    """
    trials = [t for t in study.get_trials(deepcopy=False) if t.value is not None]
    if not trials:
        raise InputError(f"the study {title!r} has no finished trial")
    values = 100 * np.array([t.value for t in trials], dtype=np.float64)
    names = [name for name in SYMBOLS if any(name in t.params for t in trials)]
    figure, axes = _figure(1, 1 + len(names), 2.1, sharey=True)
    history = axes[0, 0]
    order = np.arange(1, len(values) + 1)
    history.plot(order, values, ".", ms=3, color=GREY, label="trial")
    history.plot(order, np.maximum.accumulate(values), color=BLUE, label="best so far")
    history.set_xlabel("trial")
    history.set_ylabel(f"{target} (%)")
    history.legend(loc="lower right")
    best = int(values.argmax())
    for panel, name in zip(axes[0, 1:], names, strict=True):
        at = [t.params.get(name, np.nan) for t in trials]
        panel.scatter(at, values, s=5, c=order, cmap="viridis", lw=0)
        panel.plot(at[best], values[best], "o", ms=5, mfc="none", mec=RED, mew=1.0)
        panel.set_xlabel(f"{SYMBOLS[name]}  ({name})")
    figure.suptitle(title, fontsize=8.5, fontweight="bold", x=0.01, ha="left")
    return figure


@_styled
def plot_importances(importances: Mapping[str, Mapping[str, float]], target: str) -> Any:
    """How much each knob matters to the target, for each study (Optuna's parameter importances)."""
    if not importances:
        raise InputError("no importances to plot")
    names = [name for name in SYMBOLS if any(name in found for found in importances.values())]
    figure, axes = _figure(1, 1, 0.3 * len(importances) + 0.9)
    panel = axes[0, 0]
    left = np.zeros(len(importances))
    for name in names:
        shares = np.array([found.get(name, 0.0) for found in importances.values()])
        panel.barh(
            range(len(importances)), shares, left=left, color=KNOB_COLOURS[name], label=SYMBOLS[name], height=0.7
        )
        left += shares
    panel.set_yticks(range(len(importances)), list(importances))
    panel.invert_yaxis()
    panel.set_xlim(0, 1)
    panel.set_xlabel(f"share of the importance for {target}")
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
