"""Fit the rankers of :mod:`searcher.proposals`: ``bench fit`` repeats the shipped fit and fits others' data.

The loss is the cross-entropy between two distributions over the candidates of a query: the ranker's
softmax, and the wanted one, in which every true moment has a share that gathers on the candidates of
highest IoU with it. Several small networks, fitted from different seeds, are averaged into one.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.curves import CurveSet
from bench.metrics import temporal_iou
from bench.run import window_values
from bench.score import Prediction, evaluate
from bench.tune import folds_by_video
from indexer.errors import InputError
from searcher import proposals
from searcher.level_sets import Candidates
from searcher.proposals import describe
from searcher.rankers import FEATURES, Parameters, Rankers, formula
from searcher.similarity import Curve

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]

#: Columns of the tables, in percent.
COLUMNS = ("R1@0.5", "R1@0.7", "mAP", "mAP@0.5", "mAP@0.75", "short", "middle", "long")


@dataclass(frozen=True)
class Fitting:
    """How a ranker is fitted.

    Attributes:
        hidden: units of each network.
        networks: how many are averaged, each from its own seed.
        epochs: passes over the queries.
        batch: queries a step.
        learning_rate: at its height (one cycle).
        weight_decay: of AdamW.
        sharpness: the wanted distribution of a true moment is softmax(IoU / sharpness).
        least_iou: a true moment counts by how far the best candidate's IoU exceeds this.
        seed: of the first network; of the folds.
    """

    hidden: int = 8
    networks: int = 2
    epochs: int = 8
    batch: int = 64
    learning_rate: float = 0.01
    weight_decay: float = 0.01
    sharpness: float = 0.06
    least_iou: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Example:
    """The candidates of one query.

    Attributes:
        candidates: m windows.
        values: (m, f) float32 features.
        wanted: (m,) float32 distribution the ranker should give; zeros where the query has no true moment.
    """

    candidates: Candidates
    values: Float32
    wanted: Float32


def without_vectors(curve_set: CurveSet) -> CurveSet:
    """The same curves without the frames' vectors."""
    return dataclasses.replace(
        curve_set, curves=tuple(dataclasses.replace(curve, vectors=None) for curve in curve_set.curves)
    )


def _spans(curve: Curve, candidates: Candidates) -> Floats:
    spans = np.stack([candidates.first, candidates.end], axis=1) * curve.period_seconds
    cut: Floats = np.minimum(spans, curve.duration_seconds)
    return cut


def wanted(spans: Floats, moments: Floats, fitting: Fitting) -> Float32:
    """The distribution over (m, 2) candidates that (g, 2) true moments ask for, (m,) float32."""
    if not len(moments):
        return np.zeros(len(spans), dtype=np.float32)
    iou = temporal_iou(spans[:, None], moments[None])
    best = iou.max(axis=0)
    share = np.exp((iou - best) / fitting.sharpness)
    weight = np.maximum(best - fitting.least_iou, 0.0) + 1e-6
    distribution: Float32 = (share / share.sum(axis=0) @ (weight / weight.sum())).astype(np.float32)
    return distribution


def examples(curve_set: CurveSet, fitting: Fitting) -> list[Example]:
    """Candidates, features and wanted distribution of every query."""
    found = []
    for query, curve in zip(curve_set.queries, curve_set.curves, strict=True):
        candidates, values = describe(curve)
        moments = np.array(query.windows, dtype=np.float64).reshape(-1, 2)
        target = wanted(_spans(curve, candidates), moments, fitting)
        found.append(Example(candidates, values.astype(np.float32), target))
    return found


def _block(rows: Sequence[Example], centre: Floats, scale: Floats, clip: float) -> tuple[Any, Any, Any]:
    """Standardised features (q, m, f), wanted (q, m) and validity (q, m) as tensors, padded to one m."""
    import torch

    width = max(len(row.wanted) for row in rows)
    values = np.zeros((len(rows), width, len(centre)), dtype=np.float32)
    target, valid = np.zeros((len(rows), width), dtype=np.float32), np.zeros((len(rows), width), dtype=bool)
    for place, row in enumerate(rows):
        count = len(row.wanted)
        values[place, :count] = np.clip((row.values - centre) / scale, -clip, clip)
        target[place, :count], valid[place, :count] = row.wanted, True
    return torch.from_numpy(values), torch.from_numpy(target), torch.from_numpy(valid)


