"""Decode with torchcodec, which on an NVIDIA GPU decodes with the card's own decoder (NVDEC).

Only for files of which torchcodec was measured to be right (:func:`indexer.video.torchcodec_is_right_about`), and
only on a GPU that showed the right pictures of a small clip at the right times (:func:`why_not`). On the CPU it
does the same work as PyAV without leaving anything out, so there it serves tests only.
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.frames import (
    SLACK_SECONDS,
    PictureSpec,
    fit_picture,
    fit_resized,
    is_bilinear,
    resized_size,
    sample_times,
)
from indexer.picture import displayed_size, square_pixels
from indexer.probe import probe
from indexer.video_types import DecodeProgress, SampledFrame, Samples, VideoInfo

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

_BYTES_AT_ONCE = 128 * 1024 * 1024
_MOST_AT_ONCE = 16


class TorchcodecGaveUpError(Exception):
    """torchcodec failed, or gave a frame of another time than asked for: PyAV goes on."""


def torchcodec_samples(
    path: Path, info: VideoInfo, period_seconds: float, threads: int, progress: DecodeProgress, device: str
) -> Samples:
    """Every sampled frame, from the first; its pixels stay on ``device`` until they are fitted.

    Raises:
        TorchcodecGaveUpError: what was given so far is right; ``progress`` tells where to go on.
    """
    decoder = _decoder(path, info, threads, device)
    begin, end = decoder.metadata.begin_stream_seconds, decoder.metadata.end_stream_seconds
    if not 0 < end - begin <= info.longest_seconds:
        raise TorchcodecGaveUpError
    times = sample_times(end - begin, period_seconds)
    at_once = _frames_at_once(decoder.metadata)
    for first in range(0, len(times), at_once):
        some = times[first : first + at_once]
        for index, pixels in enumerate(_shown_at(decoder, begin, some), first):
            progress.next_index, progress.end_seconds = index + 1, float(times[index])
            yield SampledFrame(index, TensorPicture(pixels, info))
    progress.end_seconds = end - begin


def _decoder(path: Path, info: VideoInfo, threads: int, device: str) -> Any:
    try:
        decoder = importlib.import_module("torchcodec.decoders").VideoDecoder(
            path.absolute(), stream_index=info.stream_index, num_ffmpeg_threads=threads, device=device
        )
    except Exception as error:  # torchcodec and FFmpeg raise what they like
        raise TorchcodecGaveUpError from error
    if device != "cpu" and decoder.cpu_fallback:
        raise TorchcodecGaveUpError  # on the CPU, PyAV decodes less
    return decoder


def _frames_at_once(metadata: Any) -> int:
    frame_bytes = 3 * (metadata.width or 1) * (metadata.height or 1)
    return max(1, min(_MOST_AT_ONCE, _BYTES_AT_ONCE // frame_bytes))


def _shown_at(decoder: Any, begin: float, seconds: npt.NDArray[np.float64]) -> Any:
    """(n, 3, H, W) uint8 RGB: what is shown at ``seconds`` after the first frame, on the decoder's device."""
    asked = np.minimum(begin + seconds + SLACK_SECONDS, np.nextafter(decoder.metadata.end_stream_seconds, 0))
    try:
        frames = decoder.get_frames_played_at(asked.tolist())
    except Exception as error:
        raise TorchcodecGaveUpError from error
    starts, lengths = frames.pts_seconds.cpu().numpy(), frames.duration_seconds.cpu().numpy()
    if (starts > asked + SLACK_SECONDS).any() or (starts + lengths < asked - SLACK_SECONDS).any():
        raise TorchcodecGaveUpError
    return frames.data


class TensorPicture:
    """A frame as torchcodec gives it: (3, H, W) uint8 RGB on some device, pixels as stored.

    It is scaled where it lies, so that a model's picture of 0.15 MB leaves the GPU and not the 6 MB of a 1080p
    frame. torch's antialiased kernels are Pillow's up to rounding: see ``tests/test_torchcodec.py``.
    """

    def __init__(self, pixels: Any, info: VideoInfo) -> None:
        self._pixels, self._info = pixels, info

    def full(self) -> Image.Image:
        """See :class:`indexer.video_types.Picture`."""
        return square_pixels(_image(self._pixels), self._info.sample_aspect_ratio, 0)

    def fitted(self, spec: PictureSpec) -> npt.NDArray[np.uint8]:
        """See :class:`indexer.video_types.Picture`."""
        _, height, width = self._pixels.shape
        size = resized_size(*displayed_size(width, height, self._info.sample_aspect_ratio, 0), spec)
        try:
            scaled = _scaled(self._pixels, *size, is_bilinear(spec))
        except RuntimeError:  # no memory is left on the GPU: the encoder may need it all
            return fit_picture(self.full(), spec)
        return fit_resized(_image(scaled), spec)


def _scaled(pixels: Any, width: int, height: int, bilinear: bool) -> Any:
    from torch.nn.functional import interpolate

    kernel = "bilinear" if bilinear else "bicubic"
    scaled = interpolate(pixels[None].float(), (height, width), mode=kernel, antialias=True)[0]
    return scaled.round().clamp(0, 255).byte()


def _image(pixels: Any) -> Image.Image:
    from PIL import Image

    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().cpu().numpy())


# ---- whether a device can be used


def is_installed() -> bool:
    """Whether the extra ``[nvdec]`` is there."""
    return importlib.util.find_spec("torchcodec") is not None


@cache
def why_not(device: str) -> str:
    """Why ``device`` is not to be used for decoding; empty where it is.

    A clip whose frames are known by their brightness is decoded there.
    """
    if not is_installed():
        return "torchcodec is not installed (pip install 'vclipper[nvdec]')"
    with tempfile.TemporaryDirectory() as folder:
        try:
            clip = _write_clip(Path(folder) / "clip.mp4")
            samples = list(torchcodec_samples(clip, probe(clip), _CLIP_PERIOD, 1, DecodeProgress(), device))
        except TorchcodecGaveUpError as error:
            reason = str(error.__cause__ or "it falls back to the CPU").strip()
            first_words = reason.splitlines()[0].split(" (originally")[0]  # torch's own place in its sources
            return f"torchcodec does not decode on {device}: {first_words}"
        except Exception as error:  # no encoder in this build of PyAV, no room for the clip
            return f"no clip to try {device} with: {error}"
    seen = [int(np.asarray(sample.image).mean()) for sample in samples]
    if len(seen) != len(_CLIP_LEVELS) or np.abs(np.subtract(seen, _CLIP_LEVELS)).max() > _LEVEL_TOLERANCE:
        return f"torchcodec gives wrong pictures on {device}"
    return ""


_CLIP_LEVELS = tuple(range(20, 240, 20))
"""Brightness of each second of the clip."""
_CLIP_PERIOD = 1.0
_CLIP_RATE = 5
_LEVEL_TOLERANCE = 6


def _write_clip(path: Path) -> Path:
    """11 s of H.264 in one group of pictures, 256 × 256: less than some cards decode at all."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=_CLIP_RATE, options={"g": "250"})
        stream.width = stream.height = 256
        stream.pix_fmt = "yuv420p"
        for level in np.repeat(_CLIP_LEVELS, _CLIP_RATE):
            grey = np.full((256, 256, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))
    return path
