"""An encoder whose right answers are known, and films it understands.

``ColourEncoder`` sees the mean colour of a picture's left and right half: (6,) plus a constant, so that
black is a direction too. Its texts are colour names. A film is a list of (colour, seconds).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageColor

from indexer.errors import ModelError
from indexer.frames import PictureSpec
from indexer.vectors import unit
from vclipper.library import Library

COLOURS = ("red", "lime", "blue", "yellow", "magenta", "cyan", "white", "black")
FRAME_RATE = 10


def colour_vector(picture: np.ndarray) -> np.ndarray:
    """(b, H, W, 3) uint8 → (b, 7) float32, not yet of length 1: halves' mean colours around grey, and 0.2."""
    middle = picture.shape[2] // 2
    halves = [picture[:, :, :middle].mean((1, 2)), picture[:, :, middle:].mean((1, 2))]
    colours = np.concatenate(halves, axis=1) / 127.5 - 1
    return np.concatenate([colours, np.full((len(picture), 1), 0.2)], axis=1).astype(np.float32)


class ColourEncoder:
    """An Encoder without a network."""

    dimension = 7
    picture = PictureSpec(height=8, width=8)
    device = "cpu"
    demo_only = False

    def __init__(self, name: str = "colours", fingerprint: str = "") -> None:
        self.name, self.fingerprint = name, fingerprint

    def encode_pictures(self, pictures: np.ndarray) -> np.ndarray:
        return unit(colour_vector(pictures))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        flat = [np.full((1, 2, 2, 3), ImageColor.getrgb(text), np.uint8) for text in texts]
        return unit(np.concatenate([colour_vector(picture) for picture in flat]))


def load_fake(name: str, device: str) -> ColourEncoder:
    """In place of ``vclipper.models.load_encoder``."""
    if name == "broken":
        raise ModelError("no model is called 'broken'")
    return ColourEncoder(name)


def open_library(path: Path) -> Library:
    """A library that uses the colour encoder."""
    return Library(path, "cpu", load_fake)


def make_film(path: Path, scenes: Sequence[tuple[str, float]], frame_rate: int = FRAME_RATE) -> Path:
    """Write scenes of one colour each, with a little noise, as H.264 in whatever container the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(scenes))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=frame_rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for colour, seconds in scenes:
            plain = np.full((48, 64, 3), ImageColor.getrgb(colour), np.int16)
            for _ in range(round(seconds * frame_rate)):
                noisy = np.clip(plain + rng.integers(-3, 4, plain.shape), 0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def make_films(folder: Path, colours: Sequence[str], last: str = "magenta") -> Path:
    """One film a colour: 4 s of it and a second more each time, then 6 s of ``last``."""
    for i, colour in enumerate(colours):
        make_film(folder / f"{i}.mp4", [(colour, 4 + i), (last, 6)])
    return folder


def make_three_films(folder: Path) -> Path:
    """Three films in three containers, one of them in a folder below; red is in two."""
    make_film(folder / "one.mp4", [("red", 6), ("lime", 8), ("blue", 6)])
    make_film(folder / "sub" / "two.mkv", [("yellow", 10), ("red", 4), ("black", 6)])
    make_film(folder / "three.mov", [("magenta", 4), ("white", 5)])
    return folder


def rows_of_a_plain_run(films: Path, folder: Path) -> list[tuple]:
    """What one machine makes of ``films``, its library in ``folder``."""
    library = open_library(folder / "lib")
    library.index([films])
    return rows_of(library)


def picture(path: Path, colour: str, mode: str = "RGB") -> Path:
    """A plain image file."""
    Image.new(mode, (32, 24), colour).save(path)
    return path


def rows_of(library: Library) -> list[tuple]:
    """Everything a library holds, in an order of its own: what two libraries are compared by."""
    store = library._current.store()
    store.refresh()
    videos = sorted(store.videos(), key=lambda v: str(v.path))
    return [
        (
            str(v.path),
            v.video_id,
            v.frames,
            round(v.duration_seconds, 6),
            frames.vectors.tobytes(),
            frames.next_similarity.tobytes(),
        )
        for v, frames in zip(videos, store.frames(videos), strict=True)
    ]
