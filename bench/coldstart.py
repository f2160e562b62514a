"""``python -m bench.coldstart LIBRARY``: one search in this process, the seconds of each step on stdout."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


class Clock:
    """Prints how long the step took that ends now; the first counts from the process's start."""

    def __init__(self) -> None:
        self._last = time.perf_counter() - time.process_time()

    def __call__(self, step: str) -> None:
        """Print the seconds since the last call."""
        now = time.perf_counter()
        print(f"{step} {now - self._last:.3f}")  # noqa: T201 - the caller reads it
        self._last = now


def main(library: Path) -> None:
    """Search ``library`` as ``vclip search`` does, step by step."""
    done = Clock()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    done("Python")
    from indexer import manifest, segments, snapshot

    made = manifest.load(library)
    done("NumPy, manifest")
    found = snapshot.load(library, snapshot.tables_state(library))
    if found is None:
        raise SystemExit("the snapshot of the videos does not fit the tables")
    done("videos, from the snapshot")
    index, _ = segments.load(library, made.dimension)
    done("FAISS: import, map the index")
    import searcher.search
    from searcher.settings import SearchSettings

    done("the searcher")
    from indexer import text_tower

    tower = text_tower.load(library, made.model_key)
    if tower is None:
        raise SystemExit("there is no text half beside the library")
    done("tokeniser, map the text half")
    query = tower.encode_texts(["a dog"])[0]
    done("embed the query")
    videos = {video.video_id: video for video in found.videos}
    whitening = library / snapshot.FOLDER / "whitening"
    corpus = searcher.search.Corpus(index, videos, made.period_seconds, whitening)
    searcher.search.search(query, corpus, SearchSettings())
    done("search and localise")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
