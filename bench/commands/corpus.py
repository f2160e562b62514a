"""``bench corpus``, ``long``, ``cost`` and ``refine``: what ``vclip search`` does beyond a single short video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench.commands.options import COUNT, POSITIVE, curves_of, features_of, progress_bar, source_of, source_options
from searcher.settings import METHODS, RANKERS, SearchSettings


@click.command()
@source_options
@click.option("--settings", "settings_file", type=click.Path(path_type=Path), help="A settings file.")
@click.option("--workers", type=COUNT, default=2, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True)
def corpus(settings_file: Path | None, workers: int, as_json: bool, **options: Any) -> None:
    """Find video and moment among all videos of a split: R@1/5/10/100, through library and FAISS index."""
    from bench.corpus import build_corpus, corpus_folder, score_corpus
    from bench.tables import corpus_markdown, cutoff_markdown
    from searcher.settings_file import read_settings

    source = source_of(options)
    settings = read_settings(settings_file) if settings_file else SearchSettings()
    dataset = source.load_dataset()
    features = features_of(source, dataset)
    library = corpus_folder(source.cache_folder, features)
    build_corpus(features, dataset, library)
    with progress_bar("searching") as step:
        scores = score_corpus(library, features, dataset, settings, workers, lambda a, b: step(a, b, ""))
    report = scores.report()
    if as_json:
        values = {"source": features.source, "settings": settings.to_dict(), **report, "roc": scores.cutoffs()}
        click.echo(json.dumps(values, indent=1))
        return
    click.echo(corpus_markdown(report, features.source, len(features.frames), len(dataset)))
    click.echo(cutoff_markdown(scores.cutoffs(), report))


@click.command()
@source_options
@click.option(
    "--hours",
    type=POSITIVE,
    default=3.0,
    show_default=True,
    help="Length of the joined videos.",
)
@click.option("--queries", type=COUNT, default=300, show_default=True, help="How many are asked.")
@click.option("--method", type=click.Choice(METHODS), default="proposals", show_default=True)
@click.option("--ranker", type=click.Choice(RANKERS), default="fitted", show_default=True)
def long(hours: float, queries: int, method: str, ranker: str, **options: Any) -> None:
    """Find moments in hours of video: the data set's own videos joined, with known places."""
    from bench.long_videos import measure

    source = source_of(options)
    dataset = source.load_dataset()
    settings = SearchSettings(method=method, ranker=ranker)
    figures = measure(features_of(source, dataset), dataset, settings, hours, queries)
    click.echo("  ".join(f"{name} {value:g}" for name, value in figures.items()))


@click.command()
@source_options
@click.option("--clips", type=COUNT, default=200, show_default=True, help="How many.")
def cost(clips: int, **options: Any) -> None:
    """CPU milliseconds that each method takes to find the windows of one clip, side by side (--features)."""
    from bench.cost import milliseconds

    found = milliseconds(curves_of(source_of(options)), clips)
    first = next(iter(found.values()))
    click.echo("| method | ms of CPU a clip | ratio |")
    click.echo("| --- | ---: | ---: |")
    for name, spent in found.items():
        click.echo(f"| {name} | {spent:.3f} | {spent / first:.1f} |")


@click.command()
@source_options
@click.option("--ranker", type=click.Choice(RANKERS), default="fitted", show_default=True)
def refine(ranker: str, **options: Any) -> None:
    """Ends moved by a second look: every second frame, the same refined with the frames between, all frames."""
    from bench.refinement import measure

    source = source_of(options)
    dataset = source.load_dataset()
    click.echo("| grid | R1@0.5 | R1@0.7 | mean error of an end, s |")
    click.echo("| --- | ---: | ---: | ---: |")
    for line in measure(features_of(source, dataset), dataset, SearchSettings(ranker=ranker)):
        click.echo(f"| {line.grid} | {line.recall_05:.2f} | {line.recall_07:.2f} | {line.end_error_seconds:.2f} |")
