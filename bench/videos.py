"""Vectors of a data set's videos through the same indexer code that ``vclip index`` runs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.curves import Features
from bench.datasets import Dataset
from bench.plots import SceneCurves
from indexer import manifest
from indexer.build import OnProgress, index_files
from indexer.discover import find_videos
from indexer.encoder import Encoder, encode_images
from indexer.errors import InputError
from indexer.lock import writing
from indexer.manifest import Manifest
from indexer.plan import make_plan
from indexer.probe import probe
from indexer.settings import IndexSettings
from indexer.store import Store
from indexer.vectors import Float32, next_frame_similarity, unit
from indexer.video import decode

TEXTS_AT_ONCE = 256


@dataclass(frozen=True)
class VideoFeatures:
    """What indexing a data set's videos gave.

    Attributes:
        features: vectors of every video that could be read, and of all queries.
        failed: file → why it could not be read; its video is among ``features.missing``.
    """

    features: Features
    failed: dict[str, str]


def video_files(folder: Path, dataset: Dataset) -> dict[str, Path]:
    """Video → its file ``{video}.mp4`` (or another video suffix) anywhere below ``folder``.

    Raises:
        InputError: no such folder, or not one of the data set's videos in it.
    """
    wanted = set(dataset.videos)
    found: dict[str, Path] = {}
    for path in find_videos([folder]):
        if path.stem in wanted and (path.stem not in found or path.suffix.lower() == ".mp4"):
            found[path.stem] = path
    if not found:
        raise InputError(f"{folder} holds none of the {len(wanted)} videos of {dataset.source.name}")
    return found


def open_store(library: Path, encoder: Encoder, period_seconds: float) -> Store:
    """The store of a bench library, made where there is none.

    Raises:
        LibraryMismatchError: it was made with another model or sampling rate.
    """
    if not manifest.exists(library):
        library.mkdir(parents=True, exist_ok=True)
        Store.create(library, encoder.dimension, period_seconds)
        made = Manifest(encoder.name, encoder.fingerprint, encoder.dimension, period_seconds)
        manifest.save(made, library)
    made = manifest.load(library)
    made.require_model(encoder.name, encoder.fingerprint)
    made.require_period(period_seconds)
    return Store(library, made.dimension, made.period_seconds)


def encode_queries(encoder: Encoder, dataset: Dataset) -> dict[int | str, Float32]:
    """A (D,) unit vector for every query's text."""
    queries = dataset.queries
    parts = [
        encoder.encode_texts([q.text for q in queries[start : start + TEXTS_AT_ONCE]])
        for start in range(0, len(queries), TEXTS_AT_ONCE)
    ]
    return {query.qid: row for query, row in zip(queries, np.concatenate(parts), strict=True)}


def features_from_videos(
    folder: Path,
    dataset: Dataset,
    encoder: Encoder,
    library: Path,
    period_seconds: float,
    on_progress: OnProgress = lambda progress: None,
) -> VideoFeatures:
    """Index the data set's videos into ``library`` (only what is new) and read the vectors back.

    Args:
        folder: where the videos are, ``{video}.mp4``.
        dataset: which videos and queries.
        encoder: the model.
        library: a library directory of the bench's own.
        period_seconds: time between two sampled frames.
        on_progress: see :mod:`indexer.build`.

    Raises:
        InputError: none of the videos is there.
    """
    files = video_files(folder, dataset)
    store = open_store(library, encoder, period_seconds)
    with writing(library, "vclip bench"):
        store.recover()
        plan = make_plan(sorted(path.absolute() for path in files.values()), store.catalogue(), [])
        report = index_files(plan, store, lambda: [encoder], IndexSettings(), on_progress)
    if report.interrupted:
        raise KeyboardInterrupt
    frames = _read_frames(store, files)
    features = Features(
        frames=frames,
        queries=encode_queries(encoder, dataset),
        period_seconds=period_seconds,
        source=f"{encoder.name} on videos, {1 / period_seconds:g} frames a second",
        missing=tuple(video for video in dataset.videos if video not in frames),
    )
    return VideoFeatures(features, {note.path.name: note.note for note in report.failed})


def _read_frames(store: Store, files: dict[str, Path]) -> dict[str, Float32]:
    owner = {path: row for row in store.videos() for path in row.paths}
    rows = {video: owner[path.absolute()] for video, path in files.items() if path.absolute() in owner}
    unique = list({row.video_id: row for row in rows.values()}.values())
    vectors = {part.video_id: unit(part.vectors) for part in store.frames(unique)}
    return {video: vectors[row.video_id] for video, row in rows.items()}


def scene_curves(path: Path, encoder: Encoder, period_seconds: float) -> SceneCurves:
    """CFS_c and frame-to-frame SSIM (Wang et al. 2004) of one video file.

    SSIM is taken of grey pictures of 256 x 256 pixels, as detail beyond that is noise to it (**choice**).

    Raises:
        InputError: scikit-image is not installed, or the video has fewer than two sampled frames.
        VideoError: the file cannot be decoded.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        raise InputError("SSIM needs scikit-image", "Install it: pip install 'vclipper[bench]'") from None
    images = [frame.image for frame in decode(path, probe(path), period_seconds)]
    if len(images) < 2:
        raise InputError(f"{path} has {len(images)} sampled frames; a curve needs two", "Raise --fps")
    following = next_frame_similarity(encode_images(encoder, images))
    grey = [np.asarray(image.convert("L").resize((256, 256))) for image in images]
    ssim = [structural_similarity(a, b, data_range=255) for a, b in itertools.pairwise(grey)]
    return SceneCurves(path.name, following, np.array(ssim), period_seconds)
