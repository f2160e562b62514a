"""``vclip mcp`` through the SDK's own client, over stdio."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client

from tests.fakes import make_film, open_library

ROOT = Path(__file__).parent.parent
SERVER = """
import sys
from tests.fakes import load_fake
from vclipper.library import Library
from vclipper.mcp_server import no_pictures, server_for

server_for(Library(sys.argv[1], "cpu", load_fake, open_picture=no_pictures)).run("stdio")
"""


async def must_not_export_another_file(session, folder: Path, moments: list) -> None:
    """Other content, then a link to it, where an indexed video was."""
    path, secret = folder / "films" / "a.mp4", make_film(folder / "secret.mp4", [("lime", 10)])
    for number in range(2):
        path.unlink()
        path.symlink_to(secret) if number else path.write_bytes(secret.read_bytes())
        wanted = {"moments": moments, "format": "clips", "folder": str(folder / "clips")}
        refused = await session.call_tool("export_moments", wanted)
        assert refused.is_error and "has changed" in refused.content[0].text
        assert not list((folder / "clips").glob("*"))


@pytest.mark.parametrize("scheme", ["", "s3"], ids=["folder", "bucket"])
def test_an_assistant_searches_looks_and_exports(tmp_path, scheme, request):
    where = request.getfixturevalue("address_on")(scheme) if scheme else str(tmp_path / "lib")
    make_film(tmp_path / "films" / "a.mp4", [("blue", 4), ("red", 6)])
    open_library(where).index([tmp_path / "films"])
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-c", SERVER, where],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    async def talk() -> None:
        async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
            await session.initialize()
            names = {tool.name for tool in (await session.list_tools()).tools}
            assert names == {"search", "moments_of_video", "library_info", "export_moments"}
            info = (await session.call_tool("library_info", {})).structured_content
            assert info["videos"] == 1 and info["frames"] == 5  # 10 s at one frame every 2 s
            found = (await session.call_tool("search", {"query": "red"})).structured_content["result"]
            assert found[0]["path"].endswith("a.mp4") and found[0]["start_seconds"] == 4.0
            asked = {"video_id": found[0]["video_id"], "query": "red"}
            windows = (await session.call_tool("moments_of_video", asked)).structured_content["result"]
            assert windows[0]["start_seconds"] == 4.0
            wanted = {"moments": found[:1], "format": "csv", "folder": str(tmp_path / "out")}
            done = (await session.call_tool("export_moments", wanted)).structured_content
            assert Path(done["files"][0]).read_text().count("\n") == 2  # header and one moment
            await must_not_export_another_file(session, tmp_path, found[:1])
            refused = await session.call_tool("search", {"query": "/etc/passwd"})
            assert refused.is_error and "opens no pictures" in refused.content[0].text

    anyio.run(talk)
