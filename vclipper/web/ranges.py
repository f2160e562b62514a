"""Byte ranges of an open file (RFC 9110, 13 and 14): 200, 206, 304 and 416; HEAD, If-Range, If-None-Match."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate
from io import FileIO

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

_CHUNK_BYTES = 256 << 10
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.IGNORECASE)


@dataclass(frozen=True)
class Span:
    """Bytes ``start`` to ``end``, the end not included."""

    start: int
    end: int


class UnsatisfiableError(ValueError):
    """The range lies behind the end of the file."""


def parse_range(header: str | None, size: int) -> Span | None:
    """The bytes asked for; None means all of them, as for what is no single byte range.

    Raises:
        UnsatisfiableError: none of the bytes exists.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", "") or max(map(len, match.groups())) > 19:
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise UnsatisfiableError
    return Span(start, end)


def file_response(request: Request, file: FileIO, media_type: str, etag: str) -> Response:
    """An open file, whole or in part, as the request's method and conditions want it; closes the file at the end.

    Args:
        request: with ``Range``, ``If-Range`` or ``If-None-Match``.
        file: positioned anywhere.
        media_type: what it is.
        etag: names the content.
    """
    status = os.fstat(file.fileno())
    headers = {
        "accept-ranges": "bytes",
        "etag": f'"{etag}"',
        "last-modified": formatdate(status.st_mtime, usegmt=True),
        "cache-control": "private, no-cache",
        "content-type": media_type,
    }
    span, code = _wanted(request.headers, headers, status.st_size)
    if code == 206:
        headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{status.st_size}"
    elif code == 416:
        headers["content-range"] = f"bytes */{status.st_size}"
    if code != 304:
        headers["content-length"] = str(span.end - span.start)
    if request.method == "HEAD" or code in (304, 416):
        file.close()
        return Response(None, code, headers)
    return _FileStream(file, span, code, headers)


def _wanted(asked: Headers, has: dict[str, str], size: int) -> tuple[Span, int]:
    """Which bytes, under which status."""
    if has["etag"] in [tag.strip() for tag in asked.get("if-none-match", "").split(",")]:
        return Span(0, 0), 304
    if asked.get("if-range", has["etag"]) not in (has["etag"], has["last-modified"]):
        return Span(0, size), 200
    try:
        span = parse_range(asked.get("range"), size)
    except UnsatisfiableError:
        return Span(0, 0), 416
    return (span, 206) if span else (Span(0, size), 200)


class _FileStream(StreamingResponse):
    """Part of a file, read as it is sent; stops when the client goes away."""

    def __init__(self, file: FileIO, span: Span, code: int, headers: dict[str, str]) -> None:
        super().__init__(self._chunks(file, span), code, headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, and close the file however it ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()

    async def _chunks(self, file: FileIO, span: Span) -> AsyncIterator[bytes]:
        at = span.start
        while at < span.end:
            count = min(_CHUNK_BYTES, span.end - at)
            chunk = await anyio.to_thread.run_sync(os.pread, file.fileno(), count, at)
            if not chunk:  # the connection breaks and the client sees that something is missing
                raise OSError("the file became shorter while it was sent")
            yield chunk
            at += len(chunk)
