"""One contract for all that runs a picture half: torch's vectors, whatever the batch; and what goes wrong."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from indexer import backends, cache, onnx_pictures, processor
from indexer.backends import LEAST_BFLOAT16, LEAST_FLOAT32, device_for, in_force, multiplies_bfloat16
from indexer.errors import InputError
from indexer.model_names import LOCAL
from indexer.settings import BACKENDS, IndexSettings
from indexer.vectors import least_cosine
from tests.fakes import make_film
from vclipper.library import Library
from vclipper.models import DEMO_FOLDER, load_encoder
from vclipper.web.service import Service

NEEDS = {"onnx": "onnxruntime", "openvino": "openvino", "openvino-bf16": "openvino"}
COMPILED = ("torch-compile", "torch-compile-bf16")


def usable(name: str) -> object:
    """The name as a parameter, marked where this machine cannot run it."""
    needed = (*((NEEDS[name], "onnx", "onnxscript") if name in NEEDS else ()),)
    missing = [module for module in needed if importlib.util.find_spec(module) is None]
    marks = [pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")]
    if name in COMPILED:
        lacks = shutil.which("g++") is None
        marks += [pytest.mark.slow, pytest.mark.skipif(lacks, reason="torch.compile needs a C++ compiler")]
    return pytest.param(name, marks=marks)


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """The user's cache for all of this file: the demo model is exported once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def reference():
    return load_encoder("demo", "cpu", "torch")


@pytest.fixture(scope="module")
def first_run(own_cache, tmp_path_factory) -> subprocess.CompletedProcess[str]:
    """An index run of the command that exports the model, into the cache that all of this file uses."""
    folder = tmp_path_factory.mktemp("first")
    make_film(folder / "films" / "a.mp4", [("red", 4)])
    arguments = ("--model", "demo", "--backend", "onnx", "--library", str(folder / "lib"))
    return command("index", str(folder / "films"), *arguments)


@pytest.fixture(scope="module", params=[usable(name) for name in BACKENDS if name != "auto"])
def encoder(request, own_cache):
    if request.param in NEEDS:
        request.getfixturevalue("first_run")
    return load_encoder("demo", "cpu", request.param)


def some_pictures(encoder, count: int) -> np.ndarray:
    shape = (count, encoder.picture.height, encoder.picture.width, 3)
    return np.random.default_rng(count).integers(0, 256, shape, np.uint8)


# ---- the contract


@pytest.mark.parametrize("count", [8, 1, 7, 8])
def test_the_vectors_are_torchs(encoder, reference, count):
    pictures = some_pictures(encoder, count)
    vectors = encoder.encode_pictures(pictures)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    least = LEAST_BFLOAT16 if encoder.backend.endswith("bf16") else LEAST_FLOAT32
    assert least_cosine(vectors, reference.encode_pictures(pictures)) > least


def test_a_vector_does_not_depend_on_its_neighbours(encoder):
    some = some_pictures(encoder, 8)
    other = some.copy()
    other[1:] = 0
    assert np.array_equal(encoder.encode_pictures(some)[0], encoder.encode_pictures(other)[0])


def test_the_same_pictures_give_the_same_vectors(encoder):
    pictures = some_pictures(encoder, 5)
    first = encoder.encode_pictures(pictures)
    encoder.encode_pictures(some_pictures(encoder, 3))
    assert np.array_equal(first, encoder.encode_pictures(pictures))


def test_no_pictures_are_no_vectors(encoder):
    assert encoder.encode_pictures(some_pictures(encoder, 0)).shape == (0, encoder.dimension)


def test_texts_stay_as_they_are(encoder, reference):
    texts = ["a red circle", "a house"]
    assert np.array_equal(encoder.encode_texts(texts), reference.encode_texts(texts))


# ---- the choice


def test_every_name_has_a_line_in_the_table():
    assert set(BACKENDS) == {"auto", "torch", *backends._TABLE}


def test_auto_is_bfloat16_where_the_cpu_has_it(monkeypatch):
    monkeypatch.setattr(backends, "multiplies_bfloat16", lambda: True)
    assert in_force("auto", "cpu") == "torch-bf16"
    assert in_force("auto", "cuda") == "torch"
    assert in_force("torch", "cpu") == "torch"
    monkeypatch.setattr(backends, "multiplies_bfloat16", lambda: False)
    assert in_force("auto", "cpu") == "torch"


@pytest.mark.parametrize(
    ("flags", "has_it"), [("avx2 avx512_bf16", True), ("amx_bf16 amx_tile", True), ("avx512f avx2", False)]
)
def test_the_cpu_is_asked(monkeypatch, tmp_path, flags, has_it):
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: fpu {flags}\n")
    monkeypatch.setattr(processor, "Path", lambda name: tmp_path / "cpuinfo")
    processor.instructions.cache_clear()
    assert multiplies_bfloat16() is has_it
    processor.instructions.cache_clear()


