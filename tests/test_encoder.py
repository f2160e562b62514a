"""The OpenCLIP encoder, on the model that ships with VClipper, through the code that loads any other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from indexer.encoder import encode_images
from indexer.errors import LibraryMismatchError, ModelError
from indexer.model_names import list_models
from vclipper.library import Library
from vclipper.models import DEMO_FOLDER, fingerprint_of, load_encoder


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("demo", "cpu", "torch")


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 255, (h, w, 3), np.uint8)) for h, w in [(64, 64), (90, 160), (200, 80)]
    ]


def test_unit_vectors(encoder):
    images, texts = encode_images(encoder, pictures()), encoder.encode_texts(["a red circle", "a house"])
    assert images.shape == (3, encoder.dimension)
    assert texts.shape == (2, encoder.dimension)
    assert images.dtype == texts.dtype == np.float32
    assert np.allclose(np.linalg.norm(np.concatenate([images, texts]), axis=1), 1, atol=1e-5)


def test_pictures_are_embedded_as_openclip_embeds_them(encoder):
    import open_clip
    import torch

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{DEMO_FOLDER}")
    with torch.inference_mode():
        batch = torch.stack([preprocess(image) for image in pictures()])
        expected = model.eval().encode_image(batch, normalize=True).numpy()
    assert np.allclose(encode_images(encoder, pictures()), expected, atol=1e-5)


def test_a_vector_does_not_depend_on_its_neighbours(encoder):
    some = np.random.default_rng(0).integers(
        0, 255, (8, encoder.picture.height, encoder.picture.width, 3), np.uint8
    )
    other = some.copy()
    other[1:] = 0
    assert np.array_equal(encoder.encode_pictures(some)[0], encoder.encode_pictures(other)[0])


def test_the_demo_model_says_that_it_is_one(encoder):
    assert encoder.demo_only
    assert encoder.name == "demo"
    assert encoder.fingerprint == fingerprint_of("demo") != ""


def test_a_local_model_is_known_by_its_weights(tmp_path, encoder):
    shutil.copytree(DEMO_FOLDER, tmp_path / "moved")
    assert load_encoder(f"local-dir:{tmp_path / 'moved'}", "cpu").fingerprint == encoder.fingerprint
    config = tmp_path / "moved" / "open_clip_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()), indent=3))
    assert fingerprint_of(f"local-dir:{tmp_path / 'moved'}") != encoder.fingerprint


def test_a_library_refuses_other_weights_under_the_same_name(tmp_path):
    folder = shutil.copytree(DEMO_FOLDER, tmp_path / "model")
    (tmp_path / "films").mkdir()
    library = Library.open(tmp_path / "lib", "cpu")
    library.index([tmp_path / "films"], model=f"local-dir:{folder}")
    (folder / "open_clip_config.json").write_text((folder / "open_clip_config.json").read_text() + " ")
    with pytest.raises(LibraryMismatchError, match="same name, other weights"):
        _ = Library.open(tmp_path / "lib", "cpu").encoder


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("ViT-B-32", r"no OpenCLIP model is called 'ViT-B-32'.*ViT-B-32/"),
        ("ViT-B-32/laion2b", "laion2b_s34b_b79k"),
        ("nonsense", "All: vclip models"),
        ("local-dir:/nowhere", "must hold open_clip_config.json"),
    ],
)
def test_models_that_do_not_exist(model, says):
    with pytest.raises(ModelError, match=says):
        load_encoder(model, "cpu")


def test_damaged_weights_are_said(tmp_path):
    folder = shutil.copytree(DEMO_FOLDER, tmp_path / "model")
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(f"local-dir:{folder}", "cpu")


@pytest.mark.parametrize("device", ["cuda:99", "tpu"])
def test_a_device_that_does_not_exist(device):
    with pytest.raises(ModelError, match=f"device '{device}' cannot be used"):
        load_encoder("demo", device)


def test_published_models_are_listed():
    assert "ViT-B-32/laion2b_s34b_b79k" in list_models()
    assert len(list_models()) > 50


def test_names_read_from_the_source_are_those_that_open_clip_lists():
    import open_clip

    assert list_models() == sorted("/".join(pair) for pair in open_clip.list_pretrained())


@pytest.mark.parametrize(
    "source",
    [
        "type _Tags = [",  # a syntax that this Python does not know
        "_PRETRAINED = {**_RN50}",
        "_RN50 = dict(openai=1)\n_PRETRAINED = {name('RN50'): _RN50}",
        "_PRETRAINED = {'RN50': tags()[0]}",
    ],
)
def test_where_the_source_reads_otherwise_open_clip_is_asked(monkeypatch, tmp_path, source):
    (tmp_path / "pretrained.py").write_text(source)
    monkeypatch.setattr("indexer.model_names._folder", lambda: tmp_path)
    assert "ViT-B-32/laion2b_s34b_b79k" in list_models()


def test_a_mistyped_model_is_refused_before_torch_is_imported(tmp_path):
    code = """if True:
        import sys
        from vclipper import cli
        code = cli.run(["index", sys.argv[1], "--model", "ViT-B-32/laion2b_s34b_b97k", "--library", sys.argv[1] + "/lib"])
        assert code == 1 and "torch" not in sys.modules and "open_clip" not in sys.modules
    """  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr.startswith(
        "vclip: no OpenCLIP model is called 'ViT-B-32/laion2b_s34b_b97k'. Near it: ViT-B-32/"
    )
    assert "ViT-B-32/laion2b_s34b_b79k" in done.stderr


def test_no_network_and_no_weights_is_one_line_at_once(tmp_path):
    (tmp_path / "films").mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "vclipper.cli",
            "index",
            str(tmp_path / "films"),
            "--library",
            str(tmp_path / "lib"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_ENDPOINT": "https://nowhere.invalid"},
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "ViT-B-32/laion2b_s34b_b79k are neither on this machine nor can they be downloaded" in done.stderr
    assert "local-dir:PATH" in done.stderr
    assert not (tmp_path / "lib").exists()


def test_pickled_weights_in_a_folder_are_refused(tmp_path):
    (tmp_path / "open_clip_config.json").write_text("{}")
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(ModelError, match="only pickled weights"):
        load_encoder(f"local-dir:{tmp_path}", "cpu")


def test_what_is_on_this_machine_is_loaded_without_asking_the_network(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: pytest.fail("the network was asked"))
    assert load_encoder("demo", "cpu").demo_only


@pytest.mark.gpu
def test_a_gpu_sees_what_the_cpu_sees(encoder):
    on_gpu = load_encoder("demo", "cuda:0")
    for count in (1, 3, 3):  # the memory from which the GPU copies is made anew for another size
        some = pictures()[:count]
        cosines = (encode_images(on_gpu, some) * encode_images(encoder, some)).sum(axis=1)
        assert cosines.min() > 0.999
