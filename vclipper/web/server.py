"""Listen on a port until Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import secrets
import socket
from collections.abc import Callable

import uvicorn

from indexer.backends import AUTO
from indexer.errors import InputError
from indexer.storage import Where
from vclipper.web.app import create_app
from vclipper.web.guard import Access, is_loopback
from vclipper.web.service import Service

#: Open answers get this long after Ctrl-C; a film being sent would keep the server for ever.
_GRACE_SECONDS = 1
_SHORTEST_TOKEN = 12


def access_for(host: str, token: str, names: tuple[str, ...] = ()) -> Access:
    """Who may ask a server that listens on ``host``: whoever has the token, on loopback everyone without one.

    Raises:
        InputError: the token is short enough to be guessed, or not plain ASCII.
    """
    if token and (len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise InputError("the token is too short or not plain ASCII", f"Use {_SHORTEST_TOKEN} characters or more")
    if not token and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    own = () if is_loopback(host) else (host.lower(), socket.gethostname().lower())
    return Access(token, frozenset([*own, *(name.lower() for name in names)]))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        InputError: the port is in use or may not be used, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise InputError(f"{host}:{port} cannot be listened on: {_reason(error)}", _next_step(error)) from None
    return listener


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program uses this port"
    return error.strerror or str(error)


def _next_step(error: OSError) -> str:
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return "Choose another: --port N (0 finds a free one)"
    return "Name an address of this machine: --host ADDRESS"


def address_of(listener: socket.socket, token: str) -> str:
    """What to open in a browser."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    place = f"[{host}]" if ":" in host else host
    return f"http://{place}:{port}/" + (f"?token={token}" if token else "")


def serve(
    where: Where,
    listener: socket.socket,
    access: Access,
    device: str = "auto",
    backend: str = AUTO,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Answer requests on ``listener`` until Ctrl-C; then what an index run has finished is in the library.

    Threads may still be importing torch or computing an answer that nobody waits for: the process is to end
    without them (``os._exit``).

    Args:
        where, device, backend: as in :meth:`vclipper.library.Library.open`.
        listener: see :func:`listen`.
        access: who may ask.
        on_ready: called once Ctrl-C is listened to.
    """
    service = Service(where, device, backend=backend)
    app = create_app(service, access, on_ready)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ws="none",
        proxy_headers=False,
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down and passes Ctrl-C on
        _Server(config, service).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does; a run stops while open answers have their grace. Answers cut short are no errors."""
        self._service.runs.cancel()
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)
