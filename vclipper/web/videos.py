"""Videos as the API shows them."""

from __future__ import annotations

from pathlib import Path

from indexer.catalogue import VideoRow
from indexer.discover import printable
from vclipper.files import is_online
from vclipper.web.schemas import Video


def video_of(row: VideoRow) -> Video:
    """One row of the table, and whether its file is there."""
    return Video(
        video_id=str(row.video_id),
        name=printable(Path(row.path.name)),
        folder=printable(row.path.parent),
        path=printable(row.path),
        duration_seconds=row.duration_seconds,
        width=row.width,
        height=row.height,
        frame_rate=row.frame_rate,
        codec=row.codec,
        recorded_unix=row.recorded_unix,
        online=is_online(row),
        partial=not row.complete,
    )


def thumbnail_url(video_id: int, seconds: float) -> str:
    """Where the picture of a video at a time is served."""
    return f"/api/v1/videos/{video_id}/thumbnail?seconds={seconds:.2f}"


def lies_below(row: VideoRow, folder: str) -> bool:
    """Whether one of the video's paths lies below ``folder``; every one does below ''."""
    below = folder.rstrip("/") + "/"
    return not folder or any(printable(path).startswith(below) for path in row.paths)
