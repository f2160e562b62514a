"""Several devices: the same rows whatever their number and speed, nothing lost with one that fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.decoders import decode_all
from indexer.devices import device_of_a_worker, found_devices, named_devices
from indexer.encoding import Encoders
from indexer.errors import InputError, ModelError
from indexer.settings import IndexSettings
from tests.fakes import ColourEncoder, load_fake, make_film, rows_of
from vclipper.cli import run
from vclipper.library import Library


class Card(ColourEncoder):
    """A GPU of the colour encoder: as slow as told, and after ``lasts`` batches dead."""

    def __init__(
        self, device: str, delays: Sequence[float] = (0.0,), lasts: float = np.inf, room: int = 99
    ) -> None:
        super().__init__()
        self.device, self.delays, self.lasts, self.room = device, delays, lasts, room
        self.done = 0

    def encode_pictures(self, pictures: np.ndarray) -> np.ndarray:
        time.sleep(self.delays[self.done % len(self.delays)])
        if self.done >= self.lasts:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore lines")
        if len(pictures) > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.done += 1
        return super().encode_pictures(pictures)


@pytest.fixture(autouse=True)
def no_nvdec(monkeypatch: pytest.MonkeyPatch) -> None:
    """These cards encode only: a worker that looks for a decoder on them would say that there is none."""
    monkeypatch.setattr("indexer.decode_torchcodec.is_installed", lambda: False)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "a.mp4", [("red", 7), ("blue", 6)])
    make_film(folder / "b.mp4", [("yellow", 9)])
    make_film(folder / "c.mp4", [("lime", 4), ("cyan", 15)])
    return folder


@pytest.fixture(scope="module")
def rows(films: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple]:
    library = Library(tmp_path_factory.mktemp("one") / "lib", "cpu", load_fake)
    library.index([films])
    return rows_of(library)


def library_on(folder: Path, cards: Sequence[Card]) -> Library:
    """A library whose ``--device`` names the cards."""
    by_device = {card.device: card for card in cards}
    return Library(folder / "lib", ",".join(by_device), lambda name, device: by_device[device])


SMALL_BATCHES = IndexSettings(batch_size=2, workers=2)


def test_every_device_works_and_the_rows_are_those_of_one(films, rows, tmp_path):
    cards = [Card("cuda:0", [0.02]), Card("cuda:1", [0.01]), Card("cuda:2", [0.03])]
    library = library_on(tmp_path, cards)
    report = library.index([films], settings=SMALL_BATCHES)
    assert (report.ok, report.notes) == (True, [])
    assert rows_of(library) == rows
    assert all(card.done for card in cards)
    # 7 + 6 = 13 s, 9 s and 19 s at one frame every 2 s: 7 + 5 + 10 = 22 frames, 11 batches of 2
    assert sum(card.done for card in cards) == 11


def test_a_device_that_fails_hands_its_batch_on_and_is_named(films, rows, tmp_path):
    cards = [Card("cuda:0", [0.02]), Card("cuda:1", lasts=1)]
    library = library_on(tmp_path, cards)
    report = library.index([films], settings=SMALL_BATCHES)
    assert report.ok
    assert report.notes == [
        "cuda:1 failed: CUDA error: an illegal memory access was encountered; the other devices do its work"
    ]
    assert rows_of(library) == rows
    assert cards[1].done == 1


def test_when_all_devices_fail_it_is_said_once_and_the_next_run_goes_on(films, rows, tmp_path):
    library = library_on(tmp_path, [Card("cuda:0", lasts=2), Card("cuda:1", lasts=2)])
    with pytest.raises(
        ModelError, match=r"no device is left: cuda:. failed: CUDA error: .*; cuda:. failed: .*kept"
    ):
        library.index([films], settings=SMALL_BATCHES)
    again = library_on(tmp_path, [Card("cuda:0")])
    assert again.index([films]).ok
    assert again.verify() == []
    assert rows_of(again) == rows


def test_one_device_that_fails_is_one_clear_line(films, tmp_path):
    library = library_on(tmp_path, [Card("cuda:0", lasts=0)])
    with pytest.raises(
        ModelError, match=r"^cuda:0 failed: CUDA error: an illegal memory access was encountered\. "
    ):
        library.index([films])


def test_a_device_short_of_memory_takes_smaller_batches_and_the_others_do_not(films, rows, tmp_path):
    cards = [Card("cuda:0", room=2), Card("cuda:1", [0.02])]
    library = library_on(tmp_path, cards)
    assert library.index([films], settings=IndexSettings(batch_size=4, workers=1)).ok
    assert rows_of(library) == rows


def test_a_device_without_memory_for_one_picture_is_left_out(films, rows, tmp_path):
    library = library_on(tmp_path, [Card("cuda:0", [0.01]), Card("cuda:1", room=0)])
    report = library.index([films], settings=SMALL_BATCHES)
    assert report.notes == ["the memory of cuda:1 does not suffice for one picture; the other devices do its work"]
    assert rows_of(library) == rows


def pictures(count: int) -> list[np.ndarray]:
    """Batches of two pictures, each of another grey."""
    return [np.full((2, 8, 8, 3), 7 * number % 256, np.uint8) for number in range(count)]


@st.composite
def cards(draw: st.DrawFn) -> list[Card]:
    """One to five cards of any speed; all but the first may fail."""
    made = []
    for number in range(draw(st.integers(1, 5))):
        delays = draw(st.lists(st.sampled_from([0.0, 0.0005, 0.002, 0.004]), min_size=1, max_size=4))
        lasts = draw(st.sampled_from([np.inf, 0, 1, 3])) if number else np.inf
        made.append(Card(f"cuda:{number}", delays, lasts, draw(st.integers(1, 3))))
    return made


@settings(max_examples=60)
@given(cards(), st.integers(0, 25))
def test_any_devices_give_what_one_gives_in_the_order_asked(some: list[Card], count: int) -> None:
    lost: list[str] = []
    with Encoders(some, lost.append) as encoders:
        futures = [encoders.encode(batch) for batch in pictures(count)]
        got = [future.result(timeout=10) for future in futures]
    for vectors, batch in zip(got, pictures(count), strict=True):
        assert np.array_equal(vectors, ColourEncoder().encode_pictures(batch))
    assert len(lost) <= len(some) - 1


def test_pictures_do_not_pile_up_before_slow_devices() -> None:
    release = threading.Event()

    class Waits(ColourEncoder):
        def encode_pictures(self, pictures: np.ndarray) -> np.ndarray:
            assert release.wait(10)
            return super().encode_pictures(pictures)

    taken = 0
    with Encoders([Waits(), Waits()], print) as encoders:

        def feed() -> None:
            nonlocal taken
            for batch in pictures(20):
                encoders.encode(batch)
                taken += 1

        feeder = threading.Thread(target=feed)
        feeder.start()
        deadline = time.monotonic() + 10
        while taken < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)  # would it take more?
        assert taken == 4  # two at work, one waiting for each
        release.set()
        feeder.join(10)
        assert taken == 20


def test_what_was_handed_over_is_encoded_after_an_interruption() -> None:
    with pytest.raises(KeyboardInterrupt), Encoders([Card("cuda:0", [0.05])], print) as encoders:
        futures = [encoders.encode(batch) for batch in pictures(2)]
        raise KeyboardInterrupt
    assert all(future.done() for future in futures)


def test_a_mistake_in_an_encoder_is_not_taken_for_a_broken_device() -> None:
    class Wrong(ColourEncoder):
        def encode_pictures(self, pictures: np.ndarray) -> np.ndarray:
            raise TypeError("a mistake")

    with Encoders([Wrong()], print) as encoders, pytest.raises(TypeError, match="a mistake"):
        encoders.encode(pictures(1)[0]).result(timeout=10)


@pytest.mark.parametrize(
    ("installed", "nvdec", "gpus"), [(True, True, ["cuda:0", "cuda:1"]), (True, False, []), (False, True, [])]
)
def test_gpus_that_encode_decode_too_if_they_can(installed, nvdec, gpus, films, tmp_path, monkeypatch):
    asked = []

    def decode_without(*args):
        asked.append(args[6])
        return decode_all(*args[:6])

    monkeypatch.setattr("indexer.decode_torchcodec.is_installed", lambda: installed)
    monkeypatch.setattr("indexer.build.decode_all", decode_without)
    library = library_on(tmp_path, [Card("cuda:0"), Card("cuda:1")])
    assert library.index([films], settings=IndexSettings(nvdec=nvdec)).ok
    assert asked == [gpus]


# ------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("auto", ("auto",)),
        ("cpu", ("cpu",)),
        ("all", ("all",)),
        ("cuda:3", ("cuda:3",)),
        ("mps", ("mps",)),
        ("cuda:0,cuda:1", ("cuda:0", "cuda:1")),
        ("cuda, cuda:1", ("cuda:0", "cuda:1")),
    ],
)
def test_names(text, names):
    assert named_devices(text) == names


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "--device is empty"),
        ("gpu", "--device gpu is no device. Give auto, cpu, cuda, cuda:N, "),
        ("cuda:", "--device cuda: is no device"),
        ("CPU", "--device CPU is no device"),
        ("cuda:0,", "--device 'cuda:0,' has an empty place"),
        ("cuda:0,cuda:0", "--device cuda:0,cuda:0 names cuda:0 twice"),
        ("cuda,cuda:0", "--device cuda,cuda:0 names cuda:0 twice"),
        ("cuda:0,foo", "--device cuda:0,foo: 'foo' is no GPU"),
        ("cuda:0,cpu", "'cpu' is no GPU"),
        ("all,cuda:1", "'all' is no GPU"),
        ("cuda:0,cuda:x", "'cuda:x' is no GPU"),
    ],
)
def test_names_that_cannot_be_used_are_one_line(text, says, tmp_path, capsys):
    with pytest.raises(InputError, match=says):
        named_devices(text)
    assert run(["index", str(tmp_path), "--device", text, "--library", str(tmp_path / "lib")]) == 1
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "lib").exists()


def test_all_is_every_gpu_that_torch_finds(monkeypatch):
    monkeypatch.setattr("indexer.devices.gpu_count", lambda: 3)
    assert found_devices("all") == ("cuda:0", "cuda:1", "cuda:2")
    monkeypatch.setattr("indexer.devices.gpu_count", lambda: 0)
    with pytest.raises(ModelError, match="torch finds none"):
        found_devices("all")


@pytest.mark.parametrize(
    ("text", "in_a_worker"), [("auto", "auto"), ("cpu", "cpu"), ("all", "cuda"), ("cuda", "cuda")]
)
def test_on_a_cluster_a_worker_has_one_device(text, in_a_worker):
    assert device_of_a_worker(text) == in_a_worker


@pytest.mark.parametrize("text", ["cuda:1", "cuda:0,cuda:1"])
def test_on_a_cluster_gpus_are_not_named_by_number(text):
    with pytest.raises(InputError, match="each worker gets one from Ray"):
        device_of_a_worker(text)
