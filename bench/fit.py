"""Fit the rankers of :mod:`searcher.proposals`: ``bench fit`` repeats the shipped fit and fits others' data.

The loss is the cross-entropy between two distributions over the candidates of a query: the ranker's
softmax, and the wanted one, in which every true moment has a share that gathers on the candidates of
highest IoU with it. Several small networks, fitted from different seeds, are averaged into one.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.curves import CurveSet
from bench.datasets import Query
from bench.folds import folds_by_video
from bench.metrics import Floats, temporal_iou
from bench.run import window_values
from bench.score import Prediction, evaluate
from indexer.errors import InputError
from indexer.vectors import Float32
from searcher import proposals
from searcher.level_sets import Candidates
from searcher.proposals import describe
from searcher.rankers import FEATURES, Parameters, Rankers
from searcher.similarity import Curve

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


Known = Sequence[tuple[CurveSet, Sequence[Example]]]
"""Curve sets of the same queries under several signals, with their examples."""


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


def wanted_of(query: Query, curve: Curve, candidates: Candidates, fitting: Fitting) -> Float32:
    """(m,) wanted distribution over the candidates of a query."""
    moments = np.array(query.windows, dtype=np.float64).reshape(-1, 2)
    return wanted(_spans(curve, candidates), moments, fitting)


def examples(curve_set: CurveSet, fitting: Fitting) -> list[Example]:
    """Candidates, features and wanted distribution of every query."""
    found = []
    for query, curve in zip(curve_set.queries, curve_set.curves, strict=True):
        candidates, values = describe(curve)
        found.append(Example(candidates, values.astype(np.float32), wanted_of(query, curve, candidates, fitting)))
    return found


def known_of(curve_sets: Iterable[CurveSet], fitting: Fitting) -> list[tuple[CurveSet, Sequence[Example]]]:
    """Each curve set with its examples."""
    return [(curve_set, examples(curve_set, fitting)) for curve_set in curve_sets]


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
    trained_on: Known,
    tested_on: Known,
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
        known = known_of(sets, fitting)
        scores = cross_validate(known, known, folds, fitting)
        figures[name] = {
            s.source: values_of(s, answers(s, rows, found)) for (s, rows), found in zip(known, scores, strict=True)
        }
    return figures
