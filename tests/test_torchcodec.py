"""torchcodec as one more decoder: what it may decode, its pictures, and a GPU that cannot be used.

Its frames and times are held in ``tests/test_video.py``. Here it runs on the CPU; only tests marked ``gpu`` decode
with NVDEC.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import decode_torchcodec
from indexer.decode_torchcodec import TensorPicture, why_not
from indexer.decoders import Decoded, Failed, Finished, decode_all
from indexer.encoder import encode_images
from indexer.frames import PictureSpec, fit_picture
from indexer.probe import probe
from indexer.video import choose_decoder
from indexer.video_types import VideoInfo
from tests.fakes import make_film
from vclipper.models import load_encoder

needs_torchcodec = pytest.mark.skipif(bool(why_not("cpu")), reason=why_not("cpu"))
H264 = VideoInfo(Path("a.mp4"), "mp4", "h264", 640, 360, 10.0, "picture", 25.0, pixel_format="yuv420p")


@pytest.mark.parametrize(
    ("changes", "device", "decoder"),
    [
        ({}, "cuda:0", "torchcodec"),
        ({}, None, "pyav"),
        ({"container": "matroska", "codec": "av1"}, "cuda:0", "torchcodec"),
        ({"has_open_groups": True}, "cuda:0", "torchcodec"),
        ({"has_edit_list": True}, "cuda:0", "torchcodec"),
        ({"container": "mpegts"}, "cuda:0", "pyav"),
        ({"container": "avi"}, "cuda:0", "pyav"),
        ({"codec": "prores"}, "cuda:0", "pyav"),
        ({"pixel_format": "yuv422p"}, "cuda:0", "pyav"),
        ({"is_hdr": True}, "cuda:0", "pyav"),
        ({"rotation_degrees": 90}, "cuda:0", "pyav"),
        ({"is_mirrored": True}, "cuda:0", "pyav"),
        ({"path": Path("\udcff.mp4")}, "cuda:0", "pyav"),
    ],
)
def test_what_a_gpu_may_decode(changes, device, decoder):
    assert choose_decoder(replace(H264, first_stamp_seconds=0.0, **changes), device) == decoder


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """(360, 640, 3) uint8: soft shapes and hard edges."""
    y, x = np.mgrid[:360, :640]
    smooth = np.stack([x * 255 / 640, y * 255 / 360, 127 + 127 * np.sin(x / 9) * np.cos(y / 7)], axis=2)
    smooth[100:140, 200:420] = (250, 10, 30)
    return smooth.astype(np.uint8)


def as_torchcodec_gives_it(pixels: np.ndarray) -> TensorPicture:
    torch = pytest.importorskip("torch")
    return TensorPicture(torch.from_numpy(pixels).permute(2, 0, 1), H264)


@pytest.mark.parametrize(
    "spec",
    [
        PictureSpec(224, 224),
        PictureSpec(64, 64, interpolation="bilinear"),
        PictureSpec(224, 224, resize_mode="squash"),
        PictureSpec(224, 224, resize_mode="longest", fill_color=128),
    ],
)
def test_pictures_scaled_by_torch_are_pillows_up_to_rounding(pixels, spec):
    picture = as_torchcodec_gives_it(pixels)
    assert np.array_equal(np.asarray(picture.full()), pixels)
    off = np.abs(picture.fitted(spec).astype(int) - fit_picture(Image.fromarray(pixels), spec))
    assert off.max() <= 2  # of 255
    assert off.mean() < 0.1


def test_their_vectors_are_those_of_the_cpus_way(pixels):
    encoder = load_encoder("demo", "cpu")
    ours = encoder.encode_pictures(as_torchcodec_gives_it(pixels).fitted(encoder.picture)[None])
    assert (ours @ encode_images(encoder, [Image.fromarray(pixels)]).T).item() > 0.9999


def test_a_full_gpu_leaves_the_scaling_to_the_cpu(pixels, monkeypatch):
    def no_room(*args):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(decode_torchcodec, "_scaled", no_room)
    spec = PictureSpec(64, 64)
    fitted = as_torchcodec_gives_it(pixels).fitted(spec)
    assert np.array_equal(fitted, fit_picture(Image.fromarray(pixels), spec))


# ----------------------------------------------------------------------------------------- the probe


@pytest.fixture
def fresh():
    """The answers of the probe are kept: not between these tests."""
    why_not.cache_clear()
    yield
    why_not.cache_clear()


def test_without_torchcodec_the_reason_says_how_to_get_it(fresh, monkeypatch):
    monkeypatch.setattr(decode_torchcodec, "is_installed", lambda: False)
    assert "pip install 'vclipper[nvdec]'" in why_not("cuda:0")


@needs_torchcodec
def test_a_gpu_that_is_not_there_is_refused_in_one_line():
    reason = why_not("cuda:99")
    assert reason.startswith("torchcodec does not decode on cuda:99: ")
    assert "\n" not in reason


@needs_torchcodec
def test_a_decoder_that_is_one_frame_off_is_refused(fresh, monkeypatch):
    right = decode_torchcodec._shown_at
    monkeypatch.setattr(decode_torchcodec, "_shown_at", lambda *args: right(*args).roll(1, 0))
    assert why_not("cpu") == "torchcodec gives wrong pictures on cpu"


# ------------------------------------------------------------------------------------ decode processes


def colours_of(messages: list) -> dict[int, list[list[int]]]:
    """Mean colours of each file's pictures."""
    pictures: dict[int, list[list[int]]] = {}
    for message in messages:
        if isinstance(message, Decoded):
            means = message.batch.pictures.mean((1, 2)).round().astype(int).tolist()
            pictures.setdefault(message.job, []).extend(means)
    return pictures


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    return [make_film(folder / f"{i}.mp4", [("red", 4 + i), ("blue", 6)]) for i in range(6)]


