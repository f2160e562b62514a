"""Whatever a manifest, settings, prediction or picture file holds: it is read, or refused in one line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.datasets import Dataset, load_qvhighlights
from bench.score import load_predictions
from indexer import manifest
from indexer.errors import InputError, LibraryError, VClipperError
from searcher.settings import SearchSettings, knobs
from searcher.settings_file import read_settings
from tests.bench_data import write_small_dataset
from tests.fakes import open_library
from tests.hostile import MUTATIONS, png_header
from vclipper.commands.options import settings_of

FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
MANIFEST_KEYS = ("model", "model_fingerprint", "dimension", "period_seconds", "schema_version", "created_unix")


def one_line(error: VClipperError) -> None:
    assert error.message.strip()
    assert "\n" not in str(error)


def wild(keys: tuple[str, ...]) -> Any:
    """Objects with the right names and any values; any JSON; any bytes."""
    named = st.dictionaries(st.sampled_from(keys), JSON, max_size=len(keys))
    as_text = (named | JSON).map(lambda value: json.dumps(value).encode())
    return as_text | st.binary(max_size=200)


@FUZZ
@given(content=wild(MANIFEST_KEYS))
def test_any_manifest(content, tmp_path):
    (tmp_path / manifest.FILE_NAME).write_bytes(content)
    try:
        made = manifest.load(tmp_path)
    except LibraryError as error:
        one_line(error)
    else:
        assert isinstance(made.model, str)
        assert made.dimension > 0
        assert made.period_seconds > 0


@FUZZ
@given(content=wild(tuple(knob.name for knob in knobs())))
def test_any_settings_file(content, tmp_path):
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    for read in (read_settings, lambda file: settings_of(str(file), {})):
        try:
            assert isinstance(read(path), SearchSettings)
        except InputError as error:
            one_line(error)


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Dataset:
    return load_qvhighlights(write_small_dataset(tmp_path_factory.mktemp("truth")))


@FUZZ
@given(lines=st.lists(wild(("qid", "query", "vid", "pred_relevant_windows", "pred_saliency_scores")), max_size=4))
def test_any_prediction_file(lines, truth, tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        load_predictions(path, truth)
    except InputError as error:
        one_line(error)


# ---- pictures


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    from tests.fakes import make_film

    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "a.mp4", [("red", 4)])
    library = open_library(folder / "lib")
    library.index([folder / "a.mp4"])
    return library


def search_by(path: Path, library) -> None:
    try:
        library.search(image=path)
    except InputError as error:
        one_line(error)


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 1), (0, 0), (20_000, 20_000)])
def test_a_picture_that_claims_a_size_is_refused(size, filled, tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(*size))
    with pytest.raises(InputError, match="cannot be read as an image"):
        filled.search(image=path)


@pytest.mark.filterwarnings("ignore")  # Pillow says what it finds odd
@pytest.mark.parametrize("format_name", ["png", "jpeg", "webp", "gif", "tiff", "bmp"])
def test_mutated_pictures(format_name, filled, tmp_path):
    from PIL import Image

    original = tmp_path / f"a.{format_name}"
    Image.effect_noise((64, 48), 60).convert("RGB").save(original)
    data, rng = original.read_bytes(), random.Random(format_name)
    for number in range(80):
        path = tmp_path / f"{number}.{format_name}"
        path.write_bytes(MUTATIONS[number % len(MUTATIONS)](data, data, rng))
        search_by(path, filled)


def test_a_picture_that_is_no_file(filled, tmp_path):
    (tmp_path / "empty.png").touch()
    for path in (tmp_path, tmp_path / "empty.png", tmp_path / "none.png"):
        with pytest.raises(InputError):
            filled.search(image=path)
