"""Where a library lies: a folder, or a prefix in a bucket of an object store.

LanceDB reads and writes its tables in both by itself. The few small files beside them (``library.json``,
``doubtful.json``, the writer's lease) go through here. ``obstore`` wraps the same Rust crate that LanceDB
uses, so that both take the same settings from the environment: ``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``,
``GOOGLE_SERVICE_ACCOUNT``, ``AZURE_STORAGE_ACCOUNT_NAME`` …
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from indexer.discover import refuse_empty
from indexer.errors import REPAIR, InputError, LibraryDamagedError, LibraryError, VClipperError, first_line

TABLES = "tables"
#: A server that does not answer is given up after this; each request is tried again within it.
RETRY_SECONDS = 15
_RETRIES = 4
_CONNECT_SECONDS = 5
_REQUEST_SECONDS = 60


@dataclass(frozen=True)
class Service:
    """Which variables of the environment lead to a store: what error messages name.

    Attributes:
        credentials: those that say who is asking. endpoint: what names another server than the provider's.
    """

    credentials: str
    endpoint: str


SERVICES = {
    "s3": Service("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"),
    "gs": Service("GOOGLE_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_BASE_URL"),
    "az": Service("AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ENDPOINT"),
}


_KEPT = "Mend that, then run it again: what was finished is kept"
#: What a drive reports → what that is, in words, and what to do next. What cannot be read is mended from what can.
_DISK_ERRORS: Mapping[int, tuple[type[LibraryError], str, str]] = {
    errno.ENOSPC: (LibraryError, "no space is left on its drive", _KEPT),
    errno.EDQUOT: (LibraryError, "your quota on its drive is used up", _KEPT),
    errno.EROFS: (LibraryError, "its drive cannot be written", _KEPT),
    errno.EACCES: (LibraryError, "you may not read or write it", "Change that, or name another: --library DIR"),
    errno.EIO: (LibraryDamagedError, "its drive reports an error", f"Mend that. {REPAIR}"),
}


def is_address(where: str) -> bool:
    """Whether this names a bucket rather than a folder."""
    return "://" in where


def write_atomically(path: Path, data: bytes) -> None:
    """Write, flush to disk, rename: a reader sees the old file or the new one, never half of one."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class Folder:
    """A directory on this machine or a network drive.

    Attributes:
        tables: what LanceDB connects to.
        options: its storage options, besides those it takes from the environment.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tables = os.fspath(path / TABLES)
        self.options: Mapping[str, str] = {}

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes:
        """A small file; FileNotFoundError where there is none."""
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Replace a small file: a reader sees the old one or the new one, never half of one."""
        if "/" in name:
            (self.path / name).parent.mkdir(exist_ok=True)
        write_atomically(self.path / name, data)

    def delete(self, name: str) -> None:
        """Delete a small file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def exists(self, name: str) -> bool:
        """Whether a small file is there.

        Raises:
            LibraryError: the folder may not be entered.
        """
        with failures_said(self):
            return (self.path / name).is_file()

    def is_empty(self) -> bool:
        """Whether nothing lies here, or the folder does not exist."""
        return not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir()))

    def size_bytes(self) -> int:
        """Of everything here."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def failure(self, error: BaseException) -> LibraryError | None:
        """What the drive reports in an error of whichever library; None where it is of another kind."""
        for number, (kind, words, hint) in _DISK_ERRORS.items():
            if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                return kind(f"{self}: {words}", hint)
        return None


@dataclass(frozen=True)
class Found:
    """An object: its bytes, the tag that a conditional write must name, when it was written."""

    data: bytes
    tag: Any
    written: datetime


