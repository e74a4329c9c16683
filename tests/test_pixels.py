"""What pixels mean: whatever dtype, offset and scale they come in, the same model, and its answers in their units."""

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from linear_diffusion import LinearDiffusion, operators

Digits = tuple[np.ndarray, np.ndarray]
MOVES = [(3.0, 1e7), (1e-160, -4e-160), (1e250, 0.0)]
"""Scale and offset."""
HOLE = np.zeros((8, 8), bool)
HOLE[2:5, 3:6] = True


def fitted(digits: Digits, scale: float = 1.0, offset: float = 0.0, **parameters: Any) -> LinearDiffusion:
    images, y = (a[:600] for a in digits)
    parameters = {
        "latent_dim": 20,
        "styles": 3,
        "random_state": 0,
        "pixel_range": (offset, scale + offset),
    } | parameters
    return LinearDiffusion(**parameters).fit(images * scale + offset, y)


def moved_back(images: np.ndarray, scale: float, offset: float) -> np.ndarray:
    return (images - offset) / scale


def slack(scale: float, offset: float) -> float:
    """What numbers of double precision know of images that were moved, and single precision of the others."""
    return 2e-5 + 1e-13 * abs(offset / scale)


@pytest.fixture(scope="module")
def still(digits: Digits) -> LinearDiffusion:
    return fitted(digits)


@pytest.mark.parametrize(("scale", "offset"), MOVES)
def test_moved_and_scaled_images_have_moved_and_scaled_answers(
    digits: Digits, still: LinearDiffusion, scale: float, offset: float
) -> None:
    model, images, y = fitted(digits, scale, offset), digits[0][600:620], digits[1][600:620]
    moved, atol = images * scale + offset, 5e-4  # styles are kept in half precision, which rounds either way
    assert_allclose(model.transform(moved), still.transform(images), atol=1e3 * slack(scale, offset))
    jacobian = 64 * np.log(scale)
    for prompts in (None, y):
        found = model.score_samples(moved, prompts) + jacobian
        assert_allclose(found, still.score_samples(images, prompts), rtol=1e-3, atol=0.1)
    assert_allclose(model.predict_proba(moved), still.predict_proba(images), atol=1e-2)
    assert_allclose(model.bits_per_dim(moved), still.bits_per_dim(images), rtol=1e-3, atol=1e-2)
    assert_allclose(model.class_noise_std_ / scale, still.class_noise_std_, rtol=1e-6)
    assert_allclose(moved_back(model.denoise(moved, 0.2 * scale), scale, offset), still.denoise(images, 0.2), atol=atol)
    assert_array_equal(model.denoise(moved, 0.0), moved)
    for operator, level in ((operators.inpaint(HOLE), 0.0), (operators.blur(1.0), 0.1), (operators.downsample(2), 0.0)):
        mean, std = model.restore(operator(moved), operator, level * scale, return_std=True)
        expected, spread = still.restore(operator(images), operator, level, return_std=True)
        assert_allclose(moved_back(mean, scale, offset), expected, atol=20 * atol)
        assert_allclose(std / scale, spread, atol=20 * atol)
    assert_array_equal(model.restore(moved, operators.inpaint(HOLE))[:, ~HOLE], moved[:, ~HOLE])
    beside = np.abs(moved_back(model.sample(200)[0], scale, offset) - still.sample(200)[0])
    assert beside.mean() < 2e-3


@pytest.mark.parametrize(("scale", "offset"), MOVES)
def test_moved_and_scaled_images_have_moved_and_scaled_samples(digits: Digits, scale: float, offset: float) -> None:
    model, other = fitted(digits, scale, offset, styles=1), fitted(digits, styles=1)
    images, y = digits[0][600:620], digits[1][600:620]
    for draw in (
        lambda m, X: m.sample(200)[0],
        lambda m, X: m.sample(20, "3", sampler="ddim", n_steps=5, return_trajectory=True)[2],
        lambda m, X: m.sample(20, "3", sampler="ddim", n_steps=5, guidance_scale=1.2)[0],
        lambda m, X: m.edit(X, y, 0.5),
        lambda m, X: m.interpolate(X[0], X[1], 5, prompts=y[:2].tolist()),
    ):
        beside = np.abs(moved_back(draw(model, images * scale + offset), scale, offset) - draw(other, images))
        # Tables have entries and tones: few pixels fall to another, and those that do differ by a tone of digits.
        assert beside.mean() < 2e-3
        assert (beside > 1e-3).mean() < 0.03


