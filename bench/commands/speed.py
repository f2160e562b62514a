"""``bench speed`` (indexing, other tools, one query, a cold start) and ``shortcuts``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.commands.options import COUNT, OUTPUT_FOLDER, PLOT_FILE, Listed, load_encoder, progress_bar
from indexer.errors import InputError

if TYPE_CHECKING:
    from bench.grid import Grid

SPEED_PARTS = ("all", "index", "backends", "query", "start", "peers", "cost", "ray")


@click.command()
@click.option(
    "--videos",
    type=click.Path(path_type=Path),
    help="Videos to index, or (peers, cost) to join; without it these parts are left out.",
)
@click.option("--work", type=OUTPUT_FOLDER, default=Path("bench-inputs"), help="Where inputs go (peers, cost).")
@click.option(
    "--rounds", type=COUNT, default=3, show_default=True, help="How often halves and pipeline are timed in turn."
)
@click.option(
    "--rows",
    type=Listed(COUNT),
    default="10000,100000,1000000",
    show_default=True,
    help="Corpus sizes for one query.",
)
@click.option("--part", type=click.Choice(SPEED_PARTS), default="all", show_default=True)
@click.option("--model", default="ViT-B-32/random", show_default=True, help="A vision transformer (backends).")
@click.option("--plot", type=PLOT_FILE, help="Also draw cost against picture size, as SVG (cost).")
@click.option("--format", "style", type=click.Choice(("table", "markdown")), default="table", show_default=True)
def speed(
    videos: Path | None,
    work: Path,
    rounds: int,
    rows: list[int],
    part: str,
    model: str,
    plot: Path | None,
    style: str,
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
        tables.append(timing.query_table([timing.query_speed(size) for size in rows]))
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
    return pipeline_table(pipeline_speed(videos, load_encoder(SPEED_MODEL, "cpu"), rounds=rounds))


def _cost_tables(videos: Path, work: Path, rounds: int, plot: Path | None) -> list[Grid]:
    from bench import hour_cost
    from bench.inputs import INPUTS, MORE_INPUTS, can_make, make_inputs
    from indexer.discover import find_videos

    wanted = [one for one in (*INPUTS, *MORE_INPUTS) if can_make(one)]
    with progress_bar("making inputs") as step:
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

    with progress_bar("making inputs") as step:
        inputs = make_inputs(find_videos([videos]), work, on_made=step)
    bound = {path.stem: costs(path, CHEAP_MODEL, rounds=rounds) for path in inputs}
    encoded = {inputs[1].stem: costs(inputs[1], SPEED_MODEL, rounds=rounds)}
    return [
        peers_table(
            bound, "One core, one frame every 2 s, an encoder that costs nothing: decoding is all there is"
        ),
        peers_table(encoded, "The same with ViT-B-32 (random weights): encoding is most of it"),
    ]


@click.command()
@click.option("--videos", type=click.Path(path_type=Path), required=True, help="Whose pictures are compared.")
@click.option("--model", required=True, help="An OpenCLIP model, with trained weights if it is to mean something.")
@click.option("--format", "style", type=click.Choice(("table", "markdown")), default="table", show_default=True)
def shortcuts(videos: Path, model: str, style: str) -> None:
    """Compare vectors of pictures near their times, or decoded without the loop filter, with exact ones."""
    from bench.shortcuts import likeness, likeness_table
    from indexer.discover import find_videos

    table = likeness_table(*likeness(find_videos([videos]), load_encoder(model, "cpu")), model)
    click.echo(table.text(markdown=style == "markdown"))
