"""What an index run has to do: the files on disk against the videos of the library, by content."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from indexer.catalogue import Catalogue, VideoRow
from indexer.discover import fingerprint, printable, refuse_empty
from indexer.errors import InputError

_MAY_BE_AWAY = "may be on a drive that is away: its folder is empty. If it is gone for good: vclip remove FILE"


@dataclass(frozen=True)
class Job:
    """A file to decode: new content, changed content, or known content to be done again."""

    path: Path
    fingerprint: str
    size_bytes: int
    video_id: int
    also: tuple[Path, ...] = ()
    """Other paths that hold the same content, in this run or in the library."""
    known: frozenset[Path] = frozenset()
    """The paths of which the library knows, or the plan says, that they hold it."""
    is_update: bool = False

    def failed(self, reason: str) -> Iterator[tuple[Path, str]]:
        """Each path of this content, and the reason why it cannot be decoded with that path in it."""
        for path in (self.path, *self.also):
            yield path, reason.replace(printable(self.path), printable(path))


@dataclass
class Plan:
    """What to do with each file.

    Attributes:
        jobs: files to decode, in order.
        skipped: unchanged files.
        relinked: (path, what was recognised) of known contents under new names.
        failed: (path, reason) of files that cannot be read.
        missing: (path, why it may be away) of paths of the library below the given folders that are gone, not
            relinked; no reason where the file was deleted.
        pruned: those of them that leave the library.
        rows: the videos whose paths change without decoding, with their new paths.
    """

    jobs: list[Job] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    relinked: list[tuple[Path, str]] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    missing: list[tuple[Path, str]] = field(default_factory=list)
    pruned: list[Path] = field(default_factory=list)
    rows: list[VideoRow] = field(default_factory=list)


def video_id_of(fingerprint_hex: str, generation: int = 0) -> int:
    """A positive 63-bit id made of the content, so that every machine gives a video the same one."""
    digest = hashlib.blake2b(f"{fingerprint_hex} {generation}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def make_plan(
    files: Sequence[Path],
    known: Catalogue,
    roots: Sequence[Path],
    force: bool = False,
    prune: bool = False,
    progress: Callable[[Path], None] = lambda path: None,
) -> Plan:
    """Compare ``files`` with the library's videos.

    Args:
        files: absolute paths, sorted.
        known: the library's videos; only those that files or roots concern are looked at.
        roots: what the user named; the library's videos below them are looked for.
        force: known contents are decoded again.
        prune: deleted files leave the library.
        progress: called with each file as it is read.
    """
    plan = Plan()
    named = dict(_contents(files, plan, progress))
    contents, videos = _with_places_taken(named, known, files, roots)
    paths = {video.fingerprint: list(video.paths) for video in videos}
    jobs = _sort_out(contents, named, videos, paths, force, plan)
    _miss(paths, files, roots, prune, plan)
    plan.jobs = [
        _with_known(job, [path for path in paths.get(content, []) if not _is_overwritten(path, content, contents)])
        for content, job in jobs.items()
    ]
    plan.rows = [
        dataclasses.replace(video, paths=tuple(paths[video.fingerprint]))
        for video in videos
        if tuple(paths[video.fingerprint]) != video.paths
    ]
    return plan


def _contents(
    files: Sequence[Path], plan: Plan, progress: Callable[[Path], None]
) -> Iterator[tuple[Path, tuple[str, int]]]:
    """Each file's fingerprint and size; those that cannot be read go into the plan."""
    for path in files:
        progress(path)
        try:
            yield path, (fingerprint(path), path.stat().st_size)
        except (OSError, InputError) as error:
            plan.failed.append((path, _reason(path, error)))


def _with_places_taken(
    named: Mapping[Path, tuple[str, int]], known: Catalogue, files: Sequence[Path], roots: Sequence[Path]
) -> tuple[dict[Path, tuple[str, int]], list[VideoRow]]:
    """The contents with those of further paths that a run has to look at, and the videos that all these concern.

    A content that comes to a place of another video may have changed places with it: what lies now where it was is
    looked at too, and so on around the circle.
    """
    contents, looked_at = dict(named), set(named)
    while True:
        videos = known.find({content for content, _ in contents.values()}, [*files, *contents], roots)
        further = set(_doubtful(contents, videos)) - looked_at
        if not further:
            return contents, videos
        looked_at |= further
        contents.update(_contents(sorted(further), Plan(), lambda path: None))


def _doubtful(contents: Mapping[Path, tuple[str, int]], videos: Sequence[VideoRow]) -> Iterator[Path]:
    """Where contents were that came to another place, if that was a video's or their files are seen to differ."""
    of_content = {video.fingerprint: video for video in videos}
    owned = {path for video in videos for path in video.paths}
    for path, (content, _) in contents.items():
        video = of_content.get(content)
        if video is not None and path not in video.paths:
            yield from (old for old in video.paths if path in owned or _has_other_size(old, video))


def _has_other_size(path: Path, video: VideoRow) -> bool:
    try:
        return path.stat().st_size != video.size_bytes
    except OSError:
        return False


