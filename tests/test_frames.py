"""Sampling arithmetic, batches, and pictures fitted byte for byte as OpenCLIP fits them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from indexer.errors import InputError
from indexer.frames import FrameBatch, PictureSpec, ResizeMode, fit_picture, sample_count, sample_times


@pytest.mark.parametrize(
    ("duration_seconds", "period_seconds", "count"),
    [
        (10.0, 2.0, 5),
        (10.0005, 2.0, 5),  # float dust past the end is no frame
        (10.002, 2.0, 6),
        (9.9, 2.0, 5),
        (0.0, 2.0, 1),
        (0.04, 2.0, 1),
        (2.0, 2.0, 1),
        (588.0, 0.5, 1176),
        (0.3 * 7, 0.3, 7),
    ],
)
def test_sample_count(duration_seconds: float, period_seconds: float, count: int) -> None:
    assert sample_count(duration_seconds, period_seconds) == count


@given(st.floats(0, 2e4), st.floats(0.04, 100))
def test_sampled_times_lie_within_the_duration(duration_seconds: float, period_seconds: float) -> None:
    times = sample_times(duration_seconds, period_seconds)
    assert times.dtype == np.float64
    assert times[0] == 0
    assert (times[1:] < duration_seconds).all()
    assert times[-1] + period_seconds >= duration_seconds - 1e-2
    np.testing.assert_allclose(np.diff(times), period_seconds)


@pytest.mark.parametrize("period_seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_period_must_be_above_zero(period_seconds: float) -> None:
    with pytest.raises(InputError, match="period"):
        sample_count(10.0, period_seconds)


@pytest.mark.parametrize("duration_seconds", [-1.0, float("nan"), float("inf")])
def test_a_duration_must_be_finite(duration_seconds: float) -> None:
    with pytest.raises(InputError, match="duration"):
        sample_times(duration_seconds, 2.0)


def test_a_batch_knows_its_length() -> None:
    assert len(FrameBatch(3, np.zeros((5, 8, 9, 3), np.uint8))) == 5


@pytest.mark.parametrize(
    ("first_index", "pictures"),
    [
        (-1, np.zeros((1, 8, 8, 3), np.uint8)),
        (0, np.zeros((0, 8, 8, 3), np.uint8)),
        (0, np.zeros((8, 8, 3), np.uint8)),
        (0, np.zeros((1, 8, 8, 4), np.uint8)),
        (0, np.zeros((1, 8, 8, 3), np.float32)),
        (0, np.zeros((1, 8, 16, 3), np.uint8)[:, :, ::2]),
    ],
)
def test_a_batch_of_the_wrong_shape_is_refused(first_index: int, pictures: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"first_index|pictures"):
        FrameBatch(first_index, pictures)


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 0},
        {"width": -1},
        {"resize_mode": "crop"},
        {"interpolation": "nearest"},
        {"fill_color": 256},
    ],
)
def test_a_picture_spec_out_of_bounds_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        PictureSpec(**wrong)  # type: ignore[arg-type]


SOURCE_SIZES = [
    (1920, 1080),
    (1080, 1920),
    (640, 480),
    (321, 199),
    (199, 321),
    (224, 224),
    (225, 224),
    (100, 57),
    (57, 100),
    (31, 33),
    (500, 7),
    (1, 1),
]
MODES: list[ResizeMode] = ["shortest", "longest", "squash"]


@pytest.mark.parametrize("target", [(224, 224), (336, 336), (240, 320), (320, 240), (37, 51)])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pictures_are_fitted_as_openclip_fits_them(
    mode: ResizeMode, interpolation: str, target: tuple[int, int]
) -> None:
    transform = pytest.importorskip("open_clip.transform", reason="needs OpenCLIP")
    # Without mean and deviation the tensor is the picture divided by 255.
    theirs = transform.image_transform(
        target if target[0] != target[1] else target[0],
        is_train=False,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        resize_mode=mode,
        interpolation=interpolation,
        fill_color=77,
    )
    spec = PictureSpec(target[0], target[1], mode, interpolation, 77)
    generator = np.random.default_rng(11)
    for width, height in SOURCE_SIZES:
        image = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        expected = np.rint(theirs(image).permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        fitted = fit_picture(image, spec)
        assert fitted.dtype == np.uint8
        assert fitted.flags.c_contiguous
        np.testing.assert_array_equal(fitted, expected, err_msg=f"{width} × {height}")


@pytest.mark.parametrize("size", [(1000, 1), (1, 1000)])
@pytest.mark.parametrize("mode", MODES)
def test_a_line_is_still_a_picture(mode: ResizeMode, size: tuple[int, int]) -> None:
    assert fit_picture(Image.new("RGB", size), PictureSpec(resize_mode=mode)).shape == (224, 224, 3)


@pytest.mark.parametrize("picture_mode", ["L", "RGBA", "LA", "P"])
@pytest.mark.parametrize("mode", MODES)
def test_other_colour_modes_are_fitted_as_openclip_fits_them(mode: ResizeMode, picture_mode: str) -> None:
    transform = pytest.importorskip("open_clip.transform", reason="needs OpenCLIP")
    theirs = transform.image_transform(
        224, is_train=False, mean=(0.0,) * 3, std=(1.0,) * 3, resize_mode=mode, fill_color=77
    )
    pixels = np.random.default_rng(5).integers(0, 256, (90, 140, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(picture_mode)
    expected = np.rint(theirs(image).permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    np.testing.assert_array_equal(fit_picture(image, PictureSpec(resize_mode=mode, fill_color=77)), expected)
