"""The error family as HTTP answers: ``{"error": {"kind", "message", "hint"}}``."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from indexer.errors import (
    InputError,
    LibraryDamagedError,
    LibraryError,
    LibraryLockedError,
    LibraryMismatchError,
    ModelError,
    VClipperError,
    VideoError,
)
from vclipper.files import AwayError

log = logging.getLogger(__name__)


class NotFoundError(InputError):
    """An id that the library, or the memory of uploads, does not know."""


class TooLargeError(InputError):
    """A body, picture or answer above its bound."""


class RefusedError(InputError):
    """A request that may not be answered, whoever sent it."""


class UnauthorisedError(InputError):
    """The token is missing or wrong."""


#: The first class that fits decides.
STATUS: tuple[tuple[type[VClipperError], int], ...] = (
    (NotFoundError, 404),
    (AwayError, 404),
    (TooLargeError, 413),
    (RefusedError, 403),
    (UnauthorisedError, 401),
    (InputError, 400),
    (VideoError, 422),
    (LibraryLockedError, 409),
    (LibraryMismatchError, 409),
    (LibraryDamagedError, 500),
    (LibraryError, 409),
    (ModelError, 503),
)


def status_of(error: VClipperError) -> int:
    """The HTTP status that says the same."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def error_json(kind: str, message: str, hint: str = "") -> dict[str, dict[str, str]]:
    """The one shape of every error."""
    return {"error": {"kind": kind, "message": message, "hint": hint}}


def answer(error: VClipperError) -> JSONResponse:
    """A known error as a response."""
    body = error_json(type(error).__name__, error.message, error.hint)
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, UnauthorisedError) else None
    return JSONResponse(body, status_of(error), headers)


def install(app: FastAPI) -> None:
    """Map every error of the family, of the framework and of surprise."""
    app.add_exception_handler(VClipperError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _of_the_framework)
    app.add_exception_handler(Exception, _surprise)


def _known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, VClipperError)  # noqa: S101 - registered for it
    return answer(error)


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    message = f"{where}: {first['msg']}" if where else str(first["msg"])
    return JSONResponse(error_json("InputError", message, "See /api/v1/docs"), 422)


def _of_the_framework(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    kind = {404: "NotFoundError"}.get(error.status_code, "InputError")
    body = error_json(kind, f"{request.url.path}: {error.detail}", "See /api/v1/docs")
    return JSONResponse(body, error.status_code, dict(error.headers or {}))


def _surprise(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    return JSONResponse(
        error_json(type(error).__name__, "something unexpected happened; see the server's log"), 500
    )
