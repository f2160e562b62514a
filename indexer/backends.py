"""What runs the picture half of a model: the choices of ``--backend``, and which one ``auto`` means.

The text half is not concerned. The figures by which these were chosen are in ``docs/benchmarks.md``. A backend is
trusted when its vectors of a few pictures agree with torch's; where they do not, or it cannot be made from a
model, torch runs that model and a warning says so.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from indexer.errors import InputError, first_line
from indexer.processor import instructions
from indexer.settings import BACKENDS
from indexer.vectors import Float32, UInt8, least_cosine

if TYPE_CHECKING:
    from indexer.picture_tower import PictureTower

AUTO, PLAIN, HALF = "auto", "torch", "torch-bf16"
#: Lowest cosine to float32, on the same pictures, at which a backend of either precision is trusted.
LEAST_FLOAT32 = 0.9999
LEAST_BFLOAT16 = 0.999
_log = logging.getLogger(__name__)


class Pictures(Protocol):
    """A picture half that is ready; several threads may use it."""

    def features(self, pictures: UInt8) -> Float32:
        """(b, H, W, 3) uint8 RGB → (b, D) float32, not yet of length 1."""
        ...


@dataclass(frozen=True)
class _Trial:
    """What a backend is made from, and what it must agree with.

    Attributes:
        tower: the picture half in torch. export: the folder of its ONNX file, which need not be there yet.
        examples: (b, H, W, 3) pictures. expected: (b, D), torch's features of them in float32.
    """

    tower: PictureTower
    export: Path
    examples: UInt8
    expected: Float32

    def passed(self, pictures: Pictures, least: float) -> Pictures:
        """``pictures``; ValueError where they differ from what is expected."""
        cosine = least_cosine(pictures.features(self.examples), self.expected)
        if not cosine >= least:
            raise ValueError(f"its vectors differ, cosine {cosine:.5f}")
        return pictures


def _rounded(trial: _Trial) -> Pictures:
    from indexer.picture_tower import TorchPictures, round_to_bfloat16

    undo = round_to_bfloat16(trial.tower)
    try:
        return trial.passed(TorchPictures(trial.tower), LEAST_BFLOAT16)
    except BaseException:
        undo()
        raise


def _compiled(trial: _Trial) -> Pictures:
    from indexer.picture_tower import CompiledPictures

    return CompiledPictures(trial.tower, LEAST_FLOAT32)


def _rounded_and_compiled(trial: _Trial) -> Pictures:
    from indexer.picture_tower import CompiledPictures

    _rounded(trial)
    return CompiledPictures(trial.tower, LEAST_BFLOAT16)


def _onnx(trial: _Trial) -> Pictures:
    from indexer.onnx_pictures import OnnxRuntime

    return _exported(trial, OnnxRuntime, LEAST_FLOAT32)


def _openvino(trial: _Trial) -> Pictures:
    from indexer.onnx_pictures import OpenVino

    return _exported(trial, OpenVino, LEAST_FLOAT32)


def _openvino_rounded(trial: _Trial) -> Pictures:
    from indexer.onnx_pictures import OpenVinoBfloat16

    return _exported(trial, OpenVinoBfloat16, LEAST_BFLOAT16)


def _exported(trial: _Trial, run: Callable[[Path], Pictures], least: float) -> Pictures:
    from indexer.onnx_pictures import export, file_in

    file = file_in(trial.export)
    if file.is_file():
        with contextlib.suppress(Exception):  # damaged, or of other weights: it is made anew
            return trial.passed(run(file), least)
    export(trial.tower, trial.examples, trial.export)
    return trial.passed(run(file), least)


@dataclass(frozen=True)
class _Backend:
    """A line of the table: how it is made, and what it imports that comes with the extra ``extra``."""

    make: Callable[[_Trial], Pictures]
    extra: str = ""
    modules: tuple[str, ...] = ()


_EXPORTER = ("onnx", "onnxscript")
_TABLE = {
    HALF: _Backend(_rounded),
    "torch-compile": _Backend(_compiled),
    "torch-compile-bf16": _Backend(_rounded_and_compiled),
    "onnx": _Backend(_onnx, "onnx", ("onnxruntime", *_EXPORTER)),
    "openvino": _Backend(_openvino, "openvino", ("openvino", *_EXPORTER)),
    "openvino-bf16": _Backend(_openvino_rounded, "openvino", ("openvino", *_EXPORTER)),
}


def device_for(backend: str, device: str) -> str:
    """``device``, or ``cpu`` in place of ``auto`` for a backend that runs there only.

    Raises:
        InputError: no such backend, one for the CPU with another device, or one that is not installed.
    """
    if backend not in BACKENDS:
        raise InputError(f"there is no backend {backend!r}", f"Choose one of: {', '.join(BACKENDS)}")
    if backend in (AUTO, PLAIN):
        return device
    if device not in ("auto", "cpu"):
        raise InputError(f"--backend {backend} runs on the CPU, not on {device}", "Use --backend torch")
    needed = _TABLE[backend]
    for module in needed.modules:
        if importlib.util.find_spec(module) is None:
            hint = f'Install it: pip install "vclipper[{needed.extra}]"'
            raise InputError(f"--backend {backend} needs {module}, which is not installed", hint)
    return "cpu"


def in_force(backend: str, device: str) -> str:
    """What ``auto`` means on ``device``: the fastest that needs no extra install."""
    if backend != AUTO:
        return backend
    return HALF if device == "cpu" and multiplies_bfloat16() else PLAIN


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for it; False where Linux does not say."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(instructions())


def open_pictures(backend: str, tower: PictureTower, size: tuple[int, int], export: Path) -> Pictures:
    """The picture half, run by ``backend`` (see :func:`in_force`); by torch where that cannot be.

    Args:
        backend: any of ``BACKENDS`` but ``auto``.
        tower: the picture half in torch.
        size: height and width of its pictures.
        export: where its ONNX file lies or will lie.

    Raises:
        InputError: what the backend needs of this machine is missing.
    """
    from indexer.picture_tower import TorchPictures

    plain = TorchPictures(tower)
    if backend == PLAIN:
        return plain
    examples = _examples(*size)
    try:
        return _TABLE[backend].make(_Trial(tower, export, examples, plain.features(examples)))
    except InputError:
        raise
    except Exception as error:  # of exporters, compilers and runtimes
        reason = first_line(error)[:200]
        _log.warning("torch runs this model, not %s: %s", backend, reason)
        return plain


def _examples(height: int, width: int) -> UInt8:
    """(2, H, W, 3): noise, and a smooth picture."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    down, across = np.linspace(0, 255, height), np.linspace(0, 255, width)
    smooth = np.stack([*np.meshgrid(across, down), np.full((height, width), 90.0)], axis=2)
    return np.stack([noise, smooth.astype(np.uint8)])
