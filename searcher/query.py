"""The query language: words, pictures, weights, negatives, one thing then another.

::

    query := sum [ "then" sum [ "within" TIME ] ]
    sum   := [ "-" ] term { ( "+" | "-" ) term }
    term  := [ NUMBER ":" ] ( "quoted words" | picture file | words )

NUMBER is a plain one from 0.001 to 1000: ``2`` or ``0.5``. TIME is ``30``, ``30 s``, ``2 min`` or ``0:30``. A query without quotes and operators is just words. ``+`` and ``-`` stand between blanks; a picture is a
name with a picture's suffix or one that starts with ``./``, ``../``, ``/`` or ``~/``, or ``image:ID``, one that was
uploaded (:mod:`vclipper.web`). ``then`` and ``within`` count as such only after a quoted term or a picture.

>>> parse('"dog running" + ./ball.jpg - "snow"').first
(Term(value='dog running', is_picture=False, weight=1.0), Term(value='./ball.jpg', is_picture=True, weight=1.0), Term(value='snow', is_picture=False, weight=-1.0))
>>> parse('"a dog" then "a cat" within 30 s').within_seconds
30.0
"""  # noqa: E501 - a doctest's output stands on one line

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from indexer.errors import InputError
from indexer.vectors import Float32, unit

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".jp2")
_UPLOADED = re.compile(r"image:[0-9a-f]{16}")
_QUOTES = {'"': '"', "“": "”", "„": "“"}
_WEIGHT = re.compile(r"(\d+(?:\.\d+)?)\s*:(?!\d|//)\s*")
_WEIGHTS = (0.001, 1000.0)
#: What somebody means for a weight who writes a sign, a comma, an exponent or two of them.
_NO_WEIGHT = re.compile(r"[+-]?[\d.,]+(?:e[+-]?\d+)?\s*:(?!\d|//)", re.IGNORECASE)
_OPERATOR = re.compile(r"\s+([+-])(?=\s|$)")
_THEN = re.compile(r"\s+then(?=\s|$)", re.IGNORECASE)
_WITHIN = re.compile(r"\s+within(?=\s|$)\s*", re.IGNORECASE)
_TIME = re.compile(
    r"(?:(?P<clock>\d+(?::\d+){1,2}(?:\.\d+)?)"
    r"|(?P<count>\d+(?:\.\d+)?)(?:\s*(?:s|sec|seconds?|(?P<minutes>min|minutes?)))?)(?=\s|$)",
    re.IGNORECASE,
)
_WORDS_END = re.compile(r"\s+[+-](?=\s|$)")


@dataclass(frozen=True)
class Term:
    """One thing to look for, or with a negative weight to stay away from."""

    value: str
    is_picture: bool = False
    weight: float = 1.0


