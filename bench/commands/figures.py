"""``bench models`` and ``plots``: the figures of the thesis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.commands.options import (
    PLOT_FILE,
    curves_of,
    load_encoder,
    name_missing,
    note,
    source_of,
    source_options,
    video_features,
)
from indexer.errors import InputError
from searcher.settings import METHODS, SearchSettings

if TYPE_CHECKING:
    from bench.curves import CurveSet


@click.command()
@source_options
@click.option("--models", "names", required=True, multiple=True, help="An OpenCLIP model; name several.")
@click.option("--plot", type=PLOT_FILE, help="Write the bar plot (figure 17) here.")
@click.option("--json", "as_json", is_flag=True)
def models(names: tuple[str, ...], plot: Path | None, as_json: bool, **options: Any) -> None:
    """Compare OpenCLIP models on --videos: average frame IoU of VC1 + norm over six λ."""
    from bench.curves import curves_from_features
    from bench.models import assess

    source = source_of(options)
    if source.videos is None:
        raise InputError("models are compared on videos", "Name --videos DIR")
    dataset = source.load_dataset()
    found = []
    for name in names:
        curve_set = curves_from_features(video_features(source, dataset, name), dataset)
        name_missing(curve_set)
        found.append(assess(name, curve_set))
    found.sort(key=lambda scored: -scored.mean)
    if plot is not None:
        from bench.plots import plot_models, save

        save(plot_models({scored.model: scored.by_level for scored in found}), plot)
        note(f"wrote {plot}")
    if as_json:
        click.echo(json.dumps([{"model": s.model, "mean": s.mean, "by_lambda": dict(s.by_level)} for s in found]))
        return
    for scored in found:
        levels = "  ".join(f"{level:.2f}: {value:.3f}" for level, value in scored.by_level.items())
        click.echo(f"{scored.mean:.3f}  {scored.model}  ({levels})")


@click.group()
def plots() -> None:
    """Figures as PNG files."""


@plots.command("curves")
@source_options
@click.option("--qid", "qids", multiple=True, help="A query; name several for one figure.  [default: the first]")
@click.option(
    "--settings", "settings_file", type=click.Path(path_type=Path), help="Settings to draw windows with."
)
@click.option("--method", type=click.Choice(METHODS), help="[default: the settings file's, else vc1]")
@click.option("--out", required=True, type=PLOT_FILE)
def plot_curves(
    qids: tuple[str, ...], settings_file: Path | None, method: str | None, out: Path, **options: Any
) -> None:
    """S_c and CFS_c of queries with the ground truth (figures 13, 15 and 16)."""
    from bench.plots import plot_queries, save
    from searcher.settings_file import read_settings

    curve_set = curves_of(source_of(options))
    over = {"method": method} if method else {}
    settings = read_settings(settings_file, over) if settings_file else SearchSettings(method=method or "vc1")
    places = [_place(curve_set, qid) for qid in qids] or [0]
    queries = [curve_set.queries[place] for place in places]
    save(plot_queries(queries, [curve_set.curves[place] for place in places], settings), out)
    note(f"wrote {out}")


def _place(curve_set: CurveSet, qid: str) -> int:
    for place, query in enumerate(curve_set.queries):
        if str(query.qid) == qid:
            return place
    raise InputError(f"no query {qid} with a curve in {curve_set.dataset.source}")


@plots.command("iou")
@source_options
@click.option(
    "--settings", "settings_files", multiple=True, type=click.Path(path_type=Path), help="One panel each."
)
@click.option("--out", required=True, type=PLOT_FILE)
def plot_iou(settings_files: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Distribution of queries by frame IoU (figure 19).

    Without --settings: VC1 none, VC1 norm and VC2 smoothed, with default settings.
    """
    from bench.plots import plot_iou_histograms, save
    from bench.run import FrameTruth, Replay
    from searcher.settings_file import read_settings

    chosen = [read_settings(path) for path in settings_files] or [
        SearchSettings(method="vc1", postprocess="none"),
        SearchSettings(method="vc1", postprocess="norm"),
        SearchSettings(method="vc2", postprocess="smooth_norm"),
    ]
    replay = Replay(curves_of(source_of(options)))
    truth = FrameTruth(replay.curve_set)
    groups = {f"{s.method.upper()} {s.postprocess}": truth.score(replay.windows(s)).iou for s in chosen}
    save(plot_iou_histograms(groups), out)
    note(f"wrote {out}")


@plots.command("ssim")
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", default="ViT-B-32/laion2b_s34b_b79k", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--fps", default=0.5, show_default=True)
@click.option("--alpha", "cut_threshold", default=0.85, show_default=True)
@click.option("--out", required=True, type=PLOT_FILE)
def plot_ssim(
    videos: tuple[Path, ...], model: str, device: str, fps: float, cut_threshold: float, out: Path
) -> None:
    """CFS_c beside frame-to-frame SSIM of videos (figure 14)."""
    from bench.plots import plot_scenes, save
    from bench.videos import scene_curves
    from indexer.settings import period_of

    encoder = load_encoder(model, device)
    curves = [scene_curves(path, encoder, period_of(fps)) for path in videos]
    save(plot_scenes(curves, cut_threshold), out)
    note(f"wrote {out}")
