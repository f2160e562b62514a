"""``vclip bench …`` and ``python -m bench …``: the only file of the bench that knows click.

Everything heavy is imported inside the commands, so that the group can be listed at no cost.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.errors import InputError, VClipperError
from searcher.settings import METHODS, POSTPROCESSES, RANKERS, SearchSettings

if TYPE_CHECKING:
    from bench.curves import CurveSet, Features
    from bench.datasets import Dataset
    from bench.run import Replay
    from bench.score import Evaluation
    from bench.speed import Grid
    from bench.tables import Results, Table
    from bench.tune import Tuned, Tuning
    from indexer.encoder import Encoder

DATASET_NAMES = ("qvhighlights", "charades-sta", "activitynet-captions", "tvr")
TARGET_NAMES = ("windows", "map", "frames")
PIPED_WIDTH = 160
FORMATS = ("table", "markdown", "csv", "json")
Command = Callable[..., Any]

#: As test harnesses take it: neither passed nor failed.
GPU_SKIPPED = 77


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Score, tune and time: everything that prints a figure."""


def main() -> None:
    """Run ``python -m bench``; every known error becomes one line and exit code 1."""
    try:
        code = bench.main(prog_name="python -m bench", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except VClipperError as error:
        click.echo(f"bench: {error}", err=True)
        code = 1
    sys.exit(code or 0)


# --- options that several commands share ------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Where curves come from: the options of :func:`_source_options`."""

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


def _source_options(command: Command) -> Command:
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
            click.option("--cache", type=folder, help="Where curves are kept.  [default: user cache folder]"),
        ]
    ):
        command = option(command)
    return command


def _source(options: dict[str, Any]) -> Source:
    names = ("annotations", "dataset", "features", "videos", "saliency", "model", "device", "fps", "cache")
    source = Source(**{name: options.pop(name) for name in names})
    source.demand_one()
    return source


def _format_option(command: Command) -> Command:
    return click.option(
        "--format", "style", type=click.Choice(FORMATS), default="table", show_default=True, help="Of the tables."
    )(command)


def _note(text: str) -> None:
    click.echo(text, err=True)


def _load_encoder(model: str, device: str) -> Encoder:
    from indexer.encoder import OpenClipEncoder

    return OpenClipEncoder(model, device)


def _features(source: Source, dataset: Dataset) -> Features:
    """Vectors of videos and queries, from features or from the videos."""
    from bench.curves import load_features

    if source.features is not None:
        return load_features(source.features, dataset, source.period_seconds)
    if source.videos is None:
        raise InputError("vectors are needed, not only curves", "Name --features DIR or --videos DIR")
    return _video_features(source, dataset, source.model)


def _video_features(source: Source, dataset: Dataset, model: str) -> Features:
    from bench.videos import features_from_videos

    assert source.videos is not None  # noqa: S101  # the callers have looked
    encoder = _load_encoder(model, source.device)
    made_by = f"{model} {encoder.fingerprint[:12]} {source.fps:g}fps"
    name = "".join(c if c.isalnum() else "-" for c in made_by)
    with _progress("indexing") as step:
        found = features_from_videos(
            source.videos,
            dataset,
            encoder,
            source.cache_folder / f"library-{name}",
            source.period_seconds,
            lambda progress: step(progress.files_done, progress.files, ""),
        )
    for file, reason in found.failed.items():
        _note(f"cannot be read: {file}: {reason}")
    return found.features


def _curves(source: Source) -> CurveSet:
    """The curves the options name, from the cache where they are there; missing videos are named."""
    from bench.curves import cache_path, cached, curves_from_features, curves_from_saliency, folder_state
    from bench.score import load_predictions
    from indexer.encoder import weights_fingerprint

    dataset = source.load_dataset()
    folder = source.features or source.videos
    model = "" if source.videos is None else f"{source.model} {weights_fingerprint(source.model)}"
    curve_set = None
    if folder is not None:
        path = cache_path(source.cache_folder, dataset, folder_state(folder), model, f"{source.period_seconds:g}")
        curve_set = cached(path, dataset, lambda: curves_from_features(_features(source, dataset), dataset))
    if source.saliency is not None:
        curve_set = curves_from_saliency(load_predictions(source.saliency, dataset), dataset, curve_set)
    assert curve_set is not None  # noqa: S101  # demand_one
    _name_missing(curve_set)
    return curve_set


def _name_missing(curve_set: CurveSet) -> None:
    without = len(curve_set.dataset) - len(curve_set)
    if curve_set.missing:
        names = ", ".join(curve_set.missing[:10]) + (", …" if len(curve_set.missing) > 10 else "")
        _note(f"missing videos: {len(curve_set.missing)} of {len(curve_set.dataset.videos)}: {names}")
    if without:
        _note(f"{without} of {len(curve_set.dataset)} queries have no curve and count as misses")


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int, str], None]]:
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


