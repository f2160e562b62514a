"""``vclip serve``."""

from __future__ import annotations

import os
import sys

import click

from vclipper.commands.options import backend_option, device_option, library_option, needs


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any free one.")
@click.option(
    "--token",
    envvar="VCLIP_TOKEN",
    default="",
    help="What requests must show [default: none on this machine; made where others can reach it; $VCLIP_TOKEN].",
)
@click.option(
    "--allow-host", "names", multiple=True, metavar="NAME", help="A host name by which others know this machine."
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@device_option
@backend_option
@library_option
def serve(
    host: str,
    port: int,
    token: str,
    names: tuple[str, ...],
    open_page: bool,
    device: str,
    backend: str,
    library: str | None,
) -> None:
    """A page for searching, looking and exporting, and a REST API, on this machine."""
    with needs("web", "fastapi", "uvicorn", "multipart"):
        from vclipper.web import server
    from indexer import manifest
    from indexer.encoder import demand_devices
    from indexer.storage import Folder, at
    from vclipper.library import default_place

    demand_devices(device)
    place = at(default_place() if library is None else library)
    is_new = isinstance(place, Folder) and not manifest.exists(place)
    access = server.access_for(host, token, names)
    listener = server.listen(host, port)
    address = server.address_of(listener, access.token)

    def on_ready() -> None:
        if is_new:
            hint = "Index videos on the page, or: vclip index FOLDER"
            click.echo(f"Note: there is no library at {place} yet. {hint}", err=True)
        click.echo(f"VClipper is at {address}\nCtrl-C ends it.")
        if open_page:
            click.launch(address)

    server.serve(place, listener, access, device, backend, on_ready)
    sys.stdout.flush()
    os._exit(0)  # not after the threads that import torch or answer what nobody waits for
