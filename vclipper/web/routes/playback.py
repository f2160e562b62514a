"""Playing: a video's file as it is, or through a proxy."""

from __future__ import annotations

from typing import Literal, cast

from fastapi import APIRouter, Request, Response

from indexer.catalogue import VideoRow
from vclipper.files import AwayError
from vclipper.web.errors import NotFoundError
from vclipper.web.proxies import ProxyState, Unplayable, told
from vclipper.web.ranges import file_response
from vclipper.web.routes import Shared
from vclipper.web.schemas import Playback, VideoId
from vclipper.web.service import Service

router = APIRouter(tags=["media"])
bytes_router = APIRouter(tags=["media"])

_State = Literal["ready", "making", "missing", "failed"]


@router.get("/videos/{video_id}/playback")
def playback(service: Shared, video_id: VideoId) -> Playback:
    """How a browser plays a video: its file, a proxy, or not at all while its drive is away."""
    video = service.video(video_id)
    state = service.proxies.state_of(video)
    if state.state in ("ready", "making"):
        return _proxy(video, told(state, "This browser may not play the file itself."))
    try:
        reason = _why_unplayable(service, video)
    except AwayError as error:
        return Playback(kind="offline", url="", state="missing", progress=0.0, reason=_sentence(error))
    if state.state == "failed" or reason:
        return _proxy(video, told(state, reason))
    return Playback(kind="original", url=f"/media/{video_id}", state="ready", progress=1.0, reason="")


@router.post("/videos/{video_id}/proxy", status_code=202)
def make_proxy(service: Shared, video_id: VideoId) -> Playback:
    """Start making a proxy; ask for the playback until its state is ``ready``."""
    video = service.video(video_id)
    return _proxy(video, service.proxies.make(video, lambda: service.files.open(video)))


@bytes_router.head("/media/{video_id}/proxy", include_in_schema=False)
@bytes_router.get("/media/{video_id}/proxy", response_class=Response)
def proxy(service: Shared, request: Request, video_id: VideoId) -> Response:
    """A video's proxy, whole or a byte range of it."""
    video = service.video(video_id)
    try:
        file = service.proxies.open(video)
    except OSError:
        raise NotFoundError("this video has no proxy", f"POST /api/v1/videos/{video_id}/proxy makes one") from None
    return file_response(request, file, "video/mp4", f"{video.fingerprint}-proxy")


def _why_unplayable(service: Service, video: VideoRow) -> str:
    with service.files.open(video) as file:
        return service.reasons.get(
            video.fingerprint, lambda: cast(str, service.still_workers.run(Unplayable(), file.fileno()))
        )


def _proxy(video: VideoRow, state: ProxyState) -> Playback:
    return Playback(
        kind="proxy",
        url=f"/media/{video.video_id}/proxy",
        state=cast(_State, state.state),
        progress=state.progress,
        reason=state.reason,
    )


def _sentence(error: AwayError) -> str:
    return f"{error.message[0].upper()}{error.message[1:]}."
