"""The benches of size on little data: figures that can be checked, and files that are reused."""

from __future__ import annotations

import numpy as np
import pytest

from bench import growth, scale, synthetic
from bench.commands import bench
from indexer.segments import load


def test_synthetic_frames_have_the_structure_they_claim():
    vectors = synthetic.frames(2_000).astype(np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    scenes = vectors[:800].reshape(100, 8, 512)
    assert np.einsum("snd,snd->sn", scenes[:, :-1], scenes[:, 1:]).mean() == pytest.approx(0.95, abs=0.02)
    assert (vectors[:100] @ vectors[400:500].T).mean() == pytest.approx(0.67, abs=0.05)  # one video
    assert (vectors[:100] @ vectors[1_000:1_100].T).mean() == pytest.approx(0.48, abs=0.08)  # two videos
    scores = synthetic.queries(50, 2_000) @ vectors.T
    assert scores.max(axis=1).mean() > scores.mean() + 3 * scores.std(axis=1).mean()


def test_frames_are_the_same_every_time():
    assert np.array_equal(synthetic.frames(1_000), synthetic.frames_from(0, 1_000))


def test_exact_contenders_have_recall_1(tmp_path):
    names = ("exact", "faiss IndexFlatIP", "lancedb flat")
    results = {r.name: r for r in scale.measure(tmp_path, 3_000, names, count=5)}
    assert [results[name].recall for name in names] == [
        1.0,
        1.0,
        pytest.approx(1.0, abs=0.01),
    ]  # Lance sums in float16


@pytest.mark.parametrize(
    "name", ["usearch f16", "hnswlib", pytest.param("lancedb IVF_PQ", marks=pytest.mark.slow)]
)
def test_what_took_long_to_build_is_opened_again(tmp_path, name):
    pytest.importorskip({"usearch f16": "usearch"}.get(name, name.split()[0]), reason="needs the extra [bench]")
    built, opened = (scale.measure(tmp_path, 3_000, [name], count=3)[0] for _ in range(2))
    assert opened.build_seconds == built.build_seconds  # of the first time
    assert opened.recall == built.recall > 0.7


def test_what_cannot_be_measured_says_why(monkeypatch, tmp_path):
    monkeypatch.setitem(
        scale.CONTENDERS, "hnswlib", scale.Contender(lambda flat, folder: None, max_rows=10, why_not="slow")
    )
    result = scale.measure(tmp_path, 1_000, ["hnswlib"], count=2)[0]
    assert result.why_not == "slow"
    assert "slow" in scale.table([result], 1_000).text()


def test_filters_keep_the_count_and_the_recall(tmp_path):
    result = scale.measure_filters(tmp_path, 20_000, ["exact"], [0.1], count=3)[0]
    assert (result.returned, result.recall) == (100, 1.0)


def test_a_library_grows_from_where_it_was(tmp_path):
    assert [s.rows for s in growth.grow(tmp_path / "lib", 1_800, rows_per_step=900)] == [900, 1_800]
    steps = list(growth.grow(tmp_path / "lib", 2_700, rows_per_step=900))
    assert [(s.rows, s.videos) for s in steps] == [(2_700, 1)]
    flat, _ = load(tmp_path / "lib", 512)
    assert np.array_equal(np.concatenate([s.stored for s in flat.segments]), synthetic.frames(2_700))
    growth.draw(steps, tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    assert "2,700" in growth.table(steps).text()


def test_runs_between_two_doublings_are_one_line():
    steps = [growth.Step(900 * n, 1, 0.1 * n, 0.0, n, 10 - n) for n in range(1, 8)]
    lines = growth.by_doubling(steps)
    # the first at 900; up to twice that: 1,800; then from 2,700 to 5,400, and from 6,300 on
    assert [(line.rows, line.videos, line.fragments) for line in lines] == [
        (1_800, 2, 2),
        (5_400, 4, 6),
        (6_300, 1, 7),
    ]
    assert lines[1].per_video == pytest.approx((0.3 + 0.4 + 0.5 + 0.6) / 4)
    assert lines[1].memory_bytes == 7  # the most of 7, 6, 5 and 4


def test_an_unknown_contender_is_named(tmp_path):
    from click.testing import CliRunner

    result = CliRunner().invoke(bench, ["scale", "--index", "tree", "--work", str(tmp_path)])
    assert "no index is called 'tree'" in str(result.exception)


def test_without_a_gpu_the_bench_says_why_and_exits_77(monkeypatch):
    from click.testing import CliRunner

    monkeypatch.setattr("indexer.frame_index.gpu_reason", lambda: "no NVIDIA GPU found")
    result = CliRunner().invoke(bench, ["gpu"], standalone_mode=False)
    assert (result.return_value, result.output) == (77, "bench gpu skipped: no NVIDIA GPU found\n")


@pytest.mark.gpu
def test_gpu_indexes_agree_with_the_judge():
    from bench import gpu

    assert len(gpu.check()) == 3


@pytest.mark.slow
def test_load_is_measured_on_a_real_server():
    from bench import serving

    loads = serving.measure(rows=600, clients=4, requests=8)
    assert [(one.clients, len(one.milliseconds)) for one in loads] == [(1, 8), (4, 8), (4, 8), (4, 8)]
    assert all(one.seconds * 1e3 >= max(one.milliseconds) for one in loads)
    assert "joined" in serving.table(loads, 600).text()