def _print_tables(tables: Sequence[Table], style: str, results: Results | None = None) -> None:
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


# --- score ------------------------------------------------------------------------------------------


@bench.command()
@click.argument("predictions", type=click.Path(path_type=Path))
@click.argument("ground_truth", type=click.Path(path_type=Path))
@click.option("--dataset", type=click.Choice(DATASET_NAMES), default="qvhighlights", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The official report's keys, and ours under 'extra'.")
@click.option("--rows", type=click.Path(path_type=Path), help="Write one JSON object a query here.")
def score(predictions: Path, ground_truth: Path, dataset: str, as_json: bool, rows: Path | None) -> None:
    """Score a PREDICTIONS file against GROUND_TRUTH as the QVHighlights evaluator does.

    The ground truth decides which queries count: a missing or empty prediction is a miss.
    """
    from bench.score import score_file

    evaluation = score_file(predictions, ground_truth, dataset)
    if rows is not None:
        rows.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in evaluation.rows()))
    if as_json:
        click.echo(json.dumps({**evaluation.report(), "extra": evaluation.extras()}, indent=4))
        return
    _print_evaluation(evaluation)


def _print_evaluation(evaluation: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    table = RichTable(title=f"{len(evaluation.dataset)} queries of {evaluation.dataset.name}")
    table.add_column("figure")
    table.add_column("percent", justify="right")
    for name, value in {
        **evaluation.report()["brief"],
        "MR-full-mIoU": evaluation.extras()["MR-full-mIoU"],
    }.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(table)
    for state, qids in (("without a prediction", evaluation.missing), ("with an empty one", evaluation.empty)):
        if qids:
            shown = ", ".join(str(qid) for qid in qids[:10]) + (", …" if len(qids) > 10 else "")
            click.echo(f"{len(qids)} queries {state}, counted as misses: {shown}")


# --- run --------------------------------------------------------------------------------------------


@bench.command()
@_source_options
@click.option("--method", type=click.Choice([*METHODS, "all"]), default="all", show_default=True)
@click.option("--postprocess", type=click.Choice([*POSTPROCESSES, "all"]), default="all", show_default=True)
@click.option(
    "--settings",
    "settings_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A settings file (several: one row each) instead of the default settings.",
)
@click.option("--lambda", "threshold", type=float, help="λ for all rows, instead of the default.")
@click.option("--beta", "min_confidence", type=float, help="β (VC1).")
@click.option("--alpha", "cut_threshold", type=float, help="α (VC2).")
@click.option("--top-share", "-p", type=float, help="p (VC2).")
@click.option("--smooth-window", "-M", type=int, help="M, odd.")
@click.option(
    "--image", type=click.Path(path_type=Path), help="A picture instead of every query's text (--videos)."
)
@click.option("--predictions", type=click.Path(path_type=Path), help="Folder for prediction files.")
@click.option("--results", "results_file", type=click.Path(path_type=Path), help="Write the rows here as JSON.")
@_format_option
def run(
    method: str,
    postprocess: str,
    settings_files: tuple[Path, ...],
    image: Path | None,
    predictions: Path | None,
    results_file: Path | None,
    style: str,
    **options: Any,
) -> None:
    """Run the method on a data set: predictions in the official format, and the tables.

    Curves come from --features (the Moment-DETR layout), --videos or --saliency; they are computed once and
    cached.
    """
    from bench.run import Replay
    from bench.tables import save_results

    source = _source(options)
    curve_set = _curves(source) if image is None else _curves_of_image(source, image)
    rows = _chosen_settings(method, postprocess, settings_files, options)
    replay = Replay(curve_set)
    results = _measure(replay, rows)
    if predictions is not None:
        _save_predictions(replay, rows, predictions)
    if results_file is not None:
        save_results(results_file, results)
    _print_tables(results.tables(), style, results)


def _chosen_settings(
    method: str, postprocess: str, files: Sequence[Path], knobs: Mapping[str, Any]
) -> list[SearchSettings]:
    from bench.tune import read_settings

    if files:
        return [read_settings(path) for path in files]
    given = {name: value for name, value in knobs.items() if value is not None}
    return [SearchSettings(method=m, postprocess=p, **given) for m, p in _pairs(method, postprocess)]


def _curves_of_image(source: Source, image: Path) -> CurveSet:
    from PIL import Image, UnidentifiedImageError

    from bench.baselines import image_curves
    from bench.curves import curves_from_features
    from indexer.encoder import encode_images

    if source.videos is None:
        raise InputError("--image needs the model that made the vectors", "Use it with --videos DIR")
    try:
        with Image.open(image) as opened:
            picture = opened.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{image} is not a picture: {error}") from None
    dataset = source.load_dataset()
    features = _features(source, dataset)
    vector = encode_images(_load_encoder(source.model, source.device), [picture])[0]
    return image_curves(features, curves_from_features(features, dataset), vector)


def _measure(replay: Replay, rows: Sequence[SearchSettings]) -> Results:
    from bench.run import FrameTruth, frame_row, window_row
    from bench.tables import Results, described

    truth = FrameTruth(replay.curve_set)
    return Results(
        source=described(replay.curve_set.dataset, replay.curve_set.source),
        windows=tuple(window_row(replay, settings) for settings in rows),
        frames=tuple(frame_row(replay, settings, truth) for settings in rows),
        provenance={"settings": [settings.to_dict() for settings in rows]},
    )


def _save_predictions(replay: Replay, rows: Sequence[SearchSettings], folder: Path) -> None:
    from bench.score import save_predictions

    for settings in rows:
        path = folder / f"{settings.method}-{settings.postprocess}.jsonl"
        save_predictions(path, replay.predictions(settings), replay.curve_set.dataset)
        _note(f"wrote {path}")


# --- tables -----------------------------------------------------------------------------------------


@bench.command()
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Also write tables.md and a CSV a table here.")
@_format_option
def tables(results: tuple[Path, ...], out: Path | None, style: str) -> None:
    """The thesis's tables: ours (RESULTS files of run, tune and baselines) beside its and published figures.

    Without RESULTS the thesis's and the papers' figures alone.
    """
    from bench import tables as t

    merged = t.Results("")
    for path in results:
        merged = merged.merged(t.read_results(path))
    found = merged.tables() or [t.frame_table(()), t.window_table(()), t.length_table(()), t.comparison_table(())]
    _print_tables(found, style, merged)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "tables.md").write_text("\n".join(table.markdown() for table in found), encoding="utf-8")
        for name, table in zip(_file_names(found), found, strict=True):
            (out / f"{name}.csv").write_text(table.csv(), encoding="utf-8")


