"""Which files a user means, and which content they hold."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from urllib.parse import unquote_to_bytes

from indexer.errors import InputError
from indexer.ignore import Ignores

VIDEO_SUFFIXES = frozenset(
    "." + suffix
    for suffix in re.findall(
        r"\w+",
        """
        3g2 3gp asf avi divx f4v flv gif h264 h265 hevc m1v m2t m2ts m2v m4v mjpeg mjpg mkv mov mp4 mpeg mpg
        mts mxf ogm ogv qt rm rmvb ts vob webm wmv y4m
        """,
    )
)

PathLike = str | os.PathLike[str]
Paths = PathLike | Sequence[PathLike]

#: Told of a folder that cannot be looked through, and why.
OnUnreadable = Callable[[Path, str], None]

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")
"""As of the web, one of its slashes gone where it went through :class:`pathlib.Path`; not a Windows drive."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Those of terminals, ends of lines, and what turns the direction of writing: a name would look like another."""
_WHOLE_FILE_BYTES = 16 << 20
_BLOCK_BYTES = 64 << 10
_BLOCKS = 256


def find_videos(
    paths: Sequence[str | os.PathLike[str]],
    exclude: Sequence[str] = (),
    on_unreadable: OnUnreadable = lambda folder, reason: None,
) -> list[Path]:
    """Absolute paths of the video files that ``paths`` mean, sorted, each file once.

    A folder stands for the video files below it (by suffix; hidden names are left out; links are
    followed, each folder entered once). A file stands for itself whatever its suffix. Anything else
    is read as a glob, ``**`` included. What :mod:`indexer.ignore` leaves out is left out, named or not.

    Args:
        paths: what the user named.
        exclude: patterns of what to leave out.
        on_unreadable: called with each folder that cannot be looked through; the others are.

    Raises:
        InputError: an empty path, an address, a path that does not exist or cannot be looked at, a glob that
            matches nothing, a pattern that is none.
    """
    ignores = Ignores(exclude)
    found: dict[tuple[int, int], Path] = {}
    walk = functools.partial(_walk, entered=set(), ignores=ignores, on_unreadable=on_unreadable)
    for path in paths:
        refuse_address(path)
        for file in sorted(_expand(Path(path).expanduser(), walk)):
            if not ignores.leaves_out(file):
                with contextlib.suppress(FileNotFoundError):  # it was deleted just now
                    found.setdefault(_identity(file), file)
    return sorted(found.values())


def several(paths: Paths) -> list[str]:
    """The paths, of which one may stand alone, as text."""
    one_or_more = [paths] if isinstance(paths, str | os.PathLike) else paths
    return [os.fspath(path) for path in one_or_more]


def refuse_empty(path: str | os.PathLike[str]) -> None:
    """Refuse the empty path, which the file system would take for the current folder.

    Raises:
        InputError: with what to do instead.
    """
    if not os.fspath(path):
        raise InputError("a path is empty", "Give a file or a folder; the current one is called .")


def refuse_address(path: str | os.PathLike[str]) -> None:
    """Refuse what is no path but an address on the web, or of a file; or nothing at all.

    Raises:
        InputError: with what to do instead.
    """
    refuse_empty(path)
    text = printable(path)
    if _ADDRESS.match(text) and not os.path.lexists(path):
        hint = "Give its path" if text.startswith("file:") else "Download it, and give the file"
        raise InputError(f"{text} is an address, not a path", hint)


