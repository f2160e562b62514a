"""What is left out: patterns in ``.vclipignore`` files and of ``--exclude``, in the syntax of ``.gitignore``.

A ``.vclipignore`` holds for everything below its folder, whichever way a file below it is named; a deeper one
overrules it. What lies in a folder that is left out cannot be taken in again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.errors import InputError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

FILE_NAME = ".vclipignore"


class Ignores:
    """Which paths are left out. Reads each ``.vclipignore`` once: make a new one for each run.

    Args:
        exclude: patterns (or one) over absolute paths. One with a slash in it may match anywhere on the way, so
            ``holiday/*`` does what it does in ``vclip search --in``; one that begins with a slash is absolute.

    Raises:
        InputError: a pattern that is none, a ``.vclipignore`` that cannot be read (what it should keep out
            must not get in).
    """

    def __init__(self, exclude: Sequence[str] = ()) -> None:
        patterns = [exclude] if isinstance(exclude, str) else exclude
        self._exclude = _spec([_anywhere(pattern) for pattern in patterns], "--exclude")
        self._specs: dict[Path, GitIgnoreSpec | None] = {}
        self._folders: dict[Path, bool] = {}

    def leaves_out(self, file: Path) -> bool:
        """Whether this file (absolute) is left out."""
        return self.leaves_out_folder(file.parent) or self._is_named(file, "")

    def leaves_out_folder(self, folder: Path) -> bool:
        """Whether this folder (absolute), and with it all that it holds, is left out."""
        if folder not in self._folders:
            is_root = folder == folder.parent
            self._folders[folder] = not is_root and (
                self.leaves_out_folder(folder.parent) or self._is_named(folder, "/")
            )
        return self._folders[folder]

    def _is_named(self, path: Path, slash: str) -> bool:
        if self._exclude.match_file(f"{path}{slash}"):
            return True
        is_named = False
        for folder in reversed(path.parents):
            if (spec := self._spec_of(folder)) is not None:
                verdict = spec.check_file(f"{path.relative_to(folder)}{slash}").include
                is_named = is_named if verdict is None else verdict
        return is_named

    def _spec_of(self, folder: Path) -> GitIgnoreSpec | None:
        if folder not in self._specs:
            self._specs[folder] = _read(folder / FILE_NAME)
        return self._specs[folder]


def _read(file: Path) -> GitIgnoreSpec | None:
    try:
        return _spec(file.read_text(encoding="utf-8").splitlines(), str(file))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}", "Mend or delete it") from error


def _spec(lines: Iterable[str], source: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise InputError(f"{source}: {error}", "Patterns are those of .gitignore") from error


def _anywhere(pattern: str) -> str:
    """A pattern of ``--exclude`` as one of a ``.gitignore`` at the root of the file system."""
    sign, bare = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    bare = str(Path(bare).expanduser()) + "/" * bare.endswith("/") if bare.startswith("~") else bare
    return f"{sign}{bare}" if bare.startswith("/") or "/" not in bare.rstrip("/") else f"{sign}**/{bare}"
