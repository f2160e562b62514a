"""``bench tune``, ``fit`` and ``baselines``: parameters chosen by cross-validation, and others' methods."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.commands.options import (
    OUTPUT_FILE,
    OUTPUT_FOLDER,
    PIPED_WIDTH,
    SEED,
    TARGET_NAMES,
    Source,
    curves_of,
    features_of,
    format_option,
    note,
    pairs,
    print_tables,
    progress_bar,
    source_of,
    source_options,
)
from indexer.errors import InputError
from searcher.settings import METHODS, POSTPROCESSES

if TYPE_CHECKING:
    from bench.curves import CurveSet
    from bench.tune import Tuned, Tuning


@click.command()
@source_options
@click.option("--method", type=click.Choice([*METHODS, "all"]), default="all", show_default=True)
@click.option("--postprocess", type=click.Choice([*POSTPROCESSES, "all"]), default="all", show_default=True)
@click.option("--target", type=click.Choice(TARGET_NAMES), default="windows", show_default=True)
@click.option("--folds", default=5, show_default=True, help="Cross-validation by video.")
@click.option("--train-annotations", type=click.Path(path_type=Path), help="Tune on these, score the others.")
@click.option("--train-features", type=click.Path(path_type=Path), help="Their features, if not in --features.")
@click.option("--trials", default=100, show_default=True, help="Optuna trials a study.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option("--out", type=OUTPUT_FOLDER, default=Path("tuning"), show_default=True)
@format_option
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
    from bench.tune import TARGETS, Tuning, cross_validate, save_settings, settings_record, tune_and_validate

    if train_features is not None and train_annotations is None:
        raise InputError("--train-features are those of --train-annotations", "Name both, or neither")
    source = source_of(options)
    test = curves_of(source)
    rows = [pair for pair in pairs(method, postprocess) if method != "all" or pair[0] in THESIS_METHODS]
    tuning = Tuning(rows, target, trials, seed, workers, out / "studies.db")
    with progress_bar("tuning") as step:
        if train_annotations is None:
            train, used_folds = test, folds
            found = cross_validate(tuning, test, folds, step)
        else:
            train, used_folds = curves_of(_train_source(source, train_annotations, train_features)), None
            found = tune_and_validate(tuning, train, test, step)
    for tuned in found:
        path = out / f"{tuned.method}-{tuned.postprocess}-{target}.json"
        save_settings(path, settings_record(tuned, tuning, train, used_folds))
    protocol = f"tuned for {TARGETS[target][0]} " + (
        "on train" if used_folds is None else f"by {folds}-fold CV by video"
    )
    results = Results(
        source=described(test.dataset, f"{test.source}, {protocol}"),
        windows=tuple(tuned.row() for tuned in found),
        frames=tuple(tuned.row(frames=True) for tuned in found),
        provenance={
            f"tune-{target}": {
                "trials": {f"{tuned.method} {tuned.postprocess}": tuned.trials for tuned in found},
                "seed": seed,
                "folds": used_folds,
            }
        },
    )
    save_results(out / f"results-{target}.json", results)
    _plot_studies(tuning, train, found, out)
    print_tables(results.tables(), style, results)
    _print_settings(found)


def _train_source(source: Source, annotations: Path, features: Path | None) -> Source:
    from dataclasses import replace

    return replace(source, annotations=annotations, features=features or source.features)


def _plot_studies(tuning: Tuning, train: CurveSet, found: Sequence[Tuned], out: Path) -> None:
    """History, slices and importances of the studies over all training queries; skipped without matplotlib."""
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        note("no plots: pip install 'vclipper[bench]'")
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


@click.command()
@source_options
@click.option("--folds", default=5, show_default=True, help="By video; 0 fits without cross-validating.")
@click.option("--out", type=OUTPUT_FILE, help="The parameter file to write.")
@click.option("--ablation", is_flag=True, help="Print instead what each part brings.")
@click.option("--licence", default="", help="Licence of the annotations, for the file.")
def fit(folds: int, out: Path | None, ablation: bool, licence: str, **options: Any) -> None:
    """Fit the rankers of the method `proposals`; print what they score on videos they have not seen.

    With --features and --saliency both signals are fitted together.
    """
    from dataclasses import replace

    from bench import fit as fitting

    source = source_of(options)
    curve_sets = [curves_of(replace(source, saliency=None))] if source.saliency and source.features else []
    curve_sets.append(curves_of(source))
    settings = fitting.Fitting()
    if ablation:
        from bench.ablation import ablation as measured

        click.echo("| changed | signal | " + " | ".join(fitting.COLUMNS) + " |")
        click.echo("| --- " * (2 + len(fitting.COLUMNS)) + "|")
        for row in measured(curve_sets, folds, settings):
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
    note(f"written: {out}")


@click.command()
@source_options
@click.option("--folds", default=5, show_default=True, help="For choosing parameters, by video.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--results", "results_file", type=OUTPUT_FILE, help="Write the rows here as JSON.")
@format_option
def baselines(folds: int, seed: int, results_file: Path | None, style: str, **options: Any) -> None:
    """Other people's ways from curve to windows, on the same curves, tuned on the same folds."""
    from bench.baselines import example_pictures, image_curves, run_baselines
    from bench.tables import Results, baseline_table, described, save_results

    source = source_of(options)
    curve_set = curves_of(source)
    images = None
    if source.saliency is None:
        features = features_of(source, curve_set.dataset)
        images = image_curves(features, curve_set, example_pictures(features, curve_set))
    found = run_baselines(curve_set, folds, seed, images)
    results = Results(
        source=described(curve_set.dataset, f"{curve_set.source}, tuned for R1@0.5 by {folds}-fold CV by video"),
        baselines=tuple(result.row for result in found),
        provenance={"baselines": {result.name: dict(result.parameters) for result in found}},
    )
    if results_file is not None:
        save_results(results_file, results)
    print_tables([baseline_table(results.baselines, results.source)], style, results)
    for result in found:
        if result.parameters:
            note(f"{result.name}: {dict(result.parameters)}")
