"""The picture half of an OpenCLIP model in torch: bytes in, features out.

Whatever runs a picture half takes (b, H, W, 3) uint8 RGB and scales it itself, so that bytes, a quarter of
the floats, travel to the device or through an exported graph. Imports torch: only what loads a model imports
this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from indexer.vectors import Float32, UInt8


class PictureTower(nn.Module):  # type: ignore[misc]  # torch is Any to mypy
    """(b, H, W, 3) uint8 RGB → (b, D) float32 features, not yet of length 1.

    Args:
        network: OpenCLIP's model; its weights' type is what is computed in.
        mean, std: per colour, of values in [0, 1], as the model's ``preprocess_cfg`` says.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Any, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        weights = next(network.visual.parameters())
        self.dtype = weights.dtype
        for name, values in (("mean", mean), ("std", std)):
            by_colour = torch.tensor(values, dtype=torch.float32, device=weights.device).view(1, 3, 1, 1)
            self.register_buffer(name, by_colour, persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        pixels = pictures.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        normalised = (pixels - self.mean) / self.std
        features: Tensor = self.network.encode_image(normalised.to(self.dtype))
        return features.float()


class TorchPictures:
    """Runs a :class:`PictureTower` where its weights lie.

    Args:
        tower: what to run; a compiled one too.
        device: where its weights lie.
    """

    def __init__(self, tower: nn.Module, device: str) -> None:
        self._tower, self._device = tower, device

    def features(self, pictures: UInt8) -> Float32:
        """(b, H, W, 3) uint8 RGB → (b, D) float32."""
        with torch.inference_mode():
            on_device = torch.from_numpy(pictures).to(self._device)
            features: Float32 = self._tower(on_device).cpu().numpy()
            return features
