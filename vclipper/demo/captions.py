"""Scenes in words: the facts that a caption may state, and captions that state some of them."""

from __future__ import annotations

from dataclasses import dataclass

from vclipper.demo.scene import Backdrop, Rng, Scene, Thing, pick
from vclipper.demo.shapes import GLYPHS, SHAPES


@dataclass(frozen=True)
class Caption:
    """A text and the facts it states; it is true of every scene whose facts include them all."""

    text: str
    facts: frozenset[str]

    def describes(self, scene: Scene) -> bool:
        """Whether everything the caption states holds in the scene."""
        return self.facts <= scene_facts(scene)


def scene_facts(scene: Scene) -> frozenset[str]:
    """Return all that a caption may state about the scene, one string per statement."""
    facts: set[str] = set()
    for thing in scene.things:
        facts |= _thing_facts(thing)
    facts |= _layout_facts(scene)
    return frozenset(facts | _backdrop_facts(scene.backdrop))


def _thing_facts(thing: Thing) -> set[str]:
    facts = {f"{thing.count} {thing.what}", f"{thing.count} {thing.colour} {thing.what}"}
    if thing.what in SHAPES and thing.size != "medium":
        facts.add(f"{thing.size} {thing.what}")
    return facts


def _layout_facts(scene: Scene) -> set[str]:
    if len(scene.things) == 2:
        first, second = scene.things
        return {f"{first.colour} {first.what} {scene.layout} {second.colour} {second.what}"}
    if len(scene.things) == 1 and scene.things[0].what in SHAPES and scene.things[0].count == 1:
        return {f"at {scene.layout}"}
    return set()


def _backdrop_facts(backdrop: Backdrop) -> set[str]:
    colours = (backdrop.colour, backdrop.colour2)
    # Stripes, checks and dots of two colours read the same either way; a gradient does not.
    shown = " ".join(sorted(colours) if backdrop.pattern in ("stripes", "checks") else colours)
    facts = {f"on {backdrop.pattern}", f"on {backdrop.pattern} {shown}"}
    facts |= {f"time {backdrop.time}"} if backdrop.time else set()
    return facts | ({f"weather {backdrop.weather}"} if backdrop.weather else set())


_NUMBERS = {2: "two", 3: "three", 4: "four"}
_SIZES = {"small": ("small", "little", "tiny"), "large": ("big", "large", "huge")}
_NAMES: dict[str, tuple[str, ...]] = {
    "car": ("car", "car", "automobile"),
    "boat": ("boat", "sailing boat", "sailboat", "ship"),
    "plane": ("plane", "airplane", "aeroplane"),
    "bicycle": ("bicycle", "bike"),
    "hot-air balloon": ("hot-air balloon", "balloon"),
    "smiling face": ("smiling face", "happy face", "smiley"),
    "sad face": ("sad face", "unhappy face"),
    "cat": ("cat", "cat's face"),
    "cup": ("cup", "mug", "cup of coffee"),
    "cross": ("cross", "plus sign"),
    "lightning bolt": ("lightning bolt", "flash of lightning"),
    "crescent": ("crescent", "crescent shape"),
    "circle": ("circle", "disc"),
    "tree": ("tree",),
    "house": ("house", "house", "cottage"),
}
_TIMES = {
    "day": ("by day", "in daylight", "during the day"),
    "sunset": ("at sunset", "in the evening", "at dusk"),
    "night": ("at night", "by night", "in the dark"),
}
_WEATHERS = {
    "rain": ("in the rain", "while it rains", "in rainy weather"),
    "snow": ("while it snows", "with snow falling", "in a snowfall"),
}
_LAYOUTS = {
    "centre": ("in the middle", "in the centre", "in the center"),
    "left": ("on the left", "on the left side", "at the left"),
    "right": ("on the right", "on the right side", "at the right"),
    "top": ("at the top", "up at the top", "in the upper part"),
    "bottom": ("at the bottom", "down at the bottom", "in the lower part"),
}
_RELATIONS = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
    "inside": ("inside", "in", "within"),
    "around": ("around",),
}
_MIRRORED = {"left of": "right of", "above": "below", "inside": "around"}
_ON: dict[str, tuple[str, ...]] = {
    "plain": ("on a {a} background", "on {a}", "on a plain {a} background"),
    "gradient": ("on a background fading from {a} to {b}", "on a gradient from {a} to {b}"),
    "stripes": ("on {a} and {b} stripes", "on a striped {a} and {b} background", "on {b} and {a} stripes"),
    "checks": (
        "on a {a} and {b} checkerboard",
        "on {b} and {a} checks",
        "on a checkered {a} and {b} background",
    ),
    "dots": ("on a {a} background with {b} dots", "on {a} with {b} dots"),
    "noise": ("on grey static", "on a noisy background", "on television noise"),
    "meadow": ("in a meadow", "on the grass", "in a field"),
    "road": ("on a road", "on the street"),
    "sea": ("on the sea", "at sea", "by the sea", "over the sea"),
    "desert": ("in the desert", "in a sandy desert"),
    "mountains": ("in the mountains", "in front of mountains"),
    "city": ("in a city", "in the city", "in front of skyscrapers"),
    "snowfield": ("on a snowfield", "in a snowy landscape", "on snowy ground"),
    "sky": ("in the sky", "in the air"),
    "space": ("in space", "among the stars", "in outer space"),
    "water": ("under water", "in the water", "underwater"),
    "room": ("in a room", "indoors"),
}
_ON_PARTLY: dict[str, tuple[str, ...]] = {
    "gradient": ("on a gradient",),
    "stripes": ("on stripes", "on a striped background"),
    "checks": ("on a checkerboard",),
    "dots": ("on a background with dots",),
}
_EMPTY: dict[str, tuple[str, ...]] = {
    "meadow": ("a meadow", "an empty meadow", "a field of grass"),
    "road": ("a road", "an empty road"),
    "sea": ("the sea", "the open sea", "the ocean"),
    "desert": ("a desert", "an empty desert"),
    "mountains": ("mountains", "snowy mountains"),
    "city": ("a city", "a city skyline", "skyscrapers"),
    "snowfield": ("a snowfield", "a snowy landscape"),
    "sky": ("the sky", "a cloudy sky"),
}
_LEADS = ("", "", "", "a picture of ", "a photo of ", "an image of ")


