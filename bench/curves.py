"""The raw curves S_c and CFS_c of every query of a data set: computed once, cached, replayed by all methods.

They come from features that others computed (the Moment-DETR layout), from videos through the indexer, or
from the saliency scores in somebody's prediction file.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from bench.datasets import CLIP_SECONDS, Dataset, Query
from bench.score import Prediction
from indexer.errors import InputError, first_line
from indexer.vectors import Float32, next_frame_similarity, unit
from searcher.similarity import Curve, frame_similarity

FRAME_FOLDER = "clip_features"
QUERY_FOLDER = "clip_text_features"


@dataclass(frozen=True)
class Features:
    """Unit vectors of a data set's videos and queries.

    Attributes:
        frames: video → (n, D) float32, one row a sampled frame.
        queries: query id → (D,) float32.
        period_seconds: time between two sampled frames.
        source: where they came from, for people.
        missing: videos of the data set without vectors.
        silent: ids of queries without a vector.
    """

    frames: Mapping[str, Float32]
    queries: Mapping[int | str, Float32]
    period_seconds: float
    source: str
    missing: tuple[str, ...] = ()
    silent: tuple[int | str, ...] = ()

    @property
    def dimension(self) -> int:
        """D."""
        return int(next(iter(self.frames.values())).shape[1])


@dataclass(frozen=True)
class CurveSet:
    """One curve for each query that has a video.

    Attributes:
        dataset: all queries, those without a curve too: they count as misses.
        places: (q,) positions in ``dataset.queries`` that have a curve.
        curves: q of them, raw, all with the same ``corpus_range`` (eq. 6: over all arrays of the set).
        missing: the videos that were not there.
        source: where the curves came from, for people.
    """

    dataset: Dataset
    places: NDArray[np.intp]
    curves: tuple[Curve, ...]
    missing: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.curves)

    @cached_property
    def queries(self) -> tuple[Query, ...]:
        """The query of each curve."""
        return tuple(self.dataset.queries[place] for place in self.places)

    def subset(self, chosen: NDArray[Any]) -> CurveSet:
        """The curves at these positions (of :attr:`curves`), the data set cut down to their queries."""
        positions = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return CurveSet(
            dataset=self.dataset.subset(self.places[positions]),
            places=np.arange(len(positions)),
            curves=tuple(self.curves[int(p)] for p in positions),
            missing=(),
            source=self.source,
        )


#: Between these, a row's numbers may be squared and added in float32.
_SMALLEST, _LARGEST = 1e-15, 1e15


def _read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """These arrays of an .npz file.

    Each is read whole before it is parsed: only then is its checksum looked at.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it lacks an array, is damaged or no .npz file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            there = [member.removesuffix(".npy") for member in archive.namelist()]
            for name in names:
                if name not in there:
                    raise InputError(f"{path} has no array {name!r}, only {', '.join(there) or 'none'}")
            return {name: np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy"))) for name in names}
    except (FileNotFoundError, InputError):
        raise
    except Exception as error:  # of a damaged file zipfile and NumPy raise almost anything
        raise InputError(f"{path} cannot be read: {first_line(error)}") from None


def _read_vectors(path: Path, name: str) -> NDArray[np.floating] | None:
    """Array ``name`` of a feature file, or None where there is no such file."""
    try:
        array = _read_arrays(path, name)[name]
    except FileNotFoundError:
        return None
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{path}: {name!r} holds {array.dtype}, expected floating-point numbers")
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {name!r} holds values that are not finite numbers")
    return array


def _unit(array: NDArray[np.floating], where: str) -> Float32:
    peaks = np.abs(array).max(axis=-1, keepdims=True).astype(np.float64)
    outside = peaks[(peaks > 0) & ((peaks < _SMALLEST) | (peaks > _LARGEST))]
    if len(outside):
        raise InputError(
            f"{where} has a row whose largest number is {outside[0]:g}",
            f"Expected rows of zeros, or between {_SMALLEST:g} and {_LARGEST:g}",
        )
    return unit(array)


def _read_frames(path: Path) -> Float32 | None:
    array = _read_vectors(path, "features")
    if array is None:
        return None
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"{path}: features have shape {array.shape}, expected (frames, dimension)")
    return _unit(array, f"{path}: 'features'")


def _read_query(path: Path) -> Float32 | None:
    array = _read_vectors(path, "pooler_output")
    if array is None:
        return None
    if not array.size or array.shape[-1:] != (array.size,):
        raise InputError(f"{path}: pooler_output has shape {array.shape}, expected (dimension,)")
    return _unit(array.reshape(-1), f"{path}: 'pooler_output'")


