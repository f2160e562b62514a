"""The query language: what it means, and that errors point at the place."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import searcher.query
from indexer.errors import InputError
from searcher.query import Query, Term, embed, parse


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("man in yellow blanket", [Term("man in yellow blanket")]),
        ("  a dog's bowl ", [Term("a dog's bowl")]),
        ("black-and-white film", [Term("black-and-white film")]),
        ("then he runs within reach", [Term("then he runs within reach")]),
        ('"a dog"', [Term("a dog")]),
        ("“a dog”", [Term("a dog")]),
        ("a dog + snow", [Term("a dog"), Term("snow")]),
        ("a dog - snow", [Term("a dog"), Term("snow", weight=-1)]),
        ('- "snow" + dog', [Term("snow", weight=-1), Term("dog")]),
        ('2:golden retriever + 0.5:"a ball"', [Term("golden retriever", weight=2), Term("a ball", weight=0.5)]),
        ("a dog - 3:snow", [Term("a dog"), Term("snow", weight=-3)]),
        ("16:9 television", [Term("16:9 television")]),
        ("-5:30 on a clock", [Term("-5:30 on a clock")]),
        ('"-0.5: snow"', [Term("-0.5: snow")]),
        ("ball.jpg", [Term("ball.jpg", True)]),
        ('"a dog" + ./my pictures/ball', [Term("a dog"), Term("./my pictures/ball", True)]),
        ("~/ball.PNG - 0.5:snow", [Term("~/ball.PNG", True), Term("snow", weight=-0.5)]),
        ('"paris - by night"', [Term("paris - by night")]),
    ],
)
def test_sums(text, first):
    assert parse(text) == Query(tuple(first))


def test_then():
    assert parse('"a dog" then "a cat" within 30 s') == Query((Term("a dog"),), (Term("a cat"),), 30.0)
    assert parse('"a dog" + ball.jpg then 2:"a cat" - snow') == Query(
        (Term("a dog"), Term("ball.jpg", True)), (Term("a cat", weight=2), Term("snow", weight=-1))
    )
    for seconds in ("2.5 seconds", "2.5 s", "2.5s", "2.5"):
        assert parse(f'"a dog" then "a cat" within {seconds}').within_seconds == 2.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1 second", 1),
        ("20 sec", 20),
        ("1 min", 60),
        ("1.5 minutes", 90),
        ("2min", 120),
        ("1 minute", 60),
        ("0:30", 30),
        ("1:02:03.5", 3723.5),  # 3600 + 2 · 60 + 3.5
    ],
)
def test_then_takes_every_way_to_write_a_time(text, seconds):
    assert parse(f'"a dog" then "a cat" within {text}').within_seconds == seconds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the query is empty"),
        ('"a dog', r"at character 1: the quote that opens here is not closed: …▸\"a dog"),
        ('""', "nothing between the quotes"),
        ('"a dog" +', "at character 10: words or a picture are missing"),
        ("dog + + cat", "words or a picture are missing"),
        ('- "snow"', "only things to avoid"),
        ('"a dog" "a cat"', r"at character 9: expected \+, - or then: …\"a dog\" ▸\"a cat\""),
        ('"a dog"then', "a blank is missing after the quote"),
        ('"a dog" then', "words or a picture are missing"),
        ("0:dog", "at character 1: a weight is a plain number from 0.001 to 1000"),
        ('"a" + -0.5:"snow"', "at character 7: a weight is a plain number"),
        ('1e3:"a"', "at character 1: a weight is a plain number"),
        ('0,5 : "a"', "a weight is a plain number"),
        ('2:.5:"a"', "at character 1: a weight is a plain number"),
        (f'"a" - {"9" * 44}:"b"', "at character 7: a weight is a plain number"),
        (f'{"9" * 400}:"a"', "a weight is a plain number"),
        ('0.0001:"a"', "a weight is a plain number"),
        ('"a" then "b" then "c"', r"at character 14: only one thing can follow another: ….* ▸then"),
        ('"a" then "b" within 30 s then "c"', r"at character 26: only one thing can follow another: ….* ▸then"),
        ('"a" then "b" within 30 s + "c"', r"at character 26: the time of within ends the query: ….* ▸\+"),
        ('"a" then "b" within 30 km', r"at character 24: the time of within ends the query: ….* ▸km"),
        ('"a" then "b" within 0:30 min', "at character 26: the time of within ends the query"),
        ('"a" then "b" within soon', "at character 21: a time is missing, as in: within 30 s, 2 min or 0:30"),
        ('"a" then "b" within', "at character 20: a time is missing"),
    ],
)
def test_errors_point_at_the_place(text, says):
    with pytest.raises(InputError, match=says):
        parse(text)


@given(st.text())
def test_any_text_is_a_query_or_a_clear_error(text):
    try:
        query = parse(text)
    except InputError as error:
        assert "\n" not in error.message or "\n" in text
    else:
        assert query.first
        assert all(term.value.strip() for term in query.terms)


words = st.from_regex(r"[a-z]+( [a-z]+){0,3}", fullmatch=True)


@given(st.lists(st.tuples(words, st.sampled_from([1.0, -1.0, 2.5, -0.5])), min_size=1))
def test_what_is_written_is_read(terms):
    terms = [(terms[0][0], abs(terms[0][1])), *terms[1:]]
    parts = [f'{"-" if w < 0 else "+"} {abs(w):g}:"{text}"' for text, w in terms]
    assert parse(" ".join(parts)[2:]) == Query(tuple(Term(text, False, w) for text, w in terms))


def test_embedding_is_the_weighted_sum():
    axes = {"x": [1, 0, 0], "y": [0, 1, 0], "z": [0, 0, 1]}
    got = embed(parse("2:x + y - 2:z").first, lambda term: np.array(axes[term.value], np.float32))
    # (2, 1, -2) has length 3
    assert got.tolist() == pytest.approx([2 / 3, 1 / 3, -2 / 3])
    with pytest.raises(InputError, match="cancel each other out"):
        embed(parse("x - x").first, lambda term: np.array(axes[term.value], np.float32))


def test_terms_cancel_each_other_out_by_their_share_of_the_weights():
    def embedded(query: str) -> list[float]:
        return embed(parse(query).first, lambda term: np.full(2, 0.5**0.5, np.float32)).tolist()

    assert embedded("1000:x - 999:x") == pytest.approx([0.5**0.5] * 2, abs=1e-4)
    with pytest.raises(InputError, match="cancel each other out"):  # 333.3 + 666.7 - 1000 is 3e-5 in float32
        embedded("333.3:x + 666.7:x - 1000:x")


def test_the_examples_in_the_docstring():
    assert doctest.testmod(searcher.query).failed == 0
