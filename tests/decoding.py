"""Ways to decode the test videos: with the decoder that is chosen, or with one alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from indexer import decode_pyav, decode_torchcodec, video
from indexer.probe import probe
from indexer.video import decode
from indexer.video_types import DecodeOutcome, VideoInfo
from tests import media

DECORD_IS_HERE = video._has_decord()
Made = Callable[[str], media.MadeVideo]


def read_all(
    path: Path, period_seconds: float, threads: int = 1, info: VideoInfo | None = None
) -> tuple[list[int], DecodeOutcome]:
    """The numbers of all sampled frames, and how it ended; indices must be 0, 1, 2 …"""
    decoding = decode(path, info or probe(path), period_seconds, threads=threads)
    numbers: list[int] = []
    while True:
        try:
            frame = next(decoding)
        except StopIteration as end:
            return numbers, end.value
        assert frame.index == len(numbers)
        assert frame.image.mode == "RGB"
        numbers.append(media.read_number(frame.image))


def only_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "choose_decoder", lambda info, device=None: "pyav")


def only_decord(monkeypatch: pytest.MonkeyPatch) -> None:
    if not DECORD_IS_HERE:
        pytest.skip("decord is not installed")
    monkeypatch.setattr(video, "choose_decoder", lambda info, device=None: "decord")


def only_torchcodec(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, but on the CPU; PyAV may not step in."""
    torchcodec_first(monkeypatch)
    monkeypatch.setattr(video, "pyav_samples", lambda *args: pytest.fail("torchcodec gave up"))


def torchcodec_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyAV goes on where torchcodec gives up."""
    if reason := decode_torchcodec.why_not("cpu"):
        pytest.skip(reason)
    monkeypatch.setattr(video, "choose_decoder", lambda info, device=None: "torchcodec")


def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    only_pyav(monkeypatch)
    monkeypatch.setattr(decode_pyav, "may_skip_packets", lambda info: False)


ONLY: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "chosen": lambda monkeypatch: None,
    "decord": only_decord,
    "in order": in_order,
    "torchcodec": only_torchcodec,
    "torchcodec gives up": torchcodec_first,
}
