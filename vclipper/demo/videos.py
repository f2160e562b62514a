"""A few short films of drawn scenes, with what is to be seen where: the demo's videos.

Every scene appears once in the whole collection, so each query has one true moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import av
import numpy as np
from numpy.typing import NDArray

from vclipper.demo.render import Jitter, draw_scene, random_jitter
from vclipper.demo.scene import Backdrop, Rng, Scene, Thing

WIDTH, HEIGHT = 320, 240
FRAME_RATES = (25, 24, 30)
FILMS = 6
SCENES_PER_FILM = 6
# Scenes begin and end on multiples of this, so that frames taken at such times never fall between two.
BEAT_SECONDS = 2
FILM_BEATS = range(30, 37)
SCENE_BEATS = (4, 10)
PICTURES_PER_SECOND = 3
# Each picture is drawn larger than a frame by this many pixels, and the frame wanders about in it.
MARGIN = 16


@dataclass(frozen=True)
class TrueMoment:
    """Where in which film the scene of a query is to be seen, from its first frame to past its last one."""

    path: Path
    start_seconds: float
    end_seconds: float
    query: str


def _one(what: str, colour: str, backdrop: Backdrop, size: str = "medium", count: int = 1) -> Scene:
    return Scene((Thing(what, colour, size, count),), "centre", backdrop)


def _in(place: str, time: str = "", weather: str = "") -> Backdrop:
    return Backdrop(place, time=time, weather=weather)


def _on(colour: str, pattern: str = "plain", colour2: str = "") -> Backdrop:
    return Backdrop(pattern, colour, colour2)


_BESIDE = Scene((Thing("square", "green"), Thing("triangle", "purple")), "left of", _on("white"))

# Scenes of one group look alike, so every film takes one scene of each.
GROUPS: tuple[dict[str, Scene], ...] = (
    {
        "a rainbow in a meadow": _one("rainbow", "", _in("meadow", "day")),
        "a yellow house in the rain": _one("house", "yellow", _in("meadow", "day", "rain")),
        "a pink tree in a meadow by day": _one("tree", "pink", _in("meadow", "day")),
        "a red flower on the grass": _one("flower", "red", _in("meadow", "day")),
        "a purple castle in front of mountains": _one("castle", "purple", _in("mountains", "day")),
        "the sun over the sea by day": _one("sun", "", _in("sea", "day")),
    },
    {
        "a white sailing boat on the sea at sunset": _one("boat", "white", _in("sea", "sunset")),
        "a red lighthouse at night": _one("lighthouse", "red", _in("sea", "night")),
        "a yellow bus in a city at night": _one("bus", "yellow", _in("city", "night")),
        "a green traffic light at night": _one("traffic light", "green", _in("road", "night")),
        "the moon in the mountains at night": _one("moon", "", _in("mountains", "night")),
        "a white windmill at sunset": _one("windmill", "white", _in("meadow", "sunset")),
    },
    {
        "a red rocket in space": _one("rocket", "red", _in("space")),
        "a pink planet among the stars": _one("planet", "pink", _in("space")),
        "an orange fish under water": _one("fish", "orange", _in("water")),
        "a purple jellyfish under water": _one("jellyfish", "purple", _in("water")),
        "a blue cup in a room": _one("cup", "blue", _in("room")),
        "a red chair in a room": _one("chair", "red", _in("room")),
    },
    {
        "an orange hot-air balloon in the sky by day": _one("hot-air balloon", "orange", _in("sky", "day")),
        "a blue plane in the sky at sunset": _one("plane", "blue", _in("sky", "sunset")),
        "a cactus in the desert": _one("cactus", "", _in("desert", "day")),
        "a pyramid in the desert at sunset": _one("pyramid", "", _in("desert", "sunset")),
        "a snowman in a snowy landscape": _one("snowman", "", _in("snowfield", "day")),
        "a red umbrella in a city by day in the rain": _one("umbrella", "red", _in("city", "day", "rain")),
    },
    {
        "a yellow clock on a purple background": _one("clock", "yellow", _on("purple")),
        "a yellow smiling face on a blue background": _one("smiling face", "yellow", _on("blue")),
        "an orange sad face on a checkerboard": _one("sad face", "orange", _on("white", "checks", "grey")),
        "an orange cat on a green background": _one("cat", "orange", _on("green")),
        "a purple butterfly on a yellow background": _one("butterfly", "purple", _on("yellow")),
        "a letter R on a grey background": _one("R", "black", _on("grey"), "large"),
    },
    {
        "a big red circle on a white background": _one("circle", "red", _on("white"), "large"),
        "three yellow stars on a black background": _one("star", "yellow", _on("black"), count=3),
        "a green square to the left of a purple triangle": _BESIDE,
        "a pink heart on a turquoise background": _one("heart", "pink", _on("turquoise"), "large"),
        "four blue diamonds on an orange background": _one("diamond", "blue", _on("orange"), count=4),
        "a white arrow on a red background": _one("arrow", "white", _on("red"), "large"),
    },
)
SCENES: dict[str, Scene] = {query: scene for group in GROUPS for query, scene in group.items()}


def make_videos(folder: Path, seed: int = 0) -> list[TrueMoment]:
    """Write the films into the folder (made where missing) and return all their moments, film by film.

    The films are H.264 in MP4, 320 × 240 pixels, of 24, 25 or 30 frames per second and 60 to 72 seconds long,
    with six scenes each. The seed decides which scene comes where, how long it lasts and how it moves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    moments = plan_moments(folder, seed)
    films = [moments[first : first + SCENES_PER_FILM] for first in range(0, len(moments), SCENES_PER_FILM)]
    rates = [FRAME_RATES[film % len(FRAME_RATES)] for film in range(FILMS)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(write_film, films, rates, [seed] * FILMS))
    return moments


