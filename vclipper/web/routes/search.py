"""Searching: pictures to search by, moments, timelines."""

from __future__ import annotations

import hashlib
import time
from typing import Annotated

from fastapi import APIRouter, File, Query, Response, UploadFile

from searcher.rank import Moment
from vclipper.web import searching
from vclipper.web.curves import timeline_of
from vclipper.web.paging import page_of
from vclipper.web.pictures import jpeg
from vclipper.web.routes import Shared
from vclipper.web.schemas import (
    FoundMoment,
    ImageId,
    SearchRequest,
    SearchResponse,
    TimelineRequest,
    TimelineResponse,
    UploadedImage,
    VideoId,
)
from vclipper.web.videos import thumbnail_url, video_of

router = APIRouter(tags=["search"])


@router.post("/images", status_code=201)
def upload_image(service: Shared, file: Annotated[UploadFile, File()]) -> UploadedImage:
    """Send a picture to search by; name it ``image_id``, or ``image:ID`` within a query."""
    image_id, width, height = service.pictures.add(file.file.read())
    return UploadedImage(
        image_id=image_id, width=width, height=height, thumbnail_url=f"/api/v1/images/{image_id}/thumbnail"
    )


@router.get("/images/{image_id}/thumbnail", response_class=Response)
def image_thumbnail(
    service: Shared, image_id: ImageId, width: Annotated[int, Query(ge=16, le=1024)] = 320
) -> Response:
    """An uploaded picture, small."""
    return Response(jpeg(service.pictures.get(image_id), width), media_type="image/jpeg")


@router.post("/search")
def search(service: Shared, request: SearchRequest) -> SearchResponse:
    """The moments that answer a query, best first, one page of them."""
    started = time.monotonic()
    videos = service.videos()
    question = request.model_copy(update={"page": 1, "page_size": 1}).model_dump_json()
    key = (question, *service.library.versions)
    moments = service.answers.get(key, lambda: searching.search(service, request))
    moments = [moment for moment in moments if moment.video_id in videos]
    first = (request.page - 1) * request.page_size + 1
    shown, pages = page_of(moments, request.page, request.page_size)
    return SearchResponse(
        query_id=hashlib.blake2b(repr(key).encode(), digest_size=8).hexdigest(),
        total=len(moments),
        page=request.page,
        pages=pages,
        elapsed_ms=round(1000 * (time.monotonic() - started), 1),
        videos={str(m.video_id): video_of(videos[m.video_id]) for m in shown},
        moments=[_found(moment, rank) for rank, moment in enumerate(shown, first)],
    )


def _found(moment: Moment, rank: int) -> FoundMoment:
    middle = (moment.start_seconds + moment.end_seconds) / 2
    return FoundMoment(
        rank=rank,
        video_id=str(moment.video_id),
        start_seconds=moment.start_seconds,
        end_seconds=moment.end_seconds,
        score=moment.score,
        confidence=moment.confidence,
        similar=moment.similar,
        thumbnail_url=thumbnail_url(moment.video_id, middle),
    )


@router.post("/videos/{video_id}/timeline")
def timeline(
    service: Shared,
    video_id: VideoId,
    request: TimelineRequest,
    points: Annotated[int, Query(ge=2, le=100_000)] = 100_000,
) -> TimelineResponse:
    """One video under one query, whole: curves, cuts, windows; at most ``points`` values a curve."""
    row = service.video(video_id)
    return timeline_of(searching.timeline(service, row.video_id, request), points)
