"""``bench scale``, ``growth``, ``serve`` and ``gpu``: large libraries, and many clients."""

from __future__ import annotations

from pathlib import Path

import click

from bench.commands.options import COUNT, OUTPUT_FOLDER, PLOT_FILE, POSITIVE, Listed, note
from indexer.errors import InputError

#: As test harnesses take it: neither passed nor failed.
GPU_SKIPPED = 77


@click.command()
@click.option(
    "--rows",
    "sizes",
    type=COUNT,
    default=[1_000_000],
    multiple=True,
    show_default=True,
    help="Frames; may repeat.",
)
@click.option("--index", "names", multiple=True, help="Which contenders; without it all that build in good time.")
@click.option(
    "--queries", "count", type=COUNT, default=100, show_default=True, help="Asked one by one, of all in turn."
)
@click.option(
    "--cap",
    type=POSITIVE,
    default=60.0,
    show_default=True,
    help="After so many seconds an index is asked no more.",
)
@click.option("--apart", is_flag=True, help="Ask one after another: where together they outgrow the memory.")
@click.option(
    "--filters",
    "shares",
    type=Listed(click.FloatRange(0, 1, min_open=True)),
    help='Instead: our indexes under filters, e.g. "1,0.1,0.01" of the videos.',
)
@click.option("--plot", type=PLOT_FILE, help="Also draw time and recall against size, as SVG.")
@click.option("--work", type=OUTPUT_FOLDER, required=True, help="Folder for frames and indexes.")
@click.option("--format", "style", type=click.Choice(("table", "markdown")), default="table", show_default=True)
def scale(
    sizes: tuple[int, ...],
    names: tuple[str, ...],
    count: int,
    cap: float,
    apart: bool,
    shares: list[float] | None,
    plot: Path | None,
    work: Path,
    style: str,
) -> None:
    """Compare every kind of index at some sizes: build, memory, recall, time of one query."""
    from bench import scale as timing
    from bench.contenders import CONTENDERS

    unknown = set(names) - set(CONTENDERS)
    if unknown:
        raise InputError(f"no index is called {min(unknown)!r}", f"Choose of: {', '.join(CONTENDERS)}")
    measured = {}
    for rows in sizes:
        if shares:
            ours = names or ("exact", "ivf-pq")
            grid = timing.filter_table(timing.measure_filters(work, rows, ours, shares, count), rows)
        else:
            contenders = names or tuple(CONTENDERS)
            measured[rows] = timing.measure(
                work, rows, contenders, count, cap_seconds=cap, note=note, apart=apart, slow_too=bool(names)
            )
            grid = timing.table(measured[rows], rows)
        click.echo(grid.text(markdown=style == "markdown"))
    if plot:
        timing.draw(measured, plot)


@click.command()
@click.option(
    "--sizes",
    type=Listed(COUNT),
    default="10000,100000,1000000",
    show_default=True,
    help="Frames at which runs are timed.",
)
@click.option(
    "--runs",
    type=COUNT,
    default=20,
    show_default=True,
    help="Of one new video, at each size; half as many of ten.",
)
@click.option(
    "--frames",
    "video_frames",
    type=COUNT,
    default=75,
    show_default=True,
    help="Of each video; a divisor of 64,800.",
)
@click.option("--work", type=OUTPUT_FOLDER, required=True, help="Where the library lies; may be there.")
@click.option("--plot", type=PLOT_FILE, help="Also draw cost against size, as SVG.")
@click.option("--format", "style", type=click.Choice(("table", "markdown")), default="table", show_default=True)
def growth(sizes: list[int], runs: int, video_frames: int, work: Path, plot: Path | None, style: str) -> None:
    """Grow a library with synthetic videos: what does a run with a few new ones cost at each size?"""
    from bench import growth as growing
    from bench.synthetic import CHUNK_ROWS

    def tell(done: growing.Run | growing.Merging) -> None:
        what = f"{done.videos} new" if isinstance(done, growing.Run) else f"{done.files} files merged"
        note(f"{done.rows:,} frames, {what}: {1e3 * done.seconds:.0f} ms")

    if CHUNK_ROWS % video_frames:
        raise InputError(f"--frames {video_frames} does not divide {CHUNK_ROWS:,}", "Choose another")
    timings, mergings = growing.measure(work, sizes, runs, video_frames, tell)
    if plot:
        growing.draw(timings, plot)
    for grid in (growing.table(timings), growing.merging_table(mergings)):
        click.echo(grid.text(markdown=style == "markdown") + "\n")


@click.command()
@click.option(
    "--rows", type=COUNT, default=100_000, show_default=True, help="Frames of the library that is served."
)
@click.option("--clients", type=COUNT, default=16, show_default=True, help="How many ask at once.")
@click.option("--requests", type=COUNT, default=200, show_default=True, help="Of each measurement.")
@click.option("--work", type=OUTPUT_FOLDER, help="Where the library lies or is left; default: nowhere.")
@click.option("--format", "style", type=click.Choice(("table", "markdown")), default="table", show_default=True)
def serve(rows: int, clients: int, requests: int, work: Path | None, style: str) -> None:
    """Time searches through `vclip serve` under load, and the index with and without joined queries."""
    from bench import serving

    loads = []
    for load in serving.measure(rows, clients, requests, work):
        note(f"{load.what}, {load.clients} clients: {load.seconds:.1f} s")
        loads.append(load)
    click.echo(serving.table(loads, rows).text(markdown=style == "markdown"))


@click.command()
@click.option(
    "--rows", type=Listed(COUNT), default="1000000,10000000,100000000", show_default=True, help="Sizes to search."
)
@click.option("--format", "style", type=click.Choice(("table", "markdown")), default="table", show_default=True)
def gpu(rows: list[int], style: str) -> int:
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
        *figures.search_lines(limit, rows),
    ]
    click.echo(figures.table(limit, lines).text(markdown=style == "markdown"))
    return 0