class Bucket:
    """A prefix in an object store.

    Args:
        uri: ``s3://bucket/prefix``, ``gs://…`` or ``az://container/prefix``.
        request_seconds: a request that is not answered by then has failed.

    Attributes:
        before_write: called before each small file is written: the lease's last look (:mod:`indexer.lease`).

    Raises:
        InputError: another address, or one without a bucket.
        LibraryError: ``obstore`` is missing.
    """

    def __init__(self, uri: str, request_seconds: float = _REQUEST_SECONDS) -> None:
        self.uri = uri.rstrip("/")
        scheme, bucket = urlsplit(self.uri)[:2]
        if scheme not in SERVICES or not bucket:
            known = ", ".join(f"{scheme}://BUCKET/PREFIX" for scheme in SERVICES)
            raise InputError(f"{uri} is no place for a library", f"Name a folder or {known}")
        self.tables = f"{self.uri}/{TABLES}"
        self.options: Mapping[str, str] = _lance_options()
        self.before_write: Callable[[], None] = lambda: None
        self._objects = _objects(self.uri, request_seconds)

    def __str__(self) -> str:
        return self.uri

    def __reduce__(self) -> tuple[type[Bucket], tuple[str]]:
        return type(self), (self.uri,)

    def read(self, name: str) -> bytes:
        """See :class:`Folder`; LibraryError when the store cannot be reached."""
        return self.look(name).data

    def look(self, name: str) -> Found:
        """An object and its tag; FileNotFoundError where there is none."""
        with self._asking():
            got = self._objects.get(name)
            meta = got.meta
            return Found(bytes(got.bytes()), _tag(meta), meta["last_modified"])

    def write(self, name: str, data: bytes) -> None:
        """See :class:`Folder`; a PUT is whole or not there at all."""
        self.before_write()
        with self._asking():
            self._objects.put(name, data)

    def create(self, name: str, data: bytes) -> Any | None:
        """Write an object unless one is there (If-None-Match); its tag, or None where one with other bytes was."""
        return self._put(name, data, "create")

    def replace(self, name: str, data: bytes, tag: Any) -> Any | None:
        """Write an object over the one with this tag (If-Match); its tag, or None where another is there now."""
        return self._put(name, data, tag)

    def _put(self, name: str, data: bytes, mode: Any) -> Any | None:
        from obstore.exceptions import AlreadyExistsError, NotFoundError, PreconditionError

        try:
            with self._asking():
                return _tag(self._objects.put(name, data, mode=mode))
        except (AlreadyExistsError, PreconditionError):
            return self._tag_if_ours(name, data)
        except (NotFoundError, FileNotFoundError):
            if mode == "create":
                raise
            return None

    def _tag_if_ours(self, name: str, data: bytes) -> Any | None:
        """A conditional write whose answer got lost is sent again and refused by its own first success."""
        try:
            found = self.look(name)
        except FileNotFoundError:
            return None
        return found.tag if found.data == data else None

    def delete(self, name: str) -> None:
        """See :class:`Folder`."""
        self.before_write()
        with self._asking(), contextlib.suppress(FileNotFoundError):
            self._objects.delete(name)

    def exists(self, name: str) -> bool:
        """See :class:`Folder`."""
        try:
            with self._asking():
                self._objects.head(name)
        except FileNotFoundError:
            return False
        return True

    def is_empty(self) -> bool:
        """See :class:`Folder`; raises LibraryError where the bucket does not exist."""
        with self._asking():
            return not next(iter(self._objects.list(chunk_size=1)), [])

    def size_bytes(self) -> int:
        """See :class:`Folder`."""
        with self._asking():
            return sum(int(meta["size"]) for chunk in self._objects.list() for meta in chunk)

    def failure(self, error: BaseException) -> LibraryError | None:
        """What the store reports in an error of whichever library; None where it is of another kind."""
        is_of_store = any(words in str(error) for words in _OF_A_STORE)
        return _explained(self.uri, str(error)) if is_of_store else None

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn what the store answers into one clear line; a missing object stays FileNotFoundError."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            raise
        except (BaseError, FileNotFoundError) as error:
            if (known := _explained(self.uri, str(error))) is not None:
                raise known from error
            if isinstance(error, FileNotFoundError):
                raise
            raise _unexplained(self.uri, error) from error


Storage = Folder | Bucket
Where = str | os.PathLike[str] | Storage


def at(where: Where) -> Storage:
    """The storage at a path or ``s3://bucket/prefix``; a storage is given back as it is.

    Raises:
        InputError: an empty path, an address of another kind, or one without a bucket.
        LibraryError: the package for object storage is missing.
    """
    if not isinstance(where, (str, os.PathLike)):
        return where
    refuse_empty(where)
    text = os.fspath(where)
    return Bucket(text) if is_address(text) else Folder(Path(text).expanduser().absolute())


@contextlib.contextmanager
def failures_said(storage: Storage) -> Iterator[None]:
    """What the drive or the store under a library reports, through whichever library, as a LibraryError."""
    try:
        yield
    except VClipperError:
        raise
    except Exception as error:
        if (known := storage.failure(error)) is not None:
            raise known from error
        raise


