"""Train the demo model: a small OpenCLIP model that learns from pictures and captions drawn on the fly.

    python -m vclipper.demo.train --out DIR --minutes 30 --seed 0
    python -m vclipper.demo.train --evaluate --out DIR

It writes `open_clip_config.json` and `open_clip_model.safetensors` (float16) into DIR, which OpenCLIP
loads by the name `local-dir:DIR`, and prints how well the model tells unseen scenes apart. A run is
repeatable where `--steps` sets its length; `--minutes` makes the number of steps depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from vclipper.demo.captions import Caption, scene_caption, scene_facts
from vclipper.demo.random_scenes import is_held_out, random_scene, vary_scene
from vclipper.demo.render import draw_scene, random_jitter
from vclipper.demo.scene import Rng, Scene

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"
FIGURES_NAME = "figures.json"
MODEL_DIR = Path(__file__).parent / "model"
IMAGE_SIZE = 72
CONTEXT_LENGTH = 32
FAMILY = 4
# So many captions hold every word that captions are made of, but for the odd rare one.
VOCABULARY_PROBE = 5_000

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": IMAGE_SIZE,
            "patch_size": 12,
            "width": 160,
            "layers": 5,
            "head_width": 32,
            "mlp_ratio": 3.0,
            "pool_type": "avg",
        },
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": 49408,
            "width": 48,
            "heads": 4,
            "layers": 2,
        },
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.3, 0.3, 0.3],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}


@dataclass(frozen=True)
class Settings:
    """How a training run goes; it ends after `steps`, or after `minutes` where steps are 0.

    `workers` processes draw pictures while `threads` threads train. One of each suits two shared cores: where
    a second thread has to wait for a core, the first one waits with it.
    """

    minutes: float = 30.0
    steps: int = 0
    seed: int = 0
    families: int = 32
    learning_rate: float = 1.5e-3
    warmup: int = 100
    workers: int = 1
    threads: int = 1
    start_from: Path | None = None

    @property
    def batch_size(self) -> int:
        """The number of pictures in a batch."""
        return self.families * FAMILY


@dataclass(frozen=True)
class Batch:
    """Pictures (n, 3, size, size) uint8, tokens (n, context) int64 and, of each pair, whether it matches.

    `truths` (n, n) bool: the caption in column j is true of the picture in row i.
    `words` (n, context) int64: the tokens of each scene's complete caption.
    """

    pictures: torch.Tensor
    tokens: torch.Tensor
    words: torch.Tensor
    truths: torch.Tensor


# --- data -------------------------------------------------------------------------------------------------


def _family(rng: Rng) -> list[Scene]:
    """Draw scenes that differ little from each other, so that a batch holds nearly right captions."""
    first = random_scene(rng, held_out=False)
    scenes = [first]
    while len(scenes) < FAMILY:
        other = vary_scene(first, rng)
        scenes.append(random_scene(rng, held_out=False) if is_held_out(other) else other)
    return scenes


def _picture(scene: Scene, rng: Rng) -> NDArray[np.uint8]:
    """Draw the scene at some size and resize it as preprocessing does: (3, size, size) uint8."""
    side = int(rng.integers(72, 136))
    picture = draw_scene(scene, (side, side), random_jitter(rng))
    pixels = np.asarray(picture.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def truth_matrix(scenes: list[Scene], captions: list[Caption]) -> NDArray[np.bool_]:
    """Return (scenes, captions) bool: whether the caption is true of the scene."""
    facts = [scene_facts(scene) for scene in scenes]
    return np.array([[caption.facts <= held for caption in captions] for held in facts], dtype=np.bool_)


class Batches:
    """Batches by number; the same seed and number give the same batch, in whichever process."""

    def __init__(self, settings: Settings, length: int) -> None:
        self._settings = settings
        self._length = length
        self._tokenize: Callable[[list[str]], torch.Tensor] = open_clip.SimpleTokenizer(
            context_length=CONTEXT_LENGTH
        )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Batch:
        """Draw the batch of this number."""
        rng = np.random.default_rng((self._settings.seed, index))
        scenes = [scene for _ in range(self._settings.families) for scene in _family(rng)]
        captions = [scene_caption(scene, rng) for scene in scenes]
        return Batch(
            torch.from_numpy(np.stack([_picture(scene, rng) for scene in scenes])),
            self._tokenize([caption.text for caption in captions]),
            self._tokenize([scene_caption(scene, rng, complete=True).text for scene in scenes]),
            torch.from_numpy(truth_matrix(scenes, captions)),
        )


@cache
def known_tokens(seed: int = 0) -> torch.Tensor:
    """Return the numbers of all tokens that captions are made of, in rising order, int64."""
    rng = np.random.default_rng(seed)
    texts = [scene_caption(random_scene(rng), rng).text for _ in range(VOCABULARY_PROBE)]
    tokens: torch.Tensor = open_clip.SimpleTokenizer(context_length=CONTEXT_LENGTH)(texts)
    return torch.unique(tokens)


# --- loss -------------------------------------------------------------------------------------------------


def contrastive_loss(
    images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, truths: torch.Tensor
) -> torch.Tensor:
    """Return the CLIP loss of unit vectors (n, d), leaving out true captions of other pictures.

    `truths` (n, n) bool has a true caption in each column where it holds. A caption that is equally true of
    another picture of the batch is no counter-example there, so that pair takes no part.
    """
    logits = scale * images @ texts.T
    own = torch.arange(len(logits))
    others = truths.clone()
    others[own, own] = False
    logits = logits.masked_fill(others, float("-inf"))
    loss = functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)
    return loss / 2


class WordReader:
    """Guesses from a picture's vector which words its complete caption has; only a help in training.

    A contrastive loss says little at the start, when every caption fits every picture equally badly. Naming
    words gives the image tower a steady signal from the first step on. The reader is not saved.
    """

    def __init__(self, vocabulary: torch.Tensor, dimension: int) -> None:
        self.linear = torch.nn.Linear(dimension, len(vocabulary))
        self._row = torch.full((49408,), -1, dtype=torch.int64)
        self._row[vocabulary] = torch.arange(len(vocabulary))

    def loss(self, vectors: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Return the loss of guessing the words (n, context) int64 from the vectors (n, d)."""
        rows = self._row[words]
        wanted = torch.zeros(len(words), self.linear.out_features)
        known = rows >= 0
        wanted.scatter_(1, rows.clamp(min=0), known.float())
        guesses = self.linear(vectors)
        return functional.binary_cross_entropy_with_logits(guesses, wanted) * 20