def plan_moments(folder: Path, seed: int = 0) -> list[TrueMoment]:
    """Return the moments that `make_videos` makes, without writing a film."""
    rng = np.random.default_rng(seed)
    shuffled = [[list(group)[int(i)] for i in rng.permutation(len(group))] for group in GROUPS]
    moments: list[TrueMoment] = []
    for film, queries in enumerate(zip(*shuffled, strict=True)):
        order = rng.permutation(len(queries))
        path = folder / f"film-{film + 1}.mp4"
        moments += _schedule(path, [queries[int(i)] for i in order], rng)
    return moments


def query_picture(moment: TrueMoment, folder: Path, seed: int = 0) -> Path:
    """Draw the moment's scene anew, differently from every frame of the film, and return the PNG's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((seed, crc32(moment.query.encode())))
    path = folder / (moment.query.replace(" ", "-") + ".png")
    draw_scene(SCENES[moment.query], (WIDTH, HEIGHT), random_jitter(rng)).save(path)
    return path


def _schedule(path: Path, queries: list[str], rng: Rng) -> list[TrueMoment]:
    """Give the queries' scenes whole beats one after another, as many as a film may have in all."""
    beats = rng.integers(SCENE_BEATS[0], SCENE_BEATS[1] + 1, len(queries))
    while int(beats.sum()) not in FILM_BEATS:
        beats = rng.integers(SCENE_BEATS[0], SCENE_BEATS[1] + 1, len(queries))
    ends = np.cumsum(beats) * BEAT_SECONDS
    starts = ends - beats * BEAT_SECONDS
    return [
        TrueMoment(path, float(start), float(end), query)
        for start, end, query in zip(starts, ends, queries, strict=True)
    ]


def write_film(moments: list[TrueMoment], frame_rate: int, seed: int = 0) -> None:
    """Write the one film of these moments, which follow each other from 0 s on."""
    rng = np.random.default_rng((seed, crc32(moments[0].query.encode())))
    with av.open(str(moments[0].path), "w") as container:
        stream = container.add_stream("libx264", rate=frame_rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        # One thread each, as all films are written at once, and so that the bytes repeat.
        stream.options = {"preset": "ultrafast", "crf": "26", "bf": "2", "threads": "1"}
        for moment in moments:
            seconds = moment.end_seconds - moment.start_seconds
            for pixels in _frames(SCENES[moment.query], seconds, frame_rate, rng):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _frames(scene: Scene, seconds: float, frame_rate: int, rng: Rng) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a scene, (height, width, 3) uint8: things drift, the camera wanders a little."""
    jitter = Jitter(scale=float(rng.uniform(0.92, 1.08)), seed=int(rng.integers(2**31)))
    turn, phase = float(rng.uniform(0.3, 0.6)), float(rng.uniform(0, 2 * math.pi))
    hold = frame_rate // PICTURES_PER_SECOND
    picture = np.empty(0, np.uint8)
    for number in range(round(seconds * frame_rate)):
        angle = phase + turn * number / frame_rate
        if number % hold == 0:
            moved = replace(jitter, dx=0.035 * math.cos(angle), dy=0.025 * math.sin(1.7 * angle), instant=number)
            picture = np.asarray(draw_scene(scene, (WIDTH + MARGIN, HEIGHT + MARGIN), moved))
        x = round(MARGIN / 2 * (1 + math.sin(0.8 * angle)))
        y = round(MARGIN / 2 * (1 + math.cos(0.9 * angle)))
        yield np.ascontiguousarray(picture[y : y + HEIGHT, x : x + WIDTH])
