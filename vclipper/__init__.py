"""VClipper finds the moment in your videos.

>>> from vclipper import Library                            # doctest: +SKIP
>>> library = Library.open("~/film-library")                # doctest: +SKIP
>>> library.index(["~/videos"])                             # doctest: +SKIP
>>> library.search(text="man in yellow blanket")            # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Library", "Moment", "SearchSettings", "VClipperError", "VideoFilter", "__version__"]

if TYPE_CHECKING:
    from indexer.errors import VClipperError
    from searcher.filters import VideoFilter
    from searcher.rank import Moment
    from searcher.settings import SearchSettings
    from vclipper.library import Library

_HOME = {
    "Library": "vclipper.library",
    "Moment": "searcher.rank",
    "SearchSettings": "searcher.settings",
    "VClipperError": "indexer.errors",
    "VideoFilter": "searcher.filters",
}


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that ``vclip --help`` stays light."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'vclipper' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
