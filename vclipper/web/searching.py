"""A request as one call of ``Library``: the one way by which every query of the server goes."""

from __future__ import annotations

import glob
from typing import Any

from indexer.errors import InputError
from searcher.filters import VideoFilter, parse_date
from searcher.query import parse
from searcher.rank import Moment
from searcher.search import Timeline
from searcher.settings import SearchSettings
from vclipper.web.schemas import Filters, QueryRequest, SearchRequest
from vclipper.web.service import Service

#: What a page of results wants where the request names nothing else.
DEFAULTS: dict[str, Any] = {"top": 500, "videos": 50}
#: Above these a query may take minutes; whoever needs more has the command line.
MOST = {"top": 2_000, "videos": 500, "per_video": 2_000}
_MOST_TERMS = 16


def settings_of(given: dict[str, Any]) -> SearchSettings:
    """Search settings within the server's bounds.

    Raises:
        InputError: an unknown setting, or a value out of bounds.
    """
    if given.get("ranker_file") is not None:
        raise InputError("ranker_file cannot be set here", "The server reads no files that a request names")
    for name, most in MOST.items():
        value = given.get(name)
        if isinstance(value, (int, float)) and value > most:
            raise InputError(f"{name} is {value}", f"The server allows at most {most}")
    return SearchSettings.from_dict({**DEFAULTS, **given})


def search(service: Service, request: SearchRequest) -> list[Moment]:
    """All moments that answer a request, best first."""
    settings = settings_of(request.settings)
    return service.library.search(
        settings=settings, within=_filter_of(request.filters), **_query_of(service, request)
    )


def timeline(service: Service, video_id: int, request: QueryRequest) -> Timeline:
    """One video under a request's query."""
    settings = settings_of(request.settings)
    return service.library.timeline(video_id, settings=settings, **_query_of(service, request))


def _query_of(service: Service, request: QueryRequest) -> dict[str, Any]:
    if request.image_id is not None:
        return {"image": service.pictures.get(request.image_id)}
    if request.like is not None:
        return {"like": (int(service.video(request.like.video_id).video_id), request.like.seconds)}
    _bound_terms(request.text or "")
    return {"text": request.text}


def _bound_terms(text: str) -> None:
    """Each term is a run of the model."""
    if len(parse(text).terms) > _MOST_TERMS:
        raise InputError(f"the query has more than {_MOST_TERMS} terms", "Leave some out")


def _filter_of(filters: Filters) -> VideoFilter | None:
    if filters == Filters():
        return None
    return VideoFilter(
        within=None if filters.folder is None else _glob_of(filters.folder),
        min_seconds=filters.min_seconds,
        max_seconds=filters.max_seconds,
        after_unix=None if filters.after is None else parse_date(filters.after),
        before_unix=None if filters.before is None else parse_date(filters.before),
    )


def _glob_of(folder: str) -> str:
    """A folder as it is called, brackets and all, unless stars or question marks make it a glob."""
    return folder if {"*", "?"} & set(folder) else glob.escape(folder)
