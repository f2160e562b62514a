"""``bench score``, ``run`` and ``tables``: predictions, their scores, and the tables of the thesis."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.commands.options import (
    DATASET_NAMES,
    OUTPUT_FILE,
    OUTPUT_FOLDER,
    Source,
    curves_of,
    features_of,
    format_option,
    load_encoder,
    note,
    pairs,
    print_tables,
    source_of,
    source_options,
)
from indexer.errors import InputError
from searcher.settings import METHODS, POSTPROCESSES, SearchSettings

if TYPE_CHECKING:
    from bench.curves import CurveSet
    from bench.run import Replay
    from bench.score import Evaluation
    from bench.tables import Results, Table


@click.command()
@click.argument("predictions", type=click.Path(path_type=Path))
@click.argument("ground_truth", type=click.Path(path_type=Path))
@click.option("--dataset", type=click.Choice(DATASET_NAMES), default="qvhighlights", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The official report's keys, and ours under 'extra'.")
@click.option("--rows", type=OUTPUT_FILE, help="Write one JSON object a query here.")
def score(predictions: Path, ground_truth: Path, dataset: str, as_json: bool, rows: Path | None) -> None:
    """Score a PREDICTIONS file against GROUND_TRUTH as the QVHighlights evaluator does.

    The ground truth decides which queries count: a missing or empty prediction is a miss.
    """
    from bench.score import score_file

    evaluation = score_file(predictions, ground_truth, dataset)
    if rows is not None:
        rows.parent.mkdir(parents=True, exist_ok=True)
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


@click.command()
@source_options
@click.option("--method", type=click.Choice([*METHODS, "all"]), default="all", show_default=True)
@click.option("--postprocess", type=click.Choice([*POSTPROCESSES, "all"]), default="all", show_default=True)
@click.option(
    "--settings",
    "settings_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A settings file (several: one row each) instead of the default settings; other options count over it.",
)
@click.option("--lambda", "threshold", type=float, help="λ for all rows.")
@click.option("--beta", "min_confidence", type=float, help="β (VC1).")
@click.option("--alpha", "cut_threshold", type=float, help="α (VC2).")
@click.option("--top-share", "-p", type=float, help="p (VC2).")
@click.option("--smooth-window", "-M", type=int, help="M, odd.")
@click.option(
    "--image", type=click.Path(path_type=Path), help="A picture instead of every query's text (--videos)."
)
@click.option("--predictions", type=OUTPUT_FOLDER, help="Folder for prediction files.")
@click.option("--results", "results_file", type=OUTPUT_FILE, help="Write the rows here as JSON.")
@format_option
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

    source = source_of(options)
    curve_set = curves_of(source) if image is None else _curves_of_image(source, image)
    rows = _chosen_settings(method, postprocess, settings_files, options)
    replay = Replay(curve_set)
    results = _measure(replay, rows)
    if predictions is not None:
        _save_predictions(replay, rows, predictions)
    if results_file is not None:
        save_results(results_file, results)
    print_tables(results.tables(), style, results)


def _chosen_settings(
    method: str, postprocess: str, files: Sequence[Path], knobs: Mapping[str, Any]
) -> list[SearchSettings]:
    from searcher.settings_file import read_settings

    given = {name: value for name, value in knobs.items() if value is not None}
    if files:
        chosen = {"method": method, "postprocess": postprocess}
        over = {**given, **{name: value for name, value in chosen.items() if value != "all"}}
        return [read_settings(path, over) for path in files]
    return [SearchSettings(method=m, postprocess=p, **given) for m, p in pairs(method, postprocess)]


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
    features = features_of(source, dataset)
    vector = encode_images(load_encoder(source.model, source.device), [picture])[0]
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

    for settings, name in zip(rows, _distinct([f"{s.method}-{s.postprocess}" for s in rows]), strict=True):
        path = folder / f"{name}.jsonl"
        save_predictions(path, replay.predictions(settings), replay.curve_set.dataset)
        note(f"wrote {path}")


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, numbered from the second of the same on."""
    places = [names[: place + 1].count(name) for place, name in enumerate(names)]
    return [name if place == 1 else f"{name}-{place}" for name, place in zip(names, places, strict=True)]


@click.command()
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=OUTPUT_FOLDER, help="Also write tables.md and a CSV a table here.")
@format_option
def tables(results: tuple[Path, ...], out: Path | None, style: str) -> None:
    """The thesis's tables: ours (RESULTS files of run, tune and baselines) beside its and published figures.

    Rows measured on several sources say each which is its own. Without RESULTS the thesis's and the papers'
    figures alone.
    """
    from bench import tables as t

    merged = t.Results.together([t.read_results(path) for path in results])
    found = merged.tables() or [t.frame_table(()), t.window_table(()), t.length_table(()), t.comparison_table(())]
    print_tables(found, style, merged)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "tables.md").write_text("\n".join(table.markdown() for table in found), encoding="utf-8")
        for name, table in zip(_file_names(found), found, strict=True):
            (out / f"{name}.csv").write_text(table.csv(), encoding="utf-8")


def _file_names(found: Sequence[Table]) -> list[str]:
    titles = [table.title.split(":")[0].replace(",", "") for table in found]
    return [title.lower().replace(" ", "-") for title in titles]
