"""The routes, by subject; each handler is a few lines over :class:`vclipper.web.service.Service`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from vclipper.web.service import Service


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Shared = Annotated[Service, Depends(_service)]
"""The service, as a handler's argument."""