def fit_ranker(rows: Sequence[Example], fitting: Fitting | None = None) -> Parameters:
    """Fit one ranker to the queries ``rows``.

    Raises:
        InputError: no query at all.
    """
    import torch

    fitting = fitting or Fitting()
    rows = [row for row in rows if row.wanted.any()]
    if not rows:
        raise InputError("nothing to fit: no query with a true moment and a curve")
    clip = 4.0
    everything = np.concatenate([row.values for row in rows]).astype(np.float64)
    centre, scale = everything.mean(axis=0), everything.std(axis=0) + 1e-6
    block = _block(rows, centre, scale, clip)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the blocks are small: more threads only wait for each other
    try:
        networks = [_fit_network(block, fitting, fitting.seed + number) for number in range(fitting.networks)]
    finally:
        torch.set_num_threads(threads)
    return Parameters(
        names=FEATURES[: len(centre)],
        centre=centre,
        scale=scale,
        hidden=np.concatenate([weights for weights, _, _ in networks]),
        bias=np.concatenate([bias for _, bias, _ in networks]),
        output=np.concatenate([output for _, _, output in networks]) / fitting.networks,
        clip=clip,
    )


def _fit_network(block: tuple[Any, Any, Any], fitting: Fitting, seed: int) -> tuple[Floats, Floats, Floats]:
    """Hidden weights (h, f), bias (h,) and output weights (h,) of one network."""
    import torch

    values, target, valid = block
    torch.manual_seed(seed)
    order = np.random.default_rng(seed)
    hidden = torch.nn.Linear(values.shape[2], fitting.hidden)
    output = torch.nn.Linear(fitting.hidden, 1, bias=False)
    weights = [*hidden.parameters(), *output.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=fitting.learning_rate, weight_decay=fitting.weight_decay)
    batches = max(1, len(values) // fitting.batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, fitting.learning_rate, total_steps=fitting.epochs * batches + 1
    )
    for _ in range(fitting.epochs):
        for chosen in np.array_split(order.permutation(len(values)), batches):
            scores = output(torch.tanh(hidden(values[chosen]))).squeeze(-1)
            likely = torch.log_softmax(scores.masked_fill(~valid[chosen], -1e9), dim=1)
            loss = -(target[chosen] * likely).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
    arrays = (hidden.weight, hidden.bias, output.weight[0])
    first, second, third = (array.detach().numpy().astype(np.float64) for array in arrays)
    return first, second, third


# --- scoring ----------------------------------------------------------------------------------------

Chosen = tuple[NDArray[np.intp], Floats]
Choose = Callable[[NDArray[np.intp], NDArray[np.intp], Floats], Chosen]


@dataclass(frozen=True)
class Ablation:
    """One row of the ablation table: what was changed, the signal, and :data:`COLUMNS` in percent."""

    name: str
    signal: str
    values: dict[str, float]


def answers(
    curve_set: CurveSet, rows: Sequence[Example], scores: Sequence[Floats], choose: Choose = proposals.choose
) -> list[Prediction]:
    """Predictions of every query from the scores of its candidates."""
    found = []
    for query, curve, row, score in zip(curve_set.queries, curve_set.curves, rows, scores, strict=True):
        places, confidences = choose(row.candidates.first, row.candidates.end, score)
        windows = np.column_stack([_spans(curve, row.candidates)[places], confidences])
        found.append(Prediction(query.qid, windows, None))
    return found


def values_of(curve_set: CurveSet, predictions: Iterable[Prediction]) -> dict[str, float]:
    """The window table's columns (:data:`COLUMNS`) in percent."""
    measured = window_values(evaluate(predictions, curve_set.dataset))
    return {name: measured[name] for name in COLUMNS}