@pytest.mark.parametrize(("scale", "offset"), MOVES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_samples_without_curves_are_moved_to_the_last_digit(
    digits: Digits, scale: float, offset: float, dtype: Any
) -> None:
    if dtype == np.float32 and not 1e-30 < scale + abs(offset) < 1e6:
        return
    images, atol = (
        (digits[0] * scale + offset).astype(dtype),
        slack(scale, offset) + (dtype == np.float32) * 3e-7 * abs(offset),
    )
    parameters = {"styles": 1, "latent_dim": 20, "pixel_range": None, "random_state": 0}
    model, still = LinearDiffusion(**parameters).fit(images), LinearDiffusion(**parameters).fit(digits[0])
    assert_allclose(moved_back(model.sample(50)[0].astype(float), scale, offset), still.sample(50)[0], atol=10 * atol)


def test_a_model_of_tiny_numbers_is_saved_and_read(digits: Digits, tmp_path: Any) -> None:
    for scale in (1e-150,):
        model = fitted(digits, scale, 2 * scale)
        model.save_pretrained(tmp_path / str(scale))
        again = LinearDiffusion.from_pretrained(tmp_path / str(scale))
        assert_array_equal(again.sample(20)[0], model.sample(20)[0])
        assert_allclose(again.scaling_factor_, model.scaling_factor_, rtol=1e-12)


# Dtypes


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint16, np.uint32])
def test_integers_up_to_255_are_bytes(grey: Digits, dtype: Any) -> None:
    images, y = (a[:400] for a in grey)
    bytes_, model = (
        LinearDiffusion(styles=3, latent_dim=20, random_state=0).fit(X, y) for X in (images, images.astype(dtype))
    )
    drawn = model.sample(50)[0]
    assert drawn.dtype == dtype
    assert_array_equal(drawn, bytes_.sample(50)[0])
    some = images[:9].astype(dtype)
    assert_array_equal(model.score_samples(some), bytes_.score_samples(images[:9]))
    assert model.denoise(some, 20.0).dtype == model.restore(some, operators.inpaint(HOLE)).dtype == dtype
    assert_array_equal(model.bits_per_dim(some), bytes_.bits_per_dim(images[:9]))


def test_lists_frames_and_pictures_are_what_they_hold(grey: Digits) -> None:
    pandas = pytest.importorskip("pandas")
    images, y = (a[:300] for a in grey)
    model = LinearDiffusion(styles=1, latent_dim=10, random_state=0)
    expected = model.fit(images, y).sample(9)[0]
    for X in (images.tolist(), [Image.fromarray(image) for image in images], list(images)):
        assert_array_equal(model.fit(X, y).sample(9)[0], expected)
    rows = model.fit(images.reshape(300, -1), y).sample(9)[0]
    frame = pandas.DataFrame(images.reshape(300, -1), columns=[f"pixel{i}" for i in range(64)])
    for dtype in (np.int64, np.uint8):
        drawn = model.fit(frame.astype(dtype), y).sample(9)[0]
        assert drawn.dtype == dtype
        assert_array_equal(drawn, rows)
    frame.iloc[0, 0] = 255
    floats = model.fit(frame.astype(float), y)
    assert_allclose(floats.sample(9)[0], rows, atol=20)
    with pytest.raises(ValueError, match=r"X has images of shapes \(3, 4\), \(8, 8\); bring all to one shape"):
        model.fit([images[0], images[1][:3, :4]])


def test_bits_are_bits(digits: Digits) -> None:
    bits = digits[0] > 0.5
    model = LinearDiffusion(styles=3, latent_dim=20, random_state=0).fit(bits, digits[1])
    drawn = model.sample(500)[0]
    assert drawn.dtype == bool
    assert abs(drawn.mean() - bits.mean()) < 0.03
    assert model.denoise(bits[:5], 0.3).dtype == bool


@pytest.mark.parametrize(
    ("dtype", "read"),
    [(">f4", "float32"), (">f8", "float64"), (">i2", "int16"), ("float16", "float32"), ("longdouble", "float64")],
)
def test_the_order_of_bytes_is_no_dtype(digits: Digits, dtype: str, read: str) -> None:
    images = np.rint(255 * digits[0]).astype(read)
    model, other = (
        LinearDiffusion(styles=1, latent_dim=10, random_state=0).fit(X) for X in (images, images.astype(dtype))
    )
    assert_array_equal(other.sample(5)[0], model.sample(5)[0])
    assert other.sample(5)[0].dtype == other.denoise(images[:2].astype(dtype), 1.0).dtype == np.dtype(read)


def test_integers_never_wrap() -> None:
    X = np.random.default_rng(0).choice([-128, 127], (200, 6, 6)).astype(np.int8)
    with pytest.warns(UserWarning, match="no range"):
        model = LinearDiffusion(styles=1, random_state=0).fit(X)
    drawn = model.sample(200)[0]
    assert drawn.dtype == np.int8
    assert (np.abs(drawn.astype(int)) == 127).mean() + (drawn == -128).mean() > 0.2
    assert abs(drawn.std() / X.std() - 1) < 0.3


