"""Other people's ways from a curve to windows, on the same curves: a table of functions ``Curve → [Window]``.

What a paper leaves open is chosen here and marked **choice**. Shots come from the cuts of CFS_c, because all
baselines run on curves, not on pixels (**choice**; the papers use a shot detector on the video).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from bench.curves import CurveSet, Features, with_common_range
from bench.folds import Split, folds_by_video
from bench.metrics import Floats
from bench.run import Row, split_name, window_rows, window_values
from bench.score import Prediction, evaluate
from bench.tune import Objectives
from indexer.vectors import Float32, next_frame_similarity, unit
from searcher.postprocess import min_max
from searcher.select import Window, cut_positions, runs, select
from searcher.settings import SearchSettings
from searcher.similarity import Curve, frame_similarity

Span = tuple[int, int, float]


def normalised(curve: Curve) -> Floats:
    """S_c moved to 0..1 per video (eq. 5), (n,) float64."""
    return _scaled(curve.similarity)


def _scaled(values: NDArray[np.floating]) -> Floats:
    wide = values.astype(np.float64)
    return min_max(wide, float(wide.min()), float(wide.max())).astype(np.float64)


def frame_iou(a: Span, b: Span) -> float:
    """IoU of two frame ranges, ends not included."""
    shared = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / ((a[1] - a[0]) + (b[1] - b[0]) - shared)


def suppress(spans: Iterable[Span], iou: float) -> list[Span]:
    """Non-maximum suppression: best first, without those that overlap a better one by ``iou`` or more."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (-s[2], s[0], s[1])):
        if all(frame_iou(span, better) < iou for better in kept):
            kept.append(span)
    return kept


def as_windows(curve: Curve, spans: Iterable[Span]) -> list[Window]:
    """Frame ranges with confidences → windows, in the order given."""
    return [Window(a, b, curve.seconds(a), curve.seconds(b), float(score)) for a, b, score in spans]


def shot_edges(curve: Curve, cut_threshold: float) -> NDArray[np.intp]:
    """(shots + 1,) first frames of the shots, and the end of the last."""
    return np.concatenate(([0], cut_positions(curve.next_similarity, cut_threshold), [len(curve)]))


def shots_sliding(curve: Curve, cut_threshold: float, shots: int, level: float) -> list[Window]:
    """Shot detection + CLIP + sliding windows (Diwan et al. 2022): propose, match, merge.

    Proposals are all runs of ``shots`` neighbouring shots; each is matched by the mean of S_c in it; those
    whose normalised match is above ``level`` are merged where they touch (**choice**: the threshold) and
    ranked by the mean of S_c.
    """
    edges = shot_edges(curve, cut_threshold)
    width = min(shots, len(edges) - 1)
    values = normalised(curve)
    total = np.concatenate(([0.0], values.cumsum()))
    starts, ends = edges[:-width], edges[width:]
    means = (total[ends] - total[starts]) / (ends - starts)
    match = _scaled(means) if len(means) > 1 else means
    inside = np.zeros(len(curve), dtype=bool)
    for start, end in zip(starts[match > level], ends[match > level], strict=True):
        inside[start:end] = True
    spans = [(int(a), int(b), float(values[a:b].mean())) for a, b in runs(inside)]
    return as_windows(curve, sorted(spans, key=lambda s: -s[2]))


def shots_watershed(
    curve: Curve, cut_threshold: float, tolerance: float, suppression: float = 0.7
) -> list[Window]:
    """Shots grouped by watershed, the temporal actionness grouping of Zhao et al. (2017).

    The water falls from 0.95 to 0.05 in steps of 0.05 of the normalised shot match. At each level a basin
    starts at a shot above water and grows over the next shots while at least ``tolerance`` of its frames
    are above. Overlapping basins are suppressed. A basin is ranked by the mean of S_c inside it less the
    mean outside (**choice**: the original ranks with a trained classifier).
    """
    edges = shot_edges(curve, cut_threshold)
    values = normalised(curve)
    lengths = np.diff(edges)
    means = np.add.reduceat(values, edges[:-1]) / lengths
    match = _scaled(means) if len(means) > 1 else np.ones(1)
    basins = {
        basin for level in np.arange(0.95, 0.0, -0.05) for basin in _basins(match > level, lengths, tolerance)
    }
    spans = [(int(edges[a]), int(edges[b]), _contrast(values, edges[a], edges[b])) for a, b in basins]
    return as_windows(curve, suppress(spans, suppression))


def _basins(above: NDArray[np.bool_], lengths: NDArray[np.intp], tolerance: float) -> list[tuple[int, int]]:
    """Maximal runs of shots, each starting and ending above water, with enough frames above it."""
    found = []
    start = 0
    while start < len(above):
        if not above[start]:
            start += 1
            continue
        share = np.cumsum((lengths * above)[start:]) / np.cumsum(lengths[start:])
        dry = np.flatnonzero(share < tolerance)
        limit = start + (int(dry[0]) if len(dry) else len(share))
        end = start + int(np.flatnonzero(above[start:limit])[-1]) + 1
        found.append((start, end))
        start = end
    return found


