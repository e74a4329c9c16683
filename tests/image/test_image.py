import warnings
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from linear_diffusion import LinearDiffusion
from linear_diffusion.image.format import ImageFormat
from linear_diffusion.image.pca import PCAEncoder, pca_from_covariance, pca_from_products, safe_std

Digits = tuple[np.ndarray, np.ndarray]


def encoder_of(
    rows: np.ndarray, latent_dim: int | float, *, standardize: bool = False, rescale: bool = True
) -> PCAEncoder:
    covariance = np.atleast_2d(np.cov(rows.T, bias=True))
    options = {"n_images": len(rows), "standardize": standardize, "rescale": rescale}
    return pca_from_covariance(rows.mean(axis=0), covariance, latent_dim, **options)


def same_signs(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Their components with our signs."""
    return theirs * np.sign((ours * theirs).sum(axis=1))[:, None]


RAMP = np.arange(256).reshape(4, 8, 8)


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (RAMP.astype(np.uint8), (0, 255)),
        (RAMP, (0, 255)),
        (RAMP.reshape(4, 64), (0, 255)),
        (RAMP.astype(np.uint16) // 2, (0, 255)),
        (RAMP.astype(np.uint16) * 16, (0, 65535)),
        (RAMP * 16, (0, 65535)),
        (RAMP - 128, None),
        (RAMP > 9, (0, 1)),
        (RAMP / 255, (0, 1)),
        ((RAMP / 255).astype(np.float32), (0, 1)),
        (RAMP / 127.5 - 1, (-1, 1)),
        (RAMP / 255 - 1, (-1, 1)),
        (RAMP / 255 - 0.5, None),
        (RAMP / 1.0, (0, 255)),
        (RAMP // 16 / 1.0, (0, 255)),
        (RAMP**2 / 255, (0, 255)),
        (RAMP / 1.1, None),
        (RAMP - 1.0, None),
        (RAMP / 1000 + 0.5, (0, 1)),
        (RAMP / 1000 + 1.5, None),
        (RAMP.reshape(4, 64) / 1.0, (0, 255)),
        (RAMP.reshape(4, 64) / 255, None),
        (RAMP.reshape(4, 64) // 16 / 1.0, None),
    ],
)
def test_the_range_is_what_pixels_evidently_have(X: np.ndarray, expected: tuple[float, float] | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error" if expected or X.ndim == 2 else "ignore")
        assert ImageFormat.of(X).pixel_range == expected
    if expected is None and X.ndim > 2:
        with pytest.warns(
            UserWarning, match=r"no range that is evident .* pixel_range=\(low, high\), or say"
        ) as caught:
            LinearDiffusion(styles=1).fit(X)
        assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize(
    ("pixel_range", "expected"), [((0, 255), (0.0, 255.0)), ([-1, 300], (-1.0, 300.0)), (None, None)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_a_range_that_is_said_is_taken(dtype: Any, pixel_range: Any, expected: Any) -> None:
    image = ImageFormat.of(RAMP.astype(dtype), pixel_range)
    if dtype == np.uint8 and expected:
        expected = 0.0, 255.0  # what is wider than the dtype bounds nothing
    assert (image.shape, image.dtype, image.pixel_range) == ((8, 8), np.dtype(dtype).name, expected)


def test_a_range_that_does_not_hold_the_pixels_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"pixel_range=\(0\.0, 1\.0\) does not hold X, whose pixels span \[0, 2\]; widen"
    ):
        ImageFormat.of(np.array([[0.0, 2.0]]), (0, 1))


def test_pixels_and_channels_are_counted() -> None:
    counts = {shape: ImageFormat(shape, "uint8", None) for shape in [(7,), (3, 4), (3, 4, 3), (3, 4, 1)]}
    assert [(f.n_pixels, f.n_channels) for f in counts.values()] == [(7, 1), (12, 1), (36, 3), (12, 1)]


@pytest.mark.parametrize("pixel_range", [(0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)])
def test_tones_are_256_even_steps_over_the_range(pixel_range: tuple[float, float]) -> None:
    pixels = np.linspace(*pixel_range, 256)[None]
    assert_array_equal(ImageFormat((256,), "float64", pixel_range).tones(pixels)[0], np.arange(256))


def test_tones_of_bytes_over_a_narrow_range_stretch() -> None:
    assert_array_equal(ImageFormat((3,), "uint8", (0.0, 15.0)).tones(np.array([[0, 3, 15]], np.uint8)), [[0, 51, 255]])


def test_cast_rounds_bytes_and_keeps_pixels_within_their_range() -> None:
    pixels = np.array([-3.0, 0.4, 0.6, 1.5, 300.0])
    assert_array_equal(ImageFormat((5,), "uint8", (0.0, 255.0)).cast(pixels), np.array([0, 0, 1, 2, 255], np.uint8))
    assert_array_equal(ImageFormat((5,), "uint8", (0.0, 15.0)).cast(pixels)[-1], 15)
    assert_array_equal(ImageFormat((5,), "uint8", None).cast(pixels)[[0, -1]], [0, 255])
    assert_array_equal(ImageFormat((5,), "float64", (0.0, 1.0)).cast(pixels), [0, 0.4, 0.6, 1, 1])
    assert_array_equal(ImageFormat((5,), "float64", None).cast(pixels), pixels)
    assert ImageFormat((5,), "float32", None).cast(pixels).dtype == np.float32


@pytest.mark.parametrize("latent_dim", [1, 10, 40])
def test_components_are_scikit_learns(digits: Digits, latent_dim: int) -> None:
    rows = digits[0].reshape(-1, 64)
    model, pca = (
        LinearDiffusion(styles=1, latent_dim=latent_dim).fit(rows),
        PCA(latent_dim, svd_solver="full").fit(rows),
    )
    assert_allclose(model.components_, same_signs(model.components_, pca.components_), atol=1e-9)
    assert_allclose(model.explained_variance_ratio_, pca.explained_variance_ratio_, rtol=1e-9)
    decoded = model.inverse_transform(model.transform(rows))
    assert_allclose(decoded, pca.inverse_transform(pca.transform(rows)), atol=1e-11)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.95, 0.99])
def test_a_share_of_variance_keeps_as_many_components_as_scikit_learn(digits: Digits, share: float) -> None:
    rows = digits[0].reshape(-1, 64)
    assert (
        LinearDiffusion(styles=1, latent_dim=share).fit(rows).latent_dim_
        == PCA(share, svd_solver="full").fit(rows).n_components_
    )


def test_standardised_components_are_those_of_standard_scaler_and_pca(digits: Digits) -> None:
    rows = digits[0].reshape(-1, 64)  # has constant pixels
    scaler = StandardScaler().fit(rows)
    pca = PCA(10, svd_solver="full").fit(scaler.transform(rows))
    model = LinearDiffusion(styles=1, latent_dim=10, standardize=True).fit(rows)
    assert_allclose(model.components_, same_signs(model.components_, pca.components_), atol=1e-9)
    assert_allclose(model.explained_variance_ratio_, pca.explained_variance_ratio_, rtol=1e-9)
    reconstruction = scaler.inverse_transform(pca.inverse_transform(pca.transform(scaler.transform(rows))))
    assert_allclose(model.inverse_transform(model.transform(rows)), reconstruction, atol=1e-10)
    one_shot = LinearDiffusion.one_shot(latent_dim=10).fit(rows)
    latents = pca.transform(scaler.transform(rows)) * np.sign((model.components_ * pca.components_).sum(axis=1))
    assert_allclose(one_shot.transform(rows), latents, atol=1e-9)


@pytest.mark.parametrize("standardize", [True, False])
def test_latents_have_mean_variance_one_but_for_the_one_step_schedule(digits: Digits, standardize: bool) -> None:
    rows = digits[0].reshape(-1, 64)
    z = LinearDiffusion(styles=1, latent_dim=8, standardize=standardize).fit_transform(rows)
    assert_allclose(z.var(axis=0).mean(), 1.0, rtol=1e-10)
    assert_allclose(z.mean(axis=0), 0.0, atol=1e-10)
    off_diagonal = np.cov(z.T) - np.diag(z.var(axis=0, ddof=1))
    assert_allclose(off_diagonal, 0.0, atol=1e-10)
    assert LinearDiffusion(styles=1, latent_dim=8, schedule="one-step").fit(rows).scaling_factor_ == 1.0


def test_decoding_then_encoding_is_the_identity_on_latents_and_a_projection_on_images(digits: Digits) -> None:
    rows = digits[0].reshape(-1, 64)
    encoder = encoder_of(rows, 8, standardize=True)
    z = np.random.default_rng(0).standard_normal((5, 8))
    assert_allclose(encoder.encode(encoder.decode(z)), z, atol=1e-12)
    once = encoder.decode(encoder.encode(rows))
    assert_allclose(encoder.decode(encoder.encode(once)), once, atol=1e-12)


def test_encoding_in_parts_is_encoding_whole_and_keeps_the_precision(digits: Digits) -> None:
    rows = np.tile(digits[0].reshape(-1, 64), (3, 1))  # more than one chunk
    encoder = encoder_of(rows, 5)
    assert_allclose(encoder.encode(rows), (rows - rows.mean(axis=0)) @ encoder.components.T * encoder.scale, atol=1e-12)
    for dtype, out in [(np.float64, np.float64), (np.float32, np.float32), (np.uint8, np.float32)]:
        assert encoder.encode(rows.astype(dtype)).dtype == out


def test_components_are_orthonormal_and_their_largest_entry_is_positive(digits: Digits) -> None:
    encoder = encoder_of(digits[0].reshape(-1, 64), 30)
    assert_allclose(encoder.components @ encoder.components.T, np.eye(30), atol=1e-12)
    assert (encoder.components[np.arange(30), np.abs(encoder.components).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("standardize", [True, False])
def test_randomised_components_are_the_exact_ones(digits: Digits, standardize: bool) -> None:
    rows = digits[0].reshape(-1, 64)
    mean, covariance = rows.mean(axis=0), np.cov(rows.T, bias=True)
    options: dict[str, Any] = {"n_images": len(rows), "standardize": standardize, "rescale": True}
    # 54 components and ten more span all pixels; four do not.
    for latent_dim, tolerance in [(54, 1e-9), (4, 1e-4)]:
        exact = pca_from_covariance(mean, covariance, latent_dim, **options)
        drawn = pca_from_products(mean, np.diag(covariance), lambda q: covariance @ q, latent_dim, **options)
        assert_allclose(drawn.components, exact.components, atol=100 * tolerance)
        assert_allclose(drawn.variances, exact.variances, rtol=tolerance)
        assert_allclose([drawn.total_variance, drawn.scale], [exact.total_variance, exact.scale], rtol=tolerance)


@pytest.mark.parametrize(("n", "kept"), [(1, 1), (2, 1), (5, 4), (20, 6)])
def test_no_more_components_are_kept_than_carry_variance(n: int, kept: int) -> None:
    rows = np.random.default_rng(0).standard_normal((n, 6))
    assert len(encoder_of(rows, 144).components) == kept


def test_identical_images_keep_one_component_without_variance() -> None:
    encoder = encoder_of(np.full((5, 6), 3.0), 144, standardize=True)
    assert encoder.components.shape == (1, 6)
    assert (encoder.scale, encoder.total_variance, encoder.ratio.tolist()) == (1.0, 0.0, [0.0])
    assert_allclose(encoder.decode(encoder.encode(np.full((2, 6), 3.0))), 3.0)


def test_safe_std_is_standard_scalers(digits: Digits) -> None:
    rows = np.c_[digits[0].reshape(-1, 64), np.full(1797, 7.0)]
    assert_allclose(safe_std(rows.var(axis=0)), StandardScaler().fit(rows).scale_, rtol=1e-10)
