"""Decoded frames as players show them: upright, unmirrored, square pixels, HDR toned down to sRGB."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.frames import PictureSpec, fit_picture, fit_resized, is_bilinear, resized_size
from indexer.video_types import VideoInfo

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

_HDR_TRANSFERS = frozenset({16, 18})
"""Numbers of ITU-T H.273: 16 is PQ (SMPTE ST 2084), 18 is HLG (ARIB STD-B67)."""
_HDR_SHORT_SIDE = 720
"""Tone mapping is arithmetic on every pixel; no model looks at more than this."""
_LONGEST_SIDE = 8192
_THREADS = 1
"""FFmpeg would scale with all cores, though every core has a decode process already."""
_DIFFUSE_WHITE_NITS = 203.0
"""Brightness of white paper in HDR programmes (ITU-R BT.2408)."""
_PEAK_NITS = 1000.0
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


class StillPicture:
    """A picture that is there in full already."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image

    def full(self) -> Image.Image:
        """See :class:`indexer.video_types.Picture`."""
        return self._image

    def fitted(self, spec: PictureSpec) -> npt.NDArray[np.uint8]:
        """See :class:`indexer.video_types.Picture`."""
        return fit_picture(self._image, spec)


class FramePicture:
    """A frame of PyAV, scaled from the decoder's own planes straight to the size that is wanted.

    That is less work than making all pixels RGB first, and nearer to exact arithmetic, because FFmpeg's
    conversion of all pixels is made for speed.

    Args:
        frame: the decoded frame.
        info: which way up it is.
        scaler: an ``av.video.reformatter.VideoReformatter``, kept from frame to frame.
    """

    def __init__(self, frame: Any, info: VideoInfo, scaler: Any) -> None:
        self._frame, self._info, self._scaler = frame, info, scaler

    def full(self) -> Image.Image:
        """See :class:`indexer.video_types.Picture`."""
        return upright(self._frame, self._info)

    def fitted(self, spec: PictureSpec) -> npt.NDArray[np.uint8]:
        """See :class:`indexer.video_types.Picture`."""
        rotation = self._info.rotation_degrees
        shown = displayed_size(self._frame.width, self._frame.height, self._info.sample_aspect_ratio, rotation)
        size = resized_size(*shown, spec)
        # FFmpeg scales the two fields of an interlaced frame apart; and what it does to slivers is unknown.
        if self._info.is_hdr or self._frame.interlaced_frame or max(size) > _LONGEST_SIDE:
            return fit_picture(self.full(), spec)
        return fit_resized(self._scaled(*size, is_bilinear(spec)), spec)

    def _scaled(self, width: int, height: int, bilinear: bool) -> Image.Image:
        """Upright, width × height."""
        from av.video.reformatter import Interpolation
        from PIL import Image

        rotation = self._info.rotation_degrees
        if rotation in (90, 270):
            width, height = height, width
        kernel = Interpolation.BILINEAR if bilinear else Interpolation.BICUBIC
        how = kernel | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
        # Planes come out at a third of the time of packed pixels, and the same to the bit.
        scaled = self._scaler.reformat(self._frame, width, height, "gbrp", interpolation=how, threads=_THREADS)
        return _turned(Image.fromarray(scaled.to_ndarray()), rotation, self._info.is_mirrored)


def upright(frame: Any, info: VideoInfo) -> Image.Image:
    """A decoded frame as an RGB picture: tone-mapped, upright, square pixels."""
    from PIL import Image

    pixels = _hdr_pixels(frame) if info.is_hdr else frame.to_ndarray(format="rgb24", threads=_THREADS)
    image = _turned(Image.fromarray(pixels), info.rotation_degrees, info.is_mirrored)
    return square_pixels(image, info.sample_aspect_ratio, info.rotation_degrees)