# --- training ---------------------------------------------------------------------------------------------


def _starting_model(folder: Path | None) -> Any:
    """Return the model in the folder, or an untrained one of the demo's architecture where there is none."""
    if folder:
        return open_clip.create_model(f"local-dir:{folder}")
    model = open_clip.CLIP(**CONFIG["model_cfg"])
    with torch.no_grad():
        # A word never met in training must say nothing, rather than something at random.
        unknown = torch.ones(model.vocab_size, dtype=torch.bool)
        unknown[known_tokens()] = False
        model.token_embedding.weight[unknown] = 0
    return model


def _normalise(pictures: torch.Tensor) -> torch.Tensor:
    """Return pictures (n, 3, size, size) uint8 as the model takes them, float32."""
    preprocess = CONFIG["preprocess_cfg"]
    mean = torch.tensor(preprocess["mean"]).view(1, 3, 1, 1)
    std = torch.tensor(preprocess["std"]).view(1, 3, 1, 1)
    return (pictures.float() / 255 - mean) / std


def _optimizer(modules: list[Any], learning_rate: float) -> torch.optim.Optimizer:
    weights: list[torch.Tensor] = []
    rest: list[torch.Tensor] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            decays = parameter.ndim >= 2 and "embedding" not in name
            (weights if decays else rest).append(parameter)
    groups = [{"params": weights, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), fused=True)


def _learning_rate(settings: Settings, step: int, progress: float) -> float:
    """Return the rate after `step` steps, with this part of the run behind: a warm-up, then a cosine."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return settings.learning_rate * min(1.0, (step + 1) / settings.warmup) * max(0.02, cosine)


def _loader(settings: Settings) -> Iterable[Batch]:
    loader: Iterable[Batch] = torch.utils.data.DataLoader(
        Batches(settings, settings.steps or 1_000_000),
        batch_size=None,
        num_workers=settings.workers,
        prefetch_factor=4 if settings.workers else None,
    )
    return loader


def _step(model: Any, reader: WordReader | None, batch: Batch) -> tuple[torch.Tensor, float]:
    """Return the loss of a batch, and the contrastive part of it as a number."""
    # On processors the plain attention kernel is the faster one for so few tokens, forwards and backwards.
    with sdpa_kernel(SDPBackend.MATH):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            images = model.encode_image(_normalise(batch.pictures)).float()
        texts = model.encode_text(batch.tokens)
    scale = model.logit_scale.exp().clamp(max=100)
    loss = contrastive_loss(
        functional.normalize(images, dim=-1), functional.normalize(texts, dim=-1), scale, batch.truths
    )
    helped = loss + reader.loss(images, batch.words) if reader else loss
    return helped, float(loss.detach())


def train(settings: Settings, report: Callable[[str], None] = print) -> Any:
    """Train a model and return it; `report` gets a line of progress now and then."""
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    model = _starting_model(settings.start_from).train()
    # A model that has learned something needs no help, and a new reader would disturb it.
    reader = None if settings.start_from else WordReader(known_tokens(), CONFIG["model_cfg"]["embed_dim"])
    optimizer = _optimizer([model, reader.linear] if reader else [model], settings.learning_rate)
    start, shown = time.monotonic(), 0.0
    for step, batch in enumerate(_loader(settings)):
        elapsed = (time.monotonic() - start) / 60
        progress = step / settings.steps if settings.steps else elapsed / settings.minutes
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(settings, step, progress)
        loss, contrast = _step(model, reader, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        shown = contrast if step == 0 else 0.98 * shown + 0.02 * contrast
        if step % 50 == 0:
            report(f"step {step}  {elapsed:.1f} min  loss {shown:.3f}  all {float(loss.detach()):.3f}")
    return model.eval()


def save_model(model: Any, folder: Path) -> None:
    """Write the configuration and the weights, as float16, the way OpenCLIP reads them from a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_NAME).write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    weights = {name: value.detach().half().contiguous() for name, value in model.state_dict().items()}
    # Written as any file is, since the library's own writer lets nobody but the owner read it.
    (folder / WEIGHTS_NAME).write_bytes(save(weights, metadata={"format": "pt"}))


