"""The benches of size on little data: figures that can be checked, and files that are reused."""

from __future__ import annotations

import time
import weakref

import numpy as np
import pytest

from bench import contenders, growth, scale, synthetic
from indexer.segments import load
from vclipper.commands.bench import bench


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
        contenders.CONTENDERS,
        "hnswlib",
        contenders.Contender(lambda flat, folder: None, max_rows=10, why_not="slow"),
    )
    result = scale.measure(tmp_path, 1_000, ["hnswlib"], count=2)[0]
    assert result.why_not == "slow"
    assert "slow" in scale.table([result], 1_000).text()
    monkeypatch.setitem(
        contenders.CONTENDERS, "hnswlib", contenders.Contender(lambda flat, folder: None, bytes_per_row=10**12)
    )
    assert "GB of memory" in scale.measure(tmp_path, 1_000, ["hnswlib"], count=2, slow_too=True)[0].why_not


def test_what_is_slow_to_build_is_measured_where_it_is_named(monkeypatch, tmp_path):
    exact = contenders.CONTENDERS["exact"].make
    monkeypatch.setitem(contenders.CONTENDERS, "graph", contenders.Contender(exact, max_rows=10, why_not="slow"))
    assert scale.measure(tmp_path, 1_000, ["graph"], count=2, slow_too=True)[0].recall == 1


def test_one_after_another_finds_the_same_and_each_is_gone_before_the_next(monkeypatch, tmp_path):
    there = []

    class Index:
        def __init__(self, flat):
            assert not [one() for one in there if one() is not None]
            there.append(weakref.ref(self))

        def __call__(self, query, k):
            return np.arange(k)

    for name in ("first", "second"):
        monkeypatch.setitem(contenders.CONTENDERS, name, contenders.Contender(lambda flat, folder: Index(flat)))
    results = scale.measure(tmp_path, 1_000, ["first", "second", "exact"], count=5, apart=True)
    assert [(one.name, len(one.milliseconds)) for one in results] == [("first", 5), ("second", 5), ("exact", 5)]
    assert [one.recall == 1 for one in results] == [False, False, True]


def test_filters_keep_the_count_and_the_recall(tmp_path):
    for result in scale.measure_filters(tmp_path, 20_000, ["exact", "lance"], [0.1], count=3):
        assert (result.returned, result.recall) == (100, 1.0)


def test_what_is_slow_is_asked_no_more_after_a_while(monkeypatch, tmp_path):
    def sleepy(flat, folder):
        return lambda query, k: time.sleep(0.02) or np.arange(k)

    monkeypatch.setitem(contenders.CONTENDERS, "slow", contenders.Contender(sleepy))
    slow, exact = scale.measure(tmp_path, 1_000, ["slow", "exact"], count=9, cap_seconds=0.05)
    assert len(slow.milliseconds) <= 3  # after 2 x 20 ms the cap may not be passed, after 3 it is
    assert len(exact.milliseconds) == 9
    scale.draw({1_000: [slow, exact]}, tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()


def test_a_library_grows_run_by_run_and_goes_on_from_where_it_was(tmp_path):
    runs, mergings = growth.measure(tmp_path, [150], runs=2)
    # 150 frames are two clips of 75; then two runs of one clip, and one of ten: 75 × (2 + 2 + 10) = 1,050
    assert [(run.rows, run.videos) for run in runs] == [(150, 1), (225, 1), (300, 10)]
    assert [(m.rows, m.files) for m in mergings] == [(1_050, 4)]
    assert mergings[0].seconds > 0
    runs += growth.measure(tmp_path, [1_500], runs=2)[0]
    assert [run.rows for run in runs[3:]] == [1_500, 1_575, 1_650]
    flat, _ = load(tmp_path / "library", 512)
    assert np.array_equal(np.concatenate([s.stored for s in flat.segments]), synthetic.frames(2_400))
    growth.draw(runs, tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    lines = growth.table(runs).lines
    assert [line[:2] for line in lines] == [("150", "1"), ("1,500", "1"), ("300", "10"), ("1,650", "10")]
    assert growth.merging_table(mergings).lines[0][:2] == ("1,050", "4")


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
def test_load_is_measured_on_a_real_server(tmp_path):
    from bench import serving

    loads = list(serving.measure(rows=600, clients=4, requests=8, work=tmp_path))
    assert [(one.clients, len(one.milliseconds)) for one in loads] == [(1, 8), (4, 8)] * 2 + [(4, 8)] * 2
    assert all(one.seconds * 1e3 >= max(one.milliseconds) for one in loads)
    assert "joined" in serving.table(loads, 600).text()