def orientation(frame: Any) -> tuple[int, bool]:
    """(degrees clockwise, mirrored) of a frame's display matrix."""
    if frame is None:
        return 0, False
    try:
        side_data = frame.side_data["DISPLAYMATRIX"]
    except KeyError:
        return 0, False
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), dtype=np.int32)[:5])
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, b = -a, -b
    if abs(a) >= abs(b):
        return (180 if a < 0 else 0), is_mirrored
    return (90 if b > 0 else 270), is_mirrored


def _turned(image: Image.Image, rotation_degrees: int, is_mirrored: bool) -> Image.Image:
    from PIL.Image import Transpose

    turns = {  # Pillow counts counterclockwise
        (90, False): Transpose.ROTATE_270,
        (180, False): Transpose.ROTATE_180,
        (270, False): Transpose.ROTATE_90,
        (0, True): Transpose.FLIP_LEFT_RIGHT,
        (90, True): Transpose.TRANSVERSE,
        (180, True): Transpose.FLIP_TOP_BOTTOM,
        (270, True): Transpose.TRANSPOSE,
    }
    turn = turns.get((rotation_degrees, is_mirrored))
    return image if turn is None else image.transpose(turn)


def displayed_size(width: int, height: int, aspect: Fraction, rotation_degrees: int) -> tuple[int, int]:
    """Size with square pixels and upright; the longer side of a pixel grows, so nothing is thrown away."""
    if aspect > 1:
        width = round(width * aspect)
    elif aspect < 1:
        height = round(height / aspect)
    return (height, width) if rotation_degrees in (90, 270) else (width, height)


def square_pixels(image: Image.Image, aspect: Fraction, rotation_degrees: int) -> Image.Image:
    """Stretch an upright picture whose stored pixels were ``aspect`` times as wide as high."""
    from PIL import Image

    if aspect == 1:
        return image
    upright_aspect = 1 / aspect if rotation_degrees in (90, 270) else aspect
    return image.resize(displayed_size(image.width, image.height, upright_aspect, 0), Image.Resampling.BICUBIC)


def is_hdr(context: Any, frame: Any) -> bool:
    """Whether a codec context or its first frame (None where there is none) says PQ or HLG."""
    transfers = {context.color_trc, getattr(frame, "color_trc", None)}  # older PyAV: not on frames
    return not transfers.isdisjoint(_HDR_TRANSFERS)


def _hdr_pixels(frame: Any) -> npt.NDArray[np.uint8]:
    """A PQ or HLG frame as (H, W, 3) uint8 sRGB, at most 720 on its short side."""
    scale = min(1.0, _HDR_SHORT_SIDE / min(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    levels = frame.reformat(width=width, height=height, format="rgb24", threads=_THREADS).to_ndarray()
    nits = _hlg_nits() if getattr(frame, "color_trc", None) == 18 else _pq_nits()
    light = (nits / _DIFFUSE_WHITE_NITS).astype(np.float32)[levels] @ _BT2020_TO_BT709.T
    return _srgb_levels(_tone_mapped(np.maximum(light, 0.0)))


def _tone_mapped(light: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Reinhard's curve with a white point: shadows keep their light, the peak becomes white.

    Takes and gives linear light, 1.0 is diffuse white before and the brightest white after.
    """
    white = _PEAK_NITS / _DIFFUSE_WHITE_NITS
    return np.minimum(light * (1 + light / white**2) / (1 + light), 1.0)


def _srgb_levels(light: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    curved = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (curved * 255 + 0.5).astype(np.uint8)


def _pq_nits() -> npt.NDArray[np.float64]:
    """Brightness of the 256 levels of a PQ picture (SMPTE ST 2084), (256,) float64 nits."""
    root = np.linspace(0, 1, 256) ** (32 / 2523)
    return 10000.0 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (8192 / 1305)


def _hlg_nits() -> npt.NDArray[np.float64]:
    """Brightness of the 256 levels of an HLG picture on a 1000-nit screen (BT.2100), (256,) float64 nits."""
    signal = np.linspace(0, 1, 256)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return np.asarray(_PEAK_NITS * scene**1.2, dtype=np.float64)
