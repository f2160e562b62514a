"""Sampling arithmetic, batches of pictures, and the shape in which a model wants its pictures.

Pictures are sampled at 0, T, 2T … seconds after the first frame shown, as long as the picture lasts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from indexer.errors import InputError, SettingError

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

SLACK_SECONDS = 1e-3
"""Containers round times to 1 ms and floats to less: two times closer than this are the same."""

ResizeMode = Literal["shortest", "longest", "squash"]
RESIZE_MODES: tuple[ResizeMode, ...] = ("shortest", "longest", "squash")
INTERPOLATIONS = ("bicubic", "bilinear")


def sample_count(duration_seconds: float, period_seconds: float) -> int:
    """How many pictures are sampled from a video that lasts ``duration_seconds``.

    Counts every ``i`` with ``i * period_seconds < duration_seconds`` (less 1 ms for rounding); at least 1.

    Raises:
        InputError: the period is not above zero, or the duration is negative or not finite.
    """
    if not (math.isfinite(period_seconds) and period_seconds > 0):
        raise InputError(f"the sampling period must be above 0 seconds, not {period_seconds}")
    if not (math.isfinite(duration_seconds) and duration_seconds >= 0):
        raise InputError(f"a duration must be 0 seconds or more, not {duration_seconds}")
    return max(1, math.ceil((duration_seconds - SLACK_SECONDS) / period_seconds))


def sample_times(duration_seconds: float, period_seconds: float) -> npt.NDArray[np.float64]:
    """The sampled times in seconds: 0, T, 2T …, float64 of shape (sample_count,).

    Raises:
        InputError: as :func:`sample_count`.
    """
    return np.arange(sample_count(duration_seconds, period_seconds), dtype=np.float64) * period_seconds


def check_tolerance(tolerance_seconds: float, period_seconds: float) -> None:
    """Raise SettingError unless pictures may be taken so far off their times: 0 to half the period."""
    if not 0 <= tolerance_seconds <= period_seconds / 2:
        raise SettingError(
            f"tolerance_seconds is {tolerance_seconds:g}",
            f"With a picture every {period_seconds:g} seconds it must lie between 0 and {period_seconds / 2:g}",
        )


@dataclass(frozen=True)
class FrameBatch:
    """Consecutive sampled pictures of one video, ready for the encoder.

    Attributes:
        first_index: place of ``pictures[0]`` among the video's sampled pictures, from 0.
        pictures: (b, H, W, 3) uint8 RGB, b >= 1, C-contiguous.

    Raises:
        ValueError: the array or the index is not of this shape.
    """

    first_index: int
    pictures: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.first_index < 0:
            raise ValueError(f"first_index must be 0 or more, not {self.first_index}")
        shape = self.pictures.shape
        if self.pictures.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise ValueError(f"pictures must be (b, H, W, 3) uint8, not {shape} {self.pictures.dtype}")
        if not self.pictures.flags.c_contiguous:
            raise ValueError("pictures must be contiguous")

    def __len__(self) -> int:
        return int(self.pictures.shape[0])


@dataclass(frozen=True)
class PictureSpec:
    """How a model wants its pictures: what OpenCLIP calls the preprocessing configuration.

    Attributes:
        height, width: size in pixels of what the model sees.
        resize_mode: ``shortest`` fills the size and crops the middle, ``longest`` fits inside and pads,
            ``squash`` ignores the aspect ratio.
        interpolation: ``bicubic`` or ``bilinear``.
        fill_color: grey level 0-255 of the padding (``longest``).

    Raises:
        ValueError: a value out of these bounds.
    """

    height: int = 224
    width: int = 224
    resize_mode: ResizeMode = "shortest"
    interpolation: str = "bicubic"
    fill_color: int = 0

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a picture must be at least 1 × 1, not {self.width} × {self.height}")
        if self.resize_mode not in RESIZE_MODES:
            raise ValueError(f"resize_mode must be one of {RESIZE_MODES}, not {self.resize_mode!r}")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation must be one of {INTERPOLATIONS}, not {self.interpolation!r}")
        if not 0 <= self.fill_color <= 255:
            raise ValueError(f"fill_color must be 0 … 255, not {self.fill_color}")


def fit_picture(image: Image.Image, spec: PictureSpec) -> npt.NDArray[np.uint8]:
    """Resize, crop and pad a picture, byte for byte as OpenCLIP does before it makes a tensor.

    Args:
        image: a picture in any mode that converts to RGB.
        spec: what the model wants.

    Returns:
        (spec.height, spec.width, 3) uint8 RGB, C-contiguous.
    """
    size = resized_size(image.width, image.height, spec)
    return fit_resized(image.resize(size, _resampling(spec)), spec)


def fit_resized(resized: Image.Image, spec: PictureSpec) -> npt.NDArray[np.uint8]:
    """The rest of :func:`fit_picture` for a picture that already has its :func:`resized_size`."""
    fitted = _cropped(_padded(resized, spec), spec)
    return np.array(fitted.convert("RGB"), dtype=np.uint8, order="C")


def _resampling(spec: PictureSpec) -> Image.Resampling:
    from PIL import Image

    return Image.Resampling.BILINEAR if is_bilinear(spec) else Image.Resampling.BICUBIC


def is_bilinear(spec: PictureSpec) -> bool:
    """Whether pictures are resized bilinearly; else bicubically."""
    # OpenCLIP drops the interpolation of a "shortest" resize to a size that is not square.
    is_oblong_shortest = spec.resize_mode == "shortest" and spec.height != spec.width
    return spec.interpolation == "bilinear" and not is_oblong_shortest


def resized_size(width: int, height: int, spec: PictureSpec) -> tuple[int, int]:
    """(width, height) to which a picture is scaled before anything is cropped or padded."""
    if spec.resize_mode == "squash":
        return spec.width, spec.height
    if spec.resize_mode == "shortest" and spec.height == spec.width:
        return _shortest_side_size(width, height, spec.height)
    ratios = (height / spec.height, width / spec.width)
    ratio = max(ratios) if spec.resize_mode == "longest" else min(ratios)
    return max(1, round(width / ratio)), max(1, round(height / ratio))  # OpenCLIP fails on a 1000 × 3 picture


def _shortest_side_size(width: int, height: int, side: int) -> tuple[int, int]:
    # Truncated, not rounded, as torchvision's Resize has it.
    if width <= height:
        return side, int(side * height / width)
    return int(side * width / height), side


def _padded(image: Image.Image, spec: PictureSpec) -> Image.Image:
    from PIL import ImageOps

    missing_width, missing_height = max(0, spec.width - image.width), max(0, spec.height - image.height)
    if not (missing_width or missing_height):
        return image
    border = (missing_width // 2, missing_height // 2, (missing_width + 1) // 2, (missing_height + 1) // 2)
    grey = spec.fill_color if spec.resize_mode == "longest" else 0
    fill = grey if len(image.getbands()) == 1 else (grey,) * len(image.getbands())
    return ImageOps.expand(image, border=border, fill=fill)


def _cropped(image: Image.Image, spec: PictureSpec) -> Image.Image:
    left = round((image.width - spec.width) / 2.0)
    top = round((image.height - spec.height) / 2.0)
    return image.crop((left, top, left + spec.width, top + spec.height))
