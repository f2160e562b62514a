"""A text query without torch: the same tokens, the same vectors, and the model itself wherever that cannot be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from indexer import manifest, text_tower
from indexer.clip_tokenizer import CLEANERS, ClipTokenizer
from indexer.encoder import OpenClipEncoder
from indexer.lock import writing
from indexer.model_names import LOCAL
from indexer.text_export import export
from tests.fakes import make_film
from vclipper.library import Library
from vclipper.models import DEMO_FOLDER, load_encoder

TEXTS = [
    "a",
    "A man in a Yellow Blanket!",
    "  two   blanks\tand\nlines ",
    "fish &amp; chips &amp;lt;3 &nbsp; caf&eacute;",
    "it's we'll they've I'M you'd",
    "12345 3.14 ½ Ⅷ ٣",
    "naïve Übergröße ſtraße ﬁne",
    "сова 狗在跑 日本語 한국어 हिन्दी ไทย",
    "🐕‍🦺 👩🏽‍🚀 ❤️",
    "mojibake: âœ” cafÃ©",
    "<start_of_text> <end_of_text> <END_OF_TEXT>",
    "snake_case --dashes-- ...!?",
    "\u200b\u00ad\ufeff",
    "word " * 200,
    "x" * 500,
]


@pytest.fixture(scope="module")
def reference():
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


@pytest.fixture(scope="module")
def tokenize():
    return ClipTokenizer()


def padded(tokens: list[int], length: int) -> list[int]:
    return tokens + [0] * (length - len(tokens))


@settings(max_examples=1500)
@given(text=st.one_of(st.text(max_size=40), st.text("abcdefg 'stre.&;#<>", max_size=60), st.sampled_from(TEXTS)))
@example(text="")
def test_tokens_are_openclips(text, reference, tokenize):
    assert padded(tokenize(text), 77) == reference(text)[0].tolist()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("clean", sorted(CLEANERS))
@pytest.mark.parametrize("context_length", [8, 64])
def test_tokens_for_other_models(text, clean, context_length):
    from open_clip.tokenizer import SimpleTokenizer

    theirs = SimpleTokenizer(context_length=context_length, clean=clean)
    ours = ClipTokenizer(context_length, clean)
    assert padded(ours(text), context_length) == theirs(text)[0].tolist()


@pytest.fixture(scope="module")
def demo():
    return load_encoder("demo", "cpu")


def cosines(encoder: OpenClipEncoder, folder: Path) -> np.ndarray:
    assert export(encoder, folder, "key")
    tower = text_tower.load(folder, "key")
    return (tower.encode_texts(TEXTS) * encoder.encode_texts(TEXTS)).sum(axis=1)


def test_the_exported_demo_model_gives_the_same_vectors(demo, tmp_path):
    assert cosines(demo, tmp_path).min() > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ViT-B-32/random", "ViT-B-32-quickgelu/random"])
def test_an_exported_vit_gives_the_same_vectors(model, tmp_path):
    assert cosines(OpenClipEncoder(model, "cpu"), tmp_path).min() > 0.9999


def test_texts_embedded_together_are_those_embedded_alone(demo, tmp_path):
    export(demo, tmp_path, "key")
    tower = text_tower.load(tmp_path, "key")
    texts = [" ".join(["red"] * (n % 9)) + f" {n}" for n in range(70)]  # more than one run takes, of many lengths
    together, alone = tower.encode_texts(texts), np.concatenate([tower.encode_texts([text]) for text in texts])
    assert np.allclose(together, alone, atol=1e-5)
    assert len(np.unique(alone.round(3), axis=0)) == 70  # and each its own


@pytest.mark.parametrize("instructions", [frozenset(), frozenset({"avx512f"})])
@pytest.mark.parametrize("tokens", [3, 12, 40, 300])
def test_products_are_the_same_whatever_the_processor_can_do(instructions, tokens, monkeypatch):
    monkeypatch.setattr(text_tower, "instructions", lambda: instructions)
    random = np.random.default_rng(0)
    for rows, columns in ((96, 64), (100, 512), (256, 2048)):
        weight = random.standard_normal((rows, columns), np.float32)
        x = random.standard_normal((columns, tokens), np.float32)
        assert np.allclose(text_tower._product(weight, x), weight.astype(float) @ x, atol=1e-3)


def altered_demo(folder: Path, **text_cfg: object) -> OpenClipEncoder:
    shutil.copytree(DEMO_FOLDER, folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"].update(text_cfg)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return OpenClipEncoder(f"{LOCAL}{folder}", "cpu")


@pytest.mark.parametrize("text_cfg", [{"no_causal_mask": True}, {"act_kwargs": {"approximate": "tanh"}}])
def test_a_text_half_of_another_make_is_not_exported(text_cfg, tmp_path):
    encoder = altered_demo(tmp_path / "model", **text_cfg)
    assert not export(encoder, tmp_path, "key")
    assert text_tower.load(tmp_path, "key") is None


def test_the_export_belongs_to_one_model(demo, tmp_path):
    export(demo, tmp_path, "one")
    assert text_tower.load(tmp_path, "two") is None
    export(demo, tmp_path, "two")
    assert text_tower.load(tmp_path, "one") is None
    assert len(list((tmp_path / "start").glob("text-*"))) == 1  # the other's weights are gone


# ---- in a library


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "a.mp4", [("red", 4), ("blue", 4)])
    make_film(folder / "b.mp4", [("lime", 4)])
    return folder


@pytest.fixture
def library(films, tmp_path):
    Library.open(tmp_path / "lib", "cpu").index([films], model="demo")
    return tmp_path / "lib"


def search(library: Path, text: str = "a red circle") -> list[tuple]:
    found = Library.open(library, "cpu").search(text)
    return [(m.path, m.start_seconds, m.end_seconds, round(m.score, 4)) for m in found]


def modules_of_a_search(library: Path, text: str) -> tuple[set[str], str]:
    code = (
        "import sys, vclipper.cli\n"
        f"code = vclipper.cli.run(['search', {text!r}, '--all', '--library', {str(library)!r}])\n"
        "print(code, *{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code, *modules = done.stderr.split()
    assert code == "0"
    return set(modules), done.stdout


def test_a_text_query_imports_neither_torch_nor_the_tables(library):
    modules, shown = modules_of_a_search(library, "a red circle")
    assert modules & {"torch", "open_clip", "lancedb", "pyarrow", "scipy", "av", "decord"} == set()
    assert "a.mp4" in shown


def test_with_and_without_the_export_the_same_is_found(library):
    with_export = search(library)
    shutil.rmtree(library / "start")
    assert search(library) == with_export


@pytest.mark.parametrize("damage", ["gone", "cut off", "other numbers", "no JSON"])
def test_a_damaged_export_is_passed_over_and_mended(library, damage):
    expected = search(library, "a blue square")
    (weights,) = (library / "start").glob("text-*.npy")
    shutil.rmtree(library / "start" / "queries")
    if damage == "gone":
        weights.unlink()
    elif damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif damage == "other numbers":
        np.save(weights, np.zeros(17, np.float32))
    else:
        (library / "start" / "text.json").write_text("{")
    assert search(library, "a blue square") == expected
    key = Library.open(library, "cpu").encoder.fingerprint
    assert text_tower.load(library, key) is not None


def test_the_export_waits_for_no_writer_and_keeps_none_waiting(library):
    shutil.rmtree(library / "start")
    with writing(library, "vclip index"):
        search(library, "a green circle")
    assert text_tower.is_saved(library, manifest.load(library).model_key)
    shutil.rmtree(library / "start")
    with writing(library, "vclip search", "exporter"):  # another search is at it
        search(library, "a green circle")
    assert not text_tower.is_saved(library, manifest.load(library).model_key)


def test_a_library_that_cannot_be_written_is_searched(library):
    expected = search(library, "a green circle")
    shutil.rmtree(library / "start" / "queries")
    everything = [library, *library.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert search(library, "a green circle") == expected
        if os.geteuid():
            assert not (library / "start" / "queries").exists()
    finally:
        for path in everything:
            path.chmod(0o755 if path.is_dir() else 0o644)