def test_a_backend_for_the_cpu_takes_the_cpu():
    assert device_for("torch-bf16", "auto") == "cpu"
    assert device_for("torch", "cuda:1") == "cuda:1"
    with pytest.raises(InputError, match=r"--backend torch-bf16 runs on the CPU, not on cuda.*--backend torch"):
        device_for("torch-bf16", "cuda")
    with pytest.raises(InputError, match=r"no backend 'tpu'.*auto, torch,"):
        load_encoder("demo", "cpu", "tpu")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vclipper.cli", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("backend", "module", "extra"), [("onnx", "onnxruntime", "onnx"), ("openvino", "openvino", "openvino")]
)
def test_what_is_not_installed_is_one_line(tmp_path, backend, module, extra, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == module else real(name, *rest)
    )
    opened = [Library.open, lambda where, device, backend: Service(where, device, backend=backend)]
    for open_one in opened:  # for `vclip index` and `watch`, for `vclip serve`: before there is anything to do
        with pytest.raises(InputError) as raised:
            open_one(tmp_path / "lib", "cpu", backend)
        assert str(raised.value) == (
            f"--backend {backend} needs {module}, which is not installed. "
            f'Install it: pip install "vclipper[{extra}]"'
        )
    assert not (tmp_path / "lib").exists()


