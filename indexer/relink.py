"""A whole root has moved: its videos under their new paths, without looking at a frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from indexer.catalogue import VideoRow
from indexer.discover import fingerprint, printable
from indexer.errors import InputError


@dataclass
class Relinking:
    """What a relinking does, path by path.

    Attributes:
        relinked: (old path, new path).
        kept: (old path, why it stays as it is).
        rows: the videos whose paths change, with their new paths.
        was_checked: whether contents were compared; False where the new root is away.
    """

    relinked: list[tuple[Path, Path]] = field(default_factory=list)
    kept: list[tuple[Path, str]] = field(default_factory=list)
    rows: list[VideoRow] = field(default_factory=list)
    was_checked: bool = True


def plan_relinking(
    videos: Sequence[VideoRow],
    old: Path,
    new: Path,
    progress: Callable[[Path], None] = lambda path: None,
) -> Relinking:
    """Replace the root ``old`` by ``new`` in every path, where a file of that name has that content.

    While ``new`` is away (a drive that is not mounted) the names alone decide: a new path must not be another
    video's, and nothing may be at the old one, or a mistyped ``new`` would take all its videos offline.

    Args:
        videos: the library's live videos.
        old, new: absolute folders, or files.
        progress: called with each file before it is read.

    Raises:
        InputError: the library knows nothing below ``old``, both are the same, or ``new`` may not be looked at.
    """
    below = [(video, path) for video in videos for path in video.paths if path == old or old in path.parents]
    if not below or old == new:
        what = "is the same folder" if old == new else "is not in the library"
        raise InputError(f"{printable(old)} {what}", "See the paths: vclip list")
    plan = Relinking(was_checked=_is_there(new))
    owner = {path: video.fingerprint for video in videos for path in video.paths}
    paths = {video.video_id: list(video.paths) for video in videos}
    for video, path in below:
        target = new / path.relative_to(old)
        progress(target)
        if reason := _misfit(path, target, video, owner, plan.was_checked):
            plan.kept.append((path, reason))
        else:
            plan.relinked.append((path, target))
            paths[video.video_id][paths[video.video_id].index(path)] = target
    after = [dataclasses.replace(v, paths=tuple(dict.fromkeys(paths[v.video_id]))) for v in videos]
    plan.rows = [row for row, video in zip(after, videos, strict=True) if row.paths != video.paths]
    return plan


def _is_there(root: Path) -> bool:
    try:
        root.stat()
    except PermissionError as error:
        what = f"{printable(root)} cannot be looked at: {error.strerror}"
        raise InputError(what, "Nothing was relinked") from None
    except OSError:
        return False
    return True


def _misfit(path: Path, target: Path, video: VideoRow, owner: dict[Path, str], is_checked: bool) -> str:
    """Why ``target`` cannot take the place of this video's ``path``, or nothing."""
    if owner.get(target, video.fingerprint) != video.fingerprint:
        return f"{printable(target)} is known as another video"
    if not is_checked:
        return f"{printable(target)} is not there, and this file still is" if _is_there(path) else ""
    try:
        return "" if fingerprint(target) == video.fingerprint else f"{printable(target)} has other content"
    except OSError as error:
        return f"{printable(target)}: {error.strerror}"
    except InputError as error:
        return error.message