def cross_validate(
    trained_on: Sequence[tuple[CurveSet, Sequence[Example]]],
    tested_on: Sequence[tuple[CurveSet, Sequence[Example]]],
    folds: int = 5,
    fitting: Fitting | None = None,
) -> list[list[Floats]]:
    """Scores of the candidates of every tested query by a ranker that has not seen its video.

    All curve sets are of the same data set: several signals of the same queries. Videos are dealt into
    folds once, so a video held out of one signal is held out of all.

    Returns:
        For each tested set one array of scores a query.
    """
    fitting = fitting or Fitting()
    whole = tested_on[0][0]
    scores: list[list[Floats]] = [[np.zeros(0)] * len(rows) for _, rows in tested_on]
    for split in folds_by_video(whole, folds, fitting.seed):
        held = {whole.queries[place].video for place in split.test}
        seen = [
            row
            for curve_set, rows in trained_on
            for query, row in zip(curve_set.queries, rows, strict=True)
            if query.video not in held
        ]
        ranker = fit_ranker(seen, fitting)
        for number, (curve_set, rows) in enumerate(tested_on):
            for place, (query, row) in enumerate(zip(curve_set.queries, rows, strict=True)):
                if query.video in held:
                    scores[number][place] = ranker.score(row.values.astype(np.float64))
    return scores


def fit_rankers(curve_sets: Sequence[CurveSet], fitting: Fitting | None = None) -> Rankers:
    """Both rankers, fitted to all queries of all the sets together."""
    fitting = fitting or Fitting()
    with_frames = [s for s in curve_sets if all(curve.vectors is not None for curve in s.curves)]
    if not with_frames:
        raise InputError("no frame vectors to fit on", "Name --features DIR, alone or beside --saliency FILE")
    frames = fit_ranker([row for s in with_frames for row in examples(s, fitting)], fitting)
    bare = [row for s in curve_sets for row in examples(without_vectors(s), fitting)]
    return Rankers(curve=fit_ranker(bare, fitting), frames=frames)


# --- ablation ---------------------------------------------------------------------------------------

#: Groups of features that the ablation leaves out, one at a time.
GROUPS = {
    "likeness inside, outside, beside": ("likeness",),
    "scene changes at the ends": ("scene",),
    "CFS_c at the ends and inside": ("cut", "cohesion"),
    "floor, level and drop of the smoothed S_c": ("floor", "level", "drop"),
    "mean inside, outside, separation": ("inside", "outside", "separation"),
    "length": ("log_length", "length_bend"),
    "the video's border": ("at_border", "whole"),
}
Known = Sequence[tuple[CurveSet, Sequence[Example]]]


def _without(known: Known, prefixes: tuple[str, ...]) -> list[tuple[CurveSet, list[Example]]]:
    """The same examples with the features of these prefixes at zero, which tells a ranker nothing."""
    found = []
    for curve_set, rows in known:
        gone = [place for place, name in enumerate(FEATURES) if name.startswith(prefixes)]
        kept = []
        for row in rows:
            values = row.values.copy()
            values[:, [place for place in gone if place < values.shape[1]]] = 0.0
            kept.append(dataclasses.replace(row, values=values))
        found.append((curve_set, kept))
    return found


def _level_sets_only(known: Known, fitting: Fitting) -> list[tuple[CurveSet, list[Example]]]:
    """The same examples without the candidates that only scene changes propose."""
    found = []
    for curve_set, rows in known:
        kept = []
        for query, curve, row in zip(curve_set.queries, curve_set.curves, rows, strict=True):
            members = np.flatnonzero(row.candidates.level_set)
            candidates = row.candidates.take(members)
            moments = np.array(query.windows, dtype=np.float64).reshape(-1, 2)
            target = wanted(_spans(curve, candidates), moments, fitting)
            kept.append(Example(candidates, row.values[members], target))
        found.append((curve_set, kept))
    return found


def _most_probable(first: NDArray[np.intp], end: NDArray[np.intp], scores: Floats) -> Chosen:
    """Soft-NMS alone: the first window is the one of highest score."""
    return _suppressed(first, end, scores, lambda iou: np.exp(-(iou**3) / proposals.SOFT_NMS_SIGMA))


def _hard_nms(first: NDArray[np.intp], end: NDArray[np.intp], scores: Floats) -> Chosen:
    """Windows by falling score, without those that overlap a better one by 0.7."""
    return _suppressed(first, end, scores, lambda iou: np.where(iou < 0.7, 1.0, 1e-9))


