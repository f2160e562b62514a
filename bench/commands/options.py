"""Options that several commands share, what they stand for, and how tables and progress are shown."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.errors import InputError

if TYPE_CHECKING:
    from bench.curves import CurveSet, Features
    from bench.datasets import Dataset
    from bench.tables import Results, Table
    from indexer.encoder import Encoder

DATASET_NAMES = ("qvhighlights", "charades-sta", "activitynet-captions", "tvr")
TARGET_NAMES = ("windows", "map", "frames")
PIPED_WIDTH = 160
FORMATS = ("table", "markdown", "csv", "json")
#: What matplotlib is asked for.
PLOT_ENDINGS = (".png", ".svg", ".pdf")
Command = Callable[..., Any]

COUNT = click.IntRange(min=1)
POSITIVE = click.FloatRange(min=0, min_open=True)
#: As NumPy takes them.
SEED = click.IntRange(0, 2**32 - 1)


class Listed(click.ParamType[list[Any]]):
    """Several values with commas between.

    Args:
        each: the type of one.
    """

    name = "list"

    def __init__(self, each: click.ParamType[Any]) -> None:
        self.each = each

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """The values as a list."""
        parts = value.split(",") if isinstance(value, str) else value
        return [self.each.convert(part, param, ctx) for part in parts]


class _Output(click.Path):
    """Where something will be written: what stands in the way is said before the work, not after it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        nearest = next(above for above in path.absolute().parents if above.exists())
        if not nearest.is_dir():
            self.fail(f"'{nearest}' is a file, so nothing can lie below it", param, ctx)
        if not path.exists() and not os.access(nearest, os.W_OK):
            self.fail(f"nothing can be written to '{nearest}'", param, ctx)
        return path


class _Plot(_Output):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        path: Path = super().convert(value, param, ctx)
        if path.suffix.lower() not in PLOT_ENDINGS:
            self.fail(f"'{path}' ends in none of {', '.join(PLOT_ENDINGS)}", param, ctx)
        return path


OUTPUT_FILE = _Output(dir_okay=False, writable=True, path_type=Path)
OUTPUT_FOLDER = _Output(file_okay=False, writable=True, path_type=Path)
PLOT_FILE = _Plot(dir_okay=False, writable=True, path_type=Path)


@dataclass(frozen=True)
class Source:
    """Where curves come from: the options of :func:`source_options`."""

    annotations: Path
    dataset: str
    features: Path | None
    videos: Path | None
    saliency: Path | None
    model: str
    device: str
    fps: float
    cache: Path | None

    @property
    def period_seconds(self) -> float:
        """Time between two sampled frames."""
        from indexer.settings import period_of

        return period_of(self.fps)

    @property
    def cache_folder(self) -> Path:
        """Where curves and bench libraries are kept."""
        if self.cache is not None:
            return self.cache
        from platformdirs import user_cache_path

        return user_cache_path("vclipper") / "bench"

    def load_dataset(self) -> Dataset:
        """The annotations."""
        from bench.datasets import load_dataset

        return load_dataset(self.annotations, self.dataset)

    def demand_one(self) -> None:
        """Refuse none or several sources; saliency may stand with features, which give its CFS_c."""
        if self.videos is not None and (self.features is not None or self.saliency is not None):
            raise InputError("--videos stands alone", "Drop --features or --saliency")
        if self.videos is None and self.features is None and self.saliency is None:
            raise InputError("no curves to work on", "Name --features DIR, --videos DIR or --saliency FILE")


def source_options(command: Command) -> Command:
    """Add the options that name curves: a data set, and features, videos or predictions."""
    folder = click.Path(path_type=Path)
    for option in reversed(
        [
            click.option("--annotations", required=True, type=folder, help="The data set's annotation file."),
            click.option("--dataset", type=click.Choice(DATASET_NAMES), default="qvhighlights", show_default=True),
            click.option("--features", type=folder, help="Features in the Moment-DETR layout."),
            click.option("--videos", type=folder, help="The videos, {video}.mp4; they are indexed first."),
            click.option("--saliency", type=folder, help="A prediction file whose saliency is taken as S_c."),
            click.option("--model", default="ViT-B-32/laion2b_s34b_b79k", show_default=True, help="For --videos."),
            click.option("--device", default="auto", show_default=True, help="For --videos."),
            click.option("--fps", default=0.5, show_default=True, help="Sampled frames a second."),
            click.option(
                "--cache", type=OUTPUT_FOLDER, help="Where curves are kept.  [default: user cache folder]"
            ),
        ]
    ):
        command = option(command)
    return command