def _contrast(values: Floats, start: int, end: int) -> float:
    outside = values.sum() - values[start:end].sum()
    rest = len(values) - (end - start)
    return float(values[start:end].mean() - (outside / rest if rest else values.mean()))


def fixed_windows(curve: Curve, seconds: float, suppression: float = 0.5) -> list[Window]:
    """Windows of one length, half overlapping, ranked by the mean of S_c, overlapping ones suppressed."""
    width = max(1, min(len(curve), round(seconds / curve.period_seconds)))
    values = normalised(curve)
    last = len(curve) - width
    starts = sorted({*range(0, last + 1, max(1, width // 2)), last})
    spans = [(a, a + width, float(values[a : a + width].mean())) for a in starts]
    return as_windows(curve, suppress(spans, suppression))


def histogram_spans(
    curve: Curve, bins: int = 10, top: int = 8, gap: int = 6, suppression: float = 0.95
) -> list[Window]:
    """VTG-GPT's span rule (Xu et al. 2024).

    The threshold is the highest edge of a ``bins``-bin histogram of the normalised S_c with at least
    ``top`` frames above it. Frames above it that lie at most ``gap`` apart make one span. Confidence is half
    the span's mean S_c over its frames above the threshold and half its share of all such frames.
    """
    values = normalised(curve)
    counts, edges = np.histogram(values, bins=bins, range=(0.0, 1.0))
    enough = np.flatnonzero(counts[::-1].cumsum() >= top)
    threshold = edges[bins - 1 - enough[0]] if len(enough) else 0.0
    frames = np.flatnonzero(values > threshold)
    if not len(frames):
        return []
    groups = np.split(frames, np.flatnonzero(np.diff(frames) > gap) + 1)
    spans = [
        (int(g[0]), int(g[-1]) + 1, 0.5 * len(g) / len(frames) + 0.5 * float(values[g].mean())) for g in groups
    ]
    return as_windows(curve, suppress(spans, suppression))


def otsu_threshold(values: Floats) -> float:
    """Otsu's threshold (1979), exact: the cut between sorted values with the largest between-class variance.

    Returns the middle of the two values it lies between; the value itself where all are equal.
    """
    ordered = np.sort(values)
    n = len(ordered)
    if n < 2 or ordered[0] == ordered[-1]:
        return float(ordered[0])
    below = np.arange(1, n)
    total = ordered.cumsum()
    low_mean = total[:-1] / below
    high_mean = (total[-1] - total[:-1]) / (n - below)
    between = below * (n - below) * (high_mean - low_mean) ** 2
    between = np.where(np.diff(ordered) > 0, between, -1.0)
    cut = int(between.argmax())
    return float((ordered[cut] + ordered[cut + 1]) / 2)


def gaussian_otsu(curve: Curve, sigma_seconds: float = 3.0) -> list[Window]:
    """Gaussian smoothing of fixed width in seconds, Otsu's threshold, runs above it by falling mean."""
    smoothed = gaussian_filter1d(normalised(curve), sigma_seconds / curve.period_seconds, mode="nearest")
    spans = [(int(a), int(b), float(smoothed[a:b].mean())) for a, b in runs(smoothed > otsu_threshold(smoothed))]
    return as_windows(curve, sorted(spans, key=lambda s: -s[2]))


def vc1_of_settings(curve: Curve, **settings: Any) -> list[Window]:
    """VC1 after the postprocessing in ``settings``: the rule used with image queries."""
    from searcher.postprocess import postprocess

    chosen = SearchSettings(**settings)
    return select(postprocess(curve, chosen), chosen)


@dataclass(frozen=True)
class Baseline:
    """A rule, where it comes from and the parameters that cross-validation may choose among."""

    title: str
    source: str
    rule: Callable[..., list[Window]]
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def settings(self) -> list[dict[str, Any]]:
        """Every combination of the grid."""
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]


BASELINES: Mapping[str, Baseline] = {
    "shots-sliding": Baseline(
        "shots + sliding windows",
        "Diwan et al. 2022",
        shots_sliding,
        {
            "cut_threshold": (0.3, 0.45, 0.6, 0.75, 0.85),
            "shots": (1, 2, 3),
            "level": (0.3, 0.4, 0.5, 0.6, 0.7),
        },
    ),
    "shots-watershed": Baseline(
        "shots + watershed",
        "Diwan et al. 2022; Zhao et al. 2017",
        shots_watershed,
        {"cut_threshold": (0.3, 0.45, 0.6, 0.75, 0.85), "tolerance": (0.5, 0.6, 0.7, 0.8, 0.9)},
    ),
    "fixed-windows": Baseline(
        "fixed windows", "common", fixed_windows, {"seconds": (6, 10, 16, 20, 24, 30, 40, 60, 80)}
    ),
    "histogram": Baseline("histogram threshold, gap merge", "VTG-GPT (Xu et al. 2024)", histogram_spans),
    "histogram-tuned": Baseline(
        "histogram threshold, tuned",
        "VTG-GPT (Xu et al. 2024)",
        histogram_spans,
        {"top": (4, 6, 8, 12, 16, 24), "gap": (1, 2, 4, 6, 8)},
    ),
    "gaussian-otsu": Baseline("Gaussian 3 s + Otsu", "Otsu 1979", gaussian_otsu),
    "gaussian-otsu-tuned": Baseline(
        "Gaussian + Otsu, tuned",
        "Otsu 1979",
        gaussian_otsu,
        {"sigma_seconds": (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)},
    ),
}

IMAGE_QUERY = Baseline(
    "image query + VC1 smooth_norm",
    "Videogenic (Lin et al. 2022)",
    vc1_of_settings,
    {"threshold": (0.4, 0.5, 0.55, 0.6, 0.7), "smooth_window": (9, 13, 17)},
)


@dataclass(frozen=True)
class BaselineResult:
    """Held-out figures of a baseline and the parameters chosen on all queries."""

    name: str
    row: Row
    parameters: Mapping[str, Any]


def run_baseline(name: str, baseline: Baseline, curve_set: CurveSet, splits: Sequence[Split]) -> BaselineResult:
    """Score a baseline with parameters chosen by R1@0.5 on each split's training part.

    A baseline without a grid has nothing to choose and is scored as published.
    """
    settings = baseline.settings()
    answers = [[baseline.rule(curve, **chosen) for curve in curve_set.curves] for chosen in settings]
    everything = np.arange(len(curve_set))
    objectives = Objectives(curve_set)
    hits = np.stack([objectives.first_window(windows, everything) for windows in answers])
    predictions = []
    for split in splits:
        best = int(hits[:, split.train].mean(axis=1).argmax())
        for place in split.test:
            qid = curve_set.queries[int(place)].qid
            predictions.append(Prediction(qid, window_rows(answers[best][int(place)])))
    values = window_values(evaluate(predictions, curve_set.dataset))
    chosen = settings[int(hits.mean(axis=1).argmax())]
    return BaselineResult(
        name, Row(baseline.title, baseline.source, values, split=split_name(curve_set.dataset)), chosen
    )


def run_baselines(
    curve_set: CurveSet, folds: int, seed: int = 0, images: CurveSet | None = None
) -> list[BaselineResult]:
    """All baselines on the same curves and folds; ``images`` are curves of image queries, if there are any."""
    splits = folds_by_video(curve_set, folds, seed)
    found = [run_baseline(name, baseline, curve_set, splits) for name, baseline in BASELINES.items()]
    if images is not None:
        splits = folds_by_video(images, folds, seed)
        found.append(run_baseline("image-query", IMAGE_QUERY, images, splits))
    return found


# --- image queries ----------------------------------------------------------------------------------


def example_pictures(features: Features, curve_set: CurveSet) -> dict[int | str, Float32]:
    """For each query the vector of an example picture: (D,) float32, from another video.

    Videogenic (Lin et al. 2022) searches with a picture of what is wanted. Here the picture is the best
    marked frame (the middle of the first moment where there are no marks) of the moment whose own query is
    most like this one among the queries of other videos.
    """
    queries = curve_set.queries
    texts = np.stack([features.queries[query.qid] for query in queries])
    likeness = texts @ texts.T
    videos = np.array([query.video for query in queries])
    likeness[videos[:, None] == videos[None, :]] = -np.inf
    pictures = [_best_frame(features, curve_set, place) for place in range(len(queries))]
    return {query.qid: pictures[int(other)] for query, other in zip(queries, likeness.argmax(axis=1), strict=True)}


def _best_frame(features: Features, curve_set: CurveSet, place: int) -> Float32:
    query, curve = curve_set.queries[place], curve_set.curves[place]
    rows = features.frames[query.video]
    if query.marks is not None and query.marks.any() and curve.period_seconds == 2.0:
        frame = int(query.marks.sum(axis=1).argmax())
    else:
        frame = int(sum(query.windows[0]) / 2 / curve.period_seconds)
    picture: Float32 = rows[min(frame, len(rows) - 1)]
    return picture


def image_curves(
    features: Features, curve_set: CurveSet, pictures: Mapping[int | str, Float32] | Float32
) -> CurveSet:
    """The same videos seen through pictures instead of texts.

    Args:
        features: the videos' vectors.
        curve_set: the text curves, for their queries.
        pictures: a (D,) unit vector for each query id, or one for all.
    """
    following = {video: next_frame_similarity(rows) for video, rows in features.frames.items()}
    curves = []
    for query, curve in zip(curve_set.queries, curve_set.curves, strict=True):
        vector = pictures[query.qid] if isinstance(pictures, Mapping) else unit(pictures)
        similarity = frame_similarity(features.frames[query.video], vector)
        curves.append(Curve(similarity, following[query.video], curve.period_seconds, curve.duration_seconds))
    return CurveSet(
        curve_set.dataset, curve_set.places, with_common_range(curves), curve_set.missing, "image queries"
    )