def _file_names(found: Sequence[Table]) -> list[str]:
    titles = [table.title.split(":")[0].replace(",", "") for table in found]
    return [title.lower().replace(" ", "-") for title in titles]


# --- tune -------------------------------------------------------------------------------------------


@bench.command()
@_source_options
@click.option("--method", type=click.Choice([*METHODS, "all"]), default="all", show_default=True)
@click.option("--postprocess", type=click.Choice([*POSTPROCESSES, "all"]), default="all", show_default=True)
@click.option("--target", type=click.Choice(TARGET_NAMES), default="windows", show_default=True)
@click.option("--folds", default=5, show_default=True, help="Cross-validation by video.")
@click.option("--train-annotations", type=click.Path(path_type=Path), help="Tune on these, score the others.")
@click.option("--train-features", type=click.Path(path_type=Path), help="Their features, if not in --features.")
@click.option("--trials", default=100, show_default=True, help="Optuna trials a study.")
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("tuning"), show_default=True)
@_format_option
def tune(
    method: str,
    postprocess: str,
    target: str,
    folds: int,
    train_annotations: Path | None,
    train_features: Path | None,
    trials: int,
    seed: int,
    workers: int,
    out: Path,
    style: str,
    **options: Any,
) -> None:
    """Find λ, β, α, p and M with Optuna; run it again to go on where it stopped.

    Writes to --out: studies.db (SQLite), one settings file a row for `vclip search --settings`, results.json
    for `bench tables`, and Optuna's plots as PNG.
    """
    from bench.run import THESIS_METHODS
    from bench.tables import Results, described, save_results
    from bench.tune import Tuning, cross_validate, save_settings, settings_record, tune_and_validate

    source = _source(options)
    test = _curves(source)
    pairs = [pair for pair in _pairs(method, postprocess) if method != "all" or pair[0] in THESIS_METHODS]
    tuning = Tuning(pairs, target, trials, seed, workers, out / "studies.db")
    with _progress("tuning") as step:
        if train_annotations is None:
            train, used_folds = test, folds
            found = cross_validate(tuning, test, folds, step)
        else:
            train, used_folds = _curves(_train_source(source, train_annotations, train_features)), None
            found = tune_and_validate(tuning, train, test, step)
    for tuned in found:
        path = out / f"{tuned.method}-{tuned.postprocess}-{target}.json"
        save_settings(path, settings_record(tuned, tuning, train, used_folds))
    protocol = "tuned on train" if used_folds is None else f"tuned by {folds}-fold CV by video"
    results = Results(
        source=described(test.dataset, f"{test.source}, {protocol}"),
        windows=tuple(tuned.row() for tuned in found),
        frames=tuple(tuned.row(frames=True) for tuned in found),
        provenance={f"tune-{target}": {"trials": trials, "seed": seed, "folds": used_folds}},
    )
    save_results(out / f"results-{target}.json", results)
    _plot_studies(tuning, train, found, out)
    _print_tables(results.tables(), style, results)
    _print_settings(found)


