"""Rankers of candidate windows: what they read of each, a fitted one in a file, and a fixed formula."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from indexer.errors import InputError, no_json
from searcher.similarity import Curve
from searcher.structure import Floats

#: What is said of each candidate. None of it changes when S_c is shifted or scaled. Of the two ends of a
#: window the mean and the worse one are taken, so that time has no direction.
CURVE_FEATURES = (
    "inside",  # mean of S_c inside, in standard deviations of the context
    "outside",  # mean of the context around it
    "separation",  # Otsu's criterion: how well inside and outside separate, with sign
    "floor_2s",  # smoothed S_c (0..1 within the context): lowest inside
    "floor_6s",
    "level_2s",  # mean inside
    "level_6s",
    "drop_2s",  # lowest inside minus the higher of the two frames beside the window
    "drop_6s",
    "log_length",  # natural logarithm of the length in units of 2 s
    "length_bend",  # (log_length - 2)²: neither very short nor very long
    "at_border",  # how many of its ends are the video's
    "whole",  # it is the whole video
    "cut_mean",  # how far CFS_c falls at the ends, in standard deviations
    "cut_worse",
    "cohesion",  # how far CFS_c stays up inside
)
#: What is said beside that where the frames' vectors are known.
FRAME_FEATURES = (
    "scene_6s_mean",  # how little the 6 s before an end resemble the 6 s after it, in standard deviations
    "scene_6s_worse",
    "likeness_inside",  # mean cosine between the frames inside
    "likeness_outside",  # cosine between the mean vectors inside and outside
    "likeness_beside_mean",  # cosine with the mean vectors of the neighbourhoods of half the length, negated
    "likeness_beside_worse",
)
FEATURES = CURVE_FEATURES + FRAME_FEATURES
_WRITTEN_BY = "`vclip bench fit` writes one"


@dataclass(frozen=True)
class Parameters:
    """A fitted ranker: one hidden layer over standardised features.

    score = output · tanh(hidden · x + bias), x = clip((features - centre) / scale, ±clip).

    Attributes:
        names: the features it reads, in order; some or all of :data:`FEATURES`.
        centre, scale: (f,) float64.
        hidden: (h, f) float64; ``bias``: (h,) float64; ``output``: (h,) float64.
        clip: features further out than this many scales count as that many.
    """

    names: tuple[str, ...]
    centre: Floats
    scale: Floats
    hidden: Floats
    bias: Floats
    output: Floats
    clip: float = 4.0

    def __post_init__(self) -> None:
        f, h = len(self.names), self.bias.shape[0]
        shapes = (self.centre.shape, self.scale.shape, self.hidden.shape, self.output.shape)
        if shapes != ((f,), (f,), (h, f), (h,)):
            raise InputError(f"the parameters' shapes {shapes} do not belong to {f} features and {h} units")
        unknown = sorted(set(self.names) - set(FEATURES))
        if unknown:
            raise InputError(f"unknown feature {unknown[0]!r}", f"Known: {', '.join(FEATURES)}")
        numbers = (self.centre, self.scale, self.hidden, self.bias, self.output, np.array(self.clip))
        if not all(np.isfinite(values).all() for values in numbers):
            raise InputError("a ranker's parameter is not a number")
        if not (self.scale > 0).all() or not self.clip > 0:
            raise InputError("a ranker's scale or clip is not above 0")

    def score(self, values: Floats) -> Floats:
        """(m, f) from :func:`describe` → (m,) scores: logarithms of relative odds within one context."""
        if self.names != FEATURES[: values.shape[1]]:
            values = values[:, [FEATURES.index(name) for name in self.names]]
        x = (values.T - self.centre[:, None]) / self.scale[:, None]
        np.minimum(np.maximum(x, -self.clip, out=x), self.clip, out=x)
        scores: Floats = self.output @ np.tanh(self.hidden @ x + self.bias[:, None])
        return scores

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the parameter file holds them: per feature its centre, scale and weights."""
        columns = zip(self.names, self.centre, self.scale, self.hidden.T, strict=True)
        return {
            "clip": self.clip,
            "features": {
                name: {"centre": _short(c), "scale": _short(s), "hidden": [_short(w) for w in weights]}
                for name, c, s, weights in columns
            },
            "bias": [_short(b) for b in self.bias],
            "output": [_short(w) for w in self.output],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Parameters:
        """Read what :meth:`to_dict` wrote; InputError for anything else."""
        try:
            rows = values["features"]
            return cls(
                names=tuple(rows),
                centre=np.array([row["centre"] for row in rows.values()], dtype=np.float64),
                scale=np.array([row["scale"] for row in rows.values()], dtype=np.float64),
                hidden=np.array([row["hidden"] for row in rows.values()], dtype=np.float64).T.copy(),
                bias=np.array(values["bias"], dtype=np.float64),
                output=np.array(values["output"], dtype=np.float64),
                clip=float(values["clip"]),
            )
        except KeyError as error:
            raise InputError(f"the parameters of a ranker lack {error}", _WRITTEN_BY) from None
        except (TypeError, ValueError, AttributeError):
            raise InputError("a ranker's parameters are no numbers in rows", _WRITTEN_BY) from None


def _short(value: float) -> float:
    return float(f"{value:.4g}")


@dataclass(frozen=True)
class Rankers:
    """The fitted rankers of one parameter file.

    Attributes:
        curve: reads :data:`CURVE_FEATURES` only, for curves without frame vectors.
        frames: reads all :data:`FEATURES`.
        fitted_on: what the file says of the data: ``dataset``, ``annotations`` and so on.
    """

    curve: Parameters
    frames: Parameters
    fitted_on: Mapping[str, Any] = field(default_factory=dict)

    def for_curve(self, curve: Curve) -> Parameters:
        """The one that suits what ``curve`` carries."""
        return self.curve if curve.vectors is None else self.frames


#: The file of fitted parameters that comes with the package.
SHIPPED = Path(__file__).with_name("proposals.json")


@cache
def load_rankers(file: str | Path | None = None) -> Rankers:
    """Read a parameter file, once per process; None for the one that comes with the package.

    Raises:
        InputError: no such file, not JSON, or not what ``bench fit`` writes.
    """
    path = SHIPPED if file is None else Path(file).expanduser()
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "`vclip bench fit` writes such a file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "Check the path") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a file of fitted rankers: {no_json(error)}", _WRITTEN_BY) from None
    try:
        curve, frames = record["rankers"]["curve"], record["rankers"]["frames"]
        fitted_on = dict(record.get("fitted_on", {}))
    except (ValueError, KeyError, TypeError, AttributeError):
        what = "it lacks what stands under `rankers`"
        raise InputError(f"{path} is not a file of fitted rankers: {what}", _WRITTEN_BY) from None
    try:
        rankers = Rankers(Parameters.from_dict(curve), Parameters.from_dict(frames), fitted_on)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.hint) from None
    if strange := sorted(set(rankers.curve.names) - set(CURVE_FEATURES)):
        raise InputError(f"{path}: the ranker 'curve' reads {strange[0]!r}, which only frame vectors tell")
    return rankers


def formula(values: Floats) -> Floats:
    """The ranker without fitted parameters: (m, at least len(CURVE_FEATURES)) → (m,) scores.

    Otsu's criterion, the drops at the ends and the floor inside.
    """
    column = dict(zip(CURVE_FEATURES, values.T, strict=False))
    drop = column["drop_2s"] + 2.0 * column["drop_6s"]
    scores: Floats = 1.5 * column["separation"] + drop + 2.0 * column["floor_6s"]
    return scores
