"""What somebody searches for, words or a picture or a moment, and the vectors that stand for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from indexer.discover import PathLike, printable
from indexer.errors import InputError
from indexer.vectors import Float32, unit
from searcher.query import Query, Term, embed, parse
from searcher.rank import Place
from searcher.search import Corpus
from vclipper.embedding import Embedding
from vclipper.images import open_image
from vclipper.naming import video_and_time, video_of

if TYPE_CHECKING:
    from PIL.Image import Image

Like = str | tuple[PathLike | int, float]
"""A moment of the library: ``VIDEO@TIME``, or a video (by id, path, or the end of it) and seconds."""
OpenPicture = Callable[[str], "Image"]
Later = Callable[[], Float32]
"""A vector when it is called for: (D,) float32."""


@dataclass(frozen=True)
class Question:
    """One thing to search for; see :meth:`vclipper.library.Library.search`.

    Attributes:
        query: the parsed text; None for an image or a moment.
        image, like: what stands in its place.
        templates: each text is put in place of ``{}`` in each of these.
    """

    query: Query | None
    image: object | None
    like: Like | None
    templates: Sequence[str]

    @classmethod
    def of(cls, text: str | None, image: object | None, like: Like | None, templates: Sequence[str]) -> Question:
        """Raises InputError unless there is exactly one thing, and a template, in each a place for its text."""
        if sum(given is not None for given in (text, image, like)) != 1:
            raise InputError(
                "give one thing to search for: a text or an image or a moment",
                "vclip search TEXT, or --image FILE, or --like VIDEO@TIME",
            )
        query = None if text is None else parse(text)
        return cls(query, image, like, with_places(templates))

    def start(self) -> Question:
        """Of A-then-B only A."""
        return self if self.query is None else replace(self, query=replace(self.query, second=()))

    def example(self, corpus: Corpus) -> Place | None:
        """The moment that ``like`` names, None where it names none.

        Raises:
            InputError: a video that the library does not know, a time that it does not have.
        """
        if self.like is None:
            return None
        name, seconds = video_and_time(self.like) if isinstance(self.like, str) else self.like
        video = video_of(name, corpus.videos)
        if not 0 <= seconds < video.duration_seconds:
            raise InputError(
                f"{printable(video.path)} lasts {video.duration_seconds:.1f} s, so it has nothing at {seconds:g} s"
            )
        return video.video_id, seconds


def with_places(templates: Sequence[str]) -> Sequence[str]:
    """The templates, of which one may stand alone.

    Raises:
        InputError: there is none, or one without a place for the text.
    """
    some = [templates] if isinstance(templates, str) else templates
    if not some:
        raise InputError("there is no template", 'The query alone is the template "{}"')
    if any("{}" not in template for template in some):
        raise InputError("a template has no {}", 'The query goes there: --template "a photo of {}"')
    return some


class Asking:
    """Turns questions into vectors.

    Args:
        embedding: the library's model. open_picture: reads a picture that a query names.
    """

    def __init__(self, embedding: Embedding, open_picture: OpenPicture) -> None:
        self._embedding, self._open_picture = embedding, open_picture

    def vectors(self, question: Question, corpus: Corpus) -> list[Later]:
        """The question's vector, of A-then-B both; texts are known to the model from now on."""
        query = question.query
        if query is None:
            return [lambda: self._shown(question, corpus)]
        parts = [query.first, query.second] if query.second else [query.first]
        # Whatever may fail comes before texts are asked for: nobody would take them back.
        pictures = self._pictures(term for part in parts for term in part)
        return [self._sum(part, question.templates, pictures) for part in parts]

    def of_terms(self, terms: tuple[Term, ...], templates: Sequence[str]) -> Float32:
        """A sum's unit vector, (D,) float32."""
        return self._sum(terms, with_places(templates), self._pictures(terms))()

    def _pictures(self, terms: Iterable[Term]) -> dict[Term, Image]:
        return {term: self._open_picture(term.value) for term in terms if term.is_picture}

    def _sum(self, terms: tuple[Term, ...], templates: Sequence[str], pictures: Mapping[Term, Image]) -> Later:
        vectors = {term: self._of_term(term, templates, pictures) for term in terms}
        return lambda: embed(terms, lambda term: vectors[term]())

    def _of_term(self, term: Term, templates: Sequence[str], pictures: Mapping[Term, Image]) -> Later:
        if term.is_picture:
            return lambda: self._of_picture(pictures[term])
        wait = self._embedding.texts([template.replace("{}", term.value) for template in templates])
        return lambda: unit(wait().mean(axis=0))

    def _of_picture(self, picture: Image) -> Float32:
        vector: Float32 = self._embedding.pictures([picture])[0]
        return vector

    def _shown(self, question: Question, corpus: Corpus) -> Float32:
        """The vector of an image query, or of the frame that a video of the library shows at a time."""
        example = question.example(corpus)
        if example is None:
            return self._of_picture(open_image(question.image))
        video_id, seconds = example
        frame = min(int(seconds / corpus.period_seconds), corpus.videos[video_id].frames - 1)
        vector: Float32 = corpus.index.vectors(video_id)[frame]
        return vector
