"""What goes over the wire, typed: the requests and responses of ``/api/v1``.

Ids of videos are decimal strings: 63-bit numbers are more than JavaScript's numbers hold.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_QUERY_LENGTH = 2_000
MAX_PAGE_SIZE = 200
MAX_PAGE = 10_000
MAX_SECONDS = 1e7

VideoId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,19}$")]
ImageId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
Page = Annotated[int, Field(ge=1, le=MAX_PAGE)]
PageSize = Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)]


class _Request(BaseModel):
    """Unknown fields are refused: a misspelt one would do nothing and say nothing."""

    model_config = ConfigDict(extra="forbid")


# ---- errors


class ErrorBody(BaseModel):
    """One clear sentence, and what to do next."""

    kind: str
    message: str
    hint: str = ""


class ErrorResponse(BaseModel):
    """Every answer that is not a success."""

    error: ErrorBody


# ---- the library


class LibraryFacts(BaseModel):
    """What the library is and holds; ``exists`` is false until the first index run."""

    exists: bool
    name: str
    path: str
    model: str = ""
    demo_only: bool = False
    fps: float = 0.0
    period_seconds: float = 0.0
    videos: int = 0
    frames: int = 0
    video_seconds: float = 0.0
    partial: int = 0
    index: str = ""
    thumbnail_bytes: int = 0
    folders: list[str] = []


class Setting(BaseModel):
    """One search setting and its bounds."""

    name: str
    symbol: str
    help: str
    kind: str
    default: Any
    low: float | None
    high: float | None
    choices: list[str]


class Video(BaseModel):
    """One video; ``online`` says whether its file is where it was."""

    video_id: VideoId
    name: str
    folder: str
    path: str
    duration_seconds: float
    width: int
    height: int
    frame_rate: float
    codec: str
    recorded_unix: float | None
    online: bool
    partial: bool


class VideoPage(BaseModel):
    """Some of the videos, by path."""

    total: int
    page: int
    pages: int
    videos: list[Video]


# ---- searching


class Like(_Request):
    """A frame of the library, to find more like it."""

    video_id: VideoId
    seconds: Seconds


class Filters(_Request):
    """Which videos are searched; ``after`` and ``before`` are days, YYYY-MM-DD."""

    folder: Annotated[str, Field(max_length=4096)] | None = None
    min_seconds: Seconds | None = None
    max_seconds: Seconds | None = None
    after: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    before: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None


class QueryRequest(_Request):
    """Exactly one of text, image and moment."""

    text: Annotated[str, Field(max_length=MAX_QUERY_LENGTH)] | None = None
    image_id: ImageId | None = None
    like: Like | None = None
    settings: dict[str, str | bool | int | float | None] = Field(default={}, max_length=64)

    @model_validator(mode="after")
    def _one(self) -> QueryRequest:
        if sum(given is not None for given in (self.text, self.image_id, self.like)) != 1:
            raise ValueError("give exactly one of text, image_id and like")
        return self


class SearchRequest(QueryRequest):
    """A query, and which part of the answer is wanted."""

    filters: Filters = Filters()
    page: Page = 1
    page_size: PageSize = 24


class FoundMoment(BaseModel):
    """Where an answer starts and ends; ``similar`` counts near-duplicates folded into it."""

    rank: int
    video_id: VideoId
    start_seconds: float
    end_seconds: float
    score: float
    confidence: float
    similar: int
    thumbnail_url: str


class SearchResponse(BaseModel):
    """One page of moments, best first, and the videos they are in."""

    query_id: str
    total: int
    page: int
    pages: int
    elapsed_ms: float
    videos: dict[str, Video]
    moments: list[FoundMoment]


class UploadedImage(BaseModel):
    """A picture to search by; forgotten after a while."""

    image_id: ImageId
    width: int
    height: int
    thumbnail_url: str


class TimelineRequest(QueryRequest):
    """A query whose curve over one video is wanted."""


class TimelineWindow(BaseModel):
    """One answer of the localiser within the video."""

    start_seconds: float
    end_seconds: float
    confidence: float


class TimelineResponse(BaseModel):
    """The similarity timeline: one value for each sampled frame, or for each group of them when thinned.

    ``period_seconds`` is the time between two values of ``similarity``.
    """

    video: Video
    period_seconds: float
    duration_seconds: float
    frame_rate: float
    similarity: list[float]
    postprocessed: list[float]
    next_similarity: list[float]
    cut_seconds: list[float]
    windows: list[TimelineWindow]


# ---- media


class Playback(BaseModel):
    """How a video is played: as it is, through a proxy, or not at all; ``reason`` says why."""

    kind: Literal["original", "proxy", "offline"]
    url: str
    state: Literal["ready", "making", "missing", "failed"]
    progress: float
    reason: str


# ---- export


class ExportedMoment(_Request):
    """A moment of the library, as it is to be cut."""

    video_id: VideoId
    start_seconds: Seconds
    end_seconds: Seconds
    query: Annotated[str, Field(max_length=MAX_QUERY_LENGTH)] = ""
    score: Annotated[float, Field(allow_inf_nan=False)] | None = None
    note: Annotated[str, Field(max_length=MAX_QUERY_LENGTH)] = ""


class ExportSettings(_Request):
    """``pad_seconds`` before and after; ``exact`` encodes clips anew."""

    pad_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 0.0
    exact: bool = False


class ExportRequest(_Request):
    """What is exported, as what, and how."""

    format: Annotated[str, Field(max_length=32)]
    name: Annotated[str, Field(min_length=1, max_length=100)] = "moments"
    moments: list[ExportedMoment] = Field(min_length=1, max_length=1_000)
    options: ExportSettings = ExportSettings()


# ---- index runs


class IndexRequest(_Request):
    """Folders, files or globs, as ``vclip index`` takes them."""

    paths: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field(min_length=1, max_length=100)


class IndexState(BaseModel):
    """The current index run, or the last one; ``idle`` when there was none."""

    state: Literal["idle", "running", "cancelling", "done", "cancelled", "failed"]
    files_done: int = 0
    files: int = 0
    files_scanned: int = 0
    frames: int = 0
    elapsed_seconds: float = 0.0
    eta_seconds: float | None = None
    path: str = ""
    report: dict[str, Any] | None = None
    error: ErrorBody | None = None