@contextlib.contextmanager
def damage_said(storage: Storage, what: str, with_reason: bool = False) -> Iterator[None]:
    """Whatever LanceDB raises, panics of its Rust core included, as errors that callers know.

    Raises:
        LibraryError: what the drive or the store reports.
        LibraryDamagedError: ``what``, for all else; ``with_reason``: and what LanceDB says.
    """
    try:
        yield
    except (VClipperError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = f": {first_line(error)[:200]}" if with_reason else ""
        raise storage.failure(error) or LibraryDamagedError(f"{what}{reason}", REPAIR) from error


def _objects(uri: str, request_seconds: float) -> Any:
    try:
        from obstore.store import from_url
    except ImportError as error:
        raise LibraryError(
            f"{uri} needs a package that is not installed", "Run: pip install 'vclipper[cloud]'"
        ) from error
    client: Any = {
        "timeout": timedelta(seconds=request_seconds),
        "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
        "allow_http": True,
    }
    # Google refuses a second write of one object within a second: four times half a second is beyond that
    backoff = {"init_backoff": timedelta(seconds=0.5), "max_backoff": timedelta(seconds=4), "base": 2}
    limit = timedelta(seconds=RETRY_SECONDS)
    retry: Any = {"max_retries": _RETRIES, "retry_timeout": limit, "backoff": backoff}
    try:
        return from_url(uri, client_options=client, retry_config=retry)
    except Exception as error:  # obstore raises its own for each setting
        raise _explained(uri, str(error)) or _unexplained(uri, error) from error


def _tag(meta: Mapping[str, Any]) -> dict[str, str]:
    """What names one version of an object: an ETag, a generation number, or both."""
    return {name: meta[name] for name in ("e_tag", "version") if meta[name] is not None}


def _lance_options() -> dict[str, str]:
    return {
        "allow_http": "true",  # used only where the user's own settings name an http:// endpoint
        "connect_timeout": f"{_CONNECT_SECONDS}s",
        "timeout": f"{_REQUEST_SECONDS}s",
        "client_max_retries": str(_RETRIES),
        "client_retry_timeout": str(RETRY_SECONDS),
    }


#: In all that ``object_store`` says of a request that failed, as text and as Rust's debug output.
_OF_A_STORE = ("Error performing", "RetryError")
#: What stores and their clients say (any of these words) → what it means, and what to do.
_EXPLANATIONS = (
    (
        ("NoSuchBucket", "ContainerNotFound", "bucket does not exist"),
        "there is no such bucket",
        "Make it first, or check its name and {endpoint}",
    ),
    (
        (
            "169.254.169.254",
            "metadata.google.internal",
            "Missing AccessKeyId",
            "missing credential",
            "Account must",
        ),
        "no credentials were found",
        "Set {credentials}",
    ),
    (
        (
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "401 Unauthorized",
            "status: 401",
            "Server failed to authenticate the request",
            "Invalid Access Key",
        ),
        "the credentials are wrong",
        "Check {credentials}",
    ),
    (
        ("403 Forbidden", "status: 403", "AccessDenied"),
        "access is denied",
        "These credentials may not do this in this bucket",
    ),
    (
        (
            *("429 Too Many Requests", "503 Service Unavailable", "status: 429", "status: 503"),
            *("SlowDown", "ServerBusy"),
        ),
        "the store is too busy to answer",
        "Run the command again: it goes on where this one stopped",
    ),
    (
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "301 Moved"),
        "the bucket is in another region",
        "Set AWS_REGION",
    ),
    (
        ("error sending request", "Connection refused", "dns error", "timed out", "connect error"),
        "the store cannot be reached",
        "Check the network and {endpoint}",
    ),
)


def _explained(uri: str, answer: str) -> LibraryError | None:
    service = SERVICES[urlsplit(uri).scheme]
    for words, meaning, hint in _EXPLANATIONS:
        if any(word in answer for word in words):
            return LibraryError(f"{uri}: {meaning}", hint.format(**vars(service)))
    return None


def _unexplained(uri: str, error: Exception) -> LibraryError:
    return LibraryError(f"{uri} cannot be used: {first_line(error)[:300]}", "See: docs/cluster.md")