@dataclass(frozen=True)
class Query:
    """A parsed query: ``first``, and for A-then-B also ``second``.

    Attributes:
        within_seconds: B starts at most this long after A ends.
    """

    first: tuple[Term, ...]
    second: tuple[Term, ...] = ()
    within_seconds: float = 60.0

    @property
    def terms(self) -> tuple[Term, ...]:
        """All terms."""
        return self.first + self.second


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        InputError: what is wrong, with the character at which it is.
    """
    if not text.strip():
        raise InputError("the query is empty", 'Say what is to be seen: vclip search "a red car"')
    return _Reader(text).query()


def embed(terms: tuple[Term, ...], embed_term: Callable[[Term], Float32]) -> Float32:
    """The weighted sum of the terms' unit vectors, as a unit vector (D,).

    Raises:
        InputError: the terms cancel each other out.
    """
    total = np.stack([term.weight * embed_term(term) for term in terms]).sum(axis=0)
    if np.linalg.norm(total) < 1e-6 * sum(abs(term.weight) for term in terms):
        raise InputError("the terms of the query cancel each other out", "Change a weight")
    return unit(total)


class _Reader:
    """Recursive descent over the text; ``_at`` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        self._at = 0

    def query(self) -> Query:
        first = self._sum()
        if not self._take(_THEN):
            self._demand_end("expected +, - or then")
            return Query(first)
        second = self._sum()
        if not self._take(_WITHIN):
            self._demand_end("expected +, - or within")
            return Query(first, second)
        within_seconds = self._time()
        self._demand_end("the time of within ends the query")
        return Query(first, second, within_seconds)

    def _time(self) -> float:
        """In seconds."""
        time = self._take(_TIME)
        if time is None:
            raise self._error("a time is missing, as in: within 30 s, 2 min or 0:30", self._at)
        if time["clock"] is None:
            return float(time["count"]) * (60 if time["minutes"] else 1)
        seconds = 0.0
        for part in time["clock"].split(":"):
            seconds = 60 * seconds + float(part)
        return seconds

    def _sum(self) -> tuple[Term, ...]:
        start = self._at
        sign = -1.0 if self._take(re.compile(r"\s*-\s+")) else 1.0
        terms = [self._term(sign)]
        while operator := self._take(_OPERATOR):
            terms.append(self._term(1.0 if operator.group(1) == "+" else -1.0))
        if all(term.weight < 0 for term in terms):
            raise self._error("only things to avoid: add something to look for", start)
        return tuple(terms)

    def _term(self, sign: float) -> Term:
        self._take(re.compile(r"\s+"))
        factor = self._weight()
        if self._at >= len(self._text):
            raise self._error("words or a picture are missing", self._at)
        if re.match(r"[+-](?=\s|$)", self._text[self._at :]):
            raise self._error("words or a picture are missing", self._at)
        if self._text[self._at] in _QUOTES:
            return Term(self._quoted(), False, sign * factor)
        value = self._words()
        return Term(value, _is_picture(value), sign * factor)

    def _weight(self) -> float:
        """1 where none is written."""
        start, (low, high) = self._at, _WEIGHTS
        written = self._take(_WEIGHT)
        factor = float(written.group(1)) if written else 1.0
        if _NO_WEIGHT.match(self._text, self._at) or not low <= factor <= high:
            raise self._error(f'a weight is a plain number from {low:g} to {high:g}, as in 0.5:"snow"', start)
        return factor

    def _quoted(self) -> str:
        start = self._at
        end = self._text.find(_QUOTES[self._text[start]], start + 1)
        if end < 0:
            raise self._error("the quote that opens here is not closed", start)
        self._at = end + 1
        value = self._text[start + 1 : end].strip()
        if not value:
            raise self._error("nothing between the quotes", start)
        if self._at < len(self._text) and not self._text[self._at].isspace():
            raise self._error("a blank is missing after the quote", self._at)
        return value

    def _words(self) -> str:
        """Up to the next operator; a picture ends at ``then`` too."""
        rest = self._text[self._at :]
        stop = _WORDS_END.search(rest)
        words = rest[: stop.start()] if stop else rest
        then = _THEN.search(words)
        if then and _is_picture(words[: then.start()]):
            words = words[: then.start()]
        self._at += len(words)
        return words.strip()

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match

    def _demand_end(self, otherwise: str) -> None:
        self._take(re.compile(r"\s+"))
        if self._at < len(self._text):
            is_third = re.match(r"then(?=\s|$)", self._text[self._at :], re.IGNORECASE)
            raise self._error("only one thing can follow another" if is_third else otherwise, self._at)

    def _error(self, what: str, at: int) -> InputError:
        before = self._text[max(0, at - 20) : at]
        here = self._text[at : at + 20]
        return InputError(
            f"the query is not understood at character {at + 1}: {what}: …{before}▸{here}",
            'For example: "dog running" + ./ball.jpg - "snow"',
        )


def _is_picture(value: str) -> bool:
    lowered = value.lower()
    return (
        lowered.endswith(PICTURE_SUFFIXES)
        or value.startswith(("./", "../", "/", "~/"))
        or _UPLOADED.fullmatch(value) is not None
    )