def source_of(options: dict[str, Any]) -> Source:
    """Take those options out of a command's and check them."""
    names = ("annotations", "dataset", "features", "videos", "saliency", "model", "device", "fps", "cache")
    source = Source(**{name: options.pop(name) for name in names})
    source.demand_one()
    return source


def format_option(command: Command) -> Command:
    """Add ``--format``."""
    return click.option(
        "--format", "style", type=click.Choice(FORMATS), default="table", show_default=True, help="Of the tables."
    )(command)


def note(text: str) -> None:
    """One line on stderr."""
    click.echo(text, err=True)


def openclip_name(model: str) -> str:
    """What OpenCLIP calls a model: the group that runs the command may know others (``demo``)."""
    named: Callable[[str], str] | None = click.get_current_context().obj
    return named(model) if named else model


def load_encoder(model: str, device: str) -> Encoder:
    """An OpenCLIP model, or one that the group knows."""
    from indexer.encoder import OpenClipEncoder

    return OpenClipEncoder(openclip_name(model), device, name=model)


def features_of(source: Source, dataset: Dataset) -> Features:
    """Vectors of videos and queries, from features or from the videos."""
    from bench.curves import load_features

    if source.features is not None:
        return load_features(source.features, dataset, source.period_seconds)
    if source.videos is None:
        raise InputError("vectors are needed, not only curves", "Name --features DIR or --videos DIR")
    return video_features(source, dataset, source.model)


def video_features(source: Source, dataset: Dataset, model: str) -> Features:
    """Vectors of the videos and queries by ``model``; the videos are indexed into the cache first."""
    from bench.videos import features_from_videos

    assert source.videos is not None  # noqa: S101  # the callers have looked
    encoder = load_encoder(model, source.device)
    made_by = f"{model} {encoder.fingerprint[:12]} {source.fps:g}fps"
    name = "".join(c if c.isalnum() else "-" for c in made_by)
    with progress_bar("indexing") as step:
        found = features_from_videos(
            source.videos,
            dataset,
            encoder,
            source.cache_folder / f"library-{name}",
            source.period_seconds,
            lambda progress: step(progress.files_done, progress.files, ""),
        )
    for file, reason in found.failed.items():
        note(f"cannot be read: {file}: {reason}")
    return found.features


def curves_of(source: Source) -> CurveSet:
    """The curves the options name, from the cache where they are there; missing videos are named."""
    from bench.curves import cache_path, cached, curves_from_features, curves_from_saliency, folder_state
    from bench.score import load_predictions
    from indexer.encoder import weights_fingerprint

    dataset = source.load_dataset()
    folder = source.features or source.videos
    model = "" if source.videos is None else f"{source.model} {weights_fingerprint(openclip_name(source.model))}"
    curve_set = None
    if folder is not None:
        path = cache_path(source.cache_folder, dataset, folder_state(folder), model, f"{source.period_seconds:g}")
        curve_set = cached(path, dataset, lambda: curves_from_features(features_of(source, dataset), dataset))
    if source.saliency is not None:
        curve_set = curves_from_saliency(load_predictions(source.saliency, dataset), dataset, curve_set)
    assert curve_set is not None  # noqa: S101  # demand_one
    name_missing(curve_set)
    return curve_set


def name_missing(curve_set: CurveSet) -> None:
    """Say which videos are missing, and how many queries therefore count as misses."""
    without = len(curve_set.dataset) - len(curve_set)
    if curve_set.missing:
        names = ", ".join(curve_set.missing[:10]) + (", …" if len(curve_set.missing) > 10 else "")
        note(f"missing videos: {len(curve_set.missing)} of {len(curve_set.dataset.videos)}: {names}")
    if without:
        note(f"{without} of {len(curve_set.dataset)} queries have no curve and count as misses")


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr: call it with done, total and what was just worked on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)


def print_tables(tables: Sequence[Table], style: str, results: Results | None = None) -> None:
    """Print tables in a style of :data:`FORMATS`; JSON has the whole ``results`` where they are given."""
    if style == "json":
        from dataclasses import asdict

        click.echo(json.dumps(asdict(results) if results else [asdict(t) for t in tables], indent=1))
    elif style == "table":
        from rich.console import Console

        console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
        for table in tables:
            console.print(table.rich())
            console.print()
    else:
        texts = [
            table.markdown() if style == "markdown" else f"# {table.title}\n{table.csv()}" for table in tables
        ]
        click.echo("\n".join(texts))


def pairs(method: str, postprocess: str) -> list[tuple[str, str]]:
    """The (method, postprocessing) pairs that two options name."""
    from bench.run import COMBINATIONS

    found = [(m, p) for m, p in COMBINATIONS if method in ("all", m) and postprocess in ("all", p)]
    return found or [(method, postprocess)]
