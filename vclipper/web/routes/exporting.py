"""Export of moments: one file, or several in a ZIP archive."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from indexer.discover import printable
from vclipper.export import FORMATS, ExportMoment, ExportOptions, export, format_called
from vclipper.footage import LibraryFootage
from vclipper.web.routes import Shared
from vclipper.web.schemas import ExportedMoment, ExportRequest
from vclipper.web.service import Service

router = APIRouter(tags=["export"])

_LABELS = {"html": "Contact sheet", "m3u": "M3U", "mpv": "mpv", "ffmetadata": "FFmetadata", "vtt": "WebVTT"}
_WORDS = frozenset({"clips", "premiere"})


class ExportFormat(BaseModel):
    """One format; ``options`` are those that it understands."""

    name: str
    label: str
    suffix: str
    what: str
    options: Annotated[list[str], Field(default_factory=list)]


@router.get("/export/formats")
def formats() -> list[ExportFormat]:
    """Everything that moments can be exported as."""
    return [
        ExportFormat(
            name=one.name,
            label=_label(one.name),
            suffix=one.suffix,
            what=one.help,
            options=list(one.options),
        )
        for one in FORMATS.values()
    ]


@router.post("/export", response_class=FileResponse)
def export_moments(service: Shared, request: ExportRequest) -> FileResponse:
    """Moments of the library as a file; ``X-VClip-Failed`` counts those that could not be exported."""
    format_called(request.format)
    moments = [_moment(service, one) for one in request.moments]
    options = ExportOptions(
        exact=request.options.exact,
        pad_seconds=request.options.pad_seconds,
        title=request.name,
        footage=LibraryFootage(service.library, service.files),
    )
    folder = Path(tempfile.mkdtemp(prefix="vclip-export-"))
    try:
        done = export(moments, request.format, folder / "files", options)
        file = (
            done.files[0] if len(done.files) == 1 else _packed(done.files, folder / f"{_plain(request.name)}.zip")
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(
        file,
        headers={
            "Content-Disposition": _attachment(printable(Path(file.name))),
            "X-VClip-Failed": str(len(done.failed)),
        },
        background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
    )


def _moment(service: Service, one: ExportedMoment) -> ExportMoment:
    video = service.video(one.video_id)
    times = one.start_seconds, one.end_seconds
    return ExportMoment(video.readable_path(), *times, one.query, one.score, one.note)


def _packed(files: tuple[Path, ...], target: Path) -> Path:
    """Clips do not get smaller by compression."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file, printable(Path(file.name)))
    return target


def _plain(name: str) -> str:
    """A file name of letters, digits and dashes."""
    return re.sub(r"[^\w-]+", "-", name).strip("-") or "moments"


def _attachment(name: str) -> str:
    """The header for a file to save: its name in ASCII, which all programs know, then as it is (RFC 6266)."""
    plain = re.sub(r'[^ -~]|["\\%;]', "_", name)
    full = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{full}'


def _label(name: str) -> str:
    return _LABELS.get(name, name.capitalize() if name in _WORDS else name.upper())
