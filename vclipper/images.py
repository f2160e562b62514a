"""Pictures that people search with, from files or from memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexer.discover import refuse_address
from indexer.errors import InputError
from indexer.vectors import UInt8

if TYPE_CHECKING:
    from PIL.Image import Image


_ARRAY = "an array (height, width, 3) of uint8"


def open_image(image: object) -> Image:
    """RGB and upright: a Pillow image, an array (H, W, 3) uint8, or the file of that path.

    Raises:
        InputError: no such file, one that may not be read, nothing that Pillow reads, or a picture without pixels.
    """
    from PIL import Image as Pillow

    if isinstance(image, Pillow.Image):
        if 0 in image.size:
            raise InputError(f"the picture has no pixels: it is {image.width}x{image.height}", "Give another")
        return image.convert("RGB")
    if isinstance(image, np.ndarray):
        return open_image(Pillow.fromarray(_demand_rgb(image)))
    if isinstance(image, str | os.PathLike):
        return _read(os.fspath(image))
    raise InputError(f"{type(image).__name__} is no picture", f"Give a path, a Pillow image or {_ARRAY}")


def _demand_rgb(pixels: NDArray[Any]) -> UInt8:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"the picture is an array {pixels.shape} of {pixels.dtype}", f"Give {_ARRAY}")
    return pixels


def _read(file: str) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageOps

    refuse_address(file)
    path = Path(file).expanduser()
    try:
        with Pillow.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            return flattened(upright)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "Check the path of the image") from None
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "Give a picture that you may read") from None
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        unknown = getattr(error, "strerror", None) or "its format is unknown or it is damaged"
        reason = "it is a folder" if os.path.isdir(path) else unknown  # noqa: PTH112 - Path.is_dir may raise
        raise InputError(f"{path} cannot be read as an image: {reason}", "Use JPEG, PNG or WebP") from error


def flattened(picture: Image) -> Image:
    """RGB, transparent places white as a page shows them."""
    from PIL import Image as Pillow

    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Pillow.new("RGBA", rgba.size, "white")
        return Pillow.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")
