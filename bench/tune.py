"""Find λ, β, α, p and M with Optuna (thesis section 3.11), by cross-validation or from train to val.

One study belongs to one method, postprocessing, target and training part. Studies live in an SQLite file
and go on where they stopped. Workers share the studies out: as long as there are as many studies as
workers, each study runs in one process and is repeatable from its seed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.curves import CurveSet
from bench.folds import Places, Split, folds_by_video
from bench.metrics import WINDOWS_PER_QUERY, Floats, Windows, average_precision, first_window_iou
from bench.run import SMOOTHING, FrameTruth, Replay, Row, split_name, window_rows, window_values
from bench.score import Prediction, evaluate, truth_windows
from bench.workers import in_processes
from indexer.errors import InputError, first_line
from searcher.select import Window
from searcher.settings import SearchSettings, knobs

if TYPE_CHECKING:
    import optuna

#: λ and β are searched between these quantiles of the curves, α between these of CFS_c.
QUANTILES = (0.005, 0.995)
#: The knobs that a method has beside λ; M belongs to the postprocessing.
METHOD_KNOBS: Mapping[str, tuple[str, ...]] = {
    "vc1": ("min_confidence",),
    "vc2": ("cut_threshold", "top_share"),
}


class Objectives:
    """Per-query values of each target for some windows; a target's score is their mean.

    ``windows``: R1@0.5. ``map``: mAP. ``frames``: AP@0.5 of the selected frames (thesis 3.11).
    """

    def __init__(self, curve_set: CurveSet) -> None:
        self.truth = truth_windows(curve_set.queries)
        self.frames = FrameTruth(curve_set)

    def first_window(self, windows: Sequence[Sequence[Window]], places: Places) -> Floats:
        """1 where the first window reaches IoU 0.5."""
        predicted = Windows.pad([window_rows(found, 1) for found in windows])
        return (first_window_iou(predicted, self.truth.take(places)) >= 0.5).astype(np.float64)

    def precision(self, windows: Sequence[Sequence[Window]], places: Places) -> Floats:
        """Average precision, the mean over the ten IoU thresholds."""
        predicted = Windows.pad([window_rows(found, WINDOWS_PER_QUERY) for found in windows])
        result: Floats = average_precision(predicted, self.truth.take(places)).mean(axis=1)
        return result

    def frame_share(self, windows: Sequence[Sequence[Window]], places: Places) -> Floats:
        """1 where the IoU of the selected frames exceeds 0.5."""
        return (self.frames.score(windows, places).iou > 0.5).astype(np.float64)


PerQuery = Callable[[Objectives, Sequence[Sequence[Window]], Places], Floats]
TARGETS: Mapping[str, tuple[str, PerQuery]] = {
    "windows": ("R1@0.5", Objectives.first_window),
    "map": ("mAP", Objectives.precision),
    "frames": ("frame AP@0.5", Objectives.frame_share),
}


@dataclass(frozen=True)
class Space:
    """What a study may choose: knob → (low, high); knobs that are absent keep their default."""

    method: str
    postprocess: str
    bounds: Mapping[str, tuple[float, float]]

    def suggest(self, trial: optuna.Trial) -> SearchSettings:
        """Settings of one trial."""
        values: dict[str, Any] = {"method": self.method, "postprocess": self.postprocess}
        for name, (low, high) in self.bounds.items():
            if name == "smooth_window":
                values[name] = trial.suggest_int(name, int(low), int(high), step=2)
            else:
                values[name] = trial.suggest_float(name, low, high)
        return SearchSettings.from_dict(values)

    def settings(self, parameters: Mapping[str, Any]) -> SearchSettings:
        """Settings from a finished trial's parameters."""
        return SearchSettings.from_dict({"method": self.method, "postprocess": self.postprocess, **parameters})

    def defaults(self) -> dict[str, float]:
        """The default settings as parameters of a first trial, moved into the bounds."""
        plain = SearchSettings(method=self.method, postprocess=self.postprocess)
        start = plain.to_dict() | {"threshold": plain.effective_threshold}
        return {
            name: type(start[name])(min(max(start[name], low), high)) for name, (low, high) in self.bounds.items()
        }


