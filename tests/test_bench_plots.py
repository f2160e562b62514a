"""Plots are drawn and written at print resolution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.curves import CurveSet, curves_from_features, load_features
from bench.datasets import load_dataset
from indexer.errors import InputError
from searcher.settings import SearchSettings
from tests.bench_data import write_small_dataset

pytest.importorskip("matplotlib", reason="the extra [bench] is not installed")

from bench import plots


@pytest.fixture
def small(tmp_path: Path) -> CurveSet:
    dataset = load_dataset(write_small_dataset(tmp_path))
    return curves_from_features(load_features(tmp_path, dataset), dataset)


def check_png(path: Path) -> None:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size[0] == round(plots.WIDTH_INCHES * plots.DPI)
        pixels = np.asarray(image.convert("L"))
    assert 0.01 < (pixels < 250).mean() < 0.6  # something is drawn, and it is no black page


@pytest.mark.parametrize("method", ["vc1", "vc2"])
def test_query_curves(small: CurveSet, tmp_path: Path, method: str) -> None:
    settings = SearchSettings(method=method)
    figure = plots.plot_queries(small.queries[:2], small.curves[:2], settings)
    assert [axes.get_xlim() for axes in figure.axes] == [(0.0, 40.0)] * 4
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "ground truth" in labels
    assert f"{method.upper()} windows" in labels
    check_png(plots.save(figure, tmp_path / "out" / "curves.png"))


def test_a_query_is_no_formula(small: CurveSet, tmp_path: Path) -> None:
    query = replace(small.queries[0], text=r"from $\5 to $9")
    figure = plots.plot_queries([query], small.curves[:1], SearchSettings())
    check_png(plots.save(figure, tmp_path / "curves.png"))


def test_iou_histogram_shows_mean_and_share(tmp_path: Path) -> None:
    figure = plots.plot_iou_histograms({"a": np.array([0.0, 0.4, 0.8, 1.0]), "b": np.array([0.5, 0.6])})
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["mean 0.550\nabove 0.5: 50.0%", "mean 0.550\nabove 0.5: 50.0%"]
    bars = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(bars) == pytest.approx(100)
    check_png(plots.save(figure, tmp_path / "iou.png"))


def test_scenes_beside_ssim(tmp_path: Path) -> None:
    scenes = plots.SceneCurves("v.mp4", np.array([0.9, 0.2, 0.9]), np.array([0.7, 0.1, 0.8]), 2.0, [(2.0, 4.0)])
    check_png(plots.save(plots.plot_scenes([scenes], 0.85), tmp_path / "ssim.png"))


def test_models_are_ranked(tmp_path: Path) -> None:
    figure = plots.plot_models({"weak": {0.5: 0.1, 0.6: 0.2}, "strong": {0.5: 0.5, 0.6: 0.4}})
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["strong", "weak"]
    check_png(plots.save(figure, tmp_path / "models.png"))


def test_study_and_importances(tmp_path: Path) -> None:
    import optuna

    from bench.tune import importances, open_study

    study = open_study("s", f"sqlite:///{tmp_path / 's.db'}")
    for value in (0.1, 0.5, 0.3):
        study.add_trial(
            optuna.trial.create_trial(
                params={"threshold": value},
                distributions={"threshold": optuna.distributions.FloatDistribution(0, 1)},
                value=value,
            )
        )
    figure = plots.plot_study(study, "VC1 norm", "R1@0.5")
    assert list(figure.axes[0].lines[1].get_ydata()) == [10.0, 50.0, 50.0]
    check_png(plots.save(figure, tmp_path / "study.png"))
    check_png(plots.save(plots.plot_importances({"VC1": importances(study)}, "R1@0.5"), tmp_path / "i.png"))


def test_nothing_to_plot_is_an_error() -> None:
    for draw in (plots.plot_iou_histograms, plots.plot_models):
        with pytest.raises(InputError):
            draw({})
    with pytest.raises(InputError):
        plots.plot_queries([], [], SearchSettings())
