"""Who may ask: Host and Origin, the token, the size of bodies; and the headers of every answer.

A web page anywhere can make a browser send requests to 127.0.0.1. So a request is answered only if its ``Host`` is
this server's (against DNS rebinding), if no other site sent it (``Origin``, ``Sec-Fetch-Site``), and, where it
changes something, if it carries ``X-VClip: 1``, which no other site can add without asking.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from indexer.errors import VClipperError
from vclipper.web.errors import RefusedError, TooLargeError, UnauthorisedError, answer

MAX_JSON_BYTES = 1 << 20
MAX_UPLOAD_BYTES = 32 << 20
#: Routes that take a file; every other body is JSON.
UPLOAD_PATHS = frozenset({"/api/v1/images"})
COOKIE = "vclip-token"

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@dataclass(frozen=True)
class Access:
    """What the guard lets in.

    Attributes:
        token: demanded of every request; empty for none, which only a server on loopback may have.
        names: host names this server answers to beside ``localhost``. Addresses need no entry on a server that
            has a token: rebinding needs a name.
    """

    token: str = ""
    names: frozenset[str] = frozenset()

    def knows_host(self, host: str) -> bool:
        """Whether ``host``, without its port, means this server."""
        host = host.lower()
        return is_loopback(host) or host in self.names or (bool(self.token) and _address(host) is not None)

    def cookie(self) -> str:
        """What the cookie holds: made of the token, not the token."""
        return hmac.new(self.token.encode(), b"vclip cookie", hashlib.sha256).hexdigest()

    def accepts(self, headers: Headers) -> bool:
        """Whether the request shows the token, in its header or as the cookie."""
        if not self.token:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        by_header = scheme.lower() == "bearer" and _same(given.strip(), self.token)
        return _same(_cookie_of(headers), self.cookie()) or by_header


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _cookie_of(headers: Headers) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


class Guard:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with a bounded body; either way with the security headers."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, _with_headers(send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            self._check_site(scope, headers)
            if self._shows_token(scope):
                await _welcome(self._access.cookie(), send)
                return
            if not self._access.accepts(headers):
                raise UnauthorisedError("a token is needed", "Open the address that `vclip serve` printed")
            bounded = _bounded(scope, headers, receive)
        except VClipperError as error:
            await answer(error)(scope, receive, send)
        else:
            await self._app(scope, bounded, send)

    def _check_site(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._access.knows_host(_without_port(host)):
            raise RefusedError("the Host header names another server", "Name it: vclip serve --allow-host NAME")
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"{scope['scheme']}://{host}".lower():
            raise RefusedError("the request comes from another site")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _is_visit(scope, headers):
            raise RefusedError("the request comes from another site")
        if scope["method"] not in ("GET", "HEAD") and headers.get("x-vclip") != "1":
            raise RefusedError(
                "the header X-VClip: 1 is missing", "Send it with every request that changes something"
            )

    def _shows_token(self, scope: Scope) -> bool:
        """Whether this is ``/?token=…`` with the right token."""
        if not self._access.token or scope["path"] != "/" or scope["method"] != "GET":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return _same(given, self._access.token)


def _without_port(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_visit(scope: Scope, headers: Headers) -> bool:
    """A link on another site that leads to the page itself."""
    return scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"


async def _welcome(cookie: str, send: Send) -> None:
    """Set the cookie and lead to the page's address without the token in it."""
    headers = [
        (b"location", b"/"),
        (b"set-cookie", f"{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000".encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-cache" if "etag" in headers else "no-store")
        await send(message)

    return send_with_headers


def _bounded(scope: Scope, headers: Headers, receive: Receive) -> Receive:
    """The body, cut off with an error where it passes its bound, whatever Content-Length says."""
    limit = MAX_UPLOAD_BYTES if scope["path"] in UPLOAD_PATHS else MAX_JSON_BYTES
    too_large = TooLargeError(f"the body is larger than {limit >> 20} MiB")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > limit:
        raise too_large
    seen = 0

    async def receive_bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, too_large.message)  # the one kind that FastAPI's body parser lets through
        return message

    return receive_bounded