def _quantiles(arrays: Sequence[NDArray[np.floating]]) -> tuple[float, float]:
    values = np.concatenate(arrays) if arrays else np.zeros(1)
    low, high = np.quantile(values, QUANTILES)
    return float(low), float(high)


def search_space(replay: Replay, method: str, process: str, train: Places) -> Space:
    """The knobs that matter for this combination, bounded by the settings' own bounds and by the curves.

    λ and β are looked for where the training curves have values, α where their CFS_c has. A knob for
    which that leaves no room (constant curves) is not searched.
    """
    limits = {knob.name: (knob.low or 0.0, knob.high or 0.0) for knob in knobs()}
    plain = SearchSettings(method=method, postprocess=process)
    curves = replay.processed(plain)
    level = _quantiles([curves[place].similarity for place in train])
    bounds = {"threshold": level}
    for name in METHOD_KNOBS.get(method, ()):
        bounds[name] = limits[name]
    if "min_confidence" in bounds:
        bounds["min_confidence"] = level
    if "cut_threshold" in bounds:
        bounds["cut_threshold"] = _quantiles([curves[place].next_similarity for place in train])
    if process in SMOOTHING:
        bounds["smooth_window"] = limits["smooth_window"]
    inside = {
        name: (max(low, limits[name][0]), min(high, limits[name][1])) for name, (low, high) in bounds.items()
    }
    return Space(method, process, {name: pair for name, pair in inside.items() if pair[0] < pair[1]})


# --- studies and workers ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One process's share of one study."""

    study: str
    method: str
    postprocess: str
    target: str
    split: int
    trials: int
    seed: int
    storage: str
    shared: bool


_worker: dict[str, Any] = {}


def _start_worker(curve_set: CurveSet, splits: Sequence[Split]) -> None:
    _worker.update(replay=Replay(curve_set), objectives=Objectives(curve_set), splits=splits)


def _run_job(job: Job) -> Job:
    """Run a job's trials with what :func:`_start_worker` laid ready."""
    replay: Replay = _worker["replay"]
    train = _worker["splits"][job.split].train
    space = search_space(replay, job.method, job.postprocess, train)
    per_query = TARGETS[job.target][1]

    def objective(trial: optuna.Trial) -> float:
        windows = replay.windows(space.suggest(trial), train)
        return float(per_query(_worker["objectives"], windows, train).mean())

    study = open_study(job.study, job.storage, job.seed, job.shared)
    study.optimize(objective, n_trials=job.trials)
    return job


