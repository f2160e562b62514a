"""Choose a decoder for a video and decode it: the frames shown at 0, T, 2T … seconds.

Times are presentation times relative to the first frame shown, never a frame's number divided by a
rate. PyAV decodes, and of most files only what the sampled frames need; decord jumps to them in files where
that cannot be told and decord is right; torchcodec decodes on a GPU. PyAV takes over where another gives up.
``import indexer.video`` loads none of them.

The parts: :mod:`indexer.container` opens a file, :mod:`indexer.probe` looks at it,
:mod:`indexer.decode_decord`, :mod:`indexer.decode_pyav` and :mod:`indexer.decode_torchcodec` read it,
:mod:`indexer.picture` makes its frames upright.

Decoding a hostile file can hang or crash a decoder: callers decode in a worker process under a
watchdog that counts the time between frames.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Generator
from pathlib import Path

from indexer.decode_decord import DecordGaveUpError, decord_samples
from indexer.decode_pyav import pyav_samples
from indexer.decode_torchcodec import TorchcodecGaveUpError, torchcodec_samples
from indexer.discover import printable
from indexer.errors import ContentError, InputError
from indexer.frames import check_tolerance, sample_times
from indexer.packet_skipping import may_skip_packets
from indexer.video_types import (
    EXACT,
    DecodeOutcome,
    DecodeProgress,
    DecoderName,
    SampledFrame,
    Shortcuts,
    VideoInfo,
)

Decoding = Generator[SampledFrame, None, DecodeOutcome]
"""Frames one at a time, and at the end how it ended."""

_DECORD_CONTAINERS = frozenset({"mp4", "matroska", "flv"})
_DECORD_CODECS = frozenset({"h264", "hevc", "vp9", "mjpeg"})
_NVDEC_CONTAINERS = frozenset({"mp4", "matroska", "flv"})
_NVDEC_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1"})
_NVDEC_FORMATS = frozenset({"yuv420p", "yuvj420p"})


def choose_decoder(info: VideoInfo, device: str | None = None) -> DecoderName:
    """torchcodec on ``device``, where that is given and it is right about the file; else PyAV, which decodes only
    what is needed for the sampled frames; decord where PyAV would decode everything.

    That was measured (``vclip bench speed --part peers``): wherever packets can be told apart decord takes about
    twice PyAV's time, so it is left the files of its kinds without usable times.
    """
    if device is not None and torchcodec_is_right_about(info):
        return "torchcodec"
    return "decord" if not may_skip_packets(info) and decord_is_right_about(info) and _has_decord() else "pyav"


def decord_is_right_about(info: VideoInfo) -> bool:
    """Whether decord was measured to decode such a file rightly.

    decord 0.6 was silently wrong on MPEG-TS, on edit lists, on AVI with B-frames, and wherever it jumps
    to a keyframe that is no clean start (open groups of pictures, the default of HEVC encoders); it
    refuses AV1, files without a duration and names that are not UTF-8; and it knows no HDR.
    """
    return (
        info.container in _DECORD_CONTAINERS
        and info.codec in _DECORD_CODECS
        and info.duration_seconds is not None
        and info.video_stream_count == 1
        and not (info.has_edit_list or info.has_open_groups or info.is_hdr or info.is_mirrored)
        and _is_utf8(info.path)
    )


def torchcodec_is_right_about(info: VideoInfo) -> bool:
    """Whether torchcodec was measured to decode such a file rightly, of those that an NVIDIA GPU can decode.

    On the CPU, torchcodec 0.17 was right on every file of these kinds; on MPEG-TS, MPEG-PS, AVI and raw streams it
    was not. Turned and mirrored pictures are left to PyAV, because only a GPU could show whether it turns them.
    """
    return (
        info.container in _NVDEC_CONTAINERS
        and info.codec in _NVDEC_CODECS
        and info.pixel_format in _NVDEC_FORMATS
        and not (info.is_hdr or info.is_mirrored or info.rotation_degrees)
        and _is_utf8(info.path)
    )


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _has_decord() -> bool:
    return importlib.util.find_spec("decord") is not None


def decode(
    path: Path,
    info: VideoInfo,
    period_seconds: float,
    *,
    threads: int = 1,
    device: str | None = None,
    shortcuts: Shortcuts = EXACT,
) -> Decoding:
    """The frames shown at 0, T, 2T … until the picture's real end, one at a time.

    Nothing is collected: one decoded frame is held. How it ended is the generator's return value,
    which ``yield from`` gives, or ``StopIteration.value``.

    Args:
        path: the file, as probed.
        info: what :func:`probe` said of it.
        period_seconds: T, above 0.
        threads: decoding threads, at least 1.
        device: where torchcodec decodes what it is right about, if
            :func:`indexer.decode_torchcodec.why_not` has nothing against it; None: it decodes nothing.
        shortcuts: what may be spared at the price of exactness.

    Yields:
        every index from 0, in order and once.

    Returns:
        whether the file was complete, and if not, why.

    Raises:
        ContentError: no frame at all can be decoded.
        InputError: the period, the number of threads or the tolerance cannot be used.
    """
    sample_times(0.0, period_seconds)
    check_tolerance(shortcuts.tolerance_seconds, period_seconds)
    if threads < 1:
        raise InputError(f"threads must be 1 or more, not {threads}")
    progress = DecodeProgress()
    decoder = choose_decoder(info, device)
    try:
        if decoder == "torchcodec":
            yield from torchcodec_samples(path, info, period_seconds, threads, progress, device or "cpu")
        elif decoder == "decord":
            yield from decord_samples(path, info, period_seconds, threads, progress)
    except (DecordGaveUpError, TorchcodecGaveUpError):
        decoder = "pyav"
    if decoder == "pyav":
        yield from pyav_samples(path, info, period_seconds, threads, progress, shortcuts)
    if progress.next_index == 0:
        raise ContentError(f"no picture of {printable(path)} can be decoded", "It may be damaged or cut off")
    return _outcome(info, progress, decoder)


def _outcome(info: VideoInfo, progress: DecodeProgress, decoder: DecoderName) -> DecodeOutcome:
    reason = _shortfall(info, progress.end_seconds)
    if not reason and progress.damage:
        reason = f"{len(progress.damage)} damaged places, the first: {progress.damage[0]}"
    return DecodeOutcome(not reason, reason, progress.end_seconds, decoder)


def _shortfall(info: VideoInfo, end_seconds: float) -> str:
    """What of a picture that ended at ``end_seconds``, or of its file, is not there; or nothing."""
    three_frames = 3 / info.frames_per_second if info.frames_per_second else 0.0
    told_seconds = math.inf if info.duration_seconds is None else info.duration_seconds
    ends_early = told_seconds - end_seconds > max(0.5, three_frames)
    if ends_early and info.duration_source == "picture":
        return f"stops after {end_seconds:.1f} of {told_seconds:.1f} seconds"
    if not info.missing_bytes:
        return ""
    cut_off = f"is cut off after {end_seconds:.1f} seconds: " if ends_early else ""
    return f"{cut_off}its last {info.missing_bytes} bytes are missing"
