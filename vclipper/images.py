"""Pictures that people search with, from files or from memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from indexer.discover import refuse_address
from indexer.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


def open_image(image: object) -> Image:
    """RGB and upright: a Pillow image, or the file of that path.

    Raises:
        InputError: no such file, one that may not be read, or nothing that Pillow reads.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    if isinstance(image, Pillow.Image):
        return image.convert("RGB")
    refuse_address(str(image))
    path = Path(str(image)).expanduser()
    try:
        with Pillow.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            return flattened(upright)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "Check the path of the image") from None
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "Give a picture that you may read") from None
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        reason = "it is a folder" if path.is_dir() else "its format is unknown or it is damaged"
        raise InputError(f"{path} cannot be read as an image: {reason}", "Use JPEG, PNG or WebP") from error


def flattened(picture: Image) -> Image:
    """RGB, transparent places white as a page shows them."""
    from PIL import Image as Pillow

    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Pillow.new("RGBA", rgba.size, "white")
        return Pillow.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")
