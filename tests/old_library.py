"""Libraries of older schemas, kept as they were: ``tests/libraries/schema-N.zip``.

Before a schema changes, ``python -m tests.old_library tests/libraries/schema-N.zip`` keeps one of the schema
that is. It holds three films: one under two paths, one cut off, one plain; the plain film lies beside it,
so that it can be recognised.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

from tests.fakes import make_film, open_library

FOLDER = Path(__file__).parent / "libraries"
#: Where the films lay when the library was made.
FILMS = Path("/films")


def make(archive: Path, scratch: Path) -> None:
    """Films in ``/films``, their library, and both into ``archive``; ``/films`` is deleted afterwards."""
    plain = make_film(FILMS / "plain.mp4", [("red", 4), ("lime", 4)])
    twice = make_film(FILMS / "twice.mp4", [("blue", 6)])
    shutil.copy(twice, FILMS / "again.mp4")
    cut = make_film(FILMS / "cut.mkv", [("yellow", 8), ("white", 8)])
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    library = scratch / "library"
    open_library(library).index([FILMS])
    (library / "writer.json").unlink(missing_ok=True)  # names the machine
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        out.write(plain, "plain.mp4")
        for file in sorted(library.rglob("*")):
            out.write(file, file.relative_to(scratch))
    shutil.rmtree(FILMS)


def unpack(schema_version: int, folder: Path) -> Path:
    """The library of that schema, in ``folder``; ``plain.mp4`` beside it."""
    with zipfile.ZipFile(FOLDER / f"schema-{schema_version}.zip") as archive:
        archive.extractall(folder)
    return folder / "library"


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
