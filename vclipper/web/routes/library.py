"""What the library holds, and the settings of a search."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Query

from indexer.discover import printable
from searcher.settings import knobs
from vclipper.models import DEMO_MODEL
from vclipper.web import searching
from vclipper.web.paging import page_of
from vclipper.web.routes import Shared
from vclipper.web.schemas import LibraryFacts, Page, PageSize, Setting, Video, VideoId, VideoPage
from vclipper.web.videos import lies_below, video_of

router = APIRouter(tags=["library"])

_MAX_FOLDERS = 1_000


@router.get("/library")
def library(service: Shared) -> LibraryFacts:
    """What the library is and holds; also answers while there is none yet."""
    path = printable(str(service.library.storage))
    name = PurePath(path).name
    if not service.exists():
        return LibraryFacts(exists=False, name=name, path=path)
    info = service.library.info()
    folders = {printable(p.parent) for video in service.videos().values() for p in video.paths}
    return LibraryFacts(
        exists=True,
        name=name,
        path=path,
        model=info.model,
        demo_only=info.model == DEMO_MODEL,
        fps=info.fps,
        period_seconds=1 / info.fps,
        videos=info.videos,
        frames=info.frames,
        video_seconds=info.video_seconds,
        partial=info.partial,
        index=info.index,
        thumbnail_bytes=info.thumbnail_bytes,
        folders=sorted(folders)[:_MAX_FOLDERS],
    )


@router.get("/settings")
def settings() -> list[Setting]:
    """Every setting of a search, with its bounds and default on this server."""
    return [
        Setting(
            name=knob.name,
            symbol=knob.symbol,
            help=knob.help,
            kind=knob.kind.__name__,
            default=searching.DEFAULTS.get(knob.name, knob.default),
            low=knob.low,
            high=searching.MOST.get(knob.name, knob.high),
            choices=list(knob.choices),
        )
        for knob in knobs()
    ]


@router.get("/videos")
def videos(
    service: Shared,
    page: Page = 1,
    page_size: PageSize = 24,
    folder: Annotated[str, Query(max_length=4096)] = "",
) -> VideoPage:
    """The videos by path; ``folder`` keeps those below it."""
    rows = [video for video in service.videos().values() if lies_below(video, folder)]
    shown, pages = page_of(rows, page, page_size)
    return VideoPage(total=len(rows), page=page, pages=pages, videos=[video_of(row) for row in shown])


@router.get("/videos/{video_id}")
def video(service: Shared, video_id: VideoId) -> Video:
    """One video."""
    return video_of(service.video(video_id))