def is_video_name(name: str) -> bool:
    """Whether a file in a folder is taken for a video: by its suffix, unless it is hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES


def _expand(path: Path, walk: Callable[[Path], Iterator[Path]]) -> Iterator[Path]:
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would also follow the user's links
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where it may not look
        yield from walk(path)
    elif _is_there(path):
        yield path
    else:
        yield from _glob(path, walk)


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        raise InputError(
            f"{printable(path)} cannot be looked at: {error.strerror}", "Nothing was indexed"
        ) from error
    return True


def _glob(path: Path, walk: Callable[[Path], Iterator[Path]]) -> Iterator[Path]:
    matches = glob.glob(str(path), recursive=True) if glob.has_magic(str(path)) else []  # noqa: PTH207
    if not matches:
        raise InputError(f"{printable(path)}: no such file or folder", "Check the path; nothing was indexed")
    for match in map(Path, matches):
        if os.path.isdir(match):  # noqa: PTH112 - as above
            yield from walk(match)
        elif match.suffix.lower() in VIDEO_SUFFIXES:
            yield match


def _walk(
    folder: Path, entered: set[tuple[int, int]], ignores: Ignores, on_unreadable: OnUnreadable
) -> Iterator[Path]:
    def tell(error: OSError) -> None:
        place = Path(error.filename)
        if not isinstance(error, FileNotFoundError) and not ignores.leaves_out_folder(place):
            on_unreadable(place, f"this folder cannot be looked through: {error.strerror}")

    for base, folders, files in os.walk(folder, onerror=tell, followlinks=True):
        if not os.access(base, os.X_OK):  # its names can be read, but nothing that they name
            if os.path.exists(base):  # noqa: PTH110 - else it was deleted just now
                tell(PermissionError(errno.EACCES, os.strerror(errno.EACCES), base))
            folders.clear()
            continue
        identity = _identity(Path(base))
        if identity in entered or ignores.leaves_out_folder(Path(base)):  # a link that leads back, or named twice
            folders.clear()
            continue
        entered.add(identity)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if is_video_name(name):
                yield Path(base, name)


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # a dangling link: reported when it is opened
        status = path.lstat()
    return status.st_dev, status.st_ino


def fingerprint(path: Path) -> str:
    """The content's name: 32 hex digits, whatever the file is called.

    BLAKE2b over the size and the bytes; of a file above 16 MiB, 256 evenly spaced blocks of 64 KiB with
    the first and the last among them, so that a film on a network drive costs 16 MiB, not 40 GB.

    Raises:
        OSError: the file cannot be read.
        InputError: not a regular file.
    """
    with open_regular(path) as file:
        return fingerprint_of(file)


def fingerprint_of(file: FileIO) -> str:
    """The content's name, as :func:`fingerprint`, of an open file."""
    digest = hashlib.blake2b(digest_size=16)
    size = os.fstat(file.fileno()).st_size
    digest.update(size.to_bytes(8, "little"))
    for offset, length in _blocks(size):
        file.seek(offset)
        digest.update(file.read(length))
    return digest.hexdigest()


def open_regular(path: Path) -> FileIO:
    """Open for reading without waiting: a FIFO would block until somebody writes.

    Raises:
        OSError: the file cannot be read.
        InputError: not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{printable(path)} is not a regular file")
    return FileIO(descriptor, "rb")


def _blocks(size: int) -> Iterable[tuple[int, int]]:
    if size <= _WHOLE_FILE_BYTES:
        return [(0, size)]
    step = (size - _BLOCK_BYTES) / (_BLOCKS - 1)
    return [(round(i * step), _BLOCK_BYTES) for i in range(_BLOCKS)]


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text that can be printed and written as UTF-8, whatever bytes its name holds."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def path_text(path: Path) -> str:
    """A path for programs: as it is, or as an address where its bytes are not UTF-8.

    So is one with a carriage return, which readers of text take for the end of a line.
    """
    text = str(path)
    return text if printable(path) == text and "\r" not in text else path.absolute().as_uri()


def path_of(text: str) -> Path:
    """What :func:`path_text` wrote, byte for byte."""
    place = text.removeprefix("file://")
    return Path(text if place == text else os.fsdecode(unquote_to_bytes(place)))


def one_line(text: str | os.PathLike[str]) -> str:
    """As :func:`printable`, with escapes for line breaks and what else controls how it is shown."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), printable(text))
