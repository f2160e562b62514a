"""The web application: routes under ``/api/v1``, media, the page; the guard around all of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from vclipper import __version__
from vclipper.web import errors
from vclipper.web.guard import Access, Guard
from vclipper.web.routes import documentation, exporting, library, media, playback, runs, search
from vclipper.web.schemas import ErrorResponse
from vclipper.web.service import Service

API = "/api/v1"
STATIC = Path(__file__).parent / "static"


def create_app(
    service: Service, access: Access | None = None, on_ready: Callable[[], None] = lambda: None
) -> FastAPI:
    """The application over one library.

    Args:
        service: the library and what belongs to it; closed when the server stops.
        access: who may ask; by default whoever reaches it through a loopback name.
        on_ready: called when the server has started.
    """
    app = FastAPI(
        title="VClipper",
        version=__version__,
        description="Find the moment in your videos. Requests that change something carry `X-VClip: 1`.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        responses={"4XX": {"model": ErrorResponse, "description": "What is wrong, and what to do next."}},
    )
    app.state.service, app.state.on_ready = service, on_ready
    errors.install(app)
    for subject in (library, search, media, playback, exporting, runs, documentation):
        app.include_router(subject.router, prefix=API)
    for subject in (media, playback):
        app.include_router(subject.bytes_router)
    app.add_api_route("/", _page, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(Guard, access=access or Access())
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.on_ready()
    yield
    app.state.service.close()


def _page() -> FileResponse:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})