def _sort_out(
    contents: Mapping[Path, tuple[str, int]],
    named: Collection[Path],
    videos: Sequence[VideoRow],
    paths: dict[str, list[Path]],
    force: bool,
    plan: Plan,
) -> dict[str, Job]:
    """What is to be decoded of the named, by content; what is not goes into ``paths`` and the plan."""
    known = {video.fingerprint: video for video in videos}
    owned = {path for video in videos for path in video.paths}
    jobs: dict[str, Job] = {}
    for path, (content, size_bytes) in contents.items():
        if content in known and path not in paths[content]:
            _recognise(path, contents, paths, plan)
        elif content in known and path in named and not force:
            plan.skipped.append(path)
        if path not in named:
            continue
        if content in jobs:
            jobs[content] = _also(jobs[content], path)
        elif content not in known or force:
            is_update = path in owned or content in known
            jobs[content] = Job(path, content, size_bytes, _fresh_id(content, known), is_update=is_update)
    for before, some in paths.items():  # the place of a new content stays with the old one until it is indexed
        some[:] = [p for p in some if not _is_overwritten(p, before, contents) or contents[p][0] not in known]
    return jobs


def _also(job: Job, *paths: Path) -> Job:
    others = dict.fromkeys((*job.also, *paths))
    return dataclasses.replace(job, also=tuple(path for path in others if path != job.path))


def _with_known(job: Job, paths: Sequence[Path]) -> Job:
    return dataclasses.replace(_also(job, *paths), known=frozenset(paths))


def _fresh_id(content: str, known: dict[str, VideoRow]) -> int:
    """The id for new rows of this content: another one than the rows that they replace have."""
    old = known[content].video_id if content in known else None
    return next(i for i in (video_id_of(content, 0), video_id_of(content, 1)) if i != old)


def _recognise(
    path: Path, contents: Mapping[Path, tuple[str, int]], paths: dict[str, list[Path]], plan: Plan
) -> None:
    """A file whose content the library holds under other paths: moved, or one more copy."""
    content, _ = contents[path]
    left = [old for old in paths[content] if _is_overwritten(old, content, contents) or is_gone(old)]
    if left:
        paths[content][paths[content].index(left[0])] = path
        plan.relinked.append((path, f"moved from {printable(left[0])}"))
    else:
        twin = f"same content as {printable(paths[content][0])}" if paths[content] else "known under another name"
        plan.relinked.append((path, twin))
        paths[content].append(path)


def _is_overwritten(path: Path, content: str, contents: Mapping[Path, tuple[str, int]]) -> bool:
    """Whether this run found something else at a path that held ``content``."""
    return path in contents and contents[path][0] != content


def _miss(
    paths: dict[str, list[Path]], files: Sequence[Path], roots: Sequence[Path], prune: bool, plan: Plan
) -> None:
    """Put what is gone into the plan; what is pruned leaves ``paths``."""
    missing = sorted(p for some in paths.values() for p in some if _below(p, roots) and is_gone(p))
    plan.missing = [(path, "" if is_deleted(path) else _MAY_BE_AWAY) for path in missing]
    if prune:
        _demand_mounted(missing, files, roots)
        plan.pruned = [path for path, why_not in plan.missing if not why_not]
        plan.missing = [(path, why_not) for path, why_not in plan.missing if why_not]
        pruned = set(plan.pruned)
        for some in paths.values():
            some[:] = [path for path in some if path not in pruned]


def _demand_mounted(missing: Sequence[Path], files: Sequence[Path], roots: Sequence[Path]) -> None:
    """An empty mount point is a drive that is away, not a thousand deleted files."""
    for root in roots:
        lost = [path for path in missing if _below(path, [root])]
        if lost and not any(_below(path, [root]) for path in files):
            raise InputError(
                f"{printable(root)} holds no video now, the library knows {len(lost)} there; nothing was pruned",
                f"Is the drive mounted? If they are gone for good: vclip remove {printable(root)}",
            )


def is_deleted(path: Path) -> bool:
    """Whether a file is gone and something else is where it was: an empty folder may be a drive's that is away."""
    if not is_gone(path):
        return False
    folder = next(folder for folder in path.parents if not is_gone(folder))
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except NotADirectoryError:
        return True
    except OSError:  # such as a link into a drive
        return False


def is_gone(path: Path) -> bool:
    """Whether it is certain that nothing has this name: what cannot be looked at may well be there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _below(path: Path, roots: Collection[Path]) -> bool:
    return any(path == root or root in path.parents for root in roots)


def _reason(path: Path, error: OSError | InputError) -> str:
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return f"is a link to {printable(path.readlink())}, where nothing is"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return error.message


def absolute(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The given paths made absolute, links kept.

    Raises:
        InputError: an empty one.
    """
    given = list(paths)
    for path in given:
        refuse_empty(path)
    return [Path(os.path.abspath(Path(path).expanduser())) for path in given]  # noqa: PTH100 - keeps links