# Tones


@pytest.mark.parametrize("dtype", [np.uint16, np.float64])
def test_tones_are_of_what_pixels_span_however_wide_their_range(dtype: Any) -> None:
    X = np.random.default_rng(0).normal(250, 40, (500, 8, 8)).clip(100, 400).astype(dtype)
    model = LinearDiffusion(styles=3, latent_dim=20, pixel_range=(0, 65535), random_state=0).fit(X)
    drawn = model.sample(500)[0]
    assert drawn.dtype == dtype
    assert_allclose(
        np.quantile(drawn, [0.05, 0.25, 0.5, 0.75, 0.95]), np.quantile(X, [0.05, 0.25, 0.5, 0.75, 0.95]), atol=3
    )
    assert_allclose(drawn.std(), X.std(), rtol=0.03)


def test_dim_images_are_drawn_as_bright_ones(digits: Digits) -> None:
    dim, bright = fitted(digits, 1e-3, pixel_range=(0, 1), styles=1), fitted(digits, styles=1)
    beside = np.abs(1e3 * dim.sample(200)[0] - bright.sample(200)[0])
    assert beside.mean() < 2e-3


def test_batches_that_widen_what_pixels_span_count_tones_anew(digits: Digits) -> None:
    images, y = digits[0] * 1e-3 + 50.0, digits[1]
    order = np.argsort(images.max(axis=(1, 2)), kind="stable")  # the dimmest first
    parameters = {"styles": 1, "latent_dim": 20, "pixel_range": (0, 100), "random_state": 0}
    model, whole = LinearDiffusion(**parameters), LinearDiffusion(**parameters).fit(images, y)
    model.partial_fit(np.full((2, 8, 8), 50.0), y[:2])
    model.partial_fit(np.full((2, 8, 8), 50.0), y[:2])
    model = LinearDiffusion(**parameters)
    for part in np.array_split(order, 5):
        model.partial_fit(images[part], y[part])
    assert_allclose(model.covariances_, whole.covariances_, atol=1e-6)
    assert_allclose(model.score_samples(images[:9]), whole.score_samples(images[:9]), rtol=1e-6)
    beside = np.abs(model.sample(300)[0] - whole.sample(300)[0]) / 1e-3
    assert beside.mean() < 5e-3


# What is refused


@pytest.mark.parametrize("shape", [(5, 3, 32, 16), (5, 1, 28, 28), (5, 4, 8, 8)])
def test_channels_that_come_first_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"channels before its rows; here they come last, .*X\.transpose\(0, 2, 3, 1\)"
    ):
        LinearDiffusion().fit(np.zeros(shape))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize(
    "method",
    ["transform", "score_samples", "predict_proba", "bits_per_dim", "denoise", "restore", "edit"],
)
def test_images_from_elsewhere_are_refused_not_answered(digits: Digits, dtype: str, method: str) -> None:
    images = np.rint(15 * digits[0]).astype(dtype)
    model = LinearDiffusion(styles=2, latent_dim=10, pixel_range=(0, 15)).fit(images[:300], digits[1][:300])
    more = {"restore": (operators.blur(1.0), 0.1), "edit": ("3",)}.get(method, ())
    for far in (np.float32(1e30), np.float32(-3e38), 1e200, -1.7e308):
        X = images[:4].astype(type(far))
        X[1, 2, 3] = far
        with warnings.catch_warnings(), pytest.raises(ValueError, match=r"X holds pixels from .* too far from those"):
            warnings.simplefilter("error")
            getattr(model, method)(X, *more)
    X = images[:4] * 1e8
    assert np.isfinite(getattr(model, method)(X, *more)).all()


@pytest.mark.parametrize("scale", [1e-310, 1e305])
def test_what_double_precision_cannot_square_or_subtract_is_refused_in_fit(digits: Digits, scale: float) -> None:
    for X in (digits[0] * scale, digits[0].reshape(len(digits[0]), -1) * scale, np.array([[-1.5e308], [1.5e308]])):
        with pytest.raises(ValueError, match=r"X has pixels from .* Scale it, for example to \[0, 1\]"):
            LinearDiffusion(pixel_range=None).fit(X)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ridge", 1e300), ("ridge", np.inf), ("pixel_range", (-1e308, 1e308)), ("pixel_range", (0, 10**400))],
)
def test_parameters_without_an_answer_are_refused(digits: Digits, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        LinearDiffusion(**{name: value}).fit(*digits)


def test_a_large_ridge_and_a_wide_range_have_finite_samples(digits: Digits) -> None:
    model = LinearDiffusion(styles=2, ridge=1e15, pixel_range=(-1e300, 1e300), random_state=0).fit(*digits)
    assert np.isfinite(model.sample(20)[0]).all()
    assert np.isfinite(model.score_samples(digits[0][:20])).all()
