"""``vclip mcp``: search and export for assistants, over the Model Context Protocol on stdin and stdout.

The tools are thin over :class:`vclipper.Library`; the SDK makes their schemas from the signatures and turns errors
of the family into tool errors that the assistant reads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from indexer.errors import InputError, VClipperError
from vclipper import SearchSettings, __version__
from vclipper.export import FORMATS, ExportMoment, ExportOptions, export
from vclipper.files import Files
from vclipper.footage import LibraryFootage
from vclipper.library import Library
from vclipper.output import moment_dict

if TYPE_CHECKING:
    from PIL.Image import Image

_INSTRUCTIONS = (
    "Finds moments in the user's own videos by what is seen in them. Search with a short description of the "
    "picture; a score of 0 is what queries get whose answer is not there. Times are seconds from the first frame."
)
_EXPORT = (
    "Write moments (objects with video_id, start_seconds, end_seconds, and query or note) as clips, timelines or "
    "lists into a folder of the user's choice; files that are there are never replaced. "
    f"Formats: {', '.join(FORMATS)}."
)
_MOST_MOMENTS = 100
P = ParamSpec("P")
Result = TypeVar("Result")


def server_for(library: Library) -> MCPServer[Any]:
    """The MCP server over one library; nothing is opened before a tool is called."""
    server: MCPServer[Any] = MCPServer("vclip", instructions=_INSTRUCTIONS, version=__version__)
    tools = _Tools(library)
    server.tool(title="Search")(_told_errors(tools.search))
    server.tool(title="Moments of one video")(_told_errors(tools.moments_of_video))
    server.tool(title="Library")(_told_errors(tools.library_info))
    server.tool(title="Export", description=_EXPORT)(_told_errors(tools.export_moments))
    return server


class _Tools:
    """What an assistant may call: names, signatures and docstrings are what it reads of them."""

    def __init__(self, library: Library) -> None:
        self._library, self._files = library, Files()

    def search(self, query: str, top: int = 10, folder: str = "") -> list[dict[str, Any]]:
        """Moments that show what the query says, best first: words, or "a dog" + "snow" - "man", or "a" then "b".

        folder: a folder or a glob over paths; only these videos are searched.
        """
        _demand_count(top)
        settings = SearchSettings(top=top, videos=max(10, top))
        found = self._library.search(query, settings=settings, within=folder or None)
        return [_told(moment_dict(moment, rank), moment.video_id) for rank, moment in enumerate(found, 1)]

    def moments_of_video(self, video_id: str, query: str, top: int = 10) -> list[dict[str, float]]:
        """All stretches of one video (its id from a search) that answer a query, best first."""
        _demand_count(top)
        if not video_id.isdecimal():
            raise InputError(f"{video_id!r} is no video id", "Take it from a search")
        windows = self._library.timeline(int(video_id), query).windows[:top]
        return [
            {
                "start_seconds": round(window.start_seconds, 3),
                "end_seconds": round(window.end_seconds, 3),
                "confidence": round(window.confidence, 4),
            }
            for window in windows
        ]

    def library_info(self) -> dict[str, Any]:
        """What the library holds: videos, hours, the model that made it."""
        info = self._library.info()
        return {
            "path": str(self._library.storage),
            "model": info.model,
            "videos": info.videos,
            "frames": info.frames,
            "video_seconds": round(info.video_seconds, 1),
            "seconds_between_frames": round(1 / info.fps, 3),
        }

    def export_moments(
        self,
        moments: list[dict[str, Any]],
        format: str,  # noqa: A002 - the word that users know
        folder: str,
        pad_seconds: float = 0.0,
    ) -> dict[str, Any]:
        if len(moments) > _MOST_MOMENTS:
            raise InputError(f"{len(moments)} moments are too many", f"Give at most {_MOST_MOMENTS}")
        chosen = [_chosen(self._library, moment) for moment in moments]
        options = ExportOptions(pad_seconds=pad_seconds, footage=LibraryFootage(self._library, self._files))
        done = export(chosen, format, Path(folder).expanduser(), options)
        return {
            "files": [str(file) for file in done.files],
            "notes": list(done.notes),
            "failed": list(done.failed),
        }


def _chosen(library: Library, moment: dict[str, Any]) -> ExportMoment:
    """A moment that an assistant names: of a video of the library, so that no other file is read."""
    try:
        video_id = int(moment["video_id"])
        times = float(moment["start_seconds"]), float(moment["end_seconds"])
    except (KeyError, ValueError, TypeError):
        raise InputError(
            "a moment lacks its video or times", "Give video_id, start_seconds, end_seconds as search does"
        ) from None
    video = library.corpus().videos.get(video_id)
    if video is None:
        raise InputError(f"no video of the library has the id {video_id}", "Take it from a search")
    return ExportMoment(
        video.readable_path(), *times, str(moment.get("query", "")), note=str(moment.get("note", ""))
    )


def _told(moment: dict[str, Any], video_id: int) -> dict[str, Any]:
    return {**moment, "video_id": str(video_id)}


def _demand_count(top: int) -> None:
    if not 1 <= top <= _MOST_MOMENTS:
        raise InputError(f"top is {top}", f"It must lie between 1 and {_MOST_MOMENTS}")


def no_pictures(name: str) -> Image:
    """For ``Library(open_picture=…)``: an assistant's query opens no files."""
    raise InputError(f"{name}: a query of an assistant opens no pictures", "Say in words what is to be seen")


def _told_errors(tool: Callable[P, Result]) -> Callable[P, Result]:
    """Known errors as tool errors, with what to do next."""

    @functools.wraps(tool)
    def told(*args: P.args, **kwargs: P.kwargs) -> Result:
        try:
            return tool(*args, **kwargs)
        except VClipperError as error:
            raise ToolError(str(error)) from None

    return told