def load_features(folder: Path, dataset: Dataset, period_seconds: float = CLIP_SECONDS) -> Features:
    """Read features in the Moment-DETR layout, normalising every row to unit length.

    ``clip_features/{vid}.npz`` with ``features`` (n, D) and ``clip_text_features/qid{qid}.npz`` with
    ``pooler_output`` (D,). Videos and queries without a file are listed in the result.

    Raises:
        InputError: no such folders, no file of this data set in them, a file that is not as described,
            or files of different dimensions.
    """
    for name in (FRAME_FOLDER, QUERY_FOLDER):
        if not (folder / name).is_dir():
            raise InputError(
                f"{folder / name} does not exist",
                f"Features are read from {FRAME_FOLDER}/VIDEO.npz and {QUERY_FOLDER}/qidID.npz",
            )
    frames = {video: _read_frames(folder / FRAME_FOLDER / f"{video}.npz") for video in dataset.videos}
    queries = {q.qid: _read_query(folder / QUERY_FOLDER / f"qid{q.qid}.npz") for q in dataset}
    features = Features(
        frames={video: rows for video, rows in frames.items() if rows is not None},
        queries={qid: row for qid, row in queries.items() if row is not None},
        period_seconds=period_seconds,
        source=f"features in {folder.name}",
        missing=tuple(video for video, rows in frames.items() if rows is None),
        silent=tuple(qid for qid, row in queries.items() if row is None),
    )
    _check_dimensions(features, folder, dataset)
    return features


def _check_dimensions(features: Features, folder: Path, dataset: Dataset) -> None:
    if not features.frames or not features.queries:
        raise InputError(f"{folder} holds no features of {dataset.source.name}", "Is it another split?")
    for name, rows in features.frames.items():
        if rows.shape[1] != features.dimension:
            raise InputError(f"{folder}: video {name} has {rows.shape[1]} dimensions, not {features.dimension}")
    for qid, row in features.queries.items():
        if row.shape[0] != features.dimension:
            raise InputError(
                f"{folder}: query {qid} has {row.shape[0]} dimensions, the videos {features.dimension}",
                "Frames and queries must come from the same model",
            )


def with_common_range(curves: Iterable[Curve]) -> tuple[Curve, ...]:
    """The same curves, each knowing the extremes of all of them."""
    found = list(curves)
    low = min((float(c.similarity.min()) for c in found), default=0.0)
    high = max((float(c.similarity.max()) for c in found), default=0.0)
    return tuple(replace(curve, corpus_range=(low, high)) for curve in found)


def _duration(query: Query, frames: int, period_seconds: float) -> float:
    """The annotated length; a video with more frames than that lasts as long as its frames."""
    return max(query.duration_seconds, (frames - 1) * period_seconds + 1e-3)


def curves_from_features(features: Features, dataset: Dataset) -> CurveSet:
    """S_c and CFS_c of every query whose video and text have vectors."""
    following = {video: next_frame_similarity(rows) for video, rows in features.frames.items()}
    places, curves = [], []
    for place, query in enumerate(dataset):
        rows, vector = features.frames.get(query.video), features.queries.get(query.qid)
        if rows is None or vector is None:
            continue
        duration = _duration(query, len(rows), features.period_seconds)
        similarity = frame_similarity(rows, vector)
        places.append(place)
        curves.append(Curve(similarity, following[query.video], features.period_seconds, duration, vectors=rows))
    return CurveSet(
        dataset, np.array(places, dtype=np.intp), with_common_range(curves), features.missing, features.source
    )


def curves_from_saliency(
    predictions: Sequence[Prediction], dataset: Dataset, scenes: CurveSet | None = None
) -> CurveSet:
    """Somebody's saliency scores as S_c, one a 2 s clip.

    Prediction files carry no frames: CFS_c and vectors are taken from ``scenes`` where that has the same
    video; else CFS_c is all ones, which means one scene without cuts, and there are no vectors.
    """
    seen: dict[tuple[str, int], Curve] = {}
    if scenes is not None:
        for query, curve in zip(scenes.queries, scenes.curves, strict=True):
            seen[query.video, len(curve)] = curve
    places, curves = [], []
    for prediction in predictions:
        if prediction.saliency is None or not len(prediction.saliency):
            continue
        place = dataset.position[prediction.qid]
        query = dataset.queries[place]
        similarity = prediction.saliency.astype(np.float32)
        n = len(similarity)
        whole = np.ones(n - 1, dtype=np.float32)
        duration = _duration(query, n, CLIP_SECONDS)
        same = seen.get((query.video, n))
        following, vectors = (whole, None) if same is None else (same.next_similarity, same.vectors)
        places.append(place)
        curves.append(Curve(similarity, following, CLIP_SECONDS, duration, vectors=vectors))
    return CurveSet(dataset, np.array(places, dtype=np.intp), with_common_range(curves), (), "saliency scores")


