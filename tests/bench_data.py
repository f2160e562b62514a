"""A small made-up data set whose right answers are known, in the layouts that the bench reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bench.curves import CurveSet, Features, curves_from_features
from bench.datasets import Dataset, load_dataset
from indexer.vectors import unit
from tests.outside import QVHIGHLIGHTS, VAL

DIMENSION = 16
FRAMES = 20


def write_small_dataset(folder: Path, videos: int = 10, seed: int = 0) -> Path:
    """Annotations and features of ``videos`` videos, each with two queries; returns the annotation file.

    Inside its moment a video shows its query's own direction, outside noise.
    """
    rng = np.random.default_rng(seed)
    (folder / "clip_features").mkdir(parents=True)
    (folder / "clip_text_features").mkdir()
    rows = []
    for video in range(videos):
        frames = rng.normal(size=(FRAMES, DIMENSION))
        for part in range(2):
            qid = 2 * video + part
            query = rng.normal(size=DIMENSION)
            first = int(rng.integers(0, 5)) + 10 * part
            frames[first : first + 5] += 3 * query
            np.savez(folder / "clip_text_features" / f"qid{qid}.npz", pooler_output=query.astype(np.float32))
            rows.append(
                {
                    "qid": qid,
                    "query": f"thing {qid}",
                    "vid": f"v{video}",
                    "duration": 2 * FRAMES,
                    "relevant_windows": [[2 * first, 2 * first + 10]],
                    "relevant_clip_ids": list(range(first, first + 5)),
                    "saliency_scores": [[4, 3, 4]] * 5,
                }
            )
        np.savez(folder / "clip_features" / f"v{video}.npz", features=frames.astype(np.float32))
    path = folder / "small_val.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def caption_curves() -> CurveSet:
    """The real caption features of the 1,550 val queries, without going through files."""
    dataset = load_dataset(VAL)
    return curves_from_features(caption_features(dataset), dataset)


def caption_features(dataset: Dataset) -> Features:
    """What expand_features.py writes, in memory."""
    packed = np.load(QVHIGHLIGHTS / "caption_features_val.npz")
    rows = unit(packed["rows"] * packed["scale"][:, None])
    ends = np.cumsum(packed["count"])
    parts = zip(packed["names"], ends - packed["count"], ends, strict=True)
    queries = unit(packed["query"].astype(np.float32))
    return Features(
        frames={str(name): rows[packed["frame"][start:end]] for name, start, end in parts},
        queries={int(qid): row for qid, row in zip(packed["qid"], queries, strict=True)},
        period_seconds=2.0,
        source="caption features",
    )