def _pairs(method: str, postprocess: str) -> list[tuple[str, str]]:
    """The (method, postprocessing) pairs that two options name."""
    from bench.run import COMBINATIONS

    found = [(m, p) for m, p in COMBINATIONS if method in ("all", m) and postprocess in ("all", p)]
    return found or [(method, postprocess)]


def _train_source(source: Source, annotations: Path, features: Path | None) -> Source:
    from dataclasses import replace

    return replace(source, annotations=annotations, features=features or source.features)


def _plot_studies(tuning: Tuning, train: CurveSet, found: Sequence[Tuned], out: Path) -> None:
    """History, slices and importances of the studies over all training queries; skipped without matplotlib."""
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        _note("no plots: pip install 'vclipper[bench]'")
        return
    from bench.plots import plot_importances, plot_study, save
    from bench.tune import TARGETS, importances, whole_study

    target = TARGETS[tuning.target][0]
    shares = {}
    for tuned in found:
        study = whole_study(tuning, train, tuned.method, tuned.postprocess)
        title = f"{tuned.method.upper()} {tuned.postprocess}"
        name = f"study-{tuned.method}-{tuned.postprocess}-{tuning.target}.png"
        save(plot_study(study, title, target), out / name)
        shares[title] = importances(study)
    save(plot_importances(shares, target), out / f"importances-{tuning.target}.png")


def _print_settings(found: Sequence[Tuned]) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    table = RichTable(title="Settings found on all training queries")
    for name in ("method", "postprocessing", "λ", "β", "α", "p", "M", "training value %"):
        table.add_column(name)
    for tuned in found:
        s = tuned.settings
        vc1, vc2, smooths = s.method == "vc1", s.method == "vc2", "smooth" in s.postprocess
        table.add_row(
            s.method,
            s.postprocess,
            f"{s.effective_threshold:.3f}",
            f"{s.min_confidence:.3f}" if vc1 else "–",
            f"{s.cut_threshold:.3f}" if vc2 else "–",
            f"{s.top_share:.2f}" if vc2 else "–",
            str(s.smooth_window) if smooths else "–",
            f"{100 * tuned.training_value:.2f}",
        )
    Console(stderr=True, width=None if sys.stderr.isatty() else PIPED_WIDTH).print(table)


# --- baselines --------------------------------------------------------------------------------------


@bench.command()
@_source_options
@click.option("--folds", default=5, show_default=True, help="For choosing parameters, by video.")
@click.option("--seed", default=0, show_default=True)
@click.option("--results", "results_file", type=click.Path(path_type=Path), help="Write the rows here as JSON.")
@_format_option
def baselines(folds: int, seed: int, results_file: Path | None, style: str, **options: Any) -> None:
    """Other people's ways from curve to windows, on the same curves, tuned on the same folds."""
    from bench.baselines import example_pictures, image_curves, run_baselines
    from bench.tables import Results, baseline_table, described, save_results

    source = _source(options)
    curve_set = _curves(source)
    images = None
    if source.saliency is None:
        features = _features(source, curve_set.dataset)
        images = image_curves(features, curve_set, example_pictures(features, curve_set))
    found = run_baselines(curve_set, folds, seed, images)
    results = Results(
        source=described(curve_set.dataset, f"{curve_set.source}, parameters chosen by {folds}-fold CV by video"),
        baselines=tuple(result.row for result in found),
        provenance={"baselines": {result.name: dict(result.parameters) for result in found}},
    )
    if results_file is not None:
        save_results(results_file, results)
    _print_tables([baseline_table(results.baselines, results.source)], style, results)
    for result in found:
        if result.parameters:
            _note(f"{result.name}: {dict(result.parameters)}")


# --- models -----------------------------------------------------------------------------------------


@bench.command()
@_source_options
@click.option("--models", "names", required=True, multiple=True, help="An OpenCLIP model; name several.")
@click.option("--plot", type=click.Path(path_type=Path), help="Write the bar plot (figure 17) here.")
@click.option("--json", "as_json", is_flag=True)
def models(names: tuple[str, ...], plot: Path | None, as_json: bool, **options: Any) -> None:
    """Compare OpenCLIP models on --videos: average frame IoU of VC1 + norm over six λ."""
    from bench.curves import curves_from_features
    from bench.models import assess

    source = _source(options)
    if source.videos is None:
        raise InputError("models are compared on videos", "Name --videos DIR")
    dataset = source.load_dataset()
    found = []
    for name in names:
        curve_set = curves_from_features(_video_features(source, dataset, name), dataset)
        _name_missing(curve_set)
        found.append(assess(name, curve_set))
    found.sort(key=lambda scored: -scored.mean)
    if plot is not None:
        from bench.plots import plot_models, save

        save(plot_models({scored.model: scored.by_level for scored in found}), plot)
        _note(f"wrote {plot}")
    if as_json:
        click.echo(json.dumps([{"model": s.model, "mean": s.mean, "by_lambda": dict(s.by_level)} for s in found]))
        return
    for scored in found:
        levels = "  ".join(f"{level:.2f}: {value:.3f}" for level, value in scored.by_level.items())
        click.echo(f"{scored.mean:.3f}  {scored.model}  ({levels})")


