"""The bench of GPUs with stand-ins on the CPU: every line runs but those that only a card can."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from bench import gpu
from bench.grid import timed
from bench.synthetic import DIMENSION
from indexer.decode_torchcodec import why_not
from tests.fakes import ColourEncoder

LIMIT = gpu.Limits("a card", 1e12, 1e14)


def test_limits_are_measured_where_told():
    limit = gpu.limits("cpu", values=1 << 12, side=8)
    assert limit.bytes_per_second > 0
    assert limit.operations_per_second > 0
    assert "GB/s" in gpu.table(limit, []).text()


def test_encoders_are_timed_alone_and_side_by_side():
    one, all_of_them = gpu.encoder_lines(LIMIT, ["cuda:0", "cuda:1"], 4, lambda device: ColourEncoder())
    assert one[0] == "encoder ViT-B-32, 1 GPU"
    assert all_of_them[0] == "encoder ViT-B-32, 2 GPU"
    assert one[2].endswith(" frames/s")
    assert len(gpu.encoder_lines(LIMIT, ["cuda:0"], 4, lambda device: ColourEncoder())) == 1


@pytest.mark.skipif(bool(why_not("cpu")), reason=why_not("cpu"))
def test_decoders_are_timed_on_a_clip():
    nvdec, pyav = gpu.decoder_lines("cpu", seconds=1)
    assert nvdec[0] == "NVDEC, one process, 1080p H.264"
    assert pyav[0] == "PyAV, one core, 1080p H.264"


def test_a_gpu_that_does_not_decode_says_why():
    (line,) = gpu.decoder_lines("cuda:99")
    assert "torchcodec" in line[2]


def test_a_flat_index_is_spread_over_all_gpus(monkeypatch):
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2)
    monkeypatch.setattr(gpu, "_empty_shard", lambda number: faiss.IndexFlatIP(DIMENSION))
    index = gpu._flat_on_gpus(1001)  # 501 rows a GPU
    assert [index.at(number).ntotal for number in range(index.count())] == [501, 501]
    rows = np.concatenate([index.at(number).reconstruct_n(0, 501) for number in range(2)])
    _, found = index.search(rows[[3, 600]], 2)
    # Every GPU holds the same rows here: row 3 of one is row 501 + 3 of both, row 600 is row 99 of the second.
    assert [set(places) for places in found.tolist()] == [{3, 504}, {99, 600}]
    # Once each: on few cores the threads of two shards get into each other's way, as those of two cards do not.
    monkeypatch.setattr(gpu, "_seconds", lambda search: timed(search)[1])
    lines = gpu.search_lines(LIMIT, [1000])
    assert [(line[0], line[1]) for line in lines] == [("flat, 1,000 × 512", "1"), ("flat, 1,000 × 512", "256")]


def test_a_size_that_does_not_fit_says_so(monkeypatch):
    def full(number: int) -> None:
        raise RuntimeError("Error in void faiss::gpu::… cudaMalloc error out of memory")

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(gpu, "_empty_shard", full)
    (line,) = gpu.search_lines(LIMIT, [1000])
    assert line[2] == "larger than the memory of the GPUs"


@pytest.mark.skipif(not hasattr(faiss, "GpuIndexFlatConfig"), reason="this build of FAISS has no GPU code")
def test_what_is_set_on_faiss_options_exists_there():
    assert {"device", "useFloat16"} <= set(dir(faiss.GpuIndexFlatConfig()))
    assert {"useFloat16CoarseQuantizer"} <= set(dir(faiss.GpuClonerOptions()))
    assert callable(faiss.index_cpu_to_gpu)


@pytest.mark.gpu
def test_on_a_gpu_it_all_runs():
    limit = gpu.limits()
    assert gpu.encoder_lines(limit, ["cuda:0"])
    assert gpu.decoder_lines("cuda:0", seconds=2)
    assert gpu.search_lines(limit, [100_000])
