"""Which OpenCLIP model tells frames apart best (thesis section 3.10, figure 17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.curves import CurveSet
from bench.run import FrameTruth, Replay
from searcher.settings import SearchSettings

#: The λ of the thesis's model assessment.
LEVELS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)


@dataclass(frozen=True)
class ModelScore:
    """A model's average frame IoU at each λ, over all queries; those without a video count 0."""

    model: str
    by_level: Mapping[float, float]

    @property
    def mean(self) -> float:
        """Mean over the λ: what models are ranked by."""
        return sum(self.by_level.values()) / len(self.by_level)


def assess(model: str, curve_set: CurveSet) -> ModelScore:
    """Average frame IoU of VC1 + ``norm`` on this model's curves, at each of :data:`LEVELS`."""
    replay, truth = Replay(curve_set), FrameTruth(curve_set)
    answered = len(curve_set) / len(curve_set.dataset)
    scores = {}
    for level in LEVELS:
        settings = SearchSettings(method="vc1", postprocess="norm", threshold=level)
        scores[level] = answered * truth.score(replay.windows(settings)).report()["IoU"]
    return ModelScore(model, scores)
