"""Every error that VClipper raises on purpose.

::

    VClipperError
    ├── InputError            a path, a query, an image or an option that cannot be used
    │   └── SettingError           a setting out of its bounds
    ├── VideoError            one file that cannot be decoded (the run goes on without it)
    │   └── ContentError           for what it holds: it cannot be decoded the next time either
    ├── ModelError            a model that cannot be loaded
    └── LibraryError          the library directory is missing, empty or not a library
        ├── LibraryMismatchError   made with another model, sampling rate or schema
        ├── LibraryLockedError     another process is writing to it
        └── LibraryDamagedError    its files do not agree with each other

Each carries what is wrong (``message``), and what to do next (``hint``); the command line prints
both on one line and exits with 1.
"""

from __future__ import annotations

import json

#: The hint of errors that say that a library's files are damaged.
REPAIR = "See what: vclip verify; mend it: vclip repair"


def first_line(error: BaseException) -> str:
    """What an error of other libraries says, in one line; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def no_json(error: ValueError | RecursionError) -> str:
    """Why a file cannot be read as JSON."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON at line {error.lineno}, column {error.colno}"
    return "it is nested too deep" if isinstance(error, RecursionError) else "it is no text in UTF-8"


class VClipperError(Exception):
    """Base of the family: one clear sentence, and the next thing to do.

    Args:
        message: what is wrong and where (it names the file, query or option).
        hint: what to do next; empty when the message says it already.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type[VClipperError], tuple[str, str]]:
        """Errors cross process borders: pickle must keep both texts."""
        return type(self), (self.message, self.hint)


class InputError(VClipperError):
    """A path, query, image or option that cannot be used."""


class SettingError(InputError):
    """A setting out of its bounds: the message begins with its name in the Python API."""

    @property
    def setting(self) -> str:
        """The setting's name."""
        return self.message.split(" ", 1)[0]

    def called(self, name: str) -> SettingError:
        """The same under another name, such as the option's that was typed."""
        return SettingError(name + self.message.removeprefix(self.setting), self.hint)


class VideoError(VClipperError):
    """One video that cannot be decoded."""


class ContentError(VideoError):
    """A video that cannot be decoded for what it holds: trying again would end the same."""


class ModelError(VClipperError):
    """A model that cannot be loaded."""


class LibraryError(VClipperError):
    """The library directory is missing, empty or not a library."""


class LibraryMismatchError(LibraryError):
    """The library was made with another model, sampling rate or schema version."""


class LibraryLockedError(LibraryError):
    """Another process is writing to the library."""


class LibraryDamagedError(LibraryError):
    """The library's files do not agree with each other."""
