"""Where an export goes: safe names, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.discover import printable
from indexer.errors import InputError, VideoError
from vclipper.export.moment import ExportMoment, ExportOptions
from vclipper.export.temporary import locked_temporary, sweep_abandoned

OnProgress = Callable[[int, int], None]

_LONGEST_NAME_BYTES = 200
"""File systems take 255; a temporary name and a number need room too."""
_UNSAFE = frozenset('<>:"/\\|?*')
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul"] + [f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10)]
)


@dataclass(frozen=True)
class Exported:
    """What an export did.

    Attributes:
        files: written, in order.
        notes: what a person should know of them, one line each.
        failed: moments that could not be exported and why, one line each.
    """

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every moment was exported."""
        return not self.failed


class Output:
    """Takes files, remarks and failures of one export.

    Args:
        folder: where files go; made when the first one is written.
        file_name: what a format's one file is called, without a suffix.
        overwrite: replace files that are there already.
        sources: files that are never replaced.
        on_progress: called with (moments done, moments in all).
    """

    def __init__(
        self, folder: Path, file_name: str, overwrite: bool, sources: Sequence[Path], on_progress: OnProgress
    ) -> None:
        self.folder = folder
        self.file_name = file_name
        self.on_progress = on_progress
        self._overwrite = overwrite
        self._sources = {path.resolve() for path in sources}
        self._names: set[str] = set()
        self._files: list[Path] = []
        self._notes: list[str] = []
        self._failed: list[str] = []
        self._errors: list[Exception] = []
        self._is_swept = False

    @classmethod
    def at(
        cls, target: Path, suffix: str, options: ExportOptions, sources: Sequence[Path], on_progress: OnProgress
    ) -> Output:
        """``target`` is one file where it has the format's suffix and is no folder; else it is a folder."""
        target = target.expanduser().absolute()
        is_folder = os.path.isdir(target)  # noqa: PTH112 - raises nothing
        if suffix and target.name.lower().endswith(suffix) and not is_folder:
            output = cls(target.parent, target.name[: -len(suffix)], options.overwrite, sources, on_progress)
            if not os.path.isdir(target.parent):  # noqa: PTH112
                output.note(f"the folder {printable(target.parent)} is new")
            return output
        return cls(target, safe_name(options.title), options.overwrite, sources, on_progress)

    def claim(self, stem: str, suffix: str) -> Path:
        """A path for a file that this export will write; the same name again gets a number.

        Raises:
            InputError: a file is there already and may not be replaced, or it is a source.
        """
        name, number = stem + suffix, 1
        while name.casefold() in self._names:
            number += 1
            name = f"{stem}-{number}{suffix}"
        path = self.folder / name
        self._demand_free(path)
        self._names.add(name.casefold())
        return path

    def _demand_free(self, path: Path) -> None:
        if path.resolve() in self._sources:
            raise InputError(f"{printable(path)} is one of the videos", "Export into another folder")
        if os.path.isdir(path):  # noqa: PTH112 - raises nothing
            raise InputError(f"{printable(path)} is a folder", "Give another name")
        if not self._overwrite and os.path.lexists(path):
            raise InputError(
                f"{printable(path)} is there already", "Replace it with --overwrite, or name another place"
            )

    @contextlib.contextmanager
    def written(self, path: Path) -> Iterator[Path]:
        """A temporary path to write to; it becomes ``path`` when all went well and is gone otherwise.

        Raises:
            InputError: the folder cannot be written.
        """
        temporary, handle = self._temporary(path.suffix)
        try:
            yield temporary
            _flush(temporary)
            self._demand_free(path)
            temporary.replace(path)
        except OSError as error:
            raise InputError(f"{printable(path)} cannot be written: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)
        self._files.append(path)

    def _temporary(self, suffix: str) -> tuple[Path, int]:
        """An empty file of a hidden name, and the open handle that keeps it locked."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            name, handle = locked_temporary(self.folder, suffix)
        except OSError as error:
            hint = "Name a folder that you may write to"
            raise InputError(f"{printable(self.folder)} cannot be written: {error.strerror}", hint) from None
        name.chmod(0o666 & ~_umask())
        return name, handle

    def _sweep(self) -> None:
        """Before the first file: delete what exports left that were killed."""
        if not self._is_swept:
            self._is_swept = True
            sweep_abandoned(self.folder)

    def text(self, suffix: str, content: str, stem: str | None = None) -> None:
        """Write a text file as UTF-8; its stem is the format's file name unless given."""
        path = self.claim(self.file_name if stem is None else stem, suffix)
        with self.written(path) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="")

    def note(self, remark: str) -> None:
        """Remember something that a person should know; the same thing is said once."""
        if remark not in self._notes:
            self._notes.append(remark)

    def failure(self, moment: ExportMoment, error: VideoError) -> None:
        """Remember a moment that cannot be exported."""
        self._errors.append(error)
        line = f"{moment.start_seconds:.1f}-{moment.end_seconds:.1f} s: {error.message}"
        self._failed.append(line)

    def finished(self) -> Exported:
        """What was done.

        Raises:
            VideoError: the first failure, when nothing was written.
        """
        if self._errors and not self._files:
            raise self._errors[0]
        return Exported(tuple(self._files), tuple(self._notes), tuple(self._failed))


def safe_name(text: str) -> str:
    """A file name that every file system takes, made of any text; it keeps letters of all scripts."""
    plain = printable(Path(text)) if text else ""
    clean = "".join("_" if char in _UNSAFE or not char.isprintable() else char for char in plain)
    short = clean.strip(" .").encode()[:_LONGEST_NAME_BYTES].decode(errors="ignore").rstrip(" .")
    return f"_{short}" if not short or short.split(".")[0].casefold() in _RESERVED else short


def clip_name(moment: ExportMoment) -> str:
    """Video and time, such as ``film_00-01-23.400_00-01-31.000``."""
    return f"{safe_name(moment.path.stem)}_{_clock(moment.start_seconds)}_{_clock(moment.end_seconds)}"


def _clock(seconds: float) -> str:
    """``HH-MM-SS.mmm``: sorts by time, no colons (Windows)."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}-{minutes:02d}-{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"


def _flush(path: Path) -> None:
    """Onto the disk, so that a power cut after the rename finds the content there."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