def test_a_compiler_that_is_missing_is_one_line(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    encoder = load_encoder("demo", "cpu", "torch-compile")
    with pytest.raises(InputError, match="needs a C\\+\\+ compiler; there is no no-such-compiler"):
        encoder.encode_pictures(some_pictures(encoder, 2))


# ---- what goes wrong


needs_onnx = usable("onnx").marks


def test_rounding_that_changes_too_much_is_undone(monkeypatch, reference, caplog):
    monkeypatch.setattr(backends, "LEAST_BFLOAT16", 1.1)
    encoder = load_encoder("demo", "cpu", "torch-bf16")
    pictures = some_pictures(encoder, 3)
    with caplog.at_level(logging.WARNING, "indexer"):
        assert np.array_equal(encoder.encode_pictures(pictures), reference.encode_pictures(pictures))
    assert "torch runs this model, not torch-bf16: its vectors differ, cosine " in caplog.text


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache.user_folder() / "onnx"


def refuse(*args: object, **kwargs: object) -> None:
    raise ValueError("this layer has no name in ONNX\nand more")


@pytest.mark.skipif(bool(needs_onnx[0].args[0]), reason="ONNX Runtime is not installed")
class TestExport:
    def test_what_cannot_be_exported_is_run_by_torch(self, monkeypatch, reference, caplog, empty_cache):
        monkeypatch.setattr("torch.onnx.export", refuse)
        encoder = load_encoder("demo", "cpu", "onnx")
        pictures = some_pictures(encoder, 3)
        with caplog.at_level(logging.INFO, "indexer"):
            assert np.array_equal(encoder.encode_pictures(pictures), reference.encode_pictures(pictures))
        assert [r.getMessage() for r in caplog.records] == [
            "exporting the model to ONNX, once (about half a minute)",
            "torch runs this model, not onnx: this layer has no name in ONNX",
        ]
        assert list(empty_cache.iterdir()) == []

    def test_what_a_killed_export_left_is_deleted_when_it_is_old(self, monkeypatch, reference, empty_cache):
        monkeypatch.setattr("torch.onnx.export", refuse)
        for name, age_seconds in {".new-old": 7200, ".new-young": 60}.items():
            (empty_cache / name / "made").mkdir(parents=True)
            os.utime(empty_cache / name, (time.time() - age_seconds,) * 2)
        load_encoder("demo", "cpu", "onnx").encode_pictures(some_pictures(reference, 1))
        assert [left.name for left in empty_cache.iterdir()] == [".new-young"]

    def test_it_is_exported_once(self, reference, monkeypatch):
        load_encoder("demo", "cpu", "onnx").encode_pictures(some_pictures(reference, 2))
        monkeypatch.setattr("torch.onnx.export", refuse)
        encoder = load_encoder("demo", "cpu", "onnx")
        encoder.encode_pictures(some_pictures(reference, 2))
        assert isinstance(encoder._pictures(), onnx_pictures.OnnxRuntime)

    @pytest.mark.parametrize(
        "damage",
        [
            "cut off",
            pytest.param("other weights", marks=pytest.mark.slow),
            pytest.param("gone", marks=pytest.mark.slow),
        ],
    )
    def test_a_damaged_export_is_made_anew(self, reference, damage, caplog):
        load_encoder("demo", "cpu", "onnx").encode_pictures(some_pictures(reference, 2))
        folder = cache.export_folder("demo", reference.fingerprint)
        file = folder / "pictures.onnx"
        weights = folder / "pictures.onnx.data"
        if damage == "cut off":
            weights.write_bytes(weights.read_bytes()[:1000])
        elif damage == "other weights":
            weights.write_bytes(np.roll(np.frombuffer(weights.read_bytes(), np.float32), 1000).tobytes())
        else:
            file.unlink()
        with caplog.at_level(logging.INFO, "indexer"):
            encoder = load_encoder("demo", "cpu", "onnx")
            vectors = encoder.encode_pictures(some_pictures(reference, 2))
        assert least_cosine(vectors, reference.encode_pictures(some_pictures(reference, 2))) > LEAST_FLOAT32
        assert "exporting" in caplog.text
        assert isinstance(encoder._pictures(), onnx_pictures.OnnxRuntime)

    @pytest.mark.slow
    def test_other_weights_take_the_place_of_the_old_export(self, tmp_path, empty_cache):
        folder = shutil.copytree(DEMO_FOLDER, tmp_path / "model")
        first = load_encoder(f"{LOCAL}{folder}", "cpu", "onnx")
        first.encode_pictures(some_pictures(first, 2))
        config = folder / "open_clip_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()), indent=3))  # another fingerprint
        second = load_encoder(f"{LOCAL}{folder}", "cpu", "onnx")
        second.encode_pictures(some_pictures(second, 2))
        assert list(empty_cache.iterdir()) == [cache.export_folder(second.name, second.fingerprint)]

    def test_memory_that_runs_out_makes_batches_smaller(self, tmp_path, monkeypatch):
        film = make_film(tmp_path / "films" / "a.mp4", [("red", 12), ("blue", 12)])
        run = onnx_pictures.OnnxRuntime.features
        sizes = []

        def cramped(self, pictures: np.ndarray) -> np.ndarray:
            sizes.append(len(pictures))
            if len(pictures) > 3:
                raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory")
            return run(self, pictures)

        monkeypatch.setattr(onnx_pictures.OnnxRuntime, "features", cramped)
        library = Library.open(tmp_path / "lib", "cpu", "onnx")
        report = library.index([film], model="demo", settings=IndexSettings(batch_size=8, workers=1))
        assert report.ok
        assert report.frames == 12
        assert sizes[-6:] == [2] * 6  # 8 and 4 did not fit

    def test_a_run_says_that_it_exports(self, first_run):
        assert first_run.returncode == 0, first_run.stderr
        lines = first_run.stderr.splitlines()
        assert lines[0] == "vclip: exporting the model to ONNX, once (about half a minute)"
        assert all(line.startswith("Note: the model `demo`") for line in lines[1:]), first_run.stderr


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")
def test_openvino_reports_to_nobody(tmp_path):
    """Its telemetry keeps a file in the home folder and starts a process that sends."""
    (tmp_path / "home").mkdir()
    code = (
        "import sys, numpy as np\n"
        "from vclipper.models import load_encoder\n"
        "encoder = load_encoder('demo', 'cpu', 'openvino')\n"
        "encoder.encode_pictures(np.zeros((2, 72, 72, 3), np.uint8))\n"
        "print(type(encoder._pictures()).__name__, sys.modules.get('openvino_telemetry'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(tmp_path / "home")},
    )
    assert done.stdout.split() == ["OpenVino", "None"]
    assert list((tmp_path / "home").iterdir()) == []


def test_a_compiled_model_that_disagrees_is_not_used(monkeypatch, reference, caplog):
    monkeypatch.setattr("torch.compile", lambda tower, **options: lambda pictures: tower(pictures).flip(1))
    encoder = load_encoder("demo", "cpu", "torch-compile")
    pictures = some_pictures(encoder, 3)
    with caplog.at_level(logging.WARNING, "indexer"):
        assert np.array_equal(encoder.encode_pictures(pictures), reference.encode_pictures(pictures))
    assert "torch.compile is not used: its vectors differ" in caplog.text


# ---- in a library


def test_a_library_of_both_precisions_answers_as_one_of_float32(tmp_path):
    """Half of the films by one, half by the other: the same moments in the same order."""
    for i, colour in enumerate(["red", "blue", "lime", "white"]):
        make_film(tmp_path / "films" / f"{i}.mp4", [(colour, 6), ("black", 6)])
    films = sorted((tmp_path / "films").iterdir())
    plain, mixed = tmp_path / "plain", tmp_path / "mixed"
    Library.open(plain, "cpu", "torch").index(films, model="demo")
    Library.open(mixed, "cpu", "torch").index(films[:2], model="demo")
    Library.open(mixed, "cpu", "torch-bf16").index(films[2:])
    for text in ("a red circle", "a blue square", "a house"):
        found = [
            [(m.path, m.start_seconds, m.end_seconds) for m in Library.open(place, "cpu").search(text)]
            for place in (plain, mixed)
        ]
        assert found[0] == found[1]


def test_a_search_by_words_prepares_no_picture_half(reference):
    encoder = load_encoder("demo", "cpu", "torch-bf16")
    encoder.encode_texts(["a house"])
    assert encoder._opened is None
