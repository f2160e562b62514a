"""The bundled model: small, loaded like any other OpenCLIP model, and right about unseen drawings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from vclipper.demo import train
from vclipper.demo.captions import scene_caption
from vclipper.demo.random_scenes import is_held_out, random_scene, vary_scene
from vclipper.demo.render import Jitter, draw_scene, random_jitter
from vclipper.demo.scene import Backdrop, Scene, Thing
from vclipper.demo.train import MODEL_DIR, WEIGHTS_NAME, Settings, distinct_scenes, evaluate
from vclipper.demo.train import train as train_model


def test_model_loads_through_open_clip_as_float32() -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{MODEL_DIR}")
    tokens = open_clip.get_tokenizer(f"local-dir:{MODEL_DIR}")(["a red car on a road"])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    picture = preprocess(draw_scene(Scene((), "centre", Backdrop("sea", time="day")), (320, 240)))
    with torch.inference_mode():
        assert model.encode_image(picture[None]).shape == model.encode_text(tokens).shape == (1, 128)


def test_weights_are_small() -> None:
    assert (MODEL_DIR / WEIGHTS_NAME).stat().st_size < 10_000_000


def test_model_names_unseen_scenes_among_100() -> None:
    figures = evaluate(MODEL_DIR, draws=3)
    assert figures.image_to_text >= 0.95
    assert figures.text_to_image >= 0.95


def test_short_queries_find_their_pictures() -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{MODEL_DIR}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{MODEL_DIR}")
    things = {"car": "road", "boat": "sea", "house": "meadow", "fish": "water", "rocket": "space", "cup": "room"}
    pictures = [
        draw_scene(Scene((Thing(name, "red"),), "centre", Backdrop(place, time="day")), (320, 240))
        for name, place in things.items()
    ]
    found = train.similarity_matrix(model.eval(), preprocess, tokenize, pictures, [f"a {name}" for name in things])
    assert found.argmax(axis=0).tolist() == list(range(len(things)))


def test_training_writes_a_model_that_loads(tmp_path: Path) -> None:
    train.main(["--out", str(tmp_path), "--steps", "2", "--families", "2", "--draws", "1"])
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    assert model.encode_text(open_clip.get_tokenizer(f"local-dir:{tmp_path}")(["a car"])).shape == (1, 128)
    assert (tmp_path / train.FIGURES_NAME).is_file()


def test_training_is_repeatable() -> None:
    settings = Settings(steps=2, families=2, workers=0)
    first, second = (train_model(settings, lambda _: None).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_goes_on_from_a_model() -> None:
    settings = Settings(steps=1, families=2, workers=0, learning_rate=1e-6, start_from=MODEL_DIR)
    shipped = open_clip.create_model(f"local-dir:{MODEL_DIR}").state_dict()
    trained = train_model(settings, lambda _: None).state_dict()
    assert all(torch.allclose(trained[name], shipped[name], atol=1e-4) for name in shipped)


def test_loss_leaves_out_captions_true_of_other_pictures() -> None:
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1]]), dim=-1)
    own = torch.eye(2, dtype=torch.bool)
    confused = train.contrastive_loss(vectors, vectors, torch.tensor(10.0), own)
    forgiven = train.contrastive_loss(vectors, vectors, torch.tensor(10.0), torch.ones(2, 2, dtype=torch.bool))
    assert float(confused) > 0.5
    assert float(forgiven) == 0


def test_evaluation_captions_are_true_of_one_scene_only() -> None:
    scenes, captions = distinct_scenes(np.random.default_rng(3), 40)
    truths = train.truth_matrix(scenes, captions)
    assert all(is_held_out(scene) for scene in scenes)
    assert np.array_equal(truths, np.eye(40, dtype=bool))


@pytest.mark.parametrize("complete", [True, False])
def test_captions_are_true_of_their_own_scene(complete: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        scene = vary_scene(random_scene(rng), rng)
        assert scene_caption(scene, rng, complete).describes(scene)


def test_drawing_repeats_exactly_and_jitter_changes_it() -> None:
    rng = np.random.default_rng(5)
    scene, jitter = random_scene(rng), random_jitter(rng)
    assert draw_scene(scene, (96, 64), jitter).tobytes() == draw_scene(scene, (96, 64), jitter).tobytes()
    assert draw_scene(scene, (96, 64), jitter).tobytes() != draw_scene(scene, (96, 64), Jitter(seed=1)).tobytes()


def test_rendering_and_videos_do_not_import_torch() -> None:
    code = "import sys, vclipper.demo.random_scenes, vclipper.demo.videos; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