def decoded(films: list[Path], seconds_per_message: float = 0.0, **options) -> tuple[list, list[str]]:
    """All messages and notes; taken slowly, so that a worker that takes long to start has something left to do."""
    notes: list[str] = []
    messages = []
    for message in decode_all(films, 1.0, PictureSpec(8, 8), 1, 60.0, on_note=notes.append, **options):
        messages.append(message)
        time.sleep(seconds_per_message)
    assert not any(isinstance(message, Failed) for message in messages)
    return messages, notes


def test_nobody_waits_for_a_gpu_when_all_files_are_done(films):
    plain, _ = decoded(films[:2])
    messages, notes = decoded(films[:2], gpus=["cuda:99"])
    assert colours_of(messages) == colours_of(plain)
    assert notes == []


@pytest.mark.slow
def test_a_gpu_that_cannot_be_used_is_named_and_the_cpu_decodes(films):
    messages, notes = decoded(films * 12, 0.15, gpus=["cuda:99"])
    assert len([message for message in messages if isinstance(message, Finished)]) == 72
    (note,) = notes
    assert note.startswith("videos are decoded on the CPU only: the decode process did not start: torchcodec ")
    assert "\n" not in note


@pytest.mark.slow
@needs_torchcodec
def test_a_worker_with_torchcodec_shares_the_files(films):
    many = films * 12
    plain, _ = decoded(many)
    messages, notes = decoded(many, 0.15, gpus=["cpu"])  # in place of a GPU
    assert notes == []
    ours, theirs = colours_of(messages), colours_of(plain)
    assert ours.keys() == theirs.keys()
    assert all(np.abs(np.subtract(ours[job], theirs[job])).max() <= 2 for job in ours)
    decoders = {message.outcome.decoder for message in messages if isinstance(message, Finished)}
    assert decoders == {"pyav", "torchcodec"}


@pytest.mark.gpu
def test_nvdec_shows_what_the_cpu_shows(films):
    assert why_not("cuda:0") == ""
    info = probe(films[0])
    assert choose_decoder(info, "cuda:0") == "torchcodec"
    messages, notes = decoded(films * 12, 0.15, gpus=["cuda:0"])
    assert notes == []
    assert "torchcodec" in {message.outcome.decoder for message in messages if isinstance(message, Finished)}
    plain, _ = decoded(films * 12)
    ours, theirs = colours_of(messages), colours_of(plain)
    assert all(np.abs(np.subtract(ours[job], theirs[job])).max() <= 4 for job in theirs)