def _article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _noun(thing: Thing, rng: Rng) -> str:
    if thing.what in GLYPHS:
        return f"digit {thing.what}" if thing.what.isdigit() else f"letter {thing.what}"
    return pick(rng, _NAMES.get(thing.what, (thing.what,)))


def _plural(noun: str) -> str:
    head, of, tail = noun.partition(" of ")
    return head + ("es" if head.endswith(("s", "x")) else "s") + of + tail


def _thing_words(thing: Thing, rng: Rng, keep: float) -> tuple[str, set[str]]:
    """Return words for the thing and the facts they state, each detail kept with this probability."""
    noun, facts = _noun(thing, rng), {f"{thing.count} {thing.what}"}
    if thing.colour and rng.random() < max(keep, 0.8):
        noun = f"{_spelled(thing.colour, rng)} {noun}"
        facts.add(f"{thing.count} {thing.colour} {thing.what}")
    if thing.what in SHAPES and thing.size in _SIZES and rng.random() < keep:
        noun = f"{pick(rng, _SIZES[thing.size])} {noun}"
        facts.add(f"{thing.size} {thing.what}")
    if thing.count > 1:
        return f"{_NUMBERS[thing.count]} {_plural(noun)}", facts
    if thing.what in ("sun", "moon"):
        return f"the {noun}", facts
    return _article(noun), facts


def _spelled(colour: str, rng: Rng) -> str:
    return "gray" if colour == "grey" and rng.random() < 0.3 else colour


def _pair_words(scene: Scene, rng: Rng, keep: float) -> tuple[str, set[str]]:
    (first, facts), (second, more) = (_thing_words(thing, rng, 1.0) for thing in scene.things)
    if rng.random() < max(keep, 0.8):
        facts = facts | more | _layout_facts(scene)
        if rng.random() < 0.5:
            relation = _RELATIONS[_MIRRORED[scene.layout]]
            return f"{second} {pick(rng, relation)} {first}", facts
        return f"{first} {pick(rng, _RELATIONS[scene.layout])} {second}", facts
    return f"{first} and {second}", facts | more


def _backdrop_words(backdrop: Backdrop, rng: Rng, keep: float) -> tuple[str, set[str]]:
    partly = _ON_PARTLY.get(backdrop.pattern)
    if partly and rng.random() > max(keep, 0.75):
        return pick(rng, partly), {f"on {backdrop.pattern}"}
    words = pick(rng, _ON[backdrop.pattern])
    words = words.format(a=_spelled(backdrop.colour, rng), b=_spelled(backdrop.colour2, rng))
    words = words.replace("a orange", "an orange")
    return words, {f for f in _backdrop_facts(backdrop) if f.startswith("on ")}


def scene_caption(scene: Scene, rng: Rng, complete: bool = False) -> Caption:
    """Put the scene into words, one of several phrasings; all there is to say, or only a part of it."""
    keep = 1.0 if complete else 0.7
    parts: list[str] = []
    facts: set[str] = set()

    def say(words: str, stated: set[str]) -> None:
        parts.append(words)
        facts.update(stated)

    backdrop = scene.backdrop
    if not scene.things:
        say(pick(rng, _EMPTY[backdrop.pattern]), {f"on {backdrop.pattern}"})
    elif len(scene.things) == 2:
        say(*_pair_words(scene, rng, keep))
    else:
        say(*_thing_words(scene.things[0], rng, keep))
        if (layout := _layout_facts(scene)) and rng.random() < keep:
            say(pick(rng, _LAYOUTS[scene.layout]), layout)
    if scene.things and rng.random() < keep:
        say(*_backdrop_words(backdrop, rng, keep))
    if backdrop.time and rng.random() < keep:
        say(pick(rng, _TIMES[backdrop.time]), {f"time {backdrop.time}"})
    if backdrop.weather and rng.random() < max(keep, 0.8):
        say(pick(rng, _WEATHERS[backdrop.weather]), {f"weather {backdrop.weather}"})
    return Caption(pick(rng, _LEADS) + " ".join(parts), frozenset(facts))