def open_study(name: str, storage: str, seed: int = 0, shared: bool = False) -> optuna.Study:
    """Open or make a maximising TPE study in ``storage`` (an Optuna URL).

    Raises:
        InputError: the database cannot be opened.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=shared)
    try:
        return optuna.create_study(
            study_name=name, storage=storage, sampler=sampler, direction="maximize", load_if_exists=True
        )
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        reason = f"the studies in {storage.removeprefix('sqlite:///')} cannot be opened: {first_line(error)}"
        raise InputError(reason, "Take it away, or name another folder: --out DIR") from None


def _finished(study: optuna.Study) -> int:
    import optuna

    return len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))


def fingerprint(curve_set: CurveSet) -> str:
    """Names the curves and their ground truth: studies of other data get other names."""
    digest = hashlib.sha256()
    for query, curve in zip(curve_set.queries, curve_set.curves, strict=True):
        digest.update(f"{query.qid} {query.windows}".encode())
        digest.update(curve.similarity.tobytes())
        digest.update(curve.next_similarity.tobytes())
    return digest.hexdigest()[:10]


@dataclass(frozen=True)
class Tuning:
    """What to tune and how.

    Attributes:
        combinations: (method, postprocessing) pairs.
        target: a key of :data:`TARGETS`.
        trials: Optuna trials a study.
        seed: of the folds and of TPE.
        workers: processes.
        storage: the SQLite file.
    """

    combinations: Sequence[tuple[str, str]]
    target: str
    trials: int
    seed: int
    workers: int
    storage: Path

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise InputError(f"unknown target {self.target!r}", f"Choose one of: {', '.join(TARGETS)}")
        if self.trials < 1 or self.workers < 1:
            raise InputError(f"{self.trials} trials on {self.workers} workers", "Both must be at least 1")

    @property
    def url(self) -> str:
        """The storage as Optuna names it."""
        return f"sqlite:///{self.storage.resolve()}"

    def study_name(self, curve_set: CurveSet, method: str, process: str, split: Split) -> str:
        """Unique for the data, the combination, the target, the part and the seed."""
        return f"{fingerprint(curve_set)} {method} {process} {self.target} {split.name} seed{self.seed}"


def _jobs(tuning: Tuning, train: CurveSet, splits: Sequence[Split]) -> Iterator[Job]:
    """The work that is left, study by study."""
    replay = Replay(train)
    pairs = [(combination, split) for combination in tuning.combinations for split in range(len(splits))]
    sharers = max(1, tuning.workers // len(pairs))
    for (method, process), split in pairs:
        name = tuning.study_name(train, method, process, splits[split])
        study = open_study(name, tuning.url)
        done = _finished(study)
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(search_space(replay, method, process, splits[split].train).defaults())
        left = max(0, tuning.trials - done)
        for share in range(sharers):
            trials = left // sharers + (share < left % sharers)
            if trials:
                seed = tuning.seed + done + 1_000_003 * share
                yield Job(name, method, process, tuning.target, split, trials, seed, tuning.url, sharers > 1)


def run_studies(
    tuning: Tuning,
    train: CurveSet,
    splits: Sequence[Split],
    on_progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> None:
    """Run what is left of all studies, in ``tuning.workers`` processes.

    Args:
        tuning: what to tune.
        train: the curves that the splits' ``train`` positions mean.
        splits: the training parts.
        on_progress: called with the trials done, the trials in all and the study just worked on.
    """
    tuning.storage.parent.mkdir(parents=True, exist_ok=True)
    jobs = list(_jobs(tuning, train, splits))
    total = sum(job.trials for job in jobs)
    done = 0
    for job in in_processes(_run_job, jobs, tuning.workers, _start_worker, (train, splits)):
        done += job.trials
        on_progress(done, total, job.study)


# --- results ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tuned:
    """What tuning one combination found.

    Attributes:
        method, postprocess: the combination.
        held_out: window columns in percent, every query answered with settings that never saw its video.
        held_out_frames: frame columns (shares), likewise.
        settings: from the study over all training queries.
        training_value: that study's best value of the target.
        trials: how many trials of that study are done, which may be more than were asked for.
        split: what the held-out queries are called.
        by_fold: settings of each fold's study.
    """

    method: str
    postprocess: str
    held_out: Mapping[str, float]
    held_out_frames: Mapping[str, float]
    settings: SearchSettings
    training_value: float
    trials: int
    split: str
    by_fold: Sequence[SearchSettings] = field(default_factory=list)

    def row(self, frames: bool = False) -> Row:
        """The combination as a table line."""
        values = self.held_out_frames if frames else self.held_out
        return Row(self.method, self.postprocess, dict(values), split=self.split)


def best_settings(
    tuning: Tuning, train: CurveSet, method: str, process: str, split: Split
) -> tuple[SearchSettings, float, int]:
    """The best trial's settings and value, and of how many it is the best.

    Raises:
        InputError: the study has no finished trial.
    """
    study = open_study(tuning.study_name(train, method, process, split), tuning.url)
    trials = _finished(study)
    if not trials:
        raise InputError(f"the study of {method} {process} {split.name} has no finished trial")
    space = Space(method, process, {})
    return space.settings(study.best_params), float(study.best_value), trials


def whole_study(tuning: Tuning, train: CurveSet, method: str, process: str) -> optuna.Study:
    """The study over all training queries."""
    everything = np.arange(len(train))
    whole = Split("all", everything, everything)
    return open_study(tuning.study_name(train, method, process, whole), tuning.url)


def importances(study: optuna.Study) -> dict[str, float]:
    """How much each knob matters to the target (PED-ANOVA), knob → share; {} where it cannot be told."""
    import optuna

    try:
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    except (RuntimeError, ValueError):
        return {}


def _held_out(
    test: CurveSet, parts: Sequence[tuple[SearchSettings, Places]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Window and frame figures when each part's queries are answered with that part's settings."""
    replay = Replay(test)
    windows: list[list[Window]] = [[] for _ in range(len(test))]
    predictions = []
    for settings, places in parts:
        processed = replay.processed(settings)
        for place, found in zip(places, replay.windows(settings, places), strict=True):
            windows[int(place)] = found
            saliency = processed[int(place)].similarity.astype(np.float64)
            predictions.append(Prediction(test.queries[int(place)].qid, window_rows(found), saliency))
    answered = len(test) / len(test.dataset)
    frames = FrameTruth(test).score(windows).report()
    return window_values(evaluate(predictions, test.dataset)), {k: v * answered for k, v in frames.items()}