# --- evaluation -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """Accuracies between 0 and 1, averaged over several draws of unseen scenes."""

    scenes: int
    draws: int
    image_to_text: float
    text_to_image: float
    lowest: float


def distinct_scenes(rng: Rng, number: int) -> tuple[list[Scene], list[Caption]]:
    """Draw unseen scenes and complete captions of them, each caption true of its own scene alone."""
    scenes: list[Scene] = []
    captions: list[Caption] = []
    while len(scenes) < number:
        scene = random_scene(rng, held_out=True)
        caption = scene_caption(scene, rng, complete=True)
        if any(c.describes(scene) for c in captions) or any(caption.describes(s) for s in scenes):
            continue
        scenes.append(scene)
        captions.append(caption)
    return scenes, captions


def similarity_matrix(
    model: Any, preprocess: Any, tokenize: Any, pictures: list[Image.Image], texts: list[str]
) -> NDArray[np.float32]:
    """Return the cosine similarities (pictures, texts) float32."""
    with torch.inference_mode():
        images = model.encode_image(torch.stack([preprocess(p) for p in pictures]), normalize=True)
        words = model.encode_text(tokenize(texts), normalize=True)
    similarities: NDArray[np.float32] = (images @ words.T).numpy()
    return similarities


def evaluate(folder: Path, scenes: int = 100, draws: int = 5, seed: int = 1) -> Figures:
    """Measure the model in the folder, loaded as any OpenCLIP model is, on pictures of unseen scenes.

    Pictures are drawn at 320 × 240 pixels with all the jitter of training, so they are resized and cropped.
    """
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    rows, columns = [], []
    for draw in range(draws):
        rng = np.random.default_rng((seed, draw))
        drawn, captions = distinct_scenes(rng, scenes)
        pictures = [draw_scene(scene, (320, 240), random_jitter(rng)) for scene in drawn]
        found = similarity_matrix(model, preprocess, tokenize, pictures, [c.text for c in captions])
        own = np.arange(scenes)
        rows.append(float((found.argmax(axis=1) == own).mean()))
        columns.append(float((found.argmax(axis=0) == own).mean()))
    return Figures(scenes, draws, float(np.mean(rows)), float(np.mean(columns)), min(rows + columns))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vclipper.demo.train", description="Train the demo model")
    parser.add_argument("--out", type=Path, default=MODEL_DIR, help="the model's folder")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long to train (default: 30)")
    parser.add_argument("--steps", type=int, default=0, help="train for so many steps instead")
    parser.add_argument("--seed", type=int, default=0, help="seed of pictures and weights (default: 0)")
    parser.add_argument("--start-from", type=Path, help="folder of a model to train on; take another seed then")
    parser.add_argument("--learning-rate", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--families", type=int, default=32, help="families of 4 pictures in a batch")
    parser.add_argument("--threads", type=int, default=1, help="processor threads, besides one process that draws")
    parser.add_argument("--draws", type=int, default=5, help="draws of 100 unseen scenes to measure on")
    parser.add_argument("--evaluate", action="store_true", help="only measure the model in --out")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    options = _arguments().parse_args(arguments)
    if not options.evaluate:
        settings = Settings(
            minutes=options.minutes,
            steps=options.steps,
            seed=options.seed,
            families=options.families,
            threads=options.threads,
            learning_rate=options.learning_rate,
            start_from=options.start_from,
        )
        save_model(train(settings, lambda line: print(line, flush=True)), options.out)
    figures = evaluate(options.out, draws=options.draws)
    print(f"image→text {figures.image_to_text:.3f}  text→image {figures.text_to_image:.3f}", end="  ")
    print(f"lowest {figures.lowest:.3f}  ({figures.draws} draws of {figures.scenes} unseen scenes)")
    if not options.evaluate:
        text = json.dumps(vars(figures), indent=2) + "\n"
        (options.out / FIGURES_NAME).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