# --- cache ------------------------------------------------------------------------------------------


def folder_state(folder: Path) -> str:
    """Names, sizes and times of the files below ``folder``: another state, another cache entry."""
    digest = hashlib.sha256(str(folder.resolve()).encode())
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            digest.update(f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def cache_path(cache: Path, dataset: Dataset, *state: str) -> Path:
    """Where the curves of this data set and this state of their source are kept."""
    digest = hashlib.sha256(dataset.source.read_bytes())
    for part in state:
        digest.update(f"\0{part}".encode())
    digest.update(b"\0with vectors")
    return cache / f"curves-{digest.hexdigest()[:24]}.npz"


#: The arrays of a file of curves.
_STORED = (
    *("places", "counts", "similarity", "following", "period", "duration"),
    *("video_of_curve", "video_counts", "vectors", "missing", "source"),
)


def save_curves(path: Path, curve_set: CurveSet) -> None:
    """Write a curve set as one .npz file, whole or not at all; any number of processes may do so at once."""
    nothing = [np.zeros(0, dtype=np.float32)]
    numbers, videos = _own_vectors(curve_set.curves)
    arrays = {
        "places": curve_set.places,
        "counts": np.array([len(c) for c in curve_set.curves], dtype=np.int64),
        "similarity": np.concatenate(nothing + [c.similarity for c in curve_set.curves]),
        "following": np.concatenate(nothing + [c.next_similarity for c in curve_set.curves]),
        "period": np.array([c.period_seconds for c in curve_set.curves]),
        "duration": np.array([c.duration_seconds for c in curve_set.curves]),
        "video_of_curve": numbers,
        "video_counts": np.array([len(rows) for rows in videos], dtype=np.int64),
        "vectors": np.concatenate(videos) if videos else np.zeros((0, 1), dtype=np.float32),
        "missing": np.array(curve_set.missing, dtype=np.str_),
        "source": np.array(curve_set.source),
    }
    part = path.with_name(f"{path.name}.{uuid4().hex}.new")
    try:
        with part.open("xb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _own_vectors(curves: Sequence[Curve]) -> tuple[NDArray[np.int64], list[NDArray[np.floating]]]:
    """Which array of vectors each curve has (-1: none), and each array once."""
    places: dict[int, int] = {}
    videos: list[NDArray[np.floating]] = []
    numbers = np.full(len(curves), -1, dtype=np.int64)
    for number, curve in enumerate(curves):
        if curve.vectors is None:
            continue
        if id(curve.vectors) not in places:
            places[id(curve.vectors)] = len(videos)
            videos.append(curve.vectors)
        numbers[number] = places[id(curve.vectors)]
    return numbers, videos


def read_curves(path: Path, dataset: Dataset) -> CurveSet:
    """Read what :func:`save_curves` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is damaged.
    """
    arrays = _read_arrays(path, *_STORED)
    ends = np.cumsum(arrays["counts"])
    similarity = np.split(arrays["similarity"], ends[:-1])
    following = np.split(arrays["following"], np.cumsum(arrays["counts"] - 1)[:-1])
    videos = [*np.split(arrays["vectors"], np.cumsum(arrays["video_counts"])[:-1]), None]
    rows = zip(similarity, following, arrays["period"], arrays["duration"], arrays["video_of_curve"], strict=True)
    curves = [
        Curve(s, f, float(period), float(duration), vectors=videos[video])
        for s, f, period, duration, video in rows
    ]
    return CurveSet(
        dataset=dataset,
        places=arrays["places"],
        curves=with_common_range(curves),
        missing=tuple(str(video) for video in arrays["missing"]),
        source=str(arrays["source"]),
    )


def cached(path: Path, dataset: Dataset, compute: Callable[[], CurveSet]) -> CurveSet:
    """The curves stored at ``path``, computed and stored first where there are none, or a damaged file.

    Raises:
        InputError: the cache is no folder, or cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file" if path.parent.is_file() else error.strerror
        raise InputError(
            f"{path.parent} cannot be the cache: {reason}", "Name another folder: --cache DIR"
        ) from None
    with contextlib.suppress(FileNotFoundError, InputError):
        return read_curves(path, dataset)
    save_curves(path, compute())
    return read_curves(path, dataset)
