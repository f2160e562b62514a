"""``vclip mcp``."""

from __future__ import annotations

import click

from vclipper.commands.options import device_option, library_option, needs


@click.command()
@device_option
@library_option
def mcp(device: str, library: str | None) -> None:
    """Search and export for assistants: an MCP server on stdin and stdout (docs/web.md)."""
    with needs("mcp", "mcp"):
        from vclipper.mcp_server import no_pictures, server_for
    from indexer.encoder import demand_devices
    from vclipper.library import Library, default_place

    demand_devices(device)
    place = default_place() if library is None else library
    server_for(Library(place, device, open_picture=no_pictures)).run("stdio")