# --- plots ------------------------------------------------------------------------------------------


@bench.group()
def plots() -> None:
    """Figures as PNG files."""


@plots.command("curves")
@_source_options
@click.option("--qid", "qids", multiple=True, help="A query; name several for one figure.  [default: the first]")
@click.option(
    "--settings", "settings_file", type=click.Path(path_type=Path), help="Settings to draw windows with."
)
@click.option("--method", type=click.Choice(METHODS), default="vc1", show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path))
def plot_curves(qids: tuple[str, ...], settings_file: Path | None, method: str, out: Path, **options: Any) -> None:
    """S_c and CFS_c of queries with the ground truth (figures 13, 15 and 16)."""
    from bench.plots import plot_queries, save
    from bench.tune import read_settings

    curve_set = _curves(_source(options))
    settings = read_settings(settings_file) if settings_file else SearchSettings(method=method)
    places = [_place(curve_set, qid) for qid in qids] or [0]
    queries = [curve_set.queries[place] for place in places]
    save(plot_queries(queries, [curve_set.curves[place] for place in places], settings), out)
    _note(f"wrote {out}")


def _place(curve_set: CurveSet, qid: str) -> int:
    for place, query in enumerate(curve_set.queries):
        if str(query.qid) == qid:
            return place
    raise InputError(f"no query {qid} with a curve in {curve_set.dataset.source}")


