"""Every knob of a search, once: name, symbol in the thesis, bounds, default.

The command line builds its options from :func:`knobs`, Optuna its search space, the API its
documentation. Nothing here imports more than the standard library.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from indexer.errors import InputError, SettingError

METHODS = ("vc1", "vc2", "proposals")
RANKERS = ("fitted", "formula")
POSTPROCESSES = ("none", "norm", "adjust_norm", "log_smooth_norm", "smooth_norm")

#: λ where the user names none. After a normalisation the scale is 0..1 whatever the model; raw cosines
#: have the model's own scale (CLIP's lie between 0.15 and 0.35), so `none` has a default of its own.
DEFAULT_THRESHOLD: Mapping[tuple[str, str], float] = {
    ("vc1", "none"): 0.25,
    ("vc1", "norm"): 0.60,
    ("vc1", "adjust_norm"): 0.60,
    ("vc1", "log_smooth_norm"): 0.75,
    ("vc1", "smooth_norm"): 0.575,
    ("vc2", "none"): 0.25,
    ("vc2", "norm"): 0.55,
    ("vc2", "adjust_norm"): 0.60,
    ("vc2", "log_smooth_norm"): 0.80,
    ("vc2", "smooth_norm"): 0.70,
    # Its confidence is relative to the video's best window and needs no cut-off to be ordered.
    **{("proposals", process): 0.0 for process in POSTPROCESSES},
}


#: Of queries whose answer is not in the corpus nine in ten still show something at this cut-off, and of right
#: first answers 98 in 100 stay: hiding a right answer costs more than showing a wrong one at the end of a list.
DEFAULT_MIN_SCORE = -0.9


@dataclass(frozen=True)
class Knob:
    """One setting as an option, a docstring line and a dimension of a tuning study see it."""

    name: str
    symbol: str
    help: str
    default: Any
    kind: type[Any]
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def plain(self, value: Any) -> Any:
        """``value`` in Python's own type: NumPy's numbers, whole floats for counts and paths are taken too.

        Raises:
            SettingError: it is neither within the bounds nor among the choices.
        """
        if value is None and self.default is None:
            return None
        if self.kind is bool:
            if not isinstance(value, bool):
                raise SettingError(f"{self.name} is {value!r}, not true or false")
            return value
        if self.choices:
            if value not in self.choices:
                raise SettingError(f"{self.name} is {value!r}", f"Choose one of: {', '.join(self.choices)}")
            return value
        return self._file_name(value) if self.kind is str else self._number(value)

    def _file_name(self, value: Any) -> str:
        if not isinstance(value, str | os.PathLike) or not os.fspath(value):
            raise SettingError(f"{self.name} is {value!r}, not a name")
        return str(os.fspath(value))

    def _number(self, value: Any) -> int | float:
        if not _is_number(value):
            raise SettingError(f"{self.name} is {value!r}, not a number")
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            shown = value if isinstance(value, int) else f"{value:g}"  # of 10**400 there is no float
            raise SettingError(f"{self.name} is {shown}", f"It must lie between {self.low} and {self.high}")
        if self.kind is int and value != int(value):
            raise SettingError(f"{self.name} is {value}, not a whole number")
        number: int | float = self.kind(value)
        return number


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and value == value  # NaN is none


def _knob(default: Any, help: str, kind: type[Any], symbol: str = "", **bounds: Any) -> Any:  # noqa: A002
    return field(default=default, metadata={"help": help, "kind": kind, "symbol": symbol, **bounds})


@dataclass(frozen=True)
class SearchSettings:
    """How a query becomes moments; see method.md's symbols beside each field.

    Raises:
        InputError: a value out of its bounds, when the object is made.
    """

    method: str = _knob("proposals", "how windows are cut", str, choices=METHODS)
    postprocess: str = _knob("smooth_norm", "what is done to S_c first", str, choices=POSTPROCESSES)
    threshold: float | None = _knob(
        None,
        "frames (VC1), scenes (VC2) or windows (proposals: their confidence) above it are selected",
        float,
        "λ",
        low=-1.0,
        high=1.0,
    )
    ranker: str = _knob("fitted", "proposals: what scores the candidate windows", str, choices=RANKERS)
    ranker_file: str | Path | None = _knob(  # noqa: RUF009 - a field
        None, "proposals: parameters of your own for the fitted ranker, a file that `vclip bench fit` wrote", str
    )
    min_confidence: float = _knob(
        -1.0, "VC1: windows whose mean S_c is not above it are dropped", float, "β", low=-1.0, high=1.0
    )
    cut_threshold: float = _knob(
        0.85, "VC2: CFS_c below it marks a cut between scenes", float, "α", low=-1.0, high=1.0
    )
    top_share: float = _knob(
        0.5,
        "VC2: share of a scene's best frames that its confidence averages",
        float,
        "p",
        low=0.01,
        high=1.0,
    )
    smooth_window: int = _knob(
        13, "Savitzky-Golay window in frames of the 2 s grid (13 = 26 s)", int, "M", low=3, high=75
    )
    videos: int = _knob(10, "how many top videos are searched for windows", int, low=1, high=10_000)
    top: int = _knob(10, "how many moments are returned", int, low=1, high=100_000)
    per_video: int = _knob(1000, "how many moments of one video are returned at most", int, low=1, high=100_000)
    min_score: float | None = _knob(
        None, "moments with a lower score are left out", float, low=-1000.0, high=1000.0
    )
    fold: bool = _knob(True, "near-duplicate moments of other videos are folded into the best one", bool)
    best_frames: int = _knob(
        5,
        "a video is judged by its best stretch and by its best combination of this many frames",
        int,
        low=1,
        high=100,
    )

    def __post_init__(self) -> None:
        for knob in knobs():
            object.__setattr__(self, knob.name, knob.plain(getattr(self, knob.name)))
        if self.ranker_file is not None and self.ranker != "fitted":
            raise SettingError(
                f"ranker_file is of no use to the ranker {self.ranker!r}",
                "Drop it, or take the ranker 'fitted'",
            )
        if self.smooth_window % 2 == 0:
            raise SettingError(
                f"smooth_window is {self.smooth_window}", "It must be odd: a window has a middle frame"
            )

    @property
    def effective_threshold(self) -> float:
        """Λ in force: the user's, else the default for this method and postprocessing."""
        if self.threshold is not None:
            return self.threshold
        return DEFAULT_THRESHOLD[self.method, self.postprocess]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a settings file holds them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SearchSettings:
        """Read what :meth:`to_dict` wrote; an unknown name raises InputError."""
        unknown = sorted(set(values) - {knob.name for knob in knobs()})
        if unknown:
            raise InputError(f"unknown setting {unknown[0]!r}", "Known: " + ", ".join(k.name for k in knobs()))
        return cls(**values)


def knobs() -> tuple[Knob, ...]:
    """All settings in order of declaration."""
    return tuple(Knob(name=f.name, default=f.default, **f.metadata) for f in dataclasses.fields(SearchSettings))
