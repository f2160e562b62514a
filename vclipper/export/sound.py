"""The sound under an exact clip: every track, cut at the sample, encoded as AAC."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from vclipper.export.source import Cut
from vclipper.export.stored import FrameReader

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000})
_AAC_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
"""By number of channels; anything else is mixed down to stereo."""
_BITS_PER_CHANNEL = 96_000
_WARM_UP_SECONDS = 0.5
"""Decoders of sound need some packets before the first one wanted."""
_DRIFT_SECONDS = 0.05


def sound_of(
    cut: Cut, stream_index: int, made: Any, stack: contextlib.ExitStack
) -> Iterator[tuple[float, Any]] | None:
    """Encoded packets of one audio track, lazily, with when they are to be decoded; None without a decoder."""
    container = cut.source.open(stack)
    stream = container.streams[stream_index]
    context = stream.codec_context
    if context is None or not context.sample_rate:
        return None
    rate = context.sample_rate if context.sample_rate in _AAC_RATES else 48_000
    encoder = made.add_stream("aac", rate=rate, layout=_AAC_LAYOUTS.get(context.channels, "stereo"))
    encoder.bit_rate = _BITS_PER_CHANNEL * encoder.codec_context.channels
    encoder.codec_context.time_base = Fraction(1, rate)
    if stream.language:
        encoder.metadata["language"] = stream.language
    return _encoded(cut, container, stream, encoder)


def _encoded(cut: Cut, container: Any, stream: Any, encoder: Any) -> Iterator[tuple[float, Any]]:
    for frame in _cut_frames(cut, container, stream, encoder.codec_context):
        yield from ordered(encoder.encode(frame))
    yield from ordered(encoder.encode(None))


def ordered(packets: list[Any]) -> Iterator[tuple[float, Any]]:
    """Packets with when they are decoded, by which those of several streams are merged."""
    for packet in packets:
        yield float(packet.dts * packet.time_base), packet


def _cut_frames(cut: Cut, container: Any, stream: Any, context: Any) -> Iterator[Any]:
    """Sound in the encoder's format from the cut's first frame to its end, without gaps; time counts from there.

    Containers round the times of sound, so samples are counted; only where a time is further off than rounding
    explains, silence is put in, or sound that comes twice left out.
    """
    import numpy as np

    rate, position = context.sample_rate, 0
    for place, samples in _samples(cut, container, stream, context):
        missing = place - position if abs(place - position) > _DRIFT_SECONDS * rate else 0
        whole = np.pad(samples, ((0, 0), (max(0, missing), 0)))[:, max(0, -missing) :]
        if whole.shape[1]:
            yield _frame(whole, position, context)
            position += whole.shape[1]


def _samples(cut: Cut, container: Any, stream: Any, context: Any) -> Iterator[tuple[int, NDArray[Any]]]:
    """Resampled sound, (channels, samples), with where it belongs, counted in samples from the cut's start."""
    import av

    rate = context.sample_rate
    resampler = av.AudioResampler(format="fltp", layout=context.layout, rate=rate)
    length = round((cut.stop_seconds - cut.first_seconds) * rate)
    for seconds, frame in _decoded(cut, container, stream):
        place = round((seconds - cut.first_seconds) * rate)
        if place >= length:
            return
        for resampled in resampler.resample(frame):
            samples = resampled.to_ndarray()[:, max(0, -place) : max(0, length - place)]
            if samples.shape[1]:
                yield max(0, place), samples


def _frame(samples: NDArray[Any], position: int, context: Any) -> Any:
    import av
    import numpy as np

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=context.layout.name)
    frame.sample_rate, frame.pts, frame.time_base = context.sample_rate, position, context.time_base
    return frame


def _decoded(cut: Cut, container: Any, stream: Any) -> Iterator[tuple[float, Any]]:
    """Decoded sound with its time; damaged packets are passed over."""
    import av

    reader = FrameReader(container, stream, cut.source.info, cut.source.step_seconds)
    for stored, packet in reader.packets_from(max(0.0, cut.first_seconds - _WARM_UP_SECONDS)):
        stamp = packet.dts if packet.pts is None else packet.pts
        with contextlib.suppress(av.FFmpegError):
            for frame in stream.decode(packet):
                place = stored.start_seconds + float((frame.pts - stamp) * packet.time_base)
                yield place, frame
