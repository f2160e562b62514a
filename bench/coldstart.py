"""``python -m bench.coldstart LIBRARY``: one search in this process, the seconds of each step on stdout."""

from __future__ import annotations

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
    done("Python")
    import indexer.store  # NumPy and pyarrow with it
    from indexer import manifest, segments

    made = manifest.load(library)
    done("NumPy, pyarrow, manifest")
    store = indexer.store.Store(library, made.dimension, made.period_seconds)
    videos = {video.video_id: video for video in store.videos()}
    done("LanceDB: import, open, read videos")
    index, _ = segments.load(library, made.dimension)
    done("FAISS: import, map the index")
    import searcher.search
    from searcher.settings import SearchSettings

    done("SciPy and the searcher")
    import open_clip  # noqa: F401

    done("OpenCLIP and torch: import")
    from indexer.encoder import OpenClipEncoder

    encoder = OpenClipEncoder(made.model, "cpu")
    done("model: build, read the weights")
    query = encoder.encode_texts(["a dog"])[0]
    done("embed the query")
    corpus = searcher.search.Corpus(index, videos, made.period_seconds)
    searcher.search.search(query, corpus, SearchSettings())
    done("search and localise")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
