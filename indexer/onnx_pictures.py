"""The picture half of a model as an ONNX file, run by ONNX Runtime or OpenVINO.

Written once per model to this user's cache, whole or not at all: a folder that gets its name last. Whoever
opens one compares it with torch (:mod:`indexer.backends`); one that disagrees is made anew.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from indexer.picture_tower import PictureTower
from indexer.vectors import Float32, UInt8

_FILE = "pictures.onnx"
_INPUT = "pictures"
_UNFINISHED = ".new-"
_LONGEST_EXPORT_SECONDS = 3600
_log = logging.getLogger(__name__)


class OnnxRuntime:
    """ONNX Runtime on as many threads as torch would take; idle ones sleep, the cores are the decoders' too."""

    def __init__(self, file: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def features(self, pictures: UInt8) -> Float32:
        """(b, H, W, 3) uint8 RGB → (b, D) float32; RuntimeError in place of ONNX Runtime's own errors."""
        try:
            features: Float32 = self._session.run(None, {_INPUT: pictures})[0]
        except Exception as error:
            raise RuntimeError(str(error)) from error
        return features


class OpenVino:
    """OpenVINO on the CPU, in float32."""

    precision = "f32"

    def __init__(self, file: Path) -> None:
        openvino = _openvino_without_telemetry()
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, on all of them
        }
        self._model = openvino.Core().compile_model(file, "CPU", settings)
        self._lock = threading.Lock()  # a compiled model answers one call at a time

    def features(self, pictures: UInt8) -> Float32:
        """(b, H, W, 3) uint8 RGB → (b, D) float32."""
        with self._lock:
            return np.array(self._model([pictures])[0], dtype=np.float32)


class OpenVinoBfloat16(OpenVino):
    """The same with products in bfloat16."""

    precision = "bf16"


def _openvino_without_telemetry() -> Any:
    """OpenVINO reports each import to its makers through a package that it does without where there is none."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # makes importing it fail
    import openvino

    return openvino


def file_in(folder: Path) -> Path:
    """The ONNX file of an export."""
    return folder / _FILE


def export(tower: PictureTower, example: UInt8, folder: Path) -> None:
    """Write ``tower`` to ``folder``, in place of what is there and of older ones of the same model.

    Raises:
        Exception: whatever torch's exporter cannot translate; nothing is written then.
    """
    _log.info("exporting the model to ONNX, once (about half a minute)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    replaced = set(folder.parent.glob(f"{folder.name.rpartition('-')[0]}-*"))
    before = _inode(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=_UNFINISHED) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        _export(tower, example, file_in(made))
        if _inode(folder) != before:  # another process has just put its own there
            return
        for older in replaced:
            shutil.rmtree(older, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process has just put its own there
            made.rename(folder)


def _inode(folder: Path) -> int:
    """Which folder lies there; 0 where none does."""
    with contextlib.suppress(OSError):
        return folder.stat().st_ino
    return 0


def _sweep(folder: Path) -> None:
    """Delete what killed processes left half-written."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        with contextlib.suppress(OSError):  # another process was quicker
            if time.time() - left.stat().st_mtime > _LONGEST_EXPORT_SECONDS:
                shutil.rmtree(left)


def _export(tower: PictureTower, example: UInt8, file: Path) -> None:
    with _plain_attention(), torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(
            tower.eval(),
            (torch.from_numpy(example),),
            file,
            input_names=[_INPUT],
            output_names=["features"],
            dynamic_shapes={"pictures": {0: torch.export.Dim("pictures_at_once", min=1, max=65536)}},
            dynamo=True,
            verbose=False,
        )


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """torch's fused attention of eager mode has no name in ONNX."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
