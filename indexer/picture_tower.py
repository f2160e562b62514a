"""The picture half of an OpenCLIP model in torch: bytes in, features out; and the ways torch runs it.

Whatever runs a picture half takes (b, H, W, 3) uint8 RGB and scales it itself, so that bytes, a quarter of
the floats, travel to the device or through an exported graph. Imports torch: only what loads a model imports
this module.
"""

from __future__ import annotations

import copy
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from indexer.errors import InputError, first_line
from indexer.vectors import Float32, UInt8, least_cosine

_log = logging.getLogger(__name__)


class PictureTower(nn.Module):  # type: ignore[misc]  # torch is Any to mypy
    """(b, H, W, 3) uint8 RGB → (b, D) float32 features, not yet of length 1.

    Args:
        network: OpenCLIP's model; its picture half's weights may change their type, not their device.
        mean, std: per colour, of values in [0, 1], as the model's ``preprocess_cfg`` says.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Any, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        for name, values in (("mean", mean), ("std", std)):
            by_colour = torch.tensor(values, dtype=torch.float32, device=self._weight.device).view(1, 3, 1, 1)
            self.register_buffer(name, by_colour, persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        pixels = pictures.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        normalised = (pixels - self.mean) / self.std
        features: Tensor = self.network.encode_image(normalised.to(self._weight.dtype))
        return features.float()

    @property
    def _weight(self) -> Tensor:
        weight: Tensor = next(self.network.visual.parameters())
        return weight


class TorchPictures:
    """Runs a tower where its weights lie, one operation after the other. Threads may share it.

    On a GPU convolutions get their weights in the order of the pictures' bytes, colours innermost, which spares
    its tensor cores a copy. The tower's type there is float16 (:func:`indexer.encoder._create`), which keeps three
    bits more of a value than bfloat16 at the same speed.
    """

    def __init__(self, tower: PictureTower) -> None:
        self._tower = tower
        self._of_thread = threading.local()
        if tower.mean.is_cuda:
            tower.network.visual.to(memory_format=torch.channels_last)

    def features(self, pictures: UInt8) -> Float32:
        """(b, H, W, 3) uint8 RGB → (b, D) float32."""
        with torch.inference_mode():
            features: Float32 = self._tower(self._uploaded(torch.from_numpy(pictures))).cpu().numpy()
            return features

    def _uploaded(self, pictures: Tensor) -> Tensor:
        """The bytes where the weights lie; a GPU fetches them by itself from memory that stays in its place."""
        device = self._tower.mean.device
        if device.type != "cuda":
            return pictures.to(device)
        staging: Tensor | None = getattr(self._of_thread, "staging", None)
        if staging is None or staging.shape != pictures.shape:
            staging = self._of_thread.staging = torch.empty(pictures.shape, dtype=torch.uint8, pin_memory=True)
        return staging.copy_(pictures).to(device, non_blocking=True)


def round_to_bfloat16(tower: PictureTower) -> Callable[[], None]:
    """Round the picture half's weights: half the memory, and products in the CPU's bfloat16 instructions.

    Sums stay float32. Returns what puts the float32 weights back.
    """
    network, exact = tower.network, tower.network.visual
    network.visual = copy.deepcopy(exact).bfloat16()

    def undo() -> None:
        network.visual = exact

    return undo


class CompiledPictures:
    """A tower that ``torch.compile`` makes into one program for batches of one size, the first of several
    pictures that comes; other batches run as in :class:`TorchPictures`.

    Compiling a size takes half a minute. The program is trusted when its vectors of the first batch agree.

    Args:
        tower: what to run.
        least: the lowest cosine to the same tower, not compiled, at which it counts as equal.

    Raises:
        InputError: there is no C++ compiler.
    """

    def __init__(self, tower: PictureTower, least: float) -> None:
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler) is None:
            hint = "Install one (apt install g++), or use --backend torch"
            raise InputError(f"torch.compile needs a C++ compiler; there is no {compiler}", hint)
        self._plain, self._tower, self._least = TorchPictures(tower), tower, least
        self._program: Any = None
        self._size = 0

    def features(self, pictures: UInt8) -> Float32:
        """(b, H, W, 3) uint8 RGB → (b, D) float32."""
        if self._size == 0 and len(pictures) > 1:
            self._compile(pictures)
        if self._program is None or len(pictures) != self._size:
            return self._plain.features(pictures)
        return self._run(pictures)

    def _compile(self, pictures: UInt8) -> None:
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it misses CUDA on every compile
        _log.info("compiling the model for batches of %d (about half a minute)", len(pictures))
        self._size = len(pictures)
        self._program = torch.compile(self._tower, dynamic=False, options={"freezing": True})
        try:
            cosine = least_cosine(self._run(pictures), self._plain.features(pictures))
            problem = "" if cosine >= self._least else f"its vectors differ: cosine {cosine:.5f}"
        except Exception as error:  # of torch's compiler, of the C++ compiler
            problem = first_line(error)[:200]
        if problem:
            self._program = None
            _log.warning("torch.compile is not used: %s", problem)

    def _run(self, pictures: UInt8) -> Float32:
        with torch.no_grad():  # weights are not folded in under inference_mode
            features: Float32 = self._program(torch.from_numpy(pictures)).numpy()
        return features
