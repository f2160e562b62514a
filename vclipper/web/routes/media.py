"""Pictures and films: thumbnails, playback, bytes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from indexer.catalogue import VideoRow
from indexer.discover import printable
from indexer.errors import VideoError
from vclipper.web.ranges import file_response
from vclipper.web.routes import Shared
from vclipper.web.schemas import MAX_SECONDS, VideoId
from vclipper.web.service import Service
from vclipper.web.still_task import Still

router = APIRouter(tags=["media"])
bytes_router = APIRouter(tags=["media"])

_A_DAY = "private, max-age=86400"
_GRACE_SECONDS = 1.0
"""Players' clocks run a little past the end."""


@router.get("/videos/{video_id}/thumbnail", response_class=Response)
def thumbnail(
    service: Shared,
    video_id: VideoId,
    seconds: Annotated[float, Query(ge=0, le=MAX_SECONDS, allow_inf_nan=False)] = 0.0,
    width: Annotated[int, Query(ge=16, le=1280)] = 320,
) -> Response:
    """The picture that a video shows at a time, as a JPEG: one made at indexing, or else decoded now."""
    video = service.video(video_id)
    if seconds > video.duration_seconds + _GRACE_SECONDS:
        hint = f"It lasts {video.duration_seconds:.1f} s"
        raise VideoError(f"{printable(video.path)} has nothing at {seconds:.1f} s", hint)
    if kept := service.library.thumbnail(video.video_id, seconds):
        return Response(kept, media_type="image/jpeg", headers={"Cache-Control": _A_DAY})
    key = (video.video_id, round(seconds, 2), width)
    jpeg = service.stills.get(key, lambda: _decoded(service, video, seconds, width))
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": _A_DAY})


def _decoded(service: Service, video: VideoRow, seconds: float, width: int) -> bytes:
    last = max(0.0, video.duration_seconds - 0.05)
    with service.files.open(video) as file:
        jpeg: bytes = service.still_workers.run(Still(min(seconds, last), width), file.fileno())
    return jpeg


@bytes_router.head("/media/{video_id}", include_in_schema=False)
@bytes_router.get("/media/{video_id}", response_class=Response)
def original(service: Shared, request: Request, video_id: VideoId) -> Response:
    """A video's file as it is, whole or a byte range of it."""
    video = service.video(video_id)
    return file_response(request, service.files.open(video), "video/mp4", video.fingerprint)
