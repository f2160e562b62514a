"""Scenes drawn at random, some of them kept out of training, and scenes that differ in one respect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from zlib import crc32

from vclipper.demo.backdrops import INDOORS, OUTDOORS, PATTERNS, WET
from vclipper.demo.captions import scene_facts
from vclipper.demo.pen import COLOURS
from vclipper.demo.render import PAIRS, PLACES
from vclipper.demo.scene import Backdrop, Rng, Scene, Thing, pick
from vclipper.demo.shapes import GLYPHS, SHAPES
from vclipper.demo.things import KINDS, PLAIN

HELD_OUT_ONE_IN = 10


def _two_colours(rng: Rng, avoid: Sequence[str]) -> tuple[str, str]:
    free = [c for c in COLOURS if c not in avoid]
    first, second = rng.choice(len(free), 2, replace=False)
    return free[int(first)], free[int(second)]


def _pattern(rng: Rng, avoid: Sequence[str], patterns: Sequence[str]) -> Backdrop:
    """Draw a pattern in colours that none of the things on it has; half of them are plain."""
    name = "plain" if "plain" in patterns and rng.random() < 0.5 else pick(rng, patterns)
    if name == "noise":
        return Backdrop("noise")
    first, second = _two_colours(rng, avoid)
    return Backdrop(name, first, "" if name == "plain" else second)


def _place(rng: Rng, name: str, times: Sequence[str] = ("day", "sunset", "night")) -> Backdrop:
    if name in INDOORS:
        return Backdrop(name)
    weather = pick(rng, ("rain", "snow")) if name in WET and rng.random() < 0.35 else ""
    return Backdrop(name, time=pick(rng, times), weather=weather)


def _shape_scene(rng: Rng) -> Scene:
    what, colour = pick(rng, tuple(SHAPES)), pick(rng, tuple(COLOURS))
    backdrop = _pattern(rng, (colour,), PATTERNS)
    if rng.random() < 0.3:
        return Scene((Thing(what, colour, count=int(rng.integers(2, 5))),), "centre", backdrop)
    size = pick(rng, ("small", "medium", "large"))
    layout = "centre" if size == "large" else pick(rng, tuple(PLACES))
    return Scene((Thing(what, colour, size),), layout, backdrop)


def _pair_scene(rng: Rng) -> Scene:
    layout = pick(rng, tuple(PAIRS))
    colours = _two_colours(rng, ())
    what = pick(rng, tuple(SHAPES))
    other = pick(rng, ("circle", "square") if layout == "inside" else tuple(SHAPES))
    return Scene((Thing(what, colours[0]), Thing(other, colours[1])), layout, _pattern(rng, colours, ("plain",)))


def _glyph_scene(rng: Rng) -> Scene:
    what, colour = pick(rng, GLYPHS), pick(rng, tuple(COLOURS))
    return Scene((Thing(what, colour, "large"),), "centre", _pattern(rng, (colour,), PLAIN))


def _world_scene(rng: Rng) -> Scene:
    if rng.random() < 0.08:
        return Scene((), "centre", _place(rng, pick(rng, OUTDOORS)))
    what = pick(rng, tuple(KINDS))
    kind = KINDS[what]
    colour = pick(rng, kind.colours)
    where = pick(rng, kind.backdrops)
    if where in PATTERNS:
        # A cactus has no colour to choose, but it is green.
        return Scene((Thing(what, colour),), "centre", _pattern(rng, (colour, "green"), (where,)))
    return Scene((Thing(what, colour),), "centre", _place(rng, where, kind.times))


_MAKERS: tuple[tuple[float, Callable[[Rng], Scene]], ...] = (
    (0.27, _shape_scene),
    (0.2, _pair_scene),
    (0.13, _glyph_scene),
    (0.4, _world_scene),
)


def random_scene(rng: Rng, held_out: bool | None = None) -> Scene:
    """Draw a scene; only among those kept out of training, or only among the others, where asked to."""
    while True:
        maker = _MAKERS[int(rng.choice(len(_MAKERS), p=[weight for weight, _ in _MAKERS]))][1]
        scene = maker(rng)
        if held_out is None or is_held_out(scene) == held_out:
            return scene


def is_held_out(scene: Scene) -> bool:
    """Whether this combination is kept out of training: one in ten, by a checksum of all its facts."""
    return crc32("|".join(sorted(scene_facts(scene))).encode()) % HELD_OUT_ONE_IN == 0


def vary_scene(scene: Scene, rng: Rng) -> Scene:
    """Return a scene that differs from this one in a single respect (in none where the draw repeats it)."""
    choices = [_recolour, _relocate, _rename, _rebackdrop]
    return choices[int(rng.integers(len(choices)))](scene, rng)


def _taken(scene: Scene) -> tuple[str, ...]:
    return (*(t.colour for t in scene.things), scene.backdrop.colour, scene.backdrop.colour2)


def _swap_thing(scene: Scene, index: int, thing: Thing) -> Scene:
    return replace(scene, things=(*scene.things[:index], thing, *scene.things[index + 1 :]))


def _recolour(scene: Scene, rng: Rng) -> Scene:
    if not scene.things or not scene.things[0].colour:
        return _rebackdrop(scene, rng)
    index = int(rng.integers(len(scene.things)))
    thing = scene.things[index]
    palette = KINDS[thing.what].colours if thing.what in KINDS else tuple(COLOURS)
    free = [c for c in palette if c not in _taken(scene)]
    return _swap_thing(scene, index, replace(thing, colour=pick(rng, free))) if free else scene


def _relocate(scene: Scene, rng: Rng) -> Scene:
    if len(scene.things) == 2:
        first, second = scene.things
        return replace(scene, things=(replace(first, colour=second.colour), replace(second, colour=first.colour)))
    if not scene.things or scene.things[0].what not in SHAPES:
        return _rebackdrop(scene, rng)
    thing = scene.things[0]
    if thing.count > 1:
        return replace(scene, things=(replace(thing, count=int(rng.integers(2, 5))),))
    if rng.random() < 0.4:
        size = pick(rng, ("small", "medium", "large"))
        return replace(scene, things=(replace(thing, size=size),), layout="centre")
    size = "medium" if thing.size == "large" else thing.size
    return replace(scene, things=(replace(thing, size=size),), layout=pick(rng, tuple(PLACES)))


def _rename(scene: Scene, rng: Rng) -> Scene:
    if not scene.things or scene.things[0].what in KINDS:
        return _rebackdrop(scene, rng)
    index = int(rng.integers(len(scene.things))) if scene.layout != "inside" else 0
    thing = scene.things[index]
    names = tuple(SHAPES) if thing.what in SHAPES else GLYPHS
    return _swap_thing(scene, index, replace(thing, what=pick(rng, names)))


def _rebackdrop(scene: Scene, rng: Rng) -> Scene:
    old = scene.backdrop
    if old.pattern in PATTERNS:
        patterns = PATTERNS if old.pattern == "noise" else (old.pattern,)
        avoid = (*(t.colour for t in scene.things), "green")
        return replace(scene, backdrop=_pattern(rng, avoid, patterns))
    times = KINDS[scene.things[0].what].times if scene.things else ("day", "sunset", "night")
    return replace(scene, backdrop=_place(rng, old.pattern, times))
