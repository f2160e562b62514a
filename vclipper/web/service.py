"""What the routes share: the library, uploads, answers to page through, worker processes."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from indexer import cache, manifest
from indexer.backends import AUTO
from indexer.catalogue import VideoRow
from indexer.encoder import Encoder
from indexer.storage import Where
from vclipper.files import Files
from vclipper.library import Library
from vclipper.models import LoadEncoder, load_encoder, with_backend
from vclipper.web.errors import NotFoundError
from vclipper.web.index_runs import IndexRuns
from vclipper.web.pictures import Pictures
from vclipper.web.proxies import Proxies
from vclipper.web.workers import Workers

if TYPE_CHECKING:
    from searcher.rank import Moment

Value = TypeVar("Value")

#: A still is decoded from its keyframe on; a proxy reports every second.
_STILL_SILENCE_SECONDS = 30.0
_REMEMBERED_ANSWERS = 32
_REMEMBERED_STILLS = 512


class Service:
    """One library, served.

    Args:
        where: the library, as :meth:`Library.open` takes it; it need not exist yet.
        device: where the model runs.
        load: makes the encoder of a name; it is made once for searches and index runs.
        backend: what runs the model's picture half.
    """

    def __init__(
        self, where: Where, device: str = "auto", load: LoadEncoder = load_encoder, *, backend: str = AUTO
    ) -> None:
        self.where, self.device = where, device
        self.load = _loaded_once(with_backend(load, backend, device))
        self.pictures = Pictures()
        self.library = Library(where, device, self.load, open_picture=self.pictures.named)
        self.files = Files()
        self.answers: RecentFew[list[Moment]] = RecentFew(_REMEMBERED_ANSWERS)
        self.stills: RecentFew[bytes] = RecentFew(_REMEMBERED_STILLS)
        self.reasons: RecentFew[str] = RecentFew(_REMEMBERED_STILLS)
        self.runs = IndexRuns(self.library)

    @cached_property
    def still_workers(self) -> Workers:
        """Processes that decode single pictures."""
        return Workers(max(1, (os.cpu_count() or 2) // 2), _STILL_SILENCE_SECONDS)

    @cached_property
    def proxies(self) -> Proxies:
        """Copies for browsers, in the user's cache folder."""
        return Proxies(cache.proxy_folder())

    def exists(self) -> bool:
        """Whether there is a library yet."""
        return manifest.exists(self.library.storage)

    def videos(self) -> dict[int, VideoRow]:
        """The videos by id, as they are now; none when there is no library yet."""
        return dict(self.library.corpus().videos) if self.exists() else {}

    def video(self, video_id: str) -> VideoRow:
        """The video with this id; NotFoundError when the library holds none."""
        video = self.library.corpus().videos.get(int(video_id)) if self.exists() else None
        if video is None:
            raise NotFoundError(f"no video of the library has the id {video_id}")
        return video

    def close(self) -> None:
        """End what runs in the background."""
        self.runs.close()
        self.proxies.close()
        self.still_workers.close()


class RecentFew(Generic[Value]):
    """The last few values by key, for several threads; the one unused for longest makes room."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of ``key``, made now if it is not known; two threads may both make it."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._count:
                self._values.popitem(last=False)
        return value


def _loaded_once(load: LoadEncoder) -> LoadEncoder:
    """Searches and index runs share one copy of the model."""
    lock = threading.Lock()
    made: dict[tuple[str, str], Encoder] = {}

    def load_once(model: str, device: str) -> Encoder:
        with lock:
            if (model, device) not in made:
                made[model, device] = load(model, device)
            return made[model, device]

    return load_once