def _suppressed(
    first: NDArray[np.intp], end: NDArray[np.intp], scores: Floats, decay: Callable[[Floats], Floats]
) -> Chosen:
    order = np.argsort(-scores, kind="stable")[:100]
    iou = proposals.overlaps(first[order], end[order])
    confidence = np.exp(scores[order] - scores[order[0]])
    chosen, confidences = [], []
    for _ in range(min(proposals.WINDOWS_PER_CONTEXT, len(order))):
        best = int(np.argmax(confidence))
        chosen.append(best)
        confidences.append(float(confidence[best]))
        confidence = confidence * decay(iou[best])
        confidence[best] = 0.0
    return order[chosen], np.array(confidences)


def _rows(name: str, known: Known, scores: Sequence[Sequence[Floats]], choose: Choose) -> list[Ablation]:
    return [
        Ablation(name, curve_set.source, values_of(curve_set, answers(curve_set, rows, found, choose)))
        for (curve_set, rows), found in zip(known, scores, strict=True)
    ]


def ablation(curve_sets: Sequence[CurveSet], folds: int = 5, fitting: Fitting | None = None) -> Iterator[Ablation]:
    """What each part brings, cross-validated by video: one row a part and signal."""
    fitting = fitting or Fitting()
    known = [(s, examples(s, fitting)) for s in curve_sets]
    scores = cross_validate(known, known, folds, fitting)
    yield from _rows("everything", known, scores, proposals.choose)
    yield from _rows("first window: the most probable", known, scores, _most_probable)
    yield from _rows("NMS at 0.7 instead", known, scores, _hard_nms)
    by_formula = [[formula(row.values.astype(np.float64)) for row in rows] for _, rows in known]
    yield from _rows("the formula instead of the fit", known, by_formula, proposals.choose)
    for one in known if len(known) > 1 else []:
        found = cross_validate([one], known, folds, fitting)
        yield from _rows(f"fitted on {one[0].source} only", known, found, proposals.choose)
    one_unit = dataclasses.replace(fitting, hidden=1, networks=1)
    yield from _rows("one hidden unit", known, cross_validate(known, known, folds, one_unit), proposals.choose)
    level_sets = _level_sets_only(known, fitting)
    found = cross_validate(level_sets, level_sets, folds, fitting)
    yield from _rows("without candidates from scenes", level_sets, found, proposals.choose)
    for name, prefixes in GROUPS.items():
        less = _without(known, prefixes)
        yield from _rows(f"without {name}", less, cross_validate(less, less, folds, fitting), proposals.choose)
    bare = [(s, examples(s, fitting)) for s in map(without_vectors, curve_sets)]
    yield from _rows("without frame vectors", bare, cross_validate(bare, bare, folds, fitting), proposals.choose)


# --- the parameter file -----------------------------------------------------------------------------


def record(
    rankers: Rankers, curve_sets: Sequence[CurveSet], fitting: Fitting, figures: dict[str, Any], licence: str
) -> dict[str, Any]:
    """What the parameter file holds: the rankers, and how, on what and under which licence they were fitted."""
    first = curve_sets[0].dataset
    return {
        "what": "Rankers of the localiser 'proposals' (searcher/rankers.py); written by `bench fit`",
        "fitted_on": {
            "dataset": first.name,
            "annotations": first.source.name,
            "queries": len(first),
            "videos": len(first.videos),
            "signals": [curve_set.source for curve_set in curve_sets],
        },
        "licence": licence,
        "fitting": dataclasses.asdict(fitting),
        "cross_validated_by_video": figures,
        "rankers": {"curve": rankers.curve.to_dict(), "frames": rankers.frames.to_dict()},
    }


def save_record(path: Path, values: dict[str, Any]) -> None:
    """Write a parameter file: one feature a line."""
    text = json.dumps(values, indent=1, ensure_ascii=False)
    for nest in (r"\[[^\[\]{}]*\]", r"\{\s*\"centre\"[^{}]*\}"):
        text = re.sub(
            nest, lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def cross_validated(
    curve_sets: Sequence[CurveSet], folds: int = 5, fitting: Fitting | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """Figures of both rankers on every signal by cross-validation: ranker → signal → column → percent."""
    fitting = fitting or Fitting()
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name, sets in (("frames", curve_sets), ("curve", [without_vectors(s) for s in curve_sets])):
        known = [(s, examples(s, fitting)) for s in sets]
        scores = cross_validate(known, known, folds, fitting)
        figures[name] = {
            s.source: values_of(s, answers(s, rows, found)) for (s, rows), found in zip(known, scores, strict=True)
        }
    return figures
