"""Whatever shape, dtype, rank and prompts the data has, nothing is NaN and no bare linear-algebra error comes out."""

import warnings
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion
from linear_diffusion.noise import SCHEDULES
from linear_diffusion.sampler import SAMPLERS

SHAPES = st.one_of(
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 2, 3, 4])),
    st.tuples(st.integers(1, 12)),
    st.just((1, 1)),
)


@st.composite
def images(draw: st.DrawFn) -> np.ndarray:
    """Images of any rank: random, constant in some pixels, all the same, or combinations of a few."""
    n, shape = draw(st.one_of(st.integers(1, 12), st.sampled_from([25, 60]))), draw(SHAPES)
    dtype = draw(st.sampled_from([np.uint8, np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["random", "binary", "constant pixels", "identical", "low rank", "black", "twins"]))
    X = rng.random((n, *shape))
    if kind == "binary":
        X = np.rint(X)
    elif kind == "constant pixels":
        X = np.where(rng.random(shape) < 0.5, 0.5, X)
    elif kind == "identical":
        X = np.broadcast_to(X[:1], X.shape)
    elif kind == "low rank":
        X = np.einsum("nr,r...->n...", rng.random((n, 2)) / 2, rng.random((2, *shape)))
    elif kind == "black":
        X = np.zeros_like(X)
    elif kind == "twins":
        X = X[rng.integers(0, (n + 1) // 2, n)]
    if dtype == np.uint8:
        return np.rint(255 * X).astype(np.uint8)
    return (X * draw(st.sampled_from([1.0, 1e-3, 1e4])) + draw(st.sampled_from([0.0, 0.0, -3.0, 100.0]))).astype(dtype)


@st.composite
def prompts(draw: st.DrawFn, n: int) -> Any:
    """None, one prompt, a few, or as many as there are images."""
    kind = draw(st.sampled_from(["none", "one", "few", "all different"]))
    if kind == "none":
        return None
    if kind == "all different":
        return np.arange(n)
    return [draw(st.sampled_from(["a", "b", "c"])) if kind == "few" else "a" for _ in range(n)]


def assert_kind(out: np.ndarray, X: np.ndarray, n: int) -> None:
    assert out.dtype == X.dtype
    assert out.shape == (n, *X.shape[1:])
    assert np.isfinite(out).all()


@settings(max_examples=200)
@given(st.data())
def test_nothing_is_nan_and_the_same_kind_comes_out(data: st.DataObject) -> None:
    X = data.draw(images(), label="X")
    y = data.draw(prompts(len(X)), label="y")
    parameters = data.draw(
        st.fixed_dictionaries(
            {
                "latent_dim": st.sampled_from([1, 2, 144, 0.5, 0.99]),
                "standardize": st.booleans(),
                "styles": st.sampled_from([1, 2, 5, 100]),
                "schedule": st.sampled_from(sorted(SCHEDULES)),
                "training": st.sampled_from(["exact", "sampled"]),
                "n_draws": st.sampled_from([1, 3]),
                "ridge": st.sampled_from([0.0, 0.1]),
                "tone": st.booleans(),
            }
        ),
        label="parameters",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", "X has pixels .* no range that is evident")
        model = LinearDiffusion(random_state=0, **parameters).fit(X, y)
        z = model.transform(X)
        assert np.isfinite(z).all()
        assert 1 <= model.latent_dim_ <= X[0].size
        assert_kind(model.inverse_transform(z), X, len(X))
        names = ["one-step", "ddpm", "ddim", "euler", "heun", "dpmpp_2m"]
        assert set(names) == set(SAMPLERS)
        if parameters["training"] == "exact":
            names.append("exact")
            assert np.isfinite(model.score_samples(X)).all()
            assert np.isfinite(model.score_samples(X, y if y is not None else [""] * len(X))).all()
            for noise_std in (0.0, 1e-3, 1.0, 1e4):
                assert_kind(model.denoise(X, noise_std), X, len(X))
        for name in names:
            steps = {} if name in ("exact", "one-step") else {"n_steps": 4}
            drawn, labels = model.sample(3, sampler=name, **steps)
            assert_kind(drawn, X, 3)
            assert set(labels) <= set(model.classes_)
            _, _, path = model.sample(2, sampler=name, **steps, return_trajectory=True)
            assert_kind(path[-1], X, 2)
            assert np.isfinite(path).all()


def test_one_image_is_all_that_its_model_can_draw() -> None:
    for X in (np.array([[[7]]], np.uint8), np.array([[[0.25, 0.5]]]), np.array([[3.0, -1.0]], np.float32)):
        model = LinearDiffusion(random_state=0).fit(X)
        for name in ("exact", "ddim", "ddpm", "heun"):
            # Half a tone: the curve knows pixels by their histogram.
            assert_allclose(model.sample(2, sampler=name)[0].astype(float), np.repeat(X, 2, axis=0), atol=0.5 / 255)


def test_more_dimensions_than_images_span_no_more_than_the_images() -> None:
    rows = np.random.default_rng(0).standard_normal((4, 30))
    model = LinearDiffusion(random_state=0).fit(rows)
    assert model.latent_dim_ == 3
    drawn = model.sample(50)[0] - rows.mean(axis=0)
    assert np.linalg.matrix_rank(np.vstack([rows - rows.mean(axis=0), drawn]), tol=1e-4) == 3


def test_a_model_fitted_on_copies_of_the_data_is_the_same() -> None:
    rows = np.random.default_rng(0).standard_normal((10, 4))
    once, twice = (LinearDiffusion(styles=1, random_state=0).fit(np.tile(rows, (n, 1))) for n in (1, 3))
    assert_allclose(once.sample(5)[0], twice.sample(5)[0], atol=1e-5)
    assert_array_equal(once.classes_, twice.classes_)
