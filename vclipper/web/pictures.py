"""Pictures to search by: read within bounds, kept in memory for a while."""

from __future__ import annotations

import io
import secrets
import threading
import time
import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING

from indexer.errors import InputError
from vclipper.images import flattened
from vclipper.web.errors import NotFoundError, RefusedError, TooLargeError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 64_000_000
#: No encoder looks at more; larger uploads are kept at this size.
KEPT_SIDE = 1024
KEPT_PICTURES = 64
KEPT_SECONDS = 3600.0
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


class Pictures:
    """The uploads of the last hour, at most 64; the one unused for longest makes room."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, Image]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, data: bytes) -> tuple[str, int, int]:
        """Keep a picture; returns its id and its size in pixels.

        Raises:
            InputError, TooLargeError: as :func:`read_picture`.
        """
        picture = read_picture(data)
        size = picture.size
        picture.thumbnail((KEPT_SIDE, KEPT_SIDE))
        image_id = secrets.token_hex(8)
        with self._lock:
            self._kept[image_id] = time.monotonic(), picture
            while len(self._kept) > KEPT_PICTURES:
                self._kept.popitem(last=False)
        return image_id, *size

    def get(self, image_id: str) -> Image:
        """The picture; NotFoundError when it is unknown or forgotten."""
        with self._lock:
            added, picture = self._kept.get(image_id, (float("-inf"), None))
            if picture is None or time.monotonic() - added > KEPT_SECONDS:
                self._kept.pop(image_id, None)
                raise NotFoundError(
                    f"no picture has the id {image_id}", "Uploads are kept for an hour: send it again"
                )
            self._kept.move_to_end(image_id)
            return picture

    def named(self, term: str) -> Image:
        """What ``image:ID`` in a query means.

        Raises:
            RefusedError: the term is a path, which is never opened for a request.
        """
        kind, _, image_id = term.partition(":")
        if kind != "image":
            raise RefusedError(
                f"{term}: a query over HTTP opens no files",
                "Upload the picture and write image:ID, or quote the words",
            )
        return self.get(image_id)


def read_picture(data: bytes) -> Image:
    """An RGB picture, upright.

    Raises:
        TooLargeError: more than 64 megapixels, which is judged before anything is unpacked.
        InputError: no picture, or a damaged one.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # the bound below is ours
            with Pillow.open(io.BytesIO(data), formats=FORMATS) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise TooLargeError(f"the picture has more than {MAX_PIXELS // 1_000_000} megapixels")
                return flattened(ImageOps.exif_transpose(opened))
    except Pillow.DecompressionBombError:
        raise TooLargeError(f"the picture has more than {MAX_PIXELS // 1_000_000} megapixels") from None
    except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError) as error:
        raise InputError("the upload is not a picture, or it is damaged", "Use JPEG, PNG or WebP") from error


def jpeg(picture: Image, width: int) -> bytes:
    """The picture as a JPEG at most ``width`` wide."""
    small = picture.copy()
    small.thumbnail((width, width * 4))
    out = io.BytesIO()
    small.convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue()
