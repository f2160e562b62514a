"""Index runs: start one, follow it, stop it."""

from __future__ import annotations

from fastapi import APIRouter

from vclipper.web.routes import Shared
from vclipper.web.schemas import IndexRequest, IndexState

router = APIRouter(tags=["index"])


@router.post("/index", status_code=202)
def start(service: Shared, request: IndexRequest) -> IndexState:
    """Index folders, files or globs on the server's machine; searching goes on meanwhile."""
    return service.runs.start(request.paths)


@router.get("/index")
def state(service: Shared) -> IndexState:
    """The current run, or the last one."""
    return service.runs.state()


@router.post("/index/cancel")
def cancel(service: Shared) -> IndexState:
    """Stop the current run; what is finished stays in the library."""
    return service.runs.cancel()
