"""Ways between two pictures: their ends, their middle by another route, and the sphere."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import sqrtm

from linear_diffusion import LinearDiffusion
from linear_diffusion.tasks.interpolate import latent_path, slerp

VECTORS = arrays(np.float64, 3, elements=st.floats(-5, 5).map(lambda v: round(v, 3)))


@given(VECTORS, VECTORS, st.floats(0, 1))
def test_slerp_goes_from_end_to_end_in_the_plane_of_both(a: np.ndarray, b: np.ndarray, share: float) -> None:
    assert_allclose(slerp(a, b, 0.0), a, atol=1e-9)
    assert_allclose(slerp(a, b, 1.0), b, atol=1e-9)
    assert_allclose(slerp(a, b, share), slerp(b, a, 1 - share), atol=1e-7)
    assert np.linalg.matrix_rank(np.stack([a, b, slerp(a, b, share)]), tol=1e-6) <= 2


@given(st.floats(0.01, 3.1), st.floats(0, 1))
def test_slerp_keeps_to_the_sphere_at_even_speed(angle: float, share: float) -> None:
    a, b = np.array([2.0, 0.0]), 2 * np.array([np.cos(angle), np.sin(angle)])
    assert_allclose(slerp(a, b, share), 2 * np.array([np.cos(share * angle), np.sin(share * angle)]), atol=1e-9)


def test_slerp_of_parallel_or_zero_vectors_is_a_line() -> None:
    a = np.array([1.0, 2.0])
    for b in (3 * a, -a, np.zeros(2), a):
        assert_allclose(slerp(a, b, 0.25), 0.75 * a + 0.25 * b, atol=1e-12)


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((90, 4)) @ rng.standard_normal((4, 4))
    X[:30, 0] = 1.0  # which prompt "a" never changes
    return X, np.repeat(["a", "b", "c"], 30)


@pytest.fixture(scope="module")
def plain(rows: tuple) -> LinearDiffusion:
    return LinearDiffusion(styles=1, latent_dim=4, random_state=0).fit(*rows)


def test_the_middle_is_that_of_the_formula(plain: LinearDiffusion, rows: tuple) -> None:
    X, z = rows[0], plain.transform(rows[0])
    (m0, m1), (s0, s1) = plain.means_[1:], plain.covariances_[1:]
    noise = [np.linalg.solve(sqrtm(s), z[i] - m) for i, m, s in ((40, m0, s0), (70, m1, s1))]
    path = plain.interpolate(X[40], X[70], 5, prompts=["b", "c"])
    for share, image in zip((0.25, 0.5, 0.75), path[1:-1], strict=True):
        u = sqrtm((1 - share) * s0 + share * s1) @ slerp(noise[0], noise[1], share)
        expected = plain.inverse_transform(((1 - share) * m0 + share * m1 + u)[None])[0]
        assert_allclose(image, expected, atol=1e-9)


@pytest.mark.parametrize("prompts", [["b", "c"], "a", ["c", {"a": 0.5, "b": 0.5}]])
def test_ends_are_the_pictures_even_where_the_prompt_never_shows_them(
    plain: LinearDiffusion, rows: tuple, prompts: Any
) -> None:
    X = rows[0]
    path = plain.interpolate(X[40], X[70], 4, prompts=prompts)
    assert_allclose(path[[0, -1]], plain.inverse_transform(plain.transform(X[[40, 70]])), atol=1e-7)


@pytest.mark.parametrize("fixture", ["model", "styled_model"])
def test_ends_of_images_are_decoded_images_bit_for_bit(fixture: str, grey: tuple, request: Any) -> None:
    (X, y), model = grey, request.getfixturevalue(fixture)
    decoded = model.inverse_transform(model.transform(X[:2]))
    path = model.interpolate(X[0], X[1], 6, prompts=[y[0], y[1]])
    assert path.dtype == np.uint8
    assert_array_equal(path[[0, -1]], decoded)
    assert_array_equal(model.interpolate(X[0], X[1], 2, prompts=y[:2]), decoded)
    back = model.interpolate(X[1], X[0], 6, prompts=[y[1], y[0]])
    assert np.abs(path.astype(int) - back[::-1]).max() <= 2


def test_a_way_from_a_picture_to_itself_stays(plain: LinearDiffusion, rows: tuple) -> None:
    path = plain.interpolate(rows[0][40], rows[0][40], 5, prompts="b")
    assert_allclose(path, np.tile(path[0], (5, 1)), atol=1e-9)


def test_a_way_is_smooth(plain: LinearDiffusion, rows: tuple) -> None:
    z = plain.transform(rows[0][[40, 70]])
    ends = [plain.denoiser("b"), plain.denoiser("c")]
    length = []
    for n in (50, 100):
        path = latent_path(z, ends, np.linspace(0, 1, n + 1), 1e-9)
        length.append(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    assert_allclose(length[0], length[1], rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"n_images": 1}, "n_images=1 must be a whole number >= 2"),
        ({"n_images": 2.5}, "n_images=2.5 must be a whole number >= 2"),
        ({"n_images": True}, "n_images=True must be"),
        ({"prompts": None}, "prompts=None: give one prompt"),
        ({"prompts": ["a", "b", "c"]}, "prompts lists 3 prompts for 2 images"),
        ({"prompts": "x"}, "unknown prompt 'x'"),
        ({"X1": np.zeros(3)}, "X has 3 features"),
        ({"X0": np.zeros((2, 4))}, "X has images of shape"),
    ],
)
def test_a_way_that_is_refused(plain: LinearDiffusion, rows: tuple, call: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain.interpolate(**{"X0": rows[0][0], "X1": rows[0][1], "prompts": "a"} | call)
