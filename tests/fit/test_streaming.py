"""partial_fit: any batches, in any order, are one fit on the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from linear_diffusion import LinearDiffusion, NotEnoughMemoryError

Digits = tuple[np.ndarray, np.ndarray]
PLAIN = {"styles": 1, "latent_dim": 20}


def require_the_same(found: LinearDiffusion, whole: LinearDiffusion, images: np.ndarray) -> None:
    atol = 1e-5 if whole.decoder_.image.dtype == "uint8" else 1e-6  # products of bytes are float32
    assert_array_equal(found.classes_, whole.classes_)
    assert found.n_images_ == whole.n_images_
    assert_allclose(found.weights_, whole.weights_, rtol=1e-12)
    for name in ("mean", "std", "variances"):
        assert_allclose(getattr(found.encoder_, name), getattr(whole.encoder_, name), rtol=1e-6, atol=1e-6)
    assert_allclose(found.components_, whole.components_, atol=atol)
    assert_allclose(found.means_, whole.means_, atol=atol)
    assert_allclose(found.covariances_, whole.covariances_, atol=atol)
    assert_allclose(found.decoder_.curves.table, whole.decoder_.curves.table, atol=1e-2)
    assert_allclose(found.score_samples(images), whole.score_samples(images), rtol=1e-5)
    assert found.decoder_.image == whole.decoder_.image


@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(1, 599), max_size=4, unique=True), standardize=st.booleans(), seed=st.integers(0, 9))
def test_any_partition_is_one_fit_on_the_whole(digits: Digits, cuts: list[int], standardize: bool, seed: int) -> None:
    images, y = (a[:600] for a in digits)
    order = np.random.default_rng(seed).permutation(600)
    parts = np.split(order, sorted(cuts))
    model = LinearDiffusion(**PLAIN, standardize=standardize, ridge=0.01)
    whole = clone(model).fit(images, y)
    for part in parts:
        assert model.partial_fit(images[part], y[part]) is model
    require_the_same(model, whole, images[:20])


def test_prompts_that_come_later_find_their_place(grey: Digits) -> None:
    images, y = grey
    model = LinearDiffusion(**PLAIN).partial_fit(images[y >= 5], y[y >= 5])
    assert_array_equal(model.classes_, np.arange(5, 10))
    model.partial_fit(images[y < 5], y[y < 5])
    require_the_same(model, LinearDiffusion(**PLAIN).fit(images, y), images[:20].astype(float))
    assert model.sample(prompts=["3"])[0].dtype == np.uint8


def test_parameters_may_change_between_batches(grey: Digits) -> None:
    images, y = grey
    model = LinearDiffusion(**PLAIN).partial_fit(images[:900], y[:900])
    model.set_params(latent_dim=9).partial_fit(images[900:], y[900:])
    require_the_same(model, LinearDiffusion(styles=1, latent_dim=9).fit(images, y), images[:20].astype(float))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "styles=1, not styles=165: only there all that is learned is a sum over images"),
        ({"styles": 1, "training": "sampled"}, "training='exact', not training='sampled'"),
        ({"styles": 1, "text_encoder": "words"}, "text_encoder='one-hot', not"),
    ],
)
def test_what_is_no_sum_is_not_offered(grey: Digits, parameters: dict[str, object], message: str) -> None:
    model = LinearDiffusion(**parameters)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit") as refused:
        model.partial_fit(*grey)
    assert message in str(refused.value.__cause__)


def test_a_batch_that_does_not_fit_is_refused_and_nothing_is_lost(
    grey: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, y = grey
    model = LinearDiffusion(**PLAIN).partial_fit(images[:900], y[:900])
    for X, message in (
        (images[900:, :4], r"images of shape \(4, 8\)"),
        (images[900:] / 1.0, "this batch is images of shape .8, 8., dtype float64"),
        (images[900:950], "y has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            model.partial_fit(X, y[900:])
    with monkeypatch.context() as patch, pytest.raises(NotEnoughMemoryError):
        patch.setattr("linear_diffusion.fit.encoder.available_memory", lambda: 1)
        model.partial_fit(images[900:], y[900:])
    model.partial_fit(images[900:], y[900:])
    require_the_same(model, LinearDiffusion(**PLAIN).fit(images, y), images[:20].astype(float))


def test_floats_beyond_the_range_of_the_first_batch_are_refused(digits: Digits) -> None:
    images, y = digits
    model = LinearDiffusion(**PLAIN).partial_fit(images[:900], y[:900])
    with pytest.raises(ValueError, match="pixel_range=None"):
        model.partial_fit(2 * images[900:], y[900:])


def test_after_fit_it_starts_anew_and_says_so(grey: Digits) -> None:
    images, y = grey
    model = LinearDiffusion(**PLAIN).partial_fit(images, y)
    model.fit(images[:900], y[:900])
    with pytest.warns(UserWarning, match="starts anew: fit keeps no sums"):
        model.partial_fit(images[900:], y[900:])
    require_the_same(model, LinearDiffusion(**PLAIN).fit(images[900:], y[900:]), images[:20].astype(float))


def test_nothing_is_left_of_another_way_of_training(grey: Digits) -> None:
    images, y = grey
    model = LinearDiffusion(**PLAIN, training="sampled", random_state=0).fit(images, y)
    with pytest.warns(UserWarning, match="starts anew"):
        model.set_params(training="exact").partial_fit(images, y)
    whole = LinearDiffusion(**PLAIN, random_state=0).fit(images, y)
    assert_allclose(model.sample(50)[0].astype(int), whole.sample(50)[0].astype(int), atol=1)


def test_too_many_pixels_are_refused_before_any_work() -> None:
    with pytest.raises(ValueError, match=r"partial_fit keeps 1 matrices of 4900 x 4900 numbers"):
        LinearDiffusion(**PLAIN).partial_fit(np.zeros((3, 70, 70), np.uint8))


@parametrize_with_checks([LinearDiffusion(**PLAIN)])
def test_scikit_learns_own_checks_with_partial_fit(estimator: LinearDiffusion, check: object) -> None:
    check(estimator)
