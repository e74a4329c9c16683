import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion.denoiser.affine import AffineMap

K = 4


def random_map(seed: int, *, diagonal: bool, noisy: bool) -> AffineMap:
    rng = np.random.default_rng(seed)
    shape = (K,) if diagonal else (K, K)
    return AffineMap(rng.standard_normal(shape), rng.standard_normal(K), rng.standard_normal(shape) if noisy else None)


def dense(a: AffineMap) -> AffineMap:
    """A diagonal map as a full one."""
    return AffineMap(np.diag(a.matrix), a.shift, None if a.factor is None else np.diag(a.factor))


def assert_same(a: AffineMap, b: AffineMap) -> None:
    assert_allclose(a.matrix, b.matrix, rtol=1e-12, atol=1e-12)
    assert_allclose(a.shift, b.shift, rtol=1e-12, atol=1e-12)
    assert (a.factor is None) == (b.factor is None)
    if a.factor is not None and b.factor is not None:
        assert_allclose(a.factor, b.factor, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("diagonal", [True, False])
def test_composing_maps_is_applying_one_after_the_other(diagonal: bool) -> None:
    f, g = (random_map(seed, diagonal=diagonal, noisy=False) for seed in (0, 1))
    z = np.random.default_rng(2).standard_normal((7, K))
    assert_allclose(f(g)(z), f(g(z)), rtol=1e-12)


@pytest.mark.parametrize("diagonal", [True, False])
def test_combining_maps_is_combining_their_values(diagonal: bool) -> None:
    f, g = (random_map(seed, diagonal=diagonal, noisy=False) for seed in (0, 1))
    z = np.random.default_rng(2).standard_normal((7, K))
    assert_allclose((0.3 * f + g * -2.0)(z), 0.3 * f(z) - 2.0 * g(z), rtol=1e-12)


@pytest.mark.parametrize("diagonal", [True, False])
def test_sums_of_maps_share_their_noise(diagonal: bool) -> None:
    """Both are functions of the same eta, so their factors add and do not add in squares."""
    f, g = (random_map(seed, diagonal=diagonal, noisy=True) for seed in (0, 1))
    free = random_map(2, diagonal=diagonal, noisy=False)
    assert f.factor is not None
    assert g.factor is not None
    assert_allclose((0.3 * f + g * -2.0).factor, 0.3 * f.factor - 2.0 * g.factor, rtol=1e-12)
    assert_allclose((f + free).factor, f.factor)
    assert_allclose((free + f).factor, f.factor)
    assert (free + free).factor is None


@pytest.mark.parametrize("diagonal", [True, False])
def test_application_is_matrix_times_column_plus_shift(diagonal: bool) -> None:
    f = random_map(0, diagonal=diagonal, noisy=False)
    z = np.random.default_rng(2).standard_normal(K)
    matrix = np.diag(f.matrix) if diagonal else f.matrix
    assert_allclose(f(z[None])[0], matrix @ z + f.shift, rtol=1e-12)


@pytest.mark.parametrize("noisy", [(True, True), (True, False), (False, True), (False, False)])
def test_a_diagonal_map_does_what_its_full_matrix_does(noisy: tuple[bool, bool]) -> None:
    f, g = (random_map(seed, diagonal=True, noisy=n) for seed, n in zip((0, 1), noisy, strict=True))
    noise_free = AffineMap(f.matrix, f.shift)
    assert_same(dense(noise_free(g)), dense(noise_free)(dense(g)))
    assert_same(dense(2.0 * f + g), 2.0 * dense(f) + dense(g))
    assert_same(dense(AffineMap.identity(f)), AffineMap.identity(dense(f)))


@pytest.mark.parametrize("diagonal", [True, False])
def test_identity_changes_nothing_on_either_side(diagonal: bool) -> None:
    f = random_map(0, diagonal=diagonal, noisy=True)
    same = AffineMap.identity(f)
    assert_same(same(f), f)
    noise_free = AffineMap(f.matrix, f.shift)
    assert_same(noise_free(same), noise_free)


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("noisy", [True, False])
def test_diffusing_adds_variance_to_the_covariance(diagonal: bool, noisy: bool) -> None:
    f = random_map(0, diagonal=diagonal, noisy=noisy)
    before = dense(f).factor if diagonal else f.factor
    old = np.zeros((K, K)) if before is None else before @ before.T
    after = f.diffuse(0.7)
    factor = dense(after).factor if diagonal else after.factor
    assert factor is not None
    assert_allclose(factor @ factor.T, old + 0.49 * np.eye(K), rtol=1e-12, atol=1e-12)
    assert_array_equal(after.matrix, f.matrix)
    assert f.diffuse(0.0) is f


@pytest.mark.parametrize("diagonal", [True, False])
def test_law_from_noise_has_the_covariance_of_start_and_steps(diagonal: bool) -> None:
    f = random_map(0, diagonal=diagonal, noisy=True)
    law, full = f.from_noise(1.5), dense(f) if diagonal else f
    root = dense(law).matrix if diagonal else law.matrix
    assert full.factor is not None
    expected = 2.25 * full.matrix @ full.matrix.T + full.factor @ full.factor.T
    assert_allclose(root @ root.T, expected, rtol=1e-12, atol=1e-12)
    assert law.factor is None
    assert_array_equal(law.shift, f.shift)


@pytest.mark.parametrize("diagonal", [True, False])
def test_law_of_a_deterministic_map_is_the_map_on_scaled_noise(diagonal: bool) -> None:
    f = random_map(0, diagonal=diagonal, noisy=False)
    eps = np.random.default_rng(2).standard_normal((5, K))
    assert_allclose(f.from_noise(3.0)(eps), f(3.0 * eps), rtol=1e-12)


def test_a_numpy_number_times_a_map_is_a_map() -> None:
    f = random_map(0, diagonal=True, noisy=False)
    assert_same(np.float64(2.0) * f, 2.0 * f)