@plots.command("iou")
@_source_options
@click.option(
    "--settings", "settings_files", multiple=True, type=click.Path(path_type=Path), help="One panel each."
)
@click.option("--out", required=True, type=click.Path(path_type=Path))
def plot_iou(settings_files: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Distribution of queries by frame IoU (figure 19).

    Without --settings: VC1 none, VC1 norm and VC2 smoothed, with default settings.
    """
    from bench.plots import plot_iou_histograms, save
    from bench.run import FrameTruth, Replay
    from bench.tune import read_settings

    chosen = [read_settings(path) for path in settings_files] or [
        SearchSettings(method="vc1", postprocess="none"),
        SearchSettings(method="vc1", postprocess="norm"),
        SearchSettings(method="vc2", postprocess="smooth_norm"),
    ]
    replay = Replay(_curves(_source(options)))
    truth = FrameTruth(replay.curve_set)
    groups = {f"{s.method.upper()} {s.postprocess}": truth.score(replay.windows(s)).iou for s in chosen}
    save(plot_iou_histograms(groups), out)
    _note(f"wrote {out}")


@plots.command("ssim")
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", default="ViT-B-32/laion2b_s34b_b79k", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--fps", default=0.5, show_default=True)
@click.option("--alpha", "cut_threshold", default=0.85, show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path))
def plot_ssim(
    videos: tuple[Path, ...], model: str, device: str, fps: float, cut_threshold: float, out: Path
) -> None:
    """CFS_c beside frame-to-frame SSIM of videos (figure 14)."""
    from bench.plots import plot_scenes, save
    from bench.videos import scene_curves
    from indexer.settings import period_of

    encoder = _load_encoder(model, device)
    curves = [scene_curves(path, encoder, period_of(fps)) for path in videos]
    save(plot_scenes(curves, cut_threshold), out)
    _note(f"wrote {out}")


# --- corpus -----------------------------------------------------------------------------------------


@bench.command()
@_source_options
@click.option("--settings", "settings_file", type=click.Path(path_type=Path), help="A settings file.")
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True)
def corpus(settings_file: Path | None, workers: int, as_json: bool, **options: Any) -> None:
    """Find video and moment among all videos of a split: R@1/5/10/100, through library and FAISS index."""
    from bench.corpus import build_corpus, corpus_folder, score_corpus
    from bench.tables import corpus_markdown, cutoff_markdown
    from bench.tune import read_settings

    source = _source(options)
    settings = read_settings(settings_file) if settings_file else SearchSettings()
    dataset = source.load_dataset()
    features = _features(source, dataset)
    library = corpus_folder(source.cache_folder, features)
    build_corpus(features, dataset, library)
    with _progress("searching") as step:
        scores = score_corpus(library, features, dataset, settings, workers, lambda a, b: step(a, b, ""))
    report = scores.report()
    if as_json:
        values = {"source": features.source, "settings": settings.to_dict(), **report, "roc": scores.cutoffs()}
        click.echo(json.dumps(values, indent=1))
        return
    click.echo(corpus_markdown(report, features.source, len(features.frames), len(dataset)))
    click.echo(cutoff_markdown(scores.cutoffs(), report))


# --- speed ------------------------------------------------------------------------------------------


SPEED_PARTS = ("all", "index", "backends", "query", "start", "peers", "cost", "ray")


@bench.command()
@click.option(
    "--videos",
    type=click.Path(path_type=Path),
    help="Videos to index, or (peers, cost) to join; without it these parts are left out.",
)
@click.option(
    "--work", type=click.Path(path_type=Path), default=Path("bench-inputs"), help="Where inputs go (peers, cost)."
)
@click.option("--rounds", default=3, show_default=True, help="How often halves and pipeline are timed in turn.")
@click.option("--rows", default="10000,100000,1000000", show_default=True, help="Corpus sizes for one query.")
@click.option("--part", type=click.Choice(SPEED_PARTS), default="all", show_default=True)
@click.option("--model", default="ViT-B-32/random", show_default=True, help="A vision transformer (backends).")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Also draw cost against picture size, as SVG (cost)."
)
@click.option("--format", "style", type=click.Choice(("table", "markdown")), default="table", show_default=True)
def speed(
    videos: Path | None, work: Path, rounds: int, rows: str, part: str, model: str, plot: Path | None, style: str
) -> None:
    """Time indexing, backends, other tools, an hour of video, Ray's overhead, one query, and a cold start."""
    from bench import speed as timing

    if part in ("index", "peers", "cost", "ray") and videos is None:
        raise InputError("nothing to index", "Name some videos: --videos DIR")
    tables: list[Grid] = []
    if part in ("all", "index") and videos is not None:
        tables.append(_pipeline_table(videos, rounds))
    if part in ("all", "backends"):
        tables.append(_backend_table(model, rounds))
    if part in ("all", "query"):
        sizes = [int(size) for size in rows.split(",")]
        tables.append(timing.query_table([timing.query_speed(size) for size in sizes]))
    if part in ("all", "start"):
        tables.append(timing.start_table(timing.cold_start()))
    if part in ("all", "peers") and videos is not None:
        tables += _peer_tables(videos, work, rounds)
    if part in ("all", "cost") and videos is not None:
        tables += _cost_tables(videos, work, rounds, plot)
    if part in ("all", "ray") and videos is not None:
        tables += _ray_tables(videos, rounds)
    for table in tables:
        click.echo(table.text(markdown=style == "markdown") + "\n")


def _backend_table(model: str, rounds: int) -> Grid:
    from bench.backends import backend_speed, backend_table

    return backend_table(backend_speed(model, rounds), model)


def _ray_tables(videos: Path, rounds: int) -> list[Grid]:
    from bench.ray_overhead import is_installed, overhead, overhead_table

    if not is_installed():
        click.echo("Ray's overhead is left out: Ray is not installed. Run: pip install 'vclipper[ray]'", err=True)
        return []
    return [overhead_table(*overhead(videos, rounds))]


def _pipeline_table(videos: Path, rounds: int) -> Grid:
    import torch

    from bench.pipeline import pipeline_speed, pipeline_table
    from bench.speed import SPEED_MODEL

    torch.set_num_threads(1)
    return pipeline_table(pipeline_speed(videos, _load_encoder(SPEED_MODEL, "cpu"), rounds=rounds))


def _cost_tables(videos: Path, work: Path, rounds: int, plot: Path | None) -> list[Grid]:
    from bench import hour_cost
    from bench.inputs import INPUTS, MORE_INPUTS, can_make, make_inputs
    from indexer.discover import find_videos

    wanted = [one for one in (*INPUTS, *MORE_INPUTS) if can_make(one)]
    with _progress("making inputs") as step:
        inputs = make_inputs(find_videos([videos]), work, wanted, step)
    costs, frame = [hour_cost.hour_cost(path, rounds=rounds) for path in inputs], hour_cost.frame_cost()
    if plot:
        hour_cost.draw(costs, hour_cost.HOUR_SECONDS / 2 * frame.encode_seconds, plot)
    return [hour_cost.hour_table(costs), hour_cost.frame_table(frame)]


def _peer_tables(videos: Path, work: Path, rounds: int) -> list[Grid]:
    from bench.inputs import make_inputs
    from bench.peers import CHEAP_MODEL, costs, peers_table
    from bench.speed import SPEED_MODEL
    from indexer.discover import find_videos

    with _progress("making inputs") as step:
        inputs = make_inputs(find_videos([videos]), work, on_made=step)
    bound = {path.stem: costs(path, CHEAP_MODEL, rounds=rounds) for path in inputs}
    encoded = {inputs[1].stem: costs(inputs[1], SPEED_MODEL, rounds=rounds)}
    return [
        peers_table(
            bound, "One core, one frame every 2 s, an encoder that costs nothing: decoding is all there is"
        ),
        peers_table(encoded, "The same with ViT-B-32 (random weights): encoding is most of it"),
    ]


# --- scale ------------------------------------------------------------------------------------------


@bench.command()
@click.option("--rows", "sizes", default=[1_000_000], multiple=True, show_default=True, help="Frames; may repeat.")
@click.option("--index", "names", multiple=True, help="Which contenders; without it all.")
@click.option("--queries", "count", default=100, show_default=True, help="Asked one by one, of all in turn.")
@click.option("--cap", default=60.0, show_default=True, help="After so many seconds an index is asked no more.")
@click.option("--filters", default="", help='Instead: our indexes under filters, e.g. "1,0.1,0.01" of the videos.')
@click.option("--plot", type=click.Path(path_type=Path), help="Also draw time and recall against size, as SVG.")
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder for frames and indexes.")
@click.option("--format", "style", type=click.Choice(("table", "markdown")), default="table", show_default=True)
def scale(
    sizes: tuple[int, ...],
    names: tuple[str, ...],
    count: int,
    cap: float,
    filters: str,
    plot: Path | None,
    work: Path,
    style: str,
) -> None:
    """Compare every kind of index at some sizes: build, memory, recall, time of one query."""
    from bench import scale as timing

    unknown = set(names) - set(timing.CONTENDERS)
    if unknown:
        raise InputError(f"no index is called {min(unknown)!r}", f"Choose of: {', '.join(timing.CONTENDERS)}")
    measured = {}
    for rows in sizes:
        if filters:
            shares = [float(share) for share in filters.split(",")]
            ours = names or ("exact", "ivf-pq")
            grid = timing.filter_table(timing.measure_filters(work, rows, ours, shares, count), rows)
        else:
            contenders = names or tuple(timing.CONTENDERS)
            measured[rows] = timing.measure(work, rows, contenders, count, cap_seconds=cap, note=_note)
            grid = timing.table(measured[rows], rows)
        click.echo(grid.text(markdown=style == "markdown"))
    if plot:
        timing.draw(measured, plot)


@bench.command()
@click.option("--sizes", default="10000,100000,1000000", show_default=True, help="Frames at which runs are timed.")
@click.option("--runs", default=20, show_default=True, help="Of one new video, at each size; half as many of ten.")
@click.option(
    "--frames", "video_frames", default=75, show_default=True, help="Of each video; a divisor of 64,800."
)
@click.option(
    "--work", type=click.Path(path_type=Path), required=True, help="Where the library lies; may be there."
)
@click.option("--plot", type=click.Path(path_type=Path), help="Also draw cost against size, as SVG.")
@click.option("--format", "style", type=click.Choice(("table", "markdown")), default="table", show_default=True)
def growth(sizes: str, runs: int, video_frames: int, work: Path, plot: Path | None, style: str) -> None:
    """Grow a library with synthetic videos: what does a run with a few new ones cost at each size?"""
    from bench import growth as growing

    def note(done: growing.Run | growing.Merging) -> None:
        what = f"{done.videos} new" if isinstance(done, growing.Run) else f"{done.files} files merged"
        _note(f"{done.rows:,} frames, {what}: {1e3 * done.seconds:.0f} ms")

    wanted = [int(size) for size in sizes.split(",")]
    timings, mergings = growing.measure(work, wanted, runs, video_frames, note)
    if plot:
        growing.draw(timings, plot)
    for grid in (growing.table(timings), growing.merging_table(mergings)):
        click.echo(grid.text(markdown=style == "markdown") + "\n")


@bench.command()
@click.option("--rows", default=100_000, show_default=True, help="Frames of the library that is served.")
@click.option("--clients", default=16, show_default=True, help="How many ask at once.")
@click.option("--requests", default=200, show_default=True, help="Of each measurement.")
@click.option("--format", "style", type=click.Choice(("table", "markdown")), default="table", show_default=True)
def serve(rows: int, clients: int, requests: int, style: str) -> None:
    """Time searches through `vclip serve` under load, and the index with and without joined queries."""
    from bench import serving

    loads = []
    for load in serving.measure(rows, clients, requests):
        _note(f"{load.what}, {load.clients} clients: {load.seconds:.1f} s")
        loads.append(load)
    click.echo(serving.table(loads, rows).text(markdown=style == "markdown"))


@bench.command()
@click.option("--rows", default="1000000,10000000,100000000", show_default=True, help="Sizes to search.")
@click.option("--format", "style", type=click.Choice(("table", "markdown")), default="table", show_default=True)
def gpu(rows: str, style: str) -> int:
    """Check the GPU's answers against the judge and print its speed; exit code 77 where there is no GPU."""
    from indexer.frame_index import gpu_reason

    if reason := gpu_reason():
        click.echo(f"bench gpu skipped: {reason}")
        return GPU_SKIPPED
    from bench import gpu as figures
    from indexer.devices import ALL, found_devices

    for line in figures.check():
        click.echo(line)
    limit = figures.limits()
    gpus = found_devices(ALL)
    lines = [
        *figures.encoder_lines(limit, gpus),
        *figures.decoder_lines(gpus[0]),
        *figures.search_lines(limit, [int(size) for size in rows.split(",")]),
    ]
    click.echo(figures.table(limit, lines).text(markdown=style == "markdown"))
    return 0


# --- long videos ------------------------------------------------------------------------------------


@bench.command()
@_source_options
@click.option("--hours", default=3.0, show_default=True, help="Length of the joined videos.")
@click.option("--queries", default=300, show_default=True, help="How many are asked.")
@click.option("--method", type=click.Choice(METHODS), default="proposals", show_default=True)
@click.option("--ranker", type=click.Choice(RANKERS), default="fitted", show_default=True)
def long(hours: float, queries: int, method: str, ranker: str, **options: Any) -> None:
    """Find moments in hours of video: the data set's own videos joined, with known places."""
    from bench.long_videos import measure

    source = _source(options)
    dataset = source.load_dataset()
    settings = SearchSettings(method=method, ranker=ranker)
    figures = measure(_features(source, dataset), dataset, settings, hours, queries)
    click.echo("  ".join(f"{name} {value:g}" for name, value in figures.items()))


# --- cost of localising ------------------------------------------------------------------------------


@bench.command()
@_source_options
@click.option("--clips", default=200, show_default=True, help="How many.")
def cost(clips: int, **options: Any) -> None:
    """CPU milliseconds that each method takes to find the windows of one clip, side by side (--features)."""
    from bench.cost import milliseconds

    click.echo("| method | ms of CPU a clip |")
    click.echo("| --- | ---: |")
    for name, spent in milliseconds(_curves(_source(options)), clips).items():
        click.echo(f"| {name} | {spent:.3f} |")


# --- refinement of the ends -------------------------------------------------------------------------


@bench.command()
@_source_options
@click.option("--ranker", type=click.Choice(RANKERS), default="fitted", show_default=True)
def refine(ranker: str, **options: Any) -> None:
    """Ends moved by a second look: every second frame, the same refined with the frames between, all frames."""
    from bench.refinement import measure

    source = _source(options)
    dataset = source.load_dataset()
    click.echo("| grid | R1@0.5 | R1@0.7 | mean error of an end, s |")
    click.echo("| --- | ---: | ---: | ---: |")
    for line in measure(_features(source, dataset), dataset, SearchSettings(ranker=ranker)):
        click.echo(f"| {line.grid} | {line.recall_05:.2f} | {line.recall_07:.2f} | {line.end_error_seconds:.2f} |")


# --- fit --------------------------------------------------------------------------------------------


@bench.command()
@_source_options
@click.option("--folds", default=5, show_default=True, help="By video; 0 fits without cross-validating.")
@click.option("--out", type=click.Path(path_type=Path), help="The parameter file to write.")
@click.option("--ablation", is_flag=True, help="Print instead what each part brings.")
@click.option("--licence", default="", help="Licence of the annotations, for the file.")
def fit(folds: int, out: Path | None, ablation: bool, licence: str, **options: Any) -> None:
    """Fit the rankers of the method `proposals`; print what they score on videos they have not seen.

    With --features and --saliency both signals are fitted together.
    """
    from dataclasses import replace

    from bench import fit as fitting

    source = _source(options)
    curve_sets = [_curves(replace(source, saliency=None))] if source.saliency and source.features else []
    curve_sets.append(_curves(source))
    settings = fitting.Fitting()
    if ablation:
        click.echo("| changed | signal | " + " | ".join(fitting.COLUMNS) + " |")
        click.echo("| --- " * (2 + len(fitting.COLUMNS)) + "|")
        for row in fitting.ablation(curve_sets, folds, settings):
            click.echo(
                f"| {row.name} | {row.signal} | " + " | ".join(f"{v:.2f}" for v in row.values.values()) + " |"
            )
        return
    if out is None:
        raise InputError("no file to write", "Name one: --out FILE")
    figures = fitting.cross_validated(curve_sets, folds, settings) if folds else {}
    for ranker, signals in figures.items():
        for signal, values in signals.items():
            columns = "  ".join(f"{name} {value:.2f}" for name, value in values.items())
            click.echo(f"{ranker}, {signal}: {columns}")
    rankers = fitting.fit_rankers(curve_sets, settings)
    fitting.save_record(out, fitting.record(rankers, curve_sets, settings, figures, licence))
    _note(f"written: {out}")