def cross_validate(
    tuning: Tuning,
    curve_set: CurveSet,
    folds: int,
    on_progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[Tuned]:
    """Tune every combination on k-1 folds and score it on the k-th; then once more on all queries.

    The figures are held out; the settings come from the study over all queries.
    """
    everything = np.arange(len(curve_set))
    splits = [*folds_by_video(curve_set, folds, tuning.seed), Split("all", everything, everything)]
    run_studies(tuning, curve_set, splits, on_progress)
    return [_collect(tuning, curve_set, curve_set, splits[:-1], splits[-1], c) for c in tuning.combinations]


def tune_and_validate(
    tuning: Tuning,
    train: CurveSet,
    test: CurveSet,
    on_progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[Tuned]:
    """Tune on one curve set (train), score on another (val): the thesis's protocol."""
    split = Split("all", np.arange(len(train)), np.arange(len(test)))
    run_studies(tuning, train, [split], on_progress)
    return [_collect(tuning, train, test, [split], split, combination) for combination in tuning.combinations]


def _collect(
    tuning: Tuning,
    train: CurveSet,
    test: CurveSet,
    parts: Sequence[Split],
    whole: Split,
    combination: tuple[str, str],
) -> Tuned:
    method, process = combination
    by_fold = [best_settings(tuning, train, method, process, part)[0] for part in parts]
    final, value, trials = best_settings(tuning, train, method, process, whole)
    tests = [part.test for part in parts]
    windows, frames = _held_out(test, list(zip(by_fold, tests, strict=True)))
    return Tuned(method, process, windows, frames, final, value, trials, split_name(test.dataset), by_fold)


def settings_record(tuned: Tuned, tuning: Tuning, curve_set: CurveSet, folds: int | None) -> dict[str, Any]:
    """What a settings file holds: ``settings`` for :meth:`SearchSettings.from_dict`, and ``provenance``."""
    return {
        "settings": tuned.settings.to_dict(),
        "provenance": {
            "made_by": "vclip bench tune",
            "made_unix": round(time.time()),
            "dataset": curve_set.dataset.name,
            "annotations": curve_set.dataset.source.name,
            "queries": len(curve_set),
            "curves": curve_set.source,
            "curves_fingerprint": fingerprint(curve_set),
            "target": TARGETS[tuning.target][0],
            "trials": tuned.trials,
            "seed": tuning.seed,
            "folds": folds,
            "training_value": round(tuned.training_value, 6),
            "held_out": dict(tuned.held_out),
            "held_out_frames": {k: round(v, 4) for k, v in tuned.held_out_frames.items()},
            "settings_by_fold": [_searched(settings) for settings in tuned.by_fold],
        },
    }


def _searched(settings: SearchSettings) -> dict[str, Any]:
    names = ("threshold", "min_confidence", "cut_threshold", "top_share", "smooth_window")
    return {name: value for name, value in dataclasses.asdict(settings).items() if name in names}


def save_settings(path: Path, record: Mapping[str, Any]) -> None:
    """Write a settings file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
