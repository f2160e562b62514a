"""One error family: the tree in its docstring is the tree of the classes."""

from __future__ import annotations

import inspect
import pickle

from indexer import errors


def family() -> dict[str, type]:
    return {n: c for n, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, errors.VClipperError)}


def test_every_class_stands_in_the_drawing_below_its_parent():
    drawing = [line.replace("│", " ") for line in errors.__doc__.splitlines() if "Error" in line and "──" in line]
    indents = [(line.index("─"), line.split("─ ")[1].split()[0]) for line in drawing]
    parents = {}
    for place, (indent, name) in enumerate(indents):
        above = [n for i, n in indents[:place] if i < indent]
        parents[name] = above[-1] if above else "VClipperError"
    assert parents == {n: c.__bases__[0].__name__ for n, c in family().items() if n != "VClipperError"}


def test_message_and_hint_make_one_line_and_survive_pickling():
    for kind in family().values():
        error = pickle.loads(pickle.dumps(kind("the file x is gone", "Look for it")))
        assert type(error) is kind
        assert str(error) == "the file x is gone. Look for it"
        assert str(kind("only this")) == "only this"
