"""CLIP's byte-pair tokeniser without torch: the same numbers as ``open_clip.tokenizer.SimpleTokenizer``.

The merges are read from OpenCLIP's own file, which is found without importing it. Radford et al. 2021;
byte-pair encoding after Sennrich et al. 2016.
"""

from __future__ import annotations

import functools
import gzip
import html
import importlib.util
import itertools
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_WORD_END = "</w>"
_START, _END = "<start_of_text>", "<end_of_text>"
_MERGES = 49152 - 256 - 2
_WORDS = rf"""{_START}|{_END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"""


class ClipTokenizer:
    """Texts → token numbers.

    Args:
        context_length: at most this many tokens a text, the first and the last of them markers.
        clean: what is done to a text first, one of :data:`CLEANERS`.
    """

    def __init__(self, context_length: int = 77, clean: str = "lower") -> None:
        import regex

        self._context_length = context_length
        self._clean = CLEANERS[clean]
        self._words = regex.compile(_WORDS, regex.IGNORECASE)
        self._bytes = _byte_letters()
        merges = _read_merges()
        letters = list(self._bytes.values())
        tokens = [*letters, *(letter + _WORD_END for letter in letters), *map("".join, merges), _START, _END]
        self._numbers = {token: number for number, token in enumerate(tokens)}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}

    def __call__(self, text: str) -> list[int]:
        """The numbers of one text between the two markers; cut where it is too long, never padded."""
        words = self._words.findall(self._clean(text))
        body = [number for word in words for number in self._encode(word)]
        return [self._numbers[_START], *body[: self._context_length - 2], self._numbers[_END]]

    def _encode(self, word: str) -> list[int]:
        if word in (_START, _END):
            return [self._numbers[word]]
        letters = [self._bytes[byte] for byte in word.encode("utf-8")]
        return [self._numbers[part] for part in self._merged([*letters[:-1], letters[-1] + _WORD_END])]

    def _merged(self, parts: list[str]) -> list[str]:
        """Join neighbours, the pair of the lowest rank first, wherever it stands."""
        while len(parts) > 1:
            best = min(itertools.pairwise(parts), key=self._rank)
            if best not in self._ranks:
                break
            parts = _join(parts, best)
        return parts

    def _rank(self, pair: tuple[str, str]) -> float:
        return self._ranks.get(pair, float("inf"))


def _join(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    place = 0
    while place < len(parts):
        if tuple(parts[place : place + 2]) == pair:
            joined.append("".join(pair))
            place += 2
        else:
            joined.append(parts[place])
            place += 1
    return joined


def _read_merges() -> list[tuple[str, ...]]:
    found = importlib.util.find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("open_clip is not installed")
    path = Path(found.submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    return [tuple(line.split()) for line in lines[1 : _MERGES + 1]]


@functools.cache
def _byte_letters() -> Mapping[int, str]:
    """A printable letter for each byte: printable bytes stand for themselves, the others for U+0100 and up."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{byte: chr(byte) for byte in printable}, **{byte: chr(256 + n) for n, byte in enumerate(others)}}


def _repaired(text: str) -> str:
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _canonical(text: str) -> str:
    without = text.replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    return _spaced(without.lower())


CLEANERS: Mapping[str, Callable[[str], str]] = {
    "lower": lambda text: _spaced(_repaired(text)).lower(),
    "whitespace": lambda text: _spaced(_repaired(text)),
    "canonicalize": lambda text: _canonical(_repaired(text)),
}
