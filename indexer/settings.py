"""How an index run works: what ``vclip index`` takes as options."""

from __future__ import annotations

import os
from dataclasses import dataclass

from indexer.errors import InputError, SettingError
from indexer.video_types import Shortcuts

DEFAULT_FPS = 0.5
DEFAULT_MODEL = "ViT-B-32/laion2b_s34b_b79k"
#: What `--index-type` takes: by size, every vector read, codes of one of these kinds (indexer.coders), or
#: LanceDB's own index on the table (indexer.table_index).
INDEX_TYPES = ("auto", "exact", "ivf-pq", "ivf-rabitq", "hnsw", "lance")
#: What `--backend` takes: by machine, or one of those in indexer.backends.
BACKENDS = (
    "auto",
    "torch",
    "torch-bf16",
    "torch-compile",
    "torch-compile-bf16",
    "onnx",
    "openvino",
    "openvino-bf16",
)


@dataclass(frozen=True)
class IndexSettings:
    """Settings of one run; what is stored is changed by the last three only.

    Attributes:
        batch_size: pictures the encoder takes at once; 0 chooses by device.
        workers: decode processes; 0 means one per core.
        force: index unchanged files again.
        prune: take out videos whose files are gone.
        thumbnails: keep small pictures of the sampled frames.
        exclude: patterns of what is left out, see :class:`indexer.ignore.Ignores`.
        nvdec: GPUs that encode decode too, where torchcodec is installed and shows right pictures there.
        decode_timeout_seconds: a decoder that is silent for this long is stopped.
        flush_rows, flush_seconds: finished videos are written when this many frames have come together,
            or at the latest after this time.
        tolerance_seconds, loop_filter: what decoding may spare, see :class:`indexer.video_types.Shortcuts`. A
            picture's time in the library stays the sampled one.
        index_type: the kind of search index that the library has from now on; None leaves it as it is.

    Raises:
        SettingError: a value out of its bounds.
    """

    batch_size: int = 0
    workers: int = 0
    force: bool = False
    prune: bool = False
    thumbnails: bool = True
    exclude: tuple[str, ...] = ()
    nvdec: bool = True
    decode_timeout_seconds: float = 60.0
    flush_rows: int = 8192
    flush_seconds: float = 5.0
    tolerance_seconds: float = 0.0
    loop_filter: bool = True
    index_type: str | None = None

    def __post_init__(self) -> None:
        for name, low in (("batch_size", 0), ("workers", 0), ("decode_timeout_seconds", 0.1), ("flush_rows", 1)):
            if getattr(self, name) < low:
                hint = f"It must be at least {low}" + ("; 0 chooses by the machine" if low == 0 else "")
                raise SettingError(f"{name} is {getattr(self, name)}", hint)
        if not self.tolerance_seconds >= 0:  # nor NaN
            hint = "It must lie between 0, which is exact, and half the sampling period"
            raise SettingError(f"tolerance_seconds is {self.tolerance_seconds}", hint)
        if self.index_type is not None:
            check_index_type(self.index_type)

    def batch_size_on(self, device: str) -> int:
        """The batch size in force on ``device``."""
        return self.batch_size or (8 if device == "cpu" else 256)

    @property
    def shortcuts(self) -> Shortcuts:
        """What decoding may spare."""
        return Shortcuts(self.tolerance_seconds, self.loop_filter)

    @property
    def worker_count(self) -> int:
        """The number of decode processes in force."""
        return self.workers or os.cpu_count() or 1


def period_of(fps: float | None) -> float:
    """Sampling period in seconds for ``fps`` sampled frames per second; None means the default.

    Raises:
        SettingError: not within 1/60 … 60.
    """
    fps = DEFAULT_FPS if fps is None else fps
    if not 1 / 60 <= fps <= 60:
        raise SettingError(f"fps is {fps:g}", "It must lie between 1/60 (one frame a minute) and 60")
    return 1.0 / fps


def check_index_type(name: str) -> None:
    """Raise InputError unless there is such an index type."""
    if name not in INDEX_TYPES:
        raise InputError(f"there is no index type {name!r}", f"Choose one of: {', '.join(INDEX_TYPES)}")
