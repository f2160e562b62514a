"""What made a library: the model, its dimension, the sampling rate, the schema's version.

``library.json`` in the library's folder or bucket. Vectors of two models, or curves of two sampling rates,
cannot be compared: a library refuses strangers and names both sides.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.checksum import checked, unchecked
from indexer.errors import REPAIR, LibraryDamagedError, LibraryError, LibraryMismatchError
from indexer.storage import TABLES, Where, at, failures_said, write_atomically

FILE_NAME = "library.json"
#: No model has more; a file that says more is damaged.
_LARGEST_DIMENSION = 65_536
#: The same again with a checksum, for the day on which the first is damaged.
COPY_NAME = f"{TABLES}/library.copy"
SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Manifest:
    """The facts that every row of a library shares.

    Attributes:
        model: the model's name as ``--model`` takes it.
        model_fingerprint: of the weights, for models in a local folder; empty for published ones,
            whose name says it all.
        dimension: D, the length of an embedding.
        period_seconds: T, the time between two sampled frames.
        schema_version: of the tables' columns.
        created_unix: when the library was made, seconds since 1970.

    Raises:
        TypeError, ValueError: values that no library has.
    """

    model: str
    model_fingerprint: str
    dimension: int
    period_seconds: float
    schema_version: int = SCHEMA_VERSION
    created_unix: float = dataclasses.field(default_factory=lambda: round(time.time(), 3), compare=False)

    def __post_init__(self) -> None:
        if not (isinstance(self.model, str) and isinstance(self.model_fingerprint, str)):
            raise TypeError("model is no text")
        if type(self.dimension) is not int or not 1 <= self.dimension <= _LARGEST_DIMENSION:
            raise ValueError(f"dimension is {self.dimension!r}")
        if type(self.period_seconds) not in (int, float) or not 0 < self.period_seconds < math.inf:
            raise ValueError(f"period_seconds is {self.period_seconds!r}")

    @property
    def fps(self) -> float:
        """Sampled frames per second."""
        return 1.0 / self.period_seconds

    @property
    def model_key(self) -> str:
        """Names the model with its weights."""
        return self.model_fingerprint or self.model

    def require_model(self, model: str, model_fingerprint: str) -> None:
        """Raise LibraryMismatchError unless this model made the library.

        A model in a local folder is known by its weights, so the folder may move.
        """
        same = self.model_fingerprint == model_fingerprint and (bool(model_fingerprint) or self.model == model)
        if not same:
            other = " (same name, other weights)" if self.model == model else ""
            raise LibraryMismatchError(
                f"this library was made with model {self.model}, not {model}{other}",
                f"Use --model {self.model}, or another library: --library DIR",
            )

    def require_period(self, period_seconds: float) -> None:
        """Raise LibraryMismatchError unless the library was sampled at this period."""
        if abs(self.period_seconds - period_seconds) > 1e-9:
            raise LibraryMismatchError(
                f"this library was made with --fps {self.fps:g}, not {1 / period_seconds:g}",
                f"Use --fps {self.fps:g}, or another library: --library DIR",
            )


def write_json_atomically(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    write_atomically(path, to_json(value))


def to_json(value: Any) -> bytes:
    """JSON as the library's files have it."""
    return json.dumps(value, indent=1).encode()


def save(manifest: Manifest, where: Where) -> None:
    """Write ``library.json``, and its copy before it."""
    data = to_json({"vclipper_library": True, **dataclasses.asdict(manifest)})
    at(where).write(COPY_NAME, checked(data))
    at(where).write(FILE_NAME, data)


def exists(where: Where) -> bool:
    """Whether there is a library.

    Raises:
        LibraryError: that may not be looked at.
    """
    return at(where).exists(FILE_NAME)


def load(where: Where, name: str = FILE_NAME) -> Manifest:
    """Read ``library.json``, or its copy ``name``.

    Raises:
        LibraryError: there is none, or it may not be read.
        LibraryDamagedError: it cannot be read as one.
        LibraryMismatchError: a newer VClipper wrote it.
    """
    storage = at(where)
    try:
        with failures_said(storage):
            data = storage.read(name)
        values = json.loads(unchecked(data) if name == COPY_NAME else data)
        version = int(values["schema_version"])
        known = {f.name for f in dataclasses.fields(Manifest)}
        manifest = None if version > SCHEMA_VERSION else Manifest(**{k: values[k] for k in known})
    except (FileNotFoundError, NotADirectoryError):
        raise LibraryError(
            f"no library at {storage}", "Make one: vclip index FOLDER (or name it: --library DIR)"
        ) from None
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise LibraryDamagedError(
            f"{storage}/{name} is damaged ({type(error).__name__}: {error})", REPAIR
        ) from error
    if manifest is None:
        raise LibraryMismatchError(
            f"{storage} has schema version {version}, this VClipper knows {SCHEMA_VERSION}",
            "Upgrade: pip install -U vclipper",
        )
    return manifest
